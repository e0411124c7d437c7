// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The backingstore authors

// Backings written in JavaScript. Their stores are made with
// Bs.BackingStore.new_in_context(): the engine crashes in any other thread.

import Bs from 'gi://Bs?version=1';
import Gio from 'gi://Gio';
import GLib from 'gi://GLib';
import GObject from 'gi://GObject';
import System from 'system';

import {emission, until} from './promises.js';
import {assert, assertEqual, assertFails, assertIncludes, bytes, list, run, test, text} from './tap.js';

const DEFAULT = GLib.PRIORITY_DEFAULT;
const KEPT = Gio.File.new_for_uri('test:///kept');

function notFound(what) {
    return new GLib.Error(Bs.Error, Bs.Error.NOT_FOUND, `nothing is called ${what}`);
}

// GJS lends the bytes that a virtual function is given, without a reference.
function keep(content) {
    return new GLib.Bytes(content.toArray());
}

// Only what every backing must have.
const MapBacking = GObject.registerClass({
    Implements: [Bs.Backing],
}, class MapBacking extends GObject.Object {
    _init() {
        super._init();
        this.primary = new Map();
        this.paths = new Map();
        this.failures = new Map();
    }

    // The next call of that function does this instead.
    arrive(name) {
        const failure = this.failures.get(name);
        this.failures.delete(name);
        return failure?.();
    }

    at(path) {
        const uri = path.get_uri();
        if (!this.paths.has(uri))
            this.paths.set(uri, new Map());
        return this.paths.get(uri);
    }

    vfunc_write(key, content, _cancellable) {
        this.arrive('write');
        this.primary.set(key, keep(content));
        return true;
    }

    vfunc_read(key, _cancellable) {
        this.arrive('read');
        if (!this.primary.has(key))
            throw notFound(key);
        return this.primary.get(key);
    }

    vfunc_delete_key(key, _cancellable) {
        this.arrive('delete_key');
        this.primary.delete(key);
        return true;
    }

    vfunc_register_key(path, key, _cancellable) {
        this.arrive('register_key');
        if (!this.at(path).has(key))
            throw notFound(key);
        this.primary.set(key, this.at(path).get(key));
        return true;
    }

    vfunc_persist(path, key, _cancellable) {
        this.arrive('persist');
        this.at(path).set(key, this.primary.get(key));
        return true;
    }

    vfunc_delete_persisted(path, key, _cancellable) {
        this.arrive('delete_persisted');
        this.at(path).delete(key);
        return true;
    }

    vfunc_sanitize_path(path, found, _cancellable) {
        this.arrive('sanitize_path');
        for (const key of this.at(path).keys())
            found.add(key);
        return true;
    }

    vfunc_sync_persisted(_path, _cancellable) {
        this.arrive('sync_persisted');
        return true;
    }
});

// And all that it may have.
const WholeBacking = GObject.registerClass({
    Implements: [Bs.Backing],
}, class WholeBacking extends MapBacking {
    _init() {
        super._init();
        this.roots = new Map();
        this.calls = [];
    }

    vfunc_register_keys(path, keys, cancellable) {
        this.calls.push('register_keys');
        keys.foreach_key(key => this.vfunc_register_key(path, key, cancellable));
        return true;
    }

    vfunc_delete_persisted_keys(path, keys, cancellable) {
        this.calls.push('delete_persisted_keys');
        keys.foreach_key(key => this.vfunc_delete_persisted(path, key, cancellable));
        return true;
    }

    vfunc_persist_bytes(path, key, content, cancellable) {
        this.calls.push('persist_bytes');
        return this.vfunc_write(key, content, cancellable) && this.vfunc_persist(path, key, cancellable);
    }

    vfunc_persist_keys(path, keys, contents, cancellable) {
        this.calls.push('persist_keys');
        keys.foreach_key(key => {
            if (key in contents)
                this.vfunc_write(key, contents[key], cancellable);
            this.vfunc_persist(path, key, cancellable);
        });
        return true;
    }

    vfunc_write_root(path, content, named, _cancellable) {
        this.named = named && [...named].sort();
        this.roots.set(path.get_uri(), keep(content));
        return true;
    }

    vfunc_read_root(path, _cancellable) {
        if (!this.roots.has(path.get_uri()))
            throw notFound('root');
        return this.roots.get(path.get_uri());
    }

    vfunc_verify_persisted(path, key, _cancellable) {
        if (!this.at(path).has(key))
            throw notFound(key);
        if (this.at(path).get(key).get_size() > 0)
            return true;
        this.at(path).delete(key);
        throw new GLib.Error(Bs.Error, Bs.Error.CORRUPT, 'empty');
    }

    vfunc_release_path(_path, _cancellable) {
        this.calls.push('release_path');
        return true;
    }

    vfunc_close(_cancellable) {
        this.calls.push('close');
        return true;
    }
});

