/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* Directories that are somebody else's, and stores that are somebody else's at
 * the moment. */

#include "file-fixture.h"

#include <backingstore/backingstore.h>

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#define assert_foreign(error)                                                                      \
  G_STMT_START                                                                                     \
  {                                                                                                \
    g_assert_error (error, BS_ERROR, BS_ERROR_FOREIGN);                                            \
    g_clear_error (&error);                                                                        \
  }                                                                                                \
  G_STMT_END

static void
make_socket (const char *path)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

  g_assert_cmpuint (strlen (path), <, sizeof address.sun_path);
  strcpy (address.sun_path, path);
  g_assert_cmpint (bind (fd, (struct sockaddr *) &address, sizeof address), ==, 0);
  close (fd);
}

static void
make_sparse (const char *path)
{
  int fd = open (path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

  g_assert_cmpint (ftruncate (fd, 20 * 1024 * 1024), ==, 0);
  g_assert_cmpint (pwrite (fd, "end", 3, 10 * 1024 * 1024), ==, 3);
  close (fd);
}

/* One of everything that a home directory holds. */
static gboolean
make_home (const char *directory)
{
  g_autofree char *fifo = g_build_filename (directory, ".cache", "pipe", NULL);
  g_autofree char *sock = g_build_filename (directory, ".cache", "socket", NULL);
  g_autofree char *image = g_build_filename (directory, "disk.img", NULL);
  g_autofree char *script = g_build_filename (directory, "bin", "script", NULL);
  g_autofree char *dangling = g_build_filename (directory, ".dangling", NULL);
  g_autofree char *up = g_build_filename (directory, "Up", NULL);
  g_autofree char *secret = g_build_filename (directory, ".ssh", NULL);
  g_autofree char *empty = g_build_filename (directory, "Desktop", NULL);

  plant_in (directory, ".bashrc", "alias ll='ls -l'\n");
  plant_in (directory, ".config/app/settings.ini", "[app]\nkey=value\n");
  plant_in (directory, ".cache/ab/abcdef0123456789abcdef0123456789", "looks like ours");
  plant_in (directory, ".ssh/id_ed25519", "secret");
  plant_in (directory, "Documents/Übersicht – 2026.txt", "text");
  plant_in (directory, "ab/notes", "a folder that is named like a shard");
  plant_in (directory, "bin/script", "#!/bin/sh\n");
  g_assert_cmpint (g_chmod (secret, 0700), ==, 0);
  g_assert_cmpint (g_chmod (script, 0755), ==, 0);
  g_assert_cmpint (g_mkdir (empty, 0755), ==, 0);
  g_assert_cmpint (mkfifo (fifo, 0644), ==, 0);
  make_socket (sock);
  make_sparse (image);
  g_assert_cmpint (symlink ("/nowhere/at/all", dangling), ==, 0);
  g_assert_cmpint (symlink ("..", up), ==, 0);
  /* Where there are no attributes there is nothing to keep. */
  setxattr (script, "user.comment", "mine", 4, 0);

  return TRUE;
}

static gboolean
run_command (const char *const *arguments, const char *directory)
{
  int status = 0;

  return g_spawn_sync (directory, (char **) arguments, NULL,
                       G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL |
                         G_SPAWN_STDERR_TO_DEV_NULL,
                       NULL, NULL, NULL, NULL, &status, NULL) &&
         g_spawn_check_wait_status (status, NULL);
}

static gboolean
make_etc (const char *directory)
{
  const char *const arguments[] = { "cp", "-a", "/etc/.", directory, NULL };

  /* Not all of it can be read by everybody. */
  run_command (arguments, "/");

  return exists_in (directory, "passwd");
}

static gboolean
make_checkout (const char *directory)
{
  const char *const commands[][12] = {
    { "git", "init", "-q", NULL },
    { "git", "add", ".", NULL },
    { "git", "-c", "user.name=n", "-c", "user.email=n@example.org", "commit", "-q", "-m", "first",
      NULL },
  };

  for (guint i = 0; i < 20; i++)
    {
      g_autofree char *name = g_strdup_printf ("src/file-%u.c", i);

      plant_in (directory, name, name);
    }

  for (guint i = 0; i < G_N_ELEMENTS (commands); i++)
    {
      if (!run_command (commands[i], directory))
        return FALSE;
    }

  return TRUE;
}

/* As git lays out its objects: folders like our shards, names of 38 digits. */
static gboolean
make_objects (const char *directory)
{
  plant_in (directory, "ab/cdef0123456789abcdef0123456789abcdef01", "x");
  plant_in (directory, "00/112233445566778899aabbccddeeff00112233", "y");

  return TRUE;
}

static void
plant_blobs (const char *directory)
{
  for (guint i = 0; i < 30; i++)
    {
      g_autofree char *key = bs_key_generate ();
      g_autofree char *blob = get_blob_name (directory, key);

      plant (blob, key);
    }
}

static gboolean
make_hyphenated (const char *directory)
{
  plant_in (directory, "ab/abcdef01-2345-6789-abcd-ef0123456789", "hyphens");

  return TRUE;
}

static gboolean
make_misplaced (const char *directory)
{
  plant_blobs (directory);
  plant_in (directory, "ac/abcdef0123456789abcdef0123456789", "the wrong folder");

  return TRUE;
}

static gboolean
make_flat (const char *directory)
{
  plant_in (directory, "abcdef0123456789abcdef0123456789", "no folder");

  return TRUE;
}

static gboolean
make_upper_case (const char *directory)
{
  plant_blobs (directory);
  plant_in (directory, "AB/ABCDEF0123456789ABCDEF0123456789", "upper-case");

  return TRUE;
}

static gboolean
make_deeper (const char *directory)
{
  plant_in (directory, "ab/cd/abcdef0123456789abcdef0123456789", "two levels");

  return TRUE;
}

static gboolean
make_one_file_among_blobs (const char *directory)
{
  plant_blobs (directory);
  plant_in (directory, "ab/abcdef0123456789abcdef0123456789.txt", "one");

  return TRUE;
}

static gboolean
make_one_link_among_blobs (const char *directory)
{
  g_autofree char *name =
    g_build_filename (directory, "ab", "abcdef0123456789abcdef0123456789", NULL);

  plant_blobs (directory);
  plant_in (directory, "ab/abcdef0123456789abcdef0123456780", "a blob");

  return symlink ("abcdef0123456789abcdef0123456780", name) == 0;
}

static gboolean
make_one_folder_among_blobs (const char *directory)
{
  g_autofree char *name = g_build_filename (directory, "Pictures", NULL);

  plant_blobs (directory);

  return g_mkdir (name, 0755) == 0;
}

static gboolean
make_our_names (const char *directory)
{
  plant_blobs (directory);
  plant_in (directory, "root", "a file that somebody named root");
  plant_in (directory, ".dirty", "");

  return TRUE;
}

typedef struct
{
  const char *name;
  gboolean (*make) (const char *directory);
  const char *within; /* the folder that is taken for a store, or NULL */
  gboolean whole_only;
} Place;

static const Place places[] = {
  { "home", make_home, NULL },
  { "cache-in-home", make_home, ".cache" },
  { "etc", make_etc, NULL, TRUE },
  { "git/checkout", make_checkout, NULL },
  { "git/folder", make_checkout, ".git" },
  { "git/objects", make_checkout, ".git/objects" },
  { "git/loose-objects", make_objects, NULL },
  { "uuid/hyphenated", make_hyphenated, NULL },
  { "uuid/misplaced", make_misplaced, NULL },
  { "uuid/flat", make_flat, NULL },
  { "uuid/upper-case", make_upper_case, NULL },
  { "uuid/deeper", make_deeper, NULL },
  { "among-blobs/file", make_one_file_among_blobs, NULL },
  { "among-blobs/link", make_one_link_among_blobs, NULL },
  { "among-blobs/folder", make_one_folder_among_blobs, NULL },
  { "among-blobs/our-names", make_our_names, NULL },
};

/* The place, and what it looked like before anybody touched it. */
typedef struct
{
  char *whole;
  char *name;
  char *before;
} Made;

static gboolean
make_place (Fixture *fixture, const Place *place, Made *made)
{
  made->whole = g_build_filename (fixture->directory, "theirs", NULL);
  g_assert_cmpint (g_mkdir (made->whole, 0755), ==, 0);
  if (!place->make (made->whole))
    {
      g_test_skip ("The directory could not be made here: no git, or no right to");
      g_free (made->whole);
      return FALSE;
    }

  made->name = g_build_filename (made->whole, place->within, NULL);
  made->before = snapshot (made->whole);

  return TRUE;
}

static void
clear_made (Made *made)
{
  assert_unchanged (made->whole, made->before);
  g_free (made->whole);
  g_free (made->name);
  g_free (made->before);
}

static void
use_as_path (Fixture *fixture, Made *made)
{
  BsBacking *backing = fixture->backing;
  g_autoptr (GFile) path = g_file_new_for_path (made->name);
  g_autoptr (BsKeySet) keys = bs_key_set_new ();
  g_autoptr (GBytes) root = NULL;
  g_autoptr (GError) error = NULL;
  const char *key = fixture->key;

  bs_key_set_add (keys, key, NULL);
  write_blob (fixture, key);

  for (guint i = 0; i < 2; i++)
    {
      error = sanitize_error (backing, path);
      g_assert_nonnull (strstr (error->message, made->name));
      assert_foreign (error);
      g_assert_false (bs_backing_persist (backing, path, key, NULL, &error));
      assert_foreign (error);
      g_assert_false (bs_backing_register_key (backing, path, key, NULL, &error));
      assert_foreign (error);
      g_assert_false (bs_backing_register_keys (backing, path, keys, NULL, &error));
      assert_foreign (error);
      g_assert_false (bs_backing_delete_persisted (backing, path, key, NULL, &error));
      assert_foreign (error);
      g_assert_false (bs_backing_delete_persisted_keys (backing, path, keys, NULL, &error));
      assert_foreign (error);
      g_assert_false (bs_backing_sync_persisted (backing, path, NULL, &error));
      assert_foreign (error);
      g_assert_false (bs_backing_write_root (backing, path, fixture->bytes, NULL, NULL, &error));
      assert_foreign (error);
      root = bs_backing_read_root (backing, path, NULL, &error);
      assert_foreign (error);
      g_assert_null (root);
      g_assert_true (bs_backing_release_path (backing, path, NULL, &error));
      g_assert_no_error (error);
      assert_unchanged (made->whole, made->before);
    }

  assert_reads (backing, key, fixture->bytes);
}

static void
test_as_path (Fixture *fixture, gconstpointer data)
{
  Made made;

  if (!make_place (fixture, data, &made))
    return;

  use_as_path (fixture, &made);
  g_assert_finalize_object (g_steal_pointer (&fixture->backing));
  clear_made (&made);
}

static void
test_as_scratch (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsKeySet) keys = bs_key_set_new ();
  g_autoptr (BsKeySet) found = bs_key_set_new ();
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GError) error = NULL;
  Made made;

  if (!make_place (fixture, data, &made))
    return;

  move_primary (fixture, made.name);
  bs_key_set_add (keys, fixture->key, NULL);
  for (guint i = 0; i < 2; i++)
    {
      g_assert_false (
        bs_backing_write (fixture->backing, fixture->key, fixture->bytes, NULL, &error));
      g_assert_nonnull (strstr (error->message, made.name));
      assert_foreign (error);
      bytes = bs_backing_read (fixture->backing, fixture->key, NULL, &error);
      assert_foreign (error);
      g_assert_null (bytes);
      g_assert_false (bs_backing_delete_key (fixture->backing, fixture->key, NULL, &error));
      assert_foreign (error);
      g_assert_false (
        bs_backing_sanitize_path (fixture->backing, fixture->path, found, NULL, &error));
      assert_foreign (error);
      g_assert_false (
        bs_backing_register_keys (fixture->backing, fixture->path, keys, NULL, &error));
      assert_foreign (error);
      assert_unchanged (made.whole, made.before);
    }

  /* Once by closing, and once by dropping what was never closed. */
  g_assert_true (bs_backing_close (fixture->backing, NULL, &error));
  g_assert_no_error (error);
  assert_unchanged (made.whole, made.before);
  restart_backing (fixture);
  g_assert_false (bs_backing_write (fixture->backing, fixture->key, fixture->bytes, NULL, NULL));
  g_assert_finalize_object (g_steal_pointer (&fixture->backing));

  g_assert_false (exists (fixture->path_name));
  clear_made (&made);
}

