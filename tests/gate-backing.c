/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "gate-backing-private.h"

const char *const gate_operation_names[N_OPERATIONS] = {
  [BS_OPERATION_WRITE] = "write",
  [BS_OPERATION_READ] = "read",
  [BS_OPERATION_DELETE_KEY] = "delete_key",
  [BS_OPERATION_REGISTER_KEY] = "register_key",
  [BS_OPERATION_REGISTER_KEYS] = "register_keys",
  [BS_OPERATION_PERSIST] = "persist",
  [BS_OPERATION_PERSIST_BYTES] = "persist_bytes",
  [BS_OPERATION_PERSIST_KEYS] = "persist_keys",
  [BS_OPERATION_DELETE_PERSISTED] = "delete_persisted",
  [BS_OPERATION_DELETE_PERSISTED_KEYS] = "delete_persisted_keys",
  [BS_OPERATION_SANITIZE_PATH] = "sanitize_path",
  [BS_OPERATION_SYNC_PERSISTED] = "sync_persisted",
  [BS_OPERATION_WRITE_ROOT] = "write_root",
  [BS_OPERATION_READ_ROOT] = "read_root",
  [BS_OPERATION_VERIFY_PERSISTED] = "verify_persisted",
  [BS_OPERATION_RELEASE_PATH] = "release_path",
  [BS_OPERATION_CLOSE] = "close",
};

struct _GateSingleBacking
{
  GateBacking parent_instance;
};

struct _GateDirectBacking
{
  GateBacking parent_instance;
};

struct _GateBatchBacking
{
  GateBacking parent_instance;
};

static void backing_iface_init (BsBackingInterface *iface);
static void batch_iface_init (BsBackingInterface *iface);
static void direct_iface_init (BsBackingInterface *iface);
static void single_iface_init (BsBackingInterface *iface);

G_DEFINE_TYPE_WITH_CODE (GateBacking,
                         gate_backing,
                         G_TYPE_OBJECT,
                         G_ADD_PRIVATE (GateBacking)
                           G_IMPLEMENT_INTERFACE (BS_TYPE_BACKING, backing_iface_init))
G_DEFINE_FINAL_TYPE_WITH_CODE (GateSingleBacking,
                               gate_single_backing,
                               GATE_TYPE_BACKING,
                               G_IMPLEMENT_INTERFACE (BS_TYPE_BACKING, single_iface_init))
G_DEFINE_FINAL_TYPE_WITH_CODE (GateDirectBacking,
                               gate_direct_backing,
                               GATE_TYPE_BACKING,
                               G_IMPLEMENT_INTERFACE (BS_TYPE_BACKING, direct_iface_init))
G_DEFINE_FINAL_TYPE_WITH_CODE (GateBatchBacking,
                               gate_batch_backing,
                               GATE_TYPE_BACKING,
                               G_IMPLEMENT_INTERFACE (BS_TYPE_BACKING, batch_iface_init))

GateBackingPrivate *
gate_backing_get_private (gpointer self)
{
  return gate_backing_get_instance_private (GATE_BACKING (self));
}

gboolean
gate_matches (BsOperation operation, const char *key, BsOperation wanted, const char *wanted_key)
{
  return operation == wanted && (wanted_key == NULL || g_strcmp0 (key, wanted_key) == 0);
}

static void
complain (GateBackingPrivate *self, BsOperation operation, const char *key, const char *what)
{
  g_ptr_array_add (self->violations, g_strdup_printf ("%s %s: %s", gate_operation_names[operation],
                                                      key != NULL ? key : "", what));
}

static void
place_free (gpointer data)
{
  Place *place = data;

  g_hash_table_unref (place->blobs);
  g_hash_table_unref (place->dirty);
  g_hash_table_unref (place->bad);
  g_clear_pointer (&place->root, g_bytes_unref);
  g_clear_pointer (&place->named, g_hash_table_unref);
  g_free (place);
}

Place *
gate_place_get (GateBackingPrivate *self, GFile *path)
{
  char *uri = g_file_get_uri (path);
  Place *place = g_hash_table_lookup (self->places, uri);

  if (place != NULL)
    {
      g_free (uri);
      return place;
    }

  place = g_new0 (Place, 1);
  place->blobs =
    g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) g_bytes_unref);
  place->dirty = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  place->bad = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_hash_table_insert (self->places, uri, place);
  return place;
}

