/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "bs-sqlite-primary-private.h"

#include "bs-sqlite-changes-private.h"

#include <backingstore/backingstore.h>

#include <glib/gi18n-lib.h>

gboolean
bs_sqlite_set_not_found (GError **error)
{
  g_set_error_literal (error, BS_ERROR, BS_ERROR_NOT_FOUND, _ ("no such blob"));
  return FALSE;
}

static void
entry_free (BsSqliteEntry *self)
{
  g_clear_pointer (&self->document, bs_sqlite_document_unref);
  g_clear_pointer (&self->file, bs_sqlite_file_free);
  g_free (self);
}

void
bs_sqlite_primary_init (BsSqlitePrimary *self)
{
  bs_sqlite_scratch_init (&self->scratch);
  g_mutex_init (&self->mutex);
  self->entries = g_hash_table_new_full (bs_sqlite_key_hash, bs_sqlite_key_equal, NULL,
                                         (GDestroyNotify) entry_free);
}

void
bs_sqlite_primary_close (BsSqlitePrimary *self)
{
  g_autoptr (GHashTable) entries = NULL;

  g_mutex_lock (&self->mutex);
  entries = g_steal_pointer (&self->entries);
  g_mutex_unlock (&self->mutex);

  bs_sqlite_scratch_empty (&self->scratch);
}

void
bs_sqlite_primary_clear (BsSqlitePrimary *self)
{
  bs_sqlite_scratch_clear (&self->scratch);
  g_mutex_clear (&self->mutex);
}

gboolean
bs_sqlite_primary_contains (BsSqlitePrimary *self, const BsSqliteKey *key)
{
  gboolean contained;

  g_mutex_lock (&self->mutex);
  contained = g_hash_table_contains (self->entries, key);
  g_mutex_unlock (&self->mutex);

  return contained;
}

gboolean
bs_sqlite_primary_copy (BsSqlitePrimary *self, const BsSqliteKey *key, BsSqliteEntry *copy)
{
  BsSqliteEntry *entry;

  g_mutex_lock (&self->mutex);
  entry = g_hash_table_lookup (self->entries, key);
  if (entry != NULL)
    {
      *copy = *entry;
      if (copy->document != NULL)
        bs_sqlite_document_ref (copy->document);
    }
  g_mutex_unlock (&self->mutex);

  return entry != NULL;
}

/* Takes over `document`. Called with the mutex held. */
static BsSqliteEntry *
add_entry (BsSqlitePrimary *self, const BsSqliteRow *row, BsSqliteDocument *document)
{
  BsSqliteEntry *entry = g_new0 (BsSqliteEntry, 1);

  entry->row = *row;
  entry->document = document;
  g_hash_table_add (self->entries, entry);

  return entry;
}

gboolean
bs_sqlite_primary_write (BsSqlitePrimary *self,
                         const BsSqliteKey *key,
                         GBytes *bytes,
                         GError **error)
{
  const BsSqliteRow row = { .key = *key };
  BsSqliteExtent extent;

  if (!bs_sqlite_scratch_write (&self->scratch, bytes, &extent, error))
    return FALSE;

  g_mutex_lock (&self->mutex);
  add_entry (self, &row, NULL)->extent = extent;
  g_mutex_unlock (&self->mutex);
  return TRUE;
}

void
bs_sqlite_primary_add_file (BsSqlitePrimary *self, const BsSqliteKey *key, BsSqliteFile *file)
{
  const BsSqliteRow row = { .key = *key };

  g_mutex_lock (&self->mutex);
  add_entry (self, &row, NULL)->file = file;
  g_mutex_unlock (&self->mutex);
}

/* The row goes with the last token if its name has gone before. A document that cannot do it
 * now does it when it is opened again. */
static void
forget_row (const BsSqliteEntry *entry)
{
  BsSqliteRow named;

  if (!bs_sqlite_document_hold (entry->document))
    return;

  if (!bs_sqlite_document_lookup (entry->document, &entry->row.key, &named) ||
      named.id != entry->row.id)
    bs_sqlite_document_forget (entry->document, entry->row.id, NULL);
  bs_sqlite_document_unhold (entry->document);
}

