/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-sqlite-rows-private.h"

#include <backingstore/backingstore.h>

G_BEGIN_DECLS

/* One database: a persisted path. All changes go through one connection, in transactions
 * that take together what several threads ask for; each read has a connection of its own.
 * Safe to use from any thread, between hold and unhold. */
typedef struct _BsSqliteDocument BsSqliteDocument;

BsSqliteDocument *bs_sqlite_document_open       (GFile *file, GError **error);
BsSqliteDocument *bs_sqlite_document_ref        (BsSqliteDocument *self);
void              bs_sqlite_document_unref      (BsSqliteDocument *self);
/* Fails once the document is closed. Until unhold it is not closed. */
gboolean          bs_sqlite_document_hold       (BsSqliteDocument *self);
void              bs_sqlite_document_unhold     (BsSqliteDocument *self);
/* Waits until nobody holds the document, and lets nobody hold it any more. Then reads go on
 * to work for the caller, up to close. */
void              bs_sqlite_document_retire     (BsSqliteDocument *self);
/* Leaves one file, which has all that was committed. */
void              bs_sqlite_document_close      (BsSqliteDocument *self);
/* A forked child closes nothing of its parent's. */
void              bs_sqlite_document_abandon    (BsSqliteDocument *self);

/* Whether the name leads to the document. */
gboolean          bs_sqlite_document_is_current (BsSqliteDocument *self);
/* Reads the keys anew if a change that failed may be there all the same. */
gboolean          bs_sqlite_document_settle     (BsSqliteDocument *self, GError **error);
gboolean          bs_sqlite_document_lookup     (BsSqliteDocument *self, const BsSqliteKey *key, BsSqliteRow *row);
void              bs_sqlite_document_list       (BsSqliteDocument *self, BsKeySet *keys);
GBytes           *bs_sqlite_document_read       (BsSqliteDocument *self, const BsSqliteRow *row, GError **error);

/* Fills in the id of the row. */
gboolean          bs_sqlite_document_add        (BsSqliteDocument *self, BsSqliteRow *row, GBytes *bytes, GError **error);
/* Gives a row that was dropped its name again. */
gboolean          bs_sqlite_document_restore    (BsSqliteDocument *self, const BsSqliteRow *row, GError **error);
/* Takes names away in one transaction. Rows that are still held stay as dropped ones. */
gboolean          bs_sqlite_document_remove     (BsSqliteDocument *self, const BsSqliteRow *rows, const gboolean *held, gsize n_rows, GError **error);
/* Deletes a row that was dropped. */
gboolean          bs_sqlite_document_forget     (BsSqliteDocument *self, gint64 id, GError **error);
gboolean          bs_sqlite_document_quarantine (BsSqliteDocument *self, const BsSqliteRow *row, GError **error);

gboolean          bs_sqlite_document_sync       (BsSqliteDocument *self, GError **error);
gboolean          bs_sqlite_document_write_root (BsSqliteDocument *self, GBytes *bytes, GError **error);
GBytes           *bs_sqlite_document_read_root  (BsSqliteDocument *self, GError **error);

guint64           bs_sqlite_hash                (GBytes *bytes);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (BsSqliteDocument, bs_sqlite_document_unref)

G_END_DECLS
