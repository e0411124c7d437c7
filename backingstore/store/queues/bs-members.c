/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-members-private.h"

/* Leaves room for some more keys in each shard. */
static void
take_found (BsMembers *self, const BsKeyTable *found)
{
  guint64 n_keys[BS_N_SHARDS] = { 0 };
  BsKeyTableIter iter = { 0 };
  const BsKey *key;

  while (bs_key_table_iter_next (found, &iter, &key))
    n_keys[bs_shard_index (bs_key_hash (key))]++;
  for (guint i = 0; i < BS_N_SHARDS; i++)
    {
      bs_key_table_reserve (&self->shards[i].keys, n_keys[i] + n_keys[i] / 16);
      self->shards[i].n_flagged[0] = n_keys[i];
    }

  iter = (BsKeyTableIter){ 0 };
  while (bs_key_table_iter_next (found, &iter, &key))
    {
      guint64 hash = bs_key_hash (key);

      bs_key_table_add_new (&self->shards[bs_shard_index (hash)].keys, key, hash,
                            BS_MEMBER_PRESENT);
    }
}

void
bs_members_init (BsMembers *self,
                 BsShard *locks,
                 const BsKeyTable *found,
                 GObject *owner,
                 void (*changed) (GObject *owner, const BsKey *key))
{
  self->locks = locks;
  self->owner = owner;
  self->changed = changed;
  self->shards = g_aligned_alloc0 (BS_N_SHARDS, sizeof (BsMemberShard), BS_CACHE_LINE);
  for (guint i = 0; i < BS_N_SHARDS; i++)
    bs_key_table_init_with_marks (&self->shards[i].keys, BS_SHARD_BITS);
  take_found (self, found);
}

void
bs_members_clear (BsMembers *self)
{
  for (guint i = 0; i < BS_N_SHARDS; i++)
    bs_key_table_clear (&self->shards[i].keys);
  g_aligned_free (self->shards);
}

guint64
bs_members_get_n_keys (BsMembers *self)
{
  guint64 n = 0;

  for (guint i = 0; i < BS_N_SHARDS; i++)
    n += __atomic_load_n (&self->shards[i].n_flagged[0], __ATOMIC_RELAXED);

  return n;
}

BsMemberFlags
bs_members_get (BsMembers *self, const BsKey *key, guint64 hash)
{
  const guint8 *flags =
    bs_key_table_find_marks (&self->shards[bs_shard_index (hash)].keys, key, hash);

  return flags != NULL ? *flags : 0;
}

static void
count (BsMemberShard *shard, BsMemberFlags before, BsMemberFlags after)
{
  for (guint changed = before ^ after; changed != 0; changed &= changed - 1)
    {
      guint flag = __builtin_ctz (changed);
      guint64 n = shard->n_flagged[flag] + ((after >> flag) & 1 ? 1 : -1);

      __atomic_store_n (&shard->n_flagged[flag], n, __ATOMIC_RELAXED);
    }
}

void
bs_members_set (BsMembers *self,
                const BsKey *key,
                guint64 hash,
                BsMemberFlags set,
                BsMemberFlags unset)
{
  BsMemberShard *shard = &self->shards[bs_shard_index (hash)];
  guint8 *flags = set != 0 ? bs_key_table_obtain_marks (&shard->keys, key, hash)
                           : bs_key_table_find_marks (&shard->keys, key, hash);
  BsMemberFlags before, after;

  if (flags == NULL)
    return;

  before = *flags;
  after = (before & ~unset) | set;
  *flags = after;
  count (shard, before, after);
  if (after == 0)
    bs_key_table_remove_marked (&shard->keys, flags);
  if ((before ^ after) & BS_MEMBER_PRESENT)
    self->changed (self->owner, key);
}

gboolean
bs_members_pin_present (BsMembers *self, const BsKey *key, guint64 hash)
{
  BsMemberShard *shard = &self->shards[bs_shard_index (hash)];
  guint8 *flags = bs_key_table_look_up_marks (&shard->keys, key, hash);

  if (flags == NULL || *flags != BS_MEMBER_PRESENT)
    return FALSE;

  *flags = BS_MEMBER_PRESENT | BS_MEMBER_PINNED;
  shard->n_flagged[__builtin_ctz (BS_MEMBER_PINNED)]++;
  return TRUE;
}

/* A running save that names the key looks at its names once more. */
static void
tell_save (BsMembers *self, const BsKey *key, guint64 hash)
{
  if (self->shards[bs_shard_index (hash)].n_flagged[__builtin_ctz (BS_MEMBER_PINNED)] > 0 &&
      (bs_members_get (self, key, hash) & BS_MEMBER_PINNED))
    g_atomic_int_set (&self->names_changed, TRUE);
}

void
bs_members_note_present (BsMembers *self, const BsKey *key, guint64 hash)
{
  bs_members_set (self, key, hash, BS_MEMBER_PRESENT, BS_MEMBER_UNCERTAIN);
}

void
bs_members_note_absent (BsMembers *self, const BsKey *key, guint64 hash)
{
  tell_save (self, key, hash);
  bs_members_set (self, key, hash, 0, BS_MEMBER_PRESENT | BS_MEMBER_UNCERTAIN);
}

void
bs_members_note_uncertain (BsMembers *self, const BsKey *key, guint64 hash)
{
  tell_save (self, key, hash);
  bs_members_set (self, key, hash, BS_MEMBER_UNCERTAIN, 0);
}

