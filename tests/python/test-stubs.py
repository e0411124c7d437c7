# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 The backingstore authors
"""The stub for type checkers: good programs pass, and each misuse is refused.

The stubs of PyGObject itself are the pinned ones, where all tests run and pip can fetch
them. Otherwise nothing is known of GLib's types, and a part of the misuses.
"""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parent.parent / 'docs' / 'examples'
BUILT = os.environ.get('GI_TYPELIB_PATH', '').split(os.pathsep)
INSTALLED = [Path(each, 'gi-stubs', 'repository') for each in sys.path]
UNKNOWN = 'from typing import Any\ndef __getattr__(name: str) -> Any: ...\n'

HEAD = '''
import asyncio
import pathlib
import gi
gi.require_version('Bs', '1')
from gi.repository import Bs, Gio, GLib, GObject

class Codec(GObject.Object, Bs.Codec):
    def do_encode(self, thing: GObject.Object, cancellable: Gio.Cancellable | None) -> bytes:
        return b'encoded'

    def do_decode(self, content: GLib.Bytes, cancellable: Gio.Cancellable | None) -> GObject.Object:
        return GObject.Object()

store = Bs.BackingStore.new(Bs.FileBacking.new('scratch'))
tracked = store.track_path(pathlib.Path('kept'))
pool = Bs.Pool.new(store, 100)
item = pool.insert(b'content')

def on_loaded(item: Bs.Item, result: Gio.AsyncResult) -> None:
    item.load_finish(result).get_data()

async def use() -> None:
'''

USES = '''
await store.sync_async(tracked)
size: int = (await item.load_async(-500)).get_size()
await asyncio.wait_for(item.persist_async(tracked, cancellable=Gio.Cancellable()), 1)
item.load_async(0, None, on_loaded)
item.load_async(callback=on_loaded)
keys: list[str] = [key for key in tracked] + [item.dup_key() for item in await pool.register_all_async(tracked)]
first: Bs.Item = pool.register_all(tracked)[0]
many: int = len(tracked) + len(Bs.KeySet.new())
store.delete_persisted_keys(tracked, {item.dup_key()})
store.run_in_thread(lambda store, cancellable: store.sync(tracked, cancellable))
Bs.Pool.new_with_codec(store, Codec(), 100).props.max_items = 5
Bs.FaultBacking.new(Bs.MemoryBacking.new()).hold(Bs.Operation.WRITE)
manifest = Bs.Manifest.new()
manifest.add_item('name', item, {'title': 'Name', 'size': 5})
manifest.add('other', item.dup_key())
names: list[str] = [entry.dup_name() for entry in manifest if 'name' in manifest]
found, position = manifest.find('name')
one: Bs.ManifestEntry | None = manifest.lookup('name')
loaded: Bs.Manifest = await store.load_manifest_async(tracked)
await pool.register_manifest_async(tracked, loaded)
backing: Bs.Backing = Bs.Backing.new_for_uri('memory:')
code: bool = Bs.Error.NOT_FOUND == 2
'''

MISUSES = '''
await store.sync_async()
await item.load_async('soon')
item.load_async(0, None, 'no function')
item.persist('kept')
pool.props.max_items = 'many'
pool.props.budget = 5
store.delete_persisted_keys(tracked, 5)
store.delete_persisted(tracked, b'key')
store.run_in_thread(lambda: True)
Bs.Manifest.new().add('name', 5)
Bs.Manifest.new().find('name') + 1
number: int = item.dup_key()
Bs.Pool.new(store)
Bs.FaultBacking.new(Bs.MemoryBacking.new()).hold(5)
'''

# Refused only where GLib's types are known.
MISUSES_OF_GLIB = '''
await item.load()
await store.sync_async(item)
item.laod_async()
Bs.BackingStore.new(pool)
pool.insert('text')
pool.insert(5)
store.track_path(5)
item.load_async(0, 'no cancellable')
text: str = await item.load_async()
(await item.load_async()).get_length()
'''


def find_stubs():
    """Ours, in the build directory or else where they are installed."""
    for folder in [*map(Path, BUILT), *INSTALLED]:
        if stubs := list(folder.glob('Bs*.pyi')):
            yield from stubs


