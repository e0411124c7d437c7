/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-path-queue-private.h"

/* A path's queue holds the operations on the path as a whole: one of them runs at a
 * time.
 *
 * At most two syncs exist: one closing, which covers what was asked before it was
 * frozen, and one gathering, which is frozen when the closing one ends. */

#define N_LISTS (BS_N_SHARDS + 1)

BsPath *
bs_path_new (GFile *file, gboolean is_name)
{
  BsPath *path = g_new0 (BsPath, 1);

  g_atomic_ref_count_init (&path->ref_count);
  path->file = file;
  path->uri = is_name ? g_file_get_uri (file) : NULL;
  g_mutex_init (&path->mutex);
  g_weak_ref_init (&path->tracked, NULL);

  return path;
}

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

  g_assert (path->queue.head == NULL && path->gathering == NULL && path->saves.head == NULL);
  g_assert (path->tickets.first == NULL && path->awaiting == NULL);
  g_object_unref (path->file);
  g_free (path->uri);
  g_weak_ref_clear (&path->tracked);
  g_mutex_clear (&path->mutex);
  g_free (path);
}

GError *
bs_path_queue_in_commit_error (BsOperationKind kind, GFile *file)
{
  return bs_operation_error (
    kind, NULL, file, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK,
    "a blocking call from inside a commit function that the path's saves wait for would wait for itself");
}

/* An operation may always run until it has counted the tickets that it awaits. */
static gboolean
tickets_returned (BsPath *path, BsPathOperation *self)
{
  return self->count == 0 || path->n_awaited == 0;
}

/* A track does not wait for an untrack asked later. */
static gboolean
is_before_untrack (BsStoreOperation *operation)
{
  while (operation != NULL && operation->kind != BS_KIND_UNTRACK)
    operation = operation->next;

  return operation != NULL;
}

static gboolean
is_eligible (BsPath *path, BsPathOperation *self)
{
  switch ((int) self->operation.kind)
    {
    case BS_KIND_TRACK:
      if (self->awaited != NULL)
        return FALSE;
      return path->state == BS_PATH_UNTRACKED ||
             (!self->awaits_release &&
              (path->state == BS_PATH_TRACKED || is_before_untrack (&self->operation)));
    case BS_KIND_SYNC:
      return tickets_returned (path, self);
    case BS_KIND_UNTRACK:
      /* New operations are refused; wait for those queued earlier. */
      return path->queue.head == &self->operation && path->closing == NULL &&
             path->saves.head == NULL && path->tickets.first == NULL &&
             tickets_returned (path, self);
    default:
      return TRUE;
    }
}

/* The next operation whose turn has come, made READY. */
static BsStoreOperation *
next_ready (BsPath *path)
{
  if (path->running != NULL)
    return NULL;

  for (BsStoreOperation *operation = path->queue.head; operation != NULL;
       operation = operation->next)
    if (is_eligible (path, (BsPathOperation *) operation))
      {
        path->running = operation;
        operation->state = BS_OPERATION_READY;
        return operation;
      }

  return NULL;
}

BsStoreOperation *
bs_path_queue_advance (BsPath *path, BsStoreOperation *wanted, BsDeferred *deferred)
{
  BsStoreOperation *operation = next_ready (path);

  if (operation == NULL)
    return NULL;
  if (operation == wanted)
    return bs_store_operation_ref (operation);

  bs_deferred_add_ready (deferred, operation);
  return NULL;
}

void
bs_path_queue_dispatch (BsPath *path, BsDeferred *deferred)
{
  bs_path_queue_advance (path, NULL, deferred);
}

gboolean
bs_path_queue_claim (BsPath *path, BsStoreOperation *track)
{
  if (path->state != BS_PATH_UNTRACKED || path->running != NULL)
    return FALSE;

  path->running = track;
  return TRUE;
}

GPtrArray *
bs_path_queue_unclaim (BsPath *path, BsDeferred *deferred)
{
  path->running = NULL;
  bs_path_queue_dispatch (path, deferred);

  return g_steal_pointer (&path->awaiting);
}

void
bs_path_queue_await (BsPath *path, BsPath *name)
{
  if (path->awaiting == NULL)
    path->awaiting = g_ptr_array_new_with_free_func ((GDestroyNotify) bs_path_unref);
  g_ptr_array_add (path->awaiting, bs_path_ref (name));
}

void
bs_path_queue_wake (GPtrArray *names)
{
  if (names == NULL)
    return;

  for (guint i = 0; i < names->len; i++)
    {
      BsPath *name = g_ptr_array_index (names, i);
      BsDeferred deferred = { NULL };

      g_mutex_lock (&name->mutex);
      for (BsStoreOperation *operation = name->queue.head; operation != NULL;
           operation = operation->next)
        ((BsPathOperation *) operation)->awaited = NULL;
      bs_path_queue_dispatch (name, &deferred);
      g_mutex_unlock (&name->mutex);

      bs_deferred_run (&deferred);
    }
  g_ptr_array_unref (names);
}

