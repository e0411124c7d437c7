/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* Many keys at a time over a backing that does nothing, the cost of one: register
 * them all, let go of them all until their scratch is deleted, delete them all
 * from the path.
 *
 * The floor is a hash table under a mutex, an allocated record for each key that
 * is registered, and the same virtual functions called one by one. */

#include "benchmark.h"

#include <string.h>
#include <time.h>

enum
{
  REGISTER_ALL,
  DROP_ALL,
  DELETE_ALL,
  N_STEPS,
};

static const char *const step_names[N_STEPS] = { "register_all", "dropping them all",
                                                 "delete_persisted_keys" };

typedef struct
{
  guint64 words[2];
  guint8 rest[24];
} Record;

static guint
record_hash (gconstpointer key)
{
  return ((const Record *) key)->words[0];
}

static gboolean
record_equal (gconstpointer a, gconstpointer b)
{
  return memcmp (a, b, 16) == 0;
}

static void
run_floor (BsBacking *backing, char **keys, guint n_keys, Series *series)
{
  BsBackingInterface *iface = BS_BACKING_GET_IFACE (backing);
  g_autoptr (GHashTable) path = g_hash_table_new (record_hash, record_equal);
  g_autoptr (GHashTable) registered = g_hash_table_new (record_hash, record_equal);
  g_autofree Record *raw = g_new0 (Record, n_keys);
  g_autofree Record **records = g_new (Record *, n_keys);
  GMutex mutex;
  gint64 start;

  g_mutex_init (&mutex);
  for (guint i = 0; i < n_keys; i++)
    {
      /* As good as parsed: a UUID is random. */
      raw[i].words[0] = (guint64) g_random_int () << 32 | g_random_int ();
      raw[i].words[1] = i;
      g_hash_table_add (path, &raw[i]);
    }

  start = benchmark_cpu_now ();
  for (guint i = 0; i < n_keys; i++)
    {
      g_mutex_lock (&mutex);
      records[i] = g_new0 (Record, 1);
      records[i]->words[0] = raw[i].words[0];
      records[i]->words[1] = raw[i].words[1];
      g_hash_table_add (registered, records[i]);
      g_mutex_unlock (&mutex);
      iface->register_key (backing, NULL, keys[i], NULL, NULL);
    }
  series_add (&series[REGISTER_ALL], (benchmark_cpu_now () - start) / (double) n_keys);

  start = benchmark_cpu_now ();
  for (guint i = 0; i < n_keys; i++)
    {
      iface->delete_key (backing, keys[i], NULL, NULL);
      g_mutex_lock (&mutex);
      g_hash_table_remove (registered, records[i]);
      g_free (records[i]);
      g_mutex_unlock (&mutex);
    }
  series_add (&series[DROP_ALL], (benchmark_cpu_now () - start) / (double) n_keys);

  start = benchmark_cpu_now ();
  for (guint i = 0; i < n_keys; i++)
    {
      iface->delete_persisted (backing, NULL, keys[i], NULL, NULL);
      g_mutex_lock (&mutex);
      g_hash_table_remove (path, &raw[i]);
      g_mutex_unlock (&mutex);
    }
  series_add (&series[DELETE_ALL], (benchmark_cpu_now () - start) / (double) n_keys);

  g_mutex_clear (&mutex);
}

static gint64
thread_cpu_now (void)
{
  struct timespec now;

  clock_gettime (CLOCK_THREAD_CPUTIME_ID, &now);
  return now.tv_sec * G_GINT64_CONSTANT (1000000000) + now.tv_nsec;
}

static void
wait_finished (BsBackingStore *store)
{
  bs_backing_store_wait_finished (store, NULL, NULL);
  bs_task_tracker_reopen (bs_backing_store_get_task_tracker (store));
}

static void
run_ours (GType type, char **keys, guint n_keys, Series *series)
{
  g_autoptr (BenchmarkBacking) backing = benchmark_backing_new (type, keys, n_keys);
  g_autoptr (BsBackingStore) store = bs_backing_store_new (BS_BACKING (backing));
  g_autoptr (BsPool) pool = bs_pool_new (store, G_MAXUINT64);
  g_autoptr (BsTrackedPath) tracked = benchmark_track (store);
  g_autoptr (BsKeySet) set = bs_key_set_new ();
  g_autoptr (GError) error = NULL;
  GListModel *list;
  gint64 start;

  for (guint i = 0; i < n_keys; i++)
    if (!bs_key_set_add (set, keys[i], NULL))
      g_error ("A key that is none");

  start = benchmark_cpu_now ();
  list = bs_pool_register_all (pool, tracked, NULL, &error);
  g_assert_no_error (error);
  series_add (&series[REGISTER_ALL], (benchmark_cpu_now () - start) / (double) n_keys);

  start = benchmark_cpu_now ();
  g_object_unref (list);
  wait_finished (store);
  series_add (&series[DROP_ALL], (benchmark_cpu_now () - start) / (double) n_keys);

  start = benchmark_cpu_now ();
  bs_backing_store_delete_persisted_keys (store, tracked, set, NULL, &error);
  g_assert_no_error (error);
  series_add (&series[DELETE_ALL], (benchmark_cpu_now () - start) / (double) n_keys);
}

