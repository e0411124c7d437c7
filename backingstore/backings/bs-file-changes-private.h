/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "base/bs-byte-set-private.h"
#include "base/bs-key-table-private.h"
#include "bs-file-shards-private.h"

G_BEGIN_DECLS

/* From so many files and folders on, one syncfs() replaces their fsyncs. On ext4 an
 * fsync of a small file takes a tenth to a half of a millisecond, so that this many
 * take as long as writing out some 50 MiB of others' data. */
#define BS_FILE_MANY_CHANGES 256

/* More keys are not remembered one by one: they would take too much memory. */
#define BS_FILE_MAX_NAMES (1024 * 1024)

/* Keys with a failed call. Safe to use from any thread; an empty one costs an
 * atomic read. */
typedef struct
{
  GMutex mutex;
  BsKeyTable keys;      /* under the mutex */
  gboolean all;         /* under the mutex: every key there is */
  gboolean any;         /* atomic */
} BsFileKeys;

void     bs_file_keys_init     (BsFileKeys *self);
void     bs_file_keys_clear    (BsFileKeys *self);
void     bs_file_keys_add      (BsFileKeys *self, const BsKey *key);
void     bs_file_keys_add_all  (BsFileKeys *self);
void     bs_file_keys_remove   (BsFileKeys *self, const BsKey *key);
gboolean bs_file_keys_contains (BsFileKeys *self, const BsKey *key);
gboolean bs_file_keys_is_all   (BsFileKeys *self);
/* `keys` must be all zero. */
void     bs_file_keys_copy     (BsFileKeys *self, BsKeyTable *keys);

/* Changes in a directory since the last sync. */
typedef struct
{
  BsKeyTable linked;            /* the content may not be durable yet */
  BsKeyTable renamed;           /* the content is durable, the name is not */
  BsByteSet changed;       /* folders with new or fewer names in them */
  BsByteSet made;          /* folders that are new themselves */
  gboolean quarantine;          /* a blob was set aside */
  gboolean root;                /* names beside the shard folders changed */
  gboolean everything;          /* changes that are not remembered above */
} BsFilePending;

typedef enum
{
  BS_FILE_CHANGE_NONE,
  BS_FILE_CHANGE_LINKED,
  BS_FILE_CHANGE_RENAMED,
} BsFileChange;

void     bs_file_pending_clear   (BsFilePending *self);
void     bs_file_pending_add     (BsFilePending *self, const BsKey *key, BsFileChange change);
gboolean bs_file_pending_is_many (const BsFilePending *self);

/* The changes in one persisted directory, and its mark `.dirty`: the mark is durable
 * before the first blob is added after a sync, and stands until all is synced. Safe to
 * use from any thread. */
typedef struct
{
  GMutex mutex;
  GCond cond;           /* signalled when marking ends */

  /* under the mutex */
  BsFilePending pending;
  BsByteSet making;        /* folders that may be there, but are not pending yet */
  guint n_adding;
  gboolean marking;
  gboolean marked;      /* durably */
  gboolean mark_stands;
  gboolean mark_is_ours;        /* made for these changes, not found */
  int failed_code;      /* errno of the first failed key */

  /* Keys at the path that are not durable, even if a later sync succeeds. */
  BsFileKeys failed;
} BsFileChanges;

void     bs_file_changes_init       (BsFileChanges *self);
void     bs_file_changes_clear      (BsFileChanges *self);

/* Whether the mark stands for a blob that is added now. */
gboolean bs_file_changes_is_marked  (BsFileChanges *self);
/* Whether blobs have come into the shard folder, or gone, since the last sync. */
gboolean bs_file_changes_is_changed (BsFileChanges *self, guint shard);
/* Whether the blob's content may wait for the next sync. */
gboolean bs_file_changes_is_linked  (BsFileChanges *self, const BsKey *key);

/* Called before and after a blob is added. Returns 0 or an errno; `fd` is the directory's. */
int      bs_file_changes_begin      (BsFileChanges *self, int fd);
void     bs_file_changes_end        (BsFileChanges *self, const BsKey *key, BsFileChange change);

/* Called before and after a shard folder is made, even without success. */
void     bs_file_changes_make_shard (BsFileChanges *self, guint shard);
void     bs_file_changes_made_shard (BsFileChanges *self, guint shard);

/* Called after the change. */
void     bs_file_changes_removed    (BsFileChanges *self, const BsKey *key);
void     bs_file_changes_set_aside  (BsFileChanges *self, const BsKey *key);

/* For syncs: taken changes must be restored or cleared. */
void     bs_file_changes_set_unknown (BsFileChanges *self);
void     bs_file_changes_take       (BsFileChanges *self, BsFilePending *taken);
void     bs_file_changes_restore    (BsFileChanges *self, BsFilePending *taken);
void     bs_file_changes_fail      (BsFileChanges *self, const BsKey *key, int code);
/* Fails every key at the path or added later, since the error names none. */
void     bs_file_changes_fail_all  (BsFileChanges *self, int code);
/* Removes the mark if all is synced. */
void     bs_file_changes_settle     (BsFileChanges *self, int fd);

/* Whether a mark stands that these changes did not make. Returns 0 or an errno. */
int      bs_file_changes_find_mark  (BsFileChanges *self, int fd, gboolean *stands);

G_END_DECLS