function newStore(backing) {
    return Bs.BackingStore.new_in_context(backing, GLib.MainContext.default());
}

for (const type of [MapBacking, WholeBacking]) {
    test(`${type.name}: main job`, async () => {
        const backing = new type();
        const store = newStore(backing);
        assert(store.backing === backing);
        let tracked = await store.track_path_async(KEPT, DEFAULT, null);
        const pool = Bs.Pool.new(store, 200);
        const contents = Array.from({length: 50}, (_, number) => `${number}`.repeat(20));
        await (async () => {
            const items = contents.map(content => pool.insert(bytes(content)));
            const persists = items.map(item => item.persist_async(tracked, DEFAULT, null));
            assert(await store.sync_async(tracked, DEFAULT, null));
            assert((await Promise.all(persists)).every(done => done));
            await pool.trim_async(0, DEFAULT, null);
            const loads = await Promise.all(items.map(item => item.load_async(DEFAULT, null)));
            assertEqual(loads.map(text), contents);
        })();
        assertEqual(tracked.list_keys().sort(), [...backing.at(KEPT).keys()].sort());
        await until(() => {
            System.gc();
            return pool.n_items === 0;
        });
        await store.wait_finished_async(DEFAULT, null);
        assertEqual(backing.primary.size, 0);

        await store.untrack_path_async(tracked, DEFAULT, null);
        tracked = await store.track_path_async(KEPT, DEFAULT, null);
        assertEqual(tracked.n_keys, 50);
        const found = list(await pool.register_all_async(tracked, DEFAULT, null));
        const loads = await Promise.all(found.map(item => item.load_async(DEFAULT, null)));
        assertEqual(loads.map(text).sort(), contents.slice().sort());
        const some = new Bs.KeySet();
        tracked.list_keys().slice(0, 20).forEach(key => some.add(key));
        await store.delete_persisted_keys_async(tracked, some, DEFAULT, null);
        assertEqual(backing.at(KEPT).size, 30);
        await store.close_async(DEFAULT, null);
    });

    test(`${type.name}: blocking`, () => {
        const backing = new type();
        const store = newStore(backing);
        const tracked = store.track_path(KEPT, null);
        const pool = Bs.Pool.new(store, 0);
        const item = pool.insert(bytes('content'));
        assert(item.persist(tracked, null));
        assert(pool.trim(0, null));
        assertEqual(text(item.load(null)), 'content');
        assert(store.sync(tracked, null));
        assert(store.delete_persisted(tracked, item.key, null));
        assertEqual(backing.at(KEPT).size, 0);
        assert(store.close(null));
    });
}

