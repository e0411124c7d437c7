# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 The backingstore authors
"""Backings by URI, and a scheme written in Python."""

import tempfile
import unittest

import gi

gi.require_version('Bs', '1')
from gi.repository import Bs, Gio, GLib, GObject


class DictEngine(GObject.Object, Gio.Initable, Bs.Backing):
    """Blobs in dictionaries: dict:NAME."""

    uri = GObject.Property(type=str, flags=GObject.ParamFlags.READWRITE | GObject.ParamFlags.CONSTRUCT_ONLY)

    def do_init(self, _cancellable):
        self.primary, self.paths = {}, {}
        if self.uri == 'dict:plain':
            raise RuntimeError('on purpose')
        if self.uri == 'dict:':
            raise GLib.Error.new_literal(Gio.io_error_quark(), 'there is no name', Gio.IOErrorEnum.INVALID_ARGUMENT)
        return self.uri != 'dict:forgotten'

    def do_write(self, key, content, _cancellable):
        self.primary[key] = content.get_data()
        return True

    def do_read(self, key, _cancellable):
        return GLib.Bytes.new(self.primary[key])

    def do_delete_key(self, key, _cancellable):
        self.primary.pop(key, None)
        return True

    def do_register_key(self, path, key, _cancellable):
        self.primary[key] = self.paths[path.get_uri()][key]
        return True

    def do_persist(self, path, key, _cancellable):
        self.paths[path.get_uri()][key] = self.primary[key]
        return True

    def do_delete_persisted(self, path, key, _cancellable):
        self.paths[path.get_uri()].pop(key, None)
        return True

    def do_sanitize_path(self, path, found, _cancellable):
        for key in self.paths.setdefault(path.get_uri(), {}):
            found.add(key)
        return True

    def do_sync_persisted(self, _path, _cancellable):
        return True


class NoEngine(GObject.Object, Bs.Backing):
    pass


class EngineTest(unittest.TestCase):
    def assert_fails(self, domain, code, function, *arguments):
        with self.assertRaises(GLib.Error) as raised:
            function(*arguments)
        self.assertTrue(raised.exception.matches(domain, code), raised.exception)
        return raised.exception.message

    def use(self, backing, path):
        store = Bs.BackingStore.new(backing)
        pool = Bs.Pool.new(store, 0)
        tracked = store.track_path(path)
        item = pool.insert(GLib.Bytes.new(b'content'))
        self.assertTrue(item.persist(tracked))
        self.assertTrue(pool.trim(0))
        self.assertEqual(item.load().get_data(), b'content')
        self.assertEqual(tracked.list_keys(), [item.dup_key()])
        self.assertTrue(store.close())

    def test_built_in(self):
        with tempfile.TemporaryDirectory() as directory:
            scratch = Gio.File.new_for_path(directory).get_child('scratch')
            for number, uri in enumerate((scratch.get_uri(), 'memory:', f'trace:{scratch.get_uri()}2', 'trace:memory:')):
                backing = Bs.Backing.new_for_uri(uri)
                self.assertEqual(backing.get_property('uri'), uri)
                self.use(backing, Gio.File.new_for_path(directory).get_child(f'kept{number}'))
            self.assertIsInstance(Bs.Backing.new_for_uri(scratch.get_uri()), Bs.FileBacking)

    def test_scheme_of_python(self):
        self.assertTrue(Bs.Backing.add_scheme('dict', DictEngine))
        self.assertTrue(Bs.Backing.add_scheme('dict', DictEngine))
        backing = Bs.Backing.new_for_uri('dict:name')
        self.assertIsInstance(backing, DictEngine)
        self.assertEqual(backing.uri, 'dict:name')
        self.use(backing, Gio.File.new_for_uri('dict:path'))
        self.use(Bs.Backing.new_for_uri('trace:dict:name'), Gio.File.new_for_uri('dict:path'))

        message = self.assert_fails(Gio.io_error_quark(), Gio.IOErrorEnum.INVALID_ARGUMENT, Bs.Backing.new_for_uri,
                                    'dict:')
        self.assertIn('there is no name', message)
        for uri, text in ('dict:plain', 'RuntimeError: on purpose'), ('dict:forgotten', 'return True'):
            message = self.assert_fails(Bs.error_quark(), Bs.Error.FAILED, Bs.Backing.new_for_uri, uri)
            for part in 'DictEngine.init', uri, text:
                self.assertIn(part, message)
        self.assert_fails(Bs.error_quark(), Bs.Error.EXISTS, Bs.Backing.add_scheme, 'dict2', DictEngine)
        self.assert_fails(Bs.error_quark(), Bs.Error.EXISTS, Bs.Backing.add_scheme, 'file', DictEngine)

    def test_refused(self):
        message = self.assert_fails(Bs.error_quark(), Bs.Error.NOT_SUPPORTED, Bs.Backing.new_for_uri, 'gopher://a')
        for part in 'gopher://a', 'file', 'memory', 'trace':
            self.assertIn(part, message)
        for uri in '', '/a', 'file:', 'memory:a', 'file://elsewhere/a':
            self.assert_fails(Gio.io_error_quark(), Gio.IOErrorEnum.INVALID_ARGUMENT, Bs.Backing.new_for_uri, uri)
        for scheme, cls, reason in (('A', DictEngine, 'lower case'), ('bad', NoEngine, 'GInitable'),
                                    ('bad', Bs.FaultBacking, 'GInitable'), ('bad', Bs.Pool, 'BsBacking'),
                                    ('bad', GObject.TYPE_STRING, 'cannot be made')):
            message = self.assert_fails(Gio.io_error_quark(), Gio.IOErrorEnum.INVALID_ARGUMENT,
                                        Bs.Backing.add_scheme, scheme, cls)
            self.assertIn(reason, message)


if __name__ == '__main__':
    unittest.main()
