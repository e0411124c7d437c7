/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* Tracking a path with many blobs, as a store does it: every name is read, and
 * every key known afterwards. The floor is a bare getdents64 over the folders.
 *
 * With --directory on a tmpfs, /dev/shm as a rule, no disk is waited for. */

#include "benchmark.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define N_SHARDS 256
#define BUFFER_SIZE (128 * 1024)

static void
check (gboolean success, GError *error)
{
  if (!success)
    g_error ("%s", error != NULL ? error->message : "A call failed");
}

/* Empty files: no content is looked at. */
static void
make_blobs (const char *directory, guint n_keys)
{
  g_autoptr (GRand) random = g_rand_new_with_seed (7);

  for (guint i = 0; i < N_SHARDS; i++)
    {
      g_autofree char *shard = g_strdup_printf ("%s/%02x", directory, i);

      check (mkdir (shard, 0700) == 0, NULL);
    }
  for (guint i = 0; i < n_keys; i++)
    {
      guint32 words[4] = { g_rand_int (random), g_rand_int (random), g_rand_int (random),
                           g_rand_int (random) };
      char name[128];
      int fd;

      g_snprintf (name, sizeof name, "%s/%02x/%08x%08x%08x%08x", directory, words[0] >> 24,
                  words[0], words[1], words[2], words[3]);
      fd = open (name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
      check (fd >= 0, NULL);
      close (fd);
    }
}

static void
walk_folder (int parent, const char *name, char *buffer)
{
  int fd = openat (parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

  check (fd >= 0, NULL);
  while (getdents64 (fd, buffer, BUFFER_SIZE) > 0)
    ;
  close (fd);
}

static void
run_floor (const char *directory, guint n_keys, Timing *timing)
{
  g_autofree char *buffer = g_malloc (BUFFER_SIZE);
  int fd = open (directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

  timing_start (timing);
  walk_folder (fd, ".", buffer);
  for (guint i = 0; i < N_SHARDS; i++)
    {
      char shard[3];

      g_snprintf (shard, sizeof shard, "%02x", i);
      walk_folder (fd, shard, buffer);
    }
  timing_stop (timing, n_keys);
  close (fd);
}

static void
run_ours (BsBackingStore *store, GFile *path, guint n_keys, Timing *timing)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (BsTrackedPath) tracked = NULL;

  timing_start (timing);
  tracked = bs_backing_store_track_path (store, path, NULL, &error);
  timing_stop (timing, n_keys);

  check (tracked != NULL && bs_tracked_path_get_n_keys (tracked) == n_keys, error);
  check (bs_backing_store_untrack_path (store, tracked, NULL, &error), error);
}

static void
measure (guint n_keys)
{
  g_autofree char *directory = benchmark_make_directory ();
  g_autofree char *scratch_name = g_build_filename (directory, "scratch", NULL);
  g_autofree char *path_name = g_build_filename (directory, "path", NULL);
  g_autoptr (GFile) scratch = g_file_new_for_path (scratch_name);
  g_autoptr (GFile) path = g_file_new_for_path (path_name);
  g_autoptr (BsBacking) backing = BS_BACKING (bs_file_backing_new (scratch));
  g_autoptr (BsBackingStore) store = bs_backing_store_new (backing);
  Timing floor, ours, first;

  check (mkdir (path_name, 0700) == 0, NULL);
  make_blobs (path_name, n_keys);
  timing_init (&floor, "floor");
  timing_init (&ours, "ours");
  timing_init (&first, "ours, the first time, without a marker");
  run_ours (store, path, n_keys, &first);
  for (guint round = 0; round < benchmark_rounds; round++)
    {
      run_floor (path_name, n_keys, &floor);
      run_ours (store, path, n_keys, &ours);
    }

  g_print ("track_path, %u keys, for each\n", n_keys);
  timing_print (&floor, NULL, 1, "ns");
  timing_print (&ours, &floor, 1, "ns");
  timing_print (&first, NULL, 1, "ns");

  timing_clear (&floor);
  timing_clear (&ours);
  timing_clear (&first);
  bs_backing_store_close (store, NULL, NULL);
  benchmark_remove_directory (directory);
}

int
main (int argc, char **argv)
{
  benchmark_init (&argc, &argv, "Tracking a path with many blobs: rows 7 and 12");
  benchmark_each_size (measure, 10000, 600);
  return 0;
}
