/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "store/bs-backing-store-private.h"

#include "bs-payload-private.h"
#include "bs-counter-private.h"
#include "bs-pool.h"
#include "bs-residency-private.h"
#include "bs-word-lock-private.h"

G_BEGIN_DECLS

/* What a pool has in memory. Outlives the pool where the application still
 * holds what it loaded.
 *
 * One lock covers it all. It is never held while calling the store or taking or
 * dropping a reference on a GObject, and never while dropping one on a GBytes.
 * A use of what is resident takes it not at all, but two word locks: that of the
 * item, which keeps its entry, and that of the entry, which keeps its hold. They
 * are taken in this order, the entry's also under the cache's lock. */

typedef enum
{
  BS_PLACE_OUT,               /* not in memory, or held by the application alone */
  BS_PLACE_RESIDENT,          /* in the residency */
  BS_PLACE_OUTBOX,            /* to leave: waits for its write */
  BS_PLACE_WRITING,           /* to leave: its write is under way; on no list */
} BsPlace;

/* Why a dirty entry is still in memory. Each has an outbox of its own. */
typedef enum
{
  BS_TROUBLE_NONE,            /* not tried yet, or tried with success */
  BS_TROUBLE_BACKING,         /* its last write failed */
  BS_TROUBLE_CODEC,           /* its last encoding failed */
} BsTrouble;

#define BS_N_OUTBOXES 3

/* One immutable content, and the token that keeps its key. Shared by items,
 * and by the operations under way for it. */
struct _BsEntry
{
  gint ref_count;             /* atomic */

  /* changed under the cache's lock; atomic for those who only look */
  guint8 place;               /* BsPlace */
  guint8 is_clean;            /* it is in primary storage, for good; else there is a payload */

  /* under the cache's lock */
  guint8 is_size_known : 1;
  guint8 was_used : 1;        /* while its write was under way */
  guint8 trouble : 2;         /* BsTrouble; it was reported */
  BsPayload *payload;           /* not owned: dies with its last holder */
  BsResidencyNode node;       /* its last use is noted without the lock */

  /* changed under both the cache's lock and this word's own: either keeps it */
  guintptr reference;              /* BsReference, owned, while the entry is in memory */

  /* constant */
  BsKeyRecord *record;        /* one token */
  BsKey key;                  /* the record's: to look for the key without waiting for the record */
};

typedef struct
{
  guint64 bytes;
  guint n;
} BsAmount;

/* Dirty entries that are to leave memory, and when they may be tried. */
typedef struct
{
  BsLink entries;               /* by node.link, next one first */
  BsAmount amount;
  guint n_writing;
  guint epoch;                /* failures so far; those of writes that ran side by side count as one */
  gint64 pause;               /* microseconds; 0: all is well */
  gint64 retry_at;            /* monotonic time; means something while there is a pause */
} BsOutbox;

typedef enum
{
  BS_CHANGED_MEMORY_USE = 1 << 0,
  BS_CHANGED_MEMORY_IN_USE = 1 << 1,
  BS_CHANGED_N_ITEMS = 1 << 2,
  BS_CHANGED_N_RESIDENT = 1 << 3,
} BsCacheChanges;

typedef struct
{
  guint64 memory_use;         /* bytes held here */
  guint64 memory_in_use;      /* bytes evicted, yet held by the application */
  guint n_items;
  guint n_resident;
} BsCacheFigures;

struct _BsCache
{
  gatomicrefcount ref_count;

  GWeakRef pool;

  BsCodec *codec;             /* the pool's; only for those who have the pool. NULL: none */

  GMutex lock;

  /* under the lock */
  guint64 max_bytes;
  guint max_items;            /* G_MAXUINT: as many as there are */
  BsResidency residency;
  BsCacheFigures figures;
  BsCacheFigures told;        /* what was notified last */
  BsPoolStats stats;          /* but for the hits */
  GSource *retry;             /* owned; NULL when the pool is gone */

  BsOutbox outboxes[BS_N_OUTBOXES];     /* by BsTrouble */
  GError *codec_error;        /* owned; the last one */
  BsAmount writing;           /* entries whose write is under way so that they may leave */
  guint n_behind;             /* writes under way of entries that need not leave yet */
  gboolean is_behind_paused;  /* one of those failed, and none has come through since */
  BsLink trims;               /* BsTrim, by link */

  BsCounter hits;
};

BsCache     *bs_cache_new            (BsPool *pool);
BsCache     *bs_cache_ref            (BsCache *self);
void         bs_cache_unref          (BsCache *self);

