# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 The backingstore authors
"""Loaders and prefetches, with a codec and targets written in Python."""

import gc
import threading
import unittest
import weakref

import gi

gi.require_version('Bs', '1')
from gi.repository import Bs, Gio, GLib, GObject

from mainloop import call, poll_until


class Tile(GObject.Object):
    def __init__(self, text):
        super().__init__()
        self.text = text


class TileCodec(GObject.Object, Bs.Codec):
    def __init__(self):
        super().__init__()
        self.order = []
        self.bad = None
        self.gate = threading.Event()
        self.gate.set()

    def do_encode(self, tile, cancellable):
        return GLib.Bytes.new(tile.text.encode())

    def do_decode(self, content, cancellable):
        text = content.get_data().decode()
        self.order.append(text)
        self.gate.wait(30)
        if text == self.bad:
            raise ValueError('no tile')
        return Tile(text)

    def do_measure(self, tile):
        return 100


class Cell(GObject.Object):
    tile = GObject.Property(type=GObject.Object)


class Row(GObject.Object):
    item = GObject.Property(type=Bs.Item)


class LoaderTest(unittest.TestCase):
    def make(self, context=None):
        self.codec = TileCodec()
        if context is None:
            self.store = Bs.BackingStore.new(Bs.MemoryBacking.new())
        else:
            self.store = Bs.BackingStore.new_in_context(Bs.MemoryBacking.new(), context)
        self.addCleanup(self.store.close)
        self.pool = Bs.Pool.new_with_codec(self.store, self.codec, 100000)

    def insert_evicted(self, *texts):
        items = [self.pool.insert(GLib.Bytes.new(text.encode())) for text in texts]
        call(self.pool.trim_async, 0)
        return items

    def show_and_load(self):
        placeholder = Tile('placeholder')
        cell = Cell()
        loader = Bs.Loader.new(cell, 'tile')
        self.assertIs(loader.props.target, cell)
        self.assertEqual(loader.props.target_property, 'tile')
        loader.props.placeholder = placeholder
        self.assertIs(cell.tile, placeholder)

        in_memory = self.pool.insert_object(Tile('in memory'))
        loader.props.item = in_memory
        self.assertEqual(cell.tile.text, 'in memory')
        self.assertFalse(loader.props.loading)

        item, = self.insert_evicted('a')
        loader.set_item(item)
        self.assertTrue(loader.get_loading())
        self.assertIs(cell.tile, placeholder)
        poll_until(lambda: not loader.props.loading)
        self.assertEqual(cell.tile.text, 'a')
        self.assertIsNone(loader.get_error())
        loader.set_item(None)
        self.assertIs(cell.tile, placeholder)

    def test_show_and_load(self):
        self.make()
        self.show_and_load()

    def test_main_context(self):
        self.make(GLib.MainContext.default())
        self.show_and_load()

    def test_newest_first(self):
        self.make()
        self.store.set_max_threads(1)
        items = self.insert_evicted('plug', '0', '1', '2')
        cells = [Cell() for _ in items]
        loaders = [Bs.Loader.new(cell, 'tile') for cell in cells]
        self.codec.gate.clear()
        for loader, item in zip(loaders, items):
            loader.set_item(item)
            if item is items[0]:
                poll_until(lambda: self.codec.order)
        self.codec.gate.set()
        poll_until(lambda: not any(loader.props.loading for loader in loaders))
        self.assertEqual(self.codec.order, ['plug', '2', '1', '0'])
        self.assertEqual([cell.tile.text for cell in cells], ['plug', '0', '1', '2'])

    def test_error(self):
        self.make()
        self.codec.bad = 'bad'
        item, = self.insert_evicted('bad')
        cell, other = Cell(), Cell()
        loader, second = Bs.Loader.new(cell, 'tile'), Bs.Loader.new(other, 'tile')
        loader.set_item(item)
        poll_until(lambda: not loader.props.loading)
        self.assertTrue(loader.get_error().matches(Bs.Error.quark(), Bs.Error.FAILED))
        self.assertIn(item.dup_key(), loader.props.error.message)
        second.set_item(item)
        self.assertFalse(second.props.loading)
        self.assertEqual(second.get_error().message, loader.get_error().message)
        self.assertEqual(self.codec.order, ['bad'])

        self.codec.bad = None
        self.assertEqual(item.load_object(None).text, 'bad')
        second.set_item(None)
        second.set_item(item)
        poll_until(lambda: not second.props.loading)
        self.assertEqual(other.tile.text, 'bad')

    def test_target_goes(self):
        self.make()
        self.codec.gate.clear()
        item, = self.insert_evicted('a')
        cell = Cell()
        loader = Bs.Loader.new(cell, 'tile')
        loader.set_item(item)
        poll_until(lambda: self.codec.order)
        gone = weakref.ref(cell)
        del cell
        gc.collect()
        self.assertIsNone(gone())
        self.assertIsNone(loader.dup_target())
        self.assertFalse(loader.props.loading)
        self.codec.gate.set()

    def test_prefetch(self):
        self.make()
        self.store.set_max_threads(1)
        items = self.insert_evicted('0', '1', '2', '3')
        model = Gio.ListStore.new(GObject.Object)
        for item in items[:2]:
            model.append(item)
        model.append(Tile('nothing to load'))
        for item in items[2:]:
            model.append(Row(item=item))
        self.pool.prefetch(model, 1, 3)
        call(self.store.wait_finished_async)
        self.store.props.task_tracker.reopen()
        self.assertEqual(self.codec.order, ['1', '2'])
        self.pool.prefetch(model, 4, 1000)
        self.pool.prefetch(model, 1000, 1)
        self.pool.prefetch(model, 4, 1)
        call(self.store.wait_finished_async)
        self.assertEqual(self.codec.order, ['1', '2', '3'])
        self.assertEqual(items[3].try_load_object().text, '3')

    def test_follow(self):
        self.make()
        tracked = self.store.track_path(Gio.File.new_for_uri('memory:followed'))
        items = [self.pool.insert(GLib.Bytes.new(b'x')) for _ in range(3)]
        for item in items[:2]:
            item.persist(tracked, None)
        following = self.pool.follow(tracked, None)
        awaited = call(self.pool.follow_async, tracked)
        self.assertIsInstance(following, Gio.ListModel)
        keys = sorted(item.dup_key() for item in items[:2])
        self.assertEqual([item.dup_key() for item in following], keys)
        changes = []
        following.connect('items-changed', lambda _list, *change: changes.append(change))
        items[2].persist(tracked, None)
        self.store.delete_persisted(tracked, keys[0], None)
        poll_until(lambda: len(changes) == 2 and len(awaited) == 2)
        self.assertEqual(changes, [(0, 1, 0), (1, 0, 1)])
        self.assertEqual([item.dup_key() for item in following], [keys[1], items[2].dup_key()])
        self.assertEqual([item.dup_key() for item in awaited], [keys[1], items[2].dup_key()])


if __name__ == '__main__':
    unittest.main()
