/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store/operations/bs-save-operation-private.h"

#include "store/operations/bs-bulk-private.h"
#include "store/queues/bs-path-private.h"
#include "store/operations/bs-save-names-private.h"
#include "store/queues/bs-key-queue-private.h"
#include "store/operations/bs-function-private.h"

/* A save goes through its phases one by one, each of which is one operation of
 * the store, or many. It waits for none of them: the end of one starts the next.
 * Only where the save is a blocking call, and there is no main context, its thread
 * waits for each phase, and does what it can itself.
 *
 * The operation is no more than its place in the path's queue. It is RUNNING from its
 * turn to its end, and nobody joins it: a cancellation reaches whatever the save
 * has asked for just then. */

/* So many names ahead their tokens are fetched into the processor's cache. */
#define FETCHED_AHEAD 8

typedef enum
{
  PHASE_QUEUED,
  PHASE_PERSIST,
  PHASE_SYNC,
  PHASE_COMMIT,
  PHASE_DELETE,
  PHASE_UNDO,
  PHASE_END,
} Phase;

typedef struct
{
  BsStoreOperation operation;

  /* constant */
  BsPath *path;               /* owned */
  BsWaiter *waiter;           /* owned; who asked for the save */
  BsSavePlan plan;

  /* by whoever goes from one phase to the next */
  Phase phase;
  gboolean awaits_turn;       /* and is counted as such */
  BsSaveNames names;
  guint64 n_doomed;           /* what was to be deleted in the end, before anybody asked for it */
  GError *error;              /* owned; why the save has failed */
} SaveOperation;

static void go_on (SaveOperation *self);

/* Who waits for a part of the save: its own thread where the save is a blocking
 * call, else nobody, and `deliver` goes on. After the commit nothing is cancelled. */
static BsWaiter *
inner_waiter_new (SaveOperation *self, gboolean blocking, BsDeliverFunc deliver, gpointer data, GDestroyNotify data_free)
{
  GCancellable *cancellable = self->phase < PHASE_DELETE ? self->waiter->cancellable : NULL;
  BsWaiter *waiter;

  if (blocking)
    {
      waiter = bs_waiter_new_blocking (self->operation.store, cancellable, deliver, data, data_free, NULL);
      waiter->inner = TRUE;
    }
  else
    {
      waiter = bs_waiter_new_background (self->operation.store, g_atomic_int_get (&self->operation.priority), deliver, data, data_free);
      g_set_object (&waiter->cancellable, cancellable);
    }

  return waiter;
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
  NAME_NEW,                   /* nobody but the save has asked for it */
  NAME_TO_DO,
  NAME_MISSING,
} NameState;

/* Whether anything is that may change what the path has. Under the shard's mutex. */
static gboolean
is_under_way (BsToken *token, BsTrackedPath *tracked)
{
  for (BsStoreOperation *operation = token != NULL ? token->last_operation : NULL; operation != NULL; operation = operation->previous)
    if (operation->tracked == tracked)
      return TRUE;

  return FALSE;
}

/* What was asked for a key before the save comes before it: only where nothing
 * was is it known what the path has. Under the shard's mutex. */
static NameState
look_at_name (SaveOperation *self, BsShard *shard, const BsSaveName *name, guint64 hash)
{
  BsToken *token = name->token != NULL ? name->token : bs_shard_lookup (shard, &name->key, hash);
  BsMembership membership = bs_tracked_path_get_membership (self->operation.tracked, &name->key, hash);

  if (membership == BS_MEMBER_YES && bs_tracked_path_is_in_doubt (self->operation.tracked, &name->key, hash))
    membership = BS_MEMBER_UNCERTAIN;
  if (membership == BS_MEMBER_UNCERTAIN && name->token == NULL)
    bs_key_table_add (&self->names.doubted, &name->key, hash);
  if (is_under_way (token, self->operation.tracked) || membership == BS_MEMBER_UNCERTAIN)
    return NAME_TO_DO;
  if (membership == BS_MEMBER_YES)
    return NAME_IS_THERE;

  return name->token != NULL ? NAME_NEW : NAME_MISSING;
}

