/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "bs-backing-private.h"

#include "bs-error-private.h"
#include "bs-key-set-private.h"

/**
 * BsBacking:
 *
 * Where the bytes live: the contract between a store and an engine that keeps
 * blobs.
 *
 * A backing has *primary storage*, scratch that belongs to this process and
 * goes when the process is done, and any number of *persisted paths*, permanent
 * places each named by a [iface@Gio.File]. A blob is named by its key and never
 * changes. A backing for another kind of engine reads its own URI scheme from
 * the file, and need not do any I/O through it.
 *
 * Applications hand a backing to a [class@BackingStore], which makes it safe to
 * use from everywhere at once, and ask the store from then on. The functions
 * here are for stores, for backings that wrap another one, and for tests.
 *
 * ## Threads
 *
 * All virtual functions block. They are called from several threads at once
 * for different keys, in any thread of the process; a store with a
 * [property@BackingStore:main-context] calls them in that context only. None
 * may wait for the store, or call it: a call that could only wait for itself fails
 * with %G_IO_ERROR_WOULD_BLOCK.
 *
 * ## Promises to a backing
 *
 * - There is one call at a time for each key, and for
 *   [vfunc@Backing.sanitize_path], [vfunc@Backing.sync_persisted],
 *   [vfunc@Backing.write_root] and [vfunc@Backing.read_root] for each path.
 * - Nothing at all runs at a path beside [vfunc@Backing.sanitize_path] there,
 *   and that comes before any other call for the path.
 * - Keys are lower-case and hyphenated.
 * - `error` is never %NULL.
 *
 * ## Promises of a backing
 *
 * - An error means that the call had no effect. A bulk call may have had any
 *   part of it.
 * - Every call but [vfunc@Backing.write] may be repeated, and succeeds: to delete a
 *   missing blob, to register a blob that primary storage has, to persist a blob that the
 *   path has, to sync without changes, to release or to close twice.
 * - A failed [vfunc@Backing.write] leaves no key behind.
 * - The `cancellable` may fire at any time. A backing that looks at it stops
 *   with %G_IO_ERROR_CANCELLED and no effect; one that does not look finishes
 *   its work, which is right too. It is never handed a cancellable that has
 *   fired already.
 *
 * After an error the store takes nothing for granted: it asks the backing again
 * rather than trusting its memory.
 *
 * ## Implementing one
 *
 * The first eight functions are required, the others have defaults. A function
 * that returns %FALSE or %NULL sets an error of the [error@Error] domain, or
 * of another one. It need not name the operation, the
 * key or the path in the message: the functions here put these before it.
 *
 * One that fails without setting an error, as a function written in Python does
 * when it raises a plain exception or forgets `return True`, is reported as
 * %BS_ERROR_FAILED with a message that names the type and the function. An error
 * that is set beside a success is dropped.
 *
 * In JavaScript, use it in a store with a [property@BackingStore:main-context]
 * only, and never keep the bytes that [vfunc@Backing.write],
 * [vfunc@Backing.persist_bytes] and [vfunc@Backing.write_root] are given: GJS lends
 * them for the call, without a reference. Keep `new GLib.Bytes(bytes.toArray())`.
 */

/**
 * BsBackingInterface:
 * @parent_iface: the parent
 * @write: see [method@Backing.write]
 * @read: see [method@Backing.read]
 * @delete_key: see [method@Backing.delete_key]
 * @register_key: see [method@Backing.register_key]
 * @persist: see [method@Backing.persist]
 * @delete_persisted: see [method@Backing.delete_persisted]
 * @sanitize_path: see [method@Backing.sanitize_path]
 * @sync_persisted: see [method@Backing.sync_persisted]
 * @register_keys: optional, see [method@Backing.register_keys]
 * @delete_persisted_keys: optional, see [method@Backing.delete_persisted_keys]
 * @persist_bytes: optional, see [method@Backing.persist_bytes]
 * @write_root: optional, see [method@Backing.write_root]
 * @read_root: optional, see [method@Backing.read_root]
 * @verify_persisted: optional, see [method@Backing.verify_persisted]
 * @release_path: optional, see [method@Backing.release_path]
 * @close: optional, see [method@Backing.close]
 *
 * The virtual functions of a backing. [iface@Backing] says what they may rely
 * on and must promise.
 */

