/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-save-operation-private.h"

#include "base/bs-backing-private.h"
#include "base/bs-error-private.h"
#include "base/bs-key-set-private.h"
#include "store/operations/bs-ask-private.h"
#include "store/operations/bs-save-names-private.h"
#include "store/operations/bs-store-private.h"

#include <glib/gi18n-lib.h>

/* A save goes through its phases one by one, each of which is one operation of the
 * store, or many. It waits for none of them: the end of one starts the next. Only
 * where the save is a blocking call whose turn comes at once, and there is no main
 * context, its thread waits for each phase, and runs operations itself.
 *
 * The operation is RUNNING from its turn to its end, and no other waiter joins it:
 * its cancellable is the waiter's own, and reaches the operations of the current
 * phase. */

typedef enum
{
  PHASE_QUEUED,
  PHASE_CHECK, /* may find names that are missing */
  PHASE_PERSIST,
  PHASE_SYNC,
  PHASE_CHECK_AGAIN, /* before a commit function; the root blob is written with a check */
  PHASE_COMMIT,
  PHASE_DELETE,
  PHASE_UNDO,
  PHASE_END,
} Phase;

typedef struct
{
  BsStoreOperation operation;

  /* constant */
  BsPath *path;       /* owned */
  BsMembers *members; /* of the tracked path */
  BsSavePlan plan;

  /* by the thread that goes from one phase to the next */
  Phase phase;
  gboolean awaits_turn; /* and is counted as such */
  BsSaveNames names;
  guint n_there;       /* names that were there when the save began */
  guint64 n_to_delete; /* in the end, before any operation asked for one of them */
  GError *error;       /* owned; why the save has failed */
} SaveOperation;

static void go_on (SaveOperation *self);

/* Waits for a phase: on the save's own thread where `blocking`, else `func` goes on.
 * After the commit nothing is cancelled. */
static BsWaiter *
phase_waiter_new (SaveOperation *self, gboolean blocking, BsDeliverFunc func)
{
  BsStoreOperation *operation = &self->operation;
  GCancellable *cancellable = self->phase < PHASE_DELETE ? operation->cancellable : NULL;
  BsDelivery delivery = { .func = func,
                          .data = operation,
                          .data_free = (GDestroyNotify) bs_store_operation_unref };

  if (blocking)
    return bs_waiter_new_blocking (operation->store->backing_executor, cancellable, NULL);

  bs_store_operation_ref (operation);
  return bs_waiter_new_background (g_atomic_int_get (&operation->priority), cancellable, &delivery);
}

static void
sort_by_shard (SaveOperation *self, guint *order, guint first[BS_N_SHARDS + 1])
{
  const BsSaveName *names = self->plan.names;
  guint next[BS_N_SHARDS];

  for (guint i = 0; i < self->plan.n_names; i++)
    first[bs_shard_index (bs_key_hash (&names[i].key)) + 1]++;
  for (guint i = 0; i < BS_N_SHARDS; i++)
    {
      first[i + 1] += first[i];
      next[i] = first[i];
    }
  for (guint i = 0; i < self->plan.n_names; i++)
    order[next[bs_shard_index (bs_key_hash (&names[i].key))]++] = i;
}

typedef enum
{
  NAME_IS_THERE,
  NAME_NEW, /* only the save has asked for it */
  NAME_TO_DO,
  NAME_MISSING,
} NameState;

/* Whether an operation is under way that may change whether the path has the key.
 * Under the shard's mutex. */
static gboolean
is_under_way (SaveOperation *self, BsShard *shard, const BsKey *key, guint64 hash)
{
  BsStoreOperation *operation = (BsStoreOperation *) bs_key_queue_find_last (shard, key, hash);

  for (; operation != NULL; operation = operation->previous)
    if (operation->tracked == self->operation.tracked)
      return TRUE;

  return FALSE;
}

/* Operations on a key that were asked before the save come before it: the flags tell
 * the state of the key only if none is under way. Under the shard's mutex. */
static NameState
look_at_name (SaveOperation *self,
              BsShard *shard,
              const BsSaveName *name,
              guint64 hash,
              BsMemberFlags flags)
{
  gboolean present = (flags & BS_MEMBER_PRESENT) != 0;
  gboolean uncertain = (flags & BS_MEMBER_UNCERTAIN) != 0 ||
                       (present && bs_members_is_in_doubt (self->members, hash, flags));

  if (uncertain && name->token == NULL)
    bs_key_table_add (&self->names.uncertain, &name->key, hash);
  if (uncertain || is_under_way (self, shard, &name->key, hash))
    return NAME_TO_DO;
  if (present)
    return NAME_IS_THERE;

  return name->token != NULL ? NAME_NEW : NAME_MISSING;
}

