# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 The backingstore authors
"""Runs the gallery, and fails if somebody holds a photo when its window has gone.

gallery.py GALLERY LIBRARY MIB [FOLDER...]
"""

import gc
import runpy
import sys

import gi

gi.require_version('Bs', '1')
from gi.repository import Bs

new_with_codec = Bs.Pool.new_with_codec
pools = []


def new_and_keep(*arguments):
    pools.append(new_with_codec(*arguments))
    return pools[-1]


def is_let_go(pool):
    return pool.props.n_items == 0 and pool.props.memory_in_use == 0


Bs.Pool.new_with_codec = new_and_keep
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name='__main__')
assert len(pools) == 2, pools
from mainloop import poll_until  # now, since it has a watchdog for all that follows
# A thread that has just ended may hold an item for a moment.
poll_until(lambda: gc.collect() is not None and all(map(is_let_go, pools)))
