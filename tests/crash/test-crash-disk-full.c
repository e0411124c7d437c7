/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "run.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "backing-contract.h"

/* A small disk fills up while a workload goes on, and gets space again. */

#define DISK_SIZE "size=8m"
#define N_CASES 500

typedef struct
{
  char *mount_point;
  int ballast_fd;
} Disk;

/* Mounts are seen by this process alone, and by each of its threads. */
static gboolean has_own_mounts;

static gboolean
mount_disk (Disk *disk, Run *run)
{
  g_autofree char *ballast = NULL;

  disk->mount_point = run_make_directory (run, "disk");
  if (!has_own_mounts || mount ("none", disk->mount_point, "tmpfs", 0, DISK_SIZE) != 0)
    {
      g_free (disk->mount_point);
      return FALSE;
    }

  ballast = g_build_filename (disk->mount_point, "ballast", NULL);
  disk->ballast_fd = open (ballast, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  g_assert_no_errno (disk->ballast_fd);

  return TRUE;
}

static void
unmount_disk (Disk *disk)
{
  close (disk->ballast_fd);
  g_assert_no_errno (umount (disk->mount_point));
  g_free (disk->mount_point);
}

static guint64
get_free (Disk *disk)
{
  struct statvfs status;

  g_assert_no_errno (fstatvfs (disk->ballast_fd, &status));

  return status.f_bavail * status.f_frsize;
}

static void
empty (Disk *disk)
{
  g_assert_no_errno (ftruncate (disk->ballast_fd, 0));
}

/* Leaves room for some pages; often for none, or for nearly all that the next
 * blobs need. */
static void
fill (Disk *disk, GRand *rand)
{
  static const guint64 rooms[] = { 0, 0, 4096, 8192, 65536, 300000, 1000000 };
  guint64 room = rooms[g_rand_int_range (rand, 0, G_N_ELEMENTS (rooms))];
  guint64 available;

  empty (disk);
  available = get_free (disk);
  if (available > room)
    g_assert_no_errno (fallocate (disk->ballast_fd, 0, 0, available - room));
}

/* Returns how many steps failed for want of space. */
static guint
run_on_disk (Run *run, Disk *disk, const char *directory)
{
  const Workload *workload = run->setting->workload;
  gpointer state = workload->start (directory, run->journal);
  g_autoptr (GError) error = NULL;
  guint n_full = 0;

  for (guint i = 0; i < workload->n_steps && error == NULL; i++)
    {
      if (g_rand_int_range (run->rand, 0, 3) == 0)
        fill (disk, run->rand);

      workload->step (state, i, &error);
      if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE))
        {
          n_full++;
          g_clear_error (&error);
          if (workload->verify (state, &error))
            {
              empty (disk);
              workload->step (state, i, &error);
            }
        }
      if (error != NULL)
        run_fail (run, "step %u (%s): %s", i, workload->describe (i), error->message);
    }

  workload->stop (state);

  return n_full;
}

static guint
run_case (Run *run, Disk *disk)
{
  g_autofree char *directory = g_build_filename (disk->mount_point, "case", NULL);
  const InterposePlan plan = run_make_plan (run);
  guint n_full;

  g_assert_no_errno (mkdir (directory, 0700));
  empty (disk);

  journal_restart (run->journal, NULL);
  interpose_begin (directory, &plan, NULL);
  n_full = run_on_disk (run, disk, directory);
  interpose_end ();

  empty (disk);
  run_check (run, directory, journal_get_n_marks (run->journal), "a full disk");
  remove_test_directory (directory);

  return n_full;
}

static void
test_disk_full (gconstpointer data)
{
  guint n_full = 0;
  Disk disk;
  Run run;
  guint n;

  run_init (&run, data);
  if (!mount_disk (&disk, &run))
    {
      g_test_skip ("not allowed to mount a small disk");
      run_clear (&run);
      return;
    }

  run_set_n_cases (&run, N_CASES);
  while (run_next (&run, &n))
    n_full += run_case (&run, &disk);

  g_assert_cmpuint (n_full, >, 0);
  run_report (&run, "runs on a full disk");
  g_test_message ("%u steps failed and were tried again", n_full);
  unmount_disk (&disk);
  run_clear (&run);
}

int
main (int argc, char *argv[])
{
  /* Before any thread is made: it would not see them. */
  has_own_mounts =
    unshare (CLONE_NEWNS) == 0 && mount ("none", "/", "", MS_REC | MS_PRIVATE, NULL) == 0;
  g_test_init (&argc, &argv, NULL);

  run_add_tests ("disk-full", test_disk_full);

  return g_test_run ();
}
