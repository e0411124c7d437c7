/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/bs-key-table-private.h"
#include "store/bs-backing-store-private.h"
#include "store/threads/bs-progress-private.h"
#include "store/bs-verify.h"

G_BEGIN_DECLS

struct _BsVerify
{
  GObject parent_instance;

  /* constant after construction */
  BsBackingStore *store;        /* owned */
  BsTrackedPath *tracked;       /* owned */

  BsProgress progress;
  int n_bad_pending;            /* atomic: a notification is under way */

  GMutex mutex;

  /* under the mutex */
  gboolean running;
  BsKeyTable bad;
};

/* Runs it, and answers `waiter`. */
void bs_verify_start        (BsVerify *self, BsWaiter *waiter);
void bs_verify_notify_n_bad (BsVerify *self);

G_END_DECLS
