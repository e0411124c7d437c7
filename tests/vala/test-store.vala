/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* Stores and pools over the backings that come with the library. */

const int N_ITEMS = 20;

delegate Bs.Backing NewBacking (TestDirectory directory);

/* A coroutine of its own, so that nothing holds the bytes afterwards. */
async string load (Bs.Item item) throws GLib.Error {
    return text (yield item.load_async ());
}

/* For what happens in other threads, which do not wake this one. */
async void until (owned GLib.SourceFunc condition) {
    GLib.Timeout.add (2, () => {
        if (!condition ())
            return GLib.Source.CONTINUE;
        until.callback ();
        return GLib.Source.REMOVE;
    });
    yield;
}

/* The next emission of notify for a property. */
async void notification (GLib.Object object, string property) {
    ulong id = object.notify[property].connect (() => {
        notification.callback ();
    });
    yield;
    object.disconnect (id);
}

void test_keys () {
    var key = Bs.key_generate ();
    assert (Bs.key_is_valid (key));
    assert (!Bs.key_is_valid ("x"));
    assert (!Bs.key_is_valid (null));

    var keys = new Bs.KeySet ();
    try {
        assert (keys.add (key));
        assert (keys.add (key.up ()));
    } catch (GLib.Error e) {
        assert_not_reached ();
    }
    assert (keys.n_keys == 1);
    assert (keys.contains_key (key.replace ("-", "")));
    foreach (unowned string each in keys.list_keys ())
        assert (each == key);
    uint n_seen = 0;
    keys.foreach_key (each => {
        assert (each == key);
        n_seen++;
    });
    assert (n_seen == 1);

    try {
        keys.add ("x");
        assert_not_reached ();
    } catch (GLib.Error e) {
        assert (e is Bs.Error.INVALID_KEY);
        assert (e.matches (Bs.Error.quark (), Bs.Error.INVALID_KEY));
    }
    assert (keys.remove (key));
    assert (!keys.remove (key));
}

async void main_job (owned NewBacking new_backing, bool in_context) throws GLib.Error {
    var directory = new TestDirectory ();
    var path = directory.file.get_child ("kept");
    var backing = new_backing (directory);
    var store = in_context ? new Bs.BackingStore.in_context (backing) : new Bs.BackingStore (backing);
    assert (store.backing == backing);
    assert ((store.main_context != null) == in_context);

    var tracked = yield store.track_path_async (path);
    assert (tracked.file.equal (path));
    assert (tracked == yield store.track_path_async (path));

    var pool = new Bs.Pool (store, 1 << 20);
    Bs.Item[] items = {};
    for (int i = 0; i < N_ITEMS; i++) {
        items += pool.insert (bytes (@"$i"));
        yield items[i].persist_async (tracked);
    }
    assert (yield store.sync_async (tracked));
    assert (tracked.n_keys == N_ITEMS);

    assert (yield store.untrack_path_async (tracked));
    assert (tracked.closed);
    tracked = yield store.track_path_async (path);
    assert (!tracked.closed);

    var one = yield pool.register_async (tracked, items[7].key);
    assert ((yield load (one)) == "7");
    var found = yield pool.register_all_async (tracked);
    assert (found.get_n_items () == N_ITEMS);
    for (int i = 0; i < N_ITEMS; i++) {
        var item = (Bs.Item) found.get_item (i);
        var content = yield load (item);
        assert (items[int.parse (content)].key == item.key);
    }

    yield store.delete_persisted_async (tracked, items[0].key);
    assert (!tracked.contains_key (items[0].key));
    var some = new Bs.KeySet ();
    for (int i = 0; i < 10; i++)
        some.add (items[i].key);
    assert (yield store.delete_persisted_keys_async (tracked, some));
    assert (tracked.list_keys ().length == N_ITEMS - 10);

    assert (yield store.wait_finished_async ());
    assert (yield store.close_async ());
    try {
        yield store.track_path_async (path);
        assert_not_reached ();
    } catch (Bs.Error e) {
        assert (e is Bs.Error.CLOSED);
    }
}

