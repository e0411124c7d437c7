/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "bs-job-private.h"
#include "bs-store-private.h"
#include "bs-path-private.h"

void
bs_job_init (BsJob            *job,
             const BsJobClass *klass,
             BsJobKind         kind,
             BsBackingStore   *store,
             BsLane           *lane,
             GMutex           *lock,
             BsTrackedPath    *tracked,
             int               priority)
{
  g_atomic_ref_count_init (&job->ref_count);
  job->priority = priority;
  job->klass = klass;
  job->kind = kind;
  job->store = store;
  job->tracker = store->tracker;
  job->lane = lane;
  job->lock = lock;
  job->tracked = tracked;
  if (!job->embedded && !job->uncounted)
    bs_task_tracker_begin (store->tracker);
}

void
bs_job_hold (BsJob *job)
{
  g_object_ref (job->store);
  g_object_ref (job->tracker);
  if (job->tracked != NULL)
    g_object_ref (job->tracked);
  job->held = TRUE;
}

static const char *
kind_title (BsJobKind kind)
{
  static const char *titles[] = {
    [BS_JOB_WRITE] = "Writing key",
    [BS_JOB_READ] = "Loading key",
    [BS_JOB_DELETE] = "Deleting key",
    [BS_JOB_REGISTER] = "Registering key",
    [BS_JOB_PERSIST] = "Persisting key",
    [BS_JOB_DELETE_PERSISTED] = "Deleting persisted key",
    [BS_JOB_VERIFY] = "Verifying persisted key",
    [BS_JOB_TRACK] = "Tracking the path",
    [BS_JOB_UNTRACK] = "Untracking the path",
    [BS_JOB_RELEASE] = "Releasing the path",
    [BS_JOB_SYNC] = "Syncing the path",
    [BS_JOB_LOAD_ROOT] = "Loading the root blob",
    [BS_JOB_WRITE_ROOT] = "Replacing the root blob",
    [BS_JOB_SAVE] = "Saving",
    [BS_JOB_REGISTER_ALL] = "Registering all keys",
    [BS_JOB_DELETE_KEYS] = "Deleting persisted keys",
    [BS_JOB_DROP_TOKENS] = "Deleting keys",
    [BS_JOB_VERIFY_PATH] = "Verifying the path",
    [BS_JOB_TASK] = "Running a function in the store's threads",
    [BS_JOB_CLOSE] = "Closing the store",
  };

  return titles[kind];
}

GError *
bs_job_error_at (BsJobKind kind, const BsKey *key, GFile *path, GQuark domain, int code, const char *why)
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
bs_job_error (BsJobKind kind, const BsKey *key, BsTrackedPath *tracked, GQuark domain, int code, const char *why)
{
  return bs_job_error_at (kind, key, tracked != NULL ? bs_tracked_path_get_file (tracked) : NULL, domain, code, why);
}

BsJob *
bs_job_ref (BsJob *job)
{
  g_atomic_ref_count_inc (&job->ref_count);
  return job;
}

void
bs_job_unref (BsJob *job)
{
  g_autoptr (BsTaskTracker) tracker = NULL;
  gboolean counted;

  if (!g_atomic_ref_count_dec (&job->ref_count))
    return;

  tracker = job->tracker;
  counted = !job->uncounted;

  g_assert (job->held);
  g_assert (job->callers == NULL && job->ticket == 0);

  if (job->klass->free != NULL)
    job->klass->free (job);
  g_clear_object (&job->cancellable);
  g_clear_object (&job->tracked);
  g_clear_object (&job->store);
  g_free (job);

  /* What the references dropped above have queued is counted by now, and
   * whoever waits finds that nothing of ours holds the store any more. */
  if (counted)
    bs_task_tracker_end (tracker);
}

void
bs_job_join (BsJob *job, BsCaller *caller)
{
  caller->next = job->callers;
  job->callers = bs_caller_ref (caller);
  caller->job = job;
  job->n_wanting++;
}

