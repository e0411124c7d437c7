/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* The name of a VFS for sqlite3_open_v2(): that of the system, but an error of syncing a folder
 * is one. NULL, which is that of the system, if there is no memory for it. */
const char *bs_sqlite_vfs_get_name    (void);
/* Called before the module is unloaded, and the VFS with it. */
void        bs_sqlite_vfs_unregister  (void);

/* Makes durable which files there are beside `path`. Sets `errno`. */
gboolean    bs_sqlite_vfs_sync_folder (const char *path);

G_END_DECLS