void blocking (NewBacking new_backing, bool in_context) throws GLib.Error {
    var directory = new TestDirectory ();
    var backing = new_backing (directory);
    var store = in_context ? new Bs.BackingStore.in_context (backing) : new Bs.BackingStore (backing);
    var tracked = store.track_path (directory.file.get_child ("kept"));
    var pool = new Bs.Pool (store, 100);
    var item = pool.insert (bytes ("content"));
    assert (item.write ());
    assert (item.persist (tracked));
    assert (store.sync (tracked));
    assert (text (pool.register (tracked, item.key).load ()) == "content");
    assert (pool.register_all (tracked).get_n_items () == 1);
    assert (pool.trim (0));
    assert (text (item.load ()) == "content");
    assert (store.delete_persisted (tracked, item.key));
    assert (store.untrack_path (tracked));
    assert (store.wait_finished ());
    assert (store.close ());
}

async void errors () throws GLib.Error {
    var directory = new TestDirectory ();
    var store = new Bs.BackingStore (new Bs.FileBacking (directory.file.get_child ("scratch")));
    var tracked = yield store.track_path_async (directory.file.get_child ("kept"));
    var pool = new Bs.Pool (store, 100);

    try {
        yield pool.register_async (tracked, "x");
        assert_not_reached ();
    } catch (Bs.Error.INVALID_KEY e) {
    }
    var key = Bs.key_generate ();
    try {
        yield pool.register_async (tracked, key);
        assert_not_reached ();
    } catch (Bs.Error.NOT_FOUND e) {
        assert (key in e.message);
        assert (tracked.file.get_path () in e.message);
    }
    try {
        yield store.load_root_async (tracked);
        assert_not_reached ();
    } catch (Bs.Error.NOT_FOUND e) {
    }
    store.backing.write_root (tracked.file, bytes ("root"), null);
    assert (text (yield store.load_root_async (tracked)) == "root");
    assert (text (store.load_root (tracked)) == "root");

    var other = new Bs.BackingStore (new Bs.MemoryBacking ());
    try {
        yield other.sync_async (tracked);
        assert_not_reached ();
    } catch (GLib.IOError.INVALID_ARGUMENT e) {
    }

    directory.file.get_child ("home").make_directory ();
    directory.file.get_child ("home").get_child ("letter").create (NONE).close ();
    try {
        yield store.track_path_async (directory.file.get_child ("home"));
        assert_not_reached ();
    } catch (Bs.Error.FOREIGN e) {
    }
    yield store.close_async ();
    yield other.close_async ();
}

async void renamed () throws GLib.Error {
    var directory = new TestDirectory ();
    var path = directory.file.get_child ("kept");
    var other_path = directory.file.get_child ("renamed");
    var store = new Bs.BackingStore (new Bs.FileBacking (directory.file.get_child ("scratch")));
    var tracked = yield store.track_path_async (path);
    var save = new Bs.Save (store, tracked);
    save.add_item (new Bs.Pool (store, 100).insert (bytes ("content")));
    assert (tracked.writable);
    assert (!tracked.moved);

    path.move (other_path, NONE);
    try {
        yield save.run_async ();
        assert_not_reached ();
    } catch (Bs.Error e) {
        assert (e is Bs.Error.MOVED);
    }
    assert (tracked.moved);
    assert ((yield store.track_path_async (path)) != tracked);
    assert ((yield store.track_path_async (other_path)) == tracked);
    yield notification (tracked, "file");
    assert (tracked.file.equal (other_path));
    assert (!tracked.get_moved ());
    yield save.run_async ();
    yield store.close_async ();
}

