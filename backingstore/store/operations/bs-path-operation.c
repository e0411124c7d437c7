/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-path-operation-private.h"

#include "base/bs-backing-private.h"
#include "base/bs-key-set-private.h"
#include "store/operations/bs-paths-private.h"
#include "store/threads/bs-call-scope-private.h"

/* Operations on a path as a whole: asked for, run when their turn has come, ended. */

/* Joins the waiter to an operation, and starts the operation whose turn is now. */
static BsAsked
join (BsPathOperation *self, BsStoreOperation *joined, BsWaiter *waiter, BsDeferred *deferred)
{
  BsPath *path = self->path;
  BsStoreOperation *start;

  bs_store_operation_join (joined, waiter);
  bs_path_queue_close_sync (path);
  bs_store_operation_boost (joined, waiter->priority);
  bs_store_operation_boost (joined->previous, waiter->priority);

  start = bs_path_queue_advance (path, joined, deferred);
  return bs_asked (start != NULL ? BS_ASKED_STARTS : BS_ASKED_WAITS, start);
}

static void
append (BsPathOperation *self)
{
  bs_operation_list_append (&self->path->queue, bs_store_operation_ref (&self->operation));
}

static BsAsked
enqueue_track (BsPathOperation *self, BsWaiter *waiter, BsDeferred *deferred)
{
  BsPath *path = self->path;
  BsTrackedPath *tracked = self->found;
  BsStoreOperation *joined;
  BsPath *awaited;

  /* The object found before may have been untracked since. */
  if (tracked != NULL && path->state == BS_PATH_TRACKED &&
      !bs_members_refuse (&tracked->members, FALSE))
    return bs_asked (BS_ASKED_NOTHING, tracked);

  joined = bs_path_queue_find_joinable (path, BS_KIND_TRACK, NULL);
  awaited = joined != NULL ? ((BsPathOperation *) joined)->awaited : NULL;
  if (waiter->blocking && !bs_wait_graph_enter (&waiter->wait, awaited != NULL ? awaited : path))
    return bs_asked (BS_ASKED_IN_COMMIT, NULL);

  if (joined == NULL)
    {
      append (self);
      joined = &self->operation;
    }

  return join (self, joined, waiter, deferred);
}

static BsAsked
enqueue_untrack (BsPathOperation *self, BsWaiter *waiter, BsDeferred *deferred)
{
  BsTrackedPath *tracked = self->operation.tracked;
  BsPath *path = self->path;
  BsStoreOperation *joined;

  if (g_atomic_int_get (&tracked->closed) || path->state == BS_PATH_UNTRACKED)
    return bs_asked (BS_ASKED_NOTHING, NULL);
  if (waiter->blocking && !bs_wait_graph_enter (&waiter->wait, path))
    return bs_asked (BS_ASKED_IN_COMMIT, NULL);

  joined = bs_path_queue_find_untrack (path);
  if (joined == NULL && bs_members_refuse (self->members, FALSE))
    return bs_asked (BS_ASKED_CLOSED, NULL);
  if (joined == NULL)
    {
      path->state = BS_PATH_UNTRACKING;
      g_atomic_int_set (&self->members->refusing, TRUE);
      bs_store_operation_boost (path->saves.tail, waiter->priority);
      append (self);
      joined = &self->operation;
    }

  return join (self, joined, waiter, deferred);
}

static BsAsked
path_operation_enqueue (BsStoreOperation *operation, BsWaiter *waiter, BsDeferred *deferred)
{
  BsPathOperation *self = (BsPathOperation *) operation;
  BsStoreOperation *joined = NULL;

  if (operation->kind == BS_KIND_TRACK)
    return enqueue_track (self, waiter, deferred);
  if (operation->kind == BS_KIND_UNTRACK)
    return enqueue_untrack (self, waiter, deferred);

  if (operation->kind == BS_KIND_LOAD_ROOT)
    joined = bs_path_queue_find_joinable (self->path, operation->kind, operation->tracked);
  if (joined == NULL && bs_members_refuse (self->members, self->internal))
    return bs_asked (BS_ASKED_CLOSED, NULL);

  if (operation->kind == BS_KIND_SYNC)
    {
      joined = bs_path_queue_obtain_sync (self->path, self);
    }
  else if (joined == NULL)
    {
      append (self);
      joined = operation;
    }

  return join (self, joined, waiter, deferred);
}

/* Takes the operation out of the queue. Under the path's mutex. */
static void
take_out (BsPathOperation *self, BsDeferred *deferred)
{
  BsPath *path = self->path;

  if (self->operation.kind == BS_KIND_UNTRACK || self->operation.kind == BS_KIND_RELEASE)
    self->woken = g_steal_pointer (&path->awaiting);
  bs_path_queue_remove (path, &self->operation);
  bs_path_queue_dispatch (path, deferred);
}

