/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-key-operation-private.h"

#include "base/bs-backing-private.h"
#include "base/bs-zero-private.h"
#include "store/operations/bs-loads-private.h"
#include "store/operations/bs-paths-private.h"
#include "store/threads/bs-call-scope-private.h"

/* Operations on one key: asked for, run when their turn has come, ended. Whether an
 * operation is needed is decided when its turn comes. */

static GFile *
get_file (BsKeyOperation *self)
{
  return self->operation.tracked != NULL ? self->operation.tracked->path->file : NULL;
}

static BsTickets *
get_tickets (BsKeyOperation *self, BsMembers *members)
{
  return &members->shards[bs_shard_index (self->hash)].tickets;
}

static BsMemberFlags
get_flags (BsKeyOperation *self)
{
  return self->members != NULL ? bs_members_get (self->members, &self->key, self->hash) : 0;
}

/* A new operation, first in line: under the shard's mutex. */
static BsAsked
start (BsKeyOperation *self, BsWaiter *waiter)
{
  BsStoreOperation *operation = &self->operation;

  operation->state = BS_OPERATION_READY;
  if (!waiter->blocking || bs_executor_is_context (operation->executor))
    return bs_asked (BS_ASKED_STARTS, bs_store_operation_ref (operation));

  self->need = BS_NEED_CALL;
  bs_store_operation_begin (operation, waiter);
  waiter->answered_here = waiter->on_stack;
  return bs_asked (BS_ASKED_RUNS, bs_store_operation_ref (operation));
}

static BsAsked
join (BsKeyOperation *self, BsKeyOperation *joined, BsWaiter *waiter)
{
  BsStoreOperation *operation = &joined->operation;

  bs_store_operation_join (operation, waiter);
  bs_store_operation_boost (operation, waiter->priority);
  if (self->operation.entry.waiting.newest_first)
    bs_executor_bring_forward (operation->executor, &operation->entry);

  return bs_asked (BS_ASKED_WAITS, NULL);
}

static BsAsked
key_operation_enqueue (BsStoreOperation *operation, BsWaiter *waiter, BsDeferred *deferred)
{
  BsKeyOperation *self = (BsKeyOperation *) operation;
  BsKeyOperation *last = bs_key_queue_find_last (self->shard, &self->key, self->hash);
  BsMemberFlags flags = get_flags (self);
  BsKeyOperation *joined;

  if (self->members != NULL && bs_members_refuse (self->members, self->internal))
    return bs_asked (BS_ASKED_CLOSED, NULL);
  if (self->only_to_delete && !(flags & BS_MEMBER_TO_DELETE))
    return bs_asked (BS_ASKED_NOTHING, NULL);
  if (operation->kind == BS_KIND_DELETE_PERSISTED && (flags & BS_MEMBER_PINNED))
    return bs_asked (BS_ASKED_PINNED, NULL);
  if (operation->kind == BS_KIND_PERSIST && !self->internal)
    bs_members_claim (self->members, &self->key, self->hash);

  joined = bs_key_queue_find_joinable (last, operation->kind, operation->tracked);
  if (joined != NULL)
    return join (self, joined, waiter);

  if (self->token == NULL && bs_key_queue_needs_token (operation->kind, self->content))
    self->token = bs_shard_lookup (self->shard, &self->key, self->hash);
  if (last == NULL)
    switch (bs_key_queue_need (operation->kind, self->token, self->members, flags, self->hash))
      {
      case BS_NEED_NOTHING:
        if (operation->kind == BS_KIND_REGISTER)
          self->token->n_holders++;
        return bs_asked (BS_ASKED_NOTHING, self->token);
      case BS_NEED_MISSING:
        return bs_asked (BS_ASKED_MISSING, NULL);
      case BS_NEED_CALL:
        break;
      }

  if (self->members != NULL)
    bs_tickets_append (get_tickets (self, self->members), operation);
  if (operation->kind == BS_KIND_REGISTER && self->token == NULL)
    self->token = bs_shard_insert (self->shard, &self->key, self->hash);
  bs_store_operation_join (operation, waiter);
  bs_store_operation_ref (operation);
  bs_key_queue_append (self, last);
  if (last == NULL)
    return start (self, waiter);

  bs_store_operation_boost (operation->previous, waiter->priority);
  return bs_asked (BS_ASKED_WAITS, NULL);
}

