/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "pool-fixture.h"

#include "pool/bs-eviction-private.h"
#include "pool/bs-pool-private.h"

static void
test_properties (void)
{
  g_autoptr (BsBackingStore) store = NULL;
  guint64 max_bytes, memory_use, memory_in_use;
  guint n_items, n_resident;
  Fixture fixture;

  fixture_set_up (&fixture, 12345);
  g_object_get (fixture.pool, "store", &store, "max-bytes", &max_bytes, "memory-use", &memory_use,
                "memory-in-use", &memory_in_use, "n-items", &n_items, "n-resident", &n_resident,
                NULL);
  g_assert_true (store == fixture.store);
  g_assert_true (bs_pool_get_store (fixture.pool) == fixture.store);
  g_assert_cmpuint (max_bytes, ==, 12345);
  g_assert_cmpuint (memory_use, ==, 0);
  g_assert_cmpuint (memory_in_use, ==, 0);
  g_assert_cmpuint (n_items, ==, 0);
  g_assert_cmpuint (n_resident, ==, 0);

  g_object_set (fixture.pool, "max-bytes", (guint64) 54321, NULL);
  g_assert_cmpuint (bs_pool_get_max_bytes (fixture.pool), ==, 54321);
  g_clear_object (&store);
  fixture_tear_down (&fixture);
}

static void
test_insert (void)
{
  g_autofree char *key = NULL;
  BsItem *item;
  Fixture fixture;

  fixture_set_up (&fixture, 1000);
  item = insert (fixture.pool, 100, 'a');
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 100);
  g_assert_cmpuint (bs_pool_get_n_items (fixture.pool), ==, 1);
  g_assert_cmpuint (bs_pool_get_n_resident (fixture.pool), ==, 1);
  g_assert_cmpint (bs_item_get_size (item), ==, 100);
  g_assert_true (bs_item_get_pool (item) == fixture.pool);
  key = bs_item_dup_key (item);
  g_assert_true (bs_key_is_valid (key));

  g_assert_finalize_object (item);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 0);
  g_assert_cmpuint (bs_pool_get_n_items (fixture.pool), ==, 0);
  g_assert_cmpuint (bs_pool_get_n_resident (fixture.pool), ==, 0);

  /* A content that never left memory never touches the backing. */
  fixture_wait_finished (&fixture);
  g_assert_cmpuint (count (&fixture, BS_OPERATION_WRITE), ==, 0);
  g_assert_cmpuint (count (&fixture, BS_OPERATION_DELETE_KEY), ==, 0);
  fixture_tear_down (&fixture);
}

/* Ten items of 100 bytes, all of them in the backing as well. */
static void
insert_written (Fixture *fixture, BsItem **items)
{
  for (guint i = 0; i < 10; i++)
    {
      g_autoptr (GError) error = NULL;

      items[i] = insert (fixture->pool, 100, letter_of (i));
      bs_item_write (items[i], NULL, &error);
      g_assert_no_error (error);
    }
}

static void
test_least_recently_used (void)
{
  BsItem *items[10];
  Fixture fixture;

  fixture_set_up (&fixture, 1000);
  insert_written (&fixture, items);
  g_assert_true (is_resident (items[0]));
  g_assert_true (is_resident (items[3]));

  /* A clean content goes before the call returns. */
  bs_pool_set_max_bytes (fixture.pool, 500);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 500);
  g_assert_cmpuint (bs_pool_get_n_resident (fixture.pool), ==, 5);
  for (guint i = 0; i < 10; i++)
    g_assert_cmpint (is_resident (items[i]), ==, i == 0 || i == 3 || i >= 7);
  g_assert_cmpuint (count (&fixture, BS_OPERATION_WRITE), ==, 10);

  /* A load makes room for itself. */
  for (guint i = 0; i < 10; i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GBytes) bytes = bs_item_load (items[i], NULL, &error);

      g_assert_no_error (error);
      assert_filled (bytes, 100, letter_of (i));
      g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), <=, 500);
    }

  unref_items (items, 10);
  fixture_tear_down (&fixture);
}

static void
test_background_write (void)
{
  BsItem *items[10];
  Fixture fixture;

  fixture_set_up (&fixture, 700);
  bs_fault_backing_hold (fixture.fault, BS_OPERATION_WRITE);
  insert_many (fixture.pool, items, 10, 100);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 1000);

  /* On their way out, and in memory as ever. */
  wait_until (count (&fixture, BS_OPERATION_WRITE) > 0);
  for (guint i = 0; i < 10; i++)
    {
      g_autoptr (GBytes) bytes = bs_item_try_load (items[i]);
      g_autoptr (GBytes) again = bs_item_load (items[i], NULL, NULL);

      assert_filled (bytes, 100, letter_of (i));
      g_assert_true (bytes == again);
    }

  bs_fault_backing_release (fixture.fault, BS_OPERATION_WRITE);
  wait_until (bs_pool_get_memory_use (fixture.pool) <= 700);
  fixture_wait_finished (&fixture);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 700);
  g_assert_cmpuint (count (&fixture, BS_OPERATION_READ), ==, 0);

  assert_all_loadable (items, 10, 100);

  unref_items (items, 10);
  fixture_wait_finished (&fixture);
  fixture_tear_down (&fixture);
}

/* A content stays for which there is room when it has been written. */
static void
test_room_when_written (void)
{
  BsItem *items[2];
  Fixture fixture;

  fixture_set_up (&fixture, 100);
  bs_fault_backing_hold (fixture.fault, BS_OPERATION_WRITE);
  insert_many (fixture.pool, items, 2, 100);
  wait_until (count (&fixture, BS_OPERATION_WRITE) > 0);
  bs_pool_set_max_bytes (fixture.pool, 1000);
  bs_fault_backing_release (fixture.fault, BS_OPERATION_WRITE);
  fixture_wait_finished (&fixture);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 200);
  assert_all_loadable (items, 2, 100);
  g_assert_cmpuint (count (&fixture, BS_OPERATION_READ), ==, 0);

  unref_items (items, 2);
  fixture_tear_down (&fixture);
}

static void
test_no_needless_writes (void)
{
  BsItem *items[10];
  Fixture fixture;

  fixture_set_up (&fixture, 1000);
  bs_backing_store_set_max_threads (fixture.store, 8);
  bs_fault_backing_hold (fixture.fault, BS_OPERATION_WRITE);
  insert_many (fixture.pool, items, 10, 100);

  /* Asked again and again, while nothing has left yet. */
  bs_pool_set_max_bytes (fixture.pool, 900);
  bs_pool_set_max_bytes (fixture.pool, 800);
  for (guint i = 0; i < 20; i++)
    bs_pool_set_max_bytes (fixture.pool, 700 - i);
  bs_pool_set_max_bytes (fixture.pool, 700);
  bs_fault_backing_release (fixture.fault, BS_OPERATION_WRITE);
  fixture_wait_finished (&fixture);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), <=, 700);
  /* Three, and what was about to follow. */
  g_assert_cmpuint (count (&fixture, BS_OPERATION_WRITE), <=, 6);

  unref_items (items, 10);
  fixture_tear_down (&fixture);
}

static void
test_no_budget_at_all (void)
{
  BsItem *items[10];
  Fixture fixture;

  fixture_set_up (&fixture, 0);
  insert_many (fixture.pool, items, 10, 100);
  wait_until (bs_pool_get_memory_use (fixture.pool) == 0);
  wait_until (bs_pool_get_memory_in_use (fixture.pool) == 0);
  g_assert_cmpuint (bs_pool_get_n_resident (fixture.pool), ==, 0);
  g_assert_cmpuint (count (&fixture, BS_OPERATION_WRITE), ==, 10);

  for (guint i = 0; i < 10; i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GBytes) bytes = bs_item_load (items[i], NULL, &error);

      g_assert_no_error (error);
      assert_filled (bytes, 100, letter_of (i));
      g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 0);
      g_assert_cmpuint (bs_pool_get_memory_in_use (fixture.pool), ==, 100);
    }
  g_assert_cmpuint (bs_pool_get_memory_in_use (fixture.pool), ==, 0);

  unref_items (items, 10);
  fixture_tear_down (&fixture);
}

