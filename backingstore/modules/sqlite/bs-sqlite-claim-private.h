/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* Size and time of a file, which change when it is written. */
typedef struct
{
  gint64 size;
  gint64 seconds;
  guint32 nanoseconds;
} BsSqliteStamp;

/* The file of a document, opened before SQLite opens it and closed after that: to close
 * any descriptor of a file drops the locks that SQLite has there. The lock is on the file
 * and not beside it, so that it holds under each of its names. */
typedef struct
{
  char *path;         /* resolved: without a symbolic link */
  int fd;
  gboolean created;   /* by this opening */
  gboolean read_only; /* as was asked for */
  int refusal;        /* why it cannot be written, as an errno, or 0; then it is not locked */
  guint64 device;
  guint64 inode;
  GArray *strays;     /* other descriptors of the file, under the mutex of all claims */
} BsSqliteClaim;

/* With `read_only` the file is not changed, and shares its lock with others that read. */
BsSqliteClaim *bs_sqlite_claim_open       (GFile *file, gboolean read_only, GError **error);
void           bs_sqlite_claim_close      (BsSqliteClaim *self);
/* Fails with BS_ERROR_MOVED if the name does not lead to the file. */
gboolean       bs_sqlite_claim_check      (const BsSqliteClaim *self, GError **error);
gboolean       bs_sqlite_claim_get_stamp  (const BsSqliteClaim *self, BsSqliteStamp *stamp, GError **error);
gboolean       bs_sqlite_stamp_equal      (const BsSqliteStamp *a, const BsSqliteStamp *b);
/* Whether WAL works there: the file system is a local one, with shared memory. */
gboolean       bs_sqlite_claim_is_local   (const BsSqliteClaim *self);
gboolean       bs_sqlite_set_errno        (const char *action, int code, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (BsSqliteClaim, bs_sqlite_claim_close)

G_END_DECLS
