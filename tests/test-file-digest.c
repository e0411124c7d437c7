/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <xxhash.h>

#include "backings/bs-file-digest-private.h"
#include "backings/bs-file-slot-space-private.h"
#include "file-fixture.h"
#include "file-mount.h"

#define NAME "user.backingstore"

static gboolean
skip_without_attributes (const char *path)
{
  if (setxattr (path, "user.probe", "", 0, 0) == 0)
    return FALSE;

  g_test_skip ("This file system has no extended attributes");

  return TRUE;
}

static void
set_up_written (Fixture *fixture, gconstpointer data)
{
  set_up (fixture, data);
  write_blob (fixture, fixture->key);
  persist_blob (fixture, fixture->key);
  sync_path (fixture);
}

/* The format, written down a second time. */
static void
assert_attribute (const char *path, GBytes *bytes)
{
  struct timespec time = get_time (path);
  guint64 nanoseconds = time.tv_sec * G_GINT64_CONSTANT (1000000000) + time.tv_nsec;
  guint8 expected[32] = { 2 };
  guint8 value[100];
  guint64 length = g_bytes_get_size (bytes);
  guint64 hash = XXH3_64bits (g_bytes_get_data (bytes, NULL), length);
  gssize size;

  for (guint i = 0; i < 8; i++)
    {
      expected[8 + i] = length >> 8 * i;
      expected[16 + i] = hash >> 8 * i;
      expected[24 + i] = nanoseconds >> 8 * i;
    }
  size = getxattr (path, NAME, value, sizeof value);
  g_assert_cmpint (size, >=, 0);
  g_assert_cmpmem (value, size, expected, sizeof expected);
}

static void
assert_hash (const guint8 *data, gsize size)
{
  BsFileDigest digest;
  BsFileHasher hasher;

  bs_file_hasher_init (&hasher, size);
  for (gsize at = 0; at < size; at += BS_FILE_CHUNK_SIZE)
    bs_file_hasher_add (&hasher, data + at, MIN (size - at, BS_FILE_CHUNK_SIZE));
  bs_file_hasher_end (&hasher, &digest);

  g_assert_cmpuint (digest.length, ==, size);
  g_assert_cmphex (digest.hash, ==, XXH3_64bits (data, size));
}

/* Whichever way this processor takes, it is the hash that every other computes. */
static void
test_hash (void)
{
  const gsize chunk = BS_FILE_CHUNK_SIZE;
  g_autoptr (GBytes) bytes = make_test_bytes (4 * chunk, 7);
  const guint8 *data = g_bytes_get_data (bytes, NULL);

  for (gsize size = 0; size < 2100; size++)
    assert_hash (data + size % 67, size);

  for (gsize offset = 0; offset < 65; offset++)
    {
      assert_hash (data + offset, 4096);
      assert_hash (data + offset, chunk - 32 + offset);
      assert_hash (data + offset, 3 * chunk - 32 + offset);
    }
}

static void
assert_reads_corrupt (Fixture *fixture, const char *key)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = bs_backing_read (fixture->backing, key, NULL, &error);

  g_assert_null (bytes);
  g_assert_error (error, BS_ERROR, BS_ERROR_CORRUPT);
  g_assert_nonnull (strstr (error->message, key));
  g_assert_nonnull (strstr (error->message, fixture->primary_name));
}

static gboolean
verify (Fixture *fixture, const char *key, GError **error)
{
  return bs_backing_verify_persisted (fixture->backing, fixture->path, key, NULL, error);
}

static void
assert_verifies (Fixture *fixture, const char *key)
{
  g_autoptr (GError) error = NULL;

  verify (fixture, key, &error);
  g_assert_no_error (error);
}

static void
assert_verifies_not (Fixture *fixture, const char *key, int code)
{
  g_autoptr (GError) error = NULL;

  g_assert_false (verify (fixture, key, &error));
  g_assert_error (error, BS_ERROR, code);
  g_assert_nonnull (strstr (error->message, key));
  g_assert_nonnull (strstr (error->message, fixture->path_name));
}

