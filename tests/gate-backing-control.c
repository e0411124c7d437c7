/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "gate-backing-private.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

/* The functions by which tests control a backing that has gates. */

guint
watchdog_get_seconds (void)
{
  const char *preload = g_getenv ("LD_PRELOAD");

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
  return 150;
#endif
  return preload != NULL && strstr (preload, "vgpreload") != NULL ? 300 : 40;
}

static void
bark (int number)
{
  static const char message[] = "Bail out! The watchdog has waited long enough\n";

  if (write (STDOUT_FILENO, message, sizeof message - 1) < 0)
    _exit (2);
  abort ();
}

void
watchdog_start (void)
{
  signal (SIGALRM, bark);
  /* Waits at gates have one of their own, which says what for. */
  alarm (watchdog_get_seconds () + 10);
}

void
watchdog_stop (void)
{
  alarm (0);
}

void
gate_backing_hold (GateBacking *backing, BsOperation operation, const char *key, GatePoint point)
{
  GateBackingPrivate *self = gate_backing_get_private (backing);
  Gate *gate = g_new0 (Gate, 1);

  gate->operation = operation;
  gate->key = g_strdup (key);
  gate->point = point;
  g_mutex_lock (&self->mutex);
  g_ptr_array_add (self->gates, gate);
  g_mutex_unlock (&self->mutex);
}

static void
open_gate (GateBackingPrivate *self, Gate *gate)
{
  gate->open = TRUE;
  if (gate->n_held == 0)
    g_ptr_array_remove_fast (self->gates, gate);
  g_cond_broadcast (&self->cond);
}

static Gate *
find_exactly (GateBackingPrivate *self, BsOperation operation, const char *key, GatePoint point)
{
  for (guint i = 0; i < self->gates->len; i++)
    {
      Gate *gate = g_ptr_array_index (self->gates, i);

      if (!gate->open && gate->operation == operation && gate->point == point &&
          g_strcmp0 (gate->key, key) == 0)
        return gate;
    }

  g_error ("There is no such gate: %s %s", gate_operation_names[operation], key != NULL ? key : "");
}

void
gate_backing_release (GateBacking *backing, BsOperation operation, const char *key, GatePoint point)
{
  GateBackingPrivate *self = gate_backing_get_private (backing);

  g_mutex_lock (&self->mutex);
  open_gate (self, find_exactly (self, operation, key, point));
  g_mutex_unlock (&self->mutex);
}

void
gate_backing_release_all (GateBacking *backing)
{
  GateBackingPrivate *self = gate_backing_get_private (backing);

  g_mutex_lock (&self->mutex);
  for (guint i = self->gates->len; i > 0; i--)
    {
      Gate *gate = g_ptr_array_index (self->gates, i - 1);

      if (!gate->open)
        open_gate (self, gate);
    }
  g_mutex_unlock (&self->mutex);
}

void
gate_backing_set_stubborn (GateBacking *backing, gboolean stubborn)
{
  GateBackingPrivate *self = gate_backing_get_private (backing);

  g_mutex_lock (&self->mutex);
  self->stubborn = stubborn;
  g_mutex_unlock (&self->mutex);
}

void
gate_backing_wait_held (GateBacking *backing,
                        BsOperation operation,
                        const char *key,
                        GatePoint point,
                        guint n)
{
  GateBackingPrivate *self = gate_backing_get_private (backing);

  g_mutex_lock (&self->mutex);
  while (find_exactly (self, operation, key, point)->n_held < n)
    gate_await (self, "nothing comes to the gate", operation, key);
  g_mutex_unlock (&self->mutex);
}

guint
gate_backing_get_n_held (GateBacking *backing,
                         BsOperation operation,
                         const char *key,
                         GatePoint point)
{
  GateBackingPrivate *self = gate_backing_get_private (backing);
  guint n_held;

  g_mutex_lock (&self->mutex);
  n_held = find_exactly (self, operation, key, point)->n_held;
  g_mutex_unlock (&self->mutex);
  return n_held;
}

