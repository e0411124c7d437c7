/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "pool-fixture.h"

#include <malloc.h>

/* The list that bs_pool_register_all() returns, over a path with a million keys. */

/* How much a key may cost before anybody asks for its item. */
#define MAX_BYTES_PER_KEY 200

static guint n_keys = 1000000;
static char **keys;

/* A backing that has the keys, and stops in its tracks when told to. */
#define TEST_TYPE_BACKING (test_backing_get_type ())
G_DECLARE_FINAL_TYPE (TestBacking, test_backing, TEST, BACKING, GObject)

struct _TestBacking
{
  GObject parent_instance;

  GMutex mutex;
  GCond cond;
  gboolean is_stopped;
  guint n_waiting;

  int n_bulk;   /* atomic */
  int n_single; /* atomic */
};

static void
make_keys (void)
{
  keys = g_new0 (char *, n_keys + 1);
  for (guint i = 0; i < n_keys; i++)
    keys[i] = bs_key_generate ();
}

static void
test_backing_stop (TestBacking *self, gboolean stop)
{
  g_mutex_lock (&self->mutex);
  self->is_stopped = stop;
  g_cond_broadcast (&self->cond);
  g_mutex_unlock (&self->mutex);
}

static guint
test_backing_get_n_waiting (TestBacking *self)
{
  guint n_waiting;

  g_mutex_lock (&self->mutex);
  n_waiting = self->n_waiting;
  g_mutex_unlock (&self->mutex);

  return n_waiting;
}

static gboolean
test_backing_write (BsBacking *backing,
                    const char *key,
                    GBytes *bytes,
                    GCancellable *cancellable,
                    GError **error)
{
  return TRUE;
}

static GBytes *
test_backing_read (BsBacking *backing, const char *key, GCancellable *cancellable, GError **error)
{
  TestBacking *self = TEST_BACKING (backing);

  g_mutex_lock (&self->mutex);
  self->n_waiting++;
  while (self->is_stopped)
    g_cond_wait (&self->cond, &self->mutex);
  self->n_waiting--;
  g_mutex_unlock (&self->mutex);

  return g_bytes_new (key, strlen (key));
}

static gboolean
test_backing_delete_key (BsBacking *backing,
                         const char *key,
                         GCancellable *cancellable,
                         GError **error)
{
  return TRUE;
}

static gboolean
test_backing_register_key (BsBacking *backing,
                           GFile *path,
                           const char *key,
                           GCancellable *cancellable,
                           GError **error)
{
  g_atomic_int_inc (&TEST_BACKING (backing)->n_single);
  return TRUE;
}

static gboolean
test_backing_register_keys (BsBacking *backing,
                            GFile *path,
                            BsKeySet *set,
                            GCancellable *cancellable,
                            GError **error)
{
  g_atomic_int_inc (&TEST_BACKING (backing)->n_bulk);
  return TRUE;
}

static gboolean
test_backing_sanitize_path (BsBacking *backing,
                            GFile *path,
                            BsKeySet *found,
                            GCancellable *cancellable,
                            GError **error)
{
  for (guint i = 0; i < n_keys; i++)
    if (!bs_key_set_add (found, keys[i], error))
      return FALSE;

  return TRUE;
}

static void
test_backing_iface_init (BsBackingInterface *iface)
{
  iface->write = test_backing_write;
  iface->read = test_backing_read;
  iface->delete_key = test_backing_delete_key;
  iface->register_key = test_backing_register_key;
  iface->register_keys = test_backing_register_keys;
  iface->sanitize_path = test_backing_sanitize_path;
}

G_DEFINE_FINAL_TYPE_WITH_CODE (TestBacking,
                               test_backing,
                               G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (BS_TYPE_BACKING, test_backing_iface_init))

static void
test_backing_finalize (GObject *object)
{
  g_mutex_clear (&TEST_BACKING (object)->mutex);
  g_cond_clear (&TEST_BACKING (object)->cond);
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
  g_mutex_init (&self->mutex);
  g_cond_init (&self->cond);
}

typedef struct
{
  TestBacking *backing;
  BsBackingStore *store;
  BsPool *pool;
  BsTrackedPath *tracked;
  GListModel *all;
  gsize bytes_per_key; /* 0 where that is not known */
  guint n_changed;
} Scale;

static void
items_changed_cb (GListModel *model, guint position, guint removed, guint added, Scale *scale)
{
  scale->n_changed++;
}

