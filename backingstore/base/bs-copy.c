/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-copy-private.h"

#include <errno.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK_SIZE (256 * 1024)
/* So much is copied before the cancellable is looked at. */
#define KERNEL_CHUNK_SIZE (8 * 1024 * 1024)

typedef struct
{
  int source_fd;
  int fd;
  gboolean is_refused; /* by the kernel: the rest is read and written */
  guint8 *chunk;       /* owned, nullable */
  BsCopyMethod method;
  GCancellable *cancellable;
} Copy;

int
bs_copy_write (int fd, const guint8 *data, gsize size)
{
  while (size > 0)
    {
      gssize written = TEMP_FAILURE_RETRY (write (fd, data, size));

      if (written < 0)
        return errno;
      if (written == 0)
        return EIO;
      data += written;
      size -= written;
    }

  return 0;
}

/* Whether the errno is that of a kernel or a file system which cannot copy these files. */
static gboolean
is_refusal (int code)
{
  switch (code)
    {
    case EXDEV:
    case EINVAL:
    case ENOSYS:
    case EOPNOTSUPP:
    case EPERM:
    case EACCES:
    case ETXTBSY:
      return TRUE;
    default:
      return FALSE;
    }
}

/* Returns the number of bytes, 0 at the end of the source, or -1 with errno. */
static gssize
copy_by_kernel (Copy *self, goffset at, goffset size)
{
  off64_t from = at, to = at;
  gssize n_copied;

  do
    n_copied =
      copy_file_range (self->source_fd, &from, self->fd, &to, MIN (size, KERNEL_CHUNK_SIZE), 0);
  while (n_copied < 0 && errno == EINTR);

  return n_copied;
}

static gssize
copy_by_reading (Copy *self, goffset at, goffset size)
{
  gssize n_read;
  int code;

  if (self->chunk == NULL)
    self->chunk = g_malloc (CHUNK_SIZE);
  self->method = BS_COPY_READ;

  n_read = TEMP_FAILURE_RETRY (pread (self->source_fd, self->chunk, MIN (size, CHUNK_SIZE), at));
  if (n_read <= 0)
    return n_read;
  if (lseek (self->fd, at, SEEK_SET) < 0)
    return -1;

  code = bs_copy_write (self->fd, self->chunk, n_read);
  if (code == 0)
    return n_read;

  errno = code;
  return -1;
}

static gssize
copy_part (Copy *self, goffset at, goffset size)
{
  if (!self->is_refused)
    {
      gssize n_copied = copy_by_kernel (self, at, size);

      if (n_copied > 0 || (n_copied < 0 && !is_refusal (errno)))
        return n_copied;

      /* Some file systems have nothing for the kernel to copy, and yet something to read. */
      self->is_refused = TRUE;
    }

  return copy_by_reading (self, at, size);
}

/* Copies up to `end`, or as much as there is. Moves `at`. */
static int
copy_range (Copy *self, goffset *at, goffset end)
{
  while (*at < end)
    {
      gssize n_copied;

      if (g_cancellable_is_cancelled (self->cancellable))
        return ECANCELED;

      n_copied = copy_part (self, *at, end - *at);
      if (n_copied < 0)
        return errno;
      if (n_copied == 0)
        return 0;
      *at += n_copied;
    }

  return 0;
}

/* Copies the parts that are on the disk, and leaves the holes between them. */
static int
copy_extents (Copy *self, goffset size)
{
  goffset at = 0;
  struct stat status;

  while (at < size)
    {
      off_t start = lseek (self->source_fd, at, SEEK_DATA);
      off_t end;
      int code;

      if (start < 0 && errno == ENXIO)
        break;
      end = start < 0 ? -1 : lseek (self->source_fd, start, SEEK_HOLE);
      if (end < 0)
        return copy_range (self, &at, size);

      at = start;
      end = MIN (end, size);
      code = copy_range (self, &at, end);
      /* The source has become shorter. */
      if (code != 0 || at < end)
        return code;
    }

  /* The file ends in a hole, unless it was cut meanwhile. */
  if (fstat (self->source_fd, &status) != 0 ||
      ftruncate (self->fd, MIN (size, status.st_size)) != 0)
    return errno;

  return 0;
}

static gboolean
has_holes (const struct stat *status)
{
  return status->st_blocks < status->st_size / 512;
}

int
bs_copy_file (int source_fd, int fd, BsCopyMethod *method, GCancellable *cancellable)
{
  Copy copy = { source_fd, fd, .method = BS_COPY_BY_KERNEL, .cancellable = cancellable };
  struct stat status;
  goffset at = 0;
  int code;

  *method = BS_COPY_BY_KERNEL;
  if (g_cancellable_is_cancelled (cancellable))
    return ECANCELED;
  if (fstat (source_fd, &status) != 0)
    return errno;

  if (status.st_size > 0 && ioctl (fd, FICLONE, source_fd) == 0)
    {
      *method = BS_COPY_CLONED;
      return 0;
    }

  if (has_holes (&status))
    code = copy_extents (&copy, status.st_size);
  else
    code = copy_range (&copy, &at, status.st_size);
  g_free (copy.chunk);
  *method = copy.method;

  return code;
}
