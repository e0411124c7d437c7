/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "file-calls.h"
#include "file-fixture.h"

/* More than are synced one by one. */
#define N_MANY 300

static char *
get_hex (const char *key)
{
  g_autofree char *name = get_blob_name ("", key);

  return g_path_get_basename (name);
}

static void
set_up_calls (Fixture *fixture, gconstpointer data)
{
  set_up (fixture, data);
  write_blob (fixture, fixture->key);
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 0);
  forget_calls ();
}

static void
tear_down_calls (Fixture *fixture, gconstpointer data)
{
  refuse_attributes (FALSE);
  tear_down (fixture, data);
}

static gboolean
is_marked (Fixture *fixture)
{
  return exists_in (fixture->path_name, ".dirty");
}

static GError *
sync_error (Fixture *fixture)
{
  GError *error = NULL;

  g_assert_false (bs_backing_sync_persisted (fixture->backing, fixture->path, NULL, &error));
  g_assert_nonnull (error);

  return error;
}

static void
assert_same_file (Fixture *fixture, const char *key, gboolean same)
{
  g_autofree char *scratch = get_blob_name (fixture->primary_name, key);
  g_autofree char *persisted = get_blob_name (fixture->path_name, key);

  if (same)
    g_assert_cmpuint (get_inode (scratch), ==, get_inode (persisted));
  else
    g_assert_cmpuint (get_inode (scratch), !=, get_inode (persisted));
}

static void
test_mark_fails (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  fail_once ("fsync", "persisted", EIO);
  error = persist_error (fixture, fixture->key);
  g_assert_nonnull (strstr (error->message, fixture->key));
  g_assert_nonnull (strstr (error->message, fixture->path_name));
  g_assert_false (is_marked (fixture));
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 0);

  persist_blob (fixture, fixture->key);
  g_assert_true (is_marked (fixture));
}

static GPtrArray *
persist_others (Fixture *fixture, guint n)
{
  GPtrArray *keys = g_ptr_array_new_with_free_func (g_free);

  for (guint i = 0; i < n; i++)
    {
      g_ptr_array_add (keys, write_other (fixture));
      persist_blob (fixture, keys->pdata[i]);
    }

  return keys;
}

static GPtrArray *
persist_many (Fixture *fixture)
{
  return persist_others (fixture, N_MANY);
}

/* A file that could not be opened is synced by the next sync, and the mark stands until
 * then. */
static void
test_opening_fails (Fixture *fixture, gconstpointer data)
{
  g_autofree char *hex = get_hex (fixture->key);
  g_autofree char *fsync_call = g_strconcat ("fsync ", hex, NULL);
  g_autoptr (GError) error = NULL;

  persist_blob (fixture, fixture->key);
  fail_once ("openat", hex, EIO);
  error = sync_error (fixture);
  g_assert_nonnull (strstr (error->message, g_strerror (EIO)));
  g_assert_true (is_marked (fixture));
  g_assert_cmpuint (count_calls (fsync_call), ==, 0);

  sync_path (fixture);
  g_assert_cmpuint (count_calls (fsync_call), ==, 1);
  g_assert_false (is_marked (fixture));
  g_assert_cmpuint (count_rewritten (fixture), ==, 0);
}

/* Persists a blob as a copy, as on another file system. */
static void
persist_copy (Fixture *fixture, const char *key)
{
  g_autofree char *hex = get_hex (key);

  fail_once ("linkat", hex, EXDEV);
  persist_blob (fixture, key);
}

