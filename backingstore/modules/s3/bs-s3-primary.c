/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "bs-s3-primary-private.h"

#include <string.h>

typedef struct
{
  BsS3Key key; /* first: it is the key in the table */
  BsS3Blob blob;
  gboolean in_files;
  gboolean evicting; /* its file is being deleted */
  guint64 size;
  GList *link; /* in the queue of cached ones; NULL: not cached */
} Entry;

void
bs_s3_primary_init (BsS3Primary *self)
{
  g_mutex_init (&self->opening);
  g_mutex_init (&self->mutex);
  g_cond_init (&self->evicted);
  g_queue_init (&self->cached);
  self->blobs = g_hash_table_new_full (bs_s3_key_hash, bs_s3_key_equal, g_free, NULL);
}

void
bs_s3_primary_clear (BsS3Primary *self)
{
  g_hash_table_unref (self->blobs);
  g_queue_clear (&self->cached);
  g_cond_clear (&self->evicted);
  g_mutex_clear (&self->mutex);
  g_mutex_clear (&self->opening);
  g_free (self->directory);
}

void
bs_s3_primary_close (BsS3Primary *self)
{
  g_autoptr (BsBacking) files = NULL;

  g_mutex_lock (&self->mutex);
  files = g_steal_pointer (&self->files);
  g_queue_clear (&self->cached);
  g_hash_table_remove_all (self->blobs);
  self->n_cached = 0;
  g_mutex_unlock (&self->mutex);

  if (files != NULL)
    bs_backing_close (files, NULL, NULL);
}

static BsBacking *
dup_files (BsS3Primary *self)
{
  BsBacking *files;

  g_mutex_lock (&self->mutex);
  files = self->files != NULL ? g_object_ref (self->files) : NULL;
  g_mutex_unlock (&self->mutex);

  return files;
}

static BsBacking *
ensure_files (BsS3Primary *self, GError **error)
{
  BsBacking *files;

  g_mutex_lock (&self->opening);
  files = dup_files (self);
  if (files == NULL)
    {
      g_autoptr (GFile) directory =
        self->directory != NULL ? g_file_new_for_path (self->directory) : NULL;

      files = (BsBacking *) (directory != NULL ? bs_file_backing_new_temporary_in (directory, error)
                                               : bs_file_backing_new_temporary (error));
      g_mutex_lock (&self->mutex);
      self->files = files != NULL ? g_object_ref (files) : NULL;
      g_mutex_unlock (&self->mutex);
    }
  g_mutex_unlock (&self->opening);

  return files;
}

/* Waits for an eviction of the key, which would delete a file that is written meanwhile.
 * Under the mutex. */
static Entry *
find (BsS3Primary *self, const BsS3Key *key)
{
  Entry *entry;

  while ((entry = g_hash_table_lookup (self->blobs, key)) != NULL && entry->evicting)
    g_cond_wait (&self->evicted, &self->mutex);
  return entry;
}

/* Under the mutex. */
static Entry *
obtain (BsS3Primary *self, const BsS3Key *key)
{
  Entry *entry = find (self, key);

  if (entry != NULL)
    return entry;

  entry = g_new0 (Entry, 1);
  entry->key = *key;
  g_hash_table_add (self->blobs, entry);
  return entry;
}

/* Under the mutex. */
static void
uncache (BsS3Primary *self, Entry *entry)
{
  if (entry->link == NULL)
    return;

  g_queue_delete_link (&self->cached, entry->link);
  entry->link = NULL;
  self->n_cached -= entry->size;
}

/* Takes those out of the cache that are too many. Returns their keys. Under the mutex. */
static GArray *
shrink (BsS3Primary *self)
{
  GArray *keys = g_array_new (FALSE, FALSE, sizeof (BsS3Key));

  while (self->n_cached > self->max_cached)
    {
      Entry *entry = g_queue_peek_tail (&self->cached);

      uncache (self, entry);
      entry->in_files = FALSE;
      entry->evicting = TRUE;
      g_array_append_val (keys, entry->key);
    }

  return keys;
}

