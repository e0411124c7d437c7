/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "bs-file-directory-private.h"

#include "base/bs-error.h"
#include "base/bs-fork-private.h"
#include "bs-file-io-private.h"
#include "bs-file-leftovers-private.h"
#include "bs-file-system-private.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n-lib.h>
#include <sys/xattr.h>
#include <unistd.h>

/* Below this, reserving takes longer than it saves. */
#define MIN_RESERVED (256 * 1024)

struct _BsFileDirectory
{
  gatomicrefcount ref_count;

  /* constant */
  BsFileDirectory *apart; /* or NULL */

  GMutex mutex; /* held while opening */

  /* Constant once `open` is set (atomic). */
  gboolean open;
  BsFileClaim claim;

  gboolean masks_owner;        /* atomic: the umask may mask the owner's bits */
  gboolean refuses_attributes; /* atomic: the whole file system does */
  gboolean refuses_noatime;    /* atomic: another user owns a file in it */
  gboolean lacks_digests;      /* atomic: a blob in it may have no digest */
  gboolean moved;              /* atomic: the name did not lead here when last asked */
  gboolean is_ext4;            /* constant while open */
  mode_t mode;                 /* constant while open: of new files */
  gboolean gives_owner;        /* constant while open */

  BsFileShards shards;
  BsFileLeftovers leftovers; /* in a scratch directory */

  BsFileShardTimes shard_times;   /* in a persisted directory */
  BsFileChanges changes;          /* in a persisted directory */
  BsFileKeys uncertain;           /* in a scratch directory */
  BsFileKeys failed_writes;       /* in a scratch directory */
  BsFileKeys files;               /* in a scratch directory */
  BsFileKeys unhashed;            /* in a scratch directory */
  BsFileDigests digests;          /* in a scratch directory */
  BsFileSlots slots;              /* in a scratch directory */
  gsize counts[BS_FILE_N_COUNTS]; /* atomic */
};

/* Opening neither waits for a pipe nor follows a link that stands in a blob's place. */
#define OPEN_FLAGS (O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)

/* Blobs without a marker may be somebody's only copy, and blobs of another machine may be in
 * use. */
static gboolean
is_ours_to_empty (BsFileDirectory *self)
{
  return self->claim.marked && self->claim.lock.absent_holder == NULL;
}

gboolean
bs_file_directory_has_leftovers (BsFileDirectory *self)
{
  return self->leftovers.any;
}

/* The umask shows in a new folder, and not in one that stays. */
static int
sweep_shard (BsFileDirectory *self, guint shard, GCancellable *cancellable)
{
  return bs_file_leftovers_sweep (&self->leftovers, self->claim.fd, shard, &self->masks_owner,
                                  cancellable);
}

void
bs_file_directory_sweep (BsFileDirectory *self, GCancellable *cancellable)
{
  for (guint shard = 0; shard < BS_FILE_N_SHARDS && !g_cancellable_is_cancelled (cancellable);
       shard++)
    sweep_shard (self, shard, cancellable);
}

static int
empty_scratch (BsFileDirectory *self, GCancellable *cancellable)
{
  return bs_file_leftovers_remove_all (self->claim.fd, &self->masks_owner, cancellable);
}

/* Whether a new file gets a group or an access list that a linked file would not have. */
static gboolean
gives_owner (int fd)
{
  struct stat status;

  if (fgetxattr (fd, "system.posix_acl_default", NULL, 0) > 0)
    return TRUE;

  return fstat (fd, &status) == 0 && (status.st_mode & S_ISGID) && status.st_gid != getegid ();
}

/* Called with the mutex held. */
static gboolean
open_locked (BsFileDirectory *self,
             BsFileDirectoryMode mode,
             GCancellable *cancellable,
             GError **error)
{
  const BsFileClaim *apart = self->apart != NULL ? &self->apart->claim : NULL;
  int code = 0;

  if (!bs_file_claim_take (&self->claim, apart, mode, cancellable, error))
    return FALSE;

  self->mode = 0600;
  if (!bs_file_directory_is_scratch (self))
    {
      self->mode = bs_file_get_mode (self->claim.fd);
      self->gives_owner = gives_owner (self->claim.fd);
    }
  else
    {
      /* A process that crashed left the blobs in it. */
      if (is_ours_to_empty (self))
        code = bs_file_leftovers_find (&self->leftovers, self->claim.fd, cancellable);
      else
        g_atomic_int_set (&self->masks_owner, TRUE);
      self->lacks_digests = !is_ours_to_empty (self);
      self->is_ext4 = bs_file_system_is_ext4 (self->claim.fd);
      self->slots.lays_out = bs_file_system_keeps_blocks (self->claim.fd);
    }

  if (code != 0)
    {
      bs_file_directory_set_error (self, code, error);
      bs_file_claim_drop (&self->claim);
    }

  return code == 0;
}

