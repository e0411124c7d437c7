/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "store-fixture.h"

/* Points of the thread contract that no interleaving shows, by their numbers. */

static gboolean
nothing (BsBackingStore *store, GCancellable *cancellable, gpointer data, GError **error)
{
  return TRUE;
}

/* 2: callbacks come back to the caller, later. */
typedef struct
{
  GThread *thread;
  GMainContext *context;
  gboolean returned;
  gboolean early;
  gboolean elsewhere;
  int n_callbacks;
  int n_destroyed;
} Caller;

static void
caller_cb (GObject *source, GAsyncResult *result, gpointer data)
{
  Caller *self = data;

  self->early |= !self->returned;
  self->elsewhere |=
    g_thread_self () != self->thread || g_main_context_get_thread_default () != self->context;
  self->n_callbacks++;
}

static void
caller_destroy (gpointer data)
{
  Caller *self = data;

  self->early |= !self->returned;
  self->elsewhere |=
    g_thread_self () != self->thread || g_main_context_get_thread_default () != self->context;
  self->n_destroyed++;
}

#define CALLS_EACH 14

static void
ask_everything (Fixture *fixture,
                BsItem *item,
                const char *key,
                Caller *caller,
                GCancellable *cancellable)
{
  g_autoptr (BsKeySet) keys = bs_key_set_new ();
  BsBackingStore *store = fixture->store;
  int priority = G_PRIORITY_DEFAULT;

  bs_key_set_add (keys, key, NULL);
  bs_backing_store_track_path_async (store, fixture->file, priority, cancellable, caller_cb,
                                     caller);
  bs_item_persist_async (item, fixture->tracked, priority, cancellable, caller_cb, caller);
  bs_item_write_async (item, priority, cancellable, caller_cb, caller);
  bs_item_load_async (item, priority, cancellable, caller_cb, caller);
  bs_pool_register_async (fixture->pool, fixture->tracked, key, priority, cancellable, caller_cb,
                          caller);
  bs_pool_register_all_async (fixture->pool, fixture->tracked, priority, cancellable, caller_cb,
                              caller);
  bs_pool_trim_async (fixture->pool, G_MAXINT64, priority, cancellable, caller_cb, caller);
  bs_backing_store_sync_async (store, fixture->tracked, priority, cancellable, caller_cb, caller);
  bs_backing_store_load_root_async (store, fixture->tracked, priority, cancellable, caller_cb,
                                    caller);
  bs_backing_store_delete_persisted_async (store, fixture->tracked, key, priority, cancellable,
                                           caller_cb, caller);
  bs_backing_store_delete_persisted_keys_async (store, fixture->tracked, keys, priority,
                                                cancellable, caller_cb, caller);
  bs_backing_store_delete_persisted_async (store, fixture->tracked, "nonsense", priority,
                                           cancellable, caller_cb, caller);
  bs_backing_store_run_in_thread_async (store, nothing, caller, caller_destroy, priority,
                                        cancellable, caller_cb, caller);
  bs_backing_store_wait_finished_async (store, priority, cancellable, caller_cb, caller);
}

typedef struct
{
  Fixture *fixture;
  gboolean cancel;
  gboolean own_context;
} Asker;

static gpointer
ask_in_thread (gpointer data)
{
  Asker *self = data;
  Fixture *fixture = self->fixture;
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GMainContext) context = g_main_context_new ();

  g_main_context_push_thread_default (context);
  for (guint when = 0; when < 3; when++)
    {
      Caller caller = {
        g_thread_self (),
        context,
      };
      g_autoptr (BsItem) item = insert (fixture, "a");
      g_autofree char *key = bs_item_dup_key (item);
      g_autoptr (GCancellable) mine = g_cancellable_new ();

      /* Never cancelled, cancelled before, or after. */
      if (when == 1)
        g_cancellable_cancel (mine);
      ask_everything (fixture, item, key, &caller, when == 0 ? NULL : mine);
      caller.returned = TRUE;
      if (when == 2)
        g_cancellable_cancel (mine);
      while (caller.n_callbacks < CALLS_EACH || caller.n_destroyed < 1)
        g_main_context_iteration (context, TRUE);
      while (g_main_context_iteration (context, FALSE))
        ;
      g_assert_cmpint (caller.n_callbacks, ==, CALLS_EACH);
      g_assert_cmpint (caller.n_destroyed, ==, 1);
      g_assert_false (caller.early);
      g_assert_false (caller.elsewhere);
    }
  g_main_context_pop_thread_default (context);
  return NULL;
}

static void
test_callbacks (Fixture *fixture, gconstpointer data)
{
  GThread *threads[4];
  Asker asker = {
    fixture,
  };

  for (guint i = 0; i < 4; i++)
    threads[i] = g_thread_new ("asker", ask_in_thread, &asker);
  for (guint i = 0; i < 4; i++)
    g_thread_join (threads[i]);
  settle (fixture);
}

