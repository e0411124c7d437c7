/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "bs-verify-private.h"

#include "base/bs-backing-private.h"
#include "bs-path-private.h"
#include "bs-store-private.h"
#include "bs-strand-private.h"

/* One run of a verification. What takes long is in the keys' operations, a few at
 * a time; the end of each asks for the next. */

/* How many checks one thread asks for before others get their turn. */
#define MOST_AT_ONCE 32

typedef struct
{
  BsJob job;

  /* constant */
  BsVerify *verify;             /* owned */

  /* by the feeding thread */
  GArray *keys;                 /* owned; of BsKey: those of the current shard */
  guint next_key;
  guint next_shard;
  guint64 expected[BS_N_SHARDS];  /* how many keys n_total counts for a shard that is to come */

  /* under the verify's mutex */
  gboolean begun;
  gboolean feeding;             /* some thread asks for checks */
  gboolean relayed;             /* one is to do so, when it comes to that in the lane */
  gboolean exhausted;           /* there is nothing left to ask for */
  gboolean over;                /* somebody has seen that it is */
  guint n_open;                 /* checks that were asked for and are not done */
  guint64 n_failed;
  GError *error;                /* owned; of the first that failed */
} Run;

/* One check. */
typedef struct
{
  Run *run;                     /* owned */
  BsKey key;
} Check;

static void
check_free (gpointer data)
{
  Check *check = data;

  bs_job_unref (&check->run->job);
  g_free (check);
}

/* More or fewer than there were when the run began. */
static void
correct_total (Run *run, guint shard)
{
  if (run->keys->len != run->expected[shard])
    bs_progress_add_total (&run->verify->progress, (gint64) run->keys->len - (gint64) run->expected[shard]);
}

static gboolean
next_key (Run *run, BsKey *key)
{
  if (g_cancellable_is_cancelled (run->job.cancellable))
    return FALSE;

  while (run->next_key == run->keys->len)
    {
      if (run->next_shard == BS_N_SHARDS)
        return FALSE;
      g_array_set_size (run->keys, 0);
      run->next_key = 0;
      bs_tracked_path_copy_keys (run->job.tracked, run->next_shard, run->keys);
      correct_total (run, run->next_shard++);
    }

  *key = g_array_index (run->keys, BsKey, run->next_key++);
  return TRUE;
}

static GError *
run_dup_error (Run *run, guint64 n_done, gboolean complete)
{
  g_autofree char *why = NULL;

  if (!complete)
    return bs_job_error (BS_JOB_VERIFY_PATH, NULL, run->job.tracked, G_IO_ERROR, G_IO_ERROR_CANCELLED, "it was cancelled");
  if (run->error == NULL)
    return NULL;

  why = g_strdup_printf ("%" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT " keys could not be checked; the first: %s",
                         run->n_failed, n_done, run->error->message);
  return bs_job_error (BS_JOB_VERIFY_PATH, NULL, run->job.tracked, run->error->domain, run->error->code, why);
}

/* Nothing of it is under way any more. */
static void
run_end (Run *run)
{
  BsJob *job = &run->job;
  BsVerify *verify = run->verify;
  BsAftermath after = { NULL, };
  g_autoptr (GError) error = NULL;
  guint64 n_done = bs_progress_get_n_done (&verify->progress);
  gboolean complete = n_done == bs_progress_get_n_total (&verify->progress);
  BsCaller *callers;

  if (complete)
    bs_progress_complete (&verify->progress);
  error = run_dup_error (run, n_done, complete);

  g_mutex_lock (&verify->mutex);
  verify->running = FALSE;
  g_mutex_unlock (&verify->mutex);

  g_mutex_lock (job->lock);
  job->state = BS_JOB_DONE;
  callers = bs_job_steal_callers (job);
  bs_path_return_ticket (job, &after);
  g_mutex_unlock (job->lock);

  bs_aftermath_push (&after);
  bs_job_answer (callers, NULL, error);
  bs_aftermath_run (&after);
  bs_job_unref (job);
}

static void
step_aside (Run *run)
{
  BsJob *job = &run->job;
  BsAftermath after = { NULL, };

  g_mutex_lock (job->lock);
  if (job->ticket != 0)
    bs_path_renew_ticket (job, &after);
  g_mutex_unlock (job->lock);

  bs_aftermath_run (&after);
}

