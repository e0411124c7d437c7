/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store/queues/bs-path-queue-private.h"

/* What concerns a path as a whole, when its turn has come. */

/* Ends a operation of the path: whoever waits for it is answered. */
static void
path_operation_end (BsPathOperation *self, gpointer value, const GError *error)
{
  BsStoreOperation *operation = &self->operation;
  BsPath *path = self->path;
  BsDeferred deferred = { NULL, };
  BsWaiter *waiters;

  g_mutex_lock (&path->mutex);
  operation->state = BS_OPERATION_DONE;
  waiters = bs_store_operation_steal_callers (operation);
  bs_path_remove (path, operation);
  bs_path_dispatch (path, &deferred);
  g_mutex_unlock (&path->mutex);

  bs_deferred_push (&deferred);
  bs_store_operation_answer (waiters, value, error);
  bs_deferred_run (&deferred);
  bs_store_operation_unref (operation);
}

BsWaiter *
bs_path_operation_put_back (BsPathOperation *self, BsDeferred *deferred)
{
  BsPath *path = self->path;
  BsWaiter *left;

  path->running = NULL;
  left = bs_store_operation_put_back (&self->operation, deferred);
  bs_path_dispatch (path, deferred);

  return left;
}

static void
path_operation_wait_for_release (BsPathOperation *self)
{
  BsPath *path = self->path;
  BsDeferred deferred = { NULL, };
  BsWaiter *left;

  g_mutex_lock (&path->mutex);
  self->awaits_release = TRUE;
  left = bs_path_operation_put_back (self, &deferred);
  g_mutex_unlock (&path->mutex);

  bs_store_operation_answer_left (left);
  bs_deferred_run (&deferred);
}

static void
run_track (BsPathOperation *self)
{
  BsBackingStore *store = self->operation.store;
  BsPath *path = self->path;
  g_autoptr (BsTrackedPath) tracked = NULL;
  g_autoptr (BsKeySet) found = NULL;
  g_autoptr (GError) error = NULL;
  BsPathState state;
  BsCallScope scope;

  g_mutex_lock (&path->mutex);
  state = path->state;
  g_mutex_unlock (&path->mutex);
  /* It may have been asked to be untracked since. */
  if (state != BS_PATH_UNTRACKED)
    tracked = g_weak_ref_get (&path->tracked);

  if (state != BS_PATH_UNTRACKED && tracked == NULL)
    {
      path_operation_wait_for_release (self);
      return;
    }

  if (tracked == NULL)
    {
      found = bs_key_set_new ();
      bs_call_scope_push (&scope, store, BS_SCOPE_BACKING);
      bs_backing_sanitize_path (store->backing, path->file, found, self->operation.cancellable, &error);
      bs_call_scope_pop (&scope);
    }
  if (tracked == NULL && error == NULL)
    {
      tracked = bs_tracked_path_new (store, path, path->file, found);
      g_mutex_lock (&path->mutex);
      path->state = BS_PATH_TRACKED;
      g_weak_ref_set (&path->tracked, tracked);
      g_mutex_unlock (&path->mutex);
    }

  path_operation_end (self, tracked, error);
}

static void
release (BsPathOperation *self, GCancellable *cancellable, GError **error)
{
  BsCallScope scope;

  bs_call_scope_push (&scope, self->operation.store, BS_SCOPE_BACKING);
  bs_backing_release_path (self->operation.store->backing, self->path->file, cancellable, error);
  bs_call_scope_pop (&scope);
}

static void
run_untrack (BsPathOperation *self)
{
  BsStoreOperation *operation = &self->operation;
  BsTrackedPath *tracked = operation->tracked;
  GCancellable *cancellable = operation->cancellable;
  g_autoptr (GError) error = NULL;
  gboolean again;

  do
    {
      g_clear_error (&error);
      release (self, cancellable, &error);

      g_mutex_lock (&self->path->mutex);
      again = error != NULL && cancellable != NULL && bs_store_operation_is_wanted_again (operation);
      if (!again)
        {
          self->path->state = error == NULL ? BS_PATH_UNTRACKED : BS_PATH_TRACKED;
          g_atomic_int_set (&tracked->refusing, error == NULL);
        }
      g_mutex_unlock (&self->path->mutex);
      cancellable = NULL;
    }
  while (again);

  if (error == NULL)
    bs_tracked_path_set_closed (tracked);
  path_operation_end (self, NULL, error);
}

