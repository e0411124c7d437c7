/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "bs-verify.h"

#include "base/bs-backing-private.h"
#include "base/bs-key-set-private.h"
#include "bs-path-private.h"
#include "bs-store-private.h"
#include "bs-strand-private.h"

/**
 * BsVerify:
 *
 * Checks every blob of a tracked path.
 *
 * A run asks the backing to look at each blob whole
 * ([method@Backing.verify_persisted]). A bad one, and one that has gone behind
 * the store's back, is taken out of the tracked path and listed in
 * [method@Verify.dup_bad_keys]; the backing sets bad ones aside. [class@FileBacking]
 * moves them to a folder of quarantine.
 *
 * The checks go on beside everything else: each takes its turn among the
 * operations on its key, as many at a time as the store has threads, and holds up
 * no other key. Keys that are deleted meanwhile are passed over; those that are
 * persisted meanwhile may be checked or not. A [method@BackingStore.sync] that is
 * asked meanwhile covers what was taken out by then and does not wait for the rest.
 * [method@BackingStore.untrack_path] and [method@BackingStore.close] wait for the
 * run, so cancel it first.
 *
 * A verification may be used from any thread, and run again when a run is over.
 * Its properties tell how far a run has come, and what the last one has found;
 * they notify in the context that was the thread's default where the store was
 * made, once for many changes. So a progress bar can be bound to
 * [property@Verify:fraction].
 */

/* How many checks one thread asks for before others get their turn. */
#define MOST_AT_ONCE 32

typedef enum
{
  PROP_STORE = 1,
  PROP_TRACKED,
  PROP_N_TOTAL,
  PROP_N_DONE,
  PROP_FRACTION,
  PROP_N_BAD,
} BsVerifyProperty;

static GParamSpec *properties[PROP_N_BAD + 1];

struct _BsVerify
{
  GObject parent_instance;

  /* constant after construction */
  BsBackingStore *store;        /* owned */
  BsTrackedPath *tracked;       /* owned */

  int pending[PROP_N_BAD + 1];  /* atomic: a notification is under way */

  GMutex mutex;

  /* under the mutex */
  gboolean running;
  gboolean complete;            /* the last run has come to the end of the keys */
  guint64 n_total;
  guint64 n_done;
  BsKeyTable bad;
};

G_DEFINE_FINAL_TYPE (BsVerify, bs_verify, G_TYPE_OBJECT)

/* One run. What takes long is in the keys' operations, a few at a time; the end
 * of each asks for the next. */
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
notify (BsVerify *self, BsVerifyProperty property)
{
  bs_notifier_notify (self->store->notifier, G_OBJECT (self), properties[property], &self->pending[property]);
}

static void
notify_progress (BsVerify *self)
{
  notify (self, PROP_N_DONE);
  notify (self, PROP_FRACTION);
}

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
  BsVerify *verify = run->verify;
  gboolean changed = run->keys->len != run->expected[shard];

  if (!changed)
    return;

  g_mutex_lock (&verify->mutex);
  verify->n_total += run->keys->len;
  verify->n_total -= run->expected[shard];
  g_mutex_unlock (&verify->mutex);
  notify (verify, PROP_N_TOTAL);
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
  gboolean complete;
  BsCaller *callers;
  guint64 n_done;

  g_mutex_lock (&verify->mutex);
  n_done = verify->n_done;
  complete = n_done == verify->n_total;
  verify->complete = complete;
  verify->running = FALSE;
  g_mutex_unlock (&verify->mutex);

  notify_progress (verify);
  error = run_dup_error (run, n_done, complete);

  g_mutex_lock (job->lock);
  job->state = BS_JOB_DONE;
  callers = bs_job_steal_callers (job);
  bs_path_return_ticket (job, &after);
  g_mutex_unlock (job->lock);

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

/* What the error says of the key; the mutex must be held. */
static void
note (Run *run, const BsKey *key, GError **error)
{
  BsVerify *verify = run->verify;

  if (*error == NULL)
    {
      verify->n_done++;
    }
  else if (g_error_matches (*error, BS_ERROR, BS_ERROR_CORRUPT) || g_error_matches (*error, BS_ERROR, BS_ERROR_NOT_FOUND))
    {
      verify->n_done++;
      bs_key_table_add (&verify->bad, key, bs_key_hash (key));
    }
  else if (!g_error_matches (*error, G_IO_ERROR, G_IO_ERROR_CANCELLED) || !g_cancellable_is_cancelled (run->job.cancellable))
    {
      verify->n_done++;
      run->n_failed++;
      if (run->error == NULL)
        run->error = g_steal_pointer (error);
    }
}

