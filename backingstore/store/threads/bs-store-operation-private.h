/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "base/bs-key-private.h"
#include "store/threads/bs-deferred-private.h"
#include "store/threads/bs-executor-private.h"
#include "store/threads/bs-task-count-private.h"
#include "store/threads/bs-waiter-private.h"

G_BEGIN_DECLS

/* The store's objects, known here by name only. */
typedef struct _BsBackingStore BsBackingStore;
typedef struct _BsTrackedPath BsTrackedPath;

/* An operation waits for its turn, runs once, and is then done. Its state changes
 * under its lock. */
typedef enum
{
  BS_OPERATION_QUEUED,      /* its turn has not come */
  BS_OPERATION_READY,       /* waits for a place in the executor */
  BS_OPERATION_RUNNING,
  BS_OPERATION_DONE,
} BsOperationState;

typedef enum
{
  /* in a key's queue */
  BS_KIND_WRITE,
  BS_KIND_READ,
  BS_KIND_DELETE,
  BS_KIND_REGISTER,
  BS_KIND_PERSIST,
  BS_KIND_DELETE_PERSISTED,
  BS_KIND_VERIFY,
  BS_KIND_READ_STREAM,
  BS_KIND_LAST_ON_KEY = BS_KIND_READ_STREAM,
  /* in a path's queue */
  BS_KIND_TRACK,
  BS_KIND_UNTRACK,
  BS_KIND_RELEASE,
  BS_KIND_SYNC,
  BS_KIND_LOAD_ROOT,
  BS_KIND_WRITE_ROOT,
  BS_KIND_CHECK,
  BS_KIND_SAVE,
  /* in no queue */
  BS_KIND_REGISTER_ALL,
  BS_KIND_REGISTER_KEYS,
  BS_KIND_PERSIST_KEYS,
  BS_KIND_DELETE_KEYS,
  BS_KIND_DELETE_NOT_SAVED,
  BS_KIND_DROP_TOKENS,
  BS_KIND_VERIFY_PATH,
  BS_KIND_FUNCTION,
  BS_KIND_COMMIT,
  BS_KIND_READ_PART,
  BS_KIND_COPY_OUT,
  BS_KIND_CLOSE,
} BsOperationKind;

/* Whether a close of the store ends the operation: nobody is there to see its result. */
static inline gboolean
bs_kind_is_load (guint8 kind)
{
  return kind == BS_KIND_READ || kind == BS_KIND_READ_STREAM;
}

/* How asking for an operation has ended. */
typedef enum
{
  BS_ASKED_WAITS,           /* the waiter has joined an operation; the answer comes later */
  BS_ASKED_STARTS,          /* the waiter has joined, and an operation's turn is now */
  BS_ASKED_RUNS,            /* the waiter has joined, and this thread runs the operation, which has begun */
  BS_ASKED_NOTHING,         /* nothing is to be done: a success */
  BS_ASKED_MISSING,         /* the path has no such key */
  BS_ASKED_CLOSED,          /* the tracked path is closed */
  BS_ASKED_PINNED,          /* a running save names the key */
  BS_ASKED_CANCELLED,
  BS_ASKED_IN_COMMIT,       /* the blocking call could only wait for its own commit function */
} BsAskedState;

typedef struct
{
  BsAskedState state;
  gpointer value;           /* STARTS, RUNS: the operation, owned; NOTHING: the result, borrowed */
} BsAsked;

static inline BsAsked
bs_asked (BsAskedState state, gpointer value)
{
  return (BsAsked){ state, value };
}

typedef struct
{
  /* Puts a new operation where it waits for its turn, or joins the waiter to
   * another one. Under the operation's lock. STARTS and RUNS get a reference. */
  BsAsked (*enqueue) (BsStoreOperation *operation, BsWaiter *waiter, BsDeferred *deferred);
  /* The operation becomes RUNNING. Under its lock; nullable. */
  void    (*begin)   (BsStoreOperation *operation);
  /* Does the work of a RUNNING operation and ends by answering its waiters. No
   * lock held. Consumes a reference. */
  void    (*run)     (BsStoreOperation *operation);
  /* Takes out a QUEUED or READY operation that every waiter has left. Under its lock. */
  void    (*drop)    (BsStoreOperation *operation, BsDeferred *deferred);
  /* Frees what the kind adds. No lock held; nullable. */
  void    (*free)    (BsStoreOperation *operation);
  /* Keeps the lock for a waiter that may look at its operation when all is over, by
   * bs_waiter_hold_lock(). Nullable: the store has it. */
  void    (*hold_lock) (BsStoreOperation *operation, BsWaiter *waiter);
  /* A waiter of that priority has joined. Boosts the operations that this one waits
   * for besides its queue. No lock held; nullable. */
  void    (*boost)   (BsStoreOperation *operation, int priority);
} BsStoreOperationClass;

struct _BsStoreOperation
{
  BsExecutorEntry entry;
  gatomicrefcount ref_count;
  int priority;                     /* atomic; changed under the lock */

  /* constant */
  const BsStoreOperationClass *klass;
  BsBackingStore *store;            /* owned */
  BsTaskCount *count;               /* owned: a reference on its owner */
  BsExecutor *executor;             /* borrowed from the store */
  GMutex *lock;                     /* the shard's, the path's, the tracker's, or the store's for operations in no queue */
  BsTrackedPath *tracked;           /* owned, nullable */
  guint8 kind;                      /* BsOperationKind */
  guint8 stripe;                    /* of the count */
  guint8 unattended : 1;            /* wanted even where no waiter is left */
  guint8 on_stack : 1;              /* of a thread that waits for it: holds no references, is never freed */
  guint8 counted : 1;               /* until it is freed */
  guint8 held : 1;                  /* has the references that it owns */
  guint8 resumes : 1;               /* runs in several goes */

