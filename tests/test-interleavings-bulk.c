/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "store-fixture.h"

/* Interleavings of bulk calls, with a backing that has them and one that has not. */

#define N_KEYS 40

static void
put_keys (Fixture *fixture, char *keys[N_KEYS], BsKeySet *set)
{
  for (guint i = 0; i < N_KEYS; i++)
    {
      g_autoptr (BsItem) item = insert_persisted (fixture, "a");

      keys[i] = bs_item_dup_key (item);
      bs_key_set_add (set, keys[i], NULL);
    }
  settle (fixture);
  gate_backing_reset_log (fixture->gates);
}

static void
free_keys (char *keys[N_KEYS])
{
  for (guint i = 0; i < N_KEYS; i++)
    g_free (keys[i]);
}

static guint
count_deleted (Fixture *fixture, char *keys[N_KEYS])
{
  guint n = 0;

  for (guint i = 0; i < N_KEYS; i++)
    {
      gboolean there = gate_backing_has_persisted (fixture->gates, fixture->file, keys[i]);

      g_assert_cmpint (there, ==, bs_tracked_path_contains_key (fixture->tracked, keys[i]));
      n += !there;
    }
  return n;
}

#define bulk_async(fixture, keys, cancellable, answer)                                             \
  bs_backing_store_delete_persisted_keys_async ((fixture)->store, (fixture)->tracked, keys,        \
                                                G_PRIORITY_DEFAULT, cancellable, answer_cb,        \
                                                answer)

/* The key that a bulk comes to last is busy while the bulk is at the others,
 * and the other way round for another bulk. */
static void
test_crossing (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsKeySet) set = bs_key_set_new ();
  char *keys[N_KEYS];
  Answer bulks[2] = { 0 }, all = { 0 };
  g_autoptr (GListModel) model = NULL;

  put_keys (fixture, keys, set);
  gate_backing_hold (fixture->gates, BS_OPERATION_DELETE_PERSISTED, NULL, GATE_BEFORE);
  gate_backing_hold (fixture->gates, BS_OPERATION_DELETE_PERSISTED_KEYS, NULL, GATE_BEFORE);
  bulk_async (fixture, set, NULL, &bulks[0]);
  bulk_async (fixture, set, NULL, &bulks[1]);
  bs_pool_register_all_async (fixture->pool, fixture->tracked, G_PRIORITY_DEFAULT, NULL, answer_cb,
                              &all);
  gate_backing_release_all (fixture->gates);
  answer_ok (&bulks[0]);
  answer_ok (&bulks[1]);
  model = answer_pointer (&all);
  g_clear_object (&model);
  g_assert_cmpuint (count_deleted (fixture, keys), ==, N_KEYS);
  g_assert_cmpuint (bs_tracked_path_get_n_keys (fixture->tracked), ==, 0);
  settle (fixture);
  for (guint i = 0; i < N_KEYS; i++)
    {
      g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_DELETE_PERSISTED,
                                            keys[i]) +
                          gate_backing_count (fixture->gates, BS_OPERATION_DELETE_PERSISTED_KEYS,
                                              keys[i]),
                        ==, 1);
      g_assert_true (is_forgotten (fixture->store, keys[i]));
    }
  free_keys (keys);
}

typedef struct
{
  Fixture *fixture;
  BsKeySet *set;
  gboolean success;
} Crosser;

static gpointer
cross (gpointer data)
{
  Crosser *self = data;

  self->success =
    bs_backing_store_delete_persisted_keys (self->fixture->store, self->fixture->tracked, self->set,
                                            NULL, NULL);
  return NULL;
}

