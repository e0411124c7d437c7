/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-backing-store-private.h"

#include "base/bs-error.h"
#include "bs-enum-types.h"
#include "store/bs-task-tracker-private.h"
#include "store/bs-tracked-path-private.h"
#include "store/operations/bs-paths-private.h"
#include "store/operations/bs-deletion-private.h"
#include "store/operations/bs-prepare-private.h"
#include "store/operations/bs-store-private.h"

/**
 * BsBackingStore:
 *
 * Makes a [iface@Backing] safe to use from everywhere at once.
 *
 * A store puts operations on one key in order, runs operations on different keys in
 * parallel, lets identical ones share one call, deletes blobs from primary
 * storage that no item holds any more, tracks the keys of persisted paths, and
 * knows when everything has finished.
 *
 * ## Threads
 *
 * A store may be used from any thread. Every operation exists as a blocking
 * call and as an asynchronous one. Asynchronous calls never block; their
 * callbacks run in the thread-default main context of the caller, and never
 * before the call returns. A blocking call runs the virtual function on the
 * calling thread where nothing else is under way for that key; otherwise it
 * waits for its turn.
 *
 * The virtual functions of the backing run in the store's own threads for
 * asynchronous calls, at most [property@BackingStore:max-threads] at a time;
 * application functions ([method@BackingStore.run_in_thread]) have as many
 * threads of their own. With [property@BackingStore:main-context] set, all of
 * these run in that context and nowhere else. JavaScript needs that.
 *
 * Signals and property notifications run in the context that was the
 * thread's default where the store was made, once for many changes.
 *
 * ## Cancellation
 *
 * %G_IO_ERROR_CANCELLED says that this caller has left, not that nothing
 * happened. An operation that every caller has left before its turn never
 * reaches the backing.
 *
 * ## Errors
 *
 * Every operation may fail with %BS_ERROR_CLOSED after
 * [method@BackingStore.close], with %G_IO_ERROR_CANCELLED, with
 * %G_IO_ERROR_INVALID_ARGUMENT when a tracked path belongs to another store,
 * and with the errors of the backing; a blocking call with
 * %G_IO_ERROR_WOULD_BLOCK when it is called from inside a virtual function of
 * the same store's backing, where it could only wait for itself.
 */

/* The lowest and the highest default. */
#define FEWEST_THREADS 2
#define MOST_THREADS 4

#define DEFAULT_THREAD_NICE 5
#define MAX_THREAD_NICE 19

#define DELETION_PAUSE G_TIME_SPAN_MILLISECOND

typedef enum
{
  PROP_BACKING = 1,
  PROP_MAIN_CONTEXT,
  PROP_MAX_THREADS,
  PROP_TASK_TRACKER,
  PROP_THREAD_NICE,
} BsBackingStoreProperty;

static GParamSpec *properties[PROP_THREAD_NICE + 1];

enum
{
  BACKGROUND_ERROR,
  N_SIGNALS,
};

static guint signals[N_SIGNALS];

G_DEFINE_FINAL_TYPE (BsBackingStore, bs_backing_store, G_TYPE_OBJECT)

gboolean
bs_backing_store_get_corruption_seen (BsBackingStore *self)
{
  return g_atomic_int_get (&self->corruption_seen);
}

BsNotifier *
bs_backing_store_get_notifier (BsBackingStore *self)
{
  return self->notifier;
}

BsExecutor *
bs_backing_store_get_executor (BsBackingStore *self)
{
  return self->backing_executor;
}

gboolean
bs_backing_store_enter_call (BsBackingStore *self, BsCallScope *scope)
{
  if (!bs_executor_enter (self->backing_executor))
    return FALSE;

  bs_call_scope_push (scope, self, BS_SCOPE_BACKING);
  return TRUE;
}

void
bs_backing_store_leave_call (BsBackingStore *self, BsCallScope *scope)
{
  bs_call_scope_pop (scope);
  bs_executor_leave (self->backing_executor);
}

static void
set_nice (BsBackingStore *self)
{
  int nice = g_atomic_int_get (&self->thread_nice);

  bs_executor_set_nice (self->backing_executor, nice);
  bs_executor_set_nice (self->function_executor, nice);
  bs_executor_set_nice (self->commit_executor, nice);
}

