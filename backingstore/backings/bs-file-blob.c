/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "bs-file-blob-private.h"

#include "bs-file-buffer-private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/* So much is read without asking for the size of the file first. */
#define MAX_SMALL (64 * 1024)

static int
write_chunk (int fd,
             const guint8 *data,
             gsize size)
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

/* EBADMSG if there is less than `size`. */
static int
read_chunk (int fd,
            guint8 *data,
            gsize size)
{
  while (size > 0)
    {
      gssize filled = TEMP_FAILURE_RETRY (read (fd, data, size));

      if (filled < 0)
        return errno;
      if (filled == 0)
        return EBADMSG;
      data += filled;
      size -= filled;
    }

  return 0;
}

/* `digest` may be NULL. */
static int
write_whole (int fd,
             const guint8 *data,
             gsize size,
             BsFileDigest *digest,
             GCancellable *cancellable)
{
  BsFileDigest ignored;
  BsFileHasher hasher;
  int code = 0;

  bs_file_hasher_init (&hasher, digest != NULL ? size : 0);
  for (gsize at = 0; at < size && code == 0;)
    {
      gsize part = MIN (size - at, BS_FILE_CHUNK_SIZE);

      if (g_cancellable_is_cancelled (cancellable))
        {
          code = ECANCELED;
          break;
        }
      if (digest != NULL)
        bs_file_hasher_add (&hasher, data + at, part);
      code = write_chunk (fd, data + at, part);
      at += part;
    }
  bs_file_hasher_end (&hasher, digest != NULL ? digest : &ignored);

  return code;
}

/* `digest` may be NULL. With `keep` FALSE each chunk takes the place of the one
 * before. */
static int
read_whole (int fd,
            guint8 *data,
            gsize size,
            gboolean keep,
            BsFileDigest *digest,
            GCancellable *cancellable)
{
  BsFileDigest ignored;
  BsFileHasher hasher;
  int code = 0;

  bs_file_hasher_init (&hasher, digest != NULL ? size : 0);
  for (gsize at = 0; at < size && code == 0;)
    {
      guint8 *chunk = keep ? data + at : data;
      gsize part = MIN (size - at, BS_FILE_CHUNK_SIZE);

      if (g_cancellable_is_cancelled (cancellable))
        {
          code = ECANCELED;
          break;
        }
      code = read_chunk (fd, chunk, part);
      if (code == 0 && digest != NULL)
        bs_file_hasher_add (&hasher, chunk, part);
      at += part;
    }
  bs_file_hasher_end (&hasher, digest != NULL ? digest : &ignored);

  return code;
}

/* Closing is where some file systems report that the disk is full. After EINTR
 * the descriptor is gone all the same. */
int
bs_file_close_written (int fd,
                       int code)
{
  if (close (fd) != 0 && code == 0 && errno != EINTR)
    return errno;

  return code;
}

static int
check_regular (int blob_fd,
               struct stat *status)
{
  if (fstat (blob_fd, status) != 0)
    return errno;

  return S_ISREG (status->st_mode) ? 0 : EBADMSG;
}

int
bs_file_open (BsFileDirectory *directory,
              int fd,
              const char *name,
              int *blob_fd,
              struct stat *status)
{
  int code = 0;

  *blob_fd = bs_file_directory_open_file (directory, fd, name);
  /* ENXIO of a socket, or like ENODEV of a device that is not there. */
  if (*blob_fd < 0)
    return errno == ENXIO || errno == ENODEV ? EBADMSG : errno;

  if (status != NULL)
    code = check_regular (*blob_fd, status);
  if (code != 0)
    close (*blob_fd);

  return code;
}

int
bs_file_open_blob (BsFileDirectory *directory,
                   const BsKey *key,
                   int *blob_fd,
                   struct stat *status)
{
  for (;;)
    {
      g_auto (BsFileLocation) location = { 0 };
      int code = bs_file_directory_locate (directory, key, FALSE, &location);

      if (code != 0)
        return code;

      code = bs_file_open (directory, location.fd, location.name, blob_fd, status);
      if (code != ENOENT || !bs_file_directory_lost (directory, &location))
        return code;
    }
}

