/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "store-fixture.h"

/* Interleavings of saves. In each, the old document is the blobs "one" and "two"
 * and the root "old"; the new one is "two" and "three" and the root "new". */

typedef struct
{
  BsItem *items[3];
  char *keys[3];
  BsSave *save;
} Document;

static GBytes *
make_bytes (const char *content)
{
  return g_bytes_new (content, strlen (content));
}

static BsSave *
save_new (Fixture *fixture, const char *root, BsItem *first, BsItem *second)
{
  g_autoptr (GBytes) bytes = root != NULL ? make_bytes (root) : NULL;
  BsSave *save = bs_save_new (fixture->store, fixture->tracked);

  if (first != NULL)
    bs_save_add_item (save, first);
  if (second != NULL)
    bs_save_add_item (save, second);
  bs_save_set_root (save, bytes);
  return save;
}

static void
save_ok (BsSave *save)
{
  g_autoptr (GError) error = NULL;
  gboolean success = bs_save_run (save, NULL, &error);

  g_assert_no_error (error);
  g_assert_true (success);
}

#define save_async(save, cancellable, answer)                                                      \
  bs_save_run_async (save, G_PRIORITY_DEFAULT, cancellable, answer_cb, answer)

static void
document_set_up (Document *document, Fixture *fixture)
{
  const char *contents[] = { "one", "two", "three" };
  g_autoptr (BsSave) old = NULL;

  for (guint i = 0; i < 3; i++)
    {
      document->items[i] = insert (fixture, contents[i]);
      document->keys[i] = bs_item_dup_key (document->items[i]);
    }
  old = save_new (fixture, "old", document->items[0], document->items[1]);
  save_ok (old);
  settle (fixture);
  gate_backing_reset_log (fixture->gates);
  document->save = save_new (fixture, "new", document->items[1], document->items[2]);
}

static void
document_tear_down (Document *document, Fixture *fixture)
{
  for (guint i = 0; i < 3; i++)
    {
      g_clear_object (&document->items[i]);
      g_clear_pointer (&document->keys[i], g_free);
    }
  if (document->save != NULL)
    assert_goes (g_steal_pointer (&document->save));
  settle (fixture);
}

static void
assert_root (Fixture *fixture, const char *expected)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) root =
    bs_backing_store_load_root (fixture->store, fixture->tracked, NULL, &error);

  g_assert_no_error (error);
  g_assert_cmpmem (g_bytes_get_data (root, NULL), g_bytes_get_size (root), expected,
                   strlen (expected));
}

static gboolean
has (Fixture *fixture, const char *key)
{
  gboolean there = gate_backing_has_persisted (fixture->gates, fixture->file, key);

  if (there)
    g_assert_true (gate_backing_is_durable (fixture->gates, fixture->file, key));
  return there;
}

/* The old one, and perhaps more. */
static void
assert_old (Document *document, Fixture *fixture)
{
  assert_root (fixture, "old");
  g_assert_true (has (fixture, document->keys[0]));
  g_assert_true (has (fixture, document->keys[1]));
}

static void
assert_new (Document *document, Fixture *fixture)
{
  assert_root (fixture, "new");
  g_assert_false (gate_backing_has_persisted (fixture->gates, fixture->file, document->keys[0]));
  g_assert_true (has (fixture, document->keys[1]));
  g_assert_true (has (fixture, document->keys[2]));
  g_assert_cmpuint (bs_tracked_path_get_n_keys (fixture->tracked), ==, 2);
  g_assert_false (gate_backing_is_named (fixture->gates, fixture->file, document->keys[0]));
  g_assert_true (gate_backing_is_named (fixture->gates, fixture->file, document->keys[1]));
  g_assert_true (gate_backing_is_named (fixture->gates, fixture->file, document->keys[2]));
}

/* Where a save can be stopped. */
typedef struct
{
  BsOperation operation;
  guint key; /* which of the document's, or more than 2 */
  GatePoint point;
  gboolean committed; /* by then */
} Stop;

static const Stop stops[] = {
  { BS_OPERATION_WRITE, 2, GATE_BEFORE, FALSE },
  { BS_OPERATION_WRITE, 2, GATE_AFTER, FALSE },
  { BS_OPERATION_PERSIST, 2, GATE_BEFORE, FALSE },
  { BS_OPERATION_PERSIST, 2, GATE_AFTER, FALSE },
  { BS_OPERATION_SYNC_PERSISTED, 3, GATE_BEFORE, FALSE },
  { BS_OPERATION_SYNC_PERSISTED, 3, GATE_AFTER, FALSE },
  { BS_OPERATION_WRITE_ROOT, 3, GATE_BEFORE, FALSE },
  { BS_OPERATION_WRITE_ROOT, 3, GATE_AFTER, TRUE },
  { BS_OPERATION_DELETE_PERSISTED, 0, GATE_BEFORE, TRUE },
  { BS_OPERATION_DELETE_PERSISTED, 0, GATE_AFTER, TRUE },
};

static const char *
stop_key (const Stop *stop, Document *document)
{
  return stop->key < 3 ? document->keys[stop->key] : NULL;
}

static void
hold_at (const Stop *stop, Document *document, Fixture *fixture)
{
  gate_backing_hold (fixture->gates, stop->operation, stop_key (stop, document), stop->point);
}

static void
wait_at (const Stop *stop, Document *document, Fixture *fixture)
{
  gate_backing_wait_held (fixture->gates, stop->operation, stop_key (stop, document), stop->point,
                          1);
}

static void
test_order (Fixture *fixture, gconstpointer data)
{
  Document document;
  Answer answer = { 0 };

  for (guint blocking = 0; blocking < 2; blocking++)
    {
      document_set_up (&document, fixture);
      if (blocking)
        {
          save_ok (document.save);
        }
      else
        {
          save_async (document.save, NULL, &answer);
          answer_ok (&answer);
        }
      /* "two" costs nothing. */
      assert_log (fixture, document.keys[1], "");
      assert_log (fixture, NULL, "write persist sync_persisted write_root delete_persisted");
      assert_new (&document, fixture);
      g_assert_cmpfloat (bs_save_get_fraction (document.save), >=, 1.0);
      g_assert_cmpuint (bs_save_get_n_done (document.save), ==, 2);
      document_tear_down (&document, fixture);
    }
}

/* A save that waits for another calls nothing before that one's end. */
static void
test_two_at_once (Fixture *fixture, gconstpointer data)
{
  for (guint i = 0; i < G_N_ELEMENTS (stops); i++)
    {
      Answer answers[2] = { 0 };
      g_autoptr (BsItem) four = insert (fixture, "four");
      g_autofree char *key = bs_item_dup_key (four);
      g_autoptr (BsSave) next = NULL;
      Document document;

      document_set_up (&document, fixture);
      next = save_new (fixture, "next", document.items[2], four);
      hold_at (&stops[i], &document, fixture);
      save_async (document.save, NULL, &answers[0]);
      wait_at (&stops[i], &document, fixture);
      save_async (next, NULL, &answers[1]);
      g_assert_false (answer_is_there (&answers[1]));
      assert_log (fixture, key, "");
      g_assert_cmpuint (bs_save_get_n_done (next), ==, 0);
      gate_backing_release_all (fixture->gates);
      answer_ok (&answers[0]);
      answer_ok (&answers[1]);
      assert_root (fixture, "next");
      g_assert_false (has (fixture, document.keys[0]));
      g_assert_false (has (fixture, document.keys[1]));
      g_assert_true (has (fixture, document.keys[2]));
      g_assert_true (has (fixture, key));
      document_tear_down (&document, fixture);
    }
}

typedef struct
{
  BsSave *save;
  GCancellable *cancellable;
  GError *error; /* owned */
  gboolean success;
} Saver;

static gpointer
saver_thread (gpointer data)
{
  Saver *self = data;

  self->success = bs_save_run (self->save, self->cancellable, &self->error);
  return NULL;
}

