/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-s3-documents-private.h"

G_BEGIN_DECLS

/* Reads a blob of a document, and sets it aside where that is bad: CORRUPT. */
gboolean bs_s3_verify  (BsS3Backing *self, BsS3Document *document, const BsS3Key *key, GCancellable *cancellable, GError **error);
/* Puts back what is whole in quarantine, or only counts it. */
gboolean bs_s3_restore (BsS3Backing *self, BsS3Document *document, gboolean only_count, guint64 *n_restored, GCancellable *cancellable, GError **error);

G_END_DECLS
