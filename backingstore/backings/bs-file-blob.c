/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "bs-file-blob-private.h"

#include "bs-file-buffer-private.h"
#include "bs-file-io-private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/uio.h>
#include <unistd.h>

/* Up to this size a blob is read without asking for the size of the file first. */
#define MAX_SMALL (64 * 1024)

static int
check_regular (int blob_fd, struct stat *status)
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
  /* A socket answers with ENXIO, an absent device with ENXIO or ENODEV. */
  if (*blob_fd < 0)
    return errno == ENXIO || errno == ENODEV ? EBADMSG : errno;

  if (status != NULL)
    code = check_regular (*blob_fd, status);
  if (code != 0)
    close (*blob_fd);

  return code;
}

int
bs_file_open_blob (BsFileDirectory *directory, const BsKey *key, int *blob_fd, struct stat *status)
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

/* Reads a file of which nothing is known, from its start. */
static int
load_unknown (int blob_fd, GCancellable *cancellable, GBytes **bytes)
{
  struct stat status;
  guint8 *data;
  int code = check_regular (blob_fd, &status);

  if (code == 0 && lseek (blob_fd, 0, SEEK_SET) < 0)
    code = errno;
  if (code != 0)
    return code;

  data = (guint64) status.st_size <= G_MAXSSIZE ? bs_file_buffer_new (status.st_size) : NULL;
  if (data == NULL)
    return ENOMEM;

  code = bs_file_read_whole (blob_fd, data, status.st_size, NULL, cancellable);
  if (code != 0)
    bs_file_buffer_free (data, status.st_size);
  else
    *bytes = bs_file_buffer_to_bytes (data, status.st_size);

  return code;
}

static int
load_mismatch (int blob_fd, const BsFileDigest *expected, GCancellable *cancellable, GBytes **bytes)
{
  int code = bs_file_digest_mismatch (blob_fd, expected);

  return code != 0 ? code : load_unknown (blob_fd, cancellable, bytes);
}

/* Fills the memory; EILSEQ if the file has another size. */
static int
read_small (int blob_fd, guint8 *data, gsize size)
{
  guint8 more;
  gsize filled = 0;
  gssize part;

  /* A longer file fills the one byte more. */
  do
    {
      struct iovec parts[] = { { data + filled, size - filled }, { &more, 1 } };

      part = TEMP_FAILURE_RETRY (readv (blob_fd, parts, G_N_ELEMENTS (parts)));
      if (part < 0)
        return errno == EISDIR ? EBADMSG : errno;
      filled += part;
    }
  while (part > 0 && filled < size);

  return filled == size ? 0 : EILSEQ;
}

/* The blob is bad unless its size is that of the digest. */
static int
load_small (int blob_fd, const BsFileDigest *expected, GCancellable *cancellable, GBytes **bytes)
{
  gsize size = expected->length;
  guint8 *data = bs_file_buffer_new (size);
  BsFileDigest actual = { 0 };
  BsFileHasher hasher;
  int code;

  if (data == NULL)
    return ENOMEM;

  code = read_small (blob_fd, data, size);
  if (code == 0)
    {
      bs_file_hasher_init (&hasher, size);
      bs_file_hasher_add (&hasher, data, size);
      bs_file_hasher_end (&hasher, &actual);
      if (bs_file_digest_equal (&actual, expected))
        {
          *bytes = bs_file_buffer_to_bytes (data, size);
          return 0;
        }
      code = EILSEQ;
    }

  bs_file_buffer_free (data, size);
  return code != EILSEQ ? code : load_mismatch (blob_fd, expected, cancellable, bytes);
}

static int
load_large (int blob_fd, const BsFileDigest *expected, GCancellable *cancellable, GBytes **bytes)
{
  struct stat status;
  BsFileDigest actual;
  guint8 *data;
  int code = check_regular (blob_fd, &status);

  if (code != 0)
    return code;
  if (expected->length != (guint64) status.st_size)
    return load_mismatch (blob_fd, expected, cancellable, bytes);

  data = expected->length <= G_MAXSSIZE ? bs_file_buffer_new (expected->length) : NULL;
  if (data == NULL)
    return ENOMEM;

  code = bs_file_read_whole (blob_fd, data, expected->length, &actual, cancellable);
  if (code == 0 && bs_file_digest_equal (&actual, expected))
    {
      *bytes = bs_file_buffer_to_bytes (data, expected->length);
      return 0;
    }

  bs_file_buffer_free (data, expected->length);

  return code != 0 ? code : load_mismatch (blob_fd, expected, cancellable, bytes);
}

