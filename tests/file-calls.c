/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "file-calls.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

static struct
{
  GMutex mutex;
  GCond cond;
  GPtrArray *calls; /* "fsync ab", "syncfs persisted" */
  char *failing;    /* a call that fails, or NULL */
  guint n_failures; /* that are to come */
  int code;
  gboolean no_attributes; /* atomic */
  int no_locks;           /* atomic: errno, or 0 */
  int no_folder_locks;    /* atomic: the same */
  int type;               /* atomic: of file systems, or 0 */
  char *held;             /* a call that waits, or NULL */
  gboolean is_held;
} calls;

/* The names of temporary files end in something random. */
static gboolean
matches (const char *call, const char *wanted)
{
  if (wanted == NULL)
    return FALSE;

  return g_str_has_suffix (wanted, "-") ? g_str_has_prefix (call, wanted)
                                        : g_str_equal (call, wanted);
}

/* Called with the mutex held. */
static void
wait_while_held (const char *call)
{
  while (matches (call, calls.held))
    {
      calls.is_held = TRUE;
      g_cond_broadcast (&calls.cond);
      g_cond_wait (&calls.cond, &calls.mutex);
    }
}

/* Called with the mutex held. FALSE with errno. */
static gboolean
fail (void)
{
  if (--calls.n_failures == 0)
    g_clear_pointer (&calls.failing, g_free);
  errno = calls.code;

  return FALSE;
}

/* As enter_call(), of a call that is made too often to be put in a list. */
static gboolean
enter_frequent_call (const char *name, const char *file)
{
  gboolean enters;

  g_mutex_lock (&calls.mutex);
  enters = calls.failing == NULL || !g_str_has_prefix (calls.failing, name) ||
           calls.failing[strlen (name)] != ' ' ||
           strcmp (calls.failing + strlen (name) + 1, file) != 0 || fail ();
  g_mutex_unlock (&calls.mutex);

  return enters;
}

/* FALSE with errno if it is to fail. */
static gboolean
enter_call (const char *name, const char *file)
{
  char *call = g_strdup_printf ("%s %s", name, file);
  gboolean enters;

  g_mutex_lock (&calls.mutex);
  g_ptr_array_add (calls.calls, call);
  wait_while_held (call);

  enters = !matches (call, calls.failing) || fail ();
  g_mutex_unlock (&calls.mutex);

  return enters;
}

static gboolean
enter_call_on (const char *name, int fd)
{
  g_autofree char *link = g_strdup_printf ("/proc/self/fd/%d", fd);
  g_autofree char *path = g_file_read_link (link, NULL);
  g_autofree char *file = g_path_get_basename (path != NULL ? path : "?");

  return enter_call (name, file);
}

/* The real ones, found before anything is called. */
static struct
{
  int (*fsync) (int);
  int (*syncfs) (int);
  int (*linkat) (int, const char *, int, const char *, int);
  int (*renameat) (int, const char *, int, const char *);
  int (*mkdirat) (int, const char *, mode_t);
  int (*fsetxattr) (int, const char *, const void *, size_t, int);
  int (*fstatfs) (int, struct statfs *);
  int (*flock) (int, int);
  int (*openat) (int, const char *, int, ...);
} library;

void
file_calls_init (void)
{
  *(void **) &library.fsync = dlsym (RTLD_NEXT, "fsync");
  *(void **) &library.syncfs = dlsym (RTLD_NEXT, "syncfs");
  *(void **) &library.linkat = dlsym (RTLD_NEXT, "linkat");
  *(void **) &library.renameat = dlsym (RTLD_NEXT, "renameat");
  *(void **) &library.mkdirat = dlsym (RTLD_NEXT, "mkdirat");
  *(void **) &library.fsetxattr = dlsym (RTLD_NEXT, "fsetxattr");
  *(void **) &library.fstatfs = dlsym (RTLD_NEXT, sizeof (off_t) == 8 ? "fstatfs64" : "fstatfs");
  *(void **) &library.flock = dlsym (RTLD_NEXT, "flock");
  *(void **) &library.openat = dlsym (RTLD_NEXT, "openat64");
  calls.calls = g_ptr_array_new_with_free_func (g_free);
}

int
fsync (int fd)
{
  return enter_call_on ("fsync", fd) ? library.fsync (fd) : -1;
}

int
syncfs (int fd)
{
  return enter_call_on ("syncfs", fd) ? library.syncfs (fd) : -1;
}

