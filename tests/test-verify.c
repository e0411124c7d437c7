/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "store-fixture.h"

/* Verifications, beside everything else that may happen at the path. */

#define N_KEYS 40

#define VERIFY BS_OPERATION_VERIFY_PERSISTED

typedef struct
{
  GFile *file;
  BsTrackedPath *tracked;
  char *keys[N_KEYS];
} Place;

/* A path with keys that nobody holds. */
static void
place_set_up (Place *place, Fixture *fixture)
{
  place->file = g_file_new_for_uri ("gate:///verified");
  for (guint i = 0; i < N_KEYS; i++)
    {
      place->keys[i] = bs_key_generate ();
      gate_backing_put_persisted (fixture->gates, place->file, place->keys[i], "a");
    }
  place->tracked = track (fixture, place->file);
  gate_backing_reset_log (fixture->gates);
}

static void
place_clear (Place *place)
{
  for (guint i = 0; i < N_KEYS; i++)
    g_free (place->keys[i]);
  g_clear_object (&place->tracked);
  g_clear_object (&place->file);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Place, place_clear)

static void
run_async (BsVerify *verify, GCancellable *cancellable, Answer *answer)
{
  bs_verify_run_async (verify, G_PRIORITY_DEFAULT, cancellable, answer_cb, answer);
}

static void
run_ok (BsVerify *verify)
{
  Answer answer = { 0 };

  run_async (verify, NULL, &answer);
  answer_ok (&answer);
}

static void
assert_figures (BsVerify *verify, guint64 n_total, guint64 n_done, guint64 n_bad)
{
  g_autoptr (BsKeySet) bad = bs_verify_dup_bad_keys (verify);

  g_assert_cmpuint (bs_verify_get_n_total (verify), ==, n_total);
  g_assert_cmpuint (bs_verify_get_n_done (verify), ==, n_done);
  g_assert_cmpuint (bs_verify_get_n_bad (verify), ==, n_bad);
  g_assert_cmpuint (bs_key_set_get_n_keys (bad), ==, n_bad);
}

static gboolean
is_bad (BsVerify *verify, const char *key)
{
  g_autoptr (BsKeySet) bad = bs_verify_dup_bad_keys (verify);

  return bs_key_set_contains_key (bad, key);
}

static guint
count_checks (Fixture *fixture)
{
  return gate_backing_count (fixture->gates, VERIFY, NULL);
}

/* One whose check was or was not called. */
static const char *
find_key (Fixture *fixture, Place *place, gboolean called)
{
  for (guint i = 0; i < N_KEYS; i++)
    if ((gate_backing_count (fixture->gates, VERIFY, place->keys[i]) > 0) == called)
      return place->keys[i];

  g_assert_not_reached ();
}

static void
test_good (Fixture *fixture, gconstpointer data)
{
  g_auto (Place) place = { NULL };
  g_autoptr (BsVerify) verify = NULL;

  place_set_up (&place, fixture);
  verify = bs_verify_new (fixture->store, place.tracked);
  g_assert_true (bs_verify_get_store (verify) == fixture->store);
  g_assert_true (bs_verify_get_tracked (verify) == place.tracked);
  assert_figures (verify, 0, 0, 0);
  g_assert_cmpfloat (bs_verify_get_fraction (verify), <=, 0.0);

  for (guint i = 1; i < 3; i++)
    {
      run_ok (verify);
      assert_figures (verify, N_KEYS, N_KEYS, 0);
      g_assert_cmpfloat (bs_verify_get_fraction (verify), >=, 1.0);
      for (guint j = 0; j < N_KEYS; j++)
        g_assert_cmpuint (gate_backing_count (fixture->gates, VERIFY, place.keys[j]), ==, i);
    }
  g_assert_cmpuint (gate_backing_get_max_parallel (fixture->gates), <=, fixture->n_threads);
  g_assert_cmpuint (bs_tracked_path_get_n_keys (place.tracked), ==, N_KEYS);
  settle (fixture);
  for (guint j = 0; j < N_KEYS; j++)
    g_assert_true (is_forgotten (fixture->store, place.keys[j]));
}

static void
test_empty (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsVerify) verify = bs_verify_new (fixture->store, fixture->tracked);

  run_ok (verify);
  assert_figures (verify, 0, 0, 0);
  g_assert_cmpfloat (bs_verify_get_fraction (verify), >=, 1.0);
}

