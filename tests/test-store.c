/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "store-fixture.h"

#include "backing-contract.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

/* Promises of a store that hold under any interleaving: properties, errors, bad
 * input, closing. The store stays usable after each of them. */

static gboolean
nothing (BsBackingStore *store, GCancellable *cancellable, gpointer data, GError **error)
{
  return TRUE;
}

/* The store, the path and the pool still work after any error. */
static void
assert_usable (Fixture *fixture)
{
  g_autoptr (BsItem) item = insert_persisted (fixture, "usable");
  g_autofree char *key = bs_item_dup_key (item);
  g_autoptr (GError) error = NULL;

  g_assert_true (bs_backing_store_sync (fixture->store, fixture->tracked, NULL, &error));
  g_assert_no_error (error);
  g_assert_true (gate_backing_is_durable (fixture->gates, fixture->file, key));
  g_assert_true (
    bs_backing_store_delete_persisted (fixture->store, fixture->tracked, key, NULL, &error));
  g_assert_no_error (error);
}

static void
notify_cb (GObject *object, GParamSpec *pspec, gpointer data)
{
  (*(guint *) data)++;
}

static void
test_properties (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GMainContext) context = NULL;
  g_autoptr (BsTaskTracker) tracker = NULL;
  g_autoptr (BsBacking) backing = NULL;
  guint max_threads, n = 0;

  g_object_get (fixture->store, "backing", &backing, "main-context", &context, "max-threads",
                &max_threads, "task-tracker", &tracker, NULL);
  g_assert_true (backing == BS_BACKING (fixture->gates));
  g_assert_true (bs_backing_store_get_backing (fixture->store) == backing);
  g_assert_null (context);
  g_assert_null (bs_backing_store_get_main_context (fixture->store));
  g_assert_cmpuint (max_threads, ==, 2);
  g_assert_true (tracker == bs_backing_store_get_task_tracker (fixture->store));

  wait_until (bs_task_tracker_get_n_tasks (tracker) == 0);
  g_signal_connect (fixture->store, "notify::max-threads", G_CALLBACK (notify_cb), &n);
  g_object_set (fixture->store, "max-threads", 7, NULL);
  bs_backing_store_set_max_threads (fixture->store, 7);
  wait_until (n > 0);
  g_assert_cmpuint (bs_backing_store_get_max_threads (fixture->store), ==, 7);
  bs_backing_store_set_max_threads (fixture->store, 7);
  settle (fixture);
  g_signal_handlers_disconnect_by_data (fixture->store, &n);
}

/* Of the thread that runs a function. */
typedef struct
{
  int nice;
  char name[16];
} Thread;

static void
look_at_thread (Thread *thread)
{
  thread->nice = getpriority (PRIO_PROCESS, 0);
  prctl (PR_GET_NAME, thread->name);
}

static gboolean
look_in_function (BsBackingStore *store, GCancellable *cancellable, gpointer data, GError **error)
{
  look_at_thread (data);
  return TRUE;
}

static gboolean
look_in_commit (BsSave *save, GCancellable *cancellable, gpointer data, GError **error)
{
  look_at_thread (data);
  return TRUE;
}

static void
look_in_backing (GateBacking *gates, BsOperation operation, const char *key, gpointer data)
{
  look_at_thread (data);
}

/* Each executor's threads have its name, and run as far below the process as they are
 * to, from the next function on. */
static void
look_at_threads (Fixture *fixture, int nice)
{
  static const char *const names[] = { "bs-backing", "bs-function", "bs-commit" };
  g_autoptr (BsItem) item = insert (fixture, "a");
  g_autoptr (BsSave) save = bs_save_new (fixture->store, fixture->tracked);
  int expected = MIN (getpriority (PRIO_PROCESS, (id_t) getpid ()) + nice, 19);
  Thread threads[3];
  Answer answers[3] = { 0 };

  gate_backing_set_hook (fixture->gates, BS_OPERATION_WRITE, GATE_BEFORE, look_in_backing,
                         &threads[0]);
  bs_save_add_item (save, item);
  bs_save_set_commit_func (save, look_in_commit, &threads[2], NULL);
  bs_item_write_async (item, G_PRIORITY_DEFAULT, NULL, answer_cb, &answers[0]);
  bs_backing_store_run_in_thread_async (fixture->store, look_in_function, &threads[1], NULL,
                                        G_PRIORITY_DEFAULT, NULL, answer_cb, &answers[1]);
  bs_save_run_async (save, G_PRIORITY_DEFAULT, NULL, answer_cb, &answers[2]);
  for (guint i = 0; i < 3; i++)
    {
      answer_ok (&answers[i]);
      g_assert_cmpstr (threads[i].name, ==, names[i]);
      g_assert_cmpint (threads[i].nice, ==, expected);
    }
  gate_backing_clear (fixture->gates);
}

/* A thread that can't go back up leaves what waits for it to another one. */
static void
raise_busy_thread (Fixture *fixture)
{
  g_autoptr (BsItem) first = insert (fixture, "a");
  g_autoptr (BsItem) second = insert (fixture, "b");
  g_autofree char *first_key = bs_item_dup_key (first);
  int expected = getpriority (PRIO_PROCESS, (id_t) getpid ());
  Thread thread = { 0 };
  Answer answers[2] = { 0 };

  bs_backing_store_set_max_threads (fixture->store, 1);
  bs_backing_store_set_thread_nice (fixture->store, 7);
  gate_backing_set_hook (fixture->gates, BS_OPERATION_WRITE, GATE_AFTER, look_in_backing, &thread);
  ask_held (fixture, BS_OPERATION_WRITE, first_key,
            bs_item_write_async (first, G_PRIORITY_DEFAULT, NULL, answer_cb, &answers[0]));
  bs_item_write_async (second, G_PRIORITY_DEFAULT, NULL, answer_cb, &answers[1]);
  bs_backing_store_set_thread_nice (fixture->store, 0);
  gate_backing_release_all (fixture->gates);
  answer_ok (&answers[0]);
  answer_ok (&answers[1]);
  g_assert_cmpint (thread.nice, ==, expected);
  gate_backing_clear (fixture->gates);
}

static void
test_thread_nice (Fixture *fixture, gconstpointer data)
{
  guint n = 0;
  int nice;

  g_object_get (fixture->store, "thread-nice", &nice, NULL);
  g_assert_cmpint (nice, ==, 5);
  look_at_threads (fixture, 5);

  g_signal_connect (fixture->store, "notify::thread-nice", G_CALLBACK (notify_cb), &n);
  bs_backing_store_set_thread_nice (fixture->store, 11);
  wait_until (n > 0);
  look_at_threads (fixture, 11);
  bs_backing_store_set_thread_nice (fixture->store, 11);
  /* A thread that is no user's with special rights can't go back up: another one takes
   * its place. */
  bs_backing_store_set_thread_nice (fixture->store, 0);
  wait_until (n > 1);
  g_assert_cmpint (bs_backing_store_get_thread_nice (fixture->store), ==, 0);
  look_at_threads (fixture, 0);
  settle (fixture);
  g_assert_cmpuint (n, ==, 2);
  g_signal_handlers_disconnect_by_data (fixture->store, &n);
  raise_busy_thread (fixture);
}

static void
test_thread_nice_unprivileged (void)
{
  uid_t user = 0x40000000 + (uid_t) getpid ();
  Fixture fixture = { NULL };

  if (!g_test_subprocess ())
    {
      g_test_trap_subprocess (NULL, 0, G_TEST_SUBPROCESS_INHERIT_STDERR);
      g_test_trap_assert_passed ();
      return;
    }
  if (geteuid () == 0 && setresuid (user, user, user) != 0)
    {
      g_test_skip ("this needs a user id of its own");
      return;
    }
  fixture_start (&fixture, &two_threads, NULL);
  test_thread_nice (&fixture, NULL);
  fixture_tear_down (&fixture, NULL);
}

