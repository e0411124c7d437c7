/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

#include "bs-fault-backing.h"

#include <glib/gi18n-lib.h>

#include "base/bs-backing-private.h"
#include "base/bs-error.h"
#include "base/bs-key-backing-private.h"
#include "base/bs-key-set-private.h"
#include "bs-memory-backing.h"

/**
 * BsFaultBacking:
 *
 * A backing that wraps another one, and fails, delays or stops chosen calls.
 *
 * A test shows with a fault backing how an application behaves when the disk is full, when
 * storage is slow, or when calls come in a rare order:
 *
 * ```c
 * g_autoptr(GError) full = g_error_new_literal (G_IO_ERROR, G_IO_ERROR_NO_SPACE, "the disk is full");
 *
 * bs_fault_backing_fail (fault, BS_OPERATION_PERSIST, NULL, 3, full);
 * ```
 *
 * makes the third persist from now on fail, without asking the backing inside.
 *
 * A call that arrives is counted and meets the rules and the gate that stand at
 * that moment. It waits while the gate is closed, then as long as it is to be
 * delayed, then it fails or goes on to the backing inside. Cancelling it ends
 * the waits with %G_IO_ERROR_CANCELLED.
 *
 * A rule with a key concerns calls for that key, bulk calls whose set has it
 * included; one without concerns every call of the operation.
 *
 * A call of [method@Backing.persist_bytes] arrives as one of [method@Backing.write] and
 * then as one of [method@Backing.persist], so that rules for these hold for it as well;
 * before that as itself, where the backing inside implements it.
 *
 * A call of [method@Backing.persist_keys] arrives as itself, where the backing inside
 * implements it. While a rule or a gate stands for `write`, `persist` or `persist_bytes`, it
 * fails with %BS_ERROR_NOT_SUPPORTED: the store then makes these calls, which meet them.
 *
 * A fault backing is safe to use from any thread. No lock is held while a call waits or is
 * in the backing inside.
 */

#define N_OPERATIONS (BS_OPERATION_WRITE_FILE + 1)

typedef struct
{
  BsOperation operation;
  gboolean has_key; /* else every key matches */
  BsKey key;
  GError *error;   /* NULL in a delay */
  gboolean always; /* fail every call, else the one when n_left gets to 0 */
  guint n_left;
  guint milliseconds;
} Rule;

typedef struct
{
  GMutex mutex;
  GCond cond;

  /* under the mutex */
  GPtrArray *rules; /* of Rule, in the order of asking */
  guint counts[N_OPERATIONS];
  gboolean held[N_OPERATIONS];
  /* How often a gate was opened: a call waits for the next time, even if the
   * gate is closed again before it has noticed. */
  guint n_releases[N_OPERATIONS];
  guint n_clears;
} Faults;

struct _BsFaultBacking
{
  GObject parent_instance;

  BsBacking *inner; /* constant after construction */
  Faults faults;
};

enum
{
  PROP_INNER = 1,
  N_PROPS
};

static GParamSpec *properties[N_PROPS];

