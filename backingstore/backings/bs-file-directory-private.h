/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "base/bs-key-private.h"
#include "bs-file-changes-private.h"
#include "bs-file-claim-private.h"
#include "bs-file-digests-private.h"
#include "bs-file-slots-private.h"
#include "bs-file-walk-private.h"

G_BEGIN_DECLS

/* A directory in our layout that this process has to itself: the claim on it, its shard
 * folders, and which files need care. Safe to use from any thread.
 *
 * A function that returns an int returns 0 or an errno: ECANCELED if the cancellable
 * fired, EBADMSG if the blob is not a whole regular file, EILSEQ if its content is not
 * the one that was written. */
typedef struct _BsFileDirectory BsFileDirectory;

/* The counts behind the backing's statistics. */
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

/* The place of a blob for the *at() functions. All zero at first. */
typedef struct
{
  int fd;                       /* the directory's */
  gboolean owned;               /* whether `fd` is for this location alone */
  const char *name;             /* in `path` */
  guint shard;
  char path[3 + BS_KEY_HEX_LENGTH + 1];
} BsFileLocation;

#define BS_FILE_SIBLING_SIZE (3 + BS_FILE_TEMPORARY_SIZE)

void             bs_file_location_clear           (BsFileLocation *self);
/* Makes a name for a temporary file in the blob's own folder. */
void             bs_file_location_make_sibling    (const BsFileLocation *self, char name[BS_FILE_SIBLING_SIZE]);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (BsFileLocation, bs_file_location_clear)

/* Of each shard folder, as it was just before it was last listed. Not thread-safe. */
typedef struct
{
  gint64 modified[BS_FILE_N_SHARDS]; /* 0 if the next change may leave the same time */
  gint64 changed[BS_FILE_N_SHARDS];  /* its names, times, mode or place */
  ino_t inodes[BS_FILE_N_SHARDS];
} BsFileShardTimes;

/* `apart` is the scratch directory that belongs to a persisted one, else NULL. */
BsFileDirectory *bs_file_directory_new            (BsFileDirectoryKind kind, const char *path, BsFileDirectory *apart) G_GNUC_WARN_UNUSED_RESULT;
/* Before it is opened: nothing is changed in a persisted directory. */
void             bs_file_directory_set_read_only  (BsFileDirectory *self);
gboolean         bs_file_directory_is_read_only   (BsFileDirectory *self);
BsFileDirectory *bs_file_directory_ref            (BsFileDirectory *self);
void             bs_file_directory_unref          (BsFileDirectory *self);

gboolean         bs_file_directory_open           (BsFileDirectory *self, BsFileDirectoryMode mode, GCancellable *cancellable, GError **error);
gboolean         bs_file_directory_is_open        (BsFileDirectory *self);

/* The functions below need an open directory. */
/* Fails in a forked child of the process that opened the directory. */
gboolean         bs_file_directory_check_fork     (BsFileDirectory *self, GError **error);
gboolean         bs_file_directory_is_same        (BsFileDirectory *self, const struct stat *status);
/* Whether it had no marker, or a damaged one, when it was opened. */
gboolean         bs_file_directory_was_unmarked   (BsFileDirectory *self);
/* Gives the directory another name, by which it may be writable. */
gboolean         bs_file_directory_set_path       (BsFileDirectory *self, const char *path, GError **error);
/* Whether the name leads to the open directory. */
gboolean         bs_file_directory_is_current     (BsFileDirectory *self);
/* Sets BS_ERROR_MOVED if the name leads elsewhere, now or at the last check. */
gboolean         bs_file_directory_check_moved    (BsFileDirectory *self, GError **error);
/* Marks a directory again that has lost its marker. Fails where the marker is not ours. */
gboolean         bs_file_directory_check_marker   (BsFileDirectory *self, GError **error);
/* Returns 0, or an errno if nothing in the directory can be changed. */
int              bs_file_directory_get_refusal    (BsFileDirectory *self);
/* Sets BS_ERROR_MOVED if the last check has found the directory moved, or another error if
 * nothing in the directory can be changed. */
