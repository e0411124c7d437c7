// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The backingstore authors

// Backings by URI, and a scheme written in JavaScript.

import Bs from 'gi://Bs?version=1';
import Gio from 'gi://Gio';
import GLib from 'gi://GLib';
import GObject from 'gi://GObject';

import {assert, assertEqual, assertFails, assertIncludes, bytes, run, test, text} from './tap.js';

const DEFAULT = GLib.PRIORITY_DEFAULT;
const INVALID = Gio.IOErrorEnum.INVALID_ARGUMENT;

// Blobs in maps: map:NAME.
const MapEngine = GObject.registerClass({
    Implements: [Gio.Initable, Bs.Backing],
    Properties: {
        'uri': GObject.ParamSpec.string('uri', null, null,
            GObject.ParamFlags.READWRITE | GObject.ParamFlags.CONSTRUCT_ONLY, null),
    },
}, class MapEngine extends GObject.Object {
    vfunc_init(_cancellable) {
        if (this.uri === 'map:')
            throw new GLib.Error(Gio.IOErrorEnum, INVALID, 'there is no name');
        this.primary = new Map();
        this.paths = new Map();
        return this.uri !== 'map:forgotten';
    }

    at(path) {
        if (!this.paths.has(path.get_uri()))
            this.paths.set(path.get_uri(), new Map());
        return this.paths.get(path.get_uri());
    }

    vfunc_write(key, content, _cancellable) {
        this.primary.set(key, new GLib.Bytes(content.toArray()));
        return true;
    }

    vfunc_read(key, _cancellable) {
        return this.primary.get(key);
    }

    vfunc_delete_key(key, _cancellable) {
        this.primary.delete(key);
        return true;
    }

    vfunc_register_key(path, key, _cancellable) {
        this.primary.set(key, this.at(path).get(key));
        return true;
    }

    vfunc_persist(path, key, _cancellable) {
        this.at(path).set(key, this.primary.get(key));
        return true;
    }

    vfunc_delete_persisted(path, key, _cancellable) {
        this.at(path).delete(key);
        return true;
    }

    vfunc_sanitize_path(path, found, _cancellable) {
        for (const key of this.at(path).keys())
            found.add(key);
        return true;
    }

    vfunc_sync_persisted(_path, _cancellable) {
        return true;
    }
});

async function use(backing, path) {
    const store = Bs.BackingStore.new_in_context(backing, null);
    const pool = Bs.Pool.new(store, 0);
    const tracked = await store.track_path_async(path, DEFAULT, null);
    const item = pool.insert(bytes('content'));
    assert(await item.persist_async(tracked, DEFAULT, null));
    assert(await pool.trim_async(0, DEFAULT, null));
    assertEqual(text(await item.load_async(DEFAULT, null)), 'content');
    assertEqual(tracked.list_keys(), [item.key]);
    assert(await store.close_async(DEFAULT, null));
}

test('built-in schemes and a module', async directory => {
    const scratch = directory.get_child('scratch').get_uri();
    for (const uri of [scratch, 'memory:', `trace:${scratch}2`]) {
        const backing = Bs.Backing.new_for_uri(uri);
        assertEqual(backing.uri, uri);
        await use(backing, directory.get_child(`kept-${uri.length}`));
    }
    assert(Bs.Backing.new_for_uri(scratch) instanceof Bs.FileBacking);
});

test('a scheme of JavaScript', async () => {
    assert(Bs.Backing.add_scheme('map', MapEngine));
    assert(Bs.Backing.add_scheme('map', MapEngine.$gtype));
    const backing = Bs.Backing.new_for_uri('map:name');
    assert(backing instanceof MapEngine);
    assertEqual(backing.uri, 'map:name');
    await use(backing, Gio.File.new_for_uri('map:path'));
    await use(Bs.Backing.new_for_uri('trace:map:name'), Gio.File.new_for_uri('map:path'));

    let error = await assertFails(Gio.IOErrorEnum, INVALID, () => Bs.Backing.new_for_uri('map:'));
    assertIncludes(error.message, 'there is no name', 'map:');
    error = await assertFails(Bs.Error, Bs.Error.FAILED, () => Bs.Backing.new_for_uri('map:forgotten'));
    assertIncludes(error.message, 'MapEngine.init', 'map:forgotten');
    await assertFails(Bs.Error, Bs.Error.EXISTS, () => Bs.Backing.add_scheme('map2', MapEngine));
    await assertFails(Bs.Error, Bs.Error.EXISTS, () => Bs.Backing.add_scheme('file', MapEngine));
});

test('refused', async () => {
    const error = await assertFails(Bs.Error, Bs.Error.NOT_SUPPORTED, () => Bs.Backing.new_for_uri('gopher://a'));
    assertIncludes(error.message, 'gopher://a', 'file', 'memory', 'trace');
    for (const uri of ['', '/a', 'file:', 'memory:a', 'file://elsewhere/a'])
        await assertFails(Gio.IOErrorEnum, INVALID, () => Bs.Backing.new_for_uri(uri));
    await assertFails(Gio.IOErrorEnum, INVALID, () => Bs.Backing.add_scheme('A', MapEngine));
    await assertFails(Gio.IOErrorEnum, INVALID, () => Bs.Backing.add_scheme('bad', Bs.FaultBacking));
    await assertFails(Gio.IOErrorEnum, INVALID, () => Bs.Backing.add_scheme('bad', GObject.TYPE_STRING));
});

run();
