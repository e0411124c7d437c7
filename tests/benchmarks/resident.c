/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* How much of a pool's memory the system gets back when the pool is trimmed to nothing:
 * contents of four sizes, inserted or loaded by one thread or by four. Each in a process
 * of its own, since what an earlier one has left in the heap would be used again. */

#include "benchmark.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB (1024 * 1024)

static guint n_mib = 64;

typedef struct
{
  BsPool *pool;
  BsItem **items;
  guint from;
  guint to;
  gsize size;
} Share;

static gsize
get_resident (void)
{
  g_autofree char *content = NULL;

  if (!g_file_get_contents ("/proc/self/statm", &content, NULL, NULL))
    g_error ("There is no /proc");
  return g_ascii_strtoull (strchr (content, ' '), NULL, 10) * sysconf (_SC_PAGESIZE);
}

static gpointer
insert (gpointer data)
{
  Share *share = data;

  for (guint i = share->from; i < share->to; i++)
    {
      guint8 *content = g_malloc (share->size);
      g_autoptr (GBytes) bytes = g_bytes_new_take (memset (content, i, share->size), share->size);

      share->items[i] = bs_pool_insert (share->pool, bytes);
    }
  return NULL;
}

static gpointer
load (gpointer data)
{
  Share *share = data;

  for (guint i = share->from; i < share->to; i++)
    {
      g_autoptr (GBytes) bytes = bs_item_load (share->items[i], NULL, NULL);

      if (bytes == NULL)
        g_error ("Loading failed");
    }
  return NULL;
}

static void
share_out (GThreadFunc func, guint n_threads, const Share *whole)
{
  GThread *threads[4];
  Share shares[4];

  for (guint i = 0; i < n_threads; i++)
    {
      shares[i] = *whole;
      shares[i].from = whole->to * i / n_threads;
      shares[i].to = whole->to * (i + 1) / n_threads;
      threads[i] = g_thread_new (NULL, func, &shares[i]);
    }
  for (guint i = 0; i < n_threads; i++)
    g_thread_join (threads[i]);
}

/* Returns how much of what is held comes back within two seconds. A smoke test looks once. */
static double
trim (BsPool *pool)
{
  double held = bs_pool_get_memory_use (pool);
  gsize full = get_resident (), least = full;

  if (!bs_pool_trim (pool, 0, NULL, NULL))
    g_error ("Trimming failed");
  for (guint i = 0; i < (benchmark_smoke ? 1 : 20); i++)
    {
      g_usleep (100000);
      least = MIN (least, get_resident ());
    }
  return 100 * ((double) full - (double) least) / held;
}

static void
print_percent (const char *name, double percent)
{
  Series series;

  series_init (&series, name);
  series_add (&series, percent);
  series_print (&series, NULL, "%");
  series_clear (&series);
}

static void
measure (gsize size, guint n_threads)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (BsFileBacking) backing = bs_file_backing_new_temporary (&error);
  g_autoptr (BsBackingStore) store = NULL;
  g_autoptr (BsPool) pool = NULL;
  Share share = { .size = size, .to = (gsize) n_mib * MIB / size };
  double inserted, loaded;

  g_assert_no_error (error);
  store = bs_backing_store_new (BS_BACKING (backing));
  share.pool = pool = bs_pool_new (store, G_MAXUINT64);
  share.items = g_new (BsItem *, share.to);

  share_out (insert, n_threads, &share);
  inserted = trim (pool);
  share_out (load, n_threads, &share);
  loaded = trim (pool);
  g_print ("given back by a trim to nothing, %" G_GSIZE_FORMAT " bytes, %u threads\n", size,
           n_threads);
  print_percent ("inserted", inserted);
  print_percent ("loaded", loaded);

  for (guint i = 0; i < share.to; i++)
    g_object_unref (share.items[i]);
  g_free (share.items);
  if (!bs_backing_store_close (store, NULL, &error))
    g_error ("%s", error->message);
}

static void
measure_in_child (gsize size, guint n_threads)
{
  int status;
  pid_t child = fork ();

  if (child == 0)
    {
      measure (size, n_threads);
      exit (0);
    }
  if (child < 0 || waitpid (child, &status, 0) != child || status != 0)
    g_error ("A child failed");
}

int
main (int argc, char **argv)
{
  static const gsize sizes[] = { 4096, 16384, 102400, 1048576 };

  benchmark_init (&argc, &argv, "Memory that the system gets back: row 23");
  if (benchmark_smoke)
    n_mib = 2;

  g_print ("%u MiB given back by a trim to nothing, of what was held: inserted, loaded\n", n_mib);
  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    for (guint n_threads = 1; n_threads <= 4; n_threads += 3)
      {
        measure_in_child (sizes[i], n_threads);
        if (benchmark_smoke)
          return 0;
      }
  return 0;
}