test('optional functions', async () => {
    const backing = new WholeBacking();
    const store = newStore(backing);
    const tracked = await store.track_path_async(KEPT, DEFAULT, null);
    await assertFails(Bs.Error, Bs.Error.NOT_FOUND, () => store.load_root_async(tracked, DEFAULT, null));
    backing.write_root(KEPT, bytes('root'), null, null);
    assertEqual(text(await store.load_root_async(tracked, DEFAULT, null)), 'root');

    const pool = Bs.Pool.new(store, 100);
    const [bad, good] = ['', 'x'].map(content => pool.insert(bytes(content)));
    await Promise.all([bad, good].map(item => item.persist_async(tracked, DEFAULT, null)));
    assertEqual(backing.calls.filter(call => call === 'persist_bytes').length, 2);
    assert(backing.verify_persisted(KEPT, good.key, null));
    await assertFails(Bs.Error, Bs.Error.CORRUPT, () => backing.verify_persisted(KEPT, bad.key, null));

    await Promise.all([good, pool.insert(bytes(''))].map(item => item.persist_async(tracked, DEFAULT, null)));
    const verify = Bs.Verify.new(store, tracked);
    assert(await verify.run_async(DEFAULT, null));
    assertEqual([verify.n_done, verify.n_bad, tracked.n_keys], [3, 2, 1]);
    assertEqual(tracked.list_keys(), [good.key]);
    assert(verify.run(null));
    assertEqual([verify.n_done, verify.n_bad], [1, 0]);

    assertEqual(backing.named, null);
    const save = Bs.Save.new(store, tracked);
    const items = ['a', 'b'].map(content => pool.insert(bytes(content)));
    save.set_root(bytes('saved'));
    items.forEach(item => save.add_item(item));
    assert(await save.run_async(DEFAULT, null));
    assertEqual(backing.named, items.map(item => item.key).sort());
    await store.close_async(DEFAULT, null);
    assertEqual(backing.calls.slice(-2), ['release_path', 'close']);
});

test('many keys in one call', async () => {
    const backing = new WholeBacking();
    const store = newStore(backing);
    const tracked = await store.track_path_async(KEPT, DEFAULT, null);
    const pool = Bs.Pool.new(store, 1 << 20);
    const save = Bs.Save.new(store, tracked);
    const items = [...Array(12).keys()].map(i => pool.insert(bytes(`content ${i}`)));
    save.max_parallel = 1;
    for (const [i, item] of items.entries()) {
        if (i % 3 === 0)
            await item.write_async(DEFAULT, null);
        save.add_item(item);
    }
    assert(await save.run_async(DEFAULT, null));
    assertEqual(backing.calls.filter(call => call.startsWith('persist')), ['persist_keys']);
    for (const [i, item] of items.entries())
        assertEqual(text(backing.at(KEPT).get(item.key)), `content ${i}`);

    const keys = new Bs.KeySet();
    const key = Bs.key_generate();
    keys.add(key);
    assert(backing.persist_keys(KEPT, keys, {[key.toUpperCase()]: bytes('new')}, null));
    assertEqual(text(backing.read(key, null)), 'new');
    await assertFails(Bs.Error, Bs.Error.INVALID_KEY, () => backing.persist_keys(KEPT, keys, {x: bytes('')}, null));
    await store.close_async(DEFAULT, null);
});

test('no root in a backing without', async () => {
    const store = newStore(new MapBacking());
    const tracked = await store.track_path_async(KEPT, DEFAULT, null);
    const error = await assertFails(Bs.Error, Bs.Error.NOT_SUPPORTED,
        () => store.load_root_async(tracked, DEFAULT, null));
    assertIncludes(error.message, 'MapBacking');
    await store.close_async(DEFAULT, null);
});

