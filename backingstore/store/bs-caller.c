/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "bs-job-private.h"

#include <string.h>

#include "bs-store-private.h"

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
  BsCaller *head;           /* owned, by next */
  BsCaller *tail;
  guint n_callers;
};

static GMutex answers_mutex;
static AnswerSource *answers;

static void
disconnect (BsCaller *caller)
{
  /* Not g_cancellable_disconnect(), which waits for a running handler: this may
   * be inside one. The handler's closure has a reference of its own. */
  if (caller->cancelled_id != 0)
    g_signal_handler_disconnect (caller->cancellable, caller->cancelled_id);
  caller->cancelled_id = 0;
}

static void
free_context_data (BsCaller *caller)
{
  if (caller->context_data_free != NULL)
    caller->context_data_free (caller->context_data);
  caller->context_data_free = NULL;
}

/* Called in the caller's context. Takes the reference over. */
static void
give_answer (BsCaller *caller)
{
  GTask *task = g_steal_pointer (&caller->task);

  disconnect (caller);
  if (caller->progress != NULL)
    bs_progress_tell_now (caller->progress, g_task_get_context (task));

  if (caller->returned)
    ;
  else if (caller->error != NULL)
    g_task_return_error (task, g_steal_pointer (&caller->error));
  else if (caller->value_free != NULL)
    g_task_return_pointer (task, g_steal_pointer (&caller->value), caller->value_free);
  else
    g_task_return_boolean (task, TRUE);

  free_context_data (caller);
  g_object_unref (task);
  bs_caller_unref (caller);
}

/* With its last caller a source is done: the next answer makes a new one. */
static BsCaller *
take_caller (AnswerSource *self)
{
  BsCaller *caller;

  g_mutex_lock (&answers_mutex);
  caller = self->head;
  if (caller != NULL)
    {
      self->head = g_steal_pointer (&caller->next);
      self->n_callers--;
      if (self->head == NULL)
        {
          AnswerSource **link = &answers;

          while (*link != self)
            link = &(*link)->next;
          *link = self->next;
        }
    }
  g_mutex_unlock (&answers_mutex);

  return caller;
}

