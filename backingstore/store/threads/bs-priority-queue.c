/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-priority-queue-private.h"

static gboolean
goes_before (const BsPriorityEntry *a, const BsPriorityEntry *b)
{
  return a->priority < b->priority || (a->priority == b->priority && a->sequence < b->sequence);
}

static void
place (BsPriorityQueue *self, BsPriorityEntry *entry, guint index)
{
  self->heap->pdata[index - 1] = entry;
  entry->index = index;
}

static void
sift_up (BsPriorityQueue *self, BsPriorityEntry *entry, guint index)
{
  while (index > 1)
    {
      BsPriorityEntry *parent = self->heap->pdata[index / 2 - 1];

      if (!goes_before (entry, parent))
        break;
      place (self, parent, index);
      index /= 2;
    }
  place (self, entry, index);
}

static void
sift_down (BsPriorityQueue *self, BsPriorityEntry *entry, guint index)
{
  guint n_entries = self->heap->len;

  for (guint child = index * 2; child <= n_entries; child = index * 2)
    {
      if (child < n_entries && goes_before (self->heap->pdata[child], self->heap->pdata[child - 1]))
        child++;
      if (!goes_before (self->heap->pdata[child - 1], entry))
        break;
      place (self, self->heap->pdata[child - 1], index);
      index = child;
    }
  place (self, entry, index);
}

void
bs_priority_queue_init (BsPriorityQueue *self)
{
  self->heap = g_ptr_array_new ();
  self->n_pushed = 0;
}

void
bs_priority_queue_clear (BsPriorityQueue *self)
{
  g_clear_pointer (&self->heap, g_ptr_array_unref);
}

void
bs_priority_queue_push (BsPriorityQueue *self, BsPriorityEntry *entry, int priority)
{
  entry->priority = priority;
  self->n_pushed++;
  entry->sequence = entry->newest_first ? -self->n_pushed : self->n_pushed;
  g_ptr_array_add (self->heap, entry);
  sift_up (self, entry, self->heap->len);
}

void
bs_priority_queue_take (BsPriorityQueue *self, BsPriorityEntry *entry)
{
  BsPriorityEntry *last = self->heap->pdata[self->heap->len - 1];
  guint index = entry->index;

  g_ptr_array_set_size (self->heap, self->heap->len - 1);
  entry->index = 0;
  if (last == entry)
    return;

  if (goes_before (last, entry))
    sift_up (self, last, index);
  else
    sift_down (self, last, index);
}

BsPriorityEntry *
bs_priority_queue_pop (BsPriorityQueue *self)
{
  BsPriorityEntry *entry = bs_priority_queue_peek (self);

  if (entry != NULL)
    bs_priority_queue_take (self, entry);
  return entry;
}
