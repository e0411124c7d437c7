/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "store-fixture.h"

#include "store/operations/bs-key-operation-private.h"

#include <dlfcn.h>

/* Interleavings of the application's functions with what the store does. */

/* Cancelled where this thread next lets go of a lock: what another thread can do
 * just then. */
static __thread GMutex *cancelling_lock;
static __thread GCancellable *cancelled_there;

/* In place of GLib's, for what is linked into this program. */
void
g_mutex_unlock (GMutex *mutex)
{
  static gpointer symbol;

  if (g_atomic_pointer_get (&symbol) == NULL)
    g_atomic_pointer_set (&symbol, dlsym (RTLD_NEXT, "g_mutex_unlock"));
  ((void (*) (GMutex *)) g_atomic_pointer_get (&symbol)) (mutex);

  if (mutex == cancelling_lock)
    {
      cancelling_lock = NULL;
      g_cancellable_cancel (cancelled_there);
    }
}

/* In a function's thread: asks asynchronously, and runs a loop until answered. */
static void
await_in_thread (Answer *answer, GMainContext *context)
{
  while (g_atomic_int_get (&answer->n_calls) == 0)
    g_main_context_iteration (context, TRUE);
}

static gboolean
ask_and_wait (BsBackingStore *store, GCancellable *cancellable, gpointer data, GError **error)
{
  g_autoptr (GMainContext) context = g_main_context_new ();
  Fixture *fixture = data;
  Answer sync = { 0 };
  gboolean success;

  g_main_context_push_thread_default (context);
  sync_async (fixture, NULL, &sync);
  await_in_thread (&sync, context);
  success =
    sync.thread == g_thread_self () && g_task_propagate_boolean (G_TASK (sync.result), error);
  answer_clear (&sync);
  g_main_context_pop_thread_default (context);
  return success;
}

#define run_async(fixture, func, data, cancellable, answer)                                        \
  bs_backing_store_run_in_thread_async ((fixture)->store, func, data, NULL, G_PRIORITY_DEFAULT,    \
                                        cancellable, answer_cb, answer)

static void
test_ask_and_wait (Fixture *fixture, gconstpointer data)
{
  Answer answers[10] = { 0 };

  /* More than there are threads, so that each of them is inside one. */
  for (guint i = 0; i < 10; i++)
    run_async (fixture, ask_and_wait, fixture, NULL, &answers[i]);
  for (guint i = 0; i < 10; i++)
    answer_ok (&answers[i]);
}

static gboolean
ask_for_function_and_wait (BsBackingStore *store,
                           GCancellable *cancellable,
                           gpointer data,
                           GError **error)
{
  g_autoptr (GMainContext) context = g_main_context_new ();
  Fixture *fixture = data;
  Answer inner = { 0 };
  gboolean success;

  g_main_context_push_thread_default (context);
  run_async (fixture, ask_and_wait, fixture, NULL, &inner);
  await_in_thread (&inner, context);
  success = g_task_propagate_boolean (G_TASK (inner.result), error);
  answer_clear (&inner);
  g_main_context_pop_thread_default (context);
  return success;
}

/* A function that waits for another function needs a thread for that one. */
static void
test_ask_for_function_and_wait (Fixture *fixture, gconstpointer data)
{
  Answer answers[6] = { 0 };

  for (guint i = 0; i < 6; i++)
    run_async (fixture, ask_for_function_and_wait, fixture, NULL, &answers[i]);
  for (guint i = 0; i < 6; i++)
    answer_ok (&answers[i]);
}

static gboolean
nothing (BsBackingStore *store, GCancellable *cancellable, gpointer data, GError **error)
{
  g_atomic_int_inc ((int *) data);
  return TRUE;
}

static gboolean
nothing_much (BsBackingStore *store, GCancellable *cancellable, gpointer data, GError **error)
{
  return TRUE;
}

static gboolean
run_inside (BsBackingStore *store, GCancellable *cancellable, gpointer data, GError **error)
{
  g_atomic_int_inc ((int *) data);
  return bs_backing_store_run_in_thread (store, nothing, data, NULL, cancellable, error);
}

