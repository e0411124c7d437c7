/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "bs-item-private.h"
#include "bs-pool-private.h"

/* Items of a pool that has a codec: what it holds in memory are objects. */

/* FALSE where this thread may not call the codec. */
static gboolean
measure (BsPool *pool, GObject *object, guint64 *size)
{
  BsBackingStore *store = bs_pool_get_store (pool);
  BsFrame frame;

  if (!bs_backing_store_enter_call (store, &frame))
    return FALSE;

  *size = bs_codec_measure (bs_pool_get_codec (pool), object);
  bs_backing_store_leave_call (store, &frame);

  return TRUE;
}

typedef struct
{
  BsItemRequest *request;       /* owned */
  BsReference reference;                  /* a reference */
} Measurement;

/* Called in the store's main context. */
static gboolean
measure_cb (gpointer data)
{
  Measurement *self = data;
  BsItem *item = self->request->item;
  BsCache *cache = bs_pool_get_cache (item->pool);
  guint64 size;

  if (measure (item->pool, bs_reference_get_object_reference (self->reference)->object, &size) &&
      bs_cache_measured (cache, self->request->entry, self->reference, size))
    {
      bs_item_notify_size (item);
      bs_pool_settle (item->pool);
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

/* In the only context where that may be done. The item may get another entry
 * meanwhile. */
static void
measure_later (BsItem *item, BsEntry *entry, BsReference reference)
{
  Measurement *self = g_new (Measurement, 1);
  GSource *source = g_idle_source_new ();

  self->request = bs_item_request_new (item, entry, NULL);
  self->reference = reference;

  g_source_set_priority (source, G_PRIORITY_DEFAULT);
  g_source_set_static_name (source, "backingstore measurement");
  g_source_set_callback (source, measure_cb, self, measurement_free);
  g_source_attach (source, bs_backing_store_get_main_context (bs_pool_get_store (item->pool)));
  g_source_unref (source);
}

/* A new entry that an object stands for. A reference on the hold comes with it
 * where the object could not be measured. */
static BsEntry *
make_entry (BsPool *pool, GObject *object, BsReference *unmeasured)
{
  BsEntry *entry = bs_entry_new (bs_backing_store_new_token (bs_pool_get_store (pool)), FALSE);
  guint64 size;

  if (measure (pool, object, &size))
    *unmeasured = bs_cache_insert_object (bs_pool_get_cache (pool), entry, object, &size);
  else
    *unmeasured = bs_cache_insert_object (bs_pool_get_cache (pool), entry, object, NULL);

  return entry;
}

BsItem *
bs_item_new_for_object (BsPool *pool, GObject *object)
{
  BsReference unmeasured;
  BsEntry *entry = make_entry (pool, object, &unmeasured);
  BsItem *item = bs_item_new (pool, bs_entry_ref (entry));

  if (unmeasured != 0)
    measure_later (item, entry, unmeasured);
  bs_pool_release_entry (pool, entry);

  return item;
}

/**
 * bs_item_replace_object:
 * @self: an item of a pool that has a codec
 * @object: an object
 *
 * Gives the item a new content, and with it a new key.
 *
 * Like [method@Item.replace], for an object; see [method@Pool.insert_object].
 * What was asked of the item before goes on with the old content, an encoding
 * that is under way included. Never blocks.
 */
void
bs_item_replace_object (BsItem *self, GObject *object)
{
  BsReference unmeasured;
  BsEntry *entry;

  g_return_if_fail (BS_IS_ITEM (self));
  g_return_if_fail (self->pool != NULL);
  g_return_if_fail (bs_pool_get_codec (self->pool) != NULL);
  g_return_if_fail (G_IS_OBJECT (object));

  entry = make_entry (self->pool, object, &unmeasured);
  bs_item_set_entry (self, bs_entry_ref (entry));

  if (unmeasured != 0)
    measure_later (self, entry, unmeasured);
  bs_pool_release_entry (self->pool, entry);
}

static GObject *
decode (BsPool *pool, GBytes *bytes, GCancellable *cancellable, guint64 *size, GError **error)
{
  BsBackingStore *store = bs_pool_get_store (pool);
  BsCodec *codec = bs_pool_get_codec (pool);
  GObject *object;
  BsFrame frame;

  if (!bs_backing_store_enter_call (store, &frame))
    {
      g_set_error_literal (error, BS_ERROR, BS_ERROR_FAILED, "decode: this is not the thread of the store's main context");
      return NULL;
    }

  object = bs_codec_decode (codec, bytes, cancellable, error);
  if (object != NULL)
    *size = bs_codec_measure (codec, object);
  bs_backing_store_leave_call (store, &frame);

  return object;
}

/* Called where the read has ended; its strand is free again. */
gpointer
bs_item_object_deliver (gpointer data, gpointer value, GError **error)
{
  BsItemRequest *self = data;
  BsPool *pool = self->item->pool;
  BsCache *cache = bs_pool_get_cache (pool);
  gboolean came_back, size_changed = FALSE;
  GObject *object, *winner;
  guint64 size;

  if (*error != NULL)
    return NULL;

  winner = bs_cache_find_object (cache, self->entry, &came_back);
  if (winner == NULL)
    {
      object = decode (pool, value, self->cancellable, &size, error);
      if (object == NULL)
        {
          char key[BS_KEY_STRING_SIZE];

          bs_key_print (&self->entry->key, key);
          g_prefix_error (error, "%s: ", key);
          return NULL;
        }
      winner = bs_cache_adopt_object (cache, self->entry, object, size, g_bytes_get_size (value), &size_changed);
      g_object_unref (object);
    }

  if (size_changed)
    bs_item_notify_size (self->item);
  bs_pool_settle (pool);

  return winner;
}