static void
test_crossing_blocking (Fixture *fixture, gconstpointer data)
{
  for (guint i = 0; i < 20; i++)
    {
      g_autoptr (BsKeySet) set = bs_key_set_new ();
      char *keys[N_KEYS];
      Crosser crossers[4];
      GThread *threads[4];

      put_keys (fixture, keys, set);
      for (guint j = 0; j < 4; j++)
        {
          crossers[j].fixture = fixture;
          crossers[j].set = bs_key_set_new ();
          for (guint k = 0; k < N_KEYS; k++)
            if ((k + j) % 4 != 0)
              bs_key_set_add (crossers[j].set, keys[k], NULL);
        }
      for (guint j = 0; j < 4; j++)
        threads[j] = g_thread_new ("bulk", cross, &crossers[j]);
      for (guint j = 0; j < 4; j++)
        {
          g_thread_join (threads[j]);
          g_assert_true (crossers[j].success);
          g_object_unref (crossers[j].set);
        }
      g_assert_cmpuint (count_deleted (fixture, keys), ==, N_KEYS);
      free_keys (keys);
    }
}

/* Holds a bulk at a key in the middle of it, or as a whole. Returns which key. */
static const char *
hold_bulk (Fixture *fixture, char *keys[N_KEYS])
{
  const char *key = keys[N_KEYS / 2];

  gate_backing_hold (fixture->gates, BS_OPERATION_DELETE_PERSISTED, key, GATE_BEFORE);
  return key;
}

static void
test_then_single (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsKeySet) set = bs_key_set_new ();
  g_autoptr (BsItem) item = NULL;
  char *keys[N_KEYS];
  Answer bulk = { 0 }, same = { 0 }, opposite = { 0 };
  const char *key;

  put_keys (fixture, keys, set);
  key = hold_bulk (fixture, keys);
  item = bs_pool_register (fixture->pool, fixture->tracked, key, NULL, NULL);
  /* One call a key, whatever the backing has. */
  gate_backing_fail (fixture->gates, BS_OPERATION_DELETE_PERSISTED_KEYS, NULL, GATE_BEFORE, 0,
                     G_IO_ERROR_FAILED);
  gate_backing_reset_log (fixture->gates);
  bulk_async (fixture, set, NULL, &bulk);
  gate_backing_wait_held (fixture->gates, BS_OPERATION_DELETE_PERSISTED, key, GATE_BEFORE, 1);
  /* An equal operation joins, the opposite waits. */
  delete_async (fixture, key, NULL, &same);
  persist_async (fixture, item, NULL, &opposite);
  gate_backing_release_all (fixture->gates);

  answer_ok (&same);
  answer_ok (&opposite);
  answer_ok (&bulk);
  g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_DELETE_PERSISTED, key), ==, 1);
  g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_PERSIST, key), ==, 1);
  g_assert_true (bs_tracked_path_contains_key (fixture->tracked, key));
  g_assert_cmpuint (count_deleted (fixture, keys), ==, N_KEYS - 1);
  free_keys (keys);
}

/* Starts a bulk and holds it at its first key. Returns which key. */
static const char *
start_bulk (Fixture *fixture,
            char *keys[N_KEYS],
            BsKeySet *set,
            GCancellable *cancellable,
            Answer *answer)
{
  const char *key = NULL;

  gate_backing_hold (fixture->gates, BS_OPERATION_DELETE_PERSISTED, NULL, GATE_BEFORE);
  /* One call a key, whatever the backing has. */
  gate_backing_fail (fixture->gates, BS_OPERATION_DELETE_PERSISTED_KEYS, NULL, GATE_BEFORE, 0,
                     G_IO_ERROR_FAILED);
  gate_backing_reset_log (fixture->gates);
  bulk_async (fixture, set, cancellable, answer);
  gate_backing_wait_held (fixture->gates, BS_OPERATION_DELETE_PERSISTED, NULL, GATE_BEFORE, 1);
  for (guint i = 0; i < N_KEYS; i++)
    if (gate_backing_count (fixture->gates, BS_OPERATION_DELETE_PERSISTED, keys[i]) == 1)
      key = keys[i];

  return key;
}

