/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-sqlite-document-private.h"

G_BEGIN_DECLS

/* Both check the hash of the content. */
GBytes           *bs_sqlite_document_read       (BsSqliteDocument *self, const BsSqliteRow *row, GError **error);
GBytes           *bs_sqlite_document_read_root  (BsSqliteDocument *self, GError **error);

G_END_DECLS
