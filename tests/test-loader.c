/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "pool-fixture.h"

/* Loaders and prefetches: what is read in which order, what the target sees, and where. */

#define TEST_TYPE_NOTE (test_note_get_type ())
G_DECLARE_FINAL_TYPE (TestNote, test_note, TEST, NOTE, GObject)

struct _TestNote
{
  GObject parent_instance;
  char *text; /* owned */
};

G_DEFINE_FINAL_TYPE (TestNote, test_note, G_TYPE_OBJECT)

static void
test_note_finalize (GObject *object)
{
  g_free (TEST_NOTE (object)->text);
  G_OBJECT_CLASS (test_note_parent_class)->finalize (object);
}

static void
test_note_class_init (TestNoteClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = test_note_finalize;
}

static void
test_note_init (TestNote *self)
{
}

static GObject *
make_note (const char *text)
{
  TestNote *self = g_object_new (TEST_TYPE_NOTE, NULL);

  self->text = g_strdup (text);
  return G_OBJECT (self);
}

/* Decodes to notes, or fails; keeps the order. */
#define TEST_TYPE_CODEC (test_codec_get_type ())
G_DECLARE_FINAL_TYPE (TestCodec, test_codec, TEST, CODEC, GObject)

struct _TestCodec
{
  GObject parent_instance;

  GMutex mutex;
  GCond cond;

  /* under the mutex */
  GString *order;   /* of the texts decoded, with a space after each */
  const char *bad;  /* the text that is not decoded */
  const char *held; /* the text whose decoding waits until it is cancelled or let go */
  guint n_held;
  guint n_cancelled;
};

static void test_codec_iface_init (BsCodecInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (TestCodec,
                               test_codec,
                               G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (BS_TYPE_CODEC, test_codec_iface_init))

static GBytes *
test_codec_encode (BsCodec *codec, GObject *object, GCancellable *cancellable, GError **error)
{
  return g_bytes_new (TEST_NOTE (object)->text, strlen (TEST_NOTE (object)->text));
}

/* Called with the mutex held. */
static void
wait_while_held (TestCodec *self, const char *text, GCancellable *cancellable)
{
  self->n_held++;
  while (g_strcmp0 (self->held, text) == 0 && !g_cancellable_is_cancelled (cancellable))
    {
      g_mutex_unlock (&self->mutex);
      g_thread_yield ();
      g_mutex_lock (&self->mutex);
    }
  self->n_held--;
}

static GObject *
test_codec_decode (BsCodec *codec, GBytes *bytes, GCancellable *cancellable, GError **error)
{
  TestCodec *self = TEST_CODEC (codec);
  g_autofree char *text = g_strndup (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes));
  gboolean is_bad;

  g_mutex_lock (&self->mutex);
  g_string_append_printf (self->order, "%s ", text);
  wait_while_held (self, text, cancellable);
  is_bad = g_strcmp0 (self->bad, text) == 0;
  self->n_cancelled += g_cancellable_is_cancelled (cancellable);
  g_mutex_unlock (&self->mutex);

  if (g_cancellable_set_error_if_cancelled (cancellable, error))
    return NULL;
  if (is_bad)
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "no note");
      return NULL;
    }
  return make_note (text);
}

static guint64
test_codec_measure (BsCodec *codec, GObject *object)
{
  return 100;
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
  g_string_free (TEST_CODEC (object)->order, TRUE);
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
  self->order = g_string_new (NULL);
}

static void
set_bad (TestCodec *self, const char *bad)
{
  g_mutex_lock (&self->mutex);
  self->bad = bad;
  g_mutex_unlock (&self->mutex);
}

static void
hold (TestCodec *self, const char *text)
{
  g_mutex_lock (&self->mutex);
  self->held = text;
  g_mutex_unlock (&self->mutex);
}

static guint
get_n_held (TestCodec *self)
{
  guint n_held;

  g_mutex_lock (&self->mutex);
  n_held = self->n_held;
  g_mutex_unlock (&self->mutex);
  return n_held;
}

static guint
get_n_cancelled (TestCodec *self)
{
  guint n_cancelled;

  g_mutex_lock (&self->mutex);
  n_cancelled = self->n_cancelled;
  g_mutex_unlock (&self->mutex);
  return n_cancelled;
}

static char *
take_order (TestCodec *self)
{
  char *order;

  g_mutex_lock (&self->mutex);
  order = g_strdup (self->order->str);
  g_string_truncate (self->order, 0);
  g_mutex_unlock (&self->mutex);
  return order;
}

#define assert_order(codec, expected)                                                              \
  G_STMT_START                                                                                     \
  {                                                                                                \
    g_autofree char *__order = take_order (codec);                                                 \
    g_assert_cmpstr (__order, ==, expected);                                                       \
  }                                                                                                \
  G_STMT_END

/* A widget, as far as a loader knows. */
#define TEST_TYPE_CELL (test_cell_get_type ())
G_DECLARE_FINAL_TYPE (TestCell, test_cell, TEST, CELL, GObject)

struct _TestCell
{
  GObject parent_instance;
  GObject *note;  /* owned, nullable */
  GObject *other; /* owned, nullable */
  GObject *fixed; /* owned, nullable */
  guint n_changes;
  GThread *thread; /* of the last change */
};

enum
{
  PROP_NOTE = 1,
  PROP_LIST,
  PROP_READABLE,
  PROP_FIXED,
  PROP_NUMBER,
};

G_DEFINE_FINAL_TYPE (TestCell, test_cell, G_TYPE_OBJECT)

static void
test_cell_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  TestCell *self = TEST_CELL (object);

  if (id == PROP_NOTE)
    g_value_set_object (value, self->note);
}

static void
test_cell_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  TestCell *self = TEST_CELL (object);

  if (id == PROP_NOTE)
    {
      g_set_object (&self->note, g_value_get_object (value));
      self->n_changes++;
      self->thread = g_thread_self ();
    }
  else if (id == PROP_LIST)
    {
      g_set_object (&self->other, g_value_get_object (value));
    }
}

