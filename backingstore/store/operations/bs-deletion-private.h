/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "store/operations/bs-store-private.h"

G_BEGIN_DECLS

/* A token has been put among the dropped ones of its shard: sees to it that an operation
 * looks at it. Under the shard's mutex. */
void bs_deletion_expect (BsBackingStore *store, BsDeferred *deferred);

G_END_DECLS
