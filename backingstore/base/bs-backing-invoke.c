/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "bs-backing-private.h"

#include "bs-error-private.h"
#include "bs-key-private.h"
#include "bs-key-set-private.h"
#include "bs-stream-private.h"

#include <glib/gi18n-lib.h>
#include <inttypes.h>

typedef gboolean (*PathFunc) (BsBacking *self,
                              GFile *path,
                              GCancellable *cancellable,
                              GError **error);
typedef gboolean (*StringAtPathFunc) (BsBacking *self,
                                      GFile *path,
                                      const char *key,
                                      GCancellable *cancellable,
                                      GError **error);
typedef gboolean (*KeyAtPathFunc) (BsBacking *self,
                                   GFile *path,
                                   const BsKey *key,
                                   GCancellable *cancellable,
                                   GError **error);
typedef gboolean (*KeysAtPathFunc) (BsBacking *self,
                                    GFile *path,
                                    BsKeySet *keys,
                                    GCancellable *cancellable,
                                    GError **error);

/* One call of a virtual function. */
typedef struct
{
  BsBacking *self;
  BsOperation operation;
  GFile *path;      /* or NULL */
  const BsKey *key; /* or NULL */
} Call;

/* Puts "persist KEY at PATH: " before the message, unless a backing that this one wraps
 * has done so. */
static void
name_call (const Call *call, GError **error)
{
  g_autofree char *name = bs_operation_describe (call->operation, call->key, call->path);
  g_autofree char *prefix = g_strconcat (name, ": ", NULL);

  if (!g_str_has_prefix ((*error)->message, prefix))
    g_prefix_error (error, "%s", prefix);
}

static gboolean
call_failed (const Call *call, GError *local, GError **error)
{
  name_call (call, &local);
  g_propagate_error (error, local);
  return FALSE;
}

static gboolean
call_cancelled (const Call *call, GCancellable *cancellable, GError **error)
{
  GError *local = NULL;

  if (G_LIKELY (!g_cancellable_set_error_if_cancelled (cancellable, &local)))
    return FALSE;

  call_failed (call, local, error);
  return TRUE;
}

static gboolean
call_begin (const Call *call, gboolean implemented, GCancellable *cancellable, GError **error)
{
  if (call_cancelled (call, cancellable, error))
    return FALSE;
  if (G_LIKELY (implemented))
    return TRUE;

  return call_failed (call,
                      g_error_new (BS_ERROR, BS_ERROR_NOT_SUPPORTED, "%s does not implement %s",
                                   G_OBJECT_TYPE_NAME (call->self),
                                   bs_operation_get_name (call->operation)),
                      error);
}

/* Takes over `local`, the error of the virtual function. */
static gboolean
call_end (const Call *call, gboolean success, const char *forgotten, GError *local, GError **error)
{
  if (G_LIKELY (success))
    {
      g_clear_error (&local);
      return TRUE;
    }

  if (local == NULL)
    bs_error_set_silent (&local, G_OBJECT_TYPE_NAME (call->self),
                         bs_operation_get_name (call->operation), forgotten);
  return call_failed (call, local, error);
}

static const char *
print_key (const BsKey *key, char *string)
{
  bs_key_print (key, string);
  return string;
}

static gboolean
invoke_at_path (BsBacking *self,
                BsOperation operation,
                PathFunc func,
                GFile *path,
                GCancellable *cancellable,
                GError **error)
{
  const Call call = { self, operation, path, NULL };
  GError *local = NULL;
  gboolean success;

  if (!call_begin (&call, func != NULL, cancellable, error))
    return FALSE;

  success = func (self, path, cancellable, &local);
  return call_end (&call, success, BS_FORGOT_TRUE, local, error);
}

static gboolean
invoke_with_key_at_path (BsBacking *self,
                         BsOperation operation,
                         StringAtPathFunc func,
                         KeyAtPathFunc key_func,
                         GFile *path,
                         const BsKey *key,
                         GCancellable *cancellable,
                         GError **error)
{
  const Call call = { self, operation, path, key };
  char string[BS_KEY_STRING_SIZE];
  GError *local = NULL;
  gboolean success;

  if (!call_begin (&call, func != NULL, cancellable, error))
    return FALSE;

  if (key_func != NULL)
    success = key_func (self, path, key, cancellable, &local);
  else
    success = func (self, path, print_key (key, string), cancellable, &local);

  return call_end (&call, success, BS_FORGOT_TRUE, local, error);
}

