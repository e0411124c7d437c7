/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-entry-private.h"

G_BEGIN_DECLS

/* Dirty entries that are to leave memory, and when their writes may be tried: a
 * failure makes a pause, which grows with each further one. Not thread-safe: the
 * cache's lock covers it. */
typedef struct
{
  BsLink entries;             /* by node.link, next one first */
  BsAmount amount;
  guint n_writing;
  guint n_failures;           /* failures of writes side by side count as one */
  gint64 pause;               /* microseconds; 0 without a pause */
  gint64 retry_at;            /* monotonic time; meaningful during a pause */
} BsWriteQueue;

void     bs_write_queue_init      (BsWriteQueue *self);
void     bs_write_queue_append    (BsWriteQueue *self, BsEntry *entry);
void     bs_write_queue_remove    (BsWriteQueue *self, BsEntry *entry);
/* Begins a pause, or a longer one. */
void     bs_write_queue_pause     (BsWriteQueue *self);
/* Whether a write may be tried now: any number without a pause, a single one after it. */
gboolean bs_write_queue_may_write (const BsWriteQueue *self, gint64 now);
/* Whether entries wait for the end of a pause. */
gboolean bs_write_queue_is_paused (const BsWriteQueue *self, gint64 now);

G_END_DECLS
