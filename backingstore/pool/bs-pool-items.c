/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-pool-items.h"

#include "bs-item-list-private.h"
#include "bs-item-private.h"
#include "bs-path-list-private.h"

/* Makes items, for new contents and for persisted blobs. */

/**
 * bs_pool_insert:
 * @self: a pool
 * @bytes: a content
 *
 * Puts a new content into the pool, under a new key.
 *
 * The content is in memory only. It is written to the backing when it leaves
 * memory, or by [method@Item.write] and [method@Item.persist]. A content of up to
 * 64 KiB is copied, so that its memory can be given back to the system later; a larger
 * one is held as it is. Never blocks.
 *
 * Returns: (transfer full): an item for the content
 */
BsItem *
bs_pool_insert (BsPool *self, GBytes *bytes)
{
  g_return_val_if_fail (bs_pool_has_store (self), NULL);
  g_return_val_if_fail (bytes != NULL, NULL);

  return bs_item_new_for_content (self, BS_KIND_BYTES, bytes);
}

/**
 * bs_pool_insert_object:
 * @self: a pool that has a codec
 * @object: an object
 * @error: return location for an error
 *
 * Puts a new object into the pool, under a new key.
 *
 * The pool holds the object as long as it fits into the budget, where it takes as
 * many bytes as [method@Codec.measure] says. Its encoded bytes are
 * written to the backing when it leaves memory or by [method@Item.write] and
 * [method@Item.persist]; it is encoded then and not before. Afterwards
 * [method@Item.load_object] gives the same object again as long as it is alive
 * anywhere, and another one decoded from those bytes when it is not. So the
 * object must not change as long as it is in the pool: give the item a new one
 * with [method@Item.replace_object].
 *
 * An object that cannot be encoded stays in memory, reported by
 * [signal@BackingStore::background-error], and is tried again now and then.
 *
 * Never blocks. The codec measures the object before this returns; a call on
 * another thread than that of the store's main context, where there is one,
 * cannot wait for that: the item's size is -1 and counts as 0 then until that
 * context has run. An object of which the codec says 0, or nothing, counts as much as
 * the last one that was encoded, until it is encoded itself.
 *
 * Fails with %BS_ERROR_NOT_SUPPORTED if the pool has no codec, or its codec cannot
 * encode: the object could never leave memory.
 *
 * Returns: (transfer full): an item for the object
 */
