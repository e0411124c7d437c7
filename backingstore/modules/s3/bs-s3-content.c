/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "bs-s3-content-private.h"

#include "bs-s3-memory-private.h"

#include <glib/gi18n-lib.h>
#include <xxhash.h>

#define BUFFER_SIZE (256 * 1024)

char *
bs_s3_meta_print (guint64 size, guint64 hash)
{
  return g_strdup_printf ("%" G_GUINT64_FORMAT "-%016" G_GINT64_MODIFIER "x", size, hash);
}

void
bs_s3_content_init_bytes (BsS3Content *self, GBytes *bytes)
{
  gsize size;
  gconstpointer data = g_bytes_get_data (bytes, &size);

  *self = (BsS3Content){ .bytes = g_bytes_ref (bytes), .size = size };
  self->meta = bs_s3_meta_print (size, XXH3_64bits (data, size));
}

static gboolean
hash_stream (BsS3Content *self, XXH3_state_t *state, GCancellable *cancellable, GError **error)
{
  g_autofree guint8 *buffer = g_malloc (BUFFER_SIZE);
  gssize n;

  XXH3_64bits_reset (state);
  while ((n = g_input_stream_read (self->stream, buffer, BUFFER_SIZE, cancellable, error)) > 0)
    {
      XXH3_64bits_update (state, buffer, n);
      self->size += n;
    }
  if (n < 0)
    return FALSE;

  self->meta = bs_s3_meta_print (self->size, XXH3_64bits_digest (state));
  return g_seekable_seek (G_SEEKABLE (self->stream), 0, G_SEEK_SET, cancellable, error);
}

static gboolean
find_size (BsS3Content *self, GCancellable *cancellable, GError **error)
{
  GSeekable *seekable = G_SEEKABLE (self->stream);

  if (!g_seekable_seek (seekable, 0, G_SEEK_END, cancellable, error))
    return FALSE;

  self->size = g_seekable_tell (seekable);
  return g_seekable_seek (seekable, 0, G_SEEK_SET, cancellable, error);
}

gboolean
bs_s3_content_init_stream (BsS3Content *self,
                           GInputStream *stream,
                           const char *meta,
                           GCancellable *cancellable,
                           GError **error)
{
  XXH3_state_t *state;
  gboolean success;

  *self = (BsS3Content){ .stream = g_object_ref (stream), .meta = g_strdup (meta) };
  if (meta != NULL)
    return find_size (self, cancellable, error);

  state = XXH3_createState ();
  success = hash_stream (self, state, cancellable, error);
  XXH3_freeState (state);

  return success;
}

void
bs_s3_content_clear (BsS3Content *self)
{
  g_clear_pointer (&self->bytes, g_bytes_unref);
  g_clear_object (&self->stream);
  g_clear_pointer (&self->meta, g_free);
}

GBytes *
bs_s3_content_read (const BsS3Content *self,
                    guint64 offset,
                    gsize size,
                    GCancellable *cancellable,
                    GError **error)
{
  g_autoptr (GBytes) buffer = NULL;
  gpointer data;
  gsize n_read;

  if (self->bytes != NULL)
    return g_bytes_new_from_bytes (self->bytes, offset, size);

  data = bs_s3_memory_map (size);
  if (data == NULL)
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE,
                           _ ("no memory for a part of a content"));
      return NULL;
    }

  buffer = bs_s3_memory_to_bytes (data, size);
  if (!g_input_stream_read_all (self->stream, data, size, &n_read, cancellable, error))
    return NULL;
  if (n_read < size)
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_PARTIAL_INPUT,
                           _ ("the content has become shorter while it was read"));
      return NULL;
    }

  return g_steal_pointer (&buffer);
}