static gpointer check_done (gpointer data, gpointer value, GError **error);

/* An answer may come before this returns, where there is nothing to check. */
static void
ask_for_check (Run *run, const BsKey *key)
{
  BsJob *job = &run->job;
  Check *check = g_new0 (Check, 1);
  BsCaller *caller;

  bs_job_ref (job);
  check->run = run;
  check->key = *key;
  caller = bs_caller_new_background (job->store, g_atomic_int_get (&job->priority), check_done, check, check_free);
  g_set_object (&caller->cancellable, job->cancellable);
  bs_caller_set_subject (caller, BS_JOB_VERIFY, key, job->tracked);
  bs_strand_start (job->store, BS_JOB_VERIFY, key, NULL, job->tracked, NULL, caller);
  bs_caller_unref (caller);
}

/* Asks for checks until there are enough. Called by whoever starts the run, and
 * at the end of each check, inside of which another may be feeding, or this very
 * function. Where checks end as fast as they are asked for, the lane goes on. */
static void
feed (Run *run, guint n_ended)
{
  BsVerify *verify = run->verify;
  guint n_most = bs_backing_store_get_max_threads (run->job.store);
  guint n_asked = 0;
  gboolean ended, relay;

  g_mutex_lock (&verify->mutex);
  run->n_open -= n_ended;
  if (run->feeding)
    {
      g_mutex_unlock (&verify->mutex);
      return;
    }

  run->feeding = TRUE;
  while (run->n_open < n_most && !run->exhausted && n_asked < MOST_AT_ONCE)
    {
      gboolean found;
      BsKey key;

      n_asked++;
      run->n_open++;
      g_mutex_unlock (&verify->mutex);
      found = next_key (run, &key);
      if (found)
        ask_for_check (run, &key);
      g_mutex_lock (&verify->mutex);
      if (!found)
        {
          run->n_open--;
          run->exhausted = TRUE;
        }
    }
  run->feeding = FALSE;
  ended = run->exhausted && run->n_open == 0 && !run->over;
  run->over |= ended;
  relay = run->n_open < n_most && !run->exhausted && !run->relayed;
  run->relayed |= relay;
  g_mutex_unlock (&verify->mutex);

  if (relay)
    bs_lane_submit (run->job.lane, &run->job);
  if (ended)
    run_end (run);
  else
    step_aside (run);
}

/* What the error says of the key. Returns whether it is done with. */
static gboolean
note (Run *run, const BsKey *key, GError **error)
{
  BsVerify *verify = run->verify;
  gboolean bad = g_error_matches (*error, BS_ERROR, BS_ERROR_CORRUPT) || g_error_matches (*error, BS_ERROR, BS_ERROR_NOT_FOUND);

  if (*error == NULL)
    return TRUE;
  if (g_error_matches (*error, G_IO_ERROR, G_IO_ERROR_CANCELLED) && g_cancellable_is_cancelled (run->job.cancellable))
    return FALSE;

  g_mutex_lock (&verify->mutex);
  if (bad)
    bs_key_table_add (&verify->bad, key, bs_key_hash (key));
  else if (run->n_failed++ == 0)
    run->error = g_steal_pointer (error);
  g_mutex_unlock (&verify->mutex);

  if (bad)
    bs_verify_notify_n_bad (verify);
  return TRUE;
}

static gpointer
check_done (gpointer data, gpointer value, GError **error)
{
  Check *check = data;
  Run *run = check->run;

  if (note (run, &check->key, error))
    bs_progress_add_done (&run->verify->progress, 1);
  g_clear_error (error);
  feed (run, 1);

  return NULL;
}

static void
count_keys (Run *run)
{
  BsBackingStore *store = run->job.store;
  guint64 n_total = 0;

  for (guint i = 0; i < BS_N_SHARDS; i++)
    {
      g_mutex_lock (&store->shards[i].mutex);
      run->expected[i] = run->job.tracked->shards[i].members.n_keys;
      g_mutex_unlock (&store->shards[i].mutex);
      n_total += run->expected[i];
    }

  bs_progress_add_total (&run->verify->progress, n_total);
  if (!bs_backing_implements (store->backing, BS_OPERATION_VERIFY_PERSISTED))
    {
      /* There is nothing to check. */
      bs_progress_add_done (&run->verify->progress, n_total);
      run->next_shard = BS_N_SHARDS;
    }
}

