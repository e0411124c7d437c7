/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "store-fixture.h"

/* Interleavings on one key. */

typedef struct
{
  GCancellable *cancellable;
  int fired;
} CancelHook;

static void
cancel_hook (GateBacking *gates, BsOperation operation, const char *key, gpointer data)
{
  CancelHook *hook = data;

  if (g_atomic_int_compare_and_exchange (&hook->fired, FALSE, TRUE))
    g_cancellable_cancel (hook->cancellable);
}

static void
test_waiter_cancelled_before_turn (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (BsItem) item = insert (fixture, "a");
  g_autofree char *key = bs_item_dup_key (item);
  CancelHook hook = { cancellable, FALSE };
  Answer persist = { 0 }, waiter = { 0 };

  /* As late as can be: the operation before it is just about to end. */
  gate_backing_set_hook (fixture->gates, BS_OPERATION_PERSIST, GATE_AFTER, cancel_hook, &hook);
  ask_held (fixture, BS_OPERATION_PERSIST, key, persist_async (fixture, item, NULL, &persist));
  delete_async (fixture, key, cancellable, &waiter);
  gate_backing_release (fixture->gates, BS_OPERATION_PERSIST, key, GATE_BEFORE);

  answer_cancelled (&waiter);
  answer_ok (&persist);
  settle (fixture);
  assert_log (fixture, key, "write persist");
  g_assert_true (bs_tracked_path_contains_key (fixture->tracked, key));
}

static gpointer
cancel_in_thread (gpointer cancellable)
{
  g_cancellable_cancel (cancellable);
  return NULL;
}

static void
test_waiter_cancelled_in_a_race (Fixture *fixture, gconstpointer data)
{
  for (guint i = 0; i < 100; i++)
    {
      g_autoptr (GCancellable) cancellable = g_cancellable_new ();
      g_autoptr (GError) error = NULL;
      g_autofree char *key = put_key (fixture, "a");
      g_autoptr (BsItem) item = NULL;
      Answer registered = { 0 }, waiter = { 0 };
      gboolean deleted;
      GThread *thread;

      gate_backing_hold (fixture->gates, BS_OPERATION_REGISTER_KEY, key, GATE_AFTER);
      register_async (fixture, key, NULL, &registered);
      gate_backing_wait_held (fixture->gates, BS_OPERATION_REGISTER_KEY, key, GATE_AFTER, 1);
      delete_async (fixture, key, cancellable, &waiter);
      thread = g_thread_new ("cancel", cancel_in_thread, cancellable);
      gate_backing_release (fixture->gates, BS_OPERATION_REGISTER_KEY, key, GATE_AFTER);

      deleted = g_task_propagate_boolean (G_TASK (answer_wait (&waiter)), &error);
      if (!deleted)
        g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
      item = answer_pointer (&registered);
      g_thread_join (thread);
      settle (fixture);
      /* The answer is the truth, unless the backing call was cut short. */
      if (gate_backing_count (fixture->gates, BS_OPERATION_DELETE_PERSISTED, key) == 0)
        g_assert_false (deleted);
      g_assert_cmpint (gate_backing_has_persisted (fixture->gates, fixture->file, key), ==,
                       !deleted);
      answer_clear (&waiter);
    }
}

static void
test_blocking_waiter_cancelled (Fixture *fixture, gconstpointer data)
{
  for (guint i = 0; i < 50; i++)
    {
      g_autoptr (GCancellable) cancellable = g_cancellable_new ();
      g_autofree char *key = put_key (fixture, "a");
      Answer registered = { 0 };
      g_autoptr (BsItem) item = NULL;
      GThread *thread;
      Blocking waiter;

      gate_backing_hold (fixture->gates, BS_OPERATION_REGISTER_KEY, key, GATE_AFTER);
      register_async (fixture, key, NULL, &registered);
      gate_backing_wait_held (fixture->gates, BS_OPERATION_REGISTER_KEY, key, GATE_AFTER, 1);
      blocking_start (&waiter, fixture, blocking_delete_persisted, key, cancellable);
      spin_until (count_callers (fixture->store, key) == 2);
      thread = g_thread_new ("cancel", cancel_in_thread, cancellable);
      gate_backing_release (fixture->gates, BS_OPERATION_REGISTER_KEY, key, GATE_AFTER);

      blocking_join (&waiter);
      if (!waiter.success)
        g_assert_error (waiter.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
      g_clear_error (&waiter.error);
      item = answer_pointer (&registered);
      g_thread_join (thread);
      settle (fixture);
      g_assert_cmpint (gate_backing_has_persisted (fixture->gates, fixture->file, key), ==,
                       !waiter.success);
    }
}

/* The cancellation may come between asking and running, on the very thread's
 * behalf: it must end the call. */
static void
test_blocking_runner_cancelled (Fixture *fixture, gconstpointer data)
{
  g_autofree char *key = put_key (fixture, "a");

  gate_backing_hold (fixture->gates, BS_OPERATION_DELETE_PERSISTED, key, GATE_BEFORE);
  for (guint i = 0; i < 200; i++)
    {
      g_autoptr (GCancellable) cancellable = g_cancellable_new ();
      Blocking call;

      blocking_start (&call, fixture, blocking_delete_persisted, key, cancellable);
      if (i % 2 == 0)
        gate_backing_wait_held (fixture->gates, BS_OPERATION_DELETE_PERSISTED, key, GATE_BEFORE, 1);
      else
        spin_until (count_callers (fixture->store, key) == 1 || g_atomic_int_get (&call.done));
      g_cancellable_cancel (cancellable);
      blocking_join (&call);
      g_assert_error (call.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
      g_clear_error (&call.error);
    }
  gate_backing_release (fixture->gates, BS_OPERATION_DELETE_PERSISTED, key, GATE_BEFORE);
  g_assert_true (gate_backing_has_persisted (fixture->gates, fixture->file, key));
}

static void
test_persist_delete_persist (Fixture *fixture, gconstpointer data)
{
  for (guint running = 0; running < 2; running++)
    {
      g_autoptr (BsItem) item = insert (fixture, "a");
      g_autofree char *key = bs_item_dup_key (item);
      BsOperation held = running ? BS_OPERATION_PERSIST : BS_OPERATION_WRITE;
      Answer write = { 0 }, first = { 0 }, second = { 0 }, third = { 0 };

      gate_backing_hold (fixture->gates, held, key, GATE_BEFORE);
      bs_item_write_async (item, G_PRIORITY_DEFAULT, NULL, answer_cb, &write);
      if (!running)
        gate_backing_wait_held (fixture->gates, held, key, GATE_BEFORE, 1);
      persist_async (fixture, item, NULL, &first);
      if (running)
        gate_backing_wait_held (fixture->gates, held, key, GATE_BEFORE, 1);
      delete_async (fixture, key, NULL, &second);
      persist_async (fixture, item, NULL, &third);
      gate_backing_release (fixture->gates, held, key, GATE_BEFORE);

      answer_ok (&write);
      answer_ok (&first);
      answer_ok (&second);
      answer_ok (&third);
      assert_log (fixture, key, "write persist delete_persisted persist");
      g_assert_true (bs_tracked_path_contains_key (fixture->tracked, key));
      g_assert_true (gate_backing_has_persisted (fixture->gates, fixture->file, key));
    }
}

static void
test_delete_persist_delete (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsItem) item = insert_persisted (fixture, "a");
  g_autofree char *key = bs_item_dup_key (item);
  Answer first = { 0 }, second = { 0 }, third = { 0 };

  gate_backing_reset_log (fixture->gates);
  gate_backing_hold (fixture->gates, BS_OPERATION_DELETE_PERSISTED, key, GATE_AFTER);
  delete_async (fixture, key, NULL, &first);
  gate_backing_wait_held (fixture->gates, BS_OPERATION_DELETE_PERSISTED, key, GATE_AFTER, 1);
  persist_async (fixture, item, NULL, &second);
  delete_async (fixture, key, NULL, &third);
  gate_backing_release (fixture->gates, BS_OPERATION_DELETE_PERSISTED, key, GATE_AFTER);

  answer_ok (&first);
  answer_ok (&second);
  answer_ok (&third);
  assert_log (fixture, key, "delete_persisted persist delete_persisted");
  g_assert_false (bs_tracked_path_contains_key (fixture->tracked, key));
}

static void
test_persist_behind_queued_delete (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsItem) item = insert_persisted (fixture, "a");
  g_autofree char *key = bs_item_dup_key (item);
  Answer delete = { 0 }, persist = { 0 };
  Plug plug = { 0 };

  gate_backing_reset_log (fixture->gates);
  plug_in (&plug, fixture);
  delete_async (fixture, key, NULL, &delete);
  /* The key is there, and yet the persist is not a no-op. */
  g_assert_true (bs_tracked_path_contains_key (fixture->tracked, key));
  persist_async (fixture, item, NULL, &persist);
  plug_out (&plug, fixture);

  answer_ok (&delete);
  answer_ok (&persist);
  assert_log (fixture, key, "delete_persisted persist");
  g_assert_true (bs_tracked_path_contains_key (fixture->tracked, key));
}

