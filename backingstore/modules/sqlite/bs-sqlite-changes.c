/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "bs-sqlite-changes-private.h"

/* A transaction is bounded, and so is the log. */
#define MAX_ROWS 4096
#define MAX_BYTES (16 * 1024 * 1024)
/* On a full disk so many rows at a time fit into the room that is set aside. */
#define FEW_ROWS 16

/* Room in the file that no blob has is given back when it exceeds both. */
#define MAX_FREE_PAGES 256
#define FREE_PART 8

typedef enum
{
  ADD_PART,
  ADD,
  RESTORE,
  FORGET,
  QUARANTINE,
  PUT_BACK,
} ChangeKind;

/* The change that one call asks for, on the stack of its thread: done whole or not at all. */
typedef struct
{
  ChangeKind kind;
  const BsSqliteRow *rows;
  GBytes *const *contents; /* ADD, ADD_PART: one of each row; else NULL */
  guint n_rows;
  const BsSqliteFile *file;  /* ADD, ADD_PART: of the one row, instead; else NULL */
  guint part;                /* ADD_PART: which */
  GCancellable *cancellable; /* ADD_PART, ADD: borrowed, nullable */
  gboolean done;
  gboolean success;
  GError *error;
} Change;

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
  return bs_sqlite_connection_run_with_id (writer->connection, which, row->id, error);
}

/* The bytes of one row: a content, or a part of one. */
typedef struct
{
  gint64 id;
  GBytes *bytes;            /* borrowed; NULL if a file has them */
  const BsSqliteFile *file; /* borrowed, nullable */
  gint64 offset;
  gint64 size;
  GCancellable *cancellable; /* borrowed, nullable */
} Extract;

static gint64
get_content_size (const Change *change, guint i)
{
  return change->file != NULL ? change->file->size
                              : (gint64) g_bytes_get_size (change->contents[i]);
}

static Extract
get_extract (const Change *change, guint i)
{
  Extract extract = { .id = change->rows[i].id,
                      .file = change->file,
                      .cancellable = change->cancellable };

  extract.bytes = change->file == NULL ? change->contents[i] : NULL;
  extract.size = get_content_size (change, i);
  if (change->kind == ADD_PART)
    {
      extract.id += change->part;
      extract.offset = (gint64) change->part * BS_SQLITE_ROW_SIZE;
      extract.size = MIN (extract.size - extract.offset, BS_SQLITE_ROW_SIZE);
    }

  return extract;
}

static gboolean
add_from_memory (BsSqliteConnection *connection, const Extract *extract, GError **error)
{
  sqlite3_stmt *statement = bs_sqlite_connection_get (connection, BS_SQLITE_ADD_BLOB, error);
  const guint8 *data = g_bytes_get_data (extract->bytes, NULL);

  if (statement == NULL)
    return FALSE;

  bs_sqlite_bind_bytes (statement, 2, data + extract->offset, extract->size);
  return bs_sqlite_connection_run_with_id (connection, BS_SQLITE_ADD_BLOB, extract->id, error);
}

static gboolean
fill_blob (BsSqliteConnection *connection,
           sqlite3_blob *blob,
           const Extract *extract,
           GError **error)
{
  g_autofree guint8 *buffer = g_malloc (BS_SQLITE_PART_SIZE);

  for (gint64 at = 0; at < extract->size;)
    {
      gsize size = MIN (extract->size - at, BS_SQLITE_PART_SIZE);

      if (g_cancellable_set_error_if_cancelled (extract->cancellable, error) ||
          !bs_sqlite_file_read (extract->file, extract->offset + at, buffer, size, error))
        return FALSE;
      if (sqlite3_blob_write (blob, buffer, size, at) != SQLITE_OK)
        return bs_sqlite_connection_fail (connection, error);
      at += size;
    }

  return TRUE;
}

