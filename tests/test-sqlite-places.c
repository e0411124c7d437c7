/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* The engine "sqlite:" where a document lies elsewhere than on an ordinary disk: without
 * shared memory, by way of the document portal, on media that cannot be written. */

#include "file-mount.h"
#include "sqlite-fixture.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/* The module is told so of every file, wherever the tests run; 0 for the truth. */
static guint32 file_system;

/* In place of the C library's. */
int
fstatfs (int fd, struct statfs *status)
{
  g_autofree char *path = g_strdup_printf ("/proc/self/fd/%d", fd);
  int result = statfs (path, status);

  if (result == 0 && file_system != 0)
    status->f_type = file_system;
  return result;
}

static int n_folder_syncs; /* atomic */
static int first_failing;  /* of the syncs of folders; 0: none fails */

/* A journal is synced with each change. The crash tests see to that; here it only takes
 * time. */
int
fsync (int fd)
{
  struct stat status;
  int n;

  if (fstat (fd, &status) != 0 || !S_ISDIR (status.st_mode))
    return 0;
  n = g_atomic_int_add (&n_folder_syncs, 1) + 1;
  if (first_failing == 0 || n < first_failing)
    return 0;

  errno = EIO;
  return -1;
}

int
fdatasync (int fd)
{
  return 0;
}

static BsBacking *
restart (BsBacking *backing, GFile *directory)
{
  g_autoptr (GError) error = NULL;

  bs_backing_close (backing, NULL, &error);
  g_assert_no_error (error);
  g_assert_finalize_object (backing);
  return create (directory);
}

/* The portal's kind of file system, from here on. */
static BsBacking *
create_on_fuse (GFile *directory)
{
  file_system = FUSE_SUPER_MAGIC;
  return create (directory);
}

static const BackingKind kind = { "/sqlite/journal", create_on_fuse, restart };

static void
set_up_on_fuse (Fixture *fixture, gconstpointer data)
{
  set_up (fixture, data);
  file_system = FUSE_SUPER_MAGIC;
}

static void
set_up_anywhere (Fixture *fixture, gconstpointer data)
{
  set_up (fixture, data);
  file_system = 0;
}

static int
watch (const char *path)
{
  g_autofree char *folder = g_path_get_dirname (path);
  int fd = inotify_init1 (IN_CLOEXEC | IN_NONBLOCK);

  g_mkdir_with_parents (folder, 0700);
  g_assert_no_errno (inotify_add_watch (fd, folder, IN_CREATE | IN_MOVED_TO));
  return fd;
}

/* Each name that was made in the watched folder is one of these. Closes `fd`. */
static void
assert_made_only (int fd, const char *const *names)
{
  char buffer[64 * 1024] __attribute__ ((aligned (8)));
  guint n_events = 0;
  gssize size;

  while ((size = read (fd, buffer, sizeof buffer)) > 0)
    for (char *place = buffer; place < buffer + size;)
      {
        struct inotify_event *event = (struct inotify_event *) place;

        n_events++;
        g_assert_true (g_strv_contains (names, event->name));
        place += sizeof *event + event->len;
      }
  g_assert_cmpuint (n_events, >, 0);
  close (fd);
}

static void
use_document (Fixture *fixture)
{
  g_autoptr (GBytes) bytes = make_test_bytes (5000, 1);
  g_autofree char *key = NULL;
  g_autofree char *dropped = NULL;
  g_autoptr (GError) error = NULL;

  track (fixture->backing, fixture->file);
  key = persist_new (fixture, 5000, 1);
  dropped = persist_new (fixture, 50000, 2);
  save_root (fixture, "first");
  bs_backing_delete_persisted (fixture->backing, fixture->file, dropped, NULL, &error);
  g_assert_no_error (error);
  bs_backing_sync_persisted (fixture->backing, fixture->file, NULL, &error);
  g_assert_no_error (error);
  save_root (fixture, "root");
  assert_reads (fixture->backing, key, bytes);
  assert_root (fixture->backing, fixture->file, "root");
  bs_backing_delete_key (fixture->backing, key, NULL, NULL);
  release (fixture);

  assert_folder (fixture->path, "document");
  assert_n_keys (fixture, 1);
  bs_backing_register_key (fixture->backing, fixture->file, key, NULL, &error);
  g_assert_no_error (error);
  assert_reads (fixture->backing, key, bytes);
}

