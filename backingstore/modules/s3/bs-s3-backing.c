/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "bs-s3-backing-private.h"

#include <backingstore/backingstore.h>

#include <glib/gi18n-lib.h>
#include <string.h>
#include <unistd.h>

/* The backing itself, and the documents that it has open: bs-s3-blobs.c deals with blobs.
 *
 * The store has one call at a time for each key, so what is known of a key holds for the
 * length of a call. */

/* How often leases are looked at; each is renewed when a third of it is over. */
#define LEASE_STEPS 12

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

/* Connections cannot be carried over a fork. */
static gboolean
is_forked (BsS3Backing *self)
{
  return self->process != getpid ();
}

gboolean
bs_s3_backing_begin (BsS3Backing *self, GError **error)
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
        add_document (self, document);
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

/* Returns the document of a path, held. */
BsS3Document *
bs_s3_backing_begin_at (BsS3Backing *self, GFile *path, GCancellable *cancellable, GError **error)
{
  BsS3Document *document;

  if (!bs_s3_backing_begin (self, error))
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

  if (!bs_s3_backing_begin (self, error))
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
  BsS3Document *document = bs_s3_backing_begin_at (cast (backing), path, cancellable, error);
  gboolean success;

  if (document == NULL)
    return FALSE;

  success = document->refusal != NULL || bs_s3_document_check (document, cancellable, error);
  bs_s3_backing_end_at (document);
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
  BsS3Document *document = bs_s3_backing_begin_at (cast (backing), path, cancellable, error);
  gboolean success;

  if (document == NULL)
    return FALSE;

  success = bs_s3_document_write_root (document, bytes, named, cancellable, error);
  bs_s3_backing_end_at (document);
  return success;
}

static GBytes *
read_root (BsBacking *backing, GFile *path, GCancellable *cancellable, GError **error)
{
  BsS3Document *document = bs_s3_backing_begin_at (cast (backing), path, cancellable, error);
  GBytes *bytes;

  if (document == NULL)
    return NULL;

  bytes = bs_s3_document_read_root (document, cancellable, error);
  bs_s3_backing_end_at (document);
  return bytes;
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
  bs_s3_blobs_iface_init (iface);
  iface->sanitize_path = sanitize_path;
  iface->sync_persisted = sync_persisted;
  iface->write_root = write_root;
  iface->read_root = read_root;
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
