/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Memory for parts of contents. The system gets it back when a part goes, where the C library
 * may keep some for each thread. */

/* Returns NULL where there is none. */
gpointer bs_s3_memory_map      (gsize size) G_GNUC_WARN_UNUSED_RESULT;
void     bs_s3_memory_unmap    (gpointer data, gsize size);
/* Takes the memory over. */
GBytes  *bs_s3_memory_to_bytes (gpointer data, gsize size) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
