/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* Backings written in Vala. */

const int N_ITEMS = 50;

GLib.File kept () {
    return GLib.File.new_for_uri ("test:///kept");
}

/* Only what every backing must have. Its functions are called from several
 * threads at once. */
class TableBacking : GLib.Object, Bs.Backing {
    public GLib.HashTable<string, GLib.Bytes> primary = new GLib.HashTable<string, GLib.Bytes> (str_hash, str_equal);
    public GLib.HashTable<string, GLib.Bytes> persisted = new GLib.HashTable<string, GLib.Bytes> (str_hash, str_equal);
    /* The error of the next call of the function of that name; one without a message
     * stands for a failure that says nothing. */
    public string failing = "";
    public GLib.Error? failure = null;
    public bool main_thread_seen = false;
    public bool other_thread_seen = false;
    protected GLib.Mutex mutex = GLib.Mutex ();

    /* Whether the function is to succeed. */
    protected bool arrive (string name) throws GLib.Error {
        mutex.lock ();
        if (GLib.MainContext.default ().is_owner ())
            main_thread_seen = true;
        else
            other_thread_seen = true;
        var fails = failing == name;
        if (fails)
            failing = "";
        mutex.unlock ();

        if (fails && failure != null)
            throw failure.copy ();
        return !fails;
    }

    public bool write (string key, GLib.Bytes bytes, GLib.Cancellable? cancellable = null) throws GLib.Error {
        if (!arrive ("write"))
            return false;
        mutex.lock ();
        primary[key] = bytes;
        mutex.unlock ();
        return true;
    }

    public GLib.Bytes read (string key, GLib.Cancellable? cancellable = null) throws GLib.Error {
        arrive ("read");
        mutex.lock ();
        var bytes = primary[key];
        mutex.unlock ();
        if (bytes == null)
            throw new Bs.Error.NOT_FOUND ("nothing is called %s", key);
        return bytes;
    }

    public bool delete_key (string key, GLib.Cancellable? cancellable = null) throws GLib.Error {
        arrive ("delete_key");
        mutex.lock ();
        primary.remove (key);
        mutex.unlock ();
        return true;
    }

    public bool register_key (GLib.File path, string key, GLib.Cancellable? cancellable = null) throws GLib.Error {
        arrive ("register_key");
        mutex.lock ();
        var bytes = persisted[key];
        if (bytes != null)
            primary[key] = bytes;
        mutex.unlock ();
        if (bytes == null)
            throw new Bs.Error.NOT_FOUND ("nothing is called %s", key);
        return true;
    }

    public bool persist (GLib.File path, string key, GLib.Cancellable? cancellable = null) throws GLib.Error {
        if (!arrive ("persist"))
            return false;
        mutex.lock ();
        persisted[key] = primary[key];
        mutex.unlock ();
        return true;
    }

    public bool delete_persisted (GLib.File path, string key, GLib.Cancellable? cancellable = null) throws GLib.Error {
        arrive ("delete_persisted");
        mutex.lock ();
        persisted.remove (key);
        mutex.unlock ();
        return true;
    }

    public bool sanitize_path (GLib.File path, Bs.KeySet found, GLib.Cancellable? cancellable = null) throws GLib.Error {
        arrive ("sanitize_path");
        foreach (unowned string key in persisted.get_keys_as_array ())
            found.add (key);
        return true;
    }

    public bool sync_persisted (GLib.File path, GLib.Cancellable? cancellable = null) throws GLib.Error {
        return arrive ("sync_persisted");
    }
}

/* And some of what it may have. */
class RootedBacking : GLib.Object, Bs.Backing {
    TableBacking inner = new TableBacking ();
    GLib.Bytes? root = null;
    public Bs.KeySet? named = null;
    public uint n_bulk_calls = 0;
    public int n_direct_calls = 0;
    public int n_batch_calls = 0;
    public bool closed = false;

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

    public bool delete_persisted_keys (GLib.File path, Bs.KeySet keys, GLib.Cancellable? cancellable = null) throws GLib.Error {
        n_bulk_calls++;
        foreach (unowned string key in keys.list_keys ())
            inner.delete_persisted (path, key, cancellable);
        return true;
    }

    public bool persist_bytes (GLib.File path, string key, GLib.Bytes bytes, GLib.Cancellable? cancellable = null) throws GLib.Error {
        GLib.AtomicInt.inc (ref n_direct_calls);
        return inner.write (key, bytes, cancellable) && inner.persist (path, key, cancellable);
    }

    public bool persist_keys (GLib.File path, Bs.KeySet keys, GLib.HashTable<string, GLib.Bytes>? contents, GLib.Cancellable? cancellable = null) throws GLib.Error {
        GLib.AtomicInt.inc (ref n_batch_calls);
        foreach (unowned string key in keys.list_keys ()) {
            if (contents.contains (key))
                inner.write (key, contents[key], cancellable);
            inner.persist (path, key, cancellable);
        }
        return true;
    }

