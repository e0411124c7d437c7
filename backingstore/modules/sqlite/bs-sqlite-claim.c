/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "bs-sqlite-claim-private.h"

#include <backingstore/backingstore.h>

#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n-lib.h>
#include <glib/gstdio.h>
#include <linux/magic.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

/* Where SQLite puts a lock while it reads: its file format fixes the place. */
#define SQLITE_SHARED_FIRST (0x40000000 + 2)
#define SQLITE_SHARED_SIZE 510

#ifndef FUSE_SUPER_MAGIC
#define FUSE_SUPER_MAGIC 0x65735546
#endif

G_LOCK_DEFINE_STATIC (claims);
static GPtrArray *claims; /* of those that are locked, which are few */

gboolean
bs_sqlite_set_errno (const char *action, int code, GError **error)
{
  g_set_error (error, G_IO_ERROR,
               code == EDQUOT ? G_IO_ERROR_NO_SPACE : g_io_error_from_errno (code), "%s: %s",
               action, g_strerror (code));
  return FALSE;
}

static gboolean
set_foreign (GError **error)
{
  g_set_error_literal (error, BS_ERROR, BS_ERROR_FOREIGN,
                       _ ("something other than a file stands in the place of the document"));
  return FALSE;
}

static gboolean
set_busy (const char *message, GError **error)
{
  g_set_error_literal (error, BS_ERROR, BS_ERROR_BUSY, message);
  return FALSE;
}

static char *
get_path (GFile *file, GError **error)
{
  g_autofree char *uri = NULL;
  char *path = g_file_get_path (file);

  if (path != NULL)
    return path;

  uri = g_file_get_uri (file);
  if (g_ascii_strncasecmp (uri, "sqlite:", strlen ("sqlite:")) == 0)
    {
      g_autofree char *local = g_strconcat ("file:", uri + strlen ("sqlite:"), NULL);
      g_autofree char *host = NULL;

      path = g_filename_from_uri (local, &host, NULL);
      if (path != NULL && host == NULL)
        return path;
      g_free (path);
    }

  g_set_error (error, BS_ERROR, BS_ERROR_NOT_SUPPORTED, _ ("%s is not a local file"), uri);
  return NULL;
}

/* A document that is missing has a folder, with the parents made if need be. */
static char *
resolve (const char *path, gboolean make, GError **error)
{
  g_autofree char *folder = NULL;
  g_autofree char *name = NULL;
  char *resolved = realpath (path, NULL);
  char *result;

  if (resolved != NULL || errno != ENOENT || !make)
    {
      if (resolved == NULL)
        bs_sqlite_set_errno (_ ("cannot find the document"), errno, error);
      result = g_strdup (resolved);
      free (resolved);
      return result;
    }

  folder = g_path_get_dirname (path);
  name = g_path_get_basename (path);
  if (g_mkdir_with_parents (folder, 0700) != 0 || (resolved = realpath (folder, NULL)) == NULL)
    {
      bs_sqlite_set_errno (_ ("cannot make the folder of the document"), errno, error);
      return NULL;
    }
  result = g_build_filename (resolved, name, NULL);
  free (resolved);
  return result;
}

/* SQLite has names of a fixed length, and adds to them. */
static gboolean
check_length (const char *path, GError **error)
{
  gsize max = sqlite3_vfs_find (NULL)->mxPathname - strlen ("-journal");

  return strlen (path) <= max ||
         bs_sqlite_set_errno (_ ("SQLite cannot open the document"), ENAMETOOLONG, error);
}

/* Called with the lock of the claims held. */
static BsSqliteClaim *
find_claim (const struct stat *status)
{
  for (guint i = 0; claims != NULL && i < claims->len; i++)
    {
      BsSqliteClaim *claim = g_ptr_array_index (claims, i);

      if (claim->device == status->st_dev && claim->inode == status->st_ino)
        return claim;
    }

  return NULL;
}

