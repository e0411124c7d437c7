/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* A database that somebody prepared to hurt us, or that is damaged: errors, and nothing else. */

#include "sqlite-fixture.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE_SIZE 4096

/* Of the format of SQLite's files. */
#define INTERIOR_PAGE 0x05
#define INTERIOR_HEADER_SIZE 12
#define LOG_HEADER_SIZE 32
#define FRAME_HEADER_SIZE 24

static guint32
get32 (const guint8 *bytes)
{
  return (guint32) bytes[0] << 24 | bytes[1] << 16 | bytes[2] << 8 | bytes[3];
}

static void
set32 (guint8 *bytes, guint32 number)
{
  number = GUINT32_TO_BE (number);
  memcpy (bytes, &number, 4);
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
    "INSERT INTO name VALUES(1, zeroblob(100000000), 0)",
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

/* The pages that an inner page leads to. */
static void
set_children (guint8 *page, guint32 child)
{
  guint n_cells = page[3] << 8 | page[4];

  g_assert_cmpuint (page[0], ==, INTERIOR_PAGE);
  set32 (page + 8, child);
  for (guint i = 0; i < n_cells; i++)
    {
      const guint8 *place = page + INTERIOR_HEADER_SIZE + 2 * i;

      set32 (page + (place[0] << 8 | place[1]), child);
    }
}

/* A table of a few pages that has more rows than anybody can read. */
static void
test_endless_table (Fixture *fixture, gconstpointer data)
{
  const char *values = data;
  g_autofree char *sql = NULL;
  g_autofree char *question = NULL;
  g_autofree char *answer = NULL;
  g_autofree char *bytes = NULL;
  const char *name = strrchr (values, ' ') + 1;
  guint8 *root;
  guint32 children[8];
  gsize size;

  track (fixture->backing, fixture->file);
  release (fixture);
  sql = g_strdup_printf ("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT "
                         "20000) INSERT INTO %s SELECT %.*s FROM n",
                         name, (int) (name - 1 - values), values);
  run_sql (fixture->path, sql);
  question = g_strdup_printf ("SELECT rootpage FROM sqlite_master WHERE name = '%s'", name);
  answer = ask_sql (fixture->path, question);

  g_file_get_contents (fixture->path, &bytes, &size, NULL);
  root = (guint8 *) bytes + (atoi (answer) - 1) * PAGE_SIZE;
  for (guint i = 0; i < G_N_ELEMENTS (children); i++)
    children[i] = get32 (
      root + (root[INTERIOR_HEADER_SIZE + 2 * i] << 8 | root[INTERIOR_HEADER_SIZE + 2 * i + 1]));
  for (guint i = 1; i < G_N_ELEMENTS (children); i++)
    {
      guint8 *page = (guint8 *) bytes + (children[i] - 1) * PAGE_SIZE;

      memcpy (page, root, PAGE_SIZE);
      set_children (page, children[i - 1]);
    }
  set_children (root, children[G_N_ELEMENTS (children) - 1]);
  g_file_set_contents (fixture->path, bytes, size, NULL);

  assert_track_fails (fixture->backing, fixture->file, BS_ERROR, BS_ERROR_CORRUPT);
  assert_folder (fixture->path, "document");
}

/* A content that is said to be larger than the document. */
static void
test_huge_length (Fixture *fixture, gconstpointer data)
{
  /* Of 3,000,000 bytes: sizes of the cell and the header, and the types. */
  static const guint8 cell[] = { 0x81, 0xb7, 0x8d, 0x46, 1, 6, 0, 0x82, 0xee, 0x9b, 0x0c };
  static const guint8 huge[] = { 0xff, 0xff, 0xff, 0x05, 1, 6, 0, 0xff, 0xff, 0xff, 0x7a };
  const gboolean sparse = GPOINTER_TO_INT (data);
  g_autoptr (GError) error = NULL;
  g_autofree char *key = NULL;
  g_autofree char *bytes = NULL;
  guint8 *place;
  gsize size;

  track (fixture->backing, fixture->file);
  key = persist_new (fixture, 3000000, 1);
  save_root (fixture, "root");
  bs_backing_delete_key (fixture->backing, key, NULL, NULL);
  release (fixture);

  g_file_get_contents (fixture->path, &bytes, &size, NULL);
  place = memmem (bytes, size, cell, sizeof cell);
  g_assert_nonnull (place);
  memcpy (place, huge, sizeof huge);
  if (sparse)
    set32 ((guint8 *) bytes + 28, (300 << 20) / PAGE_SIZE);
  g_file_set_contents (fixture->path, bytes, size, NULL);
  if (sparse)
    g_assert_no_errno (truncate (fixture->path, 300 << 20));

  track (fixture->backing, fixture->file);
  bs_backing_register_key (fixture->backing, fixture->file, key, NULL, &error);
  g_assert_no_error (error);
  g_assert_null (bs_backing_read (fixture->backing, key, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_CORRUPT);
}

/* Nothing is done to what a link beside the document leads to. */
static void
test_planted_links (Fixture *fixture, gconstpointer data)
{
  static const char *const suffixes[] = { "-wal", "-shm", "-journal" };
  g_autofree char *victim = g_build_filename (fixture->directory, "victim", NULL);

  track (fixture->backing, fixture->file);
  release (fixture);
  g_test_expect_message ("backingstore-sqlite", G_LOG_LEVEL_MESSAGE, "*-wal was not written for*");
  g_test_expect_message ("backingstore-sqlite", G_LOG_LEVEL_MESSAGE,
                         "*-journal was not written for*");
  for (guint i = 0; i < G_N_ELEMENTS (suffixes); i++)
    {
      g_autofree char *link = beside (fixture->path, suffixes[i]);
      g_autofree char *content = NULL;
      g_autoptr (GBytes) bytes = make_test_bytes (100, i);
      g_autofree char *key = write_new (fixture->backing, bytes);

      g_file_set_contents (victim, "a letter to mother", -1, NULL);
      g_assert_no_errno (symlink (victim, link));
      track (fixture->backing, fixture->file);
      bs_backing_persist (fixture->backing, fixture->file, key, NULL, NULL);
      assert_reads (fixture->backing, key, bytes);
      release (fixture);
      assert_reads (fixture->backing, key, bytes);
      g_unlink (link);
      g_file_get_contents (victim, &content, NULL, NULL);
      g_assert_cmpstr (content, ==, "a letter to mother");
    }
  g_test_assert_expected_messages ();
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
      bs_backing_write_root (fixture->backing, fixture->file, bytes, NULL, NULL, NULL);
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
  const guint n_cases = tests_are_whole () ? 1000 : 150;
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

/* Flips bytes, most often where pages and frames begin. */
static void
damage (char *bytes, gsize size, gsize step)
{
  for (int j = g_test_rand_int_range (1, 8); j > 0; j--)
    {
      gsize place = g_test_rand_int_range (0, size);

      if (g_test_rand_bit ())
        place = MIN (place / step * step + place % 160, size - 1);
      bytes[place] = g_test_rand_bit () ? g_test_rand_int () : bytes[place] ^ (1 << (j % 8));
    }
}

static void
add_sums (guint32 sums[2], const guint8 *bytes, gsize size)
{
  for (gsize i = 0; i < size; i += 8)
    {
      guint32 numbers[2];

      memcpy (numbers, bytes + i, 8);
      sums[0] += GUINT32_FROM_LE (numbers[0]) + sums[1];
      sums[1] += GUINT32_FROM_LE (numbers[1]) + sums[0];
    }
}

/* Somebody who prepares a log gets its checksums right. */
static void
sum_log (char *bytes, gsize size)
{
  guint8 *log = (guint8 *) bytes;
  guint32 sums[2] = { 0 };

  add_sums (sums, log, 24);
  set32 (log + 24, sums[0]);
  set32 (log + 28, sums[1]);
  for (guint8 *frame = log + LOG_HEADER_SIZE; frame + FRAME_HEADER_SIZE + PAGE_SIZE <= log + size;
       frame += FRAME_HEADER_SIZE + PAGE_SIZE)
    {
      memcpy (frame + 8, log + 16, 8);
      add_sums (sums, frame, 8);
      add_sums (sums, frame + FRAME_HEADER_SIZE, PAGE_SIZE);
      set32 (frame + 16, sums[0]);
      set32 (frame + 20, sums[1]);
    }
}

static void
ignore (const char *domain, GLogLevelFlags level, const char *message, gpointer data)
{
}

static void
remove_beside (const char *path)
{
  static const char *const suffixes[] = { "-wal",         "-shm",         "-journal",
                                          "-wal.aside-1", "-wal.aside-2", "-journal.aside-1" };

  for (guint i = 0; i < G_N_ELEMENTS (suffixes); i++)
    {
      g_autofree char *name = beside (path, suffixes[i]);

      g_unlink (name);
    }
}

/* Dies in the middle of a transaction that has a journal, having written to the file. */
static void
die_in_transaction (Fixture *fixture)
{
  g_autofree char *key = persist_new (fixture, 5000, 1);
  sqlite3 *database;

  save_root (fixture, "root");
  release (fixture);
  database = open_database (fixture->path);
  sqlite3_exec (database,
                "PRAGMA cache_size = 1; BEGIN; "
                "UPDATE state SET record = CAST(substr(record, 1, 79) || x'7f' AS BLOB); "
                "WITH RECURSIVE n(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n LIMIT 50) "
                "INSERT INTO blob SELECT i, randomblob(3000) FROM n",
                NULL, NULL, NULL);
  kill (getpid (), SIGKILL);
}

/* A log or journal of the document's own that is wrong anywhere. */
static void
test_damaged_sidecar (Fixture *fixture, gconstpointer data)
{
  const char *suffix = data;
  const gboolean is_log = g_str_equal (suffix, "-wal");
  const guint n_cases = tests_are_whole () ? 700 : 100;
  g_autofree char *good = g_build_filename (fixture->directory, "good", NULL);
  g_autofree char *sidecar = beside (fixture->path, suffix);
  g_autofree char *good_bytes = NULL;
  guint handler;
  gsize size;

  run_and_die (is_log ? save_and_persist : die_in_transaction, fixture);
  g_assert_true (g_file_get_contents (sidecar, &good_bytes, &size, NULL));
  copy (fixture->path, good, TRUE);
  handler = g_log_set_handler ("backingstore-sqlite", G_LOG_LEVEL_MESSAGE, ignore, NULL);

  /* Without damage it is taken in. */
  track (fixture->backing, fixture->file);
  release (fixture);
  assert_folder (fixture->path, "document");

  for (guint i = 0; i < n_cases; i++)
    {
      g_autofree char *bad = g_memdup2 (good_bytes, size);
      gsize bad_size = size;

      damage (bad, size, is_log ? FRAME_HEADER_SIZE + PAGE_SIZE : PAGE_SIZE + 8);
      if (i % 8 == 0)
        bad_size = g_test_rand_int_range (1, size);
      else if (is_log && i % 4 != 1)
        sum_log (bad, size);
      copy (good, fixture->path, TRUE);
      g_file_set_contents_full (sidecar, bad, bad_size, G_FILE_SET_CONTENTS_NONE, 0600, NULL);
      use_anything (fixture);
      remove_beside (fixture->path);
    }
  g_log_remove_handler ("backingstore-sqlite", handler);
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

  add_test ("/sqlite/hostile-schema", NULL, test_hostile_schema);
  add_test ("/sqlite/damaged", NULL, test_damaged);
  add_test ("/sqlite/damaged-log", "-wal", test_damaged_sidecar);
  add_test ("/sqlite/damaged-journal", "-journal", test_damaged_sidecar);
  add_test ("/sqlite/endless-names", "i, randomblob(16), 0 name", test_endless_table);
  add_test ("/sqlite/endless-dropped", "i dropped", test_endless_table);
  add_test ("/sqlite/huge-length", GINT_TO_POINTER (FALSE), test_huge_length);
  add_test ("/sqlite/huge-length-sparse", GINT_TO_POINTER (TRUE), test_huge_length);
  add_test ("/sqlite/planted-links", NULL, test_planted_links);

  return g_test_run ();
}
