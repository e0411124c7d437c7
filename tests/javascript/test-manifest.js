// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The backingstore authors

// Manifests, in a store with threads and in one with a main context.

import Bs from 'gi://Bs?version=1';
import Gio from 'gi://Gio';
import GLib from 'gi://GLib';

import {assert, assertEqual, assertFails, assertIncludes, bytes, run, test, text} from './tap.js';

const KEY = 'abcdef01-2345-6789-abcd-ef0123456789';

const STORES = {
    'threads': backing => Bs.BackingStore.new(backing),
    'main-context': backing => Bs.BackingStore.new_in_context(backing, null),
};

async function open(directory, newStore) {
    const store = newStore(Bs.FileBacking.new(directory.get_child('scratch')));
    const pool = Bs.Pool.new(store, 1 << 20);
    const tracked = await store.track_path_async(directory.get_child('document'));
    return {store, pool, tracked};
}

function saveOf({store, tracked}, manifest) {
    const save = Bs.Save.new(store, tracked);
    save.set_manifest(manifest);
    return save;
}

function attributes(title) {
    return new GLib.Variant('a{sv}', {title: new GLib.Variant('s', title)});
}

function names(manifest) {
    return [...manifest].map(entry => entry.name);
}

test('a list of names', async () => {
    const manifest = new Bs.Manifest();
    const changes = [];
    manifest.connect('items-changed', (_manifest, ...change) => changes.push(change.join(' ')));
    assert(manifest.add('one', KEY.toUpperCase(), attributes('One')));
    manifest.add('two', KEY, null);
    assertEqual(manifest.n_items, 2);
    assertEqual(manifest.get_n_items(), 2);
    assert(manifest.item_type === Bs.ManifestEntry.$gtype);
    const entry = manifest.lookup('one');
    assert(entry === manifest.get_item(0));
    assertEqual(entry.key, KEY);
    assertEqual(entry.item, null);
    assertEqual(entry.attributes.recursiveUnpack().title, 'One');
    assertEqual(entry.lookup_attribute('title', new GLib.VariantType('s')).unpack(), 'One');
    assertEqual(entry.lookup_attribute('title', new GLib.VariantType('i')), null);
    assertEqual(manifest.find('two'), [true, 1]);
    assertEqual(manifest.lookup('three'), null);

    const notified = [];
    entry.connect('notify', (_entry, pspec) => notified.push(pspec.name));
    manifest.rename('one', 'first');
    manifest.set_attributes('first', null);
    manifest.move('first', 1);
    manifest.remove('two');
    assertEqual(names(manifest), ['first']);
    assertEqual(notified, ['name', 'attributes']);
    assertEqual(changes, ['0 0 1', '1 0 1', '0 2 2', '0 1 0']);
});

test('errors', async () => {
    const manifest = new Bs.Manifest();
    manifest.add('one', KEY, null);
    const error = await assertFails(Bs.Error, Bs.Error.EXISTS, () => manifest.add('one', KEY, null));
    assertIncludes(error.message, '“one”');
    await assertFails(Bs.Error, Bs.Error.INVALID_KEY, () => manifest.set_key('one', 'x'));
    await assertFails(Bs.Error, Bs.Error.NOT_FOUND, () => manifest.remove('two'));
    await assertFails(Gio.IOErrorEnum, Gio.IOErrorEnum.INVALID_ARGUMENT, () => manifest.add('', KEY, null));
    const content = manifest.to_bytes().toArray();
    const corrupt = await assertFails(Bs.Error, Bs.Error.CORRUPT,
        () => Bs.Manifest.new_from_bytes(new GLib.Bytes(content.subarray(0, 20))));
    assertIncludes(corrupt.message, 'at byte');
    assertEqual(names(Bs.Manifest.new_from_bytes(new GLib.Bytes(content))), ['one']);
});

for (const [where, newStore] of Object.entries(STORES)) {
    test(`${where}: a document`, async directory => {
        let all = await open(directory, newStore);
        await assertFails(Bs.Error, Bs.Error.NOT_FOUND, () => all.store.load_manifest_async(all.tracked));
        let manifest = new Bs.Manifest();
        manifest.add_item('one', all.pool.insert(bytes('1')), attributes('One'));
        manifest.add_item('two', all.pool.insert(bytes('2')), null);
        assert(await saveOf(all, manifest).run_async());
        await all.store.close_async();

        all = await open(directory, newStore);
        manifest = await all.store.load_manifest_async(all.tracked);
        assert(await all.pool.register_manifest_async(all.tracked, manifest));
        const {item} = manifest.lookup('one');
        assertEqual(text(await item.load_async()), '1');
        item.replace(bytes('edited'));
        manifest.remove('two');
        assert(saveOf(all, manifest).run(null));
        await all.store.close_async();

        all = await open(directory, newStore);
        manifest = all.store.load_manifest(all.tracked, null);
        assert(all.pool.register_manifest(all.tracked, manifest, null));
        assertEqual(names(manifest), ['one']);
        assertEqual(text(await manifest.get_item(0).item.load_async()), 'edited');
        assertEqual(manifest.get_item(0).attributes.recursiveUnpack().title, 'One');

        manifest.add('missing', KEY, null);
        for (const func of [() => saveOf(all, manifest).run_async(),
            () => all.pool.register_manifest_async(all.tracked, manifest)]) {
            const missing = await assertFails(Bs.Error, Bs.Error.NOT_FOUND, func);
            assertIncludes(missing.message, '“missing”', KEY, all.tracked.file.get_path());
        }
        await all.store.close_async();
    });
}

run();