void
bs_job_raise (BsJob *job, int priority)
{
  if (g_atomic_int_get (&job->priority) <= priority)
    return;

  g_atomic_int_set (&job->priority, priority);
  if (job->state == BS_JOB_READY)
    bs_lane_raise (job->lane, job, priority);
}

void
bs_job_lend (BsJob *job, int priority)
{
  for (; job != NULL; job = job->previous)
    bs_job_raise (job, priority);
}

gboolean
bs_job_joinable (BsJob *job, BsJobKind kind, BsTrackedPath *tracked)
{
  return job->kind == kind && job->tracked == tracked && !job->fired &&
         job->state != BS_JOB_DONE;
}

gboolean
bs_job_is_wanted_again (BsJob *job)
{
  return job->fired && job->n_wanting > 0;
}

/* One fewer wants it: a caller is taken out of the list. */
static void
remove_caller (BsJob *job, BsCaller *caller)
{
  BsCaller **link = &job->callers;

  while (*link != caller)
    link = &(*link)->next;
  *link = caller->next;
  caller->next = NULL;
  caller->job = NULL;
}

static void
answer_cancelled (BsCaller *caller)
{
  GFile *path = caller->tracked != NULL ? bs_tracked_path_get_file (caller->tracked) : caller->path;

  bs_caller_answer (caller, NULL, bs_job_error_at (caller->kind, caller->has_key ? &caller->key : NULL, path,
                                                   G_IO_ERROR, G_IO_ERROR_CANCELLED, "it was cancelled"));
  bs_caller_unref (caller);
}

void
bs_job_leave (BsCaller *caller, gpointer unused)
{
  BsJob *fired = NULL;
  BsAftermath after = { NULL, };
  gboolean removed = FALSE;
  BsJob *job;

  g_mutex_lock (caller->lock);
  job = caller->job;
  if (job != NULL && !caller->left)
    {
      gboolean wanted = --job->n_wanting > 0 || job->unattended;

      if (job->state == BS_JOB_RUNNING && !wanted)
        {
          /* The last one waits for what really happens. */
          job->fired = TRUE;
          fired = bs_job_ref (job);
        }
      else if (job->runner != caller)
        {
          remove_caller (job, caller);
          removed = TRUE;
          if (!wanted)
            {
              job->state = BS_JOB_DONE;
              job->klass->drop (job, &after);
            }
        }
    }
  caller->left = TRUE;
  g_mutex_unlock (caller->lock);

  bs_aftermath_push (&after);
  if (removed)
    answer_cancelled (caller);
  if (fired != NULL)
    {
      if (fired->cancellable != NULL)
        g_cancellable_cancel (fired->cancellable);
      bs_job_unref (fired);
    }
  bs_aftermath_run (&after);
}

BsCaller *
bs_job_put_back (BsJob *job, BsAftermath *after)
{
  BsCaller **link = &job->callers;
  BsCaller *left = NULL;

  job->state = BS_JOB_QUEUED;
  job->runner = NULL;
  while (*link != NULL)
    {
      BsCaller *caller = *link;

      if (!caller->left)
        {
          link = &caller->next;
          continue;
        }
      *link = caller->next;
      caller->job = NULL;
      caller->next = left;
      left = caller;
    }

  if (job->n_wanting == 0 && !job->unattended)
    {
      job->state = BS_JOB_DONE;
      job->klass->drop (job, after);
    }

  return left;
}

void
bs_job_answer_left (BsCaller *callers)
{
  while (callers != NULL)
    {
      BsCaller *caller = callers;

      callers = g_steal_pointer (&caller->next);
      answer_cancelled (caller);
    }
}

/* A call can be fired only while everybody who wants it can leave. */
static gboolean
can_be_fired (BsJob *job)
{
  if (job->unattended)
    return FALSE;

  for (BsCaller *caller = job->callers; caller != NULL; caller = caller->next)
    if (caller->cancellable == NULL)
      return FALSE;

  return TRUE;
}

