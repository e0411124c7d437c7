/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store/threads/bs-store-operation-private.h"
#include "store/operations/bs-store-private.h"
#include "store/queues/bs-path-private.h"

void
bs_store_operation_init (BsStoreOperation            *operation,
             const BsStoreOperationClass *klass,
             BsOperationKind         kind,
             BsBackingStore   *store,
             BsExecutor           *executor,
             GMutex           *lock,
             BsTrackedPath    *tracked,
             int               priority)
{
  g_atomic_ref_count_init (&operation->ref_count);
  operation->priority = priority;
  operation->klass = klass;
  operation->kind = kind;
  operation->store = store;
  operation->tracker = store->tracker;
  operation->executor = executor;
  operation->lock = lock;
  operation->tracked = tracked;
  if (!operation->embedded && !operation->uncounted)
    bs_task_tracker_begin (store->tracker);
}

void
bs_store_operation_hold (BsStoreOperation *operation)
{
  g_object_ref (operation->store);
  g_object_ref (operation->tracker);
  if (operation->tracked != NULL)
    g_object_ref (operation->tracked);
  operation->held = TRUE;
}

static const char *
kind_title (BsOperationKind kind)
{
  static const char *titles[] = {
    [BS_KIND_WRITE] = "Writing key",
    [BS_KIND_READ] = "Loading key",
    [BS_KIND_DELETE] = "Deleting key",
    [BS_KIND_REGISTER] = "Registering key",
    [BS_KIND_PERSIST] = "Persisting key",
    [BS_KIND_DELETE_PERSISTED] = "Deleting persisted key",
    [BS_KIND_VERIFY] = "Verifying persisted key",
    [BS_KIND_TRACK] = "Tracking the path",
    [BS_KIND_UNTRACK] = "Untracking the path",
    [BS_KIND_RELEASE] = "Releasing the path",
    [BS_KIND_SYNC] = "Syncing the path",
    [BS_KIND_LOAD_ROOT] = "Loading the root blob",
    [BS_KIND_WRITE_ROOT] = "Replacing the root blob",
    [BS_KIND_SAVE] = "Saving",
    [BS_KIND_REGISTER_ALL] = "Registering all keys",
    [BS_KIND_DELETE_KEYS] = "Deleting persisted keys",
    [BS_KIND_DROP_TOKENS] = "Deleting keys",
    [BS_KIND_VERIFY_PATH] = "Verifying the path",
    [BS_KIND_TASK] = "Running a function in the store's threads",
    [BS_KIND_CLOSE] = "Closing the store",
  };

  return titles[kind];
}

GError *
bs_operation_error_at (BsOperationKind kind, const BsKey *key, GFile *path, GQuark domain, int code, const char *why)
{
  g_autoptr (GString) message = g_string_new (kind_title (kind));

  if (key != NULL)
    {
      char string[BS_KEY_STRING_SIZE];

      bs_key_print (key, string);
      g_string_append_printf (message, " %s", string);
    }
  if (path != NULL)
    {
      g_autofree char *name = g_file_get_parse_name (path);

      g_string_append_printf (message, " at %s", name);
    }

  return g_error_new (domain, code, "%s: %s", message->str, why);
}

GError *
bs_operation_error (BsOperationKind kind, const BsKey *key, BsTrackedPath *tracked, GQuark domain, int code, const char *why)
{
  return bs_operation_error_at (kind, key, tracked != NULL ? bs_tracked_path_get_file (tracked) : NULL, domain, code, why);
}

BsStoreOperation *
bs_store_operation_ref (BsStoreOperation *operation)
{
  g_atomic_ref_count_inc (&operation->ref_count);
  return operation;
}

void
bs_store_operation_unref (BsStoreOperation *operation)
{
  g_autoptr (BsTaskTracker) tracker = NULL;
  gboolean counted;

  if (!g_atomic_ref_count_dec (&operation->ref_count))
    return;

  tracker = operation->tracker;
  counted = !operation->uncounted;

  g_assert (operation->held);
  g_assert (operation->waiters == NULL && operation->ticket == 0);

  if (operation->klass->free != NULL)
    operation->klass->free (operation);
  g_clear_object (&operation->cancellable);
  g_clear_object (&operation->tracked);
  g_clear_object (&operation->store);
  g_free (operation);

  /* What the references dropped above have queued is counted by now, and
   * whoever waits finds that nothing of ours holds the store any more. */
  if (counted)
    bs_task_tracker_end (tracker);
}

