/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-executor-private.h"

#include "store/threads/bs-call-scope-private.h"

#ifdef __linux__
#include <sys/resource.h>
#include <unistd.h>
#endif

/* Workers hold no operations: each takes the best entry until none is left. So an
 * entry can be boosted, or forgotten, while it waits, and a busy executor costs no
 * wake-up for each operation.
 *
 * Entries wait in a priority queue: any number of priorities costs a logarithm.
 *
 * There are so many places for workers. A place is taken before its worker is there:
 * by a worker that is idle, or by a thread that the spawner is asked for. Where no
 * thread can be made, the place stays taken and the spawner tries again; meanwhile
 * the threads that wait in a blocking call, the sleepers, take such places and run
 * entries themselves.
 *
 * A sleeper that waits for a queue of operations is given the queue's entries, and needs
 * no place: all workers may be busy, and run below a thread that waits. */

/* How often a worker looks again before it is idle. */
#define PATIENCE 16

/* How long a worker is idle before it ends, in microseconds. */
#define IDLE_TIME (5 * G_TIME_SPAN_SECOND)

struct _BsExecutor
{
  BsSpawn spawn;
  gatomicrefcount ref_count;

  /* constant */
  GMainContext *context; /* owned; NULL where the executor has threads */
  GThread *constructor;  /* identity only; NULL where the executor has threads */
  const char *name;      /* of its threads; NULL in a context */
  BsExecutor *next;      /* owned, nullable */
  GSource *source;       /* owned, and owns the executor until it is closed */

  GMutex mutex;
  GCond idle_cond; /* a worker has been given a place, or the executor is closed */

  /* under the mutex */
  BsPriorityQueue queue; /* of BsExecutorEntry */
  guint n_runners;       /* places that are taken */
  guint n_starting;      /* of these, places whose thread is still to be made */
  guint n_lingering;     /* workers about to look again whether something is ready */
  guint n_claimed;       /* lingering workers that a submitted entry counts on */
  guint n_idle;          /* workers without a place */
  guint n_wakes;         /* places for idle workers that none has noticed yet */
  guint max_threads;
  int n_lent;
  int nice;         /* of the threads, added to the process's */
  GQueue sleepers;  /* of BsSleeper, borrowed */
  gboolean asked;   /* the spawner has `spawn`, with a reference */
  gboolean starved; /* the last thread could not be made */
  gboolean closed;
};

/* Much cheaper than a GPrivate, and nothing has to be freed with the thread. */
static __thread BsExecutor *current_executor;

static BsExecutorEntry *
peek (BsExecutor *executor)
{
  return (BsExecutorEntry *) bs_priority_queue_peek (&executor->queue);
}

