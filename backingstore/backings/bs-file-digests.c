/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "bs-file-digests-private.h"

typedef struct
{
  BsKey key;
  BsFileDigest digest;
} Entry;

static guint
hash_entry (gconstpointer entry)
{
  return bs_key_hash (entry);
}

static gboolean
entries_are_equal (gconstpointer a, gconstpointer b)
{
  return bs_key_equal (a, b);
}

void
bs_file_digests_init (BsFileDigests *self)
{
  g_mutex_init (&self->mutex);
  self->digests = g_hash_table_new_full (hash_entry, entries_are_equal, g_free, NULL);
}

void
bs_file_digests_clear (BsFileDigests *self)
{
  g_hash_table_unref (self->digests);
  g_mutex_clear (&self->mutex);
}

void
bs_file_digests_add (BsFileDigests *self, const BsKey *key, const BsFileDigest *digest)
{
  Entry *entry = g_new (Entry, 1);

  entry->key = *key;
  entry->digest = *digest;
  g_mutex_lock (&self->mutex);
  g_hash_table_add (self->digests, entry);
  g_atomic_int_set (&self->any, TRUE);
  g_mutex_unlock (&self->mutex);
}

gboolean
bs_file_digests_find (BsFileDigests *self, const BsKey *key, BsFileDigest *digest)
{
  const Entry *entry;

  if (!g_atomic_int_get (&self->any))
    return FALSE;

  g_mutex_lock (&self->mutex);
  entry = g_hash_table_lookup (self->digests, key);
  if (entry != NULL)
    *digest = entry->digest;
  g_mutex_unlock (&self->mutex);

  return entry != NULL;
}

void
bs_file_digests_remove (BsFileDigests *self, const BsKey *key)
{
  if (!g_atomic_int_get (&self->any))
    return;

  g_mutex_lock (&self->mutex);
  g_hash_table_remove (self->digests, key);
  g_atomic_int_set (&self->any, g_hash_table_size (self->digests) > 0);
  g_mutex_unlock (&self->mutex);
}
