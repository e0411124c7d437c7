/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "store-fixture.h"

/* Interleavings on one path: syncs, and who tracks it. */

static void
test_during_running_sync (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsItem) first = insert_persisted (fixture, "first");
  g_autoptr (BsItem) second = insert_written (fixture, "second");
  g_autofree char *first_key = bs_item_dup_key (first);
  g_autofree char *second_key = bs_item_dup_key (second);
  Answer syncs[4] = { 0 }, persist = { 0 };

  ask_held (fixture, BS_OPERATION_SYNC_PERSISTED, NULL, sync_async (fixture, NULL, &syncs[0]));
  /* Nothing was asked since: this one is covered. */
  sync_async (fixture, NULL, &syncs[1]);
  /* With one thread the sync itself is in the way. */
  if (fixture->n_threads > 1)
    {
      persist_async (fixture, second, NULL, &persist);
      answer_ok (&persist);
    }
  else
    {
      bs_item_persist (second, fixture->tracked, NULL, NULL);
    }
  sync_async (fixture, NULL, &syncs[2]);
  sync_async (fixture, NULL, &syncs[3]);
  g_assert_false (answer_is_there (&syncs[0]));
  gate_backing_release (fixture->gates, BS_OPERATION_SYNC_PERSISTED, NULL, GATE_BEFORE);

  for (guint i = 0; i < 4; i++)
    answer_ok (&syncs[i]);
  g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_SYNC_PERSISTED, NULL), ==, 2);
  g_assert_true (gate_backing_is_durable (fixture->gates, fixture->file, first_key));
  g_assert_true (gate_backing_is_durable (fixture->gates, fixture->file, second_key));
}

/* A waiting sync does not cover operations asked meanwhile, nor wait for them. */
static void
test_during_waiting_sync (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsItem) first = insert_written (fixture, "first");
  g_autoptr (BsItem) second = insert_written (fixture, "second");
  g_autofree char *first_key = bs_item_dup_key (first);
  g_autofree char *second_key = bs_item_dup_key (second);
  Answer persists[2] = { 0 }, syncs[3] = { 0 };

  gate_backing_hold (fixture->gates, BS_OPERATION_PERSIST, first_key, GATE_BEFORE);
  gate_backing_hold (fixture->gates, BS_OPERATION_PERSIST, second_key, GATE_BEFORE);
  persist_async (fixture, first, NULL, &persists[0]);
  sync_async (fixture, NULL, &syncs[0]);
  persist_async (fixture, second, NULL, &persists[1]);
  sync_async (fixture, NULL, &syncs[1]);
  sync_async (fixture, NULL, &syncs[2]);
  gate_backing_wait_held (fixture->gates, BS_OPERATION_PERSIST, first_key, GATE_BEFORE, 1);
  if (fixture->n_threads > 1)
    {
      gate_backing_wait_held (fixture->gates, BS_OPERATION_PERSIST, second_key, GATE_BEFORE, 1);
      /* The second persist is still under way when the first sync completes. */
      gate_backing_release (fixture->gates, BS_OPERATION_PERSIST, first_key, GATE_BEFORE);
      answer_ok (&persists[0]);
      answer_ok (&syncs[0]);
      g_assert_true (gate_backing_is_durable (fixture->gates, fixture->file, first_key));
      g_assert_false (answer_is_there (&syncs[1]));
      g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_SYNC_PERSISTED, NULL), ==,
                        1);
      gate_backing_release (fixture->gates, BS_OPERATION_PERSIST, second_key, GATE_BEFORE);
    }
  else
    {
      gate_backing_release_all (fixture->gates);
      answer_ok (&persists[0]);
      answer_ok (&syncs[0]);
      g_assert_true (gate_backing_is_durable (fixture->gates, fixture->file, first_key));
    }

  answer_ok (&persists[1]);
  answer_ok (&syncs[1]);
  answer_ok (&syncs[2]);
  g_assert_true (gate_backing_is_durable (fixture->gates, fixture->file, second_key));
  g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_SYNC_PERSISTED, NULL), ==, 2);
}

static void
test_cancel_waiting_sync (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (BsItem) first = insert_written (fixture, "first");
  g_autoptr (BsItem) second = insert_written (fixture, "second");
  g_autofree char *first_key = bs_item_dup_key (first);
  g_autofree char *second_key = bs_item_dup_key (second);
  Answer persists[2] = { 0 }, syncs[2] = { 0 };

  gate_backing_hold (fixture->gates, BS_OPERATION_PERSIST, NULL, GATE_BEFORE);
  persist_async (fixture, first, NULL, &persists[0]);
  sync_async (fixture, cancellable, &syncs[0]);
  persist_async (fixture, second, NULL, &persists[1]);
  sync_async (fixture, NULL, &syncs[1]);
  g_cancellable_cancel (cancellable);
  answer_cancelled (&syncs[0]);
  g_assert_false (answer_is_there (&syncs[1]));
  gate_backing_release (fixture->gates, BS_OPERATION_PERSIST, NULL, GATE_BEFORE);

  /* The one that is left covers what the cancelled one would have covered. */
  answer_ok (&syncs[1]);
  g_assert_true (gate_backing_has_persisted (fixture->gates, fixture->file, first_key));
  g_assert_true (gate_backing_has_persisted (fixture->gates, fixture->file, second_key));
  g_assert_true (gate_backing_is_durable (fixture->gates, fixture->file, first_key));
  g_assert_true (gate_backing_is_durable (fixture->gates, fixture->file, second_key));
  g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_SYNC_PERSISTED, NULL), ==, 1);
  answer_ok (&persists[0]);
  answer_ok (&persists[1]);
}

