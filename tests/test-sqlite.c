/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* The engine "sqlite:": a document is one database. */

#include "sqlite-fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static BsBacking *
restart (BsBacking *backing, GFile *directory)
{
  g_autoptr (GError) error = NULL;

  bs_backing_close (backing, NULL, &error);
  g_assert_no_error (error);
  g_assert_finalize_object (backing);
  return create (directory);
}

static const BackingKind kind = { "/sqlite", create, restart };

static void
test_uri (void)
{
  static const char *const bad[] = { "sqlite:",       "sqlite:a",      "sqlite://elsewhere/a",
                                     "sqlite:///a?b", "sqlite:///a#b", "sqlite:///a%00b" };
  g_autoptr (GError) error = NULL;
  g_autoptr (GFile) remote = g_file_new_for_uri ("gopher://a/b");
  g_autoptr (BsBacking) backing = bs_backing_new_for_uri ("SQLite:///a", &error);

  g_assert_no_error (error);
  assert_track_fails (backing, remote, BS_ERROR, BS_ERROR_NOT_SUPPORTED);
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_assert_null (bs_backing_new_for_uri (bad[i], &error));
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
      g_assert_true ((strstr (error->message, "query") != NULL) ==
                     (strpbrk (bad[i], "?#") != NULL));
      g_clear_error (&error);
    }
}

/* After a clean close a document is one file that any SQLite reads, in a folder that cannot
 * be written too. */
static void
test_one_file (Fixture *fixture, gconstpointer data)
{
  g_autofree char *key = NULL;
  g_autofree char *header = NULL;

  track (fixture->backing, fixture->file);
  assert_folder (fixture->path, "document");
  key = persist_new (fixture, 5000, 1);
  save_root (fixture, "root");
  release (fixture);
  assert_folder (fixture->path, "document");

  g_assert_true (g_file_get_contents (fixture->path, &header, NULL, NULL));
  g_assert_cmpint (header[18], ==, 1);
  g_assert_cmpint (header[19], ==, 1);
  assert_sql (fixture->path, "PRAGMA integrity_check", "ok");
  assert_sql (fixture->path, "PRAGMA application_id", "1114850415");
  assert_sql (fixture->path, "PRAGMA user_version", "1");
  assert_sql (fixture->path, "SELECT count(*) FROM blob", "1");
}

/* Opening and reading is no change. */
static void
test_reading_changes_nothing (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GBytes) bytes = make_test_bytes (5000, 1);
  g_autoptr (GError) error = NULL;
  g_autofree char *key = NULL;
  g_autofree char *before = NULL;
  g_autofree char *after = NULL;
  struct stat first, second;
  gsize size;

  track (fixture->backing, fixture->file);
  key = persist_new (fixture, 5000, 1);
  save_root (fixture, "root");
  bs_backing_delete_key (fixture->backing, key, NULL, NULL);
  release (fixture);
  g_assert_no_errno (stat (fixture->path, &first));
  g_file_get_contents (fixture->path, &before, &size, NULL);

  assert_n_keys (fixture, 1);
  bs_backing_register_key (fixture->backing, fixture->file, key, NULL, &error);
  g_assert_no_error (error);
  assert_reads (fixture->backing, key, bytes);
  assert_root (fixture->backing, fixture->file, "root");
  bs_backing_sync_persisted (fixture->backing, fixture->file, NULL, &error);
  g_assert_no_error (error);
  release (fixture);

  g_assert_no_errno (stat (fixture->path, &second));
  g_assert_cmpint (first.st_mtim.tv_nsec, ==, second.st_mtim.tv_nsec);
  g_file_get_contents (fixture->path, &after, NULL, NULL);
  g_assert_cmpmem (before, size, after, second.st_size);
}

static void
test_foreign (Fixture *fixture, gconstpointer data)
{
  g_autofree char *folder = g_path_get_dirname (fixture->path);
  g_autofree char *before = NULL;
  g_autofree char *after = NULL;
  gsize size, size_after;

  g_mkdir_with_parents (fixture->path, 0700);
  assert_track_fails (fixture->backing, fixture->file, BS_ERROR, BS_ERROR_FOREIGN);
  g_rmdir (fixture->path);
  g_assert_no_errno (mkfifo (fixture->path, 0600));
  assert_track_fails (fixture->backing, fixture->file, BS_ERROR, BS_ERROR_FOREIGN);
  g_unlink (fixture->path);

  g_file_set_contents (fixture->path, "a letter to mother", -1, NULL);
  assert_track_fails (fixture->backing, fixture->file, BS_ERROR, BS_ERROR_FOREIGN);
  g_file_get_contents (fixture->path, &after, NULL, NULL);
  g_assert_cmpstr (after, ==, "a letter to mother");
  g_clear_pointer (&after, g_free);
  g_unlink (fixture->path);

  run_sql (fixture->path, "CREATE TABLE blob(id INTEGER PRIMARY KEY, content BLOB NOT NULL)");
  g_file_get_contents (fixture->path, &before, &size, NULL);
  assert_track_fails (fixture->backing, fixture->file, BS_ERROR, BS_ERROR_FOREIGN);
  g_file_get_contents (fixture->path, &after, &size_after, NULL);
  g_assert_cmpmem (before, size, after, size_after);
  assert_folder (fixture->path, "document");
}