/* Under the mutex. */
static GArray *
note_cached (BsS3Primary *self, Entry *entry)
{
  g_queue_push_head (&self->cached, entry);
  entry->link = self->cached.head;
  self->n_cached += entry->size;
  return shrink (self);
}

/* Takes the keys over. */
static void
delete_files (BsS3Primary *self, GArray *keys)
{
  g_autoptr (BsBacking) files = keys->len > 0 ? dup_files (self) : NULL;

  for (guint i = 0; files != NULL && i < keys->len; i++)
    {
      char key[37];

      bs_s3_key_print (&g_array_index (keys, BsS3Key, i), key);
      bs_backing_delete_key (files, key, NULL, NULL);
    }

  g_mutex_lock (&self->mutex);
  for (guint i = 0; i < keys->len; i++)
    {
      Entry *entry = g_hash_table_lookup (self->blobs, &g_array_index (keys, BsS3Key, i));

      if (entry != NULL)
        entry->evicting = FALSE;
    }
  g_cond_broadcast (&self->evicted);
  g_mutex_unlock (&self->mutex);
  g_array_unref (keys);
}

gboolean
bs_s3_primary_lookup (BsS3Primary *self, const BsS3Key *key, BsS3Blob *blob)
{
  Entry *entry;

  g_mutex_lock (&self->mutex);
  entry = g_hash_table_lookup (self->blobs, key);
  if (entry != NULL)
    *blob = entry->blob;
  g_mutex_unlock (&self->mutex);

  return entry != NULL;
}

gboolean
bs_s3_primary_write (BsS3Primary *self,
                     const BsS3Key *key,
                     GBytes *bytes,
                     GCancellable *cancellable,
                     GError **error)
{
  g_autoptr (BsBacking) files = ensure_files (self, error);
  char string[37];
  Entry *entry;

  bs_s3_key_print (key, string);
  if (files == NULL || !bs_backing_write (files, string, bytes, cancellable, error))
    return FALSE;

  g_mutex_lock (&self->mutex);
  entry = obtain (self, key);
  entry->in_files = TRUE;
  entry->size = g_bytes_get_size (bytes);
  entry->blob.fresh = TRUE;
  g_mutex_unlock (&self->mutex);
  return TRUE;
}

void
bs_s3_primary_add (BsS3Primary *self, const BsS3Name *name, const char *prefix)
{
  g_mutex_lock (&self->mutex);
  if (!g_hash_table_contains (self->blobs, &name->key))
    {
      Entry *entry = obtain (self, &name->key);

      entry->blob = (BsS3Blob){ .prefix = (char *) prefix, .name = *name };
    }
  g_mutex_unlock (&self->mutex);
}

void
bs_s3_primary_set_object (BsS3Primary *self, const BsS3Name *name, const char *prefix)
{
  GArray *keys = NULL;
  Entry *entry;

  g_mutex_lock (&self->mutex);
  entry = g_hash_table_lookup (self->blobs, &name->key);
  if (entry != NULL)
    {
      entry->blob = (BsS3Blob){ .prefix = (char *) prefix, .name = *name };
      if (entry->in_files && entry->link == NULL)
        keys = note_cached (self, entry);
    }
  g_mutex_unlock (&self->mutex);

  if (keys != NULL)
    delete_files (self, keys);
}

void
bs_s3_primary_set_used (BsS3Primary *self, const BsS3Key *key)
{
  Entry *entry;

  g_mutex_lock (&self->mutex);
  entry = g_hash_table_lookup (self->blobs, key);
  if (entry != NULL)
    entry->blob.fresh = FALSE;
  g_mutex_unlock (&self->mutex);
}

