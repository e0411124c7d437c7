/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-manifest-private.h"

#include "bs-manifest-entry-private.h"

#include <glib/gi18n-lib.h>

/**
 * BsManifest:
 *
 * Names for keys: the table of contents of a document.
 *
 * A manifest is an ordered set of entries. Each has a name, which no other has, a key, and
 * a dictionary of attributes, such as a title, a size or a place on a page. Several names
 * may have one key: they share the content.
 *
 * A document is saved and opened again by its manifest:
 *
 * - [method@Save.set_manifest] saves every content that the manifest names, and the
 *   manifest itself as the root blob;
 * - [method@BackingStore.load_manifest] gives the manifest of the last save;
 * - [method@Pool.register_manifest] gives each entry an [class@Item] of its content, which
 *   is loaded when it is asked for.
 *
 * An entry may have an item or not. The key of an entry that has one is the key of the
 * item, also after [method@Item.replace] has given that a new one: the content that a save
 * finds in the item is the one that it saves, under its key of that moment. An entry
 * without an item names a key that the path has already.
 *
 * ## In a list view
 *
 * A manifest is a [iface@Gio.ListModel] of [class@ManifestEntry], in order: an application
 * shows names, attributes and pictures from this one model. The entries are made when they
 * are asked for, and are the same as long as they live.
 *
 * All functions may be called from any thread, and never block.
 * [signal@Gio.ListModel::items-changed] is emitted on the thread that makes the change,
 * when it is made, and so are notifications. So change a manifest that a view shows on the
 * thread of the view.
 *
 * ## As bytes
 *
 * [method@Manifest.to_bytes] and [ctor@Manifest.new_from_bytes] are for applications that
 * keep a manifest elsewhere than in a root blob. The bytes are the same on every machine,
 * and are checked whole before anything of them is used; they may come from a stranger. The
 * page “Files on disk” has the format.
 */

struct _BsManifest
{
  GObject parent_instance;

  BsManifestTable *table; /* a reference; constant */
};

typedef enum
{
  PROP_ITEM_TYPE = 1,
  PROP_N_ITEMS,
} BsManifestProperty;

static GParamSpec *properties[PROP_N_ITEMS + 1];

