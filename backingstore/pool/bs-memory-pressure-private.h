/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-cache-private.h"

G_BEGIN_DECLS

/* Follows GMemoryMonitor for one pool, without keeping it alive. The functions
 * may be called in any thread, with no lock held. */
typedef struct _BsMemoryPressure BsMemoryPressure;

BsMemoryPressure *bs_memory_pressure_start (BsCache *cache) G_GNUC_WARN_UNUSED_RESULT;
/* Takes it over. A warning that another thread is answering may still trim. */
void              bs_memory_pressure_stop  (BsMemoryPressure *self);

G_END_DECLS
