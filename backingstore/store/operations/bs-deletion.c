/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-deletion-private.h"

#include "store/operations/bs-key-operation-private.h"

/* Deletes the keys whose last holders have gone. A thread that drops a token puts it
 * among the dropped ones of its shard, and a deletion goes from shard to shard: an item
 * costs no operation, and a garbage collector that drops thousands is not held up.
 *
 * A deletion pauses before it begins, and leaves a shard to the next one where tokens are
 * being dropped. Otherwise both threads wait for each other's cache lines, and for the
 * shard's mutex. A pause takes no place in the executor, and ends when something waits for
 * the end of all operations. While a close releases the paths and the backing no deletion
 * begins: the store may open again.
 *
 * At most one deletion is expected: it has not begun. The first token of a shard sees to
 * one, and so does a deletion that calls the backing while tokens are left. The call may
 * take long, and then the next deletion goes on with them. */

/* The longest pause, in pauses of the store. A deletion whose call takes longer than one is
 * not waited for by the next deletion. */
#define MOST_PAUSES 16

/* How often a shard may be left to the next deletion, until one empties it. */
#define MOST_LEFT 16

/* The most keys whose queues a deletion takes together. */
#define MOST_AT_ONCE 32

typedef struct
{
  BsStoreOperation operation;
  gint64 latest; /* constant: the end of the pause */

  /* by the running thread */
  gboolean has_begun;
  guint next_shard;
  guint n_most; /* keys of a chunk */
} Deletion;

typedef struct
{
  BsShard *shard;
  guint n;
  guint n_called;
  BsKeyOperation parts[MOST_AT_ONCE];
  GError *errors[MOST_AT_ONCE]; /* owned */
} Chunk;

static void deletion_run (BsStoreOperation *operation);

static const BsStoreOperationClass deletion_class = {
  .run = deletion_run,
};

static void
postpone_next (BsBackingStore *store, gint64 now)
{
  __atomic_store_n (&store->deletion_due, now + store->deletion_pause, __ATOMIC_RELAXED);
}

static int
get_most (BsBackingStore *store)
{
  return bs_executor_is_context (store->backing_executor) ? 1
                                                          : g_atomic_int_get (&store->max_threads);
}

/* Where as many have begun as may, each looks at all shards once more when it has ended. */
void
bs_deletion_expect (BsBackingStore *store, BsDeferred *deferred)
{
  BsStoreOperation *operation;
  gint64 now;

  if (g_atomic_int_get (&store->n_deletions) >= get_most (store) ||
      !g_atomic_int_compare_and_exchange (&store->is_deletion_expected, FALSE, TRUE))
    {
      bs_executor_remind (store->backing_executor);
      return;
    }

  now = g_get_monotonic_time ();
  postpone_next (store, now);
  operation = (BsStoreOperation *) g_new0 (Deletion, 1);
  ((Deletion *) operation)->latest = now + MOST_PAUSES * store->deletion_pause;
  ((Deletion *) operation)->n_most = 1;
  bs_store_operation_init (operation, &deletion_class, BS_KIND_DROP_TOKENS, store, store->count,
                           store->backing_executor, &store->operations_mutex, NULL, G_PRIORITY_LOW);
  operation->unattended = TRUE;
  operation->counted = TRUE;
  operation->resumes = TRUE;
  operation->stripe = bs_task_count_begin (store->count);
  bs_deferred_add_ready (deferred, operation);
}

static gint64
get_due (Deletion *self)
{
  return MIN (__atomic_load_n (&self->operation.store->deletion_due, __ATOMIC_RELAXED),
              self->latest);
}

static gboolean
is_awaited (Deletion *self)
{
  return g_atomic_int_get (&self->operation.count->n_awaiting) > 0;
}

static BsState
get_state (Deletion *self)
{
  return g_atomic_int_get (&self->operation.store->state);
}

/* The thread of a context may be the one that closes. */
static gboolean
is_held_up (Deletion *self)
{
  return get_state (self) == BS_STATE_RELEASING &&
         !bs_executor_is_context (self->operation.executor);
}

static gboolean
is_due (Deletion *self)
{
  if (is_held_up (self))
    return FALSE;
  if (bs_executor_is_context (self->operation.executor) ||
      g_get_monotonic_time () >= get_due (self))
    return TRUE;

  return is_awaited (self) && g_atomic_int_get (&self->operation.store->n_deletions) == 0;
}

/* Others have the place in the executor meanwhile. The end of a close tells all. */
static void
pause_until_due (Deletion *self)
{
  BsTaskCount *count = self->operation.count;

  bs_executor_lend (self->operation.executor, 1);
  g_mutex_lock (&count->mutex);
  while (!is_due (self))
    if (is_held_up (self))
      g_cond_wait (&count->hurry_cond, &count->mutex);
    else
      g_cond_wait_until (&count->hurry_cond, &count->mutex, get_due (self));
  g_mutex_unlock (&count->mutex);
  bs_executor_lend (self->operation.executor, -1);
}

/* A token that is dropped from now on expects another deletion. */
static void
begin (Deletion *self)
{
  BsBackingStore *store = self->operation.store;

  self->has_begun = TRUE;
  g_atomic_int_inc (&store->n_deletions);
  g_atomic_int_set (&store->is_deletion_expected, FALSE);
}

static gboolean
has_dropped (BsShard *shard)
{
  return g_atomic_pointer_get (&shard->dropped) != NULL;
}

/* Expects another deletion if there is something for it. */
static void
look_again (BsBackingStore *store)
{
  BsDeferred deferred = { NULL };

  for (guint i = 0; i < BS_N_SHARDS; i++)
    if (has_dropped (&store->shards[i]))
      {
        bs_deletion_expect (store, &deferred);
        bs_deferred_run (&deferred);
        return;
      }
}