G_DEFINE_INTERFACE (BsBacking, bs_backing, G_TYPE_OBJECT)

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

static const struct
{
  const char *name;
  gsize offset;
} operations[] = {
  [BS_OPERATION_WRITE] = { "write", G_STRUCT_OFFSET (BsBackingInterface, write) },
  [BS_OPERATION_READ] = { "read", G_STRUCT_OFFSET (BsBackingInterface, read) },
  [BS_OPERATION_DELETE_KEY] = { "delete_key", G_STRUCT_OFFSET (BsBackingInterface, delete_key) },
  [BS_OPERATION_REGISTER_KEY] = { "register_key",
                                  G_STRUCT_OFFSET (BsBackingInterface, register_key) },
  [BS_OPERATION_REGISTER_KEYS] = { "register_keys",
                                   G_STRUCT_OFFSET (BsBackingInterface, register_keys) },
  [BS_OPERATION_PERSIST] = { "persist", G_STRUCT_OFFSET (BsBackingInterface, persist) },
  [BS_OPERATION_PERSIST_BYTES] = { "persist_bytes",
                                   G_STRUCT_OFFSET (BsBackingInterface, persist_bytes) },
  [BS_OPERATION_DELETE_PERSISTED] = { "delete_persisted",
                                      G_STRUCT_OFFSET (BsBackingInterface, delete_persisted) },
  [BS_OPERATION_DELETE_PERSISTED_KEYS] = { "delete_persisted_keys",
                                           G_STRUCT_OFFSET (BsBackingInterface,
                                                            delete_persisted_keys) },
  [BS_OPERATION_SANITIZE_PATH] = { "sanitize_path",
                                   G_STRUCT_OFFSET (BsBackingInterface, sanitize_path) },
  [BS_OPERATION_SYNC_PERSISTED] = { "sync_persisted",
                                    G_STRUCT_OFFSET (BsBackingInterface, sync_persisted) },
  [BS_OPERATION_WRITE_ROOT] = { "write_root", G_STRUCT_OFFSET (BsBackingInterface, write_root) },
  [BS_OPERATION_READ_ROOT] = { "read_root", G_STRUCT_OFFSET (BsBackingInterface, read_root) },
  [BS_OPERATION_VERIFY_PERSISTED] = { "verify_persisted",
                                      G_STRUCT_OFFSET (BsBackingInterface, verify_persisted) },
  [BS_OPERATION_RELEASE_PATH] = { "release_path",
                                  G_STRUCT_OFFSET (BsBackingInterface, release_path) },
  [BS_OPERATION_CLOSE] = { "close", G_STRUCT_OFFSET (BsBackingInterface, close) },
};

static void
bs_backing_default_init (BsBackingInterface *iface)
{
}

const char *
bs_operation_get_name (BsOperation operation)
{
  g_return_val_if_fail ((guint) operation < G_N_ELEMENTS (operations), NULL);

  return operations[operation].name;
}

/* Without a function for binary keys the caller prints the key for the public one. */
static const BsKeyBackingFuncs *
get_key_funcs (BsBackingInterface *iface)
{
  static const BsKeyBackingFuncs none;

  return iface->key_funcs != NULL ? iface->key_funcs : &none;
}

gboolean
bs_backing_implements (BsBacking *self, BsOperation operation)
{
  BsBackingInterface *iface = BS_BACKING_GET_IFACE (self);
  const BsKeyBackingFuncs *key_funcs = get_key_funcs (iface);

  g_return_val_if_fail ((guint) operation < G_N_ELEMENTS (operations), FALSE);

  if (operation == BS_OPERATION_PERSIST_BYTES && key_funcs->peek_inner != NULL)
    return bs_backing_implements (key_funcs->peek_inner (self), operation);

  return G_STRUCT_MEMBER (gpointer, iface, operations[operation].offset) != NULL;
}

/* Puts "persist KEY at PATH: " before the message, unless a backing that this one wraps
 * has done so. */
