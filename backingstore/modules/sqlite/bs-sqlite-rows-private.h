/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

#define BS_SQLITE_KEY_SIZE 16
#define BS_SQLITE_KEY_STRING_SIZE 37

/* The part of an XXH3 hash that is kept. SQLite stores a larger number in two bytes more. */
#define BS_SQLITE_HASH_MASK G_GUINT64_CONSTANT (0x7fffffffffff)

typedef struct
{
  guint8 bytes[BS_SQLITE_KEY_SIZE];
} BsSqliteKey;

/* One blob of a document. */
typedef struct
{
  BsSqliteKey key;
  gint64 id;     /* of the row; 0 stands for no row */
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
