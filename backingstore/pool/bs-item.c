/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "bs-item.h"

#include "bs-item-private.h"
#include "bs-pool-private.h"

/**
 * BsItem:
 *
 * A handle to one content in a [class@Pool].
 *
 * The content never changes; [method@Item.replace] gives the item another one,
 * with another key. It is in memory, in the backing, or in both, and an item
 * costs little when it is not in memory. As long as an item refers to it, a
 * content stays loadable; when the last item goes, and nothing else needs it,
 * the backing forgets it, unless it was persisted.
 *
 * Items come from [method@Pool.insert], [method@Pool.register] and
 * [method@Item.copy]. All functions may be called from any thread. The
 * properties notify in the main context that was the thread's default where the
 * store was made, coalesced.
 */

struct _BsItem
{
  GObject parent_instance;

  BsPool *pool;         /* owned; constant after construction */
  BsBlob *blob;         /* a reference; under the cache's lock */
};

typedef enum
{
  PROP_KEY = 1,
  PROP_POOL,
  PROP_SIZE,
} BsItemProperty;

static GParamSpec *properties[PROP_SIZE + 1];

G_DEFINE_FINAL_TYPE (BsItem, bs_item, G_TYPE_OBJECT)

BsItem *
bs_item_new (BsPool *pool, BsBlob *blob)
{
  BsItem *self = g_object_new (BS_TYPE_ITEM, NULL);
  BsCache *cache = bs_pool_get_cache (pool);

  self->pool = g_object_ref (pool);
  g_mutex_lock (&cache->lock);
  self->blob = blob;
  cache->figures.n_items++;
  g_mutex_unlock (&cache->lock);

  return self;
}

static BsBlob *
dup_blob (BsItem *self)
{
  BsCache *cache = bs_pool_get_cache (self->pool);
  BsBlob *blob;

  g_mutex_lock (&cache->lock);
  blob = bs_blob_ref (self->blob);
  g_mutex_unlock (&cache->lock);

  return blob;
}

static BsBackingStore *
get_store (BsItem *self)
{
  return bs_pool_get_store (self->pool);
}

static void
bs_item_get_property (GObject *object, guint property_id, GValue *value, GParamSpec *pspec)
{
  BsItem *self = BS_ITEM (object);

  switch ((BsItemProperty) property_id)
    {
    case PROP_KEY:
      g_value_take_string (value, bs_item_dup_key (self));
      break;
    case PROP_POOL:
      g_value_set_object (value, self->pool);
      break;
    case PROP_SIZE:
      g_value_set_int64 (value, bs_item_get_size (self));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, property_id, pspec);
    }
}

static void
bs_item_finalize (GObject *object)
{
  BsItem *self = BS_ITEM (object);

  if (self->pool != NULL)
    {
      BsCache *cache = bs_pool_get_cache (self->pool);

      g_mutex_lock (&cache->lock);
      cache->figures.n_items--;
      g_mutex_unlock (&cache->lock);

      bs_pool_release_blob (self->pool, self->blob);
      bs_pool_settle (self->pool);
      g_object_unref (self->pool);
    }

  G_OBJECT_CLASS (bs_item_parent_class)->finalize (object);
}

static void
bs_item_class_init (BsItemClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GParamFlags flags = G_PARAM_READABLE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS;

  object_class->get_property = bs_item_get_property;
  object_class->finalize = bs_item_finalize;

  /**
   * BsItem:key: (attributes org.gtk.Property.get=bs_item_dup_key)
   *
   * The key of the content, lower-case and hyphenated.
   *
   * Notifies after [method@Item.replace], in the main context that was the
   * thread's default where the store was made.
   */
  properties[PROP_KEY] =
    g_param_spec_string ("key", NULL, NULL, NULL, flags);

  /**
   * BsItem:pool: (attributes org.gtk.Property.get=bs_item_get_pool)
   *
   * The pool that the item belongs to.
   */
  properties[PROP_POOL] =
    g_param_spec_object ("pool", NULL, NULL, BS_TYPE_POOL, flags);

  /**
   * BsItem:size: (attributes org.gtk.Property.get=bs_item_get_size)
   *
   * The size of the content in bytes, -1 if it is not known because it was
   * never loaded.
   *
   * Notifies after [method@Item.replace] and when a load of this item learnt
   * it, in the main context that was the thread's default where the store was
   * made.
   */
  properties[PROP_SIZE] =
    g_param_spec_int64 ("size", NULL, NULL, -1, G_MAXINT64, -1, flags);

  g_object_class_install_properties (object_class, G_N_ELEMENTS (properties), properties);
}

