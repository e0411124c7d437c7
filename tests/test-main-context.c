/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "store-fixture.h"

/* A store whose functions run in one main context and nowhere else. */

static void
set_up (Fixture *fixture, gconstpointer data)
{
  /* No loop has run yet: this thread stands in for the owner. */
  fixture_start (fixture, &one_thread, g_main_context_default ());
}

#define add(path, function) g_test_add (path, Fixture, NULL, set_up, function, fixture_tear_down)

static void
assert_all_here (Fixture *fixture)
{
  for (BsOperation operation = BS_OPERATION_WRITE; operation <= BS_OPERATION_CLOSE; operation++)
    {
      GThread *thread = gate_backing_get_thread (fixture->gates, operation);

      g_assert_true (thread == NULL || thread == g_thread_self ());
    }
  g_assert_cmpuint (gate_backing_get_max_parallel (fixture->gates), <=, 1);
}

static gboolean
note_thread (BsBackingStore *store, GCancellable *cancellable, gpointer data, GError **error)
{
  *(GThread **) data = g_thread_self ();
  return TRUE;
}

static void
test_before_any_loop (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsItem) item = insert_persisted (fixture, "a");
  g_autofree char *key = bs_item_dup_key (item);
  g_autoptr (BsKeySet) keys = bs_key_set_new ();
  g_autoptr (GListModel) model = NULL;
  g_autoptr (GError) error = NULL;
  GThread *thread = NULL;

  g_assert_true (bs_backing_store_get_main_context (fixture->store) == g_main_context_default ());
  g_assert_true (bs_backing_store_sync (fixture->store, fixture->tracked, NULL, &error));
  g_assert_true (
    bs_backing_store_run_in_thread (fixture->store, note_thread, &thread, NULL, NULL, &error));
  g_assert_true (thread == g_thread_self ());
  model = bs_pool_register_all (fixture->pool, fixture->tracked, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (g_list_model_get_n_items (model), ==, 1);
  bs_key_set_add (keys, key, NULL);
  g_assert_true (
    bs_backing_store_delete_persisted_keys (fixture->store, fixture->tracked, keys, NULL, &error));
  g_clear_object (&item);
  g_clear_object (&model);
  settle (fixture);
  g_assert_cmpuint (gate_backing_get_n_primary (fixture->gates), ==, 0);
  assert_all_here (fixture);
}

static void
test_async (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsItem) item = insert (fixture, "a");
  Answer persist = { 0 }, sync = { 0 }, run = { 0 };
  GThread *thread = NULL;

  persist_async (fixture, item, NULL, &persist);
  sync_async (fixture, NULL, &sync);
  bs_backing_store_run_in_thread_async (fixture->store, note_thread, &thread, NULL,
                                        G_PRIORITY_DEFAULT, NULL, answer_cb, &run);
  /* Nothing runs before the context does. */
  g_assert_cmpuint (gate_backing_count_all (fixture->gates), ==, 0);
  g_assert_null (thread);
  answer_ok (&persist);
  answer_ok (&sync);
  answer_ok (&run);
  g_assert_true (thread == g_thread_self ());
  assert_all_here (fixture);
}

static gpointer
block_from_elsewhere (gpointer data)
{
  Blocking *self = data;
  Fixture *fixture = self->fixture;
  GThread *thread = NULL;

  self->success = bs_backing_store_sync (fixture->store, fixture->tracked, NULL, &self->error) &&
                  bs_backing_store_run_in_thread (fixture->store, note_thread, &thread, NULL, NULL,
                                                  &self->error) &&
                  thread != g_thread_self () &&
                  bs_backing_store_delete_persisted (fixture->store, fixture->tracked, self->key,
                                                     NULL, &self->error);
  g_atomic_int_set (&self->done, TRUE);
  return NULL;
}

