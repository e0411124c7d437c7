// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The backingstore authors

// Asynchronous methods that return promises, as an application would make them,
// and promises of what else a test waits for.

import Bs from 'gi://Bs?version=1';
import Gio from 'gi://Gio';
import GLib from 'gi://GLib';

const METHODS = [
    [Bs.BackingStore, [
        'track_path', 'untrack_path', 'sync', 'delete_persisted', 'delete_persisted_keys',
        'run_in_thread', 'load_root', 'load_manifest', 'wait_finished', 'close']],
    [Bs.TaskTracker, ['wait']],
    [Bs.Verify, ['run']],
    [Bs.Pool, ['register', 'register_all', 'register_manifest', 'trim']],
    [Bs.Item, ['load', 'load_object', 'write', 'persist']],
    [Bs.Save, ['run']],
];

for (const [type, names] of METHODS) {
    for (const name of names)
        Gio._promisify(type.prototype, `${name}_async`, `${name}_finish`);
}

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
