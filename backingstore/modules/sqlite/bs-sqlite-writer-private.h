/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-sqlite-database-private.h"

G_BEGIN_DECLS

/* The one connection of a document that writes: transactions, checkpoints and syncs. For
 * one thread at a time. */
typedef struct
{
  BsSqliteClaim *claim;           /* borrowed */
  BsSqliteConnection *connection; /* NULL if it is broken and could not be opened anew */
  int broken;                     /* atomic: SQLite and the file disagree after an error */
  int in_doubt;                   /* atomic: a change that failed may be there */

  /* Readers hold it for reading. Held for writing where they would be in the way: for a
   * transaction with a rollback journal, and for the switch to a log. */
  GRWLock access;

  gboolean prepared;    /* for the first change since it was opened */
  gboolean logs;        /* in WAL mode; else with a rollback journal */
  gboolean unsynced;    /* something was committed that is not durable */
  gboolean sync_failed; /* and what it should have covered is only in memory */
  gboolean overwritten; /* the file was changed by somebody else */
  gboolean homing;      /* the commit is part of a checkpoint */
  gboolean held_up;     /* the last checkpoint failed, after it had waited for readers */
  gboolean moved;       /* the commit was refused since the name leads elsewhere */
  guint n_frames;       /* in the log */
  gboolean log_begun;   /* the log has a record */
  BsSqliteRecord record;
  guint64 serial;       /* of the last record that was written, or was to be */
  BsSqliteStamp stamp;  /* of the file as it was left, if known */
  gboolean stamp_known;
  int reserve;          /* room that deletions may have on a full disk; or -1 */
} BsSqliteWriter;

/* A function to run inside a transaction. */
typedef gboolean (*BsSqliteWriterFunc) (BsSqliteWriter *self, gpointer data, GError **error);

/* Takes `connection` over. */
void     bs_sqlite_writer_init       (BsSqliteWriter *self, BsSqliteClaim *claim, BsSqliteConnection *connection);
/* Opens a broken connection anew. */
gboolean bs_sqlite_writer_mend       (BsSqliteWriter *self, GError **error);
/* Takes in the log that an earlier process has left, if there is one. */
gboolean bs_sqlite_writer_recover    (BsSqliteWriter *self, GError **error);
/* Brings what was committed home, and leaves no file beside the database. */
void     bs_sqlite_writer_close      (BsSqliteWriter *self);
gboolean bs_sqlite_writer_transact   (BsSqliteWriter *self, BsSqliteWriterFunc func, gpointer data, GError **error);
/* A transaction that is durable when it returns. */
gboolean bs_sqlite_writer_transact_durably (BsSqliteWriter *self, BsSqliteWriterFunc func, gpointer data, GError **error);
/* Makes all that was committed before durable. */
gboolean bs_sqlite_writer_sync       (BsSqliteWriter *self, GError **error);
/* Moves what is in the log into the file, and empties the log. */
gboolean bs_sqlite_writer_checkpoint (BsSqliteWriter *self, GError **error);
/* Gives back the room that is set aside. Returns whether there was some. */
gboolean bs_sqlite_writer_give_room  (BsSqliteWriter *self);

G_END_DECLS
