/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store/operations/bs-key-operation-private.h"

#include "base/bs-backing-private.h"
#include "store/queues/bs-path-private.h"

/* An operation on one key, when its turn has come. */

static void
key_operation_free (BsStoreOperation *operation)
{
  g_clear_pointer (&((BsKeyOperation *) operation)->content, bs_content_unref);
}

static void
key_operation_drop (BsStoreOperation *operation, BsDeferred *deferred)
{
  BsKeyOperation *self = (BsKeyOperation *) operation;
  BsShard *shard = &operation->store->shards[bs_shard_index (self->hash)];

  bs_path_return_key_ticket (operation, bs_shard_index (self->hash), deferred);
  bs_key_queue_advance (operation->store, shard, self->token, self->hash, operation, deferred);
  bs_deferred_add_dropped (deferred, operation);
}

/* A blob that is missing from primary storage, though some tracked path has it,
 * is made available again. While it does so the read stands in that path's
 * list, so that the path is not released meanwhile. */
static gboolean
heal_from (BsKeyOperation *self, BsShard *shard, BsTrackedPath *tracked)
{
  BsStoreOperation *operation = &self->operation;
  BsDeferred deferred = { NULL, };
  gboolean healed = FALSE;
  gboolean usable;

  g_mutex_lock (&shard->mutex);
  usable = bs_tracked_path_get_membership (tracked, &self->key, self->hash) == BS_MEMBER_YES;
  if (usable)
    {
      operation->tracked = tracked;
      usable = bs_path_take_key_ticket (operation, bs_shard_index (self->hash), FALSE);
    }
  g_mutex_unlock (&shard->mutex);

  if (usable)
    healed = bs_backing_invoke_register_key (operation->store->backing, bs_tracked_path_get_file (tracked),
                                             &self->key, operation->cancellable, NULL);

  g_mutex_lock (&shard->mutex);
  bs_path_return_key_ticket (operation, bs_shard_index (self->hash), &deferred);
  operation->tracked = NULL;
  g_mutex_unlock (&shard->mutex);
  bs_deferred_run (&deferred);

  return healed;
}

static gboolean
heal (BsKeyOperation *self, BsShard *shard)
{
  g_autoptr (GPtrArray) tracked_paths = bs_path_list_tracked (self->operation.store);

  for (guint i = 0; i < tracked_paths->len; i++)
    if (heal_from (self, shard, g_ptr_array_index (tracked_paths, i)))
      return TRUE;

  return FALSE;
}

static GBytes *
call_read (BsKeyOperation *self, BsShard *shard, GError **error)
{
  BsBacking *backing = self->operation.store->backing;
  g_autoptr (GError) local_error = NULL;
  GBytes *bytes;

  bytes = bs_backing_invoke_read (backing, &self->key, self->operation.cancellable, &local_error);
  if (g_error_matches (local_error, BS_ERROR, BS_ERROR_NOT_FOUND) && heal (self, shard))
    {
      g_clear_error (&local_error);
      bytes = bs_backing_invoke_read (backing, &self->key, self->operation.cancellable, &local_error);
    }
  if (local_error != NULL)
    g_propagate_error (error, g_steal_pointer (&local_error));

  return bytes;
}

/* After a write that failed, nobody knows what it has left. */
static gboolean
call_write (BsKeyOperation *self, GBytes *bytes, BsPrimary primary, GError **error)
{
  BsBacking *backing = self->operation.store->backing;
  GCancellable *cancellable = self->operation.cancellable;
  g_autoptr (GError) local_error = NULL;

  if (bs_backing_invoke_write (backing, &self->key, bytes, cancellable, &local_error))
    return TRUE;
  if (primary == BS_PRIMARY_UNCERTAIN && g_error_matches (local_error, BS_ERROR, BS_ERROR_EXISTS))
    return bs_backing_invoke_delete_key (backing, &self->key, cancellable, error) &&
           bs_backing_invoke_write (backing, &self->key, bytes, cancellable, error);

  g_propagate_error (error, g_steal_pointer (&local_error));
  return FALSE;
}

/* What primary storage has may be the very file that was found to be bad: it is
 * written anew where somebody has it in memory. */
