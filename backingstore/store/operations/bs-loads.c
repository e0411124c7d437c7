/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-loads-private.h"

#include "base/bs-error.h"
#include "store/operations/bs-store-private.h"

#include <glib/gi18n-lib.h>

static gboolean
is_open (BsBackingStore *store)
{
  return g_atomic_int_get (&store->state) == BS_STATE_OPEN;
}

void
bs_loads_set_closed (const BsKey *key, GError **error)
{
  g_clear_error (error);
  g_propagate_error (error, bs_operation_error (BS_KIND_READ, key, NULL, BS_ERROR, BS_ERROR_CLOSED,
                                                _ ("the store is closed")));
}

static void
outer_cancelled_cb (GCancellable *outer, gpointer cancellable)
{
  g_cancellable_cancel (cancellable);
}

gboolean
bs_load_begin (BsBackingStore *store,
               BsLoad *load,
               const BsKey *key,
               GCancellable *outer,
               GError **error)
{
  gboolean begun;

  *load = (BsLoad){ .cancellable = g_cancellable_new () };
  load->link.data = load;

  /* A close that is asked from now on finds the load. */
  g_mutex_lock (&store->operations_mutex);
  begun = is_open (store);
  if (begun)
    g_queue_push_tail_link (&store->loads, &load->link);
  g_mutex_unlock (&store->operations_mutex);

  if (!begun)
    {
      g_object_unref (load->cancellable);
      bs_loads_set_closed (key, error);
      return FALSE;
    }

  if (outer != NULL)
    {
      load->outer = g_object_ref (outer);
      load->outer_id = g_cancellable_connect (outer, G_CALLBACK (outer_cancelled_cb),
                                              g_object_ref (load->cancellable), g_object_unref);
    }
  return TRUE;
}

void
bs_load_end (BsBackingStore *store, BsLoad *load, const BsKey *key, GError **error)
{
  gboolean closed;

  g_mutex_lock (&store->operations_mutex);
  g_queue_unlink (&store->loads, &load->link);
  closed = load->closed;
  g_mutex_unlock (&store->operations_mutex);

  /* Not g_cancellable_disconnect(), which waits for a running handler: this thread may
   * be inside one. */
  if (load->outer_id != 0)
    g_signal_handler_disconnect (load->outer, load->outer_id);
  if (closed && !g_cancellable_is_cancelled (load->outer) &&
      g_error_matches (*error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    bs_loads_set_closed (key, error);
  g_clear_object (&load->outer);
  g_object_unref (load->cancellable);
}

typedef struct
{
  GPtrArray *failed;  /* of operations with their waiters, owned */
  GPtrArray *running; /* of cancellables, owned */
  BsDeferred deferred;
} Closing;

/* A load of a blocking call, whose operation is on the stack, fails when its turn comes. */
static void
close_operation (BsKeyOperation *self, Closing *closing)
{
  BsStoreOperation *operation = &self->operation;

  if (!bs_kind_is_load (operation->kind) || operation->on_stack)
    return;

  if (operation->state == BS_OPERATION_RUNNING && operation->cancellable != NULL)
    g_ptr_array_add (closing->running, g_object_ref (operation->cancellable));
  else if (operation->state == BS_OPERATION_QUEUED || operation->state == BS_OPERATION_READY)
    g_ptr_array_add (closing->failed, bs_store_operation_ref (operation));
}

static void
close_shard (BsShard *shard, Closing *closing, GPtrArray *waiters)
{
  guint n_before = closing->failed->len;

  g_mutex_lock (&shard->mutex);
  for (guint i = 0; i < shard->n_chains; i++)
    for (BsKeyOperation *last = shard->chains[i]; last != NULL; last = last->next_in_chain)
      for (BsStoreOperation *operation = &last->operation; operation != NULL;
           operation = operation->previous)
        close_operation ((BsKeyOperation *) operation, closing);

  for (guint i = n_before; i < closing->failed->len; i++)
    {
      BsStoreOperation *operation = closing->failed->pdata[i];

      g_ptr_array_add (waiters, bs_store_operation_end (operation));
      operation->klass->drop (operation, &closing->deferred);
    }
  g_mutex_unlock (&shard->mutex);
}

static void
add_decoding (BsBackingStore *store, Closing *closing)
{
  g_mutex_lock (&store->operations_mutex);
  for (GList *link = store->loads.head; link != NULL; link = link->next)
    {
      BsLoad *load = link->data;

      load->closed = TRUE;
      g_ptr_array_add (closing->running, g_object_ref (load->cancellable));
    }
  g_mutex_unlock (&store->operations_mutex);
}

static void
cancel (gpointer cancellable, gpointer unused)
{
  g_cancellable_cancel (cancellable);
}

void
bs_loads_close (BsBackingStore *store)
{
  g_autoptr (GPtrArray) failed =
    g_ptr_array_new_with_free_func ((GDestroyNotify) bs_store_operation_unref);
  g_autoptr (GPtrArray) running = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr (GPtrArray) waiters = g_ptr_array_new ();
  Closing closing = { .failed = failed, .running = running };

  for (guint i = 0; i < BS_N_SHARDS; i++)
    close_shard (&store->shards[i], &closing, waiters);
  add_decoding (store, &closing);

  bs_deferred_push (&closing.deferred, bs_deferred_run);
  for (guint i = 0; i < failed->len; i++)
    {
      g_autoptr (GError) error = NULL;

      bs_loads_set_closed (&((BsKeyOperation *) failed->pdata[i])->key, &error);
      bs_store_operation_answer (waiters->pdata[i], NULL, error);
    }
  g_ptr_array_foreach (running, cancel, NULL);
  bs_deferred_pop (&closing.deferred);
  bs_deferred_run (&closing.deferred);
}
