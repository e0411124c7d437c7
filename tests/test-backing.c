/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "backings/bs-fault-backing.h"
#include "backings/bs-memory-backing.h"
#include "base/bs-backing-private.h"

#define KEY "0123abcd-4567-89ef-cdab-0f1e2d3c4b5a"
#define SPELLING "0123ABCD456789EFCDAB0F1E2D3C4B5A"
#define PATH "/somewhere/else"

typedef enum
{
  SUCCEED,
  FAIL,
  FAIL_SILENTLY,
  SUCCEED_WITH_ERROR,
} Behaviour;

/* A backing that notes what it is asked and does as it is told. */

#define TEST_TYPE_BACKING (test_backing_get_type ())
G_DECLARE_FINAL_TYPE (TestBacking, test_backing, TEST, BACKING, GObject)

struct _TestBacking
{
  GObject parent_instance;

  Behaviour behaviour;
  guint n_calls;
  guint failing_call; /* only this one misbehaves; 0: all */
  GCancellable *cancel_in_call;

  BsOperation operation;
  char *key;
  GFile *path;
  guint n_contents;
  GBytes *bytes;
  BsKeySet *keys;
};

static void test_backing_iface_init (BsBackingInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (TestBacking,
                               test_backing,
                               G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (BS_TYPE_BACKING, test_backing_iface_init))

static gboolean
answer (BsBacking *backing, BsOperation operation, GFile *path, const char *key, GError **error)
{
  TestBacking *self = TEST_BACKING (backing);
  Behaviour behaviour = self->behaviour;

  g_assert_nonnull (error);
  g_assert_no_error (*error);

  self->n_calls++;
  if (self->failing_call != 0 && self->failing_call != self->n_calls)
    behaviour = SUCCEED;

  self->operation = operation;
  g_set_object (&self->path, path);
  g_free (self->key);
  self->key = g_strdup (key);
  if (self->cancel_in_call != NULL)
    g_cancellable_cancel (self->cancel_in_call);

  if (behaviour == FAIL || behaviour == SUCCEED_WITH_ERROR)
    g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE, "the disk is full");
  return behaviour == SUCCEED || behaviour == SUCCEED_WITH_ERROR;
}

static gboolean
test_backing_write (BsBacking *backing,
                    const char *key,
                    GBytes *bytes,
                    GCancellable *cancellable,
                    GError **error)
{
  TEST_BACKING (backing)->bytes = bytes;
  return answer (backing, BS_OPERATION_WRITE, NULL, key, error);
}

static GBytes *
test_backing_read (BsBacking *backing, const char *key, GCancellable *cancellable, GError **error)
{
  return answer (backing, BS_OPERATION_READ, NULL, key, error) ? g_bytes_new_static ("blob", 4)
                                                               : NULL;
}

static gboolean
test_backing_delete_key (BsBacking *backing,
                         const char *key,
                         GCancellable *cancellable,
                         GError **error)
{
  return answer (backing, BS_OPERATION_DELETE_KEY, NULL, key, error);
}

static gboolean
test_backing_register_key (BsBacking *backing,
                           GFile *path,
                           const char *key,
                           GCancellable *cancellable,
                           GError **error)
{
  return answer (backing, BS_OPERATION_REGISTER_KEY, path, key, error);
}

static gboolean
test_backing_persist (BsBacking *backing,
                      GFile *path,
                      const char *key,
                      GCancellable *cancellable,
                      GError **error)
{
  return answer (backing, BS_OPERATION_PERSIST, path, key, error);
}

static gboolean
test_backing_persist_bytes (BsBacking *backing,
                            GFile *path,
                            const char *key,
                            GBytes *bytes,
                            GCancellable *cancellable,
                            GError **error)
{
  TEST_BACKING (backing)->bytes = bytes;
  return answer (backing, BS_OPERATION_PERSIST_BYTES, path, key, error);
}

static gboolean
test_backing_delete_persisted (BsBacking *backing,
                               GFile *path,
                               const char *key,
                               GCancellable *cancellable,
                               GError **error)
{
  return answer (backing, BS_OPERATION_DELETE_PERSISTED, path, key, error);
}

static gboolean
test_backing_sanitize_path (BsBacking *backing,
                            GFile *path,
                            BsKeySet *found,
                            GCancellable *cancellable,
                            GError **error)
{
  g_assert_true (bs_key_set_add (found, KEY, NULL));
  return answer (backing, BS_OPERATION_SANITIZE_PATH, path, NULL, error);
}

static gboolean
test_backing_sync_persisted (BsBacking *backing,
                             GFile *path,
                             GCancellable *cancellable,
                             GError **error)
{
  return answer (backing, BS_OPERATION_SYNC_PERSISTED, path, NULL, error);
}

static gboolean
test_backing_register_keys (BsBacking *backing,
                            GFile *path,
                            BsKeySet *keys,
                            GCancellable *cancellable,
                            GError **error)
{
  TEST_BACKING (backing)->keys = keys;
  return answer (backing, BS_OPERATION_REGISTER_KEYS, path, NULL, error);
}