/* A bulk is left while another waits for one of its keys: that one never notices. */
static void
test_cancelled_with_a_joiner (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (BsKeySet) set = bs_key_set_new ();
  char *keys[N_KEYS];
  Answer bulk = { 0 }, same = { 0 }, sync = { 0 };
  const char *key;

  put_keys (fixture, keys, set);
  key = start_bulk (fixture, keys, set, cancellable, &bulk);
  delete_async (fixture, key, NULL, &same);
  sync_async (fixture, NULL, &sync);
  g_cancellable_cancel (cancellable);
  /* The backing gives up that call; the store asks it again for the one who stayed. */
  gate_backing_release_all (fixture->gates);
  answer_ok (&same);
  g_assert_false (gate_backing_has_persisted (fixture->gates, fixture->file, key));
  answer_cancelled (&bulk);
  answer_ok (&sync);
  g_assert_true (gate_backing_is_durable (fixture->gates, fixture->file, key));
  settle (fixture);
  free_keys (keys);
}

/* A sync waits for a part that another has joined, also when the bulk is left. */
static void
test_sync_awaits_joined (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (BsItem) later = insert (fixture, "later");
  g_autoptr (BsKeySet) set = bs_key_set_new ();
  char *keys[N_KEYS];
  Answer bulk = { 0 }, same = { 0 }, sync = { 0 }, after = { 0 };
  const char *key;

  bs_backing_store_set_max_threads (fixture->store, 2);
  put_keys (fixture, keys, set);
  key = start_bulk (fixture, keys, set, cancellable, &bulk);
  delete_async (fixture, key, NULL, &same);
  sync_async (fixture, NULL, &sync);
  g_cancellable_cancel (cancellable);
  /* The call is made again. */
  spin_until (gate_backing_count (fixture->gates, BS_OPERATION_DELETE_PERSISTED, key) == 2);

  /* The other thread does this, and would have done the sync before. */
  bs_item_write_async (later, G_PRIORITY_DEFAULT, NULL, answer_cb, &after);
  answer_ok (&after);
  g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_SYNC_PERSISTED, NULL), ==, 0);
  g_assert_cmpint (same.n_calls, ==, 0);

  gate_backing_release_all (fixture->gates);
  answer_ok (&same);
  answer_ok (&sync);
  g_assert_true (gate_backing_is_durable (fixture->gates, fixture->file, key));
  answer_cancelled (&bulk);
  free_keys (keys);
}

static void
test_cancelled (Fixture *fixture, gconstpointer data)
{
  for (guint i = 0; i < 3; i++)
    {
      g_autoptr (GCancellable) cancellable = g_cancellable_new ();
      g_autoptr (BsKeySet) set = bs_key_set_new ();
      g_autoptr (GError) error = NULL;
      char *keys[N_KEYS];
      Answer bulk = { 0 };
      Plug plug = { 0 };

      put_keys (fixture, keys, set);
      if (i == 0)
        {
          /* Before its turn. */
          plug_in (&plug, fixture);
          bulk_async (fixture, set, cancellable, &bulk);
          g_cancellable_cancel (cancellable);
          answer_cancelled (&bulk);
          plug_out (&plug, fixture);
          g_assert_cmpuint (count_deleted (fixture, keys), ==, 0);
        }
      else
        {
          gate_backing_hold (fixture->gates, BS_OPERATION_DELETE_PERSISTED, NULL, GATE_BEFORE);
          gate_backing_fail (fixture->gates, BS_OPERATION_DELETE_PERSISTED_KEYS, NULL, GATE_BEFORE,
                             0, G_IO_ERROR_FAILED);
          gate_backing_set_stubborn (fixture->gates, i == 2);
          bulk_async (fixture, set, cancellable, &bulk);
          gate_backing_wait_held (fixture->gates, BS_OPERATION_DELETE_PERSISTED, NULL, GATE_BEFORE,
                                  1);
          g_cancellable_cancel (cancellable);
          gate_backing_release_all (fixture->gates);
          error = answer_dup_error (&bulk);
          g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
          g_assert_nonnull (strstr (error->message, i == 1 ? "0 of 40" : "1 of 40"));
          g_assert_nonnull (strstr (error->message, "gate:///path"));
          g_assert_cmpuint (count_deleted (fixture, keys), ==, i == 1 ? 0 : 1);
          gate_backing_clear (fixture->gates);
          gate_backing_set_stubborn (fixture->gates, FALSE);
        }

      /* The remaining keys can still be deleted. */
      bulk_async (fixture, set, NULL, &bulk);
      answer_ok (&bulk);
      g_assert_cmpuint (count_deleted (fixture, keys), ==, N_KEYS);
      free_keys (keys);
    }
}

