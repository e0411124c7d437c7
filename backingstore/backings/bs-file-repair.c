/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "bs-file-backing-private.h"

#include "base/bs-key-set-private.h"
#include "bs-file-blob-private.h"
#include "bs-file-digest-private.h"
#include "bs-file-presence-private.h"
#include "bs-file-sync-private.h"
#include "bs-file-system-private.h"
#include "bs-file-walk-private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define NAME_LENGTH (BS_KEY_HEX_LENGTH + 1 + BS_KEY_HEX_LENGTH)

/* A file in quarantine is named by its key, a dot, and random digits. */
static gboolean
parse_name (const char *name, BsKey *key)
{
  char hex[BS_KEY_HEX_LENGTH + 1];

  if (strlen (name) != NAME_LENGTH || name[BS_KEY_HEX_LENGTH] != '.')
    return FALSE;

  memcpy (hex, name, BS_KEY_HEX_LENGTH);
  hex[BS_KEY_HEX_LENGTH] = '\0';

  return bs_key_parse (hex, key);
}

/* Without length and hash nothing tells that a content is whole. */
static int
check_whole (BsFileDirectory *directory,
             int fd,
             const char *name,
             gboolean *whole,
             GCancellable *cancellable)
{
  BsFileDigest digest;
  struct stat status;
  gboolean known = FALSE;
  int blob_fd;
  int code = bs_file_open (directory, fd, name, &blob_fd, &status);

  *whole = FALSE;
  if (code != 0)
    return code == ELOOP || code == EBADMSG ? 0 : code;

  code = bs_file_digest_load (blob_fd, &digest, &known);
  if (code == 0 && known)
    {
      code = bs_file_check (blob_fd, status.st_size, cancellable);
      *whole = code == 0;
    }
  close (blob_fd);

  return code == EBADMSG || code == EILSEQ ? 0 : code;
}

/* Returns EEXIST if the directory has a blob of the key. */
static int
find_place (BsFileDirectory *directory, const BsKey *key, gboolean make, BsFileLocation *location)
{
  struct stat status;
  int code = bs_file_directory_locate (directory, key, make, location);

  if (code != 0)
    return code == ENOENT && !make ? 0 : code;
  if (fstatat (location->fd, location->name, &status, AT_SYMLINK_NOFOLLOW) == 0)
    return EEXIST;

  return errno == ENOENT ? 0 : errno;
}

/* The directory is locked, so that no other blob takes the place meanwhile. */
static int
put_back (BsFileDirectory *directory, const BsKey *key, int fd, const char *name)
{
  BsFileChanges *changes = bs_file_directory_get_changes (directory);
  g_auto (BsFileLocation) location = { 0 };
  int code = bs_file_changes_begin (changes, bs_file_directory_get_fd (directory));

  if (code != 0)
    return code;

  code = find_place (directory, key, TRUE, &location);
  if (code == 0 && renameat (fd, name, location.fd, location.name) != 0)
    code = errno;
  bs_file_changes_end (changes, key, code == 0 ? BS_FILE_CHANGE_LINKED : BS_FILE_CHANGE_NONE);

  return code;
}

typedef struct
{
  BsFileDirectory *directory;
  BsKeySet *restored;
  GCancellable *cancellable;
} Restoration;

static int
restore_entry (BsFileEntry kind, int fd, const char *name, const BsKey *unused, gpointer user_data)
{
  const Restoration *self = user_data;
  g_auto (BsFileLocation) location = { 0 };
  gboolean whole;
  BsKey key;
  int code;

  if (!parse_name (name, &key))
    return 0;

  code = find_place (self->directory, &key, FALSE, &location);
  if (code != 0)
    return code == EEXIST ? 0 : code;

  code = check_whole (self->directory, fd, name, &whole, self->cancellable);
  if (code == 0 && whole && bs_file_directory_get_refusal (self->directory) == 0)
    code = put_back (self->directory, &key, fd, name);
  if (code == 0 && whole)
    bs_key_table_add (bs_key_set_get_table (self->restored), &key, bs_key_hash (&key));

  return code;
}

/* Puts back each blob in quarantine that is whole, where the directory has none of its key.
 * In a directory that cannot be written the keys are found alone. */
