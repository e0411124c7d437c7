/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include <errno.h>
#include <linux/magic.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "file-calls.h"
#include "file-fixture.h"

#define N_THREADS 8
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

/* The mark is durable before the first name, and goes with the sync. */
static void
test_mark (Fixture *fixture, gconstpointer data)
{
  g_autofree char *other = write_other (fixture);
  g_autofree char *hex = get_hex (fixture->key);
  g_autofree char *mark = g_build_filename (fixture->path_name, ".dirty", NULL);

  g_assert_false (is_marked (fixture));
  persist_blob (fixture, fixture->key);
  g_assert_true (is_marked (fixture));
  g_assert_cmphex (get_mode (mark), ==, 0600);
  assert_calls (g_strdup_printf ("fsync persisted, linkat %s", hex));

  /* One that has it stands for all the changes until the sync. */
  persist_blob (fixture, other);
  g_assert_cmpuint (count_calls ("fsync persisted"), ==, 0);

  sync_path (fixture);
  g_assert_false (is_marked (fixture));

  /* A name that is gone can't be half there. */
  delete_blob (fixture, other);
  g_assert_false (is_marked (fixture));
  sync_path (fixture);

  forget_calls ();
  persist_blob (fixture, other);
  g_assert_true (is_marked (fixture));
  g_assert_cmpuint (count_calls ("fsync persisted"), ==, 1);
}

/* Where nothing is added no mark is needed, for which the disk may have no room. */
static void
test_nothing_added (Fixture *fixture, gconstpointer data)
{
  persist_blob (fixture, fixture->key);
  sync_path (fixture);
  forget_calls ();

  persist_blob (fixture, fixture->key);
  assert_calls (g_strdup (""));
  g_assert_false (is_marked (fixture));

  delete_scratch (fixture, fixture->key);
  persist_blob (fixture, fixture->key);
  assert_calls (g_strdup (""));
  g_assert_false (is_marked (fixture));
}

/* Our own mark is no sign of a crash: each file is looked at, and the file system
 * synced, where another one left it. */
static void
test_own_mark (Fixture *fixture, gconstpointer data)
{
  g_autofree char *other = write_other (fixture);

  persist_blob (fixture, fixture->key);
  forget_calls ();
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 1);
  assert_calls (g_strdup (""));
  g_assert_true (is_marked (fixture));

  restart_backing (fixture);
  write_blob (fixture, other);
  persist_blob (fixture, other);
  forget_calls ();
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 2);
  assert_calls (g_strdup ("syncfs persisted"));
  g_assert_false (is_marked (fixture));
}

typedef struct
{
  Fixture *fixture;
  char *key;
} Persist;

static gpointer
persist_in_thread (gpointer data)
{
  Persist *persist = data;

  persist_blob (persist->fixture, persist->key);

  return NULL;
}

/* While one makes the mark durable all the others wait for it. */
static void
test_mark_is_shared (Fixture *fixture, gconstpointer data)
{
  Persist persists[N_THREADS];
  GThread *threads[N_THREADS];

  for (guint i = 0; i < N_THREADS; i++)
    {
      persists[i].fixture = fixture;
      persists[i].key = write_other (fixture);
    }
  forget_calls ();
  hold_call ("fsync persisted");
  for (guint i = 0; i < N_THREADS; i++)
    threads[i] = g_thread_new ("persist", persist_in_thread, &persists[i]);
  wait_until_held ();
  for (guint i = 0; i < N_THREADS; i++)
    {
      g_autofree char *blob = get_blob_name (fixture->path_name, persists[i].key);

      g_assert_false (exists (blob));
    }
  hold_call (NULL);

  for (guint i = 0; i < N_THREADS; i++)
    {
      g_thread_join (threads[i]);
      g_free (persists[i].key);
    }
  g_assert_cmpuint (count_calls ("fsync persisted"), ==, 1);
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, N_THREADS);
}

