/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "store/bs-task-tracker.h"
#include "store/threads/bs-notifier-private.h"
#include "store/threads/bs-task-count-private.h"
#include "store/threads/bs-waiter-private.h"

G_BEGIN_DECLS

BsTaskTracker *bs_task_tracker_new           (gconstpointer store, BsExecutor *executor, BsNotifier *notifier) G_GNUC_WARN_UNUSED_RESULT;

/* Part of the tracker. */
BsTaskCount   *bs_task_tracker_get_count     (BsTaskTracker *self);

/* The waits that wait_finished shares. The asynchronous one takes `task` over. */
void           bs_task_tracker_start_wait    (BsTaskTracker *self, GTask *task);
gboolean       bs_task_tracker_wait_blocking (BsTaskTracker *self, const char *operation, GCancellable *cancellable, GError **error);

G_END_DECLS
