/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <backingstore/backings/bs-file-backing.h>

#include "backing-contract.h"

/* A file backing in a temporary directory of its own, one persisted path beside
 * its scratch, and ways to look at both and to plant things in them. */

#define NOBODY 65534

typedef struct
{
  char *directory;      /* where all else is */
  char *primary_name;
  char *path_name;
  GFile *primary;
  GFile *path;
  BsBacking *backing;   /* or NULL, when a test let go of it */
  char *key;            /* not written yet */
  GBytes *bytes;
} Fixture;

void       set_up           (Fixture *fixture, gconstpointer data);
void       tear_down        (Fixture *fixture, gconstpointer data);
BsBacking *create           (GFile *directory);
/* As another process would find it. */
void       restart_backing  (Fixture *fixture);
/* Elsewhere, such as on another file system. */
void       move_primary     (Fixture *fixture, const char *name);
void       move_path        (Fixture *fixture, const char *name);

void       write_blob       (Fixture *fixture, const char *key);
void       persist_blob     (Fixture *fixture, const char *key);
void       sync_path        (Fixture *fixture);
void       delete_scratch   (Fixture *fixture, const char *key);
void       register_blob    (Fixture *fixture, const char *key);
guint64    count_listed     (BsBacking *backing, GFile *path);
GError    *sanitize_error   (BsBacking *backing, GFile *path);
void       assert_transfers (BsBacking *backing, guint64 linked, guint64 reflinked, guint64 copied);
guint64    count_foreign    (BsBacking *backing);

/* At the fixture's path. */
GError    *persist_error    (Fixture *fixture, const char *key);
void       delete_blob      (Fixture *fixture, const char *key);
guint64    count_rewritten  (Fixture *fixture);
/* From now on blobs that have a file each in scratch, as small ones have not before they
 * are persisted. */
void       use_large_blobs  (Fixture *fixture);
/* A second blob in scratch; returns its key. */
char      *write_other      (Fixture *fixture);

/* The layout, written down a second time. */
char      *get_blob_name    (const char *directory, const char *key);
char      *get_shard_name   (const char *directory, const char *key);

void       plant            (const char *path, const char *content);
void       plant_in         (const char *directory, const char *name, const char *content);
gboolean   exists           (const char *path);
gboolean   exists_in        (const char *directory, const char *name);
/* Until another thread has removed it, or the test takes too long. */
void       wait_until_gone  (const char *path);
guint      get_mode         (const char *path);
/* The time of the last change of its content, which corruption leaves as it was. */
struct timespec get_time    (const char *path);
void       set_time         (const char *path, struct timespec time);
/* As a crash truncates it: the time stays. */
void       cut_short        (const char *path, goffset size);
void       flip             (const char *path, goffset at);
guint64    get_inode        (const char *path);
/* The mark of unsynced changes aside. */
guint      count_files      (const char *directory);
/* The directory and all below it: name, type, mode, owner, size, times, links,
 * extended attributes, content. Changes nothing. */
char      *snapshot         (const char *directory);
void       assert_unchanged (const char *directory, const char *snapshot);

/* Runs it as another process that is killed afterwards. In a child of a process that has
 * threads, it starts none: ThreadSanitizer ends such a child. */
void       run_and_crash    (void (*func) (Fixture *fixture), Fixture *fixture);
/* Runs it as another process, which says whether all was well. */
void       run_apart        (void (*func) (Fixture *fixture), Fixture *fixture);
/* Runs it as another process that stays until it is killed. */
GPid       run_and_stay     (void (*func) (Fixture *fixture), Fixture *fixture);
void       kill_process     (GPid pid);

/* Leaves the process so many descriptors that it may still open, until it gets the
 * others back. */
GArray    *take_descriptors (guint n_left) G_GNUC_WARN_UNUSED_RESULT;
void       give_descriptors (GArray *taken);

gboolean   skip_unless_root (void);
