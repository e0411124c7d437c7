/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "bs-file-sync-private.h"

#include "bs-file-blob-private.h"
#include "bs-file-walk-private.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* So many files are open at once, being written out side by side. */
#define MAX_BATCH 128

/* One sync of one directory.
 *
 * The kernel reports a failed write-back once, by one fsync, and then takes what
 * it could not write for clean. So a key that a failed call covers counts as
 * broken until it is written anew, and as suspect wherever else its file may be
 * linked to. A folder is another matter: file systems keep it in a journal, and
 * one that fails to write its journal writes nothing at all from then on. So it
 * is synced again, after the keys in it were written anew. */
typedef struct
{
  BsFileDirectory *directory;
  BsFileDirectory *scratch;
  BsFileChanges *changes;
  BsFileDoubts *suspects;
  int fd;
  BsFilePending taken;
  BsFilePending again;          /* for the next sync */
  int code;                     /* of the first failure */
} Sync;

typedef struct
{
  BsKey key;
  int fd;
} OpenBlob;

static void
failed (Sync *sync,
        int code)
{
  if (sync->code == 0)
    sync->code = code;
}

static void
break_file (Sync *sync,
            const BsKey *key,
            int code)
{
  failed (sync, code);
  bs_file_changes_break (sync->changes, key, code);
  bs_file_doubts_add (sync->suspects, key);
}

/* Those of the keys whose folder is in the set, or all. */
static void
break_keys (Sync *sync,
            const BsKeyTable *keys,
            const BsFileShardSet *shards,
            int code)
{
  BsKeyTableIter iter = { 0 };
  const BsKey *key;

  failed (sync, code);
  while (bs_key_table_iter_next (keys, &iter, &key))
    {
      if (shards == NULL || bs_file_shard_set_contains (shards, ((const guint8 *) key)[0]))
        bs_file_changes_break (sync->changes, key, code);
    }
}

/* What could not be opened for now is as durable as it was, and is tried again by
 * the next sync. Where something else stands in its place there is nothing to
 * try. */
static void
failed_to_open (Sync *sync,
                const BsKey *key,
                int code)
{
  if (code == EBADMSG || code == ELOOP)
    {
      break_file (sync, key, code);
      return;
    }

  failed (sync, code);
  bs_file_pending_add (&sync->again, key, BS_FILE_CHANGE_LINKED);
}

/* What is not there was deleted meanwhile, by us or by somebody else. */
static int
open_linked (Sync *sync,
             const BsKey *key,
             OpenBlob *blob)
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

  if (bs_file_doubts_contains (sync->suspects, key))
    {
      close (blob->fd);
      break_file (sync, key, EIO);
      return EIO;
    }

  blob->key = *key;

  return 0;
}

/* Writing starts on all before any is waited for. */
static void
sync_batch (Sync *sync,
            const OpenBlob *batch,
            guint n_blobs)
{
  for (guint i = 0; i < n_blobs && n_blobs > 1; i++)
    sync_file_range (batch[i].fd, 0, 0, SYNC_FILE_RANGE_WRITE);

  for (guint i = 0; i < n_blobs; i++)
    {
      int code = TEMP_FAILURE_RETRY (fsync (batch[i].fd)) != 0 ? errno : 0;

      close (batch[i].fd);
      if (code != 0)
        break_file (sync, &batch[i].key, code);
    }
}

/* FALSE if too many files are open in the process to do it this way. */
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

/* Somebody may have moved a folder away, with what was put into it since. */
static void
find_moved (Sync *sync)
{
  for (guint shard = 0; shard < BS_FILE_N_SHARDS; shard++)
    {
      BsFileShardSet one = { { 0 } };

      if (!sync->taken.everything && !bs_file_shard_set_contains (&sync->taken.changed, shard))
        continue;
      if (!bs_file_directory_has_moved (sync->directory, shard))
        continue;

      bs_file_shard_set_add (&one, shard);
      break_keys (sync, &sync->taken.linked, &one, ESTALE);
      break_keys (sync, &sync->taken.renamed, &one, ESTALE);
    }
}

/* ENOENT if the folder has vanished, and all that was in it. `opened` says whether
 * it came to a sync at all. */