/* An application meets what the backing has met above. */
static void
test_in_a_pool (Fixture *fixture, gconstpointer data)
{
  Made made;
  g_autoptr (GFile) theirs = NULL;
  g_autoptr (GError) error = NULL;

  if (!make_place (fixture, data, &made))
    return;

  theirs = g_file_new_for_path (made.name);

  for (guint as_scratch = 0; as_scratch < 2; as_scratch++)
    {
      g_autoptr (BsBacking) backing = create (as_scratch ? theirs : fixture->primary);
      g_autoptr (BsBackingStore) store = bs_backing_store_new (backing);
      g_autoptr (BsPool) pool = bs_pool_new (store, 1000);
      g_autoptr (BsItem) item = bs_pool_insert (pool, fixture->bytes);
      g_autoptr (BsTrackedPath) tracked = NULL;
      g_autoptr (GBytes) bytes = NULL;

      tracked =
        bs_backing_store_track_path (store, as_scratch ? fixture->path : theirs, NULL, &error);
      assert_foreign (error);
      g_assert_null (tracked);

      if (as_scratch)
        {
          g_assert_false (bs_item_write (item, NULL, &error));
          assert_foreign (error);
          g_assert_false (bs_pool_trim (pool, 0, NULL, &error));
          assert_foreign (error);
        }

      /* Items that could not be written stay in memory. */
      bytes = bs_item_load (item, NULL, &error);
      g_assert_no_error (error);
      g_assert_true (g_bytes_equal (bytes, fixture->bytes));

      g_clear_object (&item);
      g_clear_object (&pool);
      g_assert_true (bs_backing_store_close (store, NULL, &error));
      g_assert_no_error (error);
      assert_unchanged (made.whole, made.before);
    }

  clear_made (&made);
}

