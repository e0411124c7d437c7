/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* Runs ready operations: in a bounded number of threads, or in one main context.
 * The entry with the best priority goes first, first come first served among
 * equals. */
typedef struct _BsExecutor BsExecutor;

typedef struct _BsExecutorEntry BsExecutorEntry;
struct _BsExecutorEntry
{
  void (*run) (BsExecutorEntry *entry);   /* constant; gets the reference given to bs_executor_submit() */

  /* under the executor's mutex */
  guint index;                            /* in the heap, from 1; 0 where the entry is not queued */
  int priority;
  guint64 sequence;                       /* of submission, among equal priorities */
};

BsExecutor *bs_executor_new             (guint max_threads) G_GNUC_WARN_UNUSED_RESULT;
BsExecutor *bs_executor_new_in_context  (GMainContext *context) G_GNUC_WARN_UNUSED_RESULT;
BsExecutor *bs_executor_ref             (BsExecutor *executor);
void        bs_executor_unref           (BsExecutor *executor);
/* Nothing is submitted any more. */
void        bs_executor_close           (BsExecutor *executor);

void        bs_executor_set_max_threads (BsExecutor *executor, guint max_threads);
/* Gives one thread more, until it is taken back: for a function that waits. */
void        bs_executor_lend            (BsExecutor *executor, int n_threads);
/* Lends the place of the function that this thread is inside of, if it is, since
 * the function may be about to wait for others. The end of the function takes the
 * place back. */
void        bs_executor_lend_place      (BsExecutor *executor, gconstpointer store);

/* The executor that this thread belongs to, or NULL. All that such a thread runs is
 * part of an operation that is not over. */
BsExecutor *bs_executor_get_current     (void);
/* Whether this thread is inside of one of the store's operations. */
gboolean    bs_executor_is_inside       (BsExecutor *executor, gconstpointer store);

/* Takes over a reference on the entry's owner, which `run` gets. */
void        bs_executor_submit          (BsExecutor *executor, BsExecutorEntry *entry, int priority);
/* TRUE where the entry was queued: the reference is the caller's again. */
gboolean    bs_executor_forget          (BsExecutor *executor, BsExecutorEntry *entry);
void        bs_executor_boost           (BsExecutor *executor, BsExecutorEntry *entry, int priority);

/* Whether this thread may run operations itself: always where the executor has
 * threads, else where the thread is the context's. Every TRUE is paired with a leave. */
gboolean    bs_executor_enter           (BsExecutor *executor);
void        bs_executor_leave           (BsExecutor *executor);

/* Runs ready operations until `*done` is set; only inside enter and leave of an
 * executor in a context. The setter of `*done` calls bs_executor_wake() afterwards. */
gboolean    bs_executor_is_context      (BsExecutor *executor);
void        bs_executor_run_until       (BsExecutor *executor, int *done);
void        bs_executor_wake            (BsExecutor *executor);

G_END_DECLS
