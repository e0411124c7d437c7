/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "bs-file-sanitize-private.h"

#include "base/bs-key-set-private.h"
#include "bs-file-blob-private.h"
#include "bs-file-io-private.h"
#include "bs-file-presence-private.h"
#include "bs-file-sync-private.h"
#include "bs-file-walk-private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/* So many keys wait until the cache has their places in the table. */
#define N_WAITING 16

/* The first digits of a UUID are random, so that all folders hold about as many blobs:
 * a few of them tell the total. */
#define N_FOLDERS 256
#define N_FOLDERS_COUNTED 16

typedef struct
{
  BsFileDirectory *directory;
  BsKeyTable *found;
  BsKey waiting[N_WAITING];
  guint64 hashes[N_WAITING];
  guint n_waiting;
  guint n_folders;
  gboolean checks_files;
  gsize n_foreign;
  GCancellable *cancellable;
} Listing;

static gboolean
is_bad (int code)
{
  return code == EBADMSG || code == EILSEQ;
}

static int
open_quarantine (int fd, int *quarantine_fd)
{
  const int flags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

  gboolean masked;
  int code =
    bs_file_make_folder (fd, BS_FILE_QUARANTINE_NAME, bs_file_get_folder_mode (fd), &masked);

  if (code != 0 && code != EEXIST)
    return code;

  *quarantine_fd = TEMP_FAILURE_RETRY (openat (fd, BS_FILE_QUARANTINE_NAME, flags));

  return *quarantine_fd < 0 ? errno : 0;
}

