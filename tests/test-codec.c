/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "pool-fixture.h"

#include "pool/bs-pool-private.h"

/* An object that a text stands for. */
#define TEST_TYPE_TEXT (test_text_get_type ())
G_DECLARE_FINAL_TYPE (TestText, test_text, TEST, TEXT, GObject)

struct _TestText
{
  GObject parent_instance;
  char *text; /* owned */
};

static int n_texts; /* atomic; alive */

G_DEFINE_FINAL_TYPE (TestText, test_text, G_TYPE_OBJECT)

static void
test_text_finalize (GObject *object)
{
  g_free (TEST_TEXT (object)->text);
  g_atomic_int_add (&n_texts, -1);
  G_OBJECT_CLASS (test_text_parent_class)->finalize (object);
}

static void
test_text_class_init (TestTextClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = test_text_finalize;
}

static void
test_text_init (TestText *self)
{
  g_atomic_int_inc (&n_texts);
}

static GObject *
make_text (const char *text)
{
  TestText *self = g_object_new (TEST_TYPE_TEXT, NULL);

  self->text = g_strdup (text);
  return G_OBJECT (self);
}

static void
assert_text (gpointer object, const char *text)
{
  g_assert_true (TEST_IS_TEXT (object));
  g_assert_cmpstr (TEST_TEXT (object)->text, ==, text);
}

/* The misbehaviour of a codec's function. */
typedef enum
{
  WORK,
  FAIL,
  FAIL_SILENTLY,
  WAIT, /* until it is cancelled */
} Mode;

typedef enum
{
  ENCODE,
  DECODE,
  MEASURE,
  N_FUNCTIONS
} Function;

#define TEST_TYPE_CODEC (test_codec_get_type ())
G_DECLARE_FINAL_TYPE (TestCodec, test_codec, TEST, CODEC, GObject)

/* Its objects take ten times as much memory as their bytes. */
#define SIZE_FACTOR 10

struct _TestCodec
{
  GObject parent_instance;

  int modes[N_FUNCTIONS];  /* atomic Mode */
  int counts[N_FUNCTIONS]; /* atomic; calls begun */
  const char *bad;         /* constant; only this text meets the modes */

  void (*inside) (TestCodec *self, Function function);
  gpointer inside_data;
  GThread *only_thread; /* where set, functions run there and nowhere else */
  guint64 lie;          /* what measure says, if is_lying */
  gboolean is_lying;

  GMutex mutex;
  GCond cond;
  gboolean is_held[N_FUNCTIONS]; /* under the mutex */
};

static void test_codec_iface_init (BsCodecInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (TestCodec,
                               test_codec,
                               G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (BS_TYPE_CODEC, test_codec_iface_init))

static void
hold (TestCodec *self, Function function)
{
  g_mutex_lock (&self->mutex);
  self->is_held[function] = TRUE;
  g_mutex_unlock (&self->mutex);
}

static void
release (TestCodec *self, Function function)
{
  g_mutex_lock (&self->mutex);
  self->is_held[function] = FALSE;
  g_cond_broadcast (&self->cond);
  g_mutex_unlock (&self->mutex);
}

static guint
calls (TestCodec *self, Function function)
{
  return g_atomic_int_get (&self->counts[function]);
}

static gboolean
enter (TestCodec *self, Function function, const char *text, GError **error)
{
  Mode mode = g_atomic_int_get (&self->modes[function]);

  if (self->only_thread != NULL)
    g_assert_true (self->only_thread == g_thread_self ());

  g_mutex_lock (&self->mutex);
  g_atomic_int_inc (&self->counts[function]);
  while (self->is_held[function])
    g_cond_wait (&self->cond, &self->mutex);
  g_mutex_unlock (&self->mutex);

  if (self->inside != NULL)
    self->inside (self, function);

  if (mode == WORK || (self->bad != NULL && text != NULL && strcmp (text, self->bad) != 0))
    return TRUE;
  if (mode == FAIL)
    g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "so the test wants it");
  return FALSE;
}

static void
wait_if_asked (TestCodec *self, Function function, GCancellable *cancellable, GError **error)
{
  if (g_atomic_int_get (&self->modes[function]) == WAIT)
    while (!g_cancellable_set_error_if_cancelled (cancellable, error))
      g_thread_yield ();
}

static GBytes *
test_codec_encode (BsCodec *codec, GObject *object, GCancellable *cancellable, GError **error)
{
  const char *text = TEST_TEXT (object)->text;

  if (!enter (TEST_CODEC (codec), ENCODE, text, error))
    {
      wait_if_asked (TEST_CODEC (codec), ENCODE, cancellable, error);
      return NULL;
    }

  return g_bytes_new (text, strlen (text));
}

static GObject *
test_codec_decode (BsCodec *codec, GBytes *bytes, GCancellable *cancellable, GError **error)
{
  g_autofree char *text = g_strndup (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes));

  if (!enter (TEST_CODEC (codec), DECODE, text, error))
    {
      wait_if_asked (TEST_CODEC (codec), DECODE, cancellable, error);
      return NULL;
    }

  return make_text (text);
}

static guint64
test_codec_measure (BsCodec *codec, GObject *object)
{
  TestCodec *self = TEST_CODEC (codec);

  enter (self, MEASURE, NULL, NULL);
  return self->is_lying ? self->lie : strlen (TEST_TEXT (object)->text) * SIZE_FACTOR;
}

static void
test_codec_iface_init (BsCodecInterface *iface)
{
  iface->encode = test_codec_encode;
  iface->decode = test_codec_decode;
  iface->measure = test_codec_measure;
}

static void
test_codec_finalize (GObject *object)
{
  g_mutex_clear (&TEST_CODEC (object)->mutex);
  g_cond_clear (&TEST_CODEC (object)->cond);
  G_OBJECT_CLASS (test_codec_parent_class)->finalize (object);
}

static void
test_codec_class_init (TestCodecClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = test_codec_finalize;
}

static void
test_codec_init (TestCodec *self)
{
  g_mutex_init (&self->mutex);
  g_cond_init (&self->cond);
}

/* One that has nothing to say. */
#define TEST_TYPE_EMPTY_CODEC (test_empty_codec_get_type ())
G_DECLARE_FINAL_TYPE (TestEmptyCodec, test_empty_codec, TEST, EMPTY_CODEC, GObject)
struct _TestEmptyCodec
{
  GObject parent_instance;
};
static void
test_empty_codec_iface_init (BsCodecInterface *iface)
{
}
G_DEFINE_FINAL_TYPE_WITH_CODE (TestEmptyCodec,
                               test_empty_codec,
                               G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (BS_TYPE_CODEC, test_empty_codec_iface_init))
static void
test_empty_codec_class_init (TestEmptyCodecClass *klass)
{
}
static void
test_empty_codec_init (TestEmptyCodec *self)
{
}

static TestCodec *
set_up_in_context (Fixture *fixture, guint64 max_bytes, GMainContext *context)
{
  TestCodec *codec = g_object_new (TEST_TYPE_CODEC, NULL);

  fixture_set_up_in_context (fixture, max_bytes, context);
  g_assert_finalize_object (fixture->pool);
  fixture->pool = bs_pool_new_with_codec (fixture->store, BS_CODEC (codec), max_bytes);

  return codec;
}

static TestCodec *
set_up (Fixture *fixture, guint64 max_bytes)
{
  return set_up_in_context (fixture, max_bytes, NULL);
}

static void
tear_down (Fixture *fixture, TestCodec *codec)
{
  fixture_tear_down (fixture);
  assert_goes (codec);
  wait_until (g_atomic_int_get (&n_texts) == 0);
}

static BsItem *
insert_text (Fixture *fixture, const char *text)
{
  g_autoptr (GObject) object = make_text (text);

  return bs_pool_insert_object (fixture->pool, object, NULL);
}

static void
trim (Fixture *fixture, guint64 target)
{
  g_autoptr (GError) error = NULL;

  bs_pool_trim (fixture->pool, target, NULL, &error);
  g_assert_no_error (error);
}

/* In the backing and nowhere else. */
static BsItem *
insert_evicted (Fixture *fixture, const char *text)
{
  BsItem *item = insert_text (fixture, text);

  trim (fixture, 0);
  wait_until (bs_pool_get_memory_in_use (fixture->pool) == 0);

  return item;
}

static GObject *
load (BsItem *item)
{
  g_autoptr (GError) error = NULL;
  GObject *object = bs_item_load_object (item, NULL, &error);

  g_assert_no_error (error);
  return object;
}

static void
assert_loads (BsItem *item, const char *text)
{
  g_autoptr (GObject) object = load (item);

  assert_text (object, text);
}

