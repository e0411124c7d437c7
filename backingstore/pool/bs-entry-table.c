/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-entry-table-private.h"

#define FEWEST_CHAINS 16

/* Chains stand in the order of hashes, as keys in other tables do: a list's items, made or
 * dropped one after the other, use chains that are neighbours. */
static BsEntry **
find_chain (const BsEntryTable *self, const BsKey *key)
{
  return &self->chains[((bs_key_hash (key) >> 32) * self->n_chains) >> 32];
}

/* The place in the chain where the entry of that key is, or NULL is. */
static BsEntry **
find_place (const BsEntryTable *self, const BsKey *key)
{
  BsEntry **place = find_chain (self, key);

  while (*place != NULL && !bs_key_equal (&(*place)->key, key))
    place = &(*place)->next_in_chain;
  return place;
}

static void
put_first (BsEntryTable *self, BsEntry *entry)
{
  BsEntry **chain = find_chain (self, &entry->key);

  entry->next_in_chain = *chain;
  *chain = entry;
}

static void
resize (BsEntryTable *self, guint n_chains)
{
  g_autofree BsEntry **old = self->chains;
  guint n_old = self->n_chains;

  self->chains = g_new0 (BsEntry *, n_chains);
  self->n_chains = n_chains;
  for (guint i = 0; i < n_old; i++)
    for (BsEntry *entry = old[i], *next; entry != NULL; entry = next)
      {
        next = entry->next_in_chain;
        put_first (self, entry);
      }
}

void
bs_entry_table_clear (BsEntryTable *self)
{
  g_clear_pointer (&self->chains, g_free);
  self->n_chains = self->n_entries = 0;
}

BsEntry *
bs_entry_table_lookup (const BsEntryTable *self, const BsKey *key)
{
  return self->n_chains > 0 ? *find_place (self, key) : NULL;
}

void
bs_entry_table_add (BsEntryTable *self, BsEntry *entry)
{
  BsEntry **place;

  if (self->n_entries == self->n_chains)
    resize (self, MAX (2 * self->n_chains, FEWEST_CHAINS));

  place = find_place (self, &entry->key);
  if (*place != NULL)
    {
      *place = (*place)->next_in_chain;
      self->n_entries--;
    }
  put_first (self, entry);
  self->n_entries++;
}

void
bs_entry_table_remove (BsEntryTable *self, BsEntry *entry)
{
  BsEntry **place = find_place (self, &entry->key);

  if (*place != entry)
    return;

  *place = entry->next_in_chain;
  if (--self->n_entries == 0)
    bs_entry_table_clear (self);
}