/* A busy key's part waits on its strand when the bulk is left. */
static void
test_cancelled_with_busy_key (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (BsKeySet) set = bs_key_set_new ();
  g_autoptr (BsItem) item = NULL;
  char *keys[N_KEYS];
  Answer bulk = { 0 }, registered = { 0 };
  guint n_deleted;

  bs_backing_store_set_max_threads (fixture->store, 2);
  put_keys (fixture, keys, set);
  ask_held (fixture, BS_OPERATION_REGISTER_KEY, keys[3],
            register_async (fixture, keys[3], NULL, &registered));
  bulk_async (fixture, set, cancellable, &bulk);
  spin_until ((n_deleted = bs_tracked_path_get_n_keys (fixture->tracked)) == 1);
  g_assert_false (answer_is_there (&bulk));
  g_cancellable_cancel (cancellable);
  answer_cancelled (&bulk);
  gate_backing_release_all (fixture->gates);
  item = answer_pointer (&registered);
  settle (fixture);
  g_assert_true (bs_tracked_path_contains_key (fixture->tracked, keys[3]));
  g_assert_cmpuint (count_deleted (fixture, keys), ==, N_KEYS - 1);
  free_keys (keys);
}

static void
test_fails_midway (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsKeySet) set = bs_key_set_new ();
  g_autoptr (GError) error = NULL;
  char *keys[N_KEYS];
  Answer bulk = { 0 };

  put_keys (fixture, keys, set);
  /* One key can't be deleted; so a bulk call fails too, after some of its effect. */
  gate_backing_fail (fixture->gates, BS_OPERATION_DELETE_PERSISTED_KEYS, NULL, GATE_AFTER, 0,
                     G_IO_ERROR_FAILED);
  gate_backing_fail (fixture->gates, BS_OPERATION_DELETE_PERSISTED, keys[7], GATE_BEFORE, 0,
                     G_IO_ERROR_BUSY);
  bulk_async (fixture, set, NULL, &bulk);
  error = answer_dup_error (&bulk);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_BUSY);
  g_assert_nonnull (strstr (error->message, "39 of 40"));
  g_assert_nonnull (strstr (error->message, keys[7]));
  g_assert_nonnull (strstr (error->message, "gate:///path"));
  for (guint i = 0; i < N_KEYS; i++)
    g_assert_cmpint (bs_tracked_path_contains_key (fixture->tracked, keys[i]), ==, i == 7);

  gate_backing_clear (fixture->gates);
  bulk_async (fixture, set, NULL, &bulk);
  answer_ok (&bulk);
  g_assert_cmpuint (count_deleted (fixture, keys), ==, N_KEYS);
  free_keys (keys);
}

