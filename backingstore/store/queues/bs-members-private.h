/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "base/bs-byte-set-private.h"
#include "base/bs-key-table-private.h"
#include "store/queues/bs-shard-private.h"
#include "store/queues/bs-tickets-private.h"

G_BEGIN_DECLS

/* The flags of a key at a tracked path. Under the shard's mutex. */
typedef enum
{
  BS_MEMBER_PRESENT = 1 << 0,
  BS_MEMBER_UNCERTAIN = 1 << 1,   /* a call failed: ask the backing */
  BS_MEMBER_PINNED = 1 << 2,      /* a running save names the key */
  BS_MEMBER_ADDED = 1 << 3,       /* the running save alone has asked for the key */
  BS_MEMBER_CLAIMED = 1 << 4,     /* an operation asked for the key while a save awaited its turn */
  BS_MEMBER_TO_DELETE = 1 << 5,   /* a running save deletes it, if no operation asks for it */
  BS_MEMBER_REDONE = 1 << 6,      /* persisted or deleted again since a sync failed */
} BsMemberFlags;

#define BS_N_MEMBER_FLAGS 7

/* The keys of one shard, under that shard's mutex. */
typedef struct
{
  _Alignas (BS_CACHE_LINE) BsKeyTable keys;   /* with their flags, none of them 0 */
  _Alignas (8) guint64 n_flagged[BS_N_MEMBER_FLAGS]; /* keys that have each flag; the first is written atomically */
  BsTickets tickets;

  gboolean in_doubt;            /* a sync has failed: a change that is not REDONE may be lost */
  guint64 last_doubted;         /* ticket in the list above, when it had */
  guint64 last_doubted_bulk;    /* ticket in the path's own list, when it had */
} BsMemberShard;

/* The keys of a tracked path. Part of it. */
typedef struct _BsMembers BsMembers;
struct _BsMembers
{
  /* constant */
  BsShard *locks;               /* the store's shards: for their mutexes */
  BsMemberShard *shards;        /* owned; BS_N_SHARDS of them */
  GObject *owner;               /* the tracked path, of which this is part */
  void (*changed) (GObject *owner, const BsKey *key);   /* the key has come or gone; called under its shard's mutex */

  int refusing;                 /* atomic; written under the path's mutex: no new operations */
  int n_awaiting_turn;          /* atomic: saves that were run and have not had their turn */
  int names_changed;            /* atomic: a pinned key may be here no longer, or not durably */
  int in_doubt;                 /* atomic: a sync has failed */
};

/* Takes the keys that a scan has found. */
void          bs_members_init          (BsMembers *self, BsShard *locks, const BsKeyTable *found, GObject *owner, void (*changed) (GObject *owner, const BsKey *key));
void          bs_members_clear         (BsMembers *self);

/* Whether a request is refused; an internal one is not. */
static inline gboolean
bs_members_refuse (BsMembers *self, gboolean internal)
{
  return !internal && g_atomic_int_get (&self->refusing);
}

/* Needs no lock. */
guint64       bs_members_get_n_keys    (BsMembers *self);

/* Under the shard's mutex, here and below. */
BsMemberFlags bs_members_get           (BsMembers *self, const BsKey *key, guint64 hash);
void          bs_members_set           (BsMembers *self, const BsKey *key, guint64 hash, BsMemberFlags set, BsMemberFlags unset);
/* Sets PINNED where PRESENT is the key's only flag; else returns FALSE. */
gboolean      bs_members_pin_present   (BsMembers *self, const BsKey *key, guint64 hash);
/* A call has changed whether the key is here, or may have changed it: UNCERTAIN. */
void          bs_members_note_present  (BsMembers *self, const BsKey *key, guint64 hash);
void          bs_members_note_absent   (BsMembers *self, const BsKey *key, guint64 hash);
void          bs_members_note_uncertain (BsMembers *self, const BsKey *key, guint64 hash);

/* An operation asks for the key: neither a running save nor its undo deletes it, and
 * a save that awaits its turn does not count it among the keys that it finds. */
void          bs_members_claim         (BsMembers *self, const BsKey *key, guint64 hash);

/* Whether the last change of the key may be lost, since a sync has failed that ought
 * to have made it durable. A later sync that succeeds proves nothing: the change has
 * to be made again. */
gboolean      bs_members_is_in_doubt   (BsMembers *self, guint64 hash, BsMemberFlags flags);
/* The change was made again, by an operation with that ticket in the list of the
 * shard, or in the path's own. */
void          bs_members_settle_doubt  (BsMembers *self, const BsKey *key, guint64 hash, guint64 ticket, gboolean of_bulk);

/* Takes each shard's mutex, here and below. A sync has failed, for every key.
 * `last_bulk` is the last ticket of the path's own list. */
void          bs_members_doubt_all     (BsMembers *self, guint64 last_bulk);
void          bs_members_unset_all     (BsMembers *self, BsMemberFlags flags);
/* The keys that are present and pinned, and whose first byte is in the set. */
void          bs_members_copy_pinned   (BsMembers *self, const BsByteSet *first_bytes, BsKeyTable *keys);
/* Another program has removed the keys. */
void          bs_members_note_missing  (BsMembers *self, const BsKeyTable *keys);
/* One save more awaits its turn, or one fewer: with the last one the claims go. */
void          bs_members_await_turn    (BsMembers *self);
void          bs_members_stop_awaiting_turn (BsMembers *self);
/* The keys of one shard that have any of the flags; appends BsKey to `keys`. */
void          bs_members_copy_keys     (BsMembers *self, guint shard, BsMemberFlags flags, GArray *keys);

G_END_DECLS