/* A sync does what it must, and no more. */
static void
test_sync_calls (Fixture *fixture, gconstpointer data)
{
  g_autofree char *hex = get_hex (fixture->key);
  const char shard[] = { hex[0], hex[1], '\0' };

  persist_blob (fixture, fixture->key);
  forget_calls ();
  sync_path (fixture);
  assert_calls (g_strdup_printf ("fsync %s, fsync %s, fsync persisted", hex, shard));

  sync_path (fixture);
  assert_calls (g_strdup (""));

  delete_blob (fixture, fixture->key);
  sync_path (fixture);
  assert_calls (g_strdup_printf ("fsync %s", shard));

  /* The folder is there by now. */
  persist_blob (fixture, fixture->key);
  forget_calls ();
  sync_path (fixture);
  assert_calls (g_strdup_printf ("fsync %s, fsync %s", hex, shard));

  /* Added and taken away. */
  delete_blob (fixture, fixture->key);
  persist_blob (fixture, fixture->key);
  delete_blob (fixture, fixture->key);
  forget_calls ();
  sync_path (fixture);
  assert_calls (g_strdup_printf ("fsync %s", shard));
  g_assert_false (is_marked (fixture));
}

static GPtrArray *
persist_many (Fixture *fixture)
{
  GPtrArray *keys = g_ptr_array_new_with_free_func (g_free);

  for (guint i = 0; i < N_MANY; i++)
    {
      g_ptr_array_add (keys, write_other (fixture));
      persist_blob (fixture, keys->pdata[i]);
    }

  return keys;
}

static void
test_many (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GPtrArray) keys = persist_many (fixture);

  forget_calls ();
  sync_path (fixture);
  assert_calls (g_strdup ("syncfs persisted"));
  g_assert_false (is_marked (fixture));
  sync_path (fixture);
  assert_calls (g_strdup (""));
}

static gpointer
sync_in_thread (gpointer data)
{
  sync_path (data);

  return NULL;
}

/* A blob added during a sync belongs to the next one. */
static void
test_change_during_sync (Fixture *fixture, gconstpointer data)
{
  g_autofree char *other = write_other (fixture);
  g_autofree char *hex = get_hex (fixture->key);
  g_autofree char *other_hex = get_hex (other);
  g_autofree char *held = g_strdup_printf ("fsync %s", hex);
  g_autofree char *expected = g_strdup_printf ("fsync %s", other_hex);
  GThread *thread;

  persist_blob (fixture, fixture->key);
  hold_call (held);
  thread = g_thread_new ("sync", sync_in_thread, fixture);
  wait_until_held ();
  persist_blob (fixture, other);
  hold_call (NULL);
  g_thread_join (thread);

  g_assert_cmpuint (count_calls (expected), ==, 0);
  g_assert_true (is_marked (fixture));
  sync_path (fixture);
  g_assert_cmpuint (count_calls (expected), ==, 1);
  g_assert_false (is_marked (fixture));
}

/* A sync leaves the mark to a blob that is just being added. */
static void
test_sync_during_change (Fixture *fixture, gconstpointer data)
{
  g_autofree char *other = write_other (fixture);
  g_autofree char *hex = get_hex (fixture->key);
  g_autofree char *held = g_strdup_printf ("linkat %s", hex);
  Persist first = { fixture, fixture->key };
  GThread *thread;

  persist_blob (fixture, other);
  hold_call (held);
  thread = g_thread_new ("persist", persist_in_thread, &first);
  wait_until_held ();
  sync_path (fixture);
  g_assert_true (is_marked (fixture));
  hold_call (NULL);
  g_thread_join (thread);

  g_assert_true (is_marked (fixture));
  sync_path (fixture);
  g_assert_false (is_marked (fixture));
}

/* A folder that somebody else is just making is no less new for that. */
static void
test_folder_of_two (Fixture *fixture, gconstpointer data)
{
  static const char *const keys[] = { "abcdef01-2345-6789-abcd-ef0123456780",
                                      "abcdef01-2345-6789-abcd-ef0123456781" };
  Persist first = { fixture, (char *) keys[0] };
  GThread *thread;

  use_large_blobs (fixture);
  write_blob (fixture, keys[0]);
  write_blob (fixture, keys[1]);

  hold_call ("mkdirat ab");
  thread = g_thread_new ("persist", persist_in_thread, &first);
  wait_until_held ();
  persist_blob (fixture, keys[1]);
  forget_calls ();
  sync_path (fixture);
  assert_calls (g_strdup ("fsync abcdef0123456789abcdef0123456781, fsync ab, fsync persisted"));

  hold_call (NULL);
  g_thread_join (thread);
  sync_path (fixture);
  g_assert_false (is_marked (fixture));
}

