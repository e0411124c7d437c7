/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <gio/gio.h>

#include <backingstore/base/bs-backing.h>
#include <backingstore/bs-version.h>
#include <backingstore/store/bs-task-tracker.h>
#include <backingstore/store/bs-tracked-path.h>

G_BEGIN_DECLS

#define BS_TYPE_BACKING_STORE (bs_backing_store_get_type ())
BS_AVAILABLE_IN_1_0
G_DECLARE_FINAL_TYPE (BsBackingStore, bs_backing_store, BS, BACKING_STORE, GObject)

/**
 * BsTaskFunc:
 * @store: the store
 * @cancellable: (nullable): fires when the caller has lost interest
 * @user_data: the data given beside the function
 * @error: return location for a #GError
 *
 * An application's function that may block.
 *
 * The function runs in one of the store's threads, or in the store's
 * [property@BackingStore:main-context] when that is set. It may make blocking
 * calls on the store, [method@BackingStore.wait_finished] and
 * [method@BackingStore.close] excepted.
 *
 * Returns: %TRUE on success, %FALSE with @error set
 */
typedef gboolean (*BsTaskFunc) (BsBackingStore *store, GCancellable *cancellable, gpointer user_data, GError **error);

BS_AVAILABLE_IN_1_0
BsBackingStore *bs_backing_store_new              (BsBacking *backing) G_GNUC_WARN_UNUSED_RESULT;
BS_AVAILABLE_IN_1_0
BsBackingStore *bs_backing_store_new_in_context   (BsBacking *backing, GMainContext *main_context) G_GNUC_WARN_UNUSED_RESULT;
BS_AVAILABLE_IN_1_0
BsBacking      *bs_backing_store_get_backing      (BsBackingStore *self);
BS_AVAILABLE_IN_1_0
GMainContext   *bs_backing_store_get_main_context (BsBackingStore *self);
BS_AVAILABLE_IN_1_0
guint           bs_backing_store_get_max_threads  (BsBackingStore *self);
BS_AVAILABLE_IN_1_0
void            bs_backing_store_set_max_threads  (BsBackingStore *self, guint max_threads);
BS_AVAILABLE_IN_1_0
int             bs_backing_store_get_thread_nice  (BsBackingStore *self);
BS_AVAILABLE_IN_1_0
void            bs_backing_store_set_thread_nice  (BsBackingStore *self, int nice);
BS_AVAILABLE_IN_1_0
BsTaskTracker  *bs_backing_store_get_task_tracker (BsBackingStore *self);

BS_AVAILABLE_IN_1_0
BsTrackedPath *bs_backing_store_track_path (BsBackingStore *self, GFile *path, GCancellable *cancellable, GError **error) G_GNUC_WARN_UNUSED_RESULT;
BS_AVAILABLE_IN_1_0
void bs_backing_store_track_path_async (BsBackingStore *self, GFile *path, int io_priority, GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data);
BS_AVAILABLE_IN_1_0
BsTrackedPath *bs_backing_store_track_path_finish (BsBackingStore *self, GAsyncResult *result, GError **error) G_GNUC_WARN_UNUSED_RESULT;

BS_AVAILABLE_IN_1_0
gboolean bs_backing_store_untrack_path (BsBackingStore *self, BsTrackedPath *tracked, GCancellable *cancellable, GError **error);
BS_AVAILABLE_IN_1_0
void bs_backing_store_untrack_path_async (BsBackingStore *self, BsTrackedPath *tracked, int io_priority, GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data);
BS_AVAILABLE_IN_1_0
gboolean bs_backing_store_untrack_path_finish (BsBackingStore *self, GAsyncResult *result, GError **error);

BS_AVAILABLE_IN_1_0
gboolean bs_backing_store_sync (BsBackingStore *self, BsTrackedPath *tracked, GCancellable *cancellable, GError **error);
BS_AVAILABLE_IN_1_0
void bs_backing_store_sync_async (BsBackingStore *self, BsTrackedPath *tracked, int io_priority, GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data);
BS_AVAILABLE_IN_1_0
gboolean bs_backing_store_sync_finish (BsBackingStore *self, GAsyncResult *result, GError **error);

BS_AVAILABLE_IN_1_0
gboolean bs_backing_store_delete_persisted (BsBackingStore *self, BsTrackedPath *tracked, const char *key, GCancellable *cancellable, GError **error);
BS_AVAILABLE_IN_1_0
void bs_backing_store_delete_persisted_async (BsBackingStore *self, BsTrackedPath *tracked, const char *key, int io_priority, GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data);
BS_AVAILABLE_IN_1_0
gboolean bs_backing_store_delete_persisted_finish (BsBackingStore *self, GAsyncResult *result, GError **error);

BS_AVAILABLE_IN_1_0
gboolean bs_backing_store_delete_persisted_keys (BsBackingStore *self, BsTrackedPath *tracked, BsKeySet *keys, GCancellable *cancellable, GError **error);
BS_AVAILABLE_IN_1_0
void bs_backing_store_delete_persisted_keys_async (BsBackingStore *self, BsTrackedPath *tracked, BsKeySet *keys, int io_priority, GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data);
BS_AVAILABLE_IN_1_0
gboolean bs_backing_store_delete_persisted_keys_finish (BsBackingStore *self, GAsyncResult *result, GError **error);

BS_AVAILABLE_IN_1_0
gboolean bs_backing_store_run_in_thread (BsBackingStore *self, BsTaskFunc func, gpointer func_data, GDestroyNotify func_data_destroy, GCancellable *cancellable, GError **error);
BS_AVAILABLE_IN_1_0
void bs_backing_store_run_in_thread_async (BsBackingStore *self, BsTaskFunc func, gpointer func_data, GDestroyNotify func_data_destroy, int io_priority, GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data);
BS_AVAILABLE_IN_1_0
gboolean bs_backing_store_run_in_thread_finish (BsBackingStore *self, GAsyncResult *result, GError **error);

BS_AVAILABLE_IN_1_0
void bs_backing_store_run_task (BsBackingStore *self, GTask *task, GTaskThreadFunc task_func);

BS_AVAILABLE_IN_1_0
GBytes *bs_backing_store_load_root (BsBackingStore *self, BsTrackedPath *tracked, GCancellable *cancellable, GError **error) G_GNUC_WARN_UNUSED_RESULT;
BS_AVAILABLE_IN_1_0
void bs_backing_store_load_root_async (BsBackingStore *self, BsTrackedPath *tracked, int io_priority, GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data);
BS_AVAILABLE_IN_1_0
GBytes *bs_backing_store_load_root_finish (BsBackingStore *self, GAsyncResult *result, GError **error) G_GNUC_WARN_UNUSED_RESULT;

BS_AVAILABLE_IN_1_0
gboolean bs_backing_store_wait_finished (BsBackingStore *self, GCancellable *cancellable, GError **error);
BS_AVAILABLE_IN_1_0
void bs_backing_store_wait_finished_async (BsBackingStore *self, int io_priority, GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data);
BS_AVAILABLE_IN_1_0
gboolean bs_backing_store_wait_finished_finish (BsBackingStore *self, GAsyncResult *result, GError **error);

BS_AVAILABLE_IN_1_0
gboolean bs_backing_store_close (BsBackingStore *self, GCancellable *cancellable, GError **error);
BS_AVAILABLE_IN_1_0
void bs_backing_store_close_async (BsBackingStore *self, int io_priority, GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data);
BS_AVAILABLE_IN_1_0
gboolean bs_backing_store_close_finish (BsBackingStore *self, GAsyncResult *result, GError **error);

G_END_DECLS