static gboolean
answer_source_dispatch (GSource *source, GSourceFunc callback, gpointer user_data)
{
  AnswerSource *self = (AnswerSource *) source;
  guint n_left;

  g_mutex_lock (&answers_mutex);
  n_left = MIN (self->n_callers, MOST_AT_ONCE);
  g_mutex_unlock (&answers_mutex);

  /* A callback may run a loop, which gives the rest from inside it. */
  for (; n_left > 0; n_left--)
    {
      BsCaller *caller = take_caller (self);

      if (caller == NULL)
        break;
      give_answer (caller);
    }

  g_mutex_lock (&answers_mutex);
  n_left = self->n_callers;
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
hand_over (BsCaller *caller)
{
  GMainContext *context = g_task_get_context (caller->task);
  int priority = g_task_get_priority (caller->task);
  /* Once attached it may be dispatched, and the caller's thread be gone with its
   * context, before this has let go of the source, which looks at the context. */
  g_autoptr (GMainContext) held = NULL;
  GSource *new_source = NULL;
  AnswerSource *self;

  bs_caller_ref (caller);

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
    self->head = caller;
  else
    self->tail->next = caller;
  self->tail = caller;
  self->n_callers++;
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

BsCaller *
bs_caller_new_for_lane (BsLane *lane, GTask *task, gboolean blocking, GCancellable *cancellable)
{
  BsCaller *caller = g_new (BsCaller, 1);

  /* Faster than g_new0() at this size. */
  memset (caller, 0, sizeof *caller);
  g_atomic_ref_count_init (&caller->ref_count);
  if (blocking && bs_lane_is_context (lane))
    caller->lane = bs_lane_ref (lane);
  caller->task = task;
  caller->blocking = blocking;
  caller->priority = task != NULL ? g_task_get_priority (task) : BS_PRIORITY_BLOCKING;
  if (cancellable != NULL)
    caller->cancellable = g_object_ref (cancellable);
  if (blocking)
    {
      g_mutex_init (&caller->mutex);
      g_cond_init (&caller->cond);
    }
  return caller;
}

static BsCaller *
caller_new (BsBackingStore *store,
            GTask          *task,
            gboolean        blocking,
            GCancellable   *cancellable,
            BsDeliverFunc   deliver,
            gpointer        data,
            GDestroyNotify  data_free,
            GDestroyNotify  value_free)
{
  BsCaller *caller = bs_caller_new_for_lane (store->backing_lane, task, blocking, cancellable);

  /* Only a cancellation may look at the store when all is over; in the
   * background it may get a cancellable later. */
  if (cancellable != NULL || (task == NULL && !blocking))
    caller->store = g_object_ref (store);
  caller->deliver = deliver;
  caller->data = data;
  caller->data_free = data_free;
  caller->value_free = value_free;
  return caller;
}

BsCaller *
bs_caller_new_async (BsBackingStore *store,
                     GTask          *task,
                     BsDeliverFunc   deliver,
                     gpointer        data,
                     GDestroyNotify  data_free,
                     GDestroyNotify  value_free)
{
  return caller_new (store, task, FALSE, g_task_get_cancellable (task), deliver, data, data_free, value_free);
}

BsCaller *
bs_caller_new_blocking (BsBackingStore *store,
                        GCancellable   *cancellable,
                        BsDeliverFunc   deliver,
                        gpointer        data,
                        GDestroyNotify  data_free,
                        GDestroyNotify  value_free)
{
  return caller_new (store, NULL, TRUE, cancellable, deliver, data, data_free, value_free);
}

BsCaller *
bs_caller_new_background (BsBackingStore *store,
                          int             priority,
                          BsDeliverFunc   deliver,
                          gpointer        data,
                          GDestroyNotify  data_free)
{
  BsCaller *caller = caller_new (store, NULL, FALSE, NULL, deliver, data, data_free, NULL);

  caller->priority = priority;
  caller->inner = TRUE;
  return caller;
}

BsCaller *
bs_caller_ref (BsCaller *caller)
{
  g_atomic_ref_count_inc (&caller->ref_count);
  return caller;
}

void
bs_caller_unref (BsCaller *caller)
{
  if (!g_atomic_ref_count_dec (&caller->ref_count))
    return;

  if (caller->data_free != NULL)
    caller->data_free (caller->data);
  if (caller->value != NULL && caller->value_free != NULL)
    caller->value_free (caller->value);
  g_clear_error (&caller->error);
  g_assert (caller->task == NULL && caller->context_data_free == NULL);
  g_clear_object (&caller->cancellable);
  if (caller->blocking)
    {
      g_mutex_clear (&caller->mutex);
      g_cond_clear (&caller->cond);
    }
  if (caller->keep_free != NULL)
    caller->keep_free (caller->keep);
  g_clear_pointer (&caller->lane, bs_lane_unref);
  g_clear_object (&caller->tracked);
  g_clear_object (&caller->path);
  g_clear_object (&caller->store);
  g_free (caller);
}

void
bs_caller_set_progress (BsCaller *caller, BsProgress *progress)
{
  caller->progress = progress;
}

void
bs_caller_set_subject (BsCaller *caller, guint kind, const BsKey *key, BsTrackedPath *tracked)
{
  if (caller->cancellable == NULL)
    return;

  caller->kind = kind;
  caller->has_key = key != NULL;
  if (key != NULL)
    caller->key = *key;
  g_set_object (&caller->tracked, tracked);
}

gboolean
bs_caller_answer (BsCaller *caller, gpointer value, GError *error)
{
  if (!g_atomic_int_compare_and_exchange (&caller->answered, FALSE, TRUE))
    {
      g_clear_error (&error);
      return FALSE;
    }

  if (caller->deliver != NULL)
    value = caller->deliver (caller->data, value, &error);
  if (caller->data_free != NULL)
    {
      caller->data_free (caller->data);
      caller->data_free = NULL;
    }
  caller->value = caller->value_free != NULL ? value : NULL;
  caller->error = error;

  if (caller->task != NULL)
    {
      hand_over (caller);
    }
  else if (caller->blocking)
    {
      g_mutex_lock (&caller->mutex);
      g_atomic_int_set (&caller->done, TRUE);
      /* A signal is a system call, whether or not anybody waits for it. */
      if (caller->sleeps)
        g_cond_signal (&caller->cond);
      g_mutex_unlock (&caller->mutex);
      if (caller->lane != NULL)
        bs_lane_wake (caller->lane);
    }
  else
    {
      /* Nobody comes later to do so. */
      disconnect (caller);
    }

  return TRUE;
}

static void
cancelled_cb (GCancellable *cancellable, gpointer data)
{
  BsCaller *caller = data;

  caller->leave (caller, caller->leave_data);
}

void
bs_caller_connect (BsCaller *caller, void (*leave) (BsCaller *caller, gpointer data), gpointer data)
{
  if (caller->cancellable == NULL)
    return;

  caller->leave = leave;
  caller->leave_data = data;
  caller->cancelled_id = g_cancellable_connect (caller->cancellable, G_CALLBACK (cancelled_cb),
                                                bs_caller_ref (caller), (GDestroyNotify) bs_caller_unref);
}

static void
sleep_until_done (BsCaller *caller)
{
  /* A thread of a lane, in no function that was asked for: something calls from
   * there because its last reference went. What it waits for may need a thread. */
  BsLane *lent = bs_frame_get_current () == NULL ? bs_lane_get_current () : NULL;

  if (lent != NULL)
    bs_lane_lend (lent, 1);

  g_mutex_lock (&caller->mutex);
  caller->sleeps = TRUE;
  while (!g_atomic_int_get (&caller->done))
    g_cond_wait (&caller->cond, &caller->mutex);
  g_mutex_unlock (&caller->mutex);

  if (lent != NULL)
    bs_lane_lend (lent, -1);
}

gpointer
bs_caller_wait (BsCaller *caller, GError **error)
{
  gpointer result;

  if (!g_atomic_int_get (&caller->done))
    {
      bs_aftermath_run_pushed ();
      if (caller->lane != NULL && bs_lane_enter (caller->lane))
        {
          bs_lane_run_until (caller->lane, &caller->done);
          bs_lane_leave (caller->lane);
        }
      else
        {
          sleep_until_done (caller);
        }
    }

  bs_wait_end (&caller->wait);
  disconnect (caller);
  free_context_data (caller);

  if (caller->value_free != NULL)
    result = g_steal_pointer (&caller->value);
  else
    result = GINT_TO_POINTER (caller->error == NULL);
  if (caller->error != NULL)
    g_propagate_error (error, g_steal_pointer (&caller->error));

  bs_caller_unref (caller);
  return result;
}
