/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-s3-client-private.h"
#include "bs-s3-content-private.h"

G_BEGIN_DECLS

/* Contents of this size and more go in parts. */
#define BS_S3_LARGE (16 * 1024 * 1024)

/* Puts a content in parts, side by side. After an error the server has none of them. */
gboolean bs_s3_upload (BsS3Client *client, const char *key, const BsS3Content *content, gboolean *unclear, GCancellable *cancellable, GError **error);

/* Copies an object that is too large for one request: within the server, or by this machine
 * if the server copies no parts. `source` is as x-amz-copy-source has it. */
gboolean bs_s3_upload_copy (BsS3Client *client, const char *source, const char *from, const char *to, gboolean *unclear, GCancellable *cancellable, GError **error);

/* Whether a name, which follows the prefix, is one whose uploads are ours. */
typedef gboolean (*BsS3IsOursFunc) (const char *name);
/* Aborts uploads, up to a thousand, that began so many seconds ago and more: those of programs
 * that have been killed. Errors leave them to the next call. */
void     bs_s3_upload_abort_old (BsS3Client *client, const char *prefix, BsS3IsOursFunc is_ours, gint64 seconds, GCancellable *cancellable);

G_END_DECLS
