/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store/operations/bs-bulk-private.h"

#include <string.h>

#include "base/bs-backing-private.h"
#include "base/bs-key-set-private.h"
#include "store/queues/bs-path-private.h"
#include "store/queues/bs-key-queue-private.h"

/* A bulk goes shard by shard, a chunk of keys at a time: it takes those whose
 * queues are idle, makes one backing call for them, and lets them go. What is
 * asked of a busy key is queued on its queue like any other operation, and
 * the bulk ends when the last of those has. So it never holds one queue while
 * it waits for another. Between chunks others get their turn in the executor. */

#define CHUNK 256
#define CHUNK_SHIFT 20

/* Stands at the head of a key's queue during one chunk's call. */
typedef struct
{
  BsStoreOperation operation;
  BsToken *token;
  guint64 hash;
  BsWaiter *waiters;      /* who joined it */
  GError *error;          /* owned */
} Part;

typedef struct
{
  BsStoreOperation operation;

  /* constant once started */
  BsOperationKind what;         /* on each key: REGISTER, DELETE_PERSISTED or DELETE */
  gboolean doomed;        /* DELETE_PERSISTED: what a save has doomed */
  guint64 n_total;

  /* by the running thread */
  BsKeyTable source;      /* DELETE_PERSISTED: which keys, unless they are those that are doomed */
  BsKeyTableIter iter;
  GArray *keys;           /* what comes from the path: those of the current shard */
  guint next_key;
  guint next_shard;
  BsToken **tokens;  /* DELETE: whose tokens to drop; owned */
  gsize n_tokens;
  gsize next_token;
  Part *parts;            /* owned; CHUNK of them */
  BsKey chunk[CHUNK];
  BsKey pending;          /* read from the source, belongs to the next chunk */
  gboolean has_pending;
  BsKey pinned;           /* DELETE_PERSISTED: the last one that a save has pinned */
  gboolean has_pinned;

  int n_open;             /* atomic: what is queued on queues, and one for the running thread */

  GMutex mutex;
  GPtrArray *registered;  /* REGISTER: owned, of BsToken; under the mutex */
  guint64 n_done;         /* under the mutex */
  GError *error;          /* owned; the first one; under the mutex */
} Bulk;

static void
note_error (Bulk *self, const GError *error)
{
  g_mutex_lock (&self->mutex);
  if (self->error == NULL)
    self->error = g_error_copy (error);
  g_mutex_unlock (&self->mutex);
}

static void
note_done_locked (Bulk *self, BsToken *token)
{
  self->n_done++;
  if (token != NULL)
    g_ptr_array_add (self->registered, token);
}

static void
note_done (Bulk *self, BsToken *token)
{
  g_mutex_lock (&self->mutex);
  note_done_locked (self, token);
  g_mutex_unlock (&self->mutex);
}

/* The next keys, all of one shard. */
static guint
feed_from_source (Bulk *self)
{
  guint shard = 0, n = 0;
  const BsKey *key;

  if (self->has_pending)
    {
      self->chunk[n++] = self->pending;
      shard = bs_shard_index (bs_key_hash (&self->pending));
      self->has_pending = FALSE;
    }
  while (n < CHUNK && bs_key_table_iter_next (&self->source, &self->iter, &key))
    {
      guint key_shard = bs_shard_index (bs_key_hash (key));

      if (n > 0 && key_shard != shard)
        {
          self->pending = *key;
          self->has_pending = TRUE;
          break;
        }
      shard = key_shard;
      self->chunk[n++] = *key;
    }

  return n;
}

static guint
feed_from_path (Bulk *self)
{
  guint n;

  while (self->next_key == self->keys->len)
    {
      if (self->next_shard == BS_N_SHARDS)
        return 0;
      g_array_set_size (self->keys, 0);
      self->next_key = 0;
      if (self->doomed)
        bs_tracked_path_copy_doomed (self->operation.tracked, self->next_shard++, self->keys);
      else
        bs_tracked_path_copy_keys (self->operation.tracked, self->next_shard++, self->keys);
    }

  n = MIN (CHUNK, self->keys->len - self->next_key);
  memcpy (self->chunk, &g_array_index (self->keys, BsKey, self->next_key), n * sizeof (BsKey));
  self->next_key += n;

  return n;
}