/* The set may also be an empty one for the function to fill. */
static gboolean
invoke_with_keys_at_path (BsBacking *self,
                          BsOperation operation,
                          KeysAtPathFunc func,
                          GFile *path,
                          BsKeySet *keys,
                          GCancellable *cancellable,
                          GError **error)
{
  const Call call = { self, operation, path, NULL };
  GError *local = NULL;
  gboolean success;

  if (!call_begin (&call, func != NULL, cancellable, error))
    return FALSE;

  success = func (self, path, keys, cancellable, &local);
  return call_end (&call, success, BS_FORGOT_TRUE, local, error);
}

gboolean
bs_backing_invoke_write (BsBacking *self,
                         const BsKey *key,
                         GBytes *bytes,
                         GCancellable *cancellable,
                         GError **error)
{
  BsBackingInterface *iface = BS_BACKING_GET_IFACE (self);
  const BsKeyBackingFuncs *key_funcs = bs_backing_get_key_funcs (iface);
  const Call call = { self, BS_OPERATION_WRITE, NULL, key };
  char string[BS_KEY_STRING_SIZE];
  GError *local = NULL;
  gboolean success;

  if (!call_begin (&call, iface->write != NULL, cancellable, error))
    return FALSE;

  if (key_funcs->write != NULL)
    success = key_funcs->write (self, key, bytes, cancellable, &local);
  else
    success = iface->write (self, print_key (key, string), bytes, cancellable, &local);

  return call_end (&call, success, BS_FORGOT_TRUE, local, error);
}

GBytes *
bs_backing_invoke_read (BsBacking *self,
                        const BsKey *key,
                        GCancellable *cancellable,
                        GError **error)
{
  BsBackingInterface *iface = BS_BACKING_GET_IFACE (self);
  const BsKeyBackingFuncs *key_funcs = bs_backing_get_key_funcs (iface);
  const Call call = { self, BS_OPERATION_READ, NULL, key };
  char string[BS_KEY_STRING_SIZE];
  GError *local = NULL;
  GBytes *bytes;

  if (!call_begin (&call, iface->read != NULL, cancellable, error))
    return NULL;

  if (key_funcs->read != NULL)
    bytes = key_funcs->read (self, key, cancellable, &local);
  else
    bytes = iface->read (self, print_key (key, string), cancellable, &local);

  call_end (&call, bytes != NULL, BS_FORGOT_RESULT, local, error);
  return bytes;
}

gboolean
bs_backing_invoke_delete_key (BsBacking *self,
                              const BsKey *key,
                              GCancellable *cancellable,
                              GError **error)
{
  BsBackingInterface *iface = BS_BACKING_GET_IFACE (self);
  const BsKeyBackingFuncs *key_funcs = bs_backing_get_key_funcs (iface);
  const Call call = { self, BS_OPERATION_DELETE_KEY, NULL, key };
  char string[BS_KEY_STRING_SIZE];
  GError *local = NULL;
  gboolean success;

  if (!call_begin (&call, iface->delete_key != NULL, cancellable, error))
    return FALSE;

  if (key_funcs->delete_key != NULL)
    success = key_funcs->delete_key (self, key, cancellable, &local);
  else
    success = iface->delete_key (self, print_key (key, string), cancellable, &local);

  return call_end (&call, success, BS_FORGOT_TRUE, local, error);
}

gboolean
bs_backing_invoke_register_key (BsBacking *self,
                                GFile *path,
                                const BsKey *key,
                                GCancellable *cancellable,
                                GError **error)
{
  BsBackingInterface *iface = BS_BACKING_GET_IFACE (self);

  return invoke_with_key_at_path (self, BS_OPERATION_REGISTER_KEY, iface->register_key,
                                  bs_backing_get_key_funcs (iface)->register_key, path, key,
                                  cancellable, error);
}

gboolean
bs_backing_invoke_persist (BsBacking *self,
                           GFile *path,
                           const BsKey *key,
                           GCancellable *cancellable,
                           GError **error)
{
  BsBackingInterface *iface = BS_BACKING_GET_IFACE (self);

  return invoke_with_key_at_path (self, BS_OPERATION_PERSIST, iface->persist,
                                  bs_backing_get_key_funcs (iface)->persist, path, key, cancellable,
                                  error);
}

/* The default of persist_bytes: a blob that is not persisted does not stay in primary
 * storage. */
