/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "bs-sqlite-vfs-private.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

gboolean
bs_sqlite_vfs_sync_folder (const char *path)
{
  g_autofree char *folder = g_path_get_dirname (path);
  int fd = open (folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  gboolean success;
  int code;

  if (fd < 0)
    return FALSE;

  /* A folder that cannot be synced needs no sync. */
  success = fsync (fd) == 0 || errno == EINVAL;
  code = errno;
  close (fd);
  errno = code;

  return success;
}

/* SQLite's own VFS takes a folder that cannot be opened, for want of a descriptor, say, for
 * one that has been synced. Then a journal that was deleted may come back with a power cut, and
 * one that is needed may be gone. */
static sqlite3_vfs *parent;
static sqlite3_vfs vfs;
static gsize registered; /* 1; or 2 if SQLite refused it */

static int
sync_folder (const char *path)
{
  return bs_sqlite_vfs_sync_folder (path) ? SQLITE_OK : SQLITE_IOERR_DIR_FSYNC;
}

static int
open_file (sqlite3_vfs *self, const char *path, sqlite3_file *file, int flags, int *given)
{
  const int makes_journal = SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_CREATE;
  int result = parent->xOpen (parent, path, file, flags, given);
  int code;

  if (result != SQLITE_OK || (flags & makes_journal) != makes_journal)
    return result;

  result = sync_folder (path);
  if (result != SQLITE_OK)
    {
      code = errno;
      file->pMethods->xClose (file);
      file->pMethods = NULL;
      errno = code;
    }

  return result;
}

static int
delete_file (sqlite3_vfs *self, const char *path, int syncs)
{
  int result = parent->xDelete (parent, path, FALSE);

  return result == SQLITE_OK && syncs ? sync_folder (path) : result;
}

const char *
bs_sqlite_vfs_get_name (void)
{
  if (g_once_init_enter (&registered))
    {
      parent = sqlite3_vfs_find (NULL);
      vfs = *parent;
      vfs.zName = "backingstore";
      vfs.xOpen = open_file;
      vfs.xDelete = delete_file;
      g_once_init_leave (&registered, sqlite3_vfs_register (&vfs, FALSE) == SQLITE_OK ? 1 : 2);
    }

  return registered == 1 ? vfs.zName : NULL;
}

void
bs_sqlite_vfs_unregister (void)
{
  sqlite3_vfs_unregister (&vfs);
  registered = 0;
}
