/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store/queues/bs-path-queue-private.h"

#include "store/operations/bs-function-private.h"

/* A path's queue holds what concerns the path as a whole: one of these runs at
 * a time.
 *
 * At most two syncs exist: one closing, which covers what was asked before it
 * was frozen, and one gathering, which is frozen when the closing one ends. */

static const char waits_for_itself[] = "called from inside a commit function that the path's saves wait for, it would wait for itself";

BsPath *
bs_path_ref (BsPath *path)
{
  g_atomic_ref_count_inc (&path->ref_count);
  return path;
}

void
bs_path_unref (BsPath *path)
{
  if (!g_atomic_ref_count_dec (&path->ref_count))
    return;

  g_assert (path->queue.head == NULL && path->saves.head == NULL && path->gathering == NULL && path->tickets.first == NULL);
  g_object_unref (path->file);
  g_free (path->uri);
  g_weak_ref_clear (&path->tracked);
  g_mutex_clear (&path->mutex);
  g_free (path);
}

/* Finds or makes it, and keeps it in the table until it is unpinned. */
static BsPath *
path_pin (BsBackingStore *store, GFile *file)
{
  BsPath *spare = g_new0 (BsPath, 1);
  BsPath *path;

  g_atomic_ref_count_init (&spare->ref_count);
  spare->file = g_object_ref (file);
  spare->uri = g_file_get_uri (file);
  g_mutex_init (&spare->mutex);
  g_weak_ref_init (&spare->tracked, NULL);

  g_mutex_lock (&store->paths_mutex);
  path = g_hash_table_lookup (store->paths, spare->uri);
  if (path == NULL)
    {
      path = g_steal_pointer (&spare);
      g_hash_table_insert (store->paths, path->uri, path);
    }
  path->n_pins++;
  bs_path_ref (path);
  g_mutex_unlock (&store->paths_mutex);

  if (spare != NULL)
    bs_path_unref (spare);
  return path;
}

void
bs_path_forget (BsBackingStore *store, BsPath *path, guint n_pins)
{
  gboolean idle;

  g_mutex_lock (&store->paths_mutex);
  path->n_pins -= n_pins;
  g_mutex_lock (&path->mutex);
  idle = path->n_pins == 0 && path->state == BS_PATH_UNTRACKED && path->queue.head == NULL &&
         g_hash_table_lookup (store->paths, path->uri) == path;
  g_mutex_unlock (&path->mutex);
  if (idle)
    g_hash_table_steal (store->paths, path->uri);
  g_mutex_unlock (&store->paths_mutex);

  if (idle)
    bs_path_unref (path);
}

/* It is, until it has looked at the tickets, so as to do that. */
static gboolean
tickets_passed (BsPath *path, BsPathOperation *self)
{
  return self->survey == 0 || path->n_awaited == 0;
}

/* An untrack that was asked later is not what it waits for. */
static gboolean
is_before_untrack (BsStoreOperation *operation)
{
  while (operation != NULL && operation->kind != BS_KIND_UNTRACK)
    operation = operation->next;

  return operation != NULL;
}

static gboolean
eligible (BsPath *path, BsPathOperation *self)
{
  switch ((int) self->operation.kind)
    {
    case BS_KIND_TRACK:
      return path->state == BS_PATH_UNTRACKED ||
             (!self->awaits_release && (path->state == BS_PATH_TRACKED || is_before_untrack (&self->operation)));
    case BS_KIND_SYNC:
      return tickets_passed (path, self);
    case BS_KIND_UNTRACK:
      /* New ones are refused; what those before it ask for is done before they are. */
      return path->queue.head == &self->operation && path->closing == NULL && path->saves.head == NULL &&
             path->tickets.first == NULL && tickets_passed (path, self);
    default:
      return TRUE;
    }
}

/* The next whose turn has come, made READY. */
static BsStoreOperation *
path_next (BsPath *path)
{
  if (path->running != NULL)
    return NULL;

  for (BsStoreOperation *operation = path->queue.head; operation != NULL; operation = operation->next)
    if (eligible (path, (BsPathOperation *) operation))
      {
        path->running = operation;
        operation->state = BS_OPERATION_READY;
        return operation;
      }

  return NULL;
}

void
bs_path_dispatch (BsPath *path, BsDeferred *deferred)
{
  BsStoreOperation *operation = path_next (path);

  if (operation != NULL)
    bs_deferred_add_ready (deferred, operation);
}

/* The last ticket there of what was asked so far. */
static guint64
peek_barrier (BsPath *path, BsTrackedPath *tracked, guint list)
{
  return bs_tickets_peek_last_ticket (list < BS_N_SHARDS ? &tracked->shards[list].tickets : &path->tickets);
}

