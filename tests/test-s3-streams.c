/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* Contents in the engine "s3:" that go in parts, and never whole in memory; and many blobs
 * that go side by side. Tests that need no favour of the server are tried at gofakes3 too,
 * and with -m slow at Ceph. */

#include "peak.h"
#include "s3-fixture.h"
#include "waiting.h"

#include <fcntl.h>
#include <gio/gunixinputstream.h>
#include <gio/gunixoutputstream.h>
#include <glib/gstdio.h>
#include <malloc.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB G_GINT64_CONSTANT (1048576)
/* More than one part goes out, and several come in. */
#define LARGE (gsize) (20 * MIB + 123)
#define MAX_MEMORY (32 * MIB)
/* A copy that a server refuses since it takes more than one request, as above 5 GiB. */
#define TOO_LARGE "{\"fault\": \"400\", \"method\": \"COPY\"}"
/* Seconds: more than any test takes. */
#define LEASE 400
#define PARAMETERS "&cache-size=1&lease=" G_STRINGIFY (LEASE)

static char *
persist_large (Fixture *fixture, GBytes *bytes)
{
  g_autoptr (GError) error = NULL;
  char *key = write_streamed (fixture->backing, bytes);

  bs_backing_persist (fixture->backing, fixture->path, key, NULL, &error);
  g_assert_no_error (error);

  return key;
}

static GInputStream *
open_stream (Fixture *fixture, const char *key)
{
  g_autoptr (GError) error = NULL;
  GInputStream *stream = bs_backing_read_stream (fixture->backing, key, NULL, &error);

  g_assert_no_error (error);
  return stream;
}

static void
assert_reads_from (GInputStream *stream, goffset from, GBytes *expected)
{
  gsize size = g_bytes_get_size (expected);
  const guint8 *data = g_bytes_get_data (expected, NULL);
  g_autofree guint8 *read = g_malloc (size + 1);
  g_autoptr (GError) error = NULL;
  gsize n_read;

  g_seekable_seek (G_SEEKABLE (stream), from, G_SEEK_SET, NULL, &error);
  g_assert_no_error (error);
  g_input_stream_read_all (stream, read, size + 1, &n_read, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpmem (read, n_read, data + from, size - from);
}

static int
count_objects (Fixture *fixture)
{
  g_autofree char *answer = server_tell (&fixture->server, "[]");
  g_autofree char *name = g_file_get_basename (fixture->path);
  g_autofree char *prefix = g_strdup_printf ("top/%s/", name);
  int n = 0;

  for (const char *c = answer; (c = strstr (c, prefix)) != NULL; c++)
    n++;
  return n;
}

/* Out in parts and in by ranges. */
static void
test_parts (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GBytes) bytes = make_test_bytes (LARGE, 1);
  g_autoptr (GInputStream) stream = NULL;
  g_autofree char *key = NULL;

  track (fixture->backing, fixture->path);
  key = persist_large (fixture, bytes);
  g_assert_cmpint (server_count (&fixture->server, "PART"), ==, 5);

  server_do (&fixture->server, "[{\"clear\": true}]");
  stream = open_stream (fixture, key);
  g_assert_cmpint (server_count (&fixture->server, "GET"), ==, 1);
  assert_reads_from (stream, 0, bytes);
  g_assert_cmpint (server_count (&fixture->server, "GET"), ==, 6);
  assert_reads_from (stream, LARGE - 5, bytes);
  g_assert_cmpint (server_count (&fixture->server, "GET"), ==, 6);
  assert_reads_from (stream, 5 * MIB + 1, bytes);
  assert_reads_from (stream, LARGE, bytes);
}

static void
test_no_ranges (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GBytes) bytes = make_test_bytes (LARGE, 1);
  g_autoptr (GInputStream) stream = NULL;
  g_autofree char *key = NULL;

  track (fixture->backing, fixture->path);
  key = persist_large (fixture, bytes);
  server_do (&fixture->server, "[{\"quirk\": \"ignores-ranges\", \"value\": true}]");
  stream = open_stream (fixture, key);
  assert_reads_from (stream, 5 * MIB + 1, bytes);
  assert_reads_from (stream, 0, bytes);
}

/* A part of another range is none of the content; and a range that the server does not know
 * says nothing of its length. */
