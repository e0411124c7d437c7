/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <backingstore/base/bs-backing.h>
#include <backingstore/bs-version.h>

G_BEGIN_DECLS

#define BS_TYPE_MEMORY_BACKING (bs_memory_backing_get_type ())
BS_AVAILABLE_IN_1_0
G_DECLARE_FINAL_TYPE (BsMemoryBacking, bs_memory_backing, BS, MEMORY_BACKING, GObject)

BS_AVAILABLE_IN_1_0
BsMemoryBacking *bs_memory_backing_new (void) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
