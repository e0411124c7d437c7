/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "bs-file-backing-private.h"

#include "base/bs-error.h"
#include "bs-file-buffer-private.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <unistd.h>

/**
 * BsFileBacking:
 *
 * A backing that keeps each blob in a file of its own.
 *
 * Primary storage is a directory that this backing has to itself, and a
 * persisted path is any other directory with a local path. In both, a blob is
 * the file `ab/abcdef…`: the folder is named by the first two of the key's 32
 * lower-case hexadecimal digits, the file by all of them, without hyphens. The
 * file holds the blob's bytes and nothing else. A blob goes from one directory
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
 * different one, gets %BS_ERROR_BUSY. It has to be writable even where blobs are
 * only to be read: on a medium that can't be written, tracking it fails with
 * %G_IO_ERROR_READ_ONLY. One that is renamed or moved as a whole while it is in use
 * goes on being used where it is now. A persisted path is let go by
 * [method@Backing.release_path], all of them by [method@Backing.close].
 *
 * What an earlier process left in a scratch directory is removed when the
 * directory is first used. Only where blobs stood in it before it was marked is
 * it never emptied, since they may be the only copy; it stays without a marker.
 *
 * Directories are made with mode 0700 and files with 0600, whatever the umask.
 * No symbolic link below a directory is followed.
 *
 * ## Whether it is what was written
 *
 * A blob carries its length and a hash in an extended attribute of its file, if
 * the file system has those, and reading compares them.
 * [method@Backing.verify_persisted] does that at a path, and moves a bad blob to
 * the folder `.quarantine` there; so does [method@Backing.sanitize_path], for each
 * blob, if the path was changed and not synced when it was last used. A blob
 * without the attribute, as another program leaves it, is taken as it is.
 *
 * ## When it is durable
 *
 * [method@Backing.sync_persisted] syncs the few files and folders that changed, or
 * the file system if they are many. What could not be made durable is not taken
 * for durable because a second attempt succeeds: syncing the path fails until each
 * blob that the error covered is persisted once more, which writes it anew, or
 * deleted. See [What is safe when](durability.html).
 *
 * ## Memory
 *
 * For large blobs it is the system's providing of fresh memory that takes time,
 * rather than reading. So what was read into and then freed is kept for the next
 * blob, in the whole process, until a backing is closed: the last 4 MiB, and up to 64
 * MiB more of which the system may take back pages whenever it is short of memory.
 * Fresh memory from 4 MiB on is asked for in pages of 2 MiB, as long as the system
 * has some that cost less than small ones.
 *
 * ## Errors
 *
 * Besides what [iface@Backing] says, each function reports what the system
 * reports, as the [error@Gio.IOErrorEnum] that fits (%G_IO_ERROR_NO_SPACE also
 * where it is the user's quota that is used up), and
 *
 * - %BS_ERROR_CORRUPT if something other than a regular file stands in a blob's
 *   place, or its length or hash is wrong;
 * - %BS_ERROR_FOREIGN, %BS_ERROR_BUSY as above;
 * - %BS_ERROR_NOT_SUPPORTED if a [iface@Gio.File] has no local path, or the
 *   directory was written by a newer version;
 * - %BS_ERROR_CLOSED after [method@Backing.close].
 *
 * It is safe to use from any thread. Every directory keeps some file
 * descriptors open, all of them together at most a quarter of what the process
 * may have.
 */

#define TEMPORARY_PREFIX "backingstore-"

enum
{
  PROP_DIRECTORY = 1,
  N_PROPS
};

static GParamSpec *properties[N_PROPS];

G_DEFINE_FINAL_TYPE_WITH_CODE (BsFileBacking, bs_file_backing, G_TYPE_OBJECT, G_IMPLEMENT_INTERFACE (BS_TYPE_BACKING, bs_file_backing_init_calls))

static gboolean
set_not_local (GFile *file,
               GError **error)
{
  g_autofree char *uri = g_file_get_uri (file);

  g_set_error (error, BS_ERROR, BS_ERROR_NOT_SUPPORTED, "%s is not a local directory", uri);

  return FALSE;
}

static gboolean
set_closed (GError **error)
{
  g_set_error_literal (error, BS_ERROR, BS_ERROR_CLOSED, "the backing was closed");

  return FALSE;
}

