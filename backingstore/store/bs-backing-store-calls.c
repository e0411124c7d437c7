/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-backing-store.h"

#include "store/bs-task-tracker-private.h"
#include "store/operations/bs-ask-private.h"
#include "store/operations/bs-store-private.h"

/* The operations of a store, each as a blocking call, _async and _finish: each makes a
 * request and asks. */

static gpointer
deliver_object (gpointer data, gpointer value, GError **error)
{
  return value != NULL ? g_object_ref (value) : NULL;
}

static gpointer
deliver_bytes (gpointer data, gpointer value, GError **error)
{
  return value != NULL ? g_bytes_ref (value) : NULL;
}

static const BsDelivery object_delivery = { .func = deliver_object, .value_free = g_object_unref };
static const BsDelivery bytes_delivery = { .func = deliver_bytes,
                                           .value_free = (GDestroyNotify) g_bytes_unref };

static gboolean
ask_blocking (BsBackingStore *self,
              const BsRequest *request,
              GCancellable *cancellable,
              GError **error)
{
  return GPOINTER_TO_INT (bs_ask_blocking (self, request, NULL, cancellable, error));
}

static gboolean
parse_key (const char *key, BsKey *parsed, GError **error)
{
  return bs_key_parse_error (key, "Deleting a persisted key", parsed, error);
}

/**
 * bs_backing_store_track_path:
 * @self: a store
 * @path: where blobs are, or are to be, permanent
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Prepares a path for use, cleans up after an interrupted run, and learns its
 * keys.
 *
 * The same path gives the same object while anyone holds it; calls at the same
 * time share one scan. With [class@FileBacking] a path is a directory: each name of it
 * gives the same object, whose [property@TrackedPath:file] becomes the last one asked
 * for. See [class@TrackedPath].
 *
 * Fails with %BS_ERROR_FOREIGN if there is something that is not a store,
 * %BS_ERROR_BUSY if another store or another process uses the path,
 * %BS_ERROR_NOT_SUPPORTED for a path that the backing can't use,
 * %BS_ERROR_CLOSED if the store is closed, %G_IO_ERROR_WOULD_BLOCK inside a
 * function of the store's backing, %G_IO_ERROR_CANCELLED, and with the backing's
 * errors.
 *
 * Blocks; see [method@BackingStore.track_path_async] for the asynchronous call.
 *
 * Returns: (transfer full): the tracked path, %NULL with @error set
 */
BsTrackedPath *
bs_backing_store_track_path (BsBackingStore *self,
                             GFile *path,
                             GCancellable *cancellable,
                             GError **error)
{
  BsRequest request = { .kind = BS_KIND_TRACK, .file = path };

  g_return_val_if_fail (BS_IS_BACKING_STORE (self), NULL);
  g_return_val_if_fail (G_IS_FILE (path), NULL);

  return bs_ask_blocking (self, &request, &object_delivery, cancellable, error);
}

/**
 * bs_backing_store_track_path_async:
 * @self: a store
 * @path: where blobs are, or are to be, permanent
 * @io_priority: the I/O priority of the request: any integer, lower is sooner
 * @cancellable: (nullable): a #GCancellable
 * @callback: (scope async) (closure user_data): called when it is done
 * @user_data: data for @callback
 *
 * Asynchronous [method@BackingStore.track_path].
 */
void
bs_backing_store_track_path_async (BsBackingStore *self,
                                   GFile *path,
                                   int io_priority,
                                   GCancellable *cancellable,
                                   GAsyncReadyCallback callback,
                                   gpointer user_data)
{
  BsRequest request = { .kind = BS_KIND_TRACK, .file = path };

  g_return_if_fail (BS_IS_BACKING_STORE (self));
  g_return_if_fail (G_IS_FILE (path));

  bs_ask_async (self, &request, &object_delivery,
                bs_task_new (self, cancellable, callback, user_data,
                             bs_backing_store_track_path_async, "[backingstore] track a path",
                             io_priority));
}

/**
 * bs_backing_store_track_path_finish:
 * @self: a store
 * @result: the result that the callback was given
 * @error: return location for a #GError
 *
 * Finishes [method@BackingStore.track_path_async].
 *
 * Returns: (transfer full): the tracked path, %NULL with @error set
 */
