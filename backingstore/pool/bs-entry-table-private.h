/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-entry-private.h"

G_BEGIN_DECLS

/* The entries of a cache by their keys, chained through the entries. No lock is taken,
 * and no reference held. */
typedef struct
{
  BsEntry **chains;           /* owned */
  guint n_chains;             /* a power of two, or 0 */
  guint n_entries;
} BsEntryTable;

void     bs_entry_table_clear  (BsEntryTable *self);

BsEntry *bs_entry_table_lookup (const BsEntryTable *self, const BsKey *key);
/* Takes the place of a dying entry of the same key. */
void     bs_entry_table_add    (BsEntryTable *self, BsEntry *entry);
/* Leaves another entry of the same key, which has taken the place. */
void     bs_entry_table_remove (BsEntryTable *self, BsEntry *entry);

G_END_DECLS
