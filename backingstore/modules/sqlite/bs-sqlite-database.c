/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "bs-sqlite-database-private.h"
#include "bs-sqlite-rows-private.h"
#include "bs-sqlite-vfs-private.h"

#include <backingstore/backingstore.h>

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* "BsDo". */
#define APPLICATION_ID 0x4273446f
#define FORMAT_VERSION 1

/* To the end of what the first sector has. */
#define HEADER_SIZE 120
#define READ_VERSION 19
#define VERSION_WITH_LOG 2
/* A disk writes so much whole or not at all. */
#define SECTOR_SIZE 512

#define BUSY_MILLISECONDS 5000

/* No value but a content is as large, nor any SQL. */
#define SMALL_SIZE 4096

/* In the order of their names. A document has these and nothing else: neither a view nor a
 * trigger, so that no SQL of its own is ever run. */
static const struct
{
  const char *name;
  const char *sql;
} schema[] = {
  { "blob", "CREATE TABLE blob(id INTEGER PRIMARY KEY, content BLOB NOT NULL)" },
  { "dropped", "CREATE TABLE dropped(id INTEGER PRIMARY KEY)" },
  { "name", "CREATE TABLE name(id INTEGER PRIMARY KEY, key BLOB NOT NULL, hash INTEGER NOT NULL)" },
  { "quarantine",
    "CREATE TABLE quarantine(id INTEGER PRIMARY KEY, key BLOB NOT NULL, hash INTEGER NOT NULL)" },
  { "root",
    "CREATE TABLE root(id INTEGER PRIMARY KEY, hash INTEGER NOT NULL, content BLOB NOT NULL)" },
  { "state",
    "CREATE TABLE state(id INTEGER PRIMARY KEY, text TEXT NOT NULL, record BLOB NOT NULL)" },
};

static const char *const statements[BS_SQLITE_N_STATEMENTS] = {
  [BS_SQLITE_BEGIN] = "BEGIN IMMEDIATE",
  [BS_SQLITE_COMMIT] = "COMMIT",
  [BS_SQLITE_ROLLBACK] = "ROLLBACK",
  [BS_SQLITE_SET_STATE] =
    /* In place, so that nothing else in the page changes. */
  "UPDATE state SET record = ?1 WHERE id = 1",
  /* A transaction that failed may have left the row. */
  [BS_SQLITE_ADD_BLOB] = "REPLACE INTO blob(id, content) VALUES(?1, ?2)",
  [BS_SQLITE_ADD_NAME] = "REPLACE INTO name(id, key, hash) VALUES(?1, ?2, ?3)",
  [BS_SQLITE_DELETE_BLOB] = "DELETE FROM blob WHERE id = ?1",
  [BS_SQLITE_DELETE_PARTS] =
    ("DELETE FROM blob WHERE id >= ?1 AND id < ?1 + " BS_SQLITE_MAX_PARTS_STRING),
  [BS_SQLITE_DELETE_NAME] = "DELETE FROM name WHERE id = ?1",
  [BS_SQLITE_ADD_DROPPED] = "REPLACE INTO dropped(id) VALUES(?1)",
  [BS_SQLITE_DELETE_DROPPED] = "DELETE FROM dropped WHERE id = ?1",
  [BS_SQLITE_ADD_QUARANTINE] = "REPLACE INTO quarantine(id, key, hash) VALUES(?1, ?2, ?3)",
  [BS_SQLITE_DELETE_QUARANTINE] = "DELETE FROM quarantine WHERE id = ?1",
  [BS_SQLITE_SET_ROOT] = "REPLACE INTO root(id, hash, content) VALUES(1, ?1, ?2)",
  [BS_SQLITE_GET_ROOT] = "SELECT hash, content FROM root WHERE id = 1",
  [BS_SQLITE_GET_BLOB] = "SELECT content FROM blob WHERE id = ?1",
  [BS_SQLITE_GET_FREE] = "PRAGMA freelist_count",
  [BS_SQLITE_GET_PAGES] = "PRAGMA page_count",
  [BS_SQLITE_VACUUM] = "PRAGMA incremental_vacuum(64)",
};

/* SQLite takes a file that the disk did not give for a damaged one: a blob would be set aside
 * for that. Returns 0 or an errno. */
static int
find_failed_read (sqlite3 *database, int code)
{
  int number = 0;

  if (database != NULL && (code & 0xff) == SQLITE_CORRUPT)
    sqlite3_file_control (database, "main", SQLITE_FCNTL_LAST_ERRNO, &number);

  return number;
}