static void
test_larger_than_budget (void)
{
  g_autoptr (GError) error = NULL;
  BsItem *items[10], *large;
  GBytes *bytes;
  Fixture fixture;

  fixture_set_up (&fixture, 1000);
  insert_written (&fixture, items);
  large = insert (fixture.pool, 5000, 'L');
  bs_pool_trim (fixture.pool, 1000, NULL, &error);
  g_assert_no_error (error);
  g_assert_false (is_resident (large));

  /* A content that cannot stay drives no other one out. */
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 1000);
  bytes = bs_item_load (large, NULL, &error);
  g_assert_no_error (error);
  assert_filled (bytes, 5000, 'L');
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 1000);
  g_assert_cmpuint (bs_pool_get_memory_in_use (fixture.pool), ==, 5000);
  g_bytes_unref (bytes);
  g_assert_cmpuint (bs_pool_get_memory_in_use (fixture.pool), ==, 0);

  assert_goes (large);
  unref_items (items, 10);
  fixture_tear_down (&fixture);
}

static void
test_trim (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GAsyncResult) result = NULL;
  BsItem *items[10];
  Fixture fixture;

  fixture_set_up (&fixture, 2000);
  insert_many (fixture.pool, items, 10, 100);

  /* The pool is there already. */
  g_assert_true (bs_pool_trim (fixture.pool, 1000, NULL, &error));
  g_assert_no_error (error);
  bs_pool_trim_async (fixture.pool, 1000, G_PRIORITY_DEFAULT, NULL, store_result, &result);
  g_assert_null (result);
  g_assert_true (bs_pool_trim_finish (fixture.pool, wait_result (&result), &error));
  g_assert_no_error (error);
  g_clear_object (&result);
  g_assert_cmpuint (count (&fixture, BS_OPERATION_WRITE), ==, 0);

  g_assert_true (bs_pool_trim (fixture.pool, 450, NULL, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), <=, 450);

  bs_pool_trim_async (fixture.pool, 0, G_PRIORITY_HIGH, NULL, store_result, &result);
  g_assert_null (result);
  g_assert_true (bs_pool_trim_finish (fixture.pool, wait_result (&result), &error));
  g_assert_no_error (error);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 0);
  g_assert_cmpuint (bs_pool_get_n_resident (fixture.pool), ==, 0);
  g_assert_cmpuint (count (&fixture, BS_OPERATION_WRITE), ==, 10);
  g_assert_cmpuint (bs_pool_get_max_bytes (fixture.pool), ==, 2000);

  unref_items (items, 10);
  g_clear_object (&result);
  fixture_tear_down (&fixture);
}

static gpointer
cancel_thread (gpointer data)
{
  g_cancellable_cancel (data);
  return NULL;
}

static gpointer
trim_thread (gpointer data)
{
  g_autoptr (GError) error = NULL;
  gboolean trimmed = bs_pool_trim (data, 0, NULL, &error);

  g_assert_no_error (error);
  return GINT_TO_POINTER (trimmed);
}