/* An error of fsync() is not forgotten because the next one succeeds. */
static void
test_file_fails (Fixture *fixture, gconstpointer data)
{
  g_autofree char *other = write_other (fixture);
  g_autofree char *hex = get_hex (fixture->key);
  g_autoptr (GError) error = NULL;

  persist_blob (fixture, fixture->key);
  persist_blob (fixture, other);

  fail_once ("fsync", hex, EIO);
  error = sync_error (fixture);
  g_assert_nonnull (strstr (error->message, fixture->key));
  g_assert_nonnull (strstr (error->message, fixture->path_name));
  g_assert_nonnull (strstr (error->message, g_strerror (EIO)));
  g_clear_error (&error);
  g_assert_true (is_marked (fixture));

  for (guint i = 0; i < 2; i++)
    {
      forget_calls ();
      error = sync_error (fixture);
      g_assert_nonnull (strstr (error->message, fixture->key));
      g_assert_cmpuint (count_calls (hex), ==, 0);
      g_clear_error (&error);
    }

  /* One that was written is no worse for it. */
  forget_calls ();
  persist_blob (fixture, other);
  g_assert_cmpuint (count_rewritten (fixture), ==, 0);
  assert_same_file (fixture, other, TRUE);
  error = sync_error (fixture);
  g_clear_error (&error);

  /* The other becomes a new file, which scratch has too. */
  {
    g_autofree char *blob = get_blob_name (fixture->path_name, fixture->key);
    g_autofree char *kept = g_build_filename (fixture->directory, "kept", NULL);

    g_assert_cmpint (link (blob, kept), ==, 0);
    persist_blob (fixture, fixture->key);
    g_assert_cmpuint (get_inode (kept), !=, get_inode (blob));
  }
  g_assert_cmpuint (count_rewritten (fixture), ==, 1);
  assert_same_file (fixture, fixture->key, TRUE);
  assert_reads (fixture->backing, fixture->key, fixture->bytes);

  sync_path (fixture);
  g_assert_false (is_marked (fixture));
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 2);
}

/* Writing it anew may fail as well: the disk is full, or the user's part of it. */
static void
test_rewriting_fails (Fixture *fixture, gconstpointer data)
{
  const int codes[] = { ENOSPC, EDQUOT };
  g_autofree char *hex = get_hex (fixture->key);
  g_autoptr (GError) error = NULL;

  persist_blob (fixture, fixture->key);
  fail_once ("fsync", hex, EIO);
  error = sync_error (fixture);
  g_clear_error (&error);

  for (guint i = 0; i < G_N_ELEMENTS (codes); i++)
    {
      /* The slot that the blob has left makes room for a second attempt, once. */
      fail_times (i == 0 ? 2 : 1, "fsync", ".tmp-", codes[i]);
      error = persist_error (fixture, fixture->key);
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
      g_clear_error (&error);
      error = sync_error (fixture);
      g_clear_error (&error);
    }

  /* The new file goes where it can't take the place of the old one. */
  fail_once ("renameat", hex, EIO);
  error = persist_error (fixture, fixture->key);
  g_assert_nonnull (strstr (error->message, g_strerror (EIO)));
  g_clear_error (&error);
  g_assert_cmpuint (count_files (fixture->path_name), ==, 3);
  error = sync_error (fixture);
  g_clear_error (&error);

  /* Without its scratch file the persisted one is what it is written from. */
  delete_scratch (fixture, fixture->key);
  persist_blob (fixture, fixture->key);
  sync_path (fixture);
  register_blob (fixture, fixture->key);
}

static void
test_deletion_heals (Fixture *fixture, gconstpointer data)
{
  g_autofree char *other = write_other (fixture);
  g_autofree char *hex = get_hex (fixture->key);
  g_autofree char *other_hex = get_hex (other);
  g_autofree char *other_blob = get_blob_name (fixture->path_name, other);
  g_autoptr (GError) error = NULL;

  persist_blob (fixture, fixture->key);
  fail_once ("fsync", hex, EIO);
  error = sync_error (fixture);
  g_clear_error (&error);
  delete_blob (fixture, fixture->key);
  sync_path (fixture);
  g_assert_false (is_marked (fixture));

  /* A deletion by another hand heals too. */
  persist_blob (fixture, other);
  fail_once ("fsync", other_hex, EIO);
  error = sync_error (fixture);
  g_clear_error (&error);
  g_assert_cmpint (g_unlink (other_blob), ==, 0);
  sync_path (fixture);
  g_assert_false (is_marked (fixture));
}

