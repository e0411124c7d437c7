/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* A folder that files are exported to. Names come from strangers: nothing is written outside
 * of it, no symbolic link is followed, and no file is replaced. */
typedef struct
{
  char *path;
  int fd;
} BsToolFolder;

/* Makes a relative path of a name: without empty parts, and with "." and ".." and control
 * characters written as %XX. */
char    *bs_tool_folder_make_path (const char *name) G_GNUC_WARN_UNUSED_RESULT;

gboolean bs_tool_folder_open      (BsToolFolder *self, GFile *file, gboolean takes_others, GError **error);
void     bs_tool_folder_close     (BsToolFolder *self);
/* Writes a file whole, under the relative path or, where something stands there, under one
 * with a number. Returns the path that it has. */
char    *bs_tool_folder_write     (BsToolFolder *self, const char *path, GInputStream *stream, GCancellable *cancellable, GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
