#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 The backingstore authors
"""Compares what the file backing calls with what the interposer knows."""

import re
import subprocess
import sys

# Functions that touch no file.
HARMLESS = re.compile(r'''
    _GLOBAL_OFFSET_TABLE_ | _ITM_\w+ | __gmon_start__ | __stack_chk_fail | __cpu_\w+ | __(asan|ubsan|tsan|sanitizer)_\w+
  | (g_|bs_|XXH)\w+
  | (__)?(mem|str|sprintf|snprintf|vsnprintf|printf|fprintf|v?asprintf|(__)?(isoc\d+_)?s?scanf|strto)\w*
  | __u?(div|mod|divmod)di\d | __atomic_\w+ | __aeabi_\w+  # what processors of 32 bits leave to a library
  | __errno_location | __\w+_chk_fail | __assert_fail | abort
  | dup3  # of a directory, to another number
  | malloc | calloc | realloc | free | aligned_alloc | posix_memalign
  | mmap(64)? | munmap | madvise | malloc_trim | sysconf | getpagesize  # memory: no file is ever mapped
  | getpid | geteuid | getuid | getegid | getrlimit(64)? | umask | get_nprocs | sched_\w+ | pthread_\w+ | clock_gettime
''', re.VERBOSE)


def symbols(archive, members, kinds):
    names = set()
    member = ''
    output = subprocess.run(['nm', '--format=posix', archive], check=True, stdout=subprocess.PIPE, text=True).stdout
    for line in output.splitlines():
        if line.endswith(':'):
            member = line
        elif re.search(members, member):
            name, kind = line.split()[:2]
            if kind in kinds:
                names.add(name)
    return names


library, harness = sys.argv[1:]
called = symbols(library, r'bs-file-\w[^/]*\.o', 'Uw')
interposed = symbols(harness, r'interpose-calls', 'T')
unknown = {name for name in called - interposed if not HARMLESS.fullmatch(name)}

print('1..2')
# Else nothing was compared.
print(f'{"ok" if {"linkat", "renameat"} <= called & interposed else "not ok"} 1 the two have something in common')
for name in sorted(unknown):
    print(f'# {name}() is not interposed, nor known to touch no file')
print(f'{"not ok" if unknown else "ok"} 2 the interposer knows every call')
sys.exit(bool(unknown))
