// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The backingstore authors

// Pools and items.

import Bs from 'gi://Bs?version=1';
import Gio from 'gi://Gio';
import GLib from 'gi://GLib';
import System from 'system';

import {emission, until} from './promises.js';
import {assert, assertEqual, assertFails, bytes, list, run, test, text} from './tap.js';

const DEFAULT = GLib.PRIORITY_DEFAULT;

function fixture(directory, maxBytes) {
    const backing = Bs.FaultBacking.new(Bs.FileBacking.new(directory.get_child('scratch')));
    const store = Bs.BackingStore.new(backing);
    return {backing, store, pool: Bs.Pool.new(store, maxBytes), path: directory.get_child('kept')};
}

test('budget', async directory => {
    const {store, pool} = fixture(directory, 4096);
    const contents = Array.from({length: 20}, (_, number) => String.fromCharCode(97 + number).repeat(1024));
    const items = contents.map(content => pool.insert(bytes(content)));
    assert(await pool.trim_async(pool.max_bytes, DEFAULT, null));
    assertEqual(pool.memory_use, 4096);
    assertEqual(pool.n_items, 20);
    assertEqual(pool.nResident, 4);

    const loads = await Promise.all(items.map(item => item.load_async(DEFAULT, null)));
    assertEqual(loads.map(text), contents);
    const stats = pool.get_stats();
    assertEqual(stats.hits + stats.misses, 20);
    assert(stats.misses >= 16 && stats.evictions >= 16 && stats.writes >= 16);
    assertEqual(stats.bytes_in, stats.misses * 1024);
    assertEqual(stats.bytes_out, stats.writes * 1024);
    await store.close_async(DEFAULT, null);
});

test('properties', async directory => {
    const {store, pool} = fixture(directory, 4096);
    assert(pool.store === store);
    const notified = ['memory-use', 'n-items', 'n-resident'].map(name => emission(pool, `notify::${name}`));
    const item = pool.insert(bytes('content'));
    assert(item.pool === pool);
    await Promise.all(notified);
    assertEqual(pool.memoryUse, 7);
    assertEqual(pool.memory_in_use, 0);

    pool.maxBytes = 5;
    await pool.trim_async(5, DEFAULT, null);
    assertEqual(pool.memory_use, 0);
    await store.close_async(DEFAULT, null);
});

test('statistics', async directory => {
    const {store, pool} = fixture(directory, 4096);
    const item = pool.insert(bytes('content'));
    assertEqual(text(await item.load_async(DEFAULT, null)), 'content');
    await pool.trim_async(0, DEFAULT, null);
    const {hits, misses, evictions, writes, bytes_in: read, bytes_out: written} = pool.get_stats();
    assertEqual([hits, misses, evictions, writes, read, written], [1, 0, 1, 1, 0, 7]);
    await store.close_async(DEFAULT, null);
});

test('changing budget', async directory => {
    const {store, pool} = fixture(directory, 4096);
    const items = Array.from({length: 4}, (_, number) => pool.insert(bytes(`${number}`.repeat(1000))));
    await Promise.all(items.map(item => item.write_async(DEFAULT, null)));
    pool.max_bytes = 2000;
    assertEqual(pool.memory_use, 2000);
    assertEqual(pool.n_resident, 2);
    pool.set_max_bytes(0);
    assertEqual(pool.get_memory_use(), 0);
    const contents = await Promise.all(items.map(item => item.load_async(DEFAULT, null)));
    assertEqual(contents.map(content => text(content)[0]), ['0', '1', '2', '3']);
    await store.close_async(DEFAULT, null);
});

test('awaiting trim', async directory => {
    const {store, pool} = fixture(directory, 4000);
    const items = [];
    let peak = 0;
    for (let number = 0; number < 30; number++) {
        items.push(pool.insert(bytes('x'.repeat(1000))));
        peak = Math.max(peak, pool.memory_use);
        await pool.trim_async(pool.max_bytes, DEFAULT, null);
    }
    assert(peak <= 6000, `${peak} bytes`);
    assertEqual(pool.n_items, 30);
    await store.close_async(DEFAULT, null);
});