static gboolean
is_refusal (int code)
{
  return code == EACCES || code == EROFS || code == EPERM;
}

/* No file is made in a folder that cannot be written, and SQLite makes some. */
static int
get_folder_refusal (const char *path)
{
  g_autofree char *folder = g_path_get_dirname (path);

  return access (folder, W_OK | X_OK) == 0 || access (folder, W_OK | X_OK) == 0 ? 0 : errno;
}

/* A refusal is asked for twice, for it holds until the document is released. */
static int
open_to_write (const char *path, int flags)
{
  int fd = open (path, O_RDWR | flags, 0600);

  return fd >= 0 || !is_refusal (errno) ? fd : open (path, O_RDWR | flags, 0600);
}

static int
open_file (BsSqliteClaim *self, gboolean read_only)
{
  const int flags = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;

  self->read_only = read_only;
  if (read_only)
    {
      self->refusal = EROFS;
      self->fd = open (self->path, O_RDONLY | flags);
      return self->fd >= 0 ? 0 : errno;
    }

  self->fd = open_to_write (self->path, flags);
  if (self->fd < 0 && errno == ENOENT)
    {
      self->fd = open_to_write (self->path, flags | O_CREAT | O_EXCL);
      self->created = self->fd >= 0;
    }
  if (self->fd < 0 && is_refusal (errno))
    {
      self->refusal = errno;
      self->fd = open (self->path, O_RDONLY | flags);
      if (self->fd < 0 && errno == ENOENT)
        errno = self->refusal;
    }

  return self->fd >= 0 ? 0 : errno;
}

