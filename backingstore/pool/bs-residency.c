/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-residency-private.h"

/* A reuse-distance clock; docs/reference/residency.md tells where it comes from.
 *
 * Time is counted in bytes that came in. Two queues, first in, first out: new
 * nodes go through `small`, nodes that are used again live in `main`. A hit only
 * notes the time; queues move when a node has to leave.
 *
 * The reuse distance of a node that comes back, the time since its last use, is the
 * time that it would have had to stay. If main keeps its nodes that long, the node
 * goes straight to main. So main's oldest node is the measure for all other nodes,
 * and a loop larger than memory keeps a part of itself. */

/* The most of main's oldest nodes that are spared before a node has to leave. */
#define MAX_ROUNDS 64

#define MAX_REUSES 3
#define MAX_WEIGHT 8.0

/* The share of a node that is alone in small. With the budget of a handful of nodes, the
 * newest would be the first to leave otherwise. */
#define LONELY_SHARE 0.25

/* The weight of a mistake when small's share is adapted, in sizes of the node that
 * came back. The sooner a node comes back to small, the surer small was too small. */
#define GROWTH 0.25
#define MAX_GROWTH 4.0
#define SHRINKAGE 5.0

G_STATIC_ASSERT (sizeof (BsResidencyNode) <= 5 * sizeof (guint64));

static BsResidencyNode *
node_from_link (BsLink *link)
{
  return (BsResidencyNode *) ((char *) link - G_STRUCT_OFFSET (BsResidencyNode, link));
}

static guint64
get_last_use (const BsResidencyNode *node)
{
  return __atomic_load_n (&node->last_use, __ATOMIC_RELAXED);
}

static void
queue_init (BsResidencyQueue *queue)
{
  bs_link_init (&queue->head);
  queue->bytes = 0;
  queue->n_nodes = 0;
  queue->aged = &queue->head;
  queue->aged_bytes = 0;
}

static BsResidencyNode *
queue_get_oldest (BsResidencyQueue *queue)
{
  return bs_link_is_empty (&queue->head) ? NULL : node_from_link (queue->head.prev);
}

static void
queue_count (BsResidencyQueue *queue, BsResidencyNode *node)
{
  queue->bytes += node->size;
  queue->n_nodes++;
}

static void
queue_push (BsResidencyQueue *queue, BsResidencyNode *node)
{
  bs_link_prepend (&queue->head, &node->link);
  queue_count (queue, node);
  node->is_aged = FALSE;
}

static void
queue_push_oldest (BsResidencyQueue *queue, BsResidencyNode *node)
{
  BsResidencyNode *oldest = queue_get_oldest (queue);

  if (oldest != NULL)
    node->since = oldest->since;
  bs_link_append (&queue->head, &node->link);
  queue_count (queue, node);

  node->is_aged = TRUE;
  queue->aged_bytes += node->size;
  if (queue->aged == &queue->head)
    queue->aged = &node->link;
}

static void
queue_remove (BsResidencyQueue *queue, BsResidencyNode *node)
{
  if (node->is_aged)
    queue->aged_bytes -= node->size;
  if (queue->aged == &node->link)
    queue->aged = node->link.next;

  bs_link_remove (&node->link);
  queue->bytes -= node->size;
  queue->n_nodes--;
}

static BsResidencyQueue *
get_queue (BsResidency *self, BsResidencyPlace place)
{
  switch (place)
    {
    case BS_RESIDENCY_SMALL:
      return &self->small;
    case BS_RESIDENCY_MAIN:
      return &self->main;
    case BS_RESIDENCY_MISFIT:
      return &self->misfits;
    case BS_RESIDENCY_OUT:
      break;
    }

  g_assert_not_reached ();
}

static void
add_to_queue (BsResidency *self, BsResidencyNode *node, BsResidencyPlace place)
{
  node->place = place;
  node->evicted_from = BS_RESIDENCY_OUT;
  node->since = self->clock;
  queue_push (get_queue (self, place), node);
  self->n_steps++;
}

static void
count_reuse (BsResidencyNode *node)
{
  if (node->reuses < MAX_REUSES)
    node->reuses++;
}

