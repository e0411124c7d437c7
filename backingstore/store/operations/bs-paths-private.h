/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "store/operations/bs-store-private.h"

G_BEGIN_DECLS

/* The store's table of paths. A path stays in it while it is tracked, while it has
 * operations in its queue, and while it is pinned. */

GHashTable *bs_paths_new_table    (void) G_GNUC_WARN_UNUSED_RESULT;

/* Finds or makes the path with that name, and pins it. */
BsPath    *bs_paths_pin          (BsBackingStore *store, GFile *file) G_GNUC_WARN_UNUSED_RESULT;
/* Finds or makes the path that the backing has opened by the name, which may be the name
 * itself, and pins it. */
BsPath    *bs_paths_pin_opened   (BsBackingStore *store, BsPath *name, GFile *opened) G_GNUC_WARN_UNUSED_RESULT;
/* Takes pins off, and removes a path without a use. */
void       bs_paths_unpin        (BsBackingStore *store, BsPath *path, guint n_pins);

/* The tracked paths, of BsTrackedPath. */
GPtrArray *bs_paths_list_tracked (BsBackingStore *store) G_GNUC_WARN_UNUSED_RESULT;
/* Sets and notifies the property of a released path. */
void       bs_paths_set_closed   (BsTrackedPath *tracked);
/* Gives the path the name that it was found by, and notifies the changed properties. */
void       bs_paths_set_name     (BsTrackedPath *tracked, GFile *file, gboolean writable);
void       bs_paths_set_moved    (BsTrackedPath *tracked, gboolean moved);
/* Whether a call at the path has failed because the name leads elsewhere. */
void       bs_paths_note_error   (BsTrackedPath *tracked, const GError *error);
/* Releases and closes the listed paths that are not closed, unless cancelled: FALSE then. No
 * operation runs in a store that closes. */
gboolean   bs_paths_release_all  (BsBackingStore *store, GPtrArray *list, GCancellable *cancellable, GError **error);

G_END_DECLS