static void
test_function_inside_function (Fixture *fixture, gconstpointer data)
{
  Answer answers[6] = { 0 };
  int n = 0;

  for (guint i = 0; i < 6; i++)
    run_async (fixture, run_inside, &n, NULL, &answers[i]);
  for (guint i = 0; i < 6; i++)
    answer_ok (&answers[i]);
  g_assert_cmpint (n, ==, 12);
}

static gboolean
block_in_sync (BsBackingStore *store, GCancellable *cancellable, gpointer data, GError **error)
{
  Fixture *fixture = data;

  return bs_backing_store_sync (store, fixture->tracked, cancellable, error);
}

static gboolean
block_in_everything (BsBackingStore *store,
                     GCancellable *cancellable,
                     gpointer data,
                     GError **error)
{
  Fixture *fixture = data;
  g_autoptr (BsItem) item = insert (fixture, "inside");
  g_autofree char *key = bs_item_dup_key (item);
  g_autoptr (BsTrackedPath) tracked = NULL;

  tracked = bs_backing_store_track_path (store, fixture->file, cancellable, error);
  return tracked == fixture->tracked && bs_item_persist (item, tracked, cancellable, error) &&
         bs_backing_store_sync (store, tracked, cancellable, error) &&
         bs_backing_store_delete_persisted (store, tracked, key, cancellable, error) &&
         bs_backing_store_sync (store, tracked, cancellable, error);
}

/* Syncs wait for operations that have no thread and get none, inside every thread that
 * functions have, and outside: they run these themselves. */
static void
test_sync_behind_unstarted (Fixture *fixture, gconstpointer data)
{
  BsItem *items[6];
  Answer persists[6] = { 0 }, functions[6] = { 0 };
  Blocking outsiders[4];
  Plug plug = { 0 };

  for (guint i = 0; i < 6; i++)
    items[i] = insert_written (fixture, "a");
  plug_in (&plug, fixture);
  for (guint i = 0; i < 6; i++)
    persist_async (fixture, items[i], NULL, &persists[i]);
  for (guint i = 0; i < 6; i++)
    run_async (fixture, i % 2 == 0 ? block_in_sync : block_in_everything, fixture, NULL,
               &functions[i]);
  for (guint i = 0; i < 4; i++)
    blocking_start (&outsiders[i], fixture, blocking_sync, NULL, NULL);
  for (guint i = 0; i < 6; i++)
    {
      answer_ok (&persists[i]);
      answer_ok (&functions[i]);
    }
  for (guint i = 0; i < 4; i++)
    blocking_ok (&outsiders[i]);
  plug_out (&plug, fixture);
  for (guint i = 0; i < 6; i++)
    g_object_unref (items[i]);
}

static gboolean
wait_inside (BsBackingStore *store, GCancellable *cancellable, gpointer data, GError **error)
{
  return bs_backing_store_wait_finished (store, cancellable, error);
}

static gboolean
wait_tracker_inside (BsBackingStore *store,
                     GCancellable *cancellable,
                     gpointer data,
                     GError **error)
{
  return bs_task_tracker_wait (bs_backing_store_get_task_tracker (store), cancellable, error);
}

static gboolean
close_inside (BsBackingStore *store, GCancellable *cancellable, gpointer data, GError **error)
{
  return bs_backing_store_close (store, cancellable, error);
}

