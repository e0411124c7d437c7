/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store/bs-verify-private.h"

#include "base/bs-backing-private.h"
#include "store/queues/bs-path-private.h"
#include "store/operations/bs-store-private.h"
#include "store/queues/bs-key-queue-private.h"

/* One run of a verification. What takes long is in the keys' operations, a few at
 * a time; the end of each asks for the next. */

/* How many checks one thread asks for before others get their turn. */
#define MOST_AT_ONCE 32

typedef struct
{
  BsStoreOperation operation;

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
  gboolean relayed;             /* one is to do so, when it comes to that in the executor */
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

  bs_store_operation_unref (&check->run->operation);
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
  if (g_cancellable_is_cancelled (run->operation.cancellable))
    return FALSE;

  while (run->next_key == run->keys->len)
    {
      if (run->next_shard == BS_N_SHARDS)
        return FALSE;
      g_array_set_size (run->keys, 0);
      run->next_key = 0;
      bs_tracked_path_copy_keys (run->operation.tracked, run->next_shard, run->keys);
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
    return bs_operation_error (BS_KIND_VERIFY_PATH, NULL, run->operation.tracked, G_IO_ERROR, G_IO_ERROR_CANCELLED, "it was cancelled");
  if (run->error == NULL)
    return NULL;

  why = g_strdup_printf ("%" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT " keys could not be checked; the first: %s",
                         run->n_failed, n_done, run->error->message);
  return bs_operation_error (BS_KIND_VERIFY_PATH, NULL, run->operation.tracked, run->error->domain, run->error->code, why);
}

/* Nothing of it is under way any more. */
static void
run_end (Run *run)
{
  BsStoreOperation *operation = &run->operation;
  BsVerify *verify = run->verify;
  BsDeferred deferred = { NULL, };
  g_autoptr (GError) error = NULL;
  guint64 n_done = bs_progress_get_n_done (&verify->progress);
  gboolean complete = n_done == bs_progress_get_n_total (&verify->progress);
  BsWaiter *waiters;

  if (complete)
    bs_progress_complete (&verify->progress);
  error = run_dup_error (run, n_done, complete);

  g_mutex_lock (&verify->mutex);
  verify->running = FALSE;
  g_mutex_unlock (&verify->mutex);

  g_mutex_lock (operation->lock);
  operation->state = BS_OPERATION_DONE;
  waiters = bs_store_operation_steal_callers (operation);
  bs_path_return_ticket (operation, &deferred);
  g_mutex_unlock (operation->lock);

  bs_deferred_push (&deferred);
  bs_store_operation_answer (waiters, NULL, error);
  bs_deferred_run (&deferred);
  bs_store_operation_unref (operation);
}

static void
step_aside (Run *run)
{
  BsStoreOperation *operation = &run->operation;
  BsDeferred deferred = { NULL, };

  g_mutex_lock (operation->lock);
  if (operation->ticket != 0)
    bs_path_renew_ticket (operation, &deferred);
  g_mutex_unlock (operation->lock);

  bs_deferred_run (&deferred);
}

static gpointer check_done (gpointer data, gpointer value, GError **error);

/* An answer may come before this returns, where there is nothing to check. */
static void
ask_for_check (Run *run, const BsKey *key)
{
  BsStoreOperation *operation = &run->operation;
  Check *check = g_new0 (Check, 1);
  BsWaiter *waiter;

  bs_store_operation_ref (operation);
  check->run = run;
  check->key = *key;
  waiter = bs_waiter_new_background (operation->store, g_atomic_int_get (&operation->priority), check_done, check, check_free);
  g_set_object (&waiter->cancellable, operation->cancellable);
  bs_waiter_set_subject (waiter, BS_KIND_VERIFY, key, operation->tracked);
  bs_key_queue_start (operation->store, BS_KIND_VERIFY, key, NULL, operation->tracked, NULL, waiter);
  bs_waiter_unref (waiter);
}

/* Asks for checks until there are enough. Called by whoever starts the run, and
 * at the end of each check, inside of which another may be feeding, or this very
 * function. Where checks end as fast as they are asked for, the executor goes on. */
static void
feed (Run *run, guint n_ended)
{
  BsVerify *verify = run->verify;
  guint n_most = bs_backing_store_get_max_threads (run->operation.store);
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
    bs_executor_submit (run->operation.executor, &run->operation);
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
  if (g_error_matches (*error, G_IO_ERROR, G_IO_ERROR_CANCELLED) && g_cancellable_is_cancelled (run->operation.cancellable))
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
  BsBackingStore *store = run->operation.store;
  guint64 n_total = 0;

  for (guint i = 0; i < BS_N_SHARDS; i++)
    {
      g_mutex_lock (&store->shards[i].mutex);
      run->expected[i] = run->operation.tracked->shards[i].members.n_keys;
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
run_run (BsStoreOperation *operation)
{
  Run *run = (Run *) operation;
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
run_drop (BsStoreOperation *operation, BsDeferred *deferred)
{
  BsVerify *verify = ((Run *) operation)->verify;

  g_mutex_lock (&verify->mutex);
  verify->running = FALSE;
  g_mutex_unlock (&verify->mutex);
  bs_path_return_ticket (operation, deferred);
  bs_deferred_add_dropped (deferred, operation);
}

static void
run_free (BsStoreOperation *operation)
{
  Run *run = (Run *) operation;

  g_array_unref (run->keys);
  g_clear_error (&run->error);
  g_object_unref (run->verify);
}

static const BsStoreOperationClass run_class = {
  .run = run_run,
  .drop = run_drop,
  .free = run_free,
};

static BsStoreOperation *
run_new (BsVerify *verify, BsWaiter *waiter)
{
  Run *run = g_new0 (Run, 1);
  BsBackingStore *store = verify->store;
  /* It is long: not at the priority of a call that somebody is blocked in. */
  int priority = waiter->blocking ? G_PRIORITY_DEFAULT : waiter->priority;

  bs_store_operation_init (&run->operation, &run_class, BS_KIND_VERIFY_PATH, store, store->backing_executor, &store->operations_mutex, verify->tracked, priority);
  bs_store_operation_hold (&run->operation);
  run->operation.state = BS_OPERATION_READY;
  run->operation.resumes = TRUE;
  run->verify = g_object_ref (verify);
  run->keys = g_array_new (FALSE, FALSE, sizeof (BsKey));

  return &run->operation;
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
start_admitted (BsVerify *self, BsWaiter *waiter)
{
  gboolean left, joined;
  BsStoreOperation *operation;

  if (!begin (self))
    {
      bs_waiter_answer (waiter, NULL, bs_operation_error (BS_KIND_VERIFY_PATH, NULL, self->tracked, BS_ERROR, BS_ERROR_BUSY, "it is running"));
      return;
    }

  operation = run_new (self, waiter);
  waiter->lock = operation->lock;
  bs_waiter_connect (waiter, bs_store_operation_leave, NULL);

  g_mutex_lock (operation->lock);
  left = waiter->left;
  joined = !left && bs_path_take_ticket (operation, FALSE);
  if (joined)
    bs_store_operation_join (bs_store_operation_ref (operation), waiter);
  g_mutex_unlock (operation->lock);

  if (joined)
    {
      /* What it does itself is short, and calls nobody. */
      bs_store_operation_run (operation, waiter->blocking ? waiter : NULL);
    }
  else
    {
      g_mutex_lock (&self->mutex);
      self->running = FALSE;
      g_mutex_unlock (&self->mutex);
      bs_waiter_answer (waiter, NULL,
                        left ? bs_operation_error (BS_KIND_VERIFY_PATH, NULL, self->tracked, G_IO_ERROR, G_IO_ERROR_CANCELLED, "it was cancelled")
                             : bs_operation_error (BS_KIND_VERIFY_PATH, NULL, self->tracked, BS_ERROR, BS_ERROR_CLOSED, "the tracked path is closed"));
    }
  bs_store_operation_unref (operation);
}

void
bs_verify_start (BsVerify *self, BsWaiter *waiter)
{
  if (!bs_backing_store_admit (self->store, waiter, BS_KIND_VERIFY_PATH, NULL, self->tracked))
    return;

  start_admitted (self, waiter);
  bs_backing_store_admitted (self->store);
}
