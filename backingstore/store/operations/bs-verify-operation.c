/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-verify-operation-private.h"

#include "base/bs-backing-private.h"
#include "store/operations/bs-batch-private.h"
#include "store/operations/bs-store-private.h"

#include <glib/gi18n-lib.h>
#include <inttypes.h>

/* The check of every blob of a path: a batch of operations on its keys. */

typedef struct
{
  BsStoreOperation operation;

  /* constant */
  BsVerifyRun run;
  BsMembers *members; /* of the tracked path */

  /* by the thread that feeds the batch */
  BsBatch batch;
  GArray *keys; /* owned; of BsKey: those of the current shard */
  guint next_key;
  guint next_shard;
  guint64 expected[BS_N_SHARDS]; /* keys that n_total counts for a shard that is to come */

  BsKey key;      /* of the last request */
  gboolean begun; /* the keys were counted */

  GMutex mutex;

  /* under the mutex */
  guint64 n_failed;
  GError *error; /* owned; of the first that failed */
} VerifyOperation;

/* The path may have more keys in a shard, or fewer, than when the run began. */
static void
correct_total (VerifyOperation *self, guint shard)
{
  if (self->keys->len != self->expected[shard])
    bs_progress_add_total (self->run.progress,
                           (gint64) self->keys->len - (gint64) self->expected[shard]);
}

static gboolean
verify_next (BsBatch *batch, BsRequest *request, guint64 *item)
{
  VerifyOperation *self = (VerifyOperation *) batch->operation;

  if (g_cancellable_is_cancelled (self->operation.cancellable))
    return FALSE;

  while (self->next_key == self->keys->len)
    {
      if (self->next_shard == BS_N_SHARDS)
        return FALSE;
      g_array_set_size (self->keys, 0);
      self->next_key = 0;
      bs_members_copy_keys (self->members, self->next_shard, BS_MEMBER_PRESENT, self->keys);
      correct_total (self, self->next_shard++);
    }

  self->key = g_array_index (self->keys, BsKey, self->next_key++);
  *request = (BsRequest){
    .kind = BS_KIND_VERIFY, .internal = TRUE, .tracked = self->operation.tracked, .key = &self->key
  };
  *item = 0;
  return TRUE;
}

static void
note_failed (VerifyOperation *self, const GError *error)
{
  g_mutex_lock (&self->mutex);
  if (self->n_failed++ == 0)
    self->error = g_error_copy (error);
  g_mutex_unlock (&self->mutex);
}

static gboolean
verify_done (BsBatch *batch,
             guint64 item,
             const BsKey *key,
             gpointer value,
             const GError *error,
             BsRequest *request)
{
  VerifyOperation *self = (VerifyOperation *) batch->operation;

  /* A cancelled check leaves the key undone. */
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED) &&
      g_cancellable_is_cancelled (self->operation.cancellable))
    return FALSE;

  if (g_error_matches (error, BS_ERROR, BS_ERROR_CORRUPT) ||
      g_error_matches (error, BS_ERROR, BS_ERROR_NOT_FOUND))
    self->run.found_bad (self->run.data, key);
  else if (error != NULL)
    note_failed (self, error);
  bs_progress_add_done (self->run.progress, 1);

  return FALSE;
}

static GError *
dup_error (VerifyOperation *self, guint64 n_done, gboolean complete)
{
  GFile *file = bs_tracked_path_peek_file (self->operation.tracked);
  g_autofree char *why = NULL;

  if (!complete)
    return bs_operation_error (BS_KIND_VERIFY_PATH, NULL, file, G_IO_ERROR, G_IO_ERROR_CANCELLED,
                               _ ("it was cancelled"));
  if (self->error == NULL)
    return NULL;

  why = g_strdup_printf (_ ("%" PRIu64 " of %" PRIu64 " keys could not be checked; the first: %s"),
                         self->n_failed, n_done, self->error->message);
  return bs_operation_error (BS_KIND_VERIFY_PATH, NULL, file, self->error->domain,
                             self->error->code, why);
}

static void
verify_end (BsBatch *batch)
{
  VerifyOperation *self = (VerifyOperation *) batch->operation;
  BsProgress *progress = self->run.progress;
  guint64 n_done = bs_progress_get_n_done (progress);
  gboolean complete = n_done == bs_progress_get_n_total (progress);
  g_autoptr (GError) error = NULL;

  if (complete)
    bs_progress_complete (progress);
  error = dup_error (self, n_done, complete);
  self->run.ended (self->run.data);
  self->run.ended = NULL;
  bs_batch_end_operation (batch, NULL, error);
}

