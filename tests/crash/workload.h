/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <backingstore/backingstore.h>

#include "journal.h"

G_BEGIN_DECLS

/* Something to be interrupted: a fixed sequence of steps in a directory, and an
 * oracle that says whether what is in the directory keeps what was promised. */
typedef struct
{
  const char *name;
  gboolean varies;      /* one run does not make just the calls of another */

  /* In an empty directory. `directory` must live as long as the state. */
  gpointer (*start) (const char *directory, Journal *journal);
  guint n_steps;
  const char *(*describe) (guint step);
  /* After an error the same step can be taken again. */
  gboolean (*step) (gpointer state, guint step, GError **error);
  /* After a sync failed: does anew all that it was to cover, so that it may
   * succeed. */
  gboolean (*redo) (gpointer state, GError **error);
  /* Whether all that is there can be read, and is what it should be. */
  gboolean (*verify) (gpointer state, GError **error);
  /* Lets go of everything, but for what a process leaves that ends. */
  void (*stop) (gpointer state);

  /* Opens the directory as the next process does, after so many marks. */
  gboolean (*check) (const char *directory, Journal *journal, gsize n_marks, GError **error);
} Workload;

/* Every function of a backing in files, called directly; and a document of two sessions. */
extern const Workload workload_backing;
extern const Workload workload_backing_few;
/* Saves of a document that changes: blob by blob, several at a time, and of very
 * many. */
extern const Workload workload_save;
extern const Workload workload_save_parallel;
extern const Workload workload_save_many;

/* A backing of the engine that the program is built for, with its scratch there. */
BsBacking *workload_make_backing (GFile *scratch);

/* The domain of errors that are the library's fault. */
#define WORKLOAD_BROKEN (workload_broken_quark ())
GQuark   workload_broken_quark (void);
/* Returns FALSE. */
gboolean workload_set_broken   (GError **error, const char *format, ...) G_GNUC_PRINTF (2, 3);

/* That nothing is in the directory but what belongs there: no temporary file, and
 * in one for scratch files no blob. */
gboolean workload_check_leftovers (const char *directory, gboolean scratch, GError **error);
/* That nothing stands beside what was closed. */
gboolean workload_check_beside    (const char *directory, const char *name, GError **error);

G_END_DECLS
