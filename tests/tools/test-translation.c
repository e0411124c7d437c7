/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* Messages that people see, in a translation that puts each into brackets: made by
 * make-pseudo-translation. */

#include <backingstore/backingstore.h>
#ifdef HAVE_GTK
#include <backingstore/gtk/backingstore-gtk.h>
#endif
#include <glib/gstdio.h>
#include <libintl.h>
#include <gnu/libc-version.h>
#include <locale.h>
#include <string.h>

#define OPENING "⟦"

/* Fails once with an error that a person may see. */
static GError *
track_foreign (const char *directory)
{
  g_autoptr (BsFileBacking) backing = bs_file_backing_new_temporary (NULL);
  g_autoptr (BsBackingStore) store = bs_backing_store_new (BS_BACKING (backing));
  g_autofree char *other = g_build_filename (directory, "letter.txt", NULL);
  g_autoptr (GFile) path = g_file_new_for_path (directory);
  g_autoptr (BsTrackedPath) tracked = NULL;
  GError *error = NULL;

  g_file_set_contents (other, "text", -1, NULL);
  tracked = bs_backing_store_track_path (store, path, NULL, &error);
  g_assert_null (tracked);
  bs_backing_store_close (store, NULL, NULL);
  g_unlink (other);

  return error;
}

static char *
make_directory (void)
{
  g_autoptr (GError) error = NULL;
  char *directory = g_dir_make_tmp ("backingstore-XXXXXX", &error);

  g_assert_no_error (error);
  return directory;
}

static void
test_error (void)
{
  g_autofree char *directory = make_directory ();
  g_autoptr (GError) error = track_foreign (directory);

  g_assert_error (error, BS_ERROR, BS_ERROR_FOREIGN);
  g_assert_nonnull (strstr (error->message, OPENING "this is not a document:"));
  g_rmdir (directory);
}

/* A title, a key and a path are put in order by the translation. */
static void
test_operation (void)
{
  g_autoptr (BsMemoryBacking) backing = bs_memory_backing_new ();
  g_autoptr (BsBackingStore) store = bs_backing_store_new (BS_BACKING (backing));
  g_autoptr (BsPool) pool = bs_pool_new (store, 0);
  g_autoptr (GFile) path = g_file_new_for_uri ("test:///path");
  g_autoptr (BsTrackedPath) tracked = bs_backing_store_track_path (store, path, NULL, NULL);
  g_autofree char *key = bs_key_generate ();
  g_autofree char *expected = NULL;
  g_autoptr (BsItem) item = NULL;
  g_autoptr (GError) error = NULL;

  item = bs_pool_register (pool, tracked, key, NULL, &error);
  g_assert_error (error, BS_ERROR, BS_ERROR_NOT_FOUND);
  expected = g_strdup_printf (OPENING OPENING "Registering key⟧ %s at test:///path: " OPENING
                                              "there is no such key⟧⟧",
                              key);
  g_assert_cmpstr (error->message, ==, expected);
  bs_backing_store_close (store, NULL, NULL);
}

/* A manifest from a stranger: a reason that is marked where it is found. */
static void
test_reason (void)
{
  static const guint8 data[] = "BsManif\n\1\0\0\0\1\0\0";
  g_autoptr (GBytes) bytes = g_bytes_new_static (data, sizeof data);
  g_autoptr (GError) error = NULL;
  g_autoptr (BsManifest) manifest = bs_manifest_new_from_bytes (bytes, &error);

  g_assert_null (manifest);
  g_assert_error (error, BS_ERROR, BS_ERROR_CORRUPT);
  g_assert_true (g_str_has_prefix (error->message, OPENING "Opening the manifest: at byte 1"));
}

/* The name of a function is the same in every language, and not the words around it. */
static void
test_call (void)
{
  g_autoptr (BsMemoryBacking) memory = bs_memory_backing_new ();
  g_autoptr (GFile) path = g_file_new_for_uri ("test:///path");
  g_autofree char *key = bs_key_generate ();
  g_autofree char *expected = g_strdup_printf (OPENING "persist %s at test:///path⟧: ", key);
  g_autoptr (GError) error = NULL;

  g_assert_false (bs_backing_persist (BS_BACKING (memory), path, key, NULL, &error));
  g_assert_true (g_str_has_prefix (error->message, expected));
  g_clear_error (&error);
  g_assert_false (bs_backing_persist (BS_BACKING (memory), path, "no key", NULL, &error));
  g_assert_true (g_str_has_prefix (error->message, OPENING OPENING "persist at test:///path⟧: "));
}