test('low memory', async directory => {
    const {store, pool} = fixture(directory, 4000);
    assert(pool.trim_on_low_memory);
    pool.trimOnLowMemory = false;
    const items = Array.from({length: 4}, () => pool.insert(bytes('x'.repeat(1000))));
    const monitor = Gio.MemoryMonitor.dup_default();
    // The pool asks for it when the main loop runs.
    await Promise.all(items.map(item => item.write_async(DEFAULT, null)));
    monitor.emit('low-memory-warning', Gio.MemoryMonitorWarningLevel.CRITICAL);
    assertEqual(pool.memory_use, 4000);

    const notified = emission(pool, 'notify::trim-on-low-memory');
    pool.set_trim_on_low_memory(true);
    await notified;
    monitor.emit('low-memory-warning', Gio.MemoryMonitorWarningLevel.LOW);
    assertEqual(pool.memory_use, 2000);
    monitor.emit('low-memory-warning', Gio.MemoryMonitorWarningLevel.MEDIUM);
    assertEqual(pool.memory_use, 1000);
    monitor.emit('low-memory-warning', Gio.MemoryMonitorWarningLevel.CRITICAL);
    assertEqual(pool.memory_use, 0);
    await store.close_async(DEFAULT, null);
});

test('try_load', async directory => {
    const {store, pool} = fixture(directory, 4096);
    const item = pool.insert(bytes('content'));
    assertEqual(text(item.try_load()), 'content');
    await pool.trim_async(0, DEFAULT, null);
    // In memory as long as the garbage collector leaves the bytes alone.
    await until(() => {
        System.gc();
        return pool.memory_in_use === 0;
    });
    assert(item.try_load() === null);
    assertEqual(text(await item.load_async(DEFAULT, null)), 'content');
    assertEqual(text(item.try_load()), 'content');
    await store.close_async(DEFAULT, null);
});

test('one read for many', async directory => {
    const {backing, store, pool} = fixture(directory, 4096);
    const item = pool.insert(bytes('content'));
    await pool.trim_async(0, DEFAULT, null);
    backing.hold(Bs.Operation.READ);
    const loads = Array.from({length: 50}, () => item.load_async(DEFAULT, null));
    backing.release(Bs.Operation.READ);
    for (const content of await Promise.all(loads))
        assertEqual(text(content), 'content');
    assertEqual(backing.get_count(Bs.Operation.READ), 1);
    await store.close_async(DEFAULT, null);
});

test('replace and copy', async directory => {
    const {backing, store, pool, path} = fixture(directory, 4096);
    const tracked = await store.track_path_async(path, DEFAULT, null);
    const item = pool.insert(bytes('old'));
    const {key} = item;
    const copy = item.copy();
    assertEqual(copy.key, key);

    backing.hold(Bs.Operation.PERSIST);
    const persists = item.persist_async(tracked, DEFAULT, null);
    const notified = ['key', 'size'].map(name => emission(item, `notify::${name}`));
    item.replace(bytes('newer'));
    await Promise.all(notified);
    backing.release(Bs.Operation.PERSIST);
    assert(await persists);
    assertEqual(tracked.list_keys(), [key]);

    assert(item.key !== key);
    assertEqual(item.dup_key(), item.key);
    assertEqual(item.size, 5);
    assertEqual(text(await item.load_async(DEFAULT, null)), 'newer');
    assertEqual(text(await copy.load_async(DEFAULT, null)), 'old');
    await store.close_async(DEFAULT, null);
});

