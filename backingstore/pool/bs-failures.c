/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-failures-private.h"

struct _BsFailure
{
  GError *error; /* owned */
};

BsFailure *
bs_failure_new (const GError *error)
{
  BsFailure *failure = g_atomic_rc_box_new (BsFailure);

  failure->error = g_error_copy (error);
  return failure;
}

static void
failure_clear (gpointer data)
{
  g_error_free (((BsFailure *) data)->error);
}

void
bs_failure_unref (BsFailure *failure)
{
  g_atomic_rc_box_release_full (failure, failure_clear);
}

GError *
bs_failure_dup_error (BsFailure *failure)
{
  return g_error_copy (failure->error);
}

void
bs_failures_clear (BsFailures *self)
{
  g_clear_pointer (&self->table, g_hash_table_unref);
}

BsFailure *
bs_failures_exchange (BsFailures *self, gconstpointer thing, BsFailure *failure)
{
  gpointer old = NULL;

  if (self->table != NULL)
    g_hash_table_steal_extended (self->table, thing, NULL, &old);
  else if (failure != NULL)
    self->table = g_hash_table_new_full (NULL, NULL, NULL, (GDestroyNotify) bs_failure_unref);
  if (failure != NULL)
    g_hash_table_insert (self->table, (gpointer) thing, failure);

  return old;
}

BsFailure *
bs_failures_dup (BsFailures *self, gconstpointer thing)
{
  BsFailure *failure = self->table != NULL ? g_hash_table_lookup (self->table, thing) : NULL;

  return failure != NULL ? g_atomic_rc_box_acquire (failure) : NULL;
}
