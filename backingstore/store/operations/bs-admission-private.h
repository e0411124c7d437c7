/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "store/operations/bs-request-private.h"

G_BEGIN_DECLS

/* The error for a child of the process that made the store. No lock is taken before it is
 * asked for. */
GError *bs_admission_check_fork (BsBackingStore *store, const BsRequest *request) G_GNUC_WARN_UNUSED_RESULT;
/* Lets a request in, or returns why it is refused: the store is closed, the tracked
 * path is another store's, or the blocking call could only wait for itself. A
 * request is counted before it is admitted. */
GError *bs_admission_check      (BsBackingStore *store, const BsRequest *request, BsWaiter *waiter) G_GNUC_WARN_UNUSED_RESULT;

/* Whether this thread is inside of one of the store's operations. */
gboolean bs_admission_is_inside (BsBackingStore *store);

G_END_DECLS
