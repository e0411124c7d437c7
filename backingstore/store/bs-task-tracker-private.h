/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "bs-caller-private.h"
#include "bs-lane-private.h"
#include "bs-notifier-private.h"
#include "bs-task-tracker.h"

G_BEGIN_DECLS

struct _BsTaskTracker
{
  GObject parent_instance;

  /* constant */
  gconstpointer store;      /* identity only: the store may be gone */
  BsLane *lane;             /* owned */
  BsNotifier *notifier;     /* owned */

  int n_jobs;               /* atomic */
  int n_held;               /* atomic */
  int n_tasks_pending;      /* atomic: a notification is under way */
  int closed;               /* atomic; written under the mutex */
  int n_waiters;            /* atomic; written under the mutex */

  GMutex mutex;

  /* under the mutex */
  BsCaller *waiters;        /* owned, by next */
  BsJob *close_job;         /* owned; the store is to be closed, or is being closed; written atomically */
};

BsTaskTracker *bs_task_tracker_new   (gpointer store, BsLane *lane, BsNotifier *notifier) G_GNUC_WARN_UNUSED_RESULT;

/* One of the store's own tasks. Whoever counts it holds the tracker. */
void           bs_task_tracker_begin (BsTaskTracker *self);
void           bs_task_tracker_end   (BsTaskTracker *self);

/* The wait that wait_finished shares. Takes `task` over. */
void           bs_task_tracker_start_wait (BsTaskTracker *self, GTask *task);
gboolean       bs_task_tracker_wait_blocking (BsTaskTracker *self, const char *operation, GCancellable *cancellable, GError **error);

G_END_DECLS
