/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-shard-private.h"

#include <string.h>

/* A hash table whose places stand in groups of seven, each group in a cache line:
 * seven tags, which are looked at together as one word, and seven tokens. With many
 * keys a search mostly waits for memory; here it reads one line, and no token but its
 * own.
 *
 * A key whose home is full goes to the next group that has a place, and each group
 * that it passes counts it. A search goes on past a group only if a key has passed
 * it, and a token that is removed leaves nothing behind. (The overflow counts of
 * Facebook's F14 tables.)
 *
 * Tokens come and go by the million. Their memory is in blocks, which are kept until
 * the shard is empty. */

#define GROUP_SIZE 7
#define GROUP_MOST 6 /* on the average, before the table grows */
#define FEWEST_GROUPS 4
#define FEW_GROUPS 64 /* an empty table keeps no more */
#define FEWEST_IN_BLOCK 8

/* A count stays there until the table grows. */
#define PASSED_OFTEN 0xff

#define LOW_BITS G_GUINT64_CONSTANT (0x0001010101010101)
#define HIGH_BITS G_GUINT64_CONSTANT (0x0080808080808080)

/* An address sanitizer sees a use after free only of memory that was freed by
 * itself. */
#ifdef __SANITIZE_ADDRESS__
#define MOST_IN_BLOCK 0
#else
#define MOST_IN_BLOCK 512
#endif

struct _BsShardGroup
{
  _Alignas(BS_CACHE_LINE) guint8 tags[GROUP_SIZE]; /* 0 where the place is empty */
  guint8 n_passed;             /* keys that would be at home here or before, and are behind */
  BsToken *tokens[GROUP_SIZE]; /* owned */
};

typedef struct _Block Block;

struct _Block
{
  Block *next;
  _Alignas(32) BsToken tokens[];
};

static guint
home_of (guint64 hash, guint n_groups)
{
  return (guint) (hash >> 16) & (n_groups - 1);
}

static guint8
tag_of (guint64 hash)
{
  return 0x80 | (hash & 0x7f);
}

static guint64
load_tags (const BsShardGroup *group)
{
  guint64 tags;

  memcpy (&tags, group->tags, sizeof tags);
  return GUINT64_FROM_LE (tags);
}

/* May set more bits above a right one, all of them of full places. */
static guint64
match_tag (guint64 tags, guint8 tag)
{
  guint64 difference = tags ^ (LOW_BITS * tag);

  return (difference - LOW_BITS) & ~difference & HIGH_BITS;
}

static guint64
match_empty (guint64 tags)
{
  return ~tags & HIGH_BITS;
}

static guint
place_of (guint64 matches)
{
  return __builtin_ctzll (matches) / 8;
}

static BsShardGroup *
next_group (BsShard *shard, BsShardGroup *group)
{
  return ++group == shard->groups + shard->n_groups ? shard->groups : group;
}

static void
add_block (BsShard *shard)
{
  guint n_tokens = CLAMP (shard->n_tokens, FEWEST_IN_BLOCK, MOST_IN_BLOCK);
  Block *block = g_aligned_alloc (1, sizeof (Block) + n_tokens * sizeof (BsToken), BS_CACHE_LINE);

  block->next = shard->blocks;
  shard->blocks = block;

  for (guint i = n_tokens; i-- > 0;)
    {
      block->tokens[i].next = shard->unused;
      shard->unused = &block->tokens[i];
    }
}

static BsToken *
record_new (BsShard *shard)
{
  BsToken *token;

  if (MOST_IN_BLOCK == 0)
    return g_new0 (BsToken, 1);

  if (shard->unused == NULL)
    add_block (shard);
  token = shard->unused;
  shard->unused = token->next;
  memset (token, 0, sizeof *token);

  return token;
}

static void
record_free (BsShard *shard, BsToken *token)
{
  if (MOST_IN_BLOCK == 0)
    {
      g_free (token);
      return;
    }

  token->next = shard->unused;
  shard->unused = token;
}

static void
free_blocks (BsShard *shard)
{
  Block *block = shard->blocks;

  while (block != NULL)
    {
      Block *next = block->next;

      g_aligned_free (block);
      block = next;
    }
  shard->blocks = NULL;
  shard->unused = NULL;
}

/* The group that has the token, or NULL. */
static BsShardGroup *
find (BsShard *shard, const BsKey *key, guint64 hash, guint *place)
{
  BsShardGroup *group;

  if (shard->n_tokens == 0)
    return NULL;

  group = shard->groups + home_of (hash, shard->n_groups);
  for (guint i = 0; i < shard->n_groups; i++)
    {
      guint64 matches = match_tag (load_tags (group), tag_of (hash));

      for (; matches != 0; matches &= matches - 1)
        {
          *place = place_of (matches);
          if (bs_key_equal (&group->tokens[*place]->key, key))
            return group;
        }
      if (group->n_passed == 0)
        return NULL;
      group = next_group (shard, group);
    }

  return NULL;
}

