/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-backing.h"
#include "bs-byte-set-private.h"
#include "bs-key-table-private.h"

G_BEGIN_DECLS

/* Adds the keys that a path must have, and whose first byte is in the set. */
typedef void (*BsExpectFunc) (gpointer data, const BsByteSet *first_bytes, BsKeyTable *expected);

/* Virtual functions of the library's own backings, which take keys as 16 bytes. */
typedef struct
{
  gboolean (*write)            (BsBacking *self, const BsKey *key, GBytes *bytes, GCancellable *cancellable, GError **error);
  GBytes * (*read)             (BsBacking *self, const BsKey *key, GCancellable *cancellable, GError **error);
  gboolean (*delete_key)       (BsBacking *self, const BsKey *key, GCancellable *cancellable, GError **error);
  gboolean (*register_key)     (BsBacking *self, GFile *path, const BsKey *key, GCancellable *cancellable, GError **error);
  gboolean (*persist)          (BsBacking *self, GFile *path, const BsKey *key, GCancellable *cancellable, GError **error);
  gboolean (*delete_persisted) (BsBacking *self, GFile *path, const BsKey *key, GCancellable *cancellable, GError **error);

  /* optional */
  gboolean (*persist_bytes)    (BsBacking *self, GFile *path, const BsKey *key, GBytes *bytes, GCancellable *cancellable, GError **error);
  gboolean (*verify_persisted) (BsBacking *self, GFile *path, const BsKey *key, GCancellable *cancellable, GError **error);
  GFile *  (*open_path)        (BsBacking *self, GFile *file, gboolean *writable, GCancellable *cancellable, GError **error);
  gboolean (*check_path)       (BsBacking *self, GFile *path, GCancellable *cancellable, GError **error);
  gboolean (*find_missing)     (BsBacking *self, GFile *path, BsExpectFunc expect, gpointer expect_data, BsKeyTable *missing, GCancellable *cancellable, GError **error);
  BsBacking *(*peek_inner)     (BsBacking *self); /* of a backing that wraps another one */
  GInputStream *(*read_stream) (BsBacking *self, const BsKey *key, GCancellable *cancellable, GError **error);
  gboolean (*write_stream)     (BsBacking *self, const BsKey *key, GInputStream *stream, gint64 size, GCancellable *cancellable, GError **error);
  gboolean (*write_file)       (BsBacking *self, const BsKey *key, GFile *file, GCancellable *cancellable, GError **error);
} BsKeyBackingFuncs;

/* The functions for binary keys; none for a class of the application, whose public functions
 * get the key as a string. */
static inline const BsKeyBackingFuncs *
bs_backing_get_key_funcs (BsBackingInterface *iface)
{
  static const BsKeyBackingFuncs none;

  return iface->key_funcs != NULL ? iface->key_funcs : &none;
}

/* The public functions without the checks of arguments. Each calls its virtual function, turns
 * a failure without an error into BS_ERROR_FAILED, and lets the message name the operation,
 * the key and the path. */