static void
test_wrappers (void)
{
  TestCodec *codec = g_object_new (TEST_TYPE_CODEC, NULL);
  BsCodec *empty = g_object_new (TEST_TYPE_EMPTY_CODEC, NULL);
  GObject *object = make_text ("hello");
  g_autoptr (GBytes) bytes = bs_codec_encode (BS_CODEC (codec), object, NULL, NULL);
  GObject *other = bs_codec_decode (BS_CODEC (codec), bytes, NULL, NULL);
  g_autoptr (GError) error = NULL;
  Mode modes[] = { FAIL, FAIL_SILENTLY };

  assert_text (other, "hello");
  g_assert_cmpuint (bs_codec_measure (BS_CODEC (codec), object), ==, 50);

  for (guint i = 0; i < G_N_ELEMENTS (modes); i++)
    {
      GQuark domain = modes[i] == FAIL ? G_IO_ERROR : BS_ERROR;
      int code = modes[i] == FAIL ? (int) G_IO_ERROR_INVALID_DATA : (int) BS_ERROR_FAILED;

      codec->modes[ENCODE] = codec->modes[DECODE] = modes[i];
      g_assert_null (bs_codec_encode (BS_CODEC (codec), object, NULL, &error));
      g_assert_error (error, domain, code);
      g_assert_nonnull (strstr (error->message, "encode"));
      g_clear_error (&error);
      g_assert_null (bs_codec_decode (BS_CODEC (codec), bytes, NULL, &error));
      g_assert_error (error, domain, code);
      g_assert_nonnull (strstr (error->message, "decode"));
      g_clear_error (&error);
    }

  g_assert_null (bs_codec_encode (empty, object, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_NOT_SUPPORTED);
  g_clear_error (&error);
  g_assert_null (bs_codec_decode (empty, bytes, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_NOT_SUPPORTED);
  g_assert_cmpuint (bs_codec_measure (empty, object), ==, 0);

  g_assert_finalize_object (object);
  g_assert_finalize_object (other);
  g_assert_finalize_object (codec);
  g_assert_finalize_object (empty);
}

static void
test_round_trip (void)
{
  g_autoptr (BsPoolStats) stats = NULL;
  g_autoptr (BsCodec) got = NULL;
  TestCodec *codec;
  Fixture fixture;
  BsItem *item;

  codec = set_up (&fixture, 1000);
  g_object_get (fixture.pool, "codec", &got, NULL);
  g_assert_true (got == BS_CODEC (codec));
  g_assert_true (bs_pool_get_codec (fixture.pool) == BS_CODEC (codec));
  g_clear_object (&got);

  item = insert_text (&fixture, "hello");
  g_assert_cmpint (bs_item_get_size (item), ==, 50);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 50);
  g_assert_cmpuint (calls (codec, MEASURE), ==, 1);
  g_assert_cmpuint (calls (codec, ENCODE), ==, 0);
  assert_loads (item, "hello");
  g_assert_null (bs_item_try_load (item));

  trim (&fixture, 0);
  wait_until (g_atomic_int_get (&n_texts) == 0);
  /* Its figure follows the object. */
  wait_until (bs_pool_get_memory_in_use (fixture.pool) == 0);
  g_assert_cmpuint (calls (codec, ENCODE), ==, 1);
  g_assert_cmpint (bs_item_get_size (item), ==, 50);

  assert_loads (item, "hello");
  assert_loads (item, "hello");
  g_assert_cmpuint (calls (codec, DECODE), ==, 1);
  g_assert_cmpuint (calls (codec, MEASURE), ==, 2);
  g_assert_cmpuint (count (&fixture, BS_OPERATION_READ), ==, 1);

  /* The item is clean now. */
  trim (&fixture, 0);
  assert_loads (item, "hello");
  g_assert_cmpuint (calls (codec, ENCODE), ==, 1);
  g_assert_cmpuint (count (&fixture, BS_OPERATION_WRITE), ==, 1);

  stats = bs_pool_get_stats (fixture.pool);
  g_assert_cmpuint (stats->bytes_out, ==, 5);
  g_assert_cmpuint (stats->bytes_in, ==, 10);
  g_assert_cmpuint (stats->hits, ==, 2);
  g_assert_cmpuint (stats->misses, ==, 2);

  g_assert_finalize_object (item);
  tear_down (&fixture, codec);
}

/* Contents in memory and no others, without the codec and without waiting. */
static void
test_try_load (void)
{
  g_autoptr (GBytes) bytes = g_bytes_new_static ("bytes", 5);
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;
  GObject *object = make_text ("hello");
  BsPoolStats *stats;
  TestCodec *codec;
  Fixture fixture;
  GObject *found;
  BsItem *item;

  codec = set_up (&fixture, 1000);
  item = bs_pool_insert_object (fixture.pool, object, NULL);
  found = bs_item_try_load_object (item);
  g_assert_true (found == object);
  g_object_unref (found);

  /* On its way out it is there still, however long the disk takes. */
  bs_fault_backing_hold (fixture.fault, BS_OPERATION_WRITE);
  bs_pool_trim_async (fixture.pool, 0, G_PRIORITY_DEFAULT, NULL, store_result, &result);
  wait_until (count (&fixture, BS_OPERATION_WRITE) == 1);
  found = bs_item_try_load_object (item);
  g_assert_true (found == object);
  g_object_unref (found);
  bs_fault_backing_release (fixture.fault, BS_OPERATION_WRITE);
  bs_pool_trim_finish (fixture.pool, wait_result (&result), &error);
  g_assert_no_error (error);

  /* Let go of by the pool, alive in the application: it comes back. */
  trim (&fixture, 0);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 0);
  found = bs_item_try_load_object (item);
  g_assert_true (found == object);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 50);
  g_object_unref (found);

  /* Gone. */
  trim (&fixture, 0);
  assert_goes (object);
  wait_until (bs_pool_get_memory_in_use (fixture.pool) == 0);
  g_assert_null (bs_item_try_load_object (item));
  g_assert_cmpuint (count (&fixture, BS_OPERATION_READ), ==, 0);
  g_assert_cmpuint (calls (codec, DECODE), ==, 0);
  stats = bs_pool_get_stats (fixture.pool);
  g_assert_cmpuint (stats->hits, ==, 3);
  g_assert_cmpuint (stats->misses, ==, 0);
  bs_pool_stats_free (stats);

  /* Bytes in memory are no object. */
  bs_item_replace (item, bytes);
  g_assert_null (bs_item_try_load_object (item));
  assert_loads (item, "bytes");
  found = bs_item_try_load_object (item);
  assert_text (found, "bytes");
  g_object_unref (found);

  g_clear_object (&result);
  g_assert_finalize_object (item);
  tear_down (&fixture, codec);
}

/* Its object is alive somewhere: nothing is read, and nothing decoded. */
static void
test_alive (void)
{
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;
  GObject *object = make_text ("hello");
  TestCodec *codec;
  Fixture fixture;
  BsItem *item;

  codec = set_up (&fixture, 1000);
  item = bs_pool_insert_object (fixture.pool, object, NULL);
  for (guint i = 0; i < 3; i++)
    {
      g_autoptr (GObject) again = NULL;

      trim (&fixture, 0);
      g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 0);
      g_assert_cmpuint (bs_pool_get_memory_in_use (fixture.pool), ==, 50);
      again = load (item);
      g_assert_true (again == object);
      g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 50);
      g_assert_cmpuint (bs_pool_get_memory_in_use (fixture.pool), ==, 0);
    }

  trim (&fixture, 0);
  bs_item_load_object_async (item, G_PRIORITY_DEFAULT, NULL, store_result, &result);
  g_assert_null (result);
  g_object_unref (object);
  object = bs_item_load_object_finish (item, wait_result (&result), &error);
  g_assert_no_error (error);
  assert_text (object, "hello");
  g_assert_cmpuint (count (&fixture, BS_OPERATION_READ), ==, 0);
  g_assert_cmpuint (calls (codec, DECODE), ==, 0);
  g_clear_object (&result);

  trim (&fixture, 0);
  g_assert_cmpuint (bs_pool_get_memory_in_use (fixture.pool), ==, 50);
  assert_goes (object);
  wait_until (bs_pool_get_memory_in_use (fixture.pool) == 0);
  assert_loads (item, "hello");
  g_assert_cmpuint (calls (codec, DECODE), ==, 1);

  g_assert_finalize_object (item);
  tear_down (&fixture, codec);
}

/* The application still holds an object when item and pool are gone. */
static void
test_outlives_pool (void)
{
  GObject *object = make_text ("hello");
  TestCodec *codec;
  Fixture fixture;
  BsItem *item;

  codec = set_up (&fixture, 1000);
  item = bs_pool_insert_object (fixture.pool, object, NULL);
  trim (&fixture, 0);
  assert_goes (item);
  g_assert_cmpuint (bs_pool_get_memory_in_use (fixture.pool), ==, 0);
  fixture_wait_finished (&fixture);
  fixture_tear_down (&fixture);
  assert_goes (codec);
  assert_goes (object);
}

/* Somebody disposes of an object that the pool has. */
static void
test_run_dispose (void)
{
  GObject *object = make_text ("hello");
  g_autoptr (GObject) other = NULL;
  TestCodec *codec;
  Fixture fixture;
  BsItem *item;

  codec = set_up (&fixture, 1000);
  item = bs_pool_insert_object (fixture.pool, object, NULL);
  g_object_run_dispose (object);
  other = load (item);
  g_assert_true (other == object);
  g_clear_object (&other);

  /* The pool follows the object no longer. */
  trim (&fixture, 0);
  wait_until (bs_pool_get_memory_in_use (fixture.pool) == 0);
  other = load (item);
  g_assert_true (other != object);
  assert_text (other, "hello");
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 50);

  g_object_unref (object);
  g_clear_object (&other);
  g_assert_finalize_object (item);
  tear_down (&fixture, codec);
}

/* How many things there are that hold the cache. */
static gint
count_holders (Fixture *fixture)
{
  return g_atomic_int_get (&bs_pool_get_cache (fixture->pool)->ref_count);
}

/* An object that lives on keeps nothing of the items that had it. */
static void
test_same_object (void)
{
  g_autoptr (GObject) object = make_text ("hello");
  BsItem *item = NULL;
  TestCodec *codec;
  Fixture fixture;
  gint n_holders;

  codec = set_up (&fixture, 1000);
  fixture_wait_finished (&fixture);
  n_holders = count_holders (&fixture);
  for (guint i = 0; i < 10; i++)
    {
      item = bs_pool_insert_object (fixture.pool, object, NULL);
      g_assert_finalize_object (item);
    }
  g_assert_cmpint (count_holders (&fixture), ==, n_holders);

  item = insert_text (&fixture, "another");
  for (guint i = 0; i < 10; i++)
    bs_item_replace_object (item, object, NULL);
  g_assert_cmpint (count_holders (&fixture), ==, n_holders + 1);

  /* Evicted, but alive. */
  trim (&fixture, 0);
  wait_until (bs_pool_get_memory_in_use (fixture.pool) == 50);
  fixture_wait_finished (&fixture);
  g_assert_finalize_object (item);
  g_assert_cmpuint (bs_pool_get_memory_in_use (fixture.pool), ==, 0);
  wait_until (count_holders (&fixture) == n_holders);

  g_clear_object (&object);
  tear_down (&fixture, codec);
}

