/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-link-private.h"

G_BEGIN_DECLS

/* Decides which nodes stay in memory, and which leaves first. Knows sizes and times
 * of use, nothing of the contents. Not thread-safe: its owner's lock covers it and
 * every node; only bs_residency_hit() needs no lock. */

/* Lives as long as the content it stands for, in memory or not: other caches keep
 * lists of ghosts for the same. All zero at first. */
typedef struct
{
  BsLink link;                /* belongs to the owner while the node is not in */
  guint64 size;               /* bytes; constant while the node is in */
  _Alignas (8) guint64 last_use; /* the clock then; atomic, whatever a guint64 is aligned to */
  guint64 since : 56;         /* the clock when it was queued, or when it left */
  guint64 place : 2;          /* BsResidencyPlace */
  guint64 evicted_from : 2;   /* BsResidencyPlace; OUT if it was not evicted, or is in */
  guint64 reuses : 2;         /* times it was worth its place, as far as they are counted */
  guint64 was_in : 1;
  guint64 is_aged : 1;        /* on this side of the queue's `aged` */
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
  guint64 aged_bytes;         /* of it and of all older ones */
} BsResidencyQueue;

typedef struct
{
  _Alignas (8) guint64 clock; /* bytes that came in so far; atomic */

  BsResidencyQueue small;     /* new ones, on probation */
  BsResidencyQueue main;
  BsResidencyQueue misfits;   /* larger than the budget: they go first */

  guint64 budget;
  double small_share;         /* how much of what is in may be small */
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
/* The node left memory, or is its owner's business from now on. It was evicted
 * if it is what bs_residency_get_victim() returned last. */
void             bs_residency_leave       (BsResidency *self, BsResidencyNode *node);
/* The node comes back in, though it was not used since it left: it is the next to
 * go from where it was. */
void             bs_residency_restore     (BsResidency *self, BsResidencyNode *node);

/* The node to leave next; it stays in until bs_residency_leave(). NULL if none is
 * in. */
BsResidencyNode *bs_residency_get_victim  (BsResidency *self);
/* A node that has just come near its end: if something must be done before it
 * can leave, now is the time. NULL if there is none. A node comes up at most
 * once each time it is queued. */
BsResidencyNode *bs_residency_next_ageing (BsResidency *self);
/* Whether there is one. */
gboolean         bs_residency_is_ageing   (BsResidency *self);

guint64          bs_residency_get_n_nodes (const BsResidency *self);

/* The node was used. Called in any thread, without the owner's lock, as long as
 * the node lives: one relaxed store, and none while nothing else comes in. */
static inline void
bs_residency_hit (const BsResidency *self, BsResidencyNode *node)
{
  guint64 now = __atomic_load_n (&self->clock, __ATOMIC_RELAXED);

  if (__atomic_load_n (&node->last_use, __ATOMIC_RELAXED) != now)
    __atomic_store_n (&node->last_use, now, __ATOMIC_RELAXED);
}

G_END_DECLS