static void
test_bad (Fixture *fixture, gconstpointer data)
{
  g_auto (Place) place = { NULL };
  g_autoptr (BsVerify) verify = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (BsItem) item = NULL;

  place_set_up (&place, fixture);
  item = bs_pool_register (fixture->pool, place.tracked, place.keys[3], NULL, &error);
  g_assert_no_error (error);
  gate_backing_spoil (fixture->gates, place.file, place.keys[3]);
  gate_backing_spoil (fixture->gates, place.file, place.keys[17]);
  gate_backing_lose_persisted (fixture->gates, place.file, place.keys[20]);
  verify = bs_verify_new (fixture->store, place.tracked);
  run_ok (verify);

  assert_figures (verify, N_KEYS, N_KEYS, 3);
  for (guint i = 0; i < N_KEYS; i++)
    {
      gboolean bad = i == 3 || i == 17 || i == 20;

      g_assert_cmpint (is_bad (verify, place.keys[i]), ==, bad);
      g_assert_cmpint (bs_tracked_path_contains_key (place.tracked, place.keys[i]), ==, !bad);
    }
  g_assert_cmpuint (bs_tracked_path_get_n_keys (place.tracked), ==, N_KEYS - 3);
  g_assert_null (bs_pool_register (fixture->pool, place.tracked, place.keys[17], NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_NOT_FOUND);
  g_clear_error (&error);

  /* A blob set aside is made durable like any other change. */
  g_assert_false (gate_backing_is_durable (fixture->gates, place.file, place.keys[17]));
  bs_backing_store_sync (fixture->store, place.tracked, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (gate_backing_is_durable (fixture->gates, place.file, place.keys[17]));

  /* A pool that still has the content puts it back; the next verification finds nothing. */
  bs_item_persist (item, place.tracked, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (gate_backing_has_persisted (fixture->gates, place.file, place.keys[3]));
  run_ok (verify);
  assert_figures (verify, N_KEYS - 2, N_KEYS - 2, 0);
}

static void
test_impossible (Fixture *fixture, gconstpointer data)
{
  g_auto (Place) place = { NULL };
  g_autoptr (BsVerify) verify = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (BsItem) item = NULL;
  Answer answer = { 0 };

  place_set_up (&place, fixture);
  gate_backing_fail (fixture->gates, VERIFY, place.keys[5], GATE_BEFORE, 1,
                     G_IO_ERROR_PERMISSION_DENIED);
  gate_backing_fail (fixture->gates, VERIFY, place.keys[6], GATE_AFTER, 1,
                     G_IO_ERROR_PERMISSION_DENIED);
  gate_backing_spoil (fixture->gates, place.file, place.keys[7]);
  verify = bs_verify_new (fixture->store, place.tracked);
  run_async (verify, NULL, &answer);
  error = answer_dup_error (&answer);

  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);
  g_assert_nonnull (strstr (error->message, "2 of 40 keys"));
  g_assert_nonnull (strstr (error->message, "gate:///verified"));
  g_assert_true (strstr (error->message, place.keys[5]) != NULL ||
                 strstr (error->message, place.keys[6]) != NULL);
  g_clear_error (&error);
  assert_figures (verify, N_KEYS, N_KEYS, 1);
  g_assert_cmpuint (count_checks (fixture), ==, N_KEYS);
  g_assert_true (bs_tracked_path_contains_key (place.tracked, place.keys[5]));

  /* Nobody knows what the backing has done: it is asked again. */
  item = bs_pool_register (fixture->pool, place.tracked, place.keys[5], NULL, &error);
  g_assert_no_error (error);
  bs_item_persist (item, place.tracked, NULL, &error);
  g_assert_no_error (error);
  run_ok (verify);
  assert_figures (verify, N_KEYS - 1, N_KEYS - 1, 0);
}

/* However many keys there are, few checks are asked for at a time. */
static void
test_bounded (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GFile) file = g_file_new_for_uri ("gate:///many");
  g_autoptr (BsTrackedPath) tracked = NULL;
  g_autoptr (BsVerify) verify = NULL;
  guint n_keys = 1500, n_queues = 0;
  Answer answer = { 0 };

  for (guint i = 0; i < n_keys; i++)
    {
      g_autofree char *key = bs_key_generate ();

      gate_backing_put_persisted (fixture->gates, file, key, "a");
      if (i % 3 == 0)
        gate_backing_spoil (fixture->gates, file, key);
    }
  tracked = track (fixture, file);
  verify = bs_verify_new (fixture->store, tracked);
  gate_backing_reset_log (fixture->gates);
  gate_backing_hold (fixture->gates, VERIFY, NULL, GATE_BEFORE);
  run_async (verify, NULL, &answer);
  gate_backing_wait_held (fixture->gates, VERIFY, NULL, GATE_BEFORE, fixture->n_threads);
  for (guint i = 0; i < BS_N_SHARDS; i++)
    {
      g_mutex_lock (&fixture->store->shards[i].mutex);
      n_queues += fixture->store->shards[i].n_queues;
      g_mutex_unlock (&fixture->store->shards[i].mutex);
    }
  g_assert_cmpuint (n_queues, ==, fixture->n_threads);
  g_assert_cmpuint (bs_task_tracker_get_n_tasks (
                      bs_backing_store_get_task_tracker (fixture->store)),
                    ==, 1 + fixture->n_threads);
  gate_backing_release (fixture->gates, VERIFY, NULL, GATE_BEFORE);
  answer_ok (&answer);

  assert_figures (verify, n_keys, n_keys, n_keys / 3);
  g_assert_cmpuint (bs_tracked_path_get_n_keys (tracked), ==, n_keys - n_keys / 3);
  g_assert_cmpuint (gate_backing_get_max_parallel (fixture->gates), ==, fixture->n_threads);
  settle (fixture);
}

/* In turn with what else is asked of a key. */
static void
test_beside_others (Fixture *fixture, gconstpointer data)
{
  g_auto (Place) place = { NULL };
  g_autoptr (BsVerify) verify = NULL;
  g_autoptr (BsItem) item = NULL;
  Answer run = { 0 }, delete = { 0 }, persist = { 0 }, registered = { 0 };
  g_autofree char *log = NULL;
  const char *key;

  place_set_up (&place, fixture);
  verify = bs_verify_new (fixture->store, place.tracked);
  gate_backing_hold (fixture->gates, VERIFY, NULL, GATE_BEFORE);
  run_async (verify, NULL, &run);
  gate_backing_wait_held (fixture->gates, VERIFY, NULL, GATE_BEFORE, fixture->n_threads);
  key = find_key (fixture, &place, TRUE);
  bs_pool_register_async (fixture->pool, place.tracked, key, G_PRIORITY_DEFAULT, NULL, answer_cb,
                          &registered);
  bs_backing_store_delete_persisted_async (fixture->store, place.tracked, key, G_PRIORITY_DEFAULT,
                                           NULL, answer_cb, &delete);
  g_assert_false (answer_is_there (&delete));
  gate_backing_release (fixture->gates, VERIFY, NULL, GATE_BEFORE);
  item = answer_pointer (&registered);
  answer_ok (&delete);
  answer_ok (&run);
  assert_log (fixture, key, "verify_persisted register_key delete_persisted");
  assert_figures (verify, N_KEYS, N_KEYS, 0);

  /* The check would find nothing behind the deletion, but the persist. */
  bs_item_persist_async (item, place.tracked, G_PRIORITY_DEFAULT, NULL, answer_cb, &persist);
  answer_ok (&persist);
  gate_backing_reset_log (fixture->gates);
  gate_backing_hold (fixture->gates, BS_OPERATION_DELETE_PERSISTED, key, GATE_AFTER);
  bs_backing_store_set_max_threads (fixture->store, 3);
  bs_backing_store_delete_persisted_async (fixture->store, place.tracked, key, G_PRIORITY_DEFAULT,
                                           NULL, answer_cb, &delete);
  gate_backing_wait_held (fixture->gates, BS_OPERATION_DELETE_PERSISTED, key, GATE_AFTER, 1);
  run_async (verify, NULL, &run);
  wait_until (bs_verify_get_n_done (verify) == N_KEYS - 1);
  g_assert_cmpuint (count_callers (fixture->store, key), ==, 2);
  gate_backing_release (fixture->gates, BS_OPERATION_DELETE_PERSISTED, key, GATE_AFTER);
  answer_ok (&delete);
  answer_ok (&run);
  assert_log (fixture, key, "delete_persisted");
  assert_figures (verify, N_KEYS, N_KEYS, 0);
}

/* A persist behind the check of a bad blob puts it back. */
static void
test_persist_behind_bad (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsVerify) verify = bs_verify_new (fixture->store, fixture->tracked);
  g_autoptr (BsItem) item = insert_persisted (fixture, "a");
  g_autofree char *key = bs_item_dup_key (item);
  Answer run = { 0 }, persist = { 0 };

  gate_backing_spoil (fixture->gates, fixture->file, key);
  gate_backing_reset_log (fixture->gates);
  ask_held (fixture, VERIFY, key, run_async (verify, NULL, &run));
  persist_async (fixture, item, NULL, &persist);
  g_assert_false (answer_is_there (&persist));
  gate_backing_release (fixture->gates, VERIFY, key, GATE_BEFORE);
  answer_ok (&run);
  answer_ok (&persist);
  assert_log (fixture, key, "verify_persisted persist");
  g_assert_true (is_bad (verify, key));
  g_assert_true (bs_tracked_path_contains_key (fixture->tracked, key));
  g_assert_true (gate_backing_has_persisted (fixture->gates, fixture->file, key));
}