/* `which` of three callers leave a deletion that runs (or waits). */
static void
leave_merged (Fixture *fixture, gboolean running, gboolean cancel[3])
{
  g_autofree char *key = put_key (fixture, "a");
  GCancellable *cancellables[3];
  Answer answers[3] = { 0 };
  gboolean all = cancel[0] && cancel[1] && cancel[2];
  Plug plug = { 0 };

  if (running)
    gate_backing_hold (fixture->gates, BS_OPERATION_DELETE_PERSISTED, key, GATE_BEFORE);
  else
    plug_in (&plug, fixture);
  for (guint i = 0; i < 3; i++)
    {
      cancellables[i] = g_cancellable_new ();
      delete_async (fixture, key, cancellables[i], &answers[i]);
    }
  if (running)
    gate_backing_wait_held (fixture->gates, BS_OPERATION_DELETE_PERSISTED, key, GATE_BEFORE, 1);

  /* Waiters that leave are answered while the others wait. */
  for (guint i = 0; i < 3; i++)
    if (cancel[i])
      {
        g_cancellable_cancel (cancellables[i]);
        answer_cancelled (&answers[i]);
      }
  for (guint i = 0; i < 3; i++)
    if (!cancel[i])
      g_assert_false (answer_is_there (&answers[i]));

  if (!running)
    plug_out (&plug, fixture);
  else
    gate_backing_release (fixture->gates, BS_OPERATION_DELETE_PERSISTED, key, GATE_BEFORE);
  for (guint i = 0; i < 3; i++)
    if (!cancel[i])
      answer_ok (&answers[i]);
  settle (fixture);
  g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_DELETE_PERSISTED, key), ==,
                    all && !running ? 0 : 1);
  g_assert_cmpint (gate_backing_has_persisted (fixture->gates, fixture->file, key), ==, all);
  g_assert_true (is_forgotten (fixture->store, key));
  for (guint i = 0; i < 3; i++)
    g_assert_finalize_object (cancellables[i]);
}

static void
test_cancel_merged (Fixture *fixture, gconstpointer data)
{
  for (guint mask = 0; mask < 8; mask++)
    for (guint running = 0; running < 2; running++)
      {
        gboolean cancel[3] = { mask & 1, (mask & 2) != 0, (mask & 4) != 0 };

        leave_merged (fixture, running, cancel);
      }
}

/* One who cannot leave joins one who leaves. */
static void
test_cancel_merged_with_a_stayer (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autofree char *key = put_key (fixture, "a");
  Answer leaver = { 0 }, stayer = { 0 };

  ask_held (fixture, BS_OPERATION_DELETE_PERSISTED, key,
            delete_async (fixture, key, cancellable, &leaver));
  delete_async (fixture, key, NULL, &stayer);
  g_cancellable_cancel (cancellable);
  answer_cancelled (&leaver);
  g_assert_false (answer_is_there (&stayer));
  gate_backing_release (fixture->gates, BS_OPERATION_DELETE_PERSISTED, key, GATE_BEFORE);
  answer_ok (&stayer);
  assert_log (fixture, key, "delete_persisted");
}

