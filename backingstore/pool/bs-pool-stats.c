/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "bs-pool-stats.h"

G_DEFINE_BOXED_TYPE (BsPoolStats, bs_pool_stats, bs_pool_stats_copy, bs_pool_stats_free)

/**
 * bs_pool_stats_copy:
 * @self: some statistics
 *
 * Copies statistics.
 *
 * Returns: (transfer full): a copy
 */
BsPoolStats *
bs_pool_stats_copy (const BsPoolStats *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  return g_memdup2 (self, sizeof *self);
}

/**
 * bs_pool_stats_free:
 * @self: (transfer full): some statistics
 *
 * Frees statistics.
 */
void
bs_pool_stats_free (BsPoolStats *self)
{
  g_free (self);
}
