/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#include "config.h"

#include "bs-prepare-private.h"

#include "store/operations/bs-bulk-private.h"
#include "store/operations/bs-close-private.h"
#include "store/operations/bs-function-private.h"
#include "store/operations/bs-key-operation-private.h"
#include "store/operations/bs-path-operation-private.h"
#include "store/operations/bs-save-operation-private.h"
#include "store/operations/bs-verify-operation-private.h"

BsStoreOperation *
bs_prepare (BsBackingStore *store,
            const BsRequest *request,
            BsWaiter *waiter,
            BsKeyOperation *memory)
{
  switch (request->kind)
    {
    case BS_KIND_READ:
    case BS_KIND_WRITE:
    case BS_KIND_PERSIST:
    case BS_KIND_REGISTER:
    case BS_KIND_DELETE_PERSISTED:
    case BS_KIND_VERIFY:
    case BS_KIND_READ_STREAM:
      return bs_key_operation_new (store, request, waiter->priority, memory);
    case BS_KIND_TRACK:
    case BS_KIND_UNTRACK:
    case BS_KIND_SYNC:
    case BS_KIND_LOAD_ROOT:
    case BS_KIND_WRITE_ROOT:
    case BS_KIND_CHECK:
      return bs_path_operation_new (store, request, waiter->priority);
    case BS_KIND_SAVE:
      return bs_save_operation_new (store, request, waiter);
    case BS_KIND_REGISTER_ALL:
    case BS_KIND_REGISTER_KEYS:
    case BS_KIND_PERSIST_KEYS:
    case BS_KIND_DELETE_KEYS:
    case BS_KIND_DELETE_NOT_SAVED:
      return bs_bulk_new (store, request, waiter->priority);
    case BS_KIND_VERIFY_PATH:
      return bs_verify_operation_new (store, request, waiter);
    case BS_KIND_FUNCTION:
    case BS_KIND_COMMIT:
    case BS_KIND_READ_PART:
    case BS_KIND_COPY_OUT:
      return bs_function_operation_new (store, request, waiter);
    case BS_KIND_CLOSE:
      return bs_close_operation_new (store, waiter->priority);
    case BS_KIND_DELETE:
    case BS_KIND_RELEASE:
    case BS_KIND_DROP_TOKENS:
    default:
      /* The store asks for these by itself. */
      g_assert_not_reached ();
    }
}

void
bs_discard (const BsRequest *request)
{
  if (request->kind == BS_KIND_SAVE)
    bs_save_plan_clear (request->plan);
  else if (request->kind == BS_KIND_VERIFY_PATH)
    bs_verify_run_clear (request->run);
}
