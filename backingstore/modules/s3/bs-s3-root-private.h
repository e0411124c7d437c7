/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-s3-names-private.h"

G_BEGIN_DECLS

/* How many roots before it a root remembers. */
#define BS_S3_MAX_HISTORY 64

/* The object "root" of a document: what the application has saved, the objects that it
 * names, and nonces that make each root another one, whatever its content. */
typedef struct
{
  guint64 nonce;
  guint64 history[BS_S3_MAX_HISTORY]; /* nonces of the roots before it, the last one first */
  guint n_history;
  BsS3Name *names;                    /* owned */
  gsize n_names;
  GBytes *content;                    /* owned; NULL: nothing has been saved */
} BsS3Root;

void      bs_s3_root_clear      (BsS3Root *self);
GBytes   *bs_s3_root_serialize  (const BsS3Root *self) G_GNUC_WARN_UNUSED_RESULT;
gboolean  bs_s3_root_parse      (BsS3Root *self, GBytes *bytes, GError **error);
/* Sets nonces and history of a root that follows another one, NULL for the first. */
void      bs_s3_root_follow     (BsS3Root *self, const BsS3Root *previous);
/* Whether the root with that nonce is this one or one before it. */
gboolean  bs_s3_root_stands_on  (const BsS3Root *self, guint64 nonce);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (BsS3Root, bs_s3_root_clear)

G_END_DECLS
