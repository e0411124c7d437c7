/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "bs-backing-store.h"

#include "base/bs-backing-private.h"
#include "base/bs-error.h"
#include "bs-bulk-private.h"
#include "bs-close-private.h"
#include "bs-enum-types.h"
#include "bs-path-private.h"
#include "bs-store-private.h"
#include "bs-strand-private.h"
#include "bs-task-private.h"

/**
 * BsBackingStore:
 *
 * Makes a [iface@Backing] safe to use from everywhere at once.
 *
 * A store puts operations on one key in order, runs those on different keys in
 * parallel, lets identical ones share one call, deletes from primary storage
 * what nobody holds any more, tracks what is at persisted paths, and knows
 * when all of it has finished.
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
 * happened. An operation that everyone has left before its turn came never
 * reaches the backing.
 *
 * ## Errors
 *
 * Every operation may fail with %BS_ERROR_CLOSED after
 * [method@BackingStore.close], with %G_IO_ERROR_CANCELLED, with
 * %G_IO_ERROR_INVALID_ARGUMENT when a tracked path belongs to another store,
 * and with whatever the backing reports; a blocking one with
 * %G_IO_ERROR_WOULD_BLOCK when it is called from inside a virtual function of
 * the same store's backing, where it could only wait for itself.
 */

#define DEFAULT_MAX_THREADS 4

typedef enum
{
  PROP_BACKING = 1,
  PROP_MAIN_CONTEXT,
  PROP_MAX_THREADS,
  PROP_TASK_TRACKER,
} BsBackingStoreProperty;

static GParamSpec *properties[PROP_TASK_TRACKER + 1];

enum
{
  BACKGROUND_ERROR,
  N_SIGNALS,
};

static guint signals[N_SIGNALS];

G_DEFINE_FINAL_TYPE (BsBackingStore, bs_backing_store, G_TYPE_OBJECT)

gboolean
bs_backing_store_admit (BsBackingStore *self, BsCaller *caller, BsJobKind kind, const BsKey *key, BsTrackedPath *tracked)
{
  GError *error = NULL;

  bs_task_tracker_begin (self->tracker);

  if (g_atomic_int_get (&self->state) != BS_STATE_OPEN)
    error = bs_job_error (kind, key, tracked, BS_ERROR, BS_ERROR_CLOSED, "the store is closed");
  else if (tracked != NULL && tracked->store != self)
    error = bs_job_error (kind, key, tracked, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "the tracked path belongs to another store");
  else if (caller->blocking && bs_frame_find (self, BS_FRAME_CALL) != NULL)
    error = bs_job_error (kind, key, tracked, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK,
                          "called from inside a function of the same store's backing, it would wait for itself");

  if (error == NULL)
    return TRUE;

  bs_caller_answer (caller, NULL, error);
  bs_task_tracker_end (self->tracker);
  return FALSE;
}

void
bs_backing_store_admitted (BsBackingStore *self)
{
  bs_task_tracker_end (self->tracker);
}

void
bs_backing_store_report (BsBackingStore *self, const BsKey *key, BsOperation operation, GError *error)
{
  bs_notifier_report (self->notifier, G_OBJECT (self), signals[BACKGROUND_ERROR], key, operation, error);
}

void
bs_backing_store_queue_notify (BsBackingStore *self, GObject *object, GParamSpec *pspec)
{
  bs_notifier_notify (self->notifier, object, pspec, NULL);
}

/* Tries the short way of a blocking call. Whatever there is to say against it is
 * left to the long way to say. */
static gboolean
call_now (BsBackingStore *self,
          BsJobKind       kind,
          const BsKey    *key,
          BsKeyRecord    *record,
          BsTrackedPath  *tracked,
          BsContent      *content,
          gpointer       *value,
          GError        **error)
{
  gboolean called = FALSE;

  if (self->main_context != NULL || (tracked != NULL && tracked->store != self) || bs_frame_find (self, BS_FRAME_CALL) != NULL)
    return FALSE;

  bs_task_tracker_begin (self->tracker);
  if (g_atomic_int_get (&self->state) == BS_STATE_OPEN)
    called = bs_strand_call_now (self, kind, key, record, tracked, content, value, error);
  bs_task_tracker_end (self->tracker);

  return called;
}

gboolean
bs_backing_store_read_now (BsBackingStore *self, BsKeyRecord *record, GBytes **bytes, GError **error)
{
  gpointer value = NULL;
  gboolean called = call_now (self, BS_JOB_READ, &record->key, record, NULL, NULL, &value, error);

  *bytes = value;
  return called;
}

gboolean
bs_backing_store_write_now (BsBackingStore *self, BsKeyRecord *record, BsContent *content, GError **error)
{
  gpointer unused;

  return call_now (self, BS_JOB_WRITE, &record->key, record, NULL, content, &unused, error);
}

gboolean
bs_backing_store_persist_now (BsBackingStore *self, BsKeyRecord *record, BsTrackedPath *tracked, BsContent *content, GError **error)
{
  gpointer unused;

  return call_now (self, BS_JOB_PERSIST, &record->key, record, tracked, content, &unused, error);
}