/* Two blocking saves, of which one leaves before its turn. */
static void
test_two_at_once_blocking (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (BsItem) four = insert (fixture, "four");
  g_autofree char *key = bs_item_dup_key (four);
  Saver savers[3] = { 0 };
  GThread *threads[3];
  Document document;

  document_set_up (&document, fixture);
  savers[0].save = g_object_ref (document.save);
  savers[1].save = save_new (fixture, "never", four, NULL);
  savers[1].cancellable = cancellable;
  savers[2].save = save_new (fixture, "next", document.items[2], NULL);
  gate_backing_hold (fixture->gates, BS_OPERATION_SYNC_PERSISTED, NULL, GATE_BEFORE);
  threads[0] = g_thread_new ("save", saver_thread, &savers[0]);
  gate_backing_wait_held (fixture->gates, BS_OPERATION_SYNC_PERSISTED, NULL, GATE_BEFORE, 1);
  for (guint i = 1; i < 3; i++)
    threads[i] = g_thread_new ("save", saver_thread, &savers[i]);
  g_cancellable_cancel (cancellable);
  g_thread_join (threads[1]);
  g_assert_error (savers[1].error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  assert_log (fixture, key, "");
  gate_backing_release_all (fixture->gates);
  g_thread_join (threads[0]);
  g_thread_join (threads[2]);
  g_assert_true (savers[0].success);
  g_assert_true (savers[2].success);
  assert_root (fixture, "next");
  g_assert_cmpuint (bs_tracked_path_get_n_keys (fixture->tracked), ==, 1);
  for (guint i = 0; i < 3; i++)
    {
      g_object_unref (savers[i].save);
      g_clear_error (&savers[i].error);
    }
  document_tear_down (&document, fixture);
}

/* First, last and all of a queue of saves are cancelled. */
static void
test_queue_cancelled (Fixture *fixture, gconstpointer data)
{
  for (guint which = 1; which < 16; which++)
    {
      GCancellable *cancellables[4];
      Answer answers[4] = { 0 };
      BsSave *saves[4];
      Document document;
      guint last = 4;

      document_set_up (&document, fixture);
      hold_at (&stops[2], &document, fixture);
      for (guint i = 0; i < 4; i++)
        {
          g_autofree char *root = g_strdup_printf ("%u", i);

          cancellables[i] = g_cancellable_new ();
          saves[i] = save_new (fixture, root, document.items[1], document.items[2]);
          save_async (saves[i], cancellables[i], &answers[i]);
        }
      wait_at (&stops[2], &document, fixture);
      for (guint i = 0; i < 4; i++)
        if (which & 1 << i)
          g_cancellable_cancel (cancellables[i]);
        else
          last = i;
      gate_backing_release_all (fixture->gates);
      for (guint i = 0; i < 4; i++)
        {
          if (which & 1 << i)
            answer_cancelled (&answers[i]);
          else
            answer_ok (&answers[i]);
          g_object_unref (saves[i]);
          g_object_unref (cancellables[i]);
        }
      if (last < 4)
        {
          g_autofree char *root = g_strdup_printf ("%u", last);

          assert_root (fixture, root);
        }
      else
        {
          assert_old (&document, fixture);
        }
      document_tear_down (&document, fixture);
    }
}

/* Deletions in each phase: of what the save names, of what it is to delete, and
 * of both in bulk. */
static void
test_delete (Fixture *fixture, gconstpointer data)
{
  for (guint i = 0; i < G_N_ELEMENTS (stops); i++)
    {
      Answer answer = { 0 }, named[2] = { 0 }, other = { 0 };
      g_autoptr (BsKeySet) set = bs_key_set_new ();
      g_autoptr (BsItem) stranger = NULL;
      g_autofree char *key = NULL;
      g_autoptr (GError) error = NULL;
      Blocking blocking;
      Document document;

      document_set_up (&document, fixture);
      bs_key_set_add (set, document.keys[1], NULL);
      bs_key_set_add (set, document.keys[2], NULL);
      hold_at (&stops[i], &document, fixture);
      save_async (document.save, NULL, &answer);
      wait_at (&stops[i], &document, fixture);
      stranger = insert_persisted (fixture, "stranger");
      key = bs_item_dup_key (stranger);
      bs_key_set_add (set, key, NULL);

      for (guint j = 0; j < 2; j++)
        {
          delete_async (fixture, document.keys[j + 1], NULL, &named[j]);
          answer_fails (&named[j], BS_ERROR, BS_ERROR_BUSY);
          blocking_start (&blocking, fixture, blocking_delete_persisted, document.keys[j + 1],
                          NULL);
          blocking_join (&blocking);
          g_assert_error (blocking.error, BS_ERROR, BS_ERROR_BUSY);
          g_assert_nonnull (strstr (blocking.error->message, document.keys[j + 1]));
          g_assert_nonnull (strstr (blocking.error->message, "gate:///path"));
          g_clear_error (&blocking.error);
        }
      g_assert_false (bs_backing_store_delete_persisted_keys (fixture->store, fixture->tracked, set,
                                                              NULL, &error));
      g_assert_error (error, BS_ERROR, BS_ERROR_BUSY);
      g_assert_nonnull (strstr (error->message, "1 of 3"));
      g_assert_false (gate_backing_has_persisted (fixture->gates, fixture->file, key));
      delete_async (fixture, document.keys[0], NULL, &other);
      gate_backing_release_all (fixture->gates);
      answer_ok (&other);
      answer_ok (&answer);
      assert_new (&document, fixture);

      /* Now nothing is in the way. */
      delete_async (fixture, document.keys[1], NULL, &named[0]);
      answer_ok (&named[0]);
      document_tear_down (&document, fixture);
    }
}

/* A blob persisted while the save runs stays there. */
static void
test_persist (Fixture *fixture, gconstpointer data)
{
  for (guint i = 0; i < G_N_ELEMENTS (stops); i++)
    {
      Answer answer = { 0 }, others[3] = { 0 };
      g_autoptr (BsItem) four = insert (fixture, "four");
      g_autofree char *key = bs_item_dup_key (four);
      Document document;

      document_set_up (&document, fixture);
      hold_at (&stops[i], &document, fixture);
      save_async (document.save, NULL, &answer);
      wait_at (&stops[i], &document, fixture);
      persist_async (fixture, four, NULL, &others[0]);
      persist_async (fixture, document.items[1], NULL, &others[1]);
      persist_async (fixture, document.items[2], NULL, &others[2]);
      if (fixture->n_threads == 2)
        {
          answer_ok (&others[0]);
          answer_ok (&others[1]);
        }
      gate_backing_release_all (fixture->gates);
      answer_ok (&answer);
      if (fixture->n_threads < 2)
        {
          answer_ok (&others[0]);
          answer_ok (&others[1]);
        }
      answer_ok (&others[2]);
      g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_PERSIST, document.keys[2]),
                        ==, 1);
      assert_root (fixture, "new");
      g_assert_true (gate_backing_has_persisted (fixture->gates, fixture->file, key));
      g_assert_cmpuint (bs_tracked_path_get_n_keys (fixture->tracked), ==, 3);

      /* The next save does not name the blob. */
      save_ok (document.save);
      assert_new (&document, fixture);
      document_tear_down (&document, fixture);
    }
}

/* A key that was there and is not named stays for a caller that asks for it while the save
 * runs. */
static void
test_persist_unnamed (Fixture *fixture, gconstpointer data)
{
  for (guint i = 0; i < 2 * G_N_ELEMENTS (stops); i++)
    {
      const Stop *stop = &stops[i / 2];
      Answer answer = { 0 }, other = { 0 };
      g_autoptr (BsItem) item = NULL;
      g_autofree char *key = NULL;
      Document document;

      /* Both in one call would have no gate of their own. */
      if (i % 2 == 1 && stop->operation == BS_OPERATION_DELETE_PERSISTED &&
          !GATE_IS_SINGLE_BACKING (fixture->gates))
        continue;

      document_set_up (&document, fixture);
      item = i % 2 == 0 ? g_object_ref (document.items[0]) : insert_persisted (fixture, "four");
      key = bs_item_dup_key (item);
      hold_at (stop, &document, fixture);
      save_async (document.save, NULL, &answer);
      wait_at (stop, &document, fixture);
      persist_async (fixture, item, NULL, &other);
      g_assert_true (answer_is_there (&other) || stop->operation == BS_OPERATION_DELETE_PERSISTED);
      gate_backing_release_all (fixture->gates);
      answer_ok (&answer);
      answer_ok (&other);
      assert_root (fixture, "new");
      g_assert_true (gate_backing_has_persisted (fixture->gates, fixture->file, key));
      g_assert_true (bs_tracked_path_contains_key (fixture->tracked, key));

      /* The next one deletes it. */
      save_ok (document.save);
      assert_new (&document, fixture);
      document_tear_down (&document, fixture);
    }
}

/* A key is not there, since a call that was to bring it has failed. */
static void
test_persist_again (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsItem) four = insert (fixture, "four");
  g_autofree char *key = bs_item_dup_key (four);
  Answer answer = { 0 }, other = { 0 };
  Document document;

  document_set_up (&document, fixture);
  gate_backing_fail (fixture->gates, BS_OPERATION_PERSIST, key, GATE_BEFORE, 1,
                     G_IO_ERROR_NO_SPACE);
  persist_async (fixture, four, NULL, &other);
  answer_fails (&other, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  ask_held (fixture, BS_OPERATION_WRITE_ROOT, NULL, save_async (document.save, NULL, &answer));
  persist_async (fixture, four, NULL, &other);
  gate_backing_release_all (fixture->gates);
  answer_ok (&answer);
  answer_ok (&other);
  g_assert_true (gate_backing_has_persisted (fixture->gates, fixture->file, key));
  g_assert_true (bs_tracked_path_contains_key (fixture->tracked, key));
  document_tear_down (&document, fixture);
}

/* A save was run, and its turn has not come, since every thread is busy or another
 * save runs. What is persisted then stays there, and the items have been what they
 * were when it was run. */