static const char *const foreign_names[] = {
  "notes.txt",
  ".hidden",
  "ab/notes.txt",
  "ab/abcdef01-2345-6789-abcd-ef0123456789",
  "ac/abcdef0123456789abcdef0123456789",
  "AB/ABCDEF0123456789ABCDEF0123456789",
  "ab/ABCDEF0123456789ABCDEF0123456789",
  "abcdef0123456789abcdef0123456789",
  "ab/abcdef0123456789abcdef012345678",
  "ab/abcdef0123456789abcdef01234567890",
  ".tmp-mine",
  "ab/.tmp-mine",
};

/* Files, and what is no file though it has a blob's name; returns how many. */
static guint
plant_foreign (const char *directory)
{
  g_autofree char *fifo =
    g_build_filename (directory, "ab", "abcdef0123456789abcdef0123456780", NULL);
  g_autofree char *sock =
    g_build_filename (directory, "ab", "abcdef0123456789abcdef0123456781", NULL);
  g_autofree char *link_name =
    g_build_filename (directory, "ab", "abcdef0123456789abcdef0123456782", NULL);
  g_autofree char *folder =
    g_build_filename (directory, "ab", "abcdef0123456789abcdef0123456783", NULL);

  for (guint i = 0; i < G_N_ELEMENTS (foreign_names); i++)
    plant_in (directory, foreign_names[i], "mine");
  g_assert_cmpint (mkfifo (fifo, 0600), ==, 0);
  make_socket (sock);
  g_assert_cmpint (symlink ("notes.txt", link_name), ==, 0);
  g_assert_cmpint (g_mkdir (folder, 0755), ==, 0);

  /* The folder AB is one thing, with whatever is in it. */
  return G_N_ELEMENTS (foreign_names) + 4;
}