static void
test_folder_fails (Fixture *fixture, gconstpointer data)
{
  g_autofree char *hex = get_hex (fixture->key);
  const char shard[] = { hex[0], hex[1], '\0' };
  const char *const folders[] = { shard, "persisted" };

  for (guint i = 0; i < 2 * G_N_ELEMENTS (folders); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autofree char *shard_name = get_shard_name (fixture->path_name, fixture->key);

      if (i % 2 == 0)
        persist_blob (fixture, fixture->key);
      else
        persist_copy (fixture, fixture->key);
      /* Also when the blob was written anew. */
      for (guint n = 0; n < 2; n++)
        {
          fail_once ("fsync", folders[i / 2], EIO);
          error = sync_error (fixture);
          g_assert_nonnull (strstr (error->message, fixture->key));
          g_clear_error (&error);
          if (n == 1)
            error = sync_error (fixture);
          g_clear_error (&error);

          persist_blob (fixture, fixture->key);
          g_assert_cmpuint (count_rewritten (fixture), ==, 2 * i + n + 1);
        }
      sync_path (fixture);
      g_assert_false (is_marked (fixture));

      /* The next has to make the folder again. */
      delete_blob (fixture, fixture->key);
      sync_path (fixture);
      g_assert_cmpint (g_rmdir (shard_name), ==, 0);
    }

  /* A deletion is tried again. */
  {
    g_autoptr (GError) error = NULL;

    persist_blob (fixture, fixture->key);
    sync_path (fixture);
    delete_blob (fixture, fixture->key);
    fail_once ("fsync", shard, EIO);
    error = sync_error (fixture);
    g_assert_nonnull (strstr (error->message, fixture->path_name));
    forget_calls ();
    sync_path (fixture);
    assert_calls (g_strdup_printf ("fsync %s", shard));
  }
}

/* A folder that could not be opened has not failed. Its next sync may. */
static void
test_folder_opening_fails (Fixture *fixture, gconstpointer data)
{
  g_autofree char *hex = get_hex (fixture->key);
  const char shard[] = { hex[0], hex[1], '\0' };

  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (GError) error = NULL;

      if (i == 0)
        persist_blob (fixture, fixture->key);
      else
        persist_copy (fixture, fixture->key);
      fail_once ("openat", shard, EIO);
      error = sync_error (fixture);
      g_assert_null (strstr (error->message, fixture->key));
      g_clear_error (&error);
      g_assert_true (is_marked (fixture));

      fail_once ("fsync", shard, EIO);
      for (guint n = 0; n < 2; n++)
        {
          error = sync_error (fixture);
          g_assert_nonnull (strstr (error->message, fixture->key));
          g_clear_error (&error);
        }
      persist_blob (fixture, fixture->key);
      g_assert_cmpuint (count_rewritten (fixture), ==, i + 1);
      sync_path (fixture);
      g_assert_false (is_marked (fixture));
      delete_blob (fixture, fixture->key);
      sync_path (fixture);
    }
}

/* Blobs put into a folder that was then moved away are not at the path. */
static void
test_folder_moved (Fixture *fixture, gconstpointer data)
{
  static const char *const others[] = { "abcdef01-2345-6789-abcd-ef0123456781",
                                        "abcdef01-2345-6789-abcd-ef0123456782" };
  const gboolean many = data != NULL;
  g_autofree char *folder = get_shard_name (fixture->path_name, others[0]);
  g_autofree char *aside = g_build_filename (fixture->directory, "aside", NULL);
  g_autofree char *blob = get_blob_name (fixture->path_name, others[1]);
  g_autoptr (GPtrArray) keys = NULL;
  g_autoptr (GError) error = NULL;

  write_blob (fixture, others[0]);
  write_blob (fixture, others[1]);
  persist_blob (fixture, others[0]);
  sync_path (fixture);

  g_assert_cmpint (g_rename (folder, aside), ==, 0);
  persist_blob (fixture, others[1]);
  if (many)
    keys = persist_many (fixture);
  error = sync_error (fixture);
  g_assert_nonnull (strstr (error->message, fixture->path_name));
  g_clear_error (&error);
  g_assert_true (is_marked (fixture));

  persist_blob (fixture, others[1]);
  g_assert_true (exists (blob));
  for (guint i = 0; keys != NULL && i < keys->len; i++)
    persist_blob (fixture, keys->pdata[i]);
  sync_path (fixture);
  g_assert_false (is_marked (fixture));
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 1 + (many ? N_MANY : 0));
}