static BsExecutorEntry *
pop (BsExecutor *executor)
{
  return (BsExecutorEntry *) bs_priority_queue_pop (&executor->queue);
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

static gboolean
has_place (BsExecutor *executor)
{
  return (int) executor->n_runners <= (int) executor->max_threads + executor->n_lent;
}

static gboolean
has_free_place (BsExecutor *executor)
{
  return (int) executor->n_runners < (int) executor->max_threads + executor->n_lent;
}

/* FALSE where this thread may not go back up. Elsewhere than on Linux the nice value is
 * that of the whole process. */
static gboolean
be_nice (int nice)
{
#ifdef __linux__
  int of_process = getpriority (PRIO_PROCESS, (id_t) getpid ());

  return setpriority (PRIO_PROCESS, 0, MIN (of_process + nice, 19)) == 0;
#else
  return TRUE;
#endif
}

static void start_runners (BsExecutor *executor, guint n_ready);

/* Gives the thread the nice value that is set now; FALSE if another thread is to take
 * its place. */
static gboolean
follow_nice (BsExecutor *executor, int *nice)
{
  if (G_LIKELY (*nice == executor->nice))
    return TRUE;

  *nice = executor->nice;
  return be_nice (*nice);
}

/* Gives the place back and waits for another one; FALSE if the worker is to end. */
static gboolean
stay_idle (BsExecutor *executor, int nice)
{
  gint64 end = g_get_monotonic_time () + IDLE_TIME;

  executor->n_runners--;
  executor->n_idle++;
  while (executor->n_wakes == 0 && !executor->closed && executor->nice >= nice)
    if (!g_cond_wait_until (&executor->idle_cond, &executor->mutex, end))
      break;

  if (executor->n_wakes == 0)
    {
      executor->n_idle--;
      return FALSE;
    }
  executor->n_wakes--;
  return TRUE;
}

/* Called in a worker thread. Consumes the reference. */
static gpointer
run_worker (gpointer data)
{
  BsExecutor *executor = data;
  guint patience = PATIENCE;
  int nice;

  current_executor = executor;
  g_mutex_lock (&executor->mutex);
  nice = executor->nice;
  be_nice (nice);
  for (;;)
    {
      BsExecutorEntry *entry;

      if (!follow_nice (executor, &nice))
        {
          executor->n_runners--;
          start_runners (executor, bs_priority_queue_get_length (&executor->queue));
          break;
        }
      entry = has_place (executor) ? pop (executor) : NULL;
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
      else if (!stay_idle (executor, nice))
        {
          break;
        }
    }
  g_mutex_unlock (&executor->mutex);
  current_executor = NULL;

  bs_executor_unref (executor);
  return NULL;
}

gboolean
bs_executor_is_inside (BsExecutor *executor, gconstpointer store)
{
  return current_executor == executor || bs_call_scope_find (store, BS_SCOPE_BACKING) != NULL ||
         bs_call_scope_find (store, BS_SCOPE_FUNCTION) != NULL;
}

/* Places are taken for threads that can't be made. */
static gboolean
is_missing_workers (BsExecutor *executor)
{
  return executor->context == NULL && executor->starved && executor->n_starting > 0;
}

static gboolean
may_help (BsExecutor *executor, BsSleeper *sleeper, int priority)
{
  return sleeper->awaits_many && sleeper->executor == executor &&
         priority <= BS_PRIORITY_BLOCKING && !has_free_place (executor);
}

/* Whether a thread in a blocking call is to run the best entry itself. */
static gboolean
may_run (BsExecutor *executor, BsSleeper *sleeper)
{
  BsExecutorEntry *entry = peek (executor);

  if (entry == NULL)
    return FALSE;
  if (executor->context != NULL || may_help (executor, sleeper, entry->waiting.priority))
    return TRUE;
  if (!is_missing_workers (executor))
    return FALSE;

  /* A function of the application may wait for what this thread has locked: only those
   * that a blocking call waits for are run. */
  return executor == sleeper->executor || sleeper->reach == BS_REACH_ALL ||
         entry->waiting.priority <= BS_PRIORITY_BLOCKING;
}

/* Has sleepers look at the entries; TRUE if the sleeper was asleep. */
static gboolean
call_sleeper (BsSleeper *sleeper)
{
  gboolean slept;

  g_mutex_lock (&sleeper->mutex);
  slept = sleeper->sleeps && !sleeper->done;
  sleeper->called = TRUE;
  if (slept)
    g_cond_signal (&sleeper->cond);
  g_mutex_unlock (&sleeper->mutex);

  return slept;
}

static void
call_sleepers (BsExecutor *executor)
{
  guint n_ready = bs_priority_queue_get_length (&executor->queue);
  guint n = executor->context != NULL ? 1 : MIN (executor->n_starting, n_ready);

  for (GList *link = executor->sleepers.head; link != NULL && n > 0; link = link->next)
    if (may_run (executor, link->data) && call_sleeper (link->data))
      n--;
}

/* The entry is in the queue. One that a blocking call waits for needs no worker. */
static void
call_helper (BsExecutor *executor, int priority)
{
  for (GList *link = executor->sleepers.head; link != NULL; link = link->next)
    if (may_help (executor, link->data, priority) && call_sleeper (link->data))
      break;
}

static void
ask_for_threads (BsExecutor *executor)
{
  if (executor->n_starting > 0 && !executor->asked)
    {
      executor->asked = TRUE;
      bs_spawner_ask (&bs_executor_ref (executor)->spawn);
    }
  if (executor->asked && !bs_spawner_start ())
    executor->starved = TRUE;
  if (executor->starved)
    call_sleepers (executor);
}

static void
wake_worker (BsExecutor *executor)
{
  executor->n_idle--;
  executor->n_wakes++;
  g_cond_signal (&executor->idle_cond);
}

/* Finds places for ready entries, at most `n_ready` of them. */
static void
start_runners (BsExecutor *executor, guint n_ready)
{
  for (; n_ready > 0; n_ready--)
    {
      gboolean waits = executor->n_starting > 0 && executor->n_idle > 0;

      if (!waits && !has_free_place (executor))
        break;
      /* A worker that is idle needs no thread to be made. */
      if (waits)
        executor->n_starting--;
      else
        executor->n_runners++;
      if (executor->n_idle > 0)
        wake_worker (executor);
      else
        executor->n_starting++;
    }
  if (executor->asked || executor->n_starting > 0)
    ask_for_threads (executor);
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

/* Makes one of the threads that places wait for. FALSE if it could not be made. */
static gboolean
make_thread (BsExecutor *executor)
{
  GThread *thread;

  executor->n_starting--;
  g_mutex_unlock (&executor->mutex);
  thread = g_thread_try_new (executor->name, run_worker, bs_executor_ref (executor), NULL);
  if (thread != NULL)
    g_thread_unref (thread);
  else
    bs_executor_unref (executor);
  g_mutex_lock (&executor->mutex);

  if (thread == NULL)
    executor->n_starting++;
  executor->starved = thread == NULL;
  return thread != NULL;
}

/* Called in the spawner's thread. Consumes the spawner's reference with the last thread. */
static gboolean
make_threads (BsSpawn *spawn)
{
  BsExecutor *executor = (BsExecutor *) spawn;
  gboolean made = TRUE;

  g_mutex_lock (&executor->mutex);
  while (made && executor->n_starting > 0 && peek (executor) != NULL)
    made = make_thread (executor);
  if (made)
    {
      /* No entry is left for the other places. */
      executor->n_runners -= executor->n_starting;
      executor->n_starting = 0;
      executor->starved = FALSE;
      executor->asked = FALSE;
    }
  else
    {
      start_runners (executor, bs_priority_queue_get_length (&executor->queue));
    }
  g_mutex_unlock (&executor->mutex);

  if (made)
    bs_executor_unref (executor);
  return made;
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
    g_source_set_priority (source, next->waiting.priority);
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
  g_cond_init (&executor->idle_cond);
  executor->spawn.make = make_threads;
  bs_priority_queue_init (&executor->queue);
  return executor;
}

BsExecutor *
bs_executor_new (const char *name, guint max_threads, BsExecutor *next)
{
  BsExecutor *executor = executor_new ();
  g_autoptr (GMainContext) context = g_main_context_ref_thread_default ();

  executor->name = name;
  executor->max_threads = max_threads;
  executor->next = next != NULL ? bs_executor_ref (next) : NULL;
  bs_spawner_start_in (context);
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

  g_clear_pointer (&executor->next, bs_executor_unref);
  g_clear_pointer (&executor->context, g_main_context_unref);
  bs_priority_queue_clear (&executor->queue);
  g_mutex_clear (&executor->mutex);
  g_cond_clear (&executor->idle_cond);
  g_free (executor);
}

void
bs_executor_close (BsExecutor *executor)
{
  GSource *source;

  g_mutex_lock (&executor->mutex);
  executor->closed = TRUE;
  g_cond_broadcast (&executor->idle_cond);
  source = g_steal_pointer (&executor->source);
  g_mutex_unlock (&executor->mutex);

  if (source != NULL)
    {
      g_source_destroy (source);
      g_source_unref (source);
    }
}

void
bs_executor_set_max_threads (BsExecutor *executor, guint max_threads)
{
  g_mutex_lock (&executor->mutex);
  executor->max_threads = max_threads;
  if (executor->context == NULL)
    start_runners (executor, bs_priority_queue_get_length (&executor->queue));
  g_mutex_unlock (&executor->mutex);
}

void
bs_executor_set_nice (BsExecutor *executor, int nice)
{
  g_mutex_lock (&executor->mutex);
  executor->nice = nice;
  g_cond_broadcast (&executor->idle_cond);
  g_mutex_unlock (&executor->mutex);
}

void
bs_executor_lend (BsExecutor *executor, int n_threads)
{
  g_mutex_lock (&executor->mutex);
  executor->n_lent += n_threads;
  if (executor->context == NULL)
    start_runners (executor, bs_priority_queue_get_length (&executor->queue));
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

/* Gives the entry to a thread that waits for its queue. */
static gboolean
give_to_sleeper (BsExecutor *executor, BsExecutorEntry *entry, int priority)
{
  /* A thread that waits has lent its priority. */
  if (priority > BS_PRIORITY_BLOCKING || entry->queue == 0 || executor->context != NULL)
    return FALSE;

  for (GList *link = executor->sleepers.head; link != NULL; link = link->next)
    {
      BsSleeper *sleeper = link->data;

      if (sleeper->queue != entry->queue || sleeper->executor != executor ||
          sleeper->given != NULL || g_atomic_int_get (&sleeper->done))
        continue;
      entry->waiting.priority = priority;
      sleeper->given = entry;
      call_sleeper (sleeper);
      return TRUE;
    }

  return FALSE;
}

static void
submit (BsExecutor *executor, BsExecutorEntry *entry, int priority)
{
  if (give_to_sleeper (executor, entry, priority))
    return;

  bs_priority_queue_push (&executor->queue, &entry->waiting, priority);
  if (executor->context == NULL)
    {
      submit_to_threads (executor);
      call_helper (executor, priority);
    }
  else
    {
      g_source_set_priority (executor->source, peek (executor)->waiting.priority);
      g_source_set_ready_time (executor->source, 0);
      call_sleepers (executor);
    }
}

void
bs_executor_submit (BsExecutor *executor, BsExecutorEntry *entry, int priority)
{
  g_mutex_lock (&executor->mutex);
  submit (executor, entry, priority);
  g_mutex_unlock (&executor->mutex);
}

/* The entry is in the queue. */
static void
put_again (BsExecutor *executor, BsExecutorEntry *entry, int priority)
{
  bs_priority_queue_take (&executor->queue, &entry->waiting);
  bs_priority_queue_push (&executor->queue, &entry->waiting, priority);
}

void
bs_executor_boost (BsExecutor *executor, BsExecutorEntry *entry, int priority)
{
  g_mutex_lock (&executor->mutex);
  if (entry->waiting.index != 0 && entry->waiting.priority > priority)
    {
      put_again (executor, entry, priority);
      if (executor->source != NULL)
        g_source_set_priority (executor->source, peek (executor)->waiting.priority);
      if (executor->starved)
        call_sleepers (executor);
      call_helper (executor, priority);
    }
  g_mutex_unlock (&executor->mutex);
}

void
bs_executor_bring_forward (BsExecutor *executor, BsExecutorEntry *entry)
{
  g_mutex_lock (&executor->mutex);
  entry->waiting.newest_first = TRUE;
  if (entry->waiting.index != 0)
    put_again (executor, entry, entry->waiting.priority);
  g_mutex_unlock (&executor->mutex);
}

void
bs_executor_remind (BsExecutor *executor)
{
  if (executor->context == NULL)
    bs_spawner_start ();
}

gboolean
bs_executor_forget (BsExecutor *executor, BsExecutorEntry *entry)
{
  gboolean queued;

  g_mutex_lock (&executor->mutex);
  queued = entry->waiting.index != 0;
  if (queued)
    bs_priority_queue_take (&executor->queue, &entry->waiting);
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

/* Runs the best entry on this thread, which takes the place of a missing worker
 * meanwhile. */
static void
run_here (BsExecutor *executor)
{
  BsExecutor *outer = current_executor;
  BsExecutorEntry *entry = pop (executor);
  gboolean takes_place = is_missing_workers (executor);

  if (takes_place)
    executor->n_starting--;
  if (executor->context == NULL)
    current_executor = executor;
  g_mutex_unlock (&executor->mutex);
  entry->run (entry);
  g_mutex_lock (&executor->mutex);
  current_executor = outer;
  if (takes_place)
    {
      executor->n_runners--;
      start_runners (executor, bs_priority_queue_get_length (&executor->queue));
    }
}

/* Runs the entry that the sleeper was given. */
static void
run_given (BsExecutor *executor, BsSleeper *sleeper)
{
  BsExecutorEntry *entry = g_steal_pointer (&sleeper->given);

  g_mutex_unlock (&executor->mutex);
  entry->run (entry);
  g_mutex_lock (&executor->mutex);
}

static void
run_entries (BsExecutor *executor, BsSleeper *sleeper)
{
  g_mutex_lock (&executor->mutex);
  while (!g_atomic_int_get (&sleeper->done))
    if (sleeper->executor == executor && sleeper->given != NULL)
      run_given (executor, sleeper);
    else if (may_run (executor, sleeper))
      run_here (executor);
    else
      break;
  g_mutex_unlock (&executor->mutex);
}

/* Sleeps until the sleeper is woken or called; TRUE if it was woken. */
static gboolean
sleep_until_called (BsSleeper *sleeper)
{
  gboolean done;

  g_mutex_lock (&sleeper->mutex);
  sleeper->sleeps = TRUE;
  while (!sleeper->done && !sleeper->called)
    g_cond_wait (&sleeper->cond, &sleeper->mutex);
  sleeper->sleeps = FALSE;
  sleeper->called = FALSE;
  done = sleeper->done;
  g_mutex_unlock (&sleeper->mutex);

  return done;
}

static void
join_sleepers (BsExecutor *executor, GList *link)
{
  g_mutex_lock (&executor->mutex);
  g_queue_push_tail_link (&executor->sleepers, link);
  g_mutex_unlock (&executor->mutex);
}

static void
leave_sleepers (BsExecutor *executor, GList *link)
{
  BsSleeper *sleeper = link->data;
  BsExecutorEntry *entry;

  g_mutex_lock (&executor->mutex);
  g_queue_unlink (&executor->sleepers, link);
  /* The sleeper was woken before it could run what it was given. */
  entry = sleeper->executor == executor ? g_steal_pointer (&sleeper->given) : NULL;
  if (entry != NULL)
    submit (executor, entry, entry->waiting.priority);
  /* This sleeper may have been called for an entry. */
  if (executor->context != NULL || executor->starved)
    call_sleepers (executor);
  g_mutex_unlock (&executor->mutex);
}

static void
sleep_or_run (BsExecutor *first, BsSleeper *sleeper)
{
  BsExecutor *reached[BS_REACH_ALL + 1];
  GList links[BS_REACH_ALL + 1];
  BsExecutor *outer = current_executor;
  guint n = 0;

  sleeper->executor = first;
  for (BsExecutor *executor = first; executor != NULL && n <= sleeper->reach;
       executor = executor->next)
    reached[n++] = executor;

  for (guint i = 0; i < n; i++)
    {
      links[i] = (GList){ .data = sleeper };
      join_sleepers (reached[i], &links[i]);
    }
  if (first->context == NULL)
    {
      current_executor = first;
      /* Entries that are submitted from now on are given to the sleeper. */
      if (sleeper->run_awaited != NULL)
        sleeper->run_awaited (sleeper);
    }
  do
    for (guint i = 0; i < n; i++)
      run_entries (reached[i], sleeper);
  while (!sleep_until_called (sleeper));
  current_executor = outer;
  for (guint i = 0; i < n; i++)
    leave_sleepers (reached[i], &links[i]);
}

/* A worker outside of any function: the last reference on an object went there, and
 * its end calls the store. The operation that the worker waits for may need a worker. */
static BsExecutor *
lend_current (void)
{
  BsExecutor *lent = bs_call_scope_get_current () == NULL ? current_executor : NULL;

  if (lent != NULL)
    bs_executor_lend (lent, 1);
  return lent;
}

static gboolean
is_done (BsSleeper *sleeper)
{
  gboolean done;

  /* The thread that wakes the sleeper may still hold the mutex. */
  g_mutex_lock (&sleeper->mutex);
  done = sleeper->done;
  g_mutex_unlock (&sleeper->mutex);

  return done;
}

void
bs_executor_sleep (BsExecutor *executor, BsSleeper *sleeper)
{
  g_autoptr (BsExecutor) held = NULL;
  BsExecutor *lent;

  if (is_done (sleeper))
    return;

  held = bs_executor_ref (executor);
  lent = lend_current ();
  if (bs_executor_enter (executor))
    {
      sleep_or_run (executor, sleeper);
      bs_executor_leave (executor);
    }
  else
    {
      while (!sleep_until_called (sleeper))
        ;
    }
  if (lent != NULL)
    bs_executor_lend (lent, -1);
}

void
bs_sleeper_wake (BsSleeper *sleeper)
{
  g_mutex_lock (&sleeper->mutex);
  g_atomic_int_set (&sleeper->done, TRUE);
  /* A signal is a system call even where no thread waits for it. */
  if (sleeper->sleeps)
    g_cond_signal (&sleeper->cond);
  g_mutex_unlock (&sleeper->mutex);
}

void
bs_sleeper_clear (BsSleeper *sleeper)
{
  g_mutex_clear (&sleeper->mutex);
  g_cond_clear (&sleeper->cond);
}
