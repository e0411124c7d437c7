/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "bs-sqlite-writer-private.h"
#include "bs-sqlite-vfs-private.h"

#include <backingstore/backingstore.h>

#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n-lib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

/* A log is brought home when it has grown to 16 MiB. One that a large transaction has made
 * longer than that by far gives its room back. */
#ifndef MAX_FRAMES
#define MAX_FRAMES (16 * 1024 * 1024 / BS_SQLITE_PAGE_SIZE)
#endif
#define MAX_KEPT_FRAMES (2 * MAX_FRAMES)
#define RESERVE_SIZE (1024 * 1024)

static gboolean
set_overwritten (GError **error)
{
  g_set_error_literal (error, BS_ERROR, BS_ERROR_MOVED,
                       _ ("the document was overwritten by another program"));
  return FALSE;
}

/* Between the question before a transaction and its end the name may change. */
static int
on_commit (void *data)
{
  BsSqliteWriter *self = data;

  self->moved = !self->homing && !bs_sqlite_claim_check (self->claim, NULL);
  return self->moved;
}

static int
on_log (void *data, sqlite3 *database, const char *name, int n_frames)
{
  BsSqliteWriter *self = data;

  self->n_frames = n_frames;
  return SQLITE_OK;
}

static gboolean checkpoint (BsSqliteWriter *self, int mode, GError **error);

static void
set_connection (BsSqliteWriter *self, BsSqliteConnection *connection)
{
  self->connection = connection;
  sqlite3_commit_hook (connection->database, on_commit, self);
  sqlite3_wal_hook (connection->database, on_log, self);
}

void
bs_sqlite_writer_init (BsSqliteWriter *self, BsSqliteClaim *claim, BsSqliteConnection *connection)
{
  memset (self, 0, sizeof *self);
  g_rw_lock_init (&self->access);
  self->claim = claim;
  self->reserve = -1;
  set_connection (self, connection);
}

gboolean
bs_sqlite_writer_mend (BsSqliteWriter *self, GError **error)
{
  BsSqliteConnection *connection;

  if (!g_atomic_int_get (&self->broken))
    return TRUE;

  g_clear_pointer (&self->connection, bs_sqlite_connection_close);
  connection = bs_sqlite_connection_open (self->claim, BS_SQLITE_WRITE, error);
  if (connection == NULL)
    return FALSE;

  set_connection (self, connection);
  self->prepared = FALSE;
  g_atomic_int_set (&self->broken, FALSE);
  return TRUE;
}

gboolean
bs_sqlite_writer_give_room (BsSqliteWriter *self)
{
  if (self->reserve < 0)
    return FALSE;

  close (self->reserve);
  self->reserve = -1;
  return TRUE;
}

/* A file system may have none, but must not be full. */
static gboolean
make_reserve (BsSqliteWriter *self, GError **error)
{
  g_autofree char *folder = g_path_get_dirname (self->claim->path);
  int code;

  if (self->reserve < 0)
    self->reserve = open (folder, O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);
  if (self->reserve >= 0 && fallocate (self->reserve, 0, 0, RESERVE_SIZE) == 0)
    return TRUE;

  code = errno;
  bs_sqlite_writer_give_room (self);
  return (code != ENOSPC && code != EDQUOT) ||
         bs_sqlite_set_errno (_ ("there is no room beside the document"), code, error);
}

static gboolean
read_record (BsSqliteWriter *self, BsSqliteRecord *record, GError **error)
{
  sqlite3_stmt *statement = NULL;
  gboolean found = FALSE;
  int code;

  code = sqlite3_prepare_v2 (self->connection->database, "SELECT record FROM state WHERE id = 1",
                             -1, &statement, NULL);
  if (code == SQLITE_OK)
    code = sqlite3_step (statement);
  if (code == SQLITE_ROW)
    found = bs_sqlite_record_parse (record, sqlite3_column_blob (statement, 0),
                                    sqlite3_column_bytes (statement, 0));
  else if (code != SQLITE_DONE)
    bs_sqlite_connection_fail (self->connection, error);
  sqlite3_finalize (statement);
  if (!found && (code == SQLITE_ROW || code == SQLITE_DONE))
    g_set_error_literal (error, BS_ERROR, BS_ERROR_CORRUPT, _ ("the document has no state"));

  return found;
}

