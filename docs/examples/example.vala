// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The backingstore authors

// Puts every file below a directory into a pool that is much smaller than all
// of them, makes them permanent, and in another process brings them back and
// compares.
//
//   example store [--budget=MIB] [--patience=SECONDS] [--backing=URI] SOURCE TARGET
//   example verify [--budget=MIB] [--patience=SECONDS] [--backing=URI] TARGET
//
// TARGET/blobs is the persisted path, and its manifest has an entry for each file:
// the URI is the name, and the SHA-256 an attribute. TARGET/scratch is primary
// storage, on the same file system, so that persisting is making a hard link. The URI
// of another backing keeps it otherwise: with --backing='s3://BUCKET?endpoint=URL'
// TARGET is s3://BUCKET/PREFIX.
//
// Nothing blocks the main loop: what takes time runs in the threads of the
// store.

const uint IN_FLIGHT = 64;
const uint INSERTS_IN_FLIGHT = 8;
const uint N_DELETED = 3;
const double MIB = 1024 * 1024;

class Entry {
    public File file;
    public string? key;
    public string? sha256;
    public Bs.Item? item;

    public Entry (File file, string? key = null, string? sha256 = null) {
        this.file = file;
        this.key = key;
        this.sha256 = sha256;
    }
}

// The work done for each entry.
enum Work {
    INSERT,
    PERSIST,
    COMPARE,
    LOAD,
    DELETE
}

class Example {
    File target;
    File blobs;
    Bs.Manifest manifest;
    Bs.Backing backing;
    Bs.BackingStore store;
    Bs.TrackedPath tracked;
    Bs.Pool pool;
    GenericArray<Entry> entries = new GenericArray<Entry> ();
    int64 begun = get_monotonic_time ();
    int64 step_begun;
    int64 shown;
    int64 moved = get_monotonic_time ();
    uint64 peak_before = get_resident_peak ();
    uint64 peak_use;
    bool storing;
    uint n_skipped;
    uint n_wrong;

    public Example (string target, string? uri, uint64 budget) throws Error {
        this.target = File.new_for_commandline_arg (target);
        blobs = this.target.get_child ("blobs");
        if (uri != null)
            backing = Bs.Backing.new_for_uri (uri);
        else
            backing = new Bs.FileBacking (this.target.get_child ("scratch"));
        store = new Bs.BackingStore (backing);
        pool = new Bs.Pool (store, budget);
    }

    // How much of this process was in memory at most, in bytes.
    static uint64 get_resident_peak () {
        string status;
        MatchInfo match;

        try {
            FileUtils.get_contents ("/proc/self/status", out status);
            if (/^VmHWM:\s*(\d+)/m.match (status, 0, out match))
                return uint64.parse (match.fetch (1)) * 1024;
        } catch (FileError error) {
        }

        return 0;
    }

    void clear_progress () {
        if (Posix.isatty (Posix.STDOUT_FILENO))
            stdout.printf ("\r\033[K");
        stdout.flush ();
    }

    void show_progress (string name, uint n_done, uint n_total) {
        if (!Posix.isatty (Posix.STDOUT_FILENO) || get_monotonic_time () - shown < 50000)
            return;

        shown = get_monotonic_time ();
        stdout.printf ("\r%-11s [%-40s] %u of %u ", name, string.nfill (40 * n_done / n_total, '#'), n_done, n_total);
        stdout.flush ();
    }

    void complain (Entry entry, string problem) {
        clear_progress ();
        stderr.printf ("%s: %s\n", entry.file.get_parse_name (), problem);
    }

    void note_memory_use () {
        peak_use = uint64.max (peak_use, pool.memory_use);
    }

    // Ends the program when nothing has moved for so long. A thread may be stuck,
    // too: nothing here waits for it.
    public void watch (int patience) {
        Timeout.add_seconds (1, () => {
            if (get_monotonic_time () - moved >= patience * TimeSpan.SECOND) {
                clear_progress ();
                stderr.printf ("example: nothing has moved for %d s\n", patience);
                Posix._exit (1);
            }
            return Source.CONTINUE;
        });
    }

    void begin_step () {
        step_begun = moved = get_monotonic_time ();
    }

