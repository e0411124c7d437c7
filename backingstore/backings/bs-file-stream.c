/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "bs-file-stream-private.h"

#include "base/bs-stream-private.h"
#include "base/bs-error.h"
#include "bs-file-blob-private.h"
#include "bs-file-digest-private.h"

#include <errno.h>
#include <gio/gfiledescriptorbased.h>
#include <glib/gi18n-lib.h>
#include <sys/stat.h>
#include <unistd.h>

/* So much is read before the cancellable is looked at. */
#define MAX_PART (8 * 1024 * 1024)

#define BS_TYPE_FILE_STREAM (bs_file_stream_get_type ())
G_DECLARE_FINAL_TYPE (BsFileStream, bs_file_stream, BS, FILE_STREAM, GInputStream)

struct _BsFileStream
{
  GInputStream parent_instance;

  int fd;       /* -1 once closed */
  goffset size; /* constant */
  goffset position;
  gboolean known;        /* constant: whether there is a digest */
  BsFileDigest expected; /* constant */
  gboolean hashing;      /* the bytes from the start to `hasher.digest.length` */
  BsFileHasher hasher;
};

static void bs_file_stream_seekable_init (GSeekableIface *iface);
static void bs_file_stream_descriptor_init (GFileDescriptorBasedIface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (BsFileStream,
                               bs_file_stream,
                               G_TYPE_INPUT_STREAM,
                               G_IMPLEMENT_INTERFACE (G_TYPE_SEEKABLE, bs_file_stream_seekable_init)
                                 G_IMPLEMENT_INTERFACE (G_TYPE_FILE_DESCRIPTOR_BASED,
                                                        bs_file_stream_descriptor_init))

static void
end_hashing (BsFileStream *self)
{
  BsFileDigest ignored;

  if (self->hashing)
    bs_file_hasher_end (&self->hasher, &ignored);
  self->hashing = FALSE;
}

static void
set_error (int code, GError **error)
{
  if (code == EILSEQ)
    g_set_error_literal (error, BS_ERROR, BS_ERROR_CORRUPT,
                         _ ("the content is not the one that was written: its hash differs"));
  else if (code == EBADMSG)
    g_set_error_literal (error, BS_ERROR, BS_ERROR_CORRUPT,
                         _ (
                           "the content is not the one that was written: the file ends too early"));
  else
    g_set_error_literal (error, G_IO_ERROR, g_io_error_from_errno (code), g_strerror (code));
}

/* Bytes that were read at the stream's position. Returns 0 or an errno. */
static int
hash_part (BsFileStream *self, const guint8 *data, gsize size)
{
  BsFileDigest actual;

  if (self->known && self->position == 0)
    {
      end_hashing (self);
      bs_file_hasher_init (&self->hasher, G_MAXUINT64);
      self->hashing = TRUE;
    }
  if (!self->hashing)
    return 0;
  /* A stream that was moved has no hash of the whole. */
  if ((guint64) self->position != self->hasher.digest.length)
    {
      end_hashing (self);
      return 0;
    }

  bs_file_hasher_add (&self->hasher, data, size);
  if (self->hasher.digest.length < self->expected.length)
    return 0;

  bs_file_hasher_end (&self->hasher, &actual);
  self->hashing = FALSE;

  return bs_file_digest_equal (&actual, &self->expected)
           ? 0
           : bs_file_digest_mismatch (self->fd, &self->expected);
}

static gssize
bs_file_stream_read (GInputStream *stream,
                     void *buffer,
                     gsize count,
                     GCancellable *cancellable,
                     GError **error)
{
  BsFileStream *self = BS_FILE_STREAM (stream);
  gsize wanted = MIN (count, (guint64) MIN (self->size - self->position, MAX_PART));
  gssize n_read;
  int code = 0;

  if (g_cancellable_set_error_if_cancelled (cancellable, error))
    return -1;
  if (wanted == 0)
    return 0;

  n_read = TEMP_FAILURE_RETRY (pread (self->fd, buffer, wanted, self->position));
  if (n_read < 0)
    code = errno;
  else if (n_read == 0)
    code = EBADMSG;
  else
    code = hash_part (self, buffer, n_read);
  if (code != 0)
    {
      set_error (code, error);
      return -1;
    }

  self->position += n_read;
  return n_read;
}

static gboolean
bs_file_stream_close (GInputStream *stream, GCancellable *cancellable, GError **error)
{
  BsFileStream *self = BS_FILE_STREAM (stream);

  if (self->fd >= 0)
    close (self->fd);
  self->fd = -1;
  end_hashing (self);

  return TRUE;
}

static goffset
bs_file_stream_tell (GSeekable *seekable)
{
  return BS_FILE_STREAM (seekable)->position;
}

static gboolean
bs_file_stream_can_seek (GSeekable *seekable)
{
  return TRUE;
}

static gboolean
bs_file_stream_seek (GSeekable *seekable,
                     goffset offset,
                     GSeekType type,
                     GCancellable *cancellable,
                     GError **error)
{
  BsFileStream *self = BS_FILE_STREAM (seekable);

  return bs_stream_resolve_seek (self->position, self->size, offset, type, &self->position, error);
}

static gboolean
bs_file_stream_can_truncate (GSeekable *seekable)
{
  return FALSE;
}

static gboolean
bs_file_stream_truncate (GSeekable *seekable,
                         goffset offset,
                         GCancellable *cancellable,
                         GError **error)
{
  return bs_stream_refuse_truncate (error);
}

static int
bs_file_stream_get_fd (GFileDescriptorBased *based)
{
  return BS_FILE_STREAM (based)->fd;
}

static void
bs_file_stream_class_init (BsFileStreamClass *klass)
{
  GInputStreamClass *stream_class = G_INPUT_STREAM_CLASS (klass);

  /* An open stream is closed before it is finalized. */
  stream_class->read_fn = bs_file_stream_read;
  stream_class->close_fn = bs_file_stream_close;
}

static void
bs_file_stream_seekable_init (GSeekableIface *iface)
{
  iface->tell = bs_file_stream_tell;
  iface->can_seek = bs_file_stream_can_seek;
  iface->seek = bs_file_stream_seek;
  iface->can_truncate = bs_file_stream_can_truncate;
  iface->truncate_fn = bs_file_stream_truncate;
}

static void
bs_file_stream_descriptor_init (GFileDescriptorBasedIface *iface)
{
  iface->get_fd = bs_file_stream_get_fd;
}

static void
bs_file_stream_init (BsFileStream *self)
{
  self->fd = -1;
}

/* Takes the descriptor over, after an error too. */
static int
open_descriptor (int fd, goffset size, const BsFileDigest *held, GInputStream **stream)
{
  g_autoptr (BsFileStream) self = g_object_new (BS_TYPE_FILE_STREAM, NULL);
  int code = 0;

  self->fd = fd;
  self->size = size;
  self->known = held != NULL;
  if (held != NULL)
    self->expected = *held;
  else
    code = bs_file_digest_load (fd, &self->expected, &self->known);

  if (code == 0 && self->known && self->expected.length != (guint64) size)
    {
      code = bs_file_digest_mismatch (fd, &self->expected);
      self->known = FALSE;
    }
  if (code == 0)
    *stream = G_INPUT_STREAM (g_steal_pointer (&self));

  return code;
}

/* A small blob may move from its slot to a file while it is read: the stream has it whole. */
static int
open_slot (BsFileSlots *slots, const BsKey *key, GInputStream **stream, GCancellable *cancellable)
{
  g_autoptr (GBytes) bytes = NULL;
  int code = bs_file_slots_read (slots, key, cancellable, &bytes);

  if (code == 0)
    *stream = g_memory_input_stream_new_from_bytes (bytes);

  return code;
}

int
bs_file_open_stream (BsFileDirectory *scratch,
                     const BsKey *key,
                     GInputStream **stream,
                     GCancellable *cancellable)
{
  BsFileSlots *slots = bs_file_directory_get_slots (scratch);
  BsFileDigest held;
  struct stat status;
  gboolean is_held;
  int fd;
  int code = slots != NULL ? open_slot (slots, key, stream, cancellable) : ENOENT;

  if (code != ENOENT)
    return code;

  code = bs_file_clear_failed_write (scratch, key);
  if (code == 0)
    code = bs_file_open_blob (scratch, key, &fd, &status);
  if (code != 0)
    return code;

  is_held = bs_file_digests_find (bs_file_directory_get_digests (scratch), key, &held);
  return open_descriptor (fd, status.st_size, is_held ? &held : NULL, stream);
}