static void
test_newer_version (Fixture *fixture, gconstpointer data)
{
  track (fixture->backing, fixture->file);
  release (fixture);
  run_sql (fixture->path, "PRAGMA user_version = 2");
  assert_track_fails (fixture->backing, fixture->file, BS_ERROR, BS_ERROR_NOT_SUPPORTED);
  run_sql (fixture->path, "PRAGMA user_version = 1");
  assert_n_keys (fixture, 0);
}

/* An empty file, as a file chooser makes one, and one that was not made to its end. */
static void
test_empty_file (Fixture *fixture, gconstpointer data)
{
  g_autofree char *folder = g_path_get_dirname (fixture->path);
  g_autofree char *made = NULL;
  gsize size;

  g_mkdir_with_parents (folder, 0700);
  g_file_set_contents (fixture->path, "", 0, NULL);
  assert_n_keys (fixture, 0);
  release (fixture);
  g_assert_no_errno (truncate (fixture->path, 0));
  g_assert_no_errno (truncate (fixture->path, 32768));
  assert_n_keys (fixture, 0);
  release (fixture);

  g_assert_true (g_file_get_contents (fixture->path, &made, &size, NULL));
  for (guint n_whole = 60; n_whole < 120; n_whole++)
    {
      g_autofree char *cut = g_memdup2 (made, size);

      memset (cut + n_whole, 0, 512 - n_whole);
      g_file_set_contents (fixture->path, cut, size, NULL);
      assert_n_keys (fixture, 0);
      release (fixture);
    }
}

static void
assert_locked (const char *path)
{
  pid_t pid = fork ();
  int status;

  g_assert_no_errno (pid);
  if (pid == 0)
    {
      int fd = open (path, O_RDWR | O_CLOEXEC);
      sqlite3 *database = NULL;

      if (flock (fd, LOCK_SH | LOCK_NB) == 0 || errno != EWOULDBLOCK)
        _exit (1);
      /* Nor may another SQLite take the log for one that nobody uses. */
      if (sqlite3_open (path, &database) != SQLITE_OK ||
          sqlite3_exec (database, "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE", NULL, NULL,
                        NULL) != SQLITE_BUSY)
        _exit (2);
      kill (getpid (), SIGKILL);
    }
  g_assert_no_errno (waitpid (pid, &status, 0));
  assert_killed (status);
}

static void
test_lock (Fixture *fixture, gconstpointer data)
{
  g_autofree char *folder = g_path_get_dirname (fixture->path);
  g_autofree char *link = g_build_filename (fixture->directory, "link", NULL);
  g_autofree char *renamed = beside (fixture->path, "2");
  g_autoptr (GFile) linked = g_file_new_for_path (link);
  g_autoptr (GFile) there = g_file_new_for_path (renamed);
  BsBacking *other = create (fixture->scratch);
  g_autofree char *key = NULL;

  track (fixture->backing, fixture->file);
  key = persist_new (fixture, 10, 1);
  assert_track_fails (other, fixture->file, BS_ERROR, BS_ERROR_BUSY);
  assert_locked (fixture->path);
  g_assert_no_errno (symlink (fixture->path, link));
  assert_track_fails (other, linked, BS_ERROR, BS_ERROR_BUSY);
  assert_locked (fixture->path);

  /* The lock is the file's, under whatever name. */
  g_assert_no_errno (rename (fixture->path, renamed));
  assert_track_fails (other, there, BS_ERROR, BS_ERROR_BUSY);
  g_assert_no_errno (rename (renamed, fixture->path));

  release (fixture);
  track (other, linked);
  g_assert_finalize_object (other);
}

/* Another program that reads the database. */
static void
test_read_elsewhere (Fixture *fixture, gconstpointer data)
{
  int ready[2], end[2];
  char byte;
  pid_t pid;

  track (fixture->backing, fixture->file);
  g_clear_object (&fixture->backing);
  g_assert_no_errno (pipe (ready));
  g_assert_no_errno (pipe (end));
  pid = fork ();
  if (pid == 0)
    {
      sqlite3 *database = open_database (fixture->path);

      close (end[1]);
      sqlite3_exec (database, "BEGIN; SELECT * FROM blob", NULL, NULL, NULL);
      (void) !write (ready[1], "x", 1);
      (void) !read (end[0], &byte, 1);
      _exit (0);
    }
  g_assert_cmpint (read (ready[0], &byte, 1), ==, 1);
  fixture->backing = create (fixture->scratch);
  assert_track_fails (fixture->backing, fixture->file, BS_ERROR, BS_ERROR_BUSY);
  close (end[1]);
  g_assert_no_errno (waitpid (pid, NULL, 0));
  track (fixture->backing, fixture->file);
  close (end[0]);
  close (ready[0]);
  close (ready[1]);
}

static void
test_hard_link (Fixture *fixture, gconstpointer data)
{
  g_autofree char *second = beside (fixture->path, "2");
  g_autoptr (GBytes) bytes = make_test_bytes (100, 1);
  g_autoptr (GError) error = NULL;
  g_autofree char *key = NULL;

  track (fixture->backing, fixture->file);
  key = persist_new (fixture, 100, 1);
  save_root (fixture, "root");
  release (fixture);
  bs_backing_delete_key (fixture->backing, key, NULL, NULL);
  g_assert_no_errno (link (fixture->path, second));

  assert_n_keys (fixture, 1);
  assert_changes_fail (fixture, key, G_IO_ERROR, G_IO_ERROR_READ_ONLY);
  bs_backing_register_key (fixture->backing, fixture->file, key, NULL, &error);
  g_assert_no_error (error);
  assert_reads (fixture->backing, key, bytes);
  assert_root (fixture->backing, fixture->file, "root");
  release (fixture);
  g_unlink (second);
}

