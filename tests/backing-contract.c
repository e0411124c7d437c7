/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "backing-contract.h"

#include "backing-contract-streams.h"

#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct
{
  char *directory;
  GFile *primary;
  GFile *path;
  BsBacking *backing;
} Fixture;

gboolean
tests_are_whole (void)
{
  return g_test_slow () || g_strcmp0 (g_getenv ("BACKINGSTORE_TESTS"), "whole") == 0;
}

char *
make_test_directory (void)
{
  g_autoptr (GError) error = NULL;
  char *directory = g_dir_make_tmp ("backingstore-test-XXXXXX", &error);

  g_assert_no_error (error);

  return directory;
}

static int
remove_visited (const char *path, const struct stat *status, int type, struct FTW *where)
{
  return remove (path);
}

void
remove_test_directory (const char *path)
{
  g_assert_cmpint (nftw (path, remove_visited, 32, FTW_DEPTH | FTW_PHYS), ==, 0);
}

GBytes *
make_test_bytes (gsize size, guint seed)
{
  guint8 *data = g_malloc (size);

  for (gsize i = 0; i < size; i++)
    data[i] = (i * 31 + seed * 7) >> 2;

  return g_bytes_new_take (data, size);
}

char *
write_streamed (BsBacking *backing, GBytes *bytes)
{
  g_autoptr (GInputStream) stream = g_memory_input_stream_new_from_bytes (bytes);
  g_autoptr (GError) error = NULL;
  char *key = bs_key_generate ();

  bs_backing_write_stream (backing, key, stream, -1, NULL, &error);
  g_assert_no_error (error);

  return key;
}

void
assert_reads (BsBacking *backing, const char *key, GBytes *expected)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = bs_backing_read (backing, key, NULL, &error);

  g_assert_no_error (error);
  g_assert_nonnull (bytes);
  g_assert_true (g_bytes_equal (bytes, expected));
}

void
assert_does_not_read (BsBacking *backing, const char *key)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = bs_backing_read (backing, key, NULL, &error);

  g_assert_error (error, BS_ERROR, BS_ERROR_NOT_FOUND);
  g_assert_null (bytes);
  g_assert_nonnull (strstr (error->message, key));
}

BsKeySet *
list_path (BsBacking *backing, GFile *path)
{
  g_autoptr (GError) error = NULL;
  BsKeySet *found = bs_key_set_new ();

  bs_backing_sanitize_path (backing, path, found, NULL, &error);
  g_assert_no_error (error);

  return found;
}

static void
assert_listed (Fixture *fixture, const char *key, guint64 n_keys)
{
  g_autoptr (BsKeySet) found = list_path (fixture->backing, fixture->path);

  g_assert_cmpuint (bs_key_set_get_n_keys (found), ==, n_keys);
  if (key != NULL)
    g_assert_true (bs_key_set_contains_key (found, key));
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

GFile *
backing_kind_locate (const BackingKind *kind, GFile *primary, const char *name)
{
  g_autoptr (GFile) parent = g_file_get_parent (primary);

  return kind->locate != NULL ? kind->locate (primary, name) : g_file_get_child (parent, name);
}

static void
set_up (Fixture *fixture, gconstpointer data)
{
  const BackingKind *kind = data;
  g_autofree char *primary = NULL;

  alarm (100);
  fixture->directory = make_test_directory ();
  primary = g_build_filename (fixture->directory, "primary", NULL);
  fixture->primary = g_file_new_for_path (primary);
  fixture->path = backing_kind_locate (kind, fixture->primary, "persisted");
  fixture->backing = kind->create (fixture->primary);
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  g_assert_finalize_object (fixture->backing);
  g_object_unref (fixture->primary);
  g_object_unref (fixture->path);
  remove_test_directory (fixture->directory);
  g_free (fixture->directory);
  alarm (0);
}

static void
test_write (Fixture *fixture, gconstpointer data)
{
  static const gsize sizes[] = { 0, 1, 4096, 4097, 3 * 1024 * 1024 };

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GBytes) bytes = make_test_bytes (sizes[i], i);
      g_autoptr (GBytes) other = make_test_bytes (17, i + 1);
      g_autofree char *key = write_new (fixture->backing, bytes);
      g_autofree char *upper = g_ascii_strup (key, -1);

      assert_reads (fixture->backing, key, bytes);
      assert_reads (fixture->backing, upper, bytes);

      g_assert_false (bs_backing_write (fixture->backing, key, other, NULL, &error));
      g_assert_error (error, BS_ERROR, BS_ERROR_EXISTS);
      assert_reads (fixture->backing, key, bytes);
    }
}

