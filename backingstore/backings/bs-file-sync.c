/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "bs-file-sync-private.h"

#include "bs-file-blob-private.h"
#include "bs-file-system-private.h"
#include "bs-file-walk-private.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n-lib.h>
#include <inttypes.h>
#include <unistd.h>

/* So many files are open at once, and written out side by side. */
#define MAX_BATCH 128

/* One sync of one directory.
 *
 * The kernel reports a failed write-back once, by one fsync, and then takes the pages
 * for clean. So a key that a failed call covers has failed until it is written anew, and
 * is uncertain wherever else its file may be linked to. A folder may be synced again
 * after the keys in it were written anew: file systems keep folders in a journal, and
 * write nothing at all once they fail to write that. */
typedef struct
{
  BsFileDirectory *directory;
  BsFileDirectory *scratch;
  BsFileChanges *changes;
  BsFileKeys *uncertain;
  int fd;
  BsFilePending taken;
  BsFilePending again; /* for the next sync */
  int code;            /* of the first failure */
} Sync;

typedef struct
{
  BsKey key;
  int fd;
} OpenBlob;

static void
set_code (Sync *sync, int code)
{
  if (sync->code == 0)
    sync->code = code;
}

static void
fail_file (Sync *sync, const BsKey *key, int code)
{
  set_code (sync, code);
  bs_file_changes_fail (sync->changes, key, code);
  bs_file_keys_add (sync->uncertain, key);
}

/* Fails the keys whose folder is in the set, or all keys. */
static void
fail_keys (Sync *sync, const BsKeyTable *keys, const BsByteSet *shards, int code)
{
  BsKeyTableIter iter = { 0 };
  const BsKey *key;

  set_code (sync, code);
  while (bs_key_table_iter_next (keys, &iter, &key))
    {
      if (shards == NULL || bs_byte_set_contains (shards, ((const guint8 *) key)[0]))
        bs_file_changes_fail (sync->changes, key, code);
    }
}

/* The next sync tries a file again that could not be opened, unless another kind of
 * file stands in its place. */
static void
failed_to_open (Sync *sync, const BsKey *key, int code)
{
  if (code == EBADMSG || code == ELOOP)
    {
      fail_file (sync, key, code);
      return;
    }

  set_code (sync, code);
  bs_file_pending_add (&sync->again, key, BS_FILE_CHANGE_LINKED);
}

/* A missing blob was deleted meanwhile, by this process or another. */
static int
open_linked (Sync *sync, const BsKey *key, OpenBlob *blob)
{
  struct stat status;
  int code = bs_file_open_blob (sync->directory, key, &blob->fd, &status);

  if (code == EMFILE || code == ENFILE || code == ENOENT)
    return code;

  if (code != 0)
    {
      failed_to_open (sync, key, code);
      return code;
    }

  if (bs_file_keys_contains (sync->uncertain, key))
    {
      close (blob->fd);
      fail_file (sync, key, EIO);
      return EIO;
    }

  blob->key = *key;

  return 0;
}

/* Starts to write all files before it waits for any. */
static void
sync_batch (Sync *sync, const OpenBlob *batch, guint n_blobs)
{
  for (guint i = 0; i < n_blobs && n_blobs > 1; i++)
    sync_file_range (batch[i].fd, 0, 0, SYNC_FILE_RANGE_WRITE);

  for (guint i = 0; i < n_blobs; i++)
    {
      int code = TEMP_FAILURE_RETRY (fsync (batch[i].fd)) != 0 ? errno : 0;

      close (batch[i].fd);
      if (code != 0)
        fail_file (sync, &batch[i].key, code);
    }
}

/* FALSE if the process has too many files open for it. */
static gboolean
sync_files (Sync *sync)
{
  OpenBlob batch[MAX_BATCH];
  BsKeyTableIter iter = { 0 };
  const BsKey *key;
  guint n_open = 0;
  int code = 0;

  while (bs_key_table_iter_next (&sync->taken.linked, &iter, &key))
    {
      code = open_linked (sync, key, &batch[n_open]);
      if ((code == EMFILE || code == ENFILE) && n_open > 0)
        {
          sync_batch (sync, batch, n_open);
          n_open = 0;
          code = open_linked (sync, key, &batch[n_open]);
        }
      if (code == EMFILE || code == ENFILE)
        break;

      if (code == 0 && ++n_open == MAX_BATCH)
        {
          sync_batch (sync, batch, n_open);
          n_open = 0;
        }
    }
  sync_batch (sync, batch, n_open);

  return code != EMFILE && code != ENFILE;
}

