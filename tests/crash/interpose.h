/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <glib.h>

#include "event-log.h"

G_BEGIN_DECLS

/* Stands between the library and the C library: a test executable that has
 * interpose-calls.c in it makes every file-system call through here. Calls in
 * one directory are counted and can fail, do half their work, kill the process,
 * or be written down. */

typedef enum
{
  INTERPOSE_OPEN,
  INTERPOSE_CREATE,             /* an open that may make the file */
  INTERPOSE_CLOSE,
  INTERPOSE_READ,
  INTERPOSE_WRITE,
  INTERPOSE_SYNC,               /* of a file or a folder */
  INTERPOSE_SYNC_ALL,           /* syncfs() */
  INTERPOSE_SYNC_RANGE,         /* starts writing, makes nothing durable */
  INTERPOSE_TRUNCATE,
  INTERPOSE_ALLOCATE,
  INTERPOSE_CLONE,
  INTERPOSE_COPY_RANGE,
  INTERPOSE_MKDIR,
  INTERPOSE_RMDIR,
  INTERPOSE_LINK,
  INTERPOSE_UNLINK,
  INTERPOSE_RENAME,
  INTERPOSE_CHMOD,
  INTERPOSE_SET_XATTR,
  INTERPOSE_GET_XATTR,
  INTERPOSE_LOCK,
  INTERPOSE_LIST,
  INTERPOSE_STAT,
  INTERPOSE_ACCESS,
  INTERPOSE_READ_LINK,
  INTERPOSE_SEEK,
  INTERPOSE_ADVISE,
  INTERPOSE_N_CALLS,
} InterposeCall;

/* Besides an errno, a call can be told to */
#define INTERPOSE_SHORT (-1)            /* do only part of its work */
#define INTERPOSE_SHORT_THEN_FULL (-2)  /* the same, and the next fails with ENOSPC */
#define INTERPOSE_KILL_BEFORE (-3)      /* end the process, with nothing done */
#define INTERPOSE_KILL_AFTER (-4)       /* end the process, with all done */

typedef struct
{
  guint64 nth;                          /* counted from 1; 0: none */
  int code;                             /* what happens to the nth call */
  gboolean onwards;                     /* and to all after it that can fail so */
  int refused[INTERPOSE_N_CALLS];       /* an errno that such calls always fail with, or 0 */
  gboolean skip_syncs;                  /* they are answered without asking the disk */
  gboolean forget_syncs;                /* they are not written down */
} InterposePlan;

/* Only in a process where no watched call is under way. `log` may be NULL. */
void          interpose_begin         (const char *directory, const InterposePlan *plan, EventLog *log);
void          interpose_end           (void);
/* Nothing goes wrong any more; what is refused stays refused. */
void          interpose_relent        (void);

guint64       interpose_get_n_calls   (void);
gboolean      interpose_was_hit       (void);
/* How long the log was when the nth call was made; 0 if none was. */
gsize         interpose_get_hit_event (void);
/* Whether a sync was, in the way that loses data. */
gboolean      interpose_lost_data     (void);
/* Of the nth call. */
InterposeCall interpose_get_call      (guint64 nth);
/* Descriptors that the calls opened in the directory and did not close. */
guint         interpose_get_n_open    (void);

const char   *interpose_get_name      (InterposeCall call);
const char   *interpose_get_code_name (int code);
/* All that can happen to such a call, ended by 0. */
const int    *interpose_get_codes     (InterposeCall call);

/* Steps of interpose-calls.c around each call. */
typedef struct
{
  gboolean watched;
  int code;
  EventLog *log;                        /* NULL if the call is not to be written down */
} InterposeFrame;

/* Whether the call is to be made. `errno` is left alone. */
gboolean      interpose_enter         (InterposeFrame *frame, InterposeCall call, gboolean watched);
/* Returns what the caller is to be told, with `errno` set to fit. */
gssize        interpose_leave         (InterposeFrame *frame, gssize result);
/* After these errors of a sync the kernel takes what it could not write for written. */
gboolean      interpose_loses_data    (int code);
gboolean      interpose_is_watched    (int fd, const char *path);
gboolean      interpose_skips_syncs   (void);
gboolean      interpose_forgets_syncs (void);
void          interpose_add_fd        (int fd);
gboolean      interpose_steal_fd      (int fd);

G_END_DECLS
