/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Memory to read blobs into. Nothing is kept of what is freed. Safe to use from any
 * thread. */

/* NULL if there is no such memory. */
guint8 *bs_file_buffer_new      (gsize size) G_GNUC_WARN_UNUSED_RESULT;
void    bs_file_buffer_free     (guint8 *data, gsize size);
/* Takes the buffer over. */
GBytes *bs_file_buffer_to_bytes (guint8 *data, gsize size) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
