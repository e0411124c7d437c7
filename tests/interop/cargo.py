# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 The backingstore authors
"""Builds the Rust programs that tests and benchmarks need, outside of the source tree."""

import os
import re
import shutil
import subprocess

OLDEST = (1, 85)  # for edition 2024, which the crate is written in
SECONDS = 600     # half a minute where nobody else wants the processors


class Missing(Exception):
    """Why nothing can be built here."""


def find():
    usual = [os.path.expanduser('~/.cargo/bin/cargo'), '/usr/local/bin/cargo']
    cargo = os.environ.get('CARGO') or shutil.which('cargo') or next(filter(os.path.exists, usual), None)
    if cargo is None:
        raise Missing('there is no cargo')
    answer = subprocess.run([cargo, '--version'], capture_output=True, text=True)
    version = re.match(r'cargo (\d+)\.(\d+)', answer.stdout)
    if version is None:
        raise Missing(f'{cargo} does not work')
    if tuple(map(int, version.groups())) < OLDEST:
        raise Missing(f'{version[0]} is too old for the crate')
    return cargo


def build(directory, release=False):
    """Builds the program in that directory, which has its name; returns where it is."""
    cargo = find()
    cache = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
    target = os.path.join(cache, 'backingstore-tests', 'cargo')
    manifest = ['--locked', '--manifest-path', os.path.join(directory, 'Cargo.toml')]

    def run(command, *options):
        return subprocess.run([cargo, command, *manifest, *options], capture_output=True, text=True,
                              env={**os.environ, 'CARGO_TARGET_DIR': target}, timeout=SECONDS)

    # Without the network where all of it has been fetched before.
    if run('fetch', '--offline').returncode != 0:
        fetched = run('fetch')
        if fetched.returncode != 0:
            raise Missing('the registry is out of reach: ' + ' '.join(fetched.stderr.split())[-200:])
    built = run('build', '--offline', *(['--release'] if release else []))
    if built.returncode != 0:
        raise RuntimeError(built.stderr)
    return os.path.join(target, 'release' if release else 'debug', os.path.basename(directory))
