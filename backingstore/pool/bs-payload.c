/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-payload-private.h"

/* A GBytes has no weak references, so a load returns a wrapper that holds a payload, and
 * the payload holds the real bytes. An object needs no wrapper: a weak reference follows
 * the object, and tells its payload of the object's disposal. */

/* Follows one object for all its payloads, of any number, in any number of pools: GLib
 * allows no more than 65535 weak references on an object, and no safe way to take a weak
 * notification back. */
struct _BsFollower
{
  gatomicrefcount
    ref_count; /* one for each payload, one of the object's data, and one until it is disposed of */

  GWeakRef object;

  GMutex mutex;

  /* under the mutex */
  BsLink payloads; /* BsPayload, by link, each with a reference */
};

static G_DEFINE_QUARK (backingstore - follower, follower)

  static gpointer follower_ref (gpointer data, gpointer unused)
{
  BsFollower *self = data;

  if (self != NULL)
    g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

static void
follower_unref (BsFollower *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;

  g_weak_ref_clear (&self->object);
  g_mutex_clear (&self->mutex);
  g_free (self);
}

static BsPayload *
payload_from_link (BsLink *link)
{
  return (BsPayload *) ((char *) link - G_STRUCT_OFFSET (BsPayload, link));
}

/* Tells all payloads that the object is disposed of. Takes a reference over. */
static void
follower_end (gpointer data)
{
  BsFollower *self = data;
  BsLink *link;

  do
    {
      g_mutex_lock (&self->mutex);
      link = self->payloads.next;
      if (link != &self->payloads)
        bs_link_remove (link);
      g_mutex_unlock (&self->mutex);

      if (link != &self->payloads)
        bs_payload_unref (payload_from_link (link));
    }
  while (link != &self->payloads);

  follower_unref (self);
}

/* Called on the thread of the last unref, or of g_object_run_dispose(). */
static void
object_disposed (gpointer data, GObject *where_the_object_was)
{
  follower_end (data);
}

static BsFollower *
obtain_follower (GObject *object)
{
  BsFollower *self = g_object_dup_qdata (object, follower_quark (), follower_ref, NULL);

  while (self == NULL)
    {
      BsFollower *fresh = g_new (BsFollower, 1);

      g_atomic_ref_count_init (&fresh->ref_count);
      g_weak_ref_init (&fresh->object, object);
      g_mutex_init (&fresh->mutex);
      bs_link_init (&fresh->payloads);

      if (g_object_replace_qdata (object, follower_quark (), NULL, fresh, follower_end, NULL))
        {
          g_object_weak_ref (object, object_disposed, follower_ref (fresh, NULL));
          return follower_ref (fresh, NULL);
        }
      follower_unref (fresh);
      self = g_object_dup_qdata (object, follower_quark (), follower_ref, NULL);
    }

  /* An object that was disposed of may live on, without its weak references. */
  g_weak_ref_set (&self->object, object);
  return self;
}

static void
follow (BsPayload *self, GObject *object)
{
  self->ref_count++;
  self->follower = obtain_follower (object);
  g_mutex_lock (&self->follower->mutex);
  bs_link_append (&self->follower->payloads, &self->link);
  g_mutex_unlock (&self->follower->mutex);
}

void
bs_payload_unfollow (BsPayload *self)
{
  gboolean was_followed;

  if (bs_payload_get_kind (self) != BS_KIND_OBJECT)
    return;

  g_mutex_lock (&self->follower->mutex);
  was_followed = self->link.next != NULL;
  if (was_followed)
    bs_link_remove (&self->link);
  g_mutex_unlock (&self->follower->mutex);

  if (was_followed)
    bs_payload_unref (self);
}

BsPayload *
bs_payload_new (BsPayloadOwner *owner, BsKind kind, gpointer content)
{
  BsPayload *self = g_new0 (BsPayload, 1);

  self->ref_count = 1;
  self->owner = owner;
  if (kind == BS_KIND_OBJECT)
    follow (self, content);
  else
    self->bytes = g_bytes_ref (content);

  return self;
}

void
bs_payload_free (BsPayload *self)
{
  if (bs_payload_get_kind (self) == BS_KIND_OBJECT)
    follower_unref (self->follower);
  else
    g_bytes_unref (self->bytes);
  g_free (self);
}

/* Called in any thread, also when an application drops the bytes of a load. */
void
bs_payload_unref (BsPayload *self)
{
  if (g_atomic_int_dec_and_test (&self->ref_count))
    self->owner->finalize (self->owner, self);
}

static BsReference
reference_new_bytes (BsPayload *payload)
{
  gsize size;
  gconstpointer data = g_bytes_get_data (payload->bytes, &size);

  return (BsReference) g_bytes_new_with_free_func (data, size, (GDestroyNotify) bs_payload_unref,
                                                   payload);
}

static BsReference
reference_new_object (BsPayload *payload, GObject *object)
{
  BsObjectReference *reference = g_new (BsObjectReference, 1);

  reference->ref_count = 1;
  reference->object = g_object_ref (object);
  reference->payload = payload;

  return (BsReference) reference | BS_KIND_OBJECT;
}

BsReference
bs_reference_new (BsPayload *payload, gpointer content)
{
  return bs_payload_get_kind (payload) == BS_KIND_OBJECT ? reference_new_object (payload, content)
                                                         : reference_new_bytes (payload);
}

BsReference
bs_reference_new_again (BsPayload *payload)
{
  g_autoptr (GObject) object = NULL;

  if (bs_payload_get_kind (payload) != BS_KIND_OBJECT)
    return reference_new_bytes (payload);

  object = g_weak_ref_get (&payload->follower->object);
  if (object != NULL)
    return reference_new_object (payload, object);

  bs_payload_unref (payload);
  return 0;
}

void
bs_reference_drop (BsReference reference)
{
  BsObjectReference *object_reference;

  if (bs_reference_get_kind (reference) == BS_KIND_BYTES)
    {
      g_bytes_unref (bs_reference_get_bytes (reference));
      return;
    }

  object_reference = bs_reference_get_object_reference (reference);
  if (!g_atomic_int_dec_and_test (&object_reference->ref_count))
    return;

  g_object_unref (object_reference->object);
  bs_payload_unref (object_reference->payload);
  g_free (object_reference);
}

gpointer
bs_reference_to_content (BsReference reference)
{
  GObject *object;

  if (bs_reference_get_kind (reference) == BS_KIND_BYTES)
    return bs_reference_get_bytes (reference);

  object = g_object_ref (bs_reference_get_object_reference (reference)->object);
  bs_reference_drop (reference);
  return object;
}

typedef struct
{
  BsCodec *codec;        /* owned */
  BsReference reference; /* owned */
  BsKey key;
} Encoding;

/* Called on a thread that runs functions of the backing. */
static GBytes *
encode (gpointer data, GCancellable *cancellable, GError **error)
{
  Encoding *self = data;
  BsReference reference = self->reference;
  BsPayload *payload = bs_reference_get_object_reference (reference)->payload;
  GBytes *bytes =
    bs_codec_encode (self->codec, bs_reference_get_object_reference (reference)->object,
                     cancellable, error);

  g_atomic_int_set (&payload->is_unencodable,
                    bytes == NULL && !g_cancellable_is_cancelled (cancellable));
  if (bytes != NULL)
    {
      __atomic_store_n (&payload->encoded_size, g_bytes_get_size (bytes), __ATOMIC_RELAXED);
    }
  else
    {
      char key[BS_KEY_STRING_SIZE];

      bs_key_print (&self->key, key);
      g_prefix_error (error, "%s: ", key);
    }

  return bytes;
}

static void
encoding_free (gpointer data)
{
  Encoding *self = data;

  bs_reference_drop (self->reference);
  g_object_unref (self->codec);
  g_free (self);
}

BsContent *
bs_content_new_for_reference (BsPayload *payload,
                              BsReference reference,
                              BsCodec *codec,
                              const BsKey *key)
{
  BsContent *content;
  Encoding *encoding;

  /* A backing may keep the bytes, so it gets the payload's, not the wrapper. */
  if (bs_payload_get_kind (payload) == BS_KIND_BYTES)
    {
      content = bs_content_new_bytes (payload->bytes);
      bs_reference_drop (reference);
      return content;
    }

  encoding = g_new (Encoding, 1);
  encoding->codec = g_object_ref (codec);
  encoding->reference = reference;
  encoding->key = *key;

  return bs_content_new (encode, encoding, encoding_free);
}