static void
test_delete_key (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = make_test_bytes (100, 1);
  g_autofree char *never = bs_key_generate ();
  g_autofree char *key = write_new (fixture->backing, bytes);

  g_assert_true (bs_backing_delete_key (fixture->backing, never, NULL, &error));
  g_assert_no_error (error);
  assert_does_not_read (fixture->backing, never);

  for (guint i = 0; i < 2; i++)
    {
      g_assert_true (bs_backing_delete_key (fixture->backing, key, NULL, &error));
      g_assert_no_error (error);
      assert_does_not_read (fixture->backing, key);
    }

  g_assert_true (bs_backing_write (fixture->backing, key, bytes, NULL, &error));
  g_assert_no_error (error);
  assert_reads (fixture->backing, key, bytes);
}

static void
test_persist (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = make_test_bytes (5000, 1);
  g_autofree char *never = bs_key_generate ();
  g_autofree char *key = write_new (fixture->backing, bytes);

  assert_listed (fixture, NULL, 0);

  g_assert_false (bs_backing_persist (fixture->backing, fixture->path, never, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_NOT_FOUND);
  g_clear_error (&error);
  assert_listed (fixture, NULL, 0);

  for (guint i = 0; i < 2; i++)
    {
      g_assert_true (bs_backing_persist (fixture->backing, fixture->path, key, NULL, &error));
      g_assert_no_error (error);
      assert_listed (fixture, key, 1);
    }

  g_assert_true (bs_backing_sync_persisted (fixture->backing, fixture->path, NULL, &error));
  g_assert_no_error (error);

  /* The blob stays when the scratch goes, and is still there to be persisted. */
  g_assert_true (bs_backing_delete_key (fixture->backing, key, NULL, &error));
  assert_does_not_read (fixture->backing, key);
  g_assert_true (bs_backing_persist (fixture->backing, fixture->path, key, NULL, &error));
  g_assert_no_error (error);
  assert_listed (fixture, key, 1);

  g_assert_true (bs_backing_register_key (fixture->backing, fixture->path, key, NULL, &error));
  g_assert_no_error (error);
  assert_reads (fixture->backing, key, bytes);
}

/* The blob is in primary storage and at the path, and is known by its first content. */
static void
test_persist_bytes (Fixture *fixture, gconstpointer data)
{
  static const gsize sizes[] = { 0, 1, 5000, 3 * 1024 * 1024 };

  assert_listed (fixture, NULL, 0);
  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GBytes) bytes = make_test_bytes (sizes[i], i);
      g_autoptr (GBytes) other = make_test_bytes (17, i + 1);
      g_autofree char *key = bs_key_generate ();

      for (guint repeat = 0; repeat < 2; repeat++)
        {
          g_assert_true (bs_backing_persist_bytes (fixture->backing, fixture->path, key,
                                                   repeat == 0 ? bytes : other, NULL, &error));
          g_assert_no_error (error);
          assert_reads (fixture->backing, key, bytes);
          assert_listed (fixture, key, i + 1);
        }
      g_assert_true (bs_backing_sync_persisted (fixture->backing, fixture->path, NULL, &error));
      g_assert_no_error (error);

      /* The path keeps its blob without primary storage, and the other way round. */
      g_assert_true (bs_backing_delete_key (fixture->backing, key, NULL, &error));
      g_assert_no_error (error);
      assert_does_not_read (fixture->backing, key);
      g_assert_true (bs_backing_register_key (fixture->backing, fixture->path, key, NULL, &error));
      g_assert_no_error (error);
      assert_reads (fixture->backing, key, bytes);
    }
}

/* A blob of primary storage only, and one of the path only. */
static void
test_persist_bytes_known (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = make_test_bytes (5000, 1);
  g_autofree char *written = write_new (fixture->backing, bytes);
  g_autofree char *persisted = bs_key_generate ();

  assert_listed (fixture, NULL, 0);
  g_assert_true (
    bs_backing_persist_bytes (fixture->backing, fixture->path, written, bytes, NULL, &error));
  g_assert_no_error (error);
  assert_listed (fixture, written, 1);
  assert_reads (fixture->backing, written, bytes);

  g_assert_true (
    bs_backing_persist_bytes (fixture->backing, fixture->path, persisted, bytes, NULL, &error));
  g_assert_true (bs_backing_delete_key (fixture->backing, persisted, NULL, &error));
  g_assert_true (
    bs_backing_persist_bytes (fixture->backing, fixture->path, persisted, bytes, NULL, &error));
  g_assert_no_error (error);
  assert_listed (fixture, persisted, 2);
  assert_reads (fixture->backing, persisted, bytes);

  for (guint i = 0; i < 2; i++)
    {
      const char *key = i == 0 ? written : persisted;

      g_assert_true (
        bs_backing_delete_persisted (fixture->backing, fixture->path, key, NULL, &error));
      g_assert_no_error (error);
      assert_reads (fixture->backing, key, bytes);
    }
}