static void
test_manifest (void)
{
  g_autoptr (BsManifest) manifest = bs_manifest_new ();
  g_autoptr (GError) error = NULL;

  g_assert_false (bs_manifest_rename (manifest, "a", "", &error));
  g_assert_cmpstr (error->message, ==,
                   OPENING OPENING "Renaming⟧ the entry “” of a manifest: " OPENING
                                   "the name is empty⟧⟧");
  g_clear_error (&error);
  g_assert_false (bs_manifest_add (manifest, "a", "no key", NULL, &error));
  g_assert_cmpstr (error->message, ==,
                   OPENING OPENING "Adding⟧ the entry “a” of a manifest: " OPENING
                                   "“no key” is not a key⟧⟧");
}

#ifdef HAVE_GTK

/* The library for GTK has the same translations. */
static void
test_gtk (void)
{
  g_autoptr (BsGtkTextureCodec) codec = bs_gtk_texture_codec_new (0);
  g_autoptr (GBytes) bytes = g_bytes_new (NULL, 0);
  g_autoptr (GError) error = NULL;

  g_assert_null (bs_codec_decode (BS_CODEC (codec), bytes, NULL, &error));
  g_assert_nonnull (strstr (error->message, OPENING "a picture of 0 bytes⟧"));
}

#endif

/* The errors of an engine in a module. */
static void
test_module (void)
{
  g_autofree char *directory = make_directory ();
  g_autofree char *uri = g_strconcat ("sqlite://", directory, NULL);
  g_autofree char *name = g_build_filename (directory, "letter.txt", NULL);
  g_autoptr (GFile) path = g_file_new_for_path (name);
  g_autoptr (BsKeySet) found = bs_key_set_new ();
  g_autoptr (GError) error = NULL;
  g_autoptr (BsBacking) backing = bs_backing_new_for_uri (uri, &error);

  if (backing == NULL)
    {
      g_assert_error (error, BS_ERROR, BS_ERROR_NOT_SUPPORTED);
      g_test_skip ("there is no engine for SQLite");
    }
  else
    {
      g_file_set_contents (name,
                           "more text than a header of a database has, for it has a hundred "
                           "characters and this text has some more",
                           -1, NULL);
      g_assert_false (bs_backing_sanitize_path (backing, path, found, NULL, &error));
      g_assert_error (error, BS_ERROR, BS_ERROR_FOREIGN);
      g_assert_nonnull (strstr (error->message, OPENING "the file is not a document"));
      bs_backing_close (backing, NULL, NULL);
      g_unlink (name);
    }
  g_rmdir (directory);
}

static void
test_untranslated (void)
{
  g_autofree char *directory = make_directory ();
  g_autoptr (GError) error = NULL;

  setlocale (LC_ALL, "C");
  error = track_foreign (directory);
  g_assert_nonnull (strstr (error->message, ": this is not a document:"));
  g_assert_null (strstr (error->message, OPENING));
  setlocale (LC_ALL, "");
  g_rmdir (directory);
}

/* The command, its options and its output. */
static void
test_command (void)
{
  const char *command = g_getenv ("BACKINGSTORE_COMMAND");
  g_autofree char *directory = make_directory ();
  const char *const lines[][4] = { { command, "--help" },
                                   { command, "import", "--help" },
                                   { command, "info", directory } };

  if (command == NULL)
    {
      g_test_skip ("the command was not built");
      g_rmdir (directory);
      return;
    }

  for (guint i = 0; i < G_N_ELEMENTS (lines); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autofree char *output = NULL;
      int status;

      g_spawn_sync (NULL, (char **) lines[i], NULL, G_SPAWN_DEFAULT, NULL, NULL, &output, NULL,
                    &status, &error);
      g_assert_no_error (error);
      g_assert_true (g_spawn_check_wait_status (status, NULL));
      g_assert_nonnull (strstr (output, OPENING));
    }
  g_rmdir (directory);
}

int
main (int argc, char **argv)
{
  const char *locale = setlocale (LC_ALL, "");

  if (locale == NULL)
    {
      g_print ("1..0 # SKIP there is no locale C.UTF-8\n");
      return 0;
    }
  /* Debian 12 has 2.36, which translates there. */
  if (g_str_equal (locale, "C.UTF-8") && strverscmp (gnu_get_libc_version (), "2.36") > 0)
    {
      g_print ("1..0 # SKIP this C library translates nothing in the locale C.UTF-8\n");
      return 0;
    }
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/translation/error", test_error);
  g_test_add_func ("/translation/operation", test_operation);
  g_test_add_func ("/translation/reason", test_reason);
  g_test_add_func ("/translation/call", test_call);
  g_test_add_func ("/translation/manifest", test_manifest);
#ifdef HAVE_GTK
  g_test_add_func ("/translation/gtk", test_gtk);
#endif
  g_test_add_func ("/translation/module", test_module);
  g_test_add_func ("/translation/untranslated", test_untranslated);
  g_test_add_func ("/translation/command", test_command);

  return g_test_run ();
}