void
bs_members_claim (BsMembers *self, const BsKey *key, guint64 hash)
{
  BsMemberShard *shard = &self->shards[bs_shard_index (hash)];
  gboolean awaited = g_atomic_int_get (&self->n_awaiting_turn) > 0;
  BsMemberFlags set = awaited ? BS_MEMBER_CLAIMED : 0;

  if (G_LIKELY (!awaited && shard->n_flagged[__builtin_ctz (BS_MEMBER_ADDED)] == 0 &&
                shard->n_flagged[__builtin_ctz (BS_MEMBER_TO_DELETE)] == 0))
    return;

  /* An undo takes the pin off. */
  if (bs_members_get (self, key, hash) & BS_MEMBER_ADDED)
    set |= BS_MEMBER_PINNED;
  bs_members_set (self, key, hash, set, BS_MEMBER_ADDED | BS_MEMBER_TO_DELETE);
}

gboolean
bs_members_is_in_doubt (BsMembers *self, guint64 hash, BsMemberFlags flags)
{
  return G_UNLIKELY (g_atomic_int_get (&self->in_doubt)) &&
         self->shards[bs_shard_index (hash)].in_doubt && !(flags & BS_MEMBER_REDONE);
}

void
bs_members_settle_doubt (BsMembers *self,
                         const BsKey *key,
                         guint64 hash,
                         guint64 ticket,
                         gboolean of_bulk)
{
  BsMemberShard *shard = &self->shards[bs_shard_index (hash)];

  /* A change asked while the sync ran may have been made before it failed. */
  if (g_atomic_int_get (&self->in_doubt) &&
      ticket > (of_bulk ? shard->last_doubted_bulk : shard->last_doubted))
    bs_members_set (self, key, hash, BS_MEMBER_REDONE, 0);
}

/* Under the shard's mutex. */
static gboolean
has_any (const BsMemberShard *shard, BsMemberFlags flags)
{
  for (guint left = flags; left != 0; left &= left - 1)
    if (shard->n_flagged[__builtin_ctz (left)] > 0)
      return TRUE;

  return FALSE;
}

/* Not for PRESENT: no watch is told. Under the shard's mutex. */
static void
unset_shard (BsMemberShard *shard, BsMemberFlags unset)
{
  if (!has_any (shard, unset))
    return;

  bs_key_table_unset_marks (&shard->keys, unset);
  for (guint left = unset; left != 0; left &= left - 1)
    shard->n_flagged[__builtin_ctz (left)] = 0;
}

void
bs_members_doubt_all (BsMembers *self, guint64 last_bulk)
{
  g_atomic_int_set (&self->in_doubt, TRUE);
  for (guint i = 0; i < BS_N_SHARDS; i++)
    {
      BsMemberShard *shard = &self->shards[i];

      g_mutex_lock (&self->locks[i].mutex);
      shard->in_doubt = TRUE;
      shard->last_doubted = shard->tickets.last_ticket;
      shard->last_doubted_bulk = last_bulk;
      unset_shard (shard, BS_MEMBER_REDONE);
      g_mutex_unlock (&self->locks[i].mutex);
    }
  g_atomic_int_set (&self->names_changed, TRUE);
}

void
bs_members_unset_all (BsMembers *self, BsMemberFlags flags)
{
  for (guint i = 0; i < BS_N_SHARDS; i++)
    {
      g_mutex_lock (&self->locks[i].mutex);
      unset_shard (&self->shards[i], flags);
      g_mutex_unlock (&self->locks[i].mutex);
    }
}

void
bs_members_copy_pinned (BsMembers *self, const BsByteSet *first_bytes, BsKeyTable *keys)
{
  for (guint i = 0; i < BS_N_SHARDS; i++)
    {
      g_mutex_lock (&self->locks[i].mutex);
      if (self->shards[i].n_flagged[__builtin_ctz (BS_MEMBER_PINNED)] > 0)
        bs_key_table_copy_marked (&self->shards[i].keys, BS_MEMBER_PRESENT | BS_MEMBER_PINNED,
                                  first_bytes, keys);
      g_mutex_unlock (&self->locks[i].mutex);
    }
}

void
bs_members_note_missing (BsMembers *self, const BsKeyTable *keys)
{
  BsKeyTableIter iter = { 0 };
  const BsKey *key;

  while (bs_key_table_iter_next (keys, &iter, &key))
    {
      guint64 hash = bs_key_hash (key);
      GMutex *mutex = &self->locks[bs_shard_index (hash)].mutex;

      g_mutex_lock (mutex);
      bs_members_note_absent (self, key, hash);
      g_mutex_unlock (mutex);
    }
}

void
bs_members_await_turn (BsMembers *self)
{
  g_atomic_int_inc (&self->n_awaiting_turn);
}

void
bs_members_stop_awaiting_turn (BsMembers *self)
{
  if (!g_atomic_int_dec_and_test (&self->n_awaiting_turn))
    return;

  for (guint i = 0; i < BS_N_SHARDS; i++)
    {
      g_mutex_lock (&self->locks[i].mutex);
      /* Another save may await its turn by now. */
      if (g_atomic_int_get (&self->n_awaiting_turn) == 0)
        unset_shard (&self->shards[i], BS_MEMBER_CLAIMED);
      g_mutex_unlock (&self->locks[i].mutex);
    }
}

void
bs_members_copy_keys (BsMembers *self, guint shard, BsMemberFlags flags, GArray *keys)
{
  BsKeyTable *table = &self->shards[shard].keys;
  BsKeyTableIter iter = { 0 };
  const BsKey *key;

  g_mutex_lock (&self->locks[shard].mutex);
  if (has_any (&self->shards[shard], flags))
    while (bs_key_table_iter_next (table, &iter, &key))
      if (*bs_key_table_iter_get_marks (table, &iter) & flags)
        g_array_append_vals (keys, key, 1);
  g_mutex_unlock (&self->locks[shard].mutex);
}
