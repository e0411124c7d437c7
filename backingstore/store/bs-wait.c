/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bs-wait-private.h"

static GMutex waits_mutex;
static BsWait *waits;     /* by next; under the mutex */

static BsFrame *
next_commit (BsFrame *frame)
{
  while (frame != NULL && frame->saving == NULL)
    frame = frame->previous;

  return frame;
}

/* Functions on this thread's stack below the innermost one can't go on before it. */
static gboolean
is_on_stack (BsFrame *innermost, gconstpointer path)
{
  for (BsFrame *frame = innermost; frame != NULL; frame = next_commit (frame->previous))
    if (frame->saving == path)
      return TRUE;

  return FALSE;
}

/* What the commit function of that path's save waits for. Under the mutex. */
static gconstpointer
find_awaited (gconstpointer path)
{
  for (BsWait *wait = waits; wait != NULL; wait = wait->next)
    if (wait->saving == path)
      return wait->awaited;

  return NULL;
}

gboolean
bs_wait_begin (BsWait *wait, gconstpointer path)
{
  BsFrame *innermost = next_commit (bs_frame_get_current ());
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
bs_wait_end (BsWait *wait)
{
  BsWait **link = &waits;

  if (wait->saving == NULL)
    return;

  g_mutex_lock (&waits_mutex);
  while (*link != wait)
    link = &(*link)->next;
  *link = wait->next;
  g_mutex_unlock (&waits_mutex);
  wait->saving = NULL;
}