/* A processor is left to the main loop. */
static void
test_default_threads (void)
{
  g_autoptr (BsBacking) backing = BS_BACKING (bs_memory_backing_new ());
  g_autoptr (BsBackingStore) store = bs_backing_store_new (backing);
  guint n_processors = g_get_num_processors ();

  g_assert_cmpuint (bs_backing_store_get_max_threads (store), ==, CLAMP (n_processors, 3, 5) - 1);
}

static gboolean
note_run (BsBackingStore *store, GCancellable *cancellable, gpointer data, GError **error)
{
  *(gboolean *) data = TRUE;
  return TRUE;
}

static void
load_fails_closed (BsItem *item, Answer *answer)
{
  g_autoptr (GError) error = answer_dup_error (answer);
  g_autofree char *key = bs_item_dup_key (item);

  g_assert_error (error, BS_ERROR, BS_ERROR_CLOSED);
  g_assert_nonnull (strstr (error->message, key));
}

/* A close lets queued loads fail and cancels running ones, whatever cancellable they were
 * given, and finishes everything else. */
static void
test_close_loads (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;
  g_autofree char *behind_key = NULL;
  BsItem *items[5];
  Answer loads[5] = { 0 }, persist = { 0 }, run = { 0 }, close = { 0 };
  gboolean ran = FALSE;
  char *key;

  for (guint i = 0; i < 5; i++)
    items[i] = insert_written (fixture, "content");
  g_assert_true (bs_pool_trim (fixture->pool, 0, NULL, &error));
  g_assert_no_error (error);
  key = bs_item_dup_key (items[0]);
  behind_key = bs_item_dup_key (items[4]);
  gate_backing_hold (fixture->gates, BS_OPERATION_READ, NULL, GATE_BEFORE);
  gate_backing_hold (fixture->gates, BS_OPERATION_PERSIST, behind_key, GATE_BEFORE);
  /* Two run, two wait for a thread, and one waits for its key. */
  bs_backing_store_set_max_threads (fixture->store, 3);
  persist_async (fixture, items[4], NULL, &persist);
  gate_backing_wait_held (fixture->gates, BS_OPERATION_PERSIST, behind_key, GATE_BEFORE, 1);
  for (guint i = 0; i < 5; i++)
    bs_item_load_async (items[i], G_PRIORITY_DEFAULT, i % 2 == 1 ? cancellable : NULL, answer_cb,
                        &loads[i]);
  gate_backing_wait_held (fixture->gates, BS_OPERATION_READ, NULL, GATE_BEFORE, 2);
  bs_backing_store_run_in_thread_async (fixture->store, note_run, &ran, NULL, G_PRIORITY_LOW, NULL,
                                        answer_cb, &run);

  bs_backing_store_close_async (fixture->store, G_PRIORITY_DEFAULT, NULL, answer_cb, &close);
  /* While the persist is held. */
  for (guint i = 0; i < 5; i++)
    load_fails_closed (items[i], &loads[i]);
  g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_READ, NULL), ==, 2);
  g_assert_false (answer_is_there (&close));
  gate_backing_release_all (fixture->gates);
  answer_ok (&persist);
  answer_ok (&run);
  answer_ok (&close);
  g_assert_true (ran);
  g_assert_false (g_cancellable_is_cancelled (cancellable));
  for (guint i = 0; i < 5; i++)
    g_object_unref (items[i]);
  g_free (key);
}

typedef struct
{
  BsItem *item;
  GCancellable *cancellable;
} BlockingLoad;

static gpointer
load_here (gpointer data)
{
  BlockingLoad *load = data;
  GError *error = NULL;

  g_assert_null (bs_item_load (load->item, load->cancellable, &error));
  return error;
}

/* A blocking load fails when its turn comes, without a call; at once where it can be
 * cancelled. */
static void
test_close_blocking_load (Fixture *fixture, gconstpointer data)
{
  for (int can_be_cancelled = 1; can_be_cancelled >= 0; can_be_cancelled--)
    {
      g_autoptr (GCancellable) cancellable = can_be_cancelled ? g_cancellable_new () : NULL;
      g_autoptr (GCancellable) give_up = g_cancellable_new ();
      g_autoptr (BsItem) item = insert_written (fixture, "content");
      g_autofree char *key = bs_item_dup_key (item);
      BlockingLoad load = { item, cancellable };
      g_autoptr (GError) error = NULL;
      Answer persist = { 0 }, close = { 0 };
      GThread *thread;

      bs_pool_trim (fixture->pool, 0, NULL, NULL);
      gate_backing_reset_log (fixture->gates);
      ask_held (fixture, BS_OPERATION_PERSIST, key, persist_async (fixture, item, NULL, &persist));
      thread = g_thread_new ("load", load_here, &load);
      spin_until (count_callers (fixture->store, key) == 2);
      bs_backing_store_close_async (fixture->store, G_PRIORITY_DEFAULT, give_up, answer_cb, &close);
      if (can_be_cancelled)
        error = g_thread_join (thread);
      else
        gate_backing_release_all (fixture->gates);
      if (!can_be_cancelled)
        error = g_thread_join (thread);
      g_assert_error (error, BS_ERROR, BS_ERROR_CLOSED);
      g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_READ, NULL), ==, 0);

      /* A store that is open again loads again. */
      g_cancellable_cancel (give_up);
      gate_backing_release_all (fixture->gates);
      answer_ok (&persist);
      answer_wait (&close);
      answer_clear (&close);
      if (can_be_cancelled)
        assert_content (item, "content");
    }
}

static void
test_tracked_path (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GFile) other_file = g_file_new_for_uri ("gate:///other");
  g_autoptr (BsTrackedPath) again = NULL, other = NULL;
  g_autofree char *listed = bs_key_generate ();
  g_autofree char *upper = g_ascii_strup (listed, -1);
  g_autoptr (GFile) file = NULL;
  g_auto (GStrv) keys = NULL;
  guint64 n_keys;
  gboolean closed;
  guint n = 0;

  gate_backing_put_persisted (fixture->gates, other_file, listed, "content");
  other = track (fixture, other_file);
  g_object_get (other, "file", &file, "n-keys", &n_keys, "closed", &closed, NULL);
  g_assert_true (g_file_equal (file, other_file));
  g_assert_cmpuint (n_keys, ==, 1);
  g_assert_false (closed);
  g_assert_true (bs_tracked_path_contains_key (other, listed));
  g_assert_true (bs_tracked_path_contains_key (other, upper));
  g_assert_false (bs_tracked_path_contains_key (other, "nonsense"));
  keys = bs_tracked_path_list_keys (other);
  g_assert_cmpuint (g_strv_length (keys), ==, 1);
  g_assert_cmpstr (keys[0], ==, listed);

  /* A second track of one path gives the same object. */
  again = track (fixture, other_file);
  g_assert_true (again == other);
  g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_SANITIZE_PATH, NULL), ==, 1);

  g_signal_connect (other, "notify::closed", G_CALLBACK (notify_cb), &n);
  g_assert_true (bs_backing_store_untrack_path (fixture->store, other, NULL, NULL));
  g_assert_true (bs_tracked_path_get_closed (other));
  wait_until (n == 1);
  g_signal_handlers_disconnect_by_data (other, &n);
  /* A closed path goes on telling what it knew, and untracking it again does nothing. */
  g_assert_true (bs_backing_store_untrack_path (fixture->store, other, NULL, NULL));
  g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_RELEASE_PATH, NULL), ==, 1);
  g_clear_object (&again);
  again = track (fixture, other_file);
  g_assert_true (again != other);
}

static void
remove_while_listing (const char *key, gpointer data)
{
  Fixture *fixture = data;

  g_assert_true (
    bs_backing_store_delete_persisted (fixture->store, fixture->tracked, key, NULL, NULL));
}

