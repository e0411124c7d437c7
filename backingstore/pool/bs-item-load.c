/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-codec-private.h"
#include "bs-item-private.h"

#include "store/operations/bs-loads-private.h"
#include "store/operations/bs-write-and-read-private.h"

/* Loads, answered from memory or from the backing. A pool with a codec has objects
 * in memory, decoded from the bytes that were read. */

gpointer
bs_item_find (BsItem *self, BsEntry *entry, BsKind kind)
{
  BsCache *cache = bs_item_get_cache (self);
  gboolean came_back = FALSE;
  gpointer found = bs_cache_find (cache, entry, kind, &came_back);

  if (found != NULL)
    bs_counter_raise (&cache->hits);
  if (came_back)
    bs_cache_settle (cache);
  return found;
}

static gpointer
try_load (BsItem *self, BsKind kind)
{
  BsReference reference = bs_item_hit (self, kind);
  gpointer found;
  BsEntry *entry;

  if (G_LIKELY (reference != 0))
    return bs_reference_to_content (reference);

  entry = bs_item_dup_entry (self);
  found = bs_item_find (self, entry, kind);
  bs_cache_drop_entry (bs_item_get_cache (self), entry);

  return found;
}

/**
 * bs_item_try_load:
 * @self: an item
 *
 * Gets the item's content if it is in memory.
 *
 * Does no I/O and never waits. A content that is just being evicted is in memory
 * still, and so is one that the application holds. Where an object is in memory
 * its bytes are not.
 *
 * Returns: (transfer full) (nullable): the content, or %NULL if it would have to
 *   be loaded
 */
GBytes *
bs_item_try_load (BsItem *self)
{
  g_return_val_if_fail (bs_item_has_pool (self), NULL);

  return try_load (self, BS_KIND_BYTES);
}

/**
 * bs_item_try_load_object:
 * @self: an item
 *
 * Gets the item's object if it is in memory.
 *
 * Does no I/O, calls no codec and never waits: a list can show at once the objects
 * that are there, and load the rest. An object that is alive anywhere in the application is
 * in memory still, whether or not the pool has let go of it. In a pool without a
 * codec there is none. May be called from any thread.
 *
 * Returns: (transfer full) (nullable): the object, or %NULL if it would have to be
 *   loaded
 */
GObject *
bs_item_try_load_object (BsItem *self)
{
  g_return_val_if_fail (bs_item_has_pool (self), NULL);

  return bs_pool_get_codec (self->pool) != NULL ? try_load (self, BS_KIND_OBJECT) : NULL;
}

static gboolean
check_codec (BsItem *self, BsKind kind, GError **error)
{
  if (kind != BS_KIND_OBJECT || bs_pool_get_codec (self->pool) != NULL)
    return TRUE;

  g_propagate_error (error, bs_item_error (self, BS_KIND_READ, NULL, BS_ERROR,
                                           BS_ERROR_NOT_SUPPORTED, "the pool has no codec"));
  return FALSE;
}

/* Returns the content if it is in memory, else NULL with an error or with `missing`, a
 * reference on the entry to read. */
static gpointer
find_first (BsItem *self, BsKind kind, GCancellable *cancellable, BsEntry **missing, GError **error)
{
  BsReference reference;
  BsEntry *entry;
  gpointer found;

  if (!check_codec (self, kind, error) ||
      !bs_item_check_cancelled (self, BS_KIND_READ, NULL, cancellable, error))
    return NULL;

  reference = bs_item_hit (self, kind);
  if (reference != 0)
    return bs_reference_to_content (reference);

  entry = bs_item_dup_entry (self);
  found = bs_item_find (self, entry, kind);
  if (found != NULL)
    {
      bs_cache_drop_entry (bs_item_get_cache (self), entry);
      return found;
    }

  *missing = entry;
  return NULL;
}

static void
prefix_key (const BsKey *key, GError **error)
{
  char string[BS_KEY_STRING_SIZE];

  bs_key_print (key, string);
  g_prefix_error (error, "%s: ", string);
}

