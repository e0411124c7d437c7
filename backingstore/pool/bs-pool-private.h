/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-cache-private.h"
#include "bs-memory-pressure-private.h"
#include "bs-pool.h"

G_BEGIN_DECLS

struct _BsPool
{
  GObject parent_instance;

  /* constant after construction */
  BsBackingStore *store; /* owned */
  BsCodec *codec;        /* owned, nullable */
  BsCache *cache;        /* owned */

  /* under the cache's lock */
  gboolean trim_on_low_memory;
  BsMemoryPressure *pressure; /* owned, nullable */
};

/* FALSE for a pool that a script made without a store: functions that need one refuse it. */
gboolean bs_pool_has_store    (BsPool *self);

static inline BsCache *
bs_pool_get_cache (BsPool *self)
{
  return self->cache;
}

/* Notifies a property of the pool or an item of its, coalesced, in the store's
 * owner context; does nothing where no handler is connected. */
void     bs_pool_notify       (BsPool *self, gpointer object, GParamSpec *pspec);

G_END_DECLS
