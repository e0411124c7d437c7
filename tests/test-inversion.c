/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* The main loop makes a blocking call while every thread of the store stands at a gate,
 * which no call opens before the end: the call runs what it waits for itself. */

#include "store-fixture.h"

#include <sys/resource.h>

/* The nice value of the thread that the last call was made on. */
static void
look_at_nice (GateBacking *gates, BsOperation operation, const char *key, gpointer data)
{
  *(int *) data = getpriority (PRIO_PROCESS, 0);
}

static void
assert_was_here (Fixture *fixture, BsOperation operation)
{
  g_assert_true (gate_backing_get_thread (fixture->gates, operation) == g_thread_self ());
}

/* An item that is in the backing only. */
static BsItem *
insert_evicted (Fixture *fixture, const char *content)
{
  BsItem *item = insert_written (fixture, content);
  g_autoptr (GError) error = NULL;

  bs_pool_trim (fixture->pool, 0, NULL, &error);
  g_assert_no_error (error);
  return item;
}

static void
test_load (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (BsItem) item = insert_evicted (fixture, "a");
  g_autoptr (GBytes) first = NULL, second = NULL;
  g_autoptr (GError) error = NULL;
  Answer answer = {
    0,
  };
  Plug plug = {
    0,
  };

  plug_in (&plug, fixture);
  bs_item_load_async (item, G_PRIORITY_DEFAULT, NULL, answer_cb, &answer);
  first = bs_item_load (item, data == &two_threads ? cancellable : NULL, &error);
  g_assert_no_error (error);
  assert_was_here (fixture, BS_OPERATION_READ);
  second = answer_pointer (&answer);
  g_assert_true (first == second);
  g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_READ, NULL), ==, 1);
  plug_out (&plug, fixture);
}

static void
test_persist (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsItem) item = insert (fixture, "a");
  g_autofree char *key = bs_item_dup_key (item);
  g_autoptr (GError) error = NULL;
  Answer answer = {
    0,
  };
  Plug plug = {
    0,
  };

  plug_in (&plug, fixture);
  persist_async (fixture, item, NULL, &answer);
  bs_item_persist (item, fixture->tracked, NULL, &error);
  g_assert_no_error (error);
  assert_was_here (fixture, BS_OPERATION_PERSIST);
  answer_ok (&answer);
  assert_log (fixture, key, "write persist");
  plug_out (&plug, fixture);
}

/* Each operation before the call's own runs on this thread too. */
static void
test_behind (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsItem) item = insert_written (fixture, "a");
  g_autofree char *key = bs_item_dup_key (item);
  g_autoptr (GError) error = NULL;
  Answer answers[3] = {
    0,
  };
  Plug plug = {
    0,
  };

  gate_backing_reset_log (fixture->gates);
  plug_in (&plug, fixture);
  persist_async (fixture, item, NULL, &answers[0]);
  delete_async (fixture, key, NULL, &answers[1]);
  persist_async (fixture, item, NULL, &answers[2]);
  bs_backing_store_delete_persisted (fixture->store, fixture->tracked, key, NULL, &error);
  g_assert_no_error (error);
  assert_was_here (fixture, BS_OPERATION_PERSIST);
  assert_was_here (fixture, BS_OPERATION_DELETE_PERSISTED);
  for (guint i = 0; i < G_N_ELEMENTS (answers); i++)
    answer_ok (&answers[i]);
  assert_log (fixture, key, "persist delete_persisted persist delete_persisted");
  plug_out (&plug, fixture);
}

