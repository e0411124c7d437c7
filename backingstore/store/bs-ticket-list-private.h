/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "bs-job-private.h"

G_BEGIN_DECLS

/* Operations from when they are asked until they are done, in the order of their
 * tickets. A path has one list in each shard, so that those on different keys do
 * not meet, and one of its own. All of it under one lock; all zero is an empty
 * list. */
typedef struct
{
  BsJob *first;             /* borrowed, by ticket_next */
  BsJob *last;
  guint64 last_ticket;      /* written atomically */
  guint64 awaited;          /* somebody waits until those up to this one are done; 0: nobody */
  guint awaited_by;         /* the number of who does */
  int worst_priority;       /* among those in the list */
} BsTicketList;

void  bs_ticket_list_append       (BsTicketList *list, BsJob *job);
void  bs_ticket_list_remove       (BsTicketList *list, BsJob *job);
/* Whether number `waiter` has to be told when those up to `ticket` are done, since
 * there are some. In place of whoever has waited before. */
gboolean bs_ticket_list_await     (BsTicketList *list, guint64 ticket, guint waiter);
/* Who has to be told now, or 0. */
guint bs_ticket_list_steal_waiter (BsTicketList *list);

/* Without the lock. What was asked before the call is counted. */
static inline guint64
bs_ticket_list_peek_last_ticket (const BsTicketList *list)
{
  return __atomic_load_n (&list->last_ticket, __ATOMIC_RELAXED);
}

G_END_DECLS
