/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-s3-settings-private.h"
#include "bs-s3-transport-private.h"

G_BEGIN_DECLS

/* Signed requests to one bucket, tried again where that may help. Safe to use from any
 * thread. */
typedef struct _BsS3Client BsS3Client;

/* A request; a call copies it. */
typedef struct
{
  const char *method;
  const char *key;           /* of the object; NULL: the bucket */
  const char *query;         /* encoded, its parameters in order; nullable */
  const char *if_match;      /* an ETag as the server spelled it; nullable */
  gboolean if_none_match;    /* only where there is no such object */
  const char *copy_source;   /* encoded; nullable */
  const char *copy_range;    /* of the source; nullable */
  const char *meta;          /* our hash of the content; nullable */
  const char *range;         /* nullable */
  GBytes *body;              /* nullable; sent with its MD5 */
  gboolean brief;            /* given up soon, and at once where no answer comes */
} BsS3Request;

/* Its fields are owned. */
typedef struct
{
  guint status;
  GBytes *content;
  char *etag;                /* nullable */
  char *meta;                /* nullable */
  gint64 length;             /* of the content as the headers have it; -1: unknown */
  guint64 first;             /* where the range begins, by the server */
  gint64 total;              /* of the content that a range was asked of; -1: unknown */
  BsS3Time date;             /* by the server's clock */
  BsS3Time modified;
  gint64 sent;               /* microseconds of a clock that counts sleep: before the request was sent */
  gboolean unclear;          /* a request without an answer may still be carried out, also after an error */
  gboolean refused;          /* a busy server may have carried out a part before it refused a request */
} BsS3Answer;

typedef struct _BsS3Call BsS3Call;

BsS3Client *bs_s3_client_new         (BsS3Settings *settings);
void        bs_s3_client_free        (BsS3Client *self);
void        bs_s3_client_abandon     (BsS3Client *self);
const BsS3Settings *bs_s3_client_get_settings (BsS3Client *self);

/* Whether ETags in conditions have quotes; most servers want them. */
gboolean    bs_s3_client_get_quotes  (BsS3Client *self);
void        bs_s3_client_set_quotes  (BsS3Client *self, gboolean quotes);

/* Sends the request; its answer is awaited by end(), which also tries it again. */
BsS3Call   *bs_s3_client_begin       (BsS3Client *self, const BsS3Request *request);
/* Requests of which so many calls at most are waited for side by side. */
#define BS_S3_MAX_PARALLEL 32
/* Returns the index of a call that has an answer to its request, or any when the cancellable
 * fires. */
guint       bs_s3_client_wait_any    (BsS3Client *self, BsS3Call *const *calls, guint n, GCancellable *cancellable);
/* TRUE for each answer that is final, whatever its status. Takes the call over. */
gboolean    bs_s3_call_end           (BsS3Call *call, BsS3Answer *answer, GCancellable *cancellable, GError **error);
/* Nobody waits for the answer any more. */
void        bs_s3_call_free          (BsS3Call *call);
/* The same, and the request goes its way. */
void        bs_s3_call_detach        (BsS3Call *call);
/* Both in one. */
gboolean    bs_s3_client_ask         (BsS3Client *self, const BsS3Request *request, BsS3Answer *answer, GCancellable *cancellable, GError **error);

/* Waits for some time; FALSE once the cancellable fires. */
gboolean    bs_s3_client_pause       (BsS3Client *self, gint64 microseconds, GCancellable *cancellable);

void        bs_s3_answer_clear       (BsS3Answer *self);
/* Sets the error that an answer stands for. Returns FALSE. */
gboolean    bs_s3_answer_set_error   (const BsS3Answer *self, GError **error);
/* The same, for a code that stands in a success. The code is nullable. */
gboolean    bs_s3_set_code_error    (guint status, const char *code, GError **error);
/* TRUE for a success. */
gboolean    bs_s3_answer_check       (const BsS3Answer *self, GError **error);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (BsS3Answer, bs_s3_answer_clear)

G_END_DECLS
