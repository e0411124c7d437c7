/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "bs-sqlite-primary-private.h"

G_BEGIN_DECLS

/* Blobs become rows of a document, which is held. A key that the document has stays as it is. */
gboolean bs_sqlite_persist       (BsSqlitePrimary *primary, BsSqliteDocument *document, const BsSqliteKey *key, GCancellable *cancellable, GError **error);
/* Adds the key to primary storage too, where that lacks it. */
gboolean bs_sqlite_persist_bytes (BsSqlitePrimary *primary, BsSqliteDocument *document, const BsSqliteKey *key, GBytes *bytes, GCancellable *cancellable, GError **error);
/* `contents` has the bytes of keys that primary storage lacks. Small blobs share transactions. */
gboolean bs_sqlite_persist_keys  (BsSqlitePrimary *primary, BsSqliteDocument *document, BsKeySet *keys, GHashTable *contents, GCancellable *cancellable, GError **error);

G_END_DECLS