static gboolean
nonce_equal (const guint8 *a, const guint8 *b)
{
  return memcmp (a, b, BS_SQLITE_NONCE_SIZE) == 0;
}

/* Whether the document is in the state that was read or left last, or in the one after that: an
 * error may have come when the change was made. */
static gboolean
check_record (BsSqliteWriter *self, GError **error)
{
  BsSqliteRecord record;

  if (!read_record (self, &record, error))
    return FALSE;
  if (!nonce_equal (record.nonce, self->record.nonce) &&
      !nonce_equal (record.previous, self->record.nonce))
    {
      self->overwritten = TRUE;
      return set_overwritten (error);
    }

  self->record = record;
  self->serial = MAX (self->serial, record.serial);
  return TRUE;
}

/* The time of the file is evidence after a power cut too. */
static gboolean
settle_stamp (BsSqliteWriter *self, GError **error)
{
  self->stamp_known = FALSE;
  if (fsync (self->claim->fd) != 0)
    return bs_sqlite_set_errno (_ ("cannot sync the document"), errno, error);

  self->stamp_known = bs_sqlite_claim_get_stamp (self->claim, &self->stamp, error);
  return self->stamp_known;
}

static gboolean
has_sidecar (const BsSqliteClaim *claim, const char *suffix)
{
  g_autofree char *path = g_strconcat (claim->path, suffix, NULL);

  return g_access (path, F_OK) == 0;
}

/* A log has an index beside it. Where there is no room for that, nothing in the document
 * could be read any more. */
static gboolean
switch_to_log (BsSqliteWriter *self, GError **error)
{
  g_autofree char *mode = NULL;
  gboolean answered;

  if (!make_reserve (self, error))
    return FALSE;
  bs_sqlite_writer_give_room (self);

  g_rw_lock_writer_lock (&self->access);
  answered = bs_sqlite_connection_ask (self->connection, "PRAGMA journal_mode = WAL", &mode, error);
  g_rw_lock_writer_unlock (&self->access);
  /* The first read makes the log. */
  if (!answered || !check_record (self, error))
    return FALSE;

  /* After an error SQLite takes the switch for done when it is not, or the reverse. */
  if (g_strcmp0 (mode, "wal") != 0 || !has_sidecar (self->claim, "-wal"))
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_FAILED, _ ("SQLite made no log"));
      return FALSE;
    }
  if (!bs_sqlite_vfs_sync_folder (self->claim->path))
    return bs_sqlite_set_errno (_ ("cannot sync the folder of the document"), errno, error);

  self->logs = TRUE;
  return bs_sqlite_connection_exec (self->connection, "PRAGMA synchronous = NORMAL", error) &&
         make_reserve (self, error);
}

/* A journal that is deleted must not come back with a power cut: connections begin with
 * PRAGMA synchronous = EXTRA. */
static gboolean
choose_mode (BsSqliteWriter *self, GError **error)
{
  if (!bs_sqlite_claim_is_local (self->claim))
    return bs_sqlite_connection_exec (self->connection,
                                      "PRAGMA journal_mode = DELETE; PRAGMA locking_mode = NORMAL",
                                      error);
  if (switch_to_log (self, error))
    return TRUE;

  self->logs = FALSE;
  g_atomic_int_set (&self->broken, TRUE);
  return FALSE;
}

/* The first change switches to a log where that works. Until then the file is as it was. */
static gboolean
prepare (BsSqliteWriter *self, GError **error)
{
  if (!bs_sqlite_writer_mend (self, error))
    return FALSE;

  if (!self->prepared)
    self->prepared =
      check_record (self, error) && choose_mode (self, error) && settle_stamp (self, error);
  return self->prepared;
}

