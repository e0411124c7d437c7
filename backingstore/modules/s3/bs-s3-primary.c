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

/* A document may be closed before its blobs go. */
static void
set_blob (Entry *self, const char *prefix, const BsS3Name *name)
{
  g_clear_pointer (&self->blob.prefix, g_ref_string_release);
  self->blob = (BsS3Blob){ 0 };
  if (prefix == NULL)
    return;

  self->blob.prefix = g_ref_string_acquire ((char *) prefix);
  self->blob.name = *name;
}

static void
entry_free (gpointer data)
{
  Entry *self = data;

  g_clear_pointer (&self->blob.prefix, g_ref_string_release);
  g_free (self);
}

void
bs_s3_primary_init (BsS3Primary *self)
{
  g_mutex_init (&self->opening);
  g_mutex_init (&self->mutex);
  g_cond_init (&self->evicted);
  g_queue_init (&self->cached);
  self->blobs = g_hash_table_new_full (bs_s3_key_hash, bs_s3_key_equal, entry_free, NULL);
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

static void
note_written (BsS3Primary *self, const BsS3Key *key, guint64 size)
{
  Entry *entry;

  g_mutex_lock (&self->mutex);
  entry = obtain (self, key);
  entry->in_files = TRUE;
  entry->size = size;
  entry->blob.fresh = TRUE;
  g_mutex_unlock (&self->mutex);
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

  bs_s3_key_print (key, string);
  if (files == NULL || !bs_backing_write (files, string, bytes, cancellable, error))
    return FALSE;

  note_written (self, key, g_bytes_get_size (bytes));
  return TRUE;
}

/* The size of a file that was written just now. */
static gboolean
measure (BsBacking *files, const char *string, guint64 *size, GError **error)
{
  g_autoptr (GInputStream) stream = bs_backing_read_stream (files, string, NULL, error);

  if (stream == NULL || !g_seekable_seek (G_SEEKABLE (stream), 0, G_SEEK_END, NULL, error))
    return FALSE;

  *size = g_seekable_tell (G_SEEKABLE (stream));
  return TRUE;
}

static gboolean
note_measured (BsS3Primary *self,
               BsBacking *files,
               const BsS3Key *key,
               const char *string,
               GError **error)
{
  guint64 size;

  if (!measure (files, string, &size, error))
    {
      bs_backing_delete_key (files, string, NULL, NULL);
      return FALSE;
    }

  note_written (self, key, size);
  return TRUE;
}

gboolean
bs_s3_primary_write_stream (BsS3Primary *self,
                            const BsS3Key *key,
                            GInputStream *stream,
                            gint64 size,
                            GCancellable *cancellable,
                            GError **error)
{
  g_autoptr (BsBacking) files = ensure_files (self, error);
  char string[37];

  bs_s3_key_print (key, string);
  return files != NULL &&
         bs_backing_write_stream (files, string, stream, size, cancellable, error) &&
         note_measured (self, files, key, string, error);
}

gboolean
bs_s3_primary_write_file (BsS3Primary *self,
                          const BsS3Key *key,
                          GFile *file,
                          GCancellable *cancellable,
                          GError **error)
{
  g_autoptr (BsBacking) files = ensure_files (self, error);
  char string[37];

  bs_s3_key_print (key, string);
  return files != NULL && bs_backing_write_file (files, string, file, cancellable, error) &&
         note_measured (self, files, key, string, error);
}

void
bs_s3_primary_add (BsS3Primary *self, const BsS3Name *name, const char *prefix)
{
  g_mutex_lock (&self->mutex);
  if (!g_hash_table_contains (self->blobs, &name->key))
    {
      Entry *entry = obtain (self, &name->key);

      set_blob (entry, prefix, name);
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
      set_blob (entry, prefix, name);
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

/* Returns the files where they have the blob, which counts as a use of it. */
static BsBacking *
use_files (BsS3Primary *self, const BsS3Key *key, gboolean *has_object)
{
  BsBacking *files = NULL;
  Entry *entry;

  g_mutex_lock (&self->mutex);
  entry = g_hash_table_lookup (self->blobs, key);
  if (entry != NULL && entry->in_files)
    {
      files = g_object_ref (self->files);
      *has_object = entry->blob.prefix != NULL;
      if (entry->link != NULL)
        {
          g_queue_unlink (&self->cached, entry->link);
          g_queue_push_head_link (&self->cached, entry->link);
        }
    }
  g_mutex_unlock (&self->mutex);

  return files;
}

/* An eviction may run beside this, so a file that has gone is no error for a cached blob.
 * Takes the error over. */
static void
propagate_failure (gboolean has_object, GError *local, GError **error)
{
  if (!has_object || g_error_matches (local, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    g_propagate_error (error, local);
  else
    g_error_free (local);
}

GBytes *
bs_s3_primary_read (BsS3Primary *self,
                    const BsS3Key *key,
                    GCancellable *cancellable,
                    GError **error)
{
  gboolean has_object = FALSE;
  g_autoptr (BsBacking) files = use_files (self, key, &has_object);
  GError *local = NULL;
  GBytes *bytes;
  char string[37];

  if (files == NULL)
    return NULL;

  bs_s3_key_print (key, string);
  bytes = bs_backing_read (files, string, cancellable, &local);
  if (bytes == NULL)
    propagate_failure (has_object, local, error);
  return bytes;
}

GInputStream *
bs_s3_primary_read_stream (BsS3Primary *self,
                           const BsS3Key *key,
                           GCancellable *cancellable,
                           GError **error)
{
  gboolean has_object = FALSE;
  g_autoptr (BsBacking) files = use_files (self, key, &has_object);
  GError *local = NULL;
  GInputStream *stream;
  char string[37];

  if (files == NULL)
    return NULL;

  bs_s3_key_print (key, string);
  stream = bs_backing_read_stream (files, string, cancellable, &local);
  if (stream == NULL)
    propagate_failure (has_object, local, error);
  return stream;
}

gboolean
bs_s3_primary_find_size (BsS3Primary *self, const BsS3Key *key, guint64 *size)
{
  gboolean found;
  Entry *entry;

  g_mutex_lock (&self->mutex);
  entry = g_hash_table_lookup (self->blobs, key);
  found = entry != NULL && entry->in_files;
  if (found)
    *size = entry->size;
  g_mutex_unlock (&self->mutex);

  return found;
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

/* Returns FALSE where the files do not have the blob. */
static gboolean
own_file (BsS3Primary *self, const BsS3Key *key)
{
  gboolean owned;
  Entry *entry;

  g_mutex_lock (&self->mutex);
  entry = find (self, key);
  owned = entry == NULL || entry->in_files;
  if (owned && entry != NULL)
    {
      uncache (self, entry);
      set_blob (entry, NULL, NULL);
    }
  g_mutex_unlock (&self->mutex);

  return owned;
}

/* A file that is written here is not in the cache, so that no eviction deletes it. */
gboolean
bs_s3_primary_own (BsS3Primary *self,
                   const BsS3Key *key,
                   GInputStream *stream,
                   GCancellable *cancellable,
                   GError **error)
{
  return own_file (self, key) ||
         (bs_s3_primary_write_stream (self, key, stream, -1, cancellable, error) &&
          own_file (self, key));
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
