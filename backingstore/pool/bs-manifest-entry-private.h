/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-manifest-entry.h"
#include "bs-manifest-table-private.h"

G_BEGIN_DECLS

typedef enum
{
  BS_ENTRY_CHANGED_NAME = 1 << 0,
  BS_ENTRY_CHANGED_KEY = 1 << 1,
  BS_ENTRY_CHANGED_ITEM = 1 << 2,
  BS_ENTRY_CHANGED_ATTRIBUTES = 1 << 3,
} BsManifestEntryChanges;

/* The object of a node that has none. The table's lock is held: to make one calls nobody. */
BsManifestEntry *bs_manifest_entry_new_locked (BsManifestTable *table, guint node) G_GNUC_WARN_UNUSED_RESULT;

/* Notifies of changes: on this thread, or, where there is a pool, in its store's owner
 * context. No lock is held. */
void             bs_manifest_entry_notify     (BsManifestEntry *self, BsManifestEntryChanges changes, BsPool *pool);

G_END_DECLS