/* Answers the waiters. Drops the queue's reference. */
static void
end (BsPathOperation *self, gpointer value, const GError *error)
{
  BsStoreOperation *operation = &self->operation;
  BsPath *path = self->path;
  BsDeferred deferred = { NULL };
  BsWaiter *waiters;

  if (operation->tracked != NULL)
    bs_paths_note_error (operation->tracked, error);

  g_mutex_lock (&path->mutex);
  waiters = bs_store_operation_end (operation);
  take_out (self, &deferred);
  g_mutex_unlock (&path->mutex);

  bs_deferred_answer (&deferred, waiters, value, error);
  bs_store_operation_unref (operation);
}

/* The operation waits again. Releases the path's mutex. */
static void
put_back_and_unlock (BsPathOperation *self)
{
  BsPath *path = self->path;
  BsDeferred deferred = { NULL };
  BsWaiter *cancelled;

  path->running = NULL;
  cancelled = bs_store_operation_put_back (&self->operation, &deferred);
  bs_path_queue_dispatch (path, &deferred);
  g_mutex_unlock (&path->mutex);

  bs_store_operation_answer_cancelled (cancelled);
  bs_deferred_run (&deferred);
}

/* FALSE where the operation has to wait for tickets: it is put back then. */
static gboolean
tickets_are_returned (BsPathOperation *self)
{
  if (!bs_path_count_awaited_and_lock (self))
    {
      put_back_and_unlock (self);
      return FALSE;
    }

  g_mutex_unlock (&self->path->mutex);
  return TRUE;
}

static void
release (BsBackingStore *store, BsPath *path, GCancellable *cancellable, GError **error)
{
  BsCallScope scope;

  bs_call_scope_push (&scope, store, BS_SCOPE_BACKING);
  bs_backing_release_path (store->backing, path->file, cancellable, error);
  bs_call_scope_pop (&scope);
}

/* Asks the backing where the name leads now. Returns the path there, pinned. */
static BsPath *
open_path (BsPathOperation *self, gboolean *writable, GError **error)
{
  BsBackingStore *store = self->operation.store;
  g_autoptr (GFile) file = NULL;
  BsCallScope scope;

  bs_call_scope_push (&scope, store, BS_SCOPE_BACKING);
  file = bs_backing_invoke_open_path (store->backing, self->path->file, writable,
                                      self->operation.cancellable, error);
  bs_call_scope_pop (&scope);

  return file != NULL ? bs_paths_pin_opened (store, self->path, file) : NULL;
}

static void
close_path (BsPathOperation *self, BsPath *path)
{
  bs_paths_unpin (self->operation.store, path, 1);
  bs_path_unref (path);
}

/* Nothing else runs at the path. */
static BsTrackedPath *
scan (BsPathOperation *self, BsPath *path, gboolean writable, GError **error)
{
  BsBackingStore *store = self->operation.store;
  g_autoptr (BsKeySet) found = bs_key_set_new ();
  BsTrackedPath *tracked;
  BsCallScope scope;
  gboolean scanned;

  bs_call_scope_push (&scope, store, BS_SCOPE_BACKING);
  scanned = bs_backing_sanitize_path (store->backing, path->file, found,
                                      self->operation.cancellable, error);
  bs_call_scope_pop (&scope);
  if (!scanned)
    return NULL;

  tracked =
    store->new_tracked_path (store, path, self->path->file, writable, bs_key_set_get_table (found));
  g_mutex_lock (&path->mutex);
  path->state = BS_PATH_TRACKED;
  g_weak_ref_set (&path->tracked, tracked);
  g_mutex_unlock (&path->mutex);

  return tracked;
}

static BsPathState
get_state (BsPath *path)
{
  BsPathState state;

  g_mutex_lock (&path->mutex);
  state = path->state;
  g_mutex_unlock (&path->mutex);

  return state;
}

/* The name is all there is to the path. */
static void
track_name (BsPathOperation *self, gboolean writable)
{
  BsPath *path = self->path;
  /* An untrack may have been asked since. */
  BsPathState state = get_state (path);
  BsTrackedPath *tracked = state != BS_PATH_UNTRACKED ? g_weak_ref_get (&path->tracked) : NULL;
  g_autoptr (GError) error = NULL;

  if (state != BS_PATH_UNTRACKED && tracked == NULL)
    {
      g_mutex_lock (&path->mutex);
      self->awaits_release = TRUE;
      put_back_and_unlock (self);
      return;
    }

  if (tracked == NULL)
    tracked = scan (self, path, writable, &error);

  end (self, tracked, error);
  g_clear_object (&tracked);
}

