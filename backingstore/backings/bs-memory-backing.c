/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "bs-memory-backing.h"

#include "base/bs-error.h"
#include "base/bs-key-backing-private.h"
#include "base/bs-key-set-private.h"
#include "bs-blob-table-private.h"

#include <glib/gi18n-lib.h>
#include <inttypes.h>

/**
 * BsMemoryBacking:
 *
 * A backing that keeps everything in memory.
 *
 * A memory backing is meant for tests, for applications that want the pool without a disk,
 * and as the shortest complete example of a [iface@Backing]: all its virtual
 * functions behave as the interface says.
 *
 * Persisted paths are names only. Any [iface@Gio.File] will do, of any
 * scheme; two that are equal name the same path. Persisted blobs live as
 * long as the backing does: neither [method@Backing.release_path] nor
 * [method@Backing.close] forgets it, so a second store over the same backing
 * finds it again, as it would find files on a disk. Closing empties primary
 * storage, and the backing can be used again afterwards.
 *
 * Blobs are not copied: the bytes that were written are the ones that are read.
 *
 * A memory backing is safe to use from any thread.
 */

#define MEMORY_URI "memory:"

typedef struct
{
  BsBlobTable blobs;
  GBytes *root;
} MemoryPath;

struct _BsMemoryBacking
{
  GObject parent_instance;

  char *uri; /* constant; NULL unless it was made for one */
  GMutex mutex;

  /* Under the mutex. A path is never removed, so that a pointer to it is valid as long
   * as the backing. Bytes are dropped outside the mutex: that may run a destroy notify
   * of the application. */
  BsBlobTable primary;
  GHashTable *paths; /* GFile → MemoryPath */
};

static void bs_memory_backing_iface_init (BsBackingInterface *iface);
static void bs_memory_backing_initable_iface_init (GInitableIface *iface);

enum
{
  PROP_URI = 1,
  N_PROPS
};

static GParamSpec *properties[N_PROPS];

G_DEFINE_FINAL_TYPE_WITH_CODE (BsMemoryBacking,
                               bs_memory_backing,
                               G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (BS_TYPE_BACKING, bs_memory_backing_iface_init)
                                 G_IMPLEMENT_INTERFACE (G_TYPE_INITABLE,
                                                        bs_memory_backing_initable_iface_init))

static void
memory_path_free (MemoryPath *path)
{
  bs_blob_table_clear (&path->blobs);
  g_clear_pointer (&path->root, g_bytes_unref);
  g_free (path);
}

/* Returns NULL for a path that was never used. Called with the mutex held. */
static MemoryPath *
find_path (BsMemoryBacking *self, GFile *file)
{
  return g_hash_table_lookup (self->paths, file);
}

/* Called with the mutex held. */
static MemoryPath *
ensure_path (BsMemoryBacking *self, GFile *file)
{
  MemoryPath *path = find_path (self, file);

  if (path == NULL)
    {
      path = g_new0 (MemoryPath, 1);
      g_hash_table_insert (self->paths, g_object_ref (file), path);
    }

  return path;
}

static void
set_not_found (GError **error)
{
  g_set_error_literal (error, BS_ERROR, BS_ERROR_NOT_FOUND, _ ("no such blob"));
}

static gboolean
register_one (BsMemoryBacking *self, MemoryPath *path, const BsKey *key, GError **error)
{
  GBytes *bytes = NULL;

  g_mutex_lock (&self->mutex);
  if (path != NULL)
    bytes = bs_blob_table_lookup (&path->blobs, key);
  if (bytes != NULL)
    bs_blob_table_add (&self->primary, key, bytes);
  g_mutex_unlock (&self->mutex);

  if (bytes == NULL)
    set_not_found (error);

  return bytes != NULL;
}

static void
delete_one (BsMemoryBacking *self, MemoryPath *path, const BsKey *key)
{
  g_autoptr (GBytes) bytes = NULL;

  g_mutex_lock (&self->mutex);
  bytes = bs_blob_table_steal (path != NULL ? &path->blobs : &self->primary, key);
  g_mutex_unlock (&self->mutex);
}