static void
test_n_keys_notify (Fixture *fixture, gconstpointer data)
{
  BsItem *items[50];
  guint n = 0;

  g_signal_connect (fixture->tracked, "notify::n-keys", G_CALLBACK (notify_cb), &n);
  for (guint i = 0; i < 50; i++)
    items[i] = insert_persisted (fixture, "a");
  g_assert_cmpuint (bs_tracked_path_get_n_keys (fixture->tracked), ==, 50);
  g_assert_cmpuint (n, ==, 0);
  wait_until (n > 0);
  /* The same keys may go while they are listed. */
  bs_tracked_path_foreach_key (fixture->tracked, remove_while_listing, fixture);
  g_assert_cmpuint (bs_tracked_path_get_n_keys (fixture->tracked), ==, 0);
  for (guint i = 0; i < 50; i++)
    g_object_unref (items[i]);
  settle (fixture);
  g_signal_handlers_disconnect_by_data (fixture->tracked, &n);
}

static void
test_load_root (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GBytes) root = g_bytes_new_static ("root", 4);
  g_autoptr (GBytes) loaded = NULL, again = NULL;
  g_autoptr (GError) error = NULL;
  Answer answer = { 0 };

  g_assert_null (bs_backing_store_load_root (fixture->store, fixture->tracked, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_NOT_FOUND);
  g_assert_nonnull (strstr (error->message, "gate:///path"));
  g_clear_error (&error);
  g_assert_true (
    bs_backing_write_root (BS_BACKING (fixture->gates), fixture->file, root, NULL, NULL, &error));
  loaded = bs_backing_store_load_root (fixture->store, fixture->tracked, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (g_bytes_equal (loaded, root));
  bs_backing_store_load_root_async (fixture->store, fixture->tracked, G_PRIORITY_DEFAULT, NULL,
                                    answer_cb, &answer);
  again = answer_pointer (&answer);
  g_assert_true (g_bytes_equal (again, root));
}

static const char *const invalid_keys[] = {
  "",
  " ",
  "-",
  "0",
  "nonsense",
  "../../../etc/passwd",
  "/",
  "0123456789abcdef0123456789abcde",   /* too short */
  "0123456789abcdef0123456789abcdef0", /* too long */
  "0123456789abcdef0123456789abcdeg",
  "01234567-89ab-cdef-0123-456789abcde",
  "01234567-89ab-cdef-0123-456789abcdef0",
  "01234567-89ab-cdef-0123-456789abcdeg",
  "0123456-789ab-cdef-0123-456789abcdef", /* hyphens elsewhere */
  "01234567-89abcdef-0123-456789abcdef",
  "01234567--89ab-cdef-0123-456789abcde",
  "{01234567-89ab-cdef-0123-456789abcdef}",
  "urn:uuid:01234567-89ab-cdef-0123-456789abcdef",
  " 01234567-89ab-cdef-0123-456789abcdef",
  "01234567-89ab-cdef-0123-456789abcdef\n",
  "01234567_89ab_cdef_0123_456789abcdef",
  "0123456789abcdef0123456789abcd\xc3\xa9", /* 32 bytes */
  "\xff\xfe\xfd",
  "%s%s%s%n",
};

static void
test_invalid_keys (Fixture *fixture, gconstpointer data)
{
  for (guint i = 0; i < G_N_ELEMENTS (invalid_keys); i++)
    {
      const char *key = invalid_keys[i];
      g_autoptr (BsKeySet) keys = bs_key_set_new ();
      g_autoptr (GError) error = NULL;
      Answer answer = { 0 };

      g_assert_false (
        bs_backing_store_delete_persisted (fixture->store, fixture->tracked, key, NULL, &error));
      g_assert_error (error, BS_ERROR, BS_ERROR_INVALID_KEY);
      g_assert_true (g_utf8_validate (error->message, -1, NULL));
      g_clear_error (&error);
      delete_async (fixture, key, NULL, &answer);
      answer_fails (&answer, BS_ERROR, BS_ERROR_INVALID_KEY);
      g_assert_null (bs_pool_register (fixture->pool, fixture->tracked, key, NULL, &error));
      g_assert_error (error, BS_ERROR, BS_ERROR_INVALID_KEY);
      g_clear_error (&error);
      register_async (fixture, key, NULL, &answer);
      answer_fails (&answer, BS_ERROR, BS_ERROR_INVALID_KEY);
      g_assert_false (bs_key_set_add (keys, key, &error));
      g_assert_error (error, BS_ERROR, BS_ERROR_INVALID_KEY);
      g_assert_false (bs_tracked_path_contains_key (fixture->tracked, key));
    }
  g_assert_cmpuint (gate_backing_count_all (fixture->gates), ==, 0);
  assert_usable (fixture);
}

/* A key in any case, with hyphens or without, is one key. */
static void
test_key_spellings (Fixture *fixture, gconstpointer data)
{
  g_autofree char *key = put_key (fixture, "a");
  g_autofree char *upper = g_ascii_strup (key, -1);
  g_auto (GStrv) parts = g_strsplit (upper, "-", -1);
  g_autofree char *plain = g_strjoinv (NULL, parts);
  g_autoptr (BsItem) item = bs_pool_register (fixture->pool, fixture->tracked, plain, NULL, NULL);
  g_autofree char *item_key = bs_item_dup_key (item);

  g_assert_cmpstr (item_key, ==, key);
  g_assert_true (
    bs_backing_store_delete_persisted (fixture->store, fixture->tracked, upper, NULL, NULL));
  g_assert_false (gate_backing_has_persisted (fixture->gates, fixture->file, key));
}

/* Each operation on a tracked path fails alike, in each form. */
static void
assert_path_refused (Fixture *fixture,
                     BsTrackedPath *tracked,
                     GQuark domain,
                     int code,
                     gboolean untrack)
{
  const char *titles[] = {
    "Syncing",        "Deleting persisted key", "Deleting persisted keys", "Loading the root",
    "Persisting key", "Registering key",        "Registering all keys",    "Saving",
    "Untracking"
  };
  g_autoptr (BsSave) save = bs_save_new (fixture->store, tracked);
  g_autoptr (BsItem) item = insert (fixture, "a");
  g_autofree char *key = bs_item_dup_key (item);
  g_autoptr (BsKeySet) keys = bs_key_set_new ();
  BsBackingStore *store = fixture->store;
  int priority = G_PRIORITY_DEFAULT;
  GError *errors[9] = { NULL };
  Answer answers[9] = { 0 };
  guint n = 0;

  bs_key_set_add (keys, key, NULL);
  bs_save_add_item (save, item);
  gate_backing_reset_log (fixture->gates);
  g_assert_false (bs_backing_store_sync (store, tracked, NULL, &errors[n++]));
  g_assert_false (bs_backing_store_delete_persisted (store, tracked, key, NULL, &errors[n++]));
  g_assert_false (
    bs_backing_store_delete_persisted_keys (store, tracked, keys, NULL, &errors[n++]));
  g_assert_null (bs_backing_store_load_root (store, tracked, NULL, &errors[n++]));
  g_assert_false (bs_item_persist (item, tracked, NULL, &errors[n++]));
  g_assert_null (bs_pool_register (fixture->pool, tracked, key, NULL, &errors[n++]));
  g_assert_null (bs_pool_register_all (fixture->pool, tracked, NULL, &errors[n++]));
  g_assert_false (bs_save_run (save, NULL, &errors[n++]));
  if (untrack)
    g_assert_false (bs_backing_store_untrack_path (store, tracked, NULL, &errors[n++]));
  for (guint i = 0; i < n; i++)
    {
      g_assert_error (errors[i], domain, code);
      g_assert_true (g_str_has_prefix (errors[i]->message, titles[i]));
      g_assert_nonnull (strstr (errors[i]->message, "gate://"));
      g_assert_null (strstr (errors[i]->message, "SECRET"));
      if (i == 1 || i == 4 || i == 5)
        g_assert_nonnull (strstr (errors[i]->message, key));
      g_clear_error (&errors[i]);
    }

  n = 0;
  bs_backing_store_sync_async (store, tracked, priority, NULL, answer_cb, &answers[n++]);
  bs_backing_store_delete_persisted_async (store, tracked, key, priority, NULL, answer_cb,
                                           &answers[n++]);
  bs_backing_store_delete_persisted_keys_async (store, tracked, keys, priority, NULL, answer_cb,
                                                &answers[n++]);
  bs_backing_store_load_root_async (store, tracked, priority, NULL, answer_cb, &answers[n++]);
  bs_item_persist_async (item, tracked, priority, NULL, answer_cb, &answers[n++]);
  bs_pool_register_async (fixture->pool, tracked, key, priority, NULL, answer_cb, &answers[n++]);
  bs_pool_register_all_async (fixture->pool, tracked, priority, NULL, answer_cb, &answers[n++]);
  bs_save_run_async (save, priority, NULL, answer_cb, &answers[n++]);
  if (untrack)
    bs_backing_store_untrack_path_async (store, tracked, priority, NULL, answer_cb, &answers[n++]);
  for (guint i = 0; i < n; i++)
    answer_fails (&answers[i], domain, code);
  g_assert_cmpuint (gate_backing_count_all (fixture->gates), ==, 0);
}

static void
test_closed_path (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsTrackedPath) closed = g_steal_pointer (&fixture->tracked);

  g_assert_true (bs_backing_store_untrack_path (fixture->store, closed, NULL, NULL));
  assert_path_refused (fixture, closed, BS_ERROR, BS_ERROR_CLOSED, FALSE);
  fixture->tracked = track (fixture, fixture->file);
  assert_path_refused (fixture, closed, BS_ERROR, BS_ERROR_CLOSED, FALSE);
  assert_usable (fixture);
}