static Part *
take_strand (Bulk *self, guint n_parts, BsShard *shard, BsToken *token, guint64 hash)
{
  Part *part = &self->parts[n_parts];

  memset (part, 0, sizeof *part);
  part->operation.embedded = TRUE;
  part->operation.unattended = TRUE;
  bs_store_operation_init (&part->operation, NULL, self->what, self->operation.store, self->operation.executor, &shard->mutex, self->operation.tracked, 0);
  part->operation.state = BS_OPERATION_RUNNING;
  part->token = token;
  part->hash = hash;
  bs_key_queue_stand (shard, token, &part->operation);

  return part;
}

/* Takes the queues that are idle; moves the keys of the others to the front of
 * the chunk, and says how many they are. */
static guint
take_chunk (Bulk *self, BsShard *shard, guint n_keys, guint *n_parts)
{
  guint n_busy = 0;

  *n_parts = 0;

  bs_key_queue_lock (shard);
  for (guint i = 0; i < n_keys; i++)
    {
      BsKey key = self->chunk[i];
      guint64 hash = bs_key_hash (&key);
      BsToken *token = bs_shard_lookup (shard, &key, hash);

      if (self->doomed && !bs_tracked_path_is_doomed (self->operation.tracked, &key, hash))
        continue;
      if (self->what == BS_KIND_DELETE_PERSISTED && bs_tracked_path_is_pinned (self->operation.tracked, &key, hash))
        {
          self->pinned = key;
          self->has_pinned = TRUE;
          continue;
        }
      if (token != NULL && token->last_operation != NULL)
        {
          self->chunk[n_busy++] = key;
          continue;
        }

      switch (bs_key_queue_need (self->what, token, self->operation.tracked, &key, hash))
        {
        case BS_NEED_NOTHING:
          if (self->what == BS_KIND_REGISTER)
            token->n_holders++;
          note_done (self, self->what == BS_KIND_REGISTER ? token : NULL);
          break;
        case BS_NEED_MISSING:
          /* It went since the bulk was asked. */
          break;
        case BS_NEED_CALL:
          if (token == NULL)
            token = bs_shard_insert (shard, &key, hash);
          take_strand (self, (*n_parts)++, shard, token, hash);
          break;
        }
    }
  g_mutex_unlock (&shard->mutex);

  if (self->has_pinned)
    {
      g_autoptr (GError) error = bs_key_queue_pinned_error (&self->pinned, self->operation.tracked);

      note_error (self, error);
      self->has_pinned = FALSE;
    }

  return n_busy;
}

/* The same for tokens to drop: those that were not the last are done with that. */
static void
take_unheld (Bulk *self, guint *n_parts)
{
  BsBackingStore *store = self->operation.store;
  guint64 hash = bs_key_hash (&self->tokens[self->next_token]->key);
  BsShard *shard = &store->shards[bs_shard_index (hash)];
  BsDeferred deferred = { NULL, };

  *n_parts = 0;

  bs_key_queue_lock (shard);
  for (guint n = 0; n < CHUNK && self->next_token < self->n_tokens; n++)
    {
      BsToken *token = self->tokens[self->next_token];

      hash = bs_key_hash (&token->key);
      if (shard != &store->shards[bs_shard_index (hash)])
        break;

      self->next_token++;
      token->n_holders--;
      if (token->n_holders == 0 && token->last_operation == NULL && token->primary != BS_PRIMARY_ABSENT &&
          g_atomic_int_get (&store->state) != BS_STATE_CLOSED)
        take_strand (self, (*n_parts)++, shard, token, hash);
      else
        bs_key_queue_settle (store, shard, token, hash, &deferred);
    }
  g_mutex_unlock (&shard->mutex);

  bs_deferred_run (&deferred);
}

static void
call_one (Bulk *self, Part *part, GCancellable *cancellable)
{
  BsBacking *backing = self->operation.store->backing;

  switch ((int) self->what)
    {
    case BS_KIND_REGISTER:
      bs_backing_invoke_register_key (backing, bs_tracked_path_get_file (self->operation.tracked), &part->token->key, cancellable, &part->error);
      break;
    case BS_KIND_DELETE_PERSISTED:
      bs_backing_invoke_delete_persisted (backing, bs_tracked_path_get_file (self->operation.tracked), &part->token->key, cancellable, &part->error);
      break;
    case BS_KIND_DELETE:
      bs_backing_invoke_delete_key (backing, &part->token->key, cancellable, &part->error);
      break;
    default:
      g_assert_not_reached ();
    }
}