/* A blocking caller runs the call that others join. */
static void
test_blocking_runner_leaves (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autofree char *key = put_key (fixture, "a");
  Answer other = { 0 };
  Blocking runner;

  ask_held (fixture, BS_OPERATION_DELETE_PERSISTED, key,
            blocking_start (&runner, fixture, blocking_delete_persisted, key, cancellable));
  delete_async (fixture, key, NULL, &other);
  g_cancellable_cancel (cancellable);
  g_assert_false (answer_is_there (&other));
  gate_backing_release (fixture->gates, BS_OPERATION_DELETE_PERSISTED, key, GATE_BEFORE);
  answer_ok (&other);
  /* The thread made the call, and knows better than that it was cancelled. */
  blocking_ok (&runner);
  assert_log (fixture, key, "delete_persisted");
}

static void
test_ask_again_before_fired_returns (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (BsItem) item = insert_written (fixture, "a");
  g_autofree char *key = bs_item_dup_key (item);
  Answer first = { 0 }, second = { 0 };

  gate_backing_set_stubborn (fixture->gates, TRUE);
  gate_backing_hold (fixture->gates, BS_OPERATION_PERSIST, key, GATE_BEFORE);
  gate_backing_fail (fixture->gates, BS_OPERATION_PERSIST, key, GATE_AFTER, 1,
                     G_IO_ERROR_CANCELLED);
  persist_async (fixture, item, cancellable, &first);
  gate_backing_wait_held (fixture->gates, BS_OPERATION_PERSIST, key, GATE_BEFORE, 1);
  g_cancellable_cancel (cancellable);
  g_assert_false (answer_is_there (&first));
  persist_async (fixture, item, NULL, &second);
  gate_backing_release (fixture->gates, BS_OPERATION_PERSIST, key, GATE_BEFORE);

  answer_cancelled (&first);
  answer_ok (&second);
  assert_log (fixture, key, "write persist persist");
  g_assert_true (bs_tracked_path_contains_key (fixture->tracked, key));
}

/* A fired call that succeeds all the same says so. */
static void
test_fired_call_succeeds (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autofree char *key = put_key (fixture, "a");
  Answer answer = { 0 };

  gate_backing_set_stubborn (fixture->gates, TRUE);
  ask_held (fixture, BS_OPERATION_DELETE_PERSISTED, key,
            delete_async (fixture, key, cancellable, &answer));
  g_cancellable_cancel (cancellable);
  g_assert_false (answer_is_there (&answer));
  gate_backing_release (fixture->gates, BS_OPERATION_DELETE_PERSISTED, key, GATE_BEFORE);
  answer_ok (&answer);
  g_assert_false (bs_tracked_path_contains_key (fixture->tracked, key));
}

static void
test_last_drop_deletion_queued (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsItem) item = insert_persisted (fixture, "a");
  g_autofree char *key = bs_item_dup_key (item);
  Answer registered = { 0 };
  Plug plug = { 0 };

  plug_in (&plug, fixture);
  g_clear_object (&item);
  register_async (fixture, key, NULL, &registered);
  plug_out (&plug, fixture);
  item = answer_pointer (&registered);
  settle (fixture);
  /* Neither was needed. */
  assert_log (fixture, key, "write persist");
  assert_content (item, "a");
}

static void
test_last_drop_deletion_running (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsItem) item = insert_persisted (fixture, "a");
  g_autofree char *key = bs_item_dup_key (item);
  Answer registered = { 0 };

  for (GatePoint point = GATE_BEFORE; point <= GATE_AFTER; point++)
    {
      gate_backing_reset_log (fixture->gates);
      gate_backing_hold (fixture->gates, BS_OPERATION_DELETE_KEY, key, point);
      g_clear_object (&item);
      gate_backing_wait_held (fixture->gates, BS_OPERATION_DELETE_KEY, key, point, 1);
      register_async (fixture, key, NULL, &registered);
      g_assert_false (answer_is_there (&registered));
      gate_backing_release (fixture->gates, BS_OPERATION_DELETE_KEY, key, point);
      item = answer_pointer (&registered);
      assert_log (fixture, key, "delete_key register_key");
      assert_content (item, "a");
    }
}

/* A thousand items go, one by one and some of them twice: one operation deletes them. */
static void
test_last_drop_many (Fixture *fixture, gconstpointer data)
{
  enum
  {
    N = 1000
  };
  BsTaskTracker *tracker = bs_backing_store_get_task_tracker (fixture->store);
  g_autoptr (GPtrArray) items = g_ptr_array_new_with_free_func (g_object_unref);
  g_autofree char *kept = NULL;
  g_autoptr (BsItem) item = NULL;
  g_auto (GStrv) keys = g_new0 (char *, N + 1);
  Plug plug = { 0 };

  for (guint i = 0; i < N; i++)
    {
      g_ptr_array_add (items, insert_persisted (fixture, "a"));
      keys[i] = bs_item_dup_key (items->pdata[i]);
    }
  kept = g_strdup (keys[N / 2]);

  plug_in (&plug, fixture);
  g_ptr_array_set_size (items, 0);
  g_assert_cmpuint (bs_task_tracker_get_n_tasks (tracker), ==, plug.n + 1);
  for (guint i = 0; i < N; i += 10)
    {
      g_autoptr (GError) error = NULL;

      item = bs_pool_register (fixture->pool, fixture->tracked, keys[i], NULL, &error);
      g_assert_no_error (error);
      if (g_strcmp0 (keys[i], kept) != 0)
        g_clear_object (&item);
      else
        g_ptr_array_add (items, g_steal_pointer (&item));
    }
  g_assert_cmpuint (bs_task_tracker_get_n_tasks (tracker), ==, plug.n + 1);
  plug_out (&plug, fixture);
  settle (fixture);

  for (guint i = 0; i < N; i++)
    if (g_strcmp0 (keys[i], kept) == 0)
      assert_log (fixture, keys[i], "write persist");
    else
      assert_log (fixture, keys[i], "write persist delete_key");
  assert_content (items->pdata[0], "a");
}

