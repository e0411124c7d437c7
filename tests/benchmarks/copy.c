/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* One large file in and out of a pool with a file backing: by a clone, where the file system
 * can, by a copy of the kernel, and as a stream.
 *
 * Floors are the system calls of cp --reflink, of copy_file_range() and of cat alone: a file is
 * opened, made and filled. They hash nothing. The programs cp and cat are beside them, from the
 * time when they are asked for to their end, and with their processor time. The file is in the
 * page cache; each round has new targets, and nothing is synced. */

#include "benchmark.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* As cat has it. */
#define CAT_SIZE (128 * 1024)

typedef enum
{
  CLONE,
  COPY,
  STREAM,
} Method;

static void
check (gboolean success, GError *error)
{
  if (!success)
    g_error ("%s", error != NULL ? error->message : "A call failed");
}

static void
make_source (const char *path, goffset size)
{
  g_autofree guint32 *data = g_malloc (1 << 20);
  int fd = open (path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

  for (gsize i = 0; i < (1 << 20) / 4; i++)
    data[i] = i * 2654435761u;
  for (goffset done = 0; done < size; done += 1 << 20)
    check (write (fd, data, 1 << 20) == 1 << 20, NULL);
  check (fsync (fd) == 0, NULL);
  close (fd);
}

/* FALSE where the file system shares no blocks. */
static gboolean
can_clone (const char *source, const char *directory)
{
  g_autofree char *target = g_build_filename (directory, "try", NULL);
  int from = open (source, O_RDONLY | O_CLOEXEC);
  int to = open (target, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  gboolean success = ioctl (to, FICLONE, from) == 0;

  close (from);
  close (to);
  unlink (target);

  return success;
}

static void
cat (int from, int to)
{
  g_autofree char *buffer = g_malloc (CAT_SIZE);
  gssize n;

  while ((n = read (from, buffer, CAT_SIZE)) > 0)
    check (write (to, buffer, n) == n, NULL);
}

static void
run_floor (const char *source, const char *target, Method method, Timing *timing)
{
  int from, to;

  timing_start (timing);
  from = open (source, O_RDONLY | O_CLOEXEC);
  to = open (target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (method == CLONE)
    check (ioctl (to, FICLONE, from) == 0, NULL);
  else if (method == COPY)
    while (copy_file_range (from, NULL, to, NULL, G_MAXINT & ~4095, 0) > 0)
      ;
  else
    cat (from, to);
  close (from);
  close (to);
  timing_stop (timing, 1);
  unlink (target);
}

static gint64
children_cpu_now (void)
{
  struct rusage usage;

  getrusage (RUSAGE_CHILDREN, &usage);
  return ((usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * G_USEC_PER_SEC +
          usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) *
         1000;
}

static void
run_program (const char *source, const char *target, Method method, Timing *timing)
{
  const char *arguments[][5] = {
    { "cp", "--reflink=always", source, target, NULL },
    { "cp", "--reflink=never", source, target, NULL },
    { "cat", source, NULL },
  };
  gint64 cpu = children_cpu_now ();
  gint64 start = benchmark_now ();
  posix_spawn_file_actions_t actions;
  int status = -1;
  pid_t child;

  posix_spawn_file_actions_init (&actions);
  if (method == STREAM)
    posix_spawn_file_actions_addopen (&actions, 1, target, O_WRONLY | O_CREAT | O_EXCL, 0600);
  check (posix_spawnp (&child, arguments[method][0], &actions, NULL, (char **) arguments[method],
                       environ) == 0 &&
           waitpid (child, &status, 0) == child && status == 0,
         NULL);
  series_add (&timing->clock, benchmark_now () - start);
  series_add (&timing->cpu, children_cpu_now () - cpu);
  posix_spawn_file_actions_destroy (&actions);
  unlink (target);
}

/* A user who reads a stream to its end. */
static void
drain (GInputStream *stream, const char *target)
{
  g_autofree char *buffer = g_malloc (CAT_SIZE);
  int to = open (target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  g_autoptr (GError) error = NULL;
  gssize n;

  while ((n = g_input_stream_read (stream, buffer, CAT_SIZE, NULL, &error)) > 0)
    check (write (to, buffer, n) == n, NULL);
  check (n == 0, error);
  close (to);
}

static BsItem *
run_in (BsPool *pool, GFile *source, Method method, Timing *timing)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GInputStream) stream = NULL;
  BsItem *item;

  timing_start (timing);
  if (method == STREAM)
    {
      stream = G_INPUT_STREAM (g_file_read (source, NULL, &error));
      item = bs_pool_insert_stream (pool, stream, NULL, &error);
    }
  else
    {
      item = bs_pool_insert_file (pool, source, NULL, &error);
    }
  timing_stop (timing, 1);
  check (item != NULL, error);

  return item;
}

static void
run_out (BsItem *item, const char *target, Method method, Timing *timing)
{
  g_autoptr (GFile) file = g_file_new_for_path (target);
  g_autoptr (GError) error = NULL;
  g_autoptr (GInputStream) stream = NULL;

  timing_start (timing);
  if (method == STREAM)
    {
      stream = bs_item_read (item, NULL, &error);
      check (stream != NULL, error);
      drain (stream, target);
    }
  else
    {
      check (bs_item_copy_to_file (item, file, NULL, &error), error);
    }
  timing_stop (timing, 1);
  unlink (target);
}

static void
measure (BsPool *pool, const char *directory, goffset size, Method method)
{
  static const char *const names[] = { "a clone", "a copy", "a stream" };
  static const char *const floors[] = { "floor, cp --reflink", "floor, copy_file_range",
                                        "floor, cat" };
  static const char *const programs[] = { "the program cp --reflink=always",
                                          "the program cp --reflink=never", "the program cat" };
  g_autofree char *source = g_build_filename (directory, "source", NULL);
  g_autofree char *target = g_build_filename (directory, "target", NULL);
  g_autoptr (GFile) file = g_file_new_for_path (source);
  Timing floor, program, in, out, ignored;

  timing_init (&floor, floors[method]);
  timing_init (&program, programs[method]);
  timing_init (&ignored, "with cold caches");
  timing_init (&in, "ours, in");
  timing_init (&out, "ours, out");
  for (guint round = 0; round < benchmark_rounds; round++)
    {
      run_program (source, target, method, &program);
      /* A program leaves the processor's caches cold. */
      for (guint warm = 0; warm < 2; warm++)
        {
          g_autoptr (BsItem) item = NULL;

          run_floor (source, target, method, warm ? &floor : &ignored);
          item = run_in (pool, file, method, warm ? &in : &ignored);
          run_out (item, target, method, warm ? &out : &ignored);
        }
    }

  g_print ("a file of %" G_GOFFSET_FORMAT " MiB as %s\n", size >> 20, names[method]);
  timing_print (&floor, NULL, 1000, "us");
  timing_print (&program, &floor, 1000, "us");
  timing_print (&in, &floor, 1000, "us");
  timing_print (&out, &floor, 1000, "us");
  timing_clear (&floor);
  timing_clear (&program);
  timing_clear (&ignored);
  timing_clear (&in);
  timing_clear (&out);
}

int
main (int argc, char **argv)
{
  g_autoptr (BsFileBacking) backing = NULL;
  g_autoptr (BsBackingStore) store = NULL;
  g_autoptr (BsPool) pool = NULL;
  g_autofree char *directory = NULL;
  g_autofree char *source = NULL;
  g_autoptr (GFile) parent = NULL;
  g_autoptr (GError) error = NULL;
  goffset size;

  benchmark_init (&argc, &argv, "A large file in and out: row 22");
  size = (goffset) (benchmark_smoke ? 2 : benchmark_large ? 1024 : 256) << 20;
  directory = benchmark_make_directory ();
  source = g_build_filename (directory, "source", NULL);
  make_source (source, size);
  parent = g_file_new_for_path (directory);
  backing = bs_file_backing_new_temporary_in (parent, &error);
  check (backing != NULL, error);
  store = bs_backing_store_new (BS_BACKING (backing));
  pool = bs_pool_new (store, 1 << 20);

  if (can_clone (source, directory))
    measure (pool, directory, size, CLONE);
  measure (pool, directory, size, COPY);
  measure (pool, directory, size, STREAM);

  check (bs_backing_store_close (store, NULL, &error), error);
  benchmark_remove_directory (directory);
  return 0;
}
