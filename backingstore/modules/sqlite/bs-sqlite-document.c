/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "bs-sqlite-document-private.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <glib/gstdio.h>
#include <string.h>

#define LAST_ID (G_MAXINT64 / 2)
/* The id of a part's content. */
#define BASE "(id & -" BS_SQLITE_MAX_PARTS_STRING ")"

gboolean
bs_sqlite_document_set_refusal (BsSqliteDocument *self, GError **error)
{
  if (self->claim->refusal == EMLINK)
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_READ_ONLY,
                           _ ("the document has another name, a hard link, that would be left with "
                              "the old contents"));
      return FALSE;
    }
  if (self->claim->read_only)
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_READ_ONLY,
                           _ ("the document was opened for reading alone"));
      return FALSE;
    }

  return bs_sqlite_set_errno (_ ("the document cannot be written"), self->claim->refusal, error);
}

/* Called for each row of a table, in order. Returns FALSE if the row is not sound. */
typedef gboolean (*RowFunc) (BsSqliteRows *rows, sqlite3_stmt *statement, gint64 id);

static gboolean
note_row (BsSqliteRows *rows, sqlite3_stmt *statement, gint64 id)
{
  BsSqliteRow row = { .id = id, .hash = sqlite3_column_int64 (statement, 2) & BS_SQLITE_HASH_MASK };

  if (sqlite3_column_bytes (statement, 1) != BS_SQLITE_KEY_SIZE)
    return FALSE;

  memcpy (row.key.bytes, sqlite3_column_blob (statement, 1), BS_SQLITE_KEY_SIZE);
  bs_sqlite_rows_set (rows, &row);
  return TRUE;
}

static gboolean
is_possible (gint64 id)
{
  return id > 0 ? id < LAST_ID : id < 0 && id > -LAST_ID && id % BS_SQLITE_MAX_PARTS == 0;
}

/* A table whose pages lead to one page again and again has rows without end. Its ids do not
 * ascend. */
static gboolean
read_table (BsSqliteConnection *connection,
            const char *sql,
            RowFunc func,
            BsSqliteRows *rows,
            GError **error)
{
  sqlite3_stmt *statement;
  gboolean sound = TRUE;
  gint64 last = -LAST_ID;
  int code = SQLITE_ROW;

  if (sqlite3_prepare_v2 (connection->database, sql, -1, &statement, NULL) != SQLITE_OK)
    return bs_sqlite_connection_fail (connection, error);

  bs_sqlite_connection_expect_small (connection, TRUE);
  while (sound && (code = sqlite3_step (statement)) == SQLITE_ROW)
    {
      gint64 id = sqlite3_column_int64 (statement, 0);

      sound = id > last && is_possible (id) && (func == NULL || func (rows, statement, id));
      last = id;
    }
  bs_sqlite_connection_expect_small (connection, FALSE);
  sound &= code != SQLITE_TOOBIG;
  if (sound && code != SQLITE_DONE)
    bs_sqlite_connection_fail (connection, error);
  sqlite3_finalize (statement);
  if (sound)
    return code == SQLITE_DONE;

  g_set_error_literal (error, BS_ERROR, BS_ERROR_CORRUPT,
                       _ ("a row has an impossible number or key"));
  return FALSE;
}

static gboolean
load_rows (BsSqliteRows *rows, BsSqliteConnection *connection, GError **error)
{
  return read_table (connection, "SELECT id, key, hash FROM name", note_row, rows, error);
}

gboolean
bs_sqlite_document_load_quarantine (BsSqliteDocument *self, BsSqliteRows *rows, GError **error)
{
  BsSqliteConnection *connection =
    self->connection != NULL ? self->connection : self->writer.connection;

  return read_table (connection, "SELECT id, key, hash FROM quarantine", note_row, rows, error);
}

static gboolean
note_used_id (BsSqliteDocument *self,
              BsSqliteConnection *connection,
              const char *function,
              const char *table,
              GError **error)
{
  g_autofree char *question = g_strdup_printf ("SELECT %s(id) FROM %s", function, table);
  g_autofree char *answer = NULL;
  gint64 id;

  if (!bs_sqlite_connection_ask (connection, question, &answer, error))
    return FALSE;

  id = answer != NULL ? g_ascii_strtoll (answer, NULL, 10) : 0;
  self->last_id = MAX (self->last_id, id);
  self->first_id = MIN (self->first_id, id & -BS_SQLITE_MAX_PARTS);
  return TRUE;
}