typedef struct
{
  BsKeySet *keys;
  GHashTable *contents;
} Batch;

static void
batch_add (Batch *batch, const char *key, GBytes *content)
{
  g_assert_true (bs_key_set_add (batch->keys, key, NULL));
  if (content != NULL)
    g_hash_table_insert (batch->contents, g_strdup (key), g_bytes_ref (content));
}

/* Many blobs at once: of primary storage, of memory, of the path already. */
static void
test_persist_keys (Fixture *fixture, gconstpointer data)
{
  enum
  {
    N_EACH = 60,
    N = 4 * N_EACH
  };
  g_autoptr (GError) error = NULL;
  g_autoptr (BsKeySet) keys = bs_key_set_new ();
  g_autoptr (GHashTable) contents =
    g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) g_bytes_unref);
  Batch batch = { keys, contents };
  GBytes *bytes[N];
  char *strings[N];

  assert_listed (fixture, NULL, 0);
  for (guint i = 0; i < N; i++)
    {
      bytes[i] = make_test_bytes (i % 7 == 0 ? 0 : i * 150, i);
      strings[i] = i % 2 == 0 ? write_new (fixture->backing, bytes[i]) : bs_key_generate ();
      if (i % 4 == 2)
        g_assert_true (
          bs_backing_persist (fixture->backing, fixture->path, strings[i], NULL, &error));
      if (i % 4 == 3)
        g_assert_true (bs_backing_persist_bytes (fixture->backing, fixture->path, strings[i],
                                                 bytes[i], NULL, &error));
      g_assert_no_error (error);
      batch_add (&batch, strings[i], i % 2 == 0 ? NULL : bytes[i]);
    }

  for (guint repeat = 0; repeat < 2; repeat++)
    {
      g_assert_true (
        bs_backing_persist_keys (fixture->backing, fixture->path, keys, contents, NULL, &error));
      g_assert_no_error (error);
      assert_listed (fixture, strings[0], N);
      for (guint i = 0; i < N; i++)
        assert_reads (fixture->backing, strings[i], bytes[i]);
    }
  g_assert_true (bs_backing_sync_persisted (fixture->backing, fixture->path, NULL, &error));
  g_assert_no_error (error);

  for (guint i = 0; i < N; i++)
    {
      g_assert_true (bs_backing_delete_key (fixture->backing, strings[i], NULL, &error));
      g_assert_true (
        bs_backing_register_key (fixture->backing, fixture->path, strings[i], NULL, &error));
      g_assert_no_error (error);
      assert_reads (fixture->backing, strings[i], bytes[i]);
      g_bytes_unref (bytes[i]);
      g_free (strings[i]);
    }
}

/* A key that is nowhere fails the call; the others can be persisted after that. */
static void
test_persist_keys_missing (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (BsKeySet) keys = bs_key_set_new ();
  g_autoptr (GHashTable) contents =
    g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) g_bytes_unref);
  g_autoptr (GBytes) bytes = make_test_bytes (5000, 1);
  g_autofree char *written = write_new (fixture->backing, bytes);
  g_autofree char *never = bs_key_generate ();
  g_autofree char *direct = bs_key_generate ();
  Batch batch = { keys, contents };

  assert_listed (fixture, NULL, 0);
  batch_add (&batch, written, NULL);
  batch_add (&batch, direct, bytes);
  batch_add (&batch, never, NULL);
  g_assert_false (
    bs_backing_persist_keys (fixture->backing, fixture->path, keys, contents, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_NOT_FOUND);
  g_assert_nonnull (strstr (error->message, never));
  g_clear_error (&error);

  g_assert_true (bs_key_set_remove (keys, never));
  g_assert_true (
    bs_backing_persist_keys (fixture->backing, fixture->path, keys, contents, NULL, &error));
  g_assert_no_error (error);
  assert_listed (fixture, written, 2);
  assert_reads (fixture->backing, written, bytes);
  assert_reads (fixture->backing, direct, bytes);
}

