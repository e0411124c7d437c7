/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <gio/gio.h>

#include <backingstore/bs-version.h>
#include <backingstore/pool/bs-codec.h>
#include <backingstore/pool/bs-pool-stats.h>
#include <backingstore/store/bs-backing-store.h>

G_BEGIN_DECLS

#define BS_TYPE_POOL (bs_pool_get_type ())
BS_AVAILABLE_IN_1_0
G_DECLARE_FINAL_TYPE (BsPool, bs_pool, BS, POOL, GObject)

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
gboolean        bs_pool_trim                   (BsPool *self, guint64 target_bytes, GCancellable *cancellable, GError **error);
BS_AVAILABLE_IN_1_0
void            bs_pool_trim_async             (BsPool *self, guint64 target_bytes, int io_priority, GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data);
BS_AVAILABLE_IN_1_0
gboolean        bs_pool_trim_finish            (BsPool *self, GAsyncResult *result, GError **error);

BS_AVAILABLE_IN_1_0
void            bs_pool_prefetch               (BsPool *self, GListModel *model, guint position, guint n_items);

G_END_DECLS