/* Of a COMMIT that fails SQLite keeps the errno in the file alone: in the log or the journal, or
 * in the database. A journal in memory has none. */
static int
find_failed_commit (sqlite3 *database)
{
  sqlite3_file *log = NULL;
  int number = 0;

  if (sqlite3_file_control (database, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log) == SQLITE_OK &&
      log != NULL && log->pMethods != NULL && log->pMethods->xFileControl != NULL)
    log->pMethods->xFileControl (log, SQLITE_FCNTL_LAST_ERRNO, &number);
  if (number == 0)
    sqlite3_file_control (database, "main", SQLITE_FCNTL_LAST_ERRNO, &number);

  return number;
}

static int
find_errno (sqlite3 *database, int code)
{
  int number = database != NULL ? sqlite3_system_errno (database) : 0;

  return number == 0 && database != NULL && (code & 0xff) == SQLITE_IOERR
           ? find_failed_commit (database)
           : number;
}

static void
set_error (sqlite3 *database, int code, GError **error)
{
  int number = find_errno (database, code);
  int failed_read = find_failed_read (database, code);
  GQuark domain = G_IO_ERROR;
  int result = G_IO_ERROR_FAILED;

  if (failed_read != 0)
    {
      g_set_error (error, G_IO_ERROR, g_io_error_from_errno (failed_read), _ ("SQLite: %s"),
                   g_strerror (failed_read));
      return;
    }

  switch (code & 0xff)
    {
    case SQLITE_FULL:
      result = G_IO_ERROR_NO_SPACE;
      break;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      domain = BS_ERROR;
      result = BS_ERROR_BUSY;
      break;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_ERROR: /* SQL of ours that does not fit the schema */
    case SQLITE_SCHEMA:
    case SQLITE_MISMATCH:
    case SQLITE_CONSTRAINT:
      domain = BS_ERROR;
      result = BS_ERROR_CORRUPT;
      break;
    case SQLITE_READONLY:
      result = G_IO_ERROR_READ_ONLY;
      break;
    case SQLITE_TOOBIG:
      result = G_IO_ERROR_MESSAGE_TOO_LARGE;
      break;
    case SQLITE_PERM:
    case SQLITE_AUTH:
      result = G_IO_ERROR_PERMISSION_DENIED;
      break;
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
      if (number == EDQUOT)
        result = G_IO_ERROR_NO_SPACE;
      else if (number != 0)
        result = g_io_error_from_errno (number);
      /* A page that was cut off is missing. */
      else if (code == SQLITE_IOERR_SHORT_READ)
        domain = BS_ERROR, result = BS_ERROR_CORRUPT;
      break;
    default:
      break;
    }

  g_set_error (error, domain, result, _ ("SQLite: %s"),
               database != NULL ? sqlite3_errmsg (database) : sqlite3_errstr (code));
}

gboolean
bs_sqlite_connection_fail (BsSqliteConnection *self, GError **error)
{
  set_error (self->database, sqlite3_extended_errcode (self->database), error);
  return FALSE;
}

static guint32
get32 (const guint8 *bytes)
{
  guint32 number;

  memcpy (&number, bytes, 4);
  return GUINT32_FROM_BE (number);
}

static gboolean
write_at (int fd, const guint8 *data, gsize size, goffset offset)
{
  for (gsize done = 0; done < size;)
    {
      gssize n = pwrite (fd, data + done, size - done, offset + done);

      if (n < 0 && errno != EINTR)
        return FALSE;
      done += MAX (n, 0);
    }

  return TRUE;
}

