# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 The backingstore authors
"""Pools and items."""

import gc
import os
import tempfile
import threading
import unittest

import gi

gi.require_version('Bs', '1')
from gi.repository import Bs, Gio, GLib

from mainloop import Call, call, poll_until, run_until

DEFAULT = GLib.PRIORITY_DEFAULT
KILOBYTE = 1024


class PoolTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = Gio.File.new_for_path(os.path.join(directory.name, 'kept'))
        self.backing = Bs.FaultBacking.new(Bs.FileBacking.new(Gio.File.new_for_path(os.path.join(directory.name, 'scratch'))))
        self.store = Bs.BackingStore.new(self.backing)
        self.addCleanup(self.store.close)
        self.addCleanup(self.backing.clear)

    def count(self, operation):
        return self.backing.get_count(operation)

    def assert_error(self, domain, code, function, *arguments):
        with self.assertRaises(GLib.Error) as raised:
            function(*arguments)
        error = raised.exception
        self.assertTrue(error.matches(domain, code), f'{error.domain} {error.code}: {error.message}')

    def test_one_key_is_one_content(self):
        pool = Bs.Pool.new(self.store, 10 * KILOBYTE)
        tracked = self.store.track_path(self.path)
        item = pool.insert(GLib.Bytes.new(bytes(KILOBYTE)))
        item.persist(tracked)
        others = [pool.register(tracked, item.props.key), pool.lookup(item.props.key.upper())]
        self.assertIsNone(pool.lookup(Bs.key_generate()))
        self.assertIsNone(pool.lookup('no key'))
        pool.trim(0)
        for each in [item] + others:
            each.load()
        self.assertEqual(pool.get_stats().misses, 1)
        self.assertEqual(pool.props.n_resident, 1)

    def test_trim_makes_the_process_smaller(self):
        store = Bs.BackingStore.new(Bs.FileBacking.new_temporary())
        pool = Bs.Pool.new(store, 64 * KILOBYTE * KILOBYTE)

        def resident():
            with open('/proc/self/statm') as figures:
                return int(figures.read().split()[1]) * os.sysconf('SC_PAGESIZE')

        # The objects of the language stand between the contents.
        items = [pool.insert(GLib.Bytes.new(b'%d' % i * 4096)) for i in range(500)]
        full, held = resident(), pool.props.memory_use
        pool.trim(0)
        poll_until(lambda: resident() < full - held * .9)
        for item in items:
            item.load()
        full = resident()
        call(pool.trim_async, 0)
        poll_until(lambda: resident() < full - held * .9)
        store.close()

    def test_properties(self):
        pool = Bs.Pool.new(self.store, 10 * KILOBYTE)
        self.assertIs(pool.props.store, self.store)
        self.assertEqual(pool.props.max_bytes, 10 * KILOBYTE)
        seen, threads = [], set()

        def on_notify(_pool, pspec):
            seen.append(pspec.name)
            threads.add(threading.get_ident())

        for name in 'memory-use', 'memory-in-use', 'n-items', 'n-resident':
            pool.connect('notify::' + name, on_notify)
        items = [pool.insert(GLib.Bytes.new(bytes(KILOBYTE))) for _ in range(4)]
        self.assertEqual(pool.props.memory_use, 4 * KILOBYTE)
        self.assertEqual(pool.props.memory_in_use, 0)
        self.assertEqual(pool.props.n_items, 4)
        self.assertEqual(pool.props.n_resident, 4)
        self.assertEqual(seen, [])
        run_until(lambda: len(seen) >= 3)
        self.assertEqual(sorted(seen), ['memory-use', 'n-items', 'n-resident'])

        seen.clear()
        pool.connect('notify::max-bytes', on_notify)
        held = items[0].load()
        pool.props.max_bytes = 20 * KILOBYTE
        call(pool.trim_async, 0)
        self.assertEqual(pool.props.memory_use, 0)
        self.assertEqual(pool.props.memory_in_use, KILOBYTE)
        run_until(lambda: 'max-bytes' in seen and 'memory-in-use' in seen)
        self.assertEqual(items[0].load().get_size(), held.get_size())
        self.assertEqual(pool.props.memory_in_use, 0)
        self.assertEqual(threads, {threading.get_ident()})

    def test_budget(self):
        pool = Bs.Pool.new(self.store, 4 * KILOBYTE)
        contents = [bytes([i]) * KILOBYTE for i in range(20)]
        items = [pool.insert(GLib.Bytes.new(content)) for content in contents]
        self.assertTrue(call(pool.trim_async, pool.props.max_bytes))
        self.assertLessEqual(pool.props.memory_use, 4 * KILOBYTE)
        self.assertEqual(pool.props.n_items, 20)
        self.assertEqual(pool.props.n_resident, 4)

        loads = [Call(item.load_async, DEFAULT, None) for item in items]
        self.assertEqual([load.result().get_data() for load in loads], contents)
        stats = pool.get_stats()
        self.assertEqual(stats.hits + stats.misses, 20)
        self.assertGreaterEqual(stats.misses, 16)
        self.assertGreaterEqual(stats.evictions, 16)
        self.assertGreaterEqual(stats.writes, 16)
        self.assertEqual(stats.bytes_in, stats.misses * KILOBYTE)
        self.assertEqual(stats.bytes_out, stats.writes * KILOBYTE)

    def test_stats(self):
        pool = Bs.Pool.new(self.store, KILOBYTE)
        before = pool.get_stats()
        item = pool.insert(GLib.Bytes.new(bytes(100)))
        item.load()
        self.assertTrue(pool.trim(0))
        item.load()
        after = pool.get_stats()
        names = 'hits', 'misses', 'evictions', 'writes', 'bytes_in', 'bytes_out'
        self.assertEqual([getattr(after, name) for name in names], [1, 1, 1, 1, 100, 100])
        # A copy of that moment.
        self.assertEqual([getattr(before, name) for name in names], [0] * 6)

    def test_changing_budget(self):
        pool = Bs.Pool.new(self.store, 10 * KILOBYTE)
        items = [pool.insert(GLib.Bytes.new(bytes([i]) * KILOBYTE)) for i in range(10)]
        for item in items:
            item.write()
        pool.set_max_bytes(3 * KILOBYTE)
        self.assertEqual(pool.props.memory_use, 3 * KILOBYTE)
        self.assertEqual(pool.props.n_resident, 3)
        pool.props.max_bytes = 0
        self.assertEqual(pool.get_memory_use(), 0)
        self.assertEqual([item.load().get_data() for item in items], [bytes([i]) * KILOBYTE for i in range(10)])
        pool.props.max_bytes = GLib.MAXUINT64
        self.assertEqual(pool.get_max_bytes(), GLib.MAXUINT64)
        for item in items:
            item.load()
        self.assertEqual(pool.props.memory_use, 10 * KILOBYTE)

    def test_awaiting_trim(self):
        pool = Bs.Pool.new(self.store, 4 * KILOBYTE)
        items, peak = [], 0
        for number in range(30):
            items.append(pool.insert(GLib.Bytes.new(bytes([number]) * KILOBYTE)))
            peak = max(peak, pool.props.memory_use)
            self.assertTrue(call(pool.trim_async, pool.props.max_bytes))
        self.assertLessEqual(peak, 6 * KILOBYTE)
        self.assertEqual([item.load().get_data()[0] for item in items], list(range(30)))

    def test_low_memory(self):
        self.assertTrue(Bs.Pool.new(self.store, KILOBYTE).props.trim_on_low_memory)
        pool = Bs.Pool(store=self.store, max_bytes=4 * KILOBYTE, trim_on_low_memory=False)
        self.assertFalse(pool.get_trim_on_low_memory())
        items = [pool.insert(GLib.Bytes.new(bytes(KILOBYTE))) for _ in range(4)]
        monitor = Gio.MemoryMonitor.dup_default()
        monitor.emit('low-memory-warning', Gio.MemoryMonitorWarningLevel.CRITICAL)
        self.assertEqual(pool.props.memory_use, 4 * KILOBYTE)

        seen = []
        pool.connect('notify::trim-on-low-memory', lambda _pool, pspec: seen.append(pspec.name))
        pool.props.trim_on_low_memory = True
        run_until(lambda: seen)
        for level, remains in (Gio.MemoryMonitorWarningLevel.LOW, 2), (Gio.MemoryMonitorWarningLevel.MEDIUM, 1):
            monitor.emit('low-memory-warning', level)
            poll_until(lambda remains=remains: pool.props.memory_use <= remains * KILOBYTE)
        monitor.emit('low-memory-warning', Gio.MemoryMonitorWarningLevel.CRITICAL)
        poll_until(lambda: pool.props.memory_use == 0)
        self.assertEqual(items[3].load().get_size(), KILOBYTE)

    def test_try_load(self):
        pool = Bs.Pool.new(self.store, KILOBYTE)
        item = pool.insert(GLib.Bytes.new(b'content'))
        self.assertEqual(item.try_load().get_data(), b'content')
        self.assertTrue(pool.trim(0))
        self.assertIsNone(item.try_load())
        held = item.load()
        pool.trim(0)
        self.assertEqual(item.try_load().get_data(), b'content')
        self.assertEqual(self.count(Bs.Operation.READ), 1)
        del held
        gc.collect()
        pool.trim(0)
        self.assertIsNone(item.try_load())

    def test_shared_read(self):
        pool = Bs.Pool.new(self.store, KILOBYTE)
        item = pool.insert(GLib.Bytes.new(b'content'))
        pool.trim(0)
        self.backing.hold(Bs.Operation.READ)
        loads = [Call(item.load_async, DEFAULT, None) for _ in range(50)]
        self.backing.release(Bs.Operation.READ)
        self.assertEqual({load.result().get_data() for load in loads}, {b'content'})
        self.assertEqual(self.count(Bs.Operation.READ), 1)

    def test_replace_and_copy(self):
        pool = Bs.Pool.new(self.store, KILOBYTE)
        item = pool.insert(GLib.Bytes.new(b'old'))
        self.assertIs(item.props.pool, pool)
        key = item.dup_key()
        copy = item.copy()
        self.assertIsNot(copy, item)
        self.assertEqual(copy.props.key, key)

        seen, threads = [], set()

        def on_notify(_item, pspec):
            seen.append(pspec.name)
            threads.add(threading.get_ident())

        item.connect('notify', on_notify)
        item.replace(GLib.Bytes.new(b'newer'))
        self.assertNotEqual(item.props.key, key)
        self.assertEqual(item.props.size, 5)
        run_until(lambda: len(seen) >= 2)
        self.assertEqual(sorted(seen), ['key', 'size'])
        self.assertEqual(threads, {threading.get_ident()})
        self.assertEqual(item.load().get_data(), b'newer')
        self.assertEqual(copy.load().get_data(), b'old')
        self.assertEqual(copy.props.key, key)

    def test_replaced_meanwhile(self):
        tracked = self.store.track_path(self.path)
        pool = Bs.Pool.new(self.store, KILOBYTE)
        item = pool.insert(GLib.Bytes.new(b'old'))
        key = item.props.key
        self.backing.hold(Bs.Operation.PERSIST)
        persist = Call(item.persist_async, tracked, DEFAULT, None)
        item.replace(GLib.Bytes.new(b'new'))
        self.backing.release(Bs.Operation.PERSIST)
        self.assertTrue(persist.result())
        self.assertEqual(tracked.list_keys(), [key])
        self.assertTrue(call(item.persist_async, tracked))
        self.assertEqual(set(tracked.list_keys()), {key, item.props.key})

    def test_register(self):
        tracked = self.store.track_path(self.path)
        pool = Bs.Pool.new(self.store, KILOBYTE)
        keys = []
        for number in range(30):
            item = pool.insert(GLib.Bytes.new(b'%d' % number))
            item.persist(tracked)
            keys.append(item.props.key)
        del item
        gc.collect()

        item = call(pool.register_async, tracked, keys[7].upper())
        self.assertEqual(item.props.key, keys[7])
        self.assertEqual(item.props.size, -1)
        self.assertEqual(item.load().get_data(), b'7')
        self.assertEqual(item.props.size, 1)

        found = call(pool.register_all_async, tracked)
        self.assertIsInstance(found, Gio.ListModel)
        self.assertEqual(found.get_item_type(), Bs.Item.__gtype__)
        self.assertEqual(found.get_n_items(), 30)
        self.assertEqual({item.props.key for item in found}, set(keys))
        self.assertIs(found[3], found[3])
        self.assertIsNone(found.get_item(30))

        # The items outlive the path's copy of their content.
        everything = Bs.KeySet.new()
        for key in keys:
            everything.add(key)
        self.store.delete_persisted_keys(tracked, everything)
        self.assertEqual(tracked.props.n_keys, 0)
        self.assertEqual({item.load().get_data() for item in found}, {b'%d' % number for number in range(30)})

    def test_failed_write_stays(self):
        pool = Bs.Pool.new(self.store, 10)
        errors = []
        self.store.connect('background-error', lambda _store, key, operation, error: errors.append((key, operation, error)))
        full = GLib.Error.new_literal(Gio.io_error_quark(), 'full', Gio.IOErrorEnum.NO_SPACE)
        self.backing.fail(Bs.Operation.WRITE, None, 0, full)
        item = pool.insert(GLib.Bytes.new(bytes(100)))
        run_until(lambda: errors)
        (key, operation, error), *_ = errors
        self.assertEqual((key, operation), (item.props.key, Bs.Operation.WRITE))
        self.assertTrue(error.matches(Gio.io_error_quark(), Gio.IOErrorEnum.NO_SPACE))
        self.assertEqual(pool.props.memory_use, 100)
        self.assert_error(Gio.io_error_quark(), Gio.IOErrorEnum.NO_SPACE, pool.trim, 0)
        self.assert_error(Gio.io_error_quark(), Gio.IOErrorEnum.NO_SPACE, call, item.write_async)
        self.assertEqual(item.load().get_data(), bytes(100))

        self.backing.clear()
        self.assertTrue(call(pool.trim_async, 0))
        self.assertEqual(pool.props.memory_use, 0)
        self.assertEqual(item.load().get_data(), bytes(100))

    def test_cancelled(self):
        pool = Bs.Pool.new(self.store, KILOBYTE)
        item = pool.insert(GLib.Bytes.new(b'content'))
        pool.trim(0)
        cancellable = Gio.Cancellable()
        self.backing.hold(Bs.Operation.READ)
        load = Call(item.load_async, DEFAULT, cancellable)
        cancellable.cancel()
        self.assert_error(Gio.io_error_quark(), Gio.IOErrorEnum.CANCELLED, load.result)
        self.backing.release(Bs.Operation.READ)
        self.assertEqual(call(item.load_async).get_data(), b'content')

    def test_dropped_blob_is_deleted(self):
        pool = Bs.Pool.new(self.store, KILOBYTE)
        item = pool.insert(GLib.Bytes.new(b'content'))
        item.write()
        del item
        gc.collect()
        self.assertTrue(call(self.store.wait_finished_async))
        self.assertEqual(self.count(Bs.Operation.DELETE_KEY), 1)
        self.assertEqual(pool.props.n_items, 0)

    def test_closed(self):
        tracked = self.store.track_path(self.path)
        pool = Bs.Pool.new(self.store, KILOBYTE)
        item = pool.insert(GLib.Bytes.new(b'content'))
        item.persist(tracked)
        call(self.store.close_async)
        self.assertEqual(item.load().get_data(), b'content')
        self.assert_error(Bs.error_quark(), Bs.Error.CLOSED, item.persist, tracked)
        self.assert_error(Bs.error_quark(), Bs.Error.CLOSED, call, pool.register_all_async, tracked)

    def test_made_by_hand(self):
        """Objects made without their properties refuse what they cannot do, and never crash."""
        criticals = []
        fatal = GLib.log_set_always_fatal(GLib.LogLevelFlags.LEVEL_ERROR)
        self.addCleanup(GLib.log_set_always_fatal, fatal)
        handler = GLib.log_set_handler('backingstore', GLib.LogLevelFlags.LEVEL_CRITICAL,
                                       lambda domain, level, message, *data: criticals.append(message))
        self.addCleanup(GLib.log_remove_handler, 'backingstore', handler)

        pool, item, save = Bs.Pool(), Bs.Item(), Bs.Save()
        for made in pool, item, save:
            for pspec in made.list_properties():
                made.get_property(pspec.name)
        self.assertIsNone(item.props.pool)
        self.assertEqual(pool.props.n_items, 0)
        pool.props.max_bytes = 1
        save.props.max_parallel = 2

        content = GLib.Bytes.new(b'content')
        for function, *arguments in ((pool.insert, content), (pool.trim, 0), (item.try_load,), (item.load,), (item.copy,),
                                     (item.write,), (item.replace, content), (save.add_item, item),
                                     (save.run,)):
            with self.subTest(function.__name__):
                criticals.clear()
                self.assertFalse(function(*arguments))
                self.assertEqual(len(criticals), 1, criticals)
        del pool, item, save, made
        gc.collect()

    def test_threads(self):
        """Plain Python threads make blocking calls on one store."""
        tracked = self.store.track_path(self.path)
        pool = Bs.Pool.new(self.store, 2 * KILOBYTE)
        loaded = []

        def work(number):
            content = bytes([number]) * 100
            for _ in range(20):
                item = pool.insert(GLib.Bytes.new(content))
                item.persist(tracked)
                loaded.append(item.load().get_data() == content)

        threads = [threading.Thread(target=work, args=[number], daemon=True) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        self.assertEqual(loaded, [True] * 160)
        self.assertEqual(tracked.props.n_keys, 160)


if __name__ == '__main__':
    unittest.main()
