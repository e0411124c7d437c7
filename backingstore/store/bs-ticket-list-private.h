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
  guint64 awaited;          /* the barrier of whoever waits until those up to it are done; 0: nobody */
  int worst_priority;       /* among those in the list */
} BsTicketList;

void     bs_ticket_list_append  (BsTicketList *list, BsJob *job, guint64 ticket);
void     bs_ticket_list_remove  (BsTicketList *list, BsJob *job);
/* Whether somebody has to be told when those up to `barrier` are done, since
 * there are some. In place of whoever has waited before. */
gboolean bs_ticket_list_await   (BsTicketList *list, guint64 barrier);
/* The barrier that was awaited and is passed now, or 0. */
guint64  bs_ticket_list_steal_passed (BsTicketList *list);

G_END_DECLS
