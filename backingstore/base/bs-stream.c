/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "bs-stream-private.h"

#include <glib/gi18n-lib.h>
#include <inttypes.h>

#define FIRST_CAPACITY (64 * 1024)

void
bs_stream_set_short (gint64 n_read, gint64 size, GError **error)
{
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_PARTIAL_INPUT,
               _ ("the stream has ended after %" PRId64 " of %" PRId64 " bytes"), n_read, size);
}

void
bs_stream_set_irregular (GFileType type, GError **error)
{
  if (type == G_FILE_TYPE_DIRECTORY)
    g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_IS_DIRECTORY, _ ("the file is a directory"));
  else
    g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_NOT_REGULAR_FILE,
                         _ ("the file is not a regular file"));
}

gboolean
bs_stream_get_size (GInputStream *stream, goffset *size, GError **error)
{
  GSeekable *seekable = G_SEEKABLE (stream);

  if (!g_seekable_seek (seekable, 0, G_SEEK_END, NULL, error))
    return FALSE;

  *size = g_seekable_tell (seekable);
  return g_seekable_seek (seekable, 0, G_SEEK_SET, NULL, error);
}

gboolean
bs_stream_resolve_seek (goffset position,
                        goffset size,
                        goffset offset,
                        GSeekType type,
                        goffset *result,
                        GError **error)
{
  goffset base = type == G_SEEK_SET ? 0 : type == G_SEEK_CUR ? position : size;

  /* Neither side of a comparison overflows: the base is within the content. */
  if (offset < -base || offset > size - base)
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                           _ ("cannot seek out of the content"));
      return FALSE;
    }

  *result = base + offset;
  return TRUE;
}

gboolean
bs_stream_refuse_truncate (GError **error)
{
  g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                       _ ("cannot truncate a stream for reading"));
  return FALSE;
}

/* Memory that grows, and is not aborted over. */
typedef struct
{
  guint8 *data; /* owned */
  gsize size;
  gsize capacity;
} Buffer;

static gboolean
buffer_set_capacity (Buffer *self, guint64 capacity, GError **error)
{
  guint8 *data = NULL;

  if (capacity <= G_MAXSSIZE)
    data = g_try_realloc (self->data, MAX (capacity, 1));
  if (data == NULL)
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE,
                   _ ("no memory for a content of %" PRIu64 " bytes"), capacity);
      return FALSE;
    }

  self->data = data;
  self->capacity = capacity;
  return TRUE;
}

/* Reads what there is room for; at the end of the stream less. */
static gboolean
buffer_fill (Buffer *self, GInputStream *stream, GCancellable *cancellable, GError **error)
{
  gsize n_read = 0;
  gboolean success =
    g_input_stream_read_all (stream, self->data + self->size, self->capacity - self->size, &n_read,
                             cancellable, error);

  self->size += n_read;
  return success;
}

/* A size that the caller has made up costs no memory before the bytes are there. */
static gboolean
buffer_read (Buffer *self,
             GInputStream *stream,
             gint64 size,
             GCancellable *cancellable,
             GError **error)
{
  guint64 limit = size >= 0 ? (guint64) size : G_MAXUINT64;

  if (!buffer_set_capacity (self, MIN (limit, FIRST_CAPACITY), error) ||
      !buffer_fill (self, stream, cancellable, error))
    return FALSE;

  while (self->size == self->capacity && self->size < limit)
    if (!buffer_set_capacity (self, MIN (limit, 2 * (guint64) self->capacity), error) ||
        !buffer_fill (self, stream, cancellable, error))
      return FALSE;

  if (size < 0 || self->size == limit)
    return TRUE;

  bs_stream_set_short (self->size, size, error);
  return FALSE;
}

GBytes *
bs_stream_read_bytes (GInputStream *stream, gint64 size, GCancellable *cancellable, GError **error)
{
  Buffer buffer = { 0 };
  guint8 *data;

  if (!buffer_read (&buffer, stream, size, cancellable, error))
    {
      g_free (buffer.data);
      return NULL;
    }

  data = g_try_realloc (buffer.data, MAX (buffer.size, 1));
  return g_bytes_new_take (data != NULL ? data : buffer.data, buffer.size);
}

GInputStream *
bs_stream_open_file (GFile *file, GCancellable *cancellable, GError **error)
{
  g_autoptr (GFileInfo) info = g_file_query_info (file, G_FILE_ATTRIBUTE_STANDARD_TYPE,
                                                  G_FILE_QUERY_INFO_NONE, cancellable, error);
  GFileType type;

  if (info == NULL)
    return NULL;

  /* A remote file may be of an unknown type. */
  type = g_file_info_get_attribute_uint32 (info, G_FILE_ATTRIBUTE_STANDARD_TYPE);
  if (type != G_FILE_TYPE_REGULAR && type != G_FILE_TYPE_UNKNOWN)
    {
      bs_stream_set_irregular (type, error);
      return NULL;
    }

  return G_INPUT_STREAM (g_file_read (file, cancellable, error));
}
