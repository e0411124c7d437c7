/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "bs-item-private.h"

/* Items written and persisted. */

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

  return tracked != NULL ? bs_cache_dup_unpersisted (cache, entry) : bs_cache_dup_unwritten (cache, entry);
}

static gboolean
check_cancelled (BsItem *self, BsTrackedPath *tracked, GCancellable *cancellable, GError **error)
{
  return bs_item_check_cancelled (self, tracked != NULL ? BS_KIND_PERSIST : BS_KIND_WRITE, tracked, cancellable, error);
}

/* Writes what is not written yet, and persists where there is a path. */
static void
start_write (BsItem *self, BsEntry *entry, BsTrackedPath *tracked, BsWaiter *caller)
{
  BsBackingStore *store = bs_pool_get_store (self->pool);
  g_autoptr (BsContent) content = dup_content (self, entry, tracked);

  if (tracked != NULL)
    bs_backing_store_start_persist (store, entry->record, tracked, content, caller);
  else if (content != NULL)
    bs_backing_store_start_write (store, entry->record, content, caller);
  else
    bs_waiter_answer (caller, NULL, NULL);
}

/* The store's short way; FALSE where it can't be taken. */
static gboolean
write_now (BsItemRequest *request, BsTrackedPath *tracked, GError **error)
{
  BsBackingStore *store = bs_pool_get_store (request->item->pool);
  BsEntry *entry = request->entry;
  g_autoptr (BsContent) content = dup_content (request->item, entry, tracked);

  if (tracked != NULL && !bs_backing_store_persist_now (store, &entry->key, entry->record, tracked, content, error))
    return FALSE;
  if (tracked == NULL && content != NULL && !bs_backing_store_write_now (store, &entry->key, entry->record, content, error))
    return FALSE;

  if (content != NULL)
    bs_item_write_deliver (request, NULL, error);
  return TRUE;
}

static gboolean
write_entry (BsItemRequest *request, BsTrackedPath *tracked, GCancellable *cancellable, GError **error)
{
  GError *local_error = NULL;
  BsWaiter *caller;

  if (cancellable == NULL && write_now (request, tracked, &local_error))
    {
      if (local_error == NULL)
        return TRUE;
      g_propagate_error (error, local_error);
      return FALSE;
    }

  caller = bs_waiter_new_blocking (bs_pool_get_store (request->item->pool), cancellable, bs_item_write_deliver, request, NULL, NULL);
  start_write (request->item, request->entry, tracked, caller);

  return GPOINTER_TO_INT (bs_waiter_wait (caller, error));
}

static gboolean
write_blocking (BsItem *self, BsTrackedPath *tracked, GCancellable *cancellable, GError **error)
{
  BsItemRequest request = { .item = self };
  gboolean success;

  if (!check_cancelled (self, tracked, cancellable, error))
    return FALSE;

  request.entry = bs_item_dup_entry (self);
  success = write_entry (&request, tracked, cancellable, error);
  bs_cache_drop_entry (bs_item_get_cache (self), request.entry);

  return success;
}

/* Takes the task over. */
static void
write_async (BsItem *self, BsTrackedPath *tracked, GTask *task)
{
  BsBackingStore *store = bs_pool_get_store (self->pool);
  GError *error = NULL;
  BsWaiter *caller;

  if (check_cancelled (self, tracked, g_task_get_cancellable (task), &error))
    {
      BsEntry *entry = bs_item_dup_entry (self);

      caller = bs_waiter_new_async (store, task, bs_item_write_deliver, bs_item_request_new (self, entry, BS_KIND_BYTES, NULL),
                                    bs_item_request_free, NULL);
      start_write (self, entry, tracked, caller);
      bs_cache_drop_entry (bs_item_get_cache (self), entry);
    }
  else
    {
      caller = bs_waiter_new_async (store, task, NULL, NULL, NULL, NULL);
      bs_waiter_answer (caller, NULL, error);
    }
  bs_waiter_unref (caller);
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
  g_return_val_if_fail (bs_item_has_pool (self), FALSE);
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
 * thread-default main context of the caller. The content of the moment of the call
 * is written, also if the item is replaced or dropped meanwhile.
 */
void
bs_item_write_async (BsItem              *self,
                     int                  io_priority,
                     GCancellable        *cancellable,
                     GAsyncReadyCallback  callback,
                     gpointer             user_data)
{
  g_return_if_fail (bs_item_has_pool (self));
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
 * The content is written first if need be. It survives the end of the process
 * then, and a power failure after [method@BackingStore.sync]. Succeeds at once if
 * it is there already.
 *
 * Where the backing finds that what it has of the content is bad, as after a
 * [class@Verify] has taken it out of the path, it is written anew if it is still
 * in memory, and else this fails with %BS_ERROR_CORRUPT.
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
 * @io_priority: the priority, such as %G_PRIORITY_DEFAULT
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
bs_item_persist_async (BsItem              *self,
                       BsTrackedPath       *tracked,
                       int                  io_priority,
                       GCancellable        *cancellable,
                       GAsyncReadyCallback  callback,
                       gpointer             user_data)
{
  g_return_if_fail (bs_item_has_pool (self));
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
