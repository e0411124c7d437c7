/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "file-fixture.h"

#include "backings/bs-file-slot-space-private.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

/* Larger files are as a rule nothing but a hole. */
#define MAX_CONTENT (64 * 1024 * 1024)

/* As many as a process may have whose descriptors are taken from it. */
#define MAX_DESCRIPTORS 256

BsBacking *
create (GFile *directory)
{
  return BS_BACKING (bs_file_backing_new (directory));
}

void
set_up (Fixture *fixture, gconstpointer data)
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

void
tear_down (Fixture *fixture, gconstpointer data)
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

void
restart_backing (Fixture *fixture)
{
  if (fixture->backing != NULL)
    g_assert_finalize_object (fixture->backing);
  fixture->backing = create (fixture->primary);
}

void
move_primary (Fixture *fixture, const char *name)
{
  g_clear_object (&fixture->backing);
  g_free (fixture->primary_name);
  fixture->primary_name = g_strdup (name);
  g_object_unref (fixture->primary);
  fixture->primary = g_file_new_for_path (name);
  fixture->backing = create (fixture->primary);
}

void
move_path (Fixture *fixture, const char *name)
{
  g_free (fixture->path_name);
  fixture->path_name = g_strdup (name);
  g_object_unref (fixture->path);
  fixture->path = g_file_new_for_path (name);
}

void
write_blob (Fixture *fixture, const char *key)
{
  g_autoptr (GError) error = NULL;

  bs_backing_write (fixture->backing, key, fixture->bytes, NULL, &error);
  g_assert_no_error (error);
}

void
persist_blob (Fixture *fixture, const char *key)
{
  g_autoptr (GError) error = NULL;

  bs_backing_persist (fixture->backing, fixture->path, key, NULL, &error);
  g_assert_no_error (error);
}

void
sync_path (Fixture *fixture)
{
  g_autoptr (GError) error = NULL;

  bs_backing_sync_persisted (fixture->backing, fixture->path, NULL, &error);
  g_assert_no_error (error);
}

void
delete_scratch (Fixture *fixture, const char *key)
{
  g_autoptr (GError) error = NULL;

  bs_backing_delete_key (fixture->backing, key, NULL, &error);
  g_assert_no_error (error);
}

void
register_blob (Fixture *fixture, const char *key)
{
  g_autoptr (GError) error = NULL;

  bs_backing_register_key (fixture->backing, fixture->path, key, NULL, &error);
  g_assert_no_error (error);
  assert_reads (fixture->backing, key, fixture->bytes);
}

guint64
count_listed (BsBacking *backing, GFile *path)
{
  g_autoptr (BsKeySet) found = list_path (backing, path);

  return bs_key_set_get_n_keys (found);
}

GError *
sanitize_error (BsBacking *backing, GFile *path)
{
  g_autoptr (BsKeySet) found = bs_key_set_new ();
  GError *error = NULL;

  g_assert_false (bs_backing_sanitize_path (backing, path, found, NULL, &error));
  g_assert_nonnull (error);

  return error;
}

void
assert_transfers (BsBacking *backing, guint64 linked, guint64 reflinked, guint64 copied)
{
  g_autoptr (BsFileBackingStats) stats = bs_file_backing_get_stats (BS_FILE_BACKING (backing));

  g_assert_cmpuint (stats->linked, ==, linked);
  g_assert_cmpuint (stats->reflinked, ==, reflinked);
  g_assert_cmpuint (stats->copied, ==, copied);
}

guint64
count_foreign (BsBacking *backing)
{
  g_autoptr (BsFileBackingStats) stats = bs_file_backing_get_stats (BS_FILE_BACKING (backing));

  return stats->foreign;
}

char *
get_blob_name (const char *directory, const char *key)
{
  g_auto (GStrv) parts = g_strsplit (key, "-", -1);
  g_autofree char *hex = g_strjoinv ("", parts);
  const char shard[3] = { hex[0], hex[1], '\0' };

  return g_build_filename (directory, shard, hex, NULL);
}

char *
get_shard_name (const char *directory, const char *key)
{
  const char shard[3] = { key[0], key[1], '\0' };

  return g_build_filename (directory, shard, NULL);
}

void
plant (const char *path, const char *content)
{
  g_autofree char *folder = g_path_get_dirname (path);
  g_autoptr (GError) error = NULL;

  g_assert_cmpint (g_mkdir_with_parents (folder, 0755), ==, 0);
  g_file_set_contents (path, content, -1, &error);
  g_assert_no_error (error);
}

void
plant_in (const char *directory, const char *name, const char *content)
{
  g_autofree char *path = g_build_filename (directory, name, NULL);

  plant (path, content);
}