gboolean         bs_file_directory_check_change   (BsFileDirectory *self, GError **error);
int              bs_file_directory_get_fd         (BsFileDirectory *self);
/* The permissions of new files in a persisted directory. */
mode_t           bs_file_directory_get_mode       (BsFileDirectory *self);
/* Whether new files belong to others too: then a blob must be a new file, not a link. */
gboolean         bs_file_directory_gives_owner    (BsFileDirectory *self);
gboolean         bs_file_directory_is_scratch     (BsFileDirectory *self);
BsFileShardTimes *bs_file_directory_get_shard_times (BsFileDirectory *self);
BsFileChanges   *bs_file_directory_get_changes    (BsFileDirectory *self);
/* Keys whose scratch files the disk may not have whole: a sync of them failed. */
BsFileKeys    *bs_file_directory_get_uncertain   (BsFileDirectory *self);
/* Keys whose files in scratch are the rest of a failed write. */
BsFileKeys    *bs_file_directory_get_failed_writes       (BsFileDirectory *self);
/* Where small blobs of a scratch directory stand; NULL in one that is not ours to empty. */
BsFileSlots   *bs_file_directory_get_slots       (BsFileDirectory *self);
/* How many free parts of scratch have made room so far. */
guint          bs_file_directory_get_n_given     (BsFileDirectory *self);
/* Whether a call has found the disk full, and free slots of scratch have made room since there
 * were so many: another attempt of the call makes sense. */
gboolean       bs_file_directory_makes_room      (BsFileDirectory *self, guint n_given, int code);
/* Digests of files in scratch that were never permanent. */
BsFileDigests *bs_file_directory_get_digests     (BsFileDirectory *self);
/* Keys whose files in scratch the kernel has copied: their digests are not known. */
BsFileKeys    *bs_file_directory_get_unhashed    (BsFileDirectory *self);
/* Keys with files in scratch. */
BsFileKeys    *bs_file_directory_get_files       (BsFileDirectory *self);
/* Opens a file of one of its folders for reading, or returns -1 with errno. */
int              bs_file_directory_open_file      (BsFileDirectory *self, int fd, const char *name);
/* The scratch directory that belongs to a persisted one, or NULL. */
BsFileDirectory *bs_file_directory_get_apart      (BsFileDirectory *self);
/* Whether a file can be in both at once. */
gboolean         bs_file_directory_shares_files   (BsFileDirectory *self, BsFileDirectory *other);

/* Whether a new file should be hashed. */
gboolean         bs_file_directory_takes_digests  (BsFileDirectory *self);
/* Gives a new file its digest where the file system takes one. */
int              bs_file_directory_seal           (BsFileDirectory *self, int fd, const BsFileDigest *digest);
/* Whether blobs in it may have no digest. */
gboolean         bs_file_directory_lacks_digests  (BsFileDirectory *self);

void             bs_file_directory_count          (BsFileDirectory *self, BsFileCount which, gsize n);
gsize            bs_file_directory_get_count      (BsFileDirectory *self, BsFileCount which);

/* Removes the blobs of a scratch directory, with `whole` also the directory, and drops
 * the lock. */
void             bs_file_directory_close_scratch  (BsFileDirectory *self, gboolean whole, GCancellable *cancellable);
/* Whether an earlier process left blobs in a scratch directory. */
gboolean         bs_file_directory_has_leftovers  (BsFileDirectory *self);
/* Removes the blobs of an earlier process, while the directory is in use. */
void             bs_file_directory_sweep          (BsFileDirectory *self, GCancellable *cancellable);

/* Whether another machine may use the remains of an interrupted run. */
gboolean         bs_file_directory_spares_leftovers (BsFileDirectory *self);

/* Returns ENOENT if the shard folder is missing and `make` FALSE. */
int              bs_file_directory_locate         (BsFileDirectory *self, const BsKey *key, gboolean make, BsFileLocation *location);
/* After ENOENT: whether the shard folder has vanished, so that another attempt at
 * locating makes sense. */
gboolean         bs_file_directory_lost           (BsFileDirectory *self, const BsFileLocation *location);
/* The descriptor of a shard folder, for asking about it alone: -1 where none is held. */
int              bs_file_directory_peek_shard     (BsFileDirectory *self, guint shard);
/* Whether a shard folder was moved away, with blobs in it. The next call opens the
 * folder that has its name. */
gboolean         bs_file_directory_has_moved      (BsFileDirectory *self, guint shard);

/* Reserves room before so much is written into a new file. */
int              bs_file_directory_reserve        (BsFileDirectory *self, int fd, goffset size);

/* Whether the umask masks the owner's bits: a new file then needs fchmod(). */
gboolean         bs_file_directory_masks_owner    (BsFileDirectory *self);

void             bs_file_directory_set_error      (BsFileDirectory *self, int code, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (BsFileDirectory, bs_file_directory_unref)

G_END_DECLS