static gboolean
write_record (BsSqliteWriter *self, BsSqliteRecord *record, GError **error)
{
  guint8 bytes[BS_SQLITE_RECORD_SIZE];
  sqlite3_stmt *statement = bs_sqlite_connection_get (self->connection, BS_SQLITE_SET_STATE, error);

  if (statement == NULL)
    return FALSE;

  record->serial = ++self->serial;
  bs_sqlite_record_print (record, bytes);
  bs_sqlite_bind_bytes (statement, 1, bytes, sizeof bytes);
  return bs_sqlite_connection_run (self->connection, BS_SQLITE_SET_STATE, error);
}

/* A log has a nonce of its own, and each transaction that has a journal. After a checkpoint that
 * failed when all was home, SQLite begins the log anew, and tells nobody: then each transaction
 * has the record. */
static gboolean
begin_record (BsSqliteWriter *self, BsSqliteRecord *record, GError **error)
{
  *record = self->record;
  if (self->logs && self->log_begun)
    return !record->homing || write_record (self, record, error);
  /* With a journal the time of the file says nothing, for each transaction changes it. */
  if (!self->logs && !check_record (self, error))
    return FALSE;

  if (!self->stamp_known && !settle_stamp (self, error))
    return FALSE;
  memcpy (record->previous, self->record.nonce, BS_SQLITE_NONCE_SIZE);
  sqlite3_randomness (BS_SQLITE_NONCE_SIZE, record->nonce);
  record->stamp = self->stamp;
  record->homing = FALSE;
  return write_record (self, record, error);
}

static gboolean
run_inside (BsSqliteWriter *self, BsSqliteWriterFunc func, gpointer data, GError **error)
{
  BsSqliteRecord record;

  self->moved = FALSE;
  if (!bs_sqlite_connection_call (self->connection, BS_SQLITE_BEGIN, error))
    return FALSE;

  if (begin_record (self, &record, error) && func (self, data, error) &&
      bs_sqlite_connection_call (self->connection, BS_SQLITE_COMMIT, error))
    {
      self->record = record;
      self->log_begun = self->logs;
      self->unsynced = self->logs;
      return TRUE;
    }

  /* SQLite has rolled back by itself after some errors. */
  if (!sqlite3_get_autocommit (self->connection->database))
    bs_sqlite_connection_call (self->connection, BS_SQLITE_ROLLBACK, NULL);
  /* A journal that could not be removed is rolled back by a new connection only. Without one
   * the change is there, though the folder could not be synced: a power cut may bring the
   * journal back. */
  if (!self->logs)
    {
      g_atomic_int_set (&self->broken, TRUE);
      g_atomic_int_set (&self->in_doubt, TRUE);
      self->unsynced = TRUE;
    }
  return FALSE;
}

static gboolean
run (BsSqliteWriter *self, BsSqliteWriterFunc func, gpointer data, GError **error)
{
  gboolean success;

  if (!self->logs)
    g_rw_lock_writer_lock (&self->access);
  success = run_inside (self, func, data, error);
  if (!self->logs)
    g_rw_lock_writer_unlock (&self->access);

  return success;
}

/* Whether the file is as it was left: with a log, nothing but a checkpoint of ours writes to
 * it. */
static gboolean
check_stamp (BsSqliteWriter *self, GError **error)
{
  BsSqliteStamp stamp;

  if (self->logs && self->stamp_known)
    {
      if (!bs_sqlite_claim_get_stamp (self->claim, &stamp, error))
        return FALSE;
      self->overwritten |= !bs_sqlite_stamp_equal (&stamp, &self->stamp);
    }

  return !self->overwritten || set_overwritten (error);
}

/* In WAL mode SQLite goes on writing whatever becomes of the name, and its log would be
 * taken for that of the next file there. So the log is brought home at once. */
