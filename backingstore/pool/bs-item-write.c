/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-item-private.h"

/* Writes and persists items. */

gpointer
bs_item_write_deliver (gpointer data, gpointer value, GError **error)
{
  BsItemRequest *self = data;
  BsCache *cache = bs_item_get_cache (self->item);

  if (*error == NULL)
    {
      bs_cache_mark_clean (cache, self->entry);
      bs_cache_settle (cache);
    }

  return NULL;
}

static BsContent *
dup_content (BsItem *self, BsEntry *entry, BsTrackedPath *tracked)
{
  BsCache *cache = bs_item_get_cache (self);

  return tracked != NULL ? bs_cache_dup_unpersisted (cache, entry)
                         : bs_cache_dup_unwritten (cache, entry);
}

static gboolean
check_cancelled (BsItem *self, BsTrackedPath *tracked, GCancellable *cancellable, GError **error)
{
  return bs_item_check_cancelled (self, tracked != NULL ? BS_KIND_PERSIST : BS_KIND_WRITE, tracked,
                                  cancellable, error);
}

/* Makes the request that writes a dirty entry, and persists it where there is a path.
 * Returns FALSE where there is nothing to do. The caller drops the content. */
static gboolean
make_request (BsItem *self, BsEntry *entry, BsTrackedPath *tracked, BsRequest *request)
{
  *request = (BsRequest){
    .kind = tracked != NULL ? BS_KIND_PERSIST : BS_KIND_WRITE,
    .tracked = tracked,
    .token = entry->token,
    .key = &entry->key,
  };
  request->content = dup_content (self, entry, tracked);

  return tracked != NULL || request->content != NULL;
}

static gboolean
write_blocking (BsItem *self, BsTrackedPath *tracked, GCancellable *cancellable, GError **error)
{
  BsItemRequest written = { .item = self };
  BsDelivery delivery = { .data = &written };
  gboolean success = TRUE;
  BsRequest request;

  if (!check_cancelled (self, tracked, cancellable, error))
    return FALSE;

  written.entry = bs_item_dup_entry (self);
  if (make_request (self, written.entry, tracked, &request))
    {
      if (request.content != NULL)
        delivery.func = bs_item_write_deliver;
      success = GPOINTER_TO_INT (
        bs_ask_blocking (bs_pool_get_store (self->pool), &request, &delivery, cancellable, error));
      g_clear_pointer (&request.content, bs_content_unref);
    }
  bs_cache_drop_entry (bs_item_get_cache (self), written.entry);

  return success;
}

/* Takes the task over. */
static void
write_async (BsItem *self, BsTrackedPath *tracked, GTask *task)
{
  BsDelivery delivery = { .func = bs_item_write_deliver, .data_free = bs_item_request_free };
  GError *error = NULL;
  BsRequest request;
  BsEntry *entry;

  if (!check_cancelled (self, tracked, g_task_get_cancellable (task), &error))
    {
      bs_answer_async (task, NULL, NULL, error);
      return;
    }

  entry = bs_item_dup_entry (self);
  if (make_request (self, entry, tracked, &request))
    {
      delivery.data = bs_item_request_new (self, entry, BS_KIND_BYTES, NULL);
      bs_ask_async (bs_pool_get_store (self->pool), &request, &delivery, task);
      g_clear_pointer (&request.content, bs_content_unref);
    }
  else
    {
      bs_answer_async (task, NULL, NULL, NULL);
    }
  bs_cache_drop_entry (bs_item_get_cache (self), entry);
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
 * store's backing, and with the backing's errors. The content is in memory
 * still then.
 *
 * Returns: %TRUE if the content is in the backing
 */
gboolean
bs_item_write (BsItem *self, GCancellable *cancellable, GError **error)
{
  g_return_val_if_fail (bs_item_has_pool (self), FALSE);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  return write_blocking (self, NULL, cancellable, error);
}

/**
 * bs_item_write_async:
 * @self: an item
 * @io_priority: the I/O priority: any integer, lower is sooner
 * @cancellable: (nullable): a cancellable
 * @callback: (scope async): called when the content is written
 * @user_data: data for @callback
 *
 * Makes sure that the item's content is in the backing's primary storage.
 *
 * The asynchronous form of [method@Item.write]; @callback is called in the
 * thread-default main context of the caller. The content of the moment of the call
 * is written, also if the item is replaced or dropped meanwhile.
 */
void
bs_item_write_async (BsItem *self,
                     int io_priority,
                     GCancellable *cancellable,
                     GAsyncReadyCallback callback,
                     gpointer user_data)
{
  g_return_if_fail (bs_item_has_pool (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  write_async (self, NULL,
               bs_task_new (self, cancellable, callback, user_data, bs_item_write_async,
                            "bs_item_write_async", io_priority));
}

/**
 * bs_item_write_finish:
 * @self: an item
 * @result: the result that the callback was given
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
 * The content is written first if need be. It survives the end of the process
 * then, and a power failure after [method@BackingStore.sync]. Succeeds at once if
 * it is there already.
 *
 * Where the backing finds its blob of the content to be bad, as after a
 * [class@Verify] has taken it out of the path, a content that is still in memory is
 * written anew; without one the call fails with %BS_ERROR_CORRUPT.
 *
 * Fails with %BS_ERROR_CLOSED if the path or the store is closed,
 * %G_IO_ERROR_INVALID_ARGUMENT if @tracked belongs to another store,
 * %G_IO_ERROR_CANCELLED, %G_IO_ERROR_WOULD_BLOCK if called from inside a virtual
 * function of the store's backing, and with the backing's errors.
 *
 * Returns: %TRUE if the content is at the path
 */
gboolean
bs_item_persist (BsItem *self, BsTrackedPath *tracked, GCancellable *cancellable, GError **error)
{
  g_return_val_if_fail (bs_item_has_pool (self), FALSE);
  g_return_val_if_fail (BS_IS_TRACKED_PATH (tracked), FALSE);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  return write_blocking (self, tracked, cancellable, error);
}

/**
 * bs_item_persist_async:
 * @self: an item
 * @tracked: a tracked path of the store
 * @io_priority: the I/O priority: any integer, lower is sooner
 * @cancellable: (nullable): a cancellable
 * @callback: (scope async): called when the content is there
 * @user_data: data for @callback
 *
 * Makes sure that the item's content is at a persisted path.
 *
 * The asynchronous form of [method@Item.persist]; @callback is called in the
 * thread-default main context of the caller. The content of the moment of the call
 * is persisted, also if the item is replaced or dropped meanwhile.
 */
void
bs_item_persist_async (BsItem *self,
                       BsTrackedPath *tracked,
                       int io_priority,
                       GCancellable *cancellable,
                       GAsyncReadyCallback callback,
                       gpointer user_data)
{
  g_return_if_fail (bs_item_has_pool (self));
  g_return_if_fail (BS_IS_TRACKED_PATH (tracked));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  write_async (self, tracked,
               bs_task_new (self, cancellable, callback, user_data, bs_item_persist_async,
                            "bs_item_persist_async", io_priority));
}

/**
 * bs_item_persist_finish:
 * @self: an item
 * @result: the result that the callback was given
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