/* By way of the portal the document and names beside it can be made, and there is no memory
 * that processes share. */
static void
test_portal (Fixture *fixture, gconstpointer data)
{
  static const char *const names[] = { "document", "document-journal", NULL };
  int fd = watch (fixture->path);
  g_autofree char *header = NULL;

  use_document (fixture);
  assert_made_only (fd, names);
  g_assert_true (g_file_get_contents (fixture->path, &header, NULL, NULL));
  g_assert_cmpint (header[18], ==, 1);
  g_assert_cmpint (header[19], ==, 1);
}

/* A log that a killed process left elsewhere. */
static void
test_log_without_shared_memory (Fixture *fixture, gconstpointer data)
{
  g_autofree char *index = beside (fixture->path, "-shm");

  file_system = EXT4_SUPER_MAGIC;
  run_and_die (save_and_persist, fixture);
  g_assert_true (exists (fixture->path, "-wal"));
  file_system = FUSE_SUPER_MAGIC;

  /* Nobody can open it. */
  g_unlink (index);
  g_assert_no_errno (g_mkdir (index, 0700));
  assert_n_keys (fixture, 2);
  assert_root (fixture->backing, fixture->file, "root");
  g_free (persist_new (fixture, 100, 3));
  release (fixture);
  assert_folder (fixture->path, "document document-shm");
  assert_n_keys (fixture, 3);
}

/* The portal shows the document and not the log beside it. */
static void
test_log_out_of_sight (Fixture *fixture, gconstpointer data)
{
  g_autofree char *exported = g_build_filename (fixture->directory, "exported", "document", NULL);
  g_autofree char *index = beside (exported, "-shm");
  g_autoptr (GFile) file = g_file_new_for_path (exported);
  g_autoptr (BsKeySet) found = NULL;
  g_autoptr (GBytes) bytes = make_test_bytes (100, 1);
  g_autoptr (GError) error = NULL;

  file_system = EXT4_SUPER_MAGIC;
  run_and_die (save_and_persist, fixture);
  file_system = FUSE_SUPER_MAGIC;
  copy (fixture->path, exported, FALSE);
  g_assert_no_errno (g_mkdir (index, 0700));

  found = list_path (fixture->backing, file);
  g_assert_cmpuint (bs_key_set_get_n_keys (found), ==, 1);
  assert_root (fixture->backing, file, "root");
  bs_backing_write_root (fixture->backing, file, bytes, NULL, NULL, &error);
  g_assert_no_error (error);
}

/* A journal belongs to the document as it is, and to nothing else of that name. */
static void
die_in_the_middle (Fixture *fixture)
{
  sqlite3 *database;

  g_free (persist_new (fixture, 5000, 1));
  save_root (fixture, "root");
  release (fixture);
  database = open_database (fixture->path);
  sqlite3_exec (database,
                "PRAGMA cache_size = 1; BEGIN; "
                "UPDATE state SET record = CAST(substr(record, 1, 79) || x'7f' AS BLOB); "
                "WITH RECURSIVE n(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n LIMIT 50) "
                "INSERT INTO blob SELECT i, randomblob(3000) FROM n",
                NULL, NULL, NULL);
}

static void
test_killed (Fixture *fixture, gconstpointer data)
{
  run_and_die (die_in_the_middle, fixture);
  g_assert_true (exists (fixture->path, "-journal"));
  assert_n_keys (fixture, 1);
  assert_root (fixture->backing, fixture->file, "root");
  release (fixture);
  assert_folder (fixture->path, "document");
  assert_sql (fixture->path, "PRAGMA integrity_check", "ok");
}

