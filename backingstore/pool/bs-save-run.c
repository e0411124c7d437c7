/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-save-private.h"

#include "base/bs-error-private.h"

#include "bs-item-private.h"

/* The run of a save: the check, the plan for the store with the contents of the
 * items, and the functions of the plan. */

/* Entries of many items are fetched before their turn, since the processor's cache has none
 * of them. */
#define FETCHED_AHEAD 8

/* The content of a name, taken when the save was run. */
typedef struct
{
  BsPool *pool;   /* borrowed from the run */
  BsEntry *entry; /* a reference; NULL: the name is only a key */
} Content;

/* The data of a plan, until the run has ended. */
typedef struct
{
  BsSave *save;      /* borrowed from the call that runs it */
  BsCommit *commit;  /* a reference, of the call's delivery; nullable */
  GPtrArray *pools;  /* owned; of BsPool, owned */
  Content *contents; /* owned; one for each name */
  guint n_contents;
  guint n_allocated;       /* also of the plan's names */
  guint first_of_manifest; /* its entries follow here, in order */
  guint n_of_manifest;
  GBytes *manifest; /* owned, nullable; its bytes */
} Run;

static void
run_free (gpointer data)
{
  Run *self = data;

  for (guint i = 0; i < self->n_contents; i++)
    {
      if (i + FETCHED_AHEAD < self->n_contents)
        __builtin_prefetch (self->contents[i + FETCHED_AHEAD].entry, 1);
      if (self->contents[i].entry != NULL)
        bs_cache_drop_entry (bs_pool_get_cache (self->contents[i].pool), self->contents[i].entry);
    }
  g_free (self->contents);
  g_ptr_array_unref (self->pools);
  g_clear_pointer (&self->manifest, g_bytes_unref);
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

static char *
run_describe (gpointer data, guint name)
{
  Run *self = data;

  if (name < self->first_of_manifest || name - self->first_of_manifest >= self->n_of_manifest)
    return NULL;

  return g_strdup_printf ("entry “%s” of the manifest",
                          bs_manifest_bytes_get_name (self->manifest,
                                                      name - self->first_of_manifest));
}

static void
reserve_names (Run *run, BsSavePlan *plan, guint n_names)
{
  if (n_names <= run->n_allocated)
    return;

  run->n_allocated = MAX (n_names, 2 * run->n_allocated);
  run->contents = g_renew (Content, run->contents, run->n_allocated);
  plan->names = g_renew (BsSaveName, plan->names, run->n_allocated);
}

static void
add_name (Run *run, BsSavePlan *plan, const BsKey *key, BsPool *pool, BsEntry *entry)
{
  guint i = run->n_contents++;

  reserve_names (run, plan, run->n_contents);
  run->contents[i].pool = pool;
  run->contents[i].entry = entry;
  plan->names[i].key = *key;
  plan->names[i].token = entry != NULL ? entry->token : NULL;
}

/* The item is held by the save, or by the manifest, whose lock is held. */
static void
add_item (Run *run, BsSavePlan *plan, BsItem *item)
{
  BsPool *pool = item->pool;
  BsEntry *entry = bs_item_dup_entry (item);

  /* Neighbours mostly are of the same pool. The item has a reference on it as well, so this
   * one calls no toggle reference's function, as it must not under a lock. */
  if (run->pools->len == 0 || run->pools->pdata[run->pools->len - 1] != pool)
    g_ptr_array_add (run->pools, g_object_ref (pool));

  add_name (run, plan, &entry->key, pool, entry);
}

typedef struct
{
  Run *run;
  BsSavePlan *plan;
  gboolean has_key; /* without an item */
  char *strange;    /* owned; the name of an entry whose item is of another store */
} Reading;

static gboolean
read_entry (gpointer data, const BsManifestNode *node, BsKey *key)
{
  Reading *self = data;

  if (node->item == NULL)
    {
      self->has_key = TRUE;
      add_name (self->run, self->plan, key, NULL, NULL);
      return TRUE;
    }
  if (bs_pool_get_store (node->item->pool) != self->run->save->store)
    {
      self->strange = g_strdup (node->record->name);
      return FALSE;
    }

  /* Another thread may have replaced the item since the key was read. */
  add_item (self->run, self->plan, node->item);
  *key = self->plan->names[self->run->n_contents - 1].key;
  return TRUE;
}

static guint
hash_key (gconstpointer key)
{
  return bs_key_hash (key);
}

static gboolean
equal_keys (gconstpointer a, gconstpointer b)
{
  return bs_key_equal (a, b);
}

/* An entry that has a key only may have that of an item, which is not at the path yet. */
static void
share_contents (Run *run, BsSavePlan *plan)
{
  g_autoptr (GHashTable) contents = g_hash_table_new (hash_key, equal_keys);

  for (guint i = 0; i < run->n_contents; i++)
    if (run->contents[i].entry != NULL)
      g_hash_table_insert (contents, &run->contents[i].entry->key, &run->contents[i]);

  for (guint i = run->first_of_manifest; i < run->n_contents; i++)
    {
      Content *content =
        run->contents[i].entry == NULL ? g_hash_table_lookup (contents, &plan->names[i].key) : NULL;

      if (content == NULL)
        continue;
      run->contents[i].pool = content->pool;
      run->contents[i].entry = bs_entry_ref (content->entry);
      plan->names[i].token = content->entry->token;
    }
}

/* Takes the keys of the manifest, and the bytes with them. Returns the name of an entry
 * whose item belongs to another store. The mutex is held. */
static char *
take_manifest_locked (BsSave *self, Run *run, BsSavePlan *plan, guint n_before)
{
  BsManifestTable *table = bs_manifest_get_table (self->manifest);
  Reading reading = { run, plan };

  reserve_names (run, plan, n_before + bs_manifest_table_get_n_entries (table) + self->keys->len);
  run->first_of_manifest = n_before;
  run->manifest = bs_manifest_table_write (table, read_entry, &reading);
  run->n_of_manifest = run->n_contents - n_before;
  if (reading.strange != NULL)
    return reading.strange;

  plan->root = g_bytes_ref (run->manifest);
  if (reading.has_key && run->pools->len > 0)
    share_contents (run, plan);

  return NULL;
}

/* Takes the keys that the save names, and tokens of those that are items'. Returns the name
 * of an entry as above. The mutex is held. */
static char *
take_names_locked (BsSave *self, Run *run, BsSavePlan *plan)
{
  guint n_items = self->items->len;
  char *strange = NULL;

  reserve_names (run, plan, n_items + self->keys->len);
  for (guint i = 0; i < n_items; i++)
    {
      if (i + FETCHED_AHEAD < n_items)
        __builtin_prefetch (bs_locked_pointer_get (
          &((BsItem *) g_ptr_array_index (self->items, i + FETCHED_AHEAD))->entry));
      add_item (run, plan, g_ptr_array_index (self->items, i));
    }
  if (self->manifest != NULL)
    strange = take_manifest_locked (self, run, plan, n_items);
  for (guint i = 0; i < self->keys->len; i++)
    add_name (run, plan, &g_array_index (self->keys, BsKey, i), NULL, NULL);
  plan->n_names = run->n_contents;

  return strange;
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

/* Neighbours mostly are of the same pool. The mutex is held. */
static gboolean
has_strange_item_locked (BsSave *self)
{
  BsPool *last = NULL;

  for (guint i = 0; i < self->items->len; i++)
    {
      BsPool *pool = ((BsItem *) g_ptr_array_index (self->items, i))->pool;

      if (pool != last && bs_pool_get_store (pool) != self->store)
        return TRUE;
      last = pool;
    }

  return FALSE;
}

/* The mutex is held. */
static Verdict
check_locked (BsSave *self)
{
  guint n_commits;

  if (self->running)
    return RUNS_ALREADY;
  if (self->bad_key != NULL)
    return HAS_BAD_KEY;
  if (has_strange_item_locked (self))
    return HAS_STRANGE_ITEM;
  n_commits = (self->root != NULL) + (self->manifest != NULL) + (self->commit != NULL);
  if (n_commits > 1)
    return HAS_TWO_COMMITS;
  if (self->items->len + self->keys->len + n_commits == 0)
    return HAS_NOTHING;

  return CAN_RUN;
}

static GError *
verdict_to_error (BsSave *self, Verdict verdict)
{
  g_autofree char *path = bs_error_name_file (bs_tracked_path_get_file (self->tracked));
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
                          "Saving at %s: set only one of a root, a manifest and a commit function",
                          path);
    case HAS_NOTHING:
      return g_error_new (G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                          "Saving at %s: nothing to save; an empty save would delete everything",
                          path);
    case CAN_RUN:
      break;
    }

  return NULL;
}

