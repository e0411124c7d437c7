/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "store-fixture.h"

/* Contents that are in memory only, on a backing that persists them in one step. */

static void
persist (Fixture *fixture, BsItem *item)
{
  g_autoptr (GError) error = NULL;

  bs_item_persist (item, fixture->tracked, NULL, &error);
  g_assert_no_error (error);
}

static void
assert_persist_fails (Fixture *fixture, BsItem *item, int code)
{
  g_autoptr (GError) error = NULL;

  g_assert_false (bs_item_persist (item, fixture->tracked, NULL, &error));
  g_assert_error (error, G_IO_ERROR, code);
}

/* One call, after which the blob is in primary storage and at the path. */
static void
test_one_step (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsItem) item = insert (fixture, "a");
  g_autofree char *key = bs_item_dup_key (item);
  g_autoptr (GError) error = NULL;

  persist (fixture, item);
  persist (fixture, item);
  assert_log (fixture, key, "persist_bytes");
  g_assert_true (gate_backing_has_primary (fixture->gates, key));
  g_assert_true (gate_backing_has_persisted (fixture->gates, fixture->file, key));
  g_assert_true (bs_tracked_path_contains_key (fixture->tracked, key));

  bs_pool_trim (fixture->pool, 0, NULL, &error);
  g_assert_no_error (error);
  assert_content (item, "a");
  g_clear_object (&item);
  settle (fixture);
  assert_log (fixture, key, "persist_bytes read delete_key");
  g_assert_true (is_forgotten (fixture->store, key));
}

static void
test_written (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsItem) item = insert_written (fixture, "a");
  g_autofree char *key = bs_item_dup_key (item);

  persist (fixture, item);
  assert_log (fixture, key, "write persist");
}

/* A failed call leaves it uncertain whether primary storage has the blob, and whether
 * the path has it. */
static void
test_fails_before (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsItem) item = insert (fixture, "a");
  g_autofree char *key = bs_item_dup_key (item);

  gate_backing_fail (fixture->gates, BS_OPERATION_PERSIST_BYTES, key, GATE_BEFORE, 1,
                     G_IO_ERROR_NO_SPACE);
  assert_persist_fails (fixture, item, G_IO_ERROR_NO_SPACE);
  g_assert_false (gate_backing_has_primary (fixture->gates, key));

  persist (fixture, item);
  assert_log (fixture, key, "persist_bytes write persist");
}

static void
test_fails_after (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsItem) item = insert (fixture, "a");
  g_autofree char *key = bs_item_dup_key (item);

  gate_backing_fail (fixture->gates, BS_OPERATION_PERSIST_BYTES, key, GATE_AFTER, 1,
                     G_IO_ERROR_TIMED_OUT);
  assert_persist_fails (fixture, item, G_IO_ERROR_TIMED_OUT);

  persist (fixture, item);
  assert_log (fixture, key, "persist_bytes write delete_key write persist");
}

static void
test_fails_then_opposite (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsItem) item = insert (fixture, "a");
  g_autofree char *key = bs_item_dup_key (item);
  g_autoptr (GError) error = NULL;

  gate_backing_fail (fixture->gates, BS_OPERATION_PERSIST_BYTES, key, GATE_AFTER, 1,
                     G_IO_ERROR_TIMED_OUT);
  assert_persist_fails (fixture, item, G_IO_ERROR_TIMED_OUT);
  bs_backing_store_delete_persisted (fixture->store, fixture->tracked, key, NULL, &error);
  g_assert_no_error (error);
  g_assert_false (gate_backing_has_persisted (fixture->gates, fixture->file, key));

  g_clear_object (&item);
  settle (fixture);
  assert_log (fixture, key, "persist_bytes delete_persisted delete_key");
  g_assert_false (gate_backing_has_primary (fixture->gates, key));
}

/* Equal operations join the running call; a write and a read behind it need none. */
static void
test_merged (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsItem) item = insert (fixture, "a");
  g_autofree char *key = bs_item_dup_key (item);
  Answer first = { NULL };
  Answer second = { NULL };
  Answer write = { NULL };

  ask_held (fixture, BS_OPERATION_PERSIST_BYTES, key, persist_async (fixture, item, NULL, &first));
  persist_async (fixture, item, NULL, &second);
  bs_item_write_async (item, G_PRIORITY_DEFAULT, NULL, answer_cb, &write);
  g_assert_false (answer_is_there (&first));
  gate_backing_release_all (fixture->gates);

  answer_ok (&first);
  answer_ok (&second);
  answer_ok (&write);
  settle (fixture);
  assert_log (fixture, key, "persist_bytes");
}

static void
test_cancelled (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (BsItem) item = insert (fixture, "a");
  g_autofree char *key = bs_item_dup_key (item);
  Answer answer = { NULL };

  ask_held (fixture, BS_OPERATION_PERSIST_BYTES, key,
            persist_async (fixture, item, cancellable, &answer));
  g_cancellable_cancel (cancellable);
  answer_cancelled (&answer);
  gate_backing_release_all (fixture->gates);
  g_assert_false (gate_backing_has_persisted (fixture->gates, fixture->file, key));

  persist (fixture, item);
  assert_content (item, "a");
  assert_log (fixture, key, "persist_bytes write persist");
}