static void
test_swapped (Fixture *fixture, gconstpointer data)
{
  g_autofree char *backup = g_build_filename (fixture->directory, "backup", NULL);

  track (fixture->backing, fixture->file);
  g_free (persist_new (fixture, 100, 7));
  save_root (fixture, "backup");
  release (fixture);
  copy (fixture->path, backup, FALSE);

  run_and_die (die_in_the_middle, fixture);
  g_assert_true (exists (fixture->path, "-journal"));
  copy (backup, fixture->path, FALSE);
  g_test_expect_message ("backingstore-sqlite", G_LOG_LEVEL_MESSAGE,
                         "*-journal was not written for*");
  assert_n_keys (fixture, 1);
  g_test_assert_expected_messages ();
  assert_root (fixture->backing, fixture->file, "backup");
  g_assert_true (exists (fixture->path, "-journal.aside-1"));
}

static void
test_moved (Fixture *fixture, gconstpointer data)
{
  g_autofree char *renamed = beside (fixture->path, "-renamed");
  g_autoptr (GBytes) bytes = make_test_bytes (5000, 1);
  g_autofree char *key = NULL;

  track (fixture->backing, fixture->file);
  key = persist_new (fixture, 5000, 1);
  g_assert_no_errno (rename (fixture->path, renamed));
  assert_changes_fail (fixture, key, BS_ERROR, BS_ERROR_MOVED);
  assert_reads (fixture->backing, key, bytes);
  copy (renamed, fixture->path, FALSE);
  assert_changes_fail (fixture, key, BS_ERROR, BS_ERROR_MOVED);
  release (fixture);
  assert_sql (fixture->path, "SELECT count(*) FROM name", "1");
  assert_sql (renamed, "PRAGMA integrity_check", "ok");
}

/* A backup is restored by cp before the first change, or after some. */
static void
test_overwritten (Fixture *fixture, gconstpointer data)
{
  g_autofree char *backup = g_build_filename (fixture->directory, "backup", NULL);
  g_autofree char *key = NULL;

  track (fixture->backing, fixture->file);
  key = persist_new (fixture, 5000, 1);
  save_root (fixture, "root");
  copy (fixture->path, backup, FALSE);

  for (guint i = 0; i < 2; i++)
    {
      g_free (persist_new (fixture, 5000, 2 + i));
      save_root (fixture, "newer");
      if (i == 1)
        {
          release (fixture);
          assert_n_keys (fixture, 2);
        }
      copy (backup, fixture->path, FALSE);
      assert_changes_fail (fixture, key, BS_ERROR, BS_ERROR_MOVED);
      release (fixture);
      assert_n_keys (fixture, 1);
      assert_root (fixture->backing, fixture->file, "root");
    }
}

static void
sync_path (Fixture *fixture)
{
  g_autoptr (GError) error = NULL;

  n_folder_syncs = 0;
  bs_backing_sync_persisted (fixture->backing, fixture->file, NULL, &error);
  g_assert_no_error (error);
}

/* Without its name in the folder a journal is gone with a power cut, and the half of a change
 * that reached the file would stay. So the name is durable before the file is touched. */