static void
name_call (const Call *call, GError **error)
{
  g_autoptr (GString) name = g_string_new (operations[call->operation].name);

  if (call->key != NULL)
    {
      char key[BS_KEY_STRING_SIZE];

      bs_key_print (call->key, key);
      g_string_append_printf (name, " %s", key);
    }
  if (call->path != NULL)
    {
      g_autofree char *path = g_file_get_parse_name (call->path);

      g_string_append_printf (name, " at %s", path);
    }
  g_string_append (name, ": ");

  if (!g_str_has_prefix ((*error)->message, name->str))
    g_prefix_error (error, "%s", name->str);
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
                                   operations[call->operation].name),
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
    bs_error_set_silent (&local, G_OBJECT_TYPE_NAME (call->self), operations[call->operation].name,
                         forgotten);
  return call_failed (call, local, error);
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
  GError *local = NULL;
  gboolean success;

  if (!call_begin (&call, func != NULL, cancellable, error))
    return FALSE;

  if (key_func != NULL)
    {
      success = key_func (self, path, key, cancellable, &local);
    }
  else
    {
      char string[BS_KEY_STRING_SIZE];

      bs_key_print (key, string);
      success = func (self, path, string, cancellable, &local);
    }

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

/* The default of a bulk operation. */
static gboolean
invoke_one_by_one (BsBacking *self,
                   BsOperation operation,
                   KeyAtPathFunc invoke,
                   GFile *path,
                   BsKeySet *keys,
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
      GError *local = NULL;

      if (!invoke (self, path, key, cancellable, &local))
        {
          g_prefix_error (&local, "%" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT " done: ", n_done,
                          n_keys);
          return call_failed (&call, local, error);
        }
    }
  return TRUE;
}

gboolean
bs_backing_invoke_write (BsBacking *self,
                         const BsKey *key,
                         GBytes *bytes,
                         GCancellable *cancellable,
                         GError **error)
{
  BsBackingInterface *iface = BS_BACKING_GET_IFACE (self);
  const BsKeyBackingFuncs *key_funcs = get_key_funcs (iface);
  const Call call = { self, BS_OPERATION_WRITE, NULL, key };
  GError *local = NULL;
  gboolean success;

  if (!call_begin (&call, iface->write != NULL, cancellable, error))
    return FALSE;

  if (key_funcs->write != NULL)
    {
      success = key_funcs->write (self, key, bytes, cancellable, &local);
    }
  else
    {
      char string[BS_KEY_STRING_SIZE];

      bs_key_print (key, string);
      success = iface->write (self, string, bytes, cancellable, &local);
    }

  return call_end (&call, success, BS_FORGOT_TRUE, local, error);
}

GBytes *
bs_backing_invoke_read (BsBacking *self,
                        const BsKey *key,
                        GCancellable *cancellable,
                        GError **error)
{
  BsBackingInterface *iface = BS_BACKING_GET_IFACE (self);
  const BsKeyBackingFuncs *key_funcs = get_key_funcs (iface);
  const Call call = { self, BS_OPERATION_READ, NULL, key };
  GError *local = NULL;
  GBytes *bytes;

  if (!call_begin (&call, iface->read != NULL, cancellable, error))
    return NULL;

  if (key_funcs->read != NULL)
    {
      bytes = key_funcs->read (self, key, cancellable, &local);
    }
  else
    {
      char string[BS_KEY_STRING_SIZE];

      bs_key_print (key, string);
      bytes = iface->read (self, string, cancellable, &local);
    }

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
  const BsKeyBackingFuncs *key_funcs = get_key_funcs (iface);
  const Call call = { self, BS_OPERATION_DELETE_KEY, NULL, key };
  GError *local = NULL;
  gboolean success;

  if (!call_begin (&call, iface->delete_key != NULL, cancellable, error))
    return FALSE;

  if (key_funcs->delete_key != NULL)
    {
      success = key_funcs->delete_key (self, key, cancellable, &local);
    }
  else
    {
      char string[BS_KEY_STRING_SIZE];

      bs_key_print (key, string);
      success = iface->delete_key (self, string, cancellable, &local);
    }

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
                                  get_key_funcs (iface)->register_key, path, key, cancellable,
                                  error);
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
                                  get_key_funcs (iface)->persist, path, key, cancellable, error);
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
  const BsKeyBackingFuncs *key_funcs = get_key_funcs (iface);
  const Call call = { self, BS_OPERATION_PERSIST_BYTES, path, key };
  GError *local = NULL;
  gboolean success;

  if (!call_begin (&call, TRUE, cancellable, error))
    return FALSE;

  if (!bs_backing_implements (self, BS_OPERATION_PERSIST_BYTES))
    {
      success = write_and_persist (self, path, key, bytes, cancellable, &local);
    }
  else if (key_funcs->persist_bytes != NULL)
    {
      success = key_funcs->persist_bytes (self, path, key, bytes, cancellable, &local);
    }
  else
    {
      char string[BS_KEY_STRING_SIZE];

      bs_key_print (key, string);
      success = iface->persist_bytes (self, path, string, bytes, cancellable, &local);
    }

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
                                  get_key_funcs (iface)->delete_persisted, path, key, cancellable,
                                  error);
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
                                  get_key_funcs (iface)->verify_persisted, path, key, cancellable,
                                  error);
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

  key_funcs = get_key_funcs (BS_BACKING_GET_IFACE (self));
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
  PathFunc func = get_key_funcs (BS_BACKING_GET_IFACE (self))->check_path;

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
  const BsKeyBackingFuncs *key_funcs = get_key_funcs (BS_BACKING_GET_IFACE (self));
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
  const BsKeyBackingFuncs *key_funcs = get_key_funcs (BS_BACKING_GET_IFACE (self));

  return key_funcs->check_path != NULL || key_funcs->find_missing != NULL;
}

