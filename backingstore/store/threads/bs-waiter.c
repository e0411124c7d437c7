/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-waiter-private.h"

#include "base/bs-zero-private.h"
#include "store/threads/bs-deferred-private.h"

/* Every asynchronous answer goes through a source in the task's context, even on the
 * thread that owns it: returning a GTask there would run the callback at once, inside
 * any blocking call on the stack. The source also lets go of the task and of the
 * callback's data in that context.
 *
 * Answers for one context share a source while there are any, so that a loop with much
 * to do is woken once for many. The source has the priority of the best of them: a
 * context keeps a list of priorities, which it searches, so a source for each priority
 * would make every source of the process slower. */

/* The number of answers that a source gives before others get their turn. */
#define MOST_AT_ONCE 32

typedef struct
{
  GSource source;

  /* constant */
  GMainContext *context; /* identity only: the tasks hold it */

  /* under answers_mutex */
  BsPriorityQueue waiters; /* of BsWaiter, each owned */
} AnswerSource;

static GMutex answers_mutex;
static GHashTable *answers; /* context → AnswerSource that has something to give; under the mutex */

static void
disconnect (BsWaiter *waiter)
{
  /* Not g_cancellable_disconnect(), which waits for a running handler: this thread
   * may be inside one. The handler's closure has a reference of its own. */
  if (waiter->cancelled_id != 0)
    g_signal_handler_disconnect (waiter->cancellable, waiter->cancelled_id);
  waiter->cancelled_id = 0;
}

static void
free_context_data (BsWaiter *waiter)
{
  if (waiter->delivery.context_data_free != NULL)
    waiter->delivery.context_data_free (waiter->delivery.context_data);
  waiter->delivery.context_data_free = NULL;
}

/* Called in the waiter's context. Takes the reference over. */
static void
give_answer (BsWaiter *waiter)
{
  GTask *task = g_steal_pointer (&waiter->task);

  disconnect (waiter);
  if (waiter->delivery.progress != NULL)
    bs_progress_tell_now (waiter->delivery.progress, g_task_get_context (task));

  if (waiter->task_returned)
    ;
  else if (waiter->error != NULL)
    g_task_return_error (task, g_steal_pointer (&waiter->error));
  else if (waiter->delivery.value_free != NULL)
    g_task_return_pointer (task, g_steal_pointer (&waiter->value), waiter->delivery.value_free);
  else
    g_task_return_boolean (task, TRUE);

  free_context_data (waiter);
  g_object_unref (task);
  bs_waiter_unref (waiter);
}

/* The priority of the source changes under the mutex. */
static guint
count_waiters (AnswerSource *self, int *priority)
{
  guint n_waiters;

  g_mutex_lock (&answers_mutex);
  n_waiters = bs_priority_queue_get_length (&self->waiters);
  *priority = g_source_get_priority (&self->source);
  g_mutex_unlock (&answers_mutex);

  return n_waiters;
}

/* Returns the best waiter, if it is as good as `priority`. With its last waiter a source
 * is done: the next answer makes a new one. */
static BsWaiter *
take_waiter (AnswerSource *self, int priority)
{
  BsPriorityEntry *first, *next;

  g_mutex_lock (&answers_mutex);
  first = bs_priority_queue_peek (&self->waiters);
  if (first != NULL && first->priority > priority)
    first = NULL;
  if (first != NULL)
    {
      bs_priority_queue_take (&self->waiters, first);
      next = bs_priority_queue_peek (&self->waiters);
      if (next == NULL)
        g_hash_table_remove (answers, self->context);
      else if (next->priority != first->priority)
        g_source_set_priority (&self->source, next->priority);
    }
  g_mutex_unlock (&answers_mutex);

  return (BsWaiter *) first;
}

