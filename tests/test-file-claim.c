/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "backings/bs-file-leftovers-private.h"
#include "file-fixture.h"
#include "file-mount.h"

/* For the crashing program: where its scratch is made. */
#define PARENT_VARIABLE "TEST_FILE_CLAIM_PARENT"
#define CRASHING_PROGRAM "/file-claim/temporary-after-crash/subprocess"

/* A directory as the crate file_backed leaves it: no marker. */
static void
test_adopts (Fixture *fixture, gconstpointer data)
{
  g_autofree char *blob = get_blob_name (fixture->path_name, fixture->key);
  g_autofree char *empty = g_build_filename (fixture->path_name, "00", NULL);
  g_autoptr (GBytes) content = g_bytes_new_static ("content", 7);
  g_autoptr (BsKeySet) found = NULL;
  g_autoptr (GError) error = NULL;

  plant (blob, "content");
  g_mkdir (empty, 0755);

  found = list_path (fixture->backing, fixture->path);
  g_assert_cmpuint (bs_key_set_get_n_keys (found), ==, 1);
  g_assert_true (bs_key_set_contains_key (found, fixture->key));
  g_assert_true (exists_in (fixture->path_name, ".backingstore"));

  bs_backing_register_key (fixture->backing, fixture->path, fixture->key, NULL, &error);
  g_assert_no_error (error);
  assert_reads (fixture->backing, fixture->key, content);
}

