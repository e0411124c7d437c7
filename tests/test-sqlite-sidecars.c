/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* Logs and journals beside a document: its own are taken in, and no others. */

#include "sqlite-fixture.h"

#include <dlfcn.h>
#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Of a log, to nothing. */
static gboolean truncation_fails;
/* The errno of the next write to a log, and of the next sync of one; or 0. */
static int write_code;
static int sync_code;
/* Called by the next sync of a log; or NULL. */
static void (*before_sync) (void);
/* Whether a piece of several pages was written at the begin of a log. */
static gboolean rewritten;
/* Whether SQLite's waiting for a lock takes no time, and how often it has waited so. */
static gboolean hastens;
static guint n_waits;

static gboolean
skip_wait (void)
{
  n_waits += hastens;
  return hastens;
}

static gboolean
is_log (int fd)
{
  g_autofree char *link = g_strdup_printf ("/proc/self/fd/%d", fd);
  g_autofree char *name = g_file_read_link (link, NULL);

  return name != NULL && g_str_has_suffix (name, "-wal");
}

static gboolean
fails (int *code)
{
  errno = *code;
  *code = 0;
  return errno != 0;
}

/* In place of the C library's, as all that follow. */
ssize_t
pwrite (int fd, const void *data, size_t size, off_t offset)
{
  static ssize_t (*next) (int fd, const void *data, size_t size, off_t offset);

  if (is_log (fd))
    {
      rewritten |= offset == 0 && size > 4096;
      if (fails (&write_code))
        return -1;
    }

  if (next == NULL)
    *(void **) &next = dlsym (RTLD_NEXT, "pwrite64");
  return next (fd, data, size, offset);
}

static int
sync_by (int (*next) (int fd), int fd)
{
  if (is_log (fd))
    {
      void (*func) (void) = before_sync;

      before_sync = NULL;
      if (func != NULL)
        func ();
      if (fails (&sync_code))
        return -1;
    }

  return next (fd);
}

int
fsync (int fd)
{
  static int (*next) (int fd);

  if (next == NULL)
    *(void **) &next = dlsym (RTLD_NEXT, "fsync");
  return sync_by (next, fd);
}

int
fdatasync (int fd)
{
  static int (*next) (int fd);

  if (next == NULL)
    *(void **) &next = dlsym (RTLD_NEXT, "fdatasync");
  return sync_by (next, fd);
}

/* One or the other is SQLite's. */
int
nanosleep (const struct timespec *time, struct timespec *left)
{
  static int (*next) (const struct timespec *time, struct timespec *left);

  if (skip_wait ())
    return 0;

  if (next == NULL)
    *(void **) &next = dlsym (RTLD_NEXT, "nanosleep");
  return next (time, left);
}

int
usleep (useconds_t time)
{
  static int (*next) (useconds_t time);

  if (skip_wait ())
    return 0;

  if (next == NULL)
    *(void **) &next = dlsym (RTLD_NEXT, "usleep");
  return next (time);
}

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

static sqlite3 *reader;

static void
begin_reading (void)
{
  g_assert_cmpint (sqlite3_exec (reader, "BEGIN; SELECT count(*) FROM blob", NULL, NULL, NULL), ==,
                   SQLITE_OK);
}

static void
begin_reading_at_next_sync (void)
{
  before_sync = begin_reading;
}

/* The root is synced, and then the log, when it is about to be brought home. */
static void
save_with_a_reader (Fixture *fixture)
{
  g_free (persist_new (fixture, 5000, 1));
  reader = open_database (fixture->path);
  before_sync = begin_reading_at_next_sync;
  hastens = TRUE;
  save_root (fixture, "root");
  hastens = FALSE;
  g_assert_null (before_sync);
  g_assert_cmpint (sqlite3_exec (reader, "COMMIT", NULL, NULL, NULL), ==, SQLITE_OK);
  sqlite3_close (reader);
  g_free (persist_new (fixture, 5000, 2));
}

/* Nor could a log be cut off that a reader held up when all of it was home. */
static void
test_killed_after_reader (Fixture *fixture, gconstpointer data)
{
  run_and_die (save_with_a_reader, fixture);
  assert_n_keys (fixture, 2);
  assert_root (fixture->backing, fixture->file, "root");
  release (fixture);
  assert_folder (fixture->path, "document");
}

/* A program that has a transaction open for hours is waited for once, not by every save and by
 * the release. */