static void
test_before_turn (Fixture *fixture, gconstpointer data)
{
  for (guint waits = 0; waits < 2; waits++)
    {
      g_autoptr (GBytes) bytes = make_bytes ("other");
      g_autoptr (BsItem) early = NULL;
      g_autoptr (BsItem) late = NULL;
      g_autoptr (BsSave) save = NULL;
      g_autofree char *early_key = NULL;
      g_autofree char *late_key = NULL;
      Answer first = { 0 }, answer = { 0 };
      Plug plug = {
        { NULL },
      };
      Document document;

      document_set_up (&document, fixture);
      early = insert_persisted (fixture, "early");
      early_key = bs_item_dup_key (early);
      save = save_new (fixture, "old", document.items[0], document.items[1]);
      if (waits)
        {
          gate_backing_hold (fixture->gates, BS_OPERATION_SYNC_PERSISTED, NULL, GATE_BEFORE);
          bs_save_add_item (save, early);
          save_async (save, NULL, &first);
          gate_backing_wait_held (fixture->gates, BS_OPERATION_SYNC_PERSISTED, NULL, GATE_BEFORE,
                                  1);
        }
      else
        {
          plug_in (&plug, fixture);
        }

      save_async (document.save, NULL, &answer);
      for (guint i = 0; i < 3; i++)
        bs_item_replace (document.items[i], bytes);
      late = insert_persisted (fixture, "late");
      late_key = bs_item_dup_key (late);

      if (waits)
        {
          gate_backing_release_all (fixture->gates);
          answer_ok (&first);
        }
      else
        {
          plug_out (&plug, fixture);
        }
      answer_ok (&answer);
      assert_root (fixture, "new");
      g_assert_false (gate_backing_has_persisted (fixture->gates, fixture->file, document.keys[0]));
      g_assert_true (has (fixture, document.keys[1]));
      g_assert_true (has (fixture, document.keys[2]));
      g_assert_false (gate_backing_has_persisted (fixture->gates, fixture->file, early_key));
      g_assert_true (gate_backing_has_persisted (fixture->gates, fixture->file, late_key));

      /* For the next save it has been there. */
      g_clear_object (&save);
      save = save_new (fixture, "next", document.items[0], NULL);
      save_ok (save);
      g_assert_false (gate_backing_has_persisted (fixture->gates, fixture->file, late_key));
      document_tear_down (&document, fixture);
    }
}

/* Items are replaced and dropped: the save has what they were. */
static void
test_replace (Fixture *fixture, gconstpointer data)
{
  for (guint i = 0; i < 2 * G_N_ELEMENTS (stops); i++)
    {
      const Stop *stop = &stops[i / 2];
      g_autoptr (GBytes) bytes = make_bytes ("other");
      Answer answer = { 0 };
      Document document;

      document_set_up (&document, fixture);
      hold_at (stop, &document, fixture);
      save_async (document.save, NULL, &answer);
      wait_at (stop, &document, fixture);
      for (guint j = 0; j < 3; j++)
        {
          bs_item_replace (document.items[j], bytes);
          g_clear_object (&document.items[j]);
        }
      if (i % 2 == 1)
        g_clear_object (&document.save);
      gate_backing_release_all (fixture->gates);
      answer_ok (&answer);
      settle (fixture);
      assert_new (&document, fixture);
      if (document.save == NULL)
        g_assert_cmpuint (gate_backing_get_n_primary (fixture->gates), ==, 0);
      for (guint j = 1; j < 3; j++)
        {
          g_autoptr (BsItem) item =
            bs_pool_register (fixture->pool, fixture->tracked, document.keys[j], NULL, NULL);

          assert_content (item, j == 1 ? "two" : "three");
        }
      document_tear_down (&document, fixture);
    }
}

/* Cancelled at each stop, by a backing that heeds it and by one that does not. */
static void
test_cancel (Fixture *fixture, gconstpointer data)
{
  for (guint i = 0; i < 2 * G_N_ELEMENTS (stops); i++)
    {
      const Stop *stop = &stops[i / 2];
      g_autoptr (GCancellable) cancellable = g_cancellable_new ();
      Answer answer = { 0 };
      Document document;
      gboolean done;

      document_set_up (&document, fixture);
      gate_backing_set_stubborn (fixture->gates, i % 2);
      hold_at (stop, &document, fixture);
      save_async (document.save, cancellable, &answer);
      wait_at (stop, &document, fixture);
      g_cancellable_cancel (cancellable);
      gate_backing_release_all (fixture->gates);

      /* The root was on its way, and the backing did it. */
      done = stop->committed || (stop->operation == BS_OPERATION_WRITE_ROOT && i % 2);
      if (done)
        {
          answer_ok (&answer);
          assert_new (&document, fixture);
          g_assert_cmpfloat (bs_save_get_fraction (document.save), >=, 1.0);
        }
      else
        {
          answer_cancelled (&answer);
          assert_old (&document, fixture);
          g_assert_cmpfloat (bs_save_get_fraction (document.save), <, 1.0);
          g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_DELETE_PERSISTED,
                                                NULL),
                            ==, 0);
        }

      gate_backing_set_stubborn (fixture->gates, FALSE);
      save_ok (document.save);
      assert_new (&document, fixture);
      document_tear_down (&document, fixture);
    }
}

static void
test_cancel_blocking (Fixture *fixture, gconstpointer data)
{
  for (guint i = 0; i < G_N_ELEMENTS (stops); i++)
    {
      g_autoptr (GCancellable) cancellable = g_cancellable_new ();
      Saver saver = { 0 };
      Document document;
      GThread *thread;

      document_set_up (&document, fixture);
      hold_at (&stops[i], &document, fixture);
      saver.save = document.save;
      saver.cancellable = cancellable;
      thread = g_thread_new ("save", saver_thread, &saver);
      wait_at (&stops[i], &document, fixture);
      g_cancellable_cancel (cancellable);
      gate_backing_release_all (fixture->gates);
      g_thread_join (thread);
      if (stops[i].committed)
        {
          g_assert_no_error (saver.error);
          assert_new (&document, fixture);
        }
      else
        {
          g_assert_error (saver.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
          assert_old (&document, fixture);
        }
      g_clear_error (&saver.error);
      document_tear_down (&document, fixture);
    }
}

/* A verification takes out what the save has counted on: an item is persisted
 * again, and a key that is to be kept fails the save, whose root is not written. */
static void
test_verify (Fixture *fixture, gconstpointer data)
{
  for (guint i = 0; i < 4 * G_N_ELEMENTS (stops); i++)
    {
      const Stop *stop = &stops[i / 4];
      gboolean keeps = i & 1;
      gboolean blocking = i & 2;
      g_autoptr (BsVerify) verify = bs_verify_new (fixture->store, fixture->tracked);
      g_autoptr (BsSave) save = NULL;
      Answer answer = { 0 }, checked = { 0 };
      Saver saver = { 0 };
      GThread *thread = NULL;
      Document document;

      if (stop->operation == BS_OPERATION_WRITE_ROOT || stop->committed)
        continue;

      document_set_up (&document, fixture);
      save = save_new (fixture, "new", document.items[2], keeps ? NULL : document.items[1]);
      if (keeps)
        bs_save_keep_key (save, document.keys[1]);
      gate_backing_spoil (fixture->gates, fixture->file, document.keys[1]);
      if (stop->operation == BS_OPERATION_SYNC_PERSISTED && !keeps)
        gate_backing_spoil (fixture->gates, fixture->file, document.keys[2]);

      hold_at (stop, &document, fixture);
      saver.save = save;
      if (blocking)
        thread = g_thread_new ("save", saver_thread, &saver);
      else
        save_async (save, NULL, &answer);
      wait_at (stop, &document, fixture);
      bs_verify_run_async (verify, G_PRIORITY_DEFAULT, NULL, answer_cb, &checked);
      answer_ok (&checked);
      g_assert_false (bs_tracked_path_contains_key (fixture->tracked, document.keys[1]));
      gate_backing_release_all (fixture->gates);
      if (blocking)
        g_thread_join (thread);
      else
        saver.success = bs_save_run_finish (save, answer_wait (&answer), &saver.error);

      if (keeps)
        {
          g_assert_error (saver.error, BS_ERROR, BS_ERROR_CORRUPT);
          g_assert_nonnull (strstr (saver.error->message, document.keys[1]));
          g_assert_nonnull (strstr (saver.error->message, "gate:///path"));
          assert_root (fixture, "old");
          g_assert_true (has (fixture, document.keys[0]));
          g_assert_cmpfloat (bs_save_get_fraction (save), <, 1.0);
        }
      else
        {
          g_assert_no_error (saver.error);
          assert_new (&document, fixture);
          g_assert_cmpuint (bs_save_get_n_done (save), ==, 2);
          g_assert_cmpfloat (bs_save_get_fraction (save), >=, 1.0);
        }
      g_clear_error (&saver.error);
      answer_clear (&answer);
      document_tear_down (&document, fixture);
    }
}

/* A sync that somebody else has asked for fails, after the save has persisted what
 * it was to make durable: the save does that again. */
static void
test_sync_fails (Fixture *fixture, gconstpointer data)
{
  Answer answer = { 0 }, sync = { 0 };
  Document document;

  document_set_up (&document, fixture);
  gate_backing_fail (fixture->gates, BS_OPERATION_SYNC_PERSISTED, NULL, GATE_AFTER, 1,
                     G_IO_ERROR_FAILED);
  gate_backing_hold (fixture->gates, BS_OPERATION_SYNC_PERSISTED, NULL, GATE_AFTER);
  sync_async (fixture, NULL, &sync);
  gate_backing_wait_held (fixture->gates, BS_OPERATION_SYNC_PERSISTED, NULL, GATE_AFTER, 1);
  save_async (document.save, NULL, &answer);
  wait_until (bs_save_get_n_done (document.save) == 2);
  gate_backing_release_all (fixture->gates);
  answer_fails (&sync, G_IO_ERROR, G_IO_ERROR_FAILED);
  answer_ok (&answer);
  assert_log (fixture, document.keys[1], "persist");
  assert_log (fixture, document.keys[2], "write persist persist");
  assert_new (&document, fixture);
  document_tear_down (&document, fixture);
}

static void
background_error_cb (BsBackingStore *store,
                     const char *key,
                     BsOperation operation,
                     GError *error,
                     gpointer data)
{
  guint *n_errors = data;

  g_assert_cmpint (operation, ==, BS_OPERATION_DELETE_PERSISTED_KEYS);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  (*n_errors)++;
}

/* Each function of the backing fails in turn, before and after its effect. */
static void
test_error (Fixture *fixture, gconstpointer data)
{
  for (guint i = 0; i < G_N_ELEMENTS (stops); i++)
    {
      const Stop *stop = &stops[i];
      g_autoptr (GError) error = NULL;
      Answer answer = { 0 };
      Document document;
      guint n_errors = 0;
      gulong id;

      document_set_up (&document, fixture);
      id = g_signal_connect (fixture->store, "background-error", G_CALLBACK (background_error_cb),
                             &n_errors);
      gate_backing_fail (fixture->gates, stop->operation, stop_key (stop, &document), stop->point,
                         0, G_IO_ERROR_NO_SPACE);
      save_async (document.save, NULL, &answer);
      if (stop->operation == BS_OPERATION_DELETE_PERSISTED)
        {
          answer_ok (&answer);
          assert_root (fixture, "new");
          wait_until (n_errors == 1);
        }
      else
        {
          error = answer_dup_error (&answer);
          g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
          g_assert_true (g_str_has_prefix (error->message, "Saving at gate:///path"));
          /* A root that was replaced though the backing says that it was not:
           * everything that either one names is there. */
          if (!stop->committed)
            assert_root (fixture, "old");
          g_assert_true (has (fixture, document.keys[0]));
          g_assert_true (has (fixture, document.keys[1]));
          g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_DELETE_PERSISTED,
                                                document.keys[0]),
                            ==, 0);
          g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_DELETE_PERSISTED,
                                                document.keys[1]),
                            ==, 0);
        }
      g_signal_handler_disconnect (fixture->store, id);

      /* Leftovers go with the next one, which needs nothing new. */
      gate_backing_clear (fixture->gates);
      save_ok (document.save);
      assert_new (&document, fixture);
      document_tear_down (&document, fixture);
    }
}