static void
test_other_ranges (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GBytes) bytes = make_test_bytes (LARGE, 1);
  g_autoptr (GInputStream) stream = NULL;
  g_autoptr (GInputStream) whole = NULL;
  g_autofree char *key = NULL;
  g_autoptr (GError) error = NULL;
  guint8 read[10];
  gsize n_read;

  track (fixture->backing, fixture->path);
  key = persist_large (fixture, bytes);
  stream = open_stream (fixture, key);
  server_do (&fixture->server, "[{\"quirk\": \"shifts-ranges\", \"value\": 1000}]");
  g_seekable_seek (G_SEEKABLE (stream), 9 * MIB, G_SEEK_SET, NULL, &error);
  g_assert_no_error (error);
  g_assert_false (g_input_stream_read_all (stream, read, sizeof read, &n_read, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_CORRUPT);

  server_do (&fixture->server, "[{\"clear\": true}, {\"fault\": \"416 InvalidRange\", "
                               "\"method\": \"GET\"}]");
  whole = open_stream (fixture, key);
  assert_reads_from (whole, 0, bytes);
}

/* Each request for a part may fail. */
static void
test_faults (Fixture *fixture, gconstpointer data)
{
  static const char *const faults[] = { "503", "reset-before", "reset-after", "truncate" };
  g_autoptr (GBytes) bytes = make_test_bytes (LARGE, 1);
  g_autofree char *key = NULL;

  track (fixture->backing, fixture->path);
  key = persist_large (fixture, bytes);
  for (guint i = 0; i < G_N_ELEMENTS (faults); i++)
    {
      g_autoptr (GInputStream) stream = NULL;

      server_do (&fixture->server,
                 "[{\"clear\": true}, {\"fault\": \"%s\", \"method\": \"GET\", \"nth\": %u}]",
                 faults[i], i % 3 + 1);
      stream = open_stream (fixture, key);
      assert_reads_from (stream, 0, bytes);
      g_assert_cmpint (server_count (&fixture->server, "hit"), ==, 1);
    }
  for (guint i = tests_are_whole () ? 0 : 2; i < 3; i++)
    {
      g_autofree char *other = NULL;

      server_do (&fixture->server,
                 "[{\"clear\": true}, {\"fault\": \"%s\", \"method\": \"PART\", \"nth\": %u}]",
                 faults[i], i + 2);
      other = persist_large (fixture, bytes);
      assert_reads (fixture->backing, other, bytes);
    }
  g_assert_cmpint (server_count (&fixture->server, "uploads"), ==, 0);
}

static char *
name_object (const char *key)
{
  g_auto (GStrv) parts = g_strsplit (key, "-", -1);
  g_autofree char *hex = g_strjoinv ("", parts);

  return g_strdup_printf ("top/document/%.2s/%s", hex, hex);
}

/* The hash tells at the end. */
static void
test_corrupt (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GBytes) bytes = make_test_bytes (LARGE, 1);
  g_autofree char *key = NULL;
  g_autofree char *object = NULL;
  g_autofree guint8 *read = g_malloc (LARGE);
  g_autoptr (GInputStream) stream = NULL;
  g_autoptr (GError) error = NULL;
  gsize n_read;

  track (fixture->backing, fixture->path);
  key = persist_large (fixture, bytes);
  bs_backing_verify_persisted (fixture->backing, fixture->path, key, NULL, &error);
  g_assert_no_error (error);

  object = name_object (key);
  server_do (&fixture->server, "[{\"spoil\": \"%s\"}]", object);
  stream = open_stream (fixture, key);
  g_assert_false (g_input_stream_read_all (stream, read, LARGE, &n_read, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_CORRUPT);
  g_clear_error (&error);
  g_assert_false (bs_backing_verify_persisted (fixture->backing, fixture->path, key, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_CORRUPT);
  g_assert_cmpuint (count_keys (fixture->backing, fixture->path), ==, 0);
}

/* A content that does not fit into memory as bytes is an error at once, and no abort. */
static void
test_too_large (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GBytes) bytes = make_test_bytes (4 * LARGE, 1);
  g_autofree char *key = NULL;
  g_autoptr (GError) error = NULL;
  struct rlimit old, limit;

  if (!peak_is_ours ())
    {
      g_test_skip ("a sanitizer needs the room of addresses for itself");
      return;
    }

  track (fixture->backing, fixture->path);
  key = persist_large (fixture, bytes);
  server_do (&fixture->server, "[{\"clear\": true}]");
  g_assert_cmpint (getrlimit (RLIMIT_AS, &old), ==, 0);
  limit = old;
  limit.rlim_cur = read_status ("VmSize:") + 2 * LARGE;
  g_assert_cmpint (setrlimit (RLIMIT_AS, &limit), ==, 0);
  g_assert_null (bs_backing_read (fixture->backing, key, NULL, &error));
  g_assert_cmpint (setrlimit (RLIMIT_AS, &old), ==, 0);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  g_assert_cmpint (server_count (&fixture->server, "GET"), ==, 1);
}

