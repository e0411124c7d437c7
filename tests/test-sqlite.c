/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* The engine "sqlite:": a document is one database. */

#include <backingstore/backingstore.h>

#include "backing-contract.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static BsBacking *
create (GFile *directory)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *uri = g_strconcat ("sqlite://", g_file_peek_path (directory), NULL);
  BsBacking *backing = bs_backing_new_for_uri (uri, &error);

  g_assert_no_error (error);
  g_assert_cmpstr (G_OBJECT_TYPE_NAME (backing), ==, "BsSqliteBacking");
  return backing;
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

static const BackingKind kind = { "/sqlite", create, restart };

/* Far less than any watchdog of meson. */
#define SECONDS 60

typedef struct
{
  char *directory;
  GFile *scratch;
  char *path; /* of the document */
  GFile *file;
  BsBacking *backing;
} Fixture;

static void
set_up (Fixture *fixture, gconstpointer data)
{
  g_autofree char *scratch = NULL;

  alarm (SECONDS);
  fixture->directory = make_test_directory ();
  scratch = g_build_filename (fixture->directory, "scratch", NULL);
  fixture->scratch = g_file_new_for_path (scratch);
  fixture->path = g_build_filename (fixture->directory, "folder", "document", NULL);
  fixture->file = g_file_new_for_path (fixture->path);
  fixture->backing = create (fixture->scratch);
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  g_assert_finalize_object (fixture->backing);
  g_object_unref (fixture->scratch);
  g_object_unref (fixture->file);
  remove_test_directory (fixture->directory);
  g_free (fixture->directory);
  g_free (fixture->path);
  alarm (0);
}

static void
track (BsBacking *backing, GFile *file)
{
  g_autoptr (BsKeySet) found = list_path (backing, file);
}

static void
assert_track_fails (BsBacking *backing, GFile *file, GQuark domain, int code)
{
  g_autoptr (BsKeySet) found = bs_key_set_new ();
  g_autoptr (GError) error = NULL;

  g_assert_false (bs_backing_sanitize_path (backing, file, found, NULL, &error));
  g_assert_error (error, domain, code);
}

static void
assert_n_keys (Fixture *fixture, guint64 n_keys)
{
  g_autoptr (BsKeySet) found = list_path (fixture->backing, fixture->file);

  g_assert_cmpuint (bs_key_set_get_n_keys (found), ==, n_keys);
}

static void
release (Fixture *fixture)
{
  g_autoptr (GError) error = NULL;

  bs_backing_release_path (fixture->backing, fixture->file, NULL, &error);
  g_assert_no_error (error);
}

static char *
write_new (BsBacking *backing, GBytes *bytes)
{
  g_autoptr (GError) error = NULL;
  char *key = bs_key_generate ();

  bs_backing_write (backing, key, bytes, NULL, &error);
  g_assert_no_error (error);
  return key;
}

/* A new blob at the path, that primary storage has too. */
static char *
persist_new (Fixture *fixture, gsize size, guint seed)
{
  g_autoptr (GBytes) bytes = make_test_bytes (size, seed);
  g_autoptr (GError) error = NULL;
  char *key = write_new (fixture->backing, bytes);

  bs_backing_persist (fixture->backing, fixture->file, key, NULL, &error);
  g_assert_no_error (error);
  return key;
}

static void
save_root (Fixture *fixture, const char *text)
{
  g_autoptr (GBytes) bytes = g_bytes_new (text, strlen (text));
  g_autoptr (GError) error = NULL;

  bs_backing_write_root (fixture->backing, fixture->file, bytes, NULL, &error);
  g_assert_no_error (error);
}

static void
assert_root (BsBacking *backing, GFile *file, const char *text)
{
  g_autoptr (GBytes) expected = g_bytes_new (text, strlen (text));
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) root = bs_backing_read_root (backing, file, NULL, &error);

  g_assert_no_error (error);
  g_assert_true (g_bytes_equal (root, expected));
}

/* Each change at the path fails so. */
static void
assert_changes_fail (Fixture *fixture, const char *key, GQuark domain, int code)
{
  g_autoptr (GBytes) bytes = make_test_bytes (10, 9);
  g_autofree char *other = write_new (fixture->backing, bytes);
  g_autoptr (BsKeySet) keys = bs_key_set_new ();
  g_autoptr (GError) error = NULL;

  bs_key_set_add (keys, key, NULL);
  g_assert_false (bs_backing_persist (fixture->backing, fixture->file, other, NULL, &error));
  g_assert_error (error, domain, code);
  g_clear_error (&error);
  g_assert_false (bs_backing_delete_persisted (fixture->backing, fixture->file, key, NULL, &error));
  g_assert_error (error, domain, code);
  g_clear_error (&error);
  g_assert_false (
    bs_backing_delete_persisted_keys (fixture->backing, fixture->file, keys, NULL, &error));
  g_assert_error (error, domain, code);
  g_clear_error (&error);
  g_assert_false (bs_backing_write_root (fixture->backing, fixture->file, bytes, NULL, &error));
  g_assert_error (error, domain, code);
  assert_reads (fixture->backing, other, bytes);
}

