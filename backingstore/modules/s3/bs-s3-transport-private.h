/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <curl/curl.h>
#include <gio/gio.h>

G_BEGIN_DECLS

/* Requests and answers over HTTP, all by one thread of a process, side by side. Redirects
 * are not followed, and nothing is asked twice here. Safe to use from any thread. */
typedef struct _BsS3Transport BsS3Transport;

/* One request and its answer. */
typedef struct
{
  gatomicrefcount n_references;
  BsS3Transport *transport; /* borrowed: it outlives each exchange that runs */

  /* constant once it is started */
  const char *method;
  char *url;
  struct curl_slist *headers; /* owned */
  GBytes *body;               /* owned, nullable */

  GCond cond;
  gboolean done;              /* under the transport's mutex */
  gboolean left;              /* the waiter has gone; the same */

  /* once it is done */
  CURLcode code;
  char *problem;              /* owned; what libcurl says of a failure */
  guint status;
  GByteArray *content;
  gboolean has_length;
  gint64 length;
  char *etag;
  char *meta;                 /* our own hash of the content */
  gint64 date;                /* seconds; 0 where the header is missing */
  gint64 modified;
} BsS3Exchange;

BsS3Transport *bs_s3_transport_new   (const char *url, guint timeout);
/* Ends every exchange, and the thread. */
void           bs_s3_transport_free  (BsS3Transport *self);
/* The child of a fork has no such thread. */
void           bs_s3_transport_abandon (BsS3Transport *self);

BsS3Exchange  *bs_s3_exchange_new    (const char *method, const char *url);
BsS3Exchange  *bs_s3_exchange_ref    (BsS3Exchange *self);
void           bs_s3_exchange_unref  (BsS3Exchange *self);
void           bs_s3_exchange_add_header (BsS3Exchange *self, const char *name, const char *value);

void           bs_s3_transport_start (BsS3Transport *self, BsS3Exchange *exchange);
/* Returns FALSE at once when the cancellable fires; the request may have been carried out. */
gboolean       bs_s3_transport_wait  (BsS3Transport *self, BsS3Exchange *exchange, GCancellable *cancellable);
/* Nobody waits for the answer. */
void           bs_s3_transport_leave (BsS3Transport *self, BsS3Exchange *exchange);
/* Waits for some time, or until the cancellable fires: FALSE. */
gboolean       bs_s3_transport_pause (BsS3Transport *self, gint64 microseconds, GCancellable *cancellable);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (BsS3Exchange, bs_s3_exchange_unref)

G_END_DECLS
