/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "bs-file-paths-private.h"

#include "base/bs-error.h"

#include <glib/gstdio.h>
#include <unistd.h>

void
bs_file_paths_init (BsFilePaths *self,
                    GFile *file)
{
  g_mutex_init (&self->mutex);
  self->file = file;
  self->persisted = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) bs_file_directory_unref);
  if (g_file_peek_path (file) != NULL)
    self->primary = bs_file_directory_new (BS_FILE_DIRECTORY_SCRATCH, g_file_peek_path (file), NULL);
}

void
bs_file_paths_clear (BsFilePaths *self)
{
  bs_file_paths_close (self);

  g_clear_pointer (&self->primary, bs_file_directory_unref);
  g_clear_object (&self->file);
  g_mutex_clear (&self->mutex);
}

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
  g_set_error_literal (error, BS_ERROR, BS_ERROR_CLOSED, "the backing is closed");

  return FALSE;
}

/* Removes temporary directories whose processes are gone. */
static void
sweep_temporaries (BsFilePaths *self)
{
  g_autofree char *parent = g_path_get_dirname (g_file_peek_path (self->file));
  g_autoptr (GDir) siblings = g_dir_open (parent, 0, NULL);
  const char *name;

  while (siblings != NULL && (name = g_dir_read_name (siblings)) != NULL)
    {
      g_autofree char *path = g_build_filename (parent, name, NULL);
      g_autoptr (BsFileDirectory) sibling = NULL;
      GStatBuf status;

      if (!g_str_has_prefix (name, BS_FILE_TEMPORARY_DIRECTORY_PREFIX) || g_str_equal (path, g_file_peek_path (self->file)) ||
          g_lstat (path, &status) != 0 || !S_ISDIR (status.st_mode) || status.st_uid != geteuid ())
        continue;

      sibling = bs_file_directory_new (BS_FILE_DIRECTORY_SCRATCH, path, NULL);
      if (bs_file_directory_open (sibling, BS_FILE_DIRECTORY_MARKED, NULL, NULL))
        bs_file_directory_close_scratch (sibling, TRUE);
    }
}

static gboolean
open_primary (BsFilePaths *self,
              GCancellable *cancellable,
              GError **error)
{
  if (self->primary == NULL)
    return set_not_local (self->file, error);

  if (bs_file_directory_is_open (self->primary))
    return TRUE;

  if (!bs_file_directory_open (self->primary, BS_FILE_DIRECTORY_ADOPT, cancellable, error))
    return FALSE;

  if (self->temporary)
    sweep_temporaries (self);

  return TRUE;
}

gboolean
bs_file_paths_begin (BsFilePaths *self,
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
bs_file_paths_begin_at (BsFilePaths *self,
                        GFile *file,
                        GCancellable *cancellable,
                        GError **error)
{
  g_autoptr (BsFileDirectory) directory = NULL;
  const char *path = g_file_peek_path (file);

  if (path == NULL || self->primary == NULL)
    {
      set_not_local (path == NULL ? file : self->file, error);
      return NULL;
    }

  g_mutex_lock (&self->mutex);
  if (!self->closed)
    {
      directory = g_hash_table_lookup (self->persisted, path);
      if (directory == NULL)
        {
          directory = bs_file_directory_new (BS_FILE_DIRECTORY_PERSISTED, path, self->primary);
          g_hash_table_insert (self->persisted, g_strdup (path), directory);
        }
      bs_file_directory_ref (directory);
    }
  g_mutex_unlock (&self->mutex);

  if (directory == NULL)
    {
      set_closed (error);
      return NULL;
    }

  /* The claim on the path compares it with primary storage. */
  if (!open_primary (self, cancellable, error) ||
      !bs_file_directory_open (directory, BS_FILE_DIRECTORY_ADOPT, cancellable, error))
    return NULL;

  return g_steal_pointer (&directory);
}

void
bs_file_paths_forget (BsFilePaths *self,
                      GFile *file)
{
  const char *path = g_file_peek_path (file);
  g_autoptr (BsFileDirectory) directory = NULL;
  g_autofree char *key = NULL;

  if (path == NULL)
    return;

  g_mutex_lock (&self->mutex);
  if (!self->closed)
    g_hash_table_steal_extended (self->persisted, path, (gpointer *) &key, (gpointer *) &directory);
  g_mutex_unlock (&self->mutex);
}

void
bs_file_paths_close (BsFilePaths *self)
{
  g_autoptr (GHashTable) persisted = NULL;
  gboolean closed;

  g_mutex_lock (&self->mutex);
  closed = self->closed;
  self->closed = TRUE;
  persisted = g_steal_pointer (&self->persisted);
  g_mutex_unlock (&self->mutex);

  if (closed || self->primary == NULL)
    return;

  if (bs_file_directory_is_open (self->primary))
    bs_file_directory_close_scratch (self->primary, self->temporary);
  else if (self->temporary && self->owner == getpid ())
    g_rmdir (g_file_peek_path (self->file));
}