/* The digest is read from the file unless it is held in memory. */
static int
load_open (int blob_fd, const BsFileDigest *held, GCancellable *cancellable, GBytes **bytes)
{
  BsFileDigest expected;
  gboolean known = held != NULL;
  int code = 0;

  if (g_cancellable_is_cancelled (cancellable))
    return ECANCELED;

  if (held != NULL)
    expected = *held;
  else
    code = bs_file_digest_load (blob_fd, &expected, &known);
  if (code != 0)
    return code;

  if (!known)
    return load_unknown (blob_fd, cancellable, bytes);
  if (expected.length <= MAX_SMALL)
    return load_small (blob_fd, &expected, cancellable, bytes);

  return load_large (blob_fd, &expected, cancellable, bytes);
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

  code = load_open (blob_fd, NULL, cancellable, bytes);
  close (blob_fd);

  return code;
}

/* A missing blob counts as removed. */
static int
remove_file (BsFileDirectory *directory, const BsKey *key)
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

      if (!bs_file_directory_is_scratch (directory))
        {
          bs_file_changes_removed (bs_file_directory_get_changes (directory), key);
          return 0;
        }
      bs_file_keys_remove (bs_file_directory_get_failed_writes (directory), key);
      bs_file_keys_remove (bs_file_directory_get_files (directory), key);
      bs_file_keys_remove (bs_file_directory_get_unhashed (directory), key);
      bs_file_digests_remove (bs_file_directory_get_digests (directory), key);

      return 0;
    }
}

int
bs_file_remove (BsFileDirectory *directory, const BsKey *key)
{
  BsFileSlots *slots = bs_file_directory_get_slots (directory);

  if (slots != NULL && bs_file_slots_remove (slots, key) &&
      !bs_file_keys_contains (bs_file_directory_get_failed_writes (directory), key))
    return 0;

  return remove_file (directory, key);
}

/* Removes the rest of a failed write before the key is used: its file is no blob. */
int
bs_file_clear_failed_write (BsFileDirectory *scratch, const BsKey *key)
{
  if (!bs_file_keys_contains (bs_file_directory_get_failed_writes (scratch), key))
    return 0;

  /* The blob itself may stand in a slot. */
  return remove_file (scratch, key);
}

int
bs_file_load (BsFileDirectory *directory,
              const BsKey *key,
              GCancellable *cancellable,
              GBytes **bytes)
{
  BsFileSlots *slots = bs_file_directory_get_slots (directory);
  BsFileDigest held;
  gboolean is_held;
  int blob_fd;
  int code;

  code = slots != NULL ? bs_file_slots_read (slots, key, cancellable, bytes) : ENOENT;
  if (code != ENOENT)
    return code;

  code = bs_file_clear_failed_write (directory, key);
  if (code != 0)
    return code;

  code = bs_file_open_blob (directory, key, &blob_fd, NULL);
  if (code != 0)
    return code;

  is_held = bs_file_digests_find (bs_file_directory_get_digests (directory), key, &held);
  code = load_open (blob_fd, is_held ? &held : NULL, cancellable, bytes);
  close (blob_fd);

  return code;
}

static int
open_new (BsFileDirectory *directory, const BsKey *key, BsFileLocation *location, int *fd)
{
  int code = bs_file_directory_locate (directory, key, TRUE, location);

  if (code != 0)
    return code;

  *fd = TEMP_FAILURE_RETRY (openat (location->fd, location->name,
                                    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));

  return *fd < 0 ? errno : 0;
}

