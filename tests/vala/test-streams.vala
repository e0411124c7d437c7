/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* Contents as files and streams. */

const string CONTENT = "A content of some length.";

async string read_all (GLib.InputStream stream) throws GLib.Error {
    var builder = new GLib.StringBuilder ();

    while (true) {
        var part = yield stream.read_bytes_async (7);
        if (part.get_size () == 0)
            return builder.str;
        builder.append (text (part));
    }
}

async void files () throws GLib.Error {
    var directory = new TestDirectory ();
    var source = directory.file.get_child ("source");
    var target = directory.file.get_child ("target");
    var store = new Bs.BackingStore (new Bs.FileBacking (directory.file.get_child ("scratch")));
    var pool = new Bs.Pool (store, 1 << 20);
    string etag;
    uint8[] contents;

    source.replace_contents (CONTENT.data, null, false, NONE, out etag);
    var item = yield pool.insert_file_async (source);
    assert (item.size == CONTENT.length);
    var stream = yield item.read_async ();
    assert ((yield read_all (stream)) == CONTENT);
    var seekable = (GLib.Seekable) stream;
    assert (seekable.seek (-7, END));
    assert ((yield read_all (stream)) == "length.");

    item.replace (bytes ("other"));
    assert (seekable.seek (0, SET));
    assert ((yield read_all (stream)) == CONTENT);
    assert (seekable.seek (0, SET));
    var copy = yield pool.insert_stream_async (stream);
    assert (yield copy.copy_to_file_async (target));
    target.load_contents (null, out contents, out etag);
    assert ((string) contents == CONTENT);
    stream.close ();

    assert (pool.insert_file (source).copy_to_file (target));
    assert (text (pool.insert_stream (copy.read ()).load ()) == CONTENT);
    try {
        pool.insert_file (directory.file);
        assert_not_reached ();
    } catch (GLib.IOError.IS_DIRECTORY e) {
        assert ("write_file" in e.message);
    }
    yield store.close_async ();
}

/* An engine that has streams, and nothing else of its own. */
class StreamBacking : GLib.Object, Bs.Backing {
    GLib.HashTable<string, GLib.Bytes> blobs = new GLib.HashTable<string, GLib.Bytes> (str_hash, str_equal);
    public int n_streams;

    public bool write (string key, GLib.Bytes bytes, GLib.Cancellable? cancellable) throws GLib.Error {
        blobs[key] = bytes;
        return true;
    }

    public GLib.Bytes read (string key, GLib.Cancellable? cancellable) throws GLib.Error {
        return blobs[key];
    }

    public bool delete_key (string key, GLib.Cancellable? cancellable) throws GLib.Error {
        blobs.remove (key);
        return true;
    }

    public bool register_key (GLib.File path, string key, GLib.Cancellable? cancellable) throws GLib.Error {
        return true;
    }

    public bool persist (GLib.File path, string key, GLib.Cancellable? cancellable) throws GLib.Error {
        return true;
    }

    public bool delete_persisted (GLib.File path, string key, GLib.Cancellable? cancellable) throws GLib.Error {
        return true;
    }

    public bool sanitize_path (GLib.File path, Bs.KeySet found, GLib.Cancellable? cancellable) throws GLib.Error {
        return true;
    }

    public bool sync_persisted (GLib.File path, GLib.Cancellable? cancellable) throws GLib.Error {
        return true;
    }

    public GLib.InputStream read_stream (string key, GLib.Cancellable? cancellable) throws GLib.Error {
        n_streams++;
        return new GLib.MemoryInputStream.from_bytes (blobs[key]);
    }

    public bool write_stream (string key, GLib.InputStream stream, int64 size, GLib.Cancellable? cancellable) throws GLib.Error {
        n_streams++;
        blobs[key] = stream.read_bytes (1000, cancellable);
        return true;
    }
}

async void engine () throws GLib.Error {
    var backing = new StreamBacking ();
    var store = new Bs.BackingStore (backing);
    var pool = new Bs.Pool (store, 1 << 20);
    var item = yield pool.insert_stream_async (new GLib.MemoryInputStream.from_bytes (bytes (CONTENT)));

    assert (item.size == CONTENT.length);
    assert ((yield read_all (yield item.read_async ())) == CONTENT);
    assert (backing.n_streams == 3);
    yield store.close_async ();
}

int main (string[] args) {
    GLib.Test.init (ref args);

    GLib.Test.add_func ("/streams/files", () => {
        var loop = new TestLoop ();
        files.begin ((object, result) => loop.end (() => files.end (result)));
        loop.run ();
    });
    GLib.Test.add_func ("/streams/engine", () => {
        var loop = new TestLoop ();
        engine.begin ((object, result) => loop.end (() => engine.end (result)));
        loop.run ();
    });

    return GLib.Test.run ();
}
