/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "bs-cache-private.h"
#include "bs-pool-private.h"

/* While an entry is in memory the cache has a strong hold on its payload, and hands
 * out references to that. After an eviction the entry keeps a plain pointer to the
 * payload, which a later load follows if somebody still keeps the payload alive;
 * the payload clears that pointer, under the lock, when it dies. */

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
    bs_link_init (&self->outboxes[i].entries);
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

BsEntry *
bs_entry_new (BsKeyRecord *record, gboolean is_clean)
{
  BsEntry *entry = g_new0 (BsEntry, 1);

  entry->ref_count = 1;
  entry->record = record;
  entry->key = *bs_key_record_get_key (record);
  entry->is_clean = is_clean;

  return entry;
}

BsEntry *
bs_entry_ref (BsEntry *entry)
{
  g_atomic_int_inc (&entry->ref_count);
  return entry;
}

gboolean
bs_entry_try_ref (BsEntry *entry)
{
  gint old = g_atomic_int_get (&entry->ref_count);

  while (old > 0)
    {
      if (g_atomic_int_compare_and_exchange (&entry->ref_count, old, old + 1))
        return TRUE;
      old = g_atomic_int_get (&entry->ref_count);
    }

  return FALSE;
}

static void
set_place (BsEntry *entry, BsPlace place)
{
  __atomic_store_n (&entry->place, place, __ATOMIC_RELAXED);
}

/* The cache's lock must be held. Returns what was there. */
static BsReference
exchange_reference (BsEntry *entry, BsReference reference)
{
  BsReference old = bs_word_lock (&entry->reference);

  bs_word_unlock (&entry->reference, reference);
  return old;
}

void
bs_cache_enter_locked (BsCache *self, BsEntry *entry)
{
  set_place (entry, BS_PLACE_RESIDENT);
  bs_residency_enter (&self->residency, &entry->node);
}

void
bs_cache_restore_locked (BsCache *self, BsEntry *entry)
{
  set_place (entry, BS_PLACE_RESIDENT);
  bs_residency_restore (&self->residency, &entry->node);
}

void
bs_cache_outbox_append_locked (BsCache *self, BsEntry *entry)
{
  BsOutbox *outbox = &self->outboxes[entry->trouble];

  set_place (entry, BS_PLACE_OUTBOX);
  bs_link_append (&outbox->entries, &entry->node.link);
  bs_amount_add (&outbox->amount, entry);
}

void
bs_cache_outbox_remove_locked (BsCache *self, BsEntry *entry)
{
  bs_link_remove (&entry->node.link);
  bs_amount_subtract (&self->outboxes[entry->trouble].amount, entry);
}

/* The payload comes into memory, or back into it. Takes the hold over. */
static void
make_resident_locked (BsCache *self, BsEntry *entry, BsPayload *payload, BsReference reference)
{
  payload->entry = entry;
  entry->payload = payload;
  self->figures.memory_use += entry->node.size;
  self->figures.n_resident++;
  bs_cache_enter_locked (self, entry);
  exchange_reference (entry, reference);
}

BsReference
bs_cache_evict_locked (BsCache *self, BsEntry *entry)
{
  set_place (entry, BS_PLACE_OUT);
  self->figures.memory_use -= entry->node.size;
  self->figures.memory_in_use += entry->node.size;
  self->figures.n_resident--;
  self->stats.evictions++;

  return exchange_reference (entry, 0);
}

/* Off whatever it stands on; it is to be counted as in memory still. */
static void
take_off_locked (BsCache *self, BsEntry *entry)
{
  switch ((BsPlace) entry->place)
    {
    case BS_PLACE_RESIDENT:
      bs_residency_leave (&self->residency, &entry->node);
      break;
    case BS_PLACE_OUTBOX:
      bs_cache_outbox_remove_locked (self, entry);
      break;
    case BS_PLACE_WRITING:
      bs_amount_subtract (&self->writing, entry);
      break;
    case BS_PLACE_OUT:
    default:
      g_assert_not_reached ();
    }
}

/* The entry and its payload part for good. Returns the cache's hold on it, and a
 * reference on one whose object need not be followed any more. */
static BsReference
detach_payload_locked (BsCache *self, BsEntry *entry, BsPayload **followed)
{
  BsPayload *payload = g_steal_pointer (&entry->payload);

  payload->entry = NULL;
  if (bs_payload_is_object (payload) && bs_payload_try_ref (payload))
    *followed = payload;
  if (entry->place == BS_PLACE_OUT)
    {
      self->figures.memory_in_use -= entry->node.size;
      return 0;
    }

  take_off_locked (self, entry);
  set_place (entry, BS_PLACE_OUT);
  self->figures.memory_use -= entry->node.size;
  self->figures.n_resident--;

  return exchange_reference (entry, 0);
}

