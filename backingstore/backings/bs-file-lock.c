/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "bs-file-lock-private.h"

#include "bs-file-io-private.h"
#include "bs-file-system-private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_HOLDER 512

/* How often the file may be replaced while it is being locked. */
#define MAX_ATTEMPTS 10

static char *
read_word (const char *path)
{
  char *content = NULL;

  if (!g_file_get_contents (path, &content, NULL, NULL))
    return g_strdup ("unknown");

  return g_strdelimit (g_strstrip (content), " \n", '-');
}

/* "MACHINE HOST BOOT ", which names a running system. */
static const char *
get_system (void)
{
  static gsize system;

  if (g_once_init_enter (&system))
    {
      g_autofree char *machine = read_word ("/etc/machine-id");
      g_autofree char *boot = read_word ("/proc/sys/kernel/random/boot_id");

      g_once_init_leave (&system,
                         (gsize) g_strdup_printf ("%s %s %s ", machine, g_get_host_name (), boot));
    }

  return (const char *) system;
}

static char *
make_holder (void)
{
  char hex[BS_KEY_HEX_LENGTH + 1];
  BsKey nonce;

  bs_key_init_random (&nonce);
  bs_key_print_hex (&nonce, hex);

  return g_strconcat (get_system (), hex, "\n", NULL);
}

/* A power cut leaves the file empty, in part, or with zeros. */
static gboolean
is_whole (const char *holder)
{
  g_auto (GStrv) words = g_strsplit (holder, " ", -1);

  return g_strv_length (words) == 4 && strlen (words[3]) == BS_KEY_HEX_LENGTH + 1 &&
         g_str_has_suffix (holder, "\n");
}

/* Whether the named holder is gone. A process of this boot has let go of the lock that this
 * process has, and a process of an earlier boot of this machine is gone where no other
 * machine can be. */
static gboolean
is_gone (const char *holder, int directory_fd)
{
  const char *system = get_system ();
  gsize size = strlen (system);
  const char *boot = g_strrstr_len (system, size - 1, " ");

  if (!is_whole (holder) || strncmp (holder, system, size) == 0)
    return TRUE;

  return strncmp (holder, system, boot + 1 - system) == 0 && bs_file_system_is_local (directory_fd);
}

static gboolean
read_holder (int fd, char holder[MAX_HOLDER])
{
  gssize size = TEMP_FAILURE_RETRY (pread (fd, holder, MAX_HOLDER - 1, 0));

  holder[MAX (size, 0)] = '\0';

  return size >= 0;
}

static gboolean
write_holder (int fd, const char *holder)
{
  const gsize size = strlen (holder);

  return ftruncate (fd, 0) == 0 &&
         TEMP_FAILURE_RETRY (pwrite (fd, holder, size, 0)) == (gssize) size;
}

/* Returns ENOENT if another file has the name, or none. */
static int
check_name (int fd, int directory_fd)
{
  struct stat named;
  struct stat held;

  if (fstatat (directory_fd, BS_FILE_LOCK_NAME, &named, AT_SYMLINK_NOFOLLOW) != 0 ||
      fstat (fd, &held) != 0)
    return errno;

  return named.st_dev == held.st_dev && named.st_ino == held.st_ino ? 0 : ENOENT;
}

/* Opens the file by its name. A file that has another name too is never changed: it may be
 * the lock of a copy, or any file that somebody has linked there. */
static int
open_file (int directory_fd, int *fd, gboolean *shared)
{
  const mode_t mode = bs_file_get_mode (directory_fd);
  struct stat status;

  *fd = TEMP_FAILURE_RETRY (openat (directory_fd, BS_FILE_LOCK_NAME,
                                    O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, mode));
  if (*fd < 0 || fstat (*fd, &status) != 0)
    return errno;
  if (!S_ISREG (status.st_mode))
    return EEXIST;

  *shared = status.st_nlink > 1;
  if (!*shared && (status.st_mode & mode) != mode)
    fchmod (*fd, mode);

  return 0;
}

static int
lock (int fd)
{
  if (TEMP_FAILURE_RETRY (flock (fd, LOCK_EX | LOCK_NB)) == 0)
    return 0;

  return errno == ENOSYS || errno == EOPNOTSUPP ? ENOLCK : errno;
}

/* The holder of the directory makes the file anew: a copy by hard links shares it with the
 * original. */
static int
replace_shared (int directory_fd)
{
  g_autoptr (GBytes) nothing = g_bytes_new_static ("", 0);
  int code;

  if (lock (directory_fd) == EWOULDBLOCK)
    return EWOULDBLOCK;

  code = bs_file_replace (directory_fd, BS_FILE_LOCK_NAME, nothing, FALSE, NULL);
  flock (directory_fd, LOCK_UN);

  return code == 0 ? EAGAIN : code;
}

