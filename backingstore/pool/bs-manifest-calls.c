/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-manifest-calls.h"

#include "base/bs-error-private.h"
#include "base/bs-key-set-private.h"

#include "bs-manifest-entry-private.h"
#include "bs-manifest-private.h"

#include <glib/gi18n-lib.h>

/* Manifests loaded from a path, and items made for the entries of one. */

/* Runs on the thread that has read the root blob, since a large manifest takes a while. */
static gpointer
load_deliver (gpointer data, gpointer value, GError **error)
{
  BsManifest *manifest;

  if (*error != NULL)
    return NULL;

  manifest = bs_manifest_new_from_bytes (value, error);
  if (manifest == NULL)
    {
      g_autofree char *path = bs_error_name_file (bs_tracked_path_get_file (data));

      g_prefix_error (error, _ ("Loading the manifest at %s: "), path);
    }

  return manifest;
}

/**
 * bs_backing_store_load_manifest:
 * @self: a store
 * @tracked: a tracked path of this store
 * @cancellable: (nullable): a cancellable
 * @error: return location for an error
 *
 * Loads the manifest that the last save at a path was given by [method@Save.set_manifest].
 *
 * No entry has an item yet; see [method@Pool.register_manifest].
 *
 * Fails with %BS_ERROR_NOT_FOUND if the path has no root blob: it is a new document.
 * Fails with %BS_ERROR_CORRUPT and %BS_ERROR_NOT_SUPPORTED as
 * [ctor@Manifest.new_from_bytes] does, also if the root blob is of another kind, and
 * as [method@BackingStore.load_root] does.
 *
 * Blocks; see [method@BackingStore.load_manifest_async] for the asynchronous call.
 *
 * Returns: (transfer full): the manifest, %NULL with @error set
 */
BsManifest *
bs_backing_store_load_manifest (BsBackingStore *self,
                                BsTrackedPath *tracked,
                                GCancellable *cancellable,
                                GError **error)
{
  BsDelivery delivery = { .func = load_deliver, .data = tracked, .value_free = g_object_unref };
  BsRequest request = { .kind = BS_KIND_LOAD_ROOT, .tracked = tracked };

  g_return_val_if_fail (BS_IS_BACKING_STORE (self), NULL);
  g_return_val_if_fail (BS_IS_TRACKED_PATH (tracked), NULL);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return bs_ask_blocking (self, &request, &delivery, cancellable, error);
}

/**
 * bs_backing_store_load_manifest_async:
 * @self: a store
 * @tracked: a tracked path of this store
 * @io_priority: the I/O priority of the request
 * @cancellable: (nullable): a cancellable
 * @callback: (scope async): called when the manifest is there
 * @user_data: data for @callback
 *
 * Asynchronous [method@BackingStore.load_manifest]. The manifest is checked in a thread of
 * the store.
 */
void
bs_backing_store_load_manifest_async (BsBackingStore *self,
                                      BsTrackedPath *tracked,
                                      int io_priority,
                                      GCancellable *cancellable,
                                      GAsyncReadyCallback callback,
                                      gpointer user_data)
{
  BsDelivery delivery = { .func = load_deliver,
                          .data_free = g_object_unref,
                          .value_free = g_object_unref };
  BsRequest request = { .kind = BS_KIND_LOAD_ROOT, .tracked = tracked };

  g_return_if_fail (BS_IS_BACKING_STORE (self));
  g_return_if_fail (BS_IS_TRACKED_PATH (tracked));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  delivery.data = g_object_ref (tracked);
  bs_ask_async (self, &request, &delivery,
                bs_task_new (self, cancellable, callback, user_data,
                             bs_backing_store_load_manifest_async,
                             "[backingstore] load the manifest", io_priority));
}

/**
 * bs_backing_store_load_manifest_finish:
 * @self: a store
 * @result: what the callback was given
 * @error: return location for an error
 *
 * Finishes [method@BackingStore.load_manifest_async].
 *
 * Returns: (transfer full): the manifest, %NULL with @error set
 */
