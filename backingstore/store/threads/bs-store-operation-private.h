/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/bs-key-private.h"
#include "store/bs-backing-store-private.h"
#include "store/threads/bs-executor-private.h"
#include "store/threads/bs-progress-private.h"
#include "store/threads/bs-wait-graph-private.h"

G_BEGIN_DECLS

/* What waits for its turn, runs once, and is then done. */
typedef enum
{
  BS_OPERATION_QUEUED,      /* its turn has not come */
  BS_OPERATION_READY,       /* waits for a place in the executor */
  BS_OPERATION_RUNNING,
  BS_OPERATION_DONE,
} BsOperationState;

typedef enum
{
  /* on a key's queue */
  BS_KIND_WRITE,
  BS_KIND_READ,
  BS_KIND_DELETE,
  BS_KIND_REGISTER,
  BS_KIND_PERSIST,
  BS_KIND_DELETE_PERSISTED,
  BS_KIND_VERIFY,
  /* on a path's queue */
  BS_KIND_TRACK,
  BS_KIND_UNTRACK,
  BS_KIND_RELEASE,
  BS_KIND_SYNC,
  BS_KIND_LOAD_ROOT,
  BS_KIND_WRITE_ROOT,
  BS_KIND_SAVE,
  /* on none */
  BS_KIND_REGISTER_ALL,
  BS_KIND_DELETE_KEYS,
  BS_KIND_DROP_TOKENS,
  BS_KIND_VERIFY_PATH,
  BS_KIND_TASK,
  BS_KIND_CLOSE,
} BsOperationKind;

typedef struct _BsPath BsPath;

/* What must be done once the lock is released. */
typedef struct _BsAftermath BsDeferred;
struct _BsAftermath
{
  BsStoreOperation *ready;       /* owned, by ready_next */
  BsStoreOperation *dropped;     /* owned, by dropped_next */
  BsDeferred *outer; /* on this thread's stack */
};

typedef struct
{
  /* Does the work of a RUNNING operation and ends by answering its waiters. No lock held. */
  void (*run)  (BsStoreOperation *operation);
  /* Takes out a QUEUED or READY operation that everybody has left. Under its lock. */
  void (*drop) (BsStoreOperation *operation, BsDeferred *deferred);
  /* Frees what the kind adds. No lock held. */
  void (*free) (BsStoreOperation *operation);
} BsStoreOperationClass;

struct _BsJob
{
  gatomicrefcount ref_count;
  int priority;                     /* atomic; changed under the lock */

  /* constant */
  const BsStoreOperationClass *klass;
  BsBackingStore *store;            /* owned */
  BsTaskTracker *tracker;           /* owned */
  BsExecutor *executor;                     /* borrowed from the store */
  GMutex *lock;                     /* the shard's, the path's, or the operation's own */
  BsTrackedPath *tracked;           /* owned, nullable */
  guint8 kind;                      /* BsOperationKind */
  guint8 unattended : 1;            /* wanted even where no waiter is left */
  guint8 embedded : 1;              /* in somebody's memory, while it runs: holds no references, is never freed */
  guint8 uncounted : 1;             /* by the task tracker */
  guint8 held : 1;                  /* has the references that it owns */
  guint8 resumes : 1;               /* runs in several goes */

  /* under the lock */
  guint8 state;                     /* BsOperationState */
  gboolean fired;                   /* everybody left while it ran: nobody joins it */
  guint n_wanting;                  /* waiters that have not left */
  BsWaiter *waiters;                /* owned, by next, the last that came first */
  BsWaiter *runner;                 /* borrowed: the blocking waiter on whose thread it runs */
  BsStoreOperation *previous;            /* the queue */
  BsStoreOperation *next;

  /* written when it starts to run, read by the running thread and, under the lock, by who fires it */
  GCancellable *cancellable;        /* owned; NULL where it can't be fired */

  /* under the executor's mutex */
  BsStoreOperation *executor_previous;
  BsStoreOperation *executor_next;
  int executor_priority;
  gboolean executor_queued;

  /* under the lock of the list of tickets in which it stands */
  guint64 ticket;                   /* 0: none */
  BsStoreOperation *ticket_previous;
  BsStoreOperation *ticket_next;

  /* of whoever has it in a BsDeferred; it can be dropped by one before another has submitted it */
  BsStoreOperation *ready_next;
  BsStoreOperation *dropped_next;
};

#define BS_PRIORITY_BLOCKING G_PRIORITY_HIGH

/* `operation` is zeroed memory whose first member is a BsStoreOperation. It counts from now on.
 * What it owns it takes with bs_store_operation_hold(), which must not be called under a
 * lock: a reference on a GObject may run a binding's code. A operation that is made
 * under a lock is held when that is released, by bs_deferred_run(). */
void         bs_store_operation_init     (BsStoreOperation            *operation,
                                    const BsStoreOperationClass *klass,
                                    BsOperationKind         kind,
                                    BsBackingStore         *store,
                                    BsExecutor                 *executor,
                                    GMutex                 *lock,
                                    BsTrackedPath          *tracked,
                                    int                     priority);
void         bs_store_operation_hold     (BsStoreOperation *operation);
BsStoreOperation       *bs_store_operation_ref      (BsStoreOperation *operation);
void         bs_store_operation_unref    (BsStoreOperation *operation);

/* Under the lock. Whoever goes on with a operation that somebody may have joined needs a
 * reference from before it is released: all may leave at once. */
