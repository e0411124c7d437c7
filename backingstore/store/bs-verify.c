/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-verify.h"

#include "base/bs-key-set-private.h"
#include "store/operations/bs-ask-private.h"
#include "store/operations/bs-store-private.h"
#include "store/operations/bs-verify-operation-private.h"

/**
 * BsVerify:
 *
 * Checks every blob of a tracked path.
 *
 * A run asks the backing to look at each blob whole
 * ([method@Backing.verify_persisted]). The key of a blob that is bad, or that
 * another program has removed, is taken out of the tracked path and listed in
 * [method@Verify.dup_bad_keys]. The backing sets bad blobs aside:
 * [class@FileBacking] moves them to a folder of quarantine.
 *
 * The checks go on beside everything else: each takes its turn among the
 * operations on its key, as many at a time as the store has threads, and holds
 * up no other key. Keys that are deleted meanwhile are passed over; keys that
 * are persisted meanwhile may be checked or not. A [method@BackingStore.sync]
 * that is asked meanwhile covers the checks under way and does not wait for the
 * rest. [method@BackingStore.untrack_path] and [method@BackingStore.close] wait
 * for the run, so cancel it first. A bad key that a running [class@Save] names
 * is taken out as well: the save puts its blob there again, or fails, unless it
 * is past its step to the new document.
 *
 * A verification may be used from any thread, and run again when a run is over.
 * Its properties tell how far a run has come, and the findings of the last one;
 * they notify in the context that was the thread's default where the store was
 * made, once for many changes, and for the last time before the callback of a
 * [method@Verify.run_async] that was called in that context. So a progress bar can
 * be bound to [property@Verify:fraction].
 */

struct _BsVerify
{
  GObject parent_instance;

  /* constant after construction */
  BsBackingStore *store;  /* owned */
  BsTrackedPath *tracked; /* owned */

  BsProgress progress;
  int n_bad_pending; /* atomic: a notification is under way */

  GMutex mutex;

  /* under the mutex */
  gboolean running;
  BsKeyTable bad;
};

typedef enum
{
  PROP_STORE = 1,
  PROP_TRACKED,
  PROP_N_TOTAL,
  PROP_N_DONE,
  PROP_FRACTION,
  PROP_N_BAD,
} BsVerifyProperty;

static GParamSpec *properties[PROP_N_BAD + 1];

G_DEFINE_FINAL_TYPE (BsVerify, bs_verify, G_TYPE_OBJECT)

static void
notify_n_bad (BsVerify *self)
{
  bs_notifier_notify (self->store->notifier, G_OBJECT (self), properties[PROP_N_BAD],
                      &self->n_bad_pending);
}

static void
bs_verify_finalize (GObject *object)
{
  BsVerify *self = BS_VERIFY (object);

  bs_progress_clear (&self->progress);
  bs_key_table_clear (&self->bad);
  g_mutex_clear (&self->mutex);
  g_clear_object (&self->tracked);
  g_clear_object (&self->store);

  G_OBJECT_CLASS (bs_verify_parent_class)->finalize (object);
}

