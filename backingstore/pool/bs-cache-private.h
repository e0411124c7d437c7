/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "store/bs-backing-store-private.h"

#include "bs-counter-private.h"
#include "bs-entry-table-private.h"
#include "bs-pool-stats.h"
#include "bs-write-queue-private.h"

G_BEGIN_DECLS

/* The contents of one pool in memory. Outlives the pool, its owner, where the
 * application still holds what it loaded.
 *
 * One lock covers all of it. No thread holds the lock while it calls the store,
 * takes or drops a reference on a GObject, or drops one on a GBytes. A hit locks
 * two pointers instead: the item's, which keeps the entry, then the entry's, which
 * keeps the reference. The latter is also locked under the cache's lock. */
typedef struct _BsCache BsCache;

typedef enum
{
  BS_CHANGED_MEMORY_USE = 1 << 0,
  BS_CHANGED_MEMORY_IN_USE = 1 << 1,
  BS_CHANGED_N_ITEMS = 1 << 2,
  BS_CHANGED_N_RESIDENT = 1 << 3,
} BsCacheChanges;

typedef void (*BsCacheChangedFunc) (GObject *owner, BsCacheChanges changes);

typedef struct
{
  guint64 memory_use;         /* bytes held here */
  guint64 memory_in_use;      /* bytes evicted, yet held by the application */
  guint n_items;
  guint n_resident;
} BsCacheFigures;

struct _BsCache
{
  BsPayloadOwner payload_owner;       /* first */
  gatomicrefcount ref_count;

  GWeakRef weak_owner;

  /* constant; valid only while the owner is held */
  GObject *owner;             /* not owned */
  BsBackingStore *store;      /* owned by the owner */
  BsCodec *codec;             /* owned by the owner; NULL: none */
  BsCacheChangedFunc changed; /* called with no lock held */

  GMutex lock;

  /* under the lock */
  guint64 max_bytes;
  guint max_items;            /* G_MAXUINT: no limit */
  BsEntryTable entries;       /* one for each key */
  BsResidency residency;
  BsCacheFigures figures;
  BsCacheFigures told;        /* what the owner was told last */
  BsPoolStats stats;          /* but for the hits */
  GSource *retry;             /* owned; NULL once the owner is gone */

  BsWriteQueue write_queues[BS_N_TROUBLES];     /* by BsTrouble */
  GError *codec_error;        /* owned; the last one */
  guint64 estimate;           /* of an object's size: that of the last one that was encoded */
  BsAmount writing;           /* entries whose write is under way so that they may leave */
  guint n_behind;             /* writes under way of entries that need not leave yet */
  gboolean is_behind_paused;  /* one of those failed, and no write has succeeded since */
  BsLink trims;               /* BsTrim, by link */
  guint64 n_given_up;         /* bytes evicted since memory was last given back to the system */

  BsCounter hits;
};

BsCache     *bs_cache_new            (GObject *owner, BsCacheChangedFunc changed) G_GNUC_WARN_UNUSED_RESULT;
BsCache     *bs_cache_ref            (BsCache *self);
void         bs_cache_unref          (BsCache *self);

/* The owner, if it is still alive. */
GObject     *bs_cache_dup_owner      (BsCache *self) G_GNUC_WARN_UNUSED_RESULT;
/* Tells the owner, which is held, of what bs_cache_take_changes_locked() returned. */
void         bs_cache_tell_changes   (BsCache *self, BsCacheChanges changes);

void         bs_cache_count_item     (BsCache *self);

/* Returns a reference on the entry of a key, the one that is there or a new one, which
 * is clean. Takes the token over; where it is not needed it is returned, and the caller
 * drops it. */
BsEntry     *bs_cache_obtain_entry   (BsCache *self, BsToken *token, BsToken **spare) G_GNUC_WARN_UNUSED_RESULT;
/* The entry that is there, or NULL. */
BsEntry     *bs_cache_lookup_entry   (BsCache *self, const BsKey *key) G_GNUC_WARN_UNUSED_RESULT;

/* Drops a reference. Returns the token when that was the last one: the caller
 * drops it. */
