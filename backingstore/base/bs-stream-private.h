/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* Contents as streams. */

/* Reads a stream to its end, or exactly `size` bytes, into memory. */
GBytes       *bs_stream_read_bytes     (GInputStream *stream, gint64 size, GCancellable *cancellable, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Opens a regular file for reading. A path that may block on opening is not opened. */
GInputStream *bs_stream_open_file      (GFile *file, GCancellable *cancellable, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Sets the error of a stream that has ended before its size. */
void          bs_stream_set_short      (gint64 n_read, gint64 size, GError **error);
void          bs_stream_set_irregular  (GFileType type, GError **error);

/* Leaves the stream at its start. */
gboolean      bs_stream_get_size       (GInputStream *stream, goffset *size, GError **error);
/* Computes the place that a seek leads to, within the content. */
gboolean      bs_stream_resolve_seek   (goffset position, goffset size, goffset offset, GSeekType type, goffset *result, GError **error);
/* Refuses to truncate what is read. */
gboolean      bs_stream_refuse_truncate (GError **error);

G_END_DECLS