static void
test_path_of_another_store (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GFile) file = g_file_new_for_uri ("gate://id:SECRET@host/path");
  g_autoptr (BsTrackedPath) tracked = NULL;
  Fixture other = { 0 };

  fixture_start (&other, &one_thread, NULL);
  tracked = track (&other, file);
  assert_path_refused (fixture, tracked, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, TRUE);
  assert_usable (fixture);
  assert_usable (&other);
  g_clear_object (&tracked);
  fixture_tear_down (&other, NULL);
  watchdog_start ();
}

/* A programmer's error is said, and does nothing. */
#define assert_critical(call)                                                                      \
  G_STMT_START                                                                                     \
  {                                                                                                \
    g_test_expect_message ("backingstore", G_LOG_LEVEL_CRITICAL, "*assertion*failed*");            \
    g_assert_false ((call) != 0);                                                                  \
    g_test_assert_expected_messages ();                                                            \
  }                                                                                                \
  G_STMT_END

static void
test_null_arguments (Fixture *fixture, gconstpointer data)
{
  BsBackingStore *store = fixture->store;
  BsTrackedPath *tracked = fixture->tracked;
  gpointer null = NULL;
  char *key = NULL;

  assert_critical (bs_backing_store_new (null) != NULL);
  assert_critical (bs_backing_store_new_in_context (null, NULL) != NULL);
  assert_critical (bs_backing_store_get_backing (null) != NULL);
  assert_critical (bs_backing_store_get_max_threads (null));
  assert_critical (bs_backing_store_get_task_tracker (null) != NULL);
  assert_critical (bs_backing_store_track_path (store, null, NULL, NULL) != NULL);
  assert_critical (bs_backing_store_track_path (null, fixture->file, NULL, NULL) != NULL);
  assert_critical (bs_backing_store_sync (store, null, NULL, NULL));
  assert_critical (bs_backing_store_untrack_path (store, null, NULL, NULL));
  assert_critical (bs_backing_store_delete_persisted (store, null, "key", NULL, NULL));
  assert_critical (bs_backing_store_delete_persisted (store, tracked, key, NULL, NULL));
  assert_critical (bs_backing_store_delete_persisted_keys (store, tracked, null, NULL, NULL));
  assert_critical (bs_backing_store_run_in_thread (store, NULL, NULL, NULL, NULL, NULL));
  assert_critical (bs_backing_store_load_root (store, null, NULL, NULL) != NULL);
  assert_critical (bs_backing_store_wait_finished (null, NULL, NULL));
  assert_critical (bs_backing_store_close (null, NULL, NULL));
  assert_critical (bs_tracked_path_get_n_keys (null) != 0);
  assert_critical (bs_tracked_path_list_keys (null) != NULL);
  assert_critical (bs_task_tracker_wait (null, NULL, NULL));
  g_assert_cmpuint (gate_backing_count_all (fixture->gates), ==, 0);
  assert_usable (fixture);
}

/* A virtual function that fails without an error. */
static void
test_silent_failures (Fixture *fixture, gconstpointer data)
{
  for (BsOperation operation = BS_OPERATION_WRITE; operation <= BS_OPERATION_READ_ROOT; operation++)
    {
      g_autofree char *key = put_key (fixture, "a");
      g_autofree char *other_key = put_key (fixture, "b");
      g_autoptr (GFile) file = g_file_new_for_uri ("gate:///other");
      g_autoptr (BsItem) item = insert (fixture, "c");
      g_autoptr (BsItem) registered = NULL;
      g_autoptr (BsKeySet) keys = bs_key_set_new ();
      g_autoptr (GError) error = NULL;
      g_autoptr (GBytes) bytes = NULL;
      GEnumClass *operations;
      g_autofree char *name = NULL;

      if (operation == BS_OPERATION_WRITE_ROOT || operation == BS_OPERATION_DELETE_KEY ||
          operation == BS_OPERATION_PERSIST_BYTES || operation == BS_OPERATION_PERSIST_KEYS)
        continue;
      bs_key_set_add (keys, key, NULL);
      bs_key_set_add (keys, other_key, NULL);
      gate_backing_fail_silently (fixture->gates, operation);
      /* Bulk calls fall back to single ones. */
      if (operation == BS_OPERATION_REGISTER_KEYS)
        gate_backing_fail_silently (fixture->gates, BS_OPERATION_REGISTER_KEY);
      if (operation == BS_OPERATION_DELETE_PERSISTED_KEYS)
        gate_backing_fail_silently (fixture->gates, BS_OPERATION_DELETE_PERSISTED);

      if (operation == BS_OPERATION_REGISTER_KEYS)
        g_assert_null (bs_pool_register_all (fixture->pool, fixture->tracked, NULL, &error));
      else if (operation == BS_OPERATION_DELETE_PERSISTED_KEYS)
        g_assert_false (bs_backing_store_delete_persisted_keys (fixture->store, fixture->tracked,
                                                                keys, NULL, &error));
      else if (operation == BS_OPERATION_SANITIZE_PATH)
        g_assert_null (bs_backing_store_track_path (fixture->store, file, NULL, &error));
      else if (operation == BS_OPERATION_READ_ROOT)
        g_assert_null (bs_backing_store_load_root (fixture->store, fixture->tracked, NULL, &error));
      else if (operation == BS_OPERATION_SYNC_PERSISTED)
        g_assert_false (bs_backing_store_sync (fixture->store, fixture->tracked, NULL, &error));
      else if (operation == BS_OPERATION_DELETE_PERSISTED)
        g_assert_false (
          bs_backing_store_delete_persisted (fixture->store, fixture->tracked, key, NULL, &error));
      else if (operation == BS_OPERATION_REGISTER_KEY)
        g_assert_null (bs_pool_register (fixture->pool, fixture->tracked, key, NULL, &error));
      else if (operation == BS_OPERATION_READ)
        {
          registered = bs_pool_register (fixture->pool, fixture->tracked, key, NULL, &error);
          g_assert_no_error (error);
          bytes = bs_item_load (registered, NULL, &error);
          g_assert_null (bytes);
        }
      else
        g_assert_false (bs_item_persist (item, fixture->tracked, NULL, &error));

      g_assert_error (error, BS_ERROR, BS_ERROR_FAILED);
      g_assert_nonnull (strstr (error->message, "GateBacking"));
      operations = g_type_class_ref (BS_TYPE_OPERATION);
      name =
        g_strdelimit (g_strdup (g_enum_get_value (operations, operation)->value_nick), "-", '_');
      if (g_str_has_suffix (name, "_keys"))
        name[strlen (name) - 1] = '\0';
      if (operation != BS_OPERATION_DELETE_PERSISTED_KEYS)
        g_assert_nonnull (strstr (error->message, name));
      g_type_class_unref (operations);
      gate_backing_clear (fixture->gates);
      assert_usable (fixture);
    }
}