/* One call of a virtual function, from its beginning to its end. */
typedef struct
{
  GateBacking *backing;
  GateBackingPrivate *self;
  BsOperation operation;
  GFile *path;
  const char *key;
  BsKeySet *keys;
  GCancellable *cancellable;
} Call;

static void
occupy_key (const char *key, gpointer data)
{
  Call *call = data;

  if (!g_hash_table_add (call->self->busy, g_strdup (key)))
    complain (call->self, call->operation, key, "two calls at once for one key");
}

static void
leave_key (const char *key, gpointer data)
{
  Call *call = data;

  g_hash_table_remove (call->self->busy, key);
}

static gboolean
is_whole (BsOperation operation)
{
  return operation == BS_OPERATION_SANITIZE_PATH || operation == BS_OPERATION_SYNC_PERSISTED ||
         operation == BS_OPERATION_WRITE_ROOT || operation == BS_OPERATION_READ_ROOT ||
         operation == BS_OPERATION_RELEASE_PATH;
}

static void
occupy_path (Call *call)
{
  GateBackingPrivate *self = call->self;
  Place *place = gate_place_get (self, call->path);

  if (place->exclusive)
    complain (self, call->operation, call->key, "beside sanitize_path");
  if (call->operation == BS_OPERATION_SANITIZE_PATH)
    {
      if (place->n_calls > 0)
        complain (self, call->operation, call->key, "beside other calls there");
      if (place->ready)
        complain (self, call->operation, call->key, "not released since the last one");
      place->exclusive = TRUE;
    }
  else if (!place->ready)
    {
      complain (self, call->operation, call->key, "not sanitized, or released already");
    }
  if (call->operation == BS_OPERATION_RELEASE_PATH && place->n_calls > 0)
    complain (self, call->operation, call->key, "released beside other calls there");
  if (is_whole (call->operation))
    {
      if (place->whole)
        complain (self, call->operation, call->key, "two calls at once for the path");
      place->whole = TRUE;
    }
  place->n_calls++;
}

static void
leave_path (Call *call)
{
  Place *place = gate_place_get (call->self, call->path);

  place->n_calls--;
  if (call->operation == BS_OPERATION_SANITIZE_PATH)
    place->exclusive = FALSE;
  if (is_whole (call->operation))
    place->whole = FALSE;
}

static void
wake (GCancellable *cancellable, gpointer data)
{
  GateBackingPrivate *self = data;

  g_mutex_lock (&self->mutex);
  g_cond_broadcast (&self->cond);
  g_mutex_unlock (&self->mutex);
}

static Gate *
find_gate (GateBackingPrivate *self, BsOperation operation, const char *key, GatePoint point)
{
  for (guint i = 0; i < self->gates->len; i++)
    {
      Gate *gate = g_ptr_array_index (self->gates, i);

      if (!gate->open && gate->point == point &&
          gate_matches (operation, key, gate->operation, gate->key))
        return gate;
    }

  return NULL;
}

void
gate_await (GateBackingPrivate *self, const char *what, BsOperation operation, const char *key)
{
  gint64 end = g_get_monotonic_time () + watchdog_get_seconds () * G_TIME_SPAN_SECOND;

  if (!g_cond_wait_until (&self->cond, &self->mutex, end))
    g_error ("The watchdog has waited long enough: %s, %s %s", what,
             gate_operation_names[operation], key != NULL ? key : "");
}

/* The mutex is held. FALSE when the call was cancelled before its effect. */
static gboolean
pass_gate (Call *call, GatePoint point)
{
  GateBackingPrivate *self = call->self;
  Gate *gate = find_gate (self, call->operation, call->key, point);
  gboolean heeds = point == GATE_BEFORE && !self->stubborn && call->cancellable != NULL;
  gulong id = 0;

  if (gate == NULL)
    return TRUE;

  gate->n_held++;
  g_cond_broadcast (&self->cond);
  if (heeds)
    {
      g_mutex_unlock (&self->mutex);
      id = g_cancellable_connect (call->cancellable, G_CALLBACK (wake), self, NULL);
      g_mutex_lock (&self->mutex);
    }
  while (!gate->open && !(heeds && g_cancellable_is_cancelled (call->cancellable)))
    gate_await (self, "a call stands at a gate that nobody opens", call->operation, call->key);
  if (--gate->n_held == 0 && gate->open)
    g_ptr_array_remove_fast (self->gates, gate);
  g_cond_broadcast (&self->cond);
  if (id != 0)
    {
      g_mutex_unlock (&self->mutex);
      g_cancellable_disconnect (call->cancellable, id);
      g_mutex_lock (&self->mutex);
    }

  return !(heeds && g_cancellable_is_cancelled (call->cancellable));
}