static guint8 *
make_template (gsize *size, GError **error)
{
  g_autoptr (GString) sql = g_string_new (
    "PRAGMA page_size = " G_STRINGIFY (BS_SQLITE_PAGE_SIZE) "; "
                                                            "PRAGMA auto_vacuum = INCREMENTAL; ");
  g_autoptr (BsSqliteConnection) connection = g_new0 (BsSqliteConnection, 1);
  BsSqliteRecord record = { 0 };
  guint8 bytes[BS_SQLITE_RECORD_SIZE];
  sqlite3_int64 length = 0;
  sqlite3_stmt *statement;
  guint8 *data = NULL;

  g_string_append_printf (sql, "PRAGMA application_id = %d; PRAGMA user_version = %d; ",
                          APPLICATION_ID, FORMAT_VERSION);
  for (guint i = 0; i < G_N_ELEMENTS (schema); i++)
    g_string_append_printf (sql, "%s; ", schema[i].sql);
  g_string_append (sql, "INSERT INTO state(id, text, record) VALUES(1, '" BS_SQLITE_RECORD_NAME
                        "', zeroblob(" G_STRINGIFY (BS_SQLITE_RECORD_SIZE) "))");

  if (sqlite3_open_v2 (":memory:", &connection->database,
                       SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_MEMORY,
                       NULL) != SQLITE_OK ||
      !bs_sqlite_connection_exec (connection, sql->str, error) ||
      (statement = bs_sqlite_connection_get (connection, BS_SQLITE_SET_STATE, error)) == NULL)
    return NULL;

  sqlite3_randomness (BS_SQLITE_NONCE_SIZE, record.nonce);
  bs_sqlite_record_print (&record, bytes);
  bs_sqlite_bind_bytes (statement, 1, bytes, sizeof bytes);
  if (!bs_sqlite_connection_run (connection, BS_SQLITE_SET_STATE, error))
    return NULL;

  data = sqlite3_serialize (connection->database, "main", &length, 0);
  if (data == NULL)
    set_error (NULL, SQLITE_NOMEM, error);
  *size = length;
  return data;
}

/* A power cut may have left the last write of making one undone, or half done. */
static gboolean
is_unfinished (const BsSqliteClaim *claim)
{
  guint8 sector[SECTOR_SIZE] = { 0 };
  gsize size = 0;
  guint8 *data = make_template (&size, NULL);
  gsize n_done = 0;
  gboolean unfinished;

  unfinished = data != NULL && lseek (claim->fd, 0, SEEK_END) <= (off_t) size &&
               pread (claim->fd, sector, sizeof sector, 0) >= 0;
  while (unfinished && n_done < sizeof sector && sector[n_done] == data[n_done])
    n_done++;
  for (; unfinished && n_done < sizeof sector; n_done++)
    unfinished = sector[n_done] == 0;
  sqlite3_free (data);

  return unfinished;
}

static gboolean
set_kind_error (const guint8 *header, GError **error)
{
  if (memcmp (header, "SQLite format 3", 16) != 0 || get32 (header + 68) != APPLICATION_ID)
    g_set_error_literal (error, BS_ERROR, BS_ERROR_FOREIGN,
                         _ ("the file is not a document of this library"));
  else if (get32 (header + 60) != FORMAT_VERSION)
    g_set_error (error, BS_ERROR, BS_ERROR_NOT_SUPPORTED,
                 _ ("the document has version %u of the format; this library knows %u"),
                 get32 (header + 60), FORMAT_VERSION);
  else if ((header[16] << 8 | header[17]) != BS_SQLITE_PAGE_SIZE)
    g_set_error_literal (error, BS_ERROR, BS_ERROR_CORRUPT,
                         _ ("the document has pages of another size"));
  else
    return TRUE;

  return FALSE;
}

gboolean
bs_sqlite_database_check (const BsSqliteClaim *claim, gboolean *empty, GError **error)
{
  guint8 header[HEADER_SIZE] = { 0 };
  gssize size = pread (claim->fd, header, sizeof header, 0);

  if (size < 0)
    return bs_sqlite_set_errno (_ ("cannot read the document"), errno, error);

  *empty = size == 0;
  if (*empty || (header[HEADER_SIZE - 1] != 0 && set_kind_error (header, NULL)))
    return TRUE;
  *empty = is_unfinished (claim);

  return *empty || set_kind_error (header, error);
}

gboolean
bs_sqlite_database_create (const BsSqliteClaim *claim, GError **error)
{
  gsize size = 0;
  guint8 *data = make_template (&size, error);
  gboolean good;

  if (data == NULL)
    return FALSE;

  good = ftruncate (claim->fd, 0) == 0 &&
         write_at (claim->fd, data + SECTOR_SIZE, size - SECTOR_SIZE, SECTOR_SIZE) &&
         fsync (claim->fd) == 0 && write_at (claim->fd, data, SECTOR_SIZE, 0) &&
         fsync (claim->fd) == 0 && bs_sqlite_vfs_sync_folder (claim->path);
  if (!good)
    {
      bs_sqlite_set_errno (_ ("cannot make the document"), errno, error);
      (void) !ftruncate (claim->fd, 0);
    }
  sqlite3_free (data);

  return good;
}

gboolean
bs_sqlite_connection_exec (BsSqliteConnection *self, const char *sql, GError **error)
{
  return sqlite3_exec (self->database, sql, NULL, NULL, NULL) == SQLITE_OK ||
         bs_sqlite_connection_fail (self, error);
}

