/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* Large contents in the engine "sqlite:", which has them in rows and never whole in memory. */

#include "peak.h"
#include "sqlite-fixture.h"

#include <dlfcn.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

/* Larger than what the engine holds in memory. */
#define LARGE 6000000
/* A content that is larger has several rows of this size, and one that is smaller. */
#define ROW_SIZE (16 * 1024 * 1024)
#define SUM "SELECT count(*) || ' ' || sum(length(content)) || ' ' || min(id) FROM blob"

/* Cancelled where this thread looks at it so often. */
static __thread GCancellable *cancelled;
static __thread guint n_looks;

/* In place of GIO's, for what is linked into this program, and for modules. */
gboolean
g_cancellable_set_error_if_cancelled (GCancellable *cancellable, GError **error)
{
  static gpointer symbol;

  if (g_atomic_pointer_get (&symbol) == NULL)
    g_atomic_pointer_set (&symbol, dlsym (RTLD_NEXT, "g_cancellable_set_error_if_cancelled"));
  if (cancellable != NULL && cancellable == cancelled && n_looks > 0 && --n_looks == 0)
    g_cancellable_cancel (cancellable);
  return ((gboolean (*) (GCancellable *, GError **)) g_atomic_pointer_get (&symbol)) (cancellable,
                                                                                      error);
}

static char *
persist_large (Fixture *fixture, GBytes *bytes)
{
  g_autoptr (GError) error = NULL;
  char *key = write_streamed (fixture->backing, bytes);

  bs_backing_persist (fixture->backing, fixture->file, key, NULL, &error);
  g_assert_no_error (error);

  return key;
}

static void
assert_streams (BsBacking *backing, const char *key, GBytes *expected)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GInputStream) stream = bs_backing_read_stream (backing, key, NULL, &error);
  gsize size = g_bytes_get_size (expected);
  g_autofree guint8 *data = g_malloc (size + 1);
  gsize n_read;

  g_assert_no_error (error);
  g_input_stream_read_all (stream, data, size + 1, &n_read, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpmem (data, n_read, g_bytes_get_data (expected, NULL), size);
}

/* Any SQLite reads the row. */
static void
test_row (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GBytes) bytes = make_test_bytes (LARGE, 1);
  g_autofree char *key = NULL;

  track (fixture->backing, fixture->file);
  key = persist_large (fixture, bytes);
  assert_reads (fixture->backing, key, bytes);
  assert_streams (fixture->backing, key, bytes);
  save_root (fixture, "root");
  release (fixture);
  assert_reads (fixture->backing, key, bytes);
  assert_streams (fixture->backing, key, bytes);
  assert_sql (fixture->path, "SELECT length(content) FROM blob", "6000000");
  assert_n_keys (fixture, 1);
}

