/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* The engine "s3:": a document is a prefix of a bucket. The contract is tried at a server of
 * ours, which verifies each signature, at gofakes3, and with -m slow at Ceph. */

#include "s3-fixture.h"

#include <dlfcn.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Which request a fault is for. */
#define A_BLOB "\"method\": \"PUT\", \"key\": \"/[0-9a-f]{32}\""

static Server ours;
static Server gofakes3, before_gofakes3;
static Server ceph, before_ceph;

/* How many threads for requests cannot be made. */
static int n_refused;       /* atomic */
static int refuses_keepers; /* atomic: threads that renew leases cannot be made */
static int n_keepers;       /* atomic: those that could not */

/* Stands before GLib's: the engine calls this one. */
GThread *
g_thread_try_new (const char *name, GThreadFunc func, gpointer data, GError **error)
{
  static GThread *(*next) (const char *, GThreadFunc, gpointer, GError **);

  if (g_strcmp0 (name, "backingstore-s3") == 0 && g_atomic_int_get (&n_refused) > 0)
    {
      g_atomic_int_add (&n_refused, -1);
      return NULL;
    }
  if (g_strcmp0 (name, "backingstore-s3-lease") == 0 && g_atomic_int_get (&refuses_keepers))
    {
      g_atomic_int_inc (&n_keepers);
      return NULL;
    }

  if (g_atomic_pointer_get (&next) == NULL)
    g_atomic_pointer_set (&next, dlsym (RTLD_NEXT, "g_thread_try_new"));
  return next (name, func, data, error);
}

/* By how many seconds this machine has slept. */
static int asleep; /* atomic */

/* Stands before the C library's: the engine calls this one. */
int
clock_gettime (clockid_t clock, struct timespec *time)
{
  static int (*next) (clockid_t, struct timespec *);
  int result;

  if (g_atomic_pointer_get (&next) == NULL)
    g_atomic_pointer_set (&next,
                          dlsym (RTLD_NEXT, sizeof (time_t) > sizeof (long) ? "__clock_gettime64"
                                                                            : "clock_gettime"));
  result = next (clock, time);
  if (clock == CLOCK_BOOTTIME)
    time->tv_sec += g_atomic_int_get (&asleep);
  return result;
}

static GFile *
locate (GFile *directory, const char *name)
{
  g_autoptr (GFile) parent = g_file_get_parent (directory);
  g_autofree char *test = g_file_get_basename (parent);
  g_autofree char *path = g_strconcat (test, "/", name, NULL);

  return make_path (path);
}

static BsBacking *
create_at_ours (GFile *directory)
{
  return create_at (&ours, NULL);
}

static BsBacking *
create_at_gofakes3 (GFile *directory)
{
  return create_at (&before_gofakes3, NULL);
}

static BsBacking *
create_at_ceph (GFile *directory)
{
  return create_at (&before_ceph, NULL);
}

static void
finish (BsBacking *backing)
{
  g_autoptr (GError) error = NULL;

  bs_backing_close (backing, NULL, &error);
  g_assert_no_error (error);
  g_assert_finalize_object (backing);
}

static BsBacking *
restart_at_ours (BsBacking *backing, GFile *directory)
{
  finish (backing);
  return create_at_ours (directory);
}

static BsBacking *
restart_at_gofakes3 (BsBacking *backing, GFile *directory)
{
  finish (backing);
  return create_at_gofakes3 (directory);
}

static BsBacking *
restart_at_ceph (BsBacking *backing, GFile *directory)
{
  finish (backing);
  return create_at_ceph (directory);
}

static const BackingKind kinds[] = {
  { "/s3/ours", create_at_ours, restart_at_ours, locate },
  { "/s3/gofakes3", create_at_gofakes3, restart_at_gofakes3, locate },
  { "/s3/ceph", create_at_ceph, restart_at_ceph, locate },
};

static void
assert_names (Fixture *fixture, const char *names)
{
  g_autofree char *answer = server_tell (&fixture->server, "[]");
  g_autofree char *expected = g_strdup_printf ("\"names\": [%s]", names);

  if (strstr (answer, expected) == NULL)
    g_error ("%s is not in %s", expected, answer);
}

/* The bucket has what the reference says, and nothing else. */
static void
test_objects (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GBytes) bytes = make_test_bytes (100, 1);
  g_autoptr (GError) error = NULL;
  static const char key[] = "ab012345-6789-abcd-ef01-23456789abcd";

  track (fixture->backing, fixture->path);
  assert_names (fixture, "\"top/document/.backingstore\", \"top/document/.lock\", "
                         "\"top/document/root\"");
  bs_backing_persist_bytes (fixture->backing, fixture->path, key, bytes, NULL, &error);
  g_assert_no_error (error);
  assert_names (fixture, "\"top/document/.backingstore\", \"top/document/.lock\", "
                         "\"top/document/ab/ab0123456789abcdef0123456789abcd\", "
                         "\"top/document/root\"");
}

/* A prefix that holds something else is left alone; one that has lost its marker is not. */
static void
test_foreign (Fixture *fixture, gconstpointer data)
{
  g_autofree char *key = NULL;

  server_do (&fixture->server, "[{\"set\": \"top/document/holiday.jpeg\", \"body\": \"x\"}]");
  assert_track_fails (fixture->backing, fixture->path, BS_ERROR, BS_ERROR_FOREIGN);
  assert_names (fixture, "\"top/document/holiday.jpeg\"");

  server_do (&fixture->server, "[{\"remove\": \"top/document/holiday.jpeg\"}]");
  track (fixture->backing, fixture->path);
  key = persist_new (fixture->backing, fixture->path, 100, 1);
  bs_backing_release_path (fixture->backing, fixture->path, NULL, NULL);
  server_do (&fixture->server, "[{\"remove\": \"top/document/.backingstore\"}]");
  g_assert_cmpuint (count_keys (fixture->backing, fixture->path), ==, 1);
  bs_backing_release_path (fixture->backing, fixture->path, NULL, NULL);

  server_do (&fixture->server, "[{\"set\": \"top/document/.backingstore\", \"body\": \"2\"}]");
  assert_track_fails (fixture->backing, fixture->path, BS_ERROR, BS_ERROR_FOREIGN);
}

