/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "bs-task-private.h"

#include "base/bs-error-private.h"
#include "bs-store-private.h"

typedef struct
{
  BsJob job;

  BsTaskFunc func;
  gpointer func_data;         /* the caller's */

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
  if (self->raw_func != NULL)
    self->raw_func (self->task, g_task_get_source_object (self->task), g_task_get_task_data (self->task), job->cancellable);
  else if (!self->func (job->store, job->cancellable, self->func_data, &error) && error == NULL)
    bs_error_set_silent (&error, NULL, "The function", BS_FORGOT_TRUE);
  bs_frame_pop (&frame);
  if (frame.lends)
    bs_lane_lend (job->lane, -1);

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

static void
task_job_start (BsBackingStore *store, BsTaskFunc func, gpointer func_data, GTaskThreadFunc raw_func, BsCaller *caller)
{
  TaskJob *self = g_new0 (TaskJob, 1);
  BsFrame *frame = bs_frame_find (store, BS_FRAME_TASK);
  BsJob *job = &self->job;
  gboolean left;

  bs_job_init (job, &task_job_class, BS_JOB_TASK, store, store->task_lane, &store->jobs_mutex, NULL, caller->priority);
  bs_job_hold (job);
  job->state = BS_JOB_READY;
  self->func = func;
  self->func_data = func_data;
  self->raw_func = raw_func;
  self->task = caller->task;
  /* Nobody else can join: the function sees the caller's own cancellable. */
  g_set_object (&job->cancellable, caller->cancellable);

  /* A function that asks for another may wait for it: it lends it its place. */
  if (frame != NULL && !frame->lends && !caller->blocking && !bs_lane_is_context (store->task_lane))
    {
      frame->lends = TRUE;
      bs_lane_lend (store->task_lane, 1);
    }

  caller->lock = job->lock;
  bs_caller_connect (caller, bs_job_leave, NULL);

  g_mutex_lock (job->lock);
  left = caller->left;
  if (!left)
    bs_job_join (job, caller);
  g_mutex_unlock (job->lock);

  if (left)
    {
      bs_caller_answer (caller, NULL, g_error_new_literal (G_IO_ERROR, G_IO_ERROR_CANCELLED, "The function was cancelled before it ran"));
      bs_job_unref (job);
    }
  else
    {
      bs_job_start (bs_job_ref (job), caller);
    }
}

void
bs_task_start (BsBackingStore *store, BsTaskFunc func, gpointer func_data, BsCaller *caller)
{
  task_job_start (store, func, func_data, NULL, caller);
}

void
bs_task_start_raw (BsBackingStore *store, GTask *task, GTaskThreadFunc func)
{
  BsCaller *caller = bs_caller_new_async (store, task, NULL, NULL, NULL, NULL);

  if (bs_backing_store_admit (store, caller, BS_JOB_TASK, NULL, NULL))
    {
      task_job_start (store, NULL, NULL, func, caller);
      bs_backing_store_admitted (store);
    }
  bs_caller_unref (caller);
}
