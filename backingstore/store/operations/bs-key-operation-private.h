/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "store/threads/bs-content-private.h"
#include "store/queues/bs-key-queue-private.h"

G_BEGIN_DECLS

typedef struct
{
  BsStoreOperation operation;

  BsToken *token;    /* stays while the operation stands on its queue; NULL while it is loose */
  BsKey key;
  guint64 hash;
  BsContent *content;     /* owned, nullable */
  gboolean written;       /* the content, by this very operation */
} BsKeyOperation;

/* `self` is zeroed memory; see bs_store_operation_init(). */
BsStoreOperation      *bs_key_operation_init      (BsKeyOperation       *self,
                                  BsBackingStore *store,
                                  BsOperationKind       kind,
                                  const BsKey    *key,
                                  guint64         hash,
                                  BsTrackedPath  *tracked,
                                  int             priority);
/* Does what is needed, and gives its turn up. Returns those who have joined;
 * besides them `n_others` have asked. No lock held. */
BsWaiter   *bs_key_operation_carry_out (BsKeyOperation *self, gboolean needed, guint n_others, GBytes **bytes, BsDeferred *deferred, GError **error);
gpointer    bs_key_operation_get_value (BsKeyOperation *self, GBytes *bytes);

/* Under the shard's mutex. */
static inline void
bs_shard_set_n_calls (BsShard *shard, guint n_calls)
{
  __atomic_store_n (&shard->n_calls, n_calls, __ATOMIC_RELAXED);
}

G_END_DECLS
