/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* Several programs with one document of the engine "s3:" open, against the lease: one test
 * for each rule of modules/s3/bs-s3-document.c, each of which fails without its rule. */

#include "s3-fixture.h"

#include <string.h>
#include <unistd.h>

/* The server's clock goes so far that every lease is over, to whom asks the server. */
#define AGE 3600

typedef struct
{
  Fixture fixture;
  Server *server;
  GFile *path;
  BsBacking *first;
  BsBacking *second; /* made by take_over() */
} Writers;

static void
set_up_writers (Writers *writers, gconstpointer parameters)
{
  set_up (&writers->fixture, parameters);
  writers->server = &writers->fixture.server;
  writers->path = writers->fixture.path;
  writers->first = writers->fixture.backing;
  track (writers->first, writers->path);
}

static void
tear_down_writers (Writers *writers, gconstpointer parameters)
{
  if (writers->second != NULL)
    g_assert_finalize_object (writers->second);
  tear_down (&writers->fixture, parameters);
}

/* The second program opens the document while the first one has it. */
static void
take_over (Writers *writers)
{
  g_autoptr (BsKeySet) found = bs_key_set_new ();
  g_autoptr (GError) error = NULL;

  writers->second = create_at (writers->server, NULL);
  /* The first program may renew its lease in between. */
  do
    {
      g_clear_error (&error);
      server_do (writers->server, "[{\"advance\": %d}]", AGE);
      bs_backing_sanitize_path (writers->second, writers->path, found, NULL, &error);
    }
  while (g_error_matches (error, BS_ERROR, BS_ERROR_BUSY));
  g_assert_no_error (error);
}

static void
deliver (Writers *writers)
{
  server_do (writers->server, "[{\"clear\": true}, {\"deliver\": true}]");
}

static void
assert_saves (BsBacking *backing, GFile *path, const char *text, const char *key)
{
  g_autoptr (GError) error = NULL;

  save (backing, path, text, &error, key, NULL);
  g_assert_no_error (error);
}

/* As a third program finds the document. `key` may be NULL. */
static void
assert_found (Writers *writers, const char *text, const char *key, gsize size, guint seed)
{
  BsBacking *third = create_at (writers->server, NULL);
  g_autoptr (GBytes) bytes = make_test_bytes (size, seed);
  g_autoptr (GError) error = NULL;

  server_do (writers->server, "[{\"clear\": true}, {\"advance\": %d}]", AGE);
  track (third, writers->path);
  assert_root (third, writers->path, text);
  if (key != NULL)
    {
      bs_backing_register_key (third, writers->path, key, NULL, &error);
      g_assert_no_error (error);
      assert_reads (third, key, bytes);
    }
  g_assert_finalize_object (third);
}