/* Another thread waits for the context. */
static void
test_blocking_elsewhere (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsItem) item = insert_persisted (fixture, "a");
  g_autofree char *key = bs_item_dup_key (item);
  Blocking blocking;

  gate_backing_reset_log (fixture->gates);
  blocking_start (&blocking, fixture, block_from_elsewhere, key, NULL);
  wait_until (g_atomic_int_get (&blocking.done));
  blocking_ok (&blocking);
  assert_log (fixture, NULL, "sync_persisted delete_persisted");
  assert_all_here (fixture);
}

static gpointer
block_and_release (gpointer data)
{
  Blocking *self = data;

  block_from_elsewhere (self);
  bs_task_tracker_release (bs_backing_store_get_task_tracker (self->fixture->store));
  return NULL;
}

/* Or for a blocking wait of the context's thread, which runs what is ready. */
static void
test_blocking_elsewhere_and_here (Fixture *fixture, gconstpointer data)
{
  g_autofree char *key = put_key (fixture, "a");
  Blocking blocking;

  bs_task_tracker_hold (bs_backing_store_get_task_tracker (fixture->store));
  blocking_start (&blocking, fixture, block_and_release, key, NULL);
  settle (fixture);
  blocking_ok (&blocking);
  assert_log (fixture, NULL, "sync_persisted delete_persisted");
  assert_all_here (fixture);
}

typedef struct
{
  Fixture *fixture;
  GMainContext *context;
  GMainLoop *loop;
  GThread *thread;
} Elsewhere;

static gpointer
run_loop (gpointer data)
{
  Elsewhere *self = data;

  g_main_context_push_thread_default (self->context);
  g_main_loop_run (self->loop);
  g_main_context_pop_thread_default (self->context);
  return NULL;
}

static gboolean
loop_runs (gpointer flag)
{
  g_atomic_int_set ((int *) flag, TRUE);
  return G_SOURCE_REMOVE;
}

static gboolean
quit_loop (gpointer loop)
{
  g_main_loop_quit (loop);
  return G_SOURCE_REMOVE;
}

/* The context belongs to another thread than the one that made the store. */
static void
test_context_elsewhere (void)
{
  Fixture fixture = { 0 };
  Elsewhere elsewhere = {
    &fixture,
  };
  g_autoptr (GSource) quit = g_idle_source_new ();
  g_autoptr (GSource) begun = g_idle_source_new ();
  int runs = FALSE;
  g_autoptr (GError) error = NULL;
  Answer persist = { 0 };
  GThread *thread = NULL;
  BsItem *item;

  elsewhere.context = g_main_context_new ();
  elsewhere.loop = g_main_loop_new (elsewhere.context, FALSE);
  g_source_set_callback (begun, loop_runs, &runs, NULL);
  g_source_attach (begun, elsewhere.context);
  elsewhere.thread = g_thread_new ("context", run_loop, &elsewhere);
  spin_until (g_atomic_int_get (&runs));
  fixture_start (&fixture, &one_thread, elsewhere.context);
  g_assert_true (gate_backing_get_thread (fixture.gates, BS_OPERATION_SANITIZE_PATH) ==
                 elsewhere.thread);

  item = insert (&fixture, "a");
  persist_async (&fixture, item, NULL, &persist);
  answer_wait (&persist);
  g_assert_true (persist.thread == g_thread_self ());
  answer_ok (&persist);
  g_assert_true (bs_backing_store_sync (fixture.store, fixture.tracked, NULL, &error));
  g_assert_true (
    bs_backing_store_run_in_thread (fixture.store, note_thread, &thread, NULL, NULL, &error));
  g_assert_true (thread == elsewhere.thread);
  for (BsOperation operation = BS_OPERATION_WRITE; operation <= BS_OPERATION_CLOSE; operation++)
    {
      thread = gate_backing_get_thread (fixture.gates, operation);
      g_assert_true (thread == NULL || thread == elsewhere.thread);
    }
  assert_goes (item);
  settle (&fixture);
  fixture_tear_down (&fixture, NULL);

  g_source_set_callback (quit, quit_loop, elsewhere.loop, NULL);
  g_source_attach (quit, elsewhere.context);
  g_thread_join (elsewhere.thread);
  g_main_loop_unref (elsewhere.loop);
  g_main_context_unref (elsewhere.context);
}