/* Checks end as fast as they are asked for: the executor goes on. */
static void
verify_relay (BsBatch *batch)
{
  bs_store_operation_submit (bs_store_operation_ref (batch->operation));
}

/* Syncs that were asked since do not wait for the whole of the run. */
static void
verify_fed (BsBatch *batch)
{
  BsStoreOperation *operation = batch->operation;
  BsDeferred deferred = { NULL };

  g_mutex_lock (operation->lock);
  if (operation->ticket != 0)
    bs_path_renew_ticket (operation->tracked->path, operation, &deferred);
  g_mutex_unlock (operation->lock);

  bs_deferred_run (&deferred);
}

static const BsBatchClass batch_class = {
  .next = verify_next,
  .done = verify_done,
  .end = verify_end,
  .relay = verify_relay,
  .fed = verify_fed,
};

static void
count_keys (VerifyOperation *self)
{
  BsBackingStore *store = self->operation.store;
  guint64 n_total = 0;

  for (guint i = 0; i < BS_N_SHARDS; i++)
    {
      g_mutex_lock (&store->shards[i].mutex);
      self->expected[i] = self->members->shards[i].n_flagged[0];
      g_mutex_unlock (&store->shards[i].mutex);
      n_total += self->expected[i];
    }

  bs_progress_add_total (self->run.progress, n_total);
  if (!bs_backing_implements (store->backing, BS_OPERATION_VERIFY_PERSISTED))
    {
      /* Nothing is to be checked. */
      bs_progress_add_done (self->run.progress, n_total);
      self->next_shard = BS_N_SHARDS;
    }
}

static void
verify_operation_run (BsStoreOperation *operation)
{
  VerifyOperation *self = (VerifyOperation *) operation;

  if (!self->begun)
    {
      self->begun = TRUE;
      count_keys (self);
      bs_batch_begin (&self->batch, g_atomic_int_get (&operation->store->max_threads),
                      operation->cancellable);
    }
  bs_batch_feed (&self->batch);
  bs_store_operation_unref (operation);
}

void
bs_verify_run_clear (BsVerifyRun *run)
{
  if (run->ended != NULL)
    run->ended (run->data);
  run->free (run->data);
}

static void
verify_operation_free (BsStoreOperation *operation)
{
  VerifyOperation *self = (VerifyOperation *) operation;

  bs_batch_clear (&self->batch);
  g_array_unref (self->keys);
  g_clear_error (&self->error);
  g_mutex_clear (&self->mutex);
  bs_verify_run_clear (&self->run);
}

static BsAsked
verify_operation_enqueue (BsStoreOperation *operation, BsWaiter *waiter, BsDeferred *deferred)
{
  BsTrackedPath *tracked = operation->tracked;

  if (!bs_path_take_ticket (tracked->path, &tracked->members, operation, FALSE))
    return bs_asked (BS_ASKED_CLOSED, NULL);

  bs_store_operation_join (operation, waiter);
  operation->state = BS_OPERATION_READY;
  /* The operation's own work is short, and calls no function. */
  bs_store_operation_begin (operation, waiter->blocking ? waiter : NULL);
  return bs_asked (BS_ASKED_RUNS, bs_store_operation_ref (operation));
}

static const BsStoreOperationClass verify_operation_class = {
  .enqueue = verify_operation_enqueue,
  .run = verify_operation_run,
  .drop = bs_batch_drop_operation,
  .free = verify_operation_free,
};

BsStoreOperation *
bs_verify_operation_new (BsBackingStore *store, const BsRequest *request, BsWaiter *waiter)
{
  VerifyOperation *self = g_new0 (VerifyOperation, 1);
  BsTrackedPath *tracked = request->tracked;
  /* A run is long: a blocking call gives it no better priority. */
  int priority = waiter->blocking ? G_PRIORITY_DEFAULT : waiter->priority;

  bs_store_operation_init (&self->operation, &verify_operation_class, BS_KIND_VERIFY_PATH, store,
                           store->count, store->backing_executor, &store->operations_mutex, tracked,
                           priority);
  bs_store_operation_hold (&self->operation);
  self->operation.resumes = TRUE;
  self->run = *request->run;
  self->members = &tracked->members;
  self->keys = g_array_new (FALSE, FALSE, sizeof (BsKey));
  g_mutex_init (&self->mutex);
  bs_batch_init (&self->batch, &batch_class, &self->operation);
  self->run.begun (self->run.data);

  return &self->operation;
}
