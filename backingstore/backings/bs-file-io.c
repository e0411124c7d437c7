/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "bs-file-io-private.h"

#include "base/bs-copy-private.h"
#include "bs-file-system-private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* EBADMSG if there is less than `size`. */
static int
read_chunk (int fd, guint8 *data, gsize size)
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

int
bs_file_write_whole (int fd,
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
      code = bs_copy_write (fd, data + at, part);
      at += part;
    }
  bs_file_hasher_end (&hasher, digest != NULL ? digest : &ignored);

  return code;
}

/* With `keep` FALSE each chunk overwrites the one before. */
static int
read_chunks (int fd,
             guint8 *data,
             goffset size,
             gboolean keep,
             BsFileDigest *digest,
             GCancellable *cancellable)
{
  BsFileDigest ignored;
  BsFileHasher hasher;
  int code = 0;

  bs_file_hasher_init (&hasher, digest != NULL ? size : 0);
  for (goffset at = 0; at < size && code == 0;)
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

int
bs_file_read_whole (int fd,
                    guint8 *data,
                    gsize size,
                    BsFileDigest *digest,
                    GCancellable *cancellable)
{
  return read_chunks (fd, data, size, TRUE, digest, cancellable);
}

int
bs_file_read_through (int fd,
                      guint8 *chunk,
                      goffset size,
                      BsFileDigest *digest,
                      GCancellable *cancellable)
{
  return read_chunks (fd, chunk, size, FALSE, digest, cancellable);
}

/* Some file systems report a full disk on closing. EINTR leaves nothing to close. */
int
bs_file_close_written (int fd, int code)
{
  if (close (fd) != 0 && code == 0 && errno != EINTR)
    return errno;

  return code;
}

void
bs_file_make_temporary_name (char name[BS_FILE_TEMPORARY_SIZE])
{
  BsKey key;

  bs_key_init_random (&key);
  strcpy (name, BS_FILE_TEMPORARY_PREFIX);
  bs_key_print_hex (&key, name + strlen (BS_FILE_TEMPORARY_PREFIX));
}

/* A folder that its owner has opened to others opens its new files too, so that nobody is
 * shut out of a shared document. */
mode_t
bs_file_get_mode (int folder_fd)
{
  struct stat status;

  return fstat (folder_fd, &status) == 0 ? 0600 | (status.st_mode & 0066) : 0600;
}

mode_t
bs_file_get_folder_mode (int folder_fd)
{
  struct stat status;

  return fstat (folder_fd, &status) == 0 ? 0700 | (status.st_mode & (S_ISGID | 0077)) : 0700;
}

/* The descriptor names the file: other users may put a link in its place meanwhile. */
static int
set_folder_mode (int folder_fd, mode_t mode, gboolean *masked)
{
  g_autofree char *path = g_strdup_printf ("/proc/self/fd/%d", folder_fd);
  struct stat status;

  if (fstat (folder_fd, &status) != 0)
    return errno;

  *masked = (status.st_mode & 0700) != 0700;
  if ((status.st_mode & mode) == mode)
    return 0;

  return fchmodat (AT_FDCWD, path, mode, 0) == 0 ? 0 : errno;
}

int
bs_file_make_folder (int fd, const char *name, mode_t mode, gboolean *masked)
{
  int folder_fd;
  int code;

  *masked = FALSE;
  if (mkdirat (fd, name, mode) != 0)
    return errno;

  folder_fd = TEMP_FAILURE_RETRY (openat (fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (folder_fd < 0)
    return errno == EMFILE || errno == ENFILE ? 0 : errno;

  code = set_folder_mode (folder_fd, mode, masked);
  close (folder_fd);

  /* Some file systems have no permissions to set, and the owner needs none of the group. */
  return *masked ? code : 0;
}

int
bs_file_open_temporary (int fd, const char *name, int *temporary_fd)
{
  const mode_t mode = bs_file_get_mode (fd);

  *temporary_fd = TEMP_FAILURE_RETRY (
    openat (fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode));
  if (*temporary_fd < 0)
    return errno;

  /* A file system that refuses has no permissions to set. */
  fchmod (*temporary_fd, mode);

  return 0;
}

/* The content is durable afterwards, its name is not. */
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

  bs_file_make_temporary_name (name);
  code = bs_file_open_temporary (fd, name, &temporary_fd);
  if (code != 0)
    return code;

  data = g_bytes_get_data (bytes, &size);
  code = bs_file_write_whole (temporary_fd, data, size, hashed ? &digest : NULL, cancellable);
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

/* Renames over `name`, and back again if the folder can't be synced. A file system
 * without hard links keeps no old file to go back to. */
static int
rename_durably (int fd, const char *temporary, const char *name)
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
  else if ((code = bs_file_system_sync_folder (fd)) != 0)
    {
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

static int
sync_entry (BsFileEntry kind, int fd, const char *name, const BsKey *key, gpointer user_data)
{
  const gboolean folder = kind == BS_FILE_ENTRY_SHARD;
  int entry_fd;
  int code = 0;

  if (kind != BS_FILE_ENTRY_BLOB && !folder)
    return 0;

  entry_fd = TEMP_FAILURE_RETRY (openat (fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (entry_fd < 0)
    return errno == ENOENT ? 0 : errno;

  if (folder)
    code = bs_file_system_sync_folder (entry_fd);
  else if (TEMP_FAILURE_RETRY (fsync (entry_fd)) != 0)
    code = errno;
  close (entry_fd);

  return code;
}

int
bs_file_sync_all (int fd, GCancellable *cancellable)
{
  if (bs_file_system_is_local (fd))
    return TEMP_FAILURE_RETRY (syncfs (fd)) == 0 ? 0 : errno;

  return bs_file_walk (fd, cancellable, sync_entry, NULL);
}

int
bs_file_copy (int source_fd, goffset size, int fd, BsFileDigest *digest, GCancellable *cancellable)
{
  g_autofree guint8 *chunk = g_malloc (BS_FILE_CHUNK_SIZE);
  BsFileDigest ignored;
  BsFileHasher hasher;
  int code = 0;

  bs_file_hasher_init (&hasher, digest != NULL ? size : 0);
  while (size > 0 && code == 0)
    {
      gsize part = MIN (size, BS_FILE_CHUNK_SIZE);

      code =
        g_cancellable_is_cancelled (cancellable) ? ECANCELED : read_chunk (source_fd, chunk, part);
      if (code == 0 && digest != NULL)
        bs_file_hasher_add (&hasher, chunk, part);
      if (code == 0)
        code = bs_copy_write (fd, chunk, part);
      size -= part;
    }
  bs_file_hasher_end (&hasher, digest != NULL ? digest : &ignored);

  return code;
}
