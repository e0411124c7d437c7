/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* Saves. */

Bs.BackingStore open (TestDirectory directory) {
    return new Bs.BackingStore (new Bs.FileBacking (directory.file.get_child ("scratch")));
}

async string load (Bs.Item item) throws GLib.Error {
    return text (yield item.load_async ());
}

async void document () throws GLib.Error {
    var directory = new TestDirectory ();
    var path = directory.file.get_child ("document");
    var store = open (directory);
    var pool = new Bs.Pool (store, 1 << 20);
    var tracked = yield store.track_path_async (path);
    var one = pool.insert (bytes ("one"));
    var two = pool.insert (bytes ("two"));

    var save = new Bs.Save (store, tracked);
    save.add_item (one);
    save.add_item (two);
    save.set_root (bytes ("old"));
    save.max_parallel = 2;
    assert (save.fraction <= 0);
    assert (yield save.run_async ());
    assert (save.n_done == 2 && save.n_total == 2 && save.fraction >= 1);
    assert (save.store == store && save.tracked == tracked);
    yield store.close_async ();

    store = open (directory);
    pool = new Bs.Pool (store, 1 << 20);
    tracked = yield store.track_path_async (path);
    assert (text (yield store.load_root_async (tracked)) == "old");
    var next = new Bs.Save (store, tracked);
    next.keep_key (two.key);
    next.add_item (pool.insert (bytes ("three")));
    next.set_root (bytes ("new"));
    assert (next.run ());
    assert (tracked.n_keys == 2);
    assert (!tracked.contains_key (one.key));
    assert (text (store.load_root (tracked)) == "new");
    var item = yield pool.register_async (tracked, two.key);
    assert ((yield load (item)) == "two");
    yield store.close_async ();
}

async void failures () throws GLib.Error {
    var backing = new Bs.FaultBacking (new Bs.MemoryBacking ());
    var store = new Bs.BackingStore (backing);
    var pool = new Bs.Pool (store, 1 << 20);
    var tracked = yield store.track_path_async (GLib.File.new_for_path ("/document"));
    var save = new Bs.Save (store, tracked);

    try {
        yield save.run_async ();
        assert_not_reached ();
    } catch (GLib.IOError.INVALID_ARGUMENT e) {
        assert ("/document" in e.message);
    }
    save.add_item (pool.insert (bytes ("one")));
    save.set_root (bytes ("root"));
    backing.fail (Bs.Operation.WRITE_ROOT, null, 1, new GLib.IOError.NO_SPACE ("on purpose"));
    try {
        yield save.run_async ();
        assert_not_reached ();
    } catch (GLib.IOError.NO_SPACE e) {
        assert ("/document" in e.message);
    }
    assert (yield save.run_async ());

    var cancellable = new GLib.Cancellable ();
    cancellable.cancel ();
    try {
        yield save.run_async (GLib.Priority.DEFAULT, cancellable);
        assert_not_reached ();
    } catch (GLib.IOError.CANCELLED e) {
    }
    save.keep_key ("x");
    try {
        save.run ();
        assert_not_reached ();
    } catch (Bs.Error.INVALID_KEY e) {
    }
    yield store.close_async ();
}

async void commit_function () throws GLib.Error {
    var store = new Bs.BackingStore (new Bs.MemoryBacking ());
    var pool = new Bs.Pool (store, 1 << 20);
    var tracked = yield store.track_path_async (GLib.File.new_for_path ("/document"));
    var main_thread = GLib.Thread.self<void*> ();
    var save = new Bs.Save (store, tracked);
    int n_calls = 0;

    save.add_item (pool.insert (bytes ("one")));
    save.set_commit_func ((same_save, cancellable) => {
        assert (same_save == save);
        assert (tracked.n_keys == 1);
        n_calls++;
        return store.sync (tracked, cancellable);
    });
    assert (yield save.run_async ());
    assert (save.run ());
    assert (n_calls == 2);

    save.set_commit_func (() => {
        assert (GLib.Thread.self<void*> () != main_thread);
        throw new GLib.IOError.READ_ONLY ("on purpose");
    });
    try {
        yield save.run_async ();
        assert_not_reached ();
    } catch (GLib.IOError.READ_ONLY e) {
        assert ("on purpose" in e.message);
    }
    save.set_commit_func (() => false);
    try {
        save.run ();
        assert_not_reached ();
    } catch (Bs.Error.FAILED e) {
    }
    save.set_commit_func (null);
    assert (save.run ());
    yield store.close_async ();
}

int main (string[] args) {
    GLib.Test.init (ref args);

    GLib.Test.add_func ("/save/document", () => {
        var loop = new TestLoop ();
        document.begin ((object, result) => loop.end (() => document.end (result)));
        loop.run ();
    });
    GLib.Test.add_func ("/save/failures", () => {
        var loop = new TestLoop ();
        failures.begin ((object, result) => loop.end (() => failures.end (result)));
        loop.run ();
    });
    GLib.Test.add_func ("/save/commit-function", () => {
        var loop = new TestLoop ();
        commit_function.begin ((object, result) => loop.end (() => commit_function.end (result)));
        loop.run ();
    });

    return GLib.Test.run ();
}