static void
test_deleted_meanwhile (Fixture *fixture, gconstpointer data)
{
  g_auto (Place) place = { NULL };
  g_autoptr (BsVerify) verify = NULL;
  g_autoptr (BsKeySet) keys = bs_key_set_new ();
  g_autoptr (GError) error = NULL;
  Answer run = { 0 };
  guint n_held = 0;

  place_set_up (&place, fixture);
  verify = bs_verify_new (fixture->store, place.tracked);
  gate_backing_hold (fixture->gates, VERIFY, NULL, GATE_BEFORE);
  run_async (verify, NULL, &run);
  gate_backing_wait_held (fixture->gates, VERIFY, NULL, GATE_BEFORE, fixture->n_threads);
  for (guint i = 0; i < N_KEYS; i++)
    if (gate_backing_count (fixture->gates, VERIFY, place.keys[i]) == 0)
      bs_key_set_add (keys, place.keys[i], NULL);
    else
      n_held++;
  bs_backing_store_delete_persisted_keys (fixture->store, place.tracked, keys, NULL, &error);
  g_assert_no_error (error);
  gate_backing_release (fixture->gates, VERIFY, NULL, GATE_BEFORE);
  answer_ok (&run);
  g_assert_cmpuint (count_checks (fixture), ==, n_held);
  g_assert_cmpuint (bs_verify_get_n_bad (verify), ==, 0);
  g_assert_cmpuint (bs_verify_get_n_done (verify), ==, bs_verify_get_n_total (verify));
  g_assert_cmpuint (bs_tracked_path_get_n_keys (place.tracked), ==, n_held);
}

/* Keys that follow one another and are all gone when it comes to them: then it
 * asks for one check after the other and nothing is ever under way. */
