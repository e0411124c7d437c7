/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* A sync after one small blob was persisted, while much else on the file system is
 * not on the disk yet. The floor is fsync of the file and of its folder. */

#include "benchmark.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIZE 4096

/* How much is dirty elsewhere. */
static gsize ballast_size = 512 * 1024 * 1024;

typedef struct
{
  Timing step; /* a link, or persist */
  Timing sync;
} Column;

static void
column_init (Column *column, const char *name)
{
  timing_init (&column->step, name);
  timing_init (&column->sync, name);
}

static void
column_clear (Column *column)
{
  timing_clear (&column->step);
  timing_clear (&column->sync);
}

static void
check (gboolean success)
{
  if (!success)
    g_error ("A call failed");
}

/* A new file each time: what was dirty before may be on the disk by now. */
static char *
make_ballast (const char *directory)
{
  char *name = g_build_filename (directory, "ballast", NULL);
  g_autofree char *block = g_malloc (1024 * 1024);
  int fd = open (name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

  memset (block, 'b', 1024 * 1024);
  for (gsize at = 0; at < ballast_size; at += 1024 * 1024)
    check (write (fd, block, 1024 * 1024) == 1024 * 1024);
  close (fd);
  return name;
}

/* So that each measurement starts from a file system with nothing to do. */
static void
sync_all (const char *directory)
{
  int fd = open (directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

  syncfs (fd);
  close (fd);
}

static void
run_floor (GBytes *bytes, Column *column)
{
  g_autofree char *directory = benchmark_make_directory ();
  g_autofree char *folder = g_build_filename (directory, "ab", NULL);
  g_autofree char *scratch = g_build_filename (directory, "scratch", NULL);
  g_autofree char *blob = g_build_filename (folder, "blob", NULL);
  g_autofree char *ballast = NULL;
  int folder_fd, fd;

  check (mkdir (folder, 0700) == 0);
  sync_all (directory);
  ballast = make_ballast (directory);
  fd = open (scratch, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  check (write (fd, g_bytes_get_data (bytes, NULL), SIZE) == SIZE);

  timing_start (&column->step);
  check (link (scratch, blob) == 0);
  timing_stop (&column->step, 1);

  timing_start (&column->sync);
  check (fsync (fd) == 0);
  folder_fd = open (folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  check (fsync (folder_fd) == 0);
  close (folder_fd);
  timing_stop (&column->sync, 1);

  close (fd);
  unlink (ballast);
  benchmark_remove_directory (directory);
}

static void
run_ours (GBytes *bytes, Column *column)
{
  g_autofree char *directory = benchmark_make_directory ();
  g_autofree char *scratch_name = g_build_filename (directory, "scratch", NULL);
  g_autofree char *path_name = g_build_filename (directory, "path", NULL);
  g_autoptr (GFile) scratch = g_file_new_for_path (scratch_name);
  g_autoptr (GFile) path = g_file_new_for_path (path_name);
  g_autoptr (BsBacking) backing = BS_BACKING (bs_file_backing_new (scratch));
  g_autoptr (BsKeySet) found = bs_key_set_new ();
  const char *keys[] = { "abcdef01-2345-6789-abcd-ef0123456789",
                         "abcdef01-2345-6789-abcd-ef0123456780" };
  g_autofree char *ballast = NULL;

  /* The folder is there already, as the floor's is. */
  check (bs_backing_sanitize_path (backing, path, found, NULL, NULL));
  check (bs_backing_write (backing, keys[0], bytes, NULL, NULL));
  check (bs_backing_persist (backing, path, keys[0], NULL, NULL));
  check (bs_backing_sync_persisted (backing, path, NULL, NULL));
  sync_all (directory);
  ballast = make_ballast (directory);
  check (bs_backing_write (backing, keys[1], bytes, NULL, NULL));

  timing_start (&column->step);
  check (bs_backing_persist (backing, path, keys[1], NULL, NULL));
  timing_stop (&column->step, 1);

  timing_start (&column->sync);
  check (bs_backing_sync_persisted (backing, path, NULL, NULL));
  timing_stop (&column->sync, 1);

  unlink (ballast);
  g_clear_object (&backing);
  benchmark_remove_directory (directory);
}

int
main (int argc, char **argv)
{
  g_autofree char *content = g_malloc0 (SIZE);
  g_autoptr (GBytes) bytes = NULL;
  Column floor, ours;

  benchmark_init (&argc, &argv, "A sync while much else is dirty: row 9");
  if (benchmark_smoke)
    ballast_size = 1024 * 1024;

  bytes = g_bytes_new_take (g_steal_pointer (&content), SIZE);
  column_init (&floor, "floor");
  column_init (&ours, "ours");
  for (guint round = 0; round < benchmark_rounds; round++)
    {
      run_floor (bytes, &floor);
      run_ours (bytes, &ours);
    }

  g_print ("sync after one persist, %" G_GSIZE_FORMAT " MiB dirty elsewhere\n", ballast_size >> 20);
  timing_print (&floor.sync, NULL, 1000, "us");
  timing_print (&ours.sync, &floor.sync, 1000, "us");
  g_print ("the persist itself; floor: a link\n");
  timing_print (&floor.step, NULL, 1000, "us");
  timing_print (&ours.step, &floor.step, 1000, "us");

  column_clear (&floor);
  column_clear (&ours);
  return 0;
}
