# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 The backingstore authors
"""Backings written in Python, in worker threads and in a main context."""

import gc
import tempfile
import threading
import unittest

import gi

gi.require_version('Bs', '1')
from gi.repository import Bs, Gio, GLib, GObject

from mainloop import Call, call, poll_until, run_until

DEFAULT = GLib.PRIORITY_DEFAULT
KEPT = Gio.File.new_for_uri('test:///kept')


def not_found(key):
    return GLib.Error.new_literal(Bs.error_quark(), f'nothing is called {key}', Bs.Error.NOT_FOUND)


class DictBacking(GObject.Object, Bs.Backing):
    """Only what every backing must have."""

    def __init__(self):
        super().__init__()
        self.primary = {}
        self.paths = {}
        self.threads = set()
        self.failure = None

    def arrive(self, name):
        self.threads.add(threading.get_ident())
        if self.failure and self.failure[0] == name:
            _name, failure = self.failure
            self.failure = None
            raise failure

    def do_write(self, key, content, _cancellable):
        self.arrive('write')
        self.primary[key] = content.get_data()
        return True

    def do_read(self, key, _cancellable):
        self.arrive('read')
        if key not in self.primary:
            raise not_found(key)
        return GLib.Bytes.new(self.primary[key])

    def do_delete_key(self, key, _cancellable):
        self.arrive('delete_key')
        self.primary.pop(key, None)
        return True

    def do_register_key(self, path, key, _cancellable):
        self.arrive('register_key')
        if key not in self.paths[path.get_uri()]:
            raise not_found(key)
        self.primary[key] = self.paths[path.get_uri()][key]
        return True

    def do_persist(self, path, key, _cancellable):
        self.arrive('persist')
        self.paths[path.get_uri()][key] = self.primary[key]
        return True

    def do_delete_persisted(self, path, key, _cancellable):
        self.arrive('delete_persisted')
        self.paths[path.get_uri()].pop(key, None)
        return True

    def do_sanitize_path(self, path, found, _cancellable):
        self.arrive('sanitize_path')
        for key in self.paths.setdefault(path.get_uri(), {}):
            found.add(key)
        return True

    def do_sync_persisted(self, _path, _cancellable):
        self.arrive('sync_persisted')
        return True


class WholeBacking(DictBacking, Bs.Backing):
    """And all that it may have.

    It names Bs.Backing again: PyGObject would put its functions into DictBacking.
    """

    def __init__(self):
        super().__init__()
        self.roots = {}
        self.calls = []

    def do_register_keys(self, path, keys, cancellable):
        self.calls.append('register_keys')
        for key in keys:
            self.do_register_key(path, key, cancellable)
        return True

    def do_delete_persisted_keys(self, path, keys, cancellable):
        self.calls.append('delete_persisted_keys')
        for key in keys:
            self.do_delete_persisted(path, key, cancellable)
        return True

    def do_persist_bytes(self, path, key, content, cancellable):
        self.calls.append('persist_bytes')
        self.do_write(key, content, cancellable)
        return self.do_persist(path, key, cancellable)

    def do_persist_keys(self, path, keys, contents, cancellable):
        self.calls.append('persist_keys')
        for key in keys:
            if key in contents:
                self.do_write(key, contents[key], cancellable)
            self.do_persist(path, key, cancellable)
        return True

    def do_write_root(self, path, content, named, _cancellable):
        self.calls.append('write_root')
        self.named = named and sorted(named)
        self.roots[path.get_uri()] = content.get_data()
        return True

    def do_read_root(self, path, _cancellable):
        self.calls.append('read_root')
        if path.get_uri() not in self.roots:
            raise not_found('the root')
        return GLib.Bytes.new(self.roots[path.get_uri()])

    def do_verify_persisted(self, path, key, _cancellable):
        self.calls.append('verify_persisted')
        if key not in self.paths[path.get_uri()]:
            raise not_found(key)
        if not self.paths[path.get_uri()][key]:
            del self.paths[path.get_uri()][key]
            raise GLib.Error.new_literal(Bs.error_quark(), 'empty', Bs.Error.CORRUPT)
        return True

    def do_release_path(self, _path, _cancellable):
        self.calls.append('release_path')
        return True

    def do_close(self, _cancellable):
        self.calls.append('close')
        return True


