/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-s3-documents-private.h"

G_BEGIN_DECLS

/* Contents of blobs of primary storage: from the local files, else from their objects. */

GBytes       *bs_s3_read_key      (BsS3Backing *self, const BsS3Key *key, GCancellable *cancellable, GError **error);
GInputStream *bs_s3_open_stream   (BsS3Backing *self, const BsS3Key *key, GCancellable *cancellable, GError **error);
/* Finds the content to put it elsewhere, as bytes only where it is not large. */
gboolean      bs_s3_find_content  (BsS3Backing *self, const BsS3Key *key, BsS3Content *content, GCancellable *cancellable, GError **error);
gboolean      bs_s3_set_not_found (GError **error);

G_END_DECLS