/* The gathering one of two is cancelled; and then both. */
static void
test_cancel_gathering_sync (Fixture *fixture, gconstpointer data)
{
  for (guint both = 0; both < 2; both++)
    {
      g_autoptr (GCancellable) cancellable = g_cancellable_new ();
      g_autoptr (BsItem) first = insert_written (fixture, "first");
      g_autoptr (BsItem) second = insert_written (fixture, "second");
      Answer persists[2] = { 0 }, syncs[2] = { 0 };

      gate_backing_reset_log (fixture->gates);
      gate_backing_hold (fixture->gates, BS_OPERATION_PERSIST, NULL, GATE_BEFORE);
      persist_async (fixture, first, NULL, &persists[0]);
      sync_async (fixture, both ? cancellable : NULL, &syncs[0]);
      persist_async (fixture, second, NULL, &persists[1]);
      sync_async (fixture, cancellable, &syncs[1]);
      g_cancellable_cancel (cancellable);
      answer_cancelled (&syncs[1]);
      if (both)
        answer_cancelled (&syncs[0]);
      gate_backing_release (fixture->gates, BS_OPERATION_PERSIST, NULL, GATE_BEFORE);
      if (!both)
        answer_ok (&syncs[0]);
      answer_ok (&persists[0]);
      answer_ok (&persists[1]);
      settle (fixture);
      g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_SYNC_PERSISTED, NULL), ==,
                        both ? 0 : 1);
    }
}

static void
test_cancel_running_sync (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (BsItem) item = insert_persisted (fixture, "first");
  g_autofree char *key = bs_item_dup_key (item);
  Answer first = { 0 }, second = { 0 };

  ask_held (fixture, BS_OPERATION_SYNC_PERSISTED, NULL, sync_async (fixture, cancellable, &first));
  gate_backing_set_stubborn (fixture->gates, TRUE);
  g_cancellable_cancel (cancellable);
  /* Not joined, though nothing was asked since. */
  sync_async (fixture, NULL, &second);
  gate_backing_release (fixture->gates, BS_OPERATION_SYNC_PERSISTED, NULL, GATE_BEFORE);
  answer_wait (&first);
  answer_clear (&first);
  answer_ok (&second);
  g_assert_true (gate_backing_is_durable (fixture->gates, fixture->file, key));
  g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_SYNC_PERSISTED, NULL), ==, 2);
}

/* There is always an operation under way, and the sync runs all the same. */
static void
test_endless_persists (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GPtrArray) items = g_ptr_array_new_with_free_func (g_object_unref);
  Answer answers[20] = { 0 }, sync = { 0 };

  bs_backing_store_set_max_threads (fixture->store, 2);
  for (guint i = 0; i < 20; i++)
    {
      g_autofree char *key = NULL;

      g_ptr_array_add (items, insert_written (fixture, "a"));
      key = bs_item_dup_key (items->pdata[i]);
      gate_backing_hold (fixture->gates, BS_OPERATION_PERSIST, key, GATE_BEFORE);
    }
  for (guint i = 0; i < 20; i++)
    {
      g_autofree char *key = bs_item_dup_key (items->pdata[i]);

      persist_async (fixture, items->pdata[i], NULL, &answers[i]);
      gate_backing_wait_held (fixture->gates, BS_OPERATION_PERSIST, key, GATE_BEFORE, 1);
      if (i == 3)
        sync_async (fixture, NULL, &sync);
      if (i > 0)
        {
          g_autofree char *previous = bs_item_dup_key (items->pdata[i - 1]);

          gate_backing_release (fixture->gates, BS_OPERATION_PERSIST, previous, GATE_BEFORE);
          answer_ok (&answers[i - 1]);
        }
    }
  answer_ok (&sync);
  g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_SYNC_PERSISTED, NULL), ==, 1);
  gate_backing_release_all (fixture->gates);
  answer_ok (&answers[19]);
}

