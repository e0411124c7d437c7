# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 The backingstore authors
"""An engine outside of this project: docs/examples/engine, built as its author would.

The library is installed from the build directory in BACKINGSTORE_BUILD.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent
BUILD = Path(os.environ['BACKINGSTORE_BUILD'])

PROGRAM = '''
import sys
import gi
gi.require_version('Bs', '1')
from gi.repository import Bs, Gio, GLib

store = Bs.BackingStore.new(Bs.Backing.new_for_uri(sys.argv[1]))
pool = Bs.Pool.new(store, 0)
tracked = store.track_path(Gio.File.new_for_commandline_arg(sys.argv[2]))
item = pool.insert(GLib.Bytes.new(b'content'))
item.persist(tracked)
pool.trim(0)
print(item.load().get_data().decode())
store.close()
'''


def run(*command, env=None, status=0):
    result = subprocess.run(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, timeout=300, env={**os.environ, **(env or {})})
    if result.returncode != status:
        raise AssertionError(f'{command}: status {result.returncode}\n{result.stdout[-4000:]}')
    return result.stdout


class OutsideTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        directory = tempfile.TemporaryDirectory()
        cls.addClassCleanup(directory.cleanup)
        cls.top = Path(directory.name)
        cls.root = cls.top / 'root'
        run('meson', 'install', '-C', BUILD, '--no-rebuild', '--tags', 'devel,runtime', '--destdir', cls.root)
        # As if the prefix were there.
        pc = next(cls.root.rglob('backingstore-1.pc'))
        pc.write_text(re.sub(r'(?m)^prefix=', f'prefix={cls.root}', pc.read_text()))

        project = cls.top / 'project'
        shutil.copytree(TOP / 'docs' / 'examples' / 'engine', project)
        cls.pc = {'PKG_CONFIG_PATH': str(pc.parent)}
        run('meson', 'setup', cls.top / '_build', project, '--werror', env=cls.pc)
        run('meson', 'install', '-C', cls.top / '_build', env=cls.pc)
        cls.libdir = next(cls.root.rglob('libbackingstore-1.so.0')).parent

    def use(self, uri, modules, status=0, path='memory:kept'):
        environment = {'LD_LIBRARY_PATH': str(self.libdir), 'G_MESSAGES_DEBUG': 'trace',
                       'GI_TYPELIB_PATH': str(BUILD / 'backingstore'), 'BACKINGSTORE_MODULES': str(modules)}
        return run(sys.executable, '-c', PROGRAM, uri, path, env=environment, status=status)

    def test_installed(self):
        modules = Path(run('pkg-config', '--variable=moduledir', 'backingstore-1', env=self.pc).strip())
        self.assertEqual(modules, self.libdir / 'backingstore-1' / 'modules')
        self.assertIn('libtrace.so', os.listdir(modules))

        output = self.use('trace:memory:', modules)
        self.assertIn('content\n', output)
        for function in r'persist\w*', 'sanitize_path', 'read', 'close':
            self.assertRegex(output, rf'trace-INFO: .*: {function} .*: done in \d+ µs')

    def test_sqlite(self):
        """The library's own module, which a package may leave out."""
        modules = self.libdir / 'backingstore-1' / 'modules'
        module = modules / 'libsqlite.so'
        if not module.exists():
            self.skipTest('there is no SQLite')
        self.assertNotIn('sqlite', run('objdump', '-p', self.libdir / 'libbackingstore-1.so.0'))
        document = self.top / 'document'
        self.assertIn('content\n', self.use(f'sqlite://{self.top}/scratch', modules, path=document))
        self.assertEqual(document.read_bytes()[:15], b'SQLite format 3')

        alone = self.top / 'without'
        alone.mkdir()
        output = self.use(f'sqlite://{self.top}/scratch', alone, status=1, path=document)
        self.assertIn('no engine has the scheme “sqlite”', output)

    def test_places(self):
        """A list of directories, of which some are empty, missing, or hold something else."""
        empty, broken = self.top / 'empty', self.top / 'broken'
        empty.mkdir()
        broken.mkdir()
        (broken / 'libbroken.so').write_text('no library')
        (broken / 'README').write_text('no module')
        built = next((self.top / '_build').rglob('libtrace.so')).parent

        self.assertIn('content\n', self.use('trace:memory:', f'{empty}:{broken}::{self.top / "missing"}:{built}'))
        output = self.use('trace:memory:', f'{empty}:{broken}', status=1)
        self.assertIn('no engine has the scheme “trace”', output)
        self.assertIn('file, memory', output)
        self.assertIn('content\n', self.use('memory:', broken))


if __name__ == '__main__':
    unittest.main()
