/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "bs-backing-private.h"

#include "bs-key-private.h"

/* The public functions of a backing: each checks its arguments, parses the key, and invokes. */

static gboolean
parse_key (BsOperation operation, GFile *path, const char *string, BsKey *key, GError **error)
{
  g_autofree char *call = NULL;

  if (bs_key_parse (string, key))
    return TRUE;

  call = bs_operation_describe (operation, NULL, path);
  return bs_key_parse_error (string, call, key, error);
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

  return bs_backing_invoke_sanitize_path (self, path, found, cancellable, error);
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

  return bs_backing_invoke_sync_persisted (self, path, cancellable, NULL, error);
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
  g_return_val_if_fail (BS_IS_BACKING (self), FALSE);
  g_return_val_if_fail (G_IS_FILE (path), FALSE);
  g_return_val_if_fail (BS_IS_KEY_SET (keys), FALSE);

  return bs_backing_invoke_register_keys (self, path, keys, cancellable, error);
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
  g_return_val_if_fail (BS_IS_BACKING (self), FALSE);
  g_return_val_if_fail (G_IS_FILE (path), FALSE);
  g_return_val_if_fail (BS_IS_KEY_SET (keys), FALSE);

  return bs_backing_invoke_delete_persisted_keys (self, path, keys, cancellable, error);
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

/* Spells the keys as a backing may rely on. */
static GHashTable *
parse_contents (GHashTable *contents, GFile *path, GError **error)
{
  g_autoptr (GHashTable) parsed =
    g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) g_bytes_unref);
  gpointer string, bytes;
  GHashTableIter iter;

  g_hash_table_iter_init (&iter, contents);
  while (g_hash_table_iter_next (&iter, &string, &bytes))
    {
      char *spelled;
      BsKey key;

      if (!parse_key (BS_OPERATION_PERSIST_KEYS, path, string, &key, error))
        return NULL;
      spelled = g_malloc (BS_KEY_STRING_SIZE);
      bs_key_print (&key, spelled);
      g_hash_table_insert (parsed, spelled, g_bytes_ref (bytes));
    }

  return g_steal_pointer (&parsed);
}

/**
 * bs_backing_persist_keys:
 * @self: a backing
 * @path: a persisted path
 * @keys: the keys; not changed
 * @contents: (nullable) (element-type utf8 GBytes): the contents of those of @keys that
 *   primary storage does not have
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Does [method@Backing.persist_bytes] for those keys that have a content, and
 * [method@Backing.persist] for the others.
 *
 * A store calls it for a save that brings many blobs to a path, with some hundreds of keys and
 * some MiB of contents at a time. A backing implements it where one step for many blobs is
 * cheaper than one for each, as a transaction is: by default the keys are persisted one by
 * one, up to the first error, whose message says how many were done. A virtual function is
 * always given a table, which may be empty.
 *
 * Blocks, in the calling thread. Fails as [method@Backing.persist] and
 * [method@Backing.persist_bytes] do, with %BS_ERROR_INVALID_KEY for a bad key among
 * @contents too; any part of the keys may be persisted then, and a store goes on key by key.
 *
 * Returns: %TRUE if all the keys are in primary storage and at @path now, %FALSE with @error
 *   set
 */
gboolean
bs_backing_persist_keys (BsBacking *self,
                         GFile *path,
                         BsKeySet *keys,
                         GHashTable *contents,
                         GCancellable *cancellable,
                         GError **error)
{
  g_autoptr (GHashTable) parsed = NULL;

  g_return_val_if_fail (BS_IS_BACKING (self), FALSE);
  g_return_val_if_fail (G_IS_FILE (path), FALSE);
  g_return_val_if_fail (BS_IS_KEY_SET (keys), FALSE);

  if (contents != NULL)
    {
      parsed = parse_contents (contents, path, error);
      if (parsed == NULL)
        return FALSE;
    }

  return bs_backing_invoke_persist_keys (self, path, keys, parsed, cancellable, error);
}

