/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <linux/fs.h>
#include <sched.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <backingstore/backings/bs-file-backing.h>

#include "backing-contract.h"

#define NOBODY 65534

static BsBacking *
create (GFile *directory)
{
  return BS_BACKING (bs_file_backing_new (directory));
}

static BsBacking *
restart (BsBacking *backing,
         GFile *directory)
{
  g_object_unref (backing);

  return create (directory);
}

static const BackingKind kind = { "/file-backing", create, restart };

typedef struct
{
  char *directory;
  char *primary_name;
  char *path_name;
  GFile *primary;
  GFile *path;
  BsBacking *backing;
  char *key;
  GBytes *bytes;
} Fixture;

static void
set_up (Fixture *fixture,
        gconstpointer data)
{
  alarm (100);
  fixture->directory = make_test_directory ();
  fixture->primary_name = g_build_filename (fixture->directory, "primary", NULL);
  fixture->path_name = g_build_filename (fixture->directory, "persisted", NULL);
  fixture->primary = g_file_new_for_path (fixture->primary_name);
  fixture->path = g_file_new_for_path (fixture->path_name);
  fixture->backing = create (fixture->primary);
  fixture->key = bs_key_generate ();
  fixture->bytes = make_test_bytes (5000, 1);
}

static void
tear_down (Fixture *fixture,
           gconstpointer data)
{
  if (fixture->backing != NULL)
    g_assert_finalize_object (fixture->backing);
  g_object_unref (fixture->primary);
  g_object_unref (fixture->path);
  remove_test_directory (fixture->directory);
  g_free (fixture->directory);
  g_free (fixture->primary_name);
  g_free (fixture->path_name);
  g_free (fixture->key);
  g_bytes_unref (fixture->bytes);
  alarm (0);
}

/* The layout, written down a second time. */
static char *
get_blob_name (const char *directory,
               const char *key)
{
  g_auto (GStrv) parts = g_strsplit (key, "-", -1);
  g_autofree char *hex = g_strjoinv ("", parts);
  const char shard[3] = { hex[0], hex[1], '\0' };

  return g_build_filename (directory, shard, hex, NULL);
}

static char *
get_shard_name (const char *directory,
                const char *key)
{
  const char shard[3] = { key[0], key[1], '\0' };

  return g_build_filename (directory, shard, NULL);
}

static void
plant (const char *path,
       const char *content)
{
  g_autofree char *folder = g_path_get_dirname (path);
  g_autoptr (GError) error = NULL;

  g_assert_cmpint (g_mkdir_with_parents (folder, 0755), ==, 0);
  g_file_set_contents (path, content, -1, &error);
  g_assert_no_error (error);
}

static void
plant_in (const char *directory,
          const char *name,
          const char *content)
{
  g_autofree char *path = g_build_filename (directory, name, NULL);

  plant (path, content);
}

static gboolean
exists (const char *path)
{
  GStatBuf status;

  return g_lstat (path, &status) == 0;
}

static gboolean
exists_in (const char *directory,
           const char *name)
{
  g_autofree char *path = g_build_filename (directory, name, NULL);

  return exists (path);
}

static guint
get_mode (const char *path)
{
  GStatBuf status;

  g_assert_cmpint (g_lstat (path, &status), ==, 0);

  return status.st_mode & 0777;
}

static ino_t
get_inode (const char *path)
{
  GStatBuf status;

  g_assert_cmpint (g_lstat (path, &status), ==, 0);

  return status.st_ino;
}

/* Every name below the directory, with type, size, mode, times and links. */
static void
describe (const char *directory,
          GPtrArray *lines)
{
  g_autoptr (GDir) dir = g_dir_open (directory, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (directory, name, NULL);
      GStatBuf status;

      g_assert_cmpint (g_lstat (path, &status), ==, 0);
      g_ptr_array_add (lines, g_strdup_printf ("%s %o %ld %ld.%09ld %ld.%09ld %ld", path, status.st_mode, (long) status.st_size,
                                               (long) status.st_mtim.tv_sec, status.st_mtim.tv_nsec,
                                               (long) status.st_ctim.tv_sec, status.st_ctim.tv_nsec,
                                               (long) status.st_nlink));
      if (S_ISDIR (status.st_mode))
        describe (path, lines);
    }
}