/* The mutex is held. */
static gboolean
pass_failure (Call *call, GatePoint point, GError **error)
{
  GateBackingPrivate *self = call->self;

  for (guint i = 0; i < self->failures->len; i++)
    {
      Failure *failure = g_ptr_array_index (self->failures, i);

      if (failure->point != point ||
          !gate_matches (call->operation, call->key, failure->operation, failure->key))
        continue;
      if (++failure->n_seen != failure->nth && failure->nth != 0)
        continue;
      if (!failure->silent)
        g_set_error (error, G_IO_ERROR, failure->io_error, "so the test wants it");
      return FALSE;
    }

  return TRUE;
}

static gboolean
pass (Call *call, GatePoint point, GError **error)
{
  GateBackingPrivate *self = call->self;
  GateHook hook = self->hooks[call->operation][point];
  gpointer data = self->hook_data[call->operation][point];

  if (hook != NULL)
    {
      g_mutex_unlock (&self->mutex);
      hook (call->backing, call->operation, call->key, data);
      g_mutex_lock (&self->mutex);
    }
  if (!pass_gate (call, point))
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_CANCELLED, "Cancelled at the gate");
      return FALSE;
    }

  return pass_failure (call, point, error);
}

static void
note (Call *call, const char *key)
{
  Event event = { call->operation, g_strdup (key) };

  g_array_append_val (call->self->log, event);
}

static void
note_key (const char *key, gpointer data)
{
  note (data, key);
}

/* Takes the mutex, which is held until call_end(). */
static gboolean
call_begin (Call *call, GError **error)
{
  GateBackingPrivate *self = call->self = gate_backing_get_private (call->backing);

  g_mutex_lock (&self->mutex);
  if (call->keys != NULL)
    bs_key_set_foreach_key (call->keys, note_key, call);
  note (call, call->key);
  self->threads[call->operation] = g_thread_self ();
  self->n_parallel++;
  self->max_parallel = MAX (self->max_parallel, self->n_parallel);
  if (self->closed)
    complain (self, call->operation, call->key, "after close");
  if (call->key != NULL)
    occupy_key (call->key, call);
  if (call->keys != NULL)
    bs_key_set_foreach_key (call->keys, occupy_key, call);
  if (call->path != NULL)
    occupy_path (call);

  return pass (call, GATE_BEFORE, error);
}

static gboolean
call_end (Call *call, gboolean success, GError **error)
{
  GateBackingPrivate *self = call->self;

  if (success)
    success = pass (call, GATE_AFTER, error);
  if (call->key != NULL)
    leave_key (call->key, call);
  if (call->keys != NULL)
    bs_key_set_foreach_key (call->keys, leave_key, call);
  if (call->path != NULL)
    leave_path (call);
  self->n_parallel--;
  g_mutex_unlock (&self->mutex);

  return success;
}

static gboolean
missing (GError **error)
{
  g_set_error_literal (error, BS_ERROR, BS_ERROR_NOT_FOUND, "there is no such blob");
  return FALSE;
}

/* As in a file: nobody's bytes are held here. */
static GBytes *
copy_bytes (GBytes *bytes)
{
  gsize size;
  gconstpointer data = g_bytes_get_data (bytes, &size);

  return g_bytes_new (data, size);
}

static gboolean
gate_write (BsBacking *backing,
            const char *key,
            GBytes *bytes,
            GCancellable *cancellable,
            GError **error)
{
  Call call = { .backing = GATE_BACKING (backing),
                .operation = BS_OPERATION_WRITE,
                .key = key,
                .cancellable = cancellable };
  gboolean success = call_begin (&call, error);

  if (success && g_hash_table_contains (call.self->primary, key))
    {
      g_set_error_literal (error, BS_ERROR, BS_ERROR_EXISTS, "the blob is there");
      success = FALSE;
    }
  if (success)
    g_hash_table_insert (call.self->primary, g_strdup (key), copy_bytes (bytes));
  return call_end (&call, success, error);
}