gboolean  bs_backing_invoke_write            (BsBacking *self, const BsKey *key, GBytes *bytes, GCancellable *cancellable, GError **error);
GBytes   *bs_backing_invoke_read             (BsBacking *self, const BsKey *key, GCancellable *cancellable, GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean  bs_backing_invoke_delete_key       (BsBacking *self, const BsKey *key, GCancellable *cancellable, GError **error);
gboolean  bs_backing_invoke_register_key     (BsBacking *self, GFile *path, const BsKey *key, GCancellable *cancellable, GError **error);
gboolean  bs_backing_invoke_persist          (BsBacking *self, GFile *path, const BsKey *key, GCancellable *cancellable, GError **error);
gboolean  bs_backing_invoke_persist_bytes    (BsBacking *self, GFile *path, const BsKey *key, GBytes *bytes, GCancellable *cancellable, GError **error);
gboolean  bs_backing_invoke_delete_persisted (BsBacking *self, GFile *path, const BsKey *key, GCancellable *cancellable, GError **error);
gboolean  bs_backing_invoke_verify_persisted (BsBacking *self, GFile *path, const BsKey *key, GCancellable *cancellable, GError **error);
gboolean  bs_backing_invoke_sanitize_path    (BsBacking *self, GFile *path, BsKeySet *found, GCancellable *cancellable, GError **error);
/* Sets `called`, if that is not NULL, to whether the backing was called. */
gboolean  bs_backing_invoke_sync_persisted   (BsBacking *self, GFile *path, GCancellable *cancellable, gboolean *called, GError **error);
gboolean  bs_backing_invoke_register_keys    (BsBacking *self, GFile *path, BsKeySet *keys, GCancellable *cancellable, GError **error);
gboolean  bs_backing_invoke_delete_persisted_keys (BsBacking *self, GFile *path, BsKeySet *keys, GCancellable *cancellable, GError **error);
/* `contents` may be NULL; its keys are spelled as those of `keys` are listed. */
gboolean  bs_backing_invoke_persist_keys     (BsBacking *self, GFile *path, BsKeySet *keys, GHashTable *contents, GCancellable *cancellable, GError **error);
gboolean  bs_backing_invoke_write_root       (BsBacking *self, GFile *path, GBytes *bytes, BsKeySet *named, GCancellable *cancellable, GError **error);
GBytes   *bs_backing_invoke_read_root        (BsBacking *self, GFile *path, GCancellable *cancellable, GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean  bs_backing_invoke_release_path     (BsBacking *self, GFile *path, GCancellable *cancellable, GError **error);
gboolean  bs_backing_invoke_close            (BsBacking *self, GCancellable *cancellable, GError **error);
GInputStream *bs_backing_invoke_read_stream  (BsBacking *self, const BsKey *key, GCancellable *cancellable, GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean  bs_backing_invoke_write_stream     (BsBacking *self, const BsKey *key, GInputStream *stream, gint64 size, GCancellable *cancellable, GError **error);
gboolean  bs_backing_invoke_write_file       (BsBacking *self, const BsKey *key, GFile *file, GCancellable *cancellable, GError **error);

/* Finds out which path a file leads to: the same object for each name of one directory,
 * and for as long as it is not released. The object is to be given to all calls at the
 * path, and the file becomes its name. By default each file is a path of its own. */
GFile    *bs_backing_invoke_open_path        (BsBacking *self, GFile *file, gboolean *writable, GCancellable *cancellable, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Fails with BS_ERROR_MOVED if the name of the path does not lead there any more. */
gboolean  bs_backing_invoke_check_path       (BsBacking *self, GFile *path, GCancellable *cancellable, GError **error);
/* Adds to `missing` the expected keys that another program has removed from the path. One
 * call at a time for each path. */
gboolean  bs_backing_invoke_find_missing     (BsBacking *self, GFile *path, BsExpectFunc expect, gpointer expect_data, BsKeyTable *missing, GCancellable *cancellable, GError **error);
/* Whether a path may be found moved, or keys missing. */
gboolean  bs_backing_checks_paths            (BsBacking *self);

/* Returns the name as in the API, with underscores: "delete_key". */
const char *bs_operation_get_name            (BsOperation operation);
/* "persist KEY at PATH", or a part of that: the name is that of the function, and the same in
 * every language. */
char       *bs_operation_describe            (BsOperation operation, const BsKey *key, GFile *path) G_GNUC_WARN_UNUSED_RESULT;

/* Whether the type implements the virtual function itself. A backing that wraps another
 * one persists bytes in one step, persists many keys in one call, and opens streams, where the
 * inner backing does. */
gboolean  bs_backing_implements              (BsBacking *self, BsOperation operation);
/* Whether write_root() may look at the keys that a root names. The library's own backings
 * have a path to themselves, and do not. */
gboolean  bs_backing_reads_named             (BsBacking *self);

G_END_DECLS