class Forgetful(DictBacking, Bs.Backing):
    def __init__(self):
        super().__init__()
        self.forgets = True

    def do_persist(self, path, key, cancellable):
        result = super().do_persist(path, key, cancellable)
        if not self.forgets:
            return result

    def do_read(self, key, cancellable):
        result = super().do_read(key, cancellable)
        if not self.forgets:
            return result


class Inward(DictBacking, Bs.Backing):
    def __init__(self):
        super().__init__()
        self.store = None
        self.codes = []

    def do_sync_persisted(self, path, cancellable):
        try:
            self.store.track_path(path, None)
        except GLib.Error as error:
            self.codes.append(error.code)
        return True


class Patient(DictBacking, Bs.Backing):
    def __init__(self):
        super().__init__()
        self.started = threading.Event()

    def do_write(self, key, content, cancellable):
        left = threading.Event()
        handler = cancellable.connect(lambda *_: left.set())
        self.started.set()
        in_time = left.wait(60)
        cancellable.disconnect(handler)
        if in_time:
            cancellable.set_error_if_cancelled()
        return True


class Slow(DictBacking, Bs.Backing):
    def __init__(self):
        super().__init__()
        self.gate = threading.Event()

    def do_write(self, key, content, cancellable):
        self.gate.wait(60)
        return super().do_write(key, content, cancellable)