static void bs_manifest_model_init (GListModelInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (BsManifest,
                               bs_manifest,
                               G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (G_TYPE_LIST_MODEL, bs_manifest_model_init))

BsManifestTable *
bs_manifest_get_table (BsManifest *self)
{
  return self->table;
}

/* The subject of a look-up: a name, or a position. */
typedef struct
{
  const char *name; /* nullable */
  guint position;
} Sought;

static guint
find_locked (BsManifestTable *table, const Sought *sought)
{
  if (sought->name != NULL)
    return bs_manifest_table_find_locked (table, sought->name);
  if (sought->position < table->order.n_nodes)
    return bs_manifest_order_get (&table->order, sought->position);

  return BS_MANIFEST_NO_NODE;
}

/* The table does not know an object that is being finalized any more: another is made. */
static BsManifestHandle *
forget_locked (BsManifestTable *table, guint node, BsManifestHandle *dying)
{
  if (dying == NULL || table->nodes[node].handle != dying)
    return NULL;

  return g_steal_pointer (&table->nodes[node].handle);
}

static BsManifestEntry *
dup_entry (BsManifest *self, const Sought *sought)
{
  BsManifestTable *table = self->table;
  g_autoptr (BsManifestHandle) seen = NULL;

  for (;;)
    {
      g_autoptr (BsManifestHandle) forgotten = NULL;
      BsManifestHandle *handle = NULL;
      BsManifestEntry *entry = NULL;
      guint node;

      g_mutex_lock (&table->lock);
      node = find_locked (table, sought);
      if (node != BS_MANIFEST_NO_NODE)
        {
          forgotten = forget_locked (table, node, seen);
          handle = bs_manifest_table_dup_handle_locked (table, node);
          if (handle == NULL)
            entry = bs_manifest_entry_new_locked (table, node);
        }
      g_mutex_unlock (&table->lock);

      g_clear_pointer (&seen, bs_manifest_handle_unref);
      if (handle == NULL)
        return entry;

      seen = handle;
      entry = g_weak_ref_get (&seen->entry);
      if (entry != NULL)
        return entry;
    }
}

static GType
bs_manifest_get_item_type (GListModel *model)
{
  return BS_TYPE_MANIFEST_ENTRY;
}

static guint
bs_manifest_get_n_items (GListModel *model)
{
  return bs_manifest_table_get_n_entries (BS_MANIFEST (model)->table);
}

static gpointer
bs_manifest_get_item (GListModel *model, guint position)
{
  Sought sought = { .position = position };

  return dup_entry (BS_MANIFEST (model), &sought);
}

static void
bs_manifest_model_init (GListModelInterface *iface)
{
  iface->get_item_type = bs_manifest_get_item_type;
  iface->get_n_items = bs_manifest_get_n_items;
  iface->get_item = bs_manifest_get_item;
}

static void
bs_manifest_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  switch ((BsManifestProperty) id)
    {
    case PROP_ITEM_TYPE:
      g_value_set_gtype (value, BS_TYPE_MANIFEST_ENTRY);
      break;
    case PROP_N_ITEMS:
      g_value_set_uint (value, bs_manifest_get_n_items (G_LIST_MODEL (object)));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
bs_manifest_finalize (GObject *object)
{
  bs_manifest_table_unref (BS_MANIFEST (object)->table);

  G_OBJECT_CLASS (bs_manifest_parent_class)->finalize (object);
}

static void
bs_manifest_class_init (BsManifestClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GParamFlags flags = G_PARAM_READABLE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS;

  object_class->get_property = bs_manifest_get_property;
  object_class->finalize = bs_manifest_finalize;

  /**
   * BsManifest:item-type:
   *
   * The type of the list's items, [class@ManifestEntry]. Never notifies.
   */
  properties[PROP_ITEM_TYPE] = g_param_spec_gtype ("item-type", NULL, NULL, G_TYPE_OBJECT, flags);

  /**
   * BsManifest:n-items:
   *
   * The number of entries.
   *
   * Notifies on the thread that adds or removes an entry.
   */
  properties[PROP_N_ITEMS] = g_param_spec_uint ("n-items", NULL, NULL, 0, G_MAXUINT, 0, flags);

  g_object_class_install_properties (object_class, G_N_ELEMENTS (properties), properties);
}

static void
bs_manifest_init (BsManifest *self)
{
  self->table = bs_manifest_table_new ();
}

/**
 * bs_manifest_new:
 *
 * Makes an empty manifest.
 *
 * Returns: (transfer full): a new manifest
 */
BsManifest *
bs_manifest_new (void)
{
  return g_object_new (BS_TYPE_MANIFEST, NULL);
}

/**
 * bs_manifest_new_from_bytes:
 * @bytes: the bytes of a manifest
 * @error: return location for an error
 *
 * Makes a manifest of what [method@Manifest.to_bytes] has made of another. No entry has an
 * item then.
 *
 * The manifest holds @bytes, and makes no copy of them if they are aligned to eight bytes,
 * as memory from an allocator is. Their content must not change.
 *
 * Fails with %BS_ERROR_CORRUPT if @bytes are no such bytes, or are damaged: the message
 * says at which byte, and how; with %BS_ERROR_NOT_SUPPORTED if a later version of the
 * library has made them, in a format that this one does not know.
 *
 * Returns: (transfer full): a new manifest, %NULL with @error set
 */
BsManifest *
bs_manifest_new_from_bytes (GBytes *bytes, GError **error)
{
  g_autoptr (BsManifest) self = NULL;

  g_return_val_if_fail (bytes != NULL, NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  self = bs_manifest_new ();
  if (!bs_manifest_table_read (self->table, bytes, error))
    return NULL;

  return g_steal_pointer (&self);
}

/**
 * bs_manifest_to_bytes:
 * @self: a manifest
 *
 * Makes bytes of names, keys and attributes, in order, for
 * [ctor@Manifest.new_from_bytes]. The keys of entries that have an item are those that the
 * items have now.
 *
 * The bytes hold no content: see [method@Save.set_manifest] for both.
 *
 * Returns: (transfer full): bytes
 */
GBytes *
bs_manifest_to_bytes (BsManifest *self)
{
  g_return_val_if_fail (BS_IS_MANIFEST (self), NULL);

  return bs_manifest_table_write (self->table, NULL, NULL);
}

/**
 * bs_manifest_lookup:
 * @self: a manifest
 * @name: a name
 *
 * Looks for the entry of a name.
 *
 * Returns: (transfer full) (nullable): the entry, %NULL if there is none
 */
BsManifestEntry *
bs_manifest_lookup (BsManifest *self, const char *name)
{
  Sought sought = { .name = name };

  g_return_val_if_fail (BS_IS_MANIFEST (self), NULL);
  g_return_val_if_fail (name != NULL, NULL);

  return dup_entry (self, &sought);
}

/**
 * bs_manifest_find:
 * @self: a manifest
 * @name: a name
 * @position: (out) (optional): return location for the position of the entry
 *
 * Looks whether there is an entry of a name, and where in the list. Makes no entry.
 *
 * Returns: %TRUE if there is one; else @position is not set
 */
gboolean
bs_manifest_find (BsManifest *self, const char *name, guint *position)
{
  BsManifestTable *table;
  guint node;

  g_return_val_if_fail (BS_IS_MANIFEST (self), FALSE);
  g_return_val_if_fail (name != NULL, FALSE);

  table = self->table;
  g_mutex_lock (&table->lock);
  node = bs_manifest_table_find_locked (table, name);
  if (node != BS_MANIFEST_NO_NODE && position != NULL)
    *position = bs_manifest_table_get_position_locked (table, node);
  g_mutex_unlock (&table->lock);

  return node != BS_MANIFEST_NO_NODE;
}

/* Takes the reason over. The verb is marked for translation where it is chosen. */
static void
set_entry_error (GError **error,
                 GQuark domain,
                 int code,
                 const char *verb,
                 const char *name,
                 char *reason)
{
  g_autofree char *owned = reason;
  g_autofree char *valid = g_utf8_make_valid (name, -1);

  /* Translators: for example “Renaming the entry “cover” of a manifest: the name is empty” */
  g_set_error (error, domain, code, _ ("%s the entry “%s” of a manifest: %s"), _ (verb), valid,
               owned);
}

static void
set_missing (GError **error, const char *verb, const char *name)
{
  set_entry_error (error, BS_ERROR, BS_ERROR_NOT_FOUND, verb, name,
                   g_strdup (_ ("there is no entry of this name")));
}

static gboolean
check_name (const char *verb, const char *name, GError **error)
{
  const char *reason = bs_manifest_check_name (name);

  if (reason != NULL)
    set_entry_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, verb, name,
                     g_strdup (_ (reason)));

  return reason == NULL;
}

static gboolean
check_attributes (const char *verb, const char *name, GVariant *attributes, GError **error)
{
  const char *reason = attributes != NULL ? bs_manifest_check_attributes (attributes) : NULL;

  if (reason != NULL)
    set_entry_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, verb, name,
                     g_strdup (_ (reason)));

  return reason == NULL;
}

static gboolean
check_key (const char *verb, const char *name, const char *key, BsKey *parsed, GError **error)
{
  g_autofree char *valid = NULL;

  if (bs_key_parse (key, parsed))
    return TRUE;

  valid = g_utf8_make_valid (key, -1);
  set_entry_error (error, BS_ERROR, BS_ERROR_INVALID_KEY, verb, name,
                   g_strdup_printf (_ ("“%s” is not a key"), valid));
  return FALSE;
}

static void
set_exists (GError **error, const char *verb, const char *name, const char *new_name)
{
  set_entry_error (error, BS_ERROR, BS_ERROR_EXISTS, verb, name,
                   g_strdup_printf (_ ("there is an entry “%s” already"), new_name));
}

static void
notify_length (BsManifest *self, guint position, guint n_removed, guint n_added)
{
  g_list_model_items_changed (G_LIST_MODEL (self), position, n_removed, n_added);
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_N_ITEMS]);
}

