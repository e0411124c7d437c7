/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-item.h"

#include "bs-item-private.h"

/**
 * BsItem:
 *
 * A handle to one content in a [class@Pool].
 *
 * The content never changes; [method@Item.replace] gives the item another one,
 * with another key. A content is in memory, in the backing, or in both, and an
 * item costs little when its content is not in memory. A content stays loadable as
 * long as an item refers to it; when the last item goes, and nothing else needs
 * it, the backing forgets it, unless it was persisted.
 *
 * Items come from [method@Pool.insert], [method@Pool.register] and
 * [method@Item.copy]. All functions may be called from any thread. The
 * properties notify in the main context that was the thread's default where the
 * store was made, coalesced.
 */

typedef enum
{
  PROP_KEY = 1,
  PROP_POOL,
  PROP_SIZE,
} BsItemProperty;

static GParamSpec *properties[PROP_SIZE + 1];

G_DEFINE_FINAL_TYPE (BsItem, bs_item, G_TYPE_OBJECT)

BsItem *
bs_item_new (BsPool *pool, BsEntry *entry)
{
  BsItem *self = g_object_new (BS_TYPE_ITEM, NULL);

  self->pool = g_object_ref (pool);
  self->entry = entry;
  bs_cache_count_item (bs_pool_get_cache (pool));

  return self;
}

BsItem *
bs_item_new_for_token (BsPool *pool, BsToken *token)
{
  BsToken *spare;
  BsItem *self =
    bs_item_new (pool, bs_cache_obtain_entry (bs_pool_get_cache (pool), token, &spare));

  if (spare != NULL)
    bs_token_drop (bs_pool_get_store (pool), spare);
  bs_cache_settle (bs_pool_get_cache (pool));

  return self;
}

BsEntry *
bs_item_dup_entry (BsItem *self)
{
  BsEntry *entry = bs_entry_ref (bs_locked_pointer_lock (&self->entry));

  bs_locked_pointer_unlock (&self->entry);
  return entry;
}

static void
bs_item_get_property (GObject *object, guint property_id, GValue *value, GParamSpec *pspec)
{
  BsItem *self = BS_ITEM (object);

  switch ((BsItemProperty) property_id)
    {
    case PROP_KEY:
      g_value_take_string (value, bs_item_dup_key (self));
      break;
    case PROP_POOL:
      g_value_set_object (value, self->pool);
      break;
    case PROP_SIZE:
      g_value_set_int64 (value, bs_item_get_size (self));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, property_id, pspec);
    }
}

static void
bs_item_finalize (GObject *object)
{
  BsItem *self = BS_ITEM (object);

  if (self->pool != NULL)
    {
      bs_cache_drop_item (bs_item_get_cache (self), self->entry);
      g_object_unref (self->pool);
    }

  G_OBJECT_CLASS (bs_item_parent_class)->finalize (object);
}

static void
bs_item_class_init (BsItemClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GParamFlags flags = G_PARAM_READABLE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS;

  object_class->get_property = bs_item_get_property;
  object_class->finalize = bs_item_finalize;

  /**
   * BsItem:key: (attributes org.gtk.Property.get=bs_item_dup_key)
   *
   * The key of the content, lower-case and hyphenated.
   *
   * Notifies after [method@Item.replace], in the main context that was the
   * thread's default where the store was made.
   */
  properties[PROP_KEY] = g_param_spec_string ("key", NULL, NULL, NULL, flags);

  /**
   * BsItem:pool: (attributes org.gtk.Property.get=bs_item_get_pool)
   *
   * The pool that the item belongs to.
   */
  properties[PROP_POOL] = g_param_spec_object ("pool", NULL, NULL, BS_TYPE_POOL, flags);

  /**
   * BsItem:size: (attributes org.gtk.Property.get=bs_item_get_size)
   *
   * The size of the content in bytes, -1 if it is not known because it was
   * never loaded. That of a file or a stream that was inserted is known where the backing
   * has streams. An object's size is the answer of [method@Codec.measure].
   *
   * Notifies after [method@Item.replace] and when a load of this item learnt
   * it, in the main context that was the thread's default where the store was
   * made.
   */
  properties[PROP_SIZE] = g_param_spec_int64 ("size", NULL, NULL, -1, G_MAXINT64, -1, flags);

  g_object_class_install_properties (object_class, G_N_ELEMENTS (properties), properties);
}

static void
bs_item_init (BsItem *self)
{
}

/**
 * bs_item_dup_key: (attributes org.gtk.Method.get_property=key)
 * @self: an item
 *
 * Gets the key of the item's content.
 *
 * A copy, since [method@Item.replace] may change it any time.
 *
 * Returns: (transfer full): the key, lower-case and hyphenated
 */
