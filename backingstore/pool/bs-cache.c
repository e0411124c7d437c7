/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-cache-private.h"

/* While an entry is in memory it has a reference on its payload, and hands out
 * others. After an eviction the entry keeps a plain pointer to the payload, which
 * a later load follows if the application keeps the payload alive; a dying payload
 * clears that pointer, under the lock. */

/* A limit on the answers of a codec, so that no sum of sizes overflows. */
#define MAX_OBJECT_SIZE (G_GUINT64_CONSTANT (1) << 40)

#define FIRST_ESTIMATE 1024

static void payload_finalize (BsPayloadOwner *owner, BsPayload *payload);

BsCache *
bs_cache_new (GObject *owner, BsCacheChangedFunc changed)
{
  BsCache *self = g_new0 (BsCache, 1);

  self->payload_owner.finalize = payload_finalize;
  g_atomic_ref_count_init (&self->ref_count);
  g_weak_ref_init (&self->weak_owner, owner);
  self->owner = owner;
  self->changed = changed;
  g_mutex_init (&self->lock);
  self->estimate = FIRST_ESTIMATE;
  self->max_bytes = G_MAXUINT64;
  self->max_items = G_MAXUINT;
  bs_residency_init (&self->residency, self->max_bytes);
  for (guint i = 0; i < BS_N_TROUBLES; i++)
    bs_write_queue_init (&self->write_queues[i]);
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

  bs_entry_table_clear (&self->entries);
  g_clear_error (&self->codec_error);
  g_clear_pointer (&self->ahead, g_hash_table_unref);
  bs_failures_clear (&self->failures);
  g_weak_ref_clear (&self->weak_owner);
  g_mutex_clear (&self->lock);
  g_free (self);
}

GObject *
bs_cache_dup_owner (BsCache *self)
{
  return g_weak_ref_get (&self->weak_owner);
}

static BsCacheChanges
compare_locked (BsCache *self)
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

  return changes;
}

BsCacheChanges
bs_cache_take_changes_locked (BsCache *self)
{
  BsCacheChanges changes = compare_locked (self) | self->seen;

  self->told = self->figures;
  self->seen = 0;

  return changes;
}

BsCacheFigures
bs_cache_read_figures (BsCache *self)
{
  BsCacheFigures figures;

  g_mutex_lock (&self->lock);
  figures = self->figures;
  self->seen |= compare_locked (self);
  g_mutex_unlock (&self->lock);

  return figures;
}

void
bs_cache_tell_changes (BsCache *self, BsCacheChanges changes)
{
  if (changes != 0)
    self->changed (self->owner, changes);
}

void
bs_cache_count_item (BsCache *self)
{
  g_mutex_lock (&self->lock);
  self->figures.n_items++;
  g_mutex_unlock (&self->lock);
}

/* Ignores an entry that is dying. */
static BsEntry *
lookup_locked (BsCache *self, const BsKey *key)
{
  BsEntry *entry = bs_entry_table_lookup (&self->entries, key);

  return entry != NULL && bs_entry_try_ref (entry) ? entry : NULL;
}

/* Takes the token over. */
static BsEntry *
entry_new (BsToken *token, gboolean is_clean)
{
  BsEntry *entry = g_new0 (BsEntry, 1);

  entry->ref_count = 1;
  entry->token = token;
  entry->key = token->key;
  entry->is_clean = is_clean;

  return entry;
}

BsEntry *
bs_cache_lookup_entry (BsCache *self, const BsKey *key)
{
  BsEntry *entry;

  g_mutex_lock (&self->lock);
  entry = lookup_locked (self, key);
  g_mutex_unlock (&self->lock);

  return entry;
}

BsEntry *
bs_cache_obtain_entry (BsCache *self, BsToken *token, BsToken **spare)
{
  BsEntry *entry;

  g_mutex_lock (&self->lock);
  entry = lookup_locked (self, &token->key);
  *spare = entry != NULL ? token : NULL;
  if (entry == NULL)
    {
      entry = entry_new (token, TRUE);
      bs_entry_table_add (&self->entries, entry);
    }
  g_mutex_unlock (&self->lock);

  return entry;
}

void
bs_cache_enter_locked (BsCache *self, BsEntry *entry)
{
  bs_entry_set_place (entry, BS_PLACE_RESIDENT);
  bs_residency_enter (&self->residency, &entry->node);
}