/* Without a hash nobody could tell a half from a whole. */
static void
test_without_attributes (Fixture *fixture, gconstpointer data)
{
  g_autofree char *key = NULL;
  g_autofree char *hex = NULL;
  g_autofree char *other = NULL;
  g_autofree char *sealed = NULL;
  g_autoptr (GError) error = NULL;

  use_large_blobs (fixture);
  /* A blob gets its attribute when it is persisted first. */
  sealed = write_other (fixture);
  persist_blob (fixture, sealed);
  g_assert_true (
    bs_backing_delete_persisted (fixture->backing, fixture->path, sealed, NULL, &error));
  g_assert_no_error (error);
  sync_path (fixture);
  refuse_attributes (TRUE);
  key = write_other (fixture);
  other = write_other (fixture);
  hex = get_hex (key);
  forget_calls ();
  persist_blob (fixture, key);
  assert_calls (g_strdup_printf ("fsync persisted, fsync %s, linkat %s", hex, hex));
  sync_path (fixture);

  /* This one has one, and need not wait. */
  g_free (hex);
  hex = get_hex (sealed);
  forget_calls ();
  persist_blob (fixture, sealed);
  assert_calls (g_strdup_printf ("fsync persisted, linkat %s", hex));

  /* A blob whose own sync has failed is not linked. */
  g_free (hex);
  hex = get_hex (other);
  fail_once ("fsync", hex, EIO);
  error = persist_error (fixture, other);
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 2);
  persist_blob (fixture, other);
  g_assert_cmpuint (count_rewritten (fixture), ==, 1);
  sync_path (fixture);
}

/* A blob that is there and not durable yet stays so if persisting it again fails. */
static void
test_persist_again_fails (Fixture *fixture, gconstpointer data)
{
  g_autofree char *other = NULL;
  g_autofree char *hex = get_hex (fixture->key);
  g_autofree char *expected = g_strdup_printf ("fsync %s", hex);
  g_autoptr (GError) error = NULL;
  GArray *taken;

  /* From here on each has to be looked at for its hash. */
  refuse_attributes (TRUE);
  other = write_other (fixture);
  persist_blob (fixture, fixture->key);

  taken = take_descriptors (0);
  error = persist_error (fixture, fixture->key);
  give_descriptors (taken);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_TOO_MANY_OPEN_FILES);

  forget_calls ();
  sync_path (fixture);
  g_assert_cmpuint (count_calls (expected), ==, 1);

  /* Nor is one that could not be synced believed when it is tried once more. */
  g_free (hex);
  hex = get_hex (other);
  persist_blob (fixture, other);
  fail_once ("fsync", hex, EIO);
  g_clear_error (&error);
  error = persist_error (fixture, other);
  persist_blob (fixture, other);
  g_assert_cmpuint (count_rewritten (fixture), ==, 1);
  sync_path (fixture);
  g_assert_false (is_marked (fixture));
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

static char *
get_some (Fixture *fixture, guint i)
{
  g_autofree char *key = g_strdup_printf ("abcdef01-2345-6789-abcd-ef012345678%u", i);

  return get_blob_name (fixture->path_name, key);
}

/* As a power cut leaves them: one whole, one short, one with another content. */
static void
test_power_cut (Fixture *fixture, gconstpointer data)
{
  g_autofree char *quarantine = g_build_filename (fixture->path_name, ".quarantine", NULL);
  g_autofree char *shortened = get_some (fixture, 1);
  g_autofree char *changed = get_some (fixture, 2);
  g_autoptr (BsKeySet) found = NULL;
  g_autoptr (BsFileBackingStats) stats = NULL;

  bs_backing_close (fixture->backing, NULL, NULL);
  g_clear_object (&fixture->backing);
  fixture->backing = create (fixture->primary);
  run_and_crash (persist_some, fixture);
  g_assert_true (is_marked (fixture));

  cut_short (shortened, 4096);
  flip (changed, 2000);

  found = list_path (fixture->backing, fixture->path);
  g_assert_cmpuint (bs_key_set_get_n_keys (found), ==, 1);
  g_assert_true (bs_key_set_contains_key (found, "abcdef01-2345-6789-abcd-ef0123456780"));
  g_assert_false (exists (shortened));
  g_assert_false (exists (changed));
  g_assert_cmpuint (count_files (quarantine), ==, 2);
  g_assert_cmphex (get_mode (quarantine), ==, 0700);
  stats = bs_file_backing_get_stats (BS_FILE_BACKING (fixture->backing));
  g_assert_cmpuint (stats->quarantined, ==, 2);

  /* The next opening need not look again. */
  g_assert_false (is_marked (fixture));
  g_assert_cmpuint (count_calls ("syncfs persisted"), ==, 1);
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 1);
}

