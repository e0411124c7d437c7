/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "bs-sqlite-changes-private.h"
#include "bs-sqlite-primary-private.h"
#include "bs-sqlite-quarantine-private.h"
#include "bs-sqlite-streams-private.h"
#include "bs-sqlite-transfer-private.h"
#include "bs-sqlite-vfs-private.h"

#include <backingstore/backingstore.h>

#include <glib/gi18n-lib.h>
#include <pthread.h>
#include <string.h>

/* A backing whose persisted paths are databases: a document is one file. */

#define SCHEME "sqlite:"

typedef struct
{
  GObject parent_instance;

  char *uri;
  guint n_forks; /* when it was made */
  BsSqlitePrimary primary;

  GMutex opening; /* held while a path is opened; taken first */
  GMutex mutex;

  int closed;    /* atomic */
  int read_only; /* atomic: documents that are opened from now on */
  int restores;  /* likewise */

  /* under the mutex */
  GHashTable *paths; /* GFile → BsSqliteDocument */
  guint64 n_restored;
} BsSqliteBacking;

typedef struct
{
  GObjectClass parent_class;
} BsSqliteBackingClass;

enum
{
  PROP_URI = 1,
  PROP_READ_ONLY,
  PROP_RESTORES,
  PROP_N_RESTORED,
};

GType bs_sqlite_backing_get_type (void);

static void bs_sqlite_backing_iface_init (BsBackingInterface *iface);
static void bs_sqlite_backing_initable_iface_init (GInitableIface *iface);

G_DEFINE_DYNAMIC_TYPE_EXTENDED (
  BsSqliteBacking,
  bs_sqlite_backing,
  G_TYPE_OBJECT,
  G_TYPE_FLAG_FINAL,
  G_IMPLEMENT_INTERFACE_DYNAMIC (BS_TYPE_BACKING, bs_sqlite_backing_iface_init)
    G_IMPLEMENT_INTERFACE_DYNAMIC (G_TYPE_INITABLE, bs_sqlite_backing_initable_iface_init))

static BsSqliteBacking *
cast (gpointer backing)
{
  return backing;
}

/* How often this process and its ancestors were forked. To ask for the process is a system call
 * that takes a twentieth of a read. */
static guint n_forks;

/* The child has one thread, but ThreadSanitizer still remembers the reads of the parent's. */
__attribute__ ((no_sanitize ("thread"))) static void
count_fork (void)
{
  n_forks++;
}

/* SQLite cannot be carried over a fork. */
static gboolean
is_forked (BsSqliteBacking *self)
{
  return self->n_forks != n_forks;
}