/* Notes the old keys that this save does not name: the keys at the path when it was
 * run. Under the shard's mutex. */
static void
note_to_delete (SaveOperation *self, guint index)
{
  BsMemberShard *members = &self->members->shards[index];
  BsKeyTableIter iter = { 0 };
  const BsKey *key;

  while (bs_key_table_iter_next (&members->keys, &iter, &key))
    {
      BsMemberFlags flags = *bs_key_table_iter_get_marks (&members->keys, &iter);

      if (!(flags & (BS_MEMBER_PRESENT | BS_MEMBER_UNCERTAIN)) ||
          (flags & (BS_MEMBER_PINNED | BS_MEMBER_CLAIMED | BS_MEMBER_TO_DELETE)))
        continue;
      bs_members_set (self->members, key, bs_key_hash (key), BS_MEMBER_TO_DELETE, 0);
      self->n_to_delete++;
    }
}

/* Counts the key in `n_members` if the path has it, once. Under the shard's mutex. */
static NameState
pin (SaveOperation *self, guint index, const BsSaveName *name, guint *n_members)
{
  BsShard *shard = &self->operation.store->shards[index];
  guint64 hash = bs_key_hash (&name->key);
  BsMemberFlags flags;
  NameState state;

  /* Most names of a document that was saved before. */
  if (shard->n_queues == 0 && !self->members->shards[index].in_doubt &&
      bs_members_pin_present (self->members, &name->key, hash))
    {
      (*n_members)++;
      return NAME_IS_THERE;
    }

  flags = bs_members_get (self->members, &name->key, hash);
  state = look_at_name (self, shard, name, hash, flags);
  bs_members_set (self->members, &name->key, hash,
                  BS_MEMBER_PINNED | (state == NAME_NEW ? BS_MEMBER_ADDED : 0), 0);
  *n_members += !(flags & BS_MEMBER_PINNED) && state == NAME_IS_THERE;

  return state;
}

/* Pins the names of one shard and notes those to persist. Returns a name that is
 * missing, or NULL. */
static const BsSaveName *
begin_shard (SaveOperation *self, guint index, const guint *order, guint n_names, guint *n_there)
{
  BsShard *shard = &self->operation.store->shards[index];
  BsMemberShard *members = &self->members->shards[index];
  const BsSaveName *missing = NULL;
  guint n_members = 0;

  g_mutex_lock (&shard->mutex);
  bs_key_table_reserve (&members->keys, n_names);
  for (guint i = 0; i < n_names; i++)
    {
      const BsSaveName *name = &self->plan.names[order[i]];
      NameState state = pin (self, index, name, &n_members);

      if (state == NAME_IS_THERE)
        (*n_there)++;
      else if (state != NAME_MISSING)
        self->names.todo[self->names.n_todo++] = order[i];
      else
        missing = name;
    }
  /* Where all keys of the path are named, there is no need to look at each. */
  if (members->n_flagged[0] > n_members || members->n_flagged[1] > 0)
    note_to_delete (self, index);
  g_mutex_unlock (&shard->mutex);

  return missing;
}

/* Until a save's turn the path claims the keys that are persisted. */
static void
stop_awaiting_turn (SaveOperation *self)
{
  if (self->awaits_turn)
    bs_members_stop_awaiting_turn (self->members);
  self->awaits_turn = FALSE;
}

static void
fail_for_missing (SaveOperation *self, const BsSaveName *name)
{
  gboolean meanwhile = self->phase > PHASE_CHECK;
  g_autofree char *description = bs_save_plan_describe (&self->plan, name - self->plan.names);
  g_autofree char *why = g_strdup_printf (
    meanwhile ? "%sthe save is to keep the blob, which was found to be bad or missing meanwhile"
              : "%sthe save is to keep the key, and the path has no such key",
    description);

  self->error = bs_operation_error (BS_KIND_SAVE, &name->key,
                                    bs_tracked_path_peek_file (self->operation.tracked), BS_ERROR,
                                    meanwhile ? BS_ERROR_CORRUPT : BS_ERROR_NOT_FOUND, why);
}

/* The save's turn has come. From now on no operation deletes the keys that it names. */
static void
begin (SaveOperation *self)
{
  g_autofree guint *order = g_new (guint, self->plan.n_names);
  guint first[BS_N_SHARDS + 1] = { 0 };
  const BsSaveName *missing = NULL;

  g_atomic_int_set (&self->members->names_changed, FALSE);
  self->names.todo = g_new (guint, self->plan.n_names);
  sort_by_shard (self, order, first);
  for (guint i = 0; i < BS_N_SHARDS; i++)
    {
      const BsSaveName *missing_here =
        begin_shard (self, i, order + first[i], first[i + 1] - first[i], &self->n_there);

      if (missing_here != NULL)
        missing = missing_here;
    }
  stop_awaiting_turn (self);

  if (missing != NULL)
    fail_for_missing (self, missing);
  if (self->n_there > 0)
    self->plan.progress (self->plan.data, self->n_there);
}

