/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* Contents of a document of the engine "s3:" that were set aside and are whole again: an
 * opening that restores puts them back, whatever becomes of each of its requests. */

#include "s3-fixture.h"

#include <string.h>

/* In parts, out and in. */
#define LARGE (gsize) (20 * 1048576 + 123)
/* As servers answer to a copy that one request does not make. */
#define TOO_LARGE "{\"fault\": \"400\", \"method\": \"COPY\"}"
/* The server's clock goes so far that every lease is over. */
#define AGE 3600

static char *
print_hex (const char *key)
{
  g_auto (GStrv) parts = g_strsplit (key, "-", -1);

  return g_strjoinv ("", parts);
}

/* Changes a byte of an object, or changes it back. */
static void
spoil (Fixture *fixture, const char *key)
{
  g_autofree char *hex = print_hex (key);

  server_do (&fixture->server, "[{\"spoil\": \"top/document/%.2s/%s\"}]", hex, hex);
}

static void
spoil_aside (Fixture *fixture, const char *key)
{
  g_autofree char *hex = print_hex (key);

  server_do (&fixture->server, "[{\"spoil\": \"top/document/.quarantine/%s\"}]", hex);
}

static void
assert_corrupt (Fixture *fixture, const char *key)
{
  g_autoptr (GError) error = NULL;

  g_assert_false (bs_backing_verify_persisted (fixture->backing, fixture->path, key, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_CORRUPT);
}

/* The content is damaged when it is verified, and goes into quarantine. */
static void
set_aside (Fixture *fixture, const char *key)
{
  spoil (fixture, key);
  assert_corrupt (fixture, key);
}

static void
release (Fixture *fixture)
{
  g_autoptr (GError) error = NULL;

  bs_backing_release_path (fixture->backing, fixture->path, NULL, &error);
  g_assert_no_error (error);
}

static guint64
count_restored (Fixture *fixture)
{
  guint64 n;

  g_object_get (fixture->backing, "n-restored", &n, NULL);
  return n;
}

/* Opens the path anew, and returns how many contents were put back. */
static guint64
restore (Fixture *fixture)
{
  guint64 before = count_restored (fixture);

  release (fixture);
  g_object_set (fixture->backing, "restores", TRUE, NULL);
  server_do (&fixture->server, "[{\"clear\": true}]");
  track (fixture->backing, fixture->path);
  return count_restored (fixture) - before;
}

static gboolean
is_aside (Fixture *fixture, const char *key)
{
  g_autofree char *hex = print_hex (key);
  g_autofree char *name = g_strdup_printf ("\"top/document/.quarantine/%s\"", hex);
  g_autofree char *answer = server_tell (&fixture->server, "[]");

  return strstr (answer, name) != NULL;
}

static void
assert_whole (Fixture *fixture, const char *key, GBytes *expected)
{
  g_autoptr (GError) error = NULL;

  bs_backing_verify_persisted (fixture->backing, fixture->path, key, NULL, &error);
  g_assert_no_error (error);
  bs_backing_delete_key (fixture->backing, key, NULL, &error);
  g_assert_no_error (error);
  bs_backing_register_key (fixture->backing, fixture->path, key, NULL, &error);
  g_assert_no_error (error);
  assert_reads (fixture->backing, key, expected);
}

static void
assert_missing (Fixture *fixture, const char *key)
{
  g_autoptr (BsKeySet) found = list_path (fixture->backing, fixture->path);

  g_assert_false (bs_key_set_contains_key (found, key));
}

/* A document with one content, which was set aside and is whole again. */
static char *
set_one_aside (Fixture *fixture)
{
  g_autoptr (GError) error = NULL;
  char *key;

  track (fixture->backing, fixture->path);
  key = persist_new (fixture->backing, fixture->path, 5000, 1);
  g_assert_true (save (fixture->backing, fixture->path, "root", &error, key, NULL));
  g_assert_no_error (error);
  set_aside (fixture, key);
  spoil_aside (fixture, key);
  return key;
}

static void
test_put_back (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GBytes) large = make_test_bytes (LARGE, 2);
  g_autoptr (GBytes) small = make_test_bytes (5000, 1);
  g_autoptr (GBytes) empty = g_bytes_new (NULL, 0);
  g_autofree char *first = NULL;
  g_autofree char *second = NULL;
  g_autofree char *bad = NULL;
  g_autofree char *bare = bs_key_generate ();
  g_autofree char *hex = print_hex (bare);
  g_autoptr (GError) error = NULL;

  track (fixture->backing, fixture->path);
  first = persist_new (fixture->backing, fixture->path, 5000, 1);
  second = write_streamed (fixture->backing, large);
  bs_backing_persist (fixture->backing, fixture->path, second, NULL, &error);
  g_assert_no_error (error);
  bad = persist_new (fixture->backing, fixture->path, 5000, 3);
  g_assert_true (save (fixture->backing, fixture->path, "root", &error, first, second, bad, NULL));
  g_assert_no_error (error);

  set_aside (fixture, first);
  set_aside (fixture, second);
  set_aside (fixture, bad);
  /* Nothing tells whether this one is whole; and the others are not ours. */
  server_do (&fixture->server,
             "[{\"set\": \"top/document/.quarantine/%s\", \"body\": \"x\"},"
             " {\"set\": \"top/document/.quarantine/abc\", \"body\": \"x\"},"
             " {\"set\": \"top/document/.quarantine/note\", \"body\": \"x\"}]",
             hex);
  g_assert_cmpuint (restore (fixture), ==, 0);
  spoil_aside (fixture, first);
  spoil_aside (fixture, second);
  g_assert_cmpuint (restore (fixture), ==, 2);
  g_assert_cmpint (server_count (&fixture->server, "COPY"), ==, 2);
  g_assert_false (is_aside (fixture, first));
  g_assert_false (is_aside (fixture, second));
  g_assert_true (is_aside (fixture, bad));
  g_assert_true (is_aside (fixture, bare));
  assert_missing (fixture, bad);
  assert_missing (fixture, bare);
  assert_whole (fixture, first, small);
  assert_whole (fixture, second, large);
  assert_root (fixture->backing, fixture->path, "root");

  /* The root names both, so that no save has to copy them. */
  release (fixture);
  g_object_set (fixture->backing, "restores", FALSE, NULL);
  track (fixture->backing, fixture->path);
  server_do (&fixture->server, "[{\"clear\": true}]");
  g_assert_true (save (fixture->backing, fixture->path, "next", &error, first, second, NULL));
  g_assert_no_error (error);
  g_assert_cmpint (server_count (&fixture->server, "COPY"), ==, -1);
  g_assert_true (is_aside (fixture, bad));
}

