/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "pool-fixture.h"

/* Manifests that are saved, loaded and registered. */

static void
set_up (Fixture *fixture, gconstpointer data)
{
  fixture_set_up (fixture, G_MAXINT64);
  fixture_track (fixture);
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  fixture_tear_down (fixture);
}

#define test_add(path, function) g_test_add (path, Fixture, NULL, set_up, function, tear_down)

static void
add_item (BsManifest *manifest, const char *name, BsItem *item)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (bs_manifest_add_item (manifest, name, item, NULL, &error));
  g_assert_no_error (error);
}

static void
add_new_item (Fixture *fixture, BsManifest *manifest, const char *name, char fill)
{
  g_autoptr (BsItem) item = insert (fixture->pool, 10, fill);

  add_item (manifest, name, item);
}

static char *
dup_key (BsManifest *manifest, const char *name)
{
  g_autoptr (BsManifestEntry) entry = bs_manifest_lookup (manifest, name);

  g_assert_nonnull (entry);
  return bs_manifest_entry_dup_key (entry);
}

static BsItem *
dup_item (BsManifest *manifest, const char *name)
{
  g_autoptr (BsManifestEntry) entry = bs_manifest_lookup (manifest, name);

  g_assert_nonnull (entry);
  return bs_manifest_entry_dup_item (entry);
}

static BsSave *
save_new (Fixture *fixture, BsManifest *manifest)
{
  BsSave *save = bs_save_new (fixture->store, fixture->tracked);

  bs_save_set_manifest (save, manifest);
  return save;
}

static void
save (Fixture *fixture, BsManifest *manifest)
{
  g_autoptr (BsSave) running = save_new (fixture, manifest);
  g_autoptr (GError) error = NULL;
  gboolean done = bs_save_run (running, NULL, &error);

  g_assert_no_error (error);
  g_assert_true (done);
}

static void
save_async (Fixture *fixture, BsManifest *manifest)
{
  g_autoptr (BsSave) running = save_new (fixture, manifest);
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;

  bs_save_run_async (running, G_PRIORITY_DEFAULT, NULL, store_result, &result);
  g_assert_true (bs_save_run_finish (running, wait_result (&result), &error));
  g_assert_no_error (error);
}

/* The blocking and the asynchronous call say the same, and change nothing. */
#define save_fails(fixture, save, domain, code, ...)                                               \
  G_STMT_START                                                                                     \
  {                                                                                                \
    const char *__words[] = { __VA_ARGS__ };                                                       \
    g_autoptr (GAsyncResult) __result = NULL;                                                      \
    GError *__errors[2] = { NULL };                                                                \
                                                                                                   \
    g_assert_false (bs_save_run (save, NULL, &__errors[0]));                                       \
    bs_save_run_async (save, G_PRIORITY_DEFAULT, NULL, store_result, &__result);                   \
    g_assert_false (bs_save_run_finish (save, wait_result (&__result), &__errors[1]));             \
    for (guint __i = 0; __i < 2; __i++)                                                            \
      {                                                                                            \
        g_assert_error (__errors[__i], domain, code);                                              \
        for (guint __j = 0; __j < G_N_ELEMENTS (__words); __j++)                                   \
          g_assert_nonnull (strstr (__errors[__i]->message, __words[__j]));                        \
        g_clear_error (&__errors[__i]);                                                            \
      }                                                                                            \
  }                                                                                                \
  G_STMT_END

static BsManifest *
load (Fixture *fixture)
{
  g_autoptr (GError) error = NULL;
  BsManifest *manifest =
    bs_backing_store_load_manifest (fixture->store, fixture->tracked, NULL, &error);

  g_assert_no_error (error);
  return manifest;
}

static BsManifest *
load_async (Fixture *fixture)
{
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;
  BsManifest *manifest;

  bs_backing_store_load_manifest_async (fixture->store, fixture->tracked, G_PRIORITY_DEFAULT, NULL,
                                        store_result, &result);
  manifest = bs_backing_store_load_manifest_finish (fixture->store, wait_result (&result), &error);
  g_assert_no_error (error);
  return manifest;
}

static void
register_ok (Fixture *fixture, BsManifest *manifest)
{
  g_autoptr (GError) error = NULL;
  gboolean done =
    bs_pool_register_manifest (fixture->pool, fixture->tracked, manifest, NULL, &error);

  g_assert_no_error (error);
  g_assert_true (done);
}

