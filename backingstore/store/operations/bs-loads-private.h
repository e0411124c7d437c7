/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "store/threads/bs-store-operation-private.h"

G_BEGIN_DECLS

/* A load that goes on after its key has been read, while a codec decodes the content.
 * On the stack of the thread that does so. */
typedef struct
{
  GCancellable *cancellable;    /* owned; fires with the caller's, and when the store closes */
  GCancellable *outer;          /* owned, nullable; the caller's */
  gulong outer_id;
  gboolean closed;              /* under the store's operations_mutex: the store closes */
  GList link;
} BsLoad;

/* FALSE where the store closes. */
gboolean bs_load_begin       (BsBackingStore *store, BsLoad *load, const BsKey *key, GCancellable *outer, GError **error);
/* Says of a load that was cancelled by the store that this was closed. */
void     bs_load_end         (BsBackingStore *store, BsLoad *load, const BsKey *key, GError **error);

/* Fails queued loads and cancels running ones, since no caller will see their contents once
 * the store closes. No lock held. */
void     bs_loads_close      (BsBackingStore *store);

/* Replaces the cancellation of a load by the error of a closed store. */
void     bs_loads_set_closed (const BsKey *key, GError **error);

G_END_DECLS
