/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include <string.h>
#include <unistd.h>

#include <backingstore/backings/bs-fault-backing.h>
#include <backingstore/backings/bs-memory-backing.h>

#include "backing-contract.h"

static BsBacking *
create (GFile *directory)
{
  g_autoptr (BsMemoryBacking) memory = bs_memory_backing_new ();

  return BS_BACKING (bs_fault_backing_new (BS_BACKING (memory)));
}

static BsBacking *
restart (BsBacking *backing, GFile *directory)
{
  return backing;
}

/* With no rules it behaves as what it wraps. */
static const BackingKind kind = { "/fault-backing", create, restart };

typedef struct
{
  BsFaultBacking *fault;
  BsBacking *backing;
  GFile *path;
  char *key;
  GBytes *bytes;
  GError *full;
} Fixture;

static void
set_up (Fixture *fixture, gconstpointer data)
{
  alarm (60);
  fixture->backing = create (NULL);
  fixture->fault = BS_FAULT_BACKING (fixture->backing);
  fixture->path = g_file_new_for_uri ("memory:path");
  fixture->key = bs_key_generate ();
  fixture->bytes = make_test_bytes (10, 1);
  fixture->full = g_error_new_literal (G_IO_ERROR, G_IO_ERROR_NO_SPACE, "it is full");
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  g_assert_finalize_object (fixture->backing);
  g_object_unref (fixture->path);
  g_free (fixture->key);
  g_bytes_unref (fixture->bytes);
  g_error_free (fixture->full);
  alarm (0);
}

/* Every virtual function, with the fixture's key, or another one for what is new. */
static gboolean
call (Fixture *fixture, BsOperation operation, GCancellable *cancellable, GError **error)
{
  g_autoptr (BsKeySet) keys = bs_key_set_new ();
  g_autoptr (GFile) file = g_file_new_for_path ("/proc/self/status");
  g_autofree char *other_key = bs_key_generate ();
  g_autoptr (GInputStream) stream = NULL;
  g_autoptr (GBytes) bytes = NULL;
  BsBacking *backing = fixture->backing;

  bs_key_set_add (keys, fixture->key, NULL);
  switch (operation)
    {
    case BS_OPERATION_WRITE:
      return bs_backing_write (backing, fixture->key, fixture->bytes, cancellable, error);
    case BS_OPERATION_READ:
      bytes = bs_backing_read (backing, fixture->key, cancellable, error);
      return bytes != NULL;
    case BS_OPERATION_DELETE_KEY:
      return bs_backing_delete_key (backing, fixture->key, cancellable, error);
    case BS_OPERATION_REGISTER_KEY:
      return bs_backing_register_key (backing, fixture->path, fixture->key, cancellable, error);
    case BS_OPERATION_REGISTER_KEYS:
      return bs_backing_register_keys (backing, fixture->path, keys, cancellable, error);
    case BS_OPERATION_PERSIST:
      return bs_backing_persist (backing, fixture->path, fixture->key, cancellable, error);
    case BS_OPERATION_DELETE_PERSISTED:
      return bs_backing_delete_persisted (backing, fixture->path, fixture->key, cancellable, error);
    case BS_OPERATION_DELETE_PERSISTED_KEYS:
      return bs_backing_delete_persisted_keys (backing, fixture->path, keys, cancellable, error);
    case BS_OPERATION_SANITIZE_PATH:
      return bs_backing_sanitize_path (backing, fixture->path, keys, cancellable, error);
    case BS_OPERATION_SYNC_PERSISTED:
      return bs_backing_sync_persisted (backing, fixture->path, cancellable, error);
    case BS_OPERATION_WRITE_ROOT:
      return bs_backing_write_root (backing, fixture->path, fixture->bytes, NULL, cancellable,
                                    error);
    case BS_OPERATION_READ_ROOT:
      bytes = bs_backing_read_root (backing, fixture->path, cancellable, error);
      return bytes != NULL;
    case BS_OPERATION_VERIFY_PERSISTED:
      return bs_backing_verify_persisted (backing, fixture->path, fixture->key, cancellable, error);
    case BS_OPERATION_RELEASE_PATH:
      return bs_backing_release_path (backing, fixture->path, cancellable, error);
    case BS_OPERATION_CLOSE:
      return bs_backing_close (backing, cancellable, error);
    case BS_OPERATION_READ_STREAM:
      stream = bs_backing_read_stream (backing, fixture->key, cancellable, error);
      return stream != NULL;
    case BS_OPERATION_WRITE_STREAM:
      stream = g_memory_input_stream_new_from_bytes (fixture->bytes);
      return bs_backing_write_stream (backing, other_key, stream, -1, cancellable, error);
    case BS_OPERATION_WRITE_FILE:
      return bs_backing_write_file (backing, other_key, file, cancellable, error);
    default:
      g_assert_not_reached ();
    }
}

