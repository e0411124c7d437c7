/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* A persisted path is a directory, not a name. */

#include "file-fixture.h"
#include "file-mount.h"

#include "backings/bs-file-system-private.h"
#include "base/bs-backing-private.h"
#include "base/bs-key-set-private.h"

#include <dirent.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static guint n_lists; /* atomic: how often a folder was listed */

/* Stands before the C library's. */
gssize
getdents64 (int fd, void *buffer, size_t size)
{
  g_atomic_int_inc (&n_lists);

  return syscall (SYS_getdents64, fd, buffer, size);
}

static GFile *
open_named (Fixture *fixture, const char *name)
{
  g_autoptr (GFile) file = g_file_new_for_path (name);
  g_autoptr (BsKeySet) found = bs_key_set_new ();
  g_autoptr (GError) error = NULL;
  gboolean writable = FALSE;
  GFile *path = bs_backing_invoke_open_path (fixture->backing, file, &writable, NULL, &error);

  g_assert_no_error (error);
  g_assert_true (writable);
  g_assert_true (bs_backing_sanitize_path (fixture->backing, path, found, NULL, &error));
  g_assert_no_error (error);

  return path;
}

static void
persist_at (Fixture *fixture, GFile *path, const char *key)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (bs_backing_persist (fixture->backing, path, key, NULL, &error));
  g_assert_no_error (error);
  g_assert_true (bs_backing_sync_persisted (fixture->backing, path, NULL, &error));
  g_assert_no_error (error);
}

static void
write_root_at (Fixture *fixture, GFile *path, const char *content)
{
  g_autoptr (GBytes) root = g_bytes_new (content, strlen (content));
  g_autoptr (GError) error = NULL;

  g_assert_true (bs_backing_write_root (fixture->backing, path, root, NULL, NULL, &error));
  g_assert_no_error (error);
}

