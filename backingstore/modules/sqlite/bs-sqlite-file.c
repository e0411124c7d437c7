/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "bs-sqlite-file-private.h"

#include "bs-sqlite-claim-private.h"
#include "bs-sqlite-rows-private.h"
#include "bs-sqlite-scratch-private.h"

#include <backingstore/backingstore.h>

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <inttypes.h>
#include <unistd.h>

#define MAX_CONTENT ((gint64) BS_SQLITE_ROW_SIZE * BS_SQLITE_MAX_PARTS - 1)

gboolean
bs_sqlite_file_check_size (gint64 size, GError **error)
{
  if (size <= MAX_CONTENT)
    return TRUE;

  g_set_error (error, BS_ERROR, BS_ERROR_NOT_SUPPORTED,
               _ ("a document in one file keeps no content of more than %" PRId64
                  " bytes; one in a folder does"),
               MAX_CONTENT);
  return FALSE;
}

BsSqliteFile *
bs_sqlite_file_new (const char *directory, GError **error)
{
  int fd = bs_sqlite_scratch_open_unlinked (directory);
  BsSqliteFile *self;

  if (fd < 0)
    {
      bs_sqlite_set_errno (_ ("cannot make a scratch file"), errno, error);
      return NULL;
    }

  self = g_new0 (BsSqliteFile, 1);
  self->fd = fd;
  self->hasher = bs_sqlite_hasher_new ();

  return self;
}

void
bs_sqlite_file_free (BsSqliteFile *self)
{
  bs_sqlite_file_end (self);
  close (self->fd);
  g_free (self);
}

gboolean
bs_sqlite_file_append (BsSqliteFile *self, gconstpointer data, gsize size, GError **error)
{
  const guint8 *bytes = data;

  if (!bs_sqlite_file_check_size (self->size + size, error))
    return FALSE;

  bs_sqlite_hasher_add (self->hasher, data, size);
  for (gsize done = 0; done < size;)
    {
      gssize n = pwrite (self->fd, bytes + done, size - done, self->size);

      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0)
        return bs_sqlite_set_errno (_ ("cannot write a scratch file"), n < 0 ? errno : ENOSPC,
                                    error);
      done += n;
      self->size += n;
    }

  return TRUE;
}

void
bs_sqlite_file_end (BsSqliteFile *self)
{
  if (self->hasher != NULL)
    self->hash = bs_sqlite_hasher_end (g_steal_pointer (&self->hasher));
}

gboolean
bs_sqlite_file_read (const BsSqliteFile *self,
                     goffset offset,
                     gpointer buffer,
                     gsize size,
                     GError **error)
{
  guint8 *bytes = buffer;

  for (gsize done = 0; done < size;)
    {
      gssize n = pread (self->fd, bytes + done, size - done, offset + done);

      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0)
        return bs_sqlite_set_errno (_ ("cannot read a scratch file"), n < 0 ? errno : EIO, error);
      done += n;
    }

  return TRUE;
}

GBytes *
bs_sqlite_file_load (const BsSqliteFile *self, GError **error)
{
  g_autofree guint8 *data = g_try_malloc (MAX (self->size, 1));

  if (data == NULL)
    {
      bs_sqlite_set_errno (_ ("cannot hold the content in memory"), ENOMEM, error);
      return NULL;
    }
  if (!bs_sqlite_file_read (self, 0, data, self->size, error))
    return NULL;

  return g_bytes_new_take (g_steal_pointer (&data), self->size);
}

GInputStream *
bs_sqlite_file_open (const BsSqliteFile *self, GCancellable *cancellable, GError **error)
{
  g_autofree char *path = g_strdup_printf ("/proc/self/fd/%d", self->fd);
  g_autoptr (GFile) file = g_file_new_for_path (path);

  return G_INPUT_STREAM (g_file_read (file, cancellable, error));
}
