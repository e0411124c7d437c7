/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "backing-contract.h"
#include "gate-backing.h"
#include "waiting.h"

#include <backingstore/backingstore.h>

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gio/gunixinputstream.h>

/* Contents of a pool as files and streams, over each kind of backing: in files, in memory, and
 * one that has no streams of its own. */

typedef BsBacking *(*MakeBacking) (void);

typedef struct
{
  char *directory;
  BsFaultBacking *fault;
  BsBackingStore *store;
  BsPool *pool;
  GFile *path;
} Fixture;

static BsBacking *
make_files (void)
{
  g_autoptr (GError) error = NULL;
  BsFileBacking *backing = bs_file_backing_new_temporary (&error);

  g_assert_no_error (error);
  return BS_BACKING (backing);
}

static BsBacking *
make_memory (void)
{
  return BS_BACKING (bs_memory_backing_new ());
}

static BsBacking *
make_plain (void)
{
  return BS_BACKING (gate_backing_new ());
}

static const MakeBacking files = make_files;
static const MakeBacking memory = make_memory;
static const MakeBacking plain = make_plain;

static void
set_up_in_context (Fixture *fixture, MakeBacking make, GMainContext *context)
{
  g_autoptr (BsBacking) inner = make ();

  alarm (100);
  fixture->directory = make_test_directory ();
  fixture->path = g_file_new_build_filename (fixture->directory, "persisted", NULL);
  fixture->fault = bs_fault_backing_new (inner);
  if (context != NULL)
    fixture->store = bs_backing_store_new_in_context (BS_BACKING (fixture->fault), context);
  else
    fixture->store = bs_backing_store_new (BS_BACKING (fixture->fault));
  fixture->pool = bs_pool_new (fixture->store, 1 << 20);
}

static void
set_up (Fixture *fixture, gconstpointer data)
{
  set_up_in_context (fixture, *(const MakeBacking *) data, NULL);
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  bs_fault_backing_clear (fixture->fault);
  if (fixture->pool != NULL)
    assert_goes (fixture->pool);
  assert_goes (fixture->store);
  assert_goes (fixture->fault);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_object_unref (fixture->path);
  remove_test_directory (fixture->directory);
  g_free (fixture->directory);
  alarm (0);
}

static GFile *
get_child (Fixture *fixture, const char *name)
{
  return g_file_new_build_filename (fixture->directory, name, NULL);
}

static GFile *
make_file (Fixture *fixture, const char *name, GBytes *bytes)
{
  GFile *file = get_child (fixture, name);
  g_autoptr (GError) error = NULL;

  g_file_set_contents (g_file_peek_path (file), g_bytes_get_data (bytes, NULL),
                       g_bytes_get_size (bytes), &error);
  g_assert_no_error (error);

  return file;
}

static void
assert_file_has (GFile *file, GBytes *expected)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = g_file_load_bytes (file, NULL, NULL, &error);

  g_assert_no_error (error);
  g_assert_true (g_bytes_equal (bytes, expected));
}

/* The number of names in the fixture's directory. */
static guint
count_names (Fixture *fixture)
{
  g_autoptr (GDir) dir = g_dir_open (fixture->directory, 0, NULL);
  guint n = 0;

  while (g_dir_read_name (dir) != NULL)
    n++;

  return n;
}

static BsTrackedPath *
track (Fixture *fixture)
{
  g_autoptr (GError) error = NULL;
  BsTrackedPath *tracked =
    bs_backing_store_track_path (fixture->store, fixture->path, NULL, &error);

  g_assert_no_error (error);
  return tracked;
}

static BsItem *
insert_stream (Fixture *fixture, GBytes *bytes)
{
  g_autoptr (GInputStream) stream = g_memory_input_stream_new_from_bytes (bytes);
  g_autoptr (GError) error = NULL;
  BsItem *item = bs_pool_insert_stream (fixture->pool, stream, NULL, &error);

  g_assert_no_error (error);
  return item;
}

static GInputStream *
open_item (BsItem *item)
{
  g_autoptr (GError) error = NULL;
  GInputStream *stream = bs_item_read (item, NULL, &error);

  g_assert_no_error (error);
  return stream;
}

static GBytes *
read_all (GInputStream *stream)
{
  g_autoptr (GOutputStream) output = g_memory_output_stream_new_resizable ();
  g_autoptr (GError) error = NULL;

  g_output_stream_splice (output, stream, G_OUTPUT_STREAM_SPLICE_CLOSE_TARGET, NULL, &error);
  g_assert_no_error (error);

  return g_memory_output_stream_steal_as_bytes (G_MEMORY_OUTPUT_STREAM (output));
}

static void
assert_has (BsItem *item, GBytes *expected)
{
  g_autoptr (GInputStream) stream = open_item (item);
  g_autoptr (GBytes) bytes = read_all (stream);

  g_assert_true (g_bytes_equal (bytes, expected));
}

static void
store_result (GObject *source, GAsyncResult *result, gpointer data)
{
  *(GAsyncResult **) data = g_object_ref (result);
}

static GAsyncResult *
wait_result (GAsyncResult **result)
{
  while (*result == NULL)
    g_main_context_iteration (NULL, TRUE);

  return *result;
}

static void
wait_finished (Fixture *fixture)
{
  g_autoptr (GError) error = NULL;

  bs_backing_store_wait_finished (fixture->store, NULL, &error);
  g_assert_no_error (error);
  bs_task_tracker_reopen (bs_backing_store_get_task_tracker (fixture->store));
}

/* Whether primary storage has the key. */
static gboolean
has_key (Fixture *fixture, const char *key)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = bs_backing_read (BS_BACKING (fixture->fault), key, NULL, &error);

  if (bytes == NULL)
    g_assert_error (error, BS_ERROR, BS_ERROR_NOT_FOUND);

  return bytes != NULL;
}

static const gsize sizes[] = { 0, 1, 100000, 512 * 1024 + 1, 2500000 };

