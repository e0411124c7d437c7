/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* A hash table from names to the numbers of nodes, which have the names: open addressing,
 * eight bytes a place. Not thread-safe. A table of zeros is empty. */
typedef struct
{
  guint32 hash;
  guint32 node;                 /* and one; 0: the place is empty */
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

void    bs_manifest_names_add     (BsManifestNames *self, guint32 hash, guint node);
void    bs_manifest_names_remove  (BsManifestNames *self, guint32 hash, guint node);

/* Walks through the nodes of a hash: the caller compares names. `*at` begins as the hash. */
static inline gboolean
bs_manifest_names_next (const BsManifestNames *self, guint32 hash, guint32 *at, guint *node)
{
  if (self->n_places == 0)
    return FALSE;

  for (;;)
    {
      const BsManifestPlace *place = &self->places[(*at)++ & (self->n_places - 1)];

      if (place->node == 0)
        return FALSE;
      if (place->hash == hash)
        {
          *node = place->node - 1;
          return TRUE;
        }
    }
}

G_END_DECLS
