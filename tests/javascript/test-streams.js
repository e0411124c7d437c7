// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The backingstore authors

// Contents as files and streams, in a store with threads and in one with a main context.

import Bs from 'gi://Bs?version=1';
import Gio from 'gi://Gio';
import GLib from 'gi://GLib';
import GObject from 'gi://GObject';

import {assert, assertEqual, assertFails, assertIncludes, bytes, run, test, text} from './tap.js';

Gio._promisify(Gio.InputStream.prototype, 'read_bytes_async', 'read_bytes_finish');
Gio._promisify(Gio.InputStream.prototype, 'close_async', 'close_finish');

const CONTENT = 'A content of some length. '.repeat(40000);

const STORES = {
    'threads': backing => Bs.BackingStore.new(backing),
    'main-context': backing => Bs.BackingStore.new_in_context(backing, null),
};

async function readAll(stream) {
    let all = '';
    for (;;) {
        const part = await stream.read_bytes_async(100000, GLib.PRIORITY_DEFAULT, null);
        if (part.get_size() === 0)
            return all;
        all += text(part);
    }
}

function makeSource(directory) {
    const source = directory.get_child('source');
    source.replace_contents(CONTENT, null, false, Gio.FileCreateFlags.NONE, null);
    return source;
}

async function use(pool, directory) {
    const source = makeSource(directory);
    const target = directory.get_child('target');
    const item = await pool.insert_file_async(source);

    const stream = await item.read_async();
    assert(stream instanceof Gio.InputStream);
    assertEqual(await readAll(stream), CONTENT);
    assert(stream.seek(-8, GLib.SeekType.END, null));
    assertEqual(await readAll(stream), CONTENT.slice(-8));
    assert(stream.seek(0, GLib.SeekType.SET, null));
    assertEqual(text(stream.read_bytes(9, null)), CONTENT.slice(0, 9));
    item.replace(bytes('other'));
    assert(stream.seek(0, GLib.SeekType.SET, null));
    assertEqual(await readAll(stream), CONTENT);
    assert(await stream.close_async(GLib.PRIORITY_DEFAULT, null));

    const again = pool.insert_stream(Gio.MemoryInputStream.new_from_bytes(bytes(CONTENT)), null);
    assert(await again.copy_to_file_async(target));
    assertEqual(new TextDecoder().decode(target.load_contents(null)[1]), CONTENT);
    assert(again.copy_to_file(target, null));
    const third = await pool.insert_stream_async(again.read(null));
    assertEqual(text(third.load(null)), CONTENT);
}

for (const [name, newStore] of Object.entries(STORES)) {
    test(`files and streams, ${name}`, async directory => {
        const store = newStore(Bs.FileBacking.new(directory.get_child('scratch')));
        const pool = Bs.Pool.new(store, 1 << 20);
        await use(pool, directory);

        const missing = await assertFails(Gio.IOErrorEnum, Gio.IOErrorEnum.NOT_FOUND,
            () => pool.insert_file_async(directory.get_child('missing')));
        assertIncludes(missing.message, directory.get_child('missing').get_path());
        await assertFails(Gio.IOErrorEnum, Gio.IOErrorEnum.IS_DIRECTORY,
            () => pool.insert(bytes('x')).copy_to_file_async(directory));
        const open = await pool.insert_file(makeSource(directory), null).read_async();
        await store.close_async();
        await assertFails(Bs.Error, Bs.Error.CLOSED, () => readAll(open));
    });
}

// An engine hands out streams of GIO's own.
const StreamBacking = GObject.registerClass({
    Implements: [Bs.Backing],
}, class StreamBacking extends GObject.Object {
    constructor(directory) {
        super();
        this.directory = directory;
        this.calls = [];
    }

    vfunc_write(key, content) {
        this.calls.push('write');
        return this.directory.get_child(key).replace_contents(content.toArray(), null, false, Gio.FileCreateFlags.NONE, null)[0];
    }

    vfunc_read(key) {
        this.calls.push('read');
        return this.directory.get_child(key).load_bytes(null)[0];
    }

    vfunc_delete_key(key) {
        this.directory.get_child(key).delete(null);
        return true;
    }

    vfunc_read_stream(key, cancellable) {
        this.calls.push('read_stream');
        return this.directory.get_child(key).read(cancellable);
    }

    vfunc_write_stream(key, stream, size, cancellable) {
        this.calls.push('write_stream');
        const output = this.directory.get_child(key).replace(null, false, Gio.FileCreateFlags.NONE, cancellable);
        return output.splice(stream, Gio.OutputStreamSpliceFlags.CLOSE_TARGET, cancellable) >= 0;
    }

    vfunc_write_file(key, file, cancellable) {
        this.calls.push('write_file');
        return file.copy(this.directory.get_child(key), Gio.FileCopyFlags.NONE, cancellable, null);
    }
});

test('an engine in JavaScript', async directory => {
    const blobs = directory.get_child('blobs');
    blobs.make_directory(null);
    const backing = new StreamBacking(blobs);
    const store = Bs.BackingStore.new_in_context(backing, null);
    const pool = Bs.Pool.new(store, 1 << 20);
    await use(pool, directory);
    assertEqual([...new Set(backing.calls)].sort(), ['read', 'read_stream', 'write_file', 'write_stream']);
    await store.close_async();
});

run();