/* A deletion that is stuck delays no other, as long as there are threads. */
static void
test_last_drop_beside_stuck (Fixture *fixture, gconstpointer data)
{
  g_autofree char *stuck = NULL, *other = NULL;
  BsItem *items[2];

  items[0] = insert_persisted (fixture, "stuck");
  items[1] = insert_persisted (fixture, "other");
  stuck = bs_item_dup_key (items[0]);
  other = bs_item_dup_key (items[1]);

  ask_held (fixture, BS_OPERATION_DELETE_KEY, stuck, g_object_unref (items[0]));
  g_object_unref (items[1]);
  if (fixture->n_threads > 1)
    wait_until (!gate_backing_has_primary (fixture->gates, other));
  g_assert_true (gate_backing_has_primary (fixture->gates, stuck));

  gate_backing_release (fixture->gates, BS_OPERATION_DELETE_KEY, stuck, GATE_BEFORE);
  settle (fixture);
  g_assert_false (gate_backing_has_primary (fixture->gates, stuck));
  g_assert_false (gate_backing_has_primary (fixture->gates, other));
}

/* A deletion that is stuck leaves the others to the next one, though nothing is dropped any
 * more. */
static void
test_last_drop_behind_stuck (Fixture *fixture, gconstpointer data)
{
  enum
  {
    N = 200
  };
  g_autoptr (GPtrArray) items = g_ptr_array_new_with_free_func (g_object_unref);
  Plug plug = { 0 };

  for (guint i = 0; i < N; i++)
    g_ptr_array_add (items, insert_persisted (fixture, "a"));
  gate_backing_hold (fixture->gates, BS_OPERATION_DELETE_KEY, NULL, GATE_BEFORE);

  plug_in (&plug, fixture);
  g_ptr_array_set_size (items, 0);
  plug_pull (&plug, fixture);
  gate_backing_wait_held (fixture->gates, BS_OPERATION_DELETE_KEY, NULL, GATE_BEFORE,
                          fixture->n_threads);

  gate_backing_release (fixture->gates, BS_OPERATION_DELETE_KEY, NULL, GATE_BEFORE);
  plug_wait (&plug);
  settle (fixture);
  g_assert_cmpuint (gate_backing_get_n_primary (fixture->gates), ==, 0);
}

/* Waits until a deletion pauses: the place of its thread has gone to a call that comes after
 * it. All other threads are busy. */
static void
await_pause (Fixture *fixture)
{
  g_autoptr (BsItem) item = insert (fixture, "after");
  Answer answer = { 0 };

  bs_item_write_async (item, G_PRIORITY_LOW + 1, NULL, answer_cb, &answer);
  answer_ok (&answer);
}

/* Drops an item. Its deletion would pause for longer than the watchdog waits. */
static char *
drop_and_pause (Fixture *fixture)
{
  g_autoptr (BsItem) item = insert_persisted (fixture, "a");
  char *key = bs_item_dup_key (item);

  fixture->store->deletion_pause = G_TIME_SPAN_HOUR;
  g_clear_object (&item);
  await_pause (fixture);
  g_assert_true (gate_backing_has_primary (fixture->gates, key));

  return key;
}

static void
test_wait_ends_pause (Fixture *fixture, gconstpointer data)
{
  g_autofree char *first = drop_and_pause (fixture), *second = NULL;
  Answer answer = { 0 };

  settle (fixture);
  g_assert_false (gate_backing_has_primary (fixture->gates, first));

  second = drop_and_pause (fixture);
  bs_backing_store_wait_finished_async (fixture->store, G_PRIORITY_DEFAULT, NULL, answer_cb,
                                        &answer);
  answer_ok (&answer);
  g_assert_cmpuint (gate_backing_get_n_primary (fixture->gates), ==, 0);
}

static void
test_close_ends_pause (Fixture *fixture, gconstpointer data)
{
  g_autofree char *key = drop_and_pause (fixture);
  g_autoptr (GError) error = NULL;

  bs_backing_store_close (fixture->store, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (gate_backing_get_n_primary (fixture->gates), ==, 0);
}

static void
test_close_async_ends_pause (Fixture *fixture, gconstpointer data)
{
  g_autofree char *key = drop_and_pause (fixture);
  Answer answer = { 0 };

  bs_backing_store_close_async (fixture->store, G_PRIORITY_DEFAULT, NULL, answer_cb, &answer);
  answer_ok (&answer);
  g_assert_cmpuint (gate_backing_get_n_primary (fixture->gates), ==, 0);
}

/* A deletion pauses behind the call of another, and goes on as soon as that has ended. */
static void
test_wait_ends_pause_behind_call (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsItem) first = insert_persisted (fixture, "first");
  g_autoptr (BsItem) second = insert_persisted (fixture, "second");
  g_autofree char *first_key = bs_item_dup_key (first);
  g_autofree char *second_key = bs_item_dup_key (second);
  Answer answer = { 0 };

  fixture->store->deletion_pause = G_TIME_SPAN_HOUR;
  g_clear_object (&first);
  ask_held (fixture, BS_OPERATION_DELETE_KEY, first_key,
            bs_backing_store_wait_finished_async (fixture->store, G_PRIORITY_DEFAULT, NULL,
                                                  answer_cb, &answer));
  g_clear_object (&second);
  await_pause (fixture);
  g_assert_true (gate_backing_has_primary (fixture->gates, second_key));
  g_assert_false (answer_is_there (&answer));

  gate_backing_release (fixture->gates, BS_OPERATION_DELETE_KEY, first_key, GATE_BEFORE);
  answer_ok (&answer);
  g_assert_cmpuint (gate_backing_get_n_primary (fixture->gates), ==, 0);
}

/* A deletion has taken two keys for one run, and the call for the first is slow: the other key
 * is let go, and an operation on it waits no longer. */