static int
restore_all (BsFileDirectory *directory, BsKeySet *restored, GCancellable *cancellable)
{
  const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  Restoration restoration = { directory, restored, cancellable };
  int fd = TEMP_FAILURE_RETRY (
    openat (bs_file_directory_get_fd (directory), BS_FILE_QUARANTINE_NAME, flags));
  int code;

  if (fd < 0)
    return errno == ENOENT ? 0 : errno;

  code = bs_file_walk_top (fd, cancellable, restore_entry, &restoration);
  if (code == 0 && bs_file_directory_get_refusal (directory) == 0)
    code = bs_file_system_sync_folder (fd);
  close (fd);

  return code;
}

static gboolean
restore_durably (BsFileDirectory *directory,
                 BsKeySet *restored,
                 GCancellable *cancellable,
                 GError **error)
{
  int code = restore_all (directory, restored, cancellable);

  if (code != 0)
    bs_file_directory_set_error (directory, code, error);
  /* A blob that was put back is made durable after an error too. */
  if (bs_file_directory_get_refusal (directory) == 0 &&
      !bs_file_sync (directory, code == 0 ? error : NULL))
    return FALSE;

  return code == 0;
}

/**
 * bs_file_backing_repair_path:
 * @self: a file backing
 * @path: a local directory that nobody has open
 * @flags: what to do
 * @restored: a set that gets the keys that were put back
 * @marked: (out) (optional): whether the marker was made anew
 * @cancellable: (nullable): a cancellable
 * @error: return location for an error
 *
 * Makes the directory of a document that cannot be opened, or that has blobs in
 * quarantine, fit for use.
 *
 * A directory that has lost its marker is marked again, as [method@BackingStore.track_path]
 * does. With %BS_REPAIR_ADOPT so is one with a damaged marker, and one that holds
 * other files beside blobs, which are left alone. With %BS_REPAIR_RESTORE each blob in
 * quarantine that is whole by its length and hash goes back to its place, if no
 * other has its key. With %BS_REPAIR_DRY_RUN nothing is changed, and the answer is what
 * would be done.
 *
 * The function blocks, and may be called from any thread. It opens the directory and lets
 * it go again: call it before the path is tracked.
 *
 * Fails with %BS_ERROR_FOREIGN if the directory is no document; with
 * %BS_ERROR_NOT_SUPPORTED if a newer version has written it; with %BS_ERROR_BUSY if it is in
 * use; with %G_IO_ERROR_READ_ONLY or %G_IO_ERROR_PERMISSION_DENIED if it cannot be
 * written, or @self is [property@FileBacking:read-only]; and with the system's errors. Blobs
 * that were put back before stay.
 *
 * Returns: %TRUE if all was done, %FALSE with @error set
 */
gboolean
bs_file_backing_repair_path (BsFileBacking *self,
                             GFile *path,
                             BsRepairFlags flags,
                             BsKeySet *restored,
                             gboolean *marked,
                             GCancellable *cancellable,
                             GError **error)
{
  g_autoptr (BsFileDirectory) directory = NULL;
  const BsFileDirectoryMode mode =
    flags & BS_REPAIR_ADOPT ? BS_FILE_DIRECTORY_REPAIR : BS_FILE_DIRECTORY_ADOPT;

  g_return_val_if_fail (BS_IS_FILE_BACKING (self), FALSE);
  g_return_val_if_fail (G_IS_FILE (path), FALSE);
  g_return_val_if_fail (BS_IS_KEY_SET (restored), FALSE);

  directory =
    bs_file_paths_new_directory (&self->paths, path, flags & BS_REPAIR_DRY_RUN, cancellable, error);
  if (directory == NULL || !bs_file_directory_open (directory, mode, cancellable, error))
    return FALSE;
  if (!(flags & BS_REPAIR_DRY_RUN) && !bs_file_directory_check_change (directory, error))
    return FALSE;

  if (marked != NULL)
    *marked = bs_file_directory_was_unmarked (directory);

  return !(flags & BS_REPAIR_RESTORE) || restore_durably (directory, restored, cancellable, error);
}
