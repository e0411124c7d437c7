/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "backing-contract.h"
#include "file-mount.h"
#include "peak.h"
#include "waiting.h"

#include <backingstore/backingstore.h>

#include <errno.h>
#include <fcntl.h>
#include <gio/gunixinputstream.h>
#include <glib/gstdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* A content that is larger than memory: in from a file and a pipe, at a path, out by stream,
 * by range and to a file, in constant memory. Its size is past 4 GiB where the setup is
 * "whole"; the file is mostly a hole, and is no burden on the disk. */

#define MIB G_GINT64_CONSTANT (1048576)
#define MAX_MEMORY (32 * MIB)

typedef struct
{
  char *directory;
  GFile *path;
  BsBackingStore *store;
  BsPool *pool;
  BsTrackedPath *tracked;
  goffset size;
  guint64 before; /* the resident size */
} Fixture;

static GFile *
get_child (Fixture *fixture, const char *name)
{
  return g_file_new_build_filename (fixture->directory, name, NULL);
}

/* Scratch stands on the same file system as the path: in the directory. */
static void
open_in (Fixture *fixture, const char *directory)
{
  g_autoptr (GFile) parent = g_file_new_for_path (directory);
  g_autoptr (BsFileBacking) backing = NULL;
  g_autoptr (GError) error = NULL;

  fixture->path = g_file_get_child (parent, "persisted");
  backing = bs_file_backing_new_temporary_in (parent, &error);
  g_assert_no_error (error);
  fixture->store = bs_backing_store_new (BS_BACKING (backing));
  fixture->pool = bs_pool_new (fixture->store, MIB);
  fixture->tracked = bs_backing_store_track_path (fixture->store, fixture->path, NULL, &error);
  g_assert_no_error (error);
  fixture->before = peak_start ();
}

static void
set_up (Fixture *fixture, gconstpointer data)
{
  alarm (tests_are_whole () ? 900 : 100);
  fixture->directory = make_test_directory ();
  fixture->size = (tests_are_whole () ? 6 * 1024 : 200) * MIB + 12345;
  open_in (fixture, fixture->directory);
}

static void
close_all (Fixture *fixture)
{
  g_autoptr (GError) error = NULL;

  /* The last reference on the backing may go in another thread, which removes scratch. */
  bs_backing_store_close (fixture->store, NULL, &error);
  g_assert_no_error (error);
  assert_goes (fixture->pool);
  assert_goes (fixture->tracked);
  assert_goes (fixture->store);
  g_object_unref (fixture->path);
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  close_all (fixture);
  remove_test_directory (fixture->directory);
  g_free (fixture->directory);
  alarm (0);
}

static void
assert_memory (Fixture *fixture)
{
  if (fixture->before > 0 && peak_is_ours ())
    g_assert_cmpuint (peak_get (fixture->before), <, MAX_MEMORY);
}

/* FALSE, and the test skipped, where the disk has not so much room. */
static gboolean
has_room (Fixture *fixture, goffset size)
{
  struct statvfs status;

  g_assert_cmpint (statvfs (fixture->directory, &status), ==, 0);
  if ((guint64) status.f_bavail * status.f_frsize > (guint64) size)
    return TRUE;

  g_test_skip ("the disk has too little room");
  return FALSE;
}

/* The places that have a mark: at the ends, and where numbers of 31 and 32 bits end. */
static goffset
get_mark (Fixture *fixture, guint i)
{
  const goffset marks[] = { 0,          2048 * MIB - 4, 2048 * MIB + 100,
                            4096 * MIB, 5000 * MIB,     fixture->size - 8 };

  return i < G_N_ELEMENTS (marks) ? marks[i] : -1;
}

static GFile *
make_source (Fixture *fixture)
{
  GFile *file = get_child (fixture, "source");
  int fd = g_open (g_file_peek_path (file), O_RDWR | O_CREAT | O_CLOEXEC, 0600);

  g_assert_cmpint (fd, >=, 0);
  g_assert_cmpint (ftruncate (fd, fixture->size), ==, 0);
  for (guint i = 0; get_mark (fixture, i) >= 0; i++)
    if (get_mark (fixture, i) < fixture->size)
      g_assert_cmpint (pwrite (fd, "mark", 4, get_mark (fixture, i)), ==, 4);
  close (fd);

  return file;
}

