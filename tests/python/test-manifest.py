# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 The backingstore authors
"""Manifests."""

import os
import tempfile
import unittest

import gi

gi.require_version('Bs', '1')
from gi.repository import Bs, Gio, GLib

from mainloop import call

KEY = 'abcdef01-2345-6789-abcd-ef0123456789'


class ManifestTest(unittest.TestCase):
    def setUp(self):
        self.manifest = Bs.Manifest.new()

    def assert_error(self, domain, code, function, *arguments):
        with self.assertRaises(GLib.Error) as raised:
            function(*arguments)
        self.assertTrue(raised.exception.matches(domain, code), raised.exception.message)
        return raised.exception.message

    def names(self):
        return [entry.props.name for entry in self.manifest]

    def test_collection(self):
        self.assertTrue(self.manifest)
        self.assertEqual(len(self.manifest), 0)
        self.assertNotIn('one', self.manifest)
        self.assertNotIn(3, [*self.manifest])
        self.manifest.add('one', KEY.upper())
        self.manifest.add('two', KEY, None)
        self.assertIn('one', self.manifest)
        self.assertIn(self.manifest[1], self.manifest)
        self.assertEqual(self.names(), ['one', 'two'])
        self.assertEqual(self.manifest.props.n_items, 2)
        self.assertEqual(self.manifest.props.item_type, Bs.ManifestEntry.__gtype__)
        self.assertIs(self.manifest[-1], self.manifest.lookup('two'))
        self.assertEqual(self.manifest[0].props.key, KEY)
        self.assertEqual(self.manifest.find('two'), (True, 1))
        self.assertFalse(self.manifest.find('three')[0])
        self.assertIsNone(self.manifest.lookup('three'))

    def test_changes(self):
        changes = []
        for name in 'one', 'two', 'three':
            self.manifest.add(name, KEY)
        self.manifest.connect('items-changed', lambda _, *change: changes.append(change))
        entry = self.manifest.lookup('one')
        entry.connect('notify', lambda _, pspec: changes.append(pspec.name))
        self.manifest.rename('one', 'first')
        self.manifest.set_attributes('first', {'title': 'One'})
        self.manifest.set_key('first', Bs.key_generate())
        self.manifest.move('first', 2)
        self.manifest.remove('two')
        self.assertEqual(self.names(), ['three', 'first'])
        self.assertEqual(changes, ['name', 'attributes', 'key', (0, 3, 3), (0, 1, 0)])
        self.assertEqual(entry.lookup_attribute('title', None).unpack(), 'One')

    def test_attributes(self):
        self.manifest.add('one', KEY, {
            'text': 'ü', 'count': 1 << 40, 'ratio': 0.5, 'flag': True, 'raw': b'\0\xff',
            'place': GLib.Variant('(ii)', (3, 4)),
        })
        attributes = self.manifest[0].props.attributes
        self.assertEqual(attributes.get_type_string(), 'a{sv}')
        unpacked = attributes.unpack()
        self.assertEqual(bytes(unpacked.pop('raw')), b'\0\xff')
        self.assertEqual(unpacked, {'text': 'ü', 'count': 1 << 40, 'ratio': 0.5, 'flag': True, 'place': (3, 4)})
        self.assertIs(unpacked['flag'], True)
        self.manifest.set_attributes('one', None)
        self.assertEqual(self.manifest[0].props.attributes.unpack(), {})
        self.manifest.set_attributes('one', GLib.Variant('a{sv}', {'x': GLib.Variant('s', 'y')}))
        self.assertEqual(self.manifest[0].dup_attributes().unpack(), {'x': 'y'})
        with self.assertRaises(TypeError):
            self.manifest.set_attributes('one', {'x': object()})

    def test_errors(self):
        self.manifest.add('one', KEY)
        bs, invalid = Bs.error_quark(), (Gio.io_error_quark(), Gio.IOErrorEnum.INVALID_ARGUMENT)
        self.assertIn('“one”', self.assert_error(bs, Bs.Error.EXISTS, self.manifest.add, 'one', KEY))
        self.assertIn('“x”', self.assert_error(bs, Bs.Error.INVALID_KEY, self.manifest.add, 'two', 'x'))
        self.assert_error(*invalid, self.manifest.add, '', KEY)
        self.assert_error(*invalid, self.manifest.set_attributes, 'one', GLib.Variant('i', 3))
        for function, *arguments in [
            (self.manifest.remove,), (self.manifest.rename, 'three'), (self.manifest.move, 0),
            (self.manifest.set_item, None), (self.manifest.set_key, KEY), (self.manifest.set_attributes, None),
        ]:
            self.assertIn('“two”', self.assert_error(bs, Bs.Error.NOT_FOUND, function, 'two', *arguments))

    def test_bytes(self):
        for number in range(100):
            self.manifest.add(f'name {number}', Bs.key_generate(), {'number': number})
        content = self.manifest.to_bytes()
        read = Bs.Manifest.new_from_bytes(content)
        self.assertEqual(read.to_bytes().get_data(), content.get_data())
        self.assertEqual([entry.lookup_attribute('number', None).unpack() for entry in read], [*range(100)])
        cut = GLib.Bytes.new(content.get_data()[:-8])
        self.assertIn('at byte', self.assert_error(Bs.error_quark(), Bs.Error.CORRUPT, Bs.Manifest.new_from_bytes, cut))


class SaveTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name
        self.open()

    def open(self):
        self.store = Bs.BackingStore.new(Bs.FileBacking.new(self.child('scratch')))
        self.addCleanup(self.store.close)
        self.pool = Bs.Pool.new(self.store, 1 << 20)
        self.tracked = self.store.track_path(self.child('document'))

    def reopen(self):
        self.store.close()
        self.open()

    def child(self, name):
        return Gio.File.new_for_path(os.path.join(self.directory, name))

    def insert(self, content):
        return self.pool.insert(GLib.Bytes.new(content))

    def save(self, manifest):
        save = Bs.Save.new(self.store, self.tracked)
        save.set_manifest(manifest)
        return save

    def contents(self, manifest):
        return {entry.props.name: entry.props.item.load().get_data() for entry in manifest}

    def test_document(self):
        manifest = Bs.Manifest.new()
        manifest.add_item('one', self.insert(b'1'), {'title': 'One'})
        manifest.add_item('two', self.insert(b'2'))
        self.assertTrue(self.save(manifest).run())
        self.reopen()

        manifest = call(self.store.load_manifest_async, self.tracked)
        self.assertIsNone(manifest[0].props.item)
        self.assertTrue(call(self.pool.register_manifest_async, self.tracked, manifest))
        self.assertEqual(self.contents(manifest), {'one': b'1', 'two': b'2'})
        self.assertEqual(manifest[0].props.attributes.unpack(), {'title': 'One'})

        # The edit after a replace is the one that is saved.
        manifest[0].props.item.replace(GLib.Bytes.new(b'edited'))
        manifest.remove('two')
        self.assertTrue(call(self.save(manifest).run_async))
        self.reopen()
        manifest = self.store.load_manifest(self.tracked)
        self.assertTrue(self.pool.register_manifest(self.tracked, manifest))
        self.assertEqual(self.contents(manifest), {'one': b'edited'})
        self.assertEqual(len(self.tracked), 1)

    def test_errors(self):
        with self.assertRaises(GLib.Error) as raised:
            self.store.load_manifest(self.tracked)
        self.assertTrue(raised.exception.matches(Bs.error_quark(), Bs.Error.NOT_FOUND))
        manifest = Bs.Manifest.new()
        manifest.add('missing', KEY)
        for function, arguments in [(self.save(manifest).run, ()), (self.pool.register_manifest, (self.tracked, manifest))]:
            with self.assertRaises(GLib.Error) as raised:
                function(*arguments)
            self.assertTrue(raised.exception.matches(Bs.error_quark(), Bs.Error.NOT_FOUND))
            for part in '“missing”', KEY, os.path.join(self.directory, 'document'):
                self.assertIn(part, raised.exception.message)
        save = self.save(manifest)
        save.set_manifest(None)
        save.set_root(GLib.Bytes.new(b'of another kind'))
        save.run()
        with self.assertRaises(GLib.Error) as raised:
            call(self.store.load_manifest_async, self.tracked)
        self.assertTrue(raised.exception.matches(Bs.error_quark(), Bs.Error.CORRUPT))


if __name__ == '__main__':
    unittest.main()