static gboolean
covers_all (BsPath *path, BsPathOperation *sync)
{
  for (guint i = 0; i < BS_PATH_N_LISTS; i++)
    if (peek_barrier (path, sync->operation.tracked, i) != sync->barriers[i])
      return FALSE;

  return TRUE;
}

/* The gathering sync becomes the closing one. Takes its reference over. */
static void
freeze (BsPath *path)
{
  BsPathOperation *sync = (BsPathOperation *) path->gathering;

  path->closing = g_steal_pointer (&path->gathering);
  for (guint i = 0; i < BS_PATH_N_LISTS; i++)
    sync->barriers[i] = peek_barrier (path, sync->operation.tracked, i);
  bs_operation_list_append (&path->queue, path->closing);
}

void
bs_path_remove (BsPath *path, BsStoreOperation *operation)
{
  if (operation == path->gathering)
    {
      path->gathering = NULL;
      return;
    }

  bs_operation_list_remove (&path->queue, operation);
  if (path->running == operation)
    path->running = NULL;
  if (path->waiting == operation)
    path->waiting = NULL;
  if (path->closing == operation)
    {
      path->closing = NULL;
      if (path->gathering != NULL)
        freeze (path);
    }
}

/* The identical operation that may be joined. */
static BsStoreOperation *
find_joinable (BsPath *path, BsOperationKind kind, BsTrackedPath *tracked)
{
  for (BsStoreOperation *operation = path->queue.tail; operation != NULL; operation = operation->previous)
    {
      if (bs_store_operation_joinable (operation, kind, tracked))
        return operation;
      if (operation->kind == BS_KIND_UNTRACK || operation->kind == BS_KIND_RELEASE || operation->kind == BS_KIND_WRITE_ROOT)
        return NULL;
    }

  return NULL;
}

/* There is one at most. One that everybody has left releases the path again for who
 * joins it, if need be. */
static BsStoreOperation *
find_untrack (BsPath *path)
{
  BsStoreOperation *operation = path->queue.head;

  if (path->state != BS_PATH_UNTRACKING)
    return NULL;

  while (operation->kind != BS_KIND_UNTRACK)
    operation = operation->next;
  return operation;
}

/* The sync that covers all that was asked so far; `spare` becomes one where
 * there is none. */
static BsStoreOperation *
obtain_sync (BsPath *path, BsStoreOperation **spare)
{
  BsStoreOperation *closing = path->closing;

  if (closing != NULL && !closing->fired && covers_all (path, (BsPathOperation *) closing))
    return closing;

  if (path->gathering == NULL)
    path->gathering = g_steal_pointer (spare);

  return path->gathering;
}

/* Adds the waiter to a operation, and whatever may run now to `deferred`; returns the
 * waiter's own operation, referenced, when that may run now. Under the path's mutex. */
static BsStoreOperation *
path_submit (BsPath *path, BsStoreOperation *operation, BsWaiter *waiter, BsDeferred *deferred)
{
  BsStoreOperation *next;

  bs_store_operation_join (operation, waiter);
  bs_store_operation_lend (operation, waiter->priority);
  if (operation == path->gathering && path->closing == NULL)
    freeze (path);

  next = path_next (path);
  if (next == operation)
    return bs_store_operation_ref (operation);
  if (next != NULL)
    bs_deferred_add_ready (deferred, next);
  return NULL;
}

void
bs_path_start_track (BsBackingStore *store, GFile *file, BsWaiter *waiter)
{
  BsPath *path = path_pin (store, file);
  g_autoptr (BsTrackedPath) tracked = g_weak_ref_get (&path->tracked);
  BsStoreOperation *spare = bs_path_operation_new (store, path, BS_KIND_TRACK, NULL, waiter->priority);
  BsDeferred deferred = { NULL, };
  GError *error = NULL;
  BsStoreOperation *start = NULL;
  gboolean refused = FALSE;
  gboolean answer, left;

  waiter->keep = bs_path_ref (path);
  waiter->keep_free = (GDestroyNotify) bs_path_unref;
  waiter->lock = &path->mutex;
  bs_waiter_connect (waiter, bs_store_operation_leave, NULL);

  g_mutex_lock (&path->mutex);
  left = waiter->left;
  /* What the weak reference gave may have been untracked since. */
  answer = left || (tracked != NULL && path->state == BS_PATH_TRACKED && !g_atomic_int_get (&tracked->refusing));
  if (!answer && waiter->blocking)
    answer = refused = !bs_wait_graph_enter (&waiter->wait, path);
  if (!answer)
    {
      BsStoreOperation *operation = find_joinable (path, BS_KIND_TRACK, NULL);

      if (operation == NULL)
        {
          operation = g_steal_pointer (&spare);
          bs_operation_list_append (&path->queue, operation);
        }
      start = path_submit (path, operation, waiter, &deferred);
    }
  g_mutex_unlock (&path->mutex);

  if (left)
    error = bs_operation_error_at (BS_KIND_TRACK, NULL, file, G_IO_ERROR, G_IO_ERROR_CANCELLED, "it was cancelled");
  else if (refused)
    error = bs_operation_error_at (BS_KIND_TRACK, NULL, file, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK, waits_for_itself);
  if (answer)
    bs_waiter_answer (waiter, error != NULL ? NULL : tracked, error);
  if (!answer)
    bs_task_lend_place (store);
  if (start != NULL)
    bs_store_operation_start (start, waiter);
  bs_deferred_run (&deferred);
  if (spare != NULL)
    bs_store_operation_unref (spare);
  bs_path_forget (store, path, 1);
  bs_path_unref (path);
}