static gboolean
write_and_persist (BsBacking *self,
                   GFile *path,
                   const BsKey *key,
                   GBytes *bytes,
                   GCancellable *cancellable,
                   GError **error)
{
  g_autoptr (GError) local = NULL;
  gboolean written = bs_backing_invoke_write (self, key, bytes, cancellable, &local);

  if (!written && !g_error_matches (local, BS_ERROR, BS_ERROR_EXISTS))
    {
      g_propagate_error (error, g_steal_pointer (&local));
      return FALSE;
    }
  if (bs_backing_invoke_persist (self, path, key, cancellable, error))
    return TRUE;

  if (written)
    bs_backing_invoke_delete_key (self, key, NULL, NULL);
  return FALSE;
}

gboolean
bs_backing_invoke_persist_bytes (BsBacking *self,
                                 GFile *path,
                                 const BsKey *key,
                                 GBytes *bytes,
                                 GCancellable *cancellable,
                                 GError **error)
{
  BsBackingInterface *iface = BS_BACKING_GET_IFACE (self);
  const BsKeyBackingFuncs *key_funcs = bs_backing_get_key_funcs (iface);
  const Call call = { self, BS_OPERATION_PERSIST_BYTES, path, key };
  char string[BS_KEY_STRING_SIZE];
  GError *local = NULL;
  gboolean success;

  if (!call_begin (&call, TRUE, cancellable, error))
    return FALSE;

  if (!bs_backing_implements (self, BS_OPERATION_PERSIST_BYTES))
    success = write_and_persist (self, path, key, bytes, cancellable, &local);
  else if (key_funcs->persist_bytes != NULL)
    success = key_funcs->persist_bytes (self, path, key, bytes, cancellable, &local);
  else
    success =
      iface->persist_bytes (self, path, print_key (key, string), bytes, cancellable, &local);

  return call_end (&call, success, BS_FORGOT_TRUE, local, error);
}

gboolean
bs_backing_invoke_delete_persisted (BsBacking *self,
                                    GFile *path,
                                    const BsKey *key,
                                    GCancellable *cancellable,
                                    GError **error)
{
  BsBackingInterface *iface = BS_BACKING_GET_IFACE (self);

  return invoke_with_key_at_path (self, BS_OPERATION_DELETE_PERSISTED, iface->delete_persisted,
                                  bs_backing_get_key_funcs (iface)->delete_persisted, path, key,
                                  cancellable, error);
}

static gboolean
nothing_to_verify (BsBacking *self,
                   GFile *path,
                   const char *key,
                   GCancellable *cancellable,
                   GError **error)
{
  return TRUE;
}

gboolean
bs_backing_invoke_verify_persisted (BsBacking *self,
                                    GFile *path,
                                    const BsKey *key,
                                    GCancellable *cancellable,
                                    GError **error)
{
  BsBackingInterface *iface = BS_BACKING_GET_IFACE (self);

  return invoke_with_key_at_path (self, BS_OPERATION_VERIFY_PERSISTED,
                                  iface->verify_persisted != NULL ? iface->verify_persisted
                                                                  : nothing_to_verify,
                                  bs_backing_get_key_funcs (iface)->verify_persisted, path, key,
                                  cancellable, error);
}

gboolean
bs_backing_invoke_sanitize_path (BsBacking *self,
                                 GFile *path,
                                 BsKeySet *found,
                                 GCancellable *cancellable,
                                 GError **error)
{
  return invoke_with_keys_at_path (self, BS_OPERATION_SANITIZE_PATH,
                                   BS_BACKING_GET_IFACE (self)->sanitize_path, path, found,
                                   cancellable, error);
}

gboolean
bs_backing_invoke_sync_persisted (BsBacking *self,
                                  GFile *path,
                                  GCancellable *cancellable,
                                  gboolean *called,
                                  GError **error)
{
  const Call call = { self, BS_OPERATION_SYNC_PERSISTED, path, NULL };
  BsBackingInterface *iface = BS_BACKING_GET_IFACE (self);
  gboolean begun = call_begin (&call, iface->sync_persisted != NULL, cancellable, error);
  GError *local = NULL;
  gboolean success;

  if (called != NULL)
    *called = begun;
  if (!begun)
    return FALSE;

  success = iface->sync_persisted (self, path, cancellable, &local);
  return call_end (&call, success, BS_FORGOT_TRUE, local, error);
}