/* Looks at the names once more where a call has changed one that is, or was, at the
 * path; so many have counted as being there. TRUE if there is something to persist. */
static gboolean
look_again (SaveOperation *self, guint n_counted)
{
  const BsSaveName *missing = NULL;
  g_autofree guint *todo = NULL;
  guint n_there = 0, n_todo = 0;

  if (!g_atomic_int_compare_and_exchange (&self->members->names_changed, TRUE, FALSE))
    return FALSE;

  bs_key_table_clear (&self->names.uncertain);
  todo = g_new (guint, self->plan.n_names);
  for (guint i = 0; i < self->plan.n_names; i++)
    {
      const BsSaveName *name = &self->plan.names[i];
      guint64 hash = bs_key_hash (&name->key);
      BsShard *shard = &self->operation.store->shards[bs_shard_index (hash)];
      NameState state;

      g_mutex_lock (&shard->mutex);
      state =
        look_at_name (self, shard, name, hash, bs_members_get (self->members, &name->key, hash));
      g_mutex_unlock (&shard->mutex);
      if (state == NAME_IS_THERE)
        n_there++;
      else if (state != NAME_MISSING)
        todo[n_todo++] = i;
      else
        missing = name;
    }

  if (missing != NULL)
    fail_for_missing (self, missing);
  if (n_there != n_counted)
    self->plan.progress (self->plan.data, (int) n_there - (int) n_counted);
  bs_save_names_reset (&self->names, g_steal_pointer (&todo), n_todo);

  return n_todo > 0;
}

static void
unpin (SaveOperation *self)
{
  bs_members_unset_all (self->members, BS_MEMBER_PINNED | BS_MEMBER_ADDED | BS_MEMBER_TO_DELETE);
}

/* Blobs that a sync failed to make durable are in the way of every sync to come, and
 * may have no holder any more when the next save is made. The blobs that only this
 * save has brought are taken away again. FALSE if there are none. */
static gboolean
begin_undo (SaveOperation *self)
{
  self->n_to_delete = 0;
  bs_members_unset_all (self->members, BS_MEMBER_TO_DELETE);
  for (guint i = 0; i < BS_N_SHARDS; i++)
    {
      BsMemberShard *members = &self->members->shards[i];
      BsKeyTableIter iter = { 0 };
      const BsKey *key;

      g_mutex_lock (&self->operation.store->shards[i].mutex);
      while (bs_key_table_iter_next (&members->keys, &iter, &key))
        {
          if (!(*bs_key_table_iter_get_marks (&members->keys, &iter) & BS_MEMBER_ADDED))
            continue;
          bs_members_set (self->members, key, bs_key_hash (key), BS_MEMBER_TO_DELETE,
                          BS_MEMBER_PINNED);
          self->n_to_delete++;
        }
      g_mutex_unlock (&self->operation.store->shards[i].mutex);
    }

  return self->n_to_delete > 0;
}

static void
ask (SaveOperation *self, BsRequest request, BsWaiter *waiter)
{
  request.internal = TRUE;
  request.tracked = self->operation.tracked;
  bs_ask (self->operation.store, &request, waiter);
}

static BsKeySet *
list_names (SaveOperation *self)
{
  BsKeySet *named = bs_key_set_new ();
  BsKeyTable *table = bs_key_set_get_table (named);

  bs_key_table_reserve (table, self->plan.n_names);
  for (guint i = 0; i < self->plan.n_names; i++)
    bs_key_table_add (table, &self->plan.names[i].key, bs_key_hash (&self->plan.names[i].key));

  return named;
}

static void
ask_for_root (SaveOperation *self, BsWaiter *waiter)
{
  g_autoptr (BsKeySet) named =
    bs_backing_reads_named (self->operation.store->backing) ? list_names (self) : NULL;

  ask (self, (BsRequest){ .kind = BS_KIND_WRITE_ROOT, .root = self->plan.root, .named = named },
       waiter);
}