static gboolean
answer_source_dispatch (GSource *source, GSourceFunc callback, gpointer user_data)
{
  AnswerSource *self = (AnswerSource *) source;
  int priority, unused;
  guint n_left = MIN (count_waiters (self, &priority), MOST_AT_ONCE);

  /* A callback may run a loop, which gives the rest from inside it. */
  for (; n_left > 0; n_left--)
    {
      BsWaiter *waiter = take_waiter (self, priority);

      if (waiter == NULL)
        break;
      give_answer (waiter);
    }

  return count_waiters (self, &unused) > 0 ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

static void
answer_source_finalize (GSource *source)
{
  bs_priority_queue_clear (&((AnswerSource *) source)->waiters);
}

static GSourceFuncs answer_source_funcs = {
  .dispatch = answer_source_dispatch,
  .finalize = answer_source_finalize,
};

static AnswerSource *
answer_source_new (GMainContext *context, int priority)
{
  GSource *source = g_source_new (&answer_source_funcs, sizeof (AnswerSource));
  AnswerSource *self = (AnswerSource *) source;

  self->context = context;
  bs_priority_queue_init (&self->waiters);
  g_source_set_priority (source, priority);
  g_source_set_static_name (source, "backingstore answers");
  g_source_set_can_recurse (source, TRUE);
  g_source_set_ready_time (source, 0);

  return self;
}

/* Takes the reference over. */
static void
hand_over (BsWaiter *waiter)
{
  int priority = g_task_get_priority (waiter->task);
  /* An attached source may be dispatched at once, and the task's thread may end with
   * its context; the last reference on the source still looks at the context. */
  g_autoptr (GMainContext) context = g_main_context_ref (g_task_get_context (waiter->task));
  g_autoptr (GSource) new_source = NULL;
  BsPriorityEntry *best;
  AnswerSource *self;

  g_mutex_lock (&answers_mutex);
  if (answers == NULL)
    answers = g_hash_table_new (NULL, NULL);
  self = g_hash_table_lookup (answers, context);
  if (self == NULL)
    {
      self = answer_source_new (context, priority);
      new_source = (GSource *) self;
      g_hash_table_insert (answers, context, self);
      /* Its priority changes under the mutex, once it is there to be changed. */
      g_source_attach (new_source, context);
    }
  best = bs_priority_queue_peek (&self->waiters);
  if (best != NULL && priority < best->priority)
    g_source_set_priority (&self->source, priority);
  bs_priority_queue_push (&self->waiters, &waiter->to_give, priority);
  g_mutex_unlock (&answers_mutex);
}

GTask *
bs_task_new (gpointer source,
             GCancellable *cancellable,
             GAsyncReadyCallback callback,
             gpointer user_data,
             gpointer tag,
             const char *name,
             int io_priority)
{
  GTask *task = g_task_new (source, cancellable, callback, user_data);

  g_task_set_source_tag (task, tag);
#if GLIB_CHECK_VERSION(2, 76, 0)
  G_GNUC_BEGIN_IGNORE_DEPRECATIONS
  g_task_set_static_name (task, name);
  G_GNUC_END_IGNORE_DEPRECATIONS
#endif
  g_task_set_priority (task, io_priority);
  /* Do not turn a success into CANCELLED. */
  g_task_set_check_cancellable (task, FALSE);

  return task;
}

static void
waiter_init (BsWaiter *waiter, int priority, const BsDelivery *delivery)
{
  bs_zero (waiter, sizeof *waiter);
  waiter->priority = priority;
  if (delivery != NULL)
    waiter->delivery = *delivery;
}

static BsWaiter *
waiter_new (int priority, GCancellable *cancellable, const BsDelivery *delivery)
{
  /* Filling it is faster than g_new0() at this size. */
  BsWaiter *waiter = g_new (BsWaiter, 1);

  waiter_init (waiter, priority, delivery);
  g_atomic_ref_count_init (&waiter->ref_count);
  if (cancellable != NULL)
    waiter->cancellable = g_object_ref (cancellable);

  return waiter;
}

static void
init_blocking (BsWaiter *waiter, BsExecutor *executor)
{
  waiter->blocking = TRUE;
  waiter->executor = executor;
}

BsWaiter *
bs_waiter_new_async (GTask *task, const BsDelivery *delivery)
{
  BsWaiter *waiter =
    waiter_new (g_task_get_priority (task), g_task_get_cancellable (task), delivery);

  waiter->task = task;
  bs_spawner_retry_in (g_task_get_context (task));
  return waiter;
}

BsWaiter *
bs_waiter_new_background (int priority, GCancellable *cancellable, const BsDelivery *delivery)
{
  return waiter_new (priority, cancellable, delivery);
}

BsWaiter *
bs_waiter_new_blocking (BsExecutor *executor, GCancellable *cancellable, const BsDelivery *delivery)
{
  BsWaiter *waiter = waiter_new (BS_PRIORITY_BLOCKING, cancellable, delivery);

  init_blocking (waiter, executor);
  return waiter;
}

void
bs_waiter_init_on_stack (BsWaiter *waiter, BsExecutor *executor, const BsDelivery *delivery)
{
  waiter_init (waiter, BS_PRIORITY_BLOCKING, delivery);
  init_blocking (waiter, executor);
  waiter->on_stack = TRUE;
}

static void
free_delivery_data (BsWaiter *waiter)
{
  if (waiter->delivery.data_free != NULL)
    waiter->delivery.data_free (waiter->delivery.data);
  waiter->delivery.data_free = NULL;
}

static void
waiter_clear (BsWaiter *waiter)
{
  g_assert (waiter->task == NULL && waiter->delivery.context_data_free == NULL);

  free_delivery_data (waiter);
  if (waiter->value != NULL && waiter->delivery.value_free != NULL)
    waiter->delivery.value_free (waiter->value);
  g_clear_error (&waiter->error);
  g_clear_object (&waiter->cancellable);
  g_clear_object (&waiter->file);
  if (waiter->lock_owner_free != NULL)
    waiter->lock_owner_free (waiter->lock_owner);
  if (waiter->blocking && !waiter->answered_here)
    bs_sleeper_clear (&waiter->sleeper);
}

void
bs_waiter_unref (BsWaiter *waiter)
{
  if (waiter->on_stack || !g_atomic_ref_count_dec (&waiter->ref_count))
    return;

  waiter_clear (waiter);
  g_free (waiter);
}

void
bs_waiter_hold_lock (BsWaiter *waiter, gpointer owner, GDestroyNotify owner_free)
{
  waiter->lock_owner = owner;
  waiter->lock_owner_free = owner_free;
}

void
bs_waiter_set_subject (BsWaiter *waiter, guint kind, const BsKey *key, GFile *file)
{
  waiter->kind = kind;
  waiter->has_key = key != NULL;
  if (key != NULL)
    waiter->key = *key;
  g_set_object (&waiter->file, file);
}

/* Gives the waiter its answer; FALSE if it was answered before. */
static gboolean
settle (BsWaiter *waiter, gpointer value, GError *error)
{
  /* A waiter on the stack is answered by its operation alone. */
  if (!waiter->on_stack && !g_atomic_int_compare_and_exchange (&waiter->answered, FALSE, TRUE))
    {
      g_clear_error (&error);
      return FALSE;
    }

  if (waiter->delivery.func != NULL)
    value = waiter->delivery.func (waiter->delivery.data, value, &error);
  free_delivery_data (waiter);
  waiter->value = waiter->delivery.value_free != NULL ? value : NULL;
  waiter->error = error;

  return TRUE;
}

/* Ends the wait of a settled waiter that has no task. */
static void
end_wait (BsWaiter *waiter)
{
  if (waiter->blocking && !waiter->answered_here)
    bs_sleeper_wake (&waiter->sleeper);
  else if (!waiter->blocking)
    /* No thread comes later to disconnect. */
    disconnect (waiter);
}

gboolean
bs_waiter_answer (BsWaiter *waiter, gpointer value, GError *error)
{
  if (!settle (waiter, value, error))
    return FALSE;

  if (waiter->task != NULL)
    hand_over (bs_waiter_ref (waiter));
  else
    end_wait (waiter);

  return TRUE;
}

void
bs_waiter_answer_and_unref (BsWaiter *waiter, gpointer value, GError *error)
{
  gboolean on_stack = waiter->on_stack;

  if (!settle (waiter, value, error))
    {
      bs_waiter_unref (waiter);
      return;
    }

  /* The reference goes in the context of the task, and the cancellable with it: a script's
   * engine may have ended before this thread went on. */
  if (waiter->task != NULL)
    {
      hand_over (waiter);
      return;
    }

  end_wait (waiter);
  if (!on_stack)
    bs_waiter_unref (waiter);
}

void
bs_answer_async (GTask *task, const BsDelivery *delivery, gpointer value, GError *error)
{
  bs_waiter_answer_and_unref (bs_waiter_new_async (task, delivery), value, error);
}

static void
cancelled_cb (GCancellable *cancellable, gpointer data)
{
  BsWaiter *waiter = data;

  waiter->cancel (waiter, waiter->cancel_data);
}

void
bs_waiter_connect (BsWaiter *waiter,
                   void (*cancel) (BsWaiter *waiter, gpointer data),
                   gpointer data)
{
  if (waiter->cancellable == NULL)
    return;

  waiter->cancel = cancel;
  waiter->cancel_data = data;
  waiter->cancelled_id =
    g_cancellable_connect (waiter->cancellable, G_CALLBACK (cancelled_cb), bs_waiter_ref (waiter),
                           (GDestroyNotify) bs_waiter_unref);
}

static void
wait_until_done (BsWaiter *waiter)
{
  bs_deferred_run_pushed ();
  bs_executor_sleep (waiter->executor, &waiter->sleeper);
}

static gpointer
take_answer (BsWaiter *waiter, GError **error)
{
  if (waiter->error != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&waiter->error));
      return NULL;
    }

  return waiter->delivery.value_free != NULL ? g_steal_pointer (&waiter->value)
                                             : GINT_TO_POINTER (TRUE);
}

gpointer
bs_waiter_wait (BsWaiter *waiter, GError **error)
{
  gpointer answer;

  /* The waiter was answered on its own thread: nothing of it was used but the answer. */
  if (waiter->on_stack && waiter->answered_here)
    return take_answer (waiter, error);

  if (!waiter->answered_here)
    wait_until_done (waiter);

  bs_wait_graph_leave (&waiter->wait);
  disconnect (waiter);
  free_context_data (waiter);
  answer = take_answer (waiter, error);

  if (waiter->on_stack)
    waiter_clear (waiter);
  else
    bs_waiter_unref (waiter);
  return answer;
}