/* 2: many answers come at once; one that runs a loop until all others are there
 * gets them, and other sources get their turn in between. */
typedef struct
{
  Answer *answers;
  guint n;
  gboolean idle_ran;
  gboolean nested;
} Flood;

static gboolean
flood_idle (gpointer data)
{
  ((Flood *) data)->idle_ran = TRUE;
  return G_SOURCE_REMOVE;
}

static void
flood_cb (GObject *source, GAsyncResult *result, gpointer data)
{
  Flood *self = data;
  guint n_there;

  do
    {
      g_main_context_iteration (NULL, TRUE);
      n_there = 0;
      for (guint i = 1; i < self->n; i++)
        n_there += self->answers[i].n_calls;
    }
  while (n_there < self->n - 1 || !self->idle_ran);
  self->nested = TRUE;
  answer_cb (source, result, &self->answers[0]);
}

static void
test_flood (Fixture *fixture, gconstpointer data)
{
  Answer answers[200] = { 0 };
  Flood flood = {
    answers,
    G_N_ELEMENTS (answers),
  };

  bs_backing_store_sync_async (fixture->store, fixture->tracked, G_PRIORITY_DEFAULT, NULL, flood_cb,
                               &flood);
  for (guint i = 1; i < flood.n; i++)
    sync_async (fixture, NULL, &answers[i]);
  g_idle_add_full (G_PRIORITY_DEFAULT, flood_idle, &flood, NULL);
  settle (fixture);
  for (guint i = 0; i < flood.n; i++)
    answer_ok (&answers[i]);
  g_assert_true (flood.nested);
}

/* 8: what was cancelled before it was asked reaches nobody. */
static void
test_cancelled_before (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (BsItem) item = insert_written (fixture, "a");
  g_autofree char *key = put_key (fixture, "b");
  g_autoptr (BsItem) written = bs_pool_register (fixture->pool, fixture->tracked, key, NULL, NULL);
  g_autoptr (GFile) file = g_file_new_for_uri ("gate:///other");
  g_autoptr (BsKeySet) keys = bs_key_set_new ();
  BsBackingStore *store = fixture->store;
  BsTrackedPath *tracked = fixture->tracked;
  gpointer results[10];
  GError *errors[10] = { NULL };
  guint n = 0;

  bs_key_set_add (keys, key, NULL);
  g_cancellable_cancel (cancellable);
  gate_backing_reset_log (fixture->gates);
  results[n] = bs_backing_store_track_path (store, file, cancellable, &errors[n]), n++;
  results[n] = GINT_TO_POINTER (bs_backing_store_sync (store, tracked, cancellable, &errors[n])),
  n++;
  results[n] = GINT_TO_POINTER (
    bs_backing_store_delete_persisted (store, tracked, key, cancellable, &errors[n])),
  n++;
  results[n] = GINT_TO_POINTER (
    bs_backing_store_delete_persisted_keys (store, tracked, keys, cancellable, &errors[n])),
  n++;
  results[n] = GINT_TO_POINTER (
    bs_backing_store_run_in_thread (store, nothing, NULL, NULL, cancellable, &errors[n])),
  n++;
  results[n] = bs_backing_store_load_root (store, tracked, cancellable, &errors[n]), n++;
  results[n] =
    GINT_TO_POINTER (bs_backing_store_untrack_path (store, tracked, cancellable, &errors[n])),
  n++;
  results[n] = GINT_TO_POINTER (bs_item_persist (item, tracked, cancellable, &errors[n])), n++;
  results[n] = bs_item_load (written, cancellable, &errors[n]), n++;
  results[n] = GINT_TO_POINTER (bs_backing_store_close (store, cancellable, &errors[n])), n++;
  for (guint i = 0; i < n; i++)
    {
      g_assert_null (results[i]);
      g_assert_error (errors[i], G_IO_ERROR, G_IO_ERROR_CANCELLED);
      g_clear_error (&errors[i]);
    }
  g_assert_cmpuint (gate_backing_count_all (fixture->gates), ==, 0);
  g_assert_false (bs_tracked_path_get_closed (tracked));
  g_assert_true (bs_backing_store_sync (store, tracked, NULL, NULL));
}

/* 3: which thread calls the backing. */
static void
occupy_shared_pool (GTask *task, gpointer source, gpointer gate, GCancellable *cancellable)
{
  g_mutex_lock (gate);
  g_mutex_unlock (gate);
  g_task_return_boolean (task, TRUE);
}

static gboolean
note_thread (BsBackingStore *store, GCancellable *cancellable, gpointer data, GError **error)
{
  *(GThread **) data = g_thread_self ();
  return TRUE;
}

static void
note_task_thread (GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  *(GThread **) data = g_thread_self ();
  g_task_return_boolean (task, TRUE);
}

