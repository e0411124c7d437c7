/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "pool-fixture.h"

/* An item whose content is in the backing and not in memory. */
static BsItem *
insert_evicted (Fixture *fixture, gsize size, char fill)
{
  g_autoptr (GError) error = NULL;
  BsItem *item = insert (fixture->pool, size, fill);

  bs_pool_trim (fixture->pool, 0, NULL, &error);
  g_assert_no_error (error);
  wait_until (bs_pool_get_memory_in_use (fixture->pool) == 0);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture->pool), ==, 0);

  return item;
}

static void
test_resident (void)
{
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GBytes) original = make_bytes (100, 'a');
  g_autoptr (GBytes) tried = NULL;
  g_autoptr (GBytes) loaded = NULL;
  g_autoptr (GBytes) later = NULL;
  g_autoptr (GError) error = NULL;
  BsItem *item;
  Fixture fixture;

  fixture_set_up (&fixture, 1000);
  item = bs_pool_insert (fixture.pool, original);
  tried = bs_item_try_load (item);
  loaded = bs_item_load (item, NULL, &error);
  g_assert_no_error (error);
  bs_item_load_async (item, G_PRIORITY_DEFAULT, NULL, store_result, &result);
  g_assert_null (result);
  later = bs_item_load_finish (item, wait_result (&result), &error);
  g_assert_no_error (error);

  assert_filled (tried, 100, 'a');
  g_assert_true (tried == loaded);
  g_assert_true (tried == later);
  g_assert_true (g_bytes_get_data (tried, NULL) == g_bytes_get_data (original, NULL));
  g_assert_cmpuint (count (&fixture, BS_OPERATION_READ), ==, 0);

  g_clear_object (&result);
  g_assert_finalize_object (item);
  fixture_tear_down (&fixture);
}

static gpointer
load_thread (gpointer data)
{
  g_autoptr (GError) error = NULL;
  GBytes *bytes = bs_item_load (data, NULL, &error);

  g_assert_no_error (error);
  return bytes;
}

/* All loads of a key share one buffer, by whichever item and however late they come, and
 * those that are asked before the read ends share that, too. A thread may come just then. */
static void
test_shared_read (gconstpointer data)
{
  const guint n_threads = GPOINTER_TO_UINT (data);
  GAsyncResult *results[10] = { NULL };
  GThread *threads[8];
  GBytes *loaded[G_N_ELEMENTS (results) + G_N_ELEMENTS (threads)];
  BsItem *items[2];
  Fixture fixture;

  fixture_set_up (&fixture, 1000);
  items[0] = insert_evicted (&fixture, 100, 'a');
  items[1] = bs_item_copy (items[0]);
  bs_fault_backing_hold (fixture.fault, BS_OPERATION_READ);
  for (guint i = 0; i < n_threads; i++)
    threads[i] = g_thread_new ("load", load_thread, items[i % 2]);
  for (guint i = 0; i < G_N_ELEMENTS (results); i++)
    bs_item_load_async (items[i % 2], G_PRIORITY_DEFAULT, NULL, store_result, &results[i]);
  wait_until (count (&fixture, BS_OPERATION_READ) == 1);
  g_assert_null (bs_item_try_load (items[0]));
  bs_fault_backing_release (fixture.fault, BS_OPERATION_READ);

  for (guint i = 0; i < G_N_ELEMENTS (results); i++)
    {
      g_autoptr (GError) error = NULL;

      loaded[i] = bs_item_load_finish (items[i % 2], wait_result (&results[i]), &error);
      g_assert_no_error (error);
      g_object_unref (results[i]);
    }
  for (guint i = 0; i < n_threads; i++)
    loaded[G_N_ELEMENTS (results) + i] = g_thread_join (threads[i]);
  assert_filled (loaded[0], 100, 'a');
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 100);
  if (n_threads == 0)
    g_assert_cmpuint (count (&fixture, BS_OPERATION_READ), ==, 1);
  for (guint i = G_N_ELEMENTS (results) + n_threads; i-- > 0;)
    {
      g_assert_true (loaded[i] == loaded[0]);
      g_bytes_unref (loaded[i]);
    }

  unref_items (items, 2);
  fixture_tear_down (&fixture);
}

