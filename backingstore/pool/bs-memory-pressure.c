/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-memory-pressure-private.h"

#include "bs-eviction-private.h"
#include "bs-trim-private.h"

/* The process has one memory monitor, which emits in the context that was the
 * thread's default where it was made. A context of the application's own may not be
 * run for good, so the library makes the monitor from within the default context,
 * once, and keeps it: where that context is never run, there is no monitor.
 *
 * One handler serves all pools, and stays. A handler for each would have to be
 * disconnected by the thread that drops the last reference on a pool, while
 * another one may be emitting.
 *
 * Newer GLibs may emit in a thread of their own: the handler is ready for any. */

/* The pause in milliseconds after a monitor could not have its thread. */
#define RETRY 1000

/* The answers to warnings, the mildest first. */
static const struct
{
  GMemoryMonitorWarningLevel level; /* the lowest that is answered so */
  guint divisor;                    /* of the budget; 0 trims to nothing */
} answers[] = {
  { G_MEMORY_MONITOR_WARNING_LEVEL_LOW, 2 },
  { G_MEMORY_MONITOR_WARNING_LEVEL_MEDIUM, 4 },
  { G_MEMORY_MONITOR_WARNING_LEVEL_CRITICAL, 0 },
};

struct _BsMemoryPressure
{
  BsLink link;     /* under the lock */
  guint under_way; /* trims, a bit for each of the answers; under the lock */
  guint asked;     /* likewise: those asked for meanwhile */

  gatomicrefcount ref_count;

  /* constant */
  BsCache *cache; /* owned */
};

static GMutex lock;

/* under the lock */
static BsLink followers = { &followers, &followers };
static gboolean is_asked; /* a pool has asked for the monitor */

typedef struct
{
  BsMemoryPressure *pressure; /* owned */
  BsTrim *trim;               /* owned */
  guint bit;
} Relief;

static BsMemoryPressure *
pressure_ref (BsMemoryPressure *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

static void
pressure_unref (gpointer data)
{
  BsMemoryPressure *self = data;

  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;

  bs_cache_unref (self->cache);
  g_free (self);
}

static guint64
get_target (BsCache *cache, guint divisor)
{
  guint64 budget;

  if (divisor == 0)
    return 0;

  g_mutex_lock (&cache->lock);
  budget = cache->max_bytes;
  /* Without a limit, the memory in use is divided. */
  if (budget == G_MAXUINT64)
    budget = cache->figures.memory_use;
  g_mutex_unlock (&cache->lock);

  return budget / divisor;
}

/* Called on the thread where the trim ends, with success or not. A content that could not
 * be written was reported, and stays in memory. */
static gpointer
relief_deliver (gpointer data, gpointer value, GError **error)
{
  Relief *self = data;

  return bs_trim_deliver (self->trim, value, error);
}

static void relieve (BsMemoryPressure *self, guint answer);

static void
relief_free (gpointer data)
{
  Relief *self = data;
  guint asked;

  g_mutex_lock (&lock);
  self->pressure->under_way &= ~self->bit;
  asked = self->pressure->asked;
  self->pressure->asked = 0;
  g_mutex_unlock (&lock);

  bs_trim_unref (self->trim);
  /* The pool may have grown after the trim was down to its target. */
  if (asked != 0)
    relieve (self->pressure, g_bit_nth_msf (asked, -1));
  pressure_unref (self->pressure);
  g_free (self);
}

static void
relieve (BsMemoryPressure *self, guint answer)
{
  g_autoptr (GObject) owner = bs_cache_dup_owner (self->cache);
  gboolean is_new;
  BsDelivery delivery;
  BsWaiter *waiter;
  Relief *relief;
  BsTrim *trim;

  if (owner == NULL)
    return;

  g_mutex_lock (&lock);
  /* Warnings are repeated: the warnings that ask for no more than the trims under way
   * become one, so as not to pile up behind a slow disk. */
  is_new = (self->under_way >> answer) == 0;
  if (is_new)
    self->under_way |= 1u << answer;
  else
    self->asked |= 1u << answer;
  g_mutex_unlock (&lock);
  if (!is_new)
    return;

  trim =
    bs_trim_new (self->cache, get_target (self->cache, answers[answer].divisor), G_PRIORITY_HIGH);
  relief = g_new (Relief, 1);
  relief->pressure = pressure_ref (self);
  relief->trim = trim;
  relief->bit = 1u << answer;
  delivery = (BsDelivery){ .func = relief_deliver, .data = relief, .data_free = relief_free };
  waiter = bs_waiter_new_background (G_PRIORITY_HIGH, NULL, &delivery);
  bs_trim_start (trim, waiter);
  bs_waiter_unref (waiter);
  bs_cache_settle (self->cache);
}

/* Called in any thread. Never blocks: contents are written in the background. */
static void
low_memory_warning_cb (GMemoryMonitor *monitor, int level, gpointer user_data)
{
  g_autoptr (GPtrArray) all = g_ptr_array_new_with_free_func (pressure_unref);
  int answer = -1;

  for (guint i = 0; i < G_N_ELEMENTS (answers); i++)
    if (level >= (int) answers[i].level)
      answer = i;
  if (answer < 0)
    return;

  g_mutex_lock (&lock);
  for (BsLink *link = followers.next; link != &followers; link = link->next)
    g_ptr_array_add (all, pressure_ref ((BsMemoryPressure *) link));
  g_mutex_unlock (&lock);

  for (guint i = 0; i < all->len; i++)
    relieve (all->pdata[i], answer);
}

static gboolean connect_cb (gpointer user_data);

static void
connect_later (GSource *source)
{
  g_source_set_priority (source, G_PRIORITY_DEFAULT);
  g_source_set_static_name (source, "backingstore memory monitor");
  g_source_set_callback (source, connect_cb, NULL, NULL);
  g_source_attach (source, NULL);
  g_source_unref (source);
}

static gpointer
return_at_once (gpointer data)
{
  return NULL;
}

/* GLib ends the process where a monitor's bus can't have its thread. */
static gboolean
thread_can_be_made (void)
{
  GThread *thread = g_thread_try_new ("bs-probe", return_at_once, NULL, NULL);

  if (thread == NULL)
    return FALSE;

  g_thread_join (thread);
  return TRUE;
}

static gboolean
connect_cb (gpointer user_data)
{
  /* The monitor is never freed, or the next caller would make another one elsewhere. */
  static GMemoryMonitor *monitor;

  if (!thread_can_be_made ())
    {
      connect_later (g_timeout_source_new (RETRY));
      return G_SOURCE_REMOVE;
    }

  monitor = g_memory_monitor_dup_default ();
  g_signal_connect (monitor, "low-memory-warning", G_CALLBACK (low_memory_warning_cb), NULL);

  return G_SOURCE_REMOVE;
}

BsMemoryPressure *
bs_memory_pressure_start (BsCache *cache)
{
  BsMemoryPressure *self = g_new0 (BsMemoryPressure, 1);
  gboolean is_first;

  g_atomic_ref_count_init (&self->ref_count);
  self->cache = bs_cache_ref (cache);

  g_mutex_lock (&lock);
  bs_link_append (&followers, &self->link);
  is_first = !is_asked;
  is_asked = TRUE;
  g_mutex_unlock (&lock);

  if (is_first)
    connect_later (g_idle_source_new ());

  return self;
}

void
bs_memory_pressure_stop (BsMemoryPressure *self)
{
  g_mutex_lock (&lock);
  bs_link_remove (&self->link);
  self->asked = 0;
  g_mutex_unlock (&lock);

  pressure_unref (self);
}
