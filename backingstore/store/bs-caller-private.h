/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "bs-backing-store.h"
#include "bs-progress-private.h"

G_BEGIN_DECLS

/* Someone who waits for an operation: an asynchronous call (a GTask), a thread
 * inside a blocking call, or the library itself in the background. It is
 * answered exactly once. */
typedef struct _BsCaller BsCaller;

/* Called once, on the thread that finishes the operation (or on the one that
 * asks, or on the one that cancels), with no lock held, before the caller is
 * answered.
 *
 * On success `*error` is NULL and `value` is the operation's result, borrowed.
 * On failure `value` is NULL and `*error` is set. Returns what this caller is
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

/* `task` is taken over; its cancellable is the caller's. The answer is handed
 * over by a source in the task's context: as a pointer when there is a
 * `value_free`, else as a boolean. */
BsCaller *bs_caller_new_async      (BsBackingStore *store,
                                    GTask          *task,
                                    BsDeliverFunc   deliver,
                                    gpointer        data,
                                    GDestroyNotify  data_free,
                                    GDestroyNotify  value_free);
BsCaller *bs_caller_new_blocking   (BsBackingStore *store,
                                    GCancellable   *cancellable,
                                    BsDeliverFunc   deliver,
                                    gpointer        data,
                                    GDestroyNotify  data_free,
                                    GDestroyNotify  value_free);
/* Nobody waits: `deliver` is all that happens, and owns what it makes. */
BsCaller *bs_caller_new_background (BsBackingStore *store,
                                    int             priority,
                                    BsDeliverFunc   deliver,
                                    gpointer        data,
                                    GDestroyNotify  data_free);

BsCaller *bs_caller_ref            (BsCaller *caller);
void      bs_caller_unref          (BsCaller *caller);

/* Whose progress is told before an asynchronous caller is answered: it is part of
 * the task's source object, which may go with the answer. */
void      bs_caller_set_progress   (BsCaller *caller, BsProgress *progress);

/* Answers the caller, with or without an error; FALSE if somebody else already
 * did. Runs `deliver`; takes `error` over; `value` is borrowed. No lock held. */
gboolean  bs_caller_answer         (BsCaller *caller, gpointer value, GError *error);

/* What a cancellation does while the caller stands in no operation of the
 * store, for waits that are not operations (a trim, a tracker's wait). `leave`
 * runs on the cancelling thread, with no lock held; it calls bs_caller_answer
 * when the caller is to be answered. */
void      bs_caller_connect        (BsCaller *caller, void (*leave) (BsCaller *caller, gpointer data), gpointer data);

/* Blocks until the caller is answered (running the main-context's operations
 * where this is its thread), and consumes the reference. The result is the
 * value, or, without `value_free`, whether there was no error. */
gpointer  bs_caller_wait           (BsCaller *caller, GError **error);

G_END_DECLS