/* An error names the operation, the key and the path. */
static void
test_messages (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsItem) item = insert (fixture, "a");
  g_autofree char *key = bs_item_dup_key (item);
  g_autofree char *missing = bs_key_generate ();
  g_autoptr (GError) error = NULL;

  gate_backing_fail (fixture->gates, BS_OPERATION_PERSIST, NULL, GATE_BEFORE, 1,
                     G_IO_ERROR_NO_SPACE);
  g_assert_false (bs_item_persist (item, fixture->tracked, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  g_assert_nonnull (strstr (error->message, "persist"));
  g_assert_nonnull (strstr (error->message, key));
  g_assert_nonnull (strstr (error->message, "gate:///path"));
  g_clear_error (&error);

  gate_backing_fail (fixture->gates, BS_OPERATION_SYNC_PERSISTED, NULL, GATE_BEFORE, 1,
                     G_IO_ERROR_FAILED);
  g_assert_false (bs_backing_store_sync (fixture->store, fixture->tracked, NULL, &error));
  g_assert_nonnull (strstr (error->message, "sync_persisted"));
  g_assert_nonnull (strstr (error->message, "gate:///path"));
  g_clear_error (&error);

  g_assert_null (bs_pool_register (fixture->pool, fixture->tracked, missing, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_NOT_FOUND);
  g_assert_nonnull (strstr (error->message, missing));
  g_assert_nonnull (strstr (error->message, "gate:///path"));
  assert_usable (fixture);
}

static gboolean
fail_silently (BsBackingStore *store, GCancellable *cancellable, gpointer data, GError **error)
{
  return FALSE;
}

static gboolean
fail_loudly (BsBackingStore *store, GCancellable *cancellable, gpointer data, GError **error)
{
  g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_BUSY, "so the test wants it");
  return FALSE;
}

static gboolean
return_cancelled (BsBackingStore *store, GCancellable *cancellable, gpointer data, GError **error)
{
  *(GCancellable **) data = cancellable;
  return TRUE;
}

static void
task_func (GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  g_task_return_int (task, GPOINTER_TO_INT (data));
}

static void
test_functions (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;
  GCancellable *seen = NULL;
  Answer answer = { 0 };
  GTask *task;

  g_assert_false (
    bs_backing_store_run_in_thread (fixture->store, fail_silently, NULL, NULL, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_FAILED);
  g_clear_error (&error);
  g_assert_false (
    bs_backing_store_run_in_thread (fixture->store, fail_loudly, NULL, NULL, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_BUSY);
  bs_backing_store_run_in_thread_async (fixture->store, fail_silently, NULL, NULL,
                                        G_PRIORITY_DEFAULT, NULL, answer_cb, &answer);
  answer_fails (&answer, BS_ERROR, BS_ERROR_FAILED);
  bs_backing_store_run_in_thread_async (fixture->store, fail_loudly, NULL, NULL, G_PRIORITY_DEFAULT,
                                        NULL, answer_cb, &answer);
  answer_fails (&answer, G_IO_ERROR, G_IO_ERROR_BUSY);
  bs_backing_store_run_in_thread_async (fixture->store, return_cancelled, &seen, NULL,
                                        G_PRIORITY_DEFAULT, cancellable, answer_cb, &answer);
  answer_ok (&answer);
  g_assert_true (seen == cancellable);

  task = g_task_new (fixture->store, NULL, answer_cb, &answer);
  g_task_set_task_data (task, GINT_TO_POINTER (42), NULL);
  bs_backing_store_run_task (fixture->store, task, task_func);
  g_object_unref (task);
  answer_wait (&answer);
  g_assert_cmpint (g_task_propagate_int (G_TASK (answer.result), NULL), ==, 42);
  answer_clear (&answer);

  g_cancellable_cancel (cancellable);
  task = g_task_new (fixture->store, cancellable, answer_cb, &answer);
  bs_backing_store_run_task (fixture->store, task, task_func);
  g_object_unref (task);
  answer_cancelled (&answer);
  assert_usable (fixture);
}

/* A scratch blob that went missing is had again from where it is permanent. */
static void
test_missing_scratch_heals (Fixture *fixture, gconstpointer data)
{
  g_autofree char *key = put_key (fixture, "content");
  g_autoptr (BsItem) item = bs_pool_register (fixture->pool, fixture->tracked, key, NULL, NULL);
  g_autoptr (GFile) other_file = g_file_new_for_uri ("gate:///other");
  g_autoptr (BsTrackedPath) other = track (fixture, other_file);
  g_autoptr (GError) error = NULL;
  g_autofree char *lost_key = NULL;
  BsItem *lost;

  gate_backing_lose_primary (fixture->gates, key);
  assert_content (item, "content");
  g_assert_true (gate_backing_has_primary (fixture->gates, key));

  /* Where it is nowhere, that is said, and the key is no trouble afterwards. */
  lost = insert_written (fixture, "lost");
  lost_key = bs_item_dup_key (lost);
  bs_pool_set_max_bytes (fixture->pool, 0);
  gate_backing_lose_primary (fixture->gates, lost_key);
  wait_until (bs_pool_get_memory_in_use (fixture->pool) == 0 &&
              bs_pool_get_memory_use (fixture->pool) == 0);
  g_assert_null (bs_item_load (lost, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_NOT_FOUND);
  g_object_unref (lost);
  settle (fixture);
  g_assert_true (is_forgotten (fixture->store, lost_key));
  assert_usable (fixture);
}

/* A key that the path lists but the backing cannot read. */
static void
test_listed_but_unreadable (Fixture *fixture, gconstpointer data)
{
  g_autofree char *key = put_key (fixture, "content");
  g_autoptr (GError) error = NULL;
  g_autoptr (BsItem) item = NULL;

  gate_backing_fail (fixture->gates, BS_OPERATION_REGISTER_KEY, key, GATE_BEFORE, 1,
                     G_IO_ERROR_PERMISSION_DENIED);
  g_assert_null (bs_pool_register (fixture->pool, fixture->tracked, key, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);
  g_clear_error (&error);
  gate_backing_fail (fixture->gates, BS_OPERATION_READ, key, GATE_BEFORE, 1,
                     G_IO_ERROR_PERMISSION_DENIED);
  item = bs_pool_register (fixture->pool, fixture->tracked, key, NULL, &error);
  g_assert_no_error (error);
  g_assert_null (bs_item_load (item, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);
  gate_backing_clear (fixture->gates);
  assert_content (item, "content");
  g_clear_object (&item);
  settle (fixture);
  assert_usable (fixture);
}

/* Storing from inside a store's task, and from inside many at once. */
static gboolean
store_inside (BsBackingStore *store, GCancellable *cancellable, gpointer data, GError **error)
{
  Fixture *fixture = data;
  g_autoptr (BsItem) item = insert (fixture, "child");

  return bs_item_persist (item, fixture->tracked, NULL, error) &&
         bs_backing_store_run_in_thread (store, nothing, NULL, NULL, NULL, error);
}

static void
test_store_inside_task (Fixture *fixture, gconstpointer data)
{
  Answer answers[200] = { 0 };

  for (guint i = 0; i < 200; i++)
    bs_backing_store_run_in_thread_async (fixture->store, store_inside, fixture, NULL,
                                          G_PRIORITY_DEFAULT, NULL, answer_cb, &answers[i]);
  for (guint i = 0; i < 200; i++)
    answer_ok (&answers[i]);
  g_assert_cmpuint (bs_tracked_path_get_n_keys (fixture->tracked), ==, 200);
  settle (fixture);
  g_assert_cmpuint (gate_backing_get_n_primary (fixture->gates), ==, 0);
}

/* Nothing is tracked yet that would know its name. */
static void
test_track_names_path (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GFile) file = g_file_new_for_uri ("gate:///elsewhere");
  g_autofree char *name = g_file_get_parse_name (file);
  g_autoptr (GCancellable) early = g_cancellable_new ();
  g_autoptr (GCancellable) late = g_cancellable_new ();
  g_autoptr (GError) error = NULL;
  g_autoptr (GError) left = NULL;
  Answer stays = { 0 }, leaves = { 0 };

  g_cancellable_cancel (early);
  g_assert_null (bs_backing_store_track_path (fixture->store, file, early, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_nonnull (strstr (error->message, name));
  g_clear_error (&error);

  gate_backing_hold (fixture->gates, BS_OPERATION_SANITIZE_PATH, NULL, GATE_BEFORE);
  bs_backing_store_track_path_async (fixture->store, file, G_PRIORITY_DEFAULT, NULL, answer_cb,
                                     &stays);
  bs_backing_store_track_path_async (fixture->store, file, G_PRIORITY_DEFAULT, late, answer_cb,
                                     &leaves);
  g_cancellable_cancel (late);
  left = answer_dup_error (&leaves);
  g_assert_error (left, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_nonnull (strstr (left->message, name));
  gate_backing_release (fixture->gates, BS_OPERATION_SANITIZE_PATH, NULL, GATE_BEFORE);
  answer_wait (&stays);
  answer_clear (&stays);

  g_assert_true (bs_backing_store_close (fixture->store, NULL, &error));
  g_assert_no_error (error);
  g_assert_null (bs_backing_store_track_path (fixture->store, file, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_CLOSED);
  g_assert_nonnull (strstr (error->message, name));
}

static void
assert_store_closed (Fixture *fixture)
{
  g_autoptr (BsItem) item = insert (fixture, "a");
  g_autoptr (GError) error = NULL;
  Answer answer = { 0 };

  g_assert_null (bs_backing_store_track_path (fixture->store, fixture->file, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_CLOSED);
  g_clear_error (&error);
  g_assert_false (
    bs_backing_store_run_in_thread (fixture->store, nothing, NULL, NULL, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_CLOSED);
  g_clear_error (&error);
  bs_item_write_async (item, G_PRIORITY_DEFAULT, NULL, answer_cb, &answer);
  answer_fails (&answer, BS_ERROR, BS_ERROR_CLOSED);
  /* In memory it is as ever. */
  assert_content (item, "a");
}

static void
test_close (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (BsItem) item = insert_persisted (fixture, "a");
  Answer close = { 0 };

  g_assert_true (bs_backing_store_close (fixture->store, NULL, &error));
  g_assert_no_error (error);
  g_assert_true (bs_tracked_path_get_closed (fixture->tracked));
  g_assert_true (gate_backing_is_closed (fixture->gates));
  assert_log (fixture, NULL, "write persist release_path close");
  assert_path_refused (fixture, fixture->tracked, BS_ERROR, BS_ERROR_CLOSED, TRUE);
  assert_store_closed (fixture);

  /* Once is enough. */
  g_assert_true (bs_backing_store_close (fixture->store, NULL, &error));
  bs_backing_store_close_async (fixture->store, G_PRIORITY_DEFAULT, NULL, answer_cb, &close);
  answer_ok (&close);
  g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_CLOSE, NULL), ==, 0);
  settle (fixture);
}

static void
test_close_drains (Fixture *fixture, gconstpointer data)
{
  BsItem *items[20];
  Answer persists[20] = { 0 }, closes[2] = { 0 }, late = { 0 }, sync = { 0 };

  gate_backing_hold (fixture->gates, BS_OPERATION_WRITE, NULL, GATE_BEFORE);
  for (guint i = 0; i < 20; i++)
    {
      items[i] = insert (fixture, "a");
      persist_async (fixture, items[i], NULL, &persists[i]);
    }
  sync_async (fixture, NULL, &sync);
  bs_backing_store_close_async (fixture->store, G_PRIORITY_DEFAULT, NULL, answer_cb, &closes[0]);
  bs_backing_store_close_async (fixture->store, G_PRIORITY_DEFAULT, NULL, answer_cb, &closes[1]);
  sync_async (fixture, NULL, &late);
  answer_fails (&late, BS_ERROR, BS_ERROR_CLOSED);
  g_assert_false (answer_is_there (&closes[0]));
  g_assert_false (bs_tracked_path_get_closed (fixture->tracked));
  /* The deletions that these queue are done as well. */
  for (guint i = 0; i < 20; i++)
    g_object_unref (items[i]);
  gate_backing_release_all (fixture->gates);
  answer_ok (&closes[0]);
  answer_ok (&closes[1]);
  for (guint i = 0; i < 20; i++)
    answer_ok (&persists[i]);
  answer_ok (&sync);
  g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_CLOSE, NULL), ==, 1);
}

static void
test_close_cancelled_while_draining (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (BsItem) item = insert (fixture, "a");
  Answer persist = { 0 }, close = { 0 }, late = { 0 };

  gate_backing_hold (fixture->gates, BS_OPERATION_WRITE, NULL, GATE_BEFORE);
  persist_async (fixture, item, NULL, &persist);
  bs_backing_store_close_async (fixture->store, G_PRIORITY_DEFAULT, cancellable, answer_cb, &close);
  sync_async (fixture, NULL, &late);
  answer_fails (&late, BS_ERROR, BS_ERROR_CLOSED);
  g_cancellable_cancel (cancellable);
  answer_cancelled (&close);
  /* Open again. */
  sync_async (fixture, NULL, &late);
  gate_backing_release_all (fixture->gates);
  answer_ok (&late);
  answer_ok (&persist);
  assert_usable (fixture);
  bs_backing_store_close_async (fixture->store, G_PRIORITY_DEFAULT, NULL, answer_cb, &close);
  answer_ok (&close);
}

/* A close asked while the backing is being closed is not cancelled with the first. */
static void
test_close_again_after_cancel (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  Answer first = { 0 }, again = { 0 };

  gate_backing_set_stubborn (fixture->gates, TRUE);
  gate_backing_hold (fixture->gates, BS_OPERATION_CLOSE, NULL, GATE_BEFORE);
  gate_backing_fail (fixture->gates, BS_OPERATION_CLOSE, NULL, GATE_BEFORE, 1,
                     G_IO_ERROR_CANCELLED);
  bs_backing_store_close_async (fixture->store, G_PRIORITY_DEFAULT, cancellable, answer_cb, &first);
  gate_backing_wait_held (fixture->gates, BS_OPERATION_CLOSE, NULL, GATE_BEFORE, 1);
  g_cancellable_cancel (cancellable);
  bs_backing_store_close_async (fixture->store, G_PRIORITY_DEFAULT, NULL, answer_cb, &again);
  g_assert_false (answer_is_there (&again));
  gate_backing_release_all (fixture->gates);
  answer_ok (&again);
  answer_wait (&first);
  answer_clear (&first);
  g_assert_true (gate_backing_is_closed (fixture->gates));
}

/* A close asked while paths are being released releases those that the first has left. */
static void
test_close_again_after_cancelled_release (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GFile) file = g_file_new_for_uri ("gate:///other");
  g_autoptr (BsTrackedPath) other = track (fixture, file);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  Answer first = { 0 }, again = { 0 };

  gate_backing_set_stubborn (fixture->gates, TRUE);
  gate_backing_fail (fixture->gates, BS_OPERATION_RELEASE_PATH, NULL, GATE_BEFORE, 1,
                     G_IO_ERROR_CANCELLED);
  ask_held (fixture, BS_OPERATION_RELEASE_PATH, NULL,
            bs_backing_store_close_async (fixture->store, G_PRIORITY_DEFAULT, cancellable,
                                          answer_cb, &first));
  g_cancellable_cancel (cancellable);
  bs_backing_store_close_async (fixture->store, G_PRIORITY_DEFAULT, NULL, answer_cb, &again);
  gate_backing_release_all (fixture->gates);
  answer_ok (&again);
  answer_wait (&first);
  answer_clear (&first);

  g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_RELEASE_PATH, NULL), ==, 3);
  g_assert_true (bs_tracked_path_get_closed (fixture->tracked));
  g_assert_true (bs_tracked_path_get_closed (other));
  g_assert_true (gate_backing_is_closed (fixture->gates));
}

/* A close that is cancelled while paths or the backing are released has closed nothing that was
 * not released, and can be asked again. */
static void
test_close_cancelled_while_releasing (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GFile) file = g_file_new_for_uri ("gate:///other");
  g_autoptr (BsTrackedPath) other = track (fixture, file);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  Answer close = { 0 };

  ask_held (fixture, BS_OPERATION_RELEASE_PATH, NULL,
            bs_backing_store_close_async (fixture->store, G_PRIORITY_DEFAULT, cancellable,
                                          answer_cb, &close));
  g_cancellable_cancel (cancellable);
  answer_cancelled (&close);
  gate_backing_release_all (fixture->gates);
  g_assert_false (bs_tracked_path_get_closed (fixture->tracked));
  g_assert_false (bs_tracked_path_get_closed (other));
  assert_usable (fixture);

  g_cancellable_reset (cancellable);
  ask_held (fixture, BS_OPERATION_CLOSE, NULL,
            bs_backing_store_close_async (fixture->store, G_PRIORITY_DEFAULT, cancellable,
                                          answer_cb, &close));
  g_cancellable_cancel (cancellable);
  answer_cancelled (&close);
  gate_backing_release_all (fixture->gates);
  g_assert_true (bs_tracked_path_get_closed (fixture->tracked));
  g_assert_false (gate_backing_is_closed (fixture->gates));
  g_clear_object (&fixture->tracked);
  fixture->tracked = track (fixture, fixture->file);
  assert_usable (fixture);

  bs_backing_store_close_async (fixture->store, G_PRIORITY_DEFAULT, NULL, answer_cb, &close);
  answer_ok (&close);
  g_assert_true (gate_backing_is_closed (fixture->gates));
}

/* A path and a key that are let go while paths are released go when a close that is cancelled has
 * opened the store again, and are forgotten when the store is closed. */
static void
test_close_let_go_while_releasing (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GFile) file = g_file_new_for_uri ("gate:///other");

  for (guint cancels = 2; cancels-- > 0;)
    {
      BsTrackedPath *other = track (fixture, file);
      g_autoptr (GCancellable) cancellable = g_cancellable_new ();
      BsItem *item = insert_written (fixture, "let go");
      g_autofree char *key = bs_item_dup_key (item);
      Answer close = { 0 };

      settle (fixture);
      gate_backing_reset_log (fixture->gates);
      ask_held (fixture, BS_OPERATION_RELEASE_PATH, NULL,
                bs_backing_store_close_async (fixture->store, G_PRIORITY_DEFAULT, cancellable,
                                              answer_cb, &close));
      g_object_unref (other);
      g_object_unref (item);
      if (cancels)
        {
          g_cancellable_cancel (cancellable);
          answer_cancelled (&close);
          gate_backing_release_all (fixture->gates);
          settle (fixture);
        }
      else
        {
          gate_backing_release_all (fixture->gates);
          answer_ok (&close);
          spin_until (bs_task_count_is_idle (fixture->store->count));
        }

      g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_RELEASE_PATH, NULL), ==,
                        2);
      g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_DELETE_KEY, NULL), ==,
                        cancels);
      g_assert_cmpint (bs_tracked_path_get_closed (fixture->tracked), ==, !cancels);
      if (cancels)
        assert_usable (fixture);
    }
}

