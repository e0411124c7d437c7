/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-task-tracker-private.h"

#include "base/bs-fork-private.h"
#include "store/operations/bs-close-private.h"

/**
 * BsTaskTracker:
 *
 * Counts the tasks of a [class@BackingStore], so that an application can wait
 * until all of them are done.
 *
 * The tracker comes from [property@BackingStore:task-tracker]. Every queued or
 * running operation counts, delayed deletions and write-behind included, and so
 * does each [hold][method@TaskTracker.hold] of the application. Closing the
 * tracker refuses nothing: it only lets waits end as soon as nothing is left. A
 * tracker may be used from any thread.
 */

struct _BsTaskTracker
{
  GObject parent_instance;

  /* constant */
  gconstpointer store;  /* identity only: the store may be gone */
  BsExecutor *executor; /* owned */
  BsNotifier *notifier; /* owned */
  guint n_forks;        /* a forked child can't wait for the parent's tasks */

  BsTaskCount count;
  int n_held; /* atomic */
  int closed; /* atomic; written under the count's mutex */

  BsWaiter *waiters; /* owned, by next; under the count's mutex */
};

typedef enum
{
  PROP_N_TASKS = 1,
  PROP_CLOSED,
} BsTaskTrackerProperty;

static GParamSpec *properties[PROP_CLOSED + 1];

G_DEFINE_FINAL_TYPE (BsTaskTracker, bs_task_tracker, G_TYPE_OBJECT)

/* Answers every waiter, if nothing is left to wait for. */
static void
check_idle (BsTaskTracker *self)
{
  BsWaiter *waiters = NULL;
  int n_waiters = 0;

  if (self->n_forks != bs_n_forks)
    return;

  g_mutex_lock (&self->count.mutex);
  if (self->closed && g_atomic_int_get (&self->n_held) == 0 && bs_task_count_is_idle (&self->count))
    waiters = g_steal_pointer (&self->waiters);
  for (BsWaiter *waiter = waiters; waiter != NULL; waiter = waiter->next)
    n_waiters++;
  bs_task_count_await (&self->count, -n_waiters);
  g_mutex_unlock (&self->count.mutex);

  while (waiters != NULL)
    {
      BsWaiter *waiter = waiters;

      waiters = g_steal_pointer (&waiter->next);
      bs_waiter_answer_and_unref (waiter, NULL, NULL);
    }
}

static void
count_changed (GObject *object)
{
  BsTaskTracker *self = (BsTaskTracker *) object;

  bs_notifier_notify (self->notifier, object, properties[PROP_N_TASKS], &self->count.notifying);
}

static void
count_idle (GObject *object)
{
  BsTaskTracker *self = (BsTaskTracker *) object;

  check_idle (self);
  bs_close_check (&self->count);
}

BsTaskTracker *
bs_task_tracker_new (gconstpointer store, BsExecutor *executor, BsNotifier *notifier)
{
  BsTaskTracker *self = g_object_new (BS_TYPE_TASK_TRACKER, NULL);

  self->store = store;
  self->executor = bs_executor_ref (executor);
  self->notifier = bs_notifier_ref (notifier);

  return self;
}

BsTaskCount *
bs_task_tracker_get_count (BsTaskTracker *self)
{
  return &self->count;
}

static void
bs_task_tracker_finalize (GObject *object)
{
  BsTaskTracker *self = BS_TASK_TRACKER (object);

  g_clear_pointer (&self->executor, bs_executor_unref);
  g_clear_pointer (&self->notifier, bs_notifier_unref);
  bs_task_count_clear (&self->count);

  G_OBJECT_CLASS (bs_task_tracker_parent_class)->finalize (object);
}

