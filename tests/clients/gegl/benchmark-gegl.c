/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* GEGL with its buffers on a pool, beside GEGL alone with its own swap, compressed as it
 * is by default, and not: the same work in the same cache, each in a process of its own
 * that is timed as a whole. As in GEGL's own swap, as much as a tenth
 * of the cache waits to be written. Exit is the time of the process once its work is
 * done. */

#include "../../benchmarks/benchmark.h"
#include "pool-tiles.h"
#include "workload.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>

typedef struct
{
  const char *directory;
  Workload workload;
  int size;
  guint64 cache_size;
  int mode;
} Work;

enum
{
  COMPRESSED,
  PLAIN,
  ON_POOL,
  N_MODES,
};

enum
{
  PROCESSOR,
  WALL,
  EXIT,
  PEAK,
  N_FIGURES,
};

static const char *const figure_units[N_FIGURES] = { "s", "s", "s", "MiB" };
static const char *const figure_names[N_MODES][N_FIGURES] = {
  { "GEGL, processor", "GEGL, wall", "GEGL, exit", "GEGL, peak resident" },
  { "GEGL uncompressed, processor", "GEGL uncompressed, wall", "GEGL uncompressed, exit",
    "GEGL uncompressed, peak resident" },
  { "ours, processor", "ours, wall", "ours, exit", "ours, peak resident" },
};

/* The process that is timed. It prints the sum of all pixels, and when it had it. */
static int
run_work (const Work *work)
{
  g_autofree char *scratch = g_build_filename (work->directory, "scratch", NULL);
  g_autoptr (GFile) file = g_file_new_for_path (scratch);
  g_autoptr (BsBackingStore) store = NULL;
  g_autoptr (BsPool) pool = NULL;
  GPtrArray *buffers;

  workload_init (work->directory, work->cache_size);
  if (work->mode == PLAIN)
    g_object_set (gegl_config (), "swap-compression", "none", NULL);
  else if (work->mode == ON_POOL)
    {
      g_autoptr (BsFileBacking) backing = bs_file_backing_new (file);

      store = bs_backing_store_new (BS_BACKING (backing));
      /* GEGL waits for its tiles. */
      bs_backing_store_set_thread_nice (store, 0);
      pool = bs_pool_new (store, 0);
      pool_tiles_set_pool (pool, work->cache_size / 10);
    }

  buffers = workload_run (work->workload, work->size);
  printf ("%" G_GUINT64_FORMAT, workload_sum (buffers));
  printf (" %" G_GINT64_FORMAT "\n", benchmark_now ());
  fflush (stdout);

  g_ptr_array_unref (buffers);
  gegl_exit ();
  return store == NULL || bs_backing_store_close (store, NULL, NULL) ? 0 : 1;
}

static guint64
time_process (const Work *work, Series *series)
{
  g_autofree char *self = g_file_read_link ("/proc/self/exe", NULL);
  g_autofree char *command =
    g_strdup_printf ("exec '%s' --work '%s' %d %d %" G_GUINT64_FORMAT " %d", self, work->directory,
                     work->workload, work->size, work->cache_size, work->mode);
  g_auto (GStrv) arguments = g_strsplit ("/bin/sh\n-c", "\n", 0);
  g_autoptr (GError) error = NULL;
  char *argv[] = { arguments[0], arguments[1], command, NULL };
  gint64 start = benchmark_now (), done, end;
  struct rusage usage;
  guint64 sum;
  GPid pid;
  int status, output;
  FILE *stream;

  if (!g_spawn_async_with_pipes (NULL, argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, &pid,
                                 NULL, &output, NULL, &error))
    g_error ("%s", error->message);
  stream = fdopen (output, "r");
  if (fscanf (stream, "%" G_GUINT64_FORMAT " %" G_GINT64_FORMAT, &sum, &done) != 2 ||
      wait4 (pid, &status, 0, &usage) != pid || status != 0)
    g_error ("The work has failed");
  end = benchmark_now ();
  fclose (stream);

  series_add (&series[PROCESSOR], usage.ru_utime.tv_sec + usage.ru_stime.tv_sec +
                                    (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
  series_add (&series[WALL], (end - start) / 1e9);
  series_add (&series[EXIT], (end - done) / 1e9);
  series_add (&series[PEAK], usage.ru_maxrss / 1024.0);
  return sum;
}

static void
measure (Workload workload, int size, guint64 cache_size)
{
  Work work = { .workload = workload, .size = size, .cache_size = cache_size };
  Series series[N_MODES][N_FIGURES];

  for (guint i = 0; i < N_MODES; i++)
    for (guint j = 0; j < N_FIGURES; j++)
      series_init (&series[i][j], figure_names[i][j]);

  for (guint round = 0; round < benchmark_rounds; round++)
    {
      guint64 sums[N_MODES];

      for (guint i = 0; i < N_MODES; i++)
        {
          g_autofree char *directory = benchmark_make_directory ();

          work.directory = directory;
          work.mode = i;
          sums[i] = time_process (&work, series[i]);
          benchmark_remove_directory (directory);
        }
      if (sums[0] != sums[PLAIN] || sums[0] != sums[ON_POOL])
        g_error ("The pixels differ");
    }

  g_print ("GEGL, %d x %d pixels, cache %" G_GUINT64_FORMAT " MiB\n", size, size, cache_size >> 20);
  for (guint j = 0; j < N_FIGURES; j++)
    for (guint i = 0; i < N_MODES; i++)
      series_print (&series[i][j], i > 0 ? &series[0][j] : NULL, figure_units[j]);
  for (guint i = 0; i < N_MODES; i++)
    for (guint j = 0; j < N_FIGURES; j++)
      series_clear (&series[i][j]);
}

int
main (int argc, char **argv)
{
  if (argc == 7 && g_str_equal (argv[1], "--work"))
    {
      const Work work = { .directory = argv[2],
                          .workload = atoi (argv[3]),
                          .size = atoi (argv[4]),
                          .cache_size = g_ascii_strtoull (argv[5], NULL, 10),
                          .mode = atoi (argv[6]) };

      return run_work (&work);
    }

  benchmark_init (&argc, &argv, "GEGL with its buffers on a pool: row 15");
  if (benchmark_smoke)
    measure (WORKLOAD_WRITES | WORKLOAD_SNAPSHOTS, 384, 1 << 20);
  else
    measure (WORKLOAD_CHAIN | WORKLOAD_WRITES | WORKLOAD_SNAPSHOTS, 1536, 8 << 20);
  if (benchmark_large)
    measure (WORKLOAD_WRITES | WORKLOAD_SNAPSHOTS, 12000, 256 << 20);

  return 0;
}