  /* under the lock */
  guint8 state;                     /* BsOperationState */
  gboolean cancelled;               /* every waiter left while it ran: no waiter joins it */
  guint n_wanted;                   /* waiters that are not cancelled */
  BsWaiter *waiters;                /* owned, by next, the last that came first */
  BsWaiter *runner;                 /* borrowed: the blocking waiter on whose thread it runs */
  BsStoreOperation *previous;       /* in its queue */
  BsStoreOperation *next;

  /* written when it begins to run, read by the running thread and, under the lock, by a cancellation */
  GCancellable *cancellable;        /* owned; NULL where it can't be cancelled */

  /* under the lock of the tickets among which it is */
  guint64 ticket;                   /* 0: none */
  BsStoreOperation *ticket_previous;
  BsStoreOperation *ticket_next;

  /* in a BsDeferred; one may drop the operation before another has submitted it */
  BsStoreOperation *ready_next;
  BsStoreOperation *dropped_next;
};

/* `operation` is zeroed memory that begins with a BsStoreOperation.
 *
 * The references that it owns are taken by bs_store_operation_hold(), which must
 * not be called under a lock: a reference on a GObject may run a binding's code.
 * An operation made under a lock is held when that is released, by
 * bs_deferred_run(). */
void              bs_store_operation_init    (BsStoreOperation            *operation,
                                              const BsStoreOperationClass *klass,
                                              BsOperationKind              kind,
                                              BsBackingStore              *store,
                                              BsTaskCount                 *count,
                                              BsExecutor                  *executor,
                                              GMutex                      *lock,
                                              BsTrackedPath               *tracked,
                                              int                          priority);
void              bs_store_operation_hold    (BsStoreOperation *operation);
void              bs_store_operation_unref   (BsStoreOperation *operation);

static inline BsStoreOperation *
bs_store_operation_ref (BsStoreOperation *operation)
{
  if (!operation->on_stack)
    g_atomic_ref_count_inc (&operation->ref_count);
  return operation;
}

/* Under the lock. A thread that goes on with an operation after unlocking takes a
 * reference before: all waiters may leave at once. */
void              bs_store_operation_join    (BsStoreOperation *operation, BsWaiter *waiter);
/* Boosts an operation and everything before it in its queue. The first one that has
 * the priority ends the walk: it has boosted all before it. */
void              bs_store_operation_boost   (BsStoreOperation *operation, int priority);
/* Whether a waiter has joined it after every other had left: that waiter has
 * nothing to do with the cancellation. */
gboolean          bs_store_operation_is_wanted_again (BsStoreOperation *operation);
gboolean          bs_store_operation_is_joinable     (BsStoreOperation *operation, BsOperationKind kind, BsTrackedPath *tracked);

/* The thread that holds the lock is to run the operation itself. Under the lock. */
void              bs_store_operation_begin   (BsStoreOperation *operation, BsWaiter *runner);
/* Starts an operation whose turn has come: on this thread if the waiter is a
 * blocking one and the thread may, else in the executor. Consumes a reference. No
 * lock held. */
void              bs_store_operation_start   (BsStoreOperation *operation, BsWaiter *waiter);
/* Starts an operation in its executor. Consumes a reference. */
void              bs_store_operation_submit  (BsStoreOperation *operation);

/* A RUNNING operation that has come too early is QUEUED again, or dropped if every
 * waiter has left meanwhile. Under the lock; returns the cancelled waiters, for
 * bs_store_operation_answer_cancelled(). */
BsWaiter         *bs_store_operation_put_back         (BsStoreOperation *operation, BsDeferred *deferred);
void              bs_store_operation_answer_cancelled (BsWaiter *waiters);

/* The operation is DONE. Returns its waiters. Under the lock. An operation on the stack may
 * be gone once they are answered. */
BsWaiter         *bs_store_operation_end           (BsStoreOperation *operation);
void              bs_store_operation_answer        (BsWaiter *waiters, gpointer value, const GError *error);

/* The thread of a blocking waiter runs what that waits for, instead of a worker. */
void              bs_store_operation_lend_thread (BsStoreOperation *operation, BsWaiter *waiter);

/* Takes a cancelled waiter out of its operation, for bs_waiter_connect(). */
void              bs_store_operation_cancel_waiter (BsWaiter *waiter, gpointer unused);

/* An error whose message names the operation, the key and the path. No lock held. */
GError           *bs_operation_error (BsOperationKind kind, const BsKey *key, GFile *path, GQuark domain, int code, const char *why);

void              bs_deferred_add_ready   (BsDeferred *deferred, BsStoreOperation *operation);
void              bs_deferred_add_dropped (BsDeferred *deferred, BsStoreOperation *operation);
void              bs_deferred_run         (BsDeferred *deferred);
/* Answers waiters, and runs `deferred` after that, or when the thread is about to
 * sleep. */
void              bs_deferred_answer      (BsDeferred *deferred, BsWaiter *waiters, gpointer value, const GError *error);

/* Operations in the order in which they were asked. */
typedef struct
{
  BsStoreOperation *head;
  BsStoreOperation *tail;
} BsOperationList;

void              bs_operation_list_append  (BsOperationList *list, BsStoreOperation *operation);
void              bs_operation_list_prepend (BsOperationList *list, BsStoreOperation *operation);
void              bs_operation_list_remove  (BsOperationList *list, BsStoreOperation *operation);

G_END_DECLS