/* In by file and by stream, out by stream and by file, and at a path in between. */
static void
test_round_trip (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsTrackedPath) tracked = track (fixture);
  gboolean knows_size =
    GATE_IS_BACKING (bs_fault_backing_get_inner (fixture->fault)) ? FALSE : TRUE;

  for (guint i = 0; i < 2 * G_N_ELEMENTS (sizes); i++)
    {
      g_autoptr (GBytes) bytes = make_test_bytes (sizes[i / 2], i);
      g_autoptr (GFile) source = make_file (fixture, "source", bytes);
      g_autoptr (GFile) target = get_child (fixture, "target");
      g_autoptr (GBytes) loaded = NULL;
      g_autoptr (GError) error = NULL;
      g_autofree char *key = NULL;
      BsItem *item;

      item = i % 2 == 0 ? bs_pool_insert_file (fixture->pool, source, NULL, &error)
                        : insert_stream (fixture, bytes);
      g_assert_no_error (error);
      g_assert_cmpint (bs_item_get_size (item), ==, knows_size ? (gint64) sizes[i / 2] : -1);
      g_assert_cmpuint (bs_pool_get_n_resident (fixture->pool), ==, 0);
      g_assert_cmpuint (bs_pool_get_memory_use (fixture->pool), ==, 0);
      assert_has (item, bytes);
      g_assert_cmpuint (bs_pool_get_memory_use (fixture->pool), ==, 0);

      bs_item_persist (item, tracked, NULL, &error);
      g_assert_no_error (error);
      bs_item_copy_to_file (item, target, NULL, &error);
      g_assert_no_error (error);
      assert_file_has (target, bytes);

      key = bs_item_dup_key (item);
      assert_goes (item);
      wait_finished (fixture);
      g_assert_false (has_key (fixture, key));
      item = bs_pool_register (fixture->pool, tracked, key, NULL, &error);
      g_assert_no_error (error);
      assert_has (item, bytes);
      loaded = bs_item_load (item, NULL, &error);
      g_assert_no_error (error);
      g_assert_true (g_bytes_equal (loaded, bytes));
      assert_goes (item);
    }
}

static void
test_async (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GBytes) bytes = make_test_bytes (700000, 3);
  g_autoptr (GFile) source = make_file (fixture, "source", bytes);
  g_autoptr (GFile) target = get_child (fixture, "target");
  g_autoptr (GInputStream) input = g_memory_input_stream_new_from_bytes (bytes);

  for (int i = 0; i < 2; i++)
    {
      GAsyncResult *inserted = NULL, *opened = NULL, *read = NULL, *copied = NULL, *closed = NULL;
      g_autoptr (GInputStream) stream = NULL;
      g_autofree guint8 *buffer = g_malloc (1000);
      g_autoptr (BsItem) item = NULL;
      g_autoptr (GError) error = NULL;

      if (i == 0)
        bs_pool_insert_file_async (fixture->pool, source, G_PRIORITY_DEFAULT, NULL, store_result,
                                   &inserted);
      else
        bs_pool_insert_stream_async (fixture->pool, input, G_PRIORITY_DEFAULT, NULL, store_result,
                                     &inserted);
      g_assert_null (inserted);
      item = i == 0 ? bs_pool_insert_file_finish (fixture->pool, wait_result (&inserted), &error)
                    : bs_pool_insert_stream_finish (fixture->pool, wait_result (&inserted), &error);
      g_assert_no_error (error);

      bs_item_read_async (item, G_PRIORITY_DEFAULT, NULL, store_result, &opened);
      g_assert_null (opened);
      stream = bs_item_read_finish (item, wait_result (&opened), &error);
      g_assert_no_error (error);
      g_seekable_seek (G_SEEKABLE (stream), 123456, G_SEEK_SET, NULL, &error);
      g_assert_no_error (error);
      g_input_stream_read_async (stream, buffer, 1000, G_PRIORITY_DEFAULT, NULL, store_result,
                                 &read);
      g_assert_null (read);
      /* Pending streams do not move. */
      g_assert_false (g_seekable_seek (G_SEEKABLE (stream), 0, G_SEEK_SET, NULL, &error));
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_PENDING);
      g_clear_error (&error);
      g_assert_cmpint (g_input_stream_read_finish (stream, wait_result (&read), &error), ==, 1000);
      g_assert_no_error (error);
      g_assert_cmpmem (buffer, 1000, (const guint8 *) g_bytes_get_data (bytes, NULL) + 123456,
                       1000);
      g_input_stream_close_async (stream, G_PRIORITY_DEFAULT, NULL, store_result, &closed);
      g_assert_true (g_input_stream_close_finish (stream, wait_result (&closed), &error));
      g_assert_no_error (error);

      bs_item_copy_to_file_async (item, target, G_PRIORITY_DEFAULT, NULL, store_result, &copied);
      g_assert_null (copied);
      bs_item_copy_to_file_finish (item, wait_result (&copied), &error);
      g_assert_no_error (error);
      assert_file_has (target, bytes);

      g_object_unref (inserted);
      g_object_unref (opened);
      g_object_unref (read);
      g_object_unref (copied);
      g_object_unref (closed);
    }
}

