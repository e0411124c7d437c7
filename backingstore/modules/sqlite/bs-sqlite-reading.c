/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "bs-sqlite-reading-private.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <string.h>

#define MAX_IDLE_READERS 8

static BsSqliteConnection *
get_main_connection (BsSqliteDocument *self)
{
  return self->connection != NULL ? self->connection : self->writer.connection;
}

/* A reader is opened by the name of the document. Where that leads elsewhere by now, the
 * one connection that is open all the time reads, in turn with changes. */
static BsSqliteConnection *
take_reader (BsSqliteDocument *self, GError **error)
{
  BsSqliteAccess access = self->claim->refusal == 0 ? BS_SQLITE_READ : BS_SQLITE_IMMUTABLE;
  BsSqliteConnection *reader = NULL;

  if (!bs_sqlite_document_mend (self, error))
    return NULL;

  g_mutex_lock (&self->mutex);
  if (self->idle->len > 0)
    reader = g_ptr_array_steal_index_fast (self->idle, self->idle->len - 1);
  g_mutex_unlock (&self->mutex);
  if (reader != NULL)
    return reader;

  reader = bs_sqlite_connection_open (self->claim, access, error);
  if (bs_sqlite_claim_check (self->claim, NULL))
    return reader;

  g_clear_error (error);
  g_clear_pointer (&reader, bs_sqlite_connection_close);
  bs_sqlite_document_begin_writing (self);
  return get_main_connection (self);
}

static void
return_reader (BsSqliteDocument *self, BsSqliteConnection *reader)
{
  gboolean keep;

  if (reader == get_main_connection (self))
    {
      bs_sqlite_document_end_writing (self);
      return;
    }

  g_mutex_lock (&self->mutex);
  keep = self->idle->len < MAX_IDLE_READERS;
  if (keep)
    g_ptr_array_add (self->idle, reader);
  g_mutex_unlock (&self->mutex);

  if (!keep)
    bs_sqlite_connection_close (reader);
}

/* A damaged size may be more than there is memory for. */
static GBytes *
copy_bytes (gconstpointer data, gsize size, GError **error)
{
  gpointer copy = g_try_malloc (MAX (size, 1));

  if (copy == NULL)
    {
      bs_sqlite_set_errno (_ ("cannot hold the content in memory"), ENOMEM, error);
      return NULL;
    }

  if (size > 0)
    memcpy (copy, data, size);
  return g_bytes_new_take (copy, size);
}

/* Returns NULL without an error if there is no row. */
static GBytes *
read_column (BsSqliteConnection *reader,
             BsSqliteStatement which,
             gint64 id,
             int column,
             guint64 *hash,
             GError **error)
{
  sqlite3_stmt *statement = bs_sqlite_connection_get (reader, which, error);
  GBytes *bytes = NULL;
  int code;

  if (statement == NULL)
    return NULL;

  if (column == 0)
    sqlite3_bind_int64 (statement, 1, id);
  code = sqlite3_step (statement);
  if (code == SQLITE_ROW)
    {
      gconstpointer data = sqlite3_column_blob (statement, column);

      if (column > 0)
        *hash = sqlite3_column_int64 (statement, 0) & BS_SQLITE_HASH_MASK;
      if (data != NULL || sqlite3_errcode (reader->database) != SQLITE_NOMEM)
        bytes = copy_bytes (data, sqlite3_column_bytes (statement, column), error);
      else
        bs_sqlite_connection_fail (reader, error);
    }
  else if (code != SQLITE_DONE)
    {
      bs_sqlite_connection_fail (reader, error);
    }
  sqlite3_reset (statement);

  return bytes;
}

static gboolean
set_hash_error (GError **error)
{
  g_set_error_literal (error, BS_ERROR, BS_ERROR_CORRUPT, _ ("the hash of the content is wrong"));
  return FALSE;
}