/* A copy that lost its dot files. */
static void
test_adopts_copy (Fixture *fixture, gconstpointer data)
{
  g_autofree char *blob = get_blob_name (fixture->path_name, fixture->key);
  g_autofree char *lone_name = g_build_filename (fixture->directory, "lone", NULL);
  g_autofree char *root_name = g_build_filename (fixture->path_name, "root", NULL);
  g_autoptr (GFile) lone = g_file_new_for_path (lone_name);
  g_autoptr (GBytes) content = g_bytes_new_static ("content", 7);
  g_autoptr (GBytes) root = NULL;
  g_autofree char *before = NULL;
  g_autoptr (BsBacking) scratch = create (fixture->path);
  g_autoptr (GError) error = NULL;

  plant (blob, "content");
  plant (root_name, "names");

  /* Scratch has no root. */
  before = snapshot (fixture->path_name);
  g_assert_false (bs_backing_write (scratch, fixture->key, fixture->bytes, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_FOREIGN);
  g_assert_nonnull (strstr (error->message, "scratch"));
  g_clear_error (&error);
  assert_unchanged (fixture->path_name, before);

  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 1);
  root = bs_backing_read_root (fixture->backing, fixture->path, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpmem (g_bytes_get_data (root, NULL), g_bytes_get_size (root), "names", 5);
  g_assert_true (
    bs_backing_register_key (fixture->backing, fixture->path, fixture->key, NULL, NULL));
  assert_reads (fixture->backing, fixture->key, content);

  /* A file of that name alone may be anybody's. */
  plant_in (lone_name, "root", "mine");
  error = sanitize_error (fixture->backing, lone);
  g_assert_error (error, BS_ERROR, BS_ERROR_FOREIGN);
  g_assert_cmpuint (count_files (lone_name), ==, 1);
}

/* A lock or a marker of another kind says whose the directory is not. */
static void
test_odd_kinds (Fixture *fixture, gconstpointer data)
{
  static const char *const names[] = { ".lock", ".backingstore" };

  for (guint i = 0; i < 2 * 4; i++)
    {
      g_autofree char *directory = g_strdup_printf ("%s/odd-%u", fixture->directory, i);
      g_autofree char *name = g_build_filename (directory, names[i % 2], NULL);
      g_autoptr (GFile) file = g_file_new_for_path (directory);
      g_autoptr (GError) error = NULL;
      static const mode_t kinds[] = { S_IFSOCK, S_IFCHR, S_IFIFO, S_IFDIR };
      mode_t kind = kinds[i / 2];
      int result;

      g_mkdir (directory, 0700);
      if (i % 2 == 0)
        plant_in (directory, ".backingstore", "backingstore 1 persisted\n");
      if (kind == S_IFDIR)
        result = mkdir (name, 0700);
      else
        result = mknod (name, kind | 0600, kind == S_IFCHR ? makedev (250, 99) : 0);
      if (result != 0)
        {
          g_assert_cmpint (kind, ==, S_IFCHR);
          continue;
        }

      error = sanitize_error (fixture->backing, file);
      g_assert_error (error, BS_ERROR, BS_ERROR_FOREIGN);
      g_assert_nonnull (strstr (error->message, directory));
    }
}

/* Nobody knows whose the blobs in a scratch directory without a marker are. */
static void
test_adopted_scratch_is_kept (Fixture *fixture, gconstpointer data)
{
  g_autofree char *other = bs_key_generate ();
  g_autofree char *kept = get_blob_name (fixture->primary_name, other);
  g_autofree char *stale = get_blob_name (fixture->primary_name, fixture->key);
  g_autofree char *persisted = get_blob_name (fixture->path_name, fixture->key);
  g_autofree char *content =
    g_strndup (g_bytes_get_data (fixture->bytes, NULL), g_bytes_get_size (fixture->bytes));
  g_autoptr (GBytes) whole = g_bytes_new_static ("whole", 5);
  g_autoptr (GError) error = NULL;

  plant (kept, "kept");
  plant (stale, "who");
  plant (persisted, "whole");

  /* A scratch file that a crash cut short gives way to the persisted blob. */
  bs_backing_register_key (fixture->backing, fixture->path, fixture->key, NULL, &error);
  g_assert_no_error (error);
  assert_reads (fixture->backing, fixture->key, whole);

  for (guint i = 0; i < 2; i++)
    {
      g_assert_finalize_object (fixture->backing);
      g_assert_true (exists (kept));
      fixture->backing = create (fixture->primary);
      delete_scratch (fixture, fixture->key);
    }
}

static void
refuse (Fixture *fixture, const char *name, const char *content)
{
  g_autofree char *foreign_name = g_build_filename (fixture->directory, "foreign", NULL);
  g_autofree char *blob = get_blob_name (foreign_name, fixture->key);
  g_autofree char *planted = g_build_filename (foreign_name, name, NULL);
  g_autofree char *before = NULL;
  g_autofree char *after = NULL;
  g_autoptr (GFile) foreign = g_file_new_for_path (foreign_name);
  g_autoptr (BsBacking) scratch = create (foreign);
  g_autoptr (GError) error = NULL;

  plant (blob, "content");
  if (content != NULL)
    plant (planted, content);
  else
    g_assert_cmpint (g_mkdir_with_parents (planted, 0755), ==, 0);
  before = snapshot (foreign_name);

  error = sanitize_error (fixture->backing, foreign);
  g_assert_error (error, BS_ERROR, BS_ERROR_FOREIGN);
  g_assert_nonnull (strstr (error->message, foreign_name));
  g_clear_error (&error);

  g_assert_false (bs_backing_persist (fixture->backing, foreign, fixture->key, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_FOREIGN);
  g_clear_error (&error);

  g_assert_false (bs_backing_write (scratch, fixture->key, fixture->bytes, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_FOREIGN);
  g_clear_object (&scratch);

  after = snapshot (foreign_name);
  g_assert_cmpstr (after, ==, before);
  remove_test_directory (foreign_name);
}

static void
test_refuses_foreign (Fixture *fixture, gconstpointer data)
{
  write_blob (fixture, fixture->key);

  refuse (fixture, "notes.txt", "mine");
  refuse (fixture, ".dirty", "");
  refuse (fixture, ".bashrc", "mine");
  refuse (fixture, ".tmp-mine", "mine");
  refuse (fixture, ".git/HEAD", "ref: refs/heads/main\n");
  refuse (fixture, "abcdef0123456789abcdef0123456789", "mine");
  refuse (fixture, "ab/cdef0123456789abcdef0123456789abcdef", "an object of git's");
  refuse (fixture, "ab/abcdef01-2345-6789-abcd-ef0123456789", "hyphens");
  refuse (fixture, "ac/abcdef0123456789abcdef0123456789", "the wrong folder");
  refuse (fixture, "AB/abcdef0123456789abcdef0123456789", "upper-case");
  refuse (fixture, "ab/ABCDEF0123456789abcdef0123456789", "upper-case");
  refuse (fixture, "ab/abcdef0123456789abcdef0123456789", NULL);
  refuse (fixture, ".quarantine", NULL);
  refuse (fixture, ".backingstore", "backingstore\n");
  refuse (fixture, ".backingstore", "something else");
  refuse (fixture, ".backingstore", "");
  refuse (fixture, ".backingstore", NULL);
}

static void
test_refuses_newer_version (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *before = NULL;
  g_autofree char *after = NULL;

  plant_in (fixture->path_name, ".backingstore", "backingstore 2 persisted, and more\n");
  before = snapshot (fixture->path_name);
  error = sanitize_error (fixture->backing, fixture->path);
  g_assert_error (error, BS_ERROR, BS_ERROR_NOT_SUPPORTED);
  after = snapshot (fixture->path_name);
  g_assert_cmpstr (after, ==, before);
}

static void
test_leaves_foreign_files (Fixture *fixture, gconstpointer data)
{
  static const char *const names[] = {
    "notes.txt",
    "ab/notes.txt",
    "ab/abcdef01-2345-6789-abcd-ef0123456789",
    "ac/abcdef0123456789abcdef0123456789",
    "abcdef0123456789abcdef0123456789",
    ".tmp-mine",
    "folder/file",
  };
  g_autoptr (GError) error = NULL;
  g_autofree char *fifo =
    g_build_filename (fixture->path_name, "ab", "abcdef0123456789abcdef0123456780", NULL);

  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 0);
  write_blob (fixture, fixture->key);
  persist_blob (fixture, fixture->key);
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    plant_in (fixture->path_name, names[i], "mine");
  g_assert_cmpint (mkfifo (fifo, 0600), ==, 0);

  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 1);
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    g_assert_true (exists_in (fixture->path_name, names[i]));
  assert_transfers (fixture->backing, 1, 0, 0);
  g_assert_cmpuint (count_foreign (fixture->backing), ==, G_N_ELEMENTS (names) + 1);

  /* In scratch neither. */
  plant_in (fixture->primary_name, "notes.txt", "mine");
  plant_in (fixture->primary_name, "ab/notes.txt", "mine");
  for (guint i = 0; i < 2; i++)
    {
      g_assert_finalize_object (fixture->backing);
      fixture->backing = create (fixture->primary);
      write_blob (fixture, fixture->key);
      g_assert_true (exists_in (fixture->primary_name, "notes.txt"));
      g_assert_true (exists_in (fixture->primary_name, "ab/notes.txt"));
    }
}

#define SWEPT_SHARD 0xab

/* A page that holds one word. The first write to it finds the page read-only, and stops in
 * note_first_write(). */
static struct
{
  gboolean *word;
  gsize size;
  BsFileLeftovers *leftovers;
  volatile gboolean was_unswept;
} page;

static void
note_first_write (int signal_number, siginfo_t *info, gpointer context)
{
  if (info->si_addr != page.word)
    {
      signal (signal_number, SIG_DFL);
      return;
    }

  page.was_unswept = *(volatile int *) &page.leftovers->unswept[SWEPT_SHARD] != 0;
  mprotect (page.word, page.size, PROT_READ | PROT_WRITE);
}

/* A thread that finds a folder swept writes to it at once, and has to know whether the folder
 * has stayed. */
static void
test_kept_before_swept (Fixture *fixture, gconstpointer data)
{
  struct sigaction noting = { .sa_sigaction = note_first_write, .sa_flags = SA_SIGINFO }, old;
  BsFileLeftovers leftovers = { 0 };
  int fd;

  plant_in (fixture->path_name, "ab/theirs", "mine");
  bs_file_leftovers_init (&leftovers);
  fd = open (fixture->path_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  g_assert_no_errno (fd);
  g_assert_cmpint (bs_file_leftovers_find (&leftovers, fd, NULL), ==, 0);
  g_assert_true (bs_file_leftovers_is_unswept (&leftovers, SWEPT_SHARD));

  page.leftovers = &leftovers;
  page.size = sysconf (_SC_PAGESIZE);
  page.word = mmap (NULL, page.size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  g_assert_true (page.word != MAP_FAILED);
  g_assert_no_errno (sigaction (SIGSEGV, &noting, &old));
  g_assert_cmpint (bs_file_leftovers_sweep (&leftovers, fd, SWEPT_SHARD, page.word, NULL), ==, 0);
  g_assert_no_errno (sigaction (SIGSEGV, &old, NULL));

  g_assert_true (*page.word);
  g_assert_true (page.was_unswept);
  g_assert_false (bs_file_leftovers_is_unswept (&leftovers, SWEPT_SHARD));

  munmap (page.word, page.size);
  close (fd);
  bs_file_leftovers_clear (&leftovers);
}

static void
test_removes_leftovers (Fixture *fixture, gconstpointer data)
{
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 0);
  plant_in (fixture->path_name, ".tmp-abcdef0123456789abcdef0123456789", "half");
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 0);
  g_assert_false (exists_in (fixture->path_name, ".tmp-abcdef0123456789abcdef0123456789"));
  assert_transfers (fixture->backing, 0, 0, 0);
}

static void
test_busy (Fixture *fixture, gconstpointer data)
{
  g_autofree char *other_name = g_build_filename (fixture->directory, "other", NULL);
  g_autofree char *alias_name = g_build_filename (fixture->directory, "alias", NULL);
  g_autofree char *lock_name = g_build_filename (fixture->path_name, ".lock", NULL);
  g_autoptr (GFile) other_primary = g_file_new_for_path (other_name);
  g_autoptr (GFile) alias = g_file_new_for_path (alias_name);
  g_autoptr (BsBacking) same = create (fixture->primary);
  g_autoptr (BsBacking) other = create (other_primary);
  g_autoptr (GError) error = NULL;

  write_blob (fixture, fixture->key);
  g_assert_false (bs_backing_write (same, fixture->key, fixture->bytes, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_BUSY);
  g_clear_error (&error);
  assert_reads (fixture->backing, fixture->key, fixture->bytes);

  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 0);
  error = sanitize_error (other, fixture->path);
  g_assert_error (error, BS_ERROR, BS_ERROR_BUSY);
  g_clear_error (&error);

  /* The same place under another name. */
  g_assert_cmpint (symlink (fixture->path_name, alias_name), ==, 0);
  error = sanitize_error (fixture->backing, alias);
  g_assert_error (error, BS_ERROR, BS_ERROR_BUSY);
  g_clear_error (&error);

  /* Again is no conflict. */
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 0);

  g_assert_true (bs_backing_release_path (fixture->backing, fixture->path, NULL, &error));
  g_assert_cmpuint (count_listed (other, fixture->path), ==, 0);

  /* Another process sees the lock. */
  {
    int fd = open (lock_name, O_RDWR | O_CLOEXEC);

    g_assert_cmpint (flock (fd, LOCK_EX | LOCK_NB), ==, -1);
    bs_backing_close (other, NULL, &error);
    g_assert_cmpint (flock (fd, LOCK_EX | LOCK_NB), ==, 0);
    close (fd);
  }

  /* Closing lets go of the scratch, too, though the object lives on. */
  bs_backing_close (fixture->backing, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (bs_backing_write (same, fixture->key, fixture->bytes, NULL, &error));
  g_assert_no_error (error);
}

/* A failed opening keeps no lock. */
static void
test_failed_path_is_free (Fixture *fixture, gconstpointer data)
{
  g_autofree char *other_name = g_build_filename (fixture->directory, "other", NULL);
  g_autoptr (GFile) other_primary = g_file_new_for_path (other_name);
  g_autoptr (BsBacking) other = create (other_primary);
  g_autoptr (GError) error = NULL;

  plant_in (fixture->path_name, "notes.txt", "mine");
  error = sanitize_error (fixture->backing, fixture->path);
  g_assert_error (error, BS_ERROR, BS_ERROR_FOREIGN);

  remove_test_directory (fixture->path_name);
  g_assert_cmpuint (count_listed (other, fixture->path), ==, 0);
  bs_backing_release_path (other, fixture->path, NULL, NULL);
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 0);
}

