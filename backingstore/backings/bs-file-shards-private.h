/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

#define BS_FILE_N_SHARDS 256

/* Descriptors of a directory's shard folders. A descriptor saves a look-up, and never leads
 * through a symbolic link. It stays open as long as the directory: another thread may be
 * using it. Safe to use from any thread; `directory` is the descriptor of the directory. A
 * function that returns an int returns 0 or an errno. */
typedef struct
{
  int fds[BS_FILE_N_SHARDS]; /* atomic: + 1, or 0 */

  GMutex mutex;
  GArray *lost;              /* under the mutex: descriptors of folders that vanished */
} BsFileShards;

void     bs_file_shards_init        (BsFileShards *self);
void     bs_file_shards_clear       (BsFileShards *self);

/* Returns -1 if the folder is not open. */
static inline int
bs_file_shards_get (BsFileShards *self, guint shard)
{
  return g_atomic_int_get (&self->fds[shard]) - 1;
}

/* Opens the folder for good. If too many are open, sets `owned`, and `fd` to a descriptor that
 * is the caller's alone. */
int      bs_file_shards_open        (BsFileShards *self, int directory, guint shard, int *fd, gboolean *owned);
/* Whether the folder's name does not lead to the descriptor any more. Then the next call opens
 * the folder that has its name. */
gboolean bs_file_shards_lost        (BsFileShards *self, int directory, guint shard, int fd);
/* Whether the folder was moved away, with blobs in it. The same. */
gboolean bs_file_shards_have_moved  (BsFileShards *self, int directory, guint shard);
/* The next calls open all folders anew. */
void     bs_file_shards_lose_all    (BsFileShards *self);

/* Returns ELOOP if a symbolic link stands in the folder's place. */
int      bs_file_shard_check        (int directory, guint shard);

/* Prints the name of the shard's folder. */
static inline void
bs_file_shard_print_name (guint shard, char name[3])
{
  const char hex[] = "0123456789abcdef";

  name[0] = hex[shard >> 4];
  name[1] = hex[shard & 15];
  name[2] = '\0';
}

G_END_DECLS
