/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-task-count-private.h"

#define CACHE_LINE 64

struct _BsTaskCountStripe
{
  _Alignas(CACHE_LINE) gsize n_begun; /* atomic */
  gsize n_ended;                      /* atomic */
};

void
bs_task_count_init (BsTaskCount *count,
                    GObject *owner,
                    void (*changed) (GObject *owner),
                    void (*idle) (GObject *owner))
{
  count->owner = owner;
  count->changed = changed;
  count->idle = idle;
  g_mutex_init (&count->mutex);
  g_cond_init (&count->hurry_cond);
  count->stripes = g_aligned_alloc0 (BS_TASK_COUNT_STRIPES, sizeof (BsTaskCountStripe), CACHE_LINE);
}

void
bs_task_count_clear (BsTaskCount *count)
{
  g_aligned_free (count->stripes);
  g_cond_clear (&count->hurry_cond);
  g_mutex_clear (&count->mutex);
}

static inline void
note_changed (BsTaskCount *count)
{
  if (!g_atomic_int_get (&count->notifying))
    count->changed (count->owner);
}

/* The stacks of threads stand apart: their addresses tell threads apart, cheaply, so
 * that each mostly has a stripe of its own. */
static guint
pick_stripe (void)
{
  guint64 address = (guintptr) __builtin_frame_address (0) >> 20;

  return (address * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15) >> 32) % BS_TASK_COUNT_STRIPES;
}

guint
bs_task_count_begin (BsTaskCount *count)
{
  guint stripe = pick_stripe ();

  __atomic_fetch_add (&count->stripes[stripe].n_begun, 1, __ATOMIC_SEQ_CST);
  note_changed (count);

  return stripe;
}

void
bs_task_count_end (BsTaskCount *count, guint stripe)
{
  __atomic_fetch_add (&count->stripes[stripe].n_ended, 1, __ATOMIC_SEQ_CST);
  note_changed (count);
  if (g_atomic_int_get (&count->n_awaiting) > 0)
    count->idle (count->owner);
}

void
bs_task_count_await (BsTaskCount *count, int n)
{
  g_atomic_int_add (&count->n_awaiting, n);
  if (n > 0)
    g_cond_broadcast (&count->hurry_cond);
}

void
bs_task_count_hurry (BsTaskCount *count)
{
  g_mutex_lock (&count->mutex);
  g_cond_broadcast (&count->hurry_cond);
  g_mutex_unlock (&count->mutex);
}

guint
bs_task_count_get (BsTaskCount *count)
{
  gsize n_begun = 0, n_ended = 0;

  for (guint i = 0; i < BS_TASK_COUNT_STRIPES; i++)
    n_ended += __atomic_load_n (&count->stripes[i].n_ended, __ATOMIC_SEQ_CST);
  for (guint i = 0; i < BS_TASK_COUNT_STRIPES; i++)
    n_begun += __atomic_load_n (&count->stripes[i].n_begun, __ATOMIC_SEQ_CST);

  return n_begun - n_ended;
}

gboolean
bs_task_count_is_idle (BsTaskCount *count)
{
  return bs_task_count_get (count) == 0;
}