/* The default of a bulk operation. Keys that have a content are persisted with that. */
static gboolean
invoke_one_by_one (BsBacking *self,
                   BsOperation operation,
                   KeyAtPathFunc invoke,
                   GFile *path,
                   BsKeySet *keys,
                   GHashTable *contents,
                   GCancellable *cancellable,
                   GError **error)
{
  const Call call = { self, operation, path, NULL };
  guint64 n_keys = bs_key_set_get_n_keys (keys);
  guint64 n_done = 0;
  BsKeyTable *table = bs_key_set_get_table (keys);
  BsKeyTableIter iter = { 0 };
  const BsKey *key;

  if (call_cancelled (&call, cancellable, error))
    return FALSE;

  for (; bs_key_table_iter_next (table, &iter, &key); n_done++)
    {
      char string[BS_KEY_STRING_SIZE];
      GBytes *bytes =
        contents != NULL ? g_hash_table_lookup (contents, print_key (key, string)) : NULL;
      GError *local = NULL;
      gboolean success = bytes != NULL ? bs_backing_invoke_persist_bytes (self, path, key, bytes,
                                                                          cancellable, &local)
                                       : invoke (self, path, key, cancellable, &local);

      if (!success)
        {
          g_prefix_error (&local, _ ("%" PRIu64 " of %" PRIu64 " done: "), n_done, n_keys);
          return call_failed (&call, local, error);
        }
    }
  return TRUE;
}

gboolean
bs_backing_invoke_register_keys (BsBacking *self,
                                 GFile *path,
                                 BsKeySet *keys,
                                 GCancellable *cancellable,
                                 GError **error)
{
  KeysAtPathFunc func = BS_BACKING_GET_IFACE (self)->register_keys;

  if (func != NULL)
    return invoke_with_keys_at_path (self, BS_OPERATION_REGISTER_KEYS, func, path, keys,
                                     cancellable, error);
  return invoke_one_by_one (self, BS_OPERATION_REGISTER_KEYS, bs_backing_invoke_register_key, path,
                            keys, NULL, cancellable, error);
}

gboolean
bs_backing_invoke_delete_persisted_keys (BsBacking *self,
                                         GFile *path,
                                         BsKeySet *keys,
                                         GCancellable *cancellable,
                                         GError **error)
{
  KeysAtPathFunc func = BS_BACKING_GET_IFACE (self)->delete_persisted_keys;

  if (func != NULL)
    return invoke_with_keys_at_path (self, BS_OPERATION_DELETE_PERSISTED_KEYS, func, path, keys,
                                     cancellable, error);
  return invoke_one_by_one (self, BS_OPERATION_DELETE_PERSISTED_KEYS,
                            bs_backing_invoke_delete_persisted, path, keys, NULL, cancellable,
                            error);
}

gboolean
bs_backing_invoke_persist_keys (BsBacking *self,
                                GFile *path,
                                BsKeySet *keys,
                                GHashTable *contents,
                                GCancellable *cancellable,
                                GError **error)
{
  BsBackingInterface *iface = BS_BACKING_GET_IFACE (self);
  const Call call = { self, BS_OPERATION_PERSIST_KEYS, path, NULL };
  g_autoptr (GHashTable) none = NULL;
  GError *local = NULL;
  gboolean success;

  if (!bs_backing_implements (self, BS_OPERATION_PERSIST_KEYS))
    return invoke_one_by_one (self, BS_OPERATION_PERSIST_KEYS, bs_backing_invoke_persist, path,
                              keys, contents, cancellable, error);
  if (!call_begin (&call, TRUE, cancellable, error))
    return FALSE;

  if (contents == NULL)
    contents = none = g_hash_table_new (g_str_hash, g_str_equal);
  success = iface->persist_keys (self, path, keys, contents, cancellable, &local);
  return call_end (&call, success, BS_FORGOT_TRUE, local, error);
}

gboolean
bs_backing_invoke_write_root (BsBacking *self,
                              GFile *path,
                              GBytes *bytes,
                              BsKeySet *named,
                              GCancellable *cancellable,
                              GError **error)
{
  BsBackingInterface *iface = BS_BACKING_GET_IFACE (self);
  const Call call = { self, BS_OPERATION_WRITE_ROOT, path, NULL };
  GError *local = NULL;
  gboolean success;

  if (!call_begin (&call, iface->write_root != NULL, cancellable, error))
    return FALSE;

  success = iface->write_root (self, path, bytes, named, cancellable, &local);
  return call_end (&call, success, BS_FORGOT_TRUE, local, error);
}

