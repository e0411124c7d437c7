# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 The backingstore authors
"""Saves."""

import os
import shutil
import sqlite3
import tempfile
import threading
import unittest

import gi

gi.require_version('Bs', '1')
from gi.repository import Bs, Gio, GLib, GObject

from mainloop import Call, call, run_until

DEFAULT = GLib.PRIORITY_DEFAULT


def content(number):
    return b'content of %d' % number


class SaveTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name
        self.path = Gio.File.new_for_path(os.path.join(directory.name, 'document'))
        self.open()

    def open(self):
        scratch = Gio.File.new_for_path(os.path.join(self.directory, 'scratch'))
        self.backing = Bs.FaultBacking.new(Bs.FileBacking.new(scratch))
        self.store = Bs.BackingStore.new(self.backing)
        self.addCleanup(self.store.close)
        self.addCleanup(self.backing.clear)
        self.pool = Bs.Pool.new(self.store, 1 << 20)
        self.tracked = self.store.track_path(self.path)

    def reopen(self):
        self.store.close()
        self.open()

    def insert(self, *numbers):
        return [self.pool.insert(GLib.Bytes.new(content(number))) for number in numbers]

    def save(self, *items, root=None, keep=()):
        save = Bs.Save.new(self.store, self.tracked)
        for item in items:
            save.add_item(item)
        for key in keep:
            save.keep_key(key)
        if root is not None:
            save.set_root(GLib.Bytes.new(root))
        return save

    def root(self):
        return self.store.load_root(self.tracked).get_data()

    def contents(self):
        return sorted(item.load().get_data() for item in self.pool.register_all(self.tracked))

    def fail(self, operation, nth=0, code=Gio.IOErrorEnum.NO_SPACE):
        self.backing.fail(operation, None, nth, GLib.Error.new_literal(Gio.io_error_quark(), 'on purpose', code))

    def assert_error(self, domain, code, function, *arguments):
        with self.assertRaises(GLib.Error) as raised:
            function(*arguments)
        error = raised.exception
        self.assertTrue(error.matches(domain, code), f'{error.domain} {error.code}: {error.message}')
        return error

    def test_document(self):
        one, two, three = self.insert(1, 2, 3)
        self.assertTrue(self.save(one, two, root=b'old').run())
        self.reopen()
        self.assertEqual(self.root(), b'old')
        self.assertEqual(self.contents(), [content(1), content(2)])

        keys = {item.load().get_data(): item.dup_key() for item in self.pool.register_all(self.tracked)}
        three, = self.insert(3)
        save = self.save(three, root=b'new', keep=[keys[content(2)].upper()])
        self.assertTrue(call(save.run_async))
        self.reopen()
        self.assertEqual(self.root(), b'new')
        self.assertEqual(self.contents(), [content(2), content(3)])

    def test_progress_bar(self):
        class Bar(GObject.Object):
            fraction = GObject.Property(type=float)

        save = self.save(*self.insert(*range(50)), root=b'root')
        bar = Bar()
        save.bind_property('fraction', bar, 'fraction', GObject.BindingFlags.SYNC_CREATE)
        threads = set()
        save.connect('notify', lambda *_: threads.add(threading.get_ident()))
        self.assertEqual((save.props.n_total, save.props.n_done, bar.fraction), (0, 0, 0))
        save.props.max_parallel = 2
        self.assertTrue(call(save.run_async))
        self.assertEqual((save.props.n_total, save.props.n_done, save.props.fraction), (50, 50, 1))
        run_until(lambda: bar.fraction == 1)
        self.assertEqual(threads, {threading.get_ident()})

    def test_bad_input(self):
        self.save(*self.insert(1), root=b'old').run()
        other = Bs.BackingStore.new(Bs.MemoryBacking.new())
        self.addCleanup(other.close)
        stranger = Bs.Pool.new(other, 100).insert(GLib.Bytes.new(b'x'))
        invalid = Gio.io_error_quark(), Gio.IOErrorEnum.INVALID_ARGUMENT
        for domain, code, save in [
            (*invalid, self.save()),
            (*invalid, self.save(stranger)),
            (*invalid, Bs.Save.new(other, self.tracked)),
            (Bs.error_quark(), Bs.Error.INVALID_KEY, self.save(keep=['x'])),
            (Bs.error_quark(), Bs.Error.NOT_FOUND, self.save(keep=[Bs.key_generate()])),
        ]:
            self.assertIn(self.path.get_path(), self.assert_error(domain, code, save.run).message)
            self.assert_error(domain, code, call, save.run_async)
        for value in 3, 'x':
            with self.assertRaises(TypeError):
                self.save().set_commit_func(value)
            with self.assertRaises(TypeError):
                self.save().add_item(value)
        self.assertEqual((self.root(), self.contents()), (b'old', [content(1)]))

    def test_commit_func(self):
        database = sqlite3.connect(':memory:', check_same_thread=False)
        database.execute('create table keys (key)')
        items = self.insert(1, 2)
        seen = []

        def commit(save, cancellable):
            seen.append((save, cancellable, threading.get_ident()))
            self.assertEqual(len(self.tracked), 2)
            with database:
                database.execute('delete from keys')
                database.executemany('insert into keys values (?)', [(item.dup_key(),) for item in items])
            return True

        save = self.save(*items)
        save.set_commit_func(commit)
        self.assertTrue(save.run())
        self.assertEqual(seen, [(save, None, threading.get_ident())])
        cancellable = Gio.Cancellable()
        self.assertTrue(call(save.run_async, cancellable=cancellable))
        self.assertIs(seen[1][0], save)
        self.assertIs(seen[1][1], cancellable)
        self.assertNotEqual(seen[1][2], threading.get_ident())
        keys = {key for key, in database.execute('select key from keys')}
        self.assertEqual(keys, set(self.tracked))

    def test_commit_func_fails(self):
        def raises(save, cancellable):
            raise GLib.Error.new_literal(Gio.io_error_quark(), 'on purpose', Gio.IOErrorEnum.READ_ONLY)

        def forgets(save, cancellable):
            pass

        self.save(*self.insert(1), root=b'old').run()
        for function, domain, code in [
            (raises, Gio.io_error_quark(), Gio.IOErrorEnum.READ_ONLY),
            (forgets, Bs.error_quark(), Bs.Error.FAILED),
        ]:
            save = self.save(*self.insert(2))
            save.set_commit_func(function)
            self.assert_error(domain, code, save.run)
            error = self.assert_error(domain, code, call, save.run_async)
            self.assertIn('on purpose' if function is raises else 'return True', error.message)
            self.assertIn(content(1), self.contents())
            save.set_commit_func(None)
            self.save(*self.insert(1), root=b'old').run()
        self.assertEqual(self.contents(), [content(1)])

    def test_commit_func_calls_back(self):
        def commit(save, cancellable):
            other = self.save(*self.insert(3))
            for function in other.run, save.run:
                self.assert_error(Bs.error_quark(), Bs.Error.BUSY, function)
            self.assert_error(Bs.error_quark(), Bs.Error.BUSY, self.store.delete_persisted, self.tracked, key)
            self.assert_error(Gio.io_error_quark(), Gio.IOErrorEnum.WOULD_BLOCK, self.store.untrack_path, self.tracked)
            self.store.sync(self.tracked)
            done.append(True)
            return True

        done = []
        item, = self.insert(1)
        key = item.dup_key()
        save = self.save(item)
        save.set_commit_func(commit)
        self.assertTrue(save.run())
        self.assertTrue(call(save.run_async))
        self.assertEqual(done, [True, True])

    def test_disk_full_then_not(self):
        self.save(*self.insert(1, 2), root=b'old').run()
        save = self.save(*self.insert(3, 4, 5), root=b'new')
        for operation in Bs.Operation.PERSIST_BYTES, Bs.Operation.WRITE, Bs.Operation.PERSIST, Bs.Operation.SYNC_PERSISTED, Bs.Operation.WRITE_ROOT:
            self.fail(operation)
            self.assert_error(Gio.io_error_quark(), Gio.IOErrorEnum.NO_SPACE, call, save.run_async)
            self.backing.clear()
            self.assertEqual(self.root(), b'old')
            self.assertLessEqual({content(1), content(2)}, set(self.contents()))
        self.assertTrue(call(save.run_async))
        self.reopen()
        self.assertEqual((self.root(), self.contents()), (b'new', [content(3), content(4), content(5)]))

    def test_cancel(self):
        self.save(*self.insert(1), root=b'old').run()
        save = self.save(*self.insert(2), root=b'new')
        for operation in Bs.Operation.PERSIST_BYTES, Bs.Operation.WRITE, Bs.Operation.PERSIST, Bs.Operation.SYNC_PERSISTED, Bs.Operation.WRITE_ROOT:
            cancellable = Gio.Cancellable()
            before = self.backing.get_count(operation)
            self.backing.hold(operation)
            waiting = Call(save.run_async, DEFAULT, cancellable)
            self.assertEqual(waiting.arrived, [])
            while self.backing.get_count(operation) == before:
                GLib.MainContext.default().iteration(False)
            cancellable.cancel()
            self.backing.release(operation)
            try:
                self.assertTrue(waiting.result())
                self.assertEqual(self.root(), b'new')
            except GLib.Error as error:
                self.assertTrue(error.matches(Gio.io_error_quark(), Gio.IOErrorEnum.CANCELLED), error.message)
                self.assertEqual(self.root(), b'old')
                self.assertIn(content(1), self.contents())

    def test_deleted_behind_our_back(self):
        self.save(*self.insert(1), root=b'old').run()
        shutil.rmtree(self.path.get_path())
        save = self.save(*self.insert(2), root=b'new')
        for _ in range(2):
            with self.assertRaises(GLib.Error) as raised:
                call(save.run_async)
            self.assertIn(self.path.get_path(), raised.exception.message)
        with self.assertRaises(GLib.Error):
            save.run()

    def test_sizes_of_roots(self):
        for size in 0, 1, 100 << 20, 0:
            self.assertTrue(call(self.save(root=bytes(size)).run_async))
            self.assertEqual(self.store.load_root(self.tracked).get_size(), size)

    def test_saves_one_after_the_other(self):
        saves = [self.save(*self.insert(number), root=b'%d' % number) for number in range(20)]
        calls = [Call(save.run_async, DEFAULT, None) for save in saves]
        self.assertTrue(all([waiting.result() for waiting in calls]))
        self.assertEqual((self.root(), self.contents()), (b'19', [content(19)]))


if __name__ == '__main__':
    unittest.main()