static gboolean
find_used_ids (BsSqliteDocument *self, BsSqliteConnection *connection, GError **error)
{
  static const char *const tables[] = { "blob", "name", "dropped", "quarantine" };

  for (guint i = 0; i < G_N_ELEMENTS (tables); i++)
    {
      if (!note_used_id (self, connection, "min", tables[i], error) ||
          !note_used_id (self, connection, "max", tables[i], error))
        return FALSE;
    }
  if (self->last_id < LAST_ID && self->first_id > -LAST_ID)
    return TRUE;

  g_set_error_literal (error, BS_ERROR, BS_ERROR_CORRUPT, _ ("a row has an impossible number"));
  return FALSE;
}

static gboolean
delete_dropped (BsSqliteWriter *writer, gpointer data, GError **error)
{
  return bs_sqlite_connection_exec (writer->connection,
                                    "DELETE FROM blob WHERE id IN (SELECT id FROM dropped) AND "
                                    "id NOT IN (SELECT id FROM name); "
                                    "DELETE FROM blob WHERE id < 0 AND " BASE " IN "
                                    "(SELECT id FROM dropped) AND " BASE " NOT IN "
                                    "(SELECT id FROM name); DELETE FROM dropped",
                                    error);
}

/* Rows that an earlier process dropped and held to its end. */
static gboolean
clean_up (BsSqliteDocument *self, GError **error)
{
  g_autofree char *some = NULL;

  if (!bs_sqlite_connection_ask (self->writer.connection, "SELECT 1 FROM dropped LIMIT 1", &some,
                                 error))
    return FALSE;

  return some == NULL ||
         (read_table (self->writer.connection, "SELECT id FROM dropped", NULL, NULL, error) &&
          bs_sqlite_writer_transact (&self->writer, delete_dropped, NULL, error));
}

/* A log of another file, or of another state of this one, would destroy it. */
static gboolean
set_aside (BsSqliteDocument *self, const char *suffix, GError **error)
{
  g_autofree char *aside = bs_sqlite_sidecar_set_aside (self->claim, suffix, error);

  if (aside == NULL)
    return FALSE;

  g_message ("%s%s was not written for the document as it is; it was not used and is %s now",
             self->claim->path, suffix, aside);
  return TRUE;
}

static gboolean
check_whole (BsSqliteConnection *connection, GError **error)
{
  g_autofree char *answer = NULL;

  if (!bs_sqlite_connection_ask (connection, "PRAGMA integrity_check(1)", &answer, error))
    return FALSE;
  if (g_strcmp0 (answer, "ok") == 0)
    return TRUE;

  g_set_error (error, BS_ERROR, BS_ERROR_CORRUPT, _ ("the document is damaged: %s"),
               answer != NULL ? answer : "");
  return FALSE;
}

static gboolean
open_to_write (BsSqliteDocument *self, GError **error)
{
  BsSqliteSidecar log, journal;
  BsSqliteConnection *connection;

  if (!bs_sqlite_sidecar_find_log (self->claim, &log, error) ||
      !bs_sqlite_sidecar_find_journal (self->claim, &journal, error) ||
      (log == BS_SQLITE_SIDECAR_STRANGE && !set_aside (self, "-wal", error)) ||
      (journal == BS_SQLITE_SIDECAR_STRANGE && !set_aside (self, "-journal", error)))
    return FALSE;
  if (journal == BS_SQLITE_SIDECAR_NONE)
    bs_sqlite_sidecar_remove_journal (self->claim);

  connection = bs_sqlite_connection_open (self->claim, BS_SQLITE_WRITE, error);
  if (connection == NULL)
    return FALSE;
  bs_sqlite_writer_init (&self->writer, self->claim, connection);

  if (bs_sqlite_claim_check (self->claim, error) &&
      bs_sqlite_writer_recover (&self->writer, error) &&
      ((log != BS_SQLITE_SIDECAR_STRANGE && journal != BS_SQLITE_SIDECAR_STRANGE) ||
       check_whole (connection, error)) &&
      load_rows (&self->rows, connection, error) && find_used_ids (self, connection, error) &&
      clean_up (self, error))
    return TRUE;

  bs_sqlite_writer_close (&self->writer);
  return FALSE;
}

