# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 The backingstore authors
"""Asynchronous calls in tests, each under a watchdog.

What a callback raises is swallowed on its way through C: callbacks here only
take down what they see, and tests assert after the loop.
"""

import faulthandler
import time

from gi.repository import GLib

SECONDS = 30

# A blocking call that never returns has no loop to watch it.
faulthandler.dump_traceback_later(110, exit=True)


def run_until(condition):
    """Runs the default main context until condition() is true."""
    context = GLib.MainContext.default()
    barked = []
    watchdog = GLib.timeout_add_seconds(SECONDS, lambda: barked.append(True) or GLib.SOURCE_REMOVE)
    while not condition() and not barked:
        context.iteration(True)
    if barked:
        raise TimeoutError('nothing happened in the main loop')
    GLib.source_remove(watchdog)


def poll_until(condition):
    """Runs until other threads make a condition true, without waking this one."""
    ticks = GLib.timeout_add(2, lambda: GLib.SOURCE_CONTINUE)
    run_until(condition)
    GLib.source_remove(ticks)


def wait_for_threads(condition):
    """Waits until other threads make a condition true. Gives PyGObject no function to call,
    which would free what it has kept of an earlier one."""
    end = time.monotonic() + SECONDS
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError('the threads do not get there')
        time.sleep(.001)


class Call:
    """An asynchronous call that was started: Call(item.load_async, 0, None)."""

    def __init__(self, function, *arguments):
        self.arrived = []
        self.name = function.__name__
        function(*arguments, self.on_done)

    def on_done(self, source, result):
        self.arrived.append((source, result))

    def result(self):
        """The value returned, once the main loop has brought it, or its GLib.Error."""
        run_until(lambda: self.arrived)
        (source, result), = self.arrived
        return getattr(source, self.name.replace('_async', '_finish'))(result)


def call(function, *arguments, cancellable=None):
    """call(item.persist_async, tracked): what it returns, or its GLib.Error."""
    return Call(function, *arguments, GLib.PRIORITY_DEFAULT, cancellable).result()