/* After a sync that failed, what only the save has brought goes again, lest it be
 * in the way of all syncs to come. What somebody else asks to be there stays. */
static void
test_failed_sync (Fixture *fixture, gconstpointer data)
{
  const struct
  {
    BsOperation operation;
    guint key;
    gboolean persists;
  } cases[] = {
    { BS_OPERATION_SYNC_PERSISTED, 3, FALSE },
    { BS_OPERATION_SYNC_PERSISTED, 3, TRUE },
    { BS_OPERATION_DELETE_PERSISTED, 2, TRUE },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      const Stop stop = { cases[i].operation, cases[i].key, GATE_BEFORE, FALSE };
      g_autoptr (GError) error = NULL;
      Answer answer = { 0 }, other = { 0 };
      Document document;

      document_set_up (&document, fixture);
      gate_backing_fail (fixture->gates, BS_OPERATION_SYNC_PERSISTED, NULL, GATE_AFTER, 0,
                         G_IO_ERROR_FAILED);
      hold_at (&stop, &document, fixture);
      save_async (document.save, NULL, &answer);
      wait_at (&stop, &document, fixture);
      if (cases[i].persists)
        persist_async (fixture, document.items[2], NULL, &other);
      gate_backing_release_all (fixture->gates);
      error = answer_dup_error (&answer);
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_FAILED);
      if (cases[i].persists)
        answer_ok (&other);

      assert_root (fixture, "old");
      g_assert_true (gate_backing_has_persisted (fixture->gates, fixture->file, document.keys[0]));
      g_assert_true (gate_backing_has_persisted (fixture->gates, fixture->file, document.keys[1]));
      g_assert_true (gate_backing_has_persisted (fixture->gates, fixture->file, document.keys[2]) ==
                     cases[i].persists);

      gate_backing_clear (fixture->gates);
      save_ok (document.save);
      assert_new (&document, fixture);
      document_tear_down (&document, fixture);
    }
}

/* A persist that was asked before the save brings the name, and not the save alone. */
static void
test_failed_sync_behind_persist (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsItem) item = insert (fixture, "four");
  g_autofree char *key = bs_item_dup_key (item);
  g_autoptr (GError) error = NULL;
  Answer answer = { 0 }, other = { 0 };
  Document document;

  document_set_up (&document, fixture);
  bs_save_add_item (document.save, item);
  gate_backing_fail (fixture->gates, BS_OPERATION_SYNC_PERSISTED, NULL, GATE_AFTER, 0,
                     G_IO_ERROR_FAILED);
  ask_held (fixture, BS_OPERATION_PERSIST, document.keys[2],
            persist_async (fixture, document.items[2], NULL, &other));
  gate_backing_hold (fixture->gates, BS_OPERATION_PERSIST, key, GATE_BEFORE);
  save_async (document.save, NULL, &answer);
  gate_backing_wait_held (fixture->gates, BS_OPERATION_PERSIST, key, GATE_BEFORE, 1);
  gate_backing_release_all (fixture->gates);
  answer_ok (&other);
  error = answer_dup_error (&answer);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_FAILED);
  assert_root (fixture, "old");
  g_assert_true (gate_backing_has_persisted (fixture->gates, fixture->file, document.keys[2]));
  g_assert_false (gate_backing_has_persisted (fixture->gates, fixture->file, key));

  gate_backing_clear (fixture->gates);
  save_ok (document.save);
  assert_root (fixture, "new");
  document_tear_down (&document, fixture);
}

static gpointer
blocking_write (gpointer data)
{
  g_autoptr (GError) error = NULL;

  bs_item_write (data, NULL, &error);
  g_assert_no_error (error);
  return NULL;
}

/* A failed save takes away the blobs that only it has brought, also where another
 * operation on the key was under way when the save began. */
static void
test_failed_sync_beside_write (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  Answer answer = { 0 };
  Document document;
  GThread *thread;

  document_set_up (&document, fixture);
  gate_backing_fail (fixture->gates, BS_OPERATION_SYNC_PERSISTED, NULL, GATE_AFTER, 0,
                     G_IO_ERROR_FAILED);
  gate_backing_hold (fixture->gates, BS_OPERATION_WRITE, document.keys[2], GATE_BEFORE);
  thread = g_thread_new ("write", blocking_write, document.items[2]);
  gate_backing_wait_held (fixture->gates, BS_OPERATION_WRITE, document.keys[2], GATE_BEFORE, 1);
  save_async (document.save, NULL, &answer);
  wait_until (count_callers (fixture->store, document.keys[2]) == 1);
  gate_backing_release_all (fixture->gates);
  g_thread_join (thread);
  error = answer_dup_error (&answer);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_FAILED);
  assert_log (fixture, document.keys[2], "write persist delete_persisted");
  g_assert_false (gate_backing_has_persisted (fixture->gates, fixture->file, document.keys[2]));
  gate_backing_clear (fixture->gates);
  document_tear_down (&document, fixture);
}

/* The save says why it failed, also where its blobs cannot be taken away again. */
static void
test_failed_undo (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  Document document;

  document_set_up (&document, fixture);
  gate_backing_fail (fixture->gates, BS_OPERATION_SYNC_PERSISTED, NULL, GATE_AFTER, 1,
                     G_IO_ERROR_NO_SPACE);
  gate_backing_fail (fixture->gates, BS_OPERATION_DELETE_PERSISTED, document.keys[2], GATE_BEFORE,
                     1, G_IO_ERROR_BUSY);
  g_assert_false (bs_save_run (document.save, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_DELETE_PERSISTED,
                                        document.keys[2]),
                    ==, 1);
  gate_backing_clear (fixture->gates);
  document_tear_down (&document, fixture);
}

/* A save that fails at one of its blobs persists no others. */
static void
test_failed_persist (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsSave) save = save_new (fixture, "root", NULL, NULL);
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < 10; i++)
    {
      g_autoptr (BsItem) item = insert_written (fixture, "content");

      bs_save_add_item (save, item);
    }
  bs_save_set_max_parallel (save, 1);
  gate_backing_fail (fixture->gates, BS_OPERATION_PERSIST, NULL, GATE_BEFORE, 0,
                     G_IO_ERROR_NO_SPACE);
  g_assert_false (bs_save_run (save, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_PERSIST, NULL), ==, 1);
  g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_WRITE_ROOT, NULL), ==, 0);
  gate_backing_clear (fixture->gates);
}

/* A blob that a save keeps turns out to be missing while the save syncs, because it is
 * registered: the save looks again, and does not replace the root. */