class StoreInPython:
    def new_store(self, backing):
        raise NotImplementedError

    def assert_error(self, domain, code, function, *arguments):
        with self.assertRaises(GLib.Error) as raised:
            function(*arguments)
        error = raised.exception
        self.assertTrue(error.matches(domain, code), f'{error.domain} {error.code}: {error.message}')
        return error

    def assert_threads(self, backing):
        raise NotImplementedError

    def test_main_job(self):
        for backing in DictBacking(), WholeBacking():
            with self.subTest(type(backing).__name__):
                store = self.new_store(backing)
                self.assertIs(store.props.backing, backing)
                tracked = call(store.track_path_async, KEPT)
                pool = Bs.Pool.new(store, 200)
                contents = [b'%d' % number * 20 for number in range(50)]
                items = [pool.insert(GLib.Bytes.new(content)) for content in contents]
                persists = [Call(item.persist_async, tracked, DEFAULT, None) for item in items]
                self.assertTrue(call(store.sync_async, tracked))
                self.assertTrue(all(persist.result() for persist in persists))
                self.assertEqual(set(tracked), set(backing.paths[KEPT.get_uri()]))
                self.assertTrue(call(pool.trim_async, 0))
                loads = [Call(item.load_async, DEFAULT, None) for item in items]
                self.assertEqual([load.result().get_data() for load in loads], contents)
                self.assert_threads(backing)
                del loads, persists, items
                gc.collect()
                call(store.wait_finished_async)
                self.assertEqual(backing.primary, {})

                call(store.untrack_path_async, tracked)
                tracked = call(store.track_path_async, KEPT)
                self.assertEqual(len(tracked), 50)
                found = call(pool.register_all_async, tracked)
                self.assertEqual({item.load().get_data() for item in found}, set(contents))
                some = Bs.KeySet.new()
                for key in list(tracked)[:20]:
                    some.add(key)
                call(store.delete_persisted_keys_async, tracked, some)
                self.assertEqual(len(backing.paths[KEPT.get_uri()]), 30)
                call(store.close_async)

    def test_blocking(self):
        backing = DictBacking()
        store = self.new_store(backing)
        tracked = store.track_path(KEPT)
        pool = Bs.Pool.new(store, 100)
        item = pool.insert(GLib.Bytes.new(b'content'))
        self.assertTrue(item.persist(tracked))
        self.assertTrue(pool.trim(0))
        self.assertEqual(item.load().get_data(), b'content')
        self.assertTrue(store.sync(tracked))
        self.assertTrue(store.delete_persisted(tracked, item.props.key))
        self.assertTrue(store.close())
        self.assertEqual(backing.threads, {threading.get_ident()})

    def test_optional(self):
        backing = WholeBacking()
        store = self.new_store(backing)
        tracked = call(store.track_path_async, KEPT)
        self.assert_error(Bs.error_quark(), Bs.Error.NOT_FOUND, call, store.load_root_async, tracked)
        backing.write_root(KEPT, GLib.Bytes.new(b'root'), None, None)
        self.assertEqual(call(store.load_root_async, tracked).get_data(), b'root')
        pool = Bs.Pool.new(store, 100)
        for content in b'', b'x':
            call(pool.insert(GLib.Bytes.new(content)).persist_async, tracked)
        self.assertEqual(backing.calls.count('persist_bytes'), 2)
        outcomes = []
        for key in tracked:
            try:
                outcomes.append(backing.verify_persisted(KEPT, key, None))
            except GLib.Error as error:
                outcomes.append(error.matches(Bs.error_quark(), Bs.Error.CORRUPT))
        self.assertEqual(outcomes, [True, True])
        self.assertEqual(len(backing.paths[KEPT.get_uri()]), 1)
        verify = Bs.Verify.new(store, tracked)
        self.assertTrue(call(verify.run_async))
        self.assertEqual((verify.props.n_done, verify.props.n_bad, len(tracked)), (2, 1, 1))
        self.assertIsNone(backing.named)
        save = Bs.Save.new(store, tracked)
        save.set_root(GLib.Bytes.new(b'saved'))
        items = [pool.insert(GLib.Bytes.new(content)) for content in (b'a', b'b')]
        for item in items:
            save.add_item(item)
        self.assertTrue(call(save.run_async))
        self.assertEqual(backing.named, sorted(item.props.key for item in items))
        call(store.close_async)
        self.assertEqual(backing.calls[-2:], ['release_path', 'close'])

    def test_persist_keys(self):
        backing = WholeBacking()
        store = self.new_store(backing)
        tracked = call(store.track_path_async, KEPT)
        pool = Bs.Pool.new(store, 1 << 20)
        save = Bs.Save.new(store, tracked)
        save.props.max_parallel = 1
        contents = {}
        for i in range(12):
            item = pool.insert(GLib.Bytes.new(b'%d' % i))
            contents[item.props.key] = b'%d' % i
            if i % 3 == 0:
                call(item.write_async)
            save.add_item(item)
        self.assertTrue(call(save.run_async))
        self.assertEqual(backing.calls.count('persist_keys'), 1)
        self.assertEqual(backing.calls.count('persist_bytes'), 0)
        self.assertEqual(backing.paths[KEPT.get_uri()], contents)

        keys = Bs.KeySet()
        key, other = Bs.key_generate(), Bs.key_generate()
        keys.add(key)
        keys.add(other)
        backing.write(other, GLib.Bytes.new(b'other'), None)
        self.assertTrue(backing.persist_keys(KEPT, keys, {key.upper(): GLib.Bytes.new(b'new')}, None))
        self.assertEqual(backing.read(key, None).get_data(), b'new')
        self.assertEqual(backing.paths[KEPT.get_uri()][other], b'other')
        self.assert_error(Bs.error_quark(), Bs.Error.INVALID_KEY, backing.persist_keys, KEPT, keys,
                          {'x': GLib.Bytes.new(b'')}, None)
        call(store.close_async)

    def test_not_supported(self):
        backing = DictBacking()
        store = self.new_store(backing)
        tracked = call(store.track_path_async, KEPT)
        error = self.assert_error(Bs.error_quark(), Bs.Error.NOT_SUPPORTED, call, store.load_root_async, tracked)
        self.assertIn('DictBacking', error.message)
        call(store.close_async)

    def test_raised_error(self):
        """Domain and code come through, and the message says what was going on."""
        backing = DictBacking()
        store = self.new_store(backing)
        pool = Bs.Pool.new(store, 100)
        tracked = call(store.track_path_async, KEPT)
        for domain, code in (
            (Gio.io_error_quark(), Gio.IOErrorEnum.NO_SPACE),
            (Bs.error_quark(), Bs.Error.CORRUPT),
        ):
            failure = GLib.Error.new_literal(domain, 'on purpose', code)
            backing.failure = 'sync_persisted', failure
            error = self.assert_error(domain, code, store.sync, tracked)
            self.assertIn('on purpose', error.message)
            self.assertIn(KEPT.get_uri(), error.message)

            item = pool.insert(GLib.Bytes.new(b'content'))
            backing.failure = 'persist', failure
            error = self.assert_error(domain, code, call, item.persist_async, tracked)
            for part in 'persist', item.props.key, KEPT.get_uri(), 'on purpose':
                self.assertIn(part, error.message)
            self.assertTrue(call(item.persist_async, tracked))

            call(pool.trim_async, 0)
            backing.failure = 'read', failure
            error = self.assert_error(domain, code, call, item.load_async)
            self.assertIn(item.props.key, error.message)
            self.assertEqual(call(item.load_async).get_data(), b'content')
        call(store.close_async)

    def test_plain_exception(self):
        """One that C cannot carry becomes FAILED, with its text."""
        backing = DictBacking()
        store = self.new_store(backing)
        pool = Bs.Pool.new(store, 100)
        tracked = call(store.track_path_async, KEPT)
        item = pool.insert(GLib.Bytes.new(b'content'))

        for function, arguments, name in (
            (item.persist_async, [tracked], 'persist'),
            (store.sync_async, [tracked], 'sync_persisted'),
            (item.load_async, [], 'read'),
        ):
            with self.subTest(name):
                if name == 'read':
                    call(pool.trim_async, 0)
                backing.failure = name, ValueError('on purpose')
                error = self.assert_error(Bs.error_quark(), Bs.Error.FAILED, call, function, *arguments)
                for part in f'DictBacking.{name}', 'ValueError: on purpose':
                    self.assertIn(part, error.message)
                call(function, *arguments)
        call(store.close_async)

    def test_forgotten_result(self):
        backing = Forgetful()
        store = self.new_store(backing)
        pool = Bs.Pool.new(store, 100)
        tracked = call(store.track_path_async, KEPT)
        item = pool.insert(GLib.Bytes.new(b'content'))
        error = self.assert_error(Bs.error_quark(), Bs.Error.FAILED, call, item.persist_async, tracked)
        self.assertIn('Forgetful.persist', error.message)
        self.assertIn('return True', error.message)
        call(pool.trim_async, 0)
        error = self.assert_error(Bs.error_quark(), Bs.Error.FAILED, item.load)
        self.assertIn('Forgetful.read', error.message)
        backing.forgets = False
        self.assertEqual(call(item.load_async).get_data(), b'content')
        self.assertTrue(call(item.persist_async, tracked))
        call(store.close_async)

    def test_background_error(self):
        backing = DictBacking()
        store = self.new_store(backing)
        seen = []
        store.connect('background-error', lambda *arguments: seen.append((*arguments, threading.get_ident())))
        item = Bs.Pool.new(store, 100).insert(GLib.Bytes.new(b'content'))
        call(item.write_async)
        backing.failure = 'delete_key', KeyError('on purpose')
        key = item.props.key
        del item
        gc.collect()
        run_until(lambda: seen)
        (_store, *arguments, error, thread), = seen
        self.assertEqual(arguments, [key, Bs.Operation.DELETE_KEY])
        self.assertTrue(error.matches(Bs.error_quark(), Bs.Error.FAILED))
        self.assertEqual(thread, threading.get_ident())
        call(store.close_async)

    def test_call_from_inside(self):
        """A virtual function that waits for its own store is told so."""
        backing = Inward()
        backing.store = store = self.new_store(backing)
        tracked = call(store.track_path_async, KEPT)
        call(store.sync_async, tracked)
        store.sync(tracked)
        self.assertEqual(backing.codes, [Gio.IOErrorEnum.WOULD_BLOCK] * 2)
        backing.store = None
        call(store.close_async)


