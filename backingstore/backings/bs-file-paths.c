/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "bs-file-paths-private.h"

#include "base/bs-error-private.h"
#include "base/bs-fork-private.h"

#include <fcntl.h>
#include <glib/gi18n-lib.h>
#include <glib/gstdio.h>
#include <unistd.h>

/* The directory of a path that was opened by its directory. */
static G_DEFINE_QUARK (bs - file - directory, directory)

  void bs_file_paths_init (BsFilePaths *self, GFile *file)
{
  g_mutex_init (&self->opening);
  g_mutex_init (&self->mutex);
  self->file = file;
  self->n_forks = bs_n_forks;
  self->sweeping = g_cancellable_new ();
  self->opened = g_ptr_array_new_with_free_func (g_object_unref);
  self->persisted = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                           (GDestroyNotify) bs_file_directory_unref);
  if (g_file_peek_path (file) != NULL)
    self->primary =
      bs_file_directory_new (BS_FILE_DIRECTORY_SCRATCH, g_file_peek_path (file), NULL);
}

void
bs_file_paths_clear (BsFilePaths *self)
{
  bs_file_paths_close (self);

  g_clear_pointer (&self->primary, bs_file_directory_unref);
  g_clear_object (&self->file);
  g_ptr_array_unref (self->opened);
  g_clear_object (&self->sweeping);
  g_mutex_clear (&self->mutex);
  g_mutex_clear (&self->opening);
}

static BsFileDirectory *
get_directory (GFile *path)
{
  return g_object_get_qdata (G_OBJECT (path), directory_quark ());
}

static gboolean
set_not_local (GFile *file, GError **error)
{
  g_autofree char *name = bs_error_name_file (file);

  g_set_error (error, BS_ERROR, BS_ERROR_NOT_SUPPORTED, _ ("%s is not a local directory"), name);

  return FALSE;
}

static gboolean
set_closed (GError **error)
{
  g_set_error_literal (error, BS_ERROR, BS_ERROR_CLOSED, _ ("the backing is closed"));

  return FALSE;
}

/* Removes temporary directories whose processes are gone. */
static void
sweep_temporaries (BsFilePaths *self, GCancellable *cancellable)
{
  g_autofree char *parent = g_path_get_dirname (g_file_peek_path (self->file));
  g_autoptr (GDir) siblings = g_dir_open (parent, 0, NULL);
  const char *name;

  while (siblings != NULL && !g_cancellable_is_cancelled (cancellable) &&
         (name = g_dir_read_name (siblings)) != NULL)
    {
      g_autofree char *path = g_build_filename (parent, name, NULL);
      g_autoptr (BsFileDirectory) sibling = NULL;
      GStatBuf status;

      if (!g_str_has_prefix (name, BS_FILE_TEMPORARY_DIRECTORY_PREFIX) ||
          g_str_equal (path, g_file_peek_path (self->file)) || g_lstat (path, &status) != 0 ||
          !S_ISDIR (status.st_mode) || status.st_uid != geteuid ())
        continue;

      sibling = bs_file_directory_new (BS_FILE_DIRECTORY_SCRATCH, path, NULL);
      if (bs_file_directory_open (sibling, BS_FILE_DIRECTORY_MARKED, NULL, NULL))
        bs_file_directory_close_scratch (sibling, TRUE, cancellable);
    }
}

/* Runs in a thread, so that no call waits for the leftovers of crashed processes. */
static gpointer
run_sweeper (gpointer user_data)
{
  BsFilePaths *self = user_data;

  bs_file_directory_sweep (self->primary, self->sweeping);
  if (self->temporary)
    sweep_temporaries (self, self->sweeping);

  return NULL;
}

/* Where no thread can be made, the leftovers stay for another time. */
static void
start_sweeper (BsFilePaths *self)
{
  g_mutex_lock (&self->mutex);
  if (!self->closed && self->sweeper == NULL &&
      (self->temporary || bs_file_directory_has_leftovers (self->primary)))
    self->sweeper = g_thread_try_new ("backing-sweeper", run_sweeper, self, NULL);
  g_mutex_unlock (&self->mutex);
}

