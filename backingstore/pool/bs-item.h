/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <gio/gio.h>

#include <backingstore/bs-version.h>
#include <backingstore/pool/bs-pool.h>
#include <backingstore/store/bs-tracked-path.h>

G_BEGIN_DECLS

#define BS_TYPE_ITEM (bs_item_get_type ())
BS_AVAILABLE_IN_1_0
G_DECLARE_FINAL_TYPE (BsItem, bs_item, BS, ITEM, GObject)

BS_AVAILABLE_IN_1_0
char     *bs_item_dup_key        (BsItem *self) G_GNUC_WARN_UNUSED_RESULT;
BS_AVAILABLE_IN_1_0
BsPool   *bs_item_get_pool       (BsItem *self);
BS_AVAILABLE_IN_1_0
gint64    bs_item_get_size       (BsItem *self);
BS_AVAILABLE_IN_1_0
GBytes   *bs_item_try_load       (BsItem *self) G_GNUC_WARN_UNUSED_RESULT;
BS_AVAILABLE_IN_1_0
GObject  *bs_item_try_load_object (BsItem *self) G_GNUC_WARN_UNUSED_RESULT;
BS_AVAILABLE_IN_1_0
void      bs_item_replace        (BsItem *self, GBytes *bytes);
BS_AVAILABLE_IN_1_0
gboolean      bs_item_replace_object (BsItem *self, GObject *object, GError **error);
BS_AVAILABLE_IN_1_0
BsItem   *bs_item_copy           (BsItem *self) G_GNUC_WARN_UNUSED_RESULT;

BS_AVAILABLE_IN_1_0
GBytes   *bs_item_load           (BsItem *self, GCancellable *cancellable, GError **error) G_GNUC_WARN_UNUSED_RESULT;
BS_AVAILABLE_IN_1_0
void      bs_item_load_async     (BsItem *self, int io_priority, GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data);
BS_AVAILABLE_IN_1_0
GBytes   *bs_item_load_finish    (BsItem *self, GAsyncResult *result, GError **error) G_GNUC_WARN_UNUSED_RESULT;

BS_AVAILABLE_IN_1_0
GObject  *bs_item_load_object        (BsItem *self, GCancellable *cancellable, GError **error) G_GNUC_WARN_UNUSED_RESULT;
BS_AVAILABLE_IN_1_0
void      bs_item_load_object_async  (BsItem *self, int io_priority, GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data);
BS_AVAILABLE_IN_1_0
GObject  *bs_item_load_object_finish (BsItem *self, GAsyncResult *result, GError **error) G_GNUC_WARN_UNUSED_RESULT;

BS_AVAILABLE_IN_1_0
gboolean  bs_item_write          (BsItem *self, GCancellable *cancellable, GError **error);
BS_AVAILABLE_IN_1_0
void      bs_item_write_async    (BsItem *self, int io_priority, GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data);
BS_AVAILABLE_IN_1_0
gboolean  bs_item_write_finish   (BsItem *self, GAsyncResult *result, GError **error);

BS_AVAILABLE_IN_1_0
gboolean  bs_item_persist        (BsItem *self, BsTrackedPath *tracked, GCancellable *cancellable, GError **error);
BS_AVAILABLE_IN_1_0
void      bs_item_persist_async  (BsItem *self, BsTrackedPath *tracked, int io_priority, GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data);
BS_AVAILABLE_IN_1_0
gboolean  bs_item_persist_finish (BsItem *self, GAsyncResult *result, GError **error);

BS_AVAILABLE_IN_1_0
GInputStream *bs_item_read         (BsItem *self, GCancellable *cancellable, GError **error) G_GNUC_WARN_UNUSED_RESULT;
BS_AVAILABLE_IN_1_0
void      bs_item_read_async     (BsItem *self, int io_priority, GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data);
BS_AVAILABLE_IN_1_0
GInputStream *bs_item_read_finish  (BsItem *self, GAsyncResult *result, GError **error) G_GNUC_WARN_UNUSED_RESULT;

BS_AVAILABLE_IN_1_0
gboolean  bs_item_copy_to_file        (BsItem *self, GFile *file, GCancellable *cancellable, GError **error);
BS_AVAILABLE_IN_1_0
void      bs_item_copy_to_file_async  (BsItem *self, GFile *file, int io_priority, GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data);
BS_AVAILABLE_IN_1_0
gboolean  bs_item_copy_to_file_finish (BsItem *self, GAsyncResult *result, GError **error);

G_END_DECLS
