// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The backingstore authors

// Stores over the backings that come with the library.

import Bs from 'gi://Bs?version=1';
import Gio from 'gi://Gio';
import GLib from 'gi://GLib';
import System from 'system';

import {emission, until} from './promises.js';
import {assert, assertEqual, assertFails, assertIncludes, bytes, list, run, test, text} from './tap.js';

const DEFAULT = GLib.PRIORITY_DEFAULT;

const KINDS = {
    memory: () => new Bs.MemoryBacking(),
    file: directory => Bs.FileBacking.new(directory.get_child('scratch')),
    fault: () => Bs.FaultBacking.new(new Bs.MemoryBacking()),
};

const CONTEXTS = {
    threads: backing => Bs.BackingStore.new(backing),
    'main-context': backing => Bs.BackingStore.new_in_context(backing, GLib.MainContext.default()),
};

function keySet(keys) {
    const set = new Bs.KeySet();
    keys.forEach(key => set.add(key));
    return set;
}

test('keys', async () => {
    const key = Bs.key_generate();
    assert(Bs.key_is_valid(key));
    assertEqual(key, key.toLowerCase());
    assertEqual(key.length, 36);

    const keys = keySet([key, key.toUpperCase(), key.replaceAll('-', '')]);
    assertEqual(keys.n_keys, 1);
    assertEqual(keys.nKeys, 1);
    assertEqual(keys.list_keys(), [key]);
    const seen = [];
    keys.foreach_key(each => seen.push(each));
    assertEqual(seen, [key]);
    assert(keys.contains_key(key.toUpperCase()));
    for (const wrong of ['', 'x', key.slice(1), `{${key}}`]) {
        assert(!Bs.key_is_valid(wrong));
        assert(!keys.contains_key(wrong));
        await assertFails(Bs.Error, Bs.Error.INVALID_KEY, () => keys.add(wrong));
    }
    assert(keys.remove(key));
    assert(!keys.remove(key));
});

for (const [kind, newBacking] of Object.entries(KINDS)) {
    for (const [where, newStore] of Object.entries(CONTEXTS)) {
        test(`${kind}, ${where}: promises`, async directory => {
            const store = newStore(newBacking(directory));
            const path = directory.get_child('kept');
            let tracked = await store.track_path_async(path, DEFAULT, null);
            assert(tracked.file.equal(path));
            assert(await store.track_path_async(path, DEFAULT, null) === tracked);

            const pool = Bs.Pool.new(store, 1 << 20);
            const items = Array.from({length: 20}, (_, number) => pool.insert(bytes(`${number}`)));
            const persists = items.map(item => item.persist_async(tracked, DEFAULT, null));
            assert(await store.sync_async(tracked, DEFAULT, null));
            assert((await Promise.all(persists)).every(done => done));
            assertEqual(tracked.list_keys().sort(), items.map(item => item.key).sort());

            assert(await store.untrack_path_async(tracked, DEFAULT, null));
            assert(tracked.closed);
            await assertFails(Bs.Error, Bs.Error.CLOSED, () => store.sync_async(tracked, DEFAULT, null));
            tracked = await store.track_path_async(path, DEFAULT, null);

            const keys = tracked.list_keys();
            const one = await pool.register_async(tracked, keys[0], DEFAULT, null);
            assertEqual(one.key, keys[0]);
            const found = await pool.register_all_async(tracked, DEFAULT, null);
            assertEqual(found.get_n_items(), 20);
            assertEqual(found.get_item_type(), Bs.Item.$gtype);
            const loads = await Promise.all(list(found).map(item => item.load_async(DEFAULT, null)));
            assertEqual(loads.map(text).sort(), items.map(item => text(item.load(null))).sort());

            assert(await store.delete_persisted_async(tracked, keys[0], DEFAULT, null));
            assert(await store.delete_persisted_keys_async(tracked, keySet(keys.slice(0, 10)), DEFAULT, null));
            assertEqual(tracked.list_keys().sort(), keys.slice(10).sort());

            assert(await store.wait_finished_async(DEFAULT, null));
            assert(await store.close_async(DEFAULT, null));
            await assertFails(Bs.Error, Bs.Error.CLOSED, () => store.track_path_async(path, DEFAULT, null));
        });

        test(`${kind}, ${where}: blocking`, directory => {
            const store = newStore(newBacking(directory));
            const tracked = store.track_path(directory.get_child('kept'), null);
            const pool = Bs.Pool.new(store, 1 << 20);
            const item = pool.insert(bytes('content'));
            assert(item.persist(tracked, null));
            assert(store.sync(tracked, null));
            assertEqual(text(pool.register(tracked, item.key, null).load(null)), 'content');
            assertEqual(pool.register_all(tracked, null).get_n_items(), 1);
            assert(pool.trim(0, null));
            assertEqual(text(item.load(null)), 'content');
            assert(store.delete_persisted_keys(tracked, keySet([item.key]), null));
            assert(store.delete_persisted(tracked, item.key, null));
            assertEqual(tracked.n_keys, 0);
            assert(store.untrack_path(tracked, null));
            assert(store.wait_finished(null));
            assert(store.close(null));
        });
    }

    test(`${kind}: errors`, async directory => {
        const store = Bs.BackingStore.new(newBacking(directory));
        const tracked = store.track_path(directory.get_child('kept'), null);
        const pool = Bs.Pool.new(store, 100);
        const key = Bs.key_generate();
        await assertFails(Bs.Error, Bs.Error.INVALID_KEY, () => store.delete_persisted(tracked, 'x', null));
        await assertFails(Bs.Error, Bs.Error.INVALID_KEY, () => pool.register_async(tracked, 'x', DEFAULT, null));
        const error = await assertFails(Bs.Error, Bs.Error.NOT_FOUND, () => pool.register_async(tracked, key, DEFAULT, null));
        assert(error.matches(Bs.error_quark(), Bs.Error.NOT_FOUND));
        assertIncludes(error.message, key, 'kept');
        await assertFails(Bs.Error, Bs.Error.NOT_FOUND, () => store.load_root_async(tracked, DEFAULT, null));

        store.backing.write_root(tracked.file, bytes('root'), null, null);
        assertEqual(text(await store.load_root_async(tracked, DEFAULT, null)), 'root');

        const other = Bs.BackingStore.new(new Bs.MemoryBacking());
        await assertFails(Gio.IOErrorEnum, Gio.IOErrorEnum.INVALID_ARGUMENT, () => other.sync(tracked, null));
        await assertFails(Gio.IOErrorEnum, Gio.IOErrorEnum.INVALID_ARGUMENT, () => other.sync_async(tracked, DEFAULT, null));
        other.close(null);
        await store.close_async(DEFAULT, null);
    });
}

