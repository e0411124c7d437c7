/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-cache-private.h"
#include "bs-pool.h"

G_BEGIN_DECLS

/* FALSE for a pool that a script made without a store: functions that need one refuse it. */
gboolean bs_pool_has_store    (BsPool *self);

BsCache *bs_pool_get_cache    (BsPool *self);

/* Notifies a property of the pool or an item of its, coalesced, in the store's
 * owner context; does nothing where no handler is connected. */
void     bs_pool_notify       (BsPool *self, gpointer object, GParamSpec *pspec);

G_END_DECLS
