# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 The backingstore authors
"""Objects that were made without their construct properties do no harm.

The members of all types are tried in one process for each kind, which prints a line before
each try: the last line names the member that the process died of, and another process goes on
with the others.
"""

import os
import signal
import subprocess
import sys
import unittest
import xml.etree.ElementTree as ElementTree

import gi

gi.require_version('Bs', '1')
from gi.repository import Bs, Gio, GLib, GObject

HERE = os.path.dirname(os.path.abspath(__file__))
RUNNER = [sys.executable, os.path.join(os.path.dirname(HERE), 'run-python')]
GIR = os.path.join(os.environ['GI_TYPELIB_PATH'].partition(':')[0], 'Bs-1.gir')
NAMES = {'gi': 'http://www.gtk.org/introspection/core/1.0'}
KEY = 'abcdef01-2345-6789-abcd-ef0123456789'
SECONDS = 60

VALUES = {
    'utf8': lambda: KEY,
    'gint': lambda: 1,
    'guint': lambda: 1,
    'gint64': lambda: 1,
    'guint64': lambda: 1,
    'gboolean': lambda: True,
    'GLib.Bytes': lambda: GLib.Bytes.new(b'x'),
    'GLib.HashTable': lambda: {KEY: GLib.Bytes.new(b'x')},
    'GLib.Variant': lambda: GLib.Variant('a{sv}', {}),
    'GLib.VariantType': lambda: None,
    'GLib.Error': lambda: GLib.Error('so the test wants it'),
    'GObject.Object': GObject.Object,
    'GLib.MainContext': lambda: None,
    'Gio.AsyncReadyCallback': lambda: lambda *arguments: None,
    'Gio.Cancellable': lambda: None,
    'Gio.ListModel': lambda: Gio.ListStore.new(Bs.Item),
    'Gio.InputStream': lambda: Gio.MemoryInputStream.new_from_bytes(GLib.Bytes.new(b'x')),
    'Gio.File': lambda: Gio.File.new_for_uri('memory:x'),
    'Backing': Bs.MemoryBacking.new,
    'Codec': lambda: None,
    'KeySet': Bs.KeySet.new,
    'Operation': lambda: Bs.Operation.WRITE,
    'RepairFlags': lambda: Bs.RepairFlags.ADOPT,
    'KeyFunc': lambda: lambda *arguments: None,
    'TaskFunc': lambda: lambda *arguments: True,
    'CommitFunc': lambda: lambda *arguments: True,
}


GIR_TREE = ElementTree.parse(GIR)
CLASSES = {element.get('name'): element for element in GIR_TREE.findall('.//gi:class', NAMES)}
INTERFACES = {element.get('name'): element for element in GIR_TREE.findall('.//gi:interface', NAMES)}


def make_value(name):
    """A value for a parameter; of our classes an object without its properties."""
    if name in CLASSES and name not in VALUES:
        return GObject.new(getattr(Bs, name))
    return VALUES[name]()


def list_arguments(method):
    """The types of what a binding passes: no user data, and nothing that is returned."""
    parameters = method.findall('gi:parameters/gi:parameter', NAMES)
    hidden = {int(parameter.get(attribute)) for parameter in parameters
              for attribute in ('closure', 'destroy') if parameter.get(attribute) is not None}
    return [parameter.find('gi:type', NAMES).get('name') for i, parameter in enumerate(parameters)
            if i not in hidden and parameter.get('direction') != 'out']


def list_methods(name):
    """Each method, those of interfaces too, but the second half of the asynchronous ones."""
    interfaces = [INTERFACES.get(element.get('name')) for element in CLASSES[name].findall('gi:implements', NAMES)]
    for element in [CLASSES[name], *filter(lambda interface: interface is not None, interfaces)]:
        for method in element.findall('gi:method', NAMES):
            if method.get('introspectable') != '0' and not method.get('name').endswith('_finish'):
                yield method.get('name'), list_arguments(method)


def list_questions(name):
    """Questions about an object, which change nothing, as (name, function)."""
    cls = getattr(Bs, name)
    for spec in cls.list_properties():
        if spec.flags & GObject.ParamFlags.READABLE:
            yield f'property {spec.name}', lambda item, spec=spec: item.get_property(spec.name)
    for method, arguments in list_methods(name):
        if method.startswith(('get_', 'dup_', 'is_', 'list_')) and not arguments:
            yield f'{method}()', lambda item, method=method: getattr(item, method)()
    yield 'bool()', bool
    if hasattr(cls, '__len__'):
        yield 'len()', len
        yield 'list()', list
        yield 'in', lambda item: KEY in item


