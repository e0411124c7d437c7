/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <curl/curl.h>
#include <gio/gio.h>

G_BEGIN_DECLS

#define BS_S3_MAX_HEADERS 16

/* A time that a header gives. */
typedef struct
{
  gint64 seconds; /* 0: none, or the text has it */
  char text[32];
} BsS3Time;

/* One request and its answer. */
typedef struct
{
  gatomicrefcount n_references;

  /* constant once it is started */
  const char *method;
  char *url;
  struct curl_slist *headers; /* the first of the nodes, or NULL */
  struct curl_slist nodes[BS_S3_MAX_HEADERS];
  guint n_headers;
  GBytes *body;               /* owned, nullable */

  /* under the transport's mutex */
  GCond *waiter;              /* borrowed; NULL: nobody waits */
  gboolean done;
  gboolean left;              /* the waiter has gone */

  /* once it is done */
  CURLcode code;
  char *problem;              /* owned; what libcurl says of a failure */
  guint status;
  GByteArray *content;
  guint8 *mapped;             /* of `length` bytes: has a large content instead; nullable */
  gsize n_mapped;             /* bytes that have arrived there */
  gboolean too_large;         /* for memory */
  gboolean has_length;
  gint64 length;
  guint64 first;              /* where the part begins that was asked for */
  gint64 total;               /* of the content that a part was asked of; -1: unknown */
  char *etag;
  char *meta;                 /* our own hash of the content */
  BsS3Time date;
  BsS3Time modified;
  gint64 retry_after;         /* seconds; 0: the server does not ask to wait */
} BsS3Exchange;

BsS3Exchange  *bs_s3_exchange_new    (const char *method, char *url);
BsS3Exchange  *bs_s3_exchange_ref    (BsS3Exchange *self);
void           bs_s3_exchange_unref  (BsS3Exchange *self);
/* Returns how many bytes of the content have arrived. */
guint64        bs_s3_exchange_get_size (const BsS3Exchange *self);
/* Takes the content away. */
GBytes        *bs_s3_exchange_steal_content (BsS3Exchange *self);
/* Takes over a header as libcurl understands it: a name, a colon and a value. */
void           bs_s3_exchange_take_header (BsS3Exchange *self, char *line);

/* Seconds; 0 where the header is missing or no time. Few callers need a time, so that the
 * text is parsed when one does. */
gint64         bs_s3_time_parse      (const BsS3Time *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (BsS3Exchange, bs_s3_exchange_unref)

G_END_DECLS
