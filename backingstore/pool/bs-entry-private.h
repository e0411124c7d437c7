/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "store/bs-backing-store-private.h"

#include "bs-locked-pointer-private.h"
#include "bs-payload-private.h"
#include "bs-residency-private.h"

G_BEGIN_DECLS

typedef enum
{
  BS_PLACE_OUT,               /* not in memory, or held by the application alone */
  BS_PLACE_RESIDENT,          /* in the residency */
  BS_PLACE_QUEUED,            /* to leave: waits for its write */
  BS_PLACE_WRITING,           /* to leave: its write is under way; on no list */
} BsPlace;

/* Why a dirty entry is still in memory. Each has a write queue of its own. */
typedef enum
{
  BS_TROUBLE_NONE,            /* not tried yet, or tried with success */
  BS_TROUBLE_BACKING,         /* its last write failed */
  BS_TROUBLE_CODEC,           /* its last encoding failed */
} BsTrouble;

#define BS_N_TROUBLES 3

/* One immutable content of a cache, and the token that keeps its key. Shared by
 * items, and by the operations under way for it. */
struct _BsEntry
{
  gint ref_count;             /* atomic */

  /* changed under the cache's lock; atomic for readers without it */
  guint8 place;               /* BsPlace */
  guint8 is_clean;            /* in primary storage, for good; else there is a payload */

  /* under the cache's lock */
  guint8 is_size_known : 1;
  guint8 is_estimated : 1;    /* the size, until the object is encoded */
  guint8 was_used : 1;        /* while its write was under way */
  guint8 trouble : 2;         /* BsTrouble */
  guint8 is_reported : 1;     /* the trouble, which is reported once */

  /* constant */
  BsToken *token;             /* owned */
  BsKey key;                  /* a copy: a lookup need not fetch the token into the processor's cache */

  /* under the cache's lock */
  BsEntry *next_in_chain;     /* of the cache's table */
  BsPayload *payload;         /* not owned: a dying payload clears it */
  BsResidencyNode node;       /* a hit notes its time without the lock */

  /* changed under the cache's lock and its own bit lock; either keeps it as it is */
  gpointer reference;         /* BsReference, owned, while the entry is in memory */
};

static inline BsEntry *
bs_entry_ref (BsEntry *self)
{
  g_atomic_int_inc (&self->ref_count);
  return self;
}

/* FALSE if the entry is dying. */
static inline gboolean
bs_entry_try_ref (BsEntry *self)
{
  return bs_try_ref (&self->ref_count);
}

/* Under the cache's lock. The entry keeps its reference. */
static inline BsReference
bs_entry_get_reference (BsEntry *self)
{
  return (BsReference) bs_locked_pointer_get (&self->reference);
}

/* Under the cache's lock. Takes a reference over, and returns the old one. */
static inline BsReference
bs_entry_exchange_reference (BsEntry *self, BsReference reference)
{
  return (BsReference) bs_locked_pointer_exchange (&self->reference, (gpointer) reference);
}

static inline void
bs_entry_set_place (BsEntry *self, BsPlace place)
{
  __atomic_store_n (&self->place, place, __ATOMIC_RELAXED);
}

/* A clean entry stays clean. */
static inline gboolean
bs_entry_is_clean (const BsEntry *self)
{
  return __atomic_load_n (&self->is_clean, __ATOMIC_ACQUIRE);
}

static inline BsEntry *
bs_entry_from_node (BsResidencyNode *node)
{
  return (BsEntry *) ((char *) node - G_STRUCT_OFFSET (BsEntry, node));
}

static inline BsEntry *
bs_entry_from_link (BsLink *link)
{
  return bs_entry_from_node ((BsResidencyNode *) link);
}

/* A number of entries, and their size. */
typedef struct
{
  guint64 bytes;
  guint n;
} BsAmount;

static inline void
bs_amount_add (BsAmount *amount, const BsEntry *entry)
{
  amount->bytes += entry->node.size;
  amount->n++;
}

static inline void
bs_amount_subtract (BsAmount *amount, const BsEntry *entry)
{
  amount->bytes -= entry->node.size;
  amount->n--;
}

G_END_DECLS
