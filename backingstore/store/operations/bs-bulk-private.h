/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "store/operations/bs-request-private.h"

G_BEGIN_DECLS

/* An operation on many keys in one task. Each key is changed in its own turn. */
BsStoreOperation *bs_bulk_new         (BsBackingStore *store, const BsRequest *request, int priority) G_GNUC_WARN_UNUSED_RESULT;

/* Drops holds on many tokens in the background. Takes over the array's content, not
 * the array. */
void              bs_bulk_drop_tokens (BsBackingStore *store, BsToken **tokens, gsize n_tokens);

G_END_DECLS