/* A statement would have the row in memory. */
static gboolean
add_from_file (BsSqliteConnection *connection, const Extract *extract, GError **error)
{
  sqlite3_stmt *statement = bs_sqlite_connection_get (connection, BS_SQLITE_ADD_BLOB, error);
  sqlite3_blob *blob = NULL;
  gboolean success;

  if (statement == NULL)
    return FALSE;

  if (sqlite3_bind_zeroblob64 (statement, 2, extract->size) != SQLITE_OK)
    return bs_sqlite_connection_fail (connection, error);
  if (!bs_sqlite_connection_run_with_id (connection, BS_SQLITE_ADD_BLOB, extract->id, error))
    return FALSE;

  success = sqlite3_blob_open (connection->database, "main", "blob", "content", extract->id, 1,
                               &blob) == SQLITE_OK ||
            bs_sqlite_connection_fail (connection, error);
  success = success && fill_blob (connection, blob, extract, error);
  if (sqlite3_blob_close (blob) != SQLITE_OK && success)
    success = bs_sqlite_connection_fail (connection, error);

  return success;
}

static gboolean
add_blob (BsSqliteWriter *writer, const Change *change, guint i, GError **error)
{
  Extract extract = get_extract (change, i);

  return extract.file != NULL ? add_from_file (writer->connection, &extract, error)
                              : add_from_memory (writer->connection, &extract, error);
}

/* Until the content has all its parts, they are those of a dropped one: a process that dies
 * meanwhile leaves nothing else, and the next deletes them. */
static gboolean
add_part (BsSqliteWriter *writer, const Change *change, GError **error)
{
  return (change->part > 0 ||
          bs_sqlite_connection_run_with_id (writer->connection, BS_SQLITE_ADD_DROPPED,
                                            change->rows->id, error)) &&
         add_blob (writer, change, 0, error);
}

static gboolean
delete_blob (BsSqliteWriter *writer, gint64 id, GError **error)
{
  return bs_sqlite_connection_run_with_id (writer->connection,
                                           id > 0 ? BS_SQLITE_DELETE_BLOB : BS_SQLITE_DELETE_PARTS,
                                           id, error);
}

static gboolean
apply_to_row (BsSqliteWriter *writer, const Change *change, guint i, GError **error)
{
  const BsSqliteRow *row = &change->rows[i];

  switch (change->kind)
    {
    case ADD_PART:
      return add_part (writer, change, error);
    case ADD:
      if (row->id > 0)
        return add_blob (writer, change, i, error) &&
               run_with_row (writer, BS_SQLITE_ADD_NAME, row, error);
      G_GNUC_FALLTHROUGH;
    case RESTORE:
      return run_with_row (writer, BS_SQLITE_ADD_NAME, row, error) &&
             bs_sqlite_connection_run_with_id (writer->connection, BS_SQLITE_DELETE_DROPPED,
                                               row->id, error);
    case FORGET:
      return delete_blob (writer, row->id, error) &&
             bs_sqlite_connection_run_with_id (writer->connection, BS_SQLITE_DELETE_DROPPED,
                                               row->id, error);
    case QUARANTINE:
      return run_with_row (writer, BS_SQLITE_ADD_QUARANTINE, row, error) &&
             bs_sqlite_connection_run_with_id (writer->connection, BS_SQLITE_DELETE_NAME, row->id,
                                               error);
    case PUT_BACK:
      return run_with_row (writer, BS_SQLITE_ADD_NAME, row, error) &&
             bs_sqlite_connection_run_with_id (writer->connection, BS_SQLITE_DELETE_QUARANTINE,
                                               row->id, error);
    default:
      g_return_val_if_reached (FALSE);
    }
}

static gboolean
apply (BsSqliteWriter *writer, const Change *change, GError **error)
{
  for (guint i = 0; i < change->n_rows; i++)
    {
      if (!apply_to_row (writer, change, i, error))
        return FALSE;
    }

  return TRUE;
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
  guint n_rows = 0;

  while (n_rows < MAX_ROWS && n_bytes < MAX_BYTES && !g_queue_is_empty (&self->changes))
    {
      Change *change = g_queue_pop_head (&self->changes);

      for (guint i = 0; change->kind <= ADD && i < change->n_rows; i++)
        n_bytes += get_extract (change, i).size;
      n_rows += change->n_rows;
      g_ptr_array_add (changes, change);
    }

  return changes;
}

