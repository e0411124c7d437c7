/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "bs-s3-signature-private.h"

#include <string.h>

#define ALGORITHM "AWS4-HMAC-SHA256"
#define DATE_LENGTH 8
#define DIGEST_SIZE 32

static void
hmac (const guint8 *key, gsize key_size, const char *text, gsize length, guint8 digest[DIGEST_SIZE])
{
  GHmac *state = g_hmac_new (G_CHECKSUM_SHA256, key, key_size);
  gsize size = DIGEST_SIZE;

  g_hmac_update (state, (const guint8 *) text, length);
  g_hmac_get_digest (state, digest, &size);
  g_hmac_unref (state);
}

/* The key of a day, region and service. */
static void
derive_key (const BsS3Signing *self, const char *secret, guint8 key[DIGEST_SIZE])
{
  g_autofree char *first = g_strconcat ("AWS4", secret, NULL);

  hmac ((const guint8 *) first, strlen (first), self->time, DATE_LENGTH, key);
  hmac (key, DIGEST_SIZE, self->region, strlen (self->region), key);
  hmac (key, DIGEST_SIZE, "s3", 2, key);
  hmac (key, DIGEST_SIZE, "aws4_request", strlen ("aws4_request"), key);
}

/* The same key signs for a day. */
static void
get_key (const BsS3Signing *self,
         BsS3Credentials *credentials,
         const char *scope,
         guint8 key[DIGEST_SIZE])
{
  g_mutex_lock (&credentials->mutex);
  if (g_strcmp0 (credentials->scope, scope) != 0)
    {
      g_free (credentials->scope);
      credentials->scope = g_strdup (scope);
      derive_key (self, credentials->secret, credentials->key);
    }
  memcpy (key, credentials->key, DIGEST_SIZE);
  g_mutex_unlock (&credentials->mutex);
}

static char *
list_names (const BsS3Signing *self)
{
  GString *names = g_string_new (NULL);

  for (gsize i = 0; i < self->n_headers; i++)
    {
      if (i > 0)
        g_string_append_c (names, ';');
      g_string_append (names, self->headers[i].name);
    }

  return g_string_free (names, FALSE);
}

static char *
hash_canonical_request (const BsS3Signing *self, const char *names)
{
  g_autoptr (GString) text = g_string_new (NULL);

  g_string_append_printf (text, "%s\n%s\n%s\n", self->method, self->path, self->query);
  for (gsize i = 0; i < self->n_headers; i++)
    g_string_append_printf (text, "%s:%s\n", self->headers[i].name, self->headers[i].value);
  g_string_append_printf (text, "\n%s\n%s", names, self->payload);

  return g_compute_checksum_for_string (G_CHECKSUM_SHA256, text->str, text->len);
}

char *
bs_s3_sign (const BsS3Signing *self, BsS3Credentials *credentials)
{
  g_autofree char *names = list_names (self);
  g_autofree char *hash = hash_canonical_request (self, names);
  g_autofree char *scope =
    g_strdup_printf ("%.*s/%s/s3/aws4_request", DATE_LENGTH, self->time, self->region);
  g_autofree char *text = g_strconcat (ALGORITHM "\n", self->time, "\n", scope, "\n", hash, NULL);
  g_autofree char *signature = NULL;
  guint8 key[DIGEST_SIZE];

  get_key (self, credentials, scope, key);
  signature = g_compute_hmac_for_string (G_CHECKSUM_SHA256, key, sizeof key, text, -1);

  return g_strdup_printf (ALGORITHM " Credential=%s/%s,SignedHeaders=%s,Signature=%s",
                          credentials->id, scope, names, signature);
}

char *
bs_s3_time (gint64 seconds)
{
  g_autoptr (GDateTime) time = g_date_time_new_from_unix_utc (seconds);

  return g_date_time_format (time, "%Y%m%dT%H%M%SZ");
}