static void bs_fault_backing_iface_init (BsBackingInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (BsFaultBacking,
                               bs_fault_backing,
                               G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (BS_TYPE_BACKING, bs_fault_backing_iface_init))

static void
rule_free (Rule *rule)
{
  g_clear_error (&rule->error);
  g_free (rule);
}

/* One call that waits. */
typedef struct
{
  Faults *faults;
  gboolean cancelled; /* under the mutex */
} Wait;

/* Called in the thread that cancels. */
static void
wait_cancelled (GCancellable *cancellable, gpointer user_data)
{
  Wait *wait = user_data;

  g_mutex_lock (&wait->faults->mutex);
  wait->cancelled = TRUE;
  g_cond_broadcast (&wait->faults->cond);
  g_mutex_unlock (&wait->faults->mutex);
}

static gboolean
rule_matches (const Rule *rule, BsOperation operation, const BsKey *key, BsKeySet *keys)
{
  if (rule->operation != operation)
    return FALSE;
  if (!rule->has_key)
    return TRUE;
  if (keys != NULL)
    return bs_key_table_contains (bs_key_set_get_table (keys), &rule->key,
                                  bs_key_hash (&rule->key));

  return key != NULL && bs_key_equal (&rule->key, key);
}

/* Every rule that matches counts the call; spent rules go. Called with the mutex
 * held. */
static void
apply_rules (Faults *faults,
             BsOperation operation,
             const BsKey *key,
             BsKeySet *keys,
             guint *milliseconds,
             GError **failure)
{
  guint i = 0;

  while (i < faults->rules->len)
    {
      Rule *rule = faults->rules->pdata[i];
      gboolean fails = FALSE;

      if (rule_matches (rule, operation, key, keys))
        {
          *milliseconds = MAX (*milliseconds, rule->milliseconds);
          fails = rule->error != NULL && (rule->always || --rule->n_left == 0);
        }

      if (fails && *failure == NULL)
        *failure = g_error_copy (rule->error);
      if (fails && !rule->always)
        g_ptr_array_remove_index (faults->rules, i);
      else
        i++;
    }
}

/* Waits until the gate opens, then for the delay. FALSE if the call was cancelled. */
static gboolean
wait_turn (Faults *faults,
           BsOperation operation,
           gboolean held,
           guint n_releases,
           guint n_clears,
           guint milliseconds,
           GCancellable *cancellable)
{
  Wait wait = { faults, FALSE };
  gulong handler = 0;
  gint64 end;

  /* g_cancellable_connect() may call back at once, and g_cancellable_disconnect() waits for a
   * callback in another thread: no lock may be held. */
  if (cancellable != NULL)
    handler = g_cancellable_connect (cancellable, G_CALLBACK (wait_cancelled), &wait, NULL);

  g_mutex_lock (&faults->mutex);
  while (held && !wait.cancelled && faults->n_releases[operation] == n_releases)
    g_cond_wait (&faults->cond, &faults->mutex);

  end = g_get_monotonic_time () + (gint64) milliseconds * G_TIME_SPAN_MILLISECOND;
  while (milliseconds > 0 && !wait.cancelled && faults->n_clears == n_clears &&
         g_cond_wait_until (&faults->cond, &faults->mutex, end))
    ;
  g_mutex_unlock (&faults->mutex);

  if (cancellable != NULL)
    g_cancellable_disconnect (cancellable, handler);

  return !wait.cancelled;
}

/* Whether the call may go on to the backing inside. */
static gboolean
arrive (BsBacking *backing,
        BsOperation operation,
        const BsKey *key,
        BsKeySet *keys,
        GCancellable *cancellable,
        GError **error)
{
  Faults *faults = &BS_FAULT_BACKING (backing)->faults;
  g_autoptr (GError) failure = NULL;
  guint milliseconds = 0;
  guint n_releases;
  guint n_clears;
  gboolean held;

  g_mutex_lock (&faults->mutex);
  faults->counts[operation]++;
  held = faults->held[operation];
  n_releases = faults->n_releases[operation];
  n_clears = faults->n_clears;
  apply_rules (faults, operation, key, keys, &milliseconds, &failure);
  g_mutex_unlock (&faults->mutex);

  if ((held || milliseconds > 0) &&
      !wait_turn (faults, operation, held, n_releases, n_clears, milliseconds, cancellable))
    {
      g_cancellable_set_error_if_cancelled (cancellable, error);
      return FALSE;
    }

  if (failure != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&failure));
      return FALSE;
    }

  return TRUE;
}

static BsBacking *
get_inner (BsBacking *backing)
{
  return BS_FAULT_BACKING (backing)->inner;
}

static gboolean
bs_fault_backing_write (BsBacking *backing,
                        const BsKey *key,
                        GBytes *bytes,
                        GCancellable *cancellable,
                        GError **error)
{
  return arrive (backing, BS_OPERATION_WRITE, key, NULL, cancellable, error) &&
         bs_backing_invoke_write (get_inner (backing), key, bytes, cancellable, error);
}