/* Of all sizes around the chunks that are hashed. */
static void
test_attribute (Fixture *fixture, gconstpointer data)
{
  static const gsize sizes[] = { 0, 1, 100, 4096, 262143, 262144, 262145, 1000000 };

  if (skip_without_attributes (fixture->primary_name))
    return;

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autofree char *key = bs_key_generate ();
      g_autofree char *scratch = get_blob_name (fixture->primary_name, key);
      g_autofree char *root = g_build_filename (fixture->path_name, "root", NULL);
      g_autoptr (GError) error = NULL;

      g_bytes_unref (fixture->bytes);
      fixture->bytes = make_test_bytes (sizes[i], i);
      write_blob (fixture, key);
      assert_reads (fixture->backing, key, fixture->bytes);

      persist_blob (fixture, key);
      assert_attribute (scratch, fixture->bytes);
      assert_reads (fixture->backing, key, fixture->bytes);
      assert_verifies (fixture, key);

      bs_backing_write_root (fixture->backing, fixture->path, fixture->bytes, NULL, NULL, &error);
      g_assert_no_error (error);
      assert_attribute (root, fixture->bytes);

      if (sizes[i] > 0)
        {
          flip (scratch, sizes[i] - 1);
          assert_reads_corrupt (fixture, key);
        }
      cut_short (scratch, sizes[i] + 1);
      assert_reads_corrupt (fixture, key);
      assert_verifies_not (fixture, key, BS_ERROR_CORRUPT);
    }
}

/* A scratch file gets its attribute when its blob becomes permanent, and is compared with
 * the hash of what was written before that, too. */
static void
test_scratch (Fixture *fixture, gconstpointer data)
{
  g_autofree char *key = NULL;
  g_autofree char *scratch = NULL;
  g_autofree char *persisted = NULL;
  char value[100];

  use_large_blobs (fixture);
  key = write_other (fixture);
  scratch = get_blob_name (fixture->primary_name, key);
  persisted = get_blob_name (fixture->path_name, key);
  if (skip_without_attributes (scratch))
    return;

  g_assert_cmpint (getxattr (scratch, NAME, value, sizeof value), <, 0);
  g_assert_cmpint (errno, ==, ENODATA);
  assert_reads (fixture->backing, key, fixture->bytes);
  flip (scratch, 7);
  assert_reads_corrupt (fixture, key);

  delete_scratch (fixture, key);
  write_blob (fixture, key);
  persist_blob (fixture, key);
  assert_attribute (scratch, fixture->bytes);
  assert_attribute (persisted, fixture->bytes);
  assert_reads (fixture->backing, key, fixture->bytes);
  flip (scratch, 7);
  assert_reads_corrupt (fixture, key);
}

/* A file that an accident has changed before that is not sealed as if it was right. */
static void
test_scratch_damaged (Fixture *fixture, gconstpointer data)
{
  g_autofree char *key = NULL;
  g_autofree char *scratch = NULL;

  use_large_blobs (fixture);
  key = write_other (fixture);
  scratch = get_blob_name (fixture->primary_name, key);
  if (skip_without_attributes (scratch))
    return;

  flip (scratch, 7);
  persist_blob (fixture, key);
  assert_reads_corrupt (fixture, key);
  assert_verifies_not (fixture, key, BS_ERROR_CORRUPT);
}

/* The kernel copies a large file, whose hash is computed when the blob is persisted. */
static gboolean
write_file (Fixture *fixture, const char *key, GBytes *content, GCancellable *cancellable)
{
  BsBackingInterface *iface = BS_BACKING_GET_IFACE (fixture->backing);
  g_autofree char *name = g_build_filename (fixture->directory, "source", NULL);
  g_autoptr (GFile) file = g_file_new_for_path (name);
  gsize size;
  const char *data = g_bytes_get_data (content, &size);

  g_assert_true (g_file_set_contents (name, data, size, NULL));

  return iface->write_file (fixture->backing, key, file, cancellable, NULL);
}