static void
start_phase (SaveOperation *self, BsWaiter *waiter)
{
  switch (self->phase)
    {
    case PHASE_CHECK:
    case PHASE_CHECK_AGAIN:
      ask (self, (BsRequest){ .kind = BS_KIND_CHECK, .find_missing = self->phase == PHASE_CHECK },
           waiter);
      break;
    case PHASE_PERSIST:
      bs_save_names_start (&self->names, waiter);
      break;
    case PHASE_SYNC:
      ask (self, (BsRequest){ .kind = BS_KIND_SYNC }, waiter);
      break;
    case PHASE_COMMIT:
      if (self->plan.root != NULL)
        ask_for_root (self, waiter);
      else if (self->plan.commit != NULL)
        ask (self,
             (BsRequest){
               .kind = BS_KIND_COMMIT, .function = self->plan.commit, .data = self->plan.data },
             waiter);
      else
        bs_waiter_answer (waiter, NULL, NULL);
      break;
    case PHASE_DELETE:
    case PHASE_UNDO:
      ask (self, (BsRequest){ .kind = BS_KIND_DELETE_NOT_SAVED, .n_keys = self->n_to_delete },
           waiter);
      break;
    case PHASE_QUEUED:
    case PHASE_END:
    default:
      g_assert_not_reached ();
    }
}

static void
check_cancelled (SaveOperation *self)
{
  if (self->error == NULL && g_cancellable_is_cancelled (self->operation.cancellable))
    self->error =
      bs_operation_error (BS_KIND_SAVE, NULL, bs_tracked_path_peek_file (self->operation.tracked),
                          G_IO_ERROR, G_IO_ERROR_CANCELLED, _ ("it was cancelled"));
}

/* Takes the error over. */
static void
fail (SaveOperation *self, GError *error)
{
  g_autofree char *name = bs_error_name_file (bs_tracked_path_peek_file (self->operation.tracked));

  self->error = error;
  g_prefix_error (&self->error, _ ("Saving at %s: "), name);
}

/* Leaves out phases in which there is nothing to do. */
static Phase
next_phase (SaveOperation *self)
{
  gboolean checks = bs_backing_checks_paths (self->operation.store->backing);
  Phase next = self->phase + 1;

  if (next == PHASE_CHECK && !checks)
    next++;
  if (next == PHASE_PERSIST && self->names.n_todo == 0)
    next++;
  if (next == PHASE_CHECK_AGAIN && (!checks || self->plan.commit == NULL))
    next++;
  if (next == PHASE_DELETE && self->n_to_delete == 0)
    next = PHASE_END;

  return next;
}

/* Decides which phase follows the one that has ended. Takes the error over. */
static void
end_phase (SaveOperation *self, GError *error)
{
  gboolean sync_failed;
  gboolean again = FALSE;

  if (self->phase == PHASE_DELETE || self->phase == PHASE_UNDO)
    {
      /* The save has succeeded; keys that could not be deleted go with the next one. Of an
       * undo, report the original error. */
      if (error != NULL && self->phase == PHASE_DELETE)
        bs_store_report (self->operation.store, NULL, BS_OPERATION_DELETE_PERSISTED_KEYS,
                         g_steal_pointer (&error));
      g_clear_error (&error);
      self->phase = PHASE_END;
      return;
    }

  sync_failed = self->phase == PHASE_SYNC && error != NULL &&
                !g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED) &&
                !g_error_matches (error, BS_ERROR, BS_ERROR_MOVED);
  if (error != NULL)
    fail (self, error);
  else if (self->phase == PHASE_QUEUED)
    begin (self);
  else if (self->phase == PHASE_CHECK)
    look_again (self, self->n_there);
  else if (self->phase == PHASE_SYNC)
    again = look_again (self, self->plan.n_names);
  else if (self->phase == PHASE_COMMIT)
    self->plan.committed (self->plan.data);
  if (self->phase < PHASE_COMMIT)
    check_cancelled (self);

  if (sync_failed && begin_undo (self))
    self->phase = PHASE_UNDO;
  else if (self->error != NULL)
    self->phase = PHASE_END;
  else if (again)
    self->phase = PHASE_PERSIST;
  else
    self->phase = next_phase (self);
}

static gpointer
phase_done (gpointer data, gpointer value, GError **error)
{
  SaveOperation *self = data;

  end_phase (self, g_steal_pointer (error));
  go_on (self);

  return NULL;
}

/* Answers the waiter. Drops the queue's reference. */
static void
end (SaveOperation *self)
{
  BsStoreOperation *operation = &self->operation;
  BsDeferred deferred = { NULL };
  BsWaiter *waiters;

  unpin (self);

  g_mutex_lock (operation->lock);
  waiters = bs_store_operation_end (operation);
  bs_path_remove_save (self->path, operation, &deferred);
  g_mutex_unlock (operation->lock);

  bs_deferred_answer (&deferred, waiters, NULL, self->error);
  bs_store_operation_unref (operation);
}

