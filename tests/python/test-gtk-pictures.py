# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 The backingstore authors
"""A grid of pictures scrolls, and each cell that is in view shows its own."""

import gc
import itertools
import unittest

import gi

import screen

gi.require_version('Bs', '1')
from gi.repository import Bs, Gio, GLib, GObject

from mainloop import Call, call, run_until

DEFAULT = GLib.PRIORITY_DEFAULT
N_PICTURES = 400
SIDE = 64
TEXTURE_SIZE = SIDE * SIDE * 4
BUDGET = 20 * TEXTURE_SIZE

BsGtk = Gdk = GdkPixbuf = Gtk = None

TEMPLATE = b'''<interface>
  <template class="GtkListItem">
    <property name="child">
      <object class="GtkPicture">
        <property name="width-request">64</property>
        <property name="height-request">64</property>
        <property name="paintable"><object class="BsGtkItemPaintable">
          <binding name="item"><lookup name="item">GtkListItem</lookup></binding>
        </object></property>
      </object>
    </property>
  </template>
</interface>'''


def setUpModule():
    global BsGtk, Gdk, GdkPixbuf, Gtk
    screen.start()
    Gtk = screen.import_gtk()
    gi.require_version('BsGtk', '1')
    from gi.repository import BsGtk, Gdk, GdkPixbuf
    # A builder knows types by name, and no test has used one yet.
    GObject.type_from_name('BsGtkItemPaintable')


def colour_of(number):
    """Never that of the window, which is grey."""
    return 255 - number % 16 * 8, number // 16 * 8, 0


def make_picture(number, width=2 * SIDE, height=2 * SIDE, kind='png'):
    red, green, blue = colour_of(number)
    pixbuf = GdkPixbuf.Pixbuf.new(GdkPixbuf.Colorspace.RGB, False, 8, width, height)
    pixbuf.fill(red << 24 | green << 16 | blue << 8 | 255)
    return GLib.Bytes.new(pixbuf.save_to_bufferv(kind, [], [])[1])


def first_pixel(texture):
    stream = Gio.MemoryInputStream.new_from_bytes(texture.save_to_png_bytes())
    return tuple(GdkPixbuf.Pixbuf.new_from_stream(stream).get_pixels()[:3])


class PicturesTestCase(unittest.TestCase):
    def setUp(self):
        self.store = Bs.BackingStore.new(Bs.FileBacking.new_temporary())
        self.addCleanup(self.store.close)
        self.pool = Bs.Pool.new_with_codec(self.store, BsGtk.TextureCodec.new(SIDE), BUDGET)


class CodecTest(PicturesTestCase):
    def test_round_trip(self):
        items = [self.pool.insert(make_picture(number)) for number in range(50)]
        self.assertEqual(self.pool.props.codec.props.max_size, SIDE)
        call(self.pool.trim_async, 0)
        loads = [Call(item.load_object_async, DEFAULT, None) for item in items]
        for number, load in enumerate(loads):
            texture = load.result()
            self.assertIsInstance(texture, Gdk.Texture)
            self.assertEqual((texture.get_width(), texture.get_height()), (SIDE, SIDE))
            self.assertEqual(first_pixel(texture), colour_of(number))
        # An object that the application made.
        item = self.pool.insert_object(texture)
        call(item.write_async)
        self.assertEqual(item.load().get_data()[1:4], b'PNG')

    def test_errors(self):
        for content, code in ((b'no photo', Gdk.TextureError.UNSUPPORTED_FORMAT),
                              (b'', Gdk.TextureError.UNSUPPORTED_FORMAT),
                              (make_picture(1).get_data()[:20], Gdk.TextureError.CORRUPT_IMAGE)):
            item = self.pool.insert(GLib.Bytes.new(content))
            with self.assertRaises(GLib.Error) as raised:
                call(item.load_object_async)
            self.assertTrue(raised.exception.matches(Gdk.texture_error_quark(), code), raised.exception)
            self.assertIn(item.dup_key(), raised.exception.message)

        codec = BsGtk.TextureCodec(max_pixels=100)
        with self.assertRaises(GLib.Error) as raised:
            codec.decode(make_picture(1, 20, 20), None)
        self.assertTrue(raised.exception.matches(Gdk.texture_error_quark(), Gdk.TextureError.TOO_LARGE))


