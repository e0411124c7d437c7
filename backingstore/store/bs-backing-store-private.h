/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "store/bs-backing-store.h"
#include "store/operations/bs-ask-private.h"
#include "store/operations/bs-bulk-private.h"
#include "store/operations/bs-key-operation-private.h"
#include "store/threads/bs-call-scope-private.h"

G_BEGIN_DECLS

/* Functions of a store for the pool, besides asking for operations (bs-ask-private.h) and
 * tokens (bs-key-operation-private.h, bs-bulk-private.h). */

/* Whether a persist may have to write again a content that is written already, and so
 * needs the content in memory. */
gboolean    bs_backing_store_get_corruption_seen (BsBackingStore *self);

/* Around a function of the application that runs where the backing's functions do: a
 * blocking call inside of it is refused. FALSE where this thread may not run one,
 * which is when the store has a main context and this is another's. */
gboolean    bs_backing_store_enter_call   (BsBackingStore *self, BsCallScope *scope);
void        bs_backing_store_leave_call   (BsBackingStore *self, BsCallScope *scope);

/* Emits notifications in the store's owner context: the one that was the thread's
 * default where the store was made. */
BsNotifier *bs_backing_store_get_notifier (BsBackingStore *self);
/* The executor of the backing, for waits that are not operations. */
BsExecutor *bs_backing_store_get_executor (BsBackingStore *self);

G_END_DECLS