static void
add_failure (GateBacking *backing,
             BsOperation operation,
             const char *key,
             GatePoint point,
             guint nth,
             gboolean silent,
             int io_error)
{
  GateBackingPrivate *self = gate_backing_get_private (backing);
  Failure *failure = g_new0 (Failure, 1);

  failure->operation = operation;
  failure->key = g_strdup (key);
  failure->point = point;
  failure->nth = nth;
  failure->silent = silent;
  failure->io_error = io_error;
  g_mutex_lock (&self->mutex);
  g_ptr_array_add (self->failures, failure);
  g_mutex_unlock (&self->mutex);
}

void
gate_backing_fail (GateBacking *self,
                   BsOperation operation,
                   const char *key,
                   GatePoint point,
                   guint nth,
                   int io_error)
{
  add_failure (self, operation, key, point, nth, FALSE, io_error);
}

void
gate_backing_fail_silently (GateBacking *self, BsOperation operation)
{
  add_failure (self, operation, NULL, GATE_BEFORE, 0, TRUE, 0);
}

void
gate_backing_set_hook (GateBacking *backing,
                       BsOperation operation,
                       GatePoint point,
                       GateHook hook,
                       gpointer data)
{
  GateBackingPrivate *self = gate_backing_get_private (backing);

  g_mutex_lock (&self->mutex);
  self->hooks[operation][point] = hook;
  self->hook_data[operation][point] = data;
  g_mutex_unlock (&self->mutex);
}

void
gate_backing_clear (GateBacking *backing)
{
  GateBackingPrivate *self = gate_backing_get_private (backing);

  g_mutex_lock (&self->mutex);
  g_ptr_array_set_size (self->failures, 0);
  memset (self->hooks, 0, sizeof self->hooks);
  g_mutex_unlock (&self->mutex);
}

guint
gate_backing_count (GateBacking *backing, BsOperation operation, const char *key)
{
  GateBackingPrivate *self = gate_backing_get_private (backing);
  guint n = 0;

  g_mutex_lock (&self->mutex);
  for (guint i = 0; i < self->log->len; i++)
    {
      Event *event = &g_array_index (self->log, Event, i);

      /* A bulk call stands there once for each of its keys, and once for itself. */
      if ((operation == BS_OPERATION_REGISTER_KEYS || operation == BS_OPERATION_PERSIST_KEYS ||
           operation == BS_OPERATION_DELETE_PERSISTED_KEYS) &&
          key == NULL && event->key != NULL)
        continue;
      if (gate_matches (event->operation, event->key, operation, key))
        n++;
    }
  g_mutex_unlock (&self->mutex);
  return n;
}

guint
gate_backing_count_all (GateBacking *backing)
{
  GateBackingPrivate *self = gate_backing_get_private (backing);
  guint n;

  g_mutex_lock (&self->mutex);
  n = self->log->len;
  g_mutex_unlock (&self->mutex);
  return n;
}

void
gate_backing_reset_log (GateBacking *backing)
{
  GateBackingPrivate *self = gate_backing_get_private (backing);

  g_mutex_lock (&self->mutex);
  g_array_set_size (self->log, 0);
  self->max_parallel = self->n_parallel;
  g_mutex_unlock (&self->mutex);
}

char *
gate_backing_dup_log (GateBacking *backing, const char *key)
{
  GateBackingPrivate *self = gate_backing_get_private (backing);
  GString *string = g_string_new (NULL);

  g_mutex_lock (&self->mutex);
  for (guint i = 0; i < self->log->len; i++)
    {
      Event *event = &g_array_index (self->log, Event, i);

      if (key == NULL || g_strcmp0 (event->key, key) == 0)
        g_string_append_printf (string, "%s%s", string->len > 0 ? " " : "",
                                gate_operation_names[event->operation]);
    }
  g_mutex_unlock (&self->mutex);
  return g_string_free (string, FALSE);
}

GThread *
gate_backing_get_thread (GateBacking *backing, BsOperation operation)
{
  GateBackingPrivate *self = gate_backing_get_private (backing);
  GThread *thread;

  g_mutex_lock (&self->mutex);
  thread = self->threads[operation];
  g_mutex_unlock (&self->mutex);
  return thread;
}

