/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "bs-s3-exchange-private.h"

#include "bs-s3-memory-private.h"

BsS3Exchange *
bs_s3_exchange_new (const char *method, char *url)
{
  BsS3Exchange *self = g_new0 (BsS3Exchange, 1);

  g_atomic_ref_count_init (&self->n_references);
  self->method = method;
  self->total = -1;
  self->url = url;
  self->content = g_byte_array_new ();

  return self;
}

BsS3Exchange *
bs_s3_exchange_ref (BsS3Exchange *self)
{
  g_atomic_ref_count_inc (&self->n_references);
  return self;
}

void
bs_s3_exchange_unref (BsS3Exchange *self)
{
  if (!g_atomic_ref_count_dec (&self->n_references))
    return;

  for (guint i = 0; i < self->n_headers; i++)
    g_free (self->nodes[i].data);
  g_clear_pointer (&self->body, g_bytes_unref);
  g_clear_pointer (&self->content, g_byte_array_unref);
  if (self->mapped != NULL)
    bs_s3_memory_unmap (self->mapped, self->length);
  g_free (self->problem);
  g_free (self->etag);
  g_free (self->meta);
  g_free (self->url);
  g_free (self);
}

guint64
bs_s3_exchange_get_size (const BsS3Exchange *self)
{
  return self->mapped != NULL ? self->n_mapped : self->content->len;
}

GBytes *
bs_s3_exchange_steal_content (BsS3Exchange *self)
{
  if (self->mapped == NULL)
    return g_byte_array_free_to_bytes (g_steal_pointer (&self->content));

  return bs_s3_memory_to_bytes (g_steal_pointer (&self->mapped), self->length);
}

void
bs_s3_exchange_take_header (BsS3Exchange *self, char *line)
{
  struct curl_slist *node = &self->nodes[self->n_headers];

  g_assert (self->n_headers < BS_S3_MAX_HEADERS);

  node->data = line;
  if (self->n_headers > 0)
    node[-1].next = node;
  self->headers = self->nodes;
  self->n_headers++;
}

gint64
bs_s3_time_parse (const BsS3Time *self)
{
  if (self->text[0] == '\0')
    return self->seconds;
  return MAX (0, (gint64) curl_getdate (self->text, NULL));
}
