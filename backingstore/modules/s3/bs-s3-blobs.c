/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "bs-s3-blobs-private.h"

#include "bs-s3-documents-private.h"
#include "bs-s3-quarantine-private.h"
#include "bs-s3-reading-private.h"
#include "bs-s3-upload-private.h"

#include <glib/gi18n-lib.h>
#include <inttypes.h>

/* Bytes of blobs that one call has under way at a time. */
#define MAX_BYTES (16 * BS_S3_LARGE)

static BsS3Backing *
cast (gpointer backing)
{
  return backing;
}

/* Begins a call that adds a key to primary storage. */
static gboolean
begin_new (BsS3Backing *self, const char *string, BsS3Key *key, GError **error)
{
  BsS3Blob blob;

  if (!bs_s3_backing_begin (self, error))
    return FALSE;

  bs_s3_key_parse (string, key);
  if (!bs_s3_primary_lookup (&self->primary, key, &blob))
    return TRUE;

  g_set_error_literal (error, BS_ERROR, BS_ERROR_EXISTS, _ ("primary storage has the key already"));
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
  BsS3Key key;

  return begin_new (self, string, &key, error) &&
         bs_s3_primary_write (&self->primary, &key, bytes, cancellable, error);
}

static gboolean
write_stream (BsBacking *backing,
              const char *string,
              GInputStream *stream,
              gint64 size,
              GCancellable *cancellable,
              GError **error)
{
  BsS3Backing *self = cast (backing);
  BsS3Key key;

  return begin_new (self, string, &key, error) &&
         bs_s3_primary_write_stream (&self->primary, &key, stream, size, cancellable, error);
}

static gboolean
write_file (BsBacking *backing,
            const char *string,
            GFile *file,
            GCancellable *cancellable,
            GError **error)
{
  BsS3Backing *self = cast (backing);
  BsS3Key key;

  return begin_new (self, string, &key, error) &&
         bs_s3_primary_write_file (&self->primary, &key, file, cancellable, error);
}

static GBytes *
read_blob (BsBacking *backing, const char *string, GCancellable *cancellable, GError **error)
{
  BsS3Backing *self = cast (backing);
  BsS3Key key;

  if (!bs_s3_backing_begin (self, error))
    return NULL;

  bs_s3_key_parse (string, &key);
  return bs_s3_read_key (self, &key, cancellable, error);
}