static gboolean
open_to_read (BsSqliteDocument *self, GError **error)
{
  BsSqliteSidecar log, journal;

  if (!bs_sqlite_sidecar_find_log (self->claim, &log, error) ||
      !bs_sqlite_sidecar_find_journal (self->claim, &journal, error))
    return FALSE;
  if (log == BS_SQLITE_SIDECAR_OWN || journal == BS_SQLITE_SIDECAR_OWN)
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_READ_ONLY,
                           _ ("the document was not closed, and its log can be taken in only where "
                              "the document can be written"));
      return FALSE;
    }

  self->connection = bs_sqlite_connection_open (self->claim, BS_SQLITE_IMMUTABLE, error);

  return self->connection != NULL &&
         ((log == BS_SQLITE_SIDECAR_NONE && journal == BS_SQLITE_SIDECAR_NONE) ||
          check_whole (self->connection, error)) &&
         load_rows (&self->rows, self->connection, error);
}

static gboolean
open_claimed (BsSqliteDocument *self, GError **error)
{
  gboolean empty;

  if (!bs_sqlite_database_check (self->claim, &empty, error))
    return FALSE;
  if (self->claim->refusal != 0)
    return empty ? bs_sqlite_document_set_refusal (self, error) : open_to_read (self, error);
  if (empty && !bs_sqlite_database_create (self->claim, error))
    return FALSE;

  return open_to_write (self, error);
}

static void
document_free (BsSqliteDocument *self)
{
  bs_sqlite_rows_clear (&self->rows);
  g_ptr_array_unref (self->idle);
  g_cond_clear (&self->cond);
  g_mutex_clear (&self->mutex);
  g_rw_lock_clear (&self->use);
  g_free (self);
}

BsSqliteDocument *
bs_sqlite_document_open (GFile *file, gboolean read_only, GError **error)
{
  BsSqliteClaim *claim = bs_sqlite_claim_open (file, read_only, error);
  BsSqliteDocument *self;

  if (claim == NULL)
    return NULL;

  self = g_new0 (BsSqliteDocument, 1);
  g_atomic_ref_count_init (&self->n_references);
  g_rw_lock_init (&self->use);
  g_mutex_init (&self->mutex);
  g_cond_init (&self->cond);
  g_queue_init (&self->changes);
  self->idle = g_ptr_array_new_with_free_func ((GDestroyNotify) bs_sqlite_connection_close);
  self->claim = claim;

  if (open_claimed (self, error))
    return self;

  /* A file that this call has made is empty or a document without a blob. */
  if (claim->created && bs_sqlite_claim_check (claim, NULL))
    g_unlink (claim->path);
  g_clear_pointer (&self->connection, bs_sqlite_connection_close);
  bs_sqlite_claim_close (claim);
  document_free (self);
  return NULL;
}

BsSqliteDocument *
bs_sqlite_document_ref (BsSqliteDocument *self)
{
  g_atomic_ref_count_inc (&self->n_references);
  return self;
}

void
bs_sqlite_document_unref (BsSqliteDocument *self)
{
  if (g_atomic_ref_count_dec (&self->n_references))
    document_free (self);
}

gboolean
bs_sqlite_document_hold (BsSqliteDocument *self)
{
  g_rw_lock_reader_lock (&self->use);
  if (!self->retired)
    return TRUE;

  g_rw_lock_reader_unlock (&self->use);
  return FALSE;
}

void
bs_sqlite_document_unhold (BsSqliteDocument *self)
{
  g_rw_lock_reader_unlock (&self->use);
}

void
bs_sqlite_document_retire (BsSqliteDocument *self)
{
  g_rw_lock_writer_lock (&self->use);
  self->retired = TRUE;
  g_rw_lock_writer_unlock (&self->use);
}

void
bs_sqlite_document_close (BsSqliteDocument *self)
{
  g_ptr_array_set_size (self->idle, 0);
  if (self->claim->refusal == 0)
    bs_sqlite_writer_close (&self->writer);
  else
    g_rw_lock_clear (&self->writer.access);
  g_clear_pointer (&self->connection, bs_sqlite_connection_close);
  g_clear_pointer (&self->claim, bs_sqlite_claim_close);
}

gboolean
bs_sqlite_document_is_current (BsSqliteDocument *self)
{
  return !self->writer.overwritten && bs_sqlite_claim_check (self->claim, NULL);
}

gboolean
bs_sqlite_document_lookup (BsSqliteDocument *self, const BsSqliteKey *key, BsSqliteRow *row)
{
  const BsSqliteRow *found;

  g_mutex_lock (&self->mutex);
  found = bs_sqlite_rows_lookup (&self->rows, key);
  if (found != NULL)
    *row = *found;
  g_mutex_unlock (&self->mutex);

  return found != NULL;
}

