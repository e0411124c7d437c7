/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* A store on the engine "sqlite:", whose functions stop at gates before and after their
 * effect. Whatever the order, a second store finds the document that the first has told of. */

#include "sqlite-fixture.h"

#include <string.h>
#include <unistd.h>

typedef enum
{
  BEFORE,
  AFTER,
} Point;

#define N_OPERATIONS (BS_OPERATION_CLOSE + 1)

#define GATED_TYPE_BACKING (gated_backing_get_type ())
G_DECLARE_FINAL_TYPE (GatedBacking, gated_backing, GATED, BACKING, GObject)

struct _GatedBacking
{
  GObject parent_instance;

  BsBacking *inner; /* owned */
  GMutex mutex;
  GCond cond;

  /* under the mutex */
  gboolean held[N_OPERATIONS][2];
  guint n_waiting[N_OPERATIONS][2];
  gboolean fails_after[N_OPERATIONS]; /* once */
};

static void gated_backing_iface_init (BsBackingInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (GatedBacking,
                               gated_backing,
                               G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (BS_TYPE_BACKING, gated_backing_iface_init))

static BsBacking *
pass (BsBacking *backing, BsOperation operation, Point point)
{
  GatedBacking *self = GATED_BACKING (backing);

  g_mutex_lock (&self->mutex);
  self->n_waiting[operation][point]++;
  g_cond_broadcast (&self->cond);
  while (self->held[operation][point])
    g_cond_wait (&self->cond, &self->mutex);
  self->n_waiting[operation][point]--;
  g_mutex_unlock (&self->mutex);

  return self->inner;
}

static gboolean
leave (BsBacking *backing, BsOperation operation, gboolean success, GError **error)
{
  GatedBacking *self = GATED_BACKING (backing);
  gboolean fails;

  pass (backing, operation, AFTER);
  g_mutex_lock (&self->mutex);
  fails = success && self->fails_after[operation];
  self->fails_after[operation] &= !fails;
  g_mutex_unlock (&self->mutex);
  if (fails)
    g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_FAILED, "so the test wants it");

  return success && !fails;
}

