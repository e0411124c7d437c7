/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "bs-link-private.h"

G_BEGIN_DECLS

/* Which nodes stay in memory, and which leaves first. Knows sizes and the order
 * of uses, nothing of what the nodes stand for. Not thread-safe: its owner's
 * lock covers it and every node. */

/* Lives as long as what it stands for, in memory or not, so that a policy may
 * keep in it what it remembers of a node that has left. All zero at first. */
typedef struct
{
  BsLink link;        /* belongs to the owner while the node is not in */
  guint64 size;       /* bytes; constant while the node is in */
} BsResidencyNode;

typedef struct
{
  BsLink queue;       /* most recently used first */
  guint64 bytes;
  guint64 budget;
} BsResidency;

void             bs_residency_init       (BsResidency *self, guint64 budget);
void             bs_residency_set_budget (BsResidency *self, guint64 budget);

/* The node was loaded or inserted, or is to be looked after again. */
void             bs_residency_enter      (BsResidency *self, BsResidencyNode *node);
/* The node was used. */
void             bs_residency_hit        (BsResidency *self, BsResidencyNode *node);
/* The node left memory, or is its owner's business from now on. */
void             bs_residency_leave      (BsResidency *self, BsResidencyNode *node);

/* Who should leave next; it stays in until bs_residency_leave(). */
BsResidencyNode *bs_residency_get_victim (BsResidency *self);
guint64          bs_residency_get_bytes  (const BsResidency *self);

G_END_DECLS
