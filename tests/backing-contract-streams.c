/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "backing-contract-streams.h"

#include <string.h>
#include <unistd.h>

/* The contract of streams and files, for engines with functions of their own and for the
 * defaults. */

typedef struct
{
  char *directory;
  GFile *path;
  BsBacking *backing;
} Fixture;

/* Around the sizes at which an engine may change its ways. */
static const gsize sizes[] = { 0, 1, 4096, 65537, 512 * 1024, 512 * 1024 + 1, 5000000 };

static void
set_up (Fixture *fixture, gconstpointer data)
{
  const BackingKind *kind = data;
  g_autofree char *primary_name = NULL;
  g_autoptr (GFile) primary = NULL;

  alarm (100);
  fixture->directory = make_test_directory ();
  primary_name = g_build_filename (fixture->directory, "primary", NULL);
  primary = g_file_new_for_path (primary_name);
  fixture->path = backing_kind_locate (kind, primary, "persisted");
  fixture->backing = kind->create (primary);
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  g_assert_finalize_object (fixture->backing);
  g_object_unref (fixture->path);
  remove_test_directory (fixture->directory);
  g_free (fixture->directory);
  alarm (0);
}

static GFile *
make_file (Fixture *fixture, GBytes *bytes)
{
  GFile *file = g_file_new_build_filename (fixture->directory, "source", NULL);
  g_autoptr (GError) error = NULL;

  g_file_set_contents (g_file_peek_path (file), g_bytes_get_data (bytes, NULL),
                       g_bytes_get_size (bytes), &error);
  g_assert_no_error (error);

  return file;
}