static void
test_all_gone (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GFile) file = g_file_new_for_uri ("gate:///shard");
  g_autoptr (BsTrackedPath) tracked = NULL;
  g_autoptr (BsVerify) verify = NULL;
  g_autoptr (BsKeySet) keys = bs_key_set_new ();
  g_autoptr (GError) error = NULL;
  Answer run = { 0 }, bulk = { 0 };
  guint n_keys = 500;

  for (guint n = 0; n < n_keys;)
    {
      g_autofree char *string = bs_key_generate ();

      if (get_shard_index (string) != 0)
        continue;
      gate_backing_put_persisted (fixture->gates, file, string, "a");
      bs_key_set_add (keys, string, NULL);
      n++;
    }
  tracked = track (fixture, file);
  verify = bs_verify_new (fixture->store, tracked);
  gate_backing_reset_log (fixture->gates);
  gate_backing_hold (fixture->gates, VERIFY, NULL, GATE_BEFORE);
  run_async (verify, NULL, &run);
  gate_backing_wait_held (fixture->gates, VERIFY, NULL, GATE_BEFORE, fixture->n_threads);
  /* Keys whose deletion is held up are deleted when they have been checked. */
  bs_backing_store_delete_persisted_keys_async (fixture->store, tracked, keys, G_PRIORITY_HIGH,
                                                NULL, answer_cb, &bulk);
  bs_backing_store_set_max_threads (fixture->store, fixture->n_threads + 1);
  wait_until (bs_tracked_path_get_n_keys (tracked) == fixture->n_threads);
  gate_backing_release (fixture->gates, VERIFY, NULL, GATE_BEFORE);
  answer_ok (&run);
  answer_ok (&bulk);
  g_assert_cmpuint (count_checks (fixture), ==, fixture->n_threads);
  assert_figures (verify, n_keys, n_keys, 0);
  g_assert_cmpuint (bs_tracked_path_get_n_keys (tracked), ==, 0);
  bs_backing_store_sync (fixture->store, tracked, NULL, &error);
  g_assert_no_error (error);
}

/* A sync waits for the checks under way, not for those to come. */
static void
test_sync_meanwhile (Fixture *fixture, gconstpointer data)
{
  g_auto (Place) place = { NULL };
  g_autoptr (BsVerify) verify = NULL;
  Answer run = { 0 }, sync = { 0 };
  const char *key;

  place_set_up (&place, fixture);
  for (guint i = 0; i < N_KEYS; i++)
    gate_backing_spoil (fixture->gates, place.file, place.keys[i]);
  verify = bs_verify_new (fixture->store, place.tracked);
  gate_backing_hold (fixture->gates, VERIFY, NULL, GATE_BEFORE);
  run_async (verify, NULL, &run);
  gate_backing_wait_held (fixture->gates, VERIFY, NULL, GATE_BEFORE, fixture->n_threads);
  key = find_key (fixture, &place, TRUE);
  bs_backing_store_sync_async (fixture->store, place.tracked, G_PRIORITY_HIGH, NULL, answer_cb,
                               &sync);
  g_assert_false (answer_is_there (&sync));

  /* The next ones stand at a gate of their own. */
  gate_backing_hold (fixture->gates, VERIFY, NULL, GATE_BEFORE);
  gate_backing_release (fixture->gates, VERIFY, NULL, GATE_BEFORE);
  answer_ok (&sync);
  g_assert_true (gate_backing_is_durable (fixture->gates, place.file, key));
  gate_backing_wait_held (fixture->gates, VERIFY, NULL, GATE_BEFORE, fixture->n_threads);
  g_assert_false (answer_is_there (&run));

  gate_backing_release (fixture->gates, VERIFY, NULL, GATE_BEFORE);
  answer_ok (&run);
  assert_figures (verify, N_KEYS, N_KEYS, N_KEYS);
  bs_backing_store_sync_async (fixture->store, place.tracked, G_PRIORITY_DEFAULT, NULL, answer_cb,
                               &sync);
  answer_ok (&sync);
  for (guint i = 0; i < N_KEYS; i++)
    g_assert_true (gate_backing_is_durable (fixture->gates, place.file, place.keys[i]));
}

static void
test_untrack_meanwhile (Fixture *fixture, gconstpointer data)
{
  g_auto (Place) place = { NULL };
  g_autoptr (BsVerify) verify = NULL;
  Answer run = { 0 }, untrack = { 0 }, late = { 0 };
  g_autofree char *log = NULL;

  place_set_up (&place, fixture);
  verify = bs_verify_new (fixture->store, place.tracked);
  gate_backing_hold (fixture->gates, VERIFY, NULL, GATE_BEFORE);
  bs_verify_run_async (verify, G_PRIORITY_LOW, NULL, answer_cb, &run);
  gate_backing_wait_held (fixture->gates, VERIFY, NULL, GATE_BEFORE, fixture->n_threads);
  bs_backing_store_untrack_path_async (fixture->store, place.tracked, G_PRIORITY_DEFAULT, NULL,
                                       answer_cb, &untrack);
  bs_backing_store_sync_async (fixture->store, place.tracked, G_PRIORITY_DEFAULT, NULL, answer_cb,
                               &late);
  answer_fails (&late, BS_ERROR, BS_ERROR_CLOSED);
  gate_backing_release (fixture->gates, VERIFY, NULL, GATE_BEFORE);
  answer_ok (&run);
  answer_ok (&untrack);
  assert_figures (verify, N_KEYS, N_KEYS, 0);
  log = gate_backing_dup_log (fixture->gates, NULL);
  g_assert_true (g_str_has_suffix (log, " verify_persisted release_path"));

  run_async (verify, NULL, &late);
  answer_fails (&late, BS_ERROR, BS_ERROR_CLOSED);
  gate_backing_reset_log (fixture->gates);
  g_assert_false (bs_verify_run (verify, NULL, NULL));
  g_assert_cmpuint (gate_backing_count_all (fixture->gates), ==, 0);
}

