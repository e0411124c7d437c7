// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The backingstore authors

// After every content was loaded and let go, none is in use, whatever the style of the
// calls. Only the garbage collector knows when a script has let go.

import Bs from 'gi://Bs?version=1';
import GLib from 'gi://GLib';
import GObject from 'gi://GObject';
import System from 'system';

import {until} from './promises.js';
import {assert, assertEqual, bytes, run, test} from './tap.js';

const N_ITEMS = 50;
const SIZE = 65536;

const ObjectCodec = GObject.registerClass({
    GTypeName: 'TestObjectCodec',
    Implements: [Bs.Codec],
}, class ObjectCodec extends GObject.Object {
    vfunc_encode(_object, _cancellable) {
        return bytes('object');
    }

    vfunc_decode(_content, _cancellable) {
        return new GObject.Object();
    }

    vfunc_measure(_object) {
        return SIZE;
    }
});

const Target = GObject.registerClass({
    GTypeName: 'TestTarget',
    Properties: {
        'shown': GObject.ParamSpec.object('shown', null, null, GObject.ParamFlags.READWRITE, GObject.Object),
    },
}, class Target extends GObject.Object {
});

function check(content) {
    assertEqual(content.toArray().length, SIZE);
}

const STYLES = {
    'blocking': item => check(item.load(null)),
    'callback': item => new Promise((resolve, reject) => {
        item.load_async(GLib.PRIORITY_DEFAULT, null, (_item, result) => {
            try {
                check(item.load_finish(result));
                resolve();
            } catch (error) {
                reject(error);
            }
        });
    }),
    'await': async item => check(await item.load_async()),
    'then': item => item.load_async().then(check),
};

async function checkReleased(pool) {
    await pool.trim_async(0);
    assertEqual(pool.memory_use, 0);
    await until(() => {
        System.gc();
        return pool.memory_in_use === 0;
    });
}

for (const [style, load] of Object.entries(STYLES)) {
    test(`contents, ${style}`, async () => {
        const store = Bs.BackingStore.new(new Bs.MemoryBacking());
        const pool = Bs.Pool.new(store, SIZE);
        const content = 'x'.repeat(SIZE);
        const items = Array.from({length: N_ITEMS}, () => pool.insert(bytes(content)));
        await checkReleased(pool);
        for (const item of items)
            await load(item);
        await Promise.all(items.map(load));
        await checkReleased(pool);
        await store.close_async();
    });
}

test('objects', async () => {
    const store = Bs.BackingStore.new_in_context(new Bs.MemoryBacking(), null);
    const pool = Bs.Pool.new_with_codec(store, new ObjectCodec(), SIZE);
    const items = Array.from({length: N_ITEMS}, () => pool.insert_object(new GObject.Object()));
    await checkReleased(pool);
    for (const item of items)
        assert(await item.load_object_async() instanceof GObject.Object);
    assert(items[0].load_object(null) instanceof GObject.Object);
    await checkReleased(pool);
    await store.close_async();
});

// Lets go of the target, the loader or the item, before or after the item is loaded.
async function loadAndLetGo(pool, first, isLoaded) {
    const held = {target: new Target(), item: pool.insert_object(new GObject.Object())};
    await checkReleased(pool);
    held.loader = Bs.Loader.new(held.target, 'shown');
    held.loader.item = held.item;
    assert(held.loader.loading);
    if (isLoaded) {
        await until(() => !held.loader.loading);
        assert(held.target.shown !== null);
    }
    if (first === 'item')
        held.loader.item = null;
    else
        delete held[first];
    // The rest is let go of later, when the other has perhaps been collected.
    for (let i = 0; i < 5; i++) {
        System.gc();
        await new Promise(resolve => GLib.idle_add(GLib.PRIORITY_LOW, () => resolve()));
    }
}

for (const first of ['target', 'loader', 'item']) {
    for (const isLoaded of [false, true]) {
        test(`a loader, ${first} first, ${isLoaded ? 'after' : 'before'} the load`, async () => {
            const store = Bs.BackingStore.new_in_context(new Bs.MemoryBacking(), null);
            const pool = Bs.Pool.new_with_codec(store, new ObjectCodec(), SIZE);
            await loadAndLetGo(pool, first, isLoaded);
            await until(() => {
                System.gc();
                return pool.n_items === 0;
            });
            assertEqual(pool.memory_use, 0);
            assertEqual(pool.memory_in_use, 0);
            await store.close_async();
        });
    }
}

run();
