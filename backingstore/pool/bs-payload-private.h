/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "base/bs-key-private.h"
#include "store/threads/bs-content-private.h"

#include "bs-codec.h"
#include "bs-link-private.h"

G_BEGIN_DECLS

typedef struct _BsEntry BsEntry;
typedef struct _BsFollower BsFollower;
typedef struct _BsPayload BsPayload;
typedef struct _BsPayloadOwner BsPayloadOwner;

/* Counts one reference more, unless none is left. */
static inline gboolean
bs_try_ref (gint *ref_count)
{
  gint old = g_atomic_int_get (ref_count);

  while (old > 0)
    {
      if (g_atomic_int_compare_and_exchange (ref_count, old, old + 1))
        return TRUE;
      old = g_atomic_int_get (ref_count);
    }

  return FALSE;
}

typedef enum
{
  BS_KIND_BYTES = 0,          /* GBytes */
  BS_KIND_OBJECT = 2,         /* GObject; the bit in a BsReference */
} BsKind;

/* The part of a cache that its payloads know. */
struct _BsPayloadOwner
{
  /* Called in any thread, with no lock held, when the last reference is gone. Calls
   * bs_payload_free(). */
  void (*finalize) (BsPayloadOwner *self, BsPayload *payload);
};

/* A content in memory, bytes or an object, for as long as it has a reference. */
struct _BsPayload
{
  /* atomic. Bytes: one for each wrapper. An object: one for each reference, and one
   * while it is followed. Both: one for each write under way. */
  gint ref_count;
  gint is_unencodable;        /* atomic; the codec failed the last time */

  /* under the owner's lock */
  BsEntry *entry;             /* not owned; NULL once the entry has no part in it */

  /* constant */
  BsPayloadOwner *owner;      /* lives as long as its payloads */
  GBytes *bytes;              /* owned; NULL for an object */

  /* of an object */
  BsFollower *follower;       /* a reference; constant */
  BsLink link;                /* of the follower's payloads; under the follower's mutex */
  gsize encoded_size;         /* atomic; of the last encoding */
};

/* `content` is a GBytes or a GObject. */
BsPayload  *bs_payload_new           (BsPayloadOwner *owner, BsKind kind, gpointer content) G_GNUC_WARN_UNUSED_RESULT;
void        bs_payload_free          (BsPayload *self);
/* FALSE if the payload is dying. */
static inline gboolean
bs_payload_try_ref (BsPayload *self)
{
  return bs_try_ref (&self->ref_count);
}

void        bs_payload_unref         (BsPayload *self);
/* Ends the notice of the object's end, since the entry has no part in the payload any
 * more. No lock held. */
void        bs_payload_unfollow      (BsPayload *self);

static inline BsKind
bs_payload_get_kind (const BsPayload *self)
{
  return self->bytes == NULL ? BS_KIND_OBJECT : BS_KIND_BYTES;
}

/* A strong reference on a payload's content: a GBytes that a load may return, or
 * a counted struct with a reference on the object. A BsReference can be duplicated under
 * a lock, since the duplicate takes no reference on a GObject, of which a language binding
 * would be told, which waits for its interpreter. A dropped one calls out. 0 is none. The
 * lowest bit is free. */
typedef guintptr BsReference;

typedef struct
{
  gint ref_count;             /* atomic */
  GObject *object;            /* owned */
  BsPayload *payload;         /* a reference */
} BsObjectReference;

/* Takes over a reference on the payload, whose content is `content`. */
BsReference bs_reference_new         (BsPayload *payload, gpointer content) G_GNUC_WARN_UNUSED_RESULT;
/* Takes over a reference on the payload; 0 if its object is gone. No lock held. */
BsReference bs_reference_new_again   (BsPayload *payload) G_GNUC_WARN_UNUSED_RESULT;
/* No lock held. */
void        bs_reference_drop        (BsReference reference);
/* Turns a reference into one on the GBytes or the GObject. No lock held. */
gpointer    bs_reference_to_content  (BsReference reference) G_GNUC_WARN_UNUSED_RESULT;

/* The bytes to be written of a payload. An object is encoded when the turn of the write
 * comes. Takes the reference over; no lock held. */
BsContent  *bs_content_new_for_reference (BsPayload *payload, BsReference reference, BsCodec *codec, const BsKey *key) G_GNUC_WARN_UNUSED_RESULT;

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
bs_reference_dup (BsReference reference)
{
  if (bs_reference_get_kind (reference) == BS_KIND_OBJECT)
    g_atomic_int_inc (&bs_reference_get_object_reference (reference)->ref_count);
  else
    g_bytes_ref (bs_reference_get_bytes (reference));

  return reference;
}

G_END_DECLS