static void
test_kept_gone_meanwhile (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GFile) file = g_file_new_for_uri ("gate:///other");
  g_autofree char *key = bs_key_generate ();
  g_autoptr (GBytes) root = make_bytes ("root");
  g_autoptr (BsTrackedPath) tracked = NULL;
  g_autoptr (BsSave) save = NULL;
  Answer saved = { 0 }, registered = { 0 };

  gate_backing_put_persisted (fixture->gates, file, key, "a");
  tracked = track (fixture, file);
  bs_backing_store_set_max_threads (fixture->store, fixture->n_threads + 1);
  save = bs_save_new (fixture->store, tracked);
  bs_save_keep_key (save, key);
  bs_save_set_root (save, root);

  ask_held (fixture, BS_OPERATION_SYNC_PERSISTED, NULL, save_async (save, NULL, &saved));
  gate_backing_lose_persisted (fixture->gates, file, key);
  bs_pool_register_async (fixture->pool, tracked, key, G_PRIORITY_DEFAULT, NULL, answer_cb,
                          &registered);
  answer_fails (&registered, BS_ERROR, BS_ERROR_NOT_FOUND);
  gate_backing_release (fixture->gates, BS_OPERATION_SYNC_PERSISTED, NULL, GATE_BEFORE);
  answer_fails (&saved, BS_ERROR, BS_ERROR_NOT_FOUND);
  g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_WRITE_ROOT, NULL), ==, 0);
}

/* A key that a save is to delete is busy when the save comes to it, and is asked to be
 * there before its turn: it stays. The save looks at the two keys together. */
static void
test_claimed_while_deleting (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GFile) file = g_file_new_for_uri ("gate:///other");
  g_autofree char *busy = bs_key_generate ();
  g_autofree char *idle = bs_key_generate ();
  g_autoptr (GBytes) root = make_bytes ("root");
  g_autoptr (BsTrackedPath) tracked = NULL;
  g_autoptr (BsSave) save = NULL;
  g_autoptr (BsItem) item = NULL;
  Answer load = { 0 }, saved = { 0 }, persist = { 0 };

  while (get_shard_index (idle) != get_shard_index (busy))
    {
      g_free (idle);
      idle = bs_key_generate ();
    }
  gate_backing_put_persisted (fixture->gates, file, busy, "a");
  gate_backing_put_persisted (fixture->gates, file, idle, "b");
  tracked = track (fixture, file);
  item = bs_pool_register (fixture->pool, tracked, busy, NULL, NULL);
  bs_backing_store_set_max_threads (fixture->store, fixture->n_threads + 1);

  gate_backing_hold (fixture->gates, BS_OPERATION_READ, busy, GATE_BEFORE);
  gate_backing_hold (fixture->gates, BS_OPERATION_DELETE_PERSISTED, idle, GATE_BEFORE);
  bs_item_load_async (item, G_PRIORITY_DEFAULT, NULL, answer_cb, &load);
  gate_backing_wait_held (fixture->gates, BS_OPERATION_READ, busy, GATE_BEFORE, 1);
  save = bs_save_new (fixture->store, tracked);
  bs_save_set_root (save, root);
  save_async (save, NULL, &saved);
  gate_backing_wait_held (fixture->gates, BS_OPERATION_DELETE_PERSISTED, idle, GATE_BEFORE, 1);
  bs_item_persist_async (item, tracked, G_PRIORITY_DEFAULT, NULL, answer_cb, &persist);
  gate_backing_release_all (fixture->gates);
  g_bytes_unref (answer_pointer (&load));
  answer_ok (&persist);
  answer_ok (&saved);
  g_assert_true (bs_tracked_path_contains_key (tracked, busy));
  g_assert_true (gate_backing_has_persisted (fixture->gates, file, busy));
  g_assert_false (bs_tracked_path_contains_key (tracked, idle));
}

/* A deletion asked before the save comes before it: the save misses the key. */
static void
test_keep_behind_delete (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsSave) save = save_new (fixture, "new", NULL, NULL);
  Answer deleted = { 0 }, saved = { 0 };
  Document document;

  document_set_up (&document, fixture);
  ask_held (fixture, BS_OPERATION_DELETE_PERSISTED, document.keys[0],
            delete_async (fixture, document.keys[0], NULL, &deleted));
  bs_save_keep_key (save, document.keys[0]);
  bs_backing_store_set_max_threads (fixture->store, fixture->n_threads + 1);
  save_async (save, NULL, &saved);
  wait_until (count_callers (fixture->store, document.keys[0]) == 2);
  gate_backing_release (fixture->gates, BS_OPERATION_DELETE_PERSISTED, document.keys[0],
                        GATE_BEFORE);
  answer_ok (&deleted);
  answer_fails (&saved, BS_ERROR, BS_ERROR_NOT_FOUND);
  assert_root (fixture, "old");
  document_tear_down (&document, fixture);
}

/* A save deletes the blobs of a failed one that it does not name. */
static void
test_leftovers (Fixture *fixture, gconstpointer data)
{
  for (guint i = 2; i < 8; i++)
    {
      g_autoptr (BsSave) other = NULL;
      Document document;
      gboolean success;

      document_set_up (&document, fixture);
      other = save_new (fixture, "old", document.items[0], document.items[1]);
      gate_backing_fail (fixture->gates, stops[i].operation, stop_key (&stops[i], &document),
                         stops[i].point, 0, G_IO_ERROR_FAILED);
      success = bs_save_run (document.save, NULL, NULL);
      g_assert_false (success);
      gate_backing_clear (fixture->gates);
      save_ok (other);
      assert_old (&document, fixture);
      g_assert_false (gate_backing_has_persisted (fixture->gates, fixture->file, document.keys[2]));
      document_tear_down (&document, fixture);
    }
}

/* A sync has failed: nobody knows what the disk has of what was there before, so
 * that a save persists all that it names anew, items and keys, and then once and
 * for all. */
static void
test_after_failed_sync (Fixture *fixture, gconstpointer data)
{
  for (guint blocking = 0; blocking < 2; blocking++)
    {
      g_autoptr (BsSave) save = NULL;
      Document document;
      Answer answer = { 0 };

      document_set_up (&document, fixture);
      gate_backing_fail (fixture->gates, BS_OPERATION_SYNC_PERSISTED, NULL, GATE_BEFORE, 1,
                         G_IO_ERROR_FAILED);
      g_assert_false (bs_backing_store_sync (fixture->store, fixture->tracked, NULL, NULL));
      gate_backing_reset_log (fixture->gates);

      g_clear_object (&document.items[0]);
      settle (fixture);
      save = save_new (fixture, "old", document.items[1], NULL);
      bs_save_keep_key (save, document.keys[0]);
      for (guint run = 0; run < 2; run++)
        {
          if (blocking)
            {
              save_ok (save);
            }
          else
            {
              save_async (save, NULL, &answer);
              answer_ok (&answer);
            }
          for (guint i = 0; i < 2; i++)
            g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_PERSIST,
                                                  document.keys[i]),
                              ==, 1);
          assert_old (&document, fixture);
        }

      document_tear_down (&document, fixture);
    }
}

/* A deletion of a key was asked before the save that names it: the item's blob is
 * persisted again, and a key that is to be kept is missing. */
static void
test_deleted_before (Fixture *fixture, gconstpointer data)
{
  for (guint keep = 0; keep < 2; keep++)
    {
      Answer answer = { 0 }, deleted = { 0 };
      g_autoptr (BsSave) keeper = NULL;
      g_autoptr (GError) error = NULL;
      Document document;

      document_set_up (&document, fixture);
      keeper = save_new (fixture, "new", document.items[2], NULL);
      bs_save_keep_key (keeper, document.keys[1]);
      gate_backing_hold (fixture->gates, BS_OPERATION_DELETE_PERSISTED, document.keys[1],
                         GATE_BEFORE);
      delete_async (fixture, document.keys[1], NULL, &deleted);
      gate_backing_wait_held (fixture->gates, BS_OPERATION_DELETE_PERSISTED, document.keys[1],
                              GATE_BEFORE, 1);
      save_async (keep ? keeper : document.save, NULL, &answer);
      gate_backing_release_all (fixture->gates);
      answer_ok (&deleted);
      if (keep)
        {
          error = answer_dup_error (&answer);
          g_assert_error (error, BS_ERROR, BS_ERROR_NOT_FOUND);
          g_assert_nonnull (strstr (error->message, document.keys[1]));
          assert_root (fixture, "old");
        }
      else
        {
          answer_ok (&answer);
          assert_new (&document, fixture);
        }
      document_tear_down (&document, fixture);
    }
}

/* A call for a key that is to be kept has failed, so that the store asks the
 * backing again, and has it persisted once more; or learns that it is gone. */
