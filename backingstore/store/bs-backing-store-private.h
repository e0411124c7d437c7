/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/bs-key-private.h"
#include "store/bs-backing-store.h"
#include "store/threads/bs-waiter-private.h"
#include "store/threads/bs-content-private.h"
#include "store/threads/bs-executor-private.h"

G_BEGIN_DECLS

/* All that is known of one key in use. Whoever holds one holds a token: the
 * key stays in primary storage until the last token is dropped. */
typedef struct _BsToken BsToken;

/* A fresh key that is nowhere yet, with one token. */
BsToken *bs_backing_store_new_token   (BsBackingStore *self);
void         bs_backing_store_drop_token  (BsBackingStore *self, BsToken *token);
/* One task for all. Takes over the array's content, not the array. */
void         bs_backing_store_drop_tokens (BsBackingStore *self, BsToken **tokens, gsize n_tokens);

const BsKey *bs_token_get_key        (BsToken *token);

/* Operations. Each answers `waiter`, perhaps before it returns when the waiter
 * is a blocking one; the reference stays with whoever made the waiter.
 *
 *                       result (borrowed by the deliver function)
 * start_read            GBytes, from the backing
 * start_write_and_read  GBytes, from the backing, where `content` is written first; `written` is called in between,
 *                       or with why it failed. One operation to those who wait for the store, or close it
 * start_write           none. No call if already in primary storage
 * start_persist         none. `content` is written first if the key is not yet in primary storage;
 *                       NULL when it is known to be
 * start_register        BsToken: a token that belongs to the deliver function, which must take it over
 *                       (or drop it)
 * start_register_all    GPtrArray of BsToken, without a free function: the tokens belong to the deliver
 *                       function; the array itself is borrowed */
void bs_backing_store_start_read         (BsBackingStore *self, BsToken *token, BsWaiter *waiter);
void bs_backing_store_start_write_and_read (BsBackingStore *self, BsToken *token, BsContent *content,
                                            BsDeliverFunc written, gpointer data, GDestroyNotify data_free, BsWaiter *waiter);
void bs_backing_store_start_write        (BsBackingStore *self, BsToken *token, BsContent *content, BsWaiter *waiter);
void bs_backing_store_start_persist      (BsBackingStore *self, BsToken *token, BsTrackedPath *tracked, BsContent *content, BsWaiter *waiter);
void bs_backing_store_start_register     (BsBackingStore *self, BsTrackedPath *tracked, const BsKey *key, BsWaiter *waiter);
void bs_backing_store_start_register_all (BsBackingStore *self, BsTrackedPath *tracked, BsWaiter *waiter);

/* The short way of blocking operations that can't be cancelled: TRUE when it is
 * done, on this thread, with or without `*error`, which must not be NULL; FALSE
 * when it has to be started with a waiter, because something else is under way
 * for the key, or there is something to say against it. What they give back is
 * the waiter's. `key` is the token's: with many keys the token itself takes its
 * time to come into the cache. */
gboolean bs_backing_store_read_now           (BsBackingStore *self, const BsKey *key, BsToken *token, GBytes **bytes, GError **error);
gboolean bs_backing_store_write_now          (BsBackingStore *self, const BsKey *key, BsToken *token, BsContent *content, GError **error);
gboolean bs_backing_store_persist_now        (BsBackingStore *self, const BsKey *key, BsToken *token, BsTrackedPath *tracked, BsContent *content, GError **error);
gboolean bs_backing_store_register_now       (BsBackingStore *self, BsTrackedPath *tracked, const BsKey *key, BsToken **token, GError **error);

/* Whether a persist may have to write again what is written already, so that it
 * is to be given what there is in memory. */
gboolean bs_backing_store_has_seen_bad       (BsBackingStore *self);

/* Around a function of the application that runs where the backing's functions
 * do: a blocking call inside of it is refused. FALSE where this thread may not
 * run one, which is when the store has a main context and this is another's. */
gboolean bs_backing_store_enter_call     (BsBackingStore *self, BsCallScope *scope);
void     bs_backing_store_leave_call     (BsBackingStore *self, BsCallScope *scope);

/* Emits background-error in the store's owner context. Takes `error` over. */
void bs_backing_store_report             (BsBackingStore *self, const BsKey *key, BsOperation operation, GError *error);

/* Coalesced notify::`pspec` of an object of the store, in the store's owner
 * context: the one that was the thread's default where the store was made. */
void bs_backing_store_queue_notify       (BsBackingStore *self, GObject *object, GParamSpec *pspec);

G_END_DECLS