static void
test_lease (Writers *writers, gconstpointer data)
{
  BsBacking *other = create_at (writers->server, NULL);
  g_autoptr (BsKeySet) found = bs_key_set_new ();
  g_autoptr (GError) error = NULL;

  g_assert_false (bs_backing_sanitize_path (other, writers->path, found, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_BUSY);
  g_assert_nonnull (strstr (error->message, g_get_host_name ()));

  bs_backing_release_path (writers->first, writers->path, NULL, NULL);
  track (other, writers->path);
  assert_track_fails (writers->first, writers->path, BS_ERROR, BS_ERROR_BUSY);
  g_assert_finalize_object (other);
  track (writers->first, writers->path);
}

/* Rule 1. A save of what was there before must not let an older root through. */
static void
test_nonce (Writers *writers, gconstpointer data)
{
  assert_saves (writers->first, writers->path, "old", NULL);
  server_do (writers->server, "[{\"fault\": \"twice\", \"method\": \"PUT\", \"key\": \"root$\"}]");
  assert_saves (writers->first, writers->path, "late", NULL);
  take_over (writers);
  assert_saves (writers->second, writers->path, "old", NULL);
  deliver (writers);
  assert_found (writers, "old", NULL, 0, 0);
}

/* Rule 2. A root replaces the root that its program has read, and no other. */
static void
test_condition (Writers *writers, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  assert_saves (writers->first, writers->path, "old", NULL);
  take_over (writers);
  assert_saves (writers->second, writers->path, "new", NULL);
  g_assert_false (save (writers->first, writers->path, "mine", &error, NULL));
  g_assert_error (error, BS_ERROR, BS_ERROR_BUSY);
  assert_found (writers, "new", NULL, 0, 0);
}

static gpointer
save_in_thread (gpointer data)
{
  Writers *writers = data;

  assert_saves (writers->first, writers->path, "first", NULL);
  return NULL;
}

/* Rule 2. A program whose root was built upon is told so, although its answer was lost. */
static void
test_built_upon (Writers *writers, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *object = NULL;
  GThread *thread;

  server_do (writers->server,
             "[{\"clear\": true}, {\"fault\": \"stall-after\", \"method\": \"PUT\", "
             "\"key\": \"root$\"}]");
  thread = g_thread_new ("saver", save_in_thread, writers);
  while (server_count (writers->server, "PUT") < 1)
    g_thread_yield ();
  take_over (writers);
  assert_root (writers->second, writers->path, "first");
  assert_saves (writers->second, writers->path, "second", NULL);
  g_thread_join (thread);

  /* That is all that it is told. */
  g_assert_false (save (writers->first, writers->path, "third", &error, NULL));
  g_assert_error (error, BS_ERROR, BS_ERROR_BUSY);
  assert_found (writers, "second", NULL, 0, 0);
}

/* A call of the first program whose request is on its way for long. */
typedef struct
{
  Writers *writers;
  const char *key;
  GCancellable *cancellable;
} Late;

static gpointer
delete_in_thread (gpointer data)
{
  Late *late = data;

  g_assert_false (bs_backing_delete_persisted (late->writers->first, late->writers->path, late->key,
                                               late->cancellable, NULL));
  return NULL;
}

static gpointer
name_in_thread (gpointer data)
{
  Late *late = data;
  g_autoptr (BsKeySet) named = bs_key_set_new ();
  g_autoptr (GBytes) text = g_bytes_new_static ("late", 4);

  bs_key_set_add (named, late->key, NULL);
  g_assert_false (bs_backing_write_root (late->writers->first, late->writers->path, text, named,
                                         late->cancellable, NULL));
  return NULL;
}

static gpointer
save_cancelled_in_thread (gpointer data)
{
  Late *late = data;
  g_autoptr (BsKeySet) named = bs_key_set_new ();
  g_autoptr (GBytes) text = g_bytes_new_static ("first", 5);

  g_assert_false (bs_backing_write_root (late->writers->first, late->writers->path, text, named,
                                         late->cancellable, NULL));
  return NULL;
}

/* Rule 2. A program that finds its unclear root built upon goes no further: the root that is
 * there now is not the one that it has read. */
static void
test_unclear_built_upon (Writers *writers, gconstpointer data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autofree char *key = persist_new (writers->first, writers->path, 5000, 1);
  Late late = { writers, NULL, cancellable };
  g_autoptr (GError) error = NULL;
  GThread *thread;

  server_do (writers->server,
             "[{\"clear\": true}, {\"fault\": \"stall-after\", \"method\": \"PUT\", "
             "\"key\": \"root$\"}]");
  thread = g_thread_new ("saver", save_cancelled_in_thread, &late);
  while (server_count (writers->server, "PUT") < 1)
    g_thread_yield ();
  g_cancellable_cancel (cancellable);
  g_thread_join (thread);

  take_over (writers);
  assert_root (writers->second, writers->path, "first");
  assert_saves (writers->second, writers->path, "second", NULL);
  g_assert_false (save (writers->first, writers->path, "third", &error, key, NULL));
  g_assert_error (error, BS_ERROR, BS_ERROR_BUSY);
  assert_found (writers, "second", NULL, 0, 0);
}

/* The program does not wait for the answer. */
static void
run_late (Writers *writers, const char *method, GThreadFunc func, const char *key)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  Late late = { writers, key, cancellable };
  GThread *thread;

  server_do (writers->server, "[{\"fault\": \"late\", \"method\": \"%s\", \"times\": 100}]",
             method);
  thread = g_thread_new ("late", func, &late);
  while (server_count (writers->server, "late") < 1)
    g_thread_yield ();
  g_cancellable_cancel (cancellable);
  g_thread_join (thread);
  server_do (writers->server, "[{\"clear\": true}]");
}

