/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Memory for contents, apart from the heap: there a content that goes leaves a hole
 * between objects that stay, which the system never gets back. */

#define BS_SLABS_MIN 512
#define BS_SLABS_MAX (4 * 1024 * 1024)

/* `size` is from BS_SLABS_MIN to BS_SLABS_MAX. NULL where there is no memory. The lowest
 * six bits of the address are zero. */
gpointer bs_slabs_alloc     (gsize size);
/* A number below eight that tells bs_slabs_free() of the size. */
guint    bs_slabs_get_order (gsize size);
/* TRUE if so much is spare that some should be given back. */
gboolean bs_slabs_free      (gpointer data, guint order) G_GNUC_WARN_UNUSED_RESULT;

/* Gives memory that is not in use back to the system, until no more than `keep` bytes
 * are left. Takes as long as the system does; other threads go on meanwhile. */
void     bs_slabs_give_back (gsize keep);
/* The number of bytes that should be kept for the next contents. */
gsize    bs_slabs_get_reserve (void);

G_END_DECLS
