/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-manifest-entry-private.h"

/**
 * BsManifestEntry:
 *
 * A name in a [class@Manifest], with a key, attributes, and perhaps an item.
 *
 * The manifest makes an entry when it is asked for one, and gives the same one again as
 * long as that lives. An entry is changed by functions of the manifest; its properties
 * notify then, on the thread that makes the change. An entry that was removed keeps what
 * it had, and belongs to no manifest any more.
 *
 * All functions may be called from any thread.
 */

struct _BsManifestEntry
{
  GObject parent_instance;

  /* constant */
  BsManifestTable *table;   /* a reference; NULL in one that a script has made */
  BsManifestHandle *handle; /* a reference */
};

typedef enum
{
  PROP_NAME = 1,
  PROP_KEY,
  PROP_ITEM,
  PROP_ATTRIBUTES,
} BsManifestEntryProperty;

static GParamSpec *properties[PROP_ATTRIBUTES + 1];

G_DEFINE_FINAL_TYPE (BsManifestEntry, bs_manifest_entry, G_TYPE_OBJECT)

BsManifestEntry *
bs_manifest_entry_new_locked (BsManifestTable *table, guint node)
{
  BsManifestEntry *self = g_object_new (BS_TYPE_MANIFEST_ENTRY, NULL);

  self->table = bs_manifest_table_ref (table);
  self->handle = bs_manifest_handle_new (node, self);
  table->nodes[node].handle = bs_manifest_handle_ref (self->handle);

  return self;
}

void
bs_manifest_entry_notify (BsManifestEntry *self, BsManifestEntryChanges changes, BsPool *pool)
{
  g_object_freeze_notify (G_OBJECT (self));
  for (guint i = PROP_NAME; i <= PROP_ATTRIBUTES; i++)
    {
      if (!(changes & (1 << (i - PROP_NAME))))
        continue;
      if (pool != NULL)
        bs_pool_notify (pool, self, properties[i]);
      else
        g_object_notify_by_pspec (G_OBJECT (self), properties[i]);
    }
  g_object_thaw_notify (G_OBJECT (self));
}

static const BsManifestNode *
lock (BsManifestEntry *self)
{
  g_mutex_lock (&self->table->lock);
  return bs_manifest_handle_get_locked (self->handle, self->table);
}

static void
unlock (BsManifestEntry *self)
{
  g_mutex_unlock (&self->table->lock);
}

