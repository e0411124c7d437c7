/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-file-lock-private.h"

#include <gio/gio.h>
#include <sys/stat.h>

G_BEGIN_DECLS

typedef enum
{
  BS_FILE_DIRECTORY_SCRATCH,
  BS_FILE_DIRECTORY_PERSISTED,
} BsFileDirectoryKind;

typedef enum
{
  BS_FILE_DIRECTORY_MARKED,     /* only if it has its marker already */
  BS_FILE_DIRECTORY_ADOPT,      /* or can be made, is empty, or is in our layout */
  BS_FILE_DIRECTORY_REPAIR,     /* or has a damaged marker, or blobs beside other files */
} BsFileDirectoryMode;

/* The right of this process to a directory: its marker and its lock. Constant once it
 * is taken. */
typedef struct
{
  BsFileDirectoryKind kind;
  char *path;                   /* atomic: the name that leads there */
  GPtrArray *old_paths;         /* names before it, which others may still be reading */
  int fd;                       /* or -1 */
  BsFileLock lock;
  gboolean read_only;           /* nothing in a persisted directory is to be changed */
  int refusal;                  /* atomic: errno for changes of a persisted directory that can't be written, or 0 */
  guint n_forks;                /* a forked child changes nothing */
  gboolean found_unmarked;      /* without a marker, or with a damaged one */
  struct stat identity;
  /* FALSE in a scratch directory that held blobs without a marker: they may be
   * somebody's only copy, so that it is never emptied. */
  gboolean marked;
} BsFileClaim;

void     bs_file_claim_init       (BsFileClaim *self, BsFileDirectoryKind kind, const char *path);
void     bs_file_claim_clear      (BsFileClaim *self);

/* Refuses a directory equal to `apart`, inside it, or around it, and touches nothing
 * then. */
gboolean bs_file_claim_take       (BsFileClaim *self, const BsFileClaim *apart, BsFileDirectoryMode mode, GCancellable *cancellable, GError **error);
void     bs_file_claim_drop       (BsFileClaim *self);
/* Takes a directory once more, whose descriptor keeps its number: a directory that could not
 * be written, by a name that allows it, or a new directory in the place of a removed one. One
 * thread at a time. */
gboolean bs_file_claim_take_again (BsFileClaim *self, const char *path, GError **error);
gboolean bs_file_claim_replace    (BsFileClaim *self);
/* Marks a directory that has lost its marker. Fails where the marker is no longer ours: no
 * store could open the directory again. */
gboolean bs_file_claim_renew_marker (BsFileClaim *self, GError **error);
/* Takes a lock that was lost once more, and does the same. */
gboolean bs_file_claim_renew_lock (BsFileClaim *self, GError **error);

static inline const char *
bs_file_claim_get_path (const BsFileClaim *self)
{
  return __atomic_load_n (&self->path, __ATOMIC_ACQUIRE);
}

/* Gives the directory another name. One thread at a time. */
void     bs_file_claim_set_path   (BsFileClaim *self, const char *path);
/* Returns 0 if the name leads to the directory, and the lock in it is ours; ESTALE if the
 * name leads elsewhere; ENOLCK if the lock is lost; another errno if that can't be found
 * out. */
int      bs_file_claim_check      (const BsFileClaim *self);

/* For an errno of the library or the system, about a file in the directory. */
void     bs_file_claim_set_error  (const BsFileClaim *self, int code, GError **error);

/* A used-up quota is a full disk to its user. */
GIOErrorEnum bs_file_get_error_code (int code);

G_END_DECLS