static void
test_wait_inside_function (Fixture *fixture, gconstpointer data)
{
  static const BsTaskFunc funcs[] = { wait_inside, wait_tracker_inside, close_inside };

  for (guint i = 0; i < G_N_ELEMENTS (funcs); i++)
    {
      g_autoptr (GError) error = NULL;
      Answer answer = { 0 };

      run_async (fixture, funcs[i], NULL, NULL, &answer);
      answer_fails (&answer, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
      g_assert_false (
        bs_backing_store_run_in_thread (fixture->store, funcs[i], NULL, NULL, NULL, &error));
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
      bs_task_tracker_reopen (bs_backing_store_get_task_tracker (fixture->store));
    }
}

/* Asked asynchronously inside a function they work. */
static gboolean
wait_async_inside (BsBackingStore *store, GCancellable *cancellable, gpointer data, GError **error)
{
  bs_backing_store_wait_finished_async (store, G_PRIORITY_DEFAULT, NULL, answer_cb, data);
  return TRUE;
}

static void
test_wait_async_inside_function (Fixture *fixture, gconstpointer data)
{
  Answer run = { 0 }, wait = { 0 };

  run_async (fixture, wait_async_inside, &wait, NULL, &run);
  answer_ok (&run);
  answer_ok (&wait);
}

typedef struct
{
  Fixture *fixture;
  BsItem *item;
  GError *errors[8];
  guint n;
} Inside;

static void
call_inside_vfunc (GateBacking *gates, BsOperation operation, const char *key, gpointer data)
{
  Inside *self = data;
  BsBackingStore *store = self->fixture->store;
  BsTrackedPath *tracked = self->fixture->tracked;
  g_autofree char *other = bs_key_generate ();
  g_autoptr (BsKeySet) keys = bs_key_set_new ();
  int n = 0;

  if (self->n > 0)
    return;
  bs_key_set_add (keys, other, NULL);
  g_assert_false (bs_backing_store_wait_finished (store, NULL, &self->errors[self->n++]));
  g_assert_false (bs_task_tracker_wait (bs_backing_store_get_task_tracker (store), NULL,
                                        &self->errors[self->n++]));
  g_assert_false (bs_backing_store_sync (store, tracked, NULL, &self->errors[self->n++]));
  g_assert_false (
    bs_backing_store_delete_persisted (store, tracked, other, NULL, &self->errors[self->n++]));
  g_assert_false (
    bs_backing_store_delete_persisted_keys (store, tracked, keys, NULL, &self->errors[self->n++]));
  g_assert_false (
    bs_backing_store_run_in_thread (store, nothing, &n, NULL, NULL, &self->errors[self->n++]));
  g_assert_false (bs_backing_store_close (store, NULL, &self->errors[self->n++]));
  g_assert_false (bs_item_persist (self->item, tracked, NULL, &self->errors[self->n++]));
}

static void
test_inside_vfunc (Fixture *fixture, gconstpointer data)
{
  for (guint blocking = 0; blocking < 2; blocking++)
    {
      g_autoptr (BsItem) item = insert (fixture, "a");
      Inside inside = { fixture, item, { NULL }, 0 };
      g_autoptr (GError) error = NULL;
      Answer answer = { 0 };

      gate_backing_set_hook (fixture->gates, BS_OPERATION_WRITE, GATE_BEFORE, call_inside_vfunc,
                             &inside);
      if (blocking)
        g_assert_true (bs_item_write (item, NULL, &error));
      else
        bs_item_write_async (item, G_PRIORITY_DEFAULT, NULL, answer_cb, &answer);
      if (!blocking)
        answer_ok (&answer);
      g_assert_cmpuint (inside.n, ==, 8);
      for (guint i = 0; i < inside.n; i++)
        {
          g_assert_error (inside.errors[i], G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
          g_clear_error (&inside.errors[i]);
        }
      bs_task_tracker_reopen (bs_backing_store_get_task_tracker (fixture->store));
      gate_backing_clear (fixture->gates);
    }
}

static void
nothing_to_free (gpointer data)
{
}

/* A content may be encoded inside the operation, when its turn has come. */
static GBytes *
encode_and_block (gpointer data, GCancellable *cancellable, GError **error)
{
  Inside *self = data;

  self->n++;
  if (bs_backing_store_sync (self->fixture->store, self->fixture->tracked, cancellable, error))
    return g_bytes_new_static ("made", 4);
  return NULL;
}

static void
test_inside_encoder (Fixture *fixture, gconstpointer data)
{
  for (guint blocking = 0; blocking < 2; blocking++)
    {
      Inside inside = { fixture, NULL, { NULL }, 0 };
      BsToken *token = bs_token_new (fixture->store);
      BsContent *content = bs_content_new (encode_and_block, &inside, nothing_to_free);
      g_autoptr (GCancellable) cancellable = g_cancellable_new ();
      g_autoptr (GError) error = NULL;
      Answer answer = { 0 };
      BsRequest request = { .kind = BS_KIND_WRITE, .token = token, .content = content };

      if (blocking)
        {
          g_assert_null (bs_ask_blocking (fixture->store, &request, NULL, cancellable, &error));
        }
      else
        {
          bs_ask_async (fixture->store, &request, NULL,
                        g_task_new (NULL, cancellable, answer_cb, &answer));
          error = answer_dup_error (&answer);
        }
      bs_content_unref (content);
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
      g_assert_cmpuint (inside.n, ==, 1);
      g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_WRITE, NULL), ==, 0);
      bs_token_drop (fixture->store, token);
      settle (fixture);
    }
}

