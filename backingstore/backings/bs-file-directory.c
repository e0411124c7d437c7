/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "bs-file-directory-private.h"

#include "base/bs-error.h"
#include "base/bs-key-set-private.h"
#include "bs-file-transfer-private.h"
#include "bs-file-walk-private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define N_SHARDS 256

#define FORMAT_VERSION 1

static const char *const markers[] = {
  [BS_FILE_DIRECTORY_SCRATCH] = "backingstore 1 scratch\n",
  [BS_FILE_DIRECTORY_PERSISTED] = "backingstore 1 persisted\n",
};

struct _BsFileDirectory
{
  gatomicrefcount ref_count;

  /* constant */
  BsFileDirectoryKind kind;
  char *path;
  BsFileDirectory *apart; /* or NULL */

  GMutex mutex; /* held while opening */

  /* Constant once `open` is set (atomic). */
  gboolean open;
  int fd;      /* or -1 */
  int lock_fd; /* or -1 */
  struct stat identity;
  pid_t owner; /* a forked child has no say */
  /* FALSE in a scratch directory that held blobs before it was ours: they may
   * be somebody's only copy, so it is never emptied. */
  gboolean marked;

  gboolean masks_owner; /* atomic */

  /* A shard folder's file descriptor + 1, or 0 while there is none; atomic. By
   * file descriptor a folder costs one look-up less, and is certainly not a
   * symbolic link. None is closed before the directory is: another thread may
   * be using it. */
  int shards[N_SHARDS];
  GArray *lost_fds; /* under the mutex: of folders that vanished */
};

/* How many shard folders are open in the process, atomic. */
static int n_open_shards;

typedef struct
{
  BsKeyTable *found;
  gsize n_foreign;
} Listing;

static int
list_entry (BsFileEntry kind,
            int fd,
            const char *name,
            const BsKey *key,
            gpointer user_data)
{
  Listing *listing = user_data;

  if (kind == BS_FILE_ENTRY_BLOB)
    bs_key_table_add (listing->found, key, bs_key_hash (key));
  else if (kind == BS_FILE_ENTRY_FOREIGN)
    listing->n_foreign++;
  else if (kind == BS_FILE_ENTRY_LEFTOVER && unlinkat (fd, name, 0) != 0 && errno != ENOENT)
    return errno;

  return 0;
}

static int
remove_entry (BsFileEntry kind,
              int fd,
              const char *name,
              const BsKey *key,
              gpointer user_data)
{
  int *code = user_data;

  if ((kind == BS_FILE_ENTRY_BLOB || kind == BS_FILE_ENTRY_LEFTOVER) && unlinkat (fd, name, 0) != 0 && errno != ENOENT)
    *code = errno;

  /* Stays if there is something of somebody else's in it. */
  if (kind == BS_FILE_ENTRY_SHARD)
    unlinkat (fd, name, AT_REMOVEDIR);

  return 0;
}

/* EEXIST for whatever must not be in a directory without a marker. */
static int
check_entry (BsFileEntry kind,
             int fd,
             const char *name,
             const BsKey *key,
             gpointer user_data)
{
  gboolean *has_blobs = user_data;

  if (kind == BS_FILE_ENTRY_BLOB)
    *has_blobs = TRUE;

  /* A lock and a temporary are all that a first opening leaves if it is
   * interrupted. A "root" without a marker may be anybody's. */
  if (kind == BS_FILE_ENTRY_FOREIGN || (kind == BS_FILE_ENTRY_OURS && strcmp (name, BS_FILE_LOCK_NAME) != 0))
    return EEXIST;

  return 0;
}

/* Returns ENOENT if there is no marker, EEXIST if it is not a marker for this
 * kind of directory, ENOTSUP if it is of a version that is not known here. */
static int
check_marker (BsFileDirectory *self)
{
  char text[64];
  gssize size;
  guint version;
  struct stat status;
  int code = 0;
  int fd = TEMP_FAILURE_RETRY (openat (self->fd, BS_FILE_MARKER_NAME, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));

  if (fd < 0)
    return errno == ELOOP ? EEXIST : errno;

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
  /* The whole of it: no more may follow, not even zeros. */
  if (strcmp (text, markers[self->kind]) == 0 && status.st_size == (off_t) strlen (text))
    return 0;
  if (sscanf (text, "backingstore %u", &version) == 1 && version != FORMAT_VERSION)
    return ENOTSUP;

  return EEXIST;
}

