/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "bs-file-backing-stats.h"

G_DEFINE_BOXED_TYPE (BsFileBackingStats,
                     bs_file_backing_stats,
                     bs_file_backing_stats_copy,
                     bs_file_backing_stats_free)

/**
 * bs_file_backing_stats_copy:
 * @self: the figures of a file backing
 *
 * Copies the figures.
 *
 * Returns: (transfer full): a copy
 */
BsFileBackingStats *
bs_file_backing_stats_copy (const BsFileBackingStats *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  return g_memdup2 (self, sizeof *self);
}

/**
 * bs_file_backing_stats_free:
 * @self: the figures of a file backing
 *
 * Frees the figures.
 */
void
bs_file_backing_stats_free (BsFileBackingStats *self)
{
  g_free (self);
}
