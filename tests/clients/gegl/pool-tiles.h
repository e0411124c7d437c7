/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <backingstore/backingstore.h>
#include <gegl.h>

G_BEGIN_DECLS

/* Sends the tiles of each buffer that GEGL makes from now on to `pool` and not to its
 * own swap; with NULL, to its own swap again. A buffer stays where it was made. */
void pool_tiles_set_pool (BsPool *pool);

G_END_DECLS
