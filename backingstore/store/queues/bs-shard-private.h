/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "base/bs-key-private.h"

G_BEGIN_DECLS

#define BS_CACHE_LINE 64

#define BS_SHARD_BITS 6
#define BS_N_SHARDS (1 << BS_SHARD_BITS)

/* The store's knowledge of keys is divided into shards by their hashes. One lock
 * covers all that is known of a key: its token, its queue, and its flags at each
 * tracked path. */
typedef struct _BsShard BsShard;
typedef struct _BsShardGroup BsShardGroup;
typedef struct _BsKeyOperation BsKeyOperation;

typedef enum
{
  BS_PRIMARY_ABSENT,
  BS_PRIMARY_PRESENT,
  BS_PRIMARY_UNCERTAIN,       /* a call failed: ask the backing */
} BsPrimary;

/* Keeps a key in primary storage while it has holders. The token lives until its last
 * holder and its last operation have gone. Under the shard's mutex, but for the key,
 * which is constant. Two fit a cache line. */
typedef struct _BsToken BsToken;
struct _BsToken
{
  BsKey key;
  BsToken *next;              /* of the unused, or of the dropped ones */
  guint n_holders;
  guint8 primary;             /* BsPrimary */
  guint8 is_dropped;          /* among the dropped ones, which keep it */
};

struct _BsShard
{
  _Alignas (BS_CACHE_LINE) GMutex mutex;

  /* under the mutex: the tokens */
  BsShardGroup *groups;       /* owned; written atomically */
  guint n_groups;             /* a power of two, or 0; written atomically */
  guint n_tokens;
  gpointer blocks;            /* owned; the memory of the tokens */
  BsToken *unused;            /* by next */
  BsToken *dropped;           /* by next; written atomically: keys that a deletion is to look at */

  /* under the mutex: the queues of the keys that have operations */
  BsKeyOperation **chains;    /* owned; the last operations, by next_in_chain */
  guint n_chains;             /* a power of two, or 0 */
  guint n_queues;

  /* under the mutex, beyond the cache line of what each operation uses: the dropped tokens */
  gconstpointer seen;         /* the first one when a deletion has looked; identity only */
  guint n_left;               /* how often deletions have left them */
};

static inline guint
bs_shard_index (guint64 hash)
{
  return hash >> (64 - BS_SHARD_BITS);
}

void     bs_shard_init     (BsShard *shard);
/* Frees the tokens; no operation is left. */
void     bs_shard_clear    (BsShard *shard);

/* Fetches the memory that a look-up needs into the cache. No lock is needed: if the
 * table has just moved, the fetch is in vain. */
void     bs_shard_prefetch (const BsShard *shard, guint64 hash);

/* The tokens of the keys in use. Under the shard's mutex. */
BsToken *bs_shard_lookup   (BsShard *shard, const BsKey *key, guint64 hash);
BsToken *bs_shard_obtain   (BsShard *shard, const BsKey *key, guint64 hash);
BsToken *bs_shard_insert   (BsShard *shard, const BsKey *key, guint64 hash);
void     bs_shard_remove   (BsShard *shard, BsToken *token, guint64 hash);
/* A dropped token is to be deleted, unless it has holders again by then. */
void     bs_shard_drop     (BsShard *shard, BsToken *token);
BsToken *bs_shard_take_dropped (BsShard *shard);
/* Makes room for so many tokens more. */
void     bs_shard_reserve  (BsShard *shard, guint n_tokens);

G_END_DECLS