static void
register_ok_async (Fixture *fixture, BsManifest *manifest)
{
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;

  bs_pool_register_manifest_async (fixture->pool, fixture->tracked, manifest, G_PRIORITY_DEFAULT,
                                   NULL, store_result, &result);
  g_assert_true (bs_pool_register_manifest_finish (fixture->pool, wait_result (&result), &error));
  g_assert_no_error (error);
}

static void
assert_content (BsManifest *manifest, const char *name, char fill)
{
  g_autoptr (BsItem) item = dup_item (manifest, name);
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = NULL;

  g_assert_nonnull (item);
  bytes = bs_item_load (item, NULL, &error);
  g_assert_no_error (error);
  assert_filled (bytes, 10, fill);
}

/* Calls of the backing besides those for the root blob. */
static guint
count_key_calls (Fixture *fixture)
{
  static const BsOperation operations[] = {
    BS_OPERATION_WRITE,
    BS_OPERATION_PERSIST,
    BS_OPERATION_PERSIST_BYTES,
    BS_OPERATION_REGISTER_KEY,
    BS_OPERATION_REGISTER_KEYS,
    BS_OPERATION_DELETE_PERSISTED,
    BS_OPERATION_DELETE_PERSISTED_KEYS,
  };
  guint n_calls = 0;

  for (guint i = 0; i < G_N_ELEMENTS (operations); i++)
    n_calls += count (fixture, operations[i]);

  return n_calls;
}

static void
test_document (Fixture *fixture, gconstpointer data)
{
  gboolean async = GPOINTER_TO_INT (data);
  g_autoptr (BsManifest) manifest = bs_manifest_new ();
  g_autoptr (BsManifest) read = NULL;
  g_autofree char *one = NULL;
  g_autofree char *key = NULL;

  add_new_item (fixture, manifest, "one", '1');
  add_new_item (fixture, manifest, "two", '2');
  (async ? save_async : save) (fixture, manifest);
  g_assert_cmpuint (bs_tracked_path_get_n_keys (fixture->tracked), ==, 2);

  one = dup_key (manifest, "one");
  read = (async ? load_async : load) (fixture);
  g_assert_cmpuint (g_list_model_get_n_items (G_LIST_MODEL (read)), ==, 2);
  key = dup_key (read, "one");
  g_assert_cmpstr (key, ==, one);
  g_assert_null (dup_item (read, "one"));
  (async ? register_ok_async : register_ok) (fixture, read);
  assert_content (read, "one", '1');
  assert_content (read, "two", '2');
}

/* Only what was changed costs calls, with items or without. */
static void
test_unchanged (Fixture *fixture, gconstpointer data)
{
  gboolean registers = GPOINTER_TO_INT (data);
  g_autoptr (BsManifest) first = bs_manifest_new ();
  g_autoptr (BsManifest) manifest = NULL;
  g_autoptr (GError) error = NULL;
  guint n_calls;

  add_new_item (fixture, first, "one", '1');
  add_new_item (fixture, first, "two", '2');
  save (fixture, first);
  manifest = load (fixture);
  if (registers)
    register_ok (fixture, manifest);

  n_calls = count_key_calls (fixture);
  save (fixture, manifest);
  g_assert_cmpuint (count_key_calls (fixture), ==, n_calls);
  g_assert_cmpuint (count (fixture, BS_OPERATION_WRITE_ROOT), ==, 2);

  g_assert_true (bs_manifest_remove (manifest, "one", &error));
  add_new_item (fixture, manifest, "three", '3');
  g_clear_object (&first);
  save (fixture, manifest);
  g_assert_cmpuint (bs_tracked_path_get_n_keys (fixture->tracked), ==, 2);
  save (fixture, manifest);
  g_clear_object (&manifest);
  manifest = load (fixture);
  register_ok (fixture, manifest);
  assert_content (manifest, "two", '2');
  assert_content (manifest, "three", '3');
  g_assert_null (bs_manifest_lookup (manifest, "one"));
}