static void
test_threads (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsItem) item = insert (fixture, "a");
  Answer occupied[60] = { 0 }, answer = { 0 };
  GThread *function_thread = NULL, *task_thread = NULL;
  GMutex gate;
  GTask *task;

  /* GTask's threads are all taken, and the store does not care. */
  g_mutex_init (&gate);
  g_mutex_lock (&gate);
  for (guint i = 0; i < 60; i++)
    {
      task = g_task_new (NULL, NULL, answer_cb, &occupied[i]);
      g_task_set_task_data (task, &gate, NULL);
      g_task_run_in_thread (task, occupy_shared_pool);
      g_object_unref (task);
    }

  persist_async (fixture, item, NULL, &answer);
  answer_ok (&answer);
  g_assert_true (gate_backing_get_thread (fixture->gates, BS_OPERATION_PERSIST) !=
                 g_thread_self ());
  g_assert_true (gate_backing_get_thread (fixture->gates, BS_OPERATION_WRITE) != g_thread_self ());
  bs_backing_store_run_in_thread_async (fixture->store, note_thread, &function_thread, NULL,
                                        G_PRIORITY_DEFAULT, NULL, answer_cb, &answer);
  answer_ok (&answer);
  g_assert_true (function_thread != NULL && function_thread != g_thread_self ());
  task = g_task_new (NULL, NULL, answer_cb, &answer);
  g_task_set_task_data (task, &task_thread, NULL);
  bs_backing_store_run_task (fixture->store, task, note_task_thread);
  g_object_unref (task);
  answer_ok (&answer);
  g_assert_true (task_thread != NULL && task_thread != g_thread_self ());
  g_mutex_unlock (&gate);

  /* A blocking call whose key is free runs right here. */
  g_assert_true (bs_backing_store_sync (fixture->store, fixture->tracked, NULL, NULL));
  g_assert_true (gate_backing_get_thread (fixture->gates, BS_OPERATION_SYNC_PERSISTED) ==
                 g_thread_self ());
  g_assert_true (bs_backing_store_run_in_thread (fixture->store, note_thread, &function_thread,
                                                 NULL, NULL, NULL));
  g_assert_true (function_thread == g_thread_self ());

  for (guint i = 0; i < 60; i++)
    answer_ok (&occupied[i]);
  g_mutex_clear (&gate);
}

/* 4: one slow key delays no other, however many wait for it. */
static void
test_slow_key (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsItem) slow = insert (fixture, "slow");
  g_autofree char *slow_key = bs_item_dup_key (slow);
  Answer waiting[40] = { 0 };

  bs_backing_store_set_max_threads (fixture->store, 2);
  gate_backing_hold (fixture->gates, BS_OPERATION_WRITE, slow_key, GATE_BEFORE);
  for (guint i = 0; i < 40; i += 2)
    {
      persist_async (fixture, slow, NULL, &waiting[i]);
      delete_async (fixture, slow_key, NULL, &waiting[i + 1]);
    }
  gate_backing_wait_held (fixture->gates, BS_OPERATION_WRITE, slow_key, GATE_BEFORE, 1);
  for (guint i = 0; i < 20; i++)
    {
      g_autoptr (BsItem) item = insert (fixture, "quick");
      Answer answer = { 0 };

      persist_async (fixture, item, NULL, &answer);
      answer_ok (&answer);
    }
  for (guint i = 0; i < 40; i++)
    g_assert_cmpint (waiting[i].n_calls, ==, 0);
  gate_backing_release_all (fixture->gates);
  for (guint i = 0; i < 40; i++)
    answer_ok (&waiting[i]);
}

#define N_QUEUED 10

/* Loads behind a stuck one end as soon as they are cancelled, or the store is closed, and read
 * nothing. */
static void
test_cancelled_in_queue (Fixture *fixture, gconstpointer data)
{
  BsItem *items[N_QUEUED];
  GCancellable *cancellables[N_QUEUED];
  Answer loads[N_QUEUED] = { 0 };
  Answer close = { 0 };

  for (guint i = 0; i < N_QUEUED; i++)
    {
      items[i] = insert_written (fixture, "content");
      cancellables[i] = g_cancellable_new ();
    }
  g_assert_true (bs_pool_trim (fixture->pool, 0, NULL, NULL));
  gate_backing_set_stubborn (fixture->gates, TRUE);
  gate_backing_hold (fixture->gates, BS_OPERATION_READ, NULL, GATE_BEFORE);
  for (guint i = 0; i < N_QUEUED; i++)
    {
      bs_item_load_async (items[i], G_PRIORITY_DEFAULT, cancellables[i], answer_cb, &loads[i]);
      if (i < fixture->n_threads)
        gate_backing_wait_held (fixture->gates, BS_OPERATION_READ, NULL, GATE_BEFORE, i + 1);
    }

  for (guint i = fixture->n_threads; i < N_QUEUED / 2; i++)
    {
      g_assert_false (answer_is_there (&loads[i]));
      g_cancellable_cancel (cancellables[i]);
      answer_cancelled (&loads[i]);
    }
  bs_backing_store_close_async (fixture->store, G_PRIORITY_DEFAULT, NULL, answer_cb, &close);
  for (guint i = N_QUEUED / 2; i < N_QUEUED; i++)
    answer_fails (&loads[i], BS_ERROR, BS_ERROR_CLOSED);
  g_assert_false (answer_is_there (&close));

  gate_backing_release_all (fixture->gates);
  for (guint i = 0; i < fixture->n_threads; i++)
    g_bytes_unref (answer_pointer (&loads[i]));
  answer_ok (&close);
  g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_READ, NULL), ==,
                    fixture->n_threads);

  for (guint i = 0; i < N_QUEUED; i++)
    {
      g_object_unref (items[i]);
      g_object_unref (cancellables[i]);
    }
}

