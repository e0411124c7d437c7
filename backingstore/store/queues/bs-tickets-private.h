/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "store/threads/bs-store-operation-private.h"

G_BEGIN_DECLS

/* Operations from when they are asked until they are done, in the order of their
 * tickets. A path has one list in each shard, so that those on different keys do
 * not meet, and one of its own. All of it under one lock; all zero is an empty
 * list. */
typedef struct
{
  BsStoreOperation *first;             /* borrowed, by ticket_next */
  BsStoreOperation *last;
  guint64 last_ticket;      /* written atomically */
  guint64 awaited;          /* somebody waits until those up to this one are done; 0: nobody */
  guint awaited_by;         /* the number of who does */
  int worst_priority;       /* among those in the list */
} BsTickets;

void  bs_tickets_append       (BsTickets *list, BsStoreOperation *operation);
void  bs_tickets_remove       (BsTickets *list, BsStoreOperation *operation);
/* Whether number `waiter` has to be told when those up to `ticket` are done, since
 * there are some. In place of whoever has waited before. */
gboolean bs_tickets_await     (BsTickets *list, guint64 ticket, guint waiter);
/* Who has to be told now, or 0. */
guint bs_tickets_steal_waiter (BsTickets *list);

/* Without the lock. What was asked before the call is counted. */
static inline guint64
bs_tickets_peek_last_ticket (const BsTickets *list)
{
  return __atomic_load_n (&list->last_ticket, __ATOMIC_RELAXED);
}

G_END_DECLS
