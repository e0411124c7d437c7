/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <glib.h>

#include <stdlib.h>
#include <string.h>

/* The resident size of the process, as the system counts it. */

static inline guint64
read_status (const char *name)
{
  g_autofree char *status = NULL;
  const char *line;

  g_assert_true (g_file_get_contents ("/proc/self/status", &status, NULL, NULL));
  line = strstr (status, name);
  g_assert_nonnull (line);

  return g_ascii_strtoull (line + strlen (name), NULL, 10) * 1024;
}

/* Forgets the peak so far. Returns the resident size now, or 0 where the system cannot. */
static inline guint64
peak_start (void)
{
  if (!g_file_set_contents_full ("/proc/self/clear_refs", "5", 1, G_FILE_SET_CONTENTS_NONE, 0600, NULL))
    return 0;

  return read_status ("VmRSS:");
}

/* By how much the resident size has been higher since. The system counts in steps, so that what
 * it says may even be less. */
static inline guint64
peak_get (guint64 before)
{
  guint64 peak = read_status ("VmHWM:");

  return MAX (peak, before) - before;
}

/* A sanitizer, and Valgrind, which is preloaded, has memory of its own, and keeps what was freed. */
static inline gboolean
peak_is_ours (void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return FALSE;
#else
  return getenv ("LD_PRELOAD") == NULL;
#endif
}