static gboolean replace_scratch (BsFileDirectory *self);

/* For a file system that takes no file without a name. The name goes when scratch is
 * emptied: some file systems hide a file that is removed while it is open, and remove it
 * some time after it is closed. */
static int
open_named (BsFileDirectory *self, int *fd)
{
  char name[BS_FILE_TEMPORARY_SIZE];

  bs_file_make_temporary_name (name);

  return bs_file_open_temporary (self->claim.fd, name, fd);
}

static int
open_nameless (gpointer data, int *fd)
{
  BsFileDirectory *self = data;

  for (;;)
    {
      int code;

      *fd = TEMP_FAILURE_RETRY (openat (self->claim.fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
      if (*fd >= 0)
        return 0;

      code = open_named (self, fd);
      if (code != ENOENT || !replace_scratch (self))
        return code;
    }
}

BsFileDirectory *
bs_file_directory_new (BsFileDirectoryKind kind, const char *path, BsFileDirectory *apart)
{
  BsFileDirectory *self = g_new0 (BsFileDirectory, 1);

  g_atomic_ref_count_init (&self->ref_count);
  bs_file_claim_init (&self->claim, kind, path);
  self->apart = apart != NULL ? bs_file_directory_ref (apart) : NULL;
  g_mutex_init (&self->mutex);
  bs_file_shards_init (&self->shards);
  bs_file_leftovers_init (&self->leftovers);
  bs_file_changes_init (&self->changes);
  bs_file_keys_init (&self->uncertain);
  bs_file_keys_init (&self->failed_writes);
  bs_file_digests_init (&self->digests);
  bs_file_keys_init (&self->files);
  bs_file_keys_init (&self->unhashed);
  bs_file_slots_init (&self->slots, open_nameless, self);

  return self;
}

void
bs_file_directory_set_read_only (BsFileDirectory *self)
{
  self->claim.read_only = TRUE;
}

gboolean
bs_file_directory_is_read_only (BsFileDirectory *self)
{
  return self->claim.read_only;
}

BsFileDirectory *
bs_file_directory_ref (BsFileDirectory *self)
{
  g_atomic_ref_count_inc (&self->ref_count);

  return self;
}

/* The last reference drops the lock. */
void
bs_file_directory_unref (BsFileDirectory *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;

  bs_file_slots_clear (&self->slots);
  bs_file_keys_clear (&self->unhashed);
  bs_file_keys_clear (&self->files);
  bs_file_keys_clear (&self->uncertain);
  bs_file_keys_clear (&self->failed_writes);
  bs_file_digests_clear (&self->digests);
  bs_file_changes_clear (&self->changes);
  bs_file_claim_clear (&self->claim);
  g_clear_pointer (&self->apart, bs_file_directory_unref);
  /* A thread of the parent may have held that lock when a child was forked. */
  if (bs_file_directory_check_fork (self, NULL))
    bs_file_leftovers_clear (&self->leftovers);
  bs_file_shards_clear (&self->shards);
  g_mutex_clear (&self->mutex);
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
    return FALSE;
  g_atomic_int_set (&self->open, TRUE);

  return TRUE;
}

gboolean
bs_file_directory_is_open (BsFileDirectory *self)
{
  return g_atomic_int_get (&self->open);
}

gboolean
bs_file_directory_check_fork (BsFileDirectory *self, GError **error)
{
  return bs_fork_check (self->claim.n_forks, error);
}

gboolean
bs_file_directory_was_unmarked (BsFileDirectory *self)
{
  return self->claim.found_unmarked;
}

gboolean
bs_file_directory_is_same (BsFileDirectory *self, const struct stat *status)
{
  struct stat ours;

  return fstat (self->claim.fd, &ours) == 0 && ours.st_nlink > 0 && ours.st_dev == status->st_dev &&
         ours.st_ino == status->st_ino;
}

int
bs_file_directory_get_refusal (BsFileDirectory *self)
{
  return g_atomic_int_get (&self->claim.refusal);
}

/* The name leads elsewhere, or the lock is lost. */
static gboolean
is_move (int code)
{
  return code == ESTALE || code == ENOLCK;
}

/* The lock may be replaced by another thread, which has the mutex. */
static int
check_current (BsFileDirectory *self)
{
  int code;

  g_mutex_lock (&self->mutex);
  code = bs_file_claim_check (&self->claim);
  g_mutex_unlock (&self->mutex);

  if (code == 0 || is_move (code))
    g_atomic_int_set (&self->moved, code != 0);

  return code;
}

gboolean
bs_file_directory_is_current (BsFileDirectory *self)
{
  return check_current (self) == 0;
}

gboolean
bs_file_directory_check_moved (BsFileDirectory *self, GError **error)
{
  g_autofree char *name = NULL;
  int code = check_current (self);

  if (code == 0)
    return TRUE;

  if (!is_move (code))
    {
      bs_file_directory_set_error (self, code, error);
      return FALSE;
    }

  name = g_filename_display_name (bs_file_claim_get_path (&self->claim));
  g_set_error (
    error, BS_ERROR, BS_ERROR_MOVED,
    code == ESTALE
      ? _ ("%s does not lead to the directory that was opened: it was renamed, replaced or removed")
      : _ ("%s has lost its lock: another program has opened it, or replaced the file .lock"),
    name);

  return FALSE;
}

gboolean
bs_file_directory_check_marker (BsFileDirectory *self, GError **error)
{
  gboolean marked;

  if (bs_file_directory_get_refusal (self) != 0)
    return TRUE;

  g_mutex_lock (&self->mutex);
  marked = bs_file_claim_renew_marker (&self->claim, error);
  g_mutex_unlock (&self->mutex);

  return marked;
}

gboolean
bs_file_directory_check_change (BsFileDirectory *self, GError **error)
{
  int code;

  if (G_UNLIKELY (g_atomic_int_get (&self->moved)) && !bs_file_directory_check_moved (self, error))
    return FALSE;

  code = bs_file_directory_get_refusal (self);
  if (code == 0)
    return TRUE;

  if (self->claim.read_only)
    {
      g_autofree char *name = g_filename_display_name (bs_file_claim_get_path (&self->claim));

      g_set_error (error, G_IO_ERROR, G_IO_ERROR_READ_ONLY, _ ("%s was opened for reading alone"),
                   name);
      return FALSE;
    }

  bs_file_directory_set_error (self, code, error);
  return FALSE;
}

mode_t
bs_file_directory_get_mode (BsFileDirectory *self)
{
  return self->mode;
}

gboolean
bs_file_directory_gives_owner (BsFileDirectory *self)
{
  return self->gives_owner;
}

int
bs_file_directory_get_fd (BsFileDirectory *self)
{
  return self->claim.fd;
}

gboolean
bs_file_directory_is_scratch (BsFileDirectory *self)
{
  return self->claim.kind == BS_FILE_DIRECTORY_SCRATCH;
}

BsFileShardTimes *
bs_file_directory_get_shard_times (BsFileDirectory *self)
{
  return &self->shard_times;
}

BsFileChanges *
bs_file_directory_get_changes (BsFileDirectory *self)
{
  return &self->changes;
}

BsFileKeys *
bs_file_directory_get_uncertain (BsFileDirectory *self)
{
  return &self->uncertain;
}

BsFileKeys *
bs_file_directory_get_failed_writes (BsFileDirectory *self)
{
  return &self->failed_writes;
}

BsFileSlots *
bs_file_directory_get_slots (BsFileDirectory *self)
{
  return bs_file_directory_is_scratch (self) && is_ours_to_empty (self) ? &self->slots : NULL;
}

guint
bs_file_directory_get_n_given (BsFileDirectory *self)
{
  return bs_file_slots_get_n_given (&self->slots);
}

gboolean
bs_file_directory_makes_room (BsFileDirectory *self, guint n_given, int code)
{
  return (code == ENOSPC || code == EDQUOT) && bs_file_slots_give_back (&self->slots, n_given);
}

BsFileDigests *
bs_file_directory_get_digests (BsFileDirectory *self)
{
  return &self->digests;
}

BsFileKeys *
bs_file_directory_get_unhashed (BsFileDirectory *self)
{
  return &self->unhashed;
}

BsFileKeys *
bs_file_directory_get_files (BsFileDirectory *self)
{
  return &self->files;
}

BsFileDirectory *
bs_file_directory_get_apart (BsFileDirectory *self)
{
  return self->apart;
}

/* O_NOATIME saves the journal a transaction: the first reading after a change would note
 * its time in the inode. Only the owner of a file may ask for it. */
int
bs_file_directory_open_file (BsFileDirectory *self, int fd, const char *name)
{
  if (!g_atomic_int_get (&self->refuses_noatime))
    {
      int file_fd = TEMP_FAILURE_RETRY (openat (fd, name, OPEN_FLAGS | O_NOATIME));

      if (file_fd >= 0 || errno != EPERM)
        return file_fd;
      g_atomic_int_set (&self->refuses_noatime, TRUE);
    }

  return TEMP_FAILURE_RETRY (openat (fd, name, OPEN_FLAGS));
}

gboolean
bs_file_directory_shares_files (BsFileDirectory *self, BsFileDirectory *other)
{
  return self->claim.identity.st_dev == other->claim.identity.st_dev;
}

gboolean
bs_file_directory_lacks_digests (BsFileDirectory *self)
{
  return g_atomic_int_get (&self->lacks_digests);
}

gboolean
bs_file_directory_takes_digests (BsFileDirectory *self)
{
  return !g_atomic_int_get (&self->refuses_attributes);
}

int
bs_file_directory_seal (BsFileDirectory *self, int fd, const BsFileDigest *digest)
{
  int code = 0;

  if (digest != NULL && bs_file_directory_takes_digests (self))
    {
      code = bs_file_digest_store (fd, digest);
      if (code == 0 || !bs_file_digest_is_refusal (code))
        return code;

      if (code == ENOTSUP || code == ENOSYS)
        g_atomic_int_set (&self->refuses_attributes, TRUE);
    }

  g_atomic_int_set (&self->lacks_digests, TRUE);

  return 0;
}

/* The scratch directory keeps the counts: it lives as long as the backing. */
void
bs_file_directory_count (BsFileDirectory *self, BsFileCount which, gsize n)
{
  BsFileDirectory *keeper = self->apart != NULL ? self->apart : self;

  g_atomic_pointer_add (&keeper->counts[which], n);
}

gsize
bs_file_directory_get_count (BsFileDirectory *self, BsFileCount which)
{
  return (gsize) g_atomic_pointer_get (&self->counts[which]);
}

void
bs_file_directory_close_scratch (BsFileDirectory *self, gboolean whole, GCancellable *cancellable)
{
  int code = 0;

  if (self->claim.kind != BS_FILE_DIRECTORY_SCRATCH || self->claim.n_forks != bs_n_forks)
    return;

  bs_file_slots_close (&self->slots);

  /* The next opening tries again to remove the remaining blobs, and needs the marker. */
  if (is_ours_to_empty (self))
    code = empty_scratch (self, cancellable);
  else
    whole = FALSE;

  whole = whole && code == 0 && bs_file_directory_is_current (self);
  if (whole)
    unlinkat (self->claim.fd, BS_FILE_MARKER_NAME, 0);

  /* Some file systems hide a file that is removed while it is open, and then keep the
   * folder. Without a marker nobody takes it meanwhile. */
  bs_file_lock_drop (&self->claim.lock, self->claim.fd);
  if (whole)
    {
      unlinkat (self->claim.fd, BS_FILE_LOCK_NAME, 0);
      rmdir (bs_file_claim_get_path (&self->claim));
    }
}

gboolean
bs_file_directory_spares_leftovers (BsFileDirectory *self)
{
  return self->claim.refusal != 0 || self->claim.lock.absent_holder != NULL;
}

/* Makes a scratch directory again that somebody has removed. Returns FALSE if it is still
 * there, or can't be made. */
static gboolean
replace_scratch (BsFileDirectory *self)
{
  gboolean replaced;

  if (!bs_file_directory_is_scratch (self))
    return FALSE;

  g_mutex_lock (&self->mutex);
  replaced = bs_file_claim_replace (&self->claim);
  if (replaced)
    bs_file_shards_lose_all (&self->shards);
  g_mutex_unlock (&self->mutex);

  return replaced;
}

static int
make_shard (BsFileDirectory *self, guint shard)
{
  const gboolean persisted = !bs_file_directory_is_scratch (self);
  char name[3];
  gboolean masked;
  int code;

  bs_file_shard_print_name (shard, name);
  if (persisted)
    bs_file_changes_make_shard (&self->changes, shard);
  code = bs_file_make_folder (self->claim.fd, name,
                              persisted ? bs_file_get_folder_mode (self->claim.fd) : 0700, &masked);
  if (persisted)
    bs_file_changes_made_shard (&self->changes, shard);
  if (masked)
    g_atomic_int_set (&self->masks_owner, TRUE);

  return code == EEXIST ? 0 : code;
}

void
bs_file_location_clear (BsFileLocation *self)
{
  if (self->owned)
    close (self->fd);
  self->owned = FALSE;
}

void
bs_file_location_make_sibling (const BsFileLocation *self, char name[BS_FILE_SIBLING_SIZE])
{
  const gsize prefix = self->name == self->path ? 3 : 0;

  memcpy (name, self->path, prefix);
  bs_file_make_temporary_name (name + prefix);
}

int
bs_file_directory_locate (BsFileDirectory *self,
                          const BsKey *key,
                          gboolean make,
                          BsFileLocation *location)
{
  int code;

  bs_file_location_clear (location);
  bs_key_print_hex (key, location->path + 3);
  location->path[0] = location->path[3];
  location->path[1] = location->path[4];
  location->path[2] = '/';
  location->shard = ((const guint8 *) key)[0];

  if (G_UNLIKELY (bs_file_leftovers_is_unswept (&self->leftovers, location->shard)))
    {
      code = sweep_shard (self, location->shard, NULL);
      if (code != 0)
        return code;
    }

  for (;;)
    {
      location->fd = bs_file_shards_get (&self->shards, location->shard);
      location->name = location->path + 3;
      if (location->fd >= 0)
        return 0;

      code = bs_file_shards_open (&self->shards, self->claim.fd, location->shard, &location->fd,
                                  &location->owned);
      if (location->owned)
        return 0;
      if (code == EMFILE || code == ENFILE)
        {
          /* The process has no descriptor left: go through the path instead. */
          code = bs_file_shard_check (self->claim.fd, location->shard);
          if (code == 0)
            {
              location->fd = self->claim.fd;
              location->name = location->path;
              return 0;
            }
        }

      if (code == ENOENT && make)
        {
          code = make_shard (self, location->shard);
          if (code == ENOENT && replace_scratch (self))
            continue;
          make = FALSE;
        }
      if (code != 0)
        return code;
    }
}

gboolean
bs_file_directory_lost (BsFileDirectory *self, const BsFileLocation *location)
{
  if (location->fd == self->claim.fd)
    return bs_file_shard_check (self->claim.fd, location->shard) != 0;

  return bs_file_shards_lost (&self->shards, self->claim.fd, location->shard, location->fd);
}

gboolean
bs_file_directory_set_path (BsFileDirectory *self, const char *path, GError **error)
{
  gboolean taken = TRUE;
  gboolean was_refused;

  g_mutex_lock (&self->mutex);
  bs_file_claim_set_path (&self->claim, path);
  was_refused = self->claim.refusal != 0;
  if (was_refused)
    taken = bs_file_claim_take_again (&self->claim, path, error);
  else if (bs_file_claim_check (&self->claim) == ENOLCK)
    taken = bs_file_claim_renew_lock (&self->claim, error);
  /* A descriptor that was opened by another name may let nothing be written. */
  if (was_refused && self->claim.refusal == 0)
    bs_file_shards_lose_all (&self->shards);
  g_mutex_unlock (&self->mutex);

  return taken;
}

int
bs_file_directory_peek_shard (BsFileDirectory *self, guint shard)
{
  return bs_file_shards_get (&self->shards, shard);
}

gboolean
bs_file_directory_has_moved (BsFileDirectory *self, guint shard)
{
  return bs_file_shards_have_moved (&self->shards, self->claim.fd, shard);
}

/* On ext4 one reservation costs less than reserving page by page during the write; other
 * file systems take longer. A full disk fails before anything is written. */
int
bs_file_directory_reserve (BsFileDirectory *self, int fd, goffset size)
{
  if (size < MIN_RESERVED || !self->is_ext4)
    return 0;

  if (TEMP_FAILURE_RETRY (fallocate (fd, FALLOC_FL_KEEP_SIZE, 0, size)) != 0 &&
      (errno == ENOSPC || errno == EDQUOT))
    return errno;

  return 0;
}

gboolean
bs_file_directory_masks_owner (BsFileDirectory *self)
{
  return g_atomic_int_get (&self->masks_owner);
}

void
bs_file_directory_set_error (BsFileDirectory *self, int code, GError **error)
{
  bs_file_claim_set_error (&self->claim, code, error);
}