/* The files alone: folders that are ours, too, change as we work in them. */
static char *
describe_foreign (const char *directory)
{
  GString *all = g_string_new (NULL);

  for (guint i = 0; i < G_N_ELEMENTS (foreign_names); i++)
    {
      g_autofree char *path = g_build_filename (directory, foreign_names[i], NULL);
      g_autofree char *line = snapshot (path);

      g_string_append_printf (all, "%s\n", line);
    }
  for (guint i = 0; i < 4; i++)
    {
      g_autofree char *name = g_strdup_printf ("abcdef0123456789abcdef012345678%u", i);
      g_autofree char *path = g_build_filename (directory, "ab", name, NULL);
      g_autofree char *line = snapshot (path);

      g_string_append_printf (all, "%s\n", line);
    }

  return g_string_free (all, FALSE);
}

static void
test_within_a_path (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsKeySet) keys = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *before = NULL;
  g_autofree char *after = NULL;
  guint n_foreign;

  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 0);
  n_foreign = plant_foreign (fixture->path_name);
  before = describe_foreign (fixture->path_name);

  for (guint i = 0; i < 600; i++)
    {
      g_autofree char *key = bs_key_generate ();

      write_blob (fixture, key);
      persist_blob (fixture, key);
    }
  sync_path (fixture);
  keys = list_path (fixture->backing, fixture->path);
  g_assert_cmpuint (bs_key_set_get_n_keys (keys), ==, 600);
  g_assert_cmpuint (count_foreign (fixture->backing), ==, n_foreign);

  g_assert_true (
    bs_backing_delete_persisted_keys (fixture->backing, fixture->path, keys, NULL, &error));
  g_assert_no_error (error);
  sync_path (fixture);
  restart_backing (fixture);
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 0);
  g_assert_cmpuint (count_foreign (fixture->backing), ==, n_foreign);
  after = describe_foreign (fixture->path_name);
  g_assert_cmpstr (after, ==, before);
}