static void
assert_marks (Fixture *fixture, GInputStream *stream)
{
  for (guint i = 0; get_mark (fixture, i) >= 0; i++)
    {
      g_autoptr (GError) error = NULL;
      char mark[5] = "";
      gsize n_read;

      if (get_mark (fixture, i) >= fixture->size)
        continue;
      g_seekable_seek (G_SEEKABLE (stream), get_mark (fixture, i), G_SEEK_SET, NULL, &error);
      g_assert_no_error (error);
      g_input_stream_read_all (stream, mark, 4, &n_read, NULL, &error);
      g_assert_no_error (error);
      g_assert_cmpstr (mark, ==, "mark");
    }
}

/* Reads to the end, where the hash is compared. */
static void
assert_whole (Fixture *fixture, GInputStream *stream)
{
  g_autofree guint8 *part = g_malloc (MIB);
  g_autoptr (GError) error = NULL;
  goffset total = 0;
  gssize n_read;

  g_seekable_seek (G_SEEKABLE (stream), 0, G_SEEK_SET, NULL, &error);
  g_assert_no_error (error);
  while ((n_read = g_input_stream_read (stream, part, MIB, NULL, &error)) > 0)
    total += n_read;
  g_assert_no_error (error);
  g_assert_cmpint (total, ==, fixture->size);
}

/* Saves it, comes back to it, verifies it, reads it, and copies it out. */
static void
use (Fixture *fixture, BsItem *item)
{
  g_autoptr (BsSave) save = bs_save_new (fixture->store, fixture->tracked);
  g_autoptr (BsVerify) verify = bs_verify_new (fixture->store, fixture->tracked);
  g_autoptr (GBytes) root = g_bytes_new_static ("root", 4);
  g_autoptr (GFile) target = get_child (fixture, "target");
  g_autofree char *key = bs_item_dup_key (item);
  g_autoptr (GInputStream) stream = NULL;
  g_autoptr (GInputStream) copy = NULL;
  g_autoptr (GError) error = NULL;
  struct stat status;

  g_assert_cmpint (bs_item_get_size (item), ==, fixture->size);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture->pool), ==, 0);
  bs_save_add_item (save, item);
  bs_save_set_root (save, root);
  bs_save_run (save, NULL, &error);
  g_assert_no_error (error);
  assert_memory (fixture);
  bs_verify_run (verify, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (bs_tracked_path_get_n_keys (fixture->tracked), ==, 1);
  assert_memory (fixture);

  g_object_unref (item);
  bs_backing_store_wait_finished (fixture->store, NULL, &error);
  bs_task_tracker_reopen (bs_backing_store_get_task_tracker (fixture->store));
  item = bs_pool_register (fixture->pool, fixture->tracked, key, NULL, &error);
  g_assert_no_error (error);
  stream = bs_item_read (item, NULL, &error);
  g_assert_no_error (error);
  assert_marks (fixture, stream);
  assert_whole (fixture, stream);
  bs_item_copy_to_file (item, target, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (stat (g_file_peek_path (target), &status), ==, 0);
  g_assert_cmpint (status.st_size, ==, fixture->size);
  copy = G_INPUT_STREAM (g_file_read (target, NULL, &error));
  g_assert_no_error (error);
  assert_marks (fixture, copy);
  assert_memory (fixture);
  g_object_unref (item);
}

static void
test_file (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GFile) source = make_source (fixture);
  BsItem *item = bs_pool_insert_file (fixture->pool, source, NULL, &error);

  g_assert_no_error (error);
  use (fixture, item);
}

typedef struct
{
  Fixture *fixture;
  GFile *source;
  int fd;
} Pipe;

