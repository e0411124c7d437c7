/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <backingstore/backingstore.h>
#include <gegl.h>

G_BEGIN_DECLS

/* Sends the tiles of each buffer that GEGL makes from now on to `pool` and not to its
 * own swap; with NULL, to its own swap again. A buffer stays where it was made.
 *
 * The cache of GEGL is above the pool, which therefore needs no budget: with one of 0
 * it is a queue of tiles that are being written. A thread of GEGL that puts a tile away
 * waits while there are more than `max_waiting` bytes of them. */
void pool_tiles_set_pool (BsPool *pool, gsize max_waiting);

G_END_DECLS