/* The size is what the digest says, or else the blob is bad. */
static int
load_small (int blob_fd,
            const BsFileDigest *expected,
            GBytes **bytes)
{
  gsize size = expected->length;
  g_autofree guint8 *data = g_malloc (size + 1);
  BsFileDigest actual = { 0 };
  BsFileHasher hasher;
  gsize filled = 0;
  gssize part;

  /* One byte more than there should be. */
  do
    {
      part = TEMP_FAILURE_RETRY (read (blob_fd, data + filled, size + 1 - filled));
      if (part < 0)
        return errno == EISDIR ? EBADMSG : errno;
      filled += part;
    }
  while (part > 0 && filled < size);

  if (filled != size)
    return EILSEQ;

  bs_file_hasher_init (&hasher, size);
  bs_file_hasher_add (&hasher, data, size);
  bs_file_hasher_end (&hasher, &actual);
  if (!bs_file_digest_equal (&actual, expected))
    return EILSEQ;

  *bytes = g_bytes_new_take (g_steal_pointer (&data), size);

  return 0;
}

/* `expected` is NULL if nothing is known of the content. */
static int
load_any (int blob_fd,
          const BsFileDigest *expected,
          GCancellable *cancellable,
          GBytes **bytes)
{
  struct stat status;
  BsFileDigest actual;
  guint8 *data;
  int code;

  code = check_regular (blob_fd, &status);
  if (code == 0 && expected != NULL && expected->length != (guint64) status.st_size)
    code = EILSEQ;
  if (code != 0)
    return code;

  data = (guint64) status.st_size <= G_MAXSSIZE ? bs_file_buffer_new (status.st_size) : NULL;
  if (data == NULL)
    return ENOMEM;

  code = read_whole (blob_fd, data, status.st_size, TRUE, expected != NULL ? &actual : NULL, cancellable);
  if (code == 0 && expected != NULL && !bs_file_digest_equal (&actual, expected))
    code = EILSEQ;

  if (code != 0)
    bs_file_buffer_free (data, status.st_size);
  else
    *bytes = bs_file_buffer_to_bytes (data, status.st_size);

  return code;
}

static int
load_open (int blob_fd,
           GCancellable *cancellable,
           GBytes **bytes)
{
  BsFileDigest expected;
  gboolean known;
  int code;

  if (g_cancellable_is_cancelled (cancellable))
    return ECANCELED;

  code = bs_file_digest_load (blob_fd, &expected, &known);
  if (code != 0)
    return code;

  if (known && expected.length <= MAX_SMALL)
    return load_small (blob_fd, &expected, bytes);

  return load_any (blob_fd, known ? &expected : NULL, cancellable, bytes);
}

int
bs_file_load_at (BsFileDirectory *directory,
                 const char *name,
                 GCancellable *cancellable,
                 GBytes **bytes)
{
  int blob_fd;
  int code;

  code = bs_file_open (directory, bs_file_directory_get_fd (directory), name, &blob_fd, NULL);
  if (code != 0)
    return code;

  code = load_open (blob_fd, cancellable, bytes);
  close (blob_fd);

  return code;
}

/* Before a key in scratch is used: what a failed write left there under its name
 * is no blob, and goes first. */
int
bs_file_clear_torn (BsFileDirectory *scratch,
                    const BsKey *key)
{
  if (!bs_file_doubts_contains (bs_file_directory_get_torn (scratch), key))
    return 0;

  return bs_file_remove (scratch, key);
}