static void
count_error_cb (BsBackingStore *store,
                const char *key,
                BsOperation operation,
                const GError *error,
                gpointer n_errors)
{
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  ++*(guint *) n_errors;
}

/* A write that a close has refused is no error, and hides none that comes when the store is open
 * again. */
static void
test_close_cancelled_beside_eviction (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (BsItem) item = insert (fixture, "stays");
  g_autoptr (GError) error = NULL;
  Answer close = { 0 };
  guint n_errors = 0;

  g_signal_connect (fixture->store, "background-error", G_CALLBACK (count_error_cb), &n_errors);
  ask_held (fixture, BS_OPERATION_RELEASE_PATH, NULL,
            bs_backing_store_close_async (fixture->store, G_PRIORITY_DEFAULT, cancellable,
                                          answer_cb, &close));
  g_assert_false (bs_pool_trim (fixture->pool, 0, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_CLOSED);
  g_clear_error (&error);
  g_cancellable_cancel (cancellable);
  answer_cancelled (&close);
  gate_backing_release_all (fixture->gates);

  gate_backing_fail (fixture->gates, BS_OPERATION_WRITE, NULL, GATE_BEFORE, 0, G_IO_ERROR_NO_SPACE);
  for (guint i = 0; i < 2; i++)
    {
      g_assert_false (bs_pool_trim (fixture->pool, 0, NULL, &error));
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
      g_clear_error (&error);
    }
  wait_until (n_errors > 0);

  gate_backing_clear (fixture->gates);
  g_assert_true (bs_pool_trim (fixture->pool, 0, NULL, &error));
  g_assert_no_error (error);
  settle (fixture);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_assert_cmpuint (n_errors, ==, 1);
}

static void
test_close_reports (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  gate_backing_fail (fixture->gates, BS_OPERATION_RELEASE_PATH, NULL, GATE_BEFORE, 1,
                     G_IO_ERROR_BUSY);
  g_assert_false (bs_backing_store_close (fixture->store, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_BUSY);
  assert_store_closed (fixture);
  g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_CLOSE, NULL), ==, 1);
}