/* Persists a file that an accident has changed before. */
static void
assert_persists_corrupt (Fixture *fixture, const char *key)
{
  g_autofree char *scratch = get_blob_name (fixture->primary_name, key);

  flip (scratch, 7);
  persist_blob (fixture, key);
  assert_verifies_not (fixture, key, BS_ERROR_CORRUPT);
}

/* A file that is yet to be hashed has a digest afterwards, as has another file in its place. */
static void
test_unhashed (Fixture *fixture, gconstpointer data)
{
  g_autofree char *deleted = bs_key_generate ();
  g_autofree char *failed = bs_key_generate ();
  g_autofree char *registered = bs_key_generate ();
  g_autofree char *hashed = bs_key_generate ();
  g_autofree char *other_name = g_build_filename (fixture->directory, "other", NULL);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GBytes) longer = make_test_bytes (BS_FILE_MAX_SLOT + 2, 5);

  if (skip_without_attributes (fixture->primary_name))
    return;

  use_large_blobs (fixture);
  g_assert_true (write_file (fixture, deleted, fixture->bytes, NULL));
  delete_scratch (fixture, deleted);
  write_blob (fixture, deleted);
  assert_persists_corrupt (fixture, deleted);

  g_cancellable_cancel (cancellable);
  g_assert_false (write_file (fixture, failed, fixture->bytes, cancellable));
  write_blob (fixture, failed);
  assert_persists_corrupt (fixture, failed);

  write_blob (fixture, registered);
  persist_blob (fixture, registered);
  delete_scratch (fixture, registered);
  g_assert_true (write_file (fixture, registered, longer, NULL));
  register_blob (fixture, registered);

  g_assert_true (write_file (fixture, hashed, fixture->bytes, NULL));
  persist_blob (fixture, hashed);
  assert_verifies (fixture, hashed);

  /* Both have a digest, which another path does not change. */
  move_path (fixture, other_name);
  assert_persists_corrupt (fixture, registered);
  assert_persists_corrupt (fixture, hashed);
}

/* As a backup that keeps no attributes does: the content is written over, and the
 * attribute stays. */
static void
restore (const char *path, GBytes *content)
{
  int fd = open (path, O_WRONLY | O_TRUNC | O_CLOEXEC);
  struct timespec time = get_time (path);
  gsize size;
  const void *bytes = g_bytes_get_data (content, &size);

  g_assert_cmpint (write (fd, bytes, size), ==, size);
  close (fd);

  /* A file system with coarse times. */
  time.tv_sec++;
  set_time (path, time);
}

static void
test_restored (Fixture *fixture, gconstpointer data)
{
  static const gsize sizes[] = { 1, 4096, 5000, 300000, 5000000 };
  g_autofree char *blob = get_blob_name (fixture->path_name, fixture->key);
  g_autofree char *root_name = g_build_filename (fixture->path_name, "root", NULL);

  if (skip_without_attributes (fixture->primary_name))
    return;

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autoptr (GBytes) content = make_test_bytes (sizes[i], 77);
      g_autoptr (GBytes) root = NULL;
      g_autoptr (GError) error = NULL;

      bs_backing_write_root (fixture->backing, fixture->path, fixture->bytes, NULL, NULL, &error);
      g_assert_no_error (error);
      restore (root_name, content);
      root = bs_backing_read_root (fixture->backing, fixture->path, NULL, &error);
      g_assert_no_error (error);
      g_assert_true (g_bytes_equal (root, content));

      restore (blob, content);
      assert_verifies (fixture, fixture->key);
      delete_scratch (fixture, fixture->key);
      g_assert_true (
        bs_backing_register_key (fixture->backing, fixture->path, fixture->key, NULL, NULL));
      assert_reads (fixture->backing, fixture->key, content);
    }
}

