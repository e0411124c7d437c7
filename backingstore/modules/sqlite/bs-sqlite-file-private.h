/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-sqlite-hash-private.h"

#include <gio/gio.h>

G_BEGIN_DECLS

/* Contents above this size are never held in memory, unless somebody loads one. */
#define BS_SQLITE_MAX_HELD (4 * 1024 * 1024)
#define BS_SQLITE_PART_SIZE (256 * 1024)

/* An unlinked file that has one large content of primary storage, or of an open stream. For one
 * thread at a time until it is whole. */
typedef struct
{
  int fd;
  gint64 size;
  guint64 hash;           /* once it is whole */
  BsSqliteHasher *hasher; /* NULL once it is whole */
} BsSqliteFile;

/* Fails if a document keeps no content of that size. */
gboolean      bs_sqlite_file_check_size (gint64 size, GError **error);
BsSqliteFile *bs_sqlite_file_new    (const char *directory, GError **error);
void          bs_sqlite_file_free   (BsSqliteFile *self);
/* Fails if the content gets too large for a document. */
gboolean      bs_sqlite_file_append (BsSqliteFile *self, gconstpointer data, gsize size, GError **error);
/* Nothing more is appended. */
void          bs_sqlite_file_end    (BsSqliteFile *self);
/* Fills the buffer from a place within the content. */
gboolean      bs_sqlite_file_read   (const BsSqliteFile *self, goffset offset, gpointer buffer, gsize size, GError **error);
GBytes       *bs_sqlite_file_load   (const BsSqliteFile *self, GError **error);
/* The stream outlives the file. */
GInputStream *bs_sqlite_file_open   (const BsSqliteFile *self, GCancellable *cancellable, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (BsSqliteFile, bs_sqlite_file_free)

G_END_DECLS
