/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "store/threads/bs-store-operation-private.h"

#include "bs-cache-private.h"

G_BEGIN_DECLS

struct _BsItem
{
  GObject parent_instance;

  BsPool *pool;         /* owned; constant after construction */
  guintptr blob;        /* BsBlob, a reference; the word is locked to use or change it */
};

/* Takes the reference on the blob over. */
BsItem         *bs_item_new             (BsPool *pool, BsBlob *blob) G_GNUC_WARN_UNUSED_RESULT;
BsItem         *bs_item_new_for_object  (BsPool *pool, GObject *object) G_GNUC_WARN_UNUSED_RESULT;

BsBlob         *bs_item_dup_blob        (BsItem *self) G_GNUC_WARN_UNUSED_RESULT;
/* Gives the item another blob, and takes the reference over. */
void            bs_item_set_blob        (BsItem *self, BsBlob *blob);
void            bs_item_notify_size     (BsItem *self);

/* FALSE where the caller has left before anything was asked of the store. */
gboolean        bs_item_check_cancelled (BsItem *self, BsOperationKind kind, BsTrackedPath *tracked, GCancellable *cancellable, GError **error);
/* Why an operation on the item's content failed. */
GError         *bs_item_error           (BsItem *self, BsOperationKind kind, BsTrackedPath *tracked, GQuark domain, int code, const char *why) G_GNUC_WARN_UNUSED_RESULT;

/* A reference on what is held in memory, in no time; 0 if it takes longer. */
BsHold          bs_item_hit             (BsItem *self, BsKind kind) G_GNUC_WARN_UNUSED_RESULT;
/* What is in memory. Else NULL and a reference on the blob that is to be loaded. */
gpointer        bs_item_find            (BsItem *self, BsKind kind, BsBlob **missing) G_GNUC_WARN_UNUSED_RESULT;

/* What an operation needs when it ends, whatever became of the item. */
typedef struct
{
  BsItem *item;                 /* owned */
  BsBlob *blob;                 /* a reference */
  GCancellable *cancellable;    /* owned, nullable */
} BsItemRequest;

BsItemRequest  *bs_item_request_new     (BsItem *item, BsBlob *blob, GCancellable *cancellable) G_GNUC_WARN_UNUSED_RESULT;
void            bs_item_request_free    (gpointer data);

/* Of a BsItemRequest: what was written is clean. */
gpointer        bs_item_write_deliver   (gpointer data, gpointer value, GError **error);

/* What was read becomes the object that a load gets. */
gpointer        bs_item_object_deliver  (gpointer data, gpointer value, GError **error);

G_END_DECLS