/* With nothing but the last checks under way, and with the run cancelled. */
static void
test_untrack_cancelled (Fixture *fixture, gconstpointer data)
{
  g_auto (Place) place = { NULL };
  g_autoptr (BsVerify) verify = NULL;
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  Answer run = { 0 }, untrack = { 0 };

  place_set_up (&place, fixture);
  verify = bs_verify_new (fixture->store, place.tracked);
  gate_backing_set_stubborn (fixture->gates, TRUE);
  gate_backing_hold (fixture->gates, VERIFY, NULL, GATE_BEFORE);
  run_async (verify, cancellable, &run);
  gate_backing_wait_held (fixture->gates, VERIFY, NULL, GATE_BEFORE, fixture->n_threads);
  bs_backing_store_untrack_path_async (fixture->store, place.tracked, G_PRIORITY_DEFAULT, NULL,
                                       answer_cb, &untrack);
  g_cancellable_cancel (cancellable);
  g_assert_false (answer_is_there (&untrack));
  gate_backing_release (fixture->gates, VERIFY, NULL, GATE_BEFORE);
  answer_cancelled (&run);
  answer_ok (&untrack);
  g_assert_cmpuint (count_checks (fixture), ==, fixture->n_threads);
}

static void
test_close_meanwhile (Fixture *fixture, gconstpointer data)
{
  g_auto (Place) place = { NULL };
  g_autoptr (BsVerify) verify = NULL;
  Answer run = { 0 }, close = { 0 };

  place_set_up (&place, fixture);
  verify = bs_verify_new (fixture->store, place.tracked);
  gate_backing_hold (fixture->gates, VERIFY, NULL, GATE_BEFORE);
  run_async (verify, NULL, &run);
  gate_backing_wait_held (fixture->gates, VERIFY, NULL, GATE_BEFORE, fixture->n_threads);
  bs_backing_store_close_async (fixture->store, G_PRIORITY_DEFAULT, NULL, answer_cb, &close);
  g_assert_false (answer_is_there (&close));
  gate_backing_release (fixture->gates, VERIFY, NULL, GATE_BEFORE);
  answer_ok (&run);
  answer_ok (&close);
  assert_figures (verify, N_KEYS, N_KEYS, 0);
  run_async (verify, NULL, &run);
  answer_fails (&run, BS_ERROR, BS_ERROR_CLOSED);
}

