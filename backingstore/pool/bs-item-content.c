/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "base/bs-buffer-private.h"

#include "bs-codec-private.h"
#include "bs-item-private.h"

/* New contents of items: bytes, or objects where the pool has a codec. */

static gint64
measure (BsPool *pool, BsKind kind, gpointer content)
{
  BsBackingStore *store = bs_pool_get_store (pool);
  BsCallScope scope;
  guint64 size;

  if (kind == BS_KIND_BYTES)
    return g_bytes_get_size (content);

  if (!bs_backing_store_enter_call (store, &scope))
    return BS_SIZE_UNMEASURED;

  size = bs_codec_measure_checked (bs_pool_get_codec (pool), content);
  bs_backing_store_leave_call (store, &scope);

  return size == 0 ? BS_SIZE_NOT_SAID : (gint64) MIN (size, G_MAXINT64);
}

typedef struct
{
  BsItemRequest *request; /* owned */
  BsReference reference;  /* owned */
} Measurement;

/* Called in the store's main context. */
static gboolean
measure_cb (gpointer data)
{
  Measurement *self = data;
  BsItem *item = self->request->item;
  BsCache *cache = bs_item_get_cache (item);
  gint64 size = measure (item->pool, BS_KIND_OBJECT,
                         bs_reference_get_object_reference (self->reference)->object);

  if (size != BS_SIZE_UNMEASURED &&
      bs_cache_set_size (cache, self->request->entry, self->reference, size))
    {
      bs_item_notify_size (item);
      bs_cache_settle (cache);
      if (size == BS_SIZE_NOT_SAID)
        bs_cache_write_ahead (cache, self->request->entry);
    }

  return G_SOURCE_REMOVE;
}

static void
measurement_free (gpointer data)
{
  Measurement *self = data;

  bs_reference_drop (self->reference);
  bs_item_request_free (self->request);
  g_free (self);
}

/* Measures an object in the store's main context, where codecs have to run. The item may
 * get another entry meanwhile. Takes the reference over. */
static void
measure_later (BsItem *item, BsEntry *entry, BsReference reference)
{
  Measurement *self = g_new (Measurement, 1);
  GSource *source = g_idle_source_new ();

  self->request = bs_item_request_new (item, entry, BS_KIND_OBJECT, NULL);
  self->reference = reference;

  g_source_set_priority (source, G_PRIORITY_DEFAULT);
  g_source_set_static_name (source, "backingstore measurement");
  g_source_set_callback (source, measure_cb, self, measurement_free);
  g_source_attach (source, bs_backing_store_get_main_context (bs_pool_get_store (item->pool)));
  g_source_unref (source);
}

typedef struct
{
  BsEntry *entry;
  gint64 size;            /* what the codec says */
  BsReference unmeasured; /* on an object that could not be measured here, or 0 */
} Insertion;

static Insertion
insert (BsPool *pool, BsKind kind, gpointer content)
{
  BsToken *token = bs_token_new (bs_pool_get_store (pool));
  g_autoptr (GBytes) bytes = kind == BS_KIND_BYTES ? bs_buffer_dup_bytes (content) : NULL;
  Insertion self = { .size = measure (pool, kind, content) };

  self.entry = bs_cache_insert (bs_pool_get_cache (pool), token, kind,
                                bytes != NULL ? bytes : content, self.size, &self.unmeasured);
  return self;
}

static void
find_size (BsItem *item, const Insertion *insertion)
{
  if (insertion->unmeasured != 0)
    measure_later (item, insertion->entry, insertion->unmeasured);
  else if (insertion->size == BS_SIZE_NOT_SAID)
    bs_cache_write_ahead (bs_item_get_cache (item), insertion->entry);
}

BsItem *
bs_item_new_for_content (BsPool *pool, BsKind kind, gpointer content)
{
  Insertion insertion = insert (pool, kind, content);
  BsItem *item = bs_item_new (pool, insertion.entry);

  find_size (item, &insertion);
  bs_cache_settle (bs_pool_get_cache (pool));

  return item;
}

static void
replace (BsItem *self, BsKind kind, gpointer content)
{
  Insertion insertion = insert (self->pool, kind, content);

  /* Another thread may replace the entry as soon as the item has it. */
  find_size (self, &insertion);
  bs_item_set_entry (self, insertion.entry);
}

/**
 * bs_item_replace:
 * @self: an item
 * @bytes: a content
 *
 * Gives the item a new content, and with it a new key.
 *
 * Operations asked before go on with the old content. Copies of the item keep it;
 * without any, the backing forgets it.
 * [property@Item:key] and [property@Item:size] are notified. Never blocks.
 */
void
bs_item_replace (BsItem *self, GBytes *bytes)
{
  g_return_if_fail (bs_item_has_pool (self));
  g_return_if_fail (bytes != NULL);

  replace (self, BS_KIND_BYTES, bytes);
}

gboolean
bs_pool_check_objects (BsPool *self, const char *function, GError **error)
{
  BsCodec *codec = bs_pool_get_codec (self);
  g_autoptr (GError) local_error = NULL;

  if (codec == NULL)
    g_set_error_literal (&local_error, BS_ERROR, BS_ERROR_NOT_SUPPORTED, "the pool has no codec");
  if (codec != NULL && bs_codec_check_encodes (codec, &local_error))
    return TRUE;

  g_propagate_prefixed_error (error, g_steal_pointer (&local_error), "%s: ", function);
  return FALSE;
}

/**
 * bs_item_replace_object:
 * @self: an item of a pool that has a codec
 * @object: an object
 * @error: return location for an error
 *
 * Gives the item a new content, and with it a new key.
 *
 * Like [method@Item.replace], for an object; see [method@Pool.insert_object].
 * Operations asked before go on with the old content, an encoding that is under
 * way included. Never blocks.
 *
 * Fails with %BS_ERROR_NOT_SUPPORTED, and leaves the item as it is, if the pool has no
 * codec or its codec cannot encode.
 *
 * Returns: %TRUE if the item has the new content
 */
gboolean
bs_item_replace_object (BsItem *self, GObject *object, GError **error)
{
  g_return_val_if_fail (bs_item_has_pool (self), FALSE);
  g_return_val_if_fail (G_IS_OBJECT (object), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (!bs_pool_check_objects (self->pool, "replace_object", error))
    return FALSE;

  replace (self, BS_KIND_OBJECT, object);
  return TRUE;
}
