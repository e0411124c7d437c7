/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "bs-lane-private.h"

#include "bs-job-private.h"

/* The thread pool holds no operations, only as many runners as there may be
 * threads: each takes the best operation until none is left. So an operation
 * can be given a better place, or be forgotten, while it waits, and a busy lane
 * costs no wake-up for each operation. */

/* How often a runner looks again before it sleeps. */
#define PATIENCE 16

typedef struct
{
  int priority;
  BsJob *head;
  BsJob *tail;
} Level;

struct _BsLane
{
  gatomicrefcount ref_count;

  /* constant */
  GMainContext *context;      /* owned; NULL where the lane has threads */
  GThread *constructor;       /* identity only; NULL where the lane has threads */
  GThreadPool *pool;          /* owned; NULL in a context */
  GSource *source;            /* owned, and owns the lane until it is closed */

  GMutex mutex;
  GCond cond;                 /* something is ready, or someone is done: only in a context */

  /* under the mutex */
  GArray *levels;             /* of Level, best first */
  guint n_runners;
  guint n_lingering;          /* of those: about to look again whether something is ready */
  guint n_claimed;            /* of those: somebody counts on that */
  guint max_threads;
  int n_lent;
};

/* Much cheaper than a GPrivate, and nothing has to be freed with the thread. */
static __thread BsFrame *current_frame;
static __thread BsLane *current_lane;

void
bs_frame_push (BsFrame *frame, gconstpointer store, BsFrameKind kind)
{
  frame->previous = current_frame;
  frame->store = store;
  frame->kind = kind;
  frame->lends = FALSE;
  frame->saving = NULL;
  current_frame = frame;
}

void
bs_frame_pop (BsFrame *frame)
{
  g_assert (current_frame == frame);
  current_frame = frame->previous;
}

BsFrame *
bs_frame_find (gconstpointer store, BsFrameKind kind)
{
  for (BsFrame *frame = current_frame; frame != NULL; frame = frame->previous)
    if (frame->store == store && frame->kind == kind)
      return frame;

  return NULL;
}

BsFrame *
bs_frame_get_current (void)
{
  return current_frame;
}

static Level *
level_get (BsLane *lane, int priority)
{
  Level level = { .priority = priority };
  guint i;

  for (i = 0; i < lane->levels->len; i++)
    {
      Level *candidate = &g_array_index (lane->levels, Level, i);

      if (candidate->priority == priority)
        return candidate;
      if (candidate->priority > priority)
        break;
    }

  g_array_insert_val (lane->levels, i, level);
  return &g_array_index (lane->levels, Level, i);
}

static void
push (BsLane *lane, BsJob *job, int priority)
{
  Level *level = level_get (lane, priority);

  job->lane_queued = TRUE;
  job->lane_priority = priority;
  job->lane_next = NULL;
  job->lane_previous = level->tail;
  if (level->tail != NULL)
    level->tail->lane_next = job;
  else
    level->head = job;
  level->tail = job;
}

static void
take (BsLane *lane, BsJob *job)
{
  Level *level = level_get (lane, job->lane_priority);

  if (job->lane_previous != NULL)
    job->lane_previous->lane_next = job->lane_next;
  else
    level->head = job->lane_next;
  if (job->lane_next != NULL)
    job->lane_next->lane_previous = job->lane_previous;
  else
    level->tail = job->lane_previous;
  job->lane_queued = FALSE;
}

static BsJob *
peek (BsLane *lane)
{
  /* Levels are few, and an empty one is dropped when it is passed by. */
  for (guint i = 0; i < lane->levels->len; i++)
    {
      Level *level = &g_array_index (lane->levels, Level, i);

      if (level->head != NULL)
        return level->head;
      if (lane->levels->len > 8)
        g_array_remove_index (lane->levels, i--);
    }

  return NULL;
}

static BsJob *
pop (BsLane *lane)
{
  BsJob *job = peek (lane);

  if (job != NULL)
    take (lane, job);
  return job;
}

static void
run (BsJob *job)
{
  bs_job_run (job, NULL);
  bs_job_unref (job);
}

/* A moment in which something may become ready: to sleep and to be woken costs
 * both sides more than most operations take. */
