/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* The backing's call for one key takes a second. Meanwhile so many other
 * operations a second are asked at fixed times, whether or not those before
 * have come back; each one's latency counts from when it was due.
 *
 * Seconds with and without the stuck call take turns. */

#include "benchmark.h"

#include <sys/timerfd.h>
#include <unistd.h>

#include <glib-unix.h>

static guint stall_milliseconds = 1000;

typedef struct
{
  BenchmarkBacking *backing;
  BsBackingStore *store;
  BsTrackedPath *tracked;
  GMainLoop *loop;
  char **keys;
  guint n_operations;
  gint64 interval; /* nanoseconds */
  gint64 start;
  guint n_started;
  guint n_pending;
  GArray *latencies; /* of double, microseconds; borrowed */
} Run;

typedef struct
{
  Run *run;
  gint64 due;
} Operation;

static void
end_one (Run *run)
{
  if (--run->n_pending == 0 && run->n_started == run->n_operations)
    g_main_loop_quit (run->loop);
}

static void
operation_done (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autofree Operation *operation = user_data;
  Run *run = operation->run;
  double latency = (benchmark_now () - operation->due) / 1000.0;

  if (!bs_backing_store_delete_persisted_finish (BS_BACKING_STORE (source), result, NULL))
    g_error ("Deleting failed");
  g_array_append_val (run->latencies, latency);
  end_one (run);
}

static void
stuck_done (GObject *source, GAsyncResult *result, gpointer user_data)
{
  if (!bs_backing_store_delete_persisted_finish (BS_BACKING_STORE (source), result, NULL))
    g_error ("Deleting failed");
  end_one (user_data);
}

