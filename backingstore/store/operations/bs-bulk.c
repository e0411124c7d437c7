/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-bulk-private.h"

#include <glib/gi18n-lib.h>
#include <inttypes.h>
#include <string.h>

#include "base/bs-backing-private.h"
#include "base/bs-key-set-private.h"
#include "store/operations/bs-batch-private.h"
#include "store/operations/bs-key-operation-private.h"
#include "store/operations/bs-store-private.h"
#include "store/threads/bs-call-scope-private.h"

/* A bulk goes shard by shard, a chunk of keys at a time: it takes the idle queues of the
 * chunk's keys, makes one backing call for them, and lets them go. A busy key's part is
 * queued like any other operation, in a batch, and the bulk ends when the last operation
 * of the batch has. So a bulk never holds one queue while it waits for another. Other
 * operations get their turn in the executor between chunks. */

#define CHUNK 256
#define CHUNK_SHIFT 20

/* One key of a chunk, during the chunk's call. */
typedef struct
{
  BsKeyOperation operation;
  BsWaiter *waiters; /* joined to the operation */
  GError *error;     /* owned */
} Part;

typedef struct
{
  BsStoreOperation operation;

  /* constant once started */
  BsOperationKind key_kind; /* on each key: REGISTER, DELETE_PERSISTED or DELETE */
  gboolean only_to_delete;  /* DELETE_PERSISTED: the keys that a save is to delete */
  gboolean internal;
  guint64 n_total;

  /* by the running thread */
  BsKeyTable source; /* DELETE_KEYS, REGISTER_KEYS: which keys */
  BsKeyTableIter iter;
  GArray *
    keys; /* owned; of BsKey: those of the path, of the current shard. NULL where there is a source */
  guint next_key;
  guint next_shard;
  BsToken **tokens; /* DROP_TOKENS: owned */
  gsize n_tokens;
  gsize next_token;
  Part *parts; /* owned; CHUNK of them */
  BsKey chunk[CHUNK];
  BsKey pending; /* read from the source, belongs to the next chunk */
  gboolean has_pending;
  BsKey pinned; /* DELETE_PERSISTED: the last one that a save has pinned */
  gboolean has_pinned;

  BsBatch busy; /* the parts of busy keys */

  GMutex mutex;

  /* under the mutex */
  GPtrArray *registered; /* REGISTER: owned, of BsToken */
  guint64 n_done;
  GError *error; /* owned; the first one */
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
  if (self->key_kind == BS_KIND_REGISTER)
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
  BsMembers *members = &self->operation.tracked->members;
  guint n;

  while (self->next_key == self->keys->len)
    {
      if (self->next_shard == BS_N_SHARDS)
        return 0;
      g_array_set_size (self->keys, 0);
      self->next_key = 0;
      bs_members_copy_keys (members, self->next_shard++,
                            self->only_to_delete ? BS_MEMBER_TO_DELETE : BS_MEMBER_PRESENT,
                            self->keys);
    }

  n = MIN (CHUNK, self->keys->len - self->next_key);
  memcpy (self->chunk, &g_array_index (self->keys, BsKey, self->next_key), n * sizeof (BsKey));
  self->next_key += n;

  return n;
}

static void
take_queue (Bulk *self, guint part, const BsKey *key, guint64 hash, BsToken *token)
{
  self->parts[part].waiters = NULL;
  self->parts[part].error = NULL;
  bs_key_operation_init_part (&self->parts[part].operation, self->operation.store, self->key_kind,
                              key, hash, token, self->operation.tracked);
}

/* Takes the queue of one key, if it is idle and the key needs a call. FALSE where it
 * is busy. Under the shard's mutex. */
static gboolean
take_key (Bulk *self, BsShard *shard, const BsKey *key, guint *n_parts)
{
  BsMembers *members = &self->operation.tracked->members;
  guint64 hash = bs_key_hash (key);
  BsMemberFlags flags = bs_members_get (members, key, hash);
  BsToken *token = NULL;

  if (self->only_to_delete && !(flags & BS_MEMBER_TO_DELETE))
    return TRUE;
  if (self->key_kind == BS_KIND_DELETE_PERSISTED && (flags & BS_MEMBER_PINNED))
    {
      self->pinned = *key;
      self->has_pinned = TRUE;
      return TRUE;
    }
  if (bs_key_queue_find_last (shard, key, hash) != NULL)
    return FALSE;

  if (self->key_kind == BS_KIND_REGISTER)
    token = bs_shard_lookup (shard, key, hash);
  switch (bs_key_queue_need (self->key_kind, token, members, flags, hash))
    {
    case BS_NEED_NOTHING:
      if (token != NULL)
        token->n_holders++;
      note_done (self, token);
      break;
    case BS_NEED_MISSING:
      /* The key went since the bulk was asked. */
      break;
    case BS_NEED_CALL:
      if (self->key_kind == BS_KIND_REGISTER && token == NULL)
        token = bs_shard_insert (shard, key, hash);
      take_queue (self, (*n_parts)++, key, hash, token);
      break;
    }

  return TRUE;
}