/* A server may copy no more than so much at a time. */
static void
test_parts (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GBytes) bytes = make_test_bytes (LARGE, 1);
  g_autoptr (GError) error = NULL;
  g_autofree char *key = NULL;

  track (fixture->backing, fixture->path);
  key = write_streamed (fixture->backing, bytes);
  bs_backing_persist (fixture->backing, fixture->path, key, NULL, &error);
  g_assert_no_error (error);
  set_aside (fixture, key);
  spoil_aside (fixture, key);
  release (fixture);
  g_object_set (fixture->backing, "restores", TRUE, NULL);
  server_do (&fixture->server, "[{\"clear\": true}, " TOO_LARGE "]");
  track (fixture->backing, fixture->path);
  g_assert_cmpint (server_count (&fixture->server, "PART"), ==, 3);
  g_assert_cmpint (server_count (&fixture->server, "uploads"), ==, 0);
  g_assert_cmpuint (count_restored (fixture), ==, 1);
  g_assert_false (is_aside (fixture, key));
  assert_whole (fixture, key, bytes);
}

/* Nothing is put, copied or deleted. */
static void
test_read_only (Fixture *fixture, gconstpointer data)
{
  static const char *const changes[] = { "PUT", "COPY", "DELETE", "DELETE-MANY", "PART" };
  g_autofree char *key = set_one_aside (fixture);

  release (fixture);
  g_object_set (fixture->backing, "read-only", TRUE, NULL);
  g_assert_cmpuint (restore (fixture), ==, 1);
  for (guint i = 0; i < G_N_ELEMENTS (changes); i++)
    g_assert_cmpint (server_count (&fixture->server, changes[i]), ==, -1);
  g_assert_true (is_aside (fixture, key));
  assert_missing (fixture, key);

  g_object_set (fixture->backing, "read-only", FALSE, NULL);
  g_assert_cmpuint (restore (fixture), ==, 1);
  g_assert_false (is_aside (fixture, key));
}

