/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "bs-path-job-private.h"

/* Operations on the keys of a path have tickets, and stand in a list of their shard
 * until they are done; what changes many keys stands in one of the path. Syncs and
 * untracks wait for what was asked before them: they look at every list once, when
 * their turn has come, and are told by those that they found occupied. */

/* Tells whoever waits for the tickets of a list, if they have been returned.
 * Under the path's mutex, and the list's. */
static void
note_passed (BsPath *path, BsTicketList *list, BsAftermath *after)
{
  guint waiter = bs_ticket_list_steal_waiter (list);

  /* Who waited may have been cancelled since. */
  if (waiter != 0 && path->waiting != NULL && ((BsPathJob *) path->waiting)->survey == waiter && --path->n_awaited == 0)
    bs_path_dispatch (path, after);
}

gboolean
bs_path_take_key_ticket (BsJob *job, guint shard, gboolean inner)
{
  BsTrackedPath *tracked = job->tracked;

  if (!inner && g_atomic_int_get (&tracked->refusing))
    return FALSE;

  bs_ticket_list_append (&tracked->shards[shard].tickets, job);
  return TRUE;
}

void
bs_path_return_key_ticket (BsJob *job, guint shard, BsAftermath *after)
{
  BsTicketList *list;
  BsPath *path;

  if (job->tracked == NULL || job->ticket == 0)
    return;

  list = &job->tracked->shards[shard].tickets;
  bs_ticket_list_remove (list, job);
  if (G_LIKELY (list->awaited == 0))
    return;

  path = job->tracked->path;
  g_mutex_lock (&path->mutex);
  note_passed (path, list, after);
  g_mutex_unlock (&path->mutex);
}

gboolean
bs_path_take_ticket (BsJob *job, gboolean inner)
{
  BsTrackedPath *tracked = job->tracked;
  BsPath *path = tracked->path;
  gboolean refused;

  g_mutex_lock (&path->mutex);
  refused = !inner && g_atomic_int_get (&tracked->refusing);
  if (!refused)
    bs_ticket_list_append (&path->tickets, job);
  g_mutex_unlock (&path->mutex);

  return !refused;
}

void
bs_path_return_ticket (BsJob *job, BsAftermath *after)
{
  BsPath *path;

  if (job->tracked == NULL || job->ticket == 0)
    return;

  path = job->tracked->path;
  g_mutex_lock (&path->mutex);
  bs_ticket_list_remove (&path->tickets, job);
  note_passed (path, &path->tickets, after);
  /* An untrack looks at the others only when this list is empty. */
  bs_path_dispatch (path, after);
  g_mutex_unlock (&path->mutex);
}

void
bs_path_renew_ticket (BsJob *job, BsAftermath *after)
{
  BsPath *path = job->tracked->path;

  g_mutex_lock (&path->mutex);
  bs_ticket_list_remove (&path->tickets, job);
  bs_ticket_list_append (&path->tickets, job);
  note_passed (path, &path->tickets, after);
  g_mutex_unlock (&path->mutex);
}

static void
lend_to_keys (BsTrackedPath *tracked, int priority)
{
  for (guint i = 0; i < BS_N_SHARDS; i++)
    {
      BsTicketList *list = &tracked->shards[i].tickets;
      GMutex *mutex = &tracked->store->shards[i].mutex;

      g_mutex_lock (mutex);
      if (list->first != NULL && list->worst_priority > priority)
        {
          for (BsJob *job = list->first; job != NULL; job = job->ticket_next)
            if (!job->embedded)
              bs_job_lend (job, priority);
          list->worst_priority = priority;
        }
      g_mutex_unlock (mutex);
    }
}

void
bs_path_lend_to_tickets (BsTrackedPath *tracked, BsJobKind kind, int priority)
{
  g_autoptr (GPtrArray) jobs = g_ptr_array_new_with_free_func ((GDestroyNotify) bs_job_unref);
  BsPath *path = tracked->path;

  lend_to_keys (tracked, priority);

  g_mutex_lock (&path->mutex);
  if (path->tickets.first != NULL && (path->tickets.worst_priority > priority || kind == BS_JOB_UNTRACK))
    {
      for (BsJob *job = path->tickets.first; job != NULL; job = job->ticket_next)
        if (job->kind != BS_JOB_VERIFY_PATH || kind == BS_JOB_UNTRACK)
          g_ptr_array_add (jobs, bs_job_ref (job));
      path->tickets.worst_priority = priority;
    }
  g_mutex_unlock (&path->mutex);

  for (guint i = 0; i < jobs->len; i++)
    {
      BsJob *job = g_ptr_array_index (jobs, i);

      g_mutex_lock (job->lock);
      if (job->state != BS_JOB_DONE)
        bs_job_lend (job, priority);
      g_mutex_unlock (job->lock);
    }
}

/* New ones are refused while an untrack waits: it covers all there are. */
static guint64
get_barrier (BsPathJob *self, guint list)
{
  return self->barriers != NULL ? self->barriers[list] : G_MAXUINT64;
}

/* Asks each list to tell when what has to be waited for is done. */
static void
survey_keys (BsPathJob *self)
{
  BsTrackedPath *tracked = self->job.tracked;
  BsPath *path = self->path;

  for (guint i = 0; i < BS_N_SHARDS; i++)
    {
      GMutex *mutex = &tracked->store->shards[i].mutex;

      g_mutex_lock (mutex);
      if (bs_ticket_list_await (&tracked->shards[i].tickets, get_barrier (self, i), self->survey))
        {
          g_mutex_lock (&path->mutex);
          path->n_awaited++;
          g_mutex_unlock (&path->mutex);
        }
      g_mutex_unlock (mutex);
    }
}

gboolean
bs_path_survey (BsPathJob *self)
{
  BsPath *path = self->path;
  BsAftermath after = { NULL, };
  BsCaller *left = NULL;
  gboolean surveyed, passed;

  g_mutex_lock (&path->mutex);
  surveyed = self->survey != 0;
  if (!surveyed)
    {
      self->survey = ++path->n_surveys;
      path->waiting = &self->job;
      path->n_awaited = 1 + bs_ticket_list_await (&path->tickets, get_barrier (self, BS_N_SHARDS), self->survey);
    }
  g_mutex_unlock (&path->mutex);
  if (surveyed)
    return TRUE;

  survey_keys (self);

  g_mutex_lock (&path->mutex);
  passed = --path->n_awaited == 0;
  if (!passed)
    left = bs_path_job_put_back (self, &after);
  g_mutex_unlock (&path->mutex);

  bs_job_answer_left (left);
  bs_aftermath_run (&after);
  return passed;
}
