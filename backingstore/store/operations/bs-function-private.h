/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "store/operations/bs-request-private.h"

G_BEGIN_DECLS

/* A function of the application, or a save's commit function. */
BsStoreOperation *bs_function_operation_new (BsBackingStore *store, const BsRequest *request, BsWaiter *waiter) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
