/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "pool/bs-residency-private.h"

#define N_NODES 400

typedef struct
{
  BsResidency residency;
  BsResidencyNode nodes[N_NODES];
  gboolean is_in[N_NODES]; /* what the owner knows */
  guint64 bytes;
  guint64 n_operations;
} Model;

static guint
random_below (guint n)
{
  return g_test_rand_int_range (0, n);
}

static guint
index_of (Model *model, BsResidencyNode *node)
{
  g_assert_cmpuint ((gsize) (node - model->nodes), <, N_NODES);
  return node - model->nodes;
}

/* Every node of the queue knows that it is there, and the sums are right. */
static guint
assert_queue (BsResidencyQueue *queue, BsResidencyPlace place)
{
  guint64 bytes = 0, aged_bytes = 0;
  gboolean is_aged = queue->aged == &queue->head;
  guint n_nodes = 0;

  for (BsLink *link = queue->head.next; link != &queue->head; link = link->next)
    {
      BsResidencyNode *node = (BsResidencyNode *) link;

      g_assert_true (link->next->prev == link && link->prev->next == link);
      g_assert_cmpint (node->place, ==, place);
      if (queue->aged == link)
        is_aged = TRUE;
      g_assert_cmpint (node->is_aged, ==, queue->aged != &queue->head && is_aged);
      if (node->is_aged)
        aged_bytes += node->size;
      bytes += node->size;
      n_nodes++;
    }

  g_assert_true (is_aged);
  g_assert_cmpuint (bytes, ==, queue->bytes);
  g_assert_cmpuint (n_nodes, ==, queue->n_nodes);
  g_assert_cmpuint (aged_bytes, ==, queue->aged_bytes);
  return n_nodes;
}

static void
assert_whole (Model *model)
{
  BsResidency *residency = &model->residency;
  guint n_nodes = 0;

  n_nodes += assert_queue (&residency->small, BS_RESIDENCY_SMALL);
  n_nodes += assert_queue (&residency->main, BS_RESIDENCY_MAIN);
  n_nodes += assert_queue (&residency->misfits, BS_RESIDENCY_MISFIT);
  for (guint i = 0; i < N_NODES; i++)
    {
      /* In exactly one queue: as many say so as the queues have. */
      g_assert_cmpint (model->nodes[i].place != BS_RESIDENCY_OUT, ==, model->is_in[i]);
      n_nodes -= model->is_in[i];
      g_assert_cmpuint (model->nodes[i].last_use, <=, residency->clock);
      g_assert_cmpuint (model->nodes[i].since, <=, residency->clock);
    }
  g_assert_cmpuint (n_nodes, ==, 0);

  g_assert_cmpuint (residency->small.bytes + residency->main.bytes + residency->misfits.bytes, ==,
                    model->bytes);
  g_assert_cmpfloat (residency->small_share, >=, BS_RESIDENCY_MIN_SMALL);
  g_assert_cmpfloat (residency->small_share, <=, BS_RESIDENCY_MAX_SMALL);

  /* A node is queued when it comes in; going on to main takes a use since then,
   * and each time it was queued it is passed at most once. */
  g_assert_cmpuint (residency->n_steps, <=, 4 * model->n_operations);
}

static void
model_leave (Model *model, guint i)
{
  bs_residency_leave (&model->residency, &model->nodes[i]);
  model->is_in[i] = FALSE;
  model->bytes -= model->nodes[i].size;
}

static void
model_come_in (Model *model, guint i, gboolean restore)
{
  if (restore)
    bs_residency_restore (&model->residency, &model->nodes[i]);
  else
    bs_residency_enter (&model->residency, &model->nodes[i]);
  model->is_in[i] = TRUE;
  model->bytes += model->nodes[i].size;
}

static guint
model_evict (Model *model)
{
  BsResidencyNode *victim = bs_residency_get_victim (&model->residency);
  guint i = index_of (model, victim);

  g_assert_true (model->is_in[i]);
  model_leave (model, i);
  model->n_operations++;

  return i;
}

static void
model_evict_down_to (Model *model, guint64 bytes)
{
  while (model->bytes > bytes)
    model_evict (model);
}

static void
model_age (Model *model)
{
  BsResidencyNode *node;

  while ((node = bs_residency_next_ageing (&model->residency)) != NULL)
    {
      g_assert_true (model->is_in[index_of (model, node)]);
      g_assert_true (node->is_aged);
    }
}

