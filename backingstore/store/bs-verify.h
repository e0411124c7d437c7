/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <backingstore/store/bs-backing-store.h>

G_BEGIN_DECLS

#define BS_TYPE_VERIFY (bs_verify_get_type ())
BS_AVAILABLE_IN_1_0
G_DECLARE_FINAL_TYPE (BsVerify, bs_verify, BS, VERIFY, GObject)

BS_AVAILABLE_IN_1_0
BsVerify       *bs_verify_new          (BsBackingStore *store, BsTrackedPath *tracked) G_GNUC_WARN_UNUSED_RESULT;
BS_AVAILABLE_IN_1_0
BsBackingStore *bs_verify_get_store    (BsVerify *self);
BS_AVAILABLE_IN_1_0
BsTrackedPath  *bs_verify_get_tracked  (BsVerify *self);

BS_AVAILABLE_IN_1_0
gboolean        bs_verify_run          (BsVerify *self, GCancellable *cancellable, GError **error);
BS_AVAILABLE_IN_1_0
void            bs_verify_run_async    (BsVerify *self, int io_priority, GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data);
BS_AVAILABLE_IN_1_0
gboolean        bs_verify_run_finish   (BsVerify *self, GAsyncResult *result, GError **error);

BS_AVAILABLE_IN_1_0
guint64         bs_verify_get_n_total  (BsVerify *self);
BS_AVAILABLE_IN_1_0
guint64         bs_verify_get_n_done   (BsVerify *self);
BS_AVAILABLE_IN_1_0
double          bs_verify_get_fraction (BsVerify *self);
BS_AVAILABLE_IN_1_0
guint64         bs_verify_get_n_bad    (BsVerify *self);
BS_AVAILABLE_IN_1_0
BsKeySet       *bs_verify_dup_bad_keys (BsVerify *self) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
