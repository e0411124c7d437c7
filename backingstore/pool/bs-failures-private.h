/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Errors of some of many things, by pointer. Zeroed memory; takes no lock. Copying and
 * freeing an error may call out: a BsFailure is shared, and freed with no lock held. */
typedef struct _BsFailure BsFailure;

typedef struct
{
  GHashTable *table;          /* owned, nullable; thing → BsFailure, owned */
} BsFailures;

BsFailure *bs_failure_new       (const GError *error) G_GNUC_WARN_UNUSED_RESULT;
void       bs_failure_unref     (BsFailure *failure);
GError    *bs_failure_dup_error (BsFailure *failure) G_GNUC_WARN_UNUSED_RESULT;

void       bs_failures_clear    (BsFailures *self);
/* Takes the failure over, and returns the one before; each nullable. */
BsFailure *bs_failures_exchange (BsFailures *self, gconstpointer thing, BsFailure *failure) G_GNUC_WARN_UNUSED_RESULT;
/* A reference, or NULL. */
BsFailure *bs_failures_dup      (BsFailures *self, gconstpointer thing) G_GNUC_WARN_UNUSED_RESULT;

G_DEFINE_AUTOPTR_CLEANUP_FUNC (BsFailure, bs_failure_unref)

G_END_DECLS
