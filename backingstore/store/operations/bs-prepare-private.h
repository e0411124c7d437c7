/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "store/operations/bs-request-private.h"

G_BEGIN_DECLS

/* Knows every kind of operation. The store has pointers to these functions, since
 * operations ask for others. */

/* Makes the operation that a request asks for, not in a queue yet. `memory`, where
 * given, is for an operation on a key. */
BsStoreOperation *bs_prepare (BsBackingStore *store, const BsRequest *request, BsWaiter *waiter, BsKeyOperation *memory) G_GNUC_WARN_UNUSED_RESULT;
/* Frees the contents that a refused request would have given to its operation. */
void              bs_discard (const BsRequest *request);

G_END_DECLS