test('register', async directory => {
    const {store, pool, path} = fixture(directory, 4096);
    const tracked = await store.track_path_async(path, DEFAULT, null);
    const written = Array.from({length: 30}, (_, number) => pool.insert(bytes(`${number}`)));
    await Promise.all(written.map(item => item.persist_async(tracked, DEFAULT, null)));

    const other = Bs.Pool.new(store, 4096);
    const one = await other.register_async(tracked, written[7].key, DEFAULT, null);
    assertEqual(one.size, -1);
    assertEqual(text(await one.load_async(DEFAULT, null)), '7');
    assertEqual(one.size, 1);

    const model = await other.register_all_async(tracked, DEFAULT, null);
    assert(model.get_item(3) === model.get_item(3));
    assert(model.get_item(30) === null);
    const items = list(model);
    assertEqual(items.map(item => item.key).sort(), written.map(item => item.key).sort());
    const everything = new Bs.KeySet();
    items.forEach(item => everything.add(item.key));
    await store.delete_persisted_keys_async(tracked, everything, DEFAULT, null);
    assertEqual(tracked.n_keys, 0);
    const loads = await Promise.all(items.map(item => item.load_async(DEFAULT, null)));
    assertEqual(new Set(loads.map(text)).size, 30);
    await store.close_async(DEFAULT, null);
});

test('a failed write stays in memory', async directory => {
    const {backing, store, pool} = fixture(directory, 5);
    const full = new GLib.Error(Gio.IOErrorEnum, Gio.IOErrorEnum.NO_SPACE, 'full');
    backing.fail(Bs.Operation.WRITE, null, 0, full);
    const arrives = emission(store, 'background-error');
    const item = pool.insert(bytes('content'));
    const [key, operation] = await arrives;
    assertEqual(key, item.key);
    assertEqual(operation, Bs.Operation.WRITE);
    assertEqual(pool.memory_use, 7);
    await assertFails(Gio.IOErrorEnum, Gio.IOErrorEnum.NO_SPACE, () => pool.trim_async(0, DEFAULT, null));
    assertEqual(text(item.load(null)), 'content');

    backing.clear();
    assert(await pool.trim_async(0, DEFAULT, null));
    assertEqual(text(await item.load_async(DEFAULT, null)), 'content');
    await store.close_async(DEFAULT, null);
});

test('cancelled load', async directory => {
    const {backing, store, pool} = fixture(directory, 4096);
    const item = pool.insert(bytes('content'));
    await pool.trim_async(0, DEFAULT, null);
    const cancellable = Gio.Cancellable.new();
    backing.hold(Bs.Operation.READ);
    const leaves = item.load_async(DEFAULT, cancellable);
    const stays = item.load_async(DEFAULT, null);
    cancellable.cancel();
    await assertFails(Gio.IOErrorEnum, Gio.IOErrorEnum.CANCELLED, () => leaves);
    backing.release(Bs.Operation.READ);
    assertEqual(text(await stays), 'content');
    await store.close_async(DEFAULT, null);
});

test('one key is one content', async directory => {
    const {store, pool, path} = fixture(directory, 4096);
    const tracked = await store.track_path_async(path, DEFAULT, null);
    const item = pool.insert(bytes('content'));
    await item.persist_async(tracked, DEFAULT, null);
    const others = [await pool.register_async(tracked, item.key, DEFAULT, null), pool.lookup(item.key)];
    assertEqual(pool.lookup('no key'), null);
    await pool.trim_async(0, DEFAULT, null);
    for (const each of [item, ...others])
        assertEqual(text(await each.load_async(DEFAULT, null)), 'content');
    assertEqual(pool.get_stats().misses, 1);
    await store.close_async(DEFAULT, null);
});

test('after close', async directory => {
    const {store, pool, path} = fixture(directory, 4096);
    const tracked = await store.track_path_async(path, DEFAULT, null);
    const item = pool.insert(bytes('content'));
    await item.persist_async(tracked, DEFAULT, null);
    await store.close_async(DEFAULT, null);
    assertEqual(text(await item.load_async(DEFAULT, null)), 'content');
    await assertFails(Bs.Error, Bs.Error.CLOSED, () => item.persist_async(tracked, DEFAULT, null));
    await assertFails(Bs.Error, Bs.Error.CLOSED, () => pool.register_all_async(tracked, DEFAULT, null));
});

run();