/* Those that are not named, and were there when the save was run. */
static void
doom_the_others (SaveOperation *self, guint index, BsKeyTable *keys)
{
  BsKeyTable *pinned = &self->operation.tracked->shards[index].pinned;
  BsKeyTable *claimed = &self->operation.tracked->shards[index].claimed;
  BsKeyTable *doomed = &self->operation.tracked->shards[index].doomed;
  BsKeyTableIter iter = { 0, };
  const BsKey *key;

  while (bs_key_table_iter_next (keys, &iter, &key))
    {
      guint64 hash = bs_key_hash (key);

      if (!bs_key_table_contains (pinned, key, hash) && !bs_key_table_contains (claimed, key, hash))
        self->n_doomed += bs_key_table_add (doomed, key, hash);
    }
}

/* Pins the names of one shard and notes what is to be done. Returns a name that
 * is missing, or NULL. */
static const BsSaveName *
begin_shard (SaveOperation *self, guint index, const guint *order, guint n_names, guint *n_there)
{
  BsTrackedPath *tracked = self->operation.tracked;
  BsShard *shard = &self->operation.store->shards[index];
  const BsSaveName *missing = NULL;
  guint n_members = 0;

  bs_key_queue_lock (shard);
  bs_key_table_reserve (&tracked->shards[index].pinned, n_names);
  for (guint i = 0; i < n_names; i++)
    {
      const BsSaveName *name = &self->plan.names[order[i]];
      guint64 hash = bs_key_hash (&name->key);
      NameState state = look_at_name (self, shard, name, hash);

      if (i + FETCHED_AHEAD < n_names)
        __builtin_prefetch (self->plan.names[order[i + FETCHED_AHEAD]].token);
      if (bs_key_table_add (&tracked->shards[index].pinned, &name->key, hash) && state == NAME_IS_THERE)
        n_members++;
      if (state == NAME_NEW)
        bs_key_table_add (&tracked->shards[index].added, &name->key, hash);
      if (state == NAME_IS_THERE)
        (*n_there)++;
      else if (state != NAME_MISSING)
        self->names.todo[self->names.n_todo++] = order[i];
      else
        missing = name;
    }
  /* Where all that are there are named, there is no need to look at each. */
  if (tracked->shards[index].members.n_keys > n_members)
    doom_the_others (self, index, &tracked->shards[index].members);
  if (tracked->shards[index].uncertain.n_keys > 0)
    doom_the_others (self, index, &tracked->shards[index].uncertain);
  g_mutex_unlock (&shard->mutex);

  return missing;
}

/* From here on the path notes what is persisted. */
static void
await_turn (SaveOperation *self)
{
  self->awaits_turn = TRUE;
  g_atomic_int_inc (&self->operation.tracked->n_awaiting_turn);
}

/* If no save does any more, what was noted is of no interest. */
static void
stop_awaiting_turn (SaveOperation *self)
{
  BsTrackedPath *tracked = self->operation.tracked;

  if (!self->awaits_turn)
    return;

  self->awaits_turn = FALSE;
  if (!g_atomic_int_dec_and_test (&tracked->n_awaiting_turn))
    return;

  for (guint i = 0; i < BS_N_SHARDS; i++)
    {
      g_mutex_lock (&self->operation.store->shards[i].mutex);
      if (g_atomic_int_get (&tracked->n_awaiting_turn) == 0)
        bs_key_table_clear (&tracked->shards[i].claimed);
      g_mutex_unlock (&self->operation.store->shards[i].mutex);
    }
}

/* The save's turn has come. From now on nobody deletes what it names. */
static void
begin (SaveOperation *self)
{
  g_autofree guint *order = g_new (guint, self->plan.n_names);
  guint first[BS_N_SHARDS + 1] = { 0, };
  const BsSaveName *missing = NULL;
  guint n_there = 0;

  g_atomic_int_set (&self->operation.tracked->disturbed, FALSE);
  self->names.todo = g_new (guint, self->plan.n_names);
  sort_by_shard (self, order, first);
  for (guint i = 0; i < BS_N_SHARDS; i++)
    {
      const BsSaveName *missing_here = begin_shard (self, i, order + first[i], first[i + 1] - first[i], &n_there);

      if (missing_here != NULL)
        missing = missing_here;
    }
  stop_awaiting_turn (self);

  if (missing != NULL)
    self->error = bs_operation_error (BS_KIND_SAVE, &missing->key, self->operation.tracked, BS_ERROR, BS_ERROR_NOT_FOUND,
                                "it is to be kept, and there is no such key");
  if (n_there > 0)
    self->plan.progress (self->plan.data, n_there);
}

/* Looks at the names once more where something has happened to one that is, or
 * was, at the path. TRUE if there is something to persist. */