typedef struct
{
  Fixture *fixture;
  int stop;
} Knocker;

static gpointer
knock (gpointer data)
{
  Knocker *self = data;

  while (!g_atomic_int_get (&self->stop))
    {
      g_autoptr (GError) error = NULL;

      if (!bs_backing_store_sync (self->fixture->store, self->fixture->tracked, NULL, &error))
        g_assert_error (error, BS_ERROR, BS_ERROR_CLOSED);
    }
  return NULL;
}

/* Others knock all the time: closing gets through. */
static void
test_close_while_others_knock (void)
{
  const guint n_rounds = tests_are_whole () ? 30 : 8;

  for (guint i = 0; i < n_rounds; i++)
    {
      Fixture fixture = { 0 };
      Knocker knocker = { &fixture, FALSE };
      g_autoptr (GError) error = NULL;
      GThread *threads[3];
      Answer close = { 0 };

      fixture_start (&fixture, &one_thread, NULL);
      for (guint j = 0; j < 3; j++)
        threads[j] = g_thread_new ("knock", knock, &knocker);
      if (i % 2 == 0)
        g_assert_true (bs_backing_store_close (fixture.store, NULL, &error));
      else
        bs_backing_store_close_async (fixture.store, G_PRIORITY_DEFAULT, NULL, answer_cb, &close);
      g_assert_true (bs_backing_store_close (fixture.store, NULL, &error));
      if (i % 2 != 0)
        answer_ok (&close);
      g_atomic_int_set (&knocker.stop, TRUE);
      for (guint j = 0; j < 3; j++)
        g_thread_join (threads[j]);
      fixture_tear_down (&fixture, NULL);
    }
}

