/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <backingstore/base/bs-backing.h>
#include <backingstore/base/bs-error.h>
#include <backingstore/base/bs-key.h>

/* The contract of backings, for one of any kind. */

typedef struct
{
  const char *prefix;
  BsBacking *(*create) (GFile *directory);
  /* As another process would find it. Takes `backing` over. */
  BsBacking *(*restart) (BsBacking *backing, GFile *directory);
  /* Where a persisted path of that name is, beside the directory. NULL: a local file. */
  GFile *(*locate) (GFile *directory, const char *name);
} BackingKind;

/* Where a persisted path of that name is. */
GFile *backing_kind_locate (const BackingKind *kind, GFile *primary, const char *name);

/* `kind` must live as long as the tests. */
void   backing_contract_add_tests (const BackingKind *kind);

/* Whether every case is run, and not a part that takes less time: with the setup
 * "whole", and in the long tests. */
gboolean tests_are_whole          (void);
char  *make_test_directory        (void);
/* Symbolic links are removed, not followed. */
void   remove_test_directory      (const char *path);

GBytes *make_test_bytes           (gsize size, guint seed);
/* Returns a new key with that content, which came as a stream of unknown size. */
char   *write_streamed            (BsBacking *backing, GBytes *bytes);
void   assert_reads               (BsBacking *backing, const char *key, GBytes *expected);
void   assert_does_not_read       (BsBacking *backing, const char *key);
/* Returns what sanitizing the path finds. */
BsKeySet *list_path               (BsBacking *backing, GFile *path);
