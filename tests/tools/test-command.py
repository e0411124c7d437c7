# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 The backingstore authors
"""The command: each subcommand over each engine, and each way in which it fails."""

import itertools
import json
import os
import pathlib
import pty
import re
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
import urllib.request

import gi

gi.require_version('Bs', '1')
from gi.repository import Bs, Gio, GLib

COMMAND = os.environ.get('BACKINGSTORE_COMMAND') or shutil.which('backingstore')
SOURCES = pathlib.Path(os.environ.get('BACKINGSTORE_TOOLS', '.'))
DONE, FAILED, USAGE, NO_DOCUMENT, BUSY, CORRUPT = range(6)
ENGINES = 'file', 'sqlite'
WATCHDOG = 60
N_LARGE = 500


def has_sqlite():
    try:
        Bs.Backing.new_for_uri('sqlite:///tmp')
    except GLib.Error:
        return False
    return True


def snapshot(path):
    """All that can be known of a file or of a folder and all below it."""
    paths = [path, *sorted(path.rglob('*'))] if path.is_dir() else sorted(path.parent.glob(path.name + '*'))
    return {str(each): (each.stat(follow_symlinks=False)[:6], each.stat().st_mtime_ns, each.stat().st_ctime_ns,
                        each.is_file() and each.read_bytes()) for each in paths}


def wait_for(condition, process):
    """Looks until something is so, or the process has ended."""
    end = time.monotonic() + WATCHDOG
    while not condition() and process.poll() is None:
        assert time.monotonic() < end
        time.sleep(.001)