static void
set_flag (gpointer flag)
{
  g_atomic_int_set ((int *) flag, TRUE);
}

/* Nobody is told of anything there, and nothing of the store stays. */
static void
test_context_not_run (void)
{
  GMainContext *context = g_main_context_new ();
  g_autoptr (GSource) witness = g_idle_source_new ();
  Fixture fixture = { 0 };
  int context_is_gone = FALSE;

  g_source_set_callback (witness, NULL, &context_is_gone, set_flag);
  g_source_attach (witness, context);
  g_main_context_push_thread_default (context);
  fixture_start (&fixture, &two_threads, NULL);
  g_main_context_pop_thread_default (context);
  g_main_context_unref (context);
  assert_goes (insert_persisted (&fixture, "a"));
  g_assert_false (g_atomic_int_get (&context_is_gone));
  fixture_tear_down (&fixture, NULL);

  watchdog_start ();
  spin_until (g_atomic_int_get (&context_is_gone));
  watchdog_stop ();
}

/* Waits until the pool has told of a change, and with it of all that came before. */
static void
wait_notified (Fixture *fixture)
{
  guint n = 0;
  gulong id = g_signal_connect (fixture->pool, "notify::max-items", G_CALLBACK (notify_cb), &n);

  bs_pool_set_max_items (fixture->pool, MAX (bs_pool_get_max_items (fixture->pool), 1000) + 1);
  wait_until (n > 0);
  g_signal_handler_disconnect (fixture->pool, id);
}

/* A property does not notify without a change. */
static void
test_no_notify_without_change (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsItem) item = insert_persisted (fixture, "a");
  g_autoptr (BsItem) other_item = insert (fixture, "a");
  g_autoptr (BsSave) save = bs_save_new (fixture->store, fixture->tracked);
  g_autofree char *key = bs_item_dup_key (item);
  g_autofree char *other = bs_item_dup_key (other_item);
  BsTaskTracker *tracker = bs_backing_store_get_task_tracker (fixture->store);
  g_autoptr (GError) error = NULL;
  guint n = 0;

  wait_notified (fixture);
  g_signal_connect (fixture->tracked, "notify::n-keys", G_CALLBACK (notify_cb), &n);
  g_signal_connect (fixture->store, "notify::max-threads", G_CALLBACK (notify_cb), &n);
  g_signal_connect (tracker, "notify::closed", G_CALLBACK (notify_cb), &n);
  g_signal_connect (fixture->pool, "notify::max-bytes", G_CALLBACK (notify_cb), &n);
  g_signal_connect (fixture->pool, "notify::trim-on-low-memory", G_CALLBACK (notify_cb), &n);
  g_signal_connect (fixture->pool, "notify::n-items", G_CALLBACK (notify_cb), &n);
  g_signal_connect (item, "notify::size", G_CALLBACK (notify_cb), &n);
  g_signal_connect (save, "notify::max-parallel", G_CALLBACK (notify_cb), &n);

  /* A key that is there is persisted, and one that is not is deleted, both by a call too. */
  bs_item_persist (item, fixture->tracked, NULL, &error);
  g_assert_no_error (error);
  gate_backing_fail (fixture->gates, BS_OPERATION_DELETE_PERSISTED, key, GATE_BEFORE, 1,
                     G_IO_ERROR_BUSY);
  g_assert_false (
    bs_backing_store_delete_persisted (fixture->store, fixture->tracked, key, NULL, NULL));
  gate_backing_reset_log (fixture->gates);
  bs_item_persist (item, fixture->tracked, NULL, &error);
  g_assert_no_error (error);
  assert_log (fixture, key, "persist");
  bs_backing_store_delete_persisted (fixture->store, fixture->tracked, other, NULL, &error);
  g_assert_no_error (error);
  gate_backing_fail (fixture->gates, BS_OPERATION_PERSIST, other, GATE_BEFORE, 1, G_IO_ERROR_BUSY);
  g_assert_false (bs_item_persist (other_item, fixture->tracked, NULL, NULL));
  bs_backing_store_delete_persisted (fixture->store, fixture->tracked, other, NULL, &error);
  g_assert_no_error (error);
  assert_log (fixture, other, "write persist delete_persisted");

  bs_backing_store_set_max_threads (fixture->store,
                                    bs_backing_store_get_max_threads (fixture->store));
  bs_task_tracker_reopen (tracker);
  bs_pool_set_max_bytes (fixture->pool, bs_pool_get_max_bytes (fixture->pool));
  bs_pool_set_trim_on_low_memory (fixture->pool, bs_pool_get_trim_on_low_memory (fixture->pool));
  bs_save_set_max_parallel (save, bs_save_get_max_parallel (save));
  /* The content goes and comes back; the item and its size stay. */
  g_assert_true (bs_pool_trim (fixture->pool, 0, NULL, NULL));
  g_assert_cmpuint (bs_pool_get_memory_use (fixture->pool), ==, 0);
  assert_content (item, "a");
  wait_notified (fixture);
  g_assert_cmpuint (n, ==, 0);

  g_signal_handlers_disconnect_by_data (fixture->tracked, &n);
  g_signal_handlers_disconnect_by_data (fixture->store, &n);
  g_signal_handlers_disconnect_by_data (tracker, &n);
  g_signal_handlers_disconnect_by_data (fixture->pool, &n);
  g_signal_handlers_disconnect_by_data (save, &n);
  g_signal_handlers_disconnect_by_data (item, &n);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);

  test_add_once ("/store/properties", test_properties);
  test_add_once ("/store/thread-nice", test_thread_nice);
  g_test_add_func ("/store/thread-nice/unprivileged", test_thread_nice_unprivileged);
  g_test_add_func ("/store/default-threads", test_default_threads);
  test_add_once ("/store/tracked-path", test_tracked_path);
  test_add_once ("/store/n-keys-notify", test_n_keys_notify);
  test_add_once ("/store/no-notify-without-change", test_no_notify_without_change);
  test_add_once ("/store/load-root", test_load_root);
  test_add_once ("/store/functions", test_functions);
  test_add_once ("/store/keys/invalid", test_invalid_keys);
  test_add_once ("/store/keys/spellings", test_key_spellings);
  test_add_once ("/store/refused/null", test_null_arguments);
  test_add_once ("/store/refused/closed-path", test_closed_path);
  test_add_once ("/store/refused/path-of-another-store", test_path_of_another_store);
  test_add_once ("/store/refused/track-names-path", test_track_names_path);
  test_add_once ("/store/errors/silent", test_silent_failures);
  test_add_once ("/store/errors/messages", test_messages);
  test_add_once ("/store/faults/missing-scratch", test_missing_scratch_heals);
  test_add_once ("/store/faults/listed-but-unreadable", test_listed_but_unreadable);
  test_add ("/store/faults/store-inside-task", test_store_inside_task);
  test_add ("/store/close/whole", test_close);
  test_add ("/store/close/drains", test_close_drains);
  test_add ("/store/close/cancelled", test_close_cancelled_while_draining);
  test_add_once ("/store/close/loads", test_close_loads);
  test_add_once ("/store/close/blocking-load", test_close_blocking_load);
  test_add_once ("/store/close/again-after-cancel", test_close_again_after_cancel);
  test_add_once ("/store/close/again-after-cancelled-release",
                 test_close_again_after_cancelled_release);
  test_add ("/store/close/cancelled-while-releasing", test_close_cancelled_while_releasing);
  test_add ("/store/close/let-go-while-releasing", test_close_let_go_while_releasing);
  test_add ("/store/close/cancelled-beside-eviction", test_close_cancelled_beside_eviction);
  test_add ("/store/close/reports", test_close_reports);
  g_test_add_func ("/store/context-not-run", test_context_not_run);
  g_test_add_func ("/store/close/while-others-knock", test_close_while_others_knock);

  return g_test_run ();
}
