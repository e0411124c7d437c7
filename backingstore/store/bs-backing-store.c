/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store/bs-backing-store.h"

#include "base/bs-backing-private.h"
#include "base/bs-error.h"
#include "store/operations/bs-bulk-private.h"
#include "bs-enum-types.h"
#include "store/queues/bs-path-private.h"
#include "store/operations/bs-store-private.h"
#include "store/queues/bs-key-queue-private.h"

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
 * callbacks run in the thread-default main context of the waiter, and never
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
 * %G_IO_ERROR_CANCELLED says that this waiter has left, not that nothing
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

/* Why a call is not let in. */
typedef enum
{
  ADMITTED,
  REFUSED_CLOSED,
  REFUSED_STRANGER,
  REFUSED_INSIDE,
} Admission;

static GError *
refusal_to_error (Admission admission, BsOperationKind kind, const BsKey *key, GFile *path)
{
  switch (admission)
    {
    case REFUSED_CLOSED:
      return bs_operation_error_at (kind, key, path, BS_ERROR, BS_ERROR_CLOSED, "the store is closed");
    case REFUSED_STRANGER:
      return bs_operation_error_at (kind, key, path, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "the tracked path belongs to another store");
    case REFUSED_INSIDE:
      return bs_operation_error_at (kind, key, path, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK,
                              "called from inside a function of the same store's backing, it would wait for itself");
    case ADMITTED:
    default:
      g_assert_not_reached ();
    }
}

gboolean
bs_backing_store_admit (BsBackingStore *self, BsWaiter *waiter, BsOperationKind kind, const BsKey *key, BsTrackedPath *tracked)
{
  Admission admission = ADMITTED;

  bs_task_tracker_begin (self->tracker);

  if (g_atomic_int_get (&self->state) != BS_STATE_OPEN)
    admission = REFUSED_CLOSED;
  else if (tracked != NULL && tracked->store != self)
    admission = REFUSED_STRANGER;
  else if (waiter->blocking && bs_call_scope_find (self, BS_SCOPE_BACKING) != NULL)
    admission = REFUSED_INSIDE;

  if (admission == ADMITTED)
    {
      bs_waiter_set_subject (waiter, kind, key, tracked);
      return TRUE;
    }

  /* At once: whoever closes the store waits for a moment in which nothing counts. */
  bs_task_tracker_end (self->tracker);
  bs_waiter_answer (waiter, NULL, refusal_to_error (admission, kind, key, tracked != NULL ? bs_tracked_path_get_file (tracked) : waiter->path));
  return FALSE;
}

void
bs_backing_store_admitted (BsBackingStore *self)
{
  bs_task_tracker_end (self->tracker);
}

