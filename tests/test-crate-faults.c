/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* Mistakes of the crate file_backed under fault, which the library does not make.
 * Here are those that need a pool on real files; the others stand beside their kind:
 *
 *   a failed read during a mutable load deletes the only copy
 *       here, /item/load-error
 *   a write that hits a full disk leaves a part, and can't be tried again
 *       /file-systems/full/scratch, /file-systems/full/pool, /file-backing/full-primary
 *   storing a child from inside a store hangs when both keys share a shard
 *       here, /store/faults/store-inside-task, /codec/calls-back
 *   a missing scratch file makes the deletion panic and the key unusable
 *       here, /store/faults/missing-scratch, /file-backing/stray-unlink
 *   one stray unlink in the persisted directory makes every later save fail
 *       here, /file-backing/stray-unlink
 *   a scratch file left by a crash makes register fail in the next run
 *       here, /file-backing/crash, /foreign/lock/killed
 *   hyphenated or misplaced names are listed but cannot be registered
 *       here, /foreign/within/path, /foreign/path/uuid
 *   a second tracked path on one directory fails
 *       here, /store/tracked-path, /contract/no-deadlock/track
 *   readers of an item that is to be evicted wait, though its data is in memory
 *       here, /pool/background-write
 */

#include "file-fixture.h"

#include <backingstore/backingstore.h>

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

/* The objects of an application. */
typedef struct
{
  BsFaultBacking *fault;
  BsBackingStore *store;
  BsPool *pool;
  BsTrackedPath *tracked;
  guint n_background_errors; /* atomic */
} Session;

static void
background_error (BsBackingStore *store,
                  const char *key,
                  BsOperation operation,
                  GError *error,
                  gpointer data)
{
  Session *session = data;

  g_atomic_int_inc (&session->n_background_errors);
}

static void
session_begin (Session *session, Fixture *fixture, BsCodec *codec)
{
  g_autoptr (GError) error = NULL;

  session->n_background_errors = 0;
  session->fault = bs_fault_backing_new (fixture->backing);
  session->store = bs_backing_store_new (BS_BACKING (session->fault));
  g_signal_connect (session->store, "background-error", G_CALLBACK (background_error), session);
  session->pool = codec != NULL ? bs_pool_new_with_codec (session->store, codec, G_MAXINT64)
                                : bs_pool_new (session->store, G_MAXINT64);
  session->tracked = bs_backing_store_track_path (session->store, fixture->path, NULL, &error);
  g_assert_no_error (error);
}

/* Everything that was asked is done, delayed deletions included. */
static void
settle (Session *session)
{
  g_autoptr (GError) error = NULL;

  bs_backing_store_wait_finished (session->store, NULL, &error);
  g_assert_no_error (error);
  bs_task_tracker_reopen (bs_backing_store_get_task_tracker (session->store));
}

static void
session_end (Session *session, Fixture *fixture)
{
  g_autoptr (GError) error = NULL;

  settle (session);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_assert_cmpuint (g_atomic_int_get (&session->n_background_errors), ==, 0);
  g_clear_object (&session->tracked);
  g_clear_object (&session->pool);
  bs_backing_store_close (session->store, NULL, &error);
  g_assert_no_error (error);
  g_clear_object (&session->store);
  g_clear_object (&session->fault);
  g_clear_object (&fixture->backing);
}

static void
assert_loads (BsItem *item, GBytes *expected)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = bs_item_load (item, NULL, &error);

  g_assert_no_error (error);
  g_assert_true (g_bytes_equal (bytes, expected));
}

static void
evict_all (Session *session)
{
  g_autoptr (GError) error = NULL;

  bs_pool_trim (session->pool, 0, NULL, &error);
  g_assert_no_error (error);
}

static BsItem *
insert_persisted (Session *session, GBytes *bytes)
{
  g_autoptr (GError) error = NULL;
  BsItem *item = bs_pool_insert (session->pool, bytes);

  bs_item_persist (item, session->tracked, NULL, &error);
  g_assert_no_error (error);

  return item;
}

static void
sync_tracked (Session *session)
{
  g_autoptr (GError) error = NULL;

  bs_backing_store_sync (session->store, session->tracked, NULL, &error);
  g_assert_no_error (error);
}

