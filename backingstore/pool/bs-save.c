/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-save-private.h"

#include "bs-item-private.h"

/**
 * BsSave:
 *
 * Changes the document at a persisted path from one set of blobs to another, in one
 * step.
 *
 * A document is a directory: a tracked path with a *root* blob that names keys,
 * in whatever format the application likes, and the blobs with these keys. A
 * save is told all blobs of the new document, with
 * [method@Save.add_item] for contents of a pool and [method@Save.keep_key] for
 * keys that the path has already, and the new root with [method@Save.set_root]. A
 * [class@Manifest] does all three in one call, [method@Save.set_manifest].
 * [method@Save.run] then
 *
 * 1. persists every blob that the path does not have, several at a time;
 * 2. makes all of that durable, as [method@BackingStore.sync] does;
 * 3. replaces the root blob, durably, or calls the application's commit function
 *    ([method@Save.set_commit_func]): this is the one step from the old document
 *    to the new one;
 * 4. only then deletes the keys that were at the path when the save was run and
 *    that it does not name.
 *
 * A crash, an error, a full disk or a cancellation at any point leaves the old
 * document or the new one, whole and loadable. At worst there are blobs besides
 * that nothing refers to; the next save that succeeds removes them.
 *
 * The cost of a save is that of its changes: the backing is not called for a key that
 * the path has.
 *
 * ## Contents of a save
 *
 * The save takes the contents of its items, the root, the manifest and the commit
 * function when it is run: an item that is replaced or dropped later does not disturb
 * it, and an item that is added later is for the next run. A manifest names the keys
 * that its items have in that moment. For a root of your own, take the keys that it
 * names from the items while no thread replaces them, and run the save right then.
 *
 * A save without a root, a manifest or a commit function leaves the root blob as it
 * is; there the sync is the step. A save that names nothing at all and has
 * none of these is refused, since it would delete everything; a root alone, or a
 * manifest without entries, makes an empty document.
 *
 * ## Beside other operations
 *
 * Saves of one path run one after the other, in the order in which they are run;
 * one that waits for its turn holds no thread. An asynchronous save has its turn
 * when a thread of the store has come to it, so never at once. An operation on a
 * key that was asked before the save's turn comes before it. From then on the keys
 * that the save names cannot be deleted: [method@BackingStore.delete_persisted]
 * fails with %BS_ERROR_BUSY, and [method@BackingStore.delete_persisted_keys]
 * deletes the others and fails with that. Keys that are persisted after the save
 * was run stay.
 *
 * A [class@Verify] takes out bad blobs all the same. The save looks once
 * more before its one step: an item whose blob was taken out is persisted again,
 * and for a key that is to be kept the save fails with %BS_ERROR_CORRUPT. A blob
 * that is found bad from that step on is missing in the new document, as if it was
 * found after the save; [method@Verify.dup_bad_keys] lists it.
 *
 * When its turn comes, and once more before its one step, a save looks whether the name
 * of the path still leads there. If not it fails with %BS_ERROR_MOVED and the document
 * stays as it is; see [class@TrackedPath]. A blob that another program has removed from
 * the path is persisted again if an item stands for it, and is a %BS_ERROR_NOT_FOUND if
 * it is to be kept. A blob of an item that primary storage has lost, or has damaged, is
 * written anew if its content is in memory.
 *
 * [method@BackingStore.untrack_path] and [method@BackingStore.close] wait for
 * the saves that were run before, [method@BackingStore.sync] does not.
 *
 * A save may be used from any thread, and run again when a run is over, for
 * instance after an error. The properties that tell how far it has come notify in
 * the context that was the thread's default where the store was made, once for
 * many changes, and for the last time before the callback of a
 * [method@Save.run_async] that was called in that context. So a progress bar can be
 * bound to [property@Save:fraction]. Where the save is run from elsewhere, or by
 * the blocking call, hold it for as long as handlers are to be called.
 */

/* Enough to keep the store's threads busy, and few enough to let other operations in. */
#define DEFAULT_MAX_PARALLEL 8

typedef enum
{
  PROP_STORE = 1,
  PROP_TRACKED,
  PROP_MAX_PARALLEL,
  PROP_N_TOTAL,
  PROP_N_DONE,
  PROP_FRACTION,
} BsSaveProperty;

static GParamSpec *properties[PROP_FRACTION + 1];

G_DEFINE_FINAL_TYPE (BsSave, bs_save, G_TYPE_OBJECT)

static void
commit_clear (gpointer data)
{
  BsCommit *commit = data;

  if (commit->destroy != NULL)
    commit->destroy (commit->data);
}

void
bs_commit_unref (gpointer data)
{
  g_atomic_rc_box_release_full (data, commit_clear);
}