static void
test_trim_cancel (void)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GCancellable) before = g_cancellable_new ();
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GAsyncResult) other = NULL;
  g_autoptr (GError) error = NULL;
  GThread *thread, *canceller;
  BsItem *item;
  Fixture fixture;

  fixture_set_up (&fixture, 1000);
  bs_fault_backing_hold (fixture.fault, BS_OPERATION_WRITE);
  item = insert (fixture.pool, 100, 'a');

  /* One leaves, and the others never notice. */
  bs_pool_trim_async (fixture.pool, 0, G_PRIORITY_DEFAULT, cancellable, store_result, &result);
  bs_pool_trim_async (fixture.pool, 50, G_PRIORITY_DEFAULT, NULL, store_result, &other);
  thread = g_thread_new ("trim", trim_thread, fixture.pool);
  wait_until (count (&fixture, BS_OPERATION_WRITE) == 1);
  canceller = g_thread_new ("cancel", cancel_thread, cancellable);
  g_assert_false (bs_pool_trim_finish (fixture.pool, wait_result (&result), &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  g_assert_null (other);
  g_thread_join (canceller);

  /* Cancelled before it starts. */
  g_cancellable_cancel (before);
  g_assert_false (bs_pool_trim (fixture.pool, 0, before, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  g_clear_object (&result);
  bs_pool_trim_async (fixture.pool, 0, G_PRIORITY_DEFAULT, before, store_result, &result);
  g_assert_false (bs_pool_trim_finish (fixture.pool, wait_result (&result), &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 100);

  bs_fault_backing_release (fixture.fault, BS_OPERATION_WRITE);
  g_assert_true (bs_pool_trim_finish (fixture.pool, wait_result (&other), &error));
  g_assert_no_error (error);
  g_assert_true (GPOINTER_TO_INT (g_thread_join (thread)));
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 0);

  assert_goes (item);
  g_clear_object (&result);
  g_clear_object (&other);
  fixture_tear_down (&fixture);
}

/* The one content leaves, and all targets are reached at that moment. */
static void
test_trim_targets (void)
{
  static const guint64 targets[] = { 50, 0, 99 };
  GAsyncResult *results[G_N_ELEMENTS (targets)] = { NULL };
  g_autoptr (GError) error = NULL;
  BsItem *item;
  Fixture fixture;

  fixture_set_up (&fixture, 1000);
  bs_fault_backing_hold (fixture.fault, BS_OPERATION_WRITE);
  item = insert (fixture.pool, 100, 'a');
  for (guint i = 0; i < G_N_ELEMENTS (targets); i++)
    bs_pool_trim_async (fixture.pool, targets[i], G_PRIORITY_DEFAULT, NULL, store_result,
                        &results[i]);
  wait_until (count (&fixture, BS_OPERATION_WRITE) == 1);

  bs_fault_backing_release (fixture.fault, BS_OPERATION_WRITE);
  for (guint i = 0; i < G_N_ELEMENTS (targets); i++)
    {
      g_assert_true (bs_pool_trim_finish (fixture.pool, wait_result (&results[i]), &error));
      g_assert_no_error (error);
      g_object_unref (results[i]);
    }

  assert_goes (item);
  fixture_tear_down (&fixture);
}

static void
loaded_cb (GObject *item, GAsyncResult *result, gpointer n_loaded)
{
  g_autoptr (GBytes) bytes = bs_item_load_finish (BS_ITEM (item), result, NULL);

  g_assert_nonnull (bytes);
  ++*(guint *) n_loaded;
}

/* The writes of a trim come before loads that were asked earlier with a worse priority. */
static void
test_trim_priority (void)
{
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;
  guint n_loaded = 0;
  BsItem *items[2];
  BsItem *unwritten;
  Fixture fixture;

  fixture_set_up (&fixture, G_MAXUINT64);
  bs_backing_store_set_max_threads (fixture.store, 1);
  insert_many (fixture.pool, items, 2, 100);
  g_assert_true (bs_pool_trim (fixture.pool, 0, NULL, NULL));
  fixture_wait_finished (&fixture);
  unwritten = insert (fixture.pool, 100, 'a');

  bs_fault_backing_hold (fixture.fault, BS_OPERATION_READ);
  bs_item_load_async (items[0], G_PRIORITY_DEFAULT, NULL, loaded_cb, &n_loaded);
  wait_until (count (&fixture, BS_OPERATION_READ) == 1);
  bs_item_load_async (items[1], G_PRIORITY_DEFAULT, NULL, loaded_cb, &n_loaded);
  bs_fault_backing_hold (fixture.fault, BS_OPERATION_WRITE);
  bs_pool_trim_async (fixture.pool, 0, G_PRIORITY_HIGH, NULL, store_result, &result);
  bs_fault_backing_release (fixture.fault, BS_OPERATION_READ);
  wait_until (count (&fixture, BS_OPERATION_WRITE) == 3);
  g_assert_cmpuint (count (&fixture, BS_OPERATION_READ), ==, 1);

  bs_fault_backing_release (fixture.fault, BS_OPERATION_WRITE);
  g_assert_true (bs_pool_trim_finish (fixture.pool, wait_result (&result), &error));
  g_assert_no_error (error);
  wait_until (n_loaded == 2);

  g_clear_object (&result);
  assert_goes (unwritten);
  unref_items (items, 2);
  fixture_tear_down (&fixture);
}

/* The target is met because the items go, not because anything was written. */
static void
test_trim_met_by_drop (void)
{
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;
  BsItem *item;
  Fixture fixture;

  fixture_set_up (&fixture, 1000);
  bs_fault_backing_hold (fixture.fault, BS_OPERATION_WRITE);
  item = insert (fixture.pool, 100, 'a');
  bs_pool_trim_async (fixture.pool, 0, G_PRIORITY_DEFAULT, NULL, store_result, &result);
  wait_until (count (&fixture, BS_OPERATION_WRITE) == 1);
  g_assert_finalize_object (item);
  g_assert_true (bs_pool_trim_finish (fixture.pool, wait_result (&result), &error));
  g_assert_no_error (error);
  bs_fault_backing_release (fixture.fault, BS_OPERATION_WRITE);

  /* The blob that was just being written is nobody's: it goes again. */
  fixture_wait_finished (&fixture);
  g_assert_cmpuint (count (&fixture, BS_OPERATION_DELETE_KEY), ==, 1);
  g_clear_object (&result);
  fixture_tear_down (&fixture);
}

static void
count_error_cb (BsBackingStore *store,
                const char *key,
                BsOperation operation,
                GError *error,
                guint *n_errors)
{
  g_assert_cmpint (operation, ==, BS_OPERATION_DELETE_KEY);
  ++*n_errors;
}

/* Nothing can be deleted, and much is dropped before anybody is told. */
static void
test_many_errors (void)
{
  const guint n_items = 70000;
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) items = g_ptr_array_new_with_free_func (g_object_unref);
  guint n_errors = 0;
  Fixture fixture;

  fixture_set_up (&fixture, G_MAXUINT64);
  g_signal_connect (fixture.store, "background-error", G_CALLBACK (count_error_cb), &n_errors);
  fail_all (&fixture, BS_OPERATION_DELETE_KEY, NULL, G_IO_ERROR_READ_ONLY);
  for (guint i = 0; i < n_items; i++)
    g_ptr_array_add (items, insert (fixture.pool, 1, 'a'));
  bs_pool_trim (fixture.pool, 0, NULL, &error);
  g_assert_no_error (error);
  g_ptr_array_set_size (items, 0);
  fixture_wait_finished (&fixture);
  wait_until (n_errors == n_items);

  g_signal_handlers_disconnect_by_data (fixture.store, &n_errors);
  fixture_tear_down (&fixture);
}

/* A pool of a closed store keeps what it has. */
static void
test_no_error_after_close (void)
{
  g_autoptr (GError) error = NULL;
  BsItem *items[3];
  guint n_errors = 0;
  Fixture fixture;

  fixture_set_up (&fixture, 1000);
  g_signal_connect (fixture.store, "background-error", G_CALLBACK (count_error_cb), &n_errors);
  insert_many (fixture.pool, items, 3, 100);
  g_assert_true (bs_backing_store_close (fixture.store, NULL, &error));
  g_assert_no_error (error);

  bs_pool_set_max_bytes (fixture.pool, 0);
  g_assert_false (bs_pool_trim (fixture.pool, 0, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_CLOSED);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_assert_cmpuint (n_errors, ==, 0);
  assert_all_loadable (items, 3, 100);

  g_signal_handlers_disconnect_by_data (fixture.store, &n_errors);
  unref_items (items, 3);
  fixture_tear_down (&fixture);
}

static int n_live_errors; /* atomic */

static void
test_error_init (GError *error)
{
  g_atomic_int_inc (&n_live_errors);
}

static void
test_error_copy (const GError *source, GError *copy)
{
  /* The copy was initialized, too. */
}

static void
test_error_clear (GError *error)
{
  g_atomic_int_add (&n_live_errors, -1);
}

/* Errors do not pile up where nobody is to be told: there may be no main loop. */
static void
test_errors_of_no_interest (void)
{
  GQuark domain = g_error_domain_register_static ("test-error", sizeof (gpointer), test_error_init,
                                                  test_error_copy, test_error_clear);
  g_autoptr (GError) error = g_error_new_literal (domain, 0, "so the test wants it");
  BsItem *items[10];
  Fixture fixture;
  int n_before;

  fixture_set_up (&fixture, 10000);
  bs_fault_backing_fail (fixture.fault, BS_OPERATION_DELETE_KEY, NULL, 0, error);
  n_before = g_atomic_int_get (&n_live_errors);
  for (guint i = 0; i < 10; i++)
    items[i] = insert (fixture.pool, 1, 'a');
  bs_pool_trim (fixture.pool, 0, NULL, NULL);
  unref_items (items, 10);
  fixture_wait_finished (&fixture);
  g_assert_cmpint (g_atomic_int_get (&n_live_errors), ==, n_before);

  fixture_tear_down (&fixture);
}

static void
test_one_bad_key (void)
{
  g_autofree char *key = NULL;
  g_autoptr (GError) error = NULL;
  BsItem *items[20];
  Fixture fixture;

  fixture_set_up (&fixture, 10000);
  insert_many (fixture.pool, items, 10, 100);
  key = bs_item_dup_key (items[0]);
  fail_all (&fixture, BS_OPERATION_WRITE, key, G_IO_ERROR_FAILED);

  /* The rest leaves as if nothing had happened. */
  bs_pool_set_max_bytes (fixture.pool, 100);
  wait_until (bs_pool_get_memory_use (fixture.pool) == 100);
  g_assert_true (is_resident (items[0]));
  for (guint i = 10; i < 20; i++)
    {
      items[i] = insert (fixture.pool, 100, letter_of (i));
      wait_until (bs_pool_get_memory_use (fixture.pool) == 100);
    }
  g_assert_true (is_resident (items[0]));

  g_assert_false (bs_pool_trim (fixture.pool, 0, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_FAILED);
  g_clear_error (&error);
  bs_fault_backing_clear (fixture.fault);
  g_assert_true (bs_pool_trim (fixture.pool, 0, NULL, &error));
  g_assert_no_error (error);

  unref_items (items, 20);
  fixture_tear_down (&fixture);
}

static void
test_register (void)
{
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = NULL;
  g_autofree char *key = NULL;
  g_autofree char *upper = NULL;
  g_autofree char *same = NULL;
  BsItem *item;
  Fixture fixture;

  fixture_set_up (&fixture, 1000);
  fixture_track (&fixture);
  key = put_key (&fixture, 100, 'a');
  upper = g_ascii_strup (key, -1);
  item = bs_pool_register (fixture.pool, fixture.tracked, upper, NULL, &error);
  g_assert_no_error (error);
  same = bs_item_dup_key (item);
  g_assert_cmpstr (same, ==, key);
  g_assert_cmpint (bs_item_get_size (item), ==, -1);
  g_assert_false (is_resident (item));
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 0);
  g_assert_cmpuint (count (&fixture, BS_OPERATION_READ), ==, 0);
  bytes = bs_item_load (item, NULL, &error);
  g_assert_no_error (error);
  assert_filled (bytes, 100, 'a');
  g_assert_cmpint (bs_item_get_size (item), ==, 100);
  assert_goes (item);

  bs_pool_register_async (fixture.pool, fixture.tracked, key, G_PRIORITY_DEFAULT, NULL,
                          store_result, &result);
  g_assert_null (result);
  item = bs_pool_register_finish (fixture.pool, wait_result (&result), &error);
  g_assert_no_error (error);
  g_clear_object (&result);

  /* The blob is the item's now, whatever happens at the path. */
  g_assert_true (
    bs_backing_store_delete_persisted (fixture.store, fixture.tracked, key, NULL, &error));
  g_assert_no_error (error);
  g_clear_pointer (&bytes, g_bytes_unref);
  bytes = bs_item_load (item, NULL, &error);
  g_assert_no_error (error);
  assert_filled (bytes, 100, 'a');

  assert_goes (item);
  g_clear_pointer (&bytes, g_bytes_unref);
  fixture_tear_down (&fixture);
}

static void
test_register_errors (void)
{
  g_autoptr (GCancellable) cancelled = g_cancellable_new ();
  g_autofree char *unknown = bs_key_generate ();
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;
  Fixture fixture;

  fixture_set_up (&fixture, 1000);
  fixture_track (&fixture);
  g_assert_null (bs_pool_register (fixture.pool, fixture.tracked, unknown, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_NOT_FOUND);
  g_clear_error (&error);
  bs_pool_register_async (fixture.pool, fixture.tracked, unknown, G_PRIORITY_DEFAULT, NULL,
                          store_result, &result);
  g_assert_null (result);
  g_assert_null (bs_pool_register_finish (fixture.pool, wait_result (&result), &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_NOT_FOUND);
  g_clear_error (&error);

  g_cancellable_cancel (cancelled);
  g_assert_null (bs_pool_register (fixture.pool, fixture.tracked, unknown, cancelled, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);

  g_clear_object (&result);
  fixture_tear_down (&fixture);
}

#define N_ALL 200

static void
persist_many (Fixture *fixture)
{
  fixture_track (fixture);
  for (guint i = 0; i < N_ALL; i++)
    g_free (put_key (fixture, i, 'x'));
}

static void
load_and_drop (BsItem *item)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = bs_item_load (item, NULL, &error);

  g_assert_no_error (error);
}

static void
test_register_all (void)
{
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GHashTable) sizes = g_hash_table_new (NULL, NULL);
  g_autoptr (GError) error = NULL;
  GListModel *all;
  BsItem *kept;
  guint n_deletes, n_bulks;
  Fixture fixture;

  fixture_set_up (&fixture, 100000);
  persist_many (&fixture);
  n_deletes = count (&fixture, BS_OPERATION_DELETE_KEY);

  all = bs_pool_register_all (fixture.pool, fixture.tracked, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (g_list_model_get_item_type (all) == BS_TYPE_ITEM);
  g_assert_cmpuint (g_list_model_get_n_items (all), ==, N_ALL);
  g_assert_null (g_list_model_get_item (all, N_ALL));
  g_assert_null (g_list_model_get_item (all, G_MAXUINT));
  n_bulks = count (&fixture, BS_OPERATION_REGISTER_KEYS);
  g_assert_cmpuint (n_bulks + count (&fixture, BS_OPERATION_REGISTER_KEY), >, 0);

  /* Made when asked for, the same as long as anybody holds it. */
  g_assert_cmpuint (bs_pool_get_n_items (fixture.pool), ==, 0);
  for (guint i = 0; i < N_ALL; i++)
    {
      g_autoptr (BsItem) item = g_list_model_get_item (all, i);
      g_autoptr (BsItem) again = g_list_model_get_item (all, i);
      g_autoptr (GBytes) bytes = NULL;

      g_assert_true (item == again);
      g_assert_cmpint (bs_item_get_size (item), ==, -1);
      bytes = bs_item_load (item, NULL, &error);
      g_assert_no_error (error);
      g_assert_cmpuint (g_bytes_get_size (bytes), <, N_ALL);
      g_assert_true (g_hash_table_add (sizes, GSIZE_TO_POINTER (g_bytes_get_size (bytes))));
      g_assert_cmpuint (bs_pool_get_n_items (fixture.pool), ==, 1);
    }
  g_assert_cmpuint (g_hash_table_size (sizes), ==, N_ALL);
  g_assert_cmpuint (bs_pool_get_n_items (fixture.pool), ==, 0);

  /* Loaded bytes stay loaded though their item has gone. */
  g_assert_cmpuint (bs_pool_get_n_resident (fixture.pool), ==, N_ALL);
  kept = g_list_model_get_item (all, 17);
  g_assert_true (is_resident (kept));

  fixture_wait_finished (&fixture);
  g_assert_cmpuint (count (&fixture, BS_OPERATION_DELETE_KEY), ==, n_deletes);
  g_assert_finalize_object (all);
  fixture_wait_finished (&fixture);
  g_assert_cmpuint (count (&fixture, BS_OPERATION_DELETE_KEY), ==, n_deletes + N_ALL - 1);
  g_assert_cmpuint (bs_pool_get_n_resident (fixture.pool), ==, 1);
  g_assert_cmpuint (bs_pool_get_n_items (fixture.pool), ==, 1);
  g_assert_true (is_resident (kept));
  g_assert_true (bs_pool_trim (fixture.pool, 0, NULL, &error));
  load_and_drop (kept);
  assert_goes (kept);
  fixture_wait_finished (&fixture);
  g_assert_cmpuint (count (&fixture, BS_OPERATION_DELETE_KEY), ==, n_deletes + N_ALL);

  /* And dropped without a single item made. */
  bs_pool_register_all_async (fixture.pool, fixture.tracked, G_PRIORITY_DEFAULT, NULL, store_result,
                              &result);
  g_assert_null (result);
  all = bs_pool_register_all_finish (fixture.pool, wait_result (&result), &error);
  g_assert_no_error (error);
  g_assert_cmpuint (g_list_model_get_n_items (all), ==, N_ALL);
  g_clear_object (&result);
  g_assert_finalize_object (all);
  fixture_wait_finished (&fixture);
  g_assert_cmpuint (count (&fixture, BS_OPERATION_DELETE_KEY), ==, n_deletes + 2 * N_ALL);

  fixture_tear_down (&fixture);
}

static gpointer
scroll_thread (gpointer data)
{
  GListModel *all = data;
  g_autoptr (GRand) rand = g_rand_new_with_seed (42);

  for (guint i = 0; i < 5000; i++)
    {
      guint position = g_rand_int_range (rand, 0, N_ALL);
      g_autoptr (BsItem) item = g_list_model_get_item (all, position);
      g_autoptr (BsItem) again = g_list_model_get_item (all, position);

      g_assert_true (item == again);
    }
  return NULL;
}

static void
test_register_all_threads (void)
{
  g_autoptr (GError) error = NULL;
  GThread *threads[4];
  GListModel *all;
  Fixture fixture;

  fixture_set_up (&fixture, 100000);
  persist_many (&fixture);
  all = bs_pool_register_all (fixture.pool, fixture.tracked, NULL, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("scroll", scroll_thread, all);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  g_assert_cmpuint (bs_pool_get_n_items (fixture.pool), ==, 0);
  g_assert_finalize_object (all);
  fixture_tear_down (&fixture);
}

static guint64
get_n_misses (BsPool *pool)
{
  BsPoolStats *stats = bs_pool_get_stats (pool);
  guint64 n_misses = stats->misses;

  bs_pool_stats_free (stats);
  return n_misses;
}

/* Items of one key, however they came, share one content; another pool has its own. */
static void
test_one_key (void)
{
  g_autoptr (BsPool) other = NULL;
  g_autoptr (GListModel) list = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *key = NULL;
  BsItem *items[5];
  Fixture fixture;

  fixture_set_up (&fixture, 1000);
  other = bs_pool_new (fixture.store, 1000);
  fixture_track (&fixture);
  items[0] = insert (fixture.pool, 100, 'a');
  key = bs_item_dup_key (items[0]);
  g_assert_true (bs_item_persist (items[0], fixture.tracked, NULL, &error));

  items[1] = bs_pool_register (fixture.pool, fixture.tracked, key, NULL, &error);
  g_assert_no_error (error);
  list = bs_pool_register_all (fixture.pool, fixture.tracked, NULL, &error);
  g_assert_no_error (error);
  items[2] = g_list_model_get_item (list, 0);
  items[3] = bs_pool_lookup (fixture.pool, key);
  items[4] = bs_pool_register (other, fixture.tracked, key, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (bs_pool_get_n_items (fixture.pool), ==, 4);
  for (guint i = 0; i < 4; i++)
    g_assert_true (is_resident (items[i]));
  g_assert_false (is_resident (items[4]));
  g_assert_cmpuint (get_n_misses (fixture.pool), ==, 0);

  g_assert_true (bs_pool_trim (fixture.pool, 0, NULL, &error));
  for (guint i = 0; i < 5; i++)
    load_and_drop (items[i]);
  g_assert_cmpuint (get_n_misses (fixture.pool), ==, 1);
  g_assert_cmpuint (get_n_misses (other), ==, 1);
  g_assert_cmpuint (bs_pool_get_n_resident (fixture.pool), ==, 1);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 100);

  /* Dropped one by one, the last of them has the content still. */
  for (guint i = 0; i < 3; i++)
    g_object_unref (items[i]);
  g_clear_object (&list);
  g_assert_true (is_resident (items[3]));
  g_object_unref (items[3]);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 0);
  load_and_drop (items[4]);
  g_object_unref (items[4]);

  fixture_wait_finished (&fixture);
  g_assert_cmpuint (bs_fault_backing_get_count (fixture.fault, BS_OPERATION_DELETE_KEY), ==, 1);
  assert_goes (g_steal_pointer (&other));
  fixture_tear_down (&fixture);
}

static void
test_lookup (void)
{
  g_autofree char *key = NULL, *old = NULL, *upper = NULL;
  g_autoptr (GBytes) bytes = g_bytes_new ("new", 3);
  BsItem *item, *found, *copy;
  Fixture fixture;

  fixture_set_up (&fixture, 1000);
  item = insert (fixture.pool, 100, 'a');
  old = bs_item_dup_key (item);
  upper = g_ascii_strup (old, -1);
  found = bs_pool_lookup (fixture.pool, upper);
  g_assert_true (is_resident (found));
  g_assert_true (bs_item_get_pool (found) == fixture.pool);

  g_assert_null (bs_pool_lookup (fixture.pool, "no key"));
  key = bs_key_generate ();
  g_assert_null (bs_pool_lookup (fixture.pool, key));

  /* A key lives as long as any item of it. */
  bs_item_replace (item, bytes);
  copy = bs_pool_lookup (fixture.pool, old);
  g_assert_nonnull (copy);
  g_object_unref (copy);
  g_object_unref (found);
  g_assert_null (bs_pool_lookup (fixture.pool, old));

  /* As many as there are. */
  for (guint i = 0; i < 300; i++)
    {
      BsItem *items[2] = { insert (fixture.pool, 10, 'a'), NULL };
      g_autofree char *each = bs_item_dup_key (items[0]);

      items[1] = bs_pool_lookup (fixture.pool, each);
      g_assert_nonnull (items[1]);
      g_object_unref (items[0]);
      g_object_unref (items[1]);
      g_assert_null (bs_pool_lookup (fixture.pool, each));
    }

  assert_goes (item);
  fixture_tear_down (&fixture);
}

static void
count_cb (GObject *item, GAsyncResult *result, gpointer n_left)
{
  g_autoptr (GBytes) bytes = bs_item_load_finish (BS_ITEM (item), result, NULL);

  (*(guint *) n_left)--;
}

/* A miss is a read: not a load that was cancelled before, nor one that shared a read. */
static void
test_misses (void)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;
  BsPoolStats *stats;
  guint n_left = 20;
  BsItem *item;
  Fixture fixture;

  fixture_set_up (&fixture, 1000);
  item = insert (fixture.pool, 100, 'a');
  g_assert_true (bs_pool_trim (fixture.pool, 0, NULL, &error));

  bs_fault_backing_hold (fixture.fault, BS_OPERATION_READ);
  for (guint i = 0; i < 10; i++)
    {
      bs_item_load_async (item, 0, cancellable, count_cb, &n_left);
      bs_item_load_async (item, 0, NULL, count_cb, &n_left);
    }
  g_cancellable_cancel (cancellable);
  bs_fault_backing_release (fixture.fault, BS_OPERATION_READ);
  wait_until (n_left == 0);

  stats = bs_pool_get_stats (fixture.pool);
  g_assert_cmpuint (stats->misses, ==, 1);
  g_assert_cmpuint (stats->hits, ==, 9);
  g_assert_cmpuint (stats->bytes_in, ==, 100);
  bs_pool_stats_free (stats);

  assert_goes (item);
  fixture_tear_down (&fixture);
}

static void
test_stats (void)
{
  g_autoptr (GError) error = NULL;
  BsPoolStats *stats, *copy;
  BsItem *item;
  GBytes *bytes;
  Fixture fixture;

  fixture_set_up (&fixture, 1000);
  item = insert (fixture.pool, 100, 'a');
  g_assert_true (is_resident (item));
  g_assert_true (bs_pool_trim (fixture.pool, 0, NULL, &error));
  wait_until (bs_pool_get_memory_in_use (fixture.pool) == 0);
  g_assert_false (is_resident (item));
  bytes = bs_item_load (item, NULL, &error);
  g_assert_no_error (error);
  g_bytes_unref (bytes);

  stats = bs_pool_get_stats (fixture.pool);
  copy = bs_pool_stats_copy (stats);
  g_assert_cmpuint (copy->hits, ==, 1);
  g_assert_cmpuint (copy->misses, ==, 1);
  g_assert_cmpuint (copy->evictions, ==, 1);
  g_assert_cmpuint (copy->writes, ==, 1);
  g_assert_cmpuint (copy->bytes_in, ==, 100);
  g_assert_cmpuint (copy->bytes_out, ==, 100);
  bs_pool_stats_free (stats);
  bs_pool_stats_free (copy);

  assert_goes (item);
  fixture_tear_down (&fixture);
}

static gpointer
insert_thread (gpointer data)
{
  for (guint i = 0; i < 100; i++)
    g_object_unref (insert (data, 100, 'a'));

  return NULL;
}

static void
test_notify (void)
{
  Notified memory_use = { .home = g_thread_self () };
  Notified max_bytes = { .home = g_thread_self () };
  BsItem *item;
  Fixture fixture;

  fixture_set_up (&fixture, 1000);
  g_signal_connect (fixture.pool, "notify::memory-use", G_CALLBACK (notify_cb), &memory_use);
  g_signal_connect (fixture.pool, "notify::max-bytes", G_CALLBACK (notify_cb), &max_bytes);
  for (guint i = 0; i < 100; i++)
    g_object_unref (insert (fixture.pool, 100, 'a'));
  item = insert (fixture.pool, 100, 'a');
  g_assert_cmpuint (memory_use.n, ==, 0);
  wait_until (memory_use.n > 0);
  g_assert_cmpuint (memory_use.n, ==, 1);

  bs_pool_set_max_bytes (fixture.pool, 2000);
  bs_pool_set_max_bytes (fixture.pool, 2000);
  wait_until (max_bytes.n > 0);
  g_assert_cmpuint (max_bytes.n, ==, 1);

  g_thread_join (g_thread_new ("insert", insert_thread, fixture.pool));
  wait_until (memory_use.n > 1);
  g_assert_cmpuint (memory_use.n_elsewhere, ==, 0);
  g_assert_cmpuint (max_bytes.n_elsewhere, ==, 0);

  g_signal_handlers_disconnect_by_data (fixture.pool, &memory_use);
  g_signal_handlers_disconnect_by_data (fixture.pool, &max_bytes);
  assert_goes (item);
  fixture_tear_down (&fixture);
}

/* A figure is read between a change and the next one, which takes it back before anybody was
 * told of either. */
static void
test_notify_after_read (void)
{
  Notified memory_use = { .home = g_thread_self () };
  Notified n_items = { .home = g_thread_self () };
  BsReference unmeasured;
  BsItem *item, *copy;
  BsCache *cache;
  BsEntry *entry;
  Fixture fixture;
  GBytes *bytes;

  fixture_set_up (&fixture, 1000);
  cache = bs_pool_get_cache (fixture.pool);
  item = insert (fixture.pool, 100, 'a');
  g_signal_connect (fixture.pool, "notify::memory-use", G_CALLBACK (notify_cb), &memory_use);
  g_signal_connect (fixture.pool, "notify::n-items", G_CALLBACK (notify_cb), &n_items);

  for (guint reads = 0; reads <= 1; reads++)
    {
      bytes = make_bytes (50, 'b');
      entry = bs_cache_insert (cache, bs_token_new (fixture.store), BS_KIND_BYTES, bytes, 50,
                               &unmeasured);
      if (reads)
        g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 150);
      bs_cache_drop_entry (cache, entry);
      g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 100);
      g_bytes_unref (bytes);

      copy = bs_item_copy (item);
      n_items.n = 0;
      wait_until (n_items.n > 0);
      g_assert_cmpuint (memory_use.n, ==, reads);
      assert_goes (copy);
    }

  g_signal_handlers_disconnect_by_data (fixture.pool, &memory_use);
  g_signal_handlers_disconnect_by_data (fixture.pool, &n_items);
  assert_goes (item);
  fixture_tear_down (&fixture);
}

static gpointer
unref_bytes_thread (gpointer data)
{
  g_bytes_unref (data);
  return NULL;
}

static void
test_bytes_outlive_pool (void)
{
  GBytes *resident, *evicted;
  BsItem *item, *other;
  Fixture fixture;

  fixture_set_up (&fixture, 1000);
  item = insert (fixture.pool, 100, 'a');
  other = insert (fixture.pool, 100, 'b');
  evicted = bs_item_load (item, NULL, NULL);
  g_assert_true (bs_pool_trim (fixture.pool, 0, NULL, NULL));
  resident = bs_item_load (other, NULL, NULL);
  g_assert_cmpuint (bs_pool_get_memory_in_use (fixture.pool), ==, 100);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 100);
  assert_goes (item);
  assert_goes (other);
  g_assert_cmpuint (bs_pool_get_memory_in_use (fixture.pool), ==, 0);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 0);
  fixture_tear_down (&fixture);

  assert_filled (evicted, 100, 'a');
  assert_filled (resident, 100, 'b');
  g_thread_join (g_thread_new ("unref", unref_bytes_thread, evicted));
  g_bytes_unref (resident);
}