static gboolean
parse_key (BsOperation operation, GFile *path, const char *string, BsKey *key, GError **error)
{
  g_autofree char *where = NULL;
  g_autofree char *what = NULL;

  if (bs_key_parse (string, key))
    return TRUE;

  if (path != NULL)
    where = g_file_get_parse_name (path);
  what = g_strconcat (operations[operation].name, where != NULL ? " at " : NULL, where, NULL);
  return bs_key_parse_error (string, what, key, error);
}

/**
 * bs_backing_write:
 * @self: a backing
 * @key: a key that primary storage does not have
 * @bytes: the content
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Puts a new blob into primary storage.
 *
 * A failed write leaves no key behind, so that it can be tried again. The blob
 * may be empty.
 *
 * Blocks, in the calling thread. Fails with %BS_ERROR_INVALID_KEY,
 * %BS_ERROR_EXISTS if the key is there, %G_IO_ERROR_NO_SPACE or another
 * %G_IO_ERROR of the system, or %G_IO_ERROR_CANCELLED.
 *
 * Returns: %TRUE on success, %FALSE with @error set
 */
gboolean
bs_backing_write (BsBacking *self,
                  const char *key,
                  GBytes *bytes,
                  GCancellable *cancellable,
                  GError **error)
{
  BsKey parsed;

  g_return_val_if_fail (BS_IS_BACKING (self), FALSE);
  g_return_val_if_fail (bytes != NULL, FALSE);

  return parse_key (BS_OPERATION_WRITE, NULL, key, &parsed, error) &&
         bs_backing_invoke_write (self, &parsed, bytes, cancellable, error);
}

/**
 * bs_backing_read:
 * @self: a backing
 * @key: a key
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Reads a blob from primary storage, whole.
 *
 * Blocks, in the calling thread. Fails with %BS_ERROR_INVALID_KEY,
 * %BS_ERROR_NOT_FOUND if primary storage has no such key, %BS_ERROR_CORRUPT if
 * the content is not the one that was written, a %G_IO_ERROR of the system, or
 * %G_IO_ERROR_CANCELLED.
 *
 * Returns: (transfer full): the content, or %NULL with @error set
 */
GBytes *
bs_backing_read (BsBacking *self, const char *key, GCancellable *cancellable, GError **error)
{
  BsKey parsed;

  g_return_val_if_fail (BS_IS_BACKING (self), NULL);

  if (!parse_key (BS_OPERATION_READ, NULL, key, &parsed, error))
    return NULL;
  return bs_backing_invoke_read (self, &parsed, cancellable, error);
}

/**
 * bs_backing_delete_key:
 * @self: a backing
 * @key: a key
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Deletes a blob from primary storage. It stays at every path where it was
 * persisted.
 *
 * A key that is not there is no error.
 *
 * Blocks, in the calling thread. Fails with %BS_ERROR_INVALID_KEY, a %G_IO_ERROR
 * of the system, or %G_IO_ERROR_CANCELLED.
 *
 * Returns: %TRUE if the key is not in primary storage now, %FALSE with @error
 *   set
 */
