/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store/queues/bs-path-queue-private.h"

/* Operations on the keys of a path have tickets, and stand in a list of their shard
 * until they are done; what changes many keys stands in one of the path. Syncs and
 * untracks wait for what was asked before them: they look at every list once, when
 * their turn has come, and are told by those that they found occupied. */

/* Tells whoever waits for the tickets of a list, if they have been returned.
 * Under the path's mutex, and the list's. */
static void
note_passed (BsPath *path, BsTickets *list, BsDeferred *deferred)
{
  guint waiter = bs_tickets_steal_waiter (list);

  /* Who waited may have been cancelled since. */
  if (waiter != 0 && path->waiting != NULL && ((BsPathOperation *) path->waiting)->survey == waiter && --path->n_awaited == 0)
    bs_path_dispatch (path, deferred);
}

gboolean
bs_path_take_key_ticket (BsStoreOperation *operation, guint shard, gboolean inner)
{
  BsTrackedPath *tracked = operation->tracked;

  if (!inner && g_atomic_int_get (&tracked->refusing))
    return FALSE;

  bs_tickets_append (&tracked->shards[shard].tickets, operation);
  return TRUE;
}

void
bs_path_return_key_ticket (BsStoreOperation *operation, guint shard, BsDeferred *deferred)
{
  BsTickets *list;
  BsPath *path;

  if (operation->tracked == NULL || operation->ticket == 0)
    return;

  list = &operation->tracked->shards[shard].tickets;
  bs_tickets_remove (list, operation);
  if (G_LIKELY (list->awaited == 0))
    return;

  path = operation->tracked->path;
  g_mutex_lock (&path->mutex);
  note_passed (path, list, deferred);
  g_mutex_unlock (&path->mutex);
}

gboolean
bs_path_take_ticket (BsStoreOperation *operation, gboolean inner)
{
  BsTrackedPath *tracked = operation->tracked;
  BsPath *path = tracked->path;
  gboolean refused;

  g_mutex_lock (&path->mutex);
  refused = !inner && g_atomic_int_get (&tracked->refusing);
  if (!refused)
    bs_tickets_append (&path->tickets, operation);
  g_mutex_unlock (&path->mutex);

  return !refused;
}

void
bs_path_return_ticket (BsStoreOperation *operation, BsDeferred *deferred)
{
  BsPath *path;

  if (operation->tracked == NULL || operation->ticket == 0)
    return;

  path = operation->tracked->path;
  g_mutex_lock (&path->mutex);
  bs_tickets_remove (&path->tickets, operation);
  note_passed (path, &path->tickets, deferred);
  /* An untrack looks at the others only when this list is empty. */
  bs_path_dispatch (path, deferred);
  g_mutex_unlock (&path->mutex);
}

void
bs_path_renew_ticket (BsStoreOperation *operation, BsDeferred *deferred)
{
  BsPath *path = operation->tracked->path;

  g_mutex_lock (&path->mutex);
  bs_tickets_remove (&path->tickets, operation);
  bs_tickets_append (&path->tickets, operation);
  note_passed (path, &path->tickets, deferred);
  g_mutex_unlock (&path->mutex);
}

static void
lend_to_keys (BsTrackedPath *tracked, int priority)
{
  for (guint i = 0; i < BS_N_SHARDS; i++)
    {
      BsTickets *list = &tracked->shards[i].tickets;
      GMutex *mutex = &tracked->store->shards[i].mutex;

      g_mutex_lock (mutex);
      if (list->first != NULL && list->worst_priority > priority)
        {
          for (BsStoreOperation *operation = list->first; operation != NULL; operation = operation->ticket_next)
            if (!operation->embedded)
              bs_store_operation_lend (operation, priority);
          list->worst_priority = priority;
        }
      g_mutex_unlock (mutex);
    }
}

void
bs_path_lend_to_tickets (BsTrackedPath *tracked, BsOperationKind kind, int priority)
{
  g_autoptr (GPtrArray) operations = g_ptr_array_new_with_free_func ((GDestroyNotify) bs_store_operation_unref);
  BsPath *path = tracked->path;

  lend_to_keys (tracked, priority);

  g_mutex_lock (&path->mutex);
  if (path->tickets.first != NULL && (path->tickets.worst_priority > priority || kind == BS_KIND_UNTRACK))
    {
      for (BsStoreOperation *operation = path->tickets.first; operation != NULL; operation = operation->ticket_next)
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
        bs_store_operation_lend (operation, priority);
      g_mutex_unlock (operation->lock);
    }
}

/* New ones are refused while an untrack waits: it covers all there are. */
static guint64
get_barrier (BsPathOperation *self, guint list)
{
  return self->barriers != NULL ? self->barriers[list] : G_MAXUINT64;
}

/* Asks each list to tell when what has to be waited for is done. */
static void
survey_keys (BsPathOperation *self)
{
  BsTrackedPath *tracked = self->operation.tracked;
  BsPath *path = self->path;

  for (guint i = 0; i < BS_N_SHARDS; i++)
    {
      GMutex *mutex = &tracked->store->shards[i].mutex;

      g_mutex_lock (mutex);
      if (bs_tickets_await (&tracked->shards[i].tickets, get_barrier (self, i), self->survey))
        {
          g_mutex_lock (&path->mutex);
          path->n_awaited++;
          g_mutex_unlock (&path->mutex);
        }
      g_mutex_unlock (mutex);
    }
}

gboolean
bs_path_survey (BsPathOperation *self)
{
  BsPath *path = self->path;
  BsDeferred deferred = { NULL, };
  BsWaiter *left = NULL;
  gboolean surveyed, passed;

  g_mutex_lock (&path->mutex);
  surveyed = self->survey != 0;
  if (!surveyed)
    {
      self->survey = ++path->n_surveys;
      path->waiting = &self->operation;
      path->n_awaited = 1 + bs_tickets_await (&path->tickets, get_barrier (self, BS_N_SHARDS), self->survey);
    }
  g_mutex_unlock (&path->mutex);
  if (surveyed)
    return TRUE;

  survey_keys (self);

  g_mutex_lock (&path->mutex);
  passed = --path->n_awaited == 0;
  if (!passed)
    left = bs_path_operation_put_back (self, &deferred);
  g_mutex_unlock (&path->mutex);

  bs_store_operation_answer_left (left);
  bs_deferred_run (&deferred);
  return passed;
}
