/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "bs-file-import-private.h"

#include "base/bs-stream-private.h"
#include "base/bs-copy-private.h"
#include "base/bs-error.h"
#include "bs-file-blob-private.h"
#include "bs-file-digest-private.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gunixinputstream.h>
#include <glib/gi18n-lib.h>
#include <sys/stat.h>
#include <unistd.h>

/* A small content goes to a slot, and is held in memory whole before. */
#define BUFFER_SIZE (BS_FILE_MAX_SLOT + 1)

static gboolean
set_create_error (BsFileDirectory *scratch, int code, GError **error)
{
  if (code == EEXIST)
    g_set_error_literal (error, BS_ERROR, BS_ERROR_EXISTS,
                         _ ("primary storage has the key already"));
  else
    bs_file_directory_set_error (scratch, code, error);

  return FALSE;
}

/* A content that is read from a stream. */
typedef struct
{
  BsFileDirectory *scratch;
  GInputStream *stream;
  gint64 size; /* or -1 */
  guint64 n_read;
  guint8 *buffer; /* owned; BUFFER_SIZE bytes */
  gsize filled;
  GCancellable *cancellable;
} Source;

/* Fills the buffer, at the end of the content with less. */
static gboolean
source_fill (Source *self, GError **error)
{
  gsize wanted = BUFFER_SIZE;

  if (self->size >= 0)
    wanted = MIN (wanted, (guint64) self->size - self->n_read);
  if (!g_input_stream_read_all (self->stream, self->buffer, wanted, &self->filled,
                                self->cancellable, error))
    return FALSE;

  self->n_read += self->filled;
  if (self->size < 0 || self->filled == wanted)
    return TRUE;

  bs_stream_set_short (self->n_read, self->size, error);
  return FALSE;
}

static gboolean
source_write (Source *self, int fd, BsFileHasher *hasher, GError **error)
{
  guint n_given = bs_file_directory_get_n_given (self->scratch);
  int code;

  bs_file_hasher_add (hasher, self->buffer, self->filled);
  code = bs_copy_write (fd, self->buffer, self->filled);
  if (bs_file_directory_makes_room (self->scratch, n_given, code))
    code = lseek (fd, self->n_read - self->filled, SEEK_SET) < 0
             ? errno
             : bs_copy_write (fd, self->buffer, self->filled);
  if (code != 0)
    g_set_error_literal (error, G_IO_ERROR, g_io_error_from_errno (code), g_strerror (code));

  return code == 0;
}

/* Writes what the buffer has, and the rest of the content. */
static gboolean
source_write_all (Source *self, int fd, BsFileDigest *digest, GError **error)
{
  BsFileHasher hasher;
  gboolean success;

  bs_file_hasher_init (&hasher, G_MAXUINT64);
  success = source_write (self, fd, &hasher, error);
  while (success && self->filled == BUFFER_SIZE)
    success = source_fill (self, error) && source_write (self, fd, &hasher, error);
  bs_file_hasher_end (&hasher, digest);

  return success;
}

static gboolean
import_large (BsFileDirectory *scratch, const BsKey *key, Source *source, GError **error)
{
  gboolean seals = bs_file_directory_get_slots (scratch) == NULL;
  BsFileDigest digest;
  BsFileNewBlob blob;
  gboolean success;
  int code = bs_file_new_blob_begin (&blob, scratch, key);

  if (code != 0)
    return set_create_error (scratch, code, error);

  success = source_write_all (source, blob.fd, &digest, error);
  if (success && seals)
    code = bs_file_directory_seal (scratch, blob.fd, &digest);
  else if (success)
    bs_file_new_blob_hold (&blob, &digest);

  code = bs_file_new_blob_end (&blob, success ? code : ECANCELED);
  if (success && code != 0)
    bs_file_directory_set_error (scratch, code, error);

  return success && code == 0;
}

static gboolean
import_small (BsFileDirectory *scratch, const BsKey *key, Source *source, GError **error)
{
  g_autoptr (GBytes) bytes = g_bytes_new_static (source->buffer, source->filled);
  guint n_given = bs_file_directory_get_n_given (scratch);
  int code = bs_file_create (scratch, key, bytes, source->cancellable);

  if (bs_file_directory_makes_room (scratch, n_given, code))
    code = bs_file_create (scratch, key, bytes, source->cancellable);

  return code == 0 || set_create_error (scratch, code, error);
}

