/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

typedef enum
{
  BS_COPY_CLONED,           /* the files share their blocks */
  BS_COPY_BY_KERNEL,
  BS_COPY_READ,             /* at least a part */
} BsCopyMethod;

/* Fills an empty file from a regular one, by the best method that the file systems have.
 * Holes stay holes. A file that grows meanwhile is copied up to its size at the start.
 * Returns 0 or an errno, ECANCELED if the cancellable fired. */
int bs_copy_file (int source_fd, int fd, BsCopyMethod *method, GCancellable *cancellable);

/* Writes all of it, or returns an errno. */
int bs_copy_write (int fd, const guint8 *data, gsize size);

G_END_DECLS
