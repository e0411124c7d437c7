/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "bs-fork-private.h"

#include "bs-error.h"

#include <pthread.h>

guint bs_n_forks;

/* The child has one thread, but ThreadSanitizer still remembers the reads of the parent's
 * threads, and would end the child. */
__attribute__ ((no_sanitize ("thread"))) static void
count_fork (void)
{
  bs_n_forks++;
}

__attribute__ ((constructor)) static void
watch_forks (void)
{
  pthread_atfork (NULL, NULL, count_fork);
}

gboolean
bs_fork_check (guint n_forks, GError **error)
{
  if (G_LIKELY (n_forks == bs_n_forks))
    return TRUE;

  g_set_error_literal (error, BS_ERROR, BS_ERROR_CLOSED,
                       "the process was forked after this was opened: the child can't use it");

  return FALSE;
}
