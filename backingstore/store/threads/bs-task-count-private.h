/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <glib-object.h>

G_BEGIN_DECLS

/* Counts the operations of a store that are queued or running: each once, from before
 * it is admitted until its result is handed over.
 *
 * Operations of many threads begin and end at the same time, so that the count is
 * spread over stripes, each in a cache line of its own. A stripe counts begun and
 * ended operations, and neither number ever goes down: if the sum of the ended ones,
 * read first, equals the sum of the begun ones, nothing was under way in between. */
#define BS_TASK_COUNT_STRIPES 16

typedef struct _BsTaskCount BsTaskCount;
typedef struct _BsStoreOperation BsStoreOperation;
typedef struct _BsTaskCountStripe BsTaskCountStripe;

struct _BsTaskCount
{
  /* constant */
  GObject *owner;                       /* the task tracker, of which this is part */
  void (*changed) (GObject *owner);     /* called unless a notification is under way already */
  void (*idle) (GObject *owner);        /* perhaps nothing is under way; a wait is on */
  BsTaskCountStripe *stripes;           /* owned */

  int notifying;                        /* atomic: a notification is under way */
  int n_awaiting;                       /* atomic: waits that end when nothing is under way */

  GMutex mutex;                         /* of those waits; outlives the store */
  GCond hurry_cond;                     /* something waits for operations that pause */
  BsStoreOperation *close_operation;    /* owned; under the mutex: the store is to be closed, or is being closed */
};

void     bs_task_count_init    (BsTaskCount *count, GObject *owner, void (*changed) (GObject *owner), void (*idle) (GObject *owner));
void     bs_task_count_clear   (BsTaskCount *count);

/* No lock held at the end: it may answer waiters. */
/* Returns the stripe, for the end. */
guint    bs_task_count_begin   (BsTaskCount *count);
void     bs_task_count_end     (BsTaskCount *count, guint stripe);

/* One wait more, or fewer. A wait asks bs_task_count_is_idle() once more after this. Under
 * the mutex. */
void     bs_task_count_await   (BsTaskCount *count, int n);
/* Has operations that pause look whether they may go on. */
void     bs_task_count_hurry   (BsTaskCount *count);
gboolean bs_task_count_is_idle (BsTaskCount *count);
guint    bs_task_count_get     (BsTaskCount *count);

G_END_DECLS
