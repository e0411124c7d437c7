/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "store/operations/bs-request-private.h"

G_BEGIN_DECLS

/* The one door to the store: puts an operation where it waits for its turn, or joins
 * the waiter to an identical one, or answers it at once; starts the operations whose
 * turn is now. The caller keeps its reference on the waiter. Blocks only while the
 * thread of a blocking waiter runs the operation itself. */
void     bs_ask               (BsBackingStore *store, const BsRequest *request, BsWaiter *waiter);

/* Asks for a blocking call. Returns the answer, as bs_waiter_wait() does. */
gpointer bs_ask_blocking      (BsBackingStore *store, const BsRequest *request, const BsDelivery *delivery, GCancellable *cancellable, GError **error);
/* Asks for an asynchronous call. Takes the task over. */
void     bs_ask_async         (BsBackingStore *store, const BsRequest *request, const BsDelivery *delivery, GTask *task);
/* Asks for the library itself, which has nothing but the delivery of the answer. */
void     bs_ask_in_background (BsBackingStore *store, const BsRequest *request, const BsDelivery *delivery, int priority, GCancellable *cancellable);

G_END_DECLS