static void
test_cell_finalize (GObject *object)
{
  TestCell *self = TEST_CELL (object);

  g_clear_object (&self->note);
  g_clear_object (&self->other);
  g_clear_object (&self->fixed);
  G_OBJECT_CLASS (test_cell_parent_class)->finalize (object);
}

static void
test_cell_class_init (TestCellClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->get_property = test_cell_get_property;
  object_class->set_property = test_cell_set_property;
  object_class->finalize = test_cell_finalize;
  g_object_class_install_property (object_class, PROP_NOTE,
                                   g_param_spec_object ("note", NULL, NULL, TEST_TYPE_NOTE,
                                                        G_PARAM_READWRITE));
  g_object_class_install_property (object_class, PROP_LIST,
                                   g_param_spec_object ("list", NULL, NULL, G_TYPE_LIST_MODEL,
                                                        G_PARAM_WRITABLE));
  g_object_class_install_property (object_class, PROP_READABLE,
                                   g_param_spec_object ("readable", NULL, NULL, TEST_TYPE_NOTE,
                                                        G_PARAM_READABLE));
  g_object_class_install_property (object_class, PROP_FIXED,
                                   g_param_spec_object ("fixed", NULL, NULL, TEST_TYPE_NOTE,
                                                        G_PARAM_READWRITE |
                                                          G_PARAM_CONSTRUCT_ONLY));
  g_object_class_install_property (object_class, PROP_NUMBER,
                                   g_param_spec_int ("number", NULL, NULL, 0, 9, 0,
                                                     G_PARAM_READWRITE));
}

static void
test_cell_init (TestCell *self)
{
}

static TestCell *
make_cell (void)
{
  return g_object_new (TEST_TYPE_CELL, NULL);
}

static const char *
get_text (TestCell *cell)
{
  return cell->note != NULL ? TEST_NOTE (cell->note)->text : NULL;
}

static void
count_notify (GObject *object, GParamSpec *pspec, gpointer data)
{
  ++*(guint *) data;
}

typedef struct
{
  Fixture pools; /* its pool has the codec */
  TestCodec *codec;
  TestCell *cell;   /* NULL where a test wants another end of it */
  BsLoader *loader; /* of the cell's note, likewise */
} Shown;

static void
shown_set_up (Shown *self, gconstpointer context)
{
  self->codec = g_object_new (TEST_TYPE_CODEC, NULL);
  fixture_set_up_in_context (&self->pools, G_MAXUINT64, (GMainContext *) context);
  g_assert_finalize_object (self->pools.pool);
  self->pools.pool =
    bs_pool_new_with_codec (self->pools.store, BS_CODEC (self->codec), G_MAXUINT64);
  self->cell = make_cell ();
  self->loader = bs_loader_new (G_OBJECT (self->cell), "note");
}

static void
shown_tear_down (Shown *self, gconstpointer context)
{
  if (self->loader != NULL)
    assert_goes (self->loader);
  if (self->cell != NULL)
    g_assert_finalize_object (self->cell);
  fixture_tear_down (&self->pools);
  assert_goes (self->codec);
}

static void
evict (Shown *self)
{
  g_autoptr (GError) error = NULL;

  bs_pool_trim (self->pools.pool, 0, NULL, &error);
  g_assert_no_error (error);
}

/* An item that is in the backing only. */
static BsItem *
insert_evicted (Shown *self, const char *text)
{
  g_autoptr (GBytes) bytes = g_bytes_new (text, strlen (text));
  BsItem *item = bs_pool_insert (self->pools.pool, bytes);

  evict (self);
  return item;
}

static BsItem *
insert_note (Shown *self, const char *text)
{
  g_autoptr (GObject) note = make_note (text);
  g_autoptr (GError) error = NULL;
  BsItem *item = bs_pool_insert_object (self->pools.pool, note, &error);

  g_assert_no_error (error);
  return item;
}

static void
wait_loaded (BsLoader *loader)
{
  wait_until (!bs_loader_get_loading (loader));
}

static void
test_properties (Shown *self, gconstpointer context)
{
  g_autoptr (GObject) target = NULL, placeholder = NULL, note = make_note ("nothing");
  g_autoptr (BsItem) item = NULL, of_loader = NULL;
  g_autofree char *name = NULL;
  g_autoptr (GError) error = NULL;
  gboolean loading;
  g_autoptr (BsLoader) loader = NULL;

  item = insert_note (self, "a");
  loader = g_object_new (BS_TYPE_LOADER, "target", self->cell, "target-property", "note", "item",
                         item, "placeholder", note, NULL);
  g_object_get (loader, "target", &target, "target-property", &name, "item", &of_loader,
                "placeholder", &placeholder, "error", &error, "loading", &loading, NULL);
  g_assert_true (target == G_OBJECT (self->cell));
  g_assert_cmpstr (name, ==, "note");
  g_assert_true (of_loader == item && bs_loader_get_item (loader) == item);
  g_assert_true (placeholder == note && bs_loader_get_placeholder (loader) == note);
  g_assert_no_error (error);
  g_assert_null (bs_loader_get_error (loader));
  g_assert_false (loading);
  g_assert_cmpstr (bs_loader_get_target_property (loader), ==, "note");
  g_assert_cmpstr (get_text (self->cell), ==, "a");

  g_clear_object (&target);
  g_assert_finalize_object (g_steal_pointer (&self->cell));
  g_assert_null (bs_loader_dup_target (loader));
}

static void
test_no_property (Shown *self, gconstpointer context)
{
  static const char *names[] = { "absent", "readable", "fixed", "number" };
  g_autoptr (BsItem) item = insert_note (self, "a");

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autofree char *message = g_strdup_printf ("*TestCell*“%s”*", names[i]);
      BsLoader *loader;

      g_test_expect_message ("backingstore", G_LOG_LEVEL_CRITICAL, message);
      loader = bs_loader_new (G_OBJECT (self->cell), names[i]);
      g_test_assert_expected_messages ();
      bs_loader_set_item (loader, item);
      g_assert_true (bs_loader_get_item (loader) == item);
      g_assert_false (bs_loader_get_loading (loader));
      bs_loader_set_placeholder (loader, G_OBJECT (self->cell));
      g_assert_finalize_object (loader);
    }
  g_assert_finalize_object (g_object_new (BS_TYPE_LOADER, "target-property", "note", NULL));
  g_assert_finalize_object (
    g_object_new (BS_TYPE_LOADER, "target", self->cell, "item", item, NULL));
}

