/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "interpose.h"
#include "workload.h"

G_BEGIN_DECLS

/* Shared by the crash tests: which of many cases are run, and a directory for
 * each. */

/* A workload, and what its file system cannot do. */
typedef struct
{
  const Workload *workload;
  const char *name;
  InterposeCall refused;
  int code;                     /* 0: it can do everything */
} Setting;

extern const Setting settings[];
extern const guint n_settings;

/* For each setting, "/crash/ENGINE/WORKLOAD/NAME". */
void     run_add_tests     (const char *engine, GTestDataFunc func);

typedef struct
{
  const Setting *setting;
  Journal *journal;
  char *base;
  char *directory;              /* of the case; empty at first */
  GRand *rand;
  guint32 seed;
  guint *order;
  guint n_cases;
  guint n_done;
  guint n_failed;
  gint64 end;
} Run;

void     run_init          (Run *self, const Setting *setting);
void     run_clear         (Run *self);
/* Says how many cases there are, of which all, or some thousands, are run with
 * "-m slow", else as many as fit in some time, and a few at least. */
void     run_set_n_cases   (Run *self, guint n_cases);
/* The next case, in a fresh directory and with a fresh random generator. */
gboolean run_next          (Run *self, guint *n);
/* Another fresh directory. */
char    *run_make_directory (Run *self, const char *name);
InterposePlan run_make_plan (Run *self);
/* Runs the whole workload, of which nothing may fail. */
void     run_workload      (Run *self, const char *directory);
/* The case fails; the others are run all the same, unless too many fail. */
void     run_fail          (Run *self, const char *format, ...) G_GNUC_PRINTF (2, 3);
/* Opens a directory as the next process does. Whether it keeps what was promised. */
gboolean run_look          (Run *self, const char *directory, gsize n_marks, GError **error);
/* Runs it; the case fails where it fails. */
void     run_check         (Run *self, const char *directory, gsize n_marks, const char *what);
/* Prints how much was done. */
void     run_report        (Run *self, const char *what);

G_END_DECLS
