/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "bs-s3-settings-private.h"

#include <backingstore/backingstore.h>

#include <glib/gi18n-lib.h>
#include <string.h>

#define DEFAULT_CACHE_SIZE (G_GUINT64_CONSTANT (256) * 1024 * 1024)
#define DEFAULT_LEASE 60
#define DEFAULT_TIMEOUT 30
#define MAX_SECONDS 3600
/* The protocol's limit, and the longest name of an object below a path. */
#define MAX_KEY 1024
#define LONGEST "/.quarantine/0123456789abcdef0123456789abcdef.0123456789abcdef"

static gboolean
set_invalid (GError **error, const char *why)
{
  g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, why);
  return FALSE;
}

char *
bs_s3_encode (const char *text, gboolean keep_slashes)
{
  GString *encoded = g_string_sized_new (strlen (text));

  for (const guchar *c = (const guchar *) text; *c != '\0'; c++)
    {
      if (g_ascii_isalnum (*c) || strchr ("-._~", *c) != NULL || (keep_slashes && *c == '/'))
        g_string_append_c (encoded, *c);
      else
        g_string_append_printf (encoded, "%%%02X", *c);
    }

  return g_string_free (encoded, FALSE);
}

char *
bs_s3_profile_read (const char *variable, const char *name)
{
  const char *file = g_getenv (variable);
  g_autofree char *path =
    file != NULL ? g_strdup (file) : g_build_filename (g_get_home_dir (), ".aws", name, NULL);
  char *contents = NULL;

  g_file_get_contents (path, &contents, NULL, NULL);
  return contents;
}

/* A file of ~/.aws is no key file: lines without a group or an equals sign may occur. */
char *
bs_s3_profile_find (const char *contents, const char *section, const char *key)
{
  g_auto (GStrv) lines = g_strsplit (contents != NULL ? contents : "", "\n", -1);
  g_autofree char *header = g_strdup_printf ("[%s]", section);
  gboolean inside = FALSE;

  for (guint i = 0; lines[i] != NULL; i++)
    {
      gboolean nested = g_ascii_isspace (lines[i][0]);
      char *line = g_strstrip (lines[i]);
      char *equals = strchr (line, '=');

      if (line[0] == '[')
        {
          inside = g_str_equal (line, header);
          continue;
        }
      if (!inside || nested || equals == NULL || line[0] == '#')
        continue;
      *equals = '\0';
      if (g_str_equal (g_strchomp (line), key))
        return g_strdup (g_strchug (equals + 1));
    }

  return NULL;
}

static char *
dup_variable (const char *first, const char *second)
{
  const char *value = g_getenv (first);

  if (value == NULL || value[0] == '\0')
    value = second != NULL ? g_getenv (second) : NULL;
  return value != NULL && value[0] != '\0' ? g_strdup (value) : NULL;
}

/* The value may be a secret, so that no message has it. */
static gboolean
set_invalid_parameter (GError **error, const char *name, const char *why)
{
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, _ ("parameter “%s” of the URI: %s"),
               name, why);
  return FALSE;
}

static gboolean
parse_number (const char *name, const char *text, guint64 max, guint64 *number, GError **error)
{
  return g_ascii_string_to_unsigned (text, 10, 1, max, number, NULL) ||
         set_invalid_parameter (error, name, _ ("no number in its range"));
}

static gboolean
set_parameter (BsS3Settings *self,
               const char *name,
               const char *value,
               char **endpoint,
               GError **error)
{
  const struct
  {
    const char *name;
    char **place;
  } strings[] = {
    { "endpoint", endpoint },
    { "region", &self->region },
    { "profile", &self->profile },
    { "scratch", &self->scratch },
  };
  guint64 number;

  for (guint i = 0; i < G_N_ELEMENTS (strings); i++)
    {
      if (!g_str_equal (name, strings[i].name))
        continue;
      g_free (*strings[i].place);
      *strings[i].place = g_strdup (value);
      return value[0] != '\0' || set_invalid_parameter (error, name, _ ("no value"));
    }

  if (g_str_equal (name, "cache-size"))
    return parse_number (name, value, G_MAXINT64, &self->cache_size, error);
  if (!g_str_equal (name, "lease") && !g_str_equal (name, "timeout"))
    return set_invalid_parameter (error, name,
                                  _ ("no parameter of this engine; credentials come from the "
                                     "environment or ~/.aws"));
  if (!parse_number (name, value, MAX_SECONDS, &number, error))
    return FALSE;
  if (name[0] == 'l')
    self->lease = number;
  else
    self->timeout = number;
  return TRUE;
}