static gboolean
is_closing (BsKeyOperation *self)
{
  return g_atomic_int_get (&self->operation.store->state) != BS_STATE_OPEN;
}

/* Decides what the operation needs, now that its turn has come. */
static void
key_operation_begin (BsStoreOperation *operation)
{
  BsKeyOperation *self = (BsKeyOperation *) operation;

  self->refused = bs_kind_is_load (operation->kind) && is_closing (self);
  if (self->refused)
    {
      self->need = BS_NEED_NOTHING;
      return;
    }

  /* The asking thread has decided a moment ago. */
  if (self->need == BS_NEED_CALL && operation->runner != NULL)
    return;

  self->need =
    bs_key_queue_need (operation->kind, self->token, self->members, get_flags (self), self->hash);
  if (self->need != BS_NEED_CALL)
    return;
  if (operation->kind == BS_KIND_WRITE && self->token->n_holders == 0)
    self->need = BS_NEED_MISSING;
}

/* A blob that is missing from primary storage, though some tracked path has it, is
 * made available again. Meanwhile the read stands among that path's tickets, so that
 * the path is not released. */
static gboolean
heal_from (BsKeyOperation *self, BsTrackedPath *tracked)
{
  BsStoreOperation *operation = &self->operation;
  BsDeferred deferred = { NULL };
  gboolean healed = FALSE;
  BsMemberFlags flags;
  gboolean usable;

  g_mutex_lock (&self->shard->mutex);
  flags = bs_members_get (&tracked->members, &self->key, self->hash);
  usable = (flags & (BS_MEMBER_PRESENT | BS_MEMBER_UNCERTAIN)) == BS_MEMBER_PRESENT &&
           !bs_members_refuse (&tracked->members, FALSE);
  if (usable)
    bs_tickets_append (get_tickets (self, &tracked->members), operation);
  g_mutex_unlock (&self->shard->mutex);
  if (!usable)
    return FALSE;

  healed = bs_backing_invoke_register_key (operation->store->backing, tracked->path->file,
                                           &self->key, operation->cancellable, NULL);

  g_mutex_lock (&self->shard->mutex);
  bs_path_return_key_ticket (tracked->path, get_tickets (self, &tracked->members), operation,
                             &deferred);
  g_mutex_unlock (&self->shard->mutex);
  bs_deferred_run (&deferred);

  return healed;
}

static gboolean
heal (BsKeyOperation *self)
{
  g_autoptr (GPtrArray) tracked_paths = bs_paths_list_tracked (self->operation.store);

  for (guint i = 0; i < tracked_paths->len; i++)
    if (heal_from (self, g_ptr_array_index (tracked_paths, i)))
      return TRUE;

  return FALSE;
}

static gpointer
invoke_load (BsKeyOperation *self, GCancellable *cancellable, GError **error)
{
  BsBacking *backing = self->operation.store->backing;

  if (self->operation.kind == BS_KIND_READ_STREAM)
    return bs_backing_invoke_read_stream (backing, &self->key, cancellable, error);

  return bs_backing_invoke_read (backing, &self->key, cancellable, error);
}

static gpointer
call_load (BsKeyOperation *self, GCancellable *cancellable, GError **error)
{
  g_autoptr (GError) local_error = NULL;
  gpointer result = invoke_load (self, cancellable, &local_error);

  if (g_error_matches (local_error, BS_ERROR, BS_ERROR_NOT_FOUND) && heal (self))
    {
      g_clear_error (&local_error);
      result = invoke_load (self, cancellable, &local_error);
    }
  if (local_error != NULL)
    g_propagate_error (error, g_steal_pointer (&local_error));

  return result;
}

static void
free_result (BsOperationKind kind, gpointer result)
{
  if (result == NULL)
    return;

  if (kind == BS_KIND_READ_STREAM)
    g_object_unref (result);
  else
    g_bytes_unref (result);
}