static void
stop_sweeper (BsFilePaths *self)
{
  g_cancellable_cancel (self->sweeping);
  /* A forked child has no such thread. */
  if (self->sweeper != NULL && self->n_forks == bs_n_forks)
    g_thread_join (self->sweeper);
  self->sweeper = NULL;
}

static gboolean
open_primary (BsFilePaths *self, GCancellable *cancellable, GError **error)
{
  if (self->primary == NULL)
    return set_not_local (self->file, error);

  if (bs_file_directory_is_open (self->primary))
    return bs_file_directory_check_fork (self->primary, error);

  if (!bs_file_directory_open (self->primary, BS_FILE_DIRECTORY_ADOPT, cancellable, error))
    return FALSE;

  start_sweeper (self);

  return TRUE;
}

gboolean
bs_file_paths_begin (BsFilePaths *self, GCancellable *cancellable, GError **error)
{
  gboolean closed;

  g_mutex_lock (&self->mutex);
  closed = self->closed;
  g_mutex_unlock (&self->mutex);

  if (closed)
    return set_closed (error);

  return open_primary (self, cancellable, error);
}

/* The path that has this directory, if any. */
static GFile *
find_opened (BsFilePaths *self, const struct stat *status)
{
  GFile *found = NULL;

  g_mutex_lock (&self->mutex);
  for (guint i = 0; i < self->opened->len && found == NULL; i++)
    {
      GFile *path = g_ptr_array_index (self->opened, i);

      if (bs_file_directory_is_same (get_directory (path), status))
        found = g_object_ref (path);
    }
  g_mutex_unlock (&self->mutex);

  return found;
}

/* For a call by name beside a store that has opened the path. */
static BsFileDirectory *
find_opened_by_name (BsFilePaths *self, const char *name)
{
  g_autoptr (GFile) opened = NULL;
  struct stat status;

  if (stat (name, &status) == 0)
    opened = find_opened (self, &status);

  return opened != NULL ? bs_file_directory_ref (get_directory (opened)) : NULL;
}

static BsFileDirectory *
new_persisted (BsFilePaths *self, const char *name)
{
  BsFileDirectory *directory =
    bs_file_directory_new (BS_FILE_DIRECTORY_PERSISTED, name, self->primary);

  if (g_atomic_int_get (&self->read_only))
    bs_file_directory_set_read_only (directory);

  return directory;
}

