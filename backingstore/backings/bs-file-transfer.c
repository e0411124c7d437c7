/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "bs-file-transfer-private.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* How much is read or written before the cancellable is looked at again. */
#define CHUNK_SIZE (8 * 1024 * 1024)
#define COPY_BUFFER_SIZE (256 * 1024)

#define OPEN_BLOB_FLAGS (O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)

static int
write_whole (int fd,
             const guint8 *data,
             gsize size,
             GCancellable *cancellable)
{
  while (size > 0)
    {
      gssize written;

      if (g_cancellable_is_cancelled (cancellable))
        return ECANCELED;

      written = TEMP_FAILURE_RETRY (write (fd, data, MIN (size, CHUNK_SIZE)));
      if (written < 0)
        return errno;
      if (written == 0)
        return EIO;
      data += written;
      size -= written;
    }

  return 0;
}

/* EBADMSG if there is less than `size`. */
static int
read_whole (int fd,
            guint8 *data,
            gsize size,
            GCancellable *cancellable)
{
  while (size > 0)
    {
      gssize filled;

      if (g_cancellable_is_cancelled (cancellable))
        return ECANCELED;

      filled = TEMP_FAILURE_RETRY (read (fd, data, MIN (size, CHUNK_SIZE)));
      if (filled < 0)
        return errno;
      if (filled == 0)
        return EBADMSG;
      data += filled;
      size -= filled;
    }

  return 0;
}

/* Closing is where some file systems report that the disk is full. After EINTR
 * the descriptor is gone all the same. */
static int
close_written (int fd,
               int code)
{
  if (close (fd) != 0 && code == 0 && errno != EINTR)
    return errno;

  return code;
}

static int
open_blob (int fd,
           const char *name,
           int *blob_fd,
           struct stat *status)
{
  int code = 0;

  *blob_fd = TEMP_FAILURE_RETRY (openat (fd, name, OPEN_BLOB_FLAGS));
  if (*blob_fd < 0)
    return errno;

  if (fstat (*blob_fd, status) != 0)
    code = errno;
  else if (!S_ISREG (status->st_mode))
    code = EBADMSG;

  if (code != 0)
    close (*blob_fd);

  return code;
}

int
bs_file_load_at (int fd,
                 const char *name,
                 GCancellable *cancellable,
                 GBytes **bytes)
{
  struct stat status;
  guint8 *data = NULL;
  int blob_fd;
  int code;

  code = open_blob (fd, name, &blob_fd, &status);
  if (code != 0)
    return code;

  if (status.st_size > 0)
    {
      data = (guint64) status.st_size <= G_MAXSIZE ? g_try_malloc (status.st_size) : NULL;
      code = data != NULL ? read_whole (blob_fd, data, status.st_size, cancellable) : ENOMEM;
    }
  close (blob_fd);

  if (code != 0)
    g_free (data);
  else
    *bytes = g_bytes_new_take (data, status.st_size);

  return code;
}

int
bs_file_load (BsFileDirectory *directory,
              const BsKey *key,
              GCancellable *cancellable,
              GBytes **bytes)
{
  BsFileLocation location;
  int code;

  code = bs_file_directory_locate (directory, key, FALSE, &location);
  if (code != 0)
    return code;

  code = bs_file_load_at (location.fd, location.name, cancellable, bytes);
  if (code == ENOENT && bs_file_directory_lost (directory, &location))
    {
      code = bs_file_directory_locate (directory, key, FALSE, &location);
      if (code == 0)
        code = bs_file_load_at (location.fd, location.name, cancellable, bytes);
    }

  return code;
}

static int
open_new (BsFileDirectory *directory,
          const BsKey *key,
          BsFileLocation *location,
          int *fd)
{
  int code = bs_file_directory_locate (directory, key, TRUE, location);

  if (code != 0)
    return code;

  *fd = TEMP_FAILURE_RETRY (openat (location->fd, location->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));

  return *fd < 0 ? errno : 0;
}

int
bs_file_create (BsFileDirectory *directory,
                const BsKey *key,
                GBytes *bytes,
                GCancellable *cancellable)
{
  BsFileLocation location;
  const guint8 *data;
  gsize size;
  int fd;
  int code;

  code = open_new (directory, key, &location, &fd);
  if (code == ENOENT && bs_file_directory_lost (directory, &location))
    code = open_new (directory, key, &location, &fd);
  if (code != 0)
    return code;

  if (bs_file_directory_masks_owner (directory))
    fchmod (fd, 0600);

  data = g_bytes_get_data (bytes, &size);
  code = close_written (fd, write_whole (fd, data, size, cancellable));
  if (code != 0)
    unlinkat (location.fd, location.name, 0);

  return code;
}

/* What is not there counts as removed. */
int
bs_file_remove (BsFileDirectory *directory,
                const BsKey *key)
{
  for (;;)
    {
      BsFileLocation location;
      int code = bs_file_directory_locate (directory, key, FALSE, &location);

      if (code == 0 && unlinkat (location.fd, location.name, 0) != 0)
        {
          code = errno;
          if (code == ENOENT && bs_file_directory_lost (directory, &location))
            continue;
        }

      return code == ENOENT ? 0 : code;
    }
}

