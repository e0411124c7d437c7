/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "store-fixture.h"

#include <dlfcn.h>

/* No lock is held while calling out. Whatever is called looks at the very key,
 * path and store, and asks for more. */
typedef struct
{
  Fixture *fixture;
  char *key;
  BsItem *item;
  Answer answers[4];
  int n; /* atomic */
} Visitor;

static void
visit_key (const char *key, gpointer data)
{
  Visitor *self = data;

  /* Another thread may be deleting it just now. */
  bs_tracked_path_contains_key (self->fixture->tracked, key);
}

static void
visit (Visitor *self)
{
  Fixture *fixture = self->fixture;
  g_autoptr (GBytes) bytes = bs_item_try_load (self->item);
  g_autoptr (BsItem) copy = bs_item_copy (self->item);
  g_autofree char *key = bs_item_dup_key (copy);
  guint n_tasks;

  bs_tracked_path_contains_key (fixture->tracked, self->key);
  bs_tracked_path_foreach_key (fixture->tracked, visit_key, self);
  g_object_get (bs_backing_store_get_task_tracker (fixture->store), "n-tasks", &n_tasks, NULL);
  if (g_atomic_int_add (&self->n, 1) == 0)
    {
      persist_async (fixture, self->item, NULL, &self->answers[0]);
      delete_async (fixture, self->key, NULL, &self->answers[1]);
      sync_async (fixture, NULL, &self->answers[2]);
      bs_backing_store_track_path_async (fixture->store, fixture->file, G_PRIORITY_DEFAULT, NULL,
                                         answer_cb, &self->answers[3]);
    }
}

static void
visit_hook (GateBacking *gates, BsOperation operation, const char *key, gpointer data)
{
  visit (data);
}

static void
visit_finish (Visitor *self)
{
  /* Where nothing was asked nobody answers. */
  if (g_atomic_int_get (&self->n) == 0)
    return;
  for (guint i = 0; i < 3; i++)
    answer_ok (&self->answers[i]);
  g_object_unref (answer_pointer (&self->answers[3]));
  g_atomic_int_set (&self->n, 0);
}

static void
test_calls_in_vfuncs (Fixture *fixture, gconstpointer data)
{
  for (BsOperation operation = BS_OPERATION_WRITE; operation <= BS_OPERATION_RELEASE_PATH;
       operation++)
    for (GatePoint point = GATE_BEFORE; point <= GATE_AFTER; point++)
      {
        g_autoptr (BsItem) item = insert_persisted (fixture, "a");
        g_autoptr (GFile) file = g_file_new_for_uri ("gate:///other");
        g_autoptr (GListModel) model = NULL;
        g_autoptr (BsKeySet) keys = bs_key_set_new ();
        g_autoptr (BsTrackedPath) other = NULL;
        Visitor visitor = {
          fixture,
          bs_item_dup_key (item),
          item,
        };
        g_autofree char *other_key = put_key (fixture, "b");
        g_autofree char *third_key = put_key (fixture, "c");
        g_autoptr (BsItem) registered = NULL;
        Answer answer = { 0 };

        gate_backing_set_hook (fixture->gates, operation, point, visit_hook, &visitor);
        registered = bs_pool_register (fixture->pool, fixture->tracked, other_key, NULL, NULL);
        assert_content (registered, "b");
        bs_key_set_add (keys, other_key, NULL);
        bs_key_set_add (keys, third_key, NULL);
        model = bs_pool_register_all (fixture->pool, fixture->tracked, NULL, NULL);
        g_clear_object (&model);
        bs_item_persist_async (item, fixture->tracked, G_PRIORITY_DEFAULT, NULL, answer_cb,
                               &answer);
        answer_ok (&answer);
        bs_backing_store_delete_persisted_keys_async (fixture->store, fixture->tracked, keys,
                                                      G_PRIORITY_DEFAULT, NULL, answer_cb, &answer);
        answer_ok (&answer);
        delete_async (fixture, visitor.key, NULL, &answer);
        answer_ok (&answer);
        sync_async (fixture, NULL, &answer);
        answer_ok (&answer);
        other = track (fixture, file);
        bs_backing_store_untrack_path_async (fixture->store, other, G_PRIORITY_DEFAULT, NULL,
                                             answer_cb, &answer);
        answer_ok (&answer);
        /* A dropped blob may be deleted just now, which visits once more. */
        settle (fixture);
        gate_backing_clear (fixture->gates);
        visit_finish (&visitor);
        g_clear_object (&registered);
        g_free (visitor.key);
        settle (fixture);
      }
}

static void
visit_error_cb (BsBackingStore *store,
                const char *key,
                BsOperation operation,
                GError *error,
                gpointer data)
{
  visit (data);
}

static void
visit_notify_cb (GObject *object, GParamSpec *pspec, gpointer data)
{
  Visitor *self = data;

  visit (self);
  g_assert_true (bs_backing_store_sync (self->fixture->store, self->fixture->tracked, NULL, NULL));
}

static void
visit_cancelled_cb (GCancellable *cancellable, gpointer data)
{
  visit (data);
}