static void
write_and_persist (Fixture *fixture)
{
  write_blob (fixture, fixture->key);
  persist_blob (fixture, fixture->key);
}

static void
test_crash (Fixture *fixture, gconstpointer data)
{
  g_autofree char *scratch = get_blob_name (fixture->primary_name, fixture->key);

  run_and_crash (write_and_persist, fixture);
  g_assert_true (exists (scratch));

  assert_does_not_read (fixture->backing, fixture->key);
  g_assert_false (exists (scratch));
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 1);
  register_blob (fixture, fixture->key);
}

/* The leftovers of a first opening that did not get to the marker. */
static void
test_crash_before_marker (Fixture *fixture, gconstpointer data)
{
  plant_in (fixture->path_name, ".lock", "");
  plant_in (fixture->path_name, ".tmp-abcdef0123456789abcdef0123456789", "backingst");
  plant_in (fixture->primary_name, ".lock", "");
  plant_in (fixture->primary_name, ".tmp-abcdef0123456789abcdef0123456789", "");

  write_blob (fixture, fixture->key);
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 0);
  g_assert_false (exists_in (fixture->path_name, ".tmp-abcdef0123456789abcdef0123456789"));
}

static void
test_kinds_are_kept_apart (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (BsBacking) wrong = create (fixture->path);
  g_autofree char *inner_name = g_build_filename (fixture->primary_name, "inner", NULL);
  g_autofree char *outer_name = g_build_filename (fixture->directory, "outer", NULL);
  g_autofree char *nested_name = g_build_filename (outer_name, "nested", NULL);
  g_autoptr (GFile) inner = g_file_new_for_path (inner_name);
  g_autoptr (GFile) outer = g_file_new_for_path (outer_name);
  g_autoptr (GFile) nested = g_file_new_for_path (nested_name);
  g_autofree char *before = NULL;
  g_autofree char *after = NULL;

  write_blob (fixture, fixture->key);
  persist_blob (fixture, fixture->key);
  bs_backing_release_path (fixture->backing, fixture->path, NULL, NULL);

  /* Persisted blobs are nobody's scratch. */
  before = snapshot (fixture->path_name);
  g_assert_false (bs_backing_write (wrong, fixture->key, fixture->bytes, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_FOREIGN);
  g_clear_error (&error);
  bs_backing_close (wrong, NULL, NULL);
  after = snapshot (fixture->path_name);
  g_assert_cmpstr (after, ==, before);

  error = sanitize_error (fixture->backing, fixture->primary);
  g_assert_error (error, BS_ERROR, BS_ERROR_FOREIGN);
  g_clear_error (&error);
  error = sanitize_error (fixture->backing, inner);
  g_assert_error (error, BS_ERROR, BS_ERROR_FOREIGN);
  g_clear_error (&error);

  {
    g_autoptr (BsBacking) within = create (nested);

    error = sanitize_error (within, outer);
    g_assert_error (error, BS_ERROR, BS_ERROR_FOREIGN);
    g_clear_error (&error);
  }

  assert_reads (fixture->backing, fixture->key, fixture->bytes);
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 1);
}

