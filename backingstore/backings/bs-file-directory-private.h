/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/bs-key-set.h"
#include "base/bs-key-private.h"
#include "bs-file-walk-private.h"

#include <gio/gio.h>

G_BEGIN_DECLS

/* A directory in our layout that this process has to itself: the marker that
 * says whose it is and what for, the lock, the shard folders. Safe to use from
 * any thread.
 *
 * What returns an int returns 0 or an errno; ECANCELED says that the
 * cancellable fired, EBADMSG that what stands there is not a whole blob. */
typedef struct _BsFileDirectory BsFileDirectory;

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

/* Where a blob is or would be, for the *at() functions. */
typedef struct
{
  int fd;                       /* the directory's */
  const char *name;             /* in `path` */
  guint shard;
  char path[3 + BS_KEY_HEX_LENGTH + 1];
} BsFileLocation;

/* A directory equal to `apart`, inside it, or around it is refused. */
BsFileDirectory *bs_file_directory_new            (BsFileDirectoryKind kind, const char *path, BsFileDirectory *apart) G_GNUC_WARN_UNUSED_RESULT;
BsFileDirectory *bs_file_directory_ref            (BsFileDirectory *self);
void             bs_file_directory_unref          (BsFileDirectory *self);

gboolean         bs_file_directory_open           (BsFileDirectory *self, BsFileDirectoryMode mode, GCancellable *cancellable, GError **error);
gboolean         bs_file_directory_is_open        (BsFileDirectory *self);
/* Whether the path still leads to what was opened. */
gboolean         bs_file_directory_is_current     (BsFileDirectory *self);

/* From here on the directory must be open. */
int              bs_file_directory_get_fd         (BsFileDirectory *self);
gboolean         bs_file_directory_is_scratch     (BsFileDirectory *self);
int              bs_file_directory_list           (BsFileDirectory *self, BsKeySet *found, gsize *n_foreign, GCancellable *cancellable);
/* Removes the blobs of a scratch directory, and with `whole` the directory,
 * and drops the lock. */
void             bs_file_directory_close_scratch  (BsFileDirectory *self, gboolean whole);

/* ENOENT if the shard folder is not there, and `make` not asked for. */
int              bs_file_directory_locate         (BsFileDirectory *self, const BsKey *key, gboolean make, BsFileLocation *location);
/* After ENOENT: whether the shard folder had vanished, so that it makes sense
 * to locate once more. */
gboolean         bs_file_directory_lost           (BsFileDirectory *self, const BsFileLocation *location);

/* A new file for reading and writing, beside the shard folders. */
int              bs_file_directory_make_temporary (BsFileDirectory *self, char name[BS_FILE_TEMPORARY_SIZE], int *fd);
/* Whether the process masks our own permission bits: a new file then needs fchmod(). */
gboolean         bs_file_directory_masks_owner    (BsFileDirectory *self);

void             bs_file_directory_set_error      (BsFileDirectory *self, int code, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (BsFileDirectory, bs_file_directory_unref)

G_END_DECLS