/* GLib allows no more than 65535 weak references to an object. */
static void
test_same_object_often (void)
{
  const guint n_items = 70000;
  g_autoptr (GPtrArray) items = g_ptr_array_new_with_free_func (g_object_unref);
  GObject *object = make_text ("hello");
  TestCodec *codec;
  Fixture fixture;

  codec = set_up (&fixture, G_MAXUINT64);
  for (guint i = 0; i < n_items; i++)
    g_ptr_array_add (items, bs_pool_insert_object (fixture.pool, object, NULL));
  trim (&fixture, 0);
  for (guint i = 0; i < n_items; i++)
    {
      g_autoptr (GObject) loaded = load (items->pdata[i]);

      g_assert_true (loaded == object);
    }
  g_assert_cmpuint (calls (codec, DECODE), ==, 0);

  g_object_unref (object);
  g_ptr_array_set_size (items, 0);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 0);
  fixture_wait_finished (&fixture);
  tear_down (&fixture, codec);
}

static void
test_merged (void)
{
  GAsyncResult *results[10] = { NULL };
  g_autoptr (GObject) first = NULL;
  BsItem *item, *copy;
  TestCodec *codec;
  Fixture fixture;

  codec = set_up (&fixture, 1000);
  item = insert_evicted (&fixture, "hello");
  copy = bs_item_copy (item);
  bs_fault_backing_hold (fixture.fault, BS_OPERATION_READ);
  for (guint i = 0; i < G_N_ELEMENTS (results); i++)
    bs_item_load_object_async (i % 2 ? item : copy, G_PRIORITY_DEFAULT, NULL, store_result,
                               &results[i]);
  wait_until (count (&fixture, BS_OPERATION_READ) == 1);
  bs_fault_backing_release (fixture.fault, BS_OPERATION_READ);

  for (guint i = 0; i < G_N_ELEMENTS (results); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GObject) object =
        bs_item_load_object_finish (i % 2 ? item : copy, wait_result (&results[i]), &error);

      g_assert_no_error (error);
      assert_text (object, "hello");
      if (first == NULL)
        first = g_object_ref (object);
      g_assert_true (first == object);
      g_clear_object (&results[i]);
    }
  g_assert_cmpuint (calls (codec, DECODE), ==, 1);
  g_assert_cmpuint (count (&fixture, BS_OPERATION_READ), ==, 1);

  g_clear_object (&first);
  g_assert_finalize_object (item);
  g_assert_finalize_object (copy);
  tear_down (&fixture, codec);
}

static gpointer
load_thread (gpointer item)
{
  return load (item);
}

/* The strand is free while the first one decodes. */
static void
test_first_decode_wins (void)
{
  GThread *threads[4];
  GObject *objects[G_N_ELEMENTS (threads)];
  TestCodec *codec;
  Fixture fixture;
  BsItem *item;

  codec = set_up (&fixture, 1000);
  item = insert_evicted (&fixture, "hello");
  hold (codec, DECODE);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    {
      threads[i] = g_thread_new ("load", load_thread, item);
      wait_until (calls (codec, DECODE) == i + 1);
    }
  release (codec, DECODE);

  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    objects[i] = g_thread_join (threads[i]);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    {
      g_assert_true (objects[i] == objects[0]);
      g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 50);
    }
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_object_unref (objects[i]);

  g_assert_finalize_object (item);
  tear_down (&fixture, codec);
}

static void
background_error_cb (BsBackingStore *store,
                     const char *key,
                     BsOperation operation,
                     const GError *error,
                     gpointer user_data)
{
  guint *n_errors = user_data;

  g_assert_cmpint (operation, ==, BS_OPERATION_WRITE);
  g_assert_nonnull (strstr (error->message, key));
  g_assert_nonnull (strstr (error->message, "encode"));
  (*n_errors)++;
}

/* One that cannot be encoded is in nobody's way but its own. */
static void
test_encode_fails (gconstpointer data)
{
  Mode mode = GPOINTER_TO_INT (data);
  g_autoptr (GError) error = NULL;
  BsItem *bad, *good[20];
  guint n_errors = 0;
  TestCodec *codec;
  Fixture fixture;

  codec = set_up (&fixture, 1000);
  codec->bad = "bad";
  codec->modes[ENCODE] = mode;
  g_signal_connect (fixture.store, "background-error", G_CALLBACK (background_error_cb), &n_errors);
  bad = insert_text (&fixture, "bad");
  for (guint i = 0; i < G_N_ELEMENTS (good); i++)
    good[i] = insert_text (&fixture, "good");

  trim (&fixture, 30);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 30);
  g_assert_cmpuint (bs_pool_get_n_resident (fixture.pool), ==, 1);
  g_assert_cmpuint (count (&fixture, BS_OPERATION_WRITE), ==, G_N_ELEMENTS (good));

  g_assert_false (bs_pool_trim (fixture.pool, 0, NULL, &error));
  if (mode == FAIL)
    g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
  else
    g_assert_error (error, BS_ERROR, BS_ERROR_FAILED);
  g_clear_error (&error);
  g_assert_false (bs_item_write (bad, NULL, &error));
  g_assert_nonnull (error);
  if (mode == FAIL_SILENTLY)
    g_assert_nonnull (strstr (error->message, "bs_backing_store_new_in_context()"));
  g_clear_error (&error);
  assert_loads (bad, "bad");
  for (guint i = 0; i < G_N_ELEMENTS (good); i++)
    assert_loads (good[i], "good");
  wait_until (n_errors == 1);

  g_atomic_int_set (&codec->modes[ENCODE], WORK);
  trim (&fixture, 0);
  assert_loads (bad, "bad");
  g_assert_cmpuint (n_errors, ==, 1);

  for (guint i = 0; i < G_N_ELEMENTS (good); i++)
    g_assert_finalize_object (good[i]);
  g_assert_finalize_object (bad);
  tear_down (&fixture, codec);
}

static void
test_decode_fails (gconstpointer data)
{
  Mode mode = GPOINTER_TO_INT (data);
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *key = NULL;
  TestCodec *codec;
  Fixture fixture;
  BsItem *item;

  codec = set_up (&fixture, 1000);
  item = insert_evicted (&fixture, "hello");
  key = bs_item_dup_key (item);
  codec->modes[DECODE] = mode;
  for (guint i = 0; i < 2; i++)
    {
      if (i == 0)
        {
          g_assert_null (bs_item_load_object (item, NULL, &error));
        }
      else
        {
          bs_item_load_object_async (item, G_PRIORITY_DEFAULT, NULL, store_result, &result);
          g_assert_null (bs_item_load_object_finish (item, wait_result (&result), &error));
        }
      if (mode == FAIL)
        g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
      else
        g_assert_error (error, BS_ERROR, BS_ERROR_FAILED);
      g_assert_nonnull (strstr (error->message, key));
      g_clear_error (&error);
      g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 0);
    }

  g_atomic_int_set (&codec->modes[DECODE], WORK);
  assert_loads (item, "hello");

  g_clear_object (&result);
  g_assert_finalize_object (item);
  tear_down (&fixture, codec);
}

static void
test_lies (void)
{
  const guint64 lies[] = { 0, 1, 1000, G_MAXUINT64, G_MAXINT64, 7, G_MAXUINT64, 0 };
  BsItem *items[2 * G_N_ELEMENTS (lies)];
  TestCodec *codec;
  Fixture fixture;

  codec = set_up (&fixture, 1000);
  codec->is_lying = TRUE;
  for (guint i = 0; i < G_N_ELEMENTS (items); i++)
    {
      codec->lie = lies[i % G_N_ELEMENTS (lies)];
      items[i] = insert_text (&fixture, "hello");
      g_assert_cmpint (bs_item_get_size (items[i]), >=, 0);
    }
  trim (&fixture, 1000);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), <=, 1000);

  /* Not even the same lie twice. */
  for (guint n = 0; n < 5; n++)
    {
      for (guint i = 0; i < G_N_ELEMENTS (items); i++)
        {
          codec->lie = lies[(i + n) % G_N_ELEMENTS (lies)];
          assert_loads (items[i], "hello");
        }
      trim (&fixture, n % 2 ? 0 : 500);
    }
  trim (&fixture, 0);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 0);
  wait_until (bs_pool_get_memory_in_use (fixture.pool) == 0);

  for (guint i = 0; i < G_N_ELEMENTS (items); i++)
    g_assert_finalize_object (items[i]);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 0);
  tear_down (&fixture, codec);
}

/* A codec that calls back. */
typedef struct
{
  Fixture *fixture;
  BsItem *present;
  BsItem *absent;
  int n_refused; /* atomic */
} Inside;

