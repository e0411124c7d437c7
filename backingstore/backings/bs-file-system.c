/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "bs-file-system-private.h"

#include <errno.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Not in the kernel's header for programs. */
#define XFS_MAGIC 0x58465342

static guint32
get_type (int fd)
{
  struct statfs status;

  return fstatfs (fd, &status) == 0 ? (guint32) status.f_type : 0;
}

gboolean
bs_file_system_is_ext4 (int fd)
{
  return get_type (fd) == EXT4_SUPER_MAGIC;
}

gboolean
bs_file_system_keeps_blocks (int fd)
{
  const guint32 type = get_type (fd);

  return type == EXT4_SUPER_MAGIC || type == XFS_MAGIC;
}

gboolean
bs_file_system_is_local (int fd)
{
  switch (get_type (fd))
    {
    case EXT4_SUPER_MAGIC:
    case XFS_MAGIC:
    case BTRFS_SUPER_MAGIC:
    case F2FS_SUPER_MAGIC:
    case TMPFS_MAGIC:
      return TRUE;
    default:
      return FALSE;
    }
}

int
bs_file_system_sync_folder (int fd)
{
  return TEMP_FAILURE_RETRY (fsync (fd)) == 0 || errno == EINVAL ? 0 : errno;
}
