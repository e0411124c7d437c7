# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 The backingstore authors
"""Additions of PyGObject to the introspected library.

Every asynchronous method has defaults: ``item.load_async()`` is the same as
``item.load_async(GLib.PRIORITY_DEFAULT, None)``. Without a callback, and where an event
loop of asyncio runs, the call returns an ``asyncio.Future``, with every version of
PyGObject. Cancelling it, or the task that awaits it, cancels the operation. Nothing
holds the result after it was awaited. The event loop must run GLib's main loop:
``gi.events`` has one from PyGObject 3.50 on, and the package gbulb has one for older
versions. Callbacks take ``(source, result, *user_data)``, as everywhere in PyGObject.

``bytes`` and the like go where a GLib.Bytes is asked, ``str`` and ``pathlib.Path`` where
a Gio.File is, an iterable of keys where a KeySet is that the function reads, and a ``dict``
where a dictionary of variants is.

A function that the library calls, such as that of ``BackingStore.run_in_thread(func)``
and ``Save.set_commit_func(func)``, takes no user data: a closure carries it. What it
raises fails the operation with a text that says so; so does what a virtual function of a
Backing or a Codec raises.

``with store:`` closes the store, and ``async with store:`` awaits that.

``KeySet`` and ``TrackedPath`` have ``len()``, ``in`` and iteration. Iteration goes over
the keys of the moment when it began, so the loop may change them. Like any collection a
KeySet without keys is false; a TrackedPath never is, nor is a Manifest, in which ``in``
looks for a name.

An override cannot mend one thing for authors of backings: a class derived from one that
implements Bs.Backing names Bs.Backing among its bases once more, ``class Mine(Yours,
Bs.Backing)``. Otherwise PyGObject puts its virtual functions into the class it derives
from.
"""

import asyncio
import functools
import inspect
import os
import sys

from gi.module import get_introspection_module
from gi.repository import Gio, GLib, GObject

Bs = get_introspection_module('Bs')

__all__ = []

# Event loops that never run GLib's main loop.
_FOREIGN_LOOPS = ('asyncio.', 'uvloop')


# Methods of an argument's info have other names where PyGObject uses girepository 2.0.


def _get_type(argument):
    return argument.get_type_info() if hasattr(argument, 'get_type_info') else argument.get_type()


def _find_position(argument, name):
    """The position of the data of a function, or of their destroy notify, or None."""
    get = getattr(argument, f'get_{name}_index', None) or getattr(argument, f'get_{name}')
    position = get()
    return None if position is None or position < 0 else position


def _name_type(type_info):
    interface = type_info.get_interface()
    return interface and f'{interface.get_namespace()}.{interface.get_name()}'


# Values of Python that stand for an object of GLib's or ours.


def _to_bytes(value):
    return GLib.Bytes.new(bytes(value)) if isinstance(value, (bytes, bytearray, memoryview)) else value


def _to_file(value):
    # A Gio.File is path-like itself in new versions, and need not have a path.
    if isinstance(value, Gio.File) or not isinstance(value, (str, os.PathLike)):
        return value
    return Gio.File.new_for_path(os.fsdecode(value))


def _to_key_set(value):
    if value is None or isinstance(value, (Bs.KeySet, str, bytes)):
        return value
    keys = Bs.KeySet.new()
    for key in value:
        keys.add(key)
    return keys


# A bool is an int, so it comes first.
_VARIANT_TYPES = [(bool, 'b'), (int, 'x'), (float, 'd'), (str, 's'), (bytes, 'ay')]


def _to_attribute(value):
    if isinstance(value, GLib.Variant):
        return value
    for kind, variant_type in _VARIANT_TYPES:
        if isinstance(value, kind):
            return GLib.Variant(variant_type, value)
    raise TypeError(f'an attribute must be a GLib.Variant or a simple value, not {type(value).__name__}')


def _to_variant(value):
    if not isinstance(value, dict):
        return value
    return GLib.Variant('a{sv}', {name: _to_attribute(each) for name, each in value.items()})


_CONVERSIONS = {
    'GLib.Bytes': _to_bytes,
    'GLib.Variant': _to_variant,
    'Gio.File': _to_file,
    'Bs.KeySet': _to_key_set,
}


def _find_conversion(argument):
    # A backing's function adds the keys that it finds.
    if argument.get_name() == 'found':
        return None
    return _CONVERSIONS.get(_name_type(_get_type(argument)))


# Functions of the application, which C calls.


def _fail(name, error):
    """The GLib.Error for a plain exception, which is shown as Python shows what nobody catches."""
    sys.excepthook(type(error), error, error.__traceback__)
    text = f'{name} raised {type(error).__name__}: {error}'
    return GLib.Error.new_literal(Bs.error_quark(), text, Bs.Error.FAILED)


