/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* A forked child can do nothing with its parent's store, does not wait for its threads,
 * and leaves everything as it is. */

#include "file-fixture.h"

#include <backingstore/backingstore.h>

#include "store/bs-backing-store-private.h"

typedef struct
{
  Fixture files;
  BsBackingStore *store;
  BsPool *pool;
  BsTrackedPath *tracked;
  BsItem *item; /* in scratch alone */
  char *key;
  guint n_notified;
} Case;

/* run_apart() gives the child the files alone. */
static Case *current;

static void
notify_cb (GObject *object, GParamSpec *pspec, gpointer data)
{
  current->n_notified++;
}

static void
begin (Case *self, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  current = self;
  set_up (&self->files, NULL);
  self->store = bs_backing_store_new (self->files.backing);
  self->pool = bs_pool_new (self->store, G_MAXINT64);
  self->tracked = bs_backing_store_track_path (self->store, self->files.path, NULL, &error);
  g_assert_no_error (error);
  self->item = bs_pool_insert (self->pool, self->files.bytes);
  self->key = bs_item_dup_key (self->item);
  bs_item_write (self->item, NULL, &error);
  g_assert_no_error (error);
  bs_pool_trim (self->pool, 0, NULL, &error);
  g_assert_no_error (error);
  g_signal_connect (bs_backing_store_get_task_tracker (self->store), "notify",
                    G_CALLBACK (notify_cb), NULL);
}

/* The parent's blob is there, and it can save. */
static void
end (Case *self, gconstpointer data)
{
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GBytes) root = g_bytes_new_static ("root", 4);
  g_autoptr (BsSave) save = bs_save_new (self->store, self->tracked);
  g_autoptr (GError) error = NULL;

  bytes = bs_item_load (self->item, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (g_bytes_equal (bytes, self->files.bytes));
  bs_save_add_item (save, self->item);
  bs_save_set_root (save, root);
  bs_save_run (save, NULL, &error);
  g_assert_no_error (error);
  g_clear_object (&save);
  g_clear_object (&self->item);
  g_clear_object (&self->pool);
  g_clear_object (&self->tracked);
  bs_backing_store_close (self->store, NULL, &error);
  g_assert_no_error (error);
  g_clear_object (&self->store);
  g_free (self->key);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  tear_down (&self->files, NULL);
}

#define assert_refused(call)                                                                       \
  G_STMT_START                                                                                     \
  {                                                                                                \
    g_autoptr (GError) error = NULL;                                                               \
                                                                                                   \
    g_assert_false (call);                                                                         \
    g_assert_error (error, BS_ERROR, BS_ERROR_CLOSED);                                             \
    g_assert_nonnull (strstr (error->message, "forked"));                                          \
  }                                                                                                \
  G_STMT_END

static gboolean
run_nothing (BsBackingStore *store, GCancellable *cancellable, gpointer data, GError **error)
{
  g_assert_not_reached ();
}

static void
call_blocking (Fixture *fixture)
{
  g_autoptr (BsKeySet) keys = bs_key_set_new ();
  g_autoptr (BsSave) save = bs_save_new (current->store, current->tracked);
  g_autoptr (BsVerify) verify = bs_verify_new (current->store, current->tracked);
  g_autoptr (BsItem) item = bs_pool_insert (current->pool, fixture->bytes);

  g_assert_true (bs_key_set_add (keys, current->key, NULL));
  bs_save_add_item (save, current->item);
  assert_refused (bs_backing_store_track_path (current->store, fixture->path, NULL, &error) !=
                  NULL);
  assert_refused (bs_backing_store_untrack_path (current->store, current->tracked, NULL, &error));
  assert_refused (bs_backing_store_sync (current->store, current->tracked, NULL, &error));
  assert_refused (bs_backing_store_load_root (current->store, current->tracked, NULL, &error) !=
                  NULL);
  assert_refused (bs_backing_store_delete_persisted (current->store, current->tracked, current->key,
                                                     NULL, &error));
  assert_refused (
    bs_backing_store_delete_persisted_keys (current->store, current->tracked, keys, NULL, &error));
  assert_refused (
    bs_backing_store_run_in_thread (current->store, run_nothing, NULL, NULL, NULL, &error));
  assert_refused (bs_item_load (current->item, NULL, &error) != NULL);
  assert_refused (bs_item_write (item, NULL, &error));
  assert_refused (bs_item_persist (current->item, current->tracked, NULL, &error));
  assert_refused (bs_save_run (save, NULL, &error));
  assert_refused (bs_verify_run (verify, NULL, &error));
  assert_refused (bs_backing_store_wait_finished (current->store, NULL, &error));
  assert_refused (
    bs_task_tracker_wait (bs_backing_store_get_task_tracker (current->store), NULL, &error));
  assert_refused (bs_backing_store_close (current->store, NULL, &error));
}