/* A folder that was moved away took the blobs in it along. */
static void
find_moved (Sync *sync)
{
  for (guint shard = 0; shard < BS_FILE_N_SHARDS; shard++)
    {
      BsByteSet one = { { 0 } };

      if (!sync->taken.everything && !bs_byte_set_contains (&sync->taken.changed, shard))
        continue;
      if (!bs_file_directory_has_moved (sync->directory, shard))
        continue;

      bs_byte_set_add (&one, shard);
      fail_keys (sync, &sync->taken.linked, &one, ESTALE);
      fail_keys (sync, &sync->taken.renamed, &one, ESTALE);
    }
}

/* Returns ENOENT if the folder and all in it has vanished. `opened` says whether it
 * came to an fsync. */
static int
sync_folder (Sync *sync, const char *name, gboolean *opened)
{
  int fd =
    TEMP_FAILURE_RETRY (openat (sync->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  int code = 0;

  *opened = fd >= 0;
  if (fd < 0)
    return errno;

  code = bs_file_system_sync_folder (fd);
  close (fd);

  return code;
}

/* Leaves the names to the next sync. */
static void
keep_keys (Sync *sync, const BsKeyTable *keys, const BsByteSet *shards)
{
  BsKeyTableIter iter = { 0 };
  const BsKey *key;

  while (bs_key_table_iter_next (keys, &iter, &key))
    {
      if (bs_byte_set_contains (shards, ((const guint8 *) key)[0]))
        bs_file_pending_add (&sync->again, key, BS_FILE_CHANGE_RENAMED);
    }
}

static void
sync_shards (Sync *sync)
{
  for (guint shard = 0; shard < BS_FILE_N_SHARDS; shard++)
    {
      BsByteSet one = { { 0 } };
      gboolean opened;
      char name[3];
      int code;

      if (!bs_byte_set_contains (&sync->taken.changed, shard))
        continue;

      bs_file_shard_print_name (shard, name);
      code = sync_folder (sync, name, &opened);
      if (code == 0 || code == ENOENT)
        continue;

      set_code (sync, code);
      bs_byte_set_add (&sync->again.changed, shard);
      bs_byte_set_add (&one, shard);
      if (opened)
        {
          fail_keys (sync, &sync->taken.linked, &one, code);
          fail_keys (sync, &sync->taken.renamed, &one, code);
        }
      else
        {
          keep_keys (sync, &sync->taken.linked, &one);
          keep_keys (sync, &sync->taken.renamed, &one);
        }
    }
}

static void
sync_root (Sync *sync)
{
  gboolean opened;
  int code;

  if (sync->taken.quarantine)
    {
      code = sync_folder (sync, BS_FILE_QUARANTINE_NAME, &opened);
      if (code != 0 && code != ENOENT)
        {
          set_code (sync, code);
          sync->again.quarantine = TRUE;
        }
    }

  code = sync->taken.root ? bs_file_system_sync_folder (sync->fd) : 0;
  if (code == 0)
    return;

  sync->again.root = TRUE;
  sync->again.made = sync->taken.made;
  fail_keys (sync, &sync->taken.linked, &sync->taken.made, code);
  fail_keys (sync, &sync->taken.renamed, &sync->taken.made, code);
}

static int
add_uncertain_entry (BsFileEntry kind,
                     int fd,
                     const char *name,
                     const BsKey *key,
                     gpointer user_data)
{
  if (kind == BS_FILE_ENTRY_BLOB)
    bs_file_keys_add (user_data, key);

  return 0;
}

typedef struct
{
  Sync *sync;
  int code;
} Failing;

static int
fail_entry (BsFileEntry kind, int fd, const char *name, const BsKey *key, gpointer user_data)
{
  const Failing *failing = user_data;

  if (kind == BS_FILE_ENTRY_BLOB)
    bs_file_changes_fail (failing->sync->changes, key, failing->code);

  return 0;
}

/* The error does not name the file: it may be any that was not durable yet, also one in
 * scratch alone, or one added meanwhile. */
static void
fail_everything (Sync *sync, int code)
{
  Failing failing = { sync, code };
  BsFilePending meanwhile;

  if (bs_file_directory_shares_files (sync->directory, sync->scratch) &&
      bs_file_walk (bs_file_directory_get_fd (sync->scratch), NULL, add_uncertain_entry,
                    sync->uncertain) != 0)
    bs_file_keys_add_all (sync->uncertain);

  bs_file_changes_take (sync->changes, &meanwhile);
  if ((sync->taken.everything || meanwhile.everything) &&
      bs_file_walk (sync->fd, NULL, fail_entry, &failing) != 0)
    bs_file_changes_fail_all (sync->changes, code);
  fail_keys (sync, &sync->taken.linked, NULL, code);
  fail_keys (sync, &sync->taken.renamed, NULL, code);
  fail_keys (sync, &meanwhile.linked, NULL, code);
  fail_keys (sync, &meanwhile.renamed, NULL, code);
  bs_file_pending_clear (&meanwhile);

  sync->again.everything = TRUE;
}

/* syncfs() reports errors since the directory was opened. */
static void
sync_file_system (Sync *sync)
{
  if (TEMP_FAILURE_RETRY (syncfs (sync->fd)) != 0)
    fail_everything (sync, errno);
}

static int
sync_entry (BsFileEntry kind, int fd, const char *name, const BsKey *key, gpointer user_data)
{
  Sync *sync = user_data;
  OpenBlob blob;
  gboolean opened;
  int code = 0;

  if (kind == BS_FILE_ENTRY_SHARD)
    code = sync_folder (sync, name, &opened);
  else if (kind == BS_FILE_ENTRY_BLOB)
    code = open_linked (sync, key, &blob);
  if (kind == BS_FILE_ENTRY_BLOB && code == 0)
    sync_batch (sync, &blob, 1);

  /* A folder that has failed or is gone need not stop the others. */
  return code == EMFILE || code == ENFILE || (kind == BS_FILE_ENTRY_SHARD && code != ENOENT) ? code
                                                                                             : 0;
}

/* Each file and folder is synced by itself where syncfs() may not reach the disk. */
static void
sync_each (Sync *sync)
{
  int code;

  sync->taken.quarantine = TRUE;
  sync->taken.root = TRUE;
  code = bs_file_walk (sync->fd, NULL, sync_entry, sync);
  if (code == 0)
    {
      sync_root (sync);
      return;
    }

  set_code (sync, code);
  sync->again.everything = TRUE;
}

/* Without descriptors nothing has been synced, nor has failed. */
static void
put_off (Sync *sync)
{
  set_code (sync, EMFILE);
  bs_file_changes_restore (sync->changes, &sync->taken);
}

/* Forgets failed keys that another program removed. Returns how many are left, and one
 * of them. */
static guint64
count_failed (Sync *sync, BsKey *one)
{
  BsKeyTable keys = { 0 };
  BsKeyTableIter iter = { 0 };
  const BsKey *key;
  guint64 n_failed = 0;

  bs_file_keys_copy (&sync->changes->failed, &keys);
  while (bs_key_table_iter_next (&keys, &iter, &key))
    {
      g_auto (BsFileLocation) location = { 0 };
      struct stat status;
      int code = bs_file_directory_locate (sync->directory, key, FALSE, &location);

      if (code == 0 && fstatat (location.fd, location.name, &status, AT_SYMLINK_NOFOLLOW) != 0)
        code = errno;

      if (code == ENOENT)
        {
          bs_file_keys_remove (&sync->changes->failed, key);
          continue;
        }
      *one = *key;
      n_failed++;
    }
  bs_key_table_clear (&keys);

  return n_failed;
}

static gboolean
report (Sync *sync, GError **error)
{
  char string[BS_KEY_STRING_SIZE];
  guint64 n_failed = 0;
  gboolean all = FALSE;
  BsKey key;
  int code;

  if (g_atomic_int_get (&sync->changes->failed.any))
    {
      n_failed = count_failed (sync, &key);
      all = bs_file_keys_is_all (&sync->changes->failed);
    }

  if (n_failed == 0 && !all && sync->code == 0)
    return TRUE;

  g_mutex_lock (&sync->changes->mutex);
  code = sync->code != 0 ? sync->code : sync->changes->failed_code;
  g_mutex_unlock (&sync->changes->mutex);

  if (n_failed == 0)
    {
      bs_file_directory_set_error (sync->directory, code, error);
      return FALSE;
    }

  bs_key_print (&key, string);
  g_set_error (error, G_IO_ERROR, bs_file_get_error_code (code),
               _ ("%" PRIu64 " blobs are not durable, and must be persisted again or deleted; "
                  "one is %s: %s"),
               n_failed, string, g_strerror (code));

  return FALSE;
}

gboolean
bs_file_sync (BsFileDirectory *directory, GError **error)
{
  Sync sync = { 0 };
  gboolean synced;
  gboolean local;

  sync.directory = directory;
  sync.scratch = bs_file_directory_get_apart (directory);
  sync.changes = bs_file_directory_get_changes (directory);
  sync.uncertain = bs_file_directory_get_uncertain (sync.scratch);
  sync.fd = bs_file_directory_get_fd (directory);
  bs_file_changes_take (sync.changes, &sync.taken);

  find_moved (&sync);
  local = bs_file_system_is_local (sync.fd);
  if (local && bs_file_pending_is_many (&sync.taken))
    {
      sync_file_system (&sync);
    }
  else if (sync.taken.everything)
    {
      sync_each (&sync);
    }
  else if (!sync_files (&sync))
    {
      if (local)
        sync_file_system (&sync);
      else
        put_off (&sync);
    }
  else
    {
      sync_shards (&sync);
      sync_root (&sync);
    }

  bs_file_changes_restore (sync.changes, &sync.again);
  bs_file_pending_clear (&sync.taken);

  synced = report (&sync, error);
  if (synced)
    bs_file_changes_settle (sync.changes, sync.fd);

  return synced;
}
