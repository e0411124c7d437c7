/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* delete_persisted_async over a backing that does nothing, so many in flight,
 * each answered in the caller's loop.
 *
 * The floor is a bare GTask on a bare GThreadPool with as many threads: pushed,
 * returned by the worker, answered in the same loop. */

#include "benchmark.h"

#define N_IN_FLIGHT 64

static guint n_operations = 200000;
static guint n_at_once = 50000;

typedef struct
{
  GMainLoop *loop;
  guint n_started;
  guint n_done;
  guint n_left;

  /* ours */
  BsBackingStore *store;
  BsTrackedPath *tracked;
  char **keys;

  /* the floor */
  GThreadPool *threads;
  BsBacking *backing;
  GFile *file;
} Run;

static void start_ours (Run *run);
static void start_floor (Run *run);

static void
ours_done (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Run *run = user_data;

  if (!bs_backing_store_delete_persisted_finish (BS_BACKING_STORE (source), result, NULL))
    g_error ("Deleting failed");
  run->n_done++;
  if (run->n_started < n_operations)
    start_ours (run);
  else if (run->n_done == n_operations)
    g_main_loop_quit (run->loop);
}

static void
start_ours (Run *run)
{
  bs_backing_store_delete_persisted_async (run->store, run->tracked, run->keys[run->n_started++],
                                           G_PRIORITY_DEFAULT, NULL, ours_done, run);
}

static void
at_once_done (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Run *run = user_data;

  if (!bs_backing_store_delete_persisted_finish (BS_BACKING_STORE (source), result, NULL))
    g_error ("Deleting failed");
  if (--run->n_left == 0)
    g_main_loop_quit (run->loop);
}

/* Time on the clock, and time of the processors. */
static void
run_ours (char **keys, Series *wall, Series *cpu)
{
  g_autoptr (BenchmarkBacking) backing =
    benchmark_backing_new (BENCHMARK_TYPE_BACKING, keys, n_operations);
  g_autoptr (BsBackingStore) store = bs_backing_store_new (BS_BACKING (backing));
  g_autoptr (BsTrackedPath) tracked = benchmark_track (store);
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  Run run = { .loop = loop, .store = store, .tracked = tracked, .keys = keys };
  gint64 start, cpu_start;

  /* Like the floor's. */
  bs_backing_store_set_thread_nice (store, 0);
  start = benchmark_now ();
  cpu_start = benchmark_cpu_now ();
  for (guint i = 0; i < N_IN_FLIGHT; i++)
    start_ours (&run);
  g_main_loop_run (loop);
  series_add (wall, (benchmark_now () - start) / (double) n_operations);
  series_add (cpu, (benchmark_cpu_now () - cpu_start) / (double) n_operations);

  bs_backing_store_wait_finished (store, NULL, NULL);
}

/* Called in a worker thread. */
static void
floor_worker (gpointer data, gpointer user_data)
{
  g_autoptr (GTask) task = data;
  Run *run = user_data;
  const char *key = g_task_get_task_data (task);

  g_task_return_boolean (task, BS_BACKING_GET_IFACE (run->backing)
                                 ->delete_persisted (run->backing, run->file, key, NULL, NULL));
}

static void
floor_done (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Run *run = user_data;

  if (!g_task_propagate_boolean (G_TASK (result), NULL))
    g_error ("The task failed");
  run->n_done++;
  if (run->n_started < n_operations)
    start_floor (run);
  else if (run->n_done == n_operations)
    g_main_loop_quit (run->loop);
}

static void
start_floor (Run *run)
{
  GTask *task = g_task_new (run->backing, NULL, floor_done, run);

  g_task_set_source_tag (task, start_floor);
  g_task_set_task_data (task, run->keys[run->n_started++], NULL);
  g_thread_pool_push (run->threads, task, NULL);
}

