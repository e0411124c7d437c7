/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-tool-folder-private.h"

#include <backingstore/backingstore.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* File systems take no longer name. A number still finds room behind it. */
#define MAX_NAME 240
#define MAX_ATTEMPTS 100000
#define BUFFER_SIZE (256 * 1024)
#define TEMPORARY_NAME ".backingstore-export"

/* Characters that some file systems or shells do not bear. */
static gboolean
is_plain (const char *c)
{
  return (guchar) *c >= 0x20 && *c != 0x7f && *c != '\\' && *c != '%';
}

static char *
make_component (const char *part)
{
  GString *name = g_string_new (NULL);
  const gboolean dots = strcmp (part, ".") == 0 || strcmp (part, "..") == 0;

  for (const char *c = part; *c != '\0'; c++)
    {
      if (is_plain (c) && !dots)
        g_string_append_c (name, *c);
      else
        g_string_append_printf (name, "%%%02X", (guchar) *c);
    }
  if (name->len > MAX_NAME)
    {
      const char *end = NULL;

      g_utf8_validate (name->str, MAX_NAME, &end);
      g_string_truncate (name, end - name->str);
    }

  return g_string_free (name, FALSE);
}

char *
bs_tool_folder_make_path (const char *name)
{
  g_auto (GStrv) parts = g_strsplit (name, "/", -1);
  g_autoptr (GPtrArray) components = g_ptr_array_new_with_free_func (g_free);

  for (guint i = 0; parts[i] != NULL; i++)
    {
      if (parts[i][0] != '\0')
        g_ptr_array_add (components, make_component (parts[i]));
    }
  if (components->len == 0)
    g_ptr_array_add (components, g_strdup ("%2F"));
  g_ptr_array_add (components, NULL);

  return g_strjoinv ("/", (char **) components->pdata);
}

static void
set_errno (const char *path, int code, GError **error)
{
  g_autofree char *name = g_filename_display_name (path);

  g_set_error (error, G_IO_ERROR,
               code == EDQUOT ? G_IO_ERROR_NO_SPACE : g_io_error_from_errno (code), "%s: %s", name,
               g_strerror (code));
}

static gboolean
check_empty (GFile *file, GError **error)
{
  g_autoptr (GFileEnumerator) children =
    g_file_enumerate_children (file, G_FILE_ATTRIBUTE_STANDARD_NAME,
                               G_FILE_QUERY_INFO_NOFOLLOW_SYMLINKS, NULL, error);
  GFileInfo *info = NULL;

  if (children == NULL || !g_file_enumerator_iterate (children, &info, NULL, NULL, error))
    return FALSE;
  if (info == NULL)
    return TRUE;

  g_set_error (error, G_IO_ERROR, G_IO_ERROR_EXISTS,
               _ ("“%s” is not empty: with --force files are written beside those in it"),
               g_file_peek_path (file));
  return FALSE;
}

gboolean
bs_tool_folder_open (BsToolFolder *self, GFile *file, gboolean takes_others, GError **error)
{
  g_autoptr (GError) local = NULL;

  self->fd = -1;
  self->path = g_file_get_path (file);
  if (self->path == NULL)
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                           _ ("Files can be exported to a local folder only"));
      return FALSE;
    }

  if (!g_file_make_directory_with_parents (file, NULL, &local) &&
      !g_error_matches (local, G_IO_ERROR, G_IO_ERROR_EXISTS))
    {
      g_propagate_error (error, g_steal_pointer (&local));
      return FALSE;
    }
  if (!takes_others && !check_empty (file, error))
    return FALSE;

  self->fd = open (self->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (self->fd < 0)
    set_errno (self->path, errno, error);

  return self->fd >= 0;
}

void
bs_tool_folder_close (BsToolFolder *self)
{
  if (self->fd >= 0)
    close (self->fd);
  self->fd = -1;
  g_clear_pointer (&self->path, g_free);
}

/* "name (2).ext" */
static char *
number_component (const char *name, guint number)
{
  const char *dot = strrchr (name, '.');

  if (number < 2)
    return g_strdup (name);
  if (dot == NULL || dot == name)
    return g_strdup_printf ("%s (%u)", name, number);

  return g_strdup_printf ("%.*s (%u)%s", (int) (dot - name), name, number, dot);
}

/* Enters a folder, or makes it under the first name that is a folder or free. Returns its
 * descriptor, or -1 with errno. */