static void
bs_task_tracker_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  BsTaskTracker *self = BS_TASK_TRACKER (object);

  switch ((BsTaskTrackerProperty) id)
    {
    case PROP_N_TASKS:
      g_value_set_uint (value, bs_task_tracker_get_n_tasks (self));
      break;
    case PROP_CLOSED:
      g_value_set_boolean (value, bs_task_tracker_get_closed (self));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
bs_task_tracker_class_init (BsTaskTrackerClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  const GParamFlags readable = G_PARAM_READABLE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS;

  object_class->finalize = bs_task_tracker_finalize;
  object_class->get_property = bs_task_tracker_get_property;

  /**
   * BsTaskTracker:n-tasks: (getter get_n_tasks)
   *
   * How many tasks are queued or running, plus how many holds there are.
   *
   * Notifies in the context that was the thread's default where the store was
   * made, once for many changes.
   */
  properties[PROP_N_TASKS] = g_param_spec_uint ("n-tasks", NULL, NULL, 0, G_MAXUINT, 0, readable);

  /**
   * BsTaskTracker:closed: (getter get_closed)
   *
   * Whether waits end as soon as nothing is left.
   *
   * Notifies in the context that was the thread's default where the store was
   * made.
   */
  properties[PROP_CLOSED] = g_param_spec_boolean ("closed", NULL, NULL, FALSE, readable);

  g_object_class_install_properties (object_class, G_N_ELEMENTS (properties), properties);
}

static void
bs_task_tracker_init (BsTaskTracker *self)
{
  self->n_forks = bs_n_forks;
  bs_task_count_init (&self->count, G_OBJECT (self), count_changed, count_idle);
}

/**
 * bs_task_tracker_get_n_tasks: (get-property n-tasks)
 * @self: a task tracker
 *
 * Gets how many tasks are queued or running, plus how many holds there are.
 *
 * Returns: the number of tasks
 */
guint
bs_task_tracker_get_n_tasks (BsTaskTracker *self)
{
  g_return_val_if_fail (BS_IS_TASK_TRACKER (self), 0);

  return bs_task_count_get (&self->count) + (guint) g_atomic_int_get (&self->n_held);
}

/**
 * bs_task_tracker_get_closed: (get-property closed)
 * @self: a task tracker
 *
 * Gets whether the tracker is closed.
 *
 * Returns: whether it is closed
 */
gboolean
bs_task_tracker_get_closed (BsTaskTracker *self)
{
  g_return_val_if_fail (BS_IS_TASK_TRACKER (self), TRUE);

  return g_atomic_int_get (&self->closed);
}

static void
set_closed (BsTaskTracker *self, gboolean closed)
{
  gboolean changed;

  if (self->n_forks != bs_n_forks)
    return;

  g_mutex_lock (&self->count.mutex);
  changed = self->closed != closed;
  g_atomic_int_set (&self->closed, closed);
  g_mutex_unlock (&self->count.mutex);

  if (changed)
    bs_notifier_notify (self->notifier, G_OBJECT (self), properties[PROP_CLOSED], NULL);
  check_idle (self);
}

/**
 * bs_task_tracker_close:
 * @self: a task tracker
 *
 * Lets waits end as soon as nothing is left. Work may still be asked for, and
 * is done. Closing twice does nothing.
 */
void
bs_task_tracker_close (BsTaskTracker *self)
{
  g_return_if_fail (BS_IS_TASK_TRACKER (self));
  g_return_if_fail (self->store != NULL);

  set_closed (self, TRUE);
}

/**
 * bs_task_tracker_reopen:
 * @self: a task tracker
 *
 * Undoes [method@TaskTracker.close]: waits go on.
 */
void
bs_task_tracker_reopen (BsTaskTracker *self)
{
  g_return_if_fail (BS_IS_TASK_TRACKER (self));
  g_return_if_fail (self->store != NULL);

  set_closed (self, FALSE);
}

/**
 * bs_task_tracker_hold:
 * @self: a task tracker
 *
 * Counts one more task, until [method@TaskTracker.release].
 */
void
bs_task_tracker_hold (BsTaskTracker *self)
{
  g_return_if_fail (BS_IS_TASK_TRACKER (self));
  g_return_if_fail (self->store != NULL);

  g_atomic_int_inc (&self->n_held);
  count_changed (G_OBJECT (self));
}

/**
 * bs_task_tracker_release:
 * @self: a task tracker
 *
 * Undoes one [method@TaskTracker.hold]. May be called on any thread.
 */
void
bs_task_tracker_release (BsTaskTracker *self)
{
  gboolean last;

  g_return_if_fail (BS_IS_TASK_TRACKER (self));
  g_return_if_fail (g_atomic_int_get (&self->n_held) > 0);

  last = g_atomic_int_dec_and_test (&self->n_held);
  count_changed (G_OBJECT (self));
  if (last)
    check_idle (self);
}

static GError *
cancelled_error (void)
{
  return g_error_new_literal (G_IO_ERROR, G_IO_ERROR_CANCELLED, "The wait was cancelled");
}

/* Called on the cancelling thread. */
static void
cancel_waiter (BsWaiter *waiter, gpointer data)
{
  BsTaskTracker *self = data;
  gboolean removed = FALSE;

  g_mutex_lock (&self->count.mutex);
  waiter->cancelled = TRUE;
  for (BsWaiter **link = &self->waiters; *link != NULL && !removed; link = &(*link)->next)
    if (*link == waiter)
      {
        *link = g_steal_pointer (&waiter->next);
        bs_task_count_await (&self->count, -1);
        removed = TRUE;
        break;
      }
  g_mutex_unlock (&self->count.mutex);

  if (removed)
    bs_waiter_answer_and_unref (waiter, NULL, cancelled_error ());
}

static void
start_wait (BsTaskTracker *self, BsWaiter *waiter)
{
  GError *error = NULL;
  gboolean cancelled;

  if (!bs_fork_check (self->n_forks, &error))
    {
      g_prefix_error (&error, "Waiting for the task tracker: ");
      bs_waiter_answer (waiter, NULL, error);
      return;
    }

  bs_waiter_hold_lock (waiter, g_object_ref (self), g_object_unref);
  bs_waiter_connect (waiter, cancel_waiter, self);

  g_mutex_lock (&self->count.mutex);
  cancelled = waiter->cancelled;
  if (!cancelled)
    {
      waiter->next = self->waiters;
      self->waiters = bs_waiter_ref (waiter);
      bs_task_count_await (&self->count, 1);
    }
  g_mutex_unlock (&self->count.mutex);

  if (cancelled)
    bs_waiter_answer (waiter, NULL, cancelled_error ());
  else
    check_idle (self);
}

void
bs_task_tracker_start_wait (BsTaskTracker *self, GTask *task)
{
  BsWaiter *waiter = bs_waiter_new_async (task, NULL);

  start_wait (self, waiter);
  bs_waiter_unref (waiter);
}

gboolean
bs_task_tracker_wait_blocking (BsTaskTracker *self,
                               const char *operation,
                               GCancellable *cancellable,
                               GError **error)
{
  BsWaiter *waiter;

  if (bs_executor_is_inside (self->executor, self->store))
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK,
                   "%s: a blocking call from inside one of the store's tasks would wait for itself",
                   operation);
      return FALSE;
    }

  waiter = bs_waiter_new_blocking (self->executor, cancellable, NULL);
  waiter->sleeper.reach = BS_REACH_ALL;
  start_wait (self, waiter);
  return GPOINTER_TO_INT (bs_waiter_wait (waiter, error));
}

