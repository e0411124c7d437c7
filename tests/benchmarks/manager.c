/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* The manager alone: what a blocking persist followed by a delete_persisted of
 * the same key costs over a backing that does nothing, with so many keys at the
 * path and as many items.
 *
 * The floor is a mutex and a hash table of the same size, and the same two
 * virtual functions called directly. */

#include "benchmark.h"

#include <string.h>

#define MOST_PAIRS 1000000

typedef struct
{
  guint64 words[2];
} RawKey;

static guint
raw_key_hash (gconstpointer key)
{
  return ((const RawKey *) key)->words[0];
}

static gboolean
raw_key_equal (gconstpointer a, gconstpointer b)
{
  return memcmp (a, b, sizeof (RawKey)) == 0;
}

static RawKey
raw_key_parse (const char *string)
{
  guint8 bytes[sizeof (RawKey)];
  RawKey key;
  guint n = 0;

  for (; *string != '\0'; string++)
    if (*string != '-')
      {
        bytes[n / 2] = bytes[n / 2] << 4 | g_ascii_xdigit_value (*string);
        n++;
      }
  memcpy (&key, bytes, sizeof key);
  return key;
}

typedef struct
{
  GMutex mutex;
  GHashTable *table; /* of RawKey, in `raw` */
  RawKey *raw;
} Floor;

static void
floor_init (Floor *floor, char **keys, guint n_keys, char **item_keys, guint n_items)
{
  g_mutex_init (&floor->mutex);
  floor->table = g_hash_table_new (raw_key_hash, raw_key_equal);
  floor->raw = g_new (RawKey, n_keys + n_items);
  for (guint i = 0; i < n_keys; i++)
    {
      floor->raw[i] = raw_key_parse (keys[i]);
      g_hash_table_add (floor->table, &floor->raw[i]);
    }
  for (guint i = 0; i < n_items; i++)
    floor->raw[n_keys + i] = raw_key_parse (item_keys[i]);
}

static void
floor_clear (Floor *floor)
{
  g_hash_table_unref (floor->table);
  g_free (floor->raw);
  g_mutex_clear (&floor->mutex);
}

static double
run_floor (Floor *floor,
           BsBacking *backing,
           GFile *file,
           guint n_keys,
           char **item_keys,
           const guint *order,
           guint n_pairs)
{
  BsBackingInterface *iface = BS_BACKING_GET_IFACE (backing);
  gint64 start = benchmark_cpu_now ();

  for (guint i = 0; i < n_pairs; i++)
    {
      RawKey *raw = &floor->raw[n_keys + order[i]];
      const char *key = item_keys[order[i]];

      g_mutex_lock (&floor->mutex);
      g_hash_table_add (floor->table, raw);
      g_mutex_unlock (&floor->mutex);
      iface->persist (backing, file, key, NULL, NULL);

      g_mutex_lock (&floor->mutex);
      g_hash_table_remove (floor->table, raw);
      g_mutex_unlock (&floor->mutex);
      iface->delete_persisted (backing, file, key, NULL, NULL);
    }

  return (benchmark_cpu_now () - start) / (double) n_pairs;
}

static double
run_ours (BsBackingStore *store,
          BsTrackedPath *tracked,
          BsItem **items,
          char **item_keys,
          const guint *order,
          guint n_pairs)
{
  gint64 start = benchmark_cpu_now ();

  for (guint i = 0; i < n_pairs; i++)
    {
      if (!bs_item_persist (items[order[i]], tracked, NULL, NULL))
        g_error ("Persisting failed");
      if (!bs_backing_store_delete_persisted (store, tracked, item_keys[order[i]], NULL, NULL))
        g_error ("Deleting failed");
    }

  return (benchmark_cpu_now () - start) / (double) n_pairs;
}

/* One of two threads that work at the same time, each on keys of its own. */
typedef struct
{
  Floor *floor; /* NULL: ours */
  BsBacking *backing;
  GFile *file;
  guint n_keys;
  BsBackingStore *store;
  BsTrackedPath *tracked;
  BsItem **items;
  char **item_keys;
  const guint *order;
  guint n_pairs;
} Half;

