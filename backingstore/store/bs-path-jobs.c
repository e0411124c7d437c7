/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "bs-path-job-private.h"

/* What concerns a path as a whole, when its turn has come. */

/* Ends a job of the path: whoever waits for it is answered. */
static void
path_job_end (BsPathJob *self, gpointer value, const GError *error)
{
  BsJob *job = &self->job;
  BsPath *path = self->path;
  BsAftermath after = { NULL, };
  BsCaller *callers;

  g_mutex_lock (&path->mutex);
  job->state = BS_JOB_DONE;
  callers = bs_job_steal_callers (job);
  bs_path_remove (path, job);
  bs_path_dispatch (path, &after);
  g_mutex_unlock (&path->mutex);

  bs_aftermath_push (&after);
  bs_job_answer (callers, value, error);
  bs_aftermath_run (&after);
  bs_job_unref (job);
}

BsCaller *
bs_path_job_put_back (BsPathJob *self, BsAftermath *after)
{
  BsPath *path = self->path;
  BsCaller *left;

  path->running = NULL;
  left = bs_job_put_back (&self->job, after);
  bs_path_dispatch (path, after);

  return left;
}

static void
path_job_wait_for_release (BsPathJob *self)
{
  BsPath *path = self->path;
  BsAftermath after = { NULL, };
  BsCaller *left;

  g_mutex_lock (&path->mutex);
  self->awaits_release = TRUE;
  left = bs_path_job_put_back (self, &after);
  g_mutex_unlock (&path->mutex);

  bs_job_answer_left (left);
  bs_aftermath_run (&after);
}

static void
run_track (BsPathJob *self)
{
  BsBackingStore *store = self->job.store;
  BsPath *path = self->path;
  g_autoptr (BsTrackedPath) tracked = NULL;
  g_autoptr (BsKeySet) found = NULL;
  g_autoptr (GError) error = NULL;
  BsPathState state;
  BsFrame frame;

  g_mutex_lock (&path->mutex);
  state = path->state;
  g_mutex_unlock (&path->mutex);
  /* It may have been asked to be untracked since. */
  if (state != BS_PATH_UNTRACKED)
    tracked = g_weak_ref_get (&path->tracked);

  if (state != BS_PATH_UNTRACKED && tracked == NULL)
    {
      path_job_wait_for_release (self);
      return;
    }

  if (tracked == NULL)
    {
      found = bs_key_set_new ();
      bs_frame_push (&frame, store, BS_FRAME_CALL);
      bs_backing_sanitize_path (store->backing, path->file, found, self->job.cancellable, &error);
      bs_frame_pop (&frame);
    }
  if (tracked == NULL && error == NULL)
    {
      tracked = bs_tracked_path_new (store, path, path->file, found);
      g_mutex_lock (&path->mutex);
      path->state = BS_PATH_TRACKED;
      g_weak_ref_set (&path->tracked, tracked);
      g_mutex_unlock (&path->mutex);
    }

  path_job_end (self, tracked, error);
}

static void
release (BsPathJob *self, GCancellable *cancellable, GError **error)
{
  BsFrame frame;

  bs_frame_push (&frame, self->job.store, BS_FRAME_CALL);
  bs_backing_release_path (self->job.store->backing, self->path->file, cancellable, error);
  bs_frame_pop (&frame);
}

static void
run_untrack (BsPathJob *self)
{
  BsJob *job = &self->job;
  BsTrackedPath *tracked = job->tracked;
  GCancellable *cancellable = job->cancellable;
  g_autoptr (GError) error = NULL;
  gboolean again;

  do
    {
      g_clear_error (&error);
      release (self, cancellable, &error);

      g_mutex_lock (&self->path->mutex);
      again = error != NULL && cancellable != NULL && bs_job_is_wanted_again (job);
      if (!again)
        {
          self->path->state = error == NULL ? BS_PATH_UNTRACKED : BS_PATH_TRACKED;
          g_atomic_int_set (&tracked->refusing, error == NULL);
        }
      g_mutex_unlock (&self->path->mutex);
      cancellable = NULL;
    }
  while (again);

  if (error == NULL)
    bs_tracked_path_set_closed (tracked);
  path_job_end (self, NULL, error);
}

