/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* Pictures as textures, and a paintable of one. No screen is needed. */

const int SIDE = 32;
const int TEXTURE_SIZE = SIDE * SIDE * 4;

GLib.Bytes make_picture (int number) throws GLib.Error {
    var pixbuf = new Gdk.Pixbuf (RGB, false, 8, 2 * SIDE, SIDE + number);
    uint8[] data;
    pixbuf.fill ((uint32) 0xff0000ff);
    pixbuf.save_to_buffer (out data, "png");
    return new GLib.Bytes (data);
}

async void decode (Bs.BackingStore store) throws GLib.Error {
    var codec = new BsGtk.TextureCodec (SIDE);
    var pool = new Bs.Pool.with_codec (store, codec, 4 * TEXTURE_SIZE);
    assert (codec.max_size == SIDE);
    Bs.Item[] items = {};
    for (int i = 0; i < 20; i++)
        items += pool.insert (make_picture (i));
    yield pool.trim_async (0);
    for (int i = 0; i < 20; i++) {
        var texture = (Gdk.Texture) yield items[i].load_object_async ();
        assert (texture.width == SIDE);
        assert (texture.height == (SIDE + i) / 2);
        assert (pool.memory_use <= 4 * TEXTURE_SIZE);
    }

    var none = pool.insert (bytes ("no photo"));
    try {
        yield none.load_object_async ();
        assert_not_reached ();
    } catch (Gdk.TextureError error) {
        assert (error is Gdk.TextureError.UNSUPPORTED_FORMAT);
    }
    assert (text (yield none.load_async ()) == "no photo");
    yield store.close_async ();
}

async void paint (Bs.BackingStore store) throws GLib.Error {
    var pool = new Bs.Pool.with_codec (store, new BsGtk.TextureCodec (SIDE), TEXTURE_SIZE);
    var paintable = new BsGtk.ItemPaintable (null);
    assert (paintable.item == null);
    assert (paintable.error == null);
    paintable.item = pool.insert (make_picture (0));
    assert (paintable.loading);
    paintable.notify["loading"].connect (() => {
        if (!paintable.loading)
            paint.callback ();
    });
    paintable.snapshot (new Gtk.Snapshot (), SIDE, SIDE);
    yield;
    assert (paintable.get_intrinsic_width () == SIDE);
    assert (paintable.paintable is Gdk.Texture);
    yield store.close_async ();
}

Bs.BackingStore make_store () {
    try {
        return new Bs.BackingStore (new Bs.FileBacking.temporary ());
    } catch (GLib.Error e) {
        error ("%s", e.message);
    }
}

int main (string[] args) {
    GLib.Test.init (ref args);
    Gtk.init_check ();
    BsGtk.init ();
    GLib.Test.add_func ("/gtk-pictures/decode", () => {
        var loop = new TestLoop ();
        decode.begin (make_store (), (object, result) => loop.end (() => decode.end (result)));
        loop.run ();
    });
    GLib.Test.add_func ("/gtk-pictures/paint", () => {
        var loop = new TestLoop ();
        paint.begin (make_store (), (object, result) => loop.end (() => paint.end (result)));
        loop.run ();
    });
    return GLib.Test.run ();
}