static void
bs_item_init (BsItem *self)
{
}

/**
 * bs_item_dup_key: (attributes org.gtk.Method.get_property=key)
 * @self: an item
 *
 * Gets the key of the item's content.
 *
 * A copy, since [method@Item.replace] may change it any time.
 *
 * Returns: (transfer full): the key, lower-case and hyphenated
 */
char *
bs_item_dup_key (BsItem *self)
{
  BsBlob *blob;
  char *key;

  g_return_val_if_fail (BS_IS_ITEM (self), NULL);
  g_return_val_if_fail (self->pool != NULL, NULL);

  blob = dup_blob (self);
  key = bs_key_to_string (bs_key_record_get_key (blob->record));
  bs_pool_release_blob (self->pool, blob);

  return key;
}

/**
 * bs_item_get_pool: (attributes org.gtk.Method.get_property=pool)
 * @self: an item
 *
 * Gets the pool that the item belongs to.
 *
 * Returns: (transfer none): the pool
 */
BsPool *
bs_item_get_pool (BsItem *self)
{
  g_return_val_if_fail (BS_IS_ITEM (self), NULL);

  return self->pool;
}

/**
 * bs_item_get_size: (attributes org.gtk.Method.get_property=size)
 * @self: an item
 *
 * Gets the size of the item's content.
 *
 * Returns: the size in bytes, -1 if it is not known because it was never loaded
 */
gint64
bs_item_get_size (BsItem *self)
{
  BsCache *cache;
  gint64 size;

  g_return_val_if_fail (BS_IS_ITEM (self), -1);
  g_return_val_if_fail (self->pool != NULL, -1);

  cache = bs_pool_get_cache (self->pool);
  g_mutex_lock (&cache->lock);
  size = self->blob->is_size_known ? (gint64) self->blob->node.size : -1;
  g_mutex_unlock (&cache->lock);

  return size;
}

/* The bytes if they are in memory. Else NULL and, where asked for, a reference
 * on the blob that is to be loaded. */
static GBytes *
find (BsItem *self, BsBlob **missing)
{
  BsCache *cache = bs_pool_get_cache (self->pool);
  gboolean came_back;
  GBytes *bytes;

  g_mutex_lock (&cache->lock);
  came_back = self->blob->place == BS_PLACE_OUT && self->blob->buffer != NULL;
  bytes = bs_cache_find_locked (cache, self->blob);
  if (bytes == NULL && missing != NULL)
    {
      *missing = bs_blob_ref (self->blob);
      cache->stats.misses++;
    }
  g_mutex_unlock (&cache->lock);

  if (came_back)
    bs_pool_settle (self->pool);
  return bytes;
}

/**
 * bs_item_try_load:
 * @self: an item
 *
 * Gets the item's content if it is in memory.
 *
 * Does no I/O and never waits. A content that is just being evicted is in memory
 * still, and so is one that the application holds.
 *
 * Returns: (transfer full) (nullable): the content, or %NULL if it would have to
 *   be loaded
 */
GBytes *
bs_item_try_load (BsItem *self)
{
  g_return_val_if_fail (BS_IS_ITEM (self), NULL);
  g_return_val_if_fail (self->pool != NULL, NULL);

  return find (self, NULL);
}

/**
 * bs_item_replace:
 * @self: an item
 * @bytes: a content
 *
 * Gives the item a new content, and with it a new key.
 *
 * What was asked of the item before goes on with the old content. Copies of the
 * item keep the old content; if there are none, the backing forgets it.
 * [property@Item:key] and [property@Item:size] are notified. Never blocks.
 */
