/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-deletion-private.h"

#include "store/operations/bs-key-operation-private.h"

/* Deletes the keys whose last holders have gone. A thread that drops a token puts it
 * among the dropped ones of its shard, and a deletion goes from shard to shard until
 * none is left: an item costs no operation, and a garbage collector that drops thousands
 * is not held up.
 *
 * A deletion that is inside a call of the backing may be there for long. So a thread
 * that drops a token while every deletion is inside a call starts one more, as long as
 * there are threads for them. */

/* The number of keys that a deletion takes before others get their turn. */
#define MOST_AT_ONCE 64

typedef struct
{
  BsStoreOperation operation;

  /* by the running thread */
  guint next_shard;
  BsKeyOperation part;
} Deletion;

static void deletion_run (BsStoreOperation *operation);

static const BsStoreOperationClass deletion_class = {
  .run = deletion_run,
};

static int
get_most (BsBackingStore *store)
{
  return bs_executor_is_context (store->backing_executor) ? 1
                                                          : g_atomic_int_get (&store->max_threads);
}

/* Counts one deletion more, unless a deletion is about to look at all shards. */
static gboolean
count_one_more (BsBackingStore *store)
{
  int n_deletions = g_atomic_int_get (&store->n_deletions);

  while (n_deletions == g_atomic_int_get (&store->n_deletions_calling) &&
         n_deletions < get_most (store))
    {
      if (g_atomic_int_compare_and_exchange (&store->n_deletions, n_deletions, n_deletions + 1))
        return TRUE;
      n_deletions = g_atomic_int_get (&store->n_deletions);
    }

  return FALSE;
}

void
bs_deletion_expect (BsBackingStore *store, BsDeferred *deferred)
{
  BsStoreOperation *operation;

  if (!count_one_more (store))
    {
      bs_executor_remind (store->backing_executor);
      return;
    }

  operation = (BsStoreOperation *) g_new0 (Deletion, 1);
  bs_store_operation_init (operation, &deletion_class, BS_KIND_DROP_TOKENS, store, store->count,
                           store->backing_executor, &store->operations_mutex, NULL, G_PRIORITY_LOW);
  operation->unattended = TRUE;
  operation->counted = TRUE;
  operation->resumes = TRUE;
  operation->stripe = bs_task_count_begin (store->count);
  bs_deferred_add_ready (deferred, operation);
}

static gboolean
has_dropped (BsShard *shard)
{
  return g_atomic_pointer_get (&shard->dropped) != NULL;
}

/* Takes the queue of a dropped key, if the backing has to delete it. Under the shard's
 * mutex. */
static gboolean
take_key (Deletion *self, BsShard *shard, BsToken *token)
{
  BsBackingStore *store = self->operation.store;
  guint64 hash = bs_key_hash (&token->key);
  BsKeyOperation *last;

  if (token->n_holders > 0)
    return FALSE;

  last = bs_key_queue_find_last (shard, &token->key, hash);
  if (last != NULL)
    {
      /* The end of that operation drops the token again. */
      last->token = token;
      return FALSE;
    }
  if (token->primary == BS_PRIMARY_ABSENT || g_atomic_int_get (&store->state) == BS_STATE_CLOSED)
    {
      bs_shard_remove (shard, token, hash);
      return FALSE;
    }

  bs_key_operation_init_part (&self->part, store, BS_KIND_DELETE, &token->key, hash, token, NULL);
  return TRUE;
}

static gboolean
take_key_of_shard (Deletion *self, BsShard *shard)
{
  gboolean is_taken = FALSE;

  g_mutex_lock (&shard->mutex);
  while (shard->dropped != NULL && !is_taken)
    is_taken = take_key (self, shard, bs_shard_take_dropped (shard));
  g_mutex_unlock (&shard->mutex);

  return is_taken;
}

static gboolean
take_next_key (Deletion *self)
{
  for (guint i = 0; i < BS_N_SHARDS; i++)
    {
      BsShard *shard = &self->operation.store->shards[self->next_shard];

      if (has_dropped (shard) && take_key_of_shard (self, shard))
        return TRUE;
      self->next_shard = (self->next_shard + 1) % BS_N_SHARDS;
    }

  return FALSE;
}

/* Gives a thread that drops one token after the other a moment for the next: to make another
 * deletion and to wake a worker for it costs that thread more than most drops. */
static gboolean
wait_for_next_key (Deletion *self)
{
  if (bs_executor_is_context (self->operation.executor))
    return FALSE;

  g_thread_yield ();
  return take_next_key (self);
}

static void
delete_key (Deletion *self)
{
  BsBackingStore *store = self->operation.store;
  BsShard *shard = self->part.shard;
  BsDeferred deferred = { NULL };
  GError *error = NULL;

  g_atomic_int_inc (&store->n_deletions_calling);
  bs_key_operation_call (&self->part, NULL, &error);
  g_atomic_int_add (&store->n_deletions_calling, -1);

  /* No waiter asks for a deletion. */
  g_mutex_lock (&shard->mutex);
  bs_key_operation_end (&self->part, TRUE, 0, FALSE, error, &deferred);
  g_mutex_unlock (&shard->mutex);

  if (error != NULL)
    bs_store_report (store, &self->part.key, BS_OPERATION_DELETE_KEY, error);
  bs_deferred_run (&deferred);
}

/* A thread that drops a token counts on a deletion that is not inside a call: after it
 * has stopped counting, the deletion looks at all shards once more. */
static gboolean
may_end (BsBackingStore *store)
{
  g_atomic_int_add (&store->n_deletions, -1);
  for (guint i = 0; i < BS_N_SHARDS; i++)
    if (has_dropped (&store->shards[i]))
      return !count_one_more (store);

  return TRUE;
}

static void
deletion_run (BsStoreOperation *operation)
{
  Deletion *self = (Deletion *) operation;
  guint n_left = bs_executor_is_context (operation->executor) ? 1 : MOST_AT_ONCE;

  for (; n_left > 0; n_left--)
    if (take_next_key (self) || wait_for_next_key (self))
      {
        delete_key (self);
      }
    else if (may_end (operation->store))
      {
        /* The references of the run and of the count. */
        bs_store_operation_unref (operation);
        bs_store_operation_unref (operation);
        return;
      }

  bs_store_operation_submit (operation);
}
