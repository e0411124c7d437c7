/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/bs-key-table-private.h"
#include "store/bs-backing-store-private.h"
#include "store/threads/bs-executor-private.h"
#include "store/threads/bs-notifier-private.h"
#include "store/threads/bs-store-operation-private.h"
#include "store/bs-task-tracker-private.h"

G_BEGIN_DECLS

#define BS_CACHE_LINE 64

#define BS_SHARD_BITS 6
#define BS_N_SHARDS (1 << BS_SHARD_BITS)

typedef struct _BsShardGroup BsShardGroup;

/* One lock covers all that is known of a key: its token, and its membership
 * in each tracked path. */
struct _BsShard
{
  _Alignas (BS_CACHE_LINE) GMutex mutex;

  /* under the mutex */
  BsShardGroup *groups;       /* owned; written atomically */
  guint n_groups;             /* a power of two, or 0; written atomically */
  guint n_tokens;
  guint n_calls;              /* short ones under way: blocking, on the waiter's thread; written atomically */
  guint n_standing;           /* operations on queues */
  BsStoreOperation *loose;               /* borrowed, nullable: see bs_key_queue_lock() */

  gpointer blocks;            /* owned; where the tokens are */
  BsToken *unused;        /* by next_unused */
};

typedef enum
{
  BS_PRIMARY_ABSENT,
  BS_PRIMARY_PRESENT,
  BS_PRIMARY_UNCERTAIN,       /* a call failed: ask the backing */
} BsPrimary;

/* Two fit a cache line. */
struct _BsToken
{
  BsKey key;
  union
  {
    BsStoreOperation *last_operation;          /* borrowed: the end of its queue, by previous; NULL where nothing is under way */
    BsToken *next_unused;
  };
  guint n_holders;
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
  BsExecutor *backing_executor;         /* owned */
  BsExecutor *task_executor;            /* owned; the same as backing_executor in a context */
  BsExecutor *commit_executor;          /* owned; likewise */
  BsTaskTracker *tracker;       /* owned */
  BsNotifier *notifier;         /* owned */

  int max_threads;              /* atomic */
  int state;                    /* atomic BsState */
  int has_seen_bad;             /* atomic: some blob at a path was found to be bad */

  BsShard *shards;              /* owned; BS_N_SHARDS of them */

  GMutex paths_mutex;
  GHashTable *paths;            /* URI → BsPath, under paths_mutex */

  GMutex operations_mutex;            /* the lock of the operations that stand on no queue */
};

static inline guint
bs_shard_index (guint64 hash)
{
  return hash >> (64 - BS_SHARD_BITS);
}

/* Tries the short way of a blocking call without a cancellable. Whatever there
 * is to say against it is left to the long way to say: FALSE where nothing was
 * done. */
gboolean bs_backing_store_call_now   (BsBackingStore *self, BsOperationKind kind, const BsKey *key, BsToken *token, BsTrackedPath *tracked,
                                      BsContent *content, gpointer *value, GError **error);

/* Lets a call in: refuses it, by answering `waiter`, where it could only wait for
 * itself, where `tracked` is not one of this store's, or where the store is
 * closed. What was let in is counted until bs_backing_store_admitted(). */
gboolean bs_backing_store_admit      (BsBackingStore *self, BsWaiter *waiter, BsOperationKind kind, const BsKey *key, BsTrackedPath *tracked);
void     bs_backing_store_admitted   (BsBackingStore *self);

G_END_DECLS