/* The edit after a replace is the one that is saved. */
static void
test_replaced (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsManifest) manifest = bs_manifest_new ();
  g_autoptr (GBytes) bytes = make_bytes (10, 'x');
  g_autofree char *old_key = NULL;
  g_autofree char *key = NULL;
  g_autoptr (BsManifest) read = NULL;
  g_autoptr (BsItem) item = NULL;

  add_new_item (fixture, manifest, "one", '1');
  save (fixture, manifest);
  g_clear_object (&manifest);
  manifest = load (fixture);
  register_ok (fixture, manifest);
  old_key = dup_key (manifest, "one");

  /* The manifest has the only reference on the item afterwards. */
  item = dup_item (manifest, "one");
  bs_item_replace (item, bytes);
  g_clear_object (&item);
  save (fixture, manifest);
  g_assert_false (bs_tracked_path_contains_key (fixture->tracked, old_key));

  read = load (fixture);
  key = dup_key (read, "one");
  g_assert_cmpstr (key, !=, old_key);
  register_ok (fixture, read);
  assert_content (read, "one", 'x');
}

/* A save takes what there is when it is run, and changes are for the next one. */
static void
test_changed_meanwhile (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsManifest) manifest = bs_manifest_new ();
  g_autoptr (BsManifest) read = NULL;
  g_autoptr (GBytes) bytes = make_bytes (10, 'x');
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (BsItem) item = NULL;
  g_autoptr (BsSave) running = NULL;
  g_autoptr (GError) error = NULL;

  add_new_item (fixture, manifest, "one", '1');
  add_new_item (fixture, manifest, "two", '2');
  bs_fault_backing_hold (fixture->fault, BS_OPERATION_PERSIST_BYTES);
  running = save_new (fixture, manifest);
  bs_save_run_async (running, G_PRIORITY_DEFAULT, NULL, store_result, &result);
  item = dup_item (manifest, "one");
  bs_item_replace (item, bytes);
  g_assert_true (bs_manifest_remove (manifest, "two", &error));
  add_new_item (fixture, manifest, "three", '3');
  bs_save_set_manifest (running, NULL);
  g_clear_object (&item);
  g_clear_object (&manifest);
  bs_fault_backing_release (fixture->fault, BS_OPERATION_PERSIST_BYTES);
  g_assert_true (bs_save_run_finish (running, wait_result (&result), &error));
  g_assert_no_error (error);

  read = load (fixture);
  register_ok (fixture, read);
  g_assert_cmpuint (g_list_model_get_n_items (G_LIST_MODEL (read)), ==, 2);
  assert_content (read, "one", '1');
  assert_content (read, "two", '2');
}

static void
test_missing_key (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsManifest) manifest = bs_manifest_new ();
  g_autoptr (BsSave) running = save_new (fixture, manifest);
  g_autoptr (GError) error = NULL;
  g_autofree char *key = bs_key_generate ();
  g_autoptr (BsManifest) read = NULL;

  add_new_item (fixture, manifest, "one", '1');
  save (fixture, manifest);
  g_assert_true (bs_manifest_add (manifest, "a missing one", key, NULL, &error));
  add_new_item (fixture, manifest, "two", '2');
  save_fails (fixture, running, BS_ERROR, BS_ERROR_NOT_FOUND, "memory:///persisted", key,
              "“a missing one”");
  read = load (fixture);
  g_assert_cmpuint (g_list_model_get_n_items (G_LIST_MODEL (read)), ==, 1);

  /* A key that was given to the save is no entry. */
  g_assert_true (bs_manifest_remove (manifest, "a missing one", &error));
  bs_save_keep_key (running, key);
  save_fails (fixture, running, BS_ERROR, BS_ERROR_NOT_FOUND, "memory:///persisted: ", key);
}

/* An error of storage names the entry, too. */
static void
test_failing_item (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsManifest) manifest = bs_manifest_new ();
  g_autoptr (BsSave) running = save_new (fixture, manifest);
  g_autoptr (BsManifest) read = NULL;
  g_autofree char *key = NULL;

  add_new_item (fixture, manifest, "one", '1');
  add_new_item (fixture, manifest, "two", '2');
  key = dup_key (manifest, "two");
  fail_all (fixture, BS_OPERATION_PERSIST_BYTES, key, G_IO_ERROR_NO_SPACE);
  fail_all (fixture, BS_OPERATION_WRITE, key, G_IO_ERROR_NO_SPACE);
  save_fails (fixture, running, G_IO_ERROR, G_IO_ERROR_NO_SPACE, "memory:///persisted", key,
              "“two”");

  bs_fault_backing_clear (fixture->fault);
  save (fixture, manifest);
  read = load (fixture);
  register_ok (fixture, read);
  assert_content (read, "two", '2');
}