static void
note_locked (BsSqliteDocument *self, const Change *change)
{
  for (guint i = 0; i < change->n_rows; i++)
    {
      if (change->kind == ADD || change->kind == RESTORE || change->kind == PUT_BACK)
        bs_sqlite_rows_set (&self->rows, &change->rows[i]);
      else if (change->kind == QUARANTINE)
        bs_sqlite_rows_remove (&self->rows, &change->rows[i].key);
    }
}

/* Makes changes in one transaction. What is committed is noted before anything else happens:
 * rows that are not, count as those of a change that failed. */
static gboolean
make_together (BsSqliteDocument *self, GPtrArray *changes, GError **error)
{
  if (!bs_sqlite_document_settle_to_write (self, error) ||
      !bs_sqlite_writer_transact (&self->writer, apply_all, changes, error))
    return FALSE;

  g_mutex_lock (&self->mutex);
  for (guint i = 0; i < changes->len; i++)
    note_locked (self, changes->pdata[i]);
  g_mutex_unlock (&self->mutex);

  return TRUE;
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
  together = changes->len > 1 && make_together (self, changes, NULL);

  for (guint i = 0; i < changes->len; i++)
    {
      Change *change = g_ptr_array_index (changes, i);
      g_autoptr (GPtrArray) one = g_ptr_array_new ();

      g_ptr_array_add (one, change);
      change->success = together || make_together (self, one, &change->error);
    }
  if (frees)
    shrink (&self->writer, n_free);
}

/* The thread that finds nobody writing runs what all have asked for. */
static gboolean
make_change (BsSqliteDocument *self, Change *change, GError **error)
{
  if (self->claim->refusal != 0)
    return bs_sqlite_document_set_refusal (self, error);

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
        ((Change *) g_ptr_array_index (changes, i))->done = TRUE;
      self->writing = FALSE;
      g_cond_broadcast (&self->cond);
    }
  g_mutex_unlock (&self->mutex);

  if (change->error != NULL)
    g_propagate_error (error, change->error);
  return change->success;
}

static void
set_new_ids (BsSqliteDocument *self, BsSqliteRow *rows, const Change *change)
{
  g_mutex_lock (&self->mutex);
  for (guint i = 0; i < change->n_rows; i++)
    {
      if (get_content_size (change, i) > BS_SQLITE_ROW_SIZE)
        rows[i].id = self->first_id -= BS_SQLITE_MAX_PARTS;
      else
        rows[i].id = ++self->last_id;
    }
  g_mutex_unlock (&self->mutex);
}

/* Each part is a transaction, and brought home when the log is full: so the log does not grow
 * with the content, and others add theirs in between. */
static gboolean
add_parts (BsSqliteDocument *self, const Change *whole, guint i, GError **error)
{
  guint n_parts = get_content_size (whole, i) / BS_SQLITE_ROW_SIZE + 1;

  for (guint part = 0; part < n_parts; part++)
    {
      Change change = { .kind = ADD_PART, .rows = &whole->rows[i], .n_rows = 1, .part = part };

      change.file = whole->file;
      change.contents = whole->contents != NULL ? &whole->contents[i] : NULL;
      change.cancellable = whole->cancellable;
      if (g_cancellable_set_error_if_cancelled (whole->cancellable, error) ||
          !make_change (self, &change, error))
        return FALSE;
    }

  return TRUE;
}

static gboolean
add (BsSqliteDocument *self, BsSqliteRow *rows, Change *change, GError **error)
{
  gboolean success = TRUE;
  guint n_begun;

  set_new_ids (self, rows, change);
  for (n_begun = 0; success && n_begun < change->n_rows; n_begun++)
    success = rows[n_begun].id > 0 || add_parts (self, change, n_begun, error);
  success = success && make_change (self, change, error);

  /* Where that fails too, the document does it when it is opened again. */
  for (guint i = 0; !success && i < n_begun; i++)
    {
      if (rows[i].id < 0)
        bs_sqlite_document_forget (self, rows[i].id, NULL);
    }

  return success;
}