static void
test_seek (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GBytes) bytes = make_test_bytes (600000, 5);
  g_autoptr (BsItem) item = insert_stream (fixture, bytes);
  g_autoptr (GInputStream) stream = open_item (item);
  GSeekable *seekable = G_SEEKABLE (stream);
  g_autoptr (GError) error = NULL;
  guint8 byte;

  g_assert_true (g_seekable_can_seek (seekable));
  g_assert_false (g_seekable_can_truncate (seekable));
  g_assert_true (g_seekable_seek (seekable, -1, G_SEEK_END, NULL, &error));
  g_assert_cmpint (g_input_stream_read (stream, &byte, 1, NULL, &error), ==, 1);
  g_assert_cmpuint (byte, ==, ((const guint8 *) g_bytes_get_data (bytes, NULL))[599999]);
  g_assert_cmpint (g_input_stream_read (stream, &byte, 1, NULL, &error), ==, 0);
  g_assert_true (g_seekable_seek (seekable, -600000, G_SEEK_CUR, NULL, &error));
  g_assert_cmpint (g_seekable_tell (seekable), ==, 0);
  g_assert_cmpint (g_input_stream_skip (stream, 400000, NULL, &error), ==, 400000);
  g_assert_cmpint (g_input_stream_skip (stream, 400000, NULL, &error), ==, 200000);
  g_assert_no_error (error);

  for (int i = 0; i < 3; i++)
    {
      const goffset offsets[] = { -1, 600001, G_MAXINT64 };

      g_assert_false (g_seekable_seek (seekable, offsets[i], G_SEEK_SET, NULL, &error));
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
      g_clear_error (&error);
    }
  g_assert_false (g_seekable_seek (seekable, G_MININT64, G_SEEK_CUR, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
  g_clear_error (&error);
  g_assert_false (g_seekable_truncate (seekable, 0, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED);
  g_assert_cmpint (g_seekable_tell (seekable), ==, 600000);
}

/* An open stream reads the old content whatever becomes of the item, and holds it. */
static void
test_holds (Fixture *fixture, gconstpointer data)
{
  for (guint i = 1; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autoptr (BsTrackedPath) tracked = track (fixture);
      g_autoptr (GBytes) bytes = make_test_bytes (sizes[i], i);
      g_autoptr (GBytes) other = make_test_bytes (10, i);
      g_autoptr (GInputStream) stream = NULL;
      g_autoptr (GBytes) read = NULL;
      g_autoptr (GError) error = NULL;
      g_autofree char *key = NULL;
      BsItem *item = insert_stream (fixture, bytes);
      guint8 byte;

      key = bs_item_dup_key (item);
      bs_item_persist (item, tracked, NULL, &error);
      g_assert_no_error (error);
      stream = open_item (item);
      g_assert_cmpint (g_input_stream_read (stream, &byte, 1, NULL, &error), ==, 1);
      bs_item_replace (item, other);
      assert_goes (item);
      bs_backing_store_delete_persisted (fixture->store, tracked, key, NULL, &error);
      g_assert_no_error (error);
      wait_finished (fixture);
      g_assert_true (has_key (fixture, key));

      g_assert_true (g_seekable_seek (G_SEEKABLE (stream), 0, G_SEEK_SET, NULL, &error));
      read = read_all (stream);
      g_assert_true (g_bytes_equal (read, bytes));

      g_input_stream_close (stream, NULL, &error);
      g_assert_no_error (error);
      wait_finished (fixture);
      g_assert_false (has_key (fixture, key));
    }
}

/* A stream keeps the pool and the store; the last of them goes with the stream. */
static void
test_outlives_pool (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GBytes) bytes = make_test_bytes (700000, 5);
  BsItem *item = insert_stream (fixture, bytes);
  GInputStream *stream = open_item (item);
  g_autoptr (GBytes) read = NULL;

  assert_goes (item);
  g_clear_object (&fixture->pool);
  read = read_all (stream);
  g_assert_true (g_bytes_equal (read, bytes));
  /* Closed by its end. */
  assert_goes (stream);
}

/* A content in memory is read from there, also one that was never written. */
static void
test_resident (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GBytes) bytes = make_test_bytes (5000, 1);
  g_autoptr (BsItem) item = bs_pool_insert (fixture->pool, bytes);
  g_autoptr (GFile) target = get_child (fixture, "target");
  g_autoptr (GInputStream) stream = open_item (item);
  g_autoptr (GBytes) read = NULL;
  g_autoptr (GError) error = NULL;

  bs_item_copy_to_file (item, target, NULL, &error);
  g_assert_no_error (error);
  assert_file_has (target, bytes);
  bs_backing_store_close (fixture->store, NULL, &error);
  g_assert_no_error (error);

  read = read_all (stream);
  g_assert_true (g_bytes_equal (read, bytes));
  g_assert_cmpuint (bs_fault_backing_get_count (fixture->fault, BS_OPERATION_WRITE), ==, 0);
  g_assert_cmpuint (bs_fault_backing_get_count (fixture->fault, BS_OPERATION_READ_STREAM), ==, 0);
}