static void
test_last_drop_behind_slow_call (Fixture *fixture, gconstpointer data)
{
  enum
  {
    N = 4
  };
  g_autoptr (GPtrArray) others = g_ptr_array_new_with_free_func (g_object_unref);
  Answer waited = { 0 }, registered = { 0 };
  g_autoptr (BsItem) again = NULL;
  g_auto (GStrv) keys = g_new0 (char *, N + 1);
  BsItem *items[N];
  guint n = 0;

  /* A deletion takes keys of one shard together. */
  while (n < N)
    {
      BsItem *item = insert_persisted (fixture, "a");
      g_autofree char *key = bs_item_dup_key (item);

      if (n > 0 && get_shard_index (key) != get_shard_index (keys[0]))
        {
          g_ptr_array_add (others, item);
          continue;
        }
      keys[n] = g_steal_pointer (&key);
      items[n++] = item;
    }

  /* The last one goes first, and alone; then two. */
  fixture->store->deletion_pause = G_TIME_SPAN_HOUR;
  for (guint i = 0; i < N; i++)
    g_object_unref (items[i]);
  ask_held (fixture, BS_OPERATION_DELETE_KEY, keys[2],
            bs_backing_store_wait_finished_async (fixture->store, G_PRIORITY_DEFAULT, NULL,
                                                  answer_cb, &waited));
  register_async (fixture, keys[1], NULL, &registered);
  fixture->store->deletion_pause = -1;
  gate_backing_release (fixture->gates, BS_OPERATION_DELETE_KEY, keys[2], GATE_BEFORE);
  again = answer_pointer (&registered);
  answer_ok (&waited);

  assert_log (fixture, keys[0], "write persist delete_key");
  assert_log (fixture, keys[1], "write persist");
  assert_log (fixture, keys[2], "write persist delete_key");
  assert_content (again, "a");
  fixture->store->deletion_pause = 0;
  g_clear_object (&again);
  settle (fixture);
  assert_log (fixture, keys[1], "write persist read delete_key");
}

typedef struct
{
  char *key;
  BsOperation operation;
  GError *error;
  GThread *thread;
  guint n;
} Report;

static void
report_cb (BsBackingStore *store,
           const char *key,
           BsOperation operation,
           GError *error,
           gpointer data)
{
  Report *report = data;

  g_free (report->key);
  g_clear_error (&report->error);
  report->key = g_strdup (key);
  report->operation = operation;
  report->error = g_error_copy (error);
  report->thread = g_thread_self ();
  report->n++;
}

static void
report_clear (Report *report)
{
  g_clear_pointer (&report->key, g_free);
  g_clear_error (&report->error);
  report->n = 0;
}

static void
test_last_drop_deletion_failed (Fixture *fixture, gconstpointer data)
{
  Report report = { 0 };

  g_signal_connect (fixture->store, "background-error", G_CALLBACK (report_cb), &report);
  for (GatePoint point = GATE_BEFORE; point <= GATE_AFTER; point++)
    {
      g_autoptr (BsItem) item = insert_persisted (fixture, "a");
      g_autofree char *key = bs_item_dup_key (item);
      g_autoptr (GError) error = NULL;

      gate_backing_reset_log (fixture->gates);
      gate_backing_fail (fixture->gates, BS_OPERATION_DELETE_KEY, key, point, 1, G_IO_ERROR_BUSY);
      g_clear_object (&item);
      wait_until (report.n > 0);
      g_assert_cmpuint (report.n, ==, 1);
      g_assert_cmpstr (report.key, ==, key);
      g_assert_cmpint (report.operation, ==, BS_OPERATION_DELETE_KEY);
      g_assert_error (report.error, G_IO_ERROR, G_IO_ERROR_BUSY);
      g_assert_true (report.thread == g_thread_self ());
      report_clear (&report);

      /* The key can be used as ever. */
      item = bs_pool_register (fixture->pool, fixture->tracked, key, NULL, &error);
      g_assert_no_error (error);
      assert_content (item, "a");
      assert_log (fixture, key, "delete_key register_key read");
      g_clear_object (&item);
      settle (fixture);
      g_assert_false (gate_backing_has_primary (fixture->gates, key));
    }
  g_signal_handlers_disconnect_by_data (fixture->store, &report);
  report_clear (&report);
}

static void
test_register_cancelled (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GCancellable) queued = g_cancellable_new ();
  g_autoptr (GCancellable) waiting = g_cancellable_new ();
  g_autoptr (GCancellable) running = g_cancellable_new ();
  g_autoptr (BsItem) item = insert_persisted (fixture, "a");
  g_autofree char *key = bs_item_dup_key (item);
  Answer registered = { 0 };
  Plug plug = { 0 };

  /* Before the deletion's turn there is nothing to wait for; it goes on once the new
   * item has gone. */
  plug_in (&plug, fixture);
  g_clear_object (&item);
  register_async (fixture, key, queued, &registered);
  g_cancellable_cancel (queued);
  item = answer_pointer (&registered);
  g_clear_object (&item);
  plug_out (&plug, fixture);
  settle (fixture);
  assert_log (fixture, key, "write persist delete_key");
  g_assert_false (gate_backing_has_primary (fixture->gates, key));

  /* Behind a running deletion. */
  register_async (fixture, key, NULL, &registered);
  item = answer_pointer (&registered);
  ask_held (fixture, BS_OPERATION_DELETE_KEY, key, g_clear_object (&item));
  register_async (fixture, key, waiting, &registered);
  g_cancellable_cancel (waiting);
  answer_cancelled (&registered);
  gate_backing_release (fixture->gates, BS_OPERATION_DELETE_KEY, key, GATE_BEFORE);
  settle (fixture);
  g_assert_true (is_forgotten (fixture->store, key));

  /* Running: what it may have left is cleared away. */
  gate_backing_reset_log (fixture->gates);
  gate_backing_set_stubborn (fixture->gates, TRUE);
  gate_backing_hold (fixture->gates, BS_OPERATION_REGISTER_KEY, key, GATE_AFTER);
  gate_backing_fail (fixture->gates, BS_OPERATION_REGISTER_KEY, key, GATE_AFTER, 1,
                     G_IO_ERROR_CANCELLED);
  register_async (fixture, key, running, &registered);
  gate_backing_wait_held (fixture->gates, BS_OPERATION_REGISTER_KEY, key, GATE_AFTER, 1);
  g_cancellable_cancel (running);
  gate_backing_release (fixture->gates, BS_OPERATION_REGISTER_KEY, key, GATE_AFTER);
  answer_cancelled (&registered);
  settle (fixture);
  assert_log (fixture, key, "register_key delete_key");
  g_assert_false (gate_backing_has_primary (fixture->gates, key));
  g_assert_true (bs_tracked_path_contains_key (fixture->tracked, key));

  /* And it can be had afterwards. */
  register_async (fixture, key, NULL, &registered);
  item = answer_pointer (&registered);
  assert_content (item, "a");
}

