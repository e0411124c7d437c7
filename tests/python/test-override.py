# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 The backingstore authors
"""The additions of the PyGObject override."""

import inspect
import pathlib
import tempfile
import unittest
import unittest.mock

import gi

gi.require_version('Bs', '1')
from gi.repository import Bs, Gio, GLib, GObject

from mainloop import call, run_until


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

    def test_names_what_raised(self):
        def export(_store, _cancellable):
            raise ValueError('no room')

        with unittest.mock.patch('sys.excepthook') as shown, self.assertRaises(GLib.Error) as raised:
            self.store.run_in_thread(export)
        self.assertIn('export raised ValueError: no room', raised.exception.message)
        shown.assert_called_once()

    def test_too_many_arguments(self):
        for function, n_arguments in (self.store.run_in_thread, 3), (self.store.sync, 3), (self.store.run_in_thread, 0):
            with self.subTest(function.__name__, n_arguments=n_arguments), self.assertRaises(TypeError):
                function(*[None] * n_arguments)


class ArgumentTest(unittest.TestCase):
    """Python's own types where the library has others."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name
        self.store = Bs.BackingStore.new(Bs.FileBacking.new(f'{self.directory}/scratch'))
        self.addCleanup(self.store.close)
        self.pool = Bs.Pool.new(self.store, 1000)

    def test_bytes(self):
        for content in b'content', bytearray(b'content'), memoryview(b'content'), GLib.Bytes.new(b'content'):
            with self.subTest(type(content).__name__):
                item = self.pool.insert(content)
                self.assertEqual(item.load().get_data(), b'content')
                item.replace(bytes=b'other')
                self.assertEqual(item.load().get_data(), b'other')
        self.assertEqual(self.pool.insert(b'').load().get_size(), 0)
        for wrong in 'content', 5, None, [1, 2]:
            with self.subTest(wrong=wrong), self.assertRaises(TypeError):
                self.pool.insert(wrong)

    def test_files(self):
        path = f'{self.directory}/kept'
        for file in path, pathlib.Path(path), Gio.File.new_for_path(path):
            with self.subTest(type(file).__name__):
                tracked = self.store.track_path(file)
                self.assertEqual(tracked.props.file.get_path(), path)
                self.assertEqual(call(self.store.track_path_async, file), tracked)
        for wrong in 5, None, path.encode():
            with self.subTest(wrong=wrong), self.assertRaises(TypeError):
                self.store.track_path(wrong)

    def test_odd_path(self):
        """A path is never taken for a URI, and is any that Python has."""
        for name in 'memory:kept', 'a b%20', 'surrogate \udcff':
            path = f'{self.directory}/{name}'
            tracked = self.store.track_path(path)
            self.assertTrue(tracked.props.file.equal(Gio.File.new_for_path(path)), path)

    def test_key_sets(self):
        tracked = self.store.track_path(f'{self.directory}/kept')
        items = [self.pool.insert(b'%d' % number) for number in range(10)]
        for item in items:
            item.persist(tracked)
        keys = [item.dup_key() for item in items]
        self.store.delete_persisted_keys(tracked, keys[:2])
        self.assertEqual(set(tracked), set(keys[2:]))
        self.store.delete_persisted_keys(tracked, (key for key in keys[:4]))
        self.store.delete_persisted_keys(tracked, {keys[4]: 'a dictionary has keys'})
        self.assertEqual(set(tracked), set(keys[5:]))
        for wrong in (['no key'], GLib.Error), ('no iterable of keys', TypeError), (5, TypeError), ([5], TypeError):
            with self.subTest(wrong=wrong), self.assertRaises(wrong[1]):
                self.store.delete_persisted_keys(tracked, wrong[0])
        self.store.delete_persisted_keys(tracked, tracked)
        self.assertEqual(len(tracked), 0)

    def test_filled_key_set(self):
        """A list would not have what the backing finds."""
        backing = Bs.MemoryBacking.new()
        with self.assertRaises(TypeError):
            backing.sanitize_path(Gio.File.new_for_uri('memory:kept'), [])
        found = Bs.KeySet.new()
        self.assertTrue(backing.sanitize_path(Gio.File.new_for_uri('memory:kept'), found))

    def test_defaults(self):
        tracked = call(self.store.track_path_async, f'{self.directory}/kept')
        item = self.pool.insert(b'x')
        seen = []
        item.persist_async(tracked, callback=lambda item, result: seen.append(item.persist_finish(result)))
        self.store.sync_async(tracked, -500, callback=lambda store, result: seen.append(store.sync_finish(result)))
        run_until(lambda: len(seen) == 2)
        self.assertEqual(seen, [True, True])
        self.assertTrue(self.store.sync(tracked))

    def test_signatures(self):
        self.assertEqual(list(inspect.signature(Bs.Item.persist_async).parameters),
                         ['self', 'tracked', 'io_priority', 'cancellable', 'callback', 'user_data'])
        self.assertEqual(list(inspect.signature(Bs.BackingStore.run_in_thread).parameters), ['self', 'func', 'cancellable'])
        self.assertEqual(list(inspect.signature(Bs.Save.set_commit_func).parameters), ['self', 'func'])

    def test_each_asynchronous_method(self):
        """Methods that are added to the library are adapted as well."""
        n_methods = 0
        for name in dir(Bs):
            cls = getattr(Bs, name)
            if not (isinstance(cls, type) and issubclass(cls, GObject.Object)):
                continue
            for method in (each for each in vars(cls) if each.endswith('_async')):
                parameters = inspect.signature(getattr(cls, method)).parameters
                for optional in 'io_priority', 'cancellable', 'callback':
                    if optional in parameters:
                        self.assertFalse(parameters[optional].default, f'{name}.{method}')
                self.assertIn('callback', parameters)
                n_methods += 1
        self.assertGreaterEqual(n_methods, 18)


class ManifestTest(unittest.TestCase):
    def test_collection(self):
        manifest = Bs.Manifest.new()
        self.assertTrue(manifest)
        self.assertEqual(list(manifest), [])
        keys = [Bs.key_generate() for _ in range(3)]
        for number, key in enumerate(keys):
            manifest.add(f'{number}', key)
        self.assertEqual(len(manifest), 3)
        self.assertEqual([entry.props.key for entry in manifest], keys)
        self.assertIn('2', manifest)
        self.assertIn(manifest[1], manifest)
        self.assertNotIn('3', manifest)
        again = Bs.Manifest.new_from_bytes(bytes(manifest.to_bytes().get_data()))
        self.assertEqual([entry.props.name for entry in again], ['0', '1', '2'])

    def test_attributes(self):
        manifest = Bs.Manifest.new()
        manifest.add('page', Bs.key_generate(), {
            'width': 1 << 40, 'title': 'one', 'scale': 0.5, 'shown': True, 'raw': b'\0x', 'kind': GLib.Variant('y', 3)})
        attributes = manifest.lookup('page').dup_attributes()
        self.assertEqual(attributes.unpack(), {
            'width': 1 << 40, 'title': 'one', 'scale': 0.5, 'shown': True, 'raw': [0, 120], 'kind': 3})
        self.assertEqual(attributes.lookup_value('kind').get_type_string(), 'y')
        manifest.set_attributes('page', {})
        self.assertEqual(manifest.lookup('page').dup_attributes().unpack(), {})
        with self.assertRaises(TypeError):
            manifest.set_attributes('page', {'tags': ['a', 'b']})


class WithTest(unittest.TestCase):
    def test_closes(self):
        with Bs.BackingStore.new(Bs.MemoryBacking.new()) as store:
            self.assertIs(type(store), Bs.BackingStore)
            Bs.Pool.new(store, 100).insert(b'x').write()
        with self.assertRaises(GLib.Error) as raised:
            store.track_path(Gio.File.new_for_uri('memory:kept'))
        self.assertTrue(raised.exception.matches(Bs.error_quark(), Bs.Error.CLOSED))

    def test_closes_after_an_exception(self):
        with self.assertRaises(ZeroDivisionError):
            with Bs.BackingStore.new(Bs.MemoryBacking.new()) as store:
                raise ZeroDivisionError
        with self.assertRaises(GLib.Error):
            store.track_path(Gio.File.new_for_uri('memory:kept'))


class Text(GObject.Object):
    def __init__(self, text):
        super().__init__()
        self.text = text


class TextCodec(GObject.Object, Bs.Codec):
    result = None

    def do_encode(self, text, _cancellable):
        return text.text.encode()  # bytes, and no GLib.Bytes

    def do_decode(self, content, _cancellable):
        return self.result or Text(content.get_data().decode())

    def do_measure(self, text):
        return len(text.text)


class VirtualFunctionTest(unittest.TestCase):
    def test_results(self):
        with Bs.BackingStore.new(Bs.MemoryBacking.new()) as store:
            codec = TextCodec()
            pool = Bs.Pool.new_with_codec(store, codec, 0)
            item = pool.insert_object(Text('content'))
            pool.trim(0)
            self.assertEqual(item.load_object().text, 'content')

            # A result of another type is an error, and no crash.
            item = pool.insert(b'content')
            codec.result = 'no object'
            with self.assertRaises(GLib.Error) as raised:
                item.load_object()
            self.assertTrue(raised.exception.matches(Bs.error_quark(), Bs.Error.FAILED))
            for part in 'TextCodec.decode', 'str', item.dup_key():
                self.assertIn(part, raised.exception.message)

    def test_direct_call(self):
        self.assertEqual(TextCodec().do_encode(Text('x'), None).get_data(), b'x')

    def test_lists(self):
        with Bs.BackingStore.new(Bs.MemoryBacking.new()) as store:
            tracked = store.track_path(Gio.File.new_for_uri('memory:kept'))
            pool = Bs.Pool.new(store, 100)
            items = [pool.insert(b'x') for _ in range(5)]
            for item in items:
                item.persist(tracked)
            found = pool.register_all(tracked)
            self.assertEqual(len(found), 5)
            self.assertEqual({item.dup_key() for item in found}, set(tracked))
            self.assertIn(found[3], found)
            self.assertNotIn(items[0].copy(), found)


if __name__ == '__main__':
    unittest.main()