static gboolean
bs_memory_backing_write (BsBacking *backing,
                         const BsKey *key,
                         GBytes *bytes,
                         GCancellable *cancellable,
                         GError **error)
{
  BsMemoryBacking *self = BS_MEMORY_BACKING (backing);
  gboolean added;

  g_mutex_lock (&self->mutex);
  added = bs_blob_table_add (&self->primary, key, bytes);
  g_mutex_unlock (&self->mutex);

  if (!added)
    g_set_error_literal (error, BS_ERROR, BS_ERROR_EXISTS,
                         _ ("primary storage has the key already"));

  return added;
}

static GBytes *
bs_memory_backing_read (BsBacking *backing,
                        const BsKey *key,
                        GCancellable *cancellable,
                        GError **error)
{
  BsMemoryBacking *self = BS_MEMORY_BACKING (backing);
  GBytes *bytes;

  g_mutex_lock (&self->mutex);
  bytes = bs_blob_table_lookup (&self->primary, key);
  if (bytes != NULL)
    g_bytes_ref (bytes);
  g_mutex_unlock (&self->mutex);

  if (bytes == NULL)
    set_not_found (error);

  return bytes;
}

/* The defaults for writing do all that there is to do in memory. */
static GInputStream *
bs_memory_backing_read_stream (BsBacking *backing,
                               const BsKey *key,
                               GCancellable *cancellable,
                               GError **error)
{
  g_autoptr (GBytes) bytes = bs_memory_backing_read (backing, key, cancellable, error);

  return bytes != NULL ? g_memory_input_stream_new_from_bytes (bytes) : NULL;
}

static gboolean
bs_memory_backing_delete_key (BsBacking *backing,
                              const BsKey *key,
                              GCancellable *cancellable,
                              GError **error)
{
  BsMemoryBacking *self = BS_MEMORY_BACKING (backing);

  delete_one (self, NULL, key);

  return TRUE;
}

static gboolean
bs_memory_backing_register_key (BsBacking *backing,
                                GFile *file,
                                const BsKey *key,
                                GCancellable *cancellable,
                                GError **error)
{
  BsMemoryBacking *self = BS_MEMORY_BACKING (backing);
  MemoryPath *path;

  g_mutex_lock (&self->mutex);
  path = find_path (self, file);
  g_mutex_unlock (&self->mutex);

  return register_one (self, path, key, error);
}

static gboolean
bs_memory_backing_register_keys (BsBacking *backing,
                                 GFile *file,
                                 BsKeySet *keys,
                                 GCancellable *cancellable,
                                 GError **error)
{
  BsMemoryBacking *self = BS_MEMORY_BACKING (backing);
  const BsKeyTable *table = bs_key_set_get_table (keys);
  BsKeyTableIter iter = { 0 };
  guint64 n_done = 0;
  MemoryPath *path;
  const BsKey *key;

  g_mutex_lock (&self->mutex);
  path = find_path (self, file);
  g_mutex_unlock (&self->mutex);

  for (; bs_key_table_iter_next (table, &iter, &key); n_done++)
    {
      char string[BS_KEY_STRING_SIZE];

      if (!g_cancellable_set_error_if_cancelled (cancellable, error) &&
          register_one (self, path, key, error))
        continue;

      bs_key_print (key, string);
      g_prefix_error (error, _ ("%" PRIu64 " of %" PRIu64 " done: %s: "), n_done, table->n_keys,
                      string);
      return FALSE;
    }

  return TRUE;
}

static gboolean
bs_memory_backing_persist (BsBacking *backing,
                           GFile *file,
                           const BsKey *key,
                           GCancellable *cancellable,
                           GError **error)
{
  BsMemoryBacking *self = BS_MEMORY_BACKING (backing);
  gboolean found = TRUE;
  MemoryPath *path;
  GBytes *bytes;

  g_mutex_lock (&self->mutex);
  path = ensure_path (self, file);
  bytes = bs_blob_table_lookup (&self->primary, key);
  if (bytes != NULL)
    bs_blob_table_add (&path->blobs, key, bytes);
  else
    found = bs_blob_table_lookup (&path->blobs, key) != NULL;
  g_mutex_unlock (&self->mutex);

  if (!found)
    set_not_found (error);

  return found;
}