async void files_of_a_next_process () throws GLib.Error {
    var directory = new TestDirectory ();
    var path = directory.file.get_child ("kept");
    var store = new Bs.BackingStore (new Bs.FileBacking (directory.file.get_child ("scratch")));
    var tracked = yield store.track_path_async (path);
    var item = new Bs.Pool (store, 100).insert (bytes ("content"));
    yield item.persist_async (tracked);
    yield store.sync_async (tracked);
    yield store.close_async ();

    var backing = new Bs.FileBacking.temporary ();
    store = new Bs.BackingStore (backing);
    tracked = yield store.track_path_async (path);
    assert (tracked.contains_key (item.key));
    item = yield new Bs.Pool (store, 100).register_async (tracked, item.key);
    assert ((yield load (item)) == "content");
    var stats = backing.get_stats ();
    assert (stats.linked + stats.reflinked + stats.copied == 1);
    assert (backing.directory.query_exists ());
    yield store.close_async ();
    assert (!backing.directory.query_exists ());
}

async void temporary_in () throws GLib.Error {
    var directory = new TestDirectory ();
    var parent = directory.file.get_child ("parent");
    var backing = new Bs.FileBacking.temporary_in (parent);
    assert (backing.directory.get_parent ().equal (parent));
    var store = new Bs.BackingStore (backing);
    yield new Bs.Pool (store, 100).insert (bytes ("content")).write_async ();
    assert (backing.directory.query_exists ());
    yield store.close_async ();
    assert (!backing.directory.query_exists ());
    assert (parent.query_exists ());
    try {
        new Bs.FileBacking.temporary_in (GLib.File.new_for_uri ("s3://bucket/scratch"));
        assert_not_reached ();
    } catch (Bs.Error.NOT_SUPPORTED e) {
    }
}

async void pool_and_items () throws GLib.Error {
    var directory = new TestDirectory ();
    var store = new Bs.BackingStore (new Bs.FileBacking (directory.file.get_child ("scratch")));
    var pool = new Bs.Pool (store, 4096);
    Bs.Item[] items = {};
    for (int i = 0; i < N_ITEMS; i++)
        items += pool.insert (bytes (string.nfill (1024, (char) ('a' + i))));
    assert (yield pool.trim_async (pool.max_bytes));
    assert (pool.memory_use == 4096);
    assert (pool.n_items == N_ITEMS);
    assert (pool.n_resident == 4);
    for (int i = 0; i < N_ITEMS; i++)
        assert ((yield load (items[i]))[0] == 'a' + i);
    var stats = pool.get_stats ();
    assert (stats.hits + stats.misses == N_ITEMS);
    assert (stats.bytes_in == stats.misses * 1024);

    var item = pool.insert (bytes ("old"));
    var key = item.key;
    var copy = item.copy ();
    assert (copy.key == key);
    item.replace (bytes ("newer"));
    assert (item.key != key);
    assert (item.key == item.dup_key ());
    assert (item.size == 5);
    assert ((yield load (copy)) == "old");
    assert ((yield load (item)) == "newer");

    yield pool.trim_async (0);
    assert (item.try_load () == null);
    assert ((yield load (item)) == "newer");
    assert (text (item.try_load ()) == "newer");

    var found = pool.lookup (item.key);
    assert (text (found.try_load ()) == "newer");
    assert (pool.lookup ("no key") == null);
    yield store.close_async ();
}

async void pressure () throws GLib.Error {
    var store = new Bs.BackingStore (new Bs.MemoryBacking ());
    var pool = new Bs.Pool (store, 4000);
    Bs.Item[] items = {};
    for (int i = 0; i < 30; i++) {
        items += pool.insert (bytes (string.nfill (1000, 'x')));
        assert (pool.memory_use <= 6000);
        yield pool.trim_async (pool.max_bytes);
    }
    assert (pool.n_items == 30);
    assert (pool.memory_in_use == 0);

    pool.max_bytes = 2000;
    yield pool.trim_async (2000);
    assert (pool.n_resident == 2);
    pool.set_max_bytes (0);
    yield pool.trim_async (0);
    assert (pool.n_resident == 0);
    pool.max_bytes = 4000;
    foreach (unowned Bs.Item item in items)
        yield load (item);

    var stats = pool.get_stats ();
    assert (stats.evictions >= 30);
    assert (stats.writes == 30);
    assert (stats.bytes_out == 30000);
    assert (stats.hits + stats.misses == 30);
    assert (stats.bytes_in == stats.misses * 1000);

    var monitor = GLib.MemoryMonitor.dup_default ();
    assert (pool.trim_on_low_memory);
    assert (pool.memory_use == 4000);
    monitor.low_memory_warning (GLib.MemoryMonitorWarningLevel.LOW);
    assert (pool.memory_use == 2000);
    pool.trim_on_low_memory = false;
    monitor.low_memory_warning (GLib.MemoryMonitorWarningLevel.CRITICAL);
    assert (pool.memory_use == 2000);
    pool.set_trim_on_low_memory (true);
    monitor.low_memory_warning (GLib.MemoryMonitorWarningLevel.CRITICAL);
    assert (pool.memory_use == 0);
    yield store.close_async ();
}

