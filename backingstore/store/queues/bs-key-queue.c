/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-key-queue-private.h"

#include <glib/gi18n-lib.h>

/* A shard knows only those keys that have operations just now: of each the last
 * one, in a small hash table of chains. The operations of one key follow each other
 * by `previous` and `next`. */

#define FEWEST_CHAINS 8
#define FEW_CHAINS 64 /* a shard without operations keeps no more */

/* The states of a key that a kind of operation reads and writes. */
typedef enum
{
  READS_PRIMARY = 1 << 0,
  WRITES_PRIMARY = 1 << 1,
  READS_MEMBER = 1 << 2,
  WRITES_MEMBER = 1 << 3,
} Effects;

static Effects
effects (BsOperationKind kind)
{
  switch ((int) kind)
    {
    case BS_KIND_WRITE:
    case BS_KIND_DELETE:
      return WRITES_PRIMARY;
    case BS_KIND_READ:
    case BS_KIND_READ_STREAM:
      return READS_PRIMARY;
    case BS_KIND_REGISTER:
      return WRITES_PRIMARY | READS_MEMBER;
    case BS_KIND_PERSIST:
      return READS_PRIMARY | WRITES_MEMBER;
    case BS_KIND_DELETE_PERSISTED:
      return WRITES_MEMBER;
    case BS_KIND_VERIFY:
      /* A bad blob is taken out. */
      return READS_MEMBER | WRITES_MEMBER;
    default:
      g_assert_not_reached ();
    }
}

static gboolean
conflicts (const BsStoreOperation *operation, BsOperationKind kind, BsTrackedPath *tracked)
{
  Effects a = effects (operation->kind), b = effects (kind);
  Effects reads = READS_PRIMARY, writes = WRITES_PRIMARY;

  if (operation->tracked == tracked)
    {
      reads |= READS_MEMBER;
      writes |= WRITES_MEMBER;
    }
  return (((a & reads) << 1 | a) & b & writes) != 0 || (((b & reads) << 1 | b) & a & writes) != 0;
}

/* The link to the last operation of the key, or the place for one. */
static BsKeyOperation **
find_link (BsShard *shard, const BsKey *key, guint64 hash)
{
  BsKeyOperation **link = &shard->chains[hash & (shard->n_chains - 1)];

  while (*link != NULL && !bs_key_equal (&(*link)->key, key))
    link = &(*link)->next_in_chain;

  return link;
}

static void
resize (BsShard *shard, guint n_chains)
{
  BsKeyOperation **old = shard->chains;
  guint n_old = shard->n_chains;

  shard->chains = g_new0 (BsKeyOperation *, n_chains);
  shard->n_chains = n_chains;
  for (guint i = 0; i < n_old; i++)
    while (old[i] != NULL)
      {
        BsKeyOperation *last = old[i];
        BsKeyOperation **chain = &shard->chains[last->hash & (n_chains - 1)];

        old[i] = last->next_in_chain;
        last->next_in_chain = *chain;
        *chain = last;
      }
  g_free (old);
}

BsKeyOperation *
bs_key_queue_find_last (BsShard *shard, const BsKey *key, guint64 hash)
{
  return shard->n_queues > 0 ? *find_link (shard, key, hash) : NULL;
}

void
bs_key_queue_append (BsKeyOperation *self, BsKeyOperation *last)
{
  BsShard *shard = self->shard;
  BsKeyOperation **link;

  self->operation.next = NULL;
  self->operation.previous = (BsStoreOperation *) last;
  if (last != NULL)
    {
      last->operation.next = &self->operation;
      if (self->token == NULL)
        self->token = last->token;
      link = find_link (shard, &self->key, self->hash);
      self->next_in_chain = last->next_in_chain;
    }
  else
    {
      if (shard->n_queues++ == shard->n_chains)
        resize (shard, MAX (FEWEST_CHAINS, shard->n_chains * 4));
      link = &shard->chains[self->hash & (shard->n_chains - 1)];
      self->next_in_chain = *link;
    }
  *link = self;
}

BsKeyOperation *
bs_key_queue_remove (BsKeyOperation *self)
{
  BsShard *shard = self->shard;
  BsStoreOperation *previous = self->operation.previous, *next = self->operation.next;

  if (next != NULL)
    {
      next->previous = previous;
    }
  else
    {
      BsKeyOperation **link = find_link (shard, &self->key, self->hash);
      BsKeyOperation *last = (BsKeyOperation *) previous;

      if (last != NULL)
        {
          last->next_in_chain = self->next_in_chain;
          if (last->token == NULL)
            last->token = self->token;
          *link = last;
        }
      else
        {
          *link = self->next_in_chain;
          shard->n_queues--;
        }
    }
  if (previous != NULL)
    previous->next = next;
  self->operation.previous = self->operation.next = NULL;

  if (shard->n_queues == 0 && shard->n_chains > FEW_CHAINS)
    {
      g_clear_pointer (&shard->chains, g_free);
      shard->n_chains = 0;
    }

  return previous == NULL ? (BsKeyOperation *) next : NULL;
}

