/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* How far a lock reaches, and what is left alone where it does not. */

#include "file-fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#define ELSEWHERE "0123456789abcdef elsewhere fedcba98-7654 00112233445566778899aabbccddeeff\n"

static char *
read_lock (const char *directory)
{
  g_autofree char *name = g_build_filename (directory, ".lock", NULL);
  char *content = NULL;

  g_assert_true (g_file_get_contents (name, &content, NULL, NULL));

  return content;
}

static void
write_lock (const char *directory, const char *content)
{
  g_autofree char *name = g_build_filename (directory, ".lock", NULL);
  int fd = open (name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

  g_assert_cmpint (write (fd, content, strlen (content)), ==, strlen (content));
  close (fd);
}

/* The holder's own name is in it as long as the directory is open. */
static void
test_holder (Fixture *fixture, gconstpointer data)
{
  g_autofree char *first = NULL;
  g_autofree char *second = NULL;
  g_autofree char *closed = NULL;

  write_blob (fixture, fixture->key);
  first = read_lock (fixture->primary_name);
  g_assert_true (g_str_has_suffix (first, "\n"));
  g_assert_nonnull (strstr (first, g_get_host_name ()));

  restart_backing (fixture);
  closed = read_lock (fixture->primary_name);
  g_assert_cmpstr (closed, ==, "");
  write_blob (fixture, fixture->key);
  second = read_lock (fixture->primary_name);
  g_assert_cmpstr (second, !=, first);
}

/* Scratch of another machine, which this one's lock does not stop. */
static void
test_other_machine (Fixture *fixture, gconstpointer data)
{
  g_autofree char *other = bs_key_generate ();
  g_autofree char *theirs = get_blob_name (fixture->primary_name, other);
  g_autofree char *half =
    g_build_filename (fixture->path_name, ".tmp-abcdef0123456789abcdef0123456789", NULL);

  plant_in (fixture->primary_name, ".backingstore", "backingstore 1 scratch\n");
  plant (theirs, "in use");
  plant_in (fixture->path_name, ".backingstore", "backingstore 1 persisted\n");
  plant (half, "being written");

  for (guint i = 0; i < 2; i++)
    {
      g_autofree char *lock = NULL;

      write_lock (fixture->primary_name, ELSEWHERE);
      write_lock (fixture->path_name, ELSEWHERE);
      write_blob (fixture, fixture->key);
      g_assert_cmpuint (count_listed (fixture->backing, fixture->path), ==, i);
      persist_blob (fixture, fixture->key);
      sync_path (fixture);
      delete_scratch (fixture, fixture->key);
      restart_backing (fixture);
      g_assert_true (exists (theirs));
      g_assert_true (exists (half));

      /* The holder still may be there. */
      lock = read_lock (fixture->primary_name);
      g_assert_cmpstr (lock, ==, ELSEWHERE);
    }
}

static void
write_and_persist (Fixture *fixture)
{
  write_blob (fixture, fixture->key);
  persist_blob (fixture, fixture->key);
}

/* After a power cut: on a disk of this machine nobody else can be. */
static void
test_other_boot (Fixture *fixture, gconstpointer data)
{
  g_autofree char *blob = get_blob_name (fixture->primary_name, fixture->key);
  g_autofree char *other = bs_key_generate ();
  g_autofree char *lock = NULL;
  g_auto (GStrv) words = NULL;

  run_and_crash (write_and_persist, fixture);
  g_assert_true (exists (blob));
  lock = read_lock (fixture->primary_name);
  words = g_strsplit (lock, " ", 4);
  g_assert_cmpuint (g_strv_length (words), ==, 4);
  g_free (words[2]);
  words[2] = g_strdup ("another-boot");
  g_free (lock);
  lock = g_strjoinv (" ", words);
  write_lock (fixture->primary_name, lock);

  write_blob (fixture, other);
  wait_until_gone (blob);
}

static void
write_many (Fixture *fixture)
{
  for (guint i = 0; i < 2000; i++)
    {
      g_autofree char *key = write_other (fixture);

      persist_blob (fixture, key);
    }
  write_and_persist (fixture);
}

/* Blobs that a killed process left go while its successor works, whose own blobs
 * stay: that of a key which was there before, too. */
static void
test_leftovers (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GPtrArray) keys = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GBytes) content = make_test_bytes (1024 * 1024, 7);
  g_autoptr (GError) error = NULL;

  run_and_crash (write_many, fixture);
  g_assert_true (bs_backing_write (fixture->backing, fixture->key, content, NULL, &error));
  g_assert_no_error (error);
  for (guint i = 0; i < 300; i++)
    g_ptr_array_add (keys, write_other (fixture));

  /* The marker, the lock, and the one blob that is not small. */
  while (count_files (fixture->primary_name) != 3)
    g_thread_yield ();
  assert_reads (fixture->backing, fixture->key, content);
  for (guint i = 0; i < keys->len; i++)
    assert_reads (fixture->backing, keys->pdata[i], fixture->bytes);
}