async void failures () throws GLib.Error {
    var backing = new Bs.FaultBacking (new Bs.MemoryBacking ());
    var store = new Bs.BackingStore (backing);
    assert (backing.inner is Bs.MemoryBacking);
    var pool = new Bs.Pool (store, 100);
    var item = pool.insert (bytes ("content"));

    backing.fail (WRITE, null, 1, new GLib.IOError.NO_SPACE ("full"));
    try {
        yield item.write_async ();
        assert_not_reached ();
    } catch (GLib.IOError.NO_SPACE e) {
        assert (item.key in e.message);
        assert ("full" in e.message);
    }
    assert (yield item.write_async ());
    assert (backing.get_count (WRITE) == 2);

    string? failed_key = null;
    GLib.Error? failure = null;
    store.background_error.connect ((key, operation, error) => {
        assert (operation == Bs.Operation.DELETE_KEY);
        failed_key = key;
        failure = error;
        failures.callback ();
    });
    var key = item.key;
    backing.fail (DELETE_KEY, null, 1, new GLib.IOError.PERMISSION_DENIED ("no"));
    item = null;
    yield;
    assert (failed_key == key);
    assert (failure is GLib.IOError.PERMISSION_DENIED);
    yield store.close_async ();
}

async void cancellation () throws GLib.Error {
    var backing = new Bs.FaultBacking (new Bs.MemoryBacking ());
    var store = new Bs.BackingStore (backing);
    var item = new Bs.Pool (store, 100).insert (bytes ("content"));
    var cancellable = new GLib.Cancellable ();
    backing.hold (WRITE);

    var stayed = false;
    item.write_async.begin (GLib.Priority.DEFAULT, null, (object, result) => {
        try {
            stayed = item.write_async.end (result);
        } catch (GLib.Error e) {
        }
    });
    GLib.Idle.add (() => {
        cancellable.cancel ();
        return GLib.Source.REMOVE;
    });
    try {
        yield item.write_async (GLib.Priority.DEFAULT, cancellable);
        assert_not_reached ();
    } catch (GLib.IOError.CANCELLED e) {
    }
    assert (!stayed);
    backing.release (WRITE);
    yield until (() => stayed);
    assert (backing.get_count (WRITE) == 1);
    yield store.close_async ();
}