/* An entry without an item may name the key of an item of the save. */
static void
test_shared_key (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsManifest) manifest = bs_manifest_new ();
  g_autoptr (BsItem) item = insert (fixture->pool, 10, '1');
  g_autoptr (BsItem) other = insert (fixture->pool, 10, '2');
  g_autofree char *key = bs_item_dup_key (item);
  g_autofree char *other_key = bs_item_dup_key (other);
  g_autoptr (BsSave) running = save_new (fixture, manifest);
  g_autoptr (BsManifest) read = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (BsItem) a = NULL;
  g_autoptr (BsItem) b = NULL;

  g_assert_true (bs_manifest_add (manifest, "key", key, NULL, &error));
  add_item (manifest, "item", item);
  g_assert_true (bs_manifest_add (manifest, "added", other_key, NULL, &error));
  bs_save_add_item (running, other);
  g_assert_true (bs_save_run (running, NULL, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (bs_tracked_path_get_n_keys (fixture->tracked), ==, 2);

  read = load (fixture);
  register_ok (fixture, read);
  assert_content (read, "key", '1');
  assert_content (read, "item", '1');
  assert_content (read, "added", '2');
  /* Each has an item of its own: one may be replaced. */
  a = dup_item (read, "key");
  b = dup_item (read, "item");
  g_assert_true (a != b);
}

static void
test_strange_item (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsMemoryBacking) memory = bs_memory_backing_new ();
  g_autoptr (BsBackingStore) store = bs_backing_store_new (BS_BACKING (memory));
  g_autoptr (BsPool) pool = bs_pool_new (store, 1000);
  g_autoptr (BsItem) item = insert (pool, 10, 'x');
  g_autoptr (BsManifest) manifest = bs_manifest_new ();
  g_autoptr (BsSave) running = save_new (fixture, manifest);

  add_new_item (fixture, manifest, "one", '1');
  add_item (manifest, "a strange one", item);
  save_fails (fixture, running, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "memory:///persisted",
              "“a strange one”", "another store");
  g_assert_cmpuint (bs_tracked_path_get_n_keys (fixture->tracked), ==, 0);
}

static gboolean
commit (BsSave *running, GCancellable *cancellable, gpointer data, GError **error)
{
  g_assert_not_reached ();
}

static void
test_one_step (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsManifest) manifest = bs_manifest_new ();
  g_autoptr (BsSave) running = save_new (fixture, manifest);
  g_autoptr (GBytes) root = make_bytes (10, 'r');

  bs_save_set_root (running, root);
  save_fails (fixture, running, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "memory:///persisted",
              "manifest");
  bs_save_set_root (running, NULL);
  bs_save_set_commit_func (running, commit, NULL, NULL);
  save_fails (fixture, running, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "memory:///persisted",
              "manifest");
}

/* Without entries it makes an empty document, on purpose. */
static void
test_empty (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsManifest) manifest = bs_manifest_new ();
  g_autoptr (BsManifest) empty = bs_manifest_new ();
  g_autoptr (BsManifest) read = NULL;

  add_new_item (fixture, manifest, "one", '1');
  save (fixture, manifest);
  save (fixture, empty);
  g_assert_cmpuint (bs_tracked_path_get_n_keys (fixture->tracked), ==, 0);
  read = load (fixture);
  g_assert_cmpuint (g_list_model_get_n_items (G_LIST_MODEL (read)), ==, 0);
  register_ok (fixture, read);
}

static void
assert_load_fails (Fixture *fixture, int code, const char *message)
{
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (GError) async_error = NULL;

  g_assert_null (bs_backing_store_load_manifest (fixture->store, fixture->tracked, NULL, &error));
  bs_backing_store_load_manifest_async (fixture->store, fixture->tracked, G_PRIORITY_DEFAULT, NULL,
                                        store_result, &result);
  g_assert_null (
    bs_backing_store_load_manifest_finish (fixture->store, wait_result (&result), &async_error));
  g_assert_error (error, BS_ERROR, code);
  g_assert_error (async_error, BS_ERROR, code);
  g_assert_nonnull (strstr (error->message, "memory:///persisted"));
  g_assert_nonnull (strstr (error->message, message));
  g_assert_cmpstr (error->message, ==, async_error->message);
}