static void
bs_manifest_entry_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  BsManifestEntry *self = BS_MANIFEST_ENTRY (object);

  switch ((BsManifestEntryProperty) id)
    {
    case PROP_NAME:
      g_value_take_string (value, bs_manifest_entry_dup_name (self));
      break;
    case PROP_KEY:
      g_value_take_string (value, bs_manifest_entry_dup_key (self));
      break;
    case PROP_ITEM:
      g_value_take_object (value, bs_manifest_entry_dup_item (self));
      break;
    case PROP_ATTRIBUTES:
      g_value_take_variant (value, bs_manifest_entry_dup_attributes (self));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
bs_manifest_entry_finalize (GObject *object)
{
  BsManifestEntry *self = BS_MANIFEST_ENTRY (object);

  if (self->table != NULL)
    {
      bs_manifest_handle_forget (self->handle, self->table);
      bs_manifest_handle_unref (self->handle);
      bs_manifest_table_unref (self->table);
    }

  G_OBJECT_CLASS (bs_manifest_entry_parent_class)->finalize (object);
}

static void
bs_manifest_entry_class_init (BsManifestEntryClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GParamFlags flags = G_PARAM_READABLE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS;

  object_class->get_property = bs_manifest_entry_get_property;
  object_class->finalize = bs_manifest_entry_finalize;

  /**
   * BsManifestEntry:name: (attributes org.gtk.Property.get=bs_manifest_entry_dup_name)
   *
   * The name, unique in the manifest.
   *
   * Notifies after [method@Manifest.rename], on the thread of the call.
   */
  properties[PROP_NAME] = g_param_spec_string ("name", NULL, NULL, NULL, flags);

  /**
   * BsManifestEntry:key: (attributes org.gtk.Property.get=bs_manifest_entry_dup_key)
   *
   * The key of the content, lower-case and hyphenated: that of the item, where there is
   * one.
   *
   * Notifies after functions of the manifest that set another key or another item, on the
   * thread of the call. An item that gets a new content has a new key: this property is
   * that key from then on, and [property@Item:key] notifies, not this one.
   */
  properties[PROP_KEY] = g_param_spec_string ("key", NULL, NULL, NULL, flags);

  /**
   * BsManifestEntry:item: (attributes org.gtk.Property.get=bs_manifest_entry_dup_item)
   *
   * The item, %NULL where there is none.
   *
   * Notifies after functions of the manifest that set another, on the thread of the call.
   * After [method@Pool.register_manifest] it notifies in the context that was the thread's
   * default where the pool's store was made.
   */
  properties[PROP_ITEM] = g_param_spec_object ("item", NULL, NULL, BS_TYPE_ITEM, flags);

  /**
   * BsManifestEntry:attributes: (attributes org.gtk.Property.get=bs_manifest_entry_dup_attributes)
   *
   * The attributes, a dictionary of the type `a{sv}`, which may be empty.
   *
   * Notifies after [method@Manifest.set_attributes], on the thread of the call.
   */
  properties[PROP_ATTRIBUTES] =
    g_param_spec_variant ("attributes", NULL, NULL, G_VARIANT_TYPE_VARDICT, NULL, flags);

  g_object_class_install_properties (object_class, G_N_ELEMENTS (properties), properties);
}

static void
bs_manifest_entry_init (BsManifestEntry *self)
{
}

/**
 * bs_manifest_entry_dup_name: (attributes org.gtk.Method.get_property=name)
 * @self: an entry
 *
 * Gets the name of the entry.
 *
 * Returns: (transfer full): the name
 */
char *
bs_manifest_entry_dup_name (BsManifestEntry *self)
{
  char *name;

  g_return_val_if_fail (BS_IS_MANIFEST_ENTRY (self), NULL);

  /* A script may make one that is nothing. */
  if (self->table == NULL)
    return NULL;

  name = g_strdup (lock (self)->record->name);
  unlock (self);

  return name;
}

/**
 * bs_manifest_entry_dup_key: (attributes org.gtk.Method.get_property=key)
 * @self: an entry
 *
 * Gets the key of the content that the entry names: the key that its item has now, where
 * there is one.
 *
 * Returns: (transfer full): the key, lower-case and hyphenated
 */
char *
bs_manifest_entry_dup_key (BsManifestEntry *self)
{
  BsKey key;

  g_return_val_if_fail (BS_IS_MANIFEST_ENTRY (self), NULL);

  if (self->table == NULL)
    return NULL;

  key = bs_manifest_node_get_key (lock (self));
  unlock (self);

  return bs_key_to_string (&key);
}

/**
 * bs_manifest_entry_dup_item: (attributes org.gtk.Method.get_property=item)
 * @self: an entry
 *
 * Gets the item of the entry.
 *
 * Returns: (transfer full) (nullable): the item, %NULL where there is none
 */
BsItem *
bs_manifest_entry_dup_item (BsManifestEntry *self)
{
  const BsManifestNode *node;
  BsItem *item;

  g_return_val_if_fail (BS_IS_MANIFEST_ENTRY (self), NULL);

  if (self->table == NULL)
    return NULL;

  node = lock (self);
  item = node->item != NULL ? g_object_ref (node->item) : NULL;
  unlock (self);

  return item;
}

/**
 * bs_manifest_entry_dup_attributes: (attributes org.gtk.Method.get_property=attributes)
 * @self: an entry
 *
 * Gets the attributes of the entry.
 *
 * Returns: (transfer full): a dictionary of the type `a{sv}`, which may be empty
 */
GVariant *
bs_manifest_entry_dup_attributes (BsManifestEntry *self)
{
  GVariant *attributes;

  g_return_val_if_fail (BS_IS_MANIFEST_ENTRY (self), NULL);

  if (self->table == NULL)
    return NULL;

  attributes = bs_manifest_record_dup_attributes (lock (self)->record);
  unlock (self);

  return attributes;
}

/**
 * bs_manifest_entry_lookup_attribute:
 * @self: an entry
 * @name: the name of an attribute
 * @expected_type: (nullable): the type that the value must have, %NULL for any
 *
 * Looks up one attribute of the entry, as g_variant_lookup_value() does.
 *
 * Returns: (transfer full) (nullable): the value; %NULL if there is none, or it has another
 *   type
 */
GVariant *
bs_manifest_entry_lookup_attribute (BsManifestEntry *self,
                                    const char *name,
                                    const GVariantType *expected_type)
{
  g_autoptr (GVariant) attributes = NULL;

  g_return_val_if_fail (BS_IS_MANIFEST_ENTRY (self), NULL);
  g_return_val_if_fail (name != NULL, NULL);

  attributes = bs_manifest_entry_dup_attributes (self);
  return attributes != NULL ? g_variant_lookup_value (attributes, name, expected_type) : NULL;
}
