/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

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
} BsFileDirectoryMode;

/* What makes a directory ours: the marker that says whose it is and what for,
 * and the lock. Constant once it is taken. */
typedef struct
{
  BsFileDirectoryKind kind;
  char *path;
  int fd;                       /* or -1 */
  int lock_fd;                  /* or -1 */
  pid_t owner;                  /* a forked child has no say */
  struct stat identity;
  /* FALSE in a scratch directory that held blobs before it was ours: they may
   * be somebody's only copy, so it is never emptied. */
  gboolean marked;
} BsFileClaim;

void     bs_file_claim_init       (BsFileClaim *self, BsFileDirectoryKind kind, const char *path);
void     bs_file_claim_clear      (BsFileClaim *self);

/* A directory equal to `apart`, inside it, or around it is refused. What is
 * refused is not touched. */
gboolean bs_file_claim_take       (BsFileClaim *self, const BsFileClaim *apart, BsFileDirectoryMode mode, GCancellable *cancellable, GError **error);
void     bs_file_claim_drop       (BsFileClaim *self);
/* Whether the path still leads to what was taken. */
gboolean bs_file_claim_is_current (const BsFileClaim *self);

/* For an errno of ours or of the system's, about something in the directory. */
void     bs_file_claim_set_error  (const BsFileClaim *self, int code, GError **error);

/* For an errno of the system's: a quota that is used up is a full disk to its user. */
GIOErrorEnum bs_file_get_error_code (int code);

G_END_DECLS