static GBytes *
gate_read (BsBacking *backing, const char *key, GCancellable *cancellable, GError **error)
{
  Call call = { .backing = GATE_BACKING (backing),
                .operation = BS_OPERATION_READ,
                .key = key,
                .cancellable = cancellable };
  gboolean success = call_begin (&call, error);
  GBytes *bytes = NULL;

  if (success)
    {
      GBytes *stored = g_hash_table_lookup (call.self->primary, key);

      if (stored != NULL)
        bytes = copy_bytes (stored);
      else
        success = missing (error);
    }
  if (!call_end (&call, success, error))
    g_clear_pointer (&bytes, g_bytes_unref);
  return bytes;
}

static gboolean
gate_delete_key (BsBacking *backing, const char *key, GCancellable *cancellable, GError **error)
{
  Call call = { .backing = GATE_BACKING (backing),
                .operation = BS_OPERATION_DELETE_KEY,
                .key = key,
                .cancellable = cancellable };
  gboolean success = call_begin (&call, error);

  if (success)
    g_hash_table_remove (call.self->primary, key);
  return call_end (&call, success, error);
}

static gboolean
register_one (Call *call, const char *key, GError **error)
{
  GBytes *bytes = g_hash_table_lookup (gate_place_get (call->self, call->path)->blobs, key);

  if (bytes == NULL)
    return missing (error);
  g_hash_table_insert (call->self->primary, g_strdup (key), g_bytes_ref (bytes));
  return TRUE;
}

static gboolean
gate_register_key (BsBacking *backing,
                   GFile *path,
                   const char *key,
                   GCancellable *cancellable,
                   GError **error)
{
  Call call = { .backing = GATE_BACKING (backing),
                .operation = BS_OPERATION_REGISTER_KEY,
                .path = path,
                .key = key,
                .cancellable = cancellable };
  gboolean success = call_begin (&call, error);

  if (success)
    success = register_one (&call, key, error);
  return call_end (&call, success, error);
}

static void
touch (Call *call, const char *key)
{
  guint64 serial = ++call->self->serial;

  g_hash_table_insert (gate_place_get (call->self, call->path)->dirty, g_strdup (key),
                       g_memdup2 (&serial, sizeof serial));
}

static gboolean
persist_one (Call *call, const char *key, GError **error)
{
  GBytes *bytes = g_hash_table_lookup (call->self->primary, key);

  if (bytes == NULL)
    return missing (error);
  g_hash_table_insert (gate_place_get (call->self, call->path)->blobs, g_strdup (key),
                       g_bytes_ref (bytes));
  touch (call, key);
  return TRUE;
}

static void
persist_bytes_of_one (Call *call, const char *key, GBytes *bytes)
{
  if (!g_hash_table_contains (call->self->primary, key))
    g_hash_table_insert (call->self->primary, g_strdup (key), copy_bytes (bytes));
  persist_one (call, key, NULL);
}

static gboolean
gate_persist (BsBacking *backing,
              GFile *path,
              const char *key,
              GCancellable *cancellable,
              GError **error)
{
  Call call = { .backing = GATE_BACKING (backing),
                .operation = BS_OPERATION_PERSIST,
                .path = path,
                .key = key,
                .cancellable = cancellable };
  gboolean success = call_begin (&call, error);

  if (success)
    success = persist_one (&call, key, error);
  return call_end (&call, success, error);
}

static gboolean
gate_persist_bytes (BsBacking *backing,
                    GFile *path,
                    const char *key,
                    GBytes *bytes,
                    GCancellable *cancellable,
                    GError **error)
{
  Call call = { .backing = GATE_BACKING (backing),
                .operation = BS_OPERATION_PERSIST_BYTES,
                .path = path,
                .key = key,
                .cancellable = cancellable };
  gboolean success = call_begin (&call, error);

  if (success)
    persist_bytes_of_one (&call, key, bytes);
  return call_end (&call, success, error);
}

static void
delete_one (Call *call, const char *key)
{
  g_hash_table_remove (gate_place_get (call->self, call->path)->blobs, key);
  touch (call, key);
}

