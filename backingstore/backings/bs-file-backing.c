/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "bs-file-backing-private.h"

#include "base/bs-error.h"
#include "base/bs-key-backing-private.h"
#include "base/bs-key-set-private.h"
#include "bs-file-blob-private.h"
#include "bs-file-import-private.h"
#include "bs-file-io-private.h"
#include "bs-file-presence-private.h"
#include "bs-file-place-private.h"
#include "bs-file-sanitize-private.h"
#include "bs-file-stream-private.h"
#include "bs-file-sync-private.h"
#include "bs-file-transfer-private.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <inttypes.h>

/**
 * BsFileBacking:
 *
 * A backing that keeps each permanent blob in a file of its own.
 *
 * Primary storage is a directory that this backing has to itself, and a
 * persisted path is any other directory with a local path. At a path, a blob is
 * the file `ab/abcdef…`: the folder is named by the first two of the key's 32
 * lower-case hexadecimal digits, the file by all of them, without hyphens. The
 * file holds the blob's bytes and nothing else.
 *
 * In primary storage blobs that are at a path as well, or of more than 512 KiB, have such
 * files. Smaller blobs share a few files without names: a dropped blob makes
 * room for the next one, with no file to make or to remove. A blob goes from one directory
 * to the other by hard link, or, where the file systems refuse that, by reflink or
 * as a copy that appears atomically; [method@FileBacking.get_stats] tells which,
 * and why. [Files on disk](on-disk-format.html) has all of the format.
 *
 * ## Whose directory it is
 *
 * A directory that is a store holds a file `.backingstore`, which says whether
 * it is for scratch or for persisted blobs. One that is empty, or has nothing
 * but blobs in the layout above, becomes one when it is first used; anything
 * else is refused with %BS_ERROR_FOREIGN and not touched. So is the directory
 * of the other kind, and a persisted path that is inside the scratch directory
 * or around it. Files in a store that are not its own are left alone.
 *
 * One backing at a time has a directory: another one, in this process or a
 * different one, gets %BS_ERROR_BUSY. Where the file system has no locks, opening it
 * fails with %G_IO_ERROR_NOT_SUPPORTED. A persisted path is let go by
 * [method@Backing.release_path], all of them by [method@Backing.close].
 *
 * A persisted directory that can't be written, on a read-only medium or for want of
 * permission, is open for reading: no lock is taken there and nothing made, and changes
 * fail with %G_IO_ERROR_READ_ONLY or %G_IO_ERROR_PERMISSION_DENIED. An application that only
 * looks asks for the same with [property@FileBacking:read-only].
 *
 * A persisted path is a directory and not a name. Where the directory was renamed, replaced
 * or removed while it is in use, or another machine has opened it meanwhile, syncing it or
 * writing its root fails with %BS_ERROR_MOVED, and from then on each change, until the
 * name leads to it again.
 *
 * Blobs that an earlier process left in a scratch directory are removed in the
 * background, once the directory is first used. Only where blobs stood in it
 * before it was marked, or another machine may be using it, is it never
 * emptied, since they may be the only copy. A scratch directory that is renamed
 * goes on being used where it is now; one that is removed is made again, and small blobs
 * outlive it.
 *
 * Directories are made with mode 0700 and files with 0600, even with another umask. In a
 * persisted directory that its owner has opened to others new files and folders have the
 * permissions that the directory gives them, and the group and the access list that it
 * hands down, so that nobody is shut out of a document that several share.
 * No symbolic link below a directory is followed.
 *
 * ## Checks of contents
 *
 * A blob carries its length and a hash in an extended attribute of its file, if
 * the file system has extended attributes, and reading compares them.
 * [method@Backing.verify_persisted] does that at a path, and moves a bad blob to
 * the folder `.quarantine` there; so does [method@Backing.sanitize_path], for each
 * blob, if the path was changed and not synced when it was last used. A blob
 * without the attribute, as another program leaves it, is taken as it is. So is one whose
 * file was written again later, as when a backup is restored in place.
 *
 * The hash of a blob that is in primary storage alone is kept in memory, and compared when
 * the blob is read. The attribute comes when the blob is persisted. A file that the kernel
 * has cloned or copied, for [method@Backing.write_file], is hashed then. A stream compares
 * the hash when the content was read from start to end.
 *
 * ## When it is durable
 *
 * [method@Backing.sync_persisted] syncs the few files and folders that changed, or
 * the file system if they are many. A failed change is not taken for durable because a
 * second attempt succeeds: syncing the path fails until each
 * blob that the error covered is persisted once more, which writes it anew, or
 * deleted. See [What is safe when](durability.html).
 *
 * ## Memory
 *
 * Bytes that were read belong to their reader alone. The backing keeps no memory of
 * blobs: from 4 MiB on a blob has pages of its own, which go back to the system with
 * the last reference.
 *
 * ## Errors
 *
 * Besides the errors of [iface@Backing], each function reports errors of the system
 * as the [error@Gio.IOErrorEnum] that fits (%G_IO_ERROR_NO_SPACE also
 * where it is the user's quota that is used up; what is free in scratch has gone back to the
 * file system by then), and
 *
 * - %BS_ERROR_CORRUPT if something other than a regular file stands in a blob's
 *   place, or its length or hash is wrong;
 * - %BS_ERROR_FOREIGN, %BS_ERROR_BUSY as above;
 * - %BS_ERROR_NOT_SUPPORTED if a [iface@Gio.File] has no local path, or the
 *   directory was written by a newer version;
 * - %BS_ERROR_MOVED as above;
 * - %BS_ERROR_CLOSED after [method@Backing.close].
 *
 * A child of a fork cannot use the backing of its parent: its calls fail with
 * %BS_ERROR_CLOSED, and closing or dropping it there removes nothing.
 *
 * A file backing is safe to use from any thread. Every directory keeps some file
 * descriptors open, all of them together at most a quarter of those that the process
 * may have.
 */