static GObject *
decode (BsItemRequest *request, GBytes *bytes, guint64 *size, GError **error)
{
  BsBackingStore *store = bs_pool_get_store (request->item->pool);
  BsCodec *codec = bs_pool_get_codec (request->item->pool);
  const BsKey *key = &request->entry->key;
  GObject *object;
  BsCallScope scope;
  BsLoad load;

  if (!bs_load_begin (store, &load, key, request->cancellable, error))
    return NULL;
  if (!bs_backing_store_enter_call (store, &scope))
    {
      g_set_error_literal (error, BS_ERROR, BS_ERROR_FAILED,
                           "decode: this thread cannot run the store's main context");
      prefix_key (key, error);
      bs_load_end (store, &load, key, error);
      return NULL;
    }

  object = bs_codec_decode (codec, bytes, load.cancellable, error);
  if (object != NULL)
    *size = bs_codec_measure_checked (codec, object);
  else
    prefix_key (key, error);
  /* The bytes of a key never change: they can't be decoded next time either. */
  if (object != NULL || !g_cancellable_is_cancelled (load.cancellable))
    bs_cache_set_failure (bs_item_get_cache (request->item), request->entry, *error);
  if (object != NULL && *size == 0)
    *size = MAX (g_bytes_get_size (bytes), 1);
  bs_backing_store_leave_call (store, &scope);
  bs_load_end (store, &load, key, error);

  return object;
}

static GObject *
adopt_object (BsItemRequest *request, GBytes *bytes, gboolean *size_changed, GError **error)
{
  BsCache *cache = bs_item_get_cache (request->item);
  g_autoptr (GObject) object = NULL;
  gboolean came_back;
  GObject *winner;
  guint64 size;

  winner = bs_cache_find (cache, request->entry, BS_KIND_OBJECT, &came_back);
  if (winner != NULL)
    {
      bs_counter_raise (&cache->hits);
      return winner;
    }

  object = decode (request, bytes, &size, error);
  if (object == NULL)
    return NULL;

  return bs_cache_adopt (cache, request->entry, BS_KIND_OBJECT, object, size,
                         g_bytes_get_size (bytes), size_changed);
}

/* Called on the thread where the read has ended, after it has left the key's queue. */
static gpointer
load_deliver (gpointer data, gpointer value, GError **error)
{
  BsItemRequest *self = data;
  BsCache *cache = bs_item_get_cache (self->item);
  gboolean size_changed = FALSE;
  gpointer content;

  if (*error != NULL)
    return NULL;

  if (self->kind == BS_KIND_OBJECT)
    content = adopt_object (self, value, &size_changed, error);
  else
    content = bs_cache_adopt (cache, self->entry, BS_KIND_BYTES, value, g_bytes_get_size (value),
                              g_bytes_get_size (value), &size_changed);

  if (size_changed)
    bs_item_notify_size (self->item);
  if (content != NULL)
    bs_cache_settle (cache);

  return content;
}

static GDestroyNotify
get_content_free (BsKind kind)
{
  return kind == BS_KIND_OBJECT ? g_object_unref : (GDestroyNotify) g_bytes_unref;
}

static BsDelivery
load_delivery (BsItemRequest *request, GDestroyNotify request_free)
{
  return (BsDelivery){
    .func = load_deliver,
    .data = request,
    .data_free = request_free,
    .value_free = get_content_free (request->kind),
  };
}

/* Reads the content from the backing. A content that is in memory alone, in the other kind,
 * is written first. */
static gpointer
read_blocking (BsItemRequest *request, GError **error)
{
  BsBackingStore *store = bs_pool_get_store (request->item->pool);
  g_autoptr (BsContent) other_kind =
    bs_cache_dup_other_kind (bs_item_get_cache (request->item), request->entry, request->kind);
  BsDelivery delivery = load_delivery (request, NULL);
  BsDelivery written = { .func = bs_item_write_deliver, .data = request };
  BsRequest read = { .kind = BS_KIND_READ,
                     .token = request->entry->token,
                     .key = &request->entry->key };

  if (other_kind != NULL)
    return bs_write_and_read_blocking (store, BS_KIND_READ, read.token, other_kind, &written,
                                       &delivery, request->cancellable, error);
  else
    return bs_ask_blocking (store, &read, &delivery, request->cancellable, error);
}

