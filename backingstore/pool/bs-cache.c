/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "bs-cache-private.h"
#include "bs-pool-private.h"

/* GBytes have no weak references, so what a load returns is a wrapper that
 * holds a buffer, and the buffer holds the real bytes. While a blob is resident
 * the cache owns one wrapper and hands out references to it. After an eviction
 * the blob keeps a plain pointer to the buffer, which a later load follows if
 * somebody still holds the buffer alive; the buffer clears that pointer, under
 * the lock, when it dies. */

BsCache *
bs_cache_new (BsPool *pool)
{
  BsCache *self = g_new0 (BsCache, 1);

  g_atomic_ref_count_init (&self->ref_count);
  g_weak_ref_init (&self->pool, pool);
  g_mutex_init (&self->lock);
  self->max_bytes = G_MAXUINT64;
  bs_residency_init (&self->residency, self->max_bytes);
  bs_link_init (&self->fresh.blobs);
  bs_link_init (&self->troubled.blobs);
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

  g_weak_ref_clear (&self->pool);
  g_mutex_clear (&self->lock);
  g_free (self);
}

static gboolean
try_ref (gint *ref_count)
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

static BsBuffer *
bs_buffer_new (BsCache *cache, BsBlob *blob, GBytes *content)
{
  BsBuffer *self = g_new0 (BsBuffer, 1);

  self->ref_count = 1;
  self->blob = blob;
  self->content = g_bytes_ref (content);
  self->cache = bs_cache_ref (cache);

  return self;
}

gboolean
bs_buffer_try_ref (BsBuffer *buffer)
{
  return try_ref (&buffer->ref_count);
}

/* Called in any thread: it is what frees the bytes that a load returned. */
void
bs_buffer_unref (BsBuffer *buffer)
{
  BsCache *cache = buffer->cache;
  gboolean was_held;

  if (!g_atomic_int_dec_and_test (&buffer->ref_count))
    return;

  g_mutex_lock (&cache->lock);
  was_held = buffer->blob != NULL;
  if (was_held)
    {
      cache->figures.memory_in_use -= buffer->blob->node.size;
      buffer->blob->buffer = NULL;
    }
  g_mutex_unlock (&cache->lock);

  g_bytes_unref (buffer->content);
  g_free (buffer);

  if (was_held)
    bs_pool_settle_weak (cache);
  bs_cache_unref (cache);
}

/* Takes over a reference on the buffer. */
static GBytes *
wrap_buffer (BsBuffer *buffer)
{
  gsize size;
  gconstpointer data = g_bytes_get_data (buffer->content, &size);

  return g_bytes_new_with_free_func (data, size, (GDestroyNotify) bs_buffer_unref, buffer);
}

BsBlob *
bs_blob_new (BsKeyRecord *record, gboolean is_clean)
{
  BsBlob *blob = g_new0 (BsBlob, 1);

  blob->ref_count = 1;
  blob->record = record;
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
  return try_ref (&blob->ref_count);
}

void
bs_cache_enter_locked (BsCache *self, BsBlob *blob)
{
  blob->place = BS_PLACE_RESIDENT;
  bs_residency_enter (&self->residency, &blob->node);
}

void
bs_cache_restore_locked (BsCache *self, BsBlob *blob)
{
  blob->place = BS_PLACE_RESIDENT;
  bs_residency_restore (&self->residency, &blob->node);
}

static BsOutbox *
outbox_of (BsCache *self, BsBlob *blob)
{
  return blob->is_troubled ? &self->troubled : &self->fresh;
}

void
bs_cache_outbox_append_locked (BsCache *self, BsBlob *blob)
{
  BsOutbox *outbox = outbox_of (self, blob);

  blob->place = BS_PLACE_OUTBOX;
  bs_link_append (&outbox->blobs, &blob->node.link);
  outbox->bytes += blob->node.size;
}

void
bs_cache_outbox_remove_locked (BsCache *self, BsBlob *blob)
{
  bs_link_remove (&blob->node.link);
  outbox_of (self, blob)->bytes -= blob->node.size;
}

/* The buffer comes into memory, or back into it. */
static void
make_resident_locked (BsCache *self, BsBlob *blob, BsBuffer *buffer)
{
  buffer->wrapper = wrap_buffer (buffer);
  blob->buffer = buffer;
  self->figures.memory_use += blob->node.size;
  self->figures.n_resident++;
  bs_cache_enter_locked (self, blob);
}

