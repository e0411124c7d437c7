/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "store-fixture.h"

/* Saves on a backing that persists many keys in one call. */

#define N_ITEMS 20
#define N_WRITTEN 5

/* Of the items some are in primary storage, the others in memory only. */
typedef struct
{
  BsItem *items[N_ITEMS];
  char *keys[N_ITEMS];
  BsSave *save;
} Document;

static void
set_up (Document *self, Fixture *fixture)
{
  self->save = bs_save_new (fixture->store, fixture->tracked);
  bs_save_set_max_parallel (self->save, 1);
  for (guint i = 0; i < N_ITEMS; i++)
    {
      self->items[i] = i < N_WRITTEN ? insert_written (fixture, "a") : insert (fixture, "a");
      self->keys[i] = bs_item_dup_key (self->items[i]);
      bs_save_add_item (self->save, self->items[i]);
    }
  gate_backing_reset_log (fixture->gates);
}

static void
tear_down (Document *self, Fixture *fixture)
{
  assert_goes (g_steal_pointer (&self->save));
  for (guint i = 0; i < N_ITEMS; i++)
    {
      g_clear_object (&self->items[i]);
      g_clear_pointer (&self->keys[i], g_free);
    }
  settle (fixture);
}

static void
save_ok (Document *self)
{
  g_autoptr (GError) error = NULL;
  gboolean success = bs_save_run (self->save, NULL, &error);

  g_assert_no_error (error);
  g_assert_true (success);
}

#define save_async(self, cancellable, answer)                                                      \
  bs_save_run_async ((self)->save, G_PRIORITY_DEFAULT, cancellable, answer_cb, answer)

