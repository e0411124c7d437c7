/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/bs-key-table-private.h"

G_BEGIN_DECLS

#define BS_FILE_N_SHARDS 256

/* From so many files and folders on, the whole file system is synced. On ext4
 * each fsync of a small file takes a tenth to a half of a millisecond, so that
 * this many take as long as writing out some 50 MiB of others' data. */
#define BS_FILE_MANY_CHANGES 256

/* More are not remembered by name: it would take too much memory. */
#define BS_FILE_MAX_NAMES (1024 * 1024)

/* Keys that a failed sync has put into doubt. Safe to use from any thread;
 * next to nothing as long as there are none. */
typedef struct
{
  GMutex mutex;
  BsKeyTable keys;      /* under the mutex */
  gboolean all;         /* under the mutex: every key there is */
  gboolean any;         /* atomic */
} BsFileDoubts;

void     bs_file_doubts_init     (BsFileDoubts *self);
void     bs_file_doubts_clear    (BsFileDoubts *self);
void     bs_file_doubts_add      (BsFileDoubts *self, const BsKey *key);
void     bs_file_doubts_add_all  (BsFileDoubts *self);
void     bs_file_doubts_remove   (BsFileDoubts *self, const BsKey *key);
gboolean bs_file_doubts_contains (BsFileDoubts *self, const BsKey *key);
gboolean bs_file_doubts_is_all   (BsFileDoubts *self);
/* Copies the keys to a table that is all zero. */
void     bs_file_doubts_copy     (BsFileDoubts *self, BsKeyTable *keys);

/* One bit for each shard folder. */
typedef struct
{
  guint64 words[BS_FILE_N_SHARDS / 64];
} BsFileShardSet;

/* What its folder is called. */
static inline void
bs_file_shard_print_name (guint shard, char name[3])
{
  const char hex[] = "0123456789abcdef";

  name[0] = hex[shard >> 4];
  name[1] = hex[shard & 15];
  name[2] = '\0';
}

static inline void
bs_file_shard_set_add (BsFileShardSet *self, guint shard)
{
  self->words[shard / 64] |= G_GUINT64_CONSTANT (1) << shard % 64;
}

static inline void
bs_file_shard_set_remove (BsFileShardSet *self, guint shard)
{
  self->words[shard / 64] &= ~(G_GUINT64_CONSTANT (1) << shard % 64);
}

static inline gboolean
bs_file_shard_set_contains (const BsFileShardSet *self, guint shard)
{
  return (self->words[shard / 64] >> shard % 64 & 1) != 0;
}

/* What has happened in a directory since the last sync. */
typedef struct
{
  BsKeyTable linked;            /* whose content may not be durable yet */
  BsKeyTable renamed;           /* whose content is */
  BsFileShardSet changed;       /* folders with new or fewer names in them */
  BsFileShardSet made;          /* folders that are new themselves */
  gboolean quarantine;          /* something was set aside */
  gboolean root;                /* names beside the shard folders changed */
  gboolean everything;          /* more than is remembered above, or unknown */
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

/* The changes in one persisted directory, and its mark `.dirty`, which stands
 * there durably before the first blob is added after a sync, until all is
 * synced. Safe to use from any thread. */
typedef struct
{
  GMutex mutex;
  GCond cond;           /* marking has ended */

  /* under the mutex */
  BsFilePending pending;
  BsFileShardSet making;        /* folders that may be there, but are not pending yet */
  guint n_adding;
  gboolean marking;
  gboolean marked;      /* durably */
  gboolean mark_stands;
  gboolean mark_is_ours;        /* made for these changes, not found */
  int broken_code;      /* why the first of those in doubt is */

  /* Present, and not durable, whatever a later sync may say. */
  BsFileDoubts broken;
} BsFileChanges;

void     bs_file_changes_init       (BsFileChanges *self);
void     bs_file_changes_clear      (BsFileChanges *self);

/* Whether the mark stands for what is added now. */
gboolean bs_file_changes_is_marked  (BsFileChanges *self);
/* Whether the next sync is to make the blob's content durable, for all that is known. */
gboolean bs_file_changes_is_linked  (BsFileChanges *self, const BsKey *key);

/* Around the adding of a blob. Returns 0 or an errno; `fd` is the directory's. */
int      bs_file_changes_begin      (BsFileChanges *self, int fd);
void     bs_file_changes_end        (BsFileChanges *self, const BsKey *key, BsFileChange change);

/* Around the making of a shard folder, whatever comes of it. */
void     bs_file_changes_make_shard (BsFileChanges *self, guint shard);
void     bs_file_changes_made_shard (BsFileChanges *self, guint shard);

/* After they have happened. */
void     bs_file_changes_removed    (BsFileChanges *self, const BsKey *key);
void     bs_file_changes_set_aside  (BsFileChanges *self, const BsKey *key);

/* For syncs. What is taken must be settled, restored or cleared. */
void     bs_file_changes_set_unknown (BsFileChanges *self);
void     bs_file_changes_take       (BsFileChanges *self, BsFilePending *taken);
void     bs_file_changes_restore    (BsFileChanges *self, BsFilePending *taken);
void     bs_file_changes_break      (BsFileChanges *self, const BsKey *key, int code);
/* All that is there, or is added from here on: which keys that are nobody knows. */
void     bs_file_changes_break_all  (BsFileChanges *self, int code);
/* Takes the mark away if nothing speaks against it. */
void     bs_file_changes_settle     (BsFileChanges *self, int fd);

/* Whether a mark stands in the directory that is not from these changes or has
 * outlived a sync of theirs. Returns 0 or an errno. */
int      bs_file_changes_find_mark  (BsFileChanges *self, int fd, gboolean *stands);

G_END_DECLS