/* No loop runs it yet, and this thread did not make the store: it waits. */
static gpointer
make_store (gpointer data)
{
  fixture_start (data, &one_thread, g_main_context_default ());
  return NULL;
}

static void
test_made_elsewhere (void)
{
  Fixture fixture = { 0 };
  g_autoptr (GError) error = NULL;

  g_assert_true (g_main_context_acquire (NULL));
  g_main_context_release (NULL);
  g_thread_join (g_thread_new ("maker", make_store, &fixture));
  g_assert_true (gate_backing_get_thread (fixture.gates, BS_OPERATION_SANITIZE_PATH) !=
                 g_thread_self ());

  /* As in a callback: the owner runs it itself. */
  g_assert_true (g_main_context_acquire (NULL));
  g_assert_true (bs_backing_store_sync (fixture.store, fixture.tracked, NULL, &error));
  g_assert_true (gate_backing_get_thread (fixture.gates, BS_OPERATION_SYNC_PERSISTED) ==
                 g_thread_self ());
  g_main_context_release (NULL);
  fixture_tear_down (&fixture, NULL);
}

typedef struct
{
  Fixture *fixture;
  BsItem *item;
  Answer answer;
  Answer sync;
  GError *error;
  int n;
} Nested;

/* In a virtual function: a loop, in which another operation runs and calls back. */
static void
nest_in_vfunc (GateBacking *gates, BsOperation operation, const char *key, gpointer data)
{
  Nested *self = data;

  if (self->n++ > 0)
    return;
  bs_item_persist_async (self->item, self->fixture->tracked, G_PRIORITY_DEFAULT, NULL, answer_cb,
                         &self->answer);
  sync_async (self->fixture, NULL, &self->sync);
  while (self->answer.n_calls == 0)
    g_main_context_iteration (NULL, TRUE);
}

static void
block_in_nested_cb (GObject *source, GAsyncResult *result, gpointer data)
{
  Nested *self = data;

  answer_cb (source, result, &self->answer);
  bs_backing_store_sync (self->fixture->store, self->fixture->tracked, NULL, &self->error);
}

static void
nest_and_block_in_vfunc (GateBacking *gates, BsOperation operation, const char *key, gpointer data)
{
  Nested *self = data;

  if (self->n++ > 0)
    return;
  bs_item_persist_async (self->item, self->fixture->tracked, G_PRIORITY_DEFAULT, NULL,
                         block_in_nested_cb, self);
  while (self->answer.n_calls == 0)
    g_main_context_iteration (NULL, TRUE);
}

static void
test_nested_in_vfunc (Fixture *fixture, gconstpointer data)
{
  for (guint kind = 0; kind < 4; kind++)
    {
      g_autoptr (BsItem) outer = insert_written (fixture, "outer");
      g_autoptr (BsItem) inner = insert_written (fixture, "inner");
      Nested nested = {
        fixture,
        inner,
      };
      gboolean blocks = kind % 2 != 0;
      Answer answer = { 0 };

      gate_backing_set_hook (fixture->gates, BS_OPERATION_PERSIST, GATE_BEFORE,
                             blocks ? nest_and_block_in_vfunc : nest_in_vfunc, &nested);
      if (kind < 2)
        {
          persist_async (fixture, outer, NULL, &answer);
          answer_ok (&answer);
        }
      else
        {
          g_assert_true (bs_item_persist (outer, fixture->tracked, NULL, NULL));
        }
      answer_ok (&nested.answer);
      if (blocks)
        g_assert_error (nested.error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
      else
        answer_ok (&nested.sync);
      g_clear_error (&nested.error);
      gate_backing_clear (fixture->gates);
      while (g_main_context_iteration (NULL, FALSE))
        ;
    }
}

static void
nest_in_callback_cb (GObject *source, GAsyncResult *result, gpointer data)
{
  Nested *self = data;
  Answer inner = { 0 };

  answer_cb (source, result, &self->answer);
  sync_async (self->fixture, NULL, &inner);
  while (inner.n_calls == 0)
    g_main_context_iteration (NULL, TRUE);
  self->n = inner.n_calls;
  g_clear_object (&inner.result);
  bs_item_persist (self->item, self->fixture->tracked, NULL, &self->error);
}

static void
test_nested_in_callback (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsItem) item = insert (fixture, "a");
  Nested nested = {
    fixture,
    item,
  };

  bs_backing_store_sync_async (fixture->store, fixture->tracked, G_PRIORITY_DEFAULT, NULL,
                               nest_in_callback_cb, &nested);
  wait_until (nested.n == 1);
  g_assert_no_error (nested.error);
  answer_ok (&nested.answer);
  assert_log (fixture, NULL, "sync_persisted sync_persisted write persist");
  assert_all_here (fixture);
}