static void
assert_not_openable (Fixture *fixture, GFile *path, GIOErrorEnum code)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (BsBacking) scratch = create (path);

  error = sanitize_error (fixture->backing, path);
  g_assert_error (error, G_IO_ERROR, (int) code);
  g_assert_nonnull (strstr (error->message, g_file_peek_path (path)));
  g_clear_error (&error);

  g_assert_false (bs_backing_write (scratch, fixture->key, fixture->bytes, NULL, &error));
  g_assert_error (error, G_IO_ERROR, (int) code);
  g_assert_nonnull (strstr (error->message, g_file_peek_path (path)));
}

static void
test_not_a_directory (Fixture *fixture, gconstpointer data)
{
  g_autofree char *below_name = g_build_filename (fixture->path_name, "below", "more", NULL);
  g_autoptr (GFile) below = g_file_new_for_path (below_name);

  plant (fixture->path_name, "a file");
  assert_not_openable (fixture, fixture->path, G_IO_ERROR_NOT_DIRECTORY);
  assert_not_openable (fixture, below, G_IO_ERROR_NOT_DIRECTORY);

  /* And all is well once it is out of the way. */
  g_assert_cmpint (g_unlink (fixture->path_name), ==, 0);
  g_assert_cmpuint (count_listed (fixture->backing, below), ==, 0);
}