static void
test_journal_unsynced (Fixture *fixture, gconstpointer data)
{
  g_autofree char *before = NULL;
  g_autofree char *after = NULL;
  g_autofree char *key = NULL;
  g_autofree char *other = NULL;
  g_autoptr (GBytes) bytes = make_test_bytes (5000, 2);
  g_autoptr (GError) error = NULL;
  gsize size, size_after;

  track (fixture->backing, fixture->file);
  key = persist_new (fixture, 5000, 1);
  g_assert_true (g_file_get_contents (fixture->path, &before, &size, NULL));

  other = write_new (fixture->backing, bytes);
  n_folder_syncs = 0;
  first_failing = 1;
  g_assert_false (bs_backing_persist (fixture->backing, fixture->file, other, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_FAILED);
  g_clear_error (&error);
  first_failing = 0;
  g_assert_true (g_file_get_contents (fixture->path, &after, &size_after, NULL));
  g_assert_cmpmem (before, size, after, size_after);

  bs_backing_persist (fixture->backing, fixture->file, other, NULL, &error);
  g_assert_no_error (error);
  release (fixture);
  assert_n_keys (fixture, 2);
}

/* A power cut could bring back the journal that a change has removed, if the folder could not be
 * synced then. So the next sync of the path syncs the folder, though no change was made since. */
static void
test_folder_unsynced (Fixture *fixture, gconstpointer data)
{
  g_autofree char *key = NULL;
  g_autofree char *other = NULL;
  g_autoptr (GError) error = NULL;

  track (fixture->backing, fixture->file);
  key = persist_new (fixture, 5000, 1);
  sync_path (fixture);
  g_assert_cmpint (n_folder_syncs, ==, 0);

  /* The first is that of the journal's name. */
  first_failing = 2;
  bs_backing_delete_persisted (fixture->backing, fixture->file, key, NULL, &error);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_FAILED);
  g_clear_error (&error);
  first_failing = 0;
  bs_backing_delete_persisted (fixture->backing, fixture->file, key, NULL, &error);
  g_assert_no_error (error);
  sync_path (fixture);
  g_assert_cmpint (n_folder_syncs, >, 0);
  sync_path (fixture);
  g_assert_cmpint (n_folder_syncs, ==, 0);

  other = persist_new (fixture, 5000, 2);
  release (fixture);
  assert_n_keys (fixture, 1);
}

/* A transaction with a journal and a read take turns. */
typedef struct
{
  Fixture *fixture;
  char *key;
  gint done; /* atomic */
} Reading;

static gpointer
read_until_done (gpointer data)
{
  Reading *reading = data;
  g_autoptr (GBytes) bytes = make_test_bytes (5000, 1);
  guint n_reads = 0;

  do
    {
      assert_reads (reading->fixture->backing, reading->key, bytes);
      n_reads++;
    }
  while (!g_atomic_int_get (&reading->done));

  return GUINT_TO_POINTER (n_reads);
}

static void
test_reading_meanwhile (Fixture *fixture, gconstpointer data)
{
  Reading reading = { fixture };
  GThread *threads[2];

  track (fixture->backing, fixture->file);
  reading.key = persist_new (fixture, 5000, 1);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("reader", read_until_done, &reading);
  for (guint i = 0; i < 30; i++)
    g_free (persist_new (fixture, 20000, i));
  g_atomic_int_set (&reading.done, TRUE);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_assert_cmpuint (GPOINTER_TO_UINT (g_thread_join (threads[i])), >, 0);
  g_free (reading.key);
  assert_n_keys (fixture, 31);
}

static void
move_to (Fixture *fixture, Mount *mount)
{
  g_free (fixture->path);
  g_object_unref (fixture->file);
  fixture->path = g_build_filename (mount_get_path (mount), "folder", "document", NULL);
  fixture->file = g_file_new_for_path (fixture->path);
}

/* On a file system of its own. */
static void
test_mounted (Fixture *fixture, gconstpointer data)
{
  const char *type = data;
  g_autoptr (Mount) mount = mount_new (fixture->directory, type, 0);
  static const char *const names[] = { "document", "document-journal", NULL };
  gboolean has_log;
  int fd;

  if (mount == NULL)
    return;

  has_log =
    !g_str_equal (type, "bindfs") && !g_str_equal (type, "vfat") && !g_str_equal (type, "exfat");
  move_to (fixture, mount);
  fd = watch (fixture->path);
  use_document (fixture);
  if (has_log)
    close (fd);
  else
    assert_made_only (fd, names);
  release (fixture);

  run_and_die (save_and_persist, fixture);
  g_assert_cmpint (exists (fixture->path, "-wal"), ==, has_log);
  assert_n_keys (fixture, 3);
  release (fixture);
  assert_folder (fixture->path, "document");
  assert_sql (fixture->path, "PRAGMA integrity_check", "ok");
  g_clear_object (&fixture->backing);
  fixture->backing = create (fixture->scratch);
}