void
bs_job_run (BsJob *job, BsCaller *runner)
{
  g_mutex_lock (job->lock);
  if (job->state != BS_JOB_READY && !(job->state == BS_JOB_RUNNING && job->resumes))
    {
      g_mutex_unlock (job->lock);
      return;
    }
  job->state = BS_JOB_RUNNING;
  job->runner = runner;
  if (job->cancellable == NULL && can_be_fired (job))
    job->cancellable = g_cancellable_new ();
  g_mutex_unlock (job->lock);

  job->klass->run (job);
}

BsCaller *
bs_job_steal_callers (BsJob *job)
{
  BsCaller *callers = NULL;

  while (job->callers != NULL)
    {
      BsCaller *caller = job->callers;

      job->callers = caller->next;
      caller->job = NULL;
      caller->next = callers;
      callers = caller;
    }

  return callers;
}

void
bs_job_answer (BsCaller *callers, gpointer value, const GError *error)
{
  while (callers != NULL)
    {
      BsCaller *caller = callers;

      callers = g_steal_pointer (&caller->next);
      bs_caller_answer (caller, error == NULL ? value : NULL, error != NULL ? g_error_copy (error) : NULL);
      bs_caller_unref (caller);
    }
}

void
bs_job_start (BsJob *job, BsCaller *caller)
{
  if (caller->blocking && bs_lane_enter (job->lane))
    {
      bs_job_run (job, caller);
      bs_lane_leave (job->lane);
    }
  else
    {
      bs_lane_submit (job->lane, job);
    }
  bs_job_unref (job);
}

void
bs_aftermath_add_ready (BsAftermath *after, BsJob *job)
{
  job->state = BS_JOB_READY;
  job->ready_next = after->ready;
  after->ready = bs_job_ref (job);
}

void
bs_aftermath_add_dropped (BsAftermath *after, BsJob *job)
{
  job->dropped_next = after->dropped;
  after->dropped = job;
}

static __thread BsAftermath *pushed;

void
bs_aftermath_push (BsAftermath *after)
{
  after->outer = pushed;
  pushed = after;
}

static void
submit (BsAftermath *after)
{
  while (after->ready != NULL)
    {
      BsJob *job = after->ready;

      after->ready = g_steal_pointer (&job->ready_next);
      if (!job->held)
        bs_job_hold (job);
      bs_lane_submit (job->lane, job);
      bs_job_unref (job);
    }
  while (after->dropped != NULL)
    {
      BsJob *job = after->dropped;

      after->dropped = g_steal_pointer (&job->dropped_next);
      bs_lane_forget (job->lane, job);
      bs_job_unref (job);
    }
}

void
bs_aftermath_run_pushed (void)
{
  for (BsAftermath *after = pushed; after != NULL; after = after->outer)
    submit (after);
}

void
bs_aftermath_run (BsAftermath *after)
{
  submit (after);
  if (pushed == after)
    pushed = after->outer;
}

void
bs_strand_append (BsStrand *strand, BsJob *job)
{
  job->next = NULL;
  job->previous = strand->tail;
  if (strand->tail != NULL)
    strand->tail->next = job;
  else
    strand->head = job;
  strand->tail = job;
}

void
bs_strand_prepend (BsStrand *strand, BsJob *job)
{
  job->previous = NULL;
  job->next = strand->head;
  if (strand->head != NULL)
    strand->head->previous = job;
  else
    strand->tail = job;
  strand->head = job;
}

void
bs_strand_remove (BsStrand *strand, BsJob *job)
{
  if (job->previous != NULL)
    job->previous->next = job->next;
  else
    strand->head = job->next;
  if (job->next != NULL)
    job->next->previous = job->previous;
  else
    strand->tail = job->previous;
  job->previous = job->next = NULL;
}