static gboolean
bs_memory_backing_delete_persisted (BsBacking *backing,
                                    GFile *file,
                                    const BsKey *key,
                                    GCancellable *cancellable,
                                    GError **error)
{
  BsMemoryBacking *self = BS_MEMORY_BACKING (backing);
  MemoryPath *path;

  g_mutex_lock (&self->mutex);
  path = find_path (self, file);
  g_mutex_unlock (&self->mutex);

  if (path != NULL)
    delete_one (self, path, key);

  return TRUE;
}

static gboolean
bs_memory_backing_delete_persisted_keys (BsBacking *backing,
                                         GFile *file,
                                         BsKeySet *keys,
                                         GCancellable *cancellable,
                                         GError **error)
{
  BsMemoryBacking *self = BS_MEMORY_BACKING (backing);
  BsKeyTableIter iter = { 0 };
  MemoryPath *path;
  const BsKey *key;

  g_mutex_lock (&self->mutex);
  path = find_path (self, file);
  g_mutex_unlock (&self->mutex);

  while (bs_key_table_iter_next (bs_key_set_get_table (keys), &iter, &key))
    {
      if (g_cancellable_set_error_if_cancelled (cancellable, error))
        return FALSE;

      if (path != NULL)
        delete_one (self, path, key);
    }

  return TRUE;
}

static gboolean
bs_memory_backing_sanitize_path (BsBacking *backing,
                                 GFile *file,
                                 BsKeySet *found,
                                 GCancellable *cancellable,
                                 GError **error)
{
  BsMemoryBacking *self = BS_MEMORY_BACKING (backing);
  BsKeyTable *table = bs_key_set_get_table (found);
  MemoryPath *path;

  g_mutex_lock (&self->mutex);
  path = ensure_path (self, file);
  bs_key_table_reserve (table, table->n_keys + path->blobs.n_entries);
  for (gsize i = 0; path->blobs.entries != NULL && i <= path->blobs.mask; i++)
    {
      const BsBlobEntry *entry = &path->blobs.entries[i];

      if (entry->bytes != NULL)
        bs_key_table_add (table, &entry->key, bs_key_hash (&entry->key));
    }
  g_mutex_unlock (&self->mutex);

  return TRUE;
}

static gboolean
bs_memory_backing_sync_persisted (BsBacking *backing,
                                  GFile *file,
                                  GCancellable *cancellable,
                                  GError **error)
{
  return TRUE;
}

static gboolean
bs_memory_backing_write_root (BsBacking *backing,
                              GFile *file,
                              GBytes *bytes,
                              BsKeySet *named,
                              GCancellable *cancellable,
                              GError **error)
{
  BsMemoryBacking *self = BS_MEMORY_BACKING (backing);
  g_autoptr (GBytes) old_root = NULL;
  MemoryPath *path;

  g_mutex_lock (&self->mutex);
  path = ensure_path (self, file);
  old_root = g_steal_pointer (&path->root);
  path->root = g_bytes_ref (bytes);
  g_mutex_unlock (&self->mutex);

  return TRUE;
}

static GBytes *
bs_memory_backing_read_root (BsBacking *backing,
                             GFile *file,
                             GCancellable *cancellable,
                             GError **error)
{
  BsMemoryBacking *self = BS_MEMORY_BACKING (backing);
  GBytes *root = NULL;
  MemoryPath *path;

  g_mutex_lock (&self->mutex);
  path = find_path (self, file);
  if (path != NULL && path->root != NULL)
    root = g_bytes_ref (path->root);
  g_mutex_unlock (&self->mutex);

  if (root == NULL)
    g_set_error_literal (error, BS_ERROR, BS_ERROR_NOT_FOUND, _ ("the path has no root blob"));

  return root;
}