/* 5: what is so already touches the backing not at all. */
static void
test_no_ops (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsItem) item = insert_persisted (fixture, "a");
  g_autofree char *nowhere = bs_key_generate ();
  g_autofree char *key = bs_item_dup_key (item);
  g_autoptr (BsKeySet) keys = bs_key_set_new ();
  g_autoptr (BsItem) again = NULL;
  g_autoptr (GError) error = NULL;
  Answer answer = { 0 };

  bs_key_set_add (keys, nowhere, NULL);
  gate_backing_reset_log (fixture->gates);
  g_assert_true (bs_item_persist (item, fixture->tracked, NULL, &error));
  persist_async (fixture, item, NULL, &answer);
  answer_ok (&answer);
  bs_item_write_async (item, G_PRIORITY_DEFAULT, NULL, answer_cb, &answer);
  answer_ok (&answer);
  g_assert_true (
    bs_backing_store_delete_persisted (fixture->store, fixture->tracked, nowhere, NULL, &error));
  delete_async (fixture, nowhere, NULL, &answer);
  answer_ok (&answer);
  g_assert_true (
    bs_backing_store_delete_persisted_keys (fixture->store, fixture->tracked, keys, NULL, &error));
  again = bs_pool_register (fixture->pool, fixture->tracked, key, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (gate_backing_count_all (fixture->gates), ==, 0);
  g_assert_true (is_forgotten (fixture->store, nowhere));
}

/* 5: identical ones, queued or running, share one call. */
static void
test_merging (Fixture *fixture, gconstpointer data)
{
  for (guint running = 0; running < 2; running++)
    {
      g_autoptr (BsItem) item = insert_written (fixture, "a");
      g_autofree char *key = bs_item_dup_key (item);
      g_autofree char *registered_key = put_key (fixture, "b");
      Answer persists[5] = { 0 }, registers[5] = { 0 };
      Plug plug = { 0 };

      if (!running)
        plug_in (&plug, fixture);
      gate_backing_hold (fixture->gates, BS_OPERATION_PERSIST, key, GATE_BEFORE);
      for (guint i = 0; i < 5; i++)
        {
          persist_async (fixture, item, NULL, &persists[i]);
          if (running)
            gate_backing_wait_held (fixture->gates, BS_OPERATION_PERSIST, key, GATE_BEFORE, 1);
        }
      for (guint i = 0; i < 5; i++)
        register_async (fixture, registered_key, NULL, &registers[i]);
      if (!running)
        plug_out (&plug, fixture);
      gate_backing_release_all (fixture->gates);
      for (guint i = 0; i < 5; i++)
        {
          answer_ok (&persists[i]);
          g_object_unref (answer_pointer (&registers[i]));
        }
      settle (fixture);
      g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_PERSIST, key), ==, 1);
      g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_REGISTER_KEY,
                                            registered_key),
                        ==, 1);
      g_assert_false (gate_backing_has_primary (fixture->gates, registered_key));
    }
}

/* Two paths are two things. */
static void
test_no_merging_across_paths (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GFile) file = g_file_new_for_uri ("gate:///other");
  g_autoptr (BsTrackedPath) other = track (fixture, file);
  g_autoptr (BsItem) item = insert_written (fixture, "a");
  g_autofree char *key = bs_item_dup_key (item);
  Answer here = { 0 }, there = { 0 };

  gate_backing_hold (fixture->gates, BS_OPERATION_PERSIST, key, GATE_BEFORE);
  persist_async (fixture, item, NULL, &here);
  bs_item_persist_async (item, other, G_PRIORITY_DEFAULT, NULL, answer_cb, &there);
  gate_backing_release_all (fixture->gates);
  answer_ok (&here);
  answer_ok (&there);
  g_assert_true (gate_backing_has_persisted (fixture->gates, fixture->file, key));
  g_assert_true (gate_backing_has_persisted (fixture->gates, file, key));
  g_assert_true (bs_tracked_path_contains_key (other, key));
}