static void
test_closed (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GBytes) bytes = make_test_bytes (700000, 1);
  g_autoptr (GFile) source = make_file (fixture, "source", bytes);
  g_autoptr (GFile) target = get_child (fixture, "target");
  g_autoptr (GInputStream) input = g_memory_input_stream_new_from_bytes (bytes);
  g_autoptr (BsItem) item = insert_stream (fixture, bytes);
  g_autoptr (GInputStream) stream = open_item (item);
  gboolean in_files = BS_IS_FILE_BACKING (bs_fault_backing_get_inner (fixture->fault));
  g_autoptr (GError) error = NULL;
  guint8 byte;

  bs_backing_store_close (fixture->store, NULL, &error);
  g_assert_no_error (error);

  g_assert_null (bs_pool_insert_file (fixture->pool, source, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_CLOSED);
  g_clear_error (&error);
  g_assert_null (bs_pool_insert_stream (fixture->pool, input, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_CLOSED);
  g_clear_error (&error);
  g_assert_cmpint (g_seekable_tell (G_SEEKABLE (input)), ==, 0);
  g_assert_null (bs_item_read (item, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_CLOSED);
  g_clear_error (&error);
  g_assert_false (bs_item_copy_to_file (item, target, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_CLOSED);
  g_clear_error (&error);
  g_assert_false (g_file_query_exists (target, NULL));

  /* Memory is at hand without the store. */
  g_assert_cmpint (g_input_stream_read (stream, &byte, 1, NULL, &error), ==, in_files ? -1 : 1);
  if (in_files)
    g_assert_error (error, BS_ERROR, BS_ERROR_CLOSED);
  g_clear_error (&error);
  g_assert_true (g_input_stream_close (stream, NULL, &error));
  g_assert_no_error (error);
}

/* A stream that fails, or calls out, when it has given so many bytes. */
#define TEST_TYPE_STREAM (test_stream_get_type ())
G_DECLARE_FINAL_TYPE (TestStream, test_stream, TEST, STREAM, GInputStream)

struct _TestStream
{
  GInputStream parent_instance;

  gsize n_left;
  void (*at_end) (gpointer data); /* then the stream ends; else it fails */
  gpointer data;
};

G_DEFINE_FINAL_TYPE (TestStream, test_stream, G_TYPE_INPUT_STREAM)

static gssize
test_stream_read (GInputStream *stream,
                  void *buffer,
                  gsize count,
                  GCancellable *cancellable,
                  GError **error)
{
  TestStream *self = TEST_STREAM (stream);

  if (g_cancellable_set_error_if_cancelled (cancellable, error))
    return -1;
  count = MIN (MIN (count, self->n_left), 10000);
  self->n_left -= count;
  memset (buffer, 'x', count);
  if (count > 0)
    return count;

  if (self->at_end != NULL)
    {
      self->at_end (self->data);
      return g_cancellable_set_error_if_cancelled (cancellable, error) ? -1 : 0;
    }

  g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED, "the line is dead");
  return -1;
}

static void
test_stream_class_init (TestStreamClass *klass)
{
  G_INPUT_STREAM_CLASS (klass)->read_fn = test_stream_read;
}

static void
test_stream_init (TestStream *self)
{
}

static GInputStream *
test_stream_new (gsize size, void (*at_end) (gpointer data), gpointer data)
{
  TestStream *self = g_object_new (TEST_TYPE_STREAM, NULL);

  self->n_left = size;
  self->at_end = at_end;
  self->data = data;

  return G_INPUT_STREAM (self);
}

/* The number of blobs that scratch has: as files, as far as they are any. */
static guint
count_scratch_files (Fixture *fixture)
{
  BsBacking *inner = bs_fault_backing_get_inner (fixture->fault);
  guint n = 0;

  if (BS_IS_FILE_BACKING (inner))
    {
      g_autofree char *path =
        g_file_get_path (bs_file_backing_get_directory (BS_FILE_BACKING (inner)));
      g_autofree char *command = g_strdup_printf ("find %s -mindepth 2 -type f", path);
      g_autofree char *output = NULL;

      g_assert_true (g_spawn_command_line_sync (command, &output, NULL, NULL, NULL));
      for (const char *at = output; *at != '\0'; at++)
        n += *at == '\n';
    }
  else if (GATE_IS_BACKING (inner))
    {
      n = gate_backing_get_n_primary (GATE_BACKING (inner));
    }

  return n;
}

static void
test_stream_fails (Fixture *fixture, gconstpointer data)
{
  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autoptr (GInputStream) stream = test_stream_new (sizes[i], NULL, NULL);
      GAsyncResult *result = NULL;
      g_autoptr (GError) error = NULL;

      g_assert_null (bs_pool_insert_stream (fixture->pool, stream, NULL, &error));
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED);
      g_assert_nonnull (strstr (error->message, "the line is dead"));
      g_clear_error (&error);

      bs_pool_insert_stream_async (fixture->pool, stream, G_PRIORITY_DEFAULT, NULL, store_result,
                                   &result);
      g_assert_null (bs_pool_insert_stream_finish (fixture->pool, wait_result (&result), &error));
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED);
      g_object_unref (result);

      wait_finished (fixture);
      g_assert_cmpuint (count_scratch_files (fixture), ==, 0);
      g_assert_cmpuint (bs_pool_get_n_items (fixture->pool), ==, 0);
    }
}

static void
cancel (gpointer cancellable)
{
  g_cancellable_cancel (cancellable);
}

/* Cancelled before, in the queue, in the backing, and in the middle of the stream. */
static void
test_cancel (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GBytes) bytes = make_test_bytes (700000, 1);
  g_autoptr (GFile) source = make_file (fixture, "source", bytes);
  g_autoptr (GFile) target = get_child (fixture, "target");
  g_autoptr (BsItem) item = insert_stream (fixture, bytes);

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autoptr (GCancellable) cancellable = g_cancellable_new ();
      g_autoptr (GInputStream) stream = test_stream_new (sizes[i], cancel, cancellable);
      g_autoptr (GError) error = NULL;

      g_assert_null (bs_pool_insert_stream (fixture->pool, stream, cancellable, &error));
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
      g_clear_error (&error);
      g_assert_null (bs_pool_insert_file (fixture->pool, source, cancellable, &error));
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
      g_clear_error (&error);
      g_assert_null (bs_item_read (item, cancellable, &error));
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
      g_clear_error (&error);
      g_assert_false (bs_item_copy_to_file (item, target, cancellable, &error));
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    }

  wait_finished (fixture);
  g_assert_false (g_file_query_exists (target, NULL));
  g_assert_cmpuint (count_names (fixture), ==, 1);
  g_assert_cmpuint (bs_pool_get_n_items (fixture->pool), ==, 1);
  g_assert_cmpuint (count_scratch_files (fixture), <=, 1);
}