/* A blocking call runs what it waits for, and calls nobody back. */
static void
test_wait_finished_here (Fixture *fixture, gconstpointer data)
{
  BsItem *items[10];
  Answer persists[10] = { 0 }, runs[10] = { 0 };
  GThread *threads[10] = { NULL };

  for (guint i = 0; i < 10; i++)
    {
      items[i] = insert (fixture, "a");
      persist_async (fixture, items[i], NULL, &persists[i]);
      bs_backing_store_run_in_thread_async (fixture->store, note_thread, &threads[i], NULL,
                                            G_PRIORITY_DEFAULT, NULL, answer_cb, &runs[i]);
      g_object_unref (items[i]);
    }
  settle (fixture);
  for (guint i = 0; i < 10; i++)
    {
      g_assert_cmpint (persists[i].n_calls + runs[i].n_calls, ==, 0);
      g_assert_true (threads[i] == g_thread_self ());
    }
  g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_PERSIST, NULL), ==, 10);
  for (guint i = 0; i < 10; i++)
    {
      answer_ok (&persists[i]);
      answer_ok (&runs[i]);
    }
}

static gpointer
release_elsewhere (gpointer tracker)
{
  bs_task_tracker_release (tracker);
  return NULL;
}

/* A blocking call may wait for another thread. */
static void
test_wait_for_another_thread (Fixture *fixture, gconstpointer data)
{
  for (guint i = 0; i < 50; i++)
    {
      BsTaskTracker *tracker = bs_backing_store_get_task_tracker (fixture->store);
      GThread *thread;

      bs_task_tracker_hold (tracker);
      thread = g_thread_new ("release", release_elsewhere, tracker);
      settle (fixture);
      g_thread_join (thread);
    }
}

static void
test_blocking_completes_others (Fixture *fixture, gconstpointer data)
{
  g_autofree char *key = put_key (fixture, "a");
  g_autoptr (BsItem) item = insert (fixture, "b");
  g_autoptr (GError) error = NULL;
  Answer delete = { 0 }, persist = { 0 };

  while (g_main_context_iteration (NULL, FALSE))
    ;
  delete_async (fixture, key, NULL, &delete);
  persist_async (fixture, item, NULL, &persist);
  g_assert_true (
    bs_backing_store_delete_persisted (fixture->store, fixture->tracked, key, NULL, &error));
  g_assert_true (bs_backing_store_sync (fixture->store, fixture->tracked, NULL, &error));
  assert_log (fixture, key, "delete_persisted");
  g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_PERSIST, NULL), ==, 1);
  g_assert_cmpint (delete.n_calls + persist.n_calls, ==, 0);
  answer_ok (&delete);
  answer_ok (&persist);
}

static gboolean
block_in_function (BsBackingStore *store, GCancellable *cancellable, gpointer data, GError **error)
{
  Fixture *fixture = data;
  g_autoptr (BsItem) item = insert (fixture, "inside");

  return bs_item_persist (item, fixture->tracked, cancellable, error) &&
         bs_backing_store_sync (store, fixture->tracked, cancellable, error);
}

