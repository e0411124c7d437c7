/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "store/operations/bs-save-plan-private.h"

G_BEGIN_DECLS

void              bs_save_plan_clear    (BsSavePlan *plan);

/* Takes the contents of the request's plan over. */
BsStoreOperation *bs_save_operation_new (BsBackingStore *store, const BsRequest *request, BsWaiter *waiter) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
