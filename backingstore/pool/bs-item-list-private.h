/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-pool.h"
#include "store/bs-backing-store-private.h"

G_BEGIN_DECLS

#define BS_TYPE_ITEM_LIST (bs_item_list_get_type ())
G_DECLARE_FINAL_TYPE (BsItemList, bs_item_list, BS, ITEM_LIST, GObject)

/* Takes the tokens over, not the array. */
BsItemList *bs_item_list_new (BsPool *pool, GPtrArray *tokens) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