static void bs_file_backing_iface_init (BsBackingInterface *iface);
static void bs_file_backing_initable_iface_init (GInitableIface *iface);

enum
{
  PROP_DIRECTORY = 1,
  PROP_URI,
  PROP_READ_ONLY,
  N_PROPS
};

static GParamSpec *properties[N_PROPS];

G_DEFINE_FINAL_TYPE_WITH_CODE (BsFileBacking,
                               bs_file_backing,
                               G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (BS_TYPE_BACKING, bs_file_backing_iface_init)
                                 G_IMPLEMENT_INTERFACE (G_TYPE_INITABLE,
                                                        bs_file_backing_initable_iface_init))

/* Nothing is found in a directory that was removed: then the error is BS_ERROR_MOVED. */
static gboolean
set_missing_error (BsFileDirectory *directory, const char *message, GError **error)
{
  if (bs_file_directory_is_scratch (directory) || bs_file_directory_check_moved (directory, error))
    g_set_error_literal (error, BS_ERROR, BS_ERROR_NOT_FOUND, message);

  return FALSE;
}

static gboolean
set_key_error (BsFileDirectory *directory, int code, GError **error)
{
  if (code == ENOENT)
    return set_missing_error (directory, _ ("no such blob"), error);

  bs_file_directory_set_error (directory, code, error);

  return FALSE;
}

/* Changes go on in a directory that was moved until a sync, a root or a check has found
 * that out. */
static BsFileDirectory *
begin_change_at (BsFileBacking *self, GFile *path, GCancellable *cancellable, GError **error)
{
  g_autoptr (BsFileDirectory) directory =
    bs_file_paths_begin_at (&self->paths, path, cancellable, error);

  if (directory == NULL || !bs_file_directory_check_change (directory, error))
    return NULL;

  return g_steal_pointer (&directory);
}

static gboolean
bs_file_backing_write (BsBacking *backing,
                       const BsKey *key,
                       GBytes *bytes,
                       GCancellable *cancellable,
                       GError **error)
{
  BsFileBacking *self = BS_FILE_BACKING (backing);
  guint n_given;
  int code;

  if (!bs_file_paths_begin (&self->paths, cancellable, error))
    return FALSE;

  n_given = bs_file_directory_get_n_given (self->paths.primary);
  code = bs_file_create (self->paths.primary, key, bytes, cancellable);
  if (bs_file_directory_makes_room (self->paths.primary, n_given, code))
    code = bs_file_create (self->paths.primary, key, bytes, cancellable);
  if (code == EEXIST)
    g_set_error_literal (error, BS_ERROR, BS_ERROR_EXISTS,
                         _ ("primary storage has the key already"));
  else if (code != 0)
    bs_file_directory_set_error (self->paths.primary, code, error);

  return code == 0;
}