/* An opening that cannot change the document does not say that it has. */
static void
test_not_writable (Fixture *fixture, gconstpointer data)
{
  g_autofree char *key = set_one_aside (fixture);

  release (fixture);
  server_do (&fixture->server,
             "[{\"clear\": true}, {\"quirk\": \"ignores-conditions\", \"value\": true}]");
  g_object_set (fixture->backing, "restores", TRUE, NULL);
  assert_track_fails (fixture->backing, fixture->path, G_IO_ERROR, G_IO_ERROR_READ_ONLY);
  g_assert_cmpuint (count_restored (fixture), ==, 0);
  g_assert_true (is_aside (fixture, key));
}

static void
assert_restore_fails (Fixture *fixture, const char *method, const char *key, const char *place)
{
  g_autoptr (BsKeySet) found = bs_key_set_new ();
  g_autofree char *hex = print_hex (key);
  g_autoptr (GError) error = NULL;

  release (fixture);
  g_object_set (fixture->backing, "restores", TRUE, NULL);
  server_do (&fixture->server,
             "[{\"clear\": true},"
             " {\"fault\": \"403\", \"method\": \"%s\", \"key\": \"%s\"}]",
             method, place);
  g_assert_false (bs_backing_sanitize_path (fixture->backing, fixture->path, found, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);
  g_assert_nonnull (strstr (error->message, hex));
  g_assert_cmpuint (count_restored (fixture), ==, 0);
}

/* A failure names the object, and the next opening goes on. */
static void
test_errors (Fixture *fixture, gconstpointer data)
{
  g_autofree char *key = set_one_aside (fixture);
  g_autoptr (GBytes) bytes = make_test_bytes (5000, 1);

  assert_restore_fails (fixture, "HEAD", key, "quarantine");
  assert_restore_fails (fixture, "GET", key, "quarantine");
  assert_restore_fails (fixture, "COPY", key, "");
  g_assert_true (is_aside (fixture, key));
  assert_restore_fails (fixture, "DELETE", key, "quarantine");
  g_assert_true (is_aside (fixture, key));
  g_assert_cmpuint (restore (fixture), ==, 1);
  g_assert_cmpint (server_count (&fixture->server, "COPY"), ==, -1);
  g_assert_false (is_aside (fixture, key));
  assert_whole (fixture, key, bytes);
  g_assert_cmpuint (restore (fixture), ==, 0);
}

/* The key of a content in quarantine has a content in the document, which is damaged. */
static void
test_both (Fixture *fixture, gconstpointer data)
{
  g_autofree char *key = set_one_aside (fixture);
  g_autofree char *hex = print_hex (key);
  g_autoptr (GBytes) bytes = make_test_bytes (5000, 1);
  g_autofree char *answer = NULL;
  g_autofree char *object = NULL;
  const char *found;

  assert_restore_fails (fixture, "DELETE", key, "quarantine");
  answer = server_tell (&fixture->server, "[]");
  found = strstr (answer, "top/document/");
  while (g_str_has_prefix (found, "top/document/.") && found != NULL)
    found = strstr (found + 1, "top/document/");
  g_assert_nonnull (found);
  object = g_strndup (found, strcspn (found, "\""));
  g_assert_nonnull (strstr (object, hex));
  server_do (&fixture->server, "[{\"spoil\": \"%s\"}]", object);
  g_assert_cmpuint (restore (fixture), ==, 0);
  g_assert_true (is_aside (fixture, key));

  assert_corrupt (fixture, key);
  g_assert_cmpuint (restore (fixture), ==, 1);
  g_assert_false (is_aside (fixture, key));
  assert_whole (fixture, key, bytes);
}

/* A content is in quarantine and in the document, since its object could not be deleted: a
 * deletion in quarantine that is late could meet what is set aside next. */
static void
test_interrupted (Fixture *fixture, gconstpointer data)
{
  g_autofree char *key = NULL;
  g_autoptr (GBytes) bytes = make_test_bytes (5000, 1);
  g_autoptr (GError) error = NULL;

  track (fixture->backing, fixture->path);
  key = persist_new (fixture->backing, fixture->path, 5000, 1);
  spoil (fixture, key);
  server_do (&fixture->server, "[{\"fault\": \"403\", \"method\": \"DELETE\"}]");
  g_assert_false (bs_backing_verify_persisted (fixture->backing, fixture->path, key, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);
  g_clear_error (&error);
  spoil (fixture, key);
  spoil_aside (fixture, key);
  g_assert_cmpuint (restore (fixture), ==, 0);
  g_assert_true (is_aside (fixture, key));
  assert_whole (fixture, key, bytes);

  /* Under another name it is in no danger. */
  g_assert_true (save (fixture->backing, fixture->path, "root", &error, key, NULL));
  g_assert_no_error (error);
  g_assert_cmpuint (restore (fixture), ==, 1);
  g_assert_false (is_aside (fixture, key));
  assert_whole (fixture, key, bytes);
}

static void
test_cancelled (Fixture *fixture, gconstpointer data)
{
  g_autofree char *key = set_one_aside (fixture);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (BsKeySet) found = bs_key_set_new ();
  g_autoptr (GError) error = NULL;

  release (fixture);
  g_object_set (fixture->backing, "restores", TRUE, NULL);
  g_cancellable_cancel (cancellable);
  g_assert_false (
    bs_backing_sanitize_path (fixture->backing, fixture->path, found, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_true (is_aside (fixture, key));
  g_assert_cmpuint (restore (fixture), ==, 1);
}

/* A new program opens the document and finds the content whole. */
static void
assert_nothing_lost (Fixture *fixture, const char *key)
{
  Fixture other = *fixture;
  g_autoptr (GBytes) bytes = make_test_bytes (5000, 1);

  other.backing = create_at (&other.server, "&lease=3");
  g_object_set (other.backing, "restores", TRUE, NULL);
  server_do (&other.server,
             "[{\"clear\": true}, {\"advance\": %d},"
             " {\"fault\": \"deliver\", \"nth\": 11}]",
             AGE);
  track (other.backing, other.path);
  g_assert_cmpuint (count_keys (other.backing, other.path), ==, 1);
  g_assert_false (is_aside (&other, key));
  assert_whole (&other, key, bytes);
  assert_root (other.backing, other.path, "root");
  g_assert_finalize_object (other.backing);
}

/* A request of the put back fails, is lost, or arrives while another program has the document. */
static void
fail_at (const char *fault, const char *method, const char *object, guint nth)
{
  Fixture fixture = { { NULL } };
  gboolean refused = g_str_equal (fault, "403");
  g_autoptr (BsKeySet) found = bs_key_set_new ();
  g_autoptr (GError) error = NULL;
  g_autofree char *key = NULL;

  set_up (&fixture, NULL);
  g_test_message ("%s at %s", fault, method);
  key = set_one_aside (&fixture);
  release (&fixture);
  g_object_set (fixture.backing, "restores", TRUE, NULL);
  server_do (&fixture.server,
             "[{\"clear\": true}, {\"fault\": \"%s\", \"method\": \"%s\","
             " \"key\": \"%s\", \"nth\": %u}]",
             fault, method, object, nth);
  bs_backing_sanitize_path (fixture.backing, fixture.path, found, NULL, &error);
  g_assert_cmpint (server_count (&fixture.server, "hit"), ==, 1);
  if (refused)
    g_assert_error (error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);
  else
    g_assert_no_error (error);
  g_assert_cmpuint (count_restored (&fixture), ==, refused ? 0 : 1);
  g_assert_true (is_aside (&fixture, key) == refused);
  assert_nothing_lost (&fixture, key);
  tear_down (&fixture, NULL);
}

static void
test_faults (gconstpointer fault)
{
  static const struct
  {
    const char *method;
    const char *object;
    guint nth;
  } requests[] = {
    { "LIST", "", 2 }, { "HEAD", "", 1 },     { "GET", "quarantine", 1 },
    { "COPY", "", 1 }, { "PUT", "root$", 2 }, { "DELETE", "quarantine", 1 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (requests); i++)
    fail_at (fault, requests[i].method, requests[i].object, requests[i].nth);
}

static void
add (const char *name, void (*func) (Fixture *fixture, gconstpointer data), const char *parameters)
{
  g_autofree char *path = g_strconcat ("/s3-quarantine/", name, NULL);

  g_test_add (path, Fixture, parameters, set_up, func, tear_down);
}

int
main (int argc, char *argv[])
{
  static const char *const faults[] = {
    "403", "503", "reset-before", "reset-after", "late", "twice",
  };

  g_test_init (&argc, &argv, NULL);
  set_up_environment ();

  add ("put-back", test_put_back, "&cache-size=1");
  add ("parts", test_parts, NULL);
  add ("read-only", test_read_only, NULL);
  add ("not-writable", test_not_writable, NULL);
  add ("errors", test_errors, NULL);
  add ("both", test_both, NULL);
  add ("interrupted", test_interrupted, NULL);
  add ("cancelled", test_cancelled, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (faults); i++)
    {
      g_autofree char *path = g_strconcat ("/s3-quarantine/faults/", faults[i], NULL);

      g_test_add_data_func (path, faults[i], test_faults);
    }

  return g_test_run ();
}
