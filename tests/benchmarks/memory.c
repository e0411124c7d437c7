/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* Memory of a tracked key, and of an item whose content is not in memory, its token
 * included: the bytes that malloc has given out, before and after. */

#include "benchmark.h"

#include <malloc.h>

static gsize
allocated (void)
{
  struct mallinfo2 info = mallinfo2 ();

  return info.uordblks + info.hblkhd;
}

static void
print_bytes (const char *name, gsize before, gsize after, guint n)
{
  Series series;

  series_init (&series, name);
  series_add (&series, ((double) after - (double) before) / n);
  series_print (&series, NULL, "bytes");
  series_clear (&series);
}

/* Another thread may be about to free what it has. */
static void
settle (BsBackingStore *store)
{
  bs_backing_store_wait_finished (store, NULL, NULL);
  bs_task_tracker_reopen (bs_backing_store_get_task_tracker (store));
}

static void
measure (guint n_keys)
{
  char **keys = benchmark_make_keys (n_keys);
  g_autoptr (BenchmarkBacking) backing =
    benchmark_backing_new (BENCHMARK_TYPE_BACKING, keys, n_keys);
  g_autoptr (BsBackingStore) store = bs_backing_store_new (BS_BACKING (backing));
  g_autoptr (BsPool) pool = bs_pool_new (store, 0);
  g_autoptr (BsTrackedPath) tracked = NULL;
  g_autoptr (GListModel) list = NULL;
  gpointer *items = g_new (gpointer, n_keys);
  gsize before, after;

  g_print ("memory, %u keys\n", n_keys);

  before = allocated ();
  tracked = benchmark_track (store);
  print_bytes ("a tracked key", before, allocated (), n_keys);

  before = allocated ();
  list = bs_pool_register_all (pool, tracked, NULL, NULL);
  print_bytes ("a key of register_all, no item made", before, allocated (), n_keys);
  for (guint i = 0; i < n_keys; i++)
    items[i] = g_list_model_get_item (list, i);
  after = allocated ();
  print_bytes ("an item of register_all, with its list", before, after, n_keys);
  g_clear_object (&list);
  print_bytes ("an item of register_all, the list gone", before, allocated (), n_keys);
  for (guint i = 0; i < n_keys; i++)
    g_object_unref (items[i]);
  settle (store);

  before = allocated ();
  for (guint i = 0; i < n_keys; i++)
    items[i] = bs_pool_register (pool, tracked, keys[i], NULL, NULL);
  print_bytes ("an item of register", before, allocated (), n_keys);
  for (guint i = 0; i < n_keys; i++)
    g_object_unref (items[i]);
  settle (store);

  before = allocated ();
  for (guint i = 0; i < n_keys; i++)
    {
      g_autoptr (GBytes) bytes = g_bytes_new ("content", 7);

      items[i] = bs_pool_insert (pool, bytes);
    }
  if (!bs_pool_trim (pool, 0, NULL, NULL))
    g_error ("Trimming failed");
  settle (store);
  print_bytes ("an item of insert, evicted", before, allocated (), n_keys);
  for (guint i = 0; i < n_keys; i++)
    g_object_unref (items[i]);
  settle (store);

  g_free (items);
  g_strfreev (keys);
}

int
main (int argc, char **argv)
{
  benchmark_init (&argc, &argv, "Memory of keys and items: row 8");
  benchmark_each_size (measure, 1000000, 200);
  return 0;
}
