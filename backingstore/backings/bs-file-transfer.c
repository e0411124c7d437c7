/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "bs-file-transfer-private.h"

#include "bs-file-blob-private.h"
#include "bs-file-io-private.h"
#include "bs-file-sanitize-private.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

typedef enum
{
  COPY_SHARED, /* by reflink if possible */
  COPY_ANEW,   /* the bytes themselves */
} CopyKind;

/* Fills a new file of the target from an open one, digest included. The bytes of a copy
 * are compared with the source's digest on the way, which copy_file_range() can't. */
static int
fill_copy (int source_fd,
           goffset size,
           BsFileDirectory *target,
           int fd,
           CopyKind kind,
           BsFileCount *how,
           GCancellable *cancellable)
{
  BsFileDigest expected;
  BsFileDigest actual;
  gboolean known;
  int code;

  code = bs_file_digest_load (source_fd, &expected, &known);
  if (code == 0 && known && expected.length != (guint64) size)
    {
      code = bs_file_digest_mismatch (source_fd, &expected);
      known = FALSE;
    }
  if (code != 0)
    return code;

  *how = BS_FILE_COUNT_REFLINKED;
  if (kind == COPY_SHARED && ioctl (fd, FICLONE, source_fd) == 0)
    {
      /* The digest may be that of a content that was replaced. */
      known = known && bs_file_digest_mismatch (source_fd, &expected) != 0;

      return bs_file_directory_seal (target, fd, known ? &expected : NULL);
    }

  *how = BS_FILE_COUNT_COPIED;
  code = bs_file_copy (source_fd, size, fd, &actual, cancellable);
  if (code == 0 && known && !bs_file_digest_equal (&actual, &expected))
    code = bs_file_digest_mismatch (source_fd, &expected);

  return code != 0 ? code : bs_file_directory_seal (target, fd, &actual);
}

/* Makes a copy in the target's folder of the blob, and renames it there: a sandbox may
 * allow no rename between folders. The rename replaces any file that is there. */
static int
copy_open (int source_fd,
           goffset size,
           BsFileDirectory *target,
           const BsFileLocation *location,
           CopyKind kind,
           BsFileCount *how,
           GCancellable *cancellable)
{
  char temporary[BS_FILE_SIBLING_SIZE];
  int fd;
  int code;

  bs_file_location_make_sibling (location, temporary);
  code = bs_file_open_temporary (location->fd, temporary, &fd);
  if (code != 0)
    return code;

  code = fill_copy (source_fd, size, target, fd, kind, how, cancellable);
  /* Scratch need not outlive the process. */
  if (code == 0 && !bs_file_directory_is_scratch (target) && TEMP_FAILURE_RETRY (fsync (fd)) != 0)
    code = errno;
  code = bs_file_close_written (fd, code);
  if (code == 0 && renameat (location->fd, temporary, location->fd, location->name) != 0)
    code = errno;
  if (code != 0)
    unlinkat (location->fd, temporary, 0);

  return code;
}

/* Makes a copy of the source's blob at the target; its name is not durable yet. */
static int
copy (BsFileDirectory *source,
      BsFileDirectory *target,
      const BsKey *key,
      CopyKind kind,
      BsFileCount *how,
      GCancellable *cancellable)
{
  struct stat status;
  gboolean again;
  int source_fd;
  int code = bs_file_open_blob (source, key, &source_fd, &status);

  if (code != 0)
    return code;

  do
    {
      g_auto (BsFileLocation) location = { 0 };

      code = bs_file_directory_locate (target, key, TRUE, &location);
      if (code == 0 && lseek (source_fd, 0, SEEK_SET) < 0)
        code = errno;
      if (code == 0)
        code = copy_open (source_fd, status.st_size, target, &location, kind, how, cancellable);
      again = code == ENOENT && bs_file_directory_lost (target, &location);
    }
  while (again);
  close (source_fd);

  return code;
}

/* Takes the next steps of the ladder after a hard link was refused. */
static int
copy_instead (BsFileDirectory *source,
              BsFileDirectory *target,
              const BsKey *key,
              BsFileCount why,
              GCancellable *cancellable)
{
  BsFileCount how;
  int code = copy (source, target, key, COPY_SHARED, &how, cancellable);

  if (code == 0)
    {
      bs_file_directory_count (target, how, 1);
      bs_file_directory_count (target, why, 1);
    }

  return code;
}