/* An object in memory is shown at once, and nothing else before. */
static void
test_in_memory (Shown *self, gconstpointer context)
{
  g_autoptr (GObject) placeholder = make_note ("placeholder");
  g_autoptr (BsItem) first = insert_note (self, "a");
  g_autoptr (BsItem) second = insert_note (self, "b");
  guint n_loading = 0, n_item = 0;

  g_signal_connect (self->loader, "notify::loading", G_CALLBACK (count_notify), &n_loading);
  g_signal_connect (self->loader, "notify::item", G_CALLBACK (count_notify), &n_item);

  bs_loader_set_placeholder (self->loader, placeholder);
  g_assert_cmpstr (get_text (self->cell), ==, "placeholder");
  self->cell->n_changes = 0;
  bs_loader_set_item (self->loader, first);
  g_assert_cmpstr (get_text (self->cell), ==, "a");
  bs_loader_set_item (self->loader, first);
  bs_loader_set_item (self->loader, second);
  g_assert_cmpstr (get_text (self->cell), ==, "b");
  g_assert_cmpuint (self->cell->n_changes, ==, 2);
  bs_loader_set_placeholder (self->loader, NULL);
  g_assert_cmpstr (get_text (self->cell), ==, "b");
  bs_loader_set_item (self->loader, NULL);
  g_assert_null (get_text (self->cell));
  g_assert_cmpuint (n_loading, ==, 0);
  g_assert_cmpuint (n_item, ==, 3);
}

static void
test_load (Shown *self, gconstpointer context)
{
  g_autoptr (GObject) placeholder = make_note ("placeholder"), other = make_note ("other");
  g_autoptr (BsItem) item = insert_evicted (self, "a");
  guint n_loading = 0;

  g_signal_connect (self->loader, "notify::loading", G_CALLBACK (count_notify), &n_loading);
  bs_loader_set_placeholder (self->loader, placeholder);
  bs_fault_backing_hold (self->pools.fault, BS_OPERATION_READ);
  bs_loader_set_item (self->loader, item);
  g_assert_true (bs_loader_get_loading (self->loader));
  g_assert_cmpuint (n_loading, ==, 1);
  g_assert_cmpstr (get_text (self->cell), ==, "placeholder");
  bs_loader_set_placeholder (self->loader, other);
  g_assert_cmpstr (get_text (self->cell), ==, "other");

  bs_fault_backing_release (self->pools.fault, BS_OPERATION_READ);
  wait_loaded (self->loader);
  g_assert_cmpstr (get_text (self->cell), ==, "a");
  g_assert_cmpuint (n_loading, ==, 2);
  g_assert_null (bs_loader_get_error (self->loader));
  g_assert_cmpuint (count (&self->pools, BS_OPERATION_READ), ==, 1);
}

static void
load_cb (GObject *item, GAsyncResult *result, gpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GObject) object = bs_item_load_object_finish (BS_ITEM (item), result, &error);

  g_assert_no_error (error);
  g_assert_nonnull (object);
  ++*(guint *) data;
}

/* The only thread stands in a read while the others are asked. */
static void
plug_in (Shown *self, BsItem *plug, guint *n_loaded)
{
  bs_backing_store_set_max_threads (self->pools.store, 1);
  hold (self->codec, "plug");
  bs_item_load_object_async (plug, G_PRIORITY_HIGH, NULL, load_cb, n_loaded);
  wait_until (get_n_held (self->codec) == 1);
}

static void
test_newest_first (Shown *self, gconstpointer context)
{
  static const char *texts[] = { "0", "1", "2", "3", "4" };
  g_autoptr (BsItem) plug = NULL, plain = NULL, low = NULL;
  BsItem *items[G_N_ELEMENTS (texts)];
  BsLoader *loaders[G_N_ELEMENTS (texts)];
  TestCell *cells[G_N_ELEMENTS (texts)];
  g_autoptr (GListStore) ahead = g_list_store_new (BS_TYPE_ITEM);
  guint n_loaded = 0;

  plug = insert_evicted (self, "plug");
  plain = insert_evicted (self, "plain");
  low = insert_evicted (self, "low");
  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    items[i] = insert_evicted (self, texts[i]);

  plug_in (self, plug, &n_loaded);
  g_list_store_append (ahead, items[1]);
  bs_pool_prefetch (self->pools.pool, G_LIST_MODEL (ahead), 0, 1);
  bs_item_load_object_async (low, G_PRIORITY_LOW, NULL, load_cb, &n_loaded);
  bs_item_load_object_async (plain, G_PRIORITY_DEFAULT, NULL, load_cb, &n_loaded);
  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      cells[i] = make_cell ();
      loaders[i] = bs_loader_new (G_OBJECT (cells[i]), "note");
      bs_loader_set_item (loaders[i], items[i]);
    }
  /* Asked again, an item comes forward. */
  bs_loader_set_item (loaders[0], NULL);
  bs_loader_set_item (loaders[0], items[2]);
  hold (self->codec, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    wait_loaded (loaders[i]);
  wait_until (n_loaded == 3);
  assert_order (self->codec, "plug 2 4 3 1 plain low ");

  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      g_assert_cmpstr (get_text (cells[i]), ==, i == 0 ? "2" : texts[i]);
      assert_goes (loaders[i]);
      g_assert_finalize_object (cells[i]);
      g_object_unref (items[i]);
    }
}

