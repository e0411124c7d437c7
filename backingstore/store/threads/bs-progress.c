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

static void
notify (BsProgress *self, Which which)
{
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
  self->complete = FALSE;
  self->n_total = n_total;
  self->n_done = 0;
  g_mutex_unlock (&self->mutex);

  notify (self, N_TOTAL);
  notify (self, N_DONE);
  notify (self, FRACTION);
}

void
bs_progress_add_total (BsProgress *self, gint64 n)
{
  g_mutex_lock (&self->mutex);
  self->n_total += n;
  g_mutex_unlock (&self->mutex);

  notify (self, N_TOTAL);
  notify (self, FRACTION);
}

void
bs_progress_add_done (BsProgress *self, gint64 n)
{
  g_mutex_lock (&self->mutex);
  self->n_done += n;
  g_mutex_unlock (&self->mutex);

  notify (self, N_DONE);
  notify (self, FRACTION);
}

void
bs_progress_complete (BsProgress *self)
{
  g_mutex_lock (&self->mutex);
  self->complete = TRUE;
  g_mutex_unlock (&self->mutex);

  notify (self, FRACTION);
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
  if (self->complete)
    fraction = 1.0;
  else
    fraction = (double) self->n_done / (double) (self->n_total + 1);
  g_mutex_unlock (&self->mutex);

  return fraction;
}