@unittest.skipUnless(shutil.which('mypy'), 'there is no mypy')
@unittest.skipUnless(list(find_stubs()), 'no stub is built or installed')
class StubsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        directory = tempfile.TemporaryDirectory()
        cls.addClassCleanup(directory.cleanup)
        cls.top = Path(directory.name)
        cls.glib_is_known = os.environ.get('BACKINGSTORE_TESTS') == 'whole' and cls.fetch_stubs()
        repository = cls.top / 'gi' / 'repository'
        if not cls.glib_is_known:
            repository.mkdir(parents=True)
            for package in repository.parent, repository:
                (package / '__init__.pyi').write_text(UNKNOWN)
        for stub in find_stubs():
            shutil.copy(stub, repository)

    @classmethod
    def fetch_stubs(cls):
        result = subprocess.run(
            [sys.executable, '-m', 'pip', 'download', '--quiet', '--no-deps', '--no-binary=:all:', '--no-build-isolation',
             '--require-hashes', '--requirement', HERE / 'requirements.txt', '--dest', cls.top],
            stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if result.returncode != 0:
            print(f'# {result.stderr.strip().splitlines()[-1:]}')
            return False
        archive, = cls.top.glob('*.tar.gz')
        with tarfile.open(archive) as tar:
            tar.extractall(cls.top)
        next(cls.top.glob('*/src/gi-stubs')).rename(cls.top / 'gi')
        # Of the versions of GTK, an installation chooses one.
        for name in 'Gdk', 'Gtk':
            path = cls.top / 'gi' / 'repository' / f'_{name}4.pyi'
            path.rename(path.with_name(f'{name}.pyi'))
        return True

    def check(self, path):
        """The lines of a file with an error; PyGObject's own stubs have some as well."""
        result = subprocess.run(
            ['mypy', '--check-untyped-defs', '--follow-imports=silent', '--no-error-summary', '--hide-error-context', '--no-pretty',
             '--ignore-missing-imports', '--cache-dir', self.top / 'cache', '--python-executable', sys.executable, path],
            cwd=self.top, env={**os.environ, 'MYPYPATH': str(self.top)}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=300)
        self.assertIn(result.returncode, (0, 1), result.stdout + result.stderr)
        lines = [line for line in result.stdout.splitlines() if Path(line.partition(':')[0]).name == path.name]
        self.said = '\n'.join(lines)
        return [int(line) for line in re.findall(r'^.*?:(\d+): error: ', self.said, re.MULTILINE)]

    def check_lines(self, lines):
        """Which of the lines in an asynchronous function are refused."""
        path = self.top / 'program.py'
        lines = lines.strip().splitlines()
        path.write_text(HEAD + ''.join(f'    {line}\n' for line in lines))
        first = HEAD.count('\n') + 1
        refused = set(self.check(path))
        self.assertLessEqual(refused, set(range(first, first + len(lines))), self.said)
        return [line for number, line in enumerate(lines, first) if number in refused]

    def test_uses(self):
        refused = self.check_lines(USES)
        self.assertEqual(refused, [], self.said)

    def test_misuses(self):
        self.assertEqual(self.check_lines(MISUSES), MISUSES.strip().splitlines())

    def test_misuses_of_glib(self):
        if not self.glib_is_known:
            self.skipTest('the stubs of PyGObject are fetched by pip where all tests run')
        self.assertEqual(self.check_lines(MISUSES_OF_GLIB), MISUSES_OF_GLIB.strip().splitlines())

    def test_stubs(self):
        for stub in (self.top / 'gi' / 'repository').glob('Bs*.pyi'):
            with self.subTest(stub.name):
                errors = self.check(stub)
                self.assertEqual(errors, [], self.said)

    @unittest.skipUnless(EXAMPLES.is_dir(), 'the examples are not installed')
    def test_examples(self):
        examples = sorted(EXAMPLES.glob('*.py'))
        self.assertGreaterEqual(len(examples), 2)
        for example in examples:
            with self.subTest(example.name):
                errors = self.check(example)
                self.assertEqual(errors, [], self.said)


if __name__ == '__main__':
    unittest.main()
