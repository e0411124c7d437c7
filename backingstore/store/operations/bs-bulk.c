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
#include "store/operations/bs-persist-call-private.h"
#include "store/operations/bs-store-private.h"
#include "store/threads/bs-call-scope-private.h"

/* A bulk goes on a chunk of keys at a time: it takes the idle queues of the chunk's keys,
 * makes one backing call for them, and lets them go. A busy key's part is queued like any
 * other operation, in a batch, and the bulk ends when the last operation of the batch has. So
 * a bulk never holds one queue while it waits for another. Other operations get their turn in
 * the executor between chunks. */

#define CHUNK 256

/* One key of a chunk, during the chunk's call. */
typedef struct
{
  BsKeyOperation operation;
  BsWaiter *waiters; /* joined to the operation */
  GError *error;     /* owned */
  gboolean called;   /* the backing, for the key at the path */
  gboolean done;     /* by a call for many */
  guint index;       /* in the chunk */
} Part;

typedef struct
{
  BsStoreOperation operation;

  /* constant once started */
  BsOperationKind key_kind; /* on each key: REGISTER, PERSIST, DELETE_PERSISTED or DELETE */
  gboolean only_to_delete;  /* DELETE_PERSISTED: the keys that a save is to delete */
  gboolean internal;
  guint64 n_total;

  /* by the running thread */
  BsKeyTable source; /* DELETE_KEYS, REGISTER_KEYS: which keys */
  BsKeyTableIter iter;
  GArray *keys; /* owned; of BsKey: the path's in the current shard. NULL with a source */
  guint next_key;
  guint next_shard;
  BsToken **tokens; /* DROP_TOKENS: owned */
  gsize n_tokens;
  gsize next_token;
  BsPersists persists; /* PERSIST_KEYS: those that are left */
  BsRequest *requests; /* PERSIST_KEYS: owned; of the chunk. Each has a reference on its content */
  guint n_most;        /* keys of a chunk */
  Part *parts;         /* owned */
  BsKey *chunk;        /* owned */
  guint *busy_keys;    /* owned; indices in the chunk */
  BsKey pinned;        /* DELETE_PERSISTED: the last one that a save has pinned */
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

/* Keys come by shard, or nearly so: neighbours share a lock. */
static guint
feed_from_source (Bulk *self)
{
  const BsKey *key;
  guint n = 0;

  while (n < self->n_most && bs_key_table_iter_next (&self->source, &self->iter, &key))
    self->chunk[n++] = *key;

  return n;
}

static guint
feed_from_asker (Bulk *self)
{
  guint n = MIN (self->n_most, self->persists.n_keys);

  for (guint i = 0; i < n; i++)
    {
      self->persists.make_request (self->persists.data, self->persists.first + i,
                                   &self->requests[i]);
      self->chunk[i] = *bs_request_get_key (&self->requests[i]);
    }

  return n;
}

static guint
feed_from_path (Bulk *self)
{
  BsMembers *members = &self->operation.tracked->members;
  guint n = 0;

  while (n < self->n_most)
    {
      guint n_more = MIN (self->n_most - n, self->keys->len - self->next_key);

      if (n_more > 0)
        {
          memcpy (&self->chunk[n], &g_array_index (self->keys, BsKey, self->next_key),
                  n_more * sizeof (BsKey));
          self->next_key += n_more;
          n += n_more;
          continue;
        }
      if (self->next_shard == BS_N_SHARDS)
        break;
      g_array_set_size (self->keys, 0);
      self->next_key = 0;
      bs_members_copy_keys (members, self->next_shard++,
                            self->only_to_delete ? BS_MEMBER_TO_DELETE : BS_MEMBER_PRESENT,
                            self->keys);
    }

  return n;
}

static guint
feed (Bulk *self)
{
  if (self->key_kind == BS_KIND_PERSIST)
    return feed_from_asker (self);

  return self->keys != NULL ? feed_from_path (self) : feed_from_source (self);
}

static void
take_queue (Bulk *self, guint part, const BsKey *key, guint64 hash, BsToken *token)
{
  self->parts[part].waiters = NULL;
  self->parts[part].error = NULL;
  self->parts[part].called = TRUE;
  self->parts[part].done = FALSE;
  bs_key_operation_init_part (&self->parts[part].operation, self->operation.store, self->key_kind,
                              key, hash, token, self->operation.tracked);
}

/* Takes the queue of one key, if it is idle and the key needs a call. FALSE where it
 * is busy. Under the shard's mutex. */
static gboolean
take_key (Bulk *self, BsShard *shard, guint index, guint *n_parts)
{
  BsMembers *members = &self->operation.tracked->members;
  const BsKey *key = &self->chunk[index];
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
  else if (self->key_kind == BS_KIND_PERSIST)
    token = self->requests[index].token;
  switch (bs_key_queue_need (self->key_kind, token, members, flags, hash))
    {
    case BS_NEED_NOTHING:
      /* As an operation of its own the key has an answer. */
      if (self->key_kind == BS_KIND_PERSIST)
        return FALSE;
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
      take_queue (self, *n_parts, key, hash, token);
      self->parts[*n_parts].index = index;
      if (self->key_kind == BS_KIND_PERSIST)
        self->parts[*n_parts].operation.content = self->requests[index].content;
      (*n_parts)++;
      break;
    }

  return TRUE;
}

static BsShard *
get_shard (Bulk *self, guint index)
{
  return bs_store_get_shard (self->operation.store, bs_key_hash (&self->chunk[index]));
}

/* Takes the queues that are idle; notes the keys of busy ones, and returns their number. */
static guint
take_chunk (Bulk *self, guint n_keys, guint *n_parts)
{
  guint n_busy = 0;
  guint i = 0;

  while (i < n_keys)
    {
      BsShard *shard = get_shard (self, i);

      g_mutex_lock (&shard->mutex);
      for (; i < n_keys && get_shard (self, i) == shard; i++)
        if (!take_key (self, shard, i, n_parts))
          self->busy_keys[n_busy++] = i;
      g_mutex_unlock (&shard->mutex);
    }

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
  for (guint n = 0; n < self->n_most && self->next_token < self->n_tokens; n++)
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
               g_atomic_int_get (&store->state) < BS_STATE_RELEASING)
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
  /* Neighbours share a shard, so their hashes share the top bits. */
  bs_key_table_init (table, BS_SHARD_BITS);
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

static void
call_one (Part *part, GCancellable *cancellable)
{
  if (part->operation.operation.kind == BS_KIND_PERSIST)
    part->called = bs_key_operation_persist (&part->operation, cancellable, &part->error);
  else
    bs_key_operation_call (&part->operation, cancellable, &part->error);
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
      call_one (part, NULL);
    }
}

