/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* A producer that is faster than the disk: it inserts, and the items stay. The
 * backing stands still at first, and then takes its time for each write.
 *
 * The benchmark counts not how long that takes but how much memory it takes, beside
 * the budget: with a producer that awaits a trim after each insert or each few,
 * and with one that never looks. */

#include "benchmark.h"

#include <stdio.h>
#include <string.h>

#define MEGABYTE (1024 * 1024)

static guint n_inserts = 1000;
static guint budget = 16; /* megabytes */
static guint stall_milliseconds = 1000;
static guint write_milliseconds = 4;

typedef struct
{
  BsPool *pool;
  BsFaultBacking *slow;
  GMainLoop *loop;
  GPtrArray *items;
  guint every;  /* inserts until the next trim; 0: never */
  guint64 peak; /* bytes */
  guint n_threads;
  guint n_left; /* of what is to happen: production, and the end of the stall */
} Run;

static guint
count_threads (void)
{
  g_autofree char *status = NULL;
  const char *line;
  guint n_threads = 0;

  if (g_file_get_contents ("/proc/self/status", &status, NULL, NULL) &&
      (line = strstr (status, "\nThreads:")) != NULL)
    sscanf (line, "\nThreads: %u", &n_threads);

  return n_threads;
}

static void
look (Run *run)
{
  run->peak = MAX (run->peak, bs_pool_get_memory_use (run->pool));
  run->n_threads = MAX (run->n_threads, count_threads ());
}

static void
end_one (Run *run)
{
  if (--run->n_left == 0)
    g_main_loop_quit (run->loop);
}

static gboolean produce (gpointer user_data);

static void
trimmed_cb (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GError) error = NULL;

  if (!bs_pool_trim_finish (BS_POOL (source), result, &error))
    g_error ("%s", error->message);
  produce (user_data);
}

static gboolean
produce (gpointer user_data)
{
  Run *run = user_data;

  while (run->items->len < n_inserts)
    {
      /* Memory is reserved and not touched: it is counted all the same. */
      g_autoptr (GBytes) bytes = g_bytes_new_take (g_malloc (MEGABYTE), MEGABYTE);

      g_ptr_array_add (run->items, bs_pool_insert (run->pool, bytes));
      look (run);
      if (run->every != 0 && run->items->len % run->every == 0)
        {
          bs_pool_trim_async (run->pool, bs_pool_get_max_bytes (run->pool), G_PRIORITY_DEFAULT,
                              NULL, trimmed_cb, run);
          return G_SOURCE_REMOVE;
        }
    }

  end_one (run);
  return G_SOURCE_REMOVE;
}

static gboolean
release_cb (gpointer user_data)
{
  Run *run = user_data;

  look (run);
  bs_fault_backing_release (run->slow, BS_OPERATION_WRITE);
  end_one (run);
  return G_SOURCE_REMOVE;
}

static void
run_once (guint every, Series *peak, Series *n_threads, Series *seconds)
{
  g_autoptr (BenchmarkBacking) nothing = benchmark_backing_new (BENCHMARK_TYPE_BACKING, NULL, 0);
  g_autoptr (BsFaultBacking) slow = bs_fault_backing_new (BS_BACKING (nothing));
  g_autoptr (BsBackingStore) store = bs_backing_store_new (BS_BACKING (slow));
  g_autoptr (BsPool) pool = bs_pool_new (store, budget * (guint64) MEGABYTE);
  g_autoptr (GPtrArray) items = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  Run run = { pool, slow, loop, items, every, .n_left = 2 };
  gint64 start = benchmark_now ();

  bs_fault_backing_delay (slow, BS_OPERATION_WRITE, NULL, write_milliseconds);
  bs_fault_backing_hold (slow, BS_OPERATION_WRITE);
  g_timeout_add (stall_milliseconds, release_cb, &run);
  g_idle_add (produce, &run);
  g_main_loop_run (loop);
  if (!bs_pool_trim (pool, bs_pool_get_max_bytes (pool), NULL, NULL))
    g_error ("Trimming failed");

  series_add (peak, run.peak / (double) MEGABYTE);
  series_add (n_threads, run.n_threads);
  series_add (seconds, (benchmark_now () - start) / 1e9);
  g_ptr_array_set_size (items, 0);
  bs_backing_store_wait_finished (store, NULL, NULL);
}

static void
measure (guint every)
{
  Series peak, n_threads, seconds;

  series_init (&peak, "peak memory-use");
  series_init (&n_threads, "threads");
  series_init (&seconds, "time");
  for (guint round = 0; round < benchmark_rounds; round++)
    run_once (every, &peak, &n_threads, &seconds);

  if (every == 0)
    g_print ("never awaits a trim\n");
  else
    g_print ("awaits a trim after every %u\n", every);
  series_print (&peak, NULL, "MiB");
  series_print (&n_threads, NULL, "");
  series_print (&seconds, NULL, "s");

  series_clear (&peak);
  series_clear (&n_threads);
  series_clear (&seconds);
}

int
main (int argc, char **argv)
{
  benchmark_init (&argc, &argv, "A producer faster than the disk: row 14");

  if (benchmark_smoke)
    {
      n_inserts = 20;
      budget = 4;
      stall_milliseconds = 10;
      write_milliseconds = 1;
    }

  g_print (
    "%u inserts of 1 MiB, budget %u MiB; writes stand still for %u ms and take %u ms each then\n",
    n_inserts, budget, stall_milliseconds, write_milliseconds);
  measure (1);
  measure (8);
  measure (0);

  return 0;
}
