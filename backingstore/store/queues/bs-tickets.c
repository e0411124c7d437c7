/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-tickets-private.h"

void
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

void
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

static gboolean
has_up_to (BsTickets *list, guint64 ticket)
{
  return list->first != NULL && list->first->ticket <= ticket;
}

gboolean
bs_tickets_await (BsTickets *list, guint64 ticket, guint count)
{
  list->awaited = has_up_to (list, ticket) ? ticket : 0;
  list->awaited_by = count;

  return list->awaited != 0;
}

guint
bs_tickets_steal_count (BsTickets *list)
{
  if (list->awaited == 0 || has_up_to (list, list->awaited))
    return 0;

  list->awaited = 0;
  return list->awaited_by;
}
