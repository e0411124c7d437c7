/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "bs-s3-document-private.h"
#include "bs-s3-objects-private.h"
#include "bs-s3-primary-private.h"

#include <backingstore/backingstore.h>

#include <glib/gi18n-lib.h>
#include <string.h>
#include <unistd.h>

/* A backing whose persisted paths are prefixes of a bucket: several machines may open a
 * document, one after the other. Primary storage is a table of keys over local files, which
 * are also the cache of what was read.
 *
 * The store has one call at a time for each key, so what is known of a key holds for the
 * length of a call. */

/* How often leases are looked at; each is renewed when a third of it is over. */
#define LEASE_STEPS 12

typedef struct
{
  GObject parent_instance;

  char *uri;
  char *owner; /* a UUID of this backing, for leases */
  pid_t process;
  BsS3Settings *settings;
  BsS3Client *client;
  BsS3Primary primary;

  GMutex opening; /* held while a path is opened or closed; taken first */
  GMutex mutex;

  int closed;    /* atomic */
  int read_only; /* atomic: documents that are opened from now on */

  /* under the mutex */
  GHashTable *documents; /* by their prefix */
  BsKeySet *used;        /* keys whose names are in use, or were */
  GThread *keeper;       /* renews leases; runs while there are documents */
  GCancellable *keeping; /* ends it */
} BsS3Backing;

typedef struct
{
  GObjectClass parent_class;
} BsS3BackingClass;

enum
{
  PROP_URI = 1,
  PROP_READ_ONLY,
};

GType bs_s3_backing_get_type (void);

static void bs_s3_backing_iface_init (BsBackingInterface *iface);
static void bs_s3_backing_initable_iface_init (GInitableIface *iface);

G_DEFINE_DYNAMIC_TYPE_EXTENDED (BsS3Backing,
                                bs_s3_backing,
                                G_TYPE_OBJECT,
                                G_TYPE_FLAG_FINAL,
                                G_IMPLEMENT_INTERFACE_DYNAMIC (BS_TYPE_BACKING,
                                                               bs_s3_backing_iface_init)
                                  G_IMPLEMENT_INTERFACE_DYNAMIC (G_TYPE_INITABLE,
                                                                 bs_s3_backing_initable_iface_init))

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

/* Connections cannot be carried over a fork. */
static gboolean
is_forked (BsS3Backing *self)
{
  return self->process != getpid ();
}

