/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* Scratch of the file backing, one thread, blocking: blobs that come and go, blobs that are
 * persisted after they were spilled, and the end of a process with many.
 *
 * The floor of the steady state is one file without a name that is open already, with as
 * many slots as there are blobs: pwrite() and pread() in a bare loop, which allocates
 * memory for each content that it reads. The floor of a persisted blob is a file with an
 * attribute, written and linked. Floors hash nothing.
 *
 * Every round has a directory of its own. Nothing is synced in the timed parts. */

#include "benchmark.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

static void
check (gboolean success, GError *error)
{
  if (!success)
    g_error ("%s", error != NULL ? error->message : "A call failed");
}

static GBytes *
make_bytes (gsize size)
{
  guint32 *data = g_malloc (size);

  for (gsize i = 0; i < size / 4; i++)
    data[i] = i * 2654435761u;
  return g_bytes_new_take (data, size);
}

enum
{
  FIRST_WRITE,
  DROP_AND_WRITE,
  LOAD,
  N_STEPS,
};

static const char *const step_names[N_STEPS] = { "first write", "drop and write again", "load" };

static void
write_slot (int fd, GBytes *bytes, guint slot)
{
  gsize size;
  const char *data = g_bytes_get_data (bytes, &size);

  if (pwrite (fd, data, size, (off_t) slot * size) != (gssize) size)
    g_error ("A slot could not be written");
}

static gpointer
read_slot (int fd, gsize size, guint slot)
{
  gpointer data = g_malloc (size);

  if (pread (fd, data, size, (off_t) slot * size) != (gssize) size)
    g_error ("A slot could not be read");
  return data;
}