BsToken *bs_cache_release_entry  (BsCache *self, BsEntry *entry) G_GNUC_WARN_UNUSED_RESULT;
/* The same for the reference of an item that goes; counts it. */
BsToken *bs_cache_release_item   (BsCache *self, BsEntry *entry) G_GNUC_WARN_UNUSED_RESULT;

/* The size of an object that counts as nothing until it is measured. */
#define BS_SIZE_UNMEASURED (-1)
/* The size of one of which the codec says nothing: it counts as much as the last one that
 * was encoded, until it is encoded itself. */
#define BS_SIZE_NOT_SAID (-2)

/* Gives a new entry its content. If it is unmeasured a reference on it is returned, for
 * bs_cache_set_size(), else 0. */
BsReference  bs_cache_insert         (BsCache *self, BsEntry *entry, BsKind kind, gpointer content, gint64 size);
/* FALSE if the entry has another content, or its size, by now. */
gboolean     bs_cache_set_size       (BsCache *self, BsEntry *entry, BsReference reference, guint64 size);
/* Returns the content if it is in memory in this kind. May set `came_back`: it was
 * evicted before. */
gpointer     bs_cache_find           (BsCache *self, BsEntry *entry, BsKind kind, gboolean *came_back) G_GNUC_WARN_UNUSED_RESULT;
/* Gives an entry the content that was read, from `n_read` bytes; the first one
 * wins. Returns the content that loads get. */
gpointer     bs_cache_adopt          (BsCache *self, BsEntry *entry, BsKind kind, gpointer content, guint64 size, guint64 n_read, gboolean *size_changed) G_GNUC_WARN_UNUSED_RESULT;

/* Returns the content to write, NULL if the entry is clean. */
BsContent   *bs_cache_dup_unwritten  (BsCache *self, BsEntry *entry) G_GNUC_WARN_UNUSED_RESULT;
/* The same before a read in this kind: NULL also if the entry is held in it. */
BsContent   *bs_cache_dup_other_kind (BsCache *self, BsEntry *entry, BsKind kind) G_GNUC_WARN_UNUSED_RESULT;
/* The same before a persist, which may have to write a clean entry again. The owner
 * is held. */
BsContent   *bs_cache_dup_unpersisted (BsCache *self, BsEntry *entry) G_GNUC_WARN_UNUSED_RESULT;
/* The entry is in primary storage. */
void         bs_cache_mark_clean     (BsCache *self, BsEntry *entry);

/* The lock must be held for all of these. */
/* Returns the changes since the last call. */
BsCacheChanges bs_cache_take_changes_locked (BsCache *self) G_GNUC_WARN_UNUSED_RESULT;
/* The entry is in memory and on no list. Returns the reference that the caller
 * must drop after unlocking. */
BsReference  bs_cache_evict_locked   (BsCache *self, BsEntry *entry) G_GNUC_WARN_UNUSED_RESULT;
void         bs_cache_mark_clean_locked (BsCache *self, BsEntry *entry);
/* The entry is in memory, and was used. */
void         bs_cache_enter_locked   (BsCache *self, BsEntry *entry);
/* The same for one that was not used since it was to leave. */
void         bs_cache_restore_locked (BsCache *self, BsEntry *entry);

/* Returns a reference on a resident content, without the cache's lock: the item's
 * pointer is locked. 0 if the entry is not resident in this kind. */
static inline BsReference
bs_cache_hit (BsCache *self, BsEntry *entry, BsKind kind)
{
  BsReference reference;

  if (__atomic_load_n (&entry->place, __ATOMIC_RELAXED) != BS_PLACE_RESIDENT)
    return 0;

  reference = (BsReference) bs_locked_pointer_lock (&entry->reference);
  if (reference != 0 && bs_reference_get_kind (reference) == kind)
    bs_reference_dup (reference);
  else
    reference = 0;
  bs_locked_pointer_unlock (&entry->reference);

  if (reference != 0)
    bs_residency_hit (&self->residency, &entry->node);
  return reference;
}

G_END_DECLS