static int
sync_folder (Sync *sync,
             const char *name,
             gboolean *opened)
{
  int fd = TEMP_FAILURE_RETRY (openat (sync->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  int code = 0;

  *opened = fd >= 0;
  if (fd < 0)
    return errno;

  if (TEMP_FAILURE_RETRY (fsync (fd)) != 0)
    code = errno;
  close (fd);

  return code;
}

/* Their names are still to be made durable. */
static void
keep_keys (Sync *sync,
           const BsKeyTable *keys,
           const BsFileShardSet *shards)
{
  BsKeyTableIter iter = { 0 };
  const BsKey *key;

  while (bs_key_table_iter_next (keys, &iter, &key))
    {
      if (bs_file_shard_set_contains (shards, ((const guint8 *) key)[0]))
        bs_file_pending_add (&sync->again, key, BS_FILE_CHANGE_RENAMED);
    }
}

static void
sync_shards (Sync *sync)
{
  for (guint shard = 0; shard < BS_FILE_N_SHARDS; shard++)
    {
      BsFileShardSet one = { { 0 } };
      gboolean opened;
      char name[3];
      int code;

      if (!bs_file_shard_set_contains (&sync->taken.changed, shard))
        continue;

      bs_file_shard_print_name (shard, name);
      code = sync_folder (sync, name, &opened);
      if (code == 0 || code == ENOENT)
        continue;

      failed (sync, code);
      bs_file_shard_set_add (&sync->again.changed, shard);
      bs_file_shard_set_add (&one, shard);
      if (opened)
        {
          break_keys (sync, &sync->taken.linked, &one, code);
          break_keys (sync, &sync->taken.renamed, &one, code);
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
          failed (sync, code);
          sync->again.quarantine = TRUE;
        }
    }

  if (!sync->taken.root || TEMP_FAILURE_RETRY (fsync (sync->fd)) == 0)
    return;

  code = errno;
  sync->again.root = TRUE;
  sync->again.made = sync->taken.made;
  break_keys (sync, &sync->taken.linked, &sync->taken.made, code);
  break_keys (sync, &sync->taken.renamed, &sync->taken.made, code);
}

static int
suspect_entry (BsFileEntry kind,
               int fd,
               const char *name,
               const BsKey *key,
               gpointer user_data)
{
  if (kind == BS_FILE_ENTRY_BLOB)
    bs_file_doubts_add (user_data, key);

  return 0;
}

typedef struct
{
  Sync *sync;
  int code;
} Breaking;

static int
break_entry (BsFileEntry kind,
             int fd,
             const char *name,
             const BsKey *key,
             gpointer user_data)
{
  const Breaking *breaking = user_data;

  if (kind == BS_FILE_ENTRY_BLOB)
    bs_file_changes_break (breaking->sync->changes, key, breaking->code);

  return 0;
}

/* Which file it was that could not be written nobody says, so that it may be any
 * that was not durable yet: also one that is in scratch only, or was added
 * meanwhile. */
static void
break_everything (Sync *sync,
                  int code)
{
  Breaking breaking = { sync, code };
  BsFilePending meanwhile;

  if (bs_file_directory_shares_files (sync->directory, sync->scratch) &&
      bs_file_walk (bs_file_directory_get_fd (sync->scratch), NULL, suspect_entry, sync->suspects) != 0)
    bs_file_doubts_add_all (sync->suspects);

  bs_file_changes_take (sync->changes, &meanwhile);
  if ((sync->taken.everything || meanwhile.everything) &&
      bs_file_walk (sync->fd, NULL, break_entry, &breaking) != 0)
    bs_file_changes_break_all (sync->changes, code);
  break_keys (sync, &sync->taken.linked, NULL, code);
  break_keys (sync, &sync->taken.renamed, NULL, code);
  break_keys (sync, &meanwhile.linked, NULL, code);
  break_keys (sync, &meanwhile.renamed, NULL, code);
  bs_file_pending_clear (&meanwhile);

  sync->again.everything = TRUE;
}

/* Errors that the system knows of since the directory was opened. */
static void
sync_file_system (Sync *sync)
{
  if (TEMP_FAILURE_RETRY (syncfs (sync->fd)) != 0)
    break_everything (sync, errno);
}

/* Forgets those that are gone, by a hand that is not ours. Returns how many are
 * left, and one of them. */
static guint64
count_broken (Sync *sync,
              BsKey *one)
{
  BsKeyTable keys = { 0 };
  BsKeyTableIter iter = { 0 };
  const BsKey *key;
  guint64 n_broken = 0;

  bs_file_doubts_copy (&sync->changes->broken, &keys);
  while (bs_key_table_iter_next (&keys, &iter, &key))
    {
      g_auto (BsFileLocation) location = { 0 };
      struct stat status;
      int code = bs_file_directory_locate (sync->directory, key, FALSE, &location);

      if (code == 0 && fstatat (location.fd, location.name, &status, AT_SYMLINK_NOFOLLOW) != 0)
        code = errno;

      if (code == ENOENT)
        {
          bs_file_doubts_remove (&sync->changes->broken, key);
          continue;
        }
      *one = *key;
      n_broken++;
    }
  bs_key_table_clear (&keys);

  return n_broken;
}

static gboolean
report (Sync *sync,
        GError **error)
{
  char string[BS_KEY_STRING_SIZE];
  guint64 n_broken = 0;
  gboolean all = FALSE;
  BsKey key;
  int code;

  if (g_atomic_int_get (&sync->changes->broken.any))
    {
      n_broken = count_broken (sync, &key);
      all = bs_file_doubts_is_all (&sync->changes->broken);
    }

  if (n_broken == 0 && !all && sync->code == 0)
    return TRUE;

  g_mutex_lock (&sync->changes->mutex);
  code = sync->code != 0 ? sync->code : sync->changes->broken_code;
  g_mutex_unlock (&sync->changes->mutex);

  if (n_broken == 0)
    {
      bs_file_directory_set_error (sync->directory, code, error);
      return FALSE;
    }

  bs_key_print (&key, string);
  g_set_error (error, G_IO_ERROR, bs_file_get_error_code (code),
               "%" G_GUINT64_FORMAT " of the blobs could not be made durable, and have to be persisted again or deleted; "
               "one is %s: %s",
               n_broken, string, g_strerror (code));

  return FALSE;
}

gboolean
bs_file_sync (BsFileDirectory *directory,
              GError **error)
{
  Sync sync = { 0 };
  gboolean synced;

  sync.directory = directory;
  sync.scratch = bs_file_directory_get_apart (directory);
  sync.changes = bs_file_directory_get_changes (directory);
  sync.suspects = bs_file_directory_get_suspects (sync.scratch);
  sync.fd = bs_file_directory_get_fd (directory);
  bs_file_changes_take (sync.changes, &sync.taken);

  find_moved (&sync);
  if (bs_file_pending_is_many (&sync.taken) || !sync_files (&sync))
    {
      sync_file_system (&sync);
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