static void
test_cancelled_before (Fixture *fixture, gconstpointer data)
{
  g_auto (Place) place = { NULL };
  g_autoptr (BsVerify) verify = NULL;
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;
  Answer run = { 0 };
  Plug plug = { 0 };

  place_set_up (&place, fixture);
  verify = bs_verify_new (fixture->store, place.tracked);
  g_cancellable_cancel (cancellable);
  run_async (verify, cancellable, &run);
  g_assert_cmpint (run.n_calls, ==, 0);
  answer_cancelled (&run);
  g_assert_false (bs_verify_run (verify, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_nonnull (strstr (error->message, "gate:///verified"));

  /* Its checks wait for a thread. */
  g_cancellable_reset (cancellable);
  plug_in (&plug, fixture);
  run_async (verify, cancellable, &run);
  g_cancellable_cancel (cancellable);
  answer_cancelled (&run);
  plug_out (&plug, fixture);
  g_assert_cmpuint (count_checks (fixture), ==, 0);
  g_assert_cmpuint (bs_verify_get_n_done (verify), ==, 0);

  run_ok (verify);
  assert_figures (verify, N_KEYS, N_KEYS, 0);
}

static void
test_cancelled_running (Fixture *fixture, gconstpointer data)
{
  for (guint stubborn = 0; stubborn < 2; stubborn++)
    {
      g_auto (Place) place = { NULL };
      g_autoptr (BsVerify) verify = NULL;
      g_autoptr (GCancellable) cancellable = g_cancellable_new ();
      Answer run = { 0 };

      place_set_up (&place, fixture);
      for (guint i = 0; i < N_KEYS; i++)
        gate_backing_spoil (fixture->gates, place.file, place.keys[i]);
      verify = bs_verify_new (fixture->store, place.tracked);
      gate_backing_set_stubborn (fixture->gates, stubborn);
      gate_backing_hold (fixture->gates, VERIFY, NULL, GATE_BEFORE);
      run_async (verify, cancellable, &run);
      gate_backing_wait_held (fixture->gates, VERIFY, NULL, GATE_BEFORE, fixture->n_threads);
      g_cancellable_cancel (cancellable);
      if (stubborn)
        g_assert_false (answer_is_there (&run));
      gate_backing_release (fixture->gates, VERIFY, NULL, GATE_BEFORE);
      answer_cancelled (&run);

      /* Checks under way are waited for, and their findings count. */
      g_assert_cmpuint (count_checks (fixture), ==, fixture->n_threads);
      assert_figures (verify, N_KEYS, stubborn ? fixture->n_threads : 0,
                      stubborn ? fixture->n_threads : 0);
      g_assert_cmpfloat (bs_verify_get_fraction (verify), <, 1.0);
      run_ok (verify);
      g_assert_cmpuint (bs_tracked_path_get_n_keys (place.tracked), ==, 0);
      settle (fixture);
    }
}

/* Cancelled during the last check: that was all. */
static void
test_cancelled_late (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsVerify) verify = bs_verify_new (fixture->store, fixture->tracked);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autofree char *key = put_key (fixture, "a");
  Answer run = { 0 };

  gate_backing_hold (fixture->gates, VERIFY, key, GATE_AFTER);
  run_async (verify, cancellable, &run);
  gate_backing_wait_held (fixture->gates, VERIFY, key, GATE_AFTER, 1);
  g_cancellable_cancel (cancellable);
  g_assert_false (answer_is_there (&run));
  gate_backing_release (fixture->gates, VERIFY, key, GATE_AFTER);
  answer_ok (&run);
  assert_figures (verify, 1, 1, 0);
}

static void
test_busy (Fixture *fixture, gconstpointer data)
{
  g_auto (Place) place = { NULL };
  g_autoptr (BsVerify) verify = NULL;
  g_autoptr (GError) error = NULL;
  Answer run = { 0 }, second = { 0 };

  place_set_up (&place, fixture);
  verify = bs_verify_new (fixture->store, place.tracked);
  gate_backing_hold (fixture->gates, VERIFY, NULL, GATE_BEFORE);
  run_async (verify, NULL, &run);
  gate_backing_wait_held (fixture->gates, VERIFY, NULL, GATE_BEFORE, fixture->n_threads);
  run_async (verify, NULL, &second);
  answer_fails (&second, BS_ERROR, BS_ERROR_BUSY);
  g_assert_false (bs_verify_run (verify, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_BUSY);
  g_assert_nonnull (strstr (error->message, "gate:///verified"));
  gate_backing_release (fixture->gates, VERIFY, NULL, GATE_BEFORE);
  answer_ok (&run);
  assert_figures (verify, N_KEYS, N_KEYS, 0);
}

/* Two on one path share the checks that they ask for at the same time. */
static void
test_two (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsVerify) first = bs_verify_new (fixture->store, fixture->tracked);
  g_autoptr (BsVerify) second = bs_verify_new (fixture->store, fixture->tracked);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autofree char *key = put_key (fixture, "a");
  Answer runs[2] = { 0 };

  for (guint i = 0; i < 2; i++)
    {
      gate_backing_reset_log (fixture->gates);
      if (i == 1)
        gate_backing_spoil (fixture->gates, fixture->file, key);
      ask_held (fixture, VERIFY, key, run_async (first, cancellable, &runs[0]));
      run_async (second, NULL, &runs[1]);
      if (i == 1)
        {
          /* The one that is left goes on as if nothing had been. */
          g_cancellable_cancel (cancellable);
          answer_cancelled (&runs[0]);
        }
      gate_backing_release (fixture->gates, VERIFY, key, GATE_BEFORE);
      if (i == 0)
        answer_ok (&runs[0]);
      answer_ok (&runs[1]);
      g_assert_cmpuint (gate_backing_count (fixture->gates, VERIFY, key), ==, 1);
    }
  assert_figures (first, 1, 0, 0);
  assert_figures (second, 1, 1, 1);
}

static void
run_in_callback (GObject *source, GAsyncResult *result, gpointer data)
{
  BsVerify *verify = BS_VERIFY (source);
  Answer *answer = data;

  g_assert_true (bs_verify_run_finish (verify, result, NULL));
  /* The verification is over, and may be run again. */
  run_async (verify, NULL, answer);
}

static void
test_again_in_callback (Fixture *fixture, gconstpointer data)
{
  g_auto (Place) place = { NULL };
  g_autoptr (BsVerify) verify = NULL;
  Answer answer = { 0 };

  place_set_up (&place, fixture);
  verify = bs_verify_new (fixture->store, place.tracked);
  bs_verify_run_async (verify, G_PRIORITY_DEFAULT, NULL, run_in_callback, &answer);
  answer_ok (&answer);
  g_assert_cmpuint (count_checks (fixture), ==, 2 * N_KEYS);
}

/* The application lets go of everything meanwhile. */
static void
test_last_reference (Fixture *fixture, gconstpointer data)
{
  g_auto (Place) place = { NULL };
  BsVerify *verify;
  Answer run = { 0 };

  place_set_up (&place, fixture);
  verify = bs_verify_new (fixture->store, place.tracked);
  gate_backing_hold (fixture->gates, VERIFY, NULL, GATE_BEFORE);
  run_async (verify, NULL, &run);
  gate_backing_wait_held (fixture->gates, VERIFY, NULL, GATE_BEFORE, fixture->n_threads);
  g_object_unref (verify);
  g_clear_object (&place.tracked);
  assert_goes (g_steal_pointer (&fixture->pool));
  g_clear_object (&fixture->tracked);
  g_clear_object (&fixture->store);
  gate_backing_release (fixture->gates, VERIFY, NULL, GATE_BEFORE);
  answer_ok (&run);
  g_assert_cmpuint (count_checks (fixture), ==, N_KEYS);
}

static gboolean
verify_in_task (BsBackingStore *store, GCancellable *cancellable, gpointer data, GError **error)
{
  return bs_verify_run (data, cancellable, error);
}

static gpointer
verify_in_thread (gpointer data)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (bs_verify_run (data, NULL, &error));
  g_assert_no_error (error);
  return NULL;
}

static void
test_blocking (Fixture *fixture, gconstpointer data)
{
  g_auto (Place) place = { NULL };
  g_autoptr (BsVerify) verify = NULL;
  Answer tasks[6] = { 0 };

  place_set_up (&place, fixture);
  verify = bs_verify_new (fixture->store, place.tracked);
  verify_in_thread (verify);
  assert_figures (verify, N_KEYS, N_KEYS, 0);
  g_thread_join (g_thread_new ("verify", verify_in_thread, verify));
  g_assert_cmpuint (count_checks (fixture), ==, 2 * N_KEYS);

  /* Every thread is inside one. */
  for (guint i = 0; i < G_N_ELEMENTS (tasks); i++)
    bs_backing_store_run_in_thread_async (fixture->store, verify_in_task,
                                          bs_verify_new (fixture->store, place.tracked),
                                          g_object_unref, G_PRIORITY_DEFAULT, NULL, answer_cb,
                                          &tasks[i]);
  for (guint i = 0; i < G_N_ELEMENTS (tasks); i++)
    answer_ok (&tasks[i]);
}

