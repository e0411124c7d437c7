/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-store-operation-private.h"

#include "base/bs-error-private.h"

#include <glib/gi18n-lib.h>

static void
entry_run (BsExecutorEntry *entry)
{
  BsStoreOperation *operation = (BsStoreOperation *) entry;
  gboolean runs;

  g_mutex_lock (operation->lock);
  /* Every waiter may have left meanwhile. */
  runs = operation->state == BS_OPERATION_READY ||
         (operation->state == BS_OPERATION_RUNNING && operation->resumes);
  if (runs)
    bs_store_operation_begin (operation, NULL);
  g_mutex_unlock (operation->lock);

  if (runs)
    operation->klass->run (operation);
  else
    bs_store_operation_unref (operation);
}

void
bs_store_operation_init (BsStoreOperation *operation,
                         const BsStoreOperationClass *klass,
                         BsOperationKind kind,
                         BsBackingStore *store,
                         BsTaskCount *count,
                         BsExecutor *executor,
                         GMutex *lock,
                         BsTrackedPath *tracked,
                         int priority)
{
  operation->entry.run = entry_run;
  g_atomic_ref_count_init (&operation->ref_count);
  operation->priority = priority;
  operation->klass = klass;
  operation->kind = kind;
  operation->store = store;
  operation->count = count;
  operation->executor = executor;
  operation->lock = lock;
  operation->tracked = tracked;
}

void
bs_store_operation_hold (BsStoreOperation *operation)
{
  g_object_ref (operation->store);
  g_object_ref (operation->count->owner);
  if (operation->tracked != NULL)
    g_object_ref (operation->tracked);
  operation->held = TRUE;
}

static const char *
kind_title (BsOperationKind kind)
{
  static const char *titles[] = {
    [BS_KIND_WRITE] = N_ ("Writing key"),
    [BS_KIND_READ] = N_ ("Loading key"),
    [BS_KIND_DELETE] = N_ ("Deleting key"),
    [BS_KIND_REGISTER] = N_ ("Registering key"),
    [BS_KIND_PERSIST] = N_ ("Persisting key"),
    [BS_KIND_DELETE_PERSISTED] = N_ ("Deleting persisted key"),
    [BS_KIND_VERIFY] = N_ ("Verifying persisted key"),
    [BS_KIND_READ_STREAM] = N_ ("Opening key"),
    [BS_KIND_TRACK] = N_ ("Tracking the path"),
    [BS_KIND_UNTRACK] = N_ ("Untracking the path"),
    [BS_KIND_RELEASE] = N_ ("Releasing the path"),
    [BS_KIND_SYNC] = N_ ("Syncing the path"),
    [BS_KIND_LOAD_ROOT] = N_ ("Loading the root blob"),
    [BS_KIND_WRITE_ROOT] = N_ ("Replacing the root blob"),
    [BS_KIND_CHECK] = N_ ("Checking the path"),
    [BS_KIND_SAVE] = N_ ("Saving"),
    [BS_KIND_REGISTER_ALL] = N_ ("Registering all keys"),
    [BS_KIND_REGISTER_KEYS] = N_ ("Registering keys"),
    [BS_KIND_PERSIST_KEYS] = N_ ("Persisting keys"),
    [BS_KIND_DELETE_KEYS] = N_ ("Deleting persisted keys"),
    [BS_KIND_DELETE_NOT_SAVED] = N_ ("Deleting persisted keys"),
    [BS_KIND_DROP_TOKENS] = N_ ("Deleting keys"),
    [BS_KIND_VERIFY_PATH] = N_ ("Verifying the path"),
    [BS_KIND_FUNCTION] = N_ ("Running a function in the store's threads"),
    [BS_KIND_COMMIT] = N_ ("Running the commit function"),
    [BS_KIND_READ_PART] = N_ ("Reading from the stream of key"),
    [BS_KIND_COPY_OUT] = N_ ("Copying key"),
    [BS_KIND_CLOSE] = N_ ("Closing the store"),
  };

  return _ (titles[kind]);
}

