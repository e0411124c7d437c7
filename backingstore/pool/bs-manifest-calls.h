/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <gio/gio.h>

#include <backingstore/bs-version.h>
#include <backingstore/pool/bs-manifest.h>
#include <backingstore/pool/bs-pool.h>
#include <backingstore/store/bs-backing-store.h>
#include <backingstore/store/bs-tracked-path.h>

G_BEGIN_DECLS

BS_AVAILABLE_IN_1_0
BsManifest *bs_backing_store_load_manifest        (BsBackingStore *self, BsTrackedPath *tracked, GCancellable *cancellable, GError **error) G_GNUC_WARN_UNUSED_RESULT;
BS_AVAILABLE_IN_1_0
void        bs_backing_store_load_manifest_async  (BsBackingStore *self, BsTrackedPath *tracked, int io_priority, GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data);
BS_AVAILABLE_IN_1_0
BsManifest *bs_backing_store_load_manifest_finish (BsBackingStore *self, GAsyncResult *result, GError **error) G_GNUC_WARN_UNUSED_RESULT;

BS_AVAILABLE_IN_1_0
gboolean    bs_pool_register_manifest             (BsPool *self, BsTrackedPath *tracked, BsManifest *manifest, GCancellable *cancellable, GError **error);
BS_AVAILABLE_IN_1_0
void        bs_pool_register_manifest_async       (BsPool *self, BsTrackedPath *tracked, BsManifest *manifest, int io_priority, GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data);
BS_AVAILABLE_IN_1_0
gboolean    bs_pool_register_manifest_finish      (BsPool *self, GAsyncResult *result, GError **error);

G_END_DECLS