static GBytes *
bs_file_backing_read (BsBacking *backing,
                      const BsKey *key,
                      GCancellable *cancellable,
                      GError **error)
{
  BsFileBacking *self = BS_FILE_BACKING (backing);
  g_autoptr (GBytes) bytes = NULL;
  int code;

  if (!bs_file_paths_begin (&self->paths, cancellable, error))
    return NULL;

  code = bs_file_load (self->paths.primary, key, cancellable, &bytes);
  if (code != 0)
    set_key_error (self->paths.primary, code, error);

  return g_steal_pointer (&bytes);
}

static GInputStream *
bs_file_backing_read_stream (BsBacking *backing,
                             const BsKey *key,
                             GCancellable *cancellable,
                             GError **error)
{
  BsFileBacking *self = BS_FILE_BACKING (backing);
  GInputStream *stream = NULL;
  int code;

  if (!bs_file_paths_begin (&self->paths, cancellable, error))
    return NULL;

  code = bs_file_open_stream (self->paths.primary, key, &stream, cancellable);
  if (code != 0)
    set_key_error (self->paths.primary, code, error);

  return stream;
}

static gboolean
bs_file_backing_write_stream (BsBacking *backing,
                              const BsKey *key,
                              GInputStream *stream,
                              gint64 size,
                              GCancellable *cancellable,
                              GError **error)
{
  BsFileBacking *self = BS_FILE_BACKING (backing);

  return bs_file_paths_begin (&self->paths, cancellable, error) &&
         bs_file_import_stream (self->paths.primary, key, stream, size, cancellable, error);
}

static gboolean
bs_file_backing_write_file (BsBacking *backing,
                            const BsKey *key,
                            GFile *file,
                            GCancellable *cancellable,
                            GError **error)
{
  BsFileBacking *self = BS_FILE_BACKING (backing);

  return bs_file_paths_begin (&self->paths, cancellable, error) &&
         bs_file_import_file (self->paths.primary, key, file, cancellable, error);
}

static gboolean
bs_file_backing_delete_key (BsBacking *backing,
                            const BsKey *key,
                            GCancellable *cancellable,
                            GError **error)
{
  BsFileBacking *self = BS_FILE_BACKING (backing);
  int code;

  if (!bs_file_paths_begin (&self->paths, cancellable, error))
    return FALSE;

  code = bs_file_remove (self->paths.primary, key);
  if (code != 0)
    bs_file_directory_set_error (self->paths.primary, code, error);

  return code == 0;
}

static gboolean
register_one (BsFileBacking *self,
              BsFileDirectory *directory,
              const BsKey *key,
              GCancellable *cancellable,
              GError **error)
{
  guint n_given = bs_file_directory_get_n_given (self->paths.primary);
  int code = bs_file_register (directory, self->paths.primary, key, cancellable);

  if (bs_file_directory_makes_room (self->paths.primary, n_given, code))
    code = bs_file_register (directory, self->paths.primary, key, cancellable);

  return code == 0 || set_key_error (directory, code, error);
}

static gboolean
delete_one (BsFileBacking *self,
            BsFileDirectory *directory,
            const BsKey *key,
            GCancellable *cancellable,
            GError **error)
{
  int code = bs_file_remove (directory, key);

  if (code != 0)
    bs_file_directory_set_error (directory, code, error);

  return code == 0;
}

static gboolean
for_each_key (
  BsFileBacking *self,
  BsFileDirectory *directory,
  BsKeySet *keys,
  gboolean (*func) (BsFileBacking *, BsFileDirectory *, const BsKey *, GCancellable *, GError **),
  GCancellable *cancellable,
  GError **error)
{
  const BsKeyTable *table = bs_key_set_get_table (keys);
  BsKeyTableIter iter = { 0 };
  guint64 n_done = 0;
  const BsKey *key;

  for (; bs_key_table_iter_next (table, &iter, &key); n_done++)
    {
      char string[BS_KEY_STRING_SIZE];

      if (!g_cancellable_set_error_if_cancelled (cancellable, error) &&
          func (self, directory, key, cancellable, error))
        continue;

      bs_key_print (key, string);
      g_prefix_error (error, _ ("%" PRIu64 " of %" PRIu64 " done: %s: "), n_done, table->n_keys,
                      string);
      return FALSE;
    }

  return TRUE;
}