static void
bs_save_finalize (GObject *object)
{
  BsSave *self = BS_SAVE (object);

  bs_progress_clear (&self->progress);
  g_ptr_array_unref (self->items);
  g_array_unref (self->keys);
  g_free (self->bad_key);
  g_clear_pointer (&self->root, g_bytes_unref);
  g_clear_object (&self->manifest);
  g_clear_pointer (&self->commit, bs_commit_unref);
  g_clear_object (&self->tracked);
  g_clear_object (&self->store);
  g_mutex_clear (&self->mutex);

  G_OBJECT_CLASS (bs_save_parent_class)->finalize (object);
}

static void
bs_save_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  BsSave *self = BS_SAVE (object);

  switch ((BsSaveProperty) id)
    {
    case PROP_STORE:
      g_value_set_object (value, self->store);
      break;
    case PROP_TRACKED:
      g_value_set_object (value, self->tracked);
      break;
    case PROP_MAX_PARALLEL:
      g_value_set_uint (value, bs_save_get_max_parallel (self));
      break;
    case PROP_N_TOTAL:
      g_value_set_uint64 (value, bs_save_get_n_total (self));
      break;
    case PROP_N_DONE:
      g_value_set_uint64 (value, bs_save_get_n_done (self));
      break;
    case PROP_FRACTION:
      g_value_set_double (value, bs_save_get_fraction (self));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
bs_save_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  BsSave *self = BS_SAVE (object);

  switch ((BsSaveProperty) id)
    {
    case PROP_STORE:
      self->store = g_value_dup_object (value);
      bs_progress_init (&self->progress,
                        self->store != NULL ? bs_backing_store_get_notifier (self->store) : NULL,
                        object, &properties[PROP_N_TOTAL]);
      break;
    case PROP_TRACKED:
      self->tracked = g_value_dup_object (value);
      break;
    case PROP_MAX_PARALLEL:
      bs_save_set_max_parallel (self, g_value_get_uint (value));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
bs_save_class_init (BsSaveClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  const GParamFlags readable = G_PARAM_READABLE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS;
  const GParamFlags constant =
    G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS;

  object_class->finalize = bs_save_finalize;
  object_class->get_property = bs_save_get_property;
  object_class->set_property = bs_save_set_property;

  /**
   * BsSave:store: (getter get_store)
   *
   * The store that does the work.
   */
  properties[PROP_STORE] =
    g_param_spec_object ("store", NULL, NULL, BS_TYPE_BACKING_STORE, constant);

  /**
   * BsSave:tracked: (getter get_tracked)
   *
   * The tracked path where the document is.
   */
  properties[PROP_TRACKED] =
    g_param_spec_object ("tracked", NULL, NULL, BS_TYPE_TRACKED_PATH, constant);

  /**
   * BsSave:max-parallel: (getter get_max_parallel) (setter set_max_parallel)
   *
   * How many blobs may be on their way to the path at a time, 8 by default. The
   * store writes no more of them at a time than it has threads; the others wait in
   * the store, before operations of the same priority that are asked later. A
   * change is for the next run.
   *
   * Notifies in the context that was the thread's default where the store was
   * made.
   */
  properties[PROP_MAX_PARALLEL] =
    g_param_spec_uint ("max-parallel", NULL, NULL, 1, G_MAXUINT, DEFAULT_MAX_PARALLEL,
                       G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * BsSave:n-total: (getter get_n_total)
   *
   * How many blobs the save names, 0 before it is run.
   *
   * Notifies in the context that was the thread's default where the store was
   * made.
   */
  properties[PROP_N_TOTAL] =
    g_param_spec_uint64 ("n-total", NULL, NULL, 0, G_MAXUINT64, 0, readable);

  /**
   * BsSave:n-done: (getter get_n_done)
   *
   * How many of the blobs are at the path. Blobs that were there before are counted
   * when the save's turn comes.
   *
   * Notifies in the context that was the thread's default where the store was
   * made, once for many changes.
   */
  properties[PROP_N_DONE] = g_param_spec_uint64 ("n-done", NULL, NULL, 0, G_MAXUINT64, 0, readable);

  /**
   * BsSave:fraction: (getter get_fraction)
   *
   * How far the save has come, from 0 to 1; 1 only when the new document is in
   * place.
   *
   * Notifies in the context that was the thread's default where the store was
   * made, once for many changes.
   */
  properties[PROP_FRACTION] = g_param_spec_double ("fraction", NULL, NULL, 0.0, 1.0, 0.0, readable);

  g_object_class_install_properties (object_class, G_N_ELEMENTS (properties), properties);
}

static void
bs_save_init (BsSave *self)
{
  g_mutex_init (&self->mutex);
  self->items = g_ptr_array_new_with_free_func (g_object_unref);
  self->keys = g_array_new (FALSE, FALSE, sizeof (BsKey));
  self->max_parallel = DEFAULT_MAX_PARALLEL;
}

/**
 * bs_save_new:
 * @store: a store
 * @tracked: a tracked path of this store
 *
 * Prepares a save at a tracked path. Nothing is done before it is run.
 *
 * Returns: (transfer full): a new save
 */
BsSave *
bs_save_new (BsBackingStore *store, BsTrackedPath *tracked)
{
  g_return_val_if_fail (BS_IS_BACKING_STORE (store), NULL);
  g_return_val_if_fail (BS_IS_TRACKED_PATH (tracked), NULL);

  return g_object_new (BS_TYPE_SAVE, "store", store, "tracked", tracked, NULL);
}

/**
 * bs_save_get_store: (get-property store)
 * @self: a save
 *
 * Gets the store that does the work.
 *
 * Returns: (transfer none): the store
 */
BsBackingStore *
bs_save_get_store (BsSave *self)
{
  g_return_val_if_fail (BS_IS_SAVE (self), NULL);

  return self->store;
}

/**
 * bs_save_get_tracked: (get-property tracked)
 * @self: a save
 *
 * Gets the tracked path where the document is.
 *
 * Returns: (transfer none): the tracked path
 */
BsTrackedPath *
bs_save_get_tracked (BsSave *self)
{
  g_return_val_if_fail (BS_IS_SAVE (self), NULL);

  return self->tracked;
}

/**
 * bs_save_add_item:
 * @self: a save
 * @item: an item of a pool on the same store
 *
 * Names the content that the item has when the save is run. The items of a save
 * may be of several pools. The save holds the item.
 */
void
bs_save_add_item (BsSave *self, BsItem *item)
{
  g_return_if_fail (BS_IS_SAVE (self));
  g_return_if_fail (bs_item_has_pool (item));

  g_object_ref (item);
  g_mutex_lock (&self->mutex);
  g_ptr_array_add (self->items, item);
  g_mutex_unlock (&self->mutex);
}

/**
 * bs_save_keep_key:
 * @self: a save
 * @key: a key
 *
 * Names a key that the path has and that is to stay there. No item is needed.
 *
 * [method@Save.run] checks it: it fails with %BS_ERROR_INVALID_KEY for a
 * string that is not a key, and with %BS_ERROR_NOT_FOUND if the path has no such key.
 */
void
bs_save_keep_key (BsSave *self, const char *key)
{
  BsKey parsed;

  g_return_if_fail (BS_IS_SAVE (self));
  g_return_if_fail (key != NULL);

  g_mutex_lock (&self->mutex);
  if (bs_key_parse (key, &parsed))
    g_array_append_val (self->keys, parsed);
  else if (self->bad_key == NULL)
    self->bad_key = g_utf8_make_valid (key, -1);
  g_mutex_unlock (&self->mutex);
}

/**
 * bs_save_set_root:
 * @self: a save
 * @root: (nullable): the root blob, of any size
 *
 * Sets the new root blob of the path, which [method@BackingStore.load_root] gives.
 * %NULL leaves the root blob as it is.
 *
 * A save has a root, a manifest or a commit function, and only one of these.
 */
void
bs_save_set_root (BsSave *self, GBytes *root)
{
  GBytes *old;

  g_return_if_fail (BS_IS_SAVE (self));

  if (root != NULL)
    g_bytes_ref (root);
  g_mutex_lock (&self->mutex);
  old = self->root;
  self->root = root;
  g_mutex_unlock (&self->mutex);

  if (old != NULL)
    g_bytes_unref (old);
}

/**
 * bs_save_set_manifest:
 * @self: a save
 * @manifest: (nullable): a manifest
 *
 * Names everything that is in a manifest, and makes the manifest itself the root blob,
 * which [method@BackingStore.load_manifest] gives. %NULL for none.
 *
 * The manifest is read when the save is run, and may be changed afterwards. An entry that
 * has an item names the content that the item has then, as [method@Save.add_item] does, and
 * the key of that content is the one that the root blob has. An entry without an item names
 * its key, as [method@Save.keep_key] does; it may also be the key of an item that the save
 * names.
 *
 * [method@Save.run] fails with %BS_ERROR_NOT_FOUND if a key is neither at the path nor that
 * of an item of the save, and with %G_IO_ERROR_INVALID_ARGUMENT if an item belongs to
 * another store. The message has the name of the entry.
 *
 * Items and keys that the manifest does not have may be added to the save besides.
 *
 * A save has a root, a manifest or a commit function, and only one of these.
 */
void
bs_save_set_manifest (BsSave *self, BsManifest *manifest)
{
  BsManifest *old;

  g_return_if_fail (BS_IS_SAVE (self));
  g_return_if_fail (manifest == NULL || BS_IS_MANIFEST (manifest));

  if (manifest != NULL)
    g_object_ref (manifest);
  g_mutex_lock (&self->mutex);
  old = self->manifest;
  self->manifest = manifest;
  g_mutex_unlock (&self->mutex);

  if (old != NULL)
    g_object_unref (old);
}

/**
 * bs_save_set_commit_func:
 * @self: a save
 * @func: (nullable) (scope notified) (closure user_data) (destroy destroy): the application's step from the old document to the new one
 * @user_data: data for @func
 * @destroy: (nullable): frees @user_data
 *
 * Sets the function that is called instead of replacing a root blob, for an application that
 * keeps the list of its keys elsewhere, such as in a database. %NULL for none.
 *
 * Where the save is a blocking call it runs on the calling thread, else in a
 * thread of the store; with [property@BackingStore:main-context] set it runs
 * there. If it fails, so does the save, and nothing is deleted.
 *
 * The last user of @user_data frees it: the call that runs the save, in its
 * context, or the thread that sets another function or drops the last reference to
 * the save.
 */
void
bs_save_set_commit_func (BsSave *self,
                         BsCommitFunc func,
                         gpointer user_data,
                         GDestroyNotify destroy)
{
  BsCommit *commit = NULL;
  BsCommit *old;

  g_return_if_fail (BS_IS_SAVE (self));

  if (func != NULL)
    {
      commit = g_atomic_rc_box_new (BsCommit);
      commit->func = func;
      commit->data = user_data;
      commit->destroy = destroy;
    }

  g_mutex_lock (&self->mutex);
  old = self->commit;
  self->commit = commit;
  g_mutex_unlock (&self->mutex);

  if (old != NULL)
    bs_commit_unref (old);
  if (func == NULL && destroy != NULL)
    destroy (user_data);
}

/**
 * bs_save_get_max_parallel: (get-property max-parallel)
 * @self: a save
 *
 * Gets how many blobs may be on their way to the path at a time.
 *
 * Returns: the number of blobs
 */
guint
bs_save_get_max_parallel (BsSave *self)
{
  guint max_parallel;

  g_return_val_if_fail (BS_IS_SAVE (self), 0);

  g_mutex_lock (&self->mutex);
  max_parallel = self->max_parallel;
  g_mutex_unlock (&self->mutex);

  return max_parallel;
}

/**
 * bs_save_set_max_parallel: (set-property max-parallel)
 * @self: a save
 * @max_parallel: how many, at least 1
 *
 * Sets how many blobs may be on their way to the path at a time, from the next
 * run on.
 */
void
bs_save_set_max_parallel (BsSave *self, guint max_parallel)
{
  gboolean changed;

  g_return_if_fail (BS_IS_SAVE (self));
  g_return_if_fail (max_parallel > 0);

  g_mutex_lock (&self->mutex);
  changed = self->max_parallel != max_parallel;
  self->max_parallel = max_parallel;
  g_mutex_unlock (&self->mutex);

  if (changed && self->store != NULL)
    bs_notifier_notify (bs_backing_store_get_notifier (self->store), G_OBJECT (self),
                        properties[PROP_MAX_PARALLEL], NULL);
}

/**
 * bs_save_get_n_total: (get-property n-total)
 * @self: a save
 *
 * Gets how many blobs the save names.
 *
 * Returns: the number of blobs, 0 before it is run
 */
guint64
bs_save_get_n_total (BsSave *self)
{
  g_return_val_if_fail (BS_IS_SAVE (self), 0);

  return bs_progress_get_n_total (&self->progress);
}

/**
 * bs_save_get_n_done: (get-property n-done)
 * @self: a save
 *
 * Gets how many blobs of the save are at the path.
 *
 * Returns: the number of blobs
 */
guint64
bs_save_get_n_done (BsSave *self)
{
  g_return_val_if_fail (BS_IS_SAVE (self), 0);

  return bs_progress_get_n_done (&self->progress);
}

/**
 * bs_save_get_fraction: (get-property fraction)
 * @self: a save
 *
 * Gets how far the save has come.
 *
 * Returns: from 0 to 1; 1 only when the new document is in place
 */
double
bs_save_get_fraction (BsSave *self)
{
  g_return_val_if_fail (BS_IS_SAVE (self), 0.0);

  return bs_progress_get_fraction (&self->progress);
}
