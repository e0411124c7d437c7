#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 The backingstore authors
"""Checks that backingstore/po/POTFILES lists each file that marks messages for translation, and no other.

Its argument is the root of the sources. A format in a mark must be one literal: xgettext
knows <inttypes.h> and none of the macros of GLib.
"""

import pathlib
import re
import sys

MARK = re.compile(r'\b(?:N?_|g_dngettext) \(')
BROKEN = re.compile(r'\b(?:N?_|g_dngettext) \([^;]*?"\s*G_G\w+_FORMAT')


def report(number, title, complaints):
    for complaint in complaints:
        print('#', complaint)
    print(f'{"not ok" if complaints else "ok"} {number} {title}')
    return not complaints


top = pathlib.Path(sys.argv[1])
sources = {path.relative_to(top).as_posix(): path.read_text(encoding='utf-8')
           for path in sorted((top / 'backingstore').rglob('*.c'))}
marking = {name for name, text in sources.items() if MARK.search(text)}
listed = {line for line in (top / 'backingstore/po/POTFILES').read_text(encoding='utf-8').splitlines()
          if line and not line.startswith('#')}
unreadable = [name for name, text in sources.items() if BROKEN.search(text)]

print('1..3')
fine = [
    report(1, 'every file with messages is listed', sorted(marking - listed)),
    report(2, 'every listed file has messages', sorted(listed - marking)),
    report(3, 'every message is one literal', unreadable),
]
sys.exit(not all(fine))