static gboolean
test_backing_delete_persisted_keys (BsBacking *backing,
                                    GFile *path,
                                    BsKeySet *keys,
                                    GCancellable *cancellable,
                                    GError **error)
{
  TEST_BACKING (backing)->keys = keys;
  return answer (backing, BS_OPERATION_DELETE_PERSISTED_KEYS, path, NULL, error);
}

static gboolean
test_backing_persist_keys (BsBacking *backing,
                           GFile *path,
                           BsKeySet *keys,
                           GHashTable *contents,
                           GCancellable *cancellable,
                           GError **error)
{
  TEST_BACKING (backing)->keys = keys;
  TEST_BACKING (backing)->n_contents = g_hash_table_size (contents);
  TEST_BACKING (backing)->bytes = g_hash_table_lookup (contents, KEY);
  return answer (backing, BS_OPERATION_PERSIST_KEYS, path, NULL, error);
}

static gboolean
test_backing_write_root (BsBacking *backing,
                         GFile *path,
                         GBytes *bytes,
                         BsKeySet *named,
                         GCancellable *cancellable,
                         GError **error)
{
  TEST_BACKING (backing)->bytes = bytes;
  TEST_BACKING (backing)->keys = named;
  return answer (backing, BS_OPERATION_WRITE_ROOT, path, NULL, error);
}

static GBytes *
test_backing_read_root (BsBacking *backing, GFile *path, GCancellable *cancellable, GError **error)
{
  return answer (backing, BS_OPERATION_READ_ROOT, path, NULL, error)
           ? g_bytes_new_static ("root", 4)
           : NULL;
}

static gboolean
test_backing_verify_persisted (BsBacking *backing,
                               GFile *path,
                               const char *key,
                               GCancellable *cancellable,
                               GError **error)
{
  return answer (backing, BS_OPERATION_VERIFY_PERSISTED, path, key, error);
}

static gboolean
test_backing_release_path (BsBacking *backing,
                           GFile *path,
                           GCancellable *cancellable,
                           GError **error)
{
  return answer (backing, BS_OPERATION_RELEASE_PATH, path, NULL, error);
}

static gboolean
test_backing_close (BsBacking *backing, GCancellable *cancellable, GError **error)
{
  return answer (backing, BS_OPERATION_CLOSE, NULL, NULL, error);
}

static void
test_backing_iface_init (BsBackingInterface *iface)
{
  iface->write = test_backing_write;
  iface->read = test_backing_read;
  iface->delete_key = test_backing_delete_key;
  iface->register_key = test_backing_register_key;
  iface->persist = test_backing_persist;
  iface->delete_persisted = test_backing_delete_persisted;
  iface->sanitize_path = test_backing_sanitize_path;
  iface->sync_persisted = test_backing_sync_persisted;
  iface->register_keys = test_backing_register_keys;
  iface->delete_persisted_keys = test_backing_delete_persisted_keys;
  iface->persist_bytes = test_backing_persist_bytes;
  iface->persist_keys = test_backing_persist_keys;
  iface->write_root = test_backing_write_root;
  iface->read_root = test_backing_read_root;
  iface->verify_persisted = test_backing_verify_persisted;
  iface->release_path = test_backing_release_path;
  iface->close = test_backing_close;
}

static void
test_backing_finalize (GObject *object)
{
  TestBacking *self = TEST_BACKING (object);

  g_clear_object (&self->path);
  g_free (self->key);
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
}

/* One that has the required functions only, and hands each call on to another. */

#define TEST_TYPE_WRAPPER (test_wrapper_get_type ())
G_DECLARE_FINAL_TYPE (TestWrapper, test_wrapper, TEST, WRAPPER, GObject)

struct _TestWrapper
{
  GObject parent_instance;

  BsBacking *inner;
};

