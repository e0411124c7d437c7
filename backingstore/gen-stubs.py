#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 The backingstore authors
"""Writes the types of a namespace for type checkers of Python: gen-stubs.py GIR OUTPUT

The stub has the classes as PyGObject shows them with the override of this library, whose
rules it follows: defaults, types of Python, awaitable calls, no user data for functions.
"""

import keyword
import re
import sys
import xml.etree.ElementTree as ElementTree

CORE = '{http://www.gtk.org/introspection/core/1.0}'
GLIB = '{http://www.gtk.org/introspection/glib/1.0}'

BASIC = {
    'none': 'None', 'gpointer': 'object', 'gboolean': 'bool', 'utf8': 'str', 'filename': 'str',
    'gdouble': 'float', 'gfloat': 'float', 'GType': 'type[GObject.Object]', 'GLib.Quark': 'int',
}
INTEGERS = {'gint', 'guint', 'gint8', 'guint8', 'gint16', 'guint16', 'gint32', 'guint32', 'gint64', 'guint64',
            'gsize', 'gssize', 'gulong', 'glong'}

# Types that a caller may give instead of these.
ACCEPTED = {
    'GLib.Bytes': 'GLib.Bytes | bytes | bytearray | memoryview',
    'GLib.Variant': 'GLib.Variant | dict[str, GLib.Variant | bool | int | float | str | bytes]',
    'Gio.File': 'Gio.File | str | os.PathLike[str]',
    'KeySet': 'KeySet | Iterable[str]',
}
FILLED = 'found'  # a key set that the function fills

KEYS = '''
    def __len__(self) -> int: ...
    def __contains__(self, key: object) -> bool: ...
    def __iter__(self) -> Iterator[str]: ...
'''
ADDITIONS = {
    'BackingStore': '''
    def __enter__(self) -> BackingStore: ...
    def __exit__(self, *error: object) -> None: ...
    async def __aenter__(self) -> BackingStore: ...
    async def __aexit__(self, *error: object) -> None: ...
''',
    'KeySet': KEYS,
    'Manifest': '''
    def __len__(self) -> int: ...
    def __contains__(self, name: object) -> bool: ...
    def __iter__(self) -> Iterator[ManifestEntry]: ...
    def __getitem__(self, position: int) -> ManifestEntry: ...
    def __bool__(self) -> Literal[True]: ...
''',
    'TrackedPath': KEYS + '    def __bool__(self) -> Literal[True]: ...\n',
}
# Lists whose items the GIR does not name.
LISTS = {'register_all', 'register_all_finish', 'register_all_async'}

HEAD = '''\
# Made by gen-stubs.py of backingstore.
from __future__ import annotations

import asyncio
import enum
import os
from typing import Callable, Iterable, Iterator, Literal, overload

from gi.repository import {imports}
'''
LIST = '''
class _ItemList(Gio.ListModel):
    def __len__(self) -> int: ...
    def __contains__(self, item: object) -> bool: ...
    def __iter__(self) -> Iterator[Item]: ...
    @overload  # type: ignore[override]
    def __getitem__(self, position: int) -> Item: ...
    @overload
    def __getitem__(self, positions: slice) -> list[Item]: ...
    def get_item(self, position: int) -> Item | None: ...
'''


