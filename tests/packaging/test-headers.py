#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 The backingstore authors
"""Compiles the public headers as C99 and as C++, without a warning.

Each by itself, and all together with every compiler that is there. Arguments: the
directories to include from, "--", and the headers.
"""

import shutil
import subprocess
import sys

COMPILERS = [
    ['gcc', '-xc', '-std=c99'],
    ['clang', '-xc', '-std=c99'],
    ['g++', '-xc++', '-std=c++11'],
    ['clang++', '-xc++', '-std=c++11'],
]
GTK_HEADER = 'backingstore/gtk/backingstore-gtk.h'
STRICT = ['-pedantic', '-Wall', '-Wextra', '-Wstrict-prototypes', '-Werror', '-fsyntax-only']


def cflags():
    return subprocess.run(['pkg-config', '--cflags', 'gio-2.0', *(['gtk4'] if GTK_HEADER in headers else [])], check=True, capture_output=True,
                          text=True).stdout.replace('-I', '-isystem').split()


def complaint(compiler, directories, header):
    strict = [option for option in STRICT if compiler[1] == '-xc' or 'prototypes' not in option]
    result = subprocess.run([*compiler, *strict, *(f'-I{directory}' for directory in directories), *flags, '-'],
                            input=f'#include <{header}>\n', capture_output=True, text=True)
    return result.stderr or ('' if result.returncode == 0 else f'status {result.returncode}')


split = sys.argv.index('--')
directories, headers = sys.argv[1:split], sys.argv[split + 1:]
all_headers = ['backingstore/backingstore.h', 'backingstore/bs-enum-types.h', 'backingstore/bs-version.h']
if GTK_HEADER in headers:
    all_headers.append(GTK_HEADER)
flags = cflags()
print(f'1..{len(COMPILERS)}')
failed = False
for number, compiler in enumerate(COMPILERS, 1):
    what = ' '.join((compiler[0], compiler[2]))
    if not shutil.which(compiler[0]):
        print(f'ok {number} {what} # SKIP there is no {compiler[0]}')
        continue
    # A header that lacks an include lacks it in every language.
    names = headers if compiler is COMPILERS[0] else all_headers
    complaints = list(filter(None, (complaint(compiler, directories, header) for header in names)))
    print(*complaints, sep='\n', file=sys.stderr)
    print('not ok' if complaints else 'ok', number, what)
    failed |= bool(complaints)
sys.exit(failed)