/* Takes out the blocking waiters that the path waits for in turn: each inside the
 * commit function of a save there. Under the name's mutex. */
static BsWaiter *
steal_waiters_in_commit (BsPathOperation *self, BsPath *path)
{
  BsWaiter **link = &self->operation.waiters;
  BsWaiter *stolen = NULL;

  while (*link != NULL)
    {
      BsWaiter *waiter = *link;

      if (waiter->cancelled || bs_wait_graph_move (&waiter->wait, path))
        {
          link = &waiter->next;
          continue;
        }
      *link = waiter->next;
      waiter->operation = NULL;
      waiter->next = stolen;
      stolen = waiter;
      self->operation.n_wanted--;
    }

  return stolen;
}

/* Keeps others from running at an untracked path. FALSE where the operation has to wait
 * for those that do, or to look again: it is put back then. */
static gboolean
claim (BsPathOperation *self, BsPath *path, BsPathState state)
{
  BsPath *name = self->path;
  g_autoptr (GError) error = NULL;
  BsWaiter *in_commit = NULL;

  g_mutex_lock (&path->mutex);
  if (path->state == state && bs_path_queue_claim (path, &self->operation))
    {
      g_mutex_unlock (&path->mutex);
      return TRUE;
    }

  if (path->state == state)
    {
      bs_path_queue_await (path, name);
      bs_store_operation_boost (path->queue.tail, g_atomic_int_get (&self->operation.priority));
    }
  g_mutex_lock (&name->mutex);
  if (path->state == state)
    {
      self->awaited = path;
      in_commit = steal_waiters_in_commit (self, path);
    }
  g_mutex_unlock (&path->mutex);
  put_back_and_unlock (self);

  error = bs_path_queue_in_commit_error (BS_KIND_TRACK, name->file);
  bs_store_operation_answer (in_commit, NULL, error);
  return FALSE;
}

static void
unclaim (BsPath *path)
{
  BsDeferred deferred = { NULL };
  GPtrArray *names;

  g_mutex_lock (&path->mutex);
  names = bs_path_queue_unclaim (path, &deferred);
  g_mutex_unlock (&path->mutex);

  bs_deferred_run (&deferred);
  bs_path_queue_wake (names);
}

/* The path may have been released after the backing had told of it, and another one
 * stands for the directory now: asked once more while the path is claimed, the backing
 * tells for certain. FALSE where it does not lead there. */
static gboolean
scan_claimed (BsPathOperation *self, BsPath *path, BsTrackedPath **tracked, GError **error)
{
  gboolean writable;
  BsPath *again = open_path (self, &writable, error);
  gboolean same = again == path;

  if (same)
    *tracked = scan (self, path, writable, error);
  else
    release (self->operation.store, path, NULL, NULL);
  unclaim (path);
  if (again != NULL)
    close_path (self, again);

  return same;
}

/* The name leads to a path that may have others. */
static void
track_opened (BsPathOperation *self, BsPath *path, gboolean writable)
{
  BsPathState state = get_state (path);
  BsTrackedPath *tracked = state == BS_PATH_TRACKED ? g_weak_ref_get (&path->tracked) : NULL;
  g_autoptr (GError) error = NULL;

  if (tracked != NULL)
    {
      bs_paths_set_name (tracked, self->path->file, writable);
    }
  else if (!claim (self, path, state))
    {
      return;
    }
  else if (!scan_claimed (self, path, &tracked, &error) && error == NULL)
    {
      g_mutex_lock (&self->path->mutex);
      put_back_and_unlock (self);
      return;
    }

  end (self, tracked, error);
  g_clear_object (&tracked);
}

static void
run_track (BsPathOperation *self)
{
  g_autoptr (GError) error = NULL;
  gboolean writable;
  BsPath *path = open_path (self, &writable, &error);

  if (path == NULL)
    {
      end (self, NULL, error);
      return;
    }

  if (path == self->path)
    track_name (self, writable);
  else
    track_opened (self, path, writable);
  close_path (self, path);
}

