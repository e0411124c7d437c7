/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "store/threads/bs-store-operation-private.h"

G_BEGIN_DECLS

void bs_close_start (BsBackingStore *store, BsWaiter *waiter);
/* Nothing is left to do, perhaps: a store that is to be closed may be now. */
void bs_close_check (BsTaskTracker *tracker);

G_END_DECLS