static void
test_held_bytes_come_back (void)
{
  g_autoptr (GError) error = NULL;
  gconstpointer data;
  GBytes *held, *back;
  BsItem *item;
  Fixture fixture;

  fixture_set_up (&fixture, 1000);
  item = insert (fixture.pool, 100, 'a');
  held = bs_item_load (item, NULL, &error);
  g_assert_no_error (error);
  data = g_bytes_get_data (held, NULL);
  g_assert_true (bs_pool_trim (fixture.pool, 0, NULL, &error));
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 0);
  g_assert_cmpuint (bs_pool_get_memory_in_use (fixture.pool), ==, 100);
  g_assert_cmpuint (bs_pool_get_n_resident (fixture.pool), ==, 0);

  /* Resident again, without a read; also through another hold. */
  back = bs_item_try_load (item);
  g_assert_true (g_bytes_get_data (back, NULL) == data);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 100);
  g_assert_cmpuint (bs_pool_get_memory_in_use (fixture.pool), ==, 0);
  g_bytes_unref (held);
  g_assert_true (bs_pool_trim (fixture.pool, 0, NULL, &error));
  held = bs_item_load (item, NULL, &error);
  g_assert_true (g_bytes_get_data (held, NULL) == data);
  g_bytes_unref (held);
  g_assert_cmpuint (count (&fixture, BS_OPERATION_READ), ==, 0);

  /* Let go by everyone, it has to be read. */
  g_assert_true (bs_pool_trim (fixture.pool, 0, NULL, &error));
  g_assert_cmpuint (bs_pool_get_memory_in_use (fixture.pool), ==, 100);
  g_bytes_unref (back);
  wait_until (bs_pool_get_memory_in_use (fixture.pool) == 0);
  g_assert_null (bs_item_try_load (item));
  back = bs_item_load (item, NULL, &error);
  g_assert_no_error (error);
  assert_filled (back, 100, 'a');
  g_assert_cmpuint (count (&fixture, BS_OPERATION_READ), ==, 1);
  g_assert_cmpuint (count (&fixture, BS_OPERATION_WRITE), ==, 1);

  g_bytes_unref (back);
  assert_goes (item);
  fixture_tear_down (&fixture);
}

static void
test_replace (void)
{
  g_autoptr (GBytes) content = make_bytes (50, 'b');
  g_autofree char *old = NULL;
  g_autofree char *new = NULL;
  g_autofree char *copied = NULL;
  g_autoptr (GError) error = NULL;
  Notified keys = { .home = g_thread_self () };
  Notified sizes = { .home = g_thread_self () };
  BsItem *item, *copy;
  GBytes *bytes;
  Fixture fixture;

  fixture_set_up (&fixture, 1000);
  item = insert (fixture.pool, 100, 'a');
  g_assert_true (bs_item_write (item, NULL, &error));
  g_assert_no_error (error);
  copy = bs_item_copy (item);
  g_assert_cmpuint (bs_pool_get_n_items (fixture.pool), ==, 2);
  g_assert_cmpuint (bs_pool_get_n_resident (fixture.pool), ==, 1);
  old = bs_item_dup_key (item);
  copied = bs_item_dup_key (copy);
  g_assert_cmpstr (old, ==, copied);

  g_signal_connect (item, "notify::key", G_CALLBACK (notify_cb), &keys);
  g_signal_connect (item, "notify::size", G_CALLBACK (notify_cb), &sizes);
  bs_item_replace (item, content);
  g_object_get (item, "key", &new, NULL);
  g_assert_cmpstr (old, !=, new);
  g_assert_cmpint (bs_item_get_size (item), ==, 50);
  wait_until (keys.n > 0 && sizes.n > 0);
  g_assert_cmpuint (keys.n, ==, 1);
  g_assert_cmpuint (sizes.n, ==, 1);

  bytes = bs_item_load (copy, NULL, &error);
  assert_filled (bytes, 100, 'a');
  g_bytes_unref (bytes);
  bytes = bs_item_load (item, NULL, &error);
  assert_filled (bytes, 50, 'b');
  g_bytes_unref (bytes);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 150);

  /* The old content goes with its last item. */
  fixture_wait_finished (&fixture);
  g_assert_cmpuint (count (&fixture, BS_OPERATION_DELETE_KEY), ==, 0);
  bs_item_replace (copy, content);
  fixture_wait_finished (&fixture);
  g_assert_cmpuint (count (&fixture, BS_OPERATION_DELETE_KEY), ==, 1);
  g_assert_null (bs_backing_read (BS_BACKING (fixture.fault), old, NULL, &error));

  assert_goes (item);
  assert_goes (copy);
  fixture_tear_down (&fixture);
}

