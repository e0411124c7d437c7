/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "store/operations/bs-request-private.h"

G_BEGIN_DECLS

/* Operations on many keys that are part of one operation: so many of them at a time,
 * the end of each asks for the next. An operation may be added besides. */
typedef struct _BsBatch BsBatch;

typedef struct
{
  /* Gives the next request, and an `item` to recognise it by; FALSE where nothing is
   * left. The request's key may be part of the batch until it is asked; its content
   * is a reference, dropped once it is asked. Called on any thread; nullable where
   * every operation is added. */
  gboolean (*next)  (BsBatch *batch, BsRequest *request, guint64 *item);
  /* An operation has ended; `key` is NULL where it was on many. TRUE to go on with another
   * `request` for the same item.
   * Called on any thread, with no lock held. */
  gboolean (*done)  (BsBatch *batch, guint64 item, const BsKey *key, gpointer value, const GError *error, BsRequest *request);
  /* Nothing is left, and every operation has ended. Called once. */
  void     (*end)   (BsBatch *batch);
  /* Has bs_batch_feed() called again after other operations had their turn, where
   * many of the batch end at once. Nullable. */
  void     (*relay) (BsBatch *batch);
  /* The batch has asked for as many operations as it may just now. Nullable. */
  void     (*fed)   (BsBatch *batch);
} BsBatchClass;

struct _BsBatch
{
  /* constant while it runs */
  const BsBatchClass *klass;
  BsStoreOperation *operation;  /* borrowed: the batch is part of it */
  GCancellable *cancellable;    /* borrowed, nullable */
  guint n_most;                 /* operations at a time */

  GMutex mutex;

  /* under the mutex */
  guint n_open;                 /* operations under way, and threads that are about to add some */
  gboolean feeding;             /* a thread asks for operations */
  gboolean exhausted;           /* nothing is left to ask for */
  gboolean ended;
};

void bs_batch_init      (BsBatch *batch, const BsBatchClass *klass, BsStoreOperation *operation);
void bs_batch_clear     (BsBatch *batch);
/* Makes the batch ready for its first or next run. */
void bs_batch_begin     (BsBatch *batch, guint n_most, GCancellable *cancellable);

/* Asks for operations while there are few. */
void bs_batch_feed      (BsBatch *batch);
/* Asks for operations, and runs them on this thread. */
void bs_batch_feed_here (BsBatch *batch);

/* A thread, or an operation, is under way between these two, and may add operations. */
void bs_batch_open      (BsBatch *batch);
void bs_batch_add       (BsBatch *batch, const BsRequest *request, guint64 item);
/* With `exhausted` no operation is added any more. */
void bs_batch_close     (BsBatch *batch, gboolean exhausted);

/* The operation that the batch is part of is in no queue, and has a ticket of its path where
 * it has a path. Ends it: returns the ticket and answers the waiters. */
void bs_batch_end_operation  (BsBatch *batch, gpointer value, const GError *error);
/* The `drop` of its class. */
void bs_batch_drop_operation (BsStoreOperation *operation, BsDeferred *deferred);

G_END_DECLS