BsTrackedPath *
bs_backing_store_track_path_finish (BsBackingStore *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);
  g_return_val_if_fail (g_async_result_is_tagged (result, bs_backing_store_track_path_async), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}

/**
 * bs_backing_store_untrack_path:
 * @self: a store
 * @tracked: a tracked path of this store
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Releases a path, after the operations asked before, saves included. The last
 * reference on @tracked releases the path too, but a garbage collector may
 * delay that.
 *
 * From now on other operations on @tracked fail with %BS_ERROR_CLOSED. If
 * releasing fails, or is cancelled before its turn, the path stays tracked and
 * open. Does nothing if the path is closed already. Inside the commit function
 * of a save that it would wait for, the blocking call fails with
 * %G_IO_ERROR_WOULD_BLOCK.
 *
 * Blocks; see [method@BackingStore.untrack_path_async] for the asynchronous call.
 *
 * Returns: %TRUE on success, %FALSE with @error set
 */
gboolean
bs_backing_store_untrack_path (BsBackingStore *self,
                               BsTrackedPath *tracked,
                               GCancellable *cancellable,
                               GError **error)
{
  BsRequest request = { .kind = BS_KIND_UNTRACK, .tracked = tracked };

  g_return_val_if_fail (BS_IS_BACKING_STORE (self), FALSE);
  g_return_val_if_fail (BS_IS_TRACKED_PATH (tracked), FALSE);

  return ask_blocking (self, &request, cancellable, error);
}

/**
 * bs_backing_store_untrack_path_async:
 * @self: a store
 * @tracked: a tracked path of this store
 * @io_priority: the I/O priority of the request: any integer, lower is sooner
 * @cancellable: (nullable): a #GCancellable
 * @callback: (scope async) (closure user_data): called when it is done
 * @user_data: data for @callback
 *
 * Asynchronous [method@BackingStore.untrack_path].
 */
void
bs_backing_store_untrack_path_async (BsBackingStore *self,
                                     BsTrackedPath *tracked,
                                     int io_priority,
                                     GCancellable *cancellable,
                                     GAsyncReadyCallback callback,
                                     gpointer user_data)
{
  BsRequest request = { .kind = BS_KIND_UNTRACK, .tracked = tracked };

  g_return_if_fail (BS_IS_BACKING_STORE (self));
  g_return_if_fail (BS_IS_TRACKED_PATH (tracked));

  bs_ask_async (self, &request, NULL,
                bs_task_new (self, cancellable, callback, user_data,
                             bs_backing_store_untrack_path_async, "[backingstore] untrack a path",
                             io_priority));
}

/**
 * bs_backing_store_untrack_path_finish:
 * @self: a store
 * @result: the result that the callback was given
 * @error: return location for a #GError
 *
 * Finishes [method@BackingStore.untrack_path_async].
 *
 * Returns: %TRUE on success, %FALSE with @error set
 */