static gboolean
look_again (SaveOperation *self)
{
  const BsSaveName *missing = NULL;
  g_autofree guint *todo = NULL;
  guint n_there = 0, n_todo = 0;

  if (!g_atomic_int_compare_and_exchange (&self->operation.tracked->disturbed, TRUE, FALSE))
    return FALSE;

  bs_key_table_clear (&self->names.doubted);
  todo = g_new (guint, self->plan.n_names);
  for (guint i = 0; i < self->plan.n_names; i++)
    {
      const BsSaveName *name = &self->plan.names[i];
      guint64 hash = bs_key_hash (&name->key);
      BsShard *shard = &self->operation.store->shards[bs_shard_index (hash)];
      NameState state;

      bs_key_queue_lock (shard);
      state = look_at_name (self, shard, name, hash);
      g_mutex_unlock (&shard->mutex);
      if (state == NAME_IS_THERE)
        n_there++;
      else if (state != NAME_MISSING)
        todo[n_todo++] = i;
      else
        missing = name;
    }

  if (missing != NULL)
    self->error = bs_operation_error (BS_KIND_SAVE, &missing->key, self->operation.tracked, BS_ERROR, BS_ERROR_CORRUPT,
                                "it is to be kept, and was found to be bad or missing meanwhile");
  if (n_there < self->plan.n_names)
    self->plan.progress (self->plan.data, -(int) (self->plan.n_names - n_there));
  if (n_todo > 0)
    bs_save_names_reset (&self->names, g_steal_pointer (&todo), n_todo);

  return n_todo > 0;
}

static void
unpin (SaveOperation *self)
{
  for (guint i = 0; i < BS_N_SHARDS; i++)
    {
      g_mutex_lock (&self->operation.store->shards[i].mutex);
      bs_key_table_clear (&self->operation.tracked->shards[i].pinned);
      bs_key_table_clear (&self->operation.tracked->shards[i].added);
      bs_key_table_clear (&self->operation.tracked->shards[i].doomed);
      g_mutex_unlock (&self->operation.store->shards[i].mutex);
    }
}

/* Blobs that a sync failed to make durable are in the way of every sync to come,
 * and nobody may hold them any more when the next save is made. Those that only
 * this save has brought are taken away again. FALSE if there are none. */
static gboolean
begin_undo (SaveOperation *self)
{
  BsTrackedPath *tracked = self->operation.tracked;

  self->n_doomed = 0;
  for (guint i = 0; i < BS_N_SHARDS; i++)
    {
      BsKeyTableIter iter = { 0, };
      const BsKey *key;

      g_mutex_lock (&self->operation.store->shards[i].mutex);
      bs_key_table_clear (&tracked->shards[i].doomed);
      while (bs_key_table_iter_next (&tracked->shards[i].added, &iter, &key))
        {
          guint64 hash = bs_key_hash (key);

          bs_key_table_remove (&tracked->shards[i].pinned, key, hash);
          self->n_doomed += bs_key_table_add (&tracked->shards[i].doomed, key, hash);
        }
      g_mutex_unlock (&self->operation.store->shards[i].mutex);
    }

  return self->n_doomed > 0;
}

static void
start_commit (SaveOperation *self, BsWaiter *waiter)
{
  BsTrackedPath *tracked = self->operation.tracked;

  if (self->plan.root != NULL)
    {
      bs_waiter_set_subject (waiter, BS_KIND_WRITE_ROOT, NULL, tracked);
      bs_path_start_write_root (tracked, self->plan.root, waiter);
    }
  else if (self->plan.commit != NULL)
    {
      bs_waiter_set_subject (waiter, BS_KIND_TASK, NULL, NULL);
      bs_task_start_commit (tracked, self->plan.commit, self->plan.data, waiter);
    }
  else
    {
      bs_waiter_answer (waiter, NULL, NULL);
    }
}

