/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "bs-s3-credentials-private.h"

#include "bs-s3-settings-private.h"

#include <glib/gi18n-lib.h>

static gboolean
is_set (const char *text)
{
  return text != NULL && text[0] != '\0';
}

/* Long-lived secrets may also stand in the file of settings. Each file is read once, since
 * another program may replace it. */
static void
read_files (BsS3Credentials *self, const char *profile)
{
  g_autofree char *credentials = bs_s3_profile_read ("AWS_SHARED_CREDENTIALS_FILE", "credentials");
  g_autofree char *config = bs_s3_profile_read ("AWS_CONFIG_FILE", "config");
  g_autofree char *section =
    g_str_equal (profile, "default") ? g_strdup (profile) : g_strconcat ("profile ", profile, NULL);
  const struct
  {
    char **place;
    const char *key;
  } values[] = {
    { &self->id, "aws_access_key_id" },
    { &self->secret, "aws_secret_access_key" },
    { &self->token, "aws_session_token" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (values); i++)
    {
      *values[i].place = bs_s3_profile_find (credentials, profile, values[i].key);
      if (*values[i].place == NULL)
        *values[i].place = bs_s3_profile_find (config, section, values[i].key);
    }
}

BsS3Credentials *
bs_s3_credentials_new (const char *profile, GError **error)
{
  g_autoptr (BsS3Credentials) self = g_atomic_rc_box_new0 (BsS3Credentials);

  g_mutex_init (&self->mutex);

  if (is_set (g_getenv ("AWS_ACCESS_KEY_ID")) && is_set (g_getenv ("AWS_SECRET_ACCESS_KEY")))
    {
      self->id = g_strdup (g_getenv ("AWS_ACCESS_KEY_ID"));
      self->secret = g_strdup (g_getenv ("AWS_SECRET_ACCESS_KEY"));
      self->token = g_strdup (g_getenv ("AWS_SESSION_TOKEN"));
    }
  else
    {
      read_files (self, profile);
    }

  if (!is_set (self->id) || !is_set (self->secret))
    {
      g_set_error (
        error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED,
        _ ("there are no credentials: neither AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY "
           "are set, nor has ~/.aws/credentials the profile “%s”"),
        profile);
      return NULL;
    }
  if (!is_set (self->token))
    g_clear_pointer (&self->token, g_free);

  return g_steal_pointer (&self);
}

static void
credentials_clear (gpointer data)
{
  BsS3Credentials *self = data;

  g_free (self->id);
  g_free (self->secret);
  g_free (self->token);
  g_free (self->scope);
  g_clear_pointer (&self->hmac, g_hmac_unref);
  g_mutex_clear (&self->mutex);
}

BsS3Credentials *
bs_s3_credentials_ref (BsS3Credentials *self)
{
  return g_atomic_rc_box_acquire (self);
}

void
bs_s3_credentials_unref (BsS3Credentials *self)
{
  g_atomic_rc_box_release_full (self, credentials_clear);
}
