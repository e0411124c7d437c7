# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 The backingstore authors
"""Additions of PyGObject to the introspected library.

``BackingStore.run_in_thread(func, cancellable=None)`` and
``BackingStore.run_in_thread_async(func, io_priority=GLib.PRIORITY_DEFAULT,
cancellable=None, callback=None, *user_data)`` take no user data for ``func``: a
closure carries it. ``func(store, cancellable)`` returns True or raises
GLib.Error. ``user_data`` goes to ``callback``, as everywhere in PyGObject. The
same holds for ``Save.set_commit_func(func)``, where ``func(save, cancellable)`` is
the application's step from the old document to the new one, and None takes it away.

``KeySet`` and ``TrackedPath`` have ``len()``, ``in`` and iteration. Iteration
goes over the keys of the moment when it began, so the loop may change them. Like
any collection a KeySet without keys is false; a TrackedPath never is.

A ``Manifest`` is a list of its entries, and ``name in manifest`` looks for a name. It is
never false. ``add(name, key, attributes=None)``, ``add_item(name, item,
attributes=None)`` and ``set_attributes(name, attributes)`` take a dict of attributes,
whose values are GLib.Variant, str, bytes, bool, int (64 bits) or float.

Two things that an override cannot mend, for those who write a backing:

- A virtual function that raises anything but GLib.Error, or forgets to return,
  fails with Bs.Error.FAILED. One that returns a value of another type than it
  should may crash the process.
- A class derived from one that implements Bs.Backing names Bs.Backing among its
  bases once more, ``class Mine(Yours, Bs.Backing)``. Otherwise PyGObject puts
  its virtual functions into the class it derives from.
"""

from gi.module import get_introspection_module
from gi.overrides import override
from gi.repository import GLib

Bs = get_introspection_module('Bs')

__all__ = ['BackingStore', 'KeySet', 'Manifest', 'Save', 'TrackedPath']


def _without_user_data(func):
    if not callable(func):
        raise TypeError(f'func must be callable, not {type(func).__name__}')
    # How PyGObject hands over user data depends on how many closures there are.
    return lambda source, cancellable, *_user_data: func(source, cancellable)


@override
class BackingStore(Bs.BackingStore):
    def run_in_thread(self, func, cancellable=None):
        return super().run_in_thread(_without_user_data(func), (), cancellable)

    def run_in_thread_async(self, func, io_priority=GLib.PRIORITY_DEFAULT, cancellable=None, callback=None, *user_data):
        # Newer versions of PyGObject return an awaitable where there is no callback.
        callback = [] if callback is None else [callback, *user_data]
        return super().run_in_thread_async(_without_user_data(func), (), io_priority, cancellable, *callback)


class _Keys:
    def __len__(self):
        return self.get_n_keys()

    def __contains__(self, key):
        return isinstance(key, str) and self.contains_key(key)

    def __iter__(self):
        return iter(self.list_keys())


@override
class KeySet(_Keys, Bs.KeySet):
    pass


# bool is an int, and comes first.
_ATTRIBUTE_TYPES = [(bool, 'b'), (int, 'x'), (float, 'd'), (str, 's'), (bytes, 'ay')]


def _to_attribute(value):
    if isinstance(value, GLib.Variant):
        return value
    for kind, variant_type in _ATTRIBUTE_TYPES:
        if isinstance(value, kind):
            return GLib.Variant(variant_type, value)
    raise TypeError(f'an attribute must be a GLib.Variant or a simple value, not {type(value).__name__}')


def _to_attributes(attributes):
    if not isinstance(attributes, dict):
        return attributes
    return GLib.Variant('a{sv}', {name: _to_attribute(value) for name, value in attributes.items()})


@override
class Manifest(Bs.Manifest):
    def __bool__(self):
        return True

    def __contains__(self, name):
        if isinstance(name, str):
            return self.find(name)[0]
        return super().__contains__(name)

    def add(self, name, key, attributes=None):
        return super().add(name, key, _to_attributes(attributes))

    def add_item(self, name, item, attributes=None):
        return super().add_item(name, item, _to_attributes(attributes))

    def set_attributes(self, name, attributes):
        return super().set_attributes(name, _to_attributes(attributes))


@override
class Save(Bs.Save):
    def set_commit_func(self, func):
        super().set_commit_func(None if func is None else _without_user_data(func))


@override
class TrackedPath(_Keys, Bs.TrackedPath):
    def __bool__(self):
        return True
