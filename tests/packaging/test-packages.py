# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 The backingstore authors
"""The library as packages and other projects build and install it.

The build directory is in BACKINGSTORE_BUILD; installed tests are taken from it.
"""

import filecmp
import json
import os
import re
import shutil
import subprocess
import sysconfig
import tempfile
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent
BUILD = Path(os.environ['BACKINGSTORE_BUILD'])
FAST = ['--buildtype=plain', '-Dtests=disabled']

MAIN_C = '''
#include <backingstore/backingstore.h>
#if !BS_CHECK_VERSION (1, 0, 0)
#error too old
#endif
int
main (void)
{
  BsBacking *backing = BS_BACKING (bs_memory_backing_new ());
  BsBackingStore *store = bs_backing_store_new (backing);
  BsPool *pool = bs_pool_new (store, 1000);
  GBytes *bytes = g_bytes_new ("a", 1);
  BsItem *item = bs_pool_insert (pool, bytes);
  gboolean good = bs_item_write (item, NULL, NULL);

  g_object_unref (item);
  g_bytes_unref (bytes);
  g_object_unref (pool);
  good = bs_backing_store_close (store, NULL, NULL) && good;
  g_object_unref (store);
  g_object_unref (backing);

  return !good;
}
'''

GTK_MAIN_C = '''
#include <backingstore/gtk/backingstore-gtk.h>
int
main (void)
{
  BsGtkTextureCodec *codec;

  bs_gtk_init ();
  codec = bs_gtk_texture_codec_new (256);
  g_object_unref (codec);

  return g_type_from_name ("BsGtkTextureCodec") == 0;
}
'''

MAIN_VALA = '''
int main () {
    var store = new Bs.BackingStore (new Bs.MemoryBacking ());
    var item = new Bs.Pool (store, 1000).insert (new Bytes ("a".data));
    try {
        item.write ();
        store.close ();
    } catch (Error error) {
        return 1;
    }
    return 0;
}
'''

STATIC_PROJECT = '''
project('consumer', 'c')
dep = dependency('backingstore-1', version: '>= 1.0', fallback: 'backingstore',
  default_options: ['tests=disabled', 'docs=disabled', 'vapi=disabled', 'default_library=static'])
executable('in-c', 'main.c', dependencies: dep)
'''

VALA_PROJECT = '''
project('consumer', 'vala', 'c')
dep = dependency('backingstore-1', version: '>= 1.0', fallback: 'backingstore',
  default_options: ['tests=disabled', 'docs=disabled', 'vapi=enabled', 'default_library=both'])
executable('in-vala', 'main.vala', dependencies: [dependency('gio-2.0'), dep])
executable('in-c', 'main.c', dependencies: subproject('backingstore').get_variable('backingstore_dep'))
'''


def run(*command, **options):
    result = subprocess.run(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, timeout=1200, **options)
    if result.returncode != 0:
        raise AssertionError(f'{command}: status {result.returncode}\n{result.stdout[-4000:]}')
    return result.stdout


def project_version():
    return re.search(r"version: '([\d.]+)'", (TOP / 'meson.build').read_text())[1]


def needed(program):
    return re.findall(r'NEEDED +(\S+)', run('objdump', '-p', program))


def installed_files(root):
    return sorted(path.relative_to(root) for path in root.rglob('*') if not path.is_dir() or path.is_symlink())


class PackageTestCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        directory = tempfile.TemporaryDirectory()
        cls.addClassCleanup(directory.cleanup)
        cls.top = Path(directory.name)