static void
test_cancel_held (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GBytes) bytes = make_test_bytes (700000, 1);
  g_autoptr (GFile) source = make_file (fixture, "source", bytes);
  g_autoptr (GFile) target = get_child (fixture, "target");
  g_autoptr (BsItem) item = insert_stream (fixture, bytes);
  const BsOperation operations[] = { BS_OPERATION_WRITE_FILE, BS_OPERATION_READ_STREAM,
                                     BS_OPERATION_READ_STREAM };

  bs_backing_store_set_max_threads (fixture->store, 1);
  for (guint i = 0; i < 2 * G_N_ELEMENTS (operations); i++)
    {
      const BsOperation operation = operations[i / 2];
      g_autoptr (GCancellable) cancellable = g_cancellable_new ();
      guint n_before = bs_fault_backing_get_count (fixture->fault, operation);
      GAsyncResult *first = NULL, *result = NULL;
      g_autoptr (GError) error = NULL;
      gpointer answer = NULL;

      /* With an odd number the call waits behind another one, else in the backing. */
      bs_fault_backing_hold (fixture->fault, operation);
      if (i % 2 == 1 && i / 2 == 0)
        bs_pool_insert_file_async (fixture->pool, source, G_PRIORITY_DEFAULT, NULL, store_result,
                                   &first);
      else if (i % 2 == 1)
        bs_item_read_async (item, G_PRIORITY_DEFAULT, NULL, store_result, &first);

      if (i / 2 == 0)
        bs_pool_insert_file_async (fixture->pool, source, G_PRIORITY_DEFAULT, cancellable,
                                   store_result, &result);
      else if (i / 2 == 1)
        bs_item_read_async (item, G_PRIORITY_DEFAULT, cancellable, store_result, &result);
      else
        bs_item_copy_to_file_async (item, target, G_PRIORITY_DEFAULT, cancellable, store_result,
                                    &result);
      wait_until (bs_fault_backing_get_count (fixture->fault, operation) == n_before + 1);
      g_cancellable_cancel (cancellable);
      wait_result (&result);
      bs_fault_backing_release (fixture->fault, operation);
      if (i / 2 == 0)
        answer = bs_pool_insert_file_finish (fixture->pool, result, &error);
      else if (i / 2 == 1)
        answer = bs_item_read_finish (item, result, &error);
      else
        g_assert_false (bs_item_copy_to_file_finish (item, result, &error));
      g_assert_null (answer);
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);

      if (first != NULL || i % 2 == 1)
        wait_result (&first);
      g_clear_object (&first);
      g_object_unref (result);
    }

  wait_finished (fixture);
  g_assert_cmpuint (count_names (fixture), ==, 1);
}

/* A pipe into which nobody writes. */
static void
test_cancel_pipe (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GInputStream) stream = NULL;
  GAsyncResult *result = NULL;
  g_autoptr (GError) error = NULL;
  int n_left = 0;
  int fds[2];

  g_assert_cmpint (pipe (fds), ==, 0);
  stream = g_unix_input_stream_new (fds[0], TRUE);
  g_assert_cmpint (write (fds[1], "start", 5), ==, 5);
  bs_pool_insert_stream_async (fixture->pool, stream, G_PRIORITY_DEFAULT, cancellable, store_result,
                               &result);
  /* The first bytes are gone once the stream is being read. */
  do
    {
      g_thread_yield ();
      g_assert_cmpint (ioctl (fds[0], FIONREAD, &n_left), ==, 0);
    }
  while (n_left > 0);
  g_cancellable_cancel (cancellable);
  g_assert_null (bs_pool_insert_stream_finish (fixture->pool, wait_result (&result), &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);

  wait_finished (fixture);
  g_assert_cmpuint (count_scratch_files (fixture), ==, 0);
  g_object_unref (result);
  close (fds[1]);
}

