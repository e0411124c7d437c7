/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Memory to read blobs into. For a large one the system's work to provide fresh
 * pages is nearly all the cost of reading it, so that some of what was freed is
 * kept for the next. Safe to use from any thread. */

/* NULL if there is no such memory. */
guint8 *bs_file_buffer_new     (gsize size) G_GNUC_WARN_UNUSED_RESULT;
void    bs_file_buffer_free    (guint8 *data, gsize size);
/* Takes the buffer over. */
GBytes *bs_file_buffer_to_bytes (guint8 *data, gsize size) G_GNUC_WARN_UNUSED_RESULT;

/* Gives back to the system what is kept. */
void    bs_file_buffer_trim    (void);

/* For tests: how many bytes are kept. */
gsize   bs_file_buffer_get_kept (void);

G_END_DECLS