static void
verify_in_hook (GateBacking *gates, BsOperation operation, const char *key, gpointer data)
{
  g_autoptr (GError) error = NULL;

  g_assert_false (bs_verify_run (data, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
}

static void
test_in_function (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsVerify) verify = bs_verify_new (fixture->store, fixture->tracked);
  g_autoptr (BsItem) item = insert_persisted (fixture, "a");
  Answer sync = { 0 };

  gate_backing_set_hook (fixture->gates, BS_OPERATION_SYNC_PERSISTED, GATE_BEFORE, verify_in_hook,
                         verify);
  sync_async (fixture, NULL, &sync);
  answer_ok (&sync);
  g_assert_cmpuint (count_checks (fixture), ==, 0);
  run_ok (verify);
  g_assert_cmpuint (count_checks (fixture), ==, 1);
}

/* A slow key holds up nobody else, and one that waits takes no thread. */
static void
test_slow_key (Fixture *fixture, gconstpointer data)
{
  g_auto (Place) place = { NULL };
  g_autoptr (BsVerify) verify = NULL;
  Answer run = { 0 };
  Blocking blocking;

  place_set_up (&place, fixture);
  bs_backing_store_set_max_threads (fixture->store, 2);
  verify = bs_verify_new (fixture->store, place.tracked);
  ask_held (fixture, BS_OPERATION_SYNC_PERSISTED, NULL,
            blocking_start (&blocking, fixture, blocking_sync, NULL, NULL));
  ask_held (fixture, VERIFY, place.keys[9], run_async (verify, NULL, &run));
  wait_until (bs_verify_get_n_done (verify) == N_KEYS - 1);
  gate_backing_release_all (fixture->gates);
  answer_ok (&run);
  blocking_ok (&blocking);
}

static void
test_priority (Fixture *fixture, gconstpointer data)
{
  g_auto (Place) place = { NULL };
  g_autoptr (BsVerify) verify = NULL;
  g_autoptr (BsItem) item = insert (fixture, "a");
  Answer run = { 0 }, write = { 0 };
  g_autofree char *log = NULL;
  Plug plug = { 0 };

  place_set_up (&place, fixture);
  verify = bs_verify_new (fixture->store, place.tracked);
  plug_in (&plug, fixture);
  gate_backing_reset_log (fixture->gates);
  bs_verify_run_async (verify, G_PRIORITY_LOW, NULL, answer_cb, &run);
  bs_item_write_async (item, G_PRIORITY_DEFAULT, NULL, answer_cb, &write);
  plug_out (&plug, fixture);
  answer_ok (&run);
  answer_ok (&write);
  log = gate_backing_dup_log (fixture->gates, NULL);
  if (fixture->n_threads == 1)
    g_assert_true (g_str_has_prefix (log, "write verify_persisted "));
}

typedef struct
{
  GThread *thread;
  double value; /* of the property, when it was last notified */
  guint n;
} Watch;

static void
notify_cb (BsVerify *verify, GParamSpec *pspec, gpointer data)
{
  Watch *watch = data;
  g_auto (GValue) value = G_VALUE_INIT;

  g_assert_true (g_thread_self () == watch->thread);
  g_value_init (&value, G_TYPE_DOUBLE);
  g_object_get_property (G_OBJECT (verify), g_param_spec_get_name (pspec), &value);
  watch->value = g_value_get_double (&value);
  watch->n++;
}

static void
test_notify (Fixture *fixture, gconstpointer data)
{
  const char *names[] = { "notify::n-total", "notify::n-done", "notify::n-bad",
                          "notify::fraction" };
  const double ends[] = { N_KEYS, N_KEYS, 1, 1 };
  Watch watches[G_N_ELEMENTS (names)] = { 0 };
  g_auto (Place) place = { NULL };
  g_autoptr (BsVerify) verify = NULL;
  guint64 n_total, n_done, n_bad;

  place_set_up (&place, fixture);
  gate_backing_spoil (fixture->gates, place.file, place.keys[0]);
  verify = bs_verify_new (fixture->store, place.tracked);
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      watches[i].thread = g_thread_self ();
      g_signal_connect (verify, names[i], G_CALLBACK (notify_cb), &watches[i]);
    }
  run_ok (verify);
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      /* Told before the answer, for whoever lets go of the verification then. */
      g_assert_cmpfloat (watches[i].value, >=, ends[i]);
      g_signal_handlers_disconnect_by_data (verify, &watches[i]);
    }
  g_object_get (verify, "n-total", &n_total, "n-done", &n_done, "n-bad", &n_bad, NULL);
  g_assert_cmpuint (n_total, ==, N_KEYS);
  g_assert_cmpuint (n_done, ==, N_KEYS);
  g_assert_cmpuint (n_bad, ==, 1);
}

/* Nothing is told of what a run leaves as it was. */
static void
test_notify_changes (Fixture *fixture, gconstpointer data)
{
  Watch bad = { .thread = g_thread_self () };
  Watch total = bad;
  g_auto (Place) place = { NULL };
  g_autoptr (BsVerify) verify = NULL;

  place_set_up (&place, fixture);
  verify = bs_verify_new (fixture->store, place.tracked);
  g_signal_connect (verify, "notify::n-bad", G_CALLBACK (notify_cb), &bad);
  g_signal_connect (verify, "notify::n-total", G_CALLBACK (notify_cb), &total);
  run_ok (verify);
  g_assert_cmpuint (total.n, >=, 1);
  g_assert_cmpuint (bad.n, ==, 0);
  g_signal_handlers_disconnect_by_data (verify, &bad);
  g_signal_handlers_disconnect_by_data (verify, &total);
}