static void
test_corrupt (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GBytes) bytes = make_test_bytes (LARGE, 1);
  g_autoptr (GError) error = NULL;
  g_autofree char *key = NULL;

  track (fixture->backing, fixture->file);
  key = persist_large (fixture, bytes);
  bs_backing_delete_key (fixture->backing, key, NULL, NULL);
  release (fixture);
  run_sql (fixture->path, "UPDATE blob SET content = zeroblob(6000000)");
  track (fixture->backing, fixture->file);
  bs_backing_register_key (fixture->backing, fixture->file, key, NULL, &error);
  g_assert_no_error (error);

  g_assert_null (bs_backing_read_stream (fixture->backing, key, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_CORRUPT);
  g_clear_error (&error);
  g_assert_false (bs_backing_verify_persisted (fixture->backing, fixture->file, key, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_CORRUPT);
  assert_n_keys (fixture, 0);
}

/* From one document to another, and beside the release of the first. */
static void
test_two_documents (Fixture *fixture, gconstpointer data)
{
  g_autofree char *other = beside (fixture->path, "-other");
  g_autoptr (GFile) there = g_file_new_for_path (other);
  g_autoptr (GBytes) bytes = make_test_bytes (LARGE, 1);
  g_autoptr (GInputStream) stream = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *key = NULL;
  g_autofree guint8 *read = g_malloc (LARGE);
  gsize n_read;

  track (fixture->backing, fixture->file);
  track (fixture->backing, there);
  key = persist_large (fixture, bytes);
  bs_backing_persist (fixture->backing, there, key, NULL, &error);
  g_assert_no_error (error);
  bs_backing_verify_persisted (fixture->backing, there, key, NULL, &error);
  g_assert_no_error (error);

  stream = bs_backing_read_stream (fixture->backing, key, NULL, &error);
  g_assert_no_error (error);
  release (fixture);
  bs_backing_delete_key (fixture->backing, key, NULL, &error);
  g_assert_no_error (error);
  g_input_stream_read_all (stream, read, LARGE, &n_read, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpmem (read, n_read, g_bytes_get_data (bytes, NULL), LARGE);

  bs_backing_register_key (fixture->backing, there, key, NULL, &error);
  g_assert_no_error (error);
  assert_streams (fixture->backing, key, bytes);
}

/* A content in parts goes in as a stream, as bytes in scratch and as bytes that are in memory
 * only, and is like any other. */
static void
test_parts (Fixture *fixture, gconstpointer data)
{
  static const struct
  {
    gsize size;
    const char *rows;
  } cases[] = {
    { ROW_SIZE, "1 16777216 1" },
    { ROW_SIZE + 1, "2 16777217 -1048576" },
    { 2 * ROW_SIZE, "3 33554432 -1048576" },
    { 2 * ROW_SIZE + 5, "3 33554437 -1048576" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GBytes) bytes = make_test_bytes (cases[i].size, i + 1);
      g_autoptr (GError) error = NULL;
      g_autofree char *key = NULL;

      track (fixture->backing, fixture->file);
      if (i % 2 == 0)
        {
          key = persist_large (fixture, bytes);
        }
      else
        {
          key = bs_key_generate ();
          bs_backing_persist_bytes (fixture->backing, fixture->file, key, bytes, NULL, &error);
          g_assert_no_error (error);
        }
      save_root (fixture, "root");
      assert_sql (fixture->path, SUM, cases[i].rows);
      release (fixture);

      track (fixture->backing, fixture->file);
      assert_n_keys (fixture, 1);
      bs_backing_verify_persisted (fixture->backing, fixture->file, key, NULL, &error);
      g_assert_no_error (error);
      assert_reads (fixture->backing, key, bytes);
      assert_streams (fixture->backing, key, bytes);
      bs_backing_delete_persisted (fixture->backing, fixture->file, key, NULL, &error);
      g_assert_no_error (error);
      bs_backing_delete_key (fixture->backing, key, NULL, &error);
      g_assert_no_error (error);
      release (fixture);
      assert_sql (fixture->path, "SELECT count(*) FROM blob", "0");
      assert_sql (fixture->path, "SELECT count(*) FROM dropped", "0");
    }
}

/* In one call with small ones, from scratch and from memory, and a content whose document was
 * released. */
static void
test_parts_among_others (Fixture *fixture, gconstpointer data)
{
  g_autofree char *other = beside (fixture->path, "-other");
  g_autoptr (GFile) there = g_file_new_for_path (other);
  g_autoptr (GBytes) small = make_test_bytes (10, 1);
  g_autoptr (GBytes) large = make_test_bytes (ROW_SIZE + 100, 2);
  g_autofree char *small_key = write_new (fixture->backing, small);
  g_autofree char *written_key = write_new (fixture->backing, large);
  g_autofree char *large_key = bs_key_generate ();
  g_autoptr (BsKeySet) keys = bs_key_set_new ();
  g_autoptr (GHashTable) contents = g_hash_table_new (g_str_hash, g_str_equal);
  g_autoptr (GError) error = NULL;

  bs_key_set_add (keys, small_key, NULL);
  bs_key_set_add (keys, written_key, NULL);
  bs_key_set_add (keys, large_key, NULL);
  g_hash_table_insert (contents, large_key, large);
  track (fixture->backing, fixture->file);
  bs_backing_persist_keys (fixture->backing, fixture->file, keys, contents, NULL, &error);
  g_assert_no_error (error);
  assert_n_keys (fixture, 3);
  assert_sql (fixture->path, SUM, "5 33554642 -2097152");
  release (fixture);
  assert_reads (fixture->backing, large_key, large);

  track (fixture->backing, there);
  bs_backing_persist (fixture->backing, there, large_key, NULL, &error);
  g_assert_no_error (error);
  assert_reads (fixture->backing, large_key, large);
  bs_backing_release_path (fixture->backing, there, NULL, NULL);
  assert_sql (other, SUM, "2 16777316 -1048576");
}

/* A process that died while it added one leaves parts of it. */
static void
test_unfinished_parts (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GBytes) bytes = make_test_bytes (ROW_SIZE + 1, 1);
  g_autofree char *key = NULL;

  track (fixture->backing, fixture->file);
  key = persist_large (fixture, bytes);
  release (fixture);
  run_sql (fixture->path, "INSERT INTO blob VALUES(-2097152, zeroblob(16777216)), "
                          "(-2097151, zeroblob(16777216)), (-1048577, x'00')");
  run_sql (fixture->path, "INSERT INTO dropped VALUES(-2097152)");

  track (fixture->backing, fixture->file);
  assert_n_keys (fixture, 1);
  assert_reads (fixture->backing, key, bytes);
  release (fixture);
  assert_sql (fixture->path, SUM, "2 16777217 -1048576");
  assert_sql (fixture->path, "SELECT count(*) FROM dropped", "0");
}

static void
test_damaged_parts (Fixture *fixture, gconstpointer data)
{
  static const char *const damages[] = {
    "DELETE FROM blob WHERE id = -1048575",
    "DELETE FROM blob WHERE id = -1048576",
    "UPDATE blob SET content = zeroblob(16777215) WHERE id = -1048576",
    "UPDATE blob SET content = zeroblob(16777217) WHERE id = -1048576",
    "UPDATE blob SET content = zeroblob(16777216) WHERE id = -1048576",
    "UPDATE blob SET content = zeroblob(16777216) WHERE id = -1048575",
    "UPDATE blob SET content = zeroblob(2) WHERE id = -1048575",
  };

  for (guint i = 0; i < G_N_ELEMENTS (damages); i++)
    {
      g_autoptr (GBytes) bytes = make_test_bytes (ROW_SIZE + 1, 1);
      g_autoptr (GError) error = NULL;
      g_autofree char *key = NULL;

      track (fixture->backing, fixture->file);
      key = persist_large (fixture, bytes);
      bs_backing_delete_key (fixture->backing, key, NULL, NULL);
      release (fixture);
      run_sql (fixture->path, damages[i]);

      track (fixture->backing, fixture->file);
      bs_backing_register_key (fixture->backing, fixture->file, key, NULL, &error);
      g_assert_no_error (error);
      g_assert_null (bs_backing_read (fixture->backing, key, NULL, &error));
      g_assert_error (error, BS_ERROR, BS_ERROR_CORRUPT);
      g_clear_error (&error);
      g_assert_null (bs_backing_read_stream (fixture->backing, key, NULL, &error));
      g_assert_error (error, BS_ERROR, BS_ERROR_CORRUPT);
      g_clear_error (&error);
      g_assert_false (
        bs_backing_verify_persisted (fixture->backing, fixture->file, key, NULL, &error));
      g_assert_error (error, BS_ERROR, BS_ERROR_CORRUPT);
      assert_n_keys (fixture, 0);
      bs_backing_delete_key (fixture->backing, key, NULL, NULL);
      release (fixture);
      run_sql (fixture->path, "DELETE FROM blob; DELETE FROM quarantine");
    }
}

/* A number of no first part, in any table of such. */
static void
test_impossible_parts (Fixture *fixture, gconstpointer data)
{
  static const char *const damages[] = {
    "INSERT INTO name VALUES(-1048575, zeroblob(16), 0)",
    "INSERT INTO name VALUES(0, zeroblob(16), 0)",
    "DELETE FROM name; INSERT INTO dropped VALUES(-1)",
    "DELETE FROM dropped; INSERT INTO blob VALUES(-9223372036854775807, x'00')",
  };

  track (fixture->backing, fixture->file);
  release (fixture);
  for (guint i = 0; i < G_N_ELEMENTS (damages); i++)
    {
      run_sql (fixture->path, damages[i]);
      assert_track_fails (fixture->backing, fixture->file, BS_ERROR, BS_ERROR_CORRUPT);
    }
}

/* A large content is left between its parts, and in the middle of one. */
static void
test_cancelled (Fixture *fixture, gconstpointer data)
{
  static const guint looks[] = { 1, 2, 40, 65, 66, 67, 100, 130, 132 };
  g_autoptr (GBytes) bytes = make_test_bytes (2 * ROW_SIZE + 1, 1);
  g_autofree char *key = write_streamed (fixture->backing, bytes);
  g_autoptr (GError) error = NULL;

  track (fixture->backing, fixture->file);
  for (guint i = 0; i < G_N_ELEMENTS (looks); i++)
    {
      g_autoptr (GCancellable) cancellable = g_cancellable_new ();

      cancelled = cancellable;
      n_looks = looks[i];
      g_assert_false (
        bs_backing_persist (fixture->backing, fixture->file, key, cancellable, &error));
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
      g_clear_error (&error);
      assert_n_keys (fixture, 0);
      assert_reads (fixture->backing, key, bytes);
    }
  cancelled = NULL;

  bs_backing_persist (fixture->backing, fixture->file, key, NULL, &error);
  g_assert_no_error (error);
  assert_n_keys (fixture, 1);
  assert_streams (fixture->backing, key, bytes);
  release (fixture);
  assert_sql (fixture->path, "SELECT count(*) || ' ' || sum(length(content)) FROM blob",
              "3 33554433");
  assert_sql (fixture->path, "SELECT count(*) FROM dropped", "0");
}

/* Some of many blobs, or none, are there for a caller that has left. */
static void
test_many_cancelled (Fixture *fixture, gconstpointer data)
{
  const guint n = 20;
  g_autoptr (BsKeySet) keys = bs_key_set_new ();
  g_autoptr (GHashTable) contents = g_hash_table_new (g_str_hash, g_str_equal);
  g_autoptr (GError) error = NULL;

  track (fixture->backing, fixture->file);
  for (guint i = 0; i < n; i++)
    {
      g_autoptr (GBytes) bytes = make_test_bytes (100, i);
      g_autofree char *key = write_new (fixture->backing, bytes);

      bs_key_set_add (keys, key, NULL);
    }
  for (guint i = 1; i <= n; i++)
    {
      g_autoptr (GCancellable) cancellable = g_cancellable_new ();

      cancelled = cancellable;
      n_looks = i;
      g_assert_false (bs_backing_persist_keys (fixture->backing, fixture->file, keys, contents,
                                               cancellable, &error));
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
      g_clear_error (&error);
      assert_n_keys (fixture, 0);
    }
  cancelled = NULL;

  bs_backing_persist_keys (fixture->backing, fixture->file, keys, contents, NULL, &error);
  g_assert_no_error (error);
  assert_n_keys (fixture, n);
}

static guint64
get_n_restored (Fixture *fixture)
{
  guint64 n_restored;

  g_object_get (fixture->backing, "n-restored", &n_restored, NULL);
  return n_restored;
}

/* Contents in quarantine, of one row and in parts, are put back where they are whole again, the
 * document can be changed and their keys have no other content. */
static void
test_restores (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GBytes) small = make_test_bytes (10, 1);
  g_autoptr (GBytes) large = make_test_bytes (ROW_SIZE + 1, 2);
  g_autofree char *small_key = NULL;
  g_autofree char *large_key = NULL;
  g_autofree char *other_key = NULL;

  track (fixture->backing, fixture->file);
  small_key = persist_new (fixture, 10, 1);
  other_key = persist_new (fixture, 20, 3);
  large_key = persist_large (fixture, large);
  release (fixture);
  run_sql (fixture->path, "INSERT INTO quarantine SELECT * FROM name; DELETE FROM name; "
                          "UPDATE blob SET content = zeroblob(20) WHERE id = 2");

  track (fixture->backing, fixture->file);
  assert_n_keys (fixture, 0);
  release (fixture);

  g_object_set (fixture->backing, "restores", TRUE, "read-only", TRUE, NULL);
  track (fixture->backing, fixture->file);
  assert_n_keys (fixture, 0);
  g_assert_cmpuint (get_n_restored (fixture), ==, 2);
  release (fixture);

  g_object_set (fixture->backing, "read-only", FALSE, NULL);
  track (fixture->backing, fixture->file);
  assert_n_keys (fixture, 2);
  g_assert_cmpuint (get_n_restored (fixture), ==, 4);
  assert_reads (fixture->backing, small_key, small);
  assert_reads (fixture->backing, large_key, large);
  release (fixture);
  assert_sql (fixture->path, "SELECT group_concat(id) FROM quarantine", "2");

  run_sql (fixture->path,
           "INSERT INTO quarantine SELECT id + 10, key, hash FROM name WHERE id = 1; "
           "INSERT INTO blob SELECT id + 10, content FROM blob WHERE id = 1");
  track (fixture->backing, fixture->file);
  g_assert_cmpuint (get_n_restored (fixture), ==, 4);
  release (fixture);
  assert_sql (fixture->path, "SELECT group_concat(id) FROM quarantine", "2,11");
}

