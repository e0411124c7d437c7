/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "bs-sqlite-document-private.h"

#include "bs-sqlite-writer-private.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

/* A transaction is bounded, and so is the log. */
#define MAX_CHANGES 4096
#define MAX_BYTES (16 * 1024 * 1024)
#define MAX_ROWS 4096
/* On a full disk so many rows at a time fit into the room that is set aside. */
#define FEW_ROWS 16

#define MAX_IDLE_READERS 8

/* Room in the file that no blob has is given back when it exceeds both. */
#define MAX_FREE_PAGES 256
#define FREE_PART 8

#define LAST_ID (G_MAXINT64 / 2)

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
  GPtrArray *idle; /* readers */
  GQueue changes;  /* asked for, and not in a transaction yet */
  gboolean writing;

  BsSqliteWriter writer; /* for the thread that has set `writing` */
};

typedef enum
{
  ADD,
  RESTORE,
  FORGET,
  QUARANTINE,
} ChangeKind;

/* One change, on the stack of the thread that asks for it. */
typedef struct
{
  ChangeKind kind;
  const BsSqliteRow *row;
  GBytes *bytes; /* or NULL */
  gboolean done;
  gboolean success;
  GError *error;
} Change;

guint64
bs_sqlite_hash (GBytes *bytes)
{
  gsize size;
  gconstpointer data = g_bytes_get_data (bytes, &size);

  return XXH3_64bits (data, size);
}

static gboolean
set_refusal (BsSqliteDocument *self, GError **error)
{
  if (self->claim->refusal == EMLINK)
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_READ_ONLY,
                           "the document has another name, a hard link, that would be left with "
                           "the old contents");
      return FALSE;
    }

  return bs_sqlite_set_errno ("the document cannot be written", self->claim->refusal, error);
}

/* Called for each row of a table, in order. Returns FALSE if the row is not sound. */
typedef gboolean (*RowFunc) (BsSqliteDocument *self, sqlite3_stmt *statement, gint64 id);

static gboolean
note_row (BsSqliteDocument *self, sqlite3_stmt *statement, gint64 id)
{
  BsSqliteRow row = { .id = id, .hash = sqlite3_column_int64 (statement, 2) };

  if (sqlite3_column_bytes (statement, 1) != BS_SQLITE_KEY_SIZE)
    return FALSE;

  memcpy (row.key.bytes, sqlite3_column_blob (statement, 1), BS_SQLITE_KEY_SIZE);
  bs_sqlite_rows_set (&self->rows, &row);
  return TRUE;
}

/* A table whose pages lead to one page again and again has rows without end. Its ids do not
 * ascend. */
static gboolean
read_table (BsSqliteDocument *self,
            BsSqliteConnection *connection,
            const char *sql,
            RowFunc func,
            GError **error)
{
  sqlite3_stmt *statement;
  gboolean sound = TRUE;
  gint64 last = 0;
  int code = SQLITE_ROW;

  if (sqlite3_prepare_v2 (connection->database, sql, -1, &statement, NULL) != SQLITE_OK)
    return bs_sqlite_connection_fail (connection, error);

  bs_sqlite_connection_expect_small (connection, TRUE);
  while (sound && (code = sqlite3_step (statement)) == SQLITE_ROW)
    {
      gint64 id = sqlite3_column_int64 (statement, 0);

      sound = id > last && id < LAST_ID && (func == NULL || func (self, statement, id));
      last = id;
    }
  bs_sqlite_connection_expect_small (connection, FALSE);
  sound &= code != SQLITE_TOOBIG;
  if (sound && code != SQLITE_DONE)
    bs_sqlite_connection_fail (connection, error);
  sqlite3_finalize (statement);
  if (sound)
    return code == SQLITE_DONE;

  g_set_error_literal (error, BS_ERROR, BS_ERROR_CORRUPT, "a row has an impossible number or key");
  return FALSE;
}

static gboolean
load_rows (BsSqliteDocument *self, BsSqliteConnection *connection, GError **error)
{
  return read_table (self, connection, "SELECT id, key, hash FROM name", note_row, error);
}

