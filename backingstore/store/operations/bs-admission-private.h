/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "store/operations/bs-request-private.h"

G_BEGIN_DECLS

/* Counts a request, and then lets it in unless the store is closed, the tracked path is
 * another store's, or the blocking call could only wait for itself. A request that is let in
 * counts until bs_task_count_end(), save for a close. */
gboolean bs_admission_admit     (BsBackingStore *store, const BsRequest *request, BsWaiter *waiter, guint *stripe, GError **error);

G_END_DECLS