static gboolean
wait_in_function (BsBackingStore *store, GCancellable *cancellable, gpointer data, GError **error)
{
  return bs_backing_store_wait_finished (store, cancellable, error);
}

static void
test_functions_block (Fixture *fixture, gconstpointer data)
{
  Answer answers[10] = { 0 };

  for (guint i = 0; i < 10; i++)
    bs_backing_store_run_in_thread_async (fixture->store, block_in_function, fixture, NULL,
                                          G_PRIORITY_DEFAULT, NULL, answer_cb, &answers[i]);
  for (guint i = 0; i < 10; i++)
    answer_ok (&answers[i]);
  bs_backing_store_run_in_thread_async (fixture->store, wait_in_function, NULL, NULL,
                                        G_PRIORITY_DEFAULT, NULL, answer_cb, &answers[0]);
  answer_fails (&answers[0], G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
  bs_task_tracker_reopen (bs_backing_store_get_task_tracker (fixture->store));
  assert_all_here (fixture);
}

static gboolean
wait_in_nested_loop (BsBackingStore *store,
                     GCancellable *cancellable,
                     gpointer data,
                     GError **error)
{
  Answer answer = { 0 };
  gboolean success;

  sync_async ((Fixture *) data, NULL, &answer);
  while (answer.n_calls == 0)
    g_main_context_iteration (NULL, TRUE);
  success = g_task_propagate_boolean (G_TASK (answer.result), error);
  answer_clear (&answer);
  return success;
}

static void
test_function_runs_nested_loop (Fixture *fixture, gconstpointer data)
{
  Answer answers[5] = { 0 };

  for (guint i = 0; i < 5; i++)
    bs_backing_store_run_in_thread_async (fixture->store, wait_in_nested_loop, fixture, NULL,
                                          G_PRIORITY_DEFAULT, NULL, answer_cb, &answers[i]);
  for (guint i = 0; i < 5; i++)
    answer_ok (&answers[i]);
  assert_all_here (fixture);
}

static gpointer
drop_elsewhere (gpointer data)
{
  Fixture *fixture = data;

  g_clear_object (&fixture->pool);
  g_clear_object (&fixture->tracked);
  g_clear_object (&fixture->store);
  return NULL;
}

static void
test_last_unref_elsewhere (Fixture *fixture, gconstpointer data)
{
  BsItem *item = insert_persisted (fixture, "a");
  Answer sync = { 0 };
  GWeakRef weak;
  GObject *alive;

  g_weak_ref_init (&weak, fixture->store);
  sync_async (fixture, NULL, &sync);
  g_object_unref (item);
  g_thread_join (g_thread_new ("drop", drop_elsewhere, fixture));
  answer_ok (&sync);
  while ((alive = g_weak_ref_get (&weak)) != NULL)
    {
      g_object_unref (alive);
      g_main_context_iteration (NULL, FALSE);
    }
  g_weak_ref_clear (&weak);
  g_assert_cmpuint (gate_backing_get_n_primary (fixture->gates), ==, 0);
  g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_RELEASE_PATH, NULL), ==, 1);
  assert_all_here (fixture);
}

static void
test_cancel_queued (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autofree char *key = put_key (fixture, "a");
  Answer answer = { 0 };

  delete_async (fixture, key, cancellable, &answer);
  g_cancellable_cancel (cancellable);
  answer_cancelled (&answer);
  settle (fixture);
  assert_log (fixture, key, "");
}

/* Closing has nothing to wait for but its turn, and is cancelled before that: what
 * is let go meanwhile is deleted and released as ever. */
static void
test_close_cancelled (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  BsItem *item = insert_written (fixture, "a");
  Answer close = { 0 };

  settle (fixture);
  gate_backing_reset_log (fixture->gates);
  bs_backing_store_close_async (fixture->store, G_PRIORITY_DEFAULT, cancellable, answer_cb, &close);
  g_object_unref (item);
  g_clear_object (&fixture->tracked);
  g_cancellable_cancel (cancellable);
  answer_cancelled (&close);
  settle (fixture);
  g_assert_cmpuint (gate_backing_get_n_primary (fixture->gates), ==, 0);
  g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_RELEASE_PATH, NULL), ==, 1);
  fixture->tracked = track (fixture, fixture->file);
}

