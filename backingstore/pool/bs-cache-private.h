/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "store/bs-backing-store-private.h"

#include "bs-pool.h"
#include "bs-residency-private.h"

G_BEGIN_DECLS

/* What a pool has in memory. Outlives the pool where the application still
 * holds bytes that it loaded.
 *
 * One lock covers it all. It is never held while calling the store or taking or
 * dropping a reference on a GObject, and never while dropping one on a GBytes. */
typedef struct _BsCache BsCache;

/* One immutable content, and the token that keeps its key. Shared by items,
 * and by the operations under way for it. */
typedef struct _BsBlob BsBlob;

/* The bytes of a blob, in memory as long as anybody holds them. */
typedef struct _BsBuffer BsBuffer;

typedef enum
{
  BS_PLACE_OUT,               /* not in memory, or held by the application alone */
  BS_PLACE_RESIDENT,          /* in the residency */
  BS_PLACE_OUTBOX,            /* to leave: waits for its write */
  BS_PLACE_WRITING,           /* to leave: its write is under way; on no list */
} BsPlace;

struct _BsBlob
{
  gint ref_count;             /* atomic */

  /* under the cache's lock */
  guint8 place;               /* BsPlace */
  guint8 is_clean : 1;        /* it is in primary storage; else there is a buffer */
  guint8 is_size_known : 1;
  guint8 is_troubled : 1;     /* its last write failed, and that was reported */
  guint8 was_used : 1;        /* while its write was under way */
  BsBuffer *buffer;           /* not owned: dies with its last holder */
  BsResidencyNode node;

  /* constant */
  BsKeyRecord *record;        /* one token */
};

struct _BsBuffer
{
  gint ref_count;             /* atomic; one for each wrapper, and for each write under way */

  /* under the cache's lock */
  BsBlob *blob;               /* not owned; NULL when the blob is gone */
  GBytes *wrapper;            /* owned by the cache while the buffer is resident: what loads return */

  /* constant */
  GBytes *content;            /* owned */
  BsCache *cache;             /* owned */
};

/* Dirty blobs that are to leave memory, and when they may be tried. */
typedef struct
{
  BsLink blobs;               /* by node.link, next one first */
  guint64 bytes;
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

  GMutex lock;

  /* under the lock */
  guint64 max_bytes;
  BsResidency residency;
  BsCacheFigures figures;
  BsCacheFigures told;        /* what was notified last */
  BsPoolStats stats;
  GSource *retry;             /* owned; NULL when the pool is gone */

  BsOutbox fresh;             /* not tried yet, or tried with success */
  BsOutbox troubled;          /* failed the last time */
  guint64 writing_bytes;      /* of blobs whose write is under way so that they may leave */
  BsLink trims;               /* BsTrim, by link */
};

BsCache     *bs_cache_new            (BsPool *pool);
BsCache     *bs_cache_ref            (BsCache *self);
void         bs_cache_unref          (BsCache *self);

/* Takes the token over. */
BsBlob      *bs_blob_new             (BsKeyRecord *record, gboolean is_clean);
BsBlob      *bs_blob_ref             (BsBlob *blob);
/* FALSE when the blob is dying. */
gboolean     bs_blob_try_ref         (BsBlob *blob);
/* Returns the token when that was the last reference: the caller drops it. */
BsKeyRecord *bs_cache_release_blob   (BsCache *self, BsBlob *blob) G_GNUC_WARN_UNUSED_RESULT;

gboolean     bs_buffer_try_ref       (BsBuffer *buffer);
void         bs_buffer_unref         (BsBuffer *buffer);

/* A new blob's content. */
void         bs_cache_insert         (BsCache *self, BsBlob *blob, GBytes *content);
/* The lock must be held. NULL if the bytes are not in memory. */
GBytes      *bs_cache_find_locked    (BsCache *self, BsBlob *blob) G_GNUC_WARN_UNUSED_RESULT;
/* A blob's content was read; the first to come wins. Returns what loads get. */
GBytes      *bs_cache_adopt          (BsCache *self, BsBlob *blob, GBytes *content, gboolean *size_learnt) G_GNUC_WARN_UNUSED_RESULT;
/* What to write, NULL if the blob is clean. */
BsContent   *bs_cache_dup_unwritten  (BsCache *self, BsBlob *blob) G_GNUC_WARN_UNUSED_RESULT;
/* The blob is in primary storage. */
void         bs_cache_mark_clean     (BsCache *self, BsBlob *blob);

/* The lock must be held; the blob is in memory and on no list. Returns what the
 * caller must unref after unlocking. */
GBytes      *bs_cache_evict_locked   (BsCache *self, BsBlob *blob) G_GNUC_WARN_UNUSED_RESULT;
void         bs_cache_mark_clean_locked (BsCache *self, BsBlob *blob);
void         bs_cache_enter_locked   (BsCache *self, BsBlob *blob);
/* The same for one that was not used since it was to leave. */
void         bs_cache_restore_locked (BsCache *self, BsBlob *blob);
void         bs_cache_outbox_append_locked (BsCache *self, BsBlob *blob);
void         bs_cache_outbox_remove_locked (BsCache *self, BsBlob *blob);

BsCacheChanges bs_cache_take_changes_locked (BsCache *self);

static inline BsBlob *
bs_blob_from_node (BsResidencyNode *node)
{
  return (BsBlob *) ((char *) node - G_STRUCT_OFFSET (BsBlob, node));
}

static inline BsBlob *
bs_blob_from_link (BsLink *link)
{
  return bs_blob_from_node ((BsResidencyNode *) link);
}

G_END_DECLS