static void
test_keep_uncertain (Fixture *fixture, gconstpointer data)
{
  for (guint i = 0; i < 4; i++)
    {
      gboolean gone = i / 2;
      g_autoptr (BsSave) keeper = NULL;
      g_autoptr (GError) error = NULL;
      Answer answer = { 0 };
      Document document;
      gboolean success;

      document_set_up (&document, fixture);
      g_clear_object (&document.items[1]);
      g_clear_object (&document.save);
      settle (fixture);
      gate_backing_fail (fixture->gates, BS_OPERATION_DELETE_PERSISTED, document.keys[1],
                         gone ? GATE_AFTER : GATE_BEFORE, 1, G_IO_ERROR_FAILED);
      g_assert_false (bs_backing_store_delete_persisted (fixture->store, fixture->tracked,
                                                         document.keys[1], NULL, NULL));
      gate_backing_clear (fixture->gates);
      gate_backing_reset_log (fixture->gates);

      keeper = save_new (fixture, "new", document.items[2], NULL);
      bs_save_keep_key (keeper, document.keys[1]);
      if (i % 2)
        {
          success = bs_save_run (keeper, NULL, &error);
        }
      else
        {
          save_async (keeper, NULL, &answer);
          success = bs_save_run_finish (keeper, answer_wait (&answer), &error);
          answer_clear (&answer);
        }
      settle (fixture);
      if (gone)
        {
          g_assert_error (error, BS_ERROR, BS_ERROR_NOT_FOUND);
          assert_log (fixture, document.keys[1], "register_key");
          assert_root (fixture, "old");
        }
      else
        {
          g_assert_no_error (error);
          g_assert_true (success);
          assert_log (fixture, document.keys[1], "register_key persist delete_key");
          assert_new (&document, fixture);
        }
      g_assert_true (is_forgotten (fixture->store, document.keys[1]));
      document_tear_down (&document, fixture);
    }
}

/* A sync is not held up by a save, and covers what it has persisted. */
static void
test_sync (Fixture *fixture, gconstpointer data)
{
  Answer answer = { 0 }, sync = { 0 };
  Document document;

  document_set_up (&document, fixture);
  gate_backing_hold (fixture->gates, BS_OPERATION_DELETE_PERSISTED, NULL, GATE_AFTER);
  save_async (document.save, NULL, &answer);
  gate_backing_wait_held (fixture->gates, BS_OPERATION_DELETE_PERSISTED, NULL, GATE_AFTER, 1);
  sync_async (fixture, NULL, &sync);
  g_assert_false (answer_is_there (&sync));
  gate_backing_release_all (fixture->gates);
  answer_ok (&sync);
  answer_ok (&answer);
  g_assert_true (gate_backing_is_durable (fixture->gates, fixture->file, document.keys[0]));
  document_tear_down (&document, fixture);
}

/* An untrack waits for the saves that were asked before it. */
static void
test_untrack (Fixture *fixture, gconstpointer data)
{
  for (guint i = 0; i < G_N_ELEMENTS (stops); i++)
    {
      Answer answers[2] = { 0 }, late = { 0 }, untracked = { 0 };
      g_autoptr (BsSave) next = NULL;
      Document document;

      document_set_up (&document, fixture);
      next = save_new (fixture, "next", document.items[0], document.items[2]);
      hold_at (&stops[i], &document, fixture);
      save_async (document.save, NULL, &answers[0]);
      save_async (next, NULL, &answers[1]);
      wait_at (&stops[i], &document, fixture);
      bs_backing_store_untrack_path_async (fixture->store, fixture->tracked, G_PRIORITY_DEFAULT,
                                           NULL, answer_cb, &untracked);
      g_assert_false (answer_is_there (&untracked));
      g_clear_object (&document.save);
      document.save = save_new (fixture, "late", document.items[0], NULL);
      save_async (document.save, NULL, &late);
      answer_fails (&late, BS_ERROR, BS_ERROR_CLOSED);
      gate_backing_release_all (fixture->gates);
      answer_ok (&answers[0]);
      answer_ok (&answers[1]);
      answer_ok (&untracked);
      g_assert_true (bs_tracked_path_get_closed (fixture->tracked));
      g_clear_object (&document.save);
      g_clear_object (&next);
      assert_goes (g_steal_pointer (&fixture->tracked));
      fixture->tracked = track (fixture, fixture->file);
      assert_root (fixture, "next");
      g_assert_cmpuint (bs_tracked_path_get_n_keys (fixture->tracked), ==, 2);
      document_tear_down (&document, fixture);
    }
}

/* An untrack is asked for again while the save goes on to its root. */
static void
test_untrack_again (Fixture *fixture, gconstpointer data)
{
  Answer answer = { 0 }, untracks[2] = { 0 };
  Document document;

  document_set_up (&document, fixture);
  gate_backing_hold (fixture->gates, BS_OPERATION_SYNC_PERSISTED, NULL, GATE_BEFORE);
  gate_backing_hold (fixture->gates, BS_OPERATION_WRITE_ROOT, NULL, GATE_BEFORE);
  save_async (document.save, NULL, &answer);
  gate_backing_wait_held (fixture->gates, BS_OPERATION_SYNC_PERSISTED, NULL, GATE_BEFORE, 1);
  bs_backing_store_untrack_path_async (fixture->store, fixture->tracked, G_PRIORITY_DEFAULT, NULL,
                                       answer_cb, &untracks[0]);
  gate_backing_release (fixture->gates, BS_OPERATION_SYNC_PERSISTED, NULL, GATE_BEFORE);
  gate_backing_wait_held (fixture->gates, BS_OPERATION_WRITE_ROOT, NULL, GATE_BEFORE, 1);
  bs_backing_store_untrack_path_async (fixture->store, fixture->tracked, G_PRIORITY_DEFAULT, NULL,
                                       answer_cb, &untracks[1]);
  g_assert_false (answer_is_there (&untracks[1]));
  gate_backing_release_all (fixture->gates);
  answer_ok (&answer);
  answer_ok (&untracks[0]);
  answer_ok (&untracks[1]);
  g_assert_true (bs_tracked_path_get_closed (fixture->tracked));
  document_tear_down (&document, fixture);
}

/* The store is closed, and everything is let go of, while saves are under way. */
static void
test_close (Fixture *fixture, gconstpointer data)
{
  Answer answers[2] = { 0 }, closed = { 0 };
  g_autoptr (BsSave) next = NULL;
  Document document;

  document_set_up (&document, fixture);
  next = save_new (fixture, "next", document.items[0], document.items[2]);
  hold_at (&stops[3], &document, fixture);
  save_async (document.save, NULL, &answers[0]);
  save_async (next, NULL, &answers[1]);
  wait_at (&stops[3], &document, fixture);
  bs_backing_store_close_async (fixture->store, G_PRIORITY_DEFAULT, NULL, answer_cb, &closed);
  g_clear_object (&next);
  g_clear_object (&document.save);
  for (guint i = 0; i < 3; i++)
    g_clear_object (&document.items[i]);
  g_clear_object (&fixture->pool);
  g_assert_false (answer_is_there (&closed));
  gate_backing_release_all (fixture->gates);
  answer_ok (&answers[0]);
  answer_ok (&answers[1]);
  answer_ok (&closed);
  g_assert_true (gate_backing_is_closed (fixture->gates));
  g_assert_true (has (fixture, document.keys[0]));
  g_assert_false (gate_backing_has_persisted (fixture->gates, fixture->file, document.keys[1]));
  for (guint i = 0; i < 3; i++)
    g_free (document.keys[i]);
}

static void
test_last_references (Fixture *fixture, gconstpointer data)
{
  for (guint i = 0; i < G_N_ELEMENTS (stops); i++)
    {
      Fixture own = { 0 };
      Document document;
      Answer answer = { 0 };

      fixture_set_up (&own, data);
      document_set_up (&document, &own);
      hold_at (&stops[i], &document, &own);
      save_async (document.save, NULL, &answer);
      wait_at (&stops[i], &document, &own);
      g_clear_object (&document.save);
      for (guint j = 0; j < 3; j++)
        g_clear_object (&document.items[j]);
      g_clear_object (&own.pool);
      g_clear_object (&own.tracked);
      g_clear_object (&own.store);
      gate_backing_release_all (own.gates);
      answer_ok (&answer);
      wait_until (gate_backing_get_n_primary (own.gates) == 0 &&
                  gate_backing_count (own.gates, BS_OPERATION_RELEASE_PATH, NULL) == 1);
      g_assert_false (gate_backing_has_persisted (own.gates, own.file, document.keys[0]));
      for (guint j = 0; j < 3; j++)
        g_free (document.keys[j]);
      fixture_tear_down (&own, data);
    }
  watchdog_start ();
}

/* A commit function that does what a test tells it to. */
typedef struct
{
  Fixture *fixture;
  Document *document;
  gboolean (*inside) (BsSave *save, gpointer committer, GError **error);
  Answer answer;
  GCancellable *cancellable;
  GThread *thread;
  GThread *destroyer;
  int n_calls; /* atomic */
} Committer;

static gboolean
commit_cb (BsSave *save, GCancellable *cancellable, gpointer data, GError **error)
{
  Committer *self = data;

  g_atomic_int_inc (&self->n_calls);
  self->thread = g_thread_self ();
  return self->inside (save, self, error);
}

static void
committer_destroyed (gpointer data)
{
  ((Committer *) data)->destroyer = g_thread_self ();
}