static GBytes *
read_checked (BsSqliteDocument *self,
              BsSqliteStatement which,
              gint64 id,
              int column,
              guint64 hash,
              GError **error)
{
  GError *local = NULL;
  BsSqliteConnection *reader = take_reader (self, &local);
  GBytes *bytes;

  if (reader == NULL)
    {
      g_propagate_error (error, local);
      return NULL;
    }

  g_rw_lock_reader_lock (&self->writer.access);
  bytes = read_column (reader, which, id, column, &hash, &local);
  g_rw_lock_reader_unlock (&self->writer.access);
  return_reader (self, reader);

  if (local != NULL)
    {
      g_propagate_error (error, local);
      return NULL;
    }
  if (bytes == NULL)
    {
      g_set_error_literal (error, BS_ERROR, column == 0 ? BS_ERROR_CORRUPT : BS_ERROR_NOT_FOUND,
                           column == 0 ? _ ("the row of the blob is missing")
                                       : _ ("the path has no root blob"));
      return NULL;
    }
  if (bs_sqlite_hash (bytes) == hash)
    return bytes;

  g_bytes_unref (bytes);
  set_hash_error (error);
  return NULL;
}

GBytes *
bs_sqlite_document_read_root (BsSqliteDocument *self, GError **error)
{
  return read_checked (self, BS_SQLITE_GET_ROOT, 1, 1, 0, error);
}

/* Opens one row, on a reader that is to be returned. */
static sqlite3_blob *
open_blob (BsSqliteConnection *reader, gint64 id, GError **error)
{
  sqlite3_blob *blob = NULL;
  int code = sqlite3_blob_open (reader->database, "main", "blob", "content", id, 0, &blob);

  if (code == SQLITE_OK)
    return blob;

  if (code == SQLITE_ERROR)
    g_set_error_literal (error, BS_ERROR, BS_ERROR_CORRUPT, _ ("the row of the blob is missing"));
  else
    bs_sqlite_connection_fail (reader, error);
  sqlite3_blob_close (blob);
  return NULL;
}

static gboolean
set_size_error (GError **error)
{
  g_set_error_literal (error, BS_ERROR, BS_ERROR_CORRUPT, _ ("the size of the content is wrong"));
  return FALSE;
}

/* Returns the size of the document, or -1. */
static gint64
get_document_size (BsSqliteConnection *reader, GError **error)
{
  g_autofree char *n_pages = NULL;

  if (!bs_sqlite_connection_ask (reader, "PRAGMA page_count", &n_pages, error))
    return -1;

  return g_ascii_strtoll (n_pages != NULL ? n_pages : "0", NULL, 10) * BS_SQLITE_PAGE_SIZE;
}

/* Finds the size of a content, and in how many rows it is. Nothing is larger than the document:
 * pages that lead to one another in a circle make no content that fills a disk. */
static gboolean
measure_content (BsSqliteConnection *reader, gint64 id, guint *n_rows, gint64 *size, GError **error)
{
  gint64 limit = get_document_size (reader, error);
  int row_size = BS_SQLITE_ROW_SIZE;

  *size = 0;
  if (limit < 0)
    return FALSE;

  for (*n_rows = 0; row_size == BS_SQLITE_ROW_SIZE; ++*n_rows)
    {
      sqlite3_blob *blob = open_blob (reader, id + *n_rows, error);

      if (blob == NULL)
        return FALSE;

      row_size = sqlite3_blob_bytes (blob);
      sqlite3_blob_close (blob);
      *size += row_size;
      if (*size > limit || (id < 0 && row_size > BS_SQLITE_ROW_SIZE) ||
          *n_rows == BS_SQLITE_MAX_PARTS)
        return set_size_error (error);
      if (id > 0)
        row_size = 0;
    }

  return TRUE;
}

/* A content on its way out. */
typedef struct
{
  BsSqliteConnection *reader;
  BsSqliteHasher *hasher;
  guint8 *buffer; /* BS_SQLITE_PART_SIZE bytes; or, where it is to be in memory, all of them */
  gboolean in_memory;
  BsSqliteFile *file; /* nullable */
  gint64 n_read;
} Reading;

