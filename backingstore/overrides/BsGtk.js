// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The backingstore authors

// An addition of GJS to the introspected library for GTK: a GtkBuilder finds its types by
// name.

/* exported _init */

function _init() {
    this.init();
}