/* How asking for something of the path as a whole has ended. */
typedef enum
{
  ASKED_WAIT,
  ASKED_NOTHING,        /* it is so already */
  ASKED_CLOSED,
  ASKED_CANCELLED,
  ASKED_WOULD_BLOCK,
} Asked;

/* Under the path's mutex. */
static Asked
ask (BsOperationKind kind, BsTrackedPath *tracked, BsWaiter *waiter, BsStoreOperation **spare, BsStoreOperation **start, BsDeferred *deferred)
{
  BsPath *path = tracked->path;
  BsStoreOperation *operation = NULL;

  if (waiter->left)
    return ASKED_CANCELLED;
  if (kind == BS_KIND_UNTRACK && (g_atomic_int_get (&tracked->closed) || path->state == BS_PATH_UNTRACKED))
    return ASKED_NOTHING;
  if (kind == BS_KIND_UNTRACK && waiter->blocking && !bs_wait_graph_enter (&waiter->wait, path))
    return ASKED_WOULD_BLOCK;

  if (kind == BS_KIND_UNTRACK)
    operation = find_untrack (path);
  else if (kind != BS_KIND_SYNC && kind != BS_KIND_WRITE_ROOT)
    operation = find_joinable (path, kind, tracked);
  if (operation == NULL && !waiter->inner && g_atomic_int_get (&tracked->refusing))
    return ASKED_CLOSED;

  if (kind == BS_KIND_SYNC)
    {
      operation = obtain_sync (path, spare);
    }
  else if (operation == NULL)
    {
      operation = g_steal_pointer (spare);
      if (kind == BS_KIND_UNTRACK)
        {
          path->state = BS_PATH_UNTRACKING;
          g_atomic_int_set (&tracked->refusing, TRUE);
          bs_store_operation_lend (path->saves.tail, waiter->priority);
        }
      bs_operation_list_append (&path->queue, operation);
    }
  *start = path_submit (path, operation, waiter, deferred);

  return ASKED_WAIT;
}

/* Takes `spare` over. */
static void
start_operation (BsStoreOperation *spare, BsWaiter *waiter)
{
  BsTrackedPath *tracked = spare->tracked;
  BsOperationKind kind = spare->kind;
  BsPath *path = tracked->path;
  BsDeferred deferred = { NULL, };
  GError *error = NULL;
  BsStoreOperation *start = NULL;
  Asked asked;

  /* An untrack waits for saves, and a save for a function of the application. */
  if (kind == BS_KIND_UNTRACK)
    bs_task_lend_place (tracked->store);

  waiter->keep = bs_path_ref (path);
  waiter->keep_free = (GDestroyNotify) bs_path_unref;
  waiter->lock = &path->mutex;
  bs_waiter_connect (waiter, bs_store_operation_leave, NULL);

  g_mutex_lock (&path->mutex);
  asked = ask (kind, tracked, waiter, &spare, &start, &deferred);
  g_mutex_unlock (&path->mutex);

  if (asked == ASKED_CLOSED)
    error = bs_operation_error (kind, NULL, tracked, BS_ERROR, BS_ERROR_CLOSED, "the tracked path is closed");
  else if (asked == ASKED_CANCELLED)
    error = bs_operation_error (kind, NULL, tracked, G_IO_ERROR, G_IO_ERROR_CANCELLED, "it was cancelled");
  else if (asked == ASKED_WOULD_BLOCK)
    error = bs_operation_error (kind, NULL, tracked, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK, waits_for_itself);
  if (asked != ASKED_WAIT)
    bs_waiter_answer (waiter, NULL, error);
  else if (kind == BS_KIND_SYNC || kind == BS_KIND_UNTRACK)
    bs_path_lend_to_tickets (tracked, kind, waiter->priority);
  if (start != NULL)
    bs_store_operation_start (start, waiter);
  bs_deferred_run (&deferred);
  if (spare != NULL)
    bs_store_operation_unref (spare);
}