static void
linger (BsLane *lane)
{
  lane->n_lingering++;
  g_mutex_unlock (&lane->mutex);
  g_thread_yield ();
  g_mutex_lock (&lane->mutex);
  lane->n_lingering--;
  if (lane->n_claimed > 0)
    lane->n_claimed--;
}

/* Called in a worker thread. */
static void
runner (gpointer data, gpointer user_data)
{
  BsLane *lane = data;
  guint patience = PATIENCE;

  current_lane = lane;
  g_mutex_lock (&lane->mutex);
  for (;;)
    {
      BsJob *job = NULL;

      if ((int) lane->n_runners <= (int) lane->max_threads + lane->n_lent)
        job = pop (lane);
      if (job != NULL)
        {
          g_mutex_unlock (&lane->mutex);
          run (job);
          patience = PATIENCE;
          g_mutex_lock (&lane->mutex);
        }
      else if (patience > 0)
        {
          linger (lane);
          patience--;
        }
      else
        {
          break;
        }
    }
  lane->n_runners--;
  g_mutex_unlock (&lane->mutex);
  current_lane = NULL;

  bs_lane_unref (lane);
}

BsLane *
bs_lane_get_current (void)
{
  return current_lane;
}

/* Starts runners for what is ready, at most `n_ready` of them. */
static void
start_runners (BsLane *lane, guint n_ready)
{
  for (; n_ready > 0 && (int) lane->n_runners < (int) lane->max_threads + lane->n_lent; n_ready--)
    {
      lane->n_runners++;
      /* Where no thread can be made, the runner waits in the pool for the next one. */
      g_thread_pool_push (lane->pool, bs_lane_ref (lane), NULL);
    }
}

/* One more is ready. */
static void
submit_to_threads (BsLane *lane)
{
  if (lane->n_lingering > lane->n_claimed)
    lane->n_claimed++;
  else
    start_runners (lane, 1);
}

typedef struct
{
  GSource source;
  BsLane *lane;               /* owned */
} LaneSource;

static gboolean
lane_source_dispatch (GSource *source, GSourceFunc callback, gpointer user_data)
{
  BsLane *lane = ((LaneSource *) source)->lane;
  BsJob *job, *next;

  g_mutex_lock (&lane->mutex);
  job = pop (lane);
  next = peek (lane);
  g_source_set_ready_time (source, next != NULL ? 0 : -1);
  if (next != NULL)
    g_source_set_priority (source, next->lane_priority);
  g_mutex_unlock (&lane->mutex);

  if (job != NULL)
    run (job);

  return G_SOURCE_CONTINUE;
}

static void
lane_source_finalize (GSource *source)
{
  bs_lane_unref (((LaneSource *) source)->lane);
}

static GSourceFuncs lane_source_funcs = {
  .dispatch = lane_source_dispatch,
  .finalize = lane_source_finalize,
};

static BsLane *
lane_new (void)
{
  BsLane *lane = g_new0 (BsLane, 1);

  g_atomic_ref_count_init (&lane->ref_count);
  g_mutex_init (&lane->mutex);
  g_cond_init (&lane->cond);
  lane->levels = g_array_new (FALSE, FALSE, sizeof (Level));
  return lane;
}

BsLane *
bs_lane_new (guint max_threads)
{
  BsLane *lane = lane_new ();

  lane->max_threads = max_threads;
  lane->pool = g_thread_pool_new (runner, NULL, max_threads, FALSE, NULL);
  return lane;
}

BsLane *
bs_lane_new_in_context (GMainContext *context)
{
  BsLane *lane = lane_new ();

  lane->context = g_main_context_ref (context);
  lane->constructor = g_thread_self ();
  lane->source = g_source_new (&lane_source_funcs, sizeof (LaneSource));
  ((LaneSource *) lane->source)->lane = bs_lane_ref (lane);
  g_source_set_name (lane->source, "backingstore operations");
  g_source_set_can_recurse (lane->source, TRUE);
  g_source_attach (lane->source, context);
  return lane;
}

BsLane *
bs_lane_ref (BsLane *lane)
{
  g_atomic_ref_count_inc (&lane->ref_count);
  return lane;
}