static void
test_calls_in_handlers (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (BsItem) item = insert_persisted (fixture, "a");
  BsItem *doomed = insert_written (fixture, "doomed");
  Visitor visitor = {
    fixture,
    bs_item_dup_key (item),
    item,
  };
  BsTaskTracker *tracker = bs_backing_store_get_task_tracker (fixture->store);
  Answer delete = { 0 };
  gulong id;

  g_signal_connect (fixture->store, "background-error", G_CALLBACK (visit_error_cb), &visitor);
  gate_backing_fail (fixture->gates, BS_OPERATION_DELETE_KEY, NULL, GATE_BEFORE, 1,
                     G_IO_ERROR_FAILED);
  g_object_unref (doomed);
  wait_until (g_atomic_int_get (&visitor.n) > 0);
  g_signal_handlers_disconnect_by_data (fixture->store, &visitor);
  visit_finish (&visitor);

  id = g_signal_connect (tracker, "notify", G_CALLBACK (visit_notify_cb), &visitor);
  g_signal_connect (fixture->tracked, "notify", G_CALLBACK (visit_notify_cb), &visitor);
  bs_task_tracker_hold (tracker);
  bs_task_tracker_release (tracker);
  wait_until (g_atomic_int_get (&visitor.n) > 0);
  g_signal_handler_disconnect (tracker, id);
  visit_finish (&visitor);
  g_signal_handlers_disconnect_by_data (fixture->tracked, &visitor);

  /* A handler of the cancellable that the store listens to as well. */
  bs_item_persist (item, fixture->tracked, NULL, NULL);
  gate_backing_hold (fixture->gates, BS_OPERATION_DELETE_PERSISTED, visitor.key, GATE_BEFORE);
  delete_async (fixture, visitor.key, cancellable, &delete);
  gate_backing_wait_held (fixture->gates, BS_OPERATION_DELETE_PERSISTED, visitor.key, GATE_BEFORE,
                          1);
  g_signal_connect (cancellable, "cancelled", G_CALLBACK (visit_cancelled_cb), &visitor);
  g_cancellable_cancel (cancellable);
  answer_cancelled (&delete);
  gate_backing_release_all (fixture->gates);
  visit_finish (&visitor);
  g_free (visitor.key);
}

/* A language binding is told, under its own lock, when somebody else begins to
 * hold an object, or is the last to let go: so neither may happen under ours. */
static void
toggle_cb (gpointer data, GObject *object, gboolean is_last)
{
  Visitor *self = data;

  bs_tracked_path_contains_key (self->fixture->tracked, self->key);
  g_atomic_int_inc (&self->n);
}

static void
test_calls_in_toggles (Fixture *fixture, gconstpointer data)
{
  g_autofree char *key = put_key (fixture, "a");
  Visitor visitor = {
    fixture,
    key,
    NULL,
  };
  Answer answer = { 0 };
  g_autoptr (BsItem) item = insert_written (fixture, "b");

  g_object_add_toggle_ref (G_OBJECT (fixture->tracked), toggle_cb, &visitor);
  g_object_unref (fixture->tracked);
  delete_async (fixture, key, NULL, &answer);
  answer_ok (&answer);
  persist_async (fixture, item, NULL, &answer);
  answer_ok (&answer);
  sync_async (fixture, NULL, &answer);
  answer_ok (&answer);
  g_assert_true (
    bs_backing_store_delete_persisted (fixture->store, fixture->tracked, key, NULL, NULL));
  g_assert_true (bs_backing_store_sync (fixture->store, fixture->tracked, NULL, NULL));
  bs_backing_store_track_path_async (fixture->store, fixture->file, G_PRIORITY_DEFAULT, NULL,
                                     answer_cb, &answer);
  g_object_unref (answer_pointer (&answer));
  settle (fixture);
  g_assert_cmpint (g_atomic_int_get (&visitor.n), >, 0);
  g_object_ref (fixture->tracked);
  g_object_remove_toggle_ref (G_OBJECT (fixture->tracked), toggle_cb, &visitor);
}

static GThread *main_thread;
static int holds; /* atomic: other threads wait where they have handed over an answer */

void
g_main_context_unref (GMainContext *context)
{
  void (*unref) (GMainContext *) = dlsym (RTLD_NEXT, "g_main_context_unref");

  while (g_atomic_int_get (&holds) && g_thread_self () != main_thread)
    g_thread_yield ();
  unref (context);
}

static void
gone_cb (gpointer data, GObject *cancellable)
{
  *(gboolean *) data = g_thread_self () == main_thread;
}

/* An object that a caller gave goes in the caller's context: a script may have ended when
 * a thread of the store goes on after the answer. */
static void
test_cancellables (Fixture *fixture, gconstpointer data)
{
  GCancellable *cancellable = g_cancellable_new ();
  gboolean is_gone = FALSE;
  Answer answer = { 0 };

  main_thread = g_thread_self ();
  g_object_weak_ref (G_OBJECT (cancellable), gone_cb, &is_gone);
  g_atomic_int_set (&holds, TRUE);
  sync_async (fixture, cancellable, &answer);
  g_object_unref (cancellable);
  answer_ok (&answer);
  g_assert_true (is_gone);
  g_atomic_int_set (&holds, FALSE);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);

  test_add ("/calling-out/vfuncs", test_calls_in_vfuncs);
  test_add ("/calling-out/handlers", test_calls_in_handlers);
  test_add ("/calling-out/toggles", test_calls_in_toggles);
  test_add ("/calling-out/cancellables", test_cancellables);

  return g_test_run ();
}
