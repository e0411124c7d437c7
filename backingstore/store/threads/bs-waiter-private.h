/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "store/bs-backing-store.h"
#include "store/threads/bs-progress-private.h"

G_BEGIN_DECLS

/* Someone who waits for an operation: an asynchronous call (a GTask), a thread
 * inside a blocking call, or the library itself in the background. It is
 * answered exactly once. */
typedef struct _BsCaller BsWaiter;

/* Called once, on the thread that finishes the operation (or on the one that
 * asks, or on the one that cancels), with no lock held, before the waiter is
 * answered.
 *
 * On success `*error` is NULL and `value` is the operation's result, borrowed.
 * On failure `value` is NULL and `*error` is set. Returns what this waiter is
 * to get, owned, to be freed with its `value_free`; it may set `*error`. */
typedef gpointer (*BsDeliverFunc) (gpointer data, gpointer value, GError **error);

/* A task as all of ours are. */
GTask    *bs_task_new              (gpointer            source,
                                    GCancellable       *cancellable,
                                    GAsyncReadyCallback callback,
                                    gpointer            user_data,
                                    gpointer            tag,
                                    const char         *name,
                                    int                 io_priority) G_GNUC_WARN_UNUSED_RESULT;

/* `task` is taken over; its cancellable is the waiter's. The answer is handed
 * over by a source in the task's context: as a pointer when there is a
 * `value_free`, else as a boolean. */
BsWaiter *bs_waiter_new_async      (BsBackingStore *store,
                                    GTask          *task,
                                    BsDeliverFunc   deliver,
                                    gpointer        data,
                                    GDestroyNotify  data_free,
                                    GDestroyNotify  value_free);
BsWaiter *bs_waiter_new_blocking   (BsBackingStore *store,
                                    GCancellable   *cancellable,
                                    BsDeliverFunc   deliver,
                                    gpointer        data,
                                    GDestroyNotify  data_free,
                                    GDestroyNotify  value_free);
/* Nobody waits: `deliver` is all that happens, and owns what it makes. */
BsWaiter *bs_waiter_new_background (BsBackingStore *store,
                                    int             priority,
                                    BsDeliverFunc   deliver,
                                    gpointer        data,
                                    GDestroyNotify  data_free);

BsWaiter *bs_waiter_ref            (BsWaiter *waiter);
void      bs_waiter_unref          (BsWaiter *waiter);

/* Whose progress is told before an asynchronous waiter is answered: it is part of
 * the task's source object, which may go with the answer. */
void      bs_waiter_set_progress   (BsWaiter *waiter, BsProgress *progress);

/* Answers the waiter, with or without an error; FALSE if somebody else already
 * did. Runs `deliver`; takes `error` over; `value` is borrowed. No lock held. */
gboolean  bs_waiter_answer         (BsWaiter *waiter, gpointer value, GError *error);

/* What a cancellation does while the waiter stands in no operation of the
 * store, for waits that are not operations (a trim, a tracker's wait). `leave`
 * runs on the cancelling thread, with no lock held; it calls bs_waiter_answer
 * when the waiter is to be answered. */
void      bs_waiter_connect        (BsWaiter *waiter, void (*leave) (BsWaiter *waiter, gpointer data), gpointer data);

/* Blocks until the waiter is answered (running the main-context's operations
 * where this is its thread), and consumes the reference. The result is the
 * value, or, without `value_free`, whether there was no error. */
gpointer  bs_waiter_wait           (BsWaiter *waiter, GError **error);

G_END_DECLS
