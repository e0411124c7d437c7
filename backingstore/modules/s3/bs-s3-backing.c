/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "bs-s3-blobs-private.h"
#include "bs-s3-documents-private.h"
#include "bs-s3-quarantine-private.h"
#include "bs-s3-stream-private.h"

#include <backingstore/backingstore.h>

#include <glib/gi18n-lib.h>
#include <string.h>
#include <unistd.h>

/* The type of the backing, and its calls at paths: bs-s3-blobs.c has those at blobs.
 *
 * The store has one call at a time for each key, so what is known of a key holds for the
 * length of a call. */

typedef struct
{
  GObjectClass parent_class;
} BsS3BackingClass;

enum
{
  PROP_URI = 1,
  PROP_READ_ONLY,
  PROP_RESTORES,
  PROP_N_RESTORED,
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
release_path (BsBacking *backing, GFile *path, GCancellable *cancellable, GError **error)
{
  BsS3Backing *self = cast (backing);
  g_autofree char *prefix = NULL;

  if (bs_s3_backing_is_forked (self) || self->client == NULL)
    return TRUE;

  prefix = bs_s3_settings_get_path (self->settings, path, NULL);
  return prefix == NULL || bs_s3_backing_release (self, prefix, cancellable, error);
}

/* The document is open, so that its lease is renewed however long this takes. */
static gboolean
restore (BsS3Backing *self, GFile *path, GCancellable *cancellable, GError **error)
{
  BsS3Document *document = bs_s3_backing_begin_at (self, path, cancellable, error);
  guint64 n_restored = 0;
  gboolean success;

  if (document == NULL)
    return FALSE;

  success = bs_s3_restore (self, document, g_atomic_int_get (&self->read_only), &n_restored,
                           cancellable, error);
  bs_s3_backing_end_at (document);
  g_mutex_lock (&self->mutex);
  self->n_restored += n_restored;
  g_mutex_unlock (&self->mutex);
  return success;
}

/* Two tracked paths with one document would replace each other's roots. */
static gboolean
check_spelling (BsS3Document *document, GFile *path, GError **error)
{
  g_autofree char *uri = g_file_get_uri (path);

  if (g_str_equal (uri, document->uri))
    return TRUE;

  g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, _ ("the document is tracked as %s"),
               document->uri);
  return FALSE;
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

  document = bs_s3_backing_open_document (self, path, cancellable, error);
  if (document != NULL && bs_s3_document_is_lost (document))
    {
      release_path (backing, path, cancellable, NULL);
      g_clear_pointer (&document, bs_s3_document_unref);
      document = bs_s3_backing_open_document (self, path, cancellable, error);
    }
  if (document == NULL || !check_spelling (document, path, error))
    return FALSE;

  if (g_atomic_int_get (&self->restores) && !restore (self, path, cancellable, error))
    {
      release_path (backing, path, cancellable, NULL);
      return FALSE;
    }

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
close_all (BsS3Backing *self, GCancellable *cancellable)
{
  if (!g_atomic_int_compare_and_exchange (&self->closed, FALSE, TRUE) || self->client == NULL)
    return;

  bs_s3_backing_release_all (self, cancellable);
  bs_s3_primary_close (&self->primary);
}

static gboolean
close_backing (BsBacking *backing, GCancellable *cancellable, GError **error)
{
  BsS3Backing *self = cast (backing);

  if (!bs_s3_backing_is_forked (self))
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
  else if (prop_id == PROP_READ_ONLY)
    g_atomic_int_set (&cast (object)->read_only, g_value_get_boolean (value));
  else
    g_atomic_int_set (&cast (object)->restores, g_value_get_boolean (value));
}

static void
bs_s3_backing_get_property (GObject *object, guint prop_id, GValue *value, GParamSpec *pspec)
{
  BsS3Backing *self = cast (object);

  switch (prop_id)
    {
    case PROP_URI:
      g_value_set_string (value, self->uri);
      break;
    case PROP_READ_ONLY:
      g_value_set_boolean (value, g_atomic_int_get (&self->read_only));
      break;
    case PROP_RESTORES:
      g_value_set_boolean (value, g_atomic_int_get (&self->restores));
      break;
    default:
      g_mutex_lock (&self->mutex);
      g_value_set_uint64 (value, self->n_restored);
      g_mutex_unlock (&self->mutex);
      break;
    }
}

static void
bs_s3_backing_finalize (GObject *object)
{
  BsS3Backing *self = cast (object);

  /* In a child of a fork everything is the parent's. */
  if (!bs_s3_backing_is_forked (self))
    close_all (self, NULL);
  if (self->client != NULL && bs_s3_backing_is_forked (self))
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
  g_object_class_install_property (object_class, PROP_RESTORES,
                                   g_param_spec_boolean ("restores", NULL, NULL, FALSE,
                                                         G_PARAM_READWRITE |
                                                           G_PARAM_STATIC_STRINGS));
  g_object_class_install_property (object_class, PROP_N_RESTORED,
                                   g_param_spec_uint64 ("n-restored", NULL, NULL, 0, G_MAXUINT64, 0,
                                                        G_PARAM_READABLE | G_PARAM_STATIC_STRINGS));
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
  bs_s3_stream_register (G_TYPE_MODULE (module));
  g_io_extension_point_implement (BS_BACKING_EXTENSION_POINT_NAME, bs_s3_backing_get_type (), "s3",
                                  0);
}

void
g_io_s3_unload (GIOModule *module)
{
}
