/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "base/bs-key-private.h"

G_BEGIN_DECLS

typedef struct
{
  BsKey key;
  GBytes *bytes;        /* owned; NULL in an empty place */
} BsBlobEntry;

/* Blobs by key: open addressing, 24 bytes a place. Not thread-safe. All zero
 * is an empty table. */
typedef struct
{
  BsBlobEntry *entries;
  gsize n_entries;
  gsize mask;           /* places - 1; 0 while nothing was added */
} BsBlobTable;

GBytes   *bs_blob_table_lookup (const BsBlobTable *table, const BsKey *key);
gboolean  bs_blob_table_add    (BsBlobTable *table, const BsKey *key, GBytes *bytes);
GBytes   *bs_blob_table_steal  (BsBlobTable *table, const BsKey *key) G_GNUC_WARN_UNUSED_RESULT;
void      bs_blob_table_clear  (BsBlobTable *table);

G_END_DECLS