BsManifest *
bs_backing_store_load_manifest_finish (BsBackingStore *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (BS_IS_BACKING_STORE (self), NULL);
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);
  g_return_val_if_fail (g_async_result_is_tagged (result, bs_backing_store_load_manifest_async),
                        NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}

/* An entry that had no item when the call began, and the item that it gets. */
typedef struct
{
  guint node;
  BsKey key;
  BsItem *item; /* owned, nullable */
} Filling;

/* A call of register_manifest. */
typedef struct
{
  BsPool *pool;           /* owned */
  BsTrackedPath *tracked; /* owned */
  BsManifestTable *table; /* a reference */
  GArray *fillings;       /* owned; of Filling, in order */
  BsKeySet *keys;         /* owned */
} Registering;

static void
filling_clear (gpointer data)
{
  g_clear_object (&((Filling *) data)->item);
}

static void
registering_free (gpointer data)
{
  Registering *self = data;

  g_array_unref (self->fillings);
  bs_manifest_table_unref (self->table);
  g_object_unref (self->keys);
  g_object_unref (self->tracked);
  g_object_unref (self->pool);
  g_free (self);
}

static Registering *
registering_new (BsPool *pool, BsTrackedPath *tracked, BsManifest *manifest)
{
  BsManifestTable *table = bs_manifest_get_table (manifest);
  Registering *self = g_new0 (Registering, 1);
  BsKeyTable *keys;

  self->pool = g_object_ref (pool);
  self->tracked = g_object_ref (tracked);
  self->table = bs_manifest_table_ref (table);
  self->fillings = g_array_new (FALSE, FALSE, sizeof (Filling));
  g_array_set_clear_func (self->fillings, filling_clear);
  self->keys = bs_key_set_new ();
  keys = bs_key_set_get_table (self->keys);

  g_mutex_lock (&table->lock);
  for (guint i = 0; i < table->order.n_nodes; i++)
    {
      guint node = bs_manifest_order_get (&table->order, i);
      Filling filling = { node, table->nodes[node].record->key, NULL };

      if (table->nodes[node].item != NULL)
        continue;
      g_array_append_val (self->fillings, filling);
      bs_key_table_add (keys, &filling.key, bs_key_hash (&filling.key));
    }
  g_mutex_unlock (&table->lock);

  return self;
}

static guint
hash_entry (gconstpointer entry)
{
  return bs_key_hash (&((const BsEntry *) entry)->key);
}

static gboolean
equal_entries (gconstpointer a, gconstpointer b)
{
  return bs_key_equal (&((const BsEntry *) a)->key, &((const BsEntry *) b)->key);
}

/* The pool's entries of the keys that the path has, a reference each. */
static GHashTable *
obtain_entries (BsPool *pool, GPtrArray *tokens)
{
  GHashTable *entries = g_hash_table_new (hash_entry, equal_entries);

  for (guint i = 0; i < tokens->len; i++)
    {
      BsToken *spare;

      g_hash_table_add (entries,
                        bs_cache_obtain_entry (bs_pool_get_cache (pool), tokens->pdata[i], &spare));
      if (spare != NULL)
        bs_token_drop (bs_pool_get_store (pool), spare);
    }

  return entries;
}

static void
drop_entries (BsPool *pool, GHashTable *entries)
{
  GHashTableIter iter;
  gpointer entry;

  g_hash_table_iter_init (&iter, entries);
  while (g_hash_table_iter_next (&iter, &entry, NULL))
    bs_cache_drop_entry (bs_pool_get_cache (pool), entry);
  g_hash_table_unref (entries);
}

