/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Memory of contents: from slabs, but for very small and very large ones, which come
 * from the heap. */

/* NULL where there is no memory. */
guint8  *bs_buffer_new       (gsize size) G_GNUC_WARN_UNUSED_RESULT;
void     bs_buffer_free      (guint8 *data, gsize size);
/* Takes the memory over. */
GBytes  *bs_buffer_to_bytes  (guint8 *data, gsize size) G_GNUC_WARN_UNUSED_RESULT;

/* The bytes, or a copy of them in such memory where that is cheap: bytes from elsewhere
 * leave holes in the heap, or keep a block alive that is larger than they are. */
GBytes  *bs_buffer_dup_bytes (GBytes *bytes) G_GNUC_WARN_UNUSED_RESULT;

/* Gives memory that nobody uses back to the system, that of the heap included: soon, in
 * a thread of its own, and a few times in a second at most. */
void     bs_buffer_give_back (void);

G_END_DECLS
