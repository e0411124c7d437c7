/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/bs-key-table-private.h"
#include "store/threads/bs-store-operation-private.h"
#include "store/operations/bs-save-operation-private.h"

G_BEGIN_DECLS

/* The part of a save that brings its names to the path: each is an operation on
 * its key, so many at a time. */
typedef struct
{
  /* constant */
  BsStoreOperation *operation;                 /* the save's: not a reference */
  const BsSavePlan *plan;
  GCancellable *cancellable;  /* borrowed, nullable */

  /* before it is started */
  guint *todo;                /* owned; names that are not at the path, or not certainly */
  guint n_todo;
  BsKeyTable doubted;         /* of those without a token: what may be there, and may not be durable */

  GMutex mutex;

  /* under the mutex */
  guint next_todo;
  guint n_running;
  gboolean pumping;           /* somebody is about to look whether more can be started */
  BsWaiter *waiter;           /* owned; to be answered when all is done */
  BsToken **tokens;       /* owned; one for each of `todo`, or NULL */
  GError *error;              /* owned; the first one */
} BsSaveNames;

void bs_save_names_init  (BsSaveNames *self, BsStoreOperation *operation, const BsSavePlan *plan, GCancellable *cancellable);
void bs_save_names_clear (BsSaveNames *self);
/* It has ended, and there is more to do: takes `todo` over. */
void bs_save_names_reset (BsSaveNames *self, guint *todo, guint n_todo);

/* Starts, and answers `waiter`. A blocking one's thread does what it can itself. */
void bs_save_names_start (BsSaveNames *self, BsWaiter *waiter);

G_END_DECLS
