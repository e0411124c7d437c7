/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-executor-private.h"

#include "store/threads/bs-call-scope-private.h"

/* The thread pool holds no operations, only as many runners as there may be
 * threads: each takes the best entry until none is left. So an entry can be
 * boosted, or forgotten, while it waits, and a busy executor costs no wake-up for
 * each operation.
 *
 * Entries wait in a binary heap, ordered by priority and then by submission: any
 * number of priorities costs a logarithm. */

/* How often a runner looks again before it sleeps. */
#define PATIENCE 16

struct _BsExecutor
{
  gatomicrefcount ref_count;

  /* constant */
  GMainContext *context; /* owned; NULL where the executor has threads */
  GThread *constructor;  /* identity only; NULL where the executor has threads */
  GThreadPool *pool;     /* owned; NULL in a context */
  GSource *source;       /* owned, and owns the executor until it is closed */

  GMutex mutex;
  GCond cond; /* something is ready, or some waiter is done: only in a context */

  /* under the mutex */
  GPtrArray *heap; /* of BsExecutorEntry, the root first */
  guint64 n_submitted;
  guint n_runners;
  guint n_lingering; /* runners about to look again whether something is ready */
  guint n_claimed;   /* lingering runners that a submitted entry counts on */
  guint max_threads;
  int n_lent;
};

/* Much cheaper than a GPrivate, and nothing has to be freed with the thread. */
static __thread BsExecutor *current_executor;

static gboolean
goes_before (const BsExecutorEntry *a, const BsExecutorEntry *b)
{
  return a->priority < b->priority || (a->priority == b->priority && a->sequence < b->sequence);
}

static void
place (BsExecutor *executor, BsExecutorEntry *entry, guint index)
{
  executor->heap->pdata[index - 1] = entry;
  entry->index = index;
}

static void
sift_up (BsExecutor *executor, BsExecutorEntry *entry, guint index)
{
  while (index > 1)
    {
      BsExecutorEntry *parent = executor->heap->pdata[index / 2 - 1];

      if (!goes_before (entry, parent))
        break;
      place (executor, parent, index);
      index /= 2;
    }
  place (executor, entry, index);
}

static void
sift_down (BsExecutor *executor, BsExecutorEntry *entry, guint index)
{
  guint n_entries = executor->heap->len;

  for (guint child = index * 2; child <= n_entries; child = index * 2)
    {
      if (child < n_entries &&
          goes_before (executor->heap->pdata[child], executor->heap->pdata[child - 1]))
        child++;
      if (!goes_before (executor->heap->pdata[child - 1], entry))
        break;
      place (executor, executor->heap->pdata[child - 1], index);
      index = child;
    }
  place (executor, entry, index);
}

static void
push (BsExecutor *executor, BsExecutorEntry *entry, int priority)
{
  entry->priority = priority;
  entry->sequence = executor->n_submitted++;
  g_ptr_array_add (executor->heap, entry);
  sift_up (executor, entry, executor->heap->len);
}

static void
take (BsExecutor *executor, BsExecutorEntry *entry)
{
  BsExecutorEntry *last = executor->heap->pdata[executor->heap->len - 1];
  guint index = entry->index;

  g_ptr_array_set_size (executor->heap, executor->heap->len - 1);
  entry->index = 0;
  if (last == entry)
    return;

  if (goes_before (last, entry))
    sift_up (executor, last, index);
  else
    sift_down (executor, last, index);
}

static BsExecutorEntry *
peek (BsExecutor *executor)
{
  return executor->heap->len > 0 ? executor->heap->pdata[0] : NULL;
}

static BsExecutorEntry *
pop (BsExecutor *executor)
{
  BsExecutorEntry *entry = peek (executor);

  if (entry != NULL)
    take (executor, entry);
  return entry;
}

/* Gives an entry a moment to become ready: sleeping and waking cost both sides more
 * than most operations. */
static void
linger (BsExecutor *executor)
{
  executor->n_lingering++;
  g_mutex_unlock (&executor->mutex);
  g_thread_yield ();
  g_mutex_lock (&executor->mutex);
  executor->n_lingering--;
  if (executor->n_claimed > 0)
    executor->n_claimed--;
}

