// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The backingstore authors

// Runs the gallery, and fails if somebody holds a photo when its window has gone.

import GLib from 'gi://GLib';
import System from 'system';

import {pools} from './pools.js';
import '../../docs/examples/gallery/gallery.js';

const SECONDS = 30;

function isLetGo(pool) {
    return pool.n_items === 0 && pool.memory_in_use === 0;
}

if (pools.length !== 2)
    throw new Error(`${pools.length} pools`);
// Only the garbage collector knows when a script has let go.
const end = GLib.get_monotonic_time() + SECONDS * 1000000;
while (!pools.every(isLetGo)) {
    if (GLib.get_monotonic_time() > end)
        throw new Error(`in use: ${pools.map(pool => `${pool.n_items} items`)}`);
    System.gc();
    GLib.MainContext.default().iteration(false);
}