static GBytes *
bs_fault_backing_read (BsBacking *backing,
                       const BsKey *key,
                       GCancellable *cancellable,
                       GError **error)
{
  if (!arrive (backing, BS_OPERATION_READ, key, NULL, cancellable, error))
    return NULL;

  return bs_backing_invoke_read (get_inner (backing), key, cancellable, error);
}

static gboolean
bs_fault_backing_delete_key (BsBacking *backing,
                             const BsKey *key,
                             GCancellable *cancellable,
                             GError **error)
{
  return arrive (backing, BS_OPERATION_DELETE_KEY, key, NULL, cancellable, error) &&
         bs_backing_invoke_delete_key (get_inner (backing), key, cancellable, error);
}

static gboolean
bs_fault_backing_register_key (BsBacking *backing,
                               GFile *path,
                               const BsKey *key,
                               GCancellable *cancellable,
                               GError **error)
{
  return arrive (backing, BS_OPERATION_REGISTER_KEY, key, NULL, cancellable, error) &&
         bs_backing_invoke_register_key (get_inner (backing), path, key, cancellable, error);
}

static gboolean
bs_fault_backing_register_keys (BsBacking *backing,
                                GFile *path,
                                BsKeySet *keys,
                                GCancellable *cancellable,
                                GError **error)
{
  return arrive (backing, BS_OPERATION_REGISTER_KEYS, NULL, keys, cancellable, error) &&
         bs_backing_register_keys (get_inner (backing), path, keys, cancellable, error);
}

static gboolean
bs_fault_backing_persist (BsBacking *backing,
                          GFile *path,
                          const BsKey *key,
                          GCancellable *cancellable,
                          GError **error)
{
  return arrive (backing, BS_OPERATION_PERSIST, key, NULL, cancellable, error) &&
         bs_backing_invoke_persist (get_inner (backing), path, key, cancellable, error);
}

static gboolean
bs_fault_backing_persist_bytes (BsBacking *backing,
                                GFile *path,
                                const BsKey *key,
                                GBytes *bytes,
                                GCancellable *cancellable,
                                GError **error)
{
  return arrive (backing, BS_OPERATION_PERSIST_BYTES, key, NULL, cancellable, error) &&
         arrive (backing, BS_OPERATION_WRITE, key, NULL, cancellable, error) &&
         arrive (backing, BS_OPERATION_PERSIST, key, NULL, cancellable, error) &&
         bs_backing_invoke_persist_bytes (get_inner (backing), path, key, bytes, cancellable,
                                          error);
}

static gboolean
is_single_persist (BsOperation operation)
{
  return operation == BS_OPERATION_WRITE || operation == BS_OPERATION_PERSIST ||
         operation == BS_OPERATION_PERSIST_BYTES;
}

/* Whether the calls for single keys, which one for many stands for, would meet something. */
static gboolean
awaits_single_persists (Faults *faults)
{
  gboolean awaits = FALSE;

  g_mutex_lock (&faults->mutex);
  for (guint i = 0; i < faults->rules->len; i++)
    awaits |= is_single_persist (((Rule *) faults->rules->pdata[i])->operation);
  for (guint i = 0; i < N_OPERATIONS; i++)
    awaits |= faults->held[i] && is_single_persist (i);
  g_mutex_unlock (&faults->mutex);

  return awaits;
}

static gboolean
bs_fault_backing_persist_keys (BsBacking *backing,
                               GFile *path,
                               BsKeySet *keys,
                               GHashTable *contents,
                               GCancellable *cancellable,
                               GError **error)
{
  if (!arrive (backing, BS_OPERATION_PERSIST_KEYS, NULL, keys, cancellable, error))
    return FALSE;
  if (awaits_single_persists (&BS_FAULT_BACKING (backing)->faults))
    {
      g_set_error_literal (error, BS_ERROR, BS_ERROR_NOT_SUPPORTED,
                           _ ("a fault concerns the calls for single keys"));
      return FALSE;
    }

  return bs_backing_invoke_persist_keys (get_inner (backing), path, keys, contents, cancellable,
                                         error);
}