static void
test_replace_during_eviction (void)
{
  g_autoptr (GBytes) content = make_bytes (50, 'b');
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GError) error = NULL;
  BsItem *item;
  Fixture fixture;

  fixture_set_up (&fixture, 90);
  bs_fault_backing_hold (fixture.fault, BS_OPERATION_WRITE);
  item = insert (fixture.pool, 100, 'a');
  wait_until (count (&fixture, BS_OPERATION_WRITE) == 1);
  bs_item_replace (item, content);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 50);
  bs_fault_backing_release (fixture.fault, BS_OPERATION_WRITE);
  fixture_wait_finished (&fixture);
  g_assert_cmpuint (count (&fixture, BS_OPERATION_WRITE), ==, 1);
  g_assert_cmpuint (count (&fixture, BS_OPERATION_DELETE_KEY), ==, 1);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 50);

  bytes = bs_item_load (item, NULL, &error);
  g_assert_no_error (error);
  assert_filled (bytes, 50, 'b');
  assert_goes (item);
  g_clear_pointer (&bytes, g_bytes_unref);
  fixture_tear_down (&fixture);
}

static void
test_write (void)
{
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *key = NULL;
  g_autoptr (GBytes) stored = NULL;
  BsItem *item;
  Fixture fixture;

  fixture_set_up (&fixture, 1000);
  item = insert (fixture.pool, 100, 'a');
  g_assert_true (bs_item_write (item, NULL, &error));
  g_assert_no_error (error);
  g_assert_true (bs_item_write (item, NULL, &error));
  bs_item_write_async (item, G_PRIORITY_DEFAULT, NULL, store_result, &result);
  g_assert_null (result);
  g_assert_true (bs_item_write_finish (item, wait_result (&result), &error));
  g_assert_no_error (error);
  g_assert_cmpuint (count (&fixture, BS_OPERATION_WRITE), ==, 1);
  g_assert_true (is_resident (item));

  key = bs_item_dup_key (item);
  stored = bs_backing_read (BS_BACKING (fixture.fault), key, NULL, &error);
  g_assert_no_error (error);
  assert_filled (stored, 100, 'a');

  g_clear_object (&result);
  assert_goes (item);
  fixture_tear_down (&fixture);
}

