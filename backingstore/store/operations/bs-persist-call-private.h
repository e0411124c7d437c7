/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "base/bs-key-set.h"
#include "store/operations/bs-key-operation-private.h"

G_BEGIN_DECLS

/* One call of the backing that persists the keys of many operations, each of which is RUNNING
 * at the head of its queue. */
typedef struct
{
  /* constant */
  BsBackingStore *store;    /* borrowed */
  GFile *path;              /* borrowed */
  GCancellable *cancellable; /* borrowed, nullable */

  BsKeySet *keys;           /* owned */
  GHashTable *contents;     /* owned; of the keys that primary storage does not have */
  GPtrArray *written;       /* owned; BsKeyOperation, borrowed: those with a content here */
  gsize n_bytes;
} BsPersistCall;

void     bs_persist_call_init    (BsPersistCall *self, BsBackingStore *store, GFile *path, GCancellable *cancellable, guint n_most);
void     bs_persist_call_clear   (BsPersistCall *self);

/* Makes the bytes of a content that is in memory only. Returns FALSE, with or without an
 * error, where the key has no part in the call. */
gboolean bs_persist_call_add     (BsPersistCall *self, BsKeyOperation *operation, GError **error);
/* Whether the call has as many bytes as one may hold beside the application's own. */
gboolean bs_persist_call_is_full (BsPersistCall *self);
/* Returns FALSE where the operations have to be run one by one. */
gboolean bs_persist_call_run     (BsPersistCall *self);

G_END_DECLS