static gpointer
write_pipe (gpointer data)
{
  Pipe *self = data;
  g_autofree guint8 *part = g_malloc (MIB);
  int fd = g_open (g_file_peek_path (self->source), O_RDONLY | O_CLOEXEC, 0);
  gssize n_read;

  while ((n_read = read (fd, part, MIB)) > 0)
    for (gssize done = 0; done < n_read;)
      {
        gssize n = write (self->fd, part + done, n_read - done);

        g_assert_cmpint (n, >, 0);
        done += n;
      }
  close (fd);
  close (self->fd);

  return NULL;
}

static void
test_pipe (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GInputStream) stream = NULL;
  g_autoptr (GFile) source = NULL;
  g_autoptr (GError) error = NULL;
  Pipe self = { fixture };
  GThread *thread;
  BsItem *item;
  int fds[2];

  /* The copy to a file shares no block with it on every file system. */
  if (!has_room (fixture, 2 * fixture->size + 100 * MIB))
    return;

  source = make_source (fixture);
  g_assert_cmpint (pipe2 (fds, O_CLOEXEC), ==, 0);
  stream = g_unix_input_stream_new (fds[0], TRUE);
  self.source = source;
  self.fd = fds[1];
  thread = g_thread_new ("writer", write_pipe, &self);
  item = bs_pool_insert_stream (fixture->pool, stream, NULL, &error);
  g_assert_no_error (error);
  g_thread_join (thread);
  use (fixture, item);
}

/* A content that does not fit into memory as bytes is an error, and no abort. */
static void
test_load (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GFile) source = make_source (fixture);
  g_autoptr (BsItem) item = NULL;
  struct rlimit old, limit;

  if (!peak_is_ours ())
    {
      g_test_skip ("a sanitizer needs the room of addresses for itself");
      return;
    }

  item = bs_pool_insert_file (fixture->pool, source, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (getrlimit (RLIMIT_AS, &old), ==, 0);
  limit = old;
  limit.rlim_cur = read_status ("VmSize:") + fixture->size / 2;
  g_assert_cmpint (setrlimit (RLIMIT_AS, &limit), ==, 0);
  g_assert_null (bs_item_load (item, NULL, &error));
  g_assert_cmpint (setrlimit (RLIMIT_AS, &old), ==, 0);
  g_assert_nonnull (error);
  g_assert_true (error->domain == G_IO_ERROR);
  g_assert_nonnull (strstr (error->message, g_strerror (ENOMEM)));
}

static guint64
get_room (const char *directory)
{
  struct statvfs status;

  g_assert_cmpint (statvfs (directory, &status), ==, 0);
  return (guint64) status.f_bavail * status.f_frsize;
}

/* Begins a test on a file system of its own, or skips it. */
static Mount *
begin_on (Fixture *fixture, const char *type, guint megabytes)
{
  Mount *mount;

  alarm (100);
  fixture->directory = make_test_directory ();
  mount = mount_new (fixture->directory, type, megabytes);
  if (mount != NULL)
    open_in (fixture, mount_get_path (mount));

  return mount;
}

static void
end_on (Fixture *fixture, Mount *mount)
{
  if (mount != NULL)
    {
      close_all (fixture);
      mount_free (mount);
    }
  remove_test_directory (fixture->directory);
  g_free (fixture->directory);
  alarm (0);
}