int
bs_file_new_blob_begin (BsFileNewBlob *self, BsFileDirectory *scratch, const BsKey *key)
{
  int code = bs_file_clear_failed_write (scratch, key);

  *self = (BsFileNewBlob){ .scratch = scratch, .key = key };
  if (code != 0)
    return code;

  code = open_new (scratch, key, &self->location, &self->fd);
  if (code == ENOENT && bs_file_directory_lost (scratch, &self->location))
    code = open_new (scratch, key, &self->location, &self->fd);
  if (code != 0)
    {
      bs_file_location_clear (&self->location);
      return code;
    }

  if (bs_file_directory_masks_owner (scratch))
    fchmod (self->fd, 0600);

  return 0;
}

void
bs_file_new_blob_hold (BsFileNewBlob *self, const BsFileDigest *digest)
{
  BsFileDigest held = *digest;

  held.time = 0;
  bs_file_digests_add (bs_file_directory_get_digests (self->scratch), self->key, &held);
}

int
bs_file_new_blob_end (BsFileNewBlob *self, int code)
{
  BsFileDirectory *scratch = self->scratch;

  code = bs_file_close_written (self->fd, code);
  if (code == 0)
    {
      bs_file_keys_add (bs_file_directory_get_files (scratch), self->key);
    }
  else
    {
      bs_file_digests_remove (bs_file_directory_get_digests (scratch), self->key);
      if (unlinkat (self->location.fd, self->location.name, 0) != 0 && errno != ENOENT)
        bs_file_keys_add (bs_file_directory_get_failed_writes (scratch), self->key);
    }
  bs_file_location_clear (&self->location);

  return code;
}

/* Besides the slots. The digest of a blob that is not sealed stays in memory: only what
 * becomes permanent needs it in the file. */
static int
create_file (BsFileDirectory *directory,
             const BsKey *key,
             GBytes *bytes,
             gboolean seals,
             GCancellable *cancellable)
{
  gboolean hashed = !seals || bs_file_directory_takes_digests (directory);
  BsFileDigest digest;
  BsFileNewBlob blob;
  const guint8 *data;
  gsize size;
  int code = bs_file_new_blob_begin (&blob, directory, key);

  if (code != 0)
    return code;

  data = g_bytes_get_data (bytes, &size);
  code = bs_file_directory_reserve (directory, blob.fd, size);
  if (code == 0)
    code = bs_file_write_whole (blob.fd, data, size, hashed ? &digest : NULL, cancellable);
  if (code == 0 && seals)
    code = bs_file_directory_seal (directory, blob.fd, hashed ? &digest : NULL);
  else if (code == 0)
    bs_file_new_blob_hold (&blob, &digest);

  return bs_file_new_blob_end (&blob, code);
}

gboolean
bs_file_contains (BsFileDirectory *scratch, const BsKey *key)
{
  BsFileSlots *slots = bs_file_directory_get_slots (scratch);

  return (slots != NULL && bs_file_slots_contains (slots, key, NULL)) ||
         bs_file_keys_contains (bs_file_directory_get_files (scratch), key);
}

int
bs_file_create_file (BsFileDirectory *scratch,
                     const BsKey *key,
                     GBytes *bytes,
                     GCancellable *cancellable)
{
  BsFileSlots *slots = bs_file_directory_get_slots (scratch);

  if (slots != NULL && bs_file_slots_contains (slots, key, NULL))
    return EEXIST;

  return create_file (scratch, key, bytes, TRUE, cancellable);
}

int
bs_file_create (BsFileDirectory *scratch,
                const BsKey *key,
                GBytes *bytes,
                GCancellable *cancellable)
{
  BsFileSlots *slots = bs_file_directory_get_slots (scratch);
  int code;

  if (slots == NULL)
    return create_file (scratch, key, bytes, TRUE, cancellable);
  if (g_bytes_get_size (bytes) > BS_FILE_MAX_SLOT)
    return bs_file_slots_contains (slots, key, NULL)
             ? EEXIST
             : create_file (scratch, key, bytes, FALSE, cancellable);

  if (bs_file_keys_contains (bs_file_directory_get_files (scratch), key))
    return EEXIST;
  code = bs_file_clear_failed_write (scratch, key);
  if (code == 0)
    code = bs_file_slots_write (slots, key, bytes, cancellable);

  return code == ENOTSUP ? create_file (scratch, key, bytes, FALSE, cancellable) : code;
}