class InThreadsTest(StoreInPython, unittest.TestCase):
    def new_store(self, backing):
        return Bs.BackingStore.new(backing)

    def assert_threads(self, backing):
        self.assertNotIn(threading.get_ident(), backing.threads)

    def test_cancelled_while_running(self):
        """The last caller to leave fires the backing's cancellable."""
        backing = Patient()
        store = self.new_store(backing)
        item = Bs.Pool.new(store, 100).insert(GLib.Bytes.new(b'content'))
        cancellables = [Gio.Cancellable(), Gio.Cancellable()]
        first, second = [Call(item.write_async, DEFAULT, cancellable) for cancellable in cancellables]
        poll_until(backing.started.is_set)
        cancelled = Gio.io_error_quark(), Gio.IOErrorEnum.CANCELLED
        cancellables[0].cancel()
        self.assert_error(*cancelled, first.result)
        self.assertEqual(second.arrived, [])
        cancellables[1].cancel()
        self.assert_error(*cancelled, second.result)
        self.assertEqual(item.load().get_data(), b'content')
        store.close(None)

    def test_main_loop_stays_free(self):
        backing = Slow()
        store = self.new_store(backing)
        item = Bs.Pool.new(store, 100).insert(GLib.Bytes.new(b'content'))
        write = Call(item.write_async, DEFAULT, None)
        turns = []
        GLib.idle_add(lambda: turns.append(True) or len(turns) < 100)
        run_until(lambda: len(turns) == 100)
        self.assertEqual(write.arrived, [])
        backing.gate.set()
        self.assertTrue(write.result())
        store.close(None)