/* A blob that could not be looked at for want of a descriptor does not count as whole. */
static void
test_power_cut_few_descriptors (Fixture *fixture, gconstpointer data)
{
  g_autofree char *shortened = get_some (fixture, 1);

  persist_some (fixture);
  cut_short (shortened, 4096);
  restart_backing (fixture);
  write_blob (fixture, fixture->key);

  /* At last for the directory, its lock, and the two folders that are walked, but
   * not for a blob. */
  for (guint n_left = 0; n_left < 5; n_left++)
    {
      GArray *taken = take_descriptors (n_left);
      g_autoptr (BsKeySet) found = bs_key_set_new ();
      g_autoptr (GError) error = NULL;
      gboolean sanitized =
        bs_backing_sanitize_path (fixture->backing, fixture->path, found, NULL, &error);

      give_descriptors (taken);
      g_assert_false (sanitized);
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_TOO_MANY_OPEN_FILES);
      g_assert_nonnull (strstr (error->message, fixture->path_name));
      g_assert_true (is_marked (fixture));
      g_assert_true (exists (shortened));
    }

  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 2);
  g_assert_false (exists (shortened));
  g_assert_false (is_marked (fixture));
}

/* Only where the mark stands is each file looked at. */
static void
test_clean_is_listed (Fixture *fixture, gconstpointer data)
{
  g_autofree char *shortened = get_some (fixture, 1);

  persist_some (fixture);
  sync_path (fixture);
  cut_short (shortened, 4096);
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 3);

  plant_in (fixture->path_name, ".dirty", "");
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 2);
}

/* A stranger's directory is made durable before it is ours. */
static void
test_adoption (Fixture *fixture, gconstpointer data)
{
  g_autofree char *other_name = g_build_filename (fixture->directory, "other", NULL);
  g_autofree char *blob = get_blob_name (other_name, fixture->key);
  g_autoptr (GError) error = NULL;

  plant (blob, "content");
  move_path (fixture, other_name);
  fail_once ("syncfs", "other", EIO);
  error = sanitize_error (fixture->backing, fixture->path);
  g_assert_false (exists_in (other_name, ".backingstore"));
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 1);
  g_assert_cmpuint (count_calls ("syncfs other"), ==, 2);
}

/* A new directory is not durable before its parent is. */
static void
test_new_directory (Fixture *fixture, gconstpointer data)
{
  g_autofree char *name = g_build_filename (fixture->directory, "outer", "inner", NULL);
  g_autofree char *directory = g_path_get_basename (fixture->directory);
  g_autofree char *expected = g_strdup_printf ("fsync %s", directory);

  move_path (fixture, name);
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 0);
  g_assert_cmpuint (count_calls (expected), ==, 1);
  g_assert_cmpuint (count_calls ("fsync outer"), ==, 1);
}

/* syncfs() of a file system in user space reaches nobody: each file is synced. */
static void
test_many_in_user_space (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GPtrArray) keys = NULL;

  pretend_type (FUSE_SUPER_MAGIC);
  keys = persist_many (fixture);
  forget_calls ();
  sync_path (fixture);
  g_assert_cmpuint (count_calls ("syncfs persisted"), ==, 0);
  g_assert_cmpuint (count_calls ("fsync persisted"), ==, 1);
  for (guint i = 0; i < keys->len; i++)
    {
      g_autofree char *blob = get_blob_name (fixture->path_name, keys->pdata[i]);
      g_autofree char *call = g_strconcat ("fsync ", strrchr (blob, '/') + 1, NULL);

      g_assert_cmpuint (count_calls (call), ==, 1);
    }
  g_assert_false (is_marked (fixture));
  pretend_type (0);
}

/* More are changed than is known by name, as after a crash; and blobs of another program
 * are adopted. */