#define GATE(operation, name, parameters, arguments)                                               \
  static gboolean gated_##name parameters                                                          \
  {                                                                                                \
    BsBacking *inner = pass (backing, operation, BEFORE);                                          \
                                                                                                   \
    return leave (backing, operation, bs_backing_##name arguments, error);                         \
  }

GATE (BS_OPERATION_WRITE,
      write,
      (BsBacking * backing, const char *key, GBytes *bytes, GCancellable *c, GError **error),
      (inner, key, bytes, c, error))
GATE (BS_OPERATION_DELETE_KEY,
      delete_key,
      (BsBacking * backing, const char *key, GCancellable *c, GError **error),
      (inner, key, c, error))
GATE (BS_OPERATION_REGISTER_KEY,
      register_key,
      (BsBacking * backing, GFile *path, const char *key, GCancellable *c, GError **error),
      (inner, path, key, c, error))
GATE (BS_OPERATION_PERSIST,
      persist,
      (BsBacking * backing, GFile *path, const char *key, GCancellable *c, GError **error),
      (inner, path, key, c, error))
GATE (BS_OPERATION_PERSIST_BYTES,
      persist_bytes,
      (BsBacking * backing,
       GFile *path,
       const char *key,
       GBytes *bytes,
       GCancellable *c,
       GError **error),
      (inner, path, key, bytes, c, error))
GATE (BS_OPERATION_PERSIST_KEYS,
      persist_keys,
      (BsBacking * backing,
       GFile *path,
       BsKeySet *keys,
       GHashTable *contents,
       GCancellable *c,
       GError **error),
      (inner, path, keys, contents, c, error))
GATE (BS_OPERATION_DELETE_PERSISTED,
      delete_persisted,
      (BsBacking * backing, GFile *path, const char *key, GCancellable *c, GError **error),
      (inner, path, key, c, error))
GATE (BS_OPERATION_DELETE_PERSISTED_KEYS,
      delete_persisted_keys,
      (BsBacking * backing, GFile *path, BsKeySet *keys, GCancellable *c, GError **error),
      (inner, path, keys, c, error))
GATE (BS_OPERATION_SANITIZE_PATH,
      sanitize_path,
      (BsBacking * backing, GFile *path, BsKeySet *found, GCancellable *c, GError **error),
      (inner, path, found, c, error))
GATE (BS_OPERATION_SYNC_PERSISTED,
      sync_persisted,
      (BsBacking * backing, GFile *path, GCancellable *c, GError **error),
      (inner, path, c, error))
GATE (BS_OPERATION_WRITE_ROOT,
      write_root,
      (BsBacking * backing,
       GFile *path,
       GBytes *bytes,
       BsKeySet *named,
       GCancellable *c,
       GError **error),
      (inner, path, bytes, named, c, error))
GATE (BS_OPERATION_RELEASE_PATH,
      release_path,
      (BsBacking * backing, GFile *path, GCancellable *c, GError **error),
      (inner, path, c, error))
GATE (BS_OPERATION_CLOSE,
      close,
      (BsBacking * backing, GCancellable *c, GError **error),
      (inner, c, error))

static GBytes *
gated_read (BsBacking *backing, const char *key, GCancellable *cancellable, GError **error)
{
  GBytes *bytes =
    bs_backing_read (pass (backing, BS_OPERATION_READ, BEFORE), key, cancellable, error);

  pass (backing, BS_OPERATION_READ, AFTER);
  return bytes;
}

static GBytes *
gated_read_root (BsBacking *backing, GFile *path, GCancellable *cancellable, GError **error)
{
  return bs_backing_read_root (GATED_BACKING (backing)->inner, path, cancellable, error);
}

static void
gated_backing_iface_init (BsBackingInterface *iface)
{
  iface->write = gated_write;
  iface->read = gated_read;
  iface->delete_key = gated_delete_key;
  iface->register_key = gated_register_key;
  iface->persist = gated_persist;
  iface->persist_bytes = gated_persist_bytes;
  iface->persist_keys = gated_persist_keys;
  iface->delete_persisted = gated_delete_persisted;
  iface->delete_persisted_keys = gated_delete_persisted_keys;
  iface->sanitize_path = gated_sanitize_path;
  iface->sync_persisted = gated_sync_persisted;
  iface->write_root = gated_write_root;
  iface->read_root = gated_read_root;
  iface->release_path = gated_release_path;
  iface->close = gated_close;
}

static void
gated_backing_finalize (GObject *object)
{
  GatedBacking *self = GATED_BACKING (object);

  g_clear_object (&self->inner);
  g_mutex_clear (&self->mutex);
  g_cond_clear (&self->cond);
  G_OBJECT_CLASS (gated_backing_parent_class)->finalize (object);
}

static void
gated_backing_class_init (GatedBackingClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = gated_backing_finalize;
}

static void
gated_backing_init (GatedBacking *self)
{
  g_mutex_init (&self->mutex);
  g_cond_init (&self->cond);
}

static void
fail_after (GatedBacking *self, BsOperation operation)
{
  g_mutex_lock (&self->mutex);
  self->fails_after[operation] = TRUE;
  g_mutex_unlock (&self->mutex);
}

/* How many threads the store has, and where it is stopped. */
typedef struct
{
  guint n_threads;
  BsOperation operation;
  Point point;
} Order;

static const Order unstopped[] = { { .n_threads = 1 }, { .n_threads = 2 } };
static GSList *orders; /* of Order */

/* A store on the gates, and its document. */
typedef struct
{
  Fixture document;
  GatedBacking *gates;
  BsBackingStore *store;
  BsPool *pool;
  BsTrackedPath *tracked;
} Session;

static void
session_open (Session *self, guint n_threads)
{
  g_autoptr (GError) error = NULL;

  self->gates = g_object_new (GATED_TYPE_BACKING, NULL);
  self->gates->inner = create (self->document.scratch);
  self->store = bs_backing_store_new (BS_BACKING (self->gates));
  bs_backing_store_set_max_threads (self->store, n_threads);
  self->pool = bs_pool_new (self->store, G_MAXINT64);
  self->tracked = bs_backing_store_track_path (self->store, self->document.file, NULL, &error);
  g_assert_no_error (error);
}

static void
session_close (Session *self)
{
  g_autoptr (GError) error = NULL;

  bs_backing_store_wait_finished (self->store, NULL, &error);
  g_assert_no_error (error);
  bs_backing_store_close (self->store, NULL, &error);
  g_assert_no_error (error);
  g_clear_object (&self->tracked);
  g_clear_object (&self->pool);
  g_clear_object (&self->store);
  g_clear_object (&self->gates);
}

static void
session_set_up (Session *self, gconstpointer data)
{
  const Order *order = data;

  set_up (&self->document, NULL);
  session_open (self, order->n_threads);
}

static void
session_tear_down (Session *self, gconstpointer data)
{
  if (self->store != NULL)
    session_close (self);
  tear_down (&self->document, NULL);
}

static BsItem *
insert (Session *self, const char *content)
{
  g_autoptr (GBytes) bytes = g_bytes_new (content, strlen (content));

  return bs_pool_insert (self->pool, bytes);
}

static BsItem *
insert_persisted (Session *self, const char *content)
{
  g_autoptr (GError) error = NULL;
  BsItem *item = insert (self, content);

  bs_item_persist (item, self->tracked, NULL, &error);
  g_assert_no_error (error);
  return item;
}

static void
assert_content (BsItem *item, const char *content)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = bs_item_load (item, NULL, &error);

  g_assert_no_error (error);
  g_assert_cmpmem (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), content,
                   strlen (content));
}