static void
test_folder_moved_many (Fixture *fixture, gconstpointer data)
{
  test_folder_moved (fixture, GINT_TO_POINTER (TRUE));
}

/* Nobody knows which file it was, so that it may have been any. */
static void
test_file_system_fails (Fixture *fixture, gconstpointer data)
{
  g_autofree char *early = write_other (fixture);
  g_autofree char *in_slot = write_other (fixture);
  g_autofree char *in_scratch = bs_key_generate ();
  g_autoptr (GBytes) large = make_test_bytes (1024 * 1024, 7);
  g_autoptr (GPtrArray) keys = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_true (bs_backing_write (fixture->backing, in_scratch, large, NULL, NULL));
  persist_blob (fixture, early);
  sync_path (fixture);
  keys = persist_many (fixture);

  fail_once ("syncfs", "persisted", EIO);
  error = sync_error (fixture);
  g_clear_error (&error);
  error = sync_error (fixture);
  g_assert_nonnull (strstr (error->message, "300 "));
  g_clear_error (&error);
  g_assert_true (is_marked (fixture));

  /* Also one that was not persisted yet, unless it had no file. */
  persist_blob (fixture, in_slot);
  g_assert_cmpuint (count_rewritten (fixture), ==, 0);
  persist_blob (fixture, in_scratch);
  g_assert_cmpuint (count_rewritten (fixture), ==, 1);

  /* Blobs that an earlier sync covered are durable all the same. */
  persist_blob (fixture, early);
  g_assert_cmpuint (count_rewritten (fixture), ==, 1);

  for (guint i = 0; i < keys->len; i++)
    {
      g_assert_false (bs_backing_sync_persisted (fixture->backing, fixture->path, NULL, NULL));
      persist_blob (fixture, keys->pdata[i]);
    }
  g_assert_cmpuint (count_rewritten (fixture), ==, N_MANY + 1);
  sync_path (fixture);
  g_assert_false (is_marked (fixture));
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, N_MANY + 3);
}

/* A deletion that a failed sync should have covered is covered by the next. */
static void
test_file_system_fails_for_deletions (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GPtrArray) deleted = persist_many (fixture);
  g_autoptr (GPtrArray) keys = NULL;
  g_autoptr (GError) error = NULL;

  sync_path (fixture);
  for (guint i = 0; i < deleted->len; i++)
    delete_blob (fixture, deleted->pdata[i]);
  /* With two hundred folders that have changed these are many. */
  keys = persist_others (fixture, 100);
  fail_once ("syncfs", "persisted", EIO);
  error = sync_error (fixture);
  for (guint i = 0; i < keys->len; i++)
    persist_blob (fixture, keys->pdata[i]);

  forget_calls ();
  sync_path (fixture);
  g_assert_cmpuint (count_calls ("syncfs persisted"), ==, 1);
  g_assert_false (is_marked (fixture));
}