static gboolean
gate_delete_persisted (BsBacking *backing,
                       GFile *path,
                       const char *key,
                       GCancellable *cancellable,
                       GError **error)
{
  Call call = { .backing = GATE_BACKING (backing),
                .operation = BS_OPERATION_DELETE_PERSISTED,
                .path = path,
                .key = key,
                .cancellable = cancellable };
  gboolean success = call_begin (&call, error);

  if (success)
    delete_one (&call, key);
  return call_end (&call, success, error);
}

static gboolean
gate_sanitize_path (BsBacking *backing,
                    GFile *path,
                    BsKeySet *found,
                    GCancellable *cancellable,
                    GError **error)
{
  Call call = { .backing = GATE_BACKING (backing),
                .operation = BS_OPERATION_SANITIZE_PATH,
                .path = path,
                .cancellable = cancellable };
  gboolean success = call_begin (&call, error);
  Place *place = gate_place_get (call.self, path);

  if (success)
    {
      GHashTableIter iter;
      gpointer key;

      g_hash_table_iter_init (&iter, place->blobs);
      while (success && g_hash_table_iter_next (&iter, &key, NULL))
        success = bs_key_set_add (found, key, error);
    }
  success = call_end (&call, success, error);
  g_mutex_lock (&call.self->mutex);
  place->ready = success;
  g_mutex_unlock (&call.self->mutex);

  return success;
}

static gboolean
gate_sync_persisted (BsBacking *backing, GFile *path, GCancellable *cancellable, GError **error)
{
  Call call = { .backing = GATE_BACKING (backing),
                .operation = BS_OPERATION_SYNC_PERSISTED,
                .path = path,
                .cancellable = cancellable };
  guint64 serial = 0;
  gboolean success;

  /* A sync makes durable the blobs that were there when it was called. */
  g_mutex_lock (&gate_backing_get_private (backing)->mutex);
  serial = gate_backing_get_private (backing)->serial;
  g_mutex_unlock (&gate_backing_get_private (backing)->mutex);

  success = call_begin (&call, error);
  if (success)
    {
      GHashTableIter iter;
      gpointer changed;

      g_hash_table_iter_init (&iter, gate_place_get (call.self, path)->dirty);
      while (g_hash_table_iter_next (&iter, NULL, &changed))
        if (*(guint64 *) changed <= serial)
          g_hash_table_iter_remove (&iter);
    }
  return call_end (&call, success, error);
}

typedef struct
{
  Call *call;
  GError *error; /* owned */
} BulkRegister;

static void
register_of_bulk (const char *key, gpointer data)
{
  BulkRegister *bulk = data;

  register_one (bulk->call, key, bulk->error == NULL ? &bulk->error : NULL);
}

static gboolean
gate_register_keys (BsBacking *backing,
                    GFile *path,
                    BsKeySet *keys,
                    GCancellable *cancellable,
                    GError **error)
{
  Call call = { .backing = GATE_BACKING (backing),
                .operation = BS_OPERATION_REGISTER_KEYS,
                .path = path,
                .keys = keys,
                .cancellable = cancellable };
  gboolean success = call_begin (&call, error);
  BulkRegister bulk = { &call, NULL };

  if (success)
    bs_key_set_foreach_key (keys, register_of_bulk, &bulk);
  if (bulk.error != NULL)
    {
      g_propagate_error (error, bulk.error);
      success = FALSE;
    }
  return call_end (&call, success, error);
}

typedef struct
{
  Call *call;
  GHashTable *contents;
  GError *error; /* owned */
} BulkPersist;

static void
persist_of_bulk (const char *key, gpointer data)
{
  BulkPersist *bulk = data;
  GBytes *bytes = g_hash_table_lookup (bulk->contents, key);

  if (bytes != NULL)
    persist_bytes_of_one (bulk->call, key, bytes);
  else
    persist_one (bulk->call, key, bulk->error == NULL ? &bulk->error : NULL);
}

static gboolean
gate_persist_keys (BsBacking *backing,
                   GFile *path,
                   BsKeySet *keys,
                   GHashTable *contents,
                   GCancellable *cancellable,
                   GError **error)
{
  Call call = { .backing = GATE_BACKING (backing),
                .operation = BS_OPERATION_PERSIST_KEYS,
                .path = path,
                .keys = keys,
                .cancellable = cancellable };
  gboolean success = call_begin (&call, error);
  BulkPersist bulk = { &call, contents, NULL };

  if (success)
    bs_key_set_foreach_key (keys, persist_of_bulk, &bulk);
  if (bulk.error != NULL)
    {
      g_propagate_error (error, bulk.error);
      success = FALSE;
    }
  return call_end (&call, success, error);
}

