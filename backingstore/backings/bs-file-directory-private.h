/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/bs-key-private.h"
#include "bs-file-changes-private.h"
#include "bs-file-claim-private.h"
#include "bs-file-digest-private.h"

G_BEGIN_DECLS

/* A directory in our layout that this process has to itself: the claim on it,
 * its shard folders, and what is known of the files in it. Safe to use from any
 * thread.
 *
 * What returns an int returns 0 or an errno; ECANCELED says that the
 * cancellable fired, EBADMSG that what stands there is not a whole regular file,
 * EILSEQ that it is not what was written. */
typedef struct _BsFileDirectory BsFileDirectory;

/* What the backing's statistics are made of. */
typedef enum
{
  BS_FILE_COUNT_LINKED,
  BS_FILE_COUNT_REFLINKED,
  BS_FILE_COUNT_COPIED,
  BS_FILE_COUNT_CROSS_DEVICE,
  BS_FILE_COUNT_NOT_PERMITTED,
  BS_FILE_COUNT_TOO_MANY_LINKS,
  BS_FILE_COUNT_NOT_SUPPORTED,
  BS_FILE_COUNT_REWRITTEN,
  BS_FILE_COUNT_QUARANTINED,
  BS_FILE_COUNT_FOREIGN,
  BS_FILE_N_COUNTS
} BsFileCount;

/* Where a blob is or would be, for the *at() functions. All zero at first. */
typedef struct
{
  int fd;                       /* the directory's */
  gboolean owned;               /* whether `fd` is for this location alone */
  const char *name;             /* in `path` */
  guint shard;
  char path[3 + BS_KEY_HEX_LENGTH + 1];
} BsFileLocation;

void             bs_file_location_clear           (BsFileLocation *self);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (BsFileLocation, bs_file_location_clear)

/* `apart` is where the scratch files are, for a persisted directory. */
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
BsFileChanges   *bs_file_directory_get_changes    (BsFileDirectory *self);
/* Keys whose scratch files failed to become durable somewhere. */
BsFileDoubts    *bs_file_directory_get_suspects   (BsFileDirectory *self);
/* Keys whose scratch files a failed write could not remove. */
BsFileDoubts    *bs_file_directory_get_torn       (BsFileDirectory *self);
/* Opens what is in one of its folders for reading, or returns -1 with errno. */
int              bs_file_directory_open_file      (BsFileDirectory *self, int fd, const char *name);
/* The scratch directory that belongs to a persisted one, or NULL. */
BsFileDirectory *bs_file_directory_get_apart      (BsFileDirectory *self);
/* Whether a file can be in both at once. */
gboolean         bs_file_directory_shares_files   (BsFileDirectory *self, BsFileDirectory *other);

/* Whether a new file should be hashed. */
gboolean         bs_file_directory_takes_digests  (BsFileDirectory *self);
/* Gives a new file its digest, if there is one and the file system has a place for it. */
int              bs_file_directory_seal           (BsFileDirectory *self, int fd, const BsFileDigest *digest);
/* Whether there may be blobs in it without a digest. */
gboolean         bs_file_directory_lacks_digests  (BsFileDirectory *self);

void             bs_file_directory_count          (BsFileDirectory *self, BsFileCount what, gsize n);
gsize            bs_file_directory_get_count      (BsFileDirectory *self, BsFileCount what);

/* Removes the blobs of a scratch directory, and with `whole` the directory,
 * and drops the lock. */
void             bs_file_directory_close_scratch  (BsFileDirectory *self, gboolean whole);

/* ENOENT if the shard folder is not there, and `make` not asked for. */
int              bs_file_directory_locate         (BsFileDirectory *self, const BsKey *key, gboolean make, BsFileLocation *location);
/* After ENOENT: whether the shard folder had vanished, so that it makes sense
 * to locate once more. */
gboolean         bs_file_directory_lost           (BsFileDirectory *self, const BsFileLocation *location);
/* Whether a shard folder is not where it was opened: what went into it is elsewhere.
 * The next call goes to the one that is there. */
gboolean         bs_file_directory_has_moved      (BsFileDirectory *self, guint shard);

/* Before so much is written into a new file: an error if there is no room. */
int              bs_file_directory_reserve        (BsFileDirectory *self, int fd, gsize size);

/* Whether the process masks our own permission bits: a new file then needs fchmod(). */
gboolean         bs_file_directory_masks_owner    (BsFileDirectory *self);

void             bs_file_directory_set_error      (BsFileDirectory *self, int code, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (BsFileDirectory, bs_file_directory_unref)

G_END_DECLS