static gboolean
begin (BsSqliteBacking *self, GError **error)
{
  gboolean closed = is_forked (self);

  /* A binding may make an object without init(). */
  if (self->primary.scratch.directory == NULL)
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

static BsSqliteDocument *
dup_document (BsSqliteBacking *self, GFile *path)
{
  BsSqliteDocument *document;

  g_mutex_lock (&self->mutex);
  document = g_hash_table_lookup (self->paths, path);
  if (document != NULL)
    bs_sqlite_document_ref (document);
  g_mutex_unlock (&self->mutex);

  return document;
}

/* Opens the document of a path that has none. */
static BsSqliteDocument *
open_new_document (BsSqliteBacking *self, GFile *path, GError **error)
{
  gboolean read_only = g_atomic_int_get (&self->read_only);
  BsSqliteDocument *document = bs_sqlite_document_open (path, read_only, error);
  guint64 n_restored = 0;
  gboolean success;

  if (document == NULL)
    return NULL;

  success = !g_atomic_int_get (&self->restores) ||
            bs_sqlite_quarantine_restore (document, read_only, &n_restored, error);
  g_mutex_lock (&self->mutex);
  self->n_restored += n_restored;
  if (success)
    g_hash_table_insert (self->paths, g_object_ref (path), bs_sqlite_document_ref (document));
  g_mutex_unlock (&self->mutex);
  if (success)
    return document;

  bs_sqlite_document_close (document);
  bs_sqlite_document_unref (document);
  return NULL;
}

/* Returns the document of a path, which is opened if need be. */
static BsSqliteDocument *
open_document (BsSqliteBacking *self, GFile *path, GError **error)
{
  BsSqliteDocument *document;

  g_mutex_lock (&self->opening);
  document = dup_document (self, path);
  if (document == NULL)
    document = open_new_document (self, path, error);
  g_mutex_unlock (&self->opening);

  return document;
}

static void
end_at (BsSqliteDocument *document)
{
  bs_sqlite_document_unhold (document);
  bs_sqlite_document_unref (document);
}

/* Returns the document of a path, held. */
static BsSqliteDocument *
begin_at (BsSqliteBacking *self, GFile *path, GError **error)
{
  BsSqliteDocument *document;

  if (!begin (self, error))
    return NULL;

  document = open_document (self, path, error);
  if (document == NULL)
    return NULL;

  if (!bs_sqlite_document_hold (document))
    {
      bs_sqlite_document_unref (document);
      g_set_error_literal (error, BS_ERROR, BS_ERROR_CLOSED, _ ("the path is being released"));
      return NULL;
    }
  if (!bs_sqlite_document_settle (document, error))
    {
      end_at (document);
      return NULL;
    }

  return document;
}

/* Begins a write of a key that primary storage does not have. */
static gboolean
begin_new (BsSqliteBacking *self, const char *string, BsSqliteKey *key, GError **error)
{
  if (!begin (self, error))
    return FALSE;

  bs_sqlite_key_parse (string, key);
  if (!bs_sqlite_primary_contains (&self->primary, key))
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
  BsSqliteBacking *self = cast (backing);
  BsSqliteKey key;

  return begin_new (self, string, &key, error) &&
         bs_sqlite_primary_write (&self->primary, &key, bytes, error);
}

static gboolean
write_stream (BsBacking *backing,
              const char *string,
              GInputStream *stream,
              gint64 size,
              GCancellable *cancellable,
              GError **error)
{
  BsSqliteBacking *self = cast (backing);
  g_autoptr (GBytes) bytes = NULL;
  BsSqliteFile *file = NULL;
  BsSqliteKey key;

  if (!begin_new (self, string, &key, error) ||
      !bs_sqlite_take_stream (stream, size, self->primary.scratch.directory, &bytes, &file,
                              cancellable, error))
    return FALSE;
  if (file == NULL)
    return bs_sqlite_primary_write (&self->primary, &key, bytes, error);

  bs_sqlite_primary_add_file (&self->primary, &key, file);
  return TRUE;
}

static gboolean
write_file (BsBacking *backing,
            const char *string,
            GFile *file,
            GCancellable *cancellable,
            GError **error)
{
  g_autoptr (GInputStream) stream = bs_sqlite_open_source (file, cancellable, error);

  return stream != NULL && write_stream (backing, string, stream, -1, cancellable, error);
}

static GInputStream *
read_stream (BsBacking *backing, const char *string, GCancellable *cancellable, GError **error)
{
  BsSqliteBacking *self = cast (backing);
  BsSqliteKey key;

  if (!begin (self, error))
    return NULL;

  bs_sqlite_key_parse (string, &key);
  return bs_sqlite_primary_read_stream (&self->primary, &key, cancellable, error);
}

static GBytes *
read_blob (BsBacking *backing, const char *string, GCancellable *cancellable, GError **error)
{
  BsSqliteBacking *self = cast (backing);
  BsSqliteKey key;

  if (!begin (self, error))
    return NULL;

  bs_sqlite_key_parse (string, &key);
  return bs_sqlite_primary_read (&self->primary, &key, error);
}

static gboolean
delete_key (BsBacking *backing, const char *string, GCancellable *cancellable, GError **error)
{
  BsSqliteBacking *self = cast (backing);
  BsSqliteKey key;

  if (!begin (self, error))
    return FALSE;

  bs_sqlite_key_parse (string, &key);
  bs_sqlite_primary_delete (&self->primary, &key);
  return TRUE;
}

static gboolean
register_key (BsBacking *backing,
              GFile *path,
              const char *string,
              GCancellable *cancellable,
              GError **error)
{
  BsSqliteBacking *self = cast (backing);
  BsSqliteDocument *document = begin_at (self, path, error);
  BsSqliteRow row;
  BsSqliteKey key;
  gboolean found;

  if (document == NULL)
    return FALSE;

  bs_sqlite_key_parse (string, &key);
  found = bs_sqlite_document_lookup (document, &key, &row);
  if (found)
    bs_sqlite_primary_ensure (&self->primary, document, &row);
  end_at (document);

  return found || bs_sqlite_set_not_found (error);
}

static gboolean
persist (BsBacking *backing,
         GFile *path,
         const char *string,
         GCancellable *cancellable,
         GError **error)
{
  BsSqliteBacking *self = cast (backing);
  BsSqliteDocument *document = begin_at (self, path, error);
  BsSqliteKey key;
  gboolean success;

  if (document == NULL)
    return FALSE;

  bs_sqlite_key_parse (string, &key);
  success = bs_sqlite_persist (&self->primary, document, &key, cancellable, error);
  end_at (document);

  return success;
}

static gboolean
persist_bytes (BsBacking *backing,
               GFile *path,
               const char *string,
               GBytes *bytes,
               GCancellable *cancellable,
               GError **error)
{
  BsSqliteBacking *self = cast (backing);
  BsSqliteDocument *document = begin_at (self, path, error);
  BsSqliteKey key;
  gboolean success;

  if (document == NULL)
    return FALSE;

  bs_sqlite_key_parse (string, &key);
  success = bs_sqlite_persist_bytes (&self->primary, document, &key, bytes, cancellable, error);
  end_at (document);

  return success;
}

static gboolean
persist_keys (BsBacking *backing,
              GFile *path,
              BsKeySet *keys,
              GHashTable *contents,
              GCancellable *cancellable,
              GError **error)
{
  BsSqliteBacking *self = cast (backing);
  BsSqliteDocument *document = begin_at (self, path, error);
  gboolean success;

  if (document == NULL)
    return FALSE;

  success = bs_sqlite_persist_keys (&self->primary, document, keys, contents, cancellable, error);
  end_at (document);

  return success;
}

static gboolean
delete_persisted (BsBacking *backing,
                  GFile *path,
                  const char *string,
                  GCancellable *cancellable,
                  GError **error)
{
  BsSqliteBacking *self = cast (backing);
  BsSqliteDocument *document = begin_at (self, path, error);
  gboolean success = TRUE;
  BsSqliteRow row;
  BsSqliteKey key;

  if (document == NULL)
    return FALSE;

  bs_sqlite_key_parse (string, &key);
  if (bs_sqlite_document_lookup (document, &key, &row))
    {
      gboolean held = bs_sqlite_primary_holds (&self->primary, document, &row);

      success = bs_sqlite_document_remove (document, &row, &held, 1, error);
    }
  end_at (document);

  return success;
}

/* The rows of some keys, for a removal. */
typedef struct
{
  BsSqliteBacking *self;
  BsSqliteDocument *document;
  GArray *rows;
  GArray *held;
} Gathering;

static void
gather (const char *string, gpointer data)
{
  Gathering *gathering = data;
  BsSqliteKey key;
  BsSqliteRow row;
  gboolean held;

  bs_sqlite_key_parse (string, &key);
  if (!bs_sqlite_document_lookup (gathering->document, &key, &row))
    return;

  held = bs_sqlite_primary_holds (&gathering->self->primary, gathering->document, &row);
  g_array_append_val (gathering->rows, row);
  g_array_append_val (gathering->held, held);
}

static gboolean
delete_persisted_keys (BsBacking *backing,
                       GFile *path,
                       BsKeySet *keys,
                       GCancellable *cancellable,
                       GError **error)
{
  BsSqliteBacking *self = cast (backing);
  g_autoptr (GArray) rows = g_array_new (FALSE, FALSE, sizeof (BsSqliteRow));
  g_autoptr (GArray) held = g_array_new (FALSE, FALSE, sizeof (gboolean));
  Gathering gathering = { self, begin_at (self, path, error), rows, held };
  gboolean success;

  if (gathering.document == NULL)
    return FALSE;

  bs_key_set_foreach_key (keys, gather, &gathering);
  success = rows->len == 0 ||
            bs_sqlite_document_remove (gathering.document, (const BsSqliteRow *) rows->data,
                                       (const gboolean *) held->data, rows->len, error);
  end_at (gathering.document);

  return success;
}

static BsSqliteDocument *
steal_path (BsSqliteBacking *self, GFile *path)
{
  gpointer file = NULL, document = NULL;

  g_mutex_lock (&self->mutex);
  g_hash_table_steal_extended (self->paths, path, &file, &document);
  g_mutex_unlock (&self->mutex);
  g_clear_object (&file);

  return document;
}

/* Takes `document` over. Blobs that the application still holds outlive its lock. */
static void
release_document (BsSqliteBacking *self, BsSqliteDocument *document)
{
  bs_sqlite_document_retire (document);
  bs_sqlite_primary_release (&self->primary, document);
  bs_sqlite_document_close (document);
  bs_sqlite_document_unref (document);
}

static gboolean
release_path (BsBacking *backing, GFile *path, GCancellable *cancellable, GError **error)
{
  BsSqliteBacking *self = cast (backing);
  BsSqliteDocument *document;

  if (is_forked (self))
    return TRUE;

  document = steal_path (self, path);
  if (document != NULL)
    release_document (self, document);
  return TRUE;
}

static gboolean
sanitize_path (BsBacking *backing,
               GFile *path,
               BsKeySet *found,
               GCancellable *cancellable,
               GError **error)
{
  BsSqliteBacking *self = cast (backing);
  g_autoptr (BsSqliteDocument) document = NULL;

  if (!begin (self, error))
    return FALSE;

  /* Another file may stand there by now. */
  document = dup_document (self, path);
  if (document != NULL && !bs_sqlite_document_is_current (document))
    {
      release_path (backing, path, NULL, NULL);
      g_clear_pointer (&document, bs_sqlite_document_unref);
    }
  if (document == NULL)
    document = open_document (self, path, error);
  if (document == NULL || !bs_sqlite_document_settle (document, error))
    return FALSE;

  bs_sqlite_document_list (document, found);
  return TRUE;
}

static gboolean
sync_persisted (BsBacking *backing, GFile *path, GCancellable *cancellable, GError **error)
{
  BsSqliteDocument *document = begin_at (cast (backing), path, error);
  gboolean success;

  if (document == NULL)
    return FALSE;

  success = bs_sqlite_document_sync (document, error);
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
  BsSqliteDocument *document = begin_at (cast (backing), path, error);
  gboolean success;

  if (document == NULL)
    return FALSE;

  success = bs_sqlite_document_write_root (document, bytes, error);
  end_at (document);
  return success;
}

static GBytes *
read_root (BsBacking *backing, GFile *path, GCancellable *cancellable, GError **error)
{
  BsSqliteDocument *document = begin_at (cast (backing), path, error);
  GBytes *bytes;

  if (document == NULL)
    return NULL;

  bytes = bs_sqlite_document_read_root (document, error);
  end_at (document);
  return bytes;
}

static gboolean
verify_row (BsSqliteDocument *document, const BsSqliteKey *key, GError **error)
{
  g_autoptr (GError) local = NULL;
  g_autoptr (GBytes) bytes = NULL;
  BsSqliteRow row;

  if (!bs_sqlite_document_lookup (document, key, &row))
    return bs_sqlite_set_not_found (error);

  if (bs_sqlite_document_is_large (document, &row))
    {
      if (bs_sqlite_document_read_large (document, &row, NULL, &local))
        return TRUE;
    }
  else
    {
      bytes = bs_sqlite_document_read (document, &row, &local);
      if (bytes != NULL)
        return TRUE;
    }

  if (g_error_matches (local, BS_ERROR, BS_ERROR_CORRUPT) && document->claim->refusal == 0)
    {
      if (!bs_sqlite_document_quarantine (document, &row, error))
        {
          g_prefix_error (error, _ ("the blob is corrupt and can't be set aside: "));
          return FALSE;
        }
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
  BsSqliteDocument *document = begin_at (cast (backing), path, error);
  BsSqliteKey key;
  gboolean success;

  if (document == NULL)
    return FALSE;

  bs_sqlite_key_parse (string, &key);
  success = verify_row (document, &key, error);
  end_at (document);
  return success;
}

static void
close_all (BsSqliteBacking *self)
{
  g_autoptr (GHashTable) paths = NULL;
  BsSqliteDocument *document;
  GHashTableIter iter;

  g_mutex_lock (&self->mutex);
  g_atomic_int_set (&self->closed, TRUE);
  paths = g_steal_pointer (&self->paths);
  g_mutex_unlock (&self->mutex);
  if (paths == NULL)
    return;

  g_hash_table_iter_init (&iter, paths);
  while (g_hash_table_iter_next (&iter, NULL, (gpointer *) &document))
    {
      bs_sqlite_document_retire (document);
      bs_sqlite_document_close (document);
    }
  bs_sqlite_primary_close (&self->primary);
}

static gboolean
close_backing (BsBacking *backing, GCancellable *cancellable, GError **error)
{
  BsSqliteBacking *self = cast (backing);

  if (!is_forked (self))
    close_all (self);
  return TRUE;
}

static void
bs_sqlite_backing_iface_init (BsBackingInterface *iface)
{
  iface->write = write_blob;
  iface->read = read_blob;
  iface->delete_key = delete_key;
  iface->register_key = register_key;
  iface->persist = persist;
  iface->persist_bytes = persist_bytes;
  iface->persist_keys = persist_keys;
  iface->delete_persisted = delete_persisted;
  iface->delete_persisted_keys = delete_persisted_keys;
  iface->sanitize_path = sanitize_path;
  iface->sync_persisted = sync_persisted;
  iface->write_root = write_root;
  iface->read_root = read_root;
  iface->verify_persisted = verify_persisted;
  iface->release_path = release_path;
  iface->close = close_backing;
  iface->read_stream = read_stream;
  iface->write_stream = write_stream;
  iface->write_file = write_file;
}

static gboolean
bs_sqlite_backing_initable_init (GInitable *initable, GCancellable *cancellable, GError **error)
{
  BsSqliteBacking *self = cast (initable);
  g_autofree char *file = NULL;
  g_autofree char *directory = NULL;
  g_autofree char *host = NULL;

  if (self->uri != NULL && g_ascii_strncasecmp (self->uri, SCHEME, strlen (SCHEME)) == 0)
    file = g_strconcat ("file:", self->uri + strlen (SCHEME), NULL);
  if (file != NULL && strpbrk (file, "?#") != NULL)
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                           _ ("a URI of this engine has neither query nor fragment"));
      return FALSE;
    }
  if (file != NULL)
    directory = g_filename_from_uri (file, &host, NULL);
  if (directory == NULL || host != NULL)
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                           _ ("the URI has no local path of a directory for scratch"));
      return FALSE;
    }

  self->primary.scratch.directory = g_steal_pointer (&directory);
  return TRUE;
}