static void
test_load_errors (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsSave) running = bs_save_new (fixture->store, fixture->tracked);
  g_autoptr (GBytes) root = make_bytes (100, 'r');
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;

  assert_load_fails (fixture, BS_ERROR_NOT_FOUND, "");
  bs_save_set_root (running, root);
  g_assert_true (bs_save_run (running, NULL, &error));
  assert_load_fails (fixture, BS_ERROR_CORRUPT, "at byte 0");

  g_cancellable_cancel (cancellable);
  g_assert_null (
    bs_backing_store_load_manifest (fixture->store, fixture->tracked, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
}

/* One call of the backing for many, none for those that have an item. */
static void
test_register_bulk (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsManifest) manifest = bs_manifest_new ();
  g_autoptr (BsManifest) read = NULL;
  guint n_before, n_calls;

  for (guint i = 0; i < 3000; i++)
    {
      g_autofree char *name = g_strdup_printf ("%u", i);

      add_new_item (fixture, manifest, name, '0' + i % 10);
    }
  save (fixture, manifest);
  g_clear_object (&manifest);
  fixture_wait_finished (fixture);

  read = load (fixture);
  n_before = count_key_calls (fixture);
  register_ok (fixture, read);
  n_calls = count_key_calls (fixture) - n_before;
  g_assert_cmpuint (n_calls, >, 0);
  g_assert_cmpuint (n_calls, <, 1000);
  assert_content (read, "2999", '9');

  register_ok (fixture, read);
  g_assert_cmpuint (count_key_calls (fixture), ==, n_before + n_calls);
}

/* The entries that are there get their items, and the error names one that is not. */
static void
test_register_missing (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsManifest) manifest = bs_manifest_new ();
  g_autoptr (BsManifest) read = NULL;
  g_autofree char *key = NULL;
  g_autoptr (GError) error = NULL;

  add_new_item (fixture, manifest, "one", '1');
  add_new_item (fixture, manifest, "two", '2');
  add_new_item (fixture, manifest, "three", '3');
  save (fixture, manifest);
  key = dup_key (manifest, "two");
  read = load (fixture);
  g_assert_true (
    bs_backing_store_delete_persisted (fixture->store, fixture->tracked, key, NULL, &error));

  g_assert_false (bs_pool_register_manifest (fixture->pool, fixture->tracked, read, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_NOT_FOUND);
  g_assert_nonnull (strstr (error->message, "memory:///persisted"));
  g_assert_nonnull (strstr (error->message, key));
  g_assert_nonnull (strstr (error->message, "“two”"));
  assert_content (read, "one", '1');
  assert_content (read, "three", '3');
  g_assert_null (dup_item (read, "two"));
}

