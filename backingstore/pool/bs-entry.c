/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-entry-private.h"

BsEntry *
bs_entry_new (BsToken *token, gboolean is_clean)
{
  BsEntry *self = g_new0 (BsEntry, 1);

  self->ref_count = 1;
  self->token = token;
  self->key = token->key;
  self->is_clean = is_clean;

  return self;
}

BsEntry *
bs_entry_ref (BsEntry *self)
{
  g_atomic_int_inc (&self->ref_count);
  return self;
}

gboolean
bs_entry_try_ref (BsEntry *self)
{
  gint old = g_atomic_int_get (&self->ref_count);

  while (old > 0)
    {
      if (g_atomic_int_compare_and_exchange (&self->ref_count, old, old + 1))
        return TRUE;
      old = g_atomic_int_get (&self->ref_count);
    }

  return FALSE;
}

BsReference
bs_entry_get_reference (BsEntry *self)
{
  return (BsReference) bs_locked_pointer_get (&self->reference);
}

BsReference
bs_entry_exchange_reference (BsEntry *self, BsReference reference)
{
  return (BsReference) bs_locked_pointer_exchange (&self->reference, (gpointer) reference);
}