static gboolean
find_last_id (BsSqliteDocument *self, BsSqliteConnection *connection, GError **error)
{
  static const char *const questions[] = {
    "SELECT max(id) FROM blob",
    "SELECT max(id) FROM name",
    "SELECT max(id) FROM dropped",
    "SELECT max(id) FROM quarantine",
  };

  for (guint i = 0; i < G_N_ELEMENTS (questions); i++)
    {
      g_autofree char *answer = bs_sqlite_connection_ask (connection, questions[i]);

      if (answer != NULL)
        self->last_id = MAX (self->last_id, g_ascii_strtoll (answer, NULL, 10));
    }
  if (self->last_id < LAST_ID)
    return TRUE;

  g_set_error_literal (error, BS_ERROR, BS_ERROR_CORRUPT, "a row has an impossible number");
  return FALSE;
}

static gboolean
delete_dropped (BsSqliteWriter *writer, gpointer data, GError **error)
{
  return bs_sqlite_connection_exec (writer->connection,
                                    "DELETE FROM blob WHERE id IN (SELECT id FROM dropped) AND "
                                    "id NOT IN (SELECT id FROM name); DELETE FROM dropped",
                                    error);
}

/* Rows that an earlier process dropped and held to its end. */
static gboolean
clean_up (BsSqliteDocument *self, GError **error)
{
  g_autofree char *some =
    bs_sqlite_connection_ask (self->writer.connection, "SELECT 1 FROM dropped LIMIT 1");

  return some == NULL ||
         (read_table (self, self->writer.connection, "SELECT id FROM dropped", NULL, error) &&
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
  g_autofree char *answer = bs_sqlite_connection_ask (connection, "PRAGMA integrity_check(1)");

  if (g_strcmp0 (answer, "ok") == 0)
    return TRUE;

  g_set_error (error, BS_ERROR, BS_ERROR_CORRUPT, "the document is damaged: %s",
               answer != NULL ? answer : sqlite3_errmsg (connection->database));
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

  connection = bs_sqlite_connection_open (self->claim, BS_SQLITE_WRITE, error);
  if (connection == NULL)
    return FALSE;
  bs_sqlite_writer_init (&self->writer, self->claim, connection);

  if (bs_sqlite_claim_check (self->claim, error) &&
      bs_sqlite_writer_recover (&self->writer, error) &&
      ((log != BS_SQLITE_SIDECAR_STRANGE && journal != BS_SQLITE_SIDECAR_STRANGE) ||
       check_whole (connection, error)) &&
      load_rows (self, connection, error) && find_last_id (self, connection, error) &&
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
                           "the document was not closed, and its log can be taken in only where "
                           "the document can be written");
      return FALSE;
    }

  self->connection = bs_sqlite_connection_open (self->claim, BS_SQLITE_IMMUTABLE, error);

  return self->connection != NULL &&
         ((log == BS_SQLITE_SIDECAR_NONE && journal == BS_SQLITE_SIDECAR_NONE) ||
          check_whole (self->connection, error)) &&
         load_rows (self, self->connection, error);
}