static char *
beside (const char *path, const char *suffix)
{
  return g_strconcat (path, suffix, NULL);
}

static gboolean
exists (const char *path, const char *suffix)
{
  g_autofree char *name = beside (path, suffix);

  return g_access (name, F_OK) == 0;
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

/* The names in the folder of the document, in order. */
static char *
list_folder (const char *path)
{
  g_autofree char *folder = g_path_get_dirname (path);
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  const char *name;

  while ((name = g_dir_read_name (dir)) != NULL)
    g_ptr_array_add (names, g_strdup (name));
  g_ptr_array_sort (names, compare_names);
  g_ptr_array_add (names, NULL);
  return g_strjoinv (" ", (char **) names->pdata);
}

static void
assert_folder (const char *path, const char *expected)
{
  g_autofree char *names = list_folder (path);

  g_assert_cmpstr (names, ==, expected);
}

/* As cp does, or with the time as cp -p. */
static void
copy (const char *from, const char *to, gboolean with_time)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *data = NULL;
  g_autofree char *folder = g_path_get_dirname (to);
  struct stat status;
  gsize size;
  int fd;

  g_mkdir_with_parents (folder, 0700);
  g_file_get_contents (from, &data, &size, &error);
  g_assert_no_error (error);
  fd = open (to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  g_assert_cmpint (write (fd, data, size), ==, size);
  if (with_time)
    {
      g_assert_no_errno (stat (from, &status));
      futimens (fd, (struct timespec[2]){ status.st_atim, status.st_mtim });
    }
  close (fd);
}

static sqlite3 *
open_database (const char *path)
{
  sqlite3 *database;

  g_assert_cmpint (sqlite3_open (path, &database), ==, SQLITE_OK);
  return database;
}

static void
run_sql (const char *path, const char *sql)
{
  sqlite3 *database = open_database (path);

  if (sqlite3_exec (database, sql, NULL, NULL, NULL) != SQLITE_OK)
    g_error ("%s: %s", sql, sqlite3_errmsg (database));
  sqlite3_close (database);
}

static char *
ask_sql (const char *path, const char *sql)
{
  sqlite3 *database = open_database (path);
  sqlite3_stmt *statement;
  char *answer = NULL;

  g_assert_cmpint (sqlite3_prepare_v2 (database, sql, -1, &statement, NULL), ==, SQLITE_OK);
  if (sqlite3_step (statement) == SQLITE_ROW)
    answer = g_strdup ((const char *) sqlite3_column_text (statement, 0));
  sqlite3_finalize (statement);
  sqlite3_close (database);
  return answer;
}

static void
assert_sql (const char *path, const char *sql, const char *expected)
{
  g_autofree char *answer = ask_sql (path, sql);

  g_assert_cmpstr (answer, ==, expected);
}

/* Runs a function in a process that ends without closing anything. */
static void
run_and_die (void (*func) (Fixture *fixture), Fixture *fixture)
{
  pid_t pid;
  int status;

  /* SQLite must not be carried over the fork. */
  g_clear_object (&fixture->backing);
  pid = fork ();
  g_assert_no_errno (pid);
  if (pid == 0)
    {
      alarm (SECONDS);
      fixture->backing = create (fixture->scratch);
      track (fixture->backing, fixture->file);
      func (fixture);
      kill (getpid (), SIGKILL);
    }
  g_assert_no_errno (waitpid (pid, &status, 0));
  g_assert_true (WIFSIGNALED (status) && WTERMSIG (status) == SIGKILL);
  fixture->backing = create (fixture->scratch);
}

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

  g_mkdir_with_parents (folder, 0700);
  g_file_set_contents (fixture->path, "", 0, NULL);
  assert_n_keys (fixture, 0);
  release (fixture);
  g_assert_no_errno (truncate (fixture->path, 0));
  g_assert_no_errno (truncate (fixture->path, 32768));
  assert_n_keys (fixture, 0);
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
      _exit (0);
    }
  g_assert_no_errno (waitpid (pid, &status, 0));
  g_assert_cmpint (status, ==, 0);
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
      _exit (0);
    }
  g_assert_no_errno (waitpid (pid, &status, 0));
  g_assert_cmpint (status, ==, 0);
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

  /* The root is committed; then the file is found to be another. */
  bs_backing_write_root (fixture->backing, fixture->file, bytes, NULL, NULL);
  assert_changes_fail (fixture, key, BS_ERROR, BS_ERROR_MOVED);
  release (fixture);
  g_file_get_contents (fixture->path, &after, &size_after, NULL);
  g_assert_cmpmem (before, size, after, size_after);
  g_assert_false (exists (fixture->path, "-wal"));

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