static gboolean
bs_file_backing_register_key (BsBacking *backing,
                              GFile *path,
                              const BsKey *key,
                              GCancellable *cancellable,
                              GError **error)
{
  BsFileBacking *self = BS_FILE_BACKING (backing);
  g_autoptr (BsFileDirectory) directory = NULL;

  directory = bs_file_paths_begin_at (&self->paths, path, cancellable, error);

  return directory != NULL && register_one (self, directory, key, cancellable, error);
}

static gboolean
bs_file_backing_register_keys (BsBacking *backing,
                               GFile *path,
                               BsKeySet *keys,
                               GCancellable *cancellable,
                               GError **error)
{
  BsFileBacking *self = BS_FILE_BACKING (backing);
  g_autoptr (BsFileDirectory) directory =
    bs_file_paths_begin_at (&self->paths, path, cancellable, error);

  return directory != NULL &&
         for_each_key (self, directory, keys, register_one, cancellable, error);
}

static gboolean
bs_file_backing_persist (BsBacking *backing,
                         GFile *path,
                         const BsKey *key,
                         GCancellable *cancellable,
                         GError **error)
{
  BsFileBacking *self = BS_FILE_BACKING (backing);
  g_autoptr (BsFileDirectory) directory = NULL;
  guint n_given;
  int code;

  directory = begin_change_at (self, path, cancellable, error);
  if (directory == NULL)
    return FALSE;

  n_given = bs_file_directory_get_n_given (self->paths.primary);
  code = bs_file_persist (self->paths.primary, directory, key, cancellable);
  if (bs_file_directory_makes_room (self->paths.primary, n_given, code))
    code = bs_file_persist (self->paths.primary, directory, key, cancellable);

  return code == 0 || set_key_error (directory, code, error);
}

static gboolean
bs_file_backing_persist_bytes (BsBacking *backing,
                               GFile *path,
                               const BsKey *key,
                               GBytes *bytes,
                               GCancellable *cancellable,
                               GError **error)
{
  BsFileBacking *self = BS_FILE_BACKING (backing);
  BsFileDirectory *primary = self->paths.primary;
  g_autoptr (BsFileDirectory) directory = NULL;
  gboolean created;
  guint n_given;
  int code;

  directory = begin_change_at (self, path, cancellable, error);
  if (directory == NULL)
    return FALSE;

  /* A file at once: only a file can be linked. */
  n_given = bs_file_directory_get_n_given (primary);
  code = bs_file_create_file (primary, key, bytes, cancellable);
  if (bs_file_directory_makes_room (primary, n_given, code))
    code = bs_file_create_file (primary, key, bytes, cancellable);
  if (code != 0 && code != EEXIST)
    {
      bs_file_directory_set_error (primary, code, error);
      return FALSE;
    }
  created = code == 0;

  n_given = bs_file_directory_get_n_given (primary);
  code = bs_file_persist (primary, directory, key, cancellable);
  if (bs_file_directory_makes_room (primary, n_given, code))
    code = bs_file_persist (primary, directory, key, cancellable);
  if (code != 0 && created)
    bs_file_remove (primary, key);

  return code == 0 || set_key_error (directory, code, error);
}

static gboolean
bs_file_backing_delete_persisted (BsBacking *backing,
                                  GFile *path,
                                  const BsKey *key,
                                  GCancellable *cancellable,
                                  GError **error)
{
  BsFileBacking *self = BS_FILE_BACKING (backing);
  g_autoptr (BsFileDirectory) directory = NULL;

  directory = begin_change_at (self, path, cancellable, error);

  return directory != NULL && delete_one (self, directory, key, cancellable, error);
}

static gboolean
bs_file_backing_delete_persisted_keys (BsBacking *backing,
                                       GFile *path,
                                       BsKeySet *keys,
                                       GCancellable *cancellable,
                                       GError **error)
{
  BsFileBacking *self = BS_FILE_BACKING (backing);
  g_autoptr (BsFileDirectory) directory = begin_change_at (self, path, cancellable, error);

  return directory != NULL && for_each_key (self, directory, keys, delete_one, cancellable, error);
}