/* In an order in which all succeed. */
static const BsOperation all[] = {
  BS_OPERATION_SANITIZE_PATH,
  BS_OPERATION_WRITE,
  BS_OPERATION_READ,
  BS_OPERATION_READ_STREAM,
  BS_OPERATION_WRITE_STREAM,
  BS_OPERATION_WRITE_FILE,
  BS_OPERATION_PERSIST,
  BS_OPERATION_VERIFY_PERSISTED,
  BS_OPERATION_REGISTER_KEY,
  BS_OPERATION_REGISTER_KEYS,
  BS_OPERATION_SYNC_PERSISTED,
  BS_OPERATION_WRITE_ROOT,
  BS_OPERATION_READ_ROOT,
  BS_OPERATION_DELETE_PERSISTED,
  BS_OPERATION_DELETE_PERSISTED_KEYS,
  BS_OPERATION_DELETE_KEY,
  BS_OPERATION_RELEASE_PATH,
  BS_OPERATION_CLOSE,
};

static void
test_each_operation_fails (Fixture *fixture, gconstpointer data)
{
  for (guint i = 0; i < G_N_ELEMENTS (all); i++)
    {
      g_autoptr (GError) error = NULL;

      bs_fault_backing_fail (fixture->fault, all[i], NULL, 1, fixture->full);
      g_assert_false (call (fixture, all[i], NULL, &error));
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
      g_assert_true (g_str_has_suffix (error->message, "it is full"));
      g_clear_error (&error);

      g_assert_true (call (fixture, all[i], NULL, &error));
      g_assert_no_error (error);
      g_assert_cmpuint (bs_fault_backing_get_count (fixture->fault, all[i]), ==, 2);
    }
}

static void
test_nth (Fixture *fixture, gconstpointer data)
{
  static const gboolean fails[] = { FALSE, TRUE, FALSE, TRUE, FALSE, FALSE };

  bs_fault_backing_fail (fixture->fault, BS_OPERATION_DELETE_KEY, NULL, 4, fixture->full);
  bs_fault_backing_fail (fixture->fault, BS_OPERATION_DELETE_KEY, NULL, 2, fixture->full);
  for (guint i = 0; i < G_N_ELEMENTS (fails); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_true (call (fixture, BS_OPERATION_DELETE_KEY, NULL, &error) == !fails[i]);
      if (fails[i])
        g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
    }
}

