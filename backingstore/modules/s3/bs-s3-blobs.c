/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "bs-s3-blobs-private.h"

#include "bs-s3-documents-private.h"
#include "bs-s3-objects-private.h"

#include <glib/gi18n-lib.h>

static BsS3Backing *
cast (gpointer backing)
{
  return backing;
}

static gboolean
set_not_found (GError **error)
{
  g_set_error_literal (error, BS_ERROR, BS_ERROR_NOT_FOUND, _ ("no such blob"));
  return FALSE;
}

static gboolean
write_blob (BsBacking *backing,
            const char *string,
            GBytes *bytes,
            GCancellable *cancellable,
            GError **error)
{
  BsS3Backing *self = cast (backing);
  BsS3Blob blob;
  BsS3Key key;

  if (!bs_s3_backing_begin (self, error))
    return FALSE;

  bs_s3_key_parse (string, &key);
  if (bs_s3_primary_lookup (&self->primary, &key, &blob))
    {
      g_set_error_literal (error, BS_ERROR, BS_ERROR_EXISTS,
                           _ ("primary storage has the key already"));
      return FALSE;
    }
  return bs_s3_primary_write (&self->primary, &key, bytes, cancellable, error);
}

/* The object of a key may have got another name since it was registered. */
static void
find_name (BsS3Backing *self, BsS3Blob *blob)
{
  g_autoptr (BsS3Document) document = bs_s3_backing_dup_document (self, blob->prefix);

  if (document != NULL)
    bs_s3_document_lookup (document, &blob->name.key, &blob->name);
}

static GBytes *
get_object (BsS3Backing *self, const BsS3Blob *blob, GCancellable *cancellable, GError **error)
{
  g_autoptr (GError) local = NULL;
  BsS3Blob current = *blob;
  GBytes *bytes = NULL;

  for (guint i = 0; bytes == NULL && i < 2; i++)
    {
      BsS3Blob last = current;
      g_autofree char *object = NULL;

      find_name (self, &current);
      if (i > 0 && last.name.nonce == current.name.nonce)
        break;
      g_clear_error (&local);
      object = bs_s3_name_print (&current.name, current.prefix);
      bytes = bs_s3_get (self->client, object, cancellable, &local);
      if (bytes == NULL && !g_error_matches (local, BS_ERROR, BS_ERROR_NOT_FOUND))
        break;
    }

  if (bytes == NULL)
    g_propagate_error (error, g_steal_pointer (&local));
  return bytes;
}

static GBytes *
read_key (BsS3Backing *self, const BsS3Key *key, GCancellable *cancellable, GError **error)
{
  g_autoptr (GError) local = NULL;
  BsS3Blob blob;
  GBytes *bytes;

  if (!bs_s3_primary_lookup (&self->primary, key, &blob))
    {
      set_not_found (error);
      return NULL;
    }

  bytes = bs_s3_primary_read (&self->primary, key, cancellable, &local);
  if (bytes != NULL || local != NULL)
    {
      if (local != NULL)
        g_propagate_error (error, g_steal_pointer (&local));
      return bytes;
    }

  bytes = get_object (self, &blob, cancellable, error);
  if (bytes != NULL)
    bs_s3_primary_cache (&self->primary, key, bytes);
  return bytes;
}

static GBytes *
read_blob (BsBacking *backing, const char *string, GCancellable *cancellable, GError **error)
{
  BsS3Backing *self = cast (backing);
  BsS3Key key;

  if (!bs_s3_backing_begin (self, error))
    return NULL;

  bs_s3_key_parse (string, &key);
  return read_key (self, &key, cancellable, error);
}

static gboolean
delete_key (BsBacking *backing, const char *string, GCancellable *cancellable, GError **error)
{
  BsS3Backing *self = cast (backing);
  BsS3Key key;

  if (!bs_s3_backing_begin (self, error))
    return FALSE;

  bs_s3_key_parse (string, &key);
  return bs_s3_primary_remove (&self->primary, &key, cancellable, error);
}