static void
write_some (Fixture *fixture)
{
  for (guint i = 0; i < 300; i++)
    {
      g_autofree char *key = bs_key_generate ();

      write_blob (fixture, key);
    }
}

static void
test_within_scratch (Fixture *fixture, gconstpointer data)
{
  g_autofree char *before = NULL;
  g_autofree char *after = NULL;

  write_some (fixture);
  plant_foreign (fixture->primary_name);
  before = describe_foreign (fixture->primary_name);

  /* Emptied on closing, and after a crash. */
  g_assert_finalize_object (g_steal_pointer (&fixture->backing));
  restart_backing (fixture);
  run_and_crash (write_some, fixture);
  write_blob (fixture, fixture->key);
  assert_reads (fixture->backing, fixture->key, fixture->bytes);
  g_assert_finalize_object (g_steal_pointer (&fixture->backing));

  after = describe_foreign (fixture->primary_name);
  g_assert_cmpstr (after, ==, before);
}

static void
expect_busy_path (Fixture *fixture)
{
  g_autofree char *name = g_build_filename (fixture->directory, "second", NULL);
  g_autoptr (GFile) primary = g_file_new_for_path (name);
  g_autoptr (BsBacking) backing = create (primary);
  g_autoptr (GError) error = sanitize_error (backing, fixture->path);

  g_assert_error (error, BS_ERROR, BS_ERROR_BUSY);
  g_assert_nonnull (strstr (error->message, fixture->path_name));
}

static void
expect_free_path (Fixture *fixture)
{
  g_autofree char *name = g_build_filename (fixture->directory, "third", NULL);
  g_autoptr (GFile) primary = g_file_new_for_path (name);
  g_autoptr (BsBacking) backing = create (primary);

  g_assert_cmpuint (count_listed (backing, fixture->path), ==, 1);
}

static void
expect_busy_scratch (Fixture *fixture)
{
  g_autoptr (BsBacking) backing = create (fixture->primary);
  g_autofree char *key = bs_key_generate ();
  g_autoptr (GError) error = NULL;

  g_assert_false (bs_backing_write (backing, key, fixture->bytes, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_BUSY);
  g_assert_nonnull (strstr (error->message, fixture->primary_name));
}

static void
expect_free_scratch (Fixture *fixture)
{
  g_autoptr (BsBacking) backing = create (fixture->primary);
  g_autofree char *key = bs_key_generate ();
  g_autoptr (GError) error = NULL;

  g_assert_true (bs_backing_write (backing, key, fixture->bytes, NULL, &error));
  g_assert_no_error (error);
}

static void
write_and_persist (Fixture *fixture)
{
  write_blob (fixture, fixture->key);
  persist_blob (fixture, fixture->key);
}

/* Each from this process and from another one. */
static void
expect_both (void (*expect) (Fixture *fixture), Fixture *fixture)
{
  expect (fixture);
  run_apart (expect, fixture);
}

static void
test_lock_release_path (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  write_and_persist (fixture);
  expect_both (expect_busy_path, fixture);
  expect_both (expect_busy_scratch, fixture);

  /* A refused store takes nothing from the one that has the directory. */
  assert_reads (fixture->backing, fixture->key, fixture->bytes);
  expect_both (expect_busy_path, fixture);

  bs_backing_release_path (fixture->backing, fixture->path, NULL, &error);
  g_assert_no_error (error);
  expect_both (expect_free_path, fixture);
  expect_both (expect_busy_scratch, fixture);
  assert_reads (fixture->backing, fixture->key, fixture->bytes);
}

static void
test_lock_close (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  write_and_persist (fixture);
  bs_backing_close (fixture->backing, NULL, &error);
  g_assert_no_error (error);
  expect_both (expect_free_path, fixture);
  expect_both (expect_free_scratch, fixture);
}

static void
test_lock_last_unref (Fixture *fixture, gconstpointer data)
{
  write_and_persist (fixture);
  expect_both (expect_busy_path, fixture);
  g_assert_finalize_object (g_steal_pointer (&fixture->backing));
  expect_both (expect_free_path, fixture);
  expect_both (expect_free_scratch, fixture);
}

static void
test_lock_killed (Fixture *fixture, gconstpointer data)
{
  GPid pid = run_and_stay (write_and_persist, fixture);

  expect_busy_path (fixture);
  expect_busy_scratch (fixture);
  kill_process (pid);
  expect_free_path (fixture);
  expect_free_scratch (fixture);
  register_blob (fixture, fixture->key);
}

static void
do_nothing (Fixture *fixture)
{
}

static void
drop_copy (Fixture *fixture)
{
  g_clear_object (&fixture->backing);
}

/* A child has copies of the descriptors, and no say in what they lock. */
static void
test_lock_child (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  GPid child;

  write_and_persist (fixture);
  run_apart (drop_copy, fixture);
  expect_both (expect_busy_path, fixture);
  expect_both (expect_busy_scratch, fixture);

  child = run_and_stay (do_nothing, fixture);
  bs_backing_release_path (fixture->backing, fixture->path, NULL, &error);
  g_assert_no_error (error);
  expect_free_path (fixture);
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 1);
  g_assert_finalize_object (g_steal_pointer (&fixture->backing));
  expect_free_path (fixture);
  expect_free_scratch (fixture);
  kill_process (child);
}

