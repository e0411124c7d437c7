/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "store/bs-tracked-path.h"
#include "store/operations/bs-store-private.h"

G_BEGIN_DECLS

BsTrackedPath *bs_tracked_path_new (BsBackingStore *store, BsPath *path, GFile *file, gboolean writable, const BsKeyTable *found) G_GNUC_WARN_UNUSED_RESULT;

/* A change made after this returns is told. */
void           bs_tracked_path_add_watch    (BsTrackedPath *self, BsPathWatch *watch);
/* The watch is told nothing more. */
void           bs_tracked_path_remove_watch (BsTrackedPath *self, BsPathWatch *watch);
gboolean       bs_tracked_path_has_key      (BsTrackedPath *self, const BsKey *key);
/* Appends BsKey to `keys`, in no particular order. */
void           bs_tracked_path_copy_keys    (BsTrackedPath *self, GArray *keys);

G_END_DECLS