/* Frees the change, and tells the entry of it, where there is an object. */
static void
end_change (BsManifest *self, BsManifestChange *change, BsManifestEntryChanges changes)
{
  g_autoptr (BsManifestEntry) entry = NULL;

  bs_manifest_table_end_change (self->table, change);
  if (change->handle == NULL)
    return;

  entry = g_weak_ref_get (&change->handle->entry);
  bs_manifest_handle_unref (change->handle);
  if (entry != NULL && changes != 0)
    bs_manifest_entry_notify (entry, changes, NULL);
}

/* Takes the record and the reference on the item over. */
static gboolean
add_record (BsManifest *self, BsManifestRecord *record, BsItem *item, GError **error)
{
  BsManifestTable *table = self->table;
  gboolean taken;
  guint position;

  g_mutex_lock (&table->lock);
  taken = bs_manifest_table_find_locked (table, record->name) != BS_MANIFEST_NO_NODE;
  position = table->order.n_nodes;
  if (!taken)
    bs_manifest_table_add_locked (table, record, item);
  g_mutex_unlock (&table->lock);

  if (taken)
    {
      set_exists (error, N_ ("Adding"), record->name, record->name);
      g_free (record);
      g_clear_object (&item);
      return FALSE;
    }

  notify_length (self, position, 0, 1);
  return TRUE;
}