void
bs_item_replace (BsItem *self, GBytes *bytes)
{
  BsBlob *blob, *old;
  BsCache *cache;

  g_return_if_fail (BS_IS_ITEM (self));
  g_return_if_fail (self->pool != NULL);
  g_return_if_fail (bytes != NULL);

  cache = bs_pool_get_cache (self->pool);
  blob = bs_blob_new (bs_backing_store_new_token (get_store (self)), FALSE);
  bs_cache_insert (cache, blob, bytes);

  g_mutex_lock (&cache->lock);
  old = self->blob;
  self->blob = blob;
  g_mutex_unlock (&cache->lock);

  bs_pool_release_blob (self->pool, old);
  bs_pool_settle (self->pool);
  bs_pool_notify (self->pool, self, properties[PROP_KEY]);
  bs_pool_notify (self->pool, self, properties[PROP_SIZE]);
}

/**
 * bs_item_copy:
 * @self: an item
 *
 * Makes another item for the same content.
 *
 * The two share it, and its key, until one of them is replaced. Never blocks.
 *
 * Returns: (transfer full): a new item
 */
BsItem *
bs_item_copy (BsItem *self)
{
  BsItem *copy;

  g_return_val_if_fail (BS_IS_ITEM (self), NULL);
  g_return_val_if_fail (self->pool != NULL, NULL);

  copy = bs_item_new (self->pool, dup_blob (self));
  bs_pool_settle (self->pool);

  return copy;
}

/* What an operation needs when it ends, whatever became of the item. */
typedef struct
{
  BsItem *item;         /* owned */
  BsBlob *blob;         /* a reference */
} Request;

static Request *
request_new (BsItem *item, BsBlob *blob)
{
  Request *self = g_new (Request, 1);

  self->item = g_object_ref (item);
  self->blob = bs_blob_ref (blob);

  return self;
}

static void
request_free (gpointer data)
{
  Request *self = data;

  bs_pool_release_blob (self->item->pool, self->blob);
  g_object_unref (self->item);
  g_free (self);
}

static gpointer
found_deliver (gpointer data, gpointer value, GError **error)
{
  return *error == NULL ? g_bytes_ref (value) : NULL;
}