void
bs_store_operation_join (BsStoreOperation *operation, BsWaiter *waiter)
{
  waiter->next = operation->waiters;
  operation->waiters = bs_waiter_ref (waiter);
  waiter->operation = operation;
  operation->n_wanting++;
}

void
bs_store_operation_raise (BsStoreOperation *operation, int priority)
{
  if (g_atomic_int_get (&operation->priority) <= priority)
    return;

  g_atomic_int_set (&operation->priority, priority);
  if (operation->state == BS_OPERATION_READY)
    bs_executor_raise (operation->executor, operation, priority);
}

void
bs_store_operation_lend (BsStoreOperation *operation, int priority)
{
  for (; operation != NULL; operation = operation->previous)
    bs_store_operation_raise (operation, priority);
}

gboolean
bs_store_operation_joinable (BsStoreOperation *operation, BsOperationKind kind, BsTrackedPath *tracked)
{
  return operation->kind == kind && operation->tracked == tracked && !operation->fired &&
         operation->state != BS_OPERATION_DONE;
}

gboolean
bs_store_operation_is_wanted_again (BsStoreOperation *operation)
{
  return operation->fired && operation->n_wanting > 0;
}

/* One fewer wants it: a waiter is taken out of the list. */
static void
remove_caller (BsStoreOperation *operation, BsWaiter *waiter)
{
  BsWaiter **link = &operation->waiters;

  while (*link != waiter)
    link = &(*link)->next;
  *link = waiter->next;
  waiter->next = NULL;
  waiter->operation = NULL;
}

static void
answer_cancelled (BsWaiter *waiter)
{
  GFile *path = waiter->tracked != NULL ? bs_tracked_path_get_file (waiter->tracked) : waiter->path;

  bs_waiter_answer (waiter, NULL, bs_operation_error_at (waiter->kind, waiter->has_key ? &waiter->key : NULL, path,
                                                   G_IO_ERROR, G_IO_ERROR_CANCELLED, "it was cancelled"));
  bs_waiter_unref (waiter);
}

void
bs_store_operation_leave (BsWaiter *waiter, gpointer unused)
{
  BsStoreOperation *fired = NULL;
  BsDeferred deferred = { NULL, };
  gboolean removed = FALSE;
  BsStoreOperation *operation;

  g_mutex_lock (waiter->lock);
  operation = waiter->operation;
  if (operation != NULL && !waiter->left)
    {
      gboolean wanted = --operation->n_wanting > 0 || operation->unattended;

      if (operation->state == BS_OPERATION_RUNNING && !wanted)
        {
          /* The last one waits for what really happens. */
          operation->fired = TRUE;
          fired = bs_store_operation_ref (operation);
        }
      else if (operation->runner != waiter)
        {
          remove_caller (operation, waiter);
          removed = TRUE;
          if (!wanted)
            {
              operation->state = BS_OPERATION_DONE;
              operation->klass->drop (operation, &deferred);
            }
        }
    }
  waiter->left = TRUE;
  g_mutex_unlock (waiter->lock);

  bs_deferred_push (&deferred);
  if (removed)
    answer_cancelled (waiter);
  if (fired != NULL)
    {
      if (fired->cancellable != NULL)
        g_cancellable_cancel (fired->cancellable);
      bs_store_operation_unref (fired);
    }
  bs_deferred_run (&deferred);
}

BsWaiter *
bs_store_operation_put_back (BsStoreOperation *operation, BsDeferred *deferred)
{
  BsWaiter **link = &operation->waiters;
  BsWaiter *left = NULL;

  operation->state = BS_OPERATION_QUEUED;
  operation->runner = NULL;
  while (*link != NULL)
    {
      BsWaiter *waiter = *link;

      if (!waiter->left)
        {
          link = &waiter->next;
          continue;
        }
      *link = waiter->next;
      waiter->operation = NULL;
      waiter->next = left;
      left = waiter;
    }

  if (operation->n_wanting == 0 && !operation->unattended)
    {
      operation->state = BS_OPERATION_DONE;
      operation->klass->drop (operation, deferred);
    }

  return left;
}

void
bs_store_operation_answer_left (BsWaiter *waiters)
{
  while (waiters != NULL)
    {
      BsWaiter *waiter = waiters;

      waiters = g_steal_pointer (&waiter->next);
      answer_cancelled (waiter);
    }
}

/* A call can be fired only while everybody who wants it can leave. */
static gboolean
can_be_fired (BsStoreOperation *operation)
{
  if (operation->unattended)
    return FALSE;

  for (BsWaiter *waiter = operation->waiters; waiter != NULL; waiter = waiter->next)
    if (waiter->cancellable == NULL)
      return FALSE;

  return TRUE;
}

