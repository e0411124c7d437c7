/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store/operations/bs-function-private.h"

#include "base/bs-error-private.h"
#include "store/queues/bs-path-private.h"
#include "store/operations/bs-store-private.h"

typedef struct
{
  BsStoreOperation operation;

  BsTaskFunc func;
  gpointer func_data;         /* the waiter's */
  gconstpointer saving;       /* the path whose save this commits, or NULL */

  GTaskThreadFunc raw_func;   /* instead */
  GTask *task;                /* owned by the waiter, which outlives the run */
} FunctionOperation;

static void
function_operation_run (BsStoreOperation *operation)
{
  FunctionOperation *self = (FunctionOperation *) operation;
  g_autoptr (GError) error = NULL;
  BsWaiter *waiters;
  BsCallScope scope;

  bs_call_scope_push (&scope, operation->store, BS_SCOPE_FUNCTION);
  scope.saving = self->saving;
  if (self->raw_func != NULL)
    self->raw_func (self->task, g_task_get_source_object (self->task), g_task_get_task_data (self->task), operation->cancellable);
  else if (!self->func (operation->store, operation->cancellable, self->func_data, &error) && error == NULL)
    bs_error_set_silent (&error, NULL, self->saving != NULL ? "The commit function" : "The function", BS_FORGOT_TRUE);
  bs_call_scope_pop (&scope);
  if (scope.lends)
    bs_executor_lend (operation->store->task_executor, -1);

  g_mutex_lock (operation->lock);
  operation->state = BS_OPERATION_DONE;
  waiters = bs_store_operation_steal_callers (operation);
  g_mutex_unlock (operation->lock);

  if (self->raw_func != NULL)
    waiters->returned = TRUE;
  bs_store_operation_answer (waiters, NULL, error);
  bs_store_operation_unref (operation);
}

static void
function_operation_drop (BsStoreOperation *operation, BsDeferred *deferred)
{
  bs_deferred_add_dropped (deferred, operation);
}

static const BsStoreOperationClass function_operation_class = {
  .run = function_operation_run,
  .drop = function_operation_drop,
};

void
bs_task_lend_place (BsBackingStore *store)
{
  BsCallScope *scope = bs_call_scope_find (store, BS_SCOPE_FUNCTION);

  if (scope == NULL || scope->lends || bs_executor_is_context (store->task_executor))
    return;

  scope->lends = TRUE;
  bs_executor_lend (store->task_executor, 1);
}

static FunctionOperation *
function_operation_new (BsBackingStore *store, BsExecutor *executor, BsTaskFunc func, gpointer func_data, BsWaiter *waiter)
{
  FunctionOperation *self = g_new0 (FunctionOperation, 1);
  BsStoreOperation *operation = &self->operation;

  bs_store_operation_init (operation, &function_operation_class, BS_KIND_TASK, store, executor, &store->operations_mutex, NULL, waiter->priority);
  bs_store_operation_hold (operation);
  operation->state = BS_OPERATION_READY;
  self->func = func;
  self->func_data = func_data;
  self->task = waiter->task;
  /* Nobody else can join: the function sees the waiter's own cancellable. */
  g_set_object (&operation->cancellable, waiter->cancellable);

  return self;
}

/* Takes the operation over. */
static void
function_operation_start (FunctionOperation *self, BsWaiter *waiter)
{
  BsStoreOperation *operation = &self->operation;
  gboolean left;

  /* A function that asks for another may wait for it. */
  if (!waiter->blocking)
    bs_task_lend_place (operation->store);

  waiter->lock = operation->lock;
  bs_waiter_connect (waiter, bs_store_operation_leave, NULL);

  g_mutex_lock (operation->lock);
  left = waiter->left;
  if (!left)
    bs_store_operation_join (bs_store_operation_ref (operation), waiter);
  g_mutex_unlock (operation->lock);

  if (left)
    {
      bs_waiter_answer (waiter, NULL, g_error_new_literal (G_IO_ERROR, G_IO_ERROR_CANCELLED, "The function was cancelled before it ran"));
      bs_store_operation_unref (operation);
    }
  else
    {
      bs_store_operation_start (operation, waiter);
    }
}

void
bs_task_start (BsBackingStore *store, BsTaskFunc func, gpointer func_data, BsWaiter *waiter)
{
  function_operation_start (function_operation_new (store, store->task_executor, func, func_data, waiter), waiter);
}

void
bs_task_start_commit (BsTrackedPath *tracked, BsTaskFunc func, gpointer func_data, BsWaiter *waiter)
{
  FunctionOperation *self = function_operation_new (tracked->store, tracked->store->commit_executor, func, func_data, waiter);

  self->saving = tracked->path;
  function_operation_start (self, waiter);
}

void
bs_task_start_raw (BsBackingStore *store, GTask *task, GTaskThreadFunc func)
{
  BsWaiter *waiter = bs_waiter_new_async (store, task, NULL, NULL, NULL, NULL);

  if (bs_backing_store_admit (store, waiter, BS_KIND_TASK, NULL, NULL))
    {
      FunctionOperation *self = function_operation_new (store, store->task_executor, NULL, NULL, waiter);

      self->raw_func = func;
      function_operation_start (self, waiter);
      bs_backing_store_admitted (store);
    }
  bs_waiter_unref (waiter);
}