gboolean
bs_backing_store_untrack_path_finish (BsBackingStore *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  g_return_val_if_fail (g_async_result_is_tagged (result, bs_backing_store_untrack_path_async),
                        FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

/**
 * bs_backing_store_sync:
 * @self: a store
 * @tracked: a tracked path of this store
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Makes all operations durable that were asked of this path before and
 * succeeded.
 *
 * While one sync runs, all that are asked meanwhile share the next. It does not
 * wait for a [class@Save] as a whole, which syncs its blobs itself.
 *
 * After a sync that failed, the disk may lack any blob that the sync was to
 * cover, and another sync that succeeds proves nothing. So a persist that is
 * asked again reaches the backing even if the blob is there; a [class@Save]
 * persists all that it names again, items and keys. With [class@FileBacking]
 * each later sync fails, and so does a save, until everything that the first
 * one could not make durable is persisted again, or deleted by
 * [method@BackingStore.delete_persisted]. The message says so, how many blobs
 * these are, and names one. Where they are not known, untrack the path and
 * track it anew: that compares each blob with its hash, sets the bad ones
 * aside, and makes the others durable.
 *
 * Fails with %BS_ERROR_CLOSED if the store or the path is closed,
 * %BS_ERROR_MOVED if the name of the path does not lead there any more,
 * %G_IO_ERROR_INVALID_ARGUMENT if the path belongs to another store,
 * %G_IO_ERROR_WOULD_BLOCK inside a function of the store's backing,
 * %G_IO_ERROR_CANCELLED, and with the backing's errors.
 *
 * Blocks; see [method@BackingStore.sync_async] for the asynchronous call.
 *
 * Returns: %TRUE on success, %FALSE with @error set
 */
gboolean
bs_backing_store_sync (BsBackingStore *self,
                       BsTrackedPath *tracked,
                       GCancellable *cancellable,
                       GError **error)
{
  BsRequest request = { .kind = BS_KIND_SYNC, .tracked = tracked };

  g_return_val_if_fail (BS_IS_BACKING_STORE (self), FALSE);
  g_return_val_if_fail (BS_IS_TRACKED_PATH (tracked), FALSE);

  return ask_blocking (self, &request, cancellable, error);
}

/**
 * bs_backing_store_sync_async:
 * @self: a store
 * @tracked: a tracked path of this store
 * @io_priority: the I/O priority of the request: any integer, lower is sooner
 * @cancellable: (nullable): a #GCancellable
 * @callback: (scope async) (closure user_data): called when it is done
 * @user_data: data for @callback
 *
 * Asynchronous [method@BackingStore.sync].
 */
void
bs_backing_store_sync_async (BsBackingStore *self,
                             BsTrackedPath *tracked,
                             int io_priority,
                             GCancellable *cancellable,
                             GAsyncReadyCallback callback,
                             gpointer user_data)
{
  BsRequest request = { .kind = BS_KIND_SYNC, .tracked = tracked };

  g_return_if_fail (BS_IS_BACKING_STORE (self));
  g_return_if_fail (BS_IS_TRACKED_PATH (tracked));

  bs_ask_async (self, &request, NULL,
                bs_task_new (self, cancellable, callback, user_data, bs_backing_store_sync_async,
                             "[backingstore] sync", io_priority));
}

/**
 * bs_backing_store_sync_finish:
 * @self: a store
 * @result: the result that the callback was given
 * @error: return location for a #GError
 *
 * Finishes [method@BackingStore.sync_async].
 *
 * Returns: %TRUE on success, %FALSE with @error set
 */
gboolean
bs_backing_store_sync_finish (BsBackingStore *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  g_return_val_if_fail (g_async_result_is_tagged (result, bs_backing_store_sync_async), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

/**
 * bs_backing_store_delete_persisted:
 * @self: a store
 * @tracked: a tracked path of this store
 * @key: a key
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Deletes a key from a path. Does nothing, successfully, if it is not there.
 *
 * Fails with %BS_ERROR_INVALID_KEY if @key is not a key, and with
 * %BS_ERROR_BUSY if a running [class@Save] of the path names it.
 *
 * Blocks; see [method@BackingStore.delete_persisted_async] for the asynchronous call.
 *
 * Returns: %TRUE on success, %FALSE with @error set
 */
gboolean
bs_backing_store_delete_persisted (BsBackingStore *self,
                                   BsTrackedPath *tracked,
                                   const char *key,
                                   GCancellable *cancellable,
                                   GError **error)
{
  BsKey parsed;
  BsRequest request = { .kind = BS_KIND_DELETE_PERSISTED, .tracked = tracked, .key = &parsed };

  g_return_val_if_fail (BS_IS_BACKING_STORE (self), FALSE);
  g_return_val_if_fail (BS_IS_TRACKED_PATH (tracked), FALSE);
  g_return_val_if_fail (key != NULL, FALSE);

  return parse_key (key, &parsed, error) && ask_blocking (self, &request, cancellable, error);
}

/**
 * bs_backing_store_delete_persisted_async:
 * @self: a store
 * @tracked: a tracked path of this store
 * @key: a key
 * @io_priority: the I/O priority of the request: any integer, lower is sooner
 * @cancellable: (nullable): a #GCancellable
 * @callback: (scope async) (closure user_data): called when it is done
 * @user_data: data for @callback
 *
 * Asynchronous [method@BackingStore.delete_persisted].
 */
void
bs_backing_store_delete_persisted_async (BsBackingStore *self,
                                         BsTrackedPath *tracked,
                                         const char *key,
                                         int io_priority,
                                         GCancellable *cancellable,
                                         GAsyncReadyCallback callback,
                                         gpointer user_data)
{
  BsKey parsed;
  BsRequest request = { .kind = BS_KIND_DELETE_PERSISTED, .tracked = tracked, .key = &parsed };
  GError *error = NULL;
  GTask *task;

  g_return_if_fail (BS_IS_BACKING_STORE (self));
  g_return_if_fail (BS_IS_TRACKED_PATH (tracked));
  g_return_if_fail (key != NULL);

  task =
    bs_task_new (self, cancellable, callback, user_data, bs_backing_store_delete_persisted_async,
                 "[backingstore] delete a persisted key", io_priority);
  if (parse_key (key, &parsed, &error))
    bs_ask_async (self, &request, NULL, task);
  else
    bs_answer_async (task, NULL, NULL, error);
}

/**
 * bs_backing_store_delete_persisted_finish:
 * @self: a store
 * @result: the result that the callback was given
 * @error: return location for a #GError
 *
 * Finishes [method@BackingStore.delete_persisted_async].
 *
 * Returns: %TRUE on success, %FALSE with @error set
 */
gboolean
bs_backing_store_delete_persisted_finish (BsBackingStore *self,
                                          GAsyncResult *result,
                                          GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  g_return_val_if_fail (g_async_result_is_tagged (result, bs_backing_store_delete_persisted_async),
                        FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

/**
 * bs_backing_store_delete_persisted_keys:
 * @self: a store
 * @tracked: a tracked path of this store
 * @keys: which keys
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Deletes many keys from a path in one task. Keys that are not there are passed
 * over.
 *
 * This is not one transaction: each key is deleted in its own turn, and the
 * others are deleted even if one can't be. The error says how many were. An
 * operation asked meanwhile on one of the keys may come before or after. Keys that a
 * running [class@Save] of the path names stay, and the call fails with %BS_ERROR_BUSY.
 * @keys is copied before the call returns.
 *
 * Blocks; see [method@BackingStore.delete_persisted_keys_async] for the asynchronous call.
 *
 * Returns: %TRUE on success, %FALSE with @error set
 */
gboolean
bs_backing_store_delete_persisted_keys (BsBackingStore *self,
                                        BsTrackedPath *tracked,
                                        BsKeySet *keys,
                                        GCancellable *cancellable,
                                        GError **error)
{
  BsRequest request = { .kind = BS_KIND_DELETE_KEYS, .tracked = tracked, .keys = keys };

  g_return_val_if_fail (BS_IS_BACKING_STORE (self), FALSE);
  g_return_val_if_fail (BS_IS_TRACKED_PATH (tracked), FALSE);
  g_return_val_if_fail (BS_IS_KEY_SET (keys), FALSE);

  return ask_blocking (self, &request, cancellable, error);
}

/**
 * bs_backing_store_delete_persisted_keys_async:
 * @self: a store
 * @tracked: a tracked path of this store
 * @keys: which keys
 * @io_priority: the I/O priority of the request: any integer, lower is sooner
 * @cancellable: (nullable): a #GCancellable
 * @callback: (scope async) (closure user_data): called when it is done
 * @user_data: data for @callback
 *
 * Asynchronous [method@BackingStore.delete_persisted_keys].
 */
void
bs_backing_store_delete_persisted_keys_async (BsBackingStore *self,
                                              BsTrackedPath *tracked,
                                              BsKeySet *keys,
                                              int io_priority,
                                              GCancellable *cancellable,
                                              GAsyncReadyCallback callback,
                                              gpointer user_data)
{
  BsRequest request = { .kind = BS_KIND_DELETE_KEYS, .tracked = tracked, .keys = keys };

  g_return_if_fail (BS_IS_BACKING_STORE (self));
  g_return_if_fail (BS_IS_TRACKED_PATH (tracked));
  g_return_if_fail (BS_IS_KEY_SET (keys));

  bs_ask_async (self, &request, NULL,
                bs_task_new (self, cancellable, callback, user_data,
                             bs_backing_store_delete_persisted_keys_async,
                             "[backingstore] delete persisted keys", io_priority));
}

/**
 * bs_backing_store_delete_persisted_keys_finish:
 * @self: a store
 * @result: the result that the callback was given
 * @error: return location for a #GError
 *
 * Finishes [method@BackingStore.delete_persisted_keys_async].
 *
 * Returns: %TRUE on success, %FALSE with @error set
 */
gboolean
bs_backing_store_delete_persisted_keys_finish (BsBackingStore *self,
                                               GAsyncResult *result,
                                               GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  g_return_val_if_fail (g_async_result_is_tagged (result,
                                                  bs_backing_store_delete_persisted_keys_async),
                        FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

/**
 * bs_backing_store_run_in_thread:
 * @self: a store
 * @func: (scope notified) (closure func_data) (destroy func_data_destroy): a function that may block
 * @func_data: data for @func
 * @func_data_destroy: (nullable): frees @func_data, in the caller's context, after @func has run or was cancelled
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Runs an application's function that may block, counted by the task tracker.
 *
 * The asynchronous call runs it in the store's threads, the blocking one on the
 * calling thread; with [property@BackingStore:main-context] set both run it
 * there. It may make blocking calls on this store, and ask it for asynchronous
 * ones and wait for them. @func gets the caller's own cancellable. A function
 * that is cancelled before it runs is not run.
 *
 * Fails with the error of @func; with %BS_ERROR_FAILED where it returns %FALSE
 * without an error.
 *
 * Blocks; see [method@BackingStore.run_in_thread_async] for the asynchronous call.
 *
 * Returns: %TRUE on success, %FALSE with @error set
 */
gboolean
bs_backing_store_run_in_thread (BsBackingStore *self,
                                BsTaskFunc func,
                                gpointer func_data,
                                GDestroyNotify func_data_destroy,
                                GCancellable *cancellable,
                                GError **error)
{
  BsRequest request = { .kind = BS_KIND_FUNCTION, .function = func, .data = func_data };
  BsDelivery delivery = { .context_data = func_data, .context_data_free = func_data_destroy };

  g_return_val_if_fail (BS_IS_BACKING_STORE (self), FALSE);
  g_return_val_if_fail (func != NULL, FALSE);

  return GPOINTER_TO_INT (bs_ask_blocking (self, &request, &delivery, cancellable, error));
}

/**
 * bs_backing_store_run_in_thread_async:
 * @self: a store
 * @func: (scope notified) (closure func_data) (destroy func_data_destroy): a function that may block
 * @func_data: data for @func
 * @func_data_destroy: (nullable): frees @func_data, in the caller's context, after @func has run or was cancelled
 * @io_priority: the I/O priority of the request: any integer, lower is sooner
 * @cancellable: (nullable): a #GCancellable
 * @callback: (scope async) (closure user_data): called when it is done
 * @user_data: data for @callback
 *
 * Asynchronous [method@BackingStore.run_in_thread].
 */
void
bs_backing_store_run_in_thread_async (BsBackingStore *self,
                                      BsTaskFunc func,
                                      gpointer func_data,
                                      GDestroyNotify func_data_destroy,
                                      int io_priority,
                                      GCancellable *cancellable,
                                      GAsyncReadyCallback callback,
                                      gpointer user_data)
{
  BsRequest request = { .kind = BS_KIND_FUNCTION, .function = func, .data = func_data };
  BsDelivery delivery = { .context_data = func_data, .context_data_free = func_data_destroy };

  g_return_if_fail (BS_IS_BACKING_STORE (self));
  g_return_if_fail (func != NULL);

  bs_ask_async (self, &request, &delivery,
                bs_task_new (self, cancellable, callback, user_data,
                             bs_backing_store_run_in_thread_async, "[backingstore] run a function",
                             io_priority));
}

/**
 * bs_backing_store_run_in_thread_finish:
 * @self: a store
 * @result: the result that the callback was given
 * @error: return location for a #GError
 *
 * Finishes [method@BackingStore.run_in_thread_async].
 *
 * Returns: %TRUE on success, %FALSE with @error set
 */
gboolean
bs_backing_store_run_in_thread_finish (BsBackingStore *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  g_return_val_if_fail (g_async_result_is_tagged (result, bs_backing_store_run_in_thread_async),
                        FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

/**
 * bs_backing_store_run_task: (skip)
 * @self: a store
 * @task: a task
 * @task_func: (scope async): the function to run
 *
 * Runs a function like g_task_run_in_thread(), but in the store's threads for
 * application functions, counted by the task tracker, and with the task's
 * priority.
 *
 * @task_func must return the task. If the task is cancelled before its turn, or
 * the store is closed, it is returned with that error and @task_func is not
 * called. The store lets go of the task in the task's own context.
 */
void
bs_backing_store_run_task (BsBackingStore *self, GTask *task, GTaskThreadFunc task_func)
{
  BsRequest request = { .kind = BS_KIND_FUNCTION, .task_function = task_func };

  g_return_if_fail (BS_IS_BACKING_STORE (self));
  g_return_if_fail (G_IS_TASK (task));
  g_return_if_fail (task_func != NULL);

  bs_ask_async (self, &request, NULL, g_object_ref (task));
}

/**
 * bs_backing_store_load_root:
 * @self: a store
 * @tracked: a tracked path of this store
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Loads the root blob of the last save at a path.
 *
 * Fails with %BS_ERROR_NOT_FOUND if there is none, with
 * %BS_ERROR_NOT_SUPPORTED if the backing has no root blobs.
 *
 * Blocks; see [method@BackingStore.load_root_async] for the asynchronous call.
 *
 * Returns: (transfer full): the root blob, %NULL with @error set
 */
GBytes *
bs_backing_store_load_root (BsBackingStore *self,
                            BsTrackedPath *tracked,
                            GCancellable *cancellable,
                            GError **error)
{
  BsRequest request = { .kind = BS_KIND_LOAD_ROOT, .tracked = tracked };

  g_return_val_if_fail (BS_IS_BACKING_STORE (self), NULL);
  g_return_val_if_fail (BS_IS_TRACKED_PATH (tracked), NULL);

  return bs_ask_blocking (self, &request, &bytes_delivery, cancellable, error);
}

/**
 * bs_backing_store_load_root_async:
 * @self: a store
 * @tracked: a tracked path of this store
 * @io_priority: the I/O priority of the request: any integer, lower is sooner
 * @cancellable: (nullable): a #GCancellable
 * @callback: (scope async) (closure user_data): called when it is done
 * @user_data: data for @callback
 *
 * Asynchronous [method@BackingStore.load_root].
 */
void
bs_backing_store_load_root_async (BsBackingStore *self,
                                  BsTrackedPath *tracked,
                                  int io_priority,
                                  GCancellable *cancellable,
                                  GAsyncReadyCallback callback,
                                  gpointer user_data)
{
  BsRequest request = { .kind = BS_KIND_LOAD_ROOT, .tracked = tracked };

  g_return_if_fail (BS_IS_BACKING_STORE (self));
  g_return_if_fail (BS_IS_TRACKED_PATH (tracked));

  bs_ask_async (self, &request, &bytes_delivery,
                bs_task_new (self, cancellable, callback, user_data,
                             bs_backing_store_load_root_async, "[backingstore] load the root blob",
                             io_priority));
}

/**
 * bs_backing_store_load_root_finish:
 * @self: a store
 * @result: the result that the callback was given
 * @error: return location for a #GError
 *
 * Finishes [method@BackingStore.load_root_async].
 *
 * Returns: (transfer full): the root blob, %NULL with @error set
 */
GBytes *
bs_backing_store_load_root_finish (BsBackingStore *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);
  g_return_val_if_fail (g_async_result_is_tagged (result, bs_backing_store_load_root_async), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}

/**
 * bs_backing_store_wait_finished:
 * @self: a store
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Closes the task tracker, and waits until every queued or running task has
 * finished and handed over its result, delayed deletions included.
 *
 * Work asked for afterwards is still done; [method@TaskTracker.reopen] opens
 * the tracker again.
 *
 * Blocks; from inside one of the store's tasks it fails with
 * %G_IO_ERROR_WOULD_BLOCK. See [method@BackingStore.wait_finished_async] for
 * the asynchronous call.
 *
 * Returns: %TRUE on success, %FALSE with @error set
 */
gboolean
bs_backing_store_wait_finished (BsBackingStore *self, GCancellable *cancellable, GError **error)
{
  g_return_val_if_fail (BS_IS_BACKING_STORE (self), FALSE);

  bs_task_tracker_close (self->tracker);
  return bs_task_tracker_wait_blocking (self->tracker, "Waiting until the store has finished",
                                        cancellable, error);
}

/**
 * bs_backing_store_wait_finished_async:
 * @self: a store
 * @io_priority: the I/O priority of the request: any integer, lower is sooner
 * @cancellable: (nullable): a #GCancellable
 * @callback: (scope async) (closure user_data): called when it is done
 * @user_data: data for @callback
 *
 * Asynchronous [method@BackingStore.wait_finished].
 */
void
bs_backing_store_wait_finished_async (BsBackingStore *self,
                                      int io_priority,
                                      GCancellable *cancellable,
                                      GAsyncReadyCallback callback,
                                      gpointer user_data)
{
  g_return_if_fail (BS_IS_BACKING_STORE (self));

  bs_task_tracker_close (self->tracker);
  bs_task_tracker_start_wait (self->tracker,
                              bs_task_new (self, cancellable, callback, user_data,
                                           bs_backing_store_wait_finished_async,
                                           "[backingstore] wait until finished", io_priority));
}

/**
 * bs_backing_store_wait_finished_finish:
 * @self: a store
 * @result: the result that the callback was given
 * @error: return location for a #GError
 *
 * Finishes [method@BackingStore.wait_finished_async].
 *
 * Returns: %TRUE on success, %FALSE with @error set
 */
gboolean
bs_backing_store_wait_finished_finish (BsBackingStore *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  g_return_val_if_fail (g_async_result_is_tagged (result, bs_backing_store_wait_finished_async),
                        FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

/**
 * bs_backing_store_close:
 * @self: a store
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Refuses new work with %BS_ERROR_CLOSED, finishes earlier work, and releases
 * the paths and the backing.
 *
 * Loads are not finished, for no caller will see them: queued ones fail with
 * %BS_ERROR_CLOSED at once, and running ones are cancelled, whether in the backing or
 * in a codec. A blocking load without a cancellable ends by itself.
 *
 * Content in memory stays loadable; content in primary storage may be gone.
 * Closing again does nothing. If the close is cancelled while earlier
 * operations go on, the store is open again, and so it is if the cancellation
 * ends the release of a path or of the backing early: paths that were released
 * before that stay closed. A release that fails otherwise is reported, and the
 * store is closed all the same. From inside one of the store's tasks the
 * blocking call fails with %G_IO_ERROR_WOULD_BLOCK.
 *
 * Blocks; see [method@BackingStore.close_async] for the asynchronous call.
 *
 * Returns: %TRUE on success, %FALSE with @error set
 */
gboolean
bs_backing_store_close (BsBackingStore *self, GCancellable *cancellable, GError **error)
{
  BsRequest request = { .kind = BS_KIND_CLOSE };

  g_return_val_if_fail (BS_IS_BACKING_STORE (self), FALSE);

  return ask_blocking (self, &request, cancellable, error);
}

/**
 * bs_backing_store_close_async:
 * @self: a store
 * @io_priority: the I/O priority of the request: any integer, lower is sooner
 * @cancellable: (nullable): a #GCancellable
 * @callback: (scope async) (closure user_data): called when it is done
 * @user_data: data for @callback
 *
 * Asynchronous [method@BackingStore.close].
 */
void
bs_backing_store_close_async (BsBackingStore *self,
                              int io_priority,
                              GCancellable *cancellable,
                              GAsyncReadyCallback callback,
                              gpointer user_data)
{
  BsRequest request = { .kind = BS_KIND_CLOSE };

  g_return_if_fail (BS_IS_BACKING_STORE (self));

  bs_ask_async (self, &request, NULL,
                bs_task_new (self, cancellable, callback, user_data, bs_backing_store_close_async,
                             "[backingstore] close", io_priority));
}

/**
 * bs_backing_store_close_finish:
 * @self: a store
 * @result: the result that the callback was given
 * @error: return location for a #GError
 *
 * Finishes [method@BackingStore.close_async].
 *
 * Returns: %TRUE on success, %FALSE with @error set
 */
gboolean
bs_backing_store_close_finish (BsBackingStore *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  g_return_val_if_fail (g_async_result_is_tagged (result, bs_backing_store_close_async), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}