static void
test_wrong_path (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsBacking) backing = BS_BACKING (bs_memory_backing_new ());
  g_autoptr (BsBackingStore) other = bs_backing_store_new (backing);
  g_autoptr (BsVerify) verify = bs_verify_new (other, fixture->tracked);
  g_autoptr (GError) error = NULL;
  Answer run = { 0 };

  g_assert_false (bs_verify_run (verify, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
  run_async (verify, NULL, &run);
  answer_fails (&run, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
}

/* A backing that can't tell. */
static void
test_nothing_to_check (void)
{
  g_autoptr (BsBacking) backing = BS_BACKING (bs_memory_backing_new ());
  g_autoptr (BsBackingStore) store = bs_backing_store_new (backing);
  g_autoptr (BsPool) pool = bs_pool_new (store, 1000);
  g_autoptr (GFile) file = g_file_new_for_uri ("memory:///kept");
  g_autoptr (GError) error = NULL;
  g_autoptr (BsTrackedPath) tracked = bs_backing_store_track_path (store, file, NULL, &error);
  g_autoptr (GBytes) bytes = g_bytes_new_static ("a", 1);
  g_autoptr (BsVerify) verify = bs_verify_new (store, tracked);

  g_assert_no_error (error);
  for (guint i = 0; i < 3; i++)
    {
      g_autoptr (BsItem) item = bs_pool_insert (pool, bytes);

      g_assert_true (bs_item_persist (item, tracked, NULL, &error));
    }
  g_assert_true (bs_verify_run (verify, NULL, &error));
  g_assert_no_error (error);
  assert_figures (verify, 3, 3, 0);
  g_assert_cmpfloat (bs_verify_get_fraction (verify), >=, 1.0);
  g_assert_true (bs_backing_store_close (store, NULL, &error));
}

static void
test_main_context (void)
{
  Fixture fixture = { NULL };

  fixture_start (&fixture, &two_threads, g_main_context_default ());
  {
    g_auto (Place) place = { NULL };
    g_autoptr (BsVerify) verify = NULL;
    GThread *thread;
    Answer tasks[3] = { 0 };

    place_set_up (&place, &fixture);
    gate_backing_spoil (fixture.gates, place.file, place.keys[0]);
    verify = bs_verify_new (fixture.store, place.tracked);
    run_ok (verify);
    assert_figures (verify, N_KEYS, N_KEYS, 1);
    g_assert_true (gate_backing_get_thread (fixture.gates, VERIFY) == g_thread_self ());

    verify_in_thread (verify);
    assert_figures (verify, N_KEYS - 1, N_KEYS - 1, 0);
    g_assert_true (gate_backing_get_thread (fixture.gates, VERIFY) == g_thread_self ());

    thread = g_thread_new ("verify", verify_in_thread, verify);
    wait_until (bs_verify_get_n_done (verify) == N_KEYS - 1 &&
                count_checks (&fixture) == 3 * N_KEYS - 2);
    g_thread_join (thread);
    g_assert_true (gate_backing_get_thread (fixture.gates, VERIFY) == g_thread_self ());

    /* Functions of the application run there too. */
    for (guint i = 0; i < G_N_ELEMENTS (tasks); i++)
      bs_backing_store_run_in_thread_async (fixture.store, verify_in_task,
                                            bs_verify_new (fixture.store, place.tracked),
                                            g_object_unref, G_PRIORITY_DEFAULT, NULL, answer_cb,
                                            &tasks[i]);
    for (guint i = 0; i < G_N_ELEMENTS (tasks); i++)
      answer_ok (&tasks[i]);
  }
  fixture_tear_down (&fixture, NULL);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);

  test_add ("/verify/good", test_good);
  test_add ("/verify/empty", test_empty);
  test_add ("/verify/bad", test_bad);
  test_add ("/verify/impossible", test_impossible);
  test_add ("/verify/bounded", test_bounded);
  test_add ("/verify/beside-others", test_beside_others);
  test_add ("/verify/persist-behind-bad", test_persist_behind_bad);
  test_add ("/verify/deleted-meanwhile", test_deleted_meanwhile);
  test_add ("/verify/all-gone", test_all_gone);
  test_add ("/verify/sync-meanwhile", test_sync_meanwhile);
  test_add ("/verify/untrack-meanwhile", test_untrack_meanwhile);
  test_add ("/verify/untrack-cancelled", test_untrack_cancelled);
  test_add ("/verify/close-meanwhile", test_close_meanwhile);
  test_add ("/verify/cancelled-before", test_cancelled_before);
  test_add ("/verify/cancelled-running", test_cancelled_running);
  test_add ("/verify/cancelled-late", test_cancelled_late);
  test_add ("/verify/busy", test_busy);
  test_add ("/verify/two", test_two);
  test_add ("/verify/again-in-callback", test_again_in_callback);
  test_add ("/verify/last-reference", test_last_reference);
  test_add ("/verify/blocking", test_blocking);
  test_add ("/verify/in-function", test_in_function);
  test_add ("/verify/slow-key", test_slow_key);
  test_add ("/verify/priority", test_priority);
  test_add ("/verify/notify", test_notify);
  test_add ("/verify/notify-changes", test_notify_changes);
  test_add_once ("/verify/wrong-path", test_wrong_path);
  g_test_add_func ("/verify/nothing-to-check", test_nothing_to_check);
  g_test_add_func ("/verify/main-context", test_main_context);

  return g_test_run ();
}