def _wrap_function(func, info):
    if not callable(func):
        raise TypeError(f'func must be callable, not {type(func).__name__}')
    n_arguments = sum(_get_type(argument).get_tag_as_string() != 'void' for argument in info.get_arguments())

    # The number of arguments after these depends on how many closures a call has.
    def call(*arguments):
        try:
            return func(*arguments[:n_arguments])
        except Exception as error:
            if isinstance(error, GLib.Error) or not info.can_throw_gerror():
                raise
            raise _fail(getattr(func, '__qualname__', repr(func)), error) from error

    return call


def _wrap_vfunc(func, info, returned):
    convert = _CONVERSIONS.get(_name_type(info.get_return_type()), lambda value: value)

    @functools.wraps(func)
    def call(self, *arguments):
        try:
            result = convert(func(self, *arguments))
            if result is not None and not isinstance(result, returned):
                raise TypeError(f'{type(result).__name__} was returned, not {returned.__name__}')
            return result
        except GLib.Error:
            raise
        except Exception as error:
            raise _fail(f'{self.__gtype__.name}.{info.get_name()}', error) from error

    return call


def _get_python_type(type_info):
    """The class of a value that crashes where it is of another one."""
    interface = type_info.get_interface()
    return interface.get_g_type().pytype or object if interface else object


def _adapt_vfuncs(interface):
    """Has each class in Python that implements the interface say what its functions raise."""
    vfuncs = [(owner, vfunc) for owner in (interface, Gio.Initable) for vfunc in owner.__info__.get_vfuncs()
              if vfunc.can_throw_gerror()]

    def __init_subclass__(cls, **arguments):
        super(interface, cls).__init_subclass__(**arguments)
        for owner, vfunc in vfuncs:
            name = 'do_' + vfunc.get_name()
            func = cls.__dict__.get(name)
            if callable(func) and issubclass(cls, owner):
                setattr(cls, name, _wrap_vfunc(func, vfunc, _get_python_type(vfunc.get_return_type())))

    interface.__init_subclass__ = classmethod(__init_subclass__)


# Asynchronous calls.


class _Callback:
    """Calls back once, and holds nothing after that: PyGObject frees it at a later call."""

    __slots__ = 'callback', 'user_data'

    def __init__(self, callback, user_data):
        self.callback = callback
        self.user_data = user_data

    def __call__(self, source, result, *_user_data):
        callback, user_data = self.callback, self.user_data
        self.callback = self.user_data = None
        return callback(source, result, *user_data)


class _Awaited:
    """Settles a future by the result of an operation, and cancels the operation with it."""

    def __init__(self, loop, finish, cancellable):
        self.future = loop.create_future()
        self.finish = finish
        self.cancellable = Gio.Cancellable()
        self.follow(cancellable)
        self.future.add_done_callback(self.on_done)

    def follow(self, cancellable):
        self.followed = cancellable
        if cancellable is None:
            return
        # Gio.Cancellable has a method connect() of another meaning.
        self.handler = GObject.Object.connect(cancellable, 'cancelled', self.on_cancelled)
        self.on_cancelled(cancellable)

    def on_cancelled(self, cancellable):
        if cancellable.is_cancelled():
            self.cancellable.cancel()

    def on_done(self, future):
        if self.followed is not None:
            GObject.Object.disconnect(self.followed, self.handler)
        if future.cancelled():
            self.cancellable.cancel()

    def __call__(self, _source, result):
        future, self.future = self.future, None
        if future.done():
            return
        try:
            future.set_result(self.finish(result))
        except Exception as error:
            # The frames of a traceback would hold the result.
            future.set_exception(error.with_traceback(None))


def _get_running_loop():
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return None
    runs_glib = GLib.MainContext.ref_thread_default().is_owner()
    if not runs_glib and type(loop).__module__.startswith(_FOREIGN_LOOPS):
        raise RuntimeError(f'{type(loop).__name__} does not run GLib\'s main loop: '
                           'use an event loop of gi.events, or of gbulb before PyGObject 3.50')
    return loop


# Methods, by what introspection says of them.

_DEFAULTS = {'io_priority': GLib.PRIORITY_DEFAULT, 'cancellable': None, 'callback': None}


_OUT = 1  # of GIDirection, which has no name in Python


