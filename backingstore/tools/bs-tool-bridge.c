/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "bs-tool-bridge-private.h"

struct _BsToolBridge
{
  GObject parent_instance;

  /* constant */
  BsBacking *from_backing; /* owned, as are the others */
  BsBacking *to_backing;
  GFile *from;
  GFile *to;
};

static void bs_tool_bridge_iface_init (BsBackingInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (BsToolBridge,
                               bs_tool_bridge,
                               G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (BS_TYPE_BACKING, bs_tool_bridge_iface_init))

static BsBacking *
get_backing (BsBacking *bridge, GFile *path)
{
  BsToolBridge *self = BS_TOOL_BRIDGE (bridge);

  return g_file_equal (path, self->from) ? self->from_backing : self->to_backing;
}

/* Contents go from one path to the other and are never in primary storage longer than that
 * takes. */
static gboolean
bs_tool_bridge_write (BsBacking *backing,
                      const char *key,
                      GBytes *bytes,
                      GCancellable *cancellable,
                      GError **error)
{
  g_set_error_literal (error, BS_ERROR, BS_ERROR_NOT_SUPPORTED, "a bridge has no primary storage");
  return FALSE;
}

static gboolean
bs_tool_bridge_delete_key (BsBacking *backing,
                           const char *key,
                           GCancellable *cancellable,
                           GError **error)
{
  return TRUE;
}

static gboolean
bs_tool_bridge_register_key (BsBacking *backing,
                             GFile *path,
                             const char *key,
                             GCancellable *cancellable,
                             GError **error)
{
  return TRUE;
}

static gboolean
bs_tool_bridge_register_keys (BsBacking *backing,
                              GFile *path,
                              BsKeySet *keys,
                              GCancellable *cancellable,
                              GError **error)
{
  return TRUE;
}

static GBytes *
bs_tool_bridge_read (BsBacking *backing, const char *key, GCancellable *cancellable, GError **error)
{
  BsToolBridge *self = BS_TOOL_BRIDGE (backing);
  g_autoptr (GBytes) bytes = NULL;

  if (!bs_backing_register_key (self->from_backing, self->from, key, cancellable, error))
    return NULL;

  bytes = bs_backing_read (self->from_backing, key, cancellable, error);
  bs_backing_delete_key (self->from_backing, key, NULL, NULL);

  return g_steal_pointer (&bytes);
}

/* The one place where a content goes from one engine to the other. It is read to its end, so
 * that its hash is compared. */
static gboolean
transfer (BsToolBridge *self, const char *key, GCancellable *cancellable, GError **error)
{
  g_autoptr (GInputStream) stream = NULL;

  if (!bs_backing_register_key (self->from_backing, self->from, key, cancellable, error))
    return FALSE;

  stream = bs_backing_read_stream (self->from_backing, key, cancellable, error);

  return stream != NULL &&
         bs_backing_write_stream (self->to_backing, key, stream, -1, cancellable, error);
}

static gboolean
bs_tool_bridge_persist (BsBacking *backing,
                        GFile *path,
                        const char *key,
                        GCancellable *cancellable,
                        GError **error)
{
  BsToolBridge *self = BS_TOOL_BRIDGE (backing);
  gboolean persisted = transfer (self, key, cancellable, error) &&
                       bs_backing_persist (self->to_backing, path, key, cancellable, error);

  bs_backing_delete_key (self->from_backing, key, NULL, NULL);
  bs_backing_delete_key (self->to_backing, key, NULL, NULL);

  return persisted;
}

static gboolean
bs_tool_bridge_delete_persisted (BsBacking *backing,
                                 GFile *path,
                                 const char *key,
                                 GCancellable *cancellable,
                                 GError **error)
{
  return bs_backing_delete_persisted (get_backing (backing, path), path, key, cancellable, error);
}

static gboolean
bs_tool_bridge_delete_persisted_keys (BsBacking *backing,
                                      GFile *path,
                                      BsKeySet *keys,
                                      GCancellable *cancellable,
                                      GError **error)
{
  return bs_backing_delete_persisted_keys (get_backing (backing, path), path, keys, cancellable,
                                           error);
}

static gboolean
bs_tool_bridge_sanitize_path (BsBacking *backing,
                              GFile *path,
                              BsKeySet *found,
                              GCancellable *cancellable,
                              GError **error)
{
  return bs_backing_sanitize_path (get_backing (backing, path), path, found, cancellable, error);
}

static gboolean
bs_tool_bridge_sync_persisted (BsBacking *backing,
                               GFile *path,
                               GCancellable *cancellable,
                               GError **error)
{
  return bs_backing_sync_persisted (get_backing (backing, path), path, cancellable, error);
}

static gboolean
bs_tool_bridge_write_root (BsBacking *backing,
                           GFile *path,
                           GBytes *bytes,
                           BsKeySet *named,
                           GCancellable *cancellable,
                           GError **error)
{
  return bs_backing_write_root (get_backing (backing, path), path, bytes, named, cancellable,
                                error);
}

static GBytes *
bs_tool_bridge_read_root (BsBacking *backing,
                          GFile *path,
                          GCancellable *cancellable,
                          GError **error)
{
  return bs_backing_read_root (get_backing (backing, path), path, cancellable, error);
}

static gboolean
bs_tool_bridge_release_path (BsBacking *backing,
                             GFile *path,
                             GCancellable *cancellable,
                             GError **error)
{
  return bs_backing_release_path (get_backing (backing, path), path, cancellable, error);
}

static gboolean
bs_tool_bridge_close (BsBacking *backing, GCancellable *cancellable, GError **error)
{
  BsToolBridge *self = BS_TOOL_BRIDGE (backing);
  gboolean closed = bs_backing_close (self->from_backing, cancellable, error);

  return bs_backing_close (self->to_backing, cancellable, closed ? error : NULL) && closed;
}

static void
bs_tool_bridge_iface_init (BsBackingInterface *iface)
{
  iface->write = bs_tool_bridge_write;
  iface->read = bs_tool_bridge_read;
  iface->delete_key = bs_tool_bridge_delete_key;
  iface->register_key = bs_tool_bridge_register_key;
  iface->register_keys = bs_tool_bridge_register_keys;
  iface->persist = bs_tool_bridge_persist;
  iface->delete_persisted = bs_tool_bridge_delete_persisted;
  iface->delete_persisted_keys = bs_tool_bridge_delete_persisted_keys;
  iface->sanitize_path = bs_tool_bridge_sanitize_path;
  iface->sync_persisted = bs_tool_bridge_sync_persisted;
  iface->write_root = bs_tool_bridge_write_root;
  iface->read_root = bs_tool_bridge_read_root;
  iface->release_path = bs_tool_bridge_release_path;
  iface->close = bs_tool_bridge_close;
}

static void
bs_tool_bridge_finalize (GObject *object)
{
  BsToolBridge *self = BS_TOOL_BRIDGE (object);

  g_clear_object (&self->from_backing);
  g_clear_object (&self->to_backing);
  g_clear_object (&self->from);
  g_clear_object (&self->to);

  G_OBJECT_CLASS (bs_tool_bridge_parent_class)->finalize (object);
}

static void
bs_tool_bridge_class_init (BsToolBridgeClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = bs_tool_bridge_finalize;
}

static void
bs_tool_bridge_init (BsToolBridge *self)
{
}

BsBacking *
bs_tool_bridge_new (BsBacking *from_backing, GFile *from, BsBacking *to_backing, GFile *to)
{
  BsToolBridge *self = g_object_new (BS_TYPE_TOOL_BRIDGE, NULL);

  self->from_backing = g_object_ref (from_backing);
  self->from = g_object_ref (from);
  self->to_backing = g_object_ref (to_backing);
  self->to = g_object_ref (to);

  return BS_BACKING (self);
}
