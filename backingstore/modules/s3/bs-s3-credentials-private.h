/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* Credentials of the environment, else of a profile in ~/.aws/credentials. None ever
 * reaches a message. */
typedef struct
{
  char *id;
  char *secret;
  char *token; /* of a session; nullable */

  GMutex mutex;

  /* under the mutex */
  char *scope; /* day and region that the key is for; nullable */
  GHmac *hmac; /* of nothing yet, with the key that signs there */
} BsS3Credentials;

BsS3Credentials *bs_s3_credentials_new   (const char *profile, GError **error);
BsS3Credentials *bs_s3_credentials_ref   (BsS3Credentials *self);
void             bs_s3_credentials_unref (BsS3Credentials *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (BsS3Credentials, bs_s3_credentials_unref)

G_END_DECLS
