#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 The backingstore authors
"""Checks that comments, documentation and messages open with a noun of the code.

Arguments are folders. A pronoun as the subject sends the reader back to look for its noun.
"""

import pathlib
import re
import sys

OPENING = r'(?:What|Who|Whoever|Whatever|Those|It|They|The same(?= (?:as|for|from|in|of|on|where|with|without)\b|[.;]))\b'
C_LIKE = {'.c', '.h', '.in', '.js', '.rs', '.vala'}
HASH = {'', '.build', '.py', '.supp', '.toml'}

# A comment on a line of its own, and one behind code.
MARKS = {
    'c': (re.compile(r'\s*(?:/\*+|\*(?!/)|//+)\s*(.*)'), re.compile(r'(?:/\*+|//)\s*(' + OPENING + r'.*)')),
    'hash': (re.compile(r'\s*#+\s*(.*)'), re.compile(r'(?:^|\s)#\s*(' + OPENING + r'.*)|"""(' + OPENING + r'.*)')),
}
MESSAGE = re.compile(r'(?<![\w\\])"(' + OPENING + r' [^"]*)"')
DECLARED = re.compile(r'@?\w+:( |$)')


def comment_openings(lines, marks):
    """The lines that open a paragraph of a comment with a forbidden word."""
    alone, behind = marks
    goes_on = False
    for number, line in enumerate(lines, 1):
        match = alone.match(line)
        if match:
            text = match.group(1)
            # An empty line, or one of a parameter, ends a paragraph.
            if not goes_on and re.match(OPENING, text):
                yield number, text
            goes_on = bool(text) and not DECLARED.match(text) and not text.endswith('*/')
        else:
            goes_on = False
            match = behind.search(line)
            if match:
                yield number, match.group(match.lastindex)


def messages(lines):
    for number, line in enumerate(lines, 1):
        for match in MESSAGE.finditer(line):
            yield number, match.group()


def report(number, title, complaints):
    for complaint in complaints:
        print('#', complaint)
    print(f'{"not ok" if complaints else "ok"} {number} {title}')
    return not complaints


in_comments, in_messages = [], []
for folder in map(pathlib.Path, sys.argv[1:]):
    for path in sorted(folder.rglob('*')):
        if not path.is_file() or path.suffix not in C_LIKE | HASH:
            continue
        content = path.read_bytes()
        # A script says so in its first line; what else has no suffix may be anything.
        if path.suffix == '' and not content.startswith(b'#'):
            continue
        lines = content.decode().splitlines()
        is_c = path.suffix in C_LIKE
        in_comments += (f'{path}:{number}: {text}'
                        for number, text in comment_openings(lines, MARKS['c' if is_c else 'hash']))
        if path.suffix == '.c':
            in_messages += (f'{path}:{number}: {text}' for number, text in messages(lines))

print('1..2')
fine = [
    report(1, 'every comment opens with a noun', in_comments),
    report(2, 'every message opens with a noun', in_messages),
]
sys.exit(not all(fine))