int
bs_file_load (BsFileDirectory *directory,
              const BsKey *key,
              GCancellable *cancellable,
              GBytes **bytes)
{
  int blob_fd;
  int code;

  code = bs_file_clear_torn (directory, key);
  if (code != 0)
    return code;

  code = bs_file_open_blob (directory, key, &blob_fd, NULL);
  if (code != 0)
    return code;

  code = load_open (blob_fd, cancellable, bytes);
  close (blob_fd);

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
  gboolean hashed = bs_file_directory_takes_digests (directory);
  g_auto (BsFileLocation) location = { 0 };
  BsFileDigest digest;
  const guint8 *data;
  gsize size;
  int fd;
  int code;

  code = bs_file_clear_torn (directory, key);
  if (code != 0)
    return code;

  code = open_new (directory, key, &location, &fd);
  if (code == ENOENT && bs_file_directory_lost (directory, &location))
    code = open_new (directory, key, &location, &fd);
  if (code != 0)
    return code;

  if (bs_file_directory_masks_owner (directory))
    fchmod (fd, 0600);

  data = g_bytes_get_data (bytes, &size);
  code = bs_file_directory_reserve (directory, fd, size);
  if (code == 0)
    code = write_whole (fd, data, size, hashed ? &digest : NULL, cancellable);
  if (code == 0)
    code = bs_file_directory_seal (directory, fd, hashed ? &digest : NULL);
  code = bs_file_close_written (fd, code);
  if (code != 0 && unlinkat (location.fd, location.name, 0) != 0 && errno != ENOENT)
    bs_file_doubts_add (bs_file_directory_get_torn (directory), key);

  return code;
}

/* What is not there counts as removed. */
int
bs_file_remove (BsFileDirectory *directory,
                const BsKey *key)
{
  for (;;)
    {
      g_auto (BsFileLocation) location = { 0 };
      int code = bs_file_directory_locate (directory, key, FALSE, &location);

      if (code == 0 && unlinkat (location.fd, location.name, 0) != 0)
        {
          code = errno;
          if (code == ENOENT && bs_file_directory_lost (directory, &location))
            continue;
        }
      if (code != 0 && code != ENOENT)
        return code;

      if (bs_file_directory_is_scratch (directory))
        bs_file_doubts_remove (bs_file_directory_get_torn (directory), key);
      else
        bs_file_changes_removed (bs_file_directory_get_changes (directory), key);

      return 0;
    }
}

void
bs_file_make_temporary_name (char name[BS_FILE_TEMPORARY_SIZE])
{
  BsKey key;

  bs_key_init_random (&key);
  strcpy (name, BS_FILE_TEMPORARY_PREFIX);
  bs_key_print_hex (&key, name + strlen (BS_FILE_TEMPORARY_PREFIX));
}

