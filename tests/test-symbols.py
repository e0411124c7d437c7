#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 The backingstore authors
"""Compares what the library exports with what its GIR describes, both ways.

A symbol is exported with the version that "Since:" gives it, or with the first.
Arguments: the library, the GIR, and the program that writes the linker's map.
"""

import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree

C_IDENTIFIER = '{http://www.gtk.org/introspection/c/1.0}identifier'
GET_TYPE = '{http://www.gtk.org/introspection/glib/1.0}get-type'
CALLABLES = {'{http://www.gtk.org/introspection/core/1.0}' + tag
             for tag in ('constructor', 'function', 'method')}


NODE = 'LIBBACKINGSTORE_'
FIRST = '1.0'

NEWER_HEADER = '''
BS_AVAILABLE_IN_1_0
G_DECLARE_FINAL_TYPE (BsOld, bs_old, BS, OLD, GObject)
BS_AVAILABLE_IN_1_0
BS_DEPRECATED_IN_1_1_FOR (bs_old_use)
const char *bs_old_try (BsOld *self, GFunc func, gpointer data);

BS_AVAILABLE_IN_1_1
void     bs_old_use     (BsOld *self,
                         int    n) G_GNUC_PURE;
BS_AVAILABLE_IN_1_10
GType bs_new_get_type (void);
'''
NEWER_MAP = '''LIBBACKINGSTORE_1.0 {
  global:
    bs_old_get_type;
    bs_old_try;
  local:
    *;
};
LIBBACKINGSTORE_1.1 {
  global:
    bs_old_use;
} LIBBACKINGSTORE_1.0;
LIBBACKINGSTORE_1.10 {
  global:
    bs_new_get_type;
} LIBBACKINGSTORE_1.1;
'''


def exported(library):
    """Symbols with the nodes of the map that they belong to."""
    names = subprocess.run(['nm', '--dynamic', '--defined-only', '--with-symbol-versions', '--format=just-symbols',
                            library], check=True, stdout=subprocess.PIPE, text=True).stdout
    return dict((*name.split('@@'), '')[:2] for name in names.split() if not name.startswith(NODE))


def described(gir):
    """Symbols with the nodes that they should belong to."""
    names = {}
    for element in ElementTree.parse(gir).iter():
        node = NODE + element.get('version', FIRST)
        if element.tag in CALLABLES:
            names[element.get(C_IDENTIFIER)] = node
        names[element.get(GET_TYPE)] = node
    return {name: node for name, node in names.items() if name not in (None, 'intern')}


def map_of(program, text):
    with tempfile.TemporaryDirectory() as directory:
        header, output = os.path.join(directory, 'header.h'), os.path.join(directory, 'map')
        with open(header, 'w', encoding='utf-8') as file:
            file.write(text)
        subprocess.run([program, output, header], check=True)
        with open(output, encoding='utf-8') as file:
            return file.read()


def report(number, what, names):
    for name in sorted(names):
        print(name, file=sys.stderr)
    print(f'{"not ok" if names else "ok"} {number} {what}')
    return not names


library, gir, program = sys.argv[1:]
symbols, names = exported(library), described(gir)
newer = map_of(program, NEWER_HEADER)
print('1..5')
fine = [
    report(1, 'all exported symbols begin with bs_', {s for s in symbols if not s.startswith('bs_')}),
    report(2, 'all exported symbols are in the GIR', symbols.keys() - names.keys()),
    report(3, 'all that the GIR describes is exported', names.keys() - symbols.keys()),
    report(4, 'all have the version since when there is such a symbol',
           {f'{s}: {symbols[s]}, not {names[s]}' for s in symbols.keys() & names.keys() if symbols[s] != names[s]}),
    report(5, 'a newer version adds to an older one', [] if newer == NEWER_MAP else [newer]),
]
sys.exit(not all(fine))
