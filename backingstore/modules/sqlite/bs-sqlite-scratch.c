/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "bs-sqlite-scratch-private.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n-lib.h>
#include <glib/gstdio.h>
#include <unistd.h>

/* From this size on the disk gets the room of a free blob back. */
#define PUNCH_SIZE (64 * 1024)
#define SMALLEST_SIZE 64

void
bs_sqlite_scratch_init (BsSqliteScratch *self)
{
  g_mutex_init (&self->mutex);
  self->fd = -1;
  self->free =
    g_hash_table_new_full (g_direct_hash, g_direct_equal, NULL, (GDestroyNotify) g_array_unref);
}

/* Called with the mutex held, or by the only user. */
static void
close_file (BsSqliteScratch *self)
{
  if (self->fd >= 0)
    close (self->fd);
  self->fd = -1;
  self->end = 0;
  self->n_blobs = 0;
  g_hash_table_remove_all (self->free);
}

void
bs_sqlite_scratch_empty (BsSqliteScratch *self)
{
  g_mutex_lock (&self->mutex);
  close_file (self);
  g_mutex_unlock (&self->mutex);
}

void
bs_sqlite_scratch_clear (BsSqliteScratch *self)
{
  close_file (self);
  g_hash_table_unref (self->free);
  g_free (self->directory);
  g_mutex_clear (&self->mutex);
}

static gboolean
set_error (const char *action, const char *directory, int code, GError **error)
{
  g_set_error (error, G_IO_ERROR,
               code == EDQUOT ? G_IO_ERROR_NO_SPACE : g_io_error_from_errno (code), "%s (%s): %s",
               action, directory, g_strerror (code));
  return FALSE;
}

int
bs_sqlite_scratch_open_unlinked (const char *directory)
{
  g_autofree char *path = NULL;
  int fd;

  g_mkdir_with_parents (directory, 0700);
  fd = open (directory, O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);
  if (fd >= 0)
    return fd;

  path = g_build_filename (directory, ".scratch-XXXXXX", NULL);
  fd = g_mkstemp_full (path, O_RDWR | O_CLOEXEC, 0600);
  if (fd >= 0)
    g_unlink (path);
  return fd;
}

/* Sizes come in steps of a quarter of a power of two, so that a free blob fits another. */
static gsize
round_up (gsize size)
{
  gsize step = SMALLEST_SIZE / 4;

  if (size <= SMALLEST_SIZE)
    return SMALLEST_SIZE;
  while (step * 8 < size)
    step *= 2;

  return (size + step - 1) / step * step;
}

static gboolean
allocate (BsSqliteScratch *self, gsize size, BsSqliteExtent *extent, GError **error)
{
  gsize allocated = round_up (size);
  GArray *free;
  gboolean opened = TRUE;

  g_mutex_lock (&self->mutex);
  if (self->fd < 0)
    {
      self->fd = bs_sqlite_scratch_open_unlinked (self->directory);
      opened = self->fd >= 0 ||
               set_error (_ ("cannot make a scratch file"), self->directory, errno, error);
    }
  if (opened)
    {
      free = g_hash_table_lookup (self->free, GSIZE_TO_POINTER (allocated));
      if (free != NULL && free->len > 0)
        {
          extent->offset = g_array_index (free, goffset, free->len - 1);
          g_array_set_size (free, free->len - 1);
        }
      else
        {
          extent->offset = self->end;
          self->end += allocated;
        }
      self->n_blobs++;
    }
  g_mutex_unlock (&self->mutex);

  extent->size = size;
  return opened;
}

void
bs_sqlite_scratch_free (BsSqliteScratch *self, const BsSqliteExtent *extent)
{
  gsize allocated = round_up (extent->size);
  GArray *free;

  g_mutex_lock (&self->mutex);
  self->n_blobs--;
  if (self->n_blobs == 0)
    {
      if (ftruncate (self->fd, 0) == 0)
        {
          self->end = 0;
          g_hash_table_remove_all (self->free);
          g_mutex_unlock (&self->mutex);
          return;
        }
    }
  else if (allocated >= PUNCH_SIZE)
    {
      /* Where the file system cannot, the room is used again all the same. */
      (void) !fallocate (self->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, extent->offset,
                         allocated);
    }
  free = g_hash_table_lookup (self->free, GSIZE_TO_POINTER (allocated));
  if (free == NULL)
    {
      free = g_array_new (FALSE, FALSE, sizeof (goffset));
      g_hash_table_insert (self->free, GSIZE_TO_POINTER (allocated), free);
    }
  g_array_append_val (free, extent->offset);
  g_mutex_unlock (&self->mutex);
}

gboolean
bs_sqlite_scratch_write (BsSqliteScratch *self,
                         GBytes *bytes,
                         BsSqliteExtent *extent,
                         GError **error)
{
  gsize size;
  const char *data = g_bytes_get_data (bytes, &size);

  if (!allocate (self, size, extent, error))
    return FALSE;

  for (gsize done = 0; done < size;)
    {
      gssize n = pwrite (self->fd, data + done, size - done, extent->offset + done);

      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0)
        {
          set_error (_ ("cannot write a scratch file"), self->directory, n < 0 ? errno : ENOSPC,
                     error);
          bs_sqlite_scratch_free (self, extent);
          return FALSE;
        }
      done += n;
    }

  return TRUE;
}

GBytes *
bs_sqlite_scratch_read (BsSqliteScratch *self, const BsSqliteExtent *extent, GError **error)
{
  g_autofree char *data = g_try_malloc (MAX (extent->size, 1));

  if (data == NULL)
    {
      set_error (_ ("cannot read a scratch file"), self->directory, ENOMEM, error);
      return NULL;
    }

  for (gsize done = 0; done < extent->size;)
    {
      gssize n = pread (self->fd, data + done, extent->size - done, extent->offset + done);

      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0)
        {
          set_error (_ ("cannot read a scratch file"), self->directory, n < 0 ? errno : EIO, error);
          return NULL;
        }
      done += n;
    }

  return g_bytes_new_take (g_steal_pointer (&data), extent->size);
}