GError *
bs_operation_error (BsOperationKind kind,
                    const BsKey *key,
                    GFile *path,
                    GQuark domain,
                    int code,
                    const char *why)
{
  g_autofree char *name = path != NULL ? bs_error_name_file (path) : NULL;
  const char *title = kind_title (kind);
  char string[BS_KEY_STRING_SIZE];

  if (key != NULL)
    bs_key_print (key, string);

  if (key != NULL && name != NULL)
    /* Translators: for example “Persisting key 0123… at /home/…: the disk is full” */
    return g_error_new (domain, code, _ ("%s %s at %s: %s"), title, string, name, why);
  if (key != NULL)
    return g_error_new (domain, code, "%s %s: %s", title, string, why);
  if (name != NULL)
    /* Translators: for example “Syncing the path at /home/…: the disk is full” */
    return g_error_new (domain, code, _ ("%s at %s: %s"), title, name, why);

  return g_error_new (domain, code, "%s: %s", title, why);
}

void
bs_store_operation_unref (BsStoreOperation *operation)
{
  g_autoptr (GObject) owner = NULL;
  BsTaskCount *count = operation->count;
  guint stripe = operation->stripe;
  gboolean counted;

  if (operation->on_stack || !g_atomic_ref_count_dec (&operation->ref_count))
    return;

  g_assert (operation->held);
  g_assert (operation->waiters == NULL && operation->ticket == 0);

  owner = count->owner;
  counted = operation->counted;

  if (operation->klass->free != NULL)
    operation->klass->free (operation);
  g_clear_object (&operation->cancellable);
  g_clear_object (&operation->tracked);
  g_clear_object (&operation->store);
  g_free (operation);

  /* An operation queued by the references dropped above is counted by now, and a
   * waiter finds that no operation holds the store any more. */
  if (counted)
    bs_task_count_end (count, stripe);
}

void
bs_store_operation_join (BsStoreOperation *operation, BsWaiter *waiter)
{
  waiter->next = operation->waiters;
  operation->waiters = bs_waiter_ref (waiter);
  waiter->operation = operation;
  operation->n_wanted++;
}

void
bs_store_operation_boost (BsStoreOperation *operation, int priority)
{
  for (; operation != NULL && g_atomic_int_get (&operation->priority) > priority;
       operation = operation->previous)
    {
      g_atomic_int_set (&operation->priority, priority);
      if (operation->state == BS_OPERATION_READY)
        bs_executor_boost (operation->executor, &operation->entry, priority);
    }
}

gboolean
bs_store_operation_is_joinable (BsStoreOperation *operation,
                                BsOperationKind kind,
                                BsTrackedPath *tracked)
{
  return operation->kind == kind && operation->tracked == tracked && !operation->cancelled &&
         operation->state != BS_OPERATION_DONE;
}

gboolean
bs_store_operation_is_wanted_again (BsStoreOperation *operation)
{
  return operation->cancelled && operation->n_wanted > 0;
}

/* Takes the waiter out of the list of waiters. */
static void
remove_waiter (BsStoreOperation *operation, BsWaiter *waiter)
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
  bs_waiter_answer_and_unref (waiter, NULL,
                              bs_operation_error (waiter->kind,
                                                  waiter->has_key ? &waiter->key : NULL,
                                                  waiter->file, G_IO_ERROR, G_IO_ERROR_CANCELLED,
                                                  _ ("it was cancelled")));
}

