/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "bs-file-presence-private.h"

#include "bs-file-system-private.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* Two changes of a folder that are so close may leave it the same time: the kernel's tick,
 * or two seconds of FAT and the difference of a server's clock. */
#define LOCAL_GRANULARITY (50 * G_GINT64_CONSTANT (1000000))
#define OTHER_GRANULARITY (5 * G_GINT64_CONSTANT (1000000000))

typedef struct
{
  BsFileDirectory *directory;
  BsFileShardSet listed;
  BsKeyTable present; /* in the listed folders */
} Search;

static int
add_present (BsFileEntry kind,
             int fd,
             const char *name,
             const BsKey *key,
             gpointer user_data)
{
  Search *search = user_data;

  if (kind == BS_FILE_ENTRY_BLOB)
    bs_key_table_add (&search->present, key, bs_key_hash (key));

  return 0;
}

static gint64
get_time (const struct stat *status)
{
  return status->st_mtim.tv_sec * G_GINT64_CONSTANT (1000000000) + status->st_mtim.tv_nsec;
}

static gboolean
is_seen (const BsFileShardTimes *seen,
         guint shard,
         const struct stat *status)
{
  return seen->times[shard] != 0 && seen->times[shard] == get_time (status) && seen->inodes[shard] == status->st_ino;
}

/* The status is from before the folder was listed. A change that may leave it the same time
 * keeps the folder unseen. */
static void
set_seen (BsFileDirectory *directory,
          guint shard,
          const struct stat *status)
{
  const gboolean local = bs_file_system_is_local (bs_file_directory_get_fd (directory));
  const gint64 granularity = local ? LOCAL_GRANULARITY : OTHER_GRANULARITY;
  BsFileShardTimes *seen = bs_file_directory_get_shard_times (directory);
  const gint64 time = get_time (status);

  seen->times[shard] = time < g_get_real_time () * 1000 - granularity ? time : 0;
  seen->inodes[shard] = status->st_ino;
}

/* Lists the folder if it may have changed since it was last listed. */
static int
look_at_shard (Search *search,
               guint shard,
               GCancellable *cancellable)
{
  const int fd = bs_file_directory_get_fd (search->directory);
  struct stat status;
  char name[3];
  int code;

  bs_file_shard_print_name (shard, name);
  if (fstatat (fd, name, &status, AT_SYMLINK_NOFOLLOW) != 0)
    {
      if (errno != ENOENT)
        return errno;
      memset (&status, 0, sizeof status);
    }
  else if (is_seen (bs_file_directory_get_shard_times (search->directory), shard, &status))
    return 0;

  code = bs_file_walk_shard (fd, name, cancellable, add_present, search);
  if (code != 0)
    return code;

  bs_file_shard_set_add (&search->listed, shard);
  set_seen (search->directory, shard, &status);

  return 0;
}

static void
add_missing (const Search *search,
             const BsKeyTable *expected,
             BsKeyTable *missing)
{
  BsKeyTableIter iter = { 0 };
  const BsKey *key;

  while (bs_key_table_iter_next (expected, &iter, &key))
    {
      guint64 hash = bs_key_hash (key);

      if (bs_file_shard_set_contains (&search->listed, ((const guint8 *) key)[0]) &&
          !bs_key_table_contains (&search->present, key, hash))
        bs_key_table_add (missing, key, hash);
    }
}

int
bs_file_find_missing (BsFileDirectory *directory,
                      const BsKeyTable *expected,
                      BsKeyTable *missing,
                      GCancellable *cancellable)
{
  Search search = { .directory = directory };
  int code = 0;

  for (guint shard = 0; shard < BS_FILE_N_SHARDS && code == 0; shard++)
    code = look_at_shard (&search, shard, cancellable);
  if (code == 0)
    add_missing (&search, expected, missing);
  bs_key_table_clear (&search.present);

  return code;
}