static void
call_back (TestCodec *codec, Function function)
{
  Inside *inside = codec->inside_data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) content = make_bytes (10, 'x');
  g_autoptr (BsItem) item = bs_pool_insert (inside->fixture->pool, content);
  g_autoptr (BsItem) copy = bs_item_copy (inside->present);
  g_autoptr (GBytes) bytes = bs_item_load (inside->present, NULL, NULL);
  g_autoptr (GBytes) none = NULL;

  assert_filled (bytes, 4, 'p');
  bs_item_replace (item, content);
  g_assert_cmpuint (bs_pool_get_memory_use (inside->fixture->pool), >=, 10);

  none = bs_item_load (inside->absent, NULL, &error);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
  g_clear_error (&error);
  g_assert_null (bs_item_load_object (inside->absent, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
  g_clear_error (&error);
  g_assert_false (bs_item_write (item, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
  g_clear_error (&error);
  g_assert_false (bs_backing_store_wait_finished (inside->fixture->store, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
  g_clear_error (&error);
  if (!bs_pool_trim (inside->fixture->pool, 0, NULL, &error))
    g_assert_error (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
  g_atomic_int_inc (&inside->n_refused);
}

static void
test_calls_back (gconstpointer data)
{
  gboolean in_context = GPOINTER_TO_INT (data);
  g_autoptr (GBytes) held = make_bytes (4, 'p');
  g_autoptr (GBytes) bytes = make_bytes (10, 'a');
  g_autoptr (GBytes) still_held = NULL;
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;
  Inside inside = { NULL };
  TestCodec *codec;
  GObject *object;
  Fixture fixture;
  BsItem *item;

  codec = set_up_in_context (&fixture, 100000, in_context ? g_main_context_default () : NULL);
  bs_backing_store_set_max_threads (fixture.store, 1);
  inside.fixture = &fixture;
  inside.absent = bs_pool_insert (fixture.pool, bytes);
  trim (&fixture, 0);
  inside.present = bs_pool_insert (fixture.pool, held);
  still_held = bs_item_try_load (inside.present);
  codec->inside_data = &inside;
  codec->inside = call_back;

  item = insert_text (&fixture, "hello");
  g_assert_cmpint (g_atomic_int_get (&inside.n_refused), ==, 1);
  bs_item_write_async (item, G_PRIORITY_DEFAULT, NULL, store_result, &result);
  bs_item_write_finish (item, wait_result (&result), &error);
  g_assert_no_error (error);
  g_clear_object (&result);
  g_assert_cmpint (g_atomic_int_get (&inside.n_refused), ==, 2);
  wait_until (bs_pool_get_memory_use (fixture.pool) == 0 || (trim (&fixture, 0), TRUE));
  wait_until (g_atomic_int_get (&n_texts) == 0);
  assert_loads (item, "hello");
  g_assert_cmpint (g_atomic_int_get (&inside.n_refused), ==, 4);
  trim (&fixture, 0);
  wait_until (g_atomic_int_get (&n_texts) == 0);
  bs_item_load_object_async (item, G_PRIORITY_DEFAULT, NULL, store_result, &result);
  object = bs_item_load_object_finish (item, wait_result (&result), &error);
  g_assert_no_error (error);
  assert_text (object, "hello");
  g_assert_cmpint (g_atomic_int_get (&inside.n_refused), ==, 6);
  codec->inside = NULL;

  g_object_unref (object);
  g_clear_pointer (&still_held, g_bytes_unref);
  fixture_wait_finished (&fixture);
  g_clear_object (&result);
  assert_goes (item);
  assert_goes (inside.present);
  assert_goes (inside.absent);
  tear_down (&fixture, codec);
}

static gpointer
write_thread (gpointer item)
{
  return GINT_TO_POINTER (bs_item_write (item, NULL, NULL));
}

/* Replaced or dropped while it is encoded. */
static void
test_change_while_encoding (void)
{
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GObject) other = make_text ("other");
  g_autoptr (GError) error = NULL;
  BsItem *item, *dropped;
  TestCodec *codec;
  GThread *thread;
  Fixture fixture;

  codec = set_up (&fixture, 1000);
  item = insert_text (&fixture, "hello");
  hold (codec, ENCODE);
  thread = g_thread_new ("write", write_thread, item);
  wait_until (calls (codec, ENCODE) == 1);
  assert_loads (item, "hello");
  bs_item_replace_object (item, other, NULL);
  g_assert_cmpint (bs_item_get_size (item), ==, 50);
  assert_loads (item, "other");
  release (codec, ENCODE);
  g_assert_true (GPOINTER_TO_INT (g_thread_join (thread)));

  /* In the background, and dropped. */
  dropped = insert_text (&fixture, "dropped");
  bs_item_write (item, NULL, &error);
  g_assert_no_error (error);
  hold (codec, ENCODE);
  bs_pool_trim_async (fixture.pool, 0, G_PRIORITY_DEFAULT, NULL, store_result, &result);
  wait_until (calls (codec, ENCODE) == 3);
  assert_loads (dropped, "dropped");
  g_object_unref (dropped);
  release (codec, ENCODE);
  g_assert_true (bs_pool_trim_finish (fixture.pool, wait_result (&result), &error));
  g_assert_no_error (error);
  fixture_wait_finished (&fixture);
  g_assert_cmpuint (count (&fixture, BS_OPERATION_DELETE_KEY), ==, 2);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 0);
  assert_loads (item, "other");

  g_clear_object (&other);
  g_clear_object (&result);
  g_assert_finalize_object (item);
  tear_down (&fixture, codec);
}

/* Replaced or dropped while it is decoded. */
static void
test_change_while_decoding (void)
{
  GAsyncResult *results[2] = { NULL };
  g_autoptr (GObject) other = make_text ("other");
  BsItem *item, *dropped;
  TestCodec *codec;
  Fixture fixture;

  codec = set_up (&fixture, 1000);
  item = insert_evicted (&fixture, "hello");
  dropped = insert_evicted (&fixture, "dropped");
  hold (codec, DECODE);
  bs_item_load_object_async (item, G_PRIORITY_DEFAULT, NULL, store_result, &results[0]);
  bs_item_load_object_async (dropped, G_PRIORITY_DEFAULT, NULL, store_result, &results[1]);
  wait_until (calls (codec, DECODE) == 2);
  bs_item_replace_object (item, other, NULL);
  g_object_unref (dropped);
  assert_loads (item, "other");
  release (codec, DECODE);

  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GObject) object = NULL;
      g_autoptr (BsItem) source =
        BS_ITEM (g_async_result_get_source_object (wait_result (&results[i])));

      object = bs_item_load_object_finish (source, results[i], &error);
      g_assert_no_error (error);
      assert_text (object, i == 0 ? "hello" : "dropped");
      g_clear_object (&results[i]);
    }
  assert_loads (item, "other");
  fixture_wait_finished (&fixture);

  g_clear_object (&other);
  wait_until (bs_pool_get_n_items (fixture.pool) == 1);
  g_assert_finalize_object (item);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 0);
  tear_down (&fixture, codec);
}

typedef struct
{
  Fixture *fixture;
  BsItem *item;
  int done; /* atomic */
} Elsewhere;

static gpointer
elsewhere_thread (gpointer data)
{
  Elsewhere *self = data;
  g_autoptr (GObject) object = make_text ("elsewhere");
  g_autoptr (GObject) other = make_text ("ooooo");
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GError) error = NULL;

  self->item = bs_pool_insert_object (self->fixture->pool, object, NULL);
  bs_item_replace_object (self->item, other, NULL);
  bytes = bs_item_load (self->item, NULL, &error);
  g_assert_no_error (error);
  assert_filled (bytes, 5, 'o');

  g_atomic_int_set (&self->done, 1);
  return NULL;
}

static gpointer
load_elsewhere_thread (gpointer data)
{
  Elsewhere *self = data;
  GObject *object = load (self->item);

  g_atomic_int_set (&self->done, 1);
  return object;
}

/* The codec's functions run in the store's context and nowhere else. */
static void
test_main_context (void)
{
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;
  Elsewhere elsewhere = { NULL };
  TestCodec *codec;
  GThread *thread;
  GObject *object;
  Fixture fixture;
  BsItem *item;

  codec = set_up_in_context (&fixture, 100, g_main_context_default ());
  codec->only_thread = g_thread_self ();
  item = insert_evicted (&fixture, "hello");
  assert_loads (item, "hello");
  trim (&fixture, 0);
  bs_item_load_object_async (item, G_PRIORITY_DEFAULT, NULL, store_result, &result);
  object = bs_item_load_object_finish (item, wait_result (&result), &error);
  g_assert_no_error (error);
  g_object_unref (object);
  g_clear_object (&result);

  elsewhere.fixture = &fixture;
  thread = g_thread_new ("elsewhere", elsewhere_thread, &elsewhere);
  wait_until (g_atomic_int_get (&elsewhere.done));
  g_thread_join (thread);
  wait_until (bs_item_get_size (elsewhere.item) == 50);
  g_assert_cmpuint (calls (codec, MEASURE), ==, 5);
  trim (&fixture, 0);
  wait_until (bs_pool_get_memory_in_use (fixture.pool) == 0);

  elsewhere.done = FALSE;
  thread = g_thread_new ("load", load_elsewhere_thread, &elsewhere);
  wait_until (g_atomic_int_get (&elsewhere.done));
  object = g_thread_join (thread);
  assert_text (object, "ooooo");
  g_object_unref (object);

  assert_goes (elsewhere.item);
  assert_goes (item);
  tear_down (&fixture, codec);
}

/* An object takes part in the budget once it is measured, or else encoded. */
static void
test_measured_later (gconstpointer data)
{
  const gboolean is_lying = GPOINTER_TO_INT (data);
  const gint64 size = is_lying ? 5 : 50;
  GMainContext *context = g_main_context_new ();
  TestCodec *codec;
  Fixture fixture;
  BsItem *item;

  /* Made here, but another thread owns it. */
  g_main_context_acquire (context);
  codec = set_up_in_context (&fixture, 1000, context);
  codec->is_lying = is_lying;
  {
    Elsewhere elsewhere = { .fixture = &fixture };
    GThread *thread = g_thread_new ("elsewhere", elsewhere_thread, &elsewhere);

    while (!g_atomic_int_get (&elsewhere.done))
      g_main_context_iteration (context, FALSE);
    g_thread_join (thread);
    while (bs_item_get_size (elsewhere.item) != size)
      g_main_context_iteration (context, FALSE);
    item = elsewhere.item;
  }
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, size);
  while (g_main_context_iteration (context, FALSE))
    ;
  assert_goes (item);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 0);
  fixture_wait_finished (&fixture);
  while (g_main_context_iteration (context, FALSE))
    ;
  tear_down (&fixture, codec);
  g_main_context_release (context);
  g_main_context_unref (context);
}

