/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* Runs the main loop for one asynchronous test, under a watchdog:
 *
 *   var loop = new TestLoop ();
 *   main_job.begin ((object, result) => loop.end (() => main_job.end (result)));
 *   loop.run ();
 */
class TestLoop {
    public delegate void End () throws GLib.Error;

    const uint SECONDS = 30;

    GLib.MainLoop loop = new GLib.MainLoop ();

    public void run () {
        uint watchdog = GLib.Timeout.add_seconds (SECONDS, () => {
            error ("nothing happened in the main loop");
        });
        loop.run ();
        GLib.Source.remove (watchdog);
    }

    public void end (End func) {
        try {
            func ();
        } catch (GLib.Error e) {
            error ("%s %d: %s", e.domain.to_string (), e.code, e.message);
        }
        loop.quit ();
    }
}

/* A directory of the test's own, removed with its contents when dropped. */
class TestDirectory {
    public GLib.File file { get; private set; }

    public TestDirectory () {
        try {
            file = GLib.File.new_for_path (GLib.DirUtils.make_tmp ("backingstore-XXXXXX"));
        } catch (GLib.Error e) {
            error ("%s", e.message);
        }
    }

    ~TestDirectory () {
        try {
            remove (file);
        } catch (GLib.Error e) {
            error ("%s", e.message);
        }
    }

    static void remove (GLib.File file) throws GLib.Error {
        if (file.query_file_type (NOFOLLOW_SYMLINKS) == DIRECTORY) {
            var children = file.enumerate_children (GLib.FileAttribute.STANDARD_NAME, NOFOLLOW_SYMLINKS);
            GLib.FileInfo? info;
            while ((info = children.next_file ()) != null)
                remove (children.get_child (info));
        }
        file.delete ();
    }
}

GLib.Bytes bytes (string text) {
    return new GLib.Bytes (text.data);
}

string text (GLib.Bytes content) {
    var builder = new GLib.StringBuilder ();
    builder.append_len ((string) content.get_data (), (ssize_t) content.get_size ());
    return builder.str;
}