void
bs_lane_unref (BsLane *lane)
{
  if (!g_atomic_ref_count_dec (&lane->ref_count))
    return;

  /* Not waiting: this may be one of the pool's own threads. */
  if (lane->pool != NULL)
    g_thread_pool_free (lane->pool, FALSE, FALSE);
  g_clear_pointer (&lane->context, g_main_context_unref);
  g_array_unref (lane->levels);
  g_mutex_clear (&lane->mutex);
  g_cond_clear (&lane->cond);
  g_free (lane);
}

void
bs_lane_close (BsLane *lane)
{
  GSource *source;

  g_mutex_lock (&lane->mutex);
  source = g_steal_pointer (&lane->source);
  g_mutex_unlock (&lane->mutex);

  if (source != NULL)
    {
      g_source_destroy (source);
      g_source_unref (source);
    }
}

static void
resize (BsLane *lane)
{
  if (lane->pool == NULL)
    return;

  g_thread_pool_set_max_threads (lane->pool, (int) lane->max_threads + lane->n_lent, NULL);
  if (peek (lane) != NULL)
    start_runners (lane, G_MAXUINT);
}

void
bs_lane_set_max_threads (BsLane *lane, guint max_threads)
{
  g_mutex_lock (&lane->mutex);
  lane->max_threads = max_threads;
  resize (lane);
  g_mutex_unlock (&lane->mutex);
}

void
bs_lane_lend (BsLane *lane, int n_threads)
{
  g_mutex_lock (&lane->mutex);
  lane->n_lent += n_threads;
  resize (lane);
  g_mutex_unlock (&lane->mutex);
}

void
bs_lane_submit (BsLane *lane, BsJob *job)
{
  bs_job_ref (job);

  g_mutex_lock (&lane->mutex);
  push (lane, job, g_atomic_int_get (&job->priority));
  if (lane->pool != NULL)
    submit_to_threads (lane);
  else
    {
      g_source_set_priority (lane->source, peek (lane)->lane_priority);
      g_source_set_ready_time (lane->source, 0);
      g_cond_broadcast (&lane->cond);
    }
  g_mutex_unlock (&lane->mutex);
}

void
bs_lane_raise (BsLane *lane, BsJob *job, int priority)
{
  g_mutex_lock (&lane->mutex);
  if (job->lane_queued && job->lane_priority > priority)
    {
      take (lane, job);
      push (lane, job, priority);
      if (lane->source != NULL)
        g_source_set_priority (lane->source, peek (lane)->lane_priority);
    }
  g_mutex_unlock (&lane->mutex);
}

void
bs_lane_forget (BsLane *lane, BsJob *job)
{
  gboolean queued;

  g_mutex_lock (&lane->mutex);
  queued = job->lane_queued;
  if (queued)
    take (lane, job);
  g_mutex_unlock (&lane->mutex);

  if (queued)
    bs_job_unref (job);
}

gboolean
bs_lane_is_context (BsLane *lane)
{
  return lane->context != NULL;
}

gboolean
bs_lane_enter (BsLane *lane)
{
  if (lane->context == NULL)
    return TRUE;

  /* Before any loop runs nobody owns the context: then it is the thread that
   * made the store that stands in for the owner. */
  if (!g_main_context_is_owner (lane->context) && lane->constructor != g_thread_self ())
    return FALSE;

  return g_main_context_acquire (lane->context);
}

void
bs_lane_leave (BsLane *lane)
{
  if (lane->context != NULL)
    g_main_context_release (lane->context);
}

void
bs_lane_run_until (BsLane *lane, int *done)
{
  g_mutex_lock (&lane->mutex);
  while (!g_atomic_int_get (done))
    {
      BsJob *job = pop (lane);

      if (job == NULL)
        {
          g_cond_wait (&lane->cond, &lane->mutex);
          continue;
        }
      g_mutex_unlock (&lane->mutex);
      run (job);
      g_mutex_lock (&lane->mutex);
    }
  g_mutex_unlock (&lane->mutex);
}

void
bs_lane_wake (BsLane *lane)
{
  g_mutex_lock (&lane->mutex);
  g_cond_broadcast (&lane->cond);
  g_mutex_unlock (&lane->mutex);
}
