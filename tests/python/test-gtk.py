# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 The backingstore authors
"""Real views scroll through the items of a path, on a screen of their own."""

import gc
import unittest

import gi

gi.require_version('Bs', '1')
from gi.repository import Bs, Gio, GLib, GObject

import screen
from mainloop import run_until

N_KEYS = 100000
BUDGET = 64 * 1024
SIZE = 1024

Gtk = None


def setUpModule():
    global Gtk
    screen.start()
    Gtk = screen.import_gtk()


class Backing(GObject.Object, Bs.Backing):
    """Has a blob for each of its keys: a line about the key, and filling."""

    def __init__(self):
        super().__init__()
        self.keys = [f'{number:08x}-0000-4000-8000-{number:012x}' for number in range(N_KEYS)]
        self.n_reads = 0

    def do_sanitize_path(self, path, found, cancellable):
        for key in self.keys:
            found.add(key)
        return True

    def do_register_key(self, path, key, cancellable):
        return True

    def do_register_keys(self, path, keys, cancellable):
        return True

    def do_read(self, key, cancellable):
        self.n_reads += 1
        return GLib.Bytes.new(f'blob {int(key[:8], 16)}'.ljust(SIZE).encode())

    def do_write(self, key, content, cancellable):
        return True

    def do_delete_key(self, key, cancellable):
        return True


class View:
    """A GtkListView or GtkGridView, and its use of the model."""

    def __init__(self, make_view, model):
        self.loads = {}         # of what is bound: list item to cancellable
        self.shown = {}         # list item to text
        self.n_bound = 0
        self.n_loaded = 0
        self.n_left = 0
        self.wrong = []
        self.most_items = 0
        factory = Gtk.SignalListItemFactory()
        factory.connect('setup', self.on_setup)
        factory.connect('bind', self.on_bind)
        factory.connect('unbind', self.on_unbind)
        view = make_view(Gtk.NoSelection.new(model), factory)
        self.scrolled = Gtk.ScrolledWindow(child=view)
        self.window = Gtk.Window(child=self.scrolled, default_width=600, default_height=400)
        self.window.present()

    def on_setup(self, factory, row):
        row.set_child(Gtk.Label(xalign=0, height_request=24))

    def on_bind(self, factory, row):
        item = row.get_item()
        self.n_bound += 1
        self.most_items = max(self.most_items, item.props.pool.props.n_items)
        row.get_child().set_text('…')
        self.shown.pop(row, None)
        self.loads[row] = Gio.Cancellable()
        item.load_async(GLib.PRIORITY_DEFAULT, self.loads[row], self.on_loaded, row)

    def on_unbind(self, factory, row):
        self.shown.pop(row, None)
        cancellable = self.loads.pop(row, None)
        if cancellable is not None:
            cancellable.cancel()

    def on_loaded(self, item, result, row):
        try:
            content = item.load_finish(result)
        except GLib.Error as error:
            if not error.matches(Gio.io_error_quark(), Gio.IOErrorEnum.CANCELLED):
                self.wrong.append(error.message)
            self.n_left += 1
            return
        self.n_loaded += 1
        text = content.get_data().decode().strip()
        if text != f'blob {int(item.props.key[:8], 16)}':
            self.wrong.append(text)
        if row.get_item() is item:
            self.loads.pop(row, None)
            row.get_child().set_text(text)
            self.shown[row] = text

    def is_settled(self):
        return self.scrolled.get_vadjustment().get_upper() > 0 and len(self.shown) > 0 and not self.loads

    def scroll_to(self, fraction):
        """Returns when what is in view then was bound and loaded."""
        before = self.n_bound
        adjustment = self.scrolled.get_vadjustment()
        frames = []

        def on_frame(_widget, _clock):
            frames.append(fraction)
            # A view that was not drawn yet forgets where it was told to go.
            if self.n_bound == before and len(frames) % 5 == 1:
                target = fraction * (adjustment.get_upper() - adjustment.get_page_size())
                adjustment.set_value(abs(target - len(frames) % 2))
            return GLib.SOURCE_CONTINUE

        ticks = self.window.add_tick_callback(on_frame)
        run_until(lambda: len(frames) > 2 and self.n_bound > before and self.is_settled())
        self.window.remove_tick_callback(ticks)

    def close(self):
        self.window.destroy()
        self.loads.clear()
        self.shown.clear()
        self.window = self.scrolled = None


def make_list(model, factory):
    return Gtk.ListView.new(model, factory)


def make_grid(model, factory):
    return Gtk.GridView(model=model, factory=factory, min_columns=4, max_columns=4)


class GtkTest(unittest.TestCase):
    def scroll_through(self, make_view):
        backing = Backing()
        store = Bs.BackingStore.new(backing)
        tracked = store.track_path(Gio.File.new_for_uri('test:///kept'))
        pool = Bs.Pool.new(store, BUDGET)
        model = pool.register_all(tracked)
        self.assertEqual(model.get_n_items(), N_KEYS)
        self.assertEqual(pool.props.n_items, 0)
        changes = []
        model.connect('items-changed', lambda *change: changes.append(change))

        view = View(make_view, model)
        run_until(view.is_settled)
        in_view = []
        for step in range(1, 21):
            view.scroll_to(step / 20)
            in_view.append(set(view.shown.values()))
            gc.collect()
            self.assertLessEqual(pool.props.n_items, 1500)
        # Back again, as users do.
        view.scroll_to(0)

        self.assertEqual(view.wrong, [])
        self.assertEqual(changes, [])
        self.assertGreater(view.n_bound, 200)
        self.assertGreater(view.n_loaded, 200)
        self.assertLess(view.n_bound, N_KEYS / 4)
        self.assertLessEqual(view.most_items, 1500)
        self.assertLessEqual(pool.props.memory_use, BUDGET)
        for before, after in zip(in_view, in_view[1:]):
            self.assertNotEqual(before, after)
        stats = pool.get_stats()
        self.assertGreater(stats.bytes_in, 0)
        self.assertLessEqual(stats.bytes_in, SIZE * backing.n_reads)
        self.assertGreater(stats.evictions, 0)
        view.close()
        del view, model
        run_until(lambda: gc.collect() is not None and pool.props.n_items == 0)
        store.close()

    def test_list_view(self):
        self.scroll_through(make_list)

    def test_grid_view(self):
        self.scroll_through(make_grid)


if __name__ == '__main__':
    unittest.main()