static gboolean
bs_file_backing_sanitize_path (BsBacking *backing,
                               GFile *path,
                               BsKeySet *found,
                               GCancellable *cancellable,
                               GError **error)
{
  BsFileBacking *self = BS_FILE_BACKING (backing);
  g_autoptr (BsFileDirectory) directory =
    bs_file_paths_begin_at (&self->paths, path, cancellable, error);

  /* Another directory may stand at the path by now. */
  if (directory != NULL && !bs_file_paths_is_opened (&self->paths, path) &&
      !bs_file_directory_is_current (directory))
    {
      bs_file_paths_forget (&self->paths, path);
      g_clear_pointer (&directory, bs_file_directory_unref);
      directory = bs_file_paths_begin_at (&self->paths, path, cancellable, error);
    }

  if (directory != NULL && bs_file_sanitize (directory, found, cancellable, error))
    return TRUE;

  /* The store does not release a path that it could not track. */
  bs_file_paths_forget (&self->paths, path);

  return FALSE;
}

static gboolean
bs_file_backing_sync_persisted (BsBacking *backing,
                                GFile *path,
                                GCancellable *cancellable,
                                GError **error)
{
  BsFileBacking *self = BS_FILE_BACKING (backing);
  g_autoptr (BsFileDirectory) directory =
    bs_file_paths_begin_at (&self->paths, path, cancellable, error);

  if (directory == NULL || !bs_file_directory_check_moved (directory, error))
    return FALSE;

  return bs_file_directory_get_refusal (directory) != 0 || bs_file_sync (directory, error);
}

static gboolean
bs_file_backing_write_root (BsBacking *backing,
                            GFile *path,
                            GBytes *bytes,
                            BsKeySet *named,
                            GCancellable *cancellable,
                            GError **error)
{
  BsFileBacking *self = BS_FILE_BACKING (backing);
  g_autoptr (BsFileDirectory) directory =
    bs_file_paths_begin_at (&self->paths, path, cancellable, error);
  guint n_given;
  int code, fd;

  if (directory == NULL || !bs_file_directory_check_moved (directory, error) ||
      !bs_file_directory_check_change (directory, error))
    return FALSE;

  fd = bs_file_directory_get_fd (directory);
  n_given = bs_file_directory_get_n_given (self->paths.primary);
  code = bs_file_replace (fd, BS_FILE_ROOT_NAME, bytes, TRUE, cancellable);
  if (bs_file_directory_makes_room (self->paths.primary, n_given, code))
    code = bs_file_replace (fd, BS_FILE_ROOT_NAME, bytes, TRUE, cancellable);
  if (code != 0)
    bs_file_directory_set_error (directory, code, error);

  return code == 0;
}

static GBytes *
bs_file_backing_read_root (BsBacking *backing,
                           GFile *path,
                           GCancellable *cancellable,
                           GError **error)
{
  BsFileBacking *self = BS_FILE_BACKING (backing);
  g_autoptr (BsFileDirectory) directory =
    bs_file_paths_begin_at (&self->paths, path, cancellable, error);
  g_autoptr (GBytes) bytes = NULL;
  int code;

  if (directory == NULL)
    return NULL;

  code = bs_file_load_at (directory, BS_FILE_ROOT_NAME, cancellable, &bytes);
  if (code == ENOENT)
    set_missing_error (directory, _ ("the path has no root blob"), error);
  else if (code != 0)
    bs_file_directory_set_error (directory, code, error);

  return g_steal_pointer (&bytes);
}

static gboolean
bs_file_backing_verify_persisted (BsBacking *backing,
                                  GFile *path,
                                  const BsKey *key,
                                  GCancellable *cancellable,
                                  GError **error)
{
  BsFileBacking *self = BS_FILE_BACKING (backing);
  g_autoptr (BsFileDirectory) directory = NULL;
  gboolean bad;
  int code;

  directory = bs_file_paths_begin_at (&self->paths, path, cancellable, error);
  if (directory == NULL)
    return FALSE;

  code = bs_file_verify (directory, key, &bad, cancellable);
  if (code == 0)
    return TRUE;

  set_key_error (directory, code, error);
  if (bad && code != EBADMSG && code != EILSEQ)
    g_prefix_error (error, _ ("the blob is corrupt and can't be set aside: "));

  return FALSE;
}

static GFile *
bs_file_backing_open_path (BsBacking *backing,
                           GFile *file,
                           gboolean *writable,
                           GCancellable *cancellable,
                           GError **error)
{
  return bs_file_paths_open (&BS_FILE_BACKING (backing)->paths, file, writable, cancellable, error);
}

static gboolean
bs_file_backing_check_path (BsBacking *backing,
                            GFile *path,
                            GCancellable *cancellable,
                            GError **error)
{
  BsFileBacking *self = BS_FILE_BACKING (backing);
  g_autoptr (BsFileDirectory) directory =
    bs_file_paths_begin_at (&self->paths, path, cancellable, error);

  return directory != NULL && bs_file_directory_check_moved (directory, error) &&
         bs_file_directory_check_marker (directory, error);
}

