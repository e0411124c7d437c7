/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* A sequence of numbers, in runs of bounded length: four bytes a number where runs are
 * full, and a change moves a run's numbers and, now and then, the list of runs. The owner
 * keeps the run of each number. Not thread-safe. */

#define BS_MANIFEST_RUN_LENGTH 126

typedef struct
{
  guint32 index;                /* in the list of runs */
  guint32 n;
  guint32 nodes[BS_MANIFEST_RUN_LENGTH];
} BsManifestRun;

/* Where a run begins. */
typedef struct
{
  BsManifestRun *run;           /* owned */
  guint32 start;
} BsManifestStart;

/* The number is in this run now. */
typedef void (*BsManifestMovedFunc) (gpointer data, guint32 node, BsManifestRun *run);

typedef struct
{
  GArray *starts;               /* owned; of BsManifestStart */
  guint n_valid;                /* how many of them are right */
  guint n_nodes;
  BsManifestMovedFunc moved;
  gpointer data;
} BsManifestOrder;

void    bs_manifest_order_init         (BsManifestOrder *self, BsManifestMovedFunc moved, gpointer data);
void    bs_manifest_order_clear        (BsManifestOrder *self);

void    bs_manifest_order_insert       (BsManifestOrder *self, guint position, guint32 node);
void    bs_manifest_order_remove       (BsManifestOrder *self, guint position);

guint32 bs_manifest_order_get          (BsManifestOrder *self, guint position);
guint   bs_manifest_order_get_position (BsManifestOrder *self, BsManifestRun *run, guint32 node);

G_END_DECLS