async void verify () throws GLib.Error {
    var backing = new Bs.FaultBacking (new Bs.MemoryBacking ());
    var store = new Bs.BackingStore (backing);
    var tracked = yield store.track_path_async (GLib.File.new_for_uri ("memory:kept"));
    var pool = new Bs.Pool (store, 1000);
    Bs.Item[] items = {};
    for (int i = 0; i < N_ITEMS; i++) {
        items += pool.insert (bytes (@"$i"));
        yield items[i].persist_async (tracked);
    }

    var verify = new Bs.Verify (store, tracked);
    assert (verify.store == store);
    assert (verify.tracked == tracked);
    backing.fail (VERIFY_PERSISTED, items[3].key, 1, new Bs.Error.CORRUPT ("bad"));
    assert (yield verify.run_async ());
    assert (verify.n_total == N_ITEMS);
    assert (verify.n_done == N_ITEMS);
    assert (verify.n_bad == 1);
    yield until (() => verify.fraction == 1.0);
    assert (verify.dup_bad_keys ().contains_key (items[3].key));
    assert (!tracked.contains_key (items[3].key));

    backing.fail (VERIFY_PERSISTED, items[4].key, 1, new GLib.IOError.PERMISSION_DENIED ("no"));
    try {
        yield verify.run_async (GLib.Priority.LOW);
        assert_not_reached ();
    } catch (GLib.IOError.PERMISSION_DENIED e) {
        assert (items[4].key in e.message);
    }
    var cancelled = new GLib.Cancellable ();
    cancelled.cancel ();
    try {
        verify.run (cancelled);
        assert_not_reached ();
    } catch (GLib.IOError.CANCELLED e) {
    }
    assert (verify.run ());
    yield store.close_async ();
    try {
        yield verify.run_async ();
        assert_not_reached ();
    } catch (Bs.Error.CLOSED e) {
    }
}

async void properties () throws GLib.Error {
    var store = new Bs.BackingStore (new Bs.MemoryBacking ());
    assert (store.max_threads == GLib.get_num_processors ().clamp (3, 5) - 1);
    assert (store.thread_nice == 5);
    assert (store.main_context == null);
    store.max_threads = 6;
    yield notification (store, "max-threads");
    assert (store.get_max_threads () == 6);
    store.thread_nice = 7;
    yield notification (store, "thread-nice");
    assert (store.get_thread_nice () == 7);

    var main_thread = GLib.Thread.self<void*> ();
    var tracked = yield store.track_path_async (GLib.File.new_for_uri ("memory:kept"));
    uint n_notified = 0;
    tracked.notify["n-keys"].connect (() => {
        assert (GLib.Thread.self<void*> () == main_thread);
        n_notified++;
    });
    var pool = new Bs.Pool (store, 100);
    yield pool.insert (bytes ("content")).persist_async (tracked);
    yield until (() => n_notified > 0);
    assert (tracked.n_keys == 1);

    var tracker = store.task_tracker;
    tracker.hold ();
    assert (tracker.n_tasks >= 1);
    tracker.close ();
    assert (tracker.closed);
    GLib.Idle.add (() => {
        tracker.release ();
        return GLib.Source.REMOVE;
    });
    assert (yield tracker.wait_async ());
    tracker.reopen ();
    yield store.close_async ();
    assert (tracked.closed);
}

async void run_in_thread () throws GLib.Error {
    var directory = new TestDirectory ();
    var path = directory.file.get_child ("kept");
    var store = new Bs.BackingStore (new Bs.MemoryBacking ());
    var main_thread = GLib.Thread.self<void*> ();

    assert (store.run_in_thread ((same_store, cancellable) => {
        assert (same_store == store);
        assert (GLib.Thread.self<void*> () == main_thread);
        return true;
    }));
    assert (yield store.run_in_thread_async ((same_store, cancellable) => {
        assert (GLib.Thread.self<void*> () != main_thread);
        var tracked = store.track_path (path, cancellable);
        var item = new Bs.Pool (store, 100).insert (bytes ("content"));
        item.persist (tracked, cancellable);
        return store.sync (tracked, cancellable);
    }));
    assert (GLib.Thread.self<void*> () == main_thread);

    try {
        yield store.run_in_thread_async (() => {
            throw new GLib.IOError.NO_SPACE ("on purpose");
        });
        assert_not_reached ();
    } catch (GLib.IOError.NO_SPACE e) {
        assert ("on purpose" in e.message);
    }
    try {
        yield store.run_in_thread_async (() => {
            throw new Bs.Error.BUSY ("on purpose");
        });
        assert_not_reached ();
    } catch (Bs.Error.BUSY e) {
    }
    try {
        yield store.run_in_thread_async (() => false);
        assert_not_reached ();
    } catch (Bs.Error.FAILED e) {
    }

    var cancellable = new GLib.Cancellable ();
    try {
        yield store.run_in_thread_async ((same_store, inner) => {
            cancellable.cancel ();
            inner.set_error_if_cancelled ();
            return true;
        }, GLib.Priority.DEFAULT, cancellable);
        assert_not_reached ();
    } catch (GLib.IOError.CANCELLED e) {
    }
    yield store.close_async ();
}

