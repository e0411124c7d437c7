// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The backingstore authors

// Saves. A commit function in JavaScript needs a store in a main context.

import Bs from 'gi://Bs?version=1';
import Gio from 'gi://Gio';
import GLib from 'gi://GLib';

import {emission} from './promises.js';
import {assert, assertEqual, assertFails, assertIncludes, bytes, list, run, test, text} from './tap.js';

const DEFAULT = GLib.PRIORITY_DEFAULT;

const STORES = {
    'threads': backing => Bs.BackingStore.new(backing),
    'main-context': backing => Bs.BackingStore.new_in_context(backing, null),
};

async function open(directory, newStore) {
    const backing = Bs.FaultBacking.new(Bs.FileBacking.new(directory.get_child('scratch')));
    const store = newStore(backing);
    const pool = Bs.Pool.new(store, 1 << 20);
    const tracked = await store.track_path_async(directory.get_child('document'), DEFAULT, null);
    return {backing, store, pool, tracked};
}

function saveOf({store, tracked}, root, items) {
    const save = Bs.Save.new(store, tracked);
    items.forEach(item => save.add_item(item));
    if (root !== null)
        save.set_root(bytes(root));
    return save;
}

async function contents({pool, tracked}) {
    const items = list(await pool.register_all_async(tracked, DEFAULT, null));
    return (await Promise.all(items.map(item => item.load_async(DEFAULT, null)))).map(text).sort();
}

async function root({store, tracked}) {
    return text(await store.load_root_async(tracked, DEFAULT, null));
}

for (const [where, newStore] of Object.entries(STORES)) {
    test(`${where}: a document`, async directory => {
        let all = await open(directory, newStore);
        const [one, two] = ['one', 'two'].map(content => all.pool.insert(bytes(content)));
        const save = saveOf(all, 'old', [one, two]);
        const notified = emission(save, 'notify::fraction');
        assert(await save.run_async(DEFAULT, null));
        await notified;
        assertEqual(save.fraction, 1);
        assertEqual(save.nDone, 2);
        assertEqual(save.n_total, 2);
        await all.store.close_async(DEFAULT, null);

        all = await open(directory, newStore);
        assertEqual(await root(all), 'old');
        assertEqual(await contents(all), ['one', 'two']);
        const next = saveOf(all, 'new', [all.pool.insert(bytes('three'))]);
        next.keep_key(two.key);
        next.maxParallel = 1;
        assert(next.run(null));
        await all.store.close_async(DEFAULT, null);

        all = await open(directory, newStore);
        assertEqual(await root(all), 'new');
        assertEqual(await contents(all), ['three', 'two']);
        await all.store.close_async(DEFAULT, null);
    });

    test(`${where}: errors`, async directory => {
        const all = await open(directory, newStore);
        await saveOf(all, 'old', [all.pool.insert(bytes('one'))]).run_async(DEFAULT, null);
        const nothing = await assertFails(Gio.IOErrorEnum, Gio.IOErrorEnum.INVALID_ARGUMENT,
            () => saveOf(all, null, []).run_async(DEFAULT, null));
        assertIncludes(nothing.message, all.tracked.file.get_path());
        const bad = saveOf(all, 'new', []);
        bad.keep_key('x');
        await assertFails(Bs.Error, Bs.Error.INVALID_KEY, () => bad.run(null));

        const save = saveOf(all, 'new', [all.pool.insert(bytes('two'))]);
        // Only the first attempt has a key that scratch never had.
        all.backing.fail(Bs.Operation.PERSIST_BYTES, null, 0, new GLib.Error(Gio.IOErrorEnum, Gio.IOErrorEnum.NO_SPACE, 'on purpose'));
        await assertFails(Gio.IOErrorEnum, Gio.IOErrorEnum.NO_SPACE, () => save.run_async(DEFAULT, null));
        all.backing.clear();
        for (const operation of [Bs.Operation.WRITE, Bs.Operation.PERSIST, Bs.Operation.SYNC_PERSISTED, Bs.Operation.WRITE_ROOT]) {
            all.backing.fail(operation, null, 0, new GLib.Error(Gio.IOErrorEnum, Gio.IOErrorEnum.NO_SPACE, 'on purpose'));
            await assertFails(Gio.IOErrorEnum, Gio.IOErrorEnum.NO_SPACE, () => save.run_async(DEFAULT, null));
            await assertFails(Gio.IOErrorEnum, Gio.IOErrorEnum.NO_SPACE, () => save.run(null));
            all.backing.clear();
            assertEqual(await root(all), 'old');
            assert((await contents(all)).includes('one'));
        }
        assert(await save.run_async(DEFAULT, null));
        assertEqual(await root(all), 'new');
        assertEqual(await contents(all), ['two']);

        const cancellable = Gio.Cancellable.new();
        cancellable.cancel();
        await assertFails(Gio.IOErrorEnum, Gio.IOErrorEnum.CANCELLED, () => saveOf(all, 'newer', []).run_async(DEFAULT, cancellable));
        assertEqual(await root(all), 'new');
        await all.store.close_async(DEFAULT, null);
    });
}

test('a commit function', async directory => {
    const all = await open(directory, STORES['main-context']);
    const save = saveOf(all, null, ['one', 'two'].map(content => all.pool.insert(bytes(content))));
    const seen = [];
    let inside = null;
    save.set_commit_func((...values) => {
        seen.push(values);
        // Blocking calls on the store, and what would wait for this very save.
        all.store.sync(all.tracked, null);
        try {
            saveOf(all, null, [all.pool.insert(bytes('three'))]).run(null);
        } catch (error) {
            inside = error;
        }
        return true;
    });
    assert(await save.run_async(DEFAULT, null));
    assert(save.run(null));
    assertEqual(seen.length, 2);
    assert(seen[0][0] === save && seen[0][1] === null && seen[0].length === 2);
    assert(inside.matches(Bs.Error, Bs.Error.BUSY), `${inside}`);
    assertEqual(await contents(all), ['one', 'two']);
    await all.store.close_async(DEFAULT, null);
});

test('a commit function fails', async directory => {
    const all = await open(directory, STORES['main-context']);
    await saveOf(all, 'old', [all.pool.insert(bytes('one'))]).run_async(DEFAULT, null);
    const save = saveOf(all, null, [all.pool.insert(bytes('two'))]);

    save.set_commit_func(() => {
        throw new GLib.Error(Gio.IOErrorEnum, Gio.IOErrorEnum.READ_ONLY, 'on purpose');
    });
    const error = await assertFails(Gio.IOErrorEnum, Gio.IOErrorEnum.READ_ONLY, () => save.run_async(DEFAULT, null));
    assertIncludes(error.message, 'on purpose');
    await assertFails(Gio.IOErrorEnum, Gio.IOErrorEnum.READ_ONLY, () => save.run(null));

    save.set_commit_func(() => {});
    const silent = await assertFails(Bs.Error, Bs.Error.FAILED, () => save.run_async(DEFAULT, null));
    assertIncludes(silent.message, 'return True');
    assertEqual(await root(all), 'old');
    assert((await contents(all)).includes('one'));
    await all.store.close_async(DEFAULT, null);
});

run();