gboolean
bs_backing_store_has_seen_bad (BsBackingStore *self)
{
  return g_atomic_int_get (&self->has_seen_bad);
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

/* With many keys, what an operation costs is waiting for memory: better for all
 * of it at once. */
static inline void
prefetch (BsBackingStore *self, BsOperationKind kind, const BsKey *key, BsToken *token, BsTrackedPath *tracked, BsContent *content)
{
  guint64 hash = bs_key_hash (key);
  guint shard = bs_shard_index (hash);

  if (!bs_key_queue_needs_no_record (kind, content))
    {
      if (token != NULL)
        __builtin_prefetch (token, 1);
      else
        bs_shard_prefetch (&self->shards[shard], hash);
    }
  if (tracked != NULL)
    bs_key_table_prefetch (&tracked->shards[shard].members, hash);
}

gboolean
bs_backing_store_call_now (BsBackingStore *self,
                           BsOperationKind       kind,
                           const BsKey    *key,
                           BsToken    *token,
                           BsTrackedPath  *tracked,
                           BsContent      *content,
                           gpointer       *value,
                           GError        **error)
{
  if (self->main_context != NULL || (tracked != NULL && tracked->store != self) || bs_call_scope_find (self, BS_SCOPE_BACKING) != NULL)
    return FALSE;

  prefetch (self, kind, key, token, tracked, content);
  return bs_key_queue_call_now (self, kind, key, token, tracked, content, FALSE, value, error);
}

gboolean
bs_backing_store_read_now (BsBackingStore *self, const BsKey *key, BsToken *token, GBytes **bytes, GError **error)
{
  gpointer value = NULL;
  gboolean called = bs_backing_store_call_now (self, BS_KIND_READ, key, token, NULL, NULL, &value, error);

  *bytes = value;
  return called;
}

gboolean
bs_backing_store_write_now (BsBackingStore *self, const BsKey *key, BsToken *token, BsContent *content, GError **error)
{
  gpointer unused;

  return bs_backing_store_call_now (self, BS_KIND_WRITE, key, token, NULL, content, &unused, error);
}

gboolean
bs_backing_store_persist_now (BsBackingStore *self, const BsKey *key, BsToken *token, BsTrackedPath *tracked, BsContent *content, GError **error)
{
  gpointer unused;

  return bs_backing_store_call_now (self, BS_KIND_PERSIST, key, token, tracked, content, &unused, error);
}

gboolean
bs_backing_store_register_now (BsBackingStore *self, BsTrackedPath *tracked, const BsKey *key, BsToken **token, GError **error)
{
  gpointer value = NULL;
  gboolean called = bs_backing_store_call_now (self, BS_KIND_REGISTER, key, NULL, tracked, NULL, &value, error);

  *token = value;
  return called;
}

void
bs_backing_store_start_read (BsBackingStore *self, BsToken *token, BsWaiter *waiter)
{
  if (!bs_backing_store_admit (self, waiter, BS_KIND_READ, &token->key, NULL))
    return;

  bs_key_queue_start (self, BS_KIND_READ, &token->key, token, NULL, NULL, waiter);
  bs_backing_store_admitted (self);
}

/* A read that waits for a write. */
typedef struct
{
  BsBackingStore *store;      /* owned */
  BsToken *token;        /* whoever reads holds a token */
  BsWaiter *waiter;           /* a reference; the read's */
  BsDeliverFunc written;
  gpointer data;              /* owned */
  GDestroyNotify data_free;
} WaitingRead;

/* The write still counts, so that a store that is being closed waits for both. */
static gpointer
waiting_read_deliver (gpointer data, gpointer value, GError **error)
{
  WaitingRead *self = data;

  self->written (self->data, value, error);
  if (*error == NULL)
    bs_key_queue_start (self->store, BS_KIND_READ, &self->token->key, self->token, NULL, NULL, self->waiter);
  else
    bs_waiter_answer (self->waiter, NULL, g_steal_pointer (error));

  return NULL;
}

static void
waiting_read_free (gpointer data)
{
  WaitingRead *self = data;

  self->data_free (self->data);
  bs_waiter_unref (self->waiter);
  g_object_unref (self->store);
  g_free (self);
}

void
bs_backing_store_start_write_and_read (BsBackingStore *self,
                                       BsToken    *token,
                                       BsContent      *content,
                                       BsDeliverFunc   written,
                                       gpointer        data,
                                       GDestroyNotify  data_free,
                                       BsWaiter       *waiter)
{
  GError *error = NULL;
  BsWaiter *writer;

  if (!bs_backing_store_admit (self, waiter, BS_KIND_READ, &token->key, NULL))
    {
      data_free (data);
      return;
    }

  /* The thread of a blocking call does both itself. */
  if (waiter->blocking)
    {
      writer = bs_waiter_new_blocking (self, waiter->cancellable, written, data, data_free, NULL);
    }
  else
    {
      WaitingRead *waiting = g_new (WaitingRead, 1);

      waiting->store = g_object_ref (self);
      waiting->token = token;
      waiting->waiter = bs_waiter_ref (waiter);
      waiting->written = written;
      waiting->data = data;
      waiting->data_free = data_free;
      writer = bs_waiter_new_background (self, waiter->priority, waiting_read_deliver, waiting, waiting_read_free);
      g_set_object (&writer->cancellable, waiter->cancellable);
    }
  bs_waiter_set_subject (writer, BS_KIND_WRITE, &token->key, NULL);
  bs_key_queue_start (self, BS_KIND_WRITE, &token->key, token, NULL, content, writer);

  if (!waiter->blocking)
    bs_waiter_unref (writer);
  else if (bs_waiter_wait (writer, &error))
    bs_key_queue_start (self, BS_KIND_READ, &token->key, token, NULL, NULL, waiter);
  else
    bs_waiter_answer (waiter, NULL, error);
  bs_backing_store_admitted (self);
}

void
bs_backing_store_start_write (BsBackingStore *self, BsToken *token, BsContent *content, BsWaiter *waiter)
{
  if (!bs_backing_store_admit (self, waiter, BS_KIND_WRITE, &token->key, NULL))
    return;

  bs_key_queue_start (self, BS_KIND_WRITE, &token->key, token, NULL, content, waiter);
  bs_backing_store_admitted (self);
}

void
bs_backing_store_start_persist (BsBackingStore *self, BsToken *token, BsTrackedPath *tracked, BsContent *content, BsWaiter *waiter)
{
  if (!bs_backing_store_admit (self, waiter, BS_KIND_PERSIST, &token->key, tracked))
    return;

  bs_key_queue_start (self, BS_KIND_PERSIST, &token->key, token, tracked, content, waiter);
  bs_backing_store_admitted (self);
}

void
bs_backing_store_start_register (BsBackingStore *self, BsTrackedPath *tracked, const BsKey *key, BsWaiter *waiter)
{
  if (!bs_backing_store_admit (self, waiter, BS_KIND_REGISTER, key, tracked))
    return;

  bs_key_queue_start (self, BS_KIND_REGISTER, key, NULL, tracked, NULL, waiter);
  bs_backing_store_admitted (self);
}

void
bs_backing_store_start_register_all (BsBackingStore *self, BsTrackedPath *tracked, BsWaiter *waiter)
{
  if (!bs_backing_store_admit (self, waiter, BS_KIND_REGISTER_ALL, NULL, tracked))
    return;

  bs_bulk_start_register_all (self, tracked, waiter);
  bs_backing_store_admitted (self);
}

static void
bs_backing_store_constructed (GObject *object)
{
  BsBackingStore *self = BS_BACKING_STORE (object);

  G_OBJECT_CLASS (bs_backing_store_parent_class)->constructed (object);

  if (self->main_context != NULL)
    {
      self->backing_executor = bs_executor_new_in_context (self->main_context);
      self->task_executor = bs_executor_ref (self->backing_executor);
      self->commit_executor = bs_executor_ref (self->backing_executor);
    }
  else
    {
      self->backing_executor = bs_executor_new (self->max_threads);
      self->task_executor = bs_executor_new (self->max_threads);
      /* One a path: what may wait for a save must not take its place. */
      self->commit_executor = bs_executor_new (G_MAXINT16);
    }
  self->notifier = bs_notifier_new ();
  self->tracker = bs_task_tracker_new (self, self->shards, self->backing_executor, self->notifier);
}

static void
bs_backing_store_finalize (GObject *object)
{
  BsBackingStore *self = BS_BACKING_STORE (object);

  g_assert (g_hash_table_size (self->paths) == 0);

  bs_executor_close (self->backing_executor);
  g_clear_pointer (&self->backing_executor, bs_executor_unref);
  g_clear_pointer (&self->task_executor, bs_executor_unref);
  g_clear_pointer (&self->commit_executor, bs_executor_unref);
  bs_task_tracker_forget_store (self->tracker);
  g_clear_object (&self->tracker);
  g_clear_pointer (&self->notifier, bs_notifier_unref);
  g_clear_pointer (&self->main_context, g_main_context_unref);
  for (guint i = 0; i < BS_N_SHARDS; i++)
    {
      bs_shard_clear (&self->shards[i]);
      g_mutex_clear (&self->shards[i].mutex);
    }
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
   * operations, 4 if nobody says otherwise. Application functions have as many
   * threads of their own.
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
   * Something that nobody waits for has failed: a delayed deletion, the write of
   * an item that was to leave memory, or, after a save has succeeded, the deletion
   * of what it does not name.
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
  self->max_threads = DEFAULT_MAX_THREADS;
  self->shards = g_aligned_alloc0 (BS_N_SHARDS, sizeof (BsShard), BS_CACHE_LINE);
  for (guint i = 0; i < BS_N_SHARDS; i++)
    g_mutex_init (&self->shards[i].mutex);
  g_mutex_init (&self->paths_mutex);
  g_mutex_init (&self->operations_mutex);
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
 * is how a backing, a codec or a function written in JavaScript is used.
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

  bs_executor_set_max_threads (self->backing_executor, max_threads);
  bs_executor_set_max_threads (self->task_executor, max_threads);
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