/* Whether the errno says that there can be no link. */
static gboolean
is_refusal (int code, BsFileCount *why)
{
  switch (code)
    {
    case EXDEV:
      *why = BS_FILE_COUNT_CROSS_DEVICE;
      return TRUE;
    case EPERM:
    case EACCES:
      *why = BS_FILE_COUNT_NOT_PERMITTED;
      return TRUE;
    case EMLINK:
      *why = BS_FILE_COUNT_TOO_MANY_LINKS;
      return TRUE;
    case EOPNOTSUPP:
    case ENOSYS:
      *why = BS_FILE_COUNT_NOT_SUPPORTED;
      return TRUE;
    default:
      return FALSE;
    }
}

static int
try_link (BsFileDirectory *source,
          BsFileDirectory *target,
          const BsKey *key,
          BsFileLocation *from,
          BsFileLocation *to)
{
  for (;;)
    {
      gboolean lost;
      int code;

      code = bs_file_directory_locate (source, key, FALSE, from);
      if (code == 0)
        code = bs_file_directory_locate (target, key, TRUE, to);
      if (code != 0)
        return code;

      if (linkat (from->fd, from->name, to->fd, to->name, 0) == 0)
        return 0;

      code = errno;
      if (code != ENOENT)
        return code;
      lost = bs_file_directory_lost (source, from);
      lost |= bs_file_directory_lost (target, to);
      if (!lost)
        return code;
    }
}

/* Compares a blob with the one at the target already. Blobs never change, so that they
 * are the same unless a crash truncated one of them. */
static int
compare_present (const BsFileLocation *from, const BsFileLocation *to, gboolean *same)
{
  struct stat source_status;
  struct stat target_status;

  *same = TRUE;
  if (fstatat (to->fd, to->name, &target_status, AT_SYMLINK_NOFOLLOW) != 0)
    return errno;
  if (S_ISLNK (target_status.st_mode))
    return ELOOP;
  if (!S_ISREG (target_status.st_mode))
    return EBADMSG;

  if (fstatat (from->fd, from->name, &source_status, AT_SYMLINK_NOFOLLOW) != 0)
    return errno;
  *same = source_status.st_size == target_status.st_size;

  return 0;
}