BsKeyOperation *
bs_key_queue_find_joinable (BsKeyOperation *last, BsOperationKind kind, BsTrackedPath *tracked)
{
  /* Each stream has a place of its own. */
  if (kind == BS_KIND_READ_STREAM)
    return NULL;

  for (BsStoreOperation *operation = (BsStoreOperation *) last; operation != NULL;
       operation = operation->previous)
    {
      if (bs_store_operation_is_joinable (operation, kind, tracked))
        return (BsKeyOperation *) operation;
      if (conflicts (operation, kind, tracked))
        return NULL;
    }

  return NULL;
}

static gboolean
is_in_primary (const BsToken *token)
{
  return token != NULL && token->primary == BS_PRIMARY_PRESENT;
}

BsNeed
bs_key_queue_need (BsOperationKind kind,
                   const BsToken *token,
                   BsMembers *members,
                   BsMemberFlags flags,
                   guint64 hash)
{
  gboolean uncertain = (flags & BS_MEMBER_UNCERTAIN) != 0;
  gboolean present = (flags & BS_MEMBER_PRESENT) != 0;

  switch ((int) kind)
    {
    case BS_KIND_WRITE:
      return is_in_primary (token) ? BS_NEED_NOTHING : BS_NEED_CALL;
    case BS_KIND_REGISTER:
      if (!present && !uncertain)
        return BS_NEED_MISSING;
      return !uncertain && is_in_primary (token) ? BS_NEED_NOTHING : BS_NEED_CALL;
    case BS_KIND_PERSIST:
      return present && !uncertain && !bs_members_is_in_doubt (members, hash, flags)
               ? BS_NEED_NOTHING
               : BS_NEED_CALL;
    case BS_KIND_DELETE_PERSISTED:
      return !present && !uncertain && !bs_members_is_in_doubt (members, hash, flags)
               ? BS_NEED_NOTHING
               : BS_NEED_CALL;
    case BS_KIND_VERIFY:
      return !present && !uncertain ? BS_NEED_NOTHING : BS_NEED_CALL;
    default:
      return BS_NEED_CALL;
    }
}

void
bs_key_queue_note (BsOperationKind kind,
                   const BsKey *key,
                   guint64 hash,
                   BsToken *token,
                   BsMembers *members,
                   const GError *error)
{
  gboolean missing = error != NULL && g_error_matches (error, BS_ERROR, BS_ERROR_NOT_FOUND);

  switch ((int) kind)
    {
    case BS_KIND_WRITE:
      token->primary = error == NULL ? BS_PRIMARY_PRESENT : BS_PRIMARY_UNCERTAIN;
      break;
    case BS_KIND_READ:
    case BS_KIND_READ_STREAM:
      if (missing)
        token->primary = BS_PRIMARY_UNCERTAIN;
      break;
    case BS_KIND_DELETE:
      /* A failed deletion is not tried again: the blob stays in scratch. */
      token->primary = BS_PRIMARY_ABSENT;
      break;
    case BS_KIND_REGISTER:
      /* A path without the key says nothing of primary storage. */
      if (error == NULL)
        token->primary = BS_PRIMARY_PRESENT;
      else if (token->primary != BS_PRIMARY_PRESENT && !missing)
        token->primary = BS_PRIMARY_UNCERTAIN;
      if (error == NULL)
        bs_members_note_present (members, key, hash);
      else
        bs_members_note_uncertain (members, key, hash);
      break;
    case BS_KIND_PERSIST:
      if (error == NULL)
        bs_members_note_present (members, key, hash);
      else
        bs_members_note_uncertain (members, key, hash);
      break;
    case BS_KIND_DELETE_PERSISTED:
      if (error == NULL)
        bs_members_note_absent (members, key, hash);
      else
        bs_members_note_uncertain (members, key, hash);
      break;
    case BS_KIND_VERIFY:
      if (error == NULL)
        bs_members_note_present (members, key, hash);
      else if (missing || g_error_matches (error, BS_ERROR, BS_ERROR_CORRUPT))
        bs_members_note_absent (members, key, hash);
      else
        bs_members_note_uncertain (members, key, hash);
      break;
    default:
      g_assert_not_reached ();
    }
}

GError *
bs_key_queue_missing_error (BsOperationKind kind, const BsKey *key, GFile *file)
{
  if (kind == BS_KIND_WRITE)
    return bs_operation_error (kind, key, NULL, G_IO_ERROR, G_IO_ERROR_CANCELLED,
                               _ ("no item holds the blob any more"));

  return bs_operation_error (kind, key, file, BS_ERROR, BS_ERROR_NOT_FOUND,
                             _ ("there is no such key"));
}

GError *
bs_key_queue_pinned_error (const BsKey *key, GFile *file)
{
  return bs_operation_error (BS_KIND_DELETE_PERSISTED, key, file, BS_ERROR, BS_ERROR_BUSY,
                             _ ("a running save names the key"));
}
