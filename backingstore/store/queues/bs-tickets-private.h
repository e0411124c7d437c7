/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "store/threads/bs-store-operation-private.h"

G_BEGIN_DECLS

/* The operations on a path from when they are asked until they are done, in the
 * order of their tickets. A path has one list in each shard, so that operations on
 * different keys do not contend for a lock, and one of its own for those on many
 * keys. Under the lock of the shard, or of the path; all zero is an empty list. */
typedef struct
{
  BsStoreOperation *first;  /* borrowed, by ticket_next */
  BsStoreOperation *last;
  _Alignas (8) guint64 last_ticket; /* written atomically */
  guint64 awaited;          /* a count waits until the operations up to this ticket are done; 0: none does */
  guint awaited_by;         /* the number of that count */
  int worst_priority;       /* among the operations in the list */
} BsTickets;

static inline void
bs_tickets_append (BsTickets *list, BsStoreOperation *operation)
{
  int priority = g_atomic_int_get (&operation->priority);

  operation->ticket = list->last_ticket + 1;
  __atomic_store_n (&list->last_ticket, operation->ticket, __ATOMIC_RELAXED);
  operation->ticket_next = NULL;
  operation->ticket_previous = list->last;
  if (list->last != NULL)
    list->last->ticket_next = operation;
  else
    list->first = operation;
  list->last = operation;
  list->worst_priority =
    operation->ticket_previous == NULL ? priority : MAX (list->worst_priority, priority);
}

static inline void
bs_tickets_remove (BsTickets *list, BsStoreOperation *operation)
{
  if (operation->ticket_previous != NULL)
    operation->ticket_previous->ticket_next = operation->ticket_next;
  else
    list->first = operation->ticket_next;
  if (operation->ticket_next != NULL)
    operation->ticket_next->ticket_previous = operation->ticket_previous;
  else
    list->last = operation->ticket_previous;
  operation->ticket = 0;
}

static inline gboolean
bs_tickets_has_up_to (BsTickets *list, guint64 ticket)
{
  return list->first != NULL && list->first->ticket <= ticket;
}

/* Whether operations up to `ticket` are in the list, so that count number `count`
 * has to be told when they are done. Replaces an earlier count. */
static inline gboolean
bs_tickets_await (BsTickets *list, guint64 ticket, guint count)
{
  list->awaited = bs_tickets_has_up_to (list, ticket) ? ticket : 0;
  list->awaited_by = count;

  return list->awaited != 0;
}

/* Returns the number of the count that has to be told now, or 0. */
static inline guint
bs_tickets_steal_count (BsTickets *list)
{
  if (list->awaited == 0 || bs_tickets_has_up_to (list, list->awaited))
    return 0;

  list->awaited = 0;
  return list->awaited_by;
}

/* Without the lock. Every operation asked before the call is covered. */
static inline guint64
bs_tickets_peek_last_ticket (const BsTickets *list)
{
  return __atomic_load_n (&list->last_ticket, __ATOMIC_RELAXED);
}

G_END_DECLS
