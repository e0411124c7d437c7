# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 The backingstore authors
"""Stores over the backings that come with the library."""

import gc
import os
import tempfile
import threading
import unittest
import weakref

import gi

gi.require_version('Bs', '1')
from gi.repository import Bs, Gio, GLib

from mainloop import SECONDS, Call, call, poll_until, run_until

DEFAULT = GLib.PRIORITY_DEFAULT


class KeyTest(unittest.TestCase):
    def test_generated(self):
        key = Bs.key_generate()
        self.assertTrue(Bs.key_is_valid(key))
        self.assertEqual(key, key.lower())
        self.assertEqual(len(key), 36)
        self.assertNotEqual(key, Bs.key_generate())

    def test_spellings(self):
        keys = Bs.KeySet.new()
        key = Bs.key_generate()
        for spelling in key, key.upper(), key.replace('-', ''):
            keys.add(spelling)
        self.assertEqual(keys.list_keys(), [key])
        self.assertEqual(keys.props.n_keys, 1)
        self.assertTrue(keys.contains_key(key.upper()))
        self.assertTrue(keys.remove(key))
        self.assertFalse(keys.remove(key))

    def test_invalid(self):
        keys = Bs.KeySet.new()
        for wrong in '', 'x', Bs.key_generate()[1:], '{' + Bs.key_generate() + '}', 'é' * 36:
            with self.subTest(wrong):
                self.assertFalse(Bs.key_is_valid(wrong))
                self.assertFalse(keys.contains_key(wrong))
                with self.assertRaises(GLib.Error) as raised:
                    keys.add(wrong)
                self.assertTrue(raised.exception.matches(Bs.error_quark(), Bs.Error.INVALID_KEY))

    def test_foreach(self):
        keys = Bs.KeySet.new()
        expected = {Bs.key_generate() for _ in range(100)}
        for key in expected:
            keys.add(key)
        seen = []
        keys.foreach_key(seen.append)
        self.assertEqual(len(seen), 100)
        self.assertEqual(set(seen), expected)