static void
test_fails_silently (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsItem) item = insert (fixture, "a");
  g_autofree char *key = bs_item_dup_key (item);

  gate_backing_fail_silently (fixture->gates, BS_OPERATION_PERSIST_BYTES);
  {
    g_autoptr (GError) error = NULL;

    g_assert_false (bs_item_persist (item, fixture->tracked, NULL, &error));
    g_assert_error (error, BS_ERROR, BS_ERROR_FAILED);
    g_assert_nonnull (strstr (error->message, "persist_bytes"));
    g_assert_nonnull (strstr (error->message, key));
  }
}

/* A save brings each name in one step, and one that fails leaves no key at the path. */
static void
test_save (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsItem) first = insert (fixture, "a");
  g_autoptr (BsItem) second = insert_written (fixture, "b");
  g_autofree char *first_key = bs_item_dup_key (first);
  g_autofree char *second_key = bs_item_dup_key (second);

  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (BsSave) save = bs_save_new (fixture->store, fixture->tracked);
      g_autoptr (GError) error = NULL;

      bs_save_add_item (save, first);
      bs_save_add_item (save, second);
      if (i == 0)
        gate_backing_fail (fixture->gates, BS_OPERATION_PERSIST_BYTES, first_key, GATE_BEFORE, 1,
                           G_IO_ERROR_NO_SPACE);
      g_assert_cmpint (bs_save_run (save, NULL, &error), ==, i == 1);
      if (i == 0)
        g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
      else
        g_assert_no_error (error);
      g_assert_cmpint (gate_backing_is_durable (fixture->gates, fixture->file, first_key) &&
                         gate_backing_has_persisted (fixture->gates, fixture->file, first_key),
                       ==, i == 1);
    }
  assert_log (fixture, first_key, "persist_bytes write persist");
  g_assert_true (gate_backing_has_persisted (fixture->gates, fixture->file, second_key));
}

/* A fault backing has the function where the backing inside has it. Rules for a write and
 * for a persist hold for it as well. */
static void
test_fault_backing (Fixture *fixture, gconstpointer data)
{
  static const BsOperation operations[] = {
    BS_OPERATION_PERSIST_BYTES,
    BS_OPERATION_WRITE,
    BS_OPERATION_PERSIST,
  };
  static const char *const logs[] = { "write persist", "persist_bytes" };

  for (guint direct = 0; direct < 2; direct++)
    {
      g_autoptr (GateBacking) gates = direct ? gate_backing_new_direct () : gate_backing_new ();
      g_autoptr (BsFaultBacking) fault = bs_fault_backing_new (BS_BACKING (gates));
      g_autoptr (BsBackingStore) store = bs_backing_store_new (BS_BACKING (fault));
      g_autoptr (BsPool) pool = bs_pool_new (store, G_MAXINT64);
      g_autoptr (GError) full = g_error_new_literal (G_IO_ERROR, G_IO_ERROR_NO_SPACE, "full");
      g_autoptr (GBytes) bytes = g_bytes_new_static ("a", 1);
      g_autoptr (BsItem) item = bs_pool_insert (pool, bytes);
      g_autoptr (BsItem) failing = bs_pool_insert (pool, bytes);
      g_autofree char *key = bs_item_dup_key (item);
      g_autofree char *log = NULL;
      g_autoptr (GError) error = NULL;
      g_autoptr (BsTrackedPath) tracked =
        bs_backing_store_track_path (store, fixture->file, NULL, &error);

      g_assert_no_error (error);
      bs_item_persist (item, tracked, NULL, &error);
      g_assert_no_error (error);
      log = gate_backing_dup_log (gates, key);
      g_assert_cmpstr (log, ==, logs[direct]);
      g_assert_cmpuint (bs_fault_backing_get_count (fault, BS_OPERATION_PERSIST_BYTES), ==, direct);
      g_assert_cmpuint (bs_fault_backing_get_count (fault, BS_OPERATION_WRITE), ==, 1);
      g_assert_cmpuint (bs_fault_backing_get_count (fault, BS_OPERATION_PERSIST), ==, 1);

      for (guint i = direct ? 0 : 1; i < G_N_ELEMENTS (operations); i++)
        {
          bs_fault_backing_fail (fault, operations[i], NULL, 1, full);
          g_assert_false (bs_item_persist (failing, tracked, NULL, &error));
          g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
          g_clear_error (&error);
        }

      bs_backing_store_close (store, NULL, &error);
      g_assert_no_error (error);
    }
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);

  test_add_direct ("/persist-bytes/one-step", test_one_step);
  test_add_direct ("/persist-bytes/written", test_written);
  test_add_direct ("/persist-bytes/fails/before", test_fails_before);
  test_add_direct ("/persist-bytes/fails/after", test_fails_after);
  test_add_direct ("/persist-bytes/fails/then-opposite", test_fails_then_opposite);
  test_add_direct ("/persist-bytes/fails/silently", test_fails_silently);
  test_add_direct ("/persist-bytes/merged", test_merged);
  test_add_direct ("/persist-bytes/cancelled", test_cancelled);
  test_add_direct ("/persist-bytes/save", test_save);
  test_add_once ("/persist-bytes/fault-backing", test_fault_backing);

  return g_test_run ();
}
