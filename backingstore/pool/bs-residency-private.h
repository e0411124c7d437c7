/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-link-private.h"

G_BEGIN_DECLS

/* Decides which nodes stay in memory, and which node leaves first, from sizes and times of
 * use alone. Not thread-safe: the owner's lock covers a residency and every node; only
 * bs_residency_hit() needs no lock. */

/* A node lives as long as its content, in memory or not, where other caches keep lists of
 * ghosts. All zero at first. */
typedef struct
{
  BsLink link;                /* belongs to the owner while the node is not in */
  guint64 size;               /* bytes; constant while the node is in */
  _Alignas (8) guint64 last_use; /* the clock then; atomic */
  guint64 since : 56;         /* the clock when it was queued, or when it left */
  guint64 place : 2;          /* BsResidencyPlace */
  guint64 evicted_from : 2;   /* BsResidencyPlace; OUT for a node that was not evicted, or is in */
  guint64 reuses : 2;         /* uses that were worth the place, up to a maximum */
  guint64 was_in : 1;
  guint64 is_aged : 1;        /* `aged` of the queue, or older */
} BsResidencyNode;

typedef enum
{
  BS_RESIDENCY_OUT,
  BS_RESIDENCY_SMALL,
  BS_RESIDENCY_MAIN,
  BS_RESIDENCY_MISFIT,
} BsResidencyPlace;

typedef struct
{
  BsLink head;                /* newest first */
  guint64 bytes;
  guint64 n_nodes;
  BsLink *aged;               /* the newest that bs_residency_next_ageing() has passed, or &head */
  guint64 aged_bytes;         /* of `aged` and of all older nodes */
} BsResidencyQueue;

typedef struct
{
  _Alignas (8) guint64 clock; /* bytes that came in so far; atomic */

  BsResidencyQueue small;     /* new ones, on probation */
  BsResidencyQueue main;
  BsResidencyQueue misfits;   /* larger than the budget; leave first */

  guint64 budget;
  double small_share;         /* the part of the bytes that small may have */
  gboolean is_filling;        /* no node had to leave yet, since one came in */
  BsResidencyNode *victim;    /* chosen last; not to be followed */

  guint64 n_steps;            /* nodes queued or passed, for tests of the cost */
} BsResidency;

#define BS_RESIDENCY_MIN_SMALL 0.05
#define BS_RESIDENCY_MAX_SMALL 0.8

void             bs_residency_init        (BsResidency *self, guint64 budget);
void             bs_residency_set_budget  (BsResidency *self, guint64 budget);

/* The node was loaded or inserted. */
void             bs_residency_enter       (BsResidency *self, BsResidencyNode *node);
/* The node has left memory, or waits for its write. The last result of
 * bs_residency_get_victim() counts as evicted. */
void             bs_residency_leave       (BsResidency *self, BsResidencyNode *node);
/* The node comes back in without a use since it left. It is the next to leave its queue. */
void             bs_residency_restore     (BsResidency *self, BsResidencyNode *node);

/* Returns the node that is to leave next, and stays in until bs_residency_leave(). NULL if
 * the residency is empty. */
BsResidencyNode *bs_residency_get_victim  (BsResidency *self);
/* Returns a node that has come near its end, for work that must be done before it can
 * leave, or NULL. A node comes up at most once each time it is queued. */
BsResidencyNode *bs_residency_next_ageing (BsResidency *self);
/* Whether bs_residency_next_ageing() would return a node. */
gboolean         bs_residency_is_ageing   (BsResidency *self);

guint64          bs_residency_get_n_nodes (const BsResidency *self);

/* Notes a use of the node. Called in any thread without the owner's lock, as long as the
 * node lives: one relaxed store, and none while no node comes in. */
static inline void
bs_residency_hit (const BsResidency *self, BsResidencyNode *node)
{
  guint64 now = __atomic_load_n (&self->clock, __ATOMIC_RELAXED);

  if (__atomic_load_n (&node->last_use, __ATOMIC_RELAXED) != now)
    __atomic_store_n (&node->last_use, now, __ATOMIC_RELAXED);
}

G_END_DECLS
