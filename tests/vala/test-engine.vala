/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* Backings by URI, and a scheme written in Vala. */

/* "nested:URI" leads to the backing of that URI. */
class NestedEngine : GLib.Object, GLib.Initable, Bs.Backing {
    public string uri { get; construct; }
    Bs.Backing inner;

    public bool init (GLib.Cancellable? cancellable = null) throws GLib.Error {
        inner = Bs.Backing.new_for_uri (uri.substring ("nested:".length));
        return true;
    }

    public bool write (string key, GLib.Bytes bytes, GLib.Cancellable? cancellable = null) throws GLib.Error {
        return inner.write (key, bytes, cancellable);
    }

    public GLib.Bytes read (string key, GLib.Cancellable? cancellable = null) throws GLib.Error {
        return inner.read (key, cancellable);
    }

    public bool delete_key (string key, GLib.Cancellable? cancellable = null) throws GLib.Error {
        return inner.delete_key (key, cancellable);
    }

    public bool register_key (GLib.File path, string key, GLib.Cancellable? cancellable = null) throws GLib.Error {
        return inner.register_key (path, key, cancellable);
    }

    public bool persist (GLib.File path, string key, GLib.Cancellable? cancellable = null) throws GLib.Error {
        return inner.persist (path, key, cancellable);
    }

    public bool delete_persisted (GLib.File path, string key, GLib.Cancellable? cancellable = null) throws GLib.Error {
        return inner.delete_persisted (path, key, cancellable);
    }

    public bool sanitize_path (GLib.File path, Bs.KeySet found, GLib.Cancellable? cancellable = null) throws GLib.Error {
        return inner.sanitize_path (path, found, cancellable);
    }

    public bool sync_persisted (GLib.File path, GLib.Cancellable? cancellable = null) throws GLib.Error {
        return inner.sync_persisted (path, cancellable);
    }
}

class NoEngine : GLib.Object {
}

async void use (string uri, GLib.File path) throws GLib.Error {
    var store = new Bs.BackingStore (Bs.Backing.new_for_uri (uri));
    var pool = new Bs.Pool (store, 0);
    var tracked = yield store.track_path_async (path);
    var item = pool.insert (bytes ("content"));
    yield item.persist_async (tracked);
    yield pool.trim_async (0);
    assert (text (yield item.load_async ()) == "content");
    assert (tracked.contains_key (item.key));
    yield store.close_async ();
}

async void schemes () throws GLib.Error {
    var directory = new TestDirectory ();
    var kept = directory.file.get_child ("kept");
    var scratch = directory.file.get_child ("scratch").get_uri ();

    assert (Bs.Backing.add_scheme ("nested", typeof (NestedEngine)));
    assert (Bs.Backing.new_for_uri ("nested:memory:") is NestedEngine);
    assert (Bs.Backing.new_for_uri ("memory:") is Bs.MemoryBacking);
    assert (((Bs.FileBacking) Bs.Backing.new_for_uri (scratch)).uri == scratch);
    foreach (unowned string before in new string[] { "", "trace:", "nested:", "nested:trace:nested:" }) {
        yield use (before + "memory:", kept);
        yield use (before + scratch, kept);
    }
}

void test_refused () {
    try {
        Bs.Backing.new_for_uri ("gopher://a");
        assert_not_reached ();
    } catch (GLib.Error e) {
        assert (e is Bs.Error.NOT_SUPPORTED);
        assert ("gopher://a" in e.message && "file, memory" in e.message);
    }
    try {
        Bs.Backing.new_for_uri ("file:");
        assert_not_reached ();
    } catch (GLib.Error e) {
        assert (e is GLib.IOError.INVALID_ARGUMENT);
    }
    try {
        Bs.Backing.add_scheme ("bad", typeof (NoEngine));
        assert_not_reached ();
    } catch (GLib.Error e) {
        assert (e is GLib.IOError.INVALID_ARGUMENT);
        assert ("NoEngine" in e.message);
    }
    try {
        Bs.Backing.add_scheme ("memory", typeof (NestedEngine));
        assert_not_reached ();
    } catch (GLib.Error e) {
        assert (e is Bs.Error.EXISTS);
    }
}

int main (string[] args) {
    GLib.Test.init (ref args);

    GLib.Test.add_func ("/engine/refused", test_refused);
    GLib.Test.add_func ("/engine/schemes", () => {
        var loop = new TestLoop ();
        schemes.begin ((object, result) => loop.end (() => schemes.end (result)));
        loop.run ();
    });

    return GLib.Test.run ();
}
