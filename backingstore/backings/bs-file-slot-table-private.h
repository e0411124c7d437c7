/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "base/bs-key-private.h"
#include "bs-file-slot-space-private.h"

G_BEGIN_DECLS

/* A blob in a slot. */
typedef struct
{
  BsKey key;
  guint64 hash;
  guint32 length;
  BsFileSlotPlace place;
  gboolean used;        /* FALSE in an empty entry of the table */
} BsFileSlot;

/* Slots by key: open addressing. Not thread-safe. All zero is an empty table. */
typedef struct
{
  BsFileSlot *slots;
  gsize n_slots;
  gsize mask;           /* entries - 1; 0 while nothing was added */
} BsFileSlotTable;

/* The slot is valid until the table changes. */
const BsFileSlot *bs_file_slot_table_lookup (const BsFileSlotTable *table, const BsKey *key);
/* Copies the slot. FALSE, and nothing done, if the key is there. */
gboolean bs_file_slot_table_add    (BsFileSlotTable *table, const BsFileSlot *slot);
/* Copies what it takes out. FALSE if the key is not there. */
gboolean bs_file_slot_table_remove (BsFileSlotTable *table, const BsKey *key, BsFileSlot *slot);
void     bs_file_slot_table_clear  (BsFileSlotTable *table);

G_END_DECLS