static void
model_operate (Model *model, guint n_nodes)
{
  BsResidency *residency = &model->residency;
  guint i = random_below (n_nodes);
  guint kind = random_below (1000);

  model->n_operations++;
  if (kind < 5)
    bs_residency_set_budget (residency, random_below (40000));
  else if (kind < 10)
    model_evict_down_to (model, random_below (40000));
  else if (kind < 30)
    model_age (model);
  else if (kind < 80 && model->is_in[i])
    model_leave (model, i);
  else if (model->is_in[i])
    bs_residency_hit (residency, &model->nodes[i]);
  else
    {
      if (!model->nodes[i].was_in)
        model->nodes[i].size = random_below (kind < 300 ? 50 : 2000);
      model_come_in (model, i, model->nodes[i].was_in && kind < 120);
    }
  model_evict_down_to (model, residency->budget);
}

static void
test_random (void)
{
  guint n_runs = g_test_slow () ? 200 : 20;

  for (guint run = 0; run < n_runs; run++)
    {
      g_autofree Model *model = g_new0 (Model, 1);
      guint n_nodes = 1 + random_below (N_NODES);

      bs_residency_init (&model->residency, 10000);
      for (guint i = 0; i < 5000; i++)
        {
          model_operate (model, n_nodes);
          if (i % 50 == 0)
            assert_whole (model);
        }

      model_evict_down_to (model, 0);
      while (bs_residency_get_victim (&model->residency) != NULL)
        model_evict (model);
      assert_whole (model);
    }
}

static Model *
model_new (guint64 budget, guint64 size)
{
  Model *model = g_new0 (Model, 1);

  bs_residency_init (&model->residency, budget);
  for (guint i = 0; i < N_NODES; i++)
    model->nodes[i].size = size;

  return model;
}

static void
model_use (Model *model, guint i)
{
  if (model->is_in[i])
    {
      bs_residency_hit (&model->residency, &model->nodes[i]);
      return;
    }

  model_come_in (model, i, FALSE);
  model_evict_down_to (model, model->residency.budget);
}

/* One pass over many leaves alone what is used all the time. */
static void
test_scan (void)
{
  g_autofree Model *model = model_new (1000, 10);

  for (guint i = 0; i < 2000; i++)
    model_use (model, i % 50);
  for (guint i = 100; i < 400; i++)
    {
      model_use (model, i);
      model_use (model, i % 50);
    }

  for (guint i = 0; i < 50; i++)
    g_assert_true (model->is_in[i]);
  assert_whole (model);
}

/* Of a loop larger than memory, a part stays; the least recently used going
 * first, nothing would. */
static void
test_loop (void)
{
  g_autofree Model *model = model_new (1000, 10);
  guint n_hits = 0;

  for (guint i = 0; i < 20 * 200; i++)
    {
      n_hits += model->is_in[i % 200];
      model_use (model, i % 200);
    }

  g_assert_cmpuint (n_hits, >, 1200);
}

/* A node that cannot stay drives no other one out. */
static void
test_misfit (void)
{
  g_autofree Model *model = model_new (1000, 10);

  for (guint i = 0; i < 100; i++)
    model_use (model, i);
  model->nodes[200].size = 1001;
  model_come_in (model, 200, FALSE);
  g_assert_cmpuint (model_evict (model), ==, 200);
  g_assert_cmpuint (model->bytes, ==, 1000);

  bs_residency_set_budget (&model->residency, 0);
  model_evict_down_to (model, 0);
  model_come_in (model, 5, FALSE);
  g_assert_cmpuint (model_evict (model), ==, 5);
  g_assert_null (bs_residency_get_victim (&model->residency));
  assert_whole (model);
}

/* Where only a few fit, a new one is not the first to go, unless it is large. */
static void
test_newest (void)
{
  g_autofree Model *model = model_new (1000, 100);

  for (guint i = 0; i < 11; i++)
    model_use (model, i);
  g_assert_true (model->is_in[10]);

  model->nodes[20].size = 600;
  model_use (model, 20);
  g_assert_false (model->is_in[20]);
  assert_whole (model);
}