/* An eviction may run beside this, so a file that has gone is no error for a cached blob. */
GBytes *
bs_s3_primary_read (BsS3Primary *self,
                    const BsS3Key *key,
                    GCancellable *cancellable,
                    GError **error)
{
  g_autoptr (GError) local = NULL;
  g_autoptr (BsBacking) files = NULL;
  gboolean has_object = FALSE;
  GBytes *bytes;
  char string[37];
  Entry *entry;

  g_mutex_lock (&self->mutex);
  entry = g_hash_table_lookup (self->blobs, key);
  if (entry != NULL && entry->in_files)
    {
      files = g_object_ref (self->files);
      has_object = entry->blob.prefix != NULL;
      if (entry->link != NULL)
        {
          g_queue_unlink (&self->cached, entry->link);
          g_queue_push_head_link (&self->cached, entry->link);
        }
    }
  g_mutex_unlock (&self->mutex);
  if (files == NULL)
    return NULL;

  bs_s3_key_print (key, string);
  bytes = bs_backing_read (files, string, cancellable, &local);
  if (bytes == NULL && (!has_object || g_error_matches (local, G_IO_ERROR, G_IO_ERROR_CANCELLED)))
    g_propagate_error (error, g_steal_pointer (&local));
  return bytes;
}

/* Whether the files do not have a blob that is known. */
static gboolean
needs_file (BsS3Primary *self, const BsS3Key *key)
{
  gboolean needed;
  Entry *entry;

  g_mutex_lock (&self->mutex);
  entry = find (self, key);
  needed = entry != NULL && !entry->in_files;
  g_mutex_unlock (&self->mutex);

  return needed;
}

void
bs_s3_primary_cache (BsS3Primary *self, const BsS3Key *key, GBytes *bytes)
{
  g_autoptr (BsBacking) files = NULL;
  GArray *keys = NULL;
  char string[37];
  Entry *entry;

  if (g_bytes_get_size (bytes) > self->max_cached || !needs_file (self, key))
    return;
  files = ensure_files (self, NULL);
  bs_s3_key_print (key, string);
  if (files == NULL || !bs_backing_write (files, string, bytes, NULL, NULL))
    return;

  g_mutex_lock (&self->mutex);
  entry = g_hash_table_lookup (self->blobs, key);
  if (entry != NULL)
    {
      entry->in_files = TRUE;
      entry->size = g_bytes_get_size (bytes);
      keys = note_cached (self, entry);
    }
  g_mutex_unlock (&self->mutex);

  if (keys != NULL)
    delete_files (self, keys);
}

gboolean
bs_s3_primary_own (BsS3Primary *self, const BsS3Key *key, GBytes *bytes, GError **error)
{
  Entry *entry;

  if (needs_file (self, key))
    {
      g_autoptr (BsBacking) files = ensure_files (self, error);
      char string[37];

      bs_s3_key_print (key, string);
      if (files == NULL || !bs_backing_write (files, string, bytes, NULL, error))
        return FALSE;
    }

  g_mutex_lock (&self->mutex);
  entry = find (self, key);
  if (entry != NULL)
    {
      uncache (self, entry);
      entry->in_files = TRUE;
      entry->size = g_bytes_get_size (bytes);
      entry->blob.prefix = NULL;
    }
  g_mutex_unlock (&self->mutex);
  return TRUE;
}

gboolean
bs_s3_primary_remove (BsS3Primary *self,
                      const BsS3Key *key,
                      GCancellable *cancellable,
                      GError **error)
{
  g_autoptr (BsBacking) files = dup_files (self);
  char string[37];
  gboolean in_files = FALSE;
  Entry *entry;

  g_mutex_lock (&self->mutex);
  entry = find (self, key);
  if (entry != NULL)
    uncache (self, entry);
  in_files = entry != NULL && entry->in_files;
  g_mutex_unlock (&self->mutex);

  bs_s3_key_print (key, string);
  if (in_files && !bs_backing_delete_key (files, string, cancellable, error))
    return FALSE;

  g_mutex_lock (&self->mutex);
  g_hash_table_remove (self->blobs, key);
  g_mutex_unlock (&self->mutex);
  return TRUE;
}
