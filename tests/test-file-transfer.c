/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <linux/fs.h>
#include <linux/landlock.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "file-fixture.h"
#include "file-mount.h"

static void
test_other_file_system (Fixture *fixture, gconstpointer data)
{
  g_autoptr (Mount) mount = mount_new (fixture->directory, "tmpfs", 0);
  g_autofree char *path_name = NULL;
  g_autofree char *blob = NULL;
  g_autoptr (GError) error = NULL;

  if (mount == NULL)
    return;

  path_name = g_build_filename (mount_get_path (mount), "persisted", NULL);
  g_clear_object (&fixture->path);
  fixture->path = g_file_new_for_path (path_name);
  blob = get_blob_name (path_name, fixture->key);

  write_blob (fixture, fixture->key);
  for (guint i = 0; i < 2; i++)
    persist_blob (fixture, fixture->key);
  assert_transfers (fixture->backing, 0, 0, 1);
  g_assert_cmphex (get_mode (blob), ==, 0600);

  bs_backing_sync_persisted (fixture->backing, fixture->path, NULL, &error);
  g_assert_no_error (error);

  /* The blob has its own bytes in both places. */
  for (guint i = 0; i < 2; i++)
    register_blob (fixture, fixture->key);
  assert_transfers (fixture->backing, 0, 0, 1);
  delete_scratch (fixture, fixture->key);
  for (guint i = 0; i < 2; i++)
    register_blob (fixture, fixture->key);
  assert_transfers (fixture->backing, 0, 0, 2);

  /* Also when the shard folder vanished meanwhile. */
  {
    g_autofree char *shard = get_shard_name (path_name, fixture->key);

    remove_test_directory (shard);
    persist_blob (fixture, fixture->key);
    g_assert_true (exists (blob));
  }

  /* The blob, the marker, the lock; no temporary file. */
  sync_path (fixture);
  g_assert_cmpuint (count_files (path_name), ==, 3);
  g_assert_cmpuint (count_files (fixture->primary_name), ==, 3);

  g_clear_object (&fixture->backing);
}