/**
 * bs_task_tracker_wait:
 * @self: a task tracker
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Waits until the tracker is closed and no task is left.
 *
 * Blocks. On the thread of the store's [property@BackingStore:main-context] it
 * runs the operations that are ready itself. From inside one of the store's
 * tasks it fails with %G_IO_ERROR_WOULD_BLOCK; otherwise only with
 * %G_IO_ERROR_CANCELLED.
 *
 * Returns: %TRUE when nothing is left, %FALSE with @error set
 */
gboolean
bs_task_tracker_wait (BsTaskTracker *self, GCancellable *cancellable, GError **error)
{
  g_return_val_if_fail (BS_IS_TASK_TRACKER (self), FALSE);
  g_return_val_if_fail (self->store != NULL, FALSE);

  return bs_task_tracker_wait_blocking (self, "Waiting for the task tracker", cancellable, error);
}

/**
 * bs_task_tracker_wait_async:
 * @self: a task tracker
 * @cancellable: (nullable): a #GCancellable
 * @callback: (scope async) (closure user_data): called when nothing is left
 * @user_data: data for @callback
 *
 * Waits until the tracker is closed and no task is left. See
 * [method@TaskTracker.wait].
 */
void
bs_task_tracker_wait_async (BsTaskTracker *self,
                            GCancellable *cancellable,
                            GAsyncReadyCallback callback,
                            gpointer user_data)
{
  GTask *task;

  g_return_if_fail (BS_IS_TASK_TRACKER (self));
  g_return_if_fail (self->store != NULL);

  task = bs_task_new (self, cancellable, callback, user_data, bs_task_tracker_wait_async,
                      "[backingstore] wait for the task tracker", G_PRIORITY_DEFAULT);
  bs_task_tracker_start_wait (self, task);
}

/**
 * bs_task_tracker_wait_finish:
 * @self: a task tracker
 * @result: the result that the callback was given
 * @error: return location for a #GError
 *
 * Finishes [method@TaskTracker.wait_async].
 *
 * Returns: %TRUE when nothing is left, %FALSE with @error set to
 *   %G_IO_ERROR_CANCELLED
 */
gboolean
bs_task_tracker_wait_finish (BsTaskTracker *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  g_return_val_if_fail (g_async_result_is_tagged (result, bs_task_tracker_wait_async), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}
