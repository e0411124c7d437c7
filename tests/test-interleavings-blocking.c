/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "store-fixture.h"

/* Operations asked while a blocking call, with its operation on the stack, runs on its
 * caller's thread. The backing sees to it that a key has one call at a time. */

typedef struct
{
  Blocking call;
  BsItem *item;
  char *key;
} Runner;

static gpointer
blocking_persist (gpointer data)
{
  Blocking *call = data;
  Runner *self = data;

  call->success = bs_item_persist (self->item, call->fixture->tracked, NULL, &call->error);
  g_atomic_int_set (&call->done, TRUE);
  return NULL;
}

static BsShard *
shard_of (Fixture *fixture, const char *string)
{
  return &fixture->store->shards[get_shard_index (string)];
}

/* A written item whose key is in that shard, or in another one. */
static BsItem *
insert_in (Fixture *fixture, BsShard *shard, gboolean there)
{
  for (;;)
    {
      g_autoptr (BsItem) item = insert (fixture, "b");
      g_autofree char *key = bs_item_dup_key (item);
      g_autoptr (GError) error = NULL;

      if ((shard_of (fixture, key) == shard) != there)
        continue;
      bs_item_write (item, NULL, &error);
      g_assert_no_error (error);
      return g_steal_pointer (&item);
    }
}

/* The last operation on the key, as it is just now. */
static BsKeyOperation
peek_last (Fixture *fixture, const char *string)
{
  BsShard *shard = shard_of (fixture, string);
  BsKeyOperation copy = { 0 };
  BsKeyOperation *last;
  BsKey key;

  g_assert_true (bs_key_parse (string, &key));
  g_mutex_lock (&shard->mutex);
  last = bs_key_queue_find_last (shard, &key, bs_key_hash (&key));
  if (last != NULL)
    copy = *last;
  g_mutex_unlock (&shard->mutex);
  return copy;
}

static gboolean
is_on_stack (Fixture *fixture, const char *key)
{
  return peek_last (fixture, key).operation.on_stack;
}

/* The last operation on the key is to settle its token. */
static gboolean
is_unheld (Fixture *fixture, const char *key)
{
  return peek_last (fixture, key).token != NULL;
}

/* Returns while the call is in the backing. The item is persisted before it is deleted. */
static void
begin (Runner *self, Fixture *fixture, BsOperation operation, BsItem *item)
{
  self->item = item;
  self->key = bs_item_dup_key (item);
  gate_backing_reset_log (fixture->gates);
  ask_held (fixture, operation, self->key,
            blocking_start (&self->call, fixture,
                            operation == BS_OPERATION_PERSIST ? blocking_persist
                                                              : blocking_delete_persisted,
                            self->key, NULL));
}

static void
begin_persist (Runner *self, Fixture *fixture)
{
  begin (self, fixture, BS_OPERATION_PERSIST, insert_written (fixture, "a"));
  g_assert_true (is_on_stack (fixture, self->key));
}

static void
begin_delete (Runner *self, Fixture *fixture)
{
  begin (self, fixture, BS_OPERATION_DELETE_PERSISTED, insert_persisted (fixture, "a"));
  g_assert_true (is_on_stack (fixture, self->key));
}

/* An operation asked meanwhile stands in the queue behind it. */
static void
end (Runner *self, const char *log)
{
  Fixture *fixture = self->call.fixture;

  gate_backing_release_all (fixture->gates);
  blocking_ok (&self->call);
  settle (fixture);
  if (log != NULL)
    assert_log (fixture, self->key, log);
  g_assert_false (is_on_stack (fixture, self->key));
}

static void
runner_clear (Runner *self)
{
  g_clear_object (&self->item);
  g_clear_pointer (&self->key, g_free);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Runner, runner_clear)

static void
test_nobody (Fixture *fixture, gconstpointer data)
{
  g_auto (Runner) persist = { 0 };
  g_auto (Runner) delete = { 0 };

  begin_persist (&persist, fixture);
  end (&persist, "persist");
  begin (&delete, fixture, BS_OPERATION_DELETE_PERSISTED, g_object_ref (persist.item));
  end (&delete, "delete_persisted");
}