static void test_wrapper_iface_init (BsBackingInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (TestWrapper,
                               test_wrapper,
                               G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (BS_TYPE_BACKING, test_wrapper_iface_init))

static gboolean
test_wrapper_write (BsBacking *backing,
                    const char *key,
                    GBytes *bytes,
                    GCancellable *cancellable,
                    GError **error)
{
  return bs_backing_write (TEST_WRAPPER (backing)->inner, key, bytes, cancellable, error);
}

static GBytes *
test_wrapper_read (BsBacking *backing, const char *key, GCancellable *cancellable, GError **error)
{
  return bs_backing_read (TEST_WRAPPER (backing)->inner, key, cancellable, error);
}

static gboolean
test_wrapper_delete_key (BsBacking *backing,
                         const char *key,
                         GCancellable *cancellable,
                         GError **error)
{
  return bs_backing_delete_key (TEST_WRAPPER (backing)->inner, key, cancellable, error);
}

static gboolean
test_wrapper_register_key (BsBacking *backing,
                           GFile *path,
                           const char *key,
                           GCancellable *cancellable,
                           GError **error)
{
  return bs_backing_register_key (TEST_WRAPPER (backing)->inner, path, key, cancellable, error);
}

static gboolean
test_wrapper_persist (BsBacking *backing,
                      GFile *path,
                      const char *key,
                      GCancellable *cancellable,
                      GError **error)
{
  return bs_backing_persist (TEST_WRAPPER (backing)->inner, path, key, cancellable, error);
}

static gboolean
test_wrapper_delete_persisted (BsBacking *backing,
                               GFile *path,
                               const char *key,
                               GCancellable *cancellable,
                               GError **error)
{
  return bs_backing_delete_persisted (TEST_WRAPPER (backing)->inner, path, key, cancellable, error);
}

static gboolean
test_wrapper_sanitize_path (BsBacking *backing,
                            GFile *path,
                            BsKeySet *found,
                            GCancellable *cancellable,
                            GError **error)
{
  return bs_backing_sanitize_path (TEST_WRAPPER (backing)->inner, path, found, cancellable, error);
}

static gboolean
test_wrapper_sync_persisted (BsBacking *backing,
                             GFile *path,
                             GCancellable *cancellable,
                             GError **error)
{
  return bs_backing_sync_persisted (TEST_WRAPPER (backing)->inner, path, cancellable, error);
}

static void
test_wrapper_iface_init (BsBackingInterface *iface)
{
  iface->write = test_wrapper_write;
  iface->read = test_wrapper_read;
  iface->delete_key = test_wrapper_delete_key;
  iface->register_key = test_wrapper_register_key;
  iface->persist = test_wrapper_persist;
  iface->delete_persisted = test_wrapper_delete_persisted;
  iface->sanitize_path = test_wrapper_sanitize_path;
  iface->sync_persisted = test_wrapper_sync_persisted;
}

static void
test_wrapper_finalize (GObject *object)
{
  g_clear_object (&TEST_WRAPPER (object)->inner);
  G_OBJECT_CLASS (test_wrapper_parent_class)->finalize (object);
}

static void
test_wrapper_class_init (TestWrapperClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = test_wrapper_finalize;
}

static void
test_wrapper_init (TestWrapper *self)
{
}

/* One that has nothing. */

#define TEST_TYPE_NOTHING (test_nothing_get_type ())
G_DECLARE_FINAL_TYPE (TestNothing, test_nothing, TEST, NOTHING, GObject)

struct _TestNothing
{
  GObject parent_instance;
};

static void
test_nothing_iface_init (BsBackingInterface *iface)
{
}

G_DEFINE_FINAL_TYPE_WITH_CODE (TestNothing,
                               test_nothing,
                               G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (BS_TYPE_BACKING, test_nothing_iface_init))

static void
test_nothing_class_init (TestNothingClass *klass)
{
}

static void
test_nothing_init (TestNothing *self)
{
}

#define N_OPERATIONS (BS_OPERATION_CLOSE + 1)

static const struct
{
  const char *name;
  gboolean takes_key;
  gboolean takes_path;
  gboolean required;
  gboolean gives_bytes;
} operations[N_OPERATIONS] = {
  [BS_OPERATION_WRITE] = { "write", TRUE, FALSE, TRUE, FALSE },
  [BS_OPERATION_READ] = { "read", TRUE, FALSE, TRUE, TRUE },
  [BS_OPERATION_DELETE_KEY] = { "delete_key", TRUE, FALSE, TRUE, FALSE },
  [BS_OPERATION_REGISTER_KEY] = { "register_key", TRUE, TRUE, TRUE, FALSE },
  [BS_OPERATION_REGISTER_KEYS] = { "register_keys", FALSE, TRUE, FALSE, FALSE },
  [BS_OPERATION_PERSIST] = { "persist", TRUE, TRUE, TRUE, FALSE },
  [BS_OPERATION_PERSIST_BYTES] = { "persist_bytes", TRUE, TRUE, FALSE, FALSE },
  [BS_OPERATION_PERSIST_KEYS] = { "persist_keys", FALSE, TRUE, FALSE, FALSE },
  [BS_OPERATION_DELETE_PERSISTED] = { "delete_persisted", TRUE, TRUE, TRUE, FALSE },
  [BS_OPERATION_DELETE_PERSISTED_KEYS] = { "delete_persisted_keys", FALSE, TRUE, FALSE, FALSE },
  [BS_OPERATION_SANITIZE_PATH] = { "sanitize_path", FALSE, TRUE, TRUE, FALSE },
  [BS_OPERATION_SYNC_PERSISTED] = { "sync_persisted", FALSE, TRUE, TRUE, FALSE },
  [BS_OPERATION_WRITE_ROOT] = { "write_root", FALSE, TRUE, FALSE, FALSE },
  [BS_OPERATION_READ_ROOT] = { "read_root", FALSE, TRUE, FALSE, TRUE },
  [BS_OPERATION_VERIFY_PERSISTED] = { "verify_persisted", TRUE, TRUE, FALSE, FALSE },
  [BS_OPERATION_RELEASE_PATH] = { "release_path", FALSE, TRUE, FALSE, FALSE },
  [BS_OPERATION_CLOSE] = { "close", FALSE, FALSE, FALSE, FALSE },
};

typedef struct
{
  GFile *path;
  BsKeySet *keys;
  GBytes *bytes;
  GHashTable *contents;
} Fixture;

static void
set_up (Fixture *fixture, gconstpointer data)
{
  fixture->path = g_file_new_for_path (PATH);
  fixture->keys = bs_key_set_new ();
  fixture->bytes = g_bytes_new_static ("bytes", 5);
  g_assert_true (bs_key_set_add (fixture->keys, KEY, NULL));
  fixture->contents = g_hash_table_new (g_str_hash, g_str_equal);
  g_hash_table_insert (fixture->contents, (char *) SPELLING, fixture->bytes);
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  g_assert_finalize_object (fixture->path);
  g_assert_finalize_object (fixture->keys);
  g_hash_table_unref (fixture->contents);
  g_bytes_unref (fixture->bytes);
}

static gboolean
consume (GBytes *bytes)
{
  if (bytes == NULL)
    return FALSE;

  g_bytes_unref (bytes);
  return TRUE;
}

static gboolean
call (Fixture *fixture,
      gpointer backing,
      BsOperation operation,
      const char *key,
      GCancellable *cancellable,
      GError **error)
{
  GFile *path = fixture->path;

  switch (operation)
    {
    case BS_OPERATION_WRITE:
      return bs_backing_write (backing, key, fixture->bytes, cancellable, error);
    case BS_OPERATION_READ:
      return consume (bs_backing_read (backing, key, cancellable, error));
    case BS_OPERATION_DELETE_KEY:
      return bs_backing_delete_key (backing, key, cancellable, error);
    case BS_OPERATION_REGISTER_KEY:
      return bs_backing_register_key (backing, path, key, cancellable, error);
    case BS_OPERATION_REGISTER_KEYS:
      return bs_backing_register_keys (backing, path, fixture->keys, cancellable, error);
    case BS_OPERATION_PERSIST:
      return bs_backing_persist (backing, path, key, cancellable, error);
    case BS_OPERATION_PERSIST_BYTES:
      return bs_backing_persist_bytes (backing, path, key, fixture->bytes, cancellable, error);
    case BS_OPERATION_PERSIST_KEYS:
      return bs_backing_persist_keys (backing, path, fixture->keys, fixture->contents, cancellable,
                                      error);
    case BS_OPERATION_DELETE_PERSISTED:
      return bs_backing_delete_persisted (backing, path, key, cancellable, error);
    case BS_OPERATION_DELETE_PERSISTED_KEYS:
      return bs_backing_delete_persisted_keys (backing, path, fixture->keys, cancellable, error);
    case BS_OPERATION_SANITIZE_PATH:
      return bs_backing_sanitize_path (backing, path, fixture->keys, cancellable, error);
    case BS_OPERATION_SYNC_PERSISTED:
      return bs_backing_sync_persisted (backing, path, cancellable, error);
    case BS_OPERATION_WRITE_ROOT:
      return bs_backing_write_root (backing, path, fixture->bytes, fixture->keys, cancellable,
                                    error);
    case BS_OPERATION_READ_ROOT:
      return consume (bs_backing_read_root (backing, path, cancellable, error));
    case BS_OPERATION_VERIFY_PERSISTED:
      return bs_backing_verify_persisted (backing, path, key, cancellable, error);
    case BS_OPERATION_RELEASE_PATH:
      return bs_backing_release_path (backing, path, cancellable, error);
    case BS_OPERATION_CLOSE:
      return bs_backing_close (backing, cancellable, error);
    default:
      g_assert_not_reached ();
    }
}

/* The beginning of every message about the operation. */
static char *
prefix_of (BsOperation operation)
{
  return g_strconcat (operations[operation].name, operations[operation].takes_key ? " " KEY : "",
                      operations[operation].takes_path ? " at " PATH : "", ": ", NULL);
}

static void
test_arguments (Fixture *fixture, gconstpointer data)
{
  TestBacking *backing = g_object_new (TEST_TYPE_BACKING, NULL);

  for (BsOperation op = 0; op < N_OPERATIONS; op++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GCancellable) cancellable = g_cancellable_new ();

      g_assert_true (call (fixture, backing, op, SPELLING, cancellable, &error));
      g_assert_no_error (error);
      g_assert_cmpuint (backing->n_calls, ==, op + 1);
      g_assert_cmpint (backing->operation, ==, op);
      g_assert_cmpstr (bs_operation_get_name (op), ==, operations[op].name);
      g_assert_cmpstr (backing->key, ==, operations[op].takes_key ? KEY : NULL);
      g_assert_true (backing->path == (operations[op].takes_path ? fixture->path : NULL));
      if (op == BS_OPERATION_WRITE || op == BS_OPERATION_PERSIST_BYTES ||
          op == BS_OPERATION_PERSIST_KEYS || op == BS_OPERATION_WRITE_ROOT)
        g_assert_true (backing->bytes == fixture->bytes);
      if (op == BS_OPERATION_PERSIST_KEYS)
        g_assert_cmpuint (backing->n_contents, ==, 1);
      if (op == BS_OPERATION_REGISTER_KEYS || op == BS_OPERATION_DELETE_PERSISTED_KEYS ||
          op == BS_OPERATION_PERSIST_KEYS || op == BS_OPERATION_WRITE_ROOT)
        g_assert_true (backing->keys == fixture->keys);

      backing->bytes = NULL;
      backing->keys = NULL;
      g_assert_finalize_object (g_steal_pointer (&cancellable));
    }
  g_assert_finalize_object (backing);
}

