/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* After every content was loaded and let go, none is in use, whatever the style of the
 * calls. */

const int N_ITEMS = 50;
const int SIZE = 65536;

Bs.Item[] fill (Bs.Pool pool) {
    Bs.Item[] items = {};
    for (int i = 0; i < N_ITEMS; i++)
        items += pool.insert (bytes (string.nfill (SIZE, 'x')));
    return items;
}

/* A thread that has just written a content may hold it for a moment. */
async void check_released (Bs.Pool pool) throws GLib.Error {
    yield pool.trim_async (0);
    assert (pool.memory_use == 0);
    while (pool.memory_in_use > 0) {
        GLib.Idle.add (check_released.callback);
        yield;
    }
}

async void blocking (Bs.Pool pool) throws GLib.Error {
    var items = fill (pool);
    foreach (var item in items)
        assert (text (item.load ()).length == SIZE);
    yield check_released (pool);
}

async void callback (Bs.Pool pool) throws GLib.Error {
    var items = fill (pool);
    int n_arrived = 0;
    foreach (var item in items) {
        item.load_async.begin (GLib.Priority.DEFAULT, null, (object, result) => {
            try {
                assert (((Bs.Item) object).load_async.end (result).get_size () == SIZE);
            } catch (GLib.Error e) {
                error ("%s", e.message);
            }
            if (++n_arrived == N_ITEMS)
                callback.callback ();
        });
    }
    yield;
    yield check_released (pool);
}

async void awaited (Bs.Pool pool) throws GLib.Error {
    var items = fill (pool);
    foreach (var item in items) {
        var content = yield item.load_async ();
        assert (content.get_size () == SIZE);
    }
    yield check_released (pool);
}

class Thing : GLib.Object {
}

class ThingCodec : GLib.Object, Bs.Codec {
    public GLib.Bytes encode (GLib.Object object, GLib.Cancellable? cancellable = null) throws GLib.Error {
        return bytes ("thing");
    }

    public GLib.Object decode (GLib.Bytes content, GLib.Cancellable? cancellable = null) throws GLib.Error {
        return new Thing ();
    }

    public uint64 measure (GLib.Object object) {
        return SIZE;
    }
}

class Target : GLib.Object {
    public Thing? thing { get; set; }
}

async void next () {
    GLib.Idle.add (next.callback);
    yield;
}

/* Lets go of the target, the loader or the item, before or after the item is loaded. */
async void load_and_let_go (string first, bool is_loaded) throws GLib.Error {
    var fault = new Bs.FaultBacking (new Bs.MemoryBacking ());
    var store = new Bs.BackingStore (fault);
    var pool = new Bs.Pool.with_codec (store, new ThingCodec (), SIZE);
    Bs.Item? item = pool.insert_object (new Thing ());
    yield check_released (pool);
    Target? target = new Target ();
    Bs.Loader? loader = new Bs.Loader (target, "thing");

    fault.hold (Bs.Operation.READ);
    loader.item = item;
    item = null;
    while (fault.get_count (Bs.Operation.READ) == 0)
        yield next ();
    if (is_loaded) {
        fault.release (Bs.Operation.READ);
        while (loader.loading)
            yield next ();
        assert (target.thing != null);
    }
    if (first == "target") {
        target.add_weak_pointer (&target);
        target.unref ();
        assert (target == null);
        assert (!loader.loading);
        loader = null;
    } else if (first == "loader") {
        loader = null;
        target = null;
    } else {
        loader.item = null;
        assert (target.thing == null);
        loader = null;
        target = null;
    }
    if (!is_loaded)
        fault.release (Bs.Operation.READ);
    while (pool.n_items > 0)
        yield next ();
    assert (pool.memory_use == 0 && pool.memory_in_use == 0);
    yield store.close_async ();
}

async void loader () throws GLib.Error {
    foreach (var first in new string[] { "target", "loader", "item" }) {
        yield load_and_let_go (first, false);
        yield load_and_let_go (first, true);
    }
}

Bs.Pool new_pool () {
    return new Bs.Pool (new Bs.BackingStore (new Bs.MemoryBacking ()), SIZE);
}

int main (string[] args) {
    GLib.Test.init (ref args);

    GLib.Test.add_func ("/released/blocking", () => {
        var loop = new TestLoop ();
        blocking.begin (new_pool (), (object, result) => loop.end (() => blocking.end (result)));
        loop.run ();
    });
    GLib.Test.add_func ("/released/callback", () => {
        var loop = new TestLoop ();
        callback.begin (new_pool (), (object, result) => loop.end (() => callback.end (result)));
        loop.run ();
    });
    GLib.Test.add_func ("/released/yield", () => {
        var loop = new TestLoop ();
        awaited.begin (new_pool (), (object, result) => loop.end (() => awaited.end (result)));
        loop.run ();
    });
    GLib.Test.add_func ("/released/loader", () => {
        var loop = new TestLoop ();
        loader.begin ((object, result) => loop.end (() => loader.end (result)));
        loop.run ();
    });

    return GLib.Test.run ();
}
