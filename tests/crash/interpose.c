/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "interpose.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define MAX_CODES 12
#define MAX_FDS 65536
#define MAX_CALLS 65536

static const struct
{
  const char *name;
  gboolean modifies;
  int codes[MAX_CODES];
} calls[INTERPOSE_N_CALLS] = {
  [INTERPOSE_OPEN] = { "open", FALSE, { EMFILE, ENFILE, EACCES, EINTR, EIO, ENOMEM } },
  [INTERPOSE_CREATE] = { "create",
                         TRUE,
                         { ENOSPC, EDQUOT, EMFILE, ENFILE, EACCES, EROFS, EINTR, EIO, ENOMEM } },
  [INTERPOSE_CLOSE] = { "close", FALSE, { EIO, EINTR, ENOSPC, EDQUOT } },
  [INTERPOSE_READ] = { "read", FALSE, { EIO, EINTR, INTERPOSE_SHORT } },
  [INTERPOSE_WRITE] = { "write",
                        TRUE,
                        { ENOSPC, EDQUOT, EIO, EINTR, INTERPOSE_SHORT,
                          INTERPOSE_SHORT_THEN_FULL } },
  [INTERPOSE_SYNC] = { "fsync", TRUE, { EIO, ENOSPC, EDQUOT, EINTR } },
  [INTERPOSE_SYNC_ALL] = { "syncfs", TRUE, { EIO, ENOSPC, EDQUOT, EINTR } },
  [INTERPOSE_SYNC_RANGE] = { "sync_file_range", FALSE, { EIO, ENOSPC, ENOMEM } },
  [INTERPOSE_TRUNCATE] = { "ftruncate", TRUE, { EIO, EINTR, ENOSPC } },
  [INTERPOSE_ALLOCATE] = { "fallocate", TRUE, { EOPNOTSUPP, ENOSPC, EDQUOT, EIO, EINTR } },
  [INTERPOSE_CLONE] = { "FICLONE",
                        TRUE,
                        { EOPNOTSUPP, ENOTTY, EXDEV, EINVAL, EPERM, ENOSPC, EIO } },
  [INTERPOSE_COPY_RANGE] = { "copy_file_range",
                             TRUE,
                             { EXDEV, EOPNOTSUPP, ENOSYS, EINVAL, ENOSPC, EIO, INTERPOSE_SHORT } },
  [INTERPOSE_MKDIR] = { "mkdir", TRUE, { ENOSPC, EDQUOT, EMLINK, EACCES, EROFS, EIO, ENOMEM } },
  [INTERPOSE_RMDIR] = { "rmdir", TRUE, { EIO, EACCES, EROFS, EBUSY, ENOMEM } },
  [INTERPOSE_LINK] = { "link",
                       TRUE,
                       { EXDEV, EPERM, EMLINK, EOPNOTSUPP, ENOSPC, EDQUOT, EACCES, EROFS, EIO,
                         ENOMEM } },
  [INTERPOSE_UNLINK] = { "unlink", TRUE, { EIO, EACCES, EROFS, EBUSY, ENOMEM } },
  [INTERPOSE_RENAME] = { "rename", TRUE, { ENOSPC, EDQUOT, EMLINK, EACCES, EROFS, EIO, ENOMEM } },
  [INTERPOSE_CHMOD] = { "chmod", TRUE, { EPERM, EROFS, EIO } },
  [INTERPOSE_SET_XATTR] = { "setxattr", TRUE, { EOPNOTSUPP, ENOSPC, EDQUOT, EPERM, EIO, ENOMEM } },
  [INTERPOSE_GET_XATTR] = { "getxattr", FALSE, { EOPNOTSUPP, ENODATA, EIO, ENOMEM } },
  [INTERPOSE_LOCK] = { "flock", FALSE, { EINTR, ENOLCK, EWOULDBLOCK } },
  [INTERPOSE_LIST] = { "getdents64", FALSE, { EIO, ENOMEM } },
  [INTERPOSE_STAT] = { "stat", FALSE, { EIO, EACCES, ENOMEM } },
  /* EACCES and EROFS would be the answer, and not a failure. */
  [INTERPOSE_ACCESS] = { "faccessat", FALSE, { EIO, ENOMEM } },
  [INTERPOSE_READ_LINK] = { "readlinkat", FALSE, { EIO, EACCES, ENOMEM } },
  [INTERPOSE_SEEK] = { "lseek", FALSE, { EINVAL, EIO } },
  [INTERPOSE_ADVISE] = { "posix_fadvise", TRUE, { EINVAL } },
};