void         bs_store_operation_join     (BsStoreOperation *operation, BsWaiter *waiter);
void         bs_store_operation_raise    (BsStoreOperation *operation, int priority);
/* Lends a priority to a operation and to everything before it on its queue. */
void         bs_store_operation_lend     (BsStoreOperation *operation, int priority);
/* Whether somebody has joined it after everybody had left: he has nothing to do with
 * what came of the cancellation. */
gboolean     bs_store_operation_is_wanted_again (BsStoreOperation *operation);
gboolean     bs_store_operation_joinable (BsStoreOperation *operation, BsOperationKind kind, BsTrackedPath *tracked);

/* Runs what is READY, unless it was dropped meanwhile. `runner` is the blocking
 * waiter on whose thread this is, nullable. No lock held. */
void         bs_store_operation_run      (BsStoreOperation *operation, BsWaiter *runner);

/* What is RUNNING finds that it has come too early, and is QUEUED again, or
 * dropped if everybody has left meanwhile. Under the lock; returns those who have,
 * to be answered without it. */
BsWaiter    *bs_store_operation_put_back    (BsStoreOperation *operation, BsDeferred *deferred);
void         bs_store_operation_answer_left (BsWaiter *left);

/* Answers everyone. `waiters` were taken from the operation under its lock when it became DONE. */
BsWaiter    *bs_store_operation_steal_callers (BsStoreOperation *operation);
void         bs_store_operation_answer        (BsWaiter *waiters, gpointer value, const GError *error);

/* The blocking waiter runs it on this thread, where this thread may; else it
 * goes to the executor. Gives up the reference. No lock held. */
void         bs_store_operation_start    (BsStoreOperation *operation, BsWaiter *waiter);

/* An error whose message names the operation, the key and the path. No lock held. */
GError      *bs_operation_error    (BsOperationKind kind, const BsKey *key, BsTrackedPath *tracked, GQuark domain, int code, const char *why);
/* The same for a path that is not tracked yet. */
GError      *bs_operation_error_at (BsOperationKind kind, const BsKey *key, GFile *path, GQuark domain, int code, const char *why);

/* What a cancelled waiter does, for bs_waiter_connect(). */
void         bs_store_operation_leave    (BsWaiter *waiter, gpointer unused);

void         bs_deferred_add_ready   (BsDeferred *deferred, BsStoreOperation *operation);
void         bs_deferred_add_dropped (BsDeferred *deferred, BsStoreOperation *operation);
void         bs_deferred_run         (BsDeferred *deferred);
/* Callers are answered first, and that may call out: should this thread come to
 * wait before it has run `deferred`, that is run then. To be followed by
 * bs_deferred_run(). */
void         bs_deferred_push        (BsDeferred *deferred);
/* Runs what this thread has pushed. No lock held. */
void         bs_deferred_run_pushed  (void);

static inline gboolean
bs_deferred_is_empty (const BsDeferred *deferred)
{
  return deferred->ready == NULL && deferred->dropped == NULL;
}

/* The queue: a list of operations in the order in which they were asked. */
typedef struct
{
  BsStoreOperation *head;
  BsStoreOperation *tail;
} BsOperationList;

void         bs_operation_list_append  (BsOperationList *queue, BsStoreOperation *operation);
void         bs_operation_list_prepend (BsOperationList *queue, BsStoreOperation *operation);
void         bs_operation_list_remove  (BsOperationList *queue, BsStoreOperation *operation);

struct _BsCaller
{
  gatomicrefcount ref_count;
  int priority;

  /* constant */
  BsExecutor *executor;                 /* owned; NULL but where a blocking wait runs what is ready in it */
  BsBackingStore *store;        /* owned; NULL where nobody can leave: keeps the lock there */
  GTask *task;                  /* owned; NULL in the background and in blocking calls */
  gboolean blocking;
  gboolean returned;            /* the task's function has returned it itself */
  gboolean inner;               /* part of something that was asked earlier: a closed path does not refuse it */
  gboolean doomed;              /* deletes a key only where a save has doomed it */
  GCancellable *cancellable;    /* owned, nullable */
  gulong cancelled_id;
  BsDeliverFunc deliver;
  gpointer data;
  GDestroyNotify data_free;
  GDestroyNotify value_free;
  gpointer context_data;        /* destroyed in the waiter's context, after the answer */
  GDestroyNotify context_data_free;
  BsProgress *progress;         /* the task's source object's, nullable: told before the answer */

  /* what it has asked for, for the message when it leaves: only where it can */
  guint8 kind;                  /* BsOperationKind */
  gboolean has_key;
  BsKey key;
  BsTrackedPath *tracked;       /* owned, nullable */
  GFile *path;                  /* owned, nullable: of what is not tracked yet */

  gpointer keep;                /* owned, nullable: what the lock is part of */
  GDestroyNotify keep_free;
  GMutex *lock;                 /* the operation's; constant once connected */

  /* under the operation's lock */
  BsStoreOperation *operation;                   /* borrowed, nullable */
  BsWaiter *next;
  gboolean left;

  /* the answer */
  int answered;                 /* atomic: who sets it answers */
  gpointer value;
  GError *error;

  BsWaitEdge wait;                  /* of a blocking waiter, which ends it */

  GMutex mutex;
  GCond cond;
  int done;                     /* atomic; set under the mutex: a blocking waiter may go on */
  gboolean sleeps;              /* under the mutex */

  void (*leave) (BsWaiter *waiter, gpointer data);
  gpointer leave_data;
};

void      bs_waiter_set_subject  (BsWaiter *waiter, guint kind, const BsKey *key, BsTrackedPath *tracked);
BsWaiter *bs_waiter_new_for_executor (BsExecutor *executor, GTask *task, gboolean blocking, GCancellable *cancellable);

G_END_DECLS
