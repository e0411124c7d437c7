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

void     bs_tickets_append      (BsTickets *list, BsStoreOperation *operation);
void     bs_tickets_remove      (BsTickets *list, BsStoreOperation *operation);
/* Whether operations up to `ticket` are in the list, so that count number `count`
 * has to be told when they are done. Replaces an earlier count. */
gboolean bs_tickets_await       (BsTickets *list, guint64 ticket, guint count);
/* The number of the count that has to be told now, or 0. */
guint    bs_tickets_steal_count (BsTickets *list);

/* Without the lock. Every operation asked before the call is covered. */
static inline guint64
bs_tickets_peek_last_ticket (const BsTickets *list)
{
  return __atomic_load_n (&list->last_ticket, __ATOMIC_RELAXED);
}

G_END_DECLS