int
linkat (int from_fd, const char *from, int to_fd, const char *to, int flags)
{
  return enter_call ("linkat", from) ? library.linkat (from_fd, from, to_fd, to, flags) : -1;
}

int
renameat (int from_fd, const char *from, int to_fd, const char *to)
{
  return enter_frequent_call ("renameat", to) ? library.renameat (from_fd, from, to_fd, to) : -1;
}

int
openat (int fd, const char *path, int flags, ...)
{
  va_list arguments;
  mode_t mode;

  va_start (arguments, flags);
  mode = flags & (O_CREAT | O_TMPFILE) ? va_arg (arguments, mode_t) : 0;
  va_end (arguments);

  return enter_frequent_call ("openat", path) ? library.openat (fd, path, flags, mode) : -1;
}

int
mkdirat (int fd, const char *path, mode_t mode)
{
  g_autofree char *call = g_strdup_printf ("mkdirat %s", path);
  int result = library.mkdirat (fd, path, mode);
  int code = errno;

  g_mutex_lock (&calls.mutex);
  wait_while_held (call);
  g_mutex_unlock (&calls.mutex);
  errno = code;

  return result;
}

int
fsetxattr (int fd, const char *name, const void *value, size_t size, int flags)
{
  if (g_atomic_int_get (&calls.no_attributes))
    {
      errno = ENOTSUP;
      return -1;
    }

  return library.fsetxattr (fd, name, value, size, flags);
}

int
fstatfs (int fd, struct statfs *status)
{
  int result = library.fstatfs (fd, status);

  if (result == 0 && g_atomic_int_get (&calls.type) != 0)
    status->f_type = (guint32) g_atomic_int_get (&calls.type);

  return result;
}

int
flock (int fd, int operation)
{
  int code = g_atomic_int_get (&calls.no_locks);
  struct stat status;

  if (code == 0 && fstat (fd, &status) == 0 && S_ISDIR (status.st_mode))
    code = g_atomic_int_get (&calls.no_folder_locks);
  if (code == 0)
    return library.flock (fd, operation);
  errno = code;

  return -1;
}

void
refuse_locks (int code)
{
  g_atomic_int_set (&calls.no_locks, code);
}

void
refuse_folder_locks (int code)
{
  g_atomic_int_set (&calls.no_folder_locks, code);
}

void
pretend_type (guint32 type)
{
  g_atomic_int_set (&calls.type, (int) type);
}

void
fail_times (guint n, const char *name, const char *file, int code)
{
  g_mutex_lock (&calls.mutex);
  g_assert_null (calls.failing);
  calls.failing = g_strdup_printf ("%s %s", name, file);
  calls.n_failures = n;
  calls.code = code;
  g_mutex_unlock (&calls.mutex);
}

void
fail_once (const char *name, const char *file, int code)
{
  fail_times (1, name, file, code);
}

void
hold_call (const char *call)
{
  g_mutex_lock (&calls.mutex);
  g_free (calls.held);
  calls.held = g_strdup (call);
  calls.is_held = FALSE;
  g_cond_broadcast (&calls.cond);
  g_mutex_unlock (&calls.mutex);
}

void
wait_until_held (void)
{
  g_mutex_lock (&calls.mutex);
  while (!calls.is_held)
    g_cond_wait (&calls.cond, &calls.mutex);
  g_mutex_unlock (&calls.mutex);
}

void
forget_calls (void)
{
  g_mutex_lock (&calls.mutex);
  g_ptr_array_set_size (calls.calls, 0);
  g_mutex_unlock (&calls.mutex);
}

char *
take_calls (void)
{
  char *joined;

  g_mutex_lock (&calls.mutex);
  g_ptr_array_add (calls.calls, NULL);
  joined = g_strjoinv (", ", (char **) calls.calls->pdata);
  g_ptr_array_set_size (calls.calls, 0);
  g_mutex_unlock (&calls.mutex);

  return joined;
}

guint
count_calls (const char *call)
{
  guint n = 0;

  g_mutex_lock (&calls.mutex);
  for (guint i = 0; i < calls.calls->len; i++)
    n += g_str_equal (calls.calls->pdata[i], call);
  g_mutex_unlock (&calls.mutex);

  return n;
}

void
refuse_attributes (gboolean refuse)
{
  g_atomic_int_set (&calls.no_attributes, refuse);
}

void
file_calls_clear (void)
{
  g_assert_null (calls.failing);
  g_assert_null (calls.held);
  g_clear_pointer (&calls.calls, g_ptr_array_unref);
}