class InstallTest(PackageTestCase):
    """Two installations of the same source, in different places, with everything that can be had."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.prefix = cls.top / 'prefix'
        shutil.copytree(TOP, cls.top / 'elsewhere' / 'source', symlinks=True,
                        ignore=shutil.ignore_patterns('_build', '.git'))
        cls.install(TOP, cls.top / 'one')
        cls.install(cls.top / 'elsewhere' / 'source', cls.top / 'elsewhere' / 'two', cls.top / 'other-root')

    @classmethod
    def install(cls, source, build, destination=None):
        # As distributions do it. The build directory is part of what __FILE__ says.
        relative = os.path.relpath(source, build)
        maps = f'-ffile-prefix-map={source}=. -ffile-prefix-map={build}=. -ffile-prefix-map={relative}=.'
        run('meson', 'setup', build, source, '--prefix', cls.prefix, '--default-library=both',
            '--buildtype=debugoptimized', '-Dtests=disabled', f'-Dc_args={maps}')
        run('meson', 'install', '-C', build, *(['--destdir', destination] if destination else []))

    def test_reproducible(self):
        one, two = self.prefix, Path(f'{self.top / "other-root"}{self.prefix}')
        files = installed_files(one)
        self.assertEqual(files, installed_files(two))
        self.assertGreater(len(files), 30)
        self.assertEqual([path for path in files if not filecmp.cmp(one / path, two / path, shallow=False)], [])
        print(f'# {len(files)} files are identical')

    def test_overrides(self):
        """Where each language looks for them, and stubs beside those of PyGObject."""
        with_gtk = bool(list(self.prefix.rglob('BsGtk-1.typelib')))
        for name in 'Bs', 'BsGtk':
            for file in f'gi/overrides/{name}.py', f'gi-stubs/repository/{name}.pyi', f'share/gjs-1.0/overrides/{name}.js':
                self.assertEqual(len(list(self.prefix.rglob(file))), 1 if name == 'Bs' or with_gtk else 0, file)

    def pkg_config(self, *arguments, package='backingstore-1'):
        libdir = next(self.prefix.rglob('backingstore-1.pc')).parent
        return run('pkg-config', *arguments, package,
                   env={**os.environ, 'PKG_CONFIG_PATH': str(libdir)}).split()

    def compile(self, name, *flags, source=MAIN_C):
        (self.top / 'main.c').write_text(source)
        run('cc', '-o', self.top / name, self.top / 'main.c', *flags)
        return self.top / name

    def test_shared(self):
        program = self.compile('shared', *self.pkg_config('--cflags', '--libs'))
        run(program, env={**os.environ, 'LD_LIBRARY_PATH': str(next(self.prefix.rglob('libbackingstore-1.so.0')).parent)})
        self.assertIn('libbackingstore-1.so.0', needed(program))
        self.assertRegex(run('objdump', '-p', program), r'LIBBACKINGSTORE_1\.0\b')

    def test_static(self):
        flags = self.pkg_config('--static', '--cflags', '--libs')
        program = self.compile('static', *(flag.replace('-lbackingstore-1', '-l:libbackingstore-1.a') for flag in flags))
        run(program)
        self.assertNotIn('libbackingstore-1.so.0', needed(program))

    def test_versions(self):
        text = next(self.prefix.rglob('backingstore-1.pc')).read_text()
        self.assertIn('\nRequires: gio-2.0 >= 2.74\n', text)
        self.assertIn('\nRequires.private: gio-unix-2.0 >= 2.74, libxxhash >= 0.8\n', text)
        self.assertEqual(self.pkg_config('--modversion'), [project_version()])


    def test_gtk(self):
        if not list(self.prefix.rglob('backingstore-gtk4-1.pc')):
            self.skipTest('there is no GTK 4')
        flags = self.pkg_config('--cflags', '--libs', package='backingstore-gtk4-1')
        program = self.compile('gtk', *flags, source=GTK_MAIN_C)
        libdir = next(self.prefix.rglob('libbackingstore-gtk4-1.so.0')).parent
        run(program, env={**os.environ, 'LD_LIBRARY_PATH': str(libdir)})
        self.assertIn('libbackingstore-gtk4-1.so.0', needed(program))
        for name in 'BsGtk-1.typelib', 'BsGtk-1.gir', 'backingstore-gtk4-1.vapi', 'backingstore-gtk4-1.deps':
            self.assertTrue(list(self.prefix.rglob(name)), name)


class SubprojectTest(PackageTestCase):
    def build(self, name, project):
        directory = self.top / name
        (directory / 'subprojects').mkdir(parents=True)
        (directory / 'subprojects' / 'backingstore').symlink_to(TOP)
        (directory / 'meson.build').write_text(project)
        (directory / 'main.c').write_text(MAIN_C)
        (directory / 'main.vala').write_text(MAIN_VALA)
        # Not the one that is installed.
        output = run('meson', 'setup', '--wrap-mode=forcefallback', '--buildtype=plain', directory / '_build', directory)
        run('ninja', '-C', directory / '_build')
        return directory / '_build', output

    def test_static(self):
        build, output = self.build('static', STATIC_PROJECT)
        run(build / 'in-c')
        self.assertNotIn('libbackingstore-1.so.0', needed(build / 'in-c'))
        self.assertFalse(list(build.rglob('libbackingstore-1.so*')))
        for feature in 'introspection', 'vapi', 'Python override', 'SQLite', 'S3':
            self.assertRegex(output, rf'{feature} *: .*NO')

    @unittest.skipUnless(shutil.which('valac') and shutil.which('g-ir-scanner'), 'there is no Vala or no introspection')
    def test_vala(self):
        build, output = self.build('vala', VALA_PROJECT)
        for program in 'in-vala', 'in-c':
            run(build / program)
            self.assertIn('libbackingstore-1.so.0', needed(build / program))
        self.assertTrue(list(build.rglob('libbackingstore-1.a')))
        for feature in 'introspection', 'vapi', 'Python override':
            self.assertRegex(output, rf'{feature} *: .*YES')


class InstalledTestsTest(PackageTestCase):
    """One of a kind: all that are installed run from the build directory as well."""

    def test_runner(self):
        if not shutil.which('gnome-desktop-testing-runner'):
            self.skipTest('there is no gnome-desktop-testing-runner')
        run('meson', 'install', '-C', BUILD, '--no-rebuild', '--destdir', self.top)
        files = list(self.top.rglob('*.test'))
        if not files:
            self.skipTest(f'{BUILD} was set up without installed_tests')

        prefix = next(self.top.rglob('installed-tests')).parent.parent
        for file in files:
            file.write_text(re.sub(r'(?<=[= :])(?=/\S*/(installed-tests/|modules\b))', str(self.top), file.read_text()))
        libdir = next(self.top.rglob('libbackingstore-1.so.0')).parent
        override = next(self.top.rglob('overrides/Bs.py')).parent.parent.parent
        environment = {**os.environ, 'LD_LIBRARY_PATH': str(libdir), 'PYTHONPATH': str(override),
                       'GI_TYPELIB_PATH': str(libdir / 'girepository-1.0'),
                       'GJS_PATH': str(prefix / 'share' / 'gjs-1.0')}
        names = [name for name in ('key', 'interop', 'engine', 'sqlite', 's3', 'crash-sqlite-kill',
                               'crash-disk-full', 'override.py', 'override.js', 'store.js',
                              'store.vala')
                 if any(file.name == name + '.test' for file in files)]
        output = run('gnome-desktop-testing-runner', '-d', prefix / 'share', '--tap',
                     *(f'backingstore-1/{name}.test' for name in names), env=environment)
        self.assertIn(f'total={len(names)}; passed={len(names)}; skipped=0; failed=0', output.splitlines()[-1])


class ExampleTest(PackageTestCase):
    """The script that shows the example, with a build of its own."""

    def run_example(self, *arguments):
        result = subprocess.run([TOP / 'docs' / 'examples' / 'run', *arguments], stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=1200,
                                env={**os.environ, 'BACKINGSTORE_BUILDS': str(self.top / 'builds')})
        return result.returncode, result.stdout.splitlines()[-1], result.stdout

    def test_verdict(self):
        source = self.top / 'source'
        source.mkdir()
        for i in range(1234):
            (source / str(i)).write_text(str(i))
        target = f'--target={self.top / "target"}'
        self.assertEqual(self.run_example(target, source)[:2], (0, '== c: 1,234 files came back identical'))
        status, verdict, output = self.run_example(target, source)
        self.assertEqual((status, verdict), (1, '== c: failed, not stored'))
        self.assertIn('was used before: choose a new target', output)


class FlatpakTest(PackageTestCase):
    """The steps of flatpak-builder for the example, in no sandbox, and without a network."""

    def test_offline(self):
        manifest = json.loads((TOP / 'docs/examples/flatpak/org.example.Backingstore.json').read_text())
        module = manifest['modules'][-1]
        source, app = self.top / 'source', self.top / 'app'
        shutil.copytree(TOP, source, symlinks=True, ignore=shutil.ignore_patterns(*module['sources'][0]['skip']))
        alone = ['unshare', '--net'] if subprocess.run(['unshare', '--net', 'true'], capture_output=True).returncode == 0 else []
        for command in module['build-commands']:
            run(*alone, 'sh', '-c', command, cwd=source, env={**os.environ, 'FLATPAK_DEST': str(app)})

        (self.top / 'files').mkdir()
        (self.top / 'files' / 'a').write_text('a')
        example, target = app / 'bin' / manifest['command'], self.top / 'target'
        shutil.rmtree(source)
        environment = {**os.environ, 'LD_LIBRARY_PATH': str(app / 'lib')}
        run(example, 'store', self.top / 'files', target, env=environment)
        run(example, 'verify', target, env=environment)