static void
ask_inside_vfunc (GateBacking *gates, BsOperation operation, const char *key, gpointer data)
{
  Inside *self = data;

  if (self->n++ == 0)
    bs_backing_store_sync_async (self->fixture->store, self->fixture->tracked, G_PRIORITY_DEFAULT,
                                 NULL, answer_cb, (Answer *) self->item);
}

static void
test_async_inside_vfunc (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsItem) item = insert (fixture, "a");
  Answer write = { 0 }, sync = { 0 };
  Inside inside = { fixture, (BsItem *) &sync, { NULL }, 0 };

  gate_backing_set_hook (fixture->gates, BS_OPERATION_WRITE, GATE_BEFORE, ask_inside_vfunc,
                         &inside);
  bs_item_write_async (item, G_PRIORITY_DEFAULT, NULL, answer_cb, &write);
  answer_ok (&write);
  answer_ok (&sync);
}

static gboolean
drop_item (BsBackingStore *store, GCancellable *cancellable, gpointer data, GError **error)
{
  g_object_unref (data);
  return TRUE;
}

/* The deletion that a function's last reference queues is counted: whoever
 * waits does not go on before it. */
static void
test_function_drops_last_token (Fixture *fixture, gconstpointer data)
{
  for (guint i = 0; i < 100; i++)
    {
      BsItem *item = insert_written (fixture, "a");
      g_autofree char *key = bs_item_dup_key (item);
      Answer answer = { 0 };

      run_async (fixture, drop_item, item, NULL, &answer);
      settle (fixture);
      g_assert_false (gate_backing_has_primary (fixture->gates, key));
      g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_DELETE_KEY, key), ==, 1);
      answer_ok (&answer);
    }
}

typedef struct
{
  Fixture *fixture;
  guint n_tasks;
  int n;
} Counted;

static void
count_when_gone (gpointer data, GObject *object)
{
  Counted *self = data;

  self->n_tasks =
    bs_task_tracker_get_n_tasks (bs_backing_store_get_task_tracker (self->fixture->store));
  g_atomic_int_inc (&self->n);
}

/* An operation drops its references first and is counted down then: so is the
 * release that its last reference to a path queues. */
static void
test_counted_until_references_are_gone (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GFile) file = g_file_new_for_uri ("gate:///other");
  BsTrackedPath *other = track (fixture, file);
  Counted counted = {
    fixture,
  };
  Answer sync = { 0 };

  gate_backing_hold (fixture->gates, BS_OPERATION_SYNC_PERSISTED, NULL, GATE_BEFORE);
  bs_backing_store_sync_async (fixture->store, other, G_PRIORITY_DEFAULT, NULL, answer_cb, &sync);
  g_object_weak_ref (G_OBJECT (other), count_when_gone, &counted);
  g_object_unref (other);
  gate_backing_release_all (fixture->gates);
  settle (fixture);
  g_assert_cmpint (counted.n, ==, 1);
  g_assert_cmpuint (counted.n_tasks, >=, 1);
  g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_RELEASE_PATH, NULL), ==, 1);
  answer_ok (&sync);
}