static void
test_bad_sources (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GFile) missing = get_child (fixture, "missing");
  g_autoptr (GFile) pipe_file = get_child (fixture, "pipe");
  g_autoptr (GFile) folder = g_file_new_for_path (fixture->directory);
  g_autoptr (GFile) remote = g_file_new_for_uri ("nothing://at/all");
  g_autoptr (GFile) kernel = g_file_new_for_path ("/proc/self/status");
  g_autoptr (BsItem) item = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = NULL;

  g_assert_null (bs_pool_insert_file (fixture->pool, missing, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
  g_clear_error (&error);
  g_assert_null (bs_pool_insert_file (fixture->pool, folder, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_IS_DIRECTORY);
  g_clear_error (&error);
  g_assert_null (bs_pool_insert_file (fixture->pool, remote, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED);
  g_clear_error (&error);
  g_assert_cmpint (mkfifo (g_file_peek_path (pipe_file), 0600), ==, 0);
  g_assert_null (bs_pool_insert_file (fixture->pool, pipe_file, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_REGULAR_FILE);
  g_clear_error (&error);

  /* A file that says that it is empty. */
  item = bs_pool_insert_file (fixture->pool, kernel, NULL, &error);
  g_assert_no_error (error);
  bytes = bs_item_load (item, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (g_bytes_get_size (bytes), >, 100);

  wait_finished (fixture);
  g_assert_cmpuint (bs_pool_get_n_items (fixture->pool), ==, 1);
}

static void
test_backing_fails (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) full =
    g_error_new_literal (G_IO_ERROR, G_IO_ERROR_NO_SPACE, "the disk is full");
  g_autoptr (GBytes) bytes = make_test_bytes (700000, 1);
  g_autoptr (GFile) source = make_file (fixture, "source", bytes);
  g_autoptr (GFile) target = get_child (fixture, "target");
  g_autoptr (BsItem) item = insert_stream (fixture, bytes);
  g_autoptr (GInputStream) input = g_memory_input_stream_new_from_bytes (bytes);
  g_autoptr (GError) error = NULL;

  bs_fault_backing_fail (fixture->fault, BS_OPERATION_WRITE_FILE, NULL, 1, full);
  bs_fault_backing_fail (fixture->fault, BS_OPERATION_WRITE_STREAM, NULL, 1, full);
  bs_fault_backing_fail (fixture->fault, BS_OPERATION_READ_STREAM, NULL, 1, full);
  bs_fault_backing_fail (fixture->fault, BS_OPERATION_READ_STREAM, NULL, 2, full);

  g_assert_null (bs_pool_insert_file (fixture->pool, source, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  g_clear_error (&error);
  g_assert_null (bs_pool_insert_stream (fixture->pool, input, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  g_clear_error (&error);
  g_assert_null (bs_item_read (item, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  g_clear_error (&error);
  g_assert_false (bs_item_copy_to_file (item, target, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  g_assert_false (g_file_query_exists (target, NULL));

  assert_has (item, bytes);
}

static void
test_copy_targets (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GBytes) bytes = make_test_bytes (700000, 1);
  g_autoptr (GBytes) old = make_test_bytes (800000, 2);
  g_autoptr (BsItem) item = insert_stream (fixture, bytes);
  g_autoptr (GFile) target = make_file (fixture, "target", old);
  g_autoptr (GFile) link = get_child (fixture, "link");
  g_autoptr (GFile) folder = get_child (fixture, "folder");
  g_autoptr (GFile) fifo = get_child (fixture, "fifo");
  g_autoptr (GFile) nowhere = get_child (fixture, "no/where");
  g_autoptr (GFile) remote = g_file_new_for_uri ("nothing://at/all");
  g_autoptr (GError) error = NULL;
  struct stat status;

  /* The new file takes the permissions of the old one. */
  g_assert_cmpint (g_chmod (g_file_peek_path (target), 0640), ==, 0);
  bs_item_copy_to_file (item, target, NULL, &error);
  g_assert_no_error (error);
  assert_file_has (target, bytes);
  g_assert_cmpint (stat (g_file_peek_path (target), &status), ==, 0);
  g_assert_cmpuint (status.st_mode & 07777, ==, 0640);

  /* A link is replaced, and the file behind it stays. */
  g_assert_cmpint (symlink (g_file_peek_path (target), g_file_peek_path (link)), ==, 0);
  bs_item_copy_to_file (item, link, NULL, &error);
  g_assert_no_error (error);
  assert_file_has (link, bytes);
  g_assert_false (g_file_test (g_file_peek_path (link), G_FILE_TEST_IS_SYMLINK));

  g_assert_cmpint (g_mkdir (g_file_peek_path (folder), 0700), ==, 0);
  g_assert_false (bs_item_copy_to_file (item, folder, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_IS_DIRECTORY);
  g_assert_nonnull (strstr (error->message, g_file_peek_path (folder)));
  g_clear_error (&error);
  g_assert_cmpint (mkfifo (g_file_peek_path (fifo), 0600), ==, 0);
  g_assert_false (bs_item_copy_to_file (item, fifo, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_REGULAR_FILE);
  g_assert_nonnull (strstr (error->message, g_file_peek_path (fifo)));
  g_clear_error (&error);
  g_assert_false (bs_item_copy_to_file (item, nowhere, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
  g_clear_error (&error);
  g_assert_false (bs_item_copy_to_file (item, remote, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED);

  g_assert_cmpuint (count_names (fixture), ==, 4);
}

/* A bad file is noticed at its end, by who reads all of it. */
static void
test_corrupt (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsTrackedPath) tracked = track (fixture);
  g_autoptr (GBytes) bytes = make_test_bytes (700000, 1);
  g_autoptr (GFile) source = make_file (fixture, "source", bytes);
  g_autoptr (GInputStream) stream = NULL;
  g_autofree guint8 *buffer = g_malloc (700000);
  g_autofree char *key = NULL;
  g_auto (GStrv) parts = NULL;
  g_autofree char *digits = NULL;
  g_autofree char *name = NULL;
  g_autoptr (GError) error = NULL;
  struct timespec times[2];
  struct stat status;
  BsItem *item;
  gsize n_read;
  int fd;

  /* The kernel has copied it: the hash is that of the blob when it becomes permanent. */
  item = bs_pool_insert_file (fixture->pool, source, NULL, &error);
  g_assert_no_error (error);
  bs_item_persist (item, tracked, NULL, &error);
  g_assert_no_error (error);
  stream = open_item (item);
  g_input_stream_read_all (stream, buffer, 700000, &n_read, NULL, &error);
  g_assert_no_error (error);

  key = bs_item_dup_key (item);
  parts = g_strsplit (key, "-", -1);
  digits = g_strjoinv ("", parts);
  name = g_strdup_printf ("%s/%.2s/%s", g_file_peek_path (fixture->path), digits, digits);
  fd = g_open (name, O_RDWR | O_CLOEXEC, 0);
  g_assert_cmpint (fd, >=, 0);
  g_assert_cmpint (fstat (fd, &status), ==, 0);
  if (status.st_nlink == 1)
    {
      g_test_skip ("Scratch is on another file system, so that the blob is another file there");
      close (fd);
      g_object_unref (item);
      return;
    }
  g_assert_cmpint (pwrite (fd, "!", 1, 5), ==, 1);
  times[0] = status.st_atim;
  times[1] = status.st_mtim;
  g_assert_cmpint (futimens (fd, times), ==, 0);
  close (fd);

  g_seekable_seek (G_SEEKABLE (stream), 0, G_SEEK_SET, NULL, &error);
  g_assert_no_error (error);
  g_assert_false (g_input_stream_read_all (stream, buffer, 700000, &n_read, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_CORRUPT);
  g_clear_error (&error);
  /* A part has no hash. */
  g_seekable_seek (G_SEEKABLE (stream), 1000, G_SEEK_SET, NULL, &error);
  g_input_stream_read_all (stream, buffer, 600000, &n_read, NULL, &error);
  g_assert_no_error (error);

  g_object_unref (item);
}

/* Cuts the file and fills it again, until told to stop. */
typedef struct
{
  const char *path;
  int stop; /* atomic */
} Scribbler;

static gpointer
scribble (gpointer data)
{
  Scribbler *self = data;
  int fd = g_open (self->path, O_RDWR | O_CLOEXEC, 0);
  g_autofree char *noise = g_malloc (1 << 20);

  for (char letter = 'a'; !g_atomic_int_get (&self->stop); letter++)
    {
      memset (noise, letter, 1 << 20);
      g_assert_cmpint (ftruncate (fd, 600000), ==, 0);
      for (int i = 0; i < 8; i++)
        g_assert_cmpint (pwrite (fd, noise, 1 << 20, i << 20), ==, 1 << 20);
    }
  close (fd);

  return NULL;
}

/* The blob is what was stored, whatever the file becomes while it is read. */
static void
test_source_changes (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsTrackedPath) tracked = track (fixture);
  g_autoptr (GBytes) bytes = make_test_bytes (8 << 20, 1);
  g_autoptr (GFile) source = make_file (fixture, "source", bytes);
  Scribbler scribbler = { g_file_peek_path (source), FALSE };
  g_autoptr (BsVerify) verify = bs_verify_new (fixture->store, tracked);
  GThread *thread = g_thread_new ("scribbler", scribble, &scribbler);
  g_autoptr (GPtrArray) items = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < 10; i++)
    {
      g_ptr_array_add (items, bs_pool_insert_file (fixture->pool, source, NULL, &error));
      g_assert_no_error (error);
      bs_item_persist (items->pdata[i], tracked, NULL, &error);
      g_assert_no_error (error);
    }
  g_atomic_int_set (&scribbler.stop, TRUE);
  g_thread_join (thread);

  bs_verify_run (verify, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (bs_tracked_path_get_n_keys (tracked), ==, items->len);
  for (guint i = 0; i < items->len; i++)
    {
      g_autoptr (GBytes) loaded = bs_item_load (items->pdata[i], NULL, &error);

      g_assert_no_error (error);
      g_assert_cmpuint (g_bytes_get_size (loaded), ==, bs_item_get_size (items->pdata[i]));
      assert_has (items->pdata[i], loaded);
    }
}

/* A save takes what was inserted, and what is open stays readable beside it. */
static void
test_save (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsTrackedPath) tracked = track (fixture);
  g_autoptr (GBytes) bytes = make_test_bytes (900000, 1);
  g_autoptr (BsItem) item = insert_stream (fixture, bytes);
  g_autoptr (GInputStream) stream = open_item (item);
  g_autoptr (BsSave) save = bs_save_new (fixture->store, tracked);
  g_autoptr (GBytes) root = g_bytes_new_static ("root", 4);
  g_autoptr (GBytes) read = NULL;
  g_autoptr (GError) error = NULL;

  bs_save_add_item (save, item);
  bs_save_set_root (save, root);
  bs_save_run (save, NULL, &error);
  g_assert_no_error (error);
  read = read_all (stream);
  g_assert_true (g_bytes_equal (read, bytes));
  g_assert_cmpuint (bs_tracked_path_get_n_keys (tracked), ==, 1);
}

/* A close ends what would only have opened a stream, and finishes an insertion. */
static void
test_close_meanwhile (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GBytes) bytes = make_test_bytes (700000, 1);
  g_autoptr (GFile) source = make_file (fixture, "source", bytes);
  g_autoptr (GFile) target = get_child (fixture, "target");
  g_autoptr (BsItem) item = insert_stream (fixture, bytes);
  g_autoptr (BsItem) inserted = NULL;
  GAsyncResult *insertion = NULL, *opening = NULL, *copying = NULL, *closing = NULL;
  g_autoptr (GError) error = NULL;
  guint n_opened = bs_fault_backing_get_count (fixture->fault, BS_OPERATION_READ_STREAM);

  bs_fault_backing_hold (fixture->fault, BS_OPERATION_WRITE_FILE);
  bs_fault_backing_hold (fixture->fault, BS_OPERATION_READ_STREAM);
  bs_backing_store_set_max_threads (fixture->store, 2);
  bs_pool_insert_file_async (fixture->pool, source, G_PRIORITY_DEFAULT, NULL, store_result,
                             &insertion);
  bs_item_read_async (item, G_PRIORITY_DEFAULT, NULL, store_result, &opening);
  bs_item_copy_to_file_async (item, target, G_PRIORITY_DEFAULT, NULL, store_result, &copying);
  wait_until (bs_fault_backing_get_count (fixture->fault, BS_OPERATION_READ_STREAM) > n_opened);
  wait_until (bs_fault_backing_get_count (fixture->fault, BS_OPERATION_WRITE_FILE) > 0);

  bs_backing_store_close_async (fixture->store, G_PRIORITY_DEFAULT, NULL, store_result, &closing);
  g_assert_null (bs_item_read_finish (item, wait_result (&opening), &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_CLOSED);
  g_clear_error (&error);
  g_assert_false (bs_item_copy_to_file_finish (item, wait_result (&copying), &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_CLOSED);
  g_clear_error (&error);
  g_assert_null (closing);

  bs_fault_backing_clear (fixture->fault);
  inserted = bs_pool_insert_file_finish (fixture->pool, wait_result (&insertion), &error);
  g_assert_no_error (error);
  g_assert_true (bs_backing_store_close_finish (fixture->store, wait_result (&closing), &error));
  g_assert_false (g_file_query_exists (target, NULL));

  g_object_unref (insertion);
  g_object_unref (opening);
  g_object_unref (copying);
  g_object_unref (closing);
}

/* Streams of one item are apart, and their reads run beside each other and others. */
static void
test_several (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GBytes) bytes = make_test_bytes (700000, 1);
  g_autoptr (BsItem) item = insert_stream (fixture, bytes);
  GAsyncResult *results[3] = { NULL };
  GInputStream *streams[3];
  g_autoptr (GError) error = NULL;

  bs_fault_backing_hold (fixture->fault, BS_OPERATION_READ_STREAM);
  for (guint i = 0; i < G_N_ELEMENTS (streams); i++)
    bs_item_read_async (item, G_PRIORITY_DEFAULT, NULL, store_result, &results[i]);
  bs_fault_backing_release (fixture->fault, BS_OPERATION_READ_STREAM);
  for (guint i = 0; i < G_N_ELEMENTS (streams); i++)
    {
      streams[i] = bs_item_read_finish (item, wait_result (&results[i]), &error);
      g_assert_no_error (error);
      g_object_unref (results[i]);
      g_seekable_seek (G_SEEKABLE (streams[i]), i * 1000, G_SEEK_SET, NULL, &error);
      g_assert_no_error (error);
    }

  for (guint i = 0; i < G_N_ELEMENTS (streams); i++)
    {
      g_autoptr (GBytes) rest = g_bytes_new_from_bytes (bytes, i * 1000, 700000 - i * 1000);
      g_autoptr (GBytes) read = read_all (streams[i]);

      g_assert_true (g_bytes_equal (rest, read));
      g_object_unref (streams[i]);
    }
}

/* A stream of the store goes back into it, as another blob. */
static void
test_copy (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GBytes) bytes = make_test_bytes (700000, 1);
  g_autoptr (BsItem) item = insert_stream (fixture, bytes);
  g_autoptr (GInputStream) stream = open_item (item);
  g_autoptr (BsItem) copy = NULL;
  GAsyncResult *result = NULL;
  g_autoptr (GError) error = NULL;

  bs_backing_store_set_max_threads (fixture->store, 1);
  copy = bs_pool_insert_stream (fixture->pool, stream, NULL, &error);
  g_assert_no_error (error);
  assert_has (copy, bytes);

  g_clear_object (&copy);
  g_seekable_seek (G_SEEKABLE (stream), 0, G_SEEK_SET, NULL, &error);
  bs_pool_insert_stream_async (fixture->pool, stream, G_PRIORITY_DEFAULT, NULL, store_result,
                               &result);
  copy = bs_pool_insert_stream_finish (fixture->pool, wait_result (&result), &error);
  g_assert_no_error (error);
  assert_has (copy, bytes);
  g_object_unref (result);
}

/* Where the store has a main context its thread reads, blocking or not, while others wait
 * for it. */
typedef struct
{
  GInputStream *stream;
  int done; /* atomic */
} Reader;

static gpointer
read_in_thread (gpointer data)
{
  Reader *self = data;
  GBytes *bytes = read_all (self->stream);

  g_atomic_int_set (&self->done, TRUE);
  return bytes;
}

static void
test_main_context (void)
{
  g_autoptr (GBytes) bytes = make_test_bytes (700000, 1);
  g_autoptr (GBytes) read = NULL;
  g_autoptr (GBytes) read_elsewhere = NULL;
  GAsyncResult *result = NULL;
  guint8 buffer[10];
  g_autoptr (GError) error = NULL;
  Reader reader = { NULL, FALSE };
  GInputStream *stream;
  Fixture fixture;
  GThread *thread;
  BsItem *item;

  set_up_in_context (&fixture, make_files, g_main_context_default ());
  item = insert_stream (&fixture, bytes);
  stream = open_item (item);
  read = read_all (stream);
  g_assert_true (g_bytes_equal (read, bytes));

  g_seekable_seek (G_SEEKABLE (stream), 10, G_SEEK_SET, NULL, &error);
  g_input_stream_read_async (stream, buffer, sizeof buffer, G_PRIORITY_DEFAULT, NULL, store_result,
                             &result);
  g_assert_null (result);
  g_assert_cmpint (g_input_stream_read_finish (stream, wait_result (&result), &error), ==, 10);
  g_assert_no_error (error);
  g_object_unref (result);

  g_seekable_seek (G_SEEKABLE (stream), 0, G_SEEK_SET, NULL, &error);
  reader.stream = stream;
  thread = g_thread_new ("reader", read_in_thread, &reader);
  wait_until (g_atomic_int_get (&reader.done));
  read_elsewhere = g_thread_join (thread);
  g_assert_true (g_bytes_equal (read_elsewhere, bytes));

  g_object_unref (stream);
  g_object_unref (item);
  tear_down (&fixture, NULL);
}

/* A blocking read from inside a function of the backing could only wait for itself. */
static void
read_in_hook (GateBacking *self, BsOperation operation, const char *key, gpointer data)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (bs_item_read (data, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
}

static void
test_inside (Fixture *fixture, gconstpointer data)
{
  GateBacking *gates = GATE_BACKING (bs_fault_backing_get_inner (fixture->fault));
  g_autoptr (GBytes) bytes = make_test_bytes (10, 1);
  g_autoptr (BsItem) item = insert_stream (fixture, bytes);
  g_autoptr (BsItem) other = bs_pool_insert (fixture->pool, bytes);
  g_autoptr (GError) error = NULL;

  gate_backing_set_hook (gates, BS_OPERATION_WRITE, GATE_BEFORE, read_in_hook, item);
  bs_item_write (other, NULL, &error);
  g_assert_no_error (error);
  gate_backing_clear (gates);
}

#define add_files(name, function)                                                                  \
  g_test_add ("/streams/" name "/files", Fixture, &files, set_up, function, tear_down)
#define add_plain(name, function)                                                                  \
  g_test_add ("/streams/" name "/plain", Fixture, &plain, set_up, function, tear_down)
#define add_all(name, function)                                                                    \
  G_STMT_START                                                                                     \
  {                                                                                                \
    add_files (name, function);                                                                    \
    g_test_add ("/streams/" name "/memory", Fixture, &memory, set_up, function, tear_down);        \
    add_plain (name, function);                                                                    \
  }                                                                                                \
  G_STMT_END

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_all ("round-trip", test_round_trip);
  add_all ("async", test_async);
  add_all ("seek", test_seek);
  add_all ("holds", test_holds);
  add_files ("outlives-pool", test_outlives_pool);
  add_all ("resident", test_resident);
  add_all ("closed", test_closed);
  add_all ("stream-fails", test_stream_fails);
  add_all ("cancel", test_cancel);
  add_all ("cancel-held", test_cancel_held);
  add_all ("cancel-pipe", test_cancel_pipe);
  add_all ("bad-sources", test_bad_sources);
  add_all ("backing-fails", test_backing_fails);
  add_all ("copy-targets", test_copy_targets);
  add_files ("corrupt", test_corrupt);
  add_files ("source-changes", test_source_changes);
  add_all ("save", test_save);
  add_all ("close-meanwhile", test_close_meanwhile);
  add_all ("several", test_several);
  add_all ("copy", test_copy);
  add_plain ("inside", test_inside);
  g_test_add_func ("/streams/main-context", test_main_context);

  return g_test_run ();
}
