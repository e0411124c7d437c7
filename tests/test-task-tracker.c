/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "store-fixture.h"

static BsTaskTracker *
get_tracker (Fixture *fixture)
{
  return bs_backing_store_get_task_tracker (fixture->store);
}

static void
test_counts (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsItem) first = insert (fixture, "a");
  g_autoptr (BsItem) second = insert (fixture, "b");
  BsTaskTracker *tracker = get_tracker (fixture);
  Answer answers[2] = { 0 };
  guint n_tasks;

  settle (fixture);
  g_assert_cmpuint (bs_task_tracker_get_n_tasks (tracker), ==, 0);
  gate_backing_hold (fixture->gates, BS_OPERATION_WRITE, NULL, GATE_BEFORE);
  bs_item_write_async (first, G_PRIORITY_DEFAULT, NULL, answer_cb, &answers[0]);
  bs_item_write_async (second, G_PRIORITY_DEFAULT, NULL, answer_cb, &answers[1]);
  bs_task_tracker_hold (tracker);
  g_object_get (tracker, "n-tasks", &n_tasks, NULL);
  g_assert_cmpuint (n_tasks, ==, 3);
  bs_task_tracker_release (tracker);
  g_assert_cmpuint (bs_task_tracker_get_n_tasks (tracker), ==, 2);
  gate_backing_release_all (fixture->gates);
  answer_ok (&answers[0]);
  answer_ok (&answers[1]);
  settle (fixture);
  g_assert_cmpuint (bs_task_tracker_get_n_tasks (tracker), ==, 0);
}

static void
last_n_tasks_cb (GObject *object, GParamSpec *pspec, gpointer data)
{
  *(guint *) data = bs_task_tracker_get_n_tasks (BS_TASK_TRACKER (object));
}

/* The last notification tells the present value. */
static void
test_notify (Fixture *fixture, gconstpointer data)
{
  BsTaskTracker *tracker = get_tracker (fixture);
  guint told = 0;

  g_signal_connect (tracker, "notify::n-tasks", G_CALLBACK (last_n_tasks_cb), &told);
  for (guint i = 0; i < 20; i++)
    {
      Answer answers[10] = { 0 };

      bs_task_tracker_hold (tracker);
      wait_until (told > 0);
      for (guint j = 0; j < 10; j++)
        {
          g_autoptr (BsItem) item = insert (fixture, "a");

          persist_async (fixture, item, NULL, &answers[j]);
        }
      for (guint j = 0; j < 10; j++)
        answer_ok (&answers[j]);
      bs_task_tracker_release (tracker);
      wait_until (told == 0);
    }
  g_signal_handlers_disconnect_by_data (tracker, &told);
}

static void
count_cb (GObject *object, GParamSpec *pspec, gpointer data)
{
  (*(guint *) data)++;
}

static void
test_close_and_reopen (Fixture *fixture, gconstpointer data)
{
  BsTaskTracker *tracker = get_tracker (fixture);
  Answer wait = { 0 }, sync = { 0 };
  guint n = 0;

  g_signal_connect (tracker, "notify::closed", G_CALLBACK (count_cb), &n);
  g_assert_false (bs_task_tracker_get_closed (tracker));
  bs_task_tracker_wait_async (tracker, NULL, answer_cb, &wait);
  g_assert_false (answer_is_there (&wait));
  bs_task_tracker_close (tracker);
  bs_task_tracker_close (tracker);
  g_assert_true (bs_task_tracker_get_closed (tracker));
  answer_ok (&wait);
  wait_until (n == 1);

  /* A closed tracker refuses nothing. */
  sync_async (fixture, NULL, &sync);
  answer_ok (&sync);
  bs_task_tracker_wait_async (tracker, NULL, answer_cb, &wait);
  answer_ok (&wait);

  bs_task_tracker_reopen (tracker);
  wait_until (n == 2);
  bs_task_tracker_wait_async (tracker, NULL, answer_cb, &wait);
  g_assert_false (answer_is_there (&wait));
  bs_backing_store_wait_finished_async (fixture->store, G_PRIORITY_DEFAULT, NULL, answer_cb, &sync);
  answer_ok (&sync);
  answer_ok (&wait);
  g_assert_true (bs_task_tracker_get_closed (tracker));
  g_signal_handlers_disconnect_by_data (tracker, &n);
}

