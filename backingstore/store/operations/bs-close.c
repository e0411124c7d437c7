/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-close-private.h"

#include "store/operations/bs-paths-private.h"
#include "store/operations/bs-store-private.h"
#include "store/threads/bs-call-scope-private.h"

/* Closing waits until the task tracker has counted the last operation down; the lock
 * is the count's, which outlives the store. Until its turn the store is only
 * closing: tokens and paths let go meanwhile are deleted and released, and the store
 * may open again. It also does where the close is cancelled before the backing is closed:
 * tokens and paths let go since its turn are deleted and released then. */

/* A cancellation leaves the backing open, and paths that are not yet released tracked. */
static void
release_everything (BsBackingStore *store,
                    GPtrArray *tracked,
                    GCancellable *cancellable,
                    GError **error)
{
  GError *close_error = NULL;
  BsCallScope scope;

  bs_call_scope_push (&scope, store, BS_SCOPE_BACKING);
  if (bs_paths_release_all (store, tracked, cancellable, error))
    bs_backing_close (store->backing, cancellable, &close_error);
  bs_call_scope_pop (&scope);

  if (bs_is_cancellation (close_error, cancellable))
    g_clear_error (error);
  if (*error == NULL)
    *error = g_steal_pointer (&close_error);
  g_clear_error (&close_error);
}

/* FALSE if a request has come in since the operation was made ready: the close waits
 * for it. */
static gboolean
begin (BsStoreOperation *operation)
{
  BsBackingStore *store = operation->store;
  BsDeferred deferred = { NULL };
  BsWaiter *cancelled = NULL;
  gboolean begun;

  g_mutex_lock (operation->lock);
  /* A request that comes in now sees the state; an earlier one is counted. */
  g_atomic_int_set (&store->state, BS_STATE_RELEASING);
  begun = bs_task_count_is_idle (store->count);
  if (!begun)
    {
      g_atomic_int_set (&store->state, BS_STATE_CLOSING);
      cancelled = bs_store_operation_put_back (operation, &deferred);
    }
  g_mutex_unlock (operation->lock);

  bs_store_operation_answer_cancelled (cancelled);
  bs_deferred_run (&deferred);
  /* The operation that was in the way may have ended meanwhile. */
  if (!begun)
    bs_close_check (operation->count);
  return begun;
}

static void
forget (BsStoreOperation *operation)
{
  operation->count->close_operation = NULL;
  bs_task_count_await (operation->count, -1);
}

static void
close_operation_run (BsStoreOperation *operation)
{
  GCancellable *cancellable = operation->cancellable;
  g_autoptr (GPtrArray) tracked = NULL;
  g_autoptr (GError) error = NULL;
  BsWaiter *waiters = NULL;
  gboolean cancelled, again;

  if (!begin (operation))
    {
      bs_store_operation_unref (operation);
      return;
    }

  /* A path that the application lets go meanwhile is released when the store is open again. */
  tracked = bs_paths_list_tracked (operation->store);
  do
    {
      g_clear_error (&error);
      release_everything (operation->store, tracked, cancellable, &error);

      g_mutex_lock (operation->lock);
      cancelled = bs_is_cancellation (error, cancellable);
      again = cancelled && bs_store_operation_is_wanted_again (operation);
      if (!again)
        {
          g_atomic_int_set (&operation->store->state, cancelled ? BS_STATE_OPEN : BS_STATE_CLOSED);
          forget (operation);
          waiters = bs_store_operation_end (operation);
        }
      g_mutex_unlock (operation->lock);
      cancellable = NULL;
    }
  while (again);

  /* Drop our store references before answering, so that a waiter's unref finalizes it. */
  bs_task_count_hurry (operation->count);
  g_clear_pointer (&tracked, g_ptr_array_unref);
  g_clear_object (&operation->store);
  bs_store_operation_answer (waiters, NULL, error);
  bs_store_operation_unref (operation);
  bs_store_operation_unref (operation);
}

static void
close_operation_drop (BsStoreOperation *operation, BsDeferred *deferred)
{
  forget (operation);
  g_atomic_int_set (&operation->store->state, BS_STATE_OPEN);
  bs_deferred_add_dropped (deferred, operation);
}

static BsAsked
close_operation_enqueue (BsStoreOperation *operation, BsWaiter *waiter, BsDeferred *deferred)
{
  BsTaskCount *count = operation->count;

  if (count->close_operation == NULL &&
      g_atomic_int_get (&operation->store->state) != BS_STATE_OPEN)
    return bs_asked (BS_ASKED_NOTHING, NULL);

  if (count->close_operation == NULL)
    {
      g_atomic_int_set (&operation->store->state, BS_STATE_CLOSING);
      count->close_operation = bs_store_operation_ref (operation);
      bs_task_count_await (count, 1);
    }
  bs_store_operation_join (count->close_operation, waiter);

  if (count->close_operation->state != BS_OPERATION_QUEUED || !bs_task_count_is_idle (count))
    return bs_asked (BS_ASKED_WAITS, NULL);

  count->close_operation->state = BS_OPERATION_READY;
  return bs_asked (BS_ASKED_STARTS, bs_store_operation_ref (count->close_operation));
}

static void
close_operation_hold_lock (BsStoreOperation *operation, BsWaiter *waiter)
{
  bs_waiter_hold_lock (waiter, g_object_ref (operation->count->owner), g_object_unref);
}

static const BsStoreOperationClass close_operation_class = {
  .enqueue = close_operation_enqueue,
  .run = close_operation_run,
  .drop = close_operation_drop,
  .hold_lock = close_operation_hold_lock,
};

void
bs_close_check (BsTaskCount *count)
{
  BsDeferred deferred = { NULL };

  g_mutex_lock (&count->mutex);
  if (count->close_operation != NULL && count->close_operation->state == BS_OPERATION_QUEUED &&
      bs_task_count_is_idle (count))
    bs_deferred_add_ready (&deferred, count->close_operation);
  g_mutex_unlock (&count->mutex);

  bs_deferred_run (&deferred);
}

BsStoreOperation *
bs_close_operation_new (BsBackingStore *store, int priority)
{
  BsStoreOperation *operation = g_new0 (BsStoreOperation, 1);

  bs_store_operation_init (operation, &close_operation_class, BS_KIND_CLOSE, store, store->count,
                           store->backing_executor, &store->count->mutex, NULL, priority);
  bs_store_operation_hold (operation);

  return operation;
}
