#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 The backingstore authors
"""Checks that the pages about the code name files, functions and types that exist.

The first argument is the source directory, the others are pages in it.
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


top = pathlib.Path(sys.argv[1])
sources = sorted(path for folder in ('backingstore', 'tests') for path in (top / folder).rglob('*.[ch]'))
words = {word for path in sources for word in WORD.findall(path.read_text(encoding='utf-8'))}
known = {'file': {path.name for path in sources}, 'function': words, 'type': words, 'constant': words}

failed = False
print(f'1..{len(sys.argv) - 2}')
for number, page in enumerate(sys.argv[2:], 1):
    found = list(complaints(page, (top / page).read_text(encoding='utf-8'), known))
    for complaint in found:
        print('#', complaint)
    print(f'{"not ok" if found else "ok"} {number} {page} names what exists')
    failed |= bool(found)
sys.exit(failed)