static void
start_phase (SaveOperation *self, BsWaiter *waiter)
{
  switch (self->phase)
    {
    case PHASE_PERSIST:
      bs_save_names_start (&self->names, waiter);
      break;
    case PHASE_SYNC:
      bs_waiter_set_subject (waiter, BS_KIND_SYNC, NULL, self->operation.tracked);
      bs_path_start (BS_KIND_SYNC, self->operation.tracked, waiter);
      break;
    case PHASE_COMMIT:
      start_commit (self, waiter);
      break;
    case PHASE_DELETE:
    case PHASE_UNDO:
      bs_bulk_start_delete_doomed (self->operation.store, self->operation.tracked, self->n_doomed, waiter);
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
  if (self->error == NULL && g_cancellable_is_cancelled (self->waiter->cancellable))
    self->error = bs_operation_error (BS_KIND_SAVE, NULL, self->operation.tracked, G_IO_ERROR, G_IO_ERROR_CANCELLED, "it was cancelled");
}

/* Takes the error over. */
static void
fail (SaveOperation *self, GError *error)
{
  g_autofree char *name = g_file_get_parse_name (bs_tracked_path_get_file (self->operation.tracked));

  self->error = error;
  g_prefix_error (&self->error, "Saving at %s: ", name);
}

/* A phase has ended: which is next? Takes the error over. */
static void
end_phase (SaveOperation *self, GError *error)
{
  gboolean sync_failed;
  gboolean again = FALSE;

  /* The save has succeeded; what is left over goes with the next one. */
  if (self->phase == PHASE_DELETE)
    {
      if (error != NULL)
        bs_backing_store_report (self->operation.store, NULL, BS_OPERATION_DELETE_PERSISTED_KEYS, error);
      self->phase = PHASE_END;
      return;
    }

  /* Why it is undone is what there is to say. */
  if (self->phase == PHASE_UNDO)
    {
      g_clear_error (&error);
      self->phase = PHASE_END;
      return;
    }

  sync_failed = self->phase == PHASE_SYNC && error != NULL && !g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  if (error != NULL)
    fail (self, error);
  else if (self->phase == PHASE_QUEUED)
    begin (self);
  else if (self->phase == PHASE_SYNC)
    again = look_again (self);
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
  else if (self->phase == PHASE_QUEUED && self->names.n_todo == 0)
    self->phase = PHASE_SYNC;
  else if (self->phase == PHASE_COMMIT && self->n_doomed == 0)
    self->phase = PHASE_END;
  else
    self->phase++;
}

static gpointer
background_phase_done (gpointer data, gpointer value, GError **error)
{
  SaveOperation *self = data;

  end_phase (self, g_steal_pointer (error));
  go_on (self);

  return NULL;
}

static void
end (SaveOperation *self)
{
  BsStoreOperation *operation = &self->operation;
  BsDeferred deferred = { NULL, };

  unpin (self);

  g_mutex_lock (operation->lock);
  operation->state = BS_OPERATION_DONE;
  bs_path_remove_save (operation, &deferred);
  g_mutex_unlock (operation->lock);

  bs_deferred_push (&deferred);
  bs_waiter_answer (self->waiter, NULL, g_steal_pointer (&self->error));
  bs_deferred_run (&deferred);
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

  waiter = inner_waiter_new (self, FALSE, background_phase_done, bs_store_operation_ref (&self->operation), (GDestroyNotify) bs_store_operation_unref);
  start_phase (self, waiter);
  bs_waiter_unref (waiter);
}

/* The same for the thread of a blocking call. */
static void
go_on_here (SaveOperation *self)
{
  while (self->phase != PHASE_END)
    {
      BsWaiter *waiter = inner_waiter_new (self, TRUE, NULL, NULL, NULL);
      GError *error = NULL;

      start_phase (self, waiter);
      bs_waiter_wait (waiter, &error);
      end_phase (self, error);
    }

  end (self);
}

static gpointer
background_turn_came (gpointer data, gpointer value, GError **error)
{
  SaveOperation *self = data;

  if (*error == NULL)
    return background_phase_done (data, value, error);

  /* It has left the queue. */
  bs_waiter_answer (self->waiter, NULL, g_steal_pointer (error));
  return NULL;
}

/* Its turn has come. */
static void
save_operation_run (BsStoreOperation *operation)
{
  BsWaiter *waiters;

  g_mutex_lock (operation->lock);
  waiters = bs_store_operation_steal_callers (operation);
  g_mutex_unlock (operation->lock);

  bs_store_operation_answer (waiters, NULL, NULL);
}

static void
save_operation_drop (BsStoreOperation *operation, BsDeferred *deferred)
{
  bs_path_remove_save (operation, deferred);
  bs_deferred_add_dropped (deferred, operation);
}

static void
plan_clear (BsSavePlan *plan)
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
  plan_clear (&self->plan);
  g_clear_error (&self->error);
  bs_waiter_unref (self->waiter);
  bs_path_unref (self->path);
}

static const BsStoreOperationClass save_operation_class = {
  .run = save_operation_run,
  .drop = save_operation_drop,
  .free = save_operation_free,
};