/* On a medium that cannot be written a document is read, and nothing is made. */
static void
test_read_only_mount (Fixture *fixture, gconstpointer data)
{
  g_autoptr (Mount) mount = mount_new (fixture->directory, "tmpfs", 0);
  g_autofree char *copied = NULL;
  g_autoptr (GFile) copied_file = NULL;
  g_autoptr (GBytes) bytes = make_test_bytes (5000, 1);
  g_autoptr (BsKeySet) found = NULL;
  g_autofree char *missing = NULL;
  g_autoptr (GFile) missing_file = NULL;
  g_autofree char *key = NULL;
  g_autoptr (GError) error = NULL;

  if (mount == NULL)
    return;

  move_to (fixture, mount);
  track (fixture->backing, fixture->file);
  key = persist_new (fixture, 5000, 1);
  save_root (fixture, "root");
  /* A copy made while the document is open says that it has a log, and has none. */
  copied = g_build_filename (mount_get_path (mount), "copied", "document", NULL);
  copied_file = g_file_new_for_path (copied);
  copy (fixture->path, copied, FALSE);
  release (fixture);
  bs_backing_delete_key (fixture->backing, key, NULL, NULL);
  g_assert_no_errno (mount_remount (mount, "ro"));

  assert_n_keys (fixture, 1);
  bs_backing_register_key (fixture->backing, fixture->file, key, NULL, &error);
  g_assert_no_error (error);
  assert_reads (fixture->backing, key, bytes);
  assert_root (fixture->backing, fixture->file, "root");
  assert_changes_fail (fixture, key, G_IO_ERROR, G_IO_ERROR_READ_ONLY);
  bs_backing_sync_persisted (fixture->backing, fixture->file, NULL, &error);
  g_assert_no_error (error);
  assert_folder (fixture->path, "document");

  found = list_path (fixture->backing, copied_file);
  g_assert_true (bs_key_set_contains_key (found, key));
  assert_root (fixture->backing, copied_file, "root");
  assert_folder (copied, "document");

  missing = beside (fixture->path, "-missing");
  missing_file = g_file_new_for_path (missing);
  assert_track_fails (fixture->backing, missing_file, G_IO_ERROR, G_IO_ERROR_READ_ONLY);
  g_clear_object (&fixture->backing);
  fixture->backing = create (fixture->scratch);
}

/* There the log of a killed process cannot be taken in. */
static void
test_read_only_with_log (Fixture *fixture, gconstpointer data)
{
  g_autoptr (Mount) mount = mount_new (fixture->directory, "tmpfs", 0);

  if (mount == NULL)
    return;

  move_to (fixture, mount);
  run_and_die (save_and_persist, fixture);
  g_assert_no_errno (mount_remount (mount, "ro"));
  assert_track_fails (fixture->backing, fixture->file, G_IO_ERROR, G_IO_ERROR_READ_ONLY);
  g_assert_no_errno (mount_remount (mount, "rw"));
  assert_n_keys (fixture, 2);
  g_clear_object (&fixture->backing);
  fixture->backing = create (fixture->scratch);
}

