/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "bs-blob-table-private.h"

#define MIN_PLACES 16

/* Key sets are read in the order of the high bits: a growing table indexed by those
 * would fill from one end and lengthen each probe. */
static gsize
get_place (const BsBlobTable *table, const BsKey *key)
{
  return bs_key_hash (key) & table->mask;
}

/* Returns the place of the key, or the empty place where it belongs. */
static gsize
find_place (const BsBlobTable *table, const BsKey *key)
{
  gsize place = get_place (table, key);

  while (table->entries[place].bytes != NULL && !bs_key_equal (&table->entries[place].key, key))
    place = (place + 1) & table->mask;

  return place;
}

static void
grow (BsBlobTable *table)
{
  BsBlobTable grown = { 0 };

  grown.mask = table->mask == 0 ? MIN_PLACES - 1 : table->mask * 2 + 1;
  grown.n_entries = table->n_entries;
  grown.entries = g_new0 (BsBlobEntry, grown.mask + 1);

  for (gsize i = 0; table->entries != NULL && i <= table->mask; i++)
    {
      if (table->entries[i].bytes != NULL)
        grown.entries[find_place (&grown, &table->entries[i].key)] = table->entries[i];
    }

  g_free (table->entries);
  *table = grown;
}

/* The caller borrows the bytes. */
GBytes *
bs_blob_table_lookup (const BsBlobTable *table, const BsKey *key)
{
  if (table->entries == NULL)
    return NULL;

  return table->entries[find_place (table, key)].bytes;
}

/* Takes a reference to the bytes. FALSE, and nothing done, if the key is there. */
gboolean
bs_blob_table_add (BsBlobTable *table, const BsKey *key, GBytes *bytes)
{
  gsize place;

  if (table->entries == NULL || table->n_entries >= table->mask - table->mask / 4)
    grow (table);

  place = find_place (table, key);
  if (table->entries[place].bytes != NULL)
    return FALSE;

  table->entries[place].key = *key;
  table->entries[place].bytes = g_bytes_ref (bytes);
  table->n_entries++;

  return TRUE;
}

GBytes *
bs_blob_table_steal (BsBlobTable *table, const BsKey *key)
{
  GBytes *bytes;
  gsize place;

  if (table->entries == NULL)
    return NULL;

  place = find_place (table, key);
  bytes = table->entries[place].bytes;
  if (bytes == NULL)
    return NULL;

  /* Close the gap: move up each entry that a search would not find across it. */
  for (gsize next = (place + 1) & table->mask; table->entries[next].bytes != NULL;
       next = (next + 1) & table->mask)
    {
      gsize home = get_place (table, &table->entries[next].key);

      if (((next - home) & table->mask) >= ((next - place) & table->mask))
        {
          table->entries[place] = table->entries[next];
          place = next;
        }
    }
  table->entries[place].bytes = NULL;
  table->n_entries--;

  return bytes;
}

/* Dropping references calls out: no lock may be held. */
void
bs_blob_table_clear (BsBlobTable *table)
{
  for (gsize i = 0; table->entries != NULL && i <= table->mask; i++)
    g_clear_pointer (&table->entries[i].bytes, g_bytes_unref);

  g_free (table->entries);
  memset (table, 0, sizeof *table);
}