static gboolean
read_row (Reading *self, gint64 id, GError **error)
{
  sqlite3_blob *blob = open_blob (self->reader, id, error);
  gboolean success = blob != NULL;
  int size = success ? sqlite3_blob_bytes (blob) : 0;

  for (int at = 0; success && at < size;)
    {
      guint8 *buffer = self->in_memory ? self->buffer + self->n_read : self->buffer;
      int n = MIN (size - at, BS_SQLITE_PART_SIZE);

      success = sqlite3_blob_read (blob, buffer, n, at) == SQLITE_OK ||
                bs_sqlite_connection_fail (self->reader, error);
      if (success)
        bs_sqlite_hasher_add (self->hasher, buffer, n);
      success =
        success && (self->file == NULL || bs_sqlite_file_append (self->file, buffer, n, error));
      self->n_read += n;
      at += n;
    }
  sqlite3_blob_close (blob);

  return success;
}

static gboolean
read_rows (Reading *self, const BsSqliteRow *row, guint n_rows, GError **error)
{
  gboolean success = TRUE;

  self->hasher = bs_sqlite_hasher_new ();
  for (guint i = 0; success && i < n_rows; i++)
    success = read_row (self, row->id + i, error);
  if (bs_sqlite_hasher_end (self->hasher) != row->hash && success)
    success = set_hash_error (error);

  return success;
}

/* Returns a content of several rows in memory. */
static GBytes *
load_content (BsSqliteConnection *reader, const BsSqliteRow *row, GError **error)
{
  g_autofree guint8 *data = NULL;
  Reading reading = { .reader = reader, .in_memory = TRUE };
  gint64 size;
  guint n_rows;

  if (!measure_content (reader, row->id, &n_rows, &size, error))
    return NULL;

  reading.buffer = data = g_try_malloc (MAX (size, 1));
  if (data == NULL)
    {
      bs_sqlite_set_errno (_ ("cannot hold the content in memory"), ENOMEM, error);
      return NULL;
    }
  if (!read_rows (&reading, row, n_rows, error))
    return NULL;

  return g_bytes_new_take (g_steal_pointer (&data), size);
}

GBytes *
bs_sqlite_document_read (BsSqliteDocument *self, const BsSqliteRow *row, GError **error)
{
  BsSqliteConnection *reader;
  GBytes *bytes;

  if (row->id > 0)
    return read_checked (self, BS_SQLITE_GET_BLOB, row->id, 0, row->hash, error);

  reader = take_reader (self, error);
  if (reader == NULL)
    return NULL;

  g_rw_lock_reader_lock (&self->writer.access);
  bytes = load_content (reader, row, error);
  g_rw_lock_reader_unlock (&self->writer.access);
  return_reader (self, reader);

  return bytes;
}

gboolean
bs_sqlite_document_is_large (BsSqliteDocument *self, const BsSqliteRow *row)
{
  BsSqliteConnection *reader;
  sqlite3_blob *blob;
  gboolean large;

  if (row->id < 0)
    return TRUE;

  reader = take_reader (self, NULL);
  if (reader == NULL)
    return FALSE;

  g_rw_lock_reader_lock (&self->writer.access);
  blob = open_blob (reader, row->id, NULL);
  large = blob != NULL && sqlite3_blob_bytes (blob) > BS_SQLITE_MAX_HELD;
  sqlite3_blob_close (blob);
  g_rw_lock_reader_unlock (&self->writer.access);
  return_reader (self, reader);

  return large;
}

gboolean
bs_sqlite_document_read_large (BsSqliteDocument *self,
                               const BsSqliteRow *row,
                               BsSqliteFile *file,
                               GError **error)
{
  BsSqliteConnection *reader = take_reader (self, error);
  g_autofree guint8 *buffer = g_malloc (BS_SQLITE_PART_SIZE);
  Reading reading = { .reader = reader, .buffer = buffer, .file = file };
  gboolean success;
  guint n_rows;
  gint64 size;

  if (reader == NULL)
    return FALSE;

  g_rw_lock_reader_lock (&self->writer.access);
  success = measure_content (reader, row->id, &n_rows, &size, error) &&
            read_rows (&reading, row, n_rows, error);
  g_rw_lock_reader_unlock (&self->writer.access);
  return_reader (self, reader);
  if (success && file != NULL)
    bs_sqlite_file_end (file);

  return success;
}
