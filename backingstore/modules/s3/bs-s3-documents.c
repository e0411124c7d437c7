/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "bs-s3-documents-private.h"

#include <glib/gi18n-lib.h>
#include <unistd.h>

/* The documents that a backing has open, and the thread that renews their leases. */

/* How often leases are looked at; each is renewed when a third of it is over. */
#define LEASE_STEPS 12

/* Connections cannot be carried over a fork. */
gboolean
bs_s3_backing_is_forked (BsS3Backing *self)
{
  return self->process != getpid ();
}

gboolean
bs_s3_backing_begin (BsS3Backing *self, GError **error)
{
  gboolean closed = bs_s3_backing_is_forked (self);

  /* A binding may make an object without init(). */
  if (self->client == NULL)
    {
      g_set_error_literal (error, BS_ERROR, BS_ERROR_NOT_SUPPORTED,
                           _ ("the backing was made without a URI"));
      return FALSE;
    }
  closed |= g_atomic_int_get (&self->closed);
  if (closed)
    g_set_error_literal (error, BS_ERROR, BS_ERROR_CLOSED, _ ("the backing is closed"));

  return !closed;
}

static GPtrArray *
list_documents (BsS3Backing *self)
{
  GPtrArray *documents = g_ptr_array_new_with_free_func ((GDestroyNotify) bs_s3_document_unref);
  GHashTableIter iter;
  gpointer document;

  g_mutex_lock (&self->mutex);
  g_hash_table_iter_init (&iter, self->documents);
  while (g_hash_table_iter_next (&iter, NULL, &document))
    g_ptr_array_add (documents, bs_s3_document_ref (document));
  g_mutex_unlock (&self->mutex);

  return documents;
}

/* The last reference on the backing stops the thread. */
static gpointer
keep_leases (gpointer data)
{
  BsS3Backing *self = data;
  gint64 step = self->settings->lease * G_USEC_PER_SEC / LEASE_STEPS;

  while (bs_s3_client_pause (self->client, step, self->keeping))
    {
      g_autoptr (GPtrArray) documents = list_documents (self);

      for (guint i = 0; i < documents->len; i++)
        {
          BsS3Document *document = documents->pdata[i];

          if (document->refusal == NULL)
            bs_s3_lease_renew (&document->lease, self->keeping);
        }
    }

  return NULL;
}

BsS3Document *
bs_s3_backing_dup_document (BsS3Backing *self, const char *prefix)
{
  BsS3Document *document;

  g_mutex_lock (&self->mutex);
  document = self->documents != NULL ? g_hash_table_lookup (self->documents, prefix) : NULL;
  if (document != NULL)
    bs_s3_document_ref (document);
  g_mutex_unlock (&self->mutex);

  return document;
}

void
bs_s3_backing_find_name (BsS3Backing *self, BsS3Blob *blob)
{
  g_autoptr (BsS3Document) document = bs_s3_backing_dup_document (self, blob->prefix);

  if (document != NULL)
    bs_s3_document_lookup (document, &blob->name.key, &blob->name);
}

static void
add_document (BsS3Backing *self, BsS3Document *document)
{
  g_mutex_lock (&self->mutex);
  g_hash_table_insert (self->documents, document->prefix, bs_s3_document_ref (document));
  /* Without the thread, operations renew a lease that is due. */
  if (self->keeper == NULL)
    self->keeper = g_thread_try_new ("backingstore-s3-lease", keep_leases, self, NULL);
  g_mutex_unlock (&self->mutex);
}

static gboolean
lock_opening (BsS3Backing *self, GCancellable *cancellable, GError **error)
{
  while (!g_mutex_trylock (&self->opening))
    {
      if (bs_s3_client_pause (self->client, G_USEC_PER_SEC / 100, cancellable))
        continue;
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_CANCELLED, _ ("it was cancelled"));
      return FALSE;
    }
  return TRUE;
}

BsS3Document *
bs_s3_backing_open_document (BsS3Backing *self,
                             GFile *path,
                             GCancellable *cancellable,
                             GError **error)
{
  g_autofree char *prefix = bs_s3_settings_get_path (self->settings, path, error);
  BsS3Document *document;

  if (prefix == NULL)
    return NULL;
  document = bs_s3_backing_dup_document (self, prefix);
  if (document != NULL)
    return document;
  if (!lock_opening (self, cancellable, error))
    return NULL;

  document = bs_s3_backing_dup_document (self, prefix);
  if (document == NULL)
    {
      document = bs_s3_document_open (self->client, prefix, self->owner,
                                      g_atomic_int_get (&self->read_only), cancellable, error);
      if (document != NULL)
        {
          document->uri = g_file_get_uri (path);
          add_document (self, document);
        }
    }
  g_mutex_unlock (&self->opening);

  return document;
}

void
bs_s3_backing_end_at (BsS3Document *document)
{
  bs_s3_document_unhold (document);
  bs_s3_document_unref (document);
}

BsS3Document *
bs_s3_backing_begin_at (BsS3Backing *self, GFile *path, GCancellable *cancellable, GError **error)
{
  BsS3Document *document;

  if (!bs_s3_backing_begin (self, error))
    return NULL;

  document = bs_s3_backing_open_document (self, path, cancellable, error);
  if (document == NULL)
    return NULL;

  if (!bs_s3_document_hold (document))
    {
      bs_s3_document_unref (document);
      g_set_error_literal (error, BS_ERROR, BS_ERROR_CLOSED, _ ("the path is being released"));
      return NULL;
    }

  return document;
}

/* Objects of blobs that the application still holds stay where they are. */
static void
release_document (BsS3Backing *self, const char *prefix, GCancellable *cancellable)
{
  BsS3Document *document = NULL;

  g_mutex_lock (&self->mutex);
  if (self->documents != NULL)
    {
      document = g_hash_table_lookup (self->documents, prefix);
      if (document != NULL)
        g_hash_table_steal (self->documents, prefix);
    }
  g_mutex_unlock (&self->mutex);

  if (document != NULL)
    {
      bs_s3_document_close (document, cancellable);
      bs_s3_document_unref (document);
    }
}

gboolean
bs_s3_backing_release (BsS3Backing *self,
                       const char *prefix,
                       GCancellable *cancellable,
                       GError **error)
{
  if (!lock_opening (self, cancellable, error))
    return FALSE;

  release_document (self, prefix, cancellable);
  g_mutex_unlock (&self->opening);
  return TRUE;
}

static void
stop_keeper (BsS3Backing *self)
{
  GThread *keeper;

  g_mutex_lock (&self->mutex);
  keeper = g_steal_pointer (&self->keeper);
  g_mutex_unlock (&self->mutex);
  if (keeper == NULL)
    return;

  g_cancellable_cancel (self->keeping);
  g_thread_join (keeper);
}

void
bs_s3_backing_release_all (BsS3Backing *self, GCancellable *cancellable)
{
  g_autoptr (GPtrArray) documents = NULL;

  stop_keeper (self);
  documents = list_documents (self);
  for (guint i = 0; i < documents->len; i++)
    release_document (self, ((BsS3Document *) documents->pdata[i])->prefix, cancellable);
}