/* Other temporary directories of ours whose processes are gone. */
static void
sweep_temporaries (BsFileBacking *self)
{
  g_autofree char *parent = g_path_get_dirname (g_file_peek_path (self->directory));
  g_autoptr (GDir) siblings = g_dir_open (parent, 0, NULL);
  const char *name;

  while (siblings != NULL && (name = g_dir_read_name (siblings)) != NULL)
    {
      g_autofree char *path = g_build_filename (parent, name, NULL);
      g_autoptr (BsFileDirectory) sibling = NULL;
      GStatBuf status;

      if (!g_str_has_prefix (name, TEMPORARY_PREFIX) || g_str_equal (path, g_file_peek_path (self->directory)) ||
          g_lstat (path, &status) != 0 || !S_ISDIR (status.st_mode) || status.st_uid != geteuid ())
        continue;

      sibling = bs_file_directory_new (BS_FILE_DIRECTORY_SCRATCH, path, NULL);
      if (bs_file_directory_open (sibling, BS_FILE_DIRECTORY_MARKED, NULL, NULL))
        bs_file_directory_close_scratch (sibling, TRUE);
    }
}

static gboolean
open_primary (BsFileBacking *self,
              GCancellable *cancellable,
              GError **error)
{
  if (self->primary == NULL)
    return set_not_local (self->directory, error);

  if (bs_file_directory_is_open (self->primary))
    return TRUE;

  if (!bs_file_directory_open (self->primary, BS_FILE_DIRECTORY_ADOPT, cancellable, error))
    return FALSE;

  if (self->temporary)
    sweep_temporaries (self);

  return TRUE;
}

gboolean
bs_file_backing_begin (BsFileBacking *self,
                       GCancellable *cancellable,
                       GError **error)
{
  gboolean closed;

  g_mutex_lock (&self->mutex);
  closed = self->closed;
  g_mutex_unlock (&self->mutex);

  if (closed)
    return set_closed (error);

  return open_primary (self, cancellable, error);
}

BsFileDirectory *
bs_file_backing_begin_at (BsFileBacking *self,
                          GFile *file,
                          GCancellable *cancellable,
                          GError **error)
{
  g_autoptr (BsFileDirectory) directory = NULL;
  const char *path = g_file_peek_path (file);

  if (path == NULL || self->primary == NULL)
    {
      set_not_local (path == NULL ? file : self->directory, error);
      return NULL;
    }

  g_mutex_lock (&self->mutex);
  if (!self->closed)
    {
      directory = g_hash_table_lookup (self->paths, path);
      if (directory == NULL)
        {
          directory = bs_file_directory_new (BS_FILE_DIRECTORY_PERSISTED, path, self->primary);
          g_hash_table_insert (self->paths, g_strdup (path), directory);
        }
      bs_file_directory_ref (directory);
    }
  g_mutex_unlock (&self->mutex);

  if (directory == NULL)
    {
      set_closed (error);
      return NULL;
    }

  /* First, so that the two can be kept apart. */
  if (!open_primary (self, cancellable, error) ||
      !bs_file_directory_open (directory, BS_FILE_DIRECTORY_ADOPT, cancellable, error))
    return NULL;

  return g_steal_pointer (&directory);
}

void
bs_file_backing_forget (BsFileBacking *self,
                        GFile *file)
{
  const char *path = g_file_peek_path (file);
  g_autoptr (BsFileDirectory) directory = NULL;
  g_autofree char *key = NULL;

  if (path == NULL)
    return;

  g_mutex_lock (&self->mutex);
  if (!self->closed)
    g_hash_table_steal_extended (self->paths, path, (gpointer *) &key, (gpointer *) &directory);
  g_mutex_unlock (&self->mutex);
}

gboolean
bs_file_backing_close (BsBacking *backing,
                       GCancellable *cancellable,
                       GError **error)
{
  BsFileBacking *self = BS_FILE_BACKING (backing);
  g_autoptr (GHashTable) paths = NULL;
  gboolean closed;

  g_mutex_lock (&self->mutex);
  closed = self->closed;
  self->closed = TRUE;
  paths = g_steal_pointer (&self->paths);
  g_mutex_unlock (&self->mutex);

  if (closed || self->primary == NULL)
    return TRUE;

  if (bs_file_directory_is_open (self->primary))
    bs_file_directory_close_scratch (self->primary, self->temporary);
  else if (self->temporary && self->owner == getpid ())
    g_rmdir (g_file_peek_path (self->directory));
  bs_file_buffer_trim ();

  return TRUE;
}