void
bs_store_operation_run (BsStoreOperation *operation, BsWaiter *runner)
{
  g_mutex_lock (operation->lock);
  if (operation->state != BS_OPERATION_READY && !(operation->state == BS_OPERATION_RUNNING && operation->resumes))
    {
      g_mutex_unlock (operation->lock);
      return;
    }
  operation->state = BS_OPERATION_RUNNING;
  operation->runner = runner;
  if (operation->cancellable == NULL && can_be_fired (operation))
    operation->cancellable = g_cancellable_new ();
  g_mutex_unlock (operation->lock);

  operation->klass->run (operation);
}

BsWaiter *
bs_store_operation_steal_callers (BsStoreOperation *operation)
{
  BsWaiter *waiters = NULL;

  while (operation->waiters != NULL)
    {
      BsWaiter *waiter = operation->waiters;

      operation->waiters = waiter->next;
      waiter->operation = NULL;
      waiter->next = waiters;
      waiters = waiter;
    }

  return waiters;
}

void
bs_store_operation_answer (BsWaiter *waiters, gpointer value, const GError *error)
{
  while (waiters != NULL)
    {
      BsWaiter *waiter = waiters;

      waiters = g_steal_pointer (&waiter->next);
      bs_waiter_answer (waiter, error == NULL ? value : NULL, error != NULL ? g_error_copy (error) : NULL);
      bs_waiter_unref (waiter);
    }
}

void
bs_store_operation_start (BsStoreOperation *operation, BsWaiter *waiter)
{
  if (waiter->blocking && bs_executor_enter (operation->executor))
    {
      bs_store_operation_run (operation, waiter);
      bs_executor_leave (operation->executor);
    }
  else
    {
      bs_executor_submit (operation->executor, operation);
    }
  bs_store_operation_unref (operation);
}

void
bs_deferred_add_ready (BsDeferred *deferred, BsStoreOperation *operation)
{
  operation->state = BS_OPERATION_READY;
  operation->ready_next = deferred->ready;
  deferred->ready = bs_store_operation_ref (operation);
}

void
bs_deferred_add_dropped (BsDeferred *deferred, BsStoreOperation *operation)
{
  operation->dropped_next = deferred->dropped;
  deferred->dropped = operation;
}

static __thread BsDeferred *pushed;

void
bs_deferred_push (BsDeferred *deferred)
{
  deferred->outer = pushed;
  pushed = deferred;
}

static void
submit (BsDeferred *deferred)
{
  while (deferred->ready != NULL)
    {
      BsStoreOperation *operation = deferred->ready;

      deferred->ready = g_steal_pointer (&operation->ready_next);
      if (!operation->held)
        bs_store_operation_hold (operation);
      bs_executor_submit (operation->executor, operation);
      bs_store_operation_unref (operation);
    }
  while (deferred->dropped != NULL)
    {
      BsStoreOperation *operation = deferred->dropped;

      deferred->dropped = g_steal_pointer (&operation->dropped_next);
      bs_executor_forget (operation->executor, operation);
      bs_store_operation_unref (operation);
    }
}

void
bs_deferred_run_pushed (void)
{
  for (BsDeferred *deferred = pushed; deferred != NULL; deferred = deferred->outer)
    submit (deferred);
}

void
bs_deferred_run (BsDeferred *deferred)
{
  submit (deferred);
  if (pushed == deferred)
    pushed = deferred->outer;
}

void
bs_operation_list_append (BsOperationList *queue, BsStoreOperation *operation)
{
  operation->next = NULL;
  operation->previous = queue->tail;
  if (queue->tail != NULL)
    queue->tail->next = operation;
  else
    queue->head = operation;
  queue->tail = operation;
}

void
bs_operation_list_prepend (BsOperationList *queue, BsStoreOperation *operation)
{
  operation->previous = NULL;
  operation->next = queue->head;
  if (queue->head != NULL)
    queue->head->previous = operation;
  else
    queue->tail = operation;
  queue->head = operation;
}

void
bs_operation_list_remove (BsOperationList *queue, BsStoreOperation *operation)
{
  if (operation->previous != NULL)
    operation->previous->next = operation->next;
  else
    queue->head = operation->next;
  if (operation->next != NULL)
    operation->next->previous = operation->previous;
  else
    queue->tail = operation->previous;
  operation->previous = operation->next = NULL;
}