/* Items held one by one, and dropped one by one: by the time of all threads until they
 * are deleted, and of the thread that drops them. */
static void
run_items (char **keys, guint n_keys, Series *all, Series *dropping)
{
  g_autoptr (BenchmarkBacking) backing =
    benchmark_backing_new (BENCHMARK_TYPE_BACKING, keys, n_keys);
  g_autoptr (BsBackingStore) store = bs_backing_store_new (BS_BACKING (backing));
  g_autoptr (BsPool) pool = bs_pool_new (store, G_MAXUINT64);
  g_autoptr (BsTrackedPath) tracked = benchmark_track (store);
  g_autofree gpointer *items = g_new (gpointer, n_keys);
  GListModel *list = bs_pool_register_all (pool, tracked, NULL, NULL);
  gint64 start, start_here;

  for (guint i = 0; i < n_keys; i++)
    items[i] = g_list_model_get_item (list, i);
  g_object_unref (list);

  start = benchmark_cpu_now ();
  start_here = thread_cpu_now ();
  for (guint i = 0; i < n_keys; i++)
    g_object_unref (items[i]);
  series_add (dropping, (thread_cpu_now () - start_here) / (double) n_keys);
  wait_finished (store);
  series_add (all, (benchmark_cpu_now () - start) / (double) n_keys);
}

/* The cost of the objects alone. */
static double
run_bare_objects (guint n_keys)
{
  g_autofree gpointer *items = g_new (gpointer, n_keys);
  gint64 start;

  for (guint i = 0; i < n_keys; i++)
    items[i] = g_object_new (G_TYPE_OBJECT, NULL);

  start = thread_cpu_now ();
  for (guint i = 0; i < n_keys; i++)
    g_object_unref (items[i]);
  return (thread_cpu_now () - start) / (double) n_keys;
}

static void
measure (guint n_keys)
{
  char **keys = benchmark_make_keys (n_keys);
  g_autoptr (BenchmarkBacking) backing =
    benchmark_backing_new (BENCHMARK_TYPE_BACKING, keys, n_keys);
  Series floors[N_STEPS], ours[N_STEPS], bulk[N_STEPS], items, dropping, bare;

  for (guint i = 0; i < N_STEPS; i++)
    {
      series_init (&floors[i], "floor");
      series_init (&ours[i], "ours, a backing that goes one by one");
      series_init (&bulk[i], "ours, a backing with functions for many");
    }
  series_init (&bare, "bare GObjects dropped one by one");
  series_init (&dropping, "ours, items dropped one by one, that thread");
  series_init (&items, "ours, items dropped one by one, until deleted");

  for (guint round = 0; round < benchmark_rounds; round++)
    {
      run_floor (BS_BACKING (backing), keys, n_keys, floors);
      run_ours (BENCHMARK_TYPE_BACKING, keys, n_keys, ours);
      run_ours (BENCHMARK_TYPE_BULK_BACKING, keys, n_keys, bulk);
      series_add (&bare, run_bare_objects (n_keys));
      run_items (keys, n_keys, &items, &dropping);
    }

  for (guint i = 0; i < N_STEPS; i++)
    {
      g_print ("%s, a key, %u keys\n", step_names[i], n_keys);
      series_print (&floors[i], NULL, "ns");
      series_print (&ours[i], &floors[i], "ns");
      series_print (&bulk[i], &floors[i], "ns");
      if (i == DROP_ALL)
        {
          series_print (&items, &floors[i], "ns");
          series_print (&bare, NULL, "ns");
          series_print (&dropping, &bare, "ns");
        }
      series_clear (&floors[i]);
      series_clear (&ours[i]);
      series_clear (&bulk[i]);
    }
  series_clear (&items);
  series_clear (&dropping);
  series_clear (&bare);
  g_strfreev (keys);
}

int
main (int argc, char **argv)
{
  benchmark_init (&argc, &argv, "Many keys at a time: rows 5 and 12");
  benchmark_each_size (measure, 10000, 600);
  return 0;
}