BsItem *
bs_pool_insert_object (BsPool *self, GObject *object, GError **error)
{
  g_return_val_if_fail (bs_pool_has_store (self), NULL);
  g_return_val_if_fail (G_IS_OBJECT (object), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  if (!bs_pool_check_objects (self, "insert_object", error))
    return NULL;

  return bs_item_new_for_content (self, BS_KIND_OBJECT, object);
}

/**
 * bs_pool_lookup:
 * @self: a pool
 * @key: a key
 *
 * Looks for a content that the pool has an item of.
 *
 * Does no I/O and never waits. The content need not be in memory:
 * [method@Item.try_load] tells. A key that is at a path, and of which the pool has no
 * item, is not found: see [method@Pool.register].
 *
 * Returns: (transfer full) (nullable): an item for the content, which shares it with
 *   the pool's other items of the key; %NULL if there is none, or @key is no key
 */
BsItem *
bs_pool_lookup (BsPool *self, const char *key)
{
  BsEntry *entry;
  BsKey parsed;

  g_return_val_if_fail (bs_pool_has_store (self), NULL);
  g_return_val_if_fail (key != NULL, NULL);

  if (!bs_key_parse (key, &parsed))
    return NULL;

  entry = bs_cache_lookup_entry (bs_pool_get_cache (self), &parsed);
  return entry != NULL ? bs_item_new (self, entry) : NULL;
}

static gpointer
register_deliver (gpointer data, gpointer value, GError **error)
{
  return *error == NULL ? bs_item_new_for_token (data, value) : NULL;
}

/**
 * bs_pool_register:
 * @self: a pool
 * @tracked: a tracked path of the pool's store
 * @key: a key that is there
 * @cancellable: (nullable): a cancellable
 * @error: return location for an error
 *
 * Makes an item for a persisted blob, blocking.
 *
 * Items of one key share one content, as with [method@Item.copy]: it is read, decoded
 * and held once, and one that was inserted in this pool need not be read at all.
 *
 * The blob is made available in primary storage and not loaded: its size is not
 * known until the first load. The item stays whole if the blob is deleted from
 * the path afterwards.
 *
 * Fails with %BS_ERROR_INVALID_KEY if @key is not a key, %BS_ERROR_NOT_FOUND if
 * the path has no such key, %BS_ERROR_CLOSED if the path or the store is closed,
 * %G_IO_ERROR_INVALID_ARGUMENT if @tracked belongs to another store,
 * %G_IO_ERROR_CANCELLED, %G_IO_ERROR_WOULD_BLOCK if called from inside a virtual
 * function of the store's backing, and with the backing's errors.
 *
 * Returns: (transfer full): an item
 */
BsItem *
bs_pool_register (BsPool *self,
                  BsTrackedPath *tracked,
                  const char *key,
                  GCancellable *cancellable,
                  GError **error)
{
  BsDelivery delivery = { .func = register_deliver, .data = self, .value_free = g_object_unref };
  BsKey parsed;
  BsRequest request = { .kind = BS_KIND_REGISTER, .tracked = tracked, .key = &parsed };

  g_return_val_if_fail (bs_pool_has_store (self), NULL);
  g_return_val_if_fail (BS_IS_TRACKED_PATH (tracked), NULL);
  g_return_val_if_fail (key != NULL, NULL);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  if (!bs_key_parse_error (key, "register", &parsed, error))
    return NULL;

  return bs_ask_blocking (bs_pool_get_store (self), &request, &delivery, cancellable, error);
}

/**
 * bs_pool_register_async:
 * @self: a pool
 * @tracked: a tracked path of the pool's store
 * @key: a key that is there
 * @io_priority: the I/O priority: any integer, lower is sooner
 * @cancellable: (nullable): a cancellable
 * @callback: (scope async): called when the item is there
 * @user_data: data for @callback
 *
 * Makes an item for a persisted blob.
 *
 * The asynchronous form of [method@Pool.register]; @callback is called in the
 * thread-default main context of the caller.
 */
void
bs_pool_register_async (BsPool *self,
                        BsTrackedPath *tracked,
                        const char *key,
                        int io_priority,
                        GCancellable *cancellable,
                        GAsyncReadyCallback callback,
                        gpointer user_data)
{
  BsDelivery delivery = { .func = register_deliver, .value_free = g_object_unref };
  BsKey parsed;
  BsRequest request = { .kind = BS_KIND_REGISTER, .tracked = tracked, .key = &parsed };
  GError *error = NULL;
  GTask *task;

  g_return_if_fail (bs_pool_has_store (self));
  g_return_if_fail (BS_IS_TRACKED_PATH (tracked));
  g_return_if_fail (key != NULL);
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = bs_task_new (self, cancellable, callback, user_data, bs_pool_register_async,
                      "bs_pool_register_async", io_priority);
  if (!bs_key_parse_error (key, "register", &parsed, &error))
    {
      bs_answer_async (task, &delivery, NULL, error);
      return;
    }

  delivery.data = g_object_ref (self);
  delivery.data_free = g_object_unref;
  bs_ask_async (bs_pool_get_store (self), &request, &delivery, task);
}

/**
 * bs_pool_register_finish:
 * @self: a pool
 * @result: the result that the callback was given
 * @error: return location for an error
 *
 * Ends [method@Pool.register_async]; the errors are those of
 * [method@Pool.register].
 *
 * Returns: (transfer full): an item
 */
BsItem *
bs_pool_register_finish (BsPool *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (BS_IS_POOL (self), NULL);
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);
  g_return_val_if_fail (g_async_result_is_tagged (result, bs_pool_register_async), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}

static gpointer
register_all_deliver (gpointer data, gpointer value, GError **error)
{
  if (*error != NULL)
    return NULL;

  return bs_item_list_new (data, value);
}

/**
 * bs_pool_register_all:
 * @self: a pool
 * @tracked: a tracked path of the pool's store
 * @cancellable: (nullable): a cancellable
 * @error: return location for an error
 *
 * Makes items for all blobs that are persisted at a path, blocking.
 *
 * This is one operation however many keys there are. The list holds every blob
 * in primary storage as long as it lives, makes an [class@Item] when it is asked
 * for one, gives the same one again as long as that lives, and never changes:
 * [method@Pool.follow] makes one that does. Its functions never block and may be called
 * from any thread.
 *
 * If one of the blobs can't be made available there is no list, and the error says
 * how many could be. Where it is a bad one, a [class@Verify] takes it out of the
 * path.
 *
 * Fails with %BS_ERROR_CLOSED if the path or the store is closed,
 * %G_IO_ERROR_INVALID_ARGUMENT if @tracked belongs to another store,
 * %G_IO_ERROR_CANCELLED, %G_IO_ERROR_WOULD_BLOCK if called from inside a virtual
 * function of the store's backing, and with the backing's errors.
 *
 * Returns: (transfer full): a list of [class@Item]
 */
GListModel *
bs_pool_register_all (BsPool *self,
                      BsTrackedPath *tracked,
                      GCancellable *cancellable,
                      GError **error)
{
  BsDelivery delivery = { .func = register_all_deliver,
                          .data = self,
                          .value_free = g_object_unref };
  BsRequest request = { .kind = BS_KIND_REGISTER_ALL, .tracked = tracked };

  g_return_val_if_fail (bs_pool_has_store (self), NULL);
  g_return_val_if_fail (BS_IS_TRACKED_PATH (tracked), NULL);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return bs_ask_blocking (bs_pool_get_store (self), &request, &delivery, cancellable, error);
}

/**
 * bs_pool_register_all_async:
 * @self: a pool
 * @tracked: a tracked path of the pool's store
 * @io_priority: the I/O priority: any integer, lower is sooner
 * @cancellable: (nullable): a cancellable
 * @callback: (scope async): called when the list is there
 * @user_data: data for @callback
 *
 * Makes items for all blobs that are persisted at a path.
 *
 * The asynchronous form of [method@Pool.register_all]; @callback is called in
 * the thread-default main context of the caller.
 */
void
bs_pool_register_all_async (BsPool *self,
                            BsTrackedPath *tracked,
                            int io_priority,
                            GCancellable *cancellable,
                            GAsyncReadyCallback callback,
                            gpointer user_data)
{
  BsDelivery delivery = { .func = register_all_deliver,
                          .data_free = g_object_unref,
                          .value_free = g_object_unref };
  BsRequest request = { .kind = BS_KIND_REGISTER_ALL, .tracked = tracked };

  g_return_if_fail (bs_pool_has_store (self));
  g_return_if_fail (BS_IS_TRACKED_PATH (tracked));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  delivery.data = g_object_ref (self);
  bs_ask_async (bs_pool_get_store (self), &request, &delivery,
                bs_task_new (self, cancellable, callback, user_data, bs_pool_register_all_async,
                             "bs_pool_register_all_async", io_priority));
}

/**
 * bs_pool_register_all_finish:
 * @self: a pool
 * @result: the result that the callback was given
 * @error: return location for an error
 *
 * Ends [method@Pool.register_all_async]; the errors are those of
 * [method@Pool.register_all].
 *
 * Returns: (transfer full): a list of [class@Item]
 */
GListModel *
bs_pool_register_all_finish (BsPool *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (BS_IS_POOL (self), NULL);
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);
  g_return_val_if_fail (g_async_result_is_tagged (result, bs_pool_register_all_async), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}

/* A list to be made, and for whom. */
typedef struct
{
  BsPool *pool;           /* owned */
  BsTrackedPath *tracked; /* owned */
  GMainContext *context;  /* owned */
} Follow;

static Follow *
follow_new (BsPool *pool, BsTrackedPath *tracked)
{
  Follow *self = g_new (Follow, 1);

  self->pool = g_object_ref (pool);
  self->tracked = g_object_ref (tracked);
  self->context = g_main_context_ref_thread_default ();
  return self;
}

static void
follow_free (gpointer data)
{
  Follow *self = data;

  g_object_unref (self->pool);
  g_object_unref (self->tracked);
  g_main_context_unref (self->context);
  g_free (self);
}

static gpointer
follow_deliver (gpointer data, gpointer value, GError **error)
{
  Follow *self = data;

  if (*error != NULL)
    return NULL;

  return bs_path_list_new (self->pool, self->tracked, self->context, value);
}

/**
 * bs_pool_follow:
 * @self: a pool
 * @tracked: a tracked path of the pool's store
 * @cancellable: (nullable): a cancellable
 * @error: return location for an error
 *
 * Makes a list of all blobs that are persisted at a path, which follows the path,
 * blocking.
 *
 * The list has what [method@Pool.register_all] gives, and changes with the path: a blob
 * that is persisted there, by itself or by a save, comes at the end, and one that is
 * deleted, dropped by a save or found to be bad leaves its place. The others stay in
 * their order. The blobs that are there at first are sorted by their keys, and later ones
 * follow in the order in which they came.
 *
 * The list changes, and emits [signal@Gio.ListModel::items-changed], in the thread-default
 * main context of the caller of this function: soon after the path has changed, once for
 * changes that follow one another closely. So the list is to be used there, though its
 * functions may be called from any thread. A blob that could not be made available is
 * left out, and [signal@BackingStore::background-error] says why.
 *
 * The list holds the path, and makes items as that of [method@Pool.register_all] does. Once
 * the path is untracked or the store is closed, the list changes no more.
 *
 * The errors are those of [method@Pool.register_all].
 *
 * Returns: (transfer full): a list of [class@Item]
 */
GListModel *
bs_pool_follow (BsPool *self, BsTrackedPath *tracked, GCancellable *cancellable, GError **error)
{
  BsDelivery delivery = { .func = follow_deliver,
                          .data_free = follow_free,
                          .value_free = g_object_unref };
  BsRequest request = { .kind = BS_KIND_REGISTER_ALL, .tracked = tracked };

  g_return_val_if_fail (bs_pool_has_store (self), NULL);
  g_return_val_if_fail (BS_IS_TRACKED_PATH (tracked), NULL);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  delivery.data = follow_new (self, tracked);
  return bs_ask_blocking (bs_pool_get_store (self), &request, &delivery, cancellable, error);
}

/**
 * bs_pool_follow_async:
 * @self: a pool
 * @tracked: a tracked path of the pool's store
 * @io_priority: the priority, such as %G_PRIORITY_DEFAULT
 * @cancellable: (nullable): a cancellable
 * @callback: (scope async): called when the list is there
 * @user_data: data for @callback
 *
 * Makes a list of all blobs that are persisted at a path, which follows the path.
 *
 * The asynchronous form of [method@Pool.follow]; @callback is called, and the list
 * changes, in the thread-default main context of the caller.
 */
void
bs_pool_follow_async (BsPool *self,
                      BsTrackedPath *tracked,
                      int io_priority,
                      GCancellable *cancellable,
                      GAsyncReadyCallback callback,
                      gpointer user_data)
{
  BsDelivery delivery = { .func = follow_deliver,
                          .data_free = follow_free,
                          .value_free = g_object_unref };
  BsRequest request = { .kind = BS_KIND_REGISTER_ALL, .tracked = tracked };

  g_return_if_fail (bs_pool_has_store (self));
  g_return_if_fail (BS_IS_TRACKED_PATH (tracked));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  delivery.data = follow_new (self, tracked);
  bs_ask_async (bs_pool_get_store (self), &request, &delivery,
                bs_task_new (self, cancellable, callback, user_data, bs_pool_follow_async,
                             "bs_pool_follow_async", io_priority));
}

/**
 * bs_pool_follow_finish:
 * @self: a pool
 * @result: what the callback was given
 * @error: return location for an error
 *
 * Ends [method@Pool.follow_async]; the errors are those of [method@Pool.register_all].
 *
 * Returns: (transfer full): a list of [class@Item]
 */
GListModel *
bs_pool_follow_finish (BsPool *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (BS_IS_POOL (self), NULL);
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);
  g_return_val_if_fail (g_async_result_is_tagged (result, bs_pool_follow_async), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}
