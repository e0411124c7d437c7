/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-s3-client-private.h"

G_BEGIN_DECLS

/* The object ".lock" of a document tells which program has it open. Safety does not hang
 * on it: it keeps programs from work that the root would refuse. Taken, renewed and given
 * back by conditional PUTs. Safe to use from any thread. */
typedef struct
{
  BsS3Client *client;
  char *key;          /* of the object */
  char *owner;        /* this backing's own UUID */

  GMutex asking;      /* held while `.lock` is asked for; taken first */
  char *etag;         /* of our last `.lock`; NULL: not held; under `asking` */

  GMutex mutex;

  /* under the mutex */
  gint64 renewed;     /* by a clock that counts sleep: before the request was sent */
  gboolean lost;      /* for good */
} BsS3Lease;

void     bs_s3_lease_init   (BsS3Lease *self, BsS3Client *client, const char *key, const char *owner);
void     bs_s3_lease_clear  (BsS3Lease *self);

/* BUSY where another program has it. */
gboolean bs_s3_lease_take   (BsS3Lease *self, GCancellable *cancellable, GError **error);
/* Whether the server respects conditions; learns how it wants ETags. Of a lease that is held. */
gboolean bs_s3_lease_probe  (BsS3Lease *self, gboolean *respected, GCancellable *cancellable, GError **error);
/* Renews a lease that is due; BUSY once it was lost. */
gboolean bs_s3_lease_check  (BsS3Lease *self, GCancellable *cancellable, GError **error);
/* Early, so that no operation has to. */
void     bs_s3_lease_renew  (BsS3Lease *self, GCancellable *cancellable);
/* Another program has been seen to have changed the document. */
void     bs_s3_lease_lose   (BsS3Lease *self);
gboolean bs_s3_lease_is_lost (BsS3Lease *self);
/* Only while no request of ours may still be carried out. */
void     bs_s3_lease_give_back (BsS3Lease *self, GCancellable *cancellable);

G_END_DECLS
