/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "bs-s3-exchange-private.h"

BsS3Exchange *
bs_s3_exchange_new (const char *method, const char *url)
{
  BsS3Exchange *self = g_new0 (BsS3Exchange, 1);

  g_atomic_ref_count_init (&self->n_references);
  g_cond_init (&self->cond);
  self->method = method;
  self->url = g_strdup (url);
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

  curl_slist_free_all (self->headers);
  g_clear_pointer (&self->body, g_bytes_unref);
  g_clear_pointer (&self->content, g_byte_array_unref);
  g_cond_clear (&self->cond);
  g_free (self->problem);
  g_free (self->etag);
  g_free (self->meta);
  g_free (self->url);
  g_free (self);
}

void
bs_s3_exchange_add_header (BsS3Exchange *self, const char *name, const char *value)
{
  g_autofree char *line = g_strdup_printf ("%s: %s", name, value);

  self->headers = curl_slist_append (self->headers, line);
}
