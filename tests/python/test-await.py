# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 The backingstore authors
"""Python's await, where PyGObject has it (3.50 and later)."""

import asyncio
import os
import tempfile
import threading
import unittest

import gi

gi.require_version('Bs', '1')
from gi.repository import Bs, Gio, GLib

import mainloop

try:
    from gi.events import GLibEventLoopPolicy
except ImportError:
    GLibEventLoopPolicy = None

DEFAULT = GLib.PRIORITY_DEFAULT


async def load(item):
    return (await item.load_async(DEFAULT)).get_data()


@unittest.skipUnless(GLibEventLoopPolicy, 'this PyGObject has no gi.events')
class AwaitTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = Gio.File.new_for_path(os.path.join(directory.name, 'kept'))
        self.backing = Bs.FaultBacking.new(Bs.FileBacking.new_temporary())
        self.store = Bs.BackingStore.new(self.backing)
        self.addCleanup(self.store.close)
        self.addCleanup(self.backing.clear)

    def run_async(self, main):
        loop = GLibEventLoopPolicy().get_event_loop()
        return loop.run_until_complete(asyncio.wait_for(main, mainloop.SECONDS))

    def test_main_job(self):
        async def main():
            tracked = await self.store.track_path_async(self.path, DEFAULT)
            pool = Bs.Pool.new(self.store, 100)
            items = [pool.insert(GLib.Bytes.new(b'%d' % number)) for number in range(20)]

            async def persist(item):
                return await item.persist_async(tracked, DEFAULT)

            persisted = await asyncio.gather(*map(persist, items))
            synced = await self.store.sync_async(tracked, DEFAULT)
            await pool.trim_async(0, DEFAULT)
            loaded = await asyncio.gather(*map(load, items))
            await self.store.untrack_path_async(tracked, DEFAULT)

            tracked = await self.store.track_path_async(self.path, DEFAULT)
            found = await pool.register_all_async(tracked, DEFAULT)
            again = await asyncio.gather(*map(load, found))
            key, *keys = tracked
            one = await (await pool.register_async(tracked, key, DEFAULT)).load_async(DEFAULT)
            await self.store.delete_persisted_async(tracked, key, DEFAULT)
            some = Bs.KeySet.new()
            for key in keys[:9]:
                some.add(key)
            await self.store.delete_persisted_keys_async(tracked, some, DEFAULT)
            left = len(tracked)
            finished = await self.store.wait_finished_async(DEFAULT)
            closed = await self.store.close_async(DEFAULT)
            return persisted, synced, loaded, again, one, left, finished, closed

        persisted, synced, loaded, again, one, left, finished, closed = self.run_async(main())
        expected = [b'%d' % number for number in range(20)]
        self.assertTrue(all(persisted) and synced and finished and closed)
        self.assertEqual(loaded, expected)
        self.assertEqual(set(again), set(expected))
        self.assertIn(one.get_data(), expected)
        self.assertEqual(left, 10)

    def test_run_in_thread(self):
        threads = []

        def work(_store, _cancellable):
            threads.append(threading.get_ident())
            return True

        async def main():
            return await self.store.run_in_thread_async(work, DEFAULT)

        self.assertTrue(self.run_async(main()))
        self.assertNotIn(threading.get_ident(), threads)
        self.assertEqual(len(threads), 1)

    def test_error(self):
        item = Bs.Pool.new(self.store, 100).insert(GLib.Bytes.new(b'x'))
        full = GLib.Error.new_literal(Gio.io_error_quark(), 'full', Gio.IOErrorEnum.NO_SPACE)
        self.backing.fail(Bs.Operation.WRITE, None, 1, full)

        async def main():
            try:
                await item.write_async(DEFAULT)
            except GLib.Error as error:
                return error

        error = self.run_async(main())
        self.assertIsNotNone(error)
        self.assertTrue(error.matches(Gio.io_error_quark(), Gio.IOErrorEnum.NO_SPACE))

    def test_cancelled(self):
        """By cancellable: cancelling the task itself raises TypeError in PyGObject 3.50."""
        item = Bs.Pool.new(self.store, 100).insert(GLib.Bytes.new(b'x'))
        cancellable = Gio.Cancellable()
        self.backing.hold(Bs.Operation.WRITE)

        async def write(cancellable):
            try:
                return await item.write_async(DEFAULT, cancellable)
            except GLib.Error as error:
                return error

        async def main():
            leaves = asyncio.ensure_future(write(cancellable))
            stays = asyncio.ensure_future(write(None))
            await asyncio.sleep(0)
            cancellable.cancel()
            error = await leaves
            self.backing.release(Bs.Operation.WRITE)
            return error, await stays

        error, stayed = self.run_async(main())
        self.assertTrue(error.matches(Gio.io_error_quark(), Gio.IOErrorEnum.CANCELLED))
        self.assertTrue(stayed)


if __name__ == '__main__':
    unittest.main()