/* Takes the queues that are idle; moves the keys of busy ones to the front of the
 * chunk, and returns their number. */
static guint
take_chunk (Bulk *self, guint n_keys, guint *n_parts)
{
  BsShard *shard = bs_store_get_shard (self->operation.store, bs_key_hash (&self->chunk[0]));
  guint n_busy = 0;

  g_mutex_lock (&shard->mutex);
  for (guint i = 0; i < n_keys; i++)
    {
      BsKey key = self->chunk[i];

      if (!take_key (self, shard, &key, n_parts))
        self->chunk[n_busy++] = key;
    }
  g_mutex_unlock (&shard->mutex);

  if (self->has_pinned)
    {
      g_autoptr (GError) error =
        bs_key_queue_pinned_error (&self->pinned,
                                   bs_tracked_path_peek_file (self->operation.tracked));

      note_error (self, error);
      self->has_pinned = FALSE;
    }

  return n_busy;
}

/* Drops holds on tokens, and takes the queues of the keys that have to be deleted. */
static void
take_unheld (Bulk *self, guint *n_parts)
{
  BsBackingStore *store = self->operation.store;
  guint64 hash = bs_key_hash (&self->tokens[self->next_token]->key);
  BsShard *shard = bs_store_get_shard (store, hash);
  BsDeferred deferred = { NULL };

  g_mutex_lock (&shard->mutex);
  for (guint n = 0; n < CHUNK && self->next_token < self->n_tokens; n++)
    {
      BsToken *token = self->tokens[self->next_token];
      BsKeyOperation *last;

      hash = bs_key_hash (&token->key);
      if (shard != bs_store_get_shard (store, hash))
        break;

      self->next_token++;
      if (--token->n_holders > 0)
        continue;

      last = bs_key_queue_find_last (shard, &token->key, hash);
      if (last != NULL)
        last->token = token;
      else if (token->primary != BS_PRIMARY_ABSENT &&
               g_atomic_int_get (&store->state) != BS_STATE_CLOSED)
        take_queue (self, (*n_parts)++, &token->key, hash, token);
      else
        bs_key_operation_settle_token (store, shard, token, hash, &deferred);
    }
  g_mutex_unlock (&shard->mutex);

  bs_deferred_run (&deferred);
}

static gboolean
call_all (Bulk *self, guint n_parts)
{
  gboolean registers = self->key_kind == BS_KIND_REGISTER;
  BsBacking *backing = self->operation.store->backing;
  g_autoptr (BsKeySet) keys = NULL;
  BsCallScope scope;
  BsKeyTable *table;
  gboolean done;
  GFile *file;

  if (self->key_kind == BS_KIND_DELETE || n_parts < 2)
    return FALSE;
  if (!bs_backing_implements (backing, registers ? BS_OPERATION_REGISTER_KEYS
                                                 : BS_OPERATION_DELETE_PERSISTED_KEYS))
    return FALSE;

  keys = bs_key_set_new ();
  table = bs_key_set_get_table (keys);
  /* All keys share a shard, so their hashes share the top bits. */
  bs_key_table_init (table, CHUNK_SHIFT);
  bs_key_table_reserve (table, n_parts);
  for (guint i = 0; i < n_parts; i++)
    bs_key_table_add (table, &self->parts[i].operation.key, self->parts[i].operation.hash);

  file = self->operation.tracked->path->file;
  bs_call_scope_push (&scope, self->operation.store, BS_SCOPE_BACKING);
  if (registers)
    done = bs_backing_register_keys (backing, file, keys, self->operation.cancellable, NULL);
  else
    done =
      bs_backing_delete_persisted_keys (backing, file, keys, self->operation.cancellable, NULL);
  bs_call_scope_pop (&scope);

  return done;
}

/* A call that failed because the bulk was cancelled is made again for the waiters
 * that have joined its part; no other joins it now. */
static void
call_for_joined (Part *part)
{
  BsStoreOperation *operation = &part->operation.operation;
  gboolean wanted;

  g_mutex_lock (operation->lock);
  wanted = operation->n_wanted > 0;
  operation->cancelled = !wanted;
  g_mutex_unlock (operation->lock);

  if (wanted)
    {
      g_clear_error (&part->error);
      bs_key_operation_call (&part->operation, NULL, &part->error);
    }
}