static gpointer
run_half (gpointer data)
{
  const Half *self = data;

  if (self->floor != NULL)
    run_floor (self->floor, self->backing, self->file, self->n_keys, self->item_keys, self->order,
               self->n_pairs);
  else
    run_ours (self->store, self->tracked, self->items, self->item_keys, self->order, self->n_pairs);
  return NULL;
}

/* On the clock: what a pair takes while the other thread does as many. */
static double
run_both (const Half *whole)
{
  Half halves[2] = { *whole, *whole };
  GThread *threads[2];
  gint64 start;

  halves[0].n_pairs = halves[1].n_pairs = MAX (whole->n_pairs / 2, 1);
  halves[1].order += whole->n_pairs / 2;
  start = benchmark_now ();
  for (guint i = 0; i < 2; i++)
    threads[i] = g_thread_new ("half", run_half, &halves[i]);
  for (guint i = 0; i < 2; i++)
    g_thread_join (threads[i]);

  return (benchmark_now () - start) / (double) halves[0].n_pairs;
}

static void
measure (guint n_keys)
{
  char **keys = benchmark_make_keys (n_keys);
  g_autoptr (BenchmarkBacking) backing =
    benchmark_backing_new (BENCHMARK_TYPE_BACKING, keys, n_keys);
  g_autoptr (BsBackingStore) store = bs_backing_store_new (BS_BACKING (backing));
  g_autoptr (BsPool) pool = bs_pool_new (store, G_MAXUINT64);
  g_autoptr (BsTrackedPath) tracked = benchmark_track (store);
  g_autoptr (GBytes) bytes = g_bytes_new_static ("nothing", 7);
  GFile *file = bs_tracked_path_get_file (tracked);
  guint n_pairs = MIN (n_keys, MOST_PAIRS);
  BsItem **items = g_new (BsItem *, n_keys);
  char **item_keys = g_new0 (char *, (gsize) n_keys + 1);
  guint *orders[2];
  Series ours[3], floors[3];
  Half half = { .backing = BS_BACKING (backing),
                .store = store,
                .tracked = tracked,
                .n_keys = n_keys,
                .n_pairs = n_pairs };
  Floor floor;

  for (guint i = 0; i < n_keys; i++)
    {
      items[i] = bs_pool_insert (pool, bytes);
      item_keys[i] = bs_item_dup_key (items[i]);
      if (!bs_item_write (items[i], NULL, NULL))
        g_error ("Writing failed");
    }
  floor_init (&floor, keys, n_keys, item_keys, n_keys);

  for (guint j = 0; j < 2; j++)
    {
      orders[j] = benchmark_make_order (n_keys, j == 1);
      series_init (&ours[j], j == 0 ? "ours, in the order of insertion" : "ours, shuffled");
      series_init (&floors[j], j == 0 ? "floor, in the order of insertion" : "floor, shuffled");
    }

  series_init (&ours[2], "ours, two threads, each");
  series_init (&floors[2], "floor, two threads, each");
  half.file = file;
  half.items = items;
  half.item_keys = item_keys;
  half.order = orders[0];

  for (guint round = 0; round < benchmark_rounds; round++)
    {
      for (guint j = 0; j < 2; j++)
        {
          series_add (&floors[j], run_floor (&floor, BS_BACKING (backing), file, n_keys, item_keys,
                                             orders[j], n_pairs));
          series_add (&ours[j], run_ours (store, tracked, items, item_keys, orders[j], n_pairs));
        }
      half.floor = &floor;
      series_add (&floors[2], run_both (&half));
      half.floor = NULL;
      series_add (&ours[2], run_both (&half));
    }

  g_print ("persist and delete_persisted, the pair, %u keys\n", n_keys);
  for (guint j = 0; j < 3; j++)
    {
      series_print (&floors[j], NULL, "ns");
      series_print (&ours[j], &floors[j], "ns");
      series_clear (&floors[j]);
      series_clear (&ours[j]);
    }
  g_free (orders[0]);
  g_free (orders[1]);

  floor_clear (&floor);
  for (guint i = 0; i < n_keys; i++)
    g_object_unref (items[i]);
  g_free (items);
  g_strfreev (item_keys);
  bs_backing_store_wait_finished (store, NULL, NULL);
  g_strfreev (keys);
}

int
main (int argc, char **argv)
{
  benchmark_init (&argc, &argv, "Cost of the manager alone: rows 3 and 12");
  benchmark_each_size (measure, 10000, 100);
  return 0;
}
