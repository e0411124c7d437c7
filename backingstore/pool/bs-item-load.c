/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "bs-item-private.h"
#include "bs-pool-private.h"

/* Loads that are answered from memory or from the backing, with bytes or with an
 * object. */

static BsBackingStore *
get_store (BsItem *self)
{
  return bs_pool_get_store (self->pool);
}

static gpointer
load_deliver (gpointer data, gpointer value, GError **error)
{
  BsItemRequest *self = data;
  BsPool *pool = self->item->pool;
  gboolean size_changed;
  GBytes *bytes;

  if (*error != NULL)
    return NULL;

  bytes = bs_cache_adopt (bs_pool_get_cache (pool), self->entry, value, &size_changed);
  if (size_changed)
    bs_item_notify_size (self->item);
  bs_pool_settle (pool);

  return bytes;
}

static BsDeliverFunc
get_deliver (BsKind kind)
{
  return kind == BS_KIND_OBJECT ? bs_item_object_deliver : load_deliver;
}

static GDestroyNotify
get_value_free (BsKind kind)
{
  return kind == BS_KIND_OBJECT ? g_object_unref : (GDestroyNotify) g_bytes_unref;
}

/* What has to be written first: the entry is held in the other kind, and nowhere
 * else, and comes back out of the backing. */
static BsContent *
dup_in_the_way (BsItem *self, BsEntry *entry, BsKind kind)
{
  BsCache *cache = bs_pool_get_cache (self->pool);

  return bs_cache_is_in_the_way (cache, entry, kind) ? bs_cache_dup_unwritten (cache, entry) : NULL;
}

static void
start_read (BsItem *self, BsEntry *entry, BsContent *in_the_way, BsCaller *caller)
{
  if (in_the_way != NULL)
    bs_backing_store_start_write_and_read (get_store (self), entry->record, in_the_way, bs_item_write_deliver,
                                           bs_item_request_new (self, entry, NULL), bs_item_request_free, caller);
  else
    bs_backing_store_start_read (get_store (self), entry->record, caller);
}

static gpointer
load_missing (BsItem *self, BsEntry *entry, BsKind kind, GCancellable *cancellable, GError **error)
{
  g_autoptr (BsContent) in_the_way = dup_in_the_way (self, entry, kind);
  g_autoptr (GBytes) content = NULL;
  GError *local_error = NULL;
  BsCaller *caller;

  if (in_the_way == NULL && cancellable == NULL &&
      bs_backing_store_read_now (get_store (self), &entry->key, entry->record, &content, &local_error))
    {
      BsItemRequest request = { self, entry, NULL };
      gpointer loaded = get_deliver (kind) (&request, content, &local_error);

      if (local_error != NULL)
        g_propagate_error (error, local_error);
      return loaded;
    }

  caller = bs_caller_new_blocking (get_store (self), cancellable, get_deliver (kind),
                                   bs_item_request_new (self, entry, cancellable), bs_item_request_free, get_value_free (kind));
  start_read (self, entry, in_the_way, caller);

  return bs_caller_wait (caller, error);
}

static gpointer
found_bytes_deliver (gpointer data, gpointer value, GError **error)
{
  return *error == NULL ? g_bytes_ref (value) : NULL;
}

static gpointer
found_object_deliver (gpointer data, gpointer value, GError **error)
{
  return *error == NULL ? g_object_ref (value) : NULL;
}

/* Answers with what was found, or with `error`. Takes all over. */
static void
answer (BsItem *self, BsKind kind, GTask *task, gpointer found, GError *error)
{
  BsCaller *caller = bs_caller_new_async (get_store (self), task,
                                          kind == BS_KIND_OBJECT ? found_object_deliver : found_bytes_deliver,
                                          NULL, NULL, get_value_free (kind));

  bs_caller_answer (caller, found, error);
  bs_caller_unref (caller);
  if (found != NULL)
    get_value_free (kind) (found);
}