static const struct
{
  int code;
  const char *name;
} code_names[] = {
  { EACCES, "EACCES" },
  { EBUSY, "EBUSY" },
  { EDQUOT, "EDQUOT" },
  { EINTR, "EINTR" },
  { EINVAL, "EINVAL" },
  { EIO, "EIO" },
  { EMFILE, "EMFILE" },
  { EMLINK, "EMLINK" },
  { ENFILE, "ENFILE" },
  { ENODATA, "ENODATA" },
  { ENOLCK, "ENOLCK" },
  { ENOMEM, "ENOMEM" },
  { ENOSPC, "ENOSPC" },
  { ENOSYS, "ENOSYS" },
  { ENOTTY, "ENOTTY" },
  { EOPNOTSUPP, "EOPNOTSUPP" },
  { EPERM, "EPERM" },
  { EROFS, "EROFS" },
  { EWOULDBLOCK, "EWOULDBLOCK" },
  { EXDEV, "EXDEV" },
  { INTERPOSE_SHORT, "half done" },
  { INTERPOSE_SHORT_THEN_FULL, "half done, then ENOSPC" },
  { INTERPOSE_KILL_BEFORE, "SIGKILL before" },
  { INTERPOSE_KILL_AFTER, "SIGKILL after" },
};

/* Changed only between interpose_begin() and the first watched call. */
static char watched_directory[PATH_MAX];
static gsize watched_length;
static InterposePlan plan;
static EventLog *event_log;

/* atomic */
static int armed;
static gsize n_calls;
static int hit;
static gsize hit_event;
static int lost_data;
static int full; /* the next write fails */
static guint8 fds[MAX_FDS];
static guint8 kinds[MAX_CALLS];

/* Held during a call that is written down, so that the order is the true one. */
static GMutex log_mutex;

/* Calls made by a watched call are not watched. */
static __thread gboolean inside;

void
interpose_begin (const char *directory, const InterposePlan *new_plan, EventLog *log)
{
  interpose_end ();

  watched_length = g_strlcpy (watched_directory, directory, sizeof watched_directory);
  plan = *new_plan;
  event_log = log;
  memset (fds, 0, sizeof fds);
  n_calls = 0;
  hit = FALSE;
  hit_event = 0;
  lost_data = FALSE;
  full = FALSE;
  g_atomic_int_set (&armed, TRUE);
}

void
interpose_end (void)
{
  g_atomic_int_set (&armed, FALSE);
}

void
interpose_relent (void)
{
  plan.nth = 0;
  plan.onwards = FALSE;
  full = FALSE;
}

guint64
interpose_get_n_calls (void)
{
  return g_atomic_pointer_get (&n_calls);
}

gboolean
interpose_was_hit (void)
{
  return g_atomic_int_get (&hit);
}

gsize
interpose_get_hit_event (void)
{
  return g_atomic_pointer_get (&hit_event);
}

gboolean
interpose_lost_data (void)
{
  return g_atomic_int_get (&lost_data);
}

gboolean
interpose_loses_data (int code)
{
  return code == EIO || code == ENOSPC || code == EDQUOT;
}

InterposeCall
interpose_get_call (guint64 nth)
{
  g_assert (nth > 0 && nth <= MIN (interpose_get_n_calls (), MAX_CALLS));

  return kinds[nth - 1];
}

guint
interpose_get_n_open (void)
{
  guint n = 0;

  for (guint i = 0; i < MAX_FDS; i++)
    n += fds[i];

  return n;
}