    void end_step (string name) {
        clear_progress ();
        stdout.printf ("%-11s %8.2f s\n", name, (get_monotonic_time () - step_begun) / 1e6);
    }

    async void perform (Work work, Entry entry) throws Error {
        switch (work) {
        case INSERT:
            yield insert (entry);
            break;
        case PERSIST:
            if (entry.item != null)
                yield entry.item.persist_async (tracked);
            break;
        case COMPARE:
            yield compare (entry);
            break;
        case LOAD:
            yield load (entry);
            break;
        case DELETE:
            yield delete_persisted (entry);
            break;
        }
    }

    // Does one step for all entries, so many at a time.
    async void for_each (string name, Work work, Entry[] todo, uint in_flight = IN_FLIGHT) throws Error {
        SourceFunc resume = for_each.callback;
        Error? failure = null;
        uint n_started = 0;
        uint n_running = 0;

        begin_step ();
        while (true) {
            while (n_running < in_flight && n_started < todo.length && failure == null) {
                n_running++;
                perform.begin (work, todo[n_started++], (source, result) => {
                    try {
                        perform.end (result);
                    } catch (Error error) {
                        if (failure == null)
                            failure = error;
                    }
                    n_running--;
                    moved = get_monotonic_time ();
                    resume ();
                });
            }
            if (n_running == 0)
                break;

            yield;
            show_progress (name, n_started - n_running, todo.length);
        }

        if (failure != null) {
            clear_progress ();
            throw failure;
        }
        end_step (name);
    }

    async void list_files (File source) throws Error {
        var folders = new Queue<File> ();

        begin_step ();
        folders.push_tail (source);
        while (!folders.is_empty ()) {
            var folder = folders.pop_tail ();
            FileEnumerator enumerator;

            try {
                enumerator = yield folder.enumerate_children_async (
                    FileAttribute.STANDARD_NAME + "," + FileAttribute.STANDARD_TYPE,
                    FileQueryInfoFlags.NOFOLLOW_SYMLINKS);
            } catch (Error error) {
                if (folder == source)
                    throw error;
                stderr.printf ("%s\n", error.message);
                n_skipped++;
                continue;
            }

            var infos = yield enumerator.next_files_async (100);
            while (infos.length () > 0) {
                moved = get_monotonic_time ();
                foreach (var info in infos) {
                    if (info.get_file_type () == FileType.DIRECTORY)
                        folders.push_tail (enumerator.get_child (info));
                    else if (info.get_file_type () == FileType.REGULAR)
                        entries.add (new Entry (enumerator.get_child (info)));
                }
                infos = yield enumerator.next_files_async (100);
            }
        }
        if (entries.length == 0)
            throw new IOError.NOT_FOUND ("%s: there are no files", source.get_parse_name ());
        end_step ("Listing");
    }

    async void track () throws Error {
        begin_step ();
        tracked = yield store.track_path_async (blobs);
        end_step ("Tracking");
    }

    async void sync () throws Error {
        begin_step ();
        yield store.sync_async (tracked);
        end_step ("Syncing");
    }

    async void insert (Entry entry) throws Error {
        Bytes? contents = null;

        try {
            yield store.run_in_thread_async (() => {
                uint8[] data;

                FileUtils.get_data (entry.file.get_path (), out data);
                entry.sha256 = Checksum.compute_for_data (ChecksumType.SHA256, data);
                contents = new Bytes.take ((owned) data);
                return true;
            });
        } catch (Error error) {
            complain (entry, error.message);
            n_skipped++;
            return;
        }
        entry.item = pool.insert (contents);
        contents = null;
        note_memory_use ();

        // When the pool is over its budget, the disk sets the pace. Memory goes
        // over by what is in flight, so that is little.
        if (pool.memory_use > pool.max_bytes)
            yield pool.trim_async (pool.max_bytes);
    }

    bool has_items () {
        foreach (var entry in entries) {
            if (entry.item != null)
                return true;
        }

        return false;
    }

