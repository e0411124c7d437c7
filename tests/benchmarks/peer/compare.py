#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 The backingstore authors
"""Puts our benchmarks and the Rust crate file_backed side by side.

Runs a round of ours and a round of the crate's in turn, and prints the medians, and
the ratio of the medians with the lowest and the highest ratio of a round.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.dirname(os.path.dirname(HERE))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(TESTS, 'interop'))

import cargo

NAMES = ['files', 'track', 'manager', 'bulk']
WITH_FILES = ['files', 'track']
SKIPPED = 77  # as Meson wants it

# A pool that has another item leave with each load stands beside one that does so.
PEER_HEADINGS = {('load, 4 KiB', 'ours, the backing'): 'load without eviction, 4 KiB'}


def run(command):
    """The figures that a program prints, as {(heading, series): (value, unit)}; a series has two for what may sleep."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f'{" ".join(command)}: {done.stderr}')
    found, heading, series = {}, None, None
    for line in done.stdout.splitlines():
        figure = re.match(r'  (  )?(\S.*?)\s+([0-9.]+) (ns|us)\b', line)
        if figure is None:
            heading = line
            continue
        series = f'{series}, processor' if figure[1] else figure[2]
        found[heading, series] = float(figure[3]), figure[4]
    return found


def find_peer(heading, series, peer):
    """The crate's series for one of ours."""
    for (start, ours), other in PEER_HEADINGS.items():
        if heading.startswith(start) and series.startswith(ours):
            heading = other + heading[len(start):]
    suffix = ', processor' if series.endswith(', processor') else ''
    for candidate in series.replace('ours', 'peer', 1), 'peer' + suffix:
        if (heading, candidate) in peer:
            return heading, candidate
    return None


def print_one(key, peer_key, ours, peer):
    unit = ours[0][key][1]
    pairs = [(a[key][0], b[peer_key][0]) for a, b in zip(ours, peer)]
    ratios = [a / b for a, b in pairs if b > 0]
    left, right = (statistics.median(values) for values in zip(*pairs))
    if not ratios or right == 0:
        return
    print(f'  {key[1]:<52} {left:9.1f} {unit}, peer {right:9.1f} {unit}  '
          f'{left / right:.2f} x peer ({min(ratios):.2f} to {max(ratios):.2f})')


def compare(program, benchmark, name, options):
    sizes = ['--keys', str(options.keys)] if options.keys else []
    if name in WITH_FILES and options.directory:
        sizes += ['--directory', options.directory]
    if options.smoke:
        sizes += ['--smoke']
    elif name != 'files' and not options.keys:
        sizes += ['--keys', '1000000']
    ours, peer = [], []
    for _ in range(2 if options.smoke else options.rounds):
        ours.append(run([benchmark, '--rounds', '1', *sizes]))
        peer.append(run([program, name, '--rounds', '1', *sizes]))

    heading, n = None, 0
    for key in ours[0]:
        peer_key = find_peer(*key, peer[0])
        if not key[1].startswith('ours') or peer_key is None:
            continue
        if key[0] != heading:
            heading = key[0]
            print(heading)
        print_one(key, peer_key, ours, peer)
        n += 1
    if n == 0:
        sys.exit(f'{name}: there is nothing to compare')


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('build', help='where ours were built')
    parser.add_argument('names', nargs='*', metavar='NAME', help=f'some of {", ".join(NAMES)}')
    parser.add_argument('--rounds', type=int, default=7)
    parser.add_argument('--keys', type=int, help='with so many keys instead')
    parser.add_argument('--directory', help='where files are made')
    parser.add_argument('--smoke', action='store_true', help='only show that it works')
    options = parser.parse_args()
    try:
        program = cargo.build(HERE, release=not options.smoke)
    except cargo.Missing as missing:
        print(f'skipped: {missing}')
        return SKIPPED
    for name in options.names or NAMES:
        benchmark = os.path.join(options.build, 'tests', 'benchmarks', f'benchmark-{name}')
        compare(program, benchmark, name, options)
    return 0


sys.exit(main())