void
bs_sqlite_primary_delete (BsSqlitePrimary *self, const BsSqliteKey *key)
{
  BsSqliteEntry *entry = NULL;

  g_mutex_lock (&self->mutex);
  g_hash_table_steal_extended (self->entries, key, (gpointer *) &entry, NULL);
  g_mutex_unlock (&self->mutex);
  if (entry == NULL)
    return;

  if (entry->document != NULL)
    forget_row (entry);
  else if (!entry->lost && entry->file == NULL)
    bs_sqlite_scratch_free (&self->scratch, &entry->extent);
  entry_free (entry);
}

/* Reads a blob wherever it is. It may be on its way from a document to the scratch file. */
GBytes *
bs_sqlite_primary_read (BsSqlitePrimary *self, const BsSqliteKey *key, GError **error)
{
  BsSqliteEntry copy;

  while (bs_sqlite_primary_copy (self, key, &copy))
    {
      g_autoptr (BsSqliteDocument) document = copy.document;
      GBytes *bytes;

      if (copy.lost)
        {
          g_set_error_literal (error, BS_ERROR, BS_ERROR_CORRUPT,
                               _ ("the blob could not be read when its document was released"));
          return NULL;
        }
      if (document == NULL && copy.file != NULL)
        return bs_sqlite_file_load (copy.file, error);
      if (document == NULL)
        return bs_sqlite_scratch_read (&self->scratch, &copy.extent, error);
      if (!bs_sqlite_document_hold (document))
        {
          g_thread_yield ();
          continue;
        }

      bytes = bs_sqlite_document_read (document, &copy.row, error);
      bs_sqlite_document_unhold (document);
      return bytes;
    }

  bs_sqlite_set_not_found (error);
  return NULL;
}

/* Copies the content of a large row to a new file. */
static BsSqliteFile *
copy_row (BsSqlitePrimary *self, BsSqliteDocument *document, const BsSqliteRow *row, GError **error)
{
  g_autoptr (BsSqliteFile) file = bs_sqlite_file_new (self->scratch.directory, error);

  if (file == NULL || !bs_sqlite_document_read_large (document, row, file, error))
    return NULL;

  return g_steal_pointer (&file);
}

gboolean
bs_sqlite_primary_find_large (BsSqlitePrimary *self,
                              const BsSqliteKey *key,
                              BsSqliteFile **file,
                              GError **error)
{
  gboolean success = TRUE;
  BsSqliteEntry copy;

  *file = NULL;
  while (bs_sqlite_primary_copy (self, key, &copy) && copy.document != NULL)
    {
      g_autoptr (BsSqliteDocument) document = copy.document;

      if (!bs_sqlite_document_hold (document))
        {
          g_thread_yield ();
          continue;
        }
      if (bs_sqlite_document_is_large (document, &copy.row))
        {
          *file = copy_row (self, document, &copy.row, error);
          success = *file != NULL;
        }
      bs_sqlite_document_unhold (document);
      break;
    }

  return success;
}

/* A row would have to be read in a transaction that stays open, and keep the log from being
 * brought home: the stream of a large one has a copy. */
GInputStream *
bs_sqlite_primary_read_stream (BsSqlitePrimary *self,
                               const BsSqliteKey *key,
                               GCancellable *cancellable,
                               GError **error)
{
  g_autoptr (BsSqliteFile) file = NULL;
  g_autoptr (GBytes) bytes = NULL;
  BsSqliteEntry copy;

  if (!bs_sqlite_primary_find_large (self, key, &file, error))
    return NULL;
  if (file != NULL)
    return bs_sqlite_file_open (file, cancellable, error);
  if (bs_sqlite_primary_copy (self, key, &copy))
    {
      g_clear_pointer (&copy.document, bs_sqlite_document_unref);
      if (copy.file != NULL)
        return bs_sqlite_file_open (copy.file, cancellable, error);
    }

  bytes = bs_sqlite_primary_read (self, key, error);
  return bytes != NULL ? g_memory_input_stream_new_from_bytes (bytes) : NULL;
}