/* An object that is gone is not found by its verification, whatever the cache has. */
static void
test_gone (Fixture *fixture, gconstpointer data)
{
  g_autofree char *key = NULL;
  g_autofree char *object = NULL;
  g_autoptr (GError) error = NULL;

  track (fixture->backing, fixture->path);
  key = persist_new (fixture->backing, fixture->path, 5000, 1);
  g_bytes_unref (bs_backing_read (fixture->backing, key, NULL, NULL));
  object = name_object (key);
  server_do (&fixture->server, "[{\"remove\": \"%s\"}]", object);
  g_assert_false (bs_backing_verify_persisted (fixture->backing, fixture->path, key, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_NOT_FOUND);
}

/* The object goes while it is read: the blob was brought home before. */
static void
test_deleted (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GBytes) bytes = make_test_bytes (LARGE, 1);
  g_autoptr (GInputStream) stream = NULL;
  g_autofree guint8 *start = g_malloc (1000);
  g_autofree char *key = NULL;
  g_autoptr (GError) error = NULL;
  gsize n_read;

  track (fixture->backing, fixture->path);
  key = persist_large (fixture, bytes);
  stream = open_stream (fixture, key);
  g_input_stream_read_all (stream, start, 1000, &n_read, NULL, &error);
  g_assert_no_error (error);
  bs_backing_delete_persisted (fixture->backing, fixture->path, key, NULL, &error);
  g_assert_no_error (error);

  assert_reads_from (stream, 1000, bytes);
  assert_reads_from (stream, 0, bytes);
  assert_reads (fixture->backing, key, bytes);
}

/* From one document to another, whose release leaves the blob readable. */
static void
test_two_documents (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GBytes) bytes = make_test_bytes (LARGE, 1);
  g_autoptr (GBytes) small = make_test_bytes (100, 2);
  g_autoptr (GFile) other = make_path ("other");
  g_autofree char *key = NULL;
  g_autofree char *second = NULL;
  g_autoptr (GError) error = NULL;

  track (fixture->backing, fixture->path);
  track (fixture->backing, other);
  key = persist_large (fixture, bytes);
  second = persist_large (fixture, small);
  bs_backing_persist (fixture->backing, other, key, NULL, &error);
  g_assert_no_error (error);
  bs_backing_verify_persisted (fixture->backing, other, key, NULL, &error);
  g_assert_no_error (error);

  bs_backing_release_path (fixture->backing, fixture->path, NULL, &error);
  g_assert_no_error (error);
  bs_backing_release_path (fixture->backing, other, NULL, &error);
  g_assert_no_error (error);
  assert_reads (fixture->backing, key, bytes);
  assert_reads (fixture->backing, second, small);
}

/* A program that was killed in the middle leaves an upload, and the next one removes it once
 * it is older than a lease, by the server's clock. */