static void
bs_sqlite_backing_initable_iface_init (GInitableIface *iface)
{
  iface->init = bs_sqlite_backing_initable_init;
}

static void
bs_sqlite_backing_set_property (GObject *object,
                                guint prop_id,
                                const GValue *value,
                                GParamSpec *pspec)
{
  if (prop_id == PROP_URI)
    cast (object)->uri = g_value_dup_string (value);
  else if (prop_id == PROP_READ_ONLY)
    g_atomic_int_set (&cast (object)->read_only, g_value_get_boolean (value));
  else
    g_atomic_int_set (&cast (object)->restores, g_value_get_boolean (value));
}

static void
bs_sqlite_backing_get_property (GObject *object, guint prop_id, GValue *value, GParamSpec *pspec)
{
  BsSqliteBacking *self = cast (object);

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
bs_sqlite_backing_finalize (GObject *object)
{
  BsSqliteBacking *self = cast (object);

  /* In a child of a fork everything is the parent's. */
  if (!is_forked (self))
    {
      close_all (self);
      bs_sqlite_primary_clear (&self->primary);
    }
  g_mutex_clear (&self->mutex);
  g_mutex_clear (&self->opening);
  g_free (self->uri);

  G_OBJECT_CLASS (bs_sqlite_backing_parent_class)->finalize (object);
}

static void
bs_sqlite_backing_class_init (BsSqliteBackingClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->finalize = bs_sqlite_backing_finalize;
  object_class->get_property = bs_sqlite_backing_get_property;
  object_class->set_property = bs_sqlite_backing_set_property;

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
bs_sqlite_backing_class_finalize (BsSqliteBackingClass *klass)
{
}

static void
bs_sqlite_backing_init (BsSqliteBacking *self)
{
  bs_sqlite_primary_init (&self->primary);
  g_mutex_init (&self->opening);
  g_mutex_init (&self->mutex);
  self->n_forks = n_forks;
  self->paths = g_hash_table_new_full (g_file_hash, (GEqualFunc) g_file_equal, g_object_unref,
                                       (GDestroyNotify) bs_sqlite_document_unref);
}

G_MODULE_EXPORT void g_io_sqlite_load (GIOModule *module);
G_MODULE_EXPORT void g_io_sqlite_unload (GIOModule *module);

void
g_io_sqlite_load (GIOModule *module)
{
  /* Until the module is unloaded. */
  pthread_atfork (NULL, NULL, count_fork);
  bs_sqlite_backing_register_type (G_TYPE_MODULE (module));
  g_io_extension_point_implement (BS_BACKING_EXTENSION_POINT_NAME, bs_sqlite_backing_get_type (),
                                  "sqlite", 0);
}

void
g_io_sqlite_unload (GIOModule *module)
{
  bs_sqlite_vfs_unregister ();
}
