/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "bs-job-private.h"
#include "bs-store-private.h"

G_BEGIN_DECLS

/* Fetches what a look-up will need into the cache. No lock is needed: where the
 * table has just moved it fetches in vain. */
void         bs_shard_prefetch  (const BsShard *shard, guint64 hash);

/* The records of the keys in use. Under the shard's mutex. */
BsKeyRecord *bs_shard_lookup    (BsShard *shard, const BsKey *key, guint64 hash);
BsKeyRecord *bs_shard_obtain    (BsShard *shard, const BsKey *key, guint64 hash);
BsKeyRecord *bs_shard_insert    (BsShard *shard, const BsKey *key, guint64 hash);
void         bs_shard_remove    (BsShard *shard, BsKeyRecord *record, guint64 hash);
/* Makes room for so many records more. */
void         bs_shard_reserve   (BsShard *shard, guint n_records);
void         bs_shard_clear     (BsShard *shard);

/* Takes the shard's mutex so as to look at records and strands. Where a shard has
 * nothing under way, a short call that needs nothing of what its key's record says
 * does not look for that: it is the shard's loose job. Whoever comes while it runs
 * puts it on its strand first. */
void         bs_strand_lock     (BsShard *shard);

/* Starts an operation on one key and answers `caller`. `record` is given by
 * whoever holds a token of it, else NULL; `content` is what to write first. */
void         bs_strand_start    (BsBackingStore *store,
                                 BsJobKind       kind,
                                 const BsKey    *key,
                                 BsKeyRecord    *record,
                                 BsTrackedPath  *tracked,
                                 BsContent      *content,
                                 BsCaller       *caller);

/* The short way of a blocking operation that can't be cancelled: where nothing
 * else is under way for the key, it runs on this thread and needs no caller and
 * no memory. `inner` is for what is part of something asked earlier. FALSE where
 * that is not so, or where there is something to say against it: then it is to be
 * asked for like any other. Else `*error`, or the result in `*value`: GBytes, or a
 * BsKeyRecord with a token, both owned. */
gboolean     bs_strand_call_now (BsBackingStore *store,
                                 BsJobKind       kind,
                                 const BsKey    *key,
                                 BsKeyRecord    *record,
                                 BsTrackedPath  *tracked,
                                 BsContent      *content,
                                 gboolean        inner,
                                 gpointer       *value,
                                 GError        **error);

/* Whether it is enough to know which keys the path has. */
static inline gboolean
bs_strand_needs_no_record (BsJobKind kind, BsContent *content)
{
  return kind == BS_JOB_DELETE_PERSISTED || (kind == BS_JOB_PERSIST && content == NULL);
}

/* For a key that is not there. No lock held. */
GError      *bs_strand_missing_error (BsJobKind kind, const BsKey *key, BsTrackedPath *tracked);
/* For a key that may not be deleted, because a running save names it. No lock held. */
GError      *bs_strand_pinned_error (const BsKey *key, BsTrackedPath *tracked);

/* What a bulk asks of each key in turn. Under the shard's mutex. */
typedef enum
{
  BS_NEED_NOTHING,      /* it is so already */
  BS_NEED_MISSING,      /* it can't be done: the path has no such key */
  BS_NEED_CALL,
} BsNeed;

BsNeed       bs_strand_need     (BsJobKind kind, BsKeyRecord *record, BsTrackedPath *tracked, const BsKey *key, guint64 hash);
/* Notes what a call has done, or, where it failed, that nothing is certain. The
 * job is the one that has a ticket of the path, if there is a path. */
void         bs_strand_note     (BsJobKind kind, const BsKey *key, guint64 hash, BsKeyRecord *record, BsTrackedPath *tracked, const BsJob *job, const GError *error);
/* Puts a job at the end of the key's strand. */
void         bs_strand_stand    (BsShard *shard, BsKeyRecord *record, BsJob *job);
/* It is done, or was left: the next gets its turn, and a key that nobody holds is
 * deleted or forgotten. */
void         bs_strand_advance  (BsBackingStore *store, BsShard *shard, BsKeyRecord *record, guint64 hash, BsJob *job, BsAftermath *after);
void         bs_strand_settle   (BsBackingStore *store, BsShard *shard, BsKeyRecord *record, guint64 hash, BsAftermath *after);

G_END_DECLS
