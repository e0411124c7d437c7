#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 The backingstore authors
"""Writes the linker's map of the symbols that public headers declare.

Each symbol gets the version that its BS_AVAILABLE_IN_X_Y names, so that a program
that needs a newer library is refused when it starts, by the loader and by packages.
"""

import re
import sys

PREFIX = 'LIBBACKINGSTORE'
DECLARATION = re.compile(r'''
    ^BS_AVAILABLE_IN_(\d+)_(\d+) \s+
    (?: BS_DEPRECATED_IN_\w+ \s* (?: \(.*?\) )? \s+ )?
    [^;(]*? (\w+) \s* \( (.*?) \)
''', re.MULTILINE | re.DOTALL | re.VERBOSE)


def symbols_of(text):
    """Yields a version and a name for each."""
    for major, minor, name, arguments in DECLARATION.findall(text):
        if name.startswith('G_DECLARE_'):
            name = arguments.split(',')[1].strip() + '_get_type'
        yield (int(major), int(minor)), name


def main(output, headers):
    nodes = {}
    for header in headers:
        with open(header, encoding='utf-8') as file:
            for version, name in symbols_of(file.read()):
                nodes.setdefault(version, set()).add(name)

    older = ''
    with open(output, 'w', encoding='utf-8') as file:
        for major, minor in sorted(nodes):
            node = f'{PREFIX}_{major}.{minor}'
            names = ''.join(f'    {name};\n' for name in sorted(nodes[major, minor]))
            hidden = '' if older else '  local:\n    *;\n'
            file.write(f'{node} {{\n  global:\n{names}{hidden}}}{older};\n')
            older = ' ' + node


if __name__ == '__main__':
    main(sys.argv[1], sys.argv[2:])
