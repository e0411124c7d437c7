// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The backingstore authors

// Keeps the pools that a program makes.

import Bs from 'gi://Bs?version=1';

export const pools = [];

const newWithCodec = Bs.Pool.new_with_codec;

Bs.Pool.new_with_codec = (...args) => {
    const pool = newWithCodec(...args);
    pools.push(pool);
    return pool;
};
