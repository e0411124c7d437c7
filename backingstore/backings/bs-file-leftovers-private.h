/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-file-shards-private.h"

#include <gio/gio.h>

G_BEGIN_DECLS

/* Blobs in a scratch directory that an earlier process left, removed folder by folder: one
 * before it is first used, the others in the background. Safe to use from any thread.
 * Functions return 0 or an errno; `kept` says that a folder stayed, with foreign files. */
typedef struct
{
  GMutex mutex; /* held while a folder is swept */

  int unswept[BS_FILE_N_SHARDS]; /* atomic: folders that may have leftovers */
  gboolean any;                  /* constant after bs_file_leftovers_find() */
} BsFileLeftovers;

void bs_file_leftovers_init        (BsFileLeftovers *self);
void bs_file_leftovers_clear       (BsFileLeftovers *self);

/* Removes temporary files, and finds folders to sweep. */
int  bs_file_leftovers_find        (BsFileLeftovers *self, int fd, GCancellable *cancellable);
/* Sets `kept`, atomically, where the folder stays, before the folder counts as swept. */
int  bs_file_leftovers_sweep       (BsFileLeftovers *self, int fd, guint shard, gboolean *kept, GCancellable *cancellable);
/* Removes all blobs, of this process too. Sets `kept` where a folder stays. */
int  bs_file_leftovers_remove_all  (int fd, gboolean *kept, GCancellable *cancellable);

static inline gboolean
bs_file_leftovers_is_unswept (const BsFileLeftovers *self,
                              guint shard)
{
  return g_atomic_int_get (&self->unswept[shard]) != 0;
}

G_END_DECLS
