/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-sqlite-rows-private.h"

#include <gio/gio.h>

G_BEGIN_DECLS

/* An unlinked file with the blobs of primary storage that no document has: nothing is left
 * of it when the process is gone. Safe to use from any thread. */
typedef struct
{
  char *directory; /* where the file is made; set once, before the first blob */

  GMutex mutex;

  /* under the mutex */
  int fd;           /* -1 until the first blob */
  goffset end;
  gsize n_blobs;
  GHashTable *free; /* allocated size → GArray of offsets */
} BsSqliteScratch;

/* Where in the file a blob is. */
typedef struct
{
  goffset offset;
  gsize size;
} BsSqliteExtent;

void     bs_sqlite_scratch_init  (BsSqliteScratch *self);
void     bs_sqlite_scratch_clear (BsSqliteScratch *self);
/* Gives the file back. No blob is in use. */
void     bs_sqlite_scratch_empty (BsSqliteScratch *self);
gboolean bs_sqlite_scratch_write (BsSqliteScratch *self, GBytes *bytes, BsSqliteExtent *extent, GError **error);
GBytes  *bs_sqlite_scratch_read  (BsSqliteScratch *self, const BsSqliteExtent *extent, GError **error);
void     bs_sqlite_scratch_free  (BsSqliteScratch *self, const BsSqliteExtent *extent);

/* Opens a new file that has no name. Returns -1 with errno. */
int      bs_sqlite_scratch_open_unlinked (const char *directory);

G_END_DECLS