/* 6: max-threads bounds what runs for asynchronous operations, functions have
 * as many threads of their own, and blocking calls their caller's. */
static gboolean
stand_at_gate (BsBackingStore *store, GCancellable *cancellable, gpointer data, GError **error)
{
  Fixture *fixture = data;

  return bs_backing_store_sync (store, fixture->tracked, cancellable, error);
}

static void
test_places (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GPtrArray) items = g_ptr_array_new_with_free_func (g_object_unref);
  g_autofree char *key = put_key (fixture, "a");
  Answer persists[20] = { 0 }, function = { 0 };
  guint n_threads = fixture->n_threads;
  g_autoptr (GError) error = NULL;

  gate_backing_hold (fixture->gates, BS_OPERATION_WRITE, NULL, GATE_BEFORE);
  for (guint i = 0; i < 20; i++)
    {
      g_ptr_array_add (items, insert (fixture, "a"));
      bs_item_write_async (items->pdata[i], G_PRIORITY_DEFAULT, NULL, answer_cb, &persists[i]);
    }
  gate_backing_wait_held (fixture->gates, BS_OPERATION_WRITE, NULL, GATE_BEFORE, n_threads);
  g_assert_cmpuint (gate_backing_get_max_parallel (fixture->gates), ==, n_threads);
  /* Writes have every place; functions and blocking calls run nevertheless. */
  bs_backing_store_run_in_thread_async (fixture->store, stand_at_gate, fixture, NULL,
                                        G_PRIORITY_DEFAULT, NULL, answer_cb, &function);
  answer_ok (&function);
  g_assert_true (
    bs_backing_store_delete_persisted (fixture->store, fixture->tracked, key, NULL, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (gate_backing_get_n_held (fixture->gates, BS_OPERATION_WRITE, NULL, GATE_BEFORE),
                    ==, n_threads);

  /* More threads come at once, fewer in time. */
  bs_backing_store_set_max_threads (fixture->store, n_threads + 3);
  gate_backing_wait_held (fixture->gates, BS_OPERATION_WRITE, NULL, GATE_BEFORE, n_threads + 3);
  bs_backing_store_set_max_threads (fixture->store, 1);
  gate_backing_release_all (fixture->gates);
  for (guint i = 0; i < 20; i++)
    answer_ok (&persists[i]);
  gate_backing_reset_log (fixture->gates);
  for (guint i = 0; i < 20; i++)
    persist_async (fixture, items->pdata[i], NULL, &persists[i]);
  for (guint i = 0; i < 20; i++)
    answer_ok (&persists[i]);
  g_assert_cmpuint (gate_backing_get_max_parallel (fixture->gates), ==, 1);
}

/* Functions that call nothing. */
typedef struct
{
  GMutex mutex;
  GCond cond;
  guint n_running;
  guint n_most;
  gboolean is_open;
} Room;

static gboolean
stay (BsBackingStore *store, GCancellable *cancellable, gpointer data, GError **error)
{
  Room *room = data;

  g_mutex_lock (&room->mutex);
  room->n_running++;
  room->n_most = MAX (room->n_most, room->n_running);
  g_cond_broadcast (&room->cond);
  while (!room->is_open)
    g_cond_wait (&room->cond, &room->mutex);
  room->n_running--;
  g_mutex_unlock (&room->mutex);

  return TRUE;
}

/* Untracking may wait for functions. */
static gboolean
track_often (BsBackingStore *store, GCancellable *cancellable, gpointer data, GError **error)
{
  g_autoptr (GFile) file = g_file_new_for_uri ("gate:///other");

  for (guint i = 0; i < 10; i++)
    {
      g_autoptr (BsTrackedPath) tracked =
        bs_backing_store_track_path (store, file, cancellable, error);

      if (tracked == NULL || !bs_backing_store_untrack_path (store, tracked, cancellable, error))
        return FALSE;
    }

  return TRUE;
}

/* A function lends one place, however often it waits, and takes it back. */
static void
test_one_place (Fixture *fixture, gconstpointer data)
{
  Answer often = { 0 }, answers[20] = { 0 };
  Room room = { 0 };

  bs_backing_store_run_in_thread_async (fixture->store, track_often, NULL, NULL, G_PRIORITY_DEFAULT,
                                        NULL, answer_cb, &often);
  answer_ok (&often);
  for (guint i = 0; i < 20; i++)
    bs_backing_store_run_in_thread_async (fixture->store, stay, &room, NULL, G_PRIORITY_DEFAULT,
                                          NULL, answer_cb, &answers[i]);
  g_mutex_lock (&room.mutex);
  while (room.n_running < fixture->n_threads)
    g_cond_wait (&room.cond, &room.mutex);
  g_mutex_unlock (&room.mutex);
  /* Meanwhile more would come in. */
  for (guint i = 0; i < 20; i++)
    {
      bs_backing_store_sync_async (fixture->store, fixture->tracked, G_PRIORITY_LOW, NULL,
                                   answer_cb, &often);
      answer_ok (&often);
    }
  g_mutex_lock (&room.mutex);
  room.is_open = TRUE;
  g_cond_broadcast (&room.cond);
  g_mutex_unlock (&room.mutex);
  for (guint i = 0; i < 20; i++)
    answer_ok (&answers[i]);

  g_assert_cmpuint (room.n_most, ==, fixture->n_threads);
  g_mutex_clear (&room.mutex);
  g_cond_clear (&room.cond);
}

/* The best goes first, also when it becomes the best while it waits, and what
 * it waits for goes with it. */
static void
test_priorities (Fixture *fixture, gconstpointer data)
{
  BsItem *items[4];
  char *keys[4];
  Answer writes[4] = { 0 }, raise = { 0 }, between = { 0 }, behind = { 0 };
  g_autofree char *log = NULL;
  g_autoptr (GString) order = g_string_new (NULL);
  Plug plug = { 0 };

  bs_backing_store_set_max_threads (fixture->store, 1);
  fixture->n_threads = 1;
  plug_in (&plug, fixture);
  for (guint i = 0; i < 4; i++)
    {
      items[i] = insert (fixture, "a");
      keys[i] = bs_item_dup_key (items[i]);
      bs_item_write_async (items[i], G_PRIORITY_LOW, NULL, answer_cb, &writes[i]);
    }
  /* A better caller joins the third; the fourth, and another, are in the way of one. */
  bs_item_write_async (items[2], G_PRIORITY_DEFAULT, NULL, answer_cb, &raise);
  bs_backing_store_delete_persisted_async (fixture->store, fixture->tracked, keys[3],
                                           G_PRIORITY_LOW, NULL, answer_cb, &between);
  bs_item_persist_async (items[3], fixture->tracked, G_PRIORITY_HIGH, NULL, answer_cb, &behind);
  gate_backing_reset_log (fixture->gates);
  gate_backing_hold (fixture->gates, BS_OPERATION_WRITE, keys[0], GATE_BEFORE);
  gate_backing_hold (fixture->gates, BS_OPERATION_WRITE, keys[2], GATE_BEFORE);
  plug_out (&plug, fixture);

  answer_ok (&behind);
  gate_backing_wait_held (fixture->gates, BS_OPERATION_WRITE, keys[2], GATE_BEFORE, 1);
  g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_WRITE, keys[0]), ==, 0);
  g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_WRITE, keys[1]), ==, 0);
  gate_backing_release (fixture->gates, BS_OPERATION_WRITE, keys[2], GATE_BEFORE);
  gate_backing_wait_held (fixture->gates, BS_OPERATION_WRITE, keys[0], GATE_BEFORE, 1);
  g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_WRITE, keys[1]), ==, 0);
  gate_backing_release (fixture->gates, BS_OPERATION_WRITE, keys[0], GATE_BEFORE);
  answer_ok (&raise);
  answer_ok (&between);
  for (guint i = 0; i < 4; i++)
    {
      answer_ok (&writes[i]);
      g_object_unref (items[i]);
      g_free (keys[i]);
    }
}

