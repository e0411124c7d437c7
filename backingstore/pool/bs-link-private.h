/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* A ring of nodes that live inside other structs, with a head that is no
 * element. Not thread-safe. */
typedef struct _BsLink BsLink;

struct _BsLink
{
  BsLink *prev;
  BsLink *next;
};

static inline void
bs_link_init (BsLink *head)
{
  head->prev = head;
  head->next = head;
}

static inline gboolean
bs_link_is_empty (const BsLink *head)
{
  return head->next == head;
}

static inline void
bs_link_insert_before (BsLink *where, BsLink *link)
{
  link->prev = where->prev;
  link->next = where;
  where->prev->next = link;
  where->prev = link;
}

static inline void
bs_link_append (BsLink *head, BsLink *link)
{
  bs_link_insert_before (head, link);
}

static inline void
bs_link_prepend (BsLink *head, BsLink *link)
{
  bs_link_insert_before (head->next, link);
}

static inline void
bs_link_remove (BsLink *link)
{
  link->prev->next = link->next;
  link->next->prev = link->prev;
  link->prev = NULL;
  link->next = NULL;
}

G_END_DECLS
