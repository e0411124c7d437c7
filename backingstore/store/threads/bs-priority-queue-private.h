/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* A binary heap: the entry with the best priority first, and the one that came first
 * among equals. Entries that are to go newest first go before their other equals, and the
 * last one first. Any number of distinct priorities costs a logarithm. No lock is taken. */
typedef struct
{
  guint index;                /* in the heap, from 1; 0 where the entry is in no queue */
  int priority;
  gboolean newest_first;      /* by the owner; from the next push on */
  gint64 sequence;            /* among equal priorities: of arrival, or backwards */
} BsPriorityEntry;

typedef struct
{
  GPtrArray *heap;            /* owned; of BsPriorityEntry, the root first */
  gint64 n_pushed;
} BsPriorityQueue;

void             bs_priority_queue_init  (BsPriorityQueue *self);
void             bs_priority_queue_clear (BsPriorityQueue *self);

void             bs_priority_queue_push  (BsPriorityQueue *self, BsPriorityEntry *entry, int priority);
/* Takes the entry out, which is in this queue. */
void             bs_priority_queue_take  (BsPriorityQueue *self, BsPriorityEntry *entry);
/* Takes the first entry out; NULL if there is none. */
BsPriorityEntry *bs_priority_queue_pop   (BsPriorityQueue *self);

static inline guint
bs_priority_queue_get_length (const BsPriorityQueue *self)
{
  return self->heap->len;
}

static inline BsPriorityEntry *
bs_priority_queue_peek (const BsPriorityQueue *self)
{
  return self->heap->len > 0 ? self->heap->pdata[0] : NULL;
}

G_END_DECLS