static gboolean
bs_fault_backing_delete_persisted (BsBacking *backing,
                                   GFile *path,
                                   const BsKey *key,
                                   GCancellable *cancellable,
                                   GError **error)
{
  return arrive (backing, BS_OPERATION_DELETE_PERSISTED, key, NULL, cancellable, error) &&
         bs_backing_invoke_delete_persisted (get_inner (backing), path, key, cancellable, error);
}

static gboolean
bs_fault_backing_delete_persisted_keys (BsBacking *backing,
                                        GFile *path,
                                        BsKeySet *keys,
                                        GCancellable *cancellable,
                                        GError **error)
{
  return arrive (backing, BS_OPERATION_DELETE_PERSISTED_KEYS, NULL, keys, cancellable, error) &&
         bs_backing_delete_persisted_keys (get_inner (backing), path, keys, cancellable, error);
}

static gboolean
bs_fault_backing_sanitize_path (BsBacking *backing,
                                GFile *path,
                                BsKeySet *found,
                                GCancellable *cancellable,
                                GError **error)
{
  return arrive (backing, BS_OPERATION_SANITIZE_PATH, NULL, NULL, cancellable, error) &&
         bs_backing_sanitize_path (get_inner (backing), path, found, cancellable, error);
}

static gboolean
bs_fault_backing_sync_persisted (BsBacking *backing,
                                 GFile *path,
                                 GCancellable *cancellable,
                                 GError **error)
{
  return arrive (backing, BS_OPERATION_SYNC_PERSISTED, NULL, NULL, cancellable, error) &&
         bs_backing_sync_persisted (get_inner (backing), path, cancellable, error);
}

static gboolean
bs_fault_backing_write_root (BsBacking *backing,
                             GFile *path,
                             GBytes *bytes,
                             BsKeySet *named,
                             GCancellable *cancellable,
                             GError **error)
{
  return arrive (backing, BS_OPERATION_WRITE_ROOT, NULL, NULL, cancellable, error) &&
         bs_backing_write_root (get_inner (backing), path, bytes, named, cancellable, error);
}

static GBytes *
bs_fault_backing_read_root (BsBacking *backing,
                            GFile *path,
                            GCancellable *cancellable,
                            GError **error)
{
  if (!arrive (backing, BS_OPERATION_READ_ROOT, NULL, NULL, cancellable, error))
    return NULL;

  return bs_backing_read_root (get_inner (backing), path, cancellable, error);
}

static gboolean
bs_fault_backing_verify_persisted (BsBacking *backing,
                                   GFile *path,
                                   const BsKey *key,
                                   GCancellable *cancellable,
                                   GError **error)
{
  return arrive (backing, BS_OPERATION_VERIFY_PERSISTED, key, NULL, cancellable, error) &&
         bs_backing_invoke_verify_persisted (get_inner (backing), path, key, cancellable, error);
}

static GFile *
bs_fault_backing_open_path (BsBacking *backing,
                            GFile *file,
                            gboolean *writable,
                            GCancellable *cancellable,
                            GError **error)
{
  return bs_backing_invoke_open_path (get_inner (backing), file, writable, cancellable, error);
}

static gboolean
bs_fault_backing_check_path (BsBacking *backing,
                             GFile *path,
                             GCancellable *cancellable,
                             GError **error)
{
  return bs_backing_invoke_check_path (get_inner (backing), path, cancellable, error);
}

static gboolean
bs_fault_backing_find_missing (BsBacking *backing,
                               GFile *path,
                               BsExpectFunc expect,
                               gpointer expect_data,
                               BsKeyTable *missing,
                               GCancellable *cancellable,
                               GError **error)
{
  return bs_backing_invoke_find_missing (get_inner (backing), path, expect, expect_data, missing,
                                         cancellable, error);
}

