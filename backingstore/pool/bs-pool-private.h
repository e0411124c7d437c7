/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "bs-cache-private.h"

G_BEGIN_DECLS

BsCache *bs_pool_get_cache    (BsPool *self);

/* To be called after whatever changed what is in memory, with no lock held:
 * keeps the budget, answers trims, notifies. */
void     bs_pool_settle       (BsPool *self);
/* The same, if the pool is still there. */
void     bs_pool_settle_weak  (BsCache *cache);

/* Drops a reference on the entry; with the last, its token, and settles. */
void     bs_pool_release_entry (BsPool *self, BsEntry *entry);

/* What a persist of the entry may have to write; NULL if that is nothing. */
BsContent *bs_pool_dup_unpersisted (BsPool *self, BsEntry *entry) G_GNUC_WARN_UNUSED_RESULT;

/* Coalesced, in the store's owner context; nothing if nobody listens. */
void     bs_pool_notify       (BsPool *self, gpointer object, GParamSpec *pspec);

G_END_DECLS