    // Everything is at the path already: the save puts the names in place.
    async void write_manifest () throws Error {
        var names = new Bs.Manifest ();
        var save = new Bs.Save (store, tracked);

        begin_step ();
        foreach (var entry in entries) {
            if (entry.item != null && tracked.contains_key (entry.item.dup_key ())) {
                var attributes = new VariantDict ();

                attributes.insert ("sha256", "s", entry.sha256);
                names.add_item (entry.file.get_uri (), entry.item, attributes.end ());
            }
        }
        save.set_manifest (names);
        yield save.run_async ();
        end_step ("Manifest");
    }

    async void read_manifest () throws Error {
        begin_step ();
        manifest = yield store.load_manifest_async (tracked);
        if (manifest.n_items == 0)
            throw new IOError.NOT_FOUND ("%s: no file is left there", target.get_parse_name ());
        end_step ("Manifest");
    }

    // One operation for all keys.
    async void register () throws Error {
        begin_step ();
        try {
            yield pool.register_manifest_async (tracked, manifest);
        } catch (Bs.Error.NOT_FOUND error) {
            // The entries that have no item are told one by one.
        }
        for (uint i = 0; i < manifest.n_items; i++) {
            var named = (Bs.ManifestEntry) manifest.get_item (i);
            var sha256 = named.lookup_attribute ("sha256", VariantType.STRING);
            var entry = new Entry (File.new_for_uri (named.dup_name ()), named.dup_key (),
                                   sha256 != null ? sha256.get_string () : null);

            entry.item = named.dup_item ();
            entries.add (entry);
        }
        end_step ("Registering");
    }

    void reject (Entry entry, string problem) {
        complain (entry, problem);
        n_wrong++;
    }

    void judge () throws Error {
        if (n_wrong > 0)
            throw new Bs.Error.CORRUPT ("%u of %u files are missing or differ", n_wrong, entries.length);
    }

    async Bytes load (Entry entry) throws Error {
        var contents = yield entry.item.load_async ();

        note_memory_use ();
        return contents;
    }

    async void compare (Entry entry) throws Error {
        string? sha256 = null;

        if (entry.item == null) {
            reject (entry, "is not at the persisted path");
            return;
        }

        try {
            var contents = yield load (entry);

            yield store.run_in_thread_async (() => {
                sha256 = Checksum.compute_for_bytes (ChecksumType.SHA256, contents);
                return true;
            });
        } catch (Error error) {
            reject (entry, error.message);
            return;
        }
        if (sha256 != entry.sha256)
            reject (entry, "has another SHA-256 than the original");
    }

    // Deletes what is permanent: the item stays whole as long as it is held.
    async void delete_persisted (Entry entry) throws Error {
        yield store.delete_persisted_async (tracked, entry.key);
        if (tracked.contains_key (entry.key))
            reject (entry, "was deleted and is still there");
        yield compare (entry);
    }

    public async void store_files (File source) throws Error {
        storing = true;
        yield list_files (source);
        yield track ();
        if (tracked.n_keys > 0)
            throw new IOError.EXISTS ("%s was used before: choose a new target", target.get_parse_name ());
        yield for_each ("Inserting", INSERT, entries.data, INSERTS_IN_FLIGHT);
        if (!has_items ())
            throw new IOError.PERMISSION_DENIED ("%s: none of the files can be read", source.get_parse_name ());
        yield for_each ("Persisting", PERSIST, entries.data);
        yield sync ();
        yield write_manifest ();
    }

    public async void verify_files () throws Error {
        // Tracking would make the directory. What is on a server is asked when it is tracked.
        if (blobs.is_native ())
            yield blobs.query_info_async (FileAttribute.STANDARD_TYPE, FileQueryInfoFlags.NONE);
        yield track ();
        yield read_manifest ();
        yield register ();
        yield for_each ("Comparing", COMPARE, entries.data);
        judge ();

        var backwards = new GenericArray<Entry> ();
        for (int i = entries.length - 1; i >= 0; i--)
            backwards.add (entries[i]);
        yield for_each ("Backwards", LOAD, backwards.data);
        yield for_each ("Deleting", DELETE, entries.data[0:uint.min (N_DELETED, entries.length)]);
        judge ();
        yield sync ();
        yield write_manifest ();
    }

