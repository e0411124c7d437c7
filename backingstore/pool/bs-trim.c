/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-trim-private.h"

static BsTrim *
trim_ref (BsTrim *self)
{
  return g_atomic_rc_box_acquire (self);
}

BsTrim *
bs_trim_new (BsCache *cache, guint64 target, int priority)
{
  BsTrim *self = g_atomic_rc_box_new0 (BsTrim);

  self->owner = g_object_ref (cache->owner);
  self->cache = cache;
  self->target = target;
  self->priority = priority;

  return self;
}

static void
trim_clear (gpointer data)
{
  BsTrim *self = data;

  g_object_unref (self->owner);
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
  BsCache *cache = self->cache;
  BsWaiter *waiter = NULL;

  g_mutex_lock (&cache->lock);
  self->is_answered = TRUE;
  if (self->waiter != NULL)
    {
      bs_link_remove (&self->link);
      waiter = g_steal_pointer (&self->waiter);
    }
  g_mutex_unlock (&cache->lock);

  if (waiter != NULL)
    bs_waiter_unref (waiter);
  return NULL;
}

BsDelivery
bs_trim_delivery (BsTrim *self)
{
  return (BsDelivery){ .func = bs_trim_deliver,
                       .data = self,
                       .data_free = (GDestroyNotify) bs_trim_unref };
}

/* Called on the cancelling thread. */
static void
cancel_waiter (BsWaiter *waiter, gpointer data)
{
  bs_waiter_answer (waiter, NULL,
                    g_error_new_literal (G_IO_ERROR, G_IO_ERROR_CANCELLED,
                                         "The trim was cancelled"));
}

void
bs_trim_start (BsTrim *self, BsWaiter *waiter)
{
  BsCache *cache = self->cache;

  /* A cancellation in between may drop the last other reference. */
  trim_ref (self);
  bs_waiter_connect (waiter, cancel_waiter, NULL);

  g_mutex_lock (&cache->lock);
  if (!self->is_answered)
    {
      self->waiter = bs_waiter_ref (waiter);
      bs_link_append (&cache->trims, &self->link);
      /* A trim tries each failed write again at once. */
      for (guint i = 0; i < BS_N_TROUBLES; i++)
        cache->write_queues[i].retry_at = 0;
    }
  g_mutex_unlock (&cache->lock);

  bs_trim_unref (self);
}

guint64
bs_cache_get_target_locked (BsCache *cache)
{
  guint64 target = cache->max_bytes;

  for (BsLink *link = cache->trims.next; link != &cache->trims; link = link->next)
    target = MIN (target, ((BsTrim *) link)->target);

  return target;
}

int
bs_cache_get_trim_priority_locked (BsCache *cache)
{
  int priority = G_PRIORITY_DEFAULT;

  for (BsLink *link = cache->trims.next; link != &cache->trims; link = link->next)
    priority = MIN (priority, ((BsTrim *) link)->priority);

  return priority;
}

/* The lock must be held. */
static void
move_waiter_locked (BsTrim *self, GPtrArray *waiters)
{
  bs_link_remove (&self->link);
  g_ptr_array_add (waiters, g_steal_pointer (&self->waiter));
}

GPtrArray *
bs_cache_take_reached_trims_locked (BsCache *cache, gboolean *is_shrunk)
{
  GPtrArray *waiters = NULL;
  BsLink *link = cache->trims.next;

  while (link != &cache->trims)
    {
      BsTrim *trim = (BsTrim *) link;

      link = link->next;
      if (cache->figures.memory_use <= trim->target)
        {
          if (waiters == NULL)
            waiters = g_ptr_array_new_with_free_func ((GDestroyNotify) bs_waiter_unref);
          move_waiter_locked (trim, waiters);
          *is_shrunk |= trim->target < cache->max_bytes;
        }
    }

  return waiters;
}

void
bs_cache_fail_trims (BsCache *cache, const GError *error)
{
  g_autoptr (GPtrArray) waiters = g_ptr_array_new_with_free_func ((GDestroyNotify) bs_waiter_unref);

  g_mutex_lock (&cache->lock);
  while (!bs_link_is_empty (&cache->trims))
    move_waiter_locked ((BsTrim *) cache->trims.next, waiters);
  g_mutex_unlock (&cache->lock);

  for (guint i = 0; i < waiters->len; i++)
    bs_waiter_answer (waiters->pdata[i], NULL, g_error_copy (error));
}
