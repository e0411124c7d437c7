/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-manifest-names-private.h"

#include <xxhash.h>

#include "base/bs-key-private.h"

#define FIRST_PLACES 16

void
bs_manifest_names_clear (BsManifestNames *self)
{
  g_clear_pointer (&self->places, g_free);
  self->n_places = 0;
  self->n_used = 0;
}

guint32
bs_manifest_names_hash (const char *name, gsize length)
{
  return (guint32) XXH3_64bits_withSeed (name, length, bs_key_seeds[0]);
}

static void
put (BsManifestNames *self, BsManifestPlace place)
{
  guint32 mask = self->n_places - 1;
  guint32 at = place.hash & mask;

  while (self->places[at].record != NULL)
    at = (at + 1) & mask;
  self->places[at] = place;
}

static void
resize (BsManifestNames *self, guint32 n_places)
{
  g_autofree BsManifestPlace *old = self->places;
  guint32 n_old = self->n_places;

  self->places = g_new0 (BsManifestPlace, n_places);
  self->n_places = n_places;
  for (guint32 i = 0; i < n_old; i++)
    if (old[i].record != NULL)
      put (self, old[i]);
}

/* At least a quarter of the places stay empty. */
void
bs_manifest_names_reserve (BsManifestNames *self, guint n_names)
{
  guint64 n_places = MAX (self->n_places, FIRST_PLACES);

  while (n_places - n_places / 4 < n_names)
    n_places *= 2;
  if (n_places != self->n_places)
    resize (self, n_places);
}

void
bs_manifest_names_add (BsManifestNames *self, guint32 hash, guint node, gconstpointer record)
{
  bs_manifest_names_reserve (self, self->n_used + 1);
  put (self, (BsManifestPlace){ hash, node, record });
  self->n_used++;
}

static guint32
find_place (BsManifestNames *self, guint32 hash, guint node)
{
  guint32 mask = self->n_places - 1;
  guint32 at = hash & mask;

  while (self->places[at].node != node || self->places[at].record == NULL)
    at = (at + 1) & mask;

  return at;
}

void
bs_manifest_names_set (BsManifestNames *self, guint32 hash, guint node, gconstpointer record)
{
  self->places[find_place (self, hash, node)].record = record;
}

/* Moves back the places behind the one that becomes empty, so that none is a grave. */
void
bs_manifest_names_remove (BsManifestNames *self, guint32 hash, guint node)
{
  guint32 mask = self->n_places - 1;
  guint32 hole = find_place (self, hash, node);

  for (guint32 at = (hole + 1) & mask; self->places[at].record != NULL; at = (at + 1) & mask)
    {
      guint32 home = self->places[at].hash & mask;

      if (((at - home) & mask) < ((at - hole) & mask))
        continue;
      self->places[hole] = self->places[at];
      hole = at;
    }
  self->places[hole].record = NULL;
  self->n_used--;
}
