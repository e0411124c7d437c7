/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* Logs and journals beside a document: its own are taken in, and no others. */

#include "sqlite-fixture.h"

#include <dlfcn.h>
#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

/* Of a log, to nothing. */
static gboolean truncation_fails;

/* In place of the C library's. */
int
ftruncate (int fd, off_t size)
{
  static int (*next) (int fd, off_t size);

  if (truncation_fails && size == 0)
    {
      errno = EIO;
      return -1;
    }

  if (next == NULL)
    *(void **) &next = dlsym (RTLD_NEXT, "ftruncate64");
  return next (fd, size);
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

static void
save_with_a_log_that_stays (Fixture *fixture)
{
  g_free (persist_new (fixture, 5000, 1));
  truncation_fails = TRUE;
  save_root (fixture, "root");
  truncation_fails = FALSE;
  g_free (persist_new (fixture, 5000, 2));
}

/* SQLite begins a log anew that was brought home, though it could not be cut off. */
static void
test_killed_after_error (Fixture *fixture, gconstpointer data)
{
  run_and_die (save_with_a_log_that_stays, fixture);
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

/* As SQLite begins one, and with more and more of its magic number; or with the end of that,
 * which was written by a call of its own, and a part of its begin. */
static void
test_journal_cut_off (Fixture *fixture, gconstpointer data)
{
  static const guint8 magic[] = { 0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7 };
  g_autofree char *journal = beside (fixture->path, "-journal");
  guint8 header[28] = { 0 };
  g_autofree char *key = NULL;

  track (fixture->backing, fixture->file);
  key = persist_new (fixture, 100, 7);
  save_root (fixture, "root");
  release (fixture);

  header[12] = 0x65;
  header[19] = 9;
  header[22] = 2;
  header[26] = 0x10;
  for (guint size = 1; size <= sizeof header; size++)
    {
      g_file_set_contents (journal, (char *) header, size, NULL);
      assert_n_keys (fixture, 1);
      assert_root (fixture->backing, fixture->file, "root");
      release (fixture);
      assert_folder (fixture->path, "document");
    }
  for (guint size = 1; size < sizeof magic; size++)
    {
      g_file_set_contents (journal, (char *) magic, size, NULL);
      assert_n_keys (fixture, 1);
      release (fixture);
      assert_folder (fixture->path, "document");
    }

  memcpy (header, magic, sizeof magic);
  memset (header + 2, 0, 4);
  header[11] = 1;
  g_file_set_contents (journal, (char *) header, sizeof header, NULL);
  assert_n_keys (fixture, 1);
  release (fixture);
  assert_folder (fixture->path, "document");
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

  add_test ("/sqlite/killed", NULL, test_killed);
  add_test ("/sqlite/killed-after-error", NULL, test_killed_after_error);
  add_test ("/sqlite/copied-with-log", NULL, test_copied_with_log);
  add_test ("/sqlite/copied-alone", NULL, test_copied_alone);
  add_test ("/sqlite/restored-beside-log-of-same-state", NULL,
            test_restored_beside_log_of_same_state);
  add_test ("/sqlite/swapped", NULL, test_swapped);
  add_test ("/sqlite/planted-log", NULL, test_planted_log);
  add_test ("/sqlite/planted-journal", NULL, test_planted_journal);
  add_test ("/sqlite/journal-cut-off", NULL, test_journal_cut_off);
  add_test ("/sqlite/restored-beside-log", GINT_TO_POINTER (FALSE), test_restored_beside_log);
  add_test ("/sqlite/restored-beside-log-with-time", GINT_TO_POINTER (TRUE),
            test_restored_beside_log);

  return g_test_run ();
}
