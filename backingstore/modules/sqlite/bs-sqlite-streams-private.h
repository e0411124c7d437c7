/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-sqlite-file-private.h"

G_BEGIN_DECLS

/* Reads a stream to its end, or exactly `size` bytes. A content of at most BS_SQLITE_MAX_HELD is
 * returned in `bytes`, a larger one in `file`, a new file in the directory. */
gboolean      bs_sqlite_take_stream (GInputStream *stream, gint64 size, const char *directory, GBytes **bytes, BsSqliteFile **file, GCancellable *cancellable, GError **error);
/* Opens a regular file. */
GInputStream *bs_sqlite_open_source (GFile *file, GCancellable *cancellable, GError **error);

G_END_DECLS
