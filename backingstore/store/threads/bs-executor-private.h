/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

typedef struct _BsJob BsStoreOperation;

/* Where ready operations run: a bounded number of threads, or one main context.
 * The operation with the best priority goes first, first come first served
 * among equals. */
typedef struct _BsLane BsExecutor;

BsExecutor   *bs_executor_new             (guint max_threads);
BsExecutor   *bs_executor_new_in_context  (GMainContext *context);
BsExecutor   *bs_executor_ref             (BsExecutor *executor);
void      bs_executor_unref           (BsExecutor *executor);
/* Nothing will be submitted any more. */
void      bs_executor_close           (BsExecutor *executor);

void      bs_executor_set_max_threads (BsExecutor *executor, guint max_threads);
/* One more thread, until it is given back: for a function that waits. */
void      bs_executor_lend            (BsExecutor *executor, int n_threads);

/* The executor that this thread is one of, or NULL. Whatever runs on it is part of an
 * operation that is not over. */
BsExecutor   *bs_executor_get_current     (void);

void      bs_executor_submit          (BsExecutor *executor, BsStoreOperation *operation);
void      bs_executor_forget          (BsExecutor *executor, BsStoreOperation *operation);
void      bs_executor_raise           (BsExecutor *executor, BsStoreOperation *operation, int priority);

/* Whether this thread may run operations itself: always where the executor has
 * threads, else where it is the context's. Every TRUE is paired with a leave. */
gboolean  bs_executor_enter           (BsExecutor *executor);
void      bs_executor_leave           (BsExecutor *executor);

/* Runs ready operations until `*done` is set; only inside enter and leave of a
 * executor in a context. Whoever sets it calls bs_executor_wake() afterwards. */
gboolean  bs_executor_is_context      (BsExecutor *executor);
void      bs_executor_run_until       (BsExecutor *executor, int *done);
void      bs_executor_wake            (BsExecutor *executor);

/* What this thread is inside of. A chain on the stack, so that a call which
 * could only wait for itself is seen. */
typedef enum
{
  BS_SCOPE_BACKING,     /* a virtual function of the backing */
  BS_SCOPE_FUNCTION,     /* an application's function */
} BsScopeKind;

typedef struct _BsFrame BsCallScope;
struct _BsFrame
{
  BsCallScope *previous;
  gconstpointer store;
  BsScopeKind kind;
  gboolean lends;    /* has given its place in the executor to others */
  gconstpointer saving;   /* the path, in a save's commit function */
};

void      bs_call_scope_push           (BsCallScope *scope, gconstpointer store, BsScopeKind kind);
void      bs_call_scope_pop            (BsCallScope *scope);
/* The innermost scope of that kind of this store, or NULL. */
BsCallScope  *bs_call_scope_find           (gconstpointer store, BsScopeKind kind);
/* The innermost one of any kind and store, or NULL. */
BsCallScope  *bs_call_scope_get_current    (void);

G_END_DECLS