static void
test_failed_read (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) failure =
    g_error_new_literal (G_IO_ERROR, G_IO_ERROR_FAILED, "so the test wants it");
  g_autoptr (GBytes) changed = make_test_bytes (300, 9);
  g_autoptr (GError) error = NULL;
  g_autoptr (BsItem) item = NULL;
  g_autofree char *key = NULL;
  g_autofree char *scratch = NULL;
  Session session;

  use_large_blobs (fixture);
  session_begin (&session, fixture, NULL);
  item = bs_pool_insert (session.pool, fixture->bytes);
  key = bs_item_dup_key (item);
  scratch = get_blob_name (fixture->primary_name, key);
  evict_all (&session);

  /* The only copy. */
  bs_fault_backing_fail (session.fault, BS_OPERATION_READ, NULL, 0, failure);
  g_assert_null (bs_item_load (item, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_FAILED);
  settle (&session);
  g_assert_true (exists (scratch));
  bs_fault_backing_clear (session.fault);
  assert_loads (item, fixture->bytes);

  /* The change is made when the content is there to be changed. */
  bs_item_replace (item, changed);
  evict_all (&session);
  assert_loads (item, changed);
  settle (&session);
  g_assert_false (exists (scratch));

  g_clear_object (&item);
  session_end (&session, fixture);
}

/* A parent that stores its children while it is stored itself. */
typedef struct
{
  Session *session;
  BsItem *parent;
} Family;

/* Keys are random, but of 256 folders one comes up soon. */
static BsItem *
insert_in_shard_of (BsPool *pool, BsItem *parent, GBytes *bytes)
{
  g_autofree char *parent_key = bs_item_dup_key (parent);

  for (;;)
    {
      g_autoptr (BsItem) child = bs_pool_insert (pool, bytes);
      g_autofree char *key = bs_item_dup_key (child);

      if (strncmp (key, parent_key, 2) == 0)
        return g_steal_pointer (&child);
    }
}

static gboolean
store_family (BsBackingStore *store, GCancellable *cancellable, gpointer data, GError **error)
{
  Family *family = data;
  Session *session = family->session;
  g_autoptr (GBytes) bytes = make_test_bytes (1000, 3);
  g_autoptr (BsItem) child = insert_in_shard_of (session->pool, family->parent, bytes);

  return bs_item_persist (child, session->tracked, cancellable, error) &&
         bs_item_persist (family->parent, session->tracked, cancellable, error);
}

static void
test_child_in_task (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsItem) parent = NULL;
  g_autoptr (GError) error = NULL;
  Session session;
  Family family;

  session_begin (&session, fixture, NULL);
  bs_backing_store_set_max_threads (session.store, 1);
  parent = bs_pool_insert (session.pool, fixture->bytes);
  family.session = &session;
  family.parent = parent;
  bs_backing_store_run_in_thread (session.store, store_family, &family, NULL, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (bs_tracked_path_get_n_keys (session.tracked), ==, 2);

  g_clear_object (&parent);
  session_end (&session, fixture);
}

/* An encoder inserts children: its object is a list of their keys, and they are inserted when
 * it is encoded. */
#define TEST_TYPE_FAMILY_CODEC (test_family_codec_get_type ())
G_DECLARE_FINAL_TYPE (TestFamilyCodec, test_family_codec, TEST, FAMILY_CODEC, GObject)

struct _TestFamilyCodec
{
  GObject parent_instance;
  BsPool *pool;        /* not owned */
  BsItem *parent;      /* not owned */
  GPtrArray *children; /* of BsItem, owned */
  guint n_encoded;
};