static void
test_fails_after_effect_then_opposite (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsItem) item = insert_written (fixture, "a");
  g_autofree char *key = bs_item_dup_key (item);
  Answer first = { 0 }, second = { 0 };

  for (guint queued = 0; queued < 2; queued++)
    {
      /* A persist that failed has persisted. */
      gate_backing_reset_log (fixture->gates);
      gate_backing_fail (fixture->gates, BS_OPERATION_PERSIST, key, GATE_AFTER, 1,
                         G_IO_ERROR_FAILED);
      ask_held (fixture, BS_OPERATION_PERSIST, key, persist_async (fixture, item, NULL, &first));
      if (queued)
        delete_async (fixture, key, NULL, &second);
      gate_backing_release (fixture->gates, BS_OPERATION_PERSIST, key, GATE_BEFORE);
      answer_fails (&first, G_IO_ERROR, G_IO_ERROR_FAILED);
      if (!queued)
        {
          g_assert_false (bs_tracked_path_contains_key (fixture->tracked, key));
          delete_async (fixture, key, NULL, &second);
        }
      answer_ok (&second);
      g_assert_false (gate_backing_has_persisted (fixture->gates, fixture->file, key));
      assert_log (fixture, key, "persist delete_persisted");
      gate_backing_clear (fixture->gates);

      /* A deletion that failed has deleted. */
      persist_async (fixture, item, NULL, &first);
      answer_ok (&first);
      gate_backing_reset_log (fixture->gates);
      gate_backing_fail (fixture->gates, BS_OPERATION_DELETE_PERSISTED, key, GATE_AFTER, 1,
                         G_IO_ERROR_FAILED);
      ask_held (fixture, BS_OPERATION_DELETE_PERSISTED, key,
                delete_async (fixture, key, NULL, &first));
      if (queued)
        persist_async (fixture, item, NULL, &second);
      gate_backing_release (fixture->gates, BS_OPERATION_DELETE_PERSISTED, key, GATE_BEFORE);
      answer_fails (&first, G_IO_ERROR, G_IO_ERROR_FAILED);
      if (!queued)
        persist_async (fixture, item, NULL, &second);
      answer_ok (&second);
      g_assert_true (gate_backing_has_persisted (fixture->gates, fixture->file, key));
      g_assert_true (bs_tracked_path_contains_key (fixture->tracked, key));
      assert_log (fixture, key, "delete_persisted persist");
      gate_backing_clear (fixture->gates);

      delete_async (fixture, key, NULL, &first);
      answer_ok (&first);
    }
}

/* A failure makes nothing certain: the same again asks the backing. */
static void
test_same_again_after_failure (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsItem) item = insert_written (fixture, "a");
  g_autofree char *key = bs_item_dup_key (item);
  Answer answer = { 0 };

  for (GatePoint point = GATE_BEFORE; point <= GATE_AFTER; point++)
    {
      gate_backing_reset_log (fixture->gates);
      gate_backing_fail (fixture->gates, BS_OPERATION_PERSIST, key, point, 1, G_IO_ERROR_NO_SPACE);
      gate_backing_fail (fixture->gates, BS_OPERATION_DELETE_PERSISTED, key, point, 1,
                         G_IO_ERROR_NO_SPACE);
      persist_async (fixture, item, NULL, &answer);
      answer_fails (&answer, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
      persist_async (fixture, item, NULL, &answer);
      answer_ok (&answer);
      delete_async (fixture, key, NULL, &answer);
      answer_fails (&answer, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
      delete_async (fixture, key, NULL, &answer);
      answer_ok (&answer);
      assert_log (fixture, key, "persist persist delete_persisted delete_persisted");
      g_assert_cmpuint (bs_tracked_path_get_n_keys (fixture->tracked), ==, 0);
      gate_backing_clear (fixture->gates);
    }
}

/* A write that failed after its effect can be tried again. */
static void
test_write_again_after_failure (Fixture *fixture, gconstpointer data)
{
  for (GatePoint point = GATE_BEFORE; point <= GATE_AFTER; point++)
    {
      g_autoptr (BsItem) item = insert (fixture, "a");
      g_autofree char *key = bs_item_dup_key (item);
      Answer answer = { 0 };

      gate_backing_fail (fixture->gates, BS_OPERATION_WRITE, key, point, 1, G_IO_ERROR_NO_SPACE);
      persist_async (fixture, item, NULL, &answer);
      answer_fails (&answer, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
      g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_PERSIST, key), ==, 0);
      assert_content (item, "a");
      persist_async (fixture, item, NULL, &answer);
      answer_ok (&answer);
      g_assert_true (gate_backing_has_persisted (fixture->gates, fixture->file, key));
      gate_backing_clear (fixture->gates);
      g_clear_object (&item);
      settle (fixture);
      g_assert_false (gate_backing_has_primary (fixture->gates, key));
    }
}

/* A write that failed may have left the blob: a path that has lost the key says nothing of
 * that. */
static void
test_register_after_failed_write (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GFile) file = g_file_new_for_uri ("gate:///other");
  g_autoptr (BsItem) item = insert (fixture, "a");
  g_autofree char *key = bs_item_dup_key (item);
  g_autoptr (BsTrackedPath) tracked = NULL;
  g_autoptr (GError) error = NULL;

  gate_backing_put_persisted (fixture->gates, file, key, "a");
  tracked = track (fixture, file);
  gate_backing_lose_persisted (fixture->gates, file, key);
  gate_backing_fail (fixture->gates, BS_OPERATION_WRITE, key, GATE_AFTER, 1, G_IO_ERROR_NO_SPACE);
  gate_backing_reset_log (fixture->gates);
  bs_item_write (item, NULL, &error);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  g_clear_error (&error);
  g_assert_null (bs_pool_register (fixture->pool, tracked, key, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_NOT_FOUND);
  g_clear_error (&error);

  bs_item_write (item, NULL, &error);
  g_assert_no_error (error);
  g_clear_object (&item);
  settle (fixture);
  assert_log (fixture, key, "write register_key write delete_key write delete_key");
  g_assert_false (gate_backing_has_primary (fixture->gates, key));
}