static gboolean
bs_memory_backing_close (BsBacking *backing, GCancellable *cancellable, GError **error)
{
  BsMemoryBacking *self = BS_MEMORY_BACKING (backing);
  BsBlobTable primary;

  g_mutex_lock (&self->mutex);
  primary = self->primary;
  memset (&self->primary, 0, sizeof self->primary);
  g_mutex_unlock (&self->mutex);

  bs_blob_table_clear (&primary);

  return TRUE;
}

static gboolean
bs_memory_backing_initable_init (GInitable *initable, GCancellable *cancellable, GError **error)
{
  BsMemoryBacking *self = BS_MEMORY_BACKING (initable);

  if (self->uri == NULL || g_ascii_strcasecmp (self->uri, MEMORY_URI) == 0)
    return TRUE;

  g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                       "nothing may follow “" MEMORY_URI "”");
  return FALSE;
}

static void
bs_memory_backing_get_property (GObject *object, guint prop_id, GValue *value, GParamSpec *pspec)
{
  BsMemoryBacking *self = BS_MEMORY_BACKING (object);

  switch (prop_id)
    {
    case PROP_URI:
      g_value_set_string (value, self->uri != NULL ? self->uri : MEMORY_URI);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
bs_memory_backing_set_property (GObject *object,
                                guint prop_id,
                                const GValue *value,
                                GParamSpec *pspec)
{
  BsMemoryBacking *self = BS_MEMORY_BACKING (object);

  switch (prop_id)
    {
    case PROP_URI:
      self->uri = g_value_dup_string (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
bs_memory_backing_finalize (GObject *object)
{
  BsMemoryBacking *self = BS_MEMORY_BACKING (object);

  g_free (self->uri);
  bs_blob_table_clear (&self->primary);
  g_hash_table_unref (self->paths);
  g_mutex_clear (&self->mutex);

  G_OBJECT_CLASS (bs_memory_backing_parent_class)->finalize (object);
}

static void
bs_memory_backing_class_init (BsMemoryBackingClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->finalize = bs_memory_backing_finalize;
  object_class->get_property = bs_memory_backing_get_property;
  object_class->set_property = bs_memory_backing_set_property;

  /**
   * BsMemoryBacking:uri:
   *
   * The URI that [func@Backing.new_for_uri] makes such a backing for: `memory:`, and
   * nothing else. It never changes.
   */
  properties[PROP_URI] = g_param_spec_string ("uri", NULL, NULL, NULL,
                                              G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY |
                                                G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static void
bs_memory_backing_initable_iface_init (GInitableIface *iface)
{
  iface->init = bs_memory_backing_initable_init;
}

static void
bs_memory_backing_iface_init (BsBackingInterface *iface)
{
  static const BsKeyBackingFuncs funcs = {
    .write = bs_memory_backing_write,
    .read = bs_memory_backing_read,
    .delete_key = bs_memory_backing_delete_key,
    .register_key = bs_memory_backing_register_key,
    .persist = bs_memory_backing_persist,
    .delete_persisted = bs_memory_backing_delete_persisted,
    .read_stream = bs_memory_backing_read_stream,
  };

  bs_key_backing_init_interface (iface, &funcs);
  iface->register_keys = bs_memory_backing_register_keys;
  iface->delete_persisted_keys = bs_memory_backing_delete_persisted_keys;
  iface->sanitize_path = bs_memory_backing_sanitize_path;
  iface->sync_persisted = bs_memory_backing_sync_persisted;
  iface->write_root = bs_memory_backing_write_root;
  iface->read_root = bs_memory_backing_read_root;
  iface->close = bs_memory_backing_close;
}

static void
bs_memory_backing_init (BsMemoryBacking *self)
{
  g_mutex_init (&self->mutex);
  self->paths = g_hash_table_new_full (g_file_hash, (GEqualFunc) g_file_equal, g_object_unref,
                                       (GDestroyNotify) memory_path_free);
}

/**
 * bs_memory_backing_new:
 *
 * Creates an empty backing in memory.
 *
 * Returns: (transfer full): a new backing
 */
BsMemoryBacking *
bs_memory_backing_new (void)
{
  return g_object_new (BS_TYPE_MEMORY_BACKING, NULL);
}
