// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The backingstore authors

// The additions of the GJS override.

import Bs from 'gi://Bs?version=1';
import Gio from 'gi://Gio';
import GLib from 'gi://GLib';
import GObject from 'gi://GObject';

import {assert, assertEqual, assertFails, assertIncludes, bytes, run, test, text} from './tap.js';

const DEFAULT = GLib.PRIORITY_DEFAULT;

const ScriptBacking = GObject.registerClass({
    GTypeName: 'TestScriptBacking',
    Implements: [Bs.Backing],
}, class ScriptBacking extends GObject.Object {
    vfunc_read(_key, _cancellable) {
        return bytes('read');
    }
});

const DerivedBacking = GObject.registerClass({
    GTypeName: 'TestDerivedBacking',
}, class DerivedBacking extends ScriptBacking {
});

const ScriptCodec = GObject.registerClass({
    GTypeName: 'TestScriptCodec',
    Implements: [Bs.Codec],
}, class ScriptCodec extends GObject.Object {
    vfunc_decode(_content, _cancellable) {
        throw new RangeError('no such colour');
    }
});

async function assertRefused(func, what) {
    let caught = null;
    try {
        await func();
    } catch (error) {
        caught = error;
    }
    assert(caught !== null, `${what} was not refused`);
    assertIncludes(caught.message, what, 'new_in_context');
}

test('promises of everything', () => {
    let nMethods = 0;
    for (const name of Object.keys(Bs)) {
        const prototype = Bs[name]?.prototype;
        if (!(prototype instanceof GObject.Object))
            continue;
        for (const method of Object.getOwnPropertyNames(prototype).filter(each => /^(?!_).*_async$/.test(each))) {
            assert(prototype[`_original_${method}`] !== undefined, `${name}.${method}`);
            nMethods++;
        }
    }
    assert(nMethods >= 18, `${nMethods} methods`);
});

test('left out arguments', async directory => {
    const store = Bs.BackingStore.new(Bs.FileBacking.new(directory.get_child('scratch')));
    const tracked = await store.track_path_async(directory.get_child('kept'));
    const item = Bs.Pool.new(store, 100).insert(bytes('content'));
    assert(await item.persist_async(tracked));
    assert(await item.persist_async(tracked, -500));
    assert(await store.sync_async(tracked, DEFAULT, null));
    assertEqual(text(await item.load_async()), 'content');
    await assertFails(Gio.IOErrorEnum, Gio.IOErrorEnum.CANCELLED, () => {
        const cancellable = Gio.Cancellable.new();
        cancellable.cancel();
        return item.copy().persist_async(tracked, DEFAULT, cancellable);
    });
    await store.task_tracker.close();
    assert(await store.task_tracker.wait_async());
    await store.close_async();
});

test('callbacks', async () => {
    const store = Bs.BackingStore.new(new Bs.MemoryBacking());
    const item = Bs.Pool.new(store, 100).insert(bytes('content'));
    const content = await new Promise((resolve, reject) => {
        const returned = item.load_async(DEFAULT, null, (source, result) => {
            try {
                resolve(source.load_finish(result));
            } catch (error) {
                reject(error);
            }
        });
        assert(returned === undefined);
    });
    assertEqual(text(content), 'content');
    await store.close_async();
});

test('promises of an application', async () => {
    Gio._promisify(Bs.Item.prototype, 'load_async', 'load_finish');
    const store = Bs.BackingStore.new(new Bs.MemoryBacking());
    const item = Bs.Pool.new(store, 100).insert(bytes('content'));
    assertEqual(text(await item.load_async(DEFAULT, null)), 'content');
    await store.close_async();
});

test('iteration', async () => {
    const keys = new Bs.KeySet();
    assertEqual([...keys], []);
    const expected = Array.from({length: 5}, () => Bs.key_generate());
    expected.forEach(key => keys.add(key));
    assertEqual([...keys].sort(), expected.sort());
    for (const key of keys)
        keys.remove(key);
    assertEqual(keys.n_keys, 0);

    const store = Bs.BackingStore.new(new Bs.MemoryBacking());
    const tracked = await store.track_path_async(Gio.File.new_for_uri('memory:kept'));
    const pool = Bs.Pool.new(store, 100);
    assertEqual([...await pool.register_all_async(tracked)].length, 0);
    const items = Array.from({length: 5}, (_, number) => pool.insert(bytes(`${number}`)));
    await Promise.all(items.map(item => item.persist_async(tracked)));
    assertEqual([...tracked].sort(), items.map(item => item.key).sort());
    for (const found of [
        await pool.register_all_async(tracked), pool.register_all(tracked, null),
        await pool.follow_async(tracked), pool.follow(tracked, null),
    ])
        assertEqual([...found].map(item => item.key).sort(), [...tracked].sort());
    await store.close_async();
});

if (Bs.Manifest) {
    test('iteration over manifests', () => {
        const manifest = Bs.Manifest.new();
        assertEqual([...manifest].length, 0);
        for (const name of ['one', 'two'])
            manifest.add(name, Bs.key_generate(), null);
        assertEqual([...manifest].map(entry => entry.name), ['one', 'two']);
    });
}

test('other threads are refused', async () => {
    const script = new ScriptBacking();
    for (const backing of [script, new DerivedBacking(), Bs.FaultBacking.new(script)]) {
        await assertRefused(() => Bs.BackingStore.new(backing), 'A backing');
        await assertRefused(() => new Bs.BackingStore({backing}), 'A backing');
        for (const store of [
            Bs.BackingStore.new_in_context(backing, null),
            new Bs.BackingStore({backing, main_context: GLib.MainContext.default()}),
            new Bs.BackingStore({backing, mainContext: GLib.MainContext.default()}),
        ])
            assert(store.backing === backing);
    }

    const store = Bs.BackingStore.new(Bs.FaultBacking.new(new Bs.MemoryBacking()));
    const codec = new ScriptCodec();
    await assertRefused(() => Bs.Pool.new_with_codec(store, codec, 100), 'A codec');
    await assertRefused(() => new Bs.Pool({store, codec}), 'A codec');
    await assertRefused(() => store.run_in_thread(() => true, null), 'A function');
    await assertRefused(() => store.run_in_thread_async(() => true), 'A function');
    const tracked = await store.track_path_async(Gio.File.new_for_uri('memory:kept'));
    const save = Bs.Save.new(store, tracked);
    await assertRefused(() => save.set_commit_func(() => true), 'A function');
    save.set_commit_func(null);
    save.set_root(bytes('root'));
    assert(await save.run_async());
    await store.close_async();
});

test('exceptions', async () => {
    const store = Bs.BackingStore.new_in_context(new Bs.MemoryBacking(), null);
    const codec = new ScriptCodec();
    const tracked = await store.track_path_async(Gio.File.new_for_uri('memory:kept'));
    const item = Bs.Pool.new(store, 100).insert(bytes('content'));
    await item.persist_async(tracked);
    const pool = Bs.Pool.new_with_codec(store, codec, 100);
    const decoded = await pool.register_async(tracked, item.key);
    let caught = null;
    try {
        await decoded.load_object_async();
    } catch (error) {
        caught = error;
    }
    assertIncludes(caught.message, 'decode', item.key, 'no such colour');
    await store.close_async();
});

run();
