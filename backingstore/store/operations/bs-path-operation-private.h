/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "store/operations/bs-request-private.h"
#include "store/operations/bs-store-private.h"

G_BEGIN_DECLS

BsStoreOperation *bs_path_operation_new     (BsBackingStore *store, const BsRequest *request, int priority) G_GNUC_WARN_UNUSED_RESULT;

/* The object that tracks the path is being finalized. */
void              bs_path_operation_release (BsBackingStore *store, BsPath *path);

G_END_DECLS
