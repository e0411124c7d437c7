/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* Manifests. */

const string KEY = "abcdef01-2345-6789-abcd-ef0123456789";

GLib.Variant attributes (string title) {
    var dict = new GLib.VariantDict ();

    dict.insert ("title", "s", title);
    return dict.end ();
}

string names (Bs.Manifest manifest) {
    string[] all = {};

    for (uint i = 0; i < manifest.n_items; i++)
        all += ((Bs.ManifestEntry) manifest.get_item (i)).name;
    return string.joinv (" ", all);
}

void list () {
    var manifest = new Bs.Manifest ();
    int n_changes = 0, n_notified = 0;

    try {
        manifest.items_changed.connect (() => n_changes++);
        manifest.add ("one", KEY.up (), attributes ("One"));
        manifest.add ("two", KEY, null);
        assert (manifest.get_item_type () == typeof (Bs.ManifestEntry));
        assert (manifest.item_type == typeof (Bs.ManifestEntry));
        assert (manifest.get_n_items () == 2);

        var entry = manifest.lookup ("one");
        assert (entry == manifest.get_item (0));
        assert (entry.key == KEY && entry.item == null);
        assert (entry.lookup_attribute ("title", GLib.VariantType.STRING).get_string () == "One");
        assert (entry.attributes.n_children () == 1);
        assert (manifest.lookup ("three") == null);

        uint position;
        assert (manifest.find ("two", out position) && position == 1);
        entry.notify["name"].connect (() => n_notified++);
        manifest.rename ("one", "first");
        manifest.set_attributes ("first", null);
        manifest.move ("first", 1);
        manifest.remove ("two");
        assert (names (manifest) == "first");
        assert (n_changes == 4 && n_notified == 1);
        assert (names (new Bs.Manifest.from_bytes (manifest.to_bytes ())) == "first");
    } catch (GLib.Error e) {
        error ("%s", e.message);
    }

    try {
        manifest.add ("first", KEY, null);
        assert_not_reached ();
    } catch (Bs.Error.EXISTS e) {
        assert ("“first”" in e.message);
    } catch (GLib.Error e) {
        assert_not_reached ();
    }
    try {
        new Bs.Manifest.from_bytes (bytes ("nothing of the kind"));
        assert_not_reached ();
    } catch (Bs.Error.CORRUPT e) {
        assert ("at byte 0" in e.message);
    } catch (GLib.Error e) {
        assert_not_reached ();
    }
}

async void document () throws GLib.Error {
    var directory = new TestDirectory ();
    var path = directory.file.get_child ("document");
    var store = new Bs.BackingStore (new Bs.FileBacking (directory.file.get_child ("scratch")));
    var pool = new Bs.Pool (store, 1 << 20);
    var tracked = yield store.track_path_async (path);

    try {
        yield store.load_manifest_async (tracked);
        assert_not_reached ();
    } catch (Bs.Error.NOT_FOUND e) {
    }
    var manifest = new Bs.Manifest ();
    manifest.add_item ("one", pool.insert (bytes ("1")), attributes ("One"));
    manifest.add_item ("two", pool.insert (bytes ("2")), null);
    var save = new Bs.Save (store, tracked);
    save.set_manifest (manifest);
    assert (yield save.run_async ());
    yield store.close_async ();

    store = new Bs.BackingStore (new Bs.FileBacking (directory.file.get_child ("scratch")));
    pool = new Bs.Pool (store, 1 << 20);
    tracked = yield store.track_path_async (path);
    manifest = yield store.load_manifest_async (tracked);
    assert (yield pool.register_manifest_async (tracked, manifest));
    var item = manifest.lookup ("one").dup_item ();
    assert (text (yield item.load_async ()) == "1");
    item.replace (bytes ("edited"));
    manifest.remove ("two");
    manifest.set_item ("one", item);
    save = new Bs.Save (store, tracked);
    save.set_manifest (manifest);
    assert (save.run ());

    manifest = store.load_manifest (tracked);
    assert (pool.register_manifest (tracked, manifest));
    assert (names (manifest) == "one");
    assert (text (yield manifest.lookup ("one").item.load_async ()) == "edited");
    manifest.add ("missing", KEY, null);
    save.set_manifest (manifest);
    try {
        yield save.run_async ();
        assert_not_reached ();
    } catch (Bs.Error.NOT_FOUND e) {
        assert ("“missing”" in e.message && path.get_path () in e.message);
    }
    yield store.close_async ();
}

int main (string[] args) {
    GLib.Test.init (ref args);

    GLib.Test.add_func ("/manifest/list", list);
    GLib.Test.add_func ("/manifest/document", () => {
        var loop = new TestLoop ();
        document.begin ((object, result) => loop.end (() => document.end (result)));
        loop.run ();
    });

    return GLib.Test.run ();
}
