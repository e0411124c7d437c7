/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* Loaders and prefetches, with a codec written in Vala. */

class Tile : GLib.Object {
    public string text { get; construct; }

    public Tile (string text) {
        Object (text: text);
    }
}

class TileCodec : GLib.Object, Bs.Codec {
    public string? bad = null;
    public int n_decoded = 0;

    public GLib.Bytes encode (GLib.Object object, GLib.Cancellable? cancellable = null) throws GLib.Error {
        return bytes (((Tile) object).text);
    }

    public GLib.Object decode (GLib.Bytes content, GLib.Cancellable? cancellable = null) throws GLib.Error {
        GLib.AtomicInt.inc (ref n_decoded);
        if (text (content) == bad)
            throw new GLib.IOError.INVALID_DATA ("no tile");
        return new Tile (text (content));
    }

    public uint64 measure (GLib.Object object) {
        return 100;
    }
}

class Cell : GLib.Object {
    public Tile? tile { get; set; }
}

class Row : GLib.Object {
    public Bs.Item item { get; construct; }

    public Row (Bs.Item item) {
        Object (item: item);
    }
}

async void loaded (Bs.Loader loader) {
    while (loader.loading) {
        ulong id = loader.notify["loading"].connect (() => loaded.callback ());
        yield;
        loader.disconnect (id);
    }
}

async void show_and_load (TileCodec codec, Bs.BackingStore store) throws GLib.Error {
    var pool = new Bs.Pool.with_codec (store, codec, 100000);
    var item = pool.insert (bytes ("a"));
    var placeholder = new Tile ("placeholder");
    var cell = new Cell ();
    var loader = new Bs.Loader (cell, "tile");
    yield pool.trim_async (0);

    assert (loader.target == cell && loader.target_property == "tile");
    loader.placeholder = placeholder;
    assert (cell.tile == placeholder);
    loader.item = pool.insert_object (new Tile ("in memory"));
    assert (cell.tile.text == "in memory" && !loader.loading);
    loader.item = item;
    assert (cell.tile == placeholder && loader.loading);
    yield loaded (loader);
    assert (cell.tile.text == "a" && loader.error == null);
    loader.item = null;
    assert (cell.tile == placeholder);
    yield store.close_async ();
}

async void failure () throws GLib.Error {
    var codec = new TileCodec ();
    var store = new Bs.BackingStore (new Bs.MemoryBacking ());
    var pool = new Bs.Pool.with_codec (store, codec, 100000);
    var item = pool.insert (bytes ("bad"));
    var cell = new Cell ();
    var loader = new Bs.Loader (cell, "tile");
    yield pool.trim_async (0);

    codec.bad = "bad";
    loader.item = item;
    yield loaded (loader);
    assert (loader.error is GLib.IOError.INVALID_DATA && item.key in loader.error.message);
    loader.item = null;
    assert (loader.error == null);
    loader.item = item;
    assert (!loader.loading && loader.error is GLib.IOError.INVALID_DATA);
    assert (codec.n_decoded == 1);

    codec.bad = null;
    yield item.load_object_async ();
    loader.item = null;
    loader.item = item;
    yield loaded (loader);
    assert (cell.tile.text == "bad");
    yield store.close_async ();
}

async void prefetch () throws GLib.Error {
    var codec = new TileCodec ();
    var store = new Bs.BackingStore (new Bs.MemoryBacking ());
    var pool = new Bs.Pool.with_codec (store, codec, 100000);
    var model = new GLib.ListStore (typeof (GLib.Object));
    Bs.Item[] items = {};
    for (int i = 0; i < 4; i++)
        items += pool.insert (bytes (@"$i"));
    yield pool.trim_async (0);

    model.append (items[0]);
    model.append (items[1]);
    model.append (new Tile ("nothing to load"));
    model.append (new Row (items[2]));
    model.append (new Row (items[3]));
    pool.prefetch (model, 1, 3);
    yield store.wait_finished_async (GLib.Priority.DEFAULT, null);
    store.task_tracker.reopen ();
    assert (codec.n_decoded == 2);
    assert (items[0].try_load_object () == null && items[3].try_load_object () == null);
    assert (((Tile) items[2].try_load_object ()).text == "2");
    pool.prefetch (model, 1000, 1);
    pool.prefetch (model, 4, 1000);
    yield store.wait_finished_async (GLib.Priority.DEFAULT, null);
    assert (((Tile) items[3].try_load_object ()).text == "3");
    yield store.close_async ();
}

async void follow () throws GLib.Error {
    var store = new Bs.BackingStore (new Bs.MemoryBacking ());
    var pool = new Bs.Pool (store, 1000);
    var tracked = yield store.track_path_async (GLib.File.new_for_uri ("memory:followed"));
    Bs.Item[] items = {};
    for (int i = 0; i < 2; i++)
        items += pool.insert (bytes ("x"));
    yield items[0].persist_async (tracked);
    GLib.ListModel list = yield pool.follow_async (tracked);
    assert (list.get_n_items () == 1);

    uint changed_at = 0, added = 0;
    bool waits = false;
    ulong id = list.items_changed.connect ((position, n_removed, n_added) => {
        changed_at = position;
        added = n_added;
        if (waits)
            follow.callback ();
    });
    yield items[1].persist_async (tracked);
    if (added == 0) {
        waits = true;
        yield;
    }
    list.disconnect (id);
    assert (changed_at == 1 && added == 1);
    assert (((Bs.Item) list.get_item (1)).key == items[1].key);
    yield store.close_async ();
}

int main (string[] args) {
    GLib.Test.init (ref args);

    GLib.Test.add_func ("/loader/show-and-load", () => {
        var loop = new TestLoop ();
        show_and_load.begin (new TileCodec (), new Bs.BackingStore (new Bs.MemoryBacking ()),
                             (object, result) => loop.end (() => show_and_load.end (result)));
        loop.run ();
    });
    GLib.Test.add_func ("/loader/main-context", () => {
        var loop = new TestLoop ();
        show_and_load.begin (new TileCodec (), new Bs.BackingStore.in_context (new Bs.MemoryBacking (), null),
                             (object, result) => loop.end (() => show_and_load.end (result)));
        loop.run ();
    });
    GLib.Test.add_func ("/loader/failure", () => {
        var loop = new TestLoop ();
        failure.begin ((object, result) => loop.end (() => failure.end (result)));
        loop.run ();
    });
    GLib.Test.add_func ("/loader/prefetch", () => {
        var loop = new TestLoop ();
        prefetch.begin ((object, result) => loop.end (() => prefetch.end (result)));
        loop.run ();
    });
    GLib.Test.add_func ("/loader/follow", () => {
        var loop = new TestLoop ();
        follow.begin ((object, result) => loop.end (() => follow.end (result)));
        loop.run ();
    });

    return GLib.Test.run ();
}
