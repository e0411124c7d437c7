// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The backingstore authors

// Promises of what a test waits for, other than asynchronous calls.

import GLib from 'gi://GLib';

// The arguments of the signal's next emission.
export function emission(object, signal) {
    return new Promise(resolve => {
        const id = object.connect(signal, (_object, ...values) => {
            object.disconnect(id);
            resolve(values);
        });
    });
}

// For what happens in other threads, which do not wake this one.
export function until(condition) {
    return new Promise(resolve => {
        GLib.timeout_add(GLib.PRIORITY_DEFAULT, 2, () => {
            if (!condition())
                return GLib.SOURCE_CONTINUE;
            resolve();
            return GLib.SOURCE_REMOVE;
        });
    });
}