static void
test_content (Fixture *fixture, gconstpointer data)
{
  TestBacking *backing = g_object_new (TEST_TYPE_BACKING, NULL);
  g_autoptr (BsKeySet) found = bs_key_set_new ();
  g_autoptr (GBytes) blob = bs_backing_read (BS_BACKING (backing), KEY, NULL, NULL);
  g_autoptr (GBytes) root = bs_backing_read_root (BS_BACKING (backing), fixture->path, NULL, NULL);

  g_assert_cmpmem (g_bytes_get_data (blob, NULL), g_bytes_get_size (blob), "blob", 4);
  g_assert_cmpmem (g_bytes_get_data (root, NULL), g_bytes_get_size (root), "root", 4);

  g_assert_true (bs_backing_sanitize_path (BS_BACKING (backing), fixture->path, found, NULL, NULL));
  g_assert_cmpuint (bs_key_set_get_n_keys (found), ==, 1);
  g_assert_finalize_object (backing);
}

static void
test_failure (Fixture *fixture, gconstpointer data)
{
  TestBacking *backing = g_object_new (TEST_TYPE_BACKING, NULL);

  backing->behaviour = FAIL;
  for (BsOperation op = 0; op < N_OPERATIONS; op++)
    {
      g_autofree char *prefix = prefix_of (op);
      g_autofree char *message = g_strconcat (prefix, "the disk is full", NULL);
      g_autoptr (GError) error = NULL;

      g_assert_false (call (fixture, backing, op, SPELLING, NULL, &error));
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
      g_assert_cmpstr (error->message, ==, message);

      g_assert_false (call (fixture, backing, op, SPELLING, NULL, NULL));
    }
  g_assert_finalize_object (backing);
}