static int
write_marker (BsFileDirectory *self)
{
  g_autoptr (GBytes) bytes = g_bytes_new_static (markers[self->kind], strlen (markers[self->kind]));

  return bs_file_replace (self, BS_FILE_MARKER_NAME, bytes, NULL);
}

/* EWOULDBLOCK if another process, or another opening in this one, has it. */
static int
take_lock (BsFileDirectory *self)
{
  struct stat status;

  self->lock_fd = TEMP_FAILURE_RETRY (openat (self->fd, BS_FILE_LOCK_NAME, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600));
  if (self->lock_fd < 0)
    return errno;

  if (fstat (self->lock_fd, &status) != 0)
    return errno;
  if (!S_ISREG (status.st_mode))
    return EEXIST;

  if ((status.st_mode & 0600) != 0600)
    fchmod (self->lock_fd, 0600);

  if (TEMP_FAILURE_RETRY (flock (self->lock_fd, LOCK_EX | LOCK_NB)) != 0)
    return errno;

  return 0;
}

static int
make_folder (int fd,
             const char *path)
{
  struct stat status;

  if (mkdirat (fd, path, 0700) != 0)
    return errno;

  /* The umask may have taken our own bits. */
  if (fstatat (fd, path, &status, AT_SYMLINK_NOFOLLOW) == 0 && (status.st_mode & 0700) != 0700)
    fchmodat (fd, path, 0700, 0);

  return 0;
}

static int
make_folders (const char *path)
{
  g_autofree char *parent = NULL;
  int code = make_folder (AT_FDCWD, path);

  if (code == EEXIST)
    return 0;
  if (code != ENOENT)
    return code;

  parent = g_path_get_dirname (path);
  if (strcmp (parent, path) == 0)
    return code;

  code = make_folders (parent);
  if (code != 0)
    return code;

  code = make_folder (AT_FDCWD, path);
  return code == EEXIST ? 0 : code;
}

