/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <gio/gio.h>

#include <backingstore/bs-version.h>
#include <backingstore/pool/bs-item.h>
#include <backingstore/pool/bs-pool.h>
#include <backingstore/store/bs-tracked-path.h>

G_BEGIN_DECLS

BS_AVAILABLE_IN_1_0
BsItem     *bs_pool_insert             (BsPool *self, GBytes *bytes) G_GNUC_WARN_UNUSED_RESULT;
BS_AVAILABLE_IN_1_0
BsItem     *bs_pool_insert_object      (BsPool *self, GObject *object, GError **error) G_GNUC_WARN_UNUSED_RESULT;

BS_AVAILABLE_IN_1_0
BsItem     *bs_pool_lookup             (BsPool *self, const char *key) G_GNUC_WARN_UNUSED_RESULT;

BS_AVAILABLE_IN_1_0
BsItem     *bs_pool_register           (BsPool *self, BsTrackedPath *tracked, const char *key, GCancellable *cancellable, GError **error) G_GNUC_WARN_UNUSED_RESULT;
BS_AVAILABLE_IN_1_0
void        bs_pool_register_async     (BsPool *self, BsTrackedPath *tracked, const char *key, int io_priority, GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data);
BS_AVAILABLE_IN_1_0
BsItem     *bs_pool_register_finish    (BsPool *self, GAsyncResult *result, GError **error) G_GNUC_WARN_UNUSED_RESULT;

BS_AVAILABLE_IN_1_0
GListModel *bs_pool_register_all       (BsPool *self, BsTrackedPath *tracked, GCancellable *cancellable, GError **error) G_GNUC_WARN_UNUSED_RESULT;
BS_AVAILABLE_IN_1_0
void        bs_pool_register_all_async (BsPool *self, BsTrackedPath *tracked, int io_priority, GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data);
BS_AVAILABLE_IN_1_0
GListModel *bs_pool_register_all_finish(BsPool *self, GAsyncResult *result, GError **error) G_GNUC_WARN_UNUSED_RESULT;

BS_AVAILABLE_IN_1_0
GListModel *bs_pool_follow             (BsPool *self, BsTrackedPath *tracked, GCancellable *cancellable, GError **error) G_GNUC_WARN_UNUSED_RESULT;
BS_AVAILABLE_IN_1_0
void        bs_pool_follow_async       (BsPool *self, BsTrackedPath *tracked, int io_priority, GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data);
BS_AVAILABLE_IN_1_0
GListModel *bs_pool_follow_finish      (BsPool *self, GAsyncResult *result, GError **error) G_GNUC_WARN_UNUSED_RESULT;

BS_AVAILABLE_IN_1_0
BsItem     *bs_pool_insert_file          (BsPool *self, GFile *file, GCancellable *cancellable, GError **error) G_GNUC_WARN_UNUSED_RESULT;
BS_AVAILABLE_IN_1_0
void        bs_pool_insert_file_async    (BsPool *self, GFile *file, int io_priority, GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data);
BS_AVAILABLE_IN_1_0
BsItem     *bs_pool_insert_file_finish   (BsPool *self, GAsyncResult *result, GError **error) G_GNUC_WARN_UNUSED_RESULT;

BS_AVAILABLE_IN_1_0
BsItem     *bs_pool_insert_stream        (BsPool *self, GInputStream *stream, GCancellable *cancellable, GError **error) G_GNUC_WARN_UNUSED_RESULT;
BS_AVAILABLE_IN_1_0
void        bs_pool_insert_stream_async  (BsPool *self, GInputStream *stream, int io_priority, GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data);
BS_AVAILABLE_IN_1_0
BsItem     *bs_pool_insert_stream_finish (BsPool *self, GAsyncResult *result, GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
