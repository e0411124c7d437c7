/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/bs-key-table-private.h"
#include "bs-backing-store-private.h"
#include "bs-lane-private.h"
#include "bs-notifier-private.h"
#include "bs-job-private.h"
#include "bs-task-tracker-private.h"

G_BEGIN_DECLS

#define BS_CACHE_LINE 64

#define BS_SHARD_BITS 6
#define BS_N_SHARDS (1 << BS_SHARD_BITS)

typedef struct _BsShardGroup BsShardGroup;

/* One lock covers all that is known of a key: its record, and its membership
 * in each tracked path. */
struct _BsShard
{
  _Alignas (BS_CACHE_LINE) GMutex mutex;

  /* under the mutex */
  BsShardGroup *groups;       /* owned; written atomically */
  guint n_groups;             /* a power of two, or 0; written atomically */
  guint n_records;
  guint n_calls;              /* short ones under way: blocking, on the caller's thread; written atomically */
  guint n_standing;           /* jobs on strands */
  BsJob *loose;               /* borrowed, nullable: see bs_strand_lock() */

  gpointer blocks;            /* owned; where the records are */
  BsKeyRecord *unused;        /* by next_unused */
};

typedef enum
{
  BS_PRIMARY_ABSENT,
  BS_PRIMARY_PRESENT,
  BS_PRIMARY_UNCERTAIN,       /* a call failed: ask the backing */
} BsPrimary;

/* Two fit a cache line. */
struct _BsKeyRecord
{
  BsKey key;
  union
  {
    BsJob *last_job;          /* borrowed: the end of its strand, by previous; NULL where nothing is under way */
    BsKeyRecord *next_unused;
  };
  guint n_tokens;
  guint8 primary;             /* BsPrimary */
};

typedef enum
{
  BS_STATE_OPEN,
  BS_STATE_CLOSING,           /* no new work; what was asked goes on */
  BS_STATE_CLOSED,
} BsState;

struct _BsBackingStore
{
  GObject parent_instance;

  /* constant after construction */
  BsBacking *backing;           /* owned */
  GMainContext *main_context;   /* owned, nullable */
  BsLane *backing_lane;         /* owned */
  BsLane *task_lane;            /* owned; the same as backing_lane in a context */
  BsLane *commit_lane;          /* owned; likewise */
  BsTaskTracker *tracker;       /* owned */
  BsNotifier *notifier;         /* owned */

  int max_threads;              /* atomic */
  int state;                    /* atomic BsState */
  int has_seen_bad;             /* atomic: some blob at a path was found to be bad */

  BsShard *shards;              /* owned; BS_N_SHARDS of them */

  GMutex paths_mutex;
  GHashTable *paths;            /* URI → BsPath, under paths_mutex */

  GMutex jobs_mutex;            /* the lock of the jobs that stand on no strand */
};

static inline guint
bs_shard_index (guint64 hash)
{
  return hash >> (64 - BS_SHARD_BITS);
}

/* Tries the short way of a blocking call without a cancellable. Whatever there
 * is to say against it is left to the long way to say: FALSE where nothing was
 * done. */
gboolean bs_backing_store_call_now   (BsBackingStore *self, BsJobKind kind, const BsKey *key, BsKeyRecord *record, BsTrackedPath *tracked,
                                      BsContent *content, gpointer *value, GError **error);

/* Lets a call in: refuses it, by answering `caller`, where it could only wait for
 * itself, where `tracked` is not one of this store's, or where the store is
 * closed. What was let in is counted until bs_backing_store_admitted(). */
gboolean bs_backing_store_admit      (BsBackingStore *self, BsCaller *caller, BsJobKind kind, const BsKey *key, BsTrackedPath *tracked);
void     bs_backing_store_admitted   (BsBackingStore *self);

G_END_DECLS