static void
put (BsShard *shard, BsToken *token, guint64 hash)
{
  BsShardGroup *group = shard->groups + home_of (hash, shard->n_groups);
  guint64 empty;
  guint place;

  while ((empty = match_empty (load_tags (group))) == 0)
    {
      if (group->n_passed < PASSED_OFTEN)
        group->n_passed++;
      group = next_group (shard, group);
    }

  place = place_of (empty);
  group->tags[place] = tag_of (hash);
  group->tokens[place] = token;
}

static void
set_groups (BsShard *shard, BsShardGroup *groups, guint n_groups)
{
  __atomic_store_n (&shard->groups, groups, __ATOMIC_RELAXED);
  __atomic_store_n (&shard->n_groups, n_groups, __ATOMIC_RELAXED);
}

static void
prefetch_records (const BsShardGroup *group)
{
  for (guint i = 0; i < GROUP_SIZE; i++)
    __builtin_prefetch (group->tokens[i]);
}

static void
resize (BsShard *shard, guint n_groups)
{
  BsShardGroup *old = shard->groups;
  guint n_old = shard->n_groups;

  set_groups (shard, g_aligned_alloc0 (n_groups, sizeof (BsShardGroup), BS_CACHE_LINE), n_groups);
  for (guint i = 0; i < n_old; i++)
    {
      if (i + 4 < n_old)
        prefetch_records (&old[i + 4]);
      for (guint64 full = ~match_empty (load_tags (&old[i])) & HIGH_BITS; full != 0;
           full &= full - 1)
        {
          BsToken *token = old[i].tokens[place_of (full)];

          put (shard, token, bs_key_hash (&token->key));
        }
    }
  g_aligned_free (old);
}

void
bs_shard_prefetch (const BsShard *shard, guint64 hash)
{
  guint n_groups = __atomic_load_n (&shard->n_groups, __ATOMIC_RELAXED);

  __builtin_prefetch (__atomic_load_n (&shard->groups, __ATOMIC_RELAXED) +
                      home_of (hash, n_groups));
}

BsToken *
bs_shard_lookup (BsShard *shard, const BsKey *key, guint64 hash)
{
  guint place;
  BsShardGroup *group = find (shard, key, hash, &place);

  return group != NULL ? group->tokens[place] : NULL;
}

void
bs_shard_reserve (BsShard *shard, guint n_tokens)
{
  guint n_groups = MAX (shard->n_groups, FEWEST_GROUPS);

  while ((guint64) n_groups * GROUP_MOST < (guint64) shard->n_tokens + n_tokens)
    n_groups *= 2;
  if (n_groups > shard->n_groups)
    resize (shard, n_groups);
}

BsToken *
bs_shard_insert (BsShard *shard, const BsKey *key, guint64 hash)
{
  BsToken *token = record_new (shard);

  token->key = *key;
  bs_shard_reserve (shard, 1);
  put (shard, token, hash);
  shard->n_tokens++;

  return token;
}

BsToken *
bs_shard_obtain (BsShard *shard, const BsKey *key, guint64 hash)
{
  BsToken *token = bs_shard_lookup (shard, key, hash);

  return token != NULL ? token : bs_shard_insert (shard, key, hash);
}

/* Takes the token in that place out of the table. */
static void
take_out (BsShard *shard, BsShardGroup *group, guint place, guint64 hash)
{
  group->tags[place] = 0;
  for (BsShardGroup *passed = shard->groups + home_of (hash, shard->n_groups); passed != group;
       passed = next_group (shard, passed))
    if (passed->n_passed < PASSED_OFTEN)
      passed->n_passed--;
}

void
bs_shard_remove (BsShard *shard, BsToken *token, guint64 hash)
{
  guint place = 0;
  BsShardGroup *group = find (shard, &token->key, hash, &place);

  take_out (shard, group, place, hash);
  record_free (shard, token);
  if (--shard->n_tokens > 0)
    return;

  free_blocks (shard);
  if (shard->n_groups > FEW_GROUPS)
    {
      g_aligned_free (shard->groups);
      set_groups (shard, NULL, 0);
    }
}

void
bs_shard_drop (BsShard *shard, BsToken *token)
{
  token->is_dropped = TRUE;
  token->next = shard->dropped;
  if (shard->dropped == NULL)
    shard->seen = token;
  g_atomic_pointer_set (&shard->dropped, token);
}

BsToken *
bs_shard_take_dropped (BsShard *shard)
{
  BsToken *token = shard->dropped;

  g_atomic_pointer_set (&shard->dropped, token->next);
  token->is_dropped = FALSE;
  return token;
}

void
bs_shard_init (BsShard *shard)
{
  g_mutex_init (&shard->mutex);
}

void
bs_shard_clear (BsShard *shard)
{
  for (guint i = 0; MOST_IN_BLOCK == 0 && i < shard->n_groups; i++)
    for (guint64 full = ~match_empty (load_tags (&shard->groups[i])) & HIGH_BITS; full != 0;
         full &= full - 1)
      g_free (shard->groups[i].tokens[place_of (full)]);
  free_blocks (shard);
  g_clear_pointer (&shard->groups, g_aligned_free);
  shard->n_groups = shard->n_tokens = 0;
  g_clear_pointer (&shard->chains, g_free);
  g_mutex_clear (&shard->mutex);
}