/* Each of many priorities has its place, whichever of the others are in use. */
static void
test_many_priorities (Fixture *fixture, gconstpointer data)
{
  enum
  {
    N = 30
  };
  BsItem *items[N];
  char *keys[N];
  Answer writes[N] = { 0 };
  Plug plug = { 0 };

  bs_backing_store_set_max_threads (fixture->store, 1);
  fixture->n_threads = 1;
  for (guint round = 0; round < 2; round++)
    {
      plug_in (&plug, fixture);
      /* Asked in another order than that of the priorities: 7 and N have no common divisor. */
      for (guint i = 0; i < N; i++)
        {
          guint at = i * 7 % N;

          items[at] = insert (fixture, "a");
          keys[at] = bs_item_dup_key (items[at]);
          gate_backing_hold (fixture->gates, BS_OPERATION_WRITE, keys[at], GATE_BEFORE);
          bs_item_write_async (items[at], G_PRIORITY_DEFAULT + at, NULL, answer_cb, &writes[at]);
        }
      plug_out (&plug, fixture);
      for (guint i = 0; i < N; i++)
        {
          gate_backing_wait_held (fixture->gates, BS_OPERATION_WRITE, keys[i], GATE_BEFORE, 1);
          for (guint later = i + 1; later < N; later++)
            g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_WRITE, keys[later]),
                              ==, 0);
          gate_backing_release (fixture->gates, BS_OPERATION_WRITE, keys[i], GATE_BEFORE);
        }
      for (guint i = 0; i < N; i++)
        {
          answer_ok (&writes[i]);
          g_object_unref (items[i]);
          g_free (keys[i]);
        }
    }
}

