/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-function-private.h"

#include "base/bs-error-private.h"
#include "store/operations/bs-store-private.h"
#include "store/threads/bs-call-scope-private.h"

/* Functions of the application, and of the library where it uses a stream of the backing.
 * They are in no queue: each runs as soon as its executor has a place. A commit function
 * has an executor of its own, since the functions in the other one may wait for the save. */

typedef struct
{
  BsStoreOperation operation;

  /* constant */
  BsFunction function;
  GTaskThreadFunc task_function; /* instead */
  gpointer data;                 /* the asker's */
  GTask *task;                   /* of the waiter, which outlives the run */
} FunctionOperation;

static BsAsked
function_operation_enqueue (BsStoreOperation *operation, BsWaiter *waiter, BsDeferred *deferred)
{
  bs_store_operation_join (operation, waiter);
  operation->state = BS_OPERATION_READY;

  return bs_asked (BS_ASKED_STARTS, bs_store_operation_ref (operation));
}

/* A blob never changes, and the stream's owner keeps it: no other call disturbs the stream. */
static gboolean
uses_stream (BsOperationKind kind)
{
  return kind == BS_KIND_READ_PART || kind == BS_KIND_COPY_OUT;
}

static void
call (FunctionOperation *self, GError **error)
{
  BsStoreOperation *operation = &self->operation;
  gboolean commits = operation->kind == BS_KIND_COMMIT;
  BsCallScope scope;

  bs_call_scope_push (&scope, operation->store,
                      uses_stream (operation->kind) ? BS_SCOPE_BACKING : BS_SCOPE_FUNCTION);
  if (commits)
    scope.saving = operation->tracked->path;
  if (self->task_function != NULL)
    self->task_function (self->task, g_task_get_source_object (self->task),
                         g_task_get_task_data (self->task), operation->cancellable);
  else if (!self->function (operation->store, operation->cancellable, self->data, error) &&
           *error == NULL)
    bs_error_set_silent (error, NULL, commits ? "The commit function" : "The function",
                         BS_FORGOT_TRUE);
  bs_call_scope_pop (&scope);
  if (scope.lends)
    bs_executor_lend (operation->store->function_executor, -1);
}

static void
function_operation_run (BsStoreOperation *operation)
{
  FunctionOperation *self = (FunctionOperation *) operation;
  g_autoptr (GError) error = NULL;
  BsWaiter *waiters;

  call (self, &error);

  g_mutex_lock (operation->lock);
  waiters = bs_store_operation_end (operation);
  g_mutex_unlock (operation->lock);

  if (self->task_function != NULL)
    waiters->task_returned = TRUE;
  bs_store_operation_answer (waiters, NULL, error);
  bs_store_operation_unref (operation);
}

static void
function_operation_drop (BsStoreOperation *operation, BsDeferred *deferred)
{
  /* The executor has the only reference. */
  bs_deferred_add_dropped (deferred, bs_store_operation_ref (operation));
}

static const BsStoreOperationClass function_operation_class = {
  .enqueue = function_operation_enqueue,
  .run = function_operation_run,
  .drop = function_operation_drop,
};

static BsExecutor *
get_executor (BsBackingStore *store, BsOperationKind kind)
{
  if (kind == BS_KIND_COMMIT)
    return store->commit_executor;

  return uses_stream (kind) ? store->backing_executor : store->function_executor;
}

BsStoreOperation *
bs_function_operation_new (BsBackingStore *store, const BsRequest *request, BsWaiter *waiter)
{
  FunctionOperation *self = g_new0 (FunctionOperation, 1);
  BsExecutor *executor = get_executor (store, request->kind);

  bs_store_operation_init (&self->operation, &function_operation_class, request->kind, store,
                           store->count, executor, &store->operations_mutex, request->tracked,
                           waiter->priority);
  bs_store_operation_hold (&self->operation);
  self->function = request->function;
  self->task_function = request->task_function;
  self->data = request->data;
  self->task = waiter->task;
  /* No other waiter can join: the function sees its waiter's own cancellable. */
  g_set_object (&self->operation.cancellable, waiter->cancellable);

  return &self->operation;
}
