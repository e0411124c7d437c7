/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-admission-private.h"

#include "store/operations/bs-store-private.h"
#include "store/threads/bs-call-scope-private.h"

gboolean
bs_admission_is_inside (BsBackingStore *store)
{
  return bs_call_scope_find (store, BS_SCOPE_BACKING) != NULL ||
         bs_call_scope_find (store, BS_SCOPE_FUNCTION) != NULL ||
         bs_executor_get_current () == store->backing_executor;
}

static GError *
refuse (const BsRequest *request, GQuark domain, int code, const char *why)
{
  return bs_operation_error (request->kind, bs_request_get_key (request),
                             bs_request_get_file (request), domain, code, why);
}

GError *
bs_admission_check_fork (BsBackingStore *store, const BsRequest *request)
{
  g_autoptr (GError) error = NULL;

  if (bs_fork_check (store->n_forks, &error))
    return NULL;

  return refuse (request, error->domain, error->code, error->message);
}

GError *
bs_admission_check (BsBackingStore *store, const BsRequest *request, BsWaiter *waiter)
{
  /* Closing again joins the close that is under way. */
  if (request->kind == BS_KIND_CLOSE)
    {
      if (waiter->blocking && bs_admission_is_inside (store))
        return refuse (
          request, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK,
          "a blocking call from inside one of the store's tasks would wait for itself");
      return NULL;
    }

  if (g_atomic_int_get (&store->state) != BS_STATE_OPEN)
    return refuse (request, BS_ERROR, BS_ERROR_CLOSED, "the store is closed");
  if (request->tracked != NULL && request->tracked->store != store)
    return refuse (request, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                   "the tracked path belongs to another store");
  if (waiter->blocking && bs_call_scope_find (store, BS_SCOPE_BACKING) != NULL)
    return refuse (
      request, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK,
      "a blocking call from inside a function of the same store's backing would wait for itself");
  if (request->kind == BS_KIND_SAVE && waiter->blocking &&
      !bs_wait_graph_enter (&waiter->wait, request->tracked->path))
    return refuse (
      request, BS_ERROR, BS_ERROR_BUSY,
      "a blocking call from inside a commit function would wait for that function's own save");

  return NULL;
}