static void
test_register_all_fails (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsKeySet) set = bs_key_set_new ();
  g_autoptr (GListModel) model = NULL;
  g_autoptr (GError) error = NULL;
  char *keys[N_KEYS];

  put_keys (fixture, keys, set);
  gate_backing_fail (fixture->gates, BS_OPERATION_REGISTER_KEYS, NULL, GATE_BEFORE, 0,
                     G_IO_ERROR_FAILED);
  gate_backing_fail (fixture->gates, BS_OPERATION_REGISTER_KEY, keys[7], GATE_BEFORE, 0,
                     G_IO_ERROR_BUSY);
  model = bs_pool_register_all (fixture->pool, fixture->tracked, NULL, &error);
  g_assert_null (model);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_BUSY);
  g_assert_nonnull (strstr (error->message, "39 of 40"));
  g_clear_error (&error);
  settle (fixture);
  /* Registered keys are let go again. */
  g_assert_cmpuint (gate_backing_get_n_primary (fixture->gates), ==, 0);

  gate_backing_clear (fixture->gates);
  model = bs_pool_register_all (fixture->pool, fixture->tracked, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (g_list_model_get_n_items (model), ==, N_KEYS);
  g_assert_cmpuint (gate_backing_get_n_primary (fixture->gates), ==, N_KEYS);
  g_clear_object (&model);
  settle (fixture);
  g_assert_cmpuint (gate_backing_get_n_primary (fixture->gates), ==, 0);
  free_keys (keys);
}

static void
test_sync_after (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsKeySet) set = bs_key_set_new ();
  g_autoptr (BsItem) item = NULL;
  char *keys[N_KEYS];
  Answer bulk = { 0 }, sync = { 0 }, registered = { 0 };

  bs_backing_store_set_max_threads (fixture->store, 2);
  put_keys (fixture, keys, set);
  ask_held (fixture, BS_OPERATION_REGISTER_KEY, keys[3],
            register_async (fixture, keys[3], NULL, &registered));
  bulk_async (fixture, set, NULL, &bulk);
  sync_async (fixture, NULL, &sync);
  spin_until (bs_tracked_path_get_n_keys (fixture->tracked) == 1);
  g_assert_false (answer_is_there (&sync));
  gate_backing_release_all (fixture->gates);
  answer_ok (&sync);
  g_assert_cmpuint (count_deleted (fixture, keys), ==, N_KEYS);
  for (guint i = 0; i < N_KEYS; i++)
    g_assert_true (gate_backing_is_durable (fixture->gates, fixture->file, keys[i]));
  answer_ok (&bulk);
  item = answer_pointer (&registered);
  free_keys (keys);
}

/* The pool drops many at once; some of them are registered again meanwhile. */
static void
test_drop_all (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsKeySet) set = bs_key_set_new ();
  g_autoptr (GListModel) model = NULL;
  g_autoptr (BsItem) item = NULL;
  char *keys[N_KEYS];
  Answer registered = { 0 };
  Plug plug = { 0 };

  put_keys (fixture, keys, set);
  model = bs_pool_register_all (fixture->pool, fixture->tracked, NULL, NULL);
  g_assert_cmpuint (g_list_model_get_n_items (model), ==, N_KEYS);
  plug_in (&plug, fixture);
  g_clear_object (&model);
  register_async (fixture, keys[5], NULL, &registered);
  plug_out (&plug, fixture);
  item = answer_pointer (&registered);
  settle (fixture);
  g_assert_cmpuint (gate_backing_get_n_primary (fixture->gates), ==, 1);
  assert_content (item, "a");
  free_keys (keys);
}

/* One key's item is asked for while a bulk registers that key: it joins, and keeps the
 * blob when the list of the bulk goes. */
static void
test_single_joins_register_all (Fixture *fixture, gconstpointer data)
{
  g_autofree char *key = put_key (fixture, "a");
  g_autoptr (GListModel) model = NULL;
  g_autoptr (BsItem) item = NULL;
  Answer all = { 0 }, one = { 0 };

  ask_held (fixture, BS_OPERATION_REGISTER_KEY, key,
            bs_pool_register_all_async (fixture->pool, fixture->tracked, G_PRIORITY_DEFAULT, NULL,
                                        answer_cb, &all));
  register_async (fixture, key, NULL, &one);
  gate_backing_release (fixture->gates, BS_OPERATION_REGISTER_KEY, key, GATE_BEFORE);
  model = answer_pointer (&all);
  item = answer_pointer (&one);
  g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_REGISTER_KEY, key), ==, 1);

  g_clear_object (&model);
  settle (fixture);
  g_assert_true (gate_backing_has_primary (fixture->gates, key));
  assert_content (item, "a");
  g_clear_object (&item);
  settle (fixture);
  g_assert_false (gate_backing_has_primary (fixture->gates, key));
}