static void
test_unknown_in_user_space (Fixture *fixture, gconstpointer data)
{
  for (guint i = 0; i < 2; i++)
    {
      g_autofree char *directory = g_strdup_printf ("%s/unknown-%u", fixture->directory, i);
      g_autofree char *key = bs_key_generate ();
      g_autofree char *blob = get_blob_name (directory, key);
      g_autofree char *folder = g_strdup_printf ("fsync %.2s", key);
      g_autofree char *call = g_strconcat ("fsync ", strrchr (blob, '/') + 1, NULL);
      g_autoptr (GFile) file = g_file_new_for_path (directory);

      plant (blob, "content");
      if (i == 0)
        {
          plant_in (directory, ".backingstore", "backingstore 1 persisted\n");
          plant_in (directory, ".dirty", "");
        }
      pretend_type (FUSE_SUPER_MAGIC);
      forget_calls ();
      g_assert_cmpuint (count_listed (fixture->backing, file), ==, 1);
      g_assert_cmpuint (count_calls (call), ==, 1);
      g_assert_cmpuint (count_calls (folder), ==, 1);
      g_assert_cmpuint (count_calls (i == 0 ? "syncfs unknown-0" : "syncfs unknown-1"), ==, 0);
      pretend_type (0);
    }
}

/* Shared folders of virtual machines have no sync for folders. */
static void
test_folders_without_sync (Fixture *fixture, gconstpointer data)
{
  g_autofree char *blob = get_blob_name (fixture->path_name, fixture->key);
  const char *name = strrchr (blob, '/') + 1;
  g_autofree char *shard = g_strndup (name, 2);
  const char *const folders[] = { "persisted", shard };
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < 2; i++)
    {
      if (i == 0)
        fail_once ("fsync", folders[i], EINVAL);
      persist_blob (fixture, fixture->key);
      if (i == 1)
        fail_once ("fsync", folders[i], EINVAL);
      sync_path (fixture);
      g_assert_false (is_marked (fixture));
      delete_blob (fixture, fixture->key);
    }

  fail_once ("fsync", "persisted", EINVAL);
  g_assert_true (
    bs_backing_write_root (fixture->backing, fixture->path, fixture->bytes, NULL, NULL, &error));
  g_assert_no_error (error);

  /* A file that says so is not durable. */
  persist_blob (fixture, fixture->key);
  fail_once ("fsync", name, EINVAL);
  g_assert_false (bs_backing_sync_persisted (fixture->backing, fixture->path, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
}

/* However a file system says that it has no locks. */
static void
test_no_locks (Fixture *fixture, gconstpointer data)
{
  static const int codes[] = { ENOSYS, ENOLCK, EOPNOTSUPP };

  for (guint i = 0; i < G_N_ELEMENTS (codes); i++)
    {
      g_autofree char *name = g_strdup_printf ("%s/no-locks-%u", fixture->directory, i);
      g_autoptr (GFile) file = g_file_new_for_path (name);
      g_autoptr (BsBacking) scratch = create (file);
      g_autoptr (GError) error = NULL;

      refuse_locks (codes[i]);
      error = sanitize_error (fixture->backing, file);
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED);
      g_assert_nonnull (strstr (error->message, "locks"));
      g_assert_nonnull (strstr (error->message, name));
      g_clear_error (&error);
      g_assert_false (bs_backing_write (scratch, fixture->key, fixture->bytes, NULL, &error));
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED);
      refuse_locks (0);
    }
}

/* A second backing in its own scratch. */
static GError *
open_elsewhere (Fixture *fixture, GFile *path, gboolean read_only)
{
  g_autofree char *name = g_strconcat (fixture->primary_name, "-other", NULL);
  g_autoptr (GFile) scratch = g_file_new_for_path (name);
  g_autoptr (BsBacking) other = create (scratch);

  bs_file_backing_set_read_only (BS_FILE_BACKING (other), read_only);

  return sanitize_error (other, path);
}