static void
delete_late (Writers *writers, const char *key)
{
  run_late (writers, "DELETE", delete_in_thread, key);
}

/* Rule 3. An object that no root names may be deleted late by the program that has put it,
 * so that another one does not name it. */
static void
test_unnamed (Writers *writers, gconstpointer data)
{
  g_autofree char *key = persist_new (writers->first, writers->path, 5000, 1);

  delete_late (writers, key);
  take_over (writers);
  assert_saves (writers->second, writers->path, "root", key);
  deliver (writers);
  assert_found (writers, "root", key, 5000, 1);
}

/* Rule 3. A name that a root has dropped is never named again. */
static void
test_dropped (Writers *writers, gconstpointer data)
{
  g_autofree char *key = persist_new (writers->first, writers->path, 5000, 1);
  g_autoptr (GError) error = NULL;

  assert_saves (writers->first, writers->path, "old", key);
  assert_saves (writers->first, writers->path, "without", NULL);
  delete_late (writers, key);
  bs_backing_persist (writers->first, writers->path, key, NULL, &error);
  g_assert_no_error (error);
  assert_saves (writers->first, writers->path, "again", key);
  deliver (writers);
  assert_found (writers, "again", key, 5000, 1);
}

/* Rule 4. A root that is late must not name what the next program has deleted. */
static void
test_opening (Writers *writers, gconstpointer data)
{
  g_autofree char *key = NULL;

  assert_saves (writers->first, writers->path, "old", NULL);
  key = persist_new (writers->first, writers->path, 5000, 1);
  run_late (writers, "PUT", name_in_thread, key);

  take_over (writers);
  bs_backing_delete_persisted (writers->second, writers->path, key, NULL, NULL);
  deliver (writers);
  assert_found (writers, "old", NULL, 0, 0);
}