static void
test_reader_stays (Fixture *fixture, gconstpointer data)
{
  g_free (persist_new (fixture, 5000, 1));
  reader = open_database (fixture->path);
  begin_reading ();
  hastens = TRUE;
  save_root (fixture, "one");
  g_assert_cmpuint (n_waits, >, 0);

  n_waits = 0;
  g_free (persist_new (fixture, 5000, 2));
  save_root (fixture, "two");
  g_assert_cmpuint (n_waits, ==, 0);
  g_assert_cmpint (sqlite3_exec (reader, "COMMIT", NULL, NULL, NULL), ==, SQLITE_OK);

  /* Once it has gone, the next is waited for. */
  save_root (fixture, "three");
  begin_reading ();
  save_root (fixture, "four");
  g_assert_cmpuint (n_waits, >, 0);

  n_waits = 0;
  release (fixture);
  g_assert_cmpuint (n_waits, ==, 0);
  hastens = FALSE;
  sqlite3_close (reader);

  assert_n_keys (fixture, 2);
  assert_root (fixture->backing, fixture->file, "four");
  release (fixture);
  assert_folder (fixture->path, "document");
}

static void
persist_and_fail_to_sync (Fixture *fixture)
{
  g_autoptr (GError) error = NULL;

  g_free (persist_new (fixture, 5000, 1));
  sync_code = EIO;
  g_assert_false (bs_backing_sync_persisted (fixture->backing, fixture->file, NULL, &error));
  g_assert_error (error, G_IO_ERROR, (int) g_io_error_from_errno (EIO));
}

static void
assert_rewritten (void)
{
  g_assert_true (rewritten);
}

/* The kernel takes the pages of a log for clean when it has told of an error once, and the next
 * process knows nothing of that: the log is written anew before it is synced. */
static void
test_killed_after_failed_sync (Fixture *fixture, gconstpointer data)
{
  run_and_die (persist_and_fail_to_sync, fixture);
  rewritten = FALSE;
  before_sync = assert_rewritten;
  assert_n_keys (fixture, 1);
  g_assert_null (before_sync);
}

/* A COMMIT that could not write to the log says why. Room is made for a deletion where there is
 * none, of the disk or of a quota. */
static void
test_write_fails (Fixture *fixture, gconstpointer data)
{
  static const struct
  {
    int code;
    int error;
  } failures[] = {
    { EDQUOT, G_IO_ERROR_NO_SPACE },
    { ENOSPC, G_IO_ERROR_NO_SPACE },
    { EROFS, G_IO_ERROR_READ_ONLY },
    { EPERM, G_IO_ERROR_PERMISSION_DENIED },
  };
  g_autoptr (GBytes) bytes = make_test_bytes (5000, 1);
  g_autoptr (GError) none = NULL;
  g_autofree char *key = NULL;

  track (fixture->backing, fixture->file);
  key = persist_new (fixture, 5000, 2);
  for (guint i = 0; i < G_N_ELEMENTS (failures); i++)
    {
      g_autofree char *other = write_new (fixture->backing, bytes);
      g_autoptr (GError) error = NULL;

      g_test_message ("%s", g_strerror (failures[i].code));
      write_code = failures[i].code;
      g_assert_false (bs_backing_persist (fixture->backing, fixture->file, other, NULL, &error));
      g_assert_error (error, G_IO_ERROR, failures[i].error);
      g_assert_cmpint (write_code, ==, 0);
      assert_reads (fixture->backing, other, bytes);
    }

  write_code = EDQUOT;
  bs_backing_delete_persisted (fixture->backing, fixture->file, key, NULL, &none);
  g_assert_no_error (none);
  g_assert_cmpint (write_code, ==, 0);
  assert_n_keys (fixture, 0);
}

static const char *backup_path;
static const char *document_path;

static void
restore (void)
{
  copy (backup_path, document_path, FALSE);
}

/* A root that went into a log beside another file has not happened. */
static void
test_overwritten_after_commit (Fixture *fixture, gconstpointer data)
{
  g_autofree char *backup = g_build_filename (fixture->directory, "backup", NULL);
  g_autoptr (GBytes) bytes = make_test_bytes (10, 3);
  g_autoptr (GError) error = NULL;

  track (fixture->backing, fixture->file);
  g_free (persist_new (fixture, 5000, 1));
  save_root (fixture, "root");
  copy (fixture->path, backup, FALSE);
  g_free (persist_new (fixture, 50000, 2));
  save_root (fixture, "newer");

  backup_path = backup;
  document_path = fixture->path;
  before_sync = restore;
  g_assert_false (
    bs_backing_write_root (fixture->backing, fixture->file, bytes, NULL, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_MOVED);
  release (fixture);
  assert_n_keys (fixture, 1);
  assert_root (fixture->backing, fixture->file, "root");
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
  add_test ("/sqlite/killed-after-reader", NULL, test_killed_after_reader);
  add_test ("/sqlite/reader-stays", NULL, test_reader_stays);
  add_test ("/sqlite/killed-after-failed-sync", NULL, test_killed_after_failed_sync);
  add_test ("/sqlite/write-fails", NULL, test_write_fails);
  add_test ("/sqlite/overwritten-after-commit", NULL, test_overwritten_after_commit);
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