/* A call that fails on the thread of another's blocking call. */
static void
test_behind_failure (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsItem) item = insert_written (fixture, "a");
  g_autofree char *key = bs_item_dup_key (item);
  g_autoptr (GError) error = NULL;
  Answer answer = {
    0,
  };
  Plug plug = {
    0,
  };

  plug_in (&plug, fixture);
  gate_backing_fail (fixture->gates, BS_OPERATION_PERSIST, key, GATE_BEFORE, 1,
                     G_IO_ERROR_NO_SPACE);
  persist_async (fixture, item, NULL, &answer);
  g_assert_false (bs_item_persist (item, fixture->tracked, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  answer_fails (&answer, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  plug_out (&plug, fixture);
}

/* Returns the nice value at which the call's own operation runs. */
static int
wait_for_turn (Fixture *fixture)
{
  g_autoptr (BsItem) item = insert_written (fixture, "a");
  g_autofree char *key = bs_item_dup_key (item);
  int nice = G_MAXINT;
  Answer answer = {
    0,
  };
  Blocking call;

  gate_backing_set_hook (fixture->gates, BS_OPERATION_DELETE_PERSISTED, GATE_BEFORE, look_at_nice,
                         &nice);
  gate_backing_hold (fixture->gates, BS_OPERATION_PERSIST, key, GATE_BEFORE);
  persist_async (fixture, item, NULL, &answer);
  gate_backing_wait_held (fixture->gates, BS_OPERATION_PERSIST, key, GATE_BEFORE, 1);
  blocking_start (&call, fixture, blocking_delete_persisted, key, NULL);
  spin_until (count_callers (fixture->store, key) == 2);
  gate_backing_release_all (fixture->gates);
  blocking_ok (&call);
  answer_ok (&answer);
  return nice;
}

/* The turn comes while the call sleeps: the worker that ends the operation before it
 * leaves the call's own to its thread, whose nice value is the process's. The worker may
 * be faster than a call that is about to sleep: another one is made then. */
static void
test_turn_comes (Fixture *fixture, gconstpointer data)
{
  int of_process = getpriority (PRIO_PROCESS, 0), nice;

  bs_backing_store_set_thread_nice (fixture->store, 11);
  do
    nice = wait_for_turn (fixture);
  while (nice != of_process);
}

/* A call that can be cancelled runs no operation before its own, which it could not leave. */
static void
test_cancelled_behind (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (BsItem) item = insert_written (fixture, "a");
  g_autofree char *key = bs_item_dup_key (item);
  Answer answer = {
    0,
  };
  Plug plug = {
    0,
  };
  Blocking call;

  plug_in (&plug, fixture);
  gate_backing_hold (fixture->gates, BS_OPERATION_PERSIST, key, GATE_BEFORE);
  persist_async (fixture, item, NULL, &answer);
  blocking_start (&call, fixture, blocking_delete_persisted, key, cancellable);
  spin_until (count_callers (fixture->store, key) == 2);
  g_cancellable_cancel (cancellable);
  blocking_join (&call);
  g_assert_error (call.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&call.error);
  g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_PERSIST, key), ==, 0);
  gate_backing_release (fixture->gates, BS_OPERATION_PERSIST, key, GATE_BEFORE);
  plug_out (&plug, fixture);
  answer_ok (&answer);
}

/* A cancelled call that runs its own operation has the true result, and those who joined
 * do not notice. */
static void
test_cancelled_here (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (BsItem) item = insert_persisted (fixture, "a");
  g_autofree char *key = bs_item_dup_key (item);
  Answer answer = {
    0,
  };
  Plug plug = {
    0,
  };
  Blocking call;

  plug_in (&plug, fixture);
  gate_backing_hold (fixture->gates, BS_OPERATION_DELETE_PERSISTED, key, GATE_BEFORE);
  delete_async (fixture, key, NULL, &answer);
  blocking_start (&call, fixture, blocking_delete_persisted, key, cancellable);
  gate_backing_wait_held (fixture->gates, BS_OPERATION_DELETE_PERSISTED, key, GATE_BEFORE, 1);
  g_cancellable_cancel (cancellable);
  g_assert_false (answer_is_there (&answer));
  gate_backing_release (fixture->gates, BS_OPERATION_DELETE_PERSISTED, key, GATE_BEFORE);
  blocking_ok (&call);
  answer_ok (&answer);
  plug_out (&plug, fixture);
}

/* Two calls wait for one key; operations on another key are run by neither. */
static void
test_two_calls (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsItem) item = insert_written (fixture, "a");
  g_autoptr (BsItem) other = insert_written (fixture, "b");
  g_autofree char *key = bs_item_dup_key (item);
  g_autofree char *other_key = bs_item_dup_key (other);
  Answer answers[2] = {
    0,
  };
  Plug plug = {
    0,
  };
  Blocking calls[2];

  plug_in (&plug, fixture);
  bs_item_persist_async (other, fixture->tracked, G_PRIORITY_HIGH, NULL, answer_cb, &answers[1]);
  gate_backing_hold (fixture->gates, BS_OPERATION_PERSIST, key, GATE_BEFORE);
  persist_async (fixture, item, NULL, &answers[0]);
  blocking_start (&calls[0], fixture, blocking_delete_persisted, key, NULL);
  gate_backing_wait_held (fixture->gates, BS_OPERATION_PERSIST, key, GATE_BEFORE, 1);
  blocking_start (&calls[1], fixture, blocking_delete_persisted, key, NULL);
  spin_until (count_callers (fixture->store, key) == 3);
  gate_backing_release (fixture->gates, BS_OPERATION_PERSIST, key, GATE_BEFORE);
  blocking_ok (&calls[0]);
  blocking_ok (&calls[1]);
  answer_ok (&answers[0]);
  assert_log (fixture, key, "write persist delete_persisted");
  g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_PERSIST, other_key), ==, 0);
  plug_out (&plug, fixture);
  answer_ok (&answers[1]);
}