char *
bs_item_dup_key (BsItem *self)
{
  BsEntry *entry;
  char *key;

  g_return_val_if_fail (BS_IS_ITEM (self), NULL);

  /* A script can make an item without an entry. */
  if (self->pool == NULL)
    return NULL;

  entry = bs_item_dup_entry (self);
  key = bs_key_to_string (&entry->key);
  bs_cache_drop_entry (bs_item_get_cache (self), entry);

  return key;
}

/**
 * bs_item_get_pool: (attributes org.gtk.Method.get_property=pool)
 * @self: an item
 *
 * Gets the pool that the item belongs to.
 *
 * Returns: (transfer none): the pool
 */
BsPool *
bs_item_get_pool (BsItem *self)
{
  g_return_val_if_fail (BS_IS_ITEM (self), NULL);

  return self->pool;
}

/**
 * bs_item_get_size: (attributes org.gtk.Method.get_property=size)
 * @self: an item
 *
 * Gets the size of the item's content.
 *
 * Returns: the size in bytes, -1 if it is not known because it was never loaded
 */
gint64
bs_item_get_size (BsItem *self)
{
  BsCache *cache;
  BsEntry *entry;
  gint64 size;

  g_return_val_if_fail (BS_IS_ITEM (self), -1);

  if (self->pool == NULL)
    return -1;

  cache = bs_item_get_cache (self);
  entry = bs_item_dup_entry (self);
  g_mutex_lock (&cache->lock);
  size = entry->is_size_known ? (gint64) entry->node.size : -1;
  g_mutex_unlock (&cache->lock);
  bs_cache_drop_entry (bs_item_get_cache (self), entry);

  return size;
}

void
bs_item_notify_size (BsItem *self)
{
  bs_pool_notify (self->pool, self, properties[PROP_SIZE]);
}

GError *
bs_item_error (BsItem *self,
               BsOperationKind kind,
               BsTrackedPath *tracked,
               GQuark domain,
               int code,
               const char *why)
{
  BsEntry *entry = bs_item_dup_entry (self);
  GError *error = bs_operation_error (kind, &entry->key,
                                      tracked != NULL ? bs_tracked_path_get_file (tracked) : NULL,
                                      domain, code, why);

  bs_cache_drop_entry (bs_item_get_cache (self), entry);
  return error;
}

gboolean
bs_item_check_cancelled (BsItem *self,
                         BsOperationKind kind,
                         BsTrackedPath *tracked,
                         GCancellable *cancellable,
                         GError **error)
{
  if (!g_cancellable_is_cancelled (cancellable))
    return TRUE;

  g_propagate_error (error, bs_item_error (self, kind, tracked, G_IO_ERROR, G_IO_ERROR_CANCELLED,
                                           "it was cancelled"));
  return FALSE;
}

BsReference
bs_item_hit (BsItem *self, BsKind kind)
{
  BsCache *cache = bs_item_get_cache (self);
  BsReference reference = bs_cache_hit (cache, bs_locked_pointer_lock (&self->entry), kind);

  bs_locked_pointer_unlock (&self->entry);
  if (reference != 0)
    bs_counter_raise (&cache->hits);

  return reference;
}

void
bs_item_set_entry (BsItem *self, BsEntry *entry)
{
  BsEntry *old = bs_locked_pointer_exchange (&self->entry, entry);
  BsCache *cache = bs_item_get_cache (self);

  bs_cache_drop_entry (cache, old);
  bs_cache_settle (cache);
  bs_pool_notify (self->pool, self, properties[PROP_KEY]);
  bs_pool_notify (self->pool, self, properties[PROP_SIZE]);
}

/**
 * bs_item_copy:
 * @self: an item
 *
 * Makes another item for the same content.
 *
 * The two share it, and its key, until one of them is replaced. Never blocks.
 *
 * Returns: (transfer full): a new item
 */
BsItem *
bs_item_copy (BsItem *self)
{
  BsItem *copy;

  g_return_val_if_fail (bs_item_has_pool (self), NULL);

  copy = bs_item_new (self->pool, bs_item_dup_entry (self));
  bs_cache_settle (bs_item_get_cache (self));

  return copy;
}

BsItemRequest *
bs_item_request_new (BsItem *item, BsEntry *entry, BsKind kind, GCancellable *cancellable)
{
  BsItemRequest *self = g_new (BsItemRequest, 1);

  self->item = g_object_ref (item);
  self->entry = bs_entry_ref (entry);
  self->kind = kind;
  self->cancellable = cancellable != NULL ? g_object_ref (cancellable) : NULL;

  return self;
}

void
bs_item_request_free (gpointer data)
{
  BsItemRequest *self = data;

  bs_cache_drop_entry (bs_item_get_cache (self->item), self->entry);
  g_clear_object (&self->cancellable);
  g_object_unref (self->item);
  g_free (self);
}