/* Its copy has a digest of its own. */
static void
test_restored_copy (Fixture *fixture, gconstpointer data)
{
  g_autofree char *blob = get_blob_name (fixture->path_name, fixture->key);
  g_autofree char *scratch = get_blob_name (fixture->primary_name, fixture->key);
  g_autoptr (Mount) mount = mount_new (fixture->directory, "xfs", 0);
  g_autoptr (GBytes) content = make_test_bytes (5000, 77);
  g_autofree char *primary = NULL;

  if (mount == NULL)
    return;

  primary = g_build_filename (mount_get_path (mount), "primary", NULL);
  move_primary (fixture, primary);
  if (skip_without_attributes (mount_get_path (mount)))
    return;

  restore (blob, content);
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 1);
  g_assert_true (
    bs_backing_register_key (fixture->backing, fixture->path, fixture->key, NULL, NULL));
  g_free (scratch);
  scratch = get_blob_name (primary, fixture->key);
  assert_reads (fixture->backing, fixture->key, content);
  flip (scratch, 7);
  assert_reads_corrupt (fixture, fixture->key);
  g_clear_object (&fixture->backing);
}

/* The hash of nothing, from the specification. */
static void
test_empty (Fixture *fixture, gconstpointer data)
{
  static const guint8 expected[24] = {
    [0] = 2, [16] = 0xc2, 0x94, 0xd3, 0x38, 0x05, 0x80, 0x06, 0x2d,
  };
  g_autofree char *key = bs_key_generate ();
  g_autofree char *scratch = get_blob_name (fixture->primary_name, key);
  g_autoptr (GBytes) empty = g_bytes_new_static ("", 0);
  g_autoptr (GError) error = NULL;
  guint8 value[100];
  gssize size;

  if (skip_without_attributes (fixture->primary_name))
    return;

  bs_backing_persist_bytes (fixture->backing, fixture->path, key, empty, NULL, &error);
  g_assert_no_error (error);
  size = getxattr (scratch, NAME, value, sizeof value);
  g_assert_cmpint (size, ==, 32);
  g_assert_cmpmem (value, 24, expected, sizeof expected);
}

static void
test_other_attributes (Fixture *fixture, gconstpointer data)
{
  static const struct
  {
    const char *name;
    gsize size;
    guint8 value[70];
    gboolean good;
  } attributes[] = {
    { "empty", 0, { 0 }, FALSE },
    { "no version", 24, { 0 }, FALSE },
    { "too short", 23, { 1 }, FALSE },
    { "too long", 25, { 1 }, FALSE },
    { "something reserved", 24, { 1, 1, 0, 0, 0, 0, 0, 0, 0x88, 0x13 }, FALSE },
    { "another length", 24, { 1, 0, 0, 0, 0, 0, 0, 0, 0x89, 0x13 }, FALSE },
    { "another hash", 24, { 1, 0, 0, 0, 0, 0, 0, 0, 0x88, 0x13 }, FALSE },
    { "version 1, as long as version 2", 32, { 1 }, FALSE },
    { "version 2, as short as version 1", 24, { 2 }, FALSE },
    { "much too long", 70, { 1 }, FALSE },
    { "much too long, no version", 70, { 0 }, FALSE },
    { "of a newer version", 24, { 3 }, TRUE },
    { "of a newer version, short", 1, { 255 }, TRUE },
    { "of a newer version, long", 70, { 3 }, TRUE },
  };
  g_autofree char *blob = get_blob_name (fixture->path_name, fixture->key);

  if (skip_without_attributes (fixture->primary_name))
    return;

  for (guint i = 0; i < G_N_ELEMENTS (attributes); i++)
    {
      g_test_message ("%s", attributes[i].name);
      g_assert_cmpint (setxattr (blob, NAME, attributes[i].value, attributes[i].size, 0), ==, 0);

      if (attributes[i].good)
        {
          assert_reads (fixture->backing, fixture->key, fixture->bytes);
          assert_verifies (fixture, fixture->key);
          continue;
        }

      assert_reads_corrupt (fixture, fixture->key);
      assert_verifies_not (fixture, fixture->key, BS_ERROR_CORRUPT);
      delete_scratch (fixture, fixture->key);
      write_blob (fixture, fixture->key);
      persist_blob (fixture, fixture->key);
    }

  /* A file that another program wrote is taken as it is. */
  g_assert_cmpint (removexattr (blob, NAME), ==, 0);
  assert_reads (fixture->backing, fixture->key, fixture->bytes);
  assert_verifies (fixture, fixture->key);
}