static GBytes *
load_bytes (BsItem *item, gboolean in_loop)
{
  GAsyncResult *result = NULL;
  g_autoptr (GError) error = NULL;
  GBytes *bytes;

  if (in_loop)
    {
      bs_item_load_async (item, G_PRIORITY_DEFAULT, NULL, store_result, &result);
      bytes = bs_item_load_finish (item, wait_result (&result), &error);
      g_object_unref (result);
    }
  else
    {
      bytes = bs_item_load (item, NULL, &error);
    }
  g_assert_no_error (error);

  return bytes;
}

static GObject *
load_in (BsItem *item, gboolean in_loop)
{
  GAsyncResult *result = NULL;
  g_autoptr (GError) error = NULL;
  GObject *object;

  if (!in_loop)
    return load (item);

  bs_item_load_object_async (item, G_PRIORITY_DEFAULT, NULL, store_result, &result);
  object = bs_item_load_object_finish (item, wait_result (&result), &error);
  g_assert_no_error (error);
  g_object_unref (result);

  return object;
}

/* The bytes of an object, and the object of bytes. */
static void
test_other_kind (gconstpointer data)
{
  gboolean in_loop = GPOINTER_TO_INT (data);
  g_autoptr (GBytes) content = make_bytes (5, 'b');
  BsItem *item, *bytes_item;
  TestCodec *codec;
  Fixture fixture;

  codec = set_up (&fixture, 1000);
  item = insert_text (&fixture, "aaaaa");
  for (guint i = 0; i < 3; i++)
    {
      g_autoptr (GBytes) bytes = load_bytes (item, in_loop);

      /* Encoded, but the object stays what is held. */
      assert_filled (bytes, 5, 'a');
      g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 50);
      g_assert_cmpuint (calls (codec, ENCODE), ==, 1);
      g_assert_cmpuint (calls (codec, DECODE), ==, 0);
    }

  bytes_item = bs_pool_insert (fixture.pool, content);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 55);
  for (guint i = 0; i < 3; i++)
    {
      g_autoptr (GObject) object = load_in (bytes_item, in_loop);

      assert_text (object, "bbbbb");
      g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 100);
      g_assert_cmpint (bs_item_get_size (bytes_item), ==, 50);
      g_assert_cmpuint (calls (codec, DECODE), ==, 1);
    }

  /* Back and forth. */
  for (guint i = 0; i < 3; i++)
    {
      GBytes *bytes;

      trim (&fixture, 0);
      wait_until (bs_pool_get_memory_in_use (fixture.pool) == 0);
      bytes = load_bytes (bytes_item, in_loop);
      assert_filled (bytes, 5, 'b');
      g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 5);
      if (i == 1)
        g_clear_pointer (&bytes, g_bytes_unref);
      if (i == 2)
        trim (&fixture, 0);
      g_object_unref (load_in (bytes_item, in_loop));
      g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 50);
      g_clear_pointer (&bytes, g_bytes_unref);
    }
  g_assert_cmpuint (bs_pool_get_memory_in_use (fixture.pool), ==, 0);

  g_assert_finalize_object (item);
  g_assert_finalize_object (bytes_item);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 0);
  tear_down (&fixture, codec);
}