/* Two stores, as two parts of one application may have made them. */
static void
test_two_stores (Fixture *fixture, gconstpointer data)
{
  g_autofree char *second_name = g_build_filename (fixture->directory, "second", NULL);
  g_autoptr (GFile) second_primary = g_file_new_for_path (second_name);
  g_autoptr (BsBacking) second_backing = create (second_primary);
  g_autoptr (BsBackingStore) first = bs_backing_store_new (fixture->backing);
  g_autoptr (BsBackingStore) second = bs_backing_store_new (second_backing);
  g_autoptr (BsTrackedPath) tracked = NULL;
  g_autoptr (BsTrackedPath) refused = NULL;
  g_autoptr (GError) error = NULL;

  tracked = bs_backing_store_track_path (first, fixture->path, NULL, &error);
  g_assert_no_error (error);

  refused = bs_backing_store_track_path (second, fixture->path, NULL, &error);
  g_assert_error (error, BS_ERROR, BS_ERROR_BUSY);
  g_assert_null (refused);
  g_clear_error (&error);

  g_assert_true (bs_backing_store_untrack_path (first, tracked, NULL, &error));
  g_assert_no_error (error);
  refused = bs_backing_store_track_path (second, fixture->path, NULL, &error);
  g_assert_no_error (error);
  g_clear_object (&tracked);

  tracked = bs_backing_store_track_path (first, fixture->path, NULL, &error);
  g_assert_error (error, BS_ERROR, BS_ERROR_BUSY);
  g_assert_null (tracked);
  g_clear_error (&error);

  g_assert_true (bs_backing_store_close (second, NULL, &error));
  g_assert_no_error (error);
  tracked = bs_backing_store_track_path (first, fixture->path, NULL, &error);
  g_assert_no_error (error);

  g_clear_object (&tracked);
  g_assert_true (bs_backing_store_close (first, NULL, &error));
  g_assert_no_error (error);
}

static void
add (const char *prefix,
     const char *name,
     gconstpointer data,
     void (*func) (Fixture *fixture, gconstpointer data))
{
  g_autofree char *path = g_strdup_printf ("/foreign/%s/%s", prefix, name);

  g_test_add (path, Fixture, data, set_up, func, tear_down);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);

  /* Locks first: a child forked beside the threads of a store could hang. */
  add ("lock", "release-path", NULL, test_lock_release_path);
  add ("lock", "close", NULL, test_lock_close);
  add ("lock", "last-unref", NULL, test_lock_last_unref);
  add ("lock", "killed", NULL, test_lock_killed);
  add ("lock", "child", NULL, test_lock_child);
  add ("within", "scratch", NULL, test_within_scratch);
  add ("within", "path", NULL, test_within_a_path);
  add ("pool", "two-stores", NULL, test_two_stores);

  for (guint i = 0; i < G_N_ELEMENTS (places); i++)
    {
      if (places[i].whole_only && !tests_are_whole ())
        continue;

      add ("path", places[i].name, &places[i], test_as_path);
      add ("scratch", places[i].name, &places[i], test_as_scratch);
      add ("pool", places[i].name, &places[i], test_in_a_pool);
    }

  return g_test_run ();
}
