/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Which promises of a file system are known. A function that can't find out says no. */

gboolean bs_file_system_is_ext4  (int fd);
/* Newer kernels keep in one piece what one call writes, which costs less to fill and to free
 * than its pages. On Btrfs writing twice costs more. */
gboolean bs_file_system_keeps_blocks (int fd);
/* No other machine has it, no program stands behind it, and syncfs() reaches its disk. */
gboolean bs_file_system_is_local (int fd);

/* Syncs an open folder. A file system that has no such thing answers EINVAL: then there is
 * nothing to do. Returns 0 or an errno. */
int      bs_file_system_sync_folder (int fd);

G_END_DECLS
