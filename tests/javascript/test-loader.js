// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The backingstore authors

// Loaders and prefetches, with a codec written in JavaScript, in the main context.

import Bs from 'gi://Bs?version=1';
import Gio from 'gi://Gio';
import GLib from 'gi://GLib';
import GObject from 'gi://GObject';

import {until} from './promises.js';
import {assert, assertEqual, assertIncludes, bytes, run, test, text} from './tap.js';

const DEFAULT = GLib.PRIORITY_DEFAULT;

const Tile = GObject.registerClass({
    GTypeName: 'TestTile',
    Properties: {
        'text': GObject.ParamSpec.string('text', null, null,
            GObject.ParamFlags.READWRITE | GObject.ParamFlags.CONSTRUCT_ONLY, ''),
    },
}, class Tile extends GObject.Object {
});

const Cell = GObject.registerClass({
    GTypeName: 'TestCell',
    Properties: {
        'tile': GObject.ParamSpec.object('tile', null, null, GObject.ParamFlags.READWRITE, Tile),
    },
}, class Cell extends GObject.Object {
});

const Row = GObject.registerClass({
    GTypeName: 'TestRow',
    Properties: {
        'item': GObject.ParamSpec.object('item', null, null, GObject.ParamFlags.READWRITE, Bs.Item),
    },
}, class Row extends GObject.Object {
});

const TileCodec = GObject.registerClass({
    GTypeName: 'TestTileCodec',
    Implements: [Bs.Codec],
}, class TileCodec extends GObject.Object {
    constructor() {
        super();
        this.order = [];
        this.bad = null;
    }

    vfunc_encode(tile, _cancellable) {
        return bytes(tile.text);
    }

    vfunc_decode(content, _cancellable) {
        const decoded = text(content);
        this.order.push(decoded);
        if (decoded === this.bad)
            throw new GLib.Error(Gio.IOErrorEnum, Gio.IOErrorEnum.INVALID_DATA, 'no tile');
        return new Tile({text: decoded});
    }

    vfunc_measure(_tile) {
        return 100;
    }
});

async function fixture(...texts) {
    const codec = new TileCodec();
    const store = Bs.BackingStore.new_in_context(new Bs.MemoryBacking(), null);
    const pool = Bs.Pool.new_with_codec(store, codec, 100000);
    const items = texts.map(each => pool.insert(bytes(each)));
    await pool.trim_async(0, DEFAULT, null);
    return {codec, store, pool, items};
}

async function idle(store) {
    await store.wait_finished_async(DEFAULT, null);
    store.task_tracker.reopen();
}

test('show and load', async () => {
    const {store, pool, items} = await fixture('a');
    const placeholder = new Tile({text: 'placeholder'});
    const cell = new Cell();
    const loader = Bs.Loader.new(cell, 'tile');
    assert(loader.target === cell);
    assertEqual(loader.target_property, 'tile');
    loader.placeholder = placeholder;
    assert(cell.tile === placeholder);

    loader.item = pool.insert_object(new Tile({text: 'in memory'}));
    assertEqual(cell.tile.text, 'in memory');
    assert(!loader.loading);

    let notified = 0;
    loader.connect('notify::loading', () => notified++);
    loader.set_item(items[0]);
    assert(loader.loading);
    assert(cell.tile === placeholder);
    await until(() => !loader.loading);
    assertEqual(cell.tile.text, 'a');
    assertEqual(notified, 2);
    assert(loader.error === null);
    loader.item = null;
    assert(cell.tile === placeholder);
    await store.close_async(DEFAULT, null);
});

test('newest first', async () => {
    const {codec, store, items} = await fixture('0', '1', '2');
    const loaders = items.map(item => {
        const loader = Bs.Loader.new(new Cell(), 'tile');
        loader.cell = loader.target;
        loader.item = item;
        return loader;
    });
    await until(() => !loaders.some(loader => loader.loading));
    assertEqual(codec.order.join(' '), '2 1 0');
    assertEqual(loaders.map(loader => loader.cell.tile.text).join(' '), '0 1 2');
    await store.close_async(DEFAULT, null);
});

test('error', async () => {
    const {codec, store, items} = await fixture('bad');
    codec.bad = 'bad';
    const cell = new Cell();
    const loader = Bs.Loader.new(cell, 'tile');
    loader.item = items[0];
    await until(() => !loader.loading);
    assert(loader.error.matches(Gio.IOErrorEnum, Gio.IOErrorEnum.INVALID_DATA));
    assertIncludes(loader.error.message, items[0].key);
    loader.item = null;
    assert(loader.error === null);
    loader.item = items[0];
    assert(!loader.loading);
    assertIncludes(loader.error.message, 'no tile');
    assertEqual(codec.order.length, 1);

    codec.bad = null;
    assertEqual((await items[0].load_object_async(DEFAULT, null)).text, 'bad');
    loader.item = null;
    loader.item = items[0];
    await until(() => !loader.loading);
    assertEqual(cell.tile.text, 'bad');
    await store.close_async(DEFAULT, null);
});

test('item changes', async () => {
    const {codec, store, items} = await fixture('0', '1');
    const cell = new Cell();
    const loader = Bs.Loader.new(cell, 'tile');
    loader.item = items[0];
    loader.item = items[1];
    await until(() => !loader.loading);
    assertEqual(cell.tile.text, '1');
    await idle(store);
    assertEqual(codec.order.join(' '), '1');
    await store.close_async(DEFAULT, null);
});

test('prefetch', async () => {
    const {codec, store, pool, items} = await fixture('0', '1', '2', '3');
    const model = Gio.ListStore.new(GObject.Object);
    model.append(items[0]);
    model.append(items[1]);
    model.append(new Tile({text: 'nothing to load'}));
    model.append(new Row({item: items[2]}));
    model.append(new Row({item: items[3]}));
    pool.prefetch(model, 1, 3);
    const loader = Bs.Loader.new(new Cell(), 'tile');
    loader.cell = loader.target;
    loader.item = items[0];
    await idle(store);
    assertEqual(codec.order.join(' '), '0 1 2');
    pool.prefetch(model, 4, 1000);
    pool.prefetch(model, 1000, 1);
    await idle(store);
    assertEqual(codec.order.join(' '), '0 1 2');
    pool.prefetch(model, 4, 1000);
    await idle(store);
    assertEqual(items[3].try_load_object().text, '3');
    await store.close_async(DEFAULT, null);
});

test('follow', async () => {
    const {store, pool} = await fixture();
    const tracked = await store.track_path_async(Gio.File.new_for_uri('memory:followed'), DEFAULT, null);
    const items = Array.from({length: 3}, () => pool.insert(bytes('x')));
    await items[0].persist_async(tracked, DEFAULT, null);
    await items[1].persist_async(tracked, DEFAULT, null);
    const list = await pool.follow_async(tracked, DEFAULT, null);
    const keys = () => Array.from({length: list.get_n_items()}, (_, at) => list.get_item(at).key);
    const first = items.slice(0, 2).map(item => item.key).sort();
    assertEqual(keys().join(), first.join());
    const changes = [];
    list.connect('items-changed', (_list, ...change) => changes.push(change.join()));
    await items[2].persist_async(tracked, DEFAULT, null);
    await store.delete_persisted_async(tracked, first[0], DEFAULT, null);
    await until(() => list.get_n_items() === 2 && keys().includes(items[2].key));
    assertEqual(keys().join(), [first[1], items[2].key].join());
    assertEqual(changes.length, 2);
    await store.close_async(DEFAULT, null);
});

run();
