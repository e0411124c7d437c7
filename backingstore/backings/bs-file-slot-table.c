/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "bs-file-slot-table-private.h"

#define MIN_ENTRIES 16

static gsize
get_home (const BsFileSlotTable *table, const BsKey *key)
{
  return bs_key_hash (key) & table->mask;
}

/* Returns the entry of the key, or the empty entry where it belongs. */
static gsize
find_entry (const BsFileSlotTable *table, const BsKey *key)
{
  gsize entry = get_home (table, key);

  while (table->slots[entry].used && !bs_key_equal (&table->slots[entry].key, key))
    entry = (entry + 1) & table->mask;

  return entry;
}

static void
resize (BsFileSlotTable *table, gsize n_entries)
{
  BsFileSlotTable resized = { 0 };

  resized.mask = n_entries - 1;
  resized.n_slots = table->n_slots;
  resized.slots = g_new0 (BsFileSlot, n_entries);

  for (gsize i = 0; table->slots != NULL && i <= table->mask; i++)
    {
      if (table->slots[i].used)
        resized.slots[find_entry (&resized, &table->slots[i].key)] = table->slots[i];
    }

  g_free (table->slots);
  *table = resized;
}

const BsFileSlot *
bs_file_slot_table_lookup (const BsFileSlotTable *table, const BsKey *key)
{
  const BsFileSlot *slot;

  if (table->n_slots == 0)
    return NULL;

  slot = &table->slots[find_entry (table, key)];

  return slot->used ? slot : NULL;
}

gboolean
bs_file_slot_table_add (BsFileSlotTable *table, const BsFileSlot *slot)
{
  gsize entry;

  if (table->slots == NULL)
    resize (table, MIN_ENTRIES);
  else if (table->n_slots >= table->mask - table->mask / 4)
    resize (table, (table->mask + 1) * 2);

  entry = find_entry (table, &slot->key);
  if (table->slots[entry].used)
    return FALSE;

  table->slots[entry] = *slot;
  table->slots[entry].used = TRUE;
  table->n_slots++;

  return TRUE;
}

/* Moves up each slot that a search would not find across the gap. */
static void
close_gap (BsFileSlotTable *table, gsize gap)
{
  for (gsize next = (gap + 1) & table->mask; table->slots[next].used;
       next = (next + 1) & table->mask)
    {
      gsize home = get_home (table, &table->slots[next].key);

      if (((next - home) & table->mask) >= ((next - gap) & table->mask))
        {
          table->slots[gap] = table->slots[next];
          gap = next;
        }
    }
  table->slots[gap].used = FALSE;
}

gboolean
bs_file_slot_table_remove (BsFileSlotTable *table, const BsKey *key, BsFileSlot *slot)
{
  gsize entry;

  if (table->n_slots == 0)
    return FALSE;

  entry = find_entry (table, key);
  if (!table->slots[entry].used)
    return FALSE;

  *slot = table->slots[entry];
  close_gap (table, entry);
  table->n_slots--;
  if (table->mask >= MIN_ENTRIES && table->n_slots < table->mask / 16)
    resize (table, (table->mask + 1) / 4);

  return TRUE;
}

void
bs_file_slot_table_clear (BsFileSlotTable *table)
{
  g_free (table->slots);
  memset (table, 0, sizeof *table);
}