    // The scratch files go, too.
    public async void close () throws Error {
        yield store.close_async ();
    }

    // The store's errors name a key. A person knows the file.
    public string name_files (string message) {
        foreach (var entry in entries) {
            if (entry.item != null && entry.item.dup_key () in message)
                return message.replace (entry.item.dup_key (), entry.file.get_parse_name ());
        }

        return message;
    }

    public void summarize () {
        var stats = pool.get_stats ();
        uint64 n_bytes = 0;
        int64 largest = 0;
        uint n_items = 0;

        foreach (var entry in entries) {
            if (entry.item != null) {
                n_items++;
                n_bytes += entry.item.size;
                largest = int64.max (largest, entry.item.size);
            }
        }

        stdout.printf ("%-11s %8.2f s\n\n", "Total", (get_monotonic_time () - begun) / 1e6);
        var verdict = storing ? @"$n_skipped skipped" : "each with the SHA-256 of the original";
        var n_deleted = storing ? 0 : uint.min (n_items, N_DELETED);
        stdout.printf ("Files       %u, %.1f MiB, the largest %.1f MiB; %s\n",
                       n_items, n_bytes / MIB, largest / MIB, verdict);
        stdout.printf ("Pool        %.1f MiB at most, budget %.1f MiB\n", peak_use / MIB, pool.max_bytes / MIB);
        stdout.printf ("Process     %.1f MiB resident at most, %.1f MiB before the first file\n",
                       get_resident_peak () / MIB, peak_before / MIB);
        if (largest > pool.max_bytes)
            stdout.printf ("Memory      the largest file is above the budget: it is in memory whole while it is used\n");
        stdout.printf (@"Loads       $(stats.hits) hits, $(stats.misses) misses, $(stats.writes) written, $(stats.evictions) evicted\n");
        if (backing is Bs.FileBacking) {
            var files = ((Bs.FileBacking) backing).get_stats ();
            stdout.printf (@"Blobs       $(files.linked) linked, $(files.reflinked) reflinked, $(files.copied) copied\n");
        }
        stdout.printf (@"Persisted   $(tracked.n_keys) files; $n_deleted deleted\n");
    }
}

async void run (Example example, string[] words) throws Error {
    Error? failure = null;

    try {
        if (words[0] == "store")
            yield example.store_files (File.new_for_commandline_arg (words[1]));
        else
            yield example.verify_files ();
    } catch (Error error) {
        failure = error;
    }
    yield example.close ();
    if (failure != null)
        throw failure;
}

int budget = 4;
int patience = 300;
string? uri = null;

const OptionEntry[] OPTIONS = {
    { "budget", 'b', 0, OptionArg.INT, ref budget, "Memory that the pool may hold (4)", "MIB" },
    { "patience", 'p', 0, OptionArg.INT, ref patience, "Give up when nothing has moved for so long (300)", "SECONDS" },
    { "backing", 'k', 0, OptionArg.STRING, ref uri, "Where it is kept instead of files", "URI" },
    { null }
};

int main (string[] args) {
    var context = new OptionContext ("store SOURCE TARGET | verify TARGET");
    context.add_main_entries (OPTIONS, null);
    try {
        context.parse (ref args);
    } catch (OptionError error) {
        stderr.printf ("example: %s\n", error.message);
        return 2;
    }

    var words = args[1:args.length];
    var is_store = words.length == 3 && words[0] == "store";
    var is_verify = words.length == 2 && words[0] == "verify";
    if ((!is_store && !is_verify) || budget < 0 || patience < 1) {
        stderr.printf ("%s", context.get_help (true, null));
        return 2;
    }

    Example example;
    try {
        example = new Example (words[words.length - 1], uri, budget * (uint64) MIB);
    } catch (Error error) {
        stderr.printf ("example: %s\n", error.message);
        return 1;
    }

    var loop = new MainLoop ();
    var status = 0;
    example.watch (patience);
    run.begin (example, words, (source, result) => {
        try {
            run.end (result);
            example.summarize ();
        } catch (Error error) {
            stderr.printf ("example: %s\n", example.name_files (error.message));
            status = 1;
        }
        loop.quit ();
    });
    loop.run ();

    return status;
}