static void
test_write_behind_queued_at_last_drop (Fixture *fixture, gconstpointer data)
{
  /* The plugs are in another pool, so that it is the item that has to leave. */
  g_autoptr (BsPool) pool = bs_pool_new (fixture->store, 1000);
  g_autoptr (GBytes) bytes = g_bytes_new_static ("leaves", 6);
  g_autofree char *key = NULL;
  Plug plug = { 0 };
  BsItem *item;

  plug_in (&plug, fixture);
  item = bs_pool_insert (pool, bytes);
  key = bs_item_dup_key (item);
  bs_pool_set_max_bytes (pool, 0);
  g_assert_finalize_object (item);
  plug_out (&plug, fixture);
  settle (fixture);
  /* Nobody wants it any more. */
  assert_log (fixture, key, "");
  g_assert_true (is_forgotten (fixture->store, key));
  assert_goes (g_steal_pointer (&pool));
}

static void
test_write_behind_running_at_last_drop (Fixture *fixture, gconstpointer data)
{
  for (GatePoint point = GATE_BEFORE; point <= GATE_AFTER; point++)
    {
      g_autofree char *key = NULL;
      BsItem *item;

      bs_pool_set_max_bytes (fixture->pool, 1000);
      item = insert (fixture, "leaves");
      key = bs_item_dup_key (item);
      gate_backing_hold (fixture->gates, BS_OPERATION_WRITE, key, point);
      bs_pool_set_max_bytes (fixture->pool, 0);
      gate_backing_wait_held (fixture->gates, BS_OPERATION_WRITE, key, point, 1);
      g_assert_finalize_object (item);
      gate_backing_release (fixture->gates, BS_OPERATION_WRITE, key, point);
      settle (fixture);
      assert_log (fixture, key, "write delete_key");
      g_assert_cmpuint (gate_backing_get_n_primary (fixture->gates), ==, 0);
      g_assert_true (is_forgotten (fixture->store, key));
    }
}

static void
test_during_write_behind (Fixture *fixture, gconstpointer data)
{
  for (guint queued = 0; queued < 2; queued++)
    {
      g_autoptr (BsItem) item = NULL, copy = NULL;
      g_autofree char *key = NULL, *new_key = NULL;
      g_autoptr (GBytes) replacement = g_bytes_new_static ("new", 3);
      Answer load = { 0 }, persist = { 0 };
      g_autoptr (GBytes) bytes = NULL;
      Plug plug = { 0 };

      bs_pool_set_max_bytes (fixture->pool, 1000);
      if (queued)
        plug_in (&plug, fixture);
      item = insert (fixture, "leaves");
      key = bs_item_dup_key (item);
      if (!queued)
        gate_backing_hold (fixture->gates, BS_OPERATION_WRITE, key, GATE_BEFORE);
      bs_pool_set_max_bytes (fixture->pool, 0);
      if (!queued)
        gate_backing_wait_held (fixture->gates, BS_OPERATION_WRITE, key, GATE_BEFORE, 1);

      /* In memory still: a load waits for nothing. */
      bs_item_load_async (item, G_PRIORITY_DEFAULT, NULL, answer_cb, &load);
      bytes = answer_pointer (&load);
      g_assert_cmpuint (g_bytes_get_size (bytes), ==, 6);
      copy = bs_item_copy (item);
      persist_async (fixture, copy, NULL, &persist);
      bs_item_replace (item, replacement);
      new_key = bs_item_dup_key (item);
      g_assert_cmpstr (key, !=, new_key);
      g_assert_false (answer_is_there (&persist));

      if (queued)
        plug_out (&plug, fixture);
      else
        gate_backing_release (fixture->gates, BS_OPERATION_WRITE, key, GATE_BEFORE);
      answer_ok (&persist);
      settle (fixture);
      assert_log (fixture, key, "write persist");
      assert_content (copy, "leaves");
      assert_content (item, "new");
      g_clear_object (&copy);
      g_clear_object (&item);
      settle (fixture);
      g_assert_cmpuint (gate_backing_get_n_primary (fixture->gates), ==, 0);
    }
}

/* Many loads, one read. */
static void
test_loads_share_one_read (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autofree char *key = put_key (fixture, "a");
  g_autoptr (BsItem) item = NULL;
  Answer answers[5] = { 0 }, left = { 0 };

  item = bs_pool_register (fixture->pool, fixture->tracked, key, NULL, NULL);
  gate_backing_hold (fixture->gates, BS_OPERATION_READ, key, GATE_BEFORE);
  bs_item_load_async (item, G_PRIORITY_DEFAULT, cancellable, answer_cb, &left);
  for (guint i = 0; i < 5; i++)
    bs_item_load_async (item, G_PRIORITY_DEFAULT, NULL, answer_cb, &answers[i]);
  gate_backing_wait_held (fixture->gates, BS_OPERATION_READ, key, GATE_BEFORE, 1);
  g_cancellable_cancel (cancellable);
  answer_cancelled (&left);
  gate_backing_release (fixture->gates, BS_OPERATION_READ, key, GATE_BEFORE);
  for (guint i = 0; i < 5; i++)
    {
      g_autoptr (GBytes) bytes = answer_pointer (&answers[i]);

      g_assert_cmpmem (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), "a", 1);
    }
  assert_log (fixture, key, "register_key read");
}

/* Two pools read one blob: the second joins the first, unless the blob was registered
 * in between. Then it is not the first one's error that the second gets. */
static void
test_read_register_read (Fixture *fixture, gconstpointer data)
{
  for (guint i = 0; i < 2; i++)
    {
      const gboolean registers = i == 1;
      g_autoptr (BsPool) pool = bs_pool_new (fixture->store, G_MAXINT64);
      g_autofree char *key = put_key (fixture, "a");
      g_autoptr (BsItem) first =
        bs_pool_register (fixture->pool, fixture->tracked, key, NULL, NULL);
      g_autoptr (BsItem) second = bs_pool_register (pool, fixture->tracked, key, NULL, NULL);
      g_autoptr (BsItem) third = NULL;
      Answer loads[2] = { 0 }, registered = { 0 };

      gate_backing_fail (fixture->gates, BS_OPERATION_READ, key, GATE_BEFORE, 1, G_IO_ERROR_BUSY);
      ask_held (fixture, BS_OPERATION_READ, key,
                bs_item_load_async (first, G_PRIORITY_DEFAULT, NULL, answer_cb, &loads[0]));
      if (registers)
        register_async (fixture, key, NULL, &registered);
      bs_item_load_async (second, G_PRIORITY_DEFAULT, NULL, answer_cb, &loads[1]);
      gate_backing_release (fixture->gates, BS_OPERATION_READ, key, GATE_BEFORE);

      answer_fails (&loads[0], G_IO_ERROR, G_IO_ERROR_BUSY);
      if (registers)
        {
          third = answer_pointer (&registered);
          g_bytes_unref (answer_pointer (&loads[1]));
        }
      else
        {
          answer_fails (&loads[1], G_IO_ERROR, G_IO_ERROR_BUSY);
        }
      g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_READ, key), ==,
                        registers ? 2 : 1);
      g_clear_object (&second);
      assert_goes (g_steal_pointer (&pool));
    }
}

