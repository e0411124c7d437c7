/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file-fixture.h"

static BsBacking *
restart (BsBacking *backing, GFile *directory)
{
  g_object_unref (backing);

  return create (directory);
}

static const BackingKind kind = { "/file-backing", create, restart };

static void
test_layout (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  const char *key = "ABcdef01-2345-6789-abcd-ef0123456789";
  g_autofree char *blob =
    g_build_filename (fixture->primary_name, "ab", "abcdef0123456789abcdef0123456789", NULL);
  g_autofree char *persisted =
    g_build_filename (fixture->path_name, "ab", "abcdef0123456789abcdef0123456789", NULL);
  g_autofree char *root = g_build_filename (fixture->path_name, "root", NULL);
  g_autofree char *marker = g_build_filename (fixture->path_name, ".backingstore", NULL);
  g_autofree char *content = NULL;
  gsize size;

  g_assert_false (exists (fixture->primary_name));
  use_large_blobs (fixture);
  write_blob (fixture, key);
  g_assert_true (g_file_get_contents (blob, &content, &size, NULL));
  g_assert_cmpmem (content, size, g_bytes_get_data (fixture->bytes, NULL),
                   g_bytes_get_size (fixture->bytes));
  g_clear_pointer (&content, g_free);

  persist_blob (fixture, key);
  g_assert_cmpint (get_inode (persisted), ==, get_inode (blob));

  bs_backing_write_root (fixture->backing, fixture->path, fixture->bytes, NULL, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (g_file_get_contents (root, &content, &size, NULL));
  g_assert_cmpmem (content, size, g_bytes_get_data (fixture->bytes, NULL),
                   g_bytes_get_size (fixture->bytes));
  g_clear_pointer (&content, g_free);

  g_assert_true (g_file_get_contents (marker, &content, NULL, NULL));
  g_assert_cmpstr (content, ==, "backingstore 1 persisted\n");

  /* The blob, the root, the marker, the lock: nothing else. */
  sync_path (fixture);
  g_assert_cmpuint (count_files (fixture->path_name), ==, 4);

  delete_scratch (fixture, key);
  g_assert_false (exists (blob));
  register_blob (fixture, key);
  g_assert_cmpint (get_inode (persisted), ==, get_inode (blob));
  assert_transfers (fixture->backing, 2, 0, 0);
}

static void
check_modes (const char *directory)
{
  g_autoptr (GDir) dir = g_dir_open (directory, 0, NULL);
  const char *name;

  g_assert_cmphex (get_mode (directory), ==, 0700);
  while ((name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (directory, name, NULL);

      if (g_file_test (path, G_FILE_TEST_IS_DIR))
        check_modes (path);
      else
        g_assert_cmphex (get_mode (path), ==, 0600);
    }
}

static void
test_modes (Fixture *fixture, gconstpointer data)
{
  static const mode_t masks[] = { 0, 022, 0777 };

  for (guint i = 0; i < G_N_ELEMENTS (masks); i++)
    {
      g_autoptr (GError) error = NULL;
      mode_t old = umask (masks[i]);

      write_blob (fixture, fixture->key);
      persist_blob (fixture, fixture->key);
      bs_backing_write_root (fixture->backing, fixture->path, fixture->bytes, NULL, NULL, &error);
      umask (old);
      g_assert_no_error (error);

      check_modes (fixture->primary_name);
      check_modes (fixture->path_name);

      g_assert_finalize_object (fixture->backing);
      remove_test_directory (fixture->primary_name);
      remove_test_directory (fixture->path_name);
      fixture->backing = create (fixture->primary);
    }
}

/* Which on most mounts is noted by the first reading after a change. */
static void
test_time_of_access (Fixture *fixture, gconstpointer data)
{
  const struct timespec times[] = { { .tv_sec = 1000 }, { .tv_sec = 2000 } };
  g_autofree char *blob = get_blob_name (fixture->path_name, fixture->key);
  g_autoptr (GError) error = NULL;
  struct stat status;

  write_blob (fixture, fixture->key);
  persist_blob (fixture, fixture->key);
  g_assert_cmpint (utimensat (AT_FDCWD, blob, times, 0), ==, 0);

  assert_reads (fixture->backing, fixture->key, fixture->bytes);
  bs_backing_verify_persisted (fixture->backing, fixture->path, fixture->key, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (lstat (blob, &status), ==, 0);
  g_assert_cmpint (status.st_atime, ==, 1000);
}

static void
test_vanished_folders (Fixture *fixture, gconstpointer data)
{
  g_autofree char *scratch_shard = get_shard_name (fixture->primary_name, fixture->key);
  g_autofree char *path_shard = get_shard_name (fixture->path_name, fixture->key);
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < 3; i++)
    {
      write_blob (fixture, fixture->key);
      persist_blob (fixture, fixture->key);

      remove_test_directory (path_shard);
      g_assert_false (
        bs_backing_register_key (fixture->backing, fixture->path, fixture->key, NULL, &error));
      g_assert_error (error, BS_ERROR, BS_ERROR_NOT_FOUND);
      g_clear_error (&error);
      g_assert_true (
        bs_backing_delete_persisted (fixture->backing, fixture->path, fixture->key, NULL, &error));
      g_assert_no_error (error);
      persist_blob (fixture, fixture->key);
      g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 1);

      remove_test_directory (scratch_shard);
      assert_does_not_read (fixture->backing, fixture->key);
      register_blob (fixture, fixture->key);

      remove_test_directory (scratch_shard);
      delete_scratch (fixture, fixture->key);
    }

  /* Made anew by somebody else, as from a backup. */
  write_blob (fixture, fixture->key);
  persist_blob (fixture, fixture->key);
  {
    g_autofree char *saved = g_strconcat (path_shard, ".saved", NULL);
    g_autofree char *blob = get_blob_name (fixture->path_name, fixture->key);
    g_autofree char *hex = g_path_get_basename (blob);
    g_autofree char *copy = g_build_filename (saved, hex, NULL);

    g_mkdir (saved, 0700);
    g_assert_cmpint (link (blob, copy), ==, 0);
    remove_test_directory (path_shard);
    g_assert_cmpint (g_rename (saved, path_shard), ==, 0);
  }
  delete_scratch (fixture, fixture->key);
  register_blob (fixture, fixture->key);

  /* The old one need not be gone for that. */
  {
    g_autofree char *aside = g_strconcat (path_shard, ".aside", NULL);
    g_autofree char *blob = get_blob_name (fixture->path_name, fixture->key);
    g_autofree char *hex = g_path_get_basename (blob);
    g_autofree char *moved = g_build_filename (aside, hex, NULL);

    g_assert_cmpint (g_rename (path_shard, aside), ==, 0);
    g_mkdir (path_shard, 0700);
    g_assert_cmpint (g_rename (moved, blob), ==, 0);
    delete_scratch (fixture, fixture->key);
    register_blob (fixture, fixture->key);
    g_assert_cmpint (g_rmdir (aside), ==, 0);
  }
}

/* A scratch directory that is renamed while it is in use is used where it is now. */
static void
test_renamed_scratch (Fixture *fixture, gconstpointer data)
{
  g_autofree char *new_primary = g_strconcat (fixture->primary_name, "-renamed", NULL);
  g_autofree char *other = NULL;

  write_blob (fixture, fixture->key);
  persist_blob (fixture, fixture->key);
  sync_path (fixture);
  g_assert_cmpint (g_rename (fixture->primary_name, new_primary), ==, 0);

  other = write_other (fixture);
  persist_blob (fixture, other);
  sync_path (fixture);
  delete_scratch (fixture, other);
  register_blob (fixture, other);
  assert_reads (fixture->backing, fixture->key, fixture->bytes);
  g_assert_false (exists (fixture->primary_name));
}

static void
test_stray_unlink (Fixture *fixture, gconstpointer data)
{
  g_autofree char *scratch = get_blob_name (fixture->primary_name, fixture->key);
  g_autofree char *persisted = get_blob_name (fixture->path_name, fixture->key);
  g_autoptr (GError) error = NULL;

  write_blob (fixture, fixture->key);
  persist_blob (fixture, fixture->key);

  g_assert_cmpint (g_unlink (persisted), ==, 0);
  g_assert_true (
    bs_backing_delete_persisted (fixture->backing, fixture->path, fixture->key, NULL, &error));
  g_assert_no_error (error);
  persist_blob (fixture, fixture->key);

  g_assert_cmpint (g_unlink (scratch), ==, 0);
  delete_scratch (fixture, fixture->key);
  register_blob (fixture, fixture->key);
}

/* Calls, of which some must fail now that a link was planted. */
static void
use_all (Fixture *fixture)
{
  g_autoptr (BsKeySet) keys = bs_key_set_new ();
  g_autoptr (BsKeySet) found = bs_key_set_new ();
  g_autoptr (GBytes) bytes = NULL;
  GFile *path = fixture->path;
  const char *key = fixture->key;

  bs_key_set_add (keys, key, NULL);
  bs_backing_sanitize_path (fixture->backing, path, found, NULL, NULL);
  bs_backing_persist (fixture->backing, path, key, NULL, NULL);
  bs_backing_register_key (fixture->backing, path, key, NULL, NULL);
  bs_backing_register_keys (fixture->backing, path, keys, NULL, NULL);
  bytes = bs_backing_read (fixture->backing, key, NULL, NULL);
  if (bytes != NULL)
    g_assert_true (g_bytes_equal (bytes, fixture->bytes));
  bs_backing_delete_persisted (fixture->backing, path, key, NULL, NULL);
  bs_backing_delete_persisted_keys (fixture->backing, path, keys, NULL, NULL);
  bs_backing_delete_key (fixture->backing, key, NULL, NULL);
  bs_backing_write (fixture->backing, key, fixture->bytes, NULL, NULL);
  bs_backing_delete_key (fixture->backing, key, NULL, NULL);
}

/* `used` says whether our calls have been in the folder before. */
static void
check_planted_links (Fixture *fixture, gboolean used)
{
  const char *const directories[] = { fixture->path_name, fixture->primary_name };
  g_autofree char *outside = g_build_filename (fixture->directory, "outside", NULL);

  for (guint i = 0; i < G_N_ELEMENTS (directories); i++)
    {
      g_autofree char *shard = get_shard_name (directories[i], fixture->key);
      g_autofree char *blob = get_blob_name (directories[i], fixture->key);
      g_autofree char *outside_blob = get_blob_name (outside, fixture->key);
      g_autofree char *outside_shard = get_shard_name (outside, fixture->key);
      g_autofree char *before = NULL;
      g_autofree char *after = NULL;

      plant (outside_blob, "secret");
      before = snapshot (outside);

      if (used)
        {
          write_blob (fixture, fixture->key);
          persist_blob (fixture, fixture->key);
        }
      else
        {
          g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 0);
        }

      /* In place of the shard folder. */
      if (exists (shard))
        remove_test_directory (shard);
      g_assert_cmpint (symlink (outside_shard, shard), ==, 0);
      use_all (fixture);
      after = snapshot (outside);
      g_assert_cmpstr (after, ==, before);
      g_assert_true (g_file_test (shard, G_FILE_TEST_IS_SYMLINK));
      g_assert_cmpint (g_unlink (shard), ==, 0);

      /* In place of the blob. */
      g_assert_cmpint (g_mkdir (shard, 0700), ==, 0);
      g_assert_cmpint (symlink (outside_blob, blob), ==, 0);
      use_all (fixture);
      g_free (after);
      after = snapshot (outside);
      g_assert_cmpstr (after, ==, before);
      g_unlink (blob);

      use_all (fixture);
      remove_test_directory (outside);
    }
}