/* An item for each, and how many there are of which the path has no blob. */
static guint
make_items (Registering *self, GHashTable *entries, guint *first_missing)
{
  guint n_missing = 0;

  for (guint i = 0; i < self->fillings->len; i++)
    {
      Filling *filling = &g_array_index (self->fillings, Filling, i);
      BsEntry sought = { .key = filling->key };
      BsEntry *entry = g_hash_table_lookup (entries, &sought);

      if (entry != NULL)
        filling->item = bs_item_new (self->pool, bs_entry_ref (entry));
      else if (n_missing++ == 0)
        *first_missing = i;
    }

  return n_missing;
}

/* Gives the entries their items, unless they have changed meanwhile; the others stay with
 * the fillings. Returns handles of those that have an object. */
static GPtrArray *
fill_entries (Registering *self)
{
  GPtrArray *handles =
    g_ptr_array_new_with_free_func ((GDestroyNotify) (void (*) (void)) bs_manifest_handle_unref);
  BsManifestTable *table = self->table;

  g_mutex_lock (&table->lock);
  for (guint i = 0; i < self->fillings->len; i++)
    {
      Filling *filling = &g_array_index (self->fillings, Filling, i);
      BsManifestNode *node = &table->nodes[filling->node];
      BsManifestHandle *handle;

      if (filling->item == NULL || node->run == NULL || node->item != NULL ||
          !bs_key_equal (&node->record->key, &filling->key))
        continue;
      node->item = g_steal_pointer (&filling->item);
      handle = bs_manifest_table_dup_handle_locked (table, filling->node);
      if (handle != NULL)
        g_ptr_array_add (handles, handle);
    }
  g_mutex_unlock (&table->lock);

  return handles;
}

static void
notify_entries (Registering *self, GPtrArray *handles)
{
  for (guint i = 0; i < handles->len; i++)
    {
      BsManifestHandle *handle = handles->pdata[i];
      g_autoptr (BsManifestEntry) entry = g_weak_ref_get (&handle->entry);

      if (entry != NULL)
        bs_manifest_entry_notify (entry, BS_ENTRY_CHANGED_ITEM, self->pool);
    }
}

static void
set_missing (Registering *self, guint n_missing, guint first, GError **error)
{
  g_autofree char *path = bs_error_name_file (bs_tracked_path_get_file (self->tracked));
  Filling *filling = &g_array_index (self->fillings, Filling, first);
  g_autofree char *key = bs_key_to_string (&filling->key);
  g_autofree char *name = NULL;

  g_mutex_lock (&self->table->lock);
  if (self->table->nodes[filling->node].run != NULL)
    name = g_strdup (self->table->nodes[filling->node].record->name);
  g_mutex_unlock (&self->table->lock);

  g_set_error (error, BS_ERROR, BS_ERROR_NOT_FOUND,
               _ ("Registering the manifest at %s: the path does not have the key %s of the entry "
                  "“%s”, nor those of %u others"),
               path, key, name != NULL ? name : "", n_missing - 1);
}

static gpointer
register_deliver (gpointer data, gpointer value, GError **error)
{
  g_autoptr (GPtrArray) handles = NULL;
  Registering *self = data;
  guint n_missing, first_missing = 0;
  GHashTable *entries;

  if (*error != NULL)
    return NULL;

  entries = obtain_entries (self->pool, value);
  n_missing = make_items (self, entries, &first_missing);
  handles = fill_entries (self);
  drop_entries (self->pool, entries);
  bs_cache_settle (bs_pool_get_cache (self->pool));
  notify_entries (self, handles);
  if (n_missing > 0)
    set_missing (self, n_missing, first_missing, error);

  return NULL;
}

static BsDelivery
register_delivery (Registering *registering)
{
  return (
    BsDelivery){ .func = register_deliver, .data = registering, .data_free = registering_free };
}