/* Nor can it be asked what is there: then no later sync is to be believed. */
static void
test_file_system_fails_few_descriptors (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GPtrArray) keys = persist_many (fixture);
  g_autofree char *late = NULL;
  g_autoptr (GError) error = NULL;
  GArray *taken;

  fail_once ("syncfs", "persisted", EIO);
  error = sync_error (fixture);
  g_clear_error (&error);

  late = write_other (fixture);
  persist_blob (fixture, late);
  fail_once ("syncfs", "persisted", EIO);
  taken = take_descriptors (0);
  error = sync_error (fixture);
  give_descriptors (taken);
  g_clear_error (&error);

  for (guint i = 0; i < keys->len; i++)
    persist_blob (fixture, keys->pdata[i]);
  error = sync_error (fixture);
  g_assert_nonnull (strstr (error->message, fixture->path_name));
  g_assert_nonnull (strstr (error->message, g_strerror (EIO)));
  g_assert_true (is_marked (fixture));

  /* Tracking the path anew looks at each blob. */
  bs_backing_release_path (fixture->backing, fixture->path, NULL, NULL);
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, N_MANY + 1);
  sync_path (fixture);
  g_assert_false (is_marked (fixture));
}

/* Two names of one file: the system reports its error to the first only. */
static void
test_two_paths (Fixture *fixture, gconstpointer data)
{
  g_autofree char *hex = get_hex (fixture->key);
  g_autofree char *other_name = g_build_filename (fixture->directory, "other", NULL);
  g_autoptr (GFile) other = g_file_new_for_path (other_name);
  g_autoptr (GFile) path = g_object_ref (fixture->path);
  g_autoptr (GError) error = NULL;

  persist_blob (fixture, fixture->key);
  bs_backing_persist (fixture->backing, other, fixture->key, NULL, &error);
  g_assert_no_error (error);

  fail_once ("fsync", hex, EIO);
  error = sync_error (fixture);
  g_clear_error (&error);

  g_set_object (&fixture->path, other);
  error = sync_error (fixture);
  g_assert_nonnull (strstr (error->message, fixture->key));
  g_clear_error (&error);
  persist_blob (fixture, fixture->key);
  sync_path (fixture);

  g_set_object (&fixture->path, path);
  error = sync_error (fixture);
  g_clear_error (&error);
  persist_blob (fixture, fixture->key);
  sync_path (fixture);
}

static void
test_root_fails (Fixture *fixture, gconstpointer data)
{
  static const struct
  {
    const char *name;
    const char *file;
  } steps[] = {
    { "fsync", ".tmp-" },
    { "renameat", "root" },
    { "fsync", "persisted" },
  };
  g_autoptr (GBytes) other = make_test_bytes (100, 2);

  for (guint i = 0; i < 2 * G_N_ELEMENTS (steps); i++)
    {
      const guint step = i % G_N_ELEMENTS (steps);
      g_autoptr (GError) error = NULL;
      g_autoptr (GBytes) root = NULL;

      fail_once (steps[step].name, steps[step].file, EIO);
      g_assert_false (
        bs_backing_write_root (fixture->backing, fixture->path, other, NULL, NULL, &error));
      g_assert_nonnull (strstr (error->message, fixture->path_name));
      g_assert_nonnull (strstr (error->message, g_strerror (EIO)));
      g_clear_error (&error);

      root = bs_backing_read_root (fixture->backing, fixture->path, NULL, &error);
      if (i < G_N_ELEMENTS (steps))
        {
          g_assert_error (error, BS_ERROR, BS_ERROR_NOT_FOUND);
          g_clear_error (&error);
        }
      else
        {
          g_assert_no_error (error);
          g_assert_true (g_bytes_equal (root, fixture->bytes));
        }

      if (i + 1 == G_N_ELEMENTS (steps))
        {
          bs_backing_write_root (fixture->backing, fixture->path, fixture->bytes, NULL, NULL,
                                 &error);
          g_assert_no_error (error);
        }
    }

  /* The root, the marker, the lock. */
  g_assert_cmpuint (count_files (fixture->path_name), ==, 3);
}

static void
persist_some (Fixture *fixture)
{
  for (guint i = 0; i < 3; i++)
    {
      g_autofree char *key = g_strdup_printf ("abcdef01-2345-6789-abcd-ef012345678%u", i);

      write_blob (fixture, key);
      persist_blob (fixture, key);
    }
}