static void
run_release (BsPathOperation *self)
{
  GError *error = NULL;

  release (self, self->operation.cancellable, &error);
  if (error != NULL)
    bs_backing_store_report (self->operation.store, NULL, BS_OPERATION_RELEASE_PATH, error);

  g_mutex_lock (&self->path->mutex);
  self->path->state = BS_PATH_UNTRACKED;
  g_mutex_unlock (&self->path->mutex);

  path_operation_end (self, NULL, NULL);
}

static void
run_sync (BsPathOperation *self)
{
  BsStoreOperation *operation = &self->operation;
  g_autoptr (GError) error = NULL;
  BsCallScope scope;

  /* Where the backing is not asked, nothing has gone wrong. */
  if (g_cancellable_is_cancelled (operation->cancellable))
    {
      error = bs_operation_error (BS_KIND_SYNC, NULL, operation->tracked, G_IO_ERROR, G_IO_ERROR_CANCELLED, "it was cancelled");
      path_operation_end (self, NULL, error);
      return;
    }

  bs_call_scope_push (&scope, operation->store, BS_SCOPE_BACKING);
  bs_backing_sync_persisted (operation->store->backing, self->path->file, operation->cancellable, &error);
  bs_call_scope_pop (&scope);

  /* Before anybody is told, so that whoever tries again reaches the backing. */
  if (error != NULL)
    bs_tracked_path_doubt (operation->tracked, bs_tickets_peek_last_ticket (&self->path->tickets));
  path_operation_end (self, NULL, error);
}

static void
run_load_root (BsPathOperation *self)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = NULL;
  BsCallScope scope;

  bs_call_scope_push (&scope, self->operation.store, BS_SCOPE_BACKING);
  bytes = bs_backing_read_root (self->operation.store->backing, self->path->file, self->operation.cancellable, &error);
  bs_call_scope_pop (&scope);

  path_operation_end (self, bytes, error);
}

static void
run_write_root (BsPathOperation *self)
{
  g_autoptr (GError) error = NULL;
  BsCallScope scope;

  bs_call_scope_push (&scope, self->operation.store, BS_SCOPE_BACKING);
  bs_backing_write_root (self->operation.store->backing, self->path->file, self->root, self->operation.cancellable, &error);
  bs_call_scope_pop (&scope);

  path_operation_end (self, NULL, error);
}

static void
path_operation_run (BsStoreOperation *operation)
{
  BsPathOperation *self = (BsPathOperation *) operation;

  /* Counted until what it had in hand is let go. */
  bs_store_operation_ref (operation);
  switch (operation->kind)
    {
    case BS_KIND_TRACK:
      run_track (self);
      break;
    case BS_KIND_UNTRACK:
      if (bs_path_survey (self))
        run_untrack (self);
      break;
    case BS_KIND_RELEASE:
      run_release (self);
      break;
    case BS_KIND_SYNC:
      if (bs_path_survey (self))
        run_sync (self);
      break;
    case BS_KIND_LOAD_ROOT:
      run_load_root (self);
      break;
    case BS_KIND_WRITE_ROOT:
      run_write_root (self);
      break;
    default:
      g_assert_not_reached ();
    }
  bs_store_operation_unref (operation);
}

static void
path_operation_drop (BsStoreOperation *operation, BsDeferred *deferred)
{
  BsPath *path = ((BsPathOperation *) operation)->path;

  if (operation->kind == BS_KIND_UNTRACK)
    {
      path->state = BS_PATH_TRACKED;
      g_atomic_int_set (&operation->tracked->refusing, FALSE);
    }
  bs_path_remove (path, operation);
  bs_path_dispatch (path, deferred);
  bs_deferred_add_dropped (deferred, operation);
}

static void
path_operation_free (BsStoreOperation *operation)
{
  BsPathOperation *self = (BsPathOperation *) operation;

  /* What was dropped may have been all there was to know. */
  bs_path_forget (operation->store, self->path, 0);
  bs_path_unref (self->path);
  g_free (self->barriers);
  g_clear_pointer (&self->root, g_bytes_unref);
}

static const BsStoreOperationClass path_operation_class = {
  .run = path_operation_run,
  .drop = path_operation_drop,
  .free = path_operation_free,
};

BsStoreOperation *
bs_path_operation_new (BsBackingStore *store, BsPath *path, BsOperationKind kind, BsTrackedPath *tracked, int priority)
{
  BsPathOperation *self = g_new0 (BsPathOperation, 1);

  bs_store_operation_init (&self->operation, &path_operation_class, kind, store, store->backing_executor, &path->mutex, tracked, priority);
  self->path = bs_path_ref (path);
  if (kind == BS_KIND_SYNC)
    self->barriers = g_new (guint64, BS_PATH_N_LISTS);
  bs_store_operation_hold (&self->operation);

  return &self->operation;
}