static void
test_leftovers (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GBytes) bytes = make_test_bytes (LARGE, 1);
  g_autoptr (GError) error = NULL;
  g_autofree char *key = NULL;
  g_autofree char *other = NULL;

  track (fixture->backing, fixture->path);
  key = write_streamed (fixture->backing, bytes);
  server_do (&fixture->server, "[{\"fault\": \"403\", \"method\": \"PART\", \"nth\": 3},"
                               " {\"fault\": \"403\", \"method\": \"DELETE\", \"times\": 1000}]");
  g_assert_false (bs_backing_persist (fixture->backing, fixture->path, key, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);
  g_clear_error (&error);
  server_do (&fixture->server, "[{\"clear\": true}]");
  bs_backing_release_path (fixture->backing, fixture->path, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (server_count (&fixture->server, "uploads"), ==, 1);

  track (fixture->backing, fixture->path);
  g_assert_cmpint (server_count (&fixture->server, "uploads"), ==, 1);
  bs_backing_release_path (fixture->backing, fixture->path, NULL, &error);
  g_assert_no_error (error);

  server_do (&fixture->server, "[{\"advance\": %d}]", LEASE + 1);
  g_object_set (fixture->backing, "read-only", TRUE, NULL);
  track (fixture->backing, fixture->path);
  g_assert_cmpint (server_count (&fixture->server, "uploads"), ==, 1);
  bs_backing_release_path (fixture->backing, fixture->path, NULL, &error);
  g_assert_no_error (error);

  g_object_set (fixture->backing, "read-only", FALSE, NULL);
  track (fixture->backing, fixture->path);
  g_assert_cmpint (server_count (&fixture->server, "uploads"), ==, 0);
  other = persist_large (fixture, bytes);
  assert_reads (fixture->backing, other, bytes);
}

/* A server lists so many uploads at a time: all pages are looked at, and those of others stay. */
static void
test_many_leftovers (Fixture *fixture, gconstpointer data)
{
  static const char *const others[] = { "top/document/ab/another", "top/document/other",
                                        "top/documents/another" };

  for (guint i = 0; i < 7; i++)
    {
      g_autofree char *key = bs_key_generate ();
      g_autofree char *object = name_object (key);

      server_do (&fixture->server, "[{\"begin\": \"%s\"}, {\"begin\": \"%s\"}]", object, object);
    }
  for (guint i = 0; i < G_N_ELEMENTS (others); i++)
    server_do (&fixture->server, "[{\"begin\": \"%s\"}]", others[i]);
  server_do (&fixture->server, "[{\"advance\": %d}, {\"quirk\": \"page\", \"value\": 3}]",
             LEASE + 1);
  track (fixture->backing, fixture->path);
  g_assert_cmpint (server_count (&fixture->server, "uploads"), ==, G_N_ELEMENTS (others));
  g_assert_cmpint (server_count (&fixture->server, "UPLOADS"), ==, 6);
}

/* As a program leaves a blob that is killed before its save, and the next one finds it. */
static char *
leave_large (Fixture *fixture, GBytes *bytes)
{
  g_autoptr (GError) error = NULL;
  char *key = persist_large (fixture, bytes);

  bs_backing_release_path (fixture->backing, fixture->path, NULL, &error);
  g_assert_no_error (error);
  track (fixture->backing, fixture->path);
  return key;
}

/* The next save names the blob: its object gets another name. */
static void
save_left (Fixture *fixture, const char *commands, int n_parts)
{
  g_autoptr (GBytes) bytes = make_test_bytes (LARGE, 1);
  g_autoptr (GError) error = NULL;
  g_autofree char *key = NULL;

  track (fixture->backing, fixture->path);
  key = leave_large (fixture, bytes);
  server_do (&fixture->server, "[{\"clear\": true}, %s]", commands);
  save (fixture->backing, fixture->path, "root", &error, key, NULL);
  g_assert_no_error (error);
  g_assert_cmpint (server_count (&fixture->server, "COPY"), ==, 1);
  g_assert_cmpint (server_count (&fixture->server, "PART"), ==, n_parts);
  g_assert_cmpint (server_count (&fixture->server, "uploads"), ==, 0);
  /* The marker, the lock, the root and the blob, under one name. */
  g_assert_cmpint (count_objects (fixture), ==, 4);
  bs_backing_verify_persisted (fixture->backing, fixture->path, key, NULL, &error);
  g_assert_no_error (error);
  assert_reads (fixture->backing, key, bytes);
}

/* Within the server, in parts where the object is too large for one request. */
static void
test_copied (Fixture *fixture, gconstpointer data)
{
  save_left (fixture, TOO_LARGE, 3);
}

/* By this machine where the server copies no parts: what has begun is given up. */
static void
test_copied_here (Fixture *fixture, gconstpointer data)
{
  save_left (fixture, TOO_LARGE, 2 + 5);
}

/* A server may take the request for a part without contents. */
static void
test_copied_empty (Fixture *fixture, gconstpointer data)
{
  save_left (fixture, TOO_LARGE ", {\"quirk\": \"copies-no-parts\", \"value\": true}", 2 + 5);
}

/* A copy that goes by this machine has no part of another range. */
static void
test_other_ranges_copied (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GBytes) bytes = make_test_bytes (LARGE, 1);
  g_autoptr (GError) error = NULL;
  g_autofree char *key = NULL;

  track (fixture->backing, fixture->path);
  key = leave_large (fixture, bytes);
  server_do (&fixture->server, "[" TOO_LARGE ", {\"quirk\": \"copies-no-parts\", \"value\": true}, "
                               "{\"quirk\": \"shifts-ranges\", \"value\": 1000}]");
  g_assert_false (save (fixture->backing, fixture->path, "root", &error, key, NULL));
  g_assert_error (error, BS_ERROR, BS_ERROR_NOT_SUPPORTED);
}

