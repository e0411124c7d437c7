/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* An engine outside of the library: "trace:file:///scratch" does all that
 * "file:///scratch" does, and logs each call with the time that it took. An application
 * shows the log with G_MESSAGES_DEBUG=trace. */

#define G_LOG_DOMAIN "trace"

#include <backingstore/backingstore.h>

#define SCHEME "trace:"

typedef struct
{
  GObject parent_instance;

  char *uri;
  BsBacking *inner; /* made by init() */
} TraceBacking;

typedef struct
{
  GObjectClass parent_class;
} TraceBackingClass;

enum
{
  PROP_URI = 1,
};

GType trace_backing_get_type (void);

static void trace_backing_iface_init (BsBackingInterface *iface);
static void trace_backing_initable_iface_init (GInitableIface *iface);

/* A module's types are dynamic: they belong to the module that registers them. */
G_DEFINE_DYNAMIC_TYPE_EXTENDED (TraceBacking,
                                trace_backing,
                                G_TYPE_OBJECT,
                                0,
                                G_IMPLEMENT_INTERFACE_DYNAMIC (BS_TYPE_BACKING,
                                                               trace_backing_iface_init)
                                  G_IMPLEMENT_INTERFACE_DYNAMIC (G_TYPE_INITABLE,
                                                                 trace_backing_initable_iface_init))

static BsBacking *
get_inner (BsBacking *backing)
{
  return ((TraceBacking *) backing)->inner;
}

/* Returns `success`. */
static gboolean
trace (const char *function, GFile *path, const char *key, gint64 begun, gboolean success)
{
  g_autofree char *name = path != NULL ? g_file_get_parse_name (path) : NULL;

  g_info ("%s %s%s%s: %s in %" G_GINT64_FORMAT " µs", function, key != NULL ? key : "",
          name != NULL ? " at " : "", name != NULL ? name : "", success ? "done" : "failed",
          g_get_monotonic_time () - begun);

  return success;
}

static gboolean
trace_write (BsBacking *backing,
             const char *key,
             GBytes *bytes,
             GCancellable *cancellable,
             GError **error)
{
  gint64 begun = g_get_monotonic_time ();

  return trace ("write", NULL, key, begun,
                bs_backing_write (get_inner (backing), key, bytes, cancellable, error));
}

static GBytes *
trace_read (BsBacking *backing, const char *key, GCancellable *cancellable, GError **error)
{
  gint64 begun = g_get_monotonic_time ();
  GBytes *bytes = bs_backing_read (get_inner (backing), key, cancellable, error);

  trace ("read", NULL, key, begun, bytes != NULL);
  return bytes;
}

static gboolean
trace_delete_key (BsBacking *backing, const char *key, GCancellable *cancellable, GError **error)
{
  gint64 begun = g_get_monotonic_time ();

  return trace ("delete_key", NULL, key, begun,
                bs_backing_delete_key (get_inner (backing), key, cancellable, error));
}

static gboolean
trace_register_key (BsBacking *backing,
                    GFile *path,
                    const char *key,
                    GCancellable *cancellable,
                    GError **error)
{
  gint64 begun = g_get_monotonic_time ();

  return trace ("register_key", path, key, begun,
                bs_backing_register_key (get_inner (backing), path, key, cancellable, error));
}

static gboolean
trace_register_keys (BsBacking *backing,
                     GFile *path,
                     BsKeySet *keys,
                     GCancellable *cancellable,
                     GError **error)
{
  gint64 begun = g_get_monotonic_time ();

  return trace ("register_keys", path, NULL, begun,
                bs_backing_register_keys (get_inner (backing), path, keys, cancellable, error));
}

static gboolean
trace_persist (BsBacking *backing,
               GFile *path,
               const char *key,
               GCancellable *cancellable,
               GError **error)
{
  gint64 begun = g_get_monotonic_time ();

  return trace ("persist", path, key, begun,
                bs_backing_persist (get_inner (backing), path, key, cancellable, error));
}

static gboolean
trace_persist_bytes (BsBacking *backing,
                     GFile *path,
                     const char *key,
                     GBytes *bytes,
                     GCancellable *cancellable,
                     GError **error)
{
  gint64 begun = g_get_monotonic_time ();

  return trace ("persist_bytes", path, key, begun,
                bs_backing_persist_bytes (get_inner (backing), path, key, bytes, cancellable,
                                          error));
}

static gboolean
trace_persist_keys (BsBacking *backing,
                    GFile *path,
                    BsKeySet *keys,
                    GHashTable *contents,
                    GCancellable *cancellable,
                    GError **error)
{
  gint64 begun = g_get_monotonic_time ();

  return trace ("persist_keys", path, NULL, begun,
                bs_backing_persist_keys (get_inner (backing), path, keys, contents, cancellable,
                                         error));
}

static gboolean
trace_delete_persisted (BsBacking *backing,
                        GFile *path,
                        const char *key,
                        GCancellable *cancellable,
                        GError **error)
{
  gint64 begun = g_get_monotonic_time ();

  return trace ("delete_persisted", path, key, begun,
                bs_backing_delete_persisted (get_inner (backing), path, key, cancellable, error));
}

static gboolean
trace_delete_persisted_keys (BsBacking *backing,
                             GFile *path,
                             BsKeySet *keys,
                             GCancellable *cancellable,
                             GError **error)
{
  gint64 begun = g_get_monotonic_time ();

  return trace ("delete_persisted_keys", path, NULL, begun,
                bs_backing_delete_persisted_keys (get_inner (backing), path, keys, cancellable,
                                                  error));
}

