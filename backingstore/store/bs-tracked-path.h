/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <gio/gio.h>

#include <backingstore/base/bs-key-set.h>
#include <backingstore/bs-version.h>

G_BEGIN_DECLS

#define BS_TYPE_TRACKED_PATH (bs_tracked_path_get_type ())
BS_AVAILABLE_IN_1_0
G_DECLARE_FINAL_TYPE (BsTrackedPath, bs_tracked_path, BS, TRACKED_PATH, GObject)

BS_AVAILABLE_IN_1_0
GFile     *bs_tracked_path_get_file     (BsTrackedPath *self);
BS_AVAILABLE_IN_1_0
guint64    bs_tracked_path_get_n_keys   (BsTrackedPath *self);
BS_AVAILABLE_IN_1_0
gboolean   bs_tracked_path_get_closed   (BsTrackedPath *self);
BS_AVAILABLE_IN_1_0
gboolean   bs_tracked_path_get_writable (BsTrackedPath *self);
BS_AVAILABLE_IN_1_0
gboolean   bs_tracked_path_get_moved    (BsTrackedPath *self);
BS_AVAILABLE_IN_1_0
gboolean   bs_tracked_path_contains_key (BsTrackedPath *self, const char *key);
BS_AVAILABLE_IN_1_0
char     **bs_tracked_path_list_keys    (BsTrackedPath *self) G_GNUC_WARN_UNUSED_RESULT;
BS_AVAILABLE_IN_1_0
void       bs_tracked_path_foreach_key  (BsTrackedPath *self, BsKeyFunc func, gpointer user_data);

G_END_DECLS