/* Neither a use nor an eviction: it is where it was, next to go. */
static void
test_restore (void)
{
  g_autofree Model *model = model_new (1000, 10);
  guint victim;

  for (guint i = 0; i < 150; i++)
    model_use (model, i);
  victim = model_evict (model);
  for (guint i = 0; i < 10; i++)
    {
      double share = model->residency.small_share;
      guint64 clock = model->residency.clock;

      model_come_in (model, victim, TRUE);
      g_assert_cmpuint (model->residency.clock, ==, clock);
      g_assert_cmpfloat_with_epsilon (model->residency.small_share, share, 1e-9);
      g_assert_cmpuint (model_evict (model), ==, victim);
    }
  assert_whole (model);
}

/* Coming back soon after its eviction from small, it shows that small is too
 * small; having been taken out for another reason, it shows nothing. */
static void
test_adaptation (void)
{
  g_autofree Model *model = model_new (1000, 10);
  double share;
  guint victim;

  for (guint i = 0; i < 200; i++)
    model_use (model, i);
  do
    victim = model_evict (model);
  while (model->nodes[victim].evicted_from != BS_RESIDENCY_SMALL);

  share = model->residency.small_share;
  model_come_in (model, victim, FALSE);
  g_assert_cmpfloat (model->residency.small_share, >, share);

  share = model->residency.small_share;
  model_leave (model, victim);
  model_come_in (model, victim, FALSE);
  g_assert_cmpfloat_with_epsilon (model->residency.small_share, share, 1e-9);
}

/* Nodes that are about to leave come up first, each once, and none does while there
 * is plenty of room. */
static void
test_ageing (void)
{
  g_autofree Model *model = model_new (10000, 100);
  gboolean came_up[N_NODES] = { FALSE };
  guint n_late = 0;

  for (guint i = 0; i < 90; i++)
    model_use (model, i);
  g_assert_null (bs_residency_next_ageing (&model->residency));

  for (guint i = 90; i < N_NODES; i++)
    {
      BsResidencyNode *node;

      model_come_in (model, i, FALSE);
      while ((node = bs_residency_next_ageing (&model->residency)) != NULL)
        {
          g_assert_false (came_up[index_of (model, node)]);
          came_up[index_of (model, node)] = TRUE;
        }
      while (model->bytes > 10000)
        n_late += !came_up[model_evict (model)];
    }

  g_assert_cmpuint (n_late, ==, 0);
  g_assert_false (came_up[N_NODES - 1]);
  assert_whole (model);
}

typedef struct
{
  Model *model;
  guint first;
  gint stop;
} Hitter;

static gpointer
hit_all_the_time (gpointer data)
{
  Hitter *hitter = data;

  while (!g_atomic_int_get (&hitter->stop))
    for (guint i = hitter->first; i < N_NODES; i += 2)
      bs_residency_hit (&hitter->model->residency, &hitter->model->nodes[i]);

  return NULL;
}

/* Hits need no lock, whatever goes on. ThreadSanitizer looks at this. */
static void
test_threads (void)
{
  g_autofree Model *model = model_new (10000, 10);
  Hitter hitters[2] = { { model, 0, 0 }, { model, 1, 0 } };
  GThread *threads[2];

  for (guint i = 0; i < 2; i++)
    threads[i] = g_thread_new ("hitter", hit_all_the_time, &hitters[i]);
  for (guint i = 0; i < 20000; i++)
    {
      guint n = random_below (N_NODES);

      if (!model->is_in[n])
        model_come_in (model, n, FALSE);
      else if (i % 3 == 0)
        model_leave (model, n);
      model_evict_down_to (model, 2000);
    }
  for (guint i = 0; i < 2; i++)
    {
      g_atomic_int_set (&hitters[i].stop, 1);
      g_thread_join (threads[i]);
    }

  model->n_operations = G_MAXUINT32;
  assert_whole (model);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/residency/random", test_random);
  g_test_add_func ("/residency/scan", test_scan);
  g_test_add_func ("/residency/loop", test_loop);
  g_test_add_func ("/residency/misfit", test_misfit);
  g_test_add_func ("/residency/newest", test_newest);
  g_test_add_func ("/residency/restore", test_restore);
  g_test_add_func ("/residency/adaptation", test_adaptation);
  g_test_add_func ("/residency/ageing", test_ageing);
  g_test_add_func ("/residency/threads", test_threads);

  return g_test_run ();
}
