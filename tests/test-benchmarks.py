#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 The backingstore authors
"""tests/benchmarks/run, with programs that print what they are told."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from xml.etree import ElementTree

RUN = Path(__file__).resolve().parent / 'benchmarks' / 'run'
sys.dont_write_bytecode = True
sys.path.insert(0, str(RUN.parent))

import plots
import rows

HIT = 'ours, one thread, processor', 'floor, one thread, processor'
PAIR = 'ours, in the order of insertion', 'floor, in the order of insertion'


class RunTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.top = Path(directory.name)
        self.output = self.top / 'figures'
        self.programs = self.top / 'tests' / 'benchmarks'
        self.programs.mkdir(parents=True)

    def put(self, name, script):
        path = self.programs / f'benchmark-{name}'
        path.write_text(f'#!/bin/sh\n{script}\n')
        path.chmod(0o755)

    def put_figures(self, name, heading, *series):
        """A heading, and series: a name, a unit and samples."""
        lines = [heading, *('\t' + '\t'.join(map(str, one)) for one in series)]
        self.put(name, "cat << 'EOF'\n" + '\n'.join(lines) + '\nEOF')

    def run_it(self, *arguments):
        return subprocess.run([RUN, '--no-peer', '--build', self.top, '--output', self.output, *map(str, arguments)],
                              capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60)

    def get_line(self, result, work):
        self.assertEqual(result.returncode, 0, result.stderr)
        return next(line for line in result.stdout.splitlines() if work in line).split(' | ')

    def test_met(self):
        self.put_figures('hit', 'hit, 10000 items in memory', (HIT[0], 'ns', 40, 20, 30), (HIT[1], 'ns', 10, 10, 20))
        line = self.get_line(self.run_it('6'), '| a hit,')
        self.assertEqual(line[2:6], ['30 ns', '10 ns', '3.00 (1.50 to 4.00)', '50 ns'])
        self.assertIn('met', line[-1])

    def test_skipped(self):
        """A program that lacks something says so, and is none that failed."""
        self.put('gallery', 'echo there is no screen; exit 77')
        self.put_figures('hit', 'hit, 10000 items in memory', (HIT[0], 'ns', 40), (HIT[1], 'ns', 10))
        result = self.run_it('6', '21')
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn('gallery: there is no screen, and passed over', result.stdout)

    def test_missed(self):
        self.put_figures('hit', 'hit, 10000 items in memory', (HIT[0], 'ns', 51), (HIT[1], 'ns', 10))
        result = self.run_it('6')
        self.assertIn('**missed**', self.get_line(result, '| a hit,')[-1])
        self.assertIn('2 lines have a goal; 1 miss it', result.stdout)

    def test_times_the_floor(self):
        heading = 'sync after one persist, 1 MiB dirty elsewhere'
        self.put_figures('sync', heading, ('floor', 'us', 1000), ('ours', 'us', 2100))
        line = self.get_line(self.run_it('9'), 'sync after one')
        self.assertEqual(line[2:6], ['2.1 ms', '1 ms', '2.10 (2.10 to 2.10)', '2 ×'])
        self.assertIn('**missed**', line[-1])

    def test_growth(self):
        self.put('manager', 'while [ $1 != --keys ]; do shift; done\n'
                 'echo "persist and delete_persisted, the pair, $2 keys"\n'
                 f'printf "\\t{PAIR[0]}\\tns\\t%d\\n\\t{PAIR[1]}\\tns\\t10\\n" $(($2 / 4000))')
        line = self.get_line(self.run_it('12'), 'growth of persist')
        self.assertEqual(line[2], '125.00 ×')
        self.assertIn('**missed**', line[-1])

    def test_figures_of_others_stay(self):
        self.put_figures('hit', 'hit, 10000 items in memory', (HIT[0], 'ns', 40), (HIT[1], 'ns', 10))
        self.run_it('6')
        self.put_figures('sync', 'sync after one persist', ('floor', 'us', 10), ('ours', 'us', 10))
        self.get_line(self.run_it('9'), '| a hit,')
        self.get_line(self.run_it('--draw'), 'sync after one')

    def test_page_and_plots(self):
        page = self.top / 'page.md'
        page.write_text('Before\n<!-- begin: tests/benchmarks/run -->\nold\n<!-- end -->\nAfter\n')
        self.put_figures('hit', 'hit, 10000 items in memory', (HIT[0], 'ns', 40), (HIT[1], 'ns', 10))
        self.get_line(self.run_it('6', '--page', page), '| a hit,')
        text = page.read_text()
        self.assertRegex(text, r'(?s)^Before\n.*\| a hit, .*!\[.*\]\(performance-growth.svg\).*\nAfter\n$')
        self.assertNotIn('old', text)
        for name in 'goals', 'growth', 'beside':
            self.assertTrue(ElementTree.parse(self.top / f'performance-{name}.svg').getroot().tag.endswith('svg'))

    def test_colours(self):
        self.assertLessEqual({row.other_name for row in rows.ROWS}, plots.COLOURS.keys())

    def test_program_fails(self):
        self.put('hit', 'echo "no room" >&2; exit 3')
        result = self.run_it('6')
        self.assertEqual(result.returncode, 1)
        self.assertIn('no room', result.stderr)

        # The figures that it kept are none, and can be read.
        self.put_figures('hit', 'hit, 10000 items in memory', (HIT[0], 'ns', 40), (HIT[1], 'ns', 10))
        self.assertEqual(self.run_it('6').returncode, 0)

    def test_nothing_built(self):
        result = self.run_it('6')
        self.assertEqual(result.returncode, 1)
        self.assertIn('hit: not built', result.stdout)
        self.assertIn('There are no figures', result.stderr)

    def test_no_such_row(self):
        result = self.run_it('99')
        self.assertEqual(result.returncode, 2)
        self.assertIn('rows are', result.stderr)

    def test_smoke_misses_a_series(self):
        self.put_figures('hit', 'hit, 200 items in memory', ('another', 'ns', 40))
        result = self.run_it('--smoke', '6')
        self.assertEqual(result.returncode, 1)
        self.assertIn('hit prints no such series', result.stderr)


if __name__ == '__main__':
    unittest.main()