gboolean
bs_backing_delete_key (BsBacking *self, const char *key, GCancellable *cancellable, GError **error)
{
  BsKey parsed;

  g_return_val_if_fail (BS_IS_BACKING (self), FALSE);

  return parse_key (BS_OPERATION_DELETE_KEY, NULL, key, &parsed, error) &&
         bs_backing_invoke_delete_key (self, &parsed, cancellable, error);
}

/**
 * bs_backing_register_key:
 * @self: a backing
 * @path: a persisted path
 * @key: a key
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Makes a persisted blob available in primary storage, without loading it.
 *
 * A key that primary storage has already is no error.
 *
 * Blocks, in the calling thread. Fails with %BS_ERROR_INVALID_KEY,
 * %BS_ERROR_NOT_FOUND if @path has no such key, %BS_ERROR_CORRUPT if the
 * blob there is not the one that was persisted, a %G_IO_ERROR of the system, or
 * %G_IO_ERROR_CANCELLED.
 *
 * Returns: %TRUE if the key is in primary storage now, %FALSE with @error set
 */
gboolean
bs_backing_register_key (BsBacking *self,
                         GFile *path,
                         const char *key,
                         GCancellable *cancellable,
                         GError **error)
{
  BsKey parsed;

  g_return_val_if_fail (BS_IS_BACKING (self), FALSE);
  g_return_val_if_fail (G_IS_FILE (path), FALSE);

  return parse_key (BS_OPERATION_REGISTER_KEY, path, key, &parsed, error) &&
         bs_backing_invoke_register_key (self, path, &parsed, cancellable, error);
}

/**
 * bs_backing_persist:
 * @self: a backing
 * @path: a persisted path
 * @key: a key
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Makes a blob of primary storage permanent at a path. It stays in primary
 * storage.
 *
 * The blob is durable after the next [method@Backing.sync_persisted]. Until then the
 * path has the whole blob or none of it, after a crash too. A key that the path has
 * already is no error.
 *
 * Blocks, in the calling thread. Fails with %BS_ERROR_INVALID_KEY,
 * %BS_ERROR_NOT_FOUND if primary storage has no such key, %G_IO_ERROR_NO_SPACE
 * or another %G_IO_ERROR of the system, or %G_IO_ERROR_CANCELLED.
 *
 * Returns: %TRUE if the key is at @path now, %FALSE with @error set
 */
gboolean
bs_backing_persist (BsBacking *self,
                    GFile *path,
                    const char *key,
                    GCancellable *cancellable,
                    GError **error)
{
  BsKey parsed;

  g_return_val_if_fail (BS_IS_BACKING (self), FALSE);
  g_return_val_if_fail (G_IS_FILE (path), FALSE);

  return parse_key (BS_OPERATION_PERSIST, path, key, &parsed, error) &&
         bs_backing_invoke_persist (self, path, &parsed, cancellable, error);
}

/**
 * bs_backing_delete_persisted:
 * @self: a backing
 * @path: a persisted path
 * @key: a key
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Deletes a blob from a path. It stays in primary storage if it is there.
 *
 * A key that is not there is no error.
 *
 * Blocks, in the calling thread. Fails with %BS_ERROR_INVALID_KEY, a %G_IO_ERROR
 * of the system, or %G_IO_ERROR_CANCELLED.
 *
 * Returns: %TRUE if the key is not at @path now, %FALSE with @error set
 */
gboolean
bs_backing_delete_persisted (BsBacking *self,
                             GFile *path,
                             const char *key,
                             GCancellable *cancellable,
                             GError **error)
{
  BsKey parsed;

  g_return_val_if_fail (BS_IS_BACKING (self), FALSE);
  g_return_val_if_fail (G_IS_FILE (path), FALSE);

  return parse_key (BS_OPERATION_DELETE_PERSISTED, path, key, &parsed, error) &&
         bs_backing_invoke_delete_persisted (self, path, &parsed, cancellable, error);
}

/**
 * bs_backing_sanitize_path:
 * @self: a backing
 * @path: a persisted path
 * @found: a set to add every key at @path to
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Prepares a path for use: makes it if it is missing, locks it against others,
 * removes the leftovers of an interrupted run, and tells which keys are there.
 *
 * After an error the keys in @found mean nothing. A path that was released may be
 * sanitized again.
 *
 * Blocks, in the calling thread. Fails with %BS_ERROR_FOREIGN if @path holds
 * something that is not a store, %BS_ERROR_BUSY if somebody else uses it, a
 * %G_IO_ERROR of the system, or %G_IO_ERROR_CANCELLED.
 *
 * Returns: %TRUE on success, %FALSE with @error set
 */