static gpointer
load_deliver (gpointer data, gpointer value, GError **error)
{
  Request *self = data;
  BsPool *pool = self->item->pool;
  gboolean size_learnt;
  GBytes *bytes;

  if (*error != NULL)
    return NULL;

  bytes = bs_cache_adopt (bs_pool_get_cache (pool), self->blob, value, &size_learnt);
  if (size_learnt)
    bs_pool_notify (pool, self->item, properties[PROP_SIZE]);
  bs_pool_settle (pool);

  return bytes;
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
  BsCaller *caller;
  BsBlob *blob;
  GBytes *bytes;

  g_return_val_if_fail (BS_IS_ITEM (self), NULL);
  g_return_val_if_fail (self->pool != NULL, NULL);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  if (g_cancellable_set_error_if_cancelled (cancellable, error))
    return NULL;

  bytes = find (self, &blob);
  if (bytes != NULL)
    return bytes;

  caller = bs_caller_new_blocking (get_store (self), cancellable, load_deliver,
                                   request_new (self, blob), request_free, (GDestroyNotify) g_bytes_unref);
  bs_backing_store_start_read (get_store (self), blob->record, caller);
  bytes = bs_caller_wait (caller, error);
  bs_pool_release_blob (self->pool, blob);

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
  g_autoptr (GBytes) bytes = NULL;
  GError *error = NULL;
  BsBlob *blob = NULL;
  BsCaller *caller;
  GTask *task;

  g_return_if_fail (BS_IS_ITEM (self));
  g_return_if_fail (self->pool != NULL);
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = bs_task_new (self, cancellable, callback, user_data,
                      bs_item_load_async, "bs_item_load_async", io_priority);
  if (!g_cancellable_set_error_if_cancelled (cancellable, &error))
    bytes = find (self, &blob);

  if (blob == NULL)
    {
      caller = bs_caller_new_async (get_store (self), task, found_deliver, NULL, NULL, (GDestroyNotify) g_bytes_unref);
      bs_caller_answer (caller, bytes, error);
    }
  else
    {
      caller = bs_caller_new_async (get_store (self), task, load_deliver,
                                    request_new (self, blob), request_free, (GDestroyNotify) g_bytes_unref);
      bs_backing_store_start_read (get_store (self), blob->record, caller);
      bs_pool_release_blob (self->pool, blob);
    }
  bs_caller_unref (caller);
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

static gpointer
write_deliver (gpointer data, gpointer value, GError **error)
{
  Request *self = data;
  BsPool *pool = self->item->pool;

  if (*error == NULL)
    {
      bs_cache_mark_clean (bs_pool_get_cache (pool), self->blob);
      bs_pool_settle (pool);
    }

  return NULL;
}

/* Writes what is not written yet, and persists where there is a path. */
static void
start_write (BsItem *self, BsBlob *blob, BsTrackedPath *tracked, BsCaller *caller)
{
  g_autoptr (BsContent) content = bs_cache_dup_unwritten (bs_pool_get_cache (self->pool), blob);

  if (tracked != NULL)
    bs_backing_store_start_persist (get_store (self), blob->record, tracked, content, caller);
  else if (content != NULL)
    bs_backing_store_start_write (get_store (self), blob->record, content, caller);
  else
    bs_caller_answer (caller, NULL, NULL);
}

static gboolean
write_blocking (BsItem *self, BsTrackedPath *tracked, GCancellable *cancellable, GError **error)
{
  BsCaller *caller;
  gboolean success;
  BsBlob *blob;

  if (g_cancellable_set_error_if_cancelled (cancellable, error))
    return FALSE;

  blob = dup_blob (self);
  caller = bs_caller_new_blocking (get_store (self), cancellable, write_deliver,
                                   request_new (self, blob), request_free, NULL);
  start_write (self, blob, tracked, caller);
  success = GPOINTER_TO_INT (bs_caller_wait (caller, error));
  bs_pool_release_blob (self->pool, blob);

  return success;
}

/* Takes the task over. */
static void
write_async (BsItem *self, BsTrackedPath *tracked, GTask *task)
{
  GCancellable *cancellable = g_task_get_cancellable (task);
  BsBlob *blob = dup_blob (self);
  GError *error = NULL;
  BsCaller *caller;

  /* Before the task is handed on: it may be gone as soon as it is answered. */
  g_cancellable_set_error_if_cancelled (cancellable, &error);

  caller = bs_caller_new_async (get_store (self), task, write_deliver,
                                request_new (self, blob), request_free, NULL);
  if (error != NULL)
    bs_caller_answer (caller, NULL, error);
  else
    start_write (self, blob, tracked, caller);
  bs_caller_unref (caller);
  bs_pool_release_blob (self->pool, blob);
}

/**
 * bs_item_write:
 * @self: an item
 * @cancellable: (nullable): a cancellable
 * @error: return location for an error
 *
 * Makes sure that the item's content is in the backing's primary storage,
 * blocking.
 *
 * There it survives leaving memory, not the end of the process: see
 * [method@Item.persist]. Succeeds at once if it is there already.
 *
 * Fails with %BS_ERROR_CLOSED if the store is closed, %G_IO_ERROR_CANCELLED,
 * %G_IO_ERROR_WOULD_BLOCK if called from inside a virtual function of the
 * store's backing, and with what the backing reports. The content is in memory
 * still then.
 *
 * Returns: %TRUE if the content is in the backing
 */
gboolean
bs_item_write (BsItem *self, GCancellable *cancellable, GError **error)
{
  g_return_val_if_fail (BS_IS_ITEM (self), FALSE);
  g_return_val_if_fail (self->pool != NULL, FALSE);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  return write_blocking (self, NULL, cancellable, error);
}

/**
 * bs_item_write_async:
 * @self: an item
 * @io_priority: the priority, such as %G_PRIORITY_DEFAULT
 * @cancellable: (nullable): a cancellable
 * @callback: (scope async): called when the content is written
 * @user_data: data for @callback
 *
 * Makes sure that the item's content is in the backing's primary storage.
 *
 * The asynchronous form of [method@Item.write]; @callback is called in the
 * thread-default main context of the caller. What is written is the content of
 * the moment of the call, also if the item is replaced or dropped meanwhile.
 */
void
bs_item_write_async (BsItem              *self,
                     int                  io_priority,
                     GCancellable        *cancellable,
                     GAsyncReadyCallback  callback,
                     gpointer             user_data)
{
  g_return_if_fail (BS_IS_ITEM (self));
  g_return_if_fail (self->pool != NULL);
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  write_async (self, NULL,
               bs_task_new (self, cancellable, callback, user_data,
                            bs_item_write_async, "bs_item_write_async", io_priority));
}

/**
 * bs_item_write_finish:
 * @self: an item
 * @result: what the callback was given
 * @error: return location for an error
 *
 * Ends [method@Item.write_async]; the errors are those of [method@Item.write].
 *
 * Returns: %TRUE if the content is in the backing
 */
gboolean
bs_item_write_finish (BsItem *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (BS_IS_ITEM (self), FALSE);
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  g_return_val_if_fail (g_async_result_is_tagged (result, bs_item_write_async), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

/**
 * bs_item_persist:
 * @self: an item
 * @tracked: a tracked path of the store
 * @cancellable: (nullable): a cancellable
 * @error: return location for an error
 *
 * Makes sure that the item's content is at a persisted path, blocking.
 *
 * It is written first if need be. It survives the end of the process then, and a
 * power failure after [method@BackingStore.sync]. Succeeds at once if it is
 * there already.
 *
 * Fails with %BS_ERROR_CLOSED if the path or the store is closed,
 * %G_IO_ERROR_INVALID_ARGUMENT if @tracked belongs to another store,
 * %G_IO_ERROR_CANCELLED, %G_IO_ERROR_WOULD_BLOCK if called from inside a virtual
 * function of the store's backing, and with what the backing reports.
 *
 * Returns: %TRUE if the content is at the path
 */
gboolean
bs_item_persist (BsItem *self, BsTrackedPath *tracked, GCancellable *cancellable, GError **error)
{
  g_return_val_if_fail (BS_IS_ITEM (self), FALSE);
  g_return_val_if_fail (self->pool != NULL, FALSE);
  g_return_val_if_fail (BS_IS_TRACKED_PATH (tracked), FALSE);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  return write_blocking (self, tracked, cancellable, error);
}

/**
 * bs_item_persist_async:
 * @self: an item
 * @tracked: a tracked path of the store
 * @io_priority: the priority, such as %G_PRIORITY_DEFAULT
 * @cancellable: (nullable): a cancellable
 * @callback: (scope async): called when the content is there
 * @user_data: data for @callback
 *
 * Makes sure that the item's content is at a persisted path.
 *
 * The asynchronous form of [method@Item.persist]; @callback is called in the
 * thread-default main context of the caller. What is persisted is the content of
 * the moment of the call, also if the item is replaced or dropped meanwhile.
 */
void
bs_item_persist_async (BsItem              *self,
                       BsTrackedPath       *tracked,
                       int                  io_priority,
                       GCancellable        *cancellable,
                       GAsyncReadyCallback  callback,
                       gpointer             user_data)
{
  g_return_if_fail (BS_IS_ITEM (self));
  g_return_if_fail (self->pool != NULL);
  g_return_if_fail (BS_IS_TRACKED_PATH (tracked));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  write_async (self, tracked,
               bs_task_new (self, cancellable, callback, user_data,
                            bs_item_persist_async, "bs_item_persist_async", io_priority));
}

/**
 * bs_item_persist_finish:
 * @self: an item
 * @result: what the callback was given
 * @error: return location for an error
 *
 * Ends [method@Item.persist_async]; the errors are those of
 * [method@Item.persist].
 *
 * Returns: %TRUE if the content is at the path
 */
gboolean
bs_item_persist_finish (BsItem *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (BS_IS_ITEM (self), FALSE);
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  g_return_val_if_fail (g_async_result_is_tagged (result, bs_item_persist_async), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}
