/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "bs-s3-signature-private.h"

#include <string.h>
#include <time.h>

#define ALGORITHM "AWS4-HMAC-SHA256"
#define DATE_LENGTH 8
#define DIGEST_SIZE 32
/* Enough for what is signed mostly. */
#define TEXT_SIZE 1024

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
static GHmac *
begin_hmac (const BsS3Signing *self, BsS3Credentials *credentials, const char *scope)
{
  GHmac *hmac;

  g_mutex_lock (&credentials->mutex);
  if (g_strcmp0 (credentials->scope, scope) != 0)
    {
      guint8 key[DIGEST_SIZE];

      g_free (credentials->scope);
      g_clear_pointer (&credentials->hmac, g_hmac_unref);
      credentials->scope = g_strdup (scope);
      derive_key (self, credentials->secret, key);
      credentials->hmac = g_hmac_new (G_CHECKSUM_SHA256, key, sizeof key);
    }
  hmac = g_hmac_copy (credentials->hmac);
  g_mutex_unlock (&credentials->mutex);

  return hmac;
}

static char *
list_names (const BsS3Signing *self)
{
  GString *names = g_string_sized_new (TEXT_SIZE);

  for (gsize i = 0; i < self->n_headers; i++)
    {
      if (i > 0)
        g_string_append_c (names, ';');
      g_string_append (names, self->headers[i].name);
    }

  return g_string_free (names, FALSE);
}

static void
append_line (GString *text, const char *line)
{
  g_string_append (text, line);
  g_string_append_c (text, '\n');
}

static char *
hash_canonical_request (const BsS3Signing *self, const char *names)
{
  g_autoptr (GString) text = g_string_sized_new (TEXT_SIZE);

  append_line (text, self->method);
  append_line (text, self->path);
  append_line (text, self->query);
  for (gsize i = 0; i < self->n_headers; i++)
    {
      g_string_append (text, self->headers[i].name);
      g_string_append_c (text, ':');
      append_line (text, self->headers[i].value);
    }
  append_line (text, "");
  append_line (text, names);
  g_string_append (text, self->payload);

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
  g_autoptr (GHmac) hmac = begin_hmac (self, credentials, scope);

  g_hmac_update (hmac, (const guint8 *) text, strlen (text));

  return g_strconcat (ALGORITHM " Credential=", credentials->id, "/", scope,
                      ",SignedHeaders=", names, ",Signature=", g_hmac_get_string (hmac), NULL);
}

char *
bs_s3_time (gint64 seconds)
{
  char text[sizeof "20130524T000000Z"];
  time_t time = seconds;
  struct tm parts;

  gmtime_r (&time, &parts);
  strftime (text, sizeof text, "%Y%m%dT%H%M%SZ", &parts);
  return g_strdup (text);
}
