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

    return GLib.Test.run ();
}
