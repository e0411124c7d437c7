/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "store/bs-job-private.h"

#include "bs-cache-private.h"

G_BEGIN_DECLS

struct _BsItem
{
  GObject parent_instance;

  BsPool *pool;         /* owned; constant after construction */
  guintptr entry;        /* BsEntry, a reference; the word is locked to use or change it */
};

/* Takes the reference on the entry over. */
BsItem         *bs_item_new             (BsPool *pool, BsEntry *entry) G_GNUC_WARN_UNUSED_RESULT;
BsItem         *bs_item_new_for_object  (BsPool *pool, GObject *object) G_GNUC_WARN_UNUSED_RESULT;

BsEntry         *bs_item_dup_entry        (BsItem *self) G_GNUC_WARN_UNUSED_RESULT;
/* Gives the item another entry, and takes the reference over. */
void            bs_item_set_entry        (BsItem *self, BsEntry *entry);
void            bs_item_notify_size     (BsItem *self);

/* FALSE where the caller has left before anything was asked of the store. */
gboolean        bs_item_check_cancelled (BsItem *self, BsJobKind kind, BsTrackedPath *tracked, GCancellable *cancellable, GError **error);
/* Why an operation on the item's content failed. */
GError         *bs_item_error           (BsItem *self, BsJobKind kind, BsTrackedPath *tracked, GQuark domain, int code, const char *why) G_GNUC_WARN_UNUSED_RESULT;

/* A reference on what is held in memory, in no time; 0 if it takes longer. */
BsReference          bs_item_hit             (BsItem *self, BsKind kind) G_GNUC_WARN_UNUSED_RESULT;
/* What is in memory. Else NULL and a reference on the entry that is to be loaded. */
gpointer        bs_item_find            (BsItem *self, BsKind kind, BsEntry **missing) G_GNUC_WARN_UNUSED_RESULT;

/* What an operation needs when it ends, whatever became of the item. */
typedef struct
{
  BsItem *item;                 /* owned */
  BsEntry *entry;                 /* a reference */
  GCancellable *cancellable;    /* owned, nullable */
} BsItemRequest;

BsItemRequest  *bs_item_request_new     (BsItem *item, BsEntry *entry, GCancellable *cancellable) G_GNUC_WARN_UNUSED_RESULT;
void            bs_item_request_free    (gpointer data);

/* Of a BsItemRequest: what was written is clean. */
gpointer        bs_item_write_deliver   (gpointer data, gpointer value, GError **error);

/* What was read becomes the object that a load gets. */
gpointer        bs_item_object_deliver  (gpointer data, gpointer value, GError **error);

G_END_DECLS
