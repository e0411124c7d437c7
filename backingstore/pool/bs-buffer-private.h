/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/bs-key-private.h"
#include "store/threads/bs-content-private.h"

#include "bs-codec.h"
#include "bs-link-private.h"

G_BEGIN_DECLS

typedef struct _BsBlob BsBlob;
typedef struct _BsBuffer BsBuffer;
typedef struct _BsCache BsCache;
typedef struct _BsFollower BsFollower;

/* A content in memory, bytes or an object, for as long as anybody holds it. */
struct _BsBuffer
{
  /* atomic. Of bytes, one for each wrapper; of an object, one for each strong
   * hold and one while it is followed; and one for each write under way. */
  gint ref_count;
  gint is_unencodable;        /* atomic; the codec failed the last time */

  /* under the cache's lock */
  BsBlob *blob;               /* not owned; NULL when the blob has no part in it any more */

  /* constant */
  BsCache *cache;             /* owned */
  GBytes *content;            /* owned; NULL: this is an object */

  /* of an object */
  BsFollower *follower;       /* a reference; constant */
  BsLink link;                /* of those that the object is followed for; under the follower's mutex */
  guint64 encoded_size;       /* atomic; of the last encoding */
};

BsBuffer  *bs_buffer_new_bytes      (BsCache *cache, GBytes *content) G_GNUC_WARN_UNUSED_RESULT;
BsBuffer  *bs_buffer_new_object     (BsCache *cache, GObject *object) G_GNUC_WARN_UNUSED_RESULT;
/* FALSE when the buffer is dying. */
gboolean   bs_buffer_try_ref        (BsBuffer *buffer);
void       bs_buffer_unref          (BsBuffer *buffer);
/* The object, if it is still alive; no lock held. */
GObject   *bs_buffer_dup_object     (BsBuffer *buffer) G_GNUC_WARN_UNUSED_RESULT;
/* Its blob has no part in it any more: what becomes of the object is of no
 * interest. No lock held. */
void       bs_buffer_unfollow       (BsBuffer *buffer);

static inline gboolean
bs_buffer_is_object (const BsBuffer *buffer)
{
  return buffer->content == NULL;
}

/* A strong hold on a buffer's content: a GBytes that loads may be given, or what
 * leads to an object. A reference on a hold can be taken under a lock; it takes
 * none on the object itself, where a language binding could be told, which
 * waits for its interpreter. Dropping one calls out. 0: none. The lowest bit is
 * free. */
typedef guintptr BsHold;

typedef struct
{
  gint ref_count;             /* atomic */
  GObject *object;            /* owned */
  BsBuffer *buffer;           /* a reference */
} BsStrong;

typedef enum
{
  BS_KIND_BYTES = 0,
  BS_KIND_OBJECT = 2,         /* the bit in a hold */
} BsKind;

/* Both take a reference on the buffer over. */
BsHold     bs_hold_new_bytes        (BsBuffer *buffer) G_GNUC_WARN_UNUSED_RESULT;
BsHold     bs_hold_new_object       (BsBuffer *buffer, GObject *object) G_GNUC_WARN_UNUSED_RESULT;
/* No lock held. */
void       bs_hold_drop             (BsHold hold);

/* What is to be written of a content that is held. Takes over the reference on
 * the hold; no lock held. */
BsContent *bs_content_new_for_hold  (BsBuffer *buffer, BsHold hold, BsCodec *codec, const BsKey *key) G_GNUC_WARN_UNUSED_RESULT;

static inline BsKind
bs_hold_get_kind (BsHold hold)
{
  return hold & BS_KIND_OBJECT;
}

static inline GBytes *
bs_hold_get_bytes (BsHold hold)
{
  return (GBytes *) hold;
}

static inline BsStrong *
bs_hold_get_strong (BsHold hold)
{
  return (BsStrong *) (hold & ~(guintptr) BS_KIND_OBJECT);
}

static inline BsHold
bs_hold_ref (BsHold hold)
{
  if (bs_hold_get_kind (hold) == BS_KIND_OBJECT)
    g_atomic_int_inc (&bs_hold_get_strong (hold)->ref_count);
  else
    g_bytes_ref (bs_hold_get_bytes (hold));

  return hold;
}

/* Turns a reference on the hold into one on the object; no lock held. */
GObject   *bs_hold_to_object        (BsHold hold) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