/* A directory that can be read, and no more. */
static GError *
persist_to_error (Fixture *fixture, GFile *path)
{
  g_autofree char *key = write_other (fixture);
  GError *error = NULL;

  g_assert_cmpuint (count_listed (fixture->backing, path), ==, 0);
  g_assert_false (bs_backing_persist (fixture->backing, path, key, NULL, &error));

  return error;
}

static void
test_permissions (Fixture *fixture, gconstpointer data)
{
  g_autofree char *locked_name = g_build_filename (fixture->directory, "locked", NULL);
  g_autofree char *within_name = g_build_filename (locked_name, "within", NULL);
  g_autofree char *store_name = g_build_filename (fixture->directory, "store", NULL);
  g_autoptr (GFile) locked = g_file_new_for_path (locked_name);
  g_autoptr (GFile) within = g_file_new_for_path (within_name);
  g_autoptr (GFile) store = g_file_new_for_path (store_name);
  static const mode_t modes[] = { 0000, 0100, 0300, 0500 };

  if (skip_unless_root ())
    return;

  g_assert_cmpint (chown (fixture->directory, NOBODY, NOBODY), ==, 0);
  g_assert_cmpint (seteuid (NOBODY), ==, 0);

  g_mkdir (locked_name, 0700);
  g_assert_cmpuint (count_listed (fixture->backing, store), ==, 0);
  bs_backing_release_path (fixture->backing, store, NULL, NULL);

  for (guint i = 0; i < G_N_ELEMENTS (modes); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_cmpint (g_chmod (locked_name, modes[i]), ==, 0);
      if (modes[i] != 0500)
        assert_not_openable (fixture, locked, G_IO_ERROR_PERMISSION_DENIED);
      if ((modes[i] & 0300) != 0300)
        assert_not_openable (fixture, within, G_IO_ERROR_PERMISSION_DENIED);

      /* A directory that was a store before is treated alike. */
      g_assert_cmpint (g_chmod (store_name, modes[i]), ==, 0);
      error = modes[i] != 0500 ? sanitize_error (fixture->backing, store)
                               : persist_to_error (fixture, store);
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);
      bs_backing_release_path (fixture->backing, store, NULL, NULL);
    }

  g_assert_cmpint (g_chmod (locked_name, 0700), ==, 0);
  g_assert_cmpint (g_chmod (store_name, 0700), ==, 0);
  g_assert_cmpuint (count_listed (fixture->backing, within), ==, 0);
  g_assert_cmpuint (count_listed (fixture->backing, store), ==, 0);

  g_clear_object (&fixture->backing);
  g_assert_cmpint (seteuid (0), ==, 0);
}