GBytes *
bs_backing_invoke_read_root (BsBacking *self,
                             GFile *path,
                             GCancellable *cancellable,
                             GError **error)
{
  BsBackingInterface *iface = BS_BACKING_GET_IFACE (self);
  const Call call = { self, BS_OPERATION_READ_ROOT, path, NULL };
  GError *local = NULL;
  GBytes *bytes;

  if (!call_begin (&call, iface->read_root != NULL, cancellable, error))
    return NULL;

  bytes = iface->read_root (self, path, cancellable, &local);
  call_end (&call, bytes != NULL, BS_FORGOT_RESULT, local, error);
  return bytes;
}

static gboolean
nothing_to_release (BsBacking *self, GFile *path, GCancellable *cancellable, GError **error)
{
  return TRUE;
}

gboolean
bs_backing_invoke_release_path (BsBacking *self,
                                GFile *path,
                                GCancellable *cancellable,
                                GError **error)
{
  PathFunc func = BS_BACKING_GET_IFACE (self)->release_path;

  return invoke_at_path (self, BS_OPERATION_RELEASE_PATH, func != NULL ? func : nothing_to_release,
                         path, cancellable, error);
}

gboolean
bs_backing_invoke_close (BsBacking *self, GCancellable *cancellable, GError **error)
{
  BsBackingInterface *iface = BS_BACKING_GET_IFACE (self);
  const Call call = { self, BS_OPERATION_CLOSE, NULL, NULL };
  GError *local = NULL;
  gboolean success;

  if (!call_begin (&call, TRUE, cancellable, error))
    return FALSE;

  success = iface->close == NULL || iface->close (self, cancellable, &local);
  return call_end (&call, success, BS_FORGOT_TRUE, local, error);
}

/* Both are part of preparing a path, and called so in messages. */
GFile *
bs_backing_invoke_open_path (BsBacking *self,
                             GFile *file,
                             gboolean *writable,
                             GCancellable *cancellable,
                             GError **error)
{
  const Call call = { self, BS_OPERATION_SANITIZE_PATH, file, NULL };
  const BsKeyBackingFuncs *key_funcs;
  GError *local = NULL;
  GFile *path;

  /* A script may make a store without a backing. */
  g_return_val_if_fail (BS_IS_BACKING (self), NULL);

  key_funcs = bs_backing_get_key_funcs (BS_BACKING_GET_IFACE (self));
  *writable = TRUE;
  if (!call_begin (&call, TRUE, cancellable, error))
    return NULL;

  if (key_funcs->open_path == NULL)
    return g_object_ref (file);

  path = key_funcs->open_path (self, file, writable, cancellable, &local);
  call_end (&call, path != NULL, BS_FORGOT_RESULT, local, error);

  return path;
}

gboolean
bs_backing_invoke_check_path (BsBacking *self,
                              GFile *path,
                              GCancellable *cancellable,
                              GError **error)
{
  PathFunc func = bs_backing_get_key_funcs (BS_BACKING_GET_IFACE (self))->check_path;

  return func == NULL ||
         invoke_at_path (self, BS_OPERATION_SANITIZE_PATH, func, path, cancellable, error);
}

gboolean
bs_backing_invoke_find_missing (BsBacking *self,
                                GFile *path,
                                BsExpectFunc expect,
                                gpointer expect_data,
                                BsKeyTable *missing,
                                GCancellable *cancellable,
                                GError **error)
{
  const BsKeyBackingFuncs *key_funcs = bs_backing_get_key_funcs (BS_BACKING_GET_IFACE (self));
  const Call call = { self, BS_OPERATION_SANITIZE_PATH, path, NULL };
  GError *local = NULL;
  gboolean success;

  if (key_funcs->find_missing == NULL)
    return TRUE;
  if (!call_begin (&call, TRUE, cancellable, error))
    return FALSE;

  success = key_funcs->find_missing (self, path, expect, expect_data, missing, cancellable, &local);
  return call_end (&call, success, BS_FORGOT_TRUE, local, error);
}

gboolean
bs_backing_checks_paths (BsBacking *self)
{
  const BsKeyBackingFuncs *key_funcs = bs_backing_get_key_funcs (BS_BACKING_GET_IFACE (self));

  return key_funcs->check_path != NULL || key_funcs->find_missing != NULL;
}

/* The default of read_stream. */
static GInputStream *
read_as_stream (BsBacking *self, const BsKey *key, GCancellable *cancellable, GError **error)
{
  g_autoptr (GBytes) bytes = bs_backing_invoke_read (self, key, cancellable, error);

  return bytes != NULL ? g_memory_input_stream_new_from_bytes (bytes) : NULL;
}

