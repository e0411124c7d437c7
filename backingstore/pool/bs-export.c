/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-export-private.h"

#include "base/bs-stream-private.h"
#include "base/bs-copy-private.h"
#include "base/bs-error.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gfiledescriptorbased.h>
#include <glib/gi18n-lib.h>
#include <glib/gstdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUFFER_SIZE (256 * 1024)

static gboolean
set_system_error (int code, GError **error)
{
  if (code == ECANCELED)
    g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_CANCELLED, _ ("it was cancelled"));
  else
    g_set_error_literal (error, G_IO_ERROR, g_io_error_from_errno (code), g_strerror (code));

  return FALSE;
}

static gboolean
copy_by_kernel (GInputStream *stream,
                goffset size,
                int fd,
                GCancellable *cancellable,
                GError **error)
{
  int source_fd = g_file_descriptor_based_get_fd (G_FILE_DESCRIPTOR_BASED (stream));
  struct stat status;
  BsCopyMethod method;
  int code = bs_copy_file (source_fd, fd, &method, cancellable);

  if (code == 0 && fstat (fd, &status) != 0)
    code = errno;
  if (code != 0)
    return set_system_error (code, error);
  if (status.st_size == size)
    return TRUE;

  g_set_error_literal (error, BS_ERROR, BS_ERROR_CORRUPT,
                       _ ("the content is not the one that was written: its length differs"));
  return FALSE;
}

static gboolean
copy_by_reading (GInputStream *stream, int fd, GCancellable *cancellable, GError **error)
{
  g_autofree guint8 *buffer = g_malloc (BUFFER_SIZE);
  gssize n_read;
  int code = 0;

  do
    {
      n_read = g_input_stream_read (stream, buffer, BUFFER_SIZE, cancellable, error);
      if (n_read > 0)
        code = bs_copy_write (fd, buffer, n_read);
    }
  while (n_read > 0 && code == 0);
  if (code != 0)
    set_system_error (code, error);

  return n_read == 0;
}

/* A file that others may read stays one. The disk must have the new content before the
 * name of the old one leads to it. */
static int
take_after (int fd, const struct stat *old)
{
  if (fchmod (fd, old->st_mode & 07777) != 0 && errno != EPERM && errno != ENOTSUP)
    return errno;

  return TEMP_FAILURE_RETRY (fsync (fd)) == 0 ? 0 : errno;
}

static gboolean
fill (GInputStream *stream,
      goffset size,
      int fd,
      const struct stat *old,
      GCancellable *cancellable,
      GError **error)
{
  gboolean success = G_IS_FILE_DESCRIPTOR_BASED (stream)
                       ? copy_by_kernel (stream, size, fd, cancellable, error)
                       : copy_by_reading (stream, fd, cancellable, error);
  int code = success && old != NULL ? take_after (fd, old) : 0;

  /* Some file systems report a full disk on closing. EINTR leaves nothing to close. */
  if (close (fd) != 0 && code == 0 && errno != EINTR)
    code = errno;
  if (success && code != 0)
    return set_system_error (code, error);

  return success;
}

/* Replaces a local file. A symbolic link gives way to the file itself; the name of a device, a
 * FIFO or a socket is in use by others, and stays. */
static gboolean
export_local (GInputStream *stream,
              goffset size,
              const char *path,
              GCancellable *cancellable,
              GError **error)
{
  g_autofree char *folder = g_path_get_dirname (path);
  g_autofree char *temporary = g_build_filename (folder, ".backingstore-XXXXXX", NULL);
  struct stat old = { 0 };
  gboolean exists = lstat (path, &old) == 0;
  gboolean is_replaced = exists && S_ISREG (old.st_mode);
  int fd;

  if (exists && !is_replaced && !S_ISLNK (old.st_mode))
    {
      bs_stream_set_irregular (S_ISDIR (old.st_mode) ? G_FILE_TYPE_DIRECTORY : G_FILE_TYPE_SPECIAL,
                               error);
      return FALSE;
    }

  fd = g_mkstemp_full (temporary, O_RDWR | O_CLOEXEC, 0666);
  if (fd < 0)
    return set_system_error (errno, error);

  if (fill (stream, size, fd, is_replaced ? &old : NULL, cancellable, error))
    {
      if (g_rename (temporary, path) == 0)
        return TRUE;
      set_system_error (errno, error);
    }
  g_unlink (temporary);

  return FALSE;
}

/* A cancelled close keeps a file system's own temporary file from its name. */
static void
abandon (GOutputStream *output)
{
  g_autoptr (GCancellable) cancelled = g_cancellable_new ();

  g_cancellable_cancel (cancelled);
  g_output_stream_close (output, cancelled, NULL);
}

static gboolean
export_remote (GInputStream *stream, GFile *file, GCancellable *cancellable, GError **error)
{
  g_autoptr (GFileOutputStream) output =
    g_file_replace (file, NULL, FALSE, G_FILE_CREATE_REPLACE_DESTINATION, cancellable, error);

  if (output == NULL)
    return FALSE;

  if (g_output_stream_splice (G_OUTPUT_STREAM (output), stream, G_OUTPUT_STREAM_SPLICE_NONE,
                              cancellable, error) >= 0)
    return g_output_stream_close (G_OUTPUT_STREAM (output), cancellable, error);

  abandon (G_OUTPUT_STREAM (output));
  return FALSE;
}

gboolean
bs_export (GInputStream *stream, GFile *file, GCancellable *cancellable, GError **error)
{
  const char *path = g_file_peek_path (file);
  goffset size;

  if (!bs_stream_get_size (stream, &size, error))
    return FALSE;
  if (path != NULL)
    return export_local (stream, size, path, cancellable, error);

  return export_remote (stream, file, cancellable, error);
}