/* Not those that a call for many has done, or that have failed before any call. */
static void
call_one_by_one (Bulk *self, Part *parts, guint n_parts)
{
  GCancellable *cancellable = self->operation.cancellable;

  for (guint i = 0; i < n_parts; i++)
    {
      Part *part = &parts[i];

      if (part->error == NULL && !part->done)
        call_one (part, cancellable);
      if (part->error != NULL && g_cancellable_is_cancelled (cancellable))
        call_for_joined (part);
    }
}

/* Persists as many parts as one call may. Returns their number. */
static guint
persist_some (Bulk *self, Part *parts, guint n_parts)
{
  BsStoreOperation *operation = &self->operation;
  gboolean together;
  BsPersistCall call;
  guint n;

  bs_persist_call_init (&call, operation->store, operation->tracked->path->file,
                        operation->cancellable, n_parts);
  for (n = 0; n < n_parts && !bs_persist_call_is_full (&call); n++)
    {
      parts[n].done = bs_persist_call_add (&call, &parts[n].operation, &parts[n].error);
      parts[n].called = parts[n].error == NULL;
    }
  together = bs_persist_call_run (&call);
  bs_persist_call_clear (&call);

  for (guint i = 0; i < n; i++)
    parts[i].done &= together;
  call_one_by_one (self, parts, n);

  return n;
}

/* Makes one call for the chunk; if that fails, one for each key, to know its state. */
static void
call_backing (Bulk *self, guint n_parts)
{
  if (self->key_kind == BS_KIND_PERSIST)
    for (guint i = 0; i < n_parts;)
      i += persist_some (self, &self->parts[i], n_parts - i);
  else if (!call_all (self, n_parts))
    call_one_by_one (self, self->parts, n_parts);
}

/* An asker that knows of each key does as it likes with an error. */
static void
note_result (Bulk *self, guint index, const GError *error)
{
  if (self->key_kind == BS_KIND_PERSIST)
    self->persists.done (self->persists.data, self->persists.first + index, error);
  else if (error != NULL)
    note_error (self, error);
}