/* Makes one call for the chunk; if that fails, one for each key, to know its state. */
static void
call_backing (Bulk *self, guint n_parts)
{
  GCancellable *cancellable = self->operation.cancellable;

  if (call_all (self, n_parts))
    return;

  for (guint i = 0; i < n_parts; i++)
    {
      Part *part = &self->parts[i];

      bs_key_operation_call (&part->operation, cancellable, &part->error);
      if (part->error != NULL && g_cancellable_is_cancelled (cancellable))
        call_for_joined (part);
    }
}

static void
end_chunk (Bulk *self, guint n_parts)
{
  BsShard *shard = self->parts[0].operation.shard;
  BsDeferred deferred = { NULL };

  g_mutex_lock (&shard->mutex);
  g_mutex_lock (&self->mutex);
  for (guint i = 0; i < n_parts; i++)
    {
      Part *part = &self->parts[i];

      part->waiters = bs_key_operation_end (&part->operation, TRUE, self->operation.ticket, TRUE,
                                            part->error, &deferred);
      if (part->error == NULL)
        note_done_locked (self, part->operation.token);
    }
  g_mutex_unlock (&self->mutex);
  g_mutex_unlock (&shard->mutex);

  bs_deferred_push (&deferred, bs_deferred_run);
  for (guint i = 0; i < n_parts; i++)
    {
      Part *part = &self->parts[i];

      bs_store_operation_answer (part->waiters,
                                 self->key_kind == BS_KIND_REGISTER ? part->operation.token : NULL,
                                 part->error);
      if (part->error == NULL)
        continue;
      note_error (self, part->error);
      if (self->key_kind == BS_KIND_DELETE)
        bs_store_report (self->operation.store, &part->operation.key, BS_OPERATION_DELETE_KEY,
                         g_error_copy (part->error));
      g_clear_error (&part->error);
    }
  bs_deferred_pop (&deferred);
  bs_deferred_run (&deferred);
}

/* Every part has ended. */
static void
busy_end (BsBatch *batch)
{
  Bulk *self = (Bulk *) batch->operation;
  GPtrArray *tokens = self->registered;

  if (self->error != NULL && self->key_kind != BS_KIND_DELETE)
    g_prefix_error (&self->error, _ ("%" PRIu64 " of %" PRIu64 " keys done: "), self->n_done,
                    self->n_total);

  if (self->error != NULL && tokens != NULL)
    bs_bulk_drop_tokens (batch->operation->store, (BsToken **) tokens->pdata, tokens->len);
  bs_batch_end_operation (batch, tokens, self->error);
}

static gboolean
busy_done (BsBatch *batch,
           guint64 item,
           const BsKey *key,
           gpointer value,
           const GError *error,
           BsRequest *request)
{
  Bulk *self = (Bulk *) batch->operation;

  if (error == NULL)
    note_done (self, value);
  else if (self->key_kind != BS_KIND_REGISTER ||
           !g_error_matches (error, BS_ERROR, BS_ERROR_NOT_FOUND))
    note_error (self, error);

  return FALSE;
}

static const BsBatchClass busy_class = {
  .done = busy_done,
  .end = busy_end,
};

static void
queue_busy (Bulk *self, guint n_busy)
{
  for (guint i = 0; i < n_busy; i++)
    {
      BsRequest request = { .kind = self->key_kind,
                            .internal = TRUE,
                            .tracked = self->operation.tracked,
                            .key = &self->chunk[i] };

      if (self->key_kind == BS_KIND_DELETE_PERSISTED)
        request.only_to_delete = self->only_to_delete;
      bs_batch_add (&self->busy, &request, 0);
    }
}

/* Runs one chunk. Returns FALSE at the end of the keys. */
static gboolean
bulk_step (Bulk *self)
{
  guint n_keys, n_parts = 0, n_busy = 0;

  if (self->key_kind == BS_KIND_DELETE)
    {
      if (self->next_token == self->n_tokens)
        return FALSE;
      take_unheld (self, &n_parts);
    }
  else
    {
      n_keys = self->keys != NULL ? feed_from_path (self) : feed_from_source (self);
      if (n_keys == 0)
        return FALSE;
      if (g_cancellable_is_cancelled (self->operation.cancellable))
        {
          g_autoptr (GError) error =
            bs_operation_error (self->operation.kind, NULL,
                                bs_tracked_path_peek_file (self->operation.tracked), G_IO_ERROR,
                                G_IO_ERROR_CANCELLED, _ ("it was cancelled"));

          note_error (self, error);
          return FALSE;
        }
      n_busy = take_chunk (self, n_keys, &n_parts);
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
        bs_store_operation_submit (operation);
        return;
      }

  bs_batch_close (&self->busy, TRUE);
  bs_store_operation_unref (operation);
}