static void
committer_set_up (Committer *self, Fixture *fixture, Document *document, gpointer inside)
{
  memset (self, 0, sizeof *self);
  self->fixture = fixture;
  self->document = document;
  self->inside = inside;
  bs_save_set_root (document->save, NULL);
  bs_save_set_commit_func (document->save, commit_cb, self, committer_destroyed);
}

/* Everything that is to come is durable, everything that was is there. */
static gboolean
look_around (BsSave *save, gpointer data, GError **error)
{
  Committer *self = data;

  for (guint i = 0; i < 3; i++)
    g_assert_true (has (self->fixture, self->document->keys[i]));
  g_assert_true (save == self->document->save);
  g_assert_cmpuint (bs_save_get_n_done (save), ==, 2);
  g_assert_cmpfloat (bs_save_get_fraction (save), <, 1.0);
  return TRUE;
}

/* Blocking calls of every kind. */
static gboolean
call_back (BsSave *save, gpointer data, GError **error)
{
  Committer *self = data;
  Fixture *fixture = self->fixture;
  g_autoptr (BsItem) item = insert (fixture, "inside");
  g_autofree char *key = bs_item_dup_key (item);
  g_autoptr (BsSave) other = save_new (fixture, NULL, item, NULL);
  g_autoptr (BsTrackedPath) tracked = NULL;
  g_autoptr (GError) local_error = NULL;
  gboolean success;

  assert_root (fixture, "old");
  success = bs_item_persist (item, fixture->tracked, NULL, error) &&
            bs_backing_store_sync (fixture->store, fixture->tracked, NULL, error) &&
            bs_backing_store_delete_persisted (fixture->store, fixture->tracked, key, NULL, error);
  g_assert_true (success);
  tracked = bs_backing_store_track_path (fixture->store, fixture->file, NULL, error);
  g_assert_true (tracked == fixture->tracked);

  g_assert_false (bs_save_run (other, NULL, &local_error));
  g_assert_error (local_error, BS_ERROR, BS_ERROR_BUSY);
  g_clear_error (&local_error);
  g_assert_false (bs_save_run (save, NULL, &local_error));
  g_assert_error (local_error, BS_ERROR, BS_ERROR_BUSY);
  g_clear_error (&local_error);
  g_assert_false (bs_backing_store_delete_persisted (fixture->store, fixture->tracked,
                                                     self->document->keys[1], NULL, &local_error));
  g_assert_error (local_error, BS_ERROR, BS_ERROR_BUSY);
  g_clear_error (&local_error);
  g_assert_false (
    bs_backing_store_untrack_path (fixture->store, fixture->tracked, NULL, &local_error));
  g_assert_error (local_error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
  g_clear_error (&local_error);
  g_assert_false (bs_backing_store_wait_finished (fixture->store, NULL, &local_error));
  g_assert_error (local_error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
  g_clear_error (&local_error);
  bs_task_tracker_reopen (bs_backing_store_get_task_tracker (fixture->store));
  g_assert_false (bs_backing_store_close (fixture->store, NULL, &local_error));
  g_assert_error (local_error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);

  return TRUE;
}

/* An asynchronous save of the same path comes after this one. */
static gboolean
ask_for_another (BsSave *save, gpointer data, GError **error)
{
  Committer *self = data;
  g_autoptr (BsSave) other = save_new (self->fixture, "another", self->document->items[0], NULL);

  save_async (other, NULL, &self->answer);
  return TRUE;
}

static gboolean
fail_loudly (BsSave *save, gpointer data, GError **error)
{
  g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_READ_ONLY, "the database is read-only");
  return FALSE;
}

static gboolean
fail_silently (BsSave *save, gpointer data, GError **error)
{
  return FALSE;
}

static void
test_commit (Fixture *fixture, gconstpointer data)
{
  gpointer insides[] = { look_around, call_back };

  for (guint i = 0; i < 4; i++)
    {
      gboolean blocking = i % 2;
      Answer answer = { 0 };
      Committer committer;
      Document document;

      document_set_up (&document, fixture);
      committer_set_up (&committer, fixture, &document, insides[i / 2]);
      if (blocking)
        {
          save_ok (document.save);
          g_assert_true (committer.thread == g_thread_self ());
        }
      else
        {
          save_async (document.save, NULL, &answer);
          answer_ok (&answer);
          g_assert_true (committer.thread != g_thread_self ());
        }
      g_assert_cmpint (committer.n_calls, ==, 1);
      assert_root (fixture, "old");
      g_assert_false (has (fixture, document.keys[0]));
      g_assert_cmpuint (bs_tracked_path_get_n_keys (fixture->tracked), ==, 2);
      g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_WRITE_ROOT, NULL), ==, 0);
      assert_goes (g_steal_pointer (&document.save));
      g_assert_true (committer.destroyer == g_thread_self ());
      document_tear_down (&document, fixture);
    }
}

static void
test_commit_fails (Fixture *fixture, gconstpointer data)
{
  for (guint i = 0; i < 4; i++)
    {
      gboolean silent = i / 2;
      g_autoptr (GError) error = NULL;
      Answer answer = { 0 };
      Committer committer;
      Document document;

      document_set_up (&document, fixture);
      committer_set_up (&committer, fixture, &document, silent ? fail_silently : fail_loudly);
      if (i % 2)
        {
          g_assert_false (bs_save_run (document.save, NULL, &error));
        }
      else
        {
          save_async (document.save, NULL, &answer);
          error = answer_dup_error (&answer);
        }
      if (silent)
        {
          g_assert_error (error, BS_ERROR, BS_ERROR_FAILED);
          g_assert_nonnull (strstr (error->message, "return True"));
          g_assert_nonnull (strstr (error->message, "commit function"));
        }
      else
        {
          g_assert_error (error, G_IO_ERROR, G_IO_ERROR_READ_ONLY);
        }
      assert_old (&document, fixture);
      g_assert_cmpuint (gate_backing_count (fixture->gates, BS_OPERATION_DELETE_PERSISTED, NULL),
                        ==, 0);
      document_tear_down (&document, fixture);
    }
}

static void
test_save_in_commit (Fixture *fixture, gconstpointer data)
{
  Answer answer = { 0 };
  Committer committer;
  Document document;

  document_set_up (&document, fixture);
  committer_set_up (&committer, fixture, &document, ask_for_another);
  save_async (document.save, NULL, &answer);
  answer_ok (&answer);
  answer_ok (&committer.answer);
  assert_root (fixture, "another");
  g_assert_true (has (fixture, document.keys[0]));
  g_assert_cmpuint (bs_tracked_path_get_n_keys (fixture->tracked), ==, 1);
  document_tear_down (&document, fixture);
}

/* Two paths, and in the commit function of each a blocking save of the other. */
typedef struct
{
  Fixture *fixture;
  BsTrackedPath *tracked[2];
  GError *errors[2];
  int n_inside; /* atomic */
} Crossing;

static gboolean
cross (Crossing *self, guint from)
{
  g_autoptr (BsSave) save = bs_save_new (self->fixture->store, self->tracked[1 - from]);
  g_autoptr (GBytes) root = make_bytes ("crossed");

  g_atomic_int_inc (&self->n_inside);
  spin_until (g_atomic_int_get (&self->n_inside) == 2);
  bs_save_set_root (save, root);
  return bs_save_run (save, NULL, &self->errors[from]);
}

static gboolean
cross_from_first (BsSave *save, GCancellable *cancellable, gpointer data, GError **error)
{
  cross (data, 0);
  return TRUE;
}

static gboolean
cross_from_second (BsSave *save, GCancellable *cancellable, gpointer data, GError **error)
{
  cross (data, 1);
  return TRUE;
}

static void
test_crossing_commits (Fixture *fixture, gconstpointer data)
{
  BsCommitFunc funcs[2] = { cross_from_first, cross_from_second };
  g_autoptr (GFile) file = g_file_new_for_uri ("gate:///other");
  g_autoptr (BsTrackedPath) other = track (fixture, file);
  Crossing crossing = { fixture, { fixture->tracked, other }, { NULL }, 0 };
  Answer answers[2] = { 0 };

  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (BsSave) save = bs_save_new (fixture->store, crossing.tracked[i]);

      bs_save_set_commit_func (save, funcs[i], &crossing, NULL);
      save_async (save, NULL, &answers[i]);
    }
  answer_ok (&answers[0]);
  answer_ok (&answers[1]);
  /* One of them, and not the other, could only have waited for itself. */
  g_assert_true ((crossing.errors[0] == NULL) != (crossing.errors[1] == NULL));
  for (guint i = 0; i < 2; i++)
    if (crossing.errors[i] != NULL)
      g_assert_error (crossing.errors[i], BS_ERROR, BS_ERROR_BUSY);
  g_clear_error (&crossing.errors[0]);
  g_clear_error (&crossing.errors[1]);
}