static void
test_full_primary (Fixture *fixture, gconstpointer data)
{
  g_autoptr (Mount) mount = mount_new (fixture->directory, "tmpfs", 0);
  g_autofree char *primary_name = NULL;
  g_autofree char *blob = NULL;
  g_autofree char *ballast = NULL;
  g_autofree char *small = bs_key_generate ();
  g_autoptr (GBytes) large = make_test_bytes (300000, 1);
  g_autoptr (GError) error = NULL;
  GStatBuf status;

  if (mount == NULL)
    return;

  primary_name = g_build_filename (mount_get_path (mount), "primary", NULL);
  ballast = g_build_filename (mount_get_path (mount), "ballast", NULL);
  blob = get_blob_name (primary_name, fixture->key);
  move_primary (fixture, primary_name);
  write_blob (fixture, small);

  /* Part of the blob fits. */
  mount_fill (mount);
  g_assert_cmpint (g_stat (ballast, &status), ==, 0);
  g_assert_cmpint (truncate (ballast, status.st_size - 150000), ==, 0);
  g_assert_false (bs_backing_write (fixture->backing, fixture->key, large, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  g_clear_error (&error);
  g_assert_false (exists (blob));
  assert_does_not_read (fixture->backing, fixture->key);
  assert_reads (fixture->backing, small, fixture->bytes);

  mount_make_room (mount);
  g_assert_true (bs_backing_write (fixture->backing, fixture->key, large, NULL, &error));
  g_assert_no_error (error);
  assert_reads (fixture->backing, fixture->key, large);

  /* Registering, by copy, has nowhere to put it, not even a free slot. */
  restart_backing (fixture);
  {
    g_autofree char *persisted = get_blob_name (fixture->path_name, fixture->key);

    plant (persisted, "");
    g_assert_true (g_file_set_contents (persisted, g_bytes_get_data (large, NULL),
                                        g_bytes_get_size (large), NULL));
  }
  mount_fill (mount);
  g_assert_false (
    bs_backing_register_key (fixture->backing, fixture->path, fixture->key, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  g_clear_error (&error);
  g_assert_cmpuint (count_files (primary_name), ==, 2);
  mount_make_room (mount);
  g_assert_true (
    bs_backing_register_key (fixture->backing, fixture->path, fixture->key, NULL, &error));
  g_assert_no_error (error);
  assert_reads (fixture->backing, fixture->key, large);

  g_clear_object (&fixture->backing);
}

static void
test_full_path (Fixture *fixture, gconstpointer data)
{
  g_autoptr (Mount) mount = mount_new (fixture->directory, "tmpfs", 0);
  g_autofree char *path_name = NULL;
  g_autoptr (GBytes) large = make_test_bytes (300000, 1);
  g_autoptr (GBytes) root = NULL;
  g_autoptr (GError) error = NULL;

  if (mount == NULL)
    return;

  path_name = g_build_filename (mount_get_path (mount), "persisted", NULL);
  g_clear_object (&fixture->path);
  fixture->path = g_file_new_for_path (path_name);

  bs_backing_write_root (fixture->backing, fixture->path, fixture->bytes, NULL, NULL, &error);
  bs_backing_write (fixture->backing, fixture->key, large, NULL, &error);
  g_assert_no_error (error);

  mount_fill (mount);
  g_assert_false (bs_backing_persist (fixture->backing, fixture->path, fixture->key, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  g_clear_error (&error);
  g_assert_false (
    bs_backing_write_root (fixture->backing, fixture->path, large, NULL, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  g_clear_error (&error);

  /* The old root, the marker, the lock. */
  g_assert_cmpuint (count_files (path_name), ==, 3);
  root = bs_backing_read_root (fixture->backing, fixture->path, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (g_bytes_equal (root, fixture->bytes));
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 0);

  mount_make_room (mount);
  persist_blob (fixture, fixture->key);
  bs_backing_write_root (fixture->backing, fixture->path, large, NULL, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 1);
  delete_scratch (fixture, fixture->key);
  bs_backing_register_key (fixture->backing, fixture->path, fixture->key, NULL, &error);
  assert_reads (fixture->backing, fixture->key, large);

  g_clear_object (&fixture->backing);
}

static gboolean
set_immutable (const char *path, gboolean immutable)
{
  int flags = 0;
  int fd = open (path, O_RDONLY | O_CLOEXEC);
  gboolean done = FALSE;

  if (ioctl (fd, FS_IOC_GETFLAGS, &flags) == 0)
    {
      flags = immutable ? flags | FS_IMMUTABLE_FL : flags & ~FS_IMMUTABLE_FL;
      done = ioctl (fd, FS_IOC_SETFLAGS, &flags) == 0;
    }
  close (fd);

  return done;
}

/* The system links no file that must not change: EPERM. */
static void
test_link_not_permitted (Fixture *fixture, gconstpointer data)
{
  g_autofree char *blob = get_blob_name (fixture->primary_name, fixture->key);
  g_autofree char *persisted = get_blob_name (fixture->path_name, fixture->key);

  write_blob (fixture, fixture->key);
  if (!set_immutable (blob, TRUE))
    {
      g_test_skip ("No file can be made immutable here");
      return;
    }
  persist_blob (fixture, fixture->key);
  g_assert_true (set_immutable (blob, FALSE));

  g_assert_cmpint (get_inode (persisted), !=, get_inode (blob));
  {
    g_autoptr (BsFileBackingStats) stats =
      bs_file_backing_get_stats (BS_FILE_BACKING (fixture->backing));

    g_assert_cmpuint (stats->linked, ==, 0);
    g_assert_cmpuint (stats->copied + stats->reflinked, ==, 1);
  }
}

/* ext4 allows 65,000 links. */
static void
test_too_many_links (Fixture *fixture, gconstpointer data)
{
  g_autofree char *blob = get_blob_name (fixture->primary_name, fixture->key);
  g_autofree char *links = g_build_filename (fixture->directory, "links", NULL);
  gboolean reached = FALSE;

  use_large_blobs (fixture);
  write_blob (fixture, fixture->key);
  g_mkdir (links, 0700);
  for (guint i = 0; i < 70000 && !reached; i++)
    {
      g_autofree char *name = g_strdup_printf ("%s/%u", links, i);

      if (link (blob, name) != 0)
        {
          g_assert_cmpint (errno, ==, EMLINK);
          reached = TRUE;
        }
    }

  if (!reached)
    {
      g_test_skip ("This file system allows many links");
      return;
    }
  persist_blob (fixture, fixture->key);
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 1);
  assert_transfers (fixture->backing, 0, 0, 1);
}

/* Forbids this process links and renames between folders, and no file. Returns FALSE
 * where the system can't. */
static gboolean
enter_sandbox (void)
{
  const struct landlock_ruleset_attr attributes = {
    .handled_access_fs = LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_CHAR
  };
  int fd = syscall (SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0);

  return fd >= 0 && prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         syscall (SYS_landlock_restrict_self, fd, 0) == 0;
}

#define NO_SANDBOX 77

static void
use_in_sandbox (Fixture *fixture)
{
  g_autofree char *blob = get_blob_name (fixture->path_name, fixture->key);
  g_autofree char *quarantine = g_build_filename (fixture->path_name, ".quarantine", NULL);
  g_autoptr (GError) error = NULL;

  if (!enter_sandbox ())
    _exit (NO_SANDBOX);

  fixture->backing = create (fixture->primary);
  write_blob (fixture, fixture->key);
  persist_blob (fixture, fixture->key);
  sync_path (fixture);
  assert_transfers (fixture->backing, 0, 0, 1);
  delete_scratch (fixture, fixture->key);
  register_blob (fixture, fixture->key);
  g_assert_true (
    bs_backing_write_root (fixture->backing, fixture->path, fixture->bytes, NULL, NULL, &error));
  g_assert_no_error (error);

  /* A bad blob is set aside. */
  cut_short (blob, 10);
  bs_backing_verify_persisted (fixture->backing, fixture->path, fixture->key, NULL, &error);
  g_assert_error (error, BS_ERROR, BS_ERROR_CORRUPT);
  g_clear_error (&error);
  g_assert_cmpuint (count_files (quarantine), ==, 1);
  g_assert_false (exists (blob));
  persist_blob (fixture, fixture->key);
  sync_path (fixture);
  g_assert_finalize_object (g_steal_pointer (&fixture->backing));
}

static void
test_sandbox (Fixture *fixture, gconstpointer data)
{
  int status;
  pid_t pid;

  g_clear_object (&fixture->backing);
  pid = fork ();
  if (pid == 0)
    {
      use_in_sandbox (fixture);
      _exit (0);
    }
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_true (WIFEXITED (status));
  if (WEXITSTATUS (status) == NO_SANDBOX)
    {
      g_test_skip ("This system has no Landlock");
      return;
    }
  g_assert_cmpint (WEXITSTATUS (status), ==, 0);

  /* No temporary file is left: blob, marker, lock, root and the one set aside. */
  g_assert_cmpuint (count_files (fixture->path_name), ==, 5);
}

int
main (int argc, char *argv[])
{
  static const struct
  {
    const char *name;
    void (*func) (Fixture *fixture, gconstpointer data);
  } tests[] = {
    { "other-file-system", test_other_file_system },
    { "full-primary", test_full_primary },
    { "full-path", test_full_path },
    { "link-not-permitted", test_link_not_permitted },
    { "too-many-links", test_too_many_links },
    { "sandbox", test_sandbox },
  };

  mount_init ();
  g_test_init (&argc, &argv, NULL);

  for (guint i = 0; i < G_N_ELEMENTS (tests); i++)
    {
      g_autofree char *name = g_strdup_printf ("/file-transfer/%s", tests[i].name);

      g_test_add (name, Fixture, NULL, set_up, tests[i].func, tear_down);
    }

  return g_test_run ();
}