static void
run_release (BsPathJob *self)
{
  GError *error = NULL;

  release (self, self->job.cancellable, &error);
  if (error != NULL)
    bs_backing_store_report (self->job.store, NULL, BS_OPERATION_RELEASE_PATH, error);

  g_mutex_lock (&self->path->mutex);
  self->path->state = BS_PATH_UNTRACKED;
  g_mutex_unlock (&self->path->mutex);

  path_job_end (self, NULL, NULL);
}

static void
run_sync (BsPathJob *self)
{
  BsJob *job = &self->job;
  g_autoptr (GError) error = NULL;
  BsFrame frame;

  /* Where the backing is not asked, nothing has gone wrong. */
  if (g_cancellable_is_cancelled (job->cancellable))
    {
      error = bs_job_error (BS_JOB_SYNC, NULL, job->tracked, G_IO_ERROR, G_IO_ERROR_CANCELLED, "it was cancelled");
      path_job_end (self, NULL, error);
      return;
    }

  bs_frame_push (&frame, job->store, BS_FRAME_CALL);
  bs_backing_sync_persisted (job->store->backing, self->path->file, job->cancellable, &error);
  bs_frame_pop (&frame);

  /* Before anybody is told, so that whoever tries again reaches the backing. */
  if (error != NULL)
    bs_tracked_path_doubt (job->tracked, bs_ticket_list_peek_last_ticket (&self->path->tickets));
  path_job_end (self, NULL, error);
}

static void
run_load_root (BsPathJob *self)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = NULL;
  BsFrame frame;

  bs_frame_push (&frame, self->job.store, BS_FRAME_CALL);
  bytes = bs_backing_read_root (self->job.store->backing, self->path->file, self->job.cancellable, &error);
  bs_frame_pop (&frame);

  path_job_end (self, bytes, error);
}

static void
run_write_root (BsPathJob *self)
{
  g_autoptr (GError) error = NULL;
  BsFrame frame;

  bs_frame_push (&frame, self->job.store, BS_FRAME_CALL);
  bs_backing_write_root (self->job.store->backing, self->path->file, self->root, self->job.cancellable, &error);
  bs_frame_pop (&frame);

  path_job_end (self, NULL, error);
}

static void
path_job_run (BsJob *job)
{
  BsPathJob *self = (BsPathJob *) job;

  /* Counted until what it had in hand is let go. */
  bs_job_ref (job);
  switch (job->kind)
    {
    case BS_JOB_TRACK:
      run_track (self);
      break;
    case BS_JOB_UNTRACK:
      if (bs_path_survey (self))
        run_untrack (self);
      break;
    case BS_JOB_RELEASE:
      run_release (self);
      break;
    case BS_JOB_SYNC:
      if (bs_path_survey (self))
        run_sync (self);
      break;
    case BS_JOB_LOAD_ROOT:
      run_load_root (self);
      break;
    case BS_JOB_WRITE_ROOT:
      run_write_root (self);
      break;
    default:
      g_assert_not_reached ();
    }
  bs_job_unref (job);
}

static void
path_job_drop (BsJob *job, BsAftermath *after)
{
  BsPath *path = ((BsPathJob *) job)->path;

  if (job->kind == BS_JOB_UNTRACK)
    {
      path->state = BS_PATH_TRACKED;
      g_atomic_int_set (&job->tracked->refusing, FALSE);
    }
  bs_path_remove (path, job);
  bs_path_dispatch (path, after);
  bs_aftermath_add_dropped (after, job);
}

static void
path_job_free (BsJob *job)
{
  BsPathJob *self = (BsPathJob *) job;

  /* What was dropped may have been all there was to know. */
  bs_path_forget (job->store, self->path, 0);
  bs_path_unref (self->path);
  g_free (self->barriers);
  g_clear_pointer (&self->root, g_bytes_unref);
}

static const BsJobClass path_job_class = {
  .run = path_job_run,
  .drop = path_job_drop,
  .free = path_job_free,
};

BsJob *
bs_path_job_new (BsBackingStore *store, BsPath *path, BsJobKind kind, BsTrackedPath *tracked, int priority)
{
  BsPathJob *self = g_new0 (BsPathJob, 1);

  bs_job_init (&self->job, &path_job_class, kind, store, store->backing_lane, &path->mutex, tracked, priority);
  self->path = bs_path_ref (path);
  if (kind == BS_JOB_SYNC)
    self->barriers = g_new (guint64, BS_PATH_N_LISTS);
  bs_job_hold (&self->job);

  return &self->job;
}
