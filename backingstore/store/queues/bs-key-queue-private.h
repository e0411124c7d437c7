/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "store/threads/bs-store-operation-private.h"
#include "store/operations/bs-store-private.h"

G_BEGIN_DECLS

/* Fetches what a look-up will need into the cache. No lock is needed: where the
 * table has just moved it fetches in vain. */
void         bs_shard_prefetch  (const BsShard *shard, guint64 hash);

/* The tokens of the keys in use. Under the shard's mutex. */
BsToken *bs_shard_lookup    (BsShard *shard, const BsKey *key, guint64 hash);
BsToken *bs_shard_obtain    (BsShard *shard, const BsKey *key, guint64 hash);
BsToken *bs_shard_insert    (BsShard *shard, const BsKey *key, guint64 hash);
void         bs_shard_remove    (BsShard *shard, BsToken *token, guint64 hash);
/* Makes room for so many tokens more. */
void         bs_shard_reserve   (BsShard *shard, guint n_tokens);
void         bs_shard_clear     (BsShard *shard);

/* Takes the shard's mutex so as to look at tokens and queues. Where a shard has
 * nothing under way, a short call that needs nothing of what its key's token says
 * does not look for that: it is the shard's loose operation. Whoever comes while it runs
 * puts it on its queue first. */
void         bs_key_queue_lock     (BsShard *shard);

/* Starts an operation on one key and answers `waiter`. `token` is given by
 * whoever holds a token of it, else NULL; `content` is what to write first. */
void         bs_key_queue_start    (BsBackingStore *store,
                                 BsOperationKind       kind,
                                 const BsKey    *key,
                                 BsToken    *token,
                                 BsTrackedPath  *tracked,
                                 BsContent      *content,
                                 BsWaiter       *waiter);

/* The short way of a blocking operation that can't be cancelled: where nothing
 * else is under way for the key, it runs on this thread and needs no waiter and
 * no memory. `inner` is for what is part of something asked earlier. FALSE where
 * that is not so, or where there is something to say against it: then it is to be
 * asked for like any other. Else `*error`, or the result in `*value`: GBytes, or a
 * BsToken with a token, both owned. */
gboolean     bs_key_queue_call_now (BsBackingStore *store,
                                 BsOperationKind       kind,
                                 const BsKey    *key,
                                 BsToken    *token,
                                 BsTrackedPath  *tracked,
                                 BsContent      *content,
                                 gboolean        inner,
                                 gpointer       *value,
                                 GError        **error);

/* Whether it is enough to know which keys the path has. */
static inline gboolean
bs_key_queue_needs_no_record (BsOperationKind kind, BsContent *content)
{
  return kind == BS_KIND_DELETE_PERSISTED || (kind == BS_KIND_PERSIST && content == NULL);
}

/* For a key that is not there. No lock held. */
GError      *bs_key_queue_missing_error (BsOperationKind kind, const BsKey *key, BsTrackedPath *tracked);
/* For a key that may not be deleted, because a running save names it. No lock held. */
GError      *bs_key_queue_pinned_error (const BsKey *key, BsTrackedPath *tracked);

/* What a bulk asks of each key in turn. Under the shard's mutex. */
typedef enum
{
  BS_NEED_NOTHING,      /* it is so already */
  BS_NEED_MISSING,      /* it can't be done: the path has no such key */
  BS_NEED_CALL,
} BsNeed;

BsNeed       bs_key_queue_need     (BsOperationKind kind, BsToken *token, BsTrackedPath *tracked, const BsKey *key, guint64 hash);
/* Notes what a call has done, or, where it failed, that nothing is certain. The
 * operation is the one that has a ticket of the path, if there is a path. */
void         bs_key_queue_note     (BsOperationKind kind, const BsKey *key, guint64 hash, BsToken *token, BsTrackedPath *tracked, const BsStoreOperation *operation, const GError *error);
/* Puts a operation at the end of the key's queue. */
void         bs_key_queue_stand    (BsShard *shard, BsToken *token, BsStoreOperation *operation);
/* It is done, or was left: the next gets its turn, and a key that nobody holds is
 * deleted or forgotten. */
void         bs_key_queue_advance  (BsBackingStore *store, BsShard *shard, BsToken *token, guint64 hash, BsStoreOperation *operation, BsDeferred *deferred);
void         bs_key_queue_settle   (BsBackingStore *store, BsShard *shard, BsToken *token, guint64 hash, BsDeferred *deferred);

G_END_DECLS
