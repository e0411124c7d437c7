/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-sqlite-document-private.h"

G_BEGIN_DECLS

/* Puts back what is whole in the quarantine of a document that nobody else uses yet, and counts
 * it; or only counts. */
gboolean bs_sqlite_quarantine_restore (BsSqliteDocument *document, gboolean only_count, guint64 *n_restored, GError **error);

G_END_DECLS
