/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "pool-fixture.h"

/* Contents near their end in memory are written before they must leave. */

#define BUDGET 10000
#define SIZE 100
#define N_FITTING (BUDGET / SIZE)
#define N_ITEMS (3 * N_FITTING)

static void
count_report (BsBackingStore *store,
              const char *key,
              BsOperation operation,
              GError *error,
              guint *n)
{
  g_assert_cmpint (operation, ==, BS_OPERATION_WRITE);
  (*n)++;
}

/* A victim is clean by then, and goes at once. */
static void
test_victims_are_clean (void)
{
  BsItem *items[N_ITEMS];
  Fixture fixture;

  fixture_set_up (&fixture, BUDGET);
  for (guint i = 0; i < N_ITEMS; i++)
    {
      items[i] = insert (fixture.pool, SIZE, 'a');
      g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), <=, BUDGET);
      fixture_wait_finished (&fixture);
    }
  g_assert_cmpuint (count (&fixture, BS_OPERATION_WRITE), >=, N_ITEMS - N_FITTING);

  /* No more than what has left, and what is about to. */
  g_assert_cmpuint (count (&fixture, BS_OPERATION_WRITE), <, N_ITEMS - N_FITTING / 2);

  unref_items (items, N_ITEMS);
  fixture_tear_down (&fixture);
}

static void
test_nothing_while_there_is_room (void)
{
  BsItem *items[N_FITTING / 2];
  Fixture fixture;

  fixture_set_up (&fixture, BUDGET);
  for (guint i = 0; i < G_N_ELEMENTS (items); i++)
    items[i] = insert (fixture.pool, SIZE, 'a');
  fixture_wait_finished (&fixture);
  g_assert_cmpuint (count (&fixture, BS_OPERATION_WRITE), ==, 0);

  unref_items (items, G_N_ELEMENTS (items));
  fixture_tear_down (&fixture);
}

/* Fills the pool up to its budget, so that some are written behind, one after
 * the other; the first is stuck in its write. */
static void
fill_and_hold (Fixture *fixture, BsItem **items)
{
  fixture_set_up (fixture, BUDGET);
  bs_backing_store_set_max_threads (fixture->store, 1);
  bs_fault_backing_hold (fixture->fault, BS_OPERATION_WRITE);
  insert_many (fixture->pool, items, N_FITTING, SIZE);
  wait_until (count (fixture, BS_OPERATION_WRITE) == 1);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture->pool), ==, BUDGET);
}

static void
test_dropped (void)
{
  BsItem *items[N_FITTING];
  Fixture fixture;

  fill_and_hold (&fixture, items);
  unref_items (items, N_FITTING);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 0);
  bs_fault_backing_release (fixture.fault, BS_OPERATION_WRITE);
  fixture_wait_finished (&fixture);
  g_assert_cmpuint (count (&fixture, BS_OPERATION_WRITE), ==, 1);
  g_assert_cmpuint (count (&fixture, BS_OPERATION_DELETE_KEY), ==, 1);

  fixture_tear_down (&fixture);
}

/* Used and replaced while they are written. */
static void
test_used_meanwhile (void)
{
  BsItem *items[N_FITTING];
  Fixture fixture;

  fill_and_hold (&fixture, items);
  for (guint i = 0; i < N_FITTING; i++)
    {
      g_autoptr (GBytes) old = bs_item_try_load (items[i]);
      g_autoptr (GBytes) bytes = make_bytes (SIZE, letter_of (i + 1));

      assert_filled (old, SIZE, letter_of (i));
      bs_item_replace (items[i], bytes);
    }
  bs_fault_backing_release (fixture.fault, BS_OPERATION_WRITE);
  fixture_wait_finished (&fixture);
  g_assert_true (bs_pool_trim (fixture.pool, 0, NULL, NULL));
  for (guint i = 0; i < N_FITTING; i++)
    {
      g_autoptr (GBytes) bytes = bs_item_load (items[i], NULL, NULL);

      assert_filled (bytes, SIZE, letter_of (i + 1));
    }

  unref_items (items, N_FITTING);
  fixture_tear_down (&fixture);
}