static gboolean
bs_fault_backing_release_path (BsBacking *backing,
                               GFile *path,
                               GCancellable *cancellable,
                               GError **error)
{
  return arrive (backing, BS_OPERATION_RELEASE_PATH, NULL, NULL, cancellable, error) &&
         bs_backing_release_path (get_inner (backing), path, cancellable, error);
}

static gboolean
bs_fault_backing_close (BsBacking *backing, GCancellable *cancellable, GError **error)
{
  return arrive (backing, BS_OPERATION_CLOSE, NULL, NULL, cancellable, error) &&
         bs_backing_close (get_inner (backing), cancellable, error);
}

static GInputStream *
bs_fault_backing_read_stream (BsBacking *backing,
                              const BsKey *key,
                              GCancellable *cancellable,
                              GError **error)
{
  if (!arrive (backing, BS_OPERATION_READ_STREAM, key, NULL, cancellable, error))
    return NULL;

  return bs_backing_invoke_read_stream (get_inner (backing), key, cancellable, error);
}

static gboolean
bs_fault_backing_write_stream (BsBacking *backing,
                               const BsKey *key,
                               GInputStream *stream,
                               gint64 size,
                               GCancellable *cancellable,
                               GError **error)
{
  return arrive (backing, BS_OPERATION_WRITE_STREAM, key, NULL, cancellable, error) &&
         bs_backing_invoke_write_stream (get_inner (backing), key, stream, size, cancellable,
                                         error);
}

static gboolean
bs_fault_backing_write_file (BsBacking *backing,
                             const BsKey *key,
                             GFile *file,
                             GCancellable *cancellable,
                             GError **error)
{
  return arrive (backing, BS_OPERATION_WRITE_FILE, key, NULL, cancellable, error) &&
         bs_backing_invoke_write_file (get_inner (backing), key, file, cancellable, error);
}

