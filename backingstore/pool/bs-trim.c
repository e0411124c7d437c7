/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "bs-trim-private.h"

#include "bs-pool-private.h"

static BsTrim *
trim_ref (BsTrim *self)
{
  return g_atomic_rc_box_acquire (self);
}

BsTrim *
bs_trim_new (BsPool *pool, guint64 target, int priority)
{
  BsTrim *self = g_atomic_rc_box_new0 (BsTrim);

  self->pool = g_object_ref (pool);
  self->target = target;
  self->priority = priority;

  return self;
}

static void
trim_clear (gpointer data)
{
  BsTrim *self = data;

  g_object_unref (self->pool);
}

void
bs_trim_unref (BsTrim *self)
{
  g_atomic_rc_box_release_full (self, trim_clear);
}

gpointer
bs_trim_deliver (gpointer data, gpointer value, GError **error)
{
  BsTrim *self = data;
  BsCache *cache = bs_pool_get_cache (self->pool);
  BsWaiter *caller = NULL;

  g_mutex_lock (&cache->lock);
  self->is_answered = TRUE;
  if (self->caller != NULL)
    {
      bs_link_remove (&self->link);
      caller = g_steal_pointer (&self->caller);
    }
  g_mutex_unlock (&cache->lock);

  if (caller != NULL)
    bs_waiter_unref (caller);
  return NULL;
}

/* Called on the cancelling thread. */
static void
trim_leave (BsWaiter *caller, gpointer data)
{
  bs_waiter_answer (caller, NULL, g_error_new_literal (G_IO_ERROR, G_IO_ERROR_CANCELLED, "The trim was cancelled"));
}

void
bs_trim_start (BsTrim *self, BsWaiter *caller)
{
  BsCache *cache = bs_pool_get_cache (self->pool);

  /* A cancellation that comes in here may be the end of the trim. */
  trim_ref (self);
  bs_waiter_connect (caller, trim_leave, NULL);

  g_mutex_lock (&cache->lock);
  if (!self->is_answered)
    {
      self->caller = bs_waiter_ref (caller);
      bs_link_append (&cache->trims, &self->link);
      /* Whoever asks now wants to know now, whatever failed before. */
      for (guint i = 0; i < BS_N_OUTBOXES; i++)
        cache->outboxes[i].retry_at = 0;
    }
  g_mutex_unlock (&cache->lock);

  bs_trim_unref (self);
}