static void
set_held (Session *self, const Order *order, gboolean held)
{
  GatedBacking *gates = self->gates;

  g_mutex_lock (&gates->mutex);
  gates->held[order->operation][order->point] = held;
  g_cond_broadcast (&gates->cond);
  g_mutex_unlock (&gates->mutex);
}

static void
await_held (Session *self, const Order *order)
{
  GatedBacking *gates = self->gates;

  g_mutex_lock (&gates->mutex);
  while (gates->n_waiting[order->operation][order->point] == 0)
    g_cond_wait (&gates->cond, &gates->mutex);
  g_mutex_unlock (&gates->mutex);
}

/* Only a store that has never seen it tells what the document has. */
static void
assert_document (Session *self, const char *const *keys, const char *const *contents, guint n)
{
  session_close (self);
  session_open (self, 1);
  g_assert_cmpuint (bs_tracked_path_get_n_keys (self->tracked), ==, n);
  for (guint i = 0; i < n; i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (BsItem) item = bs_pool_register (self->pool, self->tracked, keys[i], NULL, &error);

      g_assert_no_error (error);
      assert_content (item, contents[i]);
    }
  session_close (self);
  assert_folder (self->document.path, "document");
}

static void
answer_cb (GObject *source, GAsyncResult *result, gpointer data)
{
  *(GAsyncResult **) data = g_object_ref (result);
}

static GTask *
await_answer (GAsyncResult **answer)
{
  while (*answer == NULL)
    g_main_context_iteration (NULL, TRUE);
  return G_TASK (*answer);
}

static void
await_success (GAsyncResult **answer)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (g_task_propagate_boolean (await_answer (answer), &error));
  g_assert_no_error (error);
  g_clear_object (answer);
}

/* The last holder goes, its deletion is stopped, and the key is registered again. */
static void
test_last_drop (Session *self, gconstpointer data)
{
  g_autoptr (GAsyncResult) answer = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *key = NULL;
  BsItem *item;

  item = insert_persisted (self, "content");
  key = bs_item_dup_key (item);
  set_held (self, data, TRUE);
  g_object_unref (item);
  await_held (self, data);
  bs_pool_register_async (self->pool, self->tracked, key, G_PRIORITY_DEFAULT, NULL, answer_cb,
                          &answer);
  set_held (self, data, FALSE);
  item = g_task_propagate_pointer (await_answer (&answer), &error);
  g_assert_no_error (error);
  assert_content (item, "content");

  /* The name goes before the row, which is read as long as the item is held. */
  bs_backing_store_delete_persisted (self->store, self->tracked, key, NULL, &error);
  g_assert_no_error (error);
  bs_pool_trim (self->pool, 0, NULL, &error);
  assert_content (item, "content");
  g_object_unref (item);
  assert_document (self, NULL, NULL, 0);
}

/* A change that fails after its effect, and then its opposite. */
static void
test_fails_after_effect (Session *self, gconstpointer data)
{
  static const char *const contents[] = { "kept" };
  g_autoptr (GError) error = NULL;
  g_autoptr (BsItem) item = NULL;
  g_autoptr (BsItem) kept = NULL;
  g_autofree char *key = NULL;
  g_autofree char *kept_key = NULL;

  kept = insert_persisted (self, "kept");
  kept_key = bs_item_dup_key (kept);
  fail_after (self->gates, BS_OPERATION_DELETE_PERSISTED);
  g_assert_false (
    bs_backing_store_delete_persisted (self->store, self->tracked, kept_key, NULL, &error));
  g_clear_error (&error);
  g_assert_true (bs_item_persist (kept, self->tracked, NULL, &error));
  g_assert_no_error (error);

  item = insert (self, "gone");
  key = bs_item_dup_key (item);
  fail_after (self->gates, BS_OPERATION_PERSIST_BYTES);
  g_assert_false (bs_item_persist (item, self->tracked, NULL, &error));
  g_clear_error (&error);
  g_assert_true (bs_backing_store_delete_persisted (self->store, self->tracked, key, NULL, &error));
  g_assert_no_error (error);
  assert_content (item, "gone");
  g_clear_object (&item);
  g_clear_object (&kept);
  assert_document (self, (const char *const *) &kept_key, contents, 1);
}