void
bs_sqlite_document_list (BsSqliteDocument *self, BsKeySet *keys)
{
  g_mutex_lock (&self->mutex);
  for (gsize i = 0; self->rows.slots != NULL && i <= self->rows.mask; i++)
    {
      char string[BS_SQLITE_KEY_STRING_SIZE];

      if (self->rows.slots[i].id == 0)
        continue;
      bs_sqlite_key_print (&self->rows.slots[i].key, string);
      bs_key_set_add (keys, string, NULL);
    }
  g_mutex_unlock (&self->mutex);
}

void
bs_sqlite_document_begin_writing (BsSqliteDocument *self)
{
  g_mutex_lock (&self->mutex);
  while (self->writing)
    g_cond_wait (&self->cond, &self->mutex);
  self->writing = TRUE;
  g_mutex_unlock (&self->mutex);
}

void
bs_sqlite_document_end_writing (BsSqliteDocument *self)
{
  g_mutex_lock (&self->mutex);
  self->writing = FALSE;
  g_cond_broadcast (&self->cond);
  g_mutex_unlock (&self->mutex);
}

gboolean
bs_sqlite_document_mend (BsSqliteDocument *self, GError **error)
{
  gboolean success;

  if (!g_atomic_int_get (&self->writer.broken))
    return TRUE;

  bs_sqlite_document_begin_writing (self);

  success = bs_sqlite_writer_mend (&self->writer, error);

  bs_sqlite_document_end_writing (self);

  return success;
}

static gboolean
drop_rows (BsSqliteWriter *writer, gpointer data, GError **error)
{
  GArray *ids = data;

  for (guint i = 0; i < ids->len; i++)
    {
      gint64 id = g_array_index (ids, gint64, i);

      if (!bs_sqlite_connection_run_with_id (writer->connection, BS_SQLITE_DELETE_NAME, id,
                                             error) ||
          !bs_sqlite_connection_run_with_id (writer->connection, BS_SQLITE_ADD_DROPPED, id, error))
        return FALSE;
    }

  return TRUE;
}

/* Takes away the rows that no change is known to have added: an error means that there was no
 * effect. */
static gboolean
undo_additions (BsSqliteDocument *self, BsSqliteRows *rows, GError **error)
{
  g_autoptr (GArray) ids = g_array_new (FALSE, FALSE, sizeof (gint64));
  g_autoptr (GArray) keys = g_array_new (FALSE, FALSE, sizeof (BsSqliteKey));

  for (gsize i = 0; rows->slots != NULL && i <= rows->mask; i++)
    {
      const BsSqliteRow *row = &rows->slots[i];
      const BsSqliteRow *known =
        row->id != 0 ? bs_sqlite_rows_lookup (&self->rows, &row->key) : row;

      if (known != NULL && known->id == row->id)
        continue;
      g_array_append_val (ids, row->id);
      g_array_append_val (keys, row->key);
    }
  if (ids->len == 0)
    return TRUE;
  if (!bs_sqlite_writer_transact (&self->writer, drop_rows, ids, error))
    return FALSE;

  for (guint i = 0; i < keys->len; i++)
    bs_sqlite_rows_remove (rows, &g_array_index (keys, BsSqliteKey, i));
  return TRUE;
}

/* Called by the thread that writes. */
static gboolean
load_rows_again (BsSqliteDocument *self, GError **error)
{
  BsSqliteRows rows = { 0 };
  gboolean loaded;

  if (!bs_sqlite_writer_mend (&self->writer, error))
    return FALSE;

  /* A transaction that fails from here on leaves the same doubt. */
  g_atomic_int_set (&self->writer.in_doubt, FALSE);
  loaded = load_rows (&rows, self->writer.connection, error) && undo_additions (self, &rows, error);
  if (loaded)
    {
      BsSqliteRows old;

      g_mutex_lock (&self->mutex);
      old = self->rows;
      self->rows = rows;
      g_mutex_unlock (&self->mutex);
      rows = old;
    }
  else
    {
      g_atomic_int_set (&self->writer.in_doubt, TRUE);
    }
  bs_sqlite_rows_clear (&rows);

  return loaded;
}

gboolean
bs_sqlite_document_settle_to_write (BsSqliteDocument *self, GError **error)
{
  return !g_atomic_int_get (&self->writer.in_doubt) || load_rows_again (self, error);
}

gboolean
bs_sqlite_document_settle (BsSqliteDocument *self, GError **error)
{
  gboolean success;

  if (!g_atomic_int_get (&self->writer.in_doubt))
    return TRUE;

  bs_sqlite_document_begin_writing (self);

  success = bs_sqlite_document_settle_to_write (self, error);

  bs_sqlite_document_end_writing (self);

  return success;
}
