# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 The backingstore authors
"""After every content was loaded and let go, none is in use, whatever the style of the calls.

The garbage collector stands still: nothing but the references that a caller has may hold
a content. What awaits is in test-await.py.
"""

import gc
import unittest

import gi

gi.require_version('Bs', '1')
from gi.repository import Bs, GLib, GObject

from mainloop import call, poll_until, run_until, wait_for_threads

N_ITEMS = 50
SIZE = 65536


class Thing(GObject.Object):
    pass


class ThingCodec(GObject.Object, Bs.Codec):
    def do_encode(self, _thing, _cancellable):
        return b'thing'

    def do_decode(self, _content, _cancellable):
        return Thing()

    def do_measure(self, _thing):
        return SIZE


class Target(GObject.Object):
    thing = GObject.Property(type=GObject.Object)


class ReleasedTest(unittest.TestCase):
    def setUp(self):
        gc.disable()
        self.addCleanup(gc.enable)
        self.store = Bs.BackingStore.new(Bs.MemoryBacking.new())
        self.addCleanup(self.store.close)

    def check_released(self, pool):
        pool.trim(0)
        self.assertEqual(pool.props.memory_use, 0)
        # A thread that has just written a content may hold it for a moment.
        wait_for_threads(lambda: pool.props.memory_in_use == 0)

    def fill(self):
        pool = Bs.Pool.new(self.store, SIZE)
        items = [pool.insert(bytes(SIZE)) for _ in range(N_ITEMS)]
        self.check_released(pool)
        return pool, items

    def test_blocking(self):
        pool, items = self.fill()
        for item in items:
            self.assertEqual(item.load().get_size(), SIZE)
        self.check_released(pool)

    def test_callback(self):
        pool, items = self.fill()
        sizes = []
        for item in items:
            item.load_async(GLib.PRIORITY_DEFAULT, None, self.on_loaded, sizes, bytearray(SIZE))
        run_until(lambda: len(sizes) == N_ITEMS)
        self.assertEqual(sizes, [SIZE] * N_ITEMS)
        self.check_released(pool)

    def on_loaded(self, item, result, sizes, _data):
        sizes.append(item.load_finish(result).get_size())

    def test_callback_data(self):
        """The callback of the last call goes as well, with all that it holds."""
        pool, items = self.fill()
        held = items[0].load()
        arrived = []
        items[1].load_async(0, None, lambda item, result, data: arrived.append(data.get_size()), held)
        del held
        run_until(lambda: arrived)
        self.check_released(pool)

    def test_objects(self):
        pool = Bs.Pool.new_with_codec(self.store, ThingCodec(), SIZE)
        items = [pool.insert_object(Thing()) for _ in range(N_ITEMS)]
        self.check_released(pool)
        for item in items:
            self.assertIsInstance(item.load_object(), Thing)
        for item in items:
            self.assertIsInstance(call(item.load_object_async), Thing)
        self.check_released(pool)

    def load_and_let_go(self, first, is_loaded):
        """Lets go of the target, the loader or the item, before or after the item is loaded."""
        fault = Bs.FaultBacking.new(Bs.MemoryBacking.new())
        store = Bs.BackingStore.new(fault)
        self.addCleanup(store.close)
        pool = Bs.Pool.new_with_codec(store, ThingCodec(), SIZE)
        item = pool.insert_object(Thing())
        self.check_released(pool)
        target = Target()
        loader = Bs.Loader.new(target, 'thing')
        gone = []
        target.weak_ref(gone.append, 'target')
        loader.weak_ref(gone.append, 'loader')

        fault.hold(Bs.Operation.READ)
        loader.props.item = item
        del item
        poll_until(lambda: fault.get_count(Bs.Operation.READ) == 1)
        if is_loaded:
            fault.release(Bs.Operation.READ)
            run_until(lambda: not loader.props.loading)
            self.assertIsInstance(target.thing, Thing)
        if first == 'target':
            del target
            self.assertEqual(gone, ['target'])
            self.assertFalse(loader.props.loading)
        elif first == 'loader':
            del loader
        else:
            loader.props.item = None
            self.assertIsNone(target.thing)
        if not is_loaded:
            fault.release(Bs.Operation.READ)
        target = loader = None
        poll_until(lambda: sorted(gone) == ['loader', 'target'] and pool.props.n_items == 0)
        self.assertEqual((pool.props.memory_use, pool.props.memory_in_use), (0, 0))

    def test_loader(self):
        for first in 'target', 'loader', 'item':
            for is_loaded in False, True:
                with self.subTest(first=first, is_loaded=is_loaded):
                    self.load_and_let_go(first, is_loaded)


if __name__ == '__main__':
    unittest.main()
