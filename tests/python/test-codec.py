# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 The backingstore authors
"""Pools of objects, with codecs written in Python."""

import gc
import sys
import threading
import unittest

import gi

gi.require_version('Bs', '1')
from gi.repository import Bs, Gio, GLib, GObject

from mainloop import Call, call, poll_until

DEFAULT = GLib.PRIORITY_DEFAULT
SIZE = 100


class Tile(GObject.Object):
    def __init__(self, text):
        super().__init__()
        self.text = text


class TileCodec(GObject.Object, Bs.Codec):
    def __init__(self):
        super().__init__()
        self.calls = {'encode': 0, 'decode': 0, 'measure': 0}
        self.threads = set()
        self.failure = None
        self.size = SIZE

    def arrive(self, name):
        self.calls[name] += 1
        self.threads.add(threading.get_ident())
        if self.failure is not None:
            # A new one each time: it keeps alive what it went through.
            raise self.failure()

    def do_encode(self, tile, cancellable):
        self.arrive('encode')
        return GLib.Bytes.new(tile.text.encode())

    def do_decode(self, content, cancellable):
        self.arrive('decode')
        return Tile(content.get_data().decode())

    def do_measure(self, tile):
        self.calls['measure'] += 1
        return self.size


class Forgetful(TileCodec, Bs.Codec):
    def do_encode(self, tile, cancellable):
        pass