static gboolean
parse_query (BsS3Settings *self, const char *query, char **endpoint, GError **error)
{
  g_autoptr (GError) local = NULL;
  GUriParamsIter iter;
  char *name, *value;
  gboolean success = TRUE;

  if (query == NULL)
    return TRUE;

  g_uri_params_iter_init (&iter, query, -1, "&", G_URI_PARAMS_NONE);
  while (success && g_uri_params_iter_next (&iter, &name, &value, &local))
    {
      success = set_parameter (self, name, value, endpoint, error);
      g_free (name);
      g_free (value);
    }
  if (local != NULL)
    return set_invalid (error, _ ("the parameters of the URI are not of the form NAME=VALUE"));

  return success;
}

static gboolean
is_bucket (const char *bucket)
{
  gsize length = strlen (bucket);

  if (length < 3 || length > 63)
    return FALSE;
  for (gsize i = 0; i < length; i++)
    {
      if (!g_ascii_isalnum (bucket[i]) && strchr (".-_", bucket[i]) == NULL)
        return FALSE;
    }
  return TRUE;
}

static char *
trim_slashes (const char *path)
{
  gsize length;

  while (*path == '/')
    path++;
  length = strlen (path);
  while (length > 0 && path[length - 1] == '/')
    length--;

  return g_strndup (path, length);
}

/* A server that is named has buckets in its paths; at AWS each bucket has a host. */
static gboolean
set_base (BsS3Settings *self, const char *endpoint, GError **error)
{
  g_autofree char *own = NULL;
  g_autofree char *path = NULL;
  g_autofree char *encoded = NULL;
  g_autofree char *host = NULL;
  g_autoptr (GUri) uri = NULL;
  const char *scheme;
  int port;

  if (endpoint == NULL)
    endpoint = own =
      strchr (self->bucket, '.') == NULL
        ? g_strdup_printf ("https://%s.s3.%s.amazonaws.com", self->bucket, self->region)
        : g_strdup_printf ("https://s3.%s.amazonaws.com", self->region);

  uri = g_uri_parse (endpoint, G_URI_FLAGS_NONE, NULL);
  scheme = uri != NULL ? g_uri_get_scheme (uri) : "";
  if (uri == NULL || (!g_str_equal (scheme, "http") && !g_str_equal (scheme, "https")) ||
      g_uri_get_host (uri) == NULL || g_uri_get_host (uri)[0] == '\0' ||
      g_uri_get_userinfo (uri) != NULL || g_uri_get_query (uri) != NULL ||
      g_uri_get_fragment (uri) != NULL)
    return set_invalid (error, _ ("the endpoint is no URL of a server"));

  port = g_uri_get_port (uri);
  host = strchr (g_uri_get_host (uri), ':') != NULL ? g_strdup_printf ("[%s]", g_uri_get_host (uri))
                                                    : g_strdup (g_uri_get_host (uri));
  self->host = port > 0 ? g_strdup_printf ("%s:%d", host, port) : g_strdup (host);
  path = trim_slashes (g_uri_get_path (uri));
  encoded = bs_s3_encode (path, TRUE);
  if (own != NULL && strchr (self->bucket, '.') == NULL)
    self->path = g_strdup ("");
  else
    self->path = g_strconcat (path[0] != '\0' ? "/" : "", encoded, "/", self->bucket, NULL);
  self->base = g_strconcat (scheme, "://", self->host, self->path, NULL);
  return TRUE;
}

static void
set_defaults (BsS3Settings *self, char **endpoint)
{
  g_autofree char *config = bs_s3_profile_read ("AWS_CONFIG_FILE", "config");
  g_autofree char *section = NULL;

  if (self->profile == NULL)
    self->profile = dup_variable ("AWS_PROFILE", NULL);
  if (self->profile == NULL)
    self->profile = g_strdup ("default");
  section = g_str_equal (self->profile, "default") ? g_strdup ("default")
                                                   : g_strconcat ("profile ", self->profile, NULL);
  if (self->region == NULL)
    self->region = dup_variable ("AWS_REGION", "AWS_DEFAULT_REGION");
  if (self->region == NULL)
    self->region = bs_s3_profile_find (config, section, "region");
  if (self->region == NULL)
    self->region = g_strdup ("us-east-1");
  if (*endpoint == NULL)
    *endpoint = dup_variable ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL");
  if (*endpoint == NULL)
    *endpoint = bs_s3_profile_find (config, section, "endpoint_url");
}