static void
test_quarantine (Fixture *fixture, gconstpointer data)
{
  g_autofree char *blob = get_blob_name (fixture->path_name, fixture->key);
  g_autofree char *scratch = get_blob_name (fixture->primary_name, fixture->key);
  g_autofree char *hex = g_path_get_basename (blob);
  g_autofree char *quarantine = g_build_filename (fixture->path_name, ".quarantine", NULL);
  g_autofree char *absent = bs_key_generate ();
  g_autoptr (BsFileBackingStats) stats = NULL;

  if (skip_without_attributes (fixture->primary_name))
    return;

  assert_verifies_not (fixture, absent, BS_ERROR_NOT_FOUND);

  /* Twice the same key: both are kept. */
  for (guint i = 1; i <= 2; i++)
    {
      g_autoptr (GDir) dir = NULL;
      const char *name;

      flip (blob, 7);
      assert_verifies_not (fixture, fixture->key, BS_ERROR_CORRUPT);
      assert_verifies_not (fixture, fixture->key, BS_ERROR_NOT_FOUND);
      g_assert_false (exists (blob));
      g_assert_true (exists (scratch));
      g_assert_cmphex (get_mode (quarantine), ==, 0700);

      g_assert_cmpuint (count_files (quarantine), ==, i);
      dir = g_dir_open (quarantine, 0, NULL);
      while ((name = g_dir_read_name (dir)) != NULL)
        {
          g_autofree char *path = g_build_filename (quarantine, name, NULL);

          g_assert_true (g_str_has_prefix (name, hex));
          g_assert_cmphex (get_mode (path), ==, 0600);
        }

      delete_scratch (fixture, fixture->key);
      write_blob (fixture, fixture->key);
      persist_blob (fixture, fixture->key);
      assert_verifies (fixture, fixture->key);
    }

  /* Files in the quarantine are ours, and no blobs. */
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 1);
  g_assert_cmpuint (count_foreign (fixture->backing), ==, 0);
  g_assert_cmpuint (count_files (quarantine), ==, 2);
  stats = bs_file_backing_get_stats (BS_FILE_BACKING (fixture->backing));
  g_assert_cmpuint (stats->quarantined, ==, 2);
}

/* One that can't be set aside stays where it is. */
static void
test_no_quarantine (Fixture *fixture, gconstpointer data)
{
  g_autofree char *blob = get_blob_name (fixture->path_name, fixture->key);
  g_autofree char *outside = g_build_filename (fixture->directory, "outside", NULL);
  g_autofree char *quarantine = g_build_filename (fixture->path_name, ".quarantine", NULL);
  g_autoptr (GError) error = NULL;

  if (skip_without_attributes (fixture->primary_name))
    return;

  g_assert_cmpint (g_mkdir (outside, 0700), ==, 0);
  g_assert_cmpint (symlink (outside, quarantine), ==, 0);
  flip (blob, 0);
  g_assert_false (verify (fixture, fixture->key, &error));
  g_assert_nonnull (strstr (error->message, "set aside"));
  g_clear_error (&error);
  g_assert_true (exists (blob));
  g_assert_cmpuint (count_files (outside), ==, 0);

  /* Nor is it called good then. */
  plant_in (fixture->path_name, ".dirty", "");
  error = sanitize_error (fixture->backing, fixture->path);
  g_assert_true (exists (blob));

  g_assert_cmpint (g_unlink (quarantine), ==, 0);
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 0);
  g_assert_cmpuint (count_files (quarantine), ==, 1);
}