/* The object has to be written first, and that fails. */
static void
test_other_kind_fails (void)
{
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;
  TestCodec *codec;
  Fixture fixture;
  BsItem *item;

  codec = set_up (&fixture, 1000);
  codec->modes[ENCODE] = FAIL;
  item = insert_text (&fixture, "hello");
  g_assert_null (bs_item_load (item, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
  g_clear_error (&error);
  bs_item_load_async (item, G_PRIORITY_DEFAULT, NULL, store_result, &result);
  g_assert_null (bs_item_load_finish (item, wait_result (&result), &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
  assert_loads (item, "hello");

  g_clear_object (&result);
  assert_goes (item);
  tear_down (&fixture, codec);
}

static gpointer
load_and_keep_error (gpointer item)
{
  GError *error = NULL;

  g_assert_null (bs_item_load_object (item, NULL, &error));
  return error;
}

/* A content is written and then read, as one operation: a close finishes the write, and
 * not the load. */
static void
test_other_kind_while_closing (gconstpointer data)
{
  gboolean in_loop = GPOINTER_TO_INT (data);
  GAsyncResult *loaded = NULL, *closed = NULL;
  g_autoptr (GBytes) content = make_bytes (5, 'b');
  g_autoptr (GError) error = NULL;
  g_autoptr (GError) load_error = NULL;
  GThread *thread = NULL;
  TestCodec *codec;
  Fixture fixture;
  BsItem *item;

  codec = set_up (&fixture, 1000);
  item = bs_pool_insert (fixture.pool, content);
  bs_fault_backing_hold (fixture.fault, BS_OPERATION_WRITE);
  if (in_loop)
    bs_item_load_object_async (item, G_PRIORITY_DEFAULT, NULL, store_result, &loaded);
  else
    thread = g_thread_new ("load", load_and_keep_error, item);
  wait_until (bs_fault_backing_get_count (fixture.fault, BS_OPERATION_WRITE) == 1);
  bs_backing_store_close_async (fixture.store, G_PRIORITY_DEFAULT, NULL, store_result, &closed);
  bs_fault_backing_release (fixture.fault, BS_OPERATION_WRITE);

  if (in_loop)
    g_assert_null (bs_item_load_object_finish (item, wait_result (&loaded), &load_error));
  else
    load_error = g_thread_join (thread);
  g_assert_error (load_error, BS_ERROR, BS_ERROR_CLOSED);
  g_assert_cmpuint (bs_fault_backing_get_count (fixture.fault, BS_OPERATION_READ), ==, 0);
  g_assert_true (bs_backing_store_close_finish (fixture.store, wait_result (&closed), &error));
  g_assert_no_error (error);

  g_clear_object (&loaded);
  g_clear_object (&closed);
  assert_goes (item);
  tear_down (&fixture, codec);
}

/* Waiting for all operations covers the reading too, without a main loop that
 * runs. */
static void
test_other_kind_is_waited_for (void)
{
  GAsyncResult *loaded = NULL;
  g_autoptr (GBytes) content = make_bytes (5, 'b');
  g_autoptr (GError) error = NULL;
  g_autoptr (GObject) object = NULL;
  TestCodec *codec;
  Fixture fixture;
  BsItem *item;

  codec = set_up (&fixture, 1000);
  item = bs_pool_insert (fixture.pool, content);
  bs_item_load_object_async (item, G_PRIORITY_DEFAULT, NULL, store_result, &loaded);
  fixture_wait_finished (&fixture);
  g_assert_cmpuint (bs_fault_backing_get_count (fixture.fault, BS_OPERATION_READ), ==, 1);
  g_assert_null (loaded);

  object = bs_item_load_object_finish (item, wait_result (&loaded), &error);
  g_assert_no_error (error);
  assert_text (object, "bbbbb");

  g_clear_object (&loaded);
  g_clear_object (&object);
  assert_goes (item);
  tear_down (&fixture, codec);
}

/* The reaction of an application to the end of an object. */
typedef struct
{
  Fixture *fixture;
  BsItem *item;
  GThread *thread;
  GError *error; /* owned */
  int n_calls;   /* atomic */
} Farewell;

static void
trim_when_gone (gpointer data, GObject *where_the_object_was)
{
  Farewell *self = data;

  if (g_atomic_int_add (&self->n_calls, 1) == 0)
    g_assert_false (bs_pool_trim (self->fixture->pool, 0, NULL, &self->error));
}

/* A trim inside of an eviction can't wait: only what it is inside of goes on. */
static void
test_trim_when_gone (void)
{
  Farewell farewell = { NULL };
  BsItem *items[3];
  TestCodec *codec;
  Fixture fixture;

  codec = set_up (&fixture, 1000);
  farewell.fixture = &fixture;
  for (guint i = 0; i < G_N_ELEMENTS (items); i++)
    {
      g_autoptr (GObject) object = make_text ("hello");
      g_autoptr (GError) error = NULL;

      g_object_weak_ref (object, trim_when_gone, &farewell);
      items[i] = bs_pool_insert_object (fixture.pool, object, NULL);
      bs_item_write (items[i], NULL, &error);
      g_assert_no_error (error);
    }
  bs_pool_set_max_bytes (fixture.pool, 100);
  g_assert_cmpint (farewell.n_calls, ==, 1);
  g_assert_error (farewell.error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 100);

  g_clear_error (&farewell.error);
  for (guint i = 0; i < G_N_ELEMENTS (items); i++)
    g_assert_finalize_object (items[i]);
  g_assert_cmpint (farewell.n_calls, ==, 3);
  tear_down (&fixture, codec);
}

static void
write_when_gone (gpointer data, GObject *where_the_object_was)
{
  Farewell *self = data;
  g_autoptr (GError) error = NULL;

  /* This is part of what they would wait for. */
  g_assert_false (bs_backing_store_wait_finished (self->fixture->store, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
  g_clear_error (&error);
  g_assert_false (bs_backing_store_close (self->fixture->store, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);

  bs_item_write (self->item, NULL, &self->error);
  self->thread = g_thread_self ();
  g_atomic_int_inc (&self->n_calls);
}

/* The object goes on the only thread of the store, where what is waited for stands
 * in the queue. */
static void
test_wait_when_gone (void)
{
  GObject *object = make_text ("hello");
  Farewell farewell = { NULL };
  GAsyncResult *result = NULL;
  g_autoptr (GError) error = NULL;
  TestCodec *codec;
  Fixture fixture;
  BsPool *pool;
  BsItem *item;

  codec = set_up (&fixture, 1000);
  farewell.fixture = &fixture;
  bs_backing_store_set_max_threads (fixture.store, 1);
  pool = bs_pool_new (fixture.store, 1000);
  farewell.item = insert (pool, 10, 'a');
  g_object_weak_ref (object, write_when_gone, &farewell);
  item = bs_pool_insert_object (fixture.pool, object, NULL);
  g_object_unref (object);

  bs_fault_backing_hold (fixture.fault, BS_OPERATION_WRITE);
  bs_pool_set_max_bytes (fixture.pool, 0);
  wait_until (bs_fault_backing_get_count (fixture.fault, BS_OPERATION_WRITE) == 1);
  bs_item_write_async (farewell.item, G_PRIORITY_DEFAULT, NULL, store_result, &result);
  bs_fault_backing_release (fixture.fault, BS_OPERATION_WRITE);
  wait_until (g_atomic_int_get (&farewell.n_calls) == 1);
  g_assert_no_error (farewell.error);
  g_assert_true (farewell.thread != g_thread_self ());
  g_assert_true (bs_item_write_finish (farewell.item, wait_result (&result), &error));
  g_assert_no_error (error);

  g_object_unref (result);
  assert_goes (farewell.item);
  assert_goes (item);
  assert_goes (pool);
  tear_down (&fixture, codec);
}

static void
persist_when_gone (gpointer data, GObject *where_the_object_was)
{
  Farewell *self = data;

  bs_item_persist (self->item, self->fixture->tracked, NULL, &self->error);
  g_atomic_int_inc (&self->n_calls);
}

/* The object goes while the end of a write is being told, and what is waited for
 * comes next on the strand of that write. */
static void
test_wait_for_next_when_gone (void)
{
  Farewell farewell = { NULL };
  g_autofree char *key = NULL;
  GAsyncResult *result = NULL;
  g_autoptr (GError) error = NULL;
  GObject *object;
  TestCodec *codec;
  Fixture fixture;
  BsItem *item;

  codec = set_up (&fixture, 1000);
  fixture_track (&fixture);
  item = insert_evicted (&fixture, "hello");
  farewell.fixture = &fixture;
  farewell.item = insert (fixture.pool, 100, 'a');
  key = bs_item_dup_key (farewell.item);

  /* Only while it is being written there is room for the other. */
  bs_fault_backing_hold (fixture.fault, BS_OPERATION_WRITE);
  error = g_error_new_literal (G_IO_ERROR, G_IO_ERROR_NO_SPACE, "so the test wants it");
  bs_fault_backing_fail (fixture.fault, BS_OPERATION_WRITE, key, 1, error);
  g_clear_error (&error);
  bs_pool_set_max_bytes (fixture.pool, 60);
  wait_until (bs_fault_backing_get_count (fixture.fault, BS_OPERATION_WRITE) == 2);
  object = load (item);
  g_object_weak_ref (object, persist_when_gone, &farewell);
  g_object_unref (object);
  g_assert_cmpint (g_atomic_int_get (&farewell.n_calls), ==, 0);

  bs_item_persist_async (farewell.item, fixture.tracked, G_PRIORITY_DEFAULT, NULL, store_result,
                         &result);
  bs_fault_backing_release (fixture.fault, BS_OPERATION_WRITE);
  g_assert_true (bs_item_persist_finish (farewell.item, wait_result (&result), &error));
  g_assert_no_error (error);
  wait_until (g_atomic_int_get (&farewell.n_calls) == 1);
  g_assert_no_error (farewell.error);

  g_object_unref (result);
  assert_goes (farewell.item);
  assert_goes (item);
  tear_down (&fixture, codec);
}

static void
test_no_codec (void)
{
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *key = NULL;
  Fixture fixture;
  BsItem *item;

  fixture_set_up (&fixture, 1000);
  g_assert_null (bs_pool_get_codec (fixture.pool));
  item = insert (fixture.pool, 5, 'a');
  key = bs_item_dup_key (item);
  g_assert_null (bs_item_try_load_object (item));
  g_assert_null (bs_item_load_object (item, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_NOT_SUPPORTED);
  g_assert_nonnull (strstr (error->message, key));
  g_clear_error (&error);
  bs_item_load_object_async (item, G_PRIORITY_DEFAULT, NULL, store_result, &result);
  g_assert_null (bs_item_load_object_finish (item, wait_result (&result), &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_NOT_SUPPORTED);

  g_clear_object (&result);
  g_assert_finalize_object (item);
  fixture_tear_down (&fixture);
}

static void
test_cancelled (void)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;
  TestCodec *codec;
  Fixture fixture;
  BsItem *item;

  codec = set_up (&fixture, 1000);
  item = insert_evicted (&fixture, "hello");
  bs_fault_backing_hold (fixture.fault, BS_OPERATION_READ);
  bs_item_load_object_async (item, G_PRIORITY_DEFAULT, cancellable, store_result, &result);
  wait_until (count (&fixture, BS_OPERATION_READ) == 1);
  g_cancellable_cancel (cancellable);
  bs_fault_backing_release (fixture.fault, BS_OPERATION_READ);
  g_object_unref (wait_result (&result));
  result = NULL;

  g_assert_null (bs_item_load_object (item, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  assert_loads (item, "hello");

  assert_goes (item);
  tear_down (&fixture, codec);
}

/* A codec is told by its cancellable that the store closes, or that its caller has left. */
static void
test_close_while_decoding (void)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  GAsyncResult *loads[3] = { NULL, NULL, NULL }, *closed = NULL;
  TestCodec *codec;
  Fixture fixture;
  BsItem *items[3];

  codec = set_up (&fixture, 1000);
  for (guint i = 0; i < 3; i++)
    items[i] = insert_evicted (&fixture, "hello");
  g_atomic_int_set (&codec->modes[DECODE], WAIT);
  for (guint i = 0; i < 3; i++)
    bs_item_load_object_async (items[i], G_PRIORITY_DEFAULT, i == 0 ? cancellable : NULL,
                               store_result, &loads[i]);
  wait_until (calls (codec, DECODE) == 3);
  g_cancellable_cancel (cancellable);
  wait_result (&loads[0]);
  bs_backing_store_close_async (fixture.store, G_PRIORITY_DEFAULT, NULL, store_result, &closed);
  for (guint i = 0; i < 3; i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_null (bs_item_load_object_finish (items[i], wait_result (&loads[i]), &error));
      if (i == 0)
        g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
      else
        g_assert_error (error, BS_ERROR, BS_ERROR_CLOSED);
      g_object_unref (loads[i]);
    }
  g_assert_true (bs_backing_store_close_finish (fixture.store, wait_result (&closed), NULL));
  g_object_unref (closed);
  for (guint i = 0; i < 3; i++)
    assert_goes (items[i]);
  tear_down (&fixture, codec);
}

/* A blob that one pool has persisted is an object in another. */
static void
test_persisted (void)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *key = NULL;
  BsTrackedPath *tracked;
  TestCodec *codec;
  Fixture fixture;
  BsItem *item;
  BsPool *other;

  codec = set_up (&fixture, 1000);
  tracked = fixture_track (&fixture);
  item = insert_text (&fixture, "hello");
  bs_item_persist (item, tracked, NULL, &error);
  g_assert_no_error (error);
  key = bs_item_dup_key (item);
  g_assert_finalize_object (item);
  fixture_wait_finished (&fixture);

  other = bs_pool_new_with_codec (fixture.store, BS_CODEC (codec), 1000);
  item = bs_pool_register (other, tracked, key, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (bs_item_get_size (item), ==, -1);
  assert_loads (item, "hello");
  g_assert_cmpint (bs_item_get_size (item), ==, 50);
  g_assert_cmpuint (calls (codec, ENCODE), ==, 1);
  g_assert_cmpuint (calls (codec, DECODE), ==, 1);

  g_assert_finalize_object (item);
  assert_goes (other);
  tear_down (&fixture, codec);
}

static guint64
get_encoded (BsItem *item)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (bs_item_write (item, NULL, &error));
  g_assert_no_error (error);
  return bs_item_get_size (item);
}

/* The codec is told that nobody waits for the bytes any more. */
static void
test_cancelled_encode (void)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;
  TestCodec *codec;
  Fixture fixture;
  BsItem *item;

  codec = set_up (&fixture, 1000);
  item = insert_text (&fixture, "hello");
  g_atomic_int_set (&codec->modes[ENCODE], WAIT);
  bs_item_write_async (item, G_PRIORITY_DEFAULT, cancellable, store_result, &result);
  wait_until (calls (codec, ENCODE) == 1);
  g_cancellable_cancel (cancellable);
  g_assert_false (bs_item_write_finish (item, wait_result (&result), &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);

  g_atomic_int_set (&codec->modes[ENCODE], WORK);
  trim (&fixture, 0);
  assert_loads (item, "hello");

  g_clear_object (&result);
  assert_goes (item);
  tear_down (&fixture, codec);
}

/* After a blob was found to be bad, contents in memory are written anew if need be. An object
 * that only the application holds is not encoded for that. */
static void
test_persist_after_corruption (void)
{
  g_autoptr (GError) corrupt = g_error_new_literal (BS_ERROR, BS_ERROR_CORRUPT, "bad");
  g_autoptr (GObject) object = make_text ("hello");
  g_autoptr (GError) error = NULL;
  g_autofree char *key = NULL;
  BsItem *item, *bad;
  TestCodec *codec;
  Fixture fixture;

  codec = set_up (&fixture, 1000);
  fixture_track (&fixture);
  item = bs_pool_insert_object (fixture.pool, object, NULL);
  bad = insert_text (&fixture, "bad");
  trim (&fixture, 0);
  key = bs_item_dup_key (bad);
  bs_fault_backing_fail (fixture.fault, BS_OPERATION_PERSIST, key, 1, corrupt);
  g_assert_false (bs_item_persist (bad, fixture.tracked, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_CORRUPT);
  g_clear_error (&error);

  g_assert_true (bs_item_persist (item, fixture.tracked, NULL, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (calls (codec, ENCODE), ==, 2);

  g_assert_finalize_object (bad);
  g_assert_finalize_object (item);
  g_clear_object (&object);
  tear_down (&fixture, codec);
}

/* An object of which the codec says nothing counts by its encoded size, as a byte at least.
 * The codec is warned of once, before other tests. */
static void
test_measure_says_nothing (void)
{
  BsItem *items[4];
  TestCodec *codec;
  Fixture fixture;

  codec = set_up (&fixture, G_MAXUINT64);
  codec->is_lying = TRUE;
  items[0] = insert_text (&fixture, "hello");
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), >, 0);
  g_assert_cmpuint (get_encoded (items[0]), ==, 5);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 5);

  items[1] = insert_text (&fixture, "hello, world");
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), >, 5);
  g_assert_cmpuint (get_encoded (items[1]), ==, 12);
  items[2] = insert_text (&fixture, "x");
  g_assert_cmpuint (get_encoded (items[2]), ==, 1);
  items[3] = insert_text (&fixture, "");
  g_assert_cmpuint (get_encoded (items[3]), ==, 1);

  trim (&fixture, 0);
  assert_loads (items[0], "hello");
  assert_loads (items[1], "hello, world");
  assert_loads (items[2], "x");
  g_object_unref (load (items[3]));
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 19);

  for (guint i = 0; i < G_N_ELEMENTS (items); i++)
    g_assert_finalize_object (items[i]);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 0);
  tear_down (&fixture, codec);
}

/* The budget holds all the same. */
static void
test_many_unmeasured (void)
{
  BsItem *items[200];
  TestCodec *codec;
  Fixture fixture;

  codec = set_up (&fixture, 200);
  codec->is_lying = TRUE;
  for (guint i = 0; i < G_N_ELEMENTS (items); i++)
    items[i] = insert_text (&fixture, "twenty bytes in each");
  trim (&fixture, 200);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), <=, 200);
  g_assert_cmpuint (bs_pool_get_n_resident (fixture.pool), <=, 10);

  for (guint i = 0; i < G_N_ELEMENTS (items); i++)
    g_assert_finalize_object (items[i]);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 0);
  tear_down (&fixture, codec);
}

/* Nobody asks for a write, and the first guess is far below the budget. */
static void
test_unmeasured_are_encoded (void)
{
  g_autofree char *long_text = g_strnfill (1000 * 1000, 'x');
  BsItem *items[20];
  TestCodec *codec;
  GObject *object;
  Fixture fixture;

  codec = set_up (&fixture, 3 * 1000 * 1000);
  codec->is_lying = TRUE;
  for (guint i = 0; i < G_N_ELEMENTS (items); i++)
    items[i] = insert_text (&fixture, long_text);
  fixture_wait_finished (&fixture);
  g_assert_cmpuint (bs_pool_get_n_resident (fixture.pool), <=, 3);

  object = make_text (long_text);
  g_assert_true (bs_item_replace_object (items[0], object, NULL));
  g_object_unref (object);
  fixture_wait_finished (&fixture);
  g_assert_cmpuint (bs_item_get_size (items[0]), ==, 1000 * 1000);

  for (guint i = 0; i < G_N_ELEMENTS (items); i++)
    g_assert_finalize_object (items[i]);
  tear_down (&fixture, codec);
}

static void
warn_once (void)
{
  TestCodec *codec;
  Fixture fixture;
  BsItem *item;

  g_test_expect_message ("backingstore", G_LOG_LEVEL_WARNING, "TestCodec says 0 in measure: *");
  codec = set_up (&fixture, G_MAXUINT64);
  codec->is_lying = TRUE;
  item = insert_text (&fixture, "hello");
  fixture_wait_finished (&fixture);
  g_assert_finalize_object (item);
  tear_down (&fixture, codec);
  g_test_assert_expected_messages ();
}

/* Objects that could never be written are refused. */
static void
test_objects_refused (void)
{
  g_autoptr (BsCodec) empty = g_object_new (TEST_TYPE_EMPTY_CODEC, NULL);
  g_autoptr (BsItem) item = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = g_bytes_new ("bytes", 5);
  GObject *object = make_text ("hello");
  TestCodec *codec;
  Fixture fixture;
  BsPool *pools[2];

  codec = set_up (&fixture, 1000);
  pools[0] = bs_pool_new (fixture.store, 1000);
  pools[1] = bs_pool_new_with_codec (fixture.store, empty, 1000);
  for (guint i = 0; i < G_N_ELEMENTS (pools); i++)
    {
      const char *why = i == 0 ? "no codec" : "encode";

      g_assert_null (bs_pool_insert_object (pools[i], object, &error));
      g_assert_error (error, BS_ERROR, BS_ERROR_NOT_SUPPORTED);
      g_assert_nonnull (strstr (error->message, why));
      g_assert_nonnull (strstr (error->message, "insert_object"));
      g_clear_error (&error);

      item = bs_pool_insert (pools[i], bytes);
      g_assert_false (bs_item_replace_object (item, object, &error));
      g_assert_error (error, BS_ERROR, BS_ERROR_NOT_SUPPORTED);
      g_assert_nonnull (strstr (error->message, why));
      g_clear_error (&error);
      g_assert_cmpint (bs_item_get_size (item), ==, 5);
      g_clear_object (&item);
      g_object_unref (pools[i]);
    }
  g_assert_finalize_object (object);
  tear_down (&fixture, codec);
}

static void
test_max_items (void)
{
  BsItem *items[20];
  TestCodec *codec;
  Fixture fixture;

  codec = set_up (&fixture, G_MAXUINT64);
  g_assert_cmpuint (bs_pool_get_max_items (fixture.pool), ==, 0);
  g_object_set (fixture.pool, "max-items", 5, NULL);
  g_assert_cmpuint (bs_pool_get_max_items (fixture.pool), ==, 5);
  codec->is_lying = TRUE;
  for (guint i = 0; i < G_N_ELEMENTS (items); i++)
    items[i] = i % 2 ? insert_text (&fixture, "hello") : insert (fixture.pool, 100, 'a');
  wait_until (bs_pool_get_n_resident (fixture.pool) == 5);
  /* All others are clean: they leave at once. */
  for (guint i = 0; i < G_N_ELEMENTS (items); i++)
    {
      g_autoptr (GError) error = NULL;

      bs_item_write (items[i], NULL, &error);
      g_assert_no_error (error);
    }
  for (guint i = 0; i < G_N_ELEMENTS (items); i++)
    {
      if (i % 2)
        assert_loads (items[i], "hello");
      else
        g_bytes_unref (load_bytes (items[i], FALSE));
      g_assert_cmpuint (bs_pool_get_n_resident (fixture.pool), <=, 5);
    }

  bs_pool_set_max_items (fixture.pool, 2);
  g_assert_cmpuint (bs_pool_get_n_resident (fixture.pool), ==, 2);
  bs_pool_set_max_items (fixture.pool, 0);
  for (guint i = 0; i < G_N_ELEMENTS (items); i++)
    g_bytes_unref (load_bytes (items[i], FALSE));
  g_assert_cmpuint (bs_pool_get_n_resident (fixture.pool), >=, 10);

  for (guint i = 0; i < G_N_ELEMENTS (items); i++)
    g_assert_finalize_object (items[i]);
  tear_down (&fixture, codec);
}

/* The toggle notification of a language binding when another thread takes or drops
 * a reference: it waits for the interpreter, where anything may be going on. */
typedef struct
{
  Fixture *fixture;
  BsItem *item;
  int n_toggles; /* atomic */
} Toggle;

static void
toggled (gpointer data, GObject *object, gboolean is_last_ref)
{
  Toggle *self = data;
  g_autoptr (GBytes) bytes = bs_item_try_load (self->item);

  g_atomic_int_inc (&self->n_toggles);
  g_assert_null (bytes);
  bs_item_get_size (self->item);
  bs_pool_get_memory_use (self->fixture->pool);
}

static void
test_toggles (void)
{
  GObject *object = make_text ("hello");
  Toggle toggle = { NULL };
  TestCodec *codec;
  Fixture fixture;

  codec = set_up (&fixture, 1000);
  toggle.fixture = &fixture;
  toggle.item = bs_pool_insert_object (fixture.pool, object, NULL);
  g_object_add_toggle_ref (object, toggled, &toggle);
  g_object_unref (object);
  for (guint i = 0; i < 10; i++)
    {
      int before = g_atomic_int_get (&toggle.n_toggles);

      trim (&fixture, 0);
      wait_until (g_atomic_int_get (&toggle.n_toggles) > before);
      g_assert_cmpuint (bs_pool_get_memory_in_use (fixture.pool), ==, 50);
      assert_loads (toggle.item, "hello");
    }
  g_assert_cmpuint (calls (codec, DECODE), ==, 0);

  trim (&fixture, 0);
  fixture_wait_finished (&fixture);
  g_object_remove_toggle_ref (object, toggled, &toggle);
  wait_until (g_atomic_int_get (&n_texts) == 0);
  g_assert_finalize_object (toggle.item);
  tear_down (&fixture, codec);
}

/* Hits on some threads, while others evict, replace, copy, write and drop. */
#define N_STRESS_ITEMS 8
#define N_STRESS_THREADS 6
#define N_STRESS_ROUNDS 3000

typedef struct
{
  Fixture *fixture;
  GMutex mutex;
  BsItem *items[N_STRESS_ITEMS]; /* under the mutex */
  guint64 n_hits;                /* atomic; at least */
} Stress;

static BsItem *
stress_pick (Stress *self, GRand *random)
{
  BsItem *item;

  g_mutex_lock (&self->mutex);
  item = g_object_ref (self->items[g_rand_int_range (random, 0, N_STRESS_ITEMS)]);
  g_mutex_unlock (&self->mutex);

  return item;
}

static BsItem *
stress_make (Stress *self, GRand *random)
{
  return g_rand_boolean (random) ? insert (self->fixture->pool, 100, 's')
                                 : insert_text (self->fixture, "ssssssssss");
}

static void
stress_put (Stress *self, GRand *random, BsItem *item)
{
  guint position = g_rand_int_range (random, 0, N_STRESS_ITEMS);
  BsItem *old;

  g_mutex_lock (&self->mutex);
  old = self->items[position];
  self->items[position] = item;
  g_mutex_unlock (&self->mutex);
  g_object_unref (old);
}

static void
stress_step (Stress *self, GRand *random)
{
  g_autoptr (BsItem) item = stress_pick (self, random);
  g_autoptr (GBytes) content = make_bytes (100, 's');
  g_autoptr (GObject) object = NULL;
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GError) error = NULL;

  switch (g_rand_int_range (random, 0, 40))
    {
    case 0:
      bs_item_replace (item, content);
      break;
    case 1:
      object = make_text ("ssssssssss");
      bs_item_replace_object (item, object, NULL);
      break;
    case 2:
      stress_put (self, random, stress_make (self, random));
      break;
    case 3:
      stress_put (self, random, bs_item_copy (item));
      break;
    case 4:
      bs_item_write (item, NULL, &error);
      break;
    case 5:
      bs_pool_set_max_bytes (self->fixture->pool, g_rand_int_range (random, 0, 1000));
      break;
    case 6:
    case 7:
      object = bs_item_load_object (item, NULL, &error);
      g_assert_true (error != NULL || TEST_TEXT (object)->text[0] == 's');
      break;
    case 8:
      bytes = bs_item_load (item, NULL, &error);
      g_assert_true (error != NULL || ((const char *) g_bytes_get_data (bytes, NULL))[0] == 's');
      break;
    case 9:
      g_free (bs_item_dup_key (item));
      bs_item_get_size (item);
      bs_pool_stats_free (bs_pool_get_stats (self->fixture->pool));
      break;
    default:
      for (guint i = 0; i < 10; i++)
        {
          g_autoptr (GBytes) tried = bs_item_try_load (item);

          if (tried != NULL)
            g_assert_cmpint (((const char *) g_bytes_get_data (tried, NULL))[0], ==, 's');
        }
    }
  g_assert_no_error (error);
}