static void
run_slots (const guint *order, guint n, GBytes *bytes, Timing *timings)
{
  g_autofree char *directory = benchmark_make_directory ();
  int fd = open (directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  gsize size = g_bytes_get_size (bytes);

  if (fd < 0)
    g_error ("A file could not be opened");
  timing_start (&timings[FIRST_WRITE]);
  for (guint i = 0; i < n; i++)
    write_slot (fd, bytes, i);
  timing_stop (&timings[FIRST_WRITE], n);

  timing_start (&timings[DROP_AND_WRITE]);
  for (guint i = 0; i < n; i++)
    write_slot (fd, bytes, order[i]);
  timing_stop (&timings[DROP_AND_WRITE], n);

  timing_start (&timings[LOAD]);
  for (guint i = 0; i < n; i++)
    g_free (read_slot (fd, size, order[i]));
  timing_stop (&timings[LOAD], n);

  close (fd);
  benchmark_remove_directory (directory);
}

static void
run_steady (char **keys,
            char **new_keys,
            const guint *order,
            guint n,
            GBytes *bytes,
            Timing *timings)
{
  g_autoptr (GError) error = NULL;
  BenchmarkPlace place;

  benchmark_place_init (&place);
  check (bs_backing_delete_key (place.backing, keys[0], NULL, &error), error);

  timing_start (&timings[FIRST_WRITE]);
  for (guint i = 0; i < n; i++)
    check (bs_backing_write (place.backing, keys[i], bytes, NULL, &error), error);
  timing_stop (&timings[FIRST_WRITE], n);

  timing_start (&timings[DROP_AND_WRITE]);
  for (guint i = 0; i < n; i++)
    {
      check (bs_backing_delete_key (place.backing, keys[order[i]], NULL, &error), error);
      check (bs_backing_write (place.backing, new_keys[order[i]], bytes, NULL, &error), error);
    }
  timing_stop (&timings[DROP_AND_WRITE], n);

  timing_start (&timings[LOAD]);
  for (guint i = 0; i < n; i++)
    {
      GBytes *loaded = bs_backing_read (place.backing, new_keys[order[i]], NULL, &error);

      check (loaded != NULL, error);
      g_bytes_unref (loaded);
    }
  timing_stop (&timings[LOAD], n);

  benchmark_place_clear (&place);
}

static void
measure_steady (gsize size, guint n)
{
  char **keys = benchmark_make_keys (n);
  char **new_keys = benchmark_make_keys (n);
  g_autofree guint *order = benchmark_make_order (n, TRUE);
  g_autoptr (GBytes) bytes = make_bytes (size);
  Timing floors[N_STEPS], ours[N_STEPS];

  for (guint i = 0; i < N_STEPS; i++)
    {
      timing_init (&floors[i], "slots in one file");
      timing_init (&ours[i], "ours");
    }

  for (guint round = 0; round < benchmark_rounds; round++)
    {
      run_slots (order, n, bytes, floors);
      run_steady (keys, new_keys, order, n, bytes, ours);
    }

  for (guint i = 0; i < N_STEPS; i++)
    {
      g_print ("%s, %" G_GSIZE_FORMAT " KiB, %u blobs, for each\n", step_names[i], size / 1024, n);
      timing_print (&floors[i], NULL, 1000, "us");
      timing_print (&ours[i], &floors[i], 1000, "us");
      timing_clear (&floors[i]);
      timing_clear (&ours[i]);
    }
  g_strfreev (keys);
  g_strfreev (new_keys);
}

static void
write_and_link (int from, int to, const char *name, GBytes *bytes)
{
  gsize size;
  const void *data = g_bytes_get_data (bytes, &size);
  int fd = openat (from, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

  if (fd < 0 || write (fd, data, size) != (gssize) size ||
      fsetxattr (fd, "user.benchmark", "12345678901234567890123456789012", 32, 0) != 0 ||
      linkat (from, name, to, name, 0) != 0)
    g_error ("A file could not be written");
  close (fd);
}

/* In one folder for each two digits, as ours. */
static void
run_linked (char **keys, guint n, GBytes *bytes, Timing *timing)
{
  g_autofree char *directory = benchmark_make_directory ();
  int folders[2][256];

  for (guint i = 0; i < 2; i++)
    for (guint j = 0; j < 256; j++)
      {
        g_autofree char *name = g_strdup_printf ("%s/%u-%02x", directory, i, j);

        if (mkdir (name, 0700) != 0)
          g_error ("A folder could not be made");
        folders[i][j] = open (name, O_PATH | O_DIRECTORY | O_CLOEXEC);
      }

  timing_start (timing);
  for (guint i = 0; i < n; i++)
    {
      guint shard = g_ascii_xdigit_value (keys[i][0]) * 16 + g_ascii_xdigit_value (keys[i][1]);

      write_and_link (folders[0][shard], folders[1][shard], keys[i], bytes);
    }
  timing_stop (timing, n);

  for (guint i = 0; i < 2; i++)
    for (guint j = 0; j < 256; j++)
      close (folders[i][j]);
  benchmark_remove_directory (directory);
}

/* One blob in each folder, as floors have their folders already. */
static void
warm_up (BenchmarkPlace *place)
{
  g_autoptr (GBytes) bytes = make_bytes (4);
  g_autoptr (BsKeySet) found = bs_key_set_new ();

  check (bs_backing_sanitize_path (place->backing, place->path, found, NULL, NULL), NULL);
  for (guint i = 0; i < (benchmark_smoke ? 4 : 256); i++)
    {
      g_autofree char *key = g_strdup_printf ("%02x000000-0000-4000-8000-000000000000", i);

      check (bs_backing_persist_bytes (place->backing, place->path, key, bytes, NULL, NULL), NULL);
      check (bs_backing_delete_key (place->backing, key, NULL, NULL), NULL);
      check (bs_backing_delete_persisted (place->backing, place->path, key, NULL, NULL), NULL);
    }
}

static void
run_persisted (char **keys, guint n, GBytes *bytes, gboolean spilled, Timing *timing)
{
  g_autoptr (GError) error = NULL;
  BenchmarkPlace place;

  benchmark_place_init (&place);
  warm_up (&place);

  timing_start (timing);
  for (guint i = 0; i < n && spilled; i++)
    check (bs_backing_write (place.backing, keys[i], bytes, NULL, &error), error);
  for (guint i = 0; i < n; i++)
    if (spilled)
      check (bs_backing_persist (place.backing, place.path, keys[i], NULL, &error), error);
    else
      check (bs_backing_persist_bytes (place.backing, place.path, keys[i], bytes, NULL, &error),
             error);
  timing_stop (timing, n);

  benchmark_place_clear (&place);
}

static void
measure_persisted (gsize size, guint n)
{
  char **keys = benchmark_make_keys (n);
  g_autoptr (GBytes) bytes = make_bytes (size);
  Timing floor, spilled, direct;

  timing_init (&floor, "a file with an attribute, linked");
  timing_init (&spilled, "ours, spilled and then persisted");
  timing_init (&direct, "ours, from memory at once");
  for (guint round = 0; round < benchmark_rounds; round++)
    {
      run_linked (keys, n, bytes, &floor);
      run_persisted (keys, n, bytes, TRUE, &spilled);
      run_persisted (keys, n, bytes, FALSE, &direct);
    }

  g_print ("persist, %" G_GSIZE_FORMAT " KiB, %u blobs, for each\n", size / 1024, n);
  timing_print (&floor, NULL, 1000, "us");
  timing_print (&spilled, &floor, 1000, "us");
  timing_print (&direct, &floor, 1000, "us");
  timing_clear (&floor);
  timing_clear (&spilled);
  timing_clear (&direct);
  g_strfreev (keys);
}

static void
measure_close (gsize size, guint n)
{
  char **keys = benchmark_make_keys (n);
  g_autoptr (GBytes) bytes = make_bytes (size);
  Timing timing;

  timing_init (&timing, "ours");
  for (guint round = 0; round < benchmark_rounds; round++)
    {
      g_autoptr (GError) error = NULL;
      BenchmarkPlace place;

      benchmark_place_init (&place);
      for (guint i = 0; i < n; i++)
        check (bs_backing_write (place.backing, keys[i], bytes, NULL, &error), error);
      timing_start (&timing);
      check (bs_backing_close (place.backing, NULL, &error), error);
      timing_stop (&timing, 1);
      benchmark_place_clear (&place);
    }

  g_print ("close, with %u blobs of %" G_GSIZE_FORMAT " bytes in scratch\n", n, size);
  timing_print (&timing, NULL, 1000000, "ms");
  timing_clear (&timing);
  g_strfreev (keys);
}

int
main (int argc, char **argv)
{
  benchmark_init (&argc, &argv, "Scratch of the file backing: rows 16 and 17");
  measure_steady (4096, benchmark_smoke ? 20 : 20000);
  measure_steady (256 * 1024, benchmark_smoke ? 3 : 400);
  measure_persisted (4096, benchmark_smoke ? 20 : 20000);
  measure_persisted (1024 * 1024, benchmark_smoke ? 3 : 1000);
  measure_close (1024, benchmark_smoke ? 20 : 100000);
  measure_close (4096, benchmark_smoke ? 20 : 100000);
  return 0;
}
