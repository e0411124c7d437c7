/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "base/bs-key-private.h"

#include <gio/gio.h>

G_BEGIN_DECLS

/* Names in a directory of our layout, beside the shard folders. */
#define BS_FILE_MARKER_NAME ".backingstore"
#define BS_FILE_LOCK_NAME ".lock"
#define BS_FILE_ROOT_NAME "root"
#define BS_FILE_DIRTY_NAME ".dirty"
#define BS_FILE_QUARANTINE_NAME ".quarantine"
#define BS_FILE_TEMPORARY_PREFIX ".tmp-"
#define BS_FILE_TEMPORARY_SIZE (sizeof BS_FILE_TEMPORARY_PREFIX + BS_KEY_HEX_LENGTH)

typedef enum
{
  BS_FILE_ENTRY_BLOB,
  BS_FILE_ENTRY_SHARD,          /* after all that is in it */
  BS_FILE_ENTRY_LEFTOVER,       /* a temporary file */
  BS_FILE_ENTRY_OURS,
  BS_FILE_ENTRY_FOREIGN,
} BsFileEntry;

/* Returns an errno to stop with, or 0. `fd` is the folder where `name` stands;
 * only a blob has a key. */
typedef int (*BsFileWalkFunc) (BsFileEntry kind, int fd, const char *name, const BsKey *key, gpointer user_data);

/* Visit every entry of one shard folder, of the directory without its shard folders, and
 * of all. A missing folder is empty. Return 0 or an errno. */
int bs_file_walk_shard (int fd, const char *name, GCancellable *cancellable, BsFileWalkFunc func, gpointer user_data);
int bs_file_walk_top (int fd, GCancellable *cancellable, BsFileWalkFunc func, gpointer user_data);
int bs_file_walk (int fd, GCancellable *cancellable, BsFileWalkFunc func, gpointer user_data);

G_END_DECLS
