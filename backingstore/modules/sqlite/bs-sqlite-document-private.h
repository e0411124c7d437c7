/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-sqlite-hash-private.h"
#include "bs-sqlite-rows-private.h"
#include "bs-sqlite-writer-private.h"

#include <backingstore/backingstore.h>

G_BEGIN_DECLS

/* One database: a persisted path. All changes go through one connection, in transactions
 * that take together what several threads ask for; each read has a connection of its own.
 * Safe to use from any thread, between hold and unhold. */
typedef struct _BsSqliteDocument BsSqliteDocument;

struct _BsSqliteDocument
{
  gatomicrefcount n_references;

  GRWLock use;      /* held for reading by calls, for writing to retire */
  gboolean retired; /* under `use` */

  BsSqliteClaim *claim;
  BsSqliteConnection *connection; /* of a document that cannot be written; else NULL */

  GMutex mutex;
  GCond cond;

  /* under the mutex */
  gboolean closed;
  BsSqliteRows rows;
  gint64 last_id;
  gint64 first_id; /* of contents in parts; descends from 0 */
  GPtrArray *idle; /* readers */
  GQueue changes;  /* asked for, and not in a transaction yet */
  gboolean writing;

  BsSqliteWriter writer; /* for the thread that has set `writing` */
};

BsSqliteDocument *bs_sqlite_document_open       (GFile *file, gboolean read_only, GError **error);
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

/* Whether the name leads to the document. */
gboolean          bs_sqlite_document_is_current (BsSqliteDocument *self);
/* Reads the keys anew if a change that failed may be there all the same. */
gboolean          bs_sqlite_document_settle     (BsSqliteDocument *self, GError **error);
gboolean          bs_sqlite_document_lookup     (BsSqliteDocument *self, const BsSqliteKey *key, BsSqliteRow *row);
void              bs_sqlite_document_list       (BsSqliteDocument *self, BsKeySet *keys);

/* Lists the rows in quarantine of a document that nobody else uses yet: the last of each key. */
gboolean          bs_sqlite_document_load_quarantine (BsSqliteDocument *self, BsSqliteRows *rows, GError **error);

/* Steps that reading and changes share. */

/* Fails for the reason why the document cannot be written. Returns FALSE. */
gboolean bs_sqlite_document_set_refusal   (BsSqliteDocument *self, GError **error);
/* One thread writes at a time; the others wait. Without the mutex. */
void     bs_sqlite_document_begin_writing (BsSqliteDocument *self);
void     bs_sqlite_document_end_writing   (BsSqliteDocument *self);
/* As bs_sqlite_document_settle(), for the thread that writes. */
gboolean bs_sqlite_document_settle_to_write (BsSqliteDocument *self, GError **error);
/* Opens the writer anew if it is broken. */
gboolean bs_sqlite_document_mend          (BsSqliteDocument *self, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (BsSqliteDocument, bs_sqlite_document_unref)

G_END_DECLS