/* Reads like read_blocking(). Takes the task over. */
static void
read_async (BsItemRequest *request, gboolean newest_first, GTask *task)
{
  BsBackingStore *store = bs_pool_get_store (request->item->pool);
  g_autoptr (BsContent) other_kind =
    bs_cache_dup_other_kind (bs_item_get_cache (request->item), request->entry, request->kind);
  BsDelivery delivery = load_delivery (request, bs_item_request_free);
  BsDelivery written = { .func = bs_item_write_deliver, .data_free = bs_item_request_free };
  BsRequest read = { .kind = BS_KIND_READ,
                     .newest_first = newest_first,
                     .token = request->entry->token,
                     .key = &request->entry->key };
  BsWaiter *waiter = bs_waiter_new_async (task, &delivery);

  if (other_kind != NULL)
    {
      written.data = bs_item_request_new (request->item, request->entry, BS_KIND_BYTES, NULL);
      bs_write_and_read (store, BS_KIND_READ, read.token, other_kind, &written, waiter);
    }
  else
    {
      bs_ask (store, &read, waiter);
    }
  bs_waiter_unref (waiter);
}

static gpointer
load (BsItem *self, BsKind kind, GCancellable *cancellable, GError **error)
{
  BsItemRequest request = { self, NULL, kind, cancellable };
  gpointer content = find_first (self, kind, cancellable, &request.entry, error);

  if (request.entry != NULL)
    {
      content = read_blocking (&request, error);
      bs_cache_drop_entry (bs_item_get_cache (self), request.entry);
    }

  return content;
}

/* Returns the content that was found in memory. */
static gpointer
found_deliver (gpointer data, gpointer value, GError **error)
{
  return data;
}