test('a directory that is renamed', async directory => {
    const store = Bs.BackingStore.new(KINDS.file(directory));
    const path = directory.get_child('kept');
    const renamed = directory.get_child('renamed');
    const tracked = await store.track_path_async(path, DEFAULT, null);
    const save = Bs.Save.new(store, tracked);
    save.add_item(Bs.Pool.new(store, 100).insert(bytes('content')));
    assert(tracked.writable);
    assert(!tracked.moved);

    path.move(renamed, Gio.FileCopyFlags.NONE, null, null);
    let notified = emission(tracked, 'notify::moved');
    await assertFails(Bs.Error, Bs.Error.MOVED, () => save.run_async(DEFAULT, null));
    await notified;
    assert(tracked.moved);
    assert(await store.track_path_async(path, DEFAULT, null) !== tracked);

    notified = emission(tracked, 'notify::file');
    assert(await store.track_path_async(renamed, DEFAULT, null) === tracked);
    await notified;
    assert(tracked.file.equal(renamed));
    assert(!tracked.get_moved());
    await save.run_async(DEFAULT, null);
    await store.close_async(DEFAULT, null);
});

test('files of a next process', async directory => {
    let store = Bs.BackingStore.new(KINDS.file(directory));
    const path = directory.get_child('kept');
    let tracked = await store.track_path_async(path, DEFAULT, null);
    let item = Bs.Pool.new(store, 100).insert(bytes('content'));
    await item.persist_async(tracked, DEFAULT, null);
    await store.sync_async(tracked, DEFAULT, null);
    await store.close_async(DEFAULT, null);
    const {key} = item;

    const backing = Bs.FileBacking.new_temporary();
    store = Bs.BackingStore.new(backing);
    tracked = await store.track_path_async(path, DEFAULT, null);
    assertEqual(tracked.list_keys(), [key]);
    item = await Bs.Pool.new(store, 100).register_async(tracked, key, DEFAULT, null);
    assertEqual(text(await item.load_async(DEFAULT, null)), 'content');
    const stats = backing.get_stats();
    assertEqual(stats.linked + stats.reflinked + stats.copied, 1);
    assert(backing.directory.query_exists(null));
    await store.close_async(DEFAULT, null);
    assert(!backing.directory.query_exists(null));
});