class StoreTestCase(unittest.TestCase):
    """A store and a directory, for all tests."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name

    def file(self, name):
        return Gio.File.new_for_path(os.path.join(self.directory, name))

    def assert_error(self, domain, code, function, *arguments):
        with self.assertRaises(GLib.Error) as raised:
            function(*arguments)
        error = raised.exception
        self.assertTrue(error.matches(domain, code), f'{error.domain} {error.code}: {error.message}')
        return error


class BackingKind:
    """The main job, on one kind of backing."""

    def new_backing(self, name='scratch'):
        raise NotImplementedError

    def test_blocking(self):
        store = Bs.BackingStore.new(self.new_backing())
        path = self.file('kept')
        tracked = store.track_path(path, None)
        self.assertTrue(tracked.props.file.equal(path))
        self.assertEqual(tracked.props.n_keys, 0)
        self.assertIs(store.track_path(path, None), tracked)

        pool = Bs.Pool.new(store, 1 << 20)
        items = [pool.insert(GLib.Bytes.new(b'%d' % i)) for i in range(20)]
        for item in items:
            item.persist(tracked, None)
        self.assertTrue(store.sync(tracked, None))
        self.assertEqual(tracked.get_n_keys(), 20)
        self.assertEqual(set(tracked.list_keys()), {item.props.key for item in items})
        expected = {item.props.key: item.load(None).get_data() for item in items}

        self.assertTrue(store.untrack_path(tracked, None))
        self.assertTrue(tracked.props.closed)
        self.assert_error(Bs.error_quark(), Bs.Error.CLOSED, store.sync, tracked, None)
        tracked = store.track_path(path, None)
        self.assertFalse(tracked.props.closed)

        pool = Bs.Pool.new(store, 1 << 20)
        keys = tracked.list_keys()
        self.assertEqual(pool.register(tracked, keys[0], None).load(None).get_data(), expected[keys[0]])
        found = pool.register_all(tracked, None)
        self.assertEqual({item.props.key: item.load(None).get_data() for item in found}, expected)

        self.assertTrue(store.delete_persisted(tracked, keys[0], None))
        self.assertTrue(store.delete_persisted(tracked, keys[0], None))
        some = Bs.KeySet.new()
        for key in keys[:10]:
            some.add(key)
        self.assertTrue(store.delete_persisted_keys(tracked, some, None))
        self.assertEqual(set(tracked.list_keys()), set(keys[10:]))

        self.assertTrue(store.wait_finished(None))
        self.assertTrue(store.close(None))
        self.assertTrue(tracked.props.closed)
        self.assert_error(Bs.error_quark(), Bs.Error.CLOSED, store.track_path, path, None)

    def test_asynchronous(self):
        store = Bs.BackingStore.new(self.new_backing())
        path = self.file('kept')
        tracked = call(store.track_path_async, path)

        pool = Bs.Pool.new(store, 1 << 20)
        items = [pool.insert(GLib.Bytes.new(b'%d' % i)) for i in range(20)]
        calls = [Call(item.persist_async, tracked, DEFAULT, None) for item in items]
        sync = Call(store.sync_async, tracked, DEFAULT, None)
        self.assertTrue(sync.result())
        self.assertTrue(all(persist.result() for persist in calls))
        expected = {item.props.key: item.load(None).get_data() for item in items}

        self.assertTrue(call(store.untrack_path_async, tracked))
        tracked = call(store.track_path_async, path)
        pool = Bs.Pool.new(store, 1 << 20)
        keys = tracked.list_keys()
        item = call(pool.register_async, tracked, keys[0])
        self.assertEqual(call(item.load_async).get_data(), expected[keys[0]])
        found = call(pool.register_all_async, tracked)
        loads = {item.props.key: Call(item.load_async, DEFAULT, None) for item in found}
        self.assertEqual({key: load.result().get_data() for key, load in loads.items()}, expected)

        self.assertTrue(call(store.delete_persisted_async, tracked, keys[0]))
        some = Bs.KeySet.new()
        for key in keys[:10]:
            some.add(key)
        self.assertTrue(call(store.delete_persisted_keys_async, tracked, some))
        self.assertEqual(set(tracked.list_keys()), set(keys[10:]))

        self.assertTrue(call(store.wait_finished_async))
        self.assertTrue(call(store.close_async))
        self.assert_error(Bs.error_quark(), Bs.Error.CLOSED, call, store.track_path_async, path)

    def test_errors(self):
        store = Bs.BackingStore.new(self.new_backing())
        tracked = store.track_path(self.file('kept'), None)
        pool = Bs.Pool.new(store, 1 << 20)
        key = Bs.key_generate()

        # [what fails, with arguments, and the same asynchronously]
        for code, function, asynchronous, *arguments in (
            (Bs.Error.INVALID_KEY, store.delete_persisted, store.delete_persisted_async, tracked, 'x'),
            (Bs.Error.INVALID_KEY, pool.register, pool.register_async, tracked, 'x'),
            (Bs.Error.NOT_FOUND, pool.register, pool.register_async, tracked, key),
            (Bs.Error.NOT_FOUND, store.load_root, store.load_root_async, tracked),
        ):
            with self.subTest(function.__name__, code=code):
                error = self.assert_error(Bs.error_quark(), code, function, *arguments, None)
                self.assertIn(arguments[-1] if len(arguments) > 1 else 'kept', error.message)
                self.assert_error(Bs.error_quark(), code, call, asynchronous, *arguments)

        other = Bs.BackingStore.new(self.new_backing('other'))
        for function in other.sync, other.untrack_path, other.load_root:
            self.assert_error(Gio.io_error_quark(), Gio.IOErrorEnum.INVALID_ARGUMENT, function, tracked, None)
        self.assert_error(Gio.io_error_quark(), Gio.IOErrorEnum.INVALID_ARGUMENT,
                          call, Bs.Pool.new(other, 100).register_all_async, tracked)
        with self.assertRaises(TypeError):
            store.sync(None, None)
        with self.assertRaises(TypeError):
            store.track_path(5, None)
        other.close(None)
        store.close(None)

    def test_root(self):
        store = Bs.BackingStore.new(self.new_backing())
        tracked = store.track_path(self.file('kept'), None)
        store.get_backing().write_root(tracked.get_file(), GLib.Bytes.new(b'index'), None, None)
        self.assertEqual(store.load_root(tracked, None).get_data(), b'index')
        self.assertEqual(call(store.load_root_async, tracked).get_data(), b'index')
        store.close(None)


class MemoryStoreTest(BackingKind, StoreTestCase):
    def new_backing(self, name='scratch'):
        return Bs.MemoryBacking.new()


class FileStoreTest(BackingKind, StoreTestCase):
    def new_backing(self, name='scratch'):
        return Bs.FileBacking.new(self.file(name))

    def test_next_process(self):
        """Another store finds the blobs that one has persisted."""
        store = Bs.BackingStore.new(self.new_backing())
        tracked = store.track_path(self.file('kept'), None)
        item = Bs.Pool.new(store, 100).insert(GLib.Bytes.new(b'kept'))
        item.persist(tracked, None)
        store.sync(tracked, None)
        store.close(None)

        key = item.props.key
        name = key.replace('-', '')
        with open(self.file('kept').resolve_relative_path(f'{name[:2]}/{name}').get_path(), 'rb') as blob:
            self.assertEqual(blob.read(), b'kept')

        backing = Bs.FileBacking.new_temporary()
        store = Bs.BackingStore.new(backing)
        tracked = store.track_path(self.file('kept'), None)
        self.assertEqual(tracked.list_keys(), [key])
        item = Bs.Pool.new(store, 100).register(tracked, key, None)
        self.assertEqual(item.load(None).get_data(), b'kept')
        self.assertTrue(backing.get_directory().query_exists(None))
        stats = backing.get_stats()
        self.assertEqual(stats.linked + stats.copied + stats.reflinked, 1)
        store.close(None)
        self.assertFalse(backing.props.directory.query_exists(None))

    def test_temporary_in(self):
        backing = Bs.FileBacking.new_temporary_in(self.file('parent'))
        self.assertTrue(backing.props.directory.get_parent().equal(self.file('parent')))
        store = Bs.BackingStore.new(backing)
        Bs.Pool.new(store, 100).insert(GLib.Bytes.new(b'content')).write(None)
        self.assertTrue(backing.props.directory.query_exists(None))
        store.close(None)
        self.assertFalse(backing.props.directory.query_exists(None))
        self.assertTrue(self.file('parent').query_exists(None))
        with self.assertRaises(GLib.Error) as raised:
            Bs.FileBacking.new_temporary_in(Gio.File.new_for_uri('s3://bucket/scratch'))
        self.assertTrue(raised.exception.matches(Bs.error_quark(), Bs.Error.NOT_SUPPORTED))

    def test_foreign(self):
        foreign = os.path.join(self.directory, 'home')
        os.mkdir(foreign)
        with open(os.path.join(foreign, 'letter'), 'w'):
            pass
        store = Bs.BackingStore.new(self.new_backing())
        error = self.assert_error(Bs.error_quark(), Bs.Error.FOREIGN, store.track_path, self.file('home'), None)
        self.assertIn('home', error.message)
        self.assertEqual(os.listdir(foreign), ['letter'])
        store.close(None)

    def test_renamed(self):
        store = Bs.BackingStore.new(self.new_backing())
        tracked = store.track_path(self.file('kept'), None)
        item = Bs.Pool.new(store, 100).insert(GLib.Bytes.new(b'kept'))
        self.assertIs(tracked.props.moved, False)
        self.assertIs(tracked.get_writable(), True)
        seen = []
        for name in 'moved', 'file':
            tracked.connect('notify::' + name, lambda _tracked, pspec: seen.append(pspec.name))

        os.rename(self.file('kept').get_path(), self.file('renamed').get_path())
        save = Bs.Save.new(store, tracked)
        save.add_item(item)
        self.assert_error(Bs.error_quark(), Bs.Error.MOVED, save.run, None)
        self.assertTrue(tracked.props.moved)
        run_until(lambda: seen == ['moved'])
        other = store.track_path(self.file('kept'), None)
        self.assertIsNot(other, tracked)

        self.assertIs(store.track_path(self.file('renamed'), None), tracked)
        self.assertFalse(tracked.get_moved())
        self.assertTrue(tracked.props.file.equal(self.file('renamed')))
        run_until(lambda: set(seen[1:]) == {'moved', 'file'})
        save.run(None)
        store.close(None)

    def test_busy(self):
        store = Bs.BackingStore.new(self.new_backing())
        tracked = store.track_path(self.file('kept'), None)
        other = Bs.BackingStore.new(self.new_backing('other'))
        self.assert_error(Bs.error_quark(), Bs.Error.BUSY, other.track_path, self.file('kept'), None)
        store.untrack_path(tracked, None)
        self.assertEqual(other.track_path(self.file('kept'), None).get_n_keys(), 0)
        other.close(None)
        store.close(None)


class FaultStoreTest(BackingKind, StoreTestCase):
    def new_backing(self, name='scratch'):
        return Bs.FaultBacking.new(Bs.MemoryBacking.new())

    def test_failure(self):
        backing = self.new_backing()
        store = Bs.BackingStore.new(backing)
        tracked = store.track_path(self.file('kept'), None)
        item = Bs.Pool.new(store, 100).insert(GLib.Bytes.new(b'x'))
        full = GLib.Error.new_literal(Gio.io_error_quark(), 'full', Gio.IOErrorEnum.NO_SPACE)
        backing.fail(Bs.Operation.PERSIST, None, 1, full)
        error = self.assert_error(Gio.io_error_quark(), Gio.IOErrorEnum.NO_SPACE, item.persist, tracked, None)
        for part in 'persist', item.props.key, 'kept', 'full':
            self.assertIn(part, error.message)
        self.assertTrue(item.persist(tracked, None))
        self.assertEqual(backing.get_count(Bs.Operation.PERSIST), 2)
        self.assertIsInstance(backing.get_inner(), Bs.MemoryBacking)
        store.close(None)

    def test_cancelled_before(self):
        backing = self.new_backing()
        store = Bs.BackingStore.new(backing)
        cancellable = Gio.Cancellable()
        cancellable.cancel()
        cancelled = Gio.io_error_quark(), Gio.IOErrorEnum.CANCELLED
        self.assert_error(*cancelled, store.track_path, self.file('kept'), cancellable)
        asked = Call(store.track_path_async, self.file('kept'), DEFAULT, cancellable)
        self.assert_error(*cancelled, asked.result)
        self.assertEqual(backing.get_count(Bs.Operation.SANITIZE_PATH), 0)
        store.close(None)

    def test_cancelled_in_between(self):
        backing = self.new_backing()
        store = Bs.BackingStore.new(backing)
        item = Bs.Pool.new(store, 100).insert(GLib.Bytes.new(b'x'))
        backing.hold(Bs.Operation.WRITE)
        stays = Call(item.write_async, DEFAULT, None)
        cancellable = Gio.Cancellable()
        leaves = Call(item.write_async, DEFAULT, cancellable)
        poll_until(lambda: backing.get_count(Bs.Operation.WRITE) == 1)
        cancellable.cancel()
        self.assertEqual(leaves.arrived, [])
        self.assert_error(Gio.io_error_quark(), Gio.IOErrorEnum.CANCELLED, leaves.result)
        self.assertEqual(stays.arrived, [])
        backing.release(Bs.Operation.WRITE)
        self.assertTrue(stays.result())
        self.assertEqual(backing.get_count(Bs.Operation.WRITE), 1)
        store.close(None)

    def test_background_error(self):
        backing = self.new_backing()
        store = Bs.BackingStore.new(backing)
        seen = []
        store.connect('background-error', lambda *arguments: seen.append((*arguments, threading.get_ident())))
        refused = GLib.Error.new_literal(Gio.io_error_quark(), 'no', Gio.IOErrorEnum.PERMISSION_DENIED)
        backing.fail(Bs.Operation.DELETE_KEY, None, 1, refused)
        item = Bs.Pool.new(store, 100).insert(GLib.Bytes.new(b'x'))
        item.write(None)
        key = item.props.key
        del item
        gc.collect()
        run_until(lambda: seen)
        (source, *arguments, error, thread), = seen
        self.assertIs(source, store)
        self.assertEqual(arguments, [key, Bs.Operation.DELETE_KEY])
        self.assertTrue(error.matches(Gio.io_error_quark(), Gio.IOErrorEnum.PERMISSION_DENIED))
        self.assertEqual(thread, threading.get_ident())
        store.close(None)


class VerifyTest(StoreTestCase):
    N = 20

    def setUp(self):
        super().setUp()
        self.backing = Bs.FaultBacking.new(Bs.MemoryBacking.new())
        self.store = Bs.BackingStore.new(self.backing)
        self.tracked = self.store.track_path(self.file('kept'), None)
        pool = Bs.Pool.new(self.store, 1000)
        for number in range(self.N):
            pool.insert(GLib.Bytes.new(b'%d' % number)).persist(self.tracked, None)
        self.keys = self.tracked.list_keys()

    def tearDown(self):
        self.store.close(None)

    def spoil(self, key, domain=Bs.error_quark(), code=Bs.Error.CORRUPT):
        self.backing.fail(Bs.Operation.VERIFY_PERSISTED, key, 1, GLib.Error.new_literal(domain, 'bad', code))

    def figures(self, verify):
        return verify.props.n_total, verify.props.n_done, verify.props.n_bad, verify.props.fraction

    def test_run(self):
        verify = Bs.Verify.new(self.store, self.tracked)
        self.assertIs(verify.props.store, self.store)
        self.assertIs(verify.props.tracked, self.tracked)
        self.assertEqual(self.figures(verify), (0, 0, 0, 0))
        self.spoil(self.keys[3])
        self.assertTrue(call(verify.run_async))
        self.assertEqual(self.figures(verify), (self.N, self.N, 1, 1))
        self.assertEqual(list(verify.dup_bad_keys()), [self.keys[3]])
        self.assertNotIn(self.keys[3], self.tracked)

        self.assertTrue(verify.run(None))
        self.assertEqual(self.figures(verify), (self.N - 1, self.N - 1, 0, 1))
        self.assertEqual(len(verify.dup_bad_keys()), 0)
        self.assertEqual(self.backing.get_count(Bs.Operation.VERIFY_PERSISTED), 2 * self.N - 1)

    def test_progress(self):
        verify = Bs.Verify(store=self.store, tracked=self.tracked)
        seen = []
        verify.connect('notify::fraction', lambda verify, _pspec: seen.append((verify.props.fraction, threading.get_ident())))
        self.backing.hold(Bs.Operation.VERIFY_PERSISTED)
        run = Call(verify.run_async, GLib.PRIORITY_LOW, None)
        self.backing.release(Bs.Operation.VERIFY_PERSISTED)
        self.assertTrue(run.result())
        run_until(lambda: seen and seen[-1][0] == 1)
        self.assertEqual({thread for _fraction, thread in seen}, {threading.get_ident()})

    def test_failed(self):
        self.spoil(self.keys[0], Gio.io_error_quark(), Gio.IOErrorEnum.PERMISSION_DENIED)
        verify = Bs.Verify.new(self.store, self.tracked)
        error = self.assert_error(Gio.io_error_quark(), Gio.IOErrorEnum.PERMISSION_DENIED, call, verify.run_async)
        for part in f'1 of {self.N} keys', self.keys[0], 'kept':
            self.assertIn(part, error.message)
        self.assertEqual(self.figures(verify), (self.N, self.N, 0, 1))
        self.assertIn(self.keys[0], self.tracked)

    def test_busy_and_cancelled(self):
        verify = Bs.Verify.new(self.store, self.tracked)
        cancellable = Gio.Cancellable()
        self.backing.hold(Bs.Operation.VERIFY_PERSISTED)
        run = Call(verify.run_async, DEFAULT, cancellable)
        poll_until(lambda: self.backing.get_count(Bs.Operation.VERIFY_PERSISTED) > 0)
        self.assert_error(Bs.error_quark(), Bs.Error.BUSY, call, verify.run_async)
        self.assert_error(Bs.error_quark(), Bs.Error.BUSY, verify.run, None)
        cancellable.cancel()
        self.backing.release(Bs.Operation.VERIFY_PERSISTED)
        self.assert_error(Gio.io_error_quark(), Gio.IOErrorEnum.CANCELLED, run.result)
        self.assertLess(verify.props.n_done, self.N)
        self.assertTrue(call(verify.run_async))


class PropertiesTest(StoreTestCase):
    def watch(self, thing, *names):
        """The properties that were notified, and in which threads."""
        seen, threads = [], set()

        def on_notify(_thing, pspec):
            seen.append(pspec.name)
            threads.add(threading.get_ident())

        for name in names:
            thing.connect('notify::' + name, on_notify)
        return seen, threads

    def test_store(self):
        backing = Bs.MemoryBacking.new()
        store = Bs.BackingStore.new(backing)
        self.assertIs(store.props.backing, backing)
        self.assertIsNone(store.props.main_context)
        self.assertEqual(store.props.max_threads, min(max(GLib.get_num_processors() - 1, 2), 4))
        self.assertEqual(store.props.thread_nice, 5)
        self.assertIsInstance(store.props.task_tracker, Bs.TaskTracker)

        seen, threads = self.watch(store, 'max-threads')
        store.props.max_threads = 6
        store.props.max_threads = 6
        self.assertEqual(store.get_max_threads(), 6)
        run_until(lambda: seen)
        self.assertEqual(seen, ['max-threads'])
        self.assertEqual(threads, {threading.get_ident()})
        seen, threads = self.watch(store, 'thread-nice')
        store.props.thread_nice = 7
        run_until(lambda: seen)
        self.assertEqual(store.get_thread_nice(), 7)
        store.close(None)

    def test_thread_nice(self):
        nices = []

        def look(store, cancellable):
            nices.append(os.getpriority(os.PRIO_PROCESS, 0))
            return True

        store = Bs.BackingStore(backing=Bs.MemoryBacking(), thread_nice=9)
        done = []
        store.run_in_thread_async(look, 0, None, lambda store, result: done.append(store.run_in_thread_finish(result)))
        run_until(lambda: done)
        self.assertEqual(nices, [min(os.getpriority(os.PRIO_PROCESS, os.getpid()) + 9, 19)])
        store.close(None)

    def test_constructed(self):
        store = Bs.BackingStore(backing=Bs.MemoryBacking(), max_threads=1)
        self.assertEqual(store.props.max_threads, 1)
        self.assertEqual(store.track_path(self.file('kept'), None).get_n_keys(), 0)
        store.close(None)

    def test_tracked_path(self):
        store = Bs.BackingStore.new(Bs.MemoryBacking.new())
        tracked = store.track_path(self.file('kept'), None)
        self.assertIs(tracked.props.writable, True)
        self.assertIs(tracked.props.moved, False)
        seen, threads = self.watch(tracked, 'n-keys', 'closed', 'writable', 'moved', 'file')
        items = [Bs.Pool.new(store, 100).insert(GLib.Bytes.new(b'x')) for _ in range(5)]
        for persist in [Call(item.persist_async, tracked, DEFAULT, None) for item in items]:
            persist.result()
        run_until(lambda: seen)
        self.assertEqual(set(seen), {'n-keys'})
        seen.clear()
        store.untrack_path(tracked, None)
        run_until(lambda: 'closed' in seen)
        self.assertEqual(threads, {threading.get_ident()})
        store.close(None)

    def test_tracker(self):
        backing = Bs.FaultBacking.new(Bs.MemoryBacking.new())
        store = Bs.BackingStore.new(backing)
        tracker = store.get_task_tracker()
        seen, threads = self.watch(tracker, 'n-tasks', 'closed')
        backing.hold(Bs.Operation.SANITIZE_PATH)
        asked = Call(store.track_path_async, self.file('kept'), DEFAULT, None)
        self.assertEqual(tracker.props.n_tasks, 1)

        finished = Call(store.wait_finished_async, DEFAULT, None)
        self.assertTrue(tracker.props.closed)
        run_until(lambda: 'closed' in seen)
        self.assertEqual(finished.arrived, [])
        backing.release(Bs.Operation.SANITIZE_PATH)
        self.assertTrue(finished.result())
        self.assertEqual(len(asked.arrived), 1)
        tracked = asked.result()
        self.assertEqual(tracker.props.n_tasks, 0)
        del tracked
        self.assertEqual(threads, {threading.get_ident()})

        tracker.reopen()
        self.assertFalse(tracker.get_closed())
        tracker.hold()
        tracker.close()
        waited = Call(tracker.wait_async, None)
        tracker.release()
        self.assertTrue(waited.result())
        self.assertTrue(tracker.wait(None))
        store.close(None)


class ContextTest(StoreTestCase):
    def test_thread_with_a_context_of_its_own(self):
        """A call of a thread is answered in that thread, while the main loop does not even run."""
        store = Bs.BackingStore.new(Bs.MemoryBacking.new())
        answered = []

        def work():
            context = GLib.MainContext.new()
            context.push_thread_default()

            def on_done(source, result):
                tracked = source.track_path_finish(result)
                answered.append((tracked.get_n_keys(), threading.get_ident() == thread.ident))

            store.track_path_async(self.file('kept'), DEFAULT, None, on_done)
            while not answered:
                context.iteration(True)
            context.pop_thread_default()

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        thread.join(SECONDS)
        self.assertEqual(answered, [(0, True)])
        store.close(None)


class TaskTest(StoreTestCase):
    """run_in_thread, with the functions of the override."""

    def setUp(self):
        super().setUp()
        self.store = Bs.BackingStore.new(Bs.MemoryBacking.new())
        self.addCleanup(lambda: self.store.close(None))

    def test_threads(self):
        seen = []

        def work(store, cancellable):
            seen.append((store, cancellable, threading.get_ident()))
            return True

        cancellable = Gio.Cancellable()
        self.assertTrue(self.store.run_in_thread(work, cancellable))
        self.assertEqual(seen, [(self.store, cancellable, threading.get_ident())])
        seen.clear()
        self.assertTrue(call(self.store.run_in_thread_async, work))
        (store, cancellable, thread), = seen
        self.assertIs(store, self.store)
        self.assertIsNone(cancellable)
        self.assertNotEqual(thread, threading.get_ident())

    def test_in_context(self):
        store = Bs.BackingStore.new_in_context(Bs.MemoryBacking.new(), GLib.MainContext.default())
        self.assertIsNotNone(store.props.main_context)
        threads = []
        call(store.run_in_thread_async, lambda *_: threads.append(threading.get_ident()) or True)
        store.run_in_thread(lambda *_: threads.append(threading.get_ident()) or True)
        self.assertEqual(threads, [threading.get_ident()] * 2)
        store.close(None)

    def test_blocking_calls_inside(self):
        found = []

        def work(store, cancellable):
            tracked = store.track_path(self.file('kept'), cancellable)
            item = Bs.Pool.new(store, 0).insert(GLib.Bytes.new(b'x'))
            item.persist(tracked, cancellable)
            store.sync(tracked, cancellable)
            found.append(item.load(cancellable).get_data())
            return True

        self.store.props.max_threads = 1
        for running in [Call(self.store.run_in_thread_async, work, DEFAULT, None) for _ in range(10)]:
            self.assertTrue(running.result())
        self.assertEqual(found, [b'x'] * 10)

    def test_would_block(self):
        def work(store, _cancellable):
            return store.wait_finished(None)

        self.assert_error(Gio.io_error_quark(), Gio.IOErrorEnum.WOULD_BLOCK, self.store.run_in_thread, work)
        self.assert_error(Gio.io_error_quark(), Gio.IOErrorEnum.WOULD_BLOCK,
                          call, self.store.run_in_thread_async, work)
        self.store.get_task_tracker().reopen()

    def test_error(self):
        def full(_store, _cancellable):
            raise GLib.Error.new_literal(Gio.io_error_quark(), 'nothing left', Gio.IOErrorEnum.NO_SPACE)

        def busy(_store, _cancellable):
            raise GLib.Error.new_literal(Bs.error_quark(), 'not now', Bs.Error.BUSY)

        for run in self.store.run_in_thread, lambda work: call(self.store.run_in_thread_async, work):
            error = self.assert_error(Gio.io_error_quark(), Gio.IOErrorEnum.NO_SPACE, run, full)
            self.assertIn('nothing left', error.message)
            self.assert_error(Bs.error_quark(), Bs.Error.BUSY, run, busy)

    def test_plain_exception(self):
        def broken(_store, _cancellable):
            raise ValueError('on purpose')

        def forgetful(_store, _cancellable):
            pass

        for work, text in (broken, 'ValueError: on purpose'), (forgetful, 'return True'):
            for run in self.store.run_in_thread, lambda work: call(self.store.run_in_thread_async, work):
                error = self.assert_error(Bs.error_quark(), Bs.Error.FAILED, run, work)
                self.assertIn(text, error.message)

    def test_cancelled(self):
        ran = []
        cancellable = Gio.Cancellable()

        def work(_store, inner):
            ran.append(inner)
            cancellable.cancel()
            inner.set_error_if_cancelled()
            return True

        running = Call(self.store.run_in_thread_async, work, DEFAULT, cancellable)
        self.assert_error(Gio.io_error_quark(), Gio.IOErrorEnum.CANCELLED, running.result)
        late = Call(self.store.run_in_thread_async, work, DEFAULT, cancellable)
        self.assert_error(Gio.io_error_quark(), Gio.IOErrorEnum.CANCELLED, late.result)
        self.assertEqual(len(ran), 1)

    def test_function_is_freed(self):
        """Also one that never ran, and in this thread."""
        freed = []
        cancellable = Gio.Cancellable()
        cancellable.cancel()
        for arguments in (None,), (cancellable,):
            def work(_store, _cancellable):
                return True

            weakref.finalize(work, lambda: freed.append(threading.get_ident()))
            try:
                Call(self.store.run_in_thread_async, work, DEFAULT, *arguments).result()
            except GLib.Error:
                pass
            del work
            gc.collect()
        self.assertEqual(freed, [threading.get_ident()] * 2)


if __name__ == '__main__':
    unittest.main()