/* If what was found can't be made durable, the mark stays. */
static void
test_recovery_fails (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  persist_some (fixture);
  restart_backing (fixture);
  fail_once ("syncfs", "persisted", EIO);
  error = sanitize_error (fixture->backing, fixture->path);
  g_assert_true (is_marked (fixture));
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 3);
  g_assert_false (is_marked (fixture));
}

static gpointer
fail_in_thread (gpointer user_data)
{
  g_error_free (sync_error (user_data));

  return NULL;
}

/* In one folder: few changes, of which more are files than are synced side by side. */
#define N_IN_FOLDER 200

static GPtrArray *
persist_in_one_folder (Fixture *fixture)
{
  GPtrArray *keys = g_ptr_array_new_with_free_func (g_free);

  for (guint i = 0; i < N_IN_FOLDER; i++)
    {
      char *key = bs_key_generate ();

      memcpy (key, "ab", 2);
      g_ptr_array_add (keys, key);
      write_blob (fixture, key);
      persist_blob (fixture, key);
    }
  forget_calls ();

  return keys;
}

static guint
count_synced (const char *key)
{
  g_autofree char *hex = get_hex (key);
  g_autofree char *call = g_strconcat ("fsync ", hex, NULL);

  return count_calls (call);
}

/* The next sync fails for the same reason, and says so, though it calls nothing. */
static void
test_says_why_again (Fixture *fixture, gconstpointer data)
{
  g_autofree char *hex = get_hex (fixture->key);
  g_autoptr (GError) error = NULL;

  persist_blob (fixture, fixture->key);
  fail_once ("fsync", hex, ENOSPC);
  for (guint i = 0; i < 3; i++)
    {
      error = sync_error (fixture);
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
      g_assert_nonnull (strstr (error->message, g_strerror (ENOSPC)));
      g_clear_error (&error);
    }
}

/* An error in any of the batches is that of its file alone. */
static void
test_batches (Fixture *fixture, gconstpointer data)
{
  static const guint victims[] = { 60, 128, N_IN_FOLDER - 1 };

  for (guint i = 0; i < G_N_ELEMENTS (victims); i++)
    {
      g_autoptr (GPtrArray) keys = persist_in_one_folder (fixture);
      const char *victim = keys->pdata[victims[i]];
      g_autofree char *hex = get_hex (victim);
      g_autoptr (GError) error = NULL;

      fail_once ("fsync", hex, EIO);
      error = sync_error (fixture);
      g_assert_nonnull (strstr (error->message, "1 blobs"));
      g_assert_nonnull (strstr (error->message, victim));
      for (guint j = 0; j < keys->len; j++)
        g_assert_cmpuint (count_synced (keys->pdata[j]), ==, 1);
      g_assert_cmpuint (count_calls ("syncfs persisted"), ==, 0);

      persist_blob (fixture, victim);
      g_assert_cmpuint (count_rewritten (fixture), ==, i + 1);
      sync_path (fixture);
      for (guint j = 0; j < keys->len; j++)
        delete_blob (fixture, keys->pdata[j]);
      sync_path (fixture);
    }
}

/* Descriptors run out within a batch: each file is synced once all the same. */
static void
test_batches_few_descriptors (Fixture *fixture, gconstpointer data)
{
  for (guint n_left = 3; n_left < 60; n_left += 19)
    {
      g_autoptr (GPtrArray) keys = persist_in_one_folder (fixture);
      g_autoptr (GError) error = NULL;
      GArray *taken = take_descriptors (n_left);

      bs_backing_sync_persisted (fixture->backing, fixture->path, NULL, &error);
      give_descriptors (taken);
      g_assert_no_error (error);
      g_assert_cmpuint (count_calls ("syncfs persisted"), ==, 0);
      for (guint j = 0; j < keys->len; j++)
        g_assert_cmpuint (count_synced (keys->pdata[j]), ==, 1);
      g_assert_false (is_marked (fixture));
    }
}