/* Rule 5. After BUSY nothing that was put earlier is named, and nothing is deleted. */
static void
test_void (Writers *writers, gconstpointer data)
{
  g_autofree char *key = persist_new (writers->first, writers->path, 5000, 1);
  g_autofree char *other = NULL;
  g_autoptr (BsKeySet) keys = bs_key_set_new ();
  g_autoptr (GError) error = NULL;

  take_over (writers);
  assert_saves (writers->second, writers->path, "new", NULL);
  server_do (writers->server, "[{\"clear\": true}]");
  for (guint i = 0; i < 2; i++)
    {
      g_assert_false (save (writers->first, writers->path, "mine", &error, key, NULL));
      g_assert_error (error, BS_ERROR, BS_ERROR_BUSY);
      g_clear_error (&error);
    }
  bs_key_set_add (keys, key, NULL);
  g_assert_false (bs_backing_delete_persisted (writers->first, writers->path, key, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_BUSY);
  g_clear_error (&error);
  g_assert_false (
    bs_backing_delete_persisted_keys (writers->first, writers->path, keys, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_BUSY);
  g_clear_error (&error);
  g_assert_false (bs_backing_sync_persisted (writers->first, writers->path, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_BUSY);
  g_assert_cmpint (server_count (writers->server, "DELETE"), ==, -1);
  g_assert_cmpint (server_count (writers->server, "DELETE-MANY"), ==, -1);
  assert_found (writers, "new", key, 5000, 1);

  /* Tracked anew, the document can be saved. */
  g_assert_finalize_object (g_steal_pointer (&writers->second));
  server_do (writers->server, "[{\"advance\": %d}]", AGE);
  bs_backing_release_path (writers->first, writers->path, NULL, NULL);
  track (writers->first, writers->path);
  assert_root (writers->first, writers->path, "new");
  other = persist_new (writers->first, writers->path, 100, 2);
  assert_saves (writers->first, writers->path, "mine", other);
  assert_found (writers, "mine", other, 100, 2);
}

/* Rule 6. A commit function has no root, and a lease that was taken away stops it: the
 * save's sync fails. */
static void
test_lease_alone (Writers *writers, gconstpointer data)
{
  g_autofree char *key = persist_new (writers->first, writers->path, 5000, 1);
  g_autoptr (GError) error = NULL;

  bs_backing_sync_persisted (writers->first, writers->path, NULL, &error);
  g_assert_no_error (error);
  take_over (writers);
  g_assert_false (bs_backing_sync_persisted (writers->first, writers->path, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_BUSY);
  g_clear_error (&error);
  g_assert_false (bs_backing_delete_persisted (writers->first, writers->path, key, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_BUSY);
  g_assert_cmpuint (count_keys (writers->second, writers->path), ==, 1);
}

/* A lock that somebody has deleted is a lease that was lost: the document is tracked anew. */
static void
test_lock_removed (Writers *writers, gconstpointer data)
{
  g_autoptr (GBytes) bytes = make_test_bytes (100, 1);
  g_autofree char *key = bs_key_generate ();
  g_autoptr (GError) error = NULL;

  server_do (writers->server, "[{\"remove\": \"top/document/.lock\"}]");
  g_assert_false (
    bs_backing_persist_bytes (writers->first, writers->path, key, bytes, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_BUSY);
  g_clear_error (&error);

  track (writers->first, writers->path);
  bs_backing_persist_bytes (writers->first, writers->path, key, bytes, NULL, &error);
  g_assert_no_error (error);
}

static gpointer
restore_in_thread (gpointer data)
{
  Writers *writers = data;
  g_autoptr (BsKeySet) found = bs_key_set_new ();
  GError *error = NULL;

  bs_backing_sanitize_path (writers->first, writers->path, found, NULL, &error);
  return error;
}

/* Sets a content aside, which is whole again then. Returns the name of its object. */
static char *
set_aside (Writers *writers, const char *key)
{
  g_auto (GStrv) parts = g_strsplit (key, "-", -1);
  g_autofree char *hex = g_strjoinv ("", parts);
  char *aside = g_strconcat ("top/document/.quarantine/", hex, NULL);
  g_autoptr (GError) error = NULL;

  server_do (writers->server, "[{\"spoil\": \"top/document/%.2s/%s\"}]", hex, hex);
  g_assert_false (bs_backing_verify_persisted (writers->first, writers->path, key, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_CORRUPT);
  server_do (writers->server, "[{\"spoil\": \"%s\"}]", aside);
  return aside;
}

/* Rule 5. A program that has lost the document deletes nothing in quarantine, since no root of
 * its own names the copy: one that it has put, or one of a call before. */
static void
put_back_late (Writers *writers, gboolean copied)
{
  g_autofree char *key = persist_new (writers->first, writers->path, 5000, 1);
  g_autofree char *aside = NULL;
  g_autofree char *answer = NULL;
  g_autoptr (GError) error = NULL;
  GThread *thread;
  guint64 n;

  assert_saves (writers->first, writers->path, "old", key);
  aside = set_aside (writers, key);
  bs_backing_release_path (writers->first, writers->path, NULL, NULL);
  g_object_set (writers->first, "restores", TRUE, NULL);
  if (copied)
    {
      server_do (writers->server, "[{\"fault\": \"403\", \"method\": \"DELETE\"}]");
      assert_track_fails (writers->first, writers->path, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);
    }
  server_do (writers->server,
             "[{\"clear\": true},"
             " {\"fault\": \"stall\", \"method\": \"GET\", \"key\": \"quarantine\"}]");
  thread = g_thread_new ("restore", restore_in_thread, writers);
  server_await_hit (writers->server);
  take_over (writers);
  assert_saves (writers->second, writers->path, "new", NULL);
  server_do (writers->server, "[{\"clear\": true}, {\"hang-up\": true}]");
  error = g_thread_join (thread);
  g_assert_error (error, BS_ERROR, BS_ERROR_BUSY);
  g_object_get (writers->first, "n-restored", &n, NULL);
  g_assert_cmpuint (n, ==, 0);
  answer = server_tell (writers->server, "[]");
  g_assert_nonnull (strstr (answer, aside));
  assert_found (writers, "new", NULL, 0, 0);

  /* Tracked anew, the document has it. */
  g_assert_finalize_object (g_steal_pointer (&writers->second));
  server_do (writers->server, "[{\"advance\": %d}]", AGE);
  track (writers->first, writers->path);
  g_object_get (writers->first, "n-restored", &n, NULL);
  g_assert_cmpuint (n, ==, 1);
  bs_backing_release_path (writers->first, writers->path, NULL, NULL);
  assert_found (writers, "new", key, 5000, 1);
}

static void
test_put_back (Writers *writers, gconstpointer data)
{
  put_back_late (writers, FALSE);
}

static void
test_put_back_again (Writers *writers, gconstpointer data)
{
  put_back_late (writers, TRUE);
}

/* While a request may still be carried out, the lease is not given back. */
static void
test_not_given_back (Writers *writers, gconstpointer data)
{
  g_autofree char *key = persist_new (writers->first, writers->path, 5000, 1);
  BsBacking *other = create_at (writers->server, NULL);

  delete_late (writers, key);
  bs_backing_release_path (writers->first, writers->path, NULL, NULL);
  assert_track_fails (other, writers->path, BS_ERROR, BS_ERROR_BUSY);
  server_do (writers->server, "[{\"advance\": %d}]", AGE);
  track (other, writers->path);
  g_assert_finalize_object (other);
}

/* A server that refuses requests for a while has none of them under way: the next program finds
 * the lease given back. */
static void
test_given_back (Writers *writers, gconstpointer data)
{
  static const char *const methods[] = { "PUT", "PART", "DELETE", "DELETE-MANY" };

  for (guint i = 0; i < G_N_ELEMENTS (methods); i++)
    {
      BsBacking *other = create_at (writers->server, NULL);
      g_autoptr (GError) error = NULL;
      g_autoptr (BsKeySet) keys = bs_key_set_new ();
      g_autofree char *key = NULL;
      g_autofree char *second = NULL;
      g_autofree char *large = NULL;

      track (writers->first, writers->path);
      server_do (writers->server,
                 "[{\"clear\": true}, {\"fault\": \"503\", \"method\": \"%s\", \"times\": 2}]",
                 methods[i]);
      key = persist_new (writers->first, writers->path, 5000, 1);
      second = persist_new (writers->first, writers->path, 5000, 1);
      large = persist_new (writers->first, writers->path, 20 * 1024 * 1024, 1);
      assert_saves (writers->first, writers->path, "root", NULL);
      bs_backing_delete_persisted (writers->first, writers->path, key, NULL, &error);
      g_assert_no_error (error);
      bs_key_set_add (keys, second, NULL);
      bs_key_set_add (keys, large, NULL);
      bs_backing_delete_persisted_keys (writers->first, writers->path, keys, NULL, &error);
      g_assert_no_error (error);
      g_assert_cmpint (server_count (writers->server, "hit"), ==, 2);
      server_do (writers->server, "[{\"clear\": true}, {\"fault\": \"503\", \"method\": \"PUT\"}]");
      bs_backing_release_path (writers->first, writers->path, NULL, NULL);
      g_assert_cmpint (server_count (writers->server, "hit"), ==, 1);
      track (other, writers->path);
      g_assert_finalize_object (other);
    }
}

static void
add (const char *name, void (*func) (Writers *writers, gconstpointer data), const char *parameters)
{
  g_autofree char *path = g_strconcat ("/s3/writers/", name, NULL);

  g_test_add (path, Writers, parameters, set_up_writers, func, tear_down_writers);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);

  add ("lease", test_lease, NULL);
  add ("nonce", test_nonce, NULL);
  add ("condition", test_condition, NULL);
  /* The first program asks again. */
  add ("built-upon", test_built_upon, "&timeout=2");
  add ("unclear-built-upon", test_unclear_built_upon, NULL);
  add ("unnamed", test_unnamed, NULL);
  add ("dropped", test_dropped, NULL);
  add ("opening", test_opening, NULL);
  add ("void", test_void, NULL);
  /* Each check renews a lease of a second. */
  add ("lease-alone", test_lease_alone, "&lease=1");
  add ("lock-removed", test_lock_removed, "&lease=1");
  add ("put-back", test_put_back, "&timeout=30");
  add ("put-back-again", test_put_back_again, "&timeout=30");
  add ("not-given-back", test_not_given_back, NULL);
  add ("given-back", test_given_back, NULL);

  return g_test_run ();
}
