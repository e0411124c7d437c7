/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-sqlite-document-private.h"
#include "bs-sqlite-file-private.h"

G_BEGIN_DECLS

/* Both check the hash of the content. */
GBytes           *bs_sqlite_document_read       (BsSqliteDocument *self, const BsSqliteRow *row, GError **error);
GBytes           *bs_sqlite_document_read_root  (BsSqliteDocument *self, GError **error);

/* Whether the content is too large to be held in memory without need. A row that is missing
 * is not. */
gboolean          bs_sqlite_document_is_large   (BsSqliteDocument *self, const BsSqliteRow *row);
/* Reads a large content in parts, and checks its hash. `file` gets the content, or is NULL. */
gboolean          bs_sqlite_document_read_large (BsSqliteDocument *self, const BsSqliteRow *row, BsSqliteFile *file, GError **error);

G_END_DECLS