static gboolean
tick (int fd, GIOCondition condition, gpointer user_data)
{
  Run *run = user_data;
  guint64 n_expired;

  if (read (fd, &n_expired, sizeof n_expired) < 0)
    return G_SOURCE_CONTINUE;

  while (run->n_started < run->n_operations &&
         run->start + run->n_started * run->interval <= benchmark_now ())
    {
      Operation *operation = g_new (Operation, 1);

      operation->run = run;
      operation->due = run->start + run->n_started * run->interval;
      run->n_pending++;
      bs_backing_store_delete_persisted_async (run->store, run->tracked,
                                               run->keys[run->n_started++], G_PRIORITY_DEFAULT,
                                               NULL, operation_done, operation);
    }

  return run->n_started < run->n_operations ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

/* The stuck call takes one of the threads, of which there may be no other by default. */
static BsBackingStore *
store_new (BsBacking *backing)
{
  BsBackingStore *store = bs_backing_store_new (backing);

  bs_backing_store_set_max_threads (store, 4);
  return store;
}

static void
run_once (char **keys, guint n_operations, gboolean stalled, GArray *latencies)
{
  g_autoptr (BenchmarkBacking) backing =
    benchmark_backing_new (BENCHMARK_TYPE_BACKING, keys, n_operations + 1);
  g_autoptr (BsBackingStore) store = store_new (BS_BACKING (backing));
  g_autoptr (BsTrackedPath) tracked = benchmark_track (store);
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  int fd = timerfd_create (CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  Run run = { backing, store, tracked, loop, keys, n_operations };
  struct itimerspec timer;

  run.latencies = latencies;
  run.interval = stall_milliseconds * G_GINT64_CONSTANT (1000000) / n_operations;
  timer.it_interval.tv_sec = 0;
  timer.it_interval.tv_nsec = run.interval;
  timer.it_value = timer.it_interval;

  if (stalled)
    {
      benchmark_backing_stall (backing, keys[n_operations], stall_milliseconds);
      run.n_pending++;
      bs_backing_store_delete_persisted_async (store, tracked, keys[n_operations],
                                               G_PRIORITY_DEFAULT, NULL, stuck_done, &run);
    }

  run.start = benchmark_now () + run.interval;
  timerfd_settime (fd, 0, &timer, NULL);
  g_unix_fd_add_full (G_PRIORITY_DEFAULT, fd, G_IO_IN, tick, &run, NULL);
  g_main_loop_run (loop);

  close (fd);
  bs_backing_store_wait_finished (store, NULL, NULL);
}

static void
measure (guint n_operations)
{
  char **keys = benchmark_make_keys (n_operations + 1);
  const double quantiles[] = { 0.5, 0.99, 1 };
  const char *const names[2][G_N_ELEMENTS (quantiles)] = {
    { "all free, p50", "all free, p99", "all free, slowest" },
    { "one stuck, p50", "one stuck, p99", "one stuck, slowest" },
  };
  Series runs[2][G_N_ELEMENTS (quantiles)];
  Series all[2], delayed;
  guint n_delayed = 0, n_late = 0;
  double limit;

  for (guint j = 0; j < 2; j++)
    {
      series_init (&all[j], NULL);
      for (guint i = 0; i < G_N_ELEMENTS (quantiles); i++)
        series_init (&runs[j][i], names[j][i]);
    }

  for (guint round = 0; round < benchmark_rounds; round++)
    for (guint j = 0; j < 2; j++)
      {
        Series once;

        series_init (&once, NULL);
        run_once (keys, n_operations, j == 1, once.samples);
        for (guint i = 0; i < G_N_ELEMENTS (quantiles); i++)
          series_add (&runs[j][i], series_get_quantile (&once, quantiles[i]));
        g_array_append_vals (all[j].samples, once.samples->data, once.samples->len);
        series_clear (&once);
      }

  limit = series_get_quantile (&all[0], 0.99);
  for (guint i = 0; i < all[1].samples->len; i++)
    {
      double latency = g_array_index (all[1].samples, double, i);

      n_delayed += latency > limit;
      n_late += latency > stall_milliseconds * 100.0;
    }

  g_print ("%u other operations a second, while one call takes %u ms\n",
           n_operations * 1000 / stall_milliseconds, stall_milliseconds);
  for (guint i = 0; i < G_N_ELEMENTS (quantiles); i++)
    {
      series_print (&runs[0][i], NULL, "us");
      series_print (&runs[1][i], &runs[0][i], "us");
    }
  series_init (&delayed, "beyond the unstalled p99 (1 is none)");
  series_add (&delayed, n_delayed * 100.0 / all[1].samples->len);
  series_print (&delayed, NULL, "%");
  series_clear (&delayed);
  g_print ("  beyond a tenth of the stuck call: %u of %u\n", n_late, all[1].samples->len);

  for (guint j = 0; j < 2; j++)
    {
      series_clear (&all[j]);
      for (guint i = 0; i < G_N_ELEMENTS (quantiles); i++)
        series_clear (&runs[j][i]);
    }
  g_strfreev (keys);
}

static void
asked_done (GObject *source, GAsyncResult *result, gpointer user_data)
{
  gboolean success =
    BS_IS_ITEM (source)
      ? bs_item_persist_finish (BS_ITEM (source), result, NULL)
      : bs_backing_store_delete_persisted_finish (BS_BACKING_STORE (source), result, NULL);

  if (!success)
    g_error ("An operation on the stuck key failed");
  end_one (user_data);
}

/* Operations on the stuck key itself wait. How long does it take to ask for each? */
static double
ask_for_stuck (guint n_operations)
{
  g_auto (GStrv) keys = benchmark_make_keys (1);
  g_autoptr (BenchmarkBacking) backing = benchmark_backing_new (BENCHMARK_TYPE_BACKING, keys, 1);
  g_autoptr (BsBackingStore) store = store_new (BS_BACKING (backing));
  g_autoptr (BsTrackedPath) tracked = benchmark_track (store);
  g_autoptr (BsPool) pool = bs_pool_new (store, G_MAXUINT64);
  g_autoptr (BsItem) item = bs_pool_register (pool, tracked, keys[0], NULL, NULL);
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  Run run = { .loop = loop, .n_pending = n_operations };
  gint64 start;
  double spent;

  benchmark_backing_stall (backing, keys[0], stall_milliseconds);
  start = benchmark_now ();
  for (guint i = 0; i < n_operations; i++)
    if (i % 2 == 0)
      bs_backing_store_delete_persisted_async (store, tracked, keys[0], G_PRIORITY_DEFAULT, NULL,
                                               asked_done, &run);
    else
      bs_item_persist_async (item, tracked, G_PRIORITY_DEFAULT, NULL, asked_done, &run);
  spent = (double) (benchmark_now () - start) / n_operations;

  benchmark_backing_stall (backing, NULL, 0);
  g_main_loop_run (loop);
  bs_backing_store_wait_finished (store, NULL, NULL);

  return spent;
}

static void
measure_asking (guint few, guint many)
{
  Series runs[2];

  series_init (&runs[0], "few");
  series_init (&runs[1], "many");
  for (guint round = 0; round < benchmark_rounds; round++)
    {
      series_add (&runs[0], ask_for_stuck (few));
      series_add (&runs[1], ask_for_stuck (many));
    }

  g_print ("asking for the stuck key itself, for each of %u and of %u that wait\n", few, many);
  series_print (&runs[0], NULL, "ns");
  series_print (&runs[1], &runs[0], "ns");

  series_clear (&runs[0]);
  series_clear (&runs[1]);
}

int
main (int argc, char **argv)
{
  benchmark_init (&argc, &argv, "One stuck key delays no other: row 10");

  if (benchmark_smoke)
    {
      stall_milliseconds = 20;
      measure (50);
      measure_asking (10, 20);
      return 0;
    }

  measure (1000);
  measure (10000);
  measure_asking (1000, 40000);
  return 0;
}