static gboolean
register_key (BsBacking *backing,
              GFile *path,
              const char *string,
              GCancellable *cancellable,
              GError **error)
{
  BsS3Backing *self = cast (backing);
  BsS3Document *document = bs_s3_backing_begin_at (self, path, cancellable, error);
  BsS3Name name;
  BsS3Key key;
  gboolean found;

  if (document == NULL)
    return FALSE;

  bs_s3_key_parse (string, &key);
  found = bs_s3_document_lookup (document, &key, &name);
  if (found)
    bs_s3_primary_add (&self->primary, &name, document->prefix);
  bs_s3_backing_end_at (document);

  return found || set_not_found (error);
}

/* Whether this call is the first that puts an object with the name of the key. */
static gboolean
use_name (BsS3Backing *self, const char *string, gboolean fresh)
{
  g_mutex_lock (&self->mutex);
  fresh &= !bs_key_set_contains_key (self->used, string);
  bs_key_set_add (self->used, string, NULL);
  g_mutex_unlock (&self->mutex);

  return fresh;
}

static gboolean
persist_known (BsS3Backing *self,
               BsS3Document *document,
               const char *string,
               const BsS3Key *key,
               GCancellable *cancellable,
               GError **error)
{
  g_autoptr (GBytes) bytes = NULL;
  BsS3Blob blob;
  BsS3Name name;

  if (!bs_s3_primary_lookup (&self->primary, key, &blob))
    return set_not_found (error);

  bytes = read_key (self, key, cancellable, error);
  if (bytes == NULL ||
      !bs_s3_document_add (document, key, bytes, use_name (self, string, blob.fresh), &name,
                           cancellable, error))
    return FALSE;

  bs_s3_primary_set_object (&self->primary, &name, document->prefix);
  return TRUE;
}

static gboolean
persist (BsBacking *backing,
         GFile *path,
         const char *string,
         GCancellable *cancellable,
         GError **error)
{
  BsS3Backing *self = cast (backing);
  BsS3Document *document = bs_s3_backing_begin_at (self, path, cancellable, error);
  BsS3Name name;
  BsS3Key key;
  gboolean success;

  if (document == NULL)
    return FALSE;

  bs_s3_key_parse (string, &key);
  success = bs_s3_document_lookup (document, &key, &name) ||
            persist_known (self, document, string, &key, cancellable, error);
  bs_s3_backing_end_at (document);

  return success;
}

/* The bytes go from memory into the object, and never through local files. */
static gboolean
persist_new (BsS3Backing *self,
             BsS3Document *document,
             const char *string,
             const BsS3Key *key,
             GBytes *bytes,
             GCancellable *cancellable,
             GError **error)
{
  BsS3Blob blob;
  BsS3Name name;

  if (!bs_s3_document_lookup (document, key, &name))
    {
      if (bs_s3_primary_lookup (&self->primary, key, &blob))
        return persist_known (self, document, string, key, cancellable, error);
      if (!bs_s3_document_add (document, key, bytes, use_name (self, string, TRUE), &name,
                               cancellable, error))
        return FALSE;
    }

  bs_s3_primary_add (&self->primary, &name, document->prefix);
  return TRUE;
}

static gboolean
persist_bytes (BsBacking *backing,
               GFile *path,
               const char *string,
               GBytes *bytes,
               GCancellable *cancellable,
               GError **error)
{
  BsS3Backing *self = cast (backing);
  BsS3Document *document = bs_s3_backing_begin_at (self, path, cancellable, error);
  BsS3Key key;
  gboolean success;

  if (document == NULL)
    return FALSE;

  bs_s3_key_parse (string, &key);
  success = persist_new (self, document, string, &key, bytes, cancellable, error);
  bs_s3_backing_end_at (document);

  return success;
}

/* A blob that primary storage has only as an object is brought home before that goes. */
static gboolean
bring_home (BsS3Backing *self,
            BsS3Document *document,
            const BsS3Key *key,
            GCancellable *cancellable,
            GError **error)
{
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GError) local = NULL;
  BsS3Blob blob;

  if (!bs_s3_primary_lookup (&self->primary, key, &blob) || blob.prefix != document->prefix)
    return TRUE;

  bytes = read_key (self, key, cancellable, &local);
  if (bytes != NULL)
    return bs_s3_primary_own (&self->primary, key, bytes, error);
  /* A blob that is lost or bad is none that its deletion loses. */
  if (g_error_matches (local, BS_ERROR, BS_ERROR_NOT_FOUND) ||
      g_error_matches (local, BS_ERROR, BS_ERROR_CORRUPT))
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&local));
  return FALSE;
}