void
bs_cache_restore_locked (BsCache *self, BsEntry *entry)
{
  bs_entry_set_place (entry, BS_PLACE_RESIDENT);
  bs_residency_restore (&self->residency, &entry->node);
}

/* Brings a payload into memory, or back into it. Takes the reference over. */
static void
make_resident_locked (BsCache *self, BsEntry *entry, BsPayload *payload, BsReference reference)
{
  payload->entry = entry;
  entry->payload = payload;
  self->figures.memory_use += entry->node.size;
  self->figures.n_resident++;
  bs_cache_enter_locked (self, entry);
  bs_entry_exchange_reference (entry, reference);
}

BsReference
bs_cache_evict_locked (BsCache *self, BsEntry *entry)
{
  bs_entry_set_place (entry, BS_PLACE_OUT);
  self->figures.memory_use -= entry->node.size;
  self->figures.memory_in_use += entry->node.size;
  self->figures.n_resident--;
  self->stats.evictions++;
  self->n_given_up += entry->node.size;
  g_atomic_int_inc (&self->n_dropping);

  return bs_entry_exchange_reference (entry, 0);
}

/* Takes the entry off its list. The entry still counts as in memory. */
static void
unlist_locked (BsCache *self, BsEntry *entry)
{
  switch ((BsPlace) entry->place)
    {
    case BS_PLACE_RESIDENT:
      bs_residency_leave (&self->residency, &entry->node);
      break;
    case BS_PLACE_QUEUED:
      bs_write_queue_remove (&self->write_queues[entry->trouble], entry);
      break;
    case BS_PLACE_WRITING:
      bs_amount_subtract (&self->writing, entry);
      break;
    case BS_PLACE_OUT:
      g_assert_not_reached ();
    }
}

static BsDetached
detach_payload_locked (BsCache *self, BsEntry *entry)
{
  BsDetached detached = { 0, g_steal_pointer (&entry->payload) };

  detached.payload->entry = NULL;
  if (entry->place == BS_PLACE_OUT)
    {
      self->figures.memory_in_use -= entry->node.size;
    }
  else
    {
      unlist_locked (self, entry);
      bs_entry_set_place (entry, BS_PLACE_OUT);
      self->figures.memory_use -= entry->node.size;
      self->figures.n_resident--;
      detached.reference = bs_entry_exchange_reference (entry, 0);
    }
  if (!bs_payload_try_ref (detached.payload))
    detached.payload = NULL;

  return detached;
}

/* No lock held. */
static void
drop_detached (BsDetached detached)
{
  if (detached.payload != NULL)
    {
      bs_payload_unfollow (detached.payload);
      bs_payload_unref (detached.payload);
    }
  if (detached.reference != 0)
    bs_reference_drop (detached.reference);
}

static void
payload_finalize (BsPayloadOwner *payload_owner, BsPayload *payload)
{
  BsCache *self = (BsCache *) payload_owner;
  BsCacheChanges changes = 0;

  g_mutex_lock (&self->lock);
  if (payload->entry != NULL)
    {
      self->figures.memory_in_use -= payload->entry->node.size;
      payload->entry->payload = NULL;
      changes = bs_cache_take_changes_locked (self);
    }
  g_mutex_unlock (&self->lock);

  bs_payload_free (payload);

  if (changes != 0)
    {
      g_autoptr (GObject) owner = bs_cache_dup_owner (self);

      if (owner != NULL)
        bs_cache_tell_changes (self, changes);
    }
  bs_cache_unref (self);
}

static BsPayload *
payload_new (BsCache *self, BsKind kind, gpointer content)
{
  return bs_payload_new (&bs_cache_ref (self)->payload_owner, kind, content);
}

static void
release_last_locked (BsCache *self, BsEntry *entry, BsReleased *released)
{
  bs_entry_table_remove (&self->entries, entry);
  released->entry = entry;
  released->failure = bs_failures_exchange (&self->failures, entry, NULL);
  if (entry->payload != NULL)
    released->detached = detach_payload_locked (self, entry);
}

void
bs_cache_release_item_locked (BsCache *self, BsEntry *entry, BsReleased *released)
{
  self->figures.n_items--;
  if (g_atomic_int_dec_and_test (&entry->ref_count))
    release_last_locked (self, entry, released);
}

BsToken *
bs_released_clear (BsReleased *released)
{
  BsToken *token;

  if (released->entry == NULL)
    return NULL;

  drop_detached (released->detached);
  g_clear_pointer (&released->failure, bs_failure_unref);
  token = released->entry->token;
  g_free (released->entry);

  return token;
}

