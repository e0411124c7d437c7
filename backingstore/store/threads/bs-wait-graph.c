/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/threads/bs-wait-graph-private.h"

static GMutex waits_mutex;
static BsWaitEdge *waits;     /* by next; under the mutex */

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

/* What the commit function of that path's save waits for. Under the mutex. */
static gconstpointer
find_awaited (gconstpointer path)
{
  for (BsWaitEdge *wait = waits; wait != NULL; wait = wait->next)
    if (wait->saving == path)
      return wait->awaited;

  return NULL;
}

gboolean
bs_wait_graph_enter (BsWaitEdge *wait, gconstpointer path)
{
  BsCallScope *innermost = next_commit (bs_call_scope_get_current ());
  gconstpointer awaited = path;

  if (innermost == NULL)
    return TRUE;

  g_mutex_lock (&waits_mutex);
  while (awaited != NULL && !is_on_stack (innermost, awaited))
    awaited = find_awaited (awaited);
  if (awaited == NULL)
    {
      wait->saving = innermost->saving;
      wait->awaited = path;
      wait->next = waits;
      waits = wait;
    }
  g_mutex_unlock (&waits_mutex);

  return awaited == NULL;
}

void
bs_wait_graph_leave (BsWaitEdge *wait)
{
  BsWaitEdge **link = &waits;

  if (wait->saving == NULL)
    return;

  g_mutex_lock (&waits_mutex);
  while (*link != wait)
    link = &(*link)->next;
  *link = wait->next;
  g_mutex_unlock (&waits_mutex);
  wait->saving = NULL;
}