static void
test_silent_failure (Fixture *fixture, gconstpointer data)
{
  TestBacking *backing = g_object_new (TEST_TYPE_BACKING, NULL);

  backing->behaviour = FAIL_SILENTLY;
  for (BsOperation op = 0; op < N_OPERATIONS; op++)
    {
      g_autofree char *prefix = prefix_of (op);
      g_autofree char *function =
        g_strconcat ("TestBacking.", operations[op].name, " returned without", NULL);
      g_autoptr (GError) error = NULL;

      g_assert_false (call (fixture, backing, op, KEY, NULL, &error));
      g_assert_error (error, BS_ERROR, BS_ERROR_FAILED);
      g_assert_true (g_str_has_prefix (error->message, prefix));
      g_assert_nonnull (strstr (error->message, function));
      g_assert_nonnull (strstr (error->message, "GLib.Error"));
      g_assert_nonnull (strstr (error->message, "new_in_context"));
      g_assert_cmpint (strstr (error->message, "return True") != NULL, ==,
                       !operations[op].gives_bytes);

      g_assert_false (call (fixture, backing, op, KEY, NULL, NULL));
    }
  g_assert_finalize_object (backing);
}

static void
test_success_with_error (Fixture *fixture, gconstpointer data)
{
  TestBacking *backing = g_object_new (TEST_TYPE_BACKING, NULL);

  backing->behaviour = SUCCEED_WITH_ERROR;
  for (BsOperation op = 0; op < N_OPERATIONS; op++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_true (call (fixture, backing, op, KEY, NULL, &error));
      g_assert_no_error (error);
      g_assert_true (call (fixture, backing, op, KEY, NULL, NULL));
    }
  g_assert_finalize_object (backing);
}

static void
test_invalid_key (Fixture *fixture, gconstpointer data)
{
  const char *bad[] = { NULL, "", "no key", KEY "0", "{" KEY "}", "\xff" };
  TestBacking *backing = g_object_new (TEST_TYPE_BACKING, NULL);

  for (BsOperation op = 0; op < N_OPERATIONS; op++)
    for (guint i = 0; operations[op].takes_key && i < G_N_ELEMENTS (bad); i++)
      {
        g_autoptr (GError) error = NULL;

        g_assert_false (call (fixture, backing, op, bad[i], NULL, &error));
        g_assert_error (error, BS_ERROR, BS_ERROR_INVALID_KEY);
        g_assert_true (g_str_has_prefix (error->message, operations[op].name));
        g_assert_cmpint (strstr (error->message, PATH) != NULL, ==, operations[op].takes_path);
        g_assert_true (g_utf8_validate (error->message, -1, NULL));

        g_assert_false (call (fixture, backing, op, bad[i], NULL, NULL));
      }
  g_assert_cmpuint (backing->n_calls, ==, 0);
  g_assert_finalize_object (backing);
}