/* The last ticket of a list so far. */
static guint64
peek_barrier (BsPath *path, BsMembers *members, guint list)
{
  return bs_tickets_peek_last_ticket (list < BS_N_SHARDS ? &members->shards[list].tickets
                                                         : &path->tickets);
}

static gboolean
covers_all (BsPath *path, BsPathOperation *sync)
{
  for (guint i = 0; i < N_LISTS; i++)
    if (peek_barrier (path, sync->members, i) != sync->barriers[i])
      return FALSE;

  return TRUE;
}

void
bs_path_queue_close_sync (BsPath *path)
{
  BsPathOperation *sync = (BsPathOperation *) path->gathering;

  if (sync == NULL || path->closing != NULL)
    return;

  path->closing = g_steal_pointer (&path->gathering);
  sync->barriers = g_new (guint64, N_LISTS);
  for (guint i = 0; i < N_LISTS; i++)
    sync->barriers[i] = peek_barrier (path, sync->members, i);
  bs_operation_list_append (&path->queue, path->closing);
  bs_store_operation_boost (path->closing->previous, g_atomic_int_get (&path->closing->priority));
}

void
bs_path_queue_remove (BsPath *path, BsStoreOperation *operation)
{
  if (operation == path->gathering)
    {
      path->gathering = NULL;
      return;
    }

  bs_operation_list_remove (&path->queue, operation);
  if (path->running == operation)
    path->running = NULL;
  if (path->counting == operation)
    path->counting = NULL;
  if (path->closing == operation)
    {
      path->closing = NULL;
      bs_path_queue_close_sync (path);
    }
}

BsStoreOperation *
bs_path_queue_find_joinable (BsPath *path, BsOperationKind kind, BsTrackedPath *tracked)
{
  for (BsStoreOperation *operation = path->queue.tail; operation != NULL;
       operation = operation->previous)
    {
      if (bs_store_operation_is_joinable (operation, kind, tracked))
        return operation;
      if (operation->kind == BS_KIND_UNTRACK || operation->kind == BS_KIND_RELEASE ||
          operation->kind == BS_KIND_WRITE_ROOT)
        return NULL;
    }

  return NULL;
}

/* A path has one untrack at most. An untrack that every waiter has left releases the
 * path once more for a waiter that joins it, if need be. */
BsStoreOperation *
bs_path_queue_find_untrack (BsPath *path)
{
  BsStoreOperation *operation = path->queue.head;

  if (path->state != BS_PATH_UNTRACKING)
    return NULL;

  while (operation->kind != BS_KIND_UNTRACK)
    operation = operation->next;
  return operation;
}

BsStoreOperation *
bs_path_queue_obtain_sync (BsPath *path, BsPathOperation *sync)
{
  BsStoreOperation *closing = path->closing;

  if (closing != NULL && !closing->cancelled && covers_all (path, (BsPathOperation *) closing))
    return closing;

  if (path->gathering == NULL)
    path->gathering = bs_store_operation_ref (&sync->operation);

  return path->gathering;
}

/* Tells the operation that awaits the tickets of a list if they have been returned.
 * Under the path's mutex, and the list's. */
static void
note_returned (BsPath *path, BsTickets *list, BsDeferred *deferred)
{
  guint count = bs_tickets_steal_count (list);

  /* The waiting operation may have been cancelled. */
  if (count != 0 && path->counting != NULL &&
      ((BsPathOperation *) path->counting)->count == count && --path->n_awaited == 0)
    bs_path_queue_dispatch (path, deferred);
}

void
bs_path_return_key_ticket (BsPath *path,
                           BsTickets *list,
                           BsStoreOperation *operation,
                           BsDeferred *deferred)
{
  if (operation->ticket == 0)
    return;

  bs_tickets_remove (list, operation);
  if (G_LIKELY (list->awaited == 0))
    return;

  g_mutex_lock (&path->mutex);
  note_returned (path, list, deferred);
  g_mutex_unlock (&path->mutex);
}

gboolean
bs_path_take_ticket (BsPath *path,
                     BsMembers *members,
                     BsStoreOperation *operation,
                     gboolean internal)
{
  gboolean refused;

  g_mutex_lock (&path->mutex);
  refused = bs_members_refuse (members, internal);
  if (!refused)
    bs_tickets_append (&path->tickets, operation);
  g_mutex_unlock (&path->mutex);

  return !refused;
}

