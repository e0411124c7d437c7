/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-file-walk-private.h"

G_BEGIN_DECLS

/* The lock of a directory: of the file `.lock` in it, whose content names the holder, and
 * of the directory itself, which programs that clean temporary folders by age honour.
 *
 * Another machine may not see the lock, and finds the holder's name in the file. */
typedef struct
{
  int fd;                /* of the file, or -1 */
  char *holder;          /* as written to the file; NULL if it could not be */
  char *absent_holder;   /* of another machine, or another boot, that never let go; or NULL */
  gboolean shared;       /* with readers: nothing was written */
} BsFileLock;

void     bs_file_lock_init    (BsFileLock *self);
/* Returns 0 or an errno: EWOULDBLOCK if another one has it, EEXIST if something else than
 * a file stands in its place, ENOLCK if the file system has no locks. */
int      bs_file_lock_take    (BsFileLock *self, int directory_fd);
/* Takes the lock beside others that only read, and changes nothing: no file is made where
 * there is none. Returns 0 or EWOULDBLOCK. */
int      bs_file_lock_share   (BsFileLock *self, int directory_fd);
/* Takes a lost lock once more, with the same errnos. */
int      bs_file_lock_renew   (BsFileLock *self, int directory_fd);
/* Returns ENOLCK if the file of that name in the directory is not this lock any more. */
int      bs_file_lock_check   (const BsFileLock *self, int directory_fd);
void     bs_file_lock_drop    (BsFileLock *self, int directory_fd);
/* Closes without letting go, in a forked child. */
void     bs_file_lock_close   (BsFileLock *self);

G_END_DECLS