/* The default functions too look first. */
static void
test_cancelled (Fixture *fixture, gconstpointer data)
{
  TestBacking *backing = g_object_new (TEST_TYPE_BACKING, NULL);
  TestWrapper *wrapper = g_object_new (TEST_TYPE_WRAPPER, NULL);
  GCancellable *cancellable = g_cancellable_new ();

  wrapper->inner = g_object_ref (BS_BACKING (backing));
  g_cancellable_cancel (cancellable);
  for (BsOperation op = 0; op < N_OPERATIONS; op++)
    {
      g_autofree char *prefix = prefix_of (op);

      for (guint i = 0; i < 2; i++)
        {
          g_autoptr (GError) error = NULL;

          g_assert_false (
            call (fixture, i == 0 ? (gpointer) backing : wrapper, op, KEY, cancellable, &error));
          g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
          g_assert_true (g_str_has_prefix (error->message, prefix));
        }
    }
  g_assert_cmpuint (backing->n_calls, ==, 0);
  g_assert_finalize_object (wrapper);
  g_assert_finalize_object (backing);
  g_assert_finalize_object (cancellable);
}

static void
test_missing (Fixture *fixture, gconstpointer data)
{
  TestNothing *nothing = g_object_new (TEST_TYPE_NOTHING, NULL);

  for (BsOperation op = 0; op < N_OPERATIONS; op++)
    {
      g_autofree char *prefix = prefix_of (op);
      g_autofree char *message =
        g_strconcat (prefix, "TestNothing does not implement ", operations[op].name, NULL);
      g_autoptr (GError) error = NULL;
      gboolean done = call (fixture, nothing, op, KEY, NULL, &error);

      g_assert_false (bs_backing_implements (BS_BACKING (nothing), op));
      switch (op)
        {
        case BS_OPERATION_VERIFY_PERSISTED:
        case BS_OPERATION_RELEASE_PATH:
        case BS_OPERATION_CLOSE:
          g_assert_no_error (error);
          g_assert_true (done);
          break;
        case BS_OPERATION_REGISTER_KEYS:
        case BS_OPERATION_PERSIST_BYTES:
        case BS_OPERATION_PERSIST_KEYS:
        case BS_OPERATION_DELETE_PERSISTED_KEYS:
          g_assert_error (error, BS_ERROR, BS_ERROR_NOT_SUPPORTED);
          g_assert_false (done);
          break;
        default:
          g_assert_error (error, BS_ERROR, BS_ERROR_NOT_SUPPORTED);
          g_assert_cmpstr (error->message, ==, message);
          g_assert_false (done);
        }
    }
  g_assert_finalize_object (nothing);
}

static void
test_implements (Fixture *fixture, gconstpointer data)
{
  TestBacking *backing = g_object_new (TEST_TYPE_BACKING, NULL);
  TestWrapper *wrapper = g_object_new (TEST_TYPE_WRAPPER, NULL);

  for (BsOperation op = 0; op < N_OPERATIONS; op++)
    {
      g_assert_true (bs_backing_implements (BS_BACKING (backing), op));
      g_assert_cmpint (bs_backing_implements (BS_BACKING (wrapper), op), ==,
                       operations[op].required);
    }
  g_assert_finalize_object (wrapper);
  g_assert_finalize_object (backing);
}

/* A save tells the keys that its root names to each class of an application, also where a
 * backing of the library wraps it. */
static void
test_reads_named (Fixture *fixture, gconstpointer data)
{
  TestBacking *backing = g_object_new (TEST_TYPE_BACKING, NULL);
  BsMemoryBacking *memory = bs_memory_backing_new ();
  BsFaultBacking *around_backing = bs_fault_backing_new (BS_BACKING (backing));
  BsFaultBacking *around_memory = bs_fault_backing_new (BS_BACKING (memory));

  g_assert_true (bs_backing_reads_named (BS_BACKING (backing)));
  g_assert_true (bs_backing_reads_named (BS_BACKING (around_backing)));
  g_assert_false (bs_backing_reads_named (BS_BACKING (memory)));
  g_assert_false (bs_backing_reads_named (BS_BACKING (around_memory)));
  g_assert_finalize_object (around_memory);
  g_assert_finalize_object (around_backing);
  g_assert_finalize_object (memory);
  g_assert_finalize_object (backing);
}

/* The message comes through unchanged: nothing is said twice. */
static void
test_wrapped (Fixture *fixture, gconstpointer data)
{
  TestBacking *backing = g_object_new (TEST_TYPE_BACKING, NULL);
  TestWrapper *wrapper = g_object_new (TEST_TYPE_WRAPPER, NULL);
  TestWrapper *outer = g_object_new (TEST_TYPE_WRAPPER, NULL);

  wrapper->inner = g_object_ref (BS_BACKING (backing));
  outer->inner = g_object_ref (BS_BACKING (wrapper));
  for (BsOperation op = 0; op < N_OPERATIONS; op++)
    for (Behaviour behaviour = FAIL; operations[op].required && behaviour <= FAIL_SILENTLY;
         behaviour++)
      {
        g_autoptr (GError) direct = NULL;
        g_autoptr (GError) wrapped = NULL;

        backing->behaviour = behaviour;
        g_assert_false (call (fixture, backing, op, SPELLING, NULL, &direct));
        g_assert_false (call (fixture, outer, op, SPELLING, NULL, &wrapped));
        g_assert_error (wrapped, direct->domain, direct->code);
        g_assert_cmpstr (wrapped->message, ==, direct->message);
      }
  g_assert_finalize_object (outer);
  g_assert_finalize_object (wrapper);
  g_assert_finalize_object (backing);
}