/* The limit is told before anything is read, where the size is known. */
static void
test_too_large (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GInputStream) empty = g_memory_input_stream_new ();
  g_autofree char *key = bs_key_generate ();
  g_autoptr (GError) error = NULL;

  g_assert_false (bs_backing_write_stream (fixture->backing, key, empty,
                                           G_GINT64_CONSTANT (16) << 40, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_NOT_SUPPORTED);
  g_assert_nonnull (strstr (error->message, "17592186044415"));
  assert_does_not_read (fixture->backing, key);
}

static void
test_memory (Fixture *fixture, gconstpointer data)
{
  const goffset size = tests_are_whole () ? G_GINT64_CONSTANT (2500000000) : 100000000;
  g_autofree char *path = g_build_filename (fixture->directory, "source", NULL);
  g_autofree char *key = bs_key_generate ();
  g_autoptr (GFile) file = g_file_new_for_path (path);
  g_autoptr (GInputStream) stream = NULL;
  g_autofree guint8 *part = g_malloc (100000);
  g_autoptr (GError) error = NULL;
  guint64 before = peak_start ();
  goffset n_read = 0;
  gssize n;

  if (before == 0 || !peak_is_ours ())
    {
      g_test_skip ("the peak of the resident size is not to be had");
      return;
    }

  g_assert_true (g_file_set_contents (path, "", 0, NULL));
  g_assert_cmpint (truncate (path, size), ==, 0);
  track (fixture->backing, fixture->file);
  bs_backing_write_file (fixture->backing, key, file, NULL, &error);
  g_assert_no_error (error);
  bs_backing_persist (fixture->backing, fixture->file, key, NULL, &error);
  g_assert_no_error (error);
  save_root (fixture, "root");
  bs_backing_verify_persisted (fixture->backing, fixture->file, key, NULL, &error);
  g_assert_no_error (error);
  stream = bs_backing_read_stream (fixture->backing, key, NULL, &error);
  g_assert_no_error (error);
  while ((n = g_input_stream_read (stream, part, 100000, NULL, &error)) > 0)
    n_read += n;
  g_assert_no_error (error);
  g_assert_cmpint (n_read, ==, size);
  release (fixture);

  g_assert_cmpuint (peak_get (before), <, 32 * 1024 * 1024);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add ("/sqlite-streams/row", Fixture, NULL, set_up, test_row, tear_down);
  g_test_add ("/sqlite-streams/corrupt", Fixture, NULL, set_up, test_corrupt, tear_down);
  g_test_add ("/sqlite-streams/two-documents", Fixture, NULL, set_up, test_two_documents,
              tear_down);
  g_test_add ("/sqlite-streams/parts", Fixture, NULL, set_up, test_parts, tear_down);
  g_test_add ("/sqlite-streams/parts-among-others", Fixture, NULL, set_up, test_parts_among_others,
              tear_down);
  g_test_add ("/sqlite-streams/unfinished-parts", Fixture, NULL, set_up, test_unfinished_parts,
              tear_down);
  g_test_add ("/sqlite-streams/damaged-parts", Fixture, NULL, set_up, test_damaged_parts,
              tear_down);
  g_test_add ("/sqlite-streams/impossible-parts", Fixture, NULL, set_up, test_impossible_parts,
              tear_down);
  g_test_add ("/sqlite-streams/cancelled", Fixture, NULL, set_up, test_cancelled, tear_down);
  g_test_add ("/sqlite-streams/many-cancelled", Fixture, NULL, set_up, test_many_cancelled,
              tear_down);
  g_test_add ("/sqlite-streams/restores", Fixture, NULL, set_up, test_restores, tear_down);
  g_test_add ("/sqlite-streams/too-large", Fixture, NULL, set_up, test_too_large, tear_down);
  g_test_add ("/sqlite-streams/memory", Fixture, NULL, set_up, test_memory, tear_down);

  return g_test_run ();
}