static void
run_run (BsJob *job)
{
  Run *run = (Run *) job;
  gboolean begun;

  g_mutex_lock (&run->verify->mutex);
  begun = run->begun;
  run->begun = TRUE;
  run->relayed = FALSE;
  g_mutex_unlock (&run->verify->mutex);

  if (!begun)
    count_keys (run);
  feed (run, 0);
}

static void
run_drop (BsJob *job, BsAftermath *after)
{
  BsVerify *verify = ((Run *) job)->verify;

  g_mutex_lock (&verify->mutex);
  verify->running = FALSE;
  g_mutex_unlock (&verify->mutex);
  bs_path_return_ticket (job, after);
  bs_aftermath_add_dropped (after, job);
}

static void
run_free (BsJob *job)
{
  Run *run = (Run *) job;

  g_array_unref (run->keys);
  g_clear_error (&run->error);
  g_object_unref (run->verify);
}

static const BsJobClass run_class = {
  .run = run_run,
  .drop = run_drop,
  .free = run_free,
};

static BsJob *
run_new (BsVerify *verify, BsCaller *caller)
{
  Run *run = g_new0 (Run, 1);
  BsBackingStore *store = verify->store;
  /* It is long: not at the priority of a call that somebody is blocked in. */
  int priority = caller->blocking ? G_PRIORITY_DEFAULT : caller->priority;

  bs_job_init (&run->job, &run_class, BS_JOB_VERIFY_PATH, store, store->backing_lane, &store->jobs_mutex, verify->tracked, priority);
  bs_job_hold (&run->job);
  run->job.state = BS_JOB_READY;
  run->job.resumes = TRUE;
  run->verify = g_object_ref (verify);
  run->keys = g_array_new (FALSE, FALSE, sizeof (BsKey));

  return &run->job;
}

/* FALSE where it is running. */
static gboolean
begin (BsVerify *self)
{
  gboolean idle;

  g_mutex_lock (&self->mutex);
  idle = !self->running;
  if (idle)
    {
      self->running = TRUE;
      bs_key_table_clear (&self->bad);
    }
  g_mutex_unlock (&self->mutex);

  if (idle)
    {
      bs_progress_begin (&self->progress, 0);
      bs_verify_notify_n_bad (self);
    }
  return idle;
}

static void
start_admitted (BsVerify *self, BsCaller *caller)
{
  gboolean left, joined;
  BsJob *job;

  if (!begin (self))
    {
      bs_caller_answer (caller, NULL, bs_job_error (BS_JOB_VERIFY_PATH, NULL, self->tracked, BS_ERROR, BS_ERROR_BUSY, "it is running"));
      return;
    }

  job = run_new (self, caller);
  caller->lock = job->lock;
  bs_caller_connect (caller, bs_job_leave, NULL);

  g_mutex_lock (job->lock);
  left = caller->left;
  joined = !left && bs_path_take_ticket (job, FALSE);
  if (joined)
    bs_job_join (bs_job_ref (job), caller);
  g_mutex_unlock (job->lock);

  if (joined)
    {
      /* What it does itself is short, and calls nobody. */
      bs_job_run (job, caller->blocking ? caller : NULL);
    }
  else
    {
      g_mutex_lock (&self->mutex);
      self->running = FALSE;
      g_mutex_unlock (&self->mutex);
      bs_caller_answer (caller, NULL,
                        left ? bs_job_error (BS_JOB_VERIFY_PATH, NULL, self->tracked, G_IO_ERROR, G_IO_ERROR_CANCELLED, "it was cancelled")
                             : bs_job_error (BS_JOB_VERIFY_PATH, NULL, self->tracked, BS_ERROR, BS_ERROR_CLOSED, "the tracked path is closed"));
    }
  bs_job_unref (job);
}

void
bs_verify_start (BsVerify *self, BsCaller *caller)
{
  if (!bs_backing_store_admit (self->store, caller, BS_JOB_VERIFY_PATH, NULL, self->tracked))
    return;

  start_admitted (self, caller);
  bs_backing_store_admitted (self->store);
}
