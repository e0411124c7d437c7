/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "workload.h"

#include <string.h>

G_DEFINE_QUARK (workload - broken, workload_broken)

gboolean
workload_set_broken (GError **error, const char *format, ...)
{
  g_autofree char *message = NULL;
  va_list arguments;

  va_start (arguments, format);
  message = g_strdup_vprintf (format, arguments);
  va_end (arguments);

  g_set_error_literal (error, WORKLOAD_BROKEN, 0, message);

  return FALSE;
}

BsBacking *
workload_make_backing (GFile *scratch)
{
#ifdef WORKLOAD_SCHEME
  g_autofree char *uri = g_strconcat (WORKLOAD_SCHEME "://", g_file_peek_path (scratch), NULL);
  g_autoptr (GError) error = NULL;
  BsBacking *backing = bs_backing_new_for_uri (uri, &error);

  g_assert_no_error (error);
  return backing;
#else
  return BS_BACKING (bs_file_backing_new (scratch));
#endif
}

gboolean
workload_check_beside (const char *directory, const char *name, GError **error)
{
  g_autoptr (GDir) entries = g_dir_open (directory, 0, NULL);
  const char *other;

  while (entries != NULL && (other = g_dir_read_name (entries)) != NULL)
    {
      if (g_str_has_prefix (other, name) && !g_str_equal (other, name))
        return workload_set_broken (error, "%s is left beside %s", other, name);
    }

  return TRUE;
}

gboolean
workload_check_leftovers (const char *directory, gboolean scratch, GError **error)
{
  g_autoptr (GDir) entries = g_dir_open (directory, 0, NULL);
  const char *name;

  while (entries != NULL && (name = g_dir_read_name (entries)) != NULL)
    {
      g_autofree char *path = g_build_filename (directory, name, NULL);

      if (g_str_has_prefix (name, ".tmp"))
        return workload_set_broken (error, "%s is left over", path);
      if (scratch && strlen (name) == 32)
        return workload_set_broken (error, "%s is left in scratch", path);
      if (strlen (name) == 2 && !workload_check_leftovers (path, scratch, error))
        return FALSE;
    }

  return TRUE;
}