static gboolean
remove_keys (BsS3Backing *self,
             BsS3Document *document,
             const BsS3Key *keys,
             guint n_keys,
             GCancellable *cancellable,
             GError **error)
{
  if (!bs_s3_document_check (document, cancellable, error))
    return FALSE;

  for (guint i = 0; i < n_keys; i++)
    {
      if (!bring_home (self, document, &keys[i], cancellable, error))
        return FALSE;
    }
  return bs_s3_document_remove (document, keys, n_keys, cancellable, error);
}

static gboolean
delete_persisted (BsBacking *backing,
                  GFile *path,
                  const char *string,
                  GCancellable *cancellable,
                  GError **error)
{
  BsS3Backing *self = cast (backing);
  BsS3Document *document = bs_s3_backing_begin_at (self, path, cancellable, error);
  BsS3Key key;
  gboolean success;

  if (document == NULL)
    return FALSE;

  bs_s3_key_parse (string, &key);
  success = remove_keys (self, document, &key, 1, cancellable, error);
  bs_s3_backing_end_at (document);

  return success;
}

static void
append_key (const char *string, gpointer data)
{
  BsS3Key key;

  bs_s3_key_parse (string, &key);
  g_array_append_val ((GArray *) data, key);
}

static gboolean
delete_persisted_keys (BsBacking *backing,
                       GFile *path,
                       BsKeySet *keys,
                       GCancellable *cancellable,
                       GError **error)
{
  BsS3Backing *self = cast (backing);
  BsS3Document *document = bs_s3_backing_begin_at (self, path, cancellable, error);
  g_autoptr (GArray) array = g_array_new (FALSE, FALSE, sizeof (BsS3Key));
  gboolean success;

  if (document == NULL)
    return FALSE;

  bs_key_set_foreach_key (keys, append_key, array);
  success =
    remove_keys (self, document, (const BsS3Key *) array->data, array->len, cancellable, error);
  bs_s3_backing_end_at (document);

  return success;
}

static gboolean
verify_object (BsS3Backing *self,
               BsS3Document *document,
               const BsS3Key *key,
               GCancellable *cancellable,
               GError **error)
{
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GError) local = NULL;
  g_autofree char *object = NULL;
  BsS3Name name;

  if (!bs_s3_document_lookup (document, key, &name))
    return set_not_found (error);

  object = bs_s3_name_print (&name, document->prefix);
  bytes = bs_s3_get (self->client, object, cancellable, &local);
  if (bytes != NULL)
    return TRUE;

  if (g_error_matches (local, BS_ERROR, BS_ERROR_CORRUPT) && document->refusal == NULL &&
      !bs_s3_document_quarantine (document, key, cancellable, error))
    {
      g_prefix_error (error, _ ("the blob is corrupt and can't be set aside: "));
      return FALSE;
    }
  g_propagate_error (error, g_steal_pointer (&local));
  return FALSE;
}

static gboolean
verify_persisted (BsBacking *backing,
                  GFile *path,
                  const char *string,
                  GCancellable *cancellable,
                  GError **error)
{
  BsS3Document *document = bs_s3_backing_begin_at (cast (backing), path, cancellable, error);
  BsS3Key key;
  gboolean success;

  if (document == NULL)
    return FALSE;

  bs_s3_key_parse (string, &key);
  success = verify_object (cast (backing), document, &key, cancellable, error);
  bs_s3_backing_end_at (document);
  return success;
}

void
bs_s3_blobs_iface_init (BsBackingInterface *iface)
{
  iface->write = write_blob;
  iface->read = read_blob;
  iface->delete_key = delete_key;
  iface->register_key = register_key;
  iface->persist = persist;
  iface->persist_bytes = persist_bytes;
  iface->delete_persisted = delete_persisted;
  iface->delete_persisted_keys = delete_persisted_keys;
  iface->verify_persisted = verify_persisted;
}
