/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "bs-item-private.h"
#include "bs-pool-private.h"

/* Items written and persisted. */

static BsBackingStore *
get_store (BsItem *self)
{
  return bs_pool_get_store (self->pool);
}

gpointer
bs_item_write_deliver (gpointer data, gpointer value, GError **error)
{
  BsItemRequest *self = data;
  BsPool *pool = self->item->pool;

  if (*error == NULL)
    {
      bs_cache_mark_clean (bs_pool_get_cache (pool), self->entry);
      bs_pool_settle (pool);
    }

  return NULL;
}

static BsContent *
dup_content (BsItem *self, BsEntry *entry, BsTrackedPath *tracked)
{
  return tracked != NULL ? bs_pool_dup_unpersisted (self->pool, entry)
                         : bs_cache_dup_unwritten (bs_pool_get_cache (self->pool), entry);
}

/* Writes what is not written yet, and persists where there is a path. */
static void
start_write (BsItem *self, BsEntry *entry, BsTrackedPath *tracked, BsCaller *caller)
{
  g_autoptr (BsContent) content = dup_content (self, entry, tracked);

  if (tracked != NULL)
    bs_backing_store_start_persist (get_store (self), entry->record, tracked, content, caller);
  else if (content != NULL)
    bs_backing_store_start_write (get_store (self), entry->record, content, caller);
  else
    bs_caller_answer (caller, NULL, NULL);
}

/* The store's short way; FALSE where it can't be taken. */
static gboolean
write_now (BsItem *self, BsEntry *entry, BsTrackedPath *tracked, GError **error)
{
  g_autoptr (BsContent) content = dup_content (self, entry, tracked);

  if (tracked != NULL)
    {
      if (!bs_backing_store_persist_now (get_store (self), &entry->key, entry->record, tracked, content, error))
        return FALSE;
    }
  else if (content != NULL)
    {
      if (!bs_backing_store_write_now (get_store (self), &entry->key, entry->record, content, error))
        return FALSE;
    }

  if (content != NULL && *error == NULL)
    {
      bs_cache_mark_clean (bs_pool_get_cache (self->pool), entry);
      bs_pool_settle (self->pool);
    }

  return TRUE;
}

static gboolean
write_entry (BsItem *self, BsEntry *entry, BsTrackedPath *tracked, GCancellable *cancellable, GError **error)
{
  GError *local_error = NULL;
  BsCaller *caller;

  if (cancellable == NULL && write_now (self, entry, tracked, &local_error))
    {
      if (local_error == NULL)
        return TRUE;
      g_propagate_error (error, local_error);
      return FALSE;
    }

  caller = bs_caller_new_blocking (get_store (self), cancellable, bs_item_write_deliver,
                                   bs_item_request_new (self, entry, NULL), bs_item_request_free, NULL);
  start_write (self, entry, tracked, caller);

  return GPOINTER_TO_INT (bs_caller_wait (caller, error));
}

/* Takes the task over. */
static void
start_write_entry (BsItem *self, BsEntry *entry, BsTrackedPath *tracked, GTask *task)
{
  BsCaller *caller = bs_caller_new_async (get_store (self), task, bs_item_write_deliver,
                                          bs_item_request_new (self, entry, NULL), bs_item_request_free, NULL);

  start_write (self, entry, tracked, caller);
  bs_caller_unref (caller);
}

static gboolean
write_blocking (BsItem *self, BsTrackedPath *tracked, GCancellable *cancellable, GError **error)
{
  gboolean success;
  BsEntry *entry;

  if (!bs_item_check_cancelled (self, tracked != NULL ? BS_JOB_PERSIST : BS_JOB_WRITE, tracked, cancellable, error))
    return FALSE;

  entry = bs_item_dup_entry (self);
  success = write_entry (self, entry, tracked, cancellable, error);
  bs_pool_release_entry (self->pool, entry);

  return success;
}

/* Takes the task over. */
static void
write_async (BsItem *self, BsTrackedPath *tracked, GTask *task)
{
  BsEntry *entry = bs_item_dup_entry (self);
  GError *error = NULL;
  BsCaller *caller;

  if (!bs_item_check_cancelled (self, tracked != NULL ? BS_JOB_PERSIST : BS_JOB_WRITE, tracked, g_task_get_cancellable (task), &error))
    {
      caller = bs_caller_new_async (get_store (self), task, NULL, NULL, NULL, NULL);
      bs_caller_answer (caller, NULL, error);
      bs_caller_unref (caller);
    }
  else
    {
      start_write_entry (self, entry, tracked, task);
    }
  bs_pool_release_entry (self->pool, entry);
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
