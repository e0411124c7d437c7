/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "store/queues/bs-members-private.h"
#include "store/queues/bs-shard-private.h"
#include "store/queues/bs-tickets-private.h"
#include "store/threads/bs-store-operation-private.h"

G_BEGIN_DECLS

typedef struct _BsPath BsPath;

typedef enum
{
  BS_PATH_UNTRACKED,
  BS_PATH_TRACKED,        /* `tracked` points to the object, until that is finalized and a release follows */
  BS_PATH_UNTRACKING,     /* an untrack was asked */
} BsPathState;

/* A path, tracked or not: the object that tracks it, and the operations on the path
 * as a whole that wait for their turn.
 *
 * A path is first of all a name, by which it is asked for. Where the backing finds out
 * that the name leads to a directory that may have other names, that directory is a
 * path of its own, and the name has nothing but operations that track it. */
struct _BsPath
{
  gatomicrefcount ref_count;

  /* constant */
  GFile *file;                  /* owned; the very object that the backing is given */
  char *uri;                    /* owned; NULL where the backing has made the file: no other object stands for the path */

  guint n_pins;                 /* under the store's paths_mutex: operations that keep it in the table */

  GMutex mutex;                 /* taken under a shard's, never the other way round */

  /* under the mutex */
  BsPathState state;
  GWeakRef tracked;             /* not read under the mutex: that may run a binding's code */
  BsOperationList queue;
  BsOperationList saves;        /* the first one runs */
  BsStoreOperation *running;    /* borrowed: the READY or RUNNING one of the queue, or a TRACK of a name */
  BsStoreOperation *closing;    /* borrowed: the sync in the queue */
  BsStoreOperation *gathering;  /* owned: a sync that is not in the queue yet */
  BsTickets tickets;            /* of operations on many keys */
  BsStoreOperation *counting;   /* borrowed: the SYNC or UNTRACK that waits for tickets */
  guint n_awaited;              /* lists whose tickets it waits for */
  guint n_counts;               /* counts of awaited lists that were begun: the last one's number */
  GPtrArray *awaiting;          /* owned, nullable: names whose TRACK waits for this path */
};

/* An operation on a path as a whole. */
typedef struct
{
  BsStoreOperation operation;

  /* constant */
  BsPath *path;                 /* owned */
  BsMembers *members;           /* of the tracked path, nullable */
  gboolean pins;                /* keeps the path in the store's table */
  gboolean internal;            /* part of an earlier operation: no path refuses it */
  GBytes *root;                 /* WRITE_ROOT: owned */
  BsKeySet *named;              /* WRITE_ROOT: owned, nullable */
  gboolean find_missing;        /* CHECK */
  BsTrackedPath *found;         /* TRACK: owned; the object that tracks the path, nullable */

  guint64 *barriers;            /* SYNC: owned; the last tickets that it covers, those of the shards and the path's */
  guint count;                  /* SYNC, UNTRACK: its number, once the awaited lists were counted */
  gboolean awaits_release;      /* TRACK: the former object is being finalized */
  BsPath *awaited;              /* TRACK: borrowed, only to compare: the path behind the name that it waits for */
  GPtrArray *woken;             /* UNTRACK, RELEASE: owned, nullable; names whose TRACK waits no more */
} BsPathOperation;

/* Takes the file over. */
BsPath           *bs_path_new              (GFile *file, gboolean is_name) G_GNUC_WARN_UNUSED_RESULT;
BsPath           *bs_path_ref              (BsPath *path);
void              bs_path_unref            (BsPath *path);

/* Under the path's mutex, here and below. */

/* Makes ready the operation whose turn has come, if there is one. */
void              bs_path_queue_dispatch   (BsPath *path, BsDeferred *deferred);
/* Makes ready the operation whose turn has come, or returns a reference on it if the calling
 * thread wants it. */
BsStoreOperation *bs_path_queue_advance    (BsPath *path, BsStoreOperation *wanted, BsDeferred *deferred);
/* Takes out an operation that is done, or that every waiter has left. */
void              bs_path_queue_remove     (BsPath *path, BsStoreOperation *operation);

/* The identical operation that a new one may join, or NULL. */
BsStoreOperation *bs_path_queue_find_joinable (BsPath *path, BsOperationKind kind, BsTrackedPath *tracked);
BsStoreOperation *bs_path_queue_find_untrack  (BsPath *path);
/* The sync that covers everything asked so far: one that exists, or else `sync`. */
BsStoreOperation *bs_path_queue_obtain_sync   (BsPath *path, BsPathOperation *sync);
/* The gathering sync becomes the closing one unless another is. */
void              bs_path_queue_close_sync    (BsPath *path);
GError           *bs_path_queue_in_commit_error (BsOperationKind kind, GFile *file) G_GNUC_WARN_UNUSED_RESULT;

/* Keeps every other operation from running at an untracked path, for a TRACK of a name
 * that leads there. FALSE where one runs. */
gboolean          bs_path_queue_claim         (BsPath *path, BsStoreOperation *track);
/* Returns the names that wait for the path, to be woken with no lock held. */
GPtrArray        *bs_path_queue_unclaim       (BsPath *path, BsDeferred *deferred) G_GNUC_WARN_UNUSED_RESULT;
void              bs_path_queue_await         (BsPath *path, BsPath *name);
/* Takes the array over; no lock held. */
void              bs_path_queue_wake          (GPtrArray *names);

/* An operation on a path has a ticket from when it is asked until it is done. FALSE
 * where the path refuses new operations and this one is not internal. Under the
 * operation's lock; takes the path's mutex. */
gboolean          bs_path_take_ticket      (BsPath *path, BsMembers *members, BsStoreOperation *operation, gboolean internal);
void              bs_path_return_ticket    (BsPath *path, BsStoreOperation *operation, BsDeferred *deferred);
/* A long operation steps aside for the syncs asked since: the operations that it has
 * under way have tickets of their own. */
void              bs_path_renew_ticket     (BsPath *path, BsStoreOperation *operation, BsDeferred *deferred);
/* Returns the ticket of an operation on one key to the list of its shard, if it has one. Under
 * the shard's mutex, under which bs_tickets_append() has given the ticket. */
void              bs_path_return_key_ticket (BsPath *path, BsTickets *list, BsStoreOperation *operation, BsDeferred *deferred);

/* Counts the lists of tickets that a SYNC or UNTRACK has to wait for. FALSE if there
 * are any: the caller puts the operation back, and the last list makes it ready.
 * Called with no lock held; takes the shards' mutexes and returns with the path's
 * locked. */
gboolean          bs_path_count_awaited_and_lock (BsPathOperation *self);
/* Boosts everything that a SYNC, UNTRACK or save waits for. An operation that steps
 * aside is boosted for an untrack only. No lock held. */
void              bs_path_boost_tickets    (BsPath *path, BsMembers *members, BsOperationKind kind, int priority);

/* Saves of a path have a queue of their own and no tickets: a sync does not wait for
 * them, since they sync themselves; an untrack does. */

/* Makes the save READY if it is the first one. */
void              bs_path_queue_save       (BsPath *path, BsStoreOperation *operation);
void              bs_path_remove_save      (BsPath *path, BsStoreOperation *operation, BsDeferred *deferred);

G_END_DECLS
