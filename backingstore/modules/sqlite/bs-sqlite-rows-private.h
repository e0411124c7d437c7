/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

#define BS_SQLITE_KEY_SIZE 16
#define BS_SQLITE_KEY_STRING_SIZE 37

typedef struct
{
  guint8 bytes[BS_SQLITE_KEY_SIZE];
} BsSqliteKey;

/* A content larger than this is in parts, so that the log has no more of it at a time. */
#ifndef BS_SQLITE_ROW_SIZE
#define BS_SQLITE_ROW_SIZE (16 * 1024 * 1024)
#endif
#define BS_SQLITE_MAX_PARTS 1048576
#define BS_SQLITE_MAX_PARTS_STRING G_STRINGIFY (BS_SQLITE_MAX_PARTS)

/* One blob of a document. The parts of one whose id is below 0 have the ids from there on: each
 * has BS_SQLITE_ROW_SIZE bytes, but for the last, which has less. Such ids are multiples of
 * BS_SQLITE_MAX_PARTS, and lie before those of all others, so that these are added at the end. */
typedef struct
{
  BsSqliteKey key;
  gint64 id;     /* of the row, or the first one; 0 stands for no row */
  guint64 hash;  /* of the content */
} BsSqliteRow;

/* The rows of a document by their keys. A zeroed one is empty. */
typedef struct
{
  BsSqliteRow *slots; /* NULL or `mask` + 1, with open addressing */
  gsize mask;
  gsize n_rows;
} BsSqliteRows;

/* Backings are given keys in their one canonical form. */
void               bs_sqlite_key_parse   (const char *string, BsSqliteKey *key);
void               bs_sqlite_key_print   (const BsSqliteKey *key, char string[BS_SQLITE_KEY_STRING_SIZE]);
guint              bs_sqlite_key_hash    (gconstpointer key);
gboolean           bs_sqlite_key_equal   (gconstpointer a, gconstpointer b);

void               bs_sqlite_rows_clear  (BsSqliteRows *self);
const BsSqliteRow *bs_sqlite_rows_lookup (const BsSqliteRows *self, const BsSqliteKey *key);
/* Replaces the row that the key has. */
void               bs_sqlite_rows_set    (BsSqliteRows *self, const BsSqliteRow *row);
void               bs_sqlite_rows_remove (BsSqliteRows *self, const BsSqliteKey *key);

G_END_DECLS