/* Called in a worker thread. */
static void
runner (gpointer data, gpointer user_data)
{
  BsExecutor *executor = data;
  guint patience = PATIENCE;

  current_executor = executor;
  g_mutex_lock (&executor->mutex);
  for (;;)
    {
      BsExecutorEntry *entry = NULL;

      if ((int) executor->n_runners <= (int) executor->max_threads + executor->n_lent)
        entry = pop (executor);
      if (entry != NULL)
        {
          g_mutex_unlock (&executor->mutex);
          entry->run (entry);
          patience = PATIENCE;
          g_mutex_lock (&executor->mutex);
        }
      else if (patience > 0)
        {
          linger (executor);
          patience--;
        }
      else
        {
          break;
        }
    }
  executor->n_runners--;
  g_mutex_unlock (&executor->mutex);
  current_executor = NULL;

  bs_executor_unref (executor);
}

BsExecutor *
bs_executor_get_current (void)
{
  return current_executor;
}

gboolean
bs_executor_is_inside (BsExecutor *executor, gconstpointer store)
{
  return current_executor == executor || bs_call_scope_find (store, BS_SCOPE_BACKING) != NULL ||
         bs_call_scope_find (store, BS_SCOPE_FUNCTION) != NULL;
}

/* Starts runners for ready entries, at most `n_ready` of them. */
static void
start_runners (BsExecutor *executor, guint n_ready)
{
  for (; n_ready > 0 && (int) executor->n_runners < (int) executor->max_threads + executor->n_lent;
       n_ready--)
    {
      executor->n_runners++;
      /* Where no thread can be made, the runner waits in the pool for the next one. */
      g_thread_pool_push (executor->pool, bs_executor_ref (executor), NULL);
    }
}

/* One more is ready. */
static void
submit_to_threads (BsExecutor *executor)
{
  if (executor->n_lingering > executor->n_claimed)
    executor->n_claimed++;
  else
    start_runners (executor, 1);
}

typedef struct
{
  GSource source;
  BsExecutor *executor; /* owned */
} ExecutorSource;

static gboolean
executor_source_dispatch (GSource *source, GSourceFunc callback, gpointer user_data)
{
  BsExecutor *executor = ((ExecutorSource *) source)->executor;
  BsExecutorEntry *entry, *next;

  g_mutex_lock (&executor->mutex);
  entry = pop (executor);
  next = peek (executor);
  g_source_set_ready_time (source, next != NULL ? 0 : -1);
  if (next != NULL)
    g_source_set_priority (source, next->priority);
  g_mutex_unlock (&executor->mutex);

  if (entry != NULL)
    entry->run (entry);

  return G_SOURCE_CONTINUE;
}

static void
executor_source_finalize (GSource *source)
{
  bs_executor_unref (((ExecutorSource *) source)->executor);
}

static GSourceFuncs executor_source_funcs = {
  .dispatch = executor_source_dispatch,
  .finalize = executor_source_finalize,
};

static BsExecutor *
executor_new (void)
{
  BsExecutor *executor = g_new0 (BsExecutor, 1);

  g_atomic_ref_count_init (&executor->ref_count);
  g_mutex_init (&executor->mutex);
  g_cond_init (&executor->cond);
  executor->heap = g_ptr_array_new ();
  return executor;
}

BsExecutor *
bs_executor_new (guint max_threads)
{
  BsExecutor *executor = executor_new ();

  executor->max_threads = max_threads;
  executor->pool = g_thread_pool_new (runner, NULL, max_threads, FALSE, NULL);
  return executor;
}

BsExecutor *
bs_executor_new_in_context (GMainContext *context)
{
  BsExecutor *executor = executor_new ();

  executor->context = g_main_context_ref (context);
  executor->constructor = g_thread_self ();
  executor->source = g_source_new (&executor_source_funcs, sizeof (ExecutorSource));
  ((ExecutorSource *) executor->source)->executor = bs_executor_ref (executor);
  g_source_set_name (executor->source, "backingstore operations");
  g_source_set_can_recurse (executor->source, TRUE);
  g_source_attach (executor->source, context);
  return executor;
}

BsExecutor *
bs_executor_ref (BsExecutor *executor)
{
  g_atomic_ref_count_inc (&executor->ref_count);
  return executor;
}

