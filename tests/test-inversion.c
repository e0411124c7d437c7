/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* The main loop makes a blocking call while every thread of the store stands at a gate,
 * which no call opens before the end: the call runs what it waits for itself. */

#include "store-fixture.h"

#include <sys/resource.h>

/* A store whose threads are busy from begin() on. */
typedef struct
{
  Fixture fixture;
  Plug plug;
  BsItem *item; /* owned; what the case is about, or NULL */
  char *key;    /* owned; of the item */
} Busy;

static void
busy_set_up (Busy *self, gconstpointer variant)
{
  fixture_set_up (&self->fixture, variant);
}

static void
busy_tear_down (Busy *self, gconstpointer variant)
{
  plug_out (&self->plug, &self->fixture);
  g_clear_object (&self->item);
  g_clear_pointer (&self->key, g_free);
  fixture_tear_down (&self->fixture, variant);
}

/* Takes the item over. */
static void
begin (Busy *self, BsItem *item)
{
  self->item = item;
  self->key = item != NULL ? bs_item_dup_key (item) : NULL;
  gate_backing_reset_log (self->fixture.gates);
  plug_in (&self->plug, &self->fixture);
}

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
test_load (Busy *self, gconstpointer variant)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GBytes) first = NULL, second = NULL;
  g_autoptr (GError) error = NULL;
  Answer answer = { 0 };

  begin (self, insert_evicted (&self->fixture, "a"));
  bs_item_load_async (self->item, G_PRIORITY_DEFAULT, NULL, answer_cb, &answer);
  first = bs_item_load (self->item, variant == &two_threads ? cancellable : NULL, &error);
  g_assert_no_error (error);
  assert_was_here (&self->fixture, BS_OPERATION_READ);
  second = answer_pointer (&answer);
  g_assert_true (first == second);
  g_assert_cmpuint (gate_backing_count (self->fixture.gates, BS_OPERATION_READ, NULL), ==, 1);
}

static void
test_persist (Busy *self, gconstpointer variant)
{
  g_autoptr (GError) error = NULL;
  Answer answer = { 0 };

  begin (self, insert (&self->fixture, "a"));
  persist_async (&self->fixture, self->item, NULL, &answer);
  bs_item_persist (self->item, self->fixture.tracked, NULL, &error);
  g_assert_no_error (error);
  assert_was_here (&self->fixture, BS_OPERATION_PERSIST);
  answer_ok (&answer);
  assert_log (&self->fixture, self->key, "write persist");
}

/* Each operation before the call's own runs on this thread too. */
static void
test_behind (Busy *self, gconstpointer variant)
{
  g_autoptr (GError) error = NULL;
  Answer answers[3] = { 0 };

  begin (self, insert_written (&self->fixture, "a"));
  persist_async (&self->fixture, self->item, NULL, &answers[0]);
  delete_async (&self->fixture, self->key, NULL, &answers[1]);
  persist_async (&self->fixture, self->item, NULL, &answers[2]);
  bs_backing_store_delete_persisted (self->fixture.store, self->fixture.tracked, self->key, NULL,
                                     &error);
  g_assert_no_error (error);
  assert_was_here (&self->fixture, BS_OPERATION_PERSIST);
  assert_was_here (&self->fixture, BS_OPERATION_DELETE_PERSISTED);
  for (guint i = 0; i < G_N_ELEMENTS (answers); i++)
    answer_ok (&answers[i]);
  assert_log (&self->fixture, self->key, "persist delete_persisted persist delete_persisted");
}