/* A queued load never reaches the backing; one that runs is cancelled. */
static void
test_item_changes (Shown *self, gconstpointer context)
{
  g_autoptr (BsItem) plug = NULL, running = NULL, queued = NULL, last = NULL;
  guint n_loaded = 0;

  plug = insert_evicted (self, "plug");
  running = insert_evicted (self, "running");
  queued = insert_evicted (self, "queued");
  last = insert_evicted (self, "last");
  plug_in (self, plug, &n_loaded);
  bs_loader_set_item (self->loader, queued);
  bs_loader_set_item (self->loader, last);
  hold (self->codec, NULL);
  wait_loaded (self->loader);
  g_assert_cmpstr (get_text (self->cell), ==, "last");
  g_assert_cmpuint (get_n_cancelled (self->codec), ==, 0);
  assert_order (self->codec, "plug last ");

  hold (self->codec, "running");
  bs_loader_set_item (self->loader, running);
  wait_until (get_n_held (self->codec) == 1);
  bs_loader_set_item (self->loader, last);
  g_assert_cmpstr (get_text (self->cell), ==, "last");
  wait_until (get_n_cancelled (self->codec) == 1);
  assert_order (self->codec, "running ");
  g_assert_null (bs_loader_get_error (self->loader));

  /* A cancellation is no failure: it is loaded next time. */
  hold (self->codec, NULL);
  bs_loader_set_item (self->loader, running);
  wait_loaded (self->loader);
  g_assert_cmpstr (get_text (self->cell), ==, "running");

  wait_until (n_loaded == 1);
}

/* The load holds the loader, never the target. */
static void
test_target_goes (Shown *self, gconstpointer context)
{
  g_autoptr (BsItem) item = insert_evicted (self, "a");
  guint n_loading = 0;

  g_signal_connect (self->loader, "notify::loading", G_CALLBACK (count_notify), &n_loading);
  hold (self->codec, "a");
  bs_loader_set_item (self->loader, item);
  wait_until (get_n_held (self->codec) == 1);
  g_assert_finalize_object (g_steal_pointer (&self->cell));
  g_assert_null (bs_loader_dup_target (self->loader));
  g_assert_false (bs_loader_get_loading (self->loader));
  g_assert_cmpuint (n_loading, ==, 2);
  wait_until (get_n_cancelled (self->codec) == 1);

  /* Nothing is loaded for a target that is gone. */
  bs_loader_set_item (self->loader, NULL);
  bs_loader_set_item (self->loader, item);
  g_assert_false (bs_loader_get_loading (self->loader));
  hold (self->codec, NULL);
  fixture_wait_finished (&self->pools);
  assert_order (self->codec, "a ");
}

/* As a widget that is destroyed while somebody holds it. */
static void
test_target_disposed (Shown *self, gconstpointer context)
{
  g_autoptr (BsItem) item = insert_evicted (self, "a");

  hold (self->codec, "a");
  bs_loader_set_item (self->loader, item);
  wait_until (get_n_held (self->codec) == 1);
  g_object_run_dispose (G_OBJECT (self->cell));
  self->cell->n_changes = 0;
  g_assert_null (bs_loader_dup_target (self->loader));
  wait_until (get_n_cancelled (self->codec) == 1);
  bs_loader_set_item (self->loader, NULL);
  g_assert_cmpuint (self->cell->n_changes, ==, 0);
}

static void
test_loader_goes (Shown *self, gconstpointer context)
{
  g_autoptr (BsItem) item = insert_evicted (self, "a");

  bs_fault_backing_hold (self->pools.fault, BS_OPERATION_READ);
  bs_loader_set_item (self->loader, item);
  g_clear_object (&self->loader);
  bs_fault_backing_release (self->pools.fault, BS_OPERATION_READ);
  wait_until (get_text (self->cell) != NULL);
  g_assert_cmpstr (get_text (self->cell), ==, "a");
}

static void
let_go_target (Shown *self)
{
  g_assert_finalize_object (g_steal_pointer (&self->cell));
}

static void
let_go_loader (Shown *self)
{
  g_clear_object (&self->loader);
}

static void
change_item (Shown *self)
{
  bs_loader_set_item (self->loader, NULL);
}

/* A loader and its target go in any order, before, while and after an object is loaded,
 * and leave nothing in use. */
static void
test_released (Shown *self, gconstpointer context)
{
  void (*const let_go[]) (Shown * self) = { let_go_target, let_go_loader, change_item };
  enum
  {
    QUEUED,
    RUNNING,
    LOADED,
    N_STAGES
  };

  for (guint i = 0; i < G_N_ELEMENTS (let_go); i++)
    for (guint stage = QUEUED; stage < N_STAGES; stage++)
      {
        g_autoptr (BsItem) plug = insert_evicted (self, "plug");
        g_autoptr (BsItem) item = insert_evicted (self, "a");
        guint n_loaded = 0;

        g_clear_object (&self->loader);
        if (self->cell != NULL)
          assert_goes (self->cell);
        self->cell = make_cell ();
        self->loader = bs_loader_new (G_OBJECT (self->cell), "note");
        if (stage == QUEUED)
          plug_in (self, plug, &n_loaded);
        else
          hold (self->codec, stage == RUNNING ? "a" : NULL);
        bs_loader_set_item (self->loader, item);
        if (stage == RUNNING)
          wait_until (get_n_held (self->codec) == 1);
        else if (stage == LOADED)
          wait_loaded (self->loader);

        let_go[i](self);
        hold (self->codec, NULL);
        wait_until (stage != QUEUED || n_loaded == 1);
        g_clear_object (&item);
        g_clear_object (&plug);
        if (self->loader != NULL)
          assert_goes (g_steal_pointer (&self->loader));
        if (self->cell != NULL)
          assert_goes (g_steal_pointer (&self->cell));
        wait_until (bs_pool_get_n_items (self->pools.pool) == 0);
        g_assert_cmpuint (bs_pool_get_memory_in_use (self->pools.pool), ==, 0);
        g_assert_cmpuint (bs_pool_get_memory_use (self->pools.pool), ==, 0);
      }
}