static void
scale_set_up (Scale *scale)
{
  g_autoptr (GFile) file = g_file_new_for_uri ("memory:///kept");
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;
  gsize before;

  alarm (WATCHDOG_SECONDS);
  memset (scale, 0, sizeof *scale);
  scale->backing = g_object_new (TEST_TYPE_BACKING, NULL);
  scale->store = bs_backing_store_new (BS_BACKING (scale->backing));
  scale->pool = bs_pool_new (scale->store, 10000);
  scale->tracked = bs_backing_store_track_path (scale->store, file, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (bs_tracked_path_get_n_keys (scale->tracked), ==, n_keys);

  before = mallinfo2 ().uordblks + mallinfo2 ().hblkhd;
  bs_pool_register_all_async (scale->pool, scale->tracked, G_PRIORITY_DEFAULT, NULL, store_result,
                              &result);
  g_assert_null (result);
  scale->all = bs_pool_register_all_finish (scale->pool, wait_result (&result), &error);
  g_assert_no_error (error);
  g_clear_object (&result);
  if (before > 0)
    scale->bytes_per_key = (mallinfo2 ().uordblks + mallinfo2 ().hblkhd - before) / n_keys;

  g_signal_connect (scale->all, "items-changed", G_CALLBACK (items_changed_cb), scale);
}

static void
scale_tear_down (Scale *scale)
{
  g_assert_cmpuint (scale->n_changed, ==, 0);
  if (scale->all != NULL)
    assert_goes (scale->all);
  assert_goes (scale->pool);
  assert_goes (scale->tracked);
  assert_goes (scale->store);
  assert_goes (scale->backing);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  alarm (0);
}

static void
test_million (void)
{
  GObject *window[100] = { NULL };
  g_autoptr (GHashTable) seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  guint most = 0;
  Scale scale;

  scale_set_up (&scale);
  g_assert_cmpuint (g_list_model_get_n_items (scale.all), ==, n_keys);
  g_assert_cmpint (g_atomic_int_get (&scale.backing->n_bulk), >=, 1);
  g_assert_cmpint (g_atomic_int_get (&scale.backing->n_bulk), <=, 1 + n_keys / 100);
  /* The last chunk of a shard may be a single key. */
  g_assert_cmpint (g_atomic_int_get (&scale.backing->n_single), <=, 64);
  g_assert_cmpuint (bs_pool_get_n_items (scale.pool), ==, 0);
  g_test_message ("%" G_GSIZE_FORMAT " bytes a key", scale.bytes_per_key);
  g_assert_cmpuint (scale.bytes_per_key, <=, MAX_BYTES_PER_KEY);

  /* A window of a hundred goes over it, as a view does. */
  for (guint i = 0; i < n_keys; i += n_keys / 20000)
    {
      GObject *item = g_list_model_get_item (scale.all, i);

      g_assert_true (g_hash_table_add (seen, bs_item_dup_key (BS_ITEM (item))));
      g_set_object (&window[i / (n_keys / 20000) % G_N_ELEMENTS (window)], item);
      g_object_unref (item);
      most = MAX (most, bs_pool_get_n_items (scale.pool));
    }
  g_assert_cmpuint (most, <=, G_N_ELEMENTS (window) + 1);
  for (guint i = 0; i < G_N_ELEMENTS (window); i++)
    g_assert_finalize_object (g_steal_pointer (&window[i]));
  g_assert_cmpuint (bs_pool_get_n_items (scale.pool), ==, 0);
  g_assert_cmpuint (bs_pool_get_memory_use (scale.pool), ==, 0);

  scale_tear_down (&scale);
}

/* Every thread of the store stands still, in the very items that are asked for. */
static void
test_never_blocks (void)
{
  GAsyncResult *loads[100] = { NULL };
  GObject *items[100];
  Scale scale;

  scale_set_up (&scale);
  test_backing_stop (scale.backing, TRUE);
  for (guint i = 0; i < G_N_ELEMENTS (items); i++)
    {
      items[i] = g_list_model_get_item (scale.all, i);
      bs_item_load_async (BS_ITEM (items[i]), G_PRIORITY_DEFAULT, NULL, store_result, &loads[i]);
    }
  wait_until (test_backing_get_n_waiting (scale.backing) ==
              bs_backing_store_get_max_threads (scale.store));

  for (guint i = 0; i < 10000; i++)
    {
      g_autoptr (BsItem) item = g_list_model_get_item (scale.all, i % 200);

      if (i % 200 < G_N_ELEMENTS (items))
        g_assert_true ((GObject *) item == items[i % 200]);
      g_assert_null (bs_item_try_load (item));
      g_assert_cmpint (bs_item_get_size (item), ==, -1);
      g_assert_cmpuint (g_list_model_get_n_items (scale.all), ==, n_keys);
    }
  for (guint i = 0; i < G_N_ELEMENTS (items); i++)
    g_assert_null (loads[i]);

  test_backing_stop (scale.backing, FALSE);
  for (guint i = 0; i < G_N_ELEMENTS (items); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GBytes) bytes =
        bs_item_load_finish (BS_ITEM (items[i]), wait_result (&loads[i]), &error);
      g_autofree char *key = bs_item_dup_key (BS_ITEM (items[i]));

      g_assert_no_error (error);
      g_assert_cmpmem (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), key, strlen (key));
      g_clear_object (&loads[i]);
    }
  for (guint i = 0; i < G_N_ELEMENTS (items); i++)
    assert_goes (items[i]);
  scale_tear_down (&scale);
}

int
main (int argc, char *argv[])
{
  int status;

  g_test_init (&argc, &argv, NULL);
  /* Under the tools that make everything slow, a tenth. */
  if (g_getenv ("G_SLICE") != NULL)
    n_keys /= 10;
  make_keys ();

  g_test_add_func ("/item-list/million", test_million);
  g_test_add_func ("/item-list/never-blocks", test_never_blocks);

  status = g_test_run ();
  g_strfreev (keys);
  return status;
}