/* EAGAIN if another file has the name by now. */
static int
take_once (BsFileLock *self, int directory_fd)
{
  gboolean shared = FALSE;
  int code = open_file (directory_fd, &self->fd, &shared);

  if (code != 0)
    return code;
  if (shared)
    return replace_shared (directory_fd);

  code = lock (self->fd);
  if (code != 0)
    return code;
  if (check_name (self->fd, directory_fd) != 0)
    return ESTALE;

  /* A holder whose file was removed has the directory still. Some file systems have no
   * locks of directories. */
  return lock (directory_fd) == EWOULDBLOCK ? EWOULDBLOCK : 0;
}

void
bs_file_lock_init (BsFileLock *self)
{
  self->fd = -1;
  self->holder = NULL;
  self->absent_holder = NULL;
  self->shared = FALSE;
}

int
bs_file_lock_take (BsFileLock *self, int directory_fd)
{
  char holder[MAX_HOLDER];
  int code = 0;

  for (guint i = 0; i < MAX_ATTEMPTS; i++)
    {
      code = take_once (self, directory_fd);
      if (code == 0)
        break;
      bs_file_lock_close (self);
      if (code != EAGAIN && code != ESTALE)
        return code;
    }
  if (code != 0)
    return EWOULDBLOCK;

  if (read_holder (self->fd, holder) && !is_gone (holder, directory_fd))
    self->absent_holder = g_strdup (holder);

  /* A full disk has no room for it. */
  self->holder = make_holder ();
  if (!write_holder (self->fd, self->holder))
    g_clear_pointer (&self->holder, g_free);

  return 0;
}

/* Where there are no locks, a reader goes without, as in a directory that cannot be
 * written. */
int
bs_file_lock_share (BsFileLock *self, int directory_fd)
{
  const int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;

  self->shared = TRUE;
  self->fd = TEMP_FAILURE_RETRY (openat (directory_fd, BS_FILE_LOCK_NAME, flags));
  if ((self->fd < 0 || TEMP_FAILURE_RETRY (flock (self->fd, LOCK_SH | LOCK_NB)) == 0 ||
       errno != EWOULDBLOCK) &&
      (TEMP_FAILURE_RETRY (flock (directory_fd, LOCK_SH | LOCK_NB)) == 0 || errno != EWOULDBLOCK))
    return 0;

  bs_file_lock_close (self);

  return EWOULDBLOCK;
}

int
bs_file_lock_renew (BsFileLock *self, int directory_fd)
{
  /* The same file may have the name still, with another content. */
  if (self->fd >= 0)
    flock (self->fd, LOCK_UN);
  bs_file_lock_close (self);

  return bs_file_lock_take (self, directory_fd);
}

int
bs_file_lock_check (const BsFileLock *self, int directory_fd)
{
  char holder[MAX_HOLDER];
  int code = self->fd < 0 ? ENOLCK : check_name (self->fd, directory_fd);
  int fd;

  if (code != 0 || self->holder == NULL)
    return code == ENOENT || code == ESTALE ? ENOLCK : code;

  /* The file is read anew, since another machine has a page cache of its own. Without a
   * free descriptor the open one has to do. */
  fd = TEMP_FAILURE_RETRY (
    openat (directory_fd, BS_FILE_LOCK_NAME, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (fd < 0 && errno != EMFILE && errno != ENFILE && errno != ENOMEM)
    return errno == ENOENT || errno == ESTALE ? ENOLCK : errno;

  if (!read_holder (fd >= 0 ? fd : self->fd, holder))
    code = errno;
  else if (strcmp (holder, self->holder) != 0)
    code = ENOLCK;
  if (fd >= 0)
    close (fd);

  return code;
}

void
bs_file_lock_close (BsFileLock *self)
{
  if (self->fd >= 0)
    close (self->fd);
  self->fd = -1;
  g_clear_pointer (&self->holder, g_free);
  g_clear_pointer (&self->absent_holder, g_free);
}

/* Closing alone does not unlock while a child has a copy of the descriptor. A holder that
 * may be somewhere else is named again. */
void
bs_file_lock_drop (BsFileLock *self, int directory_fd)
{
  if (self->fd >= 0)
    {
      if (!self->shared && bs_file_lock_check (self, directory_fd) == 0)
        write_holder (self->fd, self->absent_holder != NULL ? self->absent_holder : "");
      flock (directory_fd, LOCK_UN);
      flock (self->fd, LOCK_UN);
    }
  bs_file_lock_close (self);
}