/**
 * bs_pool_register_manifest:
 * @self: a pool
 * @tracked: a tracked path of the pool's store
 * @manifest: a manifest, such as [method@BackingStore.load_manifest] gives
 * @cancellable: (nullable): a cancellable
 * @error: return location for an error
 *
 * Makes items for all entries of a manifest that have none, blocking.
 *
 * This is one operation however many entries there are. It makes the blobs available in
 * primary storage and loads nothing, as [method@Pool.register] does for one key. Entries
 * that are added meanwhile, or get another key, are left alone.
 *
 * Fails with %BS_ERROR_NOT_FOUND if the path lacks keys of the manifest: the message names
 * one of these entries. They have no item then, and all others have theirs, so that an
 * application may show what there is.
 *
 * Fails with %BS_ERROR_CLOSED if the path or the store is closed,
 * %G_IO_ERROR_INVALID_ARGUMENT if @tracked belongs to another store,
 * %G_IO_ERROR_CANCELLED, %G_IO_ERROR_WOULD_BLOCK if called from inside a virtual function
 * of the store's backing, and with what the backing reports; no entry has got an item then.
 *
 * Returns: %TRUE if every entry has an item, %FALSE with @error set
 */
gboolean
bs_pool_register_manifest (BsPool *self,
                           BsTrackedPath *tracked,
                           BsManifest *manifest,
                           GCancellable *cancellable,
                           GError **error)
{
  BsRequest request = { .kind = BS_KIND_REGISTER_KEYS, .tracked = tracked };
  Registering *registering;
  BsDelivery delivery;

  g_return_val_if_fail (bs_pool_has_store (self), FALSE);
  g_return_val_if_fail (BS_IS_TRACKED_PATH (tracked), FALSE);
  g_return_val_if_fail (BS_IS_MANIFEST (manifest), FALSE);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  registering = registering_new (self, tracked, manifest);
  request.keys = registering->keys;
  delivery = register_delivery (registering);
  return GPOINTER_TO_INT (
    bs_ask_blocking (bs_pool_get_store (self), &request, &delivery, cancellable, error));
}

/**
 * bs_pool_register_manifest_async:
 * @self: a pool
 * @tracked: a tracked path of the pool's store
 * @manifest: a manifest
 * @io_priority: the priority, such as %G_PRIORITY_DEFAULT
 * @cancellable: (nullable): a cancellable
 * @callback: (scope async): called when the items are there
 * @user_data: data for @callback
 *
 * Makes items for all entries of a manifest that have none.
 *
 * The asynchronous form of [method@Pool.register_manifest]; @callback is called in the
 * thread-default main context of the caller.
 */
void
bs_pool_register_manifest_async (BsPool *self,
                                 BsTrackedPath *tracked,
                                 BsManifest *manifest,
                                 int io_priority,
                                 GCancellable *cancellable,
                                 GAsyncReadyCallback callback,
                                 gpointer user_data)
{
  BsRequest request = { .kind = BS_KIND_REGISTER_KEYS, .tracked = tracked };
  Registering *registering;
  BsDelivery delivery;

  g_return_if_fail (bs_pool_has_store (self));
  g_return_if_fail (BS_IS_TRACKED_PATH (tracked));
  g_return_if_fail (BS_IS_MANIFEST (manifest));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  registering = registering_new (self, tracked, manifest);
  request.keys = registering->keys;
  delivery = register_delivery (registering);
  bs_ask_async (bs_pool_get_store (self), &request, &delivery,
                bs_task_new (self, cancellable, callback, user_data,
                             bs_pool_register_manifest_async, "bs_pool_register_manifest_async",
                             io_priority));
}

/**
 * bs_pool_register_manifest_finish:
 * @self: a pool
 * @result: what the callback was given
 * @error: return location for an error
 *
 * Ends [method@Pool.register_manifest_async]; the errors are those of
 * [method@Pool.register_manifest].
 *
 * Returns: %TRUE if every entry has an item, %FALSE with @error set
 */
gboolean
bs_pool_register_manifest_finish (BsPool *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (BS_IS_POOL (self), FALSE);
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  g_return_val_if_fail (g_async_result_is_tagged (result, bs_pool_register_manifest_async), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}