static gboolean
trace_sanitize_path (BsBacking *backing,
                     GFile *path,
                     BsKeySet *found,
                     GCancellable *cancellable,
                     GError **error)
{
  gint64 begun = g_get_monotonic_time ();

  return trace ("sanitize_path", path, NULL, begun,
                bs_backing_sanitize_path (get_inner (backing), path, found, cancellable, error));
}

static gboolean
trace_sync_persisted (BsBacking *backing, GFile *path, GCancellable *cancellable, GError **error)
{
  gint64 begun = g_get_monotonic_time ();

  return trace ("sync_persisted", path, NULL, begun,
                bs_backing_sync_persisted (get_inner (backing), path, cancellable, error));
}

static gboolean
trace_write_root (BsBacking *backing,
                  GFile *path,
                  GBytes *bytes,
                  BsKeySet *named,
                  GCancellable *cancellable,
                  GError **error)
{
  gint64 begun = g_get_monotonic_time ();

  return trace ("write_root", path, NULL, begun,
                bs_backing_write_root (get_inner (backing), path, bytes, named, cancellable,
                                       error));
}

static GBytes *
trace_read_root (BsBacking *backing, GFile *path, GCancellable *cancellable, GError **error)
{
  gint64 begun = g_get_monotonic_time ();
  GBytes *bytes = bs_backing_read_root (get_inner (backing), path, cancellable, error);

  trace ("read_root", path, NULL, begun, bytes != NULL);
  return bytes;
}

static gboolean
trace_verify_persisted (BsBacking *backing,
                        GFile *path,
                        const char *key,
                        GCancellable *cancellable,
                        GError **error)
{
  gint64 begun = g_get_monotonic_time ();

  return trace ("verify_persisted", path, key, begun,
                bs_backing_verify_persisted (get_inner (backing), path, key, cancellable, error));
}

static gboolean
trace_release_path (BsBacking *backing, GFile *path, GCancellable *cancellable, GError **error)
{
  gint64 begun = g_get_monotonic_time ();

  return trace ("release_path", path, NULL, begun,
                bs_backing_release_path (get_inner (backing), path, cancellable, error));
}

static gboolean
trace_close (BsBacking *backing, GCancellable *cancellable, GError **error)
{
  gint64 begun = g_get_monotonic_time ();

  return trace ("close", NULL, NULL, begun,
                bs_backing_close (get_inner (backing), cancellable, error));
}

static void
trace_backing_iface_init (BsBackingInterface *iface)
{
  iface->write = trace_write;
  iface->read = trace_read;
  iface->delete_key = trace_delete_key;
  iface->register_key = trace_register_key;
  iface->register_keys = trace_register_keys;
  iface->persist = trace_persist;
  iface->persist_bytes = trace_persist_bytes;
  iface->persist_keys = trace_persist_keys;
  iface->delete_persisted = trace_delete_persisted;
  iface->delete_persisted_keys = trace_delete_persisted_keys;
  iface->sanitize_path = trace_sanitize_path;
  iface->sync_persisted = trace_sync_persisted;
  iface->write_root = trace_write_root;
  iface->read_root = trace_read_root;
  iface->verify_persisted = trace_verify_persisted;
  iface->release_path = trace_release_path;
  iface->close = trace_close;
}

/* The place to refuse a URI. */
static gboolean
trace_backing_initable_init (GInitable *initable, GCancellable *cancellable, GError **error)
{
  TraceBacking *self = (TraceBacking *) initable;

  self->inner = bs_backing_new_for_uri (self->uri + strlen (SCHEME), error);
  return self->inner != NULL;
}

static void
trace_backing_initable_iface_init (GInitableIface *iface)
{
  iface->init = trace_backing_initable_init;
}

static void
trace_backing_set_property (GObject *object, guint prop_id, const GValue *value, GParamSpec *pspec)
{
  ((TraceBacking *) object)->uri = g_value_dup_string (value);
}

static void
trace_backing_get_property (GObject *object, guint prop_id, GValue *value, GParamSpec *pspec)
{
  g_value_set_string (value, ((TraceBacking *) object)->uri);
}

static void
trace_backing_finalize (GObject *object)
{
  TraceBacking *self = (TraceBacking *) object;

  g_clear_object (&self->inner);
  g_free (self->uri);

  G_OBJECT_CLASS (trace_backing_parent_class)->finalize (object);
}

static void
trace_backing_class_init (TraceBackingClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->finalize = trace_backing_finalize;
  object_class->get_property = trace_backing_get_property;
  object_class->set_property = trace_backing_set_property;

  g_object_class_install_property (object_class, PROP_URI,
                                   g_param_spec_string ("uri", NULL, NULL, NULL,
                                                        G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY |
                                                          G_PARAM_STATIC_STRINGS));
}

static void
trace_backing_class_finalize (TraceBackingClass *klass)
{
}

static void
trace_backing_init (TraceBacking *self)
{
}

/* GIO finds these two in libtrace.so by their names. */
G_MODULE_EXPORT void g_io_trace_load (GIOModule *module);
G_MODULE_EXPORT void g_io_trace_unload (GIOModule *module);

void
g_io_trace_load (GIOModule *module)
{
  trace_backing_register_type (G_TYPE_MODULE (module));
  g_io_extension_point_implement (BS_BACKING_EXTENSION_POINT_NAME, trace_backing_get_type (),
                                  "trace", 0);
}

void
g_io_trace_unload (GIOModule *module)
{
}
