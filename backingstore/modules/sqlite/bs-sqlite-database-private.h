/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-sqlite-sidecar-private.h"

#include <sqlite3.h>

G_BEGIN_DECLS

typedef enum
{
  BS_SQLITE_BEGIN,
  BS_SQLITE_COMMIT,
  BS_SQLITE_ROLLBACK,
  BS_SQLITE_SET_STATE,
  BS_SQLITE_ADD_BLOB,
  BS_SQLITE_ADD_NAME,
  BS_SQLITE_DELETE_BLOB,
  BS_SQLITE_DELETE_PARTS,
  BS_SQLITE_DELETE_NAME,
  BS_SQLITE_ADD_DROPPED,
  BS_SQLITE_DELETE_DROPPED,
  BS_SQLITE_ADD_QUARANTINE,
  BS_SQLITE_DELETE_QUARANTINE,
  BS_SQLITE_SET_ROOT,
  BS_SQLITE_GET_ROOT,
  BS_SQLITE_GET_BLOB,
  BS_SQLITE_GET_FREE,
  BS_SQLITE_GET_PAGES,
  BS_SQLITE_VACUUM,
  BS_SQLITE_N_STATEMENTS,
} BsSqliteStatement;

typedef enum
{
  BS_SQLITE_WRITE,
  BS_SQLITE_READ,
  BS_SQLITE_IMMUTABLE, /* of a file that nobody can write: without a lock */
} BsSqliteAccess;

/* A connection, for one thread at a time. */
typedef struct
{
  sqlite3 *database;
  sqlite3_stmt *statements[BS_SQLITE_N_STATEMENTS];
} BsSqliteConnection;

/* Finds out whether the file of a claim is empty. Fails if it is no document of this version. */
gboolean            bs_sqlite_database_check   (const BsSqliteClaim *claim, gboolean *empty, GError **error);
/* Makes the file of a claim an empty document. It is none until the last write. */
gboolean            bs_sqlite_database_create  (const BsSqliteClaim *claim, GError **error);

BsSqliteConnection *bs_sqlite_connection_open  (const BsSqliteClaim *claim, BsSqliteAccess access, GError **error);
void                bs_sqlite_connection_close (BsSqliteConnection *self);
/* Returns the statement, to be bound and run. */
sqlite3_stmt       *bs_sqlite_connection_get   (BsSqliteConnection *self, BsSqliteStatement statement, GError **error);
/* Runs a statement that was got, to its end. */
gboolean            bs_sqlite_connection_run   (BsSqliteConnection *self, BsSqliteStatement statement, GError **error);
/* Runs a statement whose first value is an id; others are bound already. */
gboolean            bs_sqlite_connection_run_with_id (BsSqliteConnection *self, BsSqliteStatement statement, gint64 id, GError **error);
/* Runs a statement without values to bind. */
gboolean            bs_sqlite_connection_call  (BsSqliteConnection *self, BsSqliteStatement statement, GError **error);
gboolean            bs_sqlite_connection_exec  (BsSqliteConnection *self, const char *sql, GError **error);
/* Gives the first column of the first row as text; NULL where there is no row, or nothing in it. */
gboolean            bs_sqlite_connection_ask   (BsSqliteConnection *self, const char *sql, char **answer, GError **error);
/* Brings the log home. `waits` for readers that are in the way. */
gboolean            bs_sqlite_connection_checkpoint (BsSqliteConnection *self, int mode, gboolean waits, GError **error);
gboolean            bs_sqlite_connection_fail  (BsSqliteConnection *self, GError **error);
/* Larger values fail from now on, before memory is taken for them; or none. */
void                bs_sqlite_connection_expect_small (BsSqliteConnection *self, gboolean small);
void                bs_sqlite_bind_bytes       (sqlite3_stmt *statement, int index, gconstpointer data, gsize size);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (BsSqliteConnection, bs_sqlite_connection_close)

G_END_DECLS