/* NFS locks no directory, which can't be open for writing: the lock of the file is enough. */
static void
test_no_folder_locks (Fixture *fixture, gconstpointer data)
{
  static const int codes[] = { EBADF, EINVAL, ENOTSUP, ENOLCK, ENOSYS };

  for (guint i = 0; i < G_N_ELEMENTS (codes); i++)
    {
      g_autofree char *name = g_strdup_printf ("%s/no-folder-locks-%u", fixture->directory, i);
      g_autofree char *copy_name = g_strconcat (name, "-copy", NULL);
      g_autofree char *lock = g_build_filename (name, ".lock", NULL);
      g_autofree char *copied_lock = g_build_filename (copy_name, ".lock", NULL);
      g_autoptr (GFile) copy = g_file_new_for_path (copy_name);
      g_autoptr (GError) error = NULL;

      refuse_folder_locks (codes[i]);
      restart_backing (fixture);
      move_path (fixture, name);
      write_blob (fixture, fixture->key);
      persist_blob (fixture, fixture->key);
      sync_path (fixture);

      for (guint read_only = 0; read_only < 2; read_only++)
        {
          error = open_elsewhere (fixture, fixture->path, read_only);
          g_assert_error (error, BS_ERROR, BS_ERROR_BUSY);
          g_clear_error (&error);
        }

      /* A copy by hard links gets a lock of its own. */
      g_assert_cmpint (g_mkdir (copy_name, 0700), ==, 0);
      g_assert_cmpint (link (lock, copied_lock), ==, 0);
      g_assert_cmpuint (count_listed (fixture->backing, copy), ==, 0);
      g_assert_cmpuint (get_inode (lock), !=, get_inode (copied_lock));
      sync_path (fixture);

      restart_backing (fixture);
      bs_file_backing_set_read_only (BS_FILE_BACKING (fixture->backing), TRUE);
      g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 1);
      refuse_folder_locks (0);
    }
}

/* However a sandbox says no to a link. */
static void
test_link_refused (Fixture *fixture, gconstpointer data)
{
  static const int codes[] = { EACCES, EPERM, EXDEV, EMLINK, EOPNOTSUPP, ENOSYS };

  for (guint i = 0; i < G_N_ELEMENTS (codes); i++)
    {
      g_autofree char *key = bs_key_generate ();
      g_autofree char *blob = get_blob_name (fixture->path_name, key);
      g_autofree char *name = g_path_get_basename (blob);

      g_test_message ("%s", g_strerror (codes[i]));
      write_blob (fixture, key);
      fail_once ("linkat", name, codes[i]);
      persist_blob (fixture, key);
      sync_path (fixture);
      assert_transfers (fixture->backing, i, 0, i + 1);
      delete_scratch (fixture, key);
      register_blob (fixture, key);
    }
}

/* A folder that has no room for a name gets that of a free slot. */
static void
test_room_for_link (Fixture *fixture, gconstpointer data)
{
  g_autofree char *key = bs_key_generate ();
  g_autofree char *hex = get_hex (key);
  g_autofree char *other = write_other (fixture);
  g_autoptr (GError) error = NULL;

  for (guint has_room = 0; has_room < 2; has_room++)
    {
      fail_once ("linkat", hex, ENOSPC);
      if (has_room)
        delete_scratch (fixture, other);
      bs_backing_persist_bytes (fixture->backing, fixture->path, key, fixture->bytes, NULL, &error);
      if (has_room)
        g_assert_no_error (error);
      else
        g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
      g_clear_error (&error);
    }
  assert_reads (fixture->backing, key, fixture->bytes);
}

int
main (int argc, char *argv[])
{
  static const struct
  {
    const char *name;
    void (*func) (Fixture *fixture, gconstpointer data);
  } tests[] = {
    { "mark", test_mark },
    { "nothing-added", test_nothing_added },
    { "own-mark", test_own_mark },
    { "mark-is-shared", test_mark_is_shared },
    { "sync-calls", test_sync_calls },
    { "many", test_many },
    { "change-during-sync", test_change_during_sync },
    { "sync-during-change", test_sync_during_change },
    { "room-for-link", test_room_for_link },
    { "folder-of-two", test_folder_of_two },
    { "without-attributes", test_without_attributes },
    { "persist-again-fails", test_persist_again_fails },
    { "power-cut", test_power_cut },
    { "power-cut-few-descriptors", test_power_cut_few_descriptors },
    { "clean-is-listed", test_clean_is_listed },
    { "adoption", test_adoption },
    { "new-directory", test_new_directory },
    { "no-locks", test_no_locks },
    { "no-folder-locks", test_no_folder_locks },
    { "link-refused", test_link_refused },
    { "many-in-user-space", test_many_in_user_space },
    { "unknown-in-user-space", test_unknown_in_user_space },
    { "folders-without-sync", test_folders_without_sync },
  };
  int result;

  file_calls_init ();
  g_test_init (&argc, &argv, NULL);

  for (guint i = 0; i < G_N_ELEMENTS (tests); i++)
    {
      g_autofree char *name = g_strdup_printf ("/file-durability/%s", tests[i].name);

      g_test_add (name, Fixture, NULL, set_up_calls, tests[i].func, tear_down_calls);
    }

  result = g_test_run ();
  file_calls_clear ();

  return result;
}
