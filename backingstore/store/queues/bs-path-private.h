/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "store/threads/bs-store-operation-private.h"
#include "store/operations/bs-store-private.h"
#include "store/queues/bs-tickets-private.h"

G_BEGIN_DECLS

/* All that is known of a path, whether somebody tracks it just now or not: who
 * tracks it, which operations on it are under way, and what of its own (scans,
 * syncs, releases) waits for its turn. */

BsPath    *bs_path_ref            (BsPath *path);
void       bs_path_unref          (BsPath *path);

void       bs_path_start_track    (BsBackingStore *store, GFile *file, BsWaiter *waiter);
/* SYNC, UNTRACK, LOAD_ROOT */
void       bs_path_start          (BsOperationKind kind, BsTrackedPath *tracked, BsWaiter *waiter);
void       bs_path_start_write_root (BsTrackedPath *tracked, GBytes *root, BsWaiter *waiter);
/* The tracked path is being finalized. */
void       bs_path_start_release  (BsPath *path, BsBackingStore *store);

/* An operation on a path has a ticket from when it is asked until it is done.
 * Under the operation's lock. FALSE where the path is closed, or about to be; not for
 * what is part of something asked earlier. */
gboolean   bs_path_take_ticket    (BsStoreOperation *operation, gboolean inner);
void       bs_path_return_ticket  (BsStoreOperation *operation, BsDeferred *deferred);
/* The same for an operation on one key, whose lock is the shard's. */
gboolean   bs_path_take_key_ticket   (BsStoreOperation *operation, guint shard, gboolean inner);
void       bs_path_return_key_ticket (BsStoreOperation *operation, guint shard, BsDeferred *deferred);
/* What takes long steps aside for the syncs that were asked since: what it has
 * under way has tickets of its own. */
void       bs_path_renew_ticket   (BsStoreOperation *operation, BsDeferred *deferred);

/* Saves of a path stand in a queue of their own, and have no tickets: a sync
 * does not wait for them, since they sync themselves; an untrack does. */

/* The lock of a save's operation. */
GMutex    *bs_path_get_save_lock  (BsPath *path);
/* Under that lock. FALSE where the path is closed, or about to be. Else the operation
 * is READY if there is none before it. */
gboolean   bs_path_queue_save     (BsStoreOperation *operation);
/* What the saves there have under way gets at least that priority. No lock held. */
void       bs_path_lend_to_saves  (BsTrackedPath *tracked, int priority);
/* Under that lock: it is done, or was left before its turn. */
void       bs_path_remove_save    (BsStoreOperation *operation, BsDeferred *deferred);

/* Of BsTrackedPath, of those that are tracked now. */
GPtrArray *bs_path_list_tracked   (BsBackingStore *store);
/* The store closes: every tracked path is released and closed. Nothing else runs. */
void       bs_path_release_all    (BsBackingStore *store, GCancellable *cancellable, GError **error);

/* Where a key stands at a tracked path. Under the shard's mutex. */
typedef enum
{
  BS_MEMBER_NO,
  BS_MEMBER_YES,
  BS_MEMBER_UNCERTAIN,
} BsMembership;

/* What a tracked path knows of the keys of one shard, under that shard's mutex. */
typedef struct
{
  _Alignas (BS_CACHE_LINE) BsKeyTable members;
  BsTickets tickets;
  BsKeyTable uncertain;
  BsKeyTable pinned;            /* a running save names them */
  BsKeyTable added;             /* and nobody else has asked for them to be here */
  BsKeyTable claimed;           /* somebody has asked for them to be here, before a save's turn */
  BsKeyTable doomed;            /* a running save is to delete them, and nobody has asked for them to be here since */

  gboolean in_doubt;            /* a sync has failed */
  guint64 last_doubted;         /* ticket in the list above, when it had */
  guint64 last_doubted_bulk;    /* likewise, in the path's own list */
  BsKeyTable redone;            /* keys that were persisted or deleted with a later one */
} BsPathShard;

struct _BsTrackedPath
{
  GObject parent_instance;

  /* constant */
  BsBackingStore *store;        /* owned */
  BsPath *path;                 /* owned */
  GFile *file;                  /* owned */

  BsPathShard *shards;          /* owned; BS_N_SHARDS of them */

  int n_awaiting_turn;          /* atomic: saves that were run and have not had their turn */
  int disturbed;                /* atomic: what is pinned may be here no longer, or not durably */

  int n_keys_pending;           /* atomic: a notification is under way */
  int refusing;                 /* atomic; written under the path's mutex: no new operations */
  int closed;                   /* atomic */
  int doubted;                  /* atomic: a sync has failed */
};

BsTrackedPath *bs_tracked_path_new            (BsBackingStore *store, BsPath *path, GFile *file, BsKeySet *found) G_GNUC_WARN_UNUSED_RESULT;
BsMembership   bs_tracked_path_get_membership (BsTrackedPath *self, const BsKey *key, guint64 hash);
void           bs_tracked_path_set_membership (BsTrackedPath *self, const BsKey *key, guint64 hash, BsMembership membership);
/* The same for UNCERTAIN, where that is no news to a running save. */
void           bs_tracked_path_set_uncertain  (BsTrackedPath *self, const BsKey *key, guint64 hash);
/* Whether what was last done to the key may be lost, because a sync has failed
 * that ought to have made it durable. That a later one succeeds settles nothing:
 * only doing it again does. Under the shard's mutex. */
gboolean       bs_tracked_path_is_in_doubt    (BsTrackedPath *self, const BsKey *key, guint64 hash);
/* It was done again by the operation, which has a ticket. */
void           bs_tracked_path_settle         (BsTrackedPath *self, const BsKey *key, guint64 hash, const BsStoreOperation *operation);
/* A sync has failed: for every key, however many there are. `last_bulk` is the
 * last ticket of the path's own list. Takes each shard's mutex. */
void           bs_tracked_path_doubt          (BsTrackedPath *self, guint64 last_bulk);
void           bs_tracked_path_set_closed     (BsTrackedPath *self);
/* Under the shard's mutex. */
gboolean       bs_tracked_path_is_pinned      (BsTrackedPath *self, const BsKey *key, guint64 hash);
/* Somebody asks for the key to be here. Under the shard's mutex. */
void           bs_tracked_path_claim_key      (BsTrackedPath *self, const BsKey *key, guint64 hash);
/* The keys of one shard; appends BsKey to `keys`. Takes the shard's mutex. */
void           bs_tracked_path_copy_keys      (BsTrackedPath *self, guint shard, GArray *keys);
void           bs_tracked_path_copy_doomed    (BsTrackedPath *self, guint shard, GArray *keys);
/* Under the shard's mutex. */
gboolean       bs_tracked_path_is_doomed      (BsTrackedPath *self, const BsKey *key, guint64 hash);

G_END_DECLS