class CommandTest(unittest.TestCase):
    def setUp(self):
        if not COMMAND:
            self.skipTest('the command was not built')
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.top = pathlib.Path(directory.name)
        self.cache = self.top / 'cache'
        self.cache.mkdir()
        self.environment = {**os.environ, 'XDG_CACHE_HOME': str(self.cache), 'LC_ALL': 'C.UTF-8', 'LANGUAGE': ''}

    def tearDown(self):
        # Scratch is gone with its process.
        self.assertEqual([*self.cache.glob('backingstore/*')], [])

    def start(self, *arguments, prefix=(), **options):
        return subprocess.Popen([*prefix, COMMAND, *map(os.fspath, arguments)], env=self.environment,
                                cwd=self.top, **options)

    def run_command(self, *arguments, status=DONE, **options):
        """The output, or the messages where the command is to fail."""
        process = self.start(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
        output, messages = process.communicate(timeout=WATCHDOG)
        self.assertEqual(process.returncode, status, (output, messages))
        return (output if status == DONE else output + messages).decode()

    def run_json(self, *arguments, status=DONE):
        lines = self.run_command(*arguments, '--json', status=status).splitlines()
        return [json.loads(line) for line in lines if line.startswith('{')]

    def make_files(self, name='files', **contents):
        contents = contents or {'first': b'one', 'folder/second': b'two', 'third.txt': bytes(70000)}
        folder = self.top / name
        for path, content in contents.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
        return folder

    def read_files(self, folder):
        return {path.relative_to(folder).as_posix(): path.read_bytes()
                for path in folder.rglob('*') if path.is_file()}

    def each_engine(self):
        for engine in ENGINES:
            if engine == 'sqlite' and not has_sqlite():
                continue
            shutil.rmtree(self.top / engine, ignore_errors=True)
            (self.top / engine).mkdir()
            yield engine

    def make_document(self, engine='file', folder=None, name='document'):
        document = self.top / engine / name
        self.run_command('import', f'--engine={engine}', folder or self.make_files(), document)
        return document

    def make_own(self, path, names=None, root=None):
        """A folder that an application has made, with names or with a root of its own."""
        store = Bs.BackingStore.new(Bs.FileBacking.new_temporary_in(Gio.File.new_for_path(str(self.top))))
        pool = Bs.Pool.new(store, 1 << 20)
        tracked = store.track_path(Gio.File.new_for_path(str(path)), None)
        save = Bs.Save.new(store, tracked)
        manifest = Bs.Manifest.new()
        items = []
        for name, content in (names or {}).items():
            items.append(pool.insert(GLib.Bytes.new(content)))
            if root is None:
                manifest.add_item(name, items[-1], None)
            else:
                save.add_item(items[-1])
        if root is None:
            save.set_manifest(manifest)
        else:
            save.set_root(GLib.Bytes.new(root))
        self.assertTrue(save.run(None))
        self.assertTrue(store.close(None))
        return path

    def damage(self, document, name):
        """Changes one byte and keeps the times, as a disk does."""
        if document.is_file():
            subprocess.run(['sqlite3', document, 'UPDATE blob SET content = zeroblob(length(content)) '
                            f"WHERE id = (SELECT id FROM name WHERE hex(key) = upper('{name}'))"], check=True)
            return
        blob = document / name[:2] / name
        status = blob.stat()
        content = bytearray(blob.read_bytes())
        content[0] ^= 1
        with open(blob, 'r+b') as file:
            file.write(content)
        os.utime(blob, ns=(status.st_atime_ns, status.st_mtime_ns))

    def get_key(self, document, name):
        return next(entry['key'].replace('-', '') for entry in self.run_json('list', document)
                    if entry['name'] == name)


class UsageTest(CommandTest):
    def test_help(self):
        output = self.run_command('--help')
        for command in 'info', 'list', 'verify', 'du', 'export', 'import', 'copy', 'repair':
            self.assertIn(f'\n  {command} ', output)
            self.assertIn(f'backingstore [OPTION…] {command} ', self.run_command(command, '--help'))

    def test_version(self):
        self.assertRegex(self.run_command('--version'), r'^backingstore \d+\.\d+\.\d+\n$')

    def test_wrong(self):
        for arguments in ([], ['--wrong'], ['wrong'], ['info'], ['info', '--wrong', 'x'], ['list', 'a', 'b'],
                          ['copy', 'a'], ['info', '--dry-run', 'x'], ['export', 'a'], ['import', 'a']):
            message = self.run_command(*arguments, status=USAGE)
            self.assertIn('backingstore --help', message)

    def test_output_that_cannot_be_written(self):
        document = self.make_document()
        with open('/dev/full', 'wb') as full:
            process = self.start('list', document, stdout=full, stderr=subprocess.PIPE)
            _output, messages = process.communicate(timeout=WATCHDOG)
        self.assertEqual(process.returncode, FAILED)
        self.assertIn(b'could not be written', messages)

    def test_manual_page(self):
        page = SOURCES / 'backingstore.1'
        if not page.exists() or not shutil.which('man') or not shutil.which('groff'):
            self.skipTest('there is no manual page here, or no man')
        shown = subprocess.run(['man', '-l', '--warnings', '-E', 'UTF-8', page], capture_output=True,
                               env={**self.environment, 'MANPAGER': 'cat', 'MAN_KEEP_FORMATTING': ''})
        self.assertEqual((shown.returncode, shown.stderr), (0, b''))
        text = page.read_text()
        for command in 'info', 'list', 'verify', 'du', 'export', 'import', 'copy', 'repair':
            for option in re.findall(r'--[a-z-]+', self.run_command(command, '--help')):
                self.assertIn(option.replace('-', r'\-'), text)

    def test_completion(self):
        script = SOURCES / 'backingstore.bash'
        if not script.exists():
            self.skipTest('there is no completion here')
        self.make_files('album')

        def complete(*words):
            line = ' '.join(f"'{word}'" for word in words)
            code = (f"source '{script}'; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _backingstore; "
                    'printf "%s\\n" "${COMPREPLY[@]}"')
            done = subprocess.run(['bash', '--norc', '-c', code], capture_output=True, text=True, cwd=self.top)
            self.assertEqual(done.returncode, 0, done.stderr)
            return done.stdout.split()

        self.assertEqual(complete('backingstore', 'i'), ['info', 'import'])
        self.assertEqual(complete('backingstore', 'info', 'al'), ['album'])
        self.assertEqual(complete('backingstore', 'repair', '--a'), ['--adopt'])
        self.assertEqual(complete('backingstore', 'info', '--a'), [])
        self.assertEqual(complete('backingstore', 'copy', '--engine', '=', 's'), ['sqlite'])
        self.assertEqual(complete('backingstore', 'copy', '--engine', '='), ['file', 'sqlite'])
        self.assertEqual(complete('backingstore', 'info', '--scratch', '=', 'al'), ['album'])
        for command in 'info', 'list', 'verify', 'du', 'export', 'import', 'copy', 'repair':
            known = set(re.findall(r'--[a-z-]+', self.run_command(command, '--help')))
            self.assertEqual({option.rstrip('=') for option in complete('backingstore', command, '--')}, known)


class LookTest(CommandTest):
    """Commands that only look leave everything as it is."""

    def test_unchanged(self):
        for engine in self.each_engine():
            document = self.make_document(engine)
            before = snapshot(document)
            for arguments in (['info'], ['list'], ['list', '--long'], ['verify'], ['du']):
                self.run_command(*arguments, document)
                self.assertEqual(snapshot(document), before)
            self.run_command('copy', '--dry-run', document, self.top / 'missing')
            self.run_command('repair', '--dry-run', '--quarantine', document)
            self.run_command('export', '--dry-run', document, self.top / 'missing')
            self.assertEqual(snapshot(document), before)
            self.assertFalse((self.top / 'missing').exists())

    def test_info(self):
        for engine in self.each_engine():
            document = self.make_document(engine)
            found, = self.run_json('info', document)
            self.assertEqual((found['engine'], found['root'], found['blobs'], found['entries']),
                             (engine, 'manifest', 3, 3))
            self.assertEqual((found['unnamed'], found['missing']), (0, 0))
            self.assertIn('names: 3', self.run_command('info', document))

    def test_odd_path(self):
        document = self.make_document(name='back\\slash “ü”\n')
        self.assertEqual(self.run_json('info', document)[0]['document'], str(document))
        self.assertIn('back\\\\slash “ü”\\u000a', self.run_command('info', document))

    def test_info_of_a_folder_in_trouble(self):
        document = self.make_document()
        key = self.get_key(document, 'first')
        (document / key[:2] / key).unlink()
        (document / 'stranger').write_text('text')
        (document / '.quarantine').mkdir()
        (document / '.quarantine' / 'bad').write_text('text')
        (document / '.dirty').touch()
        found, = self.run_json('info', document)
        self.assertEqual((found['missing'], found['foreign'], found['quarantined'], found['synced']), (1, 1, 1, False))
        output = self.run_command('info', document)
        for text in 'names without a content: 1', 'files in quarantine: 1', 'other files: 1', 'was stopped':
            self.assertIn(text, output)

    def test_info_without_marker(self):
        document = self.make_document()
        for name in '.backingstore', '.lock':
            (document / name).unlink()
        before = snapshot(document)
        self.assertFalse(self.run_json('info', document)[0]['marked'])
        self.assertEqual(snapshot(document), before)

    def test_list(self):
        for engine in self.each_engine():
            document = self.make_document(engine)
            self.assertEqual(self.run_command('list', document).split(), ['first', 'folder/second', 'third.txt'])
            listed = self.run_json('list', '-l', document)
            self.assertEqual([entry['size'] for entry in listed], [3, 3, 70000])
            self.assertTrue(all(entry['present'] and Bs.key_is_valid(entry['key']) for entry in listed))
            self.assertRegex(self.run_command('list', '-l', document), r'(?m)^[-0-9a-f]{36} +3\sbytes first$')

    def test_list_hostile_names(self):
        names = ['\x1b[2Jcleared', 'line\nbreak', 'back\\slash', '‮right to left', 'plain']
        document = self.make_own(self.top / 'document', {name: b'x' for name in names})
        output = self.run_command('list', document)
        self.assertEqual(output, '\\u001b[2Jcleared\nline\\u000abreak\nback\\\\slash\n\\u202eright to left\nplain\n')
        self.assertEqual([entry['name'] for entry in self.run_json('list', document)], names)

    def test_list_missing(self):
        document = self.make_document()
        key = self.get_key(document, 'first')
        (document / key[:2] / key).unlink()
        self.assertEqual([entry['present'] for entry in self.run_json('list', document)], [False, True, True])

    def test_own_root(self):
        document = self.make_own(self.top / 'document', {'a': b'1', 'b': b'2'}, root=b'\x00own\xff')
        self.assertEqual(self.run_json('info', document)[0]['root'], 'application')
        listed = self.run_json('list', document)
        self.assertEqual([entry['name'] for entry in listed], [None, None])
        self.assertTrue(all(map(Bs.key_is_valid, self.run_command('list', document).split())))

    def test_verify(self):
        for engine in self.each_engine():
            document = self.make_document(engine)
            self.assertEqual(self.run_json('verify', document), [
                {'document': str(document), 'checked': 3, 'damaged': [], 'damaged-names': [], 'missing-names': []}])
            if engine == 'sqlite' and not shutil.which('sqlite3'):
                continue
            key = self.get_key(document, 'first')
            self.damage(document, key)
            before = snapshot(document)
            found, = self.run_json('verify', document, status=CORRUPT)
            self.assertEqual([bad.replace('-', '') for bad in found['damaged']], [key])
            self.assertEqual(found['damaged-names'], ['first'])
            self.assertIn('damaged: first', self.run_command('verify', document, status=CORRUPT))
            self.assertEqual(self.run_command('verify', '--quiet', document, status=CORRUPT), '')
            self.assertEqual(snapshot(document), before)

    def test_verify_missing(self):
        document = self.make_document()
        key = self.get_key(document, 'first')
        (document / key[:2] / key).unlink()
        self.assertEqual(self.run_json('verify', document, status=CORRUPT)[0]['missing-names'], ['first'])

    def test_du(self):
        for engine in self.each_engine():
            document = self.make_document(engine)
            found, = self.run_json('du', document)
            self.assertEqual(found['blobs'], 3)
            self.assertGreaterEqual(found['disk'], 70000)
            self.assertIn(str(document), self.run_command('du', document))

    def test_du_of_quarantine(self):
        document = self.make_document()
        (document / '.quarantine').mkdir()
        (document / '.quarantine' / 'bad').write_bytes(bytes(50000))
        self.assertGreaterEqual(self.run_json('du', document)[0]['quarantine'], 50000)
        self.assertIn('in quarantine', self.run_command('du', document))

    def test_several(self):
        first = self.make_document()
        second = self.make_document(name='second')
        output = self.run_command('info', first, self.top / 'missing', second, status=NO_DOCUMENT)
        self.assertIn(str(second), output)
        self.assertIn('no document', output)


class RefusedTest(CommandTest):
    """Places without a document, and documents in use."""

    LOOKS = ['info'], ['list'], ['verify'], ['du'], ['repair'], ['repair', '--dry-run']

    def test_missing(self):
        for look in self.LOOKS:
            for name in 'missing', 'sqlite:missing', 'file:missing':
                self.assertIn('missing', self.run_command(*look, name, status=NO_DOCUMENT))
        self.assertEqual(list(self.top.iterdir()), [self.cache])

    def test_foreign(self):
        folder = self.make_files()
        before = snapshot(folder)
        for look in self.LOOKS:
            self.assertIn('--adopt', self.run_command(*look, folder, status=NO_DOCUMENT))
        self.run_command('export', folder, self.top / 'out', status=NO_DOCUMENT)
        self.run_command('copy', folder, self.top / 'copy', status=NO_DOCUMENT)
        self.run_command('import', folder / 'first', folder, status=NO_DOCUMENT)
        self.assertEqual(snapshot(folder), before)
        self.assertFalse((self.top / 'out').exists())

    def test_foreign_file(self):
        if not has_sqlite():
            self.skipTest('there is no engine for SQLite')
        file = self.top / 'letter.txt'
        file.write_text('text ' * 1000)
        before = snapshot(file)
        for look in self.LOOKS:
            self.run_command(*look, file, status=NO_DOCUMENT)
        self.assertEqual(snapshot(file), before)

    def test_busy(self):
        for engine in self.each_engine():
            document = self.make_document(engine)
            uri = GLib.filename_to_uri(str(self.top / 'scratch'), None).replace('file', engine, 1)
            (self.top / 'scratch').mkdir(exist_ok=True)
            store = Bs.BackingStore.new(Bs.Backing.new_for_uri(uri))
            tracked = store.track_path(Gio.File.new_for_path(str(document)), None)
            for look in self.LOOKS:
                self.assertIn('is in use', self.run_command(*look, document, status=BUSY))
            self.run_command('export', document, self.top / 'out', status=BUSY)
            self.run_command('copy', document, self.top / 'copy', status=BUSY)
            self.run_command('import', '--add', self.make_files(), document, status=BUSY)
            del tracked
            self.assertTrue(store.close(None))
            self.run_command('info', document)

    def test_newer(self):
        document = self.make_document()
        (document / '.backingstore').write_text('backingstore 2 persisted\n')
        for look in self.LOOKS:
            self.assertIn('newer version', self.run_command(*look, document, status=FAILED))

    def test_unknown_engine(self):
        self.assertIn('no engine', self.run_command('info', 'strange://host/path', status=FAILED))
        self.assertIn('memory', self.run_command('info', 'memory:x', status=FAILED))

    def test_not_permitted(self):
        if os.geteuid() != 0 or not shutil.which('setpriv'):
            self.skipTest('only root can become another user')
        document = self.make_document()
        os.chmod(self.top, 0o755)
        os.chmod(self.cache, 0o777)
        prefix = 'setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'
        for look in ['info'], ['verify'], ['list'], ['repair']:
            self.assertIn('Permission denied', self.run_command(*look, document, prefix=prefix, status=FAILED))
        self.run_command('copy', document, self.top / 'copy', prefix=prefix, status=FAILED)

    def test_readable_by_another_user(self):
        if os.geteuid() != 0 or not shutil.which('setpriv'):
            self.skipTest('only root can become another user')
        document = self.make_document()
        for path in (self.top, document.parent, document, *document.rglob('*')):
            os.chmod(path, 0o755 if path.is_dir() else 0o644)
        os.chmod(self.cache, 0o777)
        before = snapshot(document)
        prefix = 'setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'
        self.assertIn('3 contents', self.run_command('verify', document, prefix=prefix))
        self.run_command('repair', document, prefix=prefix, status=FAILED)
        self.assertEqual(snapshot(document), before)


class ExportTest(CommandTest):
    def test_export(self):
        files = self.make_files()
        for engine in self.each_engine():
            document = self.make_document(engine, files)
            out = self.top / engine / 'out'
            self.run_command('export', document, out)
            self.assertEqual(self.read_files(out), self.read_files(files))
            self.assertIn('not empty', self.run_command('export', document, out, status=FAILED))
            self.run_command('export', '--force', document, out, 'first')
            self.assertEqual((out / 'first (2)').read_bytes(), b'one')

    def test_some(self):
        document = self.make_document()
        written = self.run_json('export', document, self.top / 'out', 'third.txt')
        self.assertEqual([entry['file'] for entry in written], ['third.txt'])
        self.assertEqual(list(self.read_files(self.top / 'out')), ['third.txt'])
        key = self.get_key(document, 'first')
        self.run_command('export', document, self.top / 'by-key', key)
        self.assertEqual(self.read_files(self.top / 'by-key'), {key: b'one'})
        self.assertIn('no content of the name', self.run_command('export', document, self.top / 'none', 'x', status=FAILED))

    def test_own_root(self):
        document = self.make_own(self.top / 'document', {'a': b'1', 'b': b'2'}, root=b'own')
        self.run_command('export', document, self.top / 'out')
        files = self.read_files(self.top / 'out')
        self.assertEqual(sorted(files.values()), [b'1', b'2'])
        self.assertTrue(all(map(Bs.key_is_valid, files)))

    def test_hostile_names(self):
        names = ['../evil', '/absolute', '..', '.', '/', 'a//b', 'a/b', 'c', 'c/d', 'e/f', 'e', 'line\nbreak',
                 'x' * 300, 'x' * 299 + 'y', '%2F', '.backingstore-export', 'back\\slash', 'twice.txt', './twice.txt']
        document = self.make_own(self.top / 'document', {name: name.encode() for name in names})
        written = {entry['name']: entry['file'] for entry in self.run_json('export', document, self.top / 'a/out')}
        files = self.read_files(self.top / 'a/out')
        self.assertEqual({name: files[path] for name, path in written.items()}, {name: name.encode() for name in names})
        self.assertEqual(len(files), len(names))
        self.assertEqual(sorted(path.name for path in (self.top / 'a').iterdir()), ['out'])
        self.assertEqual((written['../evil'], written['/absolute'], written['..']), ('%2E%2E/evil', 'absolute', '%2E%2E (2)'))
        self.assertEqual((written['a//b'], written['a/b']), ('a/b', 'a/b (2)'))
        self.assertEqual((written['c/d'], written['e']), ('c (2)/d', 'e (2)'))

    def test_links_in_the_target(self):
        outside = self.top / 'outside'
        outside.mkdir()
        target = outside / 'target'
        target.write_text('kept')
        out = self.top / 'out'
        out.mkdir()
        (out / 'folder').symlink_to(outside)
        (out / 'first').symlink_to(target)
        self.run_command('export', '--force', self.make_document(), out)
        self.assertEqual(self.read_files(outside), {'target': b'kept'})
        self.assertEqual((out / 'folder (2)/second').read_bytes(), b'two')
        self.assertEqual((out / 'first (2)').read_bytes(), b'one')

    def test_damaged(self):
        for engine in self.each_engine():
            if engine == 'sqlite' and not shutil.which('sqlite3'):
                continue
            document = self.make_document(engine)
            self.damage(document, self.get_key(document, 'first'))
            out = self.top / engine / 'out'
            self.assertIn('damaged or missing', self.run_command('export', document, out, status=CORRUPT))
            self.assertEqual(sorted(self.read_files(out)), ['folder/second', 'third.txt'])

    def test_full(self):
        self.run_on_small_disk('"$0" export document out; status=$?; ls out; exit $status',
                               self.make_document(folder=self.make_files('large', large=os.urandom(3 << 20))))

    def run_on_small_disk(self, script, document):
        """With a disk of 1 MiB at the folder "out"."""
        (self.top / 'out').mkdir()
        (self.top / 'document').symlink_to(document)
        mount = f'mount -t tmpfs -o size=1m small out && {script}'
        process = subprocess.run(['unshare', '--mount', 'sh', '-c', mount, COMMAND], cwd=self.top, text=True,
                                 env=self.environment, capture_output=True, timeout=WATCHDOG)
        if 'ermission' in process.stderr or 'Operation not permitted' in process.stderr:
            self.skipTest('this user cannot mount')
        self.assertEqual(process.returncode, FAILED, process.stderr)
        self.assertIn('No space', process.stderr)
        return process.stdout

    def test_full_copy(self):
        document = self.make_document(folder=self.make_files('large', large=os.urandom(3 << 20)))
        output = self.run_on_small_disk('{ "$0" copy document out/copy; status=$?; '
                                        '"$0" info --json out/copy; ls out; exit $status; }', document)
        self.assertEqual(json.loads(output.splitlines()[0])['root'], None)
        self.assertEqual(output.splitlines()[1:], ['copy'])


class ImportTest(CommandTest):
    def test_round_trip(self):
        files = self.make_files()
        (files / 'link').symlink_to('first')
        (files / 'empty').touch()
        for engine in self.each_engine():
            output = self.run_command('import', f'--engine={engine}', files, self.top / engine / 'document')
            self.assertIn('4 files', output)
            self.run_command('export', self.top / engine / 'document', self.top / engine / 'out')
            (files / 'link').unlink(missing_ok=True)
            self.assertEqual(self.read_files(self.top / engine / 'out'), self.read_files(files))

    def test_files(self):
        files = self.make_files()
        self.run_command('import', files / 'third.txt', files / 'first', self.top / 'document')
        self.assertEqual(self.run_command('list', self.top / 'document').split(), ['third.txt', 'first'])

    def test_add_and_replace(self):
        for engine in self.each_engine():
            document = self.make_document(engine)
            more = self.make_files('more', **{'first': b'new', 'fourth': b'four'})
            self.assertIn('--add', self.run_command('import', more, document, status=FAILED))
            self.assertIn('--replace', self.run_command('import', '--add', '--replace', more, document, status=USAGE))
            self.assertEqual(self.run_json('info', document)[0]['blobs'], 3)
            self.run_command('import', '--add', more, document)
            self.assertEqual(self.run_command('list', document).split(), ['first', 'folder/second', 'third.txt', 'fourth'])
            self.run_command('export', document, self.top / engine / 'out', 'first')
            self.assertEqual((self.top / engine / 'out/first').read_bytes(), b'new')
            self.assertEqual(self.run_json('info', document)[0]['blobs'], 4)
            self.run_command('import', '--replace', more, document)
            self.assertEqual(self.run_json('info', document)[0]['blobs'], 2)

    def test_own_root(self):
        document = self.make_own(self.top / 'document', {'a': b'1'}, root=b'own')
        before = (document / 'root').read_bytes()
        self.assertIn('its application', self.run_command('import', '--add', self.make_files(), document, status=FAILED))
        self.assertEqual((document / 'root').read_bytes(), before)

    def test_dry_run(self):
        output = self.run_command('import', '--dry-run', self.make_files(), self.top / 'document')
        self.assertEqual(output.split(), ['first', 'folder/second', 'third.txt'])
        self.assertFalse((self.top / 'document').exists())

    def test_failures(self):
        self.assertIn('no file', self.run_command('import', 'missing', self.top / 'document', status=FAILED))
        bad = os.fsencode(self.make_files('bad', good=b'1')) + b'/\xff'
        with open(bad, 'wb'):
            pass
        self.assertIn('UTF-8', self.run_command('import', 'bad', self.top / 'document', status=FAILED))
        self.assertFalse((self.top / 'document').exists())

    def test_more_than_memory_is_to_take(self):
        """Contents of four times the budget."""
        files = self.make_files('large', **{f'{i}': os.urandom(4 << 20) for i in range(32)})
        process = self.start('import', '--quiet', files, self.top / 'document')
        peaks = [0]

        def has_ended():
            status = pathlib.Path(f'/proc/{process.pid}/status').read_text()
            peaks.extend(map(int, re.findall(r'VmHWM:\s+(\d+) kB', status)))
            return False

        wait_for(has_ended, process)
        self.assertEqual(process.returncode, DONE)
        self.assertLess(max(peaks), 100 << 10)
        self.run_command('verify', self.top / 'document')


class CopyTest(CommandTest):
    def pairs(self):
        engines = [engine for engine in ENGINES if engine == 'file' or has_sqlite()]
        return itertools.product(engines, engines)

    def test_copy(self):
        files = self.make_files()
        for source, target in self.pairs():
            name = f'{source}-{target}'
            document = self.make_document(source, files, name)
            before = snapshot(document)
            copy = self.top / f'copy-{name}'
            copied, = self.run_json('copy', document, f'{target}:{copy}')
            self.assertEqual((copied['blobs'], copied['root'], copied['done']), (3, True, True))
            self.assertEqual(snapshot(document), before)
            self.assertEqual(self.run_json('list', '-l', copy), self.run_json('list', '-l', document))
            self.assertEqual(self.run_json('info', copy)[0]['engine'], target)
            self.run_command('export', copy, self.top / f'out-{name}')
            self.assertEqual(self.read_files(self.top / f'out-{name}'), self.read_files(files))
            self.run_command('verify', copy)

    def test_own_root(self):
        document = self.make_own(self.top / 'document', {'a': b'1', 'b': b'2'}, root=b'\x00own\xff')
        self.run_command('copy', document, self.top / 'copy')
        self.assertEqual((self.top / 'copy/root').read_bytes(), b'\x00own\xff')
        self.assertEqual(self.run_json('list', document), self.run_json('list', self.top / 'copy'))

    def test_target_with_contents(self):
        for engine in self.each_engine():
            document = self.make_document(engine)
            other = self.make_document(engine, self.make_files('other', other=b'other'), 'other')
            before = snapshot(other)
            self.assertIn('--replace', self.run_command('copy', document, other, status=FAILED))
            self.assertIn('--replace', self.run_command('copy', '--dry-run', document, other, status=FAILED))
            self.assertEqual(self.run_command('list', other).split(), ['other'])
            self.assertEqual(self.run_json('copy', '--dry-run', '--replace', document, other)[0]['done'], False)
            if engine == 'file':
                self.assertEqual({name for name in snapshot(other)}, set(before))
            self.run_command('copy', '--replace', document, other)
            self.assertEqual(self.run_json('list', other), self.run_json('list', document))
            self.assertEqual(self.run_json('info', other)[0]['blobs'], 3)

    def test_never_saved(self):
        document = self.make_document()
        (document / 'root').unlink()
        other = self.make_document(name='other')
        self.assertIn('never saved', self.run_command('copy', '--replace', document, other, status=FAILED))
        self.run_command('copy', document, self.top / 'copy')
        self.assertEqual(self.run_json('info', self.top / 'copy')[0]['blobs'], 3)

    def test_empty(self):
        (self.top / 'empty').mkdir()
        self.run_command('copy', self.top / 'empty', self.top / 'copy')
        self.assertEqual(self.run_json('info', self.top / 'copy')[0]['blobs'], 0)

    def test_one_document(self):
        document = self.make_document()
        for target in document, document / 'below', document.parent:
            self.assertIn('one document', self.run_command('copy', document, target, status=FAILED))

    def test_damaged(self):
        document = self.make_document()
        self.damage(document, self.get_key(document, 'first'))
        self.run_command('copy', document, self.top / 'copy', status=CORRUPT)
        self.assertIsNone(self.run_json('info', self.top / 'copy')[0]['root'])

    def make_large(self, n_names=N_LARGE):
        names = {f'{i}': bytes([i & 255]) * 3000 for i in range(n_names)}
        return self.make_own(self.top / 'large', names)

    def count_blobs(self, target):
        if target.is_file():
            logs = target.with_name(target.name + '-wal')
            return sum(os.path.getsize(path) // 3000 for path in (target, logs) if path.exists())
        return sum(1 for _path in target.glob('??/*'))

    def stop_copy(self, number, document, target, n_blobs, *options):
        """Stops a copy once so many blobs are there. Tells whether that was before its end."""
        process = self.start('copy', *options, document, target, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        path = pathlib.Path(re.sub('^(file|sqlite):', '', str(target)))
        wait_for(lambda: path.exists() and self.count_blobs(path) >= n_blobs, process)
        process.send_signal(number)
        status = process.wait(WATCHDOG)
        if number == signal.SIGINT and status != DONE:
            self.assertEqual(status, 128 + signal.SIGINT)
        return status != DONE

    def clean_up_scratch(self):
        """A process that is killed leaves its scratch to the next one."""
        for path in (*self.cache.iterdir(), *self.top.glob('*backingstore-*')):
            shutil.rmtree(path)

    def test_killed_and_gone_on_with(self):
        document = self.make_large()
        listed = self.run_json('list', document)
        for engine in self.each_engine():
            for number in signal.SIGKILL, signal.SIGINT:
                target = self.top / engine / f'copy-{number}'
                n_stopped = 0
                for n_blobs in 1, N_LARGE // 6, N_LARGE // 3:
                    stopped = self.stop_copy(number, document, f'{engine}:{target}', n_blobs)
                    if not target.exists():
                        continue
                    found, = (self.run_json('info', target) if engine == 'file' or not stopped
                              else self.run_json('repair', target) and self.run_json('info', target))
                    self.assertEqual(found['root'], None if stopped else 'manifest')
                    n_stopped += stopped
                    if not stopped:
                        break
                self.assertGreater(n_stopped, 0)
                self.run_command('copy', '--replace', document, target)
                self.assertEqual(self.run_json('list', target), listed)
                self.run_command('verify', '-q', target)
        self.clean_up_scratch()

    def test_killed_over_an_old_document(self):
        document = self.make_large()
        old = self.make_document()
        listed = self.run_json('list', old)
        before = self.count_blobs(old)
        self.assertTrue(self.stop_copy(signal.SIGKILL, document, old, before + N_LARGE // 10, '--replace'))
        self.assertEqual(self.run_json('list', old)[:3], listed)
        self.assertEqual(self.run_json('info', old)[0]['missing'], 0)
        self.run_command('verify', '-q', old)
        self.run_command('copy', '--replace', document, old)
        self.assertEqual(self.run_json('list', old), self.run_json('list', document))
        self.clean_up_scratch()

    def test_progress_on_a_terminal(self):
        document = self.make_large(2000)
        controller, terminal = pty.openpty()
        process = self.start('copy', document, self.top / 'copy', stdout=subprocess.DEVNULL, stderr=terminal)
        os.close(terminal)
        shown = b''
        while True:
            try:
                part = os.read(controller, 4096)
            except OSError:
                break
            if not part:
                break
            shown += part
        os.close(controller)
        self.assertEqual(process.wait(WATCHDOG), DONE)
        self.assertRegex(shown.decode(), r'\rCopying \[#* *\] +\d+%')
        self.assertTrue(shown.endswith(b'\r\033[K'))
        quiet = self.start('copy', document, self.top / 'other', stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        output, messages = quiet.communicate(timeout=WATCHDOG)
        self.assertEqual((messages, quiet.returncode), (b'', DONE))
        self.assertNotIn(b'%', output)


class ServerTest(CommandTest):
    """A document on a server that speaks S3."""

    def setUp(self):
        super().setUp()
        server = pathlib.Path(__file__).parent.parent / 's3' / 'server.py'
        try:
            Bs.Backing.new_for_uri('s3://bucket/top')
        except GLib.Error:
            self.skipTest('there is no engine for S3')
        if not server.exists():
            self.skipTest('there is no server here')
        text = server.read_text()
        self.environment.update(
            AWS_ACCESS_KEY_ID=re.search(r"^ID = '(.*)'", text, re.MULTILINE)[1],
            AWS_SECRET_ACCESS_KEY=re.search(r"^SECRET = '(.*)'", text, re.MULTILINE)[1],
            AWS_CONFIG_FILE='/dev/null', AWS_SHARED_CREDENTIALS_FILE='/dev/null', no_proxy='*')
        process = subprocess.Popen(['/usr/bin/python3', server], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.stdin.close)
        self.server = f'http://127.0.0.1:{int(process.stdout.readline())}'
        self.query = f'?endpoint={self.server}'

    def tell_server(self, **command):
        """The names of all objects."""
        request = urllib.request.Request(f'{self.server}/_control', json.dumps([command]).encode())
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=WATCHDOG) as answer:
            return json.load(answer)['names']

    def test_copy_and_back(self):
        files = self.make_files()
        document = self.make_document('file', files)
        remote = f's3://bucket/top/album{self.query}'
        self.run_command('copy', document, remote)
        self.assertEqual(self.run_json('list', remote), self.run_json('list', document))
        found, = self.run_json('info', remote)
        self.assertEqual((found['engine'], found['root'], found['blobs']), ('s3', 'manifest', 3))
        self.assertEqual(self.run_json('verify', remote)[0]['checked'], 3)
        self.assertIn('--replace', self.run_command('copy', document, remote, status=FAILED))
        self.assertIn('not on a disk', self.run_command('du', remote, status=FAILED))
        self.run_command('copy', remote, self.top / 'back')
        self.run_command('export', self.top / 'back', self.top / 'out')
        self.assertEqual(self.read_files(self.top / 'out'), self.read_files(files))
        self.run_command('import', '--add', self.make_files('more', fourth=b'4'), remote)
        self.run_command('export', remote, self.top / 'remote-out')
        self.assertEqual(sorted(self.read_files(self.top / 'remote-out')),
                         ['first', 'folder/second', 'fourth', 'third.txt'])

    def test_repair(self):
        remote = f's3://bucket/top/album{self.query}'
        self.run_command('import', self.make_files(), remote)
        key = self.get_key(remote, 'first')
        self.assertIn('nothing is to be repaired', self.run_command('repair', remote))
        self.tell_server(spoil=f'top/album/{key[:2]}/{key}')
        before = self.tell_server()
        self.assertIn('would be set aside: 1', self.run_command('repair', '--dry-run', '--quarantine', remote))
        self.assertEqual(self.tell_server(), before)
        self.assertIn('were set aside: 1', self.run_command('repair', '--quarantine', remote))
        self.assertEqual(self.run_json('verify', remote, status=CORRUPT)[0]['missing-names'], ['first'])
        self.assertIn('nothing', self.run_command('repair', remote))

        # The content is whole again.
        aside = f'top/album/.quarantine/{key}'
        before = self.tell_server(spoil=aside)
        self.assertIn(aside, before)
        self.assertIn('would be put back: 1', self.run_command('repair', '--dry-run', remote))
        self.assertEqual(self.run_json('repair', '--dry-run', remote), [
            {'document': remote, 'marked': False, 'restored': 1, 'set-aside': 0, 'done': False}])
        self.assertEqual(self.tell_server(), before)
        self.run_command('verify', remote, status=CORRUPT)

        self.tell_server(fault='403', method='COPY')
        message = self.run_command('repair', remote, status=FAILED)
        for text in 's3://bucket/top/album', aside:
            self.assertIn(text, message)
        self.assertIn(aside, self.tell_server())
        self.assertIn('were put back: 1', self.run_command('repair', remote))
        self.assertNotIn(aside, self.tell_server())
        self.assertIn('nothing', self.run_command('repair', remote))
        self.run_command('verify', remote)
        self.run_command('export', remote, self.top / 'out')
        self.assertEqual(self.read_files(self.top / 'out'), self.read_files(self.top / 'files'))

    def test_repair_of_a_document_in_use(self):
        remote = f's3://bucket/top/album{self.query}'
        self.run_command('import', self.make_files(), remote)
        self.tell_server(set='top/album/.lock', body='owner other\nhost elsewhere\nexpiry 60\n')
        before = self.tell_server()
        self.assertIn('elsewhere', self.run_command('repair', remote, status=BUSY))
        self.assertEqual(self.tell_server(), before)
        self.tell_server(advance=100)
        self.run_command('repair', remote)


class RepairTest(CommandTest):
    def test_nothing(self):
        for engine in self.each_engine():
            document = self.make_document(engine)
            self.assertIn('nothing is to be repaired', self.run_command('repair', document))

    def test_marker(self):
        document = self.make_document()
        (document / '.backingstore').write_bytes(b'')
        (document / 'desktop.ini').write_text('text')
        before = snapshot(document)
        self.assertIn('damaged', self.run_command('repair', document, status=NO_DOCUMENT))
        self.assertIn('would be made', self.run_command('repair', '--adopt', '--dry-run', document))
        self.assertEqual(snapshot(document), before)
        self.assertTrue(self.run_json('repair', '--adopt', document)[0]['marked'])
        self.assertEqual(self.run_command('list', document).split(), ['first', 'folder/second', 'third.txt'])
        self.assertTrue((document / 'desktop.ini').exists())

    def test_nothing_to_adopt(self):
        folder = self.make_files()
        before = snapshot(folder)
        messages = self.run_command('repair', '--adopt', folder, status=NO_DOCUMENT)
        self.assertIn('no blobs', messages)
        self.assertNotIn('--adopt', messages)
        self.assertEqual(snapshot(folder), before)

    def test_lost_dot_files(self):
        document = self.make_document()
        for name in '.backingstore', '.lock':
            (document / name).unlink()
        self.assertIn('would be made', self.run_command('repair', '--dry-run', document))
        self.assertFalse((document / '.backingstore').exists())
        self.assertIn('was made', self.run_command('repair', document))
        self.assertTrue((document / '.backingstore').exists())

    def test_quarantine(self):
        document = self.make_document()
        key = self.get_key(document, 'first')
        self.damage(document, key)
        found, = self.run_json('repair', '--dry-run', '--quarantine', document)
        self.assertEqual((found['set-aside'], found['done']), (1, False))
        self.assertTrue((document / key[:2] / key).exists())
        self.assertIn('set aside: 1', self.run_command('repair', '--quarantine', document))
        self.assertFalse((document / key[:2] / key).exists())
        self.assertEqual(self.run_json('info', document)[0]['quarantined'], 1)
        self.assertIn('nothing', self.run_command('repair', document))

        # The content is whole again, as after an error of a cable.
        aside, = (document / '.quarantine').iterdir()
        status = aside.stat()
        with open(aside, 'r+b') as file:
            file.write(b'one')
        os.utime(aside, ns=(status.st_atime_ns, status.st_mtime_ns))
        self.assertIn('would be put back: 1', self.run_command('repair', '--dry-run', document))
        self.assertIn('were put back: 1', self.run_command('repair', document))
        self.run_command('verify', document)

    def test_quarantine_of_one_file(self):
        if not has_sqlite() or not shutil.which('sqlite3'):
            self.skipTest('there is no SQLite')
        (self.top / 'sqlite').mkdir()
        document = self.make_document('sqlite')
        self.damage(document, self.get_key(document, 'first'))
        self.assertEqual(self.run_json('repair', '--quarantine', document)[0]['set-aside'], 1)
        self.assertEqual(self.run_json('verify', document, status=CORRUPT)[0]['missing-names'], ['first'])
        self.assertEqual(self.run_json('repair', document)[0]['restored'], 0)

        # The content is whole again.
        subprocess.run(['sqlite3', document, "UPDATE blob SET content = CAST('one' AS BLOB) "
                        'WHERE id IN (SELECT id FROM quarantine)'], check=True)
        found, = self.run_json('repair', '--dry-run', document)
        self.assertEqual((found['restored'], found['done']), (1, False))
        self.run_json('verify', document, status=CORRUPT)
        # A file with two names is none to change.
        os.link(document, self.top / 'sqlite' / 'link')
        self.assertIn('link', self.run_command('repair', document, status=FAILED))
        (self.top / 'sqlite' / 'link').unlink()
        self.assertIn('were put back: 1', self.run_command('repair', document))
        self.assertIn('nothing', self.run_command('repair', document))
        self.run_command('verify', document)


if __name__ == '__main__':
    unittest.main()
