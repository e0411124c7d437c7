/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-save-private.h"

#include "bs-item-private.h"

/* The run of a save: the check, the plan for the store with the contents of the
 * items, and the functions of the plan. */

/* Entries of many items are fetched before their turn, since the processor's cache has none
 * of them. */
#define FETCHED_AHEAD 8

/* The content of an item, taken when the save was run. */
typedef struct
{
  BsPool *pool;   /* borrowed from the run */
  BsEntry *entry; /* a reference */
} Content;

/* The data of a plan, until the run has ended. */
typedef struct
{
  BsSave *save;      /* borrowed from the call that runs it */
  BsCommit *commit;  /* a reference, of the call's delivery; nullable */
  GPtrArray *pools;  /* owned */
  Content *contents; /* owned; of the first names */
  guint n_contents;
} Run;

static void
run_free (gpointer data)
{
  Run *self = data;

  for (guint i = 0; i < self->n_contents; i++)
    bs_cache_drop_entry (bs_pool_get_cache (self->contents[i].pool), self->contents[i].entry);
  g_free (self->contents);
  g_ptr_array_unref (self->pools);
  g_free (self);
}

static BsContent *
run_dup_content (gpointer data, guint name)
{
  Content *content = &((Run *) data)->contents[name];

  return bs_cache_dup_unpersisted (bs_pool_get_cache (content->pool), content->entry);
}

static void
run_persisted (gpointer data, guint name)
{
  Content *content = &((Run *) data)->contents[name];
  BsCache *cache = bs_pool_get_cache (content->pool);

  bs_cache_mark_clean (cache, content->entry);
  bs_cache_settle (cache);
}

static void
run_progress (gpointer data, int n_names)
{
  bs_progress_add_done (&((Run *) data)->save->progress, n_names);
}

static void
run_committed (gpointer data)
{
  bs_progress_complete (&((Run *) data)->save->progress);
}

static gboolean
run_commit (BsBackingStore *store, GCancellable *cancellable, gpointer data, GError **error)
{
  Run *self = data;

  return self->commit->func (self->save, cancellable, self->commit->data, error);
}

/* Takes the keys that the save names, and the tokens of its items. The mutex is held. */
static void
take_names_locked (BsSave *self, Run *run, BsSavePlan *plan)
{
  guint n_items = self->items->len;
  BsPool *pool = NULL;

  plan->n_names = n_items + self->keys->len;
  plan->names = g_new0 (BsSaveName, plan->n_names);
  run->contents = g_new (Content, n_items);
  run->n_contents = n_items;
  for (guint i = 0; i < n_items; i++)
    {
      BsItem *item = g_ptr_array_index (self->items, i);
      Content *content = &run->contents[i];

      if (i + FETCHED_AHEAD < n_items)
        __builtin_prefetch (bs_locked_pointer_get (
          &((BsItem *) g_ptr_array_index (self->items, i + FETCHED_AHEAD))->entry));

      /* Neighbours mostly are of the same pool. */
      if (item->pool != pool)
        {
          pool = item->pool;
          g_ptr_array_add (run->pools, pool);
        }
      content->pool = pool;
      content->entry = bs_item_dup_entry (item);
      __builtin_prefetch (content->entry->token);
      plan->names[i].key = content->entry->key;
      plan->names[i].token = content->entry->token;
    }
  for (guint i = 0; i < self->keys->len; i++)
    plan->names[n_items + i].key = g_array_index (self->keys, BsKey, i);
}

typedef enum
{
  CAN_RUN,
  RUNS_ALREADY,
  HAS_BAD_KEY,
  HAS_STRANGE_ITEM,
  HAS_TWO_COMMITS,
  HAS_NOTHING,
} Verdict;

/* The mutex is held. */
static Verdict
check_locked (BsSave *self)
{
  if (self->running)
    return RUNS_ALREADY;
  if (self->bad_key != NULL)
    return HAS_BAD_KEY;
  for (guint i = 0; i < self->items->len; i++)
    if (bs_pool_get_store (((BsItem *) g_ptr_array_index (self->items, i))->pool) != self->store)
      return HAS_STRANGE_ITEM;
  if (self->root != NULL && self->commit != NULL)
    return HAS_TWO_COMMITS;
  if (self->items->len + self->keys->len == 0 && self->root == NULL && self->commit == NULL)
    return HAS_NOTHING;

  return CAN_RUN;
}