/* Closed before they are gone. */
static void
test_leftovers_closed (Fixture *fixture, gconstpointer data)
{
  run_and_crash (write_many, fixture);
  write_blob (fixture, fixture->key);
  restart_backing (fixture);
  g_assert_cmpuint (count_files (fixture->primary_name), ==, 2);
}

/* Another machine has opened the document meanwhile. */
static void
test_overtaken (Fixture *fixture, gconstpointer data)
{
  g_autofree char *other = NULL;
  g_autofree char *lock = NULL;
  g_autoptr (GError) error = NULL;

  write_blob (fixture, fixture->key);
  persist_blob (fixture, fixture->key);
  sync_path (fixture);
  write_lock (fixture->path_name, ELSEWHERE);

  other = write_other (fixture);
  g_assert_false (bs_backing_sync_persisted (fixture->backing, fixture->path, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_MOVED);
  g_clear_error (&error);
  g_assert_false (
    bs_backing_write_root (fixture->backing, fixture->path, fixture->bytes, NULL, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_MOVED);
  g_clear_error (&error);
  error = persist_error (fixture, other);
  g_assert_error (error, BS_ERROR, BS_ERROR_MOVED);

  /* Its name stays there. */
  restart_backing (fixture);
  lock = read_lock (fixture->path_name);
  g_assert_cmpstr (lock, ==, ELSEWHERE);
}

static void
assert_busy (Fixture *fixture, GFile *path)
{
  g_autofree char *name = g_strconcat (fixture->primary_name, "-other", NULL);
  g_autoptr (GFile) scratch = g_file_new_for_path (name);
  g_autoptr (BsBacking) other = create (scratch);
  g_autoptr (GError) error = sanitize_error (other, path);

  g_assert_error (error, BS_ERROR, BS_ERROR_BUSY);
}

static void
link_all (const char *from, const char *to)
{
  g_autoptr (GDir) dir = g_dir_open (from, 0, NULL);
  const char *name;

  g_mkdir (to, 0700);
  while ((name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *source = g_build_filename (from, name, NULL);
      g_autofree char *target = g_build_filename (to, name, NULL);

      if (g_file_test (source, G_FILE_TEST_IS_DIR))
        link_all (source, target);
      else
        g_assert_cmpint (link (source, target), ==, 0);
    }
}

/* A backup by hard links, as of cp -al, of an open document. */
static void
test_linked_copy (Fixture *fixture, gconstpointer data)
{
  g_autofree char *copy_name = g_strconcat (fixture->path_name, "-copy", NULL);
  g_autoptr (GFile) copy = g_file_new_for_path (copy_name);
  g_autoptr (GError) error = NULL;

  write_blob (fixture, fixture->key);
  persist_blob (fixture, fixture->key);
  sync_path (fixture);
  link_all (fixture->path_name, copy_name);

  assert_busy (fixture, fixture->path);
  g_assert_cmpuint (count_listed (fixture->backing, copy), ==, 1);
  assert_busy (fixture, fixture->path);
  assert_busy (fixture, copy);
  sync_path (fixture);
  g_assert_true (
    bs_backing_write_root (fixture->backing, copy, fixture->bytes, NULL, NULL, &error));
  g_assert_no_error (error);
  g_assert_true (
    bs_backing_write_root (fixture->backing, fixture->path, fixture->bytes, NULL, NULL, &error));
  g_assert_no_error (error);
}

/* A lock file that is removed does not let a second process in. */
static void
test_removed_lock (Fixture *fixture, gconstpointer data)
{
  g_autofree char *lock = g_build_filename (fixture->path_name, ".lock", NULL);

  write_blob (fixture, fixture->key);
  persist_blob (fixture, fixture->key);
  g_assert_cmpint (g_unlink (lock), ==, 0);
  assert_busy (fixture, fixture->path);
}

/* As a cleaner of temporary folders asks. */
static void
test_directory (Fixture *fixture, gconstpointer data)
{
  const char *const names[] = { fixture->primary_name, fixture->path_name };
  int fds[2];

  write_blob (fixture, fixture->key);
  persist_blob (fixture, fixture->key);
  for (guint i = 0; i < 2; i++)
    fds[i] = open (names[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);

  for (guint i = 0; i < 2; i++)
    {
      g_assert_cmpint (flock (fds[i], LOCK_EX | LOCK_NB), ==, -1);
      g_assert_cmpint (errno, ==, EWOULDBLOCK);
    }

  g_clear_object (&fixture->backing);
  for (guint i = 0; i < 2; i++)
    {
      g_assert_cmpint (flock (fds[i], LOCK_EX | LOCK_NB), ==, 0);
      close (fds[i]);
    }
}

/* A cleaner removes the cache with all in it. Files are gone, and no more. */
static void
test_removed_scratch (Fixture *fixture, gconstpointer data)
{
  g_autofree char *gone = bs_key_generate ();
  g_autofree char *kept = NULL;
  g_autoptr (GBytes) large = make_test_bytes (1024 * 1024, 7);
  g_autoptr (BsBacking) other = create (fixture->primary);
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GError) error = NULL;

  write_and_persist (fixture);
  kept = write_other (fixture);
  g_assert_true (bs_backing_write (fixture->backing, gone, large, NULL, NULL));
  for (guint i = 0; i < 3; i++)
    {
      g_autofree char *key = NULL;

      remove_test_directory (fixture->primary_name);
      key = write_other (fixture);
      assert_reads (fixture->backing, key, fixture->bytes);
      register_blob (fixture, fixture->key);
      persist_blob (fixture, key);
      sync_path (fixture);

      g_assert_false (bs_backing_write (other, gone, fixture->bytes, NULL, &error));
      g_assert_error (error, BS_ERROR, BS_ERROR_BUSY);
      g_clear_error (&error);
    }
  bytes = bs_backing_read (fixture->backing, gone, NULL, &error);
  g_assert_error (error, BS_ERROR, BS_ERROR_NOT_FOUND);
  assert_reads (fixture->backing, kept, fixture->bytes);

  g_clear_object (&fixture->backing);
  g_assert_cmpuint (count_files (fixture->primary_name), ==, 2);
}

static gpointer
write_while_removed (gpointer user_data)
{
  BsBacking *backing = user_data;
  g_autoptr (GBytes) bytes = g_bytes_new_static ("content", 7);

  for (guint i = 0; i < 500; i++)
    {
      g_autofree char *key = bs_key_generate ();
      g_autoptr (GBytes) read = NULL;

      /* The directory may be removed between any two calls. */
      if (bs_backing_write (backing, key, bytes, NULL, NULL))
        read = bs_backing_read (backing, key, NULL, NULL);
      g_assert_true (read == NULL || g_bytes_equal (read, bytes));
    }

  return NULL;
}

static void
test_removed_scratch_threads (Fixture *fixture, gconstpointer data)
{
  GThread *threads[3];

  write_blob (fixture, fixture->key);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("writer", write_while_removed, fixture->backing);
  for (guint i = 0; i < 20; i++)
    {
      const char *const arguments[] = { "rm", "-rf", fixture->primary_name, NULL };
      int status;

      g_assert_true (g_spawn_sync (NULL, (char **) arguments, NULL,
                                   G_SPAWN_SEARCH_PATH | G_SPAWN_STDERR_TO_DEV_NULL, NULL, NULL,
                                   NULL, NULL, &status, NULL));
      /* A removal fails where a folder was filled again meanwhile. */
      g_assert_true (WIFEXITED (status));
      g_assert_cmpint (WEXITSTATUS (status), <=, 1);
    }
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);

  g_free (write_other (fixture));
}

int
main (int argc, char *argv[])
{
  static const struct
  {
    const char *name;
    void (*func) (Fixture *, gconstpointer);
  } tests[] = {
    { "holder", test_holder },
    { "other-machine", test_other_machine },
    { "other-boot", test_other_boot },
    { "leftovers", test_leftovers },
    { "leftovers-closed", test_leftovers_closed },
    { "overtaken", test_overtaken },
    { "linked-copy", test_linked_copy },
    { "removed-lock", test_removed_lock },
    { "directory", test_directory },
    { "removed-scratch", test_removed_scratch },
    { "removed-scratch-threads", test_removed_scratch_threads },
  };

  g_test_init (&argc, &argv, NULL);

  for (guint i = 0; i < G_N_ELEMENTS (tests); i++)
    {
      g_autofree char *name = g_strconcat ("/file-lock/", tests[i].name, NULL);

      g_test_add (name, Fixture, NULL, set_up, tests[i].func, tear_down);
    }

  return g_test_run ();
}