BsFileDirectory *
bs_file_paths_begin_at (BsFilePaths *self, GFile *file, GCancellable *cancellable, GError **error)
{
  g_autoptr (BsFileDirectory) directory = NULL;
  const char *path = g_file_peek_path (file);
  gboolean any_opened;

  g_mutex_lock (&self->mutex);
  any_opened = !self->closed && self->opened->len > 0;
  if (any_opened && g_ptr_array_find (self->opened, file, NULL))
    directory = bs_file_directory_ref (get_directory (file));
  g_mutex_unlock (&self->mutex);
  if (any_opened && directory == NULL && path != NULL)
    directory = find_opened_by_name (self, path);
  if (directory != NULL)
    return bs_file_directory_check_fork (directory, error) ? g_steal_pointer (&directory) : NULL;

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
          directory = new_persisted (self, path);
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

BsFileDirectory *
bs_file_paths_new_directory (BsFilePaths *self,
                             GFile *path,
                             gboolean read_only,
                             GCancellable *cancellable,
                             GError **error)
{
  BsFileDirectory *directory;

  if (g_file_peek_path (path) == NULL)
    {
      set_not_local (path, error);
      return NULL;
    }

  /* The claim on the path compares it with primary storage. */
  if (!bs_file_paths_begin (self, cancellable, error))
    return NULL;

  directory = new_persisted (self, g_file_peek_path (path));
  if (read_only)
    bs_file_directory_set_read_only (directory);

  return directory;
}

gboolean
bs_file_paths_is_opened (BsFilePaths *self, GFile *path)
{
  gboolean opened;

  g_mutex_lock (&self->mutex);
  opened = g_ptr_array_find (self->opened, path, NULL);
  g_mutex_unlock (&self->mutex);

  return opened;
}

void
bs_file_paths_forget (BsFilePaths *self, GFile *file)
{
  const char *path = g_file_peek_path (file);
  g_autoptr (GMutexLocker) locker = NULL;
  g_autoptr (BsFileDirectory) directory = NULL;
  g_autofree char *key = NULL;

  if (path == NULL)
    return;

  /* A call that opens the directory next must not find it locked still. */
  locker = g_mutex_locker_new (&self->opening);
  g_mutex_lock (&self->mutex);
  if (g_ptr_array_remove (self->opened, file))
    directory = g_object_steal_qdata (G_OBJECT (file), directory_quark ());
  else if (!self->closed)
    g_hash_table_steal_extended (self->persisted, path, (gpointer *) &key, (gpointer *) &directory);
  g_mutex_unlock (&self->mutex);
}

/* Takes the directory that calls by name have opened, or a new one. */
static BsFileDirectory *
take_named (BsFilePaths *self, const char *name)
{
  g_autoptr (BsFileDirectory) directory = NULL;
  g_autofree char *key = NULL;

  g_mutex_lock (&self->mutex);
  if (!self->closed)
    g_hash_table_steal_extended (self->persisted, name, (gpointer *) &key, (gpointer *) &directory);
  g_mutex_unlock (&self->mutex);
  if (directory != NULL && bs_file_directory_is_open (directory) &&
      bs_file_directory_is_current (directory))
    return g_steal_pointer (&directory);

  return new_persisted (self, name);
}

/* A new path. Called with the opening mutex held. */
static GFile *
open_new (BsFilePaths *self, const char *name, GCancellable *cancellable, GError **error)
{
  g_autoptr (BsFileDirectory) directory = take_named (self, name);
  GFile *path = NULL;

  if (!bs_file_directory_open (directory, BS_FILE_DIRECTORY_ADOPT, cancellable, error))
    return NULL;

  g_mutex_lock (&self->mutex);
  if (!self->closed)
    {
      path = g_file_new_for_path (name);
      g_object_set_qdata_full (G_OBJECT (path), directory_quark (), g_steal_pointer (&directory),
                               (GDestroyNotify) bs_file_directory_unref);
      g_ptr_array_add (self->opened, g_object_ref (path));
    }
  g_mutex_unlock (&self->mutex);

  if (path == NULL)
    set_closed (error);

  return path;
}

GFile *
bs_file_paths_open (BsFilePaths *self,
                    GFile *file,
                    gboolean *writable,
                    GCancellable *cancellable,
                    GError **error)
{
  const char *name = g_file_peek_path (file);
  g_autoptr (GMutexLocker) locker = NULL;
  struct stat status;
  GFile *path = NULL;
  int fd;

  if (name == NULL)
    {
      set_not_local (file, error);
      return NULL;
    }

  if (!bs_file_paths_begin (self, cancellable, error))
    return NULL;

  /* No other directory gets the numbers of an open one. */
  locker = g_mutex_locker_new (&self->opening);
  fd = TEMP_FAILURE_RETRY (open (name, O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (fd >= 0 && fstat (fd, &status) == 0)
    path = find_opened (self, &status);

  if (path == NULL)
    path = open_new (self, name, cancellable, error);
  else if (!bs_file_directory_set_path (get_directory (path), name, error))
    g_clear_object (&path);
  if (fd >= 0)
    close (fd);
  if (path != NULL)
    *writable = bs_file_directory_get_refusal (get_directory (path)) == 0;

  return path;
}

void
bs_file_paths_close (BsFilePaths *self)
{
  g_autoptr (GHashTable) persisted = NULL;
  g_autoptr (GPtrArray) opened = NULL;
  gboolean closed;

  g_mutex_lock (&self->mutex);
  closed = self->closed;
  self->closed = TRUE;
  persisted = g_steal_pointer (&self->persisted);
  opened = self->opened;
  self->opened = g_ptr_array_new_with_free_func (g_object_unref);
  g_mutex_unlock (&self->mutex);

  if (closed || self->primary == NULL)
    return;

  stop_sweeper (self);

  if (bs_file_directory_is_open (self->primary))
    bs_file_directory_close_scratch (self->primary, self->temporary, NULL);
  else if (self->temporary && self->n_forks == bs_n_forks)
    g_rmdir (g_file_peek_path (self->file));
}
