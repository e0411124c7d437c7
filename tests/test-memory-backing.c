/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include <backingstore/backings/bs-memory-backing.h>

#include "backing-contract.h"

static BsBacking *
create (GFile *directory)
{
  return BS_BACKING (bs_memory_backing_new ());
}

static BsBacking *
restart (BsBacking *backing, GFile *directory)
{
  return backing;
}

static const BackingKind kind = { "/memory-backing", create, restart };

static void
test_any_uri (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (BsMemoryBacking) memory = bs_memory_backing_new ();
  g_autoptr (GFile) path = g_file_new_for_uri ("memory:somewhere");
  g_autoptr (GFile) same = g_file_new_for_uri ("memory:somewhere");
  g_autoptr (GFile) other = g_file_new_for_uri ("memory:elsewhere");
  g_autoptr (GBytes) bytes = make_test_bytes (10, 1);
  g_autofree char *key = bs_key_generate ();
  BsBacking *backing = BS_BACKING (memory);

  bs_backing_write (backing, key, bytes, NULL, &error);
  bs_backing_persist (backing, path, key, NULL, &error);
  bs_backing_delete_key (backing, key, NULL, &error);
  g_assert_no_error (error);

  g_assert_false (bs_backing_register_key (backing, other, key, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_NOT_FOUND);
  g_clear_error (&error);
  g_assert_true (bs_backing_register_key (backing, same, key, NULL, &error));
  g_assert_no_error (error);
  assert_reads (backing, key, bytes);
}

/* The bytes that were written are the ones that are read. */
static void
test_no_copy (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (BsMemoryBacking) memory = bs_memory_backing_new ();
  g_autoptr (GBytes) bytes = make_test_bytes (10, 1);
  g_autoptr (GBytes) read = NULL;
  g_autofree char *key = bs_key_generate ();

  bs_backing_write (BS_BACKING (memory), key, bytes, NULL, &error);
  read = bs_backing_read (BS_BACKING (memory), key, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (read == bytes);
}

/* A destroy notify of the application's bytes may call back in. */
static void
count_and_use (gpointer data)
{
  BsBacking *backing = data;
  g_autofree char *key = bs_key_generate ();
  g_autoptr (GError) error = NULL;

  bs_backing_delete_key (backing, key, NULL, &error);
  g_assert_no_error (error);
}

static void
test_bytes_are_dropped_unlocked (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (BsMemoryBacking) memory = bs_memory_backing_new ();
  g_autoptr (GFile) path = g_file_new_for_uri ("memory:somewhere");
  BsBacking *backing = BS_BACKING (memory);

  for (guint i = 0; i < 3; i++)
    {
      GBytes *bytes = g_bytes_new_with_free_func ("x", 1, count_and_use, backing);
      g_autofree char *key = bs_key_generate ();

      bs_backing_write (backing, key, bytes, NULL, &error);
      bs_backing_write_root (backing, path, bytes, NULL, NULL, &error);
      bs_backing_persist (backing, path, key, NULL, &error);
      g_bytes_unref (bytes);
      bs_backing_delete_key (backing, key, NULL, &error);
      bs_backing_delete_persisted (backing, path, key, NULL, &error);
      g_assert_no_error (error);
    }
  bs_backing_close (backing, NULL, &error);
  g_assert_no_error (error);

  /* The last root must not outlive the backing that it calls. */
  {
    g_autoptr (GBytes) last = g_bytes_new_static ("y", 1);

    bs_backing_write_root (backing, path, last, NULL, NULL, &error);
  }
}

/* Removing keeps every other key within reach, however they collide. */
static void
test_against_model (void)
{
  g_autoptr (GHashTable) model =
    g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) g_bytes_unref);
  g_autoptr (BsMemoryBacking) memory = bs_memory_backing_new ();
  g_autoptr (GPtrArray) keys = g_ptr_array_new_with_free_func (g_free);
  BsBacking *backing = BS_BACKING (memory);

  for (guint i = 0; i < 300; i++)
    g_ptr_array_add (keys, bs_key_generate ());

  for (guint i = 0; i < 20000; i++)
    {
      g_autoptr (GError) error = NULL;
      const char *key = keys->pdata[g_test_rand_int_range (0, keys->len)];
      GBytes *expected = g_hash_table_lookup (model, key);

      if (expected != NULL)
        assert_reads (backing, key, expected);
      else
        assert_does_not_read (backing, key);

      if (g_test_rand_bit ())
        {
          g_autoptr (GBytes) bytes = make_test_bytes (8, i);

          g_assert_true (bs_backing_write (backing, key, bytes, NULL, &error) ==
                         (expected == NULL));
          if (expected == NULL)
            g_hash_table_insert (model, g_strdup (key), g_bytes_ref (bytes));
        }
      else
        {
          bs_backing_delete_key (backing, key, NULL, &error);
          g_assert_no_error (error);
          g_hash_table_remove (model, key);
        }
    }
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);

  backing_contract_add_tests (&kind);
  g_test_add_func ("/memory-backing/any-uri", test_any_uri);
  g_test_add_func ("/memory-backing/no-copy", test_no_copy);
  g_test_add_func ("/memory-backing/bytes-are-dropped-unlocked", test_bytes_are_dropped_unlocked);
  g_test_add_func ("/memory-backing/against-model", test_against_model);

  return g_test_run ();
}