/* In the commit function the path is to be untracked and tracked again. */
static gboolean
track_again (BsSave *save, gpointer data, GError **error)
{
  Committer *self = data;
  g_autoptr (GError) local_error = NULL;

  bs_backing_store_untrack_path_async (self->fixture->store, self->fixture->tracked,
                                       G_PRIORITY_DEFAULT, NULL, answer_cb, &self->answer);
  g_assert_null (
    bs_backing_store_track_path (self->fixture->store, self->fixture->file, NULL, &local_error));
  g_assert_error (local_error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
  return TRUE;
}

static void
test_untrack_in_commit (Fixture *fixture, gconstpointer data)
{
  Answer answer = { 0 };
  Committer committer;
  Document document;

  document_set_up (&document, fixture);
  committer_set_up (&committer, fixture, &document, track_again);
  save_async (document.save, NULL, &answer);
  answer_ok (&answer);
  answer_ok (&committer.answer);
  g_assert_true (bs_tracked_path_get_closed (fixture->tracked));
  document_tear_down (&document, fixture);
}

/* Every thread of the application's functions waits for a save whose commit
 * function asks for another such function, and waits for it. */
static gboolean
save_in_task (BsBackingStore *store, GCancellable *cancellable, gpointer data, GError **error)
{
  Fixture *fixture = data;
  g_autoptr (BsSave) save = save_new (fixture, "task", NULL, NULL);

  return bs_save_run (save, cancellable, error);
}

static gboolean
nothing_to_do (BsBackingStore *store, GCancellable *cancellable, gpointer data, GError **error)
{
  return TRUE;
}

static gboolean
wait_for_task (BsSave *save, gpointer data, GError **error)
{
  Committer *self = data;
  g_autoptr (GMainContext) context = g_main_context_new ();
  Answer answer = { 0 };
  gboolean success;

  g_main_context_push_thread_default (context);
  bs_backing_store_run_in_thread_async (self->fixture->store, nothing_to_do, NULL, NULL,
                                        G_PRIORITY_DEFAULT, NULL, answer_cb, &answer);
  while (answer.n_calls == 0)
    g_main_context_iteration (context, TRUE);
  g_main_context_pop_thread_default (context);
  success = g_task_propagate_boolean (G_TASK (answer.result), error);
  answer_clear (&answer);
  return success;
}

static void
test_all_threads_save (Fixture *fixture, gconstpointer data)
{
  Answer answer = { 0 }, answers[8] = { 0 };
  Committer committer;
  Document document;

  document_set_up (&document, fixture);
  committer_set_up (&committer, fixture, &document, wait_for_task);
  hold_at (&stops[4], &document, fixture);
  save_async (document.save, NULL, &answer);
  wait_at (&stops[4], &document, fixture);
  for (guint i = 0; i < 8; i++)
    bs_backing_store_run_in_thread_async (fixture->store, save_in_task, fixture, NULL,
                                          G_PRIORITY_DEFAULT, NULL, answer_cb, &answers[i]);
  gate_backing_release_all (fixture->gates);
  answer_ok (&answer);
  for (guint i = 0; i < 8; i++)
    answer_ok (&answers[i]);
  assert_root (fixture, "task");
  document_tear_down (&document, fixture);
}

/* A cancellation while the commit function runs: what it says holds. */
static gboolean
cancel_inside (BsSave *save, gpointer data, GError **error)
{
  g_cancellable_cancel (((Committer *) data)->cancellable);
  return TRUE;
}

static void
test_cancel_in_commit (Fixture *fixture, gconstpointer data)
{
  for (guint blocking = 0; blocking < 2; blocking++)
    {
      g_autoptr (GCancellable) cancellable = g_cancellable_new ();
      Answer answer = { 0 };
      Committer committer;
      Document document;

      document_set_up (&document, fixture);
      committer_set_up (&committer, fixture, &document, cancel_inside);
      committer.cancellable = cancellable;
      if (blocking)
        {
          g_autoptr (GError) error = NULL;

          g_assert_true (bs_save_run (document.save, cancellable, &error));
          g_assert_no_error (error);
        }
      else
        {
          save_async (document.save, cancellable, &answer);
          answer_ok (&answer);
        }
      g_assert_true (g_cancellable_is_cancelled (cancellable));
      g_assert_false (has (fixture, document.keys[0]));
      document_tear_down (&document, fixture);
    }
}

/* So many at a time and no more, however many threads there are. */
static void
test_max_parallel (Fixture *fixture, gconstpointer data)
{
  bs_backing_store_set_max_threads (fixture->store, 8);
  for (guint i = 0; i < 4; i++)
    {
      guint max_parallel = i / 2 ? 3 : 1;
      g_autoptr (BsSave) save = save_new (fixture, "root", NULL, NULL);
      Saver saver = { .save = save };
      Answer answer = { 0 };
      GThread *thread = NULL;

      for (guint j = 0; j < 50; j++)
        {
          g_autoptr (BsItem) item = insert_written (fixture, "content");

          bs_save_add_item (save, item);
        }
      bs_save_set_max_parallel (save, max_parallel);
      settle (fixture);
      gate_backing_reset_log (fixture->gates);
      gate_backing_hold (fixture->gates, BS_OPERATION_PERSIST, NULL, GATE_BEFORE);
      if (i % 2)
        thread = g_thread_new ("save", saver_thread, &saver);
      else
        save_async (save, NULL, &answer);
      gate_backing_wait_held (fixture->gates, BS_OPERATION_PERSIST, NULL, GATE_BEFORE,
                              max_parallel);
      gate_backing_release_all (fixture->gates);
      if (thread != NULL)
        g_thread_join (thread);
      else
        answer_ok (&answer);
      g_assert_no_error (saver.error);
      g_assert_cmpuint (gate_backing_get_max_parallel (fixture->gates), ==, max_parallel);
      g_assert_cmpuint (bs_tracked_path_get_n_keys (fixture->tracked), ==, 50);
      settle (fixture);
    }
}

/* Nothing waits in the store's threads: with all of them held up elsewhere, a
 * save that is first in the queue goes as far as it can on its own thread. */
static void
test_blocking_with_busy_threads (Fixture *fixture, gconstpointer data)
{
  Document document;
  Plug plug = { 0 };

  document_set_up (&document, fixture);
  bs_save_set_max_parallel (document.save, 1);
  plug_in (&plug, fixture);
  save_ok (document.save);
  assert_new (&document, fixture);
  plug_out (&plug, fixture);
  document_tear_down (&document, fixture);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);

  test_add ("/interleavings/saves/order", test_order);
  test_add ("/interleavings/saves/two-at-once", test_two_at_once);
  test_add ("/interleavings/saves/two-at-once-blocking", test_two_at_once_blocking);
  test_add ("/interleavings/saves/queue-cancelled", test_queue_cancelled);
  test_add_bulk ("/interleavings/saves/delete", test_delete);
  test_add ("/interleavings/saves/persist", test_persist);
  test_add_bulk ("/interleavings/saves/persist-unnamed", test_persist_unnamed);
  test_add ("/interleavings/saves/persist-again", test_persist_again);
  test_add ("/interleavings/saves/before-turn", test_before_turn);
  test_add ("/interleavings/saves/replace", test_replace);
  test_add ("/interleavings/saves/cancel", test_cancel);
  test_add ("/interleavings/saves/cancel-blocking", test_cancel_blocking);
  test_add_once ("/interleavings/saves/verify", test_verify);
  test_add_once ("/interleavings/saves/sync-fails", test_sync_fails);
  test_add ("/interleavings/saves/error", test_error);
  test_add ("/interleavings/saves/failed-sync", test_failed_sync);
  test_add_once ("/interleavings/saves/failed-sync-behind-persist",
                 test_failed_sync_behind_persist);
  test_add ("/interleavings/saves/failed-undo", test_failed_undo);
  test_add ("/interleavings/saves/failed-persist", test_failed_persist);
  test_add ("/interleavings/saves/keep-behind-delete", test_keep_behind_delete);
  test_add ("/interleavings/saves/claimed-while-deleting", test_claimed_while_deleting);
  test_add ("/interleavings/saves/kept-gone-meanwhile", test_kept_gone_meanwhile);
  test_add ("/interleavings/saves/failed-sync-beside-write", test_failed_sync_beside_write);
  test_add ("/interleavings/saves/leftovers", test_leftovers);
  test_add ("/interleavings/saves/after-failed-sync", test_after_failed_sync);
  test_add ("/interleavings/saves/deleted-before", test_deleted_before);
  test_add ("/interleavings/saves/keep-uncertain", test_keep_uncertain);
  test_add ("/interleavings/saves/sync", test_sync);
  test_add ("/interleavings/saves/untrack/whole", test_untrack);
  test_add ("/interleavings/saves/untrack/again", test_untrack_again);
  test_add ("/interleavings/saves/close", test_close);
  test_add ("/interleavings/saves/last-references", test_last_references);
  test_add ("/interleavings/saves/commit", test_commit);
  test_add ("/interleavings/saves/commit-fails", test_commit_fails);
  test_add ("/interleavings/saves/save-in-commit", test_save_in_commit);
  test_add ("/interleavings/saves/crossing-commits", test_crossing_commits);
  test_add ("/interleavings/saves/untrack-in-commit", test_untrack_in_commit);
  test_add ("/interleavings/saves/all-threads-save", test_all_threads_save);
  test_add ("/interleavings/saves/cancel-in-commit", test_cancel_in_commit);
  test_add_once ("/interleavings/saves/max-parallel", test_max_parallel);
  test_add ("/interleavings/saves/blocking-with-busy-threads", test_blocking_with_busy_threads);

  return g_test_run ();
}
