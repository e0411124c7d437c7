/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "bs-file-backing.h"
#include "bs-file-directory-private.h"

G_BEGIN_DECLS

struct _BsFileBacking
{
  GObject parent_instance;

  /* constant after construction */
  GFile *directory;
  BsFileDirectory *primary; /* NULL if the directory has no local path */
  gboolean temporary;
  pid_t owner; /* of the temporary directory: a forked child has no say */

  GMutex mutex;

  /* under the mutex */
  GHashTable *paths; /* char * → BsFileDirectory */
  gboolean closed;
};

void             bs_file_backing_init_calls (BsBackingInterface *iface);
gboolean         bs_file_backing_close      (BsBacking *backing, GCancellable *cancellable, GError **error);

/* For a call that needs primary storage alone. */
gboolean         bs_file_backing_begin      (BsFileBacking *self, GCancellable *cancellable, GError **error);
/* For a call at a path: its directory, open. */
BsFileDirectory *bs_file_backing_begin_at   (BsFileBacking *self, GFile *file, GCancellable *cancellable, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Lets go of the path's directory, once no call uses it any more. */
void             bs_file_backing_forget     (BsFileBacking *self, GFile *file);

G_END_DECLS