gboolean
bs_backing_store_register_now (BsBackingStore *self, BsTrackedPath *tracked, const BsKey *key, BsKeyRecord **token, GError **error)
{
  gpointer value = NULL;
  gboolean called = call_now (self, BS_JOB_REGISTER, key, NULL, tracked, NULL, &value, error);

  *token = value;
  return called;
}

void
bs_backing_store_start_read (BsBackingStore *self, BsKeyRecord *record, BsCaller *caller)
{
  if (!bs_backing_store_admit (self, caller, BS_JOB_READ, &record->key, NULL))
    return;

  bs_strand_start (self, BS_JOB_READ, &record->key, record, NULL, NULL, caller);
  bs_backing_store_admitted (self);
}

void
bs_backing_store_start_write (BsBackingStore *self, BsKeyRecord *record, BsContent *content, BsCaller *caller)
{
  if (!bs_backing_store_admit (self, caller, BS_JOB_WRITE, &record->key, NULL))
    return;

  bs_strand_start (self, BS_JOB_WRITE, &record->key, record, NULL, content, caller);
  bs_backing_store_admitted (self);
}

void
bs_backing_store_start_persist (BsBackingStore *self, BsKeyRecord *record, BsTrackedPath *tracked, BsContent *content, BsCaller *caller)
{
  if (!bs_backing_store_admit (self, caller, BS_JOB_PERSIST, &record->key, tracked))
    return;

  bs_strand_start (self, BS_JOB_PERSIST, &record->key, record, tracked, content, caller);
  bs_backing_store_admitted (self);
}

void
bs_backing_store_start_register (BsBackingStore *self, BsTrackedPath *tracked, const BsKey *key, BsCaller *caller)
{
  if (!bs_backing_store_admit (self, caller, BS_JOB_REGISTER, key, tracked))
    return;

  bs_strand_start (self, BS_JOB_REGISTER, key, NULL, tracked, NULL, caller);
  bs_backing_store_admitted (self);
}

void
bs_backing_store_start_register_all (BsBackingStore *self, BsTrackedPath *tracked, BsCaller *caller)
{
  if (!bs_backing_store_admit (self, caller, BS_JOB_BULK, NULL, tracked))
    return;

  bs_bulk_start_register_all (self, tracked, caller);
  bs_backing_store_admitted (self);
}

static void
bs_backing_store_constructed (GObject *object)
{
  BsBackingStore *self = BS_BACKING_STORE (object);

  G_OBJECT_CLASS (bs_backing_store_parent_class)->constructed (object);

  if (self->main_context != NULL)
    {
      self->backing_lane = bs_lane_new_in_context (self->main_context);
      self->task_lane = bs_lane_ref (self->backing_lane);
    }
  else
    {
      self->backing_lane = bs_lane_new (self->max_threads);
      self->task_lane = bs_lane_new (self->max_threads);
    }
  self->notifier = bs_notifier_new ();
  self->tracker = bs_task_tracker_new (self, self->backing_lane, self->notifier);
}