static gboolean
is_same_file (const struct stat *a,
              const struct stat *b)
{
  return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Whether the open folder is `other`, or inside it. */
static gboolean
is_within (int fd,
           const struct stat *other)
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
set_foreign (BsFileDirectory *self,
             const char *reason,
             GError **error)
{
  g_autofree char *name = g_filename_display_name (self->path);

  g_set_error (error, BS_ERROR, BS_ERROR_FOREIGN, "%s %s", name, reason);

  return FALSE;
}

static gboolean
check_apart (BsFileDirectory *self,
             GError **error)
{
  if (self->apart == NULL)
    return TRUE;

  if (is_within (self->fd, &self->apart->identity) || is_within (self->apart->fd, &self->identity))
    return set_foreign (self, "and the directory for scratch files are one, or one is inside the other", error);

  return TRUE;
}

/* Whether a directory without a marker may become ours. Touches nothing. */
static gboolean
check_layout (BsFileDirectory *self,
              BsFileDirectoryMode mode,
              gboolean *has_blobs,
              GCancellable *cancellable,
              GError **error)
{
  int code;

  *has_blobs = FALSE;
  if (mode == BS_FILE_DIRECTORY_MARKED)
    {
      bs_file_directory_set_error (self, ENOENT, error);
      return FALSE;
    }

  code = bs_file_walk (self->fd, cancellable, check_entry, has_blobs);
  if (code == EEXIST)
    return set_foreign (self, "is not a store: it has no marker, and holds something else than blobs", error);
  if (code != 0)
    {
      bs_file_directory_set_error (self, code, error);
      return FALSE;
    }

  return TRUE;
}

static gboolean
set_marker_error (BsFileDirectory *self,
                  int code,
                  GError **error)
{
  g_autofree char *name = g_filename_display_name (self->path);

  if (code == EEXIST && self->kind == BS_FILE_DIRECTORY_SCRATCH)
    return set_foreign (self, "is marked as something else than a directory for scratch files", error);
  if (code == EEXIST)
    return set_foreign (self, "is marked as something else than a directory for persisted blobs", error);

  if (code == ENOTSUP)
    g_set_error (error, BS_ERROR, BS_ERROR_NOT_SUPPORTED, "%s was written by a newer version", name);
  else
    bs_file_directory_set_error (self, code, error);

  return FALSE;
}

static gboolean
set_lock_error (BsFileDirectory *self,
                int code,
                GError **error)
{
  g_autofree char *name = g_filename_display_name (self->path);

  if (code == EWOULDBLOCK)
    g_set_error (error, BS_ERROR, BS_ERROR_BUSY, "%s is in use by another store", name);
  else if (code == EEXIST || code == ELOOP || code == EISDIR)
    return set_foreign (self, "has something else in the place of its lock", error);
  else
    bs_file_directory_set_error (self, code, error);

  return FALSE;
}

/* Opens the directory itself, and looks where it is. */
static int
open_folder (BsFileDirectory *self,
             BsFileDirectoryMode mode)
{
  const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;

  self->fd = TEMP_FAILURE_RETRY (open (self->path, flags));
  if (self->fd < 0 && errno == ENOENT && mode == BS_FILE_DIRECTORY_ADOPT)
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

/* Takes the lock of a directory that is ours to take, and marks it. */
static gboolean
take_over (BsFileDirectory *self,
           gboolean marked,
           gboolean has_blobs,
           GError **error)
{
  int code;

  /* A lock that exists would open in a directory that can't be written to. */
  if (faccessat (self->fd, ".", R_OK | W_OK | X_OK, AT_EACCESS) != 0)
    {
      bs_file_directory_set_error (self, errno, error);
      return FALSE;
    }

  code = take_lock (self);
  if (code != 0)
    return set_lock_error (self, code, error);

  /* Somebody may have marked it before we had the lock. */
  if (!marked)
    {
      code = check_marker (self);
      marked = code == 0;
      if (code != 0 && code != ENOENT)
        return set_marker_error (self, code, error);
    }

  self->marked = marked || self->kind == BS_FILE_DIRECTORY_PERSISTED || !has_blobs;
  if (self->marked && !marked)
    {
      code = write_marker (self);
      if (code != 0)
        {
          bs_file_directory_set_error (self, code, error);
          return FALSE;
        }
    }

  return TRUE;
}

/* Called with the mutex held. */
static gboolean
open_locked (BsFileDirectory *self,
             BsFileDirectoryMode mode,
             GCancellable *cancellable,
             GError **error)
{
  gboolean has_blobs = FALSE;
  int code;

  code = open_folder (self, mode);
  if (code != 0)
    {
      bs_file_directory_set_error (self, code, error);
      return FALSE;
    }

  if (!check_apart (self, error))
    return FALSE;

  code = check_marker (self);
  if (code != 0 && code != ENOENT)
    return set_marker_error (self, code, error);
  if (code == ENOENT && !check_layout (self, mode, &has_blobs, cancellable, error))
    return FALSE;

  if (!take_over (self, code == 0, has_blobs, error))
    return FALSE;

  /* What is in it was left by a process that crashed. */
  if (self->kind == BS_FILE_DIRECTORY_SCRATCH && self->marked)
    {
      int remove_code = 0;

      code = bs_file_walk (self->fd, cancellable, remove_entry, &remove_code);
      if (code != 0 || remove_code != 0)
        {
          bs_file_directory_set_error (self, code != 0 ? code : remove_code, error);
          return FALSE;
        }
    }

  return TRUE;
}

static void
close_fds (BsFileDirectory *self)
{
  if (self->fd >= 0)
    close (self->fd);
  if (self->lock_fd >= 0)
    close (self->lock_fd);

  self->fd = -1;
  self->lock_fd = -1;
}

BsFileDirectory *
bs_file_directory_new (BsFileDirectoryKind kind,
                       const char *path,
                       BsFileDirectory *apart)
{
  BsFileDirectory *self = g_new0 (BsFileDirectory, 1);

  g_atomic_ref_count_init (&self->ref_count);
  self->kind = kind;
  self->path = g_strdup (path);
  self->apart = apart != NULL ? bs_file_directory_ref (apart) : NULL;
  g_mutex_init (&self->mutex);
  self->fd = -1;
  self->lock_fd = -1;

  return self;
}

BsFileDirectory *
bs_file_directory_ref (BsFileDirectory *self)
{
  g_atomic_ref_count_inc (&self->ref_count);

  return self;
}

/* The last one drops the lock. */
void
bs_file_directory_unref (BsFileDirectory *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;

  for (guint i = 0; i < N_SHARDS; i++)
    {
      if (self->shards[i] != 0)
        {
          close (self->shards[i] - 1);
          g_atomic_int_add (&n_open_shards, -1);
        }
    }
  for (guint i = 0; self->lost_fds != NULL && i < self->lost_fds->len; i++)
    {
      close (g_array_index (self->lost_fds, int, i));
      g_atomic_int_add (&n_open_shards, -1);
    }
  g_clear_pointer (&self->lost_fds, g_array_unref);

  close_fds (self);
  g_clear_pointer (&self->apart, bs_file_directory_unref);
  g_mutex_clear (&self->mutex);
  g_free (self->path);
  g_free (self);
}

gboolean
bs_file_directory_open (BsFileDirectory *self,
                        BsFileDirectoryMode mode,
                        GCancellable *cancellable,
                        GError **error)
{
  g_autoptr (GMutexLocker) locker = NULL;

  if (g_atomic_int_get (&self->open))
    return TRUE;

  locker = g_mutex_locker_new (&self->mutex);
  if (self->open)
    return TRUE;

  if (!open_locked (self, mode, cancellable, error))
    {
      close_fds (self);
      return FALSE;
    }
  self->owner = getpid ();
  g_atomic_int_set (&self->open, TRUE);

  return TRUE;
}

gboolean
bs_file_directory_is_open (BsFileDirectory *self)
{
  return g_atomic_int_get (&self->open);
}

gboolean
bs_file_directory_is_current (BsFileDirectory *self)
{
  struct stat status;

  return stat (self->path, &status) == 0 && is_same_file (&status, &self->identity);
}

int
bs_file_directory_get_fd (BsFileDirectory *self)
{
  return self->fd;
}

gboolean
bs_file_directory_is_scratch (BsFileDirectory *self)
{
  return self->kind == BS_FILE_DIRECTORY_SCRATCH;
}

int
bs_file_directory_list (BsFileDirectory *self,
                        BsKeySet *found,
                        gsize *n_foreign,
                        GCancellable *cancellable)
{
  Listing listing = { bs_key_set_get_table (found), 0 };
  int code;

  code = bs_file_walk (self->fd, cancellable, list_entry, &listing);
  *n_foreign = listing.n_foreign;

  return code;
}

void
bs_file_directory_close_scratch (BsFileDirectory *self,
                                 gboolean whole)
{
  int code = 0;

  if (self->kind != BS_FILE_DIRECTORY_SCRATCH || self->owner != getpid ())
    return;

  /* Nobody waits for an answer; what could not be removed is tried again when
   * the directory is opened the next time. */
  if (self->marked)
    bs_file_walk (self->fd, NULL, remove_entry, &code);

  if (whole && self->marked && bs_file_directory_is_current (self))
    {
      unlinkat (self->fd, BS_FILE_MARKER_NAME, 0);
      unlinkat (self->fd, BS_FILE_LOCK_NAME, 0);
      rmdir (self->path);
    }

  flock (self->lock_fd, LOCK_UN);
}

static int
make_shard (BsFileDirectory *self,
            const char *name)
{
  struct stat status;

  if (mkdirat (self->fd, name, 0700) != 0)
    return errno == EEXIST ? 0 : errno;

  if (fstatat (self->fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && (status.st_mode & 0700) != 0700)
    {
      g_atomic_int_set (&self->masks_owner, TRUE);
      if (fchmodat (self->fd, name, 0700, 0) != 0)
        return errno;
    }

  return 0;
}

/* A quarter of the descriptors that the process may have, for all directories. */
static gboolean
reserve_shard_fd (void)
{
  static gsize max_shards;

  if (g_once_init_enter (&max_shards))
    {
      struct rlimit limit = { 0 };
      gsize max = N_SHARDS;

      if (getrlimit (RLIMIT_NOFILE, &limit) == 0)
        max = MIN (limit.rlim_cur / 4, 16 * N_SHARDS);
      g_once_init_leave (&max_shards, max + 1);
    }

  if ((gsize) g_atomic_int_add (&n_open_shards, 1) < max_shards - 1)
    return TRUE;
  g_atomic_int_add (&n_open_shards, -1);

  return FALSE;
}

/* Opens the shard folder for good, or returns EMFILE. */
static int
open_shard (BsFileDirectory *self,
            guint shard,
            const char *name)
{
  int fd;

  if (!reserve_shard_fd ())
    return EMFILE;

  fd = TEMP_FAILURE_RETRY (openat (self->fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (fd < 0)
    {
      int code = errno;

      g_atomic_int_add (&n_open_shards, -1);
      return code;
    }

  /* If another thread was first, its descriptor is as good. */
  if (!g_atomic_int_compare_and_exchange (&self->shards[shard], 0, fd + 1))
    {
      close (fd);
      g_atomic_int_add (&n_open_shards, -1);
    }

  return 0;
}

static int
check_shard (BsFileDirectory *self,
             const char *name)
{
  char target;

  if (readlinkat (self->fd, name, &target, sizeof target) >= 0)
    return ELOOP;

  return errno == EINVAL ? 0 : errno;
}

int
bs_file_directory_locate (BsFileDirectory *self,
                          const BsKey *key,
                          gboolean make,
                          BsFileLocation *location)
{
  int code;

  bs_key_print_hex (key, location->path + 3);
  location->path[0] = location->path[3];
  location->path[1] = location->path[4];
  location->path[2] = '/';
  location->shard = ((const guint8 *) key)[0];

  for (;;)
    {
      char name[3] = { location->path[0], location->path[1], '\0' };

      location->fd = g_atomic_int_get (&self->shards[location->shard]) - 1;
      location->name = location->path + 3;
      if (location->fd >= 0)
        return 0;

      code = open_shard (self, location->shard, name);
      if (code == EMFILE || code == ENFILE)
        {
          /* Without a descriptor of its own the folder must be looked at each time. */
          code = check_shard (self, name);
          if (code == 0)
            {
              location->fd = self->fd;
              location->name = location->path;
              return 0;
            }
        }

      if (code == ENOENT && make)
        {
          code = make_shard (self, name);
          make = FALSE;
        }
      if (code != 0)
        return code;
    }
}

gboolean
bs_file_directory_lost (BsFileDirectory *self,
                        const BsFileLocation *location)
{
  struct stat status;

  if (location->fd == self->fd)
    {
      const char name[3] = { location->path[0], location->path[1], '\0' };

      return check_shard (self, name) != 0;
    }

  if (fstat (location->fd, &status) == 0 && status.st_nlink > 0)
    return FALSE;

  if (g_atomic_int_compare_and_exchange (&self->shards[location->shard], location->fd + 1, 0))
    {
      g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->mutex);

      if (self->lost_fds == NULL)
        self->lost_fds = g_array_new (FALSE, FALSE, sizeof (int));
      g_array_append_val (self->lost_fds, location->fd);
    }

  return TRUE;
}

int
bs_file_directory_make_temporary (BsFileDirectory *self,
                                  char name[BS_FILE_TEMPORARY_SIZE],
                                  int *fd)
{
  BsKey key;

  bs_key_init_random (&key);
  strcpy (name, BS_FILE_TEMPORARY_PREFIX);
  bs_key_print_hex (&key, name + strlen (BS_FILE_TEMPORARY_PREFIX));

  *fd = TEMP_FAILURE_RETRY (openat (self->fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (*fd < 0)
    return errno;

  /* Where permissions can't be set there are none to set. */
  fchmod (*fd, 0600);

  return 0;
}

gboolean
bs_file_directory_masks_owner (BsFileDirectory *self)
{
  return g_atomic_int_get (&self->masks_owner);
}

void
bs_file_directory_set_error (BsFileDirectory *self,
                             int code,
                             GError **error)
{
  g_autofree char *name = g_filename_display_name (self->path);

  if (code == ECANCELED)
    g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_CANCELLED, "the operation was cancelled");
  else if (code == EBADMSG)
    g_set_error (error, BS_ERROR, BS_ERROR_CORRUPT, "what is in %s is not a whole regular file", name);
  else if (code == ELOOP)
    g_set_error (error, BS_ERROR, BS_ERROR_FOREIGN, "a symbolic link in %s is not followed", name);
  else
    g_set_error (error, G_IO_ERROR, g_io_error_from_errno (code), "%s: %s", name, g_strerror (code));
}