/**
 * bs_manifest_add:
 * @self: a manifest
 * @name: a name, in UTF-8 and not empty
 * @key: a key
 * @attributes: (nullable): a dictionary of the type `a{sv}`, %NULL for an empty one
 * @error: return location for an error
 *
 * Adds an entry for a key that the path of the document has, at the end. No item is needed.
 *
 * A floating @attributes is consumed.
 *
 * Fails with %BS_ERROR_EXISTS if there is an entry of this name, %BS_ERROR_INVALID_KEY if
 * @key is not a key, and %G_IO_ERROR_INVALID_ARGUMENT if @name is empty or not UTF-8, or
 * @attributes are of another type.
 *
 * Returns: %TRUE if the entry was added, %FALSE with @error set
 */
gboolean
bs_manifest_add (BsManifest *self,
                 const char *name,
                 const char *key,
                 GVariant *attributes,
                 GError **error)
{
  g_autoptr (GVariant) held = attributes != NULL ? g_variant_ref_sink (attributes) : NULL;
  BsKey parsed;

  g_return_val_if_fail (BS_IS_MANIFEST (self), FALSE);
  g_return_val_if_fail (name != NULL, FALSE);
  g_return_val_if_fail (key != NULL, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (!check_name (N_ ("Adding"), name, error) ||
      !check_key (N_ ("Adding"), name, key, &parsed, error) ||
      !check_attributes (N_ ("Adding"), name, attributes, error))
    return FALSE;

  return add_record (self, bs_manifest_record_new (&parsed, name, held), NULL, error);
}

/**
 * bs_manifest_add_item:
 * @self: a manifest
 * @name: a name, in UTF-8 and not empty
 * @item: an item
 * @attributes: (nullable): a dictionary of the type `a{sv}`, %NULL for an empty one
 * @error: return location for an error
 *
 * Adds an entry for the content of an item, at the end. The manifest holds the item: a save
 * takes the content that the item has then.
 *
 * A floating @attributes is consumed.
 *
 * Fails with %BS_ERROR_EXISTS if there is an entry of this name, and
 * %G_IO_ERROR_INVALID_ARGUMENT if @name is empty or not UTF-8, or @attributes are of
 * another type. An item of another store than that of a save is found when the save is run.
 *
 * Returns: %TRUE if the entry was added, %FALSE with @error set
 */
gboolean
bs_manifest_add_item (BsManifest *self,
                      const char *name,
                      BsItem *item,
                      GVariant *attributes,
                      GError **error)
{
  g_autoptr (GVariant) held = attributes != NULL ? g_variant_ref_sink (attributes) : NULL;
  BsManifestNode node = { .item = item };
  BsKey key;

  g_return_val_if_fail (BS_IS_MANIFEST (self), FALSE);
  g_return_val_if_fail (name != NULL, FALSE);
  g_return_val_if_fail (bs_item_has_pool (item), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (!check_name (N_ ("Adding"), name, error) ||
      !check_attributes (N_ ("Adding"), name, attributes, error))
    return FALSE;

  key = bs_manifest_node_get_key (&node);
  return add_record (self, bs_manifest_record_new (&key, name, held), g_object_ref (item), error);
}

/**
 * bs_manifest_remove:
 * @self: a manifest
 * @name: a name
 * @error: return location for an error
 *
 * Removes the entry of a name. The next save deletes its content from the path, unless
 * another entry names it.
 *
 * Fails with %BS_ERROR_NOT_FOUND if there is no such entry.
 *
 * Returns: %TRUE if the entry was removed, %FALSE with @error set
 */
gboolean
bs_manifest_remove (BsManifest *self, const char *name, GError **error)
{
  BsManifestChange change = { NULL };
  BsManifestTable *table;
  guint node, position = 0;

  g_return_val_if_fail (BS_IS_MANIFEST (self), FALSE);
  g_return_val_if_fail (name != NULL, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  table = self->table;
  g_mutex_lock (&table->lock);
  node = bs_manifest_table_find_locked (table, name);
  if (node != BS_MANIFEST_NO_NODE)
    {
      position = bs_manifest_table_get_position_locked (table, node);
      bs_manifest_table_remove_locked (table, node, &change);
    }
  g_mutex_unlock (&table->lock);

  if (node == BS_MANIFEST_NO_NODE)
    {
      set_missing (error, N_ ("Removing"), name);
      return FALSE;
    }

  notify_length (self, position, 1, 0);
  end_change (self, &change, 0);
  return TRUE;
}

/**
 * bs_manifest_rename:
 * @self: a manifest
 * @name: the name of an entry
 * @new_name: the name that it gets, in UTF-8 and not empty
 * @error: return location for an error
 *
 * Gives an entry another name. It stays where it is in the list.
 *
 * Fails with %BS_ERROR_NOT_FOUND if there is no entry of the name, %BS_ERROR_EXISTS if
 * another has the new one, and %G_IO_ERROR_INVALID_ARGUMENT if @new_name is empty or not
 * UTF-8.
 *
 * Returns: %TRUE if the entry has the new name, %FALSE with @error set
 */
gboolean
bs_manifest_rename (BsManifest *self, const char *name, const char *new_name, GError **error)
{
  BsManifestChange change = { NULL };
  gboolean taken = FALSE, same;
  BsManifestTable *table;
  guint node, other;

  g_return_val_if_fail (BS_IS_MANIFEST (self), FALSE);
  g_return_val_if_fail (name != NULL, FALSE);
  g_return_val_if_fail (new_name != NULL, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (!check_name (N_ ("Renaming"), new_name, error))
    return FALSE;

  table = self->table;
  g_mutex_lock (&table->lock);
  node = bs_manifest_table_find_locked (table, name);
  other = bs_manifest_table_find_locked (table, new_name);
  same = node == other;
  taken = !same && other != BS_MANIFEST_NO_NODE;
  if (node != BS_MANIFEST_NO_NODE && !same && !taken)
    {
      const BsManifestRecord *record = table->nodes[node].record;

      bs_manifest_table_set_record_locked (table, node,
                                           bs_manifest_record_copy (record, NULL, new_name),
                                           &change);
      change.handle = bs_manifest_table_dup_handle_locked (table, node);
    }
  g_mutex_unlock (&table->lock);

  if (node == BS_MANIFEST_NO_NODE)
    {
      set_missing (error, N_ ("Renaming"), name);
      return FALSE;
    }
  if (taken)
    {
      set_exists (error, N_ ("Renaming"), name, new_name);
      return FALSE;
    }

  end_change (self, &change, BS_ENTRY_CHANGED_NAME);
  return TRUE;
}

/**
 * bs_manifest_move:
 * @self: a manifest
 * @name: the name of an entry
 * @position: where it goes; beyond the end, to the end
 * @error: return location for an error
 *
 * Moves an entry to another position in the list, which it has afterwards.
 *
 * [signal@Gio.ListModel::items-changed] is emitted once, for the positions from the old to
 * the new one.
 *
 * Fails with %BS_ERROR_NOT_FOUND if there is no such entry.
 *
 * Returns: %TRUE if the entry is there, %FALSE with @error set
 */
gboolean
bs_manifest_move (BsManifest *self, const char *name, guint position, GError **error)
{
  BsManifestTable *table;
  guint node, old = 0;

  g_return_val_if_fail (BS_IS_MANIFEST (self), FALSE);
  g_return_val_if_fail (name != NULL, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  table = self->table;
  g_mutex_lock (&table->lock);
  node = bs_manifest_table_find_locked (table, name);
  if (node != BS_MANIFEST_NO_NODE)
    {
      position = MIN (position, table->order.n_nodes - 1);
      old = bs_manifest_table_get_position_locked (table, node);
      if (position != old)
        bs_manifest_table_move_locked (table, node, position);
    }
  g_mutex_unlock (&table->lock);

  if (node == BS_MANIFEST_NO_NODE)
    {
      set_missing (error, N_ ("Moving"), name);
      return FALSE;
    }

  if (position != old)
    {
      guint n = MAX (position, old) - MIN (position, old) + 1;

      g_list_model_items_changed (G_LIST_MODEL (self), MIN (position, old), n, n);
    }
  return TRUE;
}

/* Gives an entry the key and the item. Consumes the reference on the item. */
static gboolean
set_content (BsManifest *self, const char *name, const BsKey *key, BsItem *item, GError **error)
{
  BsManifestTable *table = self->table;
  BsManifestEntryChanges changes = 0;
  BsManifestChange change = { NULL };
  guint node;

  g_mutex_lock (&table->lock);
  node = bs_manifest_table_find_locked (table, name);
  if (node != BS_MANIFEST_NO_NODE)
    {
      const BsManifestNode *state = &table->nodes[node];
      BsKey old_key = bs_manifest_node_get_key (state);

      if (key == NULL)
        key = &old_key;
      if (!bs_key_equal (&old_key, key))
        changes |= BS_ENTRY_CHANGED_KEY;
      if (state->item != item)
        changes |= BS_ENTRY_CHANGED_ITEM;
      if (item == NULL && !bs_key_equal (&state->record->key, key))
        bs_manifest_table_set_record_locked (table, node,
                                             bs_manifest_record_copy (state->record, key, NULL),
                                             &change);
      bs_manifest_table_set_item_locked (table, node, item, &change);
      change.handle = bs_manifest_table_dup_handle_locked (table, node);
    }
  g_mutex_unlock (&table->lock);

  if (node == BS_MANIFEST_NO_NODE)
    {
      set_missing (error, N_ ("Changing"), name);
      g_clear_object (&item);
      return FALSE;
    }

  end_change (self, &change, changes);
  return TRUE;
}

/**
 * bs_manifest_set_key:
 * @self: a manifest
 * @name: the name of an entry
 * @key: the key that it gets
 * @error: return location for an error
 *
 * Has an entry name another key, which the path of the document has. The entry loses the
 * item that it had.
 *
 * Fails with %BS_ERROR_NOT_FOUND if there is no such entry, %BS_ERROR_INVALID_KEY if @key
 * is not a key.
 *
 * Returns: %TRUE if the entry has the key, %FALSE with @error set
 */
gboolean
bs_manifest_set_key (BsManifest *self, const char *name, const char *key, GError **error)
{
  BsKey parsed;

  g_return_val_if_fail (BS_IS_MANIFEST (self), FALSE);
  g_return_val_if_fail (name != NULL, FALSE);
  g_return_val_if_fail (key != NULL, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (!check_key (N_ ("Changing"), name, key, &parsed, error))
    return FALSE;

  return set_content (self, name, &parsed, NULL, error);
}

/**
 * bs_manifest_set_item:
 * @self: a manifest
 * @name: the name of an entry
 * @item: (nullable): the item that it gets, %NULL for none
 * @error: return location for an error
 *
 * Gives an entry another item, or takes its item away. An entry without an item keeps the
 * key that the item has at this moment: a save needs this key at the path then.
 *
 * Fails with %BS_ERROR_NOT_FOUND if there is no such entry. An item of another store than
 * that of a save is found when the save is run.
 *
 * Returns: %TRUE if the entry has the item, %FALSE with @error set
 */
gboolean
bs_manifest_set_item (BsManifest *self, const char *name, BsItem *item, GError **error)
{
  BsManifestNode node = { .item = item };
  BsKey key;

  g_return_val_if_fail (BS_IS_MANIFEST (self), FALSE);
  g_return_val_if_fail (name != NULL, FALSE);
  g_return_val_if_fail (item == NULL || bs_item_has_pool (item), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (item == NULL)
    return set_content (self, name, NULL, NULL, error);

  key = bs_manifest_node_get_key (&node);
  return set_content (self, name, &key, g_object_ref (item), error);
}

/**
 * bs_manifest_set_attributes:
 * @self: a manifest
 * @name: the name of an entry
 * @attributes: (nullable): a dictionary of the type `a{sv}`, %NULL for an empty one
 * @error: return location for an error
 *
 * Gives an entry other attributes, in place of all that it had.
 *
 * A floating @attributes is consumed.
 *
 * Fails with %BS_ERROR_NOT_FOUND if there is no such entry, and
 * %G_IO_ERROR_INVALID_ARGUMENT if @attributes are of another type.
 *
 * Returns: %TRUE if the entry has the attributes, %FALSE with @error set
 */
gboolean
bs_manifest_set_attributes (BsManifest *self,
                            const char *name,
                            GVariant *attributes,
                            GError **error)
{
  g_autoptr (GVariant) held = attributes != NULL ? g_variant_ref_sink (attributes) : NULL;
  BsManifestChange change = { NULL };
  BsManifestTable *table;
  guint node;

  g_return_val_if_fail (BS_IS_MANIFEST (self), FALSE);
  g_return_val_if_fail (name != NULL, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (!check_attributes (N_ ("Changing"), name, attributes, error))
    return FALSE;

  table = self->table;
  g_mutex_lock (&table->lock);
  node = bs_manifest_table_find_locked (table, name);
  if (node != BS_MANIFEST_NO_NODE)
    {
      const BsManifestRecord *record = table->nodes[node].record;

      bs_manifest_table_set_record_locked (table, node,
                                           bs_manifest_record_new (&record->key, record->name,
                                                                   held),
                                           &change);
      change.handle = bs_manifest_table_dup_handle_locked (table, node);
    }
  g_mutex_unlock (&table->lock);

  if (node == BS_MANIFEST_NO_NODE)
    {
      set_missing (error, N_ ("Changing"), name);
      return FALSE;
    }

  end_change (self, &change, BS_ENTRY_CHANGED_ATTRIBUTES);
  return TRUE;
}