static void
delete_of_bulk (const char *key, gpointer data)
{
  delete_one (data, key);
}

static gboolean
gate_delete_persisted_keys (BsBacking *backing,
                            GFile *path,
                            BsKeySet *keys,
                            GCancellable *cancellable,
                            GError **error)
{
  Call call = { .backing = GATE_BACKING (backing),
                .operation = BS_OPERATION_DELETE_PERSISTED_KEYS,
                .path = path,
                .keys = keys,
                .cancellable = cancellable };
  gboolean success = call_begin (&call, error);

  if (success)
    bs_key_set_foreach_key (keys, delete_of_bulk, &call);
  return call_end (&call, success, error);
}

/* The root may name only what is at the path. */
static void
note_named (const char *key, gpointer data)
{
  Call *call = data;
  Place *place = gate_place_get (call->self, call->path);

  g_hash_table_add (place->named, g_strdup (key));
  if (!g_hash_table_contains (place->blobs, key))
    complain (call->self, call->operation, key, "the root names a key that is not at the path");
}

static gboolean
gate_write_root (BsBacking *backing,
                 GFile *path,
                 GBytes *bytes,
                 BsKeySet *named,
                 GCancellable *cancellable,
                 GError **error)
{
  Call call = { .backing = GATE_BACKING (backing),
                .operation = BS_OPERATION_WRITE_ROOT,
                .path = path,
                .cancellable = cancellable };
  gboolean success = call_begin (&call, error);

  if (success)
    {
      Place *place = gate_place_get (call.self, path);

      g_clear_pointer (&place->root, g_bytes_unref);
      place->root = g_bytes_ref (bytes);
      g_clear_pointer (&place->named, g_hash_table_unref);
      if (named != NULL)
        {
          place->named = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
          bs_key_set_foreach_key (named, note_named, &call);
        }
    }
  return call_end (&call, success, error);
}

static GBytes *
gate_read_root (BsBacking *backing, GFile *path, GCancellable *cancellable, GError **error)
{
  Call call = { .backing = GATE_BACKING (backing),
                .operation = BS_OPERATION_READ_ROOT,
                .path = path,
                .cancellable = cancellable };
  gboolean success = call_begin (&call, error);
  GBytes *bytes = NULL;

  if (success)
    {
      bytes = gate_place_get (call.self, path)->root;
      if (bytes != NULL)
        g_bytes_ref (bytes);
      else
        success = missing (error);
    }
  if (!call_end (&call, success, error))
    g_clear_pointer (&bytes, g_bytes_unref);
  return bytes;
}

static gboolean
gate_verify_persisted (BsBacking *backing,
                       GFile *path,
                       const char *key,
                       GCancellable *cancellable,
                       GError **error)
{
  Call call = { .backing = GATE_BACKING (backing),
                .operation = BS_OPERATION_VERIFY_PERSISTED,
                .path = path,
                .key = key,
                .cancellable = cancellable };
  gboolean success = call_begin (&call, error);

  if (success)
    {
      Place *place = gate_place_get (call.self, path);

      if (!g_hash_table_contains (place->blobs, key))
        {
          success = missing (error);
        }
      else if (g_hash_table_remove (place->bad, key))
        {
          delete_one (&call, key);
          g_set_error_literal (error, BS_ERROR, BS_ERROR_CORRUPT, "the blob is bad");
          success = FALSE;
        }
    }
  return call_end (&call, success, error);
}

static gboolean
gate_release_path (BsBacking *backing, GFile *path, GCancellable *cancellable, GError **error)
{
  Call call = { .backing = GATE_BACKING (backing),
                .operation = BS_OPERATION_RELEASE_PATH,
                .path = path,
                .cancellable = cancellable };
  gboolean success = call_begin (&call, error);

  if (success)
    gate_place_get (call.self, path)->ready = FALSE;
  return call_end (&call, success, error);
}