static gboolean
call_all (Bulk *self, guint n_parts)
{
  g_autoptr (BsKeySet) keys = NULL;
  BsBacking *backing = self->operation.store->backing;
  BsKeyTable *table;
  GFile *file;

  if (self->what == BS_KIND_DELETE || n_parts < 2)
    return FALSE;
  if (!bs_backing_implements (backing, self->what == BS_KIND_REGISTER ? BS_OPERATION_REGISTER_KEYS : BS_OPERATION_DELETE_PERSISTED_KEYS))
    return FALSE;

  keys = bs_key_set_new ();
  table = bs_key_set_get_table (keys);
  /* Hashes that follow one another differ in the bits below only. */
  bs_key_table_init (table, CHUNK_SHIFT);
  bs_key_table_reserve (table, n_parts);
  for (guint i = 0; i < n_parts; i++)
    bs_key_table_add (table, &self->parts[i].token->key, self->parts[i].hash);

  file = bs_tracked_path_get_file (self->operation.tracked);
  if (self->what == BS_KIND_REGISTER)
    return bs_backing_register_keys (backing, file, keys, self->operation.cancellable, NULL);
  else
    return bs_backing_delete_persisted_keys (backing, file, keys, self->operation.cancellable, NULL);
}

/* A call that failed because the bulk was left is made again for those who have
 * joined it; nobody else joins it now. */
static void
call_for_joined (Bulk *self, Part *part)
{
  gboolean wanted;

  g_mutex_lock (part->operation.lock);
  wanted = part->operation.n_wanting > 0;
  part->operation.fired = !wanted;
  g_mutex_unlock (part->operation.lock);

  if (wanted)
    {
      g_clear_error (&part->error);
      call_one (self, part, NULL);
    }
}

/* One call for the chunk; where that fails, key by key, to know of each what
 * has become of it. */
static void
call_backing (Bulk *self, guint n_parts)
{
  BsCallScope scope;

  bs_call_scope_push (&scope, self->operation.store, BS_SCOPE_BACKING);
  if (!call_all (self, n_parts))
    for (guint i = 0; i < n_parts; i++)
      {
        Part *part = &self->parts[i];

        call_one (self, part, self->operation.cancellable);
        if (part->error != NULL && g_cancellable_is_cancelled (self->operation.cancellable))
          call_for_joined (self, part);
      }
  bs_call_scope_pop (&scope);
}

static void
end_part (Bulk *self, BsShard *shard, Part *part, BsDeferred *deferred)
{
  BsStoreOperation *operation = &part->operation;

  bs_key_queue_note (self->what, &part->token->key, part->hash, part->token, operation->tracked, &self->operation, part->error);
  part->waiters = bs_store_operation_steal_callers (operation);
  if (self->what == BS_KIND_REGISTER && part->error == NULL)
    {
      part->token->n_holders++;
      for (BsWaiter *waiter = part->waiters; waiter != NULL; waiter = waiter->next)
        part->token->n_holders++;
    }
  operation->state = BS_OPERATION_DONE;
  bs_path_return_key_ticket (operation, bs_shard_index (part->hash), deferred);
}

static void
end_chunk (Bulk *self, guint n_parts)
{
  BsBackingStore *store = self->operation.store;
  BsShard *shard = &store->shards[bs_shard_index (self->parts[0].hash)];
  BsDeferred deferred = { NULL, };

  g_mutex_lock (&shard->mutex);
  g_mutex_lock (&self->mutex);
  for (guint i = 0; i < n_parts; i++)
    {
      Part *part = &self->parts[i];

      end_part (self, shard, part, &deferred);
      if (self->what == BS_KIND_DELETE && part->error != NULL)
        bs_backing_store_report (store, &part->token->key, BS_OPERATION_DELETE_KEY, g_error_copy (part->error));
      if (part->error == NULL)
        note_done_locked (self, self->what == BS_KIND_REGISTER ? part->token : NULL);
      bs_key_queue_advance (store, shard, part->token, part->hash, &part->operation, &deferred);
    }
  g_mutex_unlock (&self->mutex);
  g_mutex_unlock (&shard->mutex);

  bs_deferred_push (&deferred);
  for (guint i = 0; i < n_parts; i++)
    {
      Part *part = &self->parts[i];

      bs_store_operation_answer (part->waiters, part->error == NULL && self->what == BS_KIND_REGISTER ? part->token : NULL, part->error);
      if (part->error != NULL)
        note_error (self, part->error);
      g_clear_error (&part->error);
    }
  bs_deferred_run (&deferred);
}

