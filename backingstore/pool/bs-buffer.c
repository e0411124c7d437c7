/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "bs-buffer-private.h"

#include "bs-cache-private.h"
#include "bs-pool-private.h"

/* GBytes have no weak references, so what a load returns is a wrapper that
 * holds a buffer, and the buffer holds the real bytes. An object needs no
 * wrapper: it is followed with a weak reference, and its buffer is told when it
 * is disposed of. */

/* Follows one object for all its buffers: there may be any number of these, in
 * pools of any number, and GLib allows no more than 65535 weak references to an
 * object; nor is there a safe way to take a weak notification back. */
struct _BsFollower
{
  gatomicrefcount ref_count;    /* one for each buffer, one of the object's data, and one until it is disposed of */

  GWeakRef object;

  GMutex mutex;

  /* under the mutex */
  BsLink buffers;               /* BsBuffer, by link, each with a reference */
};

static G_DEFINE_QUARK (backingstore-follower, follower)

static gpointer
follower_ref (gpointer data, gpointer unused)
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

static BsBuffer *
buffer_from_link (BsLink *link)
{
  return (BsBuffer *) ((char *) link - G_STRUCT_OFFSET (BsBuffer, link));
}

/* The object is disposed of, or gone. Takes a reference over. */
static void
follower_end (gpointer data)
{
  BsFollower *self = data;
  BsLink *link;

  do
    {
      g_mutex_lock (&self->mutex);
      link = self->buffers.next;
      if (link != &self->buffers)
        bs_link_remove (link);
      g_mutex_unlock (&self->mutex);

      if (link != &self->buffers)
        bs_buffer_unref (buffer_from_link (link));
    }
  while (link != &self->buffers);

  follower_unref (self);
}

/* Called on the thread of the last unref, or wherever somebody disposes of it. */
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
      bs_link_init (&fresh->buffers);

      if (g_object_replace_qdata (object, follower_quark (), NULL, fresh, follower_end, NULL))
        {
          g_object_weak_ref (object, object_disposed, follower_ref (fresh, NULL));
          return follower_ref (fresh, NULL);
        }
      follower_unref (fresh);
      self = g_object_dup_qdata (object, follower_quark (), follower_ref, NULL);
    }

  /* It may have been disposed of, and live on. */
  g_weak_ref_set (&self->object, object);
  return self;
}

gboolean
bs_buffer_try_ref (BsBuffer *buffer)
{
  gint old = g_atomic_int_get (&buffer->ref_count);

  while (old > 0)
    {
      if (g_atomic_int_compare_and_exchange (&buffer->ref_count, old, old + 1))
        return TRUE;
      old = g_atomic_int_get (&buffer->ref_count);
    }

  return FALSE;
}

static BsBuffer *
bs_buffer_new (BsCache *cache)
{
  BsBuffer *self = g_new0 (BsBuffer, 1);

  self->ref_count = 1;
  self->cache = bs_cache_ref (cache);

  return self;
}

BsBuffer *
bs_buffer_new_bytes (BsCache *cache, GBytes *content)
{
  BsBuffer *self = bs_buffer_new (cache);

  self->content = g_bytes_ref (content);

  return self;
}

BsBuffer *
bs_buffer_new_object (BsCache *cache, GObject *object)
{
  BsBuffer *self = bs_buffer_new (cache);

  self->ref_count++;
  self->follower = obtain_follower (object);
  g_mutex_lock (&self->follower->mutex);
  bs_link_append (&self->follower->buffers, &self->link);
  g_mutex_unlock (&self->follower->mutex);

  return self;
}

GObject *
bs_buffer_dup_object (BsBuffer *buffer)
{
  return g_weak_ref_get (&buffer->follower->object);
}

void
bs_buffer_unfollow (BsBuffer *buffer)
{
  gboolean was_followed;

  g_mutex_lock (&buffer->follower->mutex);
  was_followed = buffer->link.next != NULL;
  if (was_followed)
    bs_link_remove (&buffer->link);
  g_mutex_unlock (&buffer->follower->mutex);

  if (was_followed)
    bs_buffer_unref (buffer);
}

/* Called in any thread: it is what lets go of what a load returned. */
void
bs_buffer_unref (BsBuffer *buffer)
{
  BsCache *cache = buffer->cache;
  gboolean was_held;

  if (!g_atomic_int_dec_and_test (&buffer->ref_count))
    return;

  was_held = bs_cache_forget_buffer (cache, buffer);

  if (bs_buffer_is_object (buffer))
    follower_unref (buffer->follower);
  else
    g_bytes_unref (buffer->content);
  g_free (buffer);

  if (was_held)
    bs_pool_settle_weak (cache);
  bs_cache_unref (cache);
}

BsHold
bs_hold_new_bytes (BsBuffer *buffer)
{
  gsize size;
  gconstpointer data = g_bytes_get_data (buffer->content, &size);

  return (BsHold) g_bytes_new_with_free_func (data, size, (GDestroyNotify) bs_buffer_unref, buffer);
}

BsHold
bs_hold_new_object (BsBuffer *buffer, GObject *object)
{
  BsStrong *strong = g_new (BsStrong, 1);

  strong->ref_count = 1;
  strong->object = g_object_ref (object);
  strong->buffer = buffer;

  return (BsHold) strong | BS_KIND_OBJECT;
}

void
bs_hold_drop (BsHold hold)
{
  BsStrong *strong;

  if (bs_hold_get_kind (hold) == BS_KIND_BYTES)
    {
      g_bytes_unref (bs_hold_get_bytes (hold));
      return;
    }

  strong = bs_hold_get_strong (hold);
  if (!g_atomic_int_dec_and_test (&strong->ref_count))
    return;

  g_object_unref (strong->object);
  bs_buffer_unref (strong->buffer);
  g_free (strong);
}

GObject *
bs_hold_to_object (BsHold hold)
{
  GObject *object = g_object_ref (bs_hold_get_strong (hold)->object);

  bs_hold_drop (hold);
  return object;
}

typedef struct
{
  BsCodec *codec;       /* owned */
  BsHold hold;          /* a reference */
  BsKey key;
} Encoding;

/* Called where the backing's functions run. */
static GBytes *
encode (gpointer data, GCancellable *cancellable, GError **error)
{
  Encoding *self = data;
  BsHold hold = self->hold;
  BsBuffer *buffer = bs_hold_get_strong (hold)->buffer;
  GBytes *bytes = bs_codec_encode (self->codec, bs_hold_get_strong (hold)->object, cancellable, error);

  g_atomic_int_set (&buffer->is_unencodable, bytes == NULL && !g_cancellable_is_cancelled (cancellable));
  if (bytes != NULL)
    {
      __atomic_store_n (&buffer->encoded_size, g_bytes_get_size (bytes), __ATOMIC_RELAXED);
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

  bs_hold_drop (self->hold);
  g_object_unref (self->codec);
  g_free (self);
}

BsContent *
bs_content_new_for_hold (BsBuffer *buffer, BsHold hold, BsCodec *codec, const BsKey *key)
{
  BsContent *content;
  Encoding *encoding;

  /* Not the wrapper: a backing may keep what it is given. */
  if (!bs_buffer_is_object (buffer))
    {
      content = bs_content_new_bytes (buffer->content);
      bs_hold_drop (hold);
      return content;
    }

  encoding = g_new (Encoding, 1);
  encoding->codec = g_object_ref (codec);
  encoding->hold = hold;
  encoding->key = *key;

  return bs_content_new (encode, encoding, encoding_free);
}