static gpointer
check_done (gpointer data, gpointer value, GError **error)
{
  Check *check = data;
  Run *run = check->run;
  BsVerify *verify = run->verify;
  guint64 n_bad;

  g_mutex_lock (&verify->mutex);
  n_bad = verify->bad.n_keys;
  note (run, &check->key, error);
  n_bad = verify->bad.n_keys - n_bad;
  g_mutex_unlock (&verify->mutex);

  notify_progress (verify);
  if (n_bad > 0)
    notify (verify, PROP_N_BAD);
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

  g_mutex_lock (&run->verify->mutex);
  run->verify->n_total = n_total;
  if (!bs_backing_implements (store->backing, BS_OPERATION_VERIFY_PERSISTED))
    {
      /* There is nothing to check. */
      run->verify->n_done = n_total;
      run->next_shard = BS_N_SHARDS;
    }
  g_mutex_unlock (&run->verify->mutex);
  notify (run->verify, PROP_N_TOTAL);
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
      self->complete = FALSE;
      self->n_total = self->n_done = 0;
      bs_key_table_clear (&self->bad);
      bs_key_table_init (&self->bad, 0);
    }
  g_mutex_unlock (&self->mutex);

  if (idle)
    {
      notify_progress (self);
      notify (self, PROP_N_BAD);
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
    bs_job_join (job, caller);
  g_mutex_unlock (job->lock);

  if (joined)
    {
      /* What it does itself is short, and calls nobody. */
      bs_job_ref (job);
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

static void
start (BsVerify *self, BsCaller *caller)
{
  if (!bs_backing_store_admit (self->store, caller, BS_JOB_VERIFY_PATH, NULL, self->tracked))
    return;

  start_admitted (self, caller);
  bs_backing_store_admitted (self->store);
}

static void
bs_verify_finalize (GObject *object)
{
  BsVerify *self = BS_VERIFY (object);

  if (self->store != NULL)
    bs_notifier_forget (self->store->notifier, object);
  bs_key_table_clear (&self->bad);
  g_mutex_clear (&self->mutex);
  g_clear_object (&self->tracked);
  g_clear_object (&self->store);

  G_OBJECT_CLASS (bs_verify_parent_class)->finalize (object);
}

static void
bs_verify_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  BsVerify *self = BS_VERIFY (object);

  switch ((BsVerifyProperty) id)
    {
    case PROP_STORE:
      g_value_set_object (value, self->store);
      break;
    case PROP_TRACKED:
      g_value_set_object (value, self->tracked);
      break;
    case PROP_N_TOTAL:
      g_value_set_uint64 (value, bs_verify_get_n_total (self));
      break;
    case PROP_N_DONE:
      g_value_set_uint64 (value, bs_verify_get_n_done (self));
      break;
    case PROP_FRACTION:
      g_value_set_double (value, bs_verify_get_fraction (self));
      break;
    case PROP_N_BAD:
      g_value_set_uint64 (value, bs_verify_get_n_bad (self));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
bs_verify_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  BsVerify *self = BS_VERIFY (object);

  switch ((BsVerifyProperty) id)
    {
    case PROP_STORE:
      self->store = g_value_dup_object (value);
      break;
    case PROP_TRACKED:
      self->tracked = g_value_dup_object (value);
      break;
    case PROP_N_TOTAL:
    case PROP_N_DONE:
    case PROP_FRACTION:
    case PROP_N_BAD:
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
bs_verify_class_init (BsVerifyClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->finalize = bs_verify_finalize;
  object_class->get_property = bs_verify_get_property;
  object_class->set_property = bs_verify_set_property;

  /**
   * BsVerify:store: (getter get_store)
   *
   * The store that does the work.
   */
  properties[PROP_STORE] =
    g_param_spec_object ("store", NULL, NULL, BS_TYPE_BACKING_STORE,
                         G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * BsVerify:tracked: (getter get_tracked)
   *
   * The tracked path whose blobs are checked.
   */
  properties[PROP_TRACKED] =
    g_param_spec_object ("tracked", NULL, NULL, BS_TYPE_TRACKED_PATH,
                         G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * BsVerify:n-total: (getter get_n_total)
   *
   * How many blobs there are to check. While a run goes on this is corrected for
   * what has come and gone meanwhile.
   *
   * Notifies in the context that was the thread's default where the store was
   * made, once for many changes.
   */
  properties[PROP_N_TOTAL] =
    g_param_spec_uint64 ("n-total", NULL, NULL, 0, G_MAXUINT64, 0,
                         G_PARAM_READABLE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * BsVerify:n-done: (getter get_n_done)
   *
   * How many of them are done with: good, bad, or impossible to check.
   *
   * Notifies in the context that was the thread's default where the store was
   * made, once for many changes.
   */
  properties[PROP_N_DONE] =
    g_param_spec_uint64 ("n-done", NULL, NULL, 0, G_MAXUINT64, 0,
                         G_PARAM_READABLE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * BsVerify:fraction: (getter get_fraction)
   *
   * How much of the run is done, from 0 to 1.
   *
   * Notifies in the context that was the thread's default where the store was
   * made, once for many changes.
   */
  properties[PROP_FRACTION] =
    g_param_spec_double ("fraction", NULL, NULL, 0.0, 1.0, 0.0,
                         G_PARAM_READABLE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * BsVerify:n-bad: (getter get_n_bad)
   *
   * How many blobs were found to be bad or missing.
   *
   * Notifies in the context that was the thread's default where the store was
   * made, once for many changes.
   */
  properties[PROP_N_BAD] =
    g_param_spec_uint64 ("n-bad", NULL, NULL, 0, G_MAXUINT64, 0,
                         G_PARAM_READABLE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  g_object_class_install_properties (object_class, G_N_ELEMENTS (properties), properties);
}

static void
bs_verify_init (BsVerify *self)
{
  g_mutex_init (&self->mutex);
  bs_key_table_init (&self->bad, 0);
}

/**
 * bs_verify_new:
 * @store: a store
 * @tracked: a tracked path of this store
 *
 * Prepares to check every blob of a tracked path. Nothing is done before it is
 * run.
 *
 * Returns: (transfer full): a new verification
 */
BsVerify *
bs_verify_new (BsBackingStore *store, BsTrackedPath *tracked)
{
  g_return_val_if_fail (BS_IS_BACKING_STORE (store), NULL);
  g_return_val_if_fail (BS_IS_TRACKED_PATH (tracked), NULL);

  return g_object_new (BS_TYPE_VERIFY, "store", store, "tracked", tracked, NULL);
}

/**
 * bs_verify_get_store: (get-property store)
 * @self: a verification
 *
 * Gets the store that does the work.
 *
 * Returns: (transfer none): the store
 */
BsBackingStore *
bs_verify_get_store (BsVerify *self)
{
  g_return_val_if_fail (BS_IS_VERIFY (self), NULL);

  return self->store;
}

/**
 * bs_verify_get_tracked: (get-property tracked)
 * @self: a verification
 *
 * Gets the tracked path whose blobs are checked.
 *
 * Returns: (transfer none): the tracked path
 */
BsTrackedPath *
bs_verify_get_tracked (BsVerify *self)
{
  g_return_val_if_fail (BS_IS_VERIFY (self), NULL);

  return self->tracked;
}

/**
 * bs_verify_run:
 * @self: a verification
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Checks every blob of the tracked path, from the beginning.
 *
 * That a blob is bad is no error: look at [property@Verify:n-bad]. Where a blob
 * can't be checked the run goes on with the others and fails in the end, with
 * the code of the first such error and a message that says how many there were.
 * A backing that does not implement [vfunc@Backing.verify_persisted] has nothing
 * to check, and this succeeds.
 *
 * Fails with %BS_ERROR_BUSY while this object runs, %BS_ERROR_CLOSED if the
 * store or the path is closed, %G_IO_ERROR_INVALID_ARGUMENT if the path belongs
 * to another store, %G_IO_ERROR_WOULD_BLOCK inside a function of the store's
 * backing, %G_IO_ERROR_CANCELLED if not everything was checked for that reason,
 * and with what the backing reports but %BS_ERROR_CORRUPT and
 * %BS_ERROR_NOT_FOUND. What was found till then stays found.
 *
 * Blocks; see [method@Verify.run_async] for the asynchronous call. The checks run
 * in the store's threads, or in its main context, with the default priority.
 *
 * Returns: %TRUE if every blob was checked, %FALSE with @error set
 */
gboolean
bs_verify_run (BsVerify *self, GCancellable *cancellable, GError **error)
{
  BsCaller *caller;

  g_return_val_if_fail (BS_IS_VERIFY (self), FALSE);
  g_return_val_if_fail (self->store != NULL && self->tracked != NULL, FALSE);

  caller = bs_caller_new_blocking (self->store, cancellable, NULL, NULL, NULL, NULL);
  start (self, caller);
  return GPOINTER_TO_INT (bs_caller_wait (caller, error));
}

/**
 * bs_verify_run_async:
 * @self: a verification
 * @io_priority: the I/O priority of the checks
 * @cancellable: (nullable): a #GCancellable
 * @callback: (scope async) (closure user_data): called when it is done
 * @user_data: data for @callback
 *
 * Asynchronous [method@Verify.run]. %G_PRIORITY_LOW lets everything else go
 * first.
 */
void
bs_verify_run_async (BsVerify *self, int io_priority, GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data)
{
  BsCaller *caller;
  GTask *task;

  g_return_if_fail (BS_IS_VERIFY (self));
  g_return_if_fail (self->store != NULL && self->tracked != NULL);

  task = bs_task_new (self, cancellable, callback, user_data, bs_verify_run_async, "[backingstore] verify", io_priority);
  caller = bs_caller_new_async (self->store, task, NULL, NULL, NULL, NULL);
  start (self, caller);
  bs_caller_unref (caller);
}

/**
 * bs_verify_run_finish:
 * @self: a verification
 * @result: what the callback was given
 * @error: return location for a #GError
 *
 * Finishes [method@Verify.run_async].
 *
 * Returns: %TRUE if every blob was checked, %FALSE with @error set
 */
gboolean
bs_verify_run_finish (BsVerify *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  g_return_val_if_fail (g_async_result_is_tagged (result, bs_verify_run_async), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

/**
 * bs_verify_get_n_total: (get-property n-total)
 * @self: a verification
 *
 * Gets how many blobs there are to check.
 *
 * Returns: the number of blobs, 0 before the first run
 */
guint64
bs_verify_get_n_total (BsVerify *self)
{
  guint64 n_total;

  g_return_val_if_fail (BS_IS_VERIFY (self), 0);

  g_mutex_lock (&self->mutex);
  n_total = self->n_total;
  g_mutex_unlock (&self->mutex);

  return n_total;
}

/**
 * bs_verify_get_n_done: (get-property n-done)
 * @self: a verification
 *
 * Gets how many blobs are done with: good, bad, or impossible to check.
 *
 * Returns: the number of blobs
 */
guint64
bs_verify_get_n_done (BsVerify *self)
{
  guint64 n_done;

  g_return_val_if_fail (BS_IS_VERIFY (self), 0);

  g_mutex_lock (&self->mutex);
  n_done = self->n_done;
  g_mutex_unlock (&self->mutex);

  return n_done;
}

/**
 * bs_verify_get_fraction: (get-property fraction)
 * @self: a verification
 *
 * Gets how much of the run is done.
 *
 * Returns: a number from 0 to 1
 */
double
bs_verify_get_fraction (BsVerify *self)
{
  double fraction;

  g_return_val_if_fail (BS_IS_VERIFY (self), 0.0);

  g_mutex_lock (&self->mutex);
  if (self->complete)
    fraction = 1.0;
  else if (self->n_total == 0)
    fraction = 0.0;
  else
    fraction = MIN ((double) self->n_done / (double) self->n_total, 1.0);
  g_mutex_unlock (&self->mutex);

  return fraction;
}

/**
 * bs_verify_get_n_bad: (get-property n-bad)
 * @self: a verification
 *
 * Gets how many blobs were found to be bad or missing.
 *
 * Returns: the number of blobs
 */
guint64
bs_verify_get_n_bad (BsVerify *self)
{
  guint64 n_bad;

  g_return_val_if_fail (BS_IS_VERIFY (self), 0);

  g_mutex_lock (&self->mutex);
  n_bad = self->bad.n_keys;
  g_mutex_unlock (&self->mutex);

  return n_bad;
}

/**
 * bs_verify_dup_bad_keys:
 * @self: a verification
 *
 * Gets the keys whose blobs the current run, or else the last one, has found to
 * be bad or missing so far. They are no longer in the tracked path.
 *
 * Returns: (transfer full): a set of the caller's own
 */
BsKeySet *
bs_verify_dup_bad_keys (BsVerify *self)
{
  BsKeySet *keys;

  g_return_val_if_fail (BS_IS_VERIFY (self), NULL);

  keys = bs_key_set_new ();
  g_mutex_lock (&self->mutex);
  bs_key_table_copy (&self->bad, bs_key_set_get_table (keys));
  g_mutex_unlock (&self->mutex);

  return keys;
}