/* The pool and its items go while writes are under way: each blob that was being written
 * goes too, and no other one is written. */
static void
test_drop_all_while_writing (void)
{
  BsItem *items[10];
  Fixture fixture;
  guint n_threads;

  fixture_set_up (&fixture, 0);
  n_threads = bs_backing_store_get_max_threads (fixture.store);
  bs_fault_backing_hold (fixture.fault, BS_OPERATION_WRITE);
  insert_many (fixture.pool, items, 10, 100);
  wait_until (count (&fixture, BS_OPERATION_WRITE) == n_threads);
  for (guint i = 0; i < 10; i++)
    g_assert_finalize_object (items[i]);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 0);
  assert_goes (g_steal_pointer (&fixture.pool));
  bs_fault_backing_release (fixture.fault, BS_OPERATION_WRITE);
  fixture_wait_finished (&fixture);
  g_assert_cmpuint (count (&fixture, BS_OPERATION_WRITE), ==, n_threads);
  g_assert_cmpuint (count (&fixture, BS_OPERATION_DELETE_KEY), ==, n_threads);
  fixture_tear_down (&fixture);
}

static gboolean
drop_in_worker (BsBackingStore *store,
                GCancellable *cancellable,
                gpointer user_data,
                GError **error)
{
  GPtrArray *objects = user_data;

  g_ptr_array_set_size (objects, 0);
  return TRUE;
}

