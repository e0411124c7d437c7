/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* Functions are defined here by the names that the C library has for them, so
 * none may be turned into another one. */
#undef _FILE_OFFSET_BITS
#undef _FORTIFY_SOURCE

#include "interpose.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <sys/uio.h>
#include <unistd.h>

/* With 32 bits, a function that takes an offset is not the one for large files under
 * another name, and all callers here want the latter. */
#if GLIB_SIZEOF_LONG == 4
#define off_t off64_t
#define stat stat64
#define statfs statfs64
#define open open64
#define openat openat64
#define __open_2 __open64_2
#define __openat_2 __openat64_2
#define pread pread64
#define __pread_chk __pread64_chk
#define pwrite pwrite64
#define posix_fadvise posix_fadvise64
#define lseek lseek64
#define ftruncate ftruncate64
#define fallocate fallocate64
#define fstatat fstatat64
#define lstat lstat64
#define fstat fstat64
#define fstatfs fstatfs64
#endif

G_STATIC_ASSERT (sizeof (off_t) == 8);

/* The function as the next library has it: a sanitizer's, or the C library's. */
#define FORWARD(function)                                                                          \
  ((__typeof__ (&function)) find_next (&next_##function, G_STRINGIFY (function)))
#define NEXT(function) static gpointer next_##function

#if g_macro__has_attribute(copy)
#define COPY(function) __attribute__ ((copy (function)))
#else
#define COPY(function)
#endif

/* One more name for the same function. */
#if GLIB_SIZEOF_LONG == 4
#define ALSO(function, symbol) G_STATIC_ASSERT (TRUE)
#else
#define ALSO(function, symbol)                                                                     \
  extern __typeof__ (function) also_##symbol __asm__(#symbol) COPY (function)                      \
    __attribute__ ((alias (#function)))
#endif

static gpointer
find_next (gpointer *place, const char *symbol)
{
  gpointer function = __atomic_load_n (place, __ATOMIC_ACQUIRE);

  if (function == NULL)
    {
      function = dlsym (RTLD_NEXT, symbol);
      if (function == NULL)
        g_error ("there is no %s()", symbol);
      __atomic_store_n (place, function, __ATOMIC_RELEASE);
    }

  return function;
}

static gsize
shorten (const InterposeFrame *frame, gsize size)
{
  if (size > 1 && (frame->code == INTERPOSE_SHORT || frame->code == INTERPOSE_SHORT_THEN_FULL))
    return size / 2;

  return size;
}

static mode_t
get_mode (int flags, va_list arguments)
{
  return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE ? va_arg (arguments, mode_t)
                                                                    : 0;
}

NEXT (openat);

static int
open_any (int fd, const char *path, int flags, mode_t mode)
{
  const gboolean nameless = (flags & O_TMPFILE) == O_TMPFILE;
  const gboolean makes = (flags & (O_CREAT | O_TRUNC)) != 0 || nameless;
  struct stat status;
  gboolean existed = FALSE;
  InterposeFrame frame;
  int result = -1;

  if (interpose_enter (&frame, makes ? INTERPOSE_CREATE : INTERPOSE_OPEN,
                       interpose_is_watched (fd, path)))
    {
      if (frame.log != NULL)
        existed = fstatat (fd, path, &status, AT_SYMLINK_NOFOLLOW) == 0;

      result = FORWARD (openat) (fd, path, flags, mode);

      if (result >= 0 && frame.watched)
        interpose_add_fd (result);
      if (result >= 0 && frame.log != NULL)
        {
          if (nameless)
            event_log_opened_nameless (frame.log, result);
          else if (!existed)
            event_log_created (frame.log, fd, path);
          else if ((flags & O_TRUNC) != 0)
            event_log_truncated (frame.log, result, 0);
        }
    }

  return interpose_leave (&frame, result);
}

int
openat (int fd, const char *path, int flags, ...)
{
  va_list arguments;
  mode_t mode;

  va_start (arguments, flags);
  mode = get_mode (flags, arguments);
  va_end (arguments);

  return open_any (fd, path, flags, mode);
}
ALSO (openat, openat64);

int
open (const char *path, int flags, ...)
{
  va_list arguments;
  mode_t mode;

  va_start (arguments, flags);
  mode = get_mode (flags, arguments);
  va_end (arguments);

  return open_any (AT_FDCWD, path, flags, mode);
}
ALSO (open, open64);

int __openat_2 (int fd, const char *path, int flags);
int __open_2 (const char *path, int flags);

int
__openat_2 (int fd, const char *path, int flags)
{
  return open_any (fd, path, flags, 0);
}
ALSO (__openat_2, __openat64_2);

int
__open_2 (const char *path, int flags)
{
  return open_any (AT_FDCWD, path, flags, 0);
}
ALSO (__open_2, __open64_2);

NEXT (close);

int
close (int fd)
{
  gboolean watched = interpose_is_watched (fd, NULL);
  InterposeFrame frame;

  /* The descriptor is gone whatever the call says. */
  if (watched)
    interpose_steal_fd (fd);
  interpose_enter (&frame, INTERPOSE_CLOSE, watched);

  return interpose_leave (&frame, FORWARD (close) (fd));
}

NEXT (read);

ssize_t
read (int fd, void *buffer, size_t size)
{
  InterposeFrame frame;
  ssize_t result = -1;

  if (interpose_enter (&frame, INTERPOSE_READ, interpose_is_watched (fd, NULL)))
    result = FORWARD (read) (fd, buffer, shorten (&frame, size));

  return interpose_leave (&frame, result);
}

NEXT (pread);

ssize_t
pread (int fd, void *buffer, size_t size, off_t offset)
{
  InterposeFrame frame;
  ssize_t result = -1;

  if (interpose_enter (&frame, INTERPOSE_READ, interpose_is_watched (fd, NULL)))
    result = FORWARD (pread) (fd, buffer, shorten (&frame, size), offset);

  return interpose_leave (&frame, result);
}
ALSO (pread, pread64);

NEXT (readv);

/* A short one fills a part of the first memory only. */
ssize_t
readv (int fd, const struct iovec *parts, int n_parts)
{
  InterposeFrame frame;
  ssize_t result = -1;

  if (interpose_enter (&frame, INTERPOSE_READ, interpose_is_watched (fd, NULL)))
    {
      struct iovec first = { parts[0].iov_base, shorten (&frame, parts[0].iov_len) };

      result = first.iov_len == parts[0].iov_len ? FORWARD (readv) (fd, parts, n_parts)
                                                 : FORWARD (readv) (fd, &first, 1);
    }

  return interpose_leave (&frame, result);
}

ssize_t __read_chk (int fd, void *buffer, size_t size, size_t room);
ssize_t __pread_chk (int fd, void *buffer, size_t size, off_t offset, size_t room);

ssize_t
__read_chk (int fd, void *buffer, size_t size, size_t room)
{
  g_assert (size <= room);

  return read (fd, buffer, size);
}

ssize_t
__pread_chk (int fd, void *buffer, size_t size, off_t offset, size_t room)
{
  g_assert (size <= room);

  return pread (fd, buffer, size, offset);
}
ALSO (__pread_chk, __pread64_chk);

NEXT (write);

ssize_t
write (int fd, const void *data, size_t size)
{
  InterposeFrame frame;
  ssize_t result = -1;

  if (interpose_enter (&frame, INTERPOSE_WRITE, interpose_is_watched (fd, NULL)))
    {
      result = FORWARD (write) (fd, data, shorten (&frame, size));
      if (result > 0 && frame.log != NULL)
        event_log_written (frame.log, fd, lseek (fd, 0, SEEK_CUR) - result, data, result);
    }

  return interpose_leave (&frame, result);
}

NEXT (pwrite);

ssize_t
pwrite (int fd, const void *data, size_t size, off_t offset)
{
  InterposeFrame frame;
  ssize_t result = -1;

  if (interpose_enter (&frame, INTERPOSE_WRITE, interpose_is_watched (fd, NULL)))
    {
      result = FORWARD (pwrite) (fd, data, shorten (&frame, size), offset);
      if (result > 0 && frame.log != NULL)
        event_log_written (frame.log, fd, offset, data, result);
    }

  return interpose_leave (&frame, result);
}
ALSO (pwrite, pwrite64);

static int
sync_any (int fd, InterposeCall call, gboolean data_only, int (*sync_func) (int))
{
  InterposeFrame frame;
  gboolean failed;
  int result = -1;

  if (interpose_enter (&frame, call, interpose_is_watched (fd, NULL)))
    result = frame.watched && interpose_skips_syncs () ? 0 : sync_func (fd);

  failed = interpose_loses_data (frame.code);
  if (frame.log != NULL && (result == 0 || failed) && !interpose_forgets_syncs ())
    {
      if (call == INTERPOSE_SYNC_ALL)
        event_log_synced_all (frame.log, failed);
      else
        event_log_synced (frame.log, fd, data_only, failed);
    }

  return interpose_leave (&frame, result);
}

NEXT (fsync);

int
fsync (int fd)
{
  return sync_any (fd, INTERPOSE_SYNC, FALSE, FORWARD (fsync));
}

NEXT (fdatasync);

int
fdatasync (int fd)
{
  return sync_any (fd, INTERPOSE_SYNC, TRUE, FORWARD (fdatasync));
}

NEXT (syncfs);

int
syncfs (int fd)
{
  return sync_any (fd, INTERPOSE_SYNC_ALL, FALSE, FORWARD (syncfs));
}

NEXT (sync_file_range);

int
sync_file_range (int fd, off_t offset, off_t size, unsigned int flags)
{
  InterposeFrame frame;
  int result = -1;

  if (interpose_enter (&frame, INTERPOSE_SYNC_RANGE, interpose_is_watched (fd, NULL)))
    result = frame.watched && interpose_skips_syncs ()
               ? 0
               : FORWARD (sync_file_range) (fd, offset, size, flags);

  return interpose_leave (&frame, result);
}

NEXT (posix_fadvise);

/* Returns its errno. A page that could not be written counts as clean, is dropped
 * from memory like any other, and the next to read it sees what is on the disk. */
int
posix_fadvise (int fd, off_t offset, off_t size, int advice)
{
  InterposeFrame frame;
  int result = -1;

  if (interpose_enter (&frame, INTERPOSE_ADVISE, interpose_is_watched (fd, NULL)))
    {
      result = FORWARD (posix_fadvise) (fd, offset, size, advice);
      if (frame.log != NULL && advice == POSIX_FADV_DONTNEED)
        event_log_evict (frame.log, fd);
    }

  return interpose_leave (&frame, result) == -1 ? errno : result;
}
ALSO (posix_fadvise, posix_fadvise64);

NEXT (lseek);

off_t
lseek (int fd, off_t offset, int whence)
{
  InterposeFrame frame;
  off_t result = -1;

  if (interpose_enter (&frame, INTERPOSE_SEEK, interpose_is_watched (fd, NULL)))
    result = FORWARD (lseek) (fd, offset, whence);

  return interpose_leave (&frame, result);
}
ALSO (lseek, lseek64);

NEXT (ftruncate);

int
ftruncate (int fd, off_t size)
{
  InterposeFrame frame;
  int result = -1;

  if (interpose_enter (&frame, INTERPOSE_TRUNCATE, interpose_is_watched (fd, NULL)))
    {
      result = FORWARD (ftruncate) (fd, size);
      if (result == 0 && frame.log != NULL)
        event_log_truncated (frame.log, fd, size);
    }

  return interpose_leave (&frame, result);
}
ALSO (ftruncate, ftruncate64);

NEXT (fallocate);

int
fallocate (int fd, int mode, off_t offset, off_t size)
{
  InterposeFrame frame;
  struct stat status;
  int result = -1;

  if (interpose_enter (&frame, INTERPOSE_ALLOCATE, interpose_is_watched (fd, NULL)))
    {
      result = FORWARD (fallocate) (fd, mode, offset, size);
      if (result == 0 && frame.log != NULL)
        {
          /* A file without a name is gone after a crash, with its holes. */
          if (fstat (fd, &status) != 0 ||
              ((mode & ~FALLOC_FL_KEEP_SIZE) != 0 && status.st_nlink > 0))
            g_error ("the log does not know such a fallocate()");
          if (status.st_nlink > 0)
            event_log_truncated (frame.log, fd, status.st_size);
        }
    }

  return interpose_leave (&frame, result);
}
ALSO (fallocate, fallocate64);

NEXT (ioctl);

int
ioctl (int fd, unsigned long request, ...)
{
  gboolean watched = interpose_is_watched (fd, NULL);
  InterposeFrame frame;
  struct stat status;
  gpointer argument;
  va_list arguments;
  int result = -1;

  va_start (arguments, request);
  argument = va_arg (arguments, gpointer);
  va_end (arguments);

  if (watched && request != FICLONE)
    g_error ("the interposer does not know this ioctl()");

  if (interpose_enter (&frame, INTERPOSE_CLONE, watched))
    {
      result = FORWARD (ioctl) (fd, request, argument);
      if (result == 0 && frame.log != NULL && fstat (fd, &status) == 0)
        event_log_copied (frame.log, GPOINTER_TO_INT (argument), 0, fd, 0, status.st_size);
    }

  return interpose_leave (&frame, result);
}

static off_t
get_position (int fd, const off_t *offset)
{
  return offset != NULL ? *offset : lseek (fd, 0, SEEK_CUR);
}

NEXT (copy_file_range);

ssize_t
copy_file_range (int source_fd,
                 off_t *source_offset,
                 int fd,
                 off_t *offset,
                 size_t size,
                 unsigned int flags)
{
  InterposeFrame frame;
  ssize_t result = -1;

  if (interpose_enter (&frame, INTERPOSE_COPY_RANGE, interpose_is_watched (fd, NULL)))
    {
      result = FORWARD (copy_file_range) (source_fd, source_offset, fd, offset,
                                          shorten (&frame, size), flags);
      if (result > 0 && frame.log != NULL)
        event_log_copied (frame.log, source_fd, get_position (source_fd, source_offset) - result,
                          fd, get_position (fd, offset) - result, result);
    }

  return interpose_leave (&frame, result);
}

NEXT (mkdirat);

int
mkdirat (int fd, const char *path, mode_t mode)
{
  InterposeFrame frame;
  int result = -1;

  if (interpose_enter (&frame, INTERPOSE_MKDIR, interpose_is_watched (fd, path)))
    {
      result = FORWARD (mkdirat) (fd, path, mode);
      if (result == 0 && frame.log != NULL)
        event_log_created (frame.log, fd, path);
    }

  return interpose_leave (&frame, result);
}

int
mkdir (const char *path, mode_t mode)
{
  return mkdirat (AT_FDCWD, path, mode);
}

NEXT (unlinkat);

int
unlinkat (int fd, const char *path, int flags)
{
  const InterposeCall call = (flags & AT_REMOVEDIR) != 0 ? INTERPOSE_RMDIR : INTERPOSE_UNLINK;
  InterposeFrame frame;
  int result = -1;

  if (interpose_enter (&frame, call, interpose_is_watched (fd, path)))
    {
      result = FORWARD (unlinkat) (fd, path, flags);
      if (result == 0 && frame.log != NULL)
        event_log_removed (frame.log, fd, path);
    }

  return interpose_leave (&frame, result);
}

int
unlink (const char *path)
{
  return unlinkat (AT_FDCWD, path, 0);
}

int
rmdir (const char *path)
{
  return unlinkat (AT_FDCWD, path, AT_REMOVEDIR);
}

NEXT (linkat);

int
linkat (int old_fd, const char *old_path, int fd, const char *path, int flags)
{
  InterposeFrame frame;
  int result = -1;

  if (interpose_enter (&frame, INTERPOSE_LINK, interpose_is_watched (fd, path)))
    {
      result = FORWARD (linkat) (old_fd, old_path, fd, path, flags);
      if (result == 0 && frame.log != NULL)
        event_log_linked (frame.log, fd, path);
    }

  return interpose_leave (&frame, result);
}

NEXT (renameat2);

int
renameat2 (int old_fd, const char *old_path, int fd, const char *path, unsigned int flags)
{
  InterposeFrame frame;
  int result = -1;

  if (interpose_enter (&frame, INTERPOSE_RENAME, interpose_is_watched (fd, path)))
    {
      if (frame.watched && (flags & ~RENAME_NOREPLACE) != 0)
        g_error ("the interposer does not know such a renameat2()");

      result = FORWARD (renameat2) (old_fd, old_path, fd, path, flags);
      if (result == 0 && frame.log != NULL)
        event_log_renamed (frame.log, old_fd, old_path, fd, path);
    }

  return interpose_leave (&frame, result);
}

int
renameat (int old_fd, const char *old_path, int fd, const char *path)
{
  return renameat2 (old_fd, old_path, fd, path, 0);
}

int
rename (const char *old_path, const char *path)
{
  return renameat2 (AT_FDCWD, old_path, AT_FDCWD, path, 0);
}

NEXT (fchmod);

int
fchmod (int fd, mode_t mode)
{
  InterposeFrame frame;
  int result = -1;

  if (interpose_enter (&frame, INTERPOSE_CHMOD, interpose_is_watched (fd, NULL)))
    result = FORWARD (fchmod) (fd, mode);

  return interpose_leave (&frame, result);
}

NEXT (fchmodat);

int
fchmodat (int fd, const char *path, mode_t mode, int flags)
{
  InterposeFrame frame;
  int result = -1;

  if (interpose_enter (&frame, INTERPOSE_CHMOD, interpose_is_watched (fd, path)))
    result = FORWARD (fchmodat) (fd, path, mode, flags);

  return interpose_leave (&frame, result);
}

NEXT (fsetxattr);

int
fsetxattr (int fd, const char *name, const void *data, size_t size, int flags)
{
  InterposeFrame frame;
  int result = -1;

  if (interpose_enter (&frame, INTERPOSE_SET_XATTR, interpose_is_watched (fd, NULL)))
    {
      result = FORWARD (fsetxattr) (fd, name, data, size, flags);
      if (result == 0 && frame.log != NULL)
        event_log_set_xattr (frame.log, fd, name, data, size);
    }

  return interpose_leave (&frame, result);
}

NEXT (fremovexattr);

int
fremovexattr (int fd, const char *name)
{
  InterposeFrame frame;
  int result = -1;

  if (interpose_enter (&frame, INTERPOSE_SET_XATTR, interpose_is_watched (fd, NULL)))
    {
      result = FORWARD (fremovexattr) (fd, name);
      if (result == 0 && frame.log != NULL)
        event_log_set_xattr (frame.log, fd, name, NULL, 0);
    }

  return interpose_leave (&frame, result);
}

NEXT (fgetxattr);

ssize_t
fgetxattr (int fd, const char *name, void *data, size_t size)
{
  InterposeFrame frame;
  ssize_t result = -1;

  if (interpose_enter (&frame, INTERPOSE_GET_XATTR, interpose_is_watched (fd, NULL)))
    result = FORWARD (fgetxattr) (fd, name, data, size);

  return interpose_leave (&frame, result);
}

NEXT (flock);

int
flock (int fd, int operation)
{
  InterposeFrame frame;
  int result = -1;

  if (interpose_enter (&frame, INTERPOSE_LOCK, interpose_is_watched (fd, NULL)))
    result = FORWARD (flock) (fd, operation);

  return interpose_leave (&frame, result);
}

NEXT (getdents64);

ssize_t
getdents64 (int fd, void *buffer, size_t size)
{
  InterposeFrame frame;
  ssize_t result = -1;

  if (interpose_enter (&frame, INTERPOSE_LIST, interpose_is_watched (fd, NULL)))
    result = FORWARD (getdents64) (fd, buffer, size);

  return interpose_leave (&frame, result);
}

NEXT (fstatat);

int
fstatat (int fd, const char *path, struct stat *status, int flags)
{
  InterposeFrame frame;
  int result = -1;

  if (interpose_enter (&frame, INTERPOSE_STAT, interpose_is_watched (fd, path)))
    result = FORWARD (fstatat) (fd, path, status, flags);

  return interpose_leave (&frame, result);
}
ALSO (fstatat, fstatat64);

int
stat (const char *path, struct stat *status)
{
  return fstatat (AT_FDCWD, path, status, 0);
}
ALSO (stat, stat64);

int
lstat (const char *path, struct stat *status)
{
  return fstatat (AT_FDCWD, path, status, AT_SYMLINK_NOFOLLOW);
}
ALSO (lstat, lstat64);

int
fstat (int fd, struct stat *status)
{
  return fstatat (fd, "", status, AT_EMPTY_PATH);
}
ALSO (fstat, fstat64);

NEXT (fstatfs);

int
fstatfs (int fd, struct statfs *status)
{
  InterposeFrame frame;
  int result = -1;

  if (interpose_enter (&frame, INTERPOSE_STAT, interpose_is_watched (fd, NULL)))
    result = FORWARD (fstatfs) (fd, status);
  /* Wherever this runs, what is done on that file system only is tried. */
  if (result == 0 && frame.watched)
    status->f_type = WORKLOAD_FILE_SYSTEM;

  return interpose_leave (&frame, result);
}
ALSO (fstatfs, fstatfs64);

NEXT (faccessat);

int
faccessat (int fd, const char *path, int mode, int flags)
{
  InterposeFrame frame;
  int result = -1;

  if (interpose_enter (&frame, INTERPOSE_ACCESS, interpose_is_watched (fd, path)))
    result = FORWARD (faccessat) (fd, path, mode, flags);

  return interpose_leave (&frame, result);
}

int
access (const char *path, int mode)
{
  return faccessat (AT_FDCWD, path, mode, 0);
}

NEXT (readlinkat);

ssize_t
readlinkat (int fd, const char *path, char *buffer, size_t size)
{
  InterposeFrame frame;
  ssize_t result = -1;

  if (interpose_enter (&frame, INTERPOSE_READ_LINK, interpose_is_watched (fd, path)))
    result = FORWARD (readlinkat) (fd, path, buffer, size);

  return interpose_leave (&frame, result);
}

ssize_t
readlink (const char *path, char *buffer, size_t size)
{
  return readlinkat (AT_FDCWD, path, buffer, size);
}