static void
test_always_until_cleared (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) busy = g_error_new_literal (BS_ERROR, BS_ERROR_BUSY, "it is busy");
  g_autoptr (GError) error = NULL;

  bs_fault_backing_fail (fixture->fault, BS_OPERATION_WRITE, NULL, 0, fixture->full);
  bs_fault_backing_fail (fixture->fault, BS_OPERATION_WRITE, NULL, 0, busy);
  for (guint i = 0; i < 5; i++)
    {
      g_assert_false (call (fixture, BS_OPERATION_WRITE, NULL, &error));
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
      g_clear_error (&error);
    }

  bs_fault_backing_clear (fixture->fault);
  g_assert_true (call (fixture, BS_OPERATION_WRITE, NULL, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (bs_fault_backing_get_count (fixture->fault, BS_OPERATION_WRITE), ==, 6);
}

static void
test_key (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (BsKeySet) keys = bs_key_set_new ();
  g_autofree char *other = bs_key_generate ();
  g_autofree char *upper = g_ascii_strup (fixture->key, -1);

  bs_fault_backing_fail (fixture->fault, BS_OPERATION_DELETE_KEY, upper, 1, fixture->full);
  g_assert_true (bs_backing_delete_key (fixture->backing, other, NULL, &error));
  g_assert_no_error (error);
  g_assert_false (call (fixture, BS_OPERATION_DELETE_KEY, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  g_clear_error (&error);

  /* In bulk: when the set has the key. */
  bs_fault_backing_fail (fixture->fault, BS_OPERATION_DELETE_PERSISTED_KEYS, fixture->key, 1,
                         fixture->full);
  bs_key_set_add (keys, other, NULL);
  g_assert_true (
    bs_backing_delete_persisted_keys (fixture->backing, fixture->path, keys, NULL, &error));
  g_assert_no_error (error);
  bs_key_set_add (keys, fixture->key, NULL);
  g_assert_false (
    bs_backing_delete_persisted_keys (fixture->backing, fixture->path, keys, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
}

typedef struct
{
  Fixture *fixture;
  BsOperation operation;
  GCancellable *cancellable;
  gboolean success;
  GError *error;
  GThread *thread;
} Call;

static gpointer
call_thread (gpointer data)
{
  Call *self = data;

  self->success = call (self->fixture, self->operation, self->cancellable, &self->error);

  return NULL;
}

static Call *
start_call (Fixture *fixture, BsOperation operation, GCancellable *cancellable)
{
  Call *self = g_new0 (Call, 1);
  guint n_before = bs_fault_backing_get_count (fixture->fault, operation);

  self->fixture = fixture;
  self->operation = operation;
  self->cancellable = cancellable;
  self->thread = g_thread_new ("call", call_thread, self);
  while (bs_fault_backing_get_count (fixture->fault, operation) == n_before)
    g_thread_yield ();

  return self;
}

/* Returns the error. */
static GError *
end_call (Call *self)
{
  GError *error;

  g_thread_join (self->thread);
  g_assert_true (self->success == (self->error == NULL));
  error = self->error;
  g_free (self);

  return error;
}

static void
test_hold (Fixture *fixture, gconstpointer data)
{
  BsFaultBacking *inside;
  Call *calls[4];

  /* The inner one counts the calls that get through. */
  inside = fixture->fault;
  fixture->fault = bs_fault_backing_new (BS_BACKING (inside));
  fixture->backing = BS_BACKING (fixture->fault);

  bs_fault_backing_hold (fixture->fault, BS_OPERATION_DELETE_KEY);
  for (guint i = 0; i < G_N_ELEMENTS (calls); i++)
    calls[i] = start_call (fixture, BS_OPERATION_DELETE_KEY, NULL);
  g_assert_cmpuint (bs_fault_backing_get_count (fixture->fault, BS_OPERATION_DELETE_KEY), ==, 4);
  g_assert_cmpuint (bs_fault_backing_get_count (inside, BS_OPERATION_DELETE_KEY), ==, 0);

  /* Others pass. */
  g_assert_true (call (fixture, BS_OPERATION_WRITE, NULL, NULL));

  /* A call that was released goes on, though the gate is closed at once. */
  bs_fault_backing_release (fixture->fault, BS_OPERATION_DELETE_KEY);
  bs_fault_backing_hold (fixture->fault, BS_OPERATION_DELETE_KEY);
  for (guint i = 0; i < G_N_ELEMENTS (calls); i++)
    {
      g_autoptr (GError) error = end_call (calls[i]);

      g_assert_no_error (error);
    }
  g_assert_cmpuint (bs_fault_backing_get_count (inside, BS_OPERATION_DELETE_KEY), ==, 4);

  calls[0] = start_call (fixture, BS_OPERATION_DELETE_KEY, NULL);
  bs_fault_backing_clear (fixture->fault);
  g_assert_null (end_call (calls[0]));
  g_assert_true (call (fixture, BS_OPERATION_DELETE_KEY, NULL, NULL));

  g_object_unref (inside);
}

static void
test_held_call_fails (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  Call *held;

  bs_fault_backing_hold (fixture->fault, BS_OPERATION_WRITE);
  bs_fault_backing_fail (fixture->fault, BS_OPERATION_WRITE, NULL, 1, fixture->full);
  held = start_call (fixture, BS_OPERATION_WRITE, NULL);
  bs_fault_backing_clear (fixture->fault);
  error = end_call (held);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  assert_does_not_read (fixture->backing, fixture->key);
}

static void
test_cancel (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;
  Call *held;
  Call *slow;

  bs_fault_backing_hold (fixture->fault, BS_OPERATION_WRITE);
  bs_fault_backing_delay (fixture->fault, BS_OPERATION_WRITE_ROOT, NULL, 3600 * 1000);
  held = start_call (fixture, BS_OPERATION_WRITE, cancellable);
  slow = start_call (fixture, BS_OPERATION_WRITE_ROOT, cancellable);
  g_cancellable_cancel (cancellable);

  error = end_call (held);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  error = end_call (slow);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  assert_does_not_read (fixture->backing, fixture->key);
}

static void
test_delay (Fixture *fixture, gconstpointer data)
{
  gint64 start = g_get_monotonic_time ();
  Call *slow;

  bs_fault_backing_delay (fixture->fault, BS_OPERATION_WRITE, fixture->key, 30);
  bs_fault_backing_delay (fixture->fault, BS_OPERATION_WRITE, NULL, 1);
  g_assert_true (call (fixture, BS_OPERATION_WRITE, NULL, NULL));
  g_assert_cmpint (g_get_monotonic_time () - start, >=, 30 * G_TIME_SPAN_MILLISECOND);

  bs_fault_backing_delay (fixture->fault, BS_OPERATION_DELETE_KEY, NULL, 3600 * 1000);
  slow = start_call (fixture, BS_OPERATION_DELETE_KEY, NULL);
  bs_fault_backing_clear (fixture->fault);
  g_assert_null (end_call (slow));
}

static void
test_properties (Fixture *fixture, gconstpointer data)
{
  g_autoptr (BsBacking) inner = NULL;

  g_object_get (fixture->fault, "inner", &inner, NULL);
  g_assert_true (BS_IS_MEMORY_BACKING (inner));
  g_assert_true (bs_fault_backing_get_inner (fixture->fault) == inner);
}

int
main (int argc, char *argv[])
{
  static const struct
  {
    const char *name;
    void (*func) (Fixture *fixture, gconstpointer data);
  } tests[] = {
    { "/fault-backing/each-operation-fails", test_each_operation_fails },
    { "/fault-backing/nth", test_nth },
    { "/fault-backing/always-until-cleared", test_always_until_cleared },
    { "/fault-backing/key", test_key },
    { "/fault-backing/hold", test_hold },
    { "/fault-backing/held-call-fails", test_held_call_fails },
    { "/fault-backing/cancel", test_cancel },
    { "/fault-backing/delay", test_delay },
    { "/fault-backing/properties", test_properties },
  };

  g_test_init (&argc, &argv, NULL);

  backing_contract_add_tests (&kind);
  for (guint i = 0; i < G_N_ELEMENTS (tests); i++)
    g_test_add (tests[i].name, Fixture, NULL, set_up, tests[i].func, tear_down);

  return g_test_run ();
}
