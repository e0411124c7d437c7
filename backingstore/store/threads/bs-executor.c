/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store/threads/bs-executor-private.h"

#include "store/threads/bs-store-operation-private.h"

/* The thread pool holds no operations, only as many runners as there may be
 * threads: each takes the best operation until none is left. So an operation
 * can be given a better place, or be forgotten, while it waits, and a busy executor
 * costs no wake-up for each operation. */

/* How often a runner looks again before it sleeps. */
#define PATIENCE 16

typedef struct
{
  int priority;
  BsStoreOperation *head;
  BsStoreOperation *tail;
} Level;

struct _BsLane
{
  gatomicrefcount ref_count;

  /* constant */
  GMainContext *context;      /* owned; NULL where the executor has threads */
  GThread *constructor;       /* identity only; NULL where the executor has threads */
  GThreadPool *pool;          /* owned; NULL in a context */
  GSource *source;            /* owned, and owns the executor until it is closed */

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
static __thread BsCallScope *current_scope;
static __thread BsExecutor *current_executor;

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

static Level *
level_get (BsExecutor *executor, int priority)
{
  Level level = { .priority = priority };
  guint i;

  for (i = 0; i < executor->levels->len; i++)
    {
      Level *candidate = &g_array_index (executor->levels, Level, i);

      if (candidate->priority == priority)
        return candidate;
      if (candidate->priority > priority)
        break;
    }

  g_array_insert_val (executor->levels, i, level);
  return &g_array_index (executor->levels, Level, i);
}

static void
push (BsExecutor *executor, BsStoreOperation *operation, int priority)
{
  Level *level = level_get (executor, priority);

  operation->executor_queued = TRUE;
  operation->executor_priority = priority;
  operation->executor_next = NULL;
  operation->executor_previous = level->tail;
  if (level->tail != NULL)
    level->tail->executor_next = operation;
  else
    level->head = operation;
  level->tail = operation;
}

static void
take (BsExecutor *executor, BsStoreOperation *operation)
{
  Level *level = level_get (executor, operation->executor_priority);

  if (operation->executor_previous != NULL)
    operation->executor_previous->executor_next = operation->executor_next;
  else
    level->head = operation->executor_next;
  if (operation->executor_next != NULL)
    operation->executor_next->executor_previous = operation->executor_previous;
  else
    level->tail = operation->executor_previous;
  operation->executor_queued = FALSE;
}

static BsStoreOperation *
peek (BsExecutor *executor)
{
  /* Levels are few, and an empty one is dropped when it is passed by. */
  for (guint i = 0; i < executor->levels->len; i++)
    {
      Level *level = &g_array_index (executor->levels, Level, i);

      if (level->head != NULL)
        return level->head;
      if (executor->levels->len > 8)
        g_array_remove_index (executor->levels, i--);
    }

  return NULL;
}

static BsStoreOperation *
pop (BsExecutor *executor)
{
  BsStoreOperation *operation = peek (executor);

  if (operation != NULL)
    take (executor, operation);
  return operation;
}

static void
run (BsStoreOperation *operation)
{
  bs_store_operation_run (operation, NULL);
  bs_store_operation_unref (operation);
}

/* A moment in which something may become ready: to sleep and to be woken costs
 * both sides more than most operations take. */
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
      BsStoreOperation *operation = NULL;

      if ((int) executor->n_runners <= (int) executor->max_threads + executor->n_lent)
        operation = pop (executor);
      if (operation != NULL)
        {
          g_mutex_unlock (&executor->mutex);
          run (operation);
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

/* Starts runners for what is ready, at most `n_ready` of them. */
static void
start_runners (BsExecutor *executor, guint n_ready)
{
  for (; n_ready > 0 && (int) executor->n_runners < (int) executor->max_threads + executor->n_lent; n_ready--)
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
  BsExecutor *executor;               /* owned */
} ExecutorSource;

static gboolean
executor_source_dispatch (GSource *source, GSourceFunc callback, gpointer user_data)
{
  BsExecutor *executor = ((ExecutorSource *) source)->executor;
  BsStoreOperation *operation, *next;

  g_mutex_lock (&executor->mutex);
  operation = pop (executor);
  next = peek (executor);
  g_source_set_ready_time (source, next != NULL ? 0 : -1);
  if (next != NULL)
    g_source_set_priority (source, next->executor_priority);
  g_mutex_unlock (&executor->mutex);

  if (operation != NULL)
    run (operation);

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
  executor->levels = g_array_new (FALSE, FALSE, sizeof (Level));
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

  /* Not waiting: this may be one of the pool's own threads. */
  if (executor->pool != NULL)
    g_thread_pool_free (executor->pool, FALSE, FALSE);
  g_clear_pointer (&executor->context, g_main_context_unref);
  g_array_unref (executor->levels);
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

  g_thread_pool_set_max_threads (executor->pool, (int) executor->max_threads + executor->n_lent, NULL);
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
bs_executor_submit (BsExecutor *executor, BsStoreOperation *operation)
{
  bs_store_operation_ref (operation);

  g_mutex_lock (&executor->mutex);
  push (executor, operation, g_atomic_int_get (&operation->priority));
  if (executor->pool != NULL)
    submit_to_threads (executor);
  else
    {
      g_source_set_priority (executor->source, peek (executor)->executor_priority);
      g_source_set_ready_time (executor->source, 0);
      g_cond_broadcast (&executor->cond);
    }
  g_mutex_unlock (&executor->mutex);
}

void
bs_executor_raise (BsExecutor *executor, BsStoreOperation *operation, int priority)
{
  g_mutex_lock (&executor->mutex);
  if (operation->executor_queued && operation->executor_priority > priority)
    {
      take (executor, operation);
      push (executor, operation, priority);
      if (executor->source != NULL)
        g_source_set_priority (executor->source, peek (executor)->executor_priority);
    }
  g_mutex_unlock (&executor->mutex);
}

void
bs_executor_forget (BsExecutor *executor, BsStoreOperation *operation)
{
  gboolean queued;

  g_mutex_lock (&executor->mutex);
  queued = operation->executor_queued;
  if (queued)
    take (executor, operation);
  g_mutex_unlock (&executor->mutex);

  if (queued)
    bs_store_operation_unref (operation);
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

  /* Before any loop runs nobody owns the context: then it is the thread that
   * made the store that stands in for the owner. */
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
      BsStoreOperation *operation = pop (executor);

      if (operation == NULL)
        {
          g_cond_wait (&executor->cond, &executor->mutex);
          continue;
        }
      g_mutex_unlock (&executor->mutex);
      run (operation);
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