static gboolean
open_claimed (BsSqliteDocument *self, GError **error)
{
  gboolean empty;

  if (!bs_sqlite_database_check (self->claim, &empty, error))
    return FALSE;
  if (self->claim->refusal != 0)
    return empty ? set_refusal (self, error) : open_to_read (self, error);
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
bs_sqlite_document_open (GFile *file, GError **error)
{
  BsSqliteClaim *claim = bs_sqlite_claim_open (file, error);
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

void
bs_sqlite_document_abandon (BsSqliteDocument *self)
{
  g_ptr_array_set_free_func (self->idle, NULL);
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

/* Called with the mutex held. */
static void
begin_writing (BsSqliteDocument *self)
{
  while (self->writing)
    g_cond_wait (&self->cond, &self->mutex);
  self->writing = TRUE;
}

/* Called with the mutex held. */
static void
end_writing (BsSqliteDocument *self)
{
  self->writing = FALSE;
  g_cond_broadcast (&self->cond);
}

static BsSqliteConnection *
get_main_connection (BsSqliteDocument *self)
{
  return self->connection != NULL ? self->connection : self->writer.connection;
}

static gboolean
mend (BsSqliteDocument *self, GError **error)
{
  gboolean success;

  if (!g_atomic_int_get (&self->writer.broken))
    return TRUE;

  g_mutex_lock (&self->mutex);
  begin_writing (self);
  g_mutex_unlock (&self->mutex);

  success = bs_sqlite_writer_mend (&self->writer, error);

  g_mutex_lock (&self->mutex);
  end_writing (self);
  g_mutex_unlock (&self->mutex);

  return success;
}

/* Called by the thread that writes. */
static gboolean
load_rows_again (BsSqliteDocument *self, GError **error)
{
  BsSqliteRows old;
  gboolean loaded;

  if (!bs_sqlite_writer_mend (&self->writer, error))
    return FALSE;

  g_mutex_lock (&self->mutex);
  old = self->rows;
  memset (&self->rows, 0, sizeof self->rows);
  loaded = load_rows (self, self->writer.connection, error);
  if (loaded)
    {
      g_atomic_int_set (&self->writer.in_doubt, FALSE);
    }
  else
    {
      bs_sqlite_rows_clear (&self->rows);
      self->rows = old;
    }
  g_mutex_unlock (&self->mutex);

  if (loaded)
    bs_sqlite_rows_clear (&old);
  return loaded;
}

gboolean
bs_sqlite_document_settle (BsSqliteDocument *self, GError **error)
{
  gboolean success = TRUE;

  if (!g_atomic_int_get (&self->writer.in_doubt))
    return TRUE;

  g_mutex_lock (&self->mutex);
  begin_writing (self);
  g_mutex_unlock (&self->mutex);

  if (g_atomic_int_get (&self->writer.in_doubt))
    success = load_rows_again (self, error);

  g_mutex_lock (&self->mutex);
  end_writing (self);
  g_mutex_unlock (&self->mutex);

  return success;
}

/* A reader is opened by the name of the document. Where that leads elsewhere by now, the
 * one connection that is open all the time reads, in turn with changes. */
static BsSqliteConnection *
take_reader (BsSqliteDocument *self, GError **error)
{
  BsSqliteAccess access = self->claim->refusal == 0 ? BS_SQLITE_READ : BS_SQLITE_IMMUTABLE;
  BsSqliteConnection *reader = NULL;

  if (!mend (self, error))
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
  g_mutex_lock (&self->mutex);
  begin_writing (self);
  g_mutex_unlock (&self->mutex);
  return get_main_connection (self);
}

static void
return_reader (BsSqliteDocument *self, BsSqliteConnection *reader)
{
  gboolean is_main = reader == get_main_connection (self);
  gboolean keep;

  g_mutex_lock (&self->mutex);
  keep = !is_main && self->idle->len < MAX_IDLE_READERS;
  if (is_main)
    end_writing (self);
  if (keep)
    g_ptr_array_add (self->idle, reader);
  g_mutex_unlock (&self->mutex);

  if (!is_main && !keep)
    bs_sqlite_connection_close (reader);
}

/* A damaged size may be more than there is memory for. */
static GBytes *
copy_bytes (gconstpointer data, gsize size, GError **error)
{
  gpointer copy = g_try_malloc (MAX (size, 1));

  if (copy == NULL)
    {
      bs_sqlite_set_errno ("cannot hold the content in memory", ENOMEM, error);
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
        *hash = sqlite3_column_int64 (statement, 0);
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
                           column == 0 ? "the row of the blob is missing"
                                       : "the path has no root blob");
      return NULL;
    }
  if (bs_sqlite_hash (bytes) == hash)
    return bytes;

  g_bytes_unref (bytes);
  g_set_error_literal (error, BS_ERROR, BS_ERROR_CORRUPT, "the hash of the content is wrong");
  return NULL;
}

GBytes *
bs_sqlite_document_read (BsSqliteDocument *self, const BsSqliteRow *row, GError **error)
{
  return read_checked (self, BS_SQLITE_GET_BLOB, row->id, 0, row->hash, error);
}

GBytes *
bs_sqlite_document_read_root (BsSqliteDocument *self, GError **error)
{
  return read_checked (self, BS_SQLITE_GET_ROOT, 1, 1, 0, error);
}

static gboolean
run_with_id (BsSqliteWriter *writer, BsSqliteStatement which, gint64 id, GError **error)
{
  sqlite3_stmt *statement = bs_sqlite_connection_get (writer->connection, which, error);

  if (statement == NULL)
    return FALSE;

  sqlite3_bind_int64 (statement, 1, id);
  return bs_sqlite_connection_run (writer->connection, which, error);
}

static gboolean
run_with_row (BsSqliteWriter *writer,
              BsSqliteStatement which,
              const BsSqliteRow *row,
              GError **error)
{
  sqlite3_stmt *statement = bs_sqlite_connection_get (writer->connection, which, error);

  if (statement == NULL)
    return FALSE;

  bs_sqlite_bind_bytes (statement, 2, row->key.bytes, BS_SQLITE_KEY_SIZE);
  sqlite3_bind_int64 (statement, 3, row->hash);
  return run_with_id (writer, which, row->id, error);
}

static gboolean
add_blob (BsSqliteWriter *writer, const BsSqliteRow *row, GBytes *bytes, GError **error)
{
  sqlite3_stmt *statement =
    bs_sqlite_connection_get (writer->connection, BS_SQLITE_ADD_BLOB, error);
  gsize size;
  gconstpointer data = g_bytes_get_data (bytes, &size);

  if (statement == NULL)
    return FALSE;

  bs_sqlite_bind_bytes (statement, 2, data, size);
  return run_with_id (writer, BS_SQLITE_ADD_BLOB, row->id, error);
}

static gboolean
apply (BsSqliteWriter *writer, const Change *change, GError **error)
{
  const BsSqliteRow *row = change->row;

  switch (change->kind)
    {
    case ADD:
      return add_blob (writer, row, change->bytes, error) &&
             run_with_row (writer, BS_SQLITE_ADD_NAME, row, error);
    case RESTORE:
      return run_with_row (writer, BS_SQLITE_ADD_NAME, row, error) &&
             run_with_id (writer, BS_SQLITE_DELETE_DROPPED, row->id, error);
    case FORGET:
      return run_with_id (writer, BS_SQLITE_DELETE_BLOB, row->id, error) &&
             run_with_id (writer, BS_SQLITE_DELETE_DROPPED, row->id, error);
    case QUARANTINE:
      return run_with_row (writer, BS_SQLITE_ADD_QUARANTINE, row, error) &&
             run_with_id (writer, BS_SQLITE_DELETE_NAME, row->id, error);
    default:
      g_return_val_if_reached (FALSE);
    }
}

static gboolean
apply_all (BsSqliteWriter *writer, gpointer data, GError **error)
{
  GPtrArray *changes = data;

  for (guint i = 0; i < changes->len; i++)
    {
      if (!apply (writer, g_ptr_array_index (changes, i), error))
        return FALSE;
    }

  return TRUE;
}

/* Takes changes for one transaction. Called with the mutex held. */
static GPtrArray *
take_changes (BsSqliteDocument *self)
{
  GPtrArray *changes = g_ptr_array_new ();
  gsize n_bytes = 0;

  while (changes->len < MAX_CHANGES && n_bytes < MAX_BYTES && !g_queue_is_empty (&self->changes))
    {
      Change *change = g_queue_pop_head (&self->changes);

      if (change->bytes != NULL)
        n_bytes += g_bytes_get_size (change->bytes);
      g_ptr_array_add (changes, change);
    }

  return changes;
}

/* Called with the mutex held. */
static void
note (BsSqliteDocument *self, Change *change)
{
  if (change->success)
    {
      if (change->kind == ADD || change->kind == RESTORE)
        bs_sqlite_rows_set (&self->rows, change->row);
      else if (change->kind == QUARANTINE)
        bs_sqlite_rows_remove (&self->rows, &change->row->key);
    }
  change->done = TRUE;
}

static gboolean
vacuum (BsSqliteWriter *writer, gpointer data, GError **error)
{
  return bs_sqlite_connection_call (writer->connection, BS_SQLITE_VACUUM, error);
}

static gint64
ask_number (BsSqliteWriter *writer, BsSqliteStatement which)
{
  sqlite3_stmt *statement =
    writer->connection != NULL ? bs_sqlite_connection_get (writer->connection, which, NULL) : NULL;
  gint64 number = 0;

  if (statement != NULL && sqlite3_step (statement) == SQLITE_ROW)
    number = sqlite3_column_int64 (statement, 0);
  sqlite3_reset (statement);

  return number;
}

/* Gives room back in small steps, at most twice as much as a change has freed. */
static void
shrink (BsSqliteWriter *writer, gint64 n_before)
{
  gint64 n_free = ask_number (writer, BS_SQLITE_GET_FREE);
  gint64 n_pages = ask_number (writer, BS_SQLITE_GET_PAGES);
  gint64 n_left = 2 * (n_free - n_before);

  for (; n_left > 0 && n_free > MAX_FREE_PAGES && n_free > n_pages / FREE_PART; n_left -= 64)
    {
      if (!bs_sqlite_writer_transact (writer, vacuum, NULL, NULL))
        return;
      n_free -= 64;
      n_pages -= 64;
    }
}

/* The error of a transaction may be that of one change in it: then each has its own. */
static void
run_changes (BsSqliteDocument *self, GPtrArray *changes)
{
  gboolean frees = FALSE;
  gboolean together;
  gint64 n_free = 0;

  for (guint i = 0; i < changes->len; i++)
    frees |= ((Change *) g_ptr_array_index (changes, i))->kind == FORGET;
  if (frees)
    n_free = ask_number (&self->writer, BS_SQLITE_GET_FREE);
  together =
    changes->len > 1 && bs_sqlite_writer_transact (&self->writer, apply_all, changes, NULL);

  for (guint i = 0; i < changes->len; i++)
    {
      Change *change = g_ptr_array_index (changes, i);
      g_autoptr (GPtrArray) one = g_ptr_array_new ();

      g_ptr_array_add (one, change);
      change->success =
        together || bs_sqlite_writer_transact (&self->writer, apply_all, one, &change->error);
    }
  if (frees)
    shrink (&self->writer, n_free);
}

/* The thread that finds nobody writing runs what all have asked for. */
static gboolean
make_change (BsSqliteDocument *self, Change *change, GError **error)
{
  if (self->claim->refusal != 0)
    return set_refusal (self, error);

  g_mutex_lock (&self->mutex);
  g_queue_push_tail (&self->changes, change);
  while (!change->done)
    {
      g_autoptr (GPtrArray) changes = NULL;

      if (self->writing)
        {
          g_cond_wait (&self->cond, &self->mutex);
          continue;
        }

      self->writing = TRUE;
      changes = take_changes (self);
      g_mutex_unlock (&self->mutex);
      run_changes (self, changes);
      g_mutex_lock (&self->mutex);
      for (guint i = 0; i < changes->len; i++)
        note (self, g_ptr_array_index (changes, i));
      end_writing (self);
    }
  g_mutex_unlock (&self->mutex);

  if (change->error != NULL)
    g_propagate_error (error, change->error);
  return change->success;
}

gboolean
bs_sqlite_document_add (BsSqliteDocument *self, BsSqliteRow *row, GBytes *bytes, GError **error)
{
  Change change = { .kind = ADD, .row = row, .bytes = bytes };

  g_mutex_lock (&self->mutex);
  row->id = ++self->last_id;
  g_mutex_unlock (&self->mutex);

  return make_change (self, &change, error);
}

gboolean
bs_sqlite_document_restore (BsSqliteDocument *self, const BsSqliteRow *row, GError **error)
{
  Change change = { .kind = RESTORE, .row = row };

  return make_change (self, &change, error);
}

gboolean
bs_sqlite_document_forget (BsSqliteDocument *self, gint64 id, GError **error)
{
  const BsSqliteRow row = { .id = id };
  Change change = { .kind = FORGET, .row = &row };

  return make_change (self, &change, error);
}

gboolean
bs_sqlite_document_quarantine (BsSqliteDocument *self, const BsSqliteRow *row, GError **error)
{
  Change change = { .kind = QUARANTINE, .row = row };

  return make_change (self, &change, error);
}

/* Some rows whose names are taken away. */
typedef struct
{
  const BsSqliteRow *rows;
  const gboolean *held;
  gsize n_rows;
} Removal;

static gboolean
apply_removal (BsSqliteWriter *writer, gpointer data, GError **error)
{
  const Removal *removal = data;

  for (gsize i = 0; i < removal->n_rows; i++)
    {
      gint64 id = removal->rows[i].id;

      if (!run_with_id (writer, BS_SQLITE_DELETE_NAME, id, error) ||
          !run_with_id (writer, removal->held[i] ? BS_SQLITE_ADD_DROPPED : BS_SQLITE_DELETE_BLOB,
                        id, error))
        return FALSE;
    }

  return TRUE;
}

/* On a full disk the log has no room for a deletion. The reserve makes some, which is
 * enough if each part is brought home before the next. */
static gboolean
remove_part (BsSqliteDocument *self, const Removal *part, GError **error)
{
  BsSqliteWriter *writer = &self->writer;
  GError *local = NULL;

  if (bs_sqlite_writer_transact (writer, apply_removal, (gpointer) part, &local))
    return TRUE;

  if (part->n_rows <= FEW_ROWS && g_error_matches (local, G_IO_ERROR, G_IO_ERROR_NO_SPACE) &&
      bs_sqlite_writer_give_room (writer))
    {
      g_clear_error (&local);
      if (bs_sqlite_writer_checkpoint (writer, &local) &&
          bs_sqlite_writer_transact (writer, apply_removal, (gpointer) part, &local) &&
          bs_sqlite_writer_checkpoint (writer, &local))
        return TRUE;
    }
  g_propagate_error (error, local);
  return FALSE;
}

static gboolean
remove_rows (BsSqliteDocument *self, const Removal *removal, gsize n_at_once, GError **error)
{
  for (gsize i = 0; i < removal->n_rows; i += n_at_once)
    {
      const Removal part = { removal->rows + i, removal->held + i,
                             MIN (n_at_once, removal->n_rows - i) };
      GError *local = NULL;

      if (!remove_part (self, &part, &local))
        {
          if (n_at_once <= FEW_ROWS || !g_error_matches (local, G_IO_ERROR, G_IO_ERROR_NO_SPACE))
            {
              g_propagate_error (error, local);
              return FALSE;
            }
          g_error_free (local);
          if (!remove_rows (self, &part, FEW_ROWS, error))
            return FALSE;
        }

      g_mutex_lock (&self->mutex);
      for (gsize j = 0; j < part.n_rows; j++)
        bs_sqlite_rows_remove (&self->rows, &part.rows[j].key);
      g_mutex_unlock (&self->mutex);
    }

  return TRUE;
}

gboolean
bs_sqlite_document_remove (BsSqliteDocument *self,
                           const BsSqliteRow *rows,
                           const gboolean *held,
                           gsize n_rows,
                           GError **error)
{
  const Removal removal = { rows, held, n_rows };
  gboolean success;
  gint64 n_free;

  if (self->claim->refusal != 0)
    return set_refusal (self, error);

  g_mutex_lock (&self->mutex);
  begin_writing (self);
  g_mutex_unlock (&self->mutex);

  n_free = ask_number (&self->writer, BS_SQLITE_GET_FREE);
  success = remove_rows (self, &removal, MAX_ROWS, error);
  shrink (&self->writer, n_free);

  g_mutex_lock (&self->mutex);
  end_writing (self);
  g_mutex_unlock (&self->mutex);

  return success;
}

gboolean
bs_sqlite_document_sync (BsSqliteDocument *self, GError **error)
{
  gboolean success;

  /* Nothing was changed. */
  if (self->claim->refusal != 0)
    return TRUE;

  g_mutex_lock (&self->mutex);
  begin_writing (self);
  g_mutex_unlock (&self->mutex);

  success = bs_sqlite_writer_sync (&self->writer, error);

  g_mutex_lock (&self->mutex);
  end_writing (self);
  g_mutex_unlock (&self->mutex);

  return success;
}

static gboolean
set_root (BsSqliteWriter *writer, gpointer data, GError **error)
{
  GBytes *bytes = data;
  sqlite3_stmt *statement =
    bs_sqlite_connection_get (writer->connection, BS_SQLITE_SET_ROOT, error);
  gsize size;
  gconstpointer content = g_bytes_get_data (bytes, &size);

  if (statement == NULL)
    return FALSE;

  sqlite3_bind_int64 (statement, 1, bs_sqlite_hash (bytes));
  bs_sqlite_bind_bytes (statement, 2, content, size);
  return bs_sqlite_connection_run (writer->connection, BS_SQLITE_SET_ROOT, error);
}

/* The root is durable once it is committed. Then all of the save is brought home, so that a
 * copy of the one file is the document. */
gboolean
bs_sqlite_document_write_root (BsSqliteDocument *self, GBytes *bytes, GError **error)
{
  BsSqliteWriter *writer = &self->writer;
  GError *local = NULL;
  gboolean success;

  if (self->claim->refusal != 0)
    return set_refusal (self, error);

  g_mutex_lock (&self->mutex);
  begin_writing (self);
  g_mutex_unlock (&self->mutex);

  success = bs_sqlite_writer_transact_durably (writer, set_root, bytes, &local);
  /* A save may be what makes room on a full disk. */
  if (!success && g_error_matches (local, G_IO_ERROR, G_IO_ERROR_NO_SPACE) &&
      bs_sqlite_writer_give_room (writer))
    {
      g_clear_error (&local);
      success = bs_sqlite_writer_transact_durably (writer, set_root, bytes, &local);
    }
  if (success)
    bs_sqlite_writer_checkpoint (writer, NULL);

  g_mutex_lock (&self->mutex);
  end_writing (self);
  g_mutex_unlock (&self->mutex);

  if (local != NULL)
    g_propagate_error (error, local);
  return success;
}