/* A sync lends its priority to what it waits for. */
static void
test_sync_lends (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsItem) waited_for = insert_written (fixture, "a");
  g_autoptr (BsItem) third = insert (fixture, "c");
  g_autofree char *waited_for_key = bs_item_dup_key (waited_for);
  g_autofree char *third_key = bs_item_dup_key (third);
  Answer persist = { 0 }, write = { 0 }, sync = { 0 };
  Plug plug = { 0 };

  bs_backing_store_set_max_threads (fixture->store, 1);
  fixture->n_threads = 1;
  plug_in (&plug, fixture);
  bs_item_write_async (third, G_PRIORITY_DEFAULT, NULL, answer_cb, &write);
  bs_item_persist_async (waited_for, fixture->tracked, G_PRIORITY_LOW, NULL, answer_cb, &persist);
  bs_backing_store_sync_async (fixture->store, fixture->tracked, G_PRIORITY_HIGH, NULL, answer_cb,
                               &sync);
  gate_backing_hold (fixture->gates, BS_OPERATION_WRITE, third_key, GATE_BEFORE);
  plug_out (&plug, fixture);
  answer_ok (&sync);
  g_assert_true (gate_backing_is_durable (fixture->gates, fixture->file, waited_for_key));
  g_assert_true (gate_backing_has_persisted (fixture->gates, fixture->file, waited_for_key));
  g_assert_cmpint (write.n_calls, ==, 0);
  gate_backing_release_all (fixture->gates);
  answer_ok (&write);
  answer_ok (&persist);
}

/* 7: two hundred callers of every kind on one key. */
#define N_CALLERS 200

typedef struct
{
  Fixture *fixture;
  BsItem *item;
  const char *key;
  guint seed;
  int *go;
} Crowd;

static gpointer
crowd_blocking (gpointer data)
{
  Crowd *self = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GObject) object = NULL;
  g_autoptr (GBytes) bytes = NULL;

  spin_until (g_atomic_int_get (self->go));
  switch (self->seed % 6)
    {
    case 0:
      bs_item_persist (self->item, self->fixture->tracked, NULL, &error);
      break;
    case 1:
      bs_backing_store_delete_persisted (self->fixture->store, self->fixture->tracked, self->key,
                                         NULL, &error);
      break;
    case 2:
      object = G_OBJECT (
        bs_pool_register (self->fixture->pool, self->fixture->tracked, self->key, NULL, &error));
      if (g_error_matches (error, BS_ERROR, BS_ERROR_NOT_FOUND))
        g_clear_error (&error);
      break;
    case 3:
      bytes = bs_item_load (self->item, NULL, &error);
      break;
    case 4:
      bs_backing_store_sync (self->fixture->store, self->fixture->tracked, NULL, &error);
      break;
    default:
      bs_item_write (self->item, NULL, &error);
      break;
    }
  g_assert_no_error (error);
  return NULL;
}

static gboolean
crowd_function (BsBackingStore *store, GCancellable *cancellable, gpointer data, GError **error)
{
  crowd_blocking (data);
  return TRUE;
}

