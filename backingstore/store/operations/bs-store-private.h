/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "base/bs-backing.h"
#include "base/bs-fork-private.h"
#include "store/operations/bs-request-private.h"
#include "store/queues/bs-key-queue-private.h"
#include "store/queues/bs-members-private.h"
#include "store/queues/bs-path-queue-private.h"
#include "store/queues/bs-shard-private.h"
#include "store/threads/bs-executor-private.h"
#include "store/threads/bs-notifier-private.h"
#include "store/threads/bs-store-operation-private.h"
#include "store/threads/bs-task-count-private.h"

G_BEGIN_DECLS

/* The store's objects as the operations see them. */

typedef enum
{
  BS_STATE_OPEN,
  BS_STATE_CLOSING,             /* no new work; operations asked before go on */
  BS_STATE_RELEASING,           /* the paths and the backing are being closed; the store may open again */
  BS_STATE_CLOSED,
} BsState;

struct _BsBackingStore
{
  GObject parent_instance;

  /* constant after construction */
  BsBacking *backing;           /* owned */
  GMainContext *main_context;   /* owned, nullable */
  BsExecutor *backing_executor; /* owned */
  BsExecutor *function_executor;  /* owned; the same as backing_executor in a context */
  BsExecutor *commit_executor;  /* owned; likewise */
  struct _BsTaskTracker *tracker; /* owned */
  BsTaskCount *count;           /* borrowed: the tracker's */
  BsNotifier *notifier;         /* owned */
  guint background_error;       /* the signal */
  BsStoreOperation *(*prepare) (BsBackingStore *self, const BsRequest *request, BsWaiter *waiter, BsKeyOperation *memory);
  void (*discard) (const BsRequest *request);
  void (*expect_deletion) (BsBackingStore *self, BsDeferred *deferred);
  BsTrackedPath *(*new_tracked_path) (BsBackingStore *self, BsPath *path, GFile *file, gboolean writable, const BsKeyTable *found);

  guint n_forks;                /* of the process that made it: a child leaves everything as it is */

  int max_threads;              /* atomic */
  int thread_nice;              /* atomic */
  int state;                    /* atomic BsState */
  int corruption_seen;          /* atomic: some blob at a path was found to be bad, or one in primary storage to be gone */

  BsShard *shards;              /* owned; BS_N_SHARDS of them */

  GMutex paths_mutex;
  GHashTable *paths;            /* set of BsPath, under paths_mutex */

  GMutex operations_mutex;      /* the lock of the operations that are in no queue */
  GQueue loads;                 /* of BsLoad, borrowed, under operations_mutex */

  /* Written by deletions: apart from the cache lines that every operation reads. */
  guint8 unused[BS_CACHE_LINE];
  int is_deletion_expected;     /* atomic: one has not begun, and is to look at all dropped tokens */
  int n_deletions;              /* atomic: those that have begun */
  gint64 deletion_pause;        /* constant but for tests; in microseconds */
  gint64 deletion_due;          /* atomic: the end of the pause of the expected one, monotonic */
};

/* Is told of each key that comes to a tracked path or goes. */
typedef struct _BsPathWatch BsPathWatch;
struct _BsPathWatch
{
  /* Called under the key's shard's mutex and the path's watches_mutex. */
  void (*key_changed) (BsPathWatch *watch, const BsKey *key);

  GList link;                   /* zeroed; under the path's watches_mutex */
};

struct _BsTrackedPath
{
  GObject parent_instance;

  /* constant */
  BsBackingStore *store;        /* owned */
  BsPath *path;                 /* owned */
  GPtrArray *names;             /* owned; all files that it ever had, which callers may have borrowed: under the path's mutex */

  GFile *file;                  /* atomic; borrowed from `names`: the last name. The backing is given the path's file */
  int writable;                 /* atomic */
  int moved;                    /* atomic: the name leads elsewhere */

  BsMembers members;

  GMutex watches_mutex;
  GQueue watches;               /* of BsPathWatch, borrowed; under the mutex */
  int n_watches;                /* atomic */

  int n_keys_pending;           /* atomic: a notification is under way */
  int closed;                   /* atomic */
};

/* The last name of the path, for messages; nullable. */
static inline GFile *
bs_tracked_path_peek_file (BsTrackedPath *self)
{
  return self != NULL ? g_atomic_pointer_get (&self->file) : NULL;
}

/* The path of a request, for messages; nullable. */
static inline GFile *
bs_request_get_file (const BsRequest *request)
{
  if (request->kind == BS_KIND_TRACK)
    return request->file;

  return bs_tracked_path_peek_file (request->tracked);
}

/* A forked child of the process that made the store: other threads may have held any of
 * its locks, and none of them exists. */
static inline gboolean
bs_store_is_in_child (BsBackingStore *store)
{
  return G_UNLIKELY (store->n_forks != bs_n_forks);
}

/* Whether a call of the backing has ended early since the cancellable has fired. */
static inline gboolean
bs_is_cancellation (const GError *error,
                    GCancellable *cancellable)
{
  return g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED) &&
         g_cancellable_is_cancelled (cancellable);
}

/* Emits background-error in the store's owner context. Takes `error` over. */
static inline void
bs_store_report (BsBackingStore *store, const BsKey *key, BsOperation operation, GError *error)
{
  bs_notifier_report (store->notifier, G_OBJECT (store), store->background_error, key, operation, error);
}

static inline BsShard *
bs_store_get_shard (BsBackingStore *store, guint64 hash)
{
  return &store->shards[bs_shard_index (hash)];
}

G_END_DECLS