static int
compare_lines (gconstpointer a,
               gconstpointer b)
{
  return strcmp (*(char *const *) a, *(char *const *) b);
}

static char *
snapshot (const char *directory)
{
  g_autoptr (GPtrArray) lines = g_ptr_array_new_with_free_func (g_free);

  describe (directory, lines);
  g_ptr_array_sort (lines, compare_lines);
  g_ptr_array_add (lines, NULL);

  return g_strjoinv ("\n", (char **) lines->pdata);
}

/* The mark of unsynced changes aside. */
static guint
count_files (const char *directory)
{
  g_autoptr (GDir) dir = g_dir_open (directory, 0, NULL);
  guint n_files = 0;
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (directory, name, NULL);

      if (g_file_test (path, G_FILE_TEST_IS_DIR))
        n_files += count_files (path);
      else if (strcmp (name, ".dirty") != 0)
        n_files++;
    }

  return n_files;
}

static void
write_blob (Fixture *fixture,
            const char *key)
{
  g_autoptr (GError) error = NULL;

  bs_backing_write (fixture->backing, key, fixture->bytes, NULL, &error);
  g_assert_no_error (error);
}

static void
persist_blob (Fixture *fixture,
              const char *key)
{
  g_autoptr (GError) error = NULL;

  bs_backing_persist (fixture->backing, fixture->path, key, NULL, &error);
  g_assert_no_error (error);
}

static void
delete_scratch (Fixture *fixture,
                const char *key)
{
  g_autoptr (GError) error = NULL;

  bs_backing_delete_key (fixture->backing, key, NULL, &error);
  g_assert_no_error (error);
}

static void
register_blob (Fixture *fixture,
               const char *key)
{
  g_autoptr (GError) error = NULL;

  bs_backing_register_key (fixture->backing, fixture->path, key, NULL, &error);
  g_assert_no_error (error);
  assert_reads (fixture->backing, key, fixture->bytes);
}

static guint64
count_listed (BsBacking *backing,
              GFile *path)
{
  g_autoptr (BsKeySet) found = list_path (backing, path);

  return bs_key_set_get_n_keys (found);
}

static GError *
sanitize_error (BsBacking *backing,
                GFile *path)
{
  g_autoptr (BsKeySet) found = bs_key_set_new ();
  GError *error = NULL;

  g_assert_false (bs_backing_sanitize_path (backing, path, found, NULL, &error));
  g_assert_nonnull (error);

  return error;
}

static void
assert_stats (BsBacking *backing,
              guint64 linked,
              guint64 copied,
              guint64 foreign)
{
  g_autoptr (BsFileBackingStats) stats = bs_file_backing_get_stats (BS_FILE_BACKING (backing));

  g_assert_cmpuint (stats->linked, ==, linked);
  g_assert_cmpuint (stats->reflinked, ==, 0);
  g_assert_cmpuint (stats->copied, ==, copied);
  g_assert_cmpuint (stats->foreign, ==, foreign);
}

/* Runs it as another process that is killed afterwards. */
static void
run_and_crash (void (*func) (Fixture *fixture),
               Fixture *fixture)
{
  int status;
  pid_t pid = fork ();

  if (pid == 0)
    {
      func (fixture);
      kill (getpid (), SIGKILL);
    }
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_true (WIFSIGNALED (status));
  g_assert_cmpint (WTERMSIG (status), ==, SIGKILL);
}

static gboolean
skip_unless_root (void)
{
  if (geteuid () == 0)
    return FALSE;

  g_test_skip ("This needs root");

  return TRUE;
}

/* Mounts are this process's own, if possible, and go with it. */
static char *
mount_tmpfs (Fixture *fixture,
             const char *options)
{
  g_autofree char *path = g_build_filename (fixture->directory, "mounted", NULL);

  if (skip_unless_root ())
    return NULL;

  /* Below a changed root there is no mount to make private, nor a need to. */
  if (unshare (CLONE_NEWNS) == 0)
    mount ("none", "/", "none", MS_REC | MS_PRIVATE, NULL);

  if (g_mkdir (path, 0755) != 0 || mount ("tmpfs", path, "tmpfs", 0, options) != 0)
    {
      g_autofree char *reason = g_strdup_printf ("No tmpfs could be mounted: %s", g_strerror (errno));

      g_test_skip (reason);
      return NULL;
    }

  return g_steal_pointer (&path);
}