static gboolean
drop_store (BsBackingStore *store, GCancellable *cancellable, gpointer data, GError **error)
{
  Fixture *fixture = data;

  g_clear_object (&fixture->pool);
  g_clear_object (&fixture->tracked);
  g_clear_object (&fixture->store);
  return TRUE;
}

static void
test_last_unref_in_function (Fixture *fixture, gconstpointer data)
{
  GWeakRef weak;
  Answer answer = { 0 };
  GObject *alive;

  g_weak_ref_init (&weak, fixture->store);
  run_async (fixture, drop_store, fixture, NULL, &answer);
  answer_ok (&answer);
  while ((alive = g_weak_ref_get (&weak)) != NULL)
    {
      g_object_unref (alive);
      g_main_context_iteration (NULL, FALSE);
    }
  g_weak_ref_clear (&weak);
  assert_log (fixture, NULL, "release_path");
}

typedef struct
{
  Fixture *fixture;
  BsItem *item;
  GMainContext *context;
  Answer answer;
  int done;
} Worker;

/* The callback drops the last references, on a thread that is not the store's owner. */
static void
drop_all_cb (GObject *source, GAsyncResult *result, gpointer data)
{
  Worker *self = data;

  answer_cb (source, result, &self->answer);
  answer_clear (&self->answer);
  g_clear_object (&self->item);
  drop_store (NULL, NULL, self->fixture, NULL);
  g_atomic_int_set (&self->done, TRUE);
}

static gpointer
drop_all_in_callback (gpointer data)
{
  Worker *self = data;

  g_main_context_push_thread_default (self->context);
  bs_item_persist_async (self->item, self->fixture->tracked, G_PRIORITY_DEFAULT, NULL, drop_all_cb,
                         self);
  while (!g_atomic_int_get (&self->done))
    g_main_context_iteration (self->context, TRUE);
  g_main_context_pop_thread_default (self->context);
  return NULL;
}

static void
test_last_unrefs_in_a_workers_callback (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GMainContext) context = g_main_context_new ();
  Worker worker = { fixture, insert (fixture, "a"), context, { 0 }, FALSE };
  GWeakRef weak;
  GObject *alive;

  g_weak_ref_init (&weak, fixture->store);
  g_thread_join (g_thread_new ("worker", drop_all_in_callback, &worker));
  while ((alive = g_weak_ref_get (&weak)) != NULL)
    {
      g_object_unref (alive);
      g_main_context_iteration (NULL, FALSE);
    }
  g_weak_ref_clear (&weak);
  g_assert_cmpuint (gate_backing_get_n_primary (fixture->gates), ==, 0);
  g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_RELEASE_PATH, NULL), ==, 1);
}

/* Everything is dropped with work outstanding: it is done, and told once. */
static void
test_drop_with_outstanding_work (Fixture *fixture, gconstpointer data)
{
  BsItem *item = insert (fixture, "a");
  g_autofree char *key = bs_item_dup_key (item);
  Answer answers[20] = { 0 };

  gate_backing_hold (fixture->gates, BS_OPERATION_WRITE, NULL, GATE_BEFORE);
  for (guint i = 0; i < 20; i += 4)
    {
      persist_async (fixture, item, NULL, &answers[i]);
      sync_async (fixture, NULL, &answers[i + 1]);
      delete_async (fixture, key, NULL, &answers[i + 2]);
      run_async (fixture, nothing_much, NULL, NULL, &answers[i + 3]);
    }
  g_object_unref (item);
  drop_store (NULL, NULL, fixture, NULL);
  gate_backing_release_all (fixture->gates);
  for (guint i = 0; i < 20; i++)
    answer_ok (&answers[i]);
  wait_until (gate_backing_count (fixture->gates, BS_OPERATION_RELEASE_PATH, NULL) == 1);
  wait_until (gate_backing_get_n_primary (fixture->gates) == 0);
}

typedef struct
{
  Fixture *fixture;
  const char *key;
  GThread *thread;
  GError *error;
  gboolean success;
  int n;
} Notify;