static void
test_failed_sync (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsItem) item = insert_persisted (fixture, "a");
  g_autofree char *key = bs_item_dup_key (item);
  Answer answers[2] = { 0 };

  gate_backing_fail (fixture->gates, BS_OPERATION_SYNC_PERSISTED, NULL, GATE_BEFORE, 1,
                     G_IO_ERROR_NO_SPACE);
  gate_backing_hold (fixture->gates, BS_OPERATION_SYNC_PERSISTED, NULL, GATE_BEFORE);
  sync_async (fixture, NULL, &answers[0]);
  sync_async (fixture, NULL, &answers[1]);
  gate_backing_release (fixture->gates, BS_OPERATION_SYNC_PERSISTED, NULL, GATE_BEFORE);
  answer_fails (&answers[0], G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  answer_fails (&answers[1], G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  sync_async (fixture, NULL, &answers[0]);
  answer_ok (&answers[0]);
  g_assert_true (gate_backing_is_durable (fixture->gates, fixture->file, key));
}

static void
fail_sync (Fixture *fixture)
{
  Answer sync = { 0 };

  gate_backing_fail (fixture->gates, BS_OPERATION_SYNC_PERSISTED, NULL, GATE_BEFORE, 1,
                     G_IO_ERROR_FAILED);
  sync_async (fixture, NULL, &sync);
  answer_fails (&sync, G_IO_ERROR, G_IO_ERROR_FAILED);
  gate_backing_clear (fixture->gates);
  gate_backing_reset_log (fixture->gates);
}

/* Asks again for what is so already, in every form, and counts the calls. */
static guint
persist_again (Fixture *fixture, BsItem *item)
{
  g_autofree char *key = bs_item_dup_key (item);
  guint n = gate_backing_count (fixture->gates, BS_OPERATION_PERSIST, key);
  g_autoptr (GError) error = NULL;
  Answer persist = { 0 };

  persist_async (fixture, item, NULL, &persist);
  answer_ok (&persist);
  bs_item_persist (item, fixture->tracked, NULL, &error);
  g_assert_no_error (error);
  return gate_backing_count (fixture->gates, BS_OPERATION_PERSIST, key) - n;
}

static guint
delete_again (Fixture *fixture, const char *key)
{
  guint n = gate_backing_count (fixture->gates, BS_OPERATION_DELETE_PERSISTED, key);
  g_autoptr (GError) error = NULL;
  Answer delete = { 0 };

  bs_backing_store_delete_persisted (fixture->store, fixture->tracked, key, NULL, &error);
  g_assert_no_error (error);
  delete_async (fixture, key, NULL, &delete);
  answer_ok (&delete);
  return gate_backing_count (fixture->gates, BS_OPERATION_DELETE_PERSISTED, key) - n;
}

/* After a failed sync each operation that it should have covered is done again when
 * asked again, once; the success of a later sync settles nothing. */
static void
test_again_after_failed_sync (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsItem) first = insert_persisted (fixture, "first");
  g_autoptr (BsItem) second = insert_persisted (fixture, "second");
  g_autoptr (BsItem) registered = NULL;
  g_autofree char *first_key = bs_item_dup_key (first);
  g_autofree char *deleted = put_key (fixture, "deleted");
  g_autoptr (GError) error = NULL;
  Answer sync = { 0 };

  g_assert_cmpuint (delete_again (fixture, deleted), ==, 1);
  g_assert_cmpuint (persist_again (fixture, first), ==, 0);
  fail_sync (fixture);
  sync_async (fixture, NULL, &sync);
  answer_ok (&sync);

  g_assert_cmpuint (persist_again (fixture, first), ==, 1);
  g_assert_cmpuint (persist_again (fixture, first), ==, 0);
  g_assert_cmpuint (delete_again (fixture, deleted), ==, 1);
  g_assert_cmpuint (delete_again (fixture, deleted), ==, 0);
  /* The key is there all the same. */
  g_assert_true (bs_tracked_path_contains_key (fixture->tracked, first_key));
  registered = bs_pool_register (fixture->pool, fixture->tracked, first_key, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_REGISTER_KEY, NULL), ==, 0);

  /* The next failure takes that back, too. */
  fail_sync (fixture);
  g_assert_cmpuint (persist_again (fixture, first), ==, 1);
  g_assert_cmpuint (persist_again (fixture, second), ==, 1);
  g_assert_cmpuint (delete_again (fixture, first_key), ==, 1);
  g_assert_cmpuint (persist_again (fixture, first), ==, 1);
  g_assert_cmpuint (persist_again (fixture, first), ==, 0);
}

static void
test_bulk_after_failed_sync (Fixture *fixture, gconstpointer data)
{
  g_autofree char *key = put_key (fixture, "a");
  g_autoptr (BsKeySet) keys = bs_key_set_new ();
  g_autoptr (GError) error = NULL;

  g_assert_cmpuint (delete_again (fixture, key), ==, 1);
  fail_sync (fixture);
  bs_key_set_add (keys, key, NULL);
  for (guint i = 0; i < 2; i++)
    {
      bs_backing_store_delete_persisted_keys (fixture->store, fixture->tracked, keys, NULL, &error);
      g_assert_no_error (error);
      g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_DELETE_PERSISTED, key), ==,
                        1);
    }
}

/* A persist that fails again leaves it as doubtful as it was. */
static void
test_failed_again_after_failed_sync (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsItem) item = insert_persisted (fixture, "a");
  Answer persist = { 0 };

  fail_sync (fixture);
  gate_backing_fail (fixture->gates, BS_OPERATION_PERSIST, NULL, GATE_BEFORE, 1, G_IO_ERROR_FAILED);
  persist_async (fixture, item, NULL, &persist);
  answer_fails (&persist, G_IO_ERROR, G_IO_ERROR_FAILED);
  g_assert_cmpuint (persist_again (fixture, item), ==, 1);
  g_assert_cmpuint (persist_again (fixture, item), ==, 0);
}

/* Done while the sync ran: it may have been before or after what went wrong. The
 * ones who gather meanwhile have a call, and a result, of their own. */