static void
test_drop_in_worker (void)
{
  g_autoptr (GPtrArray) objects = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;
  Fixture fixture;

  fixture_set_up (&fixture, 150);
  for (guint i = 0; i < 10; i++)
    g_ptr_array_add (objects, insert (fixture.pool, 100, 'a'));
  g_ptr_array_add (objects, g_steal_pointer (&fixture.pool));
  bs_backing_store_run_in_thread_async (fixture.store, drop_in_worker, objects, NULL,
                                        G_PRIORITY_DEFAULT, NULL, store_result, &result);
  g_assert_true (
    bs_backing_store_run_in_thread_finish (fixture.store, wait_result (&result), &error));
  g_assert_no_error (error);
  g_clear_object (&result);
  fixture_wait_finished (&fixture);
  fixture_tear_down (&fixture);
}

/* All of it on one thread, which is the store's main context's. */
static void
test_main_context (void)
{
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;
  BsItem *items[10];
  Fixture fixture;

  fixture_set_up_in_context (&fixture, 300, g_main_context_default ());
  insert_many (fixture.pool, items, 10, 100);
  g_assert_true (bs_pool_trim (fixture.pool, 200, NULL, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), <=, 200);
  assert_all_loadable (items, 10, 100);
  bs_pool_trim_async (fixture.pool, 0, G_PRIORITY_DEFAULT, NULL, store_result, &result);
  g_assert_true (bs_pool_trim_finish (fixture.pool, wait_result (&result), &error));
  g_assert_no_error (error);

  unref_items (items, 10);
  g_clear_object (&result);
  fixture_tear_down (&fixture);
}