/* Takes the task over. */
static void
load_async (BsItem *self, BsKind kind, gboolean newest_first, GTask *task)
{
  GCancellable *cancellable = g_task_get_cancellable (task);
  BsDelivery found = { .value_free = get_content_free (kind) };
  BsEntry *missing = NULL;
  GError *error = NULL;

  found.data = find_first (self, kind, cancellable, &missing, &error);
  if (missing != NULL)
    {
      read_async (bs_item_request_new (self, missing, kind, cancellable), newest_first, task);
      bs_cache_drop_entry (bs_item_get_cache (self), missing);
      return;
    }

  if (error == NULL)
    found.func = found_deliver;
  bs_answer_async (task, &found, NULL, error);
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
 * the result of a load, further loads give the same bytes without reading again,
 * whether or not the pool has let go of them.
 *
 * Where an object is in memory, as after [method@Pool.insert_object] or
 * [method@Item.load_object], its bytes are not: each load reads them from the
 * backing, where they are written first if need be.
 *
 * Fails with %BS_ERROR_NOT_FOUND or %BS_ERROR_CORRUPT if the backing has lost
 * the content, %BS_ERROR_CLOSED if it is not in memory and the store is closed,
 * %G_IO_ERROR_CANCELLED, %G_IO_ERROR_WOULD_BLOCK if called from inside a virtual
 * function of the store's backing, and with the backing's errors.
 *
 * Returns: (transfer full): the content
 */
GBytes *
bs_item_load (BsItem *self, GCancellable *cancellable, GError **error)
{
  g_return_val_if_fail (bs_item_has_pool (self), NULL);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return load (self, BS_KIND_BYTES, cancellable, error);
}

/**
 * bs_item_load_async:
 * @self: an item
 * @io_priority: the I/O priority: any integer, lower is sooner
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
bs_item_load_async (BsItem *self,
                    int io_priority,
                    GCancellable *cancellable,
                    GAsyncReadyCallback callback,
                    gpointer user_data)
{
  g_return_if_fail (bs_item_has_pool (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  load_async (self, BS_KIND_BYTES, FALSE,
              bs_task_new (self, cancellable, callback, user_data, bs_item_load_async,
                           "bs_item_load_async", io_priority));
}

/**
 * bs_item_load_finish:
 * @self: an item
 * @result: the result that the callback was given
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
 * Fails with %BS_ERROR_NOT_SUPPORTED if the pool has no codec, with the error of the
 * codec's [method@Codec.decode], %BS_ERROR_NOT_FOUND or
 * %BS_ERROR_CORRUPT if the backing has lost the content, %BS_ERROR_CLOSED if it
 * is not in memory and the store is closed, %G_IO_ERROR_CANCELLED,
 * %G_IO_ERROR_WOULD_BLOCK if it has to be read and this is called from inside a
 * virtual function of the store's backing or of a codec, and with the
 * backing's errors.
 *
 * Returns: (transfer full): the object
 */
GObject *
bs_item_load_object (BsItem *self, GCancellable *cancellable, GError **error)
{
  g_return_val_if_fail (bs_item_has_pool (self), NULL);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return load (self, BS_KIND_OBJECT, cancellable, error);
}

/**
 * bs_item_load_object_async:
 * @self: an item
 * @io_priority: the I/O priority: any integer, lower is sooner
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
bs_item_load_object_async (BsItem *self,
                           int io_priority,
                           GCancellable *cancellable,
                           GAsyncReadyCallback callback,
                           gpointer user_data)
{
  g_return_if_fail (bs_item_has_pool (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  load_async (self, BS_KIND_OBJECT, FALSE,
              bs_task_new (self, cancellable, callback, user_data, bs_item_load_object_async,
                           "bs_item_load_object_async", io_priority));
}

/**
 * bs_item_load_object_finish:
 * @self: an item
 * @result: the result that the callback was given
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

/* Toolkits draw at G_PRIORITY_HIGH_IDLE + 20: objects that are decoded in a main context are
 * decoded between the frames. */
#define PRIORITY_BELOW_FRAMES (G_PRIORITY_HIGH_IDLE + 30)

void
bs_item_load_object_newest_first_async (BsItem *self,
                                        GCancellable *cancellable,
                                        GAsyncReadyCallback callback,
                                        gpointer user_data)
{
  BsBackingStore *store = bs_pool_get_store (self->pool);
  int priority =
    bs_backing_store_get_main_context (store) != NULL ? PRIORITY_BELOW_FRAMES : G_PRIORITY_DEFAULT;

  load_async (self, BS_KIND_OBJECT, TRUE,
              bs_task_new (self, cancellable, callback, user_data, bs_item_load_object_async,
                           "bs_item_load_object_newest_first_async", priority));
}

gboolean
bs_item_is_out (BsItem *self, BsEntry *entry, BsKind kind)
{
  BsCache *cache = bs_item_get_cache (self);
  gboolean came_back = FALSE;
  gpointer content = bs_cache_find (cache, entry, kind, &came_back);
  BsContent *other_kind = content == NULL ? bs_cache_dup_other_kind (cache, entry, kind) : NULL;
  gboolean is_out = content == NULL && other_kind == NULL;

  if (came_back)
    bs_cache_settle (cache);
  if (content != NULL)
    get_content_free (kind) (content);
  g_clear_pointer (&other_kind, bs_content_unref);

  return is_out;
}

void
bs_item_read_ahead (BsItemRequest *request, GDestroyNotify request_free)
{
  BsDelivery delivery = load_delivery (request, request_free);
  BsRequest read = { .kind = BS_KIND_READ,
                     .token = request->entry->token,
                     .key = &request->entry->key };

  bs_ask_in_background (bs_pool_get_store (request->item->pool), &read, &delivery, G_MAXINT,
                        request->cancellable);
}

GError *
bs_item_dup_failure (BsItem *self)
{
  BsEntry *entry = bs_item_dup_entry (self);
  GError *failure = bs_cache_dup_failure (bs_item_get_cache (self), entry);

  bs_cache_drop_entry (bs_item_get_cache (self), entry);
  return failure;
}