/* A disk may do better next time. */
static void
test_read_fails (Shown *self, gconstpointer context)
{
  g_autoptr (GObject) placeholder = make_note ("placeholder");
  g_autoptr (BsItem) item = insert_evicted (self, "a");
  g_autofree char *key = NULL;
  guint n_error = 0;

  key = bs_item_dup_key (item);
  g_signal_connect (self->loader, "notify::error", G_CALLBACK (count_notify), &n_error);
  bs_loader_set_placeholder (self->loader, placeholder);
  fail_all (&self->pools, BS_OPERATION_READ, NULL, G_IO_ERROR_FAILED);
  bs_loader_set_item (self->loader, item);
  wait_loaded (self->loader);
  g_assert_error (bs_loader_get_error (self->loader), G_IO_ERROR, G_IO_ERROR_FAILED);
  g_assert_nonnull (strstr (bs_loader_get_error (self->loader)->message, key));
  g_assert_cmpstr (get_text (self->cell), ==, "placeholder");
  g_assert_cmpuint (n_error, ==, 1);

  bs_fault_backing_clear (self->pools.fault);
  bs_loader_set_item (self->loader, NULL);
  g_assert_null (bs_loader_get_error (self->loader));
  g_assert_cmpuint (n_error, ==, 2);
  bs_loader_set_item (self->loader, item);
  wait_loaded (self->loader);
  g_assert_cmpstr (get_text (self->cell), ==, "a");
  g_assert_cmpuint (n_error, ==, 2);
}

