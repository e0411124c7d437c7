/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "bs-file-presence-private.h"

#include "bs-file-system-private.h"
#include "bs-file-walk-private.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Two changes of a folder that are so close may leave it the same time where the file system
 * rounds its times, to two seconds on FAT, or a server has another clock. */
#define SECOND G_GINT64_CONSTANT (1000000000)
#define GRANULARITY (5 * SECOND)

typedef struct
{
  BsFileDirectory *directory;
  BsFileShardTimes now; /* from before any folder is listed */
  BsByteSet changed;
  BsKeyTable expected; /* in the changed folders, and not listed yet */
} Search;

static gint64
get_nanoseconds (const struct timespec *time)
{
  return time->tv_sec * SECOND + time->tv_nsec;
}

/* The clock from which local file systems take the time of a change. */
static gint64
read_clock (void)
{
  struct timespec now;

  clock_gettime (CLOCK_REALTIME_COARSE, &now);

  return get_nanoseconds (&now);
}

/* Whether the next change of the folder leaves it another time. Ext4 has whole seconds where
 * its inodes are small. */
static gboolean
is_settled (gint64 time, gint64 now, gboolean is_local)
{
  return time < (is_local && time % SECOND != 0 ? now : now - GRANULARITY);
}

/* A program that restores a folder gives it its old time of modification, and no program the
 * time of its last change of any kind, which old versions of FAT do not have. */
static void
note_folder (BsFileShardTimes *self,
             guint shard,
             const struct stat *status,
             gint64 now,
             gboolean is_local)
{
  const gint64 modified = get_nanoseconds (&status->st_mtim);
  const gint64 changed = get_nanoseconds (&status->st_ctim);
  const gboolean settled =
    is_settled (modified, now, is_local) && is_settled (changed, now, is_local);

  self->inodes[shard] = status->st_ino;
  self->modified[shard] = settled ? modified : 0;
  self->changed[shard] = changed;
}

/* Whether the folder that is held open is as it was when its name led there: then the name
 * leads there still, since a rename of the folder changes a time, and need not be looked up.
 * For local file systems. */
static gboolean
is_as_seen (BsFileDirectory *directory, guint shard, const BsFileShardTimes *seen)
{
  const int fd = bs_file_directory_peek_shard (directory, shard);
  struct stat status;

  return fd >= 0 && seen->modified[shard] != 0 && fstat (fd, &status) == 0 &&
         status.st_ino == seen->inodes[shard] &&
         get_nanoseconds (&status.st_mtim) == seen->modified[shard] &&
         get_nanoseconds (&status.st_ctim) == seen->changed[shard];
}

int
bs_file_shard_times_read (BsFileShardTimes *self, BsFileDirectory *directory)
{
  const BsFileShardTimes *seen = bs_file_directory_get_shard_times (directory);
  const int fd = bs_file_directory_get_fd (directory);
  const gboolean is_local = bs_file_system_is_local (fd);
  const gint64 now = read_clock ();

  memset (self, 0, sizeof *self);
  for (guint shard = 0; shard < BS_FILE_N_SHARDS; shard++)
    {
      struct stat status;
      char name[3];

      if (is_local && is_as_seen (directory, shard, seen))
        {
          self->inodes[shard] = seen->inodes[shard];
          self->modified[shard] = seen->modified[shard];
          self->changed[shard] = seen->changed[shard];
          continue;
        }

      bs_file_shard_print_name (shard, name);
      if (fstatat (fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0)
        note_folder (self, shard, &status, now, is_local);
      else if (errno != ENOENT)
        return errno;
    }

  return 0;
}

static void
find_changed (Search *search)
{
  const BsFileShardTimes *seen = bs_file_directory_get_shard_times (search->directory);
  BsFileChanges *changes = bs_file_directory_get_changes (search->directory);
  const BsFileShardTimes *now = &search->now;

  for (guint shard = 0; shard < BS_FILE_N_SHARDS; shard++)
    {
      if (now->modified[shard] != 0 && now->modified[shard] == seen->modified[shard] &&
          now->changed[shard] == seen->changed[shard] && now->inodes[shard] == seen->inodes[shard])
        continue;

      bs_byte_set_add (&search->changed, shard);
      /* Missing keys come into the folder that has the name, not into one that had it. A sync
       * of changes in that one has to fail yet. */
      if (!bs_file_changes_is_changed (changes, shard))
        bs_file_directory_has_moved (search->directory, shard);
    }
}

static int
note_present (BsFileEntry kind, int fd, const char *name, const BsKey *key, gpointer user_data)
{
  Search *search = user_data;

  if (kind == BS_FILE_ENTRY_BLOB)
    bs_key_table_remove (&search->expected, key, bs_key_hash (key));

  return 0;
}

static int
list_changed (Search *search, GCancellable *cancellable)
{
  const int fd = bs_file_directory_get_fd (search->directory);
  int code = 0;

  for (guint shard = 0; shard < BS_FILE_N_SHARDS && code == 0; shard++)
    {
      char name[3];

      if (!bs_byte_set_contains (&search->changed, shard) || search->now.inodes[shard] == 0)
        continue;

      bs_file_shard_print_name (shard, name);
      code = bs_file_walk_shard (fd, name, cancellable, note_present, search);
    }

  return code;
}

static void
add_missing (const Search *search, BsKeyTable *missing)
{
  BsKeyTableIter iter = { 0 };
  const BsKey *key;

  while (bs_key_table_iter_next (&search->expected, &iter, &key))
    bs_key_table_add (missing, key, bs_key_hash (key));
}

static int
search_changed (Search *search,
                BsExpectFunc expect,
                gpointer expect_data,
                BsKeyTable *missing,
                GCancellable *cancellable)
{
  int code;

  /* A key that comes meanwhile is listed, and not expected. */
  expect (expect_data, &search->changed, &search->expected);
  code = list_changed (search, cancellable);
  if (code == 0)
    add_missing (search, missing);
  bs_key_table_clear (&search->expected);

  return code;
}

int
bs_file_find_missing (BsFileDirectory *directory,
                      BsExpectFunc expect,
                      gpointer expect_data,
                      BsKeyTable *missing,
                      GCancellable *cancellable)
{
  Search search = { .directory = directory };
  int code = bs_file_shard_times_read (&search.now, directory);

  if (code != 0)
    return code;

  find_changed (&search);
  if (!bs_byte_set_is_empty (&search.changed))
    code = search_changed (&search, expect, expect_data, missing, cancellable);
  if (code == 0)
    *bs_file_directory_get_shard_times (directory) = search.now;

  return code;
}