static gpointer
stress_thread (gpointer data)
{
  g_autoptr (GRand) random = g_rand_new_with_seed (g_test_rand_int ());

  for (guint i = 0; i < N_STRESS_ROUNDS; i++)
    stress_step (data, random);
  return NULL;
}

static void
test_stress (void)
{
  g_autoptr (GRand) random = g_rand_new_with_seed (g_test_rand_int ());
  GThread *threads[N_STRESS_THREADS];
  Stress stress = { NULL };
  TestCodec *codec;
  Fixture fixture;

  codec = set_up (&fixture, 500);
  stress.fixture = &fixture;
  g_mutex_init (&stress.mutex);
  for (guint i = 0; i < N_STRESS_ITEMS; i++)
    stress.items[i] = stress_make (&stress, random);
  for (guint i = 0; i < N_STRESS_THREADS; i++)
    threads[i] = g_thread_new ("stress", stress_thread, &stress);
  for (guint i = 0; i < N_STRESS_THREADS; i++)
    g_thread_join (threads[i]);

  trim (&fixture, 0);
  fixture_wait_finished (&fixture);
  wait_until (bs_pool_get_memory_in_use (fixture.pool) == 0);
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 0);
  g_assert_cmpuint (bs_pool_get_n_resident (fixture.pool), ==, 0);
  g_assert_cmpuint (bs_pool_get_n_items (fixture.pool), ==, N_STRESS_ITEMS);
  for (guint i = 0; i < N_STRESS_ITEMS; i++)
    {
      g_object_unref (load (stress.items[i]));
      g_assert_finalize_object (stress.items[i]);
    }
  g_assert_cmpuint (bs_pool_get_memory_use (fixture.pool), ==, 0);

  g_mutex_clear (&stress.mutex);
  tear_down (&fixture, codec);
}