/* Bytes that can't be decoded are neither read nor decoded for each cell that shows them. */
static void
test_decode_fails (Shown *self, gconstpointer context)
{
  g_autoptr (GListStore) ahead = g_list_store_new (BS_TYPE_ITEM);
  g_autoptr (BsItem) item = NULL, copy = NULL;
  g_autoptr (GObject) object = NULL;
  g_autoptr (GError) error = NULL;
  TestCell *second_cell = make_cell ();
  BsLoader *second = bs_loader_new (G_OBJECT (second_cell), "note");

  item = insert_evicted (self, "bad");
  copy = bs_item_copy (item);
  set_bad (self->codec, "bad");
  bs_loader_set_item (self->loader, item);
  wait_loaded (self->loader);
  g_assert_error (bs_loader_get_error (self->loader), G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
  assert_order (self->codec, "bad ");

  for (guint i = 0; i < 3; i++)
    {
      bs_loader_set_item (second, copy);
      g_assert_false (bs_loader_get_loading (second));
      g_assert_error (bs_loader_get_error (second), G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
      g_assert_cmpstr (bs_loader_get_error (second)->message, ==,
                       bs_loader_get_error (self->loader)->message);
      bs_loader_set_item (second, NULL);
    }
  g_list_store_append (ahead, item);
  bs_pool_prefetch (self->pools.pool, G_LIST_MODEL (ahead), 0, 1);
  fixture_wait_finished (&self->pools);
  assert_order (self->codec, "");
  g_assert_cmpuint (count (&self->pools, BS_OPERATION_READ), ==, 1);

  /* An application that insists has it tried. */
  g_assert_null (bs_item_load_object (item, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
  g_clear_error (&error);
  assert_order (self->codec, "bad ");
  set_bad (self->codec, NULL);
  object = bs_item_load_object (item, NULL, &error);
  g_assert_no_error (error);
  evict (self);
  g_clear_object (&object);
  bs_loader_set_item (second, copy);
  wait_loaded (second);
  g_assert_cmpstr (get_text (second_cell), ==, "bad");

  assert_goes (second);
  g_assert_finalize_object (second_cell);
  g_list_store_remove_all (ahead);
}

/* The failure goes with the last item that has the content. */
static void
test_failure_is_forgotten (Shown *self, gconstpointer context)
{
  g_autofree char *key = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (BsItem) item = NULL;

  fixture_track (&self->pools);
  item = insert_evicted (self, "bad");
  key = bs_item_dup_key (item);
  bs_item_persist (item, self->pools.tracked, NULL, &error);
  g_assert_no_error (error);
  set_bad (self->codec, "bad");
  bs_loader_set_item (self->loader, item);
  wait_loaded (self->loader);
  g_assert_nonnull (bs_loader_get_error (self->loader));
  bs_loader_set_item (self->loader, NULL);
  assert_goes (g_steal_pointer (&item));

  set_bad (self->codec, NULL);
  item = bs_pool_register (self->pools.pool, self->pools.tracked, key, NULL, &error);
  g_assert_no_error (error);
  bs_loader_set_item (self->loader, item);
  wait_loaded (self->loader);
  g_assert_null (bs_loader_get_error (self->loader));
  g_assert_cmpstr (get_text (self->cell), ==, "bad");
}

static void
test_misfit (Shown *self, gconstpointer context)
{
  g_autoptr (BsItem) item = insert_note (self, "a");
  g_autoptr (BsLoader) loader = bs_loader_new (G_OBJECT (self->cell), "list");

  bs_loader_set_item (loader, item);
  g_assert_error (bs_loader_get_error (loader), G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
  g_assert_nonnull (strstr (bs_loader_get_error (loader)->message, "GListModel"));
  g_assert_nonnull (strstr (bs_loader_get_error (loader)->message, "TestNote"));
  g_assert_null (self->cell->other);
  g_test_expect_message ("backingstore", G_LOG_LEVEL_CRITICAL, "*placeholder*");
  bs_loader_set_placeholder (loader, G_OBJECT (self->cell));
  g_test_assert_expected_messages ();
  g_assert_null (bs_loader_get_placeholder (loader));
}

static void
test_no_codec (Shown *self, gconstpointer context)
{
  g_autoptr (BsPool) plain = bs_pool_new (self->pools.store, G_MAXUINT64);
  g_autoptr (BsItem) item = insert (plain, 10, 'a');

  bs_loader_set_item (self->loader, item);
  wait_loaded (self->loader);
  g_assert_error (bs_loader_get_error (self->loader), BS_ERROR, BS_ERROR_NOT_SUPPORTED);
}

static void
test_closed (Shown *self, gconstpointer context)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (BsItem) item = insert_evicted (self, "a");

  hold (self->codec, "a");
  bs_loader_set_item (self->loader, item);
  wait_until (get_n_held (self->codec) == 1);
  bs_backing_store_close (self->pools.store, NULL, &error);
  g_assert_no_error (error);
  wait_loaded (self->loader);
  g_assert_error (bs_loader_get_error (self->loader), BS_ERROR, BS_ERROR_CLOSED);
}

/* A blob that is deleted while it is shown stays loadable; one that is lost is an error. */
static void
test_deleted (Shown *self, gconstpointer context)
{
  g_autofree char *key = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (BsBacking) memory = NULL;
  g_autoptr (BsItem) item = NULL;

  fixture_track (&self->pools);
  item = insert_evicted (self, "a");
  key = bs_item_dup_key (item);
  bs_item_persist (item, self->pools.tracked, NULL, &error);
  g_assert_no_error (error);
  hold (self->codec, "a");
  bs_loader_set_item (self->loader, item);
  wait_until (get_n_held (self->codec) == 1);
  bs_backing_store_delete_persisted (self->pools.store, self->pools.tracked, key, NULL, &error);
  g_assert_no_error (error);
  hold (self->codec, NULL);
  wait_loaded (self->loader);
  g_assert_cmpstr (get_text (self->cell), ==, "a");

  bs_loader_set_item (self->loader, NULL);
  evict (self);
  memory = g_object_ref (bs_fault_backing_get_inner (self->pools.fault));
  bs_backing_delete_key (memory, key, NULL, &error);
  g_assert_no_error (error);
  bs_loader_set_item (self->loader, item);
  wait_loaded (self->loader);
  g_assert_error (bs_loader_get_error (self->loader), BS_ERROR, BS_ERROR_NOT_FOUND);
}

static void
test_replaced (Shown *self, gconstpointer context)
{
  g_autoptr (GObject) note = make_note ("b");
  g_autoptr (GError) error = NULL;
  g_autoptr (BsItem) item = insert_note (self, "a");

  bs_loader_set_item (self->loader, item);
  g_assert_cmpstr (get_text (self->cell), ==, "a");
  bs_item_replace_object (item, note, &error);
  g_assert_no_error (error);
  wait_until (g_strcmp0 (get_text (self->cell), "b") == 0);
}

static void
show_next (GObject *cell, GParamSpec *pspec, gpointer data)
{
  BsItem **next = data;
  g_autoptr (BsItem) item = g_steal_pointer (next);

  if (item != NULL)
    bs_loader_set_item (g_object_get_data (cell, "loader"), item);
}

/* A handler of the target gives the loader another item. */
static void
test_from_handler (Shown *self, gconstpointer context)
{
  g_autoptr (BsItem) first = NULL, second = NULL;
  BsItem *next;

  g_object_set_data (G_OBJECT (self->cell), "loader", self->loader);
  g_signal_connect (self->cell, "notify::note", G_CALLBACK (show_next), &next);

  /* While the placeholder is put there, and the load of the first is under way. */
  first = insert_evicted (self, "a");
  second = insert_evicted (self, "b");
  next = g_object_ref (second);
  bs_loader_set_item (self->loader, first);
  g_assert_true (bs_loader_get_item (self->loader) == second);
  wait_loaded (self->loader);
  g_assert_cmpstr (get_text (self->cell), ==, "b");
  g_assert_true (bs_loader_get_item (self->loader) == second);

  /* While an object is. */
  evict (self);
  g_object_set (self->cell, "note", NULL, NULL);
  next = g_object_ref (first);
  bs_loader_set_item (self->loader, NULL);
  wait_loaded (self->loader);
  g_assert_cmpstr (get_text (self->cell), ==, "a");
}

static gpointer
set_from_thread (gpointer data)
{
  gpointer *arguments = data;

  for (guint i = 0; i < 1000; i++)
    bs_loader_set_item (arguments[0], arguments[1 + i % 3]);
  return NULL;
}

/* Set on other threads, shown on this one. */
static void
test_threads (Shown *self, gconstpointer context)
{
  g_autoptr (BsItem) first = insert_evicted (self, "a");
  g_autoptr (BsItem) second = insert_note (self, "b");
  GThread *threads[3];
  gpointer arguments[4];

  arguments[0] = self->loader;
  arguments[1] = first;
  arguments[2] = NULL;
  arguments[3] = second;
  g_assert_true (g_main_context_acquire (NULL));
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("set", set_from_thread, arguments);
  for (guint i = 0; i < 500; i++)
    {
      g_main_context_iteration (NULL, FALSE);
      g_assert_true (self->cell->thread == NULL || self->cell->thread == g_thread_self ());
    }
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  bs_loader_set_item (self->loader, NULL);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  bs_loader_set_item (self->loader, first);
  wait_loaded (self->loader);
  g_main_context_release (NULL);
  g_assert_cmpstr (get_text (self->cell), ==, "a");
  g_assert_true (self->cell->thread == g_thread_self ());
}

static gpointer
drop_from_thread (gpointer data)
{
  g_object_unref (data);
  return NULL;
}

/* The last reference on a loader goes on another thread than the target's. */
static void
test_goes_elsewhere (Shown *self, gconstpointer context)
{
  g_autoptr (BsItem) item = insert_note (self, "a");

  for (guint i = 0; i < 100; i++)
    {
      BsLoader *loader = bs_loader_new (G_OBJECT (self->cell), "note");

      bs_loader_set_item (loader, item);
      g_thread_join (g_thread_new ("drop", drop_from_thread, loader));
    }
}

/* A target that goes on another thread ends the load before the loader's context runs. */
static void
test_target_goes_elsewhere (Shown *self, gconstpointer context)
{
  g_autoptr (BsItem) item = insert_evicted (self, "a");

  g_assert_true (g_main_context_acquire (NULL));
  hold (self->codec, "a");
  bs_loader_set_item (self->loader, item);
  while (get_n_held (self->codec) == 0)
    g_thread_yield ();
  g_thread_join (g_thread_new ("drop", drop_from_thread, g_steal_pointer (&self->cell)));
  while (get_n_cancelled (self->codec) == 0)
    g_thread_yield ();
  g_assert_false (bs_loader_get_loading (self->loader));
  g_main_context_release (NULL);
}

static gpointer
show_in_thread (gpointer data)
{
  g_autoptr (GMainContext) context = g_main_context_new ();
  TestCell *cell = make_cell ();
  BsLoader *loader;

  g_main_context_push_thread_default (context);
  loader = bs_loader_new (G_OBJECT (cell), "note");
  bs_loader_set_item (loader, data);
  while (bs_loader_get_loading (loader))
    g_main_context_iteration (context, TRUE);
  g_assert_cmpstr (get_text (cell), ==, "a");
  g_assert_true (cell->thread == g_thread_self ());
  g_main_context_pop_thread_default (context);

  assert_goes (loader);
  g_assert_finalize_object (cell);
  return NULL;
}

/* A loader of another context than the store's. */
static void
test_other_context (Shown *self, gconstpointer context)
{
  g_autoptr (BsItem) item = insert_evicted (self, "a");

  g_thread_join (g_thread_new ("show", show_in_thread, item));
}

static gboolean
draw_frame (gpointer data)
{
  return --*(guint *) data > 0 ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

/* In a store with a main context the codec runs between the frames. */
static void
test_main_context (Shown *self, gconstpointer context)
{
  static const char *texts[] = { "0", "1", "2" };
  g_autoptr (GListStore) model = g_list_store_new (BS_TYPE_ITEM);
  TestCell *cells[G_N_ELEMENTS (texts)];
  BsLoader *loaders[G_N_ELEMENTS (texts)];
  guint n_frames = 3;

  for (guint i = 0; i < G_N_ELEMENTS (texts) + 1; i++)
    {
      g_autoptr (BsItem) item = insert_evicted (self, i < G_N_ELEMENTS (texts) ? texts[i] : "x");

      g_list_store_append (model, item);
    }
  bs_pool_prefetch (self->pools.pool, G_LIST_MODEL (model), 0, G_N_ELEMENTS (texts) + 1);
  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      g_autoptr (BsItem) item = g_list_model_get_item (G_LIST_MODEL (model), i);

      cells[i] = make_cell ();
      loaders[i] = bs_loader_new (G_OBJECT (cells[i]), "note");
      bs_loader_set_item (loaders[i], item);
      g_assert_null (get_text (cells[i]));
    }
  g_idle_add_full (G_PRIORITY_HIGH_IDLE + 20, draw_frame, &n_frames, NULL);
  wait_until (n_frames == 0);
  assert_order (self->codec, "");
  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      wait_loaded (loaders[i]);
      g_assert_cmpstr (get_text (cells[i]), ==, texts[i]);
      assert_goes (loaders[i]);
      g_assert_finalize_object (cells[i]);
    }
  fixture_wait_finished (&self->pools);
  assert_order (self->codec, "2 1 0 x ");

  g_list_store_remove_all (model);
}

/* An element of a list that has an item, or something else. */
#define TEST_TYPE_ROW (test_row_get_type ())
G_DECLARE_FINAL_TYPE (TestRow, test_row, TEST, ROW, GObject)

struct _TestRow
{
  GObject parent_instance;
  GObject *item; /* owned, nullable */
};

G_DEFINE_FINAL_TYPE (TestRow, test_row, G_TYPE_OBJECT)

static void
test_row_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  g_value_set_object (value, TEST_ROW (object)->item);
}

static void
test_row_finalize (GObject *object)
{
  g_clear_object (&TEST_ROW (object)->item);
  G_OBJECT_CLASS (test_row_parent_class)->finalize (object);
}

static void
test_row_class_init (TestRowClass *klass)
{
  G_OBJECT_CLASS (klass)->get_property = test_row_get_property;
  G_OBJECT_CLASS (klass)->finalize = test_row_finalize;
  g_object_class_install_property (G_OBJECT_CLASS (klass), 1,
                                   g_param_spec_object ("item", NULL, NULL, G_TYPE_OBJECT,
                                                        G_PARAM_READABLE));
}

static void
test_row_init (TestRow *self)
{
}

static void
append_row (GListStore *model, gpointer item)
{
  g_autoptr (TestRow) row = g_object_new (TEST_TYPE_ROW, NULL);

  g_set_object (&row->item, item);
  g_list_store_append (model, row);
}

static gboolean
has_note (BsItem *item)
{
  g_autoptr (GObject) note = bs_item_try_load_object (item);

  return note != NULL;
}

static void
test_prefetch (Shown *self, gconstpointer context)
{
  static const char *texts[] = { "0", "1", "2", "3", "4", "5" };
  g_autoptr (GListStore) model = g_list_store_new (G_TYPE_OBJECT);
  BsItem *items[G_N_ELEMENTS (texts)];

  bs_backing_store_set_max_threads (self->pools.store, 1);
  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      items[i] = insert_evicted (self, texts[i]);
      if (i % 2 == 0)
        g_list_store_append (model, items[i]);
      else
        append_row (model, items[i]);
    }
  bs_pool_prefetch (self->pools.pool, G_LIST_MODEL (model), 1, 3);
  fixture_wait_finished (&self->pools);
  assert_order (self->codec, "1 2 3 ");
  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    g_assert_cmpint (has_note (items[i]), ==, i >= 1 && i <= 3);

  /* An object in memory is read no more; nothing is beyond the end. */
  bs_pool_prefetch (self->pools.pool, G_LIST_MODEL (model), 3, G_MAXUINT);
  bs_pool_prefetch (self->pools.pool, G_LIST_MODEL (model), 3, 100);
  fixture_wait_finished (&self->pools);
  assert_order (self->codec, "4 5 ");
  bs_pool_prefetch (self->pools.pool, G_LIST_MODEL (model), 6, 1);
  bs_pool_prefetch (self->pools.pool, G_LIST_MODEL (model), G_MAXUINT, G_MAXUINT);
  bs_pool_prefetch (self->pools.pool, G_LIST_MODEL (model), 0, 0);
  fixture_wait_finished (&self->pools);
  assert_order (self->codec, "");

  g_list_store_remove_all (model);
  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    g_object_unref (items[i]);
}

/* Elements that are of no use to the pool. */
static void
test_prefetch_others (Shown *self, gconstpointer context)
{
  g_autoptr (GListStore) model = g_list_store_new (G_TYPE_OBJECT);
  g_autoptr (GObject) note = make_note ("a");
  g_autoptr (BsPool) other = NULL;
  g_autoptr (GBytes) bytes = g_bytes_new ("foreign", 7);
  g_autoptr (BsItem) foreign = NULL, item = NULL, unwritten = NULL;
  g_autoptr (BsItem) nothing = g_object_new (BS_TYPE_ITEM, NULL);
  g_autoptr (GError) error = NULL;

  other = bs_pool_new_with_codec (self->pools.store, BS_CODEC (self->codec), 0);
  foreign = bs_pool_insert (other, bytes);
  bs_item_write (foreign, NULL, &error);
  g_assert_no_error (error);
  item = insert_evicted (self, "a");
  unwritten = bs_pool_insert (self->pools.pool, bytes);
  g_list_store_append (model, note);
  append_row (model, NULL);
  append_row (model, note);
  g_list_store_append (model, foreign);
  append_row (model, foreign);
  g_list_store_append (model, nothing);
  /* Its bytes are in memory, and need not be written for an object. */
  g_list_store_append (model, unwritten);
  g_list_store_append (model, item);
  bs_pool_prefetch (self->pools.pool, G_LIST_MODEL (model), 0, 100);
  fixture_wait_finished (&self->pools);
  assert_order (self->codec, "a ");

  g_list_store_remove_all (model);
}

/* The next call takes the place of the one before: what only that wanted is not loaded,
 * and what both want is not begun anew. */
static void
test_prefetch_replaced (Shown *self, gconstpointer context)
{
  static const char *texts[] = { "0", "1", "2", "3" };
  g_autoptr (GListStore) model = g_list_store_new (BS_TYPE_ITEM);
  g_autoptr (BsItem) plug = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      g_autoptr (BsItem) item = insert_evicted (self, texts[i]);

      g_list_store_append (model, item);
    }
  bs_backing_store_set_max_threads (self->pools.store, 1);
  hold (self->codec, "1");
  bs_pool_prefetch (self->pools.pool, G_LIST_MODEL (model), 1, 2);
  wait_until (get_n_held (self->codec) == 1);
  bs_pool_prefetch (self->pools.pool, G_LIST_MODEL (model), 0, 2);
  hold (self->codec, NULL);
  fixture_wait_finished (&self->pools);
  assert_order (self->codec, "1 0 ");
  g_assert_cmpuint (get_n_cancelled (self->codec), ==, 0);

  /* One that runs and that nobody wants is cancelled. */
  hold (self->codec, "3");
  bs_pool_prefetch (self->pools.pool, G_LIST_MODEL (model), 3, 1);
  wait_until (get_n_held (self->codec) == 1);
  bs_pool_prefetch (self->pools.pool, G_LIST_MODEL (model), 0, 0);
  fixture_wait_finished (&self->pools);
  g_assert_cmpuint (get_n_cancelled (self->codec), ==, 1);

  g_list_store_remove_all (model);
}