const char *
interpose_get_name (InterposeCall call)
{
  return calls[call].name;
}

const char *
interpose_get_code_name (int code)
{
  for (guint i = 0; i < G_N_ELEMENTS (code_names); i++)
    {
      if (code_names[i].code == code)
        return code_names[i].name;
    }

  return g_strerror (code);
}

const int *
interpose_get_codes (InterposeCall call)
{
  return calls[call].codes;
}

static gboolean
can_fail_with (InterposeCall call, int code)
{
  for (const int *codes = calls[call].codes; *codes != 0; codes++)
    {
      if (*codes == code)
        return TRUE;
    }

  return FALSE;
}

/* Which code the call gets; 0 lets it pass. */
static int
judge (InterposeCall call, guint64 n)
{
  if (plan.nth != 0 &&
      (n == plan.nth || (n > plan.nth && plan.onwards && can_fail_with (call, plan.code))))
    {
      g_atomic_int_set (&hit, TRUE);
      if (n == plan.nth && event_log != NULL)
        g_atomic_pointer_set (&hit_event, event_log_get_n_events (event_log));
      if (plan.code == INTERPOSE_SHORT_THEN_FULL)
        g_atomic_int_set (&full, TRUE);
      if ((call == INTERPOSE_SYNC || call == INTERPOSE_SYNC_ALL) &&
          interpose_loses_data (plan.code))
        g_atomic_int_set (&lost_data, TRUE);
      return plan.code;
    }

  if (call == INTERPOSE_WRITE && g_atomic_int_compare_and_exchange (&full, TRUE, FALSE))
    return ENOSPC;

  return plan.refused[call];
}

static void
die (void)
{
  for (;;)
    kill (getpid (), SIGKILL);
}

gboolean
interpose_enter (InterposeFrame *frame, InterposeCall call, gboolean watched)
{
  guint64 n;

  frame->watched = watched && !inside;
  frame->code = 0;
  frame->log = NULL;
  if (!frame->watched)
    return TRUE;

  inside = TRUE;
  if (event_log != NULL && calls[call].modifies)
    {
      g_mutex_lock (&log_mutex);
      frame->log = event_log;
    }

  n = (guint64) g_atomic_pointer_add (&n_calls, 1) + 1;
  if (n <= MAX_CALLS)
    kinds[n - 1] = call;
  frame->code = judge (call, n);
  if (frame->code == INTERPOSE_KILL_BEFORE)
    die ();

  return frame->code <= 0;
}

gssize
interpose_leave (InterposeFrame *frame, gssize result)
{
  int code = errno;

  if (!frame->watched)
    return result;

  if (frame->code == INTERPOSE_KILL_AFTER)
    die ();
  if (frame->log != NULL)
    g_mutex_unlock (&log_mutex);
  inside = FALSE;

  errno = frame->code > 0 ? frame->code : code;

  return frame->code > 0 ? -1 : result;
}

gboolean
interpose_is_watched (int fd, const char *path)
{
  if (inside || !g_atomic_int_get (&armed))
    return FALSE;

  if (path != NULL && path[0] == '/')
    return strncmp (path, watched_directory, watched_length) == 0 &&
           (path[watched_length] == '/' || path[watched_length] == '\0');

  return fd >= 0 && fd < MAX_FDS && __atomic_load_n (&fds[fd], __ATOMIC_RELAXED);
}

gboolean
interpose_skips_syncs (void)
{
  return plan.skip_syncs;
}

gboolean
interpose_forgets_syncs (void)
{
  return plan.forget_syncs;
}

void
interpose_add_fd (int fd)
{
  if (fd >= 0 && fd < MAX_FDS)
    __atomic_store_n (&fds[fd], TRUE, __ATOMIC_RELAXED);
}

gboolean
interpose_steal_fd (int fd)
{
  gboolean watched = interpose_is_watched (fd, NULL);

  if (watched)
    __atomic_store_n (&fds[fd], FALSE, __ATOMIC_RELAXED);

  return watched;
}
