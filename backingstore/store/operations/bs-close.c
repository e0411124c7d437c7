/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store/operations/bs-close-private.h"

#include "store/queues/bs-path-private.h"
#include "store/operations/bs-store-private.h"

/* Closing waits until the task tracker has counted the last operation down; its lock
 * is the tracker's, which outlives the store. Until its turn the store is only
 * closing: what is let go is deleted and released, and it may open again. */

static void
release_everything (BsBackingStore *store, GCancellable *cancellable, GError **error)
{
  GError *close_error = NULL;
  BsCallScope scope;

  bs_call_scope_push (&scope, store, BS_SCOPE_BACKING);
  bs_path_release_all (store, cancellable, error);
  bs_backing_close (store->backing, cancellable, &close_error);
  bs_call_scope_pop (&scope);

  if (*error == NULL)
    *error = g_steal_pointer (&close_error);
  g_clear_error (&close_error);
}

/* FALSE if something has come in since it was made ready: then it waits for that. */
static gboolean
begin (BsStoreOperation *operation)
{
  BsBackingStore *store = operation->store;
  BsTaskTracker *tracker = operation->tracker;
  BsDeferred deferred = { NULL, };
  BsWaiter *left = NULL;
  gboolean begun = FALSE;

  g_mutex_lock (operation->lock);
  while (!begun && bs_task_tracker_is_idle (tracker))
    {
      /* What comes in now sees the state; what came in before is counted. Where
       * it goes again before the state is put back, this looks once more. Short
       * calls do not come in any more since the store is closing. */
      g_atomic_int_set (&store->state, BS_STATE_CLOSED);
      begun = g_atomic_int_get (&tracker->n_operations) == 0;
      if (!begun)
        g_atomic_int_set (&store->state, BS_STATE_CLOSING);
    }
  if (!begun)
    left = bs_store_operation_put_back (operation, &deferred);
  g_mutex_unlock (operation->lock);

  bs_store_operation_answer_left (left);
  bs_deferred_run (&deferred);
  return begun;
}

static void
close_operation_run (BsStoreOperation *operation)
{
  GCancellable *cancellable = operation->cancellable;
  g_autoptr (GError) error = NULL;
  BsWaiter *waiters = NULL;
  gboolean again;

  if (!begin (operation))
    return;

  do
    {
      g_clear_error (&error);
      release_everything (operation->store, cancellable, &error);

      g_mutex_lock (operation->lock);
      again = error != NULL && cancellable != NULL && bs_store_operation_is_wanted_again (operation);
      if (!again)
        {
          operation->state = BS_OPERATION_DONE;
          g_atomic_pointer_set (&operation->tracker->close_operation, NULL);
          waiters = bs_store_operation_steal_callers (operation);
        }
      g_mutex_unlock (operation->lock);
      cancellable = NULL;
    }
  while (again);

  /* Whoever is told may hold the last reference, and expects that to be so. */
  g_clear_object (&operation->store);
  bs_store_operation_answer (waiters, NULL, error);
  bs_store_operation_unref (operation);
}

static void
close_operation_drop (BsStoreOperation *operation, BsDeferred *deferred)
{
  g_atomic_pointer_set (&operation->tracker->close_operation, NULL);
  g_atomic_int_set (&operation->store->state, BS_STATE_OPEN);
  bs_deferred_add_dropped (deferred, operation);
}

static const BsStoreOperationClass close_operation_class = {
  .run = close_operation_run,
  .drop = close_operation_drop,
};

void
bs_close_check (BsTaskTracker *tracker)
{
  BsDeferred deferred = { NULL, };
  BsStoreOperation *operation;

  /* Whoever sets it looks at the count afterwards. */
  if (g_atomic_pointer_get (&tracker->close_operation) == NULL)
    return;

  g_mutex_lock (&tracker->mutex);
  operation = tracker->close_operation;
  if (operation != NULL && operation->state == BS_OPERATION_QUEUED && bs_task_tracker_is_idle (tracker))
    bs_deferred_add_ready (&deferred, operation);
  g_mutex_unlock (&tracker->mutex);

  bs_deferred_run (&deferred);
}

static BsStoreOperation *
close_operation_new (BsBackingStore *store, int priority)
{
  BsStoreOperation *operation = g_new0 (BsStoreOperation, 1);

  operation->uncounted = TRUE;
  bs_store_operation_init (operation, &close_operation_class, BS_KIND_CLOSE, store, store->backing_executor, &store->tracker->mutex, NULL, priority);
  bs_store_operation_hold (operation);

  return operation;
}

void
bs_close_start (BsBackingStore *store, BsWaiter *waiter)
{
  BsTaskTracker *tracker = store->tracker;
  gboolean answer = TRUE;
  GError *error = NULL;
  gboolean left;
  BsStoreOperation *operation;

  if (waiter->blocking && (bs_call_scope_find (store, BS_SCOPE_BACKING) != NULL || bs_call_scope_find (store, BS_SCOPE_FUNCTION) != NULL ||
                           bs_executor_get_current () == store->backing_executor))
    {
      bs_waiter_answer (waiter, NULL, bs_operation_error (BS_KIND_CLOSE, NULL, NULL, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK,
                                                    "called from inside one of the store's tasks, it would wait for itself"));
      return;
    }

  operation = close_operation_new (store, waiter->priority);
  bs_waiter_set_subject (waiter, BS_KIND_CLOSE, NULL, NULL);
  waiter->keep = g_object_ref (tracker);
  waiter->keep_free = g_object_unref;
  waiter->lock = &tracker->mutex;
  bs_waiter_connect (waiter, bs_store_operation_leave, NULL);

  g_mutex_lock (&tracker->mutex);
  left = waiter->left;
  if (!left && tracker->close_operation == NULL && g_atomic_int_get (&store->state) == BS_STATE_OPEN)
    {
      g_atomic_int_set (&store->state, BS_STATE_CLOSING);
      g_atomic_pointer_set (&tracker->close_operation, g_steal_pointer (&operation));
    }
  if (!left && tracker->close_operation != NULL)
    {
      bs_store_operation_join (tracker->close_operation, waiter);
      answer = FALSE;
    }
  g_mutex_unlock (&tracker->mutex);

  if (operation != NULL)
    bs_store_operation_unref (operation);
  if (left)
    error = bs_operation_error (BS_KIND_CLOSE, NULL, NULL, G_IO_ERROR, G_IO_ERROR_CANCELLED, "it was cancelled");
  if (answer)
    bs_waiter_answer (waiter, NULL, error);
  else
    bs_close_check (tracker);
}