GInputStream *
bs_backing_invoke_read_stream (BsBacking *self,
                               const BsKey *key,
                               GCancellable *cancellable,
                               GError **error)
{
  BsBackingInterface *iface = BS_BACKING_GET_IFACE (self);
  const BsKeyBackingFuncs *key_funcs = bs_backing_get_key_funcs (iface);
  const Call call = { self, BS_OPERATION_READ_STREAM, NULL, key };
  g_autoptr (GInputStream) stream = NULL;
  char string[BS_KEY_STRING_SIZE];
  GError *local = NULL;

  if (!call_begin (&call, TRUE, cancellable, error))
    return NULL;

  if (key_funcs->read_stream != NULL)
    stream = key_funcs->read_stream (self, key, cancellable, &local);
  else if (iface->read_stream != NULL)
    stream = iface->read_stream (self, print_key (key, string), cancellable, &local);
  else
    stream = read_as_stream (self, key, cancellable, &local);

  if (stream != NULL && !(G_IS_SEEKABLE (stream) && g_seekable_can_seek (G_SEEKABLE (stream))))
    {
      g_clear_object (&stream);
      g_clear_error (&local);
      local = g_error_new (BS_ERROR, BS_ERROR_FAILED,
                           "%s has returned a stream that cannot seek from read_stream",
                           G_OBJECT_TYPE_NAME (self));
    }
  call_end (&call, stream != NULL, BS_FORGOT_RESULT, local, error);

  return g_steal_pointer (&stream);
}

/* The default of write_stream. */
static gboolean
write_stream_as_bytes (BsBacking *self,
                       const BsKey *key,
                       GInputStream *stream,
                       gint64 size,
                       GCancellable *cancellable,
                       GError **error)
{
  g_autoptr (GBytes) bytes = bs_stream_read_bytes (stream, size, cancellable, error);

  return bytes != NULL && bs_backing_invoke_write (self, key, bytes, cancellable, error);
}

gboolean
bs_backing_invoke_write_stream (BsBacking *self,
                                const BsKey *key,
                                GInputStream *stream,
                                gint64 size,
                                GCancellable *cancellable,
                                GError **error)
{
  BsBackingInterface *iface = BS_BACKING_GET_IFACE (self);
  const BsKeyBackingFuncs *key_funcs = bs_backing_get_key_funcs (iface);
  const Call call = { self, BS_OPERATION_WRITE_STREAM, NULL, key };
  char string[BS_KEY_STRING_SIZE];
  GError *local = NULL;
  gboolean success;

  if (!call_begin (&call, TRUE, cancellable, error))
    return FALSE;

  if (key_funcs->write_stream != NULL)
    success = key_funcs->write_stream (self, key, stream, size, cancellable, &local);
  else if (iface->write_stream != NULL)
    success =
      iface->write_stream (self, print_key (key, string), stream, size, cancellable, &local);
  else
    success = write_stream_as_bytes (self, key, stream, size, cancellable, &local);

  return call_end (&call, success, BS_FORGOT_TRUE, local, error);
}

/* The default of write_file. */
static gboolean
write_file_as_stream (BsBacking *self,
                      const BsKey *key,
                      GFile *file,
                      GCancellable *cancellable,
                      GError **error)
{
  g_autoptr (GInputStream) stream = bs_stream_open_file (file, cancellable, error);

  return stream != NULL &&
         bs_backing_invoke_write_stream (self, key, stream, -1, cancellable, error);
}

gboolean
bs_backing_invoke_write_file (BsBacking *self,
                              const BsKey *key,
                              GFile *file,
                              GCancellable *cancellable,
                              GError **error)
{
  BsBackingInterface *iface = BS_BACKING_GET_IFACE (self);
  const BsKeyBackingFuncs *key_funcs = bs_backing_get_key_funcs (iface);
  const Call call = { self, BS_OPERATION_WRITE_FILE, NULL, key };
  char string[BS_KEY_STRING_SIZE];
  GError *local = NULL;
  gboolean success;

  if (!call_begin (&call, TRUE, cancellable, error))
    return FALSE;

  if (key_funcs->write_file != NULL)
    success = key_funcs->write_file (self, key, file, cancellable, &local);
  else if (iface->write_file != NULL)
    success = iface->write_file (self, print_key (key, string), file, cancellable, &local);
  else
    success = write_file_as_stream (self, key, file, cancellable, &local);

  return call_end (&call, success, BS_FORGOT_TRUE, local, error);
}
