/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <gio/gio.h>

#include "store/threads/bs-priority-queue-private.h"
#include "store/threads/bs-spawner-private.h"

G_BEGIN_DECLS

/* Runs ready operations: in a bounded number of threads, or in one main context.
 * The entry with the best priority goes first, first come first served among
 * equals. */
typedef struct _BsExecutor BsExecutor;

typedef struct _BsExecutorEntry BsExecutorEntry;
struct _BsExecutorEntry
{
  BsPriorityEntry waiting;                /* first; under the executor's mutex */
  void (*run) (BsExecutorEntry *entry);   /* constant; gets the reference given to bs_executor_submit() */
  guint64 queue;                          /* constant; names the queue in which it waits for its turn; 0: none */
};

/* Which entries a thread runs while it waits, if no thread can be made for them. */
typedef enum
{
  BS_REACH_FIRST,         /* those of its executor */
  BS_REACH_NEXT,          /* and those of the next one that blocking calls wait for */
  BS_REACH_ALL,           /* every entry of every executor: the thread waits for them all */
} BsReach;

/* A thread inside a blocking call: zeroed memory. */
typedef struct _BsSleeper BsSleeper;
struct _BsSleeper
{
  /* constant while it sleeps */
  BsReach reach;
  guint64 queue;          /* what it waits for is in this queue, whose entries it runs; 0: none */
  gboolean awaits_many;   /* and in other queues: runs what blocking calls wait for, where all workers are busy */
  void (*run_awaited) (BsSleeper *sleeper); /* nullable; runs what waits for a place already, before the first sleep */
  BsExecutor *executor;   /* borrowed */

  BsExecutorEntry *given; /* under the executor's mutex: for this thread to run */

  GMutex mutex;           /* as zeroed memory; cleared where it was used */
  GCond cond;
  int done;               /* atomic; set under the mutex: the call may go on */
  gboolean sleeps;        /* under the mutex */
  gboolean called;        /* under the mutex: an entry is to be looked at */
};

/* The priority of entries that blocking calls wait for. */
#define BS_PRIORITY_BLOCKING G_PRIORITY_HIGH

/* `name` is static, the name of each thread. A sleeper reaches the entries of `next`,
 * nullable, as well. */
BsExecutor *bs_executor_new             (const char *name, guint max_threads, BsExecutor *next) G_GNUC_WARN_UNUSED_RESULT;
BsExecutor *bs_executor_new_in_context  (GMainContext *context) G_GNUC_WARN_UNUSED_RESULT;
BsExecutor *bs_executor_ref             (BsExecutor *executor);
void        bs_executor_unref           (BsExecutor *executor);
/* Nothing is submitted any more. */
void        bs_executor_close           (BsExecutor *executor);

void        bs_executor_set_max_threads (BsExecutor *executor, guint max_threads);
/* How far below the process the threads run. Where a thread may not go back up, a new
 * one takes its place. */
void        bs_executor_set_nice        (BsExecutor *executor, int nice);
/* Gives one thread more, until it is taken back: for a function that waits. */
void        bs_executor_lend            (BsExecutor *executor, int n_threads);
/* Lends the place of the function that this thread is inside of, if it is, since
 * the function may be about to wait for others. The end of the function takes the
 * place back. */
void        bs_executor_lend_place      (BsExecutor *executor, gconstpointer store);

/* Whether this thread is inside of one of the store's operations. */
gboolean    bs_executor_is_inside       (BsExecutor *executor, gconstpointer store);

/* Takes over a reference on the entry's owner, which `run` gets. */
void        bs_executor_submit          (BsExecutor *executor, BsExecutorEntry *entry, int priority);
/* TRUE where the entry was queued: the reference is the caller's again. */
gboolean    bs_executor_forget          (BsExecutor *executor, BsExecutorEntry *entry);
void        bs_executor_boost           (BsExecutor *executor, BsExecutorEntry *entry, int priority);
/* From now on the entry goes before all others of its priority, those that go newest first
 * and come later excepted. */
void        bs_executor_bring_forward   (BsExecutor *executor, BsExecutorEntry *entry);
/* An entry that waits for a thread covers more than it did: tries again to make one. */
void        bs_executor_remind          (BsExecutor *executor);

/* Whether this thread may run operations itself: always where the executor has
 * threads, else where the thread is the context's. Every TRUE is paired with a leave. */
gboolean    bs_executor_enter           (BsExecutor *executor);
void        bs_executor_leave           (BsExecutor *executor);

gboolean    bs_executor_is_context      (BsExecutor *executor);

/* Blocks until the sleeper is woken. Meanwhile the thread runs ready entries: those of
 * the sleeper's queue, and all if it is that of the executor's context, or if no thread
 * can be made for them. */
void        bs_executor_sleep           (BsExecutor *executor, BsSleeper *sleeper);
/* The sleeper may be gone when this returns: the thread that sleeps takes the mutex
 * once more before it goes on. */
void        bs_sleeper_wake             (BsSleeper *sleeper);
void        bs_sleeper_clear            (BsSleeper *sleeper);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (BsExecutor, bs_executor_unref)

G_END_DECLS