static void
test_same (Fixture *fixture, gconstpointer data)
{
  Answer answers[3] = { 0 };
  g_auto (Runner) self = { 0 };

  begin_persist (&self, fixture);
  for (guint i = 0; i < G_N_ELEMENTS (answers); i++)
    persist_async (fixture, self.item, NULL, &answers[i]);
  g_assert_false (answer_is_there (&answers[0]));
  g_assert_cmpuint (count_callers (fixture->store, self.key), ==, G_N_ELEMENTS (answers));
  end (&self, "persist");
  for (guint i = 0; i < G_N_ELEMENTS (answers); i++)
    answer_ok (&answers[i]);
  runner_clear (&self);
  settle (fixture);

  begin_delete (&self, fixture);
  delete_async (fixture, self.key, NULL, &answers[0]);
  g_assert_false (answer_is_there (&answers[0]));
  end (&self, "delete_persisted");
  answer_ok (&answers[0]);
}

static void
test_opposite (Fixture *fixture, gconstpointer data)
{
  Answer answer = { 0 };
  g_auto (Runner) self = { 0 };

  begin_persist (&self, fixture);
  delete_async (fixture, self.key, NULL, &answer);
  g_assert_false (answer_is_there (&answer));
  end (&self, "persist delete_persisted");
  answer_ok (&answer);
  runner_clear (&self);
  settle (fixture);

  begin_delete (&self, fixture);
  persist_async (fixture, self.item, NULL, &answer);
  g_assert_false (answer_is_there (&answer));
  end (&self, "delete_persisted persist");
  answer_ok (&answer);
}

static void
test_opposite_blocking (Fixture *fixture, gconstpointer data)
{
  Blocking delete;
  g_auto (Runner) self = { 0 };

  begin_persist (&self, fixture);
  blocking_start (&delete, fixture, blocking_delete_persisted, self.key, NULL);
  spin_until (count_callers (fixture->store, self.key) == 1);
  g_assert_false (g_atomic_int_get (&delete.done));
  end (&self, "persist delete_persisted");
  blocking_ok (&delete);
}

static void
test_register (Fixture *fixture, gconstpointer data)
{
  Answer answer = { 0 };
  g_auto (Runner) self = { 0 };

  begin_delete (&self, fixture);
  register_async (fixture, self.key, NULL, &answer);
  g_assert_false (answer_is_there (&answer));
  end (&self, "delete_persisted");
  answer_fails (&answer, BS_ERROR, BS_ERROR_NOT_FOUND);
}

static void
test_load (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GError) error = NULL;
  Answer answer = { 0 };
  g_auto (Runner) self = { 0 };

  begin_delete (&self, fixture);
  bs_pool_trim (fixture->pool, 0, NULL, &error);
  g_assert_no_error (error);
  bs_item_load_async (self.item, G_PRIORITY_DEFAULT, NULL, answer_cb, &answer);
  g_assert_false (answer_is_there (&answer));
  end (&self, "delete_persisted read");
  bytes = answer_pointer (&answer);
}

static void
test_bulk_delete (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsKeySet) keys = bs_key_set_new ();
  Answer answer = { 0 };
  g_auto (Runner) self = { 0 };

  begin_persist (&self, fixture);
  bs_key_set_add (keys, self.key, NULL);
  bs_backing_store_delete_persisted_keys_async (fixture->store, fixture->tracked, keys,
                                                G_PRIORITY_DEFAULT, NULL, answer_cb, &answer);
  spin_until (count_callers (fixture->store, self.key) == 1);
  end (&self, "persist delete_persisted");
  answer_ok (&answer);
}