static void
save_and_persist (Fixture *fixture)
{
  g_free (persist_new (fixture, 5000, 1));
  save_root (fixture, "root");
  g_free (persist_new (fixture, 5000, 2));
}

/* A killed process loses nothing that was persisted. */
static void
test_killed (Fixture *fixture, gconstpointer data)
{
  run_and_die (save_and_persist, fixture);
  g_assert_true (exists (fixture->path, "-wal"));
  assert_n_keys (fixture, 2);
  assert_root (fixture->backing, fixture->file, "root");
  release (fixture);
  assert_folder (fixture->path, "document");
}

/* The log of a killed process belongs to the document as it is, in a copy with its times
 * too, and to nothing else of that name. */
static void
test_copied_with_log (Fixture *fixture, gconstpointer data)
{
  g_autofree char *there = g_build_filename (fixture->directory, "copy", "document", NULL);
  g_autofree char *log = beside (fixture->path, "-wal");
  g_autofree char *log_there = beside (there, "-wal");
  g_autoptr (GFile) file = g_file_new_for_path (there);
  g_autoptr (BsKeySet) found = NULL;

  run_and_die (save_and_persist, fixture);
  copy (fixture->path, there, TRUE);
  copy (log, log_there, TRUE);
  found = list_path (fixture->backing, file);
  g_assert_cmpuint (bs_key_set_get_n_keys (found), ==, 2);
}

static void
test_copied_alone (Fixture *fixture, gconstpointer data)
{
  g_autofree char *there = g_build_filename (fixture->directory, "copy", "document", NULL);
  g_autoptr (GFile) file = g_file_new_for_path (there);
  g_autoptr (BsKeySet) found = NULL;

  run_and_die (save_and_persist, fixture);
  copy (fixture->path, there, FALSE);
  found = list_path (fixture->backing, file);
  g_assert_cmpuint (bs_key_set_get_n_keys (found), ==, 1);
  assert_root (fixture->backing, file, "root");
}

static void
assert_not_taken_in (Fixture *fixture, guint64 n_keys, const char *root, const char *suffix)
{
  g_autofree char *aside = g_strconcat (suffix, ".aside-1", NULL);

  g_test_expect_message ("backingstore-sqlite", G_LOG_LEVEL_MESSAGE, "*was not written for*");
  assert_n_keys (fixture, n_keys);
  g_test_assert_expected_messages ();
  assert_root (fixture->backing, fixture->file, root);
  g_assert_true (exists (fixture->path, aside));
  release (fixture);
  g_assert_false (exists (fixture->path, suffix));
  assert_sql (fixture->path, "PRAGMA integrity_check", "ok");
}

static void
test_restored_beside_log (Fixture *fixture, gconstpointer data)
{
  const gboolean with_time = GPOINTER_TO_INT (data);
  g_autofree char *backup = g_build_filename (fixture->directory, "backup", NULL);
  g_autofree char *key = NULL;

  track (fixture->backing, fixture->file);
  key = persist_new (fixture, 100, 7);
  save_root (fixture, "backup");
  release (fixture);
  copy (fixture->path, backup, TRUE);

  run_and_die (save_and_persist, fixture);
  copy (backup, fixture->path, with_time);
  assert_not_taken_in (fixture, 1, "backup", "-wal");
}

/* A restored copy of the very state that the log goes on from: its time tells. */
static void
test_restored_beside_log_of_same_state (Fixture *fixture, gconstpointer data)
{
  g_autofree char *backup = g_build_filename (fixture->directory, "backup", NULL);

  run_and_die (save_and_persist, fixture);
  copy (fixture->path, backup, FALSE);
  copy (backup, fixture->path, FALSE);
  assert_not_taken_in (fixture, 1, "root", "-wal");
}

