/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-batch-private.h"

#include "store/operations/bs-ask-private.h"
#include "store/operations/bs-store-private.h"

/* The number of operations that a thread asks for before others get their turn,
 * where the batch can be relayed. */
#define MOST_AT_ONCE 32

typedef struct
{
  BsBatch *batch;
  BsStoreOperation *operation; /* owned: the batch is part of it */
  guint64 item;
  BsKey key;
  gboolean has_key;
} Step;

void
bs_batch_init (BsBatch *batch, const BsBatchClass *klass, BsStoreOperation *operation)
{
  batch->klass = klass;
  batch->operation = operation;
  g_mutex_init (&batch->mutex);
}

void
bs_batch_clear (BsBatch *batch)
{
  g_mutex_clear (&batch->mutex);
}

void
bs_batch_begin (BsBatch *batch, guint n_most, GCancellable *cancellable)
{
  batch->n_most = n_most;
  batch->cancellable = cancellable;

  g_mutex_lock (&batch->mutex);
  batch->exhausted = FALSE;
  batch->ended = FALSE;
  g_mutex_unlock (&batch->mutex);
}

void
bs_batch_open (BsBatch *batch)
{
  g_mutex_lock (&batch->mutex);
  batch->n_open++;
  g_mutex_unlock (&batch->mutex);
}

void
bs_batch_close (BsBatch *batch, gboolean exhausted)
{
  gboolean ends;

  g_mutex_lock (&batch->mutex);
  batch->n_open--;
  batch->exhausted |= exhausted;
  ends = batch->exhausted && batch->n_open == 0 && !batch->feeding && !batch->ended;
  batch->ended |= ends;
  g_mutex_unlock (&batch->mutex);

  if (ends)
    batch->klass->end (batch);
}

static void
step_free (gpointer data)
{
  Step *step = data;

  bs_store_operation_unref (step->operation);
  g_free (step);
}

static void
request_clear (BsRequest *request)
{
  if (request->kind == BS_KIND_PERSIST)
    g_clear_pointer (&request->content, bs_content_unref);
}

static void ask (BsBatch *batch, const BsRequest *request, guint64 item);

static gpointer
step_done (gpointer data, gpointer value, GError **error)
{
  Step *step = data;
  BsBatch *batch = step->batch;
  BsRequest request;
  gboolean again = batch->klass->done (batch, step->item, step->has_key ? &step->key : NULL, value,
                                       *error, &request);

  g_clear_error (error);
  if (again)
    {
      ask (batch, &request, step->item);
      request_clear (&request);
      return NULL;
    }

  bs_batch_close (batch, FALSE);
  if (batch->klass->next != NULL)
    bs_batch_feed (batch);
  return NULL;
}

/* The operation may have ended before this returns, where nothing was to be done. */
static void
ask (BsBatch *batch, const BsRequest *request, guint64 item)
{
  BsStoreOperation *operation = batch->operation;
  const BsKey *key = bs_request_get_key (request);
  Step *step = g_new (Step, 1);
  BsDelivery delivery = { .func = step_done, .data = step, .data_free = step_free };

  step->batch = batch;
  step->operation = bs_store_operation_ref (operation);
  step->item = item;
  step->has_key = key != NULL;
  if (key != NULL)
    step->key = *key;
  bs_ask_in_background (operation->store, request, &delivery,
                        g_atomic_int_get (&operation->priority), batch->cancellable);
}

void
bs_batch_add (BsBatch *batch, const BsRequest *request, guint64 item)
{
  bs_batch_open (batch);
  ask (batch, request, item);
}

/* Asks for one more. FALSE where nothing is left. Under the mutex, which is released
 * meanwhile. */
static gboolean
feed_one (BsBatch *batch)
{
  BsRequest request;
  gboolean found;
  guint64 item;

  batch->n_open++;
  g_mutex_unlock (&batch->mutex);
  found = batch->klass->next (batch, &request, &item);
  if (found)
    {
      ask (batch, &request, item);
      request_clear (&request);
    }
  g_mutex_lock (&batch->mutex);
  if (!found)
    batch->n_open--;

  return found;
}

void
bs_batch_feed (BsBatch *batch)
{
  guint n_most_at_once = batch->klass->relay != NULL ? MOST_AT_ONCE : G_MAXUINT;
  gboolean ends, relays;
  guint n_asked = 0;

  g_mutex_lock (&batch->mutex);
  /* The thread that feeds sees operations that end meanwhile. */
  if (batch->feeding || batch->ended)
    {
      g_mutex_unlock (&batch->mutex);
      return;
    }

  batch->feeding = TRUE;
  while (batch->n_open < batch->n_most && !batch->exhausted && n_asked++ < n_most_at_once)
    batch->exhausted = !feed_one (batch);
  batch->feeding = FALSE;
  relays = batch->n_open < batch->n_most && !batch->exhausted;
  ends = batch->exhausted && batch->n_open == 0 && !batch->ended;
  batch->ended |= ends;
  g_mutex_unlock (&batch->mutex);

  if (relays)
    batch->klass->relay (batch);
  if (ends)
    batch->klass->end (batch);
  else if (batch->klass->fed != NULL)
    batch->klass->fed (batch);
}

typedef struct
{
  BsBatch *batch;
  guint64 item;
  BsKey key;
  gboolean has_key;
  BsRequest next; /* where the item goes on */
  gboolean again;
} StepHere;

static gpointer
step_here_done (gpointer data, gpointer value, GError **error)
{
  StepHere *here = data;

  here->again =
    here->batch->klass->done (here->batch, here->item, here->has_key ? &here->key : NULL, value,
                              *error, &here->next);
  g_clear_error (error);
  return NULL;
}

void
bs_batch_feed_here (BsBatch *batch)
{
  StepHere here = { .batch = batch };
  BsDelivery delivery = { .func = step_here_done, .data = &here };
  BsRequest request;

  /* This thread counts as one operation under way. */
  bs_batch_open (batch);
  bs_batch_feed (batch);
  while (batch->klass->next (batch, &request, &here.item))
    do
      {
        const BsKey *key = bs_request_get_key (&request);

        here.has_key = key != NULL;
        if (key != NULL)
          here.key = *key;
        bs_ask_blocking (batch->operation->store, &request, &delivery, batch->cancellable, NULL);
        request_clear (&request);
        request = here.next;
      }
    while (here.again);
  bs_batch_close (batch, TRUE);
}

void
bs_batch_end_operation (BsBatch *batch, gpointer value, const GError *error)
{
  BsStoreOperation *operation = batch->operation;
  BsDeferred deferred = { NULL };
  BsWaiter *waiters;

  g_mutex_lock (operation->lock);
  waiters = bs_store_operation_end (operation);
  if (operation->tracked != NULL)
    bs_path_return_ticket (operation->tracked->path, operation, &deferred);
  g_mutex_unlock (operation->lock);

  bs_deferred_answer (&deferred, waiters, value, error);
}

void
bs_batch_drop_operation (BsStoreOperation *operation, BsDeferred *deferred)
{
  bs_path_return_ticket (operation->tracked->path, operation, deferred);
  /* The executor has the only reference. */
  bs_deferred_add_dropped (deferred, bs_store_operation_ref (operation));
}