#define N_ITEMS 12

/* Two bulk deletions cross, and a third call is for one key of them. */
static void
test_crossing (Session *self, gconstpointer data)
{
  g_autoptr (GAsyncResult) first = NULL;
  g_autoptr (GAsyncResult) second = NULL;
  g_autoptr (GAsyncResult) single = NULL;
  g_autoptr (GAsyncResult) sync = NULL;
  g_autoptr (BsKeySet) some = bs_key_set_new ();
  g_autoptr (BsKeySet) others = bs_key_set_new ();
  g_autofree char *key = NULL;

  for (guint i = 0; i < N_ITEMS; i++)
    {
      g_autoptr (BsItem) item = insert_persisted (self, "content");

      g_free (key);
      key = bs_item_dup_key (item);
      if (i % 3 != 0)
        bs_key_set_add (some, key, NULL);
      if (i % 3 != 1)
        bs_key_set_add (others, key, NULL);
    }
  set_held (self, data, TRUE);
  bs_backing_store_delete_persisted_keys_async (self->store, self->tracked, some,
                                                G_PRIORITY_DEFAULT, NULL, answer_cb, &first);
  await_held (self, data);
  bs_backing_store_delete_persisted_keys_async (self->store, self->tracked, others,
                                                G_PRIORITY_DEFAULT, NULL, answer_cb, &second);
  bs_backing_store_delete_persisted_async (self->store, self->tracked, key, G_PRIORITY_DEFAULT,
                                           NULL, answer_cb, &single);
  bs_backing_store_sync_async (self->store, self->tracked, G_PRIORITY_DEFAULT, NULL, answer_cb,
                               &sync);
  set_held (self, data, FALSE);
  await_success (&first);
  await_success (&second);
  await_success (&single);
  await_success (&sync);
  assert_document (self, NULL, NULL, 0);
}

/* A save is stopped in one of its phases, before or after the effect; meanwhile its items are
 * loaded, and a key that it names is not deleted. */
static void
test_save (Session *self, gconstpointer data)
{
  static const char *const contents[N_ITEMS] = { "0", "1", "2", "3", "4",  "5",
                                                 "6", "7", "8", "9", "10", "11" };

  g_autoptr (GAsyncResult) answer = NULL;
  g_autoptr (GAsyncResult) refused = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (BsSave) save = NULL;
  g_autoptr (GBytes) root = g_bytes_new_static ("root", 4);
  BsItem *items[N_ITEMS];
  char *keys[N_ITEMS];

  for (guint j = 0; j < 3; j++)
    g_object_unref (insert_persisted (self, "old"));
  save = bs_save_new (self->store, self->tracked);
  bs_save_set_root (save, root);
  bs_save_set_max_parallel (save, 1);
  for (guint j = 0; j < N_ITEMS; j++)
    {
      items[j] = insert (self, contents[j]);
      keys[j] = bs_item_dup_key (items[j]);
      if (j % 3 == 0)
        bs_item_write (items[j], NULL, &error);
      g_assert_no_error (error);
      bs_save_add_item (save, items[j]);
    }

  set_held (self, data, TRUE);
  bs_save_run_async (save, G_PRIORITY_DEFAULT, NULL, answer_cb, &answer);
  await_held (self, data);
  for (guint j = 0; j < N_ITEMS; j++)
    assert_content (items[j], contents[j]);
  bs_backing_store_delete_persisted_async (self->store, self->tracked, keys[1], G_PRIORITY_DEFAULT,
                                           NULL, answer_cb, &refused);
  g_assert_false (g_task_propagate_boolean (await_answer (&refused), &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_BUSY);
  set_held (self, data, FALSE);
  await_success (&answer);

  for (guint j = 0; j < N_ITEMS; j++)
    g_object_unref (items[j]);
  g_clear_object (&save);
  assert_document (self, (const char *const *) keys, contents, N_ITEMS);
  for (guint j = 0; j < N_ITEMS; j++)
    g_free (keys[j]);
}

/* A path is released while one of its blobs is read, and while another is about to be. */
static void
test_release_while_reading (Session *self, gconstpointer data)
{
  g_autoptr (GAsyncResult) untracked = NULL;
  g_autoptr (GAsyncResult) loaded = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (BsItem) item = NULL;

  item = insert_persisted (self, "content");
  bs_pool_trim (self->pool, 0, NULL, &error);
  g_assert_no_error (error);
  set_held (self, data, TRUE);
  bs_item_load_async (item, G_PRIORITY_DEFAULT, NULL, answer_cb, &loaded);
  await_held (self, data);
  bs_backing_store_untrack_path_async (self->store, self->tracked, G_PRIORITY_DEFAULT, NULL,
                                       answer_cb, &untracked);
  await_success (&untracked);
  set_held (self, data, FALSE);
  bytes = g_task_propagate_pointer (await_answer (&loaded), &error);
  g_assert_no_error (error);
  g_assert_cmpmem (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), "content", 7);

  /* From then on the content is in scratch. */
  bs_pool_trim (self->pool, 0, NULL, &error);
  assert_content (item, "content");
  g_clear_object (&item);
}