static void
end_chunk (Bulk *self, guint n_parts)
{
  BsDeferred deferred = { NULL };
  guint i = 0;

  while (i < n_parts)
    {
      BsShard *shard = self->parts[i].operation.shard;

      g_mutex_lock (&shard->mutex);
      g_mutex_lock (&self->mutex);
      for (; i < n_parts && self->parts[i].operation.shard == shard; i++)
        {
          Part *part = &self->parts[i];

          part->waiters =
            bs_key_operation_end (&part->operation, part->called, self->operation.ticket, TRUE,
                                  part->error, &deferred);
          if (part->error == NULL)
            note_done_locked (self, part->operation.token);
        }
      g_mutex_unlock (&self->mutex);
      g_mutex_unlock (&shard->mutex);
    }

  bs_deferred_push (&deferred, bs_deferred_run);
  for (i = 0; i < n_parts; i++)
    {
      Part *part = &self->parts[i];

      bs_store_operation_answer (part->waiters,
                                 self->key_kind == BS_KIND_REGISTER ? part->operation.token : NULL,
                                 part->error);
      note_result (self, part->index, part->error);
      if (part->error == NULL)
        continue;
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

  if (self->error != NULL && self->key_kind != BS_KIND_DELETE && self->key_kind != BS_KIND_PERSIST)
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

  if (self->key_kind == BS_KIND_PERSIST)
    self->persists.done (self->persists.data, item, error);
  else if (error == NULL)
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
                            .key = &self->chunk[self->busy_keys[i]] };

      if (self->key_kind == BS_KIND_DELETE_PERSISTED)
        request.only_to_delete = self->only_to_delete;
      else if (self->key_kind == BS_KIND_PERSIST)
        request = self->requests[self->busy_keys[i]];
      bs_batch_add (&self->busy, &request, self->persists.first + self->busy_keys[i]);
    }
}

static void
end_requests (Bulk *self, guint n_keys)
{
  for (guint i = 0; i < n_keys; i++)
    g_clear_pointer (&self->requests[i].content, bs_content_unref);
  self->persists.first += n_keys;
  self->persists.n_keys -= n_keys;
}

/* Runs one chunk. Returns FALSE at the end of the keys. */
static gboolean
bulk_step (Bulk *self)
{
  guint n_keys = 0, n_parts = 0, n_busy = 0;

  if (self->key_kind == BS_KIND_DELETE)
    {
      if (self->next_token == self->n_tokens)
        return FALSE;
      take_unheld (self, &n_parts);
    }
  else
    {
      n_keys = feed (self);
      if (n_keys == 0)
        return FALSE;
      if (g_cancellable_is_cancelled (self->operation.cancellable))
        {
          g_autoptr (GError) error =
            bs_operation_error (self->operation.kind, NULL,
                                bs_tracked_path_peek_file (self->operation.tracked), G_IO_ERROR,
                                G_IO_ERROR_CANCELLED, _ ("it was cancelled"));

          note_error (self, error);
          if (self->requests != NULL)
            end_requests (self, n_keys);
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
  if (self->requests != NULL)
    end_requests (self, n_keys);

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
  g_free (self->requests);
  g_free (self->parts);
  g_free (self->chunk);
  g_free (self->busy_keys);
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
          guint n_most,
          int priority)
{
  Bulk *self = g_new0 (Bulk, 1);

  bs_store_operation_init (&self->operation, &bulk_class, kind, store, store->count,
                           store->backing_executor, &store->operations_mutex, tracked, priority);
  bs_store_operation_hold (&self->operation);
  self->operation.resumes = TRUE;
  self->key_kind = key_kind;
  self->n_most = n_most;
  self->parts = g_new (Part, n_most);
  self->chunk = g_new (BsKey, n_most);
  self->busy_keys = g_new (guint, n_most);
  g_mutex_init (&self->mutex);
  bs_key_table_init (&self->source, 0);
  bs_batch_init (&self->busy, &busy_class, &self->operation);
  /* Until the last chunk is done. */
  bs_batch_open (&self->busy);

  return self;
}

/* Each asker has a chunk of its own. */
static BsStoreOperation *
persist_new (BsBackingStore *store, const BsRequest *request, int priority)
{
  const BsPersists *persists = &request->persists;
  Bulk *self =
    bulk_new (store, request->kind, BS_KIND_PERSIST, request->tracked, persists->n_keys, priority);

  self->internal = request->internal;
  self->n_total = persists->n_keys;
  self->persists = *persists;
  self->requests = g_new0 (BsRequest, persists->n_keys);

  return &self->operation;
}

BsStoreOperation *
bs_bulk_new (BsBackingStore *store, const BsRequest *request, int priority)
{
  gboolean registers =
    request->kind == BS_KIND_REGISTER_ALL || request->kind == BS_KIND_REGISTER_KEYS;
  BsTrackedPath *tracked = request->tracked;
  Bulk *self;

  if (request->kind == BS_KIND_PERSIST_KEYS)
    return persist_new (store, request, priority);

  self = bulk_new (store, request->kind, registers ? BS_KIND_REGISTER : BS_KIND_DELETE_PERSISTED,
                   tracked, CHUNK, priority);

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

  self = bulk_new (store, BS_KIND_DROP_TOKENS, BS_KIND_DELETE, NULL, CHUNK, G_PRIORITY_LOW);
  self->tokens = g_memdup2 (tokens, n_tokens * sizeof *tokens);
  self->n_tokens = n_tokens;

  operation = &self->operation;
  operation->unattended = TRUE;
  operation->counted = TRUE;
  operation->state = BS_OPERATION_READY;
  operation->stripe = bs_task_count_begin (store->count);
  bs_store_operation_submit (operation);
}
