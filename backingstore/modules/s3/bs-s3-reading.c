/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "bs-s3-reading-private.h"

#include "bs-s3-objects-private.h"
#include "bs-s3-stream-private.h"
#include "bs-s3-upload-private.h"

#include <glib/gi18n-lib.h>

gboolean
bs_s3_set_not_found (GError **error)
{
  g_set_error_literal (error, BS_ERROR, BS_ERROR_NOT_FOUND, _ ("no such blob"));
  return FALSE;
}

static GBytes *
get_object (BsS3Backing *self, const BsS3Blob *blob, GCancellable *cancellable, GError **error)
{
  g_autoptr (GError) local = NULL;
  BsS3Blob current = *blob;
  GBytes *bytes = NULL;

  for (guint i = 0; bytes == NULL && i < 2; i++)
    {
      BsS3Blob last = current;
      g_autofree char *object = NULL;

      bs_s3_backing_find_name (self, &current);
      if (i > 0 && last.name.nonce == current.name.nonce)
        break;
      g_clear_error (&local);
      object = bs_s3_name_print (&current.name, current.prefix);
      bytes = bs_s3_get (self->client, object, cancellable, &local);
      if (bytes == NULL && !g_error_matches (local, BS_ERROR, BS_ERROR_NOT_FOUND))
        break;
    }

  if (bytes == NULL)
    g_propagate_error (error, g_steal_pointer (&local));
  return bytes;
}

GBytes *
bs_s3_read_key (BsS3Backing *self, const BsS3Key *key, GCancellable *cancellable, GError **error)
{
  g_autoptr (GError) local = NULL;
  BsS3Blob blob;
  GBytes *bytes;

  if (!bs_s3_primary_lookup (&self->primary, key, &blob))
    {
      bs_s3_set_not_found (error);
      return NULL;
    }

  bytes = bs_s3_primary_read (&self->primary, key, cancellable, &local);
  if (bytes != NULL || local != NULL)
    {
      if (local != NULL)
        g_propagate_error (error, g_steal_pointer (&local));
      return bytes;
    }

  bytes = get_object (self, &blob, cancellable, error);
  if (bytes != NULL)
    bs_s3_primary_cache (&self->primary, key, bytes);
  return bytes;
}

GInputStream *
bs_s3_open_stream (BsS3Backing *self, const BsS3Key *key, GCancellable *cancellable, GError **error)
{
  GError *local = NULL;
  GInputStream *stream;
  BsS3Blob blob;

  if (!bs_s3_primary_lookup (&self->primary, key, &blob))
    {
      bs_s3_set_not_found (error);
      return NULL;
    }

  stream = bs_s3_primary_read_stream (&self->primary, key, cancellable, &local);
  if (stream != NULL)
    return stream;
  if (local == NULL)
    return bs_s3_stream_open (self, &blob, cancellable, error);

  g_propagate_error (error, local);
  return NULL;
}

gboolean
bs_s3_find_content (BsS3Backing *self,
                    const BsS3Key *key,
                    BsS3Content *content,
                    GCancellable *cancellable,
                    GError **error)
{
  g_autoptr (GInputStream) stream = NULL;
  g_autoptr (GBytes) bytes = NULL;
  guint64 size;

  if (bs_s3_primary_find_size (&self->primary, key, &size) && size < BS_S3_LARGE)
    {
      bytes = bs_s3_read_key (self, key, cancellable, error);
      if (bytes == NULL)
        return FALSE;
      bs_s3_content_init_bytes (content, bytes);
      return TRUE;
    }

  stream = bs_s3_open_stream (self, key, cancellable, error);
  return stream != NULL &&
         bs_s3_content_init_stream (content, stream, bs_s3_stream_get_meta (stream), cancellable,
                                    error);
}
