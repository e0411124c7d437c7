/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "store/threads/bs-progress-private.h"

typedef enum
{
  N_TOTAL,
  N_DONE,
  FRACTION,
} Which;

/* Under the mutex. */
static double
get_fraction (const BsProgress *self)
{
  return self->complete ? 1.0 : (double) self->n_done / (double) (self->n_total + 1);
}

/* Notifies of the changed properties. */
static void
set_and_unlock (BsProgress *self, guint64 n_total, guint64 n_done, gboolean complete)
{
  double before = get_fraction (self), after;
  gboolean changed[] = { self->n_total != n_total, self->n_done != n_done, FALSE };

  self->n_total = n_total;
  self->n_done = n_done;
  self->complete = complete;
  after = get_fraction (self);
  changed[FRACTION] = after < before || after > before;
  g_mutex_unlock (&self->mutex);

  for (Which which = N_TOTAL; which <= FRACTION; which++)
    if (changed[which])
      bs_notifier_notify (self->notifier, self->object, self->pspecs[which], &self->pending[which]);
}

void
bs_progress_init (BsProgress *self,
                  BsNotifier *notifier,
                  GObject *object,
                  GParamSpec *const *pspecs)
{
  g_mutex_init (&self->mutex);
  self->notifier = notifier;
  self->object = object;
  self->pspecs = pspecs;
}

void
bs_progress_clear (BsProgress *self)
{
  if (self->notifier != NULL)
    bs_notifier_forget (self->notifier, self->object);
  g_mutex_clear (&self->mutex);
}

void
bs_progress_begin (BsProgress *self, guint64 n_total)
{
  g_mutex_lock (&self->mutex);
  set_and_unlock (self, n_total, 0, FALSE);
}

void
bs_progress_add_total (BsProgress *self, gint64 n)
{
  g_mutex_lock (&self->mutex);
  set_and_unlock (self, self->n_total + (guint64) n, self->n_done, self->complete);
}

void
bs_progress_add_done (BsProgress *self, gint64 n)
{
  g_mutex_lock (&self->mutex);
  set_and_unlock (self, self->n_total, self->n_done + (guint64) n, self->complete);
}

void
bs_progress_complete (BsProgress *self)
{
  g_mutex_lock (&self->mutex);
  set_and_unlock (self, self->n_total, self->n_done, TRUE);
}

void
bs_progress_tell_now (BsProgress *self, GMainContext *context)
{
  bs_notifier_tell_now (self->notifier, context, self->object);
}

guint64
bs_progress_get_n_total (BsProgress *self)
{
  guint64 n_total;

  g_mutex_lock (&self->mutex);
  n_total = self->n_total;
  g_mutex_unlock (&self->mutex);

  return n_total;
}

guint64
bs_progress_get_n_done (BsProgress *self)
{
  guint64 n_done;

  g_mutex_lock (&self->mutex);
  n_done = self->n_done;
  g_mutex_unlock (&self->mutex);

  return n_done;
}

double
bs_progress_get_fraction (BsProgress *self)
{
  double fraction;

  g_mutex_lock (&self->mutex);
  fraction = get_fraction (self);
  g_mutex_unlock (&self->mutex);

  return fraction;
}
