/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "bs-task-private.h"

#include "base/bs-error-private.h"
#include "bs-path-private.h"
#include "bs-store-private.h"

typedef struct
{
  BsJob job;

  BsTaskFunc func;
  gpointer func_data;         /* the caller's */
  gconstpointer saving;       /* the path whose save this commits, or NULL */

  GTaskThreadFunc raw_func;   /* instead */
  GTask *task;                /* owned by the caller, which outlives the run */
} TaskJob;

static void
task_job_run (BsJob *job)
{
  TaskJob *self = (TaskJob *) job;
  g_autoptr (GError) error = NULL;
  BsCaller *callers;
  BsFrame frame;

  bs_frame_push (&frame, job->store, BS_FRAME_TASK);
  frame.saving = self->saving;
  if (self->raw_func != NULL)
    self->raw_func (self->task, g_task_get_source_object (self->task), g_task_get_task_data (self->task), job->cancellable);
  else if (!self->func (job->store, job->cancellable, self->func_data, &error) && error == NULL)
    bs_error_set_silent (&error, NULL, self->saving != NULL ? "The commit function" : "The function", BS_FORGOT_TRUE);
  bs_frame_pop (&frame);
  if (frame.lends)
    bs_lane_lend (job->store->task_lane, -1);

  g_mutex_lock (job->lock);
  job->state = BS_JOB_DONE;
  callers = bs_job_steal_callers (job);
  g_mutex_unlock (job->lock);

  if (self->raw_func != NULL)
    callers->returned = TRUE;
  bs_job_answer (callers, NULL, error);
  bs_job_unref (job);
}

static void
task_job_drop (BsJob *job, BsAftermath *after)
{
  bs_aftermath_add_dropped (after, job);
}

static const BsJobClass task_job_class = {
  .run = task_job_run,
  .drop = task_job_drop,
};

void
bs_task_lend_place (BsBackingStore *store)
{
  BsFrame *frame = bs_frame_find (store, BS_FRAME_TASK);

  if (frame == NULL || frame->lends || bs_lane_is_context (store->task_lane))
    return;

  frame->lends = TRUE;
  bs_lane_lend (store->task_lane, 1);
}

static TaskJob *
task_job_new (BsBackingStore *store, BsLane *lane, BsTaskFunc func, gpointer func_data, BsCaller *caller)
{
  TaskJob *self = g_new0 (TaskJob, 1);
  BsJob *job = &self->job;

  bs_job_init (job, &task_job_class, BS_JOB_TASK, store, lane, &store->jobs_mutex, NULL, caller->priority);
  bs_job_hold (job);
  job->state = BS_JOB_READY;
  self->func = func;
  self->func_data = func_data;
  self->task = caller->task;
  /* Nobody else can join: the function sees the caller's own cancellable. */
  g_set_object (&job->cancellable, caller->cancellable);

  return self;
}

/* Takes the job over. */
static void
task_job_start (TaskJob *self, BsCaller *caller)
{
  BsJob *job = &self->job;
  gboolean left;

  /* A function that asks for another may wait for it. */
  if (!caller->blocking)
    bs_task_lend_place (job->store);

  caller->lock = job->lock;
  bs_caller_connect (caller, bs_job_leave, NULL);

  g_mutex_lock (job->lock);
  left = caller->left;
  if (!left)
    bs_job_join (bs_job_ref (job), caller);
  g_mutex_unlock (job->lock);

  if (left)
    {
      bs_caller_answer (caller, NULL, g_error_new_literal (G_IO_ERROR, G_IO_ERROR_CANCELLED, "The function was cancelled before it ran"));
      bs_job_unref (job);
    }
  else
    {
      bs_job_start (job, caller);
    }
}

void
bs_task_start (BsBackingStore *store, BsTaskFunc func, gpointer func_data, BsCaller *caller)
{
  task_job_start (task_job_new (store, store->task_lane, func, func_data, caller), caller);
}

void
bs_task_start_commit (BsTrackedPath *tracked, BsTaskFunc func, gpointer func_data, BsCaller *caller)
{
  TaskJob *self = task_job_new (tracked->store, tracked->store->commit_lane, func, func_data, caller);

  self->saving = tracked->path;
  task_job_start (self, caller);
}

void
bs_task_start_raw (BsBackingStore *store, GTask *task, GTaskThreadFunc func)
{
  BsCaller *caller = bs_caller_new_async (store, task, NULL, NULL, NULL, NULL);

  if (bs_backing_store_admit (store, caller, BS_JOB_TASK, NULL, NULL))
    {
      TaskJob *self = task_job_new (store, store->task_lane, NULL, NULL, caller);

      self->raw_func = func;
      task_job_start (self, caller);
      bs_backing_store_admitted (store);
    }
  bs_caller_unref (caller);
}