static void
read_only_in_child (Fixture *fixture)
{
  g_autoptr (GBytes) bytes = make_test_bytes (100, 1);
  g_autofree char *name = g_build_filename (fixture->directory, "scratch-2", NULL);
  g_autoptr (GFile) scratch = g_file_new_for_path (name);
  g_autoptr (BsKeySet) found = NULL;
  g_auto (GStrv) keys = NULL;
  g_autoptr (GError) error = NULL;

  if (getuid () == 0)
    g_assert_no_errno (setresuid (65534, 65534, 65534));
  fixture->backing = create (scratch);
  found = list_path (fixture->backing, fixture->file);
  keys = bs_key_set_list_keys (found);
  g_assert_cmpuint (g_strv_length (keys), ==, 1);
  bs_backing_register_key (fixture->backing, fixture->file, keys[0], NULL, &error);
  g_assert_no_error (error);
  assert_reads (fixture->backing, keys[0], bytes);
  assert_root (fixture->backing, fixture->file, "root");
  assert_changes_fail (fixture, keys[0], G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);
  release (fixture);
  assert_reads (fixture->backing, keys[0], bytes);
}

/* A document that this user cannot write is open for reading, and nothing is made. */
static void
test_read_only (Fixture *fixture, gconstpointer data)
{
  g_autofree char *folder = g_path_get_dirname (fixture->path);
  g_autofree char *key = NULL;
  pid_t pid;
  int status;

  track (fixture->backing, fixture->file);
  key = persist_new (fixture, 100, 1);
  save_root (fixture, "root");
  g_clear_object (&fixture->backing);
  chmod (fixture->directory, 0777);
  chmod (folder, 0555);
  chmod (fixture->path, 0444);

  pid = fork ();
  if (pid == 0)
    {
      alarm (SECONDS);
      read_only_in_child (fixture);
      kill (getpid (), SIGKILL);
    }
  g_assert_no_errno (waitpid (pid, &status, 0));
  assert_killed (status);
  assert_folder (fixture->path, "document");
  chmod (folder, 0755);
  fixture->backing = create (fixture->scratch);
}