/* Returns the name of an entry of the manifest whose item belongs to another store: then
 * the plan is to be cleared. The mutex is held. */
static char *
begin_locked (BsSave *self, BsSavePlan *plan)
{
  Run *run = g_new0 (Run, 1);
  char *strange;

  run->save = self;
  run->pools = g_ptr_array_new_with_free_func (g_object_unref);

  *plan = (BsSavePlan){
    .max_parallel = self->max_parallel,
    .root = self->root != NULL ? g_bytes_ref (self->root) : NULL,
    .data = run,
    .free = run_free,
    .dup_content = run_dup_content,
    .persisted = run_persisted,
    .progress = run_progress,
    .committed = run_committed,
    .describe = run_describe,
  };
  strange = take_names_locked (self, run, plan);
  if (strange != NULL)
    return strange;

  if (self->commit != NULL)
    {
      run->commit = g_atomic_rc_box_acquire (self->commit);
      plan->commit = run_commit;
    }
  self->running = TRUE;

  return NULL;
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
  g_autofree char *strange = NULL;
  Verdict verdict;

  g_mutex_lock (&self->mutex);
  verdict = check_locked (self);
  if (verdict == CAN_RUN)
    strange = begin_locked (self, plan);
  g_mutex_unlock (&self->mutex);

  if (verdict != CAN_RUN)
    {
      *error = verdict_to_error (self, verdict);
      return FALSE;
    }
  if (strange != NULL)
    {
      g_autofree char *path = bs_error_name_file (bs_tracked_path_get_file (self->tracked));

      bs_save_plan_clear (plan);
      *error = g_error_new (G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                            "Saving at %s: the item of the entry “%s” belongs to another store",
                            path, strange);
      return FALSE;
    }

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
 * the path belongs to another store, if there are two of a root, a manifest and a
 * commit function, or if there is nothing to save; %BS_ERROR_BUSY while this object runs, and
 * inside a commit function that it would wait for; %BS_ERROR_CLOSED if the store
 * or the path is closed; %G_IO_ERROR_WOULD_BLOCK inside a function of the store's
 * backing; %BS_ERROR_FAILED if the commit function returns %FALSE without an
 * error; %G_IO_ERROR_CANCELLED; %BS_ERROR_NOT_SUPPORTED if there is a root or a
 * manifest and the backing has no root blobs; and with the errors of the backing or the
 * commit function.
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
