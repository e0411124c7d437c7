/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-sqlite-file-private.h"
#include "bs-sqlite-reading-private.h"
#include "bs-sqlite-scratch-private.h"

G_BEGIN_DECLS

/* A blob of primary storage. */
typedef struct
{
  BsSqliteRow row;            /* the key first: it is the key in the table */
  BsSqliteDocument *document; /* that has the row; NULL for a blob in scratch */
  BsSqliteFile *file;         /* owned; has a large blob in scratch; else NULL */
  BsSqliteExtent extent;      /* has a small one */
  gboolean lost;              /* could not be read when its document was released */
} BsSqliteEntry;

/* Primary storage: a table in memory from keys to blobs in scratch, or to rows of documents.
 *
 * The store has one call at a time for each key. So an entry changes under the mutex, but
 * what it says holds for the length of a call, but for a release, which runs beside calls
 * for other keys and moves blobs to scratch. */
typedef struct
{
  BsSqliteScratch scratch;

  GMutex mutex;

  /* under the mutex */
  GHashTable *entries; /* BsSqliteEntry, by its key; NULL once closed */
} BsSqlitePrimary;

void          bs_sqlite_primary_init        (BsSqlitePrimary *self);
/* Forgets every blob. */
void          bs_sqlite_primary_close       (BsSqlitePrimary *self);
void          bs_sqlite_primary_clear       (BsSqlitePrimary *self);

gboolean      bs_sqlite_primary_contains    (BsSqlitePrimary *self, const BsSqliteKey *key);
/* Returns FALSE if there is none. The copy has a reference on its document. */
gboolean      bs_sqlite_primary_copy        (BsSqlitePrimary *self, const BsSqliteKey *key, BsSqliteEntry *copy);

gboolean      bs_sqlite_primary_write       (BsSqlitePrimary *self, const BsSqliteKey *key, GBytes *bytes, GError **error);
/* Takes the file over. */
void          bs_sqlite_primary_add_file    (BsSqlitePrimary *self, const BsSqliteKey *key, BsSqliteFile *file);
void          bs_sqlite_primary_delete      (BsSqlitePrimary *self, const BsSqliteKey *key);

GBytes       *bs_sqlite_primary_read        (BsSqlitePrimary *self, const BsSqliteKey *key, GError **error);
/* Sets `file` to a copy of a large blob that is in a document's row, else to NULL. */
gboolean      bs_sqlite_primary_find_large  (BsSqlitePrimary *self, const BsSqliteKey *key, BsSqliteFile **file, GError **error);
GInputStream *bs_sqlite_primary_read_stream (BsSqlitePrimary *self, const BsSqliteKey *key, GCancellable *cancellable, GError **error);

/* Adds an entry for a row to a key that has none. */
void          bs_sqlite_primary_ensure      (BsSqlitePrimary *self, BsSqliteDocument *document, const BsSqliteRow *row);
gboolean      bs_sqlite_primary_holds       (BsSqlitePrimary *self, BsSqliteDocument *document, const BsSqliteRow *row);
/* From now on the blob is the document's row. */
void          bs_sqlite_primary_move_to_row (BsSqlitePrimary *self, BsSqliteDocument *document, const BsSqliteRow *row);
/* Moves the blobs that the document has rows of to scratch. */
void          bs_sqlite_primary_release     (BsSqlitePrimary *self, BsSqliteDocument *document);

gboolean      bs_sqlite_set_not_found       (GError **error);

G_END_DECLS
