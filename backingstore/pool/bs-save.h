/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <gio/gio.h>

#include <backingstore/bs-version.h>
#include <backingstore/pool/bs-item.h>
#include <backingstore/pool/bs-manifest.h>
#include <backingstore/store/bs-backing-store.h>
#include <backingstore/store/bs-tracked-path.h>

G_BEGIN_DECLS

#define BS_TYPE_SAVE (bs_save_get_type ())
BS_AVAILABLE_IN_1_0
G_DECLARE_FINAL_TYPE (BsSave, bs_save, BS, SAVE, GObject)

/**
 * BsCommitFunc:
 * @save: the save
 * @cancellable: (nullable): cancelled when the caller of the save has left
 * @user_data: the data given beside the function
 * @error: return location for a #GError
 *
 * An application's own step from the old document to the new one.
 *
 * The function is called when every blob of the new document is durable at the
 * path and every blob of the old one is still there. When it returns %TRUE a crash
 * must leave the new document behind; when it returns %FALSE, the old one.
 *
 * The function may block, and may make blocking calls on the store. A call that would wait
 * for this very save fails: another save of the same path with %BS_ERROR_BUSY,
 * [method@BackingStore.untrack_path], [method@BackingStore.wait_finished] and
 * [method@BackingStore.close] with %G_IO_ERROR_WOULD_BLOCK. Asynchronous saves
 * of the same path may be asked for, and not be waited for.
 *
 * Returns: %TRUE if the new document is in place, %FALSE with @error set
 */
typedef gboolean (*BsCommitFunc) (BsSave *save, GCancellable *cancellable, gpointer user_data, GError **error);

BS_AVAILABLE_IN_1_0
BsSave         *bs_save_new              (BsBackingStore *store, BsTrackedPath *tracked) G_GNUC_WARN_UNUSED_RESULT;
BS_AVAILABLE_IN_1_0
BsBackingStore *bs_save_get_store        (BsSave *self);
BS_AVAILABLE_IN_1_0
BsTrackedPath  *bs_save_get_tracked      (BsSave *self);

BS_AVAILABLE_IN_1_0
void            bs_save_add_item         (BsSave *self, BsItem *item);
BS_AVAILABLE_IN_1_0
void            bs_save_keep_key         (BsSave *self, const char *key);
BS_AVAILABLE_IN_1_0
void            bs_save_set_root         (BsSave *self, GBytes *root);
BS_AVAILABLE_IN_1_0
void            bs_save_set_manifest     (BsSave *self, BsManifest *manifest);
BS_AVAILABLE_IN_1_0
void            bs_save_set_commit_func  (BsSave *self, BsCommitFunc func, gpointer user_data, GDestroyNotify destroy);

BS_AVAILABLE_IN_1_0
guint           bs_save_get_max_parallel (BsSave *self);
BS_AVAILABLE_IN_1_0
void            bs_save_set_max_parallel (BsSave *self, guint max_parallel);

BS_AVAILABLE_IN_1_0
gboolean        bs_save_run              (BsSave *self, GCancellable *cancellable, GError **error);
BS_AVAILABLE_IN_1_0
void            bs_save_run_async        (BsSave *self, int io_priority, GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data);
BS_AVAILABLE_IN_1_0
gboolean        bs_save_run_finish       (BsSave *self, GAsyncResult *result, GError **error);

BS_AVAILABLE_IN_1_0
guint64         bs_save_get_n_total      (BsSave *self);
BS_AVAILABLE_IN_1_0
guint64         bs_save_get_n_done       (BsSave *self);
BS_AVAILABLE_IN_1_0
double          bs_save_get_fraction     (BsSave *self);

G_END_DECLS