gboolean
bs_sqlite_connection_ask (BsSqliteConnection *self, const char *sql, char **answer, GError **error)
{
  sqlite3_stmt *statement = NULL;
  int code = sqlite3_prepare_v2 (self->database, sql, -1, &statement, NULL);

  *answer = NULL;
  if (code == SQLITE_OK)
    code = sqlite3_step (statement);
  if (code == SQLITE_ROW)
    *answer = g_strdup ((const char *) sqlite3_column_text (statement, 0));
  else if (code != SQLITE_DONE)
    bs_sqlite_connection_fail (self, error);
  sqlite3_finalize (statement);

  return code == SQLITE_ROW || code == SQLITE_DONE;
}

sqlite3_stmt *
bs_sqlite_connection_get (BsSqliteConnection *self, BsSqliteStatement statement, GError **error)
{
  if (self->statements[statement] == NULL &&
      sqlite3_prepare_v3 (self->database, statements[statement], -1, SQLITE_PREPARE_PERSISTENT,
                          &self->statements[statement], NULL) != SQLITE_OK)
    bs_sqlite_connection_fail (self, error);

  return self->statements[statement];
}

gboolean
bs_sqlite_connection_run (BsSqliteConnection *self, BsSqliteStatement statement, GError **error)
{
  sqlite3_stmt *prepared = self->statements[statement];
  int code;

  do
    code = sqlite3_step (prepared);
  while (code == SQLITE_ROW);
  if (code != SQLITE_DONE)
    bs_sqlite_connection_fail (self, error);
  sqlite3_reset (prepared);
  sqlite3_clear_bindings (prepared);

  return code == SQLITE_DONE;
}

gboolean
bs_sqlite_connection_run_with_id (BsSqliteConnection *self,
                                  BsSqliteStatement statement,
                                  gint64 id,
                                  GError **error)
{
  sqlite3_stmt *prepared = bs_sqlite_connection_get (self, statement, error);

  if (prepared == NULL)
    return FALSE;

  sqlite3_bind_int64 (prepared, 1, id);
  return bs_sqlite_connection_run (self, statement, error);
}

gboolean
bs_sqlite_connection_call (BsSqliteConnection *self, BsSqliteStatement statement, GError **error)
{
  return bs_sqlite_connection_get (self, statement, error) != NULL &&
         bs_sqlite_connection_run (self, statement, error);
}

/* A pointer to no byte would be bound as NULL. */
void
bs_sqlite_bind_bytes (sqlite3_stmt *statement, int index, gconstpointer data, gsize size)
{
  if (size > 0)
    sqlite3_bind_blob64 (statement, index, data, size, SQLITE_STATIC);
  else
    sqlite3_bind_zeroblob (statement, index, 0);
}