static void
test_swapped (Fixture *fixture, gconstpointer data)
{
  g_autofree char *other = g_build_filename (fixture->directory, "folder", "other", NULL);
  g_autofree char *aside = g_build_filename (fixture->directory, "folder", "aside", NULL);
  g_autoptr (GFile) there = g_file_new_for_path (other);
  g_autoptr (GFile) first = g_object_ref (fixture->file);

  run_and_die (save_and_persist, fixture);
  fixture->file = there;
  run_and_die (save_and_persist, fixture);
  fixture->file = first;
  g_assert_no_errno (rename (fixture->path, aside));
  g_assert_no_errno (rename (other, fixture->path));
  g_assert_no_errno (rename (aside, other));
  assert_not_taken_in (fixture, 1, "root", "-wal");
  g_object_unref (fixture->file);
  g_object_ref (first);
}

/* A log of another program beside a document that was closed. */
static void
test_planted_log (Fixture *fixture, gconstpointer data)
{
  g_autofree char *planted = g_build_filename (fixture->directory, "planted", NULL);
  g_autofree char *log = beside (fixture->path, "-wal");
  g_autofree char *planted_log = beside (planted, "-wal");
  g_autofree char *key = NULL;
  sqlite3 *database;

  track (fixture->backing, fixture->file);
  key = persist_new (fixture, 100, 7);
  save_root (fixture, "root");
  release (fixture);

  copy (fixture->path, planted, FALSE);
  database = open_database (planted);
  sqlite3_exec (database, "PRAGMA journal_mode = WAL; DELETE FROM name", NULL, NULL, NULL);
  copy (planted_log, log, FALSE);
  sqlite3_close (database);
  assert_not_taken_in (fixture, 1, "root", "-wal");
}

static void
test_planted_journal (Fixture *fixture, gconstpointer data)
{
  static const guint8 magic[] = { 0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7 };
  g_autofree char *journal = beside (fixture->path, "-journal");
  guint8 header[512] = { 0 };
  g_autofree char *key = NULL;

  track (fixture->backing, fixture->file);
  key = persist_new (fixture, 100, 7);
  save_root (fixture, "root");
  release (fixture);

  /* Without a page: it cuts the file off at its first page. */
  memcpy (header, magic, sizeof magic);
  header[19] = 1;
  header[22] = 2;
  header[26] = 0x10;
  g_file_set_contents (journal, (char *) header, sizeof header, NULL);
  assert_not_taken_in (fixture, 1, "root", "-journal");

  g_file_set_contents (journal, "a letter to mother", -1, NULL);
  g_test_expect_message ("backingstore-sqlite", G_LOG_LEVEL_MESSAGE, "*was not written for*");
  assert_n_keys (fixture, 1);
  g_test_assert_expected_messages ();
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
      _exit (0);
    }
  g_assert_no_errno (waitpid (pid, &status, 0));
  g_assert_cmpint (status, ==, 0);
  after = persist_new (fixture, 5000, 2);
  save_root (fixture, "root");
  release (fixture);
  assert_n_keys (fixture, 2);
}

/* A database with our marks that does what no document does. */
static void
test_hostile_schema (Fixture *fixture, gconstpointer data)
{
  static const char *const additions[] = {
    "CREATE TRIGGER t AFTER INSERT ON blob BEGIN DELETE FROM name; END",
    "CREATE VIEW v AS SELECT * FROM blob",
    "CREATE TABLE extra(a)",
    "CREATE INDEX i ON name(key)",
    "CREATE VIRTUAL TABLE f USING fts5(a)",
    "DROP TABLE root",
    "DROP TABLE name; CREATE VIEW name AS SELECT id, randomblob(16) AS key, 0 AS hash FROM blob",
    "ALTER TABLE blob ADD COLUMN more DEFAULT (randomblob(1000000))",
    "UPDATE state SET record = x'00'; INSERT INTO dropped VALUES(1)",
    "INSERT INTO name VALUES(9223372036854775807, zeroblob(16), 0)",
    "INSERT INTO name VALUES(0, zeroblob(16), 0)",
    "INSERT INTO name VALUES(1, 'key', 0)",
    "INSERT INTO blob VALUES(9223372036854775807, 'x')",
  };
  g_autofree char *good = beside (fixture->path, "-good");

  track (fixture->backing, fixture->file);
  release (fixture);
  copy (fixture->path, good, FALSE);
  for (guint i = 0; i < G_N_ELEMENTS (additions); i++)
    {
      copy (good, fixture->path, FALSE);
      run_sql (fixture->path, additions[i]);
      assert_track_fails (fixture->backing, fixture->file, BS_ERROR, BS_ERROR_CORRUPT);
    }
  g_unlink (good);
  assert_folder (fixture->path, "document");
}

