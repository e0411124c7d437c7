/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-file-directory-private.h"

G_BEGIN_DECLS

/* Names of temporary directories start with it. */
#define BS_FILE_TEMPORARY_DIRECTORY_PREFIX "backingstore-"

/* The directories that one backing has open: that of primary storage, and those of
 * persisted paths. Safe to use from any thread. */
typedef struct
{
  /* constant */
  GFile *file;              /* of primary storage */
  BsFileDirectory *primary; /* NULL if `file` has no local path */
  gboolean temporary;       /* closing removes the directory too */
  gboolean read_only;       /* atomic: persisted paths that are opened from now on */
  guint n_forks;            /* a forked child removes no temporary directory */

  GMutex opening; /* held while a path is opened by its directory; taken first */
  GMutex mutex;

  /* under the mutex */
  GHashTable *persisted; /* char * → BsFileDirectory, opened by name */
  GPtrArray *opened;     /* of GFile, each of a directory of its own */
  gboolean closed;
  GThread *sweeper;      /* joined by the call that closes; NULL if there is none */

  GCancellable *sweeping; /* constant */
} BsFilePaths;

/* Takes `file` over. */
void             bs_file_paths_init    (BsFilePaths *self, GFile *file);
void             bs_file_paths_clear   (BsFilePaths *self);
void             bs_file_paths_close   (BsFilePaths *self);

/* Opens primary storage for a call. */
gboolean         bs_file_paths_begin   (BsFilePaths *self, GCancellable *cancellable, GError **error);
/* Opens primary storage and the directory of a persisted path for a call. */
BsFileDirectory *bs_file_paths_begin_at (BsFilePaths *self, GFile *path, GCancellable *cancellable, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Makes a directory for a persisted path, which is not opened and known to no call. */
BsFileDirectory *bs_file_paths_new_directory (BsFilePaths *self, GFile *path, gboolean read_only, GCancellable *cancellable, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Returns the path that has the directory which `file` leads to, and makes `file` its
 * name; opens the directory if no path has it. Calls are given this very object. */
GFile           *bs_file_paths_open    (BsFilePaths *self, GFile *file, gboolean *writable, GCancellable *cancellable, GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean         bs_file_paths_is_opened (BsFilePaths *self, GFile *path);
/* Drops the directory of a path as soon as no call uses it. */
void             bs_file_paths_forget  (BsFilePaths *self, GFile *path);

G_END_DECLS