class PaintableTest(PicturesTestCase):
    def test_properties(self):
        paintable = BsGtk.ItemPaintable()
        self.assertIsNone(paintable.props.item)
        self.assertFalse(paintable.props.loading)
        item = self.pool.insert(GLib.Bytes.new(b'no photo'))
        paintable.props.item = item
        self.assertTrue(paintable.props.loading)
        paintable.snapshot(Gtk.Snapshot(), SIDE, SIDE)
        run_until(lambda: not paintable.props.loading)
        self.assertTrue(paintable.props.error.matches(Gdk.texture_error_quark(), Gdk.TextureError.UNSUPPORTED_FORMAT))
        paintable.props.item = None
        self.assertIsNone(paintable.props.error)


class GridTest(PicturesTestCase):
    def setUp(self):
        super().setUp()
        self.numbers = {}
        items = Gio.ListStore.new(Bs.Item)
        for number in range(N_PICTURES):
            item = self.pool.insert(make_picture(number))
            self.numbers[item.dup_key()] = number
            items.append(item)
        del item
        call(self.pool.trim_async, 0)
        factory = Gtk.BuilderListItemFactory.new_from_bytes(None, GLib.Bytes.new(TEMPLATE))
        self.grid = Gtk.GridView(model=Gtk.NoSelection.new(items), factory=factory, min_columns=8, max_columns=8)
        self.scrolled = Gtk.ScrolledWindow(child=self.grid)
        self.window = Gtk.Window(child=self.scrolled, default_width=620, default_height=420)
        self.window.present()
        self.frames = 0
        self.window.add_tick_callback(self.on_frame)
        run_until(lambda: self.adjustment.get_upper() > self.adjustment.get_page_size() > 0)

    def on_frame(self, _widget, _clock):
        self.frames += 1
        return GLib.SOURCE_CONTINUE

    @property
    def adjustment(self):
        return self.scrolled.get_vadjustment()

    def wait_for_frames(self, n_frames):
        end = self.frames + n_frames
        run_until(lambda: self.frames >= end)

    def cells_in_view(self):
        """The paintables of all cells whose middle is in view, with that place."""
        cell = self.grid.get_first_child()
        while cell is not None:
            picture = cell.get_first_child()
            fine, bounds = picture.compute_bounds(self.scrolled)
            if fine and cell.get_mapped() and picture.get_paintable().props.item is not None:
                x, y = bounds.get_x() + bounds.get_width() / 2, bounds.get_y() + bounds.get_height() / 2
                if 0 <= x < self.scrolled.get_width() and 0 <= y < self.scrolled.get_height():
                    yield picture.get_paintable(), int(x), int(y)
            cell = cell.get_next_sibling()

    def is_settled(self):
        cells = list(self.cells_in_view())
        return len(cells) > 30 and all(paintable.props.paintable is not None for paintable, x, y in cells)

    def find_wrong(self):
        """The cells in view that do not have their own picture on the screen."""
        shot = screen.Screenshot()
        left, top = self.window.get_surface_transform()
        fine, bounds = self.scrolled.compute_bounds(self.window)
        left, top = int(left + bounds.get_x()), int(top + bounds.get_y())
        return [(x, y) for paintable, x, y in self.cells_in_view()
                if shot.at(left + x, top + y) != colour_of(self.numbers[paintable.props.item.dup_key()])]

    def check_view(self):
        run_until(self.is_settled)
        run_until(lambda: not self.find_wrong())
        seen = {self.numbers[paintable.props.item.dup_key()] for paintable, x, y in self.cells_in_view()}
        self.assertGreater(len(seen), 30)
        return seen

    def test_scroll(self):
        n_bound = len(list(iter_children(self.grid)))
        in_view = self.check_view()
        self.assertEqual(min(in_view), 0)
        # Cells that are bound and out of view load nothing.
        self.assertLess(self.pool.get_stats().misses, n_bound)
        most = 0
        for target in itertools.chain(range(1, 17), range(15, -1, -1)):
            bottom = self.adjustment.get_upper() - self.adjustment.get_page_size()
            self.adjustment.set_value(bottom * target / 16)
            self.wait_for_frames(1)
            if target % 8 == 0:
                in_view |= self.check_view()
            most = max(most, self.pool.props.memory_use)
        self.assertIn(N_PICTURES - 1, in_view)
        # A thread that has just brought a texture makes room for it right afterwards.
        self.assertLessEqual(most, BUDGET + self.store.props.max_threads * TEXTURE_SIZE)

        self.window.destroy()
        self.window = self.grid = self.scrolled = None
        run_until(lambda: gc.collect() is not None and self.pool.props.memory_in_use == 0)


def iter_children(widget):
    child = widget.get_first_child()
    while child is not None:
        yield child
        child = child.get_next_sibling()


if __name__ == '__main__':
    unittest.main()