static void
bs_backing_store_finalize (GObject *object)
{
  BsBackingStore *self = BS_BACKING_STORE (object);

  g_assert (g_hash_table_size (self->paths) == 0);

  bs_lane_close (self->backing_lane);
  g_clear_pointer (&self->backing_lane, bs_lane_unref);
  g_clear_pointer (&self->task_lane, bs_lane_unref);
  g_clear_object (&self->tracker);
  g_clear_pointer (&self->notifier, bs_notifier_unref);
  g_clear_pointer (&self->main_context, g_main_context_unref);
  for (guint i = 0; i < BS_N_SHARDS; i++)
    {
      bs_shard_clear (&self->shards[i]);
      g_mutex_clear (&self->shards[i].mutex);
    }
  g_hash_table_unref (self->paths);
  g_mutex_clear (&self->paths_mutex);
  g_mutex_clear (&self->jobs_mutex);
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
    case PROP_TASK_TRACKER:
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
bs_backing_store_class_init (BsBackingStoreClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->constructed = bs_backing_store_constructed;
  object_class->finalize = bs_backing_store_finalize;
  object_class->get_property = bs_backing_store_get_property;
  object_class->set_property = bs_backing_store_set_property;

  /**
   * BsBackingStore:backing: (getter get_backing)
   *
   * The backing that the store wraps.
   */
  properties[PROP_BACKING] =
    g_param_spec_object ("backing", NULL, NULL, BS_TYPE_BACKING,
                         G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * BsBackingStore:main-context: (getter get_main_context)
   *
   * Where the functions of the backing and of the application run; %NULL for
   * the store's own threads.
   *
   * Its thread is the one that owns the context or, before any loop runs, the
   * one that made the store. A blocking call on that thread runs what it waits
   * for itself; a blocking call on another waits for that context.
   */
  properties[PROP_MAIN_CONTEXT] =
    g_param_spec_boxed ("main-context", NULL, NULL, G_TYPE_MAIN_CONTEXT,
                        G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * BsBackingStore:max-threads: (getter get_max_threads) (setter set_max_threads)
   *
   * How many functions of the backing may run at a time for asynchronous
   * operations. Application functions have as many threads of their own.
   * Without effect where [property@BackingStore:main-context] is set.
   *
   * Notifies in the context that was the thread's default where the store was
   * made.
   */
  properties[PROP_MAX_THREADS] =
    g_param_spec_uint ("max-threads", NULL, NULL, 1, G_MAXINT16, DEFAULT_MAX_THREADS,
                       G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * BsBackingStore:task-tracker: (getter get_task_tracker)
   *
   * Counts what is queued or running.
   */
  properties[PROP_TASK_TRACKER] =
    g_param_spec_object ("task-tracker", NULL, NULL, BS_TYPE_TASK_TRACKER,
                         G_PARAM_READABLE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  g_object_class_install_properties (object_class, G_N_ELEMENTS (properties), properties);

  /**
   * BsBackingStore::background-error:
   * @self: the store
   * @key: (nullable): the key, if it concerns one
   * @operation: which virtual function failed
   * @error: why
   *
   * Something that nobody waits for has failed: a delayed deletion, or the
   * write of an item that was to leave memory.
   *
   * Nothing is lost: an item that can't be written stays in memory, a blob that
   * can't be deleted stays in primary storage. Emitted in the context that was
   * the thread's default where the store was made.
   */
  signals[BACKGROUND_ERROR] =
    g_signal_new ("background-error", BS_TYPE_BACKING_STORE, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                  G_TYPE_NONE, 3, G_TYPE_STRING, BS_TYPE_OPERATION, G_TYPE_ERROR);
}

static void
bs_backing_store_init (BsBackingStore *self)
{
  self->max_threads = DEFAULT_MAX_THREADS;
  for (guint i = 0; i < BS_N_SHARDS; i++)
    g_mutex_init (&self->shards[i].mutex);
  g_mutex_init (&self->paths_mutex);
  g_mutex_init (&self->jobs_mutex);
  self->paths = g_hash_table_new (g_str_hash, g_str_equal);
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
 * Makes a store whose functions run in a main context and nowhere else. That
 * is how a backing or a function written in JavaScript is used.
 *
 * Returns: (transfer full): a new store
 */
BsBackingStore *
bs_backing_store_new_in_context (BsBacking *backing, GMainContext *main_context)
{
  g_return_val_if_fail (BS_IS_BACKING (backing), NULL);

  return g_object_new (BS_TYPE_BACKING_STORE,
                       "backing", backing,
                       "main-context", main_context != NULL ? main_context : g_main_context_default (),
                       NULL);
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
 * operations, and how many of the application's. What runs already goes on.
 */
void
bs_backing_store_set_max_threads (BsBackingStore *self, guint max_threads)
{
  g_return_if_fail (BS_IS_BACKING_STORE (self));
  g_return_if_fail (max_threads > 0 && max_threads <= G_MAXINT16);

  if (g_atomic_int_exchange (&self->max_threads, (int) max_threads) == (int) max_threads)
    return;

  bs_lane_set_max_threads (self->backing_lane, max_threads);
  bs_lane_set_max_threads (self->task_lane, max_threads);
  bs_notifier_notify (self->notifier, G_OBJECT (self), properties[PROP_MAX_THREADS], NULL);
}

/**
 * bs_backing_store_get_task_tracker: (get-property task-tracker)
 * @self: a store
 *
 * Gets what counts the queued and running tasks.
 *
 * Returns: (transfer none): the task tracker
 */
BsTaskTracker *
bs_backing_store_get_task_tracker (BsBackingStore *self)
{
  g_return_val_if_fail (BS_IS_BACKING_STORE (self), NULL);

  return self->tracker;
}

static gboolean
propagate (GError **error, GError *local_error)
{
  g_propagate_error (error, local_error);
  return FALSE;
}

static gpointer
deliver_object (gpointer data, gpointer value, GError **error)
{
  return value != NULL ? g_object_ref (value) : NULL;
}

static gpointer
deliver_bytes (gpointer data, gpointer value, GError **error)
{
  return value != NULL ? g_bytes_ref (value) : NULL;
}

static BsCaller *
async_caller_new (BsBackingStore     *self,
                  int                 io_priority,
                  GCancellable       *cancellable,
                  GAsyncReadyCallback callback,
                  gpointer            user_data,
                  gpointer            tag,
                  const char         *name,
                  BsDeliverFunc       deliver,
                  GDestroyNotify      value_free)
{
  GTask *task = bs_task_new (self, cancellable, callback, user_data, tag, name, io_priority);

  return bs_caller_new_async (self, task, deliver, NULL, NULL, value_free);
}

/* The operations on a path as a whole. */
static void
start_on_path (BsBackingStore *self, BsJobKind kind, BsTrackedPath *tracked, BsCaller *caller)
{
  if (!bs_backing_store_admit (self, caller, kind, NULL, tracked))
    return;

  bs_path_start (kind, tracked, caller);
  bs_backing_store_admitted (self);
}

static void
start_track_path (BsBackingStore *self, GFile *path, BsCaller *caller)
{
  if (!bs_backing_store_admit (self, caller, BS_JOB_TRACK, NULL, NULL))
    return;

  bs_path_start_track (self, path, caller);
  bs_backing_store_admitted (self);
}

static gboolean
delete_persisted_now (BsBackingStore *self, BsTrackedPath *tracked, const char *key, GError **error)
{
  gpointer unused;
  BsKey parsed;

  return bs_key_parse (key, &parsed) && call_now (self, BS_JOB_DELETE_PERSISTED, &parsed, NULL, tracked, NULL, &unused, error);
}

static void
start_delete_persisted (BsBackingStore *self, BsTrackedPath *tracked, const char *key, BsCaller *caller)
{
  GError *error = NULL;
  BsKey parsed;

  if (!bs_key_parse_error (key, "Deleting a persisted key", &parsed, &error))
    {
      bs_caller_answer (caller, NULL, error);
      return;
    }
  if (!bs_backing_store_admit (self, caller, BS_JOB_DELETE_PERSISTED, &parsed, tracked))
    return;

  bs_strand_start (self, BS_JOB_DELETE_PERSISTED, &parsed, NULL, tracked, NULL, caller);
  bs_backing_store_admitted (self);
}

static void
start_delete_persisted_keys (BsBackingStore *self, BsTrackedPath *tracked, BsKeySet *keys, BsCaller *caller)
{
  if (!bs_backing_store_admit (self, caller, BS_JOB_BULK, NULL, tracked))
    return;

  bs_bulk_start_delete_persisted (self, tracked, keys, caller);
  bs_backing_store_admitted (self);
}

static void
start_run_in_thread (BsBackingStore *self, BsTaskFunc func, gpointer func_data, GDestroyNotify func_data_destroy, BsCaller *caller)
{
  caller->context_data = func_data;
  caller->context_data_free = func_data_destroy;
  if (!bs_backing_store_admit (self, caller, BS_JOB_TASK, NULL, NULL))
    return;

  bs_task_start (self, func, func_data, caller);
  bs_backing_store_admitted (self);
}

/**
 * bs_backing_store_track_path:
 * @self: a store
 * @path: where blobs are, or are to be, permanent
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Prepares a path for use, cleans up what an interrupted run has left there,
 * and learns its keys.
 *
 * The same path gives the same object while anyone holds it; calls at the same
 * time share one scan.
 *
 * Blocks; see [method@BackingStore.track_path_async] for the asynchronous call.
 *
 * Returns: (transfer full): the tracked path, %NULL with @error set
 */
BsTrackedPath *
bs_backing_store_track_path (BsBackingStore *self, GFile *path, GCancellable *cancellable, GError **error)
{
  BsCaller *caller;

  g_return_val_if_fail (BS_IS_BACKING_STORE (self), NULL);
  g_return_val_if_fail (G_IS_FILE (path), NULL);

  caller = bs_caller_new_blocking (self, cancellable, deliver_object, NULL, NULL, g_object_unref);
  start_track_path (self, path, caller);
  return bs_caller_wait (caller, error);
}

/**
 * bs_backing_store_track_path_async:
 * @self: a store
 * @path: where blobs are, or are to be, permanent
 * @io_priority: the I/O priority of the request
 * @cancellable: (nullable): a #GCancellable
 * @callback: (scope async) (closure user_data): called when it is done
 * @user_data: data for @callback
 *
 * Asynchronous [method@BackingStore.track_path].
 */
void
bs_backing_store_track_path_async (BsBackingStore *self, GFile *path, int io_priority, GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data)
{
  BsCaller *caller;

  g_return_if_fail (BS_IS_BACKING_STORE (self));
  g_return_if_fail (G_IS_FILE (path));

  caller = async_caller_new (self, io_priority, cancellable, callback, user_data,
                             bs_backing_store_track_path_async, "[backingstore] track a path", deliver_object, g_object_unref);
  start_track_path (self, path, caller);
  bs_caller_unref (caller);
}

/**
 * bs_backing_store_track_path_finish:
 * @self: a store
 * @result: what the callback was given
 * @error: return location for a #GError
 *
 * Finishes [method@BackingStore.track_path_async].
 *
 * Returns: (transfer full): the tracked path, %NULL with @error set
 */
BsTrackedPath *
bs_backing_store_track_path_finish (BsBackingStore *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);
  g_return_val_if_fail (g_async_result_is_tagged (result, bs_backing_store_track_path_async), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}

/**
 * bs_backing_store_untrack_path:
 * @self: a store
 * @tracked: a tracked path of this store
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Releases a path now, after what was asked of it, rather than when the last
 * reference is dropped, which a garbage collector may delay.
 *
 * From now on other operations on @tracked fail with %BS_ERROR_CLOSED. If
 * releasing fails, or is cancelled before its turn, the path stays tracked and
 * open. Does nothing to one that is closed already.
 *
 * Blocks; see [method@BackingStore.untrack_path_async] for the asynchronous call.
 *
 * Returns: %TRUE on success, %FALSE with @error set
 */
gboolean
bs_backing_store_untrack_path (BsBackingStore *self, BsTrackedPath *tracked, GCancellable *cancellable, GError **error)
{
  BsCaller *caller;

  g_return_val_if_fail (BS_IS_BACKING_STORE (self), FALSE);
  g_return_val_if_fail (BS_IS_TRACKED_PATH (tracked), FALSE);

  caller = bs_caller_new_blocking (self, cancellable, NULL, NULL, NULL, NULL);
  start_on_path (self, BS_JOB_UNTRACK, tracked, caller);
  return GPOINTER_TO_INT (bs_caller_wait (caller, error));
}

/**
 * bs_backing_store_untrack_path_async:
 * @self: a store
 * @tracked: a tracked path of this store
 * @io_priority: the I/O priority of the request
 * @cancellable: (nullable): a #GCancellable
 * @callback: (scope async) (closure user_data): called when it is done
 * @user_data: data for @callback
 *
 * Asynchronous [method@BackingStore.untrack_path].
 */
void
bs_backing_store_untrack_path_async (BsBackingStore *self, BsTrackedPath *tracked, int io_priority, GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data)
{
  BsCaller *caller;

  g_return_if_fail (BS_IS_BACKING_STORE (self));
  g_return_if_fail (BS_IS_TRACKED_PATH (tracked));

  caller = async_caller_new (self, io_priority, cancellable, callback, user_data,
                             bs_backing_store_untrack_path_async, "[backingstore] untrack a path", NULL, NULL);
  start_on_path (self, BS_JOB_UNTRACK, tracked, caller);
  bs_caller_unref (caller);
}

/**
 * bs_backing_store_untrack_path_finish:
 * @self: a store
 * @result: what the callback was given
 * @error: return location for a #GError
 *
 * Finishes [method@BackingStore.untrack_path_async].
 *
 * Returns: %TRUE on success, %FALSE with @error set
 */
gboolean
bs_backing_store_untrack_path_finish (BsBackingStore *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  g_return_val_if_fail (g_async_result_is_tagged (result, bs_backing_store_untrack_path_async), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

/**
 * bs_backing_store_sync:
 * @self: a store
 * @tracked: a tracked path of this store
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Makes durable whatever was asked of this path before and succeeded.
 *
 * While one sync runs, all that are asked meanwhile share the next.
 *
 * Blocks; see [method@BackingStore.sync_async] for the asynchronous call.
 *
 * Returns: %TRUE on success, %FALSE with @error set
 */
gboolean
bs_backing_store_sync (BsBackingStore *self, BsTrackedPath *tracked, GCancellable *cancellable, GError **error)
{
  BsCaller *caller;

  g_return_val_if_fail (BS_IS_BACKING_STORE (self), FALSE);
  g_return_val_if_fail (BS_IS_TRACKED_PATH (tracked), FALSE);

  caller = bs_caller_new_blocking (self, cancellable, NULL, NULL, NULL, NULL);
  start_on_path (self, BS_JOB_SYNC, tracked, caller);
  return GPOINTER_TO_INT (bs_caller_wait (caller, error));
}

/**
 * bs_backing_store_sync_async:
 * @self: a store
 * @tracked: a tracked path of this store
 * @io_priority: the I/O priority of the request
 * @cancellable: (nullable): a #GCancellable
 * @callback: (scope async) (closure user_data): called when it is done
 * @user_data: data for @callback
 *
 * Asynchronous [method@BackingStore.sync].
 */
void
bs_backing_store_sync_async (BsBackingStore *self, BsTrackedPath *tracked, int io_priority, GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data)
{
  BsCaller *caller;

  g_return_if_fail (BS_IS_BACKING_STORE (self));
  g_return_if_fail (BS_IS_TRACKED_PATH (tracked));

  caller = async_caller_new (self, io_priority, cancellable, callback, user_data,
                             bs_backing_store_sync_async, "[backingstore] sync", NULL, NULL);
  start_on_path (self, BS_JOB_SYNC, tracked, caller);
  bs_caller_unref (caller);
}

/**
 * bs_backing_store_sync_finish:
 * @self: a store
 * @result: what the callback was given
 * @error: return location for a #GError
 *
 * Finishes [method@BackingStore.sync_async].
 *
 * Returns: %TRUE on success, %FALSE with @error set
 */
gboolean
bs_backing_store_sync_finish (BsBackingStore *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  g_return_val_if_fail (g_async_result_is_tagged (result, bs_backing_store_sync_async), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

/**
 * bs_backing_store_delete_persisted:
 * @self: a store
 * @tracked: a tracked path of this store
 * @key: a key
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Deletes a key from a path. Does nothing, successfully, if it is not there.
 *
 * Fails with %BS_ERROR_INVALID_KEY for what is not a key.
 *
 * Blocks; see [method@BackingStore.delete_persisted_async] for the asynchronous call.
 *
 * Returns: %TRUE on success, %FALSE with @error set
 */
gboolean
bs_backing_store_delete_persisted (BsBackingStore *self, BsTrackedPath *tracked, const char *key, GCancellable *cancellable, GError **error)
{
  GError *local_error = NULL;
  BsCaller *caller;

  g_return_val_if_fail (BS_IS_BACKING_STORE (self), FALSE);
  g_return_val_if_fail (BS_IS_TRACKED_PATH (tracked), FALSE);
  g_return_val_if_fail (key != NULL, FALSE);

  if (cancellable == NULL && delete_persisted_now (self, tracked, key, &local_error))
    return local_error == NULL || propagate (error, local_error);

  caller = bs_caller_new_blocking (self, cancellable, NULL, NULL, NULL, NULL);
  start_delete_persisted (self, tracked, key, caller);
  return GPOINTER_TO_INT (bs_caller_wait (caller, error));
}

/**
 * bs_backing_store_delete_persisted_async:
 * @self: a store
 * @tracked: a tracked path of this store
 * @key: a key
 * @io_priority: the I/O priority of the request
 * @cancellable: (nullable): a #GCancellable
 * @callback: (scope async) (closure user_data): called when it is done
 * @user_data: data for @callback
 *
 * Asynchronous [method@BackingStore.delete_persisted].
 */
void
bs_backing_store_delete_persisted_async (BsBackingStore *self, BsTrackedPath *tracked, const char *key, int io_priority, GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data)
{
  BsCaller *caller;

  g_return_if_fail (BS_IS_BACKING_STORE (self));
  g_return_if_fail (BS_IS_TRACKED_PATH (tracked));
  g_return_if_fail (key != NULL);

  caller = async_caller_new (self, io_priority, cancellable, callback, user_data,
                             bs_backing_store_delete_persisted_async, "[backingstore] delete a persisted key", NULL, NULL);
  start_delete_persisted (self, tracked, key, caller);
  bs_caller_unref (caller);
}

/**
 * bs_backing_store_delete_persisted_finish:
 * @self: a store
 * @result: what the callback was given
 * @error: return location for a #GError
 *
 * Finishes [method@BackingStore.delete_persisted_async].
 *
 * Returns: %TRUE on success, %FALSE with @error set
 */
gboolean
bs_backing_store_delete_persisted_finish (BsBackingStore *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  g_return_val_if_fail (g_async_result_is_tagged (result, bs_backing_store_delete_persisted_async), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

/**
 * bs_backing_store_delete_persisted_keys:
 * @self: a store
 * @tracked: a tracked path of this store
 * @keys: which keys
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Deletes many keys from a path in one task. Those that are not there are
 * passed over.
 *
 * This is not one transaction: each key is deleted in its own turn, and the
 * others are deleted even if one can't be. The error says how many were. An
 * operation asked meanwhile on one of the keys may come before or after. @keys
 * is copied before the call returns.
 *
 * Blocks; see [method@BackingStore.delete_persisted_keys_async] for the asynchronous call.
 *
 * Returns: %TRUE on success, %FALSE with @error set
 */
gboolean
bs_backing_store_delete_persisted_keys (BsBackingStore *self, BsTrackedPath *tracked, BsKeySet *keys, GCancellable *cancellable, GError **error)
{
  BsCaller *caller;

  g_return_val_if_fail (BS_IS_BACKING_STORE (self), FALSE);
  g_return_val_if_fail (BS_IS_TRACKED_PATH (tracked), FALSE);
  g_return_val_if_fail (BS_IS_KEY_SET (keys), FALSE);

  caller = bs_caller_new_blocking (self, cancellable, NULL, NULL, NULL, NULL);
  start_delete_persisted_keys (self, tracked, keys, caller);
  return GPOINTER_TO_INT (bs_caller_wait (caller, error));
}

/**
 * bs_backing_store_delete_persisted_keys_async:
 * @self: a store
 * @tracked: a tracked path of this store
 * @keys: which keys
 * @io_priority: the I/O priority of the request
 * @cancellable: (nullable): a #GCancellable
 * @callback: (scope async) (closure user_data): called when it is done
 * @user_data: data for @callback
 *
 * Asynchronous [method@BackingStore.delete_persisted_keys].
 */
void
bs_backing_store_delete_persisted_keys_async (BsBackingStore *self, BsTrackedPath *tracked, BsKeySet *keys, int io_priority, GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data)
{
  BsCaller *caller;

  g_return_if_fail (BS_IS_BACKING_STORE (self));
  g_return_if_fail (BS_IS_TRACKED_PATH (tracked));
  g_return_if_fail (BS_IS_KEY_SET (keys));

  caller = async_caller_new (self, io_priority, cancellable, callback, user_data,
                             bs_backing_store_delete_persisted_keys_async, "[backingstore] delete persisted keys", NULL, NULL);
  start_delete_persisted_keys (self, tracked, keys, caller);
  bs_caller_unref (caller);
}

/**
 * bs_backing_store_delete_persisted_keys_finish:
 * @self: a store
 * @result: what the callback was given
 * @error: return location for a #GError
 *
 * Finishes [method@BackingStore.delete_persisted_keys_async].
 *
 * Returns: %TRUE on success, %FALSE with @error set
 */
gboolean
bs_backing_store_delete_persisted_keys_finish (BsBackingStore *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  g_return_val_if_fail (g_async_result_is_tagged (result, bs_backing_store_delete_persisted_keys_async), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

/**
 * bs_backing_store_run_in_thread:
 * @self: a store
 * @func: (scope notified) (closure func_data) (destroy func_data_destroy): a function that may block
 * @func_data: data for @func
 * @func_data_destroy: (nullable): frees @func_data, in the caller's context, after @func has run or was cancelled
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Runs an application's function that may block, counted by the task tracker.
 *
 * The asynchronous call runs it in the store's threads, the blocking one on the
 * calling thread; with [property@BackingStore:main-context] set both run it
 * there. It may make blocking calls on this store, and ask it for asynchronous
 * ones and wait for them. @func gets the caller's own cancellable. A function
 * that is cancelled before it runs is not run.
 *
 * Fails with what @func reports; with %BS_ERROR_FAILED where it returns %FALSE
 * without an error.
 *
 * Blocks; see [method@BackingStore.run_in_thread_async] for the asynchronous call.
 *
 * Returns: %TRUE on success, %FALSE with @error set
 */
gboolean
bs_backing_store_run_in_thread (BsBackingStore *self, BsTaskFunc func, gpointer func_data, GDestroyNotify func_data_destroy, GCancellable *cancellable, GError **error)
{
  BsCaller *caller;

  g_return_val_if_fail (BS_IS_BACKING_STORE (self), FALSE);
  g_return_val_if_fail (func != NULL, FALSE);

  caller = bs_caller_new_blocking (self, cancellable, NULL, NULL, NULL, NULL);
  start_run_in_thread (self, func, func_data, func_data_destroy, caller);
  return GPOINTER_TO_INT (bs_caller_wait (caller, error));
}

/**
 * bs_backing_store_run_in_thread_async:
 * @self: a store
 * @func: (scope notified) (closure func_data) (destroy func_data_destroy): a function that may block
 * @func_data: data for @func
 * @func_data_destroy: (nullable): frees @func_data, in the caller's context, after @func has run or was cancelled
 * @io_priority: the I/O priority of the request
 * @cancellable: (nullable): a #GCancellable
 * @callback: (scope async) (closure user_data): called when it is done
 * @user_data: data for @callback
 *
 * Asynchronous [method@BackingStore.run_in_thread].
 */
void
bs_backing_store_run_in_thread_async (BsBackingStore *self, BsTaskFunc func, gpointer func_data, GDestroyNotify func_data_destroy, int io_priority, GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data)
{
  BsCaller *caller;

  g_return_if_fail (BS_IS_BACKING_STORE (self));
  g_return_if_fail (func != NULL);

  caller = async_caller_new (self, io_priority, cancellable, callback, user_data,
                             bs_backing_store_run_in_thread_async, "[backingstore] run a function", NULL, NULL);
  start_run_in_thread (self, func, func_data, func_data_destroy, caller);
  bs_caller_unref (caller);
}

/**
 * bs_backing_store_run_in_thread_finish:
 * @self: a store
 * @result: what the callback was given
 * @error: return location for a #GError
 *
 * Finishes [method@BackingStore.run_in_thread_async].
 *
 * Returns: %TRUE on success, %FALSE with @error set
 */
gboolean
bs_backing_store_run_in_thread_finish (BsBackingStore *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  g_return_val_if_fail (g_async_result_is_tagged (result, bs_backing_store_run_in_thread_async), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

/**
 * bs_backing_store_run_task: (skip)
 * @self: a store
 * @task: a task
 * @task_func: (scope async): what to run
 *
 * Runs a function like g_task_run_in_thread(), but in the store's threads for
 * application functions, counted by the task tracker, and with the task's
 * priority.
 *
 * @task_func must return the task. If the task is cancelled before its turn, or
 * the store is closed, it is returned with that error and @task_func is not
 * called. The store lets go of the task in the task's own context.
 */
void
bs_backing_store_run_task (BsBackingStore *self, GTask *task, GTaskThreadFunc task_func)
{
  g_return_if_fail (BS_IS_BACKING_STORE (self));
  g_return_if_fail (G_IS_TASK (task));
  g_return_if_fail (task_func != NULL);

  bs_task_start_raw (self, g_object_ref (task), task_func);
}

/**
 * bs_backing_store_load_root:
 * @self: a store
 * @tracked: a tracked path of this store
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Loads the root blob of the last save at a path.
 *
 * Fails with %BS_ERROR_NOT_FOUND if there is none, with
 * %BS_ERROR_NOT_SUPPORTED if the backing has no root blobs.
 *
 * Blocks; see [method@BackingStore.load_root_async] for the asynchronous call.
 *
 * Returns: (transfer full): the root blob, %NULL with @error set
 */
GBytes *
bs_backing_store_load_root (BsBackingStore *self, BsTrackedPath *tracked, GCancellable *cancellable, GError **error)
{
  BsCaller *caller;

  g_return_val_if_fail (BS_IS_BACKING_STORE (self), NULL);
  g_return_val_if_fail (BS_IS_TRACKED_PATH (tracked), NULL);

  caller = bs_caller_new_blocking (self, cancellable, deliver_bytes, NULL, NULL, (GDestroyNotify) g_bytes_unref);
  start_on_path (self, BS_JOB_LOAD_ROOT, tracked, caller);
  return bs_caller_wait (caller, error);
}

/**
 * bs_backing_store_load_root_async:
 * @self: a store
 * @tracked: a tracked path of this store
 * @io_priority: the I/O priority of the request
 * @cancellable: (nullable): a #GCancellable
 * @callback: (scope async) (closure user_data): called when it is done
 * @user_data: data for @callback
 *
 * Asynchronous [method@BackingStore.load_root].
 */
void
bs_backing_store_load_root_async (BsBackingStore *self, BsTrackedPath *tracked, int io_priority, GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data)
{
  BsCaller *caller;

  g_return_if_fail (BS_IS_BACKING_STORE (self));
  g_return_if_fail (BS_IS_TRACKED_PATH (tracked));

  caller = async_caller_new (self, io_priority, cancellable, callback, user_data,
                             bs_backing_store_load_root_async, "[backingstore] load the root blob", deliver_bytes, (GDestroyNotify) g_bytes_unref);
  start_on_path (self, BS_JOB_LOAD_ROOT, tracked, caller);
  bs_caller_unref (caller);
}

/**
 * bs_backing_store_load_root_finish:
 * @self: a store
 * @result: what the callback was given
 * @error: return location for a #GError
 *
 * Finishes [method@BackingStore.load_root_async].
 *
 * Returns: (transfer full): the root blob, %NULL with @error set
 */
GBytes *
bs_backing_store_load_root_finish (BsBackingStore *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);
  g_return_val_if_fail (g_async_result_is_tagged (result, bs_backing_store_load_root_async), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}

/**
 * bs_backing_store_wait_finished:
 * @self: a store
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Closes the task tracker, and waits until every queued or running task has
 * finished and handed over its result, delayed deletions included.
 *
 * Work asked for afterwards is still done; [method@TaskTracker.reopen] opens
 * the tracker again.
 *
 * Blocks; from inside one of the store's tasks it fails with
 * %G_IO_ERROR_WOULD_BLOCK. See [method@BackingStore.wait_finished_async] for
 * the asynchronous call.
 *
 * Returns: %TRUE on success, %FALSE with @error set
 */
gboolean
bs_backing_store_wait_finished (BsBackingStore *self, GCancellable *cancellable, GError **error)
{
  g_return_val_if_fail (BS_IS_BACKING_STORE (self), FALSE);

  bs_task_tracker_close (self->tracker);
  return bs_task_tracker_wait_blocking (self->tracker, "Waiting until the store has finished", cancellable, error);
}

/**
 * bs_backing_store_wait_finished_async:
 * @self: a store
 * @io_priority: the I/O priority of the request
 * @cancellable: (nullable): a #GCancellable
 * @callback: (scope async) (closure user_data): called when it is done
 * @user_data: data for @callback
 *
 * Asynchronous [method@BackingStore.wait_finished].
 */
void
bs_backing_store_wait_finished_async (BsBackingStore *self, int io_priority, GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data)
{
  g_return_if_fail (BS_IS_BACKING_STORE (self));

  bs_task_tracker_close (self->tracker);
  bs_task_tracker_start_wait (self->tracker,
                              bs_task_new (self, cancellable, callback, user_data, bs_backing_store_wait_finished_async,
                                           "[backingstore] wait until finished", io_priority));
}

/**
 * bs_backing_store_wait_finished_finish:
 * @self: a store
 * @result: what the callback was given
 * @error: return location for a #GError
 *
 * Finishes [method@BackingStore.wait_finished_async].
 *
 * Returns: %TRUE on success, %FALSE with @error set
 */
gboolean
bs_backing_store_wait_finished_finish (BsBackingStore *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  g_return_val_if_fail (g_async_result_is_tagged (result, bs_backing_store_wait_finished_async), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

/**
 * bs_backing_store_close:
 * @self: a store
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Refuses new work with %BS_ERROR_CLOSED, finishes what was asked, and releases
 * the paths and the backing.
 *
 * What was in memory stays loadable; what was in primary storage may be gone.
 * Closing again does nothing. If it is cancelled before what was asked has
 * finished, the store is open again. A release that fails is reported, and the
 * store is closed all the same. From inside one of the store's tasks the
 * blocking call fails with %G_IO_ERROR_WOULD_BLOCK.
 *
 * Blocks; see [method@BackingStore.close_async] for the asynchronous call.
 *
 * Returns: %TRUE on success, %FALSE with @error set
 */
gboolean
bs_backing_store_close (BsBackingStore *self, GCancellable *cancellable, GError **error)
{
  BsCaller *caller;

  g_return_val_if_fail (BS_IS_BACKING_STORE (self), FALSE);

  caller = bs_caller_new_blocking (self, cancellable, NULL, NULL, NULL, NULL);
  bs_close_start (self, caller);
  return GPOINTER_TO_INT (bs_caller_wait (caller, error));
}

/**
 * bs_backing_store_close_async:
 * @self: a store
 * @io_priority: the I/O priority of the request
 * @cancellable: (nullable): a #GCancellable
 * @callback: (scope async) (closure user_data): called when it is done
 * @user_data: data for @callback
 *
 * Asynchronous [method@BackingStore.close].
 */
void
bs_backing_store_close_async (BsBackingStore *self, int io_priority, GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data)
{
  BsCaller *caller;

  g_return_if_fail (BS_IS_BACKING_STORE (self));

  caller = async_caller_new (self, io_priority, cancellable, callback, user_data,
                             bs_backing_store_close_async, "[backingstore] close", NULL, NULL);
  bs_close_start (self, caller);
  bs_caller_unref (caller);
}

/**
 * bs_backing_store_close_finish:
 * @self: a store
 * @result: what the callback was given
 * @error: return location for a #GError
 *
 * Finishes [method@BackingStore.close_async].
 *
 * Returns: %TRUE on success, %FALSE with @error set
 */
gboolean
bs_backing_store_close_finish (BsBackingStore *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  g_return_val_if_fail (g_async_result_is_tagged (result, bs_backing_store_close_async), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}