static void
test_register_errors (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsMemoryBacking) memory = bs_memory_backing_new ();
  g_autoptr (BsBackingStore) store = bs_backing_store_new (BS_BACKING (memory));
  g_autoptr (BsPool) pool = bs_pool_new (store, 1000);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (BsManifest) manifest = bs_manifest_new ();
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (BsManifest) read = NULL;
  g_autoptr (GError) error = NULL;

  add_new_item (fixture, manifest, "one", '1');
  save (fixture, manifest);
  g_clear_object (&manifest);
  fixture_wait_finished (fixture);
  read = load (fixture);

  g_assert_false (bs_pool_register_manifest (pool, fixture->tracked, read, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
  g_clear_error (&error);

  g_cancellable_cancel (cancellable);
  bs_pool_register_manifest_async (fixture->pool, fixture->tracked, read, G_PRIORITY_DEFAULT,
                                   cancellable, store_result, &result);
  g_assert_false (bs_pool_register_manifest_finish (fixture->pool, wait_result (&result), &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);

  fail_all (fixture, BS_OPERATION_REGISTER_KEY, NULL, G_IO_ERROR_PERMISSION_DENIED);
  fail_all (fixture, BS_OPERATION_REGISTER_KEYS, NULL, G_IO_ERROR_PERMISSION_DENIED);
  g_assert_false (bs_pool_register_manifest (fixture->pool, fixture->tracked, read, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);
  g_assert_nonnull (strstr (error->message, "memory:///persisted"));
  g_assert_null (dup_item (read, "one"));

  bs_fault_backing_clear (fixture->fault);
  register_ok (fixture, read);
  assert_content (read, "one", '1');
}

static void
count_cb (gpointer object, GParamSpec *pspec, gpointer data)
{
  guint *n = data;

  (*n)++;
}

/* Changes during the call are kept, and entries tell of their items in the store's context. */
static void
test_register_meanwhile (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsManifest) manifest = bs_manifest_new ();
  g_autoptr (BsItem) other = insert (fixture->pool, 10, 'x');
  g_autofree char *other_key = bs_item_dup_key (other);
  g_autoptr (BsManifestEntry) entry = NULL;
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (BsManifest) read = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (BsItem) got = NULL;
  g_autofree char *key = NULL;
  guint n_notified = 0;

  add_new_item (fixture, manifest, "one", '1');
  add_new_item (fixture, manifest, "two", '2');
  add_new_item (fixture, manifest, "three", '3');
  add_new_item (fixture, manifest, "four", '4');
  save (fixture, manifest);
  g_clear_object (&manifest);
  fixture_wait_finished (fixture);
  read = load (fixture);
  entry = bs_manifest_lookup (read, "one");
  g_signal_connect (entry, "notify::item", G_CALLBACK (count_cb), &n_notified);

  bs_fault_backing_hold (fixture->fault, BS_OPERATION_REGISTER_KEY);
  bs_fault_backing_hold (fixture->fault, BS_OPERATION_REGISTER_KEYS);
  bs_pool_register_manifest_async (fixture->pool, fixture->tracked, read, G_PRIORITY_DEFAULT, NULL,
                                   store_result, &result);
  g_assert_true (bs_manifest_remove (read, "two", &error));
  g_assert_true (bs_manifest_set_item (read, "three", other, &error));
  g_assert_true (bs_manifest_set_key (read, "four", other_key, &error));
  g_assert_true (bs_manifest_rename (read, "one", "first", &error));
  bs_fault_backing_release (fixture->fault, BS_OPERATION_REGISTER_KEY);
  bs_fault_backing_release (fixture->fault, BS_OPERATION_REGISTER_KEYS);
  g_assert_true (bs_pool_register_manifest_finish (fixture->pool, wait_result (&result), &error));
  g_assert_no_error (error);

  wait_until (n_notified == 1);
  assert_content (read, "first", '1');
  g_assert_null (bs_manifest_lookup (read, "two"));
  got = dup_item (read, "three");
  g_assert_true (got == other);
  g_assert_null (dup_item (read, "four"));
  key = dup_key (read, "four");
  g_assert_cmpstr (key, ==, other_key);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);

  test_add ("/manifest-save/document", test_document);
  g_test_add ("/manifest-save/document-async", Fixture, GINT_TO_POINTER (TRUE), set_up,
              test_document, tear_down);
  test_add ("/manifest-save/unchanged", test_unchanged);
  g_test_add ("/manifest-save/unchanged-items", Fixture, GINT_TO_POINTER (TRUE), set_up,
              test_unchanged, tear_down);
  test_add ("/manifest-save/replaced", test_replaced);
  test_add ("/manifest-save/changed-meanwhile", test_changed_meanwhile);
  test_add ("/manifest-save/missing-key", test_missing_key);
  test_add ("/manifest-save/failing-item", test_failing_item);
  test_add ("/manifest-save/shared-key", test_shared_key);
  test_add ("/manifest-save/strange-item", test_strange_item);
  test_add ("/manifest-save/one-step", test_one_step);
  test_add ("/manifest-save/empty", test_empty);
  test_add ("/manifest-save/load-errors", test_load_errors);
  test_add ("/manifest-save/register-bulk", test_register_bulk);
  test_add ("/manifest-save/register-missing", test_register_missing);
  test_add ("/manifest-save/register-errors", test_register_errors);
  test_add ("/manifest-save/register-meanwhile", test_register_meanwhile);

  return g_test_run ();
}