static void
test_closed_store (void)
{
  g_autoptr (GError) error = NULL;
  GBytes *bytes;
  BsItem *item, *late;
  Fixture fixture;

  fixture_set_up (&fixture, 1000);
  item = insert (fixture.pool, 100, 'a');
  g_assert_true (bs_pool_trim (fixture.pool, 0, NULL, &error));
  g_assert_no_error (error);
  wait_until (bs_pool_get_memory_in_use (fixture.pool) == 0);
  g_assert_true (bs_backing_store_close (fixture.store, NULL, &error));
  g_assert_no_error (error);

  g_assert_null (bs_item_load (item, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_CLOSED);
  g_clear_error (&error);

  /* Contents in memory stay within reach. */
  late = insert (fixture.pool, 100, 'b');
  bytes = bs_item_load (late, NULL, &error);
  g_assert_no_error (error);
  assert_filled (bytes, 100, 'b');
  g_bytes_unref (bytes);
  g_assert_false (bs_pool_trim (fixture.pool, 0, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_CLOSED);
  g_clear_error (&error);
  g_assert_false (bs_item_write (late, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_CLOSED);

  assert_goes (item);
  assert_goes (late);
  fixture_tear_down (&fixture);
}

/* A backing that calls the pool from inside its write. */
#define TEST_TYPE_BACKING (test_backing_get_type ())
G_DECLARE_FINAL_TYPE (TestBacking, test_backing, TEST, BACKING, GObject)

struct _TestBacking
{
  GObject parent_instance;
  BsBacking *inner;
  BsPool *pool;
  BsItem *resident;
  BsItem *evicted;
  BsItem *made;
  GAsyncResult *trimmed;
  int n_calls; /* atomic */
};

static void
inside_write (TestBacking *self)
{
  g_autoptr (GError) error = NULL;
  GBytes *bytes;

  bytes = bs_item_load (self->resident, NULL, &error);
  g_assert_no_error (error);
  assert_filled (bytes, 10, 'r');
  g_bytes_unref (bytes);
  g_assert_null (bs_item_load (self->evicted, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
  g_clear_error (&error);
  g_assert_false (bs_pool_trim (self->pool, 0, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
  g_clear_error (&error);
  g_assert_true (bs_pool_trim (self->pool, G_MAXUINT64, NULL, &error));
  g_assert_no_error (error);
  self->made = insert (self->pool, 10, 'm');
  bs_pool_trim_async (self->pool, 0, G_PRIORITY_DEFAULT, NULL, store_result, &self->trimmed);
}

static gboolean
test_backing_write (BsBacking *backing,
                    const char *key,
                    GBytes *bytes,
                    GCancellable *cancellable,
                    GError **error)
{
  TestBacking *self = TEST_BACKING (backing);

  if (g_atomic_int_add (&self->n_calls, 1) == 1)
    inside_write (self);
  return bs_backing_write (self->inner, key, bytes, cancellable, error);
}

static GBytes *
test_backing_read (BsBacking *backing, const char *key, GCancellable *cancellable, GError **error)
{
  return bs_backing_read (TEST_BACKING (backing)->inner, key, cancellable, error);
}

static gboolean
test_backing_delete_key (BsBacking *backing,
                         const char *key,
                         GCancellable *cancellable,
                         GError **error)
{
  return bs_backing_delete_key (TEST_BACKING (backing)->inner, key, cancellable, error);
}

static void
test_backing_iface_init (BsBackingInterface *iface)
{
  iface->write = test_backing_write;
  iface->read = test_backing_read;
  iface->delete_key = test_backing_delete_key;
}

G_DEFINE_FINAL_TYPE_WITH_CODE (TestBacking,
                               test_backing,
                               G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (BS_TYPE_BACKING, test_backing_iface_init))

static void
test_backing_finalize (GObject *object)
{
  g_object_unref (TEST_BACKING (object)->inner);
  G_OBJECT_CLASS (test_backing_parent_class)->finalize (object);
}

static void
test_backing_class_init (TestBackingClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = test_backing_finalize;
}

static void
test_backing_init (TestBacking *self)
{
  self->inner = BS_BACKING (bs_memory_backing_new ());
}

static void
test_from_inside_backing (void)
{
  TestBacking *backing = g_object_new (TEST_TYPE_BACKING, NULL);
  BsBackingStore *store = bs_backing_store_new (BS_BACKING (backing));
  g_autoptr (GError) error = NULL;
  BsItem *item;

  alarm (WATCHDOG_SECONDS);
  bs_backing_store_set_max_threads (store, 1);
  backing->pool = bs_pool_new (store, 1000);
  backing->evicted = insert (backing->pool, 10, 'e');
  g_assert_true (bs_pool_trim (backing->pool, 0, NULL, &error));
  g_assert_no_error (error);
  wait_until (bs_pool_get_memory_in_use (backing->pool) == 0);
  backing->resident = insert (backing->pool, 10, 'r');
  item = insert (backing->pool, 10, 'i');

  g_assert_true (bs_item_write (item, NULL, &error));
  g_assert_no_error (error);
  g_assert_true (bs_pool_trim_finish (backing->pool, wait_result (&backing->trimmed), &error));
  g_assert_no_error (error);
  g_assert_cmpuint (bs_pool_get_memory_use (backing->pool), ==, 0);

  g_clear_object (&backing->trimmed);
  assert_goes (item);
  assert_goes (backing->made);
  assert_goes (backing->resident);
  assert_goes (backing->evicted);
  assert_goes (backing->pool);
  assert_goes (store);
  assert_goes (backing);
  alarm (0);
}

#define N_SHARED 40

typedef struct
{
  Fixture *fixture;
  BsItem *items[N_SHARED]; /* never replaced: item i is filled with its own letter */
  BsItem *changing;
  guint32 seed;
  int *n_running; /* atomic */
} Stress;

static void
stress_step (Stress *stress, GRand *rand)
{
  BsPool *pool = stress->fixture->pool;
  guint i = g_rand_int_range (rand, 0, N_SHARED);
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (BsItem) item = NULL;

  switch (g_rand_int_range (rand, 0, 9))
    {
    case 0:
    case 1:
    case 2:
      bytes = bs_item_load (stress->items[i], NULL, &error);
      g_assert_no_error (error);
      assert_filled (bytes, 10 * i, '0' + i);
      break;
    case 3:
      bytes = bs_item_try_load (stress->items[i]);
      if (bytes != NULL)
        assert_filled (bytes, 10 * i, '0' + i);
      break;
    case 4:
      bs_item_write (stress->items[i], NULL, &error);
      g_assert_no_error (error);
      break;
    case 5:
      item = insert (pool, 10 * i, 'n');
      break;
    case 6:
      bytes = make_bytes (10 * i, 'r');
      bs_item_replace (stress->changing, bytes);
      break;
    case 7:
      item = bs_item_copy (stress->changing);
      bytes = bs_item_load (item, NULL, &error);
      g_assert_no_error (error);
      assert_filled (bytes, g_bytes_get_size (bytes), 'r');
      break;
    case 8:
      bs_pool_trim (pool, g_rand_int_range (rand, 0, 3000), NULL, &error);
      g_assert_no_error (error);
      break;
    default:
      g_assert_not_reached ();
    }
}

static gpointer
stress_thread (gpointer data)
{
  Stress *stress = data;
  g_autoptr (GRand) rand = g_rand_new_with_seed (stress->seed);

  for (guint i = 0; i < 1000; i++)
    stress_step (stress, rand);

  g_atomic_int_dec_and_test (stress->n_running);
  return NULL;
}

/* The budget goes up and down while threads do everything there is to do. */
static void
test_stress (void)
{
  static const guint64 budgets[] = { 6000, 0, 1000, 3000, 50, G_MAXUINT64, 200 };
  GThread *threads[4];
  int n_running = G_N_ELEMENTS (threads);
  Stress stress[4];
  guint64 sum = 0;
  guint n = 0;
  Fixture fixture;

  fixture_set_up (&fixture, 3000);
  for (guint i = 0; i < N_SHARED; i++)
    stress[0].items[i] = insert (fixture.pool, 10 * i, '0' + i);
  stress[0].changing = insert (fixture.pool, 1, 'r');
  stress[0].fixture = &fixture;
  stress[0].n_running = &n_running;
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    {
      stress[i] = stress[0];
      stress[i].seed = g_test_rand_int ();
      threads[i] = g_thread_new ("stress", stress_thread, &stress[i]);
    }
  while (g_atomic_int_get (&n_running) > 0)
    {
      bs_pool_set_max_bytes (fixture.pool, budgets[n++ % G_N_ELEMENTS (budgets)]);
      g_main_context_iteration (NULL, FALSE);
      g_thread_yield ();
    }
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);

  bs_pool_set_max_bytes (fixture.pool, 3000);
  fixture_wait_finished (&fixture);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), <=, 3000);
  g_assert_cmpuint (bs_pool_get_n_items (fixture.pool), ==, N_SHARED + 1);
  wait_until (bs_pool_get_memory_in_use (fixture.pool) == 0);
  bs_pool_set_max_bytes (fixture.pool, G_MAXUINT64);
  for (guint i = 0; i < N_SHARED; i++)
    {
      g_autoptr (GBytes) bytes = bs_item_load (stress[0].items[i], NULL, NULL);

      assert_filled (bytes, 10 * i, '0' + i);
      sum += 10 * i;
    }
  g_bytes_unref (bs_item_load (stress[0].changing, NULL, NULL));
  sum += bs_item_get_size (stress[0].changing);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, sum);
  g_assert_cmpuint (bs_pool_get_n_resident (fixture.pool), ==, N_SHARED + 1);
  bs_pool_set_max_bytes (fixture.pool, 0);
  fixture_wait_finished (&fixture);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 0);
  bs_pool_set_max_bytes (fixture.pool, G_MAXUINT64);

  unref_items (stress[0].items, N_SHARED);
  assert_goes (stress[0].changing);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 0);
  fixture_tear_down (&fixture);
}

static void
test_made_by_hand (void)
{
  BsPool *pool = g_object_new (BS_TYPE_POOL, "max-bytes", (guint64) 10, NULL);
  g_autoptr (GBytes) bytes = make_bytes (1, 'a');
  g_autoptr (GError) error = NULL;

  g_assert_null (bs_pool_get_store (pool));
  g_assert_cmpuint (bs_pool_get_memory_use (pool), ==, 0);
  bs_pool_set_max_bytes (pool, 20);
  bs_pool_set_trim_on_low_memory (pool, FALSE);
  bs_pool_set_trim_on_low_memory (pool, TRUE);
  g_assert_cmpuint (bs_pool_get_max_bytes (pool), ==, 20);

  g_test_expect_message ("backingstore", G_LOG_LEVEL_CRITICAL, "*bs_pool_has_store*");
  g_test_expect_message ("backingstore", G_LOG_LEVEL_CRITICAL, "*bs_pool_has_store*");
  g_assert_null (bs_pool_insert (pool, bytes));
  g_assert_false (bs_pool_trim (pool, 0, NULL, &error));
  g_test_assert_expected_messages ();
  g_assert_no_error (error);
  g_assert_finalize_object (pool);
}

/* A blob in primary storage turns out to be bad, and cannot be written anew: the persist
 * fails with the error of the write, and the next one writes the blob after all. */
static void
test_persist_rewriting_fails (void)
{
  g_autoptr (GError) corrupt =
    g_error_new_literal (BS_ERROR, BS_ERROR_CORRUPT, "so the test wants it");
  g_autoptr (GError) full =
    g_error_new_literal (G_IO_ERROR, G_IO_ERROR_NO_SPACE, "so the test wants it");
  g_autoptr (GError) error = NULL;
  g_autofree char *key = NULL;
  Fixture fixture;
  BsItem *item;
  guint n_writes;

  fixture_set_up (&fixture, G_MAXUINT64);
  fixture_track (&fixture);
  item = insert (fixture.pool, 100, 'a');
  key = bs_item_dup_key (item);
  bs_item_write (item, NULL, &error);
  g_assert_no_error (error);

  /* Until something was found to be bad, nobody suspects what was written. */
  bs_fault_backing_fail (fixture.fault, BS_OPERATION_PERSIST, key, 0, corrupt);
  g_assert_false (bs_item_persist (item, fixture.tracked, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_CORRUPT);
  g_clear_error (&error);
  g_assert_cmpuint (count (&fixture, BS_OPERATION_WRITE), ==, 1);

  bs_fault_backing_fail (fixture.fault, BS_OPERATION_WRITE, key, 1, full);
  g_assert_false (bs_item_persist (item, fixture.tracked, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  g_clear_error (&error);
  g_assert_cmpuint (count (&fixture, BS_OPERATION_PERSIST), ==, 2);
  g_assert_cmpuint (count (&fixture, BS_OPERATION_WRITE), ==, 2);
  g_assert_false (bs_tracked_path_contains_key (fixture.tracked, key));

  bs_fault_backing_clear (fixture.fault);
  bs_item_persist (item, fixture.tracked, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (count (&fixture, BS_OPERATION_PERSIST), ==, 3);
  g_assert_cmpuint (count (&fixture, BS_OPERATION_WRITE), >, 2);
  g_assert_true (bs_tracked_path_contains_key (fixture.tracked, key));
  assert_goes (item);

  /* A content that the persist itself has just written is not written twice. */
  item = insert (fixture.pool, 100, 'b');
  n_writes = count (&fixture, BS_OPERATION_WRITE);
  bs_fault_backing_fail (fixture.fault, BS_OPERATION_PERSIST, NULL, 1, corrupt);
  g_assert_false (bs_item_persist (item, fixture.tracked, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_CORRUPT);
  g_assert_cmpuint (count (&fixture, BS_OPERATION_PERSIST), ==, 4);
  g_assert_cmpuint (count (&fixture, BS_OPERATION_WRITE), ==, n_writes + 1);

  assert_goes (item);
  fixture_tear_down (&fixture);
}

/* A save writes such a blob anew, once. */
static void
test_save_rewrites (void)
{
  g_autoptr (GError) corrupt =
    g_error_new_literal (BS_ERROR, BS_ERROR_CORRUPT, "so the test wants it");
  g_autoptr (GBytes) root = make_bytes (10, 'r');
  g_autoptr (GError) error = NULL;
  g_autofree char *key = NULL;
  Fixture fixture;
  BsItem *item;
  BsSave *save;

  fixture_set_up (&fixture, G_MAXUINT64);
  fixture_track (&fixture);
  item = insert (fixture.pool, 100, 'a');
  key = bs_item_dup_key (item);
  bs_item_write (item, NULL, &error);
  g_assert_no_error (error);
  save = bs_save_new (fixture.store, fixture.tracked);
  bs_save_add_item (save, item);
  bs_save_set_root (save, root);

  bs_fault_backing_fail (fixture.fault, BS_OPERATION_PERSIST, key, 0, corrupt);
  g_assert_false (bs_save_run (save, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_CORRUPT);
  g_clear_error (&error);
  g_assert_cmpuint (count (&fixture, BS_OPERATION_WRITE), >, 1);
  bs_fault_backing_clear (fixture.fault);

  bs_fault_backing_fail (fixture.fault, BS_OPERATION_PERSIST, key, 1, corrupt);
  bs_save_run (save, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (bs_tracked_path_contains_key (fixture.tracked, key));

  g_assert_finalize_object (save);
  assert_goes (item);
  fixture_tear_down (&fixture);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/pool/properties", test_properties);
  g_test_add_func ("/pool/insert", test_insert);
  g_test_add_func ("/pool/least-recently-used", test_least_recently_used);
  g_test_add_func ("/pool/background-write", test_background_write);
  g_test_add_func ("/pool/room-when-written", test_room_when_written);
  g_test_add_func ("/pool/no-needless-writes", test_no_needless_writes);
  g_test_add_func ("/pool/no-budget-at-all", test_no_budget_at_all);
  g_test_add_func ("/pool/larger-than-budget", test_larger_than_budget);
  g_test_add_func ("/pool/trim/all-forms", test_trim);
  g_test_add_func ("/pool/trim/cancel", test_trim_cancel);
  g_test_add_func ("/pool/trim/targets", test_trim_targets);
  g_test_add_func ("/pool/trim/priority", test_trim_priority);
  g_test_add_func ("/pool/trim/met-by-drop", test_trim_met_by_drop);
  g_test_add_func ("/pool/many-errors", test_many_errors);
  g_test_add_func ("/pool/no-error-after-close", test_no_error_after_close);
  g_test_add_func ("/pool/errors-of-no-interest", test_errors_of_no_interest);
  g_test_add_func ("/pool/one-bad-key", test_one_bad_key);
  g_test_add_func ("/pool/register/all-forms", test_register);
  g_test_add_func ("/pool/register/errors", test_register_errors);
  g_test_add_func ("/pool/register-all/all-forms", test_register_all);
  g_test_add_func ("/pool/register-all/threads", test_register_all_threads);
  g_test_add_func ("/pool/one-key", test_one_key);
  g_test_add_func ("/pool/lookup", test_lookup);
  g_test_add_func ("/pool/misses", test_misses);
  g_test_add_func ("/pool/stats", test_stats);
  g_test_add_func ("/pool/notify", test_notify);
  g_test_add_func ("/pool/notify-after-read", test_notify_after_read);
  g_test_add_func ("/pool/bytes-outlive-pool", test_bytes_outlive_pool);
  g_test_add_func ("/pool/drop/all-while-writing", test_drop_all_while_writing);
  g_test_add_func ("/pool/drop/in-worker", test_drop_in_worker);
  g_test_add_func ("/pool/main-context", test_main_context);
  g_test_add_func ("/pool/from-inside-backing", test_from_inside_backing);
  g_test_add_func ("/pool/closed-store", test_closed_store);
  g_test_add_func ("/pool/persist/rewriting-fails", test_persist_rewriting_fails);
  g_test_add_func ("/pool/save-rewrites", test_save_rewrites);
  g_test_add_func ("/pool/stress", test_stress);
  g_test_add_func ("/pool/made-by-hand", test_made_by_hand);

  return g_test_run ();
}