/* A sandbox may allow no rename between folders. */
static int
copy_aside (int fd, const char *name, int quarantine_fd, const char *aside)
{
  struct stat status;
  int source_fd =
    TEMP_FAILURE_RETRY (openat (fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  int aside_fd = -1;
  int code = 0;

  if (source_fd < 0 || fstat (source_fd, &status) != 0)
    code = errno;
  else if (!S_ISREG (status.st_mode))
    code = EXDEV;
  if (code == 0)
    code = bs_file_open_temporary (quarantine_fd, aside, &aside_fd);
  if (code == 0)
    {
      code = bs_file_copy (source_fd, status.st_size, aside_fd, NULL, NULL);
      if (code == 0 && TEMP_FAILURE_RETRY (fsync (aside_fd)) != 0)
        code = errno;
      code = bs_file_close_written (aside_fd, code);
      if (code == 0 && unlinkat (fd, name, 0) != 0)
        code = errno;
      if (code != 0)
        unlinkat (quarantine_fd, aside, 0);
    }
  if (source_fd >= 0)
    close (source_fd);

  return code;
}

/* Moves a file of any kind into the quarantine. A random part of the name keeps earlier files
 * there: not every file system can rename without replacing. */
static int
set_aside (BsFileDirectory *directory, const BsKey *key, int fd, const char *name)
{
  char aside[BS_KEY_HEX_LENGTH + 1 + BS_KEY_HEX_LENGTH + 1];
  BsKey random;
  int quarantine_fd = -1;
  int code;

  bs_key_print_hex (key, aside);
  aside[BS_KEY_HEX_LENGTH] = '.';
  bs_key_init_random (&random);
  bs_key_print_hex (&random, aside + BS_KEY_HEX_LENGTH + 1);

  code = open_quarantine (bs_file_directory_get_fd (directory), &quarantine_fd);
  if (code != 0)
    return code;

  if (renameat (fd, name, quarantine_fd, aside) != 0)
    code = errno == EXDEV ? copy_aside (fd, name, quarantine_fd, aside) : errno;
  close (quarantine_fd);

  if (code == 0)
    {
      bs_file_changes_set_aside (bs_file_directory_get_changes (directory), key);
      bs_file_directory_count (directory, BS_FILE_COUNT_QUARANTINED, 1);
    }

  return code;
}

static int
check_at (BsFileDirectory *directory, int fd, const char *name, GCancellable *cancellable)
{
  struct stat status;
  int blob_fd;
  int code = bs_file_open (directory, fd, name, &blob_fd, &status);

  if (code != 0)
    return code == ELOOP ? EBADMSG : code;

  code = bs_file_check (blob_fd, status.st_size, cancellable);
  close (blob_fd);

  return code;
}

int
bs_file_verify (BsFileDirectory *directory,
                const BsKey *key,
                gboolean *bad,
                GCancellable *cancellable)
{
  *bad = FALSE;
  for (;;)
    {
      g_auto (BsFileLocation) location = { 0 };
      int code = bs_file_directory_locate (directory, key, FALSE, &location);

      if (code != 0)
        return code;

      code = check_at (directory, location.fd, location.name, cancellable);
      if (code == ENOENT && bs_file_directory_lost (directory, &location))
        continue;

      *bad = is_bad (code);
      if (*bad && bs_file_directory_get_refusal (directory) == 0)
        {
          BsFileDirectory *scratch = bs_file_directory_get_apart (directory);
          int aside_code = set_aside (directory, key, location.fd, location.name);

          /* The scratch file may be the same file: a persist must check it first. */
          bs_file_keys_add (bs_file_directory_get_uncertain (scratch), key);

          if (aside_code != 0)
            return aside_code;
        }

      return code;
    }
}

/* Whether the errno says nothing of the file: another attempt may succeed. */
static gboolean
is_shortage (int code)
{
  return code == EMFILE || code == ENFILE || code == ENOMEM;
}

/* Returns 0 with `keep` FALSE for a blob that was set aside. A blob that can't be read
 * stays, since its content may not be lost. A blob that was not checked is an error,
 * since the mark would go. */
static int
inspect (Listing *listing, int fd, const char *name, const BsKey *key, gboolean *keep)
{
  int code = check_at (listing->directory, fd, name, listing->cancellable);

  *keep = !is_bad (code) && code != ENOENT;
  if (is_bad (code) && bs_file_directory_get_refusal (listing->directory) == 0)
    return set_aside (listing->directory, key, fd, name);

  return code == ECANCELED || is_shortage (code) ? code : 0;
}

static void
add_waiting (Listing *listing)
{
  for (guint i = 0; i < listing->n_waiting; i++)
    bs_key_table_add (listing->found, &listing->waiting[i], listing->hashes[i]);
  listing->n_waiting = 0;
}

static void
add_found (Listing *listing, const BsKey *key)
{
  guint64 hash = bs_key_hash (key);

  if (listing->found->n_groups > 0)
    bs_key_table_prefetch (listing->found, hash);
  listing->waiting[listing->n_waiting] = *key;
  listing->hashes[listing->n_waiting] = hash;
  if (++listing->n_waiting == N_WAITING)
    add_waiting (listing);
}

/* Reserving room saves moving the keys each time that the table grows. */
static void
count_folder (Listing *listing)
{
  if (++listing->n_folders != N_FOLDERS_COUNTED)
    return;

  add_waiting (listing);
  bs_key_table_reserve (listing->found,
                        listing->found->n_keys * N_FOLDERS / N_FOLDERS_COUNTED * 33 / 32);
}

static int
list_entry (BsFileEntry kind, int fd, const char *name, const BsKey *key, gpointer user_data)
{
  Listing *listing = user_data;
  gboolean keep = TRUE;
  int code = 0;

  switch (kind)
    {
    case BS_FILE_ENTRY_BLOB:
      if (listing->checks_files)
        code = inspect (listing, fd, name, key, &keep);
      if (code == 0 && keep)
        add_found (listing, key);
      break;

    case BS_FILE_ENTRY_LEFTOVER:
      if (!bs_file_directory_spares_leftovers (listing->directory) && unlinkat (fd, name, 0) != 0 &&
          errno != ENOENT)
        code = errno;
      break;

    case BS_FILE_ENTRY_FOREIGN:
      listing->n_foreign++;
      break;

    case BS_FILE_ENTRY_SHARD:
      count_folder (listing);
      break;

    case BS_FILE_ENTRY_OURS:
    default:
      break;
    }

  return code;
}

/* Where the mark stands, a sync follows at once, so that the next opening need not
 * check every blob again. */
gboolean
bs_file_sanitize (BsFileDirectory *directory,
                  BsKeySet *found,
                  GCancellable *cancellable,
                  GError **error)
{
  BsFileChanges *changes = bs_file_directory_get_changes (directory);
  int fd = bs_file_directory_get_fd (directory);
  Listing listing = { .directory = directory,
                      .found = bs_key_set_get_table (found),
                      .cancellable = cancellable };
  BsFileShardTimes times;
  int code;

  code = bs_file_shard_times_read (&times, directory);
  if (code == 0)
    code = bs_file_changes_find_mark (changes, fd, &listing.checks_files);
  if (code == 0)
    code = bs_file_walk (fd, cancellable, list_entry, &listing);
  add_waiting (&listing);
  if (code != 0)
    {
      bs_file_directory_set_error (directory, code, error);
      return FALSE;
    }
  *bs_file_directory_get_shard_times (directory) = times;
  bs_file_directory_count (directory, BS_FILE_COUNT_FOREIGN, listing.n_foreign);

  if (!listing.checks_files || bs_file_directory_get_refusal (directory) != 0)
    return TRUE;

  bs_file_changes_set_unknown (changes);

  return bs_file_sync (directory, error);
}
