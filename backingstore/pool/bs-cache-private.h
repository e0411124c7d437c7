/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "store/bs-backing-store-private.h"

#include "bs-counter-private.h"
#include "bs-entry-table-private.h"
#include "bs-failures-private.h"
#include "bs-pool-stats.h"
#include "bs-write-queue-private.h"

G_BEGIN_DECLS

/* The contents of one pool in memory. A cache outlives the pool, its owner, where the
 * application still holds loaded contents.
 *
 * One lock covers a whole cache. No thread holds the lock while it calls the store,
 * takes or drops a reference on a GObject, or drops one on a GBytes. A hit locks
 * two pointers instead: the item's, which keeps the entry, then the entry's, which
 * keeps the reference. The entry's pointer is also locked under the cache's lock. */
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
  guint64 memory_use;         /* bytes of entries in memory */
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
  BsCodec *codec;             /* owned by the owner, nullable */
  BsCacheChangedFunc changed; /* called with no lock held */

  GMutex lock;

  /* under the lock */
  guint64 max_bytes;
  guint max_items;            /* G_MAXUINT: no limit */
  BsEntryTable entries;       /* one for each key */
  BsResidency residency;
  BsCacheFigures figures;
  BsCacheFigures told;        /* figures at the last notification */
  BsCacheChanges seen;        /* those that were read since, while they differed from the told ones */
  BsPoolStats stats;          /* all but the hits */
  GSource *retry;             /* owned; NULL once the owner is gone */

  BsWriteQueue write_queues[BS_N_TROUBLES];     /* by BsTrouble */
  GError *codec_error;        /* owned; the last one */
  BsFailures failures;        /* of contents that could not be decoded */
  GHashTable *ahead;          /* owned, nullable; what is read ahead: for bs_pool_prefetch() */
  guint64 n_prefetches;       /* its calls */
  guint64 estimate;           /* of the size of an object: the size of the last encoded one */
  BsAmount writing;           /* entries in BS_PLACE_WRITING */
  guint n_behind;             /* writes-behind under way */
  gboolean is_behind_paused;  /* a write-behind failed, and no write has succeeded since */
  BsLink trims;               /* BsTrim, by link */
  guint64 n_given_up;         /* bytes evicted since memory was last given back to the system */
  int n_dropping;             /* atomic: evicted references that are not dropped yet */
  int gives_back;             /* atomic: with the last of those, memory goes back to the system */

  BsCounter hits;
};

/* The rest of an entry that has parted from its payload, to be dropped after unlocking. */
typedef struct
{
  BsReference reference;      /* the entry's, or 0 */
  BsPayload *payload;         /* a reference; NULL if the payload is dying */
} BsDetached;

/* The rest of an entry without references, to be dropped after unlocking. */
typedef struct
{
  BsEntry *entry;             /* owned; NULL where the entry has references */
  BsFailure *failure;         /* owned, nullable */
  BsDetached detached;
} BsReleased;

BsCache     *bs_cache_new            (GObject *owner, BsCacheChangedFunc changed) G_GNUC_WARN_UNUSED_RESULT;
BsCache     *bs_cache_ref            (BsCache *self);
void         bs_cache_unref          (BsCache *self);

/* The owner, if it is still alive. */
GObject     *bs_cache_dup_owner      (BsCache *self) G_GNUC_WARN_UNUSED_RESULT;
/* Tells the owner of the result of bs_cache_take_changes_locked(). The caller holds the owner. */
void         bs_cache_tell_changes   (BsCache *self, BsCacheChanges changes);

void         bs_cache_count_item     (BsCache *self);

/* Returns a reference on the entry of a key, which is made, clean, where there is none.
 * Takes the token over, or returns it in `spare` for the caller to drop. */
BsEntry     *bs_cache_obtain_entry   (BsCache *self, BsToken *token, BsToken **spare) G_GNUC_WARN_UNUSED_RESULT;
/* Returns a reference on the entry of a key, or NULL. */
BsEntry     *bs_cache_lookup_entry   (BsCache *self, const BsKey *key) G_GNUC_WARN_UNUSED_RESULT;

/* Drops a reference. The last one returns the token, for the caller to drop. */
BsToken *bs_cache_release_entry  (BsCache *self, BsEntry *entry) G_GNUC_WARN_UNUSED_RESULT;
/* Frees the rest of an entry that was released, after unlocking. Returns the token, for the
 * caller to drop; NULL where the entry has references. */
