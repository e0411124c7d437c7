/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-cache-private.h"

G_BEGIN_DECLS

/* All functions are called with no lock held, and while the cache's owner is held. */

/* To be called after each change of what is in memory: keeps the budget, answers
 * trims, tells the owner. Clean entries leave at once, dirty ones are written in
 * the background first. */
void     bs_cache_settle         (BsCache *self);

/* Whether this thread is settling the cache, and has called out: what is asked of
 * the cache meanwhile is done when that returns. */
gboolean bs_cache_is_settling    (BsCache *self);

/* Drops a reference on the entry; with the last one its token, and settles. */
void     bs_cache_drop_entry     (BsCache *self, BsEntry *entry);
/* Drops the reference of an item that goes, and settles. */
void     bs_cache_drop_item      (BsCache *self, BsEntry *entry);

/* The source that settles when a pause is over, in the calling thread's default
 * context. */
void     bs_cache_attach_retry   (BsCache *self);
void     bs_cache_destroy_retry  (BsCache *self);

G_END_DECLS
