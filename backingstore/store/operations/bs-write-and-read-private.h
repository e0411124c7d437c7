/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "store/operations/bs-request-private.h"

G_BEGIN_DECLS

/* Writes the content of a key, if it is not in primary storage yet, and reads it
 * back: one operation to a wait for the store, or a close. The delivery `written`
 * gets the result of the write in between, and has no answer of its own. The read is of
 * the kind READ or READ_STREAM, which says what its result is. The delivery of a blocking
 * call is that of bs_ask_blocking(); otherwise the caller keeps its reference on the
 * waiter, as in bs_ask(). */
gpointer bs_write_and_read_blocking (BsBackingStore    *store,
                                     BsOperationKind    kind,
                                     BsToken           *token,
                                     BsContent         *content,
                                     const BsDelivery  *written,
                                     const BsDelivery  *read,
                                     GCancellable      *cancellable,
                                     GError           **error);
void     bs_write_and_read          (BsBackingStore    *store,
                                     BsOperationKind    kind,
                                     BsToken           *token,
                                     BsContent         *content,
                                     const BsDelivery  *written,
                                     BsWaiter          *waiter);

G_END_DECLS