class _Parameters:
    """The parameters of a method that Python shows, and the way from these to PyGObject's."""

    def __init__(self, info):
        arguments = info.get_arguments()
        # Data of a function may name the function's position in turn.
        closures = {_find_position(argument, 'closure'): argument for argument in arguments
                    if _name_type(_get_type(argument)) and _find_position(argument, 'closure') is not None}
        destroys = {_find_position(closure, 'destroy') for closure in closures.values()}
        hidden = set(closures) | destroys
        self.shown = [argument for position, argument in enumerate(arguments)
                      if position not in hidden and argument.get_direction() != _OUT]
        self.conversions = {argument.get_name(): convert for argument in self.shown
                            if (convert := _find_conversion(argument))}
        self.functions = {closure.get_name(): closure for closure in closures.values()
                          if _name_type(_get_type(closure)) != 'Gio.AsyncReadyCallback'}
        # Data of a function at the end may be left out.
        last = max((position for position in range(len(arguments)) if position not in destroys), default=None)
        self.with_data = {closure.get_name() for position, closure in closures.items() if position != last}
        self.is_method = info.is_method()
        self.is_async = info.get_name().endswith('_async') and 'callback' in map(lambda a: a.get_name(), self.shown)

    def get_signature(self):
        positional = inspect.Parameter.POSITIONAL_OR_KEYWORD
        parameters, may_be_left_out = [], True
        for argument in reversed(self.shown):
            name = argument.get_name()
            may_be_left_out = may_be_left_out and (name in _DEFAULTS or argument.may_be_null())
            default = _DEFAULTS.get(name) if may_be_left_out else inspect.Parameter.empty
            parameters.insert(0, inspect.Parameter(name, positional, default=default))
        if self.is_method:
            parameters.insert(0, inspect.Parameter('self', inspect.Parameter.POSITIONAL_ONLY))
        if self.is_async:
            parameters.append(inspect.Parameter('user_data', inspect.Parameter.VAR_POSITIONAL))
        return inspect.Signature(parameters)

    def to_native(self, values):
        for name, value in values.items():
            if name in self.conversions:
                yield self.conversions[name](value)
            elif name in self.functions:
                closure = self.functions[name]
                missing = value is None and closure.may_be_null()
                yield None if missing else _wrap_function(value, _get_type(closure).get_interface())
            else:
                yield value
            if name in self.with_data:
                yield ()


def _adapt_blocking(native, parameters, signature):
    def call(*arguments, **named):
        bound = signature.bind(*arguments, **named)
        bound.apply_defaults()
        return native(*parameters.to_native(bound.arguments))

    return call


def _adapt_async(native, finish, parameters, signature):
    def call(*arguments, **named):
        bound = signature.bind(*arguments, **named)
        bound.apply_defaults()
        values = bound.arguments
        callback, user_data = values.pop('callback'), values.pop('user_data')
        if callback is not None:
            native(*parameters.to_native(values), _Callback(callback, user_data))
            return None
        if (loop := _get_running_loop()) is None:
            native(*parameters.to_native(values))
            return None

        source = [values['self']] if parameters.is_method else []
        awaited = _Awaited(loop, functools.partial(finish, *source), values.get('cancellable'))
        values['cancellable'] = awaited.cancellable
        future = awaited.future
        native(*parameters.to_native(values), awaited)
        return future

    return call


def _adapt_method(cls, info):
    name = info.get_name()
    native = getattr(cls, name)
    parameters = _Parameters(info)
    if parameters.is_async:
        finish = getattr(cls, name.removesuffix('_async') + '_finish')
        call = _adapt_async(native, finish, parameters, parameters.get_signature())
    elif parameters.conversions or parameters.functions:
        call = _adapt_blocking(native, parameters, parameters.get_signature())
    else:
        return
    call.__name__ = name
    call.__qualname__ = f'{cls.__name__}.{name}'
    call.__module__ = cls.__module__
    call.__signature__ = parameters.get_signature()
    setattr(cls, name, call if info.is_method() else staticmethod(call))


def adapt_namespace(namespace):
    """Adapts all classes and interfaces of an introspected namespace."""
    for name in dir(namespace):
        cls = getattr(namespace, name)
        if not (isinstance(cls, type) and issubclass(cls, (GObject.Object, GObject.GInterface))):
            continue
        for info in cls.__info__.get_methods():
            _adapt_method(cls, info)
        if issubclass(cls, GObject.GInterface):
            _adapt_vfuncs(cls)


# Objects that are more than their methods.


class _Closing:
    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.close()

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_error):
        await self.close_async()


class _Keys:
    def __len__(self):
        return self.get_n_keys()

    def __contains__(self, key):
        return isinstance(key, str) and self.contains_key(key)

    def __iter__(self):
        return iter(self.list_keys())


class _Names:
    def __contains__(self, name):
        return self.find(name)[0] if isinstance(name, str) else Gio.ListModel.__contains__(self, name)


class _AlwaysTrue:
    def __bool__(self):
        return True


def _add(cls, *additions):
    for addition in additions:
        for name, value in vars(addition).items():
            if inspect.isfunction(value):
                setattr(cls, name, value)


adapt_namespace(Bs)
_add(Bs.BackingStore, _Closing)
_add(Bs.KeySet, _Keys)
_add(Bs.TrackedPath, _Keys, _AlwaysTrue)
_add(Bs.Manifest, _Names, _AlwaysTrue)