gboolean
exists (const char *path)
{
  GStatBuf status;

  return g_lstat (path, &status) == 0;
}

gboolean
exists_in (const char *directory, const char *name)
{
  g_autofree char *path = g_build_filename (directory, name, NULL);

  return exists (path);
}

void
wait_until_gone (const char *path)
{
  while (exists (path))
    g_thread_yield ();
}

guint
get_mode (const char *path)
{
  GStatBuf status;

  g_assert_cmpint (g_lstat (path, &status), ==, 0);

  return status.st_mode & 07777;
}

struct timespec
get_time (const char *path)
{
  struct stat status;

  g_assert_cmpint (stat (path, &status), ==, 0);

  return status.st_mtim;
}

void
set_time (const char *path, struct timespec time)
{
  const struct timespec times[] = { { .tv_nsec = UTIME_OMIT }, time };

  g_assert_cmpint (utimensat (AT_FDCWD, path, times, 0), ==, 0);
}

void
flip (const char *path, goffset at)
{
  struct timespec time = get_time (path);
  int fd = open (path, O_RDWR | O_CLOEXEC);
  guint8 byte;

  g_assert_cmpint (pread (fd, &byte, 1, at), ==, 1);
  byte ^= 1;
  g_assert_cmpint (pwrite (fd, &byte, 1, at), ==, 1);
  close (fd);
  set_time (path, time);
}

void
cut_short (const char *path, goffset size)
{
  struct timespec time = get_time (path);

  g_assert_cmpint (truncate (path, size), ==, 0);
  set_time (path, time);
}

guint64
get_inode (const char *path)
{
  GStatBuf status;

  g_assert_cmpint (g_lstat (path, &status), ==, 0);

  return status.st_ino;
}

guint
count_files (const char *directory)
{
  g_autoptr (GDir) dir = g_dir_open (directory, 0, NULL);
  guint n_files = 0;
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (directory, name, NULL);

      if (g_file_test (path, G_FILE_TEST_IS_DIR) && !g_file_test (path, G_FILE_TEST_IS_SYMLINK))
        n_files += count_files (path);
      else if (strcmp (name, ".dirty") != 0)
        n_files++;
    }

  return n_files;
}

static void
describe_attributes (const char *path, GString *line)
{
  char names[4096];
  gssize size = llistxattr (path, names, sizeof names);

  for (gssize at = 0; at < size; at += strlen (names + at) + 1)
    {
      char value[4096];
      gssize length = lgetxattr (path, names + at, value, sizeof value);
      g_autofree char *sum =
        g_compute_checksum_for_data (G_CHECKSUM_SHA256, (guchar *) value, MAX (length, 0));

      g_string_append_printf (line, " %s=%s", names + at, sum);
    }
}

static void
describe_content (const char *path, const GStatBuf *status, GString *line)
{
  g_autofree char *content = NULL;
  g_autofree char *sum = NULL;
  gsize size;

  if (S_ISLNK (status->st_mode))
    {
      content = g_file_read_link (path, NULL);
      g_string_append_printf (line, " -> %s", content);
    }
  else if (S_ISREG (status->st_mode) && status->st_size <= MAX_CONTENT &&
           g_file_get_contents (path, &content, &size, NULL))
    {
      sum = g_compute_checksum_for_data (G_CHECKSUM_SHA256, (guchar *) content, size);
      g_string_append_printf (line, " %s", sum);
    }
}

static void
describe (const char *path, GPtrArray *lines)
{
  GString *line = g_string_new (path);
  g_autoptr (GDir) dir = NULL;
  GStatBuf status;
  const char *name;

  g_assert_cmpint (g_lstat (path, &status), ==, 0);
  g_string_append_printf (line, " %o %u:%u %lx %ld %ld %ld.%09ld %ld.%09ld", status.st_mode,
                          status.st_uid, status.st_gid, (long) status.st_rdev,
                          (long) status.st_nlink, (long) status.st_size,
                          (long) status.st_mtim.tv_sec, status.st_mtim.tv_nsec,
                          (long) status.st_ctim.tv_sec, status.st_ctim.tv_nsec);
  describe_attributes (path, line);
  describe_content (path, &status, line);
  g_ptr_array_add (lines, g_string_free (line, FALSE));

  if (S_ISDIR (status.st_mode))
    dir = g_dir_open (path, 0, NULL);
  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *child = g_build_filename (path, name, NULL);

      describe (child, lines);
    }
}

static int
compare_lines (gconstpointer a, gconstpointer b)
{
  return strcmp (*(char *const *) a, *(char *const *) b);
}

