/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "bs-file-directory-private.h"

G_BEGIN_DECLS

/* Bytes into files, out of them, and from one directory to another. What
 * returns an int returns 0 or an errno. */

typedef enum
{
  BS_FILE_TRANSFER_PRESENT,     /* it was there */
  BS_FILE_TRANSFER_LINKED,
  BS_FILE_TRANSFER_REFLINKED,
  BS_FILE_TRANSFER_COPIED,
} BsFileTransfer;

int bs_file_create   (BsFileDirectory *directory, const BsKey *key, GBytes *bytes, GCancellable *cancellable);
int bs_file_load     (BsFileDirectory *directory, const BsKey *key, GCancellable *cancellable, GBytes **bytes);
int bs_file_remove   (BsFileDirectory *directory, const BsKey *key);

/* A file beside the shard folders, replaced atomically and durably. */
int bs_file_replace  (BsFileDirectory *directory, const char *name, GBytes *bytes, GCancellable *cancellable);
int bs_file_load_at  (int fd, const char *name, GCancellable *cancellable, GBytes **bytes);

/* The ladder: hard link, reflink, copy. */
int bs_file_transfer (BsFileDirectory *source, BsFileDirectory *target, const BsKey *key, GCancellable *cancellable, BsFileTransfer *how);

G_END_DECLS