/* Takes over what detach_buffer_locked() has returned. No lock held. */
static void
let_go (BsReference reference, BsPayload *followed)
{
  if (followed != NULL)
    {
      bs_payload_unfollow (followed);
      bs_payload_unref (followed);
    }
  if (reference != 0)
    bs_reference_drop (reference);
}

gboolean
bs_cache_forget_payload (BsCache *self, BsPayload *payload)
{
  gboolean was_held;

  g_mutex_lock (&self->lock);
  was_held = payload->entry != NULL;
  if (was_held)
    {
      self->figures.memory_in_use -= payload->entry->node.size;
      payload->entry->payload = NULL;
    }
  g_mutex_unlock (&self->lock);

  return was_held;
}

BsKeyRecord *
bs_cache_release_entry (BsCache *self, BsEntry *entry)
{
  BsKeyRecord *record = entry->record;
  BsPayload *followed = NULL;
  BsReference reference = 0;

  if (!g_atomic_int_dec_and_test (&entry->ref_count))
    return NULL;

  g_mutex_lock (&self->lock);
  if (entry->payload != NULL)
    reference = detach_payload_locked (self, entry, &followed);
  g_mutex_unlock (&self->lock);

  let_go (reference, followed);
  g_free (entry);

  return record;
}

void
bs_cache_insert (BsCache *self, BsEntry *entry, GBytes *content)
{
  BsPayload *payload = bs_payload_new_bytes (self, content);
  BsReference reference = bs_reference_new_bytes (payload);

  g_mutex_lock (&self->lock);
  entry->node.size = g_bytes_get_size (content);
  entry->is_size_known = TRUE;
  make_resident_locked (self, entry, payload, reference);
  g_mutex_unlock (&self->lock);
}

BsReference
bs_cache_insert_object (BsCache *self, BsEntry *entry, GObject *object, const guint64 *size)
{
  BsPayload *payload = bs_payload_new_object (self, object);
  BsReference reference = bs_reference_new_object (payload, object);
  BsReference unmeasured = size == NULL ? bs_reference_ref (reference) : 0;

  g_mutex_lock (&self->lock);
  entry->is_size_known = size != NULL;
  entry->node.size = size != NULL ? MIN (*size, MAX_OBJECT_SIZE) : 0;
  make_resident_locked (self, entry, payload, reference);
  g_mutex_unlock (&self->lock);

  return unmeasured;
}

/* What is in memory was used. */
static void
touch_locked (BsCache *self, BsEntry *entry)
{
  switch ((BsPlace) entry->place)
    {
    case BS_PLACE_RESIDENT:
      bs_residency_hit (&self->residency, &entry->node);
      break;
    case BS_PLACE_OUTBOX:
      bs_cache_outbox_remove_locked (self, entry);
      bs_cache_enter_locked (self, entry);
      break;
    case BS_PLACE_WRITING:
      entry->was_used = TRUE;
      break;
    case BS_PLACE_OUT:
    default:
      g_assert_not_reached ();
    }
}

static GBytes *
find_locked (BsCache *self, BsEntry *entry, gboolean *came_back)
{
  BsPayload *payload = entry->payload;

  if (payload == NULL || bs_payload_is_object (payload))
    return NULL;

  if (entry->place == BS_PLACE_OUT)
    {
      self->figures.memory_in_use -= entry->node.size;
      if (!bs_payload_try_ref (payload))
        {
          payload->entry = NULL;
          entry->payload = NULL;
          return NULL;
        }
      make_resident_locked (self, entry, payload, bs_reference_new_bytes (payload));
      *came_back = TRUE;
    }
  else
    {
      touch_locked (self, entry);
    }

  return g_bytes_ref (bs_reference_get_bytes (bs_word_peek (&entry->reference)));
}

GBytes *
bs_cache_find (BsCache *self, BsEntry *entry, gboolean *came_back)
{
  GBytes *bytes;

  g_mutex_lock (&self->lock);
  bytes = find_locked (self, entry, came_back);
  g_mutex_unlock (&self->lock);

  return bytes;
}

/* A hold on the object; or, where it was evicted, what may lead to it: a
 * reference on the payload. */
