/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <backingstore/backingstore.h>
#include <glib/gi18n.h>
#include <inttypes.h>

G_BEGIN_DECLS

/* Exit statuses, which the manual page promises. */
typedef enum
{
  BS_TOOL_DONE = 0,
  BS_TOOL_FAILED = 1,
  BS_TOOL_USAGE = 2,
  BS_TOOL_NO_DOCUMENT = 3,
  BS_TOOL_BUSY = 4,
  BS_TOOL_CORRUPT = 5,
} BsToolStatus;

/* One run of the command. The thread that works writes here; the main thread shows the
 * progress and takes signals. */
typedef struct
{
  /* options */
  gboolean json;
  gboolean quiet;
  gboolean dry_run;
  gboolean adopts; /* the hint to `repair --adopt` has been followed */
  char *scratch; /* a directory for temporary files, or NULL */

  GCancellable *cancellable; /* owned */
  int status;                /* of the first document that failed, or BS_TOOL_DONE */

  GMutex mutex;

  /* under the mutex */
  GObject *progress;   /* owned: has a property "fraction"; or NULL */
  const char *action;  /* what goes on */
  guint64 n_done;      /* without `progress` */
  guint64 n_total;     /* 0 if nothing is to be shown */
} BsTool;

void     bs_tool_init            (BsTool *self);
void     bs_tool_clear           (BsTool *self);

/* Shows how far an operation is, up to the next call. */
void     bs_tool_follow          (BsTool *self, const char *action, gpointer object);
void     bs_tool_count           (BsTool *self, const char *action, guint64 n_done, guint64 n_total);
/* Returns FALSE where nothing is to be shown. */
gboolean bs_tool_get_progress    (BsTool *self, const char **action, double *fraction);

/* Prints an error, and a hint where the user can do something. */
void     bs_tool_report          (BsTool *self, const GError *error);
void     bs_tool_warn            (const char *format, ...) G_GNUC_PRINTF (1, 2);
/* Prints a line that --quiet and --json leave out. */
void     bs_tool_say             (BsTool *self, const char *format, ...) G_GNUC_PRINTF (2, 3);
/* A name in a form that a terminal shows and does not obey. */
char    *bs_tool_escape          (const char *name) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