/* Nothing at the path can be changed or declared safe any more, and nothing is. */
static void
assert_moved (Fixture *fixture, GFile *path, const char *place)
{
  g_autofree char *other = write_other (fixture);
  g_autofree char *never = bs_key_generate ();
  g_autofree char *before = snapshot (place);
  g_autoptr (GBytes) root = g_bytes_new_static ("new", 3);
  g_autoptr (BsKeySet) keys = bs_key_set_new ();
  g_autoptr (GError) error = NULL;

  g_assert_true (bs_key_set_add (keys, fixture->key, NULL));
  g_assert_false (bs_backing_sync_persisted (fixture->backing, path, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_MOVED);
  g_clear_error (&error);
  g_assert_false (bs_backing_write_root (fixture->backing, path, root, NULL, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_MOVED);
  g_clear_error (&error);
  g_assert_false (bs_backing_invoke_check_path (fixture->backing, path, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_MOVED);
  g_clear_error (&error);
  g_assert_false (bs_backing_persist (fixture->backing, path, other, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_MOVED);
  g_clear_error (&error);
  g_assert_false (
    bs_backing_persist_bytes (fixture->backing, path, never, fixture->bytes, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_MOVED);
  g_clear_error (&error);
  assert_does_not_read (fixture->backing, never);
  g_assert_false (bs_backing_delete_persisted (fixture->backing, path, fixture->key, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_MOVED);
  g_clear_error (&error);
  g_assert_false (bs_backing_delete_persisted_keys (fixture->backing, path, keys, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_MOVED);
  assert_unchanged (place, before);
}

static void
assert_works (Fixture *fixture, GFile *path)
{
  g_autofree char *other = write_other (fixture);
  g_autoptr (GError) error = NULL;

  g_assert_true (bs_backing_invoke_check_path (fixture->backing, path, NULL, &error));
  g_assert_no_error (error);
  persist_at (fixture, path, other);
  write_root_at (fixture, path, "root");
}

/* The document is renamed while it is open, and another one made under its old name. */
static void
test_renamed (Fixture *fixture, gconstpointer data)
{
  g_autofree char *aside = g_strconcat (fixture->path_name, "-renamed", NULL);
  g_autoptr (GFile) path = NULL;
  g_autoptr (GFile) again = NULL;
  g_autoptr (GFile) other = NULL;
  g_autoptr (GBytes) root = NULL;
  g_autoptr (GError) error = NULL;

  write_blob (fixture, fixture->key);
  path = open_named (fixture, fixture->path_name);
  persist_at (fixture, path, fixture->key);
  write_root_at (fixture, path, "first");
  g_assert_cmpint (g_rename (fixture->path_name, aside), ==, 0);
  assert_moved (fixture, path, aside);

  other = open_named (fixture, fixture->path_name);
  g_assert_true (other != path);
  write_root_at (fixture, other, "second");
  assert_moved (fixture, path, aside);
  root = bs_backing_read_root (fixture->backing, path, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpmem (g_bytes_get_data (root, NULL), g_bytes_get_size (root), "first", 5);

  again = open_named (fixture, aside);
  g_assert_true (again == path);
  assert_works (fixture, path);
  assert_works (fixture, other);
}

/* Its old name leads to it again. */
static void
test_renamed_back (Fixture *fixture, gconstpointer data)
{
  g_autofree char *aside = g_strconcat (fixture->path_name, "-renamed", NULL);
  g_autoptr (GFile) path = NULL;

  write_blob (fixture, fixture->key);
  path = open_named (fixture, fixture->path_name);
  persist_at (fixture, path, fixture->key);
  g_assert_cmpint (g_rename (fixture->path_name, aside), ==, 0);
  assert_moved (fixture, path, aside);
  g_assert_cmpint (g_rename (aside, fixture->path_name), ==, 0);
  assert_works (fixture, path);
}

static void
test_exchanged (Fixture *fixture, gconstpointer data)
{
  g_autofree char *other_name = g_strconcat (fixture->path_name, "-other", NULL);
  g_autofree char *aside = g_strconcat (fixture->path_name, "-aside", NULL);
  g_autoptr (GFile) path = NULL;
  g_autoptr (GFile) other = NULL;
  g_autoptr (GFile) again = NULL;

  write_blob (fixture, fixture->key);
  path = open_named (fixture, fixture->path_name);
  other = open_named (fixture, other_name);
  persist_at (fixture, path, fixture->key);
  persist_at (fixture, other, fixture->key);

  g_assert_cmpint (g_rename (fixture->path_name, aside), ==, 0);
  g_assert_cmpint (g_rename (other_name, fixture->path_name), ==, 0);
  g_assert_cmpint (g_rename (aside, other_name), ==, 0);
  assert_moved (fixture, path, other_name);
  assert_moved (fixture, other, fixture->path_name);

  again = open_named (fixture, other_name);
  g_assert_true (again == path);
  assert_works (fixture, path);
  assert_moved (fixture, other, fixture->path_name);
}

/* Nothing is left of it. */
static void
test_removed (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GFile) path = NULL;
  g_autoptr (GFile) other = NULL;
  g_autoptr (GBytes) root = NULL;
  g_autoptr (GError) error = NULL;

  write_blob (fixture, fixture->key);
  path = open_named (fixture, fixture->path_name);
  persist_at (fixture, path, fixture->key);
  remove_test_directory (fixture->path_name);

  g_assert_false (bs_backing_sync_persisted (fixture->backing, path, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_MOVED);
  g_clear_error (&error);
  root = bs_backing_read_root (fixture->backing, path, NULL, &error);
  g_assert_error (error, BS_ERROR, BS_ERROR_MOVED);
  g_clear_error (&error);
  g_assert_false (bs_backing_register_key (fixture->backing, path, fixture->key, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_MOVED);
  g_clear_error (&error);

  other = open_named (fixture, fixture->path_name);
  g_assert_true (other != path);
  assert_works (fixture, other);
  g_assert_false (bs_backing_sync_persisted (fixture->backing, path, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_MOVED);
}

/* Writes over the file that has the name, or gives the name to another one. */
static void
put (const char *name, const char *content, gboolean in_place)
{
  int fd;

  if (!in_place)
    g_assert_no_errno (g_unlink (name));
  fd = open (name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  g_assert_no_errno (fd);
  g_assert_cmpint (write (fd, content, strlen (content)), ==, strlen (content));
  close (fd);
}

/* Changed on the way by another machine, which a kernel's own lock does not stop, or by a
 * backup that is restored over an open document. Opening it once more takes the lock. */
static void
test_lock_replaced (Fixture *fixture, gconstpointer data)
{
  g_autofree char *lock = g_build_filename (fixture->path_name, ".lock", NULL);
  g_autofree char *marker = g_build_filename (fixture->path_name, ".backingstore", NULL);
  g_autofree char *away = g_strdup_printf ("machine host boot %032d\n", 0);
  const char *const contents[] = { "", away };
  g_autoptr (GFile) path = NULL;

  write_blob (fixture, fixture->key);
  path = open_named (fixture, fixture->path_name);
  persist_at (fixture, path, fixture->key);

  for (guint i = 0; i < 8; i++)
    {
      g_autoptr (GFile) again = NULL;

      put (lock, contents[i & 1], (i & 2) != 0);
      if (i & 4)
        g_assert_no_errno (g_unlink (marker));
      assert_moved (fixture, path, fixture->path_name);
      again = open_named (fixture, fixture->path_name);
      g_assert_true (again == path);
      g_assert_true (g_file_test (marker, G_FILE_TEST_IS_REGULAR));
      assert_works (fixture, path);
    }
}

/* Something else than a file, and a holder that has it, keep it from being opened again. */
static void
test_lock_lost (Fixture *fixture, gconstpointer data)
{
  g_autofree char *lock = g_build_filename (fixture->path_name, ".lock", NULL);
  g_autoptr (GFile) file = g_file_new_for_path (fixture->path_name);
  g_autoptr (GFile) path = open_named (fixture, fixture->path_name);
  g_autoptr (GFile) none = NULL;
  g_autoptr (GFile) again = NULL;
  g_autoptr (GError) error = NULL;
  gboolean writable;
  int fd;

  write_blob (fixture, fixture->key);
  persist_at (fixture, path, fixture->key);
  g_assert_no_errno (g_unlink (lock));
  g_assert_no_errno (g_mkdir (lock, 0700));
  assert_moved (fixture, path, fixture->path_name);
  none = bs_backing_invoke_open_path (fixture->backing, file, &writable, NULL, &error);
  g_assert_error (error, BS_ERROR, BS_ERROR_FOREIGN);
  g_assert_null (none);
  g_clear_error (&error);
  assert_moved (fixture, path, fixture->path_name);

  g_assert_no_errno (g_rmdir (lock));
  fd = open (lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  g_assert_no_errno (flock (fd, LOCK_EX | LOCK_NB));
  none = bs_backing_invoke_open_path (fixture->backing, file, &writable, NULL, &error);
  g_assert_error (error, BS_ERROR, BS_ERROR_BUSY);
  g_assert_null (none);
  assert_moved (fixture, path, fixture->path_name);

  close (fd);
  again = open_named (fixture, fixture->path_name);
  g_assert_true (again == path);
  assert_works (fixture, path);
}

/* A directory that may not be searched any more has not moved. */
static void
test_no_permission (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GFile) path = NULL;
  g_autoptr (GError) error = NULL;

  if (geteuid () != 0)
    {
      g_test_skip ("Being another user needs root");
      return;
    }

  write_blob (fixture, fixture->key);
  path = open_named (fixture, fixture->path_name);
  persist_at (fixture, path, fixture->key);
  g_assert_no_errno (g_chmod (fixture->directory, 0755));
  g_assert_no_errno (g_chmod (fixture->path_name, 0));
  g_assert_no_errno (seteuid (NOBODY));
  g_assert_false (bs_backing_invoke_check_path (fixture->backing, path, NULL, &error));
  g_assert_no_errno (seteuid (0));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);

  g_assert_no_errno (g_chmod (fixture->path_name, 0700));
  assert_works (fixture, path);
}

/* One directory by any of its names. */
static void
test_names (Fixture *fixture, gconstpointer data)
{
  g_autofree char *link = g_strconcat (fixture->path_name, "-link", NULL);
  g_autofree char *spelled = g_strconcat (fixture->directory, "/.//primary/../persisted/", NULL);
  g_autoptr (GFile) path = NULL;
  g_autoptr (GFile) by_link = NULL;
  g_autoptr (GFile) by_spelling = NULL;

  write_blob (fixture, fixture->key);
  path = open_named (fixture, fixture->path_name);
  g_assert_cmpint (symlink (fixture->path_name, link), ==, 0);
  by_link = open_named (fixture, link);
  g_assert_true (by_link == path);
  assert_works (fixture, path);

  /* The name that counts is the one that was given last. */
  g_assert_cmpint (g_unlink (link), ==, 0);
  assert_moved (fixture, path, fixture->path_name);
  by_spelling = open_named (fixture, spelled);
  g_assert_true (by_spelling == path);
  assert_works (fixture, path);
}

static void
test_bind_mount (Fixture *fixture, gconstpointer data)
{
  g_autoptr (Mount) memory = mount_new (fixture->directory, "tmpfs", 0);
  g_autoptr (Mount) bound = NULL;
  g_autofree char *name = NULL;
  g_autofree char *bound_name = NULL;
  g_autoptr (GFile) path = NULL;
  g_autoptr (GFile) by_bind = NULL;

  if (memory == NULL)
    return;

  bound = mount_bind (memory, fixture->directory);
  name = g_build_filename (mount_get_path (memory), "path", NULL);
  bound_name = g_build_filename (mount_get_path (bound), "path", NULL);
  write_blob (fixture, fixture->key);
  path = open_named (fixture, name);
  by_bind = open_named (fixture, bound_name);
  g_assert_true (by_bind == path);
  assert_works (fixture, path);

  g_clear_object (&path);
  g_clear_object (&by_bind);
  g_clear_object (&fixture->backing);
}

/* By one name it can be read, by the other written. */
static void
test_writable_by_name (Fixture *fixture, gconstpointer data)
{
  g_autoptr (Mount) memory = mount_new (fixture->directory, "tmpfs", 0);
  g_autoptr (Mount) bound = NULL;
  g_autofree char *name = NULL;
  g_autofree char *bound_name = NULL;
  g_autofree char *other = NULL;
  g_autoptr (GFile) file = NULL;
  g_autoptr (GFile) path = NULL;
  g_autoptr (GFile) by_bind = NULL;
  g_autoptr (GError) error = NULL;
  gboolean writable = TRUE;

  if (memory == NULL)
    return;

  bound = mount_bind (memory, fixture->directory);
  name = g_build_filename (mount_get_path (memory), "path", NULL);
  bound_name = g_build_filename (mount_get_path (bound), "path", NULL);
  write_blob (fixture, fixture->key);
  path = open_named (fixture, name);
  persist_at (fixture, path, fixture->key);
  g_assert_true (bs_backing_release_path (fixture->backing, path, NULL, NULL));
  g_clear_object (&path);
  g_assert_cmpint (mount ("none", mount_get_path (bound), "none", MS_BIND | MS_REMOUNT | MS_RDONLY,
                          NULL),
                   ==, 0);

  file = g_file_new_for_path (bound_name);
  path = bs_backing_invoke_open_path (fixture->backing, file, &writable, NULL, &error);
  g_assert_no_error (error);
  g_assert_false (writable);
  g_assert_true (bs_backing_register_key (fixture->backing, path, fixture->key, NULL, &error));
  g_assert_no_error (error);
  g_assert_false (bs_backing_delete_persisted (fixture->backing, path, fixture->key, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_READ_ONLY);

  by_bind = open_named (fixture, name);
  g_assert_true (by_bind == path);
  assert_works (fixture, path);

  g_clear_object (&path);
  g_clear_object (&by_bind);
  g_clear_object (&fixture->backing);
}

/* Released, a path is nothing that is remembered. */
static void
test_released (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GFile) path = NULL;
  g_autoptr (GFile) again = NULL;
  g_autoptr (GError) error = NULL;

  write_blob (fixture, fixture->key);
  path = open_named (fixture, fixture->path_name);
  persist_at (fixture, path, fixture->key);
  g_assert_true (bs_backing_release_path (fixture->backing, path, NULL, &error));
  g_assert_no_error (error);

  again = open_named (fixture, fixture->path_name);
  g_assert_true (again != path);
  assert_works (fixture, again);
}

static void
expect_keys (gpointer data, const BsByteSet *first_bytes, BsKeyTable *expected)
{
  const BsKeyTable *keys = bs_key_set_get_table (data);
  BsKeyTableIter iter = { 0 };
  const BsKey *key;

  while (bs_key_table_iter_next (keys, &iter, &key))
    {
      if (bs_byte_set_contains (first_bytes, ((const guint8 *) key)[0]))
        bs_key_table_add (expected, key, bs_key_hash (key));
    }
}

static BsKeySet *
find_missing (Fixture *fixture, GFile *path, BsKeySet *expected)
{
  BsKeySet *missing = bs_key_set_new ();
  g_autoptr (GError) error = NULL;

  g_assert_true (bs_backing_invoke_find_missing (fixture->backing, path, expect_keys, expected,
                                                 bs_key_set_get_table (missing), NULL, &error));
  g_assert_no_error (error);

  return missing;
}

/* Another program writes over the marker of an open document, which no store could open
 * again, or removes it. */
static void
test_marker (Fixture *fixture, gconstpointer data)
{
  static const struct
  {
    const char *content;
    int code;
  } cases[] = {
    { "", BS_ERROR_FOREIGN },
    { "x", BS_ERROR_FOREIGN },
    { "backingstore 1 scratch\n", BS_ERROR_FOREIGN },
    { "backingstore 99\n", BS_ERROR_NOT_SUPPORTED },
  };
  g_autoptr (GFile) path = open_named (fixture, fixture->path_name);
  g_autofree char *marker = g_build_filename (fixture->path_name, ".backingstore", NULL);
  g_autofree char *content = NULL;
  g_autofree char *renewed = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_true (g_file_get_contents (marker, &content, NULL, &error));
  assert_works (fixture, path);

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *before = NULL;

      g_assert_true (g_file_set_contents (marker, cases[i].content, -1, &error));
      before = snapshot (fixture->path_name);
      g_assert_false (bs_backing_invoke_check_path (fixture->backing, path, NULL, &error));
      g_assert_error (error, BS_ERROR, cases[i].code);
      g_clear_error (&error);
      assert_unchanged (fixture->path_name, before);
    }

  g_assert_cmpint (g_unlink (marker), ==, 0);
  assert_works (fixture, path);
  g_assert_true (g_file_get_contents (marker, &renewed, NULL, &error));
  g_assert_cmpstr (renewed, ==, content);
}

/* Another program removes blobs of an open document: each time that is found. */
static void
test_missing (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GFile) path = open_named (fixture, fixture->path_name);
  g_autoptr (BsKeySet) expected = bs_key_set_new ();
  g_autoptr (GPtrArray) keys = g_ptr_array_new_with_free_func (g_free);
  g_autofree char *shard = NULL;

  for (guint i = 0; i < 300; i++)
    {
      char *key = write_other (fixture);

      g_ptr_array_add (keys, key);
      g_assert_true (bs_key_set_add (expected, key, NULL));
      g_assert_true (bs_backing_persist (fixture->backing, path, key, NULL, NULL));
    }

  /* At once after a look, which leaves the folder the same time, and in pairs. */
  for (guint i = 0; i < 200; i++)
    {
      g_autofree char *blob = get_blob_name (fixture->path_name, keys->pdata[i]);
      g_autoptr (BsKeySet) before = find_missing (fixture, path, expected);
      g_autoptr (BsKeySet) after = NULL;

      g_assert_cmpuint (bs_key_set_get_n_keys (before), ==, 0);
      g_assert_cmpint (g_unlink (blob), ==, 0);
      after = find_missing (fixture, path, expected);
      g_assert_cmpuint (bs_key_set_get_n_keys (after), ==, 1);
      g_assert_true (bs_key_set_contains_key (after, keys->pdata[i]));
      g_assert_true (bs_key_set_remove (expected, keys->pdata[i]));
      if (i % 2 == 0)
        g_assert_true (bs_backing_persist (fixture->backing, path, keys->pdata[i], NULL, NULL));
    }

  /* A whole folder. */
  shard = get_shard_name (fixture->path_name, keys->pdata[200]);
  remove_test_directory (shard);
  {
    g_autoptr (BsKeySet) missing = find_missing (fixture, path, expected);

    g_assert_cmpuint (bs_key_set_get_n_keys (missing), >=, 1);
    g_assert_true (bs_key_set_contains_key (missing, keys->pdata[200]));
  }
}

/* Where folders have whole seconds for times, a blob that is removed in the second of the last
 * look is found missing all the same. The rounds go on until that has happened. */
static void
test_missing_in_second (Fixture *fixture, gconstpointer data)
{
  g_autoptr (Mount) mount = mount_new (fixture->directory, "ext4-narrow", 0);
  g_autofree char *name = NULL;
  g_autofree char *shard = NULL;
  g_autofree char *blob = NULL;
  g_autoptr (GFile) path = NULL;
  g_autoptr (BsKeySet) expected = bs_key_set_new ();
  struct timespec seen, after;

  if (mount == NULL)
    return;

  name = g_build_filename (mount_get_path (mount), "path", NULL);
  shard = get_shard_name (name, fixture->key);
  blob = get_blob_name (name, fixture->key);
  path = open_named (fixture, name);
  write_blob (fixture, fixture->key);
  g_assert_true (bs_key_set_add (expected, fixture->key, NULL));

  do
    {
      g_autoptr (BsKeySet) none = NULL;
      g_autoptr (BsKeySet) missing = NULL;
      gint64 later;

      persist_at (fixture, path, fixture->key);
      seen = get_time (shard);
      g_assert_cmpint (seen.tv_nsec, ==, 0);
      later = g_get_real_time () + 100 * G_TIME_SPAN_MILLISECOND;
      while (g_get_real_time () < later)
        g_thread_yield ();
      none = find_missing (fixture, path, expected);
      g_assert_cmpuint (bs_key_set_get_n_keys (none), ==, 0);

      g_assert_cmpint (g_unlink (blob), ==, 0);
      after = get_time (shard);
      missing = find_missing (fixture, path, expected);
      g_assert_cmpuint (bs_key_set_get_n_keys (missing), ==, 1);
    }
  while (seen.tv_sec != after.tv_sec);
  g_clear_object (&path);
  g_clear_object (&fixture->backing);
}

/* Until the clock of local file systems is past the last change of the folder. */
static void
wait_until_settled (const char *path)
{
  struct timespec now;
  struct stat status;

  g_assert_no_errno (stat (path, &status));
  do
    {
      g_thread_yield ();
      clock_gettime (CLOCK_REALTIME_COARSE, &now);
    }
  while (now.tv_sec < status.st_ctim.tv_sec ||
         (now.tv_sec == status.st_ctim.tv_sec && now.tv_nsec <= status.st_ctim.tv_nsec));
}

/* Tracking has listed each folder, long after its last change: later changes are found all
 * the same, and a folder that has not changed is not listed again. */
static void
test_missing_after_tracking (Fixture *fixture, gconstpointer data)
{
  const int fd = open (fixture->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const gboolean is_local = bs_file_system_is_local (fd);
  const struct timespec old[] = { { 0, UTIME_OMIT }, { 1, 0 } };
  g_autoptr (GFile) path = open_named (fixture, fixture->path_name);
  g_autoptr (BsKeySet) expected = bs_key_set_new ();
  g_autoptr (BsKeySet) none = NULL;
  g_autoptr (BsKeySet) missing = NULL;
  g_autofree char *shard = get_shard_name (fixture->path_name, fixture->key);
  g_autofree char *blob = get_blob_name (fixture->path_name, fixture->key);
  g_autoptr (GError) error = NULL;

  write_blob (fixture, fixture->key);
  persist_at (fixture, path, fixture->key);
  g_assert_no_errno (utimensat (AT_FDCWD, shard, old, 0));
  wait_until_settled (shard);
  g_assert_true (bs_backing_sanitize_path (fixture->backing, path, expected, NULL, &error));
  g_assert_no_error (error);

  g_atomic_int_set (&n_lists, 0);
  none = find_missing (fixture, path, expected);
  g_assert_cmpuint (bs_key_set_get_n_keys (none), ==, 0);
  /* The clock of a server may be another. */
  if (is_local)
    g_assert_cmpuint (g_atomic_int_get (&n_lists), ==, 0);

  g_assert_cmpint (g_unlink (blob), ==, 0);
  missing = find_missing (fixture, path, expected);
  g_assert_cmpuint (bs_key_set_get_n_keys (missing), ==, 1);
  g_assert_cmpuint (g_atomic_int_get (&n_lists), >, 0);
  close (fd);
}

/* A blob goes, or another folder takes the place of its own, and the folder gets the time that
 * it had, as from a tool that restores. */
static void
test_missing_with_old_time (Fixture *fixture, gconstpointer data)
{
  const gboolean replaced = GPOINTER_TO_INT (data);
  g_autofree char *away = g_build_filename (fixture->directory, "away", NULL);
  const struct timespec old[] = { { 0, UTIME_OMIT }, { 1, 0 } };
  g_autoptr (GFile) path = open_named (fixture, fixture->path_name);
  g_autoptr (BsKeySet) expected = bs_key_set_new ();
  g_autoptr (BsKeySet) missing = NULL;
  g_autofree char *shard = get_shard_name (fixture->path_name, fixture->key);
  g_autofree char *blob = get_blob_name (fixture->path_name, fixture->key);
  g_autoptr (GError) error = NULL;

  write_blob (fixture, fixture->key);
  persist_at (fixture, path, fixture->key);
  g_assert_no_errno (utimensat (AT_FDCWD, shard, old, 0));
  wait_until_settled (shard);
  g_assert_true (bs_backing_sanitize_path (fixture->backing, path, expected, NULL, &error));
  g_assert_no_error (error);

  g_assert_cmpint (replaced ? g_rename (shard, away) : g_unlink (blob), ==, 0);
  if (replaced)
    g_assert_cmpint (g_mkdir (shard, 0700), ==, 0);
  g_assert_no_errno (utimensat (AT_FDCWD, shard, old, 0));
  wait_until_settled (shard);
  missing = find_missing (fixture, path, expected);
  g_assert_cmpuint (bs_key_set_get_n_keys (missing), ==, 1);
}

int
main (int argc, char *argv[])
{
  static const struct
  {
    const char *name;
    void (*func) (Fixture *, gconstpointer);
    gboolean replaced;
  } tests[] = {
    { "renamed", test_renamed },
    { "renamed-back", test_renamed_back },
    { "exchanged", test_exchanged },
    { "removed", test_removed },
    { "lock-replaced", test_lock_replaced },
    { "lock-lost", test_lock_lost },
    { "no-permission", test_no_permission },
    { "names", test_names },
    { "bind-mount", test_bind_mount },
    { "writable-by-name", test_writable_by_name },
    { "released", test_released },
    { "marker", test_marker },
    { "missing", test_missing },
    { "missing-in-second", test_missing_in_second },
    { "missing-after-tracking", test_missing_after_tracking },
    { "missing-with-old-time", test_missing_with_old_time, FALSE },
    { "missing-with-old-time-replaced", test_missing_with_old_time, TRUE },
  };

  mount_init ();
  g_test_init (&argc, &argv, NULL);
  alarm (100);

  for (guint i = 0; i < G_N_ELEMENTS (tests); i++)
    {
      g_autofree char *name = g_strconcat ("/file-identity/", tests[i].name, NULL);

      g_test_add (name, Fixture, GINT_TO_POINTER (tests[i].replaced), set_up, tests[i].func,
                  tear_down);
    }

  return g_test_run ();
}
