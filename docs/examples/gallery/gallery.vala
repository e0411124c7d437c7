/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* A gallery: imports folders of photos, and shows them in a grid, large and zoomed.
 *
 *   gallery-vala LIBRARY MIB [FOLDER...]
 *
 * The photos are kept in the directory LIBRARY. Two pools of MIB mebibytes hold the
 * textures on the screen: one of thumbnails, one of whole pictures. Each FOLDER is
 * imported. */

const int THUMBNAIL = 256;

/* Errors of what a user has ended are none. */
void report (Error error) {
    if (!(error is IOError.CANCELLED) && !(error is Bs.Error.CLOSED))
        printerr ("%s\n", error.message);
}

class Gallery : Gtk.Application {
    File library;
    Queue<File> folders;
    Bs.BackingStore store;
    Bs.Pool thumbnails;
    Bs.Pool pictures;
    Bs.TrackedPath tracked;
    ListModel photos; // follows the path
    Cancellable? cancellable = null; // of the import under way

    Gtk.Window window;
    Gtk.Stack stack;
    Gtk.GridView grid;
    double scrolled = 0; // where the grid was before
    Gtk.Widget view;
    BsGtk.ItemPaintable large;
    Gtk.ActionBar bar;
    Gtk.ProgressBar progress;
    Gtk.FileChooserNative chooser;

    public Gallery (Bs.Backing scratch, File library, uint64 budget, owned Queue<File> folders) {
        Object (application_id: "org.example.Gallery", flags: ApplicationFlags.NON_UNIQUE);
        this.library = library;
        this.folders = (owned) folders;
        store = new Bs.BackingStore (scratch);
        thumbnails = new Bs.Pool.with_codec (store, new BsGtk.TextureCodec (THUMBNAIL), budget);
        pictures = new Bs.Pool.with_codec (store, new BsGtk.TextureCodec (0), budget);
    }

    public override void activate () {
        var builder = new Gtk.Builder.from_file (GALLERY_UI);
        window = (Gtk.Window) builder.get_object ("window");
        stack = (Gtk.Stack) builder.get_object ("stack");
        grid = (Gtk.GridView) builder.get_object ("grid");
        view = (Gtk.Widget) builder.get_object ("view");
        large = (BsGtk.ItemPaintable) builder.get_object ("large");
        bar = (Gtk.ActionBar) builder.get_object ("bar");
        progress = (Gtk.ProgressBar) builder.get_object ("progress");

        grid.activate.connect ((position) => show.begin (position));
        add ("import", choose_folder);
        add ("cancel", cancel);
        add ("back", show_grid);
        add ("delete", () => remove_photo.begin ());
        ((ActionMap) window).add_action ((Action) Object.new (typeof (PropertyAction),
            "name", "zoom", "object", builder.get_object ("picture"),
            "property-name", "can-shrink", "invert-boolean", true));
        set_accels_for_action ("win.back", { "Escape" });
        set_accels_for_action ("win.delete", { "Delete" });
        set_accels_for_action ("win.zoom", { "z" });
        set_accels_for_action ("window.close", { "<Control>q" });
        window.close_request.connect (() => {
            close.begin ();
            return false;
        });
        window.application = this;
        window.present ();
        open_library.begin ();
    }

    delegate void Activate ();

    void add (string name, owned Activate func) {
        var action = new SimpleAction (name, null);
        action.activate.connect (() => func ());
        ((ActionMap) window).add_action (action);
    }

    void cancel () {
        if (cancellable != null)
            cancellable.cancel ();
    }

    async void open_library () {
        try {
            tracked = yield store.track_path_async (library);
            photos = yield thumbnails.follow_async (tracked);
            grid.model = new Gtk.NoSelection (photos);
            grid.vadjustment.value_changed.connect (look_ahead);
        } catch (Error error) {
            report (error);
            window.close ();
            return;
        }
        yield import_folders ();
    }