/* Moves a used node to the new end of main. */
static void
advance (BsResidency *self, BsResidencyNode *node)
{
  queue_remove (get_queue (self, node->place), node);
  count_reuse (node);
  add_to_queue (self, node, BS_RESIDENCY_MAIN);
}

/* Returns the bytes that are in, at most the budget. */
static double
get_capacity (const BsResidency *self)
{
  return MIN (self->budget, self->small.bytes + self->main.bytes);
}

/* Returns how long main keeps a node without a use. */
static guint64
get_main_age (const BsResidency *self, const BsResidencyNode *oldest)
{
  return self->clock - MIN (get_last_use (oldest), oldest->since);
}

/* Whether a node that was used again after that many bytes would do better in
 * main than main's oldest node. A large node takes the place of several. */
static gboolean
is_worth_main (BsResidency *self, const BsResidencyNode *node, guint64 distance)
{
  const BsResidencyNode *oldest = queue_get_oldest (&self->main);
  double weight;

  if (oldest == NULL)
    return TRUE;

  weight = (double) node->size * self->main.n_nodes / MAX (self->main.bytes, 1);
  weight = CLAMP (weight, 1 / MAX_WEIGHT, MAX_WEIGHT);

  return distance * weight * (1 + oldest->reuses) <=
         (double) get_main_age (self, oldest) * (1 + node->reuses);
}

static void
adapt_share (BsResidency *self, const BsResidencyNode *node)
{
  double capacity = get_capacity (self);
  double ago = self->clock - node->since;
  double share = node->size / MAX (capacity, 1);

  if (ago > capacity)
    return;

  if (node->evicted_from == BS_RESIDENCY_SMALL)
    self->small_share += share * MIN (GROWTH * capacity / MAX (ago, 1), MAX_GROWTH);
  else if (node->evicted_from == BS_RESIDENCY_MAIN)
    self->small_share -= share * SHRINKAGE;
  self->small_share = CLAMP (self->small_share, BS_RESIDENCY_MIN_SMALL, BS_RESIDENCY_MAX_SMALL);
}

void
bs_residency_init (BsResidency *self, guint64 budget)
{
  self->clock = 0;
  queue_init (&self->small);
  queue_init (&self->main);
  queue_init (&self->misfits);
  self->budget = budget;
  self->small_share = BS_RESIDENCY_MIN_SMALL;
  self->is_filling = TRUE;
  self->victim = NULL;
  self->n_steps = 0;
}

void
bs_residency_set_budget (BsResidency *self, guint64 budget)
{
  self->budget = budget;
}

static BsResidencyPlace
choose_place (BsResidency *self, const BsResidencyNode *node, guint64 last_use)
{
  if (node->was_in)
    return is_worth_main (self, node, self->clock - last_use) ? BS_RESIDENCY_MAIN
                                                              : BS_RESIDENCY_SMALL;

  if (self->is_filling && self->main.bytes + node->size <= self->budget * (1 - self->small_share))
    return BS_RESIDENCY_MAIN;

  return BS_RESIDENCY_SMALL;
}

void
bs_residency_enter (BsResidency *self, BsResidencyNode *node)
{
  guint64 last_use = get_last_use (node);
  BsResidencyPlace place;

  g_assert (node->place == BS_RESIDENCY_OUT);

  /* A node that cannot stay makes no other node look older. */
  if (node->size > self->budget)
    {
      __atomic_store_n (&node->last_use, self->clock, __ATOMIC_RELAXED);
      add_to_queue (self, node, BS_RESIDENCY_MISFIT);
      return;
    }

  __atomic_store_n (&self->clock, self->clock + node->size, __ATOMIC_RELAXED);
  adapt_share (self, node);
  place = choose_place (self, node, last_use);
  if (node->was_in)
    count_reuse (node);
  node->was_in = TRUE;
  __atomic_store_n (&node->last_use, self->clock, __ATOMIC_RELAXED);
  add_to_queue (self, node, place);
}