/* More threads than have a cell to count in, and none of them alone. */
#define N_COUNTING_THREADS 40
#define N_COUNTED 1000

static gpointer
counting_thread (gpointer item)
{
  for (guint i = 0; i < N_COUNTED; i++)
    g_bytes_unref (bs_item_try_load (item));
  return NULL;
}

static void
test_counts (void)
{
  g_autoptr (BsPoolStats) stats = NULL;
  GThread *threads[N_COUNTING_THREADS];
  Fixture fixture;
  BsItem *item;

  fixture_set_up (&fixture, 1000);
  item = insert (fixture.pool, 10, 'a');
  for (guint round = 0; round < 3; round++)
    {
      for (guint i = 0; i < N_COUNTING_THREADS; i++)
        threads[i] = g_thread_new ("counting", counting_thread, item);
      for (guint i = 0; i < N_COUNTING_THREADS; i++)
        g_thread_join (threads[i]);
    }
  stats = bs_pool_get_stats (fixture.pool);
  g_assert_cmpuint (stats->hits, ==, 3 * N_COUNTING_THREADS * N_COUNTED);

  g_assert_finalize_object (item);
  fixture_tear_down (&fixture);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  warn_once ();

  g_test_add_func ("/codec/wrappers", test_wrappers);
  g_test_add_func ("/codec/round-trip", test_round_trip);
  g_test_add_func ("/codec/try-load", test_try_load);
  g_test_add_func ("/codec/alive", test_alive);
  g_test_add_func ("/codec/outlives-pool", test_outlives_pool);
  g_test_add_func ("/codec/run-dispose", test_run_dispose);
  g_test_add_func ("/codec/same-object", test_same_object);
  g_test_add_func ("/codec/same-object-often", test_same_object_often);
  g_test_add_func ("/codec/merged", test_merged);
  g_test_add_func ("/codec/first-decode-wins", test_first_decode_wins);
  g_test_add_data_func ("/codec/encode-fails", GINT_TO_POINTER (FAIL), test_encode_fails);
  g_test_add_data_func ("/codec/encode-fails-silently", GINT_TO_POINTER (FAIL_SILENTLY),
                        test_encode_fails);
  g_test_add_data_func ("/codec/decode-fails", GINT_TO_POINTER (FAIL), test_decode_fails);
  g_test_add_data_func ("/codec/decode-fails-silently", GINT_TO_POINTER (FAIL_SILENTLY),
                        test_decode_fails);
  g_test_add_func ("/codec/lies", test_lies);
  g_test_add_data_func ("/codec/calls-back", GINT_TO_POINTER (FALSE), test_calls_back);
  g_test_add_data_func ("/codec/calls-back-in-context", GINT_TO_POINTER (TRUE), test_calls_back);
  g_test_add_func ("/codec/change-while-encoding", test_change_while_encoding);
  g_test_add_func ("/codec/change-while-decoding", test_change_while_decoding);
  g_test_add_func ("/codec/main-context", test_main_context);
  g_test_add_data_func ("/codec/measured-later", GINT_TO_POINTER (FALSE), test_measured_later);
  g_test_add_data_func ("/codec/unmeasured-later", GINT_TO_POINTER (TRUE), test_measured_later);
  g_test_add_func ("/codec/measure-says-nothing", test_measure_says_nothing);
  g_test_add_func ("/codec/cancelled-encode", test_cancelled_encode);
  g_test_add_func ("/codec/persist-after-corruption", test_persist_after_corruption);
  g_test_add_func ("/codec/many-unmeasured", test_many_unmeasured);
  g_test_add_func ("/codec/unmeasured-are-encoded", test_unmeasured_are_encoded);
  g_test_add_func ("/codec/objects-refused", test_objects_refused);
  g_test_add_data_func ("/codec/other-kind", GINT_TO_POINTER (FALSE), test_other_kind);
  g_test_add_data_func ("/codec/other-kind-async", GINT_TO_POINTER (TRUE), test_other_kind);
  g_test_add_func ("/codec/other-kind-fails", test_other_kind_fails);
  g_test_add_data_func ("/codec/other-kind-while-closing", GINT_TO_POINTER (FALSE),
                        test_other_kind_while_closing);
  g_test_add_data_func ("/codec/other-kind-while-closing-async", GINT_TO_POINTER (TRUE),
                        test_other_kind_while_closing);
  g_test_add_func ("/codec/other-kind-is-waited-for", test_other_kind_is_waited_for);
  g_test_add_func ("/codec/trim-when-gone", test_trim_when_gone);
  g_test_add_func ("/codec/wait-when-gone", test_wait_when_gone);
  g_test_add_func ("/codec/wait-for-next-when-gone", test_wait_for_next_when_gone);
  g_test_add_func ("/codec/no-codec", test_no_codec);
  g_test_add_func ("/codec/cancelled", test_cancelled);
  g_test_add_func ("/codec/close-while-decoding", test_close_while_decoding);
  g_test_add_func ("/codec/persisted", test_persisted);
  g_test_add_func ("/codec/max-items", test_max_items);
  g_test_add_func ("/codec/toggles", test_toggles);
  g_test_add_func ("/codec/stress", test_stress);
  g_test_add_func ("/codec/counts", test_counts);

  return g_test_run ();
}
