/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-admission-private.h"

#include "store/operations/bs-store-private.h"
#include "store/threads/bs-call-scope-private.h"

#include <glib/gi18n-lib.h>

static gboolean
refuse (const BsRequest *request, GQuark domain, int code, const char *why, GError **error)
{
  g_propagate_error (error, bs_operation_error (request->kind, bs_request_get_key (request),
                                                bs_request_get_file (request), domain, code, why));
  return FALSE;
}

static gboolean
refuse_in_child (BsBackingStore *store, const BsRequest *request, GError **error)
{
  g_autoptr (GError) reason = NULL;

  bs_fork_check (store->n_forks, &reason);
  return refuse (request, reason->domain, reason->code, reason->message, error);
}

static gboolean
check_close (BsBackingStore *store, const BsRequest *request, BsWaiter *waiter, GError **error)
{
  /* Closing again joins the close that is under way. */
  if (!waiter->blocking || !bs_executor_is_inside (store->backing_executor, store))
    return TRUE;

  return refuse (request, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK,
                 "a blocking call from inside one of the store's tasks would wait for itself",
                 error);
}

static gboolean
check (BsBackingStore *store, const BsRequest *request, BsWaiter *waiter, GError **error)
{
  if (g_atomic_int_get (&store->state) != BS_STATE_OPEN)
    return refuse (request, BS_ERROR, BS_ERROR_CLOSED, _ ("the store is closed"), error);
  if (request->tracked != NULL && request->tracked->store != store)
    return refuse (request, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                   "the tracked path belongs to another store", error);
  if (waiter->blocking && bs_call_scope_find (store, BS_SCOPE_BACKING) != NULL)
    return refuse (
      request, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK,
      "a blocking call from inside a function of the same store's backing would wait for itself",
      error);
  if (request->kind == BS_KIND_SAVE && waiter->blocking &&
      !bs_wait_graph_enter (&waiter->wait, request->tracked->path))
    return refuse (
      request, BS_ERROR, BS_ERROR_BUSY,
      "a blocking call from inside a commit function would wait for that function's own save",
      error);

  return TRUE;
}

gboolean
bs_admission_admit (BsBackingStore *store,
                    const BsRequest *request,
                    BsWaiter *waiter,
                    guint *stripe,
                    GError **error)
{
  /* Called before any lock is taken. */
  if (bs_store_is_in_child (store))
    return refuse_in_child (store, request, error);
  if (request->kind == BS_KIND_CLOSE)
    return check_close (store, request, waiter, error);

  *stripe = bs_task_count_begin (store->count);
  if (request->internal || check (store, request, waiter, error))
    return TRUE;

  /* The request counts down at once, since a close waits until no request counts. */
  bs_task_count_end (store->count, *stripe);
  return FALSE;
}
