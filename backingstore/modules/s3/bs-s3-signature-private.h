/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-s3-credentials-private.h"

G_BEGIN_DECLS

/* A header of a request, with its name in lower case. */
typedef struct
{
  const char *name;
  char *value; /* owned */
} BsS3Header;

/* Signature version 4. */
typedef struct
{
  const char *method;
  const char *path;            /* encoded, with a slash before it */
  const char *query;           /* encoded, its parameters in order; may be empty */
  const BsS3Header *headers;   /* in order of their names, with host and x-amz-date */
  gsize n_headers;
  const char *payload;         /* hexadecimal SHA-256, or UNSIGNED-PAYLOAD */
  const char *region;
  const char *time;            /* as x-amz-date has it */
} BsS3Signing;

/* Returns the value of the header Authorization. */
char *bs_s3_sign      (const BsS3Signing *signing, BsS3Credentials *credentials) G_GNUC_WARN_UNUSED_RESULT;
char *bs_s3_time      (gint64 seconds) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
