/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-s3-exchange-private.h"

G_BEGIN_DECLS

/* Requests and answers over HTTP: each by the thread that asks, or side by side by a thread
 * of the transport. Redirects are not followed, and nothing is asked twice here. Safe to use
 * from any thread. */
typedef struct _BsS3Transport BsS3Transport;

BsS3Transport *bs_s3_transport_new   (const char *url, guint timeout);
/* Ends every exchange, and the thread. */
void           bs_s3_transport_free  (BsS3Transport *self);
/* The child of a fork has no such thread. */
void           bs_s3_transport_abandon (BsS3Transport *self);

/* Carries an exchange out, mostly by the calling thread. Returns as wait() does. */
gboolean       bs_s3_transport_perform (BsS3Transport *self, BsS3Exchange *exchange, GCancellable *cancellable);
void           bs_s3_transport_start (BsS3Transport *self, BsS3Exchange *exchange);
/* Returns FALSE at once when the cancellable fires; the request may have been carried out. */
gboolean       bs_s3_transport_wait  (BsS3Transport *self, BsS3Exchange *exchange, GCancellable *cancellable);
/* Returns the index of one that has ended, or any when the cancellable fires. */
guint          bs_s3_transport_wait_any (BsS3Transport *self, BsS3Exchange *const *exchanges, guint n, GCancellable *cancellable);
/* Nobody waits for the answer. */
void           bs_s3_transport_leave (BsS3Transport *self, BsS3Exchange *exchange);
/* Waits for some time, or until the cancellable fires: FALSE. */
gboolean       bs_s3_transport_pause (BsS3Transport *self, gint64 microseconds, GCancellable *cancellable);

/* Microseconds of a clock that counts sleep. */
gint64         bs_s3_get_time        (void);

G_END_DECLS
