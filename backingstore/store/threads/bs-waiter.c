/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store/threads/bs-store-operation-private.h"

#include <string.h>

#include "store/operations/bs-store-private.h"

/* Every asynchronous answer goes through a source in the task's context, even
 * on the thread that owns it: returning a GTask there would run the callback
 * at once, inside whatever blocking call is on the stack. The source is also
 * what lets go of the task and of the callback's data in that context.
 *
 * Answers for one context and priority share a source while there are any, so
 * that a loop with much to do is woken once for many. */

/* How many a source gives before others get their turn. */
#define MOST_AT_ONCE 32

typedef struct _AnswerSource AnswerSource;

struct _AnswerSource
{
  GSource source;

  /* constant */
  GMainContext *context;    /* identity only: the tasks hold it */
  int priority;

  /* under answers_mutex */
  AnswerSource *next;       /* of those that have something to give */
  BsWaiter *head;           /* owned, by next */
  BsWaiter *tail;
  guint n_waiters;
};

static GMutex answers_mutex;
static AnswerSource *answers;

static void
disconnect (BsWaiter *waiter)
{
  /* Not g_cancellable_disconnect(), which waits for a running handler: this may
   * be inside one. The handler's closure has a reference of its own. */
  if (waiter->cancelled_id != 0)
    g_signal_handler_disconnect (waiter->cancellable, waiter->cancelled_id);
  waiter->cancelled_id = 0;
}

static void
free_context_data (BsWaiter *waiter)
{
  if (waiter->context_data_free != NULL)
    waiter->context_data_free (waiter->context_data);
  waiter->context_data_free = NULL;
}

/* Called in the waiter's context. Takes the reference over. */
static void
give_answer (BsWaiter *waiter)
{
  GTask *task = g_steal_pointer (&waiter->task);

  disconnect (waiter);
  if (waiter->progress != NULL)
    bs_progress_tell_now (waiter->progress, g_task_get_context (task));

  if (waiter->returned)
    ;
  else if (waiter->error != NULL)
    g_task_return_error (task, g_steal_pointer (&waiter->error));
  else if (waiter->value_free != NULL)
    g_task_return_pointer (task, g_steal_pointer (&waiter->value), waiter->value_free);
  else
    g_task_return_boolean (task, TRUE);

  free_context_data (waiter);
  g_object_unref (task);
  bs_waiter_unref (waiter);
}

/* With its last waiter a source is done: the next answer makes a new one. */
static BsWaiter *
take_waiter (AnswerSource *self)
{
  BsWaiter *waiter;

  g_mutex_lock (&answers_mutex);
  waiter = self->head;
  if (waiter != NULL)
    {
      self->head = g_steal_pointer (&waiter->next);
      self->n_waiters--;
      if (self->head == NULL)
        {
          AnswerSource **link = &answers;

          while (*link != self)
            link = &(*link)->next;
          *link = self->next;
        }
    }
  g_mutex_unlock (&answers_mutex);

  return waiter;
}

