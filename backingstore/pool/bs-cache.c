/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "bs-cache-private.h"
#include "bs-pool-private.h"

/* While a blob is in memory the cache has a strong hold on its buffer, and hands
 * out references to that. After an eviction the blob keeps a plain pointer to the
 * buffer, which a later load follows if somebody still keeps the buffer alive;
 * the buffer clears that pointer, under the lock, when it dies. */

/* Whatever a codec says of one object, no sum overflows. */
#define MAX_OBJECT_SIZE (G_GUINT64_CONSTANT (1) << 40)

BsCache *
bs_cache_new (BsPool *pool)
{
  BsCache *self = g_new0 (BsCache, 1);

  g_atomic_ref_count_init (&self->ref_count);
  g_weak_ref_init (&self->pool, pool);
  g_mutex_init (&self->lock);
  self->max_bytes = G_MAXUINT64;
  self->max_items = G_MAXUINT;
  bs_residency_init (&self->residency, self->max_bytes);
  for (guint i = 0; i < BS_N_OUTBOXES; i++)
    bs_link_init (&self->outboxes[i].blobs);
  bs_link_init (&self->trims);

  return self;
}

BsCache *
bs_cache_ref (BsCache *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
bs_cache_unref (BsCache *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;

  g_assert (self->figures.memory_use == 0);
  g_assert (self->retry == NULL);

  g_clear_error (&self->codec_error);
  g_weak_ref_clear (&self->pool);
  g_mutex_clear (&self->lock);
  g_free (self);
}

BsBlob *
bs_blob_new (BsToken *record, gboolean is_clean)
{
  BsBlob *blob = g_new0 (BsBlob, 1);

  blob->ref_count = 1;
  blob->record = record;
  blob->key = *bs_token_get_key (record);
  blob->is_clean = is_clean;

  return blob;
}

BsBlob *
bs_blob_ref (BsBlob *blob)
{
  g_atomic_int_inc (&blob->ref_count);
  return blob;
}

gboolean
bs_blob_try_ref (BsBlob *blob)
{
  gint old = g_atomic_int_get (&blob->ref_count);

  while (old > 0)
    {
      if (g_atomic_int_compare_and_exchange (&blob->ref_count, old, old + 1))
        return TRUE;
      old = g_atomic_int_get (&blob->ref_count);
    }

  return FALSE;
}

static void
set_place (BsBlob *blob, BsPlace place)
{
  __atomic_store_n (&blob->place, place, __ATOMIC_RELAXED);
}

/* The cache's lock must be held. Returns what was there. */
static BsHold
exchange_hold (BsBlob *blob, BsHold hold)
{
  BsHold old = bs_word_lock (&blob->hold);

  bs_word_unlock (&blob->hold, hold);
  return old;
}

void
bs_cache_enter_locked (BsCache *self, BsBlob *blob)
{
  set_place (blob, BS_PLACE_RESIDENT);
  bs_residency_enter (&self->residency, &blob->node);
}

void
bs_cache_restore_locked (BsCache *self, BsBlob *blob)
{
  set_place (blob, BS_PLACE_RESIDENT);
  bs_residency_restore (&self->residency, &blob->node);
}

void
bs_cache_outbox_append_locked (BsCache *self, BsBlob *blob)
{
  BsOutbox *outbox = &self->outboxes[blob->trouble];

  set_place (blob, BS_PLACE_OUTBOX);
  bs_link_append (&outbox->blobs, &blob->node.link);
  bs_amount_add (&outbox->amount, blob);
}

void
bs_cache_outbox_remove_locked (BsCache *self, BsBlob *blob)
{
  bs_link_remove (&blob->node.link);
  bs_amount_subtract (&self->outboxes[blob->trouble].amount, blob);
}

/* The buffer comes into memory, or back into it. Takes the hold over. */
static void
make_resident_locked (BsCache *self, BsBlob *blob, BsBuffer *buffer, BsHold hold)
{
  buffer->blob = blob;
  blob->buffer = buffer;
  self->figures.memory_use += blob->node.size;
  self->figures.n_resident++;
  bs_cache_enter_locked (self, blob);
  exchange_hold (blob, hold);
}

BsHold
bs_cache_evict_locked (BsCache *self, BsBlob *blob)
{
  set_place (blob, BS_PLACE_OUT);
  self->figures.memory_use -= blob->node.size;
  self->figures.memory_in_use += blob->node.size;
  self->figures.n_resident--;
  self->stats.evictions++;

  return exchange_hold (blob, 0);
}

/* Off whatever it stands on; it is to be counted as in memory still. */
static void
take_off_locked (BsCache *self, BsBlob *blob)
{
  switch ((BsPlace) blob->place)
    {
    case BS_PLACE_RESIDENT:
      bs_residency_leave (&self->residency, &blob->node);
      break;
    case BS_PLACE_OUTBOX:
      bs_cache_outbox_remove_locked (self, blob);
      break;
    case BS_PLACE_WRITING:
      bs_amount_subtract (&self->writing, blob);
      break;
    case BS_PLACE_OUT:
    default:
      g_assert_not_reached ();
    }
}

/* The blob and its buffer part for good. Returns the cache's hold on it, and a
 * reference on one whose object need not be followed any more. */
static BsHold
detach_buffer_locked (BsCache *self, BsBlob *blob, BsBuffer **followed)
{
  BsBuffer *buffer = g_steal_pointer (&blob->buffer);

  buffer->blob = NULL;
  if (bs_buffer_is_object (buffer) && bs_buffer_try_ref (buffer))
    *followed = buffer;
  if (blob->place == BS_PLACE_OUT)
    {
      self->figures.memory_in_use -= blob->node.size;
      return 0;
    }

  take_off_locked (self, blob);
  set_place (blob, BS_PLACE_OUT);
  self->figures.memory_use -= blob->node.size;
  self->figures.n_resident--;

  return exchange_hold (blob, 0);
}

/* Takes over what detach_buffer_locked() has returned. No lock held. */
static void
let_go (BsHold hold, BsBuffer *followed)
{
  if (followed != NULL)
    {
      bs_buffer_unfollow (followed);
      bs_buffer_unref (followed);
    }
  if (hold != 0)
    bs_hold_drop (hold);
}

gboolean
bs_cache_forget_buffer (BsCache *self, BsBuffer *buffer)
{
  gboolean was_held;

  g_mutex_lock (&self->lock);
  was_held = buffer->blob != NULL;
  if (was_held)
    {
      self->figures.memory_in_use -= buffer->blob->node.size;
      buffer->blob->buffer = NULL;
    }
  g_mutex_unlock (&self->lock);

  return was_held;
}

BsToken *
bs_cache_release_blob (BsCache *self, BsBlob *blob)
{
  BsToken *record = blob->record;
  BsBuffer *followed = NULL;
  BsHold hold = 0;

  if (!g_atomic_int_dec_and_test (&blob->ref_count))
    return NULL;

  g_mutex_lock (&self->lock);
  if (blob->buffer != NULL)
    hold = detach_buffer_locked (self, blob, &followed);
  g_mutex_unlock (&self->lock);

  let_go (hold, followed);
  g_free (blob);

  return record;
}

void
bs_cache_insert (BsCache *self, BsBlob *blob, GBytes *content)
{
  BsBuffer *buffer = bs_buffer_new_bytes (self, content);
  BsHold hold = bs_hold_new_bytes (buffer);

  g_mutex_lock (&self->lock);
  blob->node.size = g_bytes_get_size (content);
  blob->is_size_known = TRUE;
  make_resident_locked (self, blob, buffer, hold);
  g_mutex_unlock (&self->lock);
}

BsHold
bs_cache_insert_object (BsCache *self, BsBlob *blob, GObject *object, const guint64 *size)
{
  BsBuffer *buffer = bs_buffer_new_object (self, object);
  BsHold hold = bs_hold_new_object (buffer, object);
  BsHold unmeasured = size == NULL ? bs_hold_ref (hold) : 0;

  g_mutex_lock (&self->lock);
  blob->is_size_known = size != NULL;
  blob->node.size = size != NULL ? MIN (*size, MAX_OBJECT_SIZE) : 0;
  make_resident_locked (self, blob, buffer, hold);
  g_mutex_unlock (&self->lock);

  return unmeasured;
}

/* What is in memory was used. */
static void
touch_locked (BsCache *self, BsBlob *blob)
{
  switch ((BsPlace) blob->place)
    {
    case BS_PLACE_RESIDENT:
      bs_residency_hit (&self->residency, &blob->node);
      break;
    case BS_PLACE_OUTBOX:
      bs_cache_outbox_remove_locked (self, blob);
      bs_cache_enter_locked (self, blob);
      break;
    case BS_PLACE_WRITING:
      blob->was_used = TRUE;
      break;
    case BS_PLACE_OUT:
    default:
      g_assert_not_reached ();
    }
}

static GBytes *
find_locked (BsCache *self, BsBlob *blob, gboolean *came_back)
{
  BsBuffer *buffer = blob->buffer;

  if (buffer == NULL || bs_buffer_is_object (buffer))
    return NULL;

  if (blob->place == BS_PLACE_OUT)
    {
      self->figures.memory_in_use -= blob->node.size;
      if (!bs_buffer_try_ref (buffer))
        {
          buffer->blob = NULL;
          blob->buffer = NULL;
          return NULL;
        }
      make_resident_locked (self, blob, buffer, bs_hold_new_bytes (buffer));
      *came_back = TRUE;
    }
  else
    {
      touch_locked (self, blob);
    }

  return g_bytes_ref (bs_hold_get_bytes (bs_word_peek (&blob->hold)));
}

GBytes *
bs_cache_find (BsCache *self, BsBlob *blob, gboolean *came_back)
{
  GBytes *bytes;

  g_mutex_lock (&self->lock);
  bytes = find_locked (self, blob, came_back);
  g_mutex_unlock (&self->lock);

  return bytes;
}

/* A hold on the object; or, where it was evicted, what may lead to it: a
 * reference on the buffer. */
static BsHold
find_object_locked (BsCache *self, BsBlob *blob, BsBuffer **evicted)
{
  BsBuffer *buffer = blob->buffer;

  if (buffer == NULL || !bs_buffer_is_object (buffer))
    return 0;

  if (blob->place != BS_PLACE_OUT)
    {
      touch_locked (self, blob);
      return bs_hold_ref (bs_word_peek (&blob->hold));
    }

  if (bs_buffer_try_ref (buffer))
    *evicted = buffer;
  return 0;
}

/* Takes the reference on the buffer over. */
static GObject *
bring_back (BsCache *self, BsBlob *blob, BsBuffer *buffer, gboolean *came_back)
{
  GObject *object = bs_buffer_dup_object (buffer);
  BsHold hold;

  if (object == NULL)
    {
      bs_buffer_unref (buffer);
      return NULL;
    }

  hold = bs_hold_new_object (buffer, object);
  g_mutex_lock (&self->lock);
  if (blob->buffer == buffer && blob->place == BS_PLACE_OUT)
    {
      self->figures.memory_in_use -= blob->node.size;
      make_resident_locked (self, blob, buffer, hold);
      *came_back = TRUE;
      hold = 0;
    }
  g_mutex_unlock (&self->lock);

  if (hold != 0)
    bs_hold_drop (hold);
  return object;
}

GObject *
bs_cache_find_object (BsCache *self, BsBlob *blob, gboolean *came_back)
{
  BsBuffer *evicted = NULL;
  BsHold hold;

  g_mutex_lock (&self->lock);
  hold = find_object_locked (self, blob, &evicted);
  g_mutex_unlock (&self->lock);

  if (hold != 0)
    return bs_hold_to_object (hold);
  if (evicted != NULL)
    return bring_back (self, blob, evicted, came_back);
  return NULL;
}

void
bs_cache_count_miss (BsCache *self)
{
  g_mutex_lock (&self->lock);
  self->stats.misses++;
  g_mutex_unlock (&self->lock);
}

static void
set_size_locked (BsBlob *blob, guint64 size, gboolean *changed)
{
  *changed = !blob->is_size_known || blob->node.size != size;
  blob->node.size = size;
  blob->is_size_known = TRUE;
}

GBytes *
bs_cache_adopt (BsCache *self, BsBlob *blob, GBytes *content, gboolean *size_changed)
{
  BsBuffer *buffer = bs_buffer_new_bytes (self, content);
  BsHold hold = bs_hold_new_bytes (buffer);
  gboolean came_back;
  GBytes *bytes;

  *size_changed = FALSE;

  g_mutex_lock (&self->lock);
  bytes = find_locked (self, blob, &came_back);
  if (bytes == NULL)
    {
      self->stats.bytes_in += g_bytes_get_size (content);
      if (blob->buffer == NULL)
        {
          set_size_locked (blob, g_bytes_get_size (content), size_changed);
          make_resident_locked (self, blob, buffer, hold);
          bytes = g_bytes_ref (bs_hold_get_bytes (hold));
          hold = 0;
        }
      else
        {
          /* There is an object: that is what is held, and these are the caller's. */
          bytes = g_bytes_ref (content);
        }
    }
  g_mutex_unlock (&self->lock);

  if (hold != 0)
    bs_hold_drop (hold);
  return bytes;
}

/* Whatever stands in the way goes: it is bytes, or an object that is gone.
 * Returns the hold on it. */
static BsHold
install_object_locked (BsCache *self, BsBlob *blob, BsHold hold, guint64 size, BsBuffer **followed, gboolean *size_changed)
{
  BsHold old = 0;

  /* What was read is in the backing. */
  bs_cache_mark_clean_locked (self, blob);
  if (blob->buffer != NULL)
    old = detach_buffer_locked (self, blob, followed);
  set_size_locked (blob, MIN (size, MAX_OBJECT_SIZE), size_changed);
  make_resident_locked (self, blob, bs_hold_get_strong (hold)->buffer, hold);

  return old;
}

GObject *
bs_cache_adopt_object (BsCache *self, BsBlob *blob, GObject *object, guint64 size, guint64 n_read, gboolean *size_changed)
{
  BsBuffer *buffer = bs_buffer_new_object (self, object);
  BsHold hold = bs_hold_new_object (buffer, object);
  BsBuffer *gone = NULL, *followed = NULL;
  GObject *winner = NULL;
  BsHold old = 0;

  *size_changed = FALSE;

  while (winner == NULL)
    {
      BsBuffer *evicted = NULL;
      gboolean came_back;
      BsHold other;

      g_mutex_lock (&self->lock);
      other = find_object_locked (self, blob, &evicted);
      if (other == 0 && (evicted == NULL || evicted == gone))
        {
          old = install_object_locked (self, blob, hold, size, &followed, size_changed);
          self->stats.bytes_in += n_read;
          hold = 0;
        }
      g_mutex_unlock (&self->lock);

      if (hold == 0)
        winner = g_object_ref (object);
      else if (other != 0)
        winner = bs_hold_to_object (other);
      else if (bs_buffer_try_ref (evicted))
        winner = bring_back (self, blob, evicted, &came_back);

      /* Kept, so that no other can be mistaken for it. */
      if (gone != NULL)
        bs_buffer_unref (gone);
      gone = evicted;
    }

  if (gone != NULL)
    bs_buffer_unref (gone);
  let_go (old, followed);
  if (hold != 0)
    {
      bs_buffer_unfollow (buffer);
      bs_hold_drop (hold);
    }

  return winner;
}

gboolean
bs_cache_measured (BsCache *self, BsBlob *blob, BsHold hold, guint64 size)
{
  gboolean is_of_interest;

  g_mutex_lock (&self->lock);
  is_of_interest = blob->buffer == bs_hold_get_strong (hold)->buffer && !blob->is_size_known;
  if (is_of_interest)
    {
      BsPlace place = blob->place;

      /* Its size is constant while it stands on anything. */
      if (place != BS_PLACE_OUT)
        take_off_locked (self, blob);
      blob->node.size = MIN (size, MAX_OBJECT_SIZE);
      blob->is_size_known = TRUE;

      if (place == BS_PLACE_OUT)
        self->figures.memory_in_use += blob->node.size;
      else
        self->figures.memory_use += blob->node.size;
      if (place == BS_PLACE_RESIDENT)
        bs_cache_enter_locked (self, blob);
      else if (place == BS_PLACE_OUTBOX)
        bs_cache_outbox_append_locked (self, blob);
      else if (place == BS_PLACE_WRITING)
        bs_amount_add (&self->writing, blob);
    }
  g_mutex_unlock (&self->lock);

  return is_of_interest;
}

gboolean
bs_cache_is_in_the_way (BsCache *self, BsBlob *blob, BsKind kind)
{
  gboolean is_in_the_way;

  g_mutex_lock (&self->lock);
  is_in_the_way = !blob->is_clean && bs_buffer_is_object (blob->buffer) != (kind == BS_KIND_OBJECT);
  g_mutex_unlock (&self->lock);

  return is_in_the_way;
}

BsContent *
bs_cache_dup_unwritten (BsCache *self, BsBlob *blob)
{
  BsBuffer *buffer = NULL;
  BsHold hold = 0;

  if (bs_blob_is_clean (blob))
    return NULL;

  g_mutex_lock (&self->lock);
  if (!blob->is_clean)
    {
      buffer = blob->buffer;
      hold = bs_hold_ref (bs_word_peek (&blob->hold));
    }
  g_mutex_unlock (&self->lock);

  /* The hold keeps the buffer. */
  return hold != 0 ? bs_content_new_for_hold (buffer, hold, self->codec, &blob->key) : NULL;
}

BsContent *
bs_cache_dup_content (BsCache *self, BsBlob *blob)
{
  BsBuffer *evicted = NULL;
  BsContent *content;
  BsBuffer *buffer;
  BsHold hold;

  g_mutex_lock (&self->lock);
  buffer = blob->buffer;
  hold = bs_word_peek (&blob->hold);
  if (hold != 0)
    bs_hold_ref (hold);
  else if (buffer != NULL && !bs_buffer_is_object (buffer) && bs_buffer_try_ref (buffer))
    evicted = buffer;
  g_mutex_unlock (&self->lock);

  if (hold != 0)
    return bs_content_new_for_hold (buffer, hold, self->codec, &blob->key);
  if (evicted == NULL)
    return NULL;

  content = bs_content_new_bytes (evicted->content);
  bs_buffer_unref (evicted);
  return content;
}

void
bs_cache_mark_clean_locked (BsCache *self, BsBlob *blob)
{
  if (blob->is_clean)
    return;

  /* An outbox is for those that wait for their write. */
  if (blob->place == BS_PLACE_OUTBOX)
    {
      bs_cache_outbox_remove_locked (self, blob);
      bs_cache_restore_locked (self, blob);
    }
  __atomic_store_n (&blob->is_clean, TRUE, __ATOMIC_RELEASE);
  blob->trouble = BS_TROUBLE_NONE;
  self->stats.writes++;
  if (bs_buffer_is_object (blob->buffer))
    self->stats.bytes_out += __atomic_load_n (&blob->buffer->encoded_size, __ATOMIC_RELAXED);
  else
    self->stats.bytes_out += blob->node.size;

  /* Writing works again, whoever found out: those that wait need not sit out
   * their pauses. */
  self->is_behind_paused = FALSE;
  if (self->outboxes[BS_TROUBLE_NONE].pause != 0)
    {
      self->outboxes[BS_TROUBLE_NONE].pause = 0;
      self->outboxes[BS_TROUBLE_BACKING].retry_at = 0;
    }
}

void
bs_cache_mark_clean (BsCache *self, BsBlob *blob)
{
  g_mutex_lock (&self->lock);
  bs_cache_mark_clean_locked (self, blob);
  g_mutex_unlock (&self->lock);
}

BsCacheChanges
bs_cache_take_changes_locked (BsCache *self)
{
  const BsCacheFigures *now = &self->figures;
  const BsCacheFigures *told = &self->told;
  BsCacheChanges changes = 0;

  if (now->memory_use != told->memory_use)
    changes |= BS_CHANGED_MEMORY_USE;
  if (now->memory_in_use != told->memory_in_use)
    changes |= BS_CHANGED_MEMORY_IN_USE;
  if (now->n_items != told->n_items)
    changes |= BS_CHANGED_N_ITEMS;
  if (now->n_resident != told->n_resident)
    changes |= BS_CHANGED_N_RESIDENT;
  self->told = self->figures;

  return changes;
}
