/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "store/operations/bs-request-private.h"
#include "store/operations/bs-store-private.h"

G_BEGIN_DECLS

/* `memory`, where given, belongs to the thread that waits for the operation, and
 * holds no references. */
BsStoreOperation *bs_key_operation_new    (BsBackingStore *store, const BsRequest *request, int priority, BsKeyOperation *memory) G_GNUC_WARN_UNUSED_RESULT;

/* Part of a bulk or a deletion: one operation on a key that is RUNNING at the head of its
 * queue, in memory of the caller's. Under the shard's mutex. */
void              bs_key_operation_init_part (BsKeyOperation *self, BsBackingStore *store, BsOperationKind kind, const BsKey *key, guint64 hash,
                                              BsToken *token, BsTrackedPath *tracked);
/* Calls the backing. Returns the result of a load, owned: a GBytes or a GInputStream. */
gpointer          bs_key_operation_call   (BsKeyOperation *self, GCancellable *cancellable, GError **error);
/* Does a PERSIST with as many calls as it needs. Returns whether the path was concerned. */
gboolean          bs_key_operation_persist    (BsKeyOperation *self, GCancellable *cancellable, GError **error);
/* Whether primary storage has the blob, or may have it. */
BsPrimary         bs_key_operation_get_primary (BsKeyOperation *self);
/* Notes the effect of a call that put the blob into primary storage. */
void              bs_key_operation_note_write (BsKeyOperation *self, const GError *error);
/* Notes the effect of a call, if one was made, and gives the turn to the next
 * operation on the key. `ticket` is that of the operation, or of the bulk that it is
 * part of; a bulk that registers holds the token too, besides the waiters. Returns
 * the waiters. Under the shard's mutex. */
BsWaiter         *bs_key_operation_end    (BsKeyOperation *self, gboolean called, guint64 ticket, gboolean of_bulk, const GError *error, BsDeferred *deferred);

/* Forgets a key that has neither holders nor operations, or has it deleted. Under the
 * shard's mutex. */
void              bs_key_operation_settle_token (BsBackingStore *store, BsShard *shard, BsToken *token, guint64 hash, BsDeferred *deferred);

/* Makes a token for a fresh key that is nowhere yet, with one holder. */
BsToken          *bs_token_new            (BsBackingStore *store) G_GNUC_WARN_UNUSED_RESULT;
void              bs_token_drop           (BsBackingStore *store, BsToken *token);

G_END_DECLS
