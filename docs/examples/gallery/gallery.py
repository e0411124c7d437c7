# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 The backingstore authors
"""A gallery: imports folders of photos, and shows them in a grid, large and zoomed.

gallery.py LIBRARY MIB [FOLDER...]

The photos are kept in the directory LIBRARY. Two pools of MIB mebibytes hold what is on
the screen: one of thumbnails, one of whole pictures. Each FOLDER is imported.
"""

import pathlib
import sys

import gi

gi.require_version('Bs', '1')
gi.require_version('BsGtk', '1')
gi.require_version('Gtk', '4.0')
from gi.repository import Bs, BsGtk, Gio, GLib, Gtk

NORMAL = GLib.PRIORITY_DEFAULT
THUMBNAIL = 256


class Gallery(Gtk.Application):
    def __init__(self, library, budget, folders):
        super().__init__(application_id='org.example.Gallery', flags=Gio.ApplicationFlags.NON_UNIQUE)
        self.library, self.folders = library, folders
        self.store = Bs.BackingStore.new(Bs.FileBacking.new_temporary())
        self.thumbnails = Bs.Pool.new_with_codec(self.store, BsGtk.TextureCodec.new(THUMBNAIL), budget)
        self.pictures = Bs.Pool.new_with_codec(self.store, BsGtk.TextureCodec.new(0), budget)
        self.cancellable = None  # of the import under way

    def do_activate(self):
        builder = Gtk.Builder.new_from_file(str(pathlib.Path(__file__).with_name('gallery.ui')))
        for name in 'window', 'stack', 'grid', 'view', 'picture', 'large', 'bar', 'progress':
            setattr(self, name, builder.get_object(name))
        self.grid.connect('activate', self.on_picked)
        self.add_action('import', self.choose_folder)
        self.add_action('cancel', self.cancel)
        self.add_action('back', self.show_grid)
        self.add_action('delete', self.delete)
        self.window.add_action(Gio.PropertyAction(name='zoom', object=self.picture, property_name='can-shrink',
                                                  invert_boolean=True))
        self.set_accels_for_action('win.back', ['Escape'])
        self.set_accels_for_action('win.delete', ['Delete'])
        self.set_accels_for_action('win.zoom', ['z'])
        self.set_accels_for_action('window.close', ['<Control>q'])
        self.window.connect('close-request', self.on_close)
        self.window.set_application(self)
        self.window.present()
        self.store.track_path_async(self.library, NORMAL, None, self.on_tracked)

    def add_action(self, name, function):
        action = Gio.SimpleAction.new(name, None)
        action.connect('activate', lambda *_arguments: function())
        self.window.add_action(action)

    def report(self, error):
        if not (error.matches(Gio.io_error_quark(), Gio.IOErrorEnum.CANCELLED) or
                error.matches(Bs.error_quark(), Bs.Error.CLOSED)):
            print(error.message, file=sys.stderr)

    def on_tracked(self, store, result):
        try:
            self.tracked = store.track_path_finish(result)
        except GLib.Error as error:
            self.report(error)
            self.window.close()
            return
        self.thumbnails.follow_async(self.tracked, NORMAL, None, self.on_listed_photos)

    def on_listed_photos(self, thumbnails, result):
        try:
            photos = thumbnails.follow_finish(result)
        except GLib.Error as error:
            self.report(error)
            return
        self.grid.set_model(Gtk.NoSelection.new(photos))
        self.scrolled = 0
        self.grid.get_vadjustment().connect('value-changed', self.on_scrolled)
        self.import_folder()

    def on_scrolled(self, adjustment):
        """The page of the grid that follows the one in sight."""
        photos = self.grid.get_model()
        if photos is None:
            return
        value, per_pixel = adjustment.get_value(), len(photos) / adjustment.get_upper()
        first, n_in_page = int(value * per_pixel), int(adjustment.get_page_size() * per_pixel)
        following = first + n_in_page if value >= self.scrolled else max(0, first - n_in_page)
        self.thumbnails.prefetch(photos, following, n_in_page)
        self.scrolled = value

    # The large view. Its pool is another one, so its items are too.

    def on_picked(self, grid, position):
        thumbnail = grid.get_model().get_item(position)
        self.large.props.placeholder = thumbnail.try_load_object()
        self.large.props.item = None
        self.stack.set_visible_child(self.view)
        self.pictures.register_async(self.tracked, thumbnail.dup_key(), NORMAL, None, self.on_picture)

    def on_picture(self, pictures, result):
        try:
            picture = pictures.register_finish(result)
        except GLib.Error as error:
            self.report(error)
            return
        self.large.props.item = picture

    def show_grid(self):
        self.large.props.item = None
        self.stack.set_visible_child(self.stack.get_first_child())

    def delete(self):
        """The photo leaves the grid by itself."""
        picture = self.large.props.item
        if picture is not None:
            self.store.delete_persisted_async(self.tracked, picture.dup_key(), NORMAL, None, self.on_deleted)
            self.show_grid()

    def on_deleted(self, store, result):
        try:
            store.delete_persisted_finish(result)
        except GLib.Error as error:
            self.report(error)

    # The import: one folder after the other, one photo after the other.

    def choose_folder(self):
        self.chooser = Gtk.FileChooserNative(title='Import a folder', transient_for=self.window,
                                             action=Gtk.FileChooserAction.SELECT_FOLDER)
        self.chooser.connect('response', self.on_chosen)
        self.chooser.show()

    def on_chosen(self, chooser, response):
        if response == Gtk.ResponseType.ACCEPT:
            self.folders.append(chooser.get_file())
            self.import_folder()

    def import_folder(self):
        if self.cancellable is None and self.folders:
            self.folder = self.folders.pop(0)
            self.cancellable = Gio.Cancellable()
            self.folder.enumerate_children_async('standard::name,standard::content-type', Gio.FileQueryInfoFlags.NONE,
                                                 NORMAL, self.cancellable, self.on_enumerated)

    def cancel(self):
        if self.cancellable is not None:
            self.cancellable.cancel()

    def on_enumerated(self, folder, result):
        try:
            folder.enumerate_children_finish(result).next_files_async(
                GLib.MAXINT32, NORMAL, self.cancellable, self.on_listed)
        except GLib.Error as error:
            self.end_import(error)

    def on_listed(self, enumerator, result):
        try:
            self.files = [enumerator.get_child(info) for info in enumerator.next_files_finish(result)
                          if (info.get_content_type() or '').startswith('image/')]
        except GLib.Error as error:
            self.end_import(error)
            return
        self.n_files = len(self.files)
        self.bar.set_revealed(True)
        self.import_photo()

    def import_photo(self):
        if not self.files:
            self.end_import()
            return
        self.progress.set_fraction(1 - len(self.files) / self.n_files)
        self.files.pop().load_bytes_async(self.cancellable, self.on_read)

    def on_read(self, file, result):
        try:
            photo, _etag = file.load_bytes_finish(result)
        except GLib.Error as error:
            self.end_import(error)
            return
        self.thumbnails.insert(photo).persist_async(self.tracked, NORMAL, self.cancellable, self.on_persisted)

    def on_persisted(self, item, result):
        try:
            item.persist_finish(result)
        except GLib.Error as error:
            self.end_import(error)
            return
        self.import_photo()

    def end_import(self, error=None):
        if error is not None:
            self.report(error)
        self.cancellable = None
        self.bar.set_revealed(False)
        self.sync()

    def sync(self):
        """Photos of a cancelled import stay."""
        self.store.sync_async(self.tracked, NORMAL, None, self.on_synced)

    def on_synced(self, store, result):
        try:
            store.sync_finish(result)
        except GLib.Error as error:
            self.report(error)
        self.import_folder()

    # The window goes at once; the store finishes what is to be durable.

    def on_close(self, window):
        self.hold()
        # A widget that Python holds lives on, with its handlers and all that it shows.
        self.large.props.item = None
        self.grid.set_model(None)
        # No frame comes before the store any more.
        self.store.props.thread_nice = 0
        if self.cancellable is not None:
            self.folders.clear()
            self.cancel()
            self.sync()
        self.store.close_async(NORMAL, None, self.on_closed)
        return False

    def on_closed(self, store, result):
        try:
            store.close_finish(result)
        except GLib.Error as error:
            self.report(error)
        self.release()


if __name__ == '__main__':
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    BsGtk.init()
    Gallery(Gio.File.new_for_path(sys.argv[1]), int(sys.argv[2]) * 1024 * 1024,
            [Gio.File.new_for_path(folder) for folder in sys.argv[3:]]).run()
