# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 The backingstore authors
"""The additions of the PyGObject override."""

import unittest

import gi

gi.require_version('Bs', '1')
from gi.repository import Bs, Gio, GLib

from mainloop import run_until


class KeySetTest(unittest.TestCase):
    def test_type(self):
        self.assertIs(type(Bs.KeySet.new()), Bs.KeySet)
        self.assertIs(type(Bs.KeySet()), Bs.KeySet)

    def test_collection(self):
        keys = Bs.KeySet.new()
        self.assertEqual(len(keys), 0)
        self.assertFalse(keys)
        expected = {Bs.key_generate() for _ in range(10)}
        for key in expected:
            keys.add(key)
        self.assertEqual(len(keys), 10)
        self.assertTrue(keys)
        self.assertEqual(set(keys), expected)
        self.assertEqual(sorted(keys), sorted(expected))
        self.assertIn(key, keys)
        self.assertIn(key.upper(), keys)
        for other in Bs.key_generate(), 'x', '', None, 5, b'x':
            self.assertNotIn(other, keys)

    def test_changed_in_the_loop(self):
        keys = Bs.KeySet.new()
        for _ in range(10):
            keys.add(Bs.key_generate())
        for key in keys:
            self.assertTrue(keys.remove(key))
            keys.add(Bs.key_generate())
        self.assertEqual(len(keys), 10)


class TrackedPathTest(unittest.TestCase):
    def test_collection(self):
        store = Bs.BackingStore.new(Bs.MemoryBacking.new())
        tracked = store.track_path(Gio.File.new_for_uri('memory:kept'))
        self.assertIs(type(tracked), Bs.TrackedPath)
        self.assertEqual(len(tracked), 0)
        self.assertEqual(list(tracked), [])
        self.assertTrue(tracked)
        pool = Bs.Pool.new(store, 100)
        items = [pool.insert(GLib.Bytes.new(b'x')) for _ in range(10)]
        for item in items:
            item.persist(tracked)
        self.assertEqual(len(tracked), 10)
        self.assertEqual(set(tracked), {item.props.key for item in items})
        self.assertIn(items[0].props.key, tracked)
        self.assertNotIn(Bs.key_generate(), tracked)
        self.assertNotIn(None, tracked)
        for key in tracked:
            store.delete_persisted(tracked, key)
        self.assertEqual(len(tracked), 0)
        store.close()


class RunInThreadTest(unittest.TestCase):
    def setUp(self):
        self.store = Bs.BackingStore.new(Bs.MemoryBacking.new())
        self.addCleanup(self.store.close)

    def test_type(self):
        self.assertIs(type(self.store), Bs.BackingStore)
        self.assertIs(type(Bs.BackingStore(backing=Bs.MemoryBacking.new())), Bs.BackingStore)

    def test_arguments(self):
        seen = []

        def work(*arguments):
            seen.append(arguments)
            return True

        cancellable = Gio.Cancellable()
        self.assertTrue(self.store.run_in_thread(work))
        self.assertTrue(self.store.run_in_thread(work, cancellable))
        self.assertTrue(self.store.run_in_thread(work, cancellable=cancellable))
        self.assertEqual(seen, [(self.store, None)] + [(self.store, cancellable)] * 2)

    def test_arguments_async(self):
        seen, arrived = [], []

        def work(*arguments):
            seen.append(arguments)
            return True

        def on_done(source, result, *user_data):
            arrived.append((source.run_in_thread_finish(result), user_data))

        cancellable = Gio.Cancellable()
        self.store.run_in_thread_async(work, GLib.PRIORITY_DEFAULT, None, on_done)
        run_until(lambda: len(arrived) == 1)
        self.store.run_in_thread_async(work, GLib.PRIORITY_LOW, cancellable, on_done, 'some', 'data')
        run_until(lambda: len(arrived) == 2)
        self.store.run_in_thread_async(work, cancellable=cancellable, callback=on_done)
        run_until(lambda: len(arrived) == 3)
        self.assertEqual(arrived, [(True, ()), (True, ('some', 'data')), (True, ())])
        self.assertEqual(seen, [(self.store, None)] + [(self.store, cancellable)] * 2)

    def test_without_callback(self):
        seen = []
        self.store.run_in_thread_async(lambda *arguments: seen.append(arguments) or True)
        self.store.wait_finished()
        self.assertEqual(seen, [(self.store, None)])

    def test_not_callable(self):
        for wrong in None, 5, 'work':
            with self.assertRaises(TypeError):
                self.store.run_in_thread(wrong)
            with self.assertRaises(TypeError):
                self.store.run_in_thread_async(wrong)


if __name__ == '__main__':
    unittest.main()
