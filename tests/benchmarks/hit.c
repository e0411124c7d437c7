/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* A hit: try_load of an item that is in memory, and dropping what it returns; on
 * one thread, and on two with different items. Time on the clock counts, since
 * threads that get in each other's way may sleep; where the machine does other
 * things too, processor time says how much of it was theirs.
 *
 * The floor takes and drops the reference on the bytes alone. */

#include "benchmark.h"

#define N_THREADS 2

static guint n_hits = 4000000;

typedef struct
{
  BsItem **items;
  GBytes **contents;
  guint n_items;
  gboolean is_floor;
  gint *n_waiting; /* atomic */
} Worker;

static gpointer
work (gpointer data)
{
  Worker *self = data;

  /* Side by side, or there is nothing to be seen. */
  g_atomic_int_add (self->n_waiting, -1);
  while (g_atomic_int_get (self->n_waiting) > 0)
    ;

  for (guint n = 0; n < n_hits;)
    for (guint i = 0; i < self->n_items && n < n_hits; i++, n++)
      {
        GBytes *bytes =
          self->is_floor ? g_bytes_ref (self->contents[i]) : bs_item_try_load (self->items[i]);

        g_bytes_unref (bytes);
      }

  return NULL;
}

static void
run (Worker *workers, guint n_threads, gboolean is_floor, Series *wall, Series *cpu)
{
  gint n_waiting = n_threads;
  GThread *threads[N_THREADS];
  gint64 start = benchmark_now (), cpu_start = benchmark_cpu_now ();

  for (guint i = 0; i < n_threads; i++)
    {
      workers[i].is_floor = is_floor;
      workers[i].n_waiting = &n_waiting;
      threads[i] = g_thread_new ("hits", work, &workers[i]);
    }
  for (guint i = 0; i < n_threads; i++)
    g_thread_join (threads[i]);

  series_add (wall, (benchmark_now () - start) / (double) n_hits);
  series_add (cpu, (benchmark_cpu_now () - cpu_start) / ((double) n_hits * n_threads));
}

static void
measure (guint n_items)
{
  g_autoptr (BenchmarkBacking) backing = benchmark_backing_new (BENCHMARK_TYPE_BACKING, NULL, 0);
  g_autoptr (BsBackingStore) store = bs_backing_store_new (BS_BACKING (backing));
  g_autoptr (BsPool) pool = bs_pool_new (store, G_MAXUINT64);
  Series floors[N_THREADS], ours[N_THREADS], floors_cpu[N_THREADS], ours_cpu[N_THREADS];
  Worker workers[N_THREADS];

  for (guint i = 0; i < N_THREADS; i++)
    {
      workers[i].n_items = n_items / N_THREADS;
      workers[i].items = g_new (BsItem *, workers[i].n_items);
      workers[i].contents = g_new (GBytes *, workers[i].n_items);
      for (guint j = 0; j < workers[i].n_items; j++)
        {
          workers[i].contents[j] = g_bytes_new ("content", 7);
          workers[i].items[j] = bs_pool_insert (pool, workers[i].contents[j]);
        }
    }

  series_init (&floors[0], "floor, one thread");
  series_init (&ours[0], "ours, one thread");
  series_init (&floors[1], "floor, two threads, each");
  series_init (&ours[1], "ours, two threads, each");
  series_init (&floors_cpu[0], "floor, one thread, processor");
  series_init (&ours_cpu[0], "ours, one thread, processor");
  series_init (&floors_cpu[1], "floor, two threads, each, processor");
  series_init (&ours_cpu[1], "ours, two threads, each, processor");
  for (guint round = 0; round < benchmark_rounds; round++)
    for (guint i = 0; i < N_THREADS; i++)
      {
        run (workers, i + 1, TRUE, &floors[i], &floors_cpu[i]);
        run (workers, i + 1, FALSE, &ours[i], &ours_cpu[i]);
      }

  g_print ("hit, %u items in memory\n", n_items);
  for (guint i = 0; i < N_THREADS; i++)
    {
      series_print (&floors[i], NULL, "ns");
      series_print (&ours[i], &floors[i], "ns");
      series_print (&floors_cpu[i], NULL, "ns");
      series_print (&ours_cpu[i], &floors_cpu[i], "ns");
      series_clear (&floors[i]);
      series_clear (&ours[i]);
      series_clear (&floors_cpu[i]);
      series_clear (&ours_cpu[i]);
    }

  for (guint i = 0; i < N_THREADS; i++)
    {
      for (guint j = 0; j < workers[i].n_items; j++)
        {
          g_object_unref (workers[i].items[j]);
          g_bytes_unref (workers[i].contents[j]);
        }
      g_free (workers[i].items);
      g_free (workers[i].contents);
    }
}

int
main (int argc, char **argv)
{
  benchmark_init (&argc, &argv, "A hit, on one thread and on two: row 6");
  if (benchmark_smoke)
    n_hits = 2000;

  benchmark_each_size (measure, 10000, 200);
  return 0;
}