def list_calls(name):
    for method, arguments in list_methods(name):
        yield f'{method}()', lambda item, method=method, arguments=arguments: \
            getattr(item, method)(*map(make_value, arguments))


def list_constructors(name):
    """Constructors that are given objects without properties; the result is asked all questions."""
    def construct(constructor, arguments):
        item = getattr(getattr(Bs, name), constructor)(*map(make_value, arguments))
        for _, question in list_questions(name) if item is not None else ():
            question(item)

    for element in CLASSES[name].findall('gi:constructor', NAMES):
        constructor, arguments = element.get('name'), list_arguments(element)
        yield f'{constructor}()', lambda item, constructor=constructor, arguments=arguments: \
            construct(constructor, arguments)


class Target(GObject.Object):
    shown = GObject.Property(type=GObject.Object)


def make_half(name):
    return GObject.new(getattr(Bs, name))


def make_whole(name):
    """An object with its properties, to which those without are handed."""
    store = Bs.BackingStore.new(Bs.MemoryBacking.new())
    tracked = store.track_path(Gio.File.new_for_uri('memory:kept'))
    pool = Bs.Pool.new(store, 1000)
    manifest = Bs.Manifest.new()
    manifest.add('name', KEY, None)
    # Else who waits for it waits for ever.
    store.get_task_tracker().close()
    return {
        'BackingStore': lambda: store,
        'FaultBacking': lambda: Bs.FaultBacking.new(Bs.MemoryBacking.new()),
        'FileBacking': Bs.FileBacking.new_temporary,
        'Item': lambda: pool.insert(GLib.Bytes.new(b'x')),
        'KeySet': Bs.KeySet.new,
        'Loader': lambda: Bs.Loader.new(Target(), 'shown'),
        'Manifest': lambda: manifest,
        'ManifestEntry': lambda: manifest[0],
        'MemoryBacking': Bs.MemoryBacking.new,
        'Pool': lambda: pool,
        'Save': lambda: Bs.Save.new(store, tracked),
        'TaskTracker': store.get_task_tracker,
        'TrackedPath': lambda: tracked,
        'Verify': lambda: Bs.Verify.new(store, tracked),
    }[name]()


KINDS = {
    'questions': (list_questions, make_half),
    'calls': (list_calls, make_half),
    'arguments': (list_calls, make_whole),
    'constructors': (list_constructors, make_half),
}


def run_child(kind, known):
    list_members, make = KINDS[kind]
    members = [(f'{name}.{member}', name, function) for name in sorted(CLASSES)
               for member, function in list_members(name)]
    for member, name, function in members:
        if member in known:
            continue
        print(member, flush=True)
        item = make(name)
        try:
            function(item)
        except GLib.Error:
            pass
        except TypeError:
            # A constructor or a binding may refuse.
            pass
        del item
        while GLib.MainContext.default().iteration(False):
            pass
    print('done', flush=True)


def describe(status):
    return 'hangs' if status is None else signal.Signals(-status).name if status < 0 else f'status {status}'


def find_harm(kind):
    """The members that a process dies of, and how."""
    environment = dict(os.environ)
    # A call that cannot work may say so with a critical; a question may not.
    environment['G_DEBUG'] = 'fatal-criticals' if kind == 'questions' else ''
    harm = {}
    while True:
        process = subprocess.Popen([*RUNNER, os.path.abspath(__file__), kind, *harm], env=environment,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            output, errors = process.communicate(timeout=SECONDS)
            status = process.returncode
        except subprocess.TimeoutExpired:
            process.kill()
            output, errors = process.communicate()
            status = None
        last = output.split('\n')[-2] if output else 'import'
        if status == 0 and last == 'done':
            return harm
        if last in harm or last in ('done', 'import'):
            return {**harm, 'the end': describe(status) + errors[-300:]}
        harm[last] = describe(status)


class HalfConstructedTest(unittest.TestCase):
    def test_questions(self):
        self.assertEqual(find_harm('questions'), {})

    def test_calls(self):
        self.assertEqual(find_harm('calls'), {})

    def test_arguments(self):
        self.assertEqual(find_harm('arguments'), {})

    def test_constructors(self):
        self.assertEqual(find_harm('constructors'), {})


if __name__ == '__main__':
    run_child(sys.argv[1], sys.argv[2:])