static void
bs_backing_store_constructed (GObject *object)
{
  BsBackingStore *self = BS_BACKING_STORE (object);

  G_OBJECT_CLASS (bs_backing_store_parent_class)->constructed (object);

  /* A script can make a store without a backing. */
  if (self->backing == NULL)
    self->state = BS_STATE_CLOSED;

  if (self->main_context != NULL)
    {
      self->backing_executor = bs_executor_new_in_context (self->main_context);
      self->function_executor = bs_executor_ref (self->backing_executor);
      self->commit_executor = bs_executor_ref (self->backing_executor);
    }
  else
    {
      self->function_executor = bs_executor_new ("bs-function", self->max_threads, NULL);
      /* One place a path: a function that may wait for a save must not take the save's place. */
      self->commit_executor = bs_executor_new ("bs-commit", G_MAXINT16, self->function_executor);
      self->backing_executor =
        bs_executor_new ("bs-backing", self->max_threads, self->commit_executor);
      set_nice (self);
    }
  self->notifier = bs_notifier_new ();
  self->tracker = bs_task_tracker_new (self, self->backing_executor, self->notifier);
  self->count = bs_task_tracker_get_count (self->tracker);
}

static void
bs_backing_store_finalize (GObject *object)
{
  BsBackingStore *self = BS_BACKING_STORE (object);

  if (bs_store_is_in_child (self))
    {
      G_OBJECT_CLASS (bs_backing_store_parent_class)->finalize (object);
      return;
    }

  g_assert (g_hash_table_size (self->paths) == 0);

  bs_executor_close (self->backing_executor);
  bs_executor_close (self->function_executor);
  bs_executor_close (self->commit_executor);
  g_clear_pointer (&self->backing_executor, bs_executor_unref);
  g_clear_pointer (&self->function_executor, bs_executor_unref);
  g_clear_pointer (&self->commit_executor, bs_executor_unref);
  g_clear_object (&self->tracker);
  g_clear_pointer (&self->notifier, bs_notifier_unref);
  g_clear_pointer (&self->main_context, g_main_context_unref);
  for (guint i = 0; i < BS_N_SHARDS; i++)
    bs_shard_clear (&self->shards[i]);
  g_aligned_free (self->shards);
  g_hash_table_unref (self->paths);
  g_mutex_clear (&self->paths_mutex);
  g_mutex_clear (&self->operations_mutex);
  g_clear_object (&self->backing);

  G_OBJECT_CLASS (bs_backing_store_parent_class)->finalize (object);
}