static void
bs_file_backing_get_property (GObject *object,
                              guint prop_id,
                              GValue *value,
                              GParamSpec *pspec)
{
  BsFileBacking *self = BS_FILE_BACKING (object);

  switch (prop_id)
    {
    case PROP_DIRECTORY:
      g_value_set_object (value, self->directory);
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
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
bs_file_backing_constructed (GObject *object)
{
  BsFileBacking *self = BS_FILE_BACKING (object);

  G_OBJECT_CLASS (bs_file_backing_parent_class)->constructed (object);

  /* Made from a script without its directory. */
  if (self->directory == NULL)
    self->directory = g_file_new_for_uri ("none:");

  if (g_file_peek_path (self->directory) != NULL)
    self->primary = bs_file_directory_new (BS_FILE_DIRECTORY_SCRATCH, g_file_peek_path (self->directory), NULL);
}

static void
bs_file_backing_finalize (GObject *object)
{
  BsFileBacking *self = BS_FILE_BACKING (object);

  bs_file_backing_close (BS_BACKING (self), NULL, NULL);

  g_clear_pointer (&self->primary, bs_file_directory_unref);
  g_clear_object (&self->directory);
  g_mutex_clear (&self->mutex);

  G_OBJECT_CLASS (bs_file_backing_parent_class)->finalize (object);
}

static void
bs_file_backing_class_init (BsFileBackingClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->constructed = bs_file_backing_constructed;
  object_class->finalize = bs_file_backing_finalize;
  object_class->get_property = bs_file_backing_get_property;
  object_class->set_property = bs_file_backing_set_property;

  /**
   * BsFileBacking:directory: (getter get_directory)
   *
   * The directory of primary storage. It never changes.
   */
  properties[PROP_DIRECTORY] =
    g_param_spec_object ("directory", NULL, NULL, G_TYPE_FILE,
                         G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static void
bs_file_backing_init (BsFileBacking *self)
{
  g_mutex_init (&self->mutex);
  self->paths = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) bs_file_directory_unref);
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

/**
 * bs_file_backing_new_temporary:
 * @error: return location for an error
 *
 * Creates a backing whose scratch files are in a directory of their own.
 *
 * The directory is made at once, in the user's cache directory, which is on a
 * disk and as a rule on the file system of the user's data, so that hard links
 * work; or in the directory for temporary files if that can't be done. It is
 * removed when the backing is closed or the last reference to it is dropped.
 * Those that crashed processes left are removed when it is first used.
 *
 * Fails with the system's error if neither place can be written to.
 *
 * Returns: (transfer full): a new backing
 */
BsFileBacking *
bs_file_backing_new_temporary (GError **error)
{
  g_autofree char *cache = g_build_filename (g_get_user_cache_dir (), "backingstore", NULL);
  g_autofree char *path = g_build_filename (cache, TEMPORARY_PREFIX "XXXXXX", NULL);
  g_autoptr (GFile) directory = NULL;
  BsFileBacking *self;

  if (g_mkdir_with_parents (cache, 0700) != 0 || g_mkdtemp (path) == NULL)
    {
      g_free (path);
      path = g_build_filename (g_get_tmp_dir (), TEMPORARY_PREFIX "XXXXXX", NULL);
      if (g_mkdtemp (path) == NULL)
        {
          int code = errno;

          g_set_error (error, G_IO_ERROR, g_io_error_from_errno (code),
                       "no directory for scratch files could be made in %s or %s: %s",
                       cache, g_get_tmp_dir (), g_strerror (code));
          return NULL;
        }
    }

  directory = g_file_new_for_path (path);
  self = bs_file_backing_new (directory);
  self->temporary = TRUE;
  self->owner = getpid ();

  return self;
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

  return self->directory;
}

/**
 * bs_file_backing_get_stats:
 * @self: a file backing
 *
 * Gets what the backing has done so far. It may be called from any thread.
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

  g_return_val_if_fail (BS_IS_FILE_BACKING (self), NULL);

  if (self->primary != NULL)
    {
      stats.linked = bs_file_directory_get_count (self->primary, BS_FILE_COUNT_LINKED);
      stats.reflinked = bs_file_directory_get_count (self->primary, BS_FILE_COUNT_REFLINKED);
      stats.copied = bs_file_directory_get_count (self->primary, BS_FILE_COUNT_COPIED);
      stats.cross_device = bs_file_directory_get_count (self->primary, BS_FILE_COUNT_CROSS_DEVICE);
      stats.not_permitted = bs_file_directory_get_count (self->primary, BS_FILE_COUNT_NOT_PERMITTED);
      stats.too_many_links = bs_file_directory_get_count (self->primary, BS_FILE_COUNT_TOO_MANY_LINKS);
      stats.not_supported = bs_file_directory_get_count (self->primary, BS_FILE_COUNT_NOT_SUPPORTED);
      stats.rewritten = bs_file_directory_get_count (self->primary, BS_FILE_COUNT_REWRITTEN);
      stats.quarantined = bs_file_directory_get_count (self->primary, BS_FILE_COUNT_QUARANTINED);
      stats.foreign = bs_file_directory_get_count (self->primary, BS_FILE_COUNT_FOREIGN);
    }

  return bs_file_backing_stats_copy (&stats);
}