static void
test_during_failing_sync (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsItem) before = insert_written (fixture, "before");
  g_autoptr (BsItem) after = insert_written (fixture, "after");
  g_autofree char *after_key = bs_item_dup_key (after);
  Answer syncs[4] = { 0 }, persists[2] = { 0 };

  bs_backing_store_set_max_threads (fixture->store, 3);
  gate_backing_fail (fixture->gates, BS_OPERATION_SYNC_PERSISTED, NULL, GATE_BEFORE, 1,
                     G_IO_ERROR_FAILED);
  gate_backing_hold (fixture->gates, BS_OPERATION_SYNC_PERSISTED, NULL, GATE_BEFORE);
  gate_backing_hold (fixture->gates, BS_OPERATION_PERSIST, after_key, GATE_AFTER);
  sync_async (fixture, NULL, &syncs[0]);
  sync_async (fixture, NULL, &syncs[1]);
  gate_backing_wait_held (fixture->gates, BS_OPERATION_SYNC_PERSISTED, NULL, GATE_BEFORE, 1);
  persist_async (fixture, before, NULL, &persists[0]);
  answer_ok (&persists[0]);
  persist_async (fixture, after, NULL, &persists[1]);
  gate_backing_wait_held (fixture->gates, BS_OPERATION_PERSIST, after_key, GATE_AFTER, 1);
  sync_async (fixture, NULL, &syncs[2]);
  sync_async (fixture, NULL, &syncs[3]);
  gate_backing_release (fixture->gates, BS_OPERATION_SYNC_PERSISTED, NULL, GATE_BEFORE);
  answer_fails (&syncs[0], G_IO_ERROR, G_IO_ERROR_FAILED);
  answer_fails (&syncs[1], G_IO_ERROR, G_IO_ERROR_FAILED);
  gate_backing_release (fixture->gates, BS_OPERATION_PERSIST, after_key, GATE_AFTER);
  answer_ok (&persists[1]);
  answer_ok (&syncs[2]);
  answer_ok (&syncs[3]);

  g_assert_cmpuint (persist_again (fixture, before), ==, 1);
  g_assert_cmpuint (persist_again (fixture, after), ==, 1);
  g_assert_cmpuint (persist_again (fixture, before), ==, 0);
  g_assert_cmpuint (persist_again (fixture, after), ==, 0);
}

/* Cancelled while it ran, a sync has failed; before, it never was. */
static void
test_again_after_cancelled_sync (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsItem) item = insert_persisted (fixture, "a");
  g_autoptr (BsItem) other = insert_written (fixture, "b");
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  Answer sync = { 0 }, persist = { 0 };

  gate_backing_hold (fixture->gates, BS_OPERATION_PERSIST, NULL, GATE_BEFORE);
  persist_async (fixture, other, NULL, &persist);
  sync_async (fixture, cancellable, &sync);
  g_cancellable_cancel (cancellable);
  answer_cancelled (&sync);
  gate_backing_release (fixture->gates, BS_OPERATION_PERSIST, NULL, GATE_BEFORE);
  answer_ok (&persist);
  g_assert_cmpuint (persist_again (fixture, item), ==, 0);

  g_cancellable_reset (cancellable);
  ask_held (fixture, BS_OPERATION_SYNC_PERSISTED, NULL, sync_async (fixture, cancellable, &sync));
  g_cancellable_cancel (cancellable);
  answer_cancelled (&sync);
  gate_backing_release_all (fixture->gates);
  g_assert_cmpuint (persist_again (fixture, item), ==, 1);
  g_assert_cmpuint (persist_again (fixture, item), ==, 0);
}

/* After all that was asked of it, two syncs included. */
static void
test_untrack_after_syncs (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsItem) first = insert_written (fixture, "a");
  g_autoptr (BsItem) second = insert_written (fixture, "b");
  Answer persists[2] = { 0 }, syncs[2] = { 0 }, untrack = { 0 }, late = { 0 };
  g_autofree char *log = NULL;

  gate_backing_hold (fixture->gates, BS_OPERATION_PERSIST, NULL, GATE_BEFORE);
  gate_backing_reset_log (fixture->gates);
  persist_async (fixture, first, NULL, &persists[0]);
  sync_async (fixture, NULL, &syncs[0]);
  persist_async (fixture, second, NULL, &persists[1]);
  sync_async (fixture, NULL, &syncs[1]);
  bs_backing_store_untrack_path_async (fixture->store, fixture->tracked, G_PRIORITY_DEFAULT, NULL,
                                       answer_cb, &untrack);
  persist_async (fixture, first, NULL, &late);
  answer_fails (&late, BS_ERROR, BS_ERROR_CLOSED);
  sync_async (fixture, NULL, &late);
  answer_fails (&late, BS_ERROR, BS_ERROR_CLOSED);
  g_assert_false (bs_tracked_path_get_closed (fixture->tracked));
  gate_backing_release (fixture->gates, BS_OPERATION_PERSIST, NULL, GATE_BEFORE);

  answer_ok (&untrack);
  g_assert_true (bs_tracked_path_get_closed (fixture->tracked));
  for (guint i = 0; i < 2; i++)
    {
      answer_ok (&persists[i]);
      answer_ok (&syncs[i]);
    }
  log = gate_backing_dup_log (fixture->gates, NULL);
  g_assert_true (g_str_has_suffix (log, " sync_persisted release_path"));
  g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_SYNC_PERSISTED, NULL), ==, 2);
}

/* A bulk that meets a busy key after the untrack was asked is not refused. */
static void
test_untrack_during_bulk (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsKeySet) keys = bs_key_set_new ();
  g_autoptr (BsItem) busy = insert_persisted (fixture, "a");
  g_autofree char *busy_key = bs_item_dup_key (busy);
  Answer delete = { 0 }, bulk = { 0 }, untrack = { 0 }, load = { 0 };
  Plug plug = { 0 };

  bs_key_set_add (keys, busy_key, NULL);
  plug_in (&plug, fixture);
  /* The other path keeps the key's strand busy. */
  bs_item_write_async (busy, G_PRIORITY_DEFAULT, NULL, answer_cb, &load);
  delete_async (fixture, busy_key, NULL, &delete);
  persist_async (fixture, busy, NULL, &load);
  bs_backing_store_delete_persisted_keys_async (fixture->store, fixture->tracked, keys,
                                                G_PRIORITY_HIGH, NULL, answer_cb, &bulk);
  bs_backing_store_untrack_path_async (fixture->store, fixture->tracked, G_PRIORITY_DEFAULT, NULL,
                                       answer_cb, &untrack);
  plug_out (&plug, fixture);

  answer_ok (&delete);
  wait_until (g_atomic_int_get (&load.n_calls) == 2);
  answer_clear (&load);
  answer_ok (&bulk);
  answer_ok (&untrack);
  g_assert_false (gate_backing_has_persisted (fixture->gates, fixture->file, busy_key));
}

