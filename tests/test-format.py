#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 The backingstore authors
"""Checks that clang-format would leave every .c file below some folders as it is.

With --apply in front, it formats them instead.
"""

import pathlib
import re
import shutil
import subprocess
import sys

# Another version breaks some lines elsewhere.
VERSION = '14'


def find_clang_format():
    for name in 'clang-format-' + VERSION, 'clang-format':
        if shutil.which(name):
            said = subprocess.run([name, '--version'], check=True, capture_output=True, text=True).stdout
            if re.search(rf'version {VERSION}\.', said):
                return name
    return None


def complaints(program, sources):
    done = subprocess.run([program, '--dry-run', *sources], capture_output=True, text=True)
    return re.findall(r'^(.*): warning: .*$', done.stderr, re.MULTILINE) or done.stderr.splitlines()


arguments = sys.argv[1:]
applies = arguments[:1] == ['--apply']
folders = [pathlib.Path(folder) for folder in arguments[applies:]]
program = find_clang_format()

if program is None:
    print(f'1..0 # SKIP there is no clang-format {VERSION}')
    sys.exit(applies)
if applies:
    for folder in folders:
        subprocess.run([program, '-i', *folder.rglob('*.c')], check=True)
    sys.exit()

print(f'1..{len(folders)}')
failed = False
for number, folder in enumerate(folders, 1):
    places = complaints(program, sorted(folder.rglob('*.c')))
    for place in places:
        print('#', place)
    failed |= bool(places)
    print(f'{"not ok" if places else "ok"} {number} {folder.name} is as clang-format has it')
sys.exit(failed)