/* In user space nothing takes the place of opening each file. */
static void
test_no_descriptors_in_user_space (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GPtrArray) keys = persist_in_one_folder (fixture);
  g_autoptr (GError) error = NULL;
  GArray *taken;

  pretend_type (0x65735546);
  taken = take_descriptors (0);
  error = sync_error (fixture);
  give_descriptors (taken);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_TOO_MANY_OPEN_FILES);
  g_assert_true (is_marked (fixture));

  /* None has failed for that: the next one syncs them. */
  sync_path (fixture);
  for (guint j = 0; j < keys->len; j++)
    g_assert_cmpuint (count_synced (keys->pdata[j]), ==, 1);
  g_assert_cmpuint (count_rewritten (fixture), ==, 0);
  pretend_type (0);
}

/* syncfs() reports one error for copied blobs too, and for those that were added while it
 * ran. */
static void
test_file_system_fails_for_all (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GPtrArray) keys = persist_many (fixture);
  g_autofree char *copied = write_other (fixture);
  g_autofree char *late = write_other (fixture);
  g_autofree char *late_copied = write_other (fixture);
  g_autoptr (GError) error = NULL;
  GThread *thread;
  guint before;

  persist_copy (fixture, copied);
  hold_call ("syncfs persisted");
  thread = g_thread_new ("sync", fail_in_thread, fixture);
  wait_until_held ();
  persist_blob (fixture, late);
  persist_copy (fixture, late_copied);
  fail_once ("syncfs", "persisted", EIO);
  hold_call (NULL);
  g_thread_join (thread);

  error = sync_error (fixture);
  g_assert_error (error, G_IO_ERROR, (int) g_io_error_from_errno (EIO));
  g_assert_nonnull (strstr (error->message, g_strerror (EIO)));
  g_assert_nonnull (strstr (error->message, "303 blobs"));

  before = count_rewritten (fixture);
  persist_blob (fixture, copied);
  persist_blob (fixture, late);
  persist_blob (fixture, late_copied);
  g_assert_cmpuint (count_rewritten (fixture), ==, before + 3);
  for (guint i = 0; i < keys->len; i++)
    persist_blob (fixture, keys->pdata[i]);
  sync_path (fixture);
  g_assert_false (is_marked (fixture));
}

/* A blob that a verification has set aside is found after a power cut. */
static void
test_quarantine_synced (Fixture *fixture, gconstpointer data)
{
  g_autofree char *blob = get_blob_name (fixture->path_name, fixture->key);
  g_autoptr (GError) error = NULL;

  persist_blob (fixture, fixture->key);
  sync_path (fixture);
  cut_short (blob, 10);
  g_assert_false (
    bs_backing_verify_persisted (fixture->backing, fixture->path, fixture->key, NULL, &error));
  if (error == NULL)
    {
      g_test_skip ("This file system has no extended attributes");
      return;
    }
  g_clear_error (&error);

  forget_calls ();
  fail_once ("fsync", ".quarantine", EIO);
  error = sync_error (fixture);
  g_assert_error (error, G_IO_ERROR, (int) g_io_error_from_errno (EIO));
  g_assert_cmpuint (count_calls ("fsync .quarantine"), ==, 1);
  sync_path (fixture);
  g_assert_cmpuint (count_calls ("fsync .quarantine"), ==, 2);
  sync_path (fixture);
  g_assert_cmpuint (count_calls ("fsync .quarantine"), ==, 2);
}