static void
test_untrack_cancelled_or_failed (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (BsItem) item = insert_written (fixture, "a");
  g_autoptr (BsTrackedPath) again = NULL;
  Answer persist = { 0 }, untrack = { 0 }, tracked = { 0 };

  /* Before its turn: it stays open, and whoever waited for the path has it. */
  gate_backing_hold (fixture->gates, BS_OPERATION_PERSIST, NULL, GATE_BEFORE);
  persist_async (fixture, item, NULL, &persist);
  bs_backing_store_untrack_path_async (fixture->store, fixture->tracked, G_PRIORITY_DEFAULT,
                                       cancellable, answer_cb, &untrack);
  bs_backing_store_track_path_async (fixture->store, fixture->file, G_PRIORITY_DEFAULT, NULL,
                                     answer_cb, &tracked);
  if (fixture->n_threads > 1)
    {
      g_autoptr (BsItem) other = insert (fixture, "b");
      Answer write = { 0 };

      /* When this is through, the scan would be as well, had it been begun. */
      bs_item_write_async (other, G_PRIORITY_LOW, NULL, answer_cb, &write);
      answer_ok (&write);
    }
  g_assert_false (answer_is_there (&tracked));
  g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_SANITIZE_PATH, NULL), ==, 0);
  g_cancellable_cancel (cancellable);
  answer_cancelled (&untrack);
  gate_backing_release (fixture->gates, BS_OPERATION_PERSIST, NULL, GATE_BEFORE);
  again = answer_pointer (&tracked);
  g_assert_true (again == fixture->tracked);
  g_clear_object (&again);
  answer_ok (&persist);

  gate_backing_fail (fixture->gates, BS_OPERATION_RELEASE_PATH, NULL, GATE_BEFORE, 1,
                     G_IO_ERROR_BUSY);
  bs_backing_store_untrack_path_async (fixture->store, fixture->tracked, G_PRIORITY_DEFAULT, NULL,
                                       answer_cb, &untrack);
  answer_fails (&untrack, G_IO_ERROR, G_IO_ERROR_BUSY);
  g_assert_false (bs_tracked_path_get_closed (fixture->tracked));
  sync_async (fixture, NULL, &persist);
  answer_ok (&persist);
  /* The path is tracked as before: nothing is scanned, and there is no second object. */
  gate_backing_reset_log (fixture->gates);
  again = track (fixture, fixture->file);
  g_assert_true (again == fixture->tracked);
  g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_SANITIZE_PATH, NULL), ==, 0);
}

/* Somebody tracks the path while an untrack waits, which is then cancelled, and asks
 * for another one before that has had its turn: it comes first, and has the object
 * that there is. Nothing is scanned while that is open. */
static void
test_track_before_untrack (Fixture *fixture, gconstpointer data)
{
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (GCancellable) cancellable = g_cancellable_new ();
      g_autoptr (BsItem) item = insert_written (fixture, "a");
      g_autoptr (BsTrackedPath) again = NULL;
      Answer first = { 0 }, untracks[2] = { 0 }, tracked = { 0 };
      BsOperation operation = i == 0 ? BS_OPERATION_PERSIST : BS_OPERATION_READ_ROOT;
      Plug plug = {
        { NULL },
      };

      gate_backing_hold (fixture->gates, operation, NULL, GATE_BEFORE);
      if (i == 0)
        persist_async (fixture, item, NULL, &first);
      else
        bs_backing_store_load_root_async (fixture->store, fixture->tracked, G_PRIORITY_DEFAULT,
                                          NULL, answer_cb, &first);
      gate_backing_wait_held (fixture->gates, operation, NULL, GATE_BEFORE, 1);
      if (i == 0 && fixture->n_threads == 2)
        {
          fixture->n_threads = 1;
          plug_in (&plug, fixture);
          fixture->n_threads = 2;
        }
      gate_backing_reset_log (fixture->gates);
      bs_backing_store_untrack_path_async (fixture->store, fixture->tracked, G_PRIORITY_DEFAULT,
                                           cancellable, answer_cb, &untracks[0]);
      bs_backing_store_track_path_async (fixture->store, fixture->file, G_PRIORITY_DEFAULT, NULL,
                                         answer_cb, &tracked);
      g_cancellable_cancel (cancellable);
      answer_cancelled (&untracks[0]);
      bs_backing_store_untrack_path_async (fixture->store, fixture->tracked, G_PRIORITY_DEFAULT,
                                           NULL, answer_cb, &untracks[1]);
      gate_backing_release (fixture->gates, operation, NULL, GATE_BEFORE);
      if (plug.n > 0)
        plug_out (&plug, fixture);
      again = answer_pointer (&tracked);
      g_assert_true (again == fixture->tracked);
      answer_ok (&untracks[1]);
      answer_wait (&first);
      answer_clear (&first);
      g_assert_true (bs_tracked_path_get_closed (again));
      g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_SANITIZE_PATH, NULL), ==,
                        0);
      g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_RELEASE_PATH, NULL), ==,
                        1);
      g_clear_object (&fixture->tracked);
      fixture->tracked = track (fixture, fixture->file);
    }
}