static GError *
verdict_to_error (BsSave *self, Verdict verdict)
{
  g_autofree char *path = g_file_get_parse_name (bs_tracked_path_get_file (self->tracked));
  g_autofree char *bad_key = NULL;

  switch (verdict)
    {
    case RUNS_ALREADY:
      return g_error_new (BS_ERROR, BS_ERROR_BUSY, "Saving at %s: this save is running", path);
    case HAS_BAD_KEY:
      g_mutex_lock (&self->mutex);
      bad_key = g_strdup (self->bad_key);
      g_mutex_unlock (&self->mutex);
      return g_error_new (BS_ERROR, BS_ERROR_INVALID_KEY,
                          "Saving at %s: cannot keep “%s”, which is not a key", path, bad_key);
    case HAS_STRANGE_ITEM:
      return g_error_new (G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                          "Saving at %s: an item belongs to another store", path);
    case HAS_TWO_COMMITS:
      return g_error_new (G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                          "Saving at %s: set either a root or a commit function, not both", path);
    case HAS_NOTHING:
      return g_error_new (G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                          "Saving at %s: nothing to save; an empty save would delete everything",
                          path);
    case CAN_RUN:
      break;
    }

  return NULL;
}

/* The mutex is held. */
static void
begin_locked (BsSave *self, BsSavePlan *plan)
{
  Run *run = g_new0 (Run, 1);

  run->save = self;
  run->pools = g_ptr_array_new ();

  *plan = (BsSavePlan){
    .max_parallel = self->max_parallel,
    .root = self->root != NULL ? g_bytes_ref (self->root) : NULL,
    .data = run,
    .free = run_free,
    .dup_content = run_dup_content,
    .persisted = run_persisted,
    .progress = run_progress,
    .committed = run_committed,
  };
  take_names_locked (self, run, plan);

  if (self->commit != NULL)
    {
      run->commit = g_atomic_rc_box_acquire (self->commit);
      plan->commit = run_commit;
    }

  self->running = TRUE;
}

/* Takes references on the pools, which the items have kept until here. No lock is held,
 * since a reference on a GObject may run a binding's code. */
static void
hold_pools (Run *run)
{
  g_ptr_array_foreach (run->pools, (GFunc) (void (*) (void)) g_object_ref, NULL);
  g_ptr_array_set_free_func (run->pools, g_object_unref);
}

/* Lets the save run again, even from its callback. */
static gpointer
run_deliver (gpointer data, gpointer value, GError **error)
{
  BsSave *self = data;

  g_mutex_lock (&self->mutex);
  self->running = FALSE;
  g_mutex_unlock (&self->mutex);

  return NULL;
}

/* The commit function's data is destroyed in the waiter's context. */
static BsDelivery
run_delivery (BsSave *self, BsSavePlan *plan)
{
  Run *run = plan->data;

  return (BsDelivery){
    .func = run_deliver,
    .data = self,
    .context_data = run->commit,
    .context_data_free = run->commit != NULL ? bs_commit_unref : NULL,
    .progress = &self->progress,
  };
}

/* Makes the plan of a run, or sets an error. */
static gboolean
begin (BsSave *self, BsSavePlan *plan, GError **error)
{
  Verdict verdict;

  g_mutex_lock (&self->mutex);
  verdict = check_locked (self);
  if (verdict == CAN_RUN)
    begin_locked (self, plan);
  g_mutex_unlock (&self->mutex);

  if (verdict != CAN_RUN)
    {
      *error = verdict_to_error (self, verdict);
      return FALSE;
    }

  hold_pools (plan->data);
  bs_progress_begin (&self->progress, plan->n_names);
  return TRUE;
}