static void
call_store_in_notify (gpointer data)
{
  Notify *self = data;

  self->thread = g_thread_self ();
  self->success = bs_backing_store_delete_persisted (self->fixture->store, self->fixture->tracked,
                                                     self->key, NULL, &self->error);
  g_atomic_int_inc (&self->n);
}

static gpointer
cancel_in_thread (gpointer cancellable)
{
  g_cancellable_cancel (cancellable);
  return NULL;
}

/* A destroy notify may call the store, and is called where the caller is. */
static void
test_destroy_notify_calls_store (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autofree char *key = put_key (fixture, "a");
  Notify notify = {
    fixture,
    key,
  };
  Answer answer = { 0 };
  Answer blockers[2] = { 0 };

  /* After it has run. */
  bs_backing_store_run_in_thread_async (fixture->store, nothing_much, &notify, call_store_in_notify,
                                        G_PRIORITY_DEFAULT, NULL, answer_cb, &answer);
  answer_ok (&answer);
  wait_until (notify.n == 1);
  g_assert_true (notify.success);
  g_assert_true (notify.thread == g_thread_self ());

  /* Cancelled before it could, on another thread. */
  g_cancellable_cancel (cancellable);
  bs_backing_store_run_in_thread_async (fixture->store, nothing_much, &notify, call_store_in_notify,
                                        G_PRIORITY_DEFAULT, cancellable, answer_cb, &answer);
  g_assert_cmpint (notify.n, ==, 1);
  answer_cancelled (&answer);
  wait_until (notify.n == 2);
  g_assert_true (notify.thread == g_thread_self ());

  /* In the queue: each thread for functions is taken. */
  g_clear_object (&cancellable);
  cancellable = g_cancellable_new ();
  gate_backing_hold (fixture->gates, BS_OPERATION_SYNC_PERSISTED, NULL, GATE_BEFORE);
  for (guint i = 0; i < fixture->n_threads; i++)
    run_async (fixture, block_in_sync, fixture, NULL, &blockers[i]);
  gate_backing_wait_held (fixture->gates, BS_OPERATION_SYNC_PERSISTED, NULL, GATE_BEFORE, 1);
  bs_backing_store_run_in_thread_async (fixture->store, nothing_much, &notify, call_store_in_notify,
                                        G_PRIORITY_LOW, cancellable, answer_cb, &answer);
  g_thread_join (g_thread_new ("cancel", cancel_in_thread, cancellable));
  g_assert_cmpint (notify.n, ==, 2);
  answer_cancelled (&answer);
  wait_until (notify.n == 3);
  g_assert_true (notify.thread == g_thread_self ());
  gate_backing_release_all (fixture->gates);
  for (guint i = 0; i < fixture->n_threads; i++)
    answer_ok (&blockers[i]);

  /* A blocking call's, on its own thread. */
  g_assert_true (bs_backing_store_run_in_thread (fixture->store, nothing_much, &notify,
                                                 call_store_in_notify, NULL, NULL));
  g_assert_cmpint (notify.n, ==, 4);
  g_assert_true (notify.thread == g_thread_self ());
}

/* The content's destroy notify is called by the thread that drops it last. */
static void
test_content_notify_calls_store (Fixture *fixture, gconstpointer data)
{
  g_autofree char *key = put_key (fixture, "a");
  Notify notify = {
    fixture,
    key,
  };
  GBytes *bytes = g_bytes_new_with_free_func ("content", 7, call_store_in_notify, &notify);
  BsItem *item = bs_pool_insert (fixture->pool, bytes);
  Answer answer = { 0 };

  g_bytes_unref (bytes);
  persist_async (fixture, item, NULL, &answer);
  bs_pool_set_max_bytes (fixture->pool, 0);
  answer_ok (&answer);
  wait_until (g_atomic_int_get (&notify.n) == 1);
  g_assert_no_error (notify.error);
  g_assert_true (notify.success);
  g_object_unref (item);
  settle (fixture);
}

/* A blocking call on the main thread that completes what others have asked
 * asynchronously does not call them back. */
