/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "bs-backing-store.h"
#include "bs-lane-private.h"
#include "bs-notifier-private.h"
#include "bs-task-tracker.h"

G_BEGIN_DECLS

BsTaskTracker *bs_task_tracker_new   (gpointer store, BsLane *lane, BsNotifier *notifier) G_GNUC_WARN_UNUSED_RESULT;

/* One of the store's own tasks. */
void           bs_task_tracker_begin (BsTaskTracker *self);
void           bs_task_tracker_end   (BsTaskTracker *self);
guint          bs_task_tracker_get_n_jobs (BsTaskTracker *self);
/* The store is told when the last of them has ended; NULL for not any more. */
void           bs_task_tracker_set_closing (BsTaskTracker *self, BsBackingStore *store);

/* The wait that wait_finished shares. Takes `task` over. */
void           bs_task_tracker_start_wait (BsTaskTracker *self, GTask *task);
gboolean       bs_task_tracker_wait_blocking (BsTaskTracker *self, const char *operation, GCancellable *cancellable, GError **error);

G_END_DECLS
