/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <gio/gio.h>

#include <backingstore/base/bs-key-set.h>
#include <backingstore/bs-version.h>

G_BEGIN_DECLS

#define BS_TYPE_BACKING (bs_backing_get_type ())
BS_AVAILABLE_IN_1_0
G_DECLARE_INTERFACE (BsBacking, bs_backing, BS, BACKING, GObject)

/**
 * BsOperation:
 * @BS_OPERATION_WRITE: [method@Backing.write]
 * @BS_OPERATION_READ: [method@Backing.read]
 * @BS_OPERATION_DELETE_KEY: [method@Backing.delete_key]
 * @BS_OPERATION_REGISTER_KEY: [method@Backing.register_key]
 * @BS_OPERATION_REGISTER_KEYS: [method@Backing.register_keys]
 * @BS_OPERATION_PERSIST: [method@Backing.persist]
 * @BS_OPERATION_PERSIST_BYTES: [method@Backing.persist_bytes]
 * @BS_OPERATION_PERSIST_KEYS: [method@Backing.persist_keys]
 * @BS_OPERATION_DELETE_PERSISTED: [method@Backing.delete_persisted]
 * @BS_OPERATION_DELETE_PERSISTED_KEYS: [method@Backing.delete_persisted_keys]
 * @BS_OPERATION_SANITIZE_PATH: [method@Backing.sanitize_path]
 * @BS_OPERATION_SYNC_PERSISTED: [method@Backing.sync_persisted]
 * @BS_OPERATION_WRITE_ROOT: [method@Backing.write_root]
 * @BS_OPERATION_READ_ROOT: [method@Backing.read_root]
 * @BS_OPERATION_VERIFY_PERSISTED: [method@Backing.verify_persisted]
 * @BS_OPERATION_RELEASE_PATH: [method@Backing.release_path]
 * @BS_OPERATION_CLOSE: [method@Backing.close]
 * @BS_OPERATION_READ_STREAM: [method@Backing.read_stream]
 * @BS_OPERATION_WRITE_STREAM: [method@Backing.write_stream]
 * @BS_OPERATION_WRITE_FILE: [method@Backing.write_file]
 *
 * The virtual functions of a [iface@Backing].
 */
typedef enum
{
  BS_OPERATION_WRITE,
  BS_OPERATION_READ,
  BS_OPERATION_DELETE_KEY,
  BS_OPERATION_REGISTER_KEY,
  BS_OPERATION_REGISTER_KEYS,
  BS_OPERATION_PERSIST,
  BS_OPERATION_PERSIST_BYTES,
  BS_OPERATION_PERSIST_KEYS,
  BS_OPERATION_DELETE_PERSISTED,
  BS_OPERATION_DELETE_PERSISTED_KEYS,
  BS_OPERATION_SANITIZE_PATH,
  BS_OPERATION_SYNC_PERSISTED,
  BS_OPERATION_WRITE_ROOT,
  BS_OPERATION_READ_ROOT,
  BS_OPERATION_VERIFY_PERSISTED,
  BS_OPERATION_RELEASE_PATH,
  BS_OPERATION_CLOSE,
  BS_OPERATION_READ_STREAM,
  BS_OPERATION_WRITE_STREAM,
  BS_OPERATION_WRITE_FILE,
} BsOperation;

struct _BsBackingInterface
{
  GTypeInterface parent_iface;

  gboolean (*write)                 (BsBacking *self, const char *key, GBytes *bytes, GCancellable *cancellable, GError **error);
  GBytes * (*read)                  (BsBacking *self, const char *key, GCancellable *cancellable, GError **error);
  gboolean (*delete_key)            (BsBacking *self, const char *key, GCancellable *cancellable, GError **error);
  gboolean (*register_key)          (BsBacking *self, GFile *path, const char *key, GCancellable *cancellable, GError **error);
  gboolean (*persist)               (BsBacking *self, GFile *path, const char *key, GCancellable *cancellable, GError **error);
  gboolean (*delete_persisted)      (BsBacking *self, GFile *path, const char *key, GCancellable *cancellable, GError **error);
  gboolean (*sanitize_path)         (BsBacking *self, GFile *path, BsKeySet *found, GCancellable *cancellable, GError **error);
  gboolean (*sync_persisted)        (BsBacking *self, GFile *path, GCancellable *cancellable, GError **error);