static gboolean
parse (BsS3Settings *self, const char *text, GError **error)
{
  g_autoptr (GUri) uri =
    g_uri_parse (text, G_URI_FLAGS_ENCODED_QUERY | G_URI_FLAGS_HAS_PASSWORD, NULL);
  g_autofree char *endpoint = NULL;

  if (uri == NULL || g_uri_get_host (uri) == NULL || g_uri_get_host (uri)[0] == '\0' ||
      g_uri_get_port (uri) > 0 || g_uri_get_fragment (uri) != NULL)
    return set_invalid (error, _ ("the URI does not name a bucket, as s3://BUCKET/PREFIX does"));
  if (!is_bucket (g_uri_get_host (uri)))
    return set_invalid (error, _ ("the name of a bucket takes 3 to 63 ASCII letters, digits, dots, "
                                  "hyphens and underscores"));
  if (g_uri_get_userinfo (uri) != NULL)
    return set_invalid (error, _ ("no URI may have credentials: they come from the environment or "
                                  "~/.aws"));

  self->bucket = g_strdup (g_uri_get_host (uri));
  self->prefix = trim_slashes (g_uri_get_path (uri));
  if (!parse_query (self, g_uri_get_query (uri), &endpoint, error))
    return FALSE;

  set_defaults (self, &endpoint);
  return set_base (self, endpoint, error);
}

BsS3Settings *
bs_s3_settings_new (const char *uri, GError **error)
{
  g_autoptr (BsS3Settings) self = g_new0 (BsS3Settings, 1);

  self->cache_size = DEFAULT_CACHE_SIZE;
  self->lease = DEFAULT_LEASE;
  self->timeout = DEFAULT_TIMEOUT;

  return parse (self, uri, error) ? g_steal_pointer (&self) : NULL;
}

void
bs_s3_settings_free (BsS3Settings *self)
{
  g_free (self->bucket);
  g_free (self->prefix);
  g_free (self->profile);
  g_free (self->region);
  g_free (self->base);
  g_free (self->host);
  g_free (self->path);
  g_free (self->scratch);
  g_free (self);
}

/* A list of names is XML, in which control characters change or are errors. */
static gboolean
check_path (const char *path, GError **error)
{
  if (strlen (path) + strlen (LONGEST) > MAX_KEY)
    return set_invalid (error, _ ("the path is too long for a server"));
  for (const char *c = path; *c != '\0'; c++)
    {
      if (g_ascii_iscntrl (*c))
        return set_invalid (error, _ ("the path has control characters"));
    }
  return TRUE;
}

char *
bs_s3_settings_get_path (BsS3Settings *self, GFile *file, GError **error)
{
  g_autofree char *text = g_file_get_uri (file);
  g_autoptr (GUri) uri = g_uri_parse (text, G_URI_FLAGS_ENCODED_QUERY, NULL);
  gsize length = strlen (self->prefix);
  g_autofree char *path = NULL;

  if (uri == NULL || !g_str_equal (g_uri_get_scheme (uri), "s3"))
    {
      g_set_error_literal (error, BS_ERROR, BS_ERROR_NOT_SUPPORTED,
                           _ ("the path is not of the form s3://BUCKET/PREFIX"));
      return NULL;
    }

  path = trim_slashes (g_uri_get_path (uri));
  if (g_strcmp0 (g_uri_get_host (uri), self->bucket) != 0 ||
      !g_str_has_prefix (path, self->prefix) ||
      (length > 0 && path[length] != '/' && path[length] != '\0') ||
      g_uri_get_query (uri) != NULL || g_uri_get_userinfo (uri) != NULL ||
      g_uri_get_fragment (uri) != NULL)
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                           _ ("the path is not below the bucket and prefix of the backing"));
      return NULL;
    }

  return check_path (path, error) ? g_steal_pointer (&path) : NULL;
}