/* A lock that no program of this kind has written is that of nobody, unless it says so. */
static void
test_foreign_lock (Fixture *fixture, gconstpointer data)
{
  static const struct
  {
    const char *text;
    gboolean held;
  } locks[] = {
    { "", FALSE },
    { "\\n\\n", FALSE },
    { "\\u0000owner x\\nexpiry 60", FALSE },
    { "expiry -1", TRUE },
    { "expiry 99999999999999999999\\nhost %s%n", TRUE },
  };

  for (guint i = 0; i < G_N_ELEMENTS (locks); i++)
    {
      server_do (&fixture->server, "[{\"set\": \"top/document/.lock\", \"body\": \"%s\"}]",
                 locks[i].text);
      if (locks[i].held)
        assert_track_fails (fixture->backing, fixture->path, BS_ERROR, BS_ERROR_BUSY);
      else
        track (fixture->backing, fixture->path);
      bs_backing_release_path (fixture->backing, fixture->path, NULL, NULL);
    }
}

/* A document is tracked under one name at a time: each of two would replace the root of the
 * other one. */
static void
test_spellings (Fixture *fixture, gconstpointer data)
{
  static const char *const others[] = { "document/", "document//", "%64ocument" };

  for (guint i = 0; i < G_N_ELEMENTS (others); i++)
    {
      g_autoptr (GFile) other = make_path (others[i]);

      track (fixture->backing, fixture->path);
      assert_track_fails (fixture->backing, other, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
      bs_backing_release_path (fixture->backing, fixture->path, NULL, NULL);
      track (fixture->backing, other);
      assert_track_fails (fixture->backing, fixture->path, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
      bs_backing_release_path (fixture->backing, other, NULL, NULL);
    }
}

/* Each fault passes unseen, as often as there are attempts. */
static void
test_transient (Fixture *fixture, gconstpointer data)
{
  static const char *const faults[] = { "503",   "500",      "409",  "reset-before", "reset-after",
                                        "stall", "truncate", "long", "stall-after" };
  static const char *const kinds_of_request[] = { "PUT", "GET" };

  track (fixture->backing, fixture->path);
  for (guint i = 0; i < G_N_ELEMENTS (faults); i++)
    {
      for (guint j = 0; j < G_N_ELEMENTS (kinds_of_request); j++)
        {
          g_autoptr (GBytes) bytes = make_test_bytes (5000, i);
          g_autoptr (GError) error = NULL;
          g_autofree char *key = NULL;

          if (j == 0 && (g_str_equal (faults[i], "truncate") || g_str_equal (faults[i], "long")))
            continue; /* the answer to a PUT has no body */
          if (!tests_are_whole () && g_str_has_prefix (faults[i], "stall") && (i + j) % 2 == 0)
            continue;
          g_test_message ("%s of a %s", faults[i], kinds_of_request[j]);
          server_do (&fixture->server,
                     "[{\"clear\": true}, {\"fault\": \"%s\", \"method\": \"%s\", \"times\": %u}]",
                     faults[i], kinds_of_request[j], g_str_has_prefix (faults[i], "stall") ? 1 : 2);
          key = persist_new (fixture->backing, fixture->path, 5000, i);
          assert_reads (fixture->backing, key, bytes);
          g_assert_cmpint (server_count (&fixture->server, kinds_of_request[j]), >=, 2);
        }
    }
  server_do (&fixture->server, "[{\"clear\": true}]");
}

/* Of what a server may say of the time, seconds count. */
static void
test_retry_after (Fixture *fixture, gconstpointer data)
{
  static const char *const values[] = { "Fri, 31 Dec 2100 23:59:59 GMT", "-1",
                                        "99999999999999999999", "1" };
  gint64 begun = 0;

  track (fixture->backing, fixture->path);
  for (guint i = 0; i < G_N_ELEMENTS (values); i++)
    {
      g_autofree char *key = NULL;

      server_do (&fixture->server,
                 "[{\"clear\": true}, {\"fault\": \"503 SlowDown %s\", " A_BLOB "}]", values[i]);
      begun = g_get_monotonic_time ();
      key = persist_new (fixture->backing, fixture->path, 100, i);
      g_assert_cmpint (server_count (&fixture->server, "hit"), ==, 1);
    }
  /* Slower machines take longer. */
  g_assert_cmpint (g_get_monotonic_time () - begun, >=, G_USEC_PER_SEC);
}

/* A root whose answer is lost is there, once. */
static void
test_lost_root (Fixture *fixture, gconstpointer data)
{
  static const char *const faults[] = { "reset-after", "503", "twice", "409" };

  track (fixture->backing, fixture->path);
  for (guint i = 0; i < G_N_ELEMENTS (faults); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autofree char *key = persist_new (fixture->backing, fixture->path, 10, i);

      server_do (&fixture->server, "[{\"fault\": \"%s\", \"method\": \"PUT\", \"key\": \"root$\"}]",
                 faults[i]);
      g_assert_true (save (fixture->backing, fixture->path, faults[i], &error, key, NULL));
      g_assert_no_error (error);
      server_do (&fixture->server, "[{\"deliver\": true}]");
      assert_root (fixture->backing, fixture->path, faults[i]);
    }
}

/* A document is opened whichever answers to its PUTs are lost: what stands in the lock is the
 * program's own. */
static void
test_lost_lock (Fixture *fixture, gconstpointer data)
{
  /* The lease is taken, put again, and put in two ways that the server must refuse. */
  for (guint i = 0; i < 4; i++)
    {
      server_do (&fixture->server,
                 "[{\"clear\": true}, {\"fault\": \"reset-after\", \"method\": \"PUT\", "
                 "\"key\": \"lock$\", \"nth\": %u}]",
                 i + 1);
      track (fixture->backing, fixture->path);
      g_assert_cmpint (server_count (&fixture->server, "hit"), ==, 1);
      bs_backing_release_path (fixture->backing, fixture->path, NULL, NULL);
    }
}

/* A server that is down, or answers otherwise than it should, ends in an error. */
static void
test_permanent (Fixture *fixture, gconstpointer data)
{
  static const struct
  {
    const char *fault;
    int code;
  } faults[] = {
    { "403", G_IO_ERROR_PERMISSION_DENIED },
    { "503", G_IO_ERROR_BUSY },
    { "reset-before", G_IO_ERROR_CONNECTION_CLOSED },
  };
  g_autofree char *kept = NULL;

  track (fixture->backing, fixture->path);
  kept = persist_new (fixture->backing, fixture->path, 10, 1);
  for (guint i = 0; i < G_N_ELEMENTS (faults); i++)
    {
      g_autoptr (GBytes) bytes = make_test_bytes (10, 1);
      g_autofree char *key = bs_key_generate ();
      g_autoptr (GError) error = NULL;

      if (!tests_are_whole () && i > 1)
        break;
      server_do (&fixture->server,
                 "[{\"clear\": true}, {\"fault\": \"%s\", \"method\": \"PUT\", \"times\": 100}]",
                 faults[i].fault);
      g_assert_false (
        bs_backing_persist_bytes (fixture->backing, fixture->path, key, bytes, NULL, &error));
      g_assert_error (error, G_IO_ERROR, faults[i].code);
      g_assert_nonnull (strstr (error->message, key));
      g_assert_null (strstr (error->message, "wJalr"));
      g_assert_null (strstr (error->message, "AKIA"));
      server_do (&fixture->server, "[{\"clear\": true}]");
      g_assert_cmpuint (count_keys (fixture->backing, fixture->path), ==, i + 1);
      g_clear_error (&error);
      g_assert_true (
        bs_backing_persist_bytes (fixture->backing, fixture->path, key, bytes, NULL, &error));
      g_assert_no_error (error);
    }
}

static void
test_redirect (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GBytes) bytes = make_test_bytes (10, 1);
  g_autofree char *key = bs_key_generate ();
  g_autoptr (GError) error = NULL;

  track (fixture->backing, fixture->path);
  server_do (&fixture->server, "[{\"fault\": \"redirect\", \"method\": \"PUT\"}]");
  g_assert_false (
    bs_backing_persist_bytes (fixture->backing, fixture->path, key, bytes, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_NOT_SUPPORTED);
  g_assert_cmpint (server_count (&fixture->server, "redirected"), ==, 0);
}

/* A backing closes although the server is away, or refuses for long. libcurl asks once more by
 * itself where a connection that was open has gone. */
static void
test_close (Fixture *fixture, gconstpointer data)
{
  static const struct
  {
    const char *fault;
    int at_most;
  } faults[] = { { "reset-before", 2 }, { "503", 4 } };

  for (guint i = 0; i < G_N_ELEMENTS (faults); i++)
    {
      g_autofree char *name = g_strdup_printf ("document-%u", i);
      g_autoptr (GFile) path = make_path (name);
      BsBacking *backing = create_at (&fixture->server, NULL);

      track (backing, path);
      server_do (&fixture->server,
                 "[{\"clear\": true}, {\"fault\": \"%s\", \"method\": \"PUT\", "
                 "\"times\": 100}]",
                 faults[i].fault);
      finish (backing);
      g_assert_cmpint (server_count (&fixture->server, "PUT"), <=, faults[i].at_most);
      server_do (&fixture->server, "[{\"clear\": true}]");
    }
}

/* A lease runs on while the machine sleeps, as other clocks do not. */
static void
test_sleep (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  track (fixture->backing, fixture->path);
  server_do (&fixture->server, "[{\"clear\": true}]");
  bs_backing_sync_persisted (fixture->backing, fixture->path, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (server_count (&fixture->server, "PUT"), ==, -1);

  g_atomic_int_set (&asleep, 3600);
  bs_backing_sync_persisted (fixture->backing, fixture->path, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (server_count (&fixture->server, "PUT"), ==, 1);
  g_atomic_int_set (&asleep, 0);
}

/* Each blob is durable as soon as it is put. */
static void
test_sync (Fixture *fixture, gconstpointer data)
{
  g_autofree char *key = NULL;
  g_autoptr (GError) error = NULL;
  int n;

  track (fixture->backing, fixture->path);
  key = persist_new (fixture->backing, fixture->path, 100, 1);
  n = server_count (&fixture->server, "all");
  bs_backing_sync_persisted (fixture->backing, fixture->path, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (server_count (&fixture->server, "all"), ==, n);
}

/* Where no thread can be made, requests are made again, and leases are renewed by operations. */
static void
test_no_threads (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GFile) other = make_path ("other");
  g_autofree char *key = NULL;

  g_atomic_int_set (&n_refused, 2);
  g_atomic_int_set (&refuses_keepers, TRUE);
  track (fixture->backing, fixture->path);
  track (fixture->backing, other);
  g_assert_cmpint (g_atomic_int_get (&n_refused), ==, 0);
  g_assert_cmpint (g_atomic_int_get (&n_keepers), ==, 2);
  server_do (&fixture->server, "[{\"clear\": true}]");
  key = persist_new (fixture->backing, fixture->path, 100, 1);
  g_assert_true (save (fixture->backing, fixture->path, "root", NULL, key, NULL));
  /* The lease of a second, the blob, and the root. */
  g_assert_cmpint (server_count (&fixture->server, "PUT"), >=, 3);
  g_atomic_int_set (&refuses_keepers, FALSE);
}

/* A child of a fork changes nothing of its parent's, and none of its calls hangs. */
static void
test_fork (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GBytes) bytes = make_test_bytes (5000, 1);
  g_autofree char *key = NULL;
  pid_t pid;
  int status;

  track (fixture->backing, fixture->path);
  key = persist_new (fixture->backing, fixture->path, 5000, 1);
  pid = fork ();
  g_assert_no_errno (pid);
  if (pid == 0)
    {
      g_autoptr (GError) error = NULL;

      alarm (SECONDS);
      if (bs_backing_read (fixture->backing, key, NULL, &error) != NULL ||
          !g_error_matches (error, BS_ERROR, BS_ERROR_CLOSED) ||
          !bs_backing_release_path (fixture->backing, fixture->path, NULL, NULL))
        _exit (1);
      g_object_unref (fixture->backing);
      _exit (0);
    }
  g_assert_no_errno (waitpid (pid, &status, 0));
  g_assert_true (WIFEXITED (status) && WEXITSTATUS (status) == 0);
  assert_reads (fixture->backing, key, bytes);
}

/* A content that is not the one that was put is never read. */
static void
test_corrupt (Fixture *fixture, gconstpointer data)
{
  static const char *const faults[] = { "corrupt", "short", "garbage" };
  g_autofree char *key = NULL;

  track (fixture->backing, fixture->path);
  key = persist_new (fixture->backing, fixture->path, 5000, 1);
  for (guint i = 0; i < G_N_ELEMENTS (faults); i++)
    {
      g_autoptr (GError) error = NULL;

      server_do (&fixture->server, "[{\"fault\": \"%s\", \"method\": \"GET\"}]", faults[i]);
      g_assert_null (bs_backing_read (fixture->backing, key, NULL, &error));
      g_assert_error (error, BS_ERROR, BS_ERROR_CORRUPT);
    }
}

static char *
name_object (const char *key)
{
  g_auto (GStrv) parts = g_strsplit (key, "-", -1);
  g_autofree char *hex = g_strjoinv ("", parts);

  return g_strdup_printf ("top/document/%.2s/%s", hex, hex);
}

/* A bad blob is set aside, and neither the path nor the root has it any more. */
static void
test_verify (Fixture *fixture, gconstpointer data)
{
  g_autofree char *good = NULL;
  g_autofree char *bad = NULL;
  g_autofree char *object = NULL;
  g_autofree char *answer = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *never = bs_key_generate ();

  track (fixture->backing, fixture->path);
  good = persist_new (fixture->backing, fixture->path, 5000, 1);
  bad = persist_new (fixture->backing, fixture->path, 5000, 2);
  g_assert_true (save (fixture->backing, fixture->path, "root", NULL, good, bad, NULL));
  object = name_object (bad);
  server_do (&fixture->server, "[{\"spoil\": \"%s\"}]", object);

  g_assert_true (bs_backing_verify_persisted (fixture->backing, fixture->path, good, NULL, &error));
  g_assert_no_error (error);
  g_assert_false (bs_backing_verify_persisted (fixture->backing, fixture->path, bad, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_CORRUPT);
  g_clear_error (&error);
  g_assert_false (
    bs_backing_verify_persisted (fixture->backing, fixture->path, never, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_NOT_FOUND);
  g_assert_cmpuint (count_keys (fixture->backing, fixture->path), ==, 1);
  assert_root (fixture->backing, fixture->path, "root");
  answer = server_tell (&fixture->server, "[]");
  g_assert_nonnull (strstr (answer, "top/document/.quarantine/"));
  g_assert_null (strstr (answer, object));
}

/* From 16 MiB a content goes in parts, and leaves none behind where it fails. */
static void
test_large (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GBytes) bytes = make_test_bytes (20 * 1024 * 1024 + 1, 1);
  g_autoptr (GError) error = NULL;
  g_autofree char *key = bs_key_generate ();
  g_autofree char *second = bs_key_generate ();
  g_autofree char *third = NULL;

  track (fixture->backing, fixture->path);
  server_do (&fixture->server, "[{\"fault\": \"403\", \"method\": \"PART\", \"nth\": 3}]");
  g_assert_false (
    bs_backing_persist_bytes (fixture->backing, fixture->path, key, bytes, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);
  g_clear_error (&error);
  g_assert_cmpint (server_count (&fixture->server, "uploads"), ==, 0);
  g_assert_cmpuint (count_keys (fixture->backing, fixture->path), ==, 0);

  bs_backing_persist_bytes (fixture->backing, fixture->path, key, bytes, NULL, &error);
  g_assert_no_error (error);
  assert_reads (fixture->backing, key, bytes);

  /* The last request fails inside a success. */
  server_do (&fixture->server, "[{\"clear\": true}, {\"fault\": \"200 InternalError\", \"method\": "
                               "\"PART\", \"nth\": 5}]");
  third = persist_new (fixture->backing, fixture->path, 20 * 1024 * 1024 + 1, 1);
  assert_reads (fixture->backing, third, bytes);
  server_do (&fixture->server, "[{\"clear\": true}, {\"fault\": \"200\", \"method\": "
                               "\"PART\", \"nth\": 5}]");
  g_assert_false (
    bs_backing_persist_bytes (fixture->backing, fixture->path, second, bytes, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_FAILED);
  g_clear_error (&error);

  /* The answer to the last request is lost: the upload is not there any more. */
  server_do (&fixture->server,
             "[{\"clear\": true}, {\"fault\": \"reset-after\", \"method\": \"PART\", "
             "\"nth\": 5}]");
  bs_backing_persist_bytes (fixture->backing, fixture->path, second, bytes, NULL, &error);
  g_assert_no_error (error);
  assert_reads (fixture->backing, second, bytes);
  g_assert_cmpint (server_count (&fixture->server, "uploads"), ==, 0);
}

/* A server may delete some and refuse others: success is said of all or of none. */
static void
test_partial_deletion (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsKeySet) keys = bs_key_set_new ();
  g_autoptr (GError) error = NULL;
  g_autofree char *first = NULL;
  g_autofree char *second = NULL;
  g_autofree char *object = NULL;

  track (fixture->backing, fixture->path);
  first = persist_new (fixture->backing, fixture->path, 10, 1);
  second = persist_new (fixture->backing, fixture->path, 10, 2);
  bs_key_set_add (keys, first, NULL);
  bs_key_set_add (keys, second, NULL);
  object = name_object (first);
  server_do (&fixture->server, "[{\"quirk\": \"keeps\", \"value\": \"%s\"}]", object);
  g_assert_false (
    bs_backing_delete_persisted_keys (fixture->backing, fixture->path, keys, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);
  g_clear_error (&error);

  server_do (&fixture->server, "[{\"clear\": true}]");
  bs_backing_delete_persisted_keys (fixture->backing, fixture->path, keys, NULL, &error);
  g_assert_no_error (error);
  assert_names (fixture, "\"top/document/.backingstore\", \"top/document/.lock\", "
                         "\"top/document/root\"");
}

typedef struct
{
  Fixture *fixture;
  GCancellable *cancellable;
  GError *error;
  gint64 ended;
} Stalled;

static gpointer
persist_stalled (gpointer data)
{
  Stalled *stalled = data;
  g_autoptr (GBytes) bytes = make_test_bytes (100, 1);
  g_autofree char *key = bs_key_generate ();

  bs_backing_persist_bytes (stalled->fixture->backing, stalled->fixture->path, key, bytes,
                            stalled->cancellable, &stalled->error);
  stalled->ended = g_get_monotonic_time ();
  return NULL;
}

/* A call that is cancelled ends at once, whatever the server does: well before the engine's
 * time-out, which is beyond the test's. */
static void
test_cancel (Fixture *fixture, gconstpointer data)
{
  static const char *const faults[] = { "stall", "stall-after", "503", "503 SlowDown 5" };

  track (fixture->backing, fixture->path);
  for (guint i = 0; i < G_N_ELEMENTS (faults); i++)
    {
      Stalled stalled = { fixture, g_cancellable_new () };
      GThread *thread;
      gint64 fired;

      server_do (&fixture->server,
                 "[{\"clear\": true}, {\"fault\": \"%s\", \"method\": \"PUT\", "
                 "\"times\": 100}]",
                 faults[i]);
      thread = g_thread_new ("stalled", persist_stalled, &stalled);
      server_await_hit (&fixture->server);
      fired = g_get_monotonic_time ();
      g_cancellable_cancel (stalled.cancellable);
      g_thread_join (thread);
      g_assert_error (stalled.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
      g_test_minimized_result ((stalled.ended - fired) / 1e6,
                               "cancelled after %" G_GINT64_FORMAT " µs", stalled.ended - fired);
      g_error_free (stalled.error);
      g_object_unref (stalled.cancellable);
    }
  server_do (&fixture->server, "[{\"clear\": true}]");
}

/* Blobs that were read are kept within a budget, and the others are read again. */
static void
test_cache (Fixture *fixture, gconstpointer data)
{
  char *keys[10];
  int n_before;

  track (fixture->backing, fixture->path);
  for (guint i = 0; i < G_N_ELEMENTS (keys); i++)
    keys[i] = persist_new (fixture->backing, fixture->path, 10000, i);
  for (guint i = 0; i < G_N_ELEMENTS (keys); i++)
    {
      g_autoptr (GBytes) bytes = make_test_bytes (10000, i);

      assert_reads (fixture->backing, keys[i], bytes);
    }
  n_before = server_count (&fixture->server, "GET");
  for (int i = G_N_ELEMENTS (keys) - 1; i >= 0; i--)
    {
      g_autoptr (GBytes) bytes = make_test_bytes (10000, i);

      assert_reads (fixture->backing, keys[i], bytes);
    }
  /* The budget is for three and a half of them. */
  g_assert_cmpint (server_count (&fixture->server, "GET") - n_before, ==, 7);

  /* A blob that was written and not persisted is none of the cache's. */
  {
    g_autoptr (GBytes) bytes = make_test_bytes (50000, 50);
    g_autofree char *key = write_new (fixture->backing, bytes);

    assert_reads (fixture->backing, key, bytes);
    for (guint i = 0; i < G_N_ELEMENTS (keys); i++)
      {
        g_autoptr (GBytes) other = make_test_bytes (10000, i);

        assert_reads (fixture->backing, keys[i], other);
      }
    assert_reads (fixture->backing, key, bytes);
  }
  for (guint i = 0; i < G_N_ELEMENTS (keys); i++)
    g_free (keys[i]);
}

/* A document that cannot be written can be read. */
static void
test_read_only (Fixture *fixture, gconstpointer data)
{
  static const struct
  {
    const char *quirk;
    int code;
  } quirks[] = {
    { "read-only", G_IO_ERROR_PERMISSION_DENIED },
    { "ignores-conditions", G_IO_ERROR_READ_ONLY },
    { "refuses-conditions", G_IO_ERROR_READ_ONLY },
  };
  g_autoptr (GBytes) bytes = make_test_bytes (5000, 1);
  g_autofree char *key = NULL;

  track (fixture->backing, fixture->path);
  key = persist_new (fixture->backing, fixture->path, 5000, 1);
  g_assert_true (save (fixture->backing, fixture->path, "root", NULL, key, NULL));
  finish (g_steal_pointer (&fixture->backing));

  for (guint i = 0; i < G_N_ELEMENTS (quirks); i++)
    {
      g_autoptr (GError) error = NULL;
      BsBacking *backing = create_at (&fixture->server, NULL);
      g_autofree char *other = write_new (backing, bytes);

      server_do (&fixture->server, "[{\"clear\": true}, {\"quirk\": \"%s\", \"value\": true}]",
                 quirks[i].quirk);
      g_assert_cmpuint (count_keys (backing, fixture->path), ==, 1);
      assert_root (backing, fixture->path, "root");
      bs_backing_register_key (backing, fixture->path, key, NULL, &error);
      g_assert_no_error (error);
      assert_reads (backing, key, bytes);

      g_assert_false (bs_backing_persist (backing, fixture->path, other, NULL, &error));
      g_assert_error (error, G_IO_ERROR, quirks[i].code);
      g_clear_error (&error);
      g_assert_false (bs_backing_delete_persisted (backing, fixture->path, key, NULL, &error));
      g_assert_error (error, G_IO_ERROR, quirks[i].code);
      g_clear_error (&error);
      g_assert_false (save (backing, fixture->path, "other", &error, key, NULL));
      g_assert_error (error, G_IO_ERROR, quirks[i].code);
      finish (backing);
    }
}

/* A document whose root or marker cannot be read is none to work with: the error names the object,
 * and the next program finds the document free. */
static void
test_unreadable (Fixture *fixture, gconstpointer data)
{
  static const char *const objects[] = { "top/document/root", "top/document/.backingstore" };

  for (guint i = 0; i < G_N_ELEMENTS (objects); i++)
    {
      g_autoptr (BsKeySet) found = bs_key_set_new ();
      g_autoptr (GError) error = NULL;
      BsBacking *other = create_at (&fixture->server, NULL);

      server_do (&fixture->server,
                 "[{\"fault\": \"403\", \"method\": \"GET\", \"key\": \"^%s$\", \"times\": 100}]",
                 objects[i]);
      g_assert_false (
        bs_backing_sanitize_path (fixture->backing, fixture->path, found, NULL, &error));
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);
      g_assert_nonnull (strstr (error->message, objects[i]));
      server_do (&fixture->server, "[{\"clear\": true}]");
      track (other, fixture->path);
      finish (other);
    }
}

/* A backing that only reads sends no request that changes anything. */
static void
test_read_only_backing (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GFile) missing = make_path ("missing");
  g_autoptr (BsBacking) reader = create_at (&fixture->server, NULL);
  g_autofree char *key = NULL;
  g_autoptr (GError) error = NULL;
  int n_puts;

  track (fixture->backing, fixture->path);
  key = persist_new (fixture->backing, fixture->path, 5000, 1);
  g_assert_true (save (fixture->backing, fixture->path, "root", NULL, key, NULL));
  finish (g_steal_pointer (&fixture->backing));

  n_puts = server_count (&fixture->server, "PUT");
  g_object_set (reader, "read-only", TRUE, NULL);
  g_assert_cmpuint (count_keys (reader, fixture->path), ==, 1);
  assert_root (reader, fixture->path, "root");
  bs_backing_verify_persisted (reader, fixture->path, key, NULL, &error);
  g_assert_no_error (error);
  g_assert_false (bs_backing_delete_persisted (reader, fixture->path, key, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_READ_ONLY);
  g_clear_error (&error);
  g_assert_false (save (reader, fixture->path, "other", &error, key, NULL));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_READ_ONLY);
  g_assert_cmpuint (count_keys (reader, missing), ==, 0);
  bs_backing_close (reader, NULL, NULL);
  g_assert_cmpint (server_count (&fixture->server, "PUT"), ==, n_puts);
}

/* Ceph 16 knows no quotes. */
static void
test_unquoted (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  server_do (&fixture->server, "[{\"quirk\": \"unquoted\", \"value\": true}]");
  for (guint i = 0; i < 2; i++)
    {
      g_autofree char *key = NULL;

      track (fixture->backing, fixture->path);
      key = persist_new (fixture->backing, fixture->path, 10, i);
      for (guint j = 0; j < 3; j++)
        {
          g_assert_true (save (fixture->backing, fixture->path, "root", &error, key, NULL));
          g_assert_no_error (error);
        }
      finish (fixture->backing);
      fixture->backing = create_at (&fixture->server, NULL);
    }
}

/* The clock of this machine is hours off, or the server's. */
static void
test_clock (Fixture *fixture, gconstpointer data)
{
  g_autofree char *key = NULL;

  server_do (&fixture->server, "[{\"advance\": 7200}]");
  track (fixture->backing, fixture->path);
  server_do (&fixture->server, "[{\"advance\": -14400}]");
  key = persist_new (fixture->backing, fixture->path, 10, 1);
  g_assert_true (save (fixture->backing, fixture->path, "root", NULL, key, NULL));
}

/* Many pages are listed side by side, and each name is found once. */
static void
test_list (Fixture *fixture, gconstpointer data)
{
  const guint n = tests_are_whole () ? 100000 : 20000;
  g_autoptr (GString) commands = g_string_new ("[");
  g_autofree char *answer = NULL;

  for (guint i = 0; i < n; i++)
    {
      g_autofree char *key = bs_key_generate ();
      g_autofree char *object = name_object (key);

      g_string_append_printf (commands, "{\"set\": \"%s\", \"body\": \"x\"},", object);
    }
  commands->str[commands->len - 1] = ']';
  server_do (&fixture->server, "%s", commands->str);

  g_assert_cmpuint (count_keys (fixture->backing, fixture->path), ==, n);
  answer = server_tell (&fixture->server, "[]");
  g_test_message ("%d list requests for %u keys", answer_get_number (answer, "LIST"), n);
  g_assert_cmpint (answer_get_number (answer, "LIST"), <=, n / 1000 + 10);
}

/* The server answers once so many lists are there. The first page has names that begin alike,
 * as if there were very many of them. */
static void
test_lists_together (Fixture *fixture, gconstpointer data)
{
  const guint n = 1001;
  g_autoptr (GString) commands = g_string_new ("[");

  for (guint i = 0; i < n; i++)
    g_string_append_printf (commands, "{\"set\": \"top/document/00/%032x\", \"body\": \"x\"},", i);
  server_do (&fixture->server,
             "%s{\"fault\": \"gather 16\", \"method\": \"LIST\", \"nth\": 3, \"times\": 16}]",
             commands->str);
  g_assert_cmpuint (count_keys (fixture->backing, fixture->path), ==, n);
  g_assert_cmpint (server_count (&fixture->server, "hit"), ==, 16);
}

/* A server that begins its list anew each time is not asked for ever; and what is no list is
 * none without a name. */
static void
test_no_list (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GString) commands = g_string_new ("[{\"quirk\": \"begins-anew\", \"value\": true}");

  for (guint i = 0; i < 1500; i++)
    {
      g_autofree char *key = bs_key_generate ();
      g_autofree char *object = name_object (key);

      g_string_append_printf (commands, ", {\"set\": \"%s\", \"body\": \"x\"}", object);
    }
  server_do (&fixture->server, "%s]", commands->str);
  assert_track_fails (fixture->backing, fixture->path, BS_ERROR, BS_ERROR_FAILED);

  server_do (&fixture->server, "[{\"clear\": true}]");
  g_assert_cmpuint (count_keys (fixture->backing, fixture->path), ==, 1500);
  bs_backing_release_path (fixture->backing, fixture->path, NULL, NULL);
  server_do (&fixture->server, "[{\"fault\": \"200 Foreign\", \"method\": \"LIST\"}]");
  assert_track_fails (fixture->backing, fixture->path, BS_ERROR, BS_ERROR_FAILED);
}

/* A server deletes 1,000 objects at a time. */
static void
test_many_deletions (Fixture *fixture, gconstpointer data)
{
  const guint n = 2001;
  g_autoptr (GString) commands = g_string_new ("[");
  g_autoptr (BsKeySet) keys = bs_key_set_new ();
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < n; i++)
    {
      g_autofree char *key = bs_key_generate ();
      g_autofree char *object = name_object (key);

      bs_key_set_add (keys, key, NULL);
      g_string_append_printf (commands, "{\"set\": \"%s\", \"body\": \"x\"},", object);
    }
  commands->str[commands->len - 1] = ']';
  server_do (&fixture->server, "%s", commands->str);
  track (fixture->backing, fixture->path);
  bs_backing_delete_persisted_keys (fixture->backing, fixture->path, keys, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (server_count (&fixture->server, "DELETE-MANY"), ==, 3);
  assert_names (fixture, "\"top/document/.backingstore\", \"top/document/.lock\", "
                         "\"top/document/root\"");
}

/* A session's credentials that were renewed in the file are read again. */
static void
test_token (Fixture *fixture, gconstpointer data)
{
  g_autofree char *directory = make_test_directory ();
  g_autofree char *file = g_build_filename (directory, "credentials", NULL);
  static const char text[] = "[default]\naws_access_key_id=AKIAIOSFODNN7EXAMPLE\n"
                             "aws_secret_access_key=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\n"
                             "aws_session_token=first\n";
  g_autofree char *renewed = g_strconcat (text, NULL);
  g_autofree char *key = NULL;

  g_unsetenv ("AWS_ACCESS_KEY_ID");
  g_setenv ("AWS_SHARED_CREDENTIALS_FILE", file, TRUE);
  g_assert_true (g_file_set_contents (file, text, -1, NULL));
  server_do (&fixture->server, "[{\"quirk\": \"token\", \"value\": \"first\"}]");
  track (fixture->backing, fixture->path);

  memcpy (strstr (renewed, "first"), "other", 5);
  g_assert_true (g_file_set_contents (file, renewed, -1, NULL));
  server_do (&fixture->server, "[{\"quirk\": \"token\", \"value\": \"other\"}]");
  key = persist_new (fixture->backing, fixture->path, 10, 1);
  remove_test_directory (directory);
}

/* A request that fails for the credentials or the clock is made again with new ones, also after
 * attempts that failed for another reason. */
static void
test_mended (Fixture *fixture, gconstpointer data)
{
  static const char *const codes[] = { "400 ExpiredToken",         "400 InvalidToken",
                                       "403 InvalidAccessKeyId",   "403 SignatureDoesNotMatch",
                                       "403 RequestTimeTooSkewed", "400 IncompleteBody" };
  g_autoptr (GBytes) bytes = make_test_bytes (10, 1);
  g_autofree char *key = bs_key_generate ();
  g_autoptr (GError) error = NULL;

  track (fixture->backing, fixture->path);
  for (guint i = 0; i < G_N_ELEMENTS (codes); i++)
    {
      g_autofree char *other = NULL;

      server_do (&fixture->server,
                 "[{\"clear\": true}, {\"fault\": \"503\", " A_BLOB ", \"times\": 2},"
                 " {\"fault\": \"%s\", " A_BLOB "}]",
                 codes[i]);
      other = persist_new (fixture->backing, fixture->path, 10, 1);
      g_assert_cmpint (server_count (&fixture->server, "hit"), ==, 3);
    }

  server_do (&fixture->server,
             "[{\"clear\": true}, {\"fault\": \"400 ExpiredToken\", " A_BLOB ", \"times\": 100}]");
  g_assert_false (
    bs_backing_persist_bytes (fixture->backing, fixture->path, key, bytes, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);
  g_assert_cmpint (server_count (&fixture->server, "hit"), ==, 3);
}

/* A success is believed where the server says what it has stored. */
static void
test_hollow (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GBytes) bytes = make_test_bytes (10, 1);
  g_autofree char *key = bs_key_generate ();
  g_autofree char *left = NULL;
  g_autoptr (BsKeySet) keys = bs_key_set_new ();
  g_autoptr (GHashTable) contents = g_hash_table_new (g_str_hash, g_str_equal);
  g_autoptr (GError) error = NULL;

  track (fixture->backing, fixture->path);
  left = persist_new (fixture->backing, fixture->path, 10, 1);
  server_do (&fixture->server, "[{\"fault\": \"200\", " A_BLOB ", \"times\": 2}]");
  g_assert_false (
    bs_backing_persist_bytes (fixture->backing, fixture->path, key, bytes, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_FAILED);
  g_clear_error (&error);
  bs_key_set_add (keys, key, NULL);
  g_hash_table_insert (contents, key, bytes);
  g_assert_false (
    bs_backing_persist_keys (fixture->backing, fixture->path, keys, contents, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_FAILED);
  g_clear_error (&error);
  g_assert_cmpuint (count_keys (fixture->backing, fixture->path), ==, 1);

  /* An object that an earlier opening has put is copied. */
  bs_backing_release_path (fixture->backing, fixture->path, NULL, NULL);
  track (fixture->backing, fixture->path);
  server_do (&fixture->server, "[{\"fault\": \"200\", \"method\": \"COPY\"}]");
  g_assert_false (save (fixture->backing, fixture->path, "root", &error, left, NULL));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_FAILED);
  g_clear_error (&error);
  /* A success with an error inside passes. */
  server_do (&fixture->server, "[{\"fault\": \"200 InternalError\", \"method\": \"COPY\"}]");
  save (fixture->backing, fixture->path, "root", &error, left, NULL);
  g_assert_no_error (error);
  g_assert_cmpint (server_count (&fixture->server, "COPY"), ==, 3);
}

static void
test_no_credentials (Fixture *fixture, gconstpointer data)
{
  g_unsetenv ("AWS_ACCESS_KEY_ID");
  assert_track_fails (fixture->backing, fixture->path, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);
}

static void
test_nobody (void)
{
  Server nobody = { .port = 1 };
  BsBacking *backing = create_at (&nobody, NULL);
  g_autoptr (GFile) path = make_path ("document");
  g_autoptr (GFile) local = g_file_new_for_path ("/a");

  set_up_environment ();
  assert_track_fails (backing, path, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED);
  assert_track_fails (backing, local, BS_ERROR, BS_ERROR_NOT_SUPPORTED);
  finish (backing);
}

static void
try_certificate (Server *server, GFile *path, gboolean good)
{
  BsBacking *backing = create_at (server, NULL);

  if (good)
    track (backing, path);
  else
    assert_track_fails (backing, path, G_TLS_ERROR, G_TLS_ERROR_BAD_CERTIFICATE);
  finish (backing);
}

/* A certificate that no authority of the system has signed is refused; and so is one of another
 * server, or of another time, whatever has signed it. */
static void
test_certificate (void)
{
  static const struct
  {
    const char *name;
    gboolean expired;
    gboolean good;
  } certificates[] = {
    { "IP:127.0.0.1", FALSE, TRUE },
    { "IP:127.0.0.2", FALSE, FALSE },
    { "DNS:localhost", FALSE, FALSE },
    { "IP:127.0.0.1", TRUE, FALSE },
  };
  g_autoptr (GFile) path = make_path ("document");

  for (guint i = 0; i < G_N_ELEMENTS (certificates); i++)
    {
      g_autofree char *directory = make_test_directory ();
      g_autofree char *certificate = NULL;
      Server server = { NULL };

      alarm (SECONDS);
      set_up_environment ();
      if (server_start_secure (&server, directory, certificates[i].name, certificates[i].expired,
                               &certificate))
        {
          try_certificate (&server, path, FALSE);
          g_setenv ("AWS_CA_BUNDLE", certificate, TRUE);
          try_certificate (&server, path, certificates[i].good);
          server_stop (&server);
        }
      else
        {
          g_test_skip ("there is no certificate or no server");
        }
      g_unsetenv ("AWS_CA_BUNDLE");
      remove_test_directory (directory);
    }
  alarm (0);
}

static void
add (const char *name, void (*func) (Fixture *fixture, gconstpointer data), const char *parameters)
{
  g_autofree char *path = g_strconcat ("/s3/", name, NULL);

  g_test_add (path, Fixture, parameters, set_up, func, tear_down);
}

static void
skip (void)
{
  g_test_skip ("the server cannot be had");
}

static void
add_foreign (Server *server, Server *before, const char *name, const BackingKind *kind)
{
  if (server_start_alone (server, name, NULL) && server_start_before (before, server))
    backing_contract_add_tests (kind);
  else
    g_test_add_func (kind->prefix, skip);
}

int
main (int argc, char *argv[])
{
  int result;

  g_test_init (&argc, &argv, NULL);
  set_up_environment ();

  g_assert_true (server_start (&ours, NULL));
  backing_contract_add_tests (&kinds[0]);
  add_foreign (&gofakes3, &before_gofakes3, "gofakes3", &kinds[1]);
  if (g_test_slow ())
    add_foreign (&ceph, &before_ceph, "ceph", &kinds[2]);

  add ("objects", test_objects, NULL);
  add ("foreign", test_foreign, NULL);
  add ("foreign-lock", test_foreign_lock, NULL);
  add ("spellings", test_spellings, NULL);
  add ("transient", test_transient, "&timeout=2");
  add ("retry-after", test_retry_after, NULL);
  add ("lost-root", test_lost_root, NULL);
  add ("lost-lock", test_lost_lock, NULL);
  add ("permanent", test_permanent, NULL);
  add ("redirect", test_redirect, NULL);
  add ("close", test_close, NULL);
  add ("sleep", test_sleep, "&lease=3600");
  add ("sync", test_sync, "&lease=3600");
  add ("no-threads", test_no_threads, "&lease=1");
  add ("fork", test_fork, NULL);
  add ("corrupt", test_corrupt, "&cache-size=1");
  add ("verify", test_verify, NULL);
  add ("large", test_large, NULL);
  add ("partial-deletion", test_partial_deletion, NULL);
  add ("cancel", test_cancel, "&timeout=600");
  add ("cache", test_cache, "&cache-size=35000");
  add ("read-only", test_read_only, NULL);
  add ("unreadable", test_unreadable, NULL);
  add ("read-only-backing", test_read_only_backing, NULL);
  add ("unquoted", test_unquoted, NULL);
  add ("clock", test_clock, NULL);
  add ("list", test_list, NULL);
  add ("lists-together", test_lists_together, "&timeout=600");
  add ("no-list", test_no_list, NULL);
  add ("many-deletions", test_many_deletions, NULL);
  add ("token", test_token, NULL);
  add ("mended", test_mended, NULL);
  add ("hollow", test_hollow, NULL);
  add ("no-credentials", test_no_credentials, NULL);
  g_test_add_func ("/s3/nobody", test_nobody);
  g_test_add_func ("/s3/certificate", test_certificate);

  result = g_test_run ();
  server_stop (&ours);
  server_stop (&before_gofakes3);
  server_stop (&gofakes3);
  server_stop (&before_ceph);
  server_stop (&ceph);
  return result;
}