gboolean
bs_sqlite_document_add (BsSqliteDocument *self,
                        BsSqliteRow *rows,
                        GBytes *const *contents,
                        guint n_rows,
                        GCancellable *cancellable,
                        GError **error)
{
  Change change = {
    .kind = ADD, .rows = rows, .contents = contents, .n_rows = n_rows, .cancellable = cancellable
  };

  return add (self, rows, &change, error);
}

gboolean
bs_sqlite_document_add_file (BsSqliteDocument *self,
                             BsSqliteRow *row,
                             const BsSqliteFile *file,
                             GCancellable *cancellable,
                             GError **error)
{
  Change change = {
    .kind = ADD, .rows = row, .n_rows = 1, .file = file, .cancellable = cancellable
  };

  row->hash = file->hash;
  return add (self, row, &change, error);
}

gboolean
bs_sqlite_document_restore (BsSqliteDocument *self, const BsSqliteRow *row, GError **error)
{
  Change change = { .kind = RESTORE, .rows = row, .n_rows = 1 };

  return make_change (self, &change, error);
}

gboolean
bs_sqlite_document_forget (BsSqliteDocument *self, gint64 id, GError **error)
{
  const BsSqliteRow row = { .id = id };
  Change change = { .kind = FORGET, .rows = &row, .n_rows = 1 };

  return make_change (self, &change, error);
}

gboolean
bs_sqlite_document_quarantine (BsSqliteDocument *self, const BsSqliteRow *row, GError **error)
{
  Change change = { .kind = QUARANTINE, .rows = row, .n_rows = 1 };

  return make_change (self, &change, error);
}

gboolean
bs_sqlite_document_put_back (BsSqliteDocument *self, const BsSqliteRow *row, GError **error)
{
  Change change = { .kind = PUT_BACK, .rows = row, .n_rows = 1 };

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

      if (!bs_sqlite_connection_run_with_id (writer->connection, BS_SQLITE_DELETE_NAME, id,
                                             error) ||
          !(removal->held[i] ? bs_sqlite_connection_run_with_id (writer->connection,
                                                                 BS_SQLITE_ADD_DROPPED, id, error)
                             : delete_blob (writer, id, error)))
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
    return bs_sqlite_document_set_refusal (self, error);

  bs_sqlite_document_begin_writing (self);

  n_free = ask_number (&self->writer, BS_SQLITE_GET_FREE);
  success = remove_rows (self, &removal, MAX_ROWS, error);
  shrink (&self->writer, n_free);

  bs_sqlite_document_end_writing (self);

  return success;
}

gboolean
bs_sqlite_document_sync (BsSqliteDocument *self, GError **error)
{
  gboolean success;

  /* Nothing was changed. */
  if (self->claim->refusal != 0)
    return TRUE;

  bs_sqlite_document_begin_writing (self);

  success = bs_sqlite_writer_sync (&self->writer, error);

  bs_sqlite_document_end_writing (self);

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
    return bs_sqlite_document_set_refusal (self, error);

  bs_sqlite_document_begin_writing (self);

  success = bs_sqlite_writer_transact_durably (writer, set_root, bytes, &local);
  /* A save may be what makes room on a full disk. */
  if (!success && g_error_matches (local, G_IO_ERROR, G_IO_ERROR_NO_SPACE) &&
      bs_sqlite_writer_give_room (writer))
    {
      g_clear_error (&local);
      success = bs_sqlite_writer_transact_durably (writer, set_root, bytes, &local);
    }
  /* A log that cannot be brought home now has the root all the same, unless the file is another
   * one by now: no log belongs to that. */
  if (success && !bs_sqlite_writer_checkpoint (writer, &local))
    success = !writer->overwritten;

  bs_sqlite_document_end_writing (self);

  if (!success)
    g_propagate_error (error, local);
  else
    g_clear_error (&local);
  return success;
}