/* A copy that is refused for another reason leaves nothing behind. */
static void
test_not_copied (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GBytes) bytes = make_test_bytes (LARGE, 1);
  g_autoptr (GError) error = NULL;
  g_autofree char *key = NULL;

  track (fixture->backing, fixture->path);
  key = leave_large (fixture, bytes);
  server_do (&fixture->server, "[{\"clear\": true}, " TOO_LARGE ","
                               " {\"fault\": \"403\", \"method\": \"PART\", \"nth\": 2}]");
  g_assert_false (save (fixture->backing, fixture->path, "root", &error, key, NULL));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);
  g_assert_cmpint (server_count (&fixture->server, "uploads"), ==, 0);
}

/* Keys of which every second one is in primary storage already. */
typedef struct
{
  GPtrArray *strings;
  BsKeySet *keys;
  GHashTable *contents;
} Many;

static void
many_init (Many *self, Fixture *fixture, guint n)
{
  self->strings = g_ptr_array_new_with_free_func (g_free);
  self->keys = bs_key_set_new ();
  self->contents =
    g_hash_table_new_full (g_str_hash, g_str_equal, NULL, (GDestroyNotify) g_bytes_unref);
  for (guint i = 0; i < n; i++)
    {
      g_autoptr (GBytes) bytes = make_test_bytes (i * 100, i);
      char *key = i % 2 == 0 ? write_new (fixture->backing, bytes) : bs_key_generate ();

      g_ptr_array_add (self->strings, key);
      bs_key_set_add (self->keys, key, NULL);
      if (i % 2 == 1)
        g_hash_table_insert (self->contents, key, g_bytes_ref (bytes));
    }
}

static void
many_clear (Many *self)
{
  g_hash_table_unref (self->contents);
  g_object_unref (self->keys);
  g_ptr_array_unref (self->strings);
}

static void
many_persist (Many *self, Fixture *fixture, GCancellable *cancellable, GError **error)
{
  bs_backing_persist_keys (fixture->backing, fixture->path, self->keys, self->contents, cancellable,
                           error);
}

static void
many_assert_reads (Many *self, Fixture *fixture)
{
  for (guint i = 0; i < self->strings->len; i++)
    {
      g_autoptr (GBytes) bytes = make_test_bytes (i * 100, i);

      assert_reads (fixture->backing, self->strings->pdata[i], bytes);
    }
}

static void
test_many (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  Many many;

  track (fixture->backing, fixture->path);
  many_init (&many, fixture, 50);
  for (guint i = 0; i < 2; i++)
    {
      many_persist (&many, fixture, NULL, &error);
      g_assert_no_error (error);
      g_assert_cmpuint (count_keys (fixture->backing, fixture->path), ==, 50);
    }
  many_assert_reads (&many, fixture);

  for (guint i = 0; i < many.strings->len; i++)
    bs_backing_delete_key (fixture->backing, many.strings->pdata[i], NULL, NULL);
  bs_backing_register_keys (fixture->backing, fixture->path, many.keys, NULL, &error);
  g_assert_no_error (error);
  many_assert_reads (&many, fixture);
  many_clear (&many);
}

/* A failure leaves blobs whole or absent, and may be repeated under no second name. */
static void
test_many_fail (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  Many many;

  track (fixture->backing, fixture->path);
  many_init (&many, fixture, 50);
  server_do (&fixture->server, "[{\"fault\": \"403\", \"method\": \"PUT\", \"nth\": 20}]");
  many_persist (&many, fixture, NULL, &error);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);
  g_clear_error (&error);
  g_assert_cmpuint (count_keys (fixture->backing, fixture->path), <, 50);

  many_persist (&many, fixture, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (count_keys (fixture->backing, fixture->path), ==, 50);
  many_assert_reads (&many, fixture);
  g_assert_true (save (fixture->backing, fixture->path, "root", &error, NULL));
  /* The lease was given back, although a request has failed. */
  bs_backing_release_path (fixture->backing, fixture->path, NULL, NULL);
  g_assert_cmpuint (count_keys (fixture->backing, fixture->path), ==, 50);
  /* The marker, the lock and the root are there besides. */
  g_assert_cmpint (count_objects (fixture), ==, 50 + 3);
  many_clear (&many);
}

