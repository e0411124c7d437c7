/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "bs-sqlite-transfer-private.h"

#include "bs-sqlite-changes-private.h"
#include "bs-sqlite-packing-private.h"

/* So many blobs, or so many bytes, are read from elsewhere for one transaction. */
#define MAX_ADDED_ROWS 4096
#define MAX_ADDED_BYTES (16 * 1024 * 1024)

/* Adds the row of a blob, in parts where that is large. `file` has it, or is NULL. */
static gboolean
add_row (BsSqlitePrimary *primary,
         BsSqliteDocument *document,
         BsSqliteRow *row,
         const BsSqliteFile *file,
         GCancellable *cancellable,
         GError **error)
{
  g_autoptr (BsSqliteFile) copied = NULL;
  g_autoptr (GBytes) bytes = NULL;

  if (file == NULL)
    {
      if (!bs_sqlite_primary_find_large (primary, &row->key, &copied, error))
        return FALSE;
      file = copied;
    }
  if (file != NULL)
    return bs_sqlite_document_add_file (document, row, file, cancellable, error);

  bytes = bs_sqlite_primary_read (primary, &row->key, error);
  if (bytes == NULL)
    return FALSE;

  row->hash = bs_sqlite_hash (bytes);
  return bs_sqlite_document_add (document, row, &bytes, 1, cancellable, error);
}

/* The document does not name the key. */
static gboolean
persist_entry (BsSqlitePrimary *primary,
               BsSqliteDocument *document,
               const BsSqliteKey *key,
               GCancellable *cancellable,
               GError **error)
{
  g_autoptr (BsSqliteDocument) holder = NULL;
  BsSqliteRow row = { .key = *key };
  BsSqliteEntry copy;

  if (!bs_sqlite_primary_copy (primary, key, &copy))
    return bs_sqlite_set_not_found (error);

  holder = copy.document;
  if (holder == document)
    return bs_sqlite_document_restore (document, &copy.row, error);

  if (!add_row (primary, document, &row, copy.file, cancellable, error))
    return FALSE;

  bs_sqlite_primary_move_to_row (primary, document, &row);
  return TRUE;
}

gboolean
bs_sqlite_persist (BsSqlitePrimary *primary,
                   BsSqliteDocument *document,
                   const BsSqliteKey *key,
                   GCancellable *cancellable,
                   GError **error)
{
  BsSqliteRow row;

  return bs_sqlite_document_lookup (document, key, &row) ||
         persist_entry (primary, document, key, cancellable, error);
}

/* The bytes go from memory into the document, and never through the scratch file. */
gboolean
bs_sqlite_persist_bytes (BsSqlitePrimary *primary,
                         BsSqliteDocument *document,
                         const BsSqliteKey *key,
                         GBytes *bytes,
                         GCancellable *cancellable,
                         GError **error)
{
  BsSqliteRow row = { .key = *key };

  if (!bs_sqlite_document_lookup (document, key, &row))
    {
      if (bs_sqlite_primary_contains (primary, key))
        return persist_entry (primary, document, key, cancellable, error);

      row.hash = bs_sqlite_hash (bytes);
      if (!bs_sqlite_document_add (document, &row, &bytes, 1, cancellable, error))
        return FALSE;
    }

  bs_sqlite_primary_ensure (primary, document, &row);
  return TRUE;
}

/* Blobs that are to be new rows of a document. */
typedef struct
{
  BsSqlitePrimary *primary;
  BsSqliteDocument *document;
  GHashTable *contents; /* borrowed; of keys that primary storage does not have */
  GArray *rows;         /* of the next transaction */
  GPtrArray *bytes;     /* of each row */
  gsize n_bytes;
  GCancellable *cancellable;
  GError *error; /* owned; ends it */
} Addition;

static gboolean
add_rows (Addition *addition, GError **error)
{
  BsSqliteRow *rows = (BsSqliteRow *) addition->rows->data;
  GBytes **contents = (GBytes **) addition->bytes->pdata;
  guint n_rows = addition->rows->len;

  if (n_rows == 0)
    return TRUE;

  bs_sqlite_pack (rows, contents, n_rows);
  if (!bs_sqlite_document_add (addition->document, rows, contents, n_rows, addition->cancellable,
                               error))
    return FALSE;

  for (guint i = 0; i < n_rows; i++)
    {
      bs_sqlite_primary_move_to_row (addition->primary, addition->document, &rows[i]);
      bs_sqlite_primary_ensure (addition->primary, addition->document, &rows[i]);
    }
  g_array_set_size (addition->rows, 0);
  g_ptr_array_set_size (addition->bytes, 0);
  addition->n_bytes = 0;
  return TRUE;
}

/* Takes `bytes` over. */
static gboolean
add_new_row (Addition *addition, BsSqliteRow *row, GBytes *bytes, GError **error)
{
  if (bytes == NULL)
    return FALSE;

  row->hash = bs_sqlite_hash (bytes);
  g_array_append_val (addition->rows, *row);
  g_ptr_array_add (addition->bytes, bytes);
  addition->n_bytes += g_bytes_get_size (bytes);

  return (addition->rows->len < MAX_ADDED_ROWS && addition->n_bytes < MAX_ADDED_BYTES) ||
         add_rows (addition, error);
}

static gboolean
add_key (Addition *addition, const BsSqliteKey *key, GBytes *content, GError **error)
{
  BsSqlitePrimary *primary = addition->primary;
  BsSqliteRow row = { .key = *key };
  g_autoptr (BsSqliteDocument) holder = NULL;
  BsSqliteEntry copy;

  if (bs_sqlite_document_lookup (addition->document, key, &row))
    {
      if (content != NULL)
        bs_sqlite_primary_ensure (primary, addition->document, &row);
      return TRUE;
    }
  if (!bs_sqlite_primary_copy (primary, key, &copy))
    return content != NULL ? add_new_row (addition, &row, g_bytes_ref (content), error)
                           : bs_sqlite_set_not_found (error);

  /* A large blob is copied in parts, in a transaction of its own. */
  holder = copy.document;
  if (holder != NULL || copy.file != NULL)
    return persist_entry (primary, addition->document, key, addition->cancellable, error);

  return add_new_row (addition, &row, bs_sqlite_primary_read (primary, key, error), error);
}

static void
add_one (const char *string, gpointer data)
{
  Addition *addition = data;
  BsSqliteKey key;

  if (addition->error != NULL ||
      g_cancellable_set_error_if_cancelled (addition->cancellable, &addition->error))
    return;

  bs_sqlite_key_parse (string, &key);
  if (!add_key (addition, &key, g_hash_table_lookup (addition->contents, string), &addition->error))
    g_prefix_error (&addition->error, "%s: ", string);
}

gboolean
bs_sqlite_persist_keys (BsSqlitePrimary *primary,
                        BsSqliteDocument *document,
                        BsKeySet *keys,
                        GHashTable *contents,
                        GCancellable *cancellable,
                        GError **error)
{
  g_autoptr (GArray) rows = g_array_new (FALSE, FALSE, sizeof (BsSqliteRow));
  g_autoptr (GPtrArray) bytes = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  Addition addition = { primary, document, contents, rows, bytes, 0, cancellable, NULL };

  bs_key_set_foreach_key (keys, add_one, &addition);
  if (addition.error == NULL)
    add_rows (&addition, &addition.error);
  if (addition.error == NULL)
    return TRUE;

  g_propagate_error (error, addition.error);
  return FALSE;
}
