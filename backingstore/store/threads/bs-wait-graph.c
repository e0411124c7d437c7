/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-wait-graph-private.h"

#include "store/threads/bs-call-scope-private.h"

static GMutex edges_mutex;
static BsWaitEdge *edges; /* by next; under the mutex */

static BsCallScope *
next_commit (BsCallScope *scope)
{
  while (scope != NULL && scope->saving == NULL)
    scope = scope->previous;

  return scope;
}

/* Functions on this thread's stack below the innermost one can't go on before it. */
static gboolean
is_on_stack (BsCallScope *innermost, gconstpointer path)
{
  for (BsCallScope *scope = innermost; scope != NULL; scope = next_commit (scope->previous))
    if (scope->saving == path)
      return TRUE;

  return FALSE;
}

/* The path for which the commit function of that path's save waits. Under the
 * mutex. */
static gconstpointer
find_awaited (gconstpointer path)
{
  for (BsWaitEdge *edge = edges; edge != NULL; edge = edge->next)
    if (edge->saving == path)
      return edge->awaited;

  return NULL;
}

gboolean
bs_wait_graph_enter (BsWaitEdge *edge, gconstpointer path)
{
  BsCallScope *innermost = next_commit (bs_call_scope_get_current ());
  gconstpointer awaited = path;

  if (innermost == NULL)
    return TRUE;

  g_mutex_lock (&edges_mutex);
  while (awaited != NULL && !is_on_stack (innermost, awaited))
    awaited = find_awaited (awaited);
  if (awaited == NULL)
    {
      edge->saving = innermost->saving;
      edge->awaited = path;
      edge->next = edges;
      edges = edge;
    }
  g_mutex_unlock (&edges_mutex);

  return awaited == NULL;
}

gboolean
bs_wait_graph_move (BsWaitEdge *edge, gconstpointer path)
{
  gconstpointer awaited = path;

  if (edge->saving == NULL)
    return TRUE;

  g_mutex_lock (&edges_mutex);
  while (awaited != NULL && awaited != edge->saving)
    awaited = find_awaited (awaited);
  if (awaited == NULL)
    edge->awaited = path;
  g_mutex_unlock (&edges_mutex);

  return awaited == NULL;
}

void
bs_wait_graph_leave (BsWaitEdge *edge)
{
  BsWaitEdge **link = &edges;

  if (edge->saving == NULL)
    return;

  g_mutex_lock (&edges_mutex);
  while (*link != edge)
    link = &(*link)->next;
  *link = edge->next;
  g_mutex_unlock (&edges_mutex);
  edge->saving = NULL;
}
