// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The backingstore authors

// Pools of objects, with a codec written in JavaScript, in the main context.

import Bs from 'gi://Bs?version=1';
import Gio from 'gi://Gio';
import GLib from 'gi://GLib';
import GObject from 'gi://GObject';
import System from 'system';

import {until} from './promises.js';
import {assert, assertEqual, assertFails, assertIncludes, bytes, run, test, text} from './tap.js';

const DEFAULT = GLib.PRIORITY_DEFAULT;
const SIZE = 100;

const Tile = GObject.registerClass({
    GTypeName: 'TestTile',
    Properties: {
        'text': GObject.ParamSpec.string('text', null, null,
            GObject.ParamFlags.READWRITE | GObject.ParamFlags.CONSTRUCT_ONLY, ''),
    },
}, class Tile extends GObject.Object {
});

const TileCodec = GObject.registerClass({
    GTypeName: 'TestTileCodec',
    Implements: [Bs.Codec],
}, class TileCodec extends GObject.Object {
    constructor() {
        super();
        this.calls = {encode: 0, decode: 0, measure: 0};
        this.failure = null;
        this.silent = false;
    }

    vfunc_encode(tile, _cancellable) {
        this.calls.encode++;
        if (this.failure)
            throw this.failure;
        return this.silent ? null : bytes(tile.text);
    }

    vfunc_decode(content, _cancellable) {
        this.calls.decode++;
        if (this.failure)
            throw this.failure;
        return new Tile({text: text(content)});
    }

    vfunc_measure(_tile) {
        this.calls.measure++;
        return SIZE;
    }
});

function fixture() {
    const codec = new TileCodec();
    const store = Bs.BackingStore.new_in_context(new Bs.MemoryBacking(), null);
    return {codec, store, pool: Bs.Pool.new_with_codec(store, codec, 10 * SIZE)};
}

// Nothing is in memory, whatever the garbage collector still has.
async function dropAll(pool) {
    await pool.trim_async(0, DEFAULT, null);
    await until(() => {
        System.gc();
        return pool.memory_in_use === 0;
    });
}

test('round trip', async () => {
    const {codec, store, pool} = fixture();
    assert(pool.codec === codec);
    const texts = Array.from({length: 20}, (_, number) => `tile ${number}`);
    const items = texts.map(each => pool.insert_object(new Tile({text: each})));
    await dropAll(pool);
    assertEqual(codec.calls.encode, 20);

    const tiles = await Promise.all(items.map(item => item.load_object_async(DEFAULT, null)));
    assertEqual(tiles.map(tile => tile.text), texts);
    assertEqual(items[3].load_object(null).text, 'tile 3');
    assertEqual(text(await items[3].load_async(DEFAULT, null)), 'tile 3');
    assert(pool.n_resident <= 10);
    await store.close_async(DEFAULT, null);
});

test('close', async () => {
    const {codec, store, pool} = fixture();
    const items = Array.from({length: 20}, (_, number) => pool.insert_object(new Tile({text: `${number}`})));
    await dropAll(pool);
    const loads = items.map(item =>
        assertFails(Bs.Error, Bs.Error.CLOSED, () => item.load_object_async(DEFAULT, null)));
    const closed = store.close_async(DEFAULT, null);
    await Promise.all(loads);
    await closed;
    assertEqual(codec.calls.decode, 0);
});

test('same object', async () => {
    const {codec, store, pool} = fixture();
    const tile = new Tile({text: 'held'});
    const item = pool.insert_object(tile);
    assertEqual(item.size, SIZE);
    await pool.trim_async(0, DEFAULT, null);
    assertEqual(pool.memory_in_use, SIZE);
    assert(item.try_load_object() === tile);
    assert(await item.load_object_async(DEFAULT, null) === tile);
    assertEqual(codec.calls.decode, 0);

    item.replace_object(new Tile({text: 'another'}));
    assertEqual((await item.load_object_async(DEFAULT, null)).text, 'another');
    await store.close_async(DEFAULT, null);
});

test('decoded once', async () => {
    const {codec, store, pool} = fixture();
    const item = pool.insert_object(new Tile({text: 'once'}));
    await dropAll(pool);
    const [first, second] = await Promise.all([1, 2].map(() => item.load_object_async(DEFAULT, null)));
    assert(first === second);
    assertEqual(codec.calls.decode, 1);
    await store.close_async(DEFAULT, null);
});

test('failures', async () => {
    const {codec, store, pool} = fixture();
    const item = pool.insert_object(new Tile({text: 'here to stay'}));
    codec.failure = new GLib.Error(Gio.IOErrorEnum, Gio.IOErrorEnum.INVALID_DATA, 'no such colour');
    const error = await assertFails(Gio.IOErrorEnum, Gio.IOErrorEnum.INVALID_DATA, () => item.write_async(DEFAULT, null));
    assertIncludes(error.message, 'encode', item.key, 'no such colour');

    codec.failure = null;
    codec.silent = true;
    await assertFails(Bs.Error, Bs.Error.FAILED, () => item.write_async(DEFAULT, null));
    assertEqual(item.load_object(null).text, 'here to stay');

    codec.silent = false;
    await dropAll(pool);
    codec.failure = new GLib.Error(Gio.IOErrorEnum, Gio.IOErrorEnum.INVALID_DATA, 'no such colour');
    await assertFails(Gio.IOErrorEnum, Gio.IOErrorEnum.INVALID_DATA, () => item.load_object_async(DEFAULT, null));
    codec.failure = null;
    assertEqual((await item.load_object_async(DEFAULT, null)).text, 'here to stay');
    await store.close_async(DEFAULT, null);
});

test('objects refused', async () => {
    const {store} = fixture();
    const plain = Bs.Pool.new(store, 1000);
    await assertFails(Bs.Error, Bs.Error.NOT_SUPPORTED, () => plain.insert_object(new Tile({text: 'new'})));
    const item = plain.insert(bytes('old'));
    await assertFails(Bs.Error, Bs.Error.NOT_SUPPORTED, () => item.replace_object(new Tile({text: 'new'})));
    assertEqual(text(item.try_load()), 'old');
    await store.close_async(DEFAULT, null);
});

test('number of items', async () => {
    const {store, pool} = fixture();
    pool.max_items = 3;
    const items = Array.from({length: 8}, (_, number) => pool.insert_object(new Tile({text: `${number}`})));
    await until(() => pool.n_resident <= 3);
    const tiles = await Promise.all(items.map(item => item.load_object_async(DEFAULT, null)));
    assertEqual(tiles.map(tile => tile.text).join(''), '01234567');
    await store.close_async(DEFAULT, null);
});

run();