#define untrack_async(fixture, cancellable, answer)                                                \
  bs_backing_store_untrack_path_async ((fixture)->store, (fixture)->tracked, G_PRIORITY_DEFAULT,   \
                                       cancellable, answer_cb, answer)

/* Everybody leaves while the path is being released, and somebody asks again before
 * that has ended: the one has nothing to do with the other's leaving. */
static void
test_untrack_again (Fixture *fixture, gconstpointer data)
{
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (GCancellable) cancellable = g_cancellable_new ();
      Answer first = { 0 }, again[2] = { 0 };

      /* The backing minds the cancellation, or it is too late for that. */
      gate_backing_reset_log (fixture->gates);
      gate_backing_set_stubborn (fixture->gates, TRUE);
      gate_backing_hold (fixture->gates, BS_OPERATION_RELEASE_PATH, NULL, GATE_BEFORE);
      if (i == 0)
        gate_backing_fail (fixture->gates, BS_OPERATION_RELEASE_PATH, NULL, GATE_BEFORE, 1,
                           G_IO_ERROR_CANCELLED);
      untrack_async (fixture, cancellable, &first);
      gate_backing_wait_held (fixture->gates, BS_OPERATION_RELEASE_PATH, NULL, GATE_BEFORE, 1);
      g_cancellable_cancel (cancellable);
      untrack_async (fixture, NULL, &again[0]);
      untrack_async (fixture, NULL, &again[1]);
      g_assert_false (answer_is_there (&again[0]));
      gate_backing_release_all (fixture->gates);
      answer_wait (&first);
      answer_clear (&first);
      answer_ok (&again[0]);
      answer_ok (&again[1]);
      assert_log (fixture, NULL, i == 0 ? "release_path release_path" : "release_path");
      g_assert_true (bs_tracked_path_get_closed (fixture->tracked));
      g_clear_object (&fixture->tracked);
      fixture->tracked = track (fixture, fixture->file);
    }
  gate_backing_set_stubborn (fixture->gates, FALSE);
}

static void
test_track_while_untracking (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsTrackedPath) again = NULL;
  Answer untrack = { 0 }, tracked = { 0 };

  ask_held (fixture, BS_OPERATION_RELEASE_PATH, NULL,
            bs_backing_store_untrack_path_async (fixture->store, fixture->tracked,
                                                 G_PRIORITY_DEFAULT, NULL, answer_cb, &untrack));
  bs_backing_store_track_path_async (fixture->store, fixture->file, G_PRIORITY_DEFAULT, NULL,
                                     answer_cb, &tracked);
  gate_backing_release (fixture->gates, BS_OPERATION_RELEASE_PATH, NULL, GATE_BEFORE);
  answer_ok (&untrack);
  again = answer_pointer (&tracked);
  g_assert_true (again != fixture->tracked);
  g_assert_false (bs_tracked_path_get_closed (again));
  assert_log (fixture, NULL, "release_path sanitize_path");
}

static void
test_last_unref_against_track (Fixture *fixture, gconstpointer data)
{
  Answer tracked = { 0 };

  for (GatePoint point = GATE_BEFORE; point <= GATE_AFTER; point++)
    {
      gate_backing_reset_log (fixture->gates);
      gate_backing_hold (fixture->gates, BS_OPERATION_RELEASE_PATH, NULL, point);
      assert_goes (g_steal_pointer (&fixture->tracked));
      gate_backing_wait_held (fixture->gates, BS_OPERATION_RELEASE_PATH, NULL, point, 1);
      bs_backing_store_track_path_async (fixture->store, fixture->file, G_PRIORITY_DEFAULT, NULL,
                                         answer_cb, &tracked);
      g_assert_false (answer_is_there (&tracked));
      gate_backing_release (fixture->gates, BS_OPERATION_RELEASE_PATH, NULL, point);
      fixture->tracked = answer_pointer (&tracked);
      assert_log (fixture, NULL, "release_path sanitize_path");
    }
}

/* The release waits for its turn in the lane when the path is asked for again. */
static void
test_last_unref_with_release_queued (Fixture *fixture, gconstpointer data)
{
  Answer tracked = { 0 };
  Plug plug = { 0 };

  plug_in (&plug, fixture);
  assert_goes (g_steal_pointer (&fixture->tracked));
  bs_backing_store_track_path_async (fixture->store, fixture->file, G_PRIORITY_DEFAULT, NULL,
                                     answer_cb, &tracked);
  plug_out (&plug, fixture);
  fixture->tracked = answer_pointer (&tracked);
  g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_SANITIZE_PATH, NULL), <=, 1);
}

typedef struct
{
  Fixture *fixture;
  int *go;
  BsTrackedPath *tracked;
} Racer;

static gpointer
race_unref (gpointer data)
{
  Racer *racer = data;

  g_atomic_int_inc (racer->go);
  spin_until (g_atomic_int_get (racer->go) == 2);
  g_object_unref (g_steal_pointer (&racer->tracked));
  return NULL;
}

static gpointer
race_track (gpointer data)
{
  Racer *racer = data;

  g_atomic_int_inc (racer->go);
  spin_until (g_atomic_int_get (racer->go) == 2);
  racer->tracked =
    bs_backing_store_track_path (racer->fixture->store, racer->fixture->file, NULL, NULL);
  return NULL;
}

