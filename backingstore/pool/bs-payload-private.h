/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/bs-key-private.h"
#include "store/bs-content-private.h"

#include "bs-codec.h"
#include "bs-link-private.h"

G_BEGIN_DECLS

typedef struct _BsEntry BsEntry;
typedef struct _BsPayload BsPayload;
typedef struct _BsCache BsCache;
typedef struct _BsFollower BsFollower;

/* A content in memory, bytes or an object, for as long as anybody holds it. */
struct _BsPayload
{
  /* atomic. Of bytes, one for each wrapper; of an object, one for each strong
   * hold and one while it is followed; and one for each write under way. */
  gint ref_count;
  gint is_unencodable;        /* atomic; the codec failed the last time */

  /* under the cache's lock */
  BsEntry *entry;               /* not owned; NULL when the entry has no part in it any more */

  /* constant */
  BsCache *cache;             /* owned */
  GBytes *content;            /* owned; NULL: this is an object */

  /* of an object */
  BsFollower *follower;       /* a reference; constant */
  BsLink link;                /* of those that the object is followed for; under the follower's mutex */
  guint64 encoded_size;       /* atomic; of the last encoding */
};

BsPayload  *bs_payload_new_bytes      (BsCache *cache, GBytes *content) G_GNUC_WARN_UNUSED_RESULT;
BsPayload  *bs_payload_new_object     (BsCache *cache, GObject *object) G_GNUC_WARN_UNUSED_RESULT;
/* FALSE when the payload is dying. */
gboolean   bs_payload_try_ref        (BsPayload *payload);
void       bs_payload_unref          (BsPayload *payload);
/* The object, if it is still alive; no lock held. */
GObject   *bs_payload_dup_object     (BsPayload *payload) G_GNUC_WARN_UNUSED_RESULT;
/* Its entry has no part in it any more: what becomes of the object is of no
 * interest. No lock held. */
void       bs_payload_unfollow       (BsPayload *payload);

static inline gboolean
bs_payload_is_object (const BsPayload *payload)
{
  return payload->content == NULL;
}

/* A strong hold on a payload's content: a GBytes that loads may be given, or what
 * leads to an object. A reference on a hold can be taken under a lock; it takes
 * none on the object itself, where a language binding could be told, which
 * waits for its interpreter. Dropping one calls out. 0: none. The lowest bit is
 * free. */
typedef guintptr BsReference;

typedef struct
{
  gint ref_count;             /* atomic */
  GObject *object;            /* owned */
  BsPayload *payload;           /* a reference */
} BsObjectReference;

typedef enum
{
  BS_KIND_BYTES = 0,
  BS_KIND_OBJECT = 2,         /* the bit in a hold */
} BsKind;

/* Both take a reference on the payload over. */
BsReference     bs_reference_new_bytes        (BsPayload *payload) G_GNUC_WARN_UNUSED_RESULT;
BsReference     bs_reference_new_object       (BsPayload *payload, GObject *object) G_GNUC_WARN_UNUSED_RESULT;
/* No lock held. */
void       bs_reference_drop             (BsReference reference);

/* What is to be written of a content that is held. Takes over the reference on
 * the hold; no lock held. */
BsContent *bs_content_new_for_reference  (BsPayload *payload, BsReference reference, BsCodec *codec, const BsKey *key) G_GNUC_WARN_UNUSED_RESULT;

static inline BsKind
bs_reference_get_kind (BsReference reference)
{
  return reference & BS_KIND_OBJECT;
}

static inline GBytes *
bs_reference_get_bytes (BsReference reference)
{
  return (GBytes *) reference;
}

static inline BsObjectReference *
bs_reference_get_object_reference (BsReference reference)
{
  return (BsObjectReference *) (reference & ~(guintptr) BS_KIND_OBJECT);
}

static inline BsReference
bs_reference_ref (BsReference reference)
{
  if (bs_reference_get_kind (reference) == BS_KIND_OBJECT)
    g_atomic_int_inc (&bs_reference_get_object_reference (reference)->ref_count);
  else
    g_bytes_ref (bs_reference_get_bytes (reference));

  return reference;
}

/* Turns a reference on the hold into one on the object; no lock held. */
GObject   *bs_reference_to_object        (BsReference reference) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
