/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* A hash table from names to the numbers of nodes: open addressing. The record, which has
 * the name, is here too, so that a look-up waits for two fetches from memory, and not for a
 * third. Not thread-safe. A table of zeros is empty. */
typedef struct
{
  guint32 hash;
  guint32 node;
  gconstpointer record;         /* NULL: the place is empty */
} BsManifestPlace;

typedef struct
{
  BsManifestPlace *places;      /* owned */
  guint32 n_places;             /* a power of two, or 0 */
  guint32 n_used;
} BsManifestNames;

void    bs_manifest_names_clear   (BsManifestNames *self);
void    bs_manifest_names_reserve (BsManifestNames *self, guint n_names);

/* A secret of the process is in it: no author of a file can choose names that collide. */
guint32 bs_manifest_names_hash    (const char *name, gsize length);

void    bs_manifest_names_add     (BsManifestNames *self, guint32 hash, guint node, gconstpointer record);
void    bs_manifest_names_remove  (BsManifestNames *self, guint32 hash, guint node);
/* The node has another record of the same name. */
void    bs_manifest_names_set     (BsManifestNames *self, guint32 hash, guint node, gconstpointer record);

/* Walks through the places of a hash: the caller compares names. `*at` begins as the hash. */
static inline const BsManifestPlace *
bs_manifest_names_next (const BsManifestNames *self, guint32 hash, guint32 *at)
{
  if (self->n_places == 0)
    return NULL;

  for (;;)
    {
      const BsManifestPlace *place = &self->places[(*at)++ & (self->n_places - 1)];

      if (place->record == NULL || place->hash == hash)
        return place->record != NULL ? place : NULL;
    }
}

G_END_DECLS