static void
call_persist (BsKeyOperation *self, BsShard *shard, GFile *file, GError **error)
{
  BsStoreOperation *operation = &self->operation;
  BsBacking *backing = operation->store->backing;
  g_autoptr (GError) local_error = NULL;
  g_autoptr (GBytes) bytes = NULL;

  if (bs_backing_invoke_persist (backing, file, &self->key, operation->cancellable, &local_error))
    return;
  if (self->content == NULL || self->written || !g_error_matches (local_error, BS_ERROR, BS_ERROR_CORRUPT))
    {
      g_propagate_error (error, g_steal_pointer (&local_error));
      return;
    }

  bytes = bs_content_make_bytes (self->content, operation->cancellable, error);
  if (bytes == NULL)
    return;

  self->written = call_write (self, bytes, BS_PRIMARY_UNCERTAIN, error);
  g_mutex_lock (&shard->mutex);
  bs_key_queue_note (BS_KIND_WRITE, &self->key, self->hash, self->token, NULL, NULL, *error);
  g_mutex_unlock (&shard->mutex);
  if (self->written)
    bs_backing_invoke_persist (backing, file, &self->key, operation->cancellable, error);
}

static GBytes *
call_backing (BsKeyOperation *self, BsShard *shard, GError **error)
{
  BsStoreOperation *operation = &self->operation;
  BsBacking *backing = operation->store->backing;
  GFile *file = operation->tracked != NULL ? operation->tracked->file : NULL;
  GBytes *bytes = NULL;
  BsCallScope scope;

  bs_call_scope_push (&scope, operation->store, BS_SCOPE_BACKING);
  switch (operation->kind)
    {
    case BS_KIND_READ:
      bytes = call_read (self, shard, error);
      break;
    case BS_KIND_DELETE:
      bs_backing_invoke_delete_key (backing, &self->key, operation->cancellable, error);
      break;
    case BS_KIND_REGISTER:
      bs_backing_invoke_register_key (backing, file, &self->key, operation->cancellable, error);
      break;
    case BS_KIND_PERSIST:
      call_persist (self, shard, file, error);
      break;
    case BS_KIND_DELETE_PERSISTED:
      bs_backing_invoke_delete_persisted (backing, file, &self->key, operation->cancellable, error);
      break;
    case BS_KIND_VERIFY:
      bs_backing_invoke_verify_persisted (backing, file, &self->key, operation->cancellable, error);
      break;
    default:
      g_assert_not_reached ();
    }
  bs_call_scope_pop (&scope);

  return bytes;
}

/* Writes the content if it is not in primary storage yet. */
static gboolean
write_first (BsKeyOperation *self, BsShard *shard, GError **error)
{
  g_autoptr (GBytes) bytes = NULL;
  BsPrimary primary;
  BsCallScope scope;

  if (self->content == NULL)
    return TRUE;

  g_mutex_lock (&shard->mutex);
  primary = self->token->primary;
  g_mutex_unlock (&shard->mutex);
  if (primary == BS_PRIMARY_PRESENT)
    return TRUE;

  bs_call_scope_push (&scope, self->operation.store, BS_SCOPE_BACKING);
  bytes = bs_content_make_bytes (self->content, self->operation.cancellable, error);
  if (bytes != NULL)
    self->written = call_write (self, bytes, primary, error);
  bs_call_scope_pop (&scope);

  /* Where there was nothing to write, the backing was not called. */
  if (bytes == NULL)
    return FALSE;

  g_mutex_lock (&shard->mutex);
  bs_key_queue_note (BS_KIND_WRITE, &self->key, self->hash, self->token, NULL, NULL, *error);
  g_mutex_unlock (&shard->mutex);

  return *error == NULL;
}

/* Its turn has come: what is still needed? Under the shard's mutex. */
static BsNeed
decide (BsKeyOperation *self)
{
  BsStoreOperation *operation = &self->operation;
  BsToken *token = self->token;
  BsNeed need = bs_key_queue_need (operation->kind, token, operation->tracked, &self->key, self->hash);

  if (need == BS_NEED_CALL && operation->kind == BS_KIND_DELETE)
    {
      if (token->n_holders > 0 || token->primary == BS_PRIMARY_ABSENT)
        return BS_NEED_NOTHING;
      for (BsStoreOperation *later = operation->next; later != NULL; later = later->next)
        if (later->kind == BS_KIND_REGISTER)
          return BS_NEED_NOTHING;
    }
  if (need == BS_NEED_CALL && operation->kind == BS_KIND_WRITE && token->n_holders == 0)
    return BS_NEED_MISSING;

  return need;
}

