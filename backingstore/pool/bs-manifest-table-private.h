/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-item-private.h"
#include "bs-manifest-names-private.h"
#include "bs-manifest-order-private.h"
#include "bs-manifest-record-private.h"

G_BEGIN_DECLS

/* The contents of a manifest, shared by the manifest and its entries. One lock covers all
 * of it. No thread holds the lock while it drops a reference on a GObject, or calls out. A
 * reference on an item of the table may be taken under it: the table's own keeps the count
 * above one, where a toggle reference is not told of another. */
typedef struct _BsManifestTable BsManifestTable;
typedef struct _BsManifestHandle BsManifestHandle;

/* One entry. */
typedef struct
{
  const BsManifestRecord *record;     /* in the table's bytes, or owned */
  BsItem *item;                       /* owned, nullable: then its key counts, not the record's */
  BsManifestRun *run;                 /* of the order; NULL: the node is unused */
  BsManifestHandle *handle;           /* a reference, nullable: of the entry's object */
} BsManifestNode;

#define BS_MANIFEST_NO_NODE G_MAXUINT

/* The object that was made for a node: the only one as long as it lives. The node and the
 * object have a reference each. */
struct _BsManifestHandle
{
  gatomicrefcount ref_count;
  GWeakRef entry;

  /* under the table's lock */
  guint node;                         /* BS_MANIFEST_NO_NODE once the entry was removed */
  BsManifestNode kept;                /* the last state of a removed one; without a handle */
};

struct _BsManifestTable
{
  gatomicrefcount ref_count;

  GBytes *bytes;                      /* owned, nullable; constant once read */

  GMutex lock;

  /* under the lock */
  BsManifestNode *nodes;              /* owned; by number */
  guint n_nodes;
  guint n_allocated;
  GArray *unused;                     /* owned; of numbers below n_nodes */
  guint64 n_bytes;                    /* of the records */
  BsManifestNames names;
  BsManifestOrder order;
};

BsManifestTable  *bs_manifest_table_new    (void) G_GNUC_WARN_UNUSED_RESULT;
BsManifestTable  *bs_manifest_table_ref    (BsManifestTable *self);
void              bs_manifest_table_unref  (BsManifestTable *self);

/* Fills a new table; on failure it is of no use. */
gboolean          bs_manifest_table_read   (BsManifestTable *self, GBytes *bytes, GError **error);

/* The rest of a change, for when the lock is released. */
typedef struct
{
  const BsManifestRecord *record;     /* owned, nullable */
  BsItem *item;                       /* owned, nullable */
  BsManifestHandle *handle;           /* a reference, nullable: of the entry that has changed */
} BsManifestChange;

/* Frees the change but for the handle. No lock is held. */
void              bs_manifest_table_end_change (BsManifestTable *self, BsManifestChange *change);

/* The lock must be held for all of these. */
guint             bs_manifest_table_find_locked (BsManifestTable *self, const char *name);
/* Takes the record over, and a reference on the item. The name is not in use. */
void              bs_manifest_table_add_locked (BsManifestTable *self, const BsManifestRecord *record, BsItem *item);
void              bs_manifest_table_remove_locked (BsManifestTable *self, guint node, BsManifestChange *change);
void              bs_manifest_table_move_locked (BsManifestTable *self, guint node, guint position);
guint             bs_manifest_table_get_position_locked (BsManifestTable *self, guint node);
/* Take the record, or the reference on the item, over. */
void              bs_manifest_table_set_record_locked (BsManifestTable *self, guint node, const BsManifestRecord *record, BsManifestChange *change);
void              bs_manifest_table_set_item_locked (BsManifestTable *self, guint node, BsItem *item, BsManifestChange *change);
BsManifestHandle *bs_manifest_table_dup_handle_locked (BsManifestTable *self, guint node) G_GNUC_WARN_UNUSED_RESULT;

/* The key of the item's content, or of the record. */
BsKey             bs_manifest_node_get_key (const BsManifestNode *node);

/* `entry` is the object, of a node that has no handle. */
BsManifestHandle *bs_manifest_handle_new   (guint node, gpointer entry) G_GNUC_WARN_UNUSED_RESULT;
BsManifestHandle *bs_manifest_handle_ref   (BsManifestHandle *self);
void              bs_manifest_handle_unref (BsManifestHandle *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (BsManifestHandle, bs_manifest_handle_unref)

/* The state of the entry, of which nothing may be kept. The table's lock is held. */
const BsManifestNode *bs_manifest_handle_get_locked (BsManifestHandle *self, BsManifestTable *table);
/* The entry is gone. No lock is held. */
void              bs_manifest_handle_forget (BsManifestHandle *self, BsManifestTable *table);

/* The manifest's bytes with the keys that the items have now. `visit`, which is nullable,
 * sees each entry in order under the lock, and keeps the key; FALSE ends the walk, and NULL
 * is returned. */
typedef gboolean (*BsManifestVisitFunc) (gpointer data, const BsManifestNode *node, BsKey *key);

GBytes           *bs_manifest_table_write  (BsManifestTable *self, BsManifestVisitFunc visit, gpointer data) G_GNUC_WARN_UNUSED_RESULT;
guint             bs_manifest_table_get_n_entries (BsManifestTable *self);
/* The name of an entry in bytes that the table has written. */
const char       *bs_manifest_bytes_get_name (GBytes *bytes, guint position);

G_END_DECLS