Bs.Backing new_memory (TestDirectory directory) {
    return new Bs.MemoryBacking ();
}

Bs.Backing new_file (TestDirectory directory) {
    return new Bs.FileBacking (directory.file.get_child ("scratch"));
}

Bs.Backing new_fault (TestDirectory directory) {
    return new Bs.FaultBacking (new Bs.MemoryBacking ());
}

void add_kind (string kind, NewBacking new_backing) {
    foreach (bool in_context in new bool[] { false, true }) {
        var where = in_context ? "main-context" : "threads";
        var where_in_context = in_context;
        GLib.Test.add_data_func (@"/store/$kind/$where/main-job", () => {
            var loop = new TestLoop ();
            main_job.begin ((directory) => new_backing (directory), where_in_context,
                            (object, result) => loop.end (() => main_job.end (result)));
            loop.run ();
        });
        GLib.Test.add_data_func (@"/store/$kind/$where/blocking", () => {
            var loop = new TestLoop ();
            GLib.Idle.add (() => {
                loop.end (() => blocking (new_backing, where_in_context));
                return GLib.Source.REMOVE;
            });
            loop.run ();
        });
    }
}

int main (string[] args) {
    GLib.Test.init (ref args);

    GLib.Test.add_func ("/keys", test_keys);
    add_kind ("memory", new_memory);
    add_kind ("file", new_file);
    add_kind ("fault", new_fault);
    GLib.Test.add_func ("/store/errors", () => {
        var loop = new TestLoop ();
        errors.begin ((object, result) => loop.end (() => errors.end (result)));
        loop.run ();
    });
    GLib.Test.add_func ("/store/renamed", () => {
        var loop = new TestLoop ();
        renamed.begin ((object, result) => loop.end (() => renamed.end (result)));
        loop.run ();
    });
    GLib.Test.add_func ("/store/files-of-a-next-process", () => {
        var loop = new TestLoop ();
        files_of_a_next_process.begin ((object, result) => loop.end (() => files_of_a_next_process.end (result)));
        loop.run ();
    });
    GLib.Test.add_func ("/store/temporary-in", () => {
        var loop = new TestLoop ();
        temporary_in.begin ((object, result) => loop.end (() => temporary_in.end (result)));
        loop.run ();
    });
    GLib.Test.add_func ("/store/failures", () => {
        var loop = new TestLoop ();
        failures.begin ((object, result) => loop.end (() => failures.end (result)));
        loop.run ();
    });
    GLib.Test.add_func ("/store/cancellation", () => {
        var loop = new TestLoop ();
        cancellation.begin ((object, result) => loop.end (() => cancellation.end (result)));
        loop.run ();
    });
    GLib.Test.add_func ("/store/verify", () => {
        var loop = new TestLoop ();
        verify.begin ((object, result) => loop.end (() => verify.end (result)));
        loop.run ();
    });
    GLib.Test.add_func ("/store/properties", () => {
        var loop = new TestLoop ();
        properties.begin ((object, result) => loop.end (() => properties.end (result)));
        loop.run ();
    });
    GLib.Test.add_func ("/store/run-in-thread", () => {
        var loop = new TestLoop ();
        run_in_thread.begin ((object, result) => loop.end (() => run_in_thread.end (result)));
        loop.run ();
    });
    GLib.Test.add_func ("/pool", () => {
        var loop = new TestLoop ();
        pool_and_items.begin ((object, result) => loop.end (() => pool_and_items.end (result)));
        loop.run ();
    });
    GLib.Test.add_func ("/pool/pressure", () => {
        var loop = new TestLoop ();
        pressure.begin ((object, result) => loop.end (() => pressure.end (result)));
        loop.run ();
    });

    return GLib.Test.run ();
}
