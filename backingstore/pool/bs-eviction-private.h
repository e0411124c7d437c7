/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "bs-cache-private.h"

G_BEGIN_DECLS

/* Makes the cache fit its budget: what is clean goes at once, what is dirty is
 * written in the background first. No lock held. Returns what changed since the
 * last call. */
BsCacheChanges bs_cache_balance        (BsCache *self, BsBackingStore *store);

/* Whether this thread is just doing so, and has called out: what is asked of the
 * cache meanwhile is done when it comes back. */
gboolean       bs_cache_is_balancing   (BsCache *self);

/* The source that tries again when a pause is over, for the context of the
 * calling thread. */
void           bs_cache_attach_retry   (BsCache *self);
void           bs_cache_destroy_retry  (BsCache *self);

G_END_DECLS