static void
test_last_unref_race (Fixture *fixture, gconstpointer data)
{
  for (guint i = 0; i < 200; i++)
    {
      int go = 0;
      Racer unref = { fixture, &go, g_steal_pointer (&fixture->tracked) };
      Racer tracker = { fixture, &go, NULL };
      GThread *threads[2];

      threads[0] = g_thread_new ("unref", race_unref, &unref);
      threads[1] = g_thread_new ("track", race_track, &tracker);
      g_thread_join (threads[0]);
      g_thread_join (threads[1]);
      fixture->tracked = tracker.tracked;
      g_assert_nonnull (fixture->tracked);
      g_assert_false (bs_tracked_path_get_closed (fixture->tracked));
    }
}

static void
test_leave_scan_then_track (Fixture *fixture, gconstpointer data)
{
  for (guint stubborn = 0; stubborn < 2; stubborn++)
    {
      g_autoptr (GFile) file = g_file_new_for_uri (stubborn ? "gate:///other" : "gate:///another");
      g_autoptr (GCancellable) cancellable = g_cancellable_new ();
      g_autoptr (BsTrackedPath) first = NULL, second = NULL;
      Answer leavers[2] = { 0 }, late = { 0 };

      gate_backing_reset_log (fixture->gates);
      gate_backing_set_stubborn (fixture->gates, stubborn);
      gate_backing_hold (fixture->gates, BS_OPERATION_SANITIZE_PATH, NULL, GATE_BEFORE);
      for (guint i = 0; i < 2; i++)
        bs_backing_store_track_path_async (fixture->store, file, G_PRIORITY_DEFAULT, cancellable,
                                           answer_cb, &leavers[i]);
      gate_backing_wait_held (fixture->gates, BS_OPERATION_SANITIZE_PATH, NULL, GATE_BEFORE, 1);
      g_cancellable_cancel (cancellable);
      bs_backing_store_track_path_async (fixture->store, file, G_PRIORITY_DEFAULT, NULL, answer_cb,
                                         &late);
      gate_backing_release (fixture->gates, BS_OPERATION_SANITIZE_PATH, NULL, GATE_BEFORE);

      second = answer_pointer (&late);
      g_assert_false (bs_tracked_path_get_closed (second));
      for (guint i = 0; i < 2; i++)
        {
          answer_wait (&leavers[i]);
          if (!g_task_had_error (G_TASK (leavers[i].result)))
            {
              /* The last to leave is told what really happened. */
              g_assert_true (stubborn);
              first = answer_pointer (&leavers[i]);
              g_assert_true (first == second);
              g_clear_object (&first);
            }
          answer_clear (&leavers[i]);
        }
      g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_SANITIZE_PATH, NULL), <=,
                        2);
      gate_backing_set_stubborn (fixture->gates, FALSE);
    }
}

static void
test_one_of_a_scan_leaves (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GFile) file = g_file_new_for_uri ("gate:///other");
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (BsTrackedPath) tracked = NULL;
  Answer leaver = { 0 }, stayer = { 0 };

  gate_backing_hold (fixture->gates, BS_OPERATION_SANITIZE_PATH, NULL, GATE_BEFORE);
  bs_backing_store_track_path_async (fixture->store, file, G_PRIORITY_DEFAULT, cancellable,
                                     answer_cb, &leaver);
  bs_backing_store_track_path_async (fixture->store, file, G_PRIORITY_DEFAULT, NULL, answer_cb,
                                     &stayer);
  gate_backing_wait_held (fixture->gates, BS_OPERATION_SANITIZE_PATH, NULL, GATE_BEFORE, 1);
  g_cancellable_cancel (cancellable);
  answer_cancelled (&leaver);
  gate_backing_release (fixture->gates, BS_OPERATION_SANITIZE_PATH, NULL, GATE_BEFORE);
  tracked = answer_pointer (&stayer);
  g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_SANITIZE_PATH, NULL), ==, 1);
}

/* A scan that nobody wants and that was not begun is never begun. */
static void
test_leave_queued_scan (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GFile) file = g_file_new_for_uri ("gate:///other");
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  Answer leaver = { 0 };
  Plug plug = { 0 };

  plug_in (&plug, fixture);
  bs_backing_store_track_path_async (fixture->store, file, G_PRIORITY_DEFAULT, cancellable,
                                     answer_cb, &leaver);
  g_cancellable_cancel (cancellable);
  answer_cancelled (&leaver);
  plug_out (&plug, fixture);
  settle (fixture);
  g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_SANITIZE_PATH, NULL), ==, 0);
}

static void
test_failed_scan (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GFile) file = g_file_new_for_uri ("gate:///other");
  g_autoptr (BsTrackedPath) tracked = NULL;
  Answer answers[2] = { 0 };

  gate_backing_hold (fixture->gates, BS_OPERATION_SANITIZE_PATH, NULL, GATE_BEFORE);
  gate_backing_fail (fixture->gates, BS_OPERATION_SANITIZE_PATH, NULL, GATE_BEFORE, 1,
                     G_IO_ERROR_PERMISSION_DENIED);
  for (guint i = 0; i < 2; i++)
    bs_backing_store_track_path_async (fixture->store, file, G_PRIORITY_DEFAULT, NULL, answer_cb,
                                       &answers[i]);
  gate_backing_release (fixture->gates, BS_OPERATION_SANITIZE_PATH, NULL, GATE_BEFORE);
  for (guint i = 0; i < 2; i++)
    answer_fails (&answers[i], G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);
  tracked = track (fixture, file);
  g_assert_nonnull (tracked);
}