static void
run_untrack (BsPathOperation *self)
{
  BsStoreOperation *operation = &self->operation;
  GCancellable *cancellable = operation->cancellable;
  g_autoptr (GError) error = NULL;
  gboolean again;

  do
    {
      g_clear_error (&error);
      release (operation->store, self->path, cancellable, &error);

      g_mutex_lock (&self->path->mutex);
      again =
        error != NULL && cancellable != NULL && bs_store_operation_is_wanted_again (operation);
      if (!again)
        {
          self->path->state = error == NULL ? BS_PATH_UNTRACKED : BS_PATH_TRACKED;
          g_atomic_int_set (&self->members->refusing, error == NULL);
        }
      g_mutex_unlock (&self->path->mutex);
      cancellable = NULL;
    }
  while (again);

  if (error == NULL)
    bs_paths_set_closed (operation->tracked);
  end (self, NULL, error);
}

static void
run_release (BsPathOperation *self)
{
  BsBackingStore *store = self->operation.store;
  GError *error = NULL;

  release (store, self->path, self->operation.cancellable, &error);
  if (error != NULL)
    bs_store_report (store, NULL, BS_OPERATION_RELEASE_PATH, error);

  g_mutex_lock (&self->path->mutex);
  self->path->state = BS_PATH_UNTRACKED;
  g_mutex_unlock (&self->path->mutex);

  end (self, NULL, NULL);
}

/* Whether the name leads to the path. */
static gboolean
check (BsPathOperation *self, GError **error)
{
  BsStoreOperation *operation = &self->operation;

  if (!bs_backing_invoke_check_path (operation->store->backing, self->path->file,
                                     operation->cancellable, error))
    return FALSE;

  bs_paths_set_moved (operation->tracked, FALSE);
  return TRUE;
}

static void
expect_pinned (gpointer data, const BsByteSet *first_bytes, BsKeyTable *expected)
{
  bs_members_copy_pinned (data, first_bytes, expected);
}

/* Only a save asks, and has pinned the keys: no operation deletes them meanwhile. */
static void
find_missing (BsPathOperation *self, GError **error)
{
  BsStoreOperation *operation = &self->operation;
  BsKeyTable missing = { 0 };

  if (bs_backing_invoke_find_missing (operation->store->backing, self->path->file, expect_pinned,
                                      self->members, &missing, operation->cancellable, error))
    bs_members_note_missing (self->members, &missing);
  bs_key_table_clear (&missing);
}

/* A sync that is cancelled before the backing is called leaves no key in doubt. */
static void
call_sync (BsPathOperation *self, gboolean *called, GError **error)
{
  BsStoreOperation *operation = &self->operation;

  if (bs_backing_invoke_sync_persisted (operation->store->backing, self->path->file,
                                        operation->cancellable, called, error) &&
      g_atomic_int_get (&operation->tracked->moved))
    check (self, error);
}

/* An operation that is one call of the backing, or two. */
static void
run_call (BsPathOperation *self)
{
  BsBacking *backing = self->operation.store->backing;
  GCancellable *cancellable = self->operation.cancellable;
  GFile *file = self->path->file;
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = NULL;
  gboolean called = FALSE;
  BsCallScope scope;

  bs_call_scope_push (&scope, self->operation.store, BS_SCOPE_BACKING);
  if (self->operation.kind == BS_KIND_SYNC)
    call_sync (self, &called, &error);
  else if (self->operation.kind == BS_KIND_LOAD_ROOT)
    bytes = bs_backing_read_root (backing, file, cancellable, &error);
  else if (self->operation.kind == BS_KIND_WRITE_ROOT)
    bs_backing_write_root (backing, file, self->root, self->named, cancellable, &error);
  else if (check (self, &error) && self->find_missing)
    find_missing (self, &error);
  bs_call_scope_pop (&scope);

  /* Before any waiter is answered, so that a persist tried again reaches the backing. A
   * path that has moved was not touched. */
  if (called && error != NULL && !g_error_matches (error, BS_ERROR, BS_ERROR_MOVED))
    bs_members_doubt_all (self->members, bs_tickets_peek_last_ticket (&self->path->tickets));
  end (self, bytes, error);
}

static void
path_operation_run (BsStoreOperation *operation)
{
  BsPathOperation *self = (BsPathOperation *) operation;

  switch ((int) operation->kind)
    {
    case BS_KIND_TRACK:
      run_track (self);
      break;
    case BS_KIND_UNTRACK:
      if (tickets_are_returned (self))
        run_untrack (self);
      break;
    case BS_KIND_RELEASE:
      run_release (self);
      break;
    case BS_KIND_SYNC:
      if (tickets_are_returned (self))
        run_call (self);
      break;
    case BS_KIND_LOAD_ROOT:
    case BS_KIND_WRITE_ROOT:
    case BS_KIND_CHECK:
      run_call (self);
      break;
    default:
      g_assert_not_reached ();
    }

  /* The operation counts until here, and holds nothing any more. */
  bs_store_operation_unref (operation);
}