static void
bs_backing_store_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  BsBackingStore *self = BS_BACKING_STORE (object);

  switch ((BsBackingStoreProperty) id)
    {
    case PROP_BACKING:
      g_value_set_object (value, self->backing);
      break;
    case PROP_MAIN_CONTEXT:
      g_value_set_boxed (value, self->main_context);
      break;
    case PROP_MAX_THREADS:
      g_value_set_uint (value, bs_backing_store_get_max_threads (self));
      break;
    case PROP_TASK_TRACKER:
      g_value_set_object (value, self->tracker);
      break;
    case PROP_THREAD_NICE:
      g_value_set_int (value, bs_backing_store_get_thread_nice (self));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
bs_backing_store_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  BsBackingStore *self = BS_BACKING_STORE (object);

  switch ((BsBackingStoreProperty) id)
    {
    case PROP_BACKING:
      self->backing = g_value_dup_object (value);
      break;
    case PROP_MAIN_CONTEXT:
      self->main_context = g_value_dup_boxed (value);
      break;
    case PROP_MAX_THREADS:
      bs_backing_store_set_max_threads (self, g_value_get_uint (value));
      break;
    case PROP_THREAD_NICE:
      bs_backing_store_set_thread_nice (self, g_value_get_int (value));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
bs_backing_store_class_init (BsBackingStoreClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  const GParamFlags constant =
    G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS;
  const GParamFlags writable = G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS;

  object_class->constructed = bs_backing_store_constructed;
  object_class->finalize = bs_backing_store_finalize;
  object_class->get_property = bs_backing_store_get_property;
  object_class->set_property = bs_backing_store_set_property;

  /**
   * BsBackingStore:backing: (getter get_backing)
   *
   * The backing that the store wraps.
   */
  properties[PROP_BACKING] = g_param_spec_object ("backing", NULL, NULL, BS_TYPE_BACKING, constant);

  /**
   * BsBackingStore:main-context: (getter get_main_context)
   *
   * Where the functions of the backing and of the application run; %NULL for
   * the store's own threads.
   *
   * Its thread is the one that owns the context or, before any loop runs, the
   * one that made the store. A blocking call on that thread runs the
   * operations that it waits for; a blocking call on another thread waits for the context.
   */
  properties[PROP_MAIN_CONTEXT] =
    g_param_spec_boxed ("main-context", NULL, NULL, G_TYPE_MAIN_CONTEXT, constant);

  /**
   * BsBackingStore:max-threads: (getter get_max_threads) (setter set_max_threads)
   *
   * How many functions of the backing may run at a time for asynchronous
   * operations. Application functions have as many threads of their own.
   *
   * The default leaves a processor to the main loop: one fewer than there are
   * processors, at most 4; but at least 2, so that one slow call does not delay all
   * others.
   *
   * Without effect where [property@BackingStore:main-context] is set.
   *
   * Notifies in the context that was the thread's default where the store was
   * made.
   */
  properties[PROP_MAX_THREADS] =
    g_param_spec_uint ("max-threads", NULL, NULL, 1, G_MAXINT16, MOST_THREADS, writable);

  /**
   * BsBackingStore:task-tracker: (getter get_task_tracker)
   *
   * Counts the queued and running tasks.
   */
  properties[PROP_TASK_TRACKER] =
    g_param_spec_object ("task-tracker", NULL, NULL, BS_TYPE_TASK_TRACKER,
                         G_PARAM_READABLE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * BsBackingStore:thread-nice: (getter get_thread_nice) (setter set_thread_nice)
   *
   * How far below the process the store's threads run: added to the nice value of
   * the process, as `nice(1)` has it. 0 for threads like any other.
   *
   * While threads decode pictures, a main loop that scrolls them goes first. May be
   * changed at any time; a running function ends as it began. Blocking calls run on
   * the calling thread, whose nice value stays. Without effect where
   * [property@BackingStore:main-context] is set, and on other systems than Linux.
   *
   * Notifies in the context that was the thread's default where the store was
   * made.
   */
  properties[PROP_THREAD_NICE] =
    g_param_spec_int ("thread-nice", NULL, NULL, 0, MAX_THREAD_NICE, DEFAULT_THREAD_NICE, writable);

  g_object_class_install_properties (object_class, G_N_ELEMENTS (properties), properties);

  /**
   * BsBackingStore::background-error:
   * @self: the store
   * @key: (nullable): the key, if it concerns one
   * @operation: which virtual function failed
   * @error: why
   *
   * An operation without a caller has failed: a delayed deletion, the write of
   * an item that was to leave memory, or, after a save has succeeded, the deletion
   * of keys that it does not name.
   *
   * Nothing is lost: an item that can't be written stays in memory, a blob that
   * can't be deleted stays where it is. Emitted in the context that was
   * the thread's default where the store was made.
   */
  signals[BACKGROUND_ERROR] =
    g_signal_new ("background-error", BS_TYPE_BACKING_STORE, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                  G_TYPE_NONE, 3, G_TYPE_STRING, BS_TYPE_OPERATION, G_TYPE_ERROR);
}

static void
bs_backing_store_init (BsBackingStore *self)
{
  self->n_forks = bs_n_forks;
  self->max_threads = CLAMP ((int) g_get_num_processors () - 1, FEWEST_THREADS, MOST_THREADS);
  self->thread_nice = DEFAULT_THREAD_NICE;
  self->shards = g_aligned_alloc0 (BS_N_SHARDS, sizeof (BsShard), BS_CACHE_LINE);
  for (guint i = 0; i < BS_N_SHARDS; i++)
    bs_shard_init (&self->shards[i]);
  g_mutex_init (&self->paths_mutex);
  g_mutex_init (&self->operations_mutex);
  self->paths = bs_paths_new_table ();
  self->background_error = signals[BACKGROUND_ERROR];
  self->prepare = bs_prepare;
  self->discard = bs_discard;
  self->expect_deletion = bs_deletion_expect;
  self->deletion_pause = DELETION_PAUSE;
  self->new_tracked_path = bs_tracked_path_new;
}

/**
 * bs_backing_store_new:
 * @backing: a backing
 *
 * Makes a store whose functions run in threads of its own.
 *
 * The backing should not be used directly while a store wraps it, and not by
 * two stores at a time. Call [method@BackingStore.close] when done with both:
 * dropping the last reference does not close the backing.
 *
 * Returns: (transfer full): a new store
 */
BsBackingStore *
bs_backing_store_new (BsBacking *backing)
{
  g_return_val_if_fail (BS_IS_BACKING (backing), NULL);

  return g_object_new (BS_TYPE_BACKING_STORE, "backing", backing, NULL);
}

/**
 * bs_backing_store_new_in_context:
 * @backing: a backing
 * @main_context: (nullable): a main context, or %NULL for the default one
 *
 * Makes a store whose functions run in a main context and nowhere else. A
 * backing, a codec or a function written in JavaScript needs such a store.
 *
 * Returns: (transfer full): a new store
 */
BsBackingStore *
bs_backing_store_new_in_context (BsBacking *backing, GMainContext *main_context)
{
  g_return_val_if_fail (BS_IS_BACKING (backing), NULL);

  return g_object_new (BS_TYPE_BACKING_STORE, "backing", backing, "main-context",
                       main_context != NULL ? main_context : g_main_context_default (), NULL);
}

/**
 * bs_backing_store_get_backing: (get-property backing)
 * @self: a store
 *
 * Gets the backing that the store wraps.
 *
 * Returns: (transfer none): the backing
 */
BsBacking *
bs_backing_store_get_backing (BsBackingStore *self)
{
  g_return_val_if_fail (BS_IS_BACKING_STORE (self), NULL);

  return self->backing;
}

/**
 * bs_backing_store_get_main_context: (get-property main-context)
 * @self: a store
 *
 * Gets where the functions of the backing and of the application run.
 *
 * Returns: (transfer none) (nullable): the context, %NULL for threads
 */
GMainContext *
bs_backing_store_get_main_context (BsBackingStore *self)
{
  g_return_val_if_fail (BS_IS_BACKING_STORE (self), NULL);

  return self->main_context;
}

/**
 * bs_backing_store_get_max_threads: (get-property max-threads)
 * @self: a store
 *
 * Gets how many functions of the backing may run at a time.
 *
 * Returns: the number of threads
 */
guint
bs_backing_store_get_max_threads (BsBackingStore *self)
{
  g_return_val_if_fail (BS_IS_BACKING_STORE (self), 0);

  return g_atomic_int_get (&self->max_threads);
}

/**
 * bs_backing_store_set_max_threads: (set-property max-threads)
 * @self: a store
 * @max_threads: how many, at least 1
 *
 * Sets how many functions of the backing may run at a time for asynchronous
 * operations, and how many of the application's. Running functions go on.
 */
void
bs_backing_store_set_max_threads (BsBackingStore *self, guint max_threads)
{
  g_return_if_fail (BS_IS_BACKING_STORE (self));
  g_return_if_fail (max_threads > 0 && max_threads <= G_MAXINT16);

  if (g_atomic_int_exchange (&self->max_threads, (int) max_threads) == (int) max_threads)
    return;

  bs_executor_set_max_threads (self->backing_executor, max_threads);
  bs_executor_set_max_threads (self->function_executor, max_threads);
  bs_notifier_notify (self->notifier, G_OBJECT (self), properties[PROP_MAX_THREADS], NULL);
}

/**
 * bs_backing_store_get_thread_nice: (get-property thread-nice)
 * @self: a store
 *
 * Gets how far below the process the store's threads run.
 *
 * Returns: the nice value, added to that of the process
 */
int
bs_backing_store_get_thread_nice (BsBackingStore *self)
{
  g_return_val_if_fail (BS_IS_BACKING_STORE (self), 0);

  return g_atomic_int_get (&self->thread_nice);
}

/**
 * bs_backing_store_set_thread_nice: (set-property thread-nice)
 * @self: a store
 * @nice: the nice value, added to that of the process: 0 to 19
 *
 * Sets how far below the process the store's threads run. Where a thread may not be
 * raised again, new threads take the place of the old.
 */
void
bs_backing_store_set_thread_nice (BsBackingStore *self, int nice)
{
  g_return_if_fail (BS_IS_BACKING_STORE (self));
  g_return_if_fail (nice >= 0 && nice <= MAX_THREAD_NICE);

  if (g_atomic_int_exchange (&self->thread_nice, nice) == nice)
    return;

  set_nice (self);
  bs_notifier_notify (self->notifier, G_OBJECT (self), properties[PROP_THREAD_NICE], NULL);
}

/**
 * bs_backing_store_get_task_tracker: (get-property task-tracker)
 * @self: a store
 *
 * Gets the tracker that counts the queued and running tasks.
 *
 * Returns: (transfer none): the task tracker
 */
BsTaskTracker *
bs_backing_store_get_task_tracker (BsBackingStore *self)
{
  g_return_val_if_fail (BS_IS_BACKING_STORE (self), NULL);

  return self->tracker;
}
