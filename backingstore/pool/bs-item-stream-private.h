/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-item-private.h"

G_BEGIN_DECLS

/* Reads one content, and holds it until the stream is closed. A part that is not in memory
 * is read by the store's threads; seeking does no I/O. */

#define BS_TYPE_ITEM_STREAM (bs_item_stream_get_type ())
G_DECLARE_FINAL_TYPE (BsItemStream, bs_item_stream, BS, ITEM_STREAM, GInputStream)

/* `inner` is a stream of the backing, or in memory; its size is found here. */
GInputStream *bs_item_stream_new (BsPool *pool, BsEntry *entry, GInputStream *inner, GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
