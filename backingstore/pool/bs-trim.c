/* SPDX-License-Identifier: LGPL-2.1-or-later */
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
  BsCache *cache = self->cache;

  /* A cancellation that comes now may drop the last other reference. */
  trim_ref (self);
  bs_waiter_connect (caller, trim_leave, NULL);

  g_mutex_lock (&cache->lock);
  if (!self->is_answered)
    {
      self->caller = bs_waiter_ref (caller);
      bs_link_append (&cache->trims, &self->link);
      /* A trim tries every write again now, whatever failed before. */
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
move_caller_locked (BsTrim *self, GPtrArray *callers)
{
  bs_link_remove (&self->link);
  g_ptr_array_add (callers, g_steal_pointer (&self->caller));
}

GPtrArray *
bs_cache_take_reached_trims_locked (BsCache *cache)
{
  GPtrArray *callers = NULL;
  BsLink *link = cache->trims.next;

  while (link != &cache->trims)
    {
      BsTrim *trim = (BsTrim *) link;

      link = link->next;
      if (cache->figures.memory_use <= trim->target)
        {
          if (callers == NULL)
            callers = g_ptr_array_new_with_free_func ((GDestroyNotify) bs_waiter_unref);
          move_caller_locked (trim, callers);
        }
    }

  return callers;
}

void
bs_cache_fail_trims (BsCache *cache, const GError *error)
{
  g_autoptr (GPtrArray) callers = g_ptr_array_new_with_free_func ((GDestroyNotify) bs_waiter_unref);

  g_mutex_lock (&cache->lock);
  while (!bs_link_is_empty (&cache->trims))
    move_caller_locked ((BsTrim *) cache->trims.next, callers);
  g_mutex_unlock (&cache->lock);

  for (guint i = 0; i < callers->len; i++)
    bs_waiter_answer (callers->pdata[i], NULL, g_error_copy (error));
}