/* Uses a document of whatever contents. */
static void
use_anything (Fixture *fixture)
{
  g_autoptr (BsKeySet) found = bs_key_set_new ();
  g_autoptr (GBytes) bytes = make_test_bytes (3000, 5);
  g_autoptr (GBytes) root = NULL;
  g_autoptr (GBytes) content = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *key = write_new (fixture->backing, bytes);
  g_auto (GStrv) keys = NULL;

  if (bs_backing_sanitize_path (fixture->backing, fixture->file, found, NULL, NULL))
    {
      keys = bs_key_set_list_keys (found);
      for (guint i = 0; keys[i] != NULL; i++)
        {
          g_autoptr (GBytes) any = NULL;

          bs_backing_register_key (fixture->backing, fixture->file, keys[i], NULL, NULL);
          any = bs_backing_read (fixture->backing, keys[i], NULL, NULL);
          bs_backing_verify_persisted (fixture->backing, fixture->file, keys[i], NULL, NULL);
          bs_backing_delete_key (fixture->backing, keys[i], NULL, NULL);
        }
      root = bs_backing_read_root (fixture->backing, fixture->file, NULL, NULL);
      bs_backing_persist (fixture->backing, fixture->file, key, NULL, NULL);
      bs_backing_delete_persisted_keys (fixture->backing, fixture->file, found, NULL, NULL);
      bs_backing_write_root (fixture->backing, fixture->file, bytes, NULL, NULL);
      bs_backing_release_path (fixture->backing, fixture->file, NULL, NULL);
    }
  /* The document may have lost it. */
  content = bs_backing_read (fixture->backing, key, NULL, &error);
  if (content == NULL)
    g_assert_error (error, BS_ERROR, BS_ERROR_CORRUPT);
  else
    g_assert_true (g_bytes_equal (content, bytes));
  bs_backing_delete_key (fixture->backing, key, NULL, NULL);
}

/* Bytes that are wrong anywhere give errors, and blobs that are read are right. */
static void
test_damaged (Fixture *fixture, gconstpointer data)
{
  const guint n_cases = tests_are_whole () ? 3000 : 150;
  g_autofree char *good = NULL;
  gsize size;

  track (fixture->backing, fixture->file);
  for (guint i = 0; i < 40; i++)
    g_free (persist_new (fixture, i * i * 10, i));
  save_root (fixture, "root");
  g_clear_object (&fixture->backing);
  fixture->backing = create (fixture->scratch);
  g_file_get_contents (fixture->path, &good, &size, NULL);

  for (guint i = 0; i < n_cases; i++)
    {
      g_autofree char *bad = g_memdup2 (good, size);
      gsize bad_size = size;

      for (int j = g_test_rand_int_range (1, 20); j > 0; j--)
        {
          /* The first bytes of pages matter most. */
          gsize place = g_test_rand_int_range (0, size);

          if (g_test_rand_bit ())
            place = place / 4096 * 4096 + place % 128;
          bad[place] = g_test_rand_bit () ? g_test_rand_int () : bad[place] ^ (1 << (j % 8));
        }
      if (i % 8 == 0)
        bad_size = g_test_rand_int_range (1, size);
      g_file_set_contents_full (fixture->path, bad, bad_size, G_FILE_SET_CONTENTS_NONE, 0600, NULL);
      use_anything (fixture);
    }
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
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);

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
  add_test ("/sqlite/copy-of-a-save", NULL, test_copy_of_a_save);
  add_test ("/sqlite/killed", NULL, test_killed);
  add_test ("/sqlite/copied-with-log", NULL, test_copied_with_log);
  add_test ("/sqlite/copied-alone", NULL, test_copied_alone);
  add_test ("/sqlite/restored-beside-log-of-same-state", NULL,
            test_restored_beside_log_of_same_state);
  add_test ("/sqlite/swapped", NULL, test_swapped);
  add_test ("/sqlite/planted-log", NULL, test_planted_log);
  add_test ("/sqlite/planted-journal", NULL, test_planted_journal);
  add_test ("/sqlite/corrupt-blob", NULL, test_corrupt_blob);
  add_test ("/sqlite/delete-held", NULL, test_delete_held);
  add_test ("/sqlite/release-held", NULL, test_release_held);
  add_test ("/sqlite/fork", NULL, test_fork);
  add_test ("/sqlite/hostile-schema", NULL, test_hostile_schema);
  add_test ("/sqlite/damaged", NULL, test_damaged);
  add_test ("/sqlite/shrinks", NULL, test_shrinks);
  add_test ("/sqlite/restored-beside-log", GINT_TO_POINTER (FALSE), test_restored_beside_log);
  add_test ("/sqlite/restored-beside-log-with-time", GINT_TO_POINTER (TRUE),
            test_restored_beside_log);
  backing_contract_add_tests (&kind);

  return g_test_run ();
}
