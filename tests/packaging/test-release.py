# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 The backingstore authors
"""Checks the claims about a version, and about the example as a Flatpak."""

import json
import re
import shutil
import subprocess
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent
MANIFEST = TOP / 'docs' / 'examples' / 'flatpak' / 'org.example.Backingstore.json'


def project_version():
    return re.search(r"version: '([\d.]+)'", (TOP / 'meson.build').read_text())[1]


class NewsTest(unittest.TestCase):
    def test_version(self):
        newest = re.search(r'^## (\S+)', (TOP / 'docs' / 'NEWS.md').read_text(), re.MULTILINE)[1]
        self.assertEqual(newest, project_version())


class LicenceTest(unittest.TestCase):
    SUFFIXES = {'.build', '.c', '.h', '.in', '.js', '.py', '.rs', '.toml', '.vala'}

    def test_sources(self):
        """Each source file says under which licence it is, and whose."""
        without = []
        n_files = 0
        for folder in 'backingstore', 'docs', 'tests':
            for path in (TOP / folder).rglob('*'):
                if path.suffix not in self.SUFFIXES or not path.is_file():
                    continue
                with open(path, encoding='utf-8') as file:
                    head = ''.join(line for line, _ in zip(file, range(6)))
                n_files += 1
                if not ('SPDX-License-Identifier: LGPL-2.1-or-later' in head and 'SPDX-FileCopyrightText: ' in head):
                    without.append(str(path.relative_to(TOP)))
        self.assertGreater(n_files, 200)
        self.assertEqual(without, [])


class ManifestTest(unittest.TestCase):
    def setUp(self):
        self.manifest = json.loads(MANIFEST.read_text())

    def test_names(self):
        self.assertEqual(self.manifest['id'], MANIFEST.stem)
        self.assertEqual([module['name'] for module in self.manifest['modules']], ['xxhash', 'backingstore'])
        for key in 'runtime', 'runtime-version', 'sdk':
            self.assertTrue(self.manifest[key])
        self.assertIn(f'/bin/{self.manifest["command"]}', self.manifest['modules'][-1]['build-commands'][-1])

    def test_sources(self):
        for module in self.manifest['modules']:
            for source in module['sources']:
                if source['type'] == 'dir':
                    self.assertEqual((MANIFEST.parent / source['path']).resolve(), TOP)
                else:
                    self.assertEqual(source['type'], 'archive')
                    self.assertTrue(source['url'].startswith('https://'))
                    self.assertRegex(source['sha256'], r'^[0-9a-f]{64}$')

    def test_options(self):
        known = set(re.findall(r"^option\('(\w+)'", (TOP / 'meson_options.txt').read_text(), re.MULTILINE))
        used = re.findall(r'-D(\w+)=', ' '.join(self.manifest['modules'][-1]['build-commands']))
        self.assertTrue(used)
        self.assertLessEqual(set(used), known)

    @unittest.skipUnless(shutil.which('flatpak-builder'), 'there is no flatpak-builder')
    def test_builder(self):
        said = subprocess.run(['flatpak-builder', '--show-manifest', MANIFEST], capture_output=True, text=True, timeout=60)
        self.assertEqual((said.returncode, said.stderr), (0, ''))
        self.assertEqual(json.loads(said.stdout)['id'], self.manifest['id'])