static void
done_cb (GObject *object, GAsyncResult *result, gpointer data)
{
  (*(guint *) data)++;
  assert_refused (g_task_propagate_boolean (G_TASK (result), &error));
}

static void
call_async (Fixture *fixture)
{
  guint n_done = 0;

  bs_backing_store_sync_async (current->store, current->tracked, G_PRIORITY_DEFAULT, NULL, done_cb,
                               &n_done);
  bs_backing_store_untrack_path_async (current->store, current->tracked, G_PRIORITY_DEFAULT, NULL,
                                       done_cb, &n_done);
  bs_item_persist_async (current->item, current->tracked, G_PRIORITY_DEFAULT, NULL, done_cb,
                         &n_done);
  bs_backing_store_wait_finished_async (current->store, G_PRIORITY_DEFAULT, NULL, done_cb, &n_done);
  bs_backing_store_close_async (current->store, G_PRIORITY_DEFAULT, NULL, done_cb, &n_done);
  g_assert_cmpuint (n_done, ==, 0);
  while (n_done < 5)
    g_main_context_iteration (NULL, TRUE);
}

static void
drop_all (Fixture *fixture)
{
  g_object_unref (current->item);
  g_object_unref (current->pool);
  g_object_unref (current->tracked);
  g_object_unref (current->store);
  g_object_unref (fixture->backing);
}

/* Notifications that the parent has queued are not told in the child. */
static void
say_nothing (Fixture *fixture)
{
  g_autoptr (GSource) queued =
    g_main_context_find_source_by_user_data (NULL, bs_backing_store_get_notifier (current->store));

  g_assert_nonnull (queued);
  g_source_ref (queued);
  while (!g_source_is_destroyed (queued))
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpuint (current->n_notified, ==, 0);
}

static void
written_cb (GObject *object, GAsyncResult *result, gpointer data)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (bs_item_write_finish (BS_ITEM (object), result, &error));
  g_assert_no_error (error);
  *(gboolean *) data = TRUE;
}

/* A store of the child's has threads of its own. */
static void
use_own_store (Fixture *fixture)
{
  BsBacking *backing = BS_BACKING (bs_memory_backing_new ());
  BsBackingStore *store = bs_backing_store_new (backing);
  BsPool *pool = bs_pool_new (store, G_MAXINT64);
  BsItem *item = bs_pool_insert (pool, fixture->bytes);
  gboolean written = FALSE;

  bs_item_write_async (item, G_PRIORITY_DEFAULT, NULL, written_cb, &written);
  while (!written)
    g_main_context_iteration (NULL, TRUE);
  g_object_unref (item);
  g_object_unref (pool);
  g_assert_true (bs_backing_store_close (store, NULL, NULL));
  g_object_unref (store);
  g_object_unref (backing);
}

static void
test_child (Case *self, gconstpointer data)
{
  self->n_notified = 0;
  run_apart ((void (*) (Fixture *)) data, &self->files);
}

static void
test_own_store (Case *self, gconstpointer data)
{
#ifdef __SANITIZE_THREAD__
  g_test_skip ("ThreadSanitizer allows a child no threads");
#else
  test_child (self, data);
#endif
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/fork/blocking", Case, call_blocking, begin, test_child, end);
  g_test_add ("/fork/asynchronous", Case, call_async, begin, test_child, end);
  g_test_add ("/fork/drop-all", Case, drop_all, begin, test_child, end);
  g_test_add ("/fork/notifications", Case, say_nothing, begin, test_child, end);
  g_test_add ("/fork/own-store", Case, use_own_store, begin, test_own_store, end);

  return g_test_run ();
}