static void
end (Deletion *self)
{
  BsStoreOperation *operation = &self->operation;

  g_atomic_int_add (&operation->store->n_deletions, -1);
  look_again (operation->store);
  if (g_atomic_int_get (&operation->count->n_awaiting) > 0)
    bs_task_count_hurry (operation->count);

  /* The references of the run and of the count. */
  bs_store_operation_unref (operation);
  bs_store_operation_unref (operation);
}

/* Takes the queue of a dropped key, if the backing has to delete it. Under the shard's
 * mutex. */
static void
take_key (Deletion *self, BsToken *token, Chunk *chunk)
{
  BsBackingStore *store = self->operation.store;
  guint64 hash = bs_key_hash (&token->key);
  BsKeyOperation *last;

  if (token->n_holders > 0)
    return;

  last = bs_key_queue_find_last (chunk->shard, &token->key, hash);
  if (last != NULL)
    /* The end of that operation drops the token again. */
    last->token = token;
  else if (token->primary == BS_PRIMARY_ABSENT || get_state (self) >= BS_STATE_RELEASING)
    bs_shard_remove (chunk->shard, token, hash);
  else
    bs_key_operation_init_part (&chunk->parts[chunk->n++], store, BS_KIND_DELETE, &token->key, hash,
                                token, NULL);
}

/* Whether tokens were dropped there since a deletion has looked: the thread that drops them
 * would wait for this one. Under the shard's mutex. */
static gboolean
is_busy (Deletion *self, BsShard *shard)
{
  return shard->dropped != shard->seen && shard->n_left < MOST_LEFT && !is_awaited (self) &&
         !bs_executor_is_context (self->operation.executor);
}

static void
take_keys_of_shard (Deletion *self, Chunk *chunk)
{
  BsShard *shard = chunk->shard;
  gboolean leaves;

  g_mutex_lock (&shard->mutex);
  leaves = is_busy (self, shard);
  while (!leaves && shard->dropped != NULL && chunk->n < self->n_most)
    take_key (self, bs_shard_take_dropped (shard), chunk);
  shard->seen = shard->dropped;
  if (leaves)
    shard->n_left++;
  else if (shard->dropped == NULL)
    shard->n_left = 0;
  if (leaves || shard->dropped == NULL)
    self->next_shard++;
  g_mutex_unlock (&shard->mutex);
}

/* FALSE after the last shard. */
static gboolean
take_chunk (Deletion *self, Chunk *chunk)
{
  chunk->n = 0;
  while (chunk->n == 0 && self->next_shard < BS_N_SHARDS)
    {
      chunk->shard = &self->operation.store->shards[self->next_shard];
      if (has_dropped (chunk->shard))
        take_keys_of_shard (self, chunk);
      else
        self->next_shard++;
    }

  return chunk->n > 0;
}

/* Once calls turn out to be slow, the other keys are let go. */
static void
call_backing (Deletion *self, Chunk *chunk)
{
  BsBackingStore *store = self->operation.store;
  gint64 start = g_get_monotonic_time ();

  look_again (store);
  chunk->n_called = 0;
  do
    {
      guint i = chunk->n_called++;

      chunk->errors[i] = NULL;
      bs_key_operation_call (&chunk->parts[i], NULL, &chunk->errors[i]);
    }
  while (chunk->n_called < chunk->n && g_get_monotonic_time () - start <= store->deletion_pause);
}

static void
end_chunk (Deletion *self, Chunk *chunk)
{
  BsDeferred deferred = { NULL };

  /* No waiter asks for a deletion. */
  g_mutex_lock (&chunk->shard->mutex);
  for (guint i = 0; i < chunk->n_called; i++)
    bs_key_operation_end (&chunk->parts[i], TRUE, 0, FALSE, chunk->errors[i], &deferred);
  /* A token that has no holder yet is dropped again. */
  for (guint i = chunk->n_called; i < chunk->n; i++)
    bs_key_operation_end (&chunk->parts[i], FALSE, 0, FALSE, NULL, &deferred);
  g_mutex_unlock (&chunk->shard->mutex);

  for (guint i = 0; i < chunk->n_called; i++)
    if (chunk->errors[i] != NULL)
      bs_store_report (self->operation.store, &chunk->parts[i].key, BS_OPERATION_DELETE_KEY,
                       chunk->errors[i]);
  bs_deferred_run (&deferred);
}

/* An operation on one of a chunk's keys may wait for all calls of the chunk: there is more
 * than one only where calls were quick. */
static void
adapt (Deletion *self, gint64 taken)
{
  gint64 pause = self->operation.store->deletion_pause;

  if (taken > pause || bs_executor_is_context (self->operation.executor))
    self->n_most = 1;
  else if (taken < pause / 8)
    self->n_most = MIN (2 * self->n_most, MOST_AT_ONCE);
}

static void
deletion_run (BsStoreOperation *operation)
{
  Deletion *self = (Deletion *) operation;
  gint64 start, now;
  Chunk chunk;

  if (!self->has_begun && !is_due (self))
    {
      pause_until_due (self);
      bs_store_operation_submit (operation);
      return;
    }
  if (!self->has_begun)
    begin (self);

  start = now = g_get_monotonic_time ();
  while (take_chunk (self, &chunk))
    {
      gint64 before = now;

      call_backing (self, &chunk);
      end_chunk (self, &chunk);

      now = g_get_monotonic_time ();
      postpone_next (operation->store, now);
      adapt (self, now - before);
      /* Other operations get their turn in the executor. */
      if (now - start > operation->store->deletion_pause ||
          bs_executor_is_context (operation->executor))
        {
          bs_store_operation_submit (operation);
          return;
        }
    }
  end (self);
}
