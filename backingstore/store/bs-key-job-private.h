/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "bs-content-private.h"
#include "bs-strand-private.h"

G_BEGIN_DECLS

typedef struct
{
  BsJob job;

  BsKeyRecord *record;    /* stays while the job stands on its strand; NULL while it is loose */
  BsKey key;
  guint64 hash;
  BsContent *content;     /* owned, nullable */
  gboolean written;       /* the content, by this very operation */
} BsKeyJob;

/* `self` is zeroed memory; see bs_job_init(). */
BsJob      *bs_key_job_init      (BsKeyJob       *self,
                                  BsBackingStore *store,
                                  BsJobKind       kind,
                                  const BsKey    *key,
                                  guint64         hash,
                                  BsTrackedPath  *tracked,
                                  int             priority);
/* Does what is needed, and gives its turn up. Returns those who have joined;
 * besides them `n_others` have asked. No lock held. */
BsCaller   *bs_key_job_carry_out (BsKeyJob *self, gboolean needed, guint n_others, GBytes **bytes, BsAftermath *after, GError **error);
gpointer    bs_key_job_get_value (BsKeyJob *self, GBytes *bytes);

/* Under the shard's mutex. */
static inline void
bs_shard_set_n_calls (BsShard *shard, guint n_calls)
{
  __atomic_store_n (&shard->n_calls, n_calls, __ATOMIC_RELAXED);
}

G_END_DECLS