static int
enter (int parent, const char *name, GString *path)
{
  for (guint number = 1; number < MAX_ATTEMPTS; number++)
    {
      g_autofree char *numbered = number_component (name, number);
      int fd;

      if (mkdirat (parent, numbered, 0777) != 0 && errno != EEXIST)
        return -1;
      fd = openat (parent, numbered, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
      if (fd >= 0)
        {
          g_string_append_printf (path, "%s/", numbered);
          return fd;
        }
      if (errno != ENOTDIR && errno != ELOOP)
        return -1;
    }
  errno = EEXIST;

  return -1;
}

static gboolean
set_errno_once (const char *path, int code, GError **error)
{
  if (code != 0 && *error == NULL)
    set_errno (path, code, error);

  return code == 0 && *error == NULL;
}

static int
write_part (int fd, const guint8 *data, gsize size)
{
  for (gsize done = 0; done < size;)
    {
      gssize n = TEMP_FAILURE_RETRY (write (fd, data + done, size - done));

      if (n < 0)
        return errno;
      done += n;
    }

  return 0;
}

/* Returns an errno of writing, or 0 with `error` set if reading failed. */
static int
write_stream (int fd, GInputStream *stream, GCancellable *cancellable, GError **error)
{
  g_autofree guint8 *buffer = g_malloc (BUFFER_SIZE);
  gssize n;
  int code = 0;

  do
    {
      n = g_input_stream_read (stream, buffer, BUFFER_SIZE, cancellable, error);
      if (n > 0)
        code = write_part (fd, buffer, n);
    }
  while (n > 0 && code == 0);

  return code;
}

/* Returns EEXIST if something has the name. A file system without hard links renames. */
static int
give_name (int folder, const char *name)
{
  if (linkat (folder, TEMPORARY_NAME, folder, name, 0) == 0)
    {
      unlinkat (folder, TEMPORARY_NAME, 0);
      return 0;
    }
  if (errno == EEXIST)
    return errno;
  if (renameat2 (folder, TEMPORARY_NAME, folder, name, RENAME_NOREPLACE) == 0)
    return 0;

  return errno;
}

static int
name_file (int folder, const char *name, GString *path)
{
  int code = EEXIST;

  for (guint number = 1; code == EEXIST && number < MAX_ATTEMPTS; number++)
    {
      g_autofree char *numbered = number_component (name, number);

      code = give_name (folder, numbered);
      if (code == 0)
        g_string_append (path, numbered);
    }

  return code;
}

static int
open_temporary (int folder)
{
  const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  int fd = openat (folder, TEMPORARY_NAME, flags, 0666);

  /* An export that was stopped has left it. */
  if (fd < 0 && errno == EEXIST && unlinkat (folder, TEMPORARY_NAME, 0) == 0)
    fd = openat (folder, TEMPORARY_NAME, flags, 0666);

  return fd;
}

/* Returns an errno, or 0 with `error` set if reading failed. */
static int
write_file (int folder,
            const char *name,
            GInputStream *stream,
            GString *path,
            GCancellable *cancellable,
            GError **error)
{
  int fd = open_temporary (folder);
  int code;

  if (fd < 0)
    return errno;

  code = write_stream (fd, stream, cancellable, error);
  if (close (fd) != 0 && code == 0)
    code = errno;
  if (code == 0 && *error == NULL)
    code = name_file (folder, name, path);
  if (code != 0 || *error != NULL)
    unlinkat (folder, TEMPORARY_NAME, 0);

  return code;
}

char *
bs_tool_folder_write (BsToolFolder *self,
                      const char *path,
                      GInputStream *stream,
                      GCancellable *cancellable,
                      GError **error)
{
  g_auto (GStrv) parts = g_strsplit (path, "/", -1);
  g_autoptr (GString) written = g_string_new (NULL);
  GError *local = NULL;
  int folder = self->fd;
  int code = 0;
  guint i;

  for (i = 0; parts[i + 1] != NULL && code == 0; i++)
    {
      int below = enter (folder, parts[i], written);

      code = below < 0 ? errno : 0;
      if (folder != self->fd)
        close (folder);
      folder = below;
    }
  if (code == 0)
    code = write_file (folder, parts[i], stream, written, cancellable, &local);
  if (folder >= 0 && folder != self->fd)
    close (folder);
  if (set_errno_once (path, code, &local))
    return g_strdup (written->str);

  g_propagate_error (error, local);
  return NULL;
}