static void
harden (sqlite3 *database)
{
  static const struct
  {
    int option;
    int value;
  } options[] = {
    { SQLITE_DBCONFIG_DEFENSIVE, 1 },      { SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0 },
    { SQLITE_DBCONFIG_ENABLE_TRIGGER, 0 }, { SQLITE_DBCONFIG_ENABLE_VIEW, 0 },
    { SQLITE_DBCONFIG_DQS_DDL, 0 },        { SQLITE_DBCONFIG_DQS_DML, 0 },
    { SQLITE_DBCONFIG_ENABLE_FKEY, 0 },    { SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0 },
  };
  static const struct
  {
    int limit;
    int value;
  } limits[] = {
    { SQLITE_LIMIT_SQL_LENGTH, 1000 },   { SQLITE_LIMIT_COLUMN, 16 },
    { SQLITE_LIMIT_EXPR_DEPTH, 16 },     { SQLITE_LIMIT_COMPOUND_SELECT, 2 },
    { SQLITE_LIMIT_VDBE_OP, 25000 },     { SQLITE_LIMIT_FUNCTION_ARG, 8 },
    { SQLITE_LIMIT_ATTACHED, 0 },        { SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 50 },
    { SQLITE_LIMIT_VARIABLE_NUMBER, 8 }, { SQLITE_LIMIT_TRIGGER_DEPTH, 1 },
    { SQLITE_LIMIT_WORKER_THREADS, 0 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (options); i++)
    sqlite3_db_config (database, options[i].option, options[i].value, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (limits); i++)
    sqlite3_limit (database, limits[i].limit, limits[i].value);
  sqlite3_busy_timeout (database, BUSY_MILLISECONDS);
}

gboolean
bs_sqlite_connection_checkpoint (BsSqliteConnection *self, int mode, gboolean waits, GError **error)
{
  int code;

  sqlite3_busy_timeout (self->database, waits ? BUSY_MILLISECONDS : 0);
  code = sqlite3_wal_checkpoint_v2 (self->database, "main", mode, NULL, NULL);
  sqlite3_busy_timeout (self->database, BUSY_MILLISECONDS);

  return code == SQLITE_OK || bs_sqlite_connection_fail (self, error);
}

void
bs_sqlite_connection_expect_small (BsSqliteConnection *self, gboolean small)
{
  sqlite3_limit (self->database, SQLITE_LIMIT_LENGTH, small ? SMALL_SIZE : G_MAXINT);
}

static gboolean
check_schema (BsSqliteConnection *self, GError **error)
{
  sqlite3_stmt *statement;
  guint i = 0;
  int code;

  if (sqlite3_prepare_v2 (self->database,
                          "SELECT name, sql FROM sqlite_master "
                          "ORDER BY name",
                          -1, &statement, NULL) != SQLITE_OK)
    return bs_sqlite_connection_fail (self, error);

  while ((code = sqlite3_step (statement)) == SQLITE_ROW)
    {
      if (i == G_N_ELEMENTS (schema) ||
          g_strcmp0 (schema[i].name, (const char *) sqlite3_column_text (statement, 0)) != 0 ||
          g_strcmp0 (schema[i].sql, (const char *) sqlite3_column_text (statement, 1)) != 0)
        break;
      i++;
    }
  if (code != SQLITE_ROW && code != SQLITE_DONE)
    bs_sqlite_connection_fail (self, error);
  sqlite3_finalize (statement);
  if (code == SQLITE_DONE && i == G_N_ELEMENTS (schema))
    return TRUE;

  if (code == SQLITE_ROW || code == SQLITE_DONE)
    g_set_error_literal (error, BS_ERROR, BS_ERROR_CORRUPT,
                         _ ("the database does not have the tables of a document, and no others"));
  return FALSE;
}

/* A log has an index in shared memory. Without that, one connection alone reads it. */
static gboolean
must_be_alone (const BsSqliteClaim *claim)
{
  guint8 header[HEADER_SIZE] = { 0 };

  return !bs_sqlite_claim_is_local (claim) && pread (claim->fd, header, sizeof header, 0) > 0 &&
         header[READ_VERSION] == VERSION_WITH_LOG;
}

BsSqliteConnection *
bs_sqlite_connection_open (const BsSqliteClaim *claim, BsSqliteAccess access, GError **error)
{
  g_autoptr (BsSqliteConnection) self = g_new0 (BsSqliteConnection, 1);
  g_autofree char *name = g_strdup (claim->path);
  int flags = SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  int code;

  flags |= access == BS_SQLITE_WRITE ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY;
  if (access == BS_SQLITE_IMMUTABLE)
    {
      g_autofree char *escaped = g_uri_escape_string (claim->path, "/", FALSE);

      g_free (name);
      name = g_strconcat ("file:", escaped, "?immutable=1", NULL);
      flags |= SQLITE_OPEN_URI;
    }

  code = sqlite3_open_v2 (name, &self->database, flags, bs_sqlite_vfs_get_name ());
  if (code != SQLITE_OK)
    {
      set_error (self->database, code, error);
      return NULL;
    }
  /* SQLite is content with less than it is asked for. */
  if (access == BS_SQLITE_WRITE && sqlite3_db_readonly (self->database, "main") == 1)
    {
      bs_sqlite_set_errno (_ ("SQLite cannot open the document for writing"), EACCES, error);
      return NULL;
    }
  harden (self->database);
  bs_sqlite_connection_expect_small (self, TRUE);
  if (access == BS_SQLITE_WRITE && must_be_alone (claim) &&
      !bs_sqlite_connection_exec (self, "PRAGMA locking_mode = EXCLUSIVE", error))
    return NULL;
  if (!bs_sqlite_connection_exec (self,
                                  "PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0; "
                                  "PRAGMA temp_store = MEMORY; PRAGMA secure_delete = FAST; "
                                  "PRAGMA wal_autocheckpoint = 0; PRAGMA synchronous = EXTRA",
                                  error) ||
      !check_schema (self, error))
    return NULL;

  bs_sqlite_connection_expect_small (self, FALSE);
  return g_steal_pointer (&self);
}

void
bs_sqlite_connection_close (BsSqliteConnection *self)
{
  for (guint i = 0; i < BS_SQLITE_N_STATEMENTS; i++)
    sqlite3_finalize (self->statements[i]);
  sqlite3_close (self->database);
  g_free (self);
}
