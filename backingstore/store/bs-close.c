/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "bs-close-private.h"

#include "bs-path-private.h"
#include "bs-store-private.h"

/* Closing waits until the task tracker has counted the last job down; its lock
 * is the tracker's, which outlives the store. Until its turn the store is only
 * closing: what is let go is deleted and released, and it may open again. */

static void
release_everything (BsBackingStore *store, GCancellable *cancellable, GError **error)
{
  GError *close_error = NULL;
  BsFrame frame;

  bs_frame_push (&frame, store, BS_FRAME_CALL);
  bs_path_release_all (store, cancellable, error);
  bs_backing_close (store->backing, cancellable, &close_error);
  bs_frame_pop (&frame);

  if (*error == NULL)
    *error = g_steal_pointer (&close_error);
  g_clear_error (&close_error);
}

/* FALSE if something has come in since it was made ready: then it waits for that. */
static gboolean
begin (BsJob *job)
{
  BsBackingStore *store = job->store;
  BsTaskTracker *tracker = job->tracker;
  BsAftermath after = { NULL, };
  BsCaller *left = NULL;
  gboolean begun = FALSE;

  g_mutex_lock (job->lock);
  while (!begun && bs_task_tracker_is_idle (tracker))
    {
      /* What comes in now sees the state; what came in before is counted. Where
       * it goes again before the state is put back, this looks once more. Short
       * calls do not come in any more since the store is closing. */
      g_atomic_int_set (&store->state, BS_STATE_CLOSED);
      begun = g_atomic_int_get (&tracker->n_jobs) == 0;
      if (!begun)
        g_atomic_int_set (&store->state, BS_STATE_CLOSING);
    }
  if (!begun)
    left = bs_job_put_back (job, &after);
  g_mutex_unlock (job->lock);

  bs_job_answer_left (left);
  bs_aftermath_run (&after);
  return begun;
}

static void
close_job_run (BsJob *job)
{
  GCancellable *cancellable = job->cancellable;
  g_autoptr (GError) error = NULL;
  BsCaller *callers = NULL;
  gboolean again;

  if (!begin (job))
    return;

  do
    {
      g_clear_error (&error);
      release_everything (job->store, cancellable, &error);

      g_mutex_lock (job->lock);
      again = error != NULL && cancellable != NULL && bs_job_is_wanted_again (job);
      if (!again)
        {
          job->state = BS_JOB_DONE;
          g_atomic_pointer_set (&job->tracker->close_job, NULL);
          callers = bs_job_steal_callers (job);
        }
      g_mutex_unlock (job->lock);
      cancellable = NULL;
    }
  while (again);

  /* Whoever is told may hold the last reference, and expects that to be so. */
  g_clear_object (&job->store);
  bs_job_answer (callers, NULL, error);
  bs_job_unref (job);
}

static void
close_job_drop (BsJob *job, BsAftermath *after)
{
  g_atomic_pointer_set (&job->tracker->close_job, NULL);
  g_atomic_int_set (&job->store->state, BS_STATE_OPEN);
  bs_aftermath_add_dropped (after, job);
}

static const BsJobClass close_job_class = {
  .run = close_job_run,
  .drop = close_job_drop,
};

void
bs_close_check (BsTaskTracker *tracker)
{
  BsAftermath after = { NULL, };
  BsJob *job;

  /* Whoever sets it looks at the count afterwards. */
  if (g_atomic_pointer_get (&tracker->close_job) == NULL)
    return;

  g_mutex_lock (&tracker->mutex);
  job = tracker->close_job;
  if (job != NULL && job->state == BS_JOB_QUEUED && bs_task_tracker_is_idle (tracker))
    bs_aftermath_add_ready (&after, job);
  g_mutex_unlock (&tracker->mutex);

  bs_aftermath_run (&after);
}

static BsJob *
close_job_new (BsBackingStore *store, int priority)
{
  BsJob *job = g_new0 (BsJob, 1);

  job->uncounted = TRUE;
  bs_job_init (job, &close_job_class, BS_JOB_CLOSE, store, store->backing_lane, &store->tracker->mutex, NULL, priority);
  bs_job_hold (job);

  return job;
}

void
bs_close_start (BsBackingStore *store, BsCaller *caller)
{
  BsTaskTracker *tracker = store->tracker;
  gboolean answer = TRUE;
  GError *error = NULL;
  gboolean left;
  BsJob *job;

  if (caller->blocking && (bs_frame_find (store, BS_FRAME_CALL) != NULL || bs_frame_find (store, BS_FRAME_TASK) != NULL ||
                           bs_lane_get_current () == store->backing_lane))
    {
      bs_caller_answer (caller, NULL, bs_job_error (BS_JOB_CLOSE, NULL, NULL, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK,
                                                    "called from inside one of the store's tasks, it would wait for itself"));
      return;
    }

  job = close_job_new (store, caller->priority);
  bs_caller_set_subject (caller, BS_JOB_CLOSE, NULL, NULL);
  caller->keep = g_object_ref (tracker);
  caller->keep_free = g_object_unref;
  caller->lock = &tracker->mutex;
  bs_caller_connect (caller, bs_job_leave, NULL);

  g_mutex_lock (&tracker->mutex);
  left = caller->left;
  if (!left && tracker->close_job == NULL && g_atomic_int_get (&store->state) == BS_STATE_OPEN)
    {
      g_atomic_int_set (&store->state, BS_STATE_CLOSING);
      g_atomic_pointer_set (&tracker->close_job, g_steal_pointer (&job));
    }
  if (!left && tracker->close_job != NULL)
    {
      bs_job_join (tracker->close_job, caller);
      answer = FALSE;
    }
  g_mutex_unlock (&tracker->mutex);

  if (job != NULL)
    bs_job_unref (job);
  if (left)
    error = bs_job_error (BS_JOB_CLOSE, NULL, NULL, G_IO_ERROR, G_IO_ERROR_CANCELLED, "it was cancelled");
  if (answer)
    bs_caller_answer (caller, NULL, error);
  else
    bs_close_check (tracker);
}
