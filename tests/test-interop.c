/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include <backingstore/backingstore.h>
#include <glib/gstdio.h>

#include <string.h>
#include <unistd.h>

/* Blobs that the Rust crate file_backed has written, as interop/src/main.rs did it:
 * interop/data/index names the key and the number of each. What the crate makes of
 * ours needs the crate: see interop/test-interop.py. */

/* interop/src/main.rs and interop/test-interop.py make this content, too. */
static GBytes *
make_content (guint number)
{
  static const gsize sizes[] = { 0, 1, 100, 4096, 5000, 70000 };
  gsize size = sizes[number % G_N_ELEMENTS (sizes)];
  guint8 *data = g_malloc (size);

  for (gsize i = 0; i < size; i++)
    data[i] = (guint8) (number * 31 + i * 7 + i / 251);
  return g_bytes_new_take (data, size);
}

/* Lines of "KEY NUMBER". */
static char **
read_index (void)
{
  g_autofree char *name = g_test_build_filename (G_TEST_DIST, "interop", "data", "index", NULL);
  g_autofree char *text = NULL;
  g_autoptr (GError) error = NULL;

  g_file_get_contents (name, &text, NULL, &error);
  g_assert_no_error (error);
  return g_strsplit (g_strstrip (text), "\n", 0);
}

static guint
split_line (char *line, char **key)
{
  char *space = strchr (line, ' ');

  g_assert_nonnull (space);
  *space = '\0';
  *key = line;
  return g_ascii_strtoull (space + 1, NULL, 10);
}

static char *
blob_path (const char *directory, const char *key)
{
  g_auto (GStrv) parts = g_strsplit (key, "-", 0);
  g_autofree char *hex = g_strjoinv ("", parts);
  g_autofree char *folder = g_strndup (hex, 2);

  return g_build_filename (directory, folder, hex, NULL);
}

/* As the crate leaves it: with every folder there, whether anything is in it or not. */
static char *
copy_directory (char **index)
{
  g_autofree char *data = g_test_build_filename (G_TEST_DIST, "interop", "data", "blobs", NULL);
  g_autoptr (GError) error = NULL;
  char *directory = g_dir_make_tmp ("backingstore-XXXXXX", &error);

  g_assert_no_error (error);
  for (guint i = 0; i < 256; i++)
    {
      g_autofree char *folder = g_strdup_printf ("%s/%02x", directory, i);

      g_assert_cmpint (g_mkdir (folder, 0755), ==, 0);
    }
  for (guint i = 0; index[i] != NULL; i++)
    {
      g_autofree char *line = g_strdup (index[i]);
      g_autofree char *source = NULL, *target = NULL;
      g_autofree char *content = NULL;
      gsize size;
      char *key;

      split_line (line, &key);
      source = blob_path (data, key);
      target = blob_path (directory, key);
      g_file_get_contents (source, &content, &size, &error);
      g_assert_no_error (error);
      g_file_set_contents (target, content, size, &error);
      g_assert_no_error (error);
    }

  return directory;
}

static void
remove_tree (const char *name)
{
  if (!g_file_test (name, G_FILE_TEST_IS_SYMLINK) && g_file_test (name, G_FILE_TEST_IS_DIR))
    {
      g_autoptr (GDir) dir = g_dir_open (name, 0, NULL);
      const char *child;

      while ((child = g_dir_read_name (dir)) != NULL)
        {
          g_autofree char *path = g_build_filename (name, child, NULL);

          remove_tree (path);
        }
    }
  g_assert_cmpint (g_remove (name), ==, 0);
}

/* Each in the file where it was, and nothing else in it. */
static void
assert_files (const char *directory, char **index)
{
  for (guint i = 0; index[i] != NULL; i++)
    {
      g_autofree char *line = g_strdup (index[i]);
      g_autofree char *path = NULL, *content = NULL;
      g_autoptr (GBytes) expected = NULL;
      g_autoptr (GError) error = NULL;
      guint number;
      gsize size;
      char *key;

      number = split_line (line, &key);
      path = blob_path (directory, key);
      expected = make_content (number);
      g_file_get_contents (path, &content, &size, &error);
      g_assert_no_error (error);
      g_assert_cmpmem (content, size, g_bytes_get_data (expected, NULL),
                       g_bytes_get_size (expected));
    }
}

static void
test_directory_of_crate (void)
{
  g_auto (GStrv) index = read_index ();
  g_autofree char *directory = copy_directory (index);
  g_autoptr (GFile) file = g_file_new_for_path (directory);

  /* The second time it is one of ours. */
  for (guint round = 0; round < 2; round++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (BsFileBacking) backing = bs_file_backing_new_temporary (&error);
      g_autoptr (BsBackingStore) store = NULL;
      g_autoptr (BsTrackedPath) tracked = NULL;
      g_autoptr (BsVerify) verify = NULL;
      g_autoptr (BsPool) pool = NULL;

      g_assert_no_error (error);
      store = bs_backing_store_new (BS_BACKING (backing));
      pool = bs_pool_new (store, 1000);
      tracked = bs_backing_store_track_path (store, file, NULL, &error);
      g_assert_no_error (error);
      g_assert_cmpuint (bs_tracked_path_get_n_keys (tracked), ==, g_strv_length (index));
      for (guint i = 0; index[i] != NULL; i++)
        {
          g_autofree char *line = g_strdup (index[i]);
          g_autoptr (BsItem) item = NULL;
          g_autoptr (GBytes) bytes = NULL, expected = NULL;
          guint number;
          char *key;

          number = split_line (line, &key);
          expected = make_content (number);
          item = bs_pool_register (pool, tracked, key, NULL, &error);
          g_assert_no_error (error);
          bytes = bs_item_load (item, NULL, &error);
          g_assert_no_error (error);
          g_assert_true (g_bytes_equal (bytes, expected));
        }

      /* A blob without length and hash can't be found bad. */
      verify = bs_verify_new (store, tracked);
      bs_verify_run (verify, NULL, &error);
      g_assert_no_error (error);
      g_assert_cmpuint (bs_verify_get_n_bad (verify), ==, 0);

      bs_backing_store_close (store, NULL, &error);
      g_assert_no_error (error);
      assert_files (directory, index);
    }

  remove_tree (directory);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  alarm (100);

  g_test_add_func ("/interop/directory-of-crate", test_directory_of_crate);

  return g_test_run ();
}
