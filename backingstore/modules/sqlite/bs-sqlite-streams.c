/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "bs-sqlite-streams-private.h"

#include <glib/gi18n-lib.h>
#include <inttypes.h>

/* A content that is being read. */
typedef struct
{
  GInputStream *stream;
  gint64 size; /* or -1 */
  gint64 n_read;
  GCancellable *cancellable;
} Source;

/* Fills the buffer, at the end of the content with less. */
static gboolean
source_fill (Source *self, gpointer buffer, gsize size, gsize *filled, GError **error)
{
  if (self->size >= 0)
    size = MIN (size, (guint64) (self->size - self->n_read));
  if (!g_input_stream_read_all (self->stream, buffer, size, filled, self->cancellable, error))
    return FALSE;

  self->n_read += *filled;
  if (self->size < 0 || *filled == size)
    return TRUE;

  g_set_error (error, G_IO_ERROR, G_IO_ERROR_PARTIAL_INPUT,
               _ ("the stream has ended after %" PRId64 " of %" PRId64 " bytes"), self->n_read,
               self->size);
  return FALSE;
}

/* `start` has what was read already. */
static BsSqliteFile *
source_to_file (Source *self, GByteArray *start, const char *directory, GError **error)
{
  g_autoptr (BsSqliteFile) file = bs_sqlite_file_new (directory, error);
  gsize filled = start->len;

  if (file == NULL)
    return NULL;

  while (filled > 0)
    {
      if (!bs_sqlite_file_append (file, start->data, filled, error) ||
          !source_fill (self, start->data, BS_SQLITE_PART_SIZE, &filled, error))
        return NULL;
    }
  bs_sqlite_file_end (file);

  return g_steal_pointer (&file);
}

gboolean
bs_sqlite_take_stream (GInputStream *stream,
                       gint64 size,
                       const char *directory,
                       GBytes **bytes,
                       BsSqliteFile **file,
                       GCancellable *cancellable,
                       GError **error)
{
  Source source = { stream, size, 0, cancellable };
  g_autoptr (GByteArray) start = g_byte_array_new ();
  gsize filled;

  if (!bs_sqlite_file_check_size (size, error))
    return FALSE;

  do
    {
      gsize before = start->len;

      g_byte_array_set_size (start, before + BS_SQLITE_PART_SIZE);
      if (!source_fill (&source, start->data + before, BS_SQLITE_PART_SIZE, &filled, error))
        return FALSE;
      g_byte_array_set_size (start, before + filled);
    }
  while (filled == BS_SQLITE_PART_SIZE && start->len <= BS_SQLITE_MAX_HELD);

  if (start->len > BS_SQLITE_MAX_HELD)
    *file = source_to_file (&source, start, directory, error);
  else
    *bytes = g_byte_array_free_to_bytes (g_steal_pointer (&start));

  return *bytes != NULL || *file != NULL;
}

GInputStream *
bs_sqlite_open_source (GFile *file, GCancellable *cancellable, GError **error)
{
  g_autoptr (GFileInfo) info =
    g_file_query_info (file, G_FILE_ATTRIBUTE_STANDARD_TYPE "," G_FILE_ATTRIBUTE_STANDARD_SIZE,
                       G_FILE_QUERY_INFO_NONE, cancellable, error);
  GFileType type;

  if (info == NULL ||
      !bs_sqlite_file_check_size (g_file_info_get_attribute_uint64 (info,
                                                                    G_FILE_ATTRIBUTE_STANDARD_SIZE),
                                  error))
    return NULL;

  /* A remote file may be of an unknown type. A pipe may block the thread that opens it. */
  type = g_file_info_get_attribute_uint32 (info, G_FILE_ATTRIBUTE_STANDARD_TYPE);
  if (type == G_FILE_TYPE_REGULAR || type == G_FILE_TYPE_UNKNOWN)
    return G_INPUT_STREAM (g_file_read (file, cancellable, error));

  g_set_error_literal (error, G_IO_ERROR,
                       type == G_FILE_TYPE_DIRECTORY ? G_IO_ERROR_IS_DIRECTORY
                                                     : G_IO_ERROR_NOT_REGULAR_FILE,
                       _ ("the file is not a regular file"));
  return NULL;
}
