/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "base/bs-key-private.h"
#include "store/threads/bs-executor-private.h"
#include "store/threads/bs-progress-private.h"
#include "store/threads/bs-wait-graph-private.h"

G_BEGIN_DECLS

typedef struct _BsStoreOperation BsStoreOperation;

/* Waits for an operation: on behalf of an asynchronous call (a GTask), of a thread
 * inside a blocking call, or of the library itself in the background. Each waiter
 * is answered exactly once. */
typedef struct _BsWaiter BsWaiter;

/* Turns the operation's result into the waiter's answer. Called once, on the thread
 * that finishes the operation (or on the one that asks, or on the one that cancels),
 * with no lock held, before the waiter is answered.
 *
 * On success `*error` is NULL and `value` is the operation's result, borrowed. On
 * failure `value` is NULL and `*error` is set. Returns the waiter's answer, owned, to
 * be freed with its `value_free`; it may set `*error`. */
typedef gpointer (*BsDeliverFunc) (gpointer data, gpointer value, GError **error);

typedef struct
{
  BsDeliverFunc func;         /* nullable */
  gpointer data;
  GDestroyNotify data_free;   /* nullable; runs after `func`, or with the waiter */
  GDestroyNotify value_free;  /* NULL where the answer is only success or an error */

  gpointer context_data;      /* destroyed in the waiter's context, after the answer */
  GDestroyNotify context_data_free;   /* nullable */
  BsProgress *progress;       /* nullable; part of the task's source object: told before the answer */
} BsDelivery;

struct _BsWaiter
{
  BsPriorityEntry to_give;      /* first; where the answer awaits its context */
  gatomicrefcount ref_count;
  int priority;

  /* constant */
  BsExecutor *executor;         /* borrowed; of a blocking call */
  GTask *task;                  /* owned; NULL in the background and in blocking calls */
  gboolean blocking;
  gboolean on_stack;            /* of the blocking call, and so never freed */
  GCancellable *cancellable;    /* owned, nullable */
  gulong cancelled_id;
  BsDelivery delivery;

  /* the subject of the message of a cancellation; not set without a cancellable */
  guint8 kind;                  /* BsOperationKind */
  gboolean has_key;
  BsKey key;
  GFile *file;                  /* owned, nullable */

  GMutex *lock;                 /* the operation's; constant once connected */
  gpointer lock_owner;          /* owned, nullable: has the lock in it */
  GDestroyNotify lock_owner_free;
  void (*cancel) (BsWaiter *waiter, gpointer data);
  gpointer cancel_data;

  /* under the operation's lock */
  BsStoreOperation *operation;  /* borrowed, nullable */
  BsWaiter *next;
  gboolean cancelled;
  gboolean task_returned;       /* by the task's own function */

  /* the answer */
  int answered;                 /* atomic: the thread that sets it answers */
  gpointer value;
  GError *error;

  BsWaitEdge wait;              /* of a blocking call */

  gboolean answered_here;       /* the rest: of a blocking call; its own thread is about to answer it */
  BsSleeper sleeper;
};

/* A task with the properties that all tasks of the library have. */
GTask    *bs_task_new              (gpointer            source,
                                    GCancellable       *cancellable,
                                    GAsyncReadyCallback callback,
                                    gpointer            user_data,
                                    gpointer            tag,
                                    const char         *name,
                                    int                 io_priority) G_GNUC_WARN_UNUSED_RESULT;

/* `task` is taken over; its cancellable is the waiter's. The answer is handed
 * over by a source in the task's context: as a pointer where there is a
 * `value_free`, else as a boolean. `delivery` is nullable, here and below. */
BsWaiter *bs_waiter_new_async      (GTask *task, const BsDelivery *delivery) G_GNUC_WARN_UNUSED_RESULT;
/* A waiter without a thread: the delivery is all that happens, and owns its value. */
BsWaiter *bs_waiter_new_background (int priority, GCancellable *cancellable, const BsDelivery *delivery) G_GNUC_WARN_UNUSED_RESULT;
/* A waiter for this thread. A waiter without a cancellable may be on the stack of the
 * call. `executor` is borrowed until the wait is over. */
BsWaiter *bs_waiter_new_blocking   (BsExecutor *executor, GCancellable *cancellable, const BsDelivery *delivery) G_GNUC_WARN_UNUSED_RESULT;
void      bs_waiter_init_on_stack  (BsWaiter *waiter, BsExecutor *executor, const BsDelivery *delivery);

static inline BsWaiter *
bs_waiter_ref (BsWaiter *waiter)
{
  if (!waiter->on_stack)
    g_atomic_ref_count_inc (&waiter->ref_count);
  return waiter;
}
void      bs_waiter_unref          (BsWaiter *waiter);

/* Takes over a reference on the owner of the operation's lock. */
void      bs_waiter_hold_lock      (BsWaiter *waiter, gpointer owner, GDestroyNotify owner_free);
/* Gives a waiter with a cancellable the subject of the message of its cancellation. */
void      bs_waiter_set_subject    (BsWaiter *waiter, guint kind, const BsKey *key, GFile *file);

/* Answers the waiter, with or without an error; FALSE if it was answered before.
 * Runs the delivery; takes `error` over; `value` is borrowed. No lock held.
 *
 * A waiter on the stack may be gone as soon as it is answered. */
gboolean  bs_waiter_answer         (BsWaiter *waiter, gpointer value, GError *error);
/* Answers the waiter, and drops a reference. */
void      bs_waiter_answer_and_unref (BsWaiter *waiter, gpointer value, GError *error);

/* Answers a task at once, in its context. Takes the task and `error` over; `value` is
 * borrowed. */
void      bs_answer_async          (GTask *task, const BsDelivery *delivery, gpointer value, GError *error);

/* Has `cancel` called when the waiter is cancelled, on the cancelling thread, with
 * no lock held. `cancel` calls bs_waiter_answer() if the waiter is to be answered. */
void      bs_waiter_connect        (BsWaiter *waiter, void (*cancel) (BsWaiter *waiter, gpointer data), gpointer data);

/* Blocks until the waiter is answered (running the context's entries where this is
 * its thread), and consumes the reference. The result is the value, or, without
 * `value_free`, whether there was no error. */
gpointer  bs_waiter_wait           (BsWaiter *waiter, GError **error);

G_END_DECLS