static void
bulk_end (Bulk *self)
{
  BsStoreOperation *operation = &self->operation;
  BsBackingStore *store = operation->store;
  BsDeferred deferred = { NULL, };
  GPtrArray *tokens = self->registered;
  BsWaiter *waiters;

  if (self->error != NULL && self->what != BS_KIND_DELETE)
    g_prefix_error (&self->error, "%" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT " keys done: ", self->n_done, self->n_total);

  g_mutex_lock (operation->lock);
  operation->state = BS_OPERATION_DONE;
  waiters = bs_store_operation_steal_callers (operation);
  bs_path_return_ticket (operation, &deferred);
  g_mutex_unlock (operation->lock);

  if (self->error != NULL && tokens != NULL)
    bs_backing_store_drop_tokens (store, (BsToken **) tokens->pdata, tokens->len);
  bs_deferred_push (&deferred);
  bs_store_operation_answer (waiters, tokens, self->error);
  bs_deferred_run (&deferred);
  bs_store_operation_unref (operation);
}

static void
bulk_close_one (Bulk *self)
{
  if (g_atomic_int_dec_and_test (&self->n_open))
    bulk_end (self);
}

/* What was queued on a busy queue is done. */
static gpointer
queued_done (gpointer data, gpointer value, GError **error)
{
  Bulk *self = data;

  if (*error == NULL)
    note_done (self, self->what == BS_KIND_REGISTER ? value : NULL);
  else if (self->what != BS_KIND_REGISTER || !g_error_matches (*error, BS_ERROR, BS_ERROR_NOT_FOUND))
    note_error (self, *error);
  g_clear_error (error);
  bulk_close_one (self);

  return NULL;
}

static void
queue_busy (Bulk *self, guint n_busy)
{
  for (guint i = 0; i < n_busy; i++)
    {
      BsWaiter *waiter = bs_waiter_new_background (self->operation.store, g_atomic_int_get (&self->operation.priority), queued_done,
                                                   bs_store_operation_ref (&self->operation), (GDestroyNotify) bs_store_operation_unref);

      g_set_object (&waiter->cancellable, self->operation.cancellable);
      bs_waiter_set_subject (waiter, self->what, &self->chunk[i], self->operation.tracked);
      waiter->doomed = self->doomed;
      g_atomic_int_inc (&self->n_open);
      bs_key_queue_start (self->operation.store, self->what, &self->chunk[i], NULL, self->operation.tracked, NULL, waiter);
      bs_waiter_unref (waiter);
    }
}

/* Does one chunk; FALSE when there is none left. */
static gboolean
bulk_step (Bulk *self)
{
  guint n_keys, n_parts, n_busy = 0;

  if (self->what == BS_KIND_DELETE)
    {
      if (self->next_token == self->n_tokens)
        return FALSE;
      take_unheld (self, &n_parts);
    }
  else
    {
      g_autoptr (GError) error = NULL;
      BsShard *shard;

      n_keys = self->keys != NULL ? feed_from_path (self) : feed_from_source (self);
      if (n_keys == 0)
        return FALSE;
      if (g_cancellable_is_cancelled (self->operation.cancellable))
        {
          error = bs_operation_error (self->operation.kind, NULL, self->operation.tracked, G_IO_ERROR, G_IO_ERROR_CANCELLED, "it was cancelled");
          note_error (self, error);
          return FALSE;
        }
      shard = &self->operation.store->shards[bs_shard_index (bs_key_hash (&self->chunk[0]))];
      n_busy = take_chunk (self, shard, n_keys, &n_parts);
    }

  if (n_parts > 0)
    {
      call_backing (self, n_parts);
      end_chunk (self, n_parts);
    }
  queue_busy (self, n_busy);

  return TRUE;
}

static void
bulk_run (BsStoreOperation *operation)
{
  Bulk *self = (Bulk *) operation;

  while (bulk_step (self))
    if (operation->runner == NULL)
      {
        bs_executor_submit (operation->executor, operation);
        return;
      }

  bulk_close_one (self);
}

static void
bulk_drop (BsStoreOperation *operation, BsDeferred *deferred)
{
  bs_path_return_ticket (operation, deferred);
  bs_deferred_add_dropped (deferred, operation);
}