static void
test_symbolic_links (Fixture *fixture, gconstpointer data)
{
  check_planted_links (fixture, FALSE);
  check_planted_links (fixture, TRUE);
}

static void
test_wrong_thing_in_place (Fixture *fixture, gconstpointer data)
{
  g_autofree char *scratch = get_blob_name (fixture->primary_name, fixture->key);
  g_autofree char *persisted = get_blob_name (fixture->path_name, fixture->key);
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GError) error = NULL;

  write_blob (fixture, fixture->key);
  persist_blob (fixture, fixture->key);

  /* Opening a FIFO must not wait for its other end. */
  g_assert_cmpint (g_unlink (scratch), ==, 0);
  g_assert_cmpint (mkfifo (scratch, 0600), ==, 0);
  bytes = bs_backing_read (fixture->backing, fixture->key, NULL, &error);
  g_assert_null (bytes);
  g_assert_error (error, BS_ERROR, BS_ERROR_CORRUPT);
  g_clear_error (&error);
  delete_scratch (fixture, fixture->key);

  g_assert_cmpint (g_mkdir (scratch, 0700), ==, 0);
  bytes = bs_backing_read (fixture->backing, fixture->key, NULL, &error);
  g_assert_null (bytes);
  g_assert_error (error, BS_ERROR, BS_ERROR_CORRUPT);
  g_clear_error (&error);
  g_assert_false (
    bs_backing_register_key (fixture->backing, fixture->path, fixture->key, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_CORRUPT);
  g_clear_error (&error);
  g_assert_cmpint (g_rmdir (scratch), ==, 0);
  register_blob (fixture, fixture->key);

  g_assert_cmpint (g_unlink (persisted), ==, 0);
  g_assert_cmpint (g_mkdir (persisted, 0700), ==, 0);
  g_assert_false (bs_backing_persist (fixture->backing, fixture->path, fixture->key, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_CORRUPT);
  g_clear_error (&error);
  delete_scratch (fixture, fixture->key);
  g_assert_false (
    bs_backing_register_key (fixture->backing, fixture->path, fixture->key, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_CORRUPT);
}

/* The wrappers let no such call through; a cancellable may fire right behind them. */
static void
test_cancelled (Fixture *fixture, gconstpointer data)
{
  BsBackingInterface *iface = BS_BACKING_GET_IFACE (fixture->backing);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;
  g_autoptr (BsKeySet) keys = bs_key_set_new ();
  g_autoptr (GBytes) bytes = NULL;
  g_autofree char *persisted = bs_key_generate ();
  g_autofree char *written = NULL;

  write_blob (fixture, persisted);
  persist_blob (fixture, persisted);
  bs_key_set_add (keys, persisted, NULL);
  written = write_other (fixture);
  g_cancellable_cancel (cancellable);

  g_assert_false (
    iface->write (fixture->backing, fixture->key, fixture->bytes, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  assert_does_not_read (fixture->backing, fixture->key);

  g_assert_false (iface->persist_bytes (fixture->backing, fixture->path, fixture->key,
                                        fixture->bytes, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  assert_does_not_read (fixture->backing, fixture->key);

  /* A blob that scratch has already stays there. */
  g_assert_false (iface->persist_bytes (fixture->backing, fixture->path, written, fixture->bytes,
                                        cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  assert_reads (fixture->backing, written, fixture->bytes);

  bytes = iface->read (fixture->backing, persisted, cancellable, &error);
  g_assert_null (bytes);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);

  g_assert_false (
    iface->delete_persisted_keys (fixture->backing, fixture->path, keys, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);

  g_assert_false (
    iface->write_root (fixture->backing, fixture->path, fixture->bytes, NULL, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);

  g_assert_false (
    iface->sanitize_path (fixture->backing, fixture->path, keys, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);

  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 1);
  g_assert_cmpuint (count_files (fixture->path_name), ==, 3);
}

/* Only the wrappers check keys. */
static void
test_no_key_leads_outside (Fixture *fixture, gconstpointer data)
{
  static const char *const keys[] = { "", "../../outside", "/etc/passwd",
                                      "ab/abcdef0123456789abcdef01234567",
                                      "abcdef01-2345-6789-abcd-ef012345678/" };
  BsBackingInterface *iface = BS_BACKING_GET_IFACE (fixture->backing);

  for (guint i = 0; i < G_N_ELEMENTS (keys); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_false (iface->write (fixture->backing, keys[i], fixture->bytes, NULL, &error));
      g_assert_error (error, BS_ERROR, BS_ERROR_INVALID_KEY);
    }
}

static void
test_closed (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = NULL;
  g_autofree char *persisted = get_blob_name (fixture->path_name, fixture->key);
  g_autofree char *marker = g_build_filename (fixture->primary_name, ".backingstore", NULL);

  write_blob (fixture, fixture->key);
  persist_blob (fixture, fixture->key);
  g_assert_true (bs_backing_close (fixture->backing, NULL, &error));
  g_assert_no_error (error);

  /* The marker and the lock stay. */
  g_assert_cmpuint (count_files (fixture->primary_name), ==, 2);
  g_assert_true (exists (marker));
  g_assert_true (exists (persisted));

  g_assert_false (bs_backing_write (fixture->backing, fixture->key, fixture->bytes, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_CLOSED);
  g_clear_error (&error);
  bytes = bs_backing_read (fixture->backing, fixture->key, NULL, &error);
  g_assert_error (error, BS_ERROR, BS_ERROR_CLOSED);
  g_clear_error (&error);
  error = sanitize_error (fixture->backing, fixture->path);
  g_assert_error (error, BS_ERROR, BS_ERROR_CLOSED);
  g_clear_error (&error);
  g_assert_false (bs_backing_sync_persisted (fixture->backing, fixture->path, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_CLOSED);
  g_clear_error (&error);

  g_assert_true (bs_backing_release_path (fixture->backing, fixture->path, NULL, &error));
  g_assert_true (bs_backing_close (fixture->backing, NULL, &error));
  g_assert_no_error (error);
}

static void
test_not_local (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GFile) remote = g_file_new_for_uri ("nowhere://host/path");
  g_autoptr (BsBacking) backing = create (remote);
  g_autoptr (BsBacking) bare = g_object_new (BS_TYPE_FILE_BACKING, NULL);
  g_autoptr (GError) error = NULL;

  error = sanitize_error (fixture->backing, remote);
  g_assert_error (error, BS_ERROR, BS_ERROR_NOT_SUPPORTED);
  g_clear_error (&error);

  g_assert_false (bs_backing_write (backing, fixture->key, fixture->bytes, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_NOT_SUPPORTED);
  g_clear_error (&error);
  error = sanitize_error (backing, fixture->path);
  g_assert_error (error, BS_ERROR, BS_ERROR_NOT_SUPPORTED);
  g_clear_error (&error);
  g_assert_false (exists (fixture->path_name));

  g_assert_false (bs_backing_write (bare, fixture->key, fixture->bytes, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_NOT_SUPPORTED);
}

static void
test_temporary (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *parent = g_build_filename (g_get_user_cache_dir (), "backingstore", NULL);

  for (guint i = 0; i < 3; i++)
    {
      g_autofree char *name = NULL;

      g_clear_object (&fixture->backing);
      fixture->backing = BS_BACKING (bs_file_backing_new_temporary (&error));
      g_assert_no_error (error);
      name = g_file_get_path (bs_file_backing_get_directory (BS_FILE_BACKING (fixture->backing)));
      g_assert_true (g_str_has_prefix (name, parent));
      g_assert_cmphex (get_mode (name), ==, 0700);

      /* The directory goes unused, on closing, and with the last reference. */
      if (i > 0)
        {
          write_blob (fixture, fixture->key);
          persist_blob (fixture, fixture->key);
          bs_backing_release_path (fixture->backing, fixture->path, NULL, NULL);
        }
      if (i == 1)
        {
          bs_backing_close (fixture->backing, NULL, &error);
          g_assert_no_error (error);
          g_assert_false (exists (name));
        }
      g_clear_object (&fixture->backing);
      g_assert_false (exists (name));
    }

  g_assert_cmpuint (count_files (fixture->path_name), ==, 3);
}

static void
test_properties (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GFile) directory = NULL;
  g_autoptr (BsFileBackingStats) stats = NULL;
  g_autoptr (BsFileBackingStats) copy = NULL;

  g_object_get (fixture->backing, "directory", &directory, NULL);
  g_assert_true (g_file_equal (directory, fixture->primary));
  g_assert_true (bs_file_backing_get_directory (BS_FILE_BACKING (fixture->backing)) == directory);

  write_blob (fixture, fixture->key);
  persist_blob (fixture, fixture->key);
  stats = bs_file_backing_get_stats (BS_FILE_BACKING (fixture->backing));
  copy = g_boxed_copy (BS_TYPE_FILE_BACKING_STATS, stats);
  g_assert_cmpuint (copy->linked, ==, 1);
}

static void
drop_backing (Fixture *fixture)
{
  g_object_unref (fixture->backing);
}

static void
close_backing (Fixture *fixture)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (bs_backing_close (fixture->backing, NULL, &error));
  g_assert_no_error (error);
  g_object_unref (fixture->backing);
}

/* The call has an `error` to set. */
#define assert_forked(call)                                                                        \
  G_STMT_START                                                                                     \
  {                                                                                                \
    g_autoptr (GError) error = NULL;                                                               \
    g_assert_false (call);                                                                         \
    g_assert_error (error, BS_ERROR, BS_ERROR_CLOSED);                                             \
    g_assert_nonnull (strstr (error->message, "forked"));                                          \
  }                                                                                                \
  G_STMT_END

static void
use_backing (Fixture *fixture)
{
  BsBacking *backing = fixture->backing;
  GFile *path = fixture->path;
  g_autofree char *other = bs_key_generate ();
  g_autoptr (BsKeySet) found = bs_key_set_new ();

  assert_forked (bs_backing_write (backing, other, fixture->bytes, NULL, &error));
  assert_forked (bs_backing_read (backing, fixture->key, NULL, &error) != NULL);
  assert_forked (bs_backing_delete_key (backing, fixture->key, NULL, &error));
  assert_forked (bs_backing_persist (backing, path, fixture->key, NULL, &error));
  assert_forked (bs_backing_delete_persisted (backing, path, fixture->key, NULL, &error));
  assert_forked (bs_backing_sync_persisted (backing, path, NULL, &error));
  assert_forked (bs_backing_write_root (backing, path, fixture->bytes, NULL, NULL, &error));
  assert_forked (bs_backing_sanitize_path (backing, path, found, NULL, &error));
}

/* A forked child can't use its copy of the object, nor harm its parent's blobs with it. */
static void
test_fork (Fixture *fixture, gconstpointer data)
{
  g_autofree char *before = NULL;

  write_blob (fixture, fixture->key);
  persist_blob (fixture, fixture->key);
  before = snapshot (fixture->directory);
  run_and_crash (drop_backing, fixture);
  run_and_crash (close_backing, fixture);
  run_apart (use_backing, fixture);
  assert_unchanged (fixture->directory, before);

  assert_reads (fixture->backing, fixture->key, fixture->bytes);
  {
    g_autoptr (BsBacking) other = create (fixture->primary);
    g_autoptr (GError) error = NULL;

    g_assert_false (bs_backing_delete_key (other, fixture->key, NULL, &error));
    g_assert_error (error, BS_ERROR, BS_ERROR_BUSY);
  }
}

/* Not even what has nothing in it yet. */
static void
test_fork_temporary (Fixture *fixture, gconstpointer data)
{
  g_autofree char *name = NULL;
  g_autoptr (GError) error = NULL;

  g_clear_object (&fixture->backing);
  fixture->backing = BS_BACKING (bs_file_backing_new_temporary (&error));
  g_assert_no_error (error);
  name = g_file_get_path (bs_file_backing_get_directory (BS_FILE_BACKING (fixture->backing)));

  run_and_crash (drop_backing, fixture);
  g_assert_true (exists (name));
}

static void
test_few_descriptors_process (Fixture *fixture, gconstpointer data)
{
  const struct rlimit few = { 40, 40 };
  g_autoptr (GPtrArray) keys = g_ptr_array_new_with_free_func (g_free);

  g_assert_cmpint (setrlimit (RLIMIT_NOFILE, &few), ==, 0);

  for (guint i = 0; i < 600; i++)
    {
      char *key = bs_key_generate ();

      g_ptr_array_add (keys, key);
      write_blob (fixture, key);
      persist_blob (fixture, key);
      delete_scratch (fixture, key);
    }
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, keys->len);

  for (guint i = 0; i < keys->len; i++)
    {
      g_autoptr (GError) error = NULL;

      register_blob (fixture, keys->pdata[i]);
      bs_backing_delete_persisted (fixture->backing, fixture->path, keys->pdata[i], NULL, &error);
      g_assert_no_error (error);
      delete_scratch (fixture, keys->pdata[i]);
    }
  assert_transfers (fixture->backing, 1200, 0, 0);

  /* No descriptor is left for this one's folder. */
  test_vanished_folders (fixture, NULL);
  delete_scratch (fixture, fixture->key);
  bs_backing_delete_persisted (fixture->backing, fixture->path, fixture->key, NULL, NULL);
  test_symbolic_links (fixture, NULL);
}

/* The share of a process's descriptors is reckoned once, so in a new process. */
static void
test_few_descriptors (void)
{
  g_test_trap_subprocess ("/file-backing/few-descriptors/subprocess", 0, G_TEST_SUBPROCESS_DEFAULT);
  g_test_trap_assert_passed ();
}

int
main (int argc, char *argv[])
{
  static const struct
  {
    const char *name;
    void (*func) (Fixture *fixture, gconstpointer data);
  } tests[] = {
    { "layout", test_layout },
    { "modes", test_modes },
    { "time-of-access", test_time_of_access },
    { "vanished-folders", test_vanished_folders },
    { "renamed-scratch", test_renamed_scratch },
    { "stray-unlink", test_stray_unlink },
    { "symbolic-links", test_symbolic_links },
    { "wrong-thing-in-place", test_wrong_thing_in_place },
    { "cancelled", test_cancelled },
    { "no-key-leads-outside", test_no_key_leads_outside },
    { "closed", test_closed },
    { "not-local", test_not_local },
    { "temporary", test_temporary },
    { "properties", test_properties },
    { "fork", test_fork },
    { "fork-temporary", test_fork_temporary },
    { "few-descriptors/subprocess", test_few_descriptors_process },
  };

  g_autofree char *cache = NULL;
  int result;

  g_test_init (&argc, &argv, NULL);

  /* G_TEST_OPTION_ISOLATE_DIRS would do, if it did not leak. */
  cache = make_test_directory ();
  g_setenv ("XDG_CACHE_HOME", cache, TRUE);

  backing_contract_add_tests (&kind);
  for (guint i = 0; i < G_N_ELEMENTS (tests); i++)
    {
      g_autofree char *name = g_strdup_printf ("/file-backing/%s", tests[i].name);

      g_test_add (name, Fixture, NULL, set_up, tests[i].func, tear_down);
    }
  g_test_add_func ("/file-backing/few-descriptors", test_few_descriptors);

  result = g_test_run ();
  remove_test_directory (cache);

  return result;
}
