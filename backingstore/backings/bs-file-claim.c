/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "bs-file-claim-private.h"

#include "base/bs-error.h"
#include "base/bs-fork-private.h"
#include "bs-file-io-private.h"
#include "bs-file-system-private.h"
#include "bs-file-walk-private.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n-lib.h>
#include <stdio.h>
#include <unistd.h>

#define FORMAT_VERSION 1

static const char *const markers[] = {
  [BS_FILE_DIRECTORY_SCRATCH] = "backingstore 1 scratch\n",
  [BS_FILE_DIRECTORY_PERSISTED] = "backingstore 1 persisted\n",
};

/* The contents of a directory without a marker. */
typedef struct
{
  gboolean has_blobs;
  gboolean has_shards;
  gboolean has_root;
  gboolean has_others;
  gboolean takes_others; /* beside blobs */
} Layout;

/* Returns EEXIST for an entry that a directory without a marker must not have. */
static int
check_entry (BsFileEntry kind, int fd, const char *name, const BsKey *key, gpointer user_data)
{
  Layout *layout = user_data;

  layout->has_blobs |= kind == BS_FILE_ENTRY_BLOB;
  layout->has_shards |= kind == BS_FILE_ENTRY_SHARD;
  layout->has_others |= kind == BS_FILE_ENTRY_FOREIGN;
  if (kind != BS_FILE_ENTRY_OURS)
    return kind == BS_FILE_ENTRY_FOREIGN && !layout->takes_others ? EEXIST : 0;

  /* An interrupted first opening leaves a lock and a temporary file at most. */
  layout->has_root |= strcmp (name, BS_FILE_ROOT_NAME) == 0;

  if (strcmp (name, BS_FILE_ROOT_NAME) == 0 || strcmp (name, BS_FILE_LOCK_NAME) == 0)
    return 0;

  return layout->takes_others ? 0 : EEXIST;
}

/* Whether the errno of opening says that something else than a file stands there: a
 * symbolic link, a folder, a socket, or a device that is not there. */
static gboolean
is_odd_kind (int code)
{
  return code == ELOOP || code == EISDIR || code == ENXIO || code == ENODEV;
}

/* Returns ENOENT if there is no marker, EEXIST if it marks no directory of this kind, EBADMSG
 * if it says nothing, ENOTSUP if a newer version wrote it. */
static int
check_marker (BsFileClaim *self)
{
  char text[64];
  gssize size;
  guint version;
  struct stat status;
  int code = 0;
  int fd = TEMP_FAILURE_RETRY (
    openat (self->fd, BS_FILE_MARKER_NAME, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));

  if (fd < 0)
    return is_odd_kind (errno) ? EEXIST : errno;

  size = -1;
  if (fstat (fd, &status) != 0)
    code = errno;
  else if (!S_ISREG (status.st_mode))
    code = EEXIST;
  else if ((size = TEMP_FAILURE_RETRY (read (fd, text, sizeof text - 1))) < 0)
    code = errno;
  close (fd);
  if (code != 0)
    return code;

  text[size] = '\0';
  /* The file ends there, without even zeros. */
  if (strcmp (text, markers[self->kind]) == 0 && status.st_size == (off_t) strlen (text))
    return 0;
  if (sscanf (text, "backingstore %u", &version) == 1 && version != FORMAT_VERSION)
    return ENOTSUP;

  return g_str_has_prefix (text, "backingstore ") ? EEXIST : EBADMSG;
}

static int
write_marker (BsFileClaim *self)
{
  g_autoptr (GBytes) bytes = g_bytes_new_static (markers[self->kind], strlen (markers[self->kind]));

  return bs_file_replace (self->fd, BS_FILE_MARKER_NAME, bytes, FALSE, NULL);
}

/* A new folder is not durable before its parent is. The file system of a parent that
 * may not be read is synced as a whole. */
static int
sync_parent (const char *path, const char *parent)
{
  const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
  int fd = TEMP_FAILURE_RETRY (open (parent, flags));
  const gboolean unreadable = fd < 0 && errno == EACCES;
  int code = 0;

  if (unreadable)
    fd = TEMP_FAILURE_RETRY (open (path, flags));
  if (fd < 0)
    return errno;

  if (unreadable)
    code = TEMP_FAILURE_RETRY (syncfs (fd)) == 0 ? 0 : errno;
  else
    code = bs_file_system_sync_folder (fd);
  close (fd);

  return code;
}

