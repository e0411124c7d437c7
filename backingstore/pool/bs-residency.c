/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "bs-residency-private.h"

/* Least recently used goes first. */

void
bs_residency_init (BsResidency *self, guint64 budget)
{
  bs_link_init (&self->queue);
  self->bytes = 0;
  self->budget = budget;
}

void
bs_residency_set_budget (BsResidency *self, guint64 budget)
{
  self->budget = budget;
}

void
bs_residency_enter (BsResidency *self, BsResidencyNode *node)
{
  /* What cannot stay anyway does not drive everything else out. */
  if (node->size > self->budget)
    bs_link_append (&self->queue, &node->link);
  else
    bs_link_prepend (&self->queue, &node->link);
  self->bytes += node->size;
}

void
bs_residency_hit (BsResidency *self, BsResidencyNode *node)
{
  if (self->queue.next == &node->link)
    return;

  bs_link_remove (&node->link);
  bs_link_prepend (&self->queue, &node->link);
}

void
bs_residency_leave (BsResidency *self, BsResidencyNode *node)
{
  bs_link_remove (&node->link);
  self->bytes -= node->size;
}

BsResidencyNode *
bs_residency_get_victim (BsResidency *self)
{
  if (bs_link_is_empty (&self->queue))
    return NULL;

  return (BsResidencyNode *) self->queue.prev;
}

guint64
bs_residency_get_bytes (const BsResidency *self)
{
  return self->bytes;
}
