/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* A database that somebody prepared to hurt us, or that is damaged: errors, and nothing else. */

#include "sqlite-fixture.h"

#include <glib/gstdio.h>

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

static void
add_test (const char *path, gconstpointer data, void (*test) (Fixture *, gconstpointer))
{
  g_test_add (path, Fixture, data, set_up, test, tear_down);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);

  add_test ("/sqlite/hostile-schema", NULL, test_hostile_schema);
  add_test ("/sqlite/damaged", NULL, test_damaged);

  return g_test_run ();
}
