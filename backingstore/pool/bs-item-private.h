/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "store/threads/bs-store-operation-private.h"

#include "bs-eviction-private.h"
#include "bs-item.h"
#include "bs-pool-private.h"

G_BEGIN_DECLS

struct _BsItem
{
  GObject parent_instance;

  BsPool *pool;         /* owned; constant after construction */
  gpointer entry;       /* BsEntry, a reference; a locked pointer */
};

/* An item that a script makes by itself belongs to no pool: its functions refuse it. */
static inline gboolean
bs_item_has_pool (BsItem *self)
{
  return BS_IS_ITEM (self) && self->pool != NULL;
}

static inline BsCache *
bs_item_get_cache (BsItem *self)
{
  return bs_pool_get_cache (self->pool);
}

/* Takes the reference on the entry over. */
BsItem         *bs_item_new             (BsPool *pool, BsEntry *entry) G_GNUC_WARN_UNUSED_RESULT;
/* An item for a registered key. Takes the token over. */
BsItem         *bs_item_new_for_token   (BsPool *pool, BsToken *token) G_GNUC_WARN_UNUSED_RESULT;
/* An item for a GBytes or a GObject, under a new key. */
BsItem         *bs_item_new_for_content (BsPool *pool, BsKind kind, gpointer content) G_GNUC_WARN_UNUSED_RESULT;

/* Whether the pool can hold objects that it is given; the error names the function. */
gboolean        bs_pool_check_objects   (BsPool *self, const char *function, GError **error);

BsEntry        *bs_item_dup_entry       (BsItem *self) G_GNUC_WARN_UNUSED_RESULT;
/* Gives the item another entry, and takes the reference over. */
void            bs_item_set_entry       (BsItem *self, BsEntry *entry);
void            bs_item_notify_size     (BsItem *self);

/* Returns the content of the entry if it is in memory, resident or not. */
gpointer        bs_item_find            (BsItem *self, BsEntry *entry, BsKind kind) G_GNUC_WARN_UNUSED_RESULT;
/* Returns a reference on a resident content without waiting, else 0. */
BsReference     bs_item_hit             (BsItem *self, BsKind kind) G_GNUC_WARN_UNUSED_RESULT;

/* Loads the object for a widget: before everything else of its priority, and the last one
 * asked first; ends like bs_item_load_object_async(). */
void            bs_item_load_object_newest_first_async (BsItem *self, GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data);
/* Whether a content that the backing has is not in memory in this kind. */
gboolean        bs_item_is_out          (BsItem *self, BsEntry *entry, BsKind kind);
/* Why the codec could not decode the content, if it has failed to; NULL otherwise. */
GError         *bs_item_dup_failure     (BsItem *self) G_GNUC_WARN_UNUSED_RESULT;

/* FALSE if the cancellable was cancelled before the store is asked. */
gboolean        bs_item_check_cancelled (BsItem *self, BsOperationKind kind, BsTrackedPath *tracked, GCancellable *cancellable, GError **error);
/* An error of an operation on the item's content. */
GError         *bs_item_error           (BsItem *self, BsOperationKind kind, BsTrackedPath *tracked, GQuark domain, int code, const char *why) G_GNUC_WARN_UNUSED_RESULT;

/* The item and the entry of an operation until it ends, even if the item gets another
 * entry meanwhile: on the stack of a blocking call, else owned by the caller. */
typedef struct
{
  BsItem *item;                 /* owned */
  BsEntry *entry;               /* a reference */

  /* of a load */
  BsKind kind;
  GCancellable *cancellable;    /* owned, nullable */
} BsItemRequest;

BsItemRequest  *bs_item_request_new     (BsItem *item, BsEntry *entry, BsKind kind, GCancellable *cancellable) G_GNUC_WARN_UNUSED_RESULT;
void            bs_item_request_free    (gpointer data);

/* Brings the content into memory, below everything else. Takes the request over;
 * `request_free` ends with bs_item_request_free(). */
void            bs_item_read_ahead      (BsItemRequest *request, GDestroyNotify request_free);

/* The delivery of a BsItemRequest that was written: marks its entry clean. */
gpointer        bs_item_write_deliver   (gpointer data, gpointer value, GError **error);

G_END_DECLS
