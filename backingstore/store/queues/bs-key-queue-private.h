/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "store/queues/bs-members-private.h"
#include "store/queues/bs-shard-private.h"
#include "store/threads/bs-content-private.h"
#include "store/threads/bs-store-operation-private.h"

G_BEGIN_DECLS

/* An operation on one key. */
struct _BsKeyOperation
{
  BsStoreOperation operation;

  /* constant */
  BsShard *shard;
  BsKey key;
  guint64 hash;
  BsMembers *members;             /* of the tracked path, nullable */
  BsContent *content;             /* owned unless on the stack; nullable: written first */
  gboolean internal;              /* part of an earlier operation: no path refuses it */
  gboolean only_to_delete;        /* deletes the key only if a save is to delete it */

  /* under the shard's mutex */
  BsToken *token;                 /* nullable; of a key without holders the last operation has it */
  BsKeyOperation *next_in_chain;  /* the last operation of another key of the chain */

  /* by the running thread */
  guint8 need;                    /* BsNeed */
  gboolean refused;               /* a load whose turn comes while the store closes */
  gboolean written;               /* the content, by this very operation */
};

/* The need of an operation, decided when its turn comes. */
typedef enum
{
  BS_NEED_NOTHING,      /* the effect is there already */
  BS_NEED_MISSING,      /* the path has no such key, or no item holds the blob */
  BS_NEED_CALL,
} BsNeed;

/* Operations on one key run one at a time, in the order asked. Under the shard's
 * mutex. */

/* The last operation of the key, or NULL. */
BsKeyOperation *bs_key_queue_find_last     (BsShard *shard, const BsKey *key, guint64 hash);
/* `last` comes from bs_key_queue_find_last(). */
void            bs_key_queue_append        (BsKeyOperation *self, BsKeyOperation *last);
/* Returns the operation whose turn has come with that, if there is one. */
BsKeyOperation *bs_key_queue_remove        (BsKeyOperation *self);

/* The identical operation that a new one may join, unless an operation that conflicts
 * with the new one was asked since. */
BsKeyOperation *bs_key_queue_find_joinable (BsKeyOperation *last, BsOperationKind kind, BsTrackedPath *tracked);

/* Decides from the token, and from the flags of the key at the tracked path. */
BsNeed          bs_key_queue_need          (BsOperationKind kind, const BsToken *token, BsMembers *members, BsMemberFlags flags, guint64 hash);
/* Notes the effect of a call or, after an error, that nothing is certain. */
void            bs_key_queue_note          (BsOperationKind kind, const BsKey *key, guint64 hash, BsToken *token, BsMembers *members, const GError *error);

/* Errors of operations that are refused. No lock held. */
GError         *bs_key_queue_missing_error (BsOperationKind kind, const BsKey *key, GFile *file);
GError         *bs_key_queue_pinned_error  (const BsKey *key, GFile *file);

/* Whether the operation has to look at the key's token; the others need only the
 * flags of the path. */
static inline gboolean
bs_key_queue_needs_token (BsOperationKind kind, BsContent *content)
{
  return kind != BS_KIND_DELETE_PERSISTED && kind != BS_KIND_VERIFY && !(kind == BS_KIND_PERSIST && content == NULL);
}

G_END_DECLS