/* A failed write may have left anything. */
static gboolean
call_write (BsKeyOperation *self,
            GBytes *bytes,
            BsPrimary primary,
            GCancellable *cancellable,
            GError **error)
{
  BsBacking *backing = self->operation.store->backing;
  g_autoptr (GError) local_error = NULL;

  if (bs_backing_invoke_write (backing, &self->key, bytes, cancellable, &local_error))
    return TRUE;
  if (primary == BS_PRIMARY_UNCERTAIN && g_error_matches (local_error, BS_ERROR, BS_ERROR_EXISTS))
    return bs_backing_invoke_delete_key (backing, &self->key, cancellable, error) &&
           bs_backing_invoke_write (backing, &self->key, bytes, cancellable, error);

  g_propagate_error (error, g_steal_pointer (&local_error));
  return FALSE;
}

void
bs_key_operation_note_write (BsKeyOperation *self, const GError *error)
{
  g_mutex_lock (&self->shard->mutex);
  bs_key_queue_note (BS_KIND_WRITE, &self->key, self->hash, self->token, NULL, error);
  g_mutex_unlock (&self->shard->mutex);
}

/* Primary storage may have the very file that was found to be bad, or may have lost the
 * blob: the content is written anew if it is in memory. */
static void
call_persist (BsKeyOperation *self, GCancellable *cancellable, GError **error)
{
  BsBacking *backing = self->operation.store->backing;
  g_autoptr (GError) local_error = NULL;
  g_autoptr (GBytes) bytes = NULL;

  if (bs_backing_invoke_persist (backing, get_file (self), &self->key, cancellable, &local_error))
    return;
  if (self->content == NULL || self->written ||
      !(g_error_matches (local_error, BS_ERROR, BS_ERROR_CORRUPT) ||
        g_error_matches (local_error, BS_ERROR, BS_ERROR_NOT_FOUND)))
    {
      g_propagate_error (error, g_steal_pointer (&local_error));
      return;
    }

  bytes = bs_content_make_bytes (self->content, cancellable, error);
  if (bytes == NULL)
    return;

  self->written = call_write (self, bytes, BS_PRIMARY_UNCERTAIN, cancellable, error);
  bs_key_operation_note_write (self, *error);
  if (self->written)
    bs_backing_invoke_persist (backing, get_file (self), &self->key, cancellable, error);
}

gpointer
bs_key_operation_call (BsKeyOperation *self, GCancellable *cancellable, GError **error)
{
  BsBacking *backing = self->operation.store->backing;
  gpointer result = NULL;
  BsCallScope scope;

  bs_call_scope_push (&scope, self->operation.store, BS_SCOPE_BACKING);
  switch ((int) self->operation.kind)
    {
    case BS_KIND_READ:
    case BS_KIND_READ_STREAM:
      result = call_load (self, cancellable, error);
      break;
    case BS_KIND_DELETE:
      bs_backing_invoke_delete_key (backing, &self->key, cancellable, error);
      break;
    case BS_KIND_REGISTER:
      bs_backing_invoke_register_key (backing, get_file (self), &self->key, cancellable, error);
      break;
    case BS_KIND_PERSIST:
      call_persist (self, cancellable, error);
      break;
    case BS_KIND_DELETE_PERSISTED:
      bs_backing_invoke_delete_persisted (backing, get_file (self), &self->key, cancellable, error);
      break;
    case BS_KIND_VERIFY:
      bs_backing_invoke_verify_persisted (backing, get_file (self), &self->key, cancellable, error);
      break;
    default:
      g_assert_not_reached ();
    }
  bs_call_scope_pop (&scope);
  if (*error != NULL && self->operation.tracked != NULL)
    bs_paths_note_error (self->operation.tracked, *error);

  return result;
}

/* A content that is in memory only needs one call, where the backing has one for it. */
static gboolean
persists_bytes (BsKeyOperation *self, BsPrimary primary)
{
  return self->operation.kind == BS_KIND_PERSIST && primary == BS_PRIMARY_ABSENT &&
         bs_backing_implements (self->operation.store->backing, BS_OPERATION_PERSIST_BYTES);
}

