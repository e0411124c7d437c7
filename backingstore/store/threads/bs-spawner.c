/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-spawner-private.h"

#include "base/bs-fork-private.h"

/* The time between two attempts to make a thread: doubled with each, in microseconds. */
#define FIRST_DELAY (10 * G_TIME_SPAN_MILLISECOND)
#define LONGEST_DELAY (320 * G_TIME_SPAN_MILLISECOND)

typedef struct
{
  guint n_forks; /* constant: a child has the struct, and not the thread */

  int has_thread; /* atomic; set under the mutex */

  GMutex mutex;
  GCond cond;

  /* under the mutex */
  BsSpawn *head; /* borrowed, by next */
  BsSpawn *tail;
  gint64 retry_at; /* monotonic: the thread is not tried before */
  gint64 delay;
  GHashTable *sources; /* of RetrySources, borrowed, by their contexts */
} Spawner;

/* Where the spawner's thread can't be made, no thread of ours is there to try again. */
typedef struct
{
  GSource source;

  /* constant */
  Spawner *spawner;
  GMainContext *context; /* identity only */
} RetrySource;

static Spawner *current; /* atomic */

static Spawner *
spawner_new (void)
{
  Spawner *self = g_new0 (Spawner, 1);

  self->n_forks = bs_n_forks;
  g_mutex_init (&self->mutex);
  g_cond_init (&self->cond);
  self->delay = FIRST_DELAY;
  self->sources = g_hash_table_new (NULL, NULL);

  return self;
}

/* The parent's spawner may have been locked while the process was forked: a child has
 * one of its own. */
static Spawner *
get_spawner (void)
{
  for (;;)
    {
      Spawner *self = g_atomic_pointer_get (&current);
      Spawner *fresh;

      if (self != NULL && self->n_forks == bs_n_forks)
        return self;

      fresh = spawner_new ();
      if (g_atomic_pointer_compare_and_exchange (&current, self, fresh))
        return fresh;
      g_hash_table_unref (fresh->sources);
      g_free (fresh);
    }
}

static void
append (Spawner *self, BsSpawn *spawn)
{
  spawn->next = NULL;
  if (self->head == NULL)
    self->head = spawn;
  else
    self->tail->next = spawn;
  self->tail = spawn;
}

static void
back_off (Spawner *self)
{
  self->retry_at = g_get_monotonic_time () + self->delay;
  self->delay = MIN (self->delay * 2, LONGEST_DELAY);
}

static gpointer
run_spawner (gpointer data)
{
  Spawner *self = data;

  g_mutex_lock (&self->mutex);
  for (;;)
    {
      BsSpawn *spawn;
      gboolean made;

      while (self->head == NULL)
        g_cond_wait (&self->cond, &self->mutex);
      spawn = self->head;
      self->head = g_steal_pointer (&spawn->next);

      g_mutex_unlock (&self->mutex);
      made = spawn->make (spawn);
      g_mutex_lock (&self->mutex);

      if (made)
        {
          self->delay = FIRST_DELAY;
          continue;
        }
      /* Further threads would fail like this one. */
      append (self, spawn);
      back_off (self);
      while (g_cond_wait_until (&self->cond, &self->mutex, self->retry_at))
        ;
    }

  return NULL;
}

/* Under the mutex. */
static gboolean
start_locked (Spawner *self)
{
  GThread *thread;

  if (self->has_thread)
    return TRUE;

  thread = g_thread_try_new ("bs-spawner", run_spawner, self, NULL);
  if (thread == NULL)
    {
      back_off (self);
      return FALSE;
    }

  g_thread_unref (thread);
  self->delay = FIRST_DELAY;
  g_atomic_int_set (&self->has_thread, TRUE);
  return TRUE;
}

static gboolean
retry_source_dispatch (GSource *source, GSourceFunc callback, gpointer user_data)
{
  Spawner *self = ((RetrySource *) source)->spawner;
  gboolean started;

  if (self->n_forks != bs_n_forks)
    return G_SOURCE_REMOVE;

  g_mutex_lock (&self->mutex);
  started = start_locked (self);
  if (!started)
    g_source_set_ready_time (source, self->retry_at);
  g_mutex_unlock (&self->mutex);

  return started ? G_SOURCE_REMOVE : G_SOURCE_CONTINUE;
}

static void
retry_source_finalize (GSource *source)
{
  Spawner *self = ((RetrySource *) source)->spawner;

  if (self->n_forks != bs_n_forks)
    return;

  g_mutex_lock (&self->mutex);
  g_hash_table_remove (self->sources, ((RetrySource *) source)->context);
  g_mutex_unlock (&self->mutex);
}

static GSourceFuncs retry_source_funcs = {
  .dispatch = retry_source_dispatch,
  .finalize = retry_source_finalize,
};

static void
add_source (Spawner *self, GMainContext *context)
{
  GSource *source = NULL;

  g_mutex_lock (&self->mutex);
  if (!self->has_thread && !g_hash_table_contains (self->sources, context))
    {
      source = g_source_new (&retry_source_funcs, sizeof (RetrySource));
      ((RetrySource *) source)->spawner = self;
      ((RetrySource *) source)->context = context;
      g_source_set_static_name (source, "backingstore threads");
      g_source_set_ready_time (source, self->retry_at);
      g_hash_table_insert (self->sources, context, source);
    }
  g_mutex_unlock (&self->mutex);

  if (source != NULL)
    {
      g_source_attach (source, context);
      g_source_unref (source);
    }
}

gboolean
bs_spawner_start (void)
{
  Spawner *self = get_spawner ();
  gboolean started;

  if (g_atomic_int_get (&self->has_thread))
    return TRUE;

  g_mutex_lock (&self->mutex);
  started = self->has_thread;
  if (!started && g_get_monotonic_time () >= self->retry_at)
    started = start_locked (self);
  g_mutex_unlock (&self->mutex);

  return started;
}

void
bs_spawner_start_in (GMainContext *context)
{
  if (!bs_spawner_start ())
    add_source (get_spawner (), context);
}

void
bs_spawner_retry_in (GMainContext *context)
{
  Spawner *self = g_atomic_pointer_get (&current);

  if (self == NULL || self->n_forks != bs_n_forks || g_atomic_int_get (&self->has_thread))
    return;

  add_source (self, context);
}

void
bs_spawner_ask (BsSpawn *spawn)
{
  Spawner *self = get_spawner ();

  g_mutex_lock (&self->mutex);
  append (self, spawn);
  g_cond_signal (&self->cond);
  g_mutex_unlock (&self->mutex);
}