BsToken *bs_released_clear       (BsReleased *released) G_GNUC_WARN_UNUSED_RESULT;

/* The size of an object that counts as 0 until the codec measures it. */
#define BS_SIZE_UNMEASURED (-1)
/* The size of an object of which the codec says nothing. The object counts as much as the
 * last encoded one, until it is encoded itself. */
#define BS_SIZE_NOT_SAID (-2)

/* Makes the entry of a new content. Takes the token over. Sets `unmeasured` to a reference on an
 * unmeasured content, for bs_cache_set_size(), else to 0. */
BsEntry     *bs_cache_insert         (BsCache *self, BsToken *token, BsKind kind, gpointer content, gint64 size, BsReference *unmeasured) G_GNUC_WARN_UNUSED_RESULT;
/* Makes the entry of a new content that is in primary storage and not in memory. Takes the
 * token over. A size below 0 is not known. */
BsEntry     *bs_cache_insert_stored  (BsCache *self, BsToken *token, gint64 size) G_GNUC_WARN_UNUSED_RESULT;
/* FALSE if the entry already has another content or a size. */
gboolean     bs_cache_set_size       (BsCache *self, BsEntry *entry, BsReference reference, gint64 size);
/* Returns the content if it is in memory in this kind. Sets `came_back` if the content
 * was evicted, and is resident again. */
gpointer     bs_cache_find           (BsCache *self, BsEntry *entry, BsKind kind, gboolean *came_back) G_GNUC_WARN_UNUSED_RESULT;
/* Gives an entry a content made from `n_read` bytes. Where several threads have read, the
 * first content wins, and all of them return it. */
gpointer     bs_cache_adopt          (BsCache *self, BsEntry *entry, BsKind kind, gpointer content, guint64 size, guint64 n_read, gboolean *size_changed) G_GNUC_WARN_UNUSED_RESULT;

/* The content could not be decoded, or could, where `error` is NULL. */
void         bs_cache_set_failure    (BsCache *self, BsEntry *entry, const GError *error);
GError      *bs_cache_dup_failure    (BsCache *self, BsEntry *entry) G_GNUC_WARN_UNUSED_RESULT;

/* Returns the content to write, NULL if the entry is clean. */
BsContent   *bs_cache_dup_unwritten  (BsCache *self, BsEntry *entry) G_GNUC_WARN_UNUSED_RESULT;
/* Returns the content to write before a read in this kind: NULL if the entry is clean or in
 * memory in this kind. */
BsContent   *bs_cache_dup_other_kind (BsCache *self, BsEntry *entry, BsKind kind) G_GNUC_WARN_UNUSED_RESULT;
/* Returns the content to write before a persist, which may have to write a clean entry
 * again. The caller holds the owner. */
BsContent   *bs_cache_dup_unpersisted (BsCache *self, BsEntry *entry) G_GNUC_WARN_UNUSED_RESULT;
/* The entry is in primary storage. */
void         bs_cache_mark_clean     (BsCache *self, BsEntry *entry);

/* All further functions need the lock. */

/* Returns the changes since the last call. */
BsCacheChanges bs_cache_take_changes_locked (BsCache *self) G_GNUC_WARN_UNUSED_RESULT;
/* A figure that is read before its change is told of may change back by then: the next
 * notification is of that figure, too. */
BsCacheFigures bs_cache_read_figures (BsCache *self);
/* The entry is in memory and on no list. Returns a reference, for the caller to drop after
 * unlocking. */
BsReference  bs_cache_evict_locked   (BsCache *self, BsEntry *entry) G_GNUC_WARN_UNUSED_RESULT;
void         bs_cache_mark_clean_locked (BsCache *self, BsEntry *entry);
/* Drops the reference of an item that goes, and counts one item less. `released` is zeroed. */
void         bs_cache_release_item_locked (BsCache *self, BsEntry *entry, BsReleased *released);
/* A used entry goes to the new end of the residency. */
void         bs_cache_enter_locked   (BsCache *self, BsEntry *entry);
/* An entry without a use since it was chosen to leave goes to the old end. */
void         bs_cache_restore_locked (BsCache *self, BsEntry *entry);

/* Returns a reference on a resident content, or 0 if the entry is not resident in this
 * kind. The item's pointer is locked, the cache is not. */
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