static gboolean
begin (BsS3Backing *self, GError **error)
{
  gboolean closed = is_forked (self);

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

static BsS3Document *
dup_document (BsS3Backing *self, const char *prefix)
{
  BsS3Document *document;

  g_mutex_lock (&self->mutex);
  document = self->documents != NULL ? g_hash_table_lookup (self->documents, prefix) : NULL;
  if (document != NULL)
    bs_s3_document_ref (document);
  g_mutex_unlock (&self->mutex);

  return document;
}

static void
add_document (BsS3Backing *self, BsS3Document *document)
{
  g_mutex_lock (&self->mutex);
  g_hash_table_insert (self->documents, document->prefix, bs_s3_document_ref (document));
  if (self->keeper == NULL)
    self->keeper = g_thread_new ("backingstore-s3-lease", keep_leases, self);
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

/* Returns the document of a path, which is opened if need be. */
static BsS3Document *
open_document (BsS3Backing *self, GFile *path, GCancellable *cancellable, GError **error)
{
  g_autofree char *prefix = bs_s3_settings_get_path (self->settings, path, error);
  BsS3Document *document;

  if (prefix == NULL)
    return NULL;
  document = dup_document (self, prefix);
  if (document != NULL)
    return document;
  if (!lock_opening (self, cancellable, error))
    return NULL;

  document = dup_document (self, prefix);
  if (document == NULL)
    {
      document = bs_s3_document_open (self->client, prefix, self->owner,
                                      g_atomic_int_get (&self->read_only), cancellable, error);
      if (document != NULL)
        add_document (self, document);
    }
  g_mutex_unlock (&self->opening);

  return document;
}

static void
end_at (BsS3Document *document)
{
  bs_s3_document_unhold (document);
  bs_s3_document_unref (document);
}

/* Returns the document of a path, held. */
static BsS3Document *
begin_at (BsS3Backing *self, GFile *path, GCancellable *cancellable, GError **error)
{
  BsS3Document *document;

  if (!begin (self, error))
    return NULL;

  document = open_document (self, path, cancellable, error);
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

  if (!begin (self, error))
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
  g_autoptr (BsS3Document) document = dup_document (self, blob->prefix);

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

  if (!begin (self, error))
    return NULL;

  bs_s3_key_parse (string, &key);
  return read_key (self, &key, cancellable, error);
}

static gboolean
delete_key (BsBacking *backing, const char *string, GCancellable *cancellable, GError **error)
{
  BsS3Backing *self = cast (backing);
  BsS3Key key;

  if (!begin (self, error))
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
  BsS3Document *document = begin_at (self, path, cancellable, error);
  BsS3Name name;
  BsS3Key key;
  gboolean found;

  if (document == NULL)
    return FALSE;

  bs_s3_key_parse (string, &key);
  found = bs_s3_document_lookup (document, &key, &name);
  if (found)
    bs_s3_primary_add (&self->primary, &name, document->prefix);
  end_at (document);

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
  BsS3Document *document = begin_at (self, path, cancellable, error);
  BsS3Name name;
  BsS3Key key;
  gboolean success;

  if (document == NULL)
    return FALSE;

  bs_s3_key_parse (string, &key);
  success = bs_s3_document_lookup (document, &key, &name) ||
            persist_known (self, document, string, &key, cancellable, error);
  end_at (document);

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
  BsS3Document *document = begin_at (self, path, cancellable, error);
  BsS3Key key;
  gboolean success;

  if (document == NULL)
    return FALSE;

  bs_s3_key_parse (string, &key);
  success = persist_new (self, document, string, &key, bytes, cancellable, error);
  end_at (document);

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
  BsS3Document *document = begin_at (self, path, cancellable, error);
  BsS3Key key;
  gboolean success;

  if (document == NULL)
    return FALSE;

  bs_s3_key_parse (string, &key);
  success = remove_keys (self, document, &key, 1, cancellable, error);
  end_at (document);

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
  BsS3Document *document = begin_at (self, path, cancellable, error);
  g_autoptr (GArray) array = g_array_new (FALSE, FALSE, sizeof (BsS3Key));
  gboolean success;

  if (document == NULL)
    return FALSE;

  bs_key_set_foreach_key (keys, append_key, array);
  success =
    remove_keys (self, document, (const BsS3Key *) array->data, array->len, cancellable, error);
  end_at (document);

  return success;
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

static gboolean
release_path (BsBacking *backing, GFile *path, GCancellable *cancellable, GError **error)
{
  BsS3Backing *self = cast (backing);
  g_autofree char *prefix = NULL;

  if (is_forked (self) || self->client == NULL)
    return TRUE;

  prefix = bs_s3_settings_get_path (self->settings, path, NULL);
  if (prefix == NULL)
    return TRUE;
  if (!lock_opening (self, cancellable, error))
    return FALSE;
  release_document (self, prefix, cancellable);
  g_mutex_unlock (&self->opening);

  return TRUE;
}

static gboolean
sanitize_path (BsBacking *backing,
               GFile *path,
               BsKeySet *found,
               GCancellable *cancellable,
               GError **error)
{
  BsS3Backing *self = cast (backing);
  g_autoptr (BsS3Document) document = NULL;

  if (!begin (self, error))
    return FALSE;

  document = open_document (self, path, cancellable, error);
  if (document != NULL && bs_s3_document_is_lost (document))
    {
      release_path (backing, path, cancellable, NULL);
      g_clear_pointer (&document, bs_s3_document_unref);
      document = open_document (self, path, cancellable, error);
    }
  if (document == NULL)
    return FALSE;

  bs_s3_document_list (document, found);
  return TRUE;
}

/* Each object is durable when its PUT is answered. */
static gboolean
sync_persisted (BsBacking *backing, GFile *path, GCancellable *cancellable, GError **error)
{
  BsS3Document *document = begin_at (cast (backing), path, cancellable, error);
  gboolean success;

  if (document == NULL)
    return FALSE;

  success = document->refusal != NULL || bs_s3_document_check (document, cancellable, error);
  end_at (document);
  return success;
}

static gboolean
write_root (BsBacking *backing,
            GFile *path,
            GBytes *bytes,
            BsKeySet *named,
            GCancellable *cancellable,
            GError **error)
{
  BsS3Document *document = begin_at (cast (backing), path, cancellable, error);
  gboolean success;

  if (document == NULL)
    return FALSE;

  success = bs_s3_document_write_root (document, bytes, named, cancellable, error);
  end_at (document);
  return success;
}

static GBytes *
read_root (BsBacking *backing, GFile *path, GCancellable *cancellable, GError **error)
{
  BsS3Document *document = begin_at (cast (backing), path, cancellable, error);
  GBytes *bytes;

  if (document == NULL)
    return NULL;

  bytes = bs_s3_document_read_root (document, cancellable, error);
  end_at (document);
  return bytes;
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
  BsS3Document *document = begin_at (cast (backing), path, cancellable, error);
  BsS3Key key;
  gboolean success;

  if (document == NULL)
    return FALSE;

  bs_s3_key_parse (string, &key);
  success = verify_object (cast (backing), document, &key, cancellable, error);
  end_at (document);
  return success;
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

static void
close_all (BsS3Backing *self, GCancellable *cancellable)
{
  g_autoptr (GPtrArray) documents = NULL;

  if (!g_atomic_int_compare_and_exchange (&self->closed, FALSE, TRUE) || self->client == NULL)
    return;

  stop_keeper (self);
  documents = list_documents (self);
  for (guint i = 0; i < documents->len; i++)
    release_document (self, ((BsS3Document *) documents->pdata[i])->prefix, cancellable);
  bs_s3_primary_close (&self->primary);
}

static gboolean
close_backing (BsBacking *backing, GCancellable *cancellable, GError **error)
{
  BsS3Backing *self = cast (backing);

  if (!is_forked (self))
    close_all (self, cancellable);
  return TRUE;
}

static void
bs_s3_backing_iface_init (BsBackingInterface *iface)
{
  iface->write = write_blob;
  iface->read = read_blob;
  iface->delete_key = delete_key;
  iface->register_key = register_key;
  iface->persist = persist;
  iface->persist_bytes = persist_bytes;
  iface->delete_persisted = delete_persisted;
  iface->delete_persisted_keys = delete_persisted_keys;
  iface->sanitize_path = sanitize_path;
  iface->sync_persisted = sync_persisted;
  iface->write_root = write_root;
  iface->read_root = read_root;
  iface->verify_persisted = verify_persisted;
  iface->release_path = release_path;
  iface->close = close_backing;
}

static gboolean
bs_s3_backing_initable_init (GInitable *initable, GCancellable *cancellable, GError **error)
{
  BsS3Backing *self = cast (initable);

  self->settings = bs_s3_settings_new (self->uri != NULL ? self->uri : "", error);
  if (self->settings == NULL)
    return FALSE;

  self->client = bs_s3_client_new (self->settings);
  self->primary.directory = g_strdup (self->settings->scratch);
  self->primary.max_cached = self->settings->cache_size;
  return TRUE;
}

static void
bs_s3_backing_initable_iface_init (GInitableIface *iface)
{
  iface->init = bs_s3_backing_initable_init;
}

static void
bs_s3_backing_set_property (GObject *object, guint prop_id, const GValue *value, GParamSpec *pspec)
{
  if (prop_id == PROP_URI)
    cast (object)->uri = g_value_dup_string (value);
  else
    g_atomic_int_set (&cast (object)->read_only, g_value_get_boolean (value));
}

static void
bs_s3_backing_get_property (GObject *object, guint prop_id, GValue *value, GParamSpec *pspec)
{
  if (prop_id == PROP_URI)
    g_value_set_string (value, cast (object)->uri);
  else
    g_value_set_boolean (value, g_atomic_int_get (&cast (object)->read_only));
}

static void
bs_s3_backing_finalize (GObject *object)
{
  BsS3Backing *self = cast (object);

  /* In a child of a fork everything is the parent's. */
  if (!is_forked (self))
    close_all (self, NULL);
  if (self->client != NULL && is_forked (self))
    bs_s3_client_abandon (self->client);
  else if (self->client != NULL)
    bs_s3_client_free (self->client);
  bs_s3_primary_clear (&self->primary);
  g_clear_pointer (&self->settings, bs_s3_settings_free);
  g_hash_table_unref (self->documents);
  g_object_unref (self->used);
  g_object_unref (self->keeping);
  g_mutex_clear (&self->mutex);
  g_mutex_clear (&self->opening);
  g_free (self->owner);
  g_free (self->uri);

  G_OBJECT_CLASS (bs_s3_backing_parent_class)->finalize (object);
}

static void
bs_s3_backing_class_init (BsS3BackingClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->finalize = bs_s3_backing_finalize;
  object_class->get_property = bs_s3_backing_get_property;
  object_class->set_property = bs_s3_backing_set_property;

  g_object_class_install_property (object_class, PROP_URI,
                                   g_param_spec_string ("uri", NULL, NULL, NULL,
                                                        G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY |
                                                          G_PARAM_STATIC_STRINGS));
  g_object_class_install_property (object_class, PROP_READ_ONLY,
                                   g_param_spec_boolean ("read-only", NULL, NULL, FALSE,
                                                         G_PARAM_READWRITE |
                                                           G_PARAM_STATIC_STRINGS));
}

static void
bs_s3_backing_class_finalize (BsS3BackingClass *klass)
{
}

static void
bs_s3_backing_init (BsS3Backing *self)
{
  bs_s3_primary_init (&self->primary);
  g_mutex_init (&self->opening);
  g_mutex_init (&self->mutex);
  self->process = getpid ();
  self->owner = g_uuid_string_random ();
  self->used = bs_key_set_new ();
  self->keeping = g_cancellable_new ();
  self->documents =
    g_hash_table_new_full (g_str_hash, g_str_equal, NULL, (GDestroyNotify) bs_s3_document_unref);
}

G_MODULE_EXPORT void g_io_s3_load (GIOModule *module);
G_MODULE_EXPORT void g_io_s3_unload (GIOModule *module);

void
g_io_s3_load (GIOModule *module)
{
  bs_s3_backing_register_type (G_TYPE_MODULE (module));
  g_io_extension_point_implement (BS_BACKING_EXTENSION_POINT_NAME, bs_s3_backing_get_type (), "s3",
                                  0);
}

void
g_io_s3_unload (GIOModule *module)
{
}