test('a temporary directory elsewhere', async directory => {
    const parent = directory.get_child('parent');
    const backing = Bs.FileBacking.new_temporary_in(parent);
    assert(backing.directory.get_parent().equal(parent));
    const store = Bs.BackingStore.new(backing);
    await Bs.Pool.new(store, 100).insert(bytes('content')).write_async(DEFAULT, null);
    assert(backing.directory.query_exists(null));
    await store.close_async(DEFAULT, null);
    assert(!backing.directory.query_exists(null));
    assert(parent.query_exists(null));
    await assertFails(Bs.Error, Bs.Error.NOT_SUPPORTED,
        () => Bs.FileBacking.new_temporary_in(Gio.File.new_for_uri('s3://bucket/scratch')));
});

test('a foreign directory', async directory => {
    const home = directory.get_child('home');
    home.make_directory(null);
    home.get_child('letter').create(Gio.FileCreateFlags.NONE, null).close(null);
    const store = Bs.BackingStore.new(KINDS.file(directory));
    const error = await assertFails(Bs.Error, Bs.Error.FOREIGN, () => store.track_path_async(home, DEFAULT, null));
    assertIncludes(error.message, home.get_path());
    assert(home.get_child('letter').query_exists(null));
    await store.close_async(DEFAULT, null);
});

test('a failure that was asked for', async directory => {
    const backing = KINDS.fault();
    const store = Bs.BackingStore.new(backing);
    const tracked = await store.track_path_async(directory.get_child('kept'), DEFAULT, null);
    const item = Bs.Pool.new(store, 100).insert(bytes('content'));
    backing.fail(Bs.Operation.PERSIST, null, 1, new GLib.Error(Gio.IOErrorEnum, Gio.IOErrorEnum.NO_SPACE, 'full'));
    const error = await assertFails(Gio.IOErrorEnum, Gio.IOErrorEnum.NO_SPACE,
        () => item.persist_async(tracked, DEFAULT, null));
    assertIncludes(error.message, 'persist', item.key, 'full');
    assert(await item.persist_async(tracked, DEFAULT, null));
    assertEqual(backing.get_count(Bs.Operation.PERSIST), 2);
    await store.close_async(DEFAULT, null);
});

test('cancellation', async directory => {
    const backing = KINDS.fault();
    const store = Bs.BackingStore.new(backing);
    const cancelled = Gio.Cancellable.new();
    cancelled.cancel();
    await assertFails(Gio.IOErrorEnum, Gio.IOErrorEnum.CANCELLED,
        () => store.track_path_async(directory.get_child('kept'), DEFAULT, cancelled));
    await assertFails(Gio.IOErrorEnum, Gio.IOErrorEnum.CANCELLED,
        () => store.track_path(directory.get_child('kept'), cancelled));
    assertEqual(backing.get_count(Bs.Operation.SANITIZE_PATH), 0);

    const item = Bs.Pool.new(store, 100).insert(bytes('content'));
    const cancellable = Gio.Cancellable.new();
    backing.hold(Bs.Operation.WRITE);
    const stays = item.write_async(DEFAULT, null);
    const leaves = item.write_async(DEFAULT, cancellable);
    await until(() => backing.get_count(Bs.Operation.WRITE) === 1);
    cancellable.cancel();
    await assertFails(Gio.IOErrorEnum, Gio.IOErrorEnum.CANCELLED, () => leaves);
    backing.release(Bs.Operation.WRITE);
    assert(await stays);
    assertEqual(backing.get_count(Bs.Operation.WRITE), 1);
    await store.close_async(DEFAULT, null);
});

test('background-error', async () => {
    const backing = KINDS.fault();
    const store = Bs.BackingStore.new(backing);
    backing.fail(Bs.Operation.WRITE, null, 1, new GLib.Error(Gio.IOErrorEnum, Gio.IOErrorEnum.PERMISSION_DENIED, 'no'));
    const arrives = emission(store, 'background-error');
    const item = Bs.Pool.new(store, 0).insert(bytes('content'));
    const [key, operation, error] = await arrives;
    assertEqual(key, item.key);
    assertEqual(operation, Bs.Operation.WRITE);
    assert(error.matches(Gio.IOErrorEnum, Gio.IOErrorEnum.PERMISSION_DENIED));
    await store.close_async(DEFAULT, null);
});