/* The name leads elsewhere while the document is open. */
static void
test_moved (Fixture *fixture, gconstpointer data)
{
  g_autofree char *renamed = beside (fixture->path, "-renamed");
  g_autofree char *log = beside (fixture->path, "-wal");
  g_autoptr (GFile) there = g_file_new_for_path (renamed);
  g_autoptr (GError) error = NULL;
  g_autofree char *key = NULL;
  g_autofree char *last = NULL;
  struct stat status;

  track (fixture->backing, fixture->file);
  key = persist_new (fixture, 5000, 1);
  save_root (fixture, "root");
  last = persist_new (fixture, 5000, 2);
  g_assert_no_errno (rename (fixture->path, renamed));

  g_assert_false (bs_backing_sync_persisted (fixture->backing, fixture->file, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_MOVED);
  g_clear_error (&error);
  assert_changes_fail (fixture, key, BS_ERROR, BS_ERROR_MOVED);
  /* Everything is home, and no log is left for the next file of that name. */
  if (stat (log, &status) == 0)
    g_assert_cmpint (status.st_size, ==, 0);

  /* Another document takes the name. */
  copy (renamed, fixture->path, FALSE);
  assert_changes_fail (fixture, key, BS_ERROR, BS_ERROR_MOVED);
  release (fixture);
  assert_sql (fixture->path, "PRAGMA integrity_check", "ok");
  assert_sql (fixture->path, "SELECT count(*) FROM name", "2");
  assert_sql (renamed, "PRAGMA integrity_check", "ok");

  track (fixture->backing, there);
  g_assert_true (bs_backing_register_key (fixture->backing, there, last, NULL, &error));
  g_assert_no_error (error);
}

static void
test_moved_back (Fixture *fixture, gconstpointer data)
{
  g_autofree char *renamed = beside (fixture->path, "-renamed");
  g_autoptr (GError) error = NULL;
  g_autofree char *key = NULL;
  g_autofree char *other = NULL;

  track (fixture->backing, fixture->file);
  key = persist_new (fixture, 5000, 1);
  g_assert_no_errno (rename (fixture->path, renamed));
  assert_changes_fail (fixture, key, BS_ERROR, BS_ERROR_MOVED);
  g_assert_no_errno (rename (renamed, fixture->path));

  other = persist_new (fixture, 5000, 2);
  save_root (fixture, "root");
  release (fixture);
  assert_n_keys (fixture, 2);
  release (fixture);
  assert_folder (fixture->path, "document");
}

static void
test_deleted (Fixture *fixture, gconstpointer data)
{
  g_autofree char *key = NULL;
  g_autoptr (GBytes) bytes = make_test_bytes (5000, 1);

  track (fixture->backing, fixture->file);
  key = persist_new (fixture, 5000, 1);
  g_unlink (fixture->path);
  assert_changes_fail (fixture, key, BS_ERROR, BS_ERROR_MOVED);
  /* Held contents are there as long as they are held. */
  assert_reads (fixture->backing, key, bytes);
  release (fixture);
  assert_reads (fixture->backing, key, bytes);
  assert_folder (fixture->path, "");
  assert_n_keys (fixture, 0);
}

/* As by cp of a backup over the document. */
static void
test_overwritten (Fixture *fixture, gconstpointer data)
{
  g_autofree char *backup = g_build_filename (fixture->directory, "backup", NULL);
  g_autofree char *before = NULL;
  g_autofree char *after = NULL;
  g_autoptr (GBytes) bytes = make_test_bytes (10, 3);
  g_autoptr (GError) error = NULL;
  g_autofree char *key = NULL;
  g_autofree char *lost = NULL;
  gsize size, size_after;

  track (fixture->backing, fixture->file);
  key = persist_new (fixture, 5000, 1);
  save_root (fixture, "root");
  copy (fixture->path, backup, FALSE);
  g_file_get_contents (backup, &before, &size, NULL);
  lost = persist_new (fixture, 50000, 2);
  save_root (fixture, "newer");
  g_free (persist_new (fixture, 50000, 3));
  copy (backup, fixture->path, FALSE);

  g_assert_false (
    bs_backing_write_root (fixture->backing, fixture->file, bytes, NULL, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_MOVED);
  assert_changes_fail (fixture, key, BS_ERROR, BS_ERROR_MOVED);
  release (fixture);
  g_file_get_contents (fixture->path, &after, &size_after, NULL);
  g_assert_cmpmem (before, size, after, size_after);
  g_assert_false (exists (fixture->path, "-wal"));

  assert_n_keys (fixture, 1);
  assert_root (fixture->backing, fixture->file, "root");
}

/* The same after a save, when the log is empty: closing writes nothing over the backup. */
static void
test_overwritten_while_idle (Fixture *fixture, gconstpointer data)
{
  const gboolean saves = GPOINTER_TO_INT (data);
  g_autofree char *backup = g_build_filename (fixture->directory, "backup", NULL);
  g_autofree char *before = NULL;
  g_autofree char *after = NULL;
  g_autoptr (GBytes) bytes = make_test_bytes (10, 3);
  g_autofree char *key = NULL;
  g_autofree char *other = NULL;
  gsize size, size_after;

  track (fixture->backing, fixture->file);
  key = persist_new (fixture, 5000, 1);
  save_root (fixture, "root");
  copy (fixture->path, backup, FALSE);
  g_file_get_contents (backup, &before, &size, NULL);
  other = persist_new (fixture, 50000, 2);
  save_root (fixture, "newer");
  copy (backup, fixture->path, FALSE);

  if (saves)
    {
      g_autoptr (GError) error = NULL;

      g_assert_false (
        bs_backing_write_root (fixture->backing, fixture->file, bytes, NULL, NULL, &error));
      g_assert_error (error, BS_ERROR, BS_ERROR_MOVED);
      g_clear_error (&error);
      g_assert_false (bs_backing_sync_persisted (fixture->backing, fixture->file, NULL, &error));
      g_assert_error (error, BS_ERROR, BS_ERROR_MOVED);
    }
  release (fixture);
  g_file_get_contents (fixture->path, &after, &size_after, NULL);
  g_assert_cmpmem (before, size, after, size_after);
  assert_folder (fixture->path, "document");

  assert_n_keys (fixture, 1);
  assert_root (fixture->backing, fixture->file, "root");
}

/* Nor is anything written over a backup that came between the opening and the first change. */
static void
test_overwritten_before_change (Fixture *fixture, gconstpointer data)
{
  g_autofree char *backup = g_build_filename (fixture->directory, "backup", NULL);
  g_autofree char *key = NULL;

  track (fixture->backing, fixture->file);
  key = persist_new (fixture, 5000, 1);
  save_root (fixture, "root");
  release (fixture);
  copy (fixture->path, backup, FALSE);
  track (fixture->backing, fixture->file);
  g_free (persist_new (fixture, 5000, 2));
  save_root (fixture, "newer");
  release (fixture);

  assert_n_keys (fixture, 2);
  copy (backup, fixture->path, FALSE);
  assert_changes_fail (fixture, key, BS_ERROR, BS_ERROR_MOVED);
  release (fixture);
  assert_folder (fixture->path, "document");
  assert_n_keys (fixture, 1);
  assert_root (fixture->backing, fixture->file, "root");
}

/* A save is in the one file while the document is open. */
static void
test_copy_of_a_save (Fixture *fixture, gconstpointer data)
{
  g_autofree char *mailed = g_build_filename (fixture->directory, "mailed", "document", NULL);
  g_autoptr (GFile) there = g_file_new_for_path (mailed);
  g_autoptr (GBytes) bytes = make_test_bytes (50000, 1);
  g_autoptr (BsKeySet) found = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *key = NULL;

  track (fixture->backing, fixture->file);
  key = persist_new (fixture, 50000, 1);
  save_root (fixture, "root");
  copy (fixture->path, mailed, FALSE);

  found = list_path (fixture->backing, there);
  g_assert_true (bs_key_set_contains_key (found, key));
  assert_root (fixture->backing, there, "root");
  bs_backing_delete_key (fixture->backing, key, NULL, NULL);
  bs_backing_register_key (fixture->backing, there, key, NULL, &error);
  g_assert_no_error (error);
  assert_reads (fixture->backing, key, bytes);
}

/* The bytes of the log, which may not be there. */
static goffset
get_log_size (Fixture *fixture)
{
  g_autofree char *log = beside (fixture->path, "-wal");
  struct stat status;

  return stat (log, &status) == 0 ? status.st_size : 0;
}

#define MIB (1024 * 1024)
#define N_TO_FILL 16 /* blobs of 1 MiB that fill a log, which is then brought home */

static void
persist_large (Fixture *fixture, guint n_blobs)
{
  for (guint i = 0; i < n_blobs; i++)
    g_free (persist_new (fixture, MIB, i));
}

static void
fill_log (Fixture *fixture)
{
  track (fixture->backing, fixture->file);
  persist_large (fixture, N_TO_FILL);
  g_assert_cmpint (get_log_size (fixture), >, N_TO_FILL * MIB);
}

static void
overfill_log (Fixture *fixture)
{
  fill_log (fixture);
  for (guint i = 0; i < 2 * N_TO_FILL; i++)
    {
      persist_large (fixture, 1);
      g_assert_cmpint (get_log_size (fixture), <, (N_TO_FILL + 2) * MIB);
    }
}

/* A log that was brought home is written over, and grows no more. A process may end at any
 * moment of that. */
static void
test_log_written_over (Fixture *fixture, gconstpointer data)
{
  run_and_die (overfill_log, fixture);
  g_assert_cmpint (get_log_size (fixture), >, 0);
  assert_n_keys (fixture, 3 * N_TO_FILL);
  release (fixture);
  assert_folder (fixture->path, "document");
  assert_sql (fixture->path, "PRAGMA integrity_check", "ok");
}

/* The log that stays is no longer that of the document as it was before: restored after a
 * crash, that is left as it is. */
static void
test_log_kept (Fixture *fixture, gconstpointer data)
{
  g_autofree char *older = g_build_filename (fixture->directory, "older", NULL);

  track (fixture->backing, fixture->file);
  g_free (persist_new (fixture, 10, 1));
  release (fixture);
  copy (fixture->path, older, TRUE);

  run_and_die (fill_log, fixture);
  g_assert_cmpint (get_log_size (fixture), >, 0);
  copy (older, fixture->path, TRUE);
  g_test_expect_message ("backingstore-sqlite", G_LOG_LEVEL_MESSAGE, "*was not written for*");
  assert_n_keys (fixture, 1);
  g_test_assert_expected_messages ();
  release (fixture);
  g_assert_false (exists (fixture->path, "-wal"));
  assert_sql (fixture->path, "PRAGMA integrity_check", "ok");
}

/* The log that stays is emptied when the name leads elsewhere, and by a save. */
static void
test_log_emptied (Fixture *fixture, gconstpointer data)
{
  g_autofree char *renamed = beside (fixture->path, "-renamed");
  g_autoptr (GError) error = NULL;

  fill_log (fixture);
  save_root (fixture, "root");
  g_assert_cmpint (get_log_size (fixture), ==, 0);

  persist_large (fixture, N_TO_FILL);
  g_assert_cmpint (get_log_size (fixture), >, 0);
  g_assert_no_errno (rename (fixture->path, renamed));
  g_assert_false (bs_backing_sync_persisted (fixture->backing, fixture->file, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_MOVED);
  g_assert_cmpint (get_log_size (fixture), ==, 0);
  release (fixture);
  assert_folder (fixture->path, "document-renamed");
  assert_sql (renamed, "SELECT count(*) FROM name", "32");
}

/* Bytes that the process has read from files, or has written to them. */
static guint64
count_bytes (const char *which)
{
  g_autofree char *text = NULL;
  const char *line;

  g_assert_true (g_file_get_contents ("/proc/self/io", &text, NULL, NULL));
  line = strstr (text, which);
  g_assert_nonnull (line);
  return g_ascii_strtoull (line + strlen (which), NULL, 10);
}

/* Releases the path, and returns how many bytes that has moved. */
static guint64
count_released (Fixture *fixture)
{
  guint64 n_read = count_bytes ("rchar: "), n_written = count_bytes ("wchar: ");

  release (fixture);
  return MAX (count_bytes ("rchar: ") - n_read, count_bytes ("wchar: ") - n_written);
}

static goffset
get_file_size (const char *path)
{
  struct stat status;

  g_assert_no_errno (stat (path, &status));
  return status.st_size;
}

/* Closing moves as much as a log has at most, however large the document is, and nothing after a
 * save. Nothing of a deletion is left for it. */
static void
test_closing_is_short (Fixture *fixture, gconstpointer data)
{
  enum
  {
    N_BLOBS = 4 * N_TO_FILL
  };
  const guint64 little = 64 * 1024, log = (N_TO_FILL + 2) * MIB;
  g_autoptr (BsKeySet) keys = bs_key_set_new ();
  g_autoptr (GError) error = NULL;
  goffset size;

  if (access ("/proc/self/io", R_OK) != 0)
    {
      g_test_skip ("this kernel does not count the bytes of a process");
      return;
    }

  track (fixture->backing, fixture->file);
  for (guint i = 0; i < N_BLOBS; i++)
    {
      g_autofree char *key = persist_new (fixture, MIB, i);

      /* Primary storage keeps nothing of the document that has to be copied out of it. */
      bs_backing_delete_key (fixture->backing, key, NULL, NULL);
      if (i % 2 == 0)
        bs_key_set_add (keys, key, NULL);
    }
  g_assert_cmpuint (count_released (fixture), <=, log);

  track (fixture->backing, fixture->file);
  g_assert_true (
    bs_backing_delete_persisted_keys (fixture->backing, fixture->file, keys, NULL, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (count_released (fixture), <=, log);
  size = get_file_size (fixture->path);
  g_assert_cmpint (size, <, N_BLOBS * MIB / 2 + N_BLOBS * MIB / 8);

  track (fixture->backing, fixture->file);
  save_root (fixture, "root");
  g_assert_cmpuint (count_released (fixture), <=, little);
  track (fixture->backing, fixture->file);
  g_assert_cmpuint (count_released (fixture), <=, little);
  g_assert_cmpint (get_file_size (fixture->path), ==, size);
}

/* Documents have had all of a hash. */
static void
test_hash_size (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GBytes) bytes = make_test_bytes (5000, 1);
  g_autoptr (GError) error = NULL;
  g_autofree char *key = NULL;

  track (fixture->backing, fixture->file);
  key = persist_new (fixture, 5000, 1);
  save_root (fixture, "root");
  release (fixture);
  assert_sql (fixture->path, "SELECT count(*) FROM name WHERE hash >> 47 = 0", "1");
  run_sql (fixture->path, "UPDATE name SET hash = hash | (-5 << 47)");
  run_sql (fixture->path, "UPDATE root SET hash = hash | (-5 << 47)");

  track (fixture->backing, fixture->file);
  bs_backing_delete_key (fixture->backing, key, NULL, NULL);
  bs_backing_register_key (fixture->backing, fixture->file, key, NULL, &error);
  g_assert_no_error (error);
  assert_reads (fixture->backing, key, bytes);
  assert_root (fixture->backing, fixture->file, "root");
  bs_backing_verify_persisted (fixture->backing, fixture->file, key, NULL, &error);
  g_assert_no_error (error);
}

static void
test_corrupt_blob (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *bad = NULL;
  g_autofree char *good = NULL;

  track (fixture->backing, fixture->file);
  bad = persist_new (fixture, 5000, 1);
  release (fixture);
  run_sql (fixture->path, "UPDATE blob SET content = zeroblob(5000)");
  track (fixture->backing, fixture->file);
  good = persist_new (fixture, 5000, 2);

  bs_backing_delete_key (fixture->backing, bad, NULL, NULL);
  bs_backing_register_key (fixture->backing, fixture->file, bad, NULL, &error);
  g_assert_no_error (error);
  g_assert_null (bs_backing_read (fixture->backing, bad, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_CORRUPT);
  g_clear_error (&error);
  g_assert_false (bs_backing_verify_persisted (fixture->backing, fixture->file, bad, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_CORRUPT);
  g_clear_error (&error);
  g_assert_false (bs_backing_verify_persisted (fixture->backing, fixture->file, bad, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_NOT_FOUND);
  g_clear_error (&error);
  g_assert_true (bs_backing_verify_persisted (fixture->backing, fixture->file, good, NULL, &error));
  g_assert_no_error (error);
  assert_n_keys (fixture, 1);

  bs_backing_delete_key (fixture->backing, bad, NULL, NULL);
  release (fixture);
  assert_n_keys (fixture, 1);
  release (fixture);
  assert_sql (fixture->path, "SELECT count(*) FROM quarantine", "1");
}

static void
persist_and_drop (Fixture *fixture)
{
  g_autofree char *key = persist_new (fixture, 5000, 1);
  g_autoptr (GBytes) bytes = make_test_bytes (5000, 1);

  bs_backing_delete_persisted (fixture->backing, fixture->file, key, NULL, NULL);
  assert_reads (fixture->backing, key, bytes);
}

/* The name goes first, and the row with the last token, or with the process. */
static void
test_delete_held (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GBytes) bytes = make_test_bytes (5000, 1);
  g_autoptr (GError) error = NULL;
  g_autofree char *key = NULL;

  track (fixture->backing, fixture->file);
  key = persist_new (fixture, 5000, 1);
  for (guint i = 0; i < 2; i++)
    {
      bs_backing_delete_persisted (fixture->backing, fixture->file, key, NULL, &error);
      g_assert_no_error (error);
      assert_n_keys (fixture, 0);
      assert_reads (fixture->backing, key, bytes);
      bs_backing_persist (fixture->backing, fixture->file, key, NULL, &error);
      g_assert_no_error (error);
      assert_n_keys (fixture, 1);
    }
  bs_backing_delete_persisted (fixture->backing, fixture->file, key, NULL, &error);
  bs_backing_delete_key (fixture->backing, key, NULL, &error);
  g_assert_no_error (error);
  release (fixture);
  assert_sql (fixture->path, "SELECT (SELECT count(*) FROM blob) || (SELECT count(*) FROM dropped)",
              "00");

  run_and_die (persist_and_drop, fixture);
  assert_n_keys (fixture, 0);
  release (fixture);
  assert_sql (fixture->path, "SELECT (SELECT count(*) FROM blob) || (SELECT count(*) FROM dropped)",
              "00");
}

/* Contents that are held outlive the lock, and the file. */
static void
test_release_held (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GBytes) bytes = make_test_bytes (5000, 1);
  g_autofree char *key = NULL;
  g_autofree char *dropped = NULL;

  track (fixture->backing, fixture->file);
  key = persist_new (fixture, 5000, 1);
  dropped = persist_new (fixture, 5000, 1);
  bs_backing_delete_persisted (fixture->backing, fixture->file, dropped, NULL, NULL);
  release (fixture);
  g_unlink (fixture->path);
  assert_reads (fixture->backing, key, bytes);
  assert_reads (fixture->backing, dropped, bytes);
  assert_n_keys (fixture, 0);
  g_assert_true (bs_backing_persist (fixture->backing, fixture->file, key, NULL, NULL));
  assert_n_keys (fixture, 1);
}

/* Reads of held contents, for as long as it takes. */
typedef struct
{
  Fixture *fixture;
  char *keys[20];
  int done; /* atomic */
} Holding;

static gpointer
read_held (gpointer data)
{
  Holding *holding = data;

  while (!g_atomic_int_get (&holding->done))
    for (guint i = 0; i < G_N_ELEMENTS (holding->keys); i++)
      {
        g_autoptr (GBytes) bytes = make_test_bytes (5000, i);

        assert_reads (holding->fixture->backing, holding->keys[i], bytes);
      }

  return NULL;
}

/* A path is released, and tracked again, beside reads of what it held. */
static void
test_release_while_reading (Fixture *fixture, gconstpointer data)
{
  for (guint round = 0; round < 10; round++)
    {
      Holding holding = { fixture };
      GThread *threads[3];

      track (fixture->backing, fixture->file);
      for (guint i = 0; i < G_N_ELEMENTS (holding.keys); i++)
        holding.keys[i] = persist_new (fixture, 5000, i);
      for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
        threads[i] = g_thread_new ("reader", read_held, &holding);
      if (round % 2 == 0)
        g_free (persist_new (fixture, 100000, round));
      release (fixture);
      track (fixture->backing, fixture->file);
      g_atomic_int_set (&holding.done, TRUE);
      for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
        g_thread_join (threads[i]);
      for (guint i = 0; i < G_N_ELEMENTS (holding.keys); i++)
        {
          bs_backing_delete_key (fixture->backing, holding.keys[i], NULL, NULL);
          g_free (holding.keys[i]);
        }
      release (fixture);
    }
  assert_n_keys (fixture, 205);
}

static void
test_fork (Fixture *fixture, gconstpointer data)
{
  g_autofree char *key = NULL;
  g_autofree char *after = NULL;
  pid_t pid;
  int status;

  track (fixture->backing, fixture->file);
  key = persist_new (fixture, 5000, 1);
  pid = fork ();
  if (pid == 0)
    {
      g_autoptr (GError) error = NULL;

      alarm (SECONDS);
      if (bs_backing_read (fixture->backing, key, NULL, &error) != NULL ||
          !g_error_matches (error, BS_ERROR, BS_ERROR_CLOSED))
        _exit (1);
      bs_backing_release_path (fixture->backing, fixture->file, NULL, NULL);
      bs_backing_close (fixture->backing, NULL, NULL);
      g_object_unref (fixture->backing);
      kill (getpid (), SIGKILL);
    }
  g_assert_no_errno (waitpid (pid, &status, 0));
  assert_killed (status);
  after = persist_new (fixture, 5000, 2);
  save_root (fixture, "root");
  release (fixture);
  assert_n_keys (fixture, 2);
}

/* SQLite says of a name that is too long that it cannot open the file, as of any other. */
static void
test_long_name (Fixture *fixture, gconstpointer data)
{
  g_autofree char *name = g_strnfill (100, 'n');
  char *resolved = realpath (fixture->directory, NULL);

  for (gsize size = 504; size <= 505; size++)
    {
      g_autoptr (GString) path = g_string_new (resolved);
      g_autoptr (GFile) file = NULL;

      while (size - path->len > 2 * strlen (name))
        g_string_append_printf (path, "/%s", name);
      g_string_append_c (path, '/');
      while (path->len < size)
        g_string_append_c (path, 'd');
      file = g_file_new_for_path (path->str);

      if (size == 504)
        track (fixture->backing, file);
      else
        assert_track_fails (fixture->backing, file, G_IO_ERROR, G_IO_ERROR_FILENAME_TOO_LONG);
      g_assert_true (g_file_test (path->str, G_FILE_TEST_EXISTS) == (size == 504));
      bs_backing_release_path (fixture->backing, file, NULL, NULL);
    }
  free (resolved);
}

/* A child that lives on, as of multiprocessing, has copies of all descriptors: they keep no lock
 * once its parent is done. */
static void
test_fork_lives_on (Fixture *fixture, gconstpointer data)
{
  g_autofree char *key = NULL;
  pid_t pid;
  int status;

  track (fixture->backing, fixture->file);
  key = persist_new (fixture, 5000, 1);
  pid = fork ();
  if (pid == 0)
    {
      alarm (SECONDS);
      for (;;)
        pause ();
    }
  g_assert_no_errno (pid);
  release (fixture);
  assert_n_keys (fixture, 1);
  release (fixture);
  g_assert_no_errno (kill (pid, SIGKILL));
  g_assert_no_errno (waitpid (pid, &status, 0));
  assert_killed (status);
}

static GBytes *
make_content (guint i)
{
  /* The first ones are where a row begins to have pages of its own, or another head. */
  static const gsize sizes[] = { 0, 1, 57, 58, 4053, 4054, 4055, 4056, 8185, 8186, 16384 };
  gsize size = i < G_N_ELEMENTS (sizes) ? sizes[i] : 100 + i * 37 % 925;
  guint8 *data = g_malloc (size + 1);

  memset (data, i, size);
  return g_bytes_new_take (data, size);
}

/* Rows that are added at a time leave little of their pages unused: each takes its name, its
 * head, and a part of the empty document. Unpacked they take 119 bytes. */
static void
test_packed (Fixture *fixture, gconstpointer data)
{
  const guint n_blobs = 2000;
  g_autoptr (GHashTable) contents =
    g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) g_bytes_unref);
  g_autoptr (BsKeySet) keys = bs_key_set_new ();
  g_autoptr (GError) error = NULL;
  GHashTableIter iter;
  struct stat status;
  gsize n_bytes = 0;
  const char *key;
  GBytes *content;

  track (fixture->backing, fixture->file);
  for (guint i = 0; i < n_blobs; i++)
    {
      char *new_key = bs_key_generate ();

      content = make_content (i);
      n_bytes += g_bytes_get_size (content);
      bs_key_set_add (keys, new_key, NULL);
      g_hash_table_insert (contents, new_key, content);
    }
  bs_backing_persist_keys (fixture->backing, fixture->file, keys, contents, NULL, &error);
  g_assert_no_error (error);

  g_hash_table_iter_init (&iter, contents);
  while (g_hash_table_iter_next (&iter, (gpointer *) &key, (gpointer *) &content))
    {
      g_autoptr (GBytes) bytes = bs_backing_read (fixture->backing, key, NULL, &error);

      g_assert_no_error (error);
      g_assert_true (g_bytes_equal (bytes, content));
    }

  release (fixture);
  g_assert_no_errno (stat (fixture->path, &status));
  g_assert_cmpint (status.st_size, >, n_bytes);
  g_assert_cmpint (status.st_size - n_bytes, <, 80 * n_blobs);
}

/* The file gives room back while it is worked on. */
static void
test_shrinks (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsKeySet) keys = bs_key_set_new ();
  g_autoptr (GError) error = NULL;
  struct stat status;

  track (fixture->backing, fixture->file);
  for (guint i = 0; i < 1000; i++)
    {
      g_autofree char *key = persist_new (fixture, 20000, i);

      bs_backing_delete_key (fixture->backing, key, NULL, NULL);
      if (i % 10 != 0)
        bs_key_set_add (keys, key, NULL);
    }
  save_root (fixture, "root");
  g_assert_no_errno (stat (fixture->path, &status));
  g_assert_cmpint (status.st_size, >, 20000000);

  bs_backing_delete_persisted_keys (fixture->backing, fixture->file, keys, NULL, &error);
  g_assert_no_error (error);
  save_root (fixture, "root");
  g_assert_no_errno (stat (fixture->path, &status));
  g_assert_cmpint (status.st_size, <, 2000000 / 4 * 5 + 1024 * 1024);
  assert_n_keys (fixture, 100);
}

static void
add_test (const char *path, gconstpointer data, void (*test) (Fixture *, gconstpointer))
{
  g_test_add (path, Fixture, data, set_up, test, tear_down);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/sqlite/uri", test_uri);
  add_test ("/sqlite/one-file", NULL, test_one_file);
  add_test ("/sqlite/reading-changes-nothing", NULL, test_reading_changes_nothing);
  add_test ("/sqlite/foreign", NULL, test_foreign);
  add_test ("/sqlite/newer-version", NULL, test_newer_version);
  add_test ("/sqlite/empty-file", NULL, test_empty_file);
  add_test ("/sqlite/lock", NULL, test_lock);
  add_test ("/sqlite/read-elsewhere", NULL, test_read_elsewhere);
  add_test ("/sqlite/hard-link", NULL, test_hard_link);
  add_test ("/sqlite/read-only", NULL, test_read_only);
  add_test ("/sqlite/moved", NULL, test_moved);
  add_test ("/sqlite/moved-back", NULL, test_moved_back);
  add_test ("/sqlite/deleted", NULL, test_deleted);
  add_test ("/sqlite/overwritten", NULL, test_overwritten);
  add_test ("/sqlite/overwritten-before-change", NULL, test_overwritten_before_change);
  add_test ("/sqlite/overwritten-while-idle", GINT_TO_POINTER (FALSE), test_overwritten_while_idle);
  add_test ("/sqlite/overwritten-while-idle-and-saved", GINT_TO_POINTER (TRUE),
            test_overwritten_while_idle);
  add_test ("/sqlite/copy-of-a-save", NULL, test_copy_of_a_save);
  add_test ("/sqlite/log/written-over", NULL, test_log_written_over);
  add_test ("/sqlite/log/kept", NULL, test_log_kept);
  add_test ("/sqlite/log/emptied", NULL, test_log_emptied);
  add_test ("/sqlite/closing-is-short", NULL, test_closing_is_short);
  add_test ("/sqlite/hash-size", NULL, test_hash_size);
  add_test ("/sqlite/corrupt-blob", NULL, test_corrupt_blob);
  add_test ("/sqlite/delete-held", NULL, test_delete_held);
  add_test ("/sqlite/release-held", NULL, test_release_held);
  add_test ("/sqlite/release-while-reading", NULL, test_release_while_reading);
  add_test ("/sqlite/long-name", NULL, test_long_name);
  add_test ("/sqlite/fork", NULL, test_fork);
  add_test ("/sqlite/fork-lives-on", NULL, test_fork_lives_on);
  add_test ("/sqlite/packed", NULL, test_packed);
  add_test ("/sqlite/shrinks", NULL, test_shrinks);
  backing_contract_add_tests (&kind);

  return g_test_run ();
}