class InMainContextTest(StoreInPython, unittest.TestCase):
    def new_store(self, backing):
        return Bs.BackingStore.new_in_context(backing, GLib.MainContext.default())

    def assert_threads(self, backing):
        self.assertEqual(backing.threads, {threading.get_ident()})

    def test_blocking_call_elsewhere(self):
        """A blocking call waits for the context, where the backing runs."""
        backing = DictBacking()
        store = self.new_store(backing)
        loaded = []

        def work():
            pool = Bs.Pool.new(store, 0)
            item = pool.insert(GLib.Bytes.new(b'content'))
            item.write()
            pool.trim(0)
            loaded.append(item.load().get_data())

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        poll_until(lambda: not thread.is_alive())
        self.assertEqual(loaded, [b'content'])
        self.assert_threads(backing)
        call(store.close_async)


class FileBackingTest(unittest.TestCase):
    """A directory that is only read, and one that needs repair."""

    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)
        self.path = Gio.File.new_for_path(f'{self.directory.name}/document')
        self.key = Bs.key_generate()
        backing = Bs.FileBacking.new_temporary()
        self.assertTrue(backing.persist_bytes(self.path, self.key, GLib.Bytes.new(b'content'), None))
        self.assertTrue(backing.sync_persisted(self.path, None))
        self.assertTrue(backing.close(None))

    def test_read_only(self):
        backing = Bs.FileBacking.new_temporary()
        self.assertFalse(backing.props.read_only)
        backing.props.read_only = True
        self.assertTrue(backing.get_read_only())
        with Bs.BackingStore.new(backing) as store:
            tracked = store.track_path(self.path)
            self.assertFalse(tracked.props.writable)
            with self.assertRaises(GLib.Error) as caught:
                store.delete_persisted(tracked, self.key)
            self.assertTrue(caught.exception.matches(Gio.io_error_quark(), Gio.IOErrorEnum.READ_ONLY))
            self.assertEqual(list(tracked), [self.key])

    def test_repair(self):
        with open(f'{self.path.get_path()}/.backingstore', 'w', encoding='ascii') as marker:
            marker.write('garbage')
        backing = Bs.FileBacking.new_temporary()
        restored = Bs.KeySet()
        with self.assertRaises(GLib.Error) as caught:
            backing.repair_path(self.path, Bs.RepairFlags.RESTORE, restored, None)
        self.assertTrue(caught.exception.matches(Bs.error_quark(), Bs.Error.FOREIGN))
        flags = Bs.RepairFlags.ADOPT | Bs.RepairFlags.DRY_RUN
        for _time in range(2):
            self.assertEqual(backing.repair_path(self.path, flags, restored, None), (True, True))
        flags = Bs.RepairFlags.ADOPT | Bs.RepairFlags.RESTORE
        self.assertEqual(backing.repair_path(self.path, flags, restored, None), (True, True))
        self.assertEqual(backing.repair_path(self.path, flags, restored, None), (True, False))
        self.assertEqual(restored.get_n_keys(), 0)
        self.assertTrue(backing.close(None))