guint
gate_backing_get_max_parallel (GateBacking *backing)
{
  GateBackingPrivate *self = gate_backing_get_private (backing);
  guint n;

  g_mutex_lock (&self->mutex);
  n = self->max_parallel;
  g_mutex_unlock (&self->mutex);
  return n;
}

gboolean
gate_backing_has_primary (GateBacking *backing, const char *key)
{
  GateBackingPrivate *self = gate_backing_get_private (backing);
  gboolean has;

  g_mutex_lock (&self->mutex);
  has = g_hash_table_contains (self->primary, key);
  g_mutex_unlock (&self->mutex);
  return has;
}

void
gate_backing_lose_primary (GateBacking *backing, const char *key)
{
  GateBackingPrivate *self = gate_backing_get_private (backing);

  g_mutex_lock (&self->mutex);
  g_hash_table_remove (self->primary, key);
  g_mutex_unlock (&self->mutex);
}

guint
gate_backing_get_n_primary (GateBacking *backing)
{
  GateBackingPrivate *self = gate_backing_get_private (backing);
  guint n;

  g_mutex_lock (&self->mutex);
  n = g_hash_table_size (self->primary);
  g_mutex_unlock (&self->mutex);
  return n;
}

gboolean
gate_backing_has_persisted (GateBacking *backing, GFile *path, const char *key)
{
  GateBackingPrivate *self = gate_backing_get_private (backing);
  gboolean has;

  g_mutex_lock (&self->mutex);
  has = g_hash_table_contains (gate_place_get (self, path)->blobs, key);
  g_mutex_unlock (&self->mutex);
  return has;
}

gboolean
gate_backing_is_named (GateBacking *backing, GFile *path, const char *key)
{
  GateBackingPrivate *self = gate_backing_get_private (backing);
  GHashTable *named;
  gboolean is_named;

  g_mutex_lock (&self->mutex);
  named = gate_place_get (self, path)->named;
  is_named = named != NULL && g_hash_table_contains (named, key);
  g_mutex_unlock (&self->mutex);
  return is_named;
}

void
gate_backing_put_persisted (GateBacking *backing, GFile *path, const char *key, const char *content)
{
  GateBackingPrivate *self = gate_backing_get_private (backing);

  g_mutex_lock (&self->mutex);
  g_hash_table_insert (gate_place_get (self, path)->blobs, g_strdup (key),
                       g_bytes_new (content, strlen (content)));
  g_mutex_unlock (&self->mutex);
}

void
gate_backing_spoil (GateBacking *backing, GFile *path, const char *key)
{
  GateBackingPrivate *self = gate_backing_get_private (backing);

  g_mutex_lock (&self->mutex);
  g_hash_table_add (gate_place_get (self, path)->bad, g_strdup (key));
  g_mutex_unlock (&self->mutex);
}

void
gate_backing_lose_persisted (GateBacking *backing, GFile *path, const char *key)
{
  GateBackingPrivate *self = gate_backing_get_private (backing);

  g_mutex_lock (&self->mutex);
  g_hash_table_remove (gate_place_get (self, path)->blobs, key);
  g_mutex_unlock (&self->mutex);
}

gboolean
gate_backing_is_durable (GateBacking *backing, GFile *path, const char *key)
{
  GateBackingPrivate *self = gate_backing_get_private (backing);
  gboolean dirty;

  g_mutex_lock (&self->mutex);
  dirty = g_hash_table_contains (gate_place_get (self, path)->dirty, key);
  g_mutex_unlock (&self->mutex);
  return !dirty;
}

gboolean
gate_backing_is_closed (GateBacking *backing)
{
  GateBackingPrivate *self = gate_backing_get_private (backing);
  gboolean closed;

  g_mutex_lock (&self->mutex);
  closed = self->closed;
  g_mutex_unlock (&self->mutex);
  return closed;
}

void
gate_backing_assert_contract (GateBacking *backing)
{
  GateBackingPrivate *self = gate_backing_get_private (backing);

  g_mutex_lock (&self->mutex);
  for (guint i = 0; i < self->violations->len; i++)
    g_test_message ("%s", (char *) g_ptr_array_index (self->violations, i));
  g_assert_cmpuint (self->violations->len, ==, 0);
  g_mutex_unlock (&self->mutex);
}