#define N_BULK 10

static void
test_one_by_one (Fixture *fixture, gconstpointer data)
{
  const BsOperation bulk[] = { BS_OPERATION_REGISTER_KEYS, BS_OPERATION_DELETE_PERSISTED_KEYS,
                               BS_OPERATION_PERSIST_KEYS };
  const BsOperation single[] = { BS_OPERATION_REGISTER_KEY, BS_OPERATION_DELETE_PERSISTED,
                                 BS_OPERATION_PERSIST };
  TestBacking *backing = g_object_new (TEST_TYPE_BACKING, NULL);
  TestWrapper *wrapper = g_object_new (TEST_TYPE_WRAPPER, NULL);

  wrapper->inner = g_object_ref (BS_BACKING (backing));
  g_hash_table_remove_all (fixture->contents);
  while (bs_key_set_get_n_keys (fixture->keys) < N_BULK)
    {
      g_autofree char *key = bs_key_generate ();

      g_assert_true (bs_key_set_add (fixture->keys, key, NULL));
    }

  for (guint i = 0; i < G_N_ELEMENTS (bulk); i++)
    {
      g_autofree char *expected = NULL;
      g_autoptr (GError) error = NULL;
      GCancellable *cancellable = g_cancellable_new ();

      backing->n_calls = 0;
      backing->behaviour = SUCCEED;
      g_assert_true (call (fixture, wrapper, bulk[i], NULL, cancellable, &error));
      g_assert_no_error (error);
      g_assert_cmpuint (backing->n_calls, ==, N_BULK);
      g_assert_cmpint (backing->operation, ==, single[i]);

      backing->n_calls = 0;
      backing->behaviour = FAIL;
      backing->failing_call = 4;
      g_assert_false (call (fixture, wrapper, bulk[i], NULL, cancellable, &error));
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
      g_assert_cmpuint (backing->n_calls, ==, 4);
      expected =
        g_strdup_printf ("%s at " PATH ": 3 of 10 done: %s %s at " PATH ": the disk is full",
                         operations[bulk[i]].name, operations[single[i]].name, backing->key);
      g_assert_cmpstr (error->message, ==, expected);
      g_clear_error (&error);
      backing->failing_call = 0;

      backing->n_calls = 0;
      backing->behaviour = FAIL_SILENTLY;
      g_assert_false (call (fixture, wrapper, bulk[i], NULL, cancellable, &error));
      g_assert_error (error, BS_ERROR, BS_ERROR_FAILED);
      g_assert_cmpuint (backing->n_calls, ==, 1);
      g_clear_error (&error);

      backing->n_calls = 0;
      backing->behaviour = SUCCEED;
      backing->cancel_in_call = cancellable;
      g_assert_false (call (fixture, wrapper, bulk[i], NULL, cancellable, &error));
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
      g_assert_cmpuint (backing->n_calls, ==, 1);
      g_assert_nonnull (strstr (error->message, ": 1 of 10 done: "));
      backing->cancel_in_call = NULL;

      g_assert_finalize_object (cancellable);
    }
  g_assert_finalize_object (wrapper);
  g_assert_finalize_object (backing);
}