static BsReference
find_object_locked (BsCache *self, BsEntry *entry, BsPayload **evicted)
{
  BsPayload *payload = entry->payload;

  if (payload == NULL || !bs_payload_is_object (payload))
    return 0;

  if (entry->place != BS_PLACE_OUT)
    {
      touch_locked (self, entry);
      return bs_reference_ref (bs_word_peek (&entry->reference));
    }

  if (bs_payload_try_ref (payload))
    *evicted = payload;
  return 0;
}

/* Takes the reference on the payload over. */
static GObject *
bring_back (BsCache *self, BsEntry *entry, BsPayload *payload, gboolean *came_back)
{
  GObject *object = bs_payload_dup_object (payload);
  BsReference reference;

  if (object == NULL)
    {
      bs_payload_unref (payload);
      return NULL;
    }

  reference = bs_reference_new_object (payload, object);
  g_mutex_lock (&self->lock);
  if (entry->payload == payload && entry->place == BS_PLACE_OUT)
    {
      self->figures.memory_in_use -= entry->node.size;
      make_resident_locked (self, entry, payload, reference);
      *came_back = TRUE;
      reference = 0;
    }
  g_mutex_unlock (&self->lock);

  if (reference != 0)
    bs_reference_drop (reference);
  return object;
}

GObject *
bs_cache_find_object (BsCache *self, BsEntry *entry, gboolean *came_back)
{
  BsPayload *evicted = NULL;
  BsReference reference;

  g_mutex_lock (&self->lock);
  reference = find_object_locked (self, entry, &evicted);
  g_mutex_unlock (&self->lock);

  if (reference != 0)
    return bs_reference_to_object (reference);
  if (evicted != NULL)
    return bring_back (self, entry, evicted, came_back);
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
set_size_locked (BsEntry *entry, guint64 size, gboolean *changed)
{
  *changed = !entry->is_size_known || entry->node.size != size;
  entry->node.size = size;
  entry->is_size_known = TRUE;
}

GBytes *
bs_cache_adopt (BsCache *self, BsEntry *entry, GBytes *content, gboolean *size_changed)
{
  BsPayload *payload = bs_payload_new_bytes (self, content);
  BsReference reference = bs_reference_new_bytes (payload);
  gboolean came_back;
  GBytes *bytes;

  *size_changed = FALSE;

  g_mutex_lock (&self->lock);
  bytes = find_locked (self, entry, &came_back);
  if (bytes == NULL)
    {
      self->stats.bytes_in += g_bytes_get_size (content);
      if (entry->payload == NULL)
        {
          set_size_locked (entry, g_bytes_get_size (content), size_changed);
          make_resident_locked (self, entry, payload, reference);
          bytes = g_bytes_ref (bs_reference_get_bytes (reference));
          reference = 0;
        }
      else
        {
          /* There is an object: that is what is held, and these are the caller's. */
          bytes = g_bytes_ref (content);
        }
    }
  g_mutex_unlock (&self->lock);

  if (reference != 0)
    bs_reference_drop (reference);
  return bytes;
}

/* Whatever stands in the way goes: it is bytes, or an object that is gone.
 * Returns the hold on it. */
static BsReference
install_object_locked (BsCache *self, BsEntry *entry, BsReference reference, guint64 size, BsPayload **followed, gboolean *size_changed)
{
  BsReference old = 0;

  /* What was read is in the backing. */
  bs_cache_mark_clean_locked (self, entry);
  if (entry->payload != NULL)
    old = detach_payload_locked (self, entry, followed);
  set_size_locked (entry, MIN (size, MAX_OBJECT_SIZE), size_changed);
  make_resident_locked (self, entry, bs_reference_get_object_reference (reference)->payload, reference);

  return old;
}

GObject *
bs_cache_adopt_object (BsCache *self, BsEntry *entry, GObject *object, guint64 size, guint64 n_read, gboolean *size_changed)
{
  BsPayload *payload = bs_payload_new_object (self, object);
  BsReference reference = bs_reference_new_object (payload, object);
  BsPayload *gone = NULL, *followed = NULL;
  GObject *winner = NULL;
  BsReference old = 0;

  *size_changed = FALSE;

  while (winner == NULL)
    {
      BsPayload *evicted = NULL;
      gboolean came_back;
      BsReference other;

      g_mutex_lock (&self->lock);
      other = find_object_locked (self, entry, &evicted);
      if (other == 0 && (evicted == NULL || evicted == gone))
        {
          old = install_object_locked (self, entry, reference, size, &followed, size_changed);
          self->stats.bytes_in += n_read;
          reference = 0;
        }
      g_mutex_unlock (&self->lock);

      if (reference == 0)
        winner = g_object_ref (object);
      else if (other != 0)
        winner = bs_reference_to_object (other);
      else if (bs_payload_try_ref (evicted))
        winner = bring_back (self, entry, evicted, &came_back);

      /* Kept, so that no other can be mistaken for it. */
      if (gone != NULL)
        bs_payload_unref (gone);
      gone = evicted;
    }

  if (gone != NULL)
    bs_payload_unref (gone);
  let_go (old, followed);
  if (reference != 0)
    {
      bs_payload_unfollow (payload);
      bs_reference_drop (reference);
    }

  return winner;
}

gboolean
bs_cache_measured (BsCache *self, BsEntry *entry, BsReference reference, guint64 size)
{
  gboolean is_of_interest;

  g_mutex_lock (&self->lock);
  is_of_interest = entry->payload == bs_reference_get_object_reference (reference)->payload && !entry->is_size_known;
  if (is_of_interest)
    {
      BsPlace place = entry->place;

      /* Its size is constant while it stands on anything. */
      if (place != BS_PLACE_OUT)
        take_off_locked (self, entry);
      entry->node.size = MIN (size, MAX_OBJECT_SIZE);
      entry->is_size_known = TRUE;

      if (place == BS_PLACE_OUT)
        self->figures.memory_in_use += entry->node.size;
      else
        self->figures.memory_use += entry->node.size;
      if (place == BS_PLACE_RESIDENT)
        bs_cache_enter_locked (self, entry);
      else if (place == BS_PLACE_OUTBOX)
        bs_cache_outbox_append_locked (self, entry);
      else if (place == BS_PLACE_WRITING)
        bs_amount_add (&self->writing, entry);
    }
  g_mutex_unlock (&self->lock);

  return is_of_interest;
}

gboolean
bs_cache_is_in_the_way (BsCache *self, BsEntry *entry, BsKind kind)
{
  gboolean is_in_the_way;

  g_mutex_lock (&self->lock);
  is_in_the_way = !entry->is_clean && bs_payload_is_object (entry->payload) != (kind == BS_KIND_OBJECT);
  g_mutex_unlock (&self->lock);

  return is_in_the_way;
}

BsContent *
bs_cache_dup_unwritten (BsCache *self, BsEntry *entry)
{
  BsPayload *payload = NULL;
  BsReference reference = 0;

  if (bs_entry_is_clean (entry))
    return NULL;

  g_mutex_lock (&self->lock);
  if (!entry->is_clean)
    {
      payload = entry->payload;
      reference = bs_reference_ref (bs_word_peek (&entry->reference));
    }
  g_mutex_unlock (&self->lock);

  /* The hold keeps the payload. */
  return reference != 0 ? bs_content_new_for_reference (payload, reference, self->codec, &entry->key) : NULL;
}

BsContent *
bs_cache_dup_content (BsCache *self, BsEntry *entry)
{
  BsPayload *evicted = NULL;
  BsContent *content;
  BsPayload *payload;
  BsReference reference;

  g_mutex_lock (&self->lock);
  payload = entry->payload;
  reference = bs_word_peek (&entry->reference);
  if (reference != 0)
    bs_reference_ref (reference);
  else if (payload != NULL && !bs_payload_is_object (payload) && bs_payload_try_ref (payload))
    evicted = payload;
  g_mutex_unlock (&self->lock);

  if (reference != 0)
    return bs_content_new_for_reference (payload, reference, self->codec, &entry->key);
  if (evicted == NULL)
    return NULL;

  content = bs_content_new_bytes (evicted->content);
  bs_payload_unref (evicted);
  return content;
}

void
bs_cache_mark_clean_locked (BsCache *self, BsEntry *entry)
{
  if (entry->is_clean)
    return;

  /* An outbox is for those that wait for their write. */
  if (entry->place == BS_PLACE_OUTBOX)
    {
      bs_cache_outbox_remove_locked (self, entry);
      bs_cache_restore_locked (self, entry);
    }
  __atomic_store_n (&entry->is_clean, TRUE, __ATOMIC_RELEASE);
  entry->trouble = BS_TROUBLE_NONE;
  self->stats.writes++;
  if (bs_payload_is_object (entry->payload))
    self->stats.bytes_out += __atomic_load_n (&entry->payload->encoded_size, __ATOMIC_RELAXED);
  else
    self->stats.bytes_out += entry->node.size;

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
bs_cache_mark_clean (BsCache *self, BsEntry *entry)
{
  g_mutex_lock (&self->lock);
  bs_cache_mark_clean_locked (self, entry);
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