static int
make_folder (const char *path)
{
  struct stat status;

  if (mkdir (path, 0700) != 0)
    return errno;

  /* The umask may have masked the owner's bits. */
  if (fstatat (AT_FDCWD, path, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
      (status.st_mode & 0700) != 0700)
    fchmodat (AT_FDCWD, path, 0700, 0);

  return 0;
}

static int
make_folders (const char *path)
{
  g_autofree char *parent = g_path_get_dirname (path);
  int code = make_folder (path);

  if (code == ENOENT && strcmp (parent, path) != 0)
    {
      code = make_folders (parent);
      if (code == 0)
        code = make_folder (path);
    }

  if (code == EEXIST)
    return 0;

  if (code != 0)
    return code;

  /* The next attempt must not take a folder that is not durable for an old one. */
  code = sync_parent (path, parent);
  if (code != 0)
    rmdir (path);

  return code;
}

static gboolean
is_same_file (const struct stat *a, const struct stat *b)
{
  return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Whether the open folder is `other` or inside it. */
static gboolean
is_within (int fd, const struct stat *other)
{
  int at = openat (fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
  gboolean within = FALSE;
  struct stat status;
  struct stat child = { 0 };

  while (at >= 0 && fstat (at, &status) == 0 && !is_same_file (&status, &child))
    {
      int parent;

      within = is_same_file (&status, other);
      if (within)
        break;

      child = status;
      parent = openat (at, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
      close (at);
      at = parent;
    }
  if (at >= 0)
    close (at);

  return within;
}

static gboolean
set_foreign (BsFileClaim *self, const char *reason, GError **error)
{
  g_autofree char *name = g_filename_display_name (bs_file_claim_get_path (self));

  g_set_error (error, BS_ERROR, BS_ERROR_FOREIGN, "%s: %s", name, reason);

  return FALSE;
}

static gboolean
check_apart (BsFileClaim *self, const BsFileClaim *apart, GError **error)
{
  if (apart == NULL)
    return TRUE;

  if (is_within (self->fd, &apart->identity) || is_within (apart->fd, &self->identity))
    return set_foreign (
      self, _ ("the document and the scratch directory are one, or one is inside the other"),
      error);

  return TRUE;
}

static const char *
describe_foreign (BsFileClaim *self, BsFileDirectoryMode mode)
{
  if (self->kind == BS_FILE_DIRECTORY_SCRATCH)
    return _ ("the directory is not for scratch files: it has no marker, and holds other files "
              "than blobs");
  if (mode == BS_FILE_DIRECTORY_REPAIR)
    return _ ("this is not a document: the directory has no marker that can be read, and no blobs");

  return _ ("this is not a document: the directory has no marker, and holds other files than "
            "blobs");
}

/* Whether a directory without a marker may become ours. Touches nothing. */
static gboolean
check_layout (BsFileClaim *self,
              BsFileDirectoryMode mode,
              gboolean *has_blobs,
              GCancellable *cancellable,
              GError **error)
{
  Layout layout = { FALSE };
  int code;

  if (mode == BS_FILE_DIRECTORY_MARKED)
    {
      bs_file_claim_set_error (self, ENOENT, error);
      return FALSE;
    }

  layout.takes_others = mode == BS_FILE_DIRECTORY_REPAIR;
  code = bs_file_walk (self->fd, cancellable, check_entry, &layout);
  *has_blobs = layout.has_blobs;
  if (code == 0 && layout.has_others && !layout.has_blobs)
    code = EEXIST;
  /* A copy that lost its dot files has a root beside its folders. A file of that name
   * alone may be anybody's, and scratch has none. */
  if (code == 0 && layout.has_root &&
      (!layout.has_shards || self->kind == BS_FILE_DIRECTORY_SCRATCH))
    code = EEXIST;
  if (code == EEXIST)
    return set_foreign (self, describe_foreign (self, mode), error);
  if (code != 0)
    {
      bs_file_claim_set_error (self, code, error);
      return FALSE;
    }

  return TRUE;
}

static gboolean
set_marker_error (BsFileClaim *self, int code, GError **error)
{
  g_autofree char *name = g_filename_display_name (bs_file_claim_get_path (self));

  if (code == EBADMSG)
    return set_foreign (self, _ ("the marker, the file .backingstore, is damaged"), error);
  if (code == EEXIST && self->kind == BS_FILE_DIRECTORY_SCRATCH)
    return set_foreign (self, _ ("the directory is marked for another use than scratch files"),
                        error);
  if (code == EEXIST)
    return set_foreign (self, _ ("the directory is marked for another use than persisted blobs"),
                        error);

  if (code == ENOTSUP)
    g_set_error (error, BS_ERROR, BS_ERROR_NOT_SUPPORTED, _ ("%s was written by a newer version"),
                 name);
  else
    bs_file_claim_set_error (self, code, error);

  return FALSE;
}

static gboolean
set_lock_error (BsFileClaim *self, int code, GError **error)
{
  g_autofree char *name = g_filename_display_name (bs_file_claim_get_path (self));

  if (code == EWOULDBLOCK)
    g_set_error (error, BS_ERROR, BS_ERROR_BUSY, _ ("%s is in use by another store"), name);
  else if (code == ENOLCK)
    g_set_error (
      error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
      _ (
        "the file system of %s has no locks, without which two programs would destroy each other's files"),
      name);
  else if (code == EEXIST || is_odd_kind (code))
    return set_foreign (self, _ ("another kind of file stands in the place of .lock"), error);
  else
    bs_file_claim_set_error (self, code, error);

  return FALSE;
}

/* Opens the directory itself, and makes it first if it may. */
static int
open_folder (BsFileClaim *self, BsFileDirectoryMode mode)
{
  const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;

  self->fd = TEMP_FAILURE_RETRY (open (self->path, flags));
  if (self->fd < 0 && errno == ENOENT && mode == BS_FILE_DIRECTORY_ADOPT && !self->read_only)
    {
      int code = make_folders (self->path);

      if (code != 0)
        return code;
      self->fd = TEMP_FAILURE_RETRY (open (self->path, flags));
    }
  if (self->fd < 0 || fstat (self->fd, &self->identity) != 0)
    return errno;

  return 0;
}

/* Blobs of another program carry no hash, so that a power cut could truncate them
 * unnoticed: they are made durable first. */
static int
adopt (BsFileClaim *self, gboolean has_blobs)
{
  int code = has_blobs ? bs_file_sync_all (self->fd, NULL) : 0;

  return code != 0 ? code : write_marker (self);
}

/* Whether the lock is out of reach in a directory that is not. */
static gboolean
has_lock_of_another_user (BsFileClaim *self)
{
  struct stat status;

  return fstatat (self->fd, BS_FILE_LOCK_NAME, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
         status.st_uid != geteuid ();
}

/* A file system that an error has made read-only may say so when a file is opened, not before. */
static gboolean
refuses_lock (BsFileClaim *self, int code)
{
  return self->kind == BS_FILE_DIRECTORY_PERSISTED &&
         (code == EROFS || (code == EACCES && has_lock_of_another_user (self)));
}

/* A refusal is asked for twice, for it holds until the directory is released. */
static int
take_lock (BsFileClaim *self)
{
  int code = bs_file_lock_take (&self->lock, self->fd);

  return refuses_lock (self, code) ? bs_file_lock_take (&self->lock, self->fd) : code;
}

static gboolean
take_to_read (BsFileClaim *self, GError **error)
{
  int code = bs_file_lock_share (&self->lock, self->fd);

  self->refusal = EROFS;

  return code == 0 || set_lock_error (self, code, error);
}

/* Whether the errno of the marker lets the directory be marked. */
static gboolean
may_mark (int code, BsFileDirectoryMode mode)
{
  return code == ENOENT || (code == EBADMSG && mode == BS_FILE_DIRECTORY_REPAIR);
}

/* Takes the lock, and marks the directory if it has no marker yet. */
static gboolean
take_over (BsFileClaim *self,
           BsFileDirectoryMode mode,
           gboolean marked,
           gboolean has_blobs,
           GError **error)
{
  int code;

  if (faccessat (self->fd, ".", R_OK | X_OK, AT_EACCESS) != 0)
    {
      bs_file_claim_set_error (self, errno, error);
      return FALSE;
    }

  if (self->read_only)
    return take_to_read (self, error);

  /* An old lock file would open in a directory that can't be written to. */
  code = faccessat (self->fd, ".", W_OK, AT_EACCESS) != 0 ? errno : 0;
  if (self->kind == BS_FILE_DIRECTORY_PERSISTED &&
      (code == EROFS || code == EACCES || code == EPERM))
    {
      self->refusal = code;
      return TRUE;
    }
  if (code != 0)
    {
      bs_file_claim_set_error (self, code, error);
      return FALSE;
    }

  code = take_lock (self);
  if (refuses_lock (self, code))
    {
      self->refusal = code;
      return TRUE;
    }
  if (code != 0)
    return set_lock_error (self, code, error);

  /* Another process may have marked it before we had the lock. */
  if (!marked)
    {
      code = check_marker (self);
      marked = code == 0;
      if (code != 0 && !may_mark (code, mode))
        return set_marker_error (self, code, error);
    }

  self->marked = marked || self->kind == BS_FILE_DIRECTORY_PERSISTED || !has_blobs;
  if (self->marked && !marked)
    {
      code = adopt (self, has_blobs);
      if (code != 0)
        {
          bs_file_claim_set_error (self, code, error);
          return FALSE;
        }
    }

  return TRUE;
}

static gboolean
take (BsFileClaim *self,
      const BsFileClaim *apart,
      BsFileDirectoryMode mode,
      GCancellable *cancellable,
      GError **error)
{
  gboolean has_blobs = FALSE;
  int code;

  code = open_folder (self, mode);
  if (code != 0)
    {
      bs_file_claim_set_error (self, code, error);
      return FALSE;
    }

  if (!check_apart (self, apart, error))
    return FALSE;

  code = check_marker (self);
  if (code != 0 && !may_mark (code, mode))
    return set_marker_error (self, code, error);
  if (code != 0 && !check_layout (self, mode, &has_blobs, cancellable, error))
    return FALSE;

  self->found_unmarked = code != 0;

  return take_over (self, mode, code == 0, has_blobs, error);
}

void
bs_file_claim_init (BsFileClaim *self, BsFileDirectoryKind kind, const char *path)
{
  self->kind = kind;
  self->path = g_strdup (path);
  self->old_paths = g_ptr_array_new_with_free_func (g_free);
  self->fd = -1;
  bs_file_lock_init (&self->lock);
}

void
bs_file_claim_clear (BsFileClaim *self)
{
  bs_file_claim_drop (self);
  g_clear_pointer (&self->path, g_free);
  g_clear_pointer (&self->old_paths, g_ptr_array_unref);
}

void
bs_file_claim_set_path (BsFileClaim *self, const char *path)
{
  char *old = self->path;

  if (strcmp (old, path) == 0)
    return;

  g_atomic_pointer_set (&self->path, g_strdup (path));
  g_ptr_array_add (self->old_paths, old);
}

gboolean
bs_file_claim_take (BsFileClaim *self,
                    const BsFileClaim *apart,
                    BsFileDirectoryMode mode,
                    GCancellable *cancellable,
                    GError **error)
{
  self->n_forks = bs_n_forks;
  if (take (self, apart, mode, cancellable, error))
    return TRUE;

  bs_file_claim_drop (self);

  return FALSE;
}

/* Takes over `other`, whose directory gets our descriptor's number. */
static void
adopt_claim (BsFileClaim *self, BsFileClaim *other)
{
  bs_file_lock_close (&self->lock);
  self->lock = other->lock;
  bs_file_lock_init (&other->lock);
  self->identity = other->identity;
  self->marked = other->marked;
  g_atomic_int_set (&self->refusal, other->refusal);
}

gboolean
bs_file_claim_take_again (BsFileClaim *self, const char *path, GError **error)
{
  BsFileClaim claim = { 0 };
  gboolean taken;

  bs_file_claim_init (&claim, self->kind, path);
  claim.read_only = self->read_only;
  taken = bs_file_claim_take (&claim, NULL, BS_FILE_DIRECTORY_ADOPT, NULL, error);
  if (taken && claim.refusal == 0 && is_same_file (&claim.identity, &self->identity) &&
      dup3 (claim.fd, self->fd, O_CLOEXEC) >= 0)
    adopt_claim (self, &claim);
  bs_file_claim_clear (&claim);

  return taken;
}

gboolean
bs_file_claim_renew_marker (BsFileClaim *self, GError **error)
{
  int code = check_marker (self);

  if (code == ENOENT)
    code = write_marker (self);

  return code == 0 || set_marker_error (self, code, error);
}

gboolean
bs_file_claim_renew_lock (BsFileClaim *self, GError **error)
{
  int code = bs_file_lock_renew (&self->lock, self->fd);

  if (code != 0)
    return set_lock_error (self, code, error);

  /* The program that removed the lock file may have removed the marker. */
  return bs_file_claim_renew_marker (self, error);
}

gboolean
bs_file_claim_replace (BsFileClaim *self)
{
  BsFileClaim claim = { 0 };
  struct stat status;
  gboolean taken;

  if (fstat (self->fd, &status) != 0 || status.st_nlink > 0)
    return FALSE;

  bs_file_claim_init (&claim, self->kind, self->path);
  taken = bs_file_claim_take (&claim, NULL, BS_FILE_DIRECTORY_ADOPT, NULL, NULL) &&
          dup3 (claim.fd, self->fd, O_CLOEXEC) >= 0;
  if (taken)
    adopt_claim (self, &claim);
  bs_file_claim_clear (&claim);

  return taken;
}

/* A forked child closes its copies, and unlocks nothing. */
void
bs_file_claim_drop (BsFileClaim *self)
{
  if (self->n_forks == bs_n_forks)
    bs_file_lock_drop (&self->lock, self->fd);
  else
    bs_file_lock_close (&self->lock);
  if (self->fd >= 0)
    close (self->fd);

  self->fd = -1;
}

int
bs_file_claim_check (const BsFileClaim *self)
{
  struct stat named;
  struct stat held;

  /* Both directories are asked now: file systems give numbers again, or change them. */
  if (stat (bs_file_claim_get_path (self), &named) != 0)
    return errno == ENOENT || errno == ENOTDIR || errno == ELOOP ? ESTALE : errno;
  if (fstat (self->fd, &held) != 0)
    return errno;
  if (held.st_nlink == 0 || !is_same_file (&named, &held))
    return ESTALE;

  return self->refusal == 0 ? bs_file_lock_check (&self->lock, self->fd) : 0;
}

GIOErrorEnum
bs_file_get_error_code (int code)
{
  return code == EDQUOT ? G_IO_ERROR_NO_SPACE : g_io_error_from_errno (code);
}

void
bs_file_claim_set_error (const BsFileClaim *self, int code, GError **error)
{
  g_autofree char *name = g_filename_display_name (bs_file_claim_get_path (self));

  if (code == ECANCELED)
    g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_CANCELLED,
                         _ ("the operation was cancelled"));
  else if (code == EBADMSG)
    g_set_error (error, BS_ERROR, BS_ERROR_CORRUPT, _ ("a file in %s is not a whole regular file"),
                 name);
  else if (code == EILSEQ)
    g_set_error (error, BS_ERROR, BS_ERROR_CORRUPT,
                 _ (
                   "a file in %s has not the content that was written: its length or hash differs"),
                 name);
  else if (code == ESTALE)
    g_set_error (error, G_IO_ERROR, g_io_error_from_errno (code),
                 _ ("a folder in %s was moved elsewhere while it was in use"), name);
  else if (code == ELOOP)
    g_set_error (error, BS_ERROR, BS_ERROR_FOREIGN, _ ("a symbolic link in %s is not followed"),
                 name);
  else
    g_set_error (error, G_IO_ERROR, bs_file_get_error_code (code), "%s: %s", name,
                 g_strerror (code));
}