BsPrimary
bs_key_operation_get_primary (BsKeyOperation *self)
{
  BsPrimary primary;

  g_mutex_lock (&self->shard->mutex);
  primary = self->token->primary;
  g_mutex_unlock (&self->shard->mutex);

  return primary;
}

/* Returns whether the backing was called. */
static gboolean
call_first (BsKeyOperation *self,
            BsPrimary primary,
            gboolean *persisted,
            GCancellable *cancellable,
            GError **error)
{
  BsBacking *backing = self->operation.store->backing;
  g_autoptr (GBytes) bytes = NULL;

  if (bs_content_is_source (self->content))
    {
      self->written = bs_content_write (self->content, backing, &self->key, cancellable, error);
      return TRUE;
    }

  bytes = bs_content_make_bytes (self->content, cancellable, error);
  if (bytes == NULL)
    return FALSE;

  *persisted = persists_bytes (self, primary);
  if (*persisted)
    self->written = bs_backing_invoke_persist_bytes (backing, get_file (self), &self->key, bytes,
                                                     cancellable, error);
  else
    self->written = call_write (self, bytes, primary, cancellable, error);

  return TRUE;
}

/* Writes the content if it is not in primary storage yet, or persists it in one step. */
static gboolean
write_first (BsKeyOperation *self, gboolean *persisted, GCancellable *cancellable, GError **error)
{
  BsCallScope scope;
  BsPrimary primary;
  gboolean called;

  if (self->content == NULL)
    return TRUE;

  primary = bs_key_operation_get_primary (self);
  if (primary == BS_PRIMARY_PRESENT)
    return TRUE;

  bs_call_scope_push (&scope, self->operation.store, BS_SCOPE_BACKING);
  called = call_first (self, primary, persisted, cancellable, error);
  bs_call_scope_pop (&scope);
  if (!called)
    return FALSE;

  bs_key_operation_note_write (self, *error);
  if (*persisted && *error != NULL)
    bs_paths_note_error (self->operation.tracked, *error);
  return *error == NULL;
}

gboolean
bs_key_operation_persist (BsKeyOperation *self, GCancellable *cancellable, GError **error)
{
  gboolean persisted = FALSE;

  if (!write_first (self, &persisted, cancellable, error) || persisted)
    return persisted;

  bs_key_operation_call (self, cancellable, error);
  return TRUE;
}