static GError *
persist_to_read_only_error (Fixture *fixture)
{
  g_autofree char *key = write_other (fixture);

  return persist_error (fixture, key);
}

static void
test_read_only (Fixture *fixture, gconstpointer data)
{
  g_autoptr (Mount) mount = mount_new (fixture->directory, "tmpfs", 0);
  g_autofree char *name = NULL;
  g_autofree char *below_name = NULL;
  g_autofree char *blob = NULL;
  g_autofree char *before = NULL;
  g_autoptr (GFile) below = NULL;
  g_autoptr (GBytes) root = NULL;
  g_autoptr (GError) error = NULL;

  if (mount == NULL)
    return;

  name = g_build_filename (mount_get_path (mount), "path", NULL);
  below_name = g_build_filename (mount_get_path (mount), "below", NULL);
  below = g_file_new_for_path (below_name);
  move_path (fixture, name);
  blob = get_blob_name (name, fixture->key);
  write_blob (fixture, fixture->key);
  persist_blob (fixture, fixture->key);
  g_assert_true (
    bs_backing_write_root (fixture->backing, fixture->path, fixture->bytes, NULL, NULL, NULL));
  restart_backing (fixture);

  /* With a mark and what a crash leaves: nothing of that goes. */
  plant_in (name, ".tmp-abcdef0123456789abcdef0123456789", "half");
  g_assert_cmpint (mount_remount (mount, "ro"), ==, 0);
  before = snapshot (name);
  assert_not_openable (fixture, below, G_IO_ERROR_READ_ONLY);

  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 1);
  root = bs_backing_read_root (fixture->backing, fixture->path, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (g_bytes_equal (root, fixture->bytes));
  register_blob (fixture, fixture->key);
  sync_path (fixture);
  g_assert_true (
    bs_backing_verify_persisted (fixture->backing, fixture->path, fixture->key, NULL, &error));
  g_assert_no_error (error);

  error = persist_to_read_only_error (fixture);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_READ_ONLY);
  g_clear_error (&error);
  g_assert_false (
    bs_backing_delete_persisted (fixture->backing, fixture->path, fixture->key, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_READ_ONLY);
  g_clear_error (&error);
  g_assert_false (
    bs_backing_write_root (fixture->backing, fixture->path, fixture->bytes, NULL, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_READ_ONLY);
  assert_unchanged (name, before);
  g_clear_object (&fixture->backing);
}

static void
test_vanished_path (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  write_blob (fixture, fixture->key);
  persist_blob (fixture, fixture->key);
  bs_backing_write_root (fixture->backing, fixture->path, fixture->bytes, NULL, NULL, &error);
  g_assert_no_error (error);
  remove_test_directory (fixture->path_name);

  /* The path is missing, not the blob, nor the root. */
  g_assert_false (bs_backing_persist (fixture->backing, fixture->path, fixture->key, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_MOVED);
  g_clear_error (&error);
  g_assert_null (bs_backing_read_root (fixture->backing, fixture->path, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_MOVED);
  g_clear_error (&error);

  /* Tracking it again makes it anew. */
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 0);
  persist_blob (fixture, fixture->key);
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 1);
}

static void
test_planted_marker_and_lock (Fixture *fixture, gconstpointer data)
{
  static const char *const names[] = { ".backingstore", ".lock", "root" };
  g_autofree char *outside = g_build_filename (fixture->directory, "outside", NULL);

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autofree char *link_name = g_build_filename (fixture->path_name, names[i], NULL);
      g_autofree char *before = NULL;
      g_autofree char *after = NULL;
      g_autoptr (GError) error = NULL;
      g_autoptr (GBytes) root = NULL;
      g_autofree char *target = g_build_filename (outside, "target", NULL);

      plant (target, "backingstore 1 persisted\n");
      before = snapshot (outside);
      plant_in (fixture->path_name, ".backingstore", "backingstore 1 persisted\n");
      g_unlink (link_name);
      g_assert_cmpint (symlink (target, link_name), ==, 0);

      if (i < 2)
        {
          error = sanitize_error (fixture->backing, fixture->path);
          g_assert_error (error, BS_ERROR, BS_ERROR_FOREIGN);
        }
      else
        {
          root = bs_backing_read_root (fixture->backing, fixture->path, NULL, &error);
          g_assert_null (root);
          g_assert_error (error, BS_ERROR, BS_ERROR_FOREIGN);
          g_clear_error (&error);
          bs_backing_write_root (fixture->backing, fixture->path, fixture->bytes, NULL, NULL,
                                 &error);
          g_assert_no_error (error);
          bs_backing_release_path (fixture->backing, fixture->path, NULL, NULL);
        }

      after = snapshot (outside);
      g_assert_cmpstr (after, ==, before);
      remove_test_directory (outside);
      remove_test_directory (fixture->path_name);
    }
}

