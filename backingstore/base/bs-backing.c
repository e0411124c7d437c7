/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "bs-backing-private.h"

#include "bs-error-private.h"
#include "bs-key-private.h"

#include <glib/gi18n-lib.h>

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
 * - Every call but those that write a new blob may be repeated, and succeeds: to delete a
 *   missing blob, to register a blob that primary storage has, to persist a blob that the
 *   path has, to sync without changes, to release or to close twice.
 * - A failed [vfunc@Backing.write] leaves no key behind; nor does
 *   [vfunc@Backing.write_stream] or [vfunc@Backing.write_file].
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
 * [vfunc@Backing.persist_bytes], [vfunc@Backing.persist_keys] and
 * [vfunc@Backing.write_root] are given: GJS lends them for the call, without a reference. Keep `new GLib.Bytes(bytes.toArray())`.
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
 * @read_stream: optional, see [method@Backing.read_stream]
 * @write_stream: optional, see [method@Backing.write_stream]
 * @write_file: optional, see [method@Backing.write_file]
 * @persist_keys: optional, see [method@Backing.persist_keys]
 *
 * The virtual functions of a backing. [iface@Backing] says what they may rely
 * on and must promise.
 */

G_DEFINE_INTERFACE (BsBacking, bs_backing, G_TYPE_OBJECT)

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
  [BS_OPERATION_PERSIST_KEYS] = { "persist_keys",
                                  G_STRUCT_OFFSET (BsBackingInterface, persist_keys) },
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
  [BS_OPERATION_READ_STREAM] = { "read_stream", G_STRUCT_OFFSET (BsBackingInterface, read_stream) },
  [BS_OPERATION_WRITE_STREAM] = { "write_stream",
                                  G_STRUCT_OFFSET (BsBackingInterface, write_stream) },
  [BS_OPERATION_WRITE_FILE] = { "write_file", G_STRUCT_OFFSET (BsBackingInterface, write_file) },
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

char *
bs_operation_describe (BsOperation operation, const BsKey *key, GFile *path)
{
  g_autofree char *name = g_strdup (bs_operation_get_name (operation));
  g_autofree char *place = path != NULL ? bs_error_name_file (path) : NULL;
  char string[BS_KEY_STRING_SIZE];

  if (key != NULL)
    {
      g_autofree char *function = g_steal_pointer (&name);

      bs_key_print (key, string);
      name = g_strdup_printf ("%s %s", function, string);
    }
  if (place == NULL)
    return g_steal_pointer (&name);

  /* Translators: for example “persist 0123… at /home/…”: a function, its key and its path */
  return g_strdup_printf (_ ("%s at %s"), name, place);
}

gboolean
bs_backing_implements (BsBacking *self, BsOperation operation)
{
  BsBackingInterface *iface = BS_BACKING_GET_IFACE (self);
  const BsKeyBackingFuncs *key_funcs = bs_backing_get_key_funcs (iface);

  g_return_val_if_fail ((guint) operation < G_N_ELEMENTS (operations), FALSE);

  if ((operation == BS_OPERATION_PERSIST_BYTES || operation == BS_OPERATION_PERSIST_KEYS ||
       operation == BS_OPERATION_READ_STREAM) &&
      key_funcs->peek_inner != NULL)
    return bs_backing_implements (key_funcs->peek_inner (self), operation);

  return G_STRUCT_MEMBER (gpointer, iface, operations[operation].offset) != NULL;
}

gboolean
bs_backing_reads_named (BsBacking *self)
{
  BsBackingInterface *iface = BS_BACKING_GET_IFACE (self);
  const BsKeyBackingFuncs *key_funcs = bs_backing_get_key_funcs (iface);

  if (key_funcs->peek_inner != NULL)
    return bs_backing_reads_named (key_funcs->peek_inner (self));

  return iface->key_funcs == NULL;
}
