# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 The backingstore authors
"""Python's await, in the event loop of PyGObject or, before its 3.50, of gbulb."""

import asyncio
import gc
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
    try:
        from gbulb import GLibEventLoopPolicy
    except ImportError:
        GLibEventLoopPolicy = None

DEFAULT = GLib.PRIORITY_DEFAULT
LOOP = GLibEventLoopPolicy and GLibEventLoopPolicy().get_event_loop()


def run_async(main):
    """The coroutine's result, in an event loop that is under a watchdog."""
    return LOOP.run_until_complete(asyncio.wait_for(main, mainloop.SECONDS))


@unittest.skipUnless(GLibEventLoopPolicy, 'there is neither gi.events nor gbulb')
class AwaitTestCase(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = Gio.File.new_for_path(os.path.join(directory.name, 'kept'))
        self.backing = Bs.FaultBacking.new(Bs.FileBacking.new_temporary())
        self.store = Bs.BackingStore.new(self.backing)
        self.addCleanup(self.store.close)
        self.addCleanup(self.backing.clear)

    def new_item(self):
        return Bs.Pool.new(self.store, 100).insert(b'x')


class CallTest(AwaitTestCase):
    def test_main_job(self):
        async def main():
            tracked = await self.store.track_path_async(self.path)
            pool = Bs.Pool.new(self.store, 100)
            items = [pool.insert(b'%d' % number) for number in range(20)]
            persisted = await asyncio.gather(*(item.persist_async(tracked) for item in items))
            synced = await self.store.sync_async(tracked)
            await pool.trim_async(0)
            loaded = await asyncio.gather(*(item.load_async(DEFAULT) for item in items))
            await self.store.untrack_path_async(tracked)

            tracked = await self.store.track_path_async(self.path)
            found = await pool.register_all_async(tracked, DEFAULT, None)
            again = await asyncio.gather(*(item.load_async() for item in found))
            key, *keys = tracked
            one = await (await pool.register_async(tracked, key, io_priority=5)).load_async()
            await self.store.delete_persisted_async(tracked, key)
            await self.store.delete_persisted_keys_async(tracked, keys[:9])
            left = len(tracked)
            finished = await self.store.wait_finished_async()
            closed = await self.store.close_async()
            return persisted, synced, loaded, again, one, left, finished, closed

        persisted, synced, loaded, again, one, left, finished, closed = run_async(main())
        expected = [b'%d' % number for number in range(20)]
        self.assertTrue(all(persisted) and synced and finished and closed)
        self.assertEqual([content.get_data() for content in loaded], expected)
        self.assertEqual({content.get_data() for content in again}, set(expected))
        self.assertIn(one.get_data(), expected)
        self.assertEqual(left, 10)

    def test_run_in_thread(self):
        threads = []

        def work(_store, _cancellable):
            threads.append(threading.get_ident())
            return True

        async def main():
            return await self.store.run_in_thread_async(work)

        self.assertTrue(run_async(main()))
        self.assertNotIn(threading.get_ident(), threads)
        self.assertEqual(len(threads), 1)

    def test_commit_function(self):
        async def main():
            tracked = await self.store.track_path_async(self.path)
            save = Bs.Save.new(self.store, tracked)
            save.add_item(self.new_item())
            seen = []
            save.set_commit_func(lambda *arguments: seen.append(arguments) or True)
            return save, await save.run_async(), seen

        save, saved, seen = run_async(main())
        self.assertTrue(saved)
        self.assertEqual(len(seen), 1)
        self.assertIs(seen[0][0], save)

    def test_error(self):
        item = self.new_item()
        full = GLib.Error.new_literal(Gio.io_error_quark(), 'full', Gio.IOErrorEnum.NO_SPACE)
        self.backing.fail(Bs.Operation.WRITE, None, 1, full)

        async def main():
            try:
                await item.write_async()
            except GLib.Error as error:
                return error

        error = run_async(main())
        self.assertIsNotNone(error)
        self.assertTrue(error.matches(Gio.io_error_quark(), Gio.IOErrorEnum.NO_SPACE))

    def test_wrong_argument(self):
        async def main():
            with self.assertRaises(TypeError):
                self.store.sync_async(None)
            with self.assertRaises(TypeError):
                self.store.sync_async()
            with self.assertRaises(TypeError):
                self.new_item().load_async(DEFAULT, 'no cancellable')

        run_async(main())

    def test_async_with(self):
        async def main():
            async with Bs.BackingStore.new(Bs.MemoryBacking.new()) as store:
                item = Bs.Pool.new(store, 100).insert(b'x')
                self.assertTrue(await item.write_async())
            with self.assertRaises(GLib.Error) as raised:
                await store.track_path_async(Gio.File.new_for_uri('memory:kept'))
            return raised.exception

        self.assertTrue(run_async(main()).matches(Bs.error_quark(), Bs.Error.CLOSED))

    def test_callback_beside_a_loop(self):
        """With a callback there is nothing to await."""
        item, seen = self.new_item(), []

        async def main():
            arrived = asyncio.Event()

            def on_written(source, result, *user_data):
                seen.append((source.write_finish(result), user_data))
                arrived.set()

            self.assertIsNone(item.write_async(DEFAULT, None, on_written, 'data'))
            await arrived.wait()

        run_async(main())
        self.assertEqual(seen, [(True, ('data',))])

    def test_foreign_loop(self):
        """A loop that never runs GLib's main loop is refused, not waited for."""
        item = self.new_item()

        async def main():
            item.write_async()

        loop = asyncio.SelectorEventLoop()
        self.addCleanup(loop.close)
        with self.assertRaisesRegex(RuntimeError, 'gi.events'):
            loop.run_until_complete(main())


class CancelTest(AwaitTestCase):
    """A write that stands at a gate is left in each way."""

    def setUp(self):
        super().setUp()
        self.backing.hold(Bs.Operation.WRITE)
        self.item = self.new_item()

    async def wait_for_the_gate(self):
        while not self.backing.get_count(Bs.Operation.WRITE):
            await asyncio.sleep(0)  # a turn of the loop

    def assert_left(self):
        """The store has nothing under way: the operation was cancelled, not only forgotten."""
        self.assertTrue(run_async(self.finish()))

    async def finish(self):
        return await self.store.wait_finished_async()

    def test_task(self):
        async def main():
            task = asyncio.ensure_future(self.write())
            await self.wait_for_the_gate()
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task

        run_async(main())
        self.assert_left()

    async def write(self):
        return await self.item.write_async()

    def test_wait_for(self):
        async def main():
            with self.assertRaises(asyncio.TimeoutError):
                await asyncio.wait_for(self.item.write_async(), 0.01)

        run_async(main())
        self.assert_left()

    def test_future(self):
        async def main():
            future = self.item.write_async()
            await self.wait_for_the_gate()
            self.assertTrue(future.cancel())
            with self.assertRaises(asyncio.CancelledError):
                await future

        run_async(main())
        self.assert_left()

    def test_cancellable(self):
        """One of the application's own, which cancels every operation that was given it."""
        cancellable = Gio.Cancellable()

        async def main():
            writes = [self.item.write_async(cancellable=cancellable), self.item.write_async(DEFAULT, cancellable)]
            await self.wait_for_the_gate()
            cancellable.cancel()
            errors = await asyncio.gather(*writes, return_exceptions=True)
            errors += await asyncio.gather(self.item.write_async(DEFAULT, cancellable), return_exceptions=True)
            return errors

        errors = run_async(main())
        self.assertEqual(len(errors), 3)
        for error in errors:
            self.assertTrue(error.matches(Gio.io_error_quark(), Gio.IOErrorEnum.CANCELLED), error)
        self.assert_left()

    def test_one_of_two(self):
        """The cancellable of another caller stays as it is, and so does the caller."""
        cancellable = Gio.Cancellable()

        async def main():
            leaves = asyncio.ensure_future(self.item.write_async(DEFAULT, cancellable))
            stays = asyncio.ensure_future(self.item.write_async(DEFAULT, cancellable))
            await self.wait_for_the_gate()
            leaves.cancel()
            await asyncio.wait([leaves])
            self.backing.release(Bs.Operation.WRITE)
            return leaves.cancelled(), await stays

        self.assertEqual(run_async(main()), (True, True))
        self.assertFalse(cancellable.is_cancelled())


class LetGoTest(AwaitTestCase):
    N_ITEMS = 50
    SIZE = 1 << 16

    def test_nothing_is_kept(self):
        pool = Bs.Pool.new(self.store, self.SIZE)
        items = [pool.insert(os.urandom(self.SIZE)) for _ in range(self.N_ITEMS)]

        async def main():
            await pool.trim_async(0)
            for item in items:
                (await item.load_async()).get_size()
            await asyncio.gather(*(self.load_size(item) for item in items))
            (await items[0].load_async()).get_size()

        gc.disable()
        self.addCleanup(gc.enable)
        run_async(main())
        pool.trim(0)
        self.assertEqual(pool.props.memory_use, 0)
        mainloop.wait_for_threads(lambda: pool.props.memory_in_use == 0)

    async def load_size(self, item):
        return (await item.load_async()).get_size()

    def test_cancelled_and_failed(self):
        pool = Bs.Pool.new(self.store, self.SIZE)
        items = [pool.insert(os.urandom(self.SIZE)) for _ in range(self.N_ITEMS)]
        broken = GLib.Error.new_literal(Gio.io_error_quark(), 'on purpose', Gio.IOErrorEnum.FAILED)

        async def main():
            await pool.trim_async(0)
            loads = [item.load_async() for item in items]
            for load in loads[::2]:
                load.cancel()
            self.backing.fail(Bs.Operation.READ, None, 10, broken)
            results = await asyncio.gather(*loads, return_exceptions=True)
            del loads
            self.backing.clear()
            results = [isinstance(result, BaseException) for result in results]
            # A cancelled load may still bring its content.
            await self.store.wait_finished_async()
            return results

        gc.disable()
        self.addCleanup(gc.enable)
        failed = run_async(main())
        pool.trim(0)
        self.assertGreaterEqual(failed.count(True), self.N_ITEMS // 2)
        mainloop.wait_for_threads(lambda: pool.props.memory_in_use == 0)


if __name__ == '__main__':
    unittest.main()