/* Makes the calls that are needed. Returns whether the call of its kind was made. */
static gboolean
execute (BsKeyOperation *self, gpointer *result, GError **error)
{
  BsStoreOperation *operation = &self->operation;
  gboolean persisted = FALSE;

  if (self->refused)
    bs_loads_set_closed (&self->key, error);
  else if (self->need == BS_NEED_MISSING)
    *error = bs_key_queue_missing_error (operation->kind, &self->key,
                                         bs_tracked_path_peek_file (operation->tracked));
  if (self->need != BS_NEED_CALL)
    return FALSE;
  if (operation->kind == BS_KIND_PERSIST)
    return bs_key_operation_persist (self, operation->cancellable, error);
  if (operation->kind == BS_KIND_WRITE)
    {
      write_first (self, &persisted, operation->cancellable, error);
      return FALSE;
    }

  *result = bs_key_operation_call (self, operation->cancellable, error);
  if (bs_kind_is_load (operation->kind) && is_closing (self) && !operation->cancelled &&
      g_error_matches (*error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    bs_loads_set_closed (&self->key, error);
  return TRUE;
}

/* Takes the operation out of its queue. */
static void
leave_queue (BsKeyOperation *self, BsDeferred *deferred)
{
  gboolean only = self->operation.previous == NULL && self->operation.next == NULL;
  BsKeyOperation *next = bs_key_queue_remove (self);

  if (self->members != NULL)
    bs_path_return_key_ticket (self->operation.tracked->path, get_tickets (self, self->members),
                               &self->operation, deferred);
  if (only && self->token != NULL)
    bs_key_operation_settle_token (self->operation.store, self->shard, self->token, self->hash,
                                   deferred);
  else if (next != NULL && next->operation.state == BS_OPERATION_QUEUED)
    bs_deferred_add_ready (deferred, &next->operation);
}

BsWaiter *
bs_key_operation_end (BsKeyOperation *self,
                      gboolean called,
                      guint64 ticket,
                      gboolean of_bulk,
                      const GError *error,
                      BsDeferred *deferred)
{
  BsStoreOperation *operation = &self->operation;
  BsWaiter *waiters;

  if (called)
    {
      bs_key_queue_note (operation->kind, &self->key, self->hash, self->token, self->members,
                         error);
      if (error == NULL &&
          (operation->kind == BS_KIND_PERSIST || operation->kind == BS_KIND_DELETE_PERSISTED))
        bs_members_settle_doubt (self->members, &self->key, self->hash, ticket, of_bulk);
      if (error != NULL && self->members != NULL &&
          (g_error_matches (error, BS_ERROR, BS_ERROR_CORRUPT) ||
           (operation->kind == BS_KIND_PERSIST &&
            g_error_matches (error, BS_ERROR, BS_ERROR_NOT_FOUND))))
        g_atomic_int_set (&operation->store->corruption_seen, TRUE);
    }

  waiters = bs_store_operation_end (operation);
  if (operation->kind == BS_KIND_REGISTER && error == NULL)
    {
      self->token->n_holders += of_bulk;
      for (BsWaiter *waiter = waiters; waiter != NULL; waiter = waiter->next)
        self->token->n_holders++;
    }
  leave_queue (self, deferred);

  return waiters;
}

/* The references of the run and of the queue are dropped last, so that an operation
 * counts until its results are handed over. An operation on the stack is gone once
 * its own waiter is answered. */
static void
key_operation_run (BsStoreOperation *operation)
{
  BsKeyOperation *self = (BsKeyOperation *) operation;
  gboolean on_stack = operation->on_stack;
  BsOperationKind kind = operation->kind;
  BsDeferred deferred = { NULL };
  g_autoptr (GError) error = NULL;
  gpointer result = NULL;
  BsWaiter *waiters;
  gboolean called;
  gpointer value;

  called = execute (self, &result, &error);
  g_mutex_lock (operation->lock);
  waiters = bs_key_operation_end (self, called, operation->ticket, FALSE, error, &deferred);
  g_mutex_unlock (operation->lock);

  value = kind == BS_KIND_REGISTER ? self->token : result;
  bs_deferred_answer (&deferred, waiters, value, error);
  free_result (kind, result);

  if (!on_stack)
    {
      bs_store_operation_unref (operation);
      bs_store_operation_unref (operation);
    }
}

static void
key_operation_drop (BsStoreOperation *operation, BsDeferred *deferred)
{
  leave_queue ((BsKeyOperation *) operation, deferred);
  bs_deferred_add_dropped (deferred, operation);
}

static void
key_operation_free (BsStoreOperation *operation)
{
  g_clear_pointer (&((BsKeyOperation *) operation)->content, bs_content_unref);
}

static const BsStoreOperationClass key_operation_class = {
  .enqueue = key_operation_enqueue,
  .begin = key_operation_begin,
  .run = key_operation_run,
  .drop = key_operation_drop,
  .free = key_operation_free,
};

static void
key_operation_init (BsKeyOperation *self,
                    BsBackingStore *store,
                    BsOperationKind kind,
                    const BsKey *key,
                    guint64 hash,
                    BsTrackedPath *tracked,
                    int priority)
{
  self->shard = bs_store_get_shard (store, hash);
  self->key = *key;
  self->hash = hash;
  self->members = tracked != NULL ? &tracked->members : NULL;
  bs_store_operation_init (&self->operation, &key_operation_class, kind, store, store->count,
                           store->backing_executor, &self->shard->mutex, tracked, priority);
  self->operation.entry.queue = hash;
}

/* With many keys an operation mostly waits for memory: fetch all of it at once. */
static inline void
prefetch (BsKeyOperation *self)
{
  if (bs_key_queue_needs_token (self->operation.kind, self->content))
    {
      if (self->token != NULL)
        __builtin_prefetch (self->token, 1);
      else
        bs_shard_prefetch (self->shard, self->hash);
    }
  if (self->members != NULL)
    bs_key_table_prefetch (&self->members->shards[bs_shard_index (self->hash)].keys, self->hash);
}

BsStoreOperation *
bs_key_operation_new (BsBackingStore *store,
                      const BsRequest *request,
                      int priority,
                      BsKeyOperation *memory)
{
  BsKeyOperation *self = memory != NULL ? memory : g_new (BsKeyOperation, 1);
  const BsKey *key = bs_request_get_key (request);

  bs_zero (self, sizeof *self);
  self->operation.on_stack = memory != NULL;
  key_operation_init (self, store, request->kind, key, bs_key_hash (key), request->tracked,
                      priority);
  self->internal = request->internal;
  self->operation.entry.waiting.newest_first = request->newest_first;
  if (request->kind == BS_KIND_DELETE_PERSISTED)
    self->only_to_delete = request->only_to_delete;
  else if (request->kind == BS_KIND_WRITE || request->kind == BS_KIND_PERSIST)
    self->content = request->content;
  if (bs_key_queue_needs_token (request->kind, self->content))
    self->token = request->token;
  prefetch (self);

  if (memory == NULL)
    {
      if (self->content != NULL)
        bs_content_ref (self->content);
      bs_store_operation_hold (&self->operation);
    }

  return &self->operation;
}

void
bs_key_operation_init_part (BsKeyOperation *self,
                            BsBackingStore *store,
                            BsOperationKind kind,
                            const BsKey *key,
                            guint64 hash,
                            BsToken *token,
                            BsTrackedPath *tracked)
{
  bs_zero (self, sizeof *self);
  self->operation.on_stack = TRUE;
  self->operation.unattended = TRUE;
  self->operation.state = BS_OPERATION_RUNNING;
  key_operation_init (self, store, kind, key, hash, tracked, 0);
  self->token = token;
  bs_key_queue_append (self, NULL);
}

void
bs_key_operation_settle_token (BsBackingStore *store,
                               BsShard *shard,
                               BsToken *token,
                               guint64 hash,
                               BsDeferred *deferred)
{
  gboolean is_first;

  if (token->n_holders > 0 || token->is_dropped)
    return;
  if (token->primary == BS_PRIMARY_ABSENT || g_atomic_int_get (&store->state) == BS_STATE_CLOSED)
    {
      bs_shard_remove (shard, token, hash);
      return;
    }

  is_first = shard->dropped == NULL;
  bs_shard_drop (shard, token);
  if (is_first)
    store->expect_deletion (store, deferred);
  else
    bs_executor_remind (store->backing_executor);
}

BsToken *
bs_token_new (BsBackingStore *store)
{
  BsToken *token;
  BsShard *shard;
  guint64 hash;
  BsKey key;

  bs_key_init_random (&key);
  hash = bs_key_hash (&key);
  shard = bs_store_get_shard (store, hash);

  g_mutex_lock (&shard->mutex);
  token = bs_shard_obtain (shard, &key, hash);
  token->n_holders++;
  g_mutex_unlock (&shard->mutex);

  return token;
}

void
bs_token_drop (BsBackingStore *store, BsToken *token)
{
  guint64 hash = bs_key_hash (&token->key);
  BsShard *shard = bs_store_get_shard (store, hash);
  BsDeferred deferred = { NULL };
  BsKeyOperation *last;

  if (bs_store_is_in_child (store))
    return;

  g_mutex_lock (&shard->mutex);
  if (--token->n_holders == 0)
    {
      last = bs_key_queue_find_last (shard, &token->key, hash);
      if (last != NULL)
        last->token = token;
      else
        bs_key_operation_settle_token (store, shard, token, hash, &deferred);
    }
  g_mutex_unlock (&shard->mutex);

  bs_deferred_run (&deferred);
}
