#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Compares what the library exports with what its GIR describes, both ways."""

import subprocess
import sys
import xml.etree.ElementTree as ElementTree

C_IDENTIFIER = '{http://www.gtk.org/introspection/c/1.0}identifier'
GET_TYPE = '{http://www.gtk.org/introspection/glib/1.0}get-type'
CALLABLES = {'{http://www.gtk.org/introspection/core/1.0}' + tag
             for tag in ('constructor', 'function', 'method')}


def exported(library):
    names = subprocess.run(['nm', '--dynamic', '--defined-only', '--format=just-symbols', library],
                           check=True, stdout=subprocess.PIPE, text=True).stdout
    return set(names.split())


def described(gir):
    names = set()
    for element in ElementTree.parse(gir).iter():
        if element.tag in CALLABLES:
            names.add(element.get(C_IDENTIFIER))
        names.add(element.get(GET_TYPE))
    return names - {None, 'intern'}


def report(number, what, names):
    for name in sorted(names):
        print(name, file=sys.stderr)
    print(f'{"not ok" if names else "ok"} {number} {what}')
    return not names


library, gir = sys.argv[1:]
symbols, names = exported(library), described(gir)
print('1..3')
fine = [
    report(1, 'all exported symbols begin with bs_', {s for s in symbols if not s.startswith('bs_')}),
    report(2, 'all exported symbols are in the GIR', symbols - names),
    report(3, 'all that the GIR describes is exported', names - symbols),
]
sys.exit(not all(fine))