static void
test_crowd (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsItem) item = insert (fixture, "a");
  g_autofree char *key = bs_item_dup_key (item);
  g_autoptr (GPtrArray) cancellables = g_ptr_array_new_with_free_func (g_object_unref);
  g_autofree Answer *answers = g_new0 (Answer, N_CALLERS);
  g_autofree Crowd *crowd = g_new0 (Crowd, N_CALLERS);
  GThread *threads[40];
  guint n_threads = 0;
  int go = FALSE;

  for (guint i = 0; i < N_CALLERS; i++)
    {
      GCancellable *cancellable = g_cancellable_new ();

      crowd[i] = (Crowd){ fixture, item, key, i, &go };
      g_ptr_array_add (cancellables, cancellable);
      switch (i % 10)
        {
        case 0:
        case 1:
          threads[n_threads++] = g_thread_new ("crowd", crowd_blocking, &crowd[i]);
          break;
        case 2:
          persist_async (fixture, item, cancellable, &answers[i]);
          break;
        case 3:
          delete_async (fixture, key, cancellable, &answers[i]);
          break;
        case 4:
          register_async (fixture, key, cancellable, &answers[i]);
          break;
        case 5:
          bs_item_load_async (item, G_PRIORITY_DEFAULT, cancellable, answer_cb, &answers[i]);
          break;
        case 6:
          sync_async (fixture, cancellable, &answers[i]);
          break;
        case 7:
          bs_backing_store_run_in_thread_async (fixture->store, crowd_function, &crowd[i], NULL,
                                                G_PRIORITY_DEFAULT, NULL, answer_cb, &answers[i]);
          break;
        case 8:
          {
            g_autoptr (BsKeySet) keys = bs_key_set_new ();

            bs_key_set_add (keys, key, NULL);
            bs_backing_store_delete_persisted_keys_async (fixture->store, fixture->tracked, keys,
                                                          G_PRIORITY_DEFAULT, cancellable,
                                                          answer_cb, &answers[i]);
          }
          break;
        default:
          bs_pool_register_all_async (fixture->pool, fixture->tracked, G_PRIORITY_LOW, cancellable,
                                      answer_cb, &answers[i]);
          break;
        }
      if (i == N_CALLERS / 2)
        g_atomic_int_set (&go, TRUE);
      if (i % 7 == 0)
        g_cancellable_cancel (cancellable);
    }
  for (guint i = 0; i < N_CALLERS; i++)
    {
      g_autoptr (GError) error = NULL;
      gpointer result;

      if (i % 10 < 2)
        continue;
      answer_wait (&answers[i]);
      if (i % 10 == 4 || i % 10 == 5 || i % 10 == 9)
        {
          result = g_task_propagate_pointer (G_TASK (answers[i].result), &error);
          if (i % 10 == 5)
            g_clear_pointer ((GBytes **) &result, g_bytes_unref);
          else
            g_clear_object ((GObject **) &result);
        }
      else
        {
          g_task_propagate_boolean (G_TASK (answers[i].result), &error);
        }
      if (error != NULL && !g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        g_assert_error (error, BS_ERROR, BS_ERROR_NOT_FOUND);
      answer_clear (&answers[i]);
    }
  for (guint i = 0; i < n_threads; i++)
    g_thread_join (threads[i]);
  settle (fixture);
  g_assert_cmpint (bs_tracked_path_contains_key (fixture->tracked, key), ==,
                   gate_backing_has_persisted (fixture->gates, fixture->file, key));
  g_clear_object (&item);
  settle (fixture);
  g_assert_true (is_forgotten (fixture->store, key));
  g_assert_cmpuint (gate_backing_get_n_primary (fixture->gates), ==, 0);
}

typedef struct
{
  Fixture *fixture;
  GFile *file;
  BsTrackedPath *tracked;
  int *go;
} Tracker;

static gpointer
track_in_thread (gpointer data)
{
  Tracker *self = data;

  g_atomic_int_inc (self->go);
  spin_until (g_atomic_int_get (self->go) == 8);
  self->tracked = bs_backing_store_track_path (self->fixture->store, self->file, NULL, NULL);
  return NULL;
}

static void
test_track_from_eight_threads (Fixture *fixture, gconstpointer data)
{
  for (guint i = 0; i < 50; i++)
    {
      g_autofree char *uri = g_strdup_printf ("gate:///%u", i);
      Tracker trackers[8];
      GThread *threads[8];
      int go = 0;

      for (guint j = 0; j < 8; j++)
        {
          trackers[j] = (Tracker){ fixture, g_file_new_for_uri (uri), NULL, &go };
          threads[j] = g_thread_new ("tracker", track_in_thread, &trackers[j]);
        }
      for (guint j = 0; j < 8; j++)
        g_thread_join (threads[j]);
      for (guint j = 0; j < 8; j++)
        {
          g_assert_nonnull (trackers[j].tracked);
          g_assert_true (trackers[j].tracked == trackers[0].tracked);
          g_assert_true (
            g_file_equal (bs_tracked_path_get_file (trackers[j].tracked), trackers[j].file));
        }
      for (guint j = 0; j < 8; j++)
        {
          g_object_unref (trackers[j].tracked);
          g_object_unref (trackers[j].file);
        }
    }
  settle (fixture);
  g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_SANITIZE_PATH, NULL), ==, 50);
  g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_RELEASE_PATH, NULL), ==, 50);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);

  test_add ("/contract/callbacks", test_callbacks);
  test_add ("/contract/flood", test_flood);
  test_add ("/contract/threads", test_threads);
  test_add ("/contract/key-queues/slow-key", test_slow_key);
  test_add ("/contract/key-queues/cancelled", test_cancelled_in_queue);
  test_add ("/contract/merging/no-ops", test_no_ops);
  test_add ("/contract/merging/one-call", test_merging);
  test_add ("/contract/merging/two-paths", test_no_merging_across_paths);
  test_add ("/contract/executor/bounds", test_places);
  test_add ("/contract/executor/one-place", test_one_place);
  test_add_once ("/contract/executor/priorities", test_priorities);
  test_add_once ("/contract/executor/many-priorities", test_many_priorities);
  test_add_once ("/contract/executor/sync-lends", test_sync_lends);
  test_add ("/contract/no-deadlock/crowd", test_crowd);
  test_add ("/contract/no-deadlock/track", test_track_from_eight_threads);
  test_add ("/contract/cancelled-before", test_cancelled_before);

  return g_test_run ();
}