GBytes *
bs_cache_evict_locked (BsCache *self, BsBlob *blob)
{
  blob->place = BS_PLACE_OUT;
  self->figures.memory_use -= blob->node.size;
  self->figures.memory_in_use += blob->node.size;
  self->figures.n_resident--;
  self->stats.evictions++;

  return g_steal_pointer (&blob->buffer->wrapper);
}

/* The blob and its buffer part for good. Returns the cache's hold on it. */
static GBytes *
detach_buffer_locked (BsCache *self, BsBlob *blob)
{
  BsBuffer *buffer = g_steal_pointer (&blob->buffer);

  switch ((BsPlace) blob->place)
    {
    case BS_PLACE_OUT:
      self->figures.memory_in_use -= blob->node.size;
      break;
    case BS_PLACE_RESIDENT:
      bs_residency_leave (&self->residency, &blob->node);
      break;
    case BS_PLACE_OUTBOX:
      bs_cache_outbox_remove_locked (self, blob);
      break;
    case BS_PLACE_WRITING:
      self->writing_bytes -= blob->node.size;
      break;
    default:
      g_assert_not_reached ();
    }

  if (blob->place != BS_PLACE_OUT)
    {
      self->figures.memory_use -= blob->node.size;
      self->figures.n_resident--;
    }

  blob->place = BS_PLACE_OUT;
  buffer->blob = NULL;
  return g_steal_pointer (&buffer->wrapper);
}

BsKeyRecord *
bs_cache_release_blob (BsCache *self, BsBlob *blob)
{
  BsKeyRecord *record = blob->record;
  GBytes *wrapper = NULL;

  if (!g_atomic_int_dec_and_test (&blob->ref_count))
    return NULL;

  g_mutex_lock (&self->lock);
  if (blob->buffer != NULL)
    wrapper = detach_buffer_locked (self, blob);
  g_mutex_unlock (&self->lock);

  if (wrapper != NULL)
    g_bytes_unref (wrapper);
  g_free (blob);

  return record;
}

void
bs_cache_insert (BsCache *self, BsBlob *blob, GBytes *content)
{
  BsBuffer *buffer = bs_buffer_new (self, blob, content);

  g_mutex_lock (&self->lock);
  blob->node.size = g_bytes_get_size (content);
  blob->is_size_known = TRUE;
  make_resident_locked (self, blob, buffer);
  g_mutex_unlock (&self->lock);
}

GBytes *
bs_cache_find_locked (BsCache *self, BsBlob *blob)
{
  BsBuffer *buffer = blob->buffer;

  if (buffer == NULL)
    return NULL;

  switch ((BsPlace) blob->place)
    {
    case BS_PLACE_OUT:
      self->figures.memory_in_use -= blob->node.size;
      if (!bs_buffer_try_ref (buffer))
        {
          buffer->blob = NULL;
          blob->buffer = NULL;
          return NULL;
        }
      make_resident_locked (self, blob, buffer);
      break;
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
    default:
      g_assert_not_reached ();
    }

  self->stats.hits++;
  return g_bytes_ref (buffer->wrapper);
}

GBytes *
bs_cache_adopt (BsCache *self, BsBlob *blob, GBytes *content, gboolean *size_learnt)
{
  BsBuffer *buffer = bs_buffer_new (self, blob, content);
  GBytes *bytes;

  g_mutex_lock (&self->lock);
  *size_learnt = !blob->is_size_known;
  bytes = bs_cache_find_locked (self, blob);
  if (bytes != NULL)
    {
      self->stats.hits--;
      buffer->blob = NULL;
    }
  else
    {
      blob->node.size = g_bytes_get_size (content);
      blob->is_size_known = TRUE;
      self->stats.bytes_in += blob->node.size;
      make_resident_locked (self, blob, buffer);
      bytes = g_bytes_ref (buffer->wrapper);
      buffer = NULL;
    }
  g_mutex_unlock (&self->lock);

  if (buffer != NULL)
    bs_buffer_unref (buffer);
  return bytes;
}

BsContent *
bs_cache_dup_unwritten (BsCache *self, BsBlob *blob)
{
  BsContent *content = NULL;

  g_mutex_lock (&self->lock);
  if (!blob->is_clean)
    content = bs_content_new_bytes (blob->buffer->content);
  g_mutex_unlock (&self->lock);

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
  blob->is_clean = TRUE;
  blob->is_troubled = FALSE;
  self->stats.writes++;
  self->stats.bytes_out += blob->node.size;
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