static GInputStream *
read_stream (BsBacking *backing, const char *string, GCancellable *cancellable, GError **error)
{
  BsS3Backing *self = cast (backing);
  BsS3Key key;

  if (!bs_s3_backing_begin (self, error))
    return NULL;

  bs_s3_key_parse (string, &key);
  return bs_s3_open_stream (self, &key, cancellable, error);
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

  return found || bs_s3_set_not_found (error);
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
  g_auto (BsS3Content) content = { 0 };
  BsS3Blob blob;
  BsS3Name name;

  if (!bs_s3_primary_lookup (&self->primary, key, &blob))
    return bs_s3_set_not_found (error);

  if (!bs_s3_find_content (self, key, &content, cancellable, error) ||
      !bs_s3_document_add (document, key, &content, use_name (self, string, blob.fresh), &name,
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
  g_auto (BsS3Content) content = { 0 };
  BsS3Blob blob;
  BsS3Name name;

  if (!bs_s3_document_lookup (document, key, &name))
    {
      if (bs_s3_primary_lookup (&self->primary, key, &blob))
        return persist_known (self, document, string, key, cancellable, error);
      bs_s3_content_init_bytes (&content, bytes);
      if (!bs_s3_document_add (document, key, &content, use_name (self, string, TRUE), &name,
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

/* A blob that is put while others are. */
typedef struct
{
  BsS3Name name;
  gsize size;
} Put;

/* Blobs that are persisted side by side. */
typedef struct
{
  BsS3Backing *self;
  BsS3Document *document;
  GHashTable *contents; /* of keys that primary storage does not have */
  GCancellable *cancellable;
  BsS3Call *calls[BS_S3_MAX_PARALLEL];
  Put puts[BS_S3_MAX_PARALLEL]; /* of those calls */
  guint n_puts;
  guint64 n_bytes; /* that are under way */
  GError *error;   /* owned; ends it */
} Addition;

static void
note_put (Addition *self, const BsS3Name *name)
{
  BsS3Blob blob;

  if (bs_s3_primary_lookup (&self->self->primary, &name->key, &blob))
    bs_s3_primary_set_object (&self->self->primary, name, self->document->prefix);
  else
    bs_s3_primary_add (&self->self->primary, name, self->document->prefix);
}

/* Waits for an answer, whichever comes first. The first error of them all is kept. */
static void
end_put (Addition *self)
{
  guint i =
    bs_s3_client_wait_any (self->self->client, self->calls, self->n_puts, self->cancellable);
  BsS3Call *call = self->calls[i];
  Put put = self->puts[i];
  GError **error = self->error == NULL ? &self->error : NULL;

  self->n_puts--;
  self->calls[i] = self->calls[self->n_puts];
  self->puts[i] = self->puts[self->n_puts];
  self->n_bytes -= put.size;

  if (g_cancellable_is_cancelled (self->cancellable) && self->error != NULL)
    bs_s3_document_drop_add (self->document, call, &put.name);
  else if (bs_s3_document_end_add (self->document, call, &put.name, self->cancellable, error))
    note_put (self, &put.name);
}

/* Both sides are woken up less often where requests come in bursts. */
static void
make_room (Addition *self)
{
  if (self->n_puts == BS_S3_MAX_PARALLEL)
    {
      while (self->n_puts > BS_S3_MAX_PARALLEL / 2)
        end_put (self);
    }
  while (self->n_bytes >= MAX_BYTES)
    end_put (self);
}

static gboolean
begin_put (Addition *self,
           const char *string,
           const BsS3Key *key,
           GBytes *bytes,
           gboolean fresh,
           GError **error)
{
  g_auto (BsS3Content) content = { 0 };
  BsS3Call *call;
  BsS3Name name;

  bs_s3_content_init_bytes (&content, bytes);
  call =
    bs_s3_document_begin_add (self->document, key, &content, use_name (self->self, string, fresh),
                              &name, self->cancellable, error);
  if (call == NULL)
    return FALSE;

  self->calls[self->n_puts] = call;
  self->puts[self->n_puts] = (Put){ name, content.size };
  self->n_puts++;
  self->n_bytes += content.size;
  make_room (self);
  return TRUE;
}

/* A large blob goes in parts side by side already. */
static gboolean
add_key (Addition *self, const char *string, const BsS3Key *key, GBytes *given, GError **error)
{
  BsS3Backing *backing = self->self;
  g_autoptr (GBytes) bytes = NULL;
  gboolean known;
  guint64 size;
  BsS3Blob blob;
  BsS3Name name;

  if (bs_s3_document_lookup (self->document, key, &name))
    {
      if (given != NULL)
        bs_s3_primary_add (&backing->primary, &name, self->document->prefix);
      return TRUE;
    }

  known = bs_s3_primary_lookup (&backing->primary, key, &blob);
  if (!known && given == NULL)
    return bs_s3_set_not_found (error);
  if (!known && g_bytes_get_size (given) < BS_S3_LARGE)
    return begin_put (self, string, key, given, TRUE, error);
  if (!known)
    return persist_new (backing, self->document, string, key, given, self->cancellable, error);
  if (!bs_s3_primary_find_size (&backing->primary, key, &size) || size >= BS_S3_LARGE)
    return persist_known (backing, self->document, string, key, self->cancellable, error);

  bytes = bs_s3_read_key (backing, key, self->cancellable, error);
  return bytes != NULL && begin_put (self, string, key, bytes, blob.fresh, error);
}

static void
add_one (const char *string, gpointer data)
{
  Addition *self = data;
  BsS3Key key;

  if (self->error != NULL || g_cancellable_set_error_if_cancelled (self->cancellable, &self->error))
    return;

  bs_s3_key_parse (string, &key);
  if (!add_key (self, string, &key, g_hash_table_lookup (self->contents, string), &self->error))
    g_prefix_error (&self->error, "%s: ", string);
}

static gboolean
persist_keys (BsBacking *backing,
              GFile *path,
              BsKeySet *keys,
              GHashTable *contents,
              GCancellable *cancellable,
              GError **error)
{
  BsS3Backing *self = cast (backing);
  BsS3Document *document = bs_s3_backing_begin_at (self, path, cancellable, error);
  Addition addition = { self, document, contents, cancellable };

  if (document == NULL)
    return FALSE;

  bs_key_set_foreach_key (keys, add_one, &addition);
  while (addition.n_puts > 0)
    end_put (&addition);
  bs_s3_backing_end_at (document);
  if (addition.error == NULL)
    return TRUE;

  g_propagate_error (error, addition.error);
  return FALSE;
}

typedef struct
{
  BsS3Backing *self;
  BsS3Document *document;
  guint64 n_done; /* before the first key that is not there */
  char *missing;  /* that key */
} Registration;

static void
register_one (const char *string, gpointer data)
{
  Registration *registration = data;
  BsS3Document *document = registration->document;
  BsS3Name name;
  BsS3Key key;

  if (registration->missing != NULL)
    return;

  bs_s3_key_parse (string, &key);
  if (!bs_s3_document_lookup (document, &key, &name))
    {
      registration->missing = g_strdup (string);
      return;
    }
  bs_s3_primary_add (&registration->self->primary, &name, document->prefix);
  registration->n_done++;
}

static gboolean
register_keys (BsBacking *backing,
               GFile *path,
               BsKeySet *keys,
               GCancellable *cancellable,
               GError **error)
{
  BsS3Backing *self = cast (backing);
  BsS3Document *document = bs_s3_backing_begin_at (self, path, cancellable, error);
  Registration registration = { self, document, 0, NULL };
  g_autofree char *missing = NULL;

  if (document == NULL)
    return FALSE;

  bs_key_set_foreach_key (keys, register_one, &registration);
  bs_s3_backing_end_at (document);
  missing = registration.missing;
  if (missing == NULL)
    return TRUE;

  bs_s3_set_not_found (error);
  g_prefix_error (error, _ ("%" PRIu64 " of %" PRIu64 " done: %s: "), registration.n_done,
                  bs_key_set_get_n_keys (keys), missing);
  return FALSE;
}

/* A blob that primary storage has only as an object is brought home before that goes. */
static gboolean
bring_home (BsS3Backing *self,
            BsS3Document *document,
            const BsS3Key *key,
            GCancellable *cancellable,
            GError **error)
{
  g_autoptr (GInputStream) stream = NULL;
  g_autoptr (GError) local = NULL;
  BsS3Blob blob;

  if (!bs_s3_primary_lookup (&self->primary, key, &blob) || blob.prefix != document->prefix)
    return TRUE;

  stream = bs_s3_open_stream (self, key, cancellable, &local);
  if (stream != NULL && bs_s3_primary_own (&self->primary, key, stream, cancellable, &local))
    return TRUE;
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
  success = bs_s3_verify (cast (backing), document, &key, cancellable, error);
  bs_s3_backing_end_at (document);
  return success;
}

void
bs_s3_blobs_iface_init (BsBackingInterface *iface)
{
  iface->write = write_blob;
  iface->write_stream = write_stream;
  iface->write_file = write_file;
  iface->read = read_blob;
  iface->read_stream = read_stream;
  iface->delete_key = delete_key;
  iface->register_key = register_key;
  iface->register_keys = register_keys;
  iface->persist = persist;
  iface->persist_bytes = persist_bytes;
  iface->persist_keys = persist_keys;
  iface->delete_persisted = delete_persisted;
  iface->delete_persisted_keys = delete_persisted_keys;
  iface->verify_persisted = verify_persisted;
}