/* Nothing is begun for a caller that has left, so that the names of the keys are not in use. */
static void
test_many_cancelled (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autofree char *answer = NULL;
  g_autoptr (GError) error = NULL;
  Many many;

  track (fixture->backing, fixture->path);
  many_init (&many, fixture, 0);
  for (guint i = 0; i < 10; i++)
    {
      char *key = bs_key_generate ();

      g_ptr_array_add (many.strings, key);
      bs_key_set_add (many.keys, key, NULL);
      g_hash_table_insert (many.contents, key, make_test_bytes (i * 100, i));
    }
  /* The library itself begins no call for such a caller. */
  g_cancellable_cancel (cancellable);
  g_assert_false (BS_BACKING_GET_IFACE (fixture->backing)
                    ->persist_keys (fixture->backing, fixture->path, many.keys, many.contents,
                                    cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  g_assert_cmpuint (count_keys (fixture->backing, fixture->path), ==, 0);

  many_persist (&many, fixture, NULL, &error);
  g_assert_no_error (error);
  many_assert_reads (&many, fixture);
  /* The marker, the lock and the root are there besides. */
  g_assert_cmpint (count_objects (fixture), ==, 10 + 3);
  answer = server_tell (&fixture->server, "[]");
  for (guint i = 0; i < many.strings->len; i++)
    {
      g_autofree char *object = name_object (many.strings->pdata[i]);
      g_autofree char *quoted = g_strdup_printf ("\"%s\"", object);

      g_assert_nonnull (strstr (answer, quoted));
    }
  many_clear (&many);
}

typedef struct
{
  Fixture *fixture;
  Many many;
  GCancellable *cancellable;
  GError *error;
} Call;

static gpointer
persist_in_thread (gpointer data)
{
  Call *call = data;

  many_persist (&call->many, call->fixture, call->cancellable, &call->error);
  return NULL;
}

/* Some requests stall: all the others are made meanwhile; and cancelling ends them all, well
 * before the engine's time-out, which is beyond the test's. */
static void
test_side_by_side (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  Call call = { fixture, .cancellable = cancellable };
  GThread *thread;

  track (fixture->backing, fixture->path);
  many_init (&call.many, fixture, 100);
  server_do (&fixture->server,
             "[{\"clear\": true}, {\"fault\": \"stall\", \"method\": \"PUT\", \"times\": 3}]");
  thread = g_thread_new ("persist", persist_in_thread, &call);
  while (server_count (&fixture->server, "PUT") < 100)
    g_thread_yield ();

  g_cancellable_cancel (cancellable);
  g_thread_join (thread);
  g_assert_error (call.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&call.error);

  server_do (&fixture->server, "[{\"clear\": true}]");
  many_persist (&call.many, fixture, NULL, &call.error);
  g_assert_no_error (call.error);
  many_assert_reads (&call.many, fixture);
  many_clear (&call.many);
}

/* An item of so many bytes, mostly a hole with marks, in and out in constant memory. */

typedef struct
{
  char *directory;
  BsBackingStore *store;
  BsPool *pool;
  BsTrackedPath *tracked;
  goffset size;
  guint64 before; /* the resident size */
} Document;

static const goffset marks[] = { 0, 9 * MIB - 2, 2048 * MIB - 4, 4096 * MIB, 5000 * MIB };

static GFile *
get_child (Document *self, const char *name)
{
  return g_file_new_build_filename (self->directory, name, NULL);
}

static GFile *
make_source (Document *self)
{
  GFile *file = get_child (self, "source");
  int fd = g_open (g_file_peek_path (file), O_RDWR | O_CREAT | O_CLOEXEC, 0600);

  g_assert_cmpint (fd, >=, 0);
  g_assert_cmpint (ftruncate (fd, self->size), ==, 0);
  for (guint i = 0; i < G_N_ELEMENTS (marks); i++)
    if (marks[i] < self->size)
      g_assert_cmpint (pwrite (fd, "mark", 4, marks[i]), ==, 4);
  close (fd);

  return file;
}

static void
assert_marks (Document *self, GInputStream *stream)
{
  for (guint i = 0; i < G_N_ELEMENTS (marks); i++)
    {
      g_autoptr (GError) error = NULL;
      char mark[5] = "";
      gsize n_read;

      if (marks[i] >= self->size)
        continue;
      g_seekable_seek (G_SEEKABLE (stream), marks[i], G_SEEK_SET, NULL, &error);
      g_assert_no_error (error);
      g_input_stream_read_all (stream, mark, 4, &n_read, NULL, &error);
      g_assert_no_error (error);
      g_assert_cmpstr (mark, ==, "mark");
    }
}

static void
assert_memory (Document *self)
{
  guint64 peak = peak_get (self->before);

  if (self->before == 0 || !peak_is_ours ())
    return;

  g_test_message ("%.1f MiB", (double) peak / MIB);
  g_assert_cmpuint (peak, <, MAX_MEMORY);
}

/* Saves the item, drops it, and comes back to it. */
static BsItem *
save_and_return (Document *self, BsItem *item)
{
  g_autoptr (BsSave) saving = bs_save_new (self->store, self->tracked);
  g_autoptr (GBytes) root = g_bytes_new_static ("root", 4);
  g_autofree char *key = bs_item_dup_key (item);
  g_autoptr (GError) error = NULL;

  bs_save_add_item (saving, item);
  bs_save_set_root (saving, root);
  bs_save_run (saving, NULL, &error);
  g_assert_no_error (error);
  assert_memory (self);
  g_object_unref (item);
  bs_backing_store_wait_finished (self->store, NULL, &error);
  g_assert_no_error (error);
  bs_task_tracker_reopen (bs_backing_store_get_task_tracker (self->store));
  item = bs_pool_register (self->pool, self->tracked, key, NULL, &error);
  g_assert_no_error (error);

  return item;
}

static void
use (Document *self, BsItem *item)
{
  g_autoptr (BsVerify) verify = bs_verify_new (self->store, self->tracked);
  g_autoptr (GFile) target = get_child (self, "target");
  g_autoptr (GInputStream) stream = NULL;
  g_autoptr (GInputStream) copy = NULL;
  g_autoptr (GError) error = NULL;
  struct stat status;

  item = save_and_return (self, item);
  bs_verify_run (verify, NULL, &error);
  g_assert_no_error (error);
  assert_memory (self);

  stream = bs_item_read (item, NULL, &error);
  g_assert_no_error (error);
  assert_marks (self, stream);
  g_clear_object (&stream);
  bs_item_copy_to_file (item, target, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (stat (g_file_peek_path (target), &status), ==, 0);
  g_assert_cmpint (status.st_size, ==, self->size);
  copy = G_INPUT_STREAM (g_file_read (target, NULL, &error));
  g_assert_no_error (error);
  assert_marks (self, copy);
  assert_memory (self);
  g_object_unref (item);
}

typedef struct
{
  GFile *source;
  int fd;
} Pipe;

static gpointer
write_pipe (gpointer data)
{
  const Pipe *self = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GInputStream) from = G_INPUT_STREAM (g_file_read (self->source, NULL, &error));
  g_autoptr (GOutputStream) to = g_unix_output_stream_new (self->fd, TRUE);

  g_assert_no_error (error);
  g_output_stream_splice (to, from, G_OUTPUT_STREAM_SPLICE_CLOSE_TARGET, NULL, &error);
  g_assert_no_error (error);
  return NULL;
}

static void
keep_result (GObject *object, GAsyncResult *result, gpointer data)
{
  *(GAsyncResult **) data = g_object_ref (result);
}

/* A pipe tells no length, and its bytes come as they are written. */
static BsItem *
insert_pipe (Document *self, GFile *source)
{
  g_autoptr (GInputStream) stream = NULL;
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;
  Pipe data = { source };
  GThread *writer;
  BsItem *item;
  int fds[2];

  g_assert_cmpint (pipe2 (fds, O_CLOEXEC), ==, 0);
  stream = g_unix_input_stream_new (fds[0], TRUE);
  data.fd = fds[1];
  writer = g_thread_new ("writer", write_pipe, &data);
  bs_pool_insert_stream_async (self->pool, stream, G_PRIORITY_DEFAULT, NULL, keep_result, &result);
  while (result == NULL)
    g_main_context_iteration (NULL, TRUE);
  g_thread_join (writer);
  item = bs_pool_insert_stream_finish (self->pool, result, &error);
  g_assert_no_error (error);
  assert_memory (self);
  return item;
}

static void
run_document (Server *server, goffset size)
{
  Document self = { .directory = make_test_directory (), .size = size };
  g_autofree char *parameters = g_strdup_printf ("&cache-size=1&scratch=%s", self.directory);
  g_autoptr (BsBacking) backing = create_at (server, parameters);
  g_autoptr (GFile) path = make_path ("document");
  g_autoptr (GFile) source = make_source (&self);
  g_autoptr (GError) error = NULL;

  self.store = bs_backing_store_new (backing);
  self.pool = bs_pool_new (self.store, MIB);
  self.tracked = bs_backing_store_track_path (self.store, path, NULL, &error);
  g_assert_no_error (error);
  malloc_trim (0);
  self.before = peak_start ();

  use (&self, bs_pool_insert_file (self.pool, source, NULL, &error));
  g_assert_no_error (error);
  use (&self, insert_pipe (&self, source));

  bs_backing_store_close (self.store, NULL, &error);
  g_assert_no_error (error);
  assert_goes (self.pool);
  assert_goes (self.tracked);
  assert_goes (self.store);
  remove_test_directory (self.directory);
  g_free (self.directory);
}

static void
test_memory (void)
{
  Server server = { NULL };

  alarm (g_test_slow () ? 3000 : SECONDS);
  if (server_start (&server, NULL))
    run_document (&server, (g_test_slow () ? 6 * 1024 : 64) * MIB + 12345);
  server_stop (&server);
  alarm (0);
}

/* The other server has all of it in memory. */
static void
test_memory_foreign (void)
{
  Server server = { NULL };

  alarm (SECONDS);
  if (server_start_alone (&server, "gofakes3", NULL))
    run_document (&server, 64 * MIB + 12345);
  else
    g_test_skip ("gofakes3 cannot be had");
  server_stop (&server);
  alarm (0);
}

/* A server that others have written, behind one that does the damage. */
static void
set_up_before (Fixture *fixture, gconstpointer upstream)
{
  static guint n_documents;
  g_autofree char *name = g_strdup_printf ("document-%u", n_documents++);

  alarm (SECONDS);
  set_up_environment ();
  fixture->path = make_path (name);
  g_assert_true (server_start_before (&fixture->server, (Server *) upstream));
  fixture->backing = create_at (&fixture->server, PARAMETERS);
}

static void
skip (void)
{
  g_test_skip ("the server cannot be had");
}

static void
add_foreign (Server *upstream, const char *script, void (*copied) (Fixture *, gconstpointer))
{
  const struct
  {
    const char *name;
    void (*func) (Fixture *fixture, gconstpointer data);
  } tests[] = {
    { "parts", test_parts },
    { "leftovers", test_leftovers },
    { "copied", copied },
    { "not-copied", test_not_copied },
    /* The servers differ in the ones above. */
    { "faults", test_faults },
    { "deleted", test_deleted },
    { "two-documents", test_two_documents },
    { "many", test_many },
    { "many-fail", test_many_fail },
  };
  const guint n_tests = g_test_slow () || tests_are_whole () ? G_N_ELEMENTS (tests) : 4;

  for (guint i = 0; i < n_tests; i++)
    {
      g_autofree char *path = g_strdup_printf ("/s3-streams/%s/%s", script, tests[i].name);

      if (upstream->process != NULL)
        g_test_add (path, Fixture, upstream, set_up_before, tests[i].func, tear_down);
      else
        g_test_add_func (path, skip);
    }
}

static void
add (const char *name, void (*func) (Fixture *fixture, gconstpointer data), const char *parameters)
{
  g_autofree char *path = g_strconcat ("/s3-streams/", name, NULL);

  g_test_add (path, Fixture, parameters, set_up, func, tear_down);
}

int
main (int argc, char *argv[])
{
  Server gofakes3 = { NULL };
  Server ceph = { NULL };
  int result;

  g_test_init (&argc, &argv, NULL);
  set_up_environment ();

  /* Before others that have all of a content in memory, and may leave the C library some. */
  g_test_add_func ("/s3-streams/memory", test_memory);
  g_test_add_func ("/s3-streams/memory-foreign", test_memory_foreign);
  add ("parts", test_parts, "&cache-size=1");
  add ("no-ranges", test_no_ranges, "&cache-size=1");
  add ("other-ranges", test_other_ranges, "&cache-size=1");
  add ("faults", test_faults, "&cache-size=1");
  add ("corrupt", test_corrupt, "&cache-size=1");
  add ("gone", test_gone, NULL);
  add ("too-large", test_too_large, "&cache-size=1");
  add ("deleted", test_deleted, "&cache-size=1");
  add ("two-documents", test_two_documents, "&cache-size=1");
  add ("leftovers", test_leftovers, PARAMETERS);
  add ("many-leftovers", test_many_leftovers, PARAMETERS);
  add ("copied", test_copied, "&cache-size=1");
  add ("copied-empty", test_copied_empty, "&cache-size=1");
  add ("other-ranges-copied", test_other_ranges_copied, "&cache-size=1");
  add ("not-copied", test_not_copied, "&cache-size=1");
  add ("many", test_many, "&cache-size=1");
  add ("many-fail", test_many_fail, NULL);
  add ("many-cancelled", test_many_cancelled, NULL);
  add ("side-by-side", test_side_by_side, "&timeout=600");

  server_start_alone (&gofakes3, "gofakes3", NULL);
  add_foreign (&gofakes3, "gofakes3", test_copied_here);
  if (g_test_slow ())
    {
      server_start_alone (&ceph, "ceph", NULL);
      add_foreign (&ceph, "ceph", test_copied);
    }

  result = g_test_run ();
  server_stop (&gofakes3);
  server_stop (&ceph);
  return result;
}