    /* The page of the grid that follows the one in sight. */
    void look_ahead (Gtk.Adjustment adjustment) {
        var per_pixel = photos.get_n_items () / adjustment.upper;
        var first = (uint) (adjustment.value * per_pixel);
        var n_in_page = (uint) (adjustment.page_size * per_pixel);
        var following = adjustment.value >= scrolled ? first + n_in_page
                                                     : first - uint.min (first, n_in_page);
        thumbnails.prefetch (photos, following, n_in_page);
        scrolled = adjustment.value;
    }

    /* The large view. Its pool is another one, so its items are too. */
    async void show (uint position) {
        var thumbnail = (Bs.Item) grid.model.get_item (position);
        large.placeholder = (Gdk.Paintable?) thumbnail.try_load_object ();
        large.item = null;
        stack.visible_child = view;
        try {
            large.item = yield pictures.register_async (tracked, thumbnail.key);
        } catch (Error error) {
            report (error);
        }
    }

    void show_grid () {
        large.item = null;
        stack.visible_child = stack.get_first_child ();
    }

    /* The photo leaves the grid by itself. */
    async void remove_photo () {
        var picture = large.item;
        if (picture == null)
            return;
        show_grid ();
        try {
            yield store.delete_persisted_async (tracked, picture.key);
        } catch (Error error) {
            report (error);
        }
    }

    void choose_folder () {
        chooser = new Gtk.FileChooserNative ("Import a folder", window, SELECT_FOLDER, null, null);
        chooser.response.connect ((response) => {
            if (response == Gtk.ResponseType.ACCEPT) {
                folders.push_tail (chooser.get_file ());
                import_folders.begin ();
            }
        });
        chooser.show ();
    }

    /* One folder after the other. */
    async void import_folders () {
        while (!folders.is_empty () && cancellable == null) {
            cancellable = new Cancellable ();
            try {
                yield import_folder (folders.pop_head ());
            } catch (Error error) {
                report (error);
            }
            cancellable = null;
            bar.revealed = false;
            yield sync ();
        }
    }

    /* Photos of a cancelled import stay. */
    async void sync () {
        try {
            yield store.sync_async (tracked);
        } catch (Error error) {
            report (error);
        }
    }

    /* One photo after the other. */
    async void import_folder (File folder) throws Error {
        var enumerator = yield folder.enumerate_children_async (
            "standard::name,standard::content-type", NONE, Priority.DEFAULT, cancellable);
        var infos = yield enumerator.next_files_async (int.MAX, Priority.DEFAULT, cancellable);
        bar.revealed = true;
        double n_done = 0;
        foreach (var info in infos) {
            progress.fraction = n_done++ / infos.length ();
            var type = info.get_content_type ();
            if (type == null || !type.has_prefix ("image/"))
                continue;
            var photo = yield enumerator.get_child (info).load_bytes_async (cancellable, null);
            var item = thumbnails.insert (photo);
            yield item.persist_async (tracked, Priority.DEFAULT, cancellable);
        }
    }

    /* The window goes at once; the store finishes what is to be durable. */
    async void close () {
        hold ();
        /* No frame comes before the store any more. */
        store.thread_nice = 0;
        if (cancellable != null) {
            folders.clear ();
            cancel ();
            sync.begin ();
        }
        try {
            yield store.close_async ();
        } catch (Error error) {
            report (error);
        }
        release ();
    }
}

int main (string[] args) {
    if (args.length < 3) {
        printerr ("Usage: %s LIBRARY MIB [FOLDER...]\n", args[0]);
        return 2;
    }
    var folders = new Queue<File> ();
    foreach (var folder in args[3:args.length])
        folders.push_tail (File.new_for_path (folder));
    BsGtk.init ();
    try {
        var gallery = new Gallery (new Bs.FileBacking.temporary (), File.new_for_path (args[1]),
                                   uint64.parse (args[2]) * 1024 * 1024, (owned) folders);
        return gallery.run ({ args[0] });
    } catch (Error error) {
        report (error);
        return 1;
    }
}