static void
test_bulk_register (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GListModel) list = NULL;
  Answer answer = { 0 };
  g_auto (Runner) self = { 0 };

  begin_delete (&self, fixture);
  bs_pool_register_all_async (fixture->pool, fixture->tracked, G_PRIORITY_DEFAULT, NULL, answer_cb,
                              &answer);
  spin_until (count_callers (fixture->store, self.key) == 1);
  end (&self, "delete_persisted");
  list = answer_pointer (&answer);
  g_assert_cmpuint (g_list_model_get_n_items (list), ==, 0);
}

static void
test_last_drop (Fixture *fixture, gconstpointer data)
{
  g_auto (Runner) self = { 0 };

  begin_delete (&self, fixture);
  g_clear_object (&self.item);
  end (&self, "delete_persisted delete_key");
  spin_until (is_forgotten (fixture->store, self.key));
}

/* Many tokens are dropped by one bulk. */
static void
test_last_drops (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GListModel) list = NULL;
  g_autoptr (GError) error = NULL;
  g_auto (Runner) self = { 0 };

  begin_persist (&self, fixture);
  end (&self, "persist");
  g_clear_object (&self.item);
  settle (fixture);
  list = bs_pool_register_all (fixture->pool, fixture->tracked, NULL, &error);
  g_assert_no_error (error);
  gate_backing_reset_log (fixture->gates);

  ask_held (fixture, BS_OPERATION_DELETE_PERSISTED, self.key,
            blocking_start (&self.call, fixture, blocking_delete_persisted, self.key, NULL));
  g_assert_true (is_on_stack (fixture, self.key));
  g_clear_object (&list);
  wait_until (is_unheld (fixture, self.key));
  end (&self, "delete_persisted delete_key");
}

static void
test_save (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsSave) save = NULL;
  Answer answer = { 0 };
  g_auto (Runner) self = { 0 };

  begin_delete (&self, fixture);
  save = bs_save_new (fixture->store, fixture->tracked);
  bs_save_add_item (save, self.item);
  bs_save_run_async (save, G_PRIORITY_DEFAULT, NULL, answer_cb, &answer);
  spin_until (count_callers (fixture->store, self.key) == 1);
  end (&self, "delete_persisted persist");
  answer_ok (&answer);
  g_assert_true (gate_backing_is_durable (fixture->gates, fixture->file, self.key));
}

/* Another key of the same shard is not held up, and joins nothing. */
static void
test_neighbour (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsItem) neighbour = NULL;
  g_autofree char *key = NULL;
  g_autoptr (GError) error = NULL;
  Answer answer = { 0 };
  g_auto (Runner) self = { 0 };

  begin_persist (&self, fixture);
  neighbour = insert_in (fixture, shard_of (fixture, self.key), TRUE);
  key = bs_item_dup_key (neighbour);
  bs_item_persist (neighbour, fixture->tracked, NULL, &error);
  g_assert_no_error (error);
  bs_backing_store_delete_persisted (fixture->store, fixture->tracked, key, NULL, &error);
  g_assert_no_error (error);
  persist_async (fixture, neighbour, NULL, &answer);
  answer_ok (&answer);
  assert_log (fixture, key, "write persist delete_persisted persist");
  end (&self, "persist");
}

static void
test_failure (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsItem) item = insert_written (fixture, "a");
  g_autofree char *key = bs_item_dup_key (item);

  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (GError) error = NULL;

      gate_backing_fail (fixture->gates, BS_OPERATION_PERSIST, key,
                         i == 0 ? GATE_BEFORE : GATE_AFTER, 1, G_IO_ERROR_NO_SPACE);
      g_assert_false (bs_item_persist (item, fixture->tracked, NULL, &error));
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
      g_clear_error (&error);
      bs_item_persist (item, fixture->tracked, NULL, &error);
      g_assert_no_error (error);
      bs_backing_store_delete_persisted (fixture->store, fixture->tracked, key, NULL, &error);
      g_assert_no_error (error);
    }
  assert_log (fixture, key,
              "write persist persist delete_persisted persist persist delete_persisted");
}