class CodecTest(unittest.TestCase):
    def make(self, codec, max_bytes=10 * SIZE, context=None):
        self.backing = Bs.FaultBacking.new(Bs.MemoryBacking.new())
        if context is None:
            self.store = Bs.BackingStore.new(self.backing)
        else:
            self.store = Bs.BackingStore.new_in_context(self.backing, context)
        self.addCleanup(self.store.close)
        self.addCleanup(self.backing.clear)
        return Bs.Pool.new_with_codec(self.store, codec, max_bytes)

    def drop_all(self, pool):
        """Nothing is in memory, and no Python object stands in for it."""
        self.assertTrue(call(pool.trim_async, 0))
        # An exception that nobody caught keeps the frames that it went through.
        sys.last_exc = sys.last_value = sys.last_traceback = None
        gc.collect()
        poll_until(lambda: pool.props.memory_in_use == 0)

    def assert_error(self, domain, code, function, *arguments):
        with self.assertRaises(GLib.Error) as raised:
            function(*arguments)
        error = raised.exception
        self.assertTrue(error.matches(domain, code), f'{error.domain} {error.code}: {error.message}')
        return error.message

    def test_round_trip(self):
        codec = TileCodec()
        pool = self.make(codec)
        self.assertIs(pool.props.codec, codec)
        items = [pool.insert_object(Tile(f'tile {i}')) for i in range(20)]
        self.drop_all(pool)
        self.assertEqual(codec.calls['encode'], 20)

        loads = [Call(item.load_object_async, DEFAULT, None) for item in items]
        self.assertEqual([load.result().text for load in loads], [f'tile {i}' for i in range(20)])
        self.assertEqual(items[3].load_object().text, 'tile 3')
        self.assertEqual(items[3].load().get_data(), b'tile 3')

    def test_same_object(self):
        """An object that is alive is handed out again, never decoded twice."""
        codec = TileCodec()
        pool = self.make(codec)
        tile = Tile('held')
        item = pool.insert_object(tile)
        self.assertIs(item.load_object(), tile)
        self.assertIs(item.try_load_object(), tile)
        self.assertTrue(call(pool.trim_async, 0))
        self.assertEqual(pool.props.memory_in_use, SIZE)
        self.assertIs(item.try_load_object(), tile)
        self.assertIs(call(item.load_object_async), tile)
        self.assertEqual(codec.calls['decode'], 0)

        del tile
        self.drop_all(pool)
        # Both loads share one read: a load that comes later may decode as well, for nothing.
        self.backing.hold(Bs.Operation.READ)
        first, second = (Call(item.load_object_async, DEFAULT, None) for _ in range(2))
        self.backing.release(Bs.Operation.READ)
        self.assertIs(first.result(), second.result())
        self.assertEqual(codec.calls['decode'], 1)

    def test_measure_missing(self):
        """Nothing that a codec forgets makes memory grow without bound."""
        class Unmeasured(GObject.Object, Bs.Codec):
            def do_encode(self, tile, cancellable):
                return GLib.Bytes.new(tile.text.encode())

            def do_decode(self, content, cancellable):
                return Tile(content.get_data().decode())

        pool = self.make(Unmeasured(), 1000)
        items = [pool.insert_object(Tile('x' * 100)) for _ in range(100)]
        pool.trim(1000)
        self.assertLessEqual(pool.props.memory_use, 1000)
        self.assertLessEqual(pool.props.n_resident, 10)
        self.drop_all(pool)
        tiles = [item.load_object() for item in items[:5]]
        self.assertEqual(pool.props.memory_use, 500)
        self.assertEqual(items[0].props.size, 100)
        del tiles

    def test_objects_refused(self):
        class Viewer(GObject.Object, Bs.Codec):
            def do_decode(self, content, cancellable):
                return Tile(content.get_data().decode())

            def do_measure(self, tile):
                return SIZE

        pool = self.make(Viewer())
        message = self.assert_error(Bs.Error.quark(), Bs.Error.NOT_SUPPORTED, pool.insert_object, Tile('new'))
        self.assertIn('encode', message)
        item = pool.insert(GLib.Bytes.new(b'seen'))
        self.assertEqual(item.load_object().text, 'seen')
        self.assert_error(Bs.Error.quark(), Bs.Error.NOT_SUPPORTED, item.replace_object, Tile('new'))
        plain = Bs.Pool.new(self.store, 1000)
        message = self.assert_error(Bs.Error.quark(), Bs.Error.NOT_SUPPORTED, plain.insert_object, Tile('new'))
        self.assertIn('no codec', message)

    def test_sizes(self):
        codec = TileCodec()
        pool = self.make(codec)
        item = pool.insert_object(Tile('small'))
        self.assertEqual(pool.props.memory_use, SIZE)
        self.assertEqual(item.props.size, SIZE)
        codec.size = 3 * SIZE
        item.replace_object(Tile('large'))
        self.assertEqual(pool.props.memory_use, 3 * SIZE)
        self.drop_all(pool)
        stats = pool.get_stats()
        self.assertEqual((stats.writes, stats.bytes_out), (1, 5))
        self.assertEqual(item.load_object().text, 'large')
        self.assertEqual(pool.get_stats().bytes_in, 5)

    def test_max_items(self):
        codec = TileCodec()
        codec.size = 0
        pool = self.make(codec)
        self.assertEqual(pool.props.max_items, 0)
        pool.props.max_items = 3
        items = [pool.insert_object(Tile(f'{i}')) for i in range(10)]
        poll_until(lambda: pool.props.n_resident <= 3)
        self.assertEqual([item.load_object().text for item in items], [f'{i}' for i in range(10)])

    def test_failures(self):
        """A codec that fails harms its own item only, and nothing for good."""
        codec = TileCodec()
        pool = self.make(codec)
        item = pool.insert_object(Tile('here to stay'))
        for failure, domain, code in (
                (lambda: GLib.Error.new_literal(Gio.io_error_quark(), 'no such colour', Gio.IOErrorEnum.INVALID_DATA),
                 Gio.io_error_quark(), Gio.IOErrorEnum.INVALID_DATA),
                (lambda: ValueError('a plain exception'), Bs.error_quark(), Bs.Error.FAILED)):
            codec.failure = failure
            message = self.assert_error(domain, code, item.write)
            self.assertIn('encode', message)
            self.assertIn(item.dup_key(), message)
            self.assert_error(domain, code, call, item.write_async)
            self.assertEqual(item.load_object().text, 'here to stay')

        codec.failure = None
        self.drop_all(pool)
        codec.failure = lambda: ValueError('a plain exception')
        message = self.assert_error(Bs.error_quark(), Bs.Error.FAILED, call, item.load_object_async)
        self.assertIn('decode', message)
        self.assertIn('ValueError: a plain exception', message)
        codec.failure = None
        self.assertEqual(item.load_object().text, 'here to stay')

    def test_forgotten_return(self):
        pool = self.make(Forgetful())
        item = pool.insert_object(Tile('here to stay'))
        message = self.assert_error(Bs.error_quark(), Bs.Error.FAILED, item.write)
        self.assertIn('Forgetful', message)
        self.assertEqual(item.load_object().text, 'here to stay')

    def test_main_context(self):
        codec = TileCodec()
        pool = self.make(codec, context=GLib.MainContext.default())
        items = [pool.insert_object(Tile(f'{i}')) for i in range(20)]
        self.drop_all(pool)
        loads = [Call(item.load_object_async, DEFAULT, None) for item in items]
        self.assertEqual([load.result().text for load in loads], [f'{i}' for i in range(20)])
        self.assertEqual(codec.threads, {threading.get_ident()})

    def test_close(self):
        """No load is waited for: queued ones fail, and decoding is cancelled."""
        class Patient(TileCodec, Bs.Codec):
            def do_decode(self, content, cancellable):
                self.arrive('decode')
                while not cancellable.is_cancelled():
                    threading.Event().wait(.001)
                raise GLib.Error.new_literal(Gio.io_error_quark(), 'left', Gio.IOErrorEnum.CANCELLED)

        codec = Patient()
        pool = self.make(codec)
        items = [pool.insert_object(Tile(f'{i}')) for i in range(50)]
        self.drop_all(pool)
        self.store.props.max_threads = 2
        loads = [Call(item.load_object_async, DEFAULT, None) for item in items]
        poll_until(lambda: codec.calls['decode'] == 2)
        self.store.close()
        for load in loads:
            self.assert_error(Bs.error_quark(), Bs.Error.CLOSED, load.result)
        self.assertEqual(codec.calls['decode'], 2)

    def test_calls_back(self):
        """A codec may use the pool, but not wait for it."""
        caught = []

        class Inward(TileCodec, Bs.Codec):
            def do_encode(self, tile, cancellable):
                other = pool.insert_object(Tile('made on the way'))
                try:
                    other.persist(tracked)
                except GLib.Error as error:
                    caught.append(error)
                return super().do_encode(tile, cancellable)

        pool = self.make(Inward())
        tracked = self.store.track_path(Gio.File.new_for_uri('memory:///kept'))
        item = pool.insert_object(Tile('outer'))
        call(item.persist_async, tracked)
        self.assertEqual(len(tracked), 1)
        self.assertTrue(caught[0].matches(Gio.io_error_quark(), Gio.IOErrorEnum.WOULD_BLOCK))


if __name__ == '__main__':
    unittest.main()