/* A call that fails on the thread of another's blocking call. */
static void
test_behind_failure (Busy *self, gconstpointer variant)
{
  g_autoptr (GError) error = NULL;
  Answer answer = { 0 };

  begin (self, insert_written (&self->fixture, "a"));
  gate_backing_fail (self->fixture.gates, BS_OPERATION_PERSIST, self->key, GATE_BEFORE, 1,
                     G_IO_ERROR_NO_SPACE);
  persist_async (&self->fixture, self->item, NULL, &answer);
  g_assert_false (bs_item_persist (self->item, self->fixture.tracked, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  answer_fails (&answer, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
}

/* Returns the nice value at which the call's own operation runs. */
static int
wait_for_turn (Fixture *fixture)
{
  g_autoptr (BsItem) item = insert_written (fixture, "a");
  g_autofree char *key = bs_item_dup_key (item);
  int nice = G_MAXINT;
  Answer answer = { 0 };
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
test_turn_comes (Busy *self, gconstpointer variant)
{
  int of_process = getpriority (PRIO_PROCESS, 0), nice;

  bs_backing_store_set_thread_nice (self->fixture.store, 11);
  do
    nice = wait_for_turn (&self->fixture);
  while (nice != of_process);
}

/* A call that can be cancelled runs no operation before its own, which it could not leave. */
static void
test_cancelled_behind (Busy *self, gconstpointer variant)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  Answer answer = { 0 };
  Blocking call;

  begin (self, insert_written (&self->fixture, "a"));
  gate_backing_hold (self->fixture.gates, BS_OPERATION_PERSIST, self->key, GATE_BEFORE);
  persist_async (&self->fixture, self->item, NULL, &answer);
  blocking_start (&call, &self->fixture, blocking_delete_persisted, self->key, cancellable);
  spin_until (count_callers (self->fixture.store, self->key) == 2);
  g_cancellable_cancel (cancellable);
  blocking_join (&call);
  g_assert_error (call.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&call.error);
  g_assert_cmpuint (gate_backing_count (self->fixture.gates, BS_OPERATION_PERSIST, self->key), ==,
                    0);
  gate_backing_release (self->fixture.gates, BS_OPERATION_PERSIST, self->key, GATE_BEFORE);
  plug_out (&self->plug, &self->fixture);
  answer_ok (&answer);
}

/* A cancelled call that runs its own operation has the true result, and those who joined
 * do not notice. */
static void
test_cancelled_here (Busy *self, gconstpointer variant)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  Answer answer = { 0 };
  Blocking call;

  begin (self, insert_persisted (&self->fixture, "a"));
  gate_backing_hold (self->fixture.gates, BS_OPERATION_DELETE_PERSISTED, self->key, GATE_BEFORE);
  delete_async (&self->fixture, self->key, NULL, &answer);
  blocking_start (&call, &self->fixture, blocking_delete_persisted, self->key, cancellable);
  gate_backing_wait_held (self->fixture.gates, BS_OPERATION_DELETE_PERSISTED, self->key,
                          GATE_BEFORE, 1);
  g_cancellable_cancel (cancellable);
  g_assert_false (answer_is_there (&answer));
  gate_backing_release (self->fixture.gates, BS_OPERATION_DELETE_PERSISTED, self->key, GATE_BEFORE);
  blocking_ok (&call);
  answer_ok (&answer);
}

/* Two calls wait for one key; operations on another key are run by neither. */
static void
test_two_calls (Busy *self, gconstpointer variant)
{
  g_autoptr (BsItem) other = insert_written (&self->fixture, "b");
  g_autofree char *other_key = bs_item_dup_key (other);
  Answer answers[2] = { 0 };
  Blocking calls[2];

  begin (self, insert_written (&self->fixture, "a"));
  bs_item_persist_async (other, self->fixture.tracked, G_PRIORITY_HIGH, NULL, answer_cb,
                         &answers[1]);
  gate_backing_hold (self->fixture.gates, BS_OPERATION_PERSIST, self->key, GATE_BEFORE);
  persist_async (&self->fixture, self->item, NULL, &answers[0]);
  blocking_start (&calls[0], &self->fixture, blocking_delete_persisted, self->key, NULL);
  gate_backing_wait_held (self->fixture.gates, BS_OPERATION_PERSIST, self->key, GATE_BEFORE, 1);
  blocking_start (&calls[1], &self->fixture, blocking_delete_persisted, self->key, NULL);
  spin_until (count_callers (self->fixture.store, self->key) == 3);
  gate_backing_release (self->fixture.gates, BS_OPERATION_PERSIST, self->key, GATE_BEFORE);
  blocking_ok (&calls[0]);
  blocking_ok (&calls[1]);
  answer_ok (&answers[0]);
  assert_log (&self->fixture, self->key, "persist delete_persisted");
  g_assert_cmpuint (gate_backing_count (self->fixture.gates, BS_OPERATION_PERSIST, other_key), ==,
                    0);
  plug_out (&self->plug, &self->fixture);
  answer_ok (&answers[1]);
}

static void
delete_nested (gpointer data, GObject *item)
{
  Blocking *nested = data;

  blocking_delete_persisted (nested);
}

/* An item goes with a prefetch that runs on this thread, and a handler makes a blocking call
 * that waits for the very operation whose turn has come with that. */
static void
test_nested (Busy *self, gconstpointer variant)
{
  g_autoptr (GListStore) model = g_list_store_new (BS_TYPE_ITEM);
  g_autoptr (BsItem) item = insert_persisted (&self->fixture, "a");
  g_autofree char *key = bs_item_dup_key (item);
  g_autoptr (GError) error = NULL;
  Blocking nested = { .fixture = &self->fixture, .key = key };

  bs_pool_trim (self->fixture.pool, 0, NULL, &error);
  g_assert_no_error (error);
  g_object_weak_ref (G_OBJECT (item), delete_nested, &nested);
  g_list_store_append (model, item);
  begin (self, NULL);
  bs_pool_prefetch (self->fixture.pool, G_LIST_MODEL (model), 0, 1);
  g_list_store_remove_all (model);
  g_clear_object (&item);
  bs_backing_store_delete_persisted (self->fixture.store, self->fixture.tracked, key, NULL, &error);
  g_assert_no_error (error);
  g_assert_no_error (nested.error);
  g_assert_true (nested.done && nested.success);
  g_assert_cmpuint (gate_backing_count (self->fixture.gates, BS_OPERATION_READ, key), ==, 1);
}

/* Operations on the path itself. */
static void
test_track (Busy *self, gconstpointer variant)
{
  g_autoptr (GFile) file = g_file_new_for_uri ("gate:///other");
  g_autoptr (BsTrackedPath) first = NULL, second = NULL;
  g_autoptr (GError) error = NULL;
  Answer answer = { 0 };

  begin (self, NULL);
  bs_backing_store_track_path_async (self->fixture.store, file, G_PRIORITY_DEFAULT, NULL, answer_cb,
                                     &answer);
  first = bs_backing_store_track_path (self->fixture.store, file, NULL, &error);
  g_assert_no_error (error);
  assert_was_here (&self->fixture, BS_OPERATION_SANITIZE_PATH);
  second = answer_pointer (&answer);
  g_assert_true (first == second);
}

static void
test_sync (Busy *self, gconstpointer variant)
{
  g_autoptr (GError) error = NULL;
  Answer answer = { 0 };

  begin (self, insert_persisted (&self->fixture, "a"));
  sync_async (&self->fixture, NULL, &answer);
  bs_backing_store_sync (self->fixture.store, self->fixture.tracked, NULL, &error);
  g_assert_no_error (error);
  assert_was_here (&self->fixture, BS_OPERATION_SYNC_PERSISTED);
  answer_ok (&answer);
}

/* The operations before a sync, a save or a bulk are on other keys than those that it is
 * about, and are run here all the same. */
static void
test_sync_behind (Busy *self, gconstpointer variant)
{
  BsItem *items[5];
  Answer answers[G_N_ELEMENTS (items)] = { 0 };
  g_autoptr (GError) error = NULL;

  begin (self, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (items); i++)
    {
      items[i] = insert (&self->fixture, "a");
      bs_item_persist_async (items[i], self->fixture.tracked, G_PRIORITY_LOW, NULL, answer_cb,
                             &answers[i]);
    }
  bs_backing_store_sync (self->fixture.store, self->fixture.tracked, NULL, &error);
  g_assert_no_error (error);
  assert_was_here (&self->fixture, BS_OPERATION_PERSIST);
  for (guint i = 0; i < G_N_ELEMENTS (items); i++)
    {
      g_autofree char *key = bs_item_dup_key (items[i]);

      answer_ok (&answers[i]);
      g_assert_true (gate_backing_is_durable (self->fixture.gates, self->fixture.file, key));
      g_object_unref (items[i]);
    }
}

static void
test_save (Busy *self, gconstpointer variant)
{
  g_autoptr (BsSave) save = bs_save_new (self->fixture.store, self->fixture.tracked);
  g_autoptr (BsItem) named = insert (&self->fixture, "a");
  g_autoptr (BsItem) other = insert (&self->fixture, "b");
  g_autofree char *key = bs_item_dup_key (named);
  g_autoptr (GError) error = NULL;
  Answer answers[2] = { 0 };

  begin (self, NULL);
  bs_item_write_async (named, G_PRIORITY_LOW, NULL, answer_cb, &answers[0]);
  persist_async (&self->fixture, other, NULL, &answers[1]);
  bs_save_add_item (save, named);
  bs_save_run (save, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (gate_backing_is_durable (self->fixture.gates, self->fixture.file, key));
  answer_ok (&answers[0]);
  answer_ok (&answers[1]);
}

static void
test_delete_keys (Busy *self, gconstpointer variant)
{
  g_autoptr (BsKeySet) keys = bs_key_set_new ();
  g_autoptr (GError) error = NULL;
  Answer answer = { 0 };

  begin (self, insert_written (&self->fixture, "a"));
  persist_async (&self->fixture, self->item, NULL, &answer);
  bs_key_set_add (keys, self->key, NULL);
  bs_backing_store_delete_persisted_keys (self->fixture.store, self->fixture.tracked, keys, NULL,
                                          &error);
  g_assert_no_error (error);
  answer_ok (&answer);
  g_assert_false (bs_tracked_path_contains_key (self->fixture.tracked, self->key));
}

static void
add (const char *path, void (*test) (Busy *self, gconstpointer variant))
{
  g_autofree char *one = g_strconcat (path, "/one-thread", NULL);
  g_autofree char *two = g_strconcat (path, "/two-threads", NULL);

  g_test_add (one, Busy, &one_thread, busy_set_up, test, busy_tear_down);
  g_test_add (two, Busy, &two_threads, busy_set_up, test, busy_tear_down);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);

  add ("/inversion/load", test_load);
  add ("/inversion/persist", test_persist);
  add ("/inversion/behind", test_behind);
  add ("/inversion/behind-failure", test_behind_failure);
  add ("/inversion/turn-comes", test_turn_comes);
  add ("/inversion/cancelled-behind", test_cancelled_behind);
  add ("/inversion/cancelled-here", test_cancelled_here);
  add ("/inversion/two-calls", test_two_calls);
  add ("/inversion/nested", test_nested);
  add ("/inversion/track", test_track);
  add ("/inversion/sync", test_sync);
  add ("/inversion/sync-behind", test_sync_behind);
  add ("/inversion/save", test_save);
  add ("/inversion/delete-keys", test_delete_keys);

  return g_test_run ();
}
