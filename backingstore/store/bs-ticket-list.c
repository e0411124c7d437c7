/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "bs-ticket-list-private.h"

void
bs_ticket_list_append (BsTicketList *list, BsJob *job, guint64 ticket)
{
  int priority = g_atomic_int_get (&job->priority);

  job->ticket = ticket;
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
passed (BsTicketList *list, guint64 barrier)
{
  return list->first == NULL || list->first->ticket > barrier;
}

gboolean
bs_ticket_list_await (BsTicketList *list, guint64 barrier)
{
  list->awaited = passed (list, barrier) ? 0 : barrier;

  return list->awaited != 0;
}

guint64
bs_ticket_list_steal_passed (BsTicketList *list)
{
  guint64 barrier = list->awaited;

  if (barrier == 0 || !passed (list, barrier))
    return 0;

  list->awaited = 0;
  return barrier;
}
