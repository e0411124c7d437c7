/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "store/threads/bs-waiter-private.h"
#include "store/threads/bs-executor-private.h"
#include "store/threads/bs-notifier-private.h"
#include "store/bs-task-tracker.h"

G_BEGIN_DECLS

typedef struct _BsShard BsShard;

struct _BsTaskTracker
{
  GObject parent_instance;

  /* constant */
  gconstpointer store;      /* identity only: the store may be gone */
  BsExecutor *executor;             /* owned */
  BsNotifier *notifier;     /* owned */

  int n_operations;               /* atomic */
  int n_held;               /* atomic */
  int n_tasks_pending;      /* atomic: a notification is under way */
  int closed;               /* atomic; written under the mutex */
  int n_waiters;            /* atomic; written under the mutex */

  GMutex mutex;

  /* under the mutex, under which a shard's may be taken, never the other way round */
  BsShard *shards;          /* borrowed from the store; NULL once that is gone: they count calls, too */
  BsWaiter *waiters;        /* owned, by next */
  BsStoreOperation *close_operation;         /* owned; the store is to be closed, or is being closed; written atomically */
};

BsTaskTracker *bs_task_tracker_new   (gpointer store, BsShard *shards, BsExecutor *executor, BsNotifier *notifier) G_GNUC_WARN_UNUSED_RESULT;

/* One of the store's own tasks. Whoever counts it holds the tracker. */
void           bs_task_tracker_begin (BsTaskTracker *self);
void           bs_task_tracker_end   (BsTaskTracker *self);

/* A call that its shard counts has begun, or ended. The latter not under the
 * shard's mutex: it answers those who wait. */
void           bs_task_tracker_note_call  (BsTaskTracker *self);
void           bs_task_tracker_note_ended (BsTaskTracker *self);
/* Whether nothing is under way. Under the mutex. */
gboolean       bs_task_tracker_is_idle    (BsTaskTracker *self);
/* The store is going. */
void           bs_task_tracker_forget_store (BsTaskTracker *self);

/* The wait that wait_finished shares. Takes `task` over. */
void           bs_task_tracker_start_wait (BsTaskTracker *self, GTask *task);
gboolean       bs_task_tracker_wait_blocking (BsTaskTracker *self, const char *operation, GCancellable *cancellable, GError **error);

G_END_DECLS