    public bool write_root (GLib.File path, GLib.Bytes bytes, Bs.KeySet? named, GLib.Cancellable? cancellable = null) throws GLib.Error {
        root = bytes;
        this.named = named;
        return true;
    }

    public GLib.Bytes read_root (GLib.File path, GLib.Cancellable? cancellable = null) throws GLib.Error {
        if (root == null)
            throw new Bs.Error.NOT_FOUND ("there is no root");
        return root;
    }

    public bool close (GLib.Cancellable? cancellable = null) throws GLib.Error {
        closed = true;
        return true;
    }
}

async string load (Bs.Item item) throws GLib.Error {
    return text (yield item.load_async ());
}

/* Runs a store and a pool on the backing, and closes them. */
async void main_job (Bs.Backing backing, bool in_context) throws GLib.Error {
    var store = in_context ? new Bs.BackingStore.in_context (backing) : new Bs.BackingStore (backing);
    var tracked = yield store.track_path_async (kept ());
    var pool = new Bs.Pool (store, 20);
    Bs.Item[] items = {};
    for (int i = 0; i < N_ITEMS; i++) {
        items += pool.insert (bytes (@"content $i"));
        yield items[i].persist_async (tracked);
    }
    yield store.sync_async (tracked);
    yield pool.trim_async (0);
    for (int i = 0; i < N_ITEMS; i++)
        assert ((yield load (items[i])) == @"content $i");
    items = {};

    yield store.untrack_path_async (tracked);
    tracked = yield store.track_path_async (kept ());
    assert (tracked.n_keys == N_ITEMS);
    var found = yield pool.register_all_async (tracked);
    for (int i = 0; i < N_ITEMS; i++)
        assert ((yield load ((Bs.Item) found.get_item (i))).has_prefix ("content "));
    var some = new Bs.KeySet ();
    var keys = tracked.list_keys ();
    for (int i = 0; i < 20; i++)
        some.add (keys[i]);
    yield store.delete_persisted_keys_async (tracked, some);
    assert (tracked.n_keys == N_ITEMS - 20);
    found = null;

    yield store.wait_finished_async ();
    yield store.close_async ();
}

async void required_only (bool in_context) throws GLib.Error {
    var backing = new TableBacking ();
    yield main_job (backing, in_context);
    assert (backing.primary.length == 0);
    assert (backing.persisted.length == N_ITEMS - 20);
    assert (backing.main_thread_seen == in_context);
    assert (backing.other_thread_seen != in_context);
}

async void optional () throws GLib.Error {
    var backing = new RootedBacking ();
    yield main_job (backing, false);
    assert (backing.n_bulk_calls > 0);
    assert (backing.closed);

    var store = new Bs.BackingStore (backing);
    var tracked = yield store.track_path_async (kept ());
    var n_direct_calls = GLib.AtomicInt.get (ref backing.n_direct_calls);
    // A pool with room for all writes nothing behind the caller's back.
    var pool = new Bs.Pool (store, 100000);
    yield pool.insert (bytes ("direct")).persist_async (tracked);
    assert (GLib.AtomicInt.get (ref backing.n_direct_calls) == n_direct_calls + 1);

    var together = new Bs.Save (store, tracked);
    together.max_parallel = 1;
    for (int i = 0; i < N_ITEMS; i++)
        together.add_item (pool.insert (bytes (@"together $i")));
    assert (yield together.run_async ());
    assert (GLib.AtomicInt.get (ref backing.n_batch_calls) == 1);
    assert (tracked.n_keys == N_ITEMS);
    try {
        yield store.load_root_async (tracked);
        assert_not_reached ();
    } catch (Bs.Error.NOT_FOUND e) {
    }
    ((Bs.Backing) backing).write_root (kept (), bytes ("root"), null);
    assert (text (yield store.load_root_async (tracked)) == "root");
    assert (backing.named == null);
    var save = new Bs.Save (store, tracked);
    var item = new Bs.Pool (store, 1000).insert (bytes ("named"));
    save.set_root (bytes ("saved"));
    save.add_item (item);
    assert (yield save.run_async ());
    assert (backing.named.n_keys == 1 && backing.named.contains_key (item.key));
    yield store.close_async ();
}

async void not_supported () throws GLib.Error {
    var store = new Bs.BackingStore (new TableBacking ());
    var tracked = yield store.track_path_async (kept ());
    try {
        yield store.load_root_async (tracked);
        assert_not_reached ();
    } catch (Bs.Error.NOT_SUPPORTED e) {
        assert ("TableBacking" in e.message);
    }
    yield store.close_async ();
}