static void
release_report_cb (BsBackingStore *store,
                   const char *key,
                   BsOperation operation,
                   GError *error,
                   gpointer data)
{
  g_assert_null (key);
  g_assert_cmpint (operation, ==, BS_OPERATION_RELEASE_PATH);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_BUSY);
  ++*(guint *) data;
}

/* The release at the last unref has nobody to tell, so it is reported; the path can be
 * tracked again. */
static void
test_last_unref_release_fails (Fixture *fixture, gconstpointer data)
{
  guint n_reports = 0;

  g_signal_connect (fixture->store, "background-error", G_CALLBACK (release_report_cb), &n_reports);
  gate_backing_fail (fixture->gates, BS_OPERATION_RELEASE_PATH, NULL, GATE_AFTER, 1,
                     G_IO_ERROR_BUSY);
  assert_goes (g_steal_pointer (&fixture->tracked));
  wait_until (n_reports == 1);
  fixture->tracked = track (fixture, fixture->file);
  assert_log (fixture, NULL, "release_path sanitize_path");
  g_signal_handlers_disconnect_by_data (fixture->store, &n_reports);
}

/* One that fails at closing keeps none of the others from being released, nor the
 * backing from being closed; closing says so. */
static void
test_close_release_fails (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GFile) other_file = g_file_new_for_uri ("gate:///other");
  g_autoptr (BsTrackedPath) other = track (fixture, other_file);
  g_autoptr (GError) error = NULL;

  gate_backing_reset_log (fixture->gates);
  gate_backing_fail (fixture->gates, BS_OPERATION_RELEASE_PATH, NULL, GATE_BEFORE, 1,
                     G_IO_ERROR_BUSY);
  g_assert_false (bs_backing_store_close (fixture->store, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_BUSY);
  g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_RELEASE_PATH, NULL), ==, 2);
  g_assert_true (bs_tracked_path_get_closed (fixture->tracked));
  g_assert_true (bs_tracked_path_get_closed (other));
  g_assert_true (gate_backing_is_closed (fixture->gates));
}

/* A read whose blob is missing from primary storage fetches it from the path, which is
 * not released meanwhile. */
static void
test_untrack_during_healing (Fixture *fixture, gconstpointer data)
{
  g_autofree char *key = put_key (fixture, "a");
  g_autoptr (BsItem) item = bs_pool_register (fixture->pool, fixture->tracked, key, NULL, NULL);
  Answer load = { 0 }, untrack = { 0 };

  gate_backing_lose_primary (fixture->gates, key);
  ask_held (fixture, BS_OPERATION_REGISTER_KEY, key,
            bs_item_load_async (item, G_PRIORITY_DEFAULT, NULL, answer_cb, &load));
  gate_backing_reset_log (fixture->gates);
  bs_backing_store_set_max_threads (fixture->store, fixture->n_threads + 1);
  untrack_async (fixture, NULL, &untrack);
  g_assert_false (answer_is_there (&untrack));
  gate_backing_release (fixture->gates, BS_OPERATION_REGISTER_KEY, key, GATE_BEFORE);
  g_bytes_unref (answer_pointer (&load));
  answer_ok (&untrack);
  g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_RELEASE_PATH, NULL), ==, 1);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);

  test_add ("/interleavings/sync/during-running", test_during_running_sync);
  test_add ("/interleavings/sync/during-waiting", test_during_waiting_sync);
  test_add ("/interleavings/sync/cancel-waiting", test_cancel_waiting_sync);
  test_add ("/interleavings/sync/cancel-gathering", test_cancel_gathering_sync);
  test_add ("/interleavings/sync/cancel-running", test_cancel_running_sync);
  test_add ("/interleavings/sync/endless-persists", test_endless_persists);
  test_add ("/interleavings/sync/failed", test_failed_sync);
  test_add ("/interleavings/sync/again-after-failed-sync", test_again_after_failed_sync);
  test_add ("/interleavings/sync/bulk-after-failed-sync", test_bulk_after_failed_sync);
  test_add ("/interleavings/sync/failed-again-after-failed-sync",
            test_failed_again_after_failed_sync);
  test_add ("/interleavings/sync/during-failing-sync", test_during_failing_sync);
  test_add ("/interleavings/sync/again-after-cancelled-sync", test_again_after_cancelled_sync);
  test_add ("/interleavings/untrack/after-syncs", test_untrack_after_syncs);
  test_add ("/interleavings/untrack/during-bulk", test_untrack_during_bulk);
  test_add ("/interleavings/untrack/during-healing", test_untrack_during_healing);
  test_add ("/interleavings/untrack/cancelled-or-failed", test_untrack_cancelled_or_failed);
  test_add ("/interleavings/untrack/after-track", test_track_before_untrack);
  test_add ("/interleavings/untrack/again", test_untrack_again);
  test_add ("/interleavings/untrack/then-track", test_track_while_untracking);
  test_add ("/interleavings/track/last-unref", test_last_unref_against_track);
  test_add ("/interleavings/track/last-unref-queued", test_last_unref_with_release_queued);
  test_add ("/interleavings/track/last-unref-race", test_last_unref_race);
  test_add ("/interleavings/track/last-unref-fails", test_last_unref_release_fails);
  test_add ("/interleavings/close/release-fails", test_close_release_fails);
  test_add ("/interleavings/track/leave-scan", test_leave_scan_then_track);
  test_add ("/interleavings/track/one-leaves-scan", test_one_of_a_scan_leaves);
  test_add ("/interleavings/track/leave-queued-scan", test_leave_queued_scan);
  test_add ("/interleavings/track/failed-scan", test_failed_scan);

  return g_test_run ();
}