void
bs_executor_unref (BsExecutor *executor)
{
  if (!g_atomic_ref_count_dec (&executor->ref_count))
    return;

  /* Do not wait: this may be one of the pool's own threads. */
  if (executor->pool != NULL)
    g_thread_pool_free (executor->pool, FALSE, FALSE);
  g_clear_pointer (&executor->context, g_main_context_unref);
  g_ptr_array_unref (executor->heap);
  g_mutex_clear (&executor->mutex);
  g_cond_clear (&executor->cond);
  g_free (executor);
}

void
bs_executor_close (BsExecutor *executor)
{
  GSource *source;

  g_mutex_lock (&executor->mutex);
  source = g_steal_pointer (&executor->source);
  g_mutex_unlock (&executor->mutex);

  if (source != NULL)
    {
      g_source_destroy (source);
      g_source_unref (source);
    }
}

static void
resize (BsExecutor *executor)
{
  if (executor->pool == NULL)
    return;

  g_thread_pool_set_max_threads (executor->pool, (int) executor->max_threads + executor->n_lent,
                                 NULL);
  if (peek (executor) != NULL)
    start_runners (executor, G_MAXUINT);
}

void
bs_executor_set_max_threads (BsExecutor *executor, guint max_threads)
{
  g_mutex_lock (&executor->mutex);
  executor->max_threads = max_threads;
  resize (executor);
  g_mutex_unlock (&executor->mutex);
}

void
bs_executor_lend (BsExecutor *executor, int n_threads)
{
  g_mutex_lock (&executor->mutex);
  executor->n_lent += n_threads;
  resize (executor);
  g_mutex_unlock (&executor->mutex);
}

void
bs_executor_lend_place (BsExecutor *executor, gconstpointer store)
{
  BsCallScope *scope = bs_call_scope_find (store, BS_SCOPE_FUNCTION);

  if (scope == NULL || scope->lends || executor->context != NULL)
    return;

  scope->lends = TRUE;
  bs_executor_lend (executor, 1);
}

void
bs_executor_submit (BsExecutor *executor, BsExecutorEntry *entry, int priority)
{
  g_mutex_lock (&executor->mutex);
  push (executor, entry, priority);
  if (executor->pool != NULL)
    {
      submit_to_threads (executor);
    }
  else
    {
      g_source_set_priority (executor->source, peek (executor)->priority);
      g_source_set_ready_time (executor->source, 0);
      g_cond_broadcast (&executor->cond);
    }
  g_mutex_unlock (&executor->mutex);
}

void
bs_executor_boost (BsExecutor *executor, BsExecutorEntry *entry, int priority)
{
  g_mutex_lock (&executor->mutex);
  if (entry->index != 0 && entry->priority > priority)
    {
      take (executor, entry);
      push (executor, entry, priority);
      if (executor->source != NULL)
        g_source_set_priority (executor->source, peek (executor)->priority);
    }
  g_mutex_unlock (&executor->mutex);
}

gboolean
bs_executor_forget (BsExecutor *executor, BsExecutorEntry *entry)
{
  gboolean queued;

  g_mutex_lock (&executor->mutex);
  queued = entry->index != 0;
  if (queued)
    take (executor, entry);
  g_mutex_unlock (&executor->mutex);

  return queued;
}

gboolean
bs_executor_is_context (BsExecutor *executor)
{
  return executor->context != NULL;
}

gboolean
bs_executor_enter (BsExecutor *executor)
{
  if (executor->context == NULL)
    return TRUE;

  /* Before any loop runs the context has no owner: the thread that made the store
   * stands in for it. */
  if (!g_main_context_is_owner (executor->context) && executor->constructor != g_thread_self ())
    return FALSE;

  return g_main_context_acquire (executor->context);
}

void
bs_executor_leave (BsExecutor *executor)
{
  if (executor->context != NULL)
    g_main_context_release (executor->context);
}

void
bs_executor_run_until (BsExecutor *executor, int *done)
{
  g_mutex_lock (&executor->mutex);
  while (!g_atomic_int_get (done))
    {
      BsExecutorEntry *entry = pop (executor);

      if (entry == NULL)
        {
          g_cond_wait (&executor->cond, &executor->mutex);
          continue;
        }
      g_mutex_unlock (&executor->mutex);
      entry->run (entry);
      g_mutex_lock (&executor->mutex);
    }
  g_mutex_unlock (&executor->mutex);
}

void
bs_executor_wake (BsExecutor *executor)
{
  g_mutex_lock (&executor->mutex);
  g_cond_broadcast (&executor->cond);
  g_mutex_unlock (&executor->mutex);
}