static void
use_temporary_in (Fixture *fixture, const char *parent)
{
  g_autoptr (GFile) file = g_file_new_for_path (parent);
  g_autoptr (GError) error = NULL;

  fixture->backing = BS_BACKING (bs_file_backing_new_temporary_in (file, &error));
  g_assert_no_error (error);
  write_blob (fixture, fixture->key);
}

static void
use_temporary (Fixture *fixture)
{
  g_autoptr (GError) error = NULL;

  fixture->backing = BS_BACKING (bs_file_backing_new_temporary (&error));
  g_assert_no_error (error);
  write_blob (fixture, fixture->key);
}

/* A program of its own: the sweeper of the backing may run while the test forks, and a
 * child of several threads starts none under ThreadSanitizer. */
static void
test_temporary_crashes (void)
{
  Fixture fixture = { .key = bs_key_generate (), .bytes = make_test_bytes (5000, 1) };

  use_large_blobs (&fixture);
  if (g_getenv (PARENT_VARIABLE) != NULL)
    use_temporary_in (&fixture, g_getenv (PARENT_VARIABLE));
  else
    use_temporary (&fixture);
  puts ("written");
  fflush (stdout);
  kill (getpid (), SIGKILL);
}

static void
use_temporary_and_crash (void)
{
  g_test_trap_subprocess (CRASHING_PROGRAM, 0, G_TEST_SUBPROCESS_DEFAULT);
  g_test_trap_assert_failed ();
  g_test_trap_assert_stdout ("*written*");
}

static void
test_temporary_after_crash (Fixture *fixture, gconstpointer data)
{
  g_autofree char *parent = g_build_filename (g_get_user_cache_dir (), "backingstore", NULL);
  g_autofree char *mine = g_build_filename (parent, "backingstore-mine", NULL);
  g_autoptr (BsBacking) alive = NULL;
  BsBacking *unused = fixture->backing;
  g_autofree char *other = bs_key_generate ();

  use_large_blobs (fixture);
  use_temporary (fixture);
  alive = g_steal_pointer (&fixture->backing);
  use_temporary_and_crash ();
  g_assert_cmpuint (count_files (parent), ==, 6);
  plant_in (mine, "notes.txt", "mine");

  use_temporary (fixture);
  while (count_files (parent) != 7)
    g_thread_yield ();
  g_assert_true (exists_in (mine, "notes.txt"));
  assert_reads (alive, fixture->key, fixture->bytes);
  assert_reads (fixture->backing, fixture->key, fixture->bytes);

  remove_test_directory (mine);
  g_object_unref (unused);
}

static GHashTable *
list_threads (void)
{
  GHashTable *threads = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autoptr (GDir) dir = g_dir_open ("/proc/self/task", 0, NULL);
  const char *id;

  while ((id = g_dir_read_name (dir)) != NULL)
    g_hash_table_add (threads, g_strdup (id));

  return threads;
}

static gboolean
has_other_threads (GHashTable *known)
{
  g_autoptr (GHashTable) threads = list_threads ();
  GHashTableIter iter;
  gpointer id;

  g_hash_table_iter_init (&iter, threads);
  while (g_hash_table_iter_next (&iter, &id, NULL))
    if (!g_hash_table_contains (known, id))
      return TRUE;

  return FALSE;
}

/* Parents are made, and stay; a directory that a crashed process left goes. */
static void
test_temporary_in (Fixture *fixture, gconstpointer data)
{
  g_autofree char *above = g_build_filename (fixture->directory, "above", NULL);
  g_autofree char *parent = g_build_filename (above, "parent", NULL);
  g_autofree char *name = NULL;
  BsBacking *unused = fixture->backing;

  use_large_blobs (fixture);
  g_setenv (PARENT_VARIABLE, parent, TRUE);
  use_temporary_and_crash ();
  g_unsetenv (PARENT_VARIABLE);
  g_assert_cmpuint (count_files (parent), ==, 3);
  g_assert_cmphex (get_mode (above), ==, 0700);

  use_temporary_in (fixture, parent);
  name = g_file_get_path (bs_file_backing_get_directory (BS_FILE_BACKING (fixture->backing)));
  g_assert_true (g_str_has_prefix (name, parent));
  g_assert_cmphex (get_mode (name), ==, 0700);
  while (count_files (parent) != 3)
    g_thread_yield ();
  assert_reads (fixture->backing, fixture->key, fixture->bytes);
  persist_blob (fixture, fixture->key);
  assert_transfers (fixture->backing, 1, 0, 0);

  g_clear_object (&fixture->backing);
  g_assert_false (exists (name));
  g_assert_cmpuint (count_files (parent), ==, 0);
  g_assert_true (exists (parent));
  fixture->backing = unused;
}