/* Without persist_bytes the blob is written and persisted, or is not there. */
static void
test_write_and_persist (Fixture *fixture, gconstpointer data)
{
  TestBacking *backing = g_object_new (TEST_TYPE_BACKING, NULL);
  TestWrapper *wrapper = g_object_new (TEST_TYPE_WRAPPER, NULL);
  g_autoptr (GError) error = NULL;

  wrapper->inner = g_object_ref (BS_BACKING (backing));
  g_assert_true (call (fixture, wrapper, BS_OPERATION_PERSIST_BYTES, SPELLING, NULL, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (backing->n_calls, ==, 2);
  g_assert_cmpint (backing->operation, ==, BS_OPERATION_PERSIST);
  g_assert_true (backing->bytes == fixture->bytes);
  g_assert_cmpstr (backing->key, ==, KEY);

  for (guint failing = 1; failing <= 2; failing++)
    {
      const char *message = failing == 1
                              ? "persist_bytes " KEY " at " PATH ": write " KEY ": the disk is full"
                              : "persist_bytes " KEY " at " PATH ": persist " KEY " at " PATH
                                ": the disk is full";

      backing->n_calls = 0;
      backing->behaviour = FAIL;
      backing->failing_call = failing;
      g_assert_false (call (fixture, wrapper, BS_OPERATION_PERSIST_BYTES, KEY, NULL, &error));
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
      g_assert_cmpstr (error->message, ==, message);
      g_assert_cmpuint (backing->n_calls, ==, failing == 1 ? 1 : 3);
      g_assert_cmpint (backing->operation, ==,
                       failing == 1 ? BS_OPERATION_WRITE : BS_OPERATION_DELETE_KEY);
      g_clear_error (&error);
    }
  g_assert_finalize_object (wrapper);
  g_assert_finalize_object (backing);
}

/* A key that has a content is persisted with it, the others from primary storage. */
static void
test_persist_with_contents (Fixture *fixture, gconstpointer data)
{
  TestBacking *backing = g_object_new (TEST_TYPE_BACKING, NULL);
  TestWrapper *wrapper = g_object_new (TEST_TYPE_WRAPPER, NULL);
  g_autofree char *other = bs_key_generate ();
  g_autoptr (GError) error = NULL;

  wrapper->inner = g_object_ref (BS_BACKING (backing));
  g_assert_true (bs_key_set_add (fixture->keys, other, NULL));
  /* Of a key that is not to be persisted. */
  g_hash_table_insert (fixture->contents, (char *) "00000000-0000-4000-8000-000000000000",
                       fixture->bytes);
  g_assert_true (call (fixture, wrapper, BS_OPERATION_PERSIST_KEYS, NULL, NULL, &error));
  g_assert_no_error (error);
  g_assert_true (backing->bytes == fixture->bytes);
  g_assert_cmpuint (backing->n_calls, ==, 3);
  g_assert_true (bs_backing_persist_keys (BS_BACKING (wrapper), fixture->path, fixture->keys, NULL,
                                          NULL, &error));
  g_assert_cmpuint (backing->n_calls, ==, 5);

  /* A virtual function is given a table in any case. */
  g_assert_true (bs_backing_persist_keys (BS_BACKING (backing), fixture->path, fixture->keys, NULL,
                                          NULL, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (backing->n_contents, ==, 0);

  backing->n_calls = 0;
  g_hash_table_insert (fixture->contents, (char *) "no key", fixture->bytes);
  g_assert_false (call (fixture, backing, BS_OPERATION_PERSIST_KEYS, NULL, NULL, &error));
  g_assert_error (error, BS_ERROR, BS_ERROR_INVALID_KEY);
  g_assert_nonnull (strstr (error->message, "persist_keys at " PATH));
  g_assert_cmpuint (backing->n_calls, ==, 0);
  g_assert_finalize_object (wrapper);
  g_assert_finalize_object (backing);
}

static void
test_no_keys (Fixture *fixture, gconstpointer data)
{
  TestBacking *backing = g_object_new (TEST_TYPE_BACKING, NULL);
  TestWrapper *wrapper = g_object_new (TEST_TYPE_WRAPPER, NULL);

  wrapper->inner = g_object_ref (BS_BACKING (backing));
  g_assert_true (bs_key_set_remove (fixture->keys, KEY));
  g_assert_true (call (fixture, wrapper, BS_OPERATION_REGISTER_KEYS, NULL, NULL, NULL));
  g_assert_true (call (fixture, wrapper, BS_OPERATION_DELETE_PERSISTED_KEYS, NULL, NULL, NULL));
  g_assert_true (call (fixture, wrapper, BS_OPERATION_PERSIST_KEYS, NULL, NULL, NULL));
  g_assert_cmpuint (backing->n_calls, ==, 0);
  g_assert_finalize_object (wrapper);
  g_assert_finalize_object (backing);
}

/* A path that is no UTF-8, and one that is no file and has credentials. */
static void
test_paths (Fixture *fixture, gconstpointer data)
{
  TestBacking *backing = g_object_new (TEST_TYPE_BACKING, NULL);
  g_autoptr (GFile) odd = g_file_new_for_path ("/odd/\xff\n");
  g_autoptr (GFile) bucket = g_file_new_for_uri ("s3://id:SECRET@bucket/prefix");
  g_autoptr (GError) error = NULL;

  backing->behaviour = FAIL;
  g_assert_false (bs_backing_persist (BS_BACKING (backing), odd, KEY, NULL, &error));
  g_assert_true (g_utf8_validate (error->message, -1, NULL));
  g_assert_nonnull (strstr (error->message, "/odd/"));
  g_clear_error (&error);

  g_assert_false (bs_backing_persist (BS_BACKING (backing), bucket, KEY, NULL, &error));
  g_assert_cmpstr (error->message, ==, "persist " KEY " at s3://…@bucket/prefix: the disk is full");
  g_assert_finalize_object (backing);
}

static void
add_test (const char *path, void (*func) (Fixture *fixture, gconstpointer data))
{
  g_test_add (path, Fixture, NULL, set_up, func, tear_down);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);

  add_test ("/backing/arguments", test_arguments);
  add_test ("/backing/content", test_content);
  add_test ("/backing/failure", test_failure);
  add_test ("/backing/silent-failure", test_silent_failure);
  add_test ("/backing/success-with-error", test_success_with_error);
  add_test ("/backing/invalid-key", test_invalid_key);
  add_test ("/backing/cancelled", test_cancelled);
  add_test ("/backing/missing", test_missing);
  add_test ("/backing/implements", test_implements);
  add_test ("/backing/reads-named", test_reads_named);
  add_test ("/backing/wrapped", test_wrapped);
  add_test ("/backing/one-by-one", test_one_by_one);
  add_test ("/backing/write-and-persist", test_write_and_persist);
  add_test ("/backing/persist-with-contents", test_persist_with_contents);
  add_test ("/backing/no-keys", test_no_keys);
  add_test ("/backing/paths", test_paths);

  return g_test_run ();
}