/* The errors of a lock and a marker that can't be had say what the system said. */
static void
test_error_codes (Fixture *fixture, gconstpointer data)
{
  static const struct
  {
    const char *name;
    int code;
    GQuark (*domain) (void);
    int error;
  } calls[] = {
    { ".lock", EACCES, g_io_error_quark, G_IO_ERROR_PERMISSION_DENIED },
    { ".lock", ENOSPC, g_io_error_quark, G_IO_ERROR_NO_SPACE },
    { ".lock", EDQUOT, g_io_error_quark, G_IO_ERROR_NO_SPACE },
    { ".lock", ENXIO, bs_error_quark, BS_ERROR_FOREIGN },
    { ".lock", EISDIR, bs_error_quark, BS_ERROR_FOREIGN },
    { ".backingstore", EACCES, g_io_error_quark, G_IO_ERROR_PERMISSION_DENIED },
    { ".backingstore", EMFILE, g_io_error_quark, G_IO_ERROR_TOO_MANY_OPEN_FILES },
    { ".backingstore", ENODEV, bs_error_quark, BS_ERROR_FOREIGN },
    { ".backingstore", ELOOP, bs_error_quark, BS_ERROR_FOREIGN },
  };
  g_autofree char *name = g_build_filename (fixture->directory, "codes", NULL);
  g_autoptr (GFile) file = g_file_new_for_path (name);

  g_assert_cmpuint (count_listed (fixture->backing, file), ==, 0);
  bs_backing_release_path (fixture->backing, file, NULL, NULL);

  for (guint i = 0; i < G_N_ELEMENTS (calls); i++)
    {
      g_autoptr (GError) error = NULL;

      g_test_message ("%s: %s", calls[i].name, g_strerror (calls[i].code));
      fail_once ("openat", calls[i].name, calls[i].code);
      error = sanitize_error (fixture->backing, file);
      g_assert_error (error, calls[i].domain (), calls[i].error);
      g_assert_nonnull (strstr (error->message, name));
    }
}

/* A file system that an error has made read-only says so when a file is opened, and not when it
 * is asked for permission. */
static void
test_file_system_read_only (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  persist_blob (fixture, fixture->key);
  sync_path (fixture);
  bs_backing_release_path (fixture->backing, fixture->path, NULL, &error);
  g_assert_no_error (error);

  fail_times (2, "openat", ".lock", EROFS);
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 1);
  g_assert_false (
    bs_backing_delete_persisted (fixture->backing, fixture->path, fixture->key, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_READ_ONLY);
  g_clear_error (&error);
  bs_backing_release_path (fixture->backing, fixture->path, NULL, &error);
  g_assert_no_error (error);

  /* A refusal of a moment does not hold until the release. */
  fail_once ("openat", ".lock", EROFS);
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 1);
  bs_backing_delete_persisted (fixture->backing, fixture->path, fixture->key, NULL, &error);
  g_assert_no_error (error);
}

int
main (int argc, char *argv[])
{
  static const struct
  {
    const char *name;
    void (*func) (Fixture *fixture, gconstpointer data);
  } tests[] = {
    { "opening-fails", test_opening_fails },
    { "file-fails", test_file_fails },
    { "rewriting-fails", test_rewriting_fails },
    { "deletion-heals", test_deletion_heals },
    { "folder-fails", test_folder_fails },
    { "folder-opening-fails", test_folder_opening_fails },
    { "folder-moved", test_folder_moved },
    { "folder-moved-many", test_folder_moved_many },
    { "batches", test_batches },
    { "batches-few-descriptors", test_batches_few_descriptors },
    { "no-descriptors-in-user-space", test_no_descriptors_in_user_space },
    { "file-system-fails-for-all", test_file_system_fails_for_all },
    { "quarantine", test_quarantine_synced },
    { "error-codes", test_error_codes },
    { "file-system-read-only", test_file_system_read_only },
    { "file-system-fails", test_file_system_fails },
    { "file-system-fails-for-deletions", test_file_system_fails_for_deletions },
    { "file-system-fails-few-descriptors", test_file_system_fails_few_descriptors },
    { "two-paths", test_two_paths },
    { "root-fails", test_root_fails },
    { "mark-fails", test_mark_fails },
    { "recovery-fails", test_recovery_fails },
    { "says-why-again", test_says_why_again },
  };
  int result;

  file_calls_init ();
  g_test_init (&argc, &argv, NULL);

  for (guint i = 0; i < G_N_ELEMENTS (tests); i++)
    {
      g_autofree char *name = g_strdup_printf ("/file-sync-errors/%s", tests[i].name);

      g_test_add (name, Fixture, NULL, set_up_calls, tests[i].func, tear_down_calls);
    }

  result = g_test_run ();
  file_calls_clear ();

  return result;
}