/* A read finds nothing, and the path cannot help: the store asks the backing again
 * when the key is registered once more. */
static void
test_register_after_lost_read (Fixture *fixture, gconstpointer data)
{
  g_autofree char *key = put_key (fixture, "a");
  g_autoptr (BsItem) item = bs_pool_register (fixture->pool, fixture->tracked, key, NULL, NULL);
  g_autoptr (BsItem) again = NULL;
  g_autoptr (GError) error = NULL;

  gate_backing_lose_primary (fixture->gates, key);
  gate_backing_fail (fixture->gates, BS_OPERATION_REGISTER_KEY, key, GATE_BEFORE, 1,
                     G_IO_ERROR_BUSY);
  gate_backing_reset_log (fixture->gates);
  g_assert_null (bs_item_load (item, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_NOT_FOUND);
  g_clear_error (&error);
  again = bs_pool_register (fixture->pool, fixture->tracked, key, NULL, &error);
  g_assert_no_error (error);
  assert_content (again, "a");
  assert_log (fixture, key, "read register_key register_key read");
}

/* A registration fails: whether the path has the key is uncertain, so that a persist
 * is no no-op. */
static void
test_persist_after_failed_register (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GFile) file = g_file_new_for_uri ("gate:///other");
  g_autoptr (BsItem) item = insert (fixture, "a");
  g_autofree char *key = bs_item_dup_key (item);
  g_autoptr (BsTrackedPath) tracked = NULL;
  g_autoptr (GError) error = NULL;

  gate_backing_put_persisted (fixture->gates, file, key, "a");
  tracked = track (fixture, file);
  gate_backing_fail (fixture->gates, BS_OPERATION_REGISTER_KEY, key, GATE_BEFORE, 1,
                     G_IO_ERROR_BUSY);
  gate_backing_reset_log (fixture->gates);
  g_assert_null (bs_pool_register (fixture->pool, tracked, key, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_BUSY);
  g_clear_error (&error);
  bs_item_persist (item, tracked, NULL, &error);
  g_assert_no_error (error);
  assert_log (fixture, key, "register_key write persist");
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);

  test_add ("/interleavings/waiter-cancelled/before-its-turn", test_waiter_cancelled_before_turn);
  test_add ("/interleavings/waiter-cancelled/race", test_waiter_cancelled_in_a_race);
  test_add ("/interleavings/waiter-cancelled/blocking", test_blocking_waiter_cancelled);
  test_add ("/interleavings/blocking-runner-cancelled", test_blocking_runner_cancelled);
  test_add ("/interleavings/persist-delete-persist", test_persist_delete_persist);
  test_add ("/interleavings/delete-persist-delete", test_delete_persist_delete);
  test_add ("/interleavings/persist-behind-queued-delete", test_persist_behind_queued_delete);
  test_add ("/interleavings/cancel-merged/each", test_cancel_merged);
  test_add ("/interleavings/cancel-merged/stayer", test_cancel_merged_with_a_stayer);
  test_add ("/interleavings/cancel-merged/runner", test_blocking_runner_leaves);
  test_add ("/interleavings/fired/ask-again", test_ask_again_before_fired_returns);
  test_add ("/interleavings/fired/succeeds", test_fired_call_succeeds);
  test_add ("/interleavings/last-drop/queued", test_last_drop_deletion_queued);
  test_add ("/interleavings/last-drop/running", test_last_drop_deletion_running);
  test_add ("/interleavings/last-drop/failed", test_last_drop_deletion_failed);
  test_add ("/interleavings/last-drop/register-cancelled", test_register_cancelled);
  test_add ("/interleavings/last-drop/many", test_last_drop_many);
  test_add ("/interleavings/last-drop/beside-stuck", test_last_drop_beside_stuck);
  test_add ("/interleavings/last-drop/behind-stuck", test_last_drop_behind_stuck);
  g_test_add ("/interleavings/last-drop/behind-slow-call", Fixture, &one_thread, fixture_set_up,
              test_last_drop_behind_slow_call, fixture_tear_down);
  g_test_add ("/interleavings/last-drop/wait-ends-pause", Fixture, &one_thread, fixture_set_up,
              test_wait_ends_pause, fixture_tear_down);
  g_test_add ("/interleavings/last-drop/close-ends-pause", Fixture, &one_thread, fixture_set_up,
              test_close_ends_pause, fixture_tear_down);
  g_test_add ("/interleavings/last-drop/close-async-ends-pause", Fixture, &one_thread,
              fixture_set_up, test_close_async_ends_pause, fixture_tear_down);
  test_add_once ("/interleavings/last-drop/wait-ends-pause-behind-call",
                 test_wait_ends_pause_behind_call);
  test_add ("/interleavings/failure/then-opposite", test_fails_after_effect_then_opposite);
  test_add ("/interleavings/failure/then-again", test_same_again_after_failure);
  test_add ("/interleavings/failure/write-again", test_write_again_after_failure);
  test_add ("/interleavings/failure/write-then-register", test_register_after_failed_write);
  test_add ("/interleavings/write-behind/queued", test_write_behind_queued_at_last_drop);
  test_add ("/interleavings/write-behind/running", test_write_behind_running_at_last_drop);
  test_add ("/interleavings/write-behind/meanwhile", test_during_write_behind);
  test_add ("/interleavings/loads", test_loads_share_one_read);
  test_add ("/interleavings/read-register-read", test_read_register_read);
  test_add ("/interleavings/lost/read-then-register", test_register_after_lost_read);
  test_add ("/interleavings/failure/register-then-persist", test_persist_after_failed_register);

  return g_test_run ();
}
