/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "bs-file-place-private.h"

#include "base/bs-error-private.h"

#include "bs-file-claim-private.h"
#include "bs-file-paths-private.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <glib/gstdio.h>

GFile *
bs_file_place_parse_uri (const char *uri, GError **error)
{
  g_autoptr (GUri) parsed = NULL;
  g_autofree char *path = NULL;
  const char *reason = NULL;

  parsed = g_uri_parse (uri, G_URI_FLAGS_ENCODED, NULL);
  if (parsed != NULL)
    path = g_uri_unescape_string (g_uri_get_path (parsed), "/");

  if (parsed == NULL || g_ascii_strcasecmp (g_uri_get_scheme (parsed), "file") != 0)
    reason = "not a file URI";
  else if (g_uri_get_query (parsed) != NULL || g_uri_get_fragment (parsed) != NULL)
    reason = "a file URI has neither query nor fragment";
  else if (g_uri_get_host (parsed) != NULL && *g_uri_get_host (parsed) != '\0' &&
           g_ascii_strcasecmp (g_uri_get_host (parsed), "localhost") != 0)
    reason = "the directory is on another host";
  else if (path == NULL || !g_path_is_absolute (path))
    reason = "the URI has no absolute path";

  if (reason == NULL)
    return g_file_new_for_path (path);

  g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, reason);
  return NULL;
}

/* Makes a directory, and its parents if need be. Returns 0 or an errno. */
static int
make_temporary (const char *parent, char **path)
{
  g_autofree char *name =
    g_build_filename (parent, BS_FILE_TEMPORARY_DIRECTORY_PREFIX "XXXXXX", NULL);

  if (g_mkdir_with_parents (parent, 0700) != 0 || g_mkdtemp (name) == NULL)
    return errno;
  *path = g_steal_pointer (&name);

  return 0;
}

GFile *
bs_file_place_make_temporary (GError **error)
{
  g_autofree char *cache = g_build_filename (g_get_user_cache_dir (), "backingstore", NULL);
  g_autofree char *path = NULL;
  int code = make_temporary (cache, &path);

  if (code != 0)
    code = make_temporary (g_get_tmp_dir (), &path);
  if (code != 0)
    {
      g_set_error (error, G_IO_ERROR, g_io_error_from_errno (code),
                   _ ("cannot make a scratch directory in %s or %s: %s"), cache, g_get_tmp_dir (),
                   g_strerror (code));
      return NULL;
    }

  return g_file_new_for_path (path);
}

GFile *
bs_file_place_make_temporary_in (GFile *parent, GError **error)
{
  g_autofree char *path = NULL;
  const char *name;
  int code;

  name = g_file_peek_path (parent);
  if (name == NULL)
    {
      g_autofree char *shown = bs_error_name_file (parent);

      g_set_error (error, BS_ERROR, BS_ERROR_NOT_SUPPORTED, _ ("%s is not a local directory"),
                   shown);
      return NULL;
    }

  code = make_temporary (name, &path);
  if (code != 0)
    {
      g_autofree char *display = g_filename_display_name (name);

      g_set_error (error, G_IO_ERROR, bs_file_get_error_code (code),
                   _ ("cannot make a scratch directory in %s: %s"), display, g_strerror (code));
      return NULL;
    }

  return g_file_new_for_path (path);
}
