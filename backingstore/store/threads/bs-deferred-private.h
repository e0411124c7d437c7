/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Work found under a lock, to be done after unlocking. Waiters may be answered first,
 * and an answer may call out: a thread that is about to sleep in there runs the
 * pushed work before. */
typedef struct _BsDeferred BsDeferred;
typedef struct _BsStoreOperation BsStoreOperation;

struct _BsDeferred
{
  BsStoreOperation *ready;          /* owned, by ready_next */
  BsStoreOperation *dropped;        /* owned, by dropped_next */

  void (*run) (BsDeferred *deferred);   /* set while pushed */
  BsDeferred *outer;                    /* on this thread's stack */
};

void bs_deferred_push       (BsDeferred *deferred, void (*run) (BsDeferred *deferred));
void bs_deferred_pop        (BsDeferred *deferred);
/* Runs everything that this thread has pushed. No lock held. */
void bs_deferred_run_pushed (void);

static inline gboolean
bs_deferred_is_empty (const BsDeferred *deferred)
{
  return deferred->ready == NULL && deferred->dropped == NULL;
}

G_END_DECLS