static void
path_operation_drop (BsStoreOperation *operation, BsDeferred *deferred)
{
  BsPathOperation *self = (BsPathOperation *) operation;

  if (operation->kind == BS_KIND_UNTRACK)
    {
      self->path->state = BS_PATH_TRACKED;
      g_atomic_int_set (&self->members->refusing, FALSE);
    }
  take_out (self, deferred);
  bs_deferred_add_dropped (deferred, operation);
}

static void
path_operation_free (BsStoreOperation *operation)
{
  BsPathOperation *self = (BsPathOperation *) operation;

  bs_path_queue_wake (g_steal_pointer (&self->woken));
  /* Drop the table entry if this was the last operation. */
  bs_paths_unpin (operation->store, self->path, self->pins);
  bs_path_unref (self->path);
  g_clear_object (&self->found);
  g_free (self->barriers);
  g_clear_pointer (&self->root, g_bytes_unref);
  g_clear_object (&self->named);
}

static void
path_operation_hold_lock (BsStoreOperation *operation, BsWaiter *waiter)
{
  bs_waiter_hold_lock (waiter, bs_path_ref (((BsPathOperation *) operation)->path),
                       (GDestroyNotify) bs_path_unref);
}

static void
path_operation_boost (BsStoreOperation *operation, int priority)
{
  BsPathOperation *self = (BsPathOperation *) operation;

  if (operation->kind == BS_KIND_SYNC || operation->kind == BS_KIND_UNTRACK)
    bs_path_boost_tickets (self->path, self->members, operation->kind, priority);
}

static const BsStoreOperationClass path_operation_class = {
  .enqueue = path_operation_enqueue,
  .run = path_operation_run,
  .drop = path_operation_drop,
  .free = path_operation_free,
  .hold_lock = path_operation_hold_lock,
  .boost = path_operation_boost,
};

/* Takes over a reference on the path. */
static BsPathOperation *
path_operation_new (BsBackingStore *store,
                    BsPath *path,
                    BsOperationKind kind,
                    BsTrackedPath *tracked,
                    int priority)
{
  BsPathOperation *self = g_new0 (BsPathOperation, 1);

  bs_store_operation_init (&self->operation, &path_operation_class, kind, store, store->count,
                           store->backing_executor, &path->mutex, tracked, priority);
  self->operation.entry.queue = (guintptr) path;
  self->path = path;
  self->members = tracked != NULL ? &tracked->members : NULL;
  bs_store_operation_hold (&self->operation);

  return self;
}

BsStoreOperation *
bs_path_operation_new (BsBackingStore *store, const BsRequest *request, int priority)
{
  BsPathOperation *self;

  if (request->kind == BS_KIND_TRACK)
    {
      self = path_operation_new (store, bs_paths_pin (store, request->file), request->kind, NULL,
                                 priority);
      self->pins = TRUE;
      self->found = g_weak_ref_get (&self->path->tracked);
    }
  else
    {
      self = path_operation_new (store, bs_path_ref (request->tracked->path), request->kind,
                                 request->tracked, priority);
      self->internal = request->internal;
      if (request->kind == BS_KIND_WRITE_ROOT)
        {
          self->root = g_bytes_ref (request->root);
          g_set_object (&self->named, request->named);
        }
      else if (request->kind == BS_KIND_CHECK)
        self->find_missing = request->find_missing;
    }

  return &self->operation;
}

void
bs_path_operation_release (BsBackingStore *store, BsPath *path)
{
  BsDeferred deferred = { NULL };
  BsStoreOperation *operation;
  BsPathOperation *self;

  if (bs_store_is_in_child (store))
    return;

  self = path_operation_new (store, bs_path_ref (path), BS_KIND_RELEASE, NULL, G_PRIORITY_DEFAULT);
  operation = &self->operation;
  operation->counted = TRUE;
  operation->stripe = bs_task_count_begin (store->count);

  g_mutex_lock (&path->mutex);
  if (g_atomic_int_get (&store->state) >= BS_STATE_RELEASING)
    {
      path->state = BS_PATH_UNTRACKED;
      operation->state = BS_OPERATION_DONE;
      bs_deferred_add_dropped (&deferred, operation);
    }
  else
    {
      operation->unattended = TRUE;
      if (path->queue.head != NULL)
        operation->priority =
          MIN (operation->priority, g_atomic_int_get (&path->queue.head->priority));
      bs_operation_list_prepend (&path->queue, operation);
    }
  bs_path_queue_dispatch (path, &deferred);
  g_mutex_unlock (&path->mutex);

  bs_deferred_run (&deferred);
}
