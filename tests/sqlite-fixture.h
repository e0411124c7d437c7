/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "backing-contract.h"

#include <backingstore/backingstore.h>
#include <sqlite3.h>

/* The engine "sqlite:" with a document in a folder of its own, and ways to look at it with
 * SQLite and to plant things beside it. */

/* Far less than any watchdog of meson. */
#define SECONDS 60

typedef struct
{
  char *directory;
  GFile *scratch;
  char *path; /* of the document */
  GFile *file;
  BsBacking *backing;
} Fixture;

void       set_up              (Fixture *fixture, gconstpointer data);
void       tear_down           (Fixture *fixture, gconstpointer data);
BsBacking *create              (GFile *directory);

void       track               (BsBacking *backing, GFile *file);
void       assert_track_fails  (BsBacking *backing, GFile *file, GQuark domain, int code);
void       release             (Fixture *fixture);
char      *write_new           (BsBacking *backing, GBytes *bytes);
/* A new blob at the path, that primary storage has too. */
char      *persist_new         (Fixture *fixture, gsize size, guint seed);
void       save_root           (Fixture *fixture, const char *text);
void       assert_n_keys       (Fixture *fixture, guint64 n_keys);
void       assert_root         (BsBacking *backing, GFile *file, const char *text);
/* Each change at the path fails so. */
void       assert_changes_fail (Fixture *fixture, const char *key, GQuark domain, int code);

char      *beside              (const char *path, const char *suffix);
gboolean   exists              (const char *path, const char *suffix);
/* The names in the folder of the document, in order. */
char      *list_folder         (const char *path);
void       assert_folder       (const char *path, const char *expected);
/* As cp does, or with the time as cp -p. */
void       copy                (const char *from, const char *to, gboolean with_time);

sqlite3   *open_database       (const char *path);
void       run_sql             (const char *path, const char *sql);
char      *ask_sql             (const char *path, const char *sql);
void       assert_sql          (const char *path, const char *sql, const char *expected);

/* Runs a function in a process that ends without closing anything. */
void       run_and_die         (void (*func) (Fixture *fixture), Fixture *fixture);
/* Leaves a blob in a save, and one after it. */
void       save_and_persist    (Fixture *fixture);
