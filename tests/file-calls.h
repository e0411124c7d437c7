/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <glib.h>

/* In a program with this, fsync(), syncfs(), linkat(), mkdirat(), fsetxattr(), openat() and
 * renameat() are not the C library's. Each call of the first three is put into a list, by the last
 * part of its file's name, such as "fsync ab" or "linkat abcdef…", and may be made to
 * fail or to wait. A name that ends in a hyphen stands for all that begin so. openat() and
 * renameat() may be made to fail, by the whole new name. fstatfs() may be made to lie.
 *
 * mkdirat() may be made to wait as well, once the folder is there. */

/* Before any of these is called. */
void   file_calls_init     (void);
void   file_calls_clear    (void);

/* The next such call. */
void   fail_once           (const char *name, const char *file, int code);
void   fail_times          (guint n, const char *name, const char *file, int code);
/* Every such call, until it is NULL. */
void   hold_call           (const char *call);
void   wait_until_held     (void);
/* Has fstatfs() say that everything is on a file system of this type, until it is 0. */
void   pretend_type        (guint32 type);
/* Has flock() fail with the errno, until it is 0. */
void   refuse_locks        (int code);
/* Likewise at directories alone. */
void   refuse_folder_locks (int code);
/* Whether fsetxattr() says that there are no extended attributes. */
void   refuse_attributes   (gboolean refuse);

void   forget_calls        (void);
guint  count_calls         (const char *call);
/* All since they were forgotten, in order, separated by commas. Forgets them. */
char  *take_calls          (void) G_GNUC_WARN_UNUSED_RESULT;

#define assert_calls(expected) \
  G_STMT_START \
    { \
      g_autofree char *taken = take_calls (); \
      g_autofree char *wanted = expected; \
      g_assert_cmpstr (taken, ==, wanted); \
    } \
  G_STMT_END