static void
test_blocking_call_completes_others (Fixture *fixture, gconstpointer data)
{
  g_autofree char *key = put_key (fixture, "a");
  g_autoptr (GError) error = NULL;
  Answer delete = { 0 }, other = { 0 };
  g_autoptr (BsItem) item = insert (fixture, "a");

  delete_async (fixture, key, NULL, &delete);
  persist_async (fixture, item, NULL, &other);
  bs_backing_store_delete_persisted (fixture->store, fixture->tracked, key, NULL, &error);
  g_assert_no_error (error);
  bs_backing_store_sync (fixture->store, fixture->tracked, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (gate_backing_count (fixture->gates, BS_OPERATION_PERSIST, NULL) == 1);
  g_assert_cmpint (delete.n_calls, ==, 0);
  g_assert_cmpint (other.n_calls, ==, 0);
  settle (fixture);
  g_assert_cmpint (delete.n_calls, ==, 0);
  g_assert_cmpint (other.n_calls, ==, 0);
  answer_ok (&delete);
  answer_ok (&other);
}

static GCancellable *
cancel_when_asked (Fixture *fixture)
{
  GCancellable *cancellable = g_cancellable_new ();

  cancelling_lock = &fixture->store->operations_mutex;
  cancelled_there = cancellable;
  return cancellable;
}

/* Somebody leaves when what he has asked for can just be left. The memory of what
 * is gone must not be used any more: Meson's MALLOC_PERTURB_ shows that, too. */
static void
test_cancelled_when_asked (Fixture *fixture, gconstpointer data)
{
  for (guint i = 0; i < 3; i++)
    {
      g_autofree char *key = put_key (fixture, "a");
      g_autoptr (BsKeySet) keys = bs_key_set_new ();
      g_autoptr (BsVerify) verify = bs_verify_new (fixture->store, fixture->tracked);
      g_autoptr (GCancellable) cancellable = NULL;
      Answer answer = { 0 };
      int n = 0;

      bs_key_set_add (keys, key, NULL);
      cancellable = cancel_when_asked (fixture);
      if (i == 0)
        run_async (fixture, nothing, &n, cancellable, &answer);
      else if (i == 1)
        bs_backing_store_delete_persisted_keys_async (fixture->store, fixture->tracked, keys,
                                                      G_PRIORITY_DEFAULT, cancellable, answer_cb,
                                                      &answer);
      else
        bs_verify_run_async (verify, G_PRIORITY_DEFAULT, cancellable, answer_cb, &answer);
      g_assert_true (g_cancellable_is_cancelled (cancellable));
      answer_cancelled (&answer);
      settle (fixture);
      g_assert_cmpint (n, ==, 0);
      assert_log (fixture, NULL, "");
      cancelled_there = NULL;
    }
}

/* The functions that hold every place, and one behind them that a save waits for. */
typedef struct
{
  Fixture *fixture;
  int n_inside;      /* atomic */
  int is_committing; /* atomic */
  int may_ask;       /* atomic */
  int is_helped;     /* atomic */
} Chain;

static gboolean
help_commit (BsBackingStore *store, GCancellable *cancellable, gpointer data, GError **error)
{
  g_atomic_int_set (&((Chain *) data)->is_helped, TRUE);
  return TRUE;
}

static gboolean
commit_when_helped (BsSave *save, GCancellable *cancellable, gpointer data, GError **error)
{
  Chain *chain = data;

  g_atomic_int_set (&chain->is_committing, TRUE);
  spin_until (g_atomic_int_get (&chain->is_helped));
  return TRUE;
}

static gboolean
untrack_inside (BsBackingStore *store, GCancellable *cancellable, gpointer data, GError **error)
{
  Chain *chain = data;

  g_atomic_int_inc (&chain->n_inside);
  spin_until (g_atomic_int_get (&chain->may_ask));
  return bs_backing_store_untrack_path (store, chain->fixture->tracked, cancellable, error);
}

static gboolean
track_inside (BsBackingStore *store, GCancellable *cancellable, gpointer data, GError **error)
{
  g_autoptr (BsTrackedPath) tracked = NULL;
  Chain *chain = data;

  g_atomic_int_inc (&chain->n_inside);
  spin_until (g_atomic_int_get (&chain->may_ask));
  tracked = bs_backing_store_track_path (store, chain->fixture->file, cancellable, error);
  return tracked != NULL;
}

/* A function that waits for a path waits for the path's saves, and a save may wait for
 * a function that has no place yet. */
static void
run_chain (Fixture *fixture, BsTaskFunc func, gboolean is_untracked)
{
  Chain chain = { .fixture = fixture };
  g_autoptr (BsSave) save = bs_save_new (fixture->store, fixture->tracked);
  Answer functions[2] = { 0 }, helped = { 0 }, saved = { 0 }, untracked = { 0 };

  for (guint i = 0; i < fixture->n_threads; i++)
    run_async (fixture, func, &chain, NULL, &functions[i]);
  wait_until (g_atomic_int_get (&chain.n_inside) == (int) fixture->n_threads);
  run_async (fixture, help_commit, &chain, NULL, &helped);
  bs_save_set_commit_func (save, commit_when_helped, &chain, NULL);
  bs_save_run_async (save, G_PRIORITY_DEFAULT, NULL, answer_cb, &saved);
  wait_until (g_atomic_int_get (&chain.is_committing));
  if (is_untracked)
    bs_backing_store_untrack_path_async (fixture->store, fixture->tracked, G_PRIORITY_DEFAULT, NULL,
                                         answer_cb, &untracked);
  g_assert_false (g_atomic_int_get (&chain.is_helped));
  g_atomic_int_set (&chain.may_ask, TRUE);

  for (guint i = 0; i < fixture->n_threads; i++)
    answer_ok (&functions[i]);
  answer_ok (&helped);
  answer_ok (&saved);
  if (is_untracked)
    answer_ok (&untracked);
  g_assert_true (bs_tracked_path_get_closed (fixture->tracked));
}

static void
test_untrack_inside_function (Fixture *fixture, gconstpointer data)
{
  run_chain (fixture, untrack_inside, FALSE);
}

static void
test_track_inside_function (Fixture *fixture, gconstpointer data)
{
  run_chain (fixture, track_inside, TRUE);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);

  test_add ("/interleavings/function/ask-and-wait", test_ask_and_wait);
  test_add ("/interleavings/function/ask-for-function-and-wait", test_ask_for_function_and_wait);
  test_add ("/interleavings/function/inside-function", test_function_inside_function);
  test_add ("/interleavings/function/sync-behind-unstarted", test_sync_behind_unstarted);
  test_add ("/interleavings/function/wait-inside", test_wait_inside_function);
  test_add ("/interleavings/function/wait-async-inside", test_wait_async_inside_function);
  test_add ("/interleavings/function/untrack-inside", test_untrack_inside_function);
  test_add ("/interleavings/function/track-inside", test_track_inside_function);
  test_add ("/interleavings/function/drops-last-token", test_function_drops_last_token);
  test_add ("/interleavings/counted", test_counted_until_references_are_gone);
  test_add ("/interleavings/cancelled-when-asked", test_cancelled_when_asked);
  test_add ("/interleavings/function/last-unref", test_last_unref_in_function);
  test_add ("/interleavings/vfunc/blocking", test_inside_vfunc);
  test_add ("/interleavings/encoder/blocking", test_inside_encoder);
  test_add ("/interleavings/vfunc/async", test_async_inside_vfunc);
  test_add ("/interleavings/last-unrefs/in-callback", test_last_unrefs_in_a_workers_callback);
  test_add ("/interleavings/last-unrefs/outstanding-work", test_drop_with_outstanding_work);
  test_add ("/interleavings/destroy-notify/function", test_destroy_notify_calls_store);
  test_add ("/interleavings/destroy-notify/content", test_content_notify_calls_store);
  test_add ("/interleavings/blocking-completes-others", test_blocking_call_completes_others);

  return g_test_run ();
}