/* Takes the task over. */
static void
start_load_missing (BsItem *self, BsEntry *entry, BsKind kind, GTask *task)
{
  g_autoptr (BsContent) in_the_way = dup_in_the_way (self, entry, kind);
  BsItemRequest *request = bs_item_request_new (self, entry, g_task_get_cancellable (task));
  BsCaller *caller = bs_caller_new_async (get_store (self), task, get_deliver (kind),
                                          request, bs_item_request_free, get_value_free (kind));

  start_read (self, entry, in_the_way, caller);
  bs_caller_unref (caller);
}

/**
 * bs_item_load:
 * @self: an item
 * @cancellable: (nullable): a cancellable
 * @error: return location for an error
 *
 * Gets the item's content, blocking if it has to be read from the backing.
 *
 * Loads of the same content at the same time share one read. While anyone holds
 * what a load returned, further loads give the same bytes without reading again,
 * whether or not the pool has let go of them.
 *
 * Where an object is in memory, as after [method@Pool.insert_object] or
 * [method@Item.load_object], its bytes are not: each load reads them from the
 * backing, where they are written first if need be.
 *
 * Fails with %BS_ERROR_NOT_FOUND or %BS_ERROR_CORRUPT if the backing has lost
 * the content, %BS_ERROR_CLOSED if it is not in memory and the store is closed,
 * %G_IO_ERROR_CANCELLED, %G_IO_ERROR_WOULD_BLOCK if called from inside a virtual
 * function of the store's backing, and with what the backing reports.
 *
 * Returns: (transfer full): the content
 */
GBytes *
bs_item_load (BsItem *self, GCancellable *cancellable, GError **error)
{
  GBytes *bytes;
  BsEntry *entry;

  g_return_val_if_fail (BS_IS_ITEM (self), NULL);
  g_return_val_if_fail (self->pool != NULL, NULL);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  if (!bs_item_check_cancelled (self, BS_JOB_READ, NULL, cancellable, error))
    return NULL;

  bytes = bs_item_find (self, BS_KIND_BYTES, &entry);
  if (bytes != NULL)
    return bytes;

  bytes = load_missing (self, entry, BS_KIND_BYTES, cancellable, error);
  bs_pool_release_entry (self->pool, entry);

  return bytes;
}

/**
 * bs_item_load_async:
 * @self: an item
 * @io_priority: the priority, such as %G_PRIORITY_DEFAULT
 * @cancellable: (nullable): a cancellable
 * @callback: (scope async): called when the content is there
 * @user_data: data for @callback
 *
 * Gets the item's content.
 *
 * The asynchronous form of [method@Item.load]; @callback is called in the
 * thread-default main context of the caller, and never before this returns.
 */
void
bs_item_load_async (BsItem              *self,
                    int                  io_priority,
                    GCancellable        *cancellable,
                    GAsyncReadyCallback  callback,
                    gpointer             user_data)
{
  GBytes *bytes = NULL;
  GError *error = NULL;
  BsEntry *entry = NULL;
  GTask *task;

  g_return_if_fail (BS_IS_ITEM (self));
  g_return_if_fail (self->pool != NULL);
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = bs_task_new (self, cancellable, callback, user_data,
                      bs_item_load_async, "bs_item_load_async", io_priority);
  if (bs_item_check_cancelled (self, BS_JOB_READ, NULL, cancellable, &error))
    bytes = bs_item_find (self, BS_KIND_BYTES, &entry);

  if (entry != NULL)
    {
      start_load_missing (self, entry, BS_KIND_BYTES, task);
      bs_pool_release_entry (self->pool, entry);
    }
  else
    {
      answer (self, BS_KIND_BYTES, task, bytes, error);
    }
}

/**
 * bs_item_load_finish:
 * @self: an item
 * @result: what the callback was given
 * @error: return location for an error
 *
 * Ends [method@Item.load_async]; the errors are those of [method@Item.load].
 *
 * Returns: (transfer full): the content
 */
GBytes *
bs_item_load_finish (BsItem *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (BS_IS_ITEM (self), NULL);
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);
  g_return_val_if_fail (g_async_result_is_tagged (result, bs_item_load_async), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}

static gboolean
check_codec (BsItem *self, GError **error)
{
  if (bs_pool_get_codec (self->pool) != NULL)
    return TRUE;

  g_propagate_error (error, bs_item_error (self, BS_JOB_READ, NULL, BS_ERROR, BS_ERROR_NOT_SUPPORTED,
                                           "there is no object, since the pool has no codec"));
  return FALSE;
}

