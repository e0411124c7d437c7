#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 The backingstore authors
"""The scripts below tests/env that install, show and count, and those of examples up to there."""

import hashlib
import json
import os
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
ENV = TOP / 'tests' / 'env'


class EnvTestCase(unittest.TestCase):
    """Programs that are put before those of the machine, and a place for logs."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.top = Path(directory.name)
        self.bin = self.top / 'bin'
        self.bin.mkdir()
        self.log = self.top / 'log'

    def put(self, name, script):
        (self.bin / name).write_text(f'#!/bin/sh\n{script}\n')
        (self.bin / name).chmod(0o755)

    def run_script(self, script, *arguments, **environment):
        return subprocess.run([script, *map(str, arguments)], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                              timeout=60, env={**os.environ, 'PATH': f'{self.bin}:{os.environ["PATH"]}', **environment})


class InstallTest(EnvTestCase):
    def install(self, installed, *packages, uid=0, apt='echo "$@"'):
        self.put('dpkg', 'echo amd64')
        self.put('dpkg-query', f'printf "%s\\n" {" ".join(repr(line) for line in installed)}; exit 1')
        self.put('id', f'echo {uid}')
        self.put('apt-get', apt)
        return self.run_script(ENV / 'install', self.log, *packages)

    def test_all_there(self):
        result = self.install(['installed amd64 gcc', 'installed all meson'], 'gcc', 'meson')
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, '', ''))
        self.assertFalse(self.log.exists())

    def test_both_architectures(self):
        result = self.install(['installed amd64 gcc', 'installed i386 gcc', 'not-installed i386 gjs',
                               'installed amd64 gjs'], 'gcc', 'gjs')
        self.assertEqual((result.returncode, result.stdout), (0, ''))

    def test_other_architecture(self):
        result = self.install(['installed i386 gcc', 'installed amd64 gjs', 'config-files amd64 meson'],
                              'gcc', 'gjs', 'meson')
        self.assertEqual(result.returncode, 0)
        self.assertIn('Installing 2 packages', result.stdout)
        self.assertRegex(self.log.read_text(), r'install -y --no-install-recommends gcc meson\n$')

    def test_no_right(self):
        result = self.install(['installed amd64 gcc'], 'gcc', 'gjs', uid=1000)
        self.assertEqual(result.returncode, 1)
        self.assertIn('Missing: gjs\n', result.stderr)

    def test_stale_lists(self):
        result = self.install([], 'gcc', apt=f'''
            case $* in
              *update*) touch {self.top}/updated ;;
              *) test -e {self.top}/updated ;;
            esac''')
        self.assertEqual(result.returncode, 0)

    def test_failure(self):
        result = self.install([], 'nonesuch', apt='echo "dlstatus:1:50.0:no news"; echo "no such package"; exit 100')
        self.assertNotEqual(result.returncode, 0)
        self.assertIn('no such package', result.stderr)
        self.assertNotIn('no news', result.stderr)


class ShowTest(EnvTestCase):
    def show(self, *command):
        return self.run_script(ENV / 'show', 'Working', self.log, *command)

    def test_success(self):
        result = self.show('sh', '-c', 'echo "[1/2] one"; echo warning >&2')
        self.assertRegex(result.stdout, r'^Working: \d+ s\n$')
        self.assertEqual((result.returncode, result.stderr), (0, ''))
        self.assertEqual(self.log.read_text(), '[1/2] one\nwarning\n')

    def test_failure(self):
        self.log.write_text('of an earlier run\n')
        result = self.show('sh', '-c', 'echo wrong; exit 3')
        self.assertEqual(result.returncode, 3)
        self.assertEqual(result.stdout, 'Working: failed\n')
        self.assertEqual(result.stderr, f'wrong\nAll of it is in {self.log}\n')

    def test_no_old_log(self):
        """A program that is missing is the error; what an earlier one said is not."""
        self.log.write_text('of an earlier run\n')
        result = self.show('/nonexistent/program')
        self.assertEqual(result.returncode, 127)
        self.assertNotIn('earlier', result.stderr)
        self.assertIn('/nonexistent/program', result.stderr)


class RootTest(EnvTestCase):
    def test_old_ones(self):
        """A root that is there is taken, and those of a month ago go, whatever is in them."""
        cache = self.top / 'backingstore-tests'
        packages = [line for line in (ENV / 'packages-debian12').read_text().splitlines() if not line.startswith('#')]
        digest = hashlib.sha256(('\n'.join(packages) + '\n').encode()).hexdigest()[:12]
        month_old, young, wanted, other = (cache / name for name in (
            'bookworm-i386-0123456789ab', 'trixie-i386-0123456789ab', f'bookworm-i386-{digest}', 'glib-tsan'))
        for directory in month_old, young, wanted, other:
            (directory / 'etc').mkdir(parents=True)
        for directory in month_old, other:
            os.utime(directory, (0, time.time() - 32 * 24 * 60 * 60))

        result = self.run_script(ENV / 'debian-root', 'bookworm', 'i386', 'debian12', XDG_CACHE_HOME=str(self.top))
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, f'{wanted}\n', ''))
        self.assertEqual({path for path in cache.iterdir() if path.is_dir()}, {young, wanted, other})


class CountTest(EnvTestCase):
    def count(self, *entries):
        path = self.top / 'testlog.json'
        path.write_text('\n'.join(json.dumps({'name': 'suite / program', 'returncode': 0, **entry}) for entry in entries))
        result = self.run_script(ENV / 'count-results', self.log, path)
        self.assertEqual(result.returncode, 0)
        return list(map(int, result.stdout.split())), self.log.read_text(), result.stderr

    def test_lines(self):
        counts, skips, failures = self.count(
            {'result': 'OK', 'stdout': 'ok 1 /one\nok 2 - two # SKIP no disk\nok 3 /three # skip\nnot ok 4 # TODO\n'},
            {'result': 'FAIL', 'stdout': 'ok 1 one\nnot ok 2 two\nnot ok 3 three\n', 'returncode': 2})
        self.assertEqual(counts, [3, 2, 2])
        self.assertEqual(skips, 'no disk\tprogram two\nfor no reason\t/three\n')
        self.assertIn('status 2', failures)

    def test_programs(self):
        counts, skips, failures = self.count(
            {'result': 'OK', 'stdout': ''}, {'result': 'SKIP', 'stdout': '1..0 # SKIP no kernel\n'},
            {'result': 'SKIP', 'stdout': ''}, {'result': 'SKIP', 'stdout': 'looking\nno compiler\n'},
            {'result': 'TIMEOUT', 'stdout': 'ok 1 one\n'})
        self.assertEqual(counts, [2, 1, 3])
        self.assertEqual(skips, 'no kernel\tprogram\nfor no reason\tprogram\nno compiler\tprogram\n')
        self.assertIn('TIMEOUT', failures)


class RunTest(EnvTestCase):
    scripts = [TOP / 'tests' / 'run', TOP / 'docs' / 'examples' / 'run', TOP / 'docs' / 'examples' / 'gallery' / 'run']

    def test_help(self):
        for script in self.scripts:
            for option in '-h', '--help':
                result = self.run_script(script, option)
                self.assertEqual((result.returncode, result.stderr), (0, ''))
                self.assertIn('BACKINGSTORE_BUILDS', result.stdout)
            self.assertEqual(self.run_script(script, '--nonesuch').returncode, 2)

    def test_nowhere_to_build(self):
        (self.top / 'file').touch()
        builds = self.top / 'file' / 'builds'
        for script in self.scripts:
            result = self.run_script(script, BACKINGSTORE_BUILDS=str(builds), DISPLAY=':0')
            self.assertEqual(result.returncode, 1)
            self.assertIn(f'{builds} cannot be written: set BACKINGSTORE_BUILDS', result.stderr)

    def test_gallery(self):
        """A gallery that cannot be opened says why, and begins nothing."""
        script = self.scripts[-1]
        result = self.run_script(script, DISPLAY='', WAYLAND_DISPLAY='', BACKINGSTORE_BUILDS=str(self.top / 'builds'))
        self.assertEqual(result.returncode, 1)
        self.assertIn('neither DISPLAY nor WAYLAND_DISPLAY is set', result.stderr)
        for option, status in ('--language=perl', 2), ('--language=', 2), ('--budget=much', 1):
            result = self.run_script(script, option, DISPLAY=':0', BACKINGSTORE_BUILDS=str(self.top / 'builds'))
            self.assertEqual(result.returncode, status)
        self.assertFalse((self.top / 'builds').exists())