test('a GLib.Error keeps domain and code', async () => {
    const backing = new MapBacking();
    const store = newStore(backing);
    const tracked = await store.track_path_async(KEPT, DEFAULT, null);
    const pool = Bs.Pool.new(store, 100);
    for (const [domain, code] of [[Gio.IOErrorEnum, Gio.IOErrorEnum.NO_SPACE], [Bs.Error, Bs.Error.CORRUPT]]) {
        const fail = () => {
            throw new GLib.Error(domain, code, 'on purpose');
        };
        backing.failures.set('sync_persisted', fail);
        let error = await assertFails(domain, code, () => store.sync(tracked, null));
        assertIncludes(error.message, KEPT.get_uri(), 'on purpose');

        const item = pool.insert(bytes('content'));
        backing.failures.set('persist', fail);
        error = await assertFails(domain, code, () => item.persist_async(tracked, DEFAULT, null));
        assertIncludes(error.message, 'persist', item.key, KEPT.get_uri(), 'on purpose');
        assert(await item.persist_async(tracked, DEFAULT, null));

        await pool.trim_async(0, DEFAULT, null);
        backing.failures.set('read', fail);
        error = await assertFails(domain, code, () => item.load_async(DEFAULT, null));
        assertIncludes(error.message, item.key);
        assertEqual(text(await item.load_async(DEFAULT, null)), 'content');
    }
    await store.close_async(DEFAULT, null);
});

// GJS carries one through C in a domain of its own, and makes it again of it.
test('a plain exception keeps its type and message', async () => {
    const backing = new MapBacking();
    const store = newStore(backing);
    const tracked = await store.track_path_async(KEPT, DEFAULT, null);
    const item = Bs.Pool.new(store, 100).insert(bytes('content'));
    const ways = [
        ['write', () => item.write_async(DEFAULT, null)],
        ['write', () => item.write(null)],
        ['persist', () => item.persist_async(tracked, DEFAULT, null)],
        ['sync_persisted', () => store.sync_async(tracked, DEFAULT, null)],
    ];
    for (const [name, way] of ways) {
        backing.failures.set(name, () => {
            throw new RangeError('on purpose');
        });
        let caught = null;
        try {
            await way();
        } catch (error) {
            caught = error;
        }
        assert(caught instanceof RangeError, `${name}: ${caught}`);
        assertIncludes(caught.message, name, 'on purpose');
    }
    assert(await item.persist_async(tracked, DEFAULT, null));
    await store.close_async(DEFAULT, null);
});

test('a forgotten result', async () => {
    const Forgetful = GObject.registerClass({
        Implements: [Bs.Backing],
    }, class Forgetful extends MapBacking {
        vfunc_persist(path, key, cancellable) {
            if (this.remembers)
                return super.vfunc_persist(path, key, cancellable);
        }
    });

    const backing = new Forgetful();
    const store = newStore(backing);
    const tracked = await store.track_path_async(KEPT, DEFAULT, null);
    const item = Bs.Pool.new(store, 100).insert(bytes('content'));
    for (const way of [() => item.persist(tracked, null), () => item.persist_async(tracked, DEFAULT, null)]) {
        const error = await assertFails(Bs.Error, Bs.Error.FAILED, way);
        assertIncludes(error.message, 'Forgetful.persist', 'return True');
    }
    backing.remembers = true;
    assert(await item.persist_async(tracked, DEFAULT, null));
    await store.close_async(DEFAULT, null);
});

test('cancellation reaches the function', async () => {
    const cancellable = Gio.Cancellable.new();
    const Obedient = GObject.registerClass({
        Implements: [Bs.Backing],
    }, class Obedient extends MapBacking {
        vfunc_write(key, content, inner) {
            cancellable.cancel();
            inner.set_error_if_cancelled();
            return super.vfunc_write(key, content, inner);
        }
    });

    const backing = new Obedient();
    const store = newStore(backing);
    const item = Bs.Pool.new(store, 100).insert(bytes('content'));
    await assertFails(Gio.IOErrorEnum, Gio.IOErrorEnum.CANCELLED, () => item.write_async(DEFAULT, cancellable));
    assertEqual(backing.primary.size, 0);
    assertEqual(text(item.load(null)), 'content');
    await store.close_async(DEFAULT, null);
});

