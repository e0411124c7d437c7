/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "bs-cache-private.h"

G_BEGIN_DECLS

/* Takes the reference on the blob over. */
BsItem *bs_item_new (BsPool *pool, BsBlob *blob) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
