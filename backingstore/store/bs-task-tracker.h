/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <gio/gio.h>

#include <backingstore/bs-version.h>

G_BEGIN_DECLS

#define BS_TYPE_TASK_TRACKER (bs_task_tracker_get_type ())
BS_AVAILABLE_IN_1_0
G_DECLARE_FINAL_TYPE (BsTaskTracker, bs_task_tracker, BS, TASK_TRACKER, GObject)

BS_AVAILABLE_IN_1_0
guint     bs_task_tracker_get_n_tasks (BsTaskTracker *self);
BS_AVAILABLE_IN_1_0
gboolean  bs_task_tracker_get_closed  (BsTaskTracker *self);
BS_AVAILABLE_IN_1_0
void      bs_task_tracker_close       (BsTaskTracker *self);
BS_AVAILABLE_IN_1_0
void      bs_task_tracker_reopen      (BsTaskTracker *self);
BS_AVAILABLE_IN_1_0
void      bs_task_tracker_hold        (BsTaskTracker *self);
BS_AVAILABLE_IN_1_0
void      bs_task_tracker_release     (BsTaskTracker *self);
BS_AVAILABLE_IN_1_0
gboolean  bs_task_tracker_wait        (BsTaskTracker *self, GCancellable *cancellable, GError **error);
BS_AVAILABLE_IN_1_0
void      bs_task_tracker_wait_async  (BsTaskTracker *self, GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data);
BS_AVAILABLE_IN_1_0
gboolean  bs_task_tracker_wait_finish (BsTaskTracker *self, GAsyncResult *result, GError **error);

G_END_DECLS