static SaveOperation *
save_operation_new (BsTrackedPath *tracked, BsSavePlan *plan, BsWaiter *waiter)
{
  SaveOperation *self = g_new0 (SaveOperation, 1);

  bs_store_operation_init (&self->operation, &save_operation_class, BS_KIND_SAVE, tracked->store, tracked->store->backing_executor,
               bs_path_get_save_lock (tracked->path), tracked, waiter->priority);
  bs_store_operation_hold (&self->operation);
  self->path = bs_path_ref (tracked->path);
  self->waiter = bs_waiter_ref (waiter);
  self->plan = *plan;
  bs_save_names_init (&self->names, &self->operation, &self->plan, waiter->cancellable);
  await_turn (self);

  return self;
}

/* Puts the save into the queue; `turn` is answered when its turn has come. */
static void
queue (SaveOperation *self, BsWaiter *turn)
{
  BsStoreOperation *operation = &self->operation;
  gboolean is_queued = FALSE;
  gboolean is_first = FALSE;
  gboolean left;

  bs_waiter_set_subject (turn, BS_KIND_SAVE, NULL, operation->tracked);
  turn->keep = bs_path_ref (self->path);
  turn->keep_free = (GDestroyNotify) bs_path_unref;
  turn->lock = operation->lock;
  bs_waiter_connect (turn, bs_store_operation_leave, NULL);

  g_mutex_lock (operation->lock);
  left = turn->left;
  if (!left)
    is_queued = bs_path_queue_save (operation);
  if (is_queued)
    {
      /* The queue's. */
      bs_store_operation_ref (operation);
      is_first = operation->state == BS_OPERATION_READY;
      bs_store_operation_join (operation, turn);
    }
  g_mutex_unlock (operation->lock);

  /* Looking at all the names takes long where they are many. */
  if (is_first && turn->blocking)
    bs_store_operation_run (operation, NULL);
  else if (is_first)
    bs_executor_submit (operation->executor, operation);
  else if (is_queued)
    bs_path_lend_to_saves (operation->tracked, turn->priority);
  else if (left)
    bs_waiter_answer (turn, NULL, bs_operation_error (BS_KIND_SAVE, NULL, operation->tracked, G_IO_ERROR, G_IO_ERROR_CANCELLED, "it was cancelled"));
  else
    bs_waiter_answer (turn, NULL, bs_operation_error (BS_KIND_SAVE, NULL, operation->tracked, BS_ERROR, BS_ERROR_CLOSED, "the tracked path is closed"));
}

static void
save_here (SaveOperation *self)
{
  BsWaiter *turn = inner_waiter_new (self, TRUE, NULL, NULL, NULL);
  GError *error = NULL;

  queue (self, turn);
  if (bs_waiter_wait (turn, &error))
    {
      end_phase (self, NULL);
      go_on_here (self);
    }
  else
    {
      bs_waiter_answer (self->waiter, NULL, error);
    }
}

static void
save_in_background (SaveOperation *self)
{
  BsWaiter *turn = inner_waiter_new (self, FALSE, background_turn_came, bs_store_operation_ref (&self->operation), (GDestroyNotify) bs_store_operation_unref);

  queue (self, turn);
  bs_waiter_unref (turn);
}

void
bs_backing_store_start_save (BsBackingStore *self, BsTrackedPath *tracked, BsSavePlan *plan, BsWaiter *waiter)
{
  waiter->context_data = plan->context_data;
  waiter->context_data_free = plan->context_data_free;
  if (!bs_backing_store_admit (self, waiter, BS_KIND_SAVE, NULL, tracked))
    {
      plan_clear (plan);
      return;
    }

  if (waiter->blocking && !bs_wait_graph_enter (&waiter->wait, tracked->path))
    {
      plan_clear (plan);
      bs_waiter_answer (waiter, NULL, bs_operation_error (BS_KIND_SAVE, NULL, tracked, BS_ERROR, BS_ERROR_BUSY,
                                                    "called from inside a commit function, it would wait for that function's own save"));
    }
  else
    {
      SaveOperation *operation = save_operation_new (tracked, plan, waiter);

      /* The save may have to wait for another one's commit function. */
      bs_task_lend_place (self);
      /* In a context a thread that waits runs others' functions, which may wait
       * for this very save: it must not need that thread to come back to it. */
      if (waiter->blocking && self->main_context == NULL)
        save_here (operation);
      else
        save_in_background (operation);
      bs_store_operation_unref (&operation->operation);
    }
  bs_backing_store_admitted (self);
}