void
bs_path_start (BsOperationKind kind, BsTrackedPath *tracked, BsWaiter *waiter)
{
  start_operation (bs_path_operation_new (tracked->store, tracked->path, kind, tracked, waiter->priority), waiter);
}

void
bs_path_start_write_root (BsTrackedPath *tracked, GBytes *root, BsWaiter *waiter)
{
  BsStoreOperation *operation = bs_path_operation_new (tracked->store, tracked->path, BS_KIND_WRITE_ROOT, tracked, waiter->priority);

  ((BsPathOperation *) operation)->root = g_bytes_ref (root);
  start_operation (operation, waiter);
}

GMutex *
bs_path_get_save_lock (BsPath *path)
{
  return &path->mutex;
}

void
bs_path_lend_to_saves (BsTrackedPath *tracked, int priority)
{
  BsPath *path = tracked->path;

  g_mutex_lock (&path->mutex);
  bs_store_operation_lend (path->queue.tail, priority);
  g_mutex_unlock (&path->mutex);

  bs_path_lend_to_tickets (tracked, BS_KIND_SAVE, priority);
}

gboolean
bs_path_queue_save (BsStoreOperation *operation)
{
  BsPath *path = operation->tracked->path;

  if (g_atomic_int_get (&operation->tracked->refusing))
    return FALSE;

  bs_operation_list_append (&path->saves, operation);
  if (operation->previous == NULL)
    operation->state = BS_OPERATION_READY;
  else
    bs_store_operation_lend (operation->previous, g_atomic_int_get (&operation->priority));

  return TRUE;
}

void
bs_path_remove_save (BsStoreOperation *operation, BsDeferred *deferred)
{
  BsPath *path = operation->tracked->path;

  bs_operation_list_remove (&path->saves, operation);
  if (path->saves.head == NULL)
    bs_path_dispatch (path, deferred);
  else if (path->saves.head->state == BS_OPERATION_QUEUED)
    bs_deferred_add_ready (deferred, path->saves.head);
}

void
bs_path_start_release (BsPath *path, BsBackingStore *store)
{
  BsDeferred deferred = { NULL, };
  BsStoreOperation *operation = bs_path_operation_new (store, path, BS_KIND_RELEASE, NULL, G_PRIORITY_DEFAULT);

  g_mutex_lock (&path->mutex);
  if (g_atomic_int_get (&store->state) == BS_STATE_CLOSED)
    {
      path->state = BS_PATH_UNTRACKED;
      operation->state = BS_OPERATION_DONE;
      bs_deferred_add_dropped (&deferred, operation);
    }
  else
    {
      operation->unattended = TRUE;
      bs_operation_list_prepend (&path->queue, operation);
    }
  bs_path_dispatch (path, &deferred);
  g_mutex_unlock (&path->mutex);

  bs_deferred_run (&deferred);
}

GPtrArray *
bs_path_list_tracked (BsBackingStore *store)
{
  g_autoptr (GPtrArray) paths = g_ptr_array_new_with_free_func ((GDestroyNotify) bs_path_unref);
  GPtrArray *list = g_ptr_array_new_with_free_func (g_object_unref);
  GHashTableIter iter;
  gpointer path;

  g_mutex_lock (&store->paths_mutex);
  g_hash_table_iter_init (&iter, store->paths);
  while (g_hash_table_iter_next (&iter, NULL, &path))
    g_ptr_array_add (paths, bs_path_ref (path));
  g_mutex_unlock (&store->paths_mutex);

  for (guint i = 0; i < paths->len; i++)
    {
      BsTrackedPath *tracked = g_weak_ref_get (&((BsPath *) g_ptr_array_index (paths, i))->tracked);

      if (tracked != NULL && g_atomic_int_get (&tracked->closed))
        g_clear_object (&tracked);
      if (tracked != NULL)
        g_ptr_array_add (list, tracked);
    }

  return list;
}

void
bs_path_release_all (BsBackingStore *store, GCancellable *cancellable, GError **error)
{
  g_autoptr (GPtrArray) list = bs_path_list_tracked (store);

  for (guint i = 0; i < list->len; i++)
    {
      BsTrackedPath *tracked = g_ptr_array_index (list, i);
      BsPath *path = tracked->path;
      GError *local_error = NULL;

      bs_backing_release_path (store->backing, path->file, cancellable, &local_error);

      g_mutex_lock (&path->mutex);
      path->state = BS_PATH_UNTRACKED;
      g_atomic_int_set (&tracked->refusing, TRUE);
      g_mutex_unlock (&path->mutex);
      bs_tracked_path_set_closed (tracked);
      bs_path_forget (store, path, 0);

      if (local_error == NULL)
        continue;
      if (*error == NULL)
        g_propagate_error (error, local_error);
      else
        g_error_free (local_error);
    }
}
