/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-file-digest-private.h"
#include "bs-file-walk-private.h"

#include <sys/stat.h>

G_BEGIN_DECLS

/* Bytes in and out of file descriptors. A function that returns an int returns 0 or
 * an errno: ECANCELED if the cancellable fired, EBADMSG if a file ends too early. */

/* `digest` may be NULL if no hash is wanted. */
int bs_file_write_whole (int fd, const guint8 *data, gsize size, BsFileDigest *digest, GCancellable *cancellable);
int bs_file_read_whole  (int fd, guint8 *data, gsize size, BsFileDigest *digest, GCancellable *cancellable);
/* Reads and drops `size` bytes, through a buffer of BS_FILE_CHUNK_SIZE. */
int bs_file_read_through (int fd, guint8 *chunk, goffset size, BsFileDigest *digest, GCancellable *cancellable);
/* Copies `size` bytes from where both files stand. */
int bs_file_copy        (int source_fd, goffset size, int fd, BsFileDigest *digest, GCancellable *cancellable);
/* Returns `code`, or the error of closing. */
int bs_file_close_written (int fd, int code);

/* Makes every blob of a directory durable. */
int bs_file_sync_all    (int fd, GCancellable *cancellable);

/* The permissions of new files and folders in a folder. */
mode_t bs_file_get_mode (int folder_fd);
mode_t bs_file_get_folder_mode (int folder_fd);
/* `masked` tells whether the umask had taken permissions of the owner. */
int bs_file_make_folder (int fd, const char *name, mode_t mode, gboolean *masked);

void bs_file_make_temporary_name (char name[BS_FILE_TEMPORARY_SIZE]);
/* Opens a new file in a folder, for reading and writing. */
int bs_file_open_temporary (int fd, const char *name, int *temporary_fd);
/* Replaces a file in a folder atomically and durably; leaves the old one after an error. */
int bs_file_replace     (int fd, const char *name, GBytes *bytes, gboolean hashed, GCancellable *cancellable);

G_END_DECLS