for (const [where, newStore] of Object.entries(CONTEXTS)) {
    test(`${where}: verify`, async directory => {
        const backing = KINDS.fault();
        const store = newStore(backing);
        const tracked = await store.track_path_async(directory.get_child('kept'), DEFAULT, null);
        const pool = Bs.Pool.new(store, 1000);
        const items = Array.from({length: 20}, (_, number) => pool.insert(bytes(`${number}`)));
        await Promise.all(items.map(item => item.persist_async(tracked, DEFAULT, null)));

        const verify = new Bs.Verify({store, tracked});
        assert(verify.store === store && verify.tracked === tracked);
        let whole = false;
        verify.connect('notify::fraction', () => {
            whole = verify.fraction === 1;
        });
        const spoil = (key, domain, code) =>
            backing.fail(Bs.Operation.VERIFY_PERSISTED, key, 1, new GLib.Error(domain, code, 'bad'));
        spoil(items[3].key, Bs.Error, Bs.Error.CORRUPT);
        spoil(items[4].key, Bs.Error, Bs.Error.NOT_FOUND);
        assert(await verify.run_async(DEFAULT, null));
        await until(() => whole);
        assertEqual([verify.nTotal, verify.nDone, verify.nBad], [20, 20, 2]);
        assertEqual(verify.dup_bad_keys().list_keys().sort(), [items[3].key, items[4].key].sort());
        assertEqual(tracked.n_keys, 18);

        spoil(items[5].key, Gio.IOErrorEnum, Gio.IOErrorEnum.PERMISSION_DENIED);
        const error = await assertFails(Gio.IOErrorEnum, Gio.IOErrorEnum.PERMISSION_DENIED, () => verify.run(null));
        assertIncludes(error.message, '1 of 18 keys', items[5].key, 'kept');

        // In the context nothing is checked before the loop runs; threads are held.
        const cancellable = Gio.Cancellable.new();
        if (where === 'threads')
            backing.hold(Bs.Operation.VERIFY_PERSISTED);
        const run = verify.run_async(DEFAULT, cancellable);
        const refused = verify.run_async(DEFAULT, null);
        cancellable.cancel();
        backing.release(Bs.Operation.VERIFY_PERSISTED);
        await assertFails(Bs.Error, Bs.Error.BUSY, () => refused);
        await assertFails(Gio.IOErrorEnum, Gio.IOErrorEnum.CANCELLED, () => run);
        assert(await verify.run_async(DEFAULT, null));
        await store.close_async(DEFAULT, null);
    });
}

test('properties', async directory => {
    const backing = KINDS.fault();
    const store = Bs.BackingStore.new(backing);
    assert(store.backing === backing);
    assert(backing.inner instanceof Bs.MemoryBacking);
    assert(store.main_context === null);
    assertEqual(store.max_threads, Math.min(Math.max(GLib.get_num_processors() - 1, 2), 4));
    assertEqual(store.threadNice, 5);
    let notified = emission(store, 'notify::max-threads');
    store.maxThreads = 6;
    await notified;
    assertEqual(store.get_max_threads(), 6);
    notified = emission(store, 'notify::thread-nice');
    store.threadNice = 7;
    await notified;
    assertEqual(store.get_thread_nice(), 7);

    const tracked = await store.track_path_async(directory.get_child('kept'), DEFAULT, null);
    notified = emission(tracked, 'notify::n-keys');
    const item = Bs.Pool.new(store, 100).insert(bytes('content'));
    await item.persist_async(tracked, DEFAULT, null);
    await notified;
    assertEqual(tracked.nKeys, 1);
    notified = emission(tracked, 'notify::closed');
    await store.untrack_path_async(tracked, DEFAULT, null);
    await notified;
    assert(tracked.closed);
    await store.close_async(DEFAULT, null);
});

test('constructed by properties', async () => {
    const store = new Bs.BackingStore({backing: new Bs.MemoryBacking(), maxThreads: 1});
    assertEqual(store.max_threads, 1);
    const pool = new Bs.Pool({store, maxBytes: 5});
    assertEqual(pool.max_bytes, 5);
    await store.close_async(DEFAULT, null);
});

