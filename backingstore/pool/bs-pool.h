/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

#include <backingstore/bs-version.h>
#include <backingstore/pool/bs-codec.h>
#include <backingstore/pool/bs-item.h>
#include <backingstore/pool/bs-pool-stats.h>
#include <backingstore/store/bs-backing-store.h>

G_BEGIN_DECLS

#define BS_TYPE_POOL (bs_pool_get_type ())
BS_AVAILABLE_IN_1_0
G_DECLARE_FINAL_TYPE (BsPool, bs_pool, BS, POOL, GObject)

/* Of an item, declared where there is a BsPool: C99 takes one typedef of a name. */
BS_AVAILABLE_IN_1_0
BsPool *bs_item_get_pool (BsItem *self);

BS_AVAILABLE_IN_1_0
BsPool         *bs_pool_new                    (BsBackingStore *store, guint64 max_bytes) G_GNUC_WARN_UNUSED_RESULT;
BS_AVAILABLE_IN_1_0
BsPool         *bs_pool_new_with_codec         (BsBackingStore *store, BsCodec *codec, guint64 max_bytes) G_GNUC_WARN_UNUSED_RESULT;
BS_AVAILABLE_IN_1_0
BsBackingStore *bs_pool_get_store              (BsPool *self);
BS_AVAILABLE_IN_1_0
BsCodec        *bs_pool_get_codec              (BsPool *self);
BS_AVAILABLE_IN_1_0
guint64         bs_pool_get_max_bytes          (BsPool *self);
BS_AVAILABLE_IN_1_0
void            bs_pool_set_max_bytes          (BsPool *self, guint64 max_bytes);
BS_AVAILABLE_IN_1_0
guint           bs_pool_get_max_items          (BsPool *self);
BS_AVAILABLE_IN_1_0
void            bs_pool_set_max_items          (BsPool *self, guint max_items);
BS_AVAILABLE_IN_1_0
guint64         bs_pool_get_memory_use         (BsPool *self);
BS_AVAILABLE_IN_1_0
guint64         bs_pool_get_memory_in_use      (BsPool *self);
BS_AVAILABLE_IN_1_0
guint           bs_pool_get_n_items            (BsPool *self);
BS_AVAILABLE_IN_1_0
guint           bs_pool_get_n_resident         (BsPool *self);
BS_AVAILABLE_IN_1_0
gboolean        bs_pool_get_trim_on_low_memory (BsPool *self);
BS_AVAILABLE_IN_1_0
void            bs_pool_set_trim_on_low_memory (BsPool *self, gboolean trim_on_low_memory);
BS_AVAILABLE_IN_1_0
BsPoolStats    *bs_pool_get_stats              (BsPool *self) G_GNUC_WARN_UNUSED_RESULT;

BS_AVAILABLE_IN_1_0
BsItem         *bs_pool_insert                 (BsPool *self, GBytes *bytes) G_GNUC_WARN_UNUSED_RESULT;
BS_AVAILABLE_IN_1_0
BsItem         *bs_pool_insert_object          (BsPool *self, GObject *object) G_GNUC_WARN_UNUSED_RESULT;

BS_AVAILABLE_IN_1_0
BsItem         *bs_pool_register               (BsPool *self, BsTrackedPath *tracked, const char *key, GCancellable *cancellable, GError **error) G_GNUC_WARN_UNUSED_RESULT;
BS_AVAILABLE_IN_1_0
void            bs_pool_register_async         (BsPool *self, BsTrackedPath *tracked, const char *key, int io_priority, GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data);
BS_AVAILABLE_IN_1_0
BsItem         *bs_pool_register_finish        (BsPool *self, GAsyncResult *result, GError **error) G_GNUC_WARN_UNUSED_RESULT;

BS_AVAILABLE_IN_1_0
GListModel     *bs_pool_register_all           (BsPool *self, BsTrackedPath *tracked, GCancellable *cancellable, GError **error) G_GNUC_WARN_UNUSED_RESULT;
BS_AVAILABLE_IN_1_0
void            bs_pool_register_all_async     (BsPool *self, BsTrackedPath *tracked, int io_priority, GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data);
BS_AVAILABLE_IN_1_0
GListModel     *bs_pool_register_all_finish    (BsPool *self, GAsyncResult *result, GError **error) G_GNUC_WARN_UNUSED_RESULT;

BS_AVAILABLE_IN_1_0
gboolean        bs_pool_trim                   (BsPool *self, guint64 target_bytes, GCancellable *cancellable, GError **error);
BS_AVAILABLE_IN_1_0
void            bs_pool_trim_async             (BsPool *self, guint64 target_bytes, int io_priority, GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data);
BS_AVAILABLE_IN_1_0
gboolean        bs_pool_trim_finish            (BsPool *self, GAsyncResult *result, GError **error);

G_END_DECLS