/* The whole path waits for it. */
static void
test_sync (Fixture *fixture, gconstpointer data)
{
  Answer first = { 0 }, second = { 0 };
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_auto (Runner) self = { 0 };

  begin_persist (&self, fixture);
  sync_async (fixture, cancellable, &first);
  g_assert_false (answer_is_there (&first));
  g_cancellable_cancel (cancellable);
  answer_cancelled (&first);
  sync_async (fixture, NULL, &second);
  g_assert_false (answer_is_there (&second));
  g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_SYNC_PERSISTED, NULL), ==, 0);
  end (&self, "persist");
  answer_ok (&second);
  g_assert_true (gate_backing_is_durable (fixture->gates, fixture->file, self.key));
}

/* A sync that many operations hold up goes on when the last of those is done that
 * were asked before it, whatever was cancelled meanwhile. */
static void
test_sync_behind_many (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  Answer cancelled = { 0 }, sync = { 0 };
  Runner persists[8], late;

  for (guint i = 0; i < G_N_ELEMENTS (persists); i++)
    begin (&persists[i], fixture, BS_OPERATION_PERSIST, insert_written (fixture, "a"));
  sync_async (fixture, cancellable, &cancelled);
  g_assert_false (answer_is_there (&cancelled));
  for (guint i = 0; i < G_N_ELEMENTS (persists); i++)
    {
      gate_backing_release (fixture->gates, BS_OPERATION_PERSIST, persists[i].key, GATE_BEFORE);
      blocking_ok (&persists[i].call);
      if (i == 2)
        {
          g_cancellable_cancel (cancellable);
          answer_cancelled (&cancelled);
          sync_async (fixture, NULL, &sync);
          begin (&late, fixture, BS_OPERATION_PERSIST, insert_written (fixture, "a"));
        }
      if (i < G_N_ELEMENTS (persists) - 1)
        {
          g_assert_false (answer_is_there (&sync));
          g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_SYNC_PERSISTED, NULL),
                            ==, 0);
        }
    }
  answer_ok (&sync);
  g_assert_false (g_atomic_int_get (&late.call.done));
  for (guint i = 0; i < G_N_ELEMENTS (persists); i++)
    {
      g_assert_true (gate_backing_is_durable (fixture->gates, fixture->file, persists[i].key));
      runner_clear (&persists[i]);
    }
  end (&late, "persist");
  runner_clear (&late);
}

/* All threads of the store are busy, with keys of other shards than that one. */
static void
plug_in_elsewhere (Plug *plug, Fixture *fixture, BsShard *shard)
{
  gboolean elsewhere;

  do
    {
      plug_in (plug, fixture);
      elsewhere = TRUE;
      for (guint i = 0; i < plug->n; i++)
        elsewhere = elsewhere && shard_of (fixture, plug->keys[i]) != shard;
      if (!elsewhere)
        plug_out (plug, fixture);
    }
  while (!elsewhere);
}

static gboolean
is_awaited (Fixture *fixture, BsShard *shard)
{
  gboolean awaited;

  g_mutex_lock (&shard->mutex);
  awaited = fixture->tracked->members.shards[shard - fixture->store->shards].tickets.awaited != 0;
  g_mutex_unlock (&shard->mutex);
  return awaited;
}

/* Cancelled while it looks at the tickets: the last shard holds it up there. It
 * does not wait for them then, and leaves no trace for the next one. */
static void
test_sync_cancelled_while_looking (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  BsShard *last = &fixture->store->shards[BS_N_SHARDS - 1];
  Answer cancelled = { 0 }, sync = { 0 };
  Plug plug = { 0 };
  g_auto (Runner) self = { 0 };

  begin (&self, fixture, BS_OPERATION_PERSIST, insert_in (fixture, last, FALSE));
  plug_in_elsewhere (&plug, fixture, last);
  sync_async (fixture, cancellable, &cancelled);
  g_mutex_lock (&last->mutex);
  plug_pull (&plug, fixture);
  spin_until (is_awaited (fixture, shard_of (fixture, self.key)));
  g_cancellable_cancel (cancellable);
  g_mutex_unlock (&last->mutex);
  answer_cancelled (&cancelled);
  plug_wait (&plug);

  sync_async (fixture, NULL, &sync);
  g_assert_false (answer_is_there (&sync));
  end (&self, "persist");
  answer_ok (&sync);
  g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_SYNC_PERSISTED, NULL), ==, 1);
}