/* Without a codec it is bytes; failures are not told of. */
static void
test_prefetch_bytes (Shown *self, gconstpointer context)
{
  g_autoptr (GListStore) model = g_list_store_new (BS_TYPE_ITEM);
  g_autoptr (GError) error = NULL;
  g_autoptr (BsPool) plain = bs_pool_new (self->pools.store, G_MAXUINT64);
  BsItem *items[3];

  for (guint i = 0; i < G_N_ELEMENTS (items); i++)
    {
      items[i] = insert (plain, 100, '0' + i);
      g_list_store_append (model, items[i]);
    }
  bs_pool_trim (plain, 0, NULL, &error);
  g_assert_no_error (error);
  {
    g_autofree char *key = bs_item_dup_key (items[1]);

    fail_all (&self->pools, BS_OPERATION_READ, key, G_IO_ERROR_FAILED);
  }
  bs_pool_prefetch (plain, G_LIST_MODEL (model), 0, 3);
  fixture_wait_finished (&self->pools);
  g_assert_true (is_resident (items[0]));
  g_assert_false (is_resident (items[1]));
  g_assert_true (is_resident (items[2]));

  g_list_store_remove_all (model);
  for (guint i = 0; i < G_N_ELEMENTS (items); i++)
    g_object_unref (items[i]);
}

