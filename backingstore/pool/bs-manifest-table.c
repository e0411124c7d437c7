/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-manifest-table-private.h"

#include <glib/gi18n-lib.h>
#include <inttypes.h>
#include <string.h>

/* The bytes begin with this, and the records follow. Numbers are little-endian. */
typedef struct
{
  char magic[8];
  guint32 version;
  guint32 n_entries;
} Header;

G_STATIC_ASSERT (sizeof (Header) % BS_MANIFEST_RECORD_ALIGNMENT == 0);

static const char magic[8] = { 'B', 's', 'M', 'a', 'n', 'i', 'f', '\n' };

#define VERSION 1

static void
node_moved (gpointer data, guint32 node, BsManifestRun *run)
{
  ((BsManifestTable *) data)->nodes[node].run = run;
}

BsManifestTable *
bs_manifest_table_new (void)
{
  BsManifestTable *self = g_new0 (BsManifestTable, 1);

  g_atomic_ref_count_init (&self->ref_count);
  g_mutex_init (&self->lock);
  self->unused = g_array_new (FALSE, FALSE, sizeof (guint));
  bs_manifest_order_init (&self->order, node_moved, self);

  return self;
}

BsManifestTable *
bs_manifest_table_ref (BsManifestTable *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

static gboolean
is_owned (BsManifestTable *self, const BsManifestRecord *record)
{
  guintptr at = (guintptr) record;
  gsize size;
  guintptr start;

  if (self->bytes == NULL)
    return TRUE;

  start = (guintptr) g_bytes_get_data (self->bytes, &size);
  return at < start || at >= start + size;
}

static void
free_record (BsManifestTable *self, const BsManifestRecord *record)
{
  if (record != NULL && is_owned (self, record))
    g_free ((gpointer) record);
}

void
bs_manifest_table_unref (BsManifestTable *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;

  /* Entries have a reference each, so none is left, and no handle. */
  for (guint i = 0; i < self->n_nodes; i++)
    {
      free_record (self, self->nodes[i].record);
      g_clear_object (&self->nodes[i].item);
    }
  g_free (self->nodes);
  g_array_unref (self->unused);
  bs_manifest_names_clear (&self->names);
  bs_manifest_order_clear (&self->order);
  g_clear_pointer (&self->bytes, g_bytes_unref);
  g_mutex_clear (&self->lock);
  g_free (self);
}

static void
reserve_nodes (BsManifestTable *self, guint n_nodes)
{
  if (n_nodes <= self->n_allocated)
    return;

  self->n_allocated = MAX (n_nodes, self->n_allocated + self->n_allocated / 2 + 8);
  self->nodes = g_renew (BsManifestNode, self->nodes, self->n_allocated);
}

static guint
obtain_node (BsManifestTable *self)
{
  guint node;

  if (self->unused->len > 0)
    {
      node = g_array_index (self->unused, guint, self->unused->len - 1);
      g_array_set_size (self->unused, self->unused->len - 1);
    }
  else
    {
      reserve_nodes (self, self->n_nodes + 1);
      node = self->n_nodes++;
    }
  self->nodes[node] = (BsManifestNode){ NULL };

  return node;
}

static guint32
hash_record (const BsManifestRecord *record)
{
  return bs_manifest_names_hash (record->name, bs_manifest_record_get_name_length (record));
}

static guint
find (BsManifestTable *self, const char *name, gsize length, guint32 hash)
{
  const BsManifestPlace *place;
  guint32 at = hash;

  while ((place = bs_manifest_names_next (&self->names, hash, &at)) != NULL)
    {
      const BsManifestRecord *record = place->record;

      __builtin_prefetch (&self->nodes[place->node]);
      if (bs_manifest_record_get_name_length (record) == length &&
          memcmp (record->name, name, length) == 0)
        return place->node;
    }

  return BS_MANIFEST_NO_NODE;
}

guint
bs_manifest_table_find_locked (BsManifestTable *self, const char *name)
{
  gsize length = strlen (name);

  return find (self, name, length, bs_manifest_names_hash (name, length));
}

static void
add (BsManifestTable *self, const BsManifestRecord *record, guint32 hash, BsItem *item)
{
  guint node = obtain_node (self);

  self->nodes[node].record = record;
  self->nodes[node].item = item;
  self->n_bytes += bs_manifest_record_get_size (record);
  bs_manifest_names_add (&self->names, hash, node, record);
  bs_manifest_order_insert (&self->order, self->order.n_nodes, node);
}

void
bs_manifest_table_add_locked (BsManifestTable *self, const BsManifestRecord *record, BsItem *item)
{
  add (self, record, hash_record (record), item);
}

BsManifestHandle *
bs_manifest_table_dup_handle_locked (BsManifestTable *self, guint node)
{
  BsManifestHandle *handle = self->nodes[node].handle;

  return handle != NULL ? bs_manifest_handle_ref (handle) : NULL;
}

void
bs_manifest_table_remove_locked (BsManifestTable *self, guint node, BsManifestChange *change)
{
  BsManifestNode removed = self->nodes[node];
  BsManifestHandle *handle = g_steal_pointer (&removed.handle);

  self->n_bytes -= bs_manifest_record_get_size (removed.record);
  bs_manifest_names_remove (&self->names, hash_record (removed.record), node);
  bs_manifest_order_remove (&self->order, bs_manifest_table_get_position_locked (self, node));
  self->nodes[node] = (BsManifestNode){ NULL };
  g_array_append_val (self->unused, node);

  if (handle != NULL)
    {
      /* The entry frees it. */
      handle->node = BS_MANIFEST_NO_NODE;
      handle->kept = removed;
      change->handle = handle;
    }
  else
    {
      change->record = removed.record;
      change->item = removed.item;
    }
}

guint
bs_manifest_table_get_position_locked (BsManifestTable *self, guint node)
{
  return bs_manifest_order_get_position (&self->order, self->nodes[node].run, node);
}

void
bs_manifest_table_move_locked (BsManifestTable *self, guint node, guint position)
{
  bs_manifest_order_remove (&self->order, bs_manifest_table_get_position_locked (self, node));
  bs_manifest_order_insert (&self->order, position, node);
}

void
bs_manifest_table_set_record_locked (BsManifestTable *self,
                                     guint node,
                                     const BsManifestRecord *record,
                                     BsManifestChange *change)
{
  const BsManifestRecord *old = self->nodes[node].record;

  if (g_str_equal (old->name, record->name))
    {
      bs_manifest_names_set (&self->names, hash_record (old), node, record);
    }
  else
    {
      bs_manifest_names_remove (&self->names, hash_record (old), node);
      bs_manifest_names_add (&self->names, hash_record (record), node, record);
    }
  self->n_bytes += bs_manifest_record_get_size (record) - bs_manifest_record_get_size (old);
  self->nodes[node].record = record;
  change->record = old;
}

void
bs_manifest_table_set_item_locked (BsManifestTable *self,
                                   guint node,
                                   BsItem *item,
                                   BsManifestChange *change)
{
  change->item = self->nodes[node].item;
  self->nodes[node].item = item;
}

void
bs_manifest_table_end_change (BsManifestTable *self, BsManifestChange *change)
{
  free_record (self, change->record);
  change->record = NULL;
  g_clear_object (&change->item);
}

BsKey
bs_manifest_node_get_key (const BsManifestNode *node)
{
  BsKey key;

  if (node->item == NULL)
    return node->record->key;

  key = ((BsEntry *) bs_locked_pointer_lock (&node->item->entry))->key;
  bs_locked_pointer_unlock (&node->item->entry);
  return key;
}

BsManifestHandle *
bs_manifest_handle_new (guint node, gpointer entry)
{
  BsManifestHandle *self = g_new0 (BsManifestHandle, 1);

  g_atomic_ref_count_init (&self->ref_count);
  g_weak_ref_init (&self->entry, entry);
  self->node = node;

  return self;
}

BsManifestHandle *
bs_manifest_handle_ref (BsManifestHandle *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
bs_manifest_handle_unref (BsManifestHandle *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;

  g_weak_ref_clear (&self->entry);
  g_free (self);
}

const BsManifestNode *
bs_manifest_handle_get_locked (BsManifestHandle *self, BsManifestTable *table)
{
  return self->node != BS_MANIFEST_NO_NODE ? &table->nodes[self->node] : &self->kept;
}

void
bs_manifest_handle_forget (BsManifestHandle *self, BsManifestTable *table)
{
  BsManifestChange change = { NULL };
  gboolean was_known = FALSE;

  g_mutex_lock (&table->lock);
  if (self->node == BS_MANIFEST_NO_NODE)
    {
      change.record = self->kept.record;
      change.item = self->kept.item;
    }
  else if (table->nodes[self->node].handle == self)
    {
      table->nodes[self->node].handle = NULL;
      was_known = TRUE;
    }
  g_mutex_unlock (&table->lock);

  if (was_known)
    bs_manifest_handle_unref (self);
  bs_manifest_table_end_change (table, &change);
}

GBytes *
bs_manifest_table_write (BsManifestTable *self, BsManifestVisitFunc visit, gpointer data)
{
  Header header = { .version = GUINT32_TO_LE (VERSION) };
  gboolean goes_on = TRUE;
  guint8 *bytes, *at;
  gsize size;

  g_mutex_lock (&self->lock);
  memcpy (header.magic, magic, sizeof magic);
  header.n_entries = GUINT32_TO_LE (self->order.n_nodes);
  size = sizeof header + self->n_bytes;
  bytes = at = g_malloc (size);
  memcpy (at, &header, sizeof header);
  at += sizeof header;
  for (guint i = 0; i < self->order.starts->len && goes_on; i++)
    {
      BsManifestRun *run = g_array_index (self->order.starts, BsManifestStart, i).run;

      for (guint j = 0; j < run->n && goes_on; j++)
        {
          const BsManifestNode *node = &self->nodes[run->nodes[j]];
          gsize length = bs_manifest_record_get_size (node->record);
          BsManifestRecord *record = memcpy (at, node->record, length);

          record->key = bs_manifest_node_get_key (node);
          goes_on = visit == NULL || visit (data, node, &record->key);
          at += length;
        }
    }
  g_mutex_unlock (&self->lock);

  if (!goes_on)
    {
      g_free (bytes);
      return NULL;
    }
  return g_bytes_new_take (bytes, size);
}

guint
bs_manifest_table_get_n_entries (BsManifestTable *self)
{
  guint n_entries;

  g_mutex_lock (&self->lock);
  n_entries = self->order.n_nodes;
  g_mutex_unlock (&self->lock);

  return n_entries;
}

const char *
bs_manifest_bytes_get_name (GBytes *bytes, guint position)
{
  const guint8 *at = g_bytes_get_data (bytes, NULL);
  const BsManifestRecord *record;

  record = (const BsManifestRecord *) (at + sizeof (Header));
  while (position-- > 0)
    record =
      (const BsManifestRecord *) ((const guint8 *) record + bs_manifest_record_get_size (record));

  return record->name;
}

static void
set_damage (GError **error, gsize offset, const char *reason)
{
  g_set_error (error, BS_ERROR, BS_ERROR_CORRUPT,
               _ ("Opening the manifest: at byte %" PRIu64 ", %s"), (guint64) offset, _ (reason));
}

static gboolean
check_header (const Header *header, gsize size, GError **error)
{
  guint32 version;

  if (size < sizeof *header)
    {
      set_damage (error, size, "the bytes end within the header");
      return FALSE;
    }
  if (memcmp (header->magic, magic, sizeof magic) != 0)
    {
      set_damage (error, 0, "the bytes do not begin as those of a manifest");
      return FALSE;
    }

  version = GUINT32_FROM_LE (header->version);
  if (version > VERSION)
    {
      g_set_error (error, BS_ERROR, BS_ERROR_NOT_SUPPORTED,
                   _ ("Opening the manifest: its format has version %u, and this library knows %u"),
                   version, VERSION);
      return FALSE;
    }
  if (version == 0)
    {
      set_damage (error, G_STRUCT_OFFSET (Header, version), "the version of the format is 0");
      return FALSE;
    }

  /* Memory is reserved for so many entries. */
  if (GUINT32_FROM_LE (header->n_entries) > (size - sizeof *header) / sizeof (BsManifestRecord))
    {
      set_damage (error, G_STRUCT_OFFSET (Header, n_entries),
                  "there are more entries than the bytes have room for");
      return FALSE;
    }

  return TRUE;
}

static gboolean
read_records (BsManifestTable *self, guint n_entries, GError **error)
{
  gsize size, offset = sizeof (Header);
  const guint8 *data = g_bytes_get_data (self->bytes, &size);

  bs_manifest_names_reserve (&self->names, n_entries);
  reserve_nodes (self, n_entries);
  for (guint i = 0; i < n_entries; i++)
    {
      const BsManifestRecord *record = (const BsManifestRecord *) (data + offset);
      const char *reason = bs_manifest_record_check (data + offset, size - offset);
      guint32 length, hash;

      if (reason == NULL)
        {
          length = bs_manifest_record_get_name_length (record);
          hash = bs_manifest_names_hash (record->name, length);
          if (find (self, record->name, length, hash) != BS_MANIFEST_NO_NODE)
            reason = N_ ("the name is taken by an entry before");
        }
      if (reason != NULL)
        {
          set_damage (error, offset, reason);
          return FALSE;
        }
      add (self, record, hash, NULL);
      offset += bs_manifest_record_get_size (record);
    }
  if (offset != size)
    {
      set_damage (error, offset, "there is something behind the last entry");
      return FALSE;
    }

  return TRUE;
}

gboolean
bs_manifest_table_read (BsManifestTable *self, GBytes *bytes, GError **error)
{
  gsize size;
  const guint8 *data = g_bytes_get_data (bytes, &size);

  if ((guintptr) data % BS_MANIFEST_RECORD_ALIGNMENT == 0)
    self->bytes = g_bytes_ref (bytes);
  else
    self->bytes = g_bytes_new (data, size);

  data = g_bytes_get_data (self->bytes, NULL);
  if (!check_header ((const Header *) data, size, error))
    return FALSE;

  return read_records (self, GUINT32_FROM_LE (((const Header *) data)->n_entries), error);
}