BsToken *
bs_cache_release_entry (BsCache *self, BsEntry *entry)
{
  BsReleased released = { NULL };

  if (!g_atomic_int_dec_and_test (&entry->ref_count))
    return NULL;

  g_mutex_lock (&self->lock);
  release_last_locked (self, entry, &released);
  g_mutex_unlock (&self->lock);

  return bs_released_clear (&released);
}

static void
set_size_locked (BsCache *self, BsEntry *entry, gint64 size)
{
  entry->is_estimated = size == BS_SIZE_NOT_SAID;
  entry->node.size = MIN (entry->is_estimated ? self->estimate : (guint64) size, MAX_OBJECT_SIZE);
  entry->is_size_known = TRUE;
}

BsEntry *
bs_cache_insert (BsCache *self,
                 BsToken *token,
                 BsKind kind,
                 gpointer content,
                 gint64 size,
                 BsReference *unmeasured)
{
  BsPayload *payload = payload_new (self, kind, content);
  BsReference reference = bs_reference_new (payload, content);
  BsEntry *entry = entry_new (token, FALSE);

  *unmeasured = size == BS_SIZE_UNMEASURED ? bs_reference_dup (reference) : 0;
  g_mutex_lock (&self->lock);
  bs_entry_table_add (&self->entries, entry);
  if (size != BS_SIZE_UNMEASURED)
    set_size_locked (self, entry, size);
  make_resident_locked (self, entry, payload, reference);
  g_mutex_unlock (&self->lock);

  return entry;
}

BsEntry *
bs_cache_insert_stored (BsCache *self, BsToken *token, gint64 size)
{
  BsEntry *entry = entry_new (token, TRUE);

  g_mutex_lock (&self->lock);
  bs_entry_table_add (&self->entries, entry);
  self->stats.writes++;
  if (size >= 0)
    {
      set_size_locked (self, entry, size);
      self->stats.bytes_out += size;
    }
  g_mutex_unlock (&self->lock);

  return entry;
}

/* Takes the entry off its list meanwhile, where its size is constant. */
static void
change_size_locked (BsCache *self, BsEntry *entry, gint64 size)
{
  BsPlace place = entry->place;
  guint64 *use = place == BS_PLACE_OUT ? &self->figures.memory_in_use : &self->figures.memory_use;

  if (place != BS_PLACE_OUT)
    unlist_locked (self, entry);
  *use -= entry->node.size;
  set_size_locked (self, entry, size);
  *use += entry->node.size;

  if (place == BS_PLACE_RESIDENT)
    bs_cache_enter_locked (self, entry);
  else if (place == BS_PLACE_QUEUED)
    bs_write_queue_append (&self->write_queues[entry->trouble], entry);
  else if (place == BS_PLACE_WRITING)
    bs_amount_add (&self->writing, entry);
}

gboolean
bs_cache_set_size (BsCache *self, BsEntry *entry, BsReference reference, gint64 size)
{
  gboolean is_of_interest;

  g_mutex_lock (&self->lock);
  is_of_interest = entry->payload == bs_reference_get_object_reference (reference)->payload &&
                   !entry->is_size_known;
  if (is_of_interest)
    change_size_locked (self, entry, size);
  g_mutex_unlock (&self->lock);

  return is_of_interest;
}

/* Notes a use of an entry that is in memory. */
static void
touch_locked (BsCache *self, BsEntry *entry)
{
  switch ((BsPlace) entry->place)
    {
    case BS_PLACE_RESIDENT:
      bs_residency_hit (&self->residency, &entry->node);
      break;
    case BS_PLACE_QUEUED:
      bs_write_queue_remove (&self->write_queues[entry->trouble], entry);
      bs_cache_enter_locked (self, entry);
      break;
    case BS_PLACE_WRITING:
      entry->was_used = TRUE;
      break;
    case BS_PLACE_OUT:
      g_assert_not_reached ();
    }
}

/* Returns a reference on the content. Sets `evicted` to a reference on the payload where the
 * content was evicted, and may still be alive. */
static BsReference
find_locked (BsCache *self, BsEntry *entry, BsKind kind, BsPayload **evicted)
{
  BsPayload *payload = entry->payload;

  if (payload == NULL || bs_payload_get_kind (payload) != kind)
    return 0;

  if (entry->place != BS_PLACE_OUT)
    {
      touch_locked (self, entry);
      return bs_reference_dup (bs_entry_get_reference (entry));
    }

  if (bs_payload_try_ref (payload))
    *evicted = payload;
  return 0;
}