static void
test_untrack (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  Answer answer = { 0 };
  g_auto (Runner) self = { 0 };

  begin_persist (&self, fixture);
  bs_backing_store_untrack_path_async (fixture->store, fixture->tracked, G_PRIORITY_DEFAULT, NULL,
                                       answer_cb, &answer);
  g_assert_false (answer_is_there (&answer));
  g_assert_false (bs_item_persist (self.item, fixture->tracked, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_CLOSED);
  g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_RELEASE_PATH, NULL), ==, 0);
  end (&self, NULL);
  answer_ok (&answer);
}

static void
test_finished (Fixture *fixture, gconstpointer data)
{
  BsTaskTracker *tracker = bs_backing_store_get_task_tracker (fixture->store);
  Answer finished = { 0 };
  g_auto (Runner) self = { 0 };

  begin_persist (&self, fixture);
  g_assert_cmpuint (bs_task_tracker_get_n_tasks (tracker), ==, 1);
  bs_backing_store_wait_finished_async (fixture->store, G_PRIORITY_DEFAULT, NULL, answer_cb,
                                        &finished);
  g_assert_false (answer_is_there (&finished));
  gate_backing_release_all (fixture->gates);
  blocking_ok (&self.call);
  answer_ok (&finished);
  g_assert_cmpuint (bs_task_tracker_get_n_tasks (tracker), ==, 0);
  bs_task_tracker_reopen (tracker);
}

static void
test_close (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  Answer closed = { 0 };
  g_auto (Runner) self = { 0 };

  begin_persist (&self, fixture);
  bs_backing_store_close_async (fixture->store, G_PRIORITY_DEFAULT, NULL, answer_cb, &closed);
  g_assert_false (answer_is_there (&closed));
  g_assert_false (bs_item_persist (self.item, fixture->tracked, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_CLOSED);
  g_assert_false (gate_backing_is_closed (fixture->gates));
  gate_backing_release_all (fixture->gates);
  blocking_ok (&self.call);
  answer_ok (&closed);
  g_assert_true (gate_backing_is_closed (fixture->gates));
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);

  test_add ("/interleavings/blocking/nobody", test_nobody);
  test_add ("/interleavings/blocking/same", test_same);
  test_add ("/interleavings/blocking/opposite", test_opposite);
  test_add ("/interleavings/blocking/opposite-blocking", test_opposite_blocking);
  test_add ("/interleavings/blocking/register", test_register);
  test_add ("/interleavings/blocking/load", test_load);
  test_add_bulk ("/interleavings/blocking/bulk-delete", test_bulk_delete);
  test_add_bulk ("/interleavings/blocking/bulk-register", test_bulk_register);
  test_add ("/interleavings/blocking/last-drop", test_last_drop);
  test_add ("/interleavings/blocking/last-drops", test_last_drops);
  test_add ("/interleavings/blocking/save", test_save);
  test_add ("/interleavings/blocking/neighbour", test_neighbour);
  test_add ("/interleavings/blocking/failure", test_failure);
  test_add ("/interleavings/blocking/sync", test_sync);
  test_add ("/interleavings/blocking/sync-behind-many", test_sync_behind_many);
  test_add ("/interleavings/blocking/sync-cancelled-while-looking",
            test_sync_cancelled_while_looking);
  test_add ("/interleavings/blocking/untrack", test_untrack);
  test_add ("/interleavings/blocking/finished", test_finished);
  test_add ("/interleavings/blocking/close", test_close);

  return g_test_run ();
}