static void
test_register (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = make_test_bytes (5000, 1);
  g_autofree char *key = write_new (fixture->backing, bytes);

  assert_listed (fixture, NULL, 0);

  /* In primary storage, but not at the path. */
  g_assert_false (bs_backing_register_key (fixture->backing, fixture->path, key, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_NOT_FOUND);
  g_clear_error (&error);

  g_assert_true (bs_backing_persist (fixture->backing, fixture->path, key, NULL, &error));
  for (guint i = 0; i < 2; i++)
    {
      g_assert_true (bs_backing_register_key (fixture->backing, fixture->path, key, NULL, &error));
      g_assert_no_error (error);
      assert_reads (fixture->backing, key, bytes);
    }

  g_assert_true (bs_backing_delete_key (fixture->backing, key, NULL, &error));
  g_assert_true (bs_backing_register_key (fixture->backing, fixture->path, key, NULL, &error));
  g_assert_no_error (error);
  assert_reads (fixture->backing, key, bytes);
}

static void
test_delete_persisted (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = make_test_bytes (5000, 1);
  g_autofree char *key = write_new (fixture->backing, bytes);

  assert_listed (fixture, NULL, 0);
  g_assert_true (bs_backing_delete_persisted (fixture->backing, fixture->path, key, NULL, &error));
  g_assert_no_error (error);

  g_assert_true (bs_backing_persist (fixture->backing, fixture->path, key, NULL, &error));
  for (guint i = 0; i < 2; i++)
    {
      g_assert_true (
        bs_backing_delete_persisted (fixture->backing, fixture->path, key, NULL, &error));
      g_assert_no_error (error);
      assert_listed (fixture, NULL, 0);
    }

  assert_reads (fixture->backing, key, bytes);
  g_assert_true (bs_backing_persist (fixture->backing, fixture->path, key, NULL, &error));
  g_assert_no_error (error);
  assert_listed (fixture, key, 1);
}

static void
test_bulk (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (BsKeySet) keys = bs_key_set_new ();
  g_autoptr (BsKeySet) found = NULL;
  g_autoptr (GPtrArray) strings = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GBytes) bytes = make_test_bytes (30, 1);
  g_autofree char *never = bs_key_generate ();

  assert_listed (fixture, NULL, 0);
  for (guint i = 0; i < 1000; i++)
    {
      char *key = write_new (fixture->backing, bytes);

      g_ptr_array_add (strings, key);
      bs_key_set_add (keys, key, &error);
      bs_backing_persist (fixture->backing, fixture->path, key, NULL, &error);
      bs_backing_delete_key (fixture->backing, key, NULL, &error);
      g_assert_no_error (error);
    }
  found = list_path (fixture->backing, fixture->path);
  g_assert_cmpuint (bs_key_set_get_n_keys (found), ==, strings->len);

  for (guint i = 0; i < 2; i++)
    {
      g_assert_true (
        bs_backing_register_keys (fixture->backing, fixture->path, keys, NULL, &error));
      g_assert_no_error (error);
    }
  for (guint i = 0; i < strings->len; i++)
    {
      g_assert_true (bs_key_set_contains_key (found, strings->pdata[i]));
      assert_reads (fixture->backing, strings->pdata[i], bytes);
    }

  bs_key_set_add (keys, never, NULL);
  g_assert_false (bs_backing_register_keys (fixture->backing, fixture->path, keys, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_NOT_FOUND);
  g_assert_nonnull (strstr (error->message, never));
  g_assert_nonnull (strstr (error->message, " of 1001 done"));
  g_clear_error (&error);

  for (guint i = 0; i < 2; i++)
    {
      g_assert_true (
        bs_backing_delete_persisted_keys (fixture->backing, fixture->path, keys, NULL, &error));
      g_assert_no_error (error);
      assert_listed (fixture, NULL, 0);
    }
  assert_reads (fixture->backing, strings->pdata[0], bytes);
}

static void
test_root (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) root = NULL;
  static const gsize sizes[] = { 10, 100000, 0, 5 };

  assert_listed (fixture, NULL, 0);
  root = bs_backing_read_root (fixture->backing, fixture->path, NULL, &error);
  g_assert_error (error, BS_ERROR, BS_ERROR_NOT_FOUND);
  g_assert_null (root);
  g_clear_error (&error);

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autoptr (GBytes) bytes = make_test_bytes (sizes[i], i);

      g_assert_true (
        bs_backing_write_root (fixture->backing, fixture->path, bytes, NULL, NULL, &error));
      g_assert_no_error (error);
      g_clear_pointer (&root, g_bytes_unref);
      root = bs_backing_read_root (fixture->backing, fixture->path, NULL, &error);
      g_assert_no_error (error);
      g_assert_true (g_bytes_equal (root, bytes));
    }

  /* A root is not a blob. */
  assert_listed (fixture, NULL, 0);
}

