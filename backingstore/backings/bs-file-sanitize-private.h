/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */
#pragma once

#include "base/bs-key-set.h"
#include "bs-file-directory-private.h"

G_BEGIN_DECLS

/* Checks the blobs of a persisted directory, and sets bad ones aside. */

gboolean bs_file_sanitize (BsFileDirectory *directory, BsKeySet *found, GCancellable *cancellable, GError **error);
/* Returns 0 or an errno: EBADMSG or EILSEQ if the blob was bad and is now in the
 * quarantine. With another errno `bad` tells a bad blob that could not be set aside. */
int      bs_file_verify   (BsFileDirectory *directory, const BsKey *key, gboolean *bad, GCancellable *cancellable);

G_END_DECLS