static void
test_reopened_while_waiting (Fixture *fixture, gconstpointer data)
{
  BsTaskTracker *tracker = get_tracker (fixture);
  Answer wait = { 0 };

  bs_task_tracker_hold (tracker);
  bs_task_tracker_close (tracker);
  bs_task_tracker_wait_async (tracker, NULL, answer_cb, &wait);
  bs_task_tracker_reopen (tracker);
  bs_task_tracker_release (tracker);
  settle (fixture);
  /* settle() closes it for a moment: whoever waits goes on. */
  answer_ok (&wait);
}

static void
test_hold (Fixture *fixture, gconstpointer data)
{
  BsTaskTracker *tracker = get_tracker (fixture);
  Answer waits[2] = { 0 };

  bs_task_tracker_hold (tracker);
  bs_task_tracker_hold (tracker);
  bs_backing_store_wait_finished_async (fixture->store, G_PRIORITY_DEFAULT, NULL, answer_cb,
                                        &waits[0]);
  bs_task_tracker_wait_async (tracker, NULL, answer_cb, &waits[1]);
  bs_task_tracker_release (tracker);
  g_assert_false (answer_is_there (&waits[0]));
  bs_task_tracker_release (tracker);
  answer_ok (&waits[0]);
  answer_ok (&waits[1]);
}

static void
test_cancel (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  BsTaskTracker *tracker = get_tracker (fixture);
  g_autoptr (GError) error = NULL;
  Answer left = { 0 }, stays = { 0 };

  bs_task_tracker_hold (tracker);
  bs_backing_store_wait_finished_async (fixture->store, G_PRIORITY_DEFAULT, cancellable, answer_cb,
                                        &left);
  bs_backing_store_wait_finished_async (fixture->store, G_PRIORITY_DEFAULT, NULL, answer_cb,
                                        &stays);
  g_cancellable_cancel (cancellable);
  answer_cancelled (&left);
  g_assert_false (bs_task_tracker_wait (tracker, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_false (answer_is_there (&stays));
  bs_task_tracker_release (tracker);
  answer_ok (&stays);
}

static gpointer
wait_in_thread (gpointer data)
{
  return GINT_TO_POINTER (bs_task_tracker_wait (data, NULL, NULL));
}

static void
test_wait_in_threads (Fixture *fixture, gconstpointer data)
{
  BsTaskTracker *tracker = get_tracker (fixture);
  GThread *threads[8];

  bs_task_tracker_hold (tracker);
  for (guint i = 0; i < 8; i++)
    threads[i] = g_thread_new ("wait", wait_in_thread, tracker);
  bs_task_tracker_close (tracker);
  bs_task_tracker_release (tracker);
  for (guint i = 0; i < 8; i++)
    g_assert_true (GPOINTER_TO_INT (g_thread_join (threads[i])));
}

/* The callbacks of what is waited for have been handed over, and deletions done. */
static void
test_covers_deletions (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsItem) item = NULL;
  Answer wait = { 0 };

  for (guint i = 0; i < 50; i++)
    {
      item = insert_written (fixture, "a");
      g_clear_object (&item);
      bs_backing_store_wait_finished_async (fixture->store, G_PRIORITY_DEFAULT, NULL, answer_cb,
                                            &wait);
      answer_ok (&wait);
      g_assert_cmpuint (gate_backing_get_n_primary (fixture->gates), ==, 0);
      bs_task_tracker_reopen (get_tracker (fixture));
    }
}

/* A tracker may outlive its store. */
static void
test_outlives_store (Fixture *fixture, gconstpointer data)
{
  BsTaskTracker *tracker = g_object_ref (get_tracker (fixture));

  assert_goes (g_steal_pointer (&fixture->pool));
  assert_goes (g_steal_pointer (&fixture->tracked));
  assert_goes (g_steal_pointer (&fixture->store));
  bs_task_tracker_close (tracker);
  g_assert_true (bs_task_tracker_wait (tracker, NULL, NULL));
  bs_task_tracker_hold (tracker);
  bs_task_tracker_release (tracker);
  g_assert_cmpuint (bs_task_tracker_get_n_tasks (tracker), ==, 0);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  assert_goes (tracker);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);

  test_add ("/task-tracker/counts", test_counts);
  test_add ("/task-tracker/notify", test_notify);
  test_add_once ("/task-tracker/close-and-reopen", test_close_and_reopen);
  test_add_once ("/task-tracker/reopened-while-waiting", test_reopened_while_waiting);
  test_add_once ("/task-tracker/hold", test_hold);
  test_add_once ("/task-tracker/cancel", test_cancel);
  test_add_once ("/task-tracker/wait-in-threads", test_wait_in_threads);
  test_add ("/task-tracker/covers-deletions", test_covers_deletions);
  test_add_once ("/task-tracker/outlives-store", test_outlives_store);

  return g_test_run ();
}