char *
snapshot (const char *directory)
{
  g_autoptr (GPtrArray) lines = g_ptr_array_new_with_free_func (g_free);

  describe (directory, lines);
  g_ptr_array_sort (lines, compare_lines);
  g_ptr_array_add (lines, NULL);

  return g_strjoinv ("\n", (char **) lines->pdata);
}

void
assert_unchanged (const char *directory, const char *before)
{
  g_autofree char *after = snapshot (directory);
  g_auto (GStrv) old_lines = g_strsplit (before, "\n", -1);
  g_auto (GStrv) new_lines = g_strsplit (after, "\n", -1);

  /* The first line that differs says more than two whole listings. */
  for (guint i = 0; old_lines[i] != NULL && new_lines[i] != NULL; i++)
    g_assert_cmpstr (new_lines[i], ==, old_lines[i]);
  g_assert_cmpuint (g_strv_length (new_lines), ==, g_strv_length (old_lines));
}

void
run_and_crash (void (*func) (Fixture *fixture), Fixture *fixture)
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

/* A failed assertion aborts; a leak checker has no word on a child that is killed. */
void
run_apart (void (*func) (Fixture *fixture), Fixture *fixture)
{
  run_and_crash (func, fixture);
}

GPid
run_and_stay (void (*func) (Fixture *fixture), Fixture *fixture)
{
  int ends[2];
  char ready = 0;
  pid_t pid;

  g_assert_cmpint (pipe (ends), ==, 0);
  pid = fork ();
  if (pid == 0)
    {
      /* Also with a parent that failed. */
      prctl (PR_SET_PDEATHSIG, SIGKILL);
      func (fixture);
      g_assert_cmpint (write (ends[1], "r", 1), ==, 1);
      for (;;)
        pause ();
    }

  /* A child that failed closes its end. */
  close (ends[1]);
  g_assert_cmpint (read (ends[0], &ready, 1), ==, 1);
  close (ends[0]);

  return pid;
}

void
kill_process (GPid pid)
{
  g_assert_cmpint (kill (pid, SIGKILL), ==, 0);
  g_assert_cmpint (waitpid (pid, NULL, 0), ==, pid);
}

static void
set_descriptors (rlim_t max)
{
  struct rlimit limit;

  g_assert_cmpint (getrlimit (RLIMIT_NOFILE, &limit), ==, 0);
  limit.rlim_cur = MIN (max, limit.rlim_max);
  g_assert_cmpint (setrlimit (RLIMIT_NOFILE, &limit), ==, 0);
}

GArray *
take_descriptors (guint n_left)
{
  GArray *taken = g_array_new (FALSE, FALSE, sizeof (int));
  int fd;

  set_descriptors (MAX_DESCRIPTORS);
  while ((fd = open ("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
    g_array_append_val (taken, fd);
  g_assert_cmpint (errno, ==, EMFILE);

  g_assert_cmpuint (taken->len, >=, n_left);
  for (; n_left > 0; n_left--)
    {
      close (g_array_index (taken, int, taken->len - 1));
      g_array_set_size (taken, taken->len - 1);
    }

  return taken;
}

void
give_descriptors (GArray *taken)
{
  for (guint i = 0; i < taken->len; i++)
    close (g_array_index (taken, int, i));
  g_array_unref (taken);
  set_descriptors (RLIM_INFINITY);
}

gboolean
skip_unless_root (void)
{
  if (geteuid () == 0)
    return FALSE;

  g_test_skip ("This needs root");

  return TRUE;
}

GError *
persist_error (Fixture *fixture, const char *key)
{
  GError *error = NULL;

  g_assert_false (bs_backing_persist (fixture->backing, fixture->path, key, NULL, &error));
  g_assert_nonnull (error);

  return error;
}

void
delete_blob (Fixture *fixture, const char *key)
{
  g_autoptr (GError) error = NULL;

  bs_backing_delete_persisted (fixture->backing, fixture->path, key, NULL, &error);
  g_assert_no_error (error);
}

void
use_large_blobs (Fixture *fixture)
{
  g_bytes_unref (fixture->bytes);
  fixture->bytes = make_test_bytes (BS_FILE_MAX_SLOT + 1, 3);
}

char *
write_other (Fixture *fixture)
{
  char *key = bs_key_generate ();

  write_blob (fixture, key);

  return key;
}

guint64
count_rewritten (Fixture *fixture)
{
  g_autoptr (BsFileBackingStats) stats =
    bs_file_backing_get_stats (BS_FILE_BACKING (fixture->backing));

  return stats->rewritten;
}