gboolean
bs_backing_sanitize_path (BsBacking *self,
                          GFile *path,
                          BsKeySet *found,
                          GCancellable *cancellable,
                          GError **error)
{
  g_return_val_if_fail (BS_IS_BACKING (self), FALSE);
  g_return_val_if_fail (G_IS_FILE (path), FALSE);
  g_return_val_if_fail (BS_IS_KEY_SET (found), FALSE);

  return invoke_with_keys_at_path (self, BS_OPERATION_SANITIZE_PATH,
                                   BS_BACKING_GET_IFACE (self)->sanitize_path, path, found,
                                   cancellable, error);
}

/**
 * bs_backing_sync_persisted:
 * @self: a backing
 * @path: a persisted path
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Makes the changes at a path durable: when it returns, everything that was
 * persisted and deleted there before the call survives a power cut.
 *
 * Blocks, in the calling thread. Fails with %BS_ERROR_MOVED if @path leads elsewhere by
 * now, a %G_IO_ERROR of the system, or %G_IO_ERROR_CANCELLED. The changes that it should
 * have covered are not durable then, and need not become so at the next call.
 *
 * Returns: %TRUE on success, %FALSE with @error set
 */
gboolean
bs_backing_sync_persisted (BsBacking *self, GFile *path, GCancellable *cancellable, GError **error)
{
  g_return_val_if_fail (BS_IS_BACKING (self), FALSE);
  g_return_val_if_fail (G_IS_FILE (path), FALSE);

  return invoke_at_path (self, BS_OPERATION_SYNC_PERSISTED,
                         BS_BACKING_GET_IFACE (self)->sync_persisted, path, cancellable, error);
}

/**
 * bs_backing_register_keys:
 * @self: a backing
 * @path: a persisted path
 * @keys: the keys; not changed
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Does [method@Backing.register_key] for many keys.
 *
 * A backing need not implement it: by default the keys are registered one by
 * one, up to the first error, whose message says how many were done.
 *
 * Blocks, in the calling thread. Fails as [method@Backing.register_key] does;
 * any part of the keys may be registered then.
 *
 * Returns: %TRUE if all the keys are in primary storage now, %FALSE with @error
 *   set
 */
gboolean
bs_backing_register_keys (BsBacking *self,
                          GFile *path,
                          BsKeySet *keys,
                          GCancellable *cancellable,
                          GError **error)
{
  BsBackingInterface *iface;

  g_return_val_if_fail (BS_IS_BACKING (self), FALSE);
  g_return_val_if_fail (G_IS_FILE (path), FALSE);
  g_return_val_if_fail (BS_IS_KEY_SET (keys), FALSE);

  iface = BS_BACKING_GET_IFACE (self);
  if (iface->register_keys != NULL)
    return invoke_with_keys_at_path (self, BS_OPERATION_REGISTER_KEYS, iface->register_keys, path,
                                     keys, cancellable, error);
  return invoke_one_by_one (self, BS_OPERATION_REGISTER_KEYS, bs_backing_invoke_register_key, path,
                            keys, cancellable, error);
}

/**
 * bs_backing_delete_persisted_keys:
 * @self: a backing
 * @path: a persisted path
 * @keys: the keys; not changed
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Does [method@Backing.delete_persisted] for many keys.
 *
 * A backing need not implement it: by default the keys are deleted one by one,
 * up to the first error, whose message says how many were done.
 *
 * Blocks, in the calling thread. Fails as [method@Backing.delete_persisted]
 * does; any part of the keys may be deleted then.
 *
 * Returns: %TRUE if none of the keys is at @path now, %FALSE with @error set
 */
