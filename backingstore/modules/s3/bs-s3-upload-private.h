/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-s3-client-private.h"

G_BEGIN_DECLS

/* Contents of this size and more go in parts. */
#define BS_S3_LARGE (16 * 1024 * 1024)

/* Puts a content in parts, side by side. After an error the server has none of them. */
gboolean bs_s3_upload (BsS3Client *client, const char *key, GBytes *bytes, const char *meta, gboolean *unclear, GCancellable *cancellable, GError **error);

G_END_DECLS