int
bs_file_make_temporary (int fd,
                        char name[BS_FILE_TEMPORARY_SIZE],
                        int *temporary_fd)
{
  bs_file_make_temporary_name (name);

  *temporary_fd = TEMP_FAILURE_RETRY (openat (fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (*temporary_fd < 0)
    return errno;

  /* Where permissions can't be set there are none to set. */
  fchmod (*temporary_fd, 0600);

  return 0;
}

/* A new file with the content, durable but for its name. */
static int
write_temporary (int fd,
                 char name[BS_FILE_TEMPORARY_SIZE],
                 GBytes *bytes,
                 gboolean hashed,
                 GCancellable *cancellable)
{
  BsFileDigest digest;
  const guint8 *data;
  int temporary_fd;
  gsize size;
  int code;

  code = bs_file_make_temporary (fd, name, &temporary_fd);
  if (code != 0)
    return code;

  data = g_bytes_get_data (bytes, &size);
  code = write_whole (temporary_fd, data, size, hashed ? &digest : NULL, cancellable);
  if (code == 0 && hashed)
    {
      code = bs_file_digest_store (temporary_fd, &digest);
      if (bs_file_digest_is_refusal (code))
        code = 0;
    }
  if (code == 0 && TEMP_FAILURE_RETRY (fsync (temporary_fd)) != 0)
    code = errno;
  code = bs_file_close_written (temporary_fd, code);
  if (code != 0)
    unlinkat (fd, name, 0);

  return code;
}

/* Renames over `name`, and back again if that can't be made durable. Where there
 * are no hard links the old file can't be had back. */
static int
rename_durably (int fd,
                const char *temporary,
                const char *name)
{
  char old[BS_FILE_TEMPORARY_SIZE];
  gboolean has_old;
  gboolean had_none;
  int code = 0;

  bs_file_make_temporary_name (old);
  has_old = linkat (fd, name, fd, old, 0) == 0;
  had_none = !has_old && errno == ENOENT;

  if (renameat (fd, temporary, fd, name) != 0)
    {
      code = errno;
      unlinkat (fd, temporary, 0);
    }
  else if (TEMP_FAILURE_RETRY (fsync (fd)) != 0)
    {
      code = errno;
      if (has_old)
        has_old = renameat (fd, old, fd, name) != 0;
      else if (had_none)
        unlinkat (fd, name, 0);
    }

  if (has_old)
    unlinkat (fd, old, 0);

  return code;
}

int
bs_file_replace (int fd,
                 const char *name,
                 GBytes *bytes,
                 gboolean hashed,
                 GCancellable *cancellable)
{
  char temporary[BS_FILE_TEMPORARY_SIZE];
  int code = write_temporary (fd, temporary, bytes, hashed, cancellable);

  return code != 0 ? code : rename_durably (fd, temporary, name);
}

int
bs_file_copy (int source_fd,
              goffset size,
              int fd,
              BsFileDigest *digest,
              GCancellable *cancellable)
{
  g_autofree guint8 *chunk = g_malloc (BS_FILE_CHUNK_SIZE);
  BsFileDigest ignored;
  BsFileHasher hasher;
  int code = 0;

  bs_file_hasher_init (&hasher, digest != NULL ? size : 0);
  while (size > 0 && code == 0)
    {
      gsize part = MIN (size, BS_FILE_CHUNK_SIZE);

      code = g_cancellable_is_cancelled (cancellable) ? ECANCELED : read_chunk (source_fd, chunk, part);
      if (code == 0 && digest != NULL)
        bs_file_hasher_add (&hasher, chunk, part);
      if (code == 0)
        code = write_chunk (fd, chunk, part);
      size -= part;
    }
  bs_file_hasher_end (&hasher, digest != NULL ? digest : &ignored);

  return code;
}

/* All that is on the disk: a hole is not, however large it says that it is. */
static int
read_extents (int fd,
              guint8 *chunk,
              goffset size,
              GCancellable *cancellable)
{
  goffset at = 0;
  int code = 0;

  while (code == 0 && at < size)
    {
      goffset end;

      at = lseek (fd, at, SEEK_DATA);
      if (at < 0)
        return errno == ENXIO ? 0 : errno;
      end = lseek (fd, at, SEEK_HOLE);
      if (end < 0 || lseek (fd, at, SEEK_SET) < 0)
        return errno;

      code = read_whole (fd, chunk, end - at, FALSE, NULL, cancellable);
      at = end;
    }

  return code;
}

int
bs_file_check (int blob_fd,
               goffset size,
               GCancellable *cancellable)
{
  g_autofree guint8 *chunk = NULL;
  BsFileDigest expected;
  BsFileDigest actual;
  gboolean known;
  int code;

  code = bs_file_digest_load (blob_fd, &expected, &known);
  if (code == 0 && known && expected.length != (guint64) size)
    code = EILSEQ;
  if (code != 0)
    return code;

  /* A page whose writing failed is whole in memory and nowhere else. */
  posix_fadvise (blob_fd, 0, 0, POSIX_FADV_DONTNEED);

  chunk = g_malloc (BS_FILE_CHUNK_SIZE);
  if (!known)
    return read_extents (blob_fd, chunk, size, cancellable);

  code = read_whole (blob_fd, chunk, size, FALSE, &actual, cancellable);

  return code == 0 && !bs_file_digest_equal (&actual, &expected) ? EILSEQ : code;
}