static void
test_restart (Fixture *fixture, gconstpointer data)
{
  const BackingKind *kind = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = make_test_bytes (5000, 1);
  g_autoptr (GBytes) root = NULL;
  g_autofree char *key = write_new (fixture->backing, bytes);
  g_autofree char *scratch = write_new (fixture->backing, bytes);

  assert_listed (fixture, NULL, 0);
  bs_backing_persist (fixture->backing, fixture->path, key, NULL, &error);
  bs_backing_write_root (fixture->backing, fixture->path, bytes, NULL, NULL, &error);
  g_assert_no_error (error);

  /* A released path can be tracked again. */
  for (guint i = 0; i < 2; i++)
    {
      g_assert_true (bs_backing_release_path (fixture->backing, fixture->path, NULL, &error));
      g_assert_no_error (error);
    }
  assert_listed (fixture, key, 1);

  for (guint i = 0; i < 2; i++)
    {
      g_assert_true (bs_backing_close (fixture->backing, NULL, &error));
      g_assert_no_error (error);
    }
  fixture->backing = kind->restart (fixture->backing, fixture->primary);

  assert_does_not_read (fixture->backing, key);
  assert_does_not_read (fixture->backing, scratch);
  assert_listed (fixture, key, 1);
  root = bs_backing_read_root (fixture->backing, fixture->path, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (g_bytes_equal (root, bytes));

  g_assert_true (bs_backing_register_key (fixture->backing, fixture->path, key, NULL, &error));
  g_assert_no_error (error);
  assert_reads (fixture->backing, key, bytes);
}

static void
test_two_paths (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = make_test_bytes (5000, 1);
  g_autoptr (GFile) second = backing_kind_locate (data, fixture->primary, "second");
  g_autoptr (BsKeySet) found = list_path (fixture->backing, second);
  g_autofree char *key = write_new (fixture->backing, bytes);

  assert_listed (fixture, NULL, 0);
  bs_backing_persist (fixture->backing, fixture->path, key, NULL, &error);
  bs_backing_persist (fixture->backing, second, key, NULL, &error);
  g_assert_no_error (error);
  bs_backing_delete_persisted (fixture->backing, fixture->path, key, NULL, &error);
  g_assert_no_error (error);

  assert_listed (fixture, NULL, 0);
  g_clear_object (&found);
  found = list_path (fixture->backing, second);
  g_assert_cmpuint (bs_key_set_get_n_keys (found), ==, 1);
}

static gpointer
use_in_thread (gpointer data)
{
  Fixture *fixture = data;
  g_autoptr (GBytes) bytes = make_test_bytes (500, 1);

  for (guint i = 0; i < 100; i++)
    {
      g_autoptr (GError) error = NULL;
      g_autofree char *key = write_new (fixture->backing, bytes);

      bs_backing_persist (fixture->backing, fixture->path, key, NULL, &error);
      bs_backing_delete_key (fixture->backing, key, NULL, &error);
      bs_backing_register_key (fixture->backing, fixture->path, key, NULL, &error);
      g_assert_no_error (error);
      assert_reads (fixture->backing, key, bytes);
      if (i % 2 == 0)
        bs_backing_delete_persisted (fixture->backing, fixture->path, key, NULL, &error);
      bs_backing_delete_key (fixture->backing, key, NULL, &error);
      g_assert_no_error (error);
    }

  return NULL;
}

static void
test_threads (Fixture *fixture, gconstpointer data)
{
  GThread *threads[8];

  assert_listed (fixture, NULL, 0);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("user", use_in_thread, fixture);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);

  assert_listed (fixture, NULL, 8 * 50);
}

void
backing_contract_add_tests (const BackingKind *kind)
{
  static const struct
  {
    const char *name;
    void (*func) (Fixture *fixture, gconstpointer data);
  } tests[] = {
    { "write", test_write },
    { "delete-key", test_delete_key },
    { "persist", test_persist },
    { "persist-bytes", test_persist_bytes },
    { "persist-bytes-known", test_persist_bytes_known },
    { "persist-keys", test_persist_keys },
    { "persist-keys-missing", test_persist_keys_missing },
    { "register", test_register },
    { "delete-persisted", test_delete_persisted },
    { "bulk", test_bulk },
    { "root", test_root },
    { "restart", test_restart },
    { "two-paths", test_two_paths },
    { "threads", test_threads },
  };

  for (guint i = 0; i < G_N_ELEMENTS (tests); i++)
    {
      g_autofree char *path = g_strdup_printf ("%s/contract/%s", kind->prefix, tests[i].name);

      g_test_add (path, Fixture, kind, set_up, tests[i].func, tear_down);
    }

  backing_contract_add_stream_tests (kind);
}