static gboolean
answer_source_dispatch (GSource *source, GSourceFunc callback, gpointer user_data)
{
  AnswerSource *self = (AnswerSource *) source;
  guint n_left;

  g_mutex_lock (&answers_mutex);
  n_left = MIN (self->n_waiters, MOST_AT_ONCE);
  g_mutex_unlock (&answers_mutex);

  /* A callback may run a loop, which gives the rest from inside it. */
  for (; n_left > 0; n_left--)
    {
      BsWaiter *waiter = take_waiter (self);

      if (waiter == NULL)
        break;
      give_answer (waiter);
    }

  g_mutex_lock (&answers_mutex);
  n_left = self->n_waiters;
  g_mutex_unlock (&answers_mutex);

  return n_left > 0 ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

static GSourceFuncs answer_source_funcs = {
  .dispatch = answer_source_dispatch,
};

static AnswerSource *
answer_source_new (GMainContext *context, int priority)
{
  GSource *source = g_source_new (&answer_source_funcs, sizeof (AnswerSource));
  AnswerSource *self = (AnswerSource *) source;

  self->context = context;
  self->priority = priority;
  g_source_set_priority (source, priority);
  g_source_set_static_name (source, "backingstore answers");
  g_source_set_can_recurse (source, TRUE);
  g_source_set_ready_time (source, 0);

  return self;
}

static void
hand_over (BsWaiter *waiter)
{
  GMainContext *context = g_task_get_context (waiter->task);
  int priority = g_task_get_priority (waiter->task);
  /* Once attached it may be dispatched, and the waiter's thread be gone with its
   * context, before this has let go of the source, which looks at the context. */
  g_autoptr (GMainContext) held = NULL;
  GSource *new_source = NULL;
  AnswerSource *self;

  bs_waiter_ref (waiter);

  g_mutex_lock (&answers_mutex);
  for (self = answers; self != NULL; self = self->next)
    if (self->context == context && self->priority == priority)
      break;
  if (self == NULL)
    {
      self = answer_source_new (context, priority);
      new_source = (GSource *) self;
      held = g_main_context_ref (context);
      self->next = answers;
      answers = self;
    }
  if (self->head == NULL)
    self->head = waiter;
  else
    self->tail->next = waiter;
  self->tail = waiter;
  self->n_waiters++;
  g_mutex_unlock (&answers_mutex);

  if (new_source != NULL)
    {
      g_source_attach (new_source, context);
      g_source_unref (new_source);
    }
}

GTask *
bs_task_new (gpointer source, GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data,
             gpointer tag, const char *name, int io_priority)
{
  GTask *task = g_task_new (source, cancellable, callback, user_data);

  g_task_set_source_tag (task, tag);
#if GLIB_CHECK_VERSION (2, 76, 0)
  G_GNUC_BEGIN_IGNORE_DEPRECATIONS
  g_task_set_static_name (task, name);
  G_GNUC_END_IGNORE_DEPRECATIONS
#endif
  g_task_set_priority (task, io_priority);
  /* The answer is the true one: a success stays a success. */
  g_task_set_check_cancellable (task, FALSE);

  return task;
}

BsWaiter *
bs_waiter_new_for_executor (BsExecutor *executor, GTask *task, gboolean blocking, GCancellable *cancellable)
{
  BsWaiter *waiter = g_new (BsWaiter, 1);

  /* Faster than g_new0() at this size. */
  memset (waiter, 0, sizeof *waiter);
  g_atomic_ref_count_init (&waiter->ref_count);
  if (blocking && bs_executor_is_context (executor))
    waiter->executor = bs_executor_ref (executor);
  waiter->task = task;
  waiter->blocking = blocking;
  waiter->priority = task != NULL ? g_task_get_priority (task) : BS_PRIORITY_BLOCKING;
  if (cancellable != NULL)
    waiter->cancellable = g_object_ref (cancellable);
  if (blocking)
    {
      g_mutex_init (&waiter->mutex);
      g_cond_init (&waiter->cond);
    }
  return waiter;
}

static BsWaiter *
waiter_new (BsBackingStore *store,
            GTask          *task,
            gboolean        blocking,
            GCancellable   *cancellable,
            BsDeliverFunc   deliver,
            gpointer        data,
            GDestroyNotify  data_free,
            GDestroyNotify  value_free)
{
  BsWaiter *waiter = bs_waiter_new_for_executor (store->backing_executor, task, blocking, cancellable);

  /* Only a cancellation may look at the store when all is over; in the
   * background it may get a cancellable later. */
  if (cancellable != NULL || (task == NULL && !blocking))
    waiter->store = g_object_ref (store);
  waiter->deliver = deliver;
  waiter->data = data;
  waiter->data_free = data_free;
  waiter->value_free = value_free;
  return waiter;
}

BsWaiter *
bs_waiter_new_async (BsBackingStore *store,
                     GTask          *task,
                     BsDeliverFunc   deliver,
                     gpointer        data,
                     GDestroyNotify  data_free,
                     GDestroyNotify  value_free)
{
  return waiter_new (store, task, FALSE, g_task_get_cancellable (task), deliver, data, data_free, value_free);
}

BsWaiter *
bs_waiter_new_blocking (BsBackingStore *store,
                        GCancellable   *cancellable,
                        BsDeliverFunc   deliver,
                        gpointer        data,
                        GDestroyNotify  data_free,
                        GDestroyNotify  value_free)
{
  return waiter_new (store, NULL, TRUE, cancellable, deliver, data, data_free, value_free);
}

BsWaiter *
bs_waiter_new_background (BsBackingStore *store,
                          int             priority,
                          BsDeliverFunc   deliver,
                          gpointer        data,
                          GDestroyNotify  data_free)
{
  BsWaiter *waiter = waiter_new (store, NULL, FALSE, NULL, deliver, data, data_free, NULL);

  waiter->priority = priority;
  waiter->inner = TRUE;
  return waiter;
}

BsWaiter *
bs_waiter_ref (BsWaiter *waiter)
{
  g_atomic_ref_count_inc (&waiter->ref_count);
  return waiter;
}

void
bs_waiter_unref (BsWaiter *waiter)
{
  if (!g_atomic_ref_count_dec (&waiter->ref_count))
    return;

  if (waiter->data_free != NULL)
    waiter->data_free (waiter->data);
  if (waiter->value != NULL && waiter->value_free != NULL)
    waiter->value_free (waiter->value);
  g_clear_error (&waiter->error);
  g_assert (waiter->task == NULL && waiter->context_data_free == NULL);
  g_clear_object (&waiter->cancellable);
  if (waiter->blocking)
    {
      g_mutex_clear (&waiter->mutex);
      g_cond_clear (&waiter->cond);
    }
  if (waiter->keep_free != NULL)
    waiter->keep_free (waiter->keep);
  g_clear_pointer (&waiter->executor, bs_executor_unref);
  g_clear_object (&waiter->tracked);
  g_clear_object (&waiter->path);
  g_clear_object (&waiter->store);
  g_free (waiter);
}

void
bs_waiter_set_progress (BsWaiter *waiter, BsProgress *progress)
{
  waiter->progress = progress;
}

void
bs_waiter_set_subject (BsWaiter *waiter, guint kind, const BsKey *key, BsTrackedPath *tracked)
{
  if (waiter->cancellable == NULL)
    return;

  waiter->kind = kind;
  waiter->has_key = key != NULL;
  if (key != NULL)
    waiter->key = *key;
  g_set_object (&waiter->tracked, tracked);
}

gboolean
bs_waiter_answer (BsWaiter *waiter, gpointer value, GError *error)
{
  if (!g_atomic_int_compare_and_exchange (&waiter->answered, FALSE, TRUE))
    {
      g_clear_error (&error);
      return FALSE;
    }

  if (waiter->deliver != NULL)
    value = waiter->deliver (waiter->data, value, &error);
  if (waiter->data_free != NULL)
    {
      waiter->data_free (waiter->data);
      waiter->data_free = NULL;
    }
  waiter->value = waiter->value_free != NULL ? value : NULL;
  waiter->error = error;

  if (waiter->task != NULL)
    {
      hand_over (waiter);
    }
  else if (waiter->blocking)
    {
      g_mutex_lock (&waiter->mutex);
      g_atomic_int_set (&waiter->done, TRUE);
      /* A signal is a system call, whether or not anybody waits for it. */
      if (waiter->sleeps)
        g_cond_signal (&waiter->cond);
      g_mutex_unlock (&waiter->mutex);
      if (waiter->executor != NULL)
        bs_executor_wake (waiter->executor);
    }
  else
    {
      /* Nobody comes later to do so. */
      disconnect (waiter);
    }

  return TRUE;
}

static void
cancelled_cb (GCancellable *cancellable, gpointer data)
{
  BsWaiter *waiter = data;

  waiter->leave (waiter, waiter->leave_data);
}

void
bs_waiter_connect (BsWaiter *waiter, void (*leave) (BsWaiter *waiter, gpointer data), gpointer data)
{
  if (waiter->cancellable == NULL)
    return;

  waiter->leave = leave;
  waiter->leave_data = data;
  waiter->cancelled_id = g_cancellable_connect (waiter->cancellable, G_CALLBACK (cancelled_cb),
                                                bs_waiter_ref (waiter), (GDestroyNotify) bs_waiter_unref);
}

static void
sleep_until_done (BsWaiter *waiter)
{
  /* A thread of a executor, in no function that was asked for: something calls from
   * there because its last reference went. What it waits for may need a thread. */
  BsExecutor *lent = bs_call_scope_get_current () == NULL ? bs_executor_get_current () : NULL;

  if (lent != NULL)
    bs_executor_lend (lent, 1);

  g_mutex_lock (&waiter->mutex);
  waiter->sleeps = TRUE;
  while (!g_atomic_int_get (&waiter->done))
    g_cond_wait (&waiter->cond, &waiter->mutex);
  g_mutex_unlock (&waiter->mutex);

  if (lent != NULL)
    bs_executor_lend (lent, -1);
}

gpointer
bs_waiter_wait (BsWaiter *waiter, GError **error)
{
  gpointer result;

  if (!g_atomic_int_get (&waiter->done))
    {
      bs_deferred_run_pushed ();
      if (waiter->executor != NULL && bs_executor_enter (waiter->executor))
        {
          bs_executor_run_until (waiter->executor, &waiter->done);
          bs_executor_leave (waiter->executor);
        }
      else
        {
          sleep_until_done (waiter);
        }
    }

  bs_wait_graph_leave (&waiter->wait);
  disconnect (waiter);
  free_context_data (waiter);

  if (waiter->value_free != NULL)
    result = g_steal_pointer (&waiter->value);
  else
    result = GINT_TO_POINTER (waiter->error == NULL);
  if (waiter->error != NULL)
    g_propagate_error (error, g_steal_pointer (&waiter->error));

  bs_waiter_unref (waiter);
  return result;
}