/* Where blocks can be shared, a file takes no room in scratch, nor at the path, nor outside. */
static void
clone_on (Fixture *fixture, Mount *mount)
{
  g_autofree char *source_path = g_build_filename (mount_get_path (mount), "source", NULL);
  g_autofree char *target_path = g_build_filename (mount_get_path (mount), "target", NULL);
  g_autoptr (GFile) source = g_file_new_for_path (source_path);
  g_autoptr (GFile) target = g_file_new_for_path (target_path);
  g_autoptr (GBytes) bytes = make_test_bytes (20 * MIB, 1);
  g_autoptr (GBytes) copied = NULL;
  g_autoptr (GBytes) loaded = NULL;
  g_autoptr (BsItem) item = NULL;
  g_autoptr (GError) error = NULL;
  guint64 room;

  g_assert_true (g_file_set_contents (source_path, g_bytes_get_data (bytes, NULL), 20 * MIB, NULL));
  sync ();
  room = get_room (mount_get_path (mount));
  item = bs_pool_insert_file (fixture->pool, source, NULL, &error);
  g_assert_no_error (error);
  bs_item_persist (item, fixture->tracked, NULL, &error);
  g_assert_no_error (error);
  bs_item_copy_to_file (item, target, NULL, &error);
  g_assert_no_error (error);
  sync ();
  g_assert_cmpuint (room - get_room (mount_get_path (mount)), <, 5 * MIB);

  loaded = bs_item_load (item, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (g_bytes_equal (loaded, bytes));
  copied = g_file_load_bytes (target, NULL, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (g_bytes_equal (copied, bytes));
}

static void
test_clone (void)
{
  Fixture fixture = { 0 };
  Mount *mount = begin_on (&fixture, "xfs", 0);

  if (mount != NULL && !mount_has_reflinks (mount))
    g_test_skip ("the file system has no reflinks");
  else if (mount != NULL)
    clone_on (&fixture, mount);
  end_on (&fixture, mount);
}

/* A full disk leaves nothing of a content that does not fit, and an old file as it was. */
static void
fill_on (Fixture *fixture, Mount *mount)
{
  g_autofree char *target_path = g_build_filename (mount_get_path (mount), "target", NULL);
  g_autoptr (GFile) target = g_file_new_for_path (target_path);
  g_autoptr (GBytes) bytes = make_test_bytes (20 * MIB, 1);
  g_autoptr (GBytes) some = make_test_bytes (6 * MIB, 2);
  g_autoptr (GInputStream) stream = g_memory_input_stream_new_from_bytes (bytes);
  g_autoptr (GInputStream) small = g_memory_input_stream_new_from_bytes (some);
  g_autoptr (GFile) source = NULL;
  g_autofree char *left = NULL;
  g_autoptr (BsItem) item = NULL;
  g_autoptr (GError) error = NULL;
  guint64 room = get_room (mount_get_path (mount));
  gsize size;

  source = get_child (fixture, "source");
  g_assert_true (g_file_set_contents (g_file_peek_path (source), g_bytes_get_data (bytes, NULL),
                                      20 * MIB, NULL));
  g_assert_true (g_file_set_contents (target_path, "old", -1, NULL));
  g_assert_null (bs_pool_insert_stream (fixture->pool, stream, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  g_clear_error (&error);
  g_assert_null (bs_pool_insert_file (fixture->pool, source, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  g_clear_error (&error);
  bs_backing_store_wait_finished (fixture->store, NULL, NULL);
  bs_task_tracker_reopen (bs_backing_store_get_task_tracker (fixture->store));
  g_assert_cmpuint (room - get_room (mount_get_path (mount)), <, MIB);

  item = bs_pool_insert_stream (fixture->pool, small, NULL, &error);
  g_assert_no_error (error);
  g_assert_false (bs_item_copy_to_file (item, target, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  g_assert_true (g_file_get_contents (target_path, &left, &size, NULL));
  g_assert_cmpmem (left, size, "old", 3);
  g_assert_cmpuint (room - get_room (mount_get_path (mount)), <, 7 * MIB);
}

static void
test_full (void)
{
  Fixture fixture = { 0 };
  Mount *mount = begin_on (&fixture, "tmpfs", 10);

  if (mount != NULL)
    fill_on (&fixture, mount);
  end_on (&fixture, mount);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  mount_init ();

  g_test_add ("/streams-large/file", Fixture, NULL, set_up, test_file, tear_down);
  g_test_add ("/streams-large/pipe", Fixture, NULL, set_up, test_pipe, tear_down);
  g_test_add ("/streams-large/load", Fixture, NULL, set_up, test_load, tear_down);

  g_test_add_func ("/streams-large/clone", test_clone);
  g_test_add_func ("/streams-large/full", test_full);

  return g_test_run ();
}
