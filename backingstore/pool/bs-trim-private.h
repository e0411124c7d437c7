/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "bs-cache-private.h"

G_BEGIN_DECLS

/* A wait until the cache is down to a target. The caller is made with
 * bs_trim_deliver(), the trim, and bs_trim_unref(). Follow bs_trim_start() with
 * bs_pool_settle(). */
typedef struct _BsTrim BsTrim;

struct _BsTrim
{
  BsLink link;          /* under the cache's lock */
  BsWaiter *caller;     /* owned while linked; under the cache's lock */
  gboolean is_answered; /* under the cache's lock */

  /* constant */
  BsPool *pool;         /* owned */
  guint64 target;
  int priority;
};

BsTrim        *bs_trim_new             (BsPool *pool, guint64 target, int priority);
void           bs_trim_unref           (BsTrim *self);
gpointer       bs_trim_deliver         (gpointer data, gpointer value, GError **error);
void           bs_trim_start           (BsTrim *self, BsWaiter *caller);

G_END_DECLS
