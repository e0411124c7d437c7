/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "bs-file-directory-private.h"
#include "bs-file-walk-private.h"

G_BEGIN_DECLS

/* Bytes into files and out of them. What returns an int returns 0 or an errno,
 * see BsFileDirectory. */

int bs_file_create         (BsFileDirectory *directory, const BsKey *key, GBytes *bytes, GCancellable *cancellable);
int bs_file_load           (BsFileDirectory *directory, const BsKey *key, GCancellable *cancellable, GBytes **bytes);
int bs_file_clear_torn     (BsFileDirectory *scratch, const BsKey *key);
int bs_file_remove         (BsFileDirectory *directory, const BsKey *key);

/* A file in the folder, replaced atomically and durably, or left as it was. */
int bs_file_replace        (int fd, const char *name, GBytes *bytes, gboolean hashed, GCancellable *cancellable);
int bs_file_load_at        (BsFileDirectory *directory, const char *name, GCancellable *cancellable, GBytes **bytes);

void bs_file_make_temporary_name (char name[BS_FILE_TEMPORARY_SIZE]);
/* A new file in the folder, for reading and writing. */
int bs_file_make_temporary (int fd, char name[BS_FILE_TEMPORARY_SIZE], int *temporary_fd);
/* Nothing is open after an error. `status` may be NULL; what is not a regular
 * file is open then too. */
int bs_file_open           (BsFileDirectory *directory, int fd, const char *name, int *blob_fd, struct stat *status);
int bs_file_open_blob      (BsFileDirectory *directory, const BsKey *key, int *blob_fd, struct stat *status);
/* Returns `code`, or what closing reports. */
int bs_file_close_written  (int fd, int code);

/* From where the files stand, to the end of what `size` says. `digest` may be
 * NULL where no hash is wanted. */
int bs_file_copy           (int source_fd, goffset size, int fd, BsFileDigest *digest, GCancellable *cancellable);
/* Compares an open blob with its digest; what has none is only read. Looks at
 * the disk rather than at what the system has in memory of it. */
int bs_file_check          (int blob_fd, goffset size, GCancellable *cancellable);

G_END_DECLS
