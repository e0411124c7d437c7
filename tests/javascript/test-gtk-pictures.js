// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The backingstore authors

// Pictures are decoded beside the main loop: the codec is in C, so a plain store
// calls no JavaScript.

import Bs from 'gi://Bs?version=1';
import BsGtk from 'gi://BsGtk?version=1';
import Gdk from 'gi://Gdk?version=4.0';
import GdkPixbuf from 'gi://GdkPixbuf';
import Gio from 'gi://Gio';
import GLib from 'gi://GLib';
import GObject from 'gi://GObject';
import Gtk from 'gi://Gtk?version=4.0';

import {until} from './promises.js';
import {assert, assertEqual, assertFails, assertIncludes, bytes, run, test} from './tap.js';

const SIDE = 32;
const TEXTURE_SIZE = SIDE * SIDE * 4;

function makePicture(number) {
    const pixbuf = GdkPixbuf.Pixbuf.new(GdkPixbuf.Colorspace.RGB, false, 8, 2 * SIDE, SIDE + number);
    pixbuf.fill(0xff0000ff);
    const [, data] = pixbuf.save_to_bufferv('png', [], []);
    return new GLib.Bytes(data);
}

function makePool(budget) {
    const store = Bs.BackingStore.new(Bs.FileBacking.new_temporary());
    assertEqual(store.main_context, null);
    return [store, Bs.Pool.new_with_codec(store, BsGtk.TextureCodec.new(SIDE), budget)];
}

test('decode on threads', async () => {
    const [store, pool] = makePool(4 * TEXTURE_SIZE);
    const items = Array.from({length: SIDE}, (_, number) => pool.insert(makePicture(number)));
    await pool.trim_async(0, GLib.PRIORITY_DEFAULT, null);

    for (let round = 0; round < 5; round++) {
        const textures = await Promise.all(
            items.map(item => item.load_object_async(GLib.PRIORITY_DEFAULT, null)));
        textures.forEach((texture, number) => {
            assert(texture instanceof Gdk.Texture);
            assertEqual(texture.width, SIDE);
            assertEqual(texture.height, Math.floor((SIDE + number) / 2));
        });
        await pool.trim_async(0, GLib.PRIORITY_DEFAULT, null);
    }
    await store.close_async(GLib.PRIORITY_DEFAULT, null);
});

test('the main loop goes on', async () => {
    const fault = Bs.FaultBacking.new(Bs.MemoryBacking.new());
    const store = Bs.BackingStore.new(fault);
    const pool = Bs.Pool.new_with_codec(store, BsGtk.TextureCodec.new(SIDE), TEXTURE_SIZE);
    const item = pool.insert(makePicture(0));
    await pool.trim_async(0, GLib.PRIORITY_DEFAULT, null);

    fault.hold(Bs.Operation.READ);
    const loading = item.load_object_async(GLib.PRIORITY_DEFAULT, null);
    await until(() => fault.get_count(Bs.Operation.READ) === 1);
    fault.release(Bs.Operation.READ);
    assertEqual((await loading).width, SIDE);
    await store.close_async(GLib.PRIORITY_DEFAULT, null);
});

test('types', () => {
    assert(GObject.type_from_name('BsGtkItemPaintable') !== null);
});

test('errors', async () => {
    const [store, pool] = makePool(TEXTURE_SIZE);
    const item = pool.insert(bytes('no photo'));
    const error = await assertFails(Gdk.TextureError, Gdk.TextureError.UNSUPPORTED_FORMAT,
        () => item.load_object_async(GLib.PRIORITY_DEFAULT, null));
    assertIncludes(error.message, item.dup_key());
    const codec = new BsGtk.TextureCodec({max_pixels: 100});
    await assertFails(Gdk.TextureError, Gdk.TextureError.TOO_LARGE, () => codec.decode(makePicture(1), null));
    await store.close_async(GLib.PRIORITY_DEFAULT, null);
});

test('paintable', async () => {
    const [store, pool] = makePool(TEXTURE_SIZE);
    const item = pool.insert(makePicture(0));
    const paintable = new BsGtk.ItemPaintable({item});
    assert(paintable.loading);
    const loaded = new Promise(resolve => paintable.connect('notify::loading', resolve));
    paintable.snapshot(Gtk.Snapshot.new(), SIDE, SIDE);
    await loaded;
    assert(!paintable.loading);
    assertEqual(paintable.get_intrinsic_width(), SIDE);
    assert(paintable.paintable instanceof Gdk.Texture);
    paintable.item = null;
    assertEqual(paintable.paintable, null);
    await store.close_async(GLib.PRIORITY_DEFAULT, null);
});

Gtk.init_check();
run();
