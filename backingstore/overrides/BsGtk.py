# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 The backingstore authors
"""Additions of PyGObject to the introspected library for GTK.

Methods are adapted as those of Bs are, and a GtkBuilder finds the types by name.
"""

from gi.module import get_introspection_module
from gi.overrides.Bs import adapt_namespace

BsGtk = get_introspection_module('BsGtk')

__all__ = []

adapt_namespace(BsGtk)
BsGtk.init()