async void errors (bool in_context) throws GLib.Error {
    var backing = new TableBacking ();
    var store = in_context ? new Bs.BackingStore.in_context (backing) : new Bs.BackingStore (backing);
    var tracked = yield store.track_path_async (kept ());
    var pool = new Bs.Pool (store, 100);
    var item = pool.insert (bytes ("content"));

    backing.failure = new GLib.IOError.NO_SPACE ("on purpose");
    backing.failing = "persist";
    try {
        yield item.persist_async (tracked);
        assert_not_reached ();
    } catch (GLib.IOError.NO_SPACE e) {
        foreach (unowned string part in new string[] { "persist", item.key, kept ().get_uri (), "on purpose" })
            assert (part in e.message);
    }
    backing.failing = "sync_persisted";
    try {
        store.sync (tracked);
        assert_not_reached ();
    } catch (GLib.IOError.NO_SPACE e) {
    }
    backing.failure = new Bs.Error.CORRUPT ("on purpose");
    yield pool.trim_async (0);
    backing.failing = "read";
    try {
        yield load (item);
        assert_not_reached ();
    } catch (Bs.Error.CORRUPT e) {
        assert (item.key in e.message);
    }
    assert ((yield load (item)) == "content");

    backing.failure = null;
    backing.failing = "persist";
    try {
        yield item.persist_async (tracked);
        assert_not_reached ();
    } catch (Bs.Error.FAILED e) {
        assert ("TableBacking.persist" in e.message);
    }
    assert (yield item.persist_async (tracked));
    yield store.close_async ();
}

void test_wrappers () {
    Bs.Backing backing = new TableBacking ();
    try {
        backing.read ("x");
        assert_not_reached ();
    } catch (GLib.Error e) {
        /* Vala calls the virtual function through its wrapper. */
        assert (e is Bs.Error.INVALID_KEY);
    }
    try {
        assert (backing.close ());
        assert (backing.release_path (kept ()));
        assert (backing.verify_persisted (kept (), Bs.key_generate ()));
        var key = Bs.key_generate ();
        assert (backing.persist_bytes (kept (), key, bytes ("content")));
        assert (text (backing.read (key)) == "content");
        var keys = new Bs.KeySet ();
        var contents = new GLib.HashTable<string, GLib.Bytes> (str_hash, str_equal);
        var other = Bs.key_generate ();
        keys.add (key);
        keys.add (other);
        contents[other] = bytes ("other");
        assert (backing.persist_keys (kept (), keys, contents));
        assert (text (backing.read (other)) == "other");
    } catch (GLib.Error e) {
        assert_not_reached ();
    }
}

void test_repair () {
    try {
        var directory = GLib.DirUtils.make_tmp ("backingstore-XXXXXX");
        var path = GLib.File.new_for_path (directory).get_child ("document");
        var key = Bs.key_generate ();
        var backing = new Bs.FileBacking.temporary ();
        assert (backing.persist_bytes (path, key, bytes ("content")));
        assert (backing.sync_persisted (path));
        assert (backing.release_path (path));

        var reader = new Bs.FileBacking.temporary ();
        assert (!reader.read_only);
        reader.read_only = true;
        try {
            reader.delete_persisted (path, key);
            assert_not_reached ();
        } catch (GLib.Error e) {
            assert (e is GLib.IOError.READ_ONLY);
        }
        assert (reader.close ());

        GLib.FileUtils.set_contents (path.get_child (".backingstore").get_path (), "garbage");
        var restored = new Bs.KeySet ();
        bool marked;
        try {
            backing.repair_path (path, RESTORE, restored, out marked);
            assert_not_reached ();
        } catch (GLib.Error e) {
            assert (e is Bs.Error.FOREIGN);
        }
        assert (backing.repair_path (path, ADOPT | DRY_RUN, restored, out marked) && marked);
        assert (backing.repair_path (path, ADOPT | RESTORE, restored, out marked) && marked);
        assert (backing.repair_path (path, ADOPT | RESTORE, restored, out marked) && !marked);
        assert (restored.get_n_keys () == 0);
        assert (backing.close ());
        GLib.Process.spawn_command_line_sync ("rm -r " + directory);
    } catch (GLib.Error e) {
        GLib.error ("%s", e.message);
    }
}

int main (string[] args) {
    GLib.Test.init (ref args);

    GLib.Test.add_func ("/backing/wrappers", test_wrappers);
    GLib.Test.add_func ("/backing/repair", test_repair);
    foreach (bool in_context in new bool[] { false, true }) {
        var where = in_context ? "main-context" : "threads";
        var where_in_context = in_context;
        GLib.Test.add_data_func (@"/backing/$where/required-only", () => {
            var loop = new TestLoop ();
            required_only.begin (where_in_context, (object, result) => loop.end (() => required_only.end (result)));
            loop.run ();
        });
        GLib.Test.add_data_func (@"/backing/$where/errors", () => {
            var loop = new TestLoop ();
            errors.begin (where_in_context, (object, result) => loop.end (() => errors.end (result)));
            loop.run ();
        });
    }
    GLib.Test.add_func ("/backing/optional", () => {
        var loop = new TestLoop ();
        optional.begin ((object, result) => loop.end (() => optional.end (result)));
        loop.run ();
    });
    GLib.Test.add_func ("/backing/not-supported", () => {
        var loop = new TestLoop ();
        not_supported.begin ((object, result) => loop.end (() => not_supported.end (result)));
        loop.run ();
    });

    return GLib.Test.run ();
}
