/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "bs-ticket-list-private.h"

void
bs_ticket_list_append (BsTicketList *list, BsJob *job)
{
  int priority = g_atomic_int_get (&job->priority);

  job->ticket = list->last_ticket + 1;
  __atomic_store_n (&list->last_ticket, job->ticket, __ATOMIC_RELAXED);
  job->ticket_next = NULL;
  job->ticket_previous = list->last;
  if (list->last != NULL)
    list->last->ticket_next = job;
  else
    list->first = job;
  list->last = job;
  list->worst_priority = job->ticket_previous == NULL ? priority : MAX (list->worst_priority, priority);
}

void
bs_ticket_list_remove (BsTicketList *list, BsJob *job)
{
  if (job->ticket_previous != NULL)
    job->ticket_previous->ticket_next = job->ticket_next;
  else
    list->first = job->ticket_next;
  if (job->ticket_next != NULL)
    job->ticket_next->ticket_previous = job->ticket_previous;
  else
    list->last = job->ticket_previous;
  job->ticket = 0;
}

static gboolean
has_up_to (BsTicketList *list, guint64 ticket)
{
  return list->first != NULL && list->first->ticket <= ticket;
}

gboolean
bs_ticket_list_await (BsTicketList *list, guint64 ticket, guint waiter)
{
  list->awaited = has_up_to (list, ticket) ? ticket : 0;
  list->awaited_by = waiter;

  return list->awaited != 0;
}

guint
bs_ticket_list_steal_waiter (BsTicketList *list)
{
  if (list->awaited == 0 || has_up_to (list, list->awaited))
    return 0;

  list->awaited = 0;
  return list->awaited_by;
}