/* Makes an evicted payload resident again, unless another thread has. Takes the
 * payload over. */
static BsReference
bring_back (BsCache *self, BsEntry *entry, BsPayload *payload, gboolean *came_back)
{
  BsReference reference = bs_reference_new_again (payload);

  if (reference == 0)
    return 0;

  g_mutex_lock (&self->lock);
  if (entry->payload == payload && entry->place == BS_PLACE_OUT)
    {
      self->figures.memory_in_use -= entry->node.size;
      make_resident_locked (self, entry, payload, bs_reference_dup (reference));
      *came_back = TRUE;
    }
  g_mutex_unlock (&self->lock);

  return reference;
}

gpointer
bs_cache_find (BsCache *self, BsEntry *entry, BsKind kind, gboolean *came_back)
{
  BsPayload *evicted = NULL;
  BsReference reference;

  g_mutex_lock (&self->lock);
  reference = find_locked (self, entry, kind, &evicted);
  g_mutex_unlock (&self->lock);

  if (evicted != NULL)
    reference = bring_back (self, entry, evicted, came_back);

  return reference != 0 ? bs_reference_to_content (reference) : NULL;
}

/* Takes the reference over. Another payload goes: bytes give way to an object, and
 * a dead object to another one. */
static BsDetached
install_locked (BsCache *self,
                BsEntry *entry,
                BsPayload *payload,
                BsReference reference,
                guint64 size,
                gboolean *size_changed)
{
  BsDetached detached = { 0 };
  guint64 old_size = entry->node.size;
  gboolean was_size_known = entry->is_size_known;

  /* A content that was read is in the backing. */
  bs_cache_mark_clean_locked (self, entry);
  if (entry->payload != NULL)
    detached = detach_payload_locked (self, entry);
  set_size_locked (self, entry, MIN (size, MAX_OBJECT_SIZE));
  *size_changed = !was_size_known || entry->node.size != old_size;
  make_resident_locked (self, entry, payload, reference);

  return detached;
}

/* Bytes do not replace an object, which may still be alive. */
static gboolean
may_install_locked (BsEntry *entry, BsKind kind)
{
  return kind == BS_KIND_OBJECT || entry->payload == NULL ||
         bs_payload_get_kind (entry->payload) == kind;
}

gpointer
bs_cache_adopt (BsCache *self,
                BsEntry *entry,
                BsKind kind,
                gpointer content,
                guint64 size,
                guint64 n_read,
                gboolean *size_changed)
{
  BsPayload *payload = payload_new (self, kind, content);
  BsReference reference = bs_reference_new (payload, content);
  BsReference winner = 0;
  BsPayload *dead = NULL;
  BsDetached detached = { 0 };
  gboolean is_read = FALSE, is_installed = FALSE, came_back;

  *size_changed = FALSE;

  while (winner == 0)
    {
      BsPayload *evicted = NULL;

      g_mutex_lock (&self->lock);
      winner = find_locked (self, entry, kind, &evicted);
      if (winner == 0 && (evicted == NULL || evicted == dead))
        {
          self->stats.bytes_in += n_read;
          self->stats.misses++;
          is_read = TRUE;
          winner = bs_reference_dup (reference);
          is_installed = may_install_locked (entry, kind);
          if (is_installed)
            detached = install_locked (self, entry, payload, reference, size, size_changed);
        }
      g_mutex_unlock (&self->lock);

      if (winner == 0 && bs_payload_try_ref (evicted))
        winner = bring_back (self, entry, evicted, &came_back);

      /* A dead payload is kept for a round, so that no other payload has its address. */
      if (dead != NULL)
        bs_payload_unref (dead);
      dead = evicted;
    }

  if (!is_read)
    bs_counter_raise (&self->hits);
  if (dead != NULL)
    bs_payload_unref (dead);
  drop_detached (detached);
  if (!is_installed)
    {
      bs_payload_unfollow (payload);
      bs_reference_drop (reference);
    }

  return bs_reference_to_content (winner);
}

void
bs_cache_set_failure (BsCache *self, BsEntry *entry, const GError *error)
{
  BsFailure *failure = error != NULL ? bs_failure_new (error) : NULL;
  g_autoptr (BsFailure) old = NULL;

  g_mutex_lock (&self->lock);
  old = bs_failures_exchange (&self->failures, entry, failure);
  g_mutex_unlock (&self->lock);
}