class Stub:
    METHOD, STATIC, FUNCTION = 'self', '@staticmethod', None

    def __init__(self, root):
        self.namespace = root.find(CORE + 'namespace')
        self.callbacks = {callback.get('name'): callback for callback in self.namespace.findall(CORE + 'callback')}
        self.lines = []

    def write(self, depth, text):
        self.lines.append('    ' * depth + text)

    # Types.

    def get_type(self, element):
        """The type of a parameter, a property or a result, without None."""
        array = element.find(CORE + 'array')
        if array is not None:
            return f'list[{self.get_type(array)}]'
        name = element.find(CORE + 'type').get('name')
        if name in INTEGERS:
            return 'int'
        if name in self.callbacks:
            return self.get_callable(self.callbacks[name])
        return BASIC.get(name) or name

    def get_callable(self, callback):
        arguments = [self.add_none(parameter, self.get_type(parameter))
                     for parameter in callback.findall(f'{CORE}parameters/{CORE}parameter')
                     if parameter.get('closure') is None]
        return f'Callable[[{", ".join(arguments)}], {self.get_result(callback)}]'

    def add_none(self, element, name):
        return f'{name} | None' if element.get('nullable') == '1' and name != 'object' else name

    def get_result(self, function):
        if function.get('name') in LISTS:
            return '_ItemList'
        values = [function.find(CORE + 'return-value'), *function.findall(f"{CORE}parameters/{CORE}parameter[@direction='out']")]
        results = [self.add_none(value, self.get_type(value)) for value in values]
        return results[0] if len(results) == 1 else f'tuple[{", ".join(results)}]'

    def accept(self, parameter):
        name = self.get_type(parameter)
        if parameter.get('name') != FILLED:
            name = ACCEPTED.get(name, name)
        return self.add_none(parameter, name)

    # Functions.

    def get_parameters(self, function):
        """The parameters that Python shows: neither data of a function nor their destroy notify."""
        parameters = function.findall(f'{CORE}parameters/{CORE}parameter')
        hidden = set()
        for position, parameter in enumerate(parameters):
            closure, destroy = parameter.get('closure'), parameter.get('destroy')
            if closure is not None and int(closure) != position and parameter.find(CORE + 'type').get('name') != 'gpointer':
                hidden.add(int(closure))
            if destroy is not None:
                hidden.add(int(destroy))
        return [parameter for position, parameter in enumerate(parameters)
                if position not in hidden and parameter.get('direction') != 'out']

    def list_parameters(self, function):
        """[name, type, default or None]; those at the end that may be None may be left out."""
        shown, optional = [], True
        for parameter in reversed(self.get_parameters(function)):
            name = parameter.get('name')
            optional = optional and (parameter.get('nullable') == '1' or name == 'io_priority')
            shown.insert(0, (name + '_' * keyword.iskeyword(name), self.accept(parameter), ' = ...' * optional))
        return shown

    def write_function(self, depth, function, kind):
        name = function.get('name')
        parameters = self.list_parameters(function)
        first = ['self'] if kind is self.METHOD else []
        if name.endswith('_async') and parameters and parameters[-1][0] == 'callback':
            self.write_async(depth, function, first, parameters[:-1])
            return
        if kind is self.STATIC:
            self.write(depth, '@staticmethod')
        shown = first + [f'{each}: {type_}{default}' for each, type_, default in parameters]
        self.write(depth, f'def {name}({", ".join(shown)}) -> {self.get_result(function)}: ...')

    def write_async(self, depth, function, first, parameters):
        name = function.get('name')
        optional = first + [f'{each}: {type_}{default}' for each, type_, default in parameters]
        given = first + [f'{each}: {type_}' for each, type_, _ in parameters]
        callback = 'callback: Callable[..., object]'
        for shown, result in (
                (optional + ['callback: None = ...'], f'asyncio.Future[{self.find_result(name)}]'),
                (given + [callback, '*user_data: object'], 'None'),
                (optional + ['*', callback], 'None')):
            self.write(depth, '@overload')
            self.write(depth, f'def {name}({", ".join(shown)}) -> {result}: ...')

    def find_result(self, name):
        finish = self.owner.find(f"*[@name='{name.removesuffix('_async')}_finish']")
        return self.get_result(finish)

    # Types of the namespace.

    def write_class(self, element):
        self.owner = element
        name = element.get('name')
        if element.tag == CORE + 'interface':
            bases = ['GObject.GInterface']
        else:
            bases = [element.get('parent')] + [each.get('name') for each in element.findall(CORE + 'implements')]
        self.write(0, f'\nclass {name}({", ".join(bases)}):  # type: ignore[misc]')
        self.write_properties(element)
        for method in element.findall(CORE + 'constructor') + element.findall(CORE + 'function'):
            if self.is_shown(method):
                self.write_function(1, method, self.STATIC)
        for method in element.findall(CORE + 'method'):
            if self.is_shown(method):
                self.write_function(1, method, self.METHOD)
        for vfunc in element.findall(CORE + 'virtual-method'):
            self.write_vfunc(vfunc)
        self.write_signals(element)
        if name in ADDITIONS:
            self.lines.append(ADDITIONS[name].strip('\n'))

    def is_shown(self, function):
        return function.get('introspectable') != '0' and function.get('shadowed-by') is None

    def write_properties(self, element):
        properties = element.findall(CORE + 'property')
        if not properties:
            return
        self.write(1, 'class _Props:')
        arguments = []
        for each in properties:
            name = each.get('name').replace('-', '_')
            getter = element.find(f"{CORE}method[@name='{each.get('getter')}']/{CORE}return-value")
            type_ = self.get_type(each) if getter is None else self.add_none(getter, self.get_type(each))
            self.write(2, f'{name}: {type_}')
            if each.get('writable') == '1':
                arguments.append(f'{name}: {type_} = ...')
        self.write(1, 'props: _Props  # type: ignore[assignment]')
        if element.tag == CORE + 'class':
            star = ['*'] if arguments else []
            self.write(1, f'def __init__({", ".join(["self"] + star + arguments)}) -> None: ...')

    def write_vfunc(self, vfunc):
        """A class in Python may return what the override converts."""
        parameters = [f'{name}: {self.get_type_given(parameter)}'
                      for (name, _, _), parameter in zip(self.list_parameters(vfunc), self.get_parameters(vfunc))]
        result = self.get_result(vfunc)
        result = {'GLib.Bytes': 'GLib.Bytes | bytes', 'GLib.Bytes | None': 'GLib.Bytes | bytes | None'}.get(result, result)
        shown = ', '.join(['self', *parameters, '/'])
        self.write(1, f'def do_{vfunc.get("name")}({shown}) -> {result}: ...')

    def get_type_given(self, parameter):
        return self.add_none(parameter, self.get_type(parameter))

    def write_signals(self, element):
        names = [signal.get('name') for signal in element.findall(GLIB + 'signal')]
        if names:
            self.write(1, f'# Signals: {", ".join(names)}')

    def write_record(self, record):
        self.owner = record
        self.write(0, f'\nclass {record.get("name")}:')
        for field in record.findall(CORE + 'field'):
            if field.find(CORE + 'type') is not None and field.get('private') != '1':
                self.write(1, f'{field.get("name")}: {self.get_type(field)}')
        for method in record.findall(CORE + 'method'):
            if self.is_shown(method):
                self.write_function(1, method, self.METHOD)

    def write_enumeration(self, enumeration):
        self.write(0, f'\nclass {enumeration.get("name")}(enum.IntEnum):')
        for position, member in enumerate(enumeration.findall(CORE + 'member')):
            self.write(1, f'{member.get("name").upper()} = {member.get("value")}')
        if enumeration.get(GLIB + 'error-domain'):
            self.write(1, '@staticmethod')
            self.write(1, 'def quark() -> int: ...')

    def write_namespace(self):
        for constant in self.namespace.findall(CORE + 'constant'):
            self.write(0, f'{constant.get("name")}: {self.get_type(constant)}')
        for enumeration in self.namespace.findall(CORE + 'enumeration') + self.namespace.findall(CORE + 'bitfield'):
            self.write_enumeration(enumeration)
        for record in self.namespace.findall(CORE + 'record'):
            if record.get(GLIB + 'is-gtype-struct-for') is None:
                self.write_record(record)
        for element in self.namespace.findall(CORE + 'interface') + self.namespace.findall(CORE + 'class'):
            self.write_class(element)
        if any(function.get('name') in LISTS for function in self.namespace.iter(CORE + 'method')):
            self.lines.append(LIST.rstrip('\n'))
        self.lines.append('')
        for function in self.namespace.findall(CORE + 'function'):
            if self.is_shown(function):
                self.write_function(0, function, self.FUNCTION)
        body = '\n'.join(self.lines)
        imports = ', '.join(sorted(set(re.findall(r'(?<![.\w])([A-Z]\w+)(?=\.)', body))))
        return HEAD.format(imports=imports) + body + '\n'


def main(gir, output):
    text = Stub(ElementTree.parse(gir).getroot()).write_namespace()
    with open(output, 'w', encoding='utf-8') as file:
        file.write(text)


if __name__ == '__main__':
    main(*sys.argv[1:])
