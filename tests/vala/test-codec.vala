/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* Pools of objects, with a codec written in Vala. */

const int SIZE = 100;

class Tile : GLib.Object {
    public string text { get; construct; }

    public Tile (string text) {
        Object (text: text);
    }
}

class TileCodec : GLib.Object, Bs.Codec {
    public int n_encoded = 0;
    public int n_decoded = 0;
    public GLib.Error? failure = null;

    public GLib.Bytes encode (GLib.Object object, GLib.Cancellable? cancellable = null) throws GLib.Error {
        GLib.AtomicInt.inc (ref n_encoded);
        if (failure != null)
            throw failure.copy ();
        return bytes (((Tile) object).text);
    }

    public GLib.Object decode (GLib.Bytes content, GLib.Cancellable? cancellable = null) throws GLib.Error {
        GLib.AtomicInt.inc (ref n_decoded);
        if (failure != null)
            throw failure.copy ();
        return new Tile (text (content));
    }

    public uint64 measure (GLib.Object object) {
        return SIZE;
    }
}

async string load (Bs.Item item) throws GLib.Error {
    return ((Tile) yield item.load_object_async ()).text;
}

/* An evicted object may be alive for a moment on the thread that has written it. */
async void drop_all (Bs.Pool pool) throws GLib.Error {
    yield pool.trim_async (0);
    while (pool.memory_in_use > 0) {
        GLib.Idle.add (drop_all.callback);
        yield;
    }
}

async void round_trip (TileCodec codec, Bs.BackingStore store) throws GLib.Error {
    var pool = new Bs.Pool.with_codec (store, codec, 10 * SIZE);
    assert (pool.codec == codec);
    Bs.Item[] items = {};
    for (int i = 0; i < 20; i++)
        items += pool.insert_object (new Tile (@"tile $i"));
    yield drop_all (pool);
    assert (codec.n_encoded == 20);
    assert (pool.n_resident == 0);
    for (int i = 0; i < 20; i++)
        assert ((yield load (items[i])) == @"tile $i");
    assert (codec.n_decoded == 20);
    assert (pool.memory_use <= 10 * SIZE);
    assert (text ((yield items[3].load_async ())) == "tile 3");

    items[0].replace_object (new Tile ("another"));
    assert ((yield load (items[0])) == "another");

    var plain = new Bs.Pool (store, 1000);
    try {
        plain.insert_object (new Tile ("new"));
        assert_not_reached ();
    } catch (Bs.Error.NOT_SUPPORTED refused) {
        assert ("no codec" in refused.message);
    }
    yield store.close_async ();
}

async void same_object () throws GLib.Error {
    var codec = new TileCodec ();
    var store = new Bs.BackingStore (new Bs.MemoryBacking ());
    var pool = new Bs.Pool.with_codec (store, codec, 10 * SIZE);
    var tile = new Tile ("held");
    var item = pool.insert_object (tile);
    yield pool.trim_async (0);
    assert (pool.memory_in_use == SIZE);
    assert (item.try_load_object () == tile);
    assert ((yield item.load_object_async ()) == tile);
    assert (item.load_object () == tile);
    assert (codec.n_decoded == 0);
    yield store.close_async ();
}

/* No load is waited for. */
async void close_while_loading () throws GLib.Error {
    var codec = new TileCodec ();
    var store = new Bs.BackingStore.in_context (new Bs.MemoryBacking (), null);
    var pool = new Bs.Pool.with_codec (store, codec, 10 * SIZE);
    var item = pool.insert_object (new Tile ("not seen again"));
    bool caught = false, answered = false;

    yield drop_all (pool);
    item.load_object_async.begin (GLib.Priority.DEFAULT, null, (object, result) => {
        try {
            item.load_object_async.end (result);
        } catch (GLib.Error e) {
            caught = e is Bs.Error.CLOSED;
        }
        answered = true;
    });
    yield store.close_async ();
    while (!answered) {
        GLib.Idle.add (close_while_loading.callback);
        yield;
    }
    assert (caught);
    assert (codec.n_decoded == 0);
}

async void failures () throws GLib.Error {
    var codec = new TileCodec ();
    var store = new Bs.BackingStore (new Bs.MemoryBacking ());
    var pool = new Bs.Pool.with_codec (store, codec, 10 * SIZE);
    var item = pool.insert_object (new Tile ("here to stay"));
    bool caught = false;

    codec.failure = new GLib.IOError.INVALID_DATA ("no such colour");
    try {
        yield item.write_async ();
    } catch (GLib.IOError.INVALID_DATA e) {
        caught = item.dup_key () in e.message && "encode" in e.message;
    }
    assert (caught);
    assert ((yield load (item)) == "here to stay");

    codec.failure = null;
    yield drop_all (pool);
    codec.failure = new GLib.IOError.INVALID_DATA ("no such colour");
    caught = false;
    try {
        yield item.load_object_async ();
    } catch (GLib.IOError.INVALID_DATA e) {
        caught = "decode" in e.message;
    }
    assert (caught);
    codec.failure = null;
    assert ((yield load (item)) == "here to stay");
    yield store.close_async ();
}

int main (string[] args) {
    GLib.Test.init (ref args);

    GLib.Test.add_func ("/codec/round-trip", () => {
        var loop = new TestLoop ();
        round_trip.begin (new TileCodec (), new Bs.BackingStore (new Bs.MemoryBacking ()),
                          (object, result) => loop.end (() => round_trip.end (result)));
        loop.run ();
    });
    GLib.Test.add_func ("/codec/main-context", () => {
        var loop = new TestLoop ();
        round_trip.begin (new TileCodec (), new Bs.BackingStore.in_context (new Bs.MemoryBacking (), null),
                          (object, result) => loop.end (() => round_trip.end (result)));
        loop.run ();
    });
    GLib.Test.add_func ("/codec/same-object", () => {
        var loop = new TestLoop ();
        same_object.begin ((object, result) => loop.end (() => same_object.end (result)));
        loop.run ();
    });
    GLib.Test.add_func ("/codec/close-while-loading", () => {
        var loop = new TestLoop ();
        close_while_loading.begin ((object, result) => loop.end (() => close_while_loading.end (result)));
        loop.run ();
    });
    GLib.Test.add_func ("/codec/failures", () => {
        var loop = new TestLoop ();
        failures.begin ((object, result) => loop.end (() => failures.end (result)));
        loop.run ();
    });

    return GLib.Test.run ();
}