/* A content that must leave while it is written behind is not written twice. */
static void
test_overtaken (void)
{
  BsItem *items[N_FITTING];
  Fixture fixture;

  fill_and_hold (&fixture, items);
  bs_pool_set_max_bytes (fixture.pool, 0);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, BUDGET);
  bs_fault_backing_release (fixture.fault, BS_OPERATION_WRITE);
  wait_until (bs_pool_get_memory_use (fixture.pool) == 0);
  fixture_wait_finished (&fixture);
  g_assert_cmpuint (count (&fixture, BS_OPERATION_WRITE), ==, N_FITTING);

  unref_items (items, N_FITTING);
  fixture_tear_down (&fixture);
}

/* One that fails is reported once, and tells the others to wait until they have
 * to leave: nothing is tried again and again for nothing. */
static void
test_failure (void)
{
  BsItem *items[N_FITTING + 1];
  guint n_reports = 0;
  Fixture fixture;

  fill_and_hold (&fixture, items);
  g_signal_connect (fixture.store, "background-error", G_CALLBACK (count_report), &n_reports);
  fail_all (&fixture, BS_OPERATION_WRITE, NULL, G_IO_ERROR_NO_SPACE);
  bs_fault_backing_release (fixture.fault, BS_OPERATION_WRITE);
  wait_until (n_reports == 1);
  fixture_wait_finished (&fixture);
  /* The first was on its way already. */
  g_assert_cmpuint (count (&fixture, BS_OPERATION_WRITE), ==, 2);
  for (guint i = 0; i < N_FITTING; i++)
    g_assert_true (is_resident (items[i]));

  bs_fault_backing_clear (fixture.fault);
  items[N_FITTING] = insert (fixture.pool, SIZE, 'a');
  wait_until (bs_pool_get_memory_use (fixture.pool) <= BUDGET);
  g_assert_true (bs_pool_trim (fixture.pool, 0, NULL, NULL));
  g_assert_cmpuint (n_reports, ==, 1);

  g_signal_handlers_disconnect_by_data (fixture.store, &n_reports);
  unref_items (items, N_FITTING + 1);
  fixture_tear_down (&fixture);
}

/* Many come near their end at once, more than one round takes: as many are written as
 * there are threads. */
static void
test_many_at_once (void)
{
  enum
  {
    N_THREADS = 16,
    N_MANY = 10 * N_ITEMS
  };
  BsItem *items[N_MANY];
  Fixture fixture;

  fixture_set_up (&fixture, G_MAXUINT64);
  bs_backing_store_set_max_threads (fixture.store, N_THREADS);
  bs_fault_backing_hold (fixture.fault, BS_OPERATION_WRITE);
  for (guint i = 0; i < N_MANY; i++)
    items[i] = insert (fixture.pool, SIZE, 'a');
  g_assert_cmpuint (count (&fixture, BS_OPERATION_WRITE), ==, 0);
  bs_pool_set_max_bytes (fixture.pool, N_MANY * SIZE);
  wait_until (count (&fixture, BS_OPERATION_WRITE) == N_THREADS);
  g_assert_cmpuint (bs_pool_get_n_resident (fixture.pool), ==, N_MANY);
  bs_fault_backing_release (fixture.fault, BS_OPERATION_WRITE);
  fixture_wait_finished (&fixture);

  unref_items (items, N_MANY);
  fixture_tear_down (&fixture);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/write-behind/victims-are-clean", test_victims_are_clean);
  g_test_add_func ("/write-behind/nothing-while-there-is-room", test_nothing_while_there_is_room);
  g_test_add_func ("/write-behind/dropped", test_dropped);
  g_test_add_func ("/write-behind/used-meanwhile", test_used_meanwhile);
  g_test_add_func ("/write-behind/overtaken", test_overtaken);
  g_test_add_func ("/write-behind/failure", test_failure);
  g_test_add_func ("/write-behind/many-at-once", test_many_at_once);

  return g_test_run ();
}
