/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "bs-cache-private.h"

G_BEGIN_DECLS

BsCache *bs_pool_get_cache    (BsPool *self);

/* To be called after whatever changed what is in memory, with no lock held:
 * keeps the budget, answers trims, notifies. */
void     bs_pool_settle       (BsPool *self);
/* The same, if the pool is still there. */
void     bs_pool_settle_weak  (BsCache *cache);

/* Drops a reference on the blob; with the last, its token, and settles. */
void     bs_pool_release_blob (BsPool *self, BsBlob *blob);

GTask   *bs_pool_new_task     (gpointer             source_object,
                               gpointer             source_tag,
                               const char          *static_name,
                               int                  io_priority,
                               GCancellable        *cancellable,
                               GAsyncReadyCallback  callback,
                               gpointer             user_data) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
