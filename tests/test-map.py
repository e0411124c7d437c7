#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 The backingstore authors
"""Checks that the pages about the code name what exists, and that one names every test.

The first argument is the source directory, the second is the page of the tests, the
others are pages that name files, functions and types.
"""

import pathlib
import re
import sys

NAMES = {
    'file': re.compile(r'\b(bs-[\w-]+\.[ch])\b'),
    'function': re.compile(r'\b([a-z_][a-z0-9_]*)\(\)'),
    'type': re.compile(r'\b(Bs[A-Z]\w+)\b'),
    'constant': re.compile(r'\b(BS_[A-Z_]+)\b'),
}
CODE = re.compile(r'`([^`]+)`')
WORD = re.compile(r'\w+')


def complaints(page, text, known):
    for number, line in enumerate(text.splitlines(), 1):
        for code in CODE.findall(line):
            for kind, pattern in NAMES.items():
                for name in pattern.findall(code):
                    if name not in known[kind]:
                        yield f'{page}:{number}: no {kind} {name}'


def unnamed_tests(page, text):
    codes = set(CODE.findall(text))
    for path in sorted((top / 'tests').glob('test-*.c')):
        name = path.stem.removeprefix('test-')
        # A row may leave out the first part of a name that stands before it.
        if name not in codes and '-' + name.partition('-')[2] not in codes:
            yield f'{page}: no row has {name}'


def report(number, title, found):
    for complaint in found:
        print('#', complaint)
    print(f'{"not ok" if found else "ok"} {number} {title}')
    return not found


def read(page):
    return (top / page).read_text(encoding='utf-8')


top = pathlib.Path(sys.argv[1])
sources = sorted(path for folder in ('backingstore', 'tests') for path in (top / folder).rglob('*.[ch]'))
words = {word for path in sources for word in WORD.findall(path.read_text(encoding='utf-8'))}
known = {'file': {path.name for path in sources}, 'function': words, 'type': words, 'constant': words}

of_tests, *pages = sys.argv[2:]
print(f'1..{len(pages) + 1}')
fine = [report(1, f'{of_tests} names every test', list(unnamed_tests(of_tests, read(of_tests))))]
for page in pages:
    fine.append(report(len(fine) + 1, f'{page} names what exists', list(complaints(page, read(page), known))))
sys.exit(not all(fine))
