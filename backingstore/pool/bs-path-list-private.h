/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-pool.h"
#include "store/bs-backing-store-private.h"

G_BEGIN_DECLS

#define BS_TYPE_PATH_LIST (bs_path_list_get_type ())
G_DECLARE_FINAL_TYPE (BsPathList, bs_path_list, BS, PATH_LIST, GObject)

/* Takes the tokens of the path's keys over, not the array. The list tells of its changes
 * in `context`. */
BsPathList *bs_path_list_new (BsPool *pool, BsTrackedPath *tracked, GMainContext *context, GPtrArray *tokens) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