static void
unmount (const char *path)
{
  g_assert_cmpint (umount2 (path, MNT_DETACH), ==, 0);
}

static void
test_layout (Fixture *fixture,
             gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  const char *key = "ABcdef01-2345-6789-abcd-ef0123456789";
  g_autofree char *blob = g_build_filename (fixture->primary_name, "ab", "abcdef0123456789abcdef0123456789", NULL);
  g_autofree char *persisted = g_build_filename (fixture->path_name, "ab", "abcdef0123456789abcdef0123456789", NULL);
  g_autofree char *root = g_build_filename (fixture->path_name, "root", NULL);
  g_autofree char *marker = g_build_filename (fixture->path_name, ".backingstore", NULL);
  g_autofree char *content = NULL;
  gsize size;

  g_assert_false (exists (fixture->primary_name));
  write_blob (fixture, key);
  g_assert_true (g_file_get_contents (blob, &content, &size, NULL));
  g_assert_cmpmem (content, size, g_bytes_get_data (fixture->bytes, NULL), g_bytes_get_size (fixture->bytes));
  g_clear_pointer (&content, g_free);

  persist_blob (fixture, key);
  g_assert_cmpint (get_inode (persisted), ==, get_inode (blob));

  bs_backing_write_root (fixture->backing, fixture->path, fixture->bytes, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (g_file_get_contents (root, &content, &size, NULL));
  g_assert_cmpmem (content, size, g_bytes_get_data (fixture->bytes, NULL), g_bytes_get_size (fixture->bytes));
  g_clear_pointer (&content, g_free);

  g_assert_true (g_file_get_contents (marker, &content, NULL, NULL));
  g_assert_cmpstr (content, ==, "backingstore 1 persisted\n");

  /* The blob, the root, the marker, the lock: nothing else. */
  g_assert_cmpuint (count_files (fixture->path_name), ==, 4);

  delete_scratch (fixture, key);
  g_assert_false (exists (blob));
  register_blob (fixture, key);
  g_assert_cmpint (get_inode (persisted), ==, get_inode (blob));
  assert_stats (fixture->backing, 2, 0, 0);
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
test_modes (Fixture *fixture,
            gconstpointer data)
{
  static const mode_t masks[] = { 0, 022, 0777 };

  for (guint i = 0; i < G_N_ELEMENTS (masks); i++)
    {
      g_autoptr (GError) error = NULL;
      mode_t old = umask (masks[i]);

      write_blob (fixture, fixture->key);
      persist_blob (fixture, fixture->key);
      bs_backing_write_root (fixture->backing, fixture->path, fixture->bytes, NULL, &error);
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

/* A directory as the crate file_backed leaves it: no marker. */
static void
test_adopts (Fixture *fixture,
             gconstpointer data)
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

/* Nobody knows whose the blobs in a scratch directory without a marker are. */
static void
test_adopted_scratch_is_kept (Fixture *fixture,
                              gconstpointer data)
{
  g_autofree char *other = bs_key_generate ();
  g_autofree char *kept = get_blob_name (fixture->primary_name, other);
  g_autofree char *stale = get_blob_name (fixture->primary_name, fixture->key);
  g_autofree char *persisted = get_blob_name (fixture->path_name, fixture->key);
  g_autofree char *content = g_strndup (g_bytes_get_data (fixture->bytes, NULL), g_bytes_get_size (fixture->bytes));
  g_autoptr (GBytes) whole = g_bytes_new_static ("whole", 5);
  g_autoptr (GError) error = NULL;

  plant (kept, "kept");
  plant (stale, "who");
  plant (persisted, "whole");

  /* What a crash cut short gives way to the persisted blob. */
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
refuse (Fixture *fixture,
        const char *name,
        const char *content)
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
test_refuses_foreign (Fixture *fixture,
                      gconstpointer data)
{
  write_blob (fixture, fixture->key);

  refuse (fixture, "notes.txt", "mine");
  refuse (fixture, "root", "mine");
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
test_refuses_newer_version (Fixture *fixture,
                            gconstpointer data)
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
test_leaves_foreign_files (Fixture *fixture,
                           gconstpointer data)
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
  g_autofree char *fifo = g_build_filename (fixture->path_name, "ab", "abcdef0123456789abcdef0123456780", NULL);

  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 0);
  write_blob (fixture, fixture->key);
  persist_blob (fixture, fixture->key);
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    plant_in (fixture->path_name, names[i], "mine");
  g_assert_cmpint (mkfifo (fifo, 0600), ==, 0);

  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 1);
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    g_assert_true (exists_in (fixture->path_name, names[i]));
  assert_stats (fixture->backing, 1, 0, G_N_ELEMENTS (names) + 1);

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

static void
test_removes_leftovers (Fixture *fixture,
                        gconstpointer data)
{
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 0);
  plant_in (fixture->path_name, ".tmp-abcdef0123456789abcdef0123456789", "half");
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 0);
  g_assert_false (exists_in (fixture->path_name, ".tmp-abcdef0123456789abcdef0123456789"));
  assert_stats (fixture->backing, 0, 0, 0);
}

static void
test_busy (Fixture *fixture,
           gconstpointer data)
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
test_failed_path_is_free (Fixture *fixture,
                          gconstpointer data)
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
test_crash (Fixture *fixture,
            gconstpointer data)
{
  g_autofree char *scratch = get_blob_name (fixture->primary_name, fixture->key);

  run_and_crash (write_and_persist, fixture);
  g_assert_true (exists (scratch));

  assert_does_not_read (fixture->backing, fixture->key);
  g_assert_false (exists (scratch));
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 1);
  register_blob (fixture, fixture->key);
}

/* What a first opening leaves that did not get to the marker. */
static void
test_crash_before_marker (Fixture *fixture,
                          gconstpointer data)
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
test_kinds_are_kept_apart (Fixture *fixture,
                           gconstpointer data)
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
test_other_file_system (Fixture *fixture,
                        gconstpointer data)
{
  g_autofree char *mounted = mount_tmpfs (fixture, NULL);
  g_autofree char *path_name = NULL;
  g_autofree char *blob = NULL;
  g_autoptr (GError) error = NULL;

  if (mounted == NULL)
    return;

  path_name = g_build_filename (mounted, "persisted", NULL);
  g_clear_object (&fixture->path);
  fixture->path = g_file_new_for_path (path_name);
  blob = get_blob_name (path_name, fixture->key);

  write_blob (fixture, fixture->key);
  for (guint i = 0; i < 2; i++)
    persist_blob (fixture, fixture->key);
  assert_stats (fixture->backing, 0, 1, 0);
  g_assert_cmphex (get_mode (blob), ==, 0600);

  bs_backing_sync_persisted (fixture->backing, fixture->path, NULL, &error);
  g_assert_no_error (error);

  /* It has its own bytes in both places. */
  for (guint i = 0; i < 2; i++)
    register_blob (fixture, fixture->key);
  assert_stats (fixture->backing, 0, 1, 0);
  delete_scratch (fixture, fixture->key);
  for (guint i = 0; i < 2; i++)
    register_blob (fixture, fixture->key);
  assert_stats (fixture->backing, 0, 2, 0);

  /* Also when the shard folder vanished meanwhile. */
  {
    g_autofree char *shard = get_shard_name (path_name, fixture->key);

    remove_test_directory (shard);
    persist_blob (fixture, fixture->key);
    g_assert_true (exists (blob));
  }

  /* The blob, the marker, the lock; no temporary file. */
  g_assert_cmpuint (count_files (path_name), ==, 3);
  g_assert_cmpuint (count_files (fixture->primary_name), ==, 3);

  g_clear_object (&fixture->backing);
  unmount (mounted);
}

static void
fill (const char *directory)
{
  g_autofree char *name = g_build_filename (directory, "ballast", NULL);
  g_autofree char *block = g_malloc0 (4096);
  int fd = open (name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

  g_assert_cmpint (fd, >=, 0);
  while (write (fd, block, 4096) > 0)
    ;
  g_assert_cmpint (errno, ==, ENOSPC);
  close (fd);
}

static void
make_room (const char *directory)
{
  g_autofree char *name = g_build_filename (directory, "ballast", NULL);

  g_assert_cmpint (g_unlink (name), ==, 0);
}

static void
test_full_primary (Fixture *fixture,
                   gconstpointer data)
{
  g_autofree char *mounted = mount_tmpfs (fixture, "size=1m");
  g_autofree char *primary_name = NULL;
  g_autofree char *blob = NULL;
  g_autofree char *ballast = NULL;
  g_autofree char *small = bs_key_generate ();
  g_autoptr (GFile) primary = NULL;
  g_autoptr (GBytes) large = make_test_bytes (300000, 1);
  g_autoptr (GError) error = NULL;

  if (mounted == NULL)
    return;

  primary_name = g_build_filename (mounted, "primary", NULL);
  ballast = g_build_filename (mounted, "ballast", NULL);
  primary = g_file_new_for_path (primary_name);
  blob = get_blob_name (primary_name, fixture->key);
  g_clear_object (&fixture->backing);
  fixture->backing = create (primary);
  write_blob (fixture, small);

  /* Part of the blob fits. */
  fill (mounted);
  g_assert_cmpint (truncate (ballast, 900000), ==, 0);
  g_assert_false (bs_backing_write (fixture->backing, fixture->key, large, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  g_clear_error (&error);
  g_assert_false (exists (blob));
  assert_does_not_read (fixture->backing, fixture->key);
  assert_reads (fixture->backing, small, fixture->bytes);

  make_room (mounted);
  g_assert_true (bs_backing_write (fixture->backing, fixture->key, large, NULL, &error));
  g_assert_no_error (error);
  assert_reads (fixture->backing, fixture->key, large);

  /* Registering, by copy, has nowhere to put it. */
  delete_scratch (fixture, fixture->key);
  {
    g_autofree char *persisted = get_blob_name (fixture->path_name, fixture->key);

    plant (persisted, "");
    g_assert_true (g_file_set_contents (persisted, g_bytes_get_data (large, NULL), g_bytes_get_size (large), NULL));
  }
  fill (mounted);
  g_assert_false (bs_backing_register_key (fixture->backing, fixture->path, fixture->key, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  g_clear_error (&error);
  g_assert_cmpuint (count_files (primary_name), ==, 3);
  make_room (mounted);
  g_assert_true (bs_backing_register_key (fixture->backing, fixture->path, fixture->key, NULL, &error));
  g_assert_no_error (error);
  assert_reads (fixture->backing, fixture->key, large);

  g_clear_object (&fixture->backing);
  unmount (mounted);
}

static void
test_full_path (Fixture *fixture,
                gconstpointer data)
{
  g_autofree char *mounted = mount_tmpfs (fixture, "size=1m");
  g_autofree char *path_name = NULL;
  g_autoptr (GBytes) large = make_test_bytes (300000, 1);
  g_autoptr (GBytes) root = NULL;
  g_autoptr (GError) error = NULL;

  if (mounted == NULL)
    return;

  path_name = g_build_filename (mounted, "persisted", NULL);
  g_clear_object (&fixture->path);
  fixture->path = g_file_new_for_path (path_name);

  bs_backing_write_root (fixture->backing, fixture->path, fixture->bytes, NULL, &error);
  bs_backing_write (fixture->backing, fixture->key, large, NULL, &error);
  g_assert_no_error (error);

  fill (mounted);
  g_assert_false (bs_backing_persist (fixture->backing, fixture->path, fixture->key, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  g_clear_error (&error);
  g_assert_false (bs_backing_write_root (fixture->backing, fixture->path, large, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  g_clear_error (&error);

  /* The old root, the marker, the lock. */
  g_assert_cmpuint (count_files (path_name), ==, 3);
  root = bs_backing_read_root (fixture->backing, fixture->path, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (g_bytes_equal (root, fixture->bytes));
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 0);

  make_room (mounted);
  persist_blob (fixture, fixture->key);
  bs_backing_write_root (fixture->backing, fixture->path, large, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 1);
  delete_scratch (fixture, fixture->key);
  bs_backing_register_key (fixture->backing, fixture->path, fixture->key, NULL, &error);
  assert_reads (fixture->backing, fixture->key, large);

  g_clear_object (&fixture->backing);
  unmount (mounted);
}

static gboolean
set_immutable (const char *path,
               gboolean immutable)
{
  int flags = 0;
  int fd = open (path, O_RDONLY | O_CLOEXEC);
  gboolean done = FALSE;

  if (ioctl (fd, FS_IOC_GETFLAGS, &flags) == 0)
    {
      flags = immutable ? flags | FS_IMMUTABLE_FL : flags & ~FS_IMMUTABLE_FL;
      done = ioctl (fd, FS_IOC_SETFLAGS, &flags) == 0;
    }
  close (fd);

  return done;
}

/* The system links no file that must not change: EPERM. */
static void
test_link_not_permitted (Fixture *fixture,
                         gconstpointer data)
{
  g_autofree char *blob = get_blob_name (fixture->primary_name, fixture->key);
  g_autofree char *persisted = get_blob_name (fixture->path_name, fixture->key);

  write_blob (fixture, fixture->key);
  if (!set_immutable (blob, TRUE))
    {
      g_test_skip ("No file can be made immutable here");
      return;
    }
  persist_blob (fixture, fixture->key);
  g_assert_true (set_immutable (blob, FALSE));

  g_assert_cmpint (get_inode (persisted), !=, get_inode (blob));
  {
    g_autoptr (BsFileBackingStats) stats = bs_file_backing_get_stats (BS_FILE_BACKING (fixture->backing));

    g_assert_cmpuint (stats->linked, ==, 0);
    g_assert_cmpuint (stats->copied + stats->reflinked, ==, 1);
  }
}

/* ext4 allows 65,000 links. */
static void
test_too_many_links (Fixture *fixture,
                     gconstpointer data)
{
  g_autofree char *blob = get_blob_name (fixture->primary_name, fixture->key);
  g_autofree char *links = g_build_filename (fixture->directory, "links", NULL);
  gboolean reached = FALSE;

  write_blob (fixture, fixture->key);
  g_mkdir (links, 0700);
  for (guint i = 0; i < 70000 && !reached; i++)
    {
      g_autofree char *name = g_strdup_printf ("%s/%u", links, i);

      if (link (blob, name) != 0)
        {
          g_assert_cmpint (errno, ==, EMLINK);
          reached = TRUE;
        }
    }

  if (!reached)
    {
      g_test_skip ("This file system allows many links");
      return;
    }
  persist_blob (fixture, fixture->key);
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 1);
  assert_stats (fixture->backing, 0, 1, 0);
}

static void
assert_not_openable (Fixture *fixture,
                     GFile *path,
                     GIOErrorEnum code)
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
test_not_a_directory (Fixture *fixture,
                      gconstpointer data)
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

static void
test_permissions (Fixture *fixture,
                  gconstpointer data)
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
      assert_not_openable (fixture, locked, G_IO_ERROR_PERMISSION_DENIED);
      if ((modes[i] & 0300) != 0300)
        assert_not_openable (fixture, within, G_IO_ERROR_PERMISSION_DENIED);

      /* The same for one that was a store before. */
      g_assert_cmpint (g_chmod (store_name, modes[i]), ==, 0);
      error = sanitize_error (fixture->backing, store);
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);
    }

  g_assert_cmpint (g_chmod (locked_name, 0700), ==, 0);
  g_assert_cmpint (g_chmod (store_name, 0700), ==, 0);
  g_assert_cmpuint (count_listed (fixture->backing, within), ==, 0);
  g_assert_cmpuint (count_listed (fixture->backing, store), ==, 0);

  g_clear_object (&fixture->backing);
  g_assert_cmpint (seteuid (0), ==, 0);
}

static void
test_read_only (Fixture *fixture,
                gconstpointer data)
{
  g_autofree char *mounted = mount_tmpfs (fixture, NULL);
  g_autofree char *below_name = NULL;
  g_autoptr (GFile) path = NULL;
  g_autoptr (GFile) below = NULL;

  if (mounted == NULL)
    return;

  below_name = g_build_filename (mounted, "below", NULL);
  path = g_file_new_for_path (mounted);
  below = g_file_new_for_path (below_name);
  g_assert_cmpint (mount ("none", mounted, "none", MS_REMOUNT | MS_RDONLY, NULL), ==, 0);
  assert_not_openable (fixture, path, G_IO_ERROR_READ_ONLY);
  assert_not_openable (fixture, below, G_IO_ERROR_READ_ONLY);

  unmount (mounted);
}

static void
test_vanished_folders (Fixture *fixture,
                       gconstpointer data)
{
  g_autofree char *scratch_shard = get_shard_name (fixture->primary_name, fixture->key);
  g_autofree char *path_shard = get_shard_name (fixture->path_name, fixture->key);
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < 3; i++)
    {
      write_blob (fixture, fixture->key);
      persist_blob (fixture, fixture->key);

      remove_test_directory (path_shard);
      g_assert_false (bs_backing_register_key (fixture->backing, fixture->path, fixture->key, NULL, &error));
      g_assert_error (error, BS_ERROR, BS_ERROR_NOT_FOUND);
      g_clear_error (&error);
      g_assert_true (bs_backing_delete_persisted (fixture->backing, fixture->path, fixture->key, NULL, &error));
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
}

static void
test_stray_unlink (Fixture *fixture,
                   gconstpointer data)
{
  g_autofree char *scratch = get_blob_name (fixture->primary_name, fixture->key);
  g_autofree char *persisted = get_blob_name (fixture->path_name, fixture->key);
  g_autoptr (GError) error = NULL;

  write_blob (fixture, fixture->key);
  persist_blob (fixture, fixture->key);

  g_assert_cmpint (g_unlink (persisted), ==, 0);
  g_assert_true (bs_backing_delete_persisted (fixture->backing, fixture->path, fixture->key, NULL, &error));
  g_assert_no_error (error);
  persist_blob (fixture, fixture->key);

  g_assert_cmpint (g_unlink (scratch), ==, 0);
  delete_scratch (fixture, fixture->key);
  register_blob (fixture, fixture->key);
}

static void
test_vanished_path (Fixture *fixture,
                    gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  write_blob (fixture, fixture->key);
  persist_blob (fixture, fixture->key);
  remove_test_directory (fixture->path_name);

  /* It is the path that is missing, not the blob. */
  g_assert_false (bs_backing_persist (fixture->backing, fixture->path, fixture->key, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
  g_clear_error (&error);

  /* Tracking it again makes it anew. */
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 0);
  persist_blob (fixture, fixture->key);
  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 1);
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
check_planted_links (Fixture *fixture,
                     gboolean used)
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
test_symbolic_links (Fixture *fixture,
                     gconstpointer data)
{
  check_planted_links (fixture, FALSE);
  check_planted_links (fixture, TRUE);
}

static void
test_planted_marker_and_lock (Fixture *fixture,
                              gconstpointer data)
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
          bs_backing_write_root (fixture->backing, fixture->path, fixture->bytes, NULL, &error);
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
test_wrong_thing_in_place (Fixture *fixture,
                           gconstpointer data)
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
  g_assert_false (bs_backing_register_key (fixture->backing, fixture->path, fixture->key, NULL, &error));
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
  g_assert_false (bs_backing_register_key (fixture->backing, fixture->path, fixture->key, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_CORRUPT);
}

/* The wrappers let no such call through; a cancellable may fire right behind them. */
static void
test_cancelled (Fixture *fixture,
                gconstpointer data)
{
  BsBackingInterface *iface = BS_BACKING_GET_IFACE (fixture->backing);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;
  g_autoptr (BsKeySet) keys = bs_key_set_new ();
  g_autoptr (GBytes) bytes = NULL;
  g_autofree char *persisted = bs_key_generate ();

  write_blob (fixture, persisted);
  persist_blob (fixture, persisted);
  bs_key_set_add (keys, persisted, NULL);
  g_cancellable_cancel (cancellable);

  g_assert_false (iface->write (fixture->backing, fixture->key, fixture->bytes, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  assert_does_not_read (fixture->backing, fixture->key);

  bytes = iface->read (fixture->backing, persisted, cancellable, &error);
  g_assert_null (bytes);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);

  g_assert_false (iface->delete_persisted_keys (fixture->backing, fixture->path, keys, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);

  g_assert_false (iface->write_root (fixture->backing, fixture->path, fixture->bytes, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);

  g_assert_false (iface->sanitize_path (fixture->backing, fixture->path, keys, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);

  g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, 1);
  g_assert_cmpuint (count_files (fixture->path_name), ==, 3);
}

/* Only the wrappers check keys. */
static void
test_no_key_leads_outside (Fixture *fixture,
                           gconstpointer data)
{
  static const char *const keys[] = { "", "../../outside", "/etc/passwd", "ab/abcdef0123456789abcdef01234567", "abcdef01-2345-6789-abcd-ef012345678/" };
  BsBackingInterface *iface = BS_BACKING_GET_IFACE (fixture->backing);

  for (guint i = 0; i < G_N_ELEMENTS (keys); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_false (iface->write (fixture->backing, keys[i], fixture->bytes, NULL, &error));
      g_assert_error (error, BS_ERROR, BS_ERROR_INVALID_KEY);
    }
}

static void
test_closed (Fixture *fixture,
             gconstpointer data)
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
test_not_local (Fixture *fixture,
                gconstpointer data)
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
use_temporary (Fixture *fixture)
{
  g_autoptr (GError) error = NULL;

  fixture->backing = BS_BACKING (bs_file_backing_new_temporary (&error));
  g_assert_no_error (error);
  write_blob (fixture, fixture->key);
}

static void
test_temporary (Fixture *fixture,
                gconstpointer data)
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

      /* It goes unused, on closing, and with the last reference. */
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
test_temporary_after_crash (Fixture *fixture,
                            gconstpointer data)
{
  g_autofree char *parent = g_build_filename (g_get_user_cache_dir (), "backingstore", NULL);
  g_autofree char *mine = g_build_filename (parent, "backingstore-mine", NULL);
  g_autoptr (BsBacking) alive = NULL;
  BsBacking *unused = fixture->backing;
  g_autofree char *other = bs_key_generate ();

  use_temporary (fixture);
  alive = g_steal_pointer (&fixture->backing);
  run_and_crash (use_temporary, fixture);
  g_assert_cmpuint (count_files (parent), ==, 6);
  plant_in (mine, "notes.txt", "mine");

  use_temporary (fixture);
  g_assert_cmpuint (count_files (parent), ==, 7);
  g_assert_true (exists_in (mine, "notes.txt"));
  assert_reads (alive, fixture->key, fixture->bytes);
  assert_reads (fixture->backing, fixture->key, fixture->bytes);

  remove_test_directory (mine);
  g_object_unref (unused);
}

static void
test_properties (Fixture *fixture,
                 gconstpointer data)
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

/* A forked child may drop its copy of the object, and removes nothing. */
static void
test_fork (Fixture *fixture,
           gconstpointer data)
{
  write_blob (fixture, fixture->key);
  run_and_crash (drop_backing, fixture);

  assert_reads (fixture->backing, fixture->key, fixture->bytes);
  {
    g_autoptr (BsBacking) other = create (fixture->primary);
    g_autoptr (GError) error = NULL;

    g_assert_false (bs_backing_delete_key (other, fixture->key, NULL, &error));
    g_assert_error (error, BS_ERROR, BS_ERROR_BUSY);
  }
}

static void
test_few_descriptors_process (Fixture *fixture,
                              gconstpointer data)
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
  assert_stats (fixture->backing, 1200, 0, 0);

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
main (int argc,
      char *argv[])
{
  static const struct
  {
    const char *name;
    void (*func) (Fixture *fixture, gconstpointer data);
  } tests[] = {
    { "layout", test_layout },
    { "modes", test_modes },
    { "adopts", test_adopts },
    { "adopted-scratch-is-kept", test_adopted_scratch_is_kept },
    { "refuses-foreign", test_refuses_foreign },
    { "refuses-newer-version", test_refuses_newer_version },
    { "leaves-foreign-files", test_leaves_foreign_files },
    { "removes-leftovers", test_removes_leftovers },
    { "busy", test_busy },
    { "failed-path-is-free", test_failed_path_is_free },
    { "crash", test_crash },
    { "crash-before-marker", test_crash_before_marker },
    { "kinds-are-kept-apart", test_kinds_are_kept_apart },
    { "other-file-system", test_other_file_system },
    { "full-primary", test_full_primary },
    { "full-path", test_full_path },
    { "link-not-permitted", test_link_not_permitted },
    { "too-many-links", test_too_many_links },
    { "not-a-directory", test_not_a_directory },
    { "permissions", test_permissions },
    { "read-only", test_read_only },
    { "vanished-folders", test_vanished_folders },
    { "stray-unlink", test_stray_unlink },
    { "vanished-path", test_vanished_path },
    { "symbolic-links", test_symbolic_links },
    { "planted-marker-and-lock", test_planted_marker_and_lock },
    { "wrong-thing-in-place", test_wrong_thing_in_place },
    { "cancelled", test_cancelled },
    { "no-key-leads-outside", test_no_key_leads_outside },
    { "closed", test_closed },
    { "not-local", test_not_local },
    { "temporary", test_temporary },
    { "temporary-after-crash", test_temporary_after_crash },
    { "properties", test_properties },
    { "fork", test_fork },
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