/* Whether the target has the key, asked when the source has not. */
static gboolean
is_present (BsFileDirectory *target, const BsKey *key)
{
  g_auto (BsFileLocation) location = { 0 };
  struct stat status;

  return bs_file_directory_locate (target, key, FALSE, &location) == 0 &&
         fstatat (location.fd, location.name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
         S_ISREG (status.st_mode);
}

/* A blob without a digest must be durable before it gets its name: nobody would notice
 * if a power cut truncated it. */
static int
sync_without_digest (BsFileDirectory *scratch, const BsKey *key)
{
  BsFileDigest digest;
  struct stat status;
  gboolean known;
  int fd;
  int code;

  code = bs_file_open_blob (scratch, key, &fd, &status);
  if (code == ENOENT || code == EBADMSG || code == ELOOP)
    return 0;
  if (code != 0)
    return code;

  code = bs_file_digest_load (fd, &digest, &known);
  if (code == 0 && !known && TEMP_FAILURE_RETRY (fsync (fd)) != 0)
    {
      code = errno;
      bs_file_keys_add (bs_file_directory_get_uncertain (scratch), key);
    }
  close (fd);

  return code;
}

/* Replaces the scratch file, which the disk may not have, by the new one: a persist to
 * another path must not link the old file. */
static void
refresh_scratch (BsFileDirectory *persisted, BsFileDirectory *scratch, const BsKey *key)
{
  char temporary[BS_FILE_SIBLING_SIZE];
  g_auto (BsFileLocation) from = { 0 };
  g_auto (BsFileLocation) to = { 0 };

  if (!is_present (scratch, key) || bs_file_directory_locate (persisted, key, FALSE, &from) != 0 ||
      bs_file_directory_locate (scratch, key, FALSE, &to) != 0)
    return;

  bs_file_location_make_sibling (&to, temporary);
  if (linkat (from.fd, from.name, to.fd, temporary, 0) == 0 &&
      renameat (to.fd, temporary, to.fd, to.name) != 0)
    unlinkat (to.fd, temporary, 0);
}

/* Writes a blob once more that the disk may not have, from the scratch file if it can be
 * read, else from the persisted one. */
static int
write_anew (BsFileDirectory *scratch,
            BsFileDirectory *persisted,
            const BsKey *key,
            GCancellable *cancellable)
{
  BsFileCount how;
  int code = copy (scratch, persisted, key, COPY_ANEW, &how, cancellable);

  if (code == ENOENT || code == EILSEQ || code == EBADMSG)
    {
      int other_code = copy (persisted, persisted, key, COPY_ANEW, &how, cancellable);

      if (other_code != ENOENT)
        code = other_code;
    }
  if (code != 0)
    return code;

  bs_file_directory_count (persisted, BS_FILE_COUNT_REWRITTEN, 1);
  refresh_scratch (persisted, scratch, key);

  return 0;
}

/* Of two different blobs, the persisted one stays unless it is bad. */
static int
persist_present (BsFileDirectory *persisted,
                 const BsKey *key,
                 const BsFileLocation *from,
                 const BsFileLocation *to,
                 gboolean *set_aside,
                 GCancellable *cancellable)
{
  gboolean same;
  gboolean bad;
  int code = compare_present (from, to, &same);

  *set_aside = FALSE;
  if (code != 0 || same)
    return code;

  code = bs_file_verify (persisted, key, &bad, cancellable);
  *set_aside = code == EBADMSG || code == EILSEQ;

  return *set_aside ? 0 : code;
}

/* A link keeps the owner of the scratch file, and may have no more permissions than that.
 * Those are set while it is where nobody else can put another file in its place. */
static int
try_link_open (BsFileDirectory *scratch,
               BsFileDirectory *persisted,
               const BsKey *key,
               BsFileLocation *from,
               BsFileLocation *to)
{
  const mode_t mode = bs_file_directory_get_mode (persisted);

  if (bs_file_directory_gives_owner (persisted) && !is_present (persisted, key))
    return EPERM;

  if (mode != 0600 && bs_file_directory_locate (scratch, key, FALSE, from) == 0)
    fchmodat (from->fd, from->name, mode, 0);

  return try_link (scratch, persisted, key, from, to);
}

/* Sets `change` also after an error. */
static int
persist_by_ladder (BsFileDirectory *scratch,
                   BsFileDirectory *persisted,
                   const BsKey *key,
                   BsFileChange *change,
                   GCancellable *cancellable)
{
  g_auto (BsFileLocation) from = { 0 };
  g_auto (BsFileLocation) to = { 0 };
  BsFileCount why;
  gboolean again;
  int code;

  *change = BS_FILE_CHANGE_LINKED;
  code = try_link_open (scratch, persisted, key, &from, &to);
  if (code == EEXIST)
    {
      code = persist_present (persisted, key, &from, &to, &again, cancellable);
      if (code != 0 || !again)
        {
          *change = BS_FILE_CHANGE_NONE;
          return code;
        }
      code = try_link_open (scratch, persisted, key, &from, &to);
    }

  if (code == 0)
    {
      bs_file_directory_count (persisted, BS_FILE_COUNT_LINKED, 1);
      return 0;
    }

  if (code == ENOENT && is_present (persisted, key))
    {
      *change = BS_FILE_CHANGE_NONE;
      return 0;
    }

  if (!is_refusal (code, &why))
    return code;

  *change = BS_FILE_CHANGE_RENAMED;

  return copy_instead (scratch, persisted, key, why, cancellable);
}

/* A persisted blob that has not failed is durable, unless the next sync has still to
 * find out. */
static gboolean
must_write_anew (BsFileDirectory *scratch, BsFileDirectory *persisted, const BsKey *key)
{
  BsFileChanges *changes = bs_file_directory_get_changes (persisted);

  if (bs_file_keys_contains (&changes->failed, key))
    return TRUE;

  return bs_file_keys_contains (bs_file_directory_get_uncertain (scratch), key) &&
         (!is_present (persisted, key) || bs_file_changes_is_linked (changes, key));
}

/* Whether scratch has the blob in a slot, and the target has it with the same length. */
static gboolean
is_slot_present (BsFileDirectory *scratch, BsFileDirectory *target, const BsKey *key)
{
  BsFileSlots *slots = bs_file_directory_get_slots (scratch);
  g_auto (BsFileLocation) location = { 0 };
  struct stat status;
  gsize length;

  return slots != NULL && bs_file_slots_contains (slots, key, &length) &&
         bs_file_directory_locate (target, key, FALSE, &location) == 0 &&
         fstatat (location.fd, location.name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
         S_ISREG (status.st_mode) && (guint64) status.st_size == length;
}

/* Whether nothing is to do. */
static gboolean
is_persisted (BsFileDirectory *scratch, BsFileDirectory *persisted, const BsKey *key)
{
  BsFileSlots *slots = bs_file_directory_get_slots (scratch);
  g_auto (BsFileLocation) from = { 0 };
  g_auto (BsFileLocation) to = { 0 };
  gboolean same = TRUE;

  if (must_write_anew (scratch, persisted, key) || !is_present (persisted, key))
    return FALSE;
  if (slots != NULL && bs_file_slots_contains (slots, key, NULL))
    return is_slot_present (scratch, persisted, key);

  if (bs_file_directory_locate (scratch, key, FALSE, &from) == 0 &&
      bs_file_directory_locate (persisted, key, FALSE, &to) == 0)
    compare_present (&from, &to, &same);

  return same;
}

int
bs_file_persist (BsFileDirectory *scratch,
                 BsFileDirectory *persisted,
                 const BsKey *key,
                 GCancellable *cancellable)
{
  BsFileChanges *changes = bs_file_directory_get_changes (persisted);
  BsFileChange change = BS_FILE_CHANGE_NONE;
  int code;

  code = bs_file_clear_failed_write (scratch, key);
  if (code != 0)
    return code;

  /* A full disk may have no room for the mark, which this needs none of. */
  if (!bs_file_changes_is_marked (changes) && is_persisted (scratch, persisted, key))
    return 0;

  code = bs_file_leave_slot (scratch, key, cancellable);
  if (code == 0)
    code = bs_file_seal (scratch, key, cancellable);
  if (code != 0)
    return is_persisted (scratch, persisted, key) ? 0 : code;

  code = bs_file_changes_begin (changes, bs_file_directory_get_fd (persisted));
  if (code != 0)
    return code;

  if (must_write_anew (scratch, persisted, key))
    {
      code = write_anew (scratch, persisted, key, cancellable);
      if (code == 0)
        change = BS_FILE_CHANGE_RENAMED;
    }
  else
    {
      if (bs_file_directory_lacks_digests (scratch))
        code = sync_without_digest (scratch, key);
      if (code == 0)
        code = persist_by_ladder (scratch, persisted, key, &change, cancellable);
    }

  bs_file_changes_end (changes, key, change);
  if (code == 0 && change == BS_FILE_CHANGE_RENAMED)
    bs_file_keys_remove (&changes->failed, key);

  return code;
}

/* A blob that scratch had in a slot differs from the file that it has now. */
static void
note_file (BsFileDirectory *scratch, const BsKey *key)
{
  BsFileSlots *slots = bs_file_directory_get_slots (scratch);

  bs_file_keys_add (bs_file_directory_get_files (scratch), key);
  if (slots != NULL)
    bs_file_slots_remove (slots, key);
}

int
bs_file_register (BsFileDirectory *persisted,
                  BsFileDirectory *scratch,
                  const BsKey *key,
                  GCancellable *cancellable)
{
  g_auto (BsFileLocation) from = { 0 };
  g_auto (BsFileLocation) to = { 0 };
  BsFileCount how;
  BsFileCount why;
  gboolean same = FALSE;
  int code;

  if (is_slot_present (scratch, persisted, key))
    return 0;

  code = bs_file_clear_failed_write (scratch, key);
  if (code != 0)
    return code;

  /* A link changes the count and the time of its file. */
  code = bs_file_directory_is_read_only (persisted)
           ? EPERM
           : try_link (persisted, scratch, key, &from, &to);
  if (code == 0)
    bs_file_directory_count (persisted, BS_FILE_COUNT_LINKED, 1);
  else if (is_refusal (code, &why))
    code = copy_instead (persisted, scratch, key, why, cancellable);
  else if (code == EEXIST)
    {
      code = compare_present (&from, &to, &same);
      if (code == 0 && !same)
        {
          code = copy (persisted, scratch, key, COPY_SHARED, &how, cancellable);
          if (code == 0)
            bs_file_directory_count (scratch, how, 1);
        }
    }

  if (code == 0)
    note_file (scratch, key);
  /* Another file stands there now, with its digest. */
  if (code == 0 && !same)
    {
      bs_file_digests_remove (bs_file_directory_get_digests (scratch), key);
      bs_file_keys_remove (bs_file_directory_get_unhashed (scratch), key);
    }

  return code;
}