/* Another program that uses SQLite knows nothing of our lock. */
static gboolean
is_read_elsewhere (int fd)
{
  struct flock lock = { .l_type = F_WRLCK,
                        .l_whence = SEEK_SET,
                        .l_start = SQLITE_SHARED_FIRST,
                        .l_len = SQLITE_SHARED_SIZE };

  return fcntl (fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

static gboolean
lock_file (BsSqliteClaim *self, GError **error)
{
  if (flock (self->fd, LOCK_EX | LOCK_NB) != 0)
    {
      if (errno == EWOULDBLOCK)
        return set_busy (_ ("somebody else has the document open"), error);

      g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                   _ ("the file system of the document has no locks: %s"), g_strerror (errno));
      return FALSE;
    }
  if (is_read_elsewhere (self->fd))
    return set_busy (_ ("another program has the document open"), error);

  return bs_sqlite_claim_check (self, error);
}

/* Where there are no locks, a reader goes without. */
static gboolean
share_file (BsSqliteClaim *self, GError **error)
{
  if (flock (self->fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK)
    return set_busy (_ ("somebody else has the document open"), error);

  return !is_read_elsewhere (self->fd) ||
         set_busy (_ ("another program has the document open"), error);
}

/* Called with the lock of the claims held. */
static gboolean
claim (BsSqliteClaim *self, gboolean read_only, GError **error)
{
  struct stat status;
  BsSqliteClaim *other;
  int code;

  /* A file that this process has open must not be opened again, nor a device at all. */
  if (stat (self->path, &status) == 0)
    {
      if (!S_ISREG (status.st_mode))
        return set_foreign (error);
      if (find_claim (&status) != NULL)
        return set_busy (_ ("this process has the document open"), error);
    }

  code = open_file (self, read_only);
  if (code != 0)
    return bs_sqlite_set_errno (_ ("cannot open the document"), code, error);
  if (fstat (self->fd, &status) != 0)
    return bs_sqlite_set_errno (_ ("cannot look at the document"), errno, error);
  other = find_claim (&status);
  if (other != NULL)
    {
      g_array_append_val (other->strays, self->fd);
      self->fd = -1;
      return set_busy (_ ("this process has the document open"), error);
    }
  if (!S_ISREG (status.st_mode))
    return set_foreign (error);

  self->device = status.st_dev;
  self->inode = status.st_ino;
  if (read_only)
    return share_file (self, error);
  if (self->refusal == 0)
    self->refusal = status.st_nlink > 1 ? EMLINK : get_folder_refusal (self->path);
  if (self->refusal == 0 && !lock_file (self, error))
    return FALSE;

  if (claims == NULL)
    claims = g_ptr_array_new ();
  if (self->refusal == 0)
    g_ptr_array_add (claims, self);
  return TRUE;
}

BsSqliteClaim *
bs_sqlite_claim_open (GFile *file, gboolean read_only, GError **error)
{
  g_autofree char *path = get_path (file, error);
  g_autoptr (BsSqliteClaim) self = NULL;
  gboolean claimed;

  if (path == NULL)
    return NULL;

  self = g_new0 (BsSqliteClaim, 1);
  self->fd = -1;
  self->strays = g_array_new (FALSE, FALSE, sizeof (int));
  self->path = resolve (path, !read_only, error);
  if (self->path == NULL || !check_length (self->path, error))
    return NULL;

  G_LOCK (claims);
  claimed = claim (self, read_only, error);
  G_UNLOCK (claims);

  return claimed ? g_steal_pointer (&self) : NULL;
}

void
bs_sqlite_claim_close (BsSqliteClaim *self)
{
  G_LOCK (claims);
  if (claims != NULL)
    g_ptr_array_remove_fast (claims, self);
  G_UNLOCK (claims);

  for (guint i = 0; i < self->strays->len; i++)
    close (g_array_index (self->strays, int, i));
  g_array_unref (self->strays);
  if (self->fd >= 0)
    {
      /* Closing alone does not unlock while a child has a copy of the descriptor. */
      flock (self->fd, LOCK_UN);
      close (self->fd);
    }
  g_free (self->path);
  g_free (self);
}

gboolean
bs_sqlite_claim_check (const BsSqliteClaim *self, GError **error)
{
  struct stat named, opened;
  gboolean gone = stat (self->path, &named) != 0;

  if ((gone && errno != ENOENT && errno != ENOTDIR && errno != ELOOP && errno != ESTALE) ||
      fstat (self->fd, &opened) != 0)
    return bs_sqlite_set_errno (_ ("cannot look at the document"), errno, error);
  if (!gone && named.st_dev == opened.st_dev && named.st_ino == opened.st_ino &&
      opened.st_nlink > 0)
    return TRUE;

  g_set_error_literal (error, BS_ERROR, BS_ERROR_MOVED,
                       _ ("the document is not where its name leads"));
  return FALSE;
}

gboolean
bs_sqlite_claim_get_stamp (const BsSqliteClaim *self, BsSqliteStamp *stamp, GError **error)
{
  struct stat status;

  if (fstat (self->fd, &status) != 0)
    return bs_sqlite_set_errno (_ ("cannot look at the document"), errno, error);

  stamp->size = status.st_size;
  stamp->seconds = status.st_mtim.tv_sec;
  stamp->nanoseconds = status.st_mtim.tv_nsec;
  return TRUE;
}

gboolean
bs_sqlite_stamp_equal (const BsSqliteStamp *a, const BsSqliteStamp *b)
{
  return a->size == b->size && a->seconds == b->seconds && a->nanoseconds == b->nanoseconds;
}

gboolean
bs_sqlite_claim_is_local (const BsSqliteClaim *self)
{
  static const guint32 local[] = { BTRFS_SUPER_MAGIC,     EXT4_SUPER_MAGIC, F2FS_SUPER_MAGIC,
                                   OVERLAYFS_SUPER_MAGIC, TMPFS_MAGIC,      XFS_SUPER_MAGIC };
  struct statfs status;

  if (fstatfs (self->fd, &status) != 0)
    return FALSE;
  for (guint i = 0; i < G_N_ELEMENTS (local); i++)
    {
      if ((guint32) status.f_type == local[i])
        return TRUE;
    }

  return FALSE;
}