class WrapperTest(unittest.TestCase):
    """The functions of the interface, called directly."""

    def test_invalid_key(self):
        backing = DictBacking()
        for function, arguments in (
            (backing.read, ['x', None]),
            (backing.write, ['x', GLib.Bytes.new(b''), None]),
            (backing.persist, [KEPT, 'x', None]),
        ):
            with self.assertRaises(GLib.Error) as raised:
                function(*arguments)
            self.assertTrue(raised.exception.matches(Bs.error_quark(), Bs.Error.INVALID_KEY))
        self.assertEqual(backing.threads, set())

    def test_key_arrives_canonical(self):
        backing = DictBacking()
        key = Bs.key_generate()
        self.assertTrue(backing.write(key.replace('-', '').upper(), GLib.Bytes.new(b'x'), None))
        self.assertEqual(list(backing.primary), [key])

    def test_derived(self):
        class Counting(DictBacking, Bs.Backing):
            n_writes = 0

            def do_write(self, key, content, cancellable):
                self.n_writes += 1
                return super().do_write(key, content, cancellable)

        key = Bs.key_generate()
        for backing in Counting(), DictBacking():
            self.assertTrue(backing.write(key, GLib.Bytes.new(b'x'), None))
            self.assertEqual(backing.read(key, None).get_data(), b'x')
            self.assertEqual(getattr(backing, 'n_writes', 1), 1)

    def test_without_properties(self):
        """Made as a script makes any object, without a constructor's arguments."""
        path = Gio.File.new_for_uri('test:///path')
        key = Bs.key_generate()

        nowhere = Bs.FileBacking()
        self.assertIsNone(nowhere.get_directory().get_path())
        for use in (lambda: nowhere.write(key, GLib.Bytes.new(b'x'), None),
                    lambda: nowhere.persist(path, key, None),
                    lambda: nowhere.sanitize_path(path, Bs.KeySet(), None)):
            with self.assertRaises(GLib.Error) as caught:
                use()
            self.assertTrue(caught.exception.matches(Bs.error_quark(), Bs.Error.NOT_SUPPORTED))
        self.assertEqual(nowhere.get_stats().copied, 0)
        self.assertTrue(nowhere.close(None))

        for backing in Bs.MemoryBacking(), Bs.FaultBacking():
            found = Bs.KeySet()
            self.assertEqual(found.get_n_keys(), 0)
            self.assertTrue(backing.write(key, GLib.Bytes.new(b'x'), None))
            self.assertTrue(backing.persist(path, key, None))
            self.assertTrue(backing.sanitize_path(path, found, None))
            self.assertEqual(found.list_keys(), [key])
            self.assertTrue(backing.close(None))
        self.assertIsInstance(Bs.FaultBacking().get_inner(), Bs.MemoryBacking)

    def test_wrapped_by_fault_backing(self):
        inner = DictBacking()
        backing = Bs.FaultBacking.new(inner)
        self.assertIs(backing.props.inner, inner)
        inner.failure = 'write', RuntimeError('on purpose')
        with self.assertRaises(GLib.Error) as raised:
            backing.write(Bs.key_generate(), GLib.Bytes.new(b'x'), None)
        self.assertTrue(raised.exception.matches(Bs.error_quark(), Bs.Error.FAILED))
        self.assertIn('DictBacking.write', raised.exception.message)


if __name__ == '__main__':
    unittest.main()