#define count(fixture, operation)                                                                  \
  gate_backing_count ((fixture)->gates, BS_OPERATION_##operation, NULL)

static void
assert_saved (Document *self, Fixture *fixture)
{
  for (guint i = 0; i < N_ITEMS; i++)
    {
      g_assert_true (gate_backing_has_primary (fixture->gates, self->keys[i]));
      g_assert_true (gate_backing_has_persisted (fixture->gates, fixture->file, self->keys[i]));
      g_assert_true (gate_backing_is_durable (fixture->gates, fixture->file, self->keys[i]));
      g_assert_true (bs_tracked_path_contains_key (fixture->tracked, self->keys[i]));
    }
  g_assert_cmpuint (bs_tracked_path_get_n_keys (fixture->tracked), ==, N_ITEMS);
}

/* Each share of the names is one call, and there are as many shares as may go in parallel. */
static void
test_together (Fixture *fixture, gconstpointer data)
{
  static const guint n_parallel[] = { 1, 4, N_ITEMS - 1, 1000 };
  static const guint n_calls[] = { 1, 4, N_ITEMS / 2, 0 };

  for (guint i = 0; i < G_N_ELEMENTS (n_parallel); i++)
    {
      Document document;

      set_up (&document, fixture);
      bs_save_set_max_parallel (document.save, n_parallel[i]);
      save_ok (&document);
      assert_saved (&document, fixture);
      g_assert_cmpuint (count (fixture, PERSIST_KEYS), ==, n_calls[i]);
      g_assert_cmpuint (count (fixture, PERSIST), ==, n_calls[i] > 0 ? 0 : N_WRITTEN);
      g_assert_cmpuint (count (fixture, PERSIST_BYTES), ==,
                        n_calls[i] > 0 ? 0 : N_ITEMS - N_WRITTEN);
      g_assert_cmpuint (count (fixture, WRITE), ==, 0);

      /* Nothing is left to do. */
      gate_backing_reset_log (fixture->gates);
      save_ok (&document);
      g_assert_cmpuint (count (fixture, PERSIST_KEYS), ==, 0);
      g_assert_cmpuint (count (fixture, PERSIST), ==, 0);
      tear_down (&document, fixture);
    }
}

/* The contents are encoded for the call, and are not all in memory at a time. */
static void
test_bounded (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsSave) save = bs_save_new (fixture->store, fixture->tracked);
  g_autoptr (GError) error = NULL;

  bs_save_set_max_parallel (save, 1);
  for (guint i = 0; i < 10; i++)
    {
      g_autoptr (GBytes) bytes = g_bytes_new_take (g_malloc0 (1024 * 1024), 1024 * 1024);
      g_autoptr (BsItem) item = bs_pool_insert (fixture->pool, bytes);

      bs_save_add_item (save, item);
    }
  g_assert_true (bs_save_run (save, NULL, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (count (fixture, PERSIST_KEYS), ==, 3);
  g_assert_cmpuint (bs_tracked_path_get_n_keys (fixture->tracked), ==, 10);
}

/* After a call that failed, each key is persisted by itself, whatever the call has done. */
static void
test_fails (Fixture *fixture, gconstpointer data)
{
  for (GatePoint point = GATE_BEFORE; point <= GATE_AFTER; point++)
    {
      Document document;

      set_up (&document, fixture);
      gate_backing_fail (fixture->gates, BS_OPERATION_PERSIST_KEYS, NULL, point, 1,
                         G_IO_ERROR_NO_SPACE);
      save_ok (&document);
      assert_saved (&document, fixture);
      for (guint i = 0; i < N_ITEMS; i++)
        assert_log (fixture, document.keys[i],
                    i < N_WRITTEN          ? "persist_keys persist"
                    : point == GATE_BEFORE ? "persist_keys write persist"
                                           : "persist_keys write delete_key write persist");
      gate_backing_clear (fixture->gates);
      tear_down (&document, fixture);
    }
}

/* The error names the key that cannot be persisted; nothing of the save is at the path. */
static void
test_one_fails (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  Document document;
  const char *key;

  set_up (&document, fixture);
  key = document.keys[N_ITEMS / 2];
  gate_backing_fail (fixture->gates, BS_OPERATION_PERSIST_KEYS, NULL, GATE_AFTER, 1,
                     G_IO_ERROR_NO_SPACE);
  gate_backing_fail (fixture->gates, BS_OPERATION_PERSIST, key, GATE_BEFORE, 0,
                     G_IO_ERROR_READ_ONLY);
  g_assert_false (bs_save_run (document.save, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_READ_ONLY);
  g_assert_nonnull (strstr (error->message, key));
  g_assert_nonnull (strstr (error->message, "gate:///path"));

  gate_backing_clear (fixture->gates);
  save_ok (&document);
  assert_saved (&document, fixture);
  tear_down (&document, fixture);
}

/* A call that fails without an error is one that failed. */
static void
test_fails_silently (Fixture *fixture, gconstpointer data)
{
  Document document;

  set_up (&document, fixture);
  gate_backing_fail_silently (fixture->gates, BS_OPERATION_PERSIST_KEYS);
  save_ok (&document);
  assert_saved (&document, fixture);
  tear_down (&document, fixture);
}

/* A key that is busy delays no other, and is persisted once. */
static void
test_busy (Fixture *fixture, gconstpointer data)
{
  Answer single = { 0 }, whole = { 0 };
  Document document;
  const char *key;

  bs_backing_store_set_max_threads (fixture->store, 2);
  set_up (&document, fixture);
  key = document.keys[N_ITEMS - 1];
  ask_held (fixture, BS_OPERATION_PERSIST_BYTES, key,
            persist_async (fixture, document.items[N_ITEMS - 1], NULL, &single));
  save_async (&document, NULL, &whole);
  spin_until (bs_tracked_path_get_n_keys (fixture->tracked) == N_ITEMS - 1);
  g_assert_false (answer_is_there (&whole));
  g_assert_false (bs_tracked_path_contains_key (fixture->tracked, key));
  gate_backing_release_all (fixture->gates);
  answer_ok (&single);
  answer_ok (&whole);
  assert_saved (&document, fixture);
  assert_log (fixture, key, "persist_bytes");
  g_assert_cmpuint (count (fixture, PERSIST_KEYS), ==, 1);
  tear_down (&document, fixture);
}

/* While the call runs: an equal operation joins it, an opposite one is refused, a sync
 * waits for it. */
static void
test_meanwhile (Fixture *fixture, gconstpointer data)
{
  Answer whole = { 0 }, same = { 0 }, opposite = { 0 }, sync = { 0 };
  Document document;

  set_up (&document, fixture);
  ask_held (fixture, BS_OPERATION_PERSIST_KEYS, NULL, save_async (&document, NULL, &whole));
  persist_async (fixture, document.items[7], NULL, &same);
  delete_async (fixture, document.keys[8], NULL, &opposite);
  sync_async (fixture, NULL, &sync);
  answer_fails (&opposite, BS_ERROR, BS_ERROR_BUSY);
  g_assert_false (answer_is_there (&same) || answer_is_there (&sync));
  gate_backing_release_all (fixture->gates);
  answer_ok (&same);
  answer_ok (&sync);
  answer_ok (&whole);
  assert_saved (&document, fixture);
  assert_log (fixture, document.keys[7], "persist_keys");
  tear_down (&document, fixture);
}

/* A save that is cancelled leaves the operation that has joined one of its keys, whose call
 * is made again. */
static void
test_cancelled (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  Answer whole = { 0 }, same = { 0 };
  Document document;

  set_up (&document, fixture);
  ask_held (fixture, BS_OPERATION_PERSIST_KEYS, NULL, save_async (&document, cancellable, &whole));
  persist_async (fixture, document.items[7], NULL, &same);
  g_cancellable_cancel (cancellable);
  gate_backing_release_all (fixture->gates);
  answer_ok (&same);
  answer_cancelled (&whole);
  settle (fixture);
  assert_log (fixture, document.keys[7], "persist_keys write persist");
  g_assert_cmpuint (bs_tracked_path_get_n_keys (fixture->tracked), ==, 1);

  save_ok (&document);
  assert_saved (&document, fixture);
  tear_down (&document, fixture);
}

/* A save that is cancelled before its turn makes no call. */
static void
test_cancelled_before (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  Answer whole = { 0 };
  Document document;
  Plug plug = { 0 };

  set_up (&document, fixture);
  plug_in (&plug, fixture);
  save_async (&document, cancellable, &whole);
  g_cancellable_cancel (cancellable);
  answer_cancelled (&whole);
  plug_out (&plug, fixture);
  settle (fixture);
  g_assert_cmpuint (count (fixture, PERSIST_KEYS), ==, 0);
  g_assert_cmpuint (bs_tracked_path_get_n_keys (fixture->tracked), ==, 0);
  tear_down (&document, fixture);
}

/* Primary storage has lost a blob that is in memory: it is written anew. */
static void
test_lost (Fixture *fixture, gconstpointer data)
{
  Document document;

  set_up (&document, fixture);
  gate_backing_lose_primary (fixture->gates, document.keys[0]);
  save_ok (&document);
  assert_saved (&document, fixture);
  tear_down (&document, fixture);
}

/* A name that a save has twice is one key. */
static void
test_twice (Fixture *fixture, gconstpointer data)
{
  Document document;

  set_up (&document, fixture);
  for (guint i = 0; i < N_ITEMS; i++)
    bs_save_add_item (document.save, document.items[i]);
  save_ok (&document);
  assert_saved (&document, fixture);
  for (guint i = 0; i < N_ITEMS; i++)
    assert_log (fixture, document.keys[i], "persist_keys");
  tear_down (&document, fixture);
}

/* Rules of a fault backing for calls with one key are met, since the store makes these. */
static void
test_fault_backing (Fixture *fixture, gconstpointer data)
{
  static const BsOperation operations[] = {
    BS_OPERATION_PERSIST_KEYS,
    BS_OPERATION_PERSIST_BYTES,
    BS_OPERATION_WRITE,
    BS_OPERATION_PERSIST,
  };
  g_autoptr (GateBacking) gates = gate_backing_new_batch ();
  g_autoptr (BsFaultBacking) fault = bs_fault_backing_new (BS_BACKING (gates));
  g_autoptr (BsBackingStore) store = bs_backing_store_new (BS_BACKING (fault));
  g_autoptr (BsPool) pool = bs_pool_new (store, G_MAXINT64);
  g_autoptr (GError) full = g_error_new_literal (G_IO_ERROR, G_IO_ERROR_NO_SPACE, "full");
  g_autoptr (GError) error = NULL;
  g_autoptr (BsTrackedPath) tracked =
    bs_backing_store_track_path (store, fixture->file, NULL, &error);

  g_assert_no_error (error);
  for (guint i = 0; i < G_N_ELEMENTS (operations); i++)
    {
      g_autoptr (BsSave) save = bs_save_new (store, tracked);
      guint n_before = bs_fault_backing_get_count (fault, operations[i]);
      gboolean success;

      bs_save_set_max_parallel (save, 1);
      for (guint j = 0; j < N_ITEMS; j++)
        {
          g_autofree char *content = g_strdup_printf ("%u", j);
          g_autoptr (GBytes) bytes = g_bytes_new (content, strlen (content));
          g_autoptr (BsItem) item = bs_pool_insert (pool, bytes);

          bs_save_add_item (save, item);
        }
      bs_fault_backing_fail (fault, operations[i], NULL, 1, full);
      /* The single calls put right what the call for many has failed at. */
      success = bs_save_run (save, NULL, &error);
      if (operations[i] == BS_OPERATION_PERSIST_KEYS)
        g_assert_no_error (error);
      else
        g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
      g_assert_cmpint (success, ==, operations[i] == BS_OPERATION_PERSIST_KEYS);
      g_clear_error (&error);
      g_assert_true (bs_save_run (save, NULL, &error));
      g_assert_no_error (error);
      g_assert_cmpuint (bs_fault_backing_get_count (fault, operations[i]), >, n_before);
      g_assert_cmpuint (bs_tracked_path_get_n_keys (tracked), ==, N_ITEMS);
    }

  bs_backing_store_close (store, NULL, &error);
  g_assert_no_error (error);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);

  test_add_batch ("/persist-keys/together", test_together);
  test_add_batch ("/persist-keys/bounded", test_bounded);
  test_add_batch ("/persist-keys/fails/whole", test_fails);
  test_add_batch ("/persist-keys/fails/one", test_one_fails);
  test_add_batch ("/persist-keys/fails/silently", test_fails_silently);
  test_add_batch ("/persist-keys/busy", test_busy);
  test_add_batch ("/persist-keys/meanwhile", test_meanwhile);
  test_add_batch ("/persist-keys/cancelled/running", test_cancelled);
  test_add_batch ("/persist-keys/cancelled/queued", test_cancelled_before);
  test_add_batch ("/persist-keys/lost", test_lost);
  test_add_batch ("/persist-keys/twice", test_twice);
  test_add_once ("/persist-keys/fault-backing", test_fault_backing);

  return g_test_run ();
}