void
bs_residency_leave (BsResidency *self, BsResidencyNode *node)
{
  g_assert (node->place != BS_RESIDENCY_OUT);

  queue_remove (get_queue (self, node->place), node);
  node->evicted_from = node == self->victim ? node->place : BS_RESIDENCY_OUT;
  node->place = BS_RESIDENCY_OUT;
  node->since = self->clock;
  if (node == self->victim)
    self->victim = NULL;

  if (self->small.n_nodes + self->main.n_nodes == 0)
    self->is_filling = TRUE;
}

void
bs_residency_restore (BsResidency *self, BsResidencyNode *node)
{
  g_assert (node->place == BS_RESIDENCY_OUT);

  if (node->size > self->budget)
    node->place = BS_RESIDENCY_MISFIT;
  else if (node->evicted_from == BS_RESIDENCY_MAIN)
    node->place = BS_RESIDENCY_MAIN;
  else
    node->place = BS_RESIDENCY_SMALL;

  node->evicted_from = BS_RESIDENCY_OUT;
  queue_push_oldest (get_queue (self, node->place), node);
  self->n_steps++;
}

/* Whether the node was used again. Uses soon after it came in belong to the same occasion,
 * and do not count. */
static gboolean
passed_probation (BsResidency *self, const BsResidencyNode *node)
{
  guint64 last_use = get_last_use (node);

  if (last_use <= node->since || 2 * (last_use - node->since) <= self->clock - node->since)
    return FALSE;

  return self->main.bytes < self->budget * (1 - self->small_share) ||
         is_worth_main (self, node, last_use - node->since);
}

static gboolean
is_small_too_large (const BsResidency *self)
{
  double share = self->small_share;

  if (self->small.n_nodes == 1)
    share = MAX (share, LONELY_SHARE);

  return self->small.bytes > share * get_capacity (self);
}

BsResidencyNode *
bs_residency_get_victim (BsResidency *self)
{
  guint n_rounds = 0;

  self->victim = queue_get_oldest (&self->misfits);
  while (self->victim == NULL)
    {
      BsResidencyNode *node = queue_get_oldest (&self->main);

      if (node == NULL || is_small_too_large (self))
        {
          node = queue_get_oldest (&self->small);
          if (node == NULL)
            return NULL;
          if (passed_probation (self, node))
            {
              advance (self, node);
              continue;
            }
        }
      else if (get_last_use (node) > node->since && n_rounds < MAX_ROUNDS)
        {
          advance (self, node);
          n_rounds++;
          continue;
        }

      self->is_filling = FALSE;
      self->victim = node;
    }

  return self->victim;
}

/* Returns the oldest node that is not aged, if fewer than `zone` bytes are. */
static BsResidencyNode *
queue_get_ageing (const BsResidencyQueue *queue, double zone)
{
  BsLink *link = queue->aged->prev;

  if (link == &queue->head || queue->aged_bytes >= zone)
    return NULL;

  return node_from_link (link);
}

static BsResidencyNode *
get_ageing (BsResidency *self)
{
  double bytes = self->small.bytes + self->main.bytes;
  double small = self->small_share * get_capacity (self);
  BsResidencyNode *node;

  /* No node will have to leave soon. */
  if (self->is_filling && bytes < self->budget * (1 - self->small_share))
    return NULL;

  node = queue_get_ageing (&self->small, self->small.bytes - small / 2);
  if (node == NULL)
    node = queue_get_ageing (&self->main, small / 2);

  return node;
}

gboolean
bs_residency_is_ageing (BsResidency *self)
{
  return get_ageing (self) != NULL;
}

BsResidencyNode *
bs_residency_next_ageing (BsResidency *self)
{
  BsResidencyNode *node = get_ageing (self);
  BsResidencyQueue *queue;

  if (node == NULL)
    return NULL;

  queue = get_queue (self, node->place);
  node->is_aged = TRUE;
  queue->aged = &node->link;
  queue->aged_bytes += node->size;
  self->n_steps++;

  return node;
}

guint64
bs_residency_get_n_nodes (const BsResidency *self)
{
  return self->small.n_nodes + self->main.n_nodes + self->misfits.n_nodes;
}