/* A backing that only reads: a document that could be written stays as it is. */
static void
test_read_only (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsBacking) writer = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *before = NULL;
  g_autofree char *after = NULL;
  g_autofree char *bad = NULL;
  gsize size, size_after;

  track (fixture->backing, fixture->file);
  bad = persist_new (fixture, 5000, 1);
  save_root (fixture, "root");
  release (fixture);
  run_sql (fixture->path, "UPDATE blob SET content = zeroblob(5000)");
  g_file_get_contents (fixture->path, &before, &size, NULL);
  g_object_set (fixture->backing, "read-only", TRUE, NULL);

  track (fixture->backing, fixture->file);
  assert_n_keys (fixture, 1);
  assert_root (fixture->backing, fixture->file, "root");
  assert_changes_fail (fixture, bad, G_IO_ERROR, G_IO_ERROR_READ_ONLY);
  g_assert_false (bs_backing_delete_persisted (fixture->backing, fixture->file, bad, NULL, &error));
  g_assert_nonnull (strstr (error->message, "opened for reading"));
  g_clear_error (&error);
  g_assert_false (bs_backing_verify_persisted (fixture->backing, fixture->file, bad, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_CORRUPT);
  writer = create (fixture->scratch);
  assert_track_fails (writer, fixture->file, BS_ERROR, BS_ERROR_BUSY);
  release (fixture);
  assert_folder (fixture->path, "document");
  g_file_get_contents (fixture->path, &after, &size_after, NULL);
  g_assert_cmpmem (before, size, after, size_after);

  track (writer, fixture->file);
  assert_track_fails (fixture->backing, fixture->file, BS_ERROR, BS_ERROR_BUSY);
  bs_backing_close (writer, NULL, NULL);
}

/* Nothing is made where nothing is. */
static void
test_read_only_missing (Fixture *fixture, gconstpointer data)
{
  g_object_set (fixture->backing, "read-only", TRUE, NULL);
  assert_track_fails (fixture->backing, fixture->file, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
  g_assert_false (exists (fixture->path, ""));
}

static void
add_on_fuse (const char *path, void (*test) (Fixture *, gconstpointer))
{
  g_test_add (path, Fixture, NULL, set_up_on_fuse, test, tear_down);
}

static void
add_test (const char *path, gconstpointer data, void (*test) (Fixture *, gconstpointer))
{
  g_test_add (path, Fixture, data, set_up_anywhere, test, tear_down);
}

int
main (int argc, char **argv)
{
  static const char *const types[] = { "tmpfs", "ext4",  "xfs",    "btrfs",
                                       "vfat",  "exfat", "bindfs", "overlay" };

  mount_init ();
  g_test_init (&argc, &argv, NULL);

  add_on_fuse ("/sqlite/journal/portal", test_portal);
  add_on_fuse ("/sqlite/journal/log-without-shared-memory", test_log_without_shared_memory);
  add_on_fuse ("/sqlite/journal/log-out-of-sight", test_log_out_of_sight);
  add_on_fuse ("/sqlite/journal/killed", test_killed);
  add_on_fuse ("/sqlite/journal/swapped", test_swapped);
  add_on_fuse ("/sqlite/journal/moved", test_moved);
  add_on_fuse ("/sqlite/journal/overwritten", test_overwritten);
  add_on_fuse ("/sqlite/journal/journal-unsynced", test_journal_unsynced);
  add_on_fuse ("/sqlite/journal/folder-unsynced", test_folder_unsynced);
  add_on_fuse ("/sqlite/journal/reading-meanwhile", test_reading_meanwhile);
  for (guint i = 0; i < G_N_ELEMENTS (types); i++)
    {
      g_autofree char *path = g_strconcat ("/sqlite/mounted/", types[i], NULL);

      add_test (path, types[i], test_mounted);
    }
  add_test ("/sqlite/read-only-mount", NULL, test_read_only_mount);
  add_test ("/sqlite/read-only-with-log", NULL, test_read_only_with_log);
  add_test ("/sqlite/read-only-backing", NULL, test_read_only);
  add_test ("/sqlite/read-only-missing", NULL, test_read_only_missing);
  backing_contract_add_tests (&kind);

  return g_test_run ();
}