gboolean
bs_backing_delete_persisted_keys (BsBacking *self,
                                  GFile *path,
                                  BsKeySet *keys,
                                  GCancellable *cancellable,
                                  GError **error)
{
  BsBackingInterface *iface;

  g_return_val_if_fail (BS_IS_BACKING (self), FALSE);
  g_return_val_if_fail (G_IS_FILE (path), FALSE);
  g_return_val_if_fail (BS_IS_KEY_SET (keys), FALSE);

  iface = BS_BACKING_GET_IFACE (self);
  if (iface->delete_persisted_keys != NULL)
    return invoke_with_keys_at_path (self, BS_OPERATION_DELETE_PERSISTED_KEYS,
                                     iface->delete_persisted_keys, path, keys, cancellable, error);
  return invoke_one_by_one (self, BS_OPERATION_DELETE_PERSISTED_KEYS,
                            bs_backing_invoke_delete_persisted, path, keys, cancellable, error);
}

/**
 * bs_backing_persist_bytes:
 * @self: a backing
 * @path: a persisted path
 * @key: a key
 * @bytes: the content
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Puts a new blob into primary storage and makes it permanent at a path, in one step:
 * the blob is where [method@Backing.write] and [method@Backing.persist] would have put
 * it, and is durable after the next [method@Backing.sync_persisted].
 *
 * A store calls it for a content that is in memory only. A backing implements it where
 * one step is cheaper than two: the content need not pass through primary storage. By
 * default the blob is written and persisted; where persisting fails, the blob that was
 * written is deleted from primary storage.
 *
 * A key that primary storage or the path has already is no error, and keeps its content.
 *
 * Blocks, in the calling thread. Fails with %BS_ERROR_INVALID_KEY,
 * %G_IO_ERROR_NO_SPACE or another %G_IO_ERROR of the system, or
 * %G_IO_ERROR_CANCELLED.
 *
 * Returns: %TRUE if the key is in primary storage and at @path now, %FALSE with @error
 *   set
 */
gboolean
bs_backing_persist_bytes (BsBacking *self,
                          GFile *path,
                          const char *key,
                          GBytes *bytes,
                          GCancellable *cancellable,
                          GError **error)
{
  BsKey parsed;

  g_return_val_if_fail (BS_IS_BACKING (self), FALSE);
  g_return_val_if_fail (G_IS_FILE (path), FALSE);
  g_return_val_if_fail (bytes != NULL, FALSE);

  return parse_key (BS_OPERATION_PERSIST_BYTES, path, key, &parsed, error) &&
         bs_backing_invoke_persist_bytes (self, path, &parsed, bytes, cancellable, error);
}

/**
 * bs_backing_write_root:
 * @self: a backing
 * @path: a persisted path
 * @bytes: the content
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Replaces the one root blob of a path.
 *
 * The change is atomic and durable: when the function returns, the new root survives a
 * power cut, and an interruption before that leaves the old root or the new one, whole.
 *
 * Blocks, in the calling thread. Fails with %BS_ERROR_NOT_SUPPORTED if the
 * backing does not implement it, %BS_ERROR_MOVED if @path leads elsewhere by now,
 * %G_IO_ERROR_NO_SPACE or another %G_IO_ERROR of the system, or
 * %G_IO_ERROR_CANCELLED.
 *
 * Returns: %TRUE on success, %FALSE with @error set
 */
gboolean
bs_backing_write_root (BsBacking *self,
                       GFile *path,
                       GBytes *bytes,
                       GCancellable *cancellable,
                       GError **error)
{
  const Call call = { self, BS_OPERATION_WRITE_ROOT, path, NULL };
  BsBackingInterface *iface;
  GError *local = NULL;
  gboolean success;

  g_return_val_if_fail (BS_IS_BACKING (self), FALSE);
  g_return_val_if_fail (G_IS_FILE (path), FALSE);
  g_return_val_if_fail (bytes != NULL, FALSE);

  iface = BS_BACKING_GET_IFACE (self);
  if (!call_begin (&call, iface->write_root != NULL, cancellable, error))
    return FALSE;

  success = iface->write_root (self, path, bytes, cancellable, &local);
  return call_end (&call, success, BS_FORGOT_TRUE, local, error);
}

/**
 * bs_backing_read_root:
 * @self: a backing
 * @path: a persisted path
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Reads the root blob of a path.
 *
 * Blocks, in the calling thread. Fails with %BS_ERROR_NOT_SUPPORTED if the
 * backing does not implement it, %BS_ERROR_NOT_FOUND if the path has no root,
 * %BS_ERROR_CORRUPT if it is not the one that was written, a %G_IO_ERROR of the system,
 * or %G_IO_ERROR_CANCELLED.
 *
 * Returns: (transfer full): the content, or %NULL with @error set
 */
