/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-pool.h"

#include "bs-eviction-private.h"
#include "bs-pool-private.h"
#include "bs-trim-private.h"
#include "store/threads/bs-call-scope-private.h"

/**
 * bs_pool_trim:
 * @self: a pool
 * @target_bytes: how many bytes to hold at most
 * @cancellable: (nullable): a cancellable
 * @error: return location for an error
 *
 * Lets contents leave memory until the pool holds no more than @target_bytes,
 * blocking.
 *
 * Contents that are not yet in the backing are written first. Afterwards memory
 * may grow again up to [property@Pool:max-bytes]. A trim to less than that also gives
 * the memory back to the system, shortly after, in a thread of its own.
 *
 * Fails with %G_IO_ERROR_CANCELLED, %BS_ERROR_CLOSED if the store is closed and
 * something had to be written, %G_IO_ERROR_WOULD_BLOCK if called from inside a
 * virtual function of the store's backing or from a function called when this pool
 * lets go of a content, such as the function that frees it, and with the
 * backing's errors when a content cannot be written. Nothing is lost then: it
 * stays in memory.
 *
 * Returns: %TRUE when [property@Pool:memory-use] was down to @target_bytes
 */
gboolean
bs_pool_trim (BsPool *self, guint64 target_bytes, GCancellable *cancellable, GError **error)
{
  BsDelivery delivery;
  BsWaiter *waiter;
  BsTrim *trim;

  g_return_val_if_fail (bs_pool_has_store (self), FALSE);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  trim = bs_trim_new (bs_pool_get_cache (self), target_bytes, G_PRIORITY_DEFAULT);
  delivery = bs_trim_delivery (trim);
  waiter = bs_waiter_new_blocking (bs_backing_store_get_executor (bs_pool_get_store (self)),
                                   cancellable, &delivery);
  bs_trim_start (trim, waiter);
  bs_cache_settle (bs_pool_get_cache (self));

  /* The writes may need this very thread. A trim that is answered already stays answered. */
  if (bs_call_scope_find (bs_pool_get_store (self), BS_SCOPE_BACKING) != NULL)
    bs_waiter_answer (
      waiter, NULL,
      g_error_new_literal (
        G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK,
        "Cannot block in bs_pool_trim() inside a function of the same store's backing"));
  else if (bs_cache_is_settling (bs_pool_get_cache (self)))
    bs_waiter_answer (
      waiter, NULL,
      g_error_new_literal (
        G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK,
        "Cannot block in bs_pool_trim() from a callback of the pool's own eviction"));

  return GPOINTER_TO_INT (bs_waiter_wait (waiter, error));
}

/**
 * bs_pool_trim_async:
 * @self: a pool
 * @target_bytes: how many bytes to hold at most
 * @io_priority: the I/O priority: any integer, lower is sooner
 * @cancellable: (nullable): a cancellable
 * @callback: (scope async): called when memory is down to the target
 * @user_data: data for @callback
 *
 * Lets contents leave memory until the pool holds no more than @target_bytes.
 *
 * The asynchronous form of [method@Pool.trim]; @callback is called in the
 * thread-default main context of the caller.
 */
void
bs_pool_trim_async (BsPool *self,
                    guint64 target_bytes,
                    int io_priority,
                    GCancellable *cancellable,
                    GAsyncReadyCallback callback,
                    gpointer user_data)
{
  BsDelivery delivery;
  BsWaiter *waiter;
  BsTrim *trim;

  g_return_if_fail (bs_pool_has_store (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  trim = bs_trim_new (bs_pool_get_cache (self), target_bytes, io_priority);
  delivery = bs_trim_delivery (trim);
  waiter = bs_waiter_new_async (bs_task_new (self, cancellable, callback, user_data,
                                             bs_pool_trim_async, "bs_pool_trim_async", io_priority),
                                &delivery);
  bs_trim_start (trim, waiter);
  bs_waiter_unref (waiter);
  bs_cache_settle (bs_pool_get_cache (self));
}

/**
 * bs_pool_trim_finish:
 * @self: a pool
 * @result: the result that the callback was given
 * @error: return location for an error
 *
 * Ends [method@Pool.trim_async]; the errors are those of [method@Pool.trim].
 *
 * Returns: %TRUE when [property@Pool:memory-use] was down to the target
 */
gboolean
bs_pool_trim_finish (BsPool *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (BS_IS_POOL (self), FALSE);
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  g_return_val_if_fail (g_async_result_is_tagged (result, bs_pool_trim_async), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}
