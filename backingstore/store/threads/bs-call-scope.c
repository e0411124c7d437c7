/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-call-scope-private.h"

/* Much cheaper than a GPrivate, and nothing has to be freed with the thread. */
static __thread BsCallScope *current_scope;

void
bs_call_scope_push (BsCallScope *scope, gconstpointer store, BsScopeKind kind)
{
  scope->previous = current_scope;
  scope->store = store;
  scope->kind = kind;
  scope->lends = FALSE;
  scope->saving = NULL;
  current_scope = scope;
}

void
bs_call_scope_pop (BsCallScope *scope)
{
  g_assert (current_scope == scope);
  current_scope = scope->previous;
}

BsCallScope *
bs_call_scope_find (gconstpointer store, BsScopeKind kind)
{
  for (BsCallScope *scope = current_scope; scope != NULL; scope = scope->previous)
    if (scope->store == store && scope->kind == kind)
      return scope;

  return NULL;
}

BsCallScope *
bs_call_scope_get_current (void)
{
  return current_scope;
}