static gboolean
gate_close (BsBacking *backing, GCancellable *cancellable, GError **error)
{
  Call call = { .backing = GATE_BACKING (backing),
                .operation = BS_OPERATION_CLOSE,
                .cancellable = cancellable };
  gboolean success = call_begin (&call, error);

  if (call.self->n_parallel > 1)
    complain (call.self, BS_OPERATION_CLOSE, NULL, "beside other calls");
  if (success)
    call.self->closed = TRUE;
  return call_end (&call, success, error);
}

static void
backing_iface_init (BsBackingInterface *iface)
{
  iface->write = gate_write;
  iface->read = gate_read;
  iface->delete_key = gate_delete_key;
  iface->register_key = gate_register_key;
  iface->persist = gate_persist;
  iface->delete_persisted = gate_delete_persisted;
  iface->sanitize_path = gate_sanitize_path;
  iface->sync_persisted = gate_sync_persisted;
  iface->register_keys = gate_register_keys;
  iface->delete_persisted_keys = gate_delete_persisted_keys;
  iface->write_root = gate_write_root;
  iface->read_root = gate_read_root;
  iface->verify_persisted = gate_verify_persisted;
  iface->release_path = gate_release_path;
  iface->close = gate_close;
}

static void
direct_iface_init (BsBackingInterface *iface)
{
  iface->persist_bytes = gate_persist_bytes;
}

static void
batch_iface_init (BsBackingInterface *iface)
{
  iface->persist_bytes = gate_persist_bytes;
  iface->persist_keys = gate_persist_keys;
}

static void
single_iface_init (BsBackingInterface *iface)
{
  iface->register_keys = NULL;
  iface->delete_persisted_keys = NULL;
}

static void
gate_free (gpointer data)
{
  g_free (((Gate *) data)->key);
  g_free (data);
}

static void
failure_free (gpointer data)
{
  g_free (((Failure *) data)->key);
  g_free (data);
}

static void
event_clear (gpointer data)
{
  g_free (((Event *) data)->key);
}

static void
gate_backing_init (GateBacking *backing)
{
  GateBackingPrivate *self = gate_backing_get_private (backing);

  self->primary =
    g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) g_bytes_unref);
  self->places = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, place_free);
  self->busy = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  self->gates = g_ptr_array_new_with_free_func (gate_free);
  self->failures = g_ptr_array_new_with_free_func (failure_free);
  self->log = g_array_new (FALSE, FALSE, sizeof (Event));
  g_array_set_clear_func (self->log, event_clear);
  self->violations = g_ptr_array_new_with_free_func (g_free);
  g_mutex_init (&self->mutex);
  g_cond_init (&self->cond);
}

static void
gate_backing_finalize (GObject *object)
{
  GateBackingPrivate *self = gate_backing_get_private (object);

  g_assert_cmpuint (self->n_parallel, ==, 0);
  g_hash_table_unref (self->primary);
  g_hash_table_unref (self->places);
  g_hash_table_unref (self->busy);
  g_ptr_array_unref (self->gates);
  g_ptr_array_unref (self->failures);
  g_array_unref (self->log);
  g_ptr_array_unref (self->violations);
  g_mutex_clear (&self->mutex);
  g_cond_clear (&self->cond);

  G_OBJECT_CLASS (gate_backing_parent_class)->finalize (object);
}

static void
gate_backing_class_init (GateBackingClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = gate_backing_finalize;
}

static void
gate_single_backing_init (GateSingleBacking *self)
{
}

static void
gate_single_backing_class_init (GateSingleBackingClass *klass)
{
}

static void
gate_direct_backing_init (GateDirectBacking *self)
{
}

static void
gate_direct_backing_class_init (GateDirectBackingClass *klass)
{
}

static void
gate_batch_backing_init (GateBatchBacking *self)
{
}

static void
gate_batch_backing_class_init (GateBatchBackingClass *klass)
{
}

GateBacking *
gate_backing_new (void)
{
  return g_object_new (GATE_TYPE_BACKING, NULL);
}

GateBacking *
gate_backing_new_single (void)
{
  return g_object_new (GATE_TYPE_SINGLE_BACKING, NULL);
}

GateBacking *
gate_backing_new_direct (void)
{
  return g_object_new (GATE_TYPE_DIRECT_BACKING, NULL);
}

GateBacking *
gate_backing_new_batch (void)
{
  return g_object_new (GATE_TYPE_BATCH_BACKING, NULL);
}