int
bs_file_replace (BsFileDirectory *directory,
                 const char *name,
                 GBytes *bytes,
                 GCancellable *cancellable)
{
  char temporary[BS_FILE_TEMPORARY_SIZE];
  int directory_fd = bs_file_directory_get_fd (directory);
  const guint8 *data;
  gsize size;
  int fd;
  int code;

  code = bs_file_directory_make_temporary (directory, temporary, &fd);
  if (code != 0)
    return code;

  data = g_bytes_get_data (bytes, &size);
  code = write_whole (fd, data, size, cancellable);
  if (code == 0 && TEMP_FAILURE_RETRY (fsync (fd)) != 0)
    code = errno;
  code = close_written (fd, code);

  if (code == 0 && renameat (directory_fd, temporary, directory_fd, name) != 0)
    code = errno;
  if (code != 0)
    {
      unlinkat (directory_fd, temporary, 0);
      return code;
    }

  return TEMP_FAILURE_RETRY (fsync (directory_fd)) != 0 ? errno : 0;
}

/* Fills a new file with another's content, by sharing its extents if possible. */
static int
copy_content (int source_fd,
              goffset size,
              int fd,
              GCancellable *cancellable,
              BsFileTransfer *how)
{
  g_autofree guint8 *buffer = NULL;

  *how = BS_FILE_TRANSFER_REFLINKED;
  if (ioctl (fd, FICLONE, source_fd) == 0)
    return 0;

  *how = BS_FILE_TRANSFER_COPIED;
  buffer = g_malloc (COPY_BUFFER_SIZE);
  while (size > 0)
    {
      gsize part = MIN (size, COPY_BUFFER_SIZE);
      int code = read_whole (source_fd, buffer, part, cancellable);

      if (code == 0)
        code = write_whole (fd, buffer, part, cancellable);
      if (code != 0)
        return code;
      size -= part;
    }

  return 0;
}

/* A rename is what makes the copy appear, whole, and in the place of whatever
 * is there. */
static int
rename_into_shard (BsFileDirectory *target,
                   const BsKey *key,
                   const char *temporary)
{
  for (;;)
    {
      BsFileLocation location;
      int code = bs_file_directory_locate (target, key, TRUE, &location);

      if (code == 0 && renameat (bs_file_directory_get_fd (target), temporary, location.fd, location.name) != 0)
        {
          code = errno;
          if (code == ENOENT && bs_file_directory_lost (target, &location))
            continue;
        }

      return code;
    }
}

static int
copy (const BsFileLocation *source,
      BsFileDirectory *target,
      const BsKey *key,
      GCancellable *cancellable,
      BsFileTransfer *how)
{
  char temporary[BS_FILE_TEMPORARY_SIZE];
  struct stat status;
  int source_fd;
  int fd;
  int code;

  code = open_blob (source->fd, source->name, &source_fd, &status);
  if (code != 0)
    return code;

  code = bs_file_directory_make_temporary (target, temporary, &fd);
  if (code == 0)
    {
      code = copy_content (source_fd, status.st_size, fd, cancellable, how);
      /* Scratch need not outlive the process. */
      if (code == 0 && !bs_file_directory_is_scratch (target) && TEMP_FAILURE_RETRY (fsync (fd)) != 0)
        code = errno;
      code = close_written (fd, code);
      if (code == 0)
        code = rename_into_shard (target, key, temporary);
      if (code != 0)
        unlinkat (bs_file_directory_get_fd (target), temporary, 0);
    }
  close (source_fd);

  return code;
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

/* Something stands at the target already. A blob never changes, so it is the
 * same one, unless a crash cut it short. */
static int
check_present (const BsFileLocation *from,
               BsFileDirectory *target,
               const BsFileLocation *to,
               gboolean *whole)
{
  struct stat source_status;
  struct stat target_status;

  *whole = TRUE;
  if (fstatat (to->fd, to->name, &target_status, AT_SYMLINK_NOFOLLOW) != 0)
    return errno;
  if (S_ISLNK (target_status.st_mode))
    return ELOOP;
  if (!S_ISREG (target_status.st_mode))
    return EBADMSG;

  /* What is persisted is never replaced. */
  if (!bs_file_directory_is_scratch (target))
    return 0;

  if (fstatat (from->fd, from->name, &source_status, AT_SYMLINK_NOFOLLOW) != 0)
    return errno;
  *whole = source_status.st_size == target_status.st_size;

  return 0;
}

/* Whether the target has the key, asked when the source has not. */
static gboolean
is_present (BsFileDirectory *target,
            const BsKey *key)
{
  BsFileLocation location;
  struct stat status;

  return bs_file_directory_locate (target, key, FALSE, &location) == 0 &&
         fstatat (location.fd, location.name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
         S_ISREG (status.st_mode);
}

int
bs_file_transfer (BsFileDirectory *source,
                  BsFileDirectory *target,
                  const BsKey *key,
                  GCancellable *cancellable,
                  BsFileTransfer *how)
{
  BsFileLocation from;
  BsFileLocation to;
  gboolean whole;
  int code;

  code = try_link (source, target, key, &from, &to);
  switch (code)
    {
    case 0:
      *how = BS_FILE_TRANSFER_LINKED;
      return 0;

    case EEXIST:
      *how = BS_FILE_TRANSFER_PRESENT;
      code = check_present (&from, target, &to, &whole);
      if (code != 0 || whole)
        return code;
      return copy (&from, target, key, cancellable, how);

    case ENOENT:
      *how = BS_FILE_TRANSFER_PRESENT;
      return !bs_file_directory_is_scratch (target) && is_present (target, key) ? 0 : ENOENT;

    case EXDEV:
    case EPERM:
    case EMLINK:
    case EOPNOTSUPP:
    case ENOSYS:
      return copy (&from, target, key, cancellable, how);

    default:
      return code;
    }
}