static void
run_floor (char **keys, guint n_threads, Series *wall, Series *cpu)
{
  g_autoptr (BenchmarkBacking) backing =
    benchmark_backing_new (BENCHMARK_TYPE_BACKING, keys, n_operations);
  g_autoptr (GFile) file = g_file_new_for_uri ("memory:///persisted");
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  Run run = { .loop = loop, .keys = keys, .backing = BS_BACKING (backing), .file = file };
  gint64 start, cpu_start;

  run.threads = g_thread_pool_new (floor_worker, &run, n_threads, FALSE, NULL);
  start = benchmark_now ();
  cpu_start = benchmark_cpu_now ();
  for (guint i = 0; i < N_IN_FLIGHT; i++)
    start_floor (&run);
  g_main_loop_run (loop);
  series_add (wall, (benchmark_now () - start) / (double) n_operations);
  series_add (cpu, (benchmark_cpu_now () - cpu_start) / (double) n_operations);

  g_thread_pool_free (run.threads, FALSE, TRUE);
}

/* All of them asked at once, each with a priority of its own or all with the same. */
static void
run_at_once (char **keys, gboolean is_distinct, Series *cpu)
{
  g_autoptr (BenchmarkBacking) backing =
    benchmark_backing_new (BENCHMARK_TYPE_BACKING, keys, n_at_once);
  g_autoptr (BsBackingStore) store = bs_backing_store_new (BS_BACKING (backing));
  g_autoptr (BsTrackedPath) tracked = benchmark_track (store);
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  Run run = { .loop = loop, .store = store };
  gint64 start = benchmark_cpu_now ();

  for (run.n_left = n_at_once; run.n_started < n_at_once; run.n_started++)
    bs_backing_store_delete_persisted_async (store, tracked, keys[run.n_started],
                                             is_distinct ? (int) run.n_started : 0, NULL,
                                             at_once_done, &run);
  g_main_loop_run (loop);
  series_add (cpu, (benchmark_cpu_now () - start) / (double) n_at_once);

  bs_backing_store_wait_finished (store, NULL, NULL);
}

static guint
get_max_threads (void)
{
  g_autoptr (BenchmarkBacking) backing = benchmark_backing_new (BENCHMARK_TYPE_BACKING, NULL, 0);
  g_autoptr (BsBackingStore) store = bs_backing_store_new (BS_BACKING (backing));

  return bs_backing_store_get_max_threads (store);
}

int
main (int argc, char **argv)
{
  Series ours, ours_cpu, floors, floors_cpu, one, distinct;
  guint n_threads;
  char **keys;

  benchmark_init (&argc, &argv, "An asynchronous operation and back: row 4");
  if (benchmark_smoke)
    n_operations = n_at_once = 200;

  n_threads = get_max_threads ();
  keys = benchmark_make_keys (n_operations);
  series_init (&floors, "floor, a bare GTask");
  series_init (&ours, "ours, delete_persisted_async");
  series_init (&floors_cpu, "floor, processor time");
  series_init (&ours_cpu, "ours, processor time");

  series_init (&one, "one priority, processor time");
  series_init (&distinct, "a priority each, processor time");

  for (guint round = 0; round < benchmark_rounds; round++)
    {
      run_floor (keys, n_threads, &floors, &floors_cpu);
      run_ours (keys, &ours, &ours_cpu);
      run_at_once (keys, FALSE, &one);
      run_at_once (keys, TRUE, &distinct);
    }

  g_print ("round trip, %u in flight, %u threads, %u operations\n", N_IN_FLIGHT, n_threads,
           n_operations);
  series_print (&floors, NULL, "ns");
  series_print (&ours, &floors, "ns");
  series_print (&floors_cpu, NULL, "ns");
  series_print (&ours_cpu, &floors_cpu, "ns");

  series_clear (&floors);
  g_print ("%u asked at once\n", n_at_once);
  series_print (&one, NULL, "ns");
  series_print (&distinct, &one, "ns");

  series_clear (&one);
  series_clear (&distinct);
  series_clear (&ours);
  series_clear (&floors_cpu);
  series_clear (&ours_cpu);
  g_strfreev (keys);
  return 0;
}
