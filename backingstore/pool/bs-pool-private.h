/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "bs-cache-private.h"
#include "bs-pool.h"

G_BEGIN_DECLS

/* A pool made without a store is of no use: functions that need one refuse it. */
gboolean bs_pool_has_store    (BsPool *self);

BsCache *bs_pool_get_cache    (BsPool *self);

/* Coalesced, in the store's owner context; nothing if nobody listens. */
void     bs_pool_notify       (BsPool *self, gpointer object, GParamSpec *pspec);

G_END_DECLS
