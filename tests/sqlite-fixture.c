/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "sqlite-fixture.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

BsBacking *
create (GFile *directory)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *uri = g_strconcat ("sqlite://", g_file_peek_path (directory), NULL);
  BsBacking *backing = bs_backing_new_for_uri (uri, &error);

  g_assert_no_error (error);
  g_assert_cmpstr (G_OBJECT_TYPE_NAME (backing), ==, "BsSqliteBacking");
  return backing;
}

void
set_up (Fixture *fixture, gconstpointer data)
{
  g_autofree char *scratch = NULL;

  alarm (tests_are_whole () ? 10 * SECONDS : SECONDS);
  fixture->directory = make_test_directory ();
  scratch = g_build_filename (fixture->directory, "scratch", NULL);
  fixture->scratch = g_file_new_for_path (scratch);
  fixture->path = g_build_filename (fixture->directory, "folder", "document", NULL);
  fixture->file = g_file_new_for_path (fixture->path);
  fixture->backing = create (fixture->scratch);
}

void
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

void
track (BsBacking *backing, GFile *file)
{
  g_autoptr (BsKeySet) found = list_path (backing, file);
}

void
assert_track_fails (BsBacking *backing, GFile *file, GQuark domain, int code)
{
  g_autoptr (BsKeySet) found = bs_key_set_new ();
  g_autoptr (GError) error = NULL;

  g_assert_false (bs_backing_sanitize_path (backing, file, found, NULL, &error));
  g_assert_error (error, domain, code);
}

void
assert_n_keys (Fixture *fixture, guint64 n_keys)
{
  g_autoptr (BsKeySet) found = list_path (fixture->backing, fixture->file);

  g_assert_cmpuint (bs_key_set_get_n_keys (found), ==, n_keys);
}

void
release (Fixture *fixture)
{
  g_autoptr (GError) error = NULL;

  bs_backing_release_path (fixture->backing, fixture->file, NULL, &error);
  g_assert_no_error (error);
}

char *
write_new (BsBacking *backing, GBytes *bytes)
{
  g_autoptr (GError) error = NULL;
  char *key = bs_key_generate ();

  bs_backing_write (backing, key, bytes, NULL, &error);
  g_assert_no_error (error);
  return key;
}

/* A new blob at the path, that primary storage has too. */
char *
persist_new (Fixture *fixture, gsize size, guint seed)
{
  g_autoptr (GBytes) bytes = make_test_bytes (size, seed);
  g_autoptr (GError) error = NULL;
  char *key = write_new (fixture->backing, bytes);

  bs_backing_persist (fixture->backing, fixture->file, key, NULL, &error);
  g_assert_no_error (error);
  return key;
}

void
save_root (Fixture *fixture, const char *text)
{
  g_autoptr (GBytes) bytes = g_bytes_new (text, strlen (text));
  g_autoptr (GError) error = NULL;

  bs_backing_write_root (fixture->backing, fixture->file, bytes, NULL, NULL, &error);
  g_assert_no_error (error);
}

void
assert_root (BsBacking *backing, GFile *file, const char *text)
{
  g_autoptr (GBytes) expected = g_bytes_new (text, strlen (text));
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) root = bs_backing_read_root (backing, file, NULL, &error);

  g_assert_no_error (error);
  g_assert_true (g_bytes_equal (root, expected));
}

/* Each change at the path fails so. */
void
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
  g_assert_false (
    bs_backing_write_root (fixture->backing, fixture->file, bytes, NULL, NULL, &error));
  g_assert_error (error, domain, code);
  assert_reads (fixture->backing, other, bytes);
}

char *
beside (const char *path, const char *suffix)
{
  return g_strconcat (path, suffix, NULL);
}

gboolean
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
char *
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

void
assert_folder (const char *path, const char *expected)
{
  g_autofree char *names = list_folder (path);

  g_assert_cmpstr (names, ==, expected);
}

/* As cp does, or with the time as cp -p. */
void
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

sqlite3 *
open_database (const char *path)
{
  sqlite3 *database;

  g_assert_cmpint (sqlite3_open (path, &database), ==, SQLITE_OK);
  return database;
}

void
run_sql (const char *path, const char *sql)
{
  sqlite3 *database = open_database (path);

  if (sqlite3_exec (database, sql, NULL, NULL, NULL) != SQLITE_OK)
    g_error ("%s: %s", sql, sqlite3_errmsg (database));
  sqlite3_close (database);
}

char *
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

void
assert_sql (const char *path, const char *sql, const char *expected)
{
  g_autofree char *answer = ask_sql (path, sql);

  g_assert_cmpstr (answer, ==, expected);
}

void
assert_killed (int status)
{
  g_assert_true (WIFSIGNALED (status) && WTERMSIG (status) == SIGKILL);
}

/* Runs a function in a process that ends without closing anything. */
void
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
  assert_killed (status);
  fixture->backing = create (fixture->scratch);
}

void
save_and_persist (Fixture *fixture)
{
  g_free (persist_new (fixture, 5000, 1));
  save_root (fixture, "root");
  g_free (persist_new (fixture, 5000, 2));
}
