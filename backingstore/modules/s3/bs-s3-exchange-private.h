/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <curl/curl.h>
#include <gio/gio.h>

G_BEGIN_DECLS

/* One request and its answer. */
typedef struct
{
  gatomicrefcount n_references;
  gpointer transport;         /* borrowed: it outlives each exchange that runs */

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

BsS3Exchange  *bs_s3_exchange_new    (const char *method, const char *url);
BsS3Exchange  *bs_s3_exchange_ref    (BsS3Exchange *self);
void           bs_s3_exchange_unref  (BsS3Exchange *self);
void           bs_s3_exchange_add_header (BsS3Exchange *self, const char *name, const char *value);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (BsS3Exchange, bs_s3_exchange_unref)

G_END_DECLS
