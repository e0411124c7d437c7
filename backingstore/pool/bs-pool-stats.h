/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <glib-object.h>

#include <backingstore/bs-version.h>

G_BEGIN_DECLS

#define BS_TYPE_POOL_STATS (bs_pool_stats_get_type ())

/**
 * BsPoolStats:
 * @hits: loads answered from memory, or by the read of another load
 * @misses: contents read from the backing
 * @evictions: blobs that left memory
 * @writes: blobs written to the backing
 * @bytes_in: bytes read from the backing
 * @bytes_out: bytes written to the backing
 *
 * Counts of a pool since it was made.
 */
typedef struct
{
  guint64 hits;
  guint64 misses;
  guint64 evictions;
  guint64 writes;
  guint64 bytes_in;
  guint64 bytes_out;

  /*< private >*/
  guint64 padding[6];
} BsPoolStats;

BS_AVAILABLE_IN_1_0
GType        bs_pool_stats_get_type (void) G_GNUC_CONST;
BS_AVAILABLE_IN_1_0
BsPoolStats *bs_pool_stats_copy     (const BsPoolStats *self) G_GNUC_WARN_UNUSED_RESULT;
BS_AVAILABLE_IN_1_0
void         bs_pool_stats_free     (BsPoolStats *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (BsPoolStats, bs_pool_stats_free)

G_END_DECLS