/* Takes the token over. */
BsEntry      *bs_entry_new             (BsKeyRecord *record, gboolean is_clean);
BsEntry      *bs_entry_ref             (BsEntry *entry);
/* FALSE when the entry is dying. */
gboolean     bs_entry_try_ref         (BsEntry *entry);
/* Returns the token when that was the last reference: the caller drops it. */
BsKeyRecord *bs_cache_release_entry   (BsCache *self, BsEntry *entry) G_GNUC_WARN_UNUSED_RESULT;

/* A new entry's content. The object's size is what its codec says; if it is NULL,
 * that is not known yet, and a reference on the hold is returned. */
void         bs_cache_insert         (BsCache *self, BsEntry *entry, GBytes *content);
BsReference       bs_cache_insert_object  (BsCache *self, BsEntry *entry, GObject *object, const guint64 *size);
/* What is in memory, or NULL. `came_back` may be set: it was evicted before. */
GBytes      *bs_cache_find           (BsCache *self, BsEntry *entry, gboolean *came_back) G_GNUC_WARN_UNUSED_RESULT;
GObject     *bs_cache_find_object    (BsCache *self, BsEntry *entry, gboolean *came_back) G_GNUC_WARN_UNUSED_RESULT;
/* An entry's content was read; the first to come wins. Returns what loads get. */
GBytes      *bs_cache_adopt          (BsCache *self, BsEntry *entry, GBytes *content, gboolean *size_changed) G_GNUC_WARN_UNUSED_RESULT;
GObject     *bs_cache_adopt_object   (BsCache *self, BsEntry *entry, GObject *object, guint64 size, guint64 n_read, gboolean *size_changed) G_GNUC_WARN_UNUSED_RESULT;
/* The size of an object was not known before. TRUE if it is of interest still. */
gboolean     bs_cache_measured       (BsCache *self, BsEntry *entry, BsReference reference, guint64 size);
/* Whether the entry has to be written before its content can be had in this kind. */
gboolean     bs_cache_is_in_the_way  (BsCache *self, BsEntry *entry, BsKind kind);
void         bs_cache_count_miss     (BsCache *self);
/* What to write, NULL if the entry is clean. */
BsContent   *bs_cache_dup_unwritten  (BsCache *self, BsEntry *entry) G_GNUC_WARN_UNUSED_RESULT;
/* The same, also of one that is clean, as long as anybody holds its content. */
BsContent   *bs_cache_dup_content    (BsCache *self, BsEntry *entry) G_GNUC_WARN_UNUSED_RESULT;
/* The entry is in primary storage. */
void         bs_cache_mark_clean     (BsCache *self, BsEntry *entry);
/* The payload is dying. TRUE if it was an evicted entry's. */
gboolean     bs_cache_forget_payload  (BsCache *self, BsPayload *payload);

/* The lock must be held; the entry is in memory and on no list. Returns what the
 * caller must drop after unlocking. */
BsReference       bs_cache_evict_locked   (BsCache *self, BsEntry *entry) G_GNUC_WARN_UNUSED_RESULT;
void         bs_cache_mark_clean_locked (BsCache *self, BsEntry *entry);
void         bs_cache_enter_locked   (BsCache *self, BsEntry *entry);
/* The same for one that was not used since it was to leave. */
void         bs_cache_restore_locked (BsCache *self, BsEntry *entry);
void         bs_cache_outbox_append_locked (BsCache *self, BsEntry *entry);
void         bs_cache_outbox_remove_locked (BsCache *self, BsEntry *entry);

BsCacheChanges bs_cache_take_changes_locked (BsCache *self);

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

/* Uses what is resident, without the cache's lock: the item's word is locked.
 * Returns a reference on the entry's hold; 0 if it is not resident, or there is
 * more to do. */
static inline BsReference
bs_cache_hit (BsCache *self, BsEntry *entry, BsKind kind)
{
  BsReference reference;

  if (__atomic_load_n (&entry->place, __ATOMIC_RELAXED) != BS_PLACE_RESIDENT)
    return 0;

  reference = bs_word_lock (&entry->reference);
  if (reference == 0 || bs_reference_get_kind (reference) != kind)
    {
      bs_word_unlock (&entry->reference, reference);
      return 0;
    }
  bs_reference_ref (reference);
  bs_word_unlock (&entry->reference, reference);

  bs_residency_hit (&self->residency, &entry->node);
  return reference;
}

/* Once it is clean it stays so. */
static inline gboolean
bs_entry_is_clean (const BsEntry *entry)
{
  return __atomic_load_n (&entry->is_clean, __ATOMIC_ACQUIRE);
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

G_END_DECLS