static void
count_report_cb (BsBackingStore *store,
                 const char *key,
                 BsOperation operation,
                 GError *error,
                 gpointer data)
{
  BsKeySet *reported = data;

  g_assert_cmpint (operation, ==, BS_OPERATION_DELETE_KEY);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_BUSY);
  g_assert_true (bs_key_set_add (reported, key, NULL));
}

/* A list of items is dropped, and none of the blobs can be deleted: each is reported,
 * and can be used as ever. */
static void
test_drop_all_fails (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsKeySet) set = bs_key_set_new ();
  g_autoptr (BsKeySet) reported = bs_key_set_new ();
  g_autoptr (GListModel) model = NULL;
  Answer all = { 0 };
  char *keys[N_KEYS];

  put_keys (fixture, keys, set);
  g_signal_connect (fixture->store, "background-error", G_CALLBACK (count_report_cb), reported);
  bs_pool_register_all_async (fixture->pool, fixture->tracked, G_PRIORITY_DEFAULT, NULL, answer_cb,
                              &all);
  model = answer_pointer (&all);
  gate_backing_fail (fixture->gates, BS_OPERATION_DELETE_KEY, NULL, GATE_BEFORE, 0,
                     G_IO_ERROR_BUSY);
  g_clear_object (&model);
  wait_until (bs_key_set_get_n_keys (reported) == N_KEYS);
  settle (fixture);
  g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_DELETE_KEY, NULL), ==, N_KEYS);

  gate_backing_clear (fixture->gates);
  for (guint i = 0; i < N_KEYS; i++)
    {
      g_autoptr (BsItem) item = NULL;
      g_autoptr (GError) error = NULL;

      g_assert_true (bs_key_set_contains_key (reported, keys[i]));
      item = bs_pool_register (fixture->pool, fixture->tracked, keys[i], NULL, &error);
      g_assert_no_error (error);
      assert_content (item, "a");
    }
  settle (fixture);
  g_assert_cmpuint (gate_backing_get_n_primary (fixture->gates), ==, 0);
  g_signal_handlers_disconnect_by_data (fixture->store, reported);
  free_keys (keys);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);

  test_add_bulk ("/interleavings/bulk/crossing", test_crossing);
  test_add_bulk ("/interleavings/bulk/crossing-blocking", test_crossing_blocking);
  test_add_bulk ("/interleavings/bulk/then-single", test_then_single);
  test_add_bulk ("/interleavings/bulk/cancelled", test_cancelled);
  test_add_bulk ("/interleavings/bulk/cancelled-with-joiner", test_cancelled_with_a_joiner);
  test_add_bulk ("/interleavings/bulk/sync-awaits-joined", test_sync_awaits_joined);
  test_add_bulk ("/interleavings/bulk/cancelled-with-busy-key", test_cancelled_with_busy_key);
  test_add_bulk ("/interleavings/bulk/fails-midway", test_fails_midway);
  test_add_bulk ("/interleavings/bulk/register-all-fails", test_register_all_fails);
  test_add_bulk ("/interleavings/bulk/sync-after", test_sync_after);
  test_add_bulk ("/interleavings/bulk/drop-all", test_drop_all);
  test_add_bulk ("/interleavings/bulk/drop-all-fails", test_drop_all_fails);
  test_add_bulk ("/interleavings/bulk/single-joins-register-all", test_single_joins_register_all);

  return g_test_run ();
}