static void
bulk_free (BsStoreOperation *operation)
{
  Bulk *self = (Bulk *) operation;

  bs_key_table_clear (&self->source);
  g_clear_pointer (&self->keys, g_array_unref);
  g_free (self->tokens);
  g_free (self->parts);
  g_clear_pointer (&self->registered, g_ptr_array_unref);
  g_clear_error (&self->error);
  g_mutex_clear (&self->mutex);
}

static const BsStoreOperationClass bulk_class = {
  .run = bulk_run,
  .drop = bulk_drop,
  .free = bulk_free,
};

static Bulk *
bulk_new (BsBackingStore *store, BsOperationKind kind, BsOperationKind what, BsTrackedPath *tracked, int priority)
{
  Bulk *self = g_new0 (Bulk, 1);

  bs_store_operation_init (&self->operation, &bulk_class, kind, store, store->backing_executor, &store->operations_mutex, tracked, priority);
  bs_store_operation_hold (&self->operation);
  self->operation.resumes = TRUE;
  self->operation.state = BS_OPERATION_READY;
  self->what = what;
  self->parts = g_new (Part, CHUNK);
  self->n_open = 1;
  g_mutex_init (&self->mutex);
  bs_key_table_init (&self->source, 0);

  return self;
}

static void
bulk_start (Bulk *self, BsWaiter *waiter)
{
  BsStoreOperation *operation = &self->operation;
  gboolean joined, left;

  waiter->lock = operation->lock;
  bs_waiter_connect (waiter, bs_store_operation_leave, NULL);

  g_mutex_lock (operation->lock);
  left = waiter->left;
  joined = !left && bs_path_take_ticket (operation, waiter->inner);
  if (joined)
    bs_store_operation_join (bs_store_operation_ref (operation), waiter);
  g_mutex_unlock (operation->lock);

  if (joined)
    {
      bs_store_operation_start (operation, waiter);
      return;
    }

  if (left)
    bs_waiter_answer (waiter, NULL, bs_operation_error (operation->kind, NULL, operation->tracked, G_IO_ERROR, G_IO_ERROR_CANCELLED, "it was cancelled"));
  else
    bs_waiter_answer (waiter, NULL, bs_operation_error (operation->kind, NULL, operation->tracked, BS_ERROR, BS_ERROR_CLOSED, "the tracked path is closed"));
  bs_store_operation_unref (operation);
}

void
bs_bulk_start_delete_persisted (BsBackingStore *store, BsTrackedPath *tracked, BsKeySet *keys, BsWaiter *waiter)
{
  Bulk *self = bulk_new (store, BS_KIND_DELETE_KEYS, BS_KIND_DELETE_PERSISTED, tracked, waiter->priority);

  /* A key set is not thread-safe, and stays the waiter's. */
  bs_key_table_copy (bs_key_set_get_table (keys), &self->source);
  self->n_total = self->source.n_keys;

  bulk_start (self, waiter);
}

void
bs_bulk_start_delete_doomed (BsBackingStore *store, BsTrackedPath *tracked, guint64 n_keys, BsWaiter *waiter)
{
  Bulk *self = bulk_new (store, BS_KIND_DELETE_KEYS, BS_KIND_DELETE_PERSISTED, tracked, waiter->priority);

  self->doomed = TRUE;
  self->keys = g_array_new (FALSE, FALSE, sizeof (BsKey));
  self->n_total = n_keys;

  bulk_start (self, waiter);
}

void
bs_bulk_start_register_all (BsBackingStore *store, BsTrackedPath *tracked, BsWaiter *waiter)
{
  Bulk *self = bulk_new (store, BS_KIND_REGISTER_ALL, BS_KIND_REGISTER, tracked, waiter->priority);

  self->keys = g_array_new (FALSE, FALSE, sizeof (BsKey));
  self->n_total = bs_tracked_path_get_n_keys (tracked);
  self->registered = g_ptr_array_sized_new (self->n_total);

  bulk_start (self, waiter);
}

void
bs_backing_store_drop_tokens (BsBackingStore *self, BsToken **tokens, gsize n_tokens)
{
  Bulk *bulk;

  if (n_tokens == 0)
    return;

  bulk = bulk_new (self, BS_KIND_DROP_TOKENS, BS_KIND_DELETE, NULL, G_PRIORITY_LOW);
  bulk->operation.unattended = TRUE;
  bulk->tokens = g_memdup2 (tokens, n_tokens * sizeof *tokens);
  bulk->n_tokens = n_tokens;

  bs_executor_submit (bulk->operation.executor, &bulk->operation);
}