test('task tracker', async () => {
    const backing = KINDS.fault();
    const store = Bs.BackingStore.new(backing);
    const tracker = store.task_tracker;
    const item = Bs.Pool.new(store, 100).insert(bytes('content'));
    backing.hold(Bs.Operation.WRITE);
    const notified = emission(tracker, 'notify::n-tasks');
    const writes = item.write_async(DEFAULT, null);
    assertEqual(tracker.nTasks, 1);
    await notified;
    const finishes = store.wait_finished_async(DEFAULT, null);
    assert(tracker.closed);
    backing.release(Bs.Operation.WRITE);
    assert(await writes);
    assert(await finishes);
    assertEqual(tracker.n_tasks, 0);

    tracker.reopen();
    tracker.hold();
    tracker.close();
    const waits = tracker.wait_async(null);
    tracker.release();
    assert(await waits);
    await store.close_async(DEFAULT, null);
});

// A function in JavaScript runs in the main context and nowhere else.
test('run_in_thread', async directory => {
    const store = CONTEXTS['main-context'](new Bs.MemoryBacking());
    const seen = [];
    const cancellable = Gio.Cancellable.new();
    const work = (...values) => {
        seen.push(values);
        return true;
    };
    assert(store.run_in_thread(work, cancellable));
    assert(await store.run_in_thread_async(work, DEFAULT, null));
    assertEqual(seen.length, 2);
    assert(seen[0][0] === store && seen[0][1] === cancellable && seen[0].length === 2);
    assert(seen[1][0] === store && seen[1][1] === null);

    await store.run_in_thread_async(() => {
        const tracked = store.track_path(directory.get_child('kept'), null);
        const item = Bs.Pool.new(store, 100).insert(bytes('content'));
        item.persist(tracked, null);
        return store.sync(tracked, null);
    }, DEFAULT, null);
    await store.close_async(DEFAULT, null);
});

test('run_in_thread fails', async () => {
    const store = CONTEXTS['main-context'](new Bs.MemoryBacking());
    const ways = [
        work => store.run_in_thread(work, null),
        work => store.run_in_thread_async(work, DEFAULT, null),
    ];
    for (const way of ways) {
        await assertFails(Gio.IOErrorEnum, Gio.IOErrorEnum.NO_SPACE, () => way(() => {
            throw new GLib.Error(Gio.IOErrorEnum, Gio.IOErrorEnum.NO_SPACE, 'on purpose');
        }));
        const busy = await assertFails(Bs.Error, Bs.Error.BUSY, () => way(() => {
            throw new GLib.Error(Bs.Error, Bs.Error.BUSY, 'on purpose');
        }));
        assertIncludes(busy.message, 'on purpose');

        // GJS has a domain of its own for exceptions, and makes them again of it.
        let caught = null;
        try {
            await way(() => {
                throw new RangeError('on purpose');
            });
        } catch (error) {
            caught = error;
        }
        assert(caught instanceof RangeError, `${caught}`);
        assertIncludes(caught.message, 'on purpose');

        const silent = await assertFails(Bs.Error, Bs.Error.FAILED, () => way(() => {}));
        assertIncludes(silent.message, 'return True');

        // The call could only wait for itself.
        await assertFails(Gio.IOErrorEnum, Gio.IOErrorEnum.WOULD_BLOCK, () => way(() => store.wait_finished(null)));
        store.task_tracker.reopen();
    }
    await store.close_async(DEFAULT, null);
});

test('run_in_thread cancelled', async () => {
    const store = CONTEXTS['main-context'](new Bs.MemoryBacking());
    const cancellable = Gio.Cancellable.new();
    let nRuns = 0;
    const work = (_store, inner) => {
        nRuns++;
        cancellable.cancel();
        inner.set_error_if_cancelled();
        return true;
    };
    for (let i = 0; i < 2; i++) {
        await assertFails(Gio.IOErrorEnum, Gio.IOErrorEnum.CANCELLED,
            () => store.run_in_thread_async(work, DEFAULT, cancellable));
    }
    assertEqual(nRuns, 1);
    await store.close_async(DEFAULT, null);
});

test('garbage', async directory => {
    const backing = KINDS.fault();
    const store = Bs.BackingStore.new(backing);
    const pool = Bs.Pool.new(store, 100);
    await (async () => {
        const tracked = await store.track_path_async(directory.get_child('kept'), DEFAULT, null);
        const items = Array.from({length: 50}, (_, number) => pool.insert(bytes(`${number}`)));
        await Promise.all(items.map(item => item.persist_async(tracked, DEFAULT, null)));
    })();
    await until(() => {
        System.gc();
        return pool.n_items === 0;
    });
    await store.wait_finished_async(DEFAULT, null);
    assertEqual(backing.get_count(Bs.Operation.DELETE_KEY), 50);
    await store.close_async(DEFAULT, null);
});

run();