void
bs_sqlite_primary_ensure (BsSqlitePrimary *self, BsSqliteDocument *document, const BsSqliteRow *row)
{
  g_mutex_lock (&self->mutex);
  if (!g_hash_table_contains (self->entries, &row->key))
    add_entry (self, row, bs_sqlite_document_ref (document));
  g_mutex_unlock (&self->mutex);
}

gboolean
bs_sqlite_primary_holds (BsSqlitePrimary *self, BsSqliteDocument *document, const BsSqliteRow *row)
{
  BsSqliteEntry *entry;
  gboolean held;

  g_mutex_lock (&self->mutex);
  entry = g_hash_table_lookup (self->entries, &row->key);
  held = entry != NULL && entry->document == document && entry->row.id == row->id;
  g_mutex_unlock (&self->mutex);

  return held;
}

void
bs_sqlite_primary_move_to_row (BsSqlitePrimary *self,
                               BsSqliteDocument *document,
                               const BsSqliteRow *row)
{
  BsSqliteFile *file = NULL;
  BsSqliteExtent extent;
  BsSqliteEntry *entry;
  gboolean was_scratch = FALSE;

  g_mutex_lock (&self->mutex);
  entry = g_hash_table_lookup (self->entries, &row->key);
  if (entry != NULL && entry->document == NULL && !entry->lost)
    {
      file = g_steal_pointer (&entry->file);
      extent = entry->extent;
      was_scratch = file == NULL;
      entry->row = *row;
      entry->document = bs_sqlite_document_ref (document);
    }
  g_mutex_unlock (&self->mutex);

  if (was_scratch)
    bs_sqlite_scratch_free (&self->scratch, &extent);
  g_clear_pointer (&file, bs_sqlite_file_free);
}

static GArray *
list_rows_of (BsSqlitePrimary *self, BsSqliteDocument *document)
{
  GArray *rows = g_array_new (FALSE, FALSE, sizeof (BsSqliteRow));
  GHashTableIter iter;
  BsSqliteEntry *entry;

  g_mutex_lock (&self->mutex);
  g_hash_table_iter_init (&iter, self->entries);
  while (g_hash_table_iter_next (&iter, (gpointer *) &entry, NULL))
    {
      if (entry->document == document)
        g_array_append_val (rows, entry->row);
    }
  g_mutex_unlock (&self->mutex);

  return rows;
}

static void
move_entry_to_scratch (BsSqlitePrimary *self, BsSqliteDocument *document, const BsSqliteRow *row)
{
  g_autoptr (BsSqliteFile) file = NULL;
  g_autoptr (GBytes) bytes = NULL;
  BsSqliteExtent extent = { 0 };
  gboolean moved = FALSE;
  gboolean has_extent;
  BsSqliteEntry *entry;

  if (bs_sqlite_document_is_large (document, row))
    file = copy_row (self, document, row, NULL);
  else
    bytes = bs_sqlite_document_read (document, row, NULL);
  has_extent = bytes != NULL && bs_sqlite_scratch_write (&self->scratch, bytes, &extent, NULL);

  g_mutex_lock (&self->mutex);
  entry = g_hash_table_lookup (self->entries, &row->key);
  if (entry != NULL && entry->document == document)
    {
      g_clear_pointer (&entry->document, bs_sqlite_document_unref);
      entry->extent = extent;
      entry->lost = file == NULL && !has_extent;
      entry->file = g_steal_pointer (&file);
      moved = TRUE;
    }
  g_mutex_unlock (&self->mutex);

  if (!moved && has_extent)
    bs_sqlite_scratch_free (&self->scratch, &extent);
}

void
bs_sqlite_primary_release (BsSqlitePrimary *self, BsSqliteDocument *document)
{
  g_autoptr (GArray) rows = list_rows_of (self, document);

  for (guint i = 0; i < rows->len; i++)
    move_entry_to_scratch (self, document, &g_array_index (rows, BsSqliteRow, i));
}