static void
test_temporary_in_nowhere (Fixture *fixture, gconstpointer data)
{
  g_autofree char *name = g_build_filename (fixture->directory, "file", NULL);
  g_autoptr (GFile) file = g_file_new_for_path (name);
  g_autoptr (GFile) remote = g_file_new_for_uri ("s3://bucket/scratch");
  g_autoptr (GError) error = NULL;

  g_assert_null (bs_file_backing_new_temporary_in (remote, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_NOT_SUPPORTED);
  g_assert_nonnull (strstr (error->message, "s3://bucket/scratch"));
  g_clear_error (&error);

  plant (name, "a file");
  g_assert_null (bs_file_backing_new_temporary_in (file, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_DIRECTORY);
  g_assert_nonnull (strstr (error->message, name));
}

static void
drop_without_descriptors (Fixture *fixture, guint n_left)
{
  GArray *taken = take_descriptors (n_left);

  g_clear_object (&fixture->backing);
  give_descriptors (taken);
}

/* One whose files could not be removed stays what it is, for the next one to find. */
static void
test_temporary_few_descriptors (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GHashTable) threads = NULL;
  BsBacking *unused = fixture->backing;

  use_large_blobs (fixture);
  /* A sanitizer adds one of its own to the first thread that is made. */
  use_temporary (fixture);
  g_clear_object (&fixture->backing);
  threads = list_threads ();
  for (guint n_left = 0; n_left < 3; n_left++)
    {
      g_autofree char *name = NULL;

      /* The sweeper has descriptors, too. */
      use_temporary (fixture);
      while (has_other_threads (threads))
        g_thread_yield ();
      name = g_file_get_path (bs_file_backing_get_directory (BS_FILE_BACKING (fixture->backing)));
      drop_without_descriptors (fixture, n_left);
      g_assert_true (exists (name) == (n_left < 2));

      use_temporary (fixture);
      wait_until_gone (name);
      g_clear_object (&fixture->backing);
    }

  fixture->backing = unused;
}

int
main (int argc, char *argv[])
{
  static const struct
  {
    const char *name;
    void (*func) (Fixture *fixture, gconstpointer data);
  } tests[] = {
    { "adopts", test_adopts },
    { "adopts-copy", test_adopts_copy },
    { "odd-kinds", test_odd_kinds },
    { "adopted-scratch-is-kept", test_adopted_scratch_is_kept },
    { "refuses-foreign", test_refuses_foreign },
    { "refuses-newer-version", test_refuses_newer_version },
    { "leaves-foreign-files", test_leaves_foreign_files },
    { "removes-leftovers", test_removes_leftovers },
    { "kept-before-swept", test_kept_before_swept },
    { "busy", test_busy },
    { "failed-path-is-free", test_failed_path_is_free },
    { "crash", test_crash },
    { "crash-before-marker", test_crash_before_marker },
    { "kinds-are-kept-apart", test_kinds_are_kept_apart },
    { "not-a-directory", test_not_a_directory },
    { "permissions", test_permissions },
    { "read-only", test_read_only },
    { "vanished-path", test_vanished_path },
    { "planted-marker-and-lock", test_planted_marker_and_lock },
    { "temporary-after-crash", test_temporary_after_crash },
    { "temporary-few-descriptors", test_temporary_few_descriptors },
    { "temporary-in", test_temporary_in },
    { "temporary-in-nowhere", test_temporary_in_nowhere },
  };

  g_autofree char *cache = NULL;
  int result;

  mount_init ();
  g_test_init (&argc, &argv, NULL);

  /* G_TEST_OPTION_ISOLATE_DIRS would do, if it did not leak. */
  if (!g_test_subprocess ())
    {
      cache = make_test_directory ();
      g_setenv ("XDG_CACHE_HOME", cache, TRUE);
    }

  for (guint i = 0; i < G_N_ELEMENTS (tests); i++)
    {
      g_autofree char *name = g_strdup_printf ("/file-claim/%s", tests[i].name);

      g_test_add (name, Fixture, NULL, set_up, tests[i].func, tear_down);
    }
  g_test_add_func (CRASHING_PROGRAM, test_temporary_crashes);

  result = g_test_run ();
  if (cache != NULL)
    remove_test_directory (cache);

  return result;
}