test('a call from inside is refused', async () => {
    const backing = new MapBacking();
    const store = newStore(backing);
    const tracked = await store.track_path_async(KEPT, DEFAULT, null);
    for (const way of [() => store.sync(tracked, null), () => store.sync_async(tracked, DEFAULT, null)]) {
        backing.failures.set('sync_persisted', () => store.track_path(KEPT, null));
        await assertFails(Gio.IOErrorEnum, Gio.IOErrorEnum.WOULD_BLOCK, way);
    }
    await store.close_async(DEFAULT, null);
});

test('background-error', async () => {
    const backing = new MapBacking();
    const store = newStore(backing);
    backing.failures.set('write', () => {
        throw new GLib.Error(Bs.Error, Bs.Error.BUSY, 'on purpose');
    });
    const arrives = emission(store, 'background-error');
    const item = Bs.Pool.new(store, 0).insert(bytes('content'));
    const [key, operation, error] = await arrives;
    assertEqual(key, item.key);
    assertEqual(operation, Bs.Operation.WRITE);
    assert(error.matches(Bs.Error, Bs.Error.BUSY));
    await store.close_async(DEFAULT, null);
});

test('the wrappers check keys', async () => {
    const backing = new MapBacking();
    await assertFails(Bs.Error, Bs.Error.INVALID_KEY, () => backing.read('x', null));
    await assertFails(Bs.Error, Bs.Error.INVALID_KEY, () => backing.write('x', bytes('content'), null));
    const key = Bs.key_generate();
    assert(backing.write(key.toUpperCase().replaceAll('-', ''), bytes('content'), null));
    assertEqual([...backing.primary.keys()], [key]);
});

test('a directory that is only read, and one that needs repair', async () => {
    const directory = Gio.File.new_for_path(GLib.Dir.make_tmp('backingstore-XXXXXX'));
    const path = directory.get_child('document');
    const key = Bs.key_generate();
    const writer = Bs.FileBacking.new_temporary();
    assert(writer.persist_bytes(path, key, bytes('content'), null));
    assert(writer.sync_persisted(path, null));
    assert(writer.close(null));

    const reader = Bs.FileBacking.new_temporary();
    assert(!reader.read_only);
    reader.read_only = true;
    await assertFails(Gio.IOErrorEnum, Gio.IOErrorEnum.READ_ONLY, () => reader.delete_persisted(path, key, null));
    assert(reader.close(null));

    path.get_child('.backingstore').replace_contents('garbage', null, false, 0, null);
    const backing = Bs.FileBacking.new_temporary();
    const restored = Bs.KeySet.new();
    await assertFails(Bs.Error, Bs.Error.FOREIGN,
        () => backing.repair_path(path, Bs.RepairFlags.RESTORE, restored, null));
    const flags = Bs.RepairFlags.ADOPT | Bs.RepairFlags.RESTORE;
    assertEqual(backing.repair_path(path, flags | Bs.RepairFlags.DRY_RUN, restored, null), [true, true]);
    assertEqual(backing.repair_path(path, flags, restored, null), [true, true]);
    assertEqual(backing.repair_path(path, flags, restored, null), [true, false]);
    assertEqual(restored.get_n_keys(), 0);
    assert(backing.close(null));
    GLib.spawn_sync(null, ['rm', '-r', directory.get_path()], null, GLib.SpawnFlags.SEARCH_PATH, null);
});

test('inside a fault backing', async () => {
    const inner = new MapBacking();
    const backing = Bs.FaultBacking.new(inner);
    assert(backing.inner === inner);
    const store = newStore(backing);
    const item = Bs.Pool.new(store, 100).insert(bytes('content'));
    backing.fail(Bs.Operation.WRITE, null, 1, new GLib.Error(Bs.Error, Bs.Error.BUSY, 'on purpose'));
    await assertFails(Bs.Error, Bs.Error.BUSY, () => item.write_async(DEFAULT, null));
    assert(await item.write_async(DEFAULT, null));
    assertEqual(inner.primary.size, 1);
    await store.close_async(DEFAULT, null);
});

run();