gboolean
bs_file_import_stream (BsFileDirectory *scratch,
                       const BsKey *key,
                       GInputStream *stream,
                       gint64 size,
                       GCancellable *cancellable,
                       GError **error)
{
  g_autofree guint8 *buffer = g_malloc (BUFFER_SIZE);
  Source source = { scratch, stream, size, .buffer = buffer, .cancellable = cancellable };

  /* A stream cannot be read again. */
  if (bs_file_contains (scratch, key))
    return set_create_error (scratch, EEXIST, error);
  if (!source_fill (&source, error))
    return FALSE;

  return source.filled == BUFFER_SIZE ? import_large (scratch, key, &source, error)
                                      : import_small (scratch, key, &source, error);
}

/* Opening neither waits for a pipe nor makes a terminal the process's own. */
static int
open_source (const char *path, struct stat *status, GError **error)
{
  g_autofree char *name = g_filename_display_name (path);
  int fd = TEMP_FAILURE_RETRY (open (path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  int code = fd < 0 || fstat (fd, status) != 0 ? errno : 0;

  /* A socket answers with ENXIO. */
  if (code == ENXIO)
    bs_stream_set_irregular (G_FILE_TYPE_SPECIAL, error);
  else if (code != 0)
    g_set_error (error, G_IO_ERROR, g_io_error_from_errno (code), "%s: %s", name,
                 g_strerror (code));
  else if (!S_ISREG (status->st_mode))
    bs_stream_set_irregular (S_ISDIR (status->st_mode) ? G_FILE_TYPE_DIRECTORY
                                                       : G_FILE_TYPE_SPECIAL,
                             error);
  else
    return fd;

  if (fd >= 0)
    close (fd);
  return -1;
}

/* The kernel copies the bytes, and none of them is hashed: that is done when the blob
 * becomes permanent, on the bytes that were stored. */
static int
copy_file (BsFileDirectory *scratch, const BsKey *key, int source_fd, GCancellable *cancellable)
{
  BsCopyMethod method;
  BsFileNewBlob blob;
  int code = bs_file_new_blob_begin (&blob, scratch, key);

  if (code != 0)
    return code;

  bs_file_keys_add (bs_file_directory_get_unhashed (scratch), key);
  code = bs_file_new_blob_end (&blob, bs_copy_file (source_fd, blob.fd, &method, cancellable));
  if (code != 0)
    bs_file_keys_remove (bs_file_directory_get_unhashed (scratch), key);

  return code;
}

gboolean
bs_file_import_file (BsFileDirectory *scratch,
                     const BsKey *key,
                     GFile *file,
                     GCancellable *cancellable,
                     GError **error)
{
  const char *path = g_file_peek_path (file);
  g_autoptr (GInputStream) stream = NULL;
  struct stat status;
  guint n_given;
  int code, fd;

  if (path == NULL)
    {
      stream = bs_stream_open_file (file, cancellable, error);
      return stream != NULL && bs_file_import_stream (scratch, key, stream, -1, cancellable, error);
    }
  if (bs_file_contains (scratch, key))
    return set_create_error (scratch, EEXIST, error);

  fd = open_source (path, &status, error);
  if (fd < 0)
    return FALSE;

  /* A small file is stored like any small content. So is a file of the kernel's own, which
   * says that it is empty. */
  if (status.st_size <= BS_FILE_MAX_SLOT)
    {
      stream = g_unix_input_stream_new (fd, TRUE);
      return bs_file_import_stream (scratch, key, stream, -1, cancellable, error);
    }

  n_given = bs_file_directory_get_n_given (scratch);
  code = copy_file (scratch, key, fd, cancellable);
  if (bs_file_directory_makes_room (scratch, n_given, code))
    code = copy_file (scratch, key, fd, cancellable);
  close (fd);

  return code == 0 || set_create_error (scratch, code, error);
}