void
bs_path_return_ticket (BsPath *path, BsStoreOperation *operation, BsDeferred *deferred)
{
  if (operation->ticket == 0)
    return;

  g_mutex_lock (&path->mutex);
  bs_tickets_remove (&path->tickets, operation);
  note_returned (path, &path->tickets, deferred);
  /* An untrack counts the other lists only when this one is empty. */
  bs_path_queue_dispatch (path, deferred);
  g_mutex_unlock (&path->mutex);
}

void
bs_path_renew_ticket (BsPath *path, BsStoreOperation *operation, BsDeferred *deferred)
{
  g_mutex_lock (&path->mutex);
  bs_tickets_remove (&path->tickets, operation);
  bs_tickets_append (&path->tickets, operation);
  note_returned (path, &path->tickets, deferred);
  g_mutex_unlock (&path->mutex);
}

static void
boost_key_tickets (BsMembers *members, int priority)
{
  for (guint i = 0; i < BS_N_SHARDS; i++)
    {
      BsTickets *list = &members->shards[i].tickets;

      g_mutex_lock (&members->locks[i].mutex);
      if (list->first != NULL && list->worst_priority > priority)
        {
          for (BsStoreOperation *operation = list->first; operation != NULL;
               operation = operation->ticket_next)
            bs_store_operation_boost (operation, priority);
          list->worst_priority = priority;
        }
      g_mutex_unlock (&members->locks[i].mutex);
    }
}

void
bs_path_boost_tickets (BsPath *path, BsMembers *members, BsOperationKind kind, int priority)
{
  g_autoptr (GPtrArray) operations =
    g_ptr_array_new_with_free_func ((GDestroyNotify) bs_store_operation_unref);

  boost_key_tickets (members, priority);

  g_mutex_lock (&path->mutex);
  if (path->tickets.first != NULL &&
      (path->tickets.worst_priority > priority || kind == BS_KIND_UNTRACK))
    {
      for (BsStoreOperation *operation = path->tickets.first; operation != NULL;
           operation = operation->ticket_next)
        if (operation->kind != BS_KIND_VERIFY_PATH || kind == BS_KIND_UNTRACK)
          g_ptr_array_add (operations, bs_store_operation_ref (operation));
      path->tickets.worst_priority = priority;
    }
  g_mutex_unlock (&path->mutex);

  for (guint i = 0; i < operations->len; i++)
    {
      BsStoreOperation *operation = g_ptr_array_index (operations, i);

      g_mutex_lock (operation->lock);
      if (operation->state != BS_OPERATION_DONE)
        bs_store_operation_boost (operation, priority);
      g_mutex_unlock (operation->lock);
    }
}

/* An untrack, during which new operations are refused, awaits every ticket. */
static guint64
get_barrier (BsPathOperation *self, guint list)
{
  return self->barriers != NULL ? self->barriers[list] : G_MAXUINT64;
}

/* Asks the list of each shard to tell when its awaited tickets are returned. */
static void
count_key_tickets (BsPathOperation *self)
{
  BsMembers *members = self->members;
  BsPath *path = self->path;

  for (guint i = 0; i < BS_N_SHARDS; i++)
    {
      g_mutex_lock (&members->locks[i].mutex);
      if (bs_tickets_await (&members->shards[i].tickets, get_barrier (self, i), self->count))
        {
          g_mutex_lock (&path->mutex);
          path->n_awaited++;
          g_mutex_unlock (&path->mutex);
        }
      g_mutex_unlock (&members->locks[i].mutex);
    }
}

gboolean
bs_path_count_awaited_and_lock (BsPathOperation *self)
{
  BsPath *path = self->path;

  g_mutex_lock (&path->mutex);
  if (self->count != 0)
    return TRUE;

  self->count = ++path->n_counts;
  path->counting = &self->operation;
  path->n_awaited =
    1 + bs_tickets_await (&path->tickets, get_barrier (self, BS_N_SHARDS), self->count);
  g_mutex_unlock (&path->mutex);

  count_key_tickets (self);

  g_mutex_lock (&path->mutex);
  return --path->n_awaited == 0;
}

void
bs_path_queue_save (BsPath *path, BsStoreOperation *operation)
{
  bs_operation_list_append (&path->saves, operation);
  if (operation->previous == NULL)
    operation->state = BS_OPERATION_READY;
  else
    bs_store_operation_boost (operation->previous, g_atomic_int_get (&operation->priority));
}

void
bs_path_remove_save (BsPath *path, BsStoreOperation *operation, BsDeferred *deferred)
{
  bs_operation_list_remove (&path->saves, operation);
  if (path->saves.head == NULL)
    bs_path_queue_dispatch (path, deferred);
  else if (path->saves.head->state == BS_OPERATION_QUEUED)
    bs_deferred_add_ready (deferred, path->saves.head);
}