void
bs_store_operation_cancel_waiter (BsWaiter *waiter, gpointer unused)
{
  BsStoreOperation *cancelled = NULL;
  BsDeferred deferred = { NULL };
  gboolean removed = FALSE;
  BsStoreOperation *operation;

  g_mutex_lock (waiter->lock);
  operation = waiter->operation;
  if (operation != NULL && !waiter->cancelled)
    {
      gboolean wanted = --operation->n_wanted > 0 || operation->unattended;

      if (operation->state == BS_OPERATION_RUNNING && !wanted)
        {
          /* The last waiter gets the true result. */
          operation->cancelled = TRUE;
          cancelled = bs_store_operation_ref (operation);
        }
      else if (operation->runner != waiter)
        {
          remove_waiter (operation, waiter);
          removed = TRUE;
          if (!wanted)
            {
              operation->state = BS_OPERATION_DONE;
              operation->klass->drop (operation, &deferred);
            }
        }
    }
  waiter->cancelled = TRUE;
  g_mutex_unlock (waiter->lock);

  bs_deferred_push (&deferred, bs_deferred_run);
  if (removed)
    answer_cancelled (waiter);
  if (cancelled != NULL)
    {
      if (cancelled->cancellable != NULL)
        g_cancellable_cancel (cancelled->cancellable);
      bs_store_operation_unref (cancelled);
    }
  bs_deferred_pop (&deferred);
  bs_deferred_run (&deferred);
}

BsWaiter *
bs_store_operation_put_back (BsStoreOperation *operation, BsDeferred *deferred)
{
  BsWaiter **link = &operation->waiters;
  BsWaiter *cancelled = NULL;

  operation->state = BS_OPERATION_QUEUED;
  operation->runner = NULL;
  while (*link != NULL)
    {
      BsWaiter *waiter = *link;

      if (!waiter->cancelled)
        {
          link = &waiter->next;
          continue;
        }
      *link = waiter->next;
      waiter->operation = NULL;
      waiter->next = cancelled;
      cancelled = waiter;
    }

  if (operation->n_wanted == 0 && !operation->unattended)
    {
      operation->state = BS_OPERATION_DONE;
      operation->klass->drop (operation, deferred);
    }

  return cancelled;
}

void
bs_store_operation_answer_cancelled (BsWaiter *waiters)
{
  while (waiters != NULL)
    {
      BsWaiter *waiter = waiters;

      waiters = g_steal_pointer (&waiter->next);
      answer_cancelled (waiter);
    }
}

/* A call of the backing can be cancelled only while every waiter can be; a load also by
 * a close of the store. */
static gboolean
can_be_cancelled (BsStoreOperation *operation)
{
  if (operation->unattended)
    return FALSE;
  if (bs_kind_is_load (operation->kind) && !operation->on_stack)
    return TRUE;

  for (BsWaiter *waiter = operation->waiters; waiter != NULL; waiter = waiter->next)
    if (waiter->cancellable == NULL)
      return FALSE;

  return TRUE;
}

void
bs_store_operation_begin (BsStoreOperation *operation, BsWaiter *runner)
{
  operation->state = BS_OPERATION_RUNNING;
  operation->runner = runner;
  if (operation->cancellable == NULL && can_be_cancelled (operation))
    operation->cancellable = g_cancellable_new ();
  if (operation->klass->begin != NULL)
    operation->klass->begin (operation);
}

void
bs_store_operation_submit (BsStoreOperation *operation)
{
  bs_executor_submit (operation->executor, &operation->entry,
                      g_atomic_int_get (&operation->priority));
}

void
bs_store_operation_start (BsStoreOperation *operation, BsWaiter *waiter)
{
  BsExecutor *executor = operation->executor;
  gboolean runs;

  if (!waiter->blocking || !bs_executor_enter (executor))
    {
      bs_store_operation_submit (operation);
      return;
    }

  g_mutex_lock (operation->lock);
  runs = operation->state == BS_OPERATION_READY;
  if (runs)
    bs_store_operation_begin (operation, waiter);
  g_mutex_unlock (operation->lock);

  if (runs)
    operation->klass->run (operation);
  else
    bs_store_operation_unref (operation);
  bs_executor_leave (executor);
}

/* The operation that the waiter waits for, or the one before it in the queue whose turn
 * it is, if it waits for a place. A waiter that can be cancelled has to be able to leave:
 * its thread runs no operation but its own. */