static void
bs_verify_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  BsVerify *self = BS_VERIFY (object);

  switch ((BsVerifyProperty) id)
    {
    case PROP_STORE:
      g_value_set_object (value, self->store);
      break;
    case PROP_TRACKED:
      g_value_set_object (value, self->tracked);
      break;
    case PROP_N_TOTAL:
      g_value_set_uint64 (value, bs_verify_get_n_total (self));
      break;
    case PROP_N_DONE:
      g_value_set_uint64 (value, bs_verify_get_n_done (self));
      break;
    case PROP_FRACTION:
      g_value_set_double (value, bs_verify_get_fraction (self));
      break;
    case PROP_N_BAD:
      g_value_set_uint64 (value, bs_verify_get_n_bad (self));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
bs_verify_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  BsVerify *self = BS_VERIFY (object);

  switch ((BsVerifyProperty) id)
    {
    case PROP_STORE:
      self->store = g_value_dup_object (value);
      bs_progress_init (&self->progress, self->store != NULL ? self->store->notifier : NULL, object,
                        &properties[PROP_N_TOTAL]);
      break;
    case PROP_TRACKED:
      self->tracked = g_value_dup_object (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
bs_verify_class_init (BsVerifyClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  const GParamFlags readable = G_PARAM_READABLE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS;
  const GParamFlags constant =
    G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS;

  object_class->finalize = bs_verify_finalize;
  object_class->get_property = bs_verify_get_property;
  object_class->set_property = bs_verify_set_property;

  /**
   * BsVerify:store: (getter get_store)
   *
   * The store that does the work.
   */
  properties[PROP_STORE] =
    g_param_spec_object ("store", NULL, NULL, BS_TYPE_BACKING_STORE, constant);

  /**
   * BsVerify:tracked: (getter get_tracked)
   *
   * The tracked path whose blobs are checked.
   */
  properties[PROP_TRACKED] =
    g_param_spec_object ("tracked", NULL, NULL, BS_TYPE_TRACKED_PATH, constant);

  /**
   * BsVerify:n-total: (getter get_n_total)
   *
   * How many blobs there are to check. While a run goes on the number is
   * corrected for keys that come and go.
   *
   * Notifies in the context that was the thread's default where the store was
   * made, once for many changes.
   */
  properties[PROP_N_TOTAL] =
    g_param_spec_uint64 ("n-total", NULL, NULL, 0, G_MAXUINT64, 0, readable);

  /**
   * BsVerify:n-done: (getter get_n_done)
   *
   * How many of them are done with: good, bad, or impossible to check.
   *
   * Notifies in the context that was the thread's default where the store was
   * made, once for many changes.
   */
  properties[PROP_N_DONE] = g_param_spec_uint64 ("n-done", NULL, NULL, 0, G_MAXUINT64, 0, readable);

  /**
   * BsVerify:fraction: (getter get_fraction)
   *
   * How much of the run is done, from 0 to 1.
   *
   * Notifies in the context that was the thread's default where the store was
   * made, once for many changes.
   */
  properties[PROP_FRACTION] = g_param_spec_double ("fraction", NULL, NULL, 0.0, 1.0, 0.0, readable);

  /**
   * BsVerify:n-bad: (getter get_n_bad)
   *
   * How many blobs were found to be bad or missing.
   *
   * Notifies in the context that was the thread's default where the store was
   * made, once for many changes.
   */
  properties[PROP_N_BAD] = g_param_spec_uint64 ("n-bad", NULL, NULL, 0, G_MAXUINT64, 0, readable);

  g_object_class_install_properties (object_class, G_N_ELEMENTS (properties), properties);
}

static void
bs_verify_init (BsVerify *self)
{
  g_mutex_init (&self->mutex);
  bs_key_table_init (&self->bad, 0);
}

/**
 * bs_verify_new:
 * @store: a store
 * @tracked: a tracked path of this store
 *
 * Prepares to check every blob of a tracked path. Nothing is done before it is
 * run.
 *
 * Returns: (transfer full): a new verification
 */
BsVerify *
bs_verify_new (BsBackingStore *store, BsTrackedPath *tracked)
{
  g_return_val_if_fail (BS_IS_BACKING_STORE (store), NULL);
  g_return_val_if_fail (BS_IS_TRACKED_PATH (tracked), NULL);

  return g_object_new (BS_TYPE_VERIFY, "store", store, "tracked", tracked, NULL);
}

/**
 * bs_verify_get_store: (get-property store)
 * @self: a verification
 *
 * Gets the store that does the work.
 *
 * Returns: (transfer none): the store
 */
BsBackingStore *
bs_verify_get_store (BsVerify *self)
{
  g_return_val_if_fail (BS_IS_VERIFY (self), NULL);

  return self->store;
}

/**
 * bs_verify_get_tracked: (get-property tracked)
 * @self: a verification
 *
 * Gets the tracked path whose blobs are checked.
 *
 * Returns: (transfer none): the tracked path
 */
BsTrackedPath *
bs_verify_get_tracked (BsVerify *self)
{
  g_return_val_if_fail (BS_IS_VERIFY (self), NULL);

  return self->tracked;
}

static void
run_begun (gpointer data)
{
  BsVerify *self = data;
  gboolean had_bad;

  g_mutex_lock (&self->mutex);
  had_bad = bs_key_table_peek_n_keys (&self->bad) > 0;
  bs_key_table_clear (&self->bad);
  g_mutex_unlock (&self->mutex);

  bs_progress_begin (&self->progress, 0);
  if (had_bad)
    notify_n_bad (self);
}

static void
run_found_bad (gpointer data, const BsKey *key)
{
  BsVerify *self = data;

  g_mutex_lock (&self->mutex);
  bs_key_table_add (&self->bad, key, bs_key_hash (key));
  g_mutex_unlock (&self->mutex);

  notify_n_bad (self);
}

static void
run_ended (gpointer data)
{
  BsVerify *self = data;

  g_mutex_lock (&self->mutex);
  self->running = FALSE;
  g_mutex_unlock (&self->mutex);
}

/* FALSE where the object runs already. */
static gboolean
begin (BsVerify *self, BsVerifyRun *run)
{
  gboolean idle;

  g_mutex_lock (&self->mutex);
  idle = !self->running;
  self->running = TRUE;
  g_mutex_unlock (&self->mutex);
  if (!idle)
    return FALSE;

  *run = (BsVerifyRun){
    .data = g_object_ref (self),
    .free = g_object_unref,
    .progress = &self->progress,
    .begun = run_begun,
    .found_bad = run_found_bad,
    .ended = run_ended,
  };
  return TRUE;
}

static GError *
busy_error (BsVerify *self)
{
  return bs_operation_error (BS_KIND_VERIFY_PATH, NULL, bs_tracked_path_peek_file (self->tracked),
                             BS_ERROR, BS_ERROR_BUSY, "this verification is running");
}

/**
 * bs_verify_run:
 * @self: a verification
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Checks every blob of the tracked path, from the beginning.
 *
 * A bad blob is no error: look at [property@Verify:n-bad]. Where a blob can't
 * be checked the run goes on with the others and fails in the end, with the
 * code of the first such error and a message that says how many there were. A
 * backing that does not implement [vfunc@Backing.verify_persisted] has nothing
 * to check, and this succeeds.
 *
 * Fails with %BS_ERROR_BUSY while this object runs, %BS_ERROR_CLOSED if the
 * store or the path is closed, %G_IO_ERROR_INVALID_ARGUMENT if the path belongs
 * to another store, %G_IO_ERROR_WOULD_BLOCK inside a function of the store's
 * backing, %G_IO_ERROR_CANCELLED if not everything was checked for that reason,
 * and with the backing's errors but %BS_ERROR_CORRUPT and
 * %BS_ERROR_NOT_FOUND. The bad keys found so far stay listed.
 *
 * Blocks; see [method@Verify.run_async] for the asynchronous call. The checks run
 * in the store's threads, or in its main context, with the default priority.
 *
 * Returns: %TRUE if every blob was checked, %FALSE with @error set
 */
gboolean
bs_verify_run (BsVerify *self, GCancellable *cancellable, GError **error)
{
  BsRequest request = { .kind = BS_KIND_VERIFY_PATH };
  BsVerifyRun run;

  g_return_val_if_fail (BS_IS_VERIFY (self), FALSE);
  g_return_val_if_fail (self->store != NULL && self->tracked != NULL, FALSE);

  request.tracked = self->tracked;
  request.run = &run;
  if (!begin (self, &run))
    {
      g_propagate_error (error, busy_error (self));
      return FALSE;
    }

  return GPOINTER_TO_INT (bs_ask_blocking (self->store, &request, NULL, cancellable, error));
}

/**
 * bs_verify_run_async:
 * @self: a verification
 * @io_priority: the I/O priority of the checks
 * @cancellable: (nullable): a #GCancellable
 * @callback: (scope async) (closure user_data): called when it is done
 * @user_data: data for @callback
 *
 * Asynchronous [method@Verify.run]. %G_PRIORITY_LOW lets everything else go
 * first.
 */
void
bs_verify_run_async (BsVerify *self,
                     int io_priority,
                     GCancellable *cancellable,
                     GAsyncReadyCallback callback,
                     gpointer user_data)
{
  BsDelivery delivery = { .progress = &self->progress };
  BsRequest request = { .kind = BS_KIND_VERIFY_PATH };
  BsVerifyRun run;
  GTask *task;

  g_return_if_fail (BS_IS_VERIFY (self));
  g_return_if_fail (self->store != NULL && self->tracked != NULL);

  task = bs_task_new (self, cancellable, callback, user_data, bs_verify_run_async,
                      "[backingstore] verify", io_priority);
  request.tracked = self->tracked;
  request.run = &run;
  if (begin (self, &run))
    bs_ask_async (self->store, &request, &delivery, task);
  else
    bs_answer_async (task, NULL, NULL, busy_error (self));
}

/**
 * bs_verify_run_finish:
 * @self: a verification
 * @result: the result that the callback was given
 * @error: return location for a #GError
 *
 * Finishes [method@Verify.run_async].
 *
 * Returns: %TRUE if every blob was checked, %FALSE with @error set
 */
gboolean
bs_verify_run_finish (BsVerify *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  g_return_val_if_fail (g_async_result_is_tagged (result, bs_verify_run_async), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

/**
 * bs_verify_get_n_total: (get-property n-total)
 * @self: a verification
 *
 * Gets how many blobs there are to check.
 *
 * Returns: the number of blobs, 0 before the first run
 */
guint64
bs_verify_get_n_total (BsVerify *self)
{
  g_return_val_if_fail (BS_IS_VERIFY (self), 0);

  return bs_progress_get_n_total (&self->progress);
}

/**
 * bs_verify_get_n_done: (get-property n-done)
 * @self: a verification
 *
 * Gets how many blobs are done with: good, bad, or impossible to check.
 *
 * Returns: the number of blobs
 */
guint64
bs_verify_get_n_done (BsVerify *self)
{
  g_return_val_if_fail (BS_IS_VERIFY (self), 0);

  return bs_progress_get_n_done (&self->progress);
}

/**
 * bs_verify_get_fraction: (get-property fraction)
 * @self: a verification
 *
 * Gets how much of the run is done.
 *
 * Returns: a number from 0 to 1
 */
double
bs_verify_get_fraction (BsVerify *self)
{
  g_return_val_if_fail (BS_IS_VERIFY (self), 0.0);

  return bs_progress_get_fraction (&self->progress);
}

/**
 * bs_verify_get_n_bad: (get-property n-bad)
 * @self: a verification
 *
 * Gets how many blobs were found to be bad or missing.
 *
 * Returns: the number of blobs
 */
guint64
bs_verify_get_n_bad (BsVerify *self)
{
  guint64 n_bad;

  g_return_val_if_fail (BS_IS_VERIFY (self), 0);

  g_mutex_lock (&self->mutex);
  n_bad = self->bad.n_keys;
  g_mutex_unlock (&self->mutex);

  return n_bad;
}

/**
 * bs_verify_dup_bad_keys:
 * @self: a verification
 *
 * Gets the keys whose blobs the current run, or else the last one, has found to
 * be bad or missing so far. They are no longer in the tracked path.
 *
 * Returns: (transfer full): a set of the caller's own
 */
BsKeySet *
bs_verify_dup_bad_keys (BsVerify *self)
{
  BsKeySet *keys;

  g_return_val_if_fail (BS_IS_VERIFY (self), NULL);

  keys = bs_key_set_new ();
  g_mutex_lock (&self->mutex);
  bs_key_table_copy (&self->bad, bs_key_set_get_table (keys));
  g_mutex_unlock (&self->mutex);

  return keys;
}