static GBytes *
read_range (GInputStream *stream, goffset from, gsize count)
{
  g_autoptr (GError) error = NULL;
  guint8 *data = g_malloc (count + 1);
  gsize n_read;

  g_seekable_seek (G_SEEKABLE (stream), from, G_SEEK_SET, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (g_seekable_tell (G_SEEKABLE (stream)), ==, from);
  g_input_stream_read_all (stream, data, count, &n_read, NULL, &error);
  g_assert_no_error (error);

  return g_bytes_new_take (data, n_read);
}

static void
assert_streams (BsBacking *backing, const char *key, GBytes *expected)
{
  const gsize size = g_bytes_get_size (expected);
  g_autoptr (GError) error = NULL;
  g_autoptr (GInputStream) stream = bs_backing_read_stream (backing, key, NULL, &error);
  g_autoptr (GBytes) whole = NULL;
  g_autoptr (GBytes) tail = NULL;
  g_autoptr (GBytes) expected_tail = NULL;
  const gsize from = size / 3;

  g_assert_no_error (error);
  g_assert_true (g_seekable_can_seek (G_SEEKABLE (stream)));

  tail = read_range (stream, from, size);
  expected_tail = g_bytes_new_from_bytes (expected, from, size - from);
  g_assert_true (g_bytes_equal (tail, expected_tail));
  whole = read_range (stream, 0, size + 1);
  g_assert_true (g_bytes_equal (whole, expected));

  g_seekable_seek (G_SEEKABLE (stream), 0, G_SEEK_END, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (g_seekable_tell (G_SEEKABLE (stream)), ==, size);
  g_input_stream_close (stream, NULL, &error);
  g_assert_no_error (error);
}

/* Persists the blob, takes it out of scratch and back, and streams it. */
static void
assert_persists (Fixture *fixture, const char *key, GBytes *expected)
{
  g_autoptr (BsKeySet) found = list_path (fixture->backing, fixture->path);
  g_autoptr (GError) error = NULL;

  bs_backing_persist (fixture->backing, fixture->path, key, NULL, &error);
  g_assert_no_error (error);
  bs_backing_delete_key (fixture->backing, key, NULL, &error);
  g_assert_no_error (error);
  bs_backing_verify_persisted (fixture->backing, fixture->path, key, NULL, &error);
  g_assert_no_error (error);
  bs_backing_register_key (fixture->backing, fixture->path, key, NULL, &error);
  g_assert_no_error (error);

  assert_reads (fixture->backing, key, expected);
  assert_streams (fixture->backing, key, expected);
}

static void
test_write_stream (Fixture *fixture, gconstpointer data)
{
  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    for (int sized = 0; sized <= 1; sized++)
      {
        g_autoptr (GBytes) bytes = make_test_bytes (sizes[i], i);
        g_autoptr (GInputStream) stream = g_memory_input_stream_new_from_bytes (bytes);
        g_autofree char *key = bs_key_generate ();
        g_autoptr (GError) error = NULL;

        bs_backing_write_stream (fixture->backing, key, stream,
                                 sized ? (gint64) sizes[i] : (gint64) -1, NULL, &error);
        g_assert_no_error (error);
        g_assert_false (g_input_stream_is_closed (stream));

        assert_reads (fixture->backing, key, bytes);
        assert_streams (fixture->backing, key, bytes);
        assert_persists (fixture, key, bytes);
      }
}

static void
test_write_file (Fixture *fixture, gconstpointer data)
{
  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autoptr (GBytes) bytes = make_test_bytes (sizes[i], i);
      g_autoptr (GFile) file = make_file (fixture, bytes);
      g_autofree char *key = bs_key_generate ();
      g_autoptr (GError) error = NULL;

      bs_backing_write_file (fixture->backing, key, file, NULL, &error);
      g_assert_no_error (error);
      /* The file may change afterwards. */
      g_file_set_contents (g_file_peek_path (file), "changed", -1, &error);
      g_assert_no_error (error);

      assert_reads (fixture->backing, key, bytes);
      assert_streams (fixture->backing, key, bytes);
      assert_persists (fixture, key, bytes);
    }
}

/* A stream with a size is read up to there, and one that ends before that is no blob. */
static void
test_size (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GBytes) bytes = make_test_bytes (700000, 1);
  g_autoptr (GBytes) start = g_bytes_new_from_bytes (bytes, 0, 600000);
  g_autoptr (GInputStream) stream = g_memory_input_stream_new_from_bytes (bytes);
  g_autofree char *key = bs_key_generate ();
  g_autofree char *other = bs_key_generate ();
  g_autoptr (GError) error = NULL;

  bs_backing_write_stream (fixture->backing, key, stream, 600000, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (g_seekable_tell (G_SEEKABLE (stream)), ==, 600000);
  assert_reads (fixture->backing, key, start);

  g_assert_false (bs_backing_write_stream (fixture->backing, other, stream, 600000, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_PARTIAL_INPUT);
  g_assert_nonnull (strstr (error->message, other));
  assert_does_not_read (fixture->backing, other);
}

static void
test_exists (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GBytes) bytes = make_test_bytes (600000, 1);
  g_autoptr (GBytes) small = make_test_bytes (10, 2);
  g_autoptr (GFile) file = make_file (fixture, bytes);

  for (int i = 0; i < 2; i++)
    {
      g_autoptr (GInputStream) stream = g_memory_input_stream_new_from_bytes (bytes);
      GBytes *first = i == 0 ? bytes : small;
      g_autofree char *key = bs_key_generate ();
      g_autoptr (GError) error = NULL;

      bs_backing_write (fixture->backing, key, first, NULL, &error);
      g_assert_no_error (error);
      g_assert_false (bs_backing_write_stream (fixture->backing, key, stream, -1, NULL, &error));
      g_assert_error (error, BS_ERROR, BS_ERROR_EXISTS);
      g_clear_error (&error);
      g_assert_false (bs_backing_write_file (fixture->backing, key, file, NULL, &error));
      g_assert_error (error, BS_ERROR, BS_ERROR_EXISTS);

      assert_reads (fixture->backing, key, first);
    }
}

static void
test_errors (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GFile) missing = g_file_new_build_filename (fixture->directory, "missing", NULL);
  g_autoptr (GFile) folder = g_file_new_for_path (fixture->directory);
  g_autoptr (GInputStream) empty = g_memory_input_stream_new ();
  g_autoptr (GCancellable) cancelled = g_cancellable_new ();
  g_autofree char *key = bs_key_generate ();
  g_autoptr (GError) error = NULL;

  g_assert_null (bs_backing_read_stream (fixture->backing, key, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_NOT_FOUND);
  g_assert_nonnull (strstr (error->message, key));
  g_clear_error (&error);
  g_assert_null (bs_backing_read_stream (fixture->backing, "no key", NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_INVALID_KEY);
  g_clear_error (&error);
  g_assert_false (bs_backing_write_stream (fixture->backing, "no key", empty, -1, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_INVALID_KEY);
  g_clear_error (&error);
  g_assert_false (bs_backing_write_file (fixture->backing, "no key", folder, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_INVALID_KEY);
  g_clear_error (&error);

  g_assert_false (bs_backing_write_file (fixture->backing, key, missing, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
  g_assert_nonnull (strstr (error->message, key));
  g_clear_error (&error);
  g_assert_false (bs_backing_write_file (fixture->backing, key, folder, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_IS_DIRECTORY);
  g_clear_error (&error);

  g_cancellable_cancel (cancelled);
  g_assert_false (bs_backing_write_stream (fixture->backing, key, empty, -1, cancelled, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  assert_does_not_read (fixture->backing, key);

  /* None of these has left anything that is in the way. */
  g_clear_error (&error);
  bs_backing_write_stream (fixture->backing, key, empty, -1, NULL, &error);
  g_assert_no_error (error);
}

/* An open stream is not disturbed by other calls for its key. */
static void
test_beside (Fixture *fixture, gconstpointer data)
{
  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autoptr (GBytes) bytes = make_test_bytes (sizes[i], i);
      g_autoptr (BsKeySet) found = list_path (fixture->backing, fixture->path);
      g_autofree char *key = bs_key_generate ();
      g_autoptr (GInputStream) stream = NULL;
      g_autoptr (GError) error = NULL;
      g_autoptr (GBytes) part = NULL;
      g_autoptr (GBytes) whole = NULL;

      bs_backing_write (fixture->backing, key, bytes, NULL, &error);
      g_assert_no_error (error);
      stream = bs_backing_read_stream (fixture->backing, key, NULL, &error);
      g_assert_no_error (error);
      part = read_range (stream, 0, sizes[i] / 2);
      bs_backing_persist (fixture->backing, fixture->path, key, NULL, &error);
      g_assert_no_error (error);
      bs_backing_sync_persisted (fixture->backing, fixture->path, NULL, &error);
      g_assert_no_error (error);
      bs_backing_delete_persisted (fixture->backing, fixture->path, key, NULL, &error);
      g_assert_no_error (error);

      whole = read_range (stream, 0, sizes[i] + 1);
      g_assert_true (g_bytes_equal (whole, bytes));
    }
}

void
backing_contract_add_stream_tests (const BackingKind *kind)
{
  static const struct
  {
    const char *name;
    void (*func) (Fixture *fixture, gconstpointer data);
  } tests[] = {
    { "write-stream", test_write_stream }, { "write-file", test_write_file },
    { "stream-size", test_size },          { "stream-exists", test_exists },
    { "stream-errors", test_errors },      { "stream-beside", test_beside },
  };

  for (guint i = 0; i < G_N_ELEMENTS (tests); i++)
    {
      g_autofree char *path = g_strdup_printf ("%s/contract/%s", kind->prefix, tests[i].name);

      g_test_add (path, Fixture, kind, set_up, tests[i].func, tear_down);
    }
}
