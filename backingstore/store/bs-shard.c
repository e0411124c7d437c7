/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "bs-strand-private.h"

#include <string.h>

/* Open addressing with linear probing. The hashes stand beside the pointers, so
 * that a search looks at no other record than the one it wants, which with many
 * keys is what it costs, and a table that grows looks at none.
 *
 * Records come and go by the million, and so have their memory in blocks, which
 * are kept until the shard is empty. */

#define FEWEST_SLOTS 16
#define FEWEST_IN_BLOCK 8

/* An address sanitizer is to see what is used after it was freed. */
#ifdef __SANITIZE_ADDRESS__
#define MOST_IN_BLOCK 0
#else
#define MOST_IN_BLOCK 512
#endif

typedef struct _Block Block;

struct _Block
{
  Block *next;
  BsKeyRecord records[];
};

static guint
home_of (guint64 hash, guint n_slots)
{
  return (guint) (hash >> 16) & (n_slots - 1);
}

static guint
slot_index (BsShard *shard, guint64 hash)
{
  return home_of (hash, shard->n_slots);
}

static guint
next_index (BsShard *shard, guint index)
{
  return (index + 1) & (shard->n_slots - 1);
}

static void
add_block (BsShard *shard)
{
  guint n_records = CLAMP (shard->n_records, FEWEST_IN_BLOCK, MOST_IN_BLOCK);
  Block *block = g_malloc (sizeof (Block) + n_records * sizeof (BsKeyRecord));

  block->next = shard->blocks;
  shard->blocks = block;

  for (guint i = n_records; i-- > 0;)
    {
      block->records[i].next_unused = shard->unused;
      shard->unused = &block->records[i];
    }
}

static BsKeyRecord *
record_new (BsShard *shard)
{
  BsKeyRecord *record;

  if (MOST_IN_BLOCK == 0)
    return g_new0 (BsKeyRecord, 1);

  if (shard->unused == NULL)
    add_block (shard);
  record = shard->unused;
  shard->unused = record->next_unused;
  memset (record, 0, sizeof *record);

  return record;
}

static void
record_free (BsShard *shard, BsKeyRecord *record)
{
  if (MOST_IN_BLOCK == 0)
    {
      g_free (record);
      return;
    }

  record->next_unused = shard->unused;
  shard->unused = record;
}

static void
free_blocks (BsShard *shard)
{
  Block *block = shard->blocks;

  while (block != NULL)
    {
      Block *next = block->next;

      g_free (block);
      block = next;
    }
  shard->blocks = NULL;
  shard->unused = NULL;
}

/* An index for the record with that key, or -1. */
static gint64
find (BsShard *shard, const BsKey *key, guint64 hash)
{
  if (shard->n_records == 0)
    return -1;

  for (guint i = slot_index (shard, hash); shard->slots[i].record != NULL; i = next_index (shard, i))
    if (shard->slots[i].hash == hash && bs_key_equal (&shard->slots[i].record->key, key))
      return i;

  return -1;
}

static void
put (BsShard *shard, BsShardSlot slot)
{
  guint i = slot_index (shard, slot.hash);

  while (shard->slots[i].record != NULL)
    i = next_index (shard, i);
  shard->slots[i] = slot;
}

static void
set_slots (BsShard *shard, BsShardSlot *slots, guint n_slots)
{
  __atomic_store_n (&shard->slots, slots, __ATOMIC_RELAXED);
  __atomic_store_n (&shard->n_slots, n_slots, __ATOMIC_RELAXED);
}

static void
resize (BsShard *shard, guint n_slots)
{
  g_autofree BsShardSlot *old = shard->slots;
  guint n_old = shard->n_slots;

  set_slots (shard, g_new0 (BsShardSlot, n_slots), n_slots);
  for (guint i = 0; i < n_old; i++)
    if (old[i].record != NULL)
      put (shard, old[i]);
}

void
bs_shard_prefetch (const BsShard *shard, guint64 hash)
{
  guint n_slots = __atomic_load_n (&shard->n_slots, __ATOMIC_RELAXED);

  __builtin_prefetch (__atomic_load_n (&shard->slots, __ATOMIC_RELAXED) + home_of (hash, n_slots));
}

BsKeyRecord *
bs_shard_lookup (BsShard *shard, const BsKey *key, guint64 hash)
{
  gint64 index = find (shard, key, hash);

  return index >= 0 ? shard->slots[index].record : NULL;
}

void
bs_shard_reserve (BsShard *shard, guint n_records)
{
  guint n_slots = MAX (shard->n_slots, FEWEST_SLOTS);

  /* Three quarters full at most. */
  while ((guint64) n_slots * 3 < ((guint64) shard->n_records + n_records) * 4)
    n_slots *= 2;
  if (n_slots > shard->n_slots)
    resize (shard, n_slots);
}

BsKeyRecord *
bs_shard_insert (BsShard *shard, const BsKey *key, guint64 hash)
{
  BsKeyRecord *record = record_new (shard);

  record->key = *key;
  bs_shard_reserve (shard, 1);
  put (shard, (BsShardSlot) { hash, record });
  shard->n_records++;

  return record;
}

BsKeyRecord *
bs_shard_obtain (BsShard *shard, const BsKey *key, guint64 hash)
{
  BsKeyRecord *record = bs_shard_lookup (shard, key, hash);

  return record != NULL ? record : bs_shard_insert (shard, key, hash);
}

void
bs_shard_remove (BsShard *shard, BsKeyRecord *record, guint64 hash)
{
  guint gap = find (shard, &record->key, hash);

  record_free (shard, record);
  if (--shard->n_records == 0)
    {
      free_blocks (shard);
      if (shard->n_slots > 1024)
        {
          g_free (shard->slots);
          set_slots (shard, NULL, 0);
          return;
        }
    }

  /* What follows moves up, unless it would come before its place. */
  for (guint i = next_index (shard, gap); shard->slots[i].record != NULL; i = next_index (shard, i))
    {
      guint distance = (i - slot_index (shard, shard->slots[i].hash)) & (shard->n_slots - 1);

      if (distance >= ((i - gap) & (shard->n_slots - 1)))
        {
          shard->slots[gap] = shard->slots[i];
          gap = i;
        }
    }
  shard->slots[gap].record = NULL;
}

void
bs_shard_clear (BsShard *shard)
{
  if (MOST_IN_BLOCK == 0)
    for (guint i = 0; i < shard->n_slots; i++)
      g_free (shard->slots[i].record);
  free_blocks (shard);
  g_clear_pointer (&shard->slots, g_free);
  shard->n_slots = shard->n_records = 0;
}