static gboolean
check_name (BsSqliteWriter *self, GError **error)
{
  GError *local = NULL;

  if (bs_sqlite_claim_check (self->claim, &local))
    return check_stamp (self, error);

  if (g_error_matches (local, BS_ERROR, BS_ERROR_MOVED))
    bs_sqlite_writer_checkpoint (self, NULL);
  g_propagate_error (error, local);
  return FALSE;
}

static gboolean
transact (BsSqliteWriter *self, BsSqliteWriterFunc func, gpointer data, GError **error)
{
  GError *local = NULL;

  if (run (self, func, data, &local))
    return TRUE;

  /* Else the name leads back by now. */
  if (self->moved && !check_name (self, error))
    {
      g_error_free (local);
      return FALSE;
    }
  g_propagate_error (error, local);
  return FALSE;
}

static gboolean
change_nothing (BsSqliteWriter *self, gpointer data, GError **error)
{
  return TRUE;
}

/* A log that cannot be brought home now grows. To write over the old one takes less than to
 * give its pages away and to ask for others; a new record comes at once, since the old one may
 * belong to a backup that somebody restores after a crash. */
static void
bring_home (BsSqliteWriter *self)
{
  gboolean keeps = self->n_frames <= MAX_KEPT_FRAMES;

  if (!checkpoint (self, keeps ? SQLITE_CHECKPOINT_RESTART : SQLITE_CHECKPOINT_TRUNCATE, NULL))
    return;

  make_reserve (self, NULL);
  if (keeps)
    run (self, change_nothing, NULL, NULL);
}

gboolean
bs_sqlite_writer_transact (BsSqliteWriter *self,
                           BsSqliteWriterFunc func,
                           gpointer data,
                           GError **error)
{
  if (!check_name (self, error) || !prepare (self, error) || !transact (self, func, data, error))
    return FALSE;

  if (self->n_frames > MAX_FRAMES)
    bring_home (self);
  return TRUE;
}

gboolean
bs_sqlite_writer_transact_durably (BsSqliteWriter *self,
                                   BsSqliteWriterFunc func,
                                   gpointer data,
                                   GError **error)
{
  gboolean success;

  if (!check_name (self, error) || !prepare (self, error))
    return FALSE;
  if (!self->logs)
    return transact (self, func, data, error);

  /* The kernel reports an error of writing once, and takes the pages for clean then. */
  if (self->sync_failed && !bs_sqlite_sidecar_rewrite_log (self->claim, error))
    return FALSE;
  if (!bs_sqlite_connection_exec (self->connection, "PRAGMA synchronous = FULL", error))
    return FALSE;
  success = transact (self, func, data, error);
  bs_sqlite_connection_exec (self->connection, "PRAGMA synchronous = NORMAL", NULL);

  self->sync_failed = !success && self->unsynced;
  if (success)
    self->unsynced = FALSE;
  return success;
}

/* A transaction with a journal has written a record of its own. */
static gboolean
touch (BsSqliteWriter *self, gpointer data, GError **error)
{
  return !self->logs || write_record (self, &self->record, error);
}

gboolean
bs_sqlite_writer_sync (BsSqliteWriter *self, GError **error)
{
  if (!self->unsynced)
    return check_name (self, error);

  return bs_sqlite_writer_transact_durably (self, touch, NULL, error);
}

static gboolean
mark_homing (BsSqliteWriter *self, gpointer data, GError **error)
{
  BsSqliteRecord *record = data;

  return write_record (self, record, error);
}

/* The log says first that a checkpoint has begun: from then on size and time of the file
 * are no evidence. A reader that stays is waited for once. */
static gboolean
run_checkpoint (BsSqliteWriter *self, int mode, GError **error)
{
  BsSqliteRecord record = self->record;
  gboolean success;

  record.homing = TRUE;
  if (!self->record.homing)
    {
      if (!run (self, mark_homing, &record, error))
        return FALSE;
      self->record = record;
    }

  success = bs_sqlite_connection_checkpoint (self->connection, mode, !self->held_up, error);
  self->stamp_known = bs_sqlite_claim_get_stamp (self->claim, &self->stamp, NULL);

  return success;
}