/**
 * bs_save_run:
 * @self: a save
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Persists, syncs, replaces the root blob or calls the commit function,
 * and deletes the other keys.
 *
 * If it fails, the old root blob and every blob that it names are still there. If
 * it fails because its blobs could not be made durable, the blobs that nobody but the save
 * had persisted are deleted again, so that the next save can succeed. Blobs
 * that it does not name and that an earlier sync has failed at are in its way: see
 * [method@BackingStore.sync].
 *
 * A save can be cancelled until the step from the old document to the new one. From
 * there on it succeeds: a cancellation changes nothing any more, and a blob that cannot be
 * deleted is told by [signal@BackingStore::background-error] and deleted by the next save.
 *
 * Fails with %BS_ERROR_INVALID_KEY or %BS_ERROR_NOT_FOUND for a key that is to be
 * kept and is none, or is not there; %BS_ERROR_CORRUPT if a blob that it names is
 * found to be bad before the new document is in place, and there is no other to
 * put there; %G_IO_ERROR_INVALID_ARGUMENT if an item or
 * the path belongs to another store, if there are a root and a commit function,
 * or if there is nothing to save; %BS_ERROR_BUSY while this object runs, and
 * inside a commit function that it would wait for; %BS_ERROR_CLOSED if the store
 * or the path is closed; %G_IO_ERROR_WOULD_BLOCK inside a function of the store's
 * backing; %BS_ERROR_FAILED if the commit function returns %FALSE without an
 * error; %G_IO_ERROR_CANCELLED; %BS_ERROR_NOT_SUPPORTED if there is a root and
 * the backing has no root blobs; and with the errors of the backing or the commit function.
 *
 * Blocks; see [method@Save.run_async] for the asynchronous call.
 *
 * Returns: %TRUE if the new document is in place, %FALSE with @error set
 */
gboolean
bs_save_run (BsSave *self, GCancellable *cancellable, GError **error)
{
  BsRequest request = { .kind = BS_KIND_SAVE };
  GError *local_error = NULL;
  BsDelivery delivery;
  BsSavePlan plan;

  g_return_val_if_fail (bs_save_has_path (self), FALSE);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (!begin (self, &plan, &local_error))
    {
      g_propagate_error (error, local_error);
      return FALSE;
    }

  request.tracked = self->tracked;
  request.plan = &plan;
  delivery = run_delivery (self, &plan);
  return GPOINTER_TO_INT (bs_ask_blocking (self->store, &request, &delivery, cancellable, error));
}

/**
 * bs_save_run_async:
 * @self: a save
 * @io_priority: the priority of the save's operations
 * @cancellable: (nullable): a #GCancellable
 * @callback: (scope async) (closure user_data): called when it is done
 * @user_data: data for @callback
 *
 * Asynchronous [method@Save.run]. The contents of the moment of the call are saved:
 * the call takes them from the items before it returns, which is a tenth of a
 * second with a million items. The store's threads do the rest.
 */
void
bs_save_run_async (BsSave *self,
                   int io_priority,
                   GCancellable *cancellable,
                   GAsyncReadyCallback callback,
                   gpointer user_data)
{
  BsRequest request = { .kind = BS_KIND_SAVE };
  BsDelivery delivery;
  GError *error = NULL;
  BsSavePlan plan;
  GTask *task;

  g_return_if_fail (bs_save_has_path (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = bs_task_new (self, cancellable, callback, user_data, bs_save_run_async,
                      "[backingstore] save", io_priority);
  if (!begin (self, &plan, &error))
    {
      bs_answer_async (task, NULL, NULL, error);
      return;
    }

  request.tracked = self->tracked;
  request.plan = &plan;
  delivery = run_delivery (self, &plan);
  bs_ask_async (self->store, &request, &delivery, task);
}

/**
 * bs_save_run_finish:
 * @self: a save
 * @result: the result that the callback was given
 * @error: return location for a #GError
 *
 * Finishes [method@Save.run_async].
 *
 * Returns: %TRUE if the new document is in place, %FALSE with @error set
 */
gboolean
bs_save_run_finish (BsSave *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (BS_IS_SAVE (self), FALSE);
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  g_return_val_if_fail (g_async_result_is_tagged (result, bs_save_run_async), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}
