/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "store/bs-tracked-path.h"
#include "store/operations/bs-store-private.h"

G_BEGIN_DECLS

BsTrackedPath *bs_tracked_path_new (BsBackingStore *store, BsPath *path, GFile *file, gboolean writable, const BsKeyTable *found) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