static void
test_close (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsItem) item = insert (fixture, "a");
  g_autoptr (GError) error = NULL;
  Answer persist = { 0 }, close = { 0 };

  persist_async (fixture, item, NULL, &persist);
  bs_backing_store_close_async (fixture->store, G_PRIORITY_DEFAULT, NULL, answer_cb, &close);
  g_assert_true (bs_backing_store_close (fixture->store, NULL, &error));
  g_assert_true (gate_backing_is_closed (fixture->gates));
  g_assert_cmpint (close.n_calls, ==, 0);
  answer_ok (&close);
  answer_ok (&persist);
  assert_log (fixture, NULL, "write persist release_path close");
  assert_all_here (fixture);
}

static BsSave *
save_of_three (Fixture *fixture)
{
  BsSave *save = bs_save_new (fixture->store, fixture->tracked);

  for (guint i = 0; i < 3; i++)
    {
      g_autoptr (BsItem) item = insert (fixture, "a");

      bs_save_add_item (save, item);
    }
  return save;
}

static gboolean
save_inside (BsBackingStore *store, GCancellable *cancellable, gpointer data, GError **error)
{
  g_autoptr (BsSave) save = save_of_three (data);

  return bs_save_run (save, NULL, error);
}

static gboolean
untrack_inside (BsBackingStore *store, GCancellable *cancellable, gpointer data, GError **error)
{
  Fixture *fixture = data;

  return bs_backing_store_untrack_path (store, fixture->tracked, NULL, error);
}

/* A blocking save runs a function that waits for that very save to end. */
static void
test_function_inside_save (Fixture *fixture, gconstpointer data)
{
  const BsTaskFunc functions[] = { save_inside, untrack_inside };

  for (guint i = 0; i < G_N_ELEMENTS (functions); i++)
    {
      g_autoptr (BsSave) save = save_of_three (fixture);
      g_autoptr (GError) error = NULL;
      Answer answer = { 0 };

      bs_backing_store_run_in_thread_async (fixture->store, functions[i], fixture, NULL,
                                            G_PRIORITY_HIGH, NULL, answer_cb, &answer);
      g_assert_true (bs_save_run (save, NULL, &error));
      g_assert_no_error (error);
      answer_ok (&answer);
    }
  g_assert_true (bs_tracked_path_get_closed (fixture->tracked));
  assert_all_here (fixture);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);

  add ("/main-context/before-any-loop", test_before_any_loop);
  add ("/main-context/async", test_async);
  add ("/main-context/blocking-elsewhere", test_blocking_elsewhere);
  add ("/main-context/blocking-elsewhere-and-here", test_blocking_elsewhere_and_here);
  g_test_add_func ("/main-context/context-elsewhere", test_context_elsewhere);
  g_test_add_func ("/main-context/made-elsewhere", test_made_elsewhere);
  add ("/main-context/nested/in-vfunc", test_nested_in_vfunc);
  add ("/main-context/nested/in-callback", test_nested_in_callback);
  add ("/main-context/nested/in-function", test_function_runs_nested_loop);
  add ("/main-context/wait-finished/here", test_wait_finished_here);
  add ("/main-context/wait-finished/for-another-thread", test_wait_for_another_thread);
  add ("/main-context/blocking-completes-others", test_blocking_completes_others);
  add ("/main-context/functions-block", test_functions_block);
  add ("/main-context/function-inside-save", test_function_inside_save);
  add ("/main-context/last-unref-elsewhere", test_last_unref_elsewhere);
  add ("/main-context/cancel-queued", test_cancel_queued);
  add ("/main-context/close/whole", test_close);
  add ("/main-context/close/cancelled", test_close_cancelled);

  return g_test_run ();
}
