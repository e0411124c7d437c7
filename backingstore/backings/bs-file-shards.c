/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "bs-file-shards-private.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* How many shard folders are open in the process, atomic. */
static int n_open;

void
bs_file_shards_init (BsFileShards *self)
{
  g_mutex_init (&self->mutex);
}

void
bs_file_shards_clear (BsFileShards *self)
{
  for (guint shard = 0; shard < BS_FILE_N_SHARDS; shard++)
    {
      if (self->fds[shard] != 0)
        {
          close (self->fds[shard] - 1);
          g_atomic_int_add (&n_open, -1);
        }
    }
  for (guint i = 0; self->lost != NULL && i < self->lost->len; i++)
    {
      close (g_array_index (self->lost, int, i));
      g_atomic_int_add (&n_open, -1);
    }
  g_clear_pointer (&self->lost, g_array_unref);
  g_mutex_clear (&self->mutex);
}

/* All directories together may keep a quarter of the process's descriptors. */
static gboolean
reserve_fd (void)
{
  static gsize max_shards;

  if (g_once_init_enter (&max_shards))
    {
      struct rlimit limit = { 0 };
      gsize max = BS_FILE_N_SHARDS;

      if (getrlimit (RLIMIT_NOFILE, &limit) == 0)
        max = MIN (limit.rlim_cur / 4, 16 * BS_FILE_N_SHARDS);
      g_once_init_leave (&max_shards, max + 1);
    }

  if ((gsize) g_atomic_int_add (&n_open, 1) < max_shards - 1)
    return TRUE;
  g_atomic_int_add (&n_open, -1);

  return FALSE;
}

int
bs_file_shards_open (BsFileShards *self, int directory, guint shard, int *fd, gboolean *owned)
{
  const gboolean reserved = reserve_fd ();
  char name[3];
  int new_fd, code;

  bs_file_shard_print_name (shard, name);
  new_fd =
    TEMP_FAILURE_RETRY (openat (directory, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  code = new_fd < 0 ? errno : 0;

  if (code == 0 && !reserved)
    {
      *fd = new_fd;
      *owned = TRUE;
      return 0;
    }

  if (code == 0 && g_atomic_int_compare_and_exchange (&self->fds[shard], 0, new_fd + 1))
    return 0;

  /* Another thread was first, and its descriptor serves as well. */
  if (code == 0)
    close (new_fd);
  if (reserved)
    g_atomic_int_add (&n_open, -1);

  return code;
}

int
bs_file_shard_check (int directory, guint shard)
{
  char name[3];
  char target;

  bs_file_shard_print_name (shard, name);
  if (readlinkat (directory, name, &target, sizeof target) >= 0)
    return ELOOP;

  return errno == EINVAL ? 0 : errno;
}

/* Returns ENOENT if the name does not lead to the open folder. The folder's count of links
 * tells nothing: on an overlay file system it may be one for ever. */
static int
check_place (int directory, guint shard, int fd)
{
  struct stat ours;
  struct stat there;
  char name[3];

  bs_file_shard_print_name (shard, name);
  if (fstat (fd, &ours) != 0 || fstatat (directory, name, &there, AT_SYMLINK_NOFOLLOW) != 0)
    return errno;

  return there.st_dev == ours.st_dev && there.st_ino == ours.st_ino ? 0 : ENOENT;
}

/* Keeps the descriptor open. Called with the mutex held. */
static void
lose_locked (BsFileShards *self, guint shard, int fd)
{
  if (!g_atomic_int_compare_and_exchange (&self->fds[shard], fd + 1, 0))
    return;

  if (self->lost == NULL)
    self->lost = g_array_new (FALSE, FALSE, sizeof (int));
  g_array_append_val (self->lost, fd);
}

static void
lose (BsFileShards *self, guint shard, int fd)
{
  g_mutex_lock (&self->mutex);
  lose_locked (self, shard, fd);
  g_mutex_unlock (&self->mutex);
}

void
bs_file_shards_lose_all (BsFileShards *self)
{
  g_mutex_lock (&self->mutex);
  for (guint shard = 0; shard < BS_FILE_N_SHARDS; shard++)
    {
      int fd = bs_file_shards_get (self, shard);

      if (fd >= 0)
        lose_locked (self, shard, fd);
    }
  g_mutex_unlock (&self->mutex);
}

gboolean
bs_file_shards_lost (BsFileShards *self, int directory, guint shard, int fd)
{
  if (check_place (directory, shard, fd) == 0)
    return FALSE;

  lose (self, shard, fd);

  return TRUE;
}

gboolean
bs_file_shards_have_moved (BsFileShards *self, int directory, guint shard)
{
  int fd = bs_file_shards_get (self, shard);
  struct stat status;

  /* A removed folder holds no blobs. */
  if (fd < 0 || check_place (directory, shard, fd) != ENOENT || fstat (fd, &status) != 0 ||
      status.st_nlink == 0)
    return FALSE;

  lose (self, shard, fd);

  return TRUE;
}