GBytes *
bs_backing_read_root (BsBacking *self, GFile *path, GCancellable *cancellable, GError **error)
{
  const Call call = { self, BS_OPERATION_READ_ROOT, path, NULL };
  BsBackingInterface *iface;
  GError *local = NULL;
  GBytes *bytes;

  g_return_val_if_fail (BS_IS_BACKING (self), NULL);
  g_return_val_if_fail (G_IS_FILE (path), NULL);

  iface = BS_BACKING_GET_IFACE (self);
  if (!call_begin (&call, iface->read_root != NULL, cancellable, error))
    return NULL;

  bytes = iface->read_root (self, path, cancellable, &local);
  call_end (&call, bytes != NULL, BS_FORGOT_RESULT, local, error);
  return bytes;
}

/**
 * bs_backing_verify_persisted:
 * @self: a backing
 * @path: a persisted path
 * @key: a key
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Checks one persisted blob whole.
 *
 * A bad one is set aside: it is no longer at the path. By default there is
 * nothing to check, and this succeeds.
 *
 * Blocks, in the calling thread. Fails with %BS_ERROR_INVALID_KEY,
 * %BS_ERROR_CORRUPT if the blob was bad, %BS_ERROR_NOT_FOUND if there is none, a
 * %G_IO_ERROR of the system, or %G_IO_ERROR_CANCELLED.
 *
 * Returns: %TRUE if nothing is wrong with the blob, %FALSE with @error set
 */
gboolean
bs_backing_verify_persisted (BsBacking *self,
                             GFile *path,
                             const char *key,
                             GCancellable *cancellable,
                             GError **error)
{
  BsKey parsed;

  g_return_val_if_fail (BS_IS_BACKING (self), FALSE);
  g_return_val_if_fail (G_IS_FILE (path), FALSE);

  return parse_key (BS_OPERATION_VERIFY_PERSISTED, path, key, &parsed, error) &&
         bs_backing_invoke_verify_persisted (self, path, &parsed, cancellable, error);
}

static gboolean
nothing_to_release (BsBacking *self, GFile *path, GCancellable *cancellable, GError **error)
{
  return TRUE;
}

/**
 * bs_backing_release_path:
 * @self: a backing
 * @path: a persisted path
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Tells the backing that the store is done with a path, so that it drops its
 * locks there. By default there is nothing to do, and this succeeds.
 *
 * Blocks, in the calling thread. Fails with a %G_IO_ERROR of the system, or
 * %G_IO_ERROR_CANCELLED.
 *
 * Returns: %TRUE on success, %FALSE with @error set
 */
gboolean
bs_backing_release_path (BsBacking *self, GFile *path, GCancellable *cancellable, GError **error)
{
  PathFunc func;

  g_return_val_if_fail (BS_IS_BACKING (self), FALSE);
  g_return_val_if_fail (G_IS_FILE (path), FALSE);

  func = BS_BACKING_GET_IFACE (self)->release_path;
  return invoke_at_path (self, BS_OPERATION_RELEASE_PATH, func != NULL ? func : nothing_to_release,
                         path, cancellable, error);
}

/**
 * bs_backing_close:
 * @self: a backing
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Tells the backing that the store is done with it: it empties primary storage
 * and drops its locks. No other call follows. By default there is nothing to
 * do, and this succeeds.
 *
 * Blocks, in the calling thread. Fails with a %G_IO_ERROR of the system, or
 * %G_IO_ERROR_CANCELLED.
 *
 * Returns: %TRUE on success, %FALSE with @error set
 */
gboolean
bs_backing_close (BsBacking *self, GCancellable *cancellable, GError **error)
{
  const Call call = { self, BS_OPERATION_CLOSE, NULL, NULL };
  BsBackingInterface *iface;
  GError *local = NULL;
  gboolean success;

  g_return_val_if_fail (BS_IS_BACKING (self), FALSE);

  iface = BS_BACKING_GET_IFACE (self);
  if (!call_begin (&call, TRUE, cancellable, error))
    return FALSE;

  success = iface->close == NULL || iface->close (self, cancellable, &local);
  return call_end (&call, success, BS_FORGOT_TRUE, local, error);
}
