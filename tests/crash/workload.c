/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "workload.h"

G_DEFINE_QUARK (workload-broken, workload_broken)

gboolean
workload_set_broken (GError **error,
                     const char *format,
                     ...)
{
  g_autofree char *message = NULL;
  va_list arguments;

  va_start (arguments, format);
  message = g_strdup_vprintf (format, arguments);
  va_end (arguments);

  g_set_error_literal (error, WORKLOAD_BROKEN, 0, message);

  return FALSE;
}