  /* optional */
  gboolean (*register_keys)         (BsBacking *self, GFile *path, BsKeySet *keys, GCancellable *cancellable, GError **error);
  gboolean (*delete_persisted_keys) (BsBacking *self, GFile *path, BsKeySet *keys, GCancellable *cancellable, GError **error);
  gboolean (*persist_bytes)         (BsBacking *self, GFile *path, const char *key, GBytes *bytes, GCancellable *cancellable, GError **error);
  gboolean (*write_root)            (BsBacking *self, GFile *path, GBytes *bytes, BsKeySet *named, GCancellable *cancellable, GError **error);
  GBytes * (*read_root)             (BsBacking *self, GFile *path, GCancellable *cancellable, GError **error);
  gboolean (*verify_persisted)      (BsBacking *self, GFile *path, const char *key, GCancellable *cancellable, GError **error);
  gboolean (*release_path)          (BsBacking *self, GFile *path, GCancellable *cancellable, GError **error);
  gboolean (*close)                 (BsBacking *self, GCancellable *cancellable, GError **error);
  GInputStream * (*read_stream)     (BsBacking *self, const char *key, GCancellable *cancellable, GError **error);
  gboolean (*write_stream)          (BsBacking *self, const char *key, GInputStream *stream, gint64 size, GCancellable *cancellable, GError **error);
  gboolean (*write_file)            (BsBacking *self, const char *key, GFile *file, GCancellable *cancellable, GError **error);
  gboolean (*persist_keys)          (BsBacking *self, GFile *path, BsKeySet *keys, GHashTable *contents, GCancellable *cancellable, GError **error);

  /*< private >*/
  gconstpointer key_funcs; /* of a backing that takes binary keys, or NULL */
  gpointer padding[3];
};

BS_AVAILABLE_IN_1_0
gboolean  bs_backing_write                 (BsBacking *self, const char *key, GBytes *bytes, GCancellable *cancellable, GError **error);
BS_AVAILABLE_IN_1_0
GBytes   *bs_backing_read                 (BsBacking *self, const char *key, GCancellable *cancellable, GError **error) G_GNUC_WARN_UNUSED_RESULT;
BS_AVAILABLE_IN_1_0
gboolean  bs_backing_delete_key            (BsBacking *self, const char *key, GCancellable *cancellable, GError **error);
BS_AVAILABLE_IN_1_0
gboolean  bs_backing_register_key          (BsBacking *self, GFile *path, const char *key, GCancellable *cancellable, GError **error);
BS_AVAILABLE_IN_1_0
gboolean  bs_backing_persist               (BsBacking *self, GFile *path, const char *key, GCancellable *cancellable, GError **error);
BS_AVAILABLE_IN_1_0
gboolean  bs_backing_delete_persisted      (BsBacking *self, GFile *path, const char *key, GCancellable *cancellable, GError **error);
BS_AVAILABLE_IN_1_0
gboolean  bs_backing_sanitize_path         (BsBacking *self, GFile *path, BsKeySet *found, GCancellable *cancellable, GError **error);
BS_AVAILABLE_IN_1_0
gboolean  bs_backing_sync_persisted        (BsBacking *self, GFile *path, GCancellable *cancellable, GError **error);
BS_AVAILABLE_IN_1_0
gboolean  bs_backing_register_keys         (BsBacking *self, GFile *path, BsKeySet *keys, GCancellable *cancellable, GError **error);
BS_AVAILABLE_IN_1_0
gboolean  bs_backing_delete_persisted_keys (BsBacking *self, GFile *path, BsKeySet *keys, GCancellable *cancellable, GError **error);
BS_AVAILABLE_IN_1_0
gboolean  bs_backing_persist_bytes         (BsBacking *self, GFile *path, const char *key, GBytes *bytes, GCancellable *cancellable, GError **error);
BS_AVAILABLE_IN_1_0
gboolean  bs_backing_write_root            (BsBacking *self, GFile *path, GBytes *bytes, BsKeySet *named, GCancellable *cancellable, GError **error);
BS_AVAILABLE_IN_1_0
GBytes   *bs_backing_read_root            (BsBacking *self, GFile *path, GCancellable *cancellable, GError **error) G_GNUC_WARN_UNUSED_RESULT;
BS_AVAILABLE_IN_1_0
gboolean  bs_backing_verify_persisted      (BsBacking *self, GFile *path, const char *key, GCancellable *cancellable, GError **error);
BS_AVAILABLE_IN_1_0
gboolean  bs_backing_release_path          (BsBacking *self, GFile *path, GCancellable *cancellable, GError **error);
BS_AVAILABLE_IN_1_0
gboolean  bs_backing_close                 (BsBacking *self, GCancellable *cancellable, GError **error);
BS_AVAILABLE_IN_1_0
GInputStream *bs_backing_read_stream       (BsBacking *self, const char *key, GCancellable *cancellable, GError **error) G_GNUC_WARN_UNUSED_RESULT;
BS_AVAILABLE_IN_1_0
gboolean  bs_backing_write_stream          (BsBacking *self, const char *key, GInputStream *stream, gint64 size, GCancellable *cancellable, GError **error);
BS_AVAILABLE_IN_1_0
gboolean  bs_backing_write_file            (BsBacking *self, const char *key, GFile *file, GCancellable *cancellable, GError **error);
BS_AVAILABLE_IN_1_0
gboolean  bs_backing_persist_keys          (BsBacking *self, GFile *path, BsKeySet *keys, GHashTable *contents, GCancellable *cancellable, GError **error);

G_END_DECLS