static BsStoreOperation *
begin_awaited (BsWaiter *waiter)
{
  BsStoreOperation *operation;

  g_mutex_lock (waiter->lock);
  operation = waiter->operation;
  while (operation != NULL && operation->state != BS_OPERATION_READY)
    operation = waiter->cancellable == NULL ? operation->previous : NULL;
  if (operation != NULL && bs_executor_forget (operation->executor, &operation->entry))
    bs_store_operation_begin (operation, operation == waiter->operation ? waiter : NULL);
  else
    operation = NULL;
  g_mutex_unlock (waiter->lock);

  return operation;
}

static gboolean
run_awaited (BsSleeper *sleeper)
{
  BsWaiter *waiter = (BsWaiter *) ((char *) sleeper - G_STRUCT_OFFSET (BsWaiter, sleeper));
  BsStoreOperation *operation = begin_awaited (waiter);

  if (operation == NULL)
    return FALSE;

  /* No other operation of the queue has its turn before this one ends. */
  bs_sleeper_set_busy (sleeper, TRUE);
  operation->klass->run (operation);
  bs_sleeper_set_busy (sleeper, FALSE);
  return TRUE;
}

void
bs_store_operation_lend_thread (BsStoreOperation *operation, BsWaiter *waiter)
{
  waiter->sleeper.run_awaited = run_awaited;
  if (waiter->cancellable != NULL)
    return;

  waiter->sleeper.queue = operation->entry.queue;
  waiter->sleeper.awaits_many = operation->kind > BS_KIND_LAST_ON_KEY;
}

BsWaiter *
bs_store_operation_end (BsStoreOperation *operation)
{
  BsWaiter *waiters = NULL;

  operation->state = BS_OPERATION_DONE;
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
      bs_waiter_answer_and_unref (waiter, error == NULL ? value : NULL,
                                  error != NULL ? g_error_copy (error) : NULL);
    }
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

void
bs_deferred_run (BsDeferred *deferred)
{
  while (deferred->ready != NULL)
    {
      BsStoreOperation *operation = deferred->ready;

      deferred->ready = g_steal_pointer (&operation->ready_next);
      if (!operation->held && !operation->on_stack)
        bs_store_operation_hold (operation);
      bs_store_operation_submit (operation);
    }
  while (deferred->dropped != NULL)
    {
      BsStoreOperation *operation = deferred->dropped;

      deferred->dropped = g_steal_pointer (&operation->dropped_next);
      if (bs_executor_forget (operation->executor, &operation->entry))
        bs_store_operation_unref (operation);
      bs_store_operation_unref (operation);
    }
}

void
bs_deferred_answer (BsDeferred *deferred, BsWaiter *waiters, gpointer value, const GError *error)
{
  if (bs_deferred_is_empty (deferred))
    {
      bs_store_operation_answer (waiters, value, error);
      return;
    }

  bs_deferred_push (deferred, bs_deferred_run);
  bs_store_operation_answer (waiters, value, error);
  bs_deferred_pop (deferred);
  bs_deferred_run (deferred);
}

void
bs_operation_list_append (BsOperationList *list, BsStoreOperation *operation)
{
  operation->next = NULL;
  operation->previous = list->tail;
  if (list->tail != NULL)
    list->tail->next = operation;
  else
    list->head = operation;
  list->tail = operation;
}

void
bs_operation_list_prepend (BsOperationList *list, BsStoreOperation *operation)
{
  operation->previous = NULL;
  operation->next = list->head;
  if (list->head != NULL)
    list->head->previous = operation;
  else
    list->tail = operation;
  list->head = operation;
}

void
bs_operation_list_remove (BsOperationList *list, BsStoreOperation *operation)
{
  if (operation->previous != NULL)
    operation->previous->next = operation->next;
  else
    list->head = operation->next;
  if (operation->next != NULL)
    operation->next->previous = operation->previous;
  else
    list->tail = operation->previous;
  operation->previous = operation->next = NULL;
}