/**
 * bs_item_load_object:
 * @self: an item
 * @cancellable: (nullable): a cancellable
 * @error: return location for an error
 *
 * Gets the object that the item's content stands for, blocking if it has to be
 * read from the backing and decoded.
 *
 * While the object is alive anywhere, that one is returned, whether or not the
 * pool has let go of it. Loads at the same time share one read, and all get the
 * same object. Do not change it: give the item another one with
 * [method@Item.replace_object].
 *
 * Works for any item of a pool that has a codec. From an item that was given
 * bytes by [method@Pool.insert] or [method@Item.load] the pool holds the object
 * instead from then on; bytes that are not yet in the backing are written first.
 *
 * Fails with %BS_ERROR_NOT_SUPPORTED if the pool has no codec, with what the
 * codec's [method@Codec.decode] reports, %BS_ERROR_NOT_FOUND or
 * %BS_ERROR_CORRUPT if the backing has lost the content, %BS_ERROR_CLOSED if it
 * is not in memory and the store is closed, %G_IO_ERROR_CANCELLED,
 * %G_IO_ERROR_WOULD_BLOCK if it has to be read and this is called from inside a
 * virtual function of the store's backing or of a codec, and with what the
 * backing reports.
 *
 * Returns: (transfer full): the object
 */
GObject *
bs_item_load_object (BsItem *self, GCancellable *cancellable, GError **error)
{
  GObject *object;
  BsEntry *entry;

  g_return_val_if_fail (BS_IS_ITEM (self), NULL);
  g_return_val_if_fail (self->pool != NULL, NULL);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  if (!check_codec (self, error) || !bs_item_check_cancelled (self, BS_JOB_READ, NULL, cancellable, error))
    return NULL;

  object = bs_item_find (self, BS_KIND_OBJECT, &entry);
  if (object != NULL)
    return object;

  object = load_missing (self, entry, BS_KIND_OBJECT, cancellable, error);
  bs_pool_release_entry (self->pool, entry);

  return object;
}

/**
 * bs_item_load_object_async:
 * @self: an item
 * @io_priority: the priority, such as %G_PRIORITY_DEFAULT
 * @cancellable: (nullable): a cancellable
 * @callback: (scope async): called when the object is there
 * @user_data: data for @callback
 *
 * Gets the object that the item's content stands for.
 *
 * The asynchronous form of [method@Item.load_object]; @callback is called in the
 * thread-default main context of the caller, and never before this returns.
 */
void
bs_item_load_object_async (BsItem              *self,
                           int                  io_priority,
                           GCancellable        *cancellable,
                           GAsyncReadyCallback  callback,
                           gpointer             user_data)
{
  GObject *object = NULL;
  GError *error = NULL;
  BsEntry *entry = NULL;
  GTask *task;

  g_return_if_fail (BS_IS_ITEM (self));
  g_return_if_fail (self->pool != NULL);
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = bs_task_new (self, cancellable, callback, user_data,
                      bs_item_load_object_async, "bs_item_load_object_async", io_priority);
  if (check_codec (self, &error) && bs_item_check_cancelled (self, BS_JOB_READ, NULL, cancellable, &error))
    object = bs_item_find (self, BS_KIND_OBJECT, &entry);

  if (entry != NULL)
    {
      start_load_missing (self, entry, BS_KIND_OBJECT, task);
      bs_pool_release_entry (self->pool, entry);
    }
  else
    {
      answer (self, BS_KIND_OBJECT, task, object, error);
    }
}

/**
 * bs_item_load_object_finish:
 * @self: an item
 * @result: what the callback was given
 * @error: return location for an error
 *
 * Ends [method@Item.load_object_async]; the errors are those of
 * [method@Item.load_object].
 *
 * Returns: (transfer full): the object
 */
GObject *
bs_item_load_object_finish (BsItem *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (BS_IS_ITEM (self), NULL);
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);
  g_return_val_if_fail (g_async_result_is_tagged (result, bs_item_load_object_async), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}