static gboolean
bs_file_backing_find_missing (BsBacking *backing,
                              GFile *path,
                              BsExpectFunc expect,
                              gpointer expect_data,
                              BsKeyTable *missing,
                              GCancellable *cancellable,
                              GError **error)
{
  BsFileBacking *self = BS_FILE_BACKING (backing);
  g_autoptr (BsFileDirectory) directory =
    bs_file_paths_begin_at (&self->paths, path, cancellable, error);
  int code;

  if (directory == NULL)
    return FALSE;

  code = bs_file_find_missing (directory, expect, expect_data, missing, cancellable);
  if (code != 0)
    bs_file_directory_set_error (directory, code, error);

  return code == 0;
}

static gboolean
bs_file_backing_release_path (BsBacking *backing,
                              GFile *path,
                              GCancellable *cancellable,
                              GError **error)
{
  bs_file_paths_forget (&BS_FILE_BACKING (backing)->paths, path);

  return TRUE;
}

static gboolean
bs_file_backing_close (BsBacking *backing, GCancellable *cancellable, GError **error)
{
  bs_file_paths_close (&BS_FILE_BACKING (backing)->paths);

  return TRUE;
}

static void
bs_file_backing_get_property (GObject *object, guint prop_id, GValue *value, GParamSpec *pspec)
{
  BsFileBacking *self = BS_FILE_BACKING (object);

  switch (prop_id)
    {
    case PROP_DIRECTORY:
      g_value_set_object (value, self->paths.file);
      break;
    case PROP_URI:
      g_value_take_string (value, g_file_get_uri (self->paths.file));
      break;
    case PROP_READ_ONLY:
      g_value_set_boolean (value, bs_file_backing_get_read_only (self));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
bs_file_backing_set_property (GObject *object,
                              guint prop_id,
                              const GValue *value,
                              GParamSpec *pspec)
{
  BsFileBacking *self = BS_FILE_BACKING (object);

  switch (prop_id)
    {
    case PROP_DIRECTORY:
      self->directory = g_value_dup_object (value);
      break;
    case PROP_URI:
      self->uri = g_value_dup_string (value);
      break;
    case PROP_READ_ONLY:
      bs_file_backing_set_read_only (self, g_value_get_boolean (value));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static gboolean
bs_file_backing_initable_init (GInitable *initable, GCancellable *cancellable, GError **error)
{
  BsFileBacking *self = BS_FILE_BACKING (initable);
  g_autoptr (GFile) directory = NULL;

  if (self->uri == NULL)
    return TRUE;

  directory = bs_file_place_parse_uri (self->uri, error);
  return directory != NULL;
}

static void
bs_file_backing_constructed (GObject *object)
{
  BsFileBacking *self = BS_FILE_BACKING (object);
  GFile *directory = self->directory != NULL ? g_object_ref (self->directory) : NULL;

  if (directory == NULL && self->uri != NULL)
    directory = bs_file_place_parse_uri (self->uri, NULL);
  /* Bindings may make an object without its directory: no local path at all. */
  if (directory == NULL)
    directory = g_file_new_for_uri ("none:");
  bs_file_paths_init (&self->paths, directory);

  G_OBJECT_CLASS (bs_file_backing_parent_class)->constructed (object);
}

static void
bs_file_backing_finalize (GObject *object)
{
  BsFileBacking *self = BS_FILE_BACKING (object);

  bs_file_paths_clear (&self->paths);
  g_clear_object (&self->directory);
  g_free (self->uri);

  G_OBJECT_CLASS (bs_file_backing_parent_class)->finalize (object);
}

static void
bs_file_backing_class_init (BsFileBackingClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  const GParamFlags constant =
    G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS;

  object_class->constructed = bs_file_backing_constructed;
  object_class->finalize = bs_file_backing_finalize;
  object_class->get_property = bs_file_backing_get_property;
  object_class->set_property = bs_file_backing_set_property;

  /**
   * BsFileBacking:directory: (getter get_directory)
   *
   * The directory of primary storage. It never changes.
   */
  properties[PROP_DIRECTORY] = g_param_spec_object ("directory", NULL, NULL, G_TYPE_FILE, constant);

  /**
   * BsFileBacking:uri:
   *
   * The directory of primary storage as a `file:` URI, the other way to name it. It never
   * changes. [func@Backing.new_for_uri] refuses one that is not local.
   */
  properties[PROP_URI] = g_param_spec_string ("uri", NULL, NULL, NULL, constant);

  /**
   * BsFileBacking:read-only: (getter get_read_only) (setter set_read_only)
   *
   * Whether persisted paths are opened for reading alone. It notifies in the thread that
   * sets it.
   */
  properties[PROP_READ_ONLY] =
    g_param_spec_boolean ("read-only", NULL, NULL, FALSE,
                          G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static void
bs_file_backing_initable_iface_init (GInitableIface *iface)
{
  iface->init = bs_file_backing_initable_init;
}

static void
bs_file_backing_iface_init (BsBackingInterface *iface)
{
  static const BsKeyBackingFuncs funcs = {
    .write = bs_file_backing_write,
    .read = bs_file_backing_read,
    .delete_key = bs_file_backing_delete_key,
    .register_key = bs_file_backing_register_key,
    .persist = bs_file_backing_persist,
    .delete_persisted = bs_file_backing_delete_persisted,
    .persist_bytes = bs_file_backing_persist_bytes,
    .verify_persisted = bs_file_backing_verify_persisted,
    .open_path = bs_file_backing_open_path,
    .check_path = bs_file_backing_check_path,
    .find_missing = bs_file_backing_find_missing,
    .read_stream = bs_file_backing_read_stream,
    .write_stream = bs_file_backing_write_stream,
    .write_file = bs_file_backing_write_file,
  };

  bs_key_backing_init_interface (iface, &funcs);
  iface->register_keys = bs_file_backing_register_keys;
  iface->delete_persisted_keys = bs_file_backing_delete_persisted_keys;
  iface->sanitize_path = bs_file_backing_sanitize_path;
  iface->sync_persisted = bs_file_backing_sync_persisted;
  iface->write_root = bs_file_backing_write_root;
  iface->read_root = bs_file_backing_read_root;
  iface->release_path = bs_file_backing_release_path;
  iface->close = bs_file_backing_close;
}

static void
bs_file_backing_init (BsFileBacking *self)
{
}

/**
 * bs_file_backing_new:
 * @directory: a local directory for primary storage
 *
 * Creates a backing whose scratch files are in a directory.
 *
 * Nothing is done to the directory yet. It is made, with its parents, when the
 * backing is first used, and errors are reported then. Hard links need it to be
 * on the file system of the persisted paths: beside them is a good place.
 *
 * Closing the backing, or dropping the last reference to it, removes the files
 * in it, and leaves the directory.
 *
 * Returns: (transfer full): a new backing
 */
BsFileBacking *
bs_file_backing_new (GFile *directory)
{
  g_return_val_if_fail (G_IS_FILE (directory), NULL);

  return g_object_new (BS_TYPE_FILE_BACKING, "directory", directory, NULL);
}

/* Takes the directory over, or returns NULL without one. */
static BsFileBacking *
new_temporary (GFile *directory)
{
  g_autoptr (GFile) place = directory;
  BsFileBacking *self;

  if (place == NULL)
    return NULL;

  self = bs_file_backing_new (place);
  self->paths.temporary = TRUE;

  return self;
}

/**
 * bs_file_backing_new_temporary:
 * @error: return location for an error
 *
 * Creates a backing whose scratch files are in a directory of their own.
 *
 * The directory is made at once, in the user's cache directory, which is on a
 * disk and as a rule on the file system of the user's data, so that hard links
 * work; or in the directory for temporary files if that can't be done. The directory is
 * removed when the backing is closed or the last reference to it is dropped. Directories
 * that crashed processes left are removed when it is first used.
 *
 * [ctor@FileBacking.new_temporary_in] makes it elsewhere, such as beside a document on
 * another disk.
 *
 * Fails with the system's error if neither place can be written to.
 *
 * Returns: (transfer full): a new backing
 */
BsFileBacking *
bs_file_backing_new_temporary (GError **error)
{
  return new_temporary (bs_file_place_make_temporary (error));
}

/**
 * bs_file_backing_new_temporary_in:
 * @parent: a local directory
 * @error: return location for an error
 *
 * Creates a backing whose scratch files are in a directory of their own, inside another
 * one.
 *
 * The directory is made at once, and its parents where they are missing. It is removed when
 * the backing is closed or the last reference to it is dropped; its parents stay.
 * Directories that crashed processes left in @parent are removed when the backing is first
 * used. Hard links need @parent to be on the file system of the persisted paths, and it must
 * not be inside of one.
 *
 * Fails with %BS_ERROR_NOT_SUPPORTED if @parent has no local path, or with the system's
 * error if it cannot be made or written to.
 *
 * Returns: (transfer full): a new backing
 */
BsFileBacking *
bs_file_backing_new_temporary_in (GFile *parent, GError **error)
{
  g_return_val_if_fail (G_IS_FILE (parent), NULL);

  return new_temporary (bs_file_place_make_temporary_in (parent, error));
}

/**
 * bs_file_backing_get_directory:
 * @self: a file backing
 *
 * Gets the directory of primary storage.
 *
 * Returns: (transfer none): the directory
 */
GFile *
bs_file_backing_get_directory (BsFileBacking *self)
{
  g_return_val_if_fail (BS_IS_FILE_BACKING (self), NULL);

  return self->paths.file;
}

/**
 * bs_file_backing_get_read_only:
 * @self: a file backing
 *
 * Gets whether persisted paths are opened for reading alone.
 *
 * Returns: whether they are
 */
gboolean
bs_file_backing_get_read_only (BsFileBacking *self)
{
  g_return_val_if_fail (BS_IS_FILE_BACKING (self), FALSE);

  return g_atomic_int_get (&self->paths.read_only);
}

/**
 * bs_file_backing_set_read_only:
 * @self: a file backing
 * @read_only: whether to open persisted paths for reading alone
 *
 * Sets whether persisted paths are opened for reading alone.
 *
 * A path that is opened so is not changed in any way, as if it were on a read-only medium:
 * changes fail with %G_IO_ERROR_READ_ONLY, no marker and no file is made, bad blobs are found
 * and not set aside, blobs are copied to primary storage and not linked, and a directory
 * that is missing is an error. Several such backings may
 * have one path; it fails with %BS_ERROR_BUSY while a store that may change it has it.
 *
 * Primary storage can be written all the same. Paths that are open already stay as they
 * are.
 */
void
bs_file_backing_set_read_only (BsFileBacking *self, gboolean read_only)
{
  g_return_if_fail (BS_IS_FILE_BACKING (self));

  read_only = !!read_only;
  if (g_atomic_int_get (&self->paths.read_only) == read_only)
    return;

  g_atomic_int_set (&self->paths.read_only, read_only);
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_READ_ONLY]);
}

/**
 * bs_file_backing_get_stats:
 * @self: a file backing
 *
 * Gets the counts of the backing's work so far. It may be called from any thread.
 *
 * A blob that was there already is not counted. Foreign files are counted each
 * time that [method@Backing.sanitize_path] sees them. The figures all start at
 * zero with the backing.
 *
 * Returns: (transfer full): the figures
 */
BsFileBackingStats *
bs_file_backing_get_stats (BsFileBacking *self)
{
  BsFileBackingStats stats = { 0 };
  BsFileDirectory *primary;

  g_return_val_if_fail (BS_IS_FILE_BACKING (self), NULL);

  primary = self->paths.primary;
  if (primary != NULL)
    stats = (BsFileBackingStats){
      .linked = bs_file_directory_get_count (primary, BS_FILE_COUNT_LINKED),
      .reflinked = bs_file_directory_get_count (primary, BS_FILE_COUNT_REFLINKED),
      .copied = bs_file_directory_get_count (primary, BS_FILE_COUNT_COPIED),
      .cross_device = bs_file_directory_get_count (primary, BS_FILE_COUNT_CROSS_DEVICE),
      .not_permitted = bs_file_directory_get_count (primary, BS_FILE_COUNT_NOT_PERMITTED),
      .too_many_links = bs_file_directory_get_count (primary, BS_FILE_COUNT_TOO_MANY_LINKS),
      .not_supported = bs_file_directory_get_count (primary, BS_FILE_COUNT_NOT_SUPPORTED),
      .rewritten = bs_file_directory_get_count (primary, BS_FILE_COUNT_REWRITTEN),
      .quarantined = bs_file_directory_get_count (primary, BS_FILE_COUNT_QUARANTINED),
      .foreign = bs_file_directory_get_count (primary, BS_FILE_COUNT_FOREIGN),
    };

  return bs_file_backing_stats_copy (&stats);
}