/**
 * bs_backing_write_root:
 * @self: a backing
 * @path: a persisted path
 * @bytes: the content
 * @named: (nullable): the keys that the new root names; not changed. %NULL: all keys
 *   that the path has
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Replaces the one root blob of a path.
 *
 * A save tells in @named which keys it names. A backing whose paths several machines
 * share keeps the set beside the root, so that each of them knows which blobs belong to
 * it. The root's own content need not tell, and other backings need not look.
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
                       BsKeySet *named,
                       GCancellable *cancellable,
                       GError **error)
{
  g_return_val_if_fail (BS_IS_BACKING (self), FALSE);
  g_return_val_if_fail (G_IS_FILE (path), FALSE);
  g_return_val_if_fail (bytes != NULL, FALSE);
  g_return_val_if_fail (named == NULL || BS_IS_KEY_SET (named), FALSE);

  return bs_backing_invoke_write_root (self, path, bytes, named, cancellable, error);
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
  g_return_val_if_fail (BS_IS_BACKING (self), NULL);
  g_return_val_if_fail (G_IS_FILE (path), NULL);

  return bs_backing_invoke_read_root (self, path, cancellable, error);
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
  g_return_val_if_fail (BS_IS_BACKING (self), FALSE);
  g_return_val_if_fail (G_IS_FILE (path), FALSE);

  return bs_backing_invoke_release_path (self, path, cancellable, error);
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
  g_return_val_if_fail (BS_IS_BACKING (self), FALSE);

  return bs_backing_invoke_close (self, cancellable, error);
}

/**
 * bs_backing_read_stream:
 * @self: a backing
 * @key: a key
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Opens a blob of primary storage for reading.
 *
 * The stream is a [iface@Gio.Seekable] that can seek, and reads the content from its
 * start. While the stream is open the key stays in primary storage, and other functions
 * are called for the key. The stream is used by one thread at a time, and by any of the
 * threads in which the backing's functions are called. Where the stream is a
 * #GFileDescriptorBased as well, the content may be copied from that descriptor by the
 * kernel instead.
 *
 * By default [vfunc@Backing.read] is called, and the stream reads from memory. A backing
 * that scripts implement returns one of GIO's own streams, such as that of
 * [method@Gio.File.read].
 *
 * Blocks, in the calling thread. Fails with %BS_ERROR_INVALID_KEY,
 * %BS_ERROR_NOT_FOUND if primary storage has no such key, %BS_ERROR_CORRUPT if
 * the content is not the one that was written, which a stream may also report when it is
 * read, a %G_IO_ERROR of the system, or %G_IO_ERROR_CANCELLED.
 *
 * Returns: (transfer full): a stream that can seek, or %NULL with @error set
 */
GInputStream *
bs_backing_read_stream (BsBacking *self, const char *key, GCancellable *cancellable, GError **error)
{
  BsKey parsed;

  g_return_val_if_fail (BS_IS_BACKING (self), NULL);

  if (!parse_key (BS_OPERATION_READ_STREAM, NULL, key, &parsed, error))
    return NULL;
  return bs_backing_invoke_read_stream (self, &parsed, cancellable, error);
}

/**
 * bs_backing_write_stream:
 * @self: a backing
 * @key: a key that primary storage does not have
 * @stream: a stream
 * @size: the size of the content, or -1 for all that the stream has
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Puts a new blob into primary storage, whose content is read from a stream.
 *
 * Reads until the stream ends, or @size bytes, and does not close the stream. A failed
 * call leaves no key behind, as with [method@Backing.write]; the stream has been read up
 * to an unknown place then. By default the stream is read into memory, for
 * [vfunc@Backing.write].
 *
 * Blocks, in the calling thread. Fails with %BS_ERROR_INVALID_KEY,
 * %BS_ERROR_EXISTS if the key is there, %G_IO_ERROR_PARTIAL_INPUT if the stream ends
 * before @size bytes, the error of the stream, %BS_ERROR_NOT_SUPPORTED if the content is
 * larger than the backing can keep, %G_IO_ERROR_NO_SPACE or another %G_IO_ERROR of the
 * system, or %G_IO_ERROR_CANCELLED.
 *
 * Returns: %TRUE on success, %FALSE with @error set
 */
gboolean
bs_backing_write_stream (BsBacking *self,
                         const char *key,
                         GInputStream *stream,
                         gint64 size,
                         GCancellable *cancellable,
                         GError **error)
{
  BsKey parsed;

  g_return_val_if_fail (BS_IS_BACKING (self), FALSE);
  g_return_val_if_fail (G_IS_INPUT_STREAM (stream), FALSE);
  g_return_val_if_fail (size >= -1, FALSE);

  return parse_key (BS_OPERATION_WRITE_STREAM, NULL, key, &parsed, error) &&
         bs_backing_invoke_write_stream (self, &parsed, stream, size, cancellable, error);
}

/**
 * bs_backing_write_file:
 * @self: a backing
 * @key: a key that primary storage does not have
 * @file: a file
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Puts a new blob into primary storage, whose content is that of a file.
 *
 * A backing that implements the function may have the kernel clone or copy the file. By
 * default the file is opened and read, for [vfunc@Backing.write_stream]. The file may
 * change afterwards: the blob does not. A failed call leaves no key behind, as with
 * [method@Backing.write].
 *
 * Blocks, in the calling thread. Fails with %BS_ERROR_INVALID_KEY,
 * %BS_ERROR_EXISTS if the key is there, %G_IO_ERROR_NOT_FOUND if the file is missing,
 * %G_IO_ERROR_NOT_REGULAR_FILE or %G_IO_ERROR_IS_DIRECTORY if it is of another kind, and
 * like [method@Backing.write_stream].
 *
 * Returns: %TRUE on success, %FALSE with @error set
 */
gboolean
bs_backing_write_file (BsBacking *self,
                       const char *key,
                       GFile *file,
                       GCancellable *cancellable,
                       GError **error)
{
  BsKey parsed;

  g_return_val_if_fail (BS_IS_BACKING (self), FALSE);
  g_return_val_if_fail (G_IS_FILE (file), FALSE);

  return parse_key (BS_OPERATION_WRITE_FILE, NULL, key, &parsed, error) &&
         bs_backing_invoke_write_file (self, &parsed, file, cancellable, error);
}