/* A short call is counted by its shard, under the lock that it takes anyhow, but
 * while it answers others by the task tracker. */
static void
end_call (BsShard *shard, BsBackingStore *store, gboolean goes_on)
{
  if (goes_on)
    bs_task_tracker_begin (store->tracker);
  bs_shard_set_n_calls (shard, shard->n_calls - 1);
}

BsWaiter *
bs_key_operation_carry_out (BsKeyOperation *self, gboolean needed, guint n_others, GBytes **bytes, BsDeferred *deferred, GError **error)
{
  BsStoreOperation *operation = &self->operation;
  BsShard *shard = &operation->store->shards[bs_shard_index (self->hash)];
  gboolean called = FALSE;
  BsWaiter *waiters;

  if (needed && (operation->kind == BS_KIND_WRITE || operation->kind == BS_KIND_PERSIST))
    needed = write_first (self, shard, error) && operation->kind == BS_KIND_PERSIST;
  if (needed)
    {
      *bytes = call_backing (self, shard, error);
      called = TRUE;
    }

  g_mutex_lock (&shard->mutex);
  if (called)
    bs_key_queue_note (operation->kind, &self->key, self->hash, self->token, operation->tracked, operation, *error);
  waiters = bs_store_operation_steal_callers (operation);
  if (operation->kind == BS_KIND_REGISTER && *error == NULL)
    {
      self->token->n_holders += n_others;
      for (BsWaiter *waiter = waiters; waiter != NULL; waiter = waiter->next)
        self->token->n_holders++;
    }
  operation->state = BS_OPERATION_DONE;
  bs_path_return_key_ticket (operation, bs_shard_index (self->hash), deferred);
  if (self->token != NULL)
    bs_key_queue_advance (operation->store, shard, self->token, self->hash, operation, deferred);
  else
    shard->loose = NULL;
  if (operation->embedded)
    end_call (shard, operation->store, waiters != NULL || !bs_deferred_is_empty (deferred));
  g_mutex_unlock (&shard->mutex);

  return waiters;
}

gpointer
bs_key_operation_get_value (BsKeyOperation *self, GBytes *bytes)
{
  return self->operation.kind == BS_KIND_REGISTER ? (gpointer) self->token : bytes;
}

static void
key_operation_run (BsStoreOperation *operation)
{
  BsKeyOperation *self = (BsKeyOperation *) operation;
  BsDeferred deferred = { NULL, };
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = NULL;
  BsWaiter *waiters;
  BsNeed need;

  g_mutex_lock (operation->lock);
  need = decide (self);
  g_mutex_unlock (operation->lock);

  if (need == BS_NEED_MISSING)
    error = bs_key_queue_missing_error (operation->kind, &self->key, operation->tracked);
  waiters = bs_key_operation_carry_out (self, need == BS_NEED_CALL, 0, &bytes, &deferred, &error);
  if (operation->kind == BS_KIND_DELETE && error != NULL)
    bs_backing_store_report (operation->store, &self->key, BS_OPERATION_DELETE_KEY, g_steal_pointer (&error));

  bs_deferred_push (&deferred);
  bs_store_operation_answer (waiters, bs_key_operation_get_value (self, bytes), error);
  bs_deferred_run (&deferred);
  g_clear_pointer (&bytes, g_bytes_unref);
  bs_store_operation_unref (operation);
}

static const BsStoreOperationClass key_operation_class = {
  .run = key_operation_run,
  .drop = key_operation_drop,
  .free = key_operation_free,
};

BsStoreOperation *
bs_key_operation_init (BsKeyOperation *self, BsBackingStore *store, BsOperationKind kind, const BsKey *key, guint64 hash, BsTrackedPath *tracked, int priority)
{
  bs_store_operation_init (&self->operation, &key_operation_class, kind, store, store->backing_executor,
               &store->shards[bs_shard_index (hash)].mutex, tracked, priority);
  self->key = *key;
  self->hash = hash;

  return &self->operation;
}