static void test_family_codec_iface_init (BsCodecInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (TestFamilyCodec,
                               test_family_codec,
                               G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (BS_TYPE_CODEC, test_family_codec_iface_init))

static GBytes *
test_family_codec_encode (BsCodec *codec,
                          GObject *object,
                          GCancellable *cancellable,
                          GError **error)
{
  TestFamilyCodec *self = (TestFamilyCodec *) codec;
  g_autoptr (GBytes) bytes = make_test_bytes (1000, 3);
  g_autoptr (GError) refused = NULL;
  BsItem *child = insert_in_shard_of (self->pool, self->parent, bytes);

  self->n_encoded++;
  g_ptr_array_add (self->children, child);

  /* Said, rather than waited for: the child goes its way by itself. */
  g_assert_false (bs_item_write (child, NULL, &refused));
  g_assert_error (refused, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
  bs_item_write_async (child, G_PRIORITY_DEFAULT, NULL, NULL, NULL);

  return g_bytes_new_static ("family", 6);
}

static GObject *
test_family_codec_decode (BsCodec *codec, GBytes *bytes, GCancellable *cancellable, GError **error)
{
  return g_object_new (G_TYPE_OBJECT, NULL);
}

static guint64
test_family_codec_measure (BsCodec *codec, GObject *object)
{
  return 100;
}

static void
test_family_codec_iface_init (BsCodecInterface *iface)
{
  iface->encode = test_family_codec_encode;
  iface->decode = test_family_codec_decode;
  iface->measure = test_family_codec_measure;
}

static void
test_family_codec_finalize (GObject *object)
{
  g_ptr_array_unref (((TestFamilyCodec *) object)->children);

  G_OBJECT_CLASS (test_family_codec_parent_class)->finalize (object);
}

static void
test_family_codec_class_init (TestFamilyCodecClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = test_family_codec_finalize;
}

static void
test_family_codec_init (TestFamilyCodec *self)
{
  self->children = g_ptr_array_new_with_free_func (g_object_unref);
}

static void
test_child_in_encoder (Fixture *fixture, gconstpointer data)
{
  g_autoptr (TestFamilyCodec) codec = g_object_new (TEST_TYPE_FAMILY_CODEC, NULL);
  g_autoptr (GObject) object = g_object_new (G_TYPE_OBJECT, NULL);
  g_autoptr (GBytes) expected = make_test_bytes (1000, 3);
  g_autoptr (GError) error = NULL;
  g_autoptr (BsItem) parent = NULL;
  Session session;

  session_begin (&session, fixture, BS_CODEC (codec));
  bs_backing_store_set_max_threads (session.store, 1);
  parent = bs_pool_insert_object (session.pool, object, NULL);
  codec->pool = session.pool;
  codec->parent = parent;

  bs_item_persist (parent, session.tracked, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (codec->n_encoded, ==, 1);
  settle (&session);
  g_assert_cmpuint (bs_tracked_path_get_n_keys (session.tracked), ==, 1);
  assert_loads (codec->children->pdata[0], expected);

  g_ptr_array_set_size (codec->children, 0);
  g_clear_object (&parent);
  session_end (&session, fixture);
}

static void
test_missing_scratch (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (BsItem) item = NULL;
  g_autofree char *key = NULL;
  g_autofree char *scratch = NULL;
  g_autofree char *shard = NULL;
  Session session;

  session_begin (&session, fixture, NULL);
  item = insert_persisted (&session, fixture->bytes);
  key = bs_item_dup_key (item);
  scratch = get_blob_name (fixture->primary_name, key);
  shard = get_shard_name (fixture->primary_name, key);

  for (guint i = 0; i < 4; i++)
    {
      /* The file alone, or the folder with it. */
      evict_all (&session);
      if (i % 2 == 0)
        g_assert_cmpint (g_unlink (scratch), ==, 0);
      else
        remove_test_directory (shard);

      /* The blob is brought back from the path that has it whole. */
      if (i < 2)
        {
          assert_loads (item, fixture->bytes);
          evict_all (&session);
          g_assert_true (exists (scratch));
          continue;
        }

      g_clear_object (&item);
      settle (&session);
      item = bs_pool_register (session.pool, session.tracked, key, NULL, &error);
      g_assert_no_error (error);
      assert_loads (item, fixture->bytes);
    }

  g_clear_object (&item);
  session_end (&session, fixture);
}

/* Saves after a hand that is not ours has removed a blob. */
static void
test_stray_unlink (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsKeySet) old_keys = bs_key_set_new ();
  g_autoptr (GError) error = NULL;
  Session session;

  session_begin (&session, fixture, NULL);
  for (guint i = 0; i < 10; i++)
    {
      g_autoptr (BsItem) item = insert_persisted (&session, fixture->bytes);
      g_autofree char *key = bs_item_dup_key (item);

      bs_key_set_add (old_keys, key, NULL);
    }
  sync_tracked (&session);

  for (guint save = 0; save < 3; save++)
    {
      g_auto (GStrv) keys = bs_key_set_list_keys (old_keys);
      g_autofree char *removed = get_blob_name (fixture->path_name, keys[0]);
      g_autoptr (BsKeySet) new_keys = bs_key_set_new ();

      g_assert_cmpint (g_unlink (removed), ==, 0);
      for (guint i = 0; i < 10; i++)
        {
          g_autoptr (BsItem) item = insert_persisted (&session, fixture->bytes);
          g_autofree char *key = bs_item_dup_key (item);

          bs_key_set_add (new_keys, key, NULL);
        }
      sync_tracked (&session);
      bs_backing_store_delete_persisted (session.store, session.tracked, keys[0], NULL, &error);
      g_assert_no_error (error);
      bs_backing_store_delete_persisted_keys (session.store, session.tracked, old_keys, NULL,
                                              &error);
      g_assert_no_error (error);
      sync_tracked (&session);
      g_assert_cmpuint (bs_tracked_path_get_n_keys (session.tracked), ==, 10);
      g_set_object (&old_keys, new_keys);
    }

  session_end (&session, fixture);
}

static void
write_and_persist (Fixture *fixture)
{
  write_blob (fixture, fixture->key);
  persist_blob (fixture, fixture->key);
  sync_path (fixture);
}

static void
test_crash_leaves_scratch (Fixture *fixture, gconstpointer data)
{
  g_autofree char *scratch = get_blob_name (fixture->primary_name, fixture->key);
  g_autoptr (GError) error = NULL;
  g_autoptr (BsItem) item = NULL;
  Session session;

  run_and_crash (write_and_persist, fixture);
  g_assert_true (exists (scratch));

  session_begin (&session, fixture, NULL);
  item = bs_pool_register (session.pool, session.tracked, fixture->key, NULL, &error);
  g_assert_no_error (error);
  assert_loads (item, fixture->bytes);
  g_clear_object (&item);
  session_end (&session, fixture);
}

/* Every listed key can be registered, and no other name is listed. */
static void
test_odd_names (Fixture *fixture, gconstpointer data)
{
  static const char *const names[] = {
    "ab/abcdef01-2345-6789-abcd-ef0123456789",
    "ac/abcdef0123456789abcdef0123456789",
    "abcdef0123456789abcdef0123456780",
    "ab/ABCDEF0123456789ABCDEF0123456781",
  };
  g_auto (GStrv) keys = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (GListModel) all = NULL;
  Session session;

  write_and_persist (fixture);
  restart_backing (fixture);
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    plant_in (fixture->path_name, names[i], "mine");

  session_begin (&session, fixture, NULL);
  keys = bs_tracked_path_list_keys (session.tracked);
  g_assert_cmpuint (g_strv_length (keys), ==, 1);
  g_assert_cmpstr (keys[0], ==, fixture->key);
  all = bs_pool_register_all (session.pool, session.tracked, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (g_list_model_get_n_items (all), ==, 1);
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    g_assert_true (exists_in (fixture->path_name, names[i]));
  g_clear_object (&all);
  session_end (&session, fixture);
}

static void
test_second_tracked_path (Fixture *fixture, gconstpointer data)
{
  g_autofree char *slash = g_strconcat (fixture->path_name, "/", NULL);
  g_autofree char *detour = g_build_filename (fixture->path_name, "..", "persisted", ".", NULL);
  const char *const names[] = { fixture->path_name, slash, detour };
  g_autoptr (BsItem) item = NULL;
  Session session;

  session_begin (&session, fixture, NULL);
  item = insert_persisted (&session, fixture->bytes);
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autoptr (GFile) file = g_file_new_for_path (names[i]);
      g_autoptr (GError) error = NULL;
      g_autoptr (BsTrackedPath) second =
        bs_backing_store_track_path (session.store, file, NULL, &error);

      g_assert_no_error (error);
      g_assert_true (second == session.tracked);
    }
  g_assert_cmpuint (bs_tracked_path_get_n_keys (session.tracked), ==, 1);
  assert_loads (item, fixture->bytes);
  g_clear_object (&item);
  session_end (&session, fixture);
}

/* Everything is on its way out, and the disk does not answer. */
static void
test_reading_what_is_evicted (Fixture *fixture, gconstpointer data)
{
  BsItem *items[20];
  Session session;

  session_begin (&session, fixture, NULL);
  bs_fault_backing_hold (session.fault, BS_OPERATION_WRITE);
  for (guint i = 0; i < G_N_ELEMENTS (items); i++)
    items[i] = bs_pool_insert (session.pool, fixture->bytes);
  bs_pool_set_max_bytes (session.pool, 0);
  while (bs_fault_backing_get_count (session.fault, BS_OPERATION_WRITE) == 0)
    g_thread_yield ();

  for (guint i = 0; i < G_N_ELEMENTS (items); i++)
    {
      g_autoptr (GBytes) bytes = bs_item_try_load (items[i]);

      g_assert_nonnull (bytes);
      assert_loads (items[i], fixture->bytes);
    }

  bs_fault_backing_release (session.fault, BS_OPERATION_WRITE);
  for (guint i = 0; i < G_N_ELEMENTS (items); i++)
    g_object_unref (items[i]);
  session_end (&session, fixture);
}

int
main (int argc, char *argv[])
{
  static const struct
  {
    const char *name;
    void (*func) (Fixture *fixture, gconstpointer data);
  } tests[] = {
    /* First, while nothing forked could miss a thread. */
    { "crash-leaves-scratch", test_crash_leaves_scratch },
    { "failed-read", test_failed_read },
    { "child-in-task", test_child_in_task },
    { "child-in-encoder", test_child_in_encoder },
    { "missing-scratch", test_missing_scratch },
    { "stray-unlink", test_stray_unlink },
    { "odd-names", test_odd_names },
    { "second-tracked-path", test_second_tracked_path },
    { "reading-what-is-evicted", test_reading_what_is_evicted },
  };

  g_test_init (&argc, &argv, NULL);

  for (guint i = 0; i < G_N_ELEMENTS (tests); i++)
    {
      g_autofree char *path = g_strdup_printf ("/crate-faults/%s", tests[i].name);

      g_test_add (path, Fixture, NULL, set_up, tests[i].func, tear_down);
    }

  return g_test_run ();
}
