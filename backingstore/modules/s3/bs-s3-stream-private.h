/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-s3-documents-private.h"

G_BEGIN_DECLS

/* Reads the object of a blob a part at a time, the next one while the caller is busy with the
 * one before. Deletion of the object does not disturb it, since the local files have the blob
 * then. A content that fits one part is returned as a stream in memory, and cached. */
GInputStream *bs_s3_stream_open     (BsS3Backing *backing, const BsS3Blob *blob, GCancellable *cancellable, GError **error);
/* The same, for that very object alone, and without the cache: NOT_FOUND once it has gone. */
GInputStream *bs_s3_stream_open_object (BsS3Backing *backing, const char *object, GCancellable *cancellable, GError **error);
/* Returns size and hash as the object carries them; NULL for a stream of another type. */
const char   *bs_s3_stream_get_meta (GInputStream *stream);
void          bs_s3_stream_register (GTypeModule *module);

G_END_DECLS