static void
bs_fault_backing_get_property (GObject *object, guint prop_id, GValue *value, GParamSpec *pspec)
{
  BsFaultBacking *self = BS_FAULT_BACKING (object);

  switch (prop_id)
    {
    case PROP_INNER:
      g_value_set_object (value, self->inner);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
bs_fault_backing_set_property (GObject *object,
                               guint prop_id,
                               const GValue *value,
                               GParamSpec *pspec)
{
  BsFaultBacking *self = BS_FAULT_BACKING (object);

  switch (prop_id)
    {
    case PROP_INNER:
      /* Bindings may make an object without a backing inside. */
      self->inner = g_value_get_object (value) != NULL ? g_value_dup_object (value)
                                                       : BS_BACKING (bs_memory_backing_new ());
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
bs_fault_backing_finalize (GObject *object)
{
  BsFaultBacking *self = BS_FAULT_BACKING (object);

  g_clear_object (&self->inner);
  g_ptr_array_unref (self->faults.rules);
  g_cond_clear (&self->faults.cond);
  g_mutex_clear (&self->faults.mutex);

  G_OBJECT_CLASS (bs_fault_backing_parent_class)->finalize (object);
}

static void
bs_fault_backing_class_init (BsFaultBackingClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->finalize = bs_fault_backing_finalize;
  object_class->get_property = bs_fault_backing_get_property;
  object_class->set_property = bs_fault_backing_set_property;

  /**
   * BsFaultBacking:inner: (getter get_inner)
   *
   * The backing inside, a new [class@MemoryBacking] if none is given. It never changes.
   */
  properties[PROP_INNER] = g_param_spec_object ("inner", NULL, NULL, BS_TYPE_BACKING,
                                                G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY |
                                                  G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static void
bs_fault_backing_iface_init (BsBackingInterface *iface)
{
  static const BsKeyBackingFuncs funcs = {
    .write = bs_fault_backing_write,
    .read = bs_fault_backing_read,
    .delete_key = bs_fault_backing_delete_key,
    .register_key = bs_fault_backing_register_key,
    .persist = bs_fault_backing_persist,
    .delete_persisted = bs_fault_backing_delete_persisted,
    .persist_bytes = bs_fault_backing_persist_bytes,
    .verify_persisted = bs_fault_backing_verify_persisted,
    .open_path = bs_fault_backing_open_path,
    .check_path = bs_fault_backing_check_path,
    .find_missing = bs_fault_backing_find_missing,
    .peek_inner = get_inner,
    .read_stream = bs_fault_backing_read_stream,
    .write_stream = bs_fault_backing_write_stream,
    .write_file = bs_fault_backing_write_file,
  };

  bs_key_backing_init_interface (iface, &funcs);
  iface->register_keys = bs_fault_backing_register_keys;
  iface->delete_persisted_keys = bs_fault_backing_delete_persisted_keys;
  iface->persist_keys = bs_fault_backing_persist_keys;
  iface->sanitize_path = bs_fault_backing_sanitize_path;
  iface->sync_persisted = bs_fault_backing_sync_persisted;
  iface->write_root = bs_fault_backing_write_root;
  iface->read_root = bs_fault_backing_read_root;
  iface->release_path = bs_fault_backing_release_path;
  iface->close = bs_fault_backing_close;
}

static void
bs_fault_backing_init (BsFaultBacking *self)
{
  g_mutex_init (&self->faults.mutex);
  g_cond_init (&self->faults.cond);
  self->faults.rules = g_ptr_array_new_with_free_func ((GDestroyNotify) rule_free);
}

/**
 * bs_fault_backing_new:
 * @inner: the backing to wrap
 *
 * Wraps a backing. Without rules and with all gates open every call goes
 * straight through.
 *
 * Returns: (transfer full): a new backing
 */
BsFaultBacking *
bs_fault_backing_new (BsBacking *inner)
{
  g_return_val_if_fail (BS_IS_BACKING (inner), NULL);

  return g_object_new (BS_TYPE_FAULT_BACKING, "inner", inner, NULL);
}

/**
 * bs_fault_backing_get_inner:
 * @self: a fault backing
 *
 * Gets the backing inside.
 *
 * Returns: (transfer none): the backing that was wrapped
 */
BsBacking *
bs_fault_backing_get_inner (BsFaultBacking *self)
{
  g_return_val_if_fail (BS_IS_FAULT_BACKING (self), NULL);

  return self->inner;
}

static Rule *
rule_new (BsOperation operation, const char *key)
{
  Rule *rule = g_new0 (Rule, 1);

  rule->operation = operation;
  rule->has_key = bs_key_parse (key, &rule->key);

  return rule;
}

/* Takes the rule over. */
static void
add_rule (BsFaultBacking *self, Rule *rule)
{
  g_mutex_lock (&self->faults.mutex);
  g_ptr_array_add (self->faults.rules, rule);
  g_mutex_unlock (&self->faults.mutex);
}

/**
 * bs_fault_backing_fail:
 * @self: a fault backing
 * @operation: the operation that is to fail
 * @key: (nullable): the key that it is to fail for, or %NULL for all
 * @nth: which of the calls from now on: 1 is the next one; 0 is every one
 * @error: the error of the call
 *
 * Makes a call fail instead of going on to the backing inside.
 *
 * The call fails with a copy of `error`, before whose message the operation, the key
 * and the path are put as always. Any number of rules may stand at a time, and
 * each counts for itself; if several fail one call, the error is that of the oldest.
 */
void
bs_fault_backing_fail (BsFaultBacking *self,
                       BsOperation operation,
                       const char *key,
                       guint nth,
                       const GError *error)
{
  Rule *rule;

  g_return_if_fail (BS_IS_FAULT_BACKING (self));
  g_return_if_fail ((guint) operation < N_OPERATIONS);
  g_return_if_fail (key == NULL || bs_key_is_valid (key));
  g_return_if_fail (error != NULL);

  rule = rule_new (operation, key);
  rule->error = g_error_copy (error);
  rule->always = nth == 0;
  rule->n_left = nth;
  add_rule (self, rule);
}

/**
 * bs_fault_backing_delay:
 * @self: a fault backing
 * @operation: the operation that is to be slow
 * @key: (nullable): the key that it is to be slow for, or %NULL for all
 * @milliseconds: how long each call waits
 *
 * Makes calls wait before they go on. If several such rules concern one call,
 * the longest counts.
 */
void
bs_fault_backing_delay (BsFaultBacking *self,
                        BsOperation operation,
                        const char *key,
                        guint milliseconds)
{
  Rule *rule;

  g_return_if_fail (BS_IS_FAULT_BACKING (self));
  g_return_if_fail ((guint) operation < N_OPERATIONS);
  g_return_if_fail (key == NULL || bs_key_is_valid (key));

  rule = rule_new (operation, key);
  rule->milliseconds = milliseconds;
  add_rule (self, rule);
}

/**
 * bs_fault_backing_hold:
 * @self: a fault backing
 * @operation: the operation that is to wait
 *
 * Closes the operation's gate: calls of it wait until
 * [method@FaultBacking.release].
 */
void
bs_fault_backing_hold (BsFaultBacking *self, BsOperation operation)
{
  g_return_if_fail (BS_IS_FAULT_BACKING (self));
  g_return_if_fail ((guint) operation < N_OPERATIONS);

  g_mutex_lock (&self->faults.mutex);
  self->faults.held[operation] = TRUE;
  g_mutex_unlock (&self->faults.mutex);
}

/* Called with the mutex held. */
static void
open_gate (Faults *faults, BsOperation operation)
{
  faults->held[operation] = FALSE;
  faults->n_releases[operation]++;
}

/**
 * bs_fault_backing_release:
 * @self: a fault backing
 * @operation: the operation that may go on
 *
 * Opens the operation's gate: all calls that wait at it go on, also calls that
 * have not yet noticed when the gate is closed again.
 */
void
bs_fault_backing_release (BsFaultBacking *self, BsOperation operation)
{
  g_return_if_fail (BS_IS_FAULT_BACKING (self));
  g_return_if_fail ((guint) operation < N_OPERATIONS);

  g_mutex_lock (&self->faults.mutex);
  open_gate (&self->faults, operation);
  g_cond_broadcast (&self->faults.cond);
  g_mutex_unlock (&self->faults.mutex);
}

/**
 * bs_fault_backing_clear:
 * @self: a fault backing
 *
 * Drops all rules, opens all gates, and ends all delays. A call that waits and
 * was to fail still fails. The counts stay.
 */
void
bs_fault_backing_clear (BsFaultBacking *self)
{
  g_return_if_fail (BS_IS_FAULT_BACKING (self));

  g_mutex_lock (&self->faults.mutex);
  g_ptr_array_set_size (self->faults.rules, 0);
  for (guint i = 0; i < N_OPERATIONS; i++)
    open_gate (&self->faults, i);
  self->faults.n_clears++;
  g_cond_broadcast (&self->faults.cond);
  g_mutex_unlock (&self->faults.mutex);
}

/**
 * bs_fault_backing_get_count:
 * @self: a fault backing
 * @operation: an operation
 *
 * Gets how many calls of the operation have arrived, including calls that wait or were
 * made to fail.
 *
 * Returns: the number of calls since the backing was made
 */
guint
bs_fault_backing_get_count (BsFaultBacking *self, BsOperation operation)
{
  guint count;

  g_return_val_if_fail (BS_IS_FAULT_BACKING (self), 0);
  g_return_val_if_fail ((guint) operation < N_OPERATIONS, 0);

  g_mutex_lock (&self->faults.mutex);
  count = self->faults.counts[operation];
  g_mutex_unlock (&self->faults.mutex);

  return count;
}