static void
test_root (Fixture *fixture, gconstpointer data)
{
  g_autofree char *root = g_build_filename (fixture->path_name, "root", NULL);
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GError) error = NULL;

  if (skip_without_attributes (fixture->primary_name))
    return;

  bs_backing_write_root (fixture->backing, fixture->path, fixture->bytes, NULL, NULL, &error);
  g_assert_no_error (error);
  flip (root, 4999);
  g_assert_null (bs_backing_read_root (fixture->backing, fixture->path, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_CORRUPT);
  g_assert_nonnull (strstr (error->message, fixture->path_name));
  g_clear_error (&error);

  bs_backing_write_root (fixture->backing, fixture->path, fixture->bytes, NULL, NULL, &error);
  g_assert_no_error (error);
  bytes = bs_backing_read_root (fixture->backing, fixture->path, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (g_bytes_equal (bytes, fixture->bytes));
}

/* A copy carries the attribute, and nothing bad is copied. */
static void
test_copies (Fixture *fixture, gconstpointer data)
{
  g_autoptr (Mount) mount = mount_new (fixture->directory, "ext4", 16);
  g_autofree char *path_name = NULL;
  g_autofree char *key = bs_key_generate ();
  g_autofree char *other = bs_key_generate ();
  g_autofree char *blob = NULL;
  g_autofree char *scratch = get_blob_name (fixture->primary_name, key);
  g_autofree char *bad = get_blob_name (fixture->primary_name, other);
  g_autoptr (GError) error = NULL;
  guint n_files;

  if (mount == NULL || skip_without_attributes (fixture->primary_name))
    return;

  path_name = g_build_filename (mount_get_path (mount), "persisted", NULL);
  move_path (fixture, path_name);
  blob = get_blob_name (path_name, key);
  g_bytes_unref (fixture->bytes);
  fixture->bytes = make_test_bytes (600000, 3);

  write_blob (fixture, key);
  persist_blob (fixture, key);
  assert_transfers (fixture->backing, 1, 0, 1);
  assert_attribute (blob, fixture->bytes);
  delete_scratch (fixture, key);
  register_blob (fixture, key);
  assert_attribute (scratch, fixture->bytes);

  /* One that had none gets one. */
  g_assert_cmpint (removexattr (blob, NAME), ==, 0);
  delete_scratch (fixture, key);
  register_blob (fixture, key);
  assert_attribute (scratch, fixture->bytes);

  n_files = count_files (path_name);
  write_blob (fixture, other);
  flip (bad, 300000);
  g_assert_false (bs_backing_persist (fixture->backing, fixture->path, other, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_CORRUPT);
  g_assert_cmpuint (count_files (path_name), ==, n_files);

  g_clear_object (&fixture->backing);
}

/* A bad one in the place of what is persisted does not count as that. */
static void
test_bad_in_place (Fixture *fixture, gconstpointer data)
{
  g_autofree char *key = bs_key_generate ();
  g_autofree char *blob = get_blob_name (fixture->path_name, key);
  g_autofree char *scratch = get_blob_name (fixture->primary_name, fixture->key);
  g_autofree char *persisted = get_blob_name (fixture->path_name, fixture->key);

  if (skip_without_attributes (fixture->primary_name))
    return;

  /* A whole one, cut short, but not in scratch. */
  write_blob (fixture, key);
  persist_blob (fixture, key);
  delete_scratch (fixture, key);
  g_assert_cmpint (truncate (blob, 10), ==, 0);
  write_blob (fixture, key);
  persist_blob (fixture, key);
  assert_verifies (fixture, key);
  g_assert_cmpuint (count_files (blob), ==, 0);

  /* One in scratch that was cut short replaces nothing. */
  delete_scratch (fixture, fixture->key);
  plant (scratch, "short");
  persist_blob (fixture, fixture->key);
  assert_verifies (fixture, fixture->key);
  g_assert_cmpuint (get_inode (scratch), !=, get_inode (persisted));
}

/* A blob that was found bad is the scratch file's too: persisting it again must
 * not bring it back. */
static void
test_bad_everywhere (Fixture *fixture, gconstpointer data)
{
  g_autofree char *persisted = get_blob_name (fixture->path_name, fixture->key);
  g_autofree char *scratch = get_blob_name (fixture->primary_name, fixture->key);
  g_autoptr (GError) error = NULL;

  if (skip_without_attributes (fixture->primary_name))
    return;

  persist_blob (fixture, fixture->key);
  g_assert_cmpuint (get_inode (scratch), ==, get_inode (persisted));
  flip (persisted, 10);
  assert_verifies_not (fixture, fixture->key, BS_ERROR_CORRUPT);
  g_assert_false (exists (persisted));

  g_assert_false (bs_backing_persist (fixture->backing, fixture->path, fixture->key, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_CORRUPT);
  g_assert_false (exists (persisted));

  /* Written anew it is as good as any. */
  delete_scratch (fixture, fixture->key);
  write_blob (fixture, fixture->key);
  persist_blob (fixture, fixture->key);
  assert_verifies (fixture, fixture->key);
}

/* A streamed blob gets its attribute when it is persisted. One that cannot be opened for that is
 * not persisted: nobody would notice if a power cut truncated it. */
static void
test_few_descriptors (Fixture *fixture, gconstpointer data)
{
  g_autofree char *key = bs_key_generate ();
  g_autofree char *name = NULL;
  g_autoptr (GInputStream) stream = NULL;
  g_autoptr (GError) error = NULL;
  GArray *taken;

  if (skip_without_attributes (fixture->directory))
    return;

  /* The folders of this one are open, and its mark stands. */
  use_large_blobs (fixture);
  stream = g_memory_input_stream_new_from_bytes (fixture->bytes);
  delete_blob (fixture, fixture->key);
  persist_blob (fixture, fixture->key);
  memcpy (key, fixture->key, 2);
  name = get_blob_name (fixture->path_name, key);
  bs_backing_write_stream (fixture->backing, key, stream, -1, NULL, &error);
  g_assert_no_error (error);

  taken = take_descriptors (0);
  error = persist_error (fixture, key);
  give_descriptors (taken);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_TOO_MANY_OPEN_FILES);
  g_assert_false (exists (name));

  persist_blob (fixture, key);
  assert_attribute (name, fixture->bytes);
}

int
main (int argc, char *argv[])
{
  static const struct
  {
    const char *name;
    void (*func) (Fixture *fixture, gconstpointer data);
  } tests[] = {
    { "attribute", test_attribute },
    { "scratch", test_scratch },
    { "scratch-damaged", test_scratch_damaged },
    { "unhashed", test_unhashed },
    { "restored", test_restored },
    { "restored-copy", test_restored_copy },
    { "empty", test_empty },
    { "other-attributes", test_other_attributes },
    { "quarantine", test_quarantine },
    { "no-quarantine", test_no_quarantine },
    { "root", test_root },
    { "copies", test_copies },
    { "bad-in-place", test_bad_in_place },
    { "bad-everywhere", test_bad_everywhere },
    { "few-descriptors", test_few_descriptors },
  };

  mount_init ();
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/file-digest/hash", test_hash);
  for (guint i = 0; i < G_N_ELEMENTS (tests); i++)
    {
      g_autofree char *name = g_strdup_printf ("/file-digest/%s", tests[i].name);

      g_test_add (name, Fixture, NULL, set_up_written, tests[i].func, tear_down);
    }

  return g_test_run ();
}
