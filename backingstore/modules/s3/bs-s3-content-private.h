/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* The content of an object to be: bytes, or a stream that is read a part at a time. */
typedef struct
{
  GBytes *bytes;        /* nullable */
  GInputStream *stream; /* at its start; NULL with bytes */
  guint64 size;
  char *meta;           /* its size and hash, as the object carries them */
} BsS3Content;

void     bs_s3_content_init_bytes  (BsS3Content *self, GBytes *bytes);
/* The stream can seek. Without `meta` it is read once for the hash. */
gboolean bs_s3_content_init_stream (BsS3Content *self, GInputStream *stream, const char *meta, GCancellable *cancellable, GError **error);
void     bs_s3_content_clear       (BsS3Content *self);

/* Returns the next bytes of the stream, or those at `offset`. */
GBytes  *bs_s3_content_read        (const BsS3Content *self, guint64 offset, gsize size, GCancellable *cancellable, GError **error) G_GNUC_WARN_UNUSED_RESULT;

char    *bs_s3_meta_print          (guint64 size, guint64 hash) G_GNUC_WARN_UNUSED_RESULT;

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (BsS3Content, bs_s3_content_clear)

G_END_DECLS