static void
add_in_context (const char *path,
                void (*test) (Shown *self, gconstpointer context),
                GMainContext *context)
{
  g_test_add (path, Shown, context, shown_set_up, test, shown_tear_down);
}

static void
add (const char *path, void (*test) (Shown *self, gconstpointer context))
{
  add_in_context (path, test, NULL);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);

  add ("/loader/properties", test_properties);
  add ("/loader/no-property", test_no_property);
  add ("/loader/in-memory", test_in_memory);
  add ("/loader/load", test_load);
  add ("/loader/newest-first", test_newest_first);
  add ("/loader/item-changes", test_item_changes);
  add ("/loader/target-goes", test_target_goes);
  add ("/loader/target-disposed", test_target_disposed);
  add ("/loader/loader-goes", test_loader_goes);
  add ("/loader/released", test_released);
  add ("/loader/read-fails", test_read_fails);
  add ("/loader/decode-fails", test_decode_fails);
  add ("/loader/failure-is-forgotten", test_failure_is_forgotten);
  add ("/loader/misfit", test_misfit);
  add ("/loader/no-codec", test_no_codec);
  add ("/loader/closed", test_closed);
  add ("/loader/deleted", test_deleted);
  add ("/loader/replaced", test_replaced);
  add ("/loader/from-handler", test_from_handler);
  add ("/loader/threads", test_threads);
  add ("/loader/goes-elsewhere", test_goes_elsewhere);
  add ("/loader/target-goes-elsewhere", test_target_goes_elsewhere);
  add ("/loader/other-context", test_other_context);
  add_in_context ("/loader/main-context", test_main_context, g_main_context_default ());
  add ("/loader/prefetch", test_prefetch);
  add ("/loader/prefetch/others", test_prefetch_others);
  add ("/loader/prefetch/replaced", test_prefetch_replaced);
  add ("/loader/prefetch/bytes", test_prefetch_bytes);

  return g_test_run ();
}
