/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-sqlite-document-private.h"
#include "bs-sqlite-file-private.h"

G_BEGIN_DECLS

/* Adds blobs, and names all of them in one transaction. Fills in the ids of the rows. A large
 * one is cancelled between its parts. */
gboolean          bs_sqlite_document_add        (BsSqliteDocument *self, BsSqliteRow *rows, GBytes *const *contents, guint n_rows, GCancellable *cancellable, GError **error);
/* Adds a large content, whose hash becomes the row's. */
gboolean          bs_sqlite_document_add_file   (BsSqliteDocument *self, BsSqliteRow *row, const BsSqliteFile *file, GCancellable *cancellable, GError **error);
/* Gives a row that was dropped its name again. */
gboolean          bs_sqlite_document_restore    (BsSqliteDocument *self, const BsSqliteRow *row, GError **error);
/* Takes names away in one transaction. Rows that are still held stay as dropped ones. */
gboolean          bs_sqlite_document_remove     (BsSqliteDocument *self, const BsSqliteRow *rows, const gboolean *held, gsize n_rows, GError **error);
/* Deletes a row that was dropped. */
gboolean          bs_sqlite_document_forget     (BsSqliteDocument *self, gint64 id, GError **error);
gboolean          bs_sqlite_document_quarantine (BsSqliteDocument *self, const BsSqliteRow *row, GError **error);
/* Gives a row in quarantine its name again. */
gboolean          bs_sqlite_document_put_back   (BsSqliteDocument *self, const BsSqliteRow *row, GError **error);

gboolean          bs_sqlite_document_sync       (BsSqliteDocument *self, GError **error);
gboolean          bs_sqlite_document_write_root (BsSqliteDocument *self, GBytes *bytes, GError **error);

G_END_DECLS
