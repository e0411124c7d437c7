# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 The backingstore authors
"""Directories that the Rust crate file_backed writes and reads as well.

The program beside this file is built with cargo, outside of the source tree, and
kept between runs. Where there is no cargo that can do so the tests are skipped,
and ../test-interop.c reads what the crate has once written all the same.
"""

import faulthandler
import os
import re
import subprocess
import tempfile
import unittest

import gi

gi.require_version('Bs', '1')
from gi.repository import Bs, Gio, GLib

import cargo

HERE = os.path.dirname(os.path.abspath(__file__))
N = 30

# Names that the crate must be told to leave alone: it deletes all that is no blob.
OURS = ['.backingstore', '.lock', '.dirty', 'root']

faulthandler.dump_traceback_later(cargo.SECONDS + 240, exit=True)


def content(number):
    """The content that src/main.rs and ../test-interop.c make, too."""
    size = (0, 1, 100, 4096, 5000, 70000)[number % 6]
    return bytes((number * 31 + i * 7 + i // 251) & 0xff for i in range(size))


class InteropTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        try:
            cls.program = cargo.build(HERE)
        except cargo.Missing as missing:
            raise unittest.SkipTest(str(missing))

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name
        self.kept = os.path.join(self.directory, 'kept')
        self.n_runs = 0

    def crate(self, mode, *arguments, index=None):
        """Runs the program; the lines that it prints, as a dictionary."""
        self.n_runs += 1
        lines = ''.join(f'{key} {number}\n' for key, number in (index or {}).items())
        done = subprocess.run([self.program, mode, self.kept, os.path.join(self.directory, f'rust{self.n_runs}'), *arguments],
                              input=lines, capture_output=True, text=True, timeout=100)
        self.assertEqual((done.returncode, done.stderr), (0, ''))
        return dict(line.partition(' ')[::2] for line in done.stdout.splitlines())

    def crate_write(self, ignored=()):
        return {key: int(number) for key, number in self.crate('write', str(N), *ignored).items()}

    def crate_read(self, index, ignored=()):
        self.assertEqual(set(self.crate('read', *ignored, index=index)), set(index))

    def open(self):
        store = Bs.BackingStore.new(Bs.FileBacking.new_temporary())
        tracked = store.track_path(Gio.File.new_for_path(self.kept), None)
        return store, tracked, Bs.Pool.new(store, 100000)

    def write(self):
        store, tracked, pool = self.open()
        index = {}
        for number in range(N):
            item = pool.insert(GLib.Bytes.new(content(number)))
            item.persist(tracked, None)
            index[item.props.key] = number
        store.sync(tracked, None)
        store.close(None)
        return index

    def read(self, index):
        store, tracked, pool = self.open()
        self.assertEqual(set(tracked), set(index))
        for key, number in index.items():
            self.assertEqual(pool.register(tracked, key, None).load(None).get_data() or b'', content(number))
        items = pool.register_all(tracked, None)
        self.assertEqual({item.props.key for item in items}, set(index))
        verify = Bs.Verify.new(store, tracked)
        verify.run(None)
        self.assertEqual((verify.props.n_done, verify.props.n_bad), (len(index), 0))
        del items
        store.close(None)

    def others(self):
        """Names beside the blobs and their folders."""
        found = set()
        for folder, _folders, files in os.walk(self.kept):
            for name in files:
                if not re.fullmatch('[0-9a-f]{32}', name):
                    found.add(os.path.relpath(os.path.join(folder, name), self.kept))
        return found

    def test_crate_writes(self):
        index = self.crate_write()
        self.read(index)
        self.read(index)
        # And the crate still reads it.
        self.crate_read(index, OURS)

    def test_we_write(self):
        index = self.write()
        others = self.others()
        self.crate_read(index, OURS)
        self.assertEqual(self.others(), others)
        self.read(index)

    def test_both_write(self):
        index = self.write()
        index |= self.crate_write(OURS)
        index |= self.write()
        self.assertEqual(len(index), 3 * N)
        self.crate_read(index, OURS)
        self.read(index)

    def test_crate_deletes(self):
        index = self.crate_write()
        key = next(iter(index))
        store, tracked, _pool = self.open()
        store.delete_persisted(tracked, key, None)
        store.close(None)
        del index[key]
        self.crate_read(index, OURS)

    def test_root(self):
        store, tracked, _pool = self.open()
        store.props.backing.write_root(tracked.props.file, GLib.Bytes.new(b'root'), None, None)
        store.close(None)
        index = self.write()
        self.crate_read(index, OURS)
        store, tracked, _pool = self.open()
        self.assertEqual(store.load_root(tracked, None).get_data(), b'root')
        store.close(None)

    def test_crate_ignores_nothing(self):
        """The crate deletes what is not a blob, the root blob as well; the blobs are whole."""
        index = self.write()
        with open(os.path.join(self.kept, 'root'), 'wb') as root:
            root.write(b'root')
        self.crate_read(index)
        self.assertEqual(self.others(), set())
        self.read(index)

    def test_quarantine(self):
        """A blob that was set aside is none to the crate, which deletes it."""
        index = self.write()
        key = next(key for key, number in index.items() if content(number))
        name = key.replace('-', '')
        with open(os.path.join(self.kept, name[:2], name), 'r+b') as blob:
            blob.truncate(0)
        store, tracked, _pool = self.open()
        verify = Bs.Verify.new(store, tracked)
        verify.run(None)
        n_bad = verify.props.n_bad
        store.close(None)
        if n_bad == 0:
            self.skipTest('the file system keeps no length and hash')
        del index[key]
        self.assertTrue(any('quarantine' in other for other in self.others()))
        self.crate_read(index, OURS)
        self.read(index)


if __name__ == '__main__':
    unittest.main()
