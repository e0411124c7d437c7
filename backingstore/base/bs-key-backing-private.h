/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "bs-backing.h"
#include "bs-key-private.h"

G_BEGIN_DECLS

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
  gboolean (*verify_persisted) (BsBacking *self, GFile *path, const BsKey *key, GCancellable *cancellable, GError **error);
  GFile *  (*open_path)        (BsBacking *self, GFile *file, gboolean *writable, GCancellable *cancellable, GError **error);
  gboolean (*check_path)       (BsBacking *self, GFile *path, GCancellable *cancellable, GError **error);
  gboolean (*find_missing)     (BsBacking *self, GFile *path, BsKeySet *expected, BsKeySet *missing, GCancellable *cancellable, GError **error);
} BsKeyBackingFuncs;

/* Fills in the public functions too, which parse the key and call these. */
void bs_key_backing_init_interface (BsBackingInterface *iface, const BsKeyBackingFuncs *funcs);

G_END_DECLS
