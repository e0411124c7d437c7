/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-cache-private.h"

G_BEGIN_DECLS

/* The caller of each function holds the cache's owner, and no lock. */

/* Keeps the budget, answers trims and tells the owner, after each change of the entries in
 * memory. Clean entries leave at once; dirty entries are written in the background first. */
void     bs_cache_settle         (BsCache *self);

/* Whether this thread has called out while it settles the cache. A change of the cache
 * meanwhile is settled when the called function has returned. */
gboolean bs_cache_is_settling    (BsCache *self);

/* Writes an entry that need not leave memory, so that the size of its encoded bytes is known.
 * The caller has a reference, and settles. */
void     bs_cache_write_ahead    (BsCache *self, BsEntry *entry);

/* Drops a reference on the entry. The last one drops the token, too, and settles. */
void     bs_cache_drop_entry     (BsCache *self, BsEntry *entry);
/* Drops the reference of an item that goes, and settles. */
void     bs_cache_drop_item      (BsCache *self, BsEntry *entry);

/* Attaches the source that settles at the end of a pause to the calling thread's default
 * context. */
void     bs_cache_attach_retry   (BsCache *self);
void     bs_cache_destroy_retry  (BsCache *self);

G_END_DECLS