static void
bulk_free (BsStoreOperation *operation)
{
  Bulk *self = (Bulk *) operation;

  bs_batch_clear (&self->busy);
  bs_key_table_clear (&self->source);
  g_clear_pointer (&self->keys, g_array_unref);
  g_free (self->tokens);
  g_free (self->parts);
  g_clear_pointer (&self->registered, g_ptr_array_unref);
  g_clear_error (&self->error);
  g_mutex_clear (&self->mutex);
}

static BsAsked
bulk_enqueue (BsStoreOperation *operation, BsWaiter *waiter, BsDeferred *deferred)
{
  Bulk *self = (Bulk *) operation;
  BsTrackedPath *tracked = operation->tracked;

  if (!bs_path_take_ticket (tracked->path, &tracked->members, operation, self->internal))
    return bs_asked (BS_ASKED_CLOSED, NULL);

  bs_store_operation_join (operation, waiter);
  operation->state = BS_OPERATION_READY;
  return bs_asked (BS_ASKED_STARTS, bs_store_operation_ref (operation));
}

static void
bulk_begin (BsStoreOperation *operation)
{
  ((Bulk *) operation)->busy.cancellable = operation->cancellable;
}

static const BsStoreOperationClass bulk_class = {
  .enqueue = bulk_enqueue,
  .begin = bulk_begin,
  .run = bulk_run,
  .drop = bs_batch_drop_operation,
  .free = bulk_free,
};

static Bulk *
bulk_new (BsBackingStore *store,
          BsOperationKind kind,
          BsOperationKind key_kind,
          BsTrackedPath *tracked,
          int priority)
{
  Bulk *self = g_new0 (Bulk, 1);

  bs_store_operation_init (&self->operation, &bulk_class, kind, store, store->count,
                           store->backing_executor, &store->operations_mutex, tracked, priority);
  bs_store_operation_hold (&self->operation);
  self->operation.resumes = TRUE;
  self->key_kind = key_kind;
  self->parts = g_new (Part, CHUNK);
  g_mutex_init (&self->mutex);
  bs_key_table_init (&self->source, 0);
  bs_batch_init (&self->busy, &busy_class, &self->operation);
  /* Until the last chunk is done. */
  bs_batch_open (&self->busy);

  return self;
}

BsStoreOperation *
bs_bulk_new (BsBackingStore *store, const BsRequest *request, int priority)
{
  gboolean registers =
    request->kind == BS_KIND_REGISTER_ALL || request->kind == BS_KIND_REGISTER_KEYS;
  BsTrackedPath *tracked = request->tracked;
  Bulk *self =
    bulk_new (store, request->kind, registers ? BS_KIND_REGISTER : BS_KIND_DELETE_PERSISTED,
              tracked, priority);

  self->internal = request->internal;
  if (request->kind == BS_KIND_DELETE_KEYS || request->kind == BS_KIND_REGISTER_KEYS)
    {
      /* A key set is not thread-safe, and stays the asker's. */
      bs_key_table_copy (bs_key_set_get_table (request->keys), &self->source);
      self->n_total = self->source.n_keys;
    }
  else
    {
      self->keys = g_array_new (FALSE, FALSE, sizeof (BsKey));
      self->only_to_delete = !registers;
      self->n_total = registers ? bs_members_get_n_keys (&tracked->members) : request->n_keys;
    }
  if (registers)
    self->registered = g_ptr_array_sized_new (self->n_total);

  return &self->operation;
}

void
bs_bulk_drop_tokens (BsBackingStore *store, BsToken **tokens, gsize n_tokens)
{
  BsStoreOperation *operation;
  Bulk *self;

  if (n_tokens == 0 || bs_store_is_in_child (store))
    return;

  self = bulk_new (store, BS_KIND_DROP_TOKENS, BS_KIND_DELETE, NULL, G_PRIORITY_LOW);
  self->tokens = g_memdup2 (tokens, n_tokens * sizeof *tokens);
  self->n_tokens = n_tokens;

  operation = &self->operation;
  operation->unattended = TRUE;
  operation->counted = TRUE;
  operation->state = BS_OPERATION_READY;
  operation->stripe = bs_task_count_begin (store->count);
  bs_store_operation_submit (operation);
}
