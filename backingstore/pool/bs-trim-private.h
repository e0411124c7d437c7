/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-cache-private.h"

G_BEGIN_DECLS

/* A wait until the cache is down to a target. Its waiter is made with
 * bs_trim_delivery(). */
typedef struct _BsTrim BsTrim;

struct _BsTrim
{
  BsLink link;          /* under the cache's lock */
  BsWaiter *waiter;     /* owned while linked; under the cache's lock */
  gboolean is_answered; /* under the cache's lock */

  /* constant */
  GObject *owner;       /* owned: an eviction needs the cache's owner */
  BsCache *cache;       /* kept by the owner */
  guint64 target;
  int priority;
};

/* The caller holds the cache's owner. */
BsTrim        *bs_trim_new             (BsCache *cache, guint64 target, int priority) G_GNUC_WARN_UNUSED_RESULT;
void           bs_trim_unref           (BsTrim *self);
/* Takes over a reference on the trim. */
BsDelivery     bs_trim_delivery        (BsTrim *self);
/* The function of bs_trim_delivery(), for a delivery that does more. */
gpointer       bs_trim_deliver         (gpointer trim, gpointer value, GError **error);
/* To be followed by bs_cache_settle(). */
void           bs_trim_start           (BsTrim *self, BsWaiter *waiter);

/* The cache's lock must be held. */
/* Returns the smallest of the budget and the targets of the trims, in bytes. */
guint64        bs_cache_get_target_locked         (BsCache *cache);
/* Returns the best priority of the trims. */
int            bs_cache_get_trim_priority_locked  (BsCache *cache);
/* Returns references on the BsWaiters of all trims that have reached their targets, NULL
 * for none. Sets `is_shrunk` if one of the targets is below the budget. */
GPtrArray     *bs_cache_take_reached_trims_locked (BsCache *cache, gboolean *is_shrunk) G_GNUC_WARN_UNUSED_RESULT;

/* Answers all trims with an error. No lock held. */
void           bs_cache_fail_trims                (BsCache *cache, const GError *error);

G_END_DECLS