/* A log that is not truncated keeps its frames, which are in the file too. */
static gboolean
checkpoint (BsSqliteWriter *self, int mode, GError **error)
{
  GError *local = NULL;
  gboolean success;

  if (!check_stamp (self, error))
    return FALSE;
  if (!self->logs || self->n_frames == 0)
    return TRUE;

  if (self->sync_failed && !bs_sqlite_sidecar_rewrite_log (self->claim, error))
    return FALSE;

  self->homing = TRUE;
  success = run_checkpoint (self, mode, &local);
  self->homing = FALSE;
  self->held_up = g_error_matches (local, BS_ERROR, BS_ERROR_BUSY);
  self->sync_failed = !success && !self->held_up;
  if (success)
    {
      self->n_frames = mode == SQLITE_CHECKPOINT_TRUNCATE ? 0 : 1;
      self->log_begun = FALSE;
      self->unsynced = FALSE;
      /* Else the next log settles it. */
      settle_stamp (self, NULL);
    }
  else
    {
      g_propagate_error (error, local);
    }

  return success;
}

gboolean
bs_sqlite_writer_checkpoint (BsSqliteWriter *self, GError **error)
{
  return checkpoint (self, SQLITE_CHECKPOINT_TRUNCATE, error);
}

gboolean
bs_sqlite_writer_recover (BsSqliteWriter *self, GError **error)
{
  g_autofree char *mode = NULL;

  if (!bs_sqlite_connection_ask (self->connection, "PRAGMA journal_mode", &mode, error) ||
      !read_record (self, &self->record, error))
    return FALSE;
  if (g_strcmp0 (mode, "wal") != 0)
    return TRUE;
  if (!prepare (self, error))
    return FALSE;

  self->log_begun = self->logs;
  self->n_frames = 1;
  /* An earlier writer may have been told that the log could not be synced. */
  self->sync_failed = TRUE;
  return bs_sqlite_writer_checkpoint (self, error);
}

/* The log and its index keep the name that the file had when it was opened, and another
 * file may have that by now. An empty log is of no use to any. */
static void
remove_sidecar (BsSqliteWriter *self, const char *suffix)
{
  g_autofree char *path = g_strconcat (self->claim->path, suffix, NULL);

  if (g_access (self->claim->path, F_OK) != 0 && errno == ENOENT)
    g_unlink (path);
}

void
bs_sqlite_writer_close (BsSqliteWriter *self)
{
  gboolean current = bs_sqlite_claim_check (self->claim, NULL);
  gboolean home;

  bs_sqlite_writer_give_room (self);
  /* SQLite puts right what it has left half done. */
  bs_sqlite_writer_mend (self, NULL);
  home = bs_sqlite_writer_checkpoint (self, NULL);
  if (self->logs && current && home)
    {
      bs_sqlite_connection_exec (self->connection,
                                 "PRAGMA synchronous = EXTRA; PRAGMA journal_mode = DELETE", NULL);
    }
  else if (self->logs)
    {
      sqlite3_db_config (self->connection->database, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    }
  g_clear_pointer (&self->connection, bs_sqlite_connection_close);

  if (self->overwritten && self->n_frames > 0)
    {
      g_autofree char *aside = bs_sqlite_sidecar_set_aside (self->claim, "-wal", NULL);
    }
  else if (self->overwritten && current)
    {
      g_autofree char *log = g_strconcat (self->claim->path, "-wal", NULL);

      g_unlink (log);
    }
  else if (self->logs && !current && home)
    {
      remove_sidecar (self, "-wal");
      remove_sidecar (self, "-shm");
    }
  /* Without a log its index is of no use, though an error may have left it. */
  if (current && !has_sidecar (self->claim, "-wal"))
    {
      g_autofree char *index = g_strconcat (self->claim->path, "-shm", NULL);

      g_unlink (index);
    }
  g_rw_lock_clear (&self->access);
}
