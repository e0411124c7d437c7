/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* A function that this thread is inside of. Scopes form a chain on the stack, so
 * that a call which could only wait for itself is recognised. */
typedef enum
{
  BS_SCOPE_BACKING,       /* a virtual function of the backing, or of a codec */
  BS_SCOPE_FUNCTION,      /* a function of the application */
} BsScopeKind;

typedef struct _BsCallScope BsCallScope;
struct _BsCallScope
{
  BsCallScope *previous;
  gconstpointer store;
  BsScopeKind kind;
  gboolean lends;         /* has lent its place in the executor to others */
  gconstpointer saving;   /* the path, inside a save's commit function */
};

void         bs_call_scope_push        (BsCallScope *scope, gconstpointer store, BsScopeKind kind);
void         bs_call_scope_pop         (BsCallScope *scope);
/* The innermost scope of that kind and store, or NULL. */
BsCallScope *bs_call_scope_find        (gconstpointer store, BsScopeKind kind);
/* The innermost scope of any kind and store, or NULL. */
BsCallScope *bs_call_scope_get_current (void);

G_END_DECLS