static void
test_write_error (void)
{
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;
  BsItem *item;
  Fixture fixture;

  fixture_set_up (&fixture, 1000);
  fixture_track (&fixture);
  item = insert (fixture.pool, 100, 'a');
  fail_all (&fixture, BS_OPERATION_WRITE, NULL, G_IO_ERROR_NO_SPACE);
  g_assert_false (bs_item_write (item, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  g_clear_error (&error);
  bs_item_write_async (item, G_PRIORITY_DEFAULT, NULL, store_result, &result);
  g_assert_false (bs_item_write_finish (item, wait_result (&result), &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  g_clear_error (&error);
  g_assert_false (bs_item_persist (item, fixture.tracked, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  g_clear_error (&error);
  g_assert_true (is_resident (item));

  /* The call can be tried again. */
  bs_fault_backing_clear (fixture.fault);
  g_assert_true (bs_item_persist (item, fixture.tracked, NULL, &error));
  g_assert_no_error (error);
  bs_pool_set_max_bytes (fixture.pool, 0);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 0);

  g_clear_object (&result);
  assert_goes (item);
  fixture_tear_down (&fixture);
}

static void
test_persist (void)
{
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *key = NULL;
  Fixture fixture;
  BsItem *item;

  fixture_set_up (&fixture, 1000);
  fixture_track (&fixture);
  item = insert (fixture.pool, 100, 'a');
  key = bs_item_dup_key (item);
  bs_item_persist_async (item, fixture.tracked, G_PRIORITY_DEFAULT, NULL, store_result, &result);
  g_assert_null (result);
  g_assert_true (bs_item_persist_finish (item, wait_result (&result), &error));
  g_assert_no_error (error);
  g_assert_true (bs_tracked_path_contains_key (fixture.tracked, key));
  g_assert_true (bs_item_persist (item, fixture.tracked, NULL, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (count (&fixture, BS_OPERATION_WRITE), ==, 1);
  g_assert_cmpuint (count (&fixture, BS_OPERATION_PERSIST), ==, 1);

  /* The item is clean now, and leaves without another write. */
  bs_pool_set_max_bytes (fixture.pool, 0);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 0);
  g_assert_cmpuint (count (&fixture, BS_OPERATION_WRITE), ==, 1);

  g_clear_object (&result);
  assert_goes (item);
  fixture_tear_down (&fixture);
}

/* A read that fails costs nothing but itself. */
static void
test_load_error (void)
{
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = NULL;
  BsItem *item;
  Fixture fixture;

  fixture_set_up (&fixture, 1000);
  item = insert_evicted (&fixture, 100, 'a');
  fail_all (&fixture, BS_OPERATION_READ, NULL, G_IO_ERROR_FAILED);
  g_assert_null (bs_item_load (item, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_FAILED);
  g_clear_error (&error);
  bs_item_load_async (item, G_PRIORITY_DEFAULT, NULL, store_result, &result);
  g_assert_null (bs_item_load_finish (item, wait_result (&result), &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_FAILED);
  g_clear_error (&error);
  fixture_wait_finished (&fixture);
  g_assert_cmpuint (count (&fixture, BS_OPERATION_DELETE_KEY), ==, 0);

  bs_fault_backing_clear (fixture.fault);
  bytes = bs_item_load (item, NULL, &error);
  g_assert_no_error (error);
  assert_filled (bytes, 100, 'a');

  g_clear_object (&result);
  assert_goes (item);
  g_clear_pointer (&bytes, g_bytes_unref);
  fixture_tear_down (&fixture);
}

/* The message names the operation and the key. */
static void
assert_cancelled (GError **error, BsItem *item, const char *title)
{
  g_autofree char *key = bs_item_dup_key (item);

  g_assert_error (*error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_true (g_str_has_prefix ((*error)->message, title));
  g_assert_nonnull (strstr ((*error)->message, key));
  g_clear_error (error);
}

static void
test_cancel (void)
{
  g_autoptr (GCancellable) cancelled = g_cancellable_new ();
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GAsyncResult) other = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = NULL;
  BsItem *item, *evicted;
  Fixture fixture;

  fixture_set_up (&fixture, 1000);
  fixture_track (&fixture);
  evicted = insert_evicted (&fixture, 200, 'c');
  item = insert (fixture.pool, 100, 'a');

  /* Before the call: nothing is asked of anyone. */
  g_cancellable_cancel (cancelled);
  g_assert_null (bs_item_load (item, cancelled, &error));
  assert_cancelled (&error, item, "Loading key");
  g_assert_null (bs_item_load (evicted, cancelled, &error));
  assert_cancelled (&error, evicted, "Loading key");
  g_assert_false (bs_item_write (item, cancelled, &error));
  assert_cancelled (&error, item, "Writing key");
  g_assert_false (bs_item_persist (item, fixture.tracked, cancelled, &error));
  assert_cancelled (&error, item, "Persisting key");
  bs_item_load_async (item, G_PRIORITY_DEFAULT, cancelled, store_result, &result);
  g_assert_null (result);
  g_assert_null (bs_item_load_finish (item, wait_result (&result), &error));
  assert_cancelled (&error, item, "Loading key");
  g_clear_object (&result);
  bs_item_persist_async (item, fixture.tracked, G_PRIORITY_DEFAULT, cancelled, store_result,
                         &result);
  g_assert_null (result);
  g_assert_false (bs_item_persist_finish (item, wait_result (&result), &error));
  g_assert_nonnull (strstr (error->message, "memory:///persisted"));
  assert_cancelled (&error, item, "Persisting key");
  g_clear_object (&result);
  g_assert_cmpuint (count (&fixture, BS_OPERATION_WRITE), ==, 1);
  g_assert_cmpuint (count (&fixture, BS_OPERATION_READ), ==, 0);

  /* One of two leaves. */
  bs_fault_backing_hold (fixture.fault, BS_OPERATION_READ);
  bs_item_load_async (evicted, G_PRIORITY_DEFAULT, cancellable, store_result, &result);
  bs_item_load_async (evicted, G_PRIORITY_DEFAULT, NULL, store_result, &other);
  wait_until (count (&fixture, BS_OPERATION_READ) == 1);
  g_cancellable_cancel (cancellable);
  g_assert_null (result);
  g_assert_null (bs_item_load_finish (evicted, wait_result (&result), &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  g_assert_null (other);
  bs_fault_backing_release (fixture.fault, BS_OPERATION_READ);
  bytes = bs_item_load_finish (evicted, wait_result (&other), &error);
  g_assert_no_error (error);
  assert_filled (bytes, 200, 'c');
  g_assert_cmpuint (count (&fixture, BS_OPERATION_READ), ==, 1);

  g_clear_object (&result);
  g_clear_object (&other);
  assert_goes (item);
  assert_goes (evicted);
  g_clear_pointer (&bytes, g_bytes_unref);
  fixture_tear_down (&fixture);
}

/* An item learns its size from its first load, on whichever thread, and tells it here. */
static void
test_size_learnt (void)
{
  g_autofree char *key = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = NULL;
  Notified notified = { .home = g_thread_self () };
  BsItem *item;
  Fixture fixture;

  fixture_set_up (&fixture, 1000);
  fixture_track (&fixture);
  key = put_key (&fixture, 100, 'a');
  item = bs_pool_register (fixture.pool, fixture.tracked, key, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (bs_item_get_size (item), ==, -1);
  g_signal_connect (item, "notify", G_CALLBACK (notify_cb), &notified);
  bytes = g_thread_join (g_thread_new ("load", load_thread, item));
  g_assert_cmpint (bs_item_get_size (item), ==, 100);
  g_assert_cmpuint (notified.n, ==, 0);
  wait_until (notified.n > 0);
  g_assert_cmpuint (notified.n, ==, 1);
  g_assert_cmpuint (notified.n_elsewhere, ==, 0);

  g_assert_true (bs_pool_trim (fixture.pool, 0, NULL, &error));
  g_assert_cmpint (bs_item_get_size (item), ==, 100);
  assert_goes (item);
  g_clear_pointer (&bytes, g_bytes_unref);
  fixture_tear_down (&fixture);
}

static void
test_empty_content (void)
{
  g_autoptr (GBytes) empty = g_bytes_new_static (NULL, 0);
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = NULL;
  g_autofree char *key = NULL;
  BsItem *item;
  Fixture fixture;

  fixture_set_up (&fixture, 0);
  fixture_track (&fixture);
  item = bs_pool_insert (fixture.pool, empty);
  g_assert_cmpint (bs_item_get_size (item), ==, 0);
  bytes = bs_item_load (item, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (g_bytes_get_size (bytes), ==, 0);
  assert_goes (item);

  key = put_key (&fixture, 0, 'a');
  item = bs_pool_register (fixture.pool, fixture.tracked, key, NULL, &error);
  g_assert_no_error (error);
  g_clear_pointer (&bytes, g_bytes_unref);
  bytes = bs_item_load (item, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (g_bytes_get_size (bytes), ==, 0);
  assert_goes (item);
  g_clear_pointer (&bytes, g_bytes_unref);
  fixture_tear_down (&fixture);
}

/* Bytes loaded from an item may be the content of another. */
static void
test_insert_what_was_loaded (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = NULL;
  BsItem *item, *other;
  Fixture fixture;

  fixture_set_up (&fixture, 1000);
  item = insert (fixture.pool, 100, 'a');
  bytes = bs_item_load (item, NULL, &error);
  other = bs_pool_insert (fixture.pool, bytes);
  g_clear_pointer (&bytes, g_bytes_unref);
  assert_goes (item);
  bytes = bs_item_load (other, NULL, &error);
  g_assert_no_error (error);
  assert_filled (bytes, 100, 'a');
  g_clear_pointer (&bytes, g_bytes_unref);
  g_assert_true (bs_pool_trim (fixture.pool, 0, NULL, &error));
  wait_until (bs_pool_get_memory_in_use (fixture.pool) == 0);
  bytes = bs_item_load (other, NULL, &error);
  g_assert_no_error (error);
  assert_filled (bytes, 100, 'a');

  assert_goes (other);
  g_clear_pointer (&bytes, g_bytes_unref);
  fixture_tear_down (&fixture);
}

/* A callback may drop everything there is. */
typedef struct
{
  Fixture *fixture;
  BsItem *item;
  gboolean called;
} Last;

static void
drop_everything_cb (GObject *object, GAsyncResult *result, gpointer user_data)
{
  Last *last = user_data;
  GBytes *bytes = bs_item_load_finish (BS_ITEM (object), result, NULL);

  g_assert_nonnull (bytes);
  g_bytes_unref (bytes);
  g_clear_object (&last->item);
  g_clear_object (&last->fixture->pool);
  last->called = TRUE;
}

static void
test_drop_in_callback (void)
{
  Fixture fixture;
  Last last = { .fixture = &fixture };

  fixture_set_up (&fixture, 1000);
  last.item = insert_evicted (&fixture, 100, 'a');
  bs_item_load_async (last.item, G_PRIORITY_DEFAULT, NULL, drop_everything_cb, &last);
  while (!last.called)
    g_main_context_iteration (NULL, TRUE);
  fixture_tear_down (&fixture);
}

static void
expect_refusal (const char *assertion)
{
  g_test_expect_message ("backingstore", G_LOG_LEVEL_CRITICAL, assertion);
}

static void
test_made_by_hand (void)
{
  BsItem *item = g_object_new (BS_TYPE_ITEM, NULL);
  g_autoptr (GBytes) bytes = make_bytes (1, 'a');
  g_autoptr (GError) error = NULL;

  g_assert_null (bs_item_get_pool (item));
  g_assert_null (bs_item_dup_key (item));
  g_assert_cmpint (bs_item_get_size (item), ==, -1);
  for (guint i = 0; i < 5; i++)
    expect_refusal ("*bs_item_has_pool*");
  g_assert_null (bs_item_try_load (item));
  g_assert_null (bs_item_load (item, NULL, &error));
  g_assert_false (bs_item_write (item, NULL, &error));
  g_assert_null (bs_item_copy (item));
  bs_item_replace (item, bytes);
  g_test_assert_expected_messages ();
  g_assert_no_error (error);
  g_assert_finalize_object (item);
}

/* A thread that is at the items of a test all the time. */
typedef struct
{
  BsItem **items;
  GThread *thread;
  int *is_over; /* atomic */
} Busy;

#define N_CONTENDED 2

static gpointer
load_until_over (gpointer data)
{
  Busy *self = data;

  for (guint i = 0; !g_atomic_int_get (self->is_over); i++)
    {
      g_autoptr (GBytes) bytes = bs_item_try_load (self->items[i % N_CONTENDED]);
      const char *content = g_bytes_get_data (bytes, NULL);

      /* One of the contents that the item had, whole. */
      assert_filled (bytes, 100, content[0]);
    }

  return NULL;
}

static gpointer
copy_until_over (gpointer data)
{
  Busy *self = data;

  for (guint i = 0; !g_atomic_int_get (self->is_over); i++)
    {
      BsItem *item = bs_item_copy (self->items[i % N_CONTENDED]);
      g_autofree char *key = bs_item_dup_key (item);

      g_assert_true (bs_key_is_valid (key));
      g_object_unref (item);
    }

  return NULL;
}

/* Contents change under those who load and copy them. */
static void
test_contended (void)
{
  /* Under the tools that make everything slow, a part. */
  const guint n_changes = g_getenv ("G_SLICE") != NULL ? 2000 : 100000;
  const GThreadFunc funcs[] = { load_until_over, load_until_over, copy_until_over };
  BsItem *items[N_CONTENDED];
  Busy busy[G_N_ELEMENTS (funcs)];
  int is_over = FALSE;
  Fixture fixture;

  fixture_set_up (&fixture, G_MAXUINT64);
  for (guint i = 0; i < N_CONTENDED; i++)
    items[i] = insert (fixture.pool, 100, 'a');
  for (guint i = 0; i < G_N_ELEMENTS (funcs); i++)
    {
      busy[i] = (Busy){ .items = items, .is_over = &is_over };
      busy[i].thread = g_thread_new ("busy", funcs[i], &busy[i]);
    }

  for (guint i = 0; i < n_changes; i++)
    {
      g_autoptr (GBytes) bytes = make_bytes (100, 'a' + i % 26);

      bs_item_replace (items[i % N_CONTENDED], bytes);
    }
  g_atomic_int_set (&is_over, TRUE);
  for (guint i = 0; i < G_N_ELEMENTS (funcs); i++)
    g_thread_join (busy[i].thread);

  fixture_wait_finished (&fixture);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, N_CONTENDED * 100);
  g_assert_cmpuint (bs_pool_get_memory_in_use (fixture.pool), ==, 0);
  for (guint i = 0; i < N_CONTENDED; i++)
    assert_goes (items[i]);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 0);
  fixture_tear_down (&fixture);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/item/resident", test_resident);
  g_test_add_data_func ("/item/shared-read", GUINT_TO_POINTER (0), test_shared_read);
  g_test_add_data_func ("/item/shared-read-by-threads", GUINT_TO_POINTER (8), test_shared_read);
  g_test_add_func ("/item/held-bytes-come-back", test_held_bytes_come_back);
  g_test_add_func ("/item/replace", test_replace);
  g_test_add_func ("/item/replace-during-eviction", test_replace_during_eviction);
  g_test_add_func ("/item/write", test_write);
  g_test_add_func ("/item/write-error", test_write_error);
  g_test_add_func ("/item/persist", test_persist);
  g_test_add_func ("/item/load-error", test_load_error);
  g_test_add_func ("/item/cancel", test_cancel);
  g_test_add_func ("/item/size-learnt", test_size_learnt);
  g_test_add_func ("/item/empty-content", test_empty_content);
  g_test_add_func ("/item/insert-what-was-loaded", test_insert_what_was_loaded);
  g_test_add_func ("/item/drop-in-callback", test_drop_in_callback);
  g_test_add_func ("/item/contended", test_contended);
  g_test_add_func ("/item/made-by-hand", test_made_by_hand);

  return g_test_run ();
}