/* The last reference on a tracked path goes, its release is stopped, and it is tracked again. */
static void
test_track_again (Session *self, gconstpointer data)
{
  static const char *const contents[] = { "content" };
  g_autoptr (GAsyncResult) answer = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *key = NULL;
  BsItem *item;

  item = insert_persisted (self, "content");
  key = bs_item_dup_key (item);
  set_held (self, data, TRUE);
  g_clear_object (&self->tracked);
  await_held (self, data);
  bs_backing_store_track_path_async (self->store, self->document.file, G_PRIORITY_DEFAULT, NULL,
                                     answer_cb, &answer);
  set_held (self, data, FALSE);
  self->tracked = g_task_propagate_pointer (await_answer (&answer), &error);
  g_assert_no_error (error);
  g_assert_true (bs_tracked_path_contains_key (self->tracked, key));
  assert_content (item, "content");
  g_object_unref (item);
  assert_document (self, (const char *const *) &key, contents, 1);
}

static void
add_test (const char *name,
          BsOperation operation,
          guint least_threads,
          void (*test) (Session *, gconstpointer))
{
  static const char *const points[] = { "before", "after" };

  for (guint n_threads = least_threads; n_threads <= 2; n_threads++)
    for (Point point = BEFORE; point <= AFTER; point++)
      {
        g_autofree char *path =
          g_strdup_printf ("/sqlite/interleavings/%s/%s/%u", name, points[point], n_threads);
        Order *order = g_new (Order, 1);

        *order = (Order){ n_threads, operation, point };
        orders = g_slist_prepend (orders, order);
        g_test_add (path, Session, order, session_set_up, test, session_tear_down);
      }
}

int
main (int argc, char **argv)
{
  int result;

  g_test_init (&argc, &argv, NULL);

  add_test ("last-drop", BS_OPERATION_DELETE_KEY, 1, test_last_drop);
  add_test ("crossing", BS_OPERATION_DELETE_PERSISTED_KEYS, 1, test_crossing);
  add_test ("save/persist", BS_OPERATION_PERSIST_KEYS, 1, test_save);
  add_test ("save/sync", BS_OPERATION_SYNC_PERSISTED, 1, test_save);
  add_test ("save/root", BS_OPERATION_WRITE_ROOT, 1, test_save);
  add_test ("save/delete", BS_OPERATION_DELETE_PERSISTED_KEYS, 1, test_save);
  add_test ("release-while-reading", BS_OPERATION_READ, 2, test_release_while_reading);
  add_test ("track-again", BS_OPERATION_RELEASE_PATH, 1, test_track_again);
  for (guint i = 0; i < G_N_ELEMENTS (unstopped); i++)
    {
      g_autofree char *path =
        g_strdup_printf ("/sqlite/interleavings/fails-after-effect/%u", unstopped[i].n_threads);

      g_test_add (path, Session, &unstopped[i], session_set_up, test_fails_after_effect,
                  session_tear_down);
    }

  result = g_test_run ();
  g_slist_free_full (orders, g_free);
  return result;
}
