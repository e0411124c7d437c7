/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "store/threads/bs-notifier-private.h"

G_BEGIN_DECLS

/* How far a run of an operation object has come, as its properties n-total, n-done
 * and fraction tell. Safe to use from any thread. */
typedef struct
{
  /* constant */
  BsNotifier *notifier;         /* of the object's store; NULL where it has none */
  GObject *object;              /* not owned: this is part of it */
  GParamSpec *const *pspecs;    /* of n-total, n-done and fraction */

  int pending[3];               /* atomic: a notification is under way */

  GMutex mutex;

  /* under the mutex */
  gboolean complete;
  guint64 n_total;
  guint64 n_done;
} BsProgress;

void    bs_progress_init         (BsProgress *self, BsNotifier *notifier, GObject *object, GParamSpec *const *pspecs);
/* The object is being finalized: none of its properties is notified any more. */
void    bs_progress_clear        (BsProgress *self);

/* Each notifies of the properties that it changes. */
void    bs_progress_begin        (BsProgress *self, guint64 n_total);
void    bs_progress_add_total    (BsProgress *self, gint64 n);
void    bs_progress_add_done     (BsProgress *self, gint64 n);
void    bs_progress_complete     (BsProgress *self);

/* Notifies at once, before the run is answered in `context`: the object may go with
 * the answer. */
void    bs_progress_tell_now     (BsProgress *self, GMainContext *context);

guint64 bs_progress_get_n_total  (BsProgress *self);
guint64 bs_progress_get_n_done   (BsProgress *self);
/* 1 only where the run is complete. */
double  bs_progress_get_fraction (BsProgress *self);

G_END_DECLS
