/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-ask-private.h"

#include "store/operations/bs-admission-private.h"
#include "store/operations/bs-loads-private.h"
#include "store/operations/bs-store-private.h"

#include <glib/gi18n-lib.h>

static GError *
refusal_to_error (const BsRequest *request, BsAskedState state)
{
  const BsKey *key = bs_request_get_key (request);
  GFile *file = bs_request_get_file (request);

  switch (state)
    {
    case BS_ASKED_MISSING:
      return bs_key_queue_missing_error (request->kind, key, file);
    case BS_ASKED_CLOSED:
      return bs_operation_error (request->kind, key, file, BS_ERROR, BS_ERROR_CLOSED,
                                 _ ("the tracked path is closed"));
    case BS_ASKED_PINNED:
      return bs_key_queue_pinned_error (key, file);
    case BS_ASKED_CANCELLED:
      return bs_operation_error (request->kind, key, file, G_IO_ERROR, G_IO_ERROR_CANCELLED,
                                 _ ("it was cancelled"));
    case BS_ASKED_IN_COMMIT:
      return bs_path_queue_in_commit_error (request->kind, file);
    case BS_ASKED_NOTHING:
      return NULL;
    case BS_ASKED_WAITS:
    case BS_ASKED_STARTS:
    case BS_ASKED_RUNS:
    default:
      g_assert_not_reached ();
    }
}

/* An operation that may have to wait for a function of the application must not
 * wait for the place of the function that asks. */
static gboolean
may_await_functions (const BsRequest *request, BsWaiter *waiter)
{
  return request->kind == BS_KIND_TRACK || request->kind == BS_KIND_UNTRACK ||
         request->kind == BS_KIND_SAVE || (request->kind == BS_KIND_FUNCTION && !waiter->blocking);
}

static BsAsked
enqueue (BsStoreOperation *operation, BsWaiter *waiter, BsDeferred *deferred)
{
  BsAsked asked = bs_asked (BS_ASKED_CANCELLED, NULL);

  waiter->lock = operation->lock;
  /* Also a thread that is about to sleep looks at its operation. */
  if (operation->klass->hold_lock != NULL && (waiter->cancellable != NULL || waiter->blocking))
    operation->klass->hold_lock (operation, waiter);
  if (waiter->cancellable != NULL)
    {
      if (operation->klass->hold_lock == NULL)
        bs_waiter_hold_lock (waiter, g_object_ref (operation->store), g_object_unref);
      bs_waiter_connect (waiter, bs_store_operation_cancel_waiter, NULL);
    }

  g_mutex_lock (operation->lock);
  if (!waiter->cancelled)
    asked = operation->klass->enqueue (operation, waiter, deferred);
  g_mutex_unlock (operation->lock);

  return asked;
}

static void
ask_admitted (BsBackingStore *store,
              const BsRequest *request,
              BsWaiter *waiter,
              BsStoreOperation *operation)
{
  BsDeferred deferred = { NULL };
  BsAsked asked = enqueue (operation, waiter, &deferred);
  BsStoreOperation *start = asked.value;

  if (asked.state == BS_ASKED_WAITS || asked.state == BS_ASKED_STARTS ||
      asked.state == BS_ASKED_RUNS)
    {
      if (may_await_functions (request, waiter))
        bs_executor_lend_place (store->function_executor, store);
      if (operation->klass->boost != NULL)
        operation->klass->boost (operation, waiter->priority);
      if (waiter->blocking && asked.state != BS_ASKED_RUNS)
        bs_store_operation_lend_thread (operation, waiter);
    }
  else
    {
      waiter->answered_here = TRUE;
      bs_waiter_answer (waiter, asked.value, refusal_to_error (request, asked.state));
    }

  /* An operation on the stack may be gone once it has run. */
  if (asked.state == BS_ASKED_RUNS)
    start->klass->run (start);
  else if (asked.state == BS_ASKED_STARTS)
    bs_store_operation_start (start, waiter);
  if (!bs_deferred_is_empty (&deferred))
    bs_deferred_run (&deferred);
}

/* Returns the operation, made in `memory` where given, or NULL if the request is refused. */
static BsStoreOperation *
ask (BsBackingStore *store, const BsRequest *request, BsWaiter *waiter, BsKeyOperation *memory)
{
  BsStoreOperation *operation;
  GError *error = NULL;
  guint stripe = 0;

  if (!bs_admission_admit (store, request, waiter, &stripe, &error))
    {
      waiter->answered_here = TRUE;
      store->discard (request);
      bs_waiter_answer (waiter, NULL, error);
      return NULL;
    }

  if (waiter->cancellable != NULL)
    bs_waiter_set_subject (waiter, request->kind, bs_request_get_key (request),
                           bs_request_get_file (request));
  operation = store->prepare (store, request, waiter, memory);
  operation->counted = request->kind != BS_KIND_CLOSE;
  operation->stripe = stripe;
  ask_admitted (store, request, waiter, operation);
  /* The operation may have ended, and let go of the store. */
  if (request->kind == BS_KIND_CLOSE)
    bs_loads_close (store);

  return operation;
}

void
bs_ask (BsBackingStore *store, const BsRequest *request, BsWaiter *waiter)
{
  BsStoreOperation *operation = ask (store, request, waiter, NULL);

  if (operation != NULL)
    bs_store_operation_unref (operation);
}

/* The operation and the waiter of a call on a key that cannot be cancelled. */
static gpointer
ask_on_stack (BsBackingStore *store,
              const BsRequest *request,
              const BsDelivery *delivery,
              GError **error)
{
  BsKeyOperation memory;
  BsStoreOperation *operation;
  BsWaiter waiter;
  gpointer answer;

  bs_waiter_init_on_stack (&waiter, store->backing_executor, delivery);
  operation = ask (store, request, &waiter, &memory);
  answer = bs_waiter_wait (&waiter, error);
  if (operation != NULL)
    bs_task_count_end (store->count, operation->stripe);

  return answer;
}

gpointer
bs_ask_blocking (BsBackingStore *store,
                 const BsRequest *request,
                 const BsDelivery *delivery,
                 GCancellable *cancellable,
                 GError **error)
{
  BsWaiter *waiter;

  if (request->kind <= BS_KIND_LAST_ON_KEY && cancellable == NULL)
    return ask_on_stack (store, request, delivery, error);

  waiter = bs_waiter_new_blocking (store->backing_executor, cancellable, delivery);
  if (request->kind == BS_KIND_CLOSE)
    waiter->sleeper.reach = BS_REACH_ALL;
  else if (may_await_functions (request, waiter))
    waiter->sleeper.reach = BS_REACH_NEXT;
  bs_ask (store, request, waiter);
  return bs_waiter_wait (waiter, error);
}

void
bs_ask_async (BsBackingStore *store,
              const BsRequest *request,
              const BsDelivery *delivery,
              GTask *task)
{
  BsWaiter *waiter = bs_waiter_new_async (task, delivery);

  bs_ask (store, request, waiter);
  bs_waiter_unref (waiter);
}

void
bs_ask_in_background (BsBackingStore *store,
                      const BsRequest *request,
                      const BsDelivery *delivery,
                      int priority,
                      GCancellable *cancellable)
{
  BsWaiter *waiter = bs_waiter_new_background (priority, cancellable, delivery);

  bs_ask (store, request, waiter);
  bs_waiter_unref (waiter);
}