GError *
bs_cache_dup_failure (BsCache *self, BsEntry *entry)
{
  g_autoptr (BsFailure) failure = NULL;

  g_mutex_lock (&self->lock);
  failure = bs_failures_dup (&self->failures, entry);
  g_mutex_unlock (&self->lock);

  return failure != NULL ? bs_failure_dup_error (failure) : NULL;
}

BsContent *
bs_cache_dup_unwritten (BsCache *self, BsEntry *entry)
{
  BsReference reference = 0;
  BsPayload *payload;

  if (bs_entry_is_clean (entry))
    return NULL;

  g_mutex_lock (&self->lock);
  if (!entry->is_clean)
    {
      payload = entry->payload;
      reference = bs_reference_dup (bs_entry_get_reference (entry));
    }
  g_mutex_unlock (&self->lock);

  /* The reference keeps the payload. */
  return reference != 0
           ? bs_content_new_for_reference (payload, reference, self->codec, &entry->key)
           : NULL;
}

BsContent *
bs_cache_dup_other_kind (BsCache *self, BsEntry *entry, BsKind kind)
{
  gboolean is_other_kind;

  g_mutex_lock (&self->lock);
  is_other_kind = !entry->is_clean && bs_payload_get_kind (entry->payload) != kind;
  g_mutex_unlock (&self->lock);

  return is_other_kind ? bs_cache_dup_unwritten (self, entry) : NULL;
}

/* Returns the content of an entry, clean or not, if the content is alive. */
static BsContent *
dup_content (BsCache *self, BsEntry *entry)
{
  BsPayload *payload, *evicted = NULL;
  BsReference reference = 0;
  BsContent *content;

  g_mutex_lock (&self->lock);
  payload = entry->payload;
  if (entry->place != BS_PLACE_OUT)
    reference = bs_reference_dup (bs_entry_get_reference (entry));
  else if (payload != NULL && bs_payload_get_kind (payload) == BS_KIND_BYTES &&
           bs_payload_try_ref (payload))
    evicted = payload;
  g_mutex_unlock (&self->lock);

  if (reference != 0)
    return bs_content_new_for_reference (payload, reference, self->codec, &entry->key);
  if (evicted == NULL)
    return NULL;

  content = bs_content_new_bytes (evicted->bytes);
  bs_payload_unref (evicted);
  return content;
}

BsContent *
bs_cache_dup_unpersisted (BsCache *self, BsEntry *entry)
{
  if (bs_entry_is_clean (entry) && bs_backing_store_get_corruption_seen (self->store))
    return dup_content (self, entry);

  return bs_cache_dup_unwritten (self, entry);
}

/* An object counts at least as one byte. */
static void
note_encoded_locked (BsCache *self, BsEntry *entry)
{
  guint64 size = __atomic_load_n (&entry->payload->encoded_size, __ATOMIC_RELAXED);

  self->stats.bytes_out += size;
  self->estimate = MAX (size, 1);
  if (entry->is_estimated)
    change_size_locked (self, entry, self->estimate);
}

void
bs_cache_mark_clean_locked (BsCache *self, BsEntry *entry)
{
  if (entry->is_clean)
    return;

  /* A write queue has only entries that wait for their write. */
  if (entry->place == BS_PLACE_QUEUED)
    {
      bs_write_queue_remove (&self->write_queues[entry->trouble], entry);
      bs_cache_restore_locked (self, entry);
    }
  __atomic_store_n (&entry->is_clean, TRUE, __ATOMIC_RELEASE);
  entry->trouble = BS_TROUBLE_NONE;
  entry->is_reported = FALSE;
  self->stats.writes++;
  if (bs_payload_get_kind (entry->payload) == BS_KIND_OBJECT)
    note_encoded_locked (self, entry);
  else
    self->stats.bytes_out += entry->node.size;

  /* Writing works again, so the entries that wait end their pauses. */
  self->is_behind_paused = FALSE;
  if (self->write_queues[BS_TROUBLE_NONE].pause != 0)
    {
      self->write_queues[BS_TROUBLE_NONE].pause = 0;
      self->write_queues[BS_TROUBLE_BACKING].retry_at = 0;
    }
}

void
bs_cache_mark_clean (BsCache *self, BsEntry *entry)
{
  g_mutex_lock (&self->lock);
  bs_cache_mark_clean_locked (self, entry);
  g_mutex_unlock (&self->lock);
}
