/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-file-directory-private.h"

G_BEGIN_DECLS

/* Blobs as files of a directory. A function that returns an int returns 0 or an
 * errno, see BsFileDirectory. */

/* Puts a new blob into scratch, in a slot if it is small. */
int bs_file_create      (BsFileDirectory *scratch, const BsKey *key, GBytes *bytes, GCancellable *cancellable);
/* Puts a new blob into a file of scratch, which can be linked. */
int bs_file_create_file (BsFileDirectory *scratch, const BsKey *key, GBytes *bytes, GCancellable *cancellable);
/* Makes a file of a blob in a slot. */
int bs_file_leave_slot  (BsFileDirectory *scratch, const BsKey *key, GCancellable *cancellable);
/* Makes a file of scratch carry its digest, for which a file that was never hashed is read. */
int bs_file_seal        (BsFileDirectory *scratch, const BsKey *key, GCancellable *cancellable);
int bs_file_load        (BsFileDirectory *directory, const BsKey *key, GCancellable *cancellable, GBytes **bytes);
int bs_file_clear_failed_write  (BsFileDirectory *scratch, const BsKey *key);
int bs_file_remove      (BsFileDirectory *directory, const BsKey *key);
/* Loads a file that stands beside the shard folders. */
int bs_file_load_at     (BsFileDirectory *directory, const char *name, GCancellable *cancellable, GBytes **bytes);

/* A new file of scratch that is being filled. */
typedef struct
{
  BsFileDirectory *scratch;
  const BsKey *key;
  BsFileLocation location;
  int fd;
} BsFileNewBlob;

/* Needs no end after an error. */
int bs_file_new_blob_begin (BsFileNewBlob *self, BsFileDirectory *scratch, const BsKey *key);
/* Closes the file, and removes it if `code`, or closing, is an error, which it returns. */
int bs_file_new_blob_end   (BsFileNewBlob *self, int code);
/* The digest of the file stays in memory: only a file that becomes permanent carries it. */
void bs_file_new_blob_hold (BsFileNewBlob *self, const BsFileDigest *digest);

/* Whether scratch has the key. */
gboolean bs_file_contains  (BsFileDirectory *scratch, const BsKey *key);

/* Leaves nothing open after an error. Without `status` the file may be of any kind. */
int bs_file_open        (BsFileDirectory *directory, int fd, const char *name, int *blob_fd, struct stat *status);
int bs_file_open_blob   (BsFileDirectory *directory, const BsKey *key, int *blob_fd, struct stat *status);
/* Compares an open blob with its digest, as the disk has it, not the page cache. A
 * blob without a digest is only read. */
int bs_file_check       (int blob_fd, goffset size, GCancellable *cancellable);

G_END_DECLS
