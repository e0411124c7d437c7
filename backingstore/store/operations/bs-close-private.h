/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "store/operations/bs-request-private.h"

G_BEGIN_DECLS

BsStoreOperation *bs_close_operation_new (BsBackingStore *store, int priority) G_GNUC_WARN_UNUSED_RESULT;
/* Makes a waiting close ready if nothing is under way. */
void              bs_close_check         (BsTaskCount *count);

G_END_DECLS