static void
go_on (SaveOperation *self)
{
  BsWaiter *waiter;

  if (self->phase == PHASE_END)
    {
      end (self);
      return;
    }

  waiter = phase_waiter_new (self, FALSE, phase_done);
  start_phase (self, waiter);
  bs_waiter_unref (waiter);
}

/* Goes through the phases on the thread of a blocking call. */
static void
go_on_here (SaveOperation *self)
{
  while (self->phase != PHASE_END)
    {
      BsWaiter *waiter = phase_waiter_new (self, TRUE, NULL);
      GError *error = NULL;

      start_phase (self, waiter);
      bs_waiter_wait (waiter, &error);
      end_phase (self, error);
    }

  end (self);
}

/* In a context a thread that waits runs other functions, which may wait for this very
 * save: the save must not need that thread to come back to it. */
static void
save_operation_run (BsStoreOperation *operation)
{
  SaveOperation *self = (SaveOperation *) operation;

  end_phase (self, NULL);
  if (operation->runner != NULL && operation->store->main_context == NULL)
    go_on_here (self);
  else
    go_on (self);
  bs_store_operation_unref (operation);
}

static void
save_operation_drop (BsStoreOperation *operation, BsDeferred *deferred)
{
  bs_path_remove_save (((SaveOperation *) operation)->path, operation, deferred);
  bs_deferred_add_dropped (deferred, operation);
}

void
bs_save_plan_clear (BsSavePlan *plan)
{
  plan->free (plan->data);
  g_clear_pointer (&plan->root, g_bytes_unref);
  g_free (plan->names);
}

static void
save_operation_free (BsStoreOperation *operation)
{
  SaveOperation *self = (SaveOperation *) operation;

  stop_awaiting_turn (self);
  bs_save_names_clear (&self->names);
  bs_save_plan_clear (&self->plan);
  g_clear_error (&self->error);
  bs_path_unref (self->path);
}

static BsAsked
save_operation_enqueue (BsStoreOperation *operation, BsWaiter *waiter, BsDeferred *deferred)
{
  SaveOperation *self = (SaveOperation *) operation;

  if (bs_members_refuse (self->members, FALSE))
    return bs_asked (BS_ASKED_CLOSED, NULL);

  bs_store_operation_join (operation, waiter);
  bs_path_queue_save (self->path, bs_store_operation_ref (operation));
  if (operation->state != BS_OPERATION_READY)
    return bs_asked (BS_ASKED_WAITS, NULL);

  return bs_asked (BS_ASKED_STARTS, bs_store_operation_ref (operation));
}

static void
save_operation_hold_lock (BsStoreOperation *operation, BsWaiter *waiter)
{
  bs_waiter_hold_lock (waiter, bs_path_ref (((SaveOperation *) operation)->path),
                       (GDestroyNotify) bs_path_unref);
}

/* Boosts the operations that the saves before this one have under way. */
static void
save_operation_boost (BsStoreOperation *operation, int priority)
{
  SaveOperation *self = (SaveOperation *) operation;
  gboolean waits;

  g_mutex_lock (operation->lock);
  waits = operation->state == BS_OPERATION_QUEUED;
  if (waits)
    bs_store_operation_boost (self->path->queue.tail, priority);
  g_mutex_unlock (operation->lock);

  if (waits)
    bs_path_boost_tickets (self->path, self->members, BS_KIND_SAVE, priority);
}

static const BsStoreOperationClass save_operation_class = {
  .enqueue = save_operation_enqueue,
  .run = save_operation_run,
  .drop = save_operation_drop,
  .free = save_operation_free,
  .hold_lock = save_operation_hold_lock,
  .boost = save_operation_boost,
};

BsStoreOperation *
bs_save_operation_new (BsBackingStore *store, const BsRequest *request, BsWaiter *waiter)
{
  SaveOperation *self = g_new0 (SaveOperation, 1);
  BsStoreOperation *operation = &self->operation;
  BsTrackedPath *tracked = request->tracked;

  bs_store_operation_init (operation, &save_operation_class, BS_KIND_SAVE, store, store->count,
                           store->backing_executor, &tracked->path->mutex, tracked,
                           waiter->priority);
  bs_store_operation_hold (operation);
  g_set_object (&operation->cancellable, waiter->cancellable);
  self->path = bs_path_ref (tracked->path);
  self->members = &tracked->members;
  self->plan = *request->plan;
  bs_save_names_init (&self->names, operation, &self->plan);
  self->awaits_turn = TRUE;
  bs_members_await_turn (self->members);

  return operation;
}
