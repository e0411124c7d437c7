/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/bs-key-set.h"
#include "store/threads/bs-store-operation-private.h"

G_BEGIN_DECLS

/* Operations on many keys in one task. Each key is changed in its own turn. */

void bs_bulk_start_delete_persisted (BsBackingStore *store, BsTrackedPath *tracked, BsKeySet *keys, BsWaiter *waiter);
/* What the running save has doomed there, and nobody has asked for by the key's turn. */
void bs_bulk_start_delete_doomed    (BsBackingStore *store, BsTrackedPath *tracked, guint64 n_keys, BsWaiter *waiter);
void bs_bulk_start_register_all     (BsBackingStore *store, BsTrackedPath *tracked, BsWaiter *waiter);

G_END_DECLS