int
bs_file_leave_slot (BsFileDirectory *scratch, const BsKey *key, GCancellable *cancellable)
{
  BsFileSlots *slots = bs_file_directory_get_slots (scratch);
  g_autoptr (GBytes) bytes = NULL;
  int code;

  if (slots == NULL || !bs_file_slots_contains (slots, key, NULL))
    return 0;

  code = bs_file_slots_read (slots, key, cancellable, &bytes);
  if (code == 0)
    code = create_file (scratch, key, bytes, TRUE, cancellable);
  /* Nobody but this process may put a file there. */
  if (code == EEXIST)
    {
      code = remove_file (scratch, key);
      if (code == 0)
        code = create_file (scratch, key, bytes, TRUE, cancellable);
    }
  if (code == 0)
    bs_file_slots_remove (slots, key);

  return code;
}

/* Hashes a file whose bytes the kernel has copied. */
static int
hash_file (BsFileDirectory *scratch,
           int blob_fd,
           BsFileDigest *digest,
           gboolean *known,
           GCancellable *cancellable)
{
  g_autofree guint8 *chunk = NULL;
  struct stat status;
  int code = check_regular (blob_fd, &status);

  *known = code == 0 && bs_file_directory_takes_digests (scratch);
  if (!*known)
    return code;

  chunk = g_malloc (BS_FILE_CHUNK_SIZE);

  return bs_file_read_through (blob_fd, chunk, status.st_size, digest, cancellable);
}

int
bs_file_seal (BsFileDirectory *scratch, const BsKey *key, GCancellable *cancellable)
{
  BsFileDigests *digests = bs_file_directory_get_digests (scratch);
  BsFileKeys *unhashed = bs_file_directory_get_unhashed (scratch);
  gboolean is_unhashed = bs_file_keys_contains (unhashed, key);
  BsFileDigest digest;
  gboolean known = TRUE;
  int blob_fd;
  int code = 0;

  if (!bs_file_digests_find (digests, key, &digest) && !is_unhashed)
    return 0;

  /* Where there is no blob there is none to link either. */
  code = bs_file_open_blob (scratch, key, &blob_fd, NULL);
  if (code == ENOENT || code == EBADMSG || code == ELOOP)
    return 0;
  if (code != 0)
    return code;

  if (is_unhashed)
    code = hash_file (scratch, blob_fd, &digest, &known, cancellable);
  if (code == 0)
    code = bs_file_directory_seal (scratch, blob_fd, known ? &digest : NULL);
  close (blob_fd);
  if (code == 0)
    {
      bs_file_digests_remove (digests, key);
      bs_file_keys_remove (unhashed, key);
    }

  return code;
}

/* Skips holes: they are not on the disk, however large the file says that they are. */
static int
read_extents (int fd, guint8 *chunk, goffset size, GCancellable *cancellable)
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

      code = bs_file_read_through (fd, chunk, end - at, NULL, cancellable);
      at = end;
    }

  return code;
}

int
bs_file_check (int blob_fd, goffset size, GCancellable *cancellable)
{
  g_autofree guint8 *chunk = NULL;
  BsFileDigest expected;
  BsFileDigest actual;
  gboolean known;
  int code;

  code = bs_file_digest_load (blob_fd, &expected, &known);
  if (code == 0 && known && expected.length != (guint64) size)
    {
      code = bs_file_digest_mismatch (blob_fd, &expected);
      known = FALSE;
    }
  if (code != 0)
    return code;

  /* The page cache may hold whole a page that the disk never got. */
  posix_fadvise (blob_fd, 0, 0, POSIX_FADV_DONTNEED);

  chunk = g_malloc (BS_FILE_CHUNK_SIZE);
  if (!known)
    return read_extents (blob_fd, chunk, size, cancellable);

  code = bs_file_read_through (blob_fd, chunk, size, &actual, cancellable);

  return code == 0 && !bs_file_digest_equal (&actual, &expected)
           ? bs_file_digest_mismatch (blob_fd, &expected)
           : code;
}
