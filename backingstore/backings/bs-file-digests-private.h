/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "base/bs-key-private.h"
#include "bs-file-digest-private.h"

G_BEGIN_DECLS

/* Digests of scratch files that do not carry theirs, by key. Safe to use from any thread. */
typedef struct
{
  GMutex mutex;
  GHashTable *digests;
  int any;              /* atomic */
} BsFileDigests;

void     bs_file_digests_init   (BsFileDigests *self);
void     bs_file_digests_clear  (BsFileDigests *self);
/* Replaces the one that is there. */
void     bs_file_digests_add    (BsFileDigests *self, const BsKey *key, const BsFileDigest *digest);
gboolean bs_file_digests_find   (BsFileDigests *self, const BsKey *key, BsFileDigest *digest);
void     bs_file_digests_remove (BsFileDigests *self, const BsKey *key);

G_END_DECLS