/* Operations on the path itself. */
static void
test_track (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GFile) file = g_file_new_for_uri ("gate:///other");
  g_autoptr (BsTrackedPath) first = NULL, second = NULL;
  g_autoptr (GError) error = NULL;
  Answer answer = {
    0,
  };
  Plug plug = {
    0,
  };

  plug_in (&plug, fixture);
  bs_backing_store_track_path_async (fixture->store, file, G_PRIORITY_DEFAULT, NULL, answer_cb,
                                     &answer);
  first = bs_backing_store_track_path (fixture->store, file, NULL, &error);
  g_assert_no_error (error);
  assert_was_here (fixture, BS_OPERATION_SANITIZE_PATH);
  second = answer_pointer (&answer);
  g_assert_true (first == second);
  plug_out (&plug, fixture);
}

static void
test_sync (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsItem) item = insert_persisted (fixture, "a");
  g_autoptr (GError) error = NULL;
  Answer answer = {
    0,
  };
  Plug plug = {
    0,
  };

  plug_in (&plug, fixture);
  sync_async (fixture, NULL, &answer);
  bs_backing_store_sync (fixture->store, fixture->tracked, NULL, &error);
  g_assert_no_error (error);
  assert_was_here (fixture, BS_OPERATION_SYNC_PERSISTED);
  answer_ok (&answer);
  plug_out (&plug, fixture);
}

/* The operations before a sync, a save or a bulk are on other keys than those that it is
 * about, and are run here all the same. */
static void
test_sync_behind (Fixture *fixture, gconstpointer data)
{
  BsItem *items[5];
  Answer answers[G_N_ELEMENTS (items)] = {
    0,
  };
  g_autoptr (GError) error = NULL;
  Plug plug = {
    0,
  };

  plug_in (&plug, fixture);
  for (guint i = 0; i < G_N_ELEMENTS (items); i++)
    {
      items[i] = insert (fixture, "a");
      bs_item_persist_async (items[i], fixture->tracked, G_PRIORITY_LOW, NULL, answer_cb,
                             &answers[i]);
    }
  bs_backing_store_sync (fixture->store, fixture->tracked, NULL, &error);
  g_assert_no_error (error);
  assert_was_here (fixture, BS_OPERATION_PERSIST);
  for (guint i = 0; i < G_N_ELEMENTS (items); i++)
    {
      g_autofree char *key = bs_item_dup_key (items[i]);

      answer_ok (&answers[i]);
      g_assert_true (gate_backing_is_durable (fixture->gates, fixture->file, key));
      g_object_unref (items[i]);
    }
  plug_out (&plug, fixture);
}

static void
test_save (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsSave) save = bs_save_new (fixture->store, fixture->tracked);
  g_autoptr (BsItem) named = insert (fixture, "a");
  g_autoptr (BsItem) other = insert (fixture, "b");
  g_autofree char *key = bs_item_dup_key (named);
  g_autoptr (GError) error = NULL;
  Answer answers[2] = {
    0,
  };
  Plug plug = {
    0,
  };

  plug_in (&plug, fixture);
  bs_item_write_async (named, G_PRIORITY_LOW, NULL, answer_cb, &answers[0]);
  persist_async (fixture, other, NULL, &answers[1]);
  bs_save_add_item (save, named);
  bs_save_run (save, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (gate_backing_is_durable (fixture->gates, fixture->file, key));
  answer_ok (&answers[0]);
  answer_ok (&answers[1]);
  plug_out (&plug, fixture);
}

static void
test_delete_keys (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsKeySet) keys = bs_key_set_new ();
  g_autoptr (BsItem) item = insert_written (fixture, "a");
  g_autofree char *key = bs_item_dup_key (item);
  g_autoptr (GError) error = NULL;
  Answer answer = {
    0,
  };
  Plug plug = {
    0,
  };

  plug_in (&plug, fixture);
  persist_async (fixture, item, NULL, &answer);
  bs_key_set_add (keys, key, NULL);
  bs_backing_store_delete_persisted_keys (fixture->store, fixture->tracked, keys, NULL, &error);
  g_assert_no_error (error);
  answer_ok (&answer);
  g_assert_false (bs_tracked_path_contains_key (fixture->tracked, key));
  plug_out (&plug, fixture);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);

  test_add ("/inversion/load", test_load);
  test_add ("/inversion/persist", test_persist);
  test_add ("/inversion/behind", test_behind);
  test_add ("/inversion/behind-failure", test_behind_failure);
  test_add ("/inversion/turn-comes", test_turn_comes);
  test_add ("/inversion/cancelled-behind", test_cancelled_behind);
  test_add ("/inversion/cancelled-here", test_cancelled_here);
  test_add ("/inversion/two-calls", test_two_calls);
  test_add ("/inversion/track", test_track);
  test_add ("/inversion/sync", test_sync);
  test_add ("/inversion/sync-behind", test_sync_behind);
  test_add ("/inversion/save", test_save);
  test_add ("/inversion/delete-keys", test_delete_keys);

  return g_test_run ();
}
