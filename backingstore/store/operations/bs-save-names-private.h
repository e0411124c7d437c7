/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "base/bs-key-table-private.h"
#include "store/operations/bs-batch-private.h"
#include "store/operations/bs-save-plan-private.h"

G_BEGIN_DECLS

/* The part of a save that brings its names to the path: each is an operation on its
 * key, or two, so many at a time. Where the backing persists many keys in one call, names with
 * a token go together, and each of so many is an operation on a share of the names. */
typedef struct
{
  BsBatch batch;

  /* constant */
  const BsSavePlan *plan;

  /* before it is started */
  guint *todo;                /* owned; names that are not at the path, or not certainly */
  guint n_todo;
  BsKeyTable uncertain;       /* names without a token that may be at the path, and may not be durable */

  guint n_together;           /* names that go together at most */
  BsToken **tokens;           /* owned; one for each of `todo`, or NULL */
  BsWaiter *waiter;           /* owned; answered when every name has ended */

  GMutex mutex;
  guint next_todo;            /* under the mutex */
  GError *error;              /* owned; the first one; under the mutex */
  BsKeyTable rewritten;       /* names that primary storage had lost; under the mutex */
  int failed;                 /* atomic: there is an error */
} BsSaveNames;

/* The prefix of an error that tells more of a name than its key; may be empty. */
char *bs_save_plan_describe (const BsSavePlan *plan, guint name) G_GNUC_WARN_UNUSED_RESULT;

void bs_save_names_init  (BsSaveNames *self, BsStoreOperation *operation, const BsSavePlan *plan);
void bs_save_names_clear (BsSaveNames *self);
/* Prepares the next run, over the names of `todo`, which is taken over. */
void bs_save_names_reset (BsSaveNames *self, guint *todo, guint n_todo);

/* Starts a run, which answers the waiter at its end. The thread of a blocking waiter runs
 * operations itself. */
void bs_save_names_start (BsSaveNames *self, BsWaiter *waiter);

G_END_DECLS
