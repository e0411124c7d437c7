/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "store/operations/bs-request-private.h"

G_BEGIN_DECLS

/* Writes the content of a key, if it is not in primary storage yet, and reads it
 * back: one operation to a wait for the store, or a close. The delivery `written`
 * gets the result of the write in between, and has no answer of its own. The result
 * of the read is a GBytes. The deliveries are those of bs_ask_blocking() and
 * bs_ask_async(). */
gpointer bs_write_and_read_blocking (BsBackingStore    *store,
                                     BsToken           *token,
                                     BsContent         *content,
                                     const BsDelivery  *written,
                                     const BsDelivery  *read,
                                     GCancellable      *cancellable,
                                     GError           **error);
void     bs_write_and_read_async    (BsBackingStore    *store,
                                     BsToken           *token,
                                     BsContent         *content,
                                     const BsDelivery  *written,
                                     const BsDelivery  *read,
                                     GTask             *task);

G_END_DECLS
